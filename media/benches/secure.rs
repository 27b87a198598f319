//! What WebRTC costs a packet, without sockets: our transport, and bare `rtc-srtp` contexts
//! that are given the parsed header, with five hundred live peers in turn. Rounds alternate
//! and the ratio is the median of rounds, since machines drift more than the two differ.
//! `cargo bench -p callrig-media --bench secure`; `-- 50` for another number of peers.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "whoever measures time has to look at the clock"
)]

#[path = "../tests/it/webrtc/pair.rs"]
mod pair;

use core::hint::black_box;
use std::time::Instant as Clock;

use bytes::Bytes;
use callrig_media::datagram::Datagram;
use callrig_media::rtp;
use callrig_media::time::Instant;
use callrig_media::transport::webrtc::{Input, Output};
use pair::Pair;
use rtc_shared::marshal::Unmarshal;
use rtc_srtp::context::Context;
use rtc_srtp::crypto::default_provider;
use rtc_srtp::protection_profile::ProtectionProfile;

const PEERS: usize = 500;
const ROUNDS: usize = 31;
/// Packets of each peer in a round.
const TURNS: usize = 8;

struct Bare {
    out: Context,
    incoming: Context,
}

impl Bare {
    fn new() -> Self {
        let provider = default_provider().expect("ring is built in");
        let context = || {
            let profile = ProtectionProfile::AeadAes128Gcm;
            let replay = rtc_srtp::option::srtp_replay_protection(1024);
            Context::new(&[7; 16], &[9; 12], profile, Some(replay), None, provider.crypto())
                .expect("the key fits")
        };
        Self { out: context(), incoming: context() }
    }
}

fn packet(number: u16, size: usize) -> Bytes {
    let header = rtp::Header {
        payload_type: 111,
        sequence_number: number,
        timestamp: u32::from(number) * 960,
        ssrc: 7,
        ..rtp::Header::default()
    };
    rtp::Packet { header, payload: vec![0x55; size].into() }.to_bytes()
}

/// Nanoseconds a packet.
fn time(packets: usize, act: impl FnOnce()) -> f64 {
    let began = Clock::now();
    act();
    began.elapsed().as_nanos() as f64 / packets as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[derive(Default)]
struct Measured {
    ours: Vec<f64>,
    bare: Vec<f64>,
}

impl Measured {
    fn print(self, name: &str, size: usize) {
        let ratios = self.ours.iter().zip(&self.bare).map(|(ours, bare)| ours / bare).collect();
        let (ours, bare, ratio) = (median(self.ours), median(self.bare), median(ratios));
        println!("{name:>4} {size:>5} B  {ours:>7.0} ns  {bare:>7.0} ns  {ratio:>6.2}");
    }
}

fn measure(pairs: &mut [Pair], bare: &mut [Bare], size: usize, number: &mut u16) {
    let (mut out, mut incoming) = (Measured::default(), Measured::default());
    let count = pairs.len() * TURNS;
    for round in 0..ROUNDS {
        let packets: Vec<Bytes> = (0..TURNS)
            .map(|_| {
                *number = number.wrapping_add(1);
                packet(*number, size)
            })
            .collect();
        let headers: Vec<_> = packets
            .iter()
            .map(|p| rtc_rtp::Header::unmarshal(&mut &p[..]).expect("it is a packet"))
            .collect();
        let mut protected: Vec<Datagram> = Vec::with_capacity(count);
        let mut encrypted = Vec::with_capacity(count);
        let mut send_ours = |out: &mut Measured| {
            out.ours.push(time(count, || {
                for packet in &packets {
                    for pair in pairs.iter_mut() {
                        protected.push(pair.right.protect(packet).expect("it is connected"));
                    }
                }
            }));
        };
        let mut send_bare = |out: &mut Measured| {
            out.bare.push(time(count, || {
                for (packet, header) in packets.iter().zip(&headers) {
                    for bare in bare.iter_mut() {
                        let sent = bare.out.encrypt_rtp_with_header(packet, header);
                        encrypted.push(sent.expect("it is a packet"));
                    }
                }
            }));
        };
        if round % 2 == 0 {
            send_ours(&mut out);
            send_bare(&mut out);
        } else {
            send_bare(&mut out);
            send_ours(&mut out);
        }
        let take_ours = time(count, || {
            for (index, datagram) in protected.drain(..).enumerate() {
                let left = &mut pairs[index % (count / TURNS)].left;
                left.handle_input(Instant::ZERO, Input::Datagram(datagram));
                while let Some(output) = left.poll_output() {
                    assert!(matches!(black_box(output), Output::Media(_)));
                }
            }
        });
        let take_bare = time(count, || {
            for (index, packet) in encrypted.drain(..).enumerate() {
                let header = &headers[index / (count / TURNS)];
                let context = &mut bare[index % (count / TURNS)].incoming;
                black_box(context.decrypt_rtp_with_header(&packet, header)).expect("authentic");
            }
        });
        incoming.ours.push(take_ours);
        incoming.bare.push(take_bare);
    }
    out.print("out", size);
    incoming.print("in", size);
}

fn main() {
    let given = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let peers: usize = given.unwrap_or(PEERS);
    let mut pairs: Vec<Pair> = (0..peers).map(|_| Pair::connected()).collect();
    let mut bare: Vec<Bare> = (0..peers).map(|_| Bare::new()).collect();
    println!("{peers} peers, AES-128-GCM: ours, bare rtc-srtp, and the median ratio");
    let mut number = 0;
    for size in [160, 1_200] {
        measure(&mut pairs, &mut bare, size, &mut number);
    }
}
