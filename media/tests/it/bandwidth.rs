//! A path that carries less than what is sent: how long sound is delayed on it, what becomes
//! of pictures, and what happens when it widens. Time is made up; the path has one queue for
//! everything, as the box at the end of somebody's line has.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;
use callrig_media::datagram::Datagram;
use callrig_media::description::{Description, MediaDescription};
use callrig_media::event::Event;
use callrig_media::rtcp::{self, ReceiverEstimate};
use callrig_media::rtp;
use callrig_media::session::{Config, Decode, Input, Output, Session};
use callrig_media::time::{Epoch, Instant};

const MS: Duration = Duration::from_millis(1);
const DELAY: Duration = Duration::from_millis(20);
/// What a queue holds at most before it loses packets: more than anybody should see of it.
const QUEUE_MAX: Duration = Duration::from_secs(3);

/// Bytes of a frame of 1.5 Mbit/s at 30 frames/s, and of a key frame of it.
const FRAME_BYTES: usize = 6_000;
const KEY_FRAME_BYTES: usize = 40_000;

/// A narrow place and its queue.
struct Link {
    bits_per_second: u64,
    free_at: Instant,
    flight: VecDeque<(Instant, Datagram)>,
    /// When each packet of sound came, and how long it took.
    sound: Vec<(Instant, Duration)>,
    lost: u64,
    /// Nothing passes.
    is_down: bool,
}

impl Link {
    fn new(bits_per_second: u64) -> Self {
        let (free_at, flight, sound) = (Instant::ZERO, VecDeque::new(), Vec::new());
        Self { bits_per_second, free_at, flight, sound, lost: 0, is_down: false }
    }

    fn carry(&mut self, now: Instant, datagram: Datagram) {
        let begins = self.free_at.max(now);
        if self.is_down || begins.since(now) > QUEUE_MAX {
            self.lost += 1;
            return;
        }
        // With the headers of IP and UDP.
        let bits = (datagram.payload.len() as u64 + 28) * 8;
        self.free_at = begins + Duration::from_nanos(bits * 1_000_000_000 / self.bits_per_second);
        let comes = self.free_at + DELAY;
        if is_sound(&datagram.payload) {
            self.sound.push((comes, comes.since(now)));
        }
        self.flight.push_back((comes, datagram));
    }

    /// The longest that sound took between two moments.
    fn slowest(&self, from: u64, to: u64) -> Duration {
        let (from, to) = (Instant::from_millis(from), Instant::from_millis(to));
        let within = self.sound.iter().filter(|(at, _)| (from..to).contains(at));
        within.map(|(_, took)| *took).max().expect("sound came")
    }
}

fn is_sound(datagram: &[u8]) -> bool {
    datagram.len() > 12 && datagram[1] & 0x7f == 111
}

/// How the peer tells what arrives.
#[derive(Clone, Copy, PartialEq)]
enum Feedback {
    Transport,
    Receiver,
    None,
}

fn describe(port: u16, ssrc: u32, feedback: Feedback) -> Description {
    let lines = [MediaDescription::audio("a"), MediaDescription::video("v")];
    let line = |(line, index): (MediaDescription, u32)| {
        let line = line.with_ssrc(ssrc + index);
        if feedback == Feedback::None {
            return line;
        }
        let mut line = line.for_webrtc();
        line.retransmission_ssrc = (index > 0).then_some(ssrc + 0x100 + index);
        for payload in &mut line.payloads {
            payload.feedback.transport_cc = feedback == Feedback::Transport;
        }
        line
    };
    let lines = lines.into_iter().zip(0..).map(line).collect();
    Description::new(SocketAddr::from(([10, 0, 0, 1], port)), lines)
}

fn session(local: &Description, remote: &Description, relay: bool) -> Session {
    let config =
        Config { relay, decode: Decode::Nothing, ..Config::new(local.clone(), remote.clone()) };
    Session::new(config, Epoch::default(), 5).expect("the configuration is sound")
}

/// A camera without a picture: what counts is how many bytes there are.
fn access_unit(key: bool) -> Bytes {
    let mut unit = Vec::new();
    let mut put = |header: u8, length: usize| {
        unit.extend([0, 0, 0, 1, header]);
        unit.extend((0..length).map(|index| (index % 251) as u8 | 1));
    };
    if key {
        put(0x67, 12);
        put(0x68, 4);
        put(0x65, KEY_FRAME_BYTES);
    } else {
        put(0x41, FRAME_BYTES);
    }
    unit.into()
}

