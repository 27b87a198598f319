//! What the product tells others over RTCP, against what the judges saw: reports about
//! reception, reports about sending, farewells, and that feedback asks for what is missing.

use std::collections::BTreeSet;

use callrig_media::time::{Epoch, Instant};
use callrig_reports::metric::registry as metrics;
use callrig_reports::{Finding, Metric};

use super::rule::{Rule, requirements};
use super::view;
use super::{Case, Evidence, Judgement};
use crate::actor::ActorId;
use crate::measure::arrivals::{self, Arrived};
use crate::measure::reception::Reception;
use crate::measure::reports::{self, Block, Compound, Packet};
use crate::network::Network;
use crate::stage::Stage;
use crate::subject::Subject;

/// All cases of this file.
pub const CASES: &[Case] = &[
    Case {
        id: "rtcp/compound",
        title: "every RTCP datagram is a valid compound packet",
        requirements: || requirements(&[COMPOUND, NAMED]),
        stage: Stage::Listen,
        applies: |_, _| true,
        judge: compound,
    },
    Case {
        id: "rtcp/reception-reports",
        title: "reports about reception say what had arrived when they were sent",
        requirements: || {
            requirements(&[HIGHEST, CUMULATIVE, FRACTION, JITTER, ROUND_TRIP, REPORTED])
        },
        stage: Stage::Listen,
        applies: regular,
        judge: reception_reports,
    },
    Case {
        id: "rtcp/sender-reports",
        title: "reports about sending tie the RTP clock to the wall clock and count what was sent",
        requirements: || requirements(&[CLOCKS, COUNTS]),
        stage: Stage::Menu,
        applies: |_, _| true,
        judge: sender_reports,
    },
    Case {
        id: "rtcp/farewell",
        title: "a side that leaves says so, and sends nothing after it",
        requirements: || requirements(&[FAREWELL, SILENCE]),
        stage: Stage::Menu,
        applies: |_, _| true,
        judge: farewell,
    },
    Case {
        id: "rtcp/nack-asks-for-what-is-missing",
        title: "negative acknowledgements name packets that had not arrived",
        requirements: || requirements(&[NACK_MISSING, NACK_BOUNDED]),
        stage: Stage::Listen,
        applies: |subject, network| regular(subject, network) && subject.has_video(),
        judge: nack,
    },
];

const COMPOUND: Rule = Rule::must(
    "rtcp/compound/begins-with-a-report",
    "RFC 3550 section 6.1, appendix A.2",
    "An RTCP datagram can be read to its last byte, and its first packet is a sender or receiver report.",
);
const NAMED: Rule = Rule::must(
    "rtcp/compound/has-a-name",
    "RFC 3550 section 6.1",
    "Each compound has a source description with a canonical name.",
);
const REPORTED: Rule = Rule::must(
    "rtcp/reception-reports/sent",
    "RFC 3550 section 6.2",
    "Whoever receives a stream for longer than two minimum intervals reports about it.",
);
const HIGHEST: Rule = Rule::must(
    "rtcp/reception-reports/highest-sequence",
    "RFC 3550 section 6.4.1",
    "A block has the highest sequence number that had arrived, with its cycles.",
);
const CUMULATIVE: Rule = Rule::must(
    "rtcp/reception-reports/cumulative-loss",
    "RFC 3550 section 6.4.1",
    "A block has the packets expected less those received since the beginning.",
);
const FRACTION: Rule = Rule::must(
    "rtcp/reception-reports/fraction-lost",
    "RFC 3550 appendix A.3",
    "A block has the share lost since the block before it, rounded down to 1/256, and 0 where more came than was expected.",
);
const JITTER: Rule = Rule::must(
    "rtcp/reception-reports/jitter",
    "RFC 3550 section 6.4.1, appendix A.8",
    "A block has the interarrival jitter at its sending, in timestamp units.",
);
const ROUND_TRIP: Rule = Rule::must(
    "rtcp/reception-reports/round-trip",
    "RFC 3550 section 6.4.1",
    "A block names the last sender report that had arrived, and the time since then in 1/65536 s.",
);
const CLOCKS: Rule = Rule::must(
    "rtcp/sender-reports/clocks",
    "RFC 3550 section 6.4.1",
    "NTP time and RTP timestamp of a sender report name the same moment, that of its sending.",
);
const COUNTS: Rule = Rule::must(
    "rtcp/sender-reports/counts",
    "RFC 3550 section 6.4.1",
    "A sender report has the packets and octets of payload sent until then.",
);
const FAREWELL: Rule = Rule::should(
    "rtcp/farewell/said",
    "RFC 3550 section 6.6",
    "A source that has sent and leaves says BYE.",
);
const SILENCE: Rule = Rule::must(
    "rtcp/farewell/nothing-follows",
    "RFC 3550 section 6.6",
    "After its BYE a source sends no more packets.",
);
const NACK_MISSING: Rule = Rule::must(
    "rtcp/nack/missing-only",
    "RFC 4585 section 6.2.1",
    "A NACK names sequence numbers of which no packet had arrived.",
);
const NACK_BOUNDED: Rule = Rule::should(
    "rtcp/nack/bounded",
    "this project; RFC 4585 section 3.1",
    "One number is asked for at most ten times.",
);

