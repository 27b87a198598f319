//! No allocation per packet in the steady state: a relay, a session that receives and does
//! not decode, SRTP both ways, and pictures that are numbered, paced and remembered. A binary of its own, since it counts what the whole process allocates.

use core::net::SocketAddr;
use std::alloc::System;

use bytes::{Bytes, BytesMut};
use callrig_media::datagram::Datagram;
use callrig_media::description::{Description, MediaDescription};
use callrig_media::event::Event;
use callrig_media::rtp;
use callrig_media::session::{Config, Decode, Input, Output, Session};
use callrig_media::time::{Epoch, Instant};
use callrig_media::transport::webrtc;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[path = "it/webrtc/pair.rs"]
mod pair;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Packets to get going: buffers grow to their size in these.
const WARM_UP: u64 = 2_000;
/// Packets that are counted: at 20 ms, more than the reports of the session are apart.
const COUNTED: u64 = 2_000;

fn config() -> Config {
    let describe = |port| {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Description::new(address, vec![MediaDescription::audio("a")])
    };
    Config {
        report_interval_min: core::time::Duration::from_secs(60),
        ..Config::new(describe(1), describe(2))
    }
}

fn session(config: &Config) -> Session {
    Session::new(config.clone(), Epoch::default(), 1).expect("the configuration is sound")
}

/// What a socket would hand over: datagrams cut from one buffer, made beforehand.
fn datagrams(config: &Config) -> Vec<Datagram> {
    let mut buffer = BytesMut::new();
    (0..WARM_UP + COUNTED)
        .map(|index| {
            let header = rtp::Header {
                payload_type: 0,
                sequence_number: index as u16,
                timestamp: 160 * index as u32,
                ssrc: 7,
                ..rtp::Header::default()
            };
            rtp::Packet { header, payload: Bytes::from_static(&[0xff; 160]) }.write(&mut buffer);
            Datagram {
                source: config.remote.address,
                destination: config.local.address,
                payload: buffer.split().freeze(),
            }
        })
        .collect()
}

/// Runs `each` over all packets; allocations per packet after the first ones.
fn allocations_per_packet(mut each: impl FnMut(Instant, &Datagram), config: &Config) -> f64 {
    let datagrams = datagrams(config);
    let mut region = Region::new(ALLOCATOR);
    for (index, datagram) in datagrams.iter().enumerate() {
        if index as u64 == WARM_UP {
            region.reset();
        }
        each(Instant::from_millis(20 * index as u64), datagram);
    }
    let change = region.change();
    (change.allocations + change.reallocations) as f64 / COUNTED as f64
}

fn run_timers(session: &mut Session, now: Instant) {
    while session.poll_timeout().is_some_and(|due| due <= now) {
        session.handle_input(now, Input::Timeout);
        while let Some(output) = session.poll_output() {
            if let Output::Event(Event::Audio(audio)) = output {
                session.recycle(audio);
            }
        }
    }
}

/// Pictures to a peer that tells when packets arrive, faster than they may leave at once:
/// allocations per packet without its feedback, and per feedback.
fn paced() -> (f64, f64) {
    let describe = |port, ssrc: u32| {
        let mut line = MediaDescription::video("v").with_ssrc(ssrc).for_webrtc();
        line.retransmission_ssrc = Some(ssrc + 1);
        Description::new(SocketAddr::from(([127, 0, 0, 1], port)), vec![line])
    };
    let (near, far) = (describe(1, 10), describe(2, 20));
    let between = |local: &Description, remote: &Description| {
        let mut config = Config::new(local.clone(), remote.clone());
        (config.relay, config.decode) = (true, Decode::Nothing);
        config.report_interval_min = core::time::Duration::from_secs(600);
        config.estimate.start = 3_000_000;
        session(&config)
    };
    let (mut sender, mut receiver) = (between(&near, &far), between(&far, &near));
    let unit: Bytes = [&[0, 0, 0, 1, 0x65][..], &[7; 9_000]].concat().into();
    let (mut sending, mut feedbacks, mut told) = (0, 0, 0_u32);
    let mut packets = 0_u32;
    let mut flight = Vec::with_capacity(64);
    for ms in 1..20_000_u64 {
        let now = Instant::from_millis(ms);
        let counted = ms > 5_000;
        let region = Region::new(ALLOCATOR);
        if ms.is_multiple_of(33) {
            sender.send_frame(now, 0, &unit, ms as u32 * 90).expect("it can be cut");
        }
        while sender.poll_timeout().is_some_and(|due| due <= now) {
            sender.handle_input(now, Input::Timeout);
        }
        while let Some(output) = sender.poll_output() {
            if let Output::Datagram(datagram) = output {
                flight.push(datagram);
            }
        }
        let change = region.change();
        if counted {
            sending += change.allocations + change.reallocations;
            packets += flight.len() as u32;
        }
        for datagram in flight.drain(..) {
            receiver.handle_input(now, Input::Datagram(datagram));
        }
        while receiver.poll_packet().is_some() {}
        while receiver.poll_timeout().is_some_and(|due| due <= now) {
            receiver.handle_input(now, Input::Timeout);
        }
        while let Some(output) = receiver.poll_output() {
            if let Output::Datagram(datagram) = output {
                let region = Region::new(ALLOCATOR);
                sender.handle_input(now, Input::Datagram(datagram));
                let change = region.change();
                if counted {
                    feedbacks += change.allocations + change.reallocations;
                    told += 1;
                }
            }
        }
    }
    assert!(packets > 2_000, "{packets} packets");
    (sending as f64 / f64::from(packets), feedbacks as f64 / f64::from(told))
}

