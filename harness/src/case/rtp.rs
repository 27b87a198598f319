//! What the product says about the packets it received, against what the judges read off
//! the wire: numbers, loss, jitter, order, bursts, and that nothing is unaccounted for.

use callrig_media::rtcp::source::GAP_MIN;
use callrig_media::stats::Inbound;
use callrig_reports::metric::Unit;
use callrig_reports::metric::registry as metrics;
use callrig_reports::{Finding, Mark, MarkKind, Metric, Series, mark};

use super::rule::{Rule, requirements};
use super::view::{self, Receiver};
use super::{Case, Evidence, Judgement};
use crate::measure::reception::Reception;
use crate::network::Network;
use crate::said::Said;
use crate::stage::Stage;
use crate::subject::Subject;

/// All cases of this file.
pub const CASES: &[Case] = &[
    Case {
        id: "rtp/extended-sequence",
        title: "sequence numbers are extended across their wraps",
        requirements: || requirements(&[EXTENDED]),
        stage: Stage::Listen,
        applies: regular,
        judge: extended_sequence,
    },
    Case {
        id: "rtp/loss",
        title: "losses are counted as RFC 3550 does, and found where they are",
        requirements: || requirements(&[LOST, MISSING]),
        stage: Stage::Listen,
        applies: regular,
        judge: loss,
    },
    Case {
        id: "rtp/jitter",
        title: "interarrival jitter is exact to a timestamp unit after every packet",
        requirements: || requirements(&[JITTER, JITTER_UNIT]),
        stage: Stage::Listen,
        applies: regular,
        judge: jitter,
    },
    Case {
        id: "rtp/order",
        title: "reordered packets and duplicates are told apart and counted",
        requirements: || requirements(&[REORDERED, DUPLICATED]),
        stage: Stage::Listen,
        applies: regular,
        judge: order,
    },
    Case {
        id: "rtp/bursts",
        title: "losses are sorted into bursts and gaps",
        requirements: || requirements(&[BURSTS]),
        stage: Stage::Listen,
        applies: regular,
        judge: bursts,
    },
    Case {
        id: "rtp/conservation",
        title: "every datagram and every packet is accounted for",
        requirements: || requirements(&[CONSERVED, ALL_ARRIVED]),
        stage: Stage::Listen,
        applies: |_, _| true,
        judge: conservation,
    },
    Case {
        id: "rtp/recorded-truth",
        title: "a recording played without a network has the counts that were recorded",
        requirements: || requirements(&[TRUTH]),
        stage: Stage::Listen,
        applies: |subject, network| regular(subject, network) && network.name == "clean",
        judge: truth,
    },
];

const EXTENDED: Rule = Rule::must(
    "rtp/extended-sequence/as-on-the-wire",
    "RFC 3550 appendix A.1",
    "The extended sequence number of a packet counts the wraps of the 16-bit number since the first packet.",
);
const LOST: Rule = Rule::must(
    "rtp/loss/cumulative",
    "RFC 3550 appendix A.3",
    "Packets lost are those expected, from the first to the highest number, less those received, duplicates included.",
);
const MISSING: Rule = Rule::must(
    "rtp/loss/numbers-without-packet",
    "RFC 7680",
    "The numbers of which no packet came are counted apart from duplicates.",
);
const JITTER: Rule = Rule::must(
    "rtp/jitter/formula",
    "RFC 3550 section 6.4.1",
    "Jitter moves by a sixteenth of the difference between the spacing of two arrivals and that of their timestamps.",
);
const JITTER_UNIT: Rule = Rule::must(
    "rtp/jitter/in-timestamp-units",
    "RFC 3550 section 6.4.1; webrtc-stats",
    "Jitter is kept in units of the RTP clock, and said in seconds by dividing by the clock rate.",
);
const REORDERED: Rule = Rule::must(
    "rtp/order/reordered",
    "RFC 4737 section 3",
    "A packet below the highest number so far, and not seen before, is reordered.",
);
const DUPLICATED: Rule = Rule::must(
    "rtp/order/duplicated",
    "RFC 5560",
    "A packet whose number was received before is a duplicate, and nothing else.",
);
const BURSTS: Rule = Rule::must(
    "rtp/bursts/gmin-16",
    "RFC 3611 section 4.7.2",
    "Losses with fewer than 16 packets received between them are one burst; all other losses are gaps.",
);
const CONSERVED: Rule = Rule::must(
    "rtp/conservation/received-is-accounted-for",
    "this project",
    "What was received equals what was played, late, duplicate, discarded by a cause, or still waits.",
);
const ALL_ARRIVED: Rule = Rule::must(
    "rtp/conservation/every-datagram-was-seen",
    "this project",
    "A session counts as many datagrams as reached it.",
);
const TRUTH: Rule = Rule::must(
    "rtp/recorded-truth/counts",
    "this project; the recording's manifest entry",
    "Packets, losses, reorderings and duplicates of a recording come out as an independent judge counted them.",
);