/// RFC 3550 section 6.2: five seconds, and half of it for the first report; twice that
/// with randomization is 7.5 s.
const FIRST_REPORT_WITHIN_S: f64 = 15.0;
/// Asking more often than this floods a path that is losing packets already.
const NACKS_MAX: u32 = 10;

fn regular(subject: &Subject, _: &Network) -> bool {
    view::is_regular(subject)
}

/// Both ends of both links whose RTCP the product writes.
fn speakers(evidence: &Evidence<'_>) -> [(&'static str, ActorId, ActorId); 3] {
    let cast = evidence.cast;
    [
        ("the platform to the person", cast.platform, cast.user),
        ("the platform to the bot", cast.platform, cast.bot),
        ("the bot to the platform", cast.bot, cast.platform),
    ]
}

fn compound(evidence: &Evidence<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    for (who, from, to) in speakers(evidence) {
        for compound in reports::sent(evidence.trace, from, to) {
            // The platform hands on what the recording sent; that is not its own writing.
            if was_relayed(evidence, &compound, from, to) {
                continue;
            }
            let first = compound.packets.first();
            let reports = matches!(first, Some(Packet::Sender { .. } | Packet::Receiver { .. }));
            if !compound.is_whole || !reports {
                judgement.findings.push(
                    COMPOUND
                        .broken(format!("{who}: a compound packet"), "one that is not valid")
                        .with_evidence([format!("{compound:?}")]),
                );
            }
            let named = |packet: &Packet| matches!(packet, Packet::Description { has_name: true });
            if !compound.packets.iter().any(named) {
                judgement.findings.push(
                    NAMED
                        .broken(format!("{who}: SDES with CNAME"), "none")
                        .with_evidence([format!("{compound:?}")]),
                );
            }
        }
    }
    judgement
}

fn was_relayed(evidence: &Evidence<'_>, compound: &Compound, from: ActorId, to: ActorId) -> bool {
    let cast = evidence.cast;
    from == cast.platform
        && to == cast.bot
        && reports::sent(evidence.trace, cast.user, cast.platform)
            .iter()
            .any(|original| original.packets == compound.packets)
}

fn reception_reports(evidence: &Evidence<'_>) -> Judgement {
    let cast = evidence.cast;
    let ends = [
        (view::platform(evidence), cast.platform, cast.user),
        (view::bot(evidence), cast.bot, cast.platform),
    ];
    let mut judgement = Judgement::default();
    for (receiver, from, to) in ends {
        let Some(receiver) = receiver else { continue };
        let compounds = reports::sent(evidence.trace, from, to);
        for stream in receiver.streams(evidence.subject) {
            let whole = Reception::of(&receiver.packets, stream.ssrc, stream.clock_rate);
            if !whole.one_run || !view::has_one_clock(evidence.subject, stream.ssrc) {
                continue;
            }
            let blocks = blocks_about(&compounds, stream.ssrc);
            judgement.findings.extend(judge_blocks(
                &receiver.packets,
                (stream.ssrc, stream.clock_rate),
                &blocks,
                receiver.name,
            ));
            let first = whole.packets.first().map(|packet| packet.at);
            let sent = reports::arrived(evidence.trace, to, from);
            judgement
                .findings
                .extend(first.and_then(|first| judge_round_trip(&sent, first, &blocks)));
            let heard = whole.span_seconds();
            if blocks.is_empty() && heard > FIRST_REPORT_WITHIN_S {
                judgement.findings.push(REPORTED.broken(
                    format!("{}: a report within {FIRST_REPORT_WITHIN_S} s", receiver.name),
                    format!("none in {heard:.1} s of SSRC {:#010x}", stream.ssrc),
                ));
            }
        }
    }
    judgement
}

