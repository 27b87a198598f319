//! Lost packets of pictures that are sent again when they are asked for: that they are asked
//! for, sent again as they were and passed on, how much of what was lost comes back and how
//! soon, and what is seen of all that.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use callrig_media::time::Instant;
use callrig_reports::metric::Unit;
use callrig_reports::metric::registry as metrics;
use callrig_reports::{Finding, Histogram, Metric};
use hdrhistogram::Histogram as Hdr;

use super::rule::{Rule, requirements};
use super::sound::milliseconds;
use super::{Case, Evidence, Judgement, video, view};
use crate::critic::video_sources;
use crate::measure::arrivals;
use crate::measure::recovery::{Sending, Sendings, Source};
use crate::measure::reports::{self, Compound, Packet};
use crate::network::Network;
use crate::stage::Stage;
use crate::subject::{Subject, offer};

/// All cases of this file.
pub const CASES: &[Case] = &[
    Case {
        id: "recovery/sent-again",
        title: "what is lost is asked for, sent again as it was, and passed on",
        requirements: || requirements(&[UNCHANGED, PASSED_ON, ASKED, ANSWERED]),
        stage: Stage::Recover,
        applies,
        judge: sent_again,
    },
    Case {
        id: "recovery/watching",
        title: "what is seen where lost packets are sent again: how much, how late, how often it freezes",
        requirements: || requirements(&[RIGHT, NOT_BEFORE]),
        stage: Stage::Recover,
        applies,
        judge: watching,
    },
];

const UNCHANGED: Rule = Rule::must(
    "recovery/sent-again/unchanged",
    "RFC 4588 section 4; RFC 4585 section 6.2.1",
    "A packet that is sent again has the number, timestamp, marker and payload that it had.",
);
const PASSED_ON: Rule = Rule::must(
    "recovery/sent-again/passed-on",
    "this project",
    "A packet of which a copy reaches the platform, at most 200 packets after the next ones, reaches the bot.",
);
const ASKED: Rule = Rule::should(
    "recovery/sent-again/asked-for",
    "RFC 4585 section 6.2.1; this project",
    "A packet that is missing is asked for within 100 ms of the next one that comes, unless that is more than 200 further on.",
);
const ANSWERED: Rule = Rule::should(
    "recovery/sent-again/answered",
    "RFC 4585 section 6.2.1; this project",
    "One of the last 500 packets that is asked for is sent again at once, unless it was within the last 10 ms.",
);
const RIGHT: Rule = Rule::must(
    "recovery/watching/like-a-clean-decoding",
    "ITU-T H.264; this project",
    "Where lost packets are sent again, too, a picture shown equals the decoding of what was sent.",
);
const NOT_BEFORE: Rule = Rule::must(
    "recovery/watching/not-before-it-was-sent",
    "this project",
    "Where lost packets are sent again, too, no picture is shown before its frame was sent.",
);

/// So long after the next packet a missing one is asked for.
const ASKED_WITHIN: Duration = Duration::from_millis(100);
/// A packet that was sent so short a time ago need not be sent again.
const JUST_SENT: Duration = Duration::from_millis(10);
/// So many packets are remembered.
const REMEMBERED: i64 = 500;
/// So far behind the newest packet one is still of use.
const RECENT: i64 = 200;

/// Where anything can be lost, and nothing was before.
pub(super) fn applies(subject: &Subject, network: &Network) -> bool {
    let is_damaged = subject.tags.iter().any(|tag| tag == "damaged");
    subject.has_video() && view::is_regular(subject) && !is_damaged && network.name != "clean"
}

/// The sources of pictures, with where they are sent again.
#[must_use]
pub fn sources(subject: &Subject) -> Vec<Source> {
    let lines = offer::sending_again(&subject.media);
    let source = |ssrc: u32| {
        let line = lines.iter().find(|line| line.ssrc == Some(ssrc));
        let payloads = line.into_iter().flat_map(|line| &line.payloads);
        let pairs = payloads.filter_map(|p| Some((p.retransmission?, p.payload_type)));
        Source {
            ssrc,
            again: line.and_then(|line| line.retransmission_ssrc),
            payload_types: pairs.collect(),
        }
    };
    video_sources(subject).into_iter().map(source).collect()
}

