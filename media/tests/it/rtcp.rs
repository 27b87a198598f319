//! RTCP on the wire: what is written is read back, no bytes do harm or claim memory, and
//! reception is counted as defined.

use bytes::{Bytes, BytesMut};
use callrig_media::rtcp::feedback::{Arrived, FullIntraEntry};
use callrig_media::rtcp::report::{Chunk, Item};
use callrig_media::rtcp::source::Source;
use callrig_media::rtcp::{
    Bye, FullIntraRequest, Nack, NackPair, Packet, PictureLoss, ReceiverEstimate, ReceiverReport,
    ReportBlock, Rules, SenderReport, SourceDescription, TransportFeedback, parse, write,
};
use callrig_media::rtp::sequence::Limits;
use callrig_media::time::{Instant, NtpTime};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

prop_compose! {
    fn blocks()(
        ssrc in any::<u32>(),
        fraction_lost in any::<u8>(),
        packets_lost in -(1 << 23)..(1 << 23),
        highest_sequence in any::<u32>(),
        jitter in any::<u32>(),
        last_sender_report in any::<u32>(),
        delay_since_last_sender_report in any::<u32>(),
    ) -> ReportBlock {
        ReportBlock {
            ssrc, fraction_lost, packets_lost, highest_sequence, jitter, last_sender_report,
            delay_since_last_sender_report,
        }
    }
}

fn words() -> impl Strategy<Value = Bytes> {
    vec(any::<[u8; 4]>(), 0..8).prop_map(|words| Bytes::from(words.concat()))
}

fn text() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..=255).prop_map(Bytes::from)
}

prop_compose! {
    fn sender_reports()(
        ssrc in any::<u32>(),
        ntp in any::<u64>(),
        rtp_timestamp in any::<u32>(),
        packet_count in any::<u32>(),
        octet_count in any::<u32>(),
        reports in vec(blocks(), 0..=31),
        extension in words(),
    ) -> Packet {
        let ntp = NtpTime::from_bits(ntp);
        Packet::SenderReport(SenderReport {
            ssrc, ntp, rtp_timestamp, packet_count, octet_count, reports, extension,
        })
    }
}

prop_compose! {
    fn transport_feedback()(
        sender_ssrc in any::<u32>(),
        media_ssrc in any::<u32>(),
        base_sequence in any::<u16>(),
        packet_count in prop_oneof![0..100u16, any::<u16>()],
        reference_time in -(1 << 23)..(1 << 23),
        feedback_count in any::<u8>(),
        arrived in btree_map(prop_oneof![0..100u16, any::<u16>()],
            prop_oneof![0..256i16, any::<i16>()], 0..60),
    ) -> Packet {
        let arrived = arrived.into_iter().filter(|(index, _)| *index < packet_count)
            .map(|(index, delta)| Arrived { index, delta }).collect();
        Packet::TransportFeedback(TransportFeedback {
            sender_ssrc, media_ssrc, base_sequence, packet_count, reference_time, feedback_count,
            arrived,
        })
    }
}

fn receiver_reports() -> impl Strategy<Value = Packet> {
    (any::<u32>(), vec(blocks(), 0..=31), words()).prop_map(|(ssrc, reports, extension)| {
        Packet::ReceiverReport(ReceiverReport { ssrc, reports, extension })
    })
}

fn descriptions() -> impl Strategy<Value = Packet> {
    let items = vec((1..=255u8, text()).prop_map(|(kind, text)| Item { kind, text }), 0..4);
    let chunk = (any::<u32>(), items).prop_map(|(ssrc, items)| Chunk { ssrc, items });
    vec(chunk, 0..=31).prop_map(|chunks| Packet::SourceDescription(SourceDescription { chunks }))
}

fn others() -> impl Strategy<Value = Packet> {
    (207..=223u8, 0..=31u8, words()).prop_map(|(packet_type, count, body)| Packet::Other {
        packet_type,
        count,
        body,
    })
}

fn any_packet() -> impl Strategy<Value = Packet> {
    let ssrcs = (any::<u32>(), any::<u32>());
    let pair =
        (any::<u16>(), any::<u16>()).prop_map(|(packet, following)| NackPair { packet, following });
    let entry = (any::<u32>(), any::<u8>())
        .prop_map(|(ssrc, sequence_number)| FullIntraEntry { ssrc, sequence_number });
    prop_oneof![
        sender_reports(),
        receiver_reports(),
        descriptions(),
        (vec(any::<u32>(), 0..=31), proptest::option::of(text()))
            .prop_map(|(sources, reason)| Packet::Bye(Bye { sources, reason })),
        (ssrcs, vec(pair, 0..20)).prop_map(|((sender_ssrc, media_ssrc), pairs)| {
            Packet::Nack(Nack { sender_ssrc, media_ssrc, pairs })
        }),
        ssrcs.prop_map(|(sender_ssrc, media_ssrc)| {
            Packet::PictureLoss(PictureLoss { sender_ssrc, media_ssrc })
        }),
        (any::<u32>(), vec(entry, 0..20)).prop_map(|(sender_ssrc, entries)| {
            Packet::FullIntraRequest(FullIntraRequest { sender_ssrc, entries })
        }),
        transport_feedback(),
        (any::<u32>(), any::<u64>(), vec(any::<u32>(), 0..=255)).prop_map(
            |(sender_ssrc, bitrate, sources)| {
                // As many digits as are written.
                let bitrate =
                    bitrate & !((1_u64 << (64 - bitrate.leading_zeros()).saturating_sub(18)) - 1);
                Packet::ReceiverEstimate(ReceiverEstimate { sender_ssrc, bitrate, sources })
            }
        ),
        others(),
    ]
}

