//! H.264: packets from a stranger, and streams of our own cut up in every way.

use arbitrary::{Result, Unstructured};
use bytes::{Bytes, BytesMut};
use callrig_media::payload::h264::{
    Depacketizer, PAYLOAD_BYTES_GREATEST, PacketizationMode, Packetizer,
};
use callrig_media::rtp;
use callrig_media::time::Instant;
use callrig_media::video::access_unit;
use callrig_media::video::assembly::{Assembled, Assembler, Config, Gate, Stats};
use callrig_media::video::nal;
use callrig_media::video::prelude::Prelude;
use core::time::Duration;

/// Bounds of the assembler, small so that they are met.
const WINDOW: usize = 16;
const FRAME_BYTES: usize = 2_000;
/// As many parameter sets as there may be, with a start code each.
const SETS_BYTES: usize = 4_096 + 4 * (32 + 256);

/// Packets as operations: each has a place in the order, a timestamp, a marker, a moment.
pub fn packets(data: &[u8]) {
    // What ran out of bytes ran out of operations.
    let _ = assemble(&mut Unstructured::new(data));
}

fn assemble(input: &mut Unstructured<'_>) -> Result<()> {
    let mode = if input.arbitrary()? {
        PacketizationMode::NonInterleaved
    } else {
        PacketizationMode::SingleUnit
    };
    let gate = *input.choose(&[Gate::Open, Gate::KeyFrame, Gate::RecoveryPoint])?;
    let config = Config {
        mode,
        gate,
        window_packets_max: WINDOW,
        frame_bytes_max: FRAME_BYTES,
        ..Config::default()
    };
    let mut assembler = Assembler::new(1, config);
    let mut depacketizer = Depacketizer::new(mode);
    let (mut now, mut sequence, mut timestamp) = (Instant::ZERO, 0_u64, 0_u32);
    let mut last = None;
    while !input.is_empty() {
        now += Duration::from_millis(input.int_in_range(0..=60)?);
        let step: i8 = input.arbitrary()?;
        sequence = sequence.saturating_add_signed(i64::from(step));
        timestamp = timestamp.wrapping_add(u32::from(input.arbitrary::<u8>()? / 64) * 3_000);
        let marker = input.ratio(1, 4)?;
        let length = usize::from(input.arbitrary::<u8>()?).min(input.len());
        let payload = Bytes::copy_from_slice(input.bytes(length)?);
        strange(&mut depacketizer, &payload);
        let header = rtp::Header { timestamp, marker, ..rtp::Header::default() };
        let _ = assembler.push(now, sequence, &rtp::Packet { header, payload });
        let _ = assembler.wants_key_frame(now);
        let missing: Vec<u64> = assembler.missing().collect();
        assert!(missing.len() < WINDOW && missing.is_sorted(), "{missing:?}");
        assert!(assembler.poll_timeout().is_none_or(|due| due > now), "a timeout in the past");
        check(&mut assembler, &mut last);
    }
    assembler.finish();
    check(&mut assembler, &mut last);
    assert_eq!(assembler.stats().packets_queued, 0);
    Ok(())
}

/// One payload that nobody vouches for.
fn strange(depacketizer: &mut Depacketizer, payload: &[u8]) {
    let mut out = BytesMut::new();
    if depacketizer.push(payload, &mut out).is_err() {
        depacketizer.clear();
    }
    assert!(out.len() <= payload.len() * 5, "{} bytes out of {}", out.len(), payload.len());
}

fn check(assembler: &mut Assembler, last: &mut Option<u64>) {
    conserved(&assembler.stats());
    while let Some(assembled) = assembler.poll() {
        let Assembled::Frame(frame) = assembled else { continue };
        assert!(frame.data.len() <= FRAME_BYTES);
        assert!(last.is_none_or(|last| last < frame.first_sequence), "out of order");
        assert!(frame.first_sequence <= frame.last_sequence);
        *last = Some(frame.last_sequence);
    }
}

fn conserved(stats: &Stats) {
    let packets = stats.packets_used
        + stats.packets_late
        + stats.packets_duplicate
        + stats.packets_empty
        + stats.packets_discarded.total()
        + stats.packets_queued;
    assert_eq!(stats.packets_received, packets, "{stats:?}");
    let frames = stats.frames_emitted + stats.frames_dropped.total() + stats.frames_open;
    assert_eq!(stats.frames_started, frames, "{stats:?}");
}

/// Any bytes as a byte stream: its access units are its units, and each of them survives
/// packets of any size.
pub fn stream(data: &[u8]) {
    let Some((first, stream)) = data.split_first() else { return };
    let stream = Bytes::copy_from_slice(stream);
    let split: Vec<Bytes> = access_unit::split(&stream).collect();
    let units: usize = split.iter().map(|unit| nal::units(unit).count()).sum();
    assert_eq!(units, nal::units(&stream).count());
    let max = 16 + usize::from(*first) * 6;
    let mut prelude = Prelude::default();
    for unit in &split {
        prelude.remember(unit);
        completed(&prelude, unit);
        survives(unit, PacketizationMode::NonInterleaved, max);
        survives(unit, PacketizationMode::SingleUnit, PAYLOAD_BYTES_GREATEST);
    }
}

/// What goes ahead of a unit takes nothing from it, and is all that was missing.
fn completed(prelude: &Prelude, unit: &Bytes) {
    assert!(prelude.to_bytes().len() <= SETS_BYTES);
    let Some(completed) = prelude.complete(unit) else { return };
    // Start codes of three bytes become such of four.
    assert!(completed.len() <= unit.len() * 5 / 4 + SETS_BYTES);
    assert_eq!(prelude.complete(&completed), None);
    let mut units = nal::units(&completed);
    assert!(nal::units(unit).all(|wanted| units.any(|unit| unit == wanted)));
}

fn survives(unit: &Bytes, mode: PacketizationMode, max: usize) {
    let mut packetizer = Packetizer::new(mode, max).expect("the size is allowed");
    let mut fragments = Vec::new();
    // Units that RTP cannot carry are refused.
    if packetizer.packetize(unit, &mut fragments).is_err() {
        return;
    }
    let mut depacketizer = Depacketizer::new(mode);
    let mut out = BytesMut::new();
    for fragment in fragments {
        assert!(fragment.len() <= max);
        let payload = fragment.into_payload();
        depacketizer.push(&payload, &mut out).expect("we packetized it ourselves");
    }
    depacketizer.finish().expect("every unit has its end");
    let sent: Vec<&[u8]> = nal::units(unit).filter(|unit| is_carried(unit)).collect();
    let out = out.freeze();
    assert_eq!(nal::units(&out).collect::<Vec<_>>(), sent);
}

fn is_carried(unit: &[u8]) -> bool {
    unit.first().is_some_and(|byte| nal::Header::from_byte(*byte).unit_type().is_carried_by_rtp())
}