fn blocks_about(compounds: &[Compound], ssrc: u32) -> Vec<(Instant, Block)> {
    let mut blocks = Vec::new();
    for compound in compounds {
        for packet in &compound.packets {
            if let Packet::Sender { blocks: about, .. } | Packet::Receiver { blocks: about, .. } =
                packet
            {
                let about = about.iter().filter(|block| block.ssrc == ssrc);
                blocks.extend(about.map(|block| (compound.at, *block)));
            }
        }
    }
    blocks
}

fn judge_blocks(
    packets: &[Arrived],
    (ssrc, clock_rate): (u32, u32),
    blocks: &[(Instant, Block)],
    who: &str,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (mut expected_before, mut received_before) = (0i64, 0i64);
    let first = packets.iter().find(|packet| packet.ssrc == ssrc);
    let first = first.map_or(0, |packet| i64::from(packet.sequence_number));
    for (at, block) in blocks {
        // What arrives in the very moment of sending may be counted or not.
        let before = packets.partition_point(|packet| packet.at < *at);
        let until = packets.partition_point(|packet| packet.at <= *at);
        let matching = (before..=until).rev().find_map(|count| {
            let reception = Reception::of(&packets[..count], ssrc, clock_rate);
            let highest = reception.packets.iter().map(|packet| packet.sequence).max()?;
            let agrees = i64::from(block.highest) == first + highest
                && i64::from(block.lost) == reception.lost();
            agrees.then_some(reception)
        });
        let Some(reception) = matching else {
            let seen = Reception::of(&packets[..until], ssrc, clock_rate);
            findings.push(mismatch(who, *at, block, &seen, first));
            break;
        };
        let (expected, received) = (reception.expected as i64, reception.received as i64);
        let (expected_now, received_now) = (expected - expected_before, received - received_before);
        (expected_before, received_before) = (expected, received);
        let lost = (expected_now - received_now).max(0);
        let fraction = if expected_now <= 0 { 0 } else { (lost * 256 / expected_now).min(255) };
        if i64::from(block.fraction_lost) != fraction {
            findings.push(FRACTION.broken(
                format!("{who}, SSRC {ssrc:#010x}: {fraction}/256"),
                format!("{}/256", block.fraction_lost),
            ));
        }
        if (f64::from(block.jitter) - reception.jitter_last()).abs() > JITTER_ROUNDING {
            findings.push(JITTER.broken(
                format!("{who}, SSRC {ssrc:#010x}: {:.1} units", reception.jitter_last()),
                format!("{} units", block.jitter),
            ));
        }
    }
    findings
}

/// Sender reports that arrived after the source was first heard, against what the blocks
/// about it say of them.
fn judge_round_trip(
    arrived: &[Compound],
    first: Instant,
    blocks: &[(Instant, Block)],
) -> Option<Finding> {
    let of_source = |about: u32| {
        arrived.iter().filter(move |compound| compound.at > first).flat_map(move |compound| {
            compound.packets.iter().filter_map(move |packet| match packet {
                Packet::Sender { ssrc, ntp, .. } if *ssrc == about => {
                    Some((compound.at, (ntp >> 16) as u32))
                }
                _ => None,
            })
        })
    };
    blocks.iter().find_map(|(at, block)| {
        let known = of_source(block.ssrc).find(|(came, name)| {
            let delay = at.signed_nanos_since(*came) as f64 / 1e9 * 65_536.0;
            *name == block.last_report && (delay - f64::from(block.delay)).abs() <= 1.0
        });
        let expected = of_source(block.ssrc).rfind(|(came, _)| came < at);
        let right = match known {
            Some((came, _)) => expected.is_none_or(|(last, _)| came >= last),
            None => block.last_report == 0 && expected.is_none(),
        };
        (!right).then(|| {
            let actual = format!(
                "{:#010x}, {:.3} s before",
                block.last_report,
                f64::from(block.delay) / 65_536.0
            );
            let expected = expected.map_or("no sender report".to_owned(), |(came, name)| {
                format!("{name:#010x}, {:.3} s before", at.since(came).as_secs_f64())
            });
            let line = format!("report sent at {:.3} ms", at.as_nanos() as f64 / 1e6);
            ROUND_TRIP.broken(expected, actual).with_evidence([line])
        })
    })
}