fn regular(subject: &Subject, _: &Network) -> bool {
    view::is_regular(subject)
}

/// Judges each stream at each receiver by `check`; numbers that jump to a new run are
/// left to the cases that are about them.
fn each_stream(
    evidence: &Evidence<'_>,
    mut check: impl FnMut(&Receiver<'_>, &Inbound, &Reception, &mut Judgement),
) -> Judgement {
    let receivers = view::receivers(evidence);
    if receivers.is_empty() {
        return Judgement::error("no session said what it had received");
    }
    let mut judgement = Judgement::default();
    for receiver in &receivers {
        for stream in receiver.streams(evidence.subject) {
            let reception = Reception::of(&receiver.packets, stream.ssrc, stream.clock_rate);
            if reception.one_run {
                check(receiver, stream, &reception, &mut judgement);
            }
        }
    }
    judgement
}

fn whose(receiver: &Receiver<'_>, stream: &Inbound) -> String {
    format!("{}, SSRC {:#010x}", receiver.name, stream.ssrc)
}

/// A finding if two counts differ.
fn compare<T: PartialEq + core::fmt::Display>(
    rule: &Rule,
    what: &str,
    expected: &T,
    actual: &T,
) -> Option<Finding> {
    (expected != actual)
        .then(|| rule.broken(format!("{what}: {expected}"), format!("{what}: {actual}")))
}

/// Whose figures stand in the report: those of the first link, which does the damage.
fn is_reported(receiver: &Receiver<'_>) -> bool {
    receiver.name == "the platform"
}

fn label(stream: &Inbound) -> String {
    format!("{:#010x}", stream.ssrc)
}

fn milliseconds(at: callrig_media::time::Instant) -> f64 {
    at.as_nanos() as f64 / 1e6
}

fn extended_sequence(evidence: &Evidence<'_>) -> Judgement {
    let mut judgement = each_stream(evidence, |receiver, stream, reception, judgement| {
        let whose = whose(receiver, stream);
        let expected = stream.source.packets_received as i64 + stream.source.packets_lost;
        let what = format!("{whose}: packets expected");
        judgement.findings.extend(compare(
            &EXTENDED,
            &what,
            &(reception.expected as i64),
            &expected,
        ));
        if is_reported(receiver) {
            judgement.metrics.push(
                Metric::new(&metrics::PACKETS_EXPECTED, reception.expected).labelled(label(stream)),
            );
        }
    });
    judgement.findings.extend(view::bot(evidence).and_then(|bot| said_numbers(evidence, &bot)));
    judgement
}

/// The numbers that the bot's session said with each packet, against those on the wire.
fn said_numbers(evidence: &Evidence<'_>, bot: &Receiver<'_>) -> Option<Finding> {
    for stream in bot.streams(evidence.subject) {
        let reception = Reception::of(&bot.packets, stream.ssrc, stream.clock_rate);
        if !reception.one_run {
            continue;
        }
        let said: Vec<u64> =
            packets_said(evidence, stream.ssrc).map(|packet| packet.sequence).collect();
        let first = *said.first()?;
        for (packet, said) in reception.packets.iter().zip(&said) {
            let actual = said.wrapping_sub(first).cast_signed();
            if actual != packet.sequence {
                let finding = EXTENDED.broken(
                    format!("{}: {} after the first", whose(bot, stream), packet.sequence),
                    format!("{actual} after the first"),
                );
                return Some(finding.with_evidence([format!(
                    "packet that arrived at {:.3} ms, RTP timestamp {} after the first",
                    milliseconds(packet.at),
                    packet.timestamp
                )]));
            }
        }
        if said.len() != reception.packets.len() {
            return Some(EXTENDED.broken(
                format!("{}: {} packets said", whose(bot, stream), reception.packets.len()),
                format!("{} packets said", said.len()),
            ));
        }
    }
    None
}

fn packets_said<'a>(
    evidence: &Evidence<'a>,
    ssrc: u32,
) -> impl Iterator<Item = &'a callrig_media::event::PacketEvent> {
    evidence.trace.said_by(evidence.cast.bot).filter_map(move |(_, said)| match said {
        Said::Packet(_, packet) if packet.ssrc == ssrc => Some(packet),
        _ => None,
    })
}