/// Bytes that one of many such things keeps while nothing happens.
fn kept<T>(mut make: impl FnMut() -> T) -> f64 {
    const MANY: usize = 32;
    let mut held = Vec::with_capacity(MANY);
    let region = Region::new(ALLOCATOR);
    held.extend(core::iter::repeat_with(&mut make).take(MANY));
    let change = region.change();
    (change.bytes_allocated - change.bytes_deallocated) as f64 / MANY as f64 + size_of::<T>() as f64
}

/// What an idle connected peer keeps in the `rtc` peer connection without logs of what was
/// sent, measured once with this allocator: ours has to do with less.
const RTC_PEER_BYTES: f64 = 81_000.0;

/// One test, so that nothing else allocates meanwhile. Reports leave once a minute here,
/// and may allocate: far less than once in a hundred packets.
#[test]
fn packets_in_the_steady_state_allocate_nothing() {
    let region = Region::new(ALLOCATOR);
    drop(core::hint::black_box(Box::new(1)));
    assert!(region.change().allocations > 0, "the counter counts");

    let relay_config = Config { relay: true, ..config() };
    let mut left = session(&relay_config);
    let mirrored = Config {
        local: relay_config.remote.clone(),
        remote: relay_config.local.clone(),
        ..relay_config.clone()
    };
    let mut right = session(&mirrored);
    let relayed = allocations_per_packet(
        |now, datagram| {
            left.handle_input(now, Input::Datagram(datagram.clone()));
            while let Some(packet) = left.poll_packet() {
                right.forward(now, packet).expect("PCMU was negotiated");
            }
            while left.poll_output().is_some() {}
            while right.poll_output().is_some() {}
            run_timers(&mut left, now);
            run_timers(&mut right, now);
        },
        &relay_config,
    );
    assert!(relayed < 0.05, "{relayed} allocations per relayed packet");

    let receive_config = Config { decode: Decode::Nothing, ..config() };
    let mut receiver = session(&receive_config);
    let received = allocations_per_packet(
        |now, datagram| {
            run_timers(&mut receiver, now);
            receiver.handle_input(now, Input::Datagram(datagram.clone()));
            while receiver.poll_output().is_some() {}
        },
        &receive_config,
    );
    assert!(received < 0.05, "{received} allocations per received packet");
    assert_eq!(receiver.stats().inbound[0].source.packets_received, WARM_UP + COUNTED);

    let (paced, feedback) = paced();
    println!("{paced} allocations per paced packet, {feedback} per feedback");
    assert!(paced < 0.05, "{paced} allocations per packet that is paced");

    let mut pair = pair::Pair::connected();
    let mut opened = 0;
    let protected = allocations_per_packet(
        |now, datagram| {
            let datagram = pair.right.protect(&datagram.payload).expect("it is connected");
            pair.left.handle_input(now, webrtc::Input::Datagram(datagram));
            while let Some(output) = pair.left.poll_output() {
                opened += u64::from(matches!(output, webrtc::Output::Media(_)));
            }
        },
        &receive_config,
    );
    assert!(protected < 0.05, "{protected} allocations per packet of SRTP");
    let (plain, secure) = (kept(|| session(&config())), kept(pair::Pair::connected) / 2.0);
    println!("idle: {plain:.0} bytes a session, {secure:.0} a connected transport below one");
    assert!(plain + secure < RTC_PEER_BYTES, "{plain} and {secure} bytes");
    assert_eq!(opened, WARM_UP + COUNTED);
}
