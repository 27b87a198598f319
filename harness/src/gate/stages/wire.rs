//! Packets: read, written, accounted for, encrypted, and through whole sessions without codecs.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::VecDeque;
use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use callrig_media::datagram::Datagram;
use callrig_media::description::{Description, MediaDescription, Secure, Setup};
use callrig_media::event::Event;
use callrig_media::rtcp::source::Source;
use callrig_media::rtp::sequence::Limits;
use callrig_media::rtp::{self, Extensions};
use callrig_media::session::{Config, Decode, Input, Output, Session};
use callrig_media::time::{Epoch, Instant};
use callrig_media::transport::webrtc::{self, Certificate, Transport, describe};
use rtc_srtp::context::Context;
use rtc_srtp::protection_profile::ProtectionProfile;
use rtc_stun::attributes::{ATTR_USE_CANDIDATE, ATTR_USERNAME};
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{BINDING_REQUEST, Message, Setter};

use super::Work;

/// How many packets are at hand; more units go round.
const PACKETS: u32 = 1_000;

/// Opus of 20 ms, with the audio level beside it.
pub(super) fn packet(index: u32, payload: Bytes) -> rtp::Packet {
    let extensions =
        Extensions::build(&[(1, &[0x1e])], &mut BytesMut::new()).expect("one small element");
    rtp::Packet {
        header: rtp::Header {
            payload_type: 111,
            sequence_number: index as u16,
            timestamp: 960_u32.wrapping_mul(index),
            ssrc: 7,
            extensions,
            ..rtp::Header::default()
        },
        payload,
    }
}

fn datagrams(size: usize) -> Vec<Bytes> {
    (0..PACKETS).map(|index| packet(index, vec![0x55; size].into()).to_bytes()).collect()
}

fn at(index: u32) -> Instant {
    Instant::ZERO + Duration::from_millis(100 + 20 * u64::from(index))
}

fn copy(size: usize) -> Work {
    let from = vec![0x55_u8; size];
    let mut to = BytesMut::with_capacity(2_048);
    Box::new(move |units| {
        for _ in 0..units {
            to.clear();
            to.extend_from_slice(black_box(&from));
            black_box(&to);
        }
    })
}

pub(super) fn copy_small() -> Work {
    copy(92)
}

pub(super) fn copy_large() -> Work {
    copy(1_200)
}

pub(super) fn parse() -> Work {
    let datagrams = datagrams(72);
    Box::new(move |units| {
        for datagram in datagrams.iter().cycle().take(units as usize) {
            let _ = black_box(rtp::Packet::parse(black_box(datagram).clone()));
        }
    })
}

pub(super) fn write() -> Work {
    let packets: Vec<_> = (0..PACKETS).map(|n| packet(n, Bytes::from(vec![0x55; 72]))).collect();
    let mut out = BytesMut::with_capacity(2_048);
    Box::new(move |units| {
        for packet in packets.iter().cycle().take(units as usize) {
            out.clear();
            black_box(packet).write(&mut out);
            black_box(&out);
        }
    })
}

pub(super) fn reception() -> Work {
    Box::new(|units| {
        let mut source = Source::new(7, 48_000, Limits::default());
        for index in 0..units {
            let timestamp = 960_u32.wrapping_mul(index);
            let _ = black_box(source.receive(at(index), index as u16, timestamp, 80));
        }
        black_box(source.stats());
    })
}

fn config() -> Config {
    let describe = |port| {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Description::new(address, vec![MediaDescription::audio("a")])
    };
    Config { decode: Decode::Nothing, ..Config::new(describe(1), describe(2)) }
}

fn drain(session: &mut Session) {
    while let Some(output) = session.poll_output() {
        if let Output::Event(Event::Audio(audio)) = output {
            session.recycle(audio);
        }
    }
}

pub(super) fn receive() -> Work {
    let (config, datagrams) = (config(), datagrams(80));
    Box::new(move |units| {
        let mut session =
            Session::new(config.clone(), Epoch::default(), 1).expect("the configuration is sound");
        let (source, destination) = (config.remote.address, config.local.address);
        for index in 0..units {
            let now = at(index);
            while let Some(due) = session.poll_timeout().filter(|due| *due <= now) {
                session.handle_input(due, Input::Timeout);
                drain(&mut session);
            }
            let payload = datagrams[(index % PACKETS) as usize].clone();
            session.handle_input(now, Input::Datagram(Datagram { source, destination, payload }));
            drain(&mut session);
        }
    })
}

