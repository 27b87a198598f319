//! RTP on the wire: what is written is read back, and no bytes do harm.

use bytes::{Bytes, BytesMut};
use callrig_media::rtp::sequence::{Limits, Sequenced, TimestampUnwrapper, Unwrapper};
use callrig_media::rtp::{Extensions, Header, Packet};
use proptest::collection::vec;
use proptest::prelude::*;

fn elements() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    let small = (1..=14u8, vec(any::<u8>(), 1..=16));
    let any_size = (1..=255u8, vec(any::<u8>(), 0..=255));
    prop_oneof![vec(small, 0..8), vec(any_size, 0..8)]
}

fn build(elements: &[(u8, Vec<u8>)]) -> Extensions {
    let borrowed: Vec<(u8, &[u8])> = elements.iter().map(|(id, data)| (*id, &data[..])).collect();
    Extensions::build(&borrowed, &mut BytesMut::new()).expect("ids and lengths are within limits")
}

fn extensions() -> impl Strategy<Value = Extensions> {
    prop_oneof![
        elements().prop_map(|elements| build(&elements)),
        (any::<u16>(), vec(any::<u8>(), 0..64))
            .prop_map(|(profile, data)| Extensions::from_raw(profile, data.into())),
    ]
}

prop_compose! {
    fn packets()(
        marker in any::<bool>(),
        payload_type in 0..=127u8,
        sequence_number in any::<u16>(),
        timestamp in any::<u32>(),
        ssrc in any::<u32>(),
        csrcs in vec(any::<u32>(), 0..=15),
        extensions in extensions(),
        padding in any::<u8>(),
        payload in vec(any::<u8>(), 0..1500),
    ) -> Packet {
        let csrcs = csrcs.into_iter().collect();
        let header = Header {
            marker, payload_type, sequence_number, timestamp, ssrc, csrcs, extensions, padding,
        };
        Packet { header, payload: payload.into() }
    }
}

proptest! {
    #[test]
    fn a_packet_that_is_written_is_read_back(packet in packets()) {
        let bytes = packet.to_bytes();
        prop_assert_eq!(bytes.len(), packet.length());
        prop_assert_eq!(Packet::parse(bytes), Ok(packet));
    }

    #[test]
    fn extension_elements_that_are_built_are_read_back(elements in elements()) {
        let block = build(&elements);
        let read: Vec<(u8, Vec<u8>)> = block.iter().map(|(id, data)| (id, data.to_vec())).collect();
        prop_assert_eq!(read, elements);
    }

    #[test]
    fn whatever_parses_is_written_back_as_it_came_but_for_padding(
        data in vec(any::<u8>(), 0..300),
        version_two in any::<bool>(),
    ) {
        let mut data = data;
        if version_two && let Some(first) = data.first_mut() {
            *first = 0x80 | *first & 0x3f;
        }
        let datagram = Bytes::from(data);
        if let Ok(packet) = Packet::parse(datagram.clone()) {
            let end = datagram.len() - usize::from(packet.header.padding);
            let written = packet.to_bytes();
            prop_assert_eq!(written.len(), datagram.len());
            prop_assert_eq!(&written[..end], &datagram[..end]);
            prop_assert!(packet.header.extensions.iter().count() <= datagram.len());
        }
    }

    #[test]
    fn numbers_within_the_limits_unwrap_to_what_was_sent(
        start in 70_000..1_000_000u64,
        steps in vec(prop_oneof![9 => 1..50i64, 1 => 1..2_999i64, 3 => -99..0i64], 1..300),
    ) {
        let mut unwrapper = Unwrapper::new(Limits { sequential_min: 1, ..Limits::RFC });
        let mut highest = start;
        unwrapper.update(start as u16);
        let offset = start - unwrapper.highest();
        for step in steps {
            let sent = highest.saturating_add_signed(step);
            let (Sequenced::Advanced { extended, .. } | Sequenced::Behind { extended }) =
                unwrapper.update(sent as u16)
            else {
                return Err(TestCaseError::fail(format!("{sent} after {highest}")));
            };
            prop_assert_eq!(extended + offset, sent);
            highest = highest.max(sent);
            prop_assert_eq!(unwrapper.highest() + offset, highest);
        }
    }

    #[test]
    fn any_numbers_keep_the_highest_from_falling(numbers in vec(any::<u16>(), 0..500)) {
        let mut unwrapper = Unwrapper::default();
        let mut before = 0;
        for number in numbers {
            unwrapper.update(number);
            prop_assert!(unwrapper.highest() >= before);
            before = unwrapper.highest();
            prop_assert!(before == 0 || unwrapper.base() <= before);
        }
    }

    #[test]
    fn timestamps_unwrap_to_what_was_sent(
        start in any::<u32>(),
        steps in vec(-1_000_000_000..1_000_000_000i64, 0..200),
    ) {
        let mut unwrapper = TimestampUnwrapper::new();
        let mut newest = unwrapper.update(start);
        for step in steps {
            let sent = newest + step;
            prop_assert_eq!(unwrapper.update(sent as u32), sent);
            newest = newest.max(sent);
        }
    }
}
