//! The assembler from outside: whatever the network does, a unit that comes out is the one
//! that went in, and every packet and every unit is accounted for.

use std::collections::BTreeMap;

use bytes::Bytes;
use callrig_media::payload::h264::PacketizationMode;
use callrig_media::rtp;
use callrig_media::time::Instant;
use callrig_media::video::assembly::{Assembled, Assembler, Config, Gate, Push, Stats};
use callrig_media::video::{DropCause, Frame};
use core::time::Duration;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::h264::{annex_b, packetize, unit};

/// Baseline, 1280x720, and a picture parameter set for it.
const SPS: [u8; 11] = [0x67, 0x42, 0xC0, 0x1F, 0x8C, 0x8D, 0x40, 0x28, 0x02, 0xDD, 0x01];
const PPS: [u8; 4] = [0x68, 0xCE, 0x3C, 0x80];
const MILLISECOND: Duration = Duration::from_millis(1);

pub(crate) fn packet(timestamp: u32, marker: bool, payload: Bytes) -> rtp::Packet {
    let header = rtp::Header { timestamp, marker, payload_type: 96, ..rtp::Header::default() };
    rtp::Packet { header, payload }
}

/// One access unit as the sender made it.
#[derive(Clone, Debug)]
struct Original {
    timestamp: u32,
    data: Bytes,
    is_key: bool,
    is_reference: bool,
}

/// A stream: its units, and its packets in order.
#[derive(Clone, Debug)]
struct Stream {
    originals: Vec<Original>,
    packets: Vec<rtp::Packet>,
}

fn slice(header: u8, size: usize, seed: u32, is_first: bool) -> Vec<u8> {
    let mut slice = unit(header, size.max(4), seed);
    // first_mb_in_slice 0 or 1, slice_type 0, pic_parameter_set_id 0.
    slice[1] = if is_first { 0b1110_0000 } else { 0b0101_1000 };
    slice
}

/// What varies from unit to unit: is it a key frame, do others refer to it, slices, bytes
/// per slice, is there an SEI.
type Shape = (bool, bool, usize, usize, bool);

fn any_stream() -> impl Strategy<Value = Stream> {
    let shape = (
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.7),
        1_usize..4,
        4_usize..900,
        any::<bool>(),
    );
    let base = prop_oneof![Just(u32::MAX - 9_000), any::<u32>()];
    (vec(shape, 1..14), 60_usize..400, any::<bool>(), any::<bool>(), base).prop_map(
        |(shapes, max, delimiters, markers, base)| stream(&shapes, max, delimiters, markers, base),
    )
}

fn stream(shapes: &[Shape], max: usize, delimiters: bool, markers: bool, base: u32) -> Stream {
    let (mut originals, mut packets) = (Vec::new(), Vec::new());
    for (index, &(is_key, is_reference, slices, size, sei)) in shapes.iter().enumerate() {
        let is_key = is_key || index == 0;
        let is_reference = is_key || is_reference;
        let seed = index as u32 * 31;
        let mut units = Vec::new();
        if delimiters {
            units.push(vec![0x09, 0xF0]);
        }
        if is_key {
            units.extend([SPS.to_vec(), PPS.to_vec()]);
        }
        if sei {
            units.push(unit(0x06, 20, seed));
        }
        let header = match (is_key, is_reference) {
            (true, _) => 0x65,
            (false, true) => 0x41,
            (false, false) => 0x01,
        };
        units.extend((0..slices).map(|at| slice(header, size, seed + at as u32, at == 0)));
        let timestamp = base.wrapping_add(index as u32 * 3_000);
        let data = annex_b(&units);
        for fragment in packetize(PacketizationMode::NonInterleaved, max, &data) {
            let marker = fragment.marker && markers;
            packets.push(packet(timestamp, marker, fragment.into_payload()));
        }
        originals.push(Original { timestamp, data, is_key, is_reference });
    }
    Stream { originals, packets }
}

