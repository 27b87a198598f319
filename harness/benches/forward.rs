//! What it costs to show one person's pictures to many: a meeting in which one has a camera
//! (1280x720, 30 frames a second, 1.5 Mbit/s) and the others look on, each at a socket of its
//! own on loopback, over plain RTP and over WebRTC. Beside it, in the same rounds, what no
//! platform can do without: the kernel, given the same datagrams, and the cipher; and over WebRTC
//! the same packets forwarded by str0m and by the `rtc` peer connection ([`field`]). Counted is
//! the platform's thread alone: what it takes in, works out and sends. Time is the world's in
//! what the sessions know, so a round is as fast as it can be.
//!
//! `cargo bench --bench forward`; `-- 50` for another number of viewers, `-- field` for that of
//! others alone.

#[path = "room/field.rs"]
mod field;
#[path = "room/outside.rs"]
mod outside;
#[path = "../../media/tests/it/webrtc/pair.rs"]
#[expect(dead_code, reason = "only the check is wanted")]
mod pair;
#[expect(dead_code, reason = "nobody speaks")]
mod room;

use core::time::Duration;
use std::net::UdpSocket;
use std::time::Instant as Clock;

use bytes::Bytes;
use callrig_media::codec::h264::{Config as EncoderConfig, Encoder};
use callrig_media::description::{Direction, MediaDescription};
use callrig_media::payload::h264::{Fragment, PacketizationMode, Packetizer};
use callrig_media::time::Instant;
use callrig_media::video::Picture;
use callrig_signaling::id::UserId;
use callrig_signaling::service::{Config, Destination};
use field::{Cut, Field, PeerConnection, Stack as _, Str0m};
use outside::{Cipher, Guest, LOCALHOST, Person, Platform, Spent};
use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};

/// As the command has it.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

const FRAMES_PER_SECOND: u32 = 30;
const FRAME: Duration = Duration::from_nanos(1_000_000_000 / FRAMES_PER_SECOND as u64);
const TICKS: u32 = 90_000 / FRAMES_PER_SECOND;
const BIT_RATE: u32 = 1_500_000;
const ROUNDS: usize = 9;
/// Frames of a round: two seconds.
const FRAMES: usize = 60;
/// Frames until everybody sees: keys are exchanged, and a first key frame is asked for.
const WARM_UP: usize = 60;
/// Bytes of a payload, as our sessions cut them.
const PAYLOAD: usize = 1_188;
/// So many times everybody has a turn until keys are exchanged.
const FLIGHTS: usize = 12;
/// A peer shows that it is there once in so many frames.
const CHECK_EVERY: usize = 75;

struct Meeting {
    platform: Platform,
    /// The first has the camera.
    people: Vec<Person>,
    now: Instant,
    units: Vec<Bytes>,
    frame: usize,
    room: Vec<u8>,
    /// What it took the platform to have everybody in it, until keys are exchanged.
    set_up: Duration,
}

/// What a round cost, and what it was about.
#[derive(Clone, Copy, Default)]
struct Round {
    spent: Spent,
    packets: u64,
}

/// Pictures that move everywhere, so that the encoder has work for its bit rate.
fn units() -> Vec<Bytes> {
    let (width, height) = (1280_usize, 720_usize);
    let config = EncoderConfig {
        bit_rate: BIT_RATE,
        frame_rate: FRAMES_PER_SECOND as f32,
        ..EncoderConfig::default()
    };
    let mut encoder = Encoder::new(&config).expect("OpenH264 is built in");
    let unit = |frame: usize| {
        let wave = |x: usize, y: usize| {
            let (x, y, t) = (x as f64, y as f64, frame as f64);
            let value = ((x + 5.0 * t) * 0.03).sin() + ((y - 3.0 * t) * 0.05).cos();
            let grain = ((x * 12.9898 + y * 78.233 + t).sin() * 43_758.545_3).fract();
            (128.0 + 45.0 * value + 8.0 * grain) as u8
        };
        let y = (0..height).flat_map(|y| (0..width).map(move |x| wave(x, y))).collect();
        let chroma = vec![128; width * height / 4];
        let picture = Picture {
            width: width as u16,
            height: height as u16,
            y,
            u: chroma.clone(),
            v: chroma,
            timestamp: 0,
        };
        let encoded = encoder.encode(&picture, FRAME * frame as u32).expect("it encodes")?;
        Some(encoded.data)
    };
    (0..FRAMES).filter_map(unit).collect()
}

