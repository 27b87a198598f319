//! No allocation per packet in the steady state: a relay, a session that receives and does
//! not decode, and SRTP both ways. A binary of its own, since it counts what the whole process allocates.

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
                right.forward(now, &packet).expect("PCMU was negotiated");
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
    assert_eq!(opened, WARM_UP + COUNTED);
}