/// What the network does to a packet: loses it, delays it, repeats it after a while.
type Fate = (bool, u64, Option<u64>);

fn any_fates(loss: f64) -> impl Strategy<Value = Vec<Fate>> {
    let delay = prop_oneof![4 => Just(0_u64), 1 => 0_u64..60, 1 => 0_u64..200];
    let again = prop::option::weighted(0.1, 0_u64..300);
    vec((prop::bool::weighted(loss), delay, again), 1..64)
}

/// Arrivals as (milliseconds, index of the packet), sorted by time. The first packet comes
/// first: without it nobody could know where the stream begins.
fn arrivals(count: usize, fates: &[Fate], delay_max: u64) -> Vec<(u64, usize)> {
    let mut arrivals = Vec::new();
    for (index, &(is_lost, delay, again)) in (0..count).zip(fates.iter().cycle()) {
        let sent = index as u64;
        if !is_lost || index == 0 {
            arrivals.push((sent + if index == 0 { 0 } else { delay.min(delay_max) }, index));
        }
        arrivals
            .extend(again.map(|again| (sent + again.min(delay_max), index)).filter(|_| index > 0));
    }
    arrivals.sort_unstable();
    arrivals
}

fn assert_conserved(stats: &Stats) -> Result<(), TestCaseError> {
    let packets = stats.packets_used
        + stats.packets_late
        + stats.packets_duplicate
        + stats.packets_empty
        + stats.packets_discarded.total()
        + stats.packets_queued;
    prop_assert_eq!(stats.packets_received, packets, "packets are not conserved: {:?}", stats);
    let frames = stats.frames_emitted + stats.frames_dropped.total() + stats.frames_open;
    prop_assert_eq!(stats.frames_started, frames, "frames are not conserved: {:?}", stats);
    Ok(())
}

/// Runs arrivals through an assembler, checking conservation at each step.
fn run(
    assembler: &mut Assembler,
    stream: &Stream,
    arrivals: &[(u64, usize)],
) -> Result<Vec<Assembled>, TestCaseError> {
    let mut out = Vec::new();
    for &(millis, index) in arrivals {
        let now = Instant::from_millis(millis);
        while let Some(due) = assembler.poll_timeout().filter(|&due| due <= now) {
            assembler.handle_timeout(due);
            prop_assert!(assembler.poll_timeout() != Some(due), "a timeout must make progress");
        }
        assembler.push(now, 70_000 + index as u64, &stream.packets[index]);
        assert_conserved(&assembler.stats())?;
        out.extend(core::iter::from_fn(|| assembler.poll()));
    }
    assembler.finish();
    assert_conserved(&assembler.stats())?;
    prop_assert_eq!(assembler.stats().packets_queued, 0);
    out.extend(core::iter::from_fn(|| assembler.poll()));
    Ok(out)
}

fn frames(out: &[Assembled]) -> Vec<&Frame> {
    out.iter()
        .filter_map(|assembled| match assembled {
            Assembled::Frame(frame) => Some(frame),
            Assembled::Dropped { .. } => None,
        })
        .collect()
}

fn config(gate: Gate) -> Config {
    Config { gate, reorder_wait: 50 * MILLISECOND, ..Config::default() }
}

