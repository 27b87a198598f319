//! Sound, stage by stage, beside the libraries that do the same: the jitter buffer with
//! and without its codec, mixing, tones, resampling. `cargo bench -p callrig-media --bench
//! audio`. The last group prints ratios: of each pair both are run in turn, many times, and
//! the median of the quotients is told, since single times mean little on a busy machine.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock"
)]

#[path = "pairs/compare.rs"]
mod compare;

use core::time::Duration;
use std::hint::black_box;

use bytes::Bytes;
use callrig_media::audio::mixer::{self, Mixer};
use callrig_media::audio::resample::Resampler;
use callrig_media::audio::{Audio, level};
use callrig_media::codec::g711::Law;
use callrig_media::codec::opus::{self, Decoder, Encoder};
use callrig_media::description::Codec;
use callrig_media::dtmf::detect::Detector;
use callrig_media::jitter::{Config, Playout};
use callrig_media::payload;
use callrig_media::rtp;
use callrig_media::time::Instant;
use compare::compare;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use rtc_interceptor::{AttributedPacket, JitterBuffer, Packet, TaggedPacket};

/// A minute of speech in packets of 20 ms.
const PACKETS: u64 = 3_000;

const OPUS: Codec = Codec::Opus { stereo: false };

/// Something like a voice, at 48 kHz.
fn voice(milliseconds: usize) -> Vec<i16> {
    let mut phase = 0.0_f64;
    (0..milliseconds * 48)
        .map(|n| {
            let t = n as f64 / 48_000.0;
            phase += (140.0 + 40.0 * (core::f64::consts::TAU * 0.7 * t).sin()) / 48_000.0;
            let harmonics: f64 = (1..12)
                .map(|h| (core::f64::consts::TAU * phase * f64::from(h)).sin() / f64::from(h))
                .sum();
            let syllable = (0.55 + 0.45 * (core::f64::consts::TAU * 3.1 * t).sin()).powi(2);
            (6_000.0 * syllable * harmonics) as i16
        })
        .collect()
}

