//! The H.264 path stage by stage, beside the libraries that do the same job and beside the
//! least that the job can cost: a copy. `cargo bench -p callrig-media --bench video`. The
//! last group prints ratios, from pairs of one run.

#[path = "pairs/compare.rs"]
mod compare;

use std::hint::black_box;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use callrig_media::codec::h264::{Config as EncoderConfig, Decoder, Encoder};
use callrig_media::payload::h264::{Depacketizer, PacketizationMode, Packetizer};
use callrig_media::rtp;
use callrig_media::time::Instant;
use callrig_media::video::Picture;
use callrig_media::video::assembly::{Assembled, Assembler, Config, Gate};
use callrig_media::video::nal;
use compare::compare;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rtc_rtp::packetizer::{Depacketizer as _, Payloader as _};
use str0m::format::CodecExtra;
use str0m::unversioned::{Depacketizer as _, Packetizer as _};

const MTU: usize = 1_200;

/// One second of 1080p at 30 frames/s and 5 Mbit/s: a key frame of 120 kB, then 17 kB each.
fn access_units() -> Vec<Bytes> {
    let mut state = 1_u32;
    let mut slice = |header: u8, size: usize| {
        let mut bytes = vec![0, 0, 0, 1, header, 0xE0];
        while bytes.len() < size {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let byte = (state >> 24) as u8;
            bytes.push(if bytes.last() == Some(&0) { byte | 1 } else { byte });
        }
        bytes.push(0x80);
        bytes
    };
    let sets = [
        &[0, 0, 0, 1, 0x67, 0x42, 0xC0, 0x1F, 0x8C, 0x8D, 0x40, 0x28, 0x02, 0xDD, 0x01][..],
        &[0, 0, 0, 1, 0x68, 0xCE, 0x3C, 0x80],
    ];
    let key = [sets.concat(), slice(0x65, 120_000)].concat();
    let rest = (1..30).map(|_| slice(0x41, 17_000));
    core::iter::once(key).chain(rest).map(Bytes::from).collect()
}

fn payloads(units: &[Bytes]) -> Vec<rtp::Packet> {
    let mut packetizer = Packetizer::new(PacketizationMode::NonInterleaved, MTU).expect("it fits");
    let (mut out, mut fragments) = (Vec::new(), Vec::new());
    for (index, unit) in units.iter().enumerate() {
        packetizer.packetize(unit, &mut fragments).expect("it can be carried");
        for fragment in fragments.drain(..) {
            let timestamp = index as u32 * 3_000;
            let header =
                rtp::Header { timestamp, marker: fragment.marker, ..rtp::Header::default() };
            out.push(rtp::Packet { header, payload: fragment.into_payload() });
        }
    }
    out
}

fn packetize(c: &mut Criterion) {
    let units = access_units();
    let bytes: usize = units.iter().map(Bytes::len).sum();
    let mut group = c.benchmark_group("packetize");
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function("copy", |b| {
        let mut datagram = BytesMut::with_capacity(2 * MTU);
        b.iter(|| {
            for part in units.iter().flat_map(|unit| unit.chunks(MTU)) {
                datagram.clear();
                datagram.extend_from_slice(black_box(part));
                black_box(&datagram);
            }
        });
    });
    let mut packetizer = Packetizer::new(PacketizationMode::NonInterleaved, MTU).expect("it fits");
    let mut fragments = Vec::new();
    group.bench_function("callrig", |b| {
        b.iter(|| {
            for unit in &units {
                packetizer.packetize(black_box(unit), &mut fragments).expect("it can be carried");
                black_box(&fragments);
                fragments.clear();
            }
        });
    });
    group.bench_function("callrig and copy", |b| {
        let mut datagram = BytesMut::with_capacity(2 * MTU);
        b.iter(|| {
            for unit in &units {
                packetizer.packetize(black_box(unit), &mut fragments).expect("it can be carried");
                for fragment in fragments.drain(..) {
                    datagram.clear();
                    fragment.write(&mut datagram);
                    black_box(&datagram);
                }
            }
        });
    });
    group.bench_function("rtc-rtp", |b| {
        let mut theirs = rtc_rtp::codec::h264::H264Payloader::default();
        b.iter(|| {
            for unit in &units {
                black_box(theirs.payload(MTU, black_box(unit)).expect("it is well-formed"));
            }
        });
    });
    group.bench_function("str0m", |b| {
        let mut theirs = str0m::unversioned::H264Packetizer::default();
        b.iter(|| {
            for unit in &units {
                black_box(theirs.packetize(MTU, black_box(unit)).expect("it is well-formed"));
            }
        });
    });
    group.finish();
}