proptest! {
    #[test]
    fn no_damaged_unit_is_called_whole(
        stream in any_stream(),
        fates in any_fates(0.1),
        gate in prop_oneof![Just(Gate::Open), Just(Gate::KeyFrame), Just(Gate::RecoveryPoint)],
        window in prop_oneof![Just(4_usize), Just(1_024)],
    ) {
        let originals: BTreeMap<u32, &Original> =
            stream.originals.iter().map(|original| (original.timestamp, original)).collect();
        let config = Config { window_packets_max: window, ..config(gate) };
        let mut assembler = Assembler::new(1, config);
        let out = run(&mut assembler, &stream, &arrivals(stream.packets.len(), &fates, 200))?;
        let frames = frames(&out);
        for frame in &frames {
            prop_assert_eq!(&frame.data, &originals[&frame.timestamp].data);
            prop_assert_eq!(frame.key_frame, originals[&frame.timestamp].is_key);
            prop_assert!(frame.arrived_first <= frame.arrived_last);
        }
        for pair in frames.windows(2) {
            prop_assert!(pair[0].last_sequence < pair[1].first_sequence, "out of order");
        }
        let stats = assembler.stats();
        prop_assert_eq!(stats.frames_emitted, frames.len() as u64);
        prop_assert_eq!(stats.frames_dropped.total(), (out.len() - frames.len()) as u64);
    }

    #[test]
    fn behind_a_closed_gate_nothing_refers_to_what_was_lost(
        stream in any_stream(),
        fates in any_fates(0.1),
    ) {
        let mut assembler = Assembler::new(1, config(Gate::KeyFrame));
        let out = run(&mut assembler, &stream, &arrivals(stream.packets.len(), &fates, 200))?;
        let whole: Vec<u32> = frames(&out).iter().map(|frame| frame.timestamp).collect();
        let mut is_decodable = false;
        for original in &stream.originals {
            let is_here = whole.contains(&original.timestamp);
            if is_here && original.is_key {
                is_decodable = true;
            }
            prop_assert!(!is_here || is_decodable, "{} cannot be decoded", original.timestamp);
            if !is_here && original.is_reference {
                is_decodable = false;
            }
        }
    }

    #[test]
    fn reordering_and_repetition_within_the_window_lose_nothing(
        stream in any_stream(),
        fates in any_fates(0.0),
    ) {
        let mut assembler = Assembler::new(1, config(Gate::KeyFrame));
        let out = run(&mut assembler, &stream, &arrivals(stream.packets.len(), &fates, 40))?;
        let mut expected: Vec<&Original> = stream.originals.iter().collect();
        if stream.packets.iter().all(|packet| !packet.header.marker) {
            // Without markers nothing says that the last unit is whole.
            expected.pop();
        }
        let frames = frames(&out);
        prop_assert_eq!(frames.len(), expected.len(), "{:?}", out);
        for (frame, original) in frames.iter().zip(expected) {
            prop_assert_eq!(&frame.data, &original.data);
            prop_assert_eq!(frame.resolution, Some((1280, 720)));
        }
        prop_assert_eq!(assembler.stats().packets_late, 0);
    }

    #[test]
    fn packets_from_a_stranger_never_panic_and_stay_within_bounds(
        packets in vec((
            prop_oneof![5 => 0_u64..40, 1 => any::<u64>()],
            0_u32..4,
            any::<bool>(),
            prop_oneof![
                vec(any::<u8>(), 0..40),
                (prop_oneof![Just(0x78_u8), Just(0x7C), Just(0x65), Just(0x67), Just(0x09)],
                    vec(0_u8..255, 0..30)).prop_map(|(first, rest)| [vec![first], rest].concat()),
            ],
            0_u64..80,
        ), 0..120),
        gate in prop_oneof![Just(Gate::Open), Just(Gate::KeyFrame), Just(Gate::RecoveryPoint)],
    ) {
        let config = Config { window_packets_max: 16, frame_bytes_max: 300, ..config(gate) };
        let mut assembler = Assembler::new(1, config);
        let mut now = Instant::ZERO;
        for (sequence, timestamp, marker, payload, wait) in packets {
            now += MILLISECOND * u32::try_from(wait).expect("it is small");
            let sequence = sequence.min(u64::MAX - 1);
            assembler.push(now, sequence, &packet(timestamp, marker, payload.into()));
            assembler.wants_key_frame(now);
            let missing: Vec<u64> = assembler.missing().collect();
            prop_assert!(missing.len() < 16 && missing.is_sorted());
            prop_assert!(assembler.poll_timeout().is_none_or(|due| due > now));
            let stats = assembler.stats();
            assert_conserved(&stats)?;
            while let Some(assembled) = assembler.poll() {
                if let Assembled::Frame(frame) = assembled {
                    prop_assert!(frame.data.len() <= 300);
                }
            }
        }
        assembler.finish();
        assert_conserved(&assembler.stats())?;
    }
}