/// Whoever speaks and shows, and whoever hears and sees it, with a narrow place between them;
/// the one who sends is the source itself, or passes on what another one sends.
struct Call {
    sender: Session,
    receiver: Session,
    /// The source, and the session that takes what comes from it, where that is another one.
    source: Option<(Session, Session)>,
    link: Link,
    back: VecDeque<(Instant, Datagram)>,
    now: Instant,
    frame: u64,
    wants_key: bool,
    speaks: bool,
    /// When the camera is on, in ms: whoever calls speaks before.
    shows_from: u64,
    /// When frames came whole: the marker of each.
    frames: Vec<Instant>,
    numbers: Vec<u16>,
    estimates: Vec<u64>,
    asked: u64,
}

impl Call {
    fn new(bits_per_second: u64, feedback: Feedback, passed_on: bool) -> Self {
        let (near, far) = (describe(1, 0x1000, feedback), describe(2, 0x2000, feedback));
        let source = passed_on.then(|| {
            let plain = Feedback::None;
            let (near, far) = (describe(3, 0x3000, plain), describe(4, 0x4000, plain));
            (session(&near, &far, false), session(&far, &near, true))
        });
        let mut local = near.clone();
        if passed_on {
            local.media.iter_mut().for_each(|line| line.ssrc = None);
        }
        Self {
            sender: session(&local, &far, false),
            receiver: session(&far, &near, true),
            source,
            link: Link::new(bits_per_second),
            back: VecDeque::new(),
            now: Instant::from_millis(0),
            frame: 0,
            wants_key: true,
            speaks: true,
            shows_from: 400,
            frames: Vec::new(),
            numbers: Vec::new(),
            estimates: Vec::new(),
            asked: 0,
        }
    }

    /// One millisecond after the other.
    fn run_until(&mut self, ms: u64) {
        while self.now < Instant::from_millis(ms) {
            self.now += MS;
            let ms = self.now.as_nanos() / 1_000_000;
            let speaker = self.source.as_mut().map_or(&mut self.sender, |(source, _)| source);
            if self.speaks && ms.is_multiple_of(20) {
                let sound = Bytes::from_static(&[7; 80]);
                speaker.send_encoded_audio(self.now, &sound, 960, false).expect("it is Opus");
            }
            if ms > self.shows_from && ms * 30 / 1_000 > self.frame {
                self.frame = ms * 30 / 1_000;
                let key = core::mem::take(&mut self.wants_key) || self.frame.is_multiple_of(300);
                let timestamp = (self.frame * 3_000) as u32;
                let sent = speaker.send_frame(self.now, 1, &access_unit(key), timestamp);
                sent.expect("it can be cut into packets");
            }
            self.step();
        }
    }

    fn step(&mut self) {
        let now = self.now;
        self.pass_on();
        run(&mut self.sender, now);
        while let Some(output) = self.sender.poll_output() {
            match output {
                Output::Datagram(datagram) => self.link.carry(now, datagram),
                Output::Event(Event::KeyFrameRequested { .. }) => {
                    (self.wants_key, self.asked) = (true, self.asked + 1);
                }
                Output::Event(Event::BandwidthEstimated { bits_per_second }) => {
                    self.estimates.push(bits_per_second);
                }
                Output::Event(_) => {}
            }
        }
        while self.link.flight.front().is_some_and(|(at, _)| *at <= now) {
            let (at, datagram) = self.link.flight.pop_front().expect("it was there");
            self.receiver.handle_input(at, Input::Datagram(datagram));
            while let Some(relayed) = self.receiver.poll_packet() {
                let packet = relayed.packet();
                if packet.header.payload_type == 102 {
                    self.numbers.push(packet.header.sequence_number);
                    if packet.header.marker {
                        self.frames.push(at);
                    }
                }
            }
        }
        run(&mut self.receiver, now);
        while let Some(output) = self.receiver.poll_output() {
            if let Output::Datagram(datagram) = output {
                self.back.push_back((now + DELAY, datagram));
            }
        }
        while self.back.front().is_some_and(|(at, _)| *at <= now) {
            let (_, datagram) = self.back.pop_front().expect("it was there");
            self.sender.handle_input(now, Input::Datagram(datagram));
        }
    }

    /// From the source through the session that takes it to the one that sends.
    fn pass_on(&mut self) {
        let Some((source, taker)) = &mut self.source else { return };
        let now = self.now;
        run(source, now);
        while let Some(output) = source.poll_output() {
            if let Output::Datagram(datagram) = output {
                taker.handle_input(now, Input::Datagram(datagram));
            }
        }
        run(taker, now);
        while let Some(packet) = taker.poll_packet() {
            self.sender.forward(now, packet).expect("it was negotiated");
        }
        while let Some(output) = taker.poll_output() {
            if let Output::Datagram(datagram) = output {
                source.handle_input(now, Input::Datagram(datagram));
            }
        }
    }