/// Somebody joins the meeting; the first has a camera. Nobody is sent sound: what is to be
/// measured is pictures.
fn join(platform: &mut Platform, index: usize, meeting: &str, secure: bool) -> (Person, Duration) {
    let direction = if index == 0 { Direction::SendReceive } else { Direction::ReceiveOnly };
    let pictures = MediaDescription::video("v").with_direction(direction);
    let sound = MediaDescription::audio("a").with_direction(Direction::SendOnly);
    let guest = Guest::new(index, vec![sound, pictures], secure);
    let user = UserId::new(&format!("user-{index}"));
    let to = Destination::Meeting(meeting.to_owned());
    let offer = guest.offer.clone();
    let began = Clock::now();
    let arrival =
        platform.service.join(Instant::from_millis(1), &user, &to, offer).expect("it is let in");
    let answer = platform.answer(arrival.leg);
    let took = began.elapsed();
    (guest.enter(index, answer), took)
}

impl Meeting {
    fn new(viewers: usize, secure: bool, units: &[Bytes]) -> Self {
        let config = Config { directory: room::directory(viewers + 1), ..Config::default() };
        let mut platform = Platform::new(config, secure);
        let now = Instant::from_millis(1);
        let meeting = room::meeting(&mut platform.service, now);
        let mut set_up = Duration::ZERO;
        let mut join = |index| {
            let (person, took) = join(&mut platform, index, &meeting, secure);
            set_up += took;
            person
        };
        let people = (0..=viewers).map(&mut join).collect();
        let (units, room) = (units.to_vec(), vec![0; 2_048]);
        let mut meeting = Self { platform, people, now, units, frame: 0, room, set_up };
        for person in &mut meeting.people {
            person.check(now, true);
        }
        for _ in 0..FLIGHTS {
            let Spent { work, sockets } = meeting.pass().spent;
            meeting.set_up += work + sockets;
        }
        for _ in 0..WARM_UP {
            meeting.frame();
        }
        meeting
    }

    /// The camera shows a frame, and its time passes.
    fn frame(&mut self) -> Round {
        let unit = self.units[self.frame % self.units.len()].clone();
        let timestamp = (self.frame as u32).wrapping_mul(TICKS);
        let camera = &mut self.people[0];
        // Not before the handshake is over.
        let _ = camera.session.send_frame(self.now, 1, &unit, timestamp);
        camera.say();
        if self.frame.is_multiple_of(CHECK_EVERY) {
            let now = self.now;
            self.people.iter_mut().for_each(|person| person.check(now, false));
        }
        self.frame += 1;
        self.pass()
    }

    /// A frame's time passes.
    fn pass(&mut self) -> Round {
        let end = self.now + FRAME;
        let before: u64 = self.people.iter().map(|person| person.came).sum();
        // What a sender paces leaves in the course of the frame.
        let mut round = Round::default();
        for part in 1..=4 {
            let until = if part == 4 { end } else { self.now + FRAME / 8 };
            let turn = self.platform.turn(&mut self.now, until);
            round.spent.add(turn);
            self.now = until;
            for person in &mut self.people {
                person.turn(until, &mut self.room);
            }
        }
        let after: u64 = self.people.iter().map(|person| person.came).sum();
        round.packets = after - before;
        round
    }

    fn round(&mut self) -> Round {
        let mut sum = Round::default();
        for _ in 0..FRAMES {
            let frame = self.frame();
            sum.spent.add(frame.spent);
            sum.packets += frame.packets;
        }
        sum
    }
}

/// The kernel alone: as many datagrams of such a size, to the same sockets.
struct Kernel {
    socket: UdpSocket,
    state: UdpSocketState,
    contents: Vec<u8>,
}

impl Kernel {
    fn new() -> Self {
        let socket = UdpSocket::bind(LOCALHOST).expect("a port");
        let state = UdpSocketState::new(UdpSockRef::from(&socket)).expect("it can be asked");
        Self { socket, state, contents: vec![0x11; 60_000] }
    }

    /// Nanoseconds a packet: in runs, and one by one.
    fn round(&self, meeting: &mut Meeting, packets: u64) -> (f64, f64) {
        let (mut runs, mut single) = (Duration::ZERO, Duration::ZERO);
        let viewers = &meeting.people[1..];
        let bytes: u64 = viewers.iter().map(|person| person.payload_bytes).sum();
        let came: u64 = viewers.iter().map(|person| person.came).sum();
        let size = (bytes / came.max(1)) as usize;
        let run = (packets as usize).div_ceil(FRAMES * viewers.len()).max(1);
        let mut sent = 0;
        for _ in 0..FRAMES {
            let began = Clock::now();
            for viewer in viewers {
                let transmit = Transmit {
                    destination: viewer.address,
                    ecn: None,
                    contents: &self.contents[..size * run],
                    segment_size: Some(size),
                    src_ip: None,
                };
                let taken = self.state.try_send(UdpSockRef::from(&self.socket), &transmit);
                taken.expect("loopback takes it");
            }
            runs += began.elapsed();
            swallow(viewers, &mut meeting.room);
            let began = Clock::now();
            for viewer in viewers {
                for _ in 0..run {
                    let part = &self.contents[..size];
                    self.socket.send_to(part, viewer.address).expect("loopback takes it");
                }
            }
            single += began.elapsed();
            swallow(viewers, &mut meeting.room);
            sent += run * viewers.len();
        }
        let each = |took: Duration| took.as_nanos() as f64 / sent as f64;
        (each(runs), each(single))
    }
}