pub(super) fn relay() -> Work {
    let relay = Config { relay: true, ..config() };
    let onward =
        Config { local: relay.remote.clone(), remote: relay.local.clone(), ..relay.clone() };
    let datagrams = datagrams(80);
    Box::new(move |units| {
        let session = |config: &Config| {
            Session::new(config.clone(), Epoch::default(), 1).expect("the configuration is sound")
        };
        let (mut left, mut right) = (session(&relay), session(&onward));
        let (source, destination) = (relay.remote.address, relay.local.address);
        for index in 0..units {
            let payload = datagrams[(index % PACKETS) as usize].clone();
            let datagram = Datagram { source, destination, payload };
            left.handle_input(at(index), Input::Datagram(datagram));
            while let Some(packet) = left.poll_packet() {
                right.forward(at(index), packet).expect("Opus was negotiated");
            }
            drain(&mut left);
            drain(&mut right);
        }
    })
}

/// A bare context of the library that does the cryptography.
fn context() -> Context {
    let provider = rtc_srtp::crypto::default_provider().expect("ring is built in");
    let profile = ProtectionProfile::AeadAes128Gcm;
    let replay = rtc_srtp::option::srtp_replay_protection(1024);
    Context::new(&[7; 16], &[9; 12], profile, Some(replay), None, provider.crypto())
        .expect("the key fits")
}

pub(super) fn cipher() -> Work {
    let datagrams = datagrams(160);
    Box::new(move |units| {
        let mut context = context();
        for datagram in datagrams.iter().cycle().take(units as usize) {
            black_box(context.encrypt_rtp(black_box(datagram)).expect("it is a packet"));
        }
    })
}

/// A number is protected once only, so each packet has the next one.
pub(super) fn protect() -> Work {
    let mut right = connected().1;
    let mut datagram = packet(0, Bytes::from_static(&[0x55; 160])).to_bytes().to_vec();
    let mut number = 0_u16;
    Box::new(move |units| {
        for _ in 0..units {
            number = number.wrapping_add(1);
            datagram[2..4].copy_from_slice(&number.to_be_bytes());
            black_box(right.protect(black_box(&datagram)).expect("it is connected"));
        }
    })
}

/// What is opened must be new each time, so it is protected here as well: the unit is both.
pub(super) fn open() -> Work {
    let (mut left, mut right) = connected();
    let mut number = 0_u32;
    Box::new(move |units| {
        for _ in 0..units {
            number = number.wrapping_add(1);
            let datagram = packet(number, Bytes::from_static(&[0x55; 160])).to_bytes();
            let protected = right.protect(&datagram).expect("it is connected");
            left.handle_input(Instant::ZERO, webrtc::Input::Datagram(protected));
            while let Some(output) = left.poll_output() {
                black_box(&output);
            }
        }
    })
}

fn check(from: &Secure, to: &Secure) -> Bytes {
    let provider = rtc_stun::crypto::default_provider().expect("ring is built in");
    let mut message = Message::new();
    message.typ = BINDING_REQUEST;
    message.write_header();
    message.add(ATTR_USERNAME, format!("{}:{}", to.ufrag, from.ufrag).as_bytes());
    message.add(ATTR_USE_CANDIDATE, &[]);
    let password = to.password.clone();
    MessageIntegrity::new_short_term_integrity_with_provider(password, provider.crypto())
        .add_to(&mut message)
        .expect("it is the first");
    FINGERPRINT.add_to(&mut message).expect("it is the last");
    message.raw.into()
}

/// Two transports that have shaken hands.
fn connected() -> (Transport, Transport) {
    let [here, there] = [1, 2].map(|last| SocketAddr::from(([192, 0, 2, last], 3478)));
    let certificate = Certificate::generate().expect("cryptography works");
    let side = |address, seed, setup| {
        let side = describe(&certificate, address, seed).expect("cryptography works");
        Secure { ice_lite: false, setup, ..side }
    };
    let (left, right) = (side(here, 1, Setup::Passive), side(there, 2, Setup::Active));
    let transport = |address, local: &Secure, remote: &Secure| {
        let (local, remote) = (local.clone(), remote.clone());
        let config = webrtc::Config::new(address, local, remote, certificate.clone());
        Transport::new(config).expect("the sides fit")
    };
    let mut pair = (transport(here, &left, &right), transport(there, &right, &left));
    for (source, destination, payload) in
        [(there, here, check(&right, &left)), (here, there, check(&left, &right))]
    {
        let mut flight = VecDeque::from([Datagram { source, destination, payload }]);
        while let Some(datagram) = flight.pop_front() {
            let side = if datagram.destination == here { &mut pair.0 } else { &mut pair.1 };
            side.handle_input(Instant::ZERO, webrtc::Input::Datagram(datagram));
            while let Some(output) = side.poll_output() {
                if let webrtc::Output::Datagram(datagram) = output {
                    flight.push_back(datagram);
                }
            }
        }
    }
    pair
}
