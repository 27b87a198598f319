//! Loss on video between two sessions that send again in streams of their own (RFC 4588), as
//! browsers do: what is lost is asked for and comes, what does not come is never shown as if
//! it had, and whoever sends learns of every packet's arrival.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use callrig_media::codec::h264;
use callrig_media::datagram::Datagram;
use callrig_media::description::{Description, MediaDescription};
use callrig_media::event::Event;
use callrig_media::rtcp::{self, Packet, Rules};
use callrig_media::rtp;
use callrig_media::session::{Config, Input, Output, Session};
use callrig_media::stats::{Stats, Track};
use callrig_media::time::{Epoch, Instant};
use callrig_media::video::Picture;
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

const FRAMES: u64 = 300;
const FRAME: Duration = Duration::from_millis(33);
const DELAY: Duration = Duration::from_millis(20);
/// How long a packet is waited for where nothing says that it comes again.
const WAIT: Duration = Duration::from_millis(250);
const SOURCE: u32 = 0x0a0a_0a0a;

/// How a network loses packets.
#[derive(Clone, Copy, Debug)]
enum Loss {
    /// Each on its own, in percent.
    Random(u8),
    /// For so many milliseconds of every second.
    Bursts(u64),
}

/// Ten seconds of a picture that changes, with one key frame and others when asked for.
struct Camera {
    encoder: h264::Encoder,
    picture: Picture,
    frame: u64,
}

impl Camera {
    fn new() -> Self {
        let config = h264::Config { bit_rate: 400_000, ..h264::Config::default() };
        let encoder = h264::Encoder::new(&config).expect("OpenH264 is built in");
        let picture = Picture {
            width: 320,
            height: 192,
            y: vec![0; 320 * 192],
            u: vec![128; 160 * 96],
            v: vec![128; 160 * 96],
            timestamp: 0,
        };
        Self { encoder, picture, frame: 0 }
    }

    fn take(&mut self) -> Option<Bytes> {
        let step = self.frame as usize * 3;
        for (index, sample) in self.picture.y.iter_mut().enumerate() {
            *sample = ((index % 320 + step) * (index / 320 + 7) / 16 % 200) as u8 + 16;
        }
        self.frame += 1;
        let at = FRAME * self.frame as u32;
        // An encoder that keeps to its rate leaves out a frame now and then.
        Some(self.encoder.encode(&self.picture, at).expect("it encodes")?.data)
    }
}

struct Call {
    sender: Session,
    receiver: Session,
    flight: VecDeque<(Instant, bool, Datagram)>,
    random: Pcg64Mcg,
    loss: Loss,
    now: Instant,
    sent: BTreeMap<u32, Bytes>,
    shown: Vec<(Instant, u32, Bytes)>,
    told: u64,
    camera: Camera,
}

fn describe(port: u16, ssrc: u32, again: bool) -> Description {
    let line = MediaDescription::video("v").with_ssrc(ssrc);
    let mut line = if again { line.for_webrtc() } else { line };
    line.retransmission_ssrc = again.then_some(ssrc + 1);
    Description::new(SocketAddr::from(([10, 0, 0, 1], port)), vec![line])
}

impl Call {
    fn new(loss: Loss, again: bool, retries_max: u8) -> Self {
        let (near, far) = (describe(1, SOURCE, again), describe(2, SOURCE + 0x100, again));
        let session = |local: &Description, remote: &Description, seed| {
            let mut config = Config::new(local.clone(), remote.clone());
            config.nack_retries_max = retries_max;
            if !again {
                config.assembly.reorder_wait = WAIT;
            }
            Session::new(config, Epoch::default(), seed).expect("the configuration is sound")
        };
        Self {
            sender: session(&near, &far, 1),
            receiver: session(&far, &near, 2),
            flight: VecDeque::new(),
            random: Pcg64Mcg::seed_from_u64(7),
            loss,
            now: Instant::from_millis(1_000),
            sent: BTreeMap::new(),
            shown: Vec::new(),
            told: 0,
            camera: Camera::new(),
        }
    }

    fn loses(&mut self) -> bool {
        match self.loss {
            Loss::Random(percent) => self.random.random_range(0..100) < percent,
            Loss::Bursts(length) => self.now.as_nanos() / 1_000_000 % 1_000 < length,
        }
    }