fn loss(evidence: &Evidence<'_>) -> Judgement {
    let mut judgement = each_stream(evidence, |receiver, stream, reception, judgement| {
        let whose = whose(receiver, stream);
        let source = &stream.source;
        let lost = format!("{whose}: packets lost");
        let missing = format!("{whose}: numbers without a packet");
        judgement.findings.extend(compare(&LOST, &lost, &reception.lost(), &source.packets_lost));
        judgement.findings.extend(compare(
            &MISSING,
            &missing,
            &reception.missing,
            &source.packets_missing,
        ));
        if is_reported(receiver) {
            report_loss(stream, reception, judgement);
        }
    });
    judgement.marks = mark::bounded(core::mem::take(&mut judgement.marks), Mark::MAX_PER_KIND);
    judgement
}

fn report_loss(stream: &Inbound, reception: &Reception, judgement: &mut Judgement) {
    let label = label(stream);
    let ratio = reception.missing as f64 / reception.expected.max(1) as f64;
    let span = reception.span_seconds();
    let bitrate = (span > 0.0).then(|| reception.bytes as f64 * 8.0 / span);
    judgement.metrics.extend(
        [
            Metric::new(&metrics::PACKETS_RECEIVED, reception.received),
            Metric::new(&metrics::PACKETS_LOST, reception.lost()),
            Metric::new(&metrics::PACKETS_NEVER_ARRIVED, reception.missing),
            Metric::new(&metrics::LOSS_RATIO, ratio),
            Metric::new(&metrics::BYTES_RECEIVED, reception.bytes),
            Metric::new(&metrics::BITRATE, bitrate),
        ]
        .map(|metric| metric.labelled(label.clone())),
    );
    // A hole is marked where the packet after it arrived.
    for (start, length) in &reception.holes {
        let after =
            reception.packets.iter().find(|packet| packet.sequence >= start + *length as i64);
        if let Some(after) = after {
            let mut mark = Mark::at(MarkKind::Lost, milliseconds(after.at));
            mark.count = *length;
            judgement.marks.push(mark);
        }
    }
}

fn jitter(evidence: &Evidence<'_>) -> Judgement {
    let mut judgement = each_stream(evidence, |receiver, stream, reception, judgement| {
        if !view::has_one_clock(evidence.subject, stream.ssrc) {
            return;
        }
        let whose = whose(receiver, stream);
        let source = &stream.source;
        for (what, expected, actual) in [
            ("jitter at the end", reception.jitter_last(), source.jitter_ticks),
            ("mean jitter", reception.jitter_mean(), source.jitter_ticks_mean),
            ("greatest jitter", reception.jitter_max(), source.jitter_ticks_max),
        ] {
            if (expected - actual).abs() >= 1.0 {
                judgement.findings.push(JITTER.broken(
                    format!("{whose}: {what} {expected:.3} timestamp units"),
                    format!("{actual:.3}"),
                ));
            }
        }
        let seconds = source.jitter_ticks / f64::from(stream.clock_rate);
        if (seconds - source.jitter).abs() > 1e-9 {
            judgement.findings.push(
                JITTER_UNIT
                    .broken(format!("{whose}: {seconds:.9} s"), format!("{:.9} s", source.jitter)),
            );
        }
        if is_reported(receiver) {
            report_jitter(stream, reception, judgement);
        }
    });
    judgement.findings.extend(view::bot(evidence).and_then(|bot| said_jitter(evidence, &bot)));
    judgement
}