fn depacketize(c: &mut Criterion) {
    let packets = payloads(&access_units());
    let bytes: usize = packets.iter().map(|packet| packet.payload.len()).sum();
    let mut group = c.benchmark_group("depacketize");
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function("copy", |b| {
        let mut out = BytesMut::new();
        b.iter(|| {
            for packet in &packets {
                out.extend_from_slice(black_box(&packet.payload));
                if packet.header.marker {
                    black_box(&out);
                    out.clear();
                }
            }
        });
    });
    group.bench_function("callrig", |b| {
        let mut ours = Depacketizer::new(PacketizationMode::NonInterleaved);
        let mut out = BytesMut::new();
        b.iter(|| {
            for packet in &packets {
                ours.push(black_box(&packet.payload), &mut out).expect("it is well-formed");
                if packet.header.marker {
                    black_box(&out);
                    out.clear();
                    ours.clear();
                }
            }
        });
    });
    group.bench_function("rtc-rtp", |b| {
        let mut theirs = rtc_rtp::codec::h264::H264Packet::default();
        b.iter(|| {
            for packet in &packets {
                black_box(theirs.depacketize(black_box(&packet.payload)).expect("well-formed"));
            }
        });
    });
    group.bench_function("str0m", |b| {
        let mut theirs = str0m::unversioned::H264Depacketizer::default();
        let (mut out, mut extra) = (Vec::new(), CodecExtra::None);
        b.iter(|| {
            for packet in &packets {
                let payload = black_box(&packet.payload);
                theirs.depacketize(payload, &mut out, &mut extra).expect("it is well-formed");
                if packet.header.marker {
                    black_box(&out);
                    out.clear();
                }
            }
        });
    });
    group.finish();
}

fn assemble(c: &mut Criterion) {
    let packets = payloads(&access_units());
    let mut group = c.benchmark_group("assemble");
    group.throughput(Throughput::Elements(packets.len() as u64));
    let in_order: Vec<usize> = (0..packets.len()).collect();
    let mut reordered = in_order.clone();
    // One packet in ten changes places with the third behind it.
    (1..packets.len() - 3).step_by(10).for_each(|at| reordered.swap(at, at + 3));
    for (name, order) in [("in order", in_order), ("reordered", reordered)] {
        let mut assembler = Assembler::new(1, Config { gate: Gate::KeyFrame, ..Config::default() });
        let mut round = 0_u64;
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut frames = 0;
                for &index in &order {
                    let sequence = round * order.len() as u64 + index as u64;
                    let now = Instant::from_micros(sequence * 1_000);
                    assembler.push(now, sequence, black_box(&packets[index]));
                    while let Some(assembled) = assembler.poll() {
                        frames += u32::from(matches!(assembled, Assembled::Frame(_)));
                    }
                }
                round += 1;
                assert_eq!(frames, 30, "nothing was lost");
            });
        });
    }
    group.finish();
}

/// 30 pictures of 720p in which something moves, at 1.5 Mbit/s.
fn encoded() -> Vec<Bytes> {
    let mut encoder = Encoder::new(&EncoderConfig::default()).expect("there is memory");
    let (width, height) = (1_280_usize, 720_usize);
    let units = (0..30).filter_map(|index| {
        let y = (0..width * height).map(|at| {
            let (x, y) = (at % width + 4 * index, at / width);
            ((x / 5) ^ (y / 3) ^ ((x * y) >> 11)) as u8
        });
        let chroma = |shade: u8| vec![shade; width * height / 4];
        let picture = Picture {
            width: width as u16,
            height: height as u16,
            y: y.collect(),
            u: chroma(100),
            v: chroma(150),
            timestamp: 0,
        };
        let at = Duration::from_millis(33 * index as u64);
        encoder.encode(&picture, at).expect("OpenH264 takes it").map(|encoded| encoded.data)
    });
    units.collect()
}

