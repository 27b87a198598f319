//! RFC 6184 from outside: what goes in comes out, whatever the sizes, and bytes from a
//! stranger do no harm.

use bytes::{BufMut, Bytes, BytesMut};
use callrig_media::payload::h264::{
    Depacketizer, Fragment, PAYLOAD_BYTES_GREATEST, PAYLOAD_BYTES_LEAST, PacketizationMode,
    Packetizer,
};
use callrig_media::video::nal;
use proptest::collection::vec;
use proptest::prelude::*;

/// A NAL unit of this type and size: bytes that look random, no start code in them, no zero
/// at the end.
pub(crate) fn unit(header: u8, size: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(747_796_405) | 1;
    let mut bytes = vec![header];
    while bytes.len() < size {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let byte = (state >> 24) as u8;
        let is_after_zero = bytes.last() == Some(&0) || bytes.len() + 1 == size;
        bytes.push(if is_after_zero { byte | 1 } else { byte & 0x3F });
    }
    bytes
}

/// These units as an access unit.
pub(crate) fn annex_b(units: &[Vec<u8>]) -> Bytes {
    let mut stream = BytesMut::new();
    for unit in units {
        stream.put_slice(&nal::START_CODE);
        stream.put_slice(unit);
    }
    stream.freeze()
}

pub(crate) fn packetize(mode: PacketizationMode, max: usize, access_unit: &Bytes) -> Vec<Fragment> {
    let mut packetizer = Packetizer::new(mode, max).expect("the size is allowed");
    let mut out = Vec::new();
    packetizer.packetize(access_unit, &mut out).expect("every unit can be carried");
    out
}

fn depacketize(mode: PacketizationMode, fragments: &[Fragment]) -> Bytes {
    let mut depacketizer = Depacketizer::new(mode);
    let mut out = BytesMut::new();
    for fragment in fragments {
        let payload = fragment.clone().into_payload();
        depacketizer.push(&payload, &mut out).expect("we packetized it ourselves");
    }
    depacketizer.finish().expect("every unit has its end");
    out.freeze()
}

fn any_units() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let header = (0_u8..4, 1_u8..24).prop_map(|(reference, kind)| reference << 5 | kind);
    // The greatest ones are more than any packet holds.
    let size = prop_oneof![30 => 1_usize..60, 10 => 60_usize..5_000, 1 => 60_000_usize..150_000];
    vec(
        (header, size, any::<u32>()).prop_map(|(header, size, seed)| unit(header, size, seed)),
        1..12,
    )
}

/// From the least that can be to the greatest.
fn any_size() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => PAYLOAD_BYTES_LEAST..1_500,
        1 => 1_500..=PAYLOAD_BYTES_GREATEST,
        1 => Just(PAYLOAD_BYTES_LEAST),
        1 => Just(PAYLOAD_BYTES_GREATEST),
    ]
}

proptest! {
    #[test]
    fn depacketizing_undoes_packetizing(units in any_units(), max in any_size()) {
        let access_unit = annex_b(&units);
        let fragments = packetize(PacketizationMode::NonInterleaved, max, &access_unit);
        prop_assert!(fragments.iter().all(|fragment| fragment.len() <= max));
        let markers: Vec<bool> = fragments.iter().map(|fragment| fragment.marker).collect();
        prop_assert_eq!(markers.iter().filter(|&&marker| marker).count(), 1);
        prop_assert_eq!(markers.last(), Some(&true));
        prop_assert_eq!(depacketize(PacketizationMode::NonInterleaved, &fragments), access_unit);
    }

    #[test]
    fn mode_0_sends_each_unit_as_it_is_or_refuses_it(units in any_units(), max in any_size()) {
        let access_unit = annex_b(&units);
        if units.iter().any(|unit| unit.len() > max) {
            let mut packetizer = Packetizer::new(PacketizationMode::SingleUnit, max).expect("ok");
            let mut out = Vec::new();
            prop_assert!(packetizer.packetize(&access_unit, &mut out).is_err() && out.is_empty());
            return Ok(());
        }
        let fragments = packetize(PacketizationMode::SingleUnit, max, &access_unit);
        let payloads: Vec<Vec<u8>> =
            fragments.iter().map(|fragment| fragment.clone().into_payload().to_vec()).collect();
        prop_assert_eq!(&payloads, &units);
        prop_assert_eq!(depacketize(PacketizationMode::SingleUnit, &fragments), access_unit);
    }

    #[test]
    fn writing_a_fragment_gives_its_payload(units in any_units(), max in any_size()) {
        for fragment in packetize(PacketizationMode::NonInterleaved, max, &annex_b(&units)) {
            let mut written = BytesMut::new();
            fragment.write(&mut written);
            prop_assert_eq!(written.len(), fragment.len());
            prop_assert_eq!(written.freeze(), fragment.into_payload());
        }
    }

    #[test]
    fn another_receiver_reads_our_packets(units in any_units(), max in 64_usize..1_500) {
        use rtc_rtp::packetizer::Depacketizer as _;
        // It refuses units of fewer than three bytes.
        let units: Vec<Vec<u8>> = units.into_iter().filter(|unit| unit.len() > 2).collect();
        prop_assume!(!units.is_empty());
        let access_unit = annex_b(&units);
        let mut theirs = rtc_rtp::codec::h264::H264Packet::default();
        let mut out = BytesMut::new();
        for fragment in packetize(PacketizationMode::NonInterleaved, max, &access_unit) {
            let payload = fragment.into_payload();
            out.put_slice(&theirs.depacketize(&payload).expect("it reads mode 1"));
        }
        prop_assert_eq!(out.freeze(), access_unit);
    }

    #[test]
    fn bytes_from_a_stranger_never_panic_and_grow_little(
        payloads in vec(prop_oneof![
            vec(any::<u8>(), 0..200),
            (prop_oneof![Just(0x78_u8), Just(0x7C), Just(0x65)], vec(0_u8..8, 0..60))
                .prop_map(|(first, rest)| [vec![first], rest].concat()),
        ], 0..30)
    ) {
        let mut depacketizer = Depacketizer::default();
        let mut out = BytesMut::new();
        let mut pushed = 0;
        for payload in &payloads {
            pushed += payload.len();
            if depacketizer.push(payload, &mut out).is_err() {
                depacketizer.clear();
            }
            prop_assert!(out.len() <= pushed * 5, "{} bytes out of {pushed}", out.len());
        }
        let whole = out.freeze();
        prop_assert!(nal::units(&whole).count() <= pushed);
    }

    #[test]
    fn splitting_a_byte_stream_never_panics(stream in vec(0_u8..4, 0..300)) {
        let stream = Bytes::from(stream);
        for unit in nal::units(&stream) {
            prop_assert!(!unit.is_empty() && unit.last() != Some(&0));
        }
        let split: Vec<Bytes> = callrig_media::video::access_unit::split(&stream).collect();
        let units: usize = split.iter().map(|part| nal::units(part).count()).sum();
        prop_assert_eq!(units, nal::units(&stream).count());
    }

    #[test]
    fn parameter_sets_from_a_stranger_never_panic(
        header in prop_oneof![Just(0x67_u8), Just(0x68)],
        body in vec(any::<u8>(), 0..80),
    ) {
        let mut sets = callrig_media::video::parameter_sets::ParameterSets::default();
        let unit = [vec![header], body].concat();
        if sets.push(&unit).is_ok() {
            let known = (0..=255).filter(|&id| sets.sps(id).is_some() || sets.pps(id).is_some());
            prop_assert_eq!(known.count(), 1);
        }
    }
}