/// A minute of mono Opus at 32 kbit/s.
fn payloads() -> Vec<Bytes> {
    let mut encoder = Encoder::new(&opus::Config::default()).expect("valid");
    voice(PACKETS as usize * 20)
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

/// As sent, or with 5 % loss, 10 % reordering within 3 packets and 40 ms of jitter either
/// way.
fn arrivals(payloads: &[Bytes], impaired: bool) -> Vec<Arrival> {
    let mut random = Pcg64Mcg::seed_from_u64(1);
    let mut arrivals = Vec::new();
    for (index, payload) in (0..).zip(payloads) {
        let mut at = Duration::from_millis(100 + 20 * index);
        if impaired {
            if random.random_bool(0.05) {
                continue;
            }
            at += Duration::from_micros(random.random_range(0..80_000));
            if random.random_bool(0.1) {
                at += Duration::from_millis(20 * random.random_range(1..=3));
            }
        }
        let header = rtp::Header {
            sequence_number: index as u16,
            timestamp: 960 * index as u32,
            ssrc: 7,
            ..rtp::Header::default()
        };
        let packet = rtp::Packet { header, payload: payload.clone() };
        arrivals.push(Arrival { at: Instant::ZERO + at, sequence: index, packet });
    }
    arrivals.sort_by_key(|arrival| arrival.at);
    arrivals
}

/// Everything through our jitter buffer; how many samples it played.
fn playout(arrivals: &[Arrival], decode: bool) -> u64 {
    let mut playout = Playout::new(&Config { decode, ..Config::default() }, 7).expect("valid");
    let mut audio = Audio::default();
    for arrival in arrivals {
        while let Some(due) = playout.poll_timeout().filter(|&due| due <= arrival.at) {
            playout.pull(due, &mut audio);
            black_box(&audio);
        }
        let _ = playout.push(arrival.at, arrival.sequence, &arrival.packet, OPUS);
    }
    playout.stats().total_samples_received
}

/// The least that can be done: libopus decodes what comes and conceals what does not.
fn libopus(payloads: &[Bytes], arrived: &[bool]) -> usize {
    let mut decoder = Decoder::new(48_000, 1).expect("valid");
    let mut samples = [0; 960];
    let mut total = 0;
    for (payload, arrived) in payloads.iter().zip(arrived) {
        let decoded = if *arrived {
            decoder.decode(payload, &mut samples)
        } else {
            decoder.conceal(&mut samples)
        };
        total += decoded.expect("valid");
        black_box(&samples);
    }
    total
}

fn arrived(arrivals: &[Arrival]) -> Vec<bool> {
    let mut arrived = vec![false; PACKETS as usize];
    for arrival in arrivals {
        arrived[arrival.sequence as usize] = true;
    }
    arrived
}

/// The same packets as `rtc-interceptor` wants them.
fn tagged(arrivals: &[Arrival]) -> Vec<TaggedPacket> {
    let now = std::time::Instant::now();
    arrivals
        .iter()
        .map(|arrival| TaggedPacket {
            now: now + arrival.at.elapsed(),
            transport: rtc_shared::TransportContext::default(),
            message: AttributedPacket::new(Packet::Rtp(rtc_rtp::Packet {
                header: rtc_rtp::header::Header {
                    ssrc: 7,
                    sequence_number: arrival.packet.header.sequence_number,
                    timestamp: arrival.packet.header.timestamp,
                    ..Default::default()
                },
                payload: arrival.packet.payload.clone(),
            })),
        })
        .collect()
}

/// Its store alone, which has no policy: kept four packets deep.
fn interceptor(packets: &[TaggedPacket]) -> usize {
    let mut buffer = JitterBuffer::new(256);
    buffer.begin_emitting();
    let mut played = 0;
    for packet in packets {
        let _ = buffer.push(TaggedPacket {
            now: packet.now,
            transport: packet.transport,
            message: packet.message.clone(),
        });
        if buffer.len() > 4 {
            played += usize::from(black_box(buffer.pop()).is_some());
        }
    }
    played
}

fn jitter_buffer(c: &mut Criterion) {
    let payloads = payloads();
    for (network, impaired) in [("clean", false), ("impaired", true)] {
        let arrivals = arrivals(&payloads, impaired);
        let (tagged, arrived) = (tagged(&arrivals), arrived(&arrivals));
        let mut group = c.benchmark_group(format!("jitter/{network}"));
        group.throughput(Throughput::Elements(arrivals.len() as u64)).sample_size(20);
        group.bench_function("without-codec/callrig", |b| b.iter(|| playout(&arrivals, false)));
        group.bench_function("without-codec/rtc-interceptor", |b| b.iter(|| interceptor(&tagged)));
        group.bench_function("with-codec/callrig", |b| b.iter(|| playout(&arrivals, true)));
        group.bench_function("with-codec/libopus", |b| b.iter(|| libopus(&payloads, &arrived)));
        group.finish();
    }
}

fn stages(c: &mut Criterion) {
    let sound = voice(20);
    let packet = payloads().swap_remove(50);
    let mut group = c.benchmark_group("audio");
    group.bench_function("opus-packet/callrig", |b| {
        b.iter(|| payload::opus::Packet::parse(black_box(&packet)));
    });
    group.bench_function("opus-packet/libopus", |b| {
        b.iter(|| ::opus::packet::get_nb_samples(black_box(&packet), 48_000));
    });
    group.bench_function("level", |b| b.iter(|| level::Level::of(black_box(&sound))));
    let mut bytes = Vec::new();
    Law::Mu.encode_into(&sound[..160], &mut bytes);
    let mut decoded = [0; 160];
    group.bench_function("g711-decode", |b| {
        b.iter(|| Law::Mu.decode_to(black_box(&bytes), &mut decoded));
    });
    let mut detector = Detector::new(48_000, 1);
    group.bench_function("tone-detector", |b| b.iter(|| detector.push(&sound, 0, 48_000)));
    let mut resampler = Resampler::new(48_000, 16_000, 1).expect("valid");
    let mut out = Vec::new();
    group.bench_function("resample-48-to-16", |b| {
        b.iter(|| {
            out.clear();
            resampler.push(&sound, &mut out)
        });
    });
    for (name, speakers_max) in [("3-of-50", 3), ("50-of-50", 50)] {
        let mut mixer = Mixer::new(mixer::Config { frame: 960, speakers_max });
        group.bench_function(format!("mix-{name}"), |b| {
            b.iter(|| {
                for key in 0..50 {
                    mixer.push(key, &sound).expect("fits");
                }
                mixer.mix();
            });
        });
    }
    group.finish();
}

fn ratios(_: &mut Criterion) {
    let payloads = payloads();
    for (network, impaired) in [("clean", false), ("impaired", true)] {
        let arrivals = arrivals(&payloads, impaired);
        let (tagged, arrived) = (tagged(&arrivals), arrived(&arrivals));
        let each = 1e9 / arrivals.len() as f64;
        let (ratio, best) =
            compare(61, || playout(&arrivals, true), || libopus(&payloads, &arrived));
        let [ours, theirs] = best.map(|seconds| seconds * each);
        println!(
            "{network}, with codec: {ratio:.3} x libopus ({ours:.0} and {theirs:.0} ns/packet)"
        );
        let (ratio, best) = compare(401, || playout(&arrivals, false), || interceptor(&tagged));
        let [ours, theirs] = best.map(|seconds| seconds * each);
        println!(
            "{network}, without: {ratio:.2} x rtc-interceptor's store ({ours:.0} and {theirs:.0} ns/packet)"
        );
    }
}

criterion_group!(benches, jitter_buffer, stages, ratios);
criterion_main!(benches);