    fn frames_between(&self, from: u64, to: u64) -> usize {
        let (from, to) = (Instant::from_millis(from), Instant::from_millis(to));
        self.frames.iter().filter(|at| (from..to).contains(*at)).count()
    }

    /// Whether every packet of pictures came, and no number is missing between them.
    fn is_contiguous(&self) -> bool {
        self.numbers.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1))
    }

    fn discarded(&self) -> u64 {
        self.sender.stats().outbound.iter().map(|stream| stream.frames_discarded).sum()
    }
}

fn run(session: &mut Session, now: Instant) {
    while session.poll_timeout().is_some_and(|due| due <= now) {
        session.handle_input(now, Input::Timeout);
    }
}

/// 500 kbit/s for twenty seconds, then 4 Mbit/s.
fn narrow_then_wide(passed_on: bool) {
    let mut call = Call::new(500_000, Feedback::Transport, passed_on);
    call.run_until(20_000);
    let (first, steady) = (call.link.slowest(0, 3_000), call.link.slowest(3_000, 20_000));
    let narrow = call.frames_between(3_000, 20_000);
    let stats = call.sender.stats();
    println!(
        "500 kbit/s: sound took {first:?} at first, {steady:?} then; {narrow} frames; estimate {:?}",
        stats.available_outgoing_bitrate
    );
    assert_eq!(call.link.lost, 0, "no queue ran full");
    assert!(first < Duration::from_millis(400), "{first:?}");
    assert!(steady < Duration::from_millis(250), "{steady:?}");
    let estimate = stats.available_outgoing_bitrate.expect("feedback came");
    assert!((250_000.0..550_000.0).contains(&estimate), "{estimate}");
    assert!(narrow >= 4, "key frames go while there is no room for more: {narrow}");
    assert!(call.discarded() > 300, "{}", call.discarded());

    call.link.bits_per_second = 4_000_000;
    call.run_until(40_000);
    let before = call.discarded();
    call.run_until(45_000);
    let (wide, sound) = (call.frames_between(40_000, 45_000), call.link.slowest(40_000, 45_000));
    println!("4 Mbit/s: {wide} frames in 5 s, sound took {sound:?}");
    println!("{:?}", call.estimates);
    assert!(wide >= 145, "{wide}");
    assert_eq!(call.discarded(), before);
    assert!(sound < Duration::from_millis(60), "{sound:?}");
    assert!(call.is_contiguous(), "no number is missing where frames were left out");
    assert!(call.asked > 1, "a key frame is asked for when there is room");
}

#[test]
fn sound_passes_a_narrow_place_and_pictures_come_back_when_it_widens() {
    narrow_then_wide(false);
}

#[test]
fn what_is_passed_on_keeps_to_the_narrow_place_as_well() {
    narrow_then_wide(true);
}

#[test]
fn a_wide_path_delays_nothing_and_is_found_at_once() {
    let mut call = Call::new(20_000_000, Feedback::Transport, false);
    call.run_until(10_000);
    assert_eq!(call.discarded(), 0);
    assert_eq!(call.frames.len(), 288, "all but the one on its way");
    assert!(call.link.slowest(0, 10_000) < Duration::from_millis(40));
    let stats = call.sender.stats();
    let video = &stats.outbound[1];
    let wait = video.total_packet_send_delay / video.packets_sent as f64;
    println!("{wait} s a packet; estimate {:?}", stats.available_outgoing_bitrate);
    assert!(wait < 0.05, "{wait}");
    assert!(stats.probes_sent > 0);
}

#[test]
fn what_a_path_carries_is_known_before_the_first_picture_although_nobody_speaks() {
    for bits in [64_000, 300_000, 5_000_000] {
        let mut call = Call::new(bits, Feedback::Transport, true);
        call.speaks = false;
        call.run_until(1_000);
        let estimate = call.sender.stats().available_outgoing_bitrate.expect("feedback came");
        println!("{bits} bit/s: {estimate}");
        // More than this is not tried without need.
        let (least, most) = (0.7 * bits.min(2_400_000) as f64, 1.05 * bits as f64);
        assert!((least..=most).contains(&estimate), "{bits}: {estimate}");
    }
    let mut call = Call::new(5_000_000, Feedback::Transport, true);
    call.speaks = false;
    call.run_until(5_000);
    assert_eq!(call.discarded(), 0);
}