/// The jitter that the bot's session said after each packet.
fn said_jitter(evidence: &Evidence<'_>, bot: &Receiver<'_>) -> Option<Finding> {
    for stream in bot.streams(evidence.subject) {
        let reception = Reception::of(&bot.packets, stream.ssrc, stream.clock_rate);
        if !reception.one_run || !view::has_one_clock(evidence.subject, stream.ssrc) {
            continue;
        }
        let wrong = reception
            .jitter_ticks
            .iter()
            .zip(packets_said(evidence, stream.ssrc))
            .position(|(expected, said)| (expected - said.jitter).abs() >= 1.0);
        if let Some(wrong) = wrong {
            let said = packets_said(evidence, stream.ssrc).nth(wrong)?;
            return Some(JITTER.broken(
                format!(
                    "{}: {:.3} timestamp units after packet {}",
                    whose(bot, stream),
                    reception.jitter_ticks[wrong],
                    said.sequence
                ),
                format!("{:.3}", said.jitter),
            ));
        }
    }
    None
}

fn report_jitter(stream: &Inbound, reception: &Reception, judgement: &mut Judgement) {
    let rate = f64::from(stream.clock_rate);
    let label = label(stream);
    let mut variation: Vec<u64> = reception.delay_variation_nanos(stream.clock_rate);
    let points: Vec<(f64, f64)> = reception
        .packets
        .iter()
        .zip(&variation)
        .map(|(packet, nanos)| (milliseconds(packet.at), *nanos as f64 / 1e6))
        .collect();
    variation.sort_unstable();
    let quantile = |share: f64| {
        let place = ((variation.len() as f64 * share).ceil() as usize).max(1) - 1;
        variation.get(place).map(|nanos| *nanos as f64 / 1e9)
    };
    judgement.metrics.extend(
        [
            Metric::new(&metrics::JITTER, reception.jitter_last() / rate),
            Metric::new(&metrics::JITTER_MEAN, reception.jitter_mean() / rate),
            Metric::new(&metrics::JITTER_MAX, reception.jitter_max() / rate),
            Metric::new(&metrics::DELAY_VARIATION_P50, quantile(0.5)),
            Metric::new(&metrics::DELAY_VARIATION_P95, quantile(0.95)),
            Metric::new(&metrics::DELAY_VARIATION_P99, quantile(0.99)),
            Metric::new(&metrics::DELAY_VARIATION_MAX, quantile(1.0)),
            Metric::new(&metrics::CLOCK_DRIFT, reception.drift_ppm(stream.clock_rate)),
        ]
        .map(|metric| metric.labelled(label.clone())),
    );
    let jitter = reception
        .packets
        .iter()
        .zip(&reception.jitter_ticks)
        .map(|(packet, ticks)| (milliseconds(packet.at), ticks / rate * 1e3));
    judgement.series.push(Series::sampled(
        format!("jitter {label}"),
        "Interarrival jitter",
        Unit::Milliseconds,
        jitter,
        Series::DETAILED,
    ));
    judgement.series.push(Series::sampled(
        format!("arrival {label}"),
        "Arrival after the fastest packet",
        Unit::Milliseconds,
        points,
        Series::DETAILED,
    ));
}