fn decode(c: &mut Criterion) {
    let units = encoded();
    let mut group = c.benchmark_group("decode 720p");
    group.sample_size(20).throughput(Throughput::Elements(units.len() as u64));
    group.bench_function("openh264", |b| {
        use openh264::decoder::{Decoder, DecoderConfig, Flush};
        let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
        let api = openh264::OpenH264API::from_source();
        let mut theirs = Decoder::with_api_config(api, config).expect("there is memory");
        b.iter(|| {
            for unit in &units {
                black_box(theirs.decode(unit).expect("it is whole").is_some());
            }
        });
    });
    group.bench_function("callrig, borrowed", |b| {
        let mut ours = Decoder::new().expect("there is memory");
        b.iter(|| {
            for unit in &units {
                black_box(ours.decode(unit, 1).expect("it is whole").is_some());
            }
        });
    });
    group.bench_function("callrig, copied", |b| {
        let mut ours = Decoder::new().expect("there is memory");
        let mut picture = Picture::default();
        b.iter(|| {
            for unit in &units {
                if let Some(decoded) = ours.decode(unit, 1).expect("it is whole") {
                    decoded.write(&mut picture);
                }
                black_box(&picture);
            }
        });
    });
    group.bench_function("callrig, from packets, borrowed", |b| {
        let mut ours = Decoder::new().expect("there is memory");
        let packets = payloads(&units);
        let mut assembler = Assembler::new(1, Config::default());
        let mut sequence = 0;
        b.iter(|| {
            for packet in &packets {
                assembler.push(Instant::from_micros(sequence * 1_000), sequence, packet);
                sequence += 1;
                while let Some(Assembled::Frame(frame)) = assembler.poll() {
                    black_box(ours.decode(&frame.data, 1).expect("it is whole").is_some());
                }
            }
        });
    });
    group.finish();
}

fn split(c: &mut Criterion) {
    let stream: Bytes = access_units().concat().into();
    let mut group = c.benchmark_group("split");
    group.throughput(Throughput::Bytes(stream.len() as u64));
    group.bench_function("NAL units", |b| b.iter(|| nal::units(black_box(&stream)).count()));
    group.bench_function("access units", |b| {
        b.iter(|| callrig_media::video::access_unit::split(black_box(&stream)).count());
    });
    group.finish();
}

/// From packets to pictures, over OpenH264 alone; from packets to access units, over a copy.
fn ratios(_: &mut Criterion) {
    let units = encoded();
    let packets = payloads(&units);
    let mut numbers = 0_u64;
    let mut assemble =
        |assembler: &mut Assembler, packets: &[rtp::Packet], take: &mut dyn FnMut(&[u8])| {
            for packet in packets {
                assembler.push(Instant::from_micros(numbers * 1_000), numbers, black_box(packet));
                numbers += 1;
                while let Some(Assembled::Frame(frame)) = assembler.poll() {
                    take(&frame.data);
                }
            }
        };
    let mut assembler = Assembler::new(1, Config::default());
    let mut ours = Decoder::new().expect("there is memory");
    let config = openh264::decoder::DecoderConfig::new()
        .flush_after_decode(openh264::decoder::Flush::NoFlush);
    let api = openh264::OpenH264API::from_source();
    let mut theirs =
        openh264::decoder::Decoder::with_api_config(api, config).expect("there is memory");
    let (ratio, best) = compare(
        41,
        || {
            assemble(&mut assembler, &packets, &mut |unit| {
                black_box(ours.decode(unit, 1).expect("it is whole").is_some());
            });
        },
        || {
            for unit in &units {
                black_box(theirs.decode(unit).expect("it is whole").is_some());
            }
        },
    );
    let each = 1e9 / packets.len() as f64;
    let [all, alone] = best.map(|seconds| seconds * each);
    println!("720p from packets: {ratio:.3} x OpenH264 ({all:.0} and {alone:.0} ns/packet)");

    let packets = payloads(&access_units());
    let mut assembler = Assembler::new(1, Config::default());
    let mut out = BytesMut::new();
    let (ratio, best) = compare(
        401,
        || assemble(&mut assembler, &packets, &mut |unit| _ = black_box(unit)),
        || {
            for packet in &packets {
                out.extend_from_slice(black_box(&packet.payload));
                if packet.header.marker {
                    black_box(&out);
                    out.clear();
                }
            }
        },
    );
    let each = 1e9 / packets.len() as f64;
    let [ours, copy] = best.map(|seconds| seconds * each);
    println!("access units: {ratio:.2} x a copy ({ours:.0} and {copy:.0} ns/packet)");
}

criterion_group!(benches, packetize, depacketize, assemble, decode, split, ratios);
criterion_main!(benches);