fn swallow(viewers: &[Person], room: &mut [u8]) {
    for viewer in viewers {
        while viewer.socket.recv_from(room).is_ok() {}
    }
}

/// The access units as a forwarder gets them: in packets.
fn cuts(units: &[Bytes]) -> Vec<Vec<Cut>> {
    let packetizer = Packetizer::new(PacketizationMode::NonInterleaved, PAYLOAD);
    let mut packetizer = packetizer.expect("the size is allowed");
    let mut fragments = Vec::new();
    let cut = |(unit, timestamp): (&Bytes, u32)| {
        packetizer.packetize(unit, &mut fragments).expect("it can be cut");
        let cut = |fragment: Fragment| {
            let marker = fragment.marker;
            let payload = fragment.into_payload();
            Cut { shared: payload.as_ref().into(), payload, timestamp, marker }
        };
        fragments.drain(..).map(cut).collect()
    };
    units.iter().zip((0..).step_by(TICKS as usize)).map(cut).collect()
}

/// What others need for it.
fn field(cases: &[usize], units: &[Bytes]) {
    let frames = cuts(units);
    println!("\nthe same packets over WebRTC by others, each end one of theirs");
    println!("viewers  stack      all   per core");
    for &viewers in cases {
        let (mut str0m, mut rtc) =
            (Field::<Str0m>::new(viewers), Field::<PeerConnection>::new(viewers));
        let (mut one, mut other) = (Vec::new(), Vec::new());
        let whole = (frames.iter().map(Vec::len).sum::<usize>() * viewers) as u64;
        for round in 0..=ROUNDS {
            let (nanos, packets) = str0m.round(&frames, FRAME);
            let (slower, sent) = rtc.round(&frames, FRAME);
            assert!(packets >= whole && sent >= whole, "{packets} and {sent} of {whole}");
            // The first is for warming up.
            if round > 0 {
                one.push(nanos);
                other.push(slower);
            }
        }
        for (name, nanos) in [(Str0m::NAME, one), (PeerConnection::NAME, other)] {
            let nanos = room::median(nanos);
            println!("{viewers:>7}  {name:<7}  {:>5.2}  {:>9.0}", nanos / 1e3, 1e9 / nanos);
        }
    }
}

fn main() {
    let given: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let cases = if given.is_empty() { vec![1, 10, 50, 200] } else { given };
    let units = units();
    if !std::env::args().any(|word| word == "field") {
        ours(&cases, &units);
    }
    field(&cases, &units);
}

fn ours(cases: &[usize], units: &[Bytes]) {
    println!("us of CPU a packet out; packets a second and core; limit = kernel in runs + cipher");
    println!(
        "viewers  carrier   work  sockets    all   per core   kernel runs/single  cipher   x limit   packets/frame   set-up of one, us"
    );
    for secure in [false, true] {
        for &viewers in cases {
            let mut meeting = Meeting::new(viewers, secure, units);
            let kernel = Kernel::new();
            let mut cipher = Cipher::new(viewers);
            let mut rows: [Vec<f64>; 7] = Default::default();
            let mut frame = 0.0;
            for _ in 0..ROUNDS {
                let round = meeting.round();
                assert!(round.packets > 0, "nobody sees anything");
                let packets = round.packets as f64;
                let work = round.spent.work.as_nanos() as f64 / packets;
                let sockets = round.spent.sockets.as_nanos() as f64 / packets;
                let (runs, single) = kernel.round(&mut meeting, round.packets);
                let coded = if secure { cipher.round(1_100) } else { 0.0 };
                let all = work + sockets;
                let of = [work, sockets, all, runs, single, coded, all / (runs + coded)];
                rows.iter_mut().zip(of).for_each(|(row, value)| row.push(value));
                frame = packets / (FRAMES * viewers) as f64;
            }
            let [work, sockets, all, runs, single, coded, ratio] = rows.map(room::median);
            let set_up = meeting.set_up.as_micros() as f64 / (viewers + 1) as f64;
            println!(
                "{viewers:>7}  {:<7}  {:>5.2}    {:>5.2}  {:>5.2}  {:>9.0}         {:>5.2}/{:>5.2}   {:>5.2}    {ratio:>5.2}          {frame:>5.2}   {set_up:>17.0}",
                if secure { "WebRTC" } else { "RTP" },
                work / 1e3,
                sockets / 1e3,
                all / 1e3,
                1e9 / all,
                runs / 1e3,
                single / 1e3,
                coded / 1e3,
            );
        }
    }
}