/// A key frame and then plain frames, one slice each.
fn plain_stream(count: usize, size: usize) -> Stream {
    let shapes: Vec<Shape> = (0..count).map(|index| (index == 0, true, 1, size, false)).collect();
    stream(&shapes, 200, false, true, 1_000)
}

fn push_all(assembler: &mut Assembler, stream: &Stream, order: &[usize]) -> Vec<Assembled> {
    for (millis, &index) in (0..).zip(order) {
        assembler.push(Instant::from_millis(millis), index as u64, &stream.packets[index]);
    }
    core::iter::from_fn(|| assembler.poll()).collect()
}

fn causes(out: &[Assembled]) -> Vec<Option<DropCause>> {
    out.iter()
        .map(|assembled| match assembled {
            Assembled::Frame(_) => None,
            Assembled::Dropped { cause, .. } => Some(*cause),
        })
        .collect()
}

#[test]
fn a_frame_comes_out_with_the_packet_that_makes_it_whole() {
    let stream = plain_stream(2, 700);
    let mut assembler = Assembler::new(9, Config::default());
    let last_of_first = stream.packets.iter().position(|packet| packet.header.marker).expect("one");
    for index in 0..last_of_first {
        assembler.push(Instant::from_millis(index as u64), index as u64, &stream.packets[index]);
        assert_eq!(assembler.poll(), None);
    }
    let last = last_of_first as u64;
    assembler.push(Instant::from_millis(last), last, &stream.packets[last_of_first]);
    let Some(Assembled::Frame(frame)) = assembler.poll() else { panic!("it is whole") };
    assert_eq!((frame.ssrc, frame.first_sequence, frame.last_sequence), (9, 0, last));
    assert_eq!(frame.arrived_first, Instant::ZERO);
    assert_eq!(frame.arrived_last, Instant::from_millis(last));
    assert!(frame.key_frame);
}

#[test]
fn a_missing_packet_is_named_and_waited_for_and_then_given_up() {
    let stream = plain_stream(3, 500);
    let lost = stream.packets.iter().rposition(|packet| packet.header.marker).expect("one") - 1;
    let mut assembler = Assembler::new(1, config(Gate::KeyFrame));
    let order: Vec<usize> = (0..stream.packets.len()).filter(|&index| index != lost).collect();
    let out = push_all(&mut assembler, &stream, &order);
    assert_eq!(causes(&out), [None, None]);
    assert_eq!(assembler.missing().collect::<Vec<_>>(), [lost as u64]);
    assert!(!assembler.wants_key_frame(Instant::from_millis(20)));

    let due = assembler.poll_timeout().expect("something is waited for");
    assembler.handle_timeout(due);
    assert_eq!(assembler.missing().count(), 0);
    let causes = causes(&core::iter::from_fn(|| assembler.poll()).collect::<Vec<_>>());
    assert_eq!(causes, [Some(DropCause::MissingPacket)]);
    assert!(assembler.wants_key_frame(due));
    assert!(!assembler.wants_key_frame(due + MILLISECOND));

    let late = assembler.push(due, lost as u64, &stream.packets[lost]);
    assert_eq!(late, Push::Late);
    assert_eq!(assembler.push(due, 0, &stream.packets[0]), Push::Duplicate);
    assert_eq!(assembler.stats().packets_missing, 1);
}