fn compounds() -> impl Strategy<Value = Vec<Packet>> {
    (prop_oneof![sender_reports(), receiver_reports()], vec(any_packet(), 0..4)).prop_map(
        |(first, mut rest)| {
            rest.insert(0, first);
            rest
        },
    )
}

proptest! {
    #[test]
    fn a_compound_that_is_written_is_read_back(packets in compounds()) {
        let mut out = BytesMut::new();
        write(&packets, &mut out);
        prop_assert_eq!(parse(&out.freeze(), Rules::Compound), Ok(packets));
    }

    #[test]
    fn any_bytes_are_parsed_or_refused(data in vec(any::<u8>(), 0..400), fix in any::<bool>()) {
        let mut data = data;
        if fix && data.len() >= 4 {
            // Looks like a packet of a known type, of the right length.
            data.truncate(data.len() & !3);
            data[0] = 0x80 | data[0] & 0x1f;
            data[1] = 200 + data[1] % 8;
            let words = (data.len() / 4 - 1) as u16;
            data[2..4].copy_from_slice(&words.to_be_bytes());
        }
        if let Ok(packets) = parse(&Bytes::from(data), Rules::ReducedSize) {
            let mut out = BytesMut::new();
            write(&packets, &mut out);
            prop_assert_eq!(parse(&out.freeze(), Rules::ReducedSize), Ok(packets));
        }
    }

    #[test]
    fn a_nack_names_exactly_what_is_missing(
        start in any::<u16>(), steps in vec(1..40u16, 0..50),
    ) {
        let mut number = start;
        let numbers: Vec<u16> = steps.iter().map(|step| {
            number = number.wrapping_add(*step);
            number
        }).collect();
        let nack = Nack::of(1, 2, numbers.clone());
        prop_assert_eq!(nack.numbers().collect::<Vec<_>>(), numbers);
    }

    #[test]
    fn reception_is_counted_exactly_under_loss_reordering_and_duplication(
        start in any::<u16>(),
        fates in vec((0..100u8, 0..40u32), 2..600),
    ) {
        // Below 10: lost. Below 20: twice. The second number shifts the arrival.
        let mut arrivals: Vec<(u32, usize)> = Vec::new();
        for (index, (fate, shift)) in fates.iter().enumerate() {
            if *fate >= 10 || index == 0 {
                arrivals.push((index as u32 + shift, index));
            }
            if (10..20).contains(fate) {
                arrivals.push((index as u32 + shift + 7, index));
            }
        }
        arrivals.sort();
        let mut source = Source::new(1, 8_000, Limits::default());
        let mut seen = std::collections::BTreeSet::new();
        let (mut reordered, mut duplicated) = (0, 0);
        for (time, index) in &arrivals {
            let number = start.wrapping_add(*index as u16);
            let now = Instant::from_millis(20 * u64::from(*time));
            source.receive(now, number, 160 * *index as u32, 10).expect("within the limits");
            let behind = seen.last().is_some_and(|highest| index < highest);
            if !seen.insert(*index) {
                duplicated += 1;
            } else if behind {
                reordered += 1;
            }
        }
        let stats = source.stats();
        let (lowest, highest) = (seen.first().expect("one came"), seen.last().expect("one came"));
        let missing = (highest - lowest + 1 - seen.len()) as u64;
        prop_assert_eq!(stats.packets_received, arrivals.len() as u64);
        prop_assert_eq!(stats.packets_missing, missing);
        prop_assert_eq!(stats.packets_duplicated, duplicated);
        prop_assert_eq!(stats.packets_reordered, reordered);
        prop_assert_eq!(stats.loss.burst_lost + stats.loss.gap_lost, missing);
        let span = (highest - lowest + 1) as u64;
        prop_assert_eq!(stats.loss.burst_packets + stats.loss.gap_packets, span);
    }

    #[test]
    fn any_arrivals_at_all_leave_the_counts_consistent(
        arrivals in vec((any::<u16>(), any::<u32>(), 0..1_000_000u64), 0..400),
    ) {
        let mut source = Source::new(1, 90_000, Limits::default());
        let mut refused = 0;
        for (number, timestamp, micros) in &arrivals {
            let now = Instant::from_micros(*micros);
            refused += u64::from(source.receive(now, *number, *timestamp, 0).is_err());
            source.report(now);
        }
        let stats = source.stats();
        prop_assert_eq!(stats.packets_received + refused, arrivals.len() as u64);
        prop_assert!(stats.jitter_ticks.is_finite());
        prop_assert_eq!(stats.packets_on_probation + stats.packets_beyond_limits, refused);
    }
}