/// Appendix A.8 works in whole ticks: arrival times are rounded down to them, and the
/// running value to a sixteenth.
const JITTER_ROUNDING: f64 = 2.0;

fn mismatch(who: &str, at: Instant, block: &Block, seen: &Reception, first: i64) -> Finding {
    let highest = seen.packets.iter().map(|packet| packet.sequence).max().unwrap_or(0) + first;
    let rule = if i64::from(block.highest) == highest { &CUMULATIVE } else { &HIGHEST };
    rule.broken(
        format!("{who}: highest {highest}, lost {}", seen.lost()),
        format!("highest {}, lost {}", block.highest, block.lost),
    )
    .with_evidence([format!("report sent at {:.3} ms", at.as_nanos() as f64 / 1e6)])
}

fn sender_reports(evidence: &Evidence<'_>) -> Judgement {
    let cast = evidence.cast;
    let packets = arrivals::sent(evidence.trace, cast.platform, cast.user);
    let mut judgement = Judgement::default();
    let mut count = 0u32;
    for compound in reports::sent(evidence.trace, cast.platform, cast.user) {
        for packet in &compound.packets {
            let Packet::Sender { ssrc, ntp, timestamp, packets: sent, octets, .. } = packet else {
                continue;
            };
            count += 1;
            let of_source = |packet: &&Arrived| packet.ssrc == *ssrc;
            let before: Vec<&Arrived> = packets
                .iter()
                .filter(of_source)
                .filter(|packet| packet.at <= compound.at)
                .collect();
            let total: usize = before.iter().map(|packet| packet.payload_length).sum();
            if *sent as usize != before.len() || *octets as usize != total {
                judgement.findings.push(COUNTS.broken(
                    format!("{} packets, {total} octets", before.len()),
                    format!("{sent} packets, {octets} octets"),
                ));
            }
            judgement.findings.extend(judge_clocks(
                evidence,
                compound.at,
                *ntp,
                *timestamp,
                &before,
            ));
        }
    }
    let sent_for = match (packets.first(), packets.last()) {
        (Some(first), Some(last)) => last.at.since(first.at).as_secs_f64(),
        _ => 0.0,
    };
    if count == 0 && sent_for > FIRST_REPORT_WITHIN_S {
        judgement
            .findings
            .push(CLOCKS.broken("a sender report", format!("none in {sent_for:.1} s")));
    }
    judgement.metrics.push(Metric::new(&metrics::ROUND_TRIP_TIME, round_trip_seconds(evidence)));
    judgement
}

/// From the last block about the platform's own stream, read off the wire.
fn round_trip_seconds(evidence: &Evidence<'_>) -> Option<f64> {
    let cast = evidence.cast;
    let own = arrivals::sources(&arrivals::sent(evidence.trace, cast.platform, cast.user));
    let arrived = reports::arrived(evidence.trace, cast.user, cast.platform);
    let ticks = arrived.iter().rev().find_map(|compound| {
        let now = evidence.epoch.ntp_at(compound.at).compact();
        own.iter().find_map(|ssrc| {
            let blocks = blocks_about(core::slice::from_ref(compound), *ssrc);
            let (_, block) = blocks.iter().find(|(_, block)| block.last_report != 0)?;
            Some(now.wrapping_sub(block.last_report).wrapping_sub(block.delay))
        })
    });
    // Either clock may round up.
    ticks.map(|ticks| f64::from(ticks.cast_signed().max(0)) / 65_536.0)
}

