//! Sound: the jitter buffer with and without its codec, Opus both ways, mixing.

use core::time::Duration;
use std::hint::black_box;

use bytes::Bytes;
use callrig_media::audio::Audio;
use callrig_media::audio::mixer::{self, Mixer};
use callrig_media::codec::opus::{self, Decoder, Encoder};
use callrig_media::description::Codec;
use callrig_media::jitter::{Config, Playout};
use callrig_media::rtp;
use callrig_media::time::Instant;
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

use super::{Work, wire};

/// Ten seconds of speech in packets of 20 ms; more units go round.
const PACKETS: u32 = 500;
const OPUS: Codec = Codec::Opus { stereo: false };

/// Something like a voice, at 48 kHz.
fn voice(milliseconds: u32) -> Vec<i16> {
    let mut phase = 0.0_f64;
    (0..milliseconds * 48)
        .map(|n| {
            let t = f64::from(n) / 48_000.0;
            phase += (140.0 + 40.0 * (core::f64::consts::TAU * 0.7 * t).sin()) / 48_000.0;
            let harmonics: f64 = (1..12)
                .map(|h| (core::f64::consts::TAU * phase * f64::from(h)).sin() / f64::from(h))
                .sum();
            let syllable = (0.55 + 0.45 * (core::f64::consts::TAU * 3.1 * t).sin()).powi(2);
            (6_000.0 * syllable * harmonics) as i16
        })
        .collect()
}

/// Mono Opus at 32 kbit/s.
fn payloads() -> Vec<Bytes> {
    let mut encoder = Encoder::new(&opus::Config::default()).expect("valid");
    voice(PACKETS * 20)
        .chunks_exact(960)
        .map(|chunk| {
            let mut packet = [0; opus::PACKET_BYTES_MAX];
            let length = encoder.encode(chunk, &mut packet).expect("20 ms");
            Bytes::copy_from_slice(&packet[..length])
        })
        .collect()
}

struct Arrival {
    at: Instant,
    sequence: u64,
    packet: rtp::Packet,
}

/// As sent, or with 5 % loss, 10 % reordering within 3 packets and 40 ms of jitter either way.
fn arrivals(payloads: &[Bytes], impaired: bool) -> Vec<Arrival> {
    let mut random = Pcg64Mcg::seed_from_u64(1);
    let mut arrivals = Vec::new();
    for (index, payload) in (0_u32..).zip(payloads) {
        let mut at = Duration::from_millis(100 + 20 * u64::from(index));
        if impaired {
            if random.random_bool(0.05) {
                continue;
            }
            at += Duration::from_micros(random.random_range(0..80_000));
            if random.random_bool(0.1) {
                at += Duration::from_millis(20 * random.random_range(1..=3));
            }
        }
        let packet = wire::packet(index, payload.clone());
        arrivals.push(Arrival { at: Instant::ZERO + at, sequence: index.into(), packet });
    }
    arrivals.sort_by_key(|arrival| arrival.at);
    arrivals
}

fn playout(impaired: bool, decode: bool) -> Work {
    let payloads =
        if decode { payloads() } else { vec![Bytes::from_static(&[0xf8; 80]); PACKETS as usize] };
    let arrivals = arrivals(&payloads, impaired);
    Box::new(move |units| {
        let mut left = units as usize;
        while left > 0 {
            let config = Config { decode, ..Config::default() };
            let mut playout = Playout::new(&config, 7).expect("valid");
            let mut audio = Audio::default();
            for arrival in arrivals.iter().take(left) {
                while let Some(due) = playout.poll_timeout().filter(|&due| due <= arrival.at) {
                    playout.pull(due, &mut audio);
                    black_box(&audio);
                }
                let _ = playout.push(arrival.at, arrival.sequence, &arrival.packet, OPUS);
            }
            left = left.saturating_sub(arrivals.len());
        }
    })
}

pub(super) fn jitter_clean() -> Work {
    playout(false, false)
}

pub(super) fn jitter_impaired() -> Work {
    playout(true, false)
}

pub(super) fn to_pcm() -> Work {
    playout(false, true)
}

/// The library alone, which our decoder and all that is around it can only be slower than.
pub(super) fn libopus_decode() -> Work {
    let payloads = payloads();
    let mut decoder = ::opus::Decoder::new(48_000, ::opus::Channels::Mono).expect("valid");
    let mut samples = [0; 960];
    Box::new(move |units| {
        for payload in payloads.iter().cycle().take(units as usize) {
            let decoded = decoder.decode(black_box(payload), &mut samples, false);
            black_box(decoded.expect("it is Opus"));
        }
    })
}

pub(super) fn decode() -> Work {
    let payloads = payloads();
    let mut decoder = Decoder::new(48_000, 1).expect("valid");
    let mut samples = [0; 960];
    Box::new(move |units| {
        for payload in payloads.iter().cycle().take(units as usize) {
            black_box(decoder.decode(black_box(payload), &mut samples).expect("it is Opus"));
        }
    })
}

pub(super) fn encode() -> Work {
    let sound = voice(2_000);
    let mut encoder = Encoder::new(&opus::Config::default()).expect("valid");
    let mut packet = [0; opus::PACKET_BYTES_MAX];
    Box::new(move |units| {
        for chunk in sound.chunks_exact(960).cycle().take(units as usize) {
            black_box(encoder.encode(black_box(chunk), &mut packet).expect("20 ms"));
        }
    })
}

pub(super) fn mix() -> Work {
    let sound = voice(20);
    let mut mixer = Mixer::new(mixer::Config { frame: 960, speakers_max: 3 });
    Box::new(move |units| {
        for _ in 0..units {
            for key in 0..50 {
                mixer.push(key, &sound).expect("fits");
            }
            mixer.mix();
        }
    })
}
