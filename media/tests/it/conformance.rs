//! The conformance streams of the JVT and of OpenH264, through packets and back: every NAL
//! unit exact, every picture as published. They are not part of this project: the tests
//! say so and pass where the folder is absent.

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use callrig_media::codec::h264::Decoder;
use callrig_media::payload::h264::{PacketizationMode, Packetizer};
use callrig_media::rtp;
use callrig_media::time::Instant;
use callrig_media::video::access_unit;
use callrig_media::video::assembly::{Assembled, Assembler, Config, Gate};
use callrig_media::video::nal;
use sha1::{Digest, Sha1};

use crate::h264::annex_b;
use crate::video::packet;

/// Streams that OpenH264 does not decode to the published digest when it is told to read AVC,
/// as it always is here: what it gives instead, and why that is right.
const DEVIATIONS: [(&str, &str, &str); 2] = [
    (
        "Cisco_Men_whisper_640x320_CABAC_Bframe_9.264",
        "2b349c1bc806b6e0412008747b2463d77b576476",
        "two IDR pictures in front of B pictures; ffmpeg decodes the same nine pictures",
    ),
    (
        "sps_subsetsps_bothVUI.264",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "its only slice is of an SVC layer (NAL unit type 20), so there is no picture",
    ),
];

/// A stream and the digest of its pictures, where there is one.
struct Published {
    name: String,
    stream: Bytes,
    digest: Option<String>,
}

fn published() -> Vec<Published> {
    let folder = std::env::var_os("CALLRIG_OUTSIDE_CORPORA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpora")),
        PathBuf::from,
    );
    let folder = folder.join("h264");
    let Ok(sums) = fs::read_to_string(folder.join("SHA1SUMS")) else {
        println!("skipped: no conformance streams in {}", folder.display());
        return Vec::new();
    };
    let rows = sums.lines().filter(|line| !line.starts_with('#'));
    rows.filter_map(|row| row.split_once(char::is_whitespace))
        .map(|(name, digest)| {
            let stream = fs::read(folder.join(name)).expect("SHA1SUMS lists what is there").into();
            let digest = digest.trim();
            let known = DEVIATIONS.iter().find(|(deviating, _, _)| *deviating == name);
            let digest = known.map_or(digest, |(_, ours, _)| ours);
            let digest = (digest != "-").then(|| digest.to_owned());
            Published { name: name.to_owned(), stream, digest }
        })
        .collect()
}

/// The access units of a stream with start codes of four bytes.
fn access_units(stream: &Bytes) -> Vec<Bytes> {
    access_unit::split(stream)
        .map(|part| annex_b(&nal::units(&part).map(<[u8]>::to_vec).collect::<Vec<_>>()))
        .collect()
}

fn packets(units: &[Bytes], mode: PacketizationMode, max: usize) -> Vec<rtp::Packet> {
    let mut packetizer = Packetizer::new(mode, max).expect("the size is allowed");
    let (mut out, mut fragments) = (Vec::new(), Vec::new());
    for (index, unit) in units.iter().enumerate() {
        packetizer.packetize(unit, &mut fragments).expect("every unit can be carried");
        for fragment in fragments.drain(..) {
            let timestamp = (index as u32).wrapping_mul(3_000).wrapping_add(u32::MAX - 9_000);
            out.push(packet(timestamp, fragment.marker, fragment.into_payload()));
        }
    }
    out
}

/// Packets as they come: a few milliseconds late, some of them twice. The first is first.
fn shuffled(count: usize, seed: u32) -> Vec<(u64, usize)> {
    let mut state = seed;
    let mut random = move |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        u64::from((state >> 8) % below)
    };
    let mut arrivals = vec![(0, 0)];
    for index in 1..count {
        let sent = index as u64;
        let delay = if random(4) == 0 { random(30) } else { 0 };
        arrivals.push((sent + delay, index));
        if random(20) == 0 {
            arrivals.push((sent + random(40), index));
        }
    }
    arrivals.sort_unstable();
    arrivals
}

fn assemble(packets: &[rtp::Packet], gate: Gate) -> Vec<Bytes> {
    let mut assembler = Assembler::new(1, Config { gate, ..Config::default() });
    let mut out = Vec::new();
    let mut drain = |assembler: &mut Assembler| {
        while let Some(assembled) = assembler.poll() {
            match assembled {
                Assembled::Frame(frame) => out.push(frame.data),
                Assembled::Dropped { .. } => panic!("nothing was lost: {assembled:?}"),
            }
        }
    };
    for (millis, index) in shuffled(packets.len(), 7) {
        assembler.push(Instant::from_millis(millis), index as u64, &packets[index]);
        drain(&mut assembler);
    }
    assembler.finish();
    drain(&mut assembler);
    let stats = assembler.stats();
    assert_eq!(stats.packets_used, packets.len() as u64);
    assert_eq!(stats.packets_received, stats.packets_used + stats.packets_duplicate);
    out
}

/// SHA-1 over all pictures in output order, and how many access units could not be decoded.
fn decode(units: &[Bytes]) -> (String, usize) {
    let mut decoder = Decoder::new().expect("there is memory");
    let (mut digest, mut refused) = (Sha1::new(), 0);
    for (index, unit) in units.iter().enumerate() {
        match decoder.decode(unit, index as u32) {
            Ok(Some(picture)) => picture.rows().for_each(|row| digest.update(row)),
            Ok(None) => {}
            Err(_) => refused += 1,
        }
    }
    if let Ok(pictures) = decoder.finish() {
        pictures.iter().flat_map(|picture| picture.rows()).for_each(|row| digest.update(row));
    }
    let hex = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    (hex, refused)
}

fn survives(mode: PacketizationMode, max: usize) {
    let mut failures = Vec::new();
    for Published { name, stream, digest } in published() {
        let units = access_units(&stream);
        let gate = if digest.is_some() { Gate::KeyFrame } else { Gate::Open };
        let assembled = assemble(&packets(&units, mode, max), gate);
        assert_eq!(assembled.len(), units.len(), "{name}: access units");
        for (index, (ours, theirs)) in assembled.iter().zip(&units).enumerate() {
            assert_eq!(ours, theirs, "{name}: access unit {index}");
        }
        let (ours, refused) = decode(&assembled);
        if digest.is_some_and(|theirs| theirs != ours || refused > 0) {
            failures.push(format!("{name}: {ours}, {refused} refused"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn every_stream_survives_single_unit_packets() {
    survives(PacketizationMode::SingleUnit, 65_000);
}

#[test]
fn every_stream_survives_packets_of_200_bytes() {
    survives(PacketizationMode::NonInterleaved, 200);
}

#[test]
fn every_stream_survives_packets_of_1200_bytes() {
    survives(PacketizationMode::NonInterleaved, 1_200);
}

#[test]
fn every_stream_survives_packets_of_1400_bytes() {
    survives(PacketizationMode::NonInterleaved, 1_400);
}