    fn carry(&mut self, from_sender: bool) {
        loop {
            let session = if from_sender { &mut self.sender } else { &mut self.receiver };
            let Some(output) = session.poll_output() else { return };
            match output {
                Output::Datagram(datagram) => {
                    if !self.loses() {
                        self.flight.push_back((self.now + DELAY, from_sender, datagram));
                    }
                }
                Output::Event(Event::KeyFrameRequested { .. }) => {
                    self.camera.encoder.request_key_frame();
                }
                Output::Event(Event::Frame(frame)) => {
                    self.shown.push((self.now, frame.timestamp, frame.data));
                }
                Output::Event(_) => {}
            }
        }
    }

    fn run_until(&mut self, end: Instant) {
        loop {
            let due = [
                self.flight.front().map(|(at, _, _)| *at),
                self.sender.poll_timeout(),
                self.receiver.poll_timeout(),
            ];
            let next = due.into_iter().flatten().min().filter(|at| *at <= end);
            let Some(next) = next else { break };
            self.now = next.max(self.now);
            if let Some((_, from_sender, datagram)) =
                self.flight.pop_front_if(|(at, _, _)| *at <= self.now)
            {
                let told = |payload: &Bytes| -> u64 {
                    if rtp::demultiplex(payload) != rtp::Demultiplexed::Rtcp {
                        return 0;
                    }
                    let packets = rtcp::parse(payload, Rules::Compound).expect("ours are valid");
                    let counts = packets.iter().map(|packet| match packet {
                        Packet::TransportFeedback(feedback) => feedback.arrived.len() as u64,
                        _ => 0,
                    });
                    counts.sum()
                };
                self.told += told(&datagram.payload);
                let to = if from_sender { &mut self.receiver } else { &mut self.sender };
                to.handle_input(self.now, Input::Datagram(datagram));
            }
            for session in [&mut self.sender, &mut self.receiver] {
                if session.poll_timeout().is_some_and(|at| at <= self.now) {
                    session.handle_input(self.now, Input::Timeout);
                }
            }
            self.carry(true);
            self.carry(false);
        }
        self.now = end;
    }

    fn run(mut self) -> Outcome {
        for frame in 0..FRAMES {
            if let Some(unit) = self.camera.take() {
                let timestamp = frame as u32 * 3_000;
                self.sender.send_frame(self.now, 0, &unit, timestamp).expect("it is negotiated");
                self.sent.insert(timestamp, unit);
                self.carry(true);
            }
            let end = self.now + FRAME;
            self.run_until(end);
        }
        let end = self.now + Duration::from_secs(2);
        self.run_until(end);
        for (_, timestamp, data) in &self.shown {
            assert_eq!(Some(data), self.sent.get(timestamp), "what is shown is what was sent");
        }
        // A freeze as W3C webrtc-stats has it: three times the usual distance, or 150 ms more.
        let usual = FRAME.as_secs_f64();
        let longest = (3.0 * usual).max(usual + 0.15);
        let times = self.shown.windows(2);
        let freezes = times.filter(|w| w[1].0.since(w[0].0).as_secs_f64() > longest).count();
        let (sent, stats) = (self.sender.stats(), self.receiver.stats());
        assert!(sent.is_conserved() && stats.is_conserved(), "{stats:?}");
        let (shown, left_out) = (self.shown.len() as u64, FRAMES - self.sent.len() as u64);
        Outcome { shown: shown + left_out, freezes, sent, stats, told: self.told }
    }
}

struct Outcome {
    /// Frames that were shown, or that the encoder left out.
    shown: u64,
    freezes: usize,
    sent: Stats,
    stats: Stats,
    told: u64,
}

#[test]
fn random_loss_up_to_a_fifth_is_made_good_and_nothing_wrong_is_ever_shown() {
    // A packet is given up when half a second of requests, or what answers them, are lost: of
    // those lost at p % that is (1 - (1 - p)^2)^8 at least, below a thousandth here. At 20 % the
    // sender leaves frames out as well: so much loss is taken for a path that is full.
    for (percent, least) in [(0, 300), (1, 300), (5, 290), (10, 270), (20, 180)] {
        let outcome = Call::new(Loss::Random(percent), true, 10).run();
        let stream = &outcome.stats.inbound[0];
        let again = outcome.sent.outbound[0].retransmitted_packets_sent;
        println!(
            "{percent} % lost: {} of {FRAMES} frames, {} freezes, {} packets missing, {} came \
             again of {again}, {} NACKs, {} PLIs",
            outcome.shown,
            outcome.freezes,
            stream.source.packets_missing,
            stream.retransmitted_packets_received,
            stream.nack_count,
            stream.pli_count,
        );
        assert!(outcome.shown >= least, "{percent} %: {} frames", outcome.shown);
        assert_eq!(stream.retransmitted_packets_received > 0, percent > 0);
        assert!(again >= stream.retransmitted_packets_received);
    }
}