/// The report names the moment of its sending on both clocks, to half a packet.
fn judge_clocks(
    evidence: &Evidence<'_>,
    at: Instant,
    ntp: u64,
    timestamp: u32,
    before: &[&Arrived],
) -> Option<Finding> {
    let epoch: Epoch = evidence.epoch;
    let off = (ntp.wrapping_sub(epoch.ntp_at(at).to_bits())).cast_signed().unsigned_abs();
    if off > (1 << 32) / 1_000 {
        return Some(CLOCKS.broken(
            format!("NTP time {:#018x}", epoch.ntp_at(at).to_bits()),
            format!("{ntp:#018x}"),
        ));
    }
    let last = before.last()?;
    let rate = view::codec(evidence.subject, last.payload_type)?.clock_rate();
    let elapsed = at.since(last.at).as_secs_f64() * f64::from(rate);
    let actual = f64::from(timestamp.wrapping_sub(last.timestamp).cast_signed());
    // 20 ms: a packet stands for all the time until the next one.
    ((actual - elapsed).abs() > f64::from(rate) / 50.0).then(|| {
        CLOCKS.broken(
            format!("RTP timestamp {elapsed:.0} after the last packet's"),
            format!("{actual:.0} after it"),
        )
    })
}

fn farewell(evidence: &Evidence<'_>) -> Judgement {
    let cast = evidence.cast;
    let packets = arrivals::sent(evidence.trace, cast.platform, cast.user);
    let compounds = reports::sent(evidence.trace, cast.platform, cast.user);
    let mut judgement = Judgement::default();
    for ssrc in arrivals::sources(&packets) {
        let bye = compounds.iter().find(|compound| {
            let leaves =
                |packet: &Packet| matches!(packet, Packet::Bye { ssrcs } if ssrcs.contains(&ssrc));
            compound.packets.iter().any(leaves)
        });
        let Some(bye) = bye else {
            judgement.findings.push(FAREWELL.broken(format!("BYE of SSRC {ssrc:#010x}"), "none"));
            continue;
        };
        let after =
            packets.iter().filter(|packet| packet.ssrc == ssrc && packet.at > bye.at).count();
        if after > 0 {
            judgement.findings.push(
                SILENCE.broken("no packet after the BYE", format!("{after} of SSRC {ssrc:#010x}")),
            );
        }
    }
    judgement
}

fn nack(evidence: &Evidence<'_>) -> Judgement {
    let cast = evidence.cast;
    let received = arrivals::between(evidence.trace, cast.platform, cast.bot);
    let mut judgement = Judgement::default();
    let mut asked: Vec<((u32, u16), u32)> = Vec::new();
    let mut messages = 0u64;
    for compound in reports::sent(evidence.trace, cast.bot, cast.platform) {
        for packet in &compound.packets {
            let Packet::Nack { ssrc, numbers } = packet else { continue };
            messages += 1;
            let here: BTreeSet<u16> = received
                .iter()
                .filter(|packet| packet.ssrc == *ssrc && packet.at < compound.at)
                // Numbers repeat after 65,536: only the recent ones are meant.
                .rev()
                .take(20_000)
                .map(|packet| packet.sequence_number)
                .collect();
            for number in numbers {
                if here.contains(number) {
                    judgement.findings.push(NACK_MISSING.broken(
                        "only numbers that had not arrived",
                        format!("{number} of SSRC {ssrc:#010x}, which had arrived"),
                    ));
                }
                let key = (*ssrc, *number);
                match asked.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, times)) => *times += 1,
                    None => asked.push((key, 1)),
                }
            }
        }
    }
    judgement.metrics.push(Metric::new(&metrics::NACK_COUNT, messages));
    if let Some(((ssrc, number), times)) = asked.iter().find(|(_, times)| *times > NACKS_MAX) {
        judgement.findings.push(NACK_BOUNDED.broken(
            format!("at most {NACKS_MAX} times"),
            format!("{times} times for {number} of SSRC {ssrc:#010x}"),
        ));
    }
    judgement
}