fn order(evidence: &Evidence<'_>) -> Judgement {
    let mut judgement = each_stream(evidence, |receiver, stream, reception, judgement| {
        let whose = whose(receiver, stream);
        let source = &stream.source;
        let reordered = format!("{whose}: reordered packets");
        let extent = format!("{whose}: greatest reordering extent");
        let duplicated = format!("{whose}: duplicates");
        judgement.findings.extend(
            [
                compare(&REORDERED, &reordered, &reception.reordered, &source.packets_reordered),
                compare(
                    &REORDERED,
                    &extent,
                    &reception.reordering_extent_max,
                    &source.reordering_extent_max,
                ),
                compare(
                    &DUPLICATED,
                    &duplicated,
                    &reception.duplicated,
                    &source.packets_duplicated,
                ),
            ]
            .into_iter()
            .flatten(),
        );
        if !is_reported(receiver) {
            return;
        }
        let label = label(stream);
        judgement.metrics.extend(
            [
                Metric::new(&metrics::PACKETS_REORDERED, reception.reordered),
                Metric::new(&metrics::REORDERING_EXTENT_MAX, reception.reordering_extent_max),
                Metric::new(&metrics::PACKETS_DUPLICATED, reception.duplicated),
            ]
            .map(|metric| metric.labelled(label.clone())),
        );
        let mut highest = i64::MIN;
        for packet in &reception.packets {
            let kind = if packet.duplicate {
                Some(MarkKind::Duplicate)
            } else {
                (packet.sequence < highest).then_some(MarkKind::Reordered)
            };
            highest = highest.max(packet.sequence);
            judgement.marks.extend(kind.map(|kind| Mark::at(kind, milliseconds(packet.at))));
        }
    });
    judgement.marks = mark::bounded(core::mem::take(&mut judgement.marks), Mark::MAX_PER_KIND);
    judgement
}

/// Bursts of RFC 3611, from the holes: bursts, packets in them, losses in them, and
/// losses outside.
fn bursts_of(reception: &Reception) -> (u64, u64, u64, u64) {
    let lost: Vec<i64> =
        reception.holes.iter().flat_map(|(start, length)| *start..start + *length as i64).collect();
    let (mut count, mut packets, mut in_bursts, mut in_gaps) = (0, 0, 0, 0);
    let runs = lost.chunk_by(|a, b| b - a - 1 < GAP_MIN as i64);
    for run in runs {
        if let [only] = run {
            let _ = only;
            in_gaps += 1;
        } else {
            count += 1;
            packets += (run[run.len() - 1] - run[0] + 1) as u64;
            in_bursts += run.len() as u64;
        }
    }
    (count, packets, in_bursts, in_gaps)
}

fn bursts(evidence: &Evidence<'_>) -> Judgement {
    each_stream(evidence, |receiver, stream, reception, judgement| {
        let expected = bursts_of(reception);
        let loss = &stream.source.loss;
        let actual = (loss.burst_count, loss.burst_packets, loss.burst_lost, loss.gap_lost);
        if expected != actual {
            let words = |(count, packets, lost, alone): (u64, u64, u64, u64)| {
                format!("{count} bursts of {packets} packets, {lost} lost in them, {alone} alone")
            };
            judgement.findings.push(BURSTS.broken(
                format!("{}: {}", whose(receiver, stream), words(expected)),
                words(actual),
            ));
        }
        if is_reported(receiver) {
            let label = label(stream);
            let (count, packets, lost, alone) = expected;
            let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
            let gap_packets = reception.expected.saturating_sub(packets);
            let spacing = share(1, reception.expected).map(|part| part * reception.span_seconds());
            let lasts = |packets: u64, times: u64| Some(share(packets, times)? * spacing?);
            let longest = reception.holes.iter().map(|(_, length)| *length).max().unwrap_or(0);
            judgement.metrics.extend(
                [
                    Metric::new(&metrics::BURST_COUNT, count),
                    Metric::new(&metrics::BURST_DENSITY, share(lost, packets)),
                    Metric::new(&metrics::BURST_DURATION, lasts(packets, count)),
                    Metric::new(&metrics::GAP_DENSITY, share(alone, gap_packets)),
                    Metric::new(&metrics::GAP_DURATION, lasts(gap_packets, count + 1)),
                    Metric::new(&metrics::LONGEST_LOSS, longest),
                ]
                .map(|metric| metric.labelled(label.clone())),
            );
        }
    })
}