fn sent_again(evidence: &Evidence<'_>) -> Judgement {
    let cast = evidence.cast;
    let mut judgement = Judgement::default();
    let mut tally = Tally::default();
    let told = reports::sent(evidence.trace, cast.platform, cast.user);
    let heard = reports::arrived(evidence.trace, cast.platform, cast.user);
    let passed = arrivals::between(evidence.trace, cast.platform, cast.bot);
    for source in sources(evidence.subject) {
        let sendings = Sendings::of(evidence.trace, (cast.user, cast.platform), &source);
        tally.take(&sendings);
        let here = passed.iter().filter(|packet| packet.ssrc == source.ssrc);
        let here: BTreeSet<u16> = here.map(|packet| packet.sequence_number).collect();
        judgement.findings.extend(changed(&sendings, &UNCHANGED));
        judgement.findings.extend(kept_back(&sendings, &here));
        judgement.findings.extend(not_asked_for(&sendings, &asked(&told, &source, &sendings)));
        judgement.findings.extend(not_answered(
            &sendings,
            &asked(&heard, &source, &sendings),
            JUST_SENT,
            &ANSWERED,
        ));
    }
    judgement.metrics.extend(tally.metrics());
    judgement.metrics.push(Metric::new(&metrics::NACK_COUNT, messages(&told)));
    if !tally.delays.is_empty() {
        let histogram = Histogram::of("recoveryDelay", Unit::Seconds, 1e-9, &tally.delays);
        judgement.histograms.push(histogram);
    }
    judgement
}

/// What became of what was lost.
pub(super) struct Tally {
    lost: u64,
    recovered: u64,
    again: u64,
    came: u64,
    delays: Hdr<u64>,
}

impl Default for Tally {
    fn default() -> Self {
        let delays = Hdr::new_with_bounds(1, 60_000_000_000, 3).expect("sound bounds");
        Self { lost: 0, recovered: 0, again: 0, came: 0, delays }
    }
}

impl Tally {
    pub(super) fn take(&mut self, sendings: &Sendings) {
        for (_, sent, back) in sendings.lost() {
            self.lost += 1;
            if let Some(back) = back {
                self.recovered += 1;
                self.delays.saturating_record(back.since(sent).as_nanos() as u64);
            }
        }
        let (sent, arrived) = sendings.again();
        self.again += sent;
        self.came += arrived;
    }

    pub(super) fn metrics(&self) -> [Metric; 7] {
        let share = (self.lost > 0).then(|| self.recovered as f64 / self.lost as f64);
        let delays = &self.delays;
        let quantile =
            |at: f64| (!delays.is_empty()).then(|| delays.value_at_quantile(at) as f64 / 1e9);
        [
            Metric::new(&metrics::PACKETS_LOST_ON_THE_WAY, self.lost),
            Metric::new(&metrics::RETRANSMITTED_PACKETS_SENT, self.again),
            Metric::new(&metrics::RETRANSMITTED_PACKETS_RECEIVED, self.came),
            Metric::new(&metrics::PACKETS_RECOVERED, self.recovered),
            Metric::new(&metrics::RECOVERED_RATIO, share),
            Metric::new(&metrics::RECOVERY_DELAY_P50, quantile(0.5)),
            Metric::new(&metrics::RECOVERY_DELAY_P95, quantile(0.95)),
        ]
    }
}

pub(super) fn messages(compounds: &[Compound]) -> u64 {
    let packets = compounds.iter().flat_map(|compound| &compound.packets);
    packets.filter(|packet| matches!(packet, Packet::Nack { .. })).count() as u64
}

/// When each packet of a source was asked for.
pub(super) fn asked(
    compounds: &[Compound],
    source: &Source,
    sendings: &Sendings,
) -> BTreeMap<i64, Vec<Instant>> {
    let mut asked: BTreeMap<i64, Vec<Instant>> = BTreeMap::new();
    for compound in compounds {
        for packet in &compound.packets {
            let Packet::Nack { ssrc, numbers } = packet else { continue };
            if *ssrc != source.ssrc {
                continue;
            }
            for number in numbers {
                let number = sendings.before(*number, compound.at);
                asked.entry(number).or_default().push(compound.at);
            }
        }
    }
    asked
}