#[test]
fn without_retransmission_the_same_loss_is_seen() {
    let lost = Call::new(Loss::Random(5), true, 0).run();
    let again = Call::new(Loss::Random(5), true, 10).run();
    assert_eq!(lost.stats.inbound[0].retransmitted_packets_received, 0);
    assert!(lost.shown + 20 < again.shown, "{} and {}", lost.shown, again.shown);
}

#[test]
fn a_short_burst_is_made_good_and_a_longer_one_ends_in_a_key_frame() {
    let short = Call::new(Loss::Bursts(60), true, 10).run();
    assert!(short.shown >= 290, "{}", short.shown);
    let long = Call::new(Loss::Bursts(400), true, 10).run();
    println!("bursts of 400 ms: {} frames, {} freezes", long.shown, long.freezes);
    assert!(long.freezes >= 9, "they are seen: {}", long.freezes);
    let Track::Pictures(pictures) = &long.stats.inbound[0].track else { panic!("it is video") };
    assert!(pictures.frames_dropped > 0 || pictures.frames_received < FRAMES);
    assert!(long.shown > 100, "it goes on after each: {}", long.shown);
}

#[test]
fn sides_without_a_stream_for_it_send_again_under_the_same_numbers() {
    let outcome = Call::new(Loss::Random(5), false, 10).run();
    let stream = &outcome.stats.inbound[0];
    assert_eq!(stream.retransmitted_packets_received, 0);
    assert!(outcome.shown >= 290, "{}", outcome.shown);
    assert!(outcome.sent.outbound[0].retransmitted_packets_sent > 0);
    assert_eq!(outcome.told, 0);
}

#[test]
fn what_a_relay_misses_is_asked_for_though_nothing_else_comes() {
    let (near, far) = (describe(1, SOURCE, true), describe(2, SOURCE + 0x100, true));
    let config = Config { relay: true, ..Config::new(near.clone(), far.clone()) };
    let mut relay = Session::new(config, Epoch::default(), 1).expect("it is sound");
    let mut now = Instant::from_millis(1_000);
    for sequence_number in [1, 2, 4] {
        let header = rtp::Header {
            payload_type: 102,
            sequence_number,
            ssrc: SOURCE + 0x100,
            ..rtp::Header::default()
        };
        let payload = rtp::Packet { header, payload: Bytes::from_static(&[0x41, 0xe0]) }.to_bytes();
        let (source, destination) = (far.address, near.address);
        relay.handle_input(now, Input::Datagram(Datagram { source, destination, payload }));
        while relay.poll_output().is_some() || relay.poll_packet().is_some() {}
    }
    let mut asked = Vec::new();
    let end = now + Duration::from_millis(500);
    while let Some(due) = relay.poll_timeout().filter(|due| *due <= end) {
        now = due;
        relay.handle_input(now, Input::Timeout);
        while let Some(output) = relay.poll_output() {
            let Output::Datagram(datagram) = output else { continue };
            // Padding tries what the path carries.
            if rtp::demultiplex(&datagram.payload) != rtp::Demultiplexed::Rtcp {
                continue;
            }
            let packets = rtcp::parse(&datagram.payload, Rules::Compound).expect("ours are valid");
            let nacks = packets.iter().filter_map(|packet| match packet {
                Packet::Nack(nack) => Some(nack.numbers().collect::<Vec<u16>>()),
                _ => None,
            });
            asked.extend(nacks.map(|numbers| (now.as_nanos() / 1_000_000 - 1_000, numbers)));
        }
    }
    let times: Vec<u64> = asked.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [10, 110, 210, 310, 410]);
    assert!(asked.iter().all(|(_, numbers)| numbers == &[3]), "{asked:?}");
}