fn conservation(evidence: &Evidence<'_>) -> Judgement {
    let cast = evidence.cast;
    let ends = [
        ("the platform", view::platform_stats(evidence), cast.user, cast.platform),
        ("the bot", view::bot_stats(evidence), cast.platform, cast.bot),
    ];
    let mut judgement = Judgement::default();
    let mut residual = 0i64;
    for (name, stats, from, to) in ends {
        let Some(stats) = stats else { continue };
        if !stats.is_conserved() {
            residual += 1;
            judgement.findings.push(
                CONSERVED
                    .broken(
                        format!("{name}: every packet has one fate"),
                        "a packet has none or two",
                    )
                    .with_evidence(stats.inbound.iter().map(|stream| format!("{stream:?}"))),
            );
        }
        let ended = stats_said_at(evidence, name);
        let reached = evidence
            .trace
            .crossings(from, to)
            .flat_map(|(_, crossed)| match crossed.fate {
                crate::link::Fate::Delivered(at) => [Some(at), None],
                crate::link::Fate::Duplicated(first, second) => [Some(first), Some(second)],
                crate::link::Fate::Dropped(_) => [None, None],
            })
            .flatten()
            .filter(|at| ended.is_none_or(|ended| *at <= ended))
            .count() as u64;
        if stats.datagrams_received > reached {
            residual += stats.datagrams_received as i64 - reached as i64;
            judgement.findings.push(ALL_ARRIVED.broken(
                format!("{name}: at most {reached} datagrams"),
                format!("{}", stats.datagrams_received),
            ));
        } else if stats.datagrams_received < reached {
            residual += reached as i64 - stats.datagrams_received as i64;
            judgement.findings.push(ALL_ARRIVED.broken(
                format!("{name}: {reached} datagrams"),
                format!("{}", stats.datagrams_received),
            ));
        }
    }
    judgement.metrics.push(Metric::new(&metrics::CONSERVATION_RESIDUAL, residual));
    judgement
}

/// When a session gave its last account: what arrives later is no longer its business.
fn stats_said_at(evidence: &Evidence<'_>, name: &str) -> Option<callrig_media::time::Instant> {
    let who = if name == "the bot" { evidence.cast.bot } else { evidence.cast.platform };
    let leg = view::user_leg(evidence);
    evidence.trace.said_by(who).find_map(|(at, said)| {
        let (ended, _) = said.ended()?;
        (ended.is_none() || ended == leg).then_some(at)
    })
}

fn truth(evidence: &Evidence<'_>) -> Judgement {
    let Some(platform) = view::platform(evidence) else {
        return Judgement::error("the platform's session did not say what it had received");
    };
    let mut judgement = Judgement::default();
    for stream in platform.streams(evidence.subject) {
        let flow = evidence.subject.flows.iter().find(|flow| flow.ssrc == stream.ssrc);
        let Some(truth) = flow.and_then(|flow| flow.truth.as_ref()) else { continue };
        let source = &stream.source;
        // A jump is believed only with its second packet: the first one counts as arrived all
        // the same, but what lies between two runs is not lost (RFC 3550 A.1).
        let arrived =
            source.packets_received + source.packets_beyond_limits + source.packets_on_probation;
        let restarted = evidence.subject.truth.restarts.unwrap_or(0) > 0;
        let within_run = |count: Option<u64>| count.filter(|_| !restarted);
        for (what, expected, actual) in [
            ("packets", truth.packets, arrived),
            ("missing packets", within_run(truth.lost), source.packets_missing),
            ("reordered packets", within_run(truth.reordered), source.packets_reordered),
            ("duplicates", within_run(truth.duplicates), source.packets_duplicated),
            ("restarts", evidence.subject.truth.restarts, source.restarts),
        ] {
            if let Some(expected) = expected {
                let what = format!("{}: {what}", whose(&platform, stream));
                judgement.findings.extend(compare(&TRUTH, &what, &expected, &actual));
            }
        }
    }
    judgement
}