#[test]
fn after_a_loss_frames_are_held_back_until_the_next_key_frame() {
    let shapes = [true, false, false, false, true, false].map(|key| (key, true, 1, 700, false));
    let stream = stream(&shapes, 200, false, true, 0);
    let lost =
        stream.packets.iter().position(|packet| packet.header.timestamp == 3_000).expect("one");
    let order: Vec<usize> = (0..stream.packets.len()).filter(|&index| index != lost + 1).collect();
    let mut assembler = Assembler::new(1, config(Gate::KeyFrame));
    let mut out = push_all(&mut assembler, &stream, &order);
    assembler.finish();
    out.extend(core::iter::from_fn(|| assembler.poll()));
    let (missing, reference) = (Some(DropCause::MissingPacket), Some(DropCause::ReferenceLost));
    assert_eq!(causes(&out), [None, missing, reference, reference, None, None]);
}

#[test]
fn a_lost_part_of_a_frame_that_nothing_refers_to_closes_no_gate() {
    let shapes = [(true, true), (false, false), (false, true)]
        .map(|(key, reference)| (key, reference, 1, 700, false));
    let stream = stream(&shapes, 200, false, true, 0);
    let lost =
        stream.packets.iter().position(|packet| packet.header.timestamp == 3_000).expect("one");
    let order: Vec<usize> = (0..stream.packets.len()).filter(|&index| index != lost + 1).collect();
    let mut assembler = Assembler::new(1, config(Gate::KeyFrame));
    let mut out = push_all(&mut assembler, &stream, &order);
    assembler.finish();
    out.extend(core::iter::from_fn(|| assembler.poll()));
    assert_eq!(causes(&out), [None, Some(DropCause::MissingPacket), None]);
}

#[test]
fn a_stream_joined_in_its_middle_waits_for_a_key_frame() {
    let shapes = [false, false, true, false].map(|key| (key, true, 1, 700, false));
    let mut stream = stream(&shapes, 200, false, true, 0);
    let first_unit = stream.packets.iter().filter(|packet| packet.header.timestamp == 0).count();
    stream.packets.drain(..first_unit);
    let mut assembler = Assembler::new(1, config(Gate::KeyFrame));
    let order: Vec<usize> = (0..stream.packets.len()).collect();
    push_all(&mut assembler, &stream, &order);
    assembler.finish();
    let out: Vec<Assembled> = core::iter::from_fn(|| assembler.poll()).collect();
    assert_eq!(causes(&out), [Some(DropCause::MissingPacket), None, None]);
}

#[test]
fn a_stream_whose_first_packets_are_lost_asks_for_a_key_frame_before_its_first_picture_has_ended() {
    let stream = plain_stream(1, 700);
    let last = stream.packets.len() - 1;
    let mut assembler = Assembler::new(1, Config::default());
    assembler.push(Instant::ZERO, last as u64 - 1, &stream.packets[last - 1]);
    assert!(!assembler.wants_key_frame(Instant::ZERO), "those ahead of it may be late");
    let due = assembler.poll_timeout().expect("those ahead of it are waited for");
    assembler.handle_timeout(due);
    assert!(assembler.wants_key_frame(due));
    assert_eq!((due, assembler.poll()), (Instant::from_millis(100), None));
}

#[test]
fn a_key_frame_without_its_parameter_sets_is_held_back_unless_they_came_another_way() {
    let data = annex_b(&[vec![0x09, 0xF0], slice(0x65, 50, 1, true)]);
    let fragment = packetize(PacketizationMode::NonInterleaved, 200, &data).remove(0);
    let packet = packet(0, true, fragment.into_payload());

    let mut without = Assembler::new(1, Config::default());
    without.push(Instant::ZERO, 0, &packet);
    let out: Vec<Assembled> = core::iter::from_fn(|| without.poll()).collect();
    assert_eq!(causes(&out), [Some(DropCause::NoParameterSets)]);
    assert!(without.wants_key_frame(Instant::ZERO));

    let mut provided = Assembler::new(1, Config::default());
    provided.provide_parameter_set(&SPS);
    provided.provide_parameter_set(&PPS);
    provided.push(Instant::ZERO, 0, &packet);
    let Some(Assembled::Frame(frame)) = provided.poll() else { panic!("its sets are known") };
    // A decoder does not know them.
    let due = annex_b(&[vec![0x09, 0xF0], SPS.to_vec(), PPS.to_vec(), slice(0x65, 50, 1, true)]);
    assert_eq!((frame.data, frame.resolution), (due, Some((1280, 720))));
    provided.push(Instant::ZERO, 1, &packet);
    let Some(Assembled::Frame(frame)) = provided.poll() else { panic!("it is the same") };
    assert_eq!(frame.data, data, "now it does");
}