#[test]
fn pictures_that_are_there_at_once_are_not_left_out_while_the_path_is_tried() {
    let mut call = Call::new(5_000_000, Feedback::Transport, true);
    (call.speaks, call.shows_from) = (false, 0);
    call.run_until(3_000);
    println!("{} left out, asked {}, {:?}", call.discarded(), call.asked, call.estimates);
    assert_eq!((call.discarded(), call.asked), (0, 0));
    // Where the path turns out to be narrow, the first picture comes as soon as it can.
    let mut call = Call::new(200_000, Feedback::Transport, true);
    (call.speaks, call.shows_from) = (false, 0);
    call.run_until(10_000);
    let first = call.frames.first().expect("the key frame came").elapsed();
    println!("{first:?}, {:?}", call.estimates);
    // 40 kB take 1.6 s here: nothing was in front of it but a trial.
    assert!(first < Duration::from_millis(2_000), "{first:?}");
    let estimate = call.sender.stats().available_outgoing_bitrate.expect("feedback came");
    assert!((100_000.0..=240_000.0).contains(&estimate), "{estimate}");
}

#[test]
fn what_is_lost_in_an_outage_is_sent_again_once_however_often_it_is_asked_for() {
    let mut call = Call::new(2_000_000, Feedback::Transport, true);
    call.run_until(4_000);
    let before = call.numbers.len();
    call.link.is_down = true;
    call.run_until(4_500);
    call.link.is_down = false;
    call.run_until(8_000);
    let stats = call.sender.stats();
    let again = stats.outbound.iter().map(|stream| stream.retransmitted_packets_sent).sum::<u64>();
    println!("{} lost, {again} sent again", call.link.lost);
    assert!(call.link.lost > 60, "{}", call.link.lost);
    // Sound is lost as well, and not sent again.
    assert!((40..=call.link.lost).contains(&again), "{again}");
    assert!(call.numbers.len() > before + 300);
}

#[test]
fn without_feedback_nothing_is_held_back_and_reports_give_an_estimate() {
    let mut call = Call::new(20_000_000, Feedback::None, false);
    call.run_until(10_000);
    assert_eq!(call.frames.len(), 288);
    let estimate = call.sender.stats().available_outgoing_bitrate.expect("reports came");
    assert!(estimate > 1_400_000.0, "{estimate}");
}

#[test]
fn a_receiver_that_says_what_it_has_room_for_gets_no_more() {
    let mut call = Call::new(20_000_000, Feedback::Receiver, false);
    call.run_until(1_000);
    let frames = call.frames_between(0, 1_000);
    assert!(frames > 16, "{frames}");
    let says = |bitrate| {
        let estimate = ReceiverEstimate { sender_ssrc: 9, bitrate, sources: vec![0x1001] };
        let mut bytes = bytes::BytesMut::new();
        rtcp::write(&[rtcp::Packet::ReceiverEstimate(estimate)], &mut bytes);
        let (source, destination) =
            (SocketAddr::from(([10, 0, 0, 1], 2)), SocketAddr::from(([10, 0, 0, 1], 1)));
        Datagram { source, destination, payload: bytes.freeze() }
    };
    call.sender.handle_input(call.now, Input::Datagram(says(300_000)));
    call.run_until(9_000);
    let little = call.frames_between(2_000, 9_000);
    assert!((1..=12).contains(&little), "key frames alone: {little}");
    call.sender.handle_input(call.now, Input::Datagram(says(5_000_000)));
    call.run_until(14_000);
    assert!(call.frames_between(10_000, 14_000) > 110);
}

#[test]
fn a_source_is_told_what_its_viewers_have_room_for() {
    let mut call = Call::new(20_000_000, Feedback::Receiver, false);
    call.run_until(500);
    call.receiver.limit_sender(call.now, 250_000).expect("the session is open");
    call.run_until(1_000);
    assert_eq!(call.sender.stats().available_outgoing_bitrate, Some(250_000.0));
}

#[test]
fn packets_are_numbered_in_the_order_in_which_they_leave() {
    let mut call = Call::new(1_000_000, Feedback::Transport, false);
    let mut next = 0;
    for ms in 1..5_000 {
        call.run_until(ms);
        for (_, datagram) in &call.link.flight {
            let Ok(packet) = rtp::Packet::parse(datagram.payload.clone()) else { continue };
            if let Some(number) = packet.header.extensions.transport_sequence(5)
                && number >= next
            {
                assert_eq!(number, next);
                next += 1;
            }
        }
    }
    assert!(next > 400, "{next}");
}
