//! Pictures: H.264 into packets, out of them, into access units, and through OpenH264.

use core::time::Duration;
use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use callrig_media::codec::h264::{Config as EncoderConfig, Decoder, Encoder};
use callrig_media::payload::h264::{Depacketizer, PacketizationMode, Packetizer};
use callrig_media::rtp;
use callrig_media::time::Instant;
use callrig_media::video::Picture;
use callrig_media::video::assembly::{Assembler, Config, Gate};

use super::Work;

const MTU: usize = 1_200;
const MODE: PacketizationMode = PacketizationMode::NonInterleaved;

/// A third of a second of 1080p at 5 Mbit/s: a key frame of 120 kB, then 17 kB each.
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
    let rest = (1..10).map(|_| slice(0x41, 17_000));
    core::iter::once(key).chain(rest).map(Bytes::from).collect()
}

fn packets() -> Vec<rtp::Packet> {
    let mut packetizer = Packetizer::new(MODE, MTU).expect("it fits");
    let (mut out, mut fragments) = (Vec::new(), Vec::new());
    for (index, unit) in (0_u32..).zip(&access_units()) {
        packetizer.packetize(unit, &mut fragments).expect("it can be carried");
        for fragment in fragments.drain(..) {
            let (timestamp, marker) = (index * 3_000, fragment.marker);
            let header = rtp::Header { timestamp, marker, ..rtp::Header::default() };
            out.push(rtp::Packet { header, payload: fragment.into_payload() });
        }
    }
    out
}

/// The work goes on where it stopped, so that packets and not whole units are counted.
pub(super) fn packetize() -> Work {
    let units = access_units();
    let mut packetizer = Packetizer::new(MODE, MTU).expect("it fits");
    let mut fragments = Vec::new();
    let mut datagram = BytesMut::with_capacity(2 * MTU);
    Box::new(move |packets| {
        let mut done = 0;
        for unit in units.iter().cycle() {
            if done >= packets {
                break;
            }
            packetizer.packetize(black_box(unit), &mut fragments).expect("it can be carried");
            for fragment in fragments.drain(..) {
                if done < packets {
                    datagram.clear();
                    fragment.write(&mut datagram);
                    black_box(&datagram);
                    done += 1;
                }
            }
        }
    })
}

pub(super) fn depacketize() -> Work {
    let packets = packets();
    let mut out = BytesMut::new();
    Box::new(move |units| {
        let mut depacketizer = Depacketizer::new(MODE);
        out.clear();
        for packet in packets.iter().cycle().take(units as usize) {
            depacketizer.push(black_box(&packet.payload), &mut out).expect("it is well-formed");
            if packet.header.marker {
                black_box(&out);
                out.clear();
                depacketizer.clear();
            }
        }
    })
}

pub(super) fn assemble() -> Work {
    let packets = packets();
    Box::new(move |units| {
        let mut assembler = Assembler::new(1, Config { gate: Gate::KeyFrame, ..Config::default() });
        for (sequence, packet) in (0_u64..).zip(packets.iter().cycle().take(units as usize)) {
            let now = Instant::from_micros(sequence * 1_000);
            assembler.push(now, sequence, black_box(packet));
            while let Some(assembled) = assembler.poll() {
                black_box(&assembled);
            }
        }
    })
}

/// Pictures in which something moves.
fn pictures() -> Vec<Picture> {
    let (width, height) = (320_usize, 180_usize);
    let picture = |index: usize| {
        let y = (0..width * height).map(|at| {
            let (x, y) = (at % width + 4 * index, at / width);
            ((x / 5) ^ (y / 3) ^ ((x * y) >> 11)) as u8
        });
        let chroma = |shade: u8| vec![shade; width * height / 4];
        Picture {
            width: width as u16,
            height: height as u16,
            y: y.collect(),
            u: chroma(100),
            v: chroma(150),
            timestamp: 0,
        }
    };
    (0..20).map(picture).collect()
}

fn encoded() -> Vec<Bytes> {
    let mut encoder = Encoder::new(&EncoderConfig::default()).expect("there is memory");
    let units = (0_u64..).zip(pictures()).filter_map(|(index, picture)| {
        let at = Duration::from_millis(33 * index);
        encoder.encode(&picture, at).expect("OpenH264 takes it").map(|encoded| encoded.data)
    });
    units.collect()
}

pub(super) fn decode() -> Work {
    let units = encoded();
    let mut decoder = Decoder::new().expect("there is memory");
    let mut next = 0;
    Box::new(move |pictures| {
        for _ in 0..pictures {
            let unit = black_box(&units[next]);
            next = (next + 1) % units.len();
            black_box(decoder.decode(unit, 1).expect("it is whole").is_some());
        }
    })
}

pub(super) fn encode() -> Work {
    let pictures = pictures();
    let mut encoder = Encoder::new(&EncoderConfig::default()).expect("there is memory");
    let (mut at, mut next) = (Duration::ZERO, 0);
    // It goes on where it stopped: the same picture twice in a row costs next to nothing, and what
    // is done once more would not be 5 % more work.
    Box::new(move |units| {
        for _ in 0..units {
            let picture = black_box(&pictures[next]);
            next = (next + 1) % pictures.len();
            at += Duration::from_millis(33);
            black_box(encoder.encode(picture, at).expect("OpenH264 takes it"));
        }
    })
}