#[test]
fn sets_that_came_with_what_was_held_back_go_ahead_of_the_next_key_frame() {
    let sets = [SPS.to_vec(), PPS.to_vec()];
    let middle = annex_b(&[sets.as_slice(), &[slice(0x41, 50, 1, true)]].concat());
    let key = annex_b(&[slice(0x65, 50, 2, true)]);
    let mut assembler = Assembler::new(1, Config::default());
    let mut sequence = 0;
    let mut out = Vec::new();
    for (unit, timestamp) in [&middle, &key, &key].into_iter().zip(1..) {
        let fragments = packetize(PacketizationMode::NonInterleaved, 200, unit);
        for fragment in fragments {
            let packet = packet(timestamp * 3_000, fragment.marker, fragment.into_payload());
            assembler.push(Instant::ZERO, sequence, &packet);
            sequence += 1;
        }
        out.extend(core::iter::from_fn(|| assembler.poll()));
    }
    assert_eq!(causes(&out), [Some(DropCause::NoKeyFrame), None, None]);
    let frames: Vec<&Bytes> = frames(&out).iter().map(|frame| &frame.data).collect();
    assert_eq!(frames, [&annex_b(&[sets.as_slice(), &[slice(0x65, 50, 2, true)]].concat()), &key]);
}

#[test]
fn a_stream_whose_parameter_sets_came_another_way_may_begin_with_its_first_slice() {
    let data = annex_b(&[slice(0x65, 50, 1, true)]);
    let fragment = packetize(PacketizationMode::NonInterleaved, 200, &data).remove(0);
    let mut assembler = Assembler::new(1, Config::default());
    assembler.provide_parameter_set(&SPS);
    assembler.provide_parameter_set(&PPS);
    assembler.push(Instant::ZERO, 0, &packet(0, true, fragment.into_payload()));
    let out: Vec<Assembled> = core::iter::from_fn(|| assembler.poll()).collect();
    let due = annex_b(&[SPS.to_vec(), PPS.to_vec(), slice(0x65, 50, 1, true)]);
    assert_eq!(frames(&out).iter().map(|frame| &frame.data).collect::<Vec<_>>(), [&due]);
}

#[test]
fn a_malformed_packet_drops_its_frame_and_says_what_was_wrong() {
    use callrig_media::payload::h264::DepacketizeError;
    let mut stream = plain_stream(2, 100);
    stream.packets[1].payload = Bytes::from_static(&[0x79, 0, 0, 0, 1, 0x67]);
    let mut assembler = Assembler::new(1, Config::default());
    let out = push_all(&mut assembler, &stream, &[0, 1]);
    let Assembled::Dropped { timestamp, cause, fault, .. } = out[1] else { panic!("{out:?}") };
    assert_eq!((timestamp, cause), (4_000, DropCause::Malformed));
    assert_eq!(fault, Some(DepacketizeError::UnknownType(25)));
}

#[test]
fn a_sender_that_marks_every_slice_is_read_by_timestamps() {
    let shapes: Vec<Shape> =
        (0..4).map(|index| (index == 0 || index == 2, true, 3, 100, false)).collect();
    let mut stream = stream(&shapes, 150, false, true, 0);
    for packet in &mut stream.packets {
        packet.header.marker = true;
    }
    let mut assembler = Assembler::new(1, config(Gate::KeyFrame));
    let order: Vec<usize> = (0..stream.packets.len()).collect();
    let mut out = push_all(&mut assembler, &stream, &order);
    assembler.finish();
    out.extend(core::iter::from_fn(|| assembler.poll()));
    let whole: Vec<Bytes> = frames(&out).iter().map(|frame| frame.data.clone()).collect();
    assert_eq!(whole.last(), Some(&stream.originals[2].data), "{:?}", causes(&out));
    assert_eq!(assembler.stats().frames_dropped.get(DropCause::AfterMarker), 1);
}