/// A packet that was sent again as another one than it was, as a breach of `rule`.
pub(super) fn changed(sendings: &Sendings, rule: &Rule) -> Option<Finding> {
    if sendings.strangers > 0 {
        let found = format!("{} that never were", sendings.strangers);
        return Some(rule.broken("only packets that were sent before", found));
    }
    let other = sendings.packets.iter().find_map(|(number, copies)| {
        let (first, later) = copies.split_first()?;
        later.iter().find(|copy| !copy.repeats(first)).map(|copy| (number, first, copy))
    });
    let (number, first, copy) = other?;
    let line = format!("packet {number}, sent again at {:.3} ms", milliseconds(copy.sent));
    let words = |copy: &Sending| {
        let (length, timestamp, marker) = (copy.payload.len(), copy.timestamp, copy.marker);
        format!("{length} bytes of timestamp {timestamp}, marker {marker}")
    };
    let found = match copy.payload.len() == first.payload.len() {
        true => format!("{}, or other bytes", words(copy)),
        false => words(copy),
    };
    Some(rule.broken(words(first), found).with_evidence([line]))
}

fn kept_back(sendings: &Sendings, passed: &BTreeSet<u16>) -> Option<Finding> {
    let came = |copies: &[Sending]| copies.iter().filter_map(|copy| copy.arrived).min();
    let is_recent = |number: i64, at: Instant| {
        let mut newer = sendings.packets.range(number + RECENT..);
        !newer.any(|(_, copies)| came(copies).is_some_and(|came| came <= at))
    };
    let missing: Vec<i64> = sendings
        .packets
        .iter()
        .filter(|(number, copies)| came(copies).is_some_and(|at| is_recent(**number, at)))
        .map(|(number, _)| *number)
        .filter(|number| !passed.contains(&(*number as u16)))
        .collect();
    let first = missing.first()?;
    let found = format!("{} did not, the first is {first}", missing.len());
    Some(PASSED_ON.broken("every packet that reached the platform reaches the bot", found))
}

fn not_asked_for(sendings: &Sendings, asked: &BTreeMap<i64, Vec<Instant>>) -> Option<Finding> {
    let first_came = |copies: &[Sending]| copies.first().and_then(|first| first.arrived);
    // Before the first one that came nothing is known to be missing.
    let begun = sendings.packets.iter().find(|(_, copies)| first_came(copies).is_some())?.0;
    let mut ignored = Vec::new();
    // From the last to the first: the nearest number above that came, and when any above came.
    let mut above: Option<(i64, Instant)> = None;
    for (number, copies) in sendings.packets.range(begun..).rev() {
        let came = first_came(copies);
        if let Some((nearest, next)) = above.filter(|_| came.is_none()) {
            let until = next + ASKED_WITHIN;
            let times = asked.get(number).map_or(&[][..], Vec::as_slice);
            let recovered = copies.iter().filter_map(|copy| copy.arrived).min();
            let is_late = recovered.is_none_or(|came| came > until);
            if nearest - number < RECENT && is_late && !times.iter().any(|at| *at <= until) {
                ignored.push((*number, next));
            }
        }
        if let Some(came) = came {
            above = Some((*number, above.map_or(came, |(_, next)| next.min(came))));
        }
    }
    let (number, next) = ignored.last()?;
    let line = format!("packet {number}; the next one came at {:.3} ms", milliseconds(*next));
    let found = format!("{} were not", ignored.len());
    Some(ASKED.broken("every missing packet is asked for", found).with_evidence([line]))
}

/// A packet that was asked for, and was sent neither then nor so short a time before, as a breach
/// of `rule`.
pub(super) fn not_answered(
    sendings: &Sendings,
    asked: &BTreeMap<i64, Vec<Instant>>,
    just_sent: Duration,
    rule: &Rule,
) -> Option<Finding> {
    for (number, times) in asked {
        let Some(copies) = sendings.packets.get(number) else { continue };
        for at in times {
            if sendings.newest_by(*at).is_some_and(|newest| newest - number >= REMEMBERED) {
                continue;
            }
            let near = |sent: Instant| at.signed_nanos_since(sent).unsigned_abs();
            if !copies.iter().any(|copy| near(copy.sent) <= just_sent.as_nanos() as u64) {
                let line = format!("packet {number}, asked for at {:.3} ms", milliseconds(*at));
                return Some(rule.broken("it is sent again", "it is not").with_evidence([line]));
            }
        }
    }
    None
}

fn watching(evidence: &Evidence<'_>) -> Judgement {
    let mut judgement = video::watched(evidence, &NOT_BEFORE, "sent again");
    judgement.findings.extend(video::wrong_pictures(evidence, &RIGHT));
    judgement
}