#[test]
fn two_fields_of_one_timestamp_are_two_units() {
    let field = |seed| annex_b(&[SPS.to_vec(), PPS.to_vec(), slice(0x65, 60, seed, true)]);
    let mut assembler = Assembler::new(1, Config::default());
    for (sequence, seed) in [(0, 1), (1, 2)] {
        let fragment = packetize(PacketizationMode::NonInterleaved, 200, &field(seed)).remove(0);
        assembler.push(Instant::ZERO, sequence, &packet(5, true, fragment.into_payload()));
    }
    let out: Vec<Assembled> = core::iter::from_fn(|| assembler.poll()).collect();
    assert_eq!(
        frames(&out).iter().map(|frame| frame.data.clone()).collect::<Vec<_>>(),
        [field(1), field(2)]
    );
}

#[test]
fn padding_between_frames_changes_nothing() {
    let stream = plain_stream(2, 100);
    let mut assembler = Assembler::new(1, Config::default());
    assembler.push(Instant::ZERO, 0, &stream.packets[0]);
    assembler.push(Instant::ZERO, 1, &packet(1_000, true, Bytes::new()));
    assembler.push(Instant::ZERO, 2, &stream.packets[1]);
    let out: Vec<Assembled> = core::iter::from_fn(|| assembler.poll()).collect();
    assert_eq!(causes(&out), [None, None]);
    assert_eq!(assembler.stats().packets_empty, 1);
}

#[test]
fn a_frame_without_end_times_out_and_its_rest_is_not_taken_for_a_frame() {
    let stream = plain_stream(3, 700);
    let marked: Vec<usize> =
        (0..stream.packets.len()).filter(|&index| stream.packets[index].header.marker).collect();
    let mut assembler = Assembler::new(1, Config::default());
    let order: Vec<usize> = (0..marked[1]).collect();
    let mut out = push_all(&mut assembler, &stream, &order);
    let due = assembler.poll_timeout().expect("a frame is open");
    assembler.handle_timeout(due);
    out.extend(core::iter::from_fn(|| assembler.poll()));
    assert_eq!(causes(&out), [None, Some(DropCause::TimedOut)]);
    assembler.push(due, marked[1] as u64, &stream.packets[marked[1]]);
    assert_eq!(assembler.poll(), None);
    assert_eq!(assembler.stats().packets_queued, 0);
}

#[test]
fn a_frame_that_never_ends_is_cut_off_at_the_greatest_size() {
    let config = Config { frame_bytes_max: 1_000, ..Config::default() };
    let stream = plain_stream(2, 3_000);
    let mut assembler = Assembler::new(1, config);
    let order: Vec<usize> = (0..stream.packets.len()).collect();
    push_all(&mut assembler, &stream, &order);
    assert_eq!(assembler.stats().frames_dropped.get(DropCause::TooLarge), 2);
}

#[test]
fn a_jump_far_ahead_gives_up_on_what_lies_between() {
    let stream = plain_stream(2, 100);
    let mut assembler = Assembler::new(1, Config::default());
    assembler.push(Instant::ZERO, 0, &stream.packets[0]);
    assembler.push(Instant::ZERO, 1 << 40, &stream.packets[1]);
    let out: Vec<Assembled> = core::iter::from_fn(|| assembler.poll()).collect();
    assert_eq!(causes(&out), [None, Some(DropCause::MissingPacket)]);
    assert_eq!(assembler.stats().packets_missing, (1 << 40) - 1);
}
