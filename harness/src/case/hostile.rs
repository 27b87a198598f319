//! Strangers' bytes: whatever a peer sends, the call goes on and ends as it should, nothing
//! grows without bounds, and each datagram that goes nowhere says why.

use std::collections::BTreeMap;

use callrig_media::event::{DropReason, Event};
use callrig_media::stats::Stats;
use callrig_reports::Metric;
use callrig_reports::metric::registry as metrics;
use serde_json::Value;

use super::rule::{Rule, requirements};
use super::view;
use super::{Case, Evidence, Judgement};
use crate::actor::ActorId;
use crate::network::Network;
use crate::said::Said;
use crate::stage::Stage;
use crate::subject::Subject;
use crate::trace::What;

/// All cases of this file.
pub const CASES: &[Case] = &[
    Case {
        id: "hostile/survives",
        title: "whatever is sent, the call goes on, ends as it should, and nothing grows",
        requirements: || requirements(&[ENDS_WELL, CONSERVED, BOUNDED]),
        stage: Stage::Listen,
        applies,
        judge: survives,
    },
    Case {
        id: "hostile/says-why",
        title: "every datagram that goes nowhere says why",
        requirements: || requirements(&[EACH_SAID, RUBBISH_REFUSED, GOOD_TAKEN]),
        stage: Stage::Listen,
        // What is to be refused was counted as it was recorded.
        applies: |subject, network| applies(subject, network) && network.name == "clean",
        judge: says_why,
    },
];

const ENDS_WELL: Rule = Rule::must(
    "hostile/survives/ends-well",
    "Graph API: call resource, resultInfo",
    "Media that breaks rules does not end a call: it goes on until somebody hangs up, with a result of 2xx.",
);
const CONSERVED: Rule = Rule::must(
    "hostile/survives/conserved",
    "this project",
    "Every datagram and every packet has exactly one fate, whatever it holds.",
);
const BOUNDED: Rule = Rule::must(
    "hostile/survives/bounded",
    "this project",
    "However many sources a peer makes up, no more streams are kept than are allowed.",
);
const EACH_SAID: Rule = Rule::must(
    "hostile/says-why/each-said",
    "this project",
    "What a session counts as dropped, for each reason, is what it said when it dropped it.",
);
const RUBBISH_REFUSED: Rule = Rule::must(
    "hostile/says-why/rubbish-refused",
    "RFC 3550 appendix A.1; RFC 7983; the recording's manifest entry",
    "Datagrams that belong to no stream are dropped for a reason, or taken for reports.",
);
const GOOD_TAKEN: Rule = Rule::must(
    "hostile/says-why/good-taken",
    "RFC 3550 appendix A.1; the recording's manifest entry",
    "The packets of the decent stream are taken, rubbish among them or not.",
);

/// Streams that a session keeps, and statistics of those that are gone.
const STREAMS_MAX: usize = 32 + 64;

fn applies(subject: &Subject, _: &Network) -> bool {
    matches!(subject.kind.as_str(), "hostile" | "quirks")
}

/// The sessions that gave an account of themselves.
fn sessions<'a>(evidence: &Evidence<'a>) -> Vec<(&'static str, ActorId, &'a Stats)> {
    let cast = evidence.cast;
    [
        ("the platform", cast.platform, view::platform_stats(evidence)),
        ("the bot", cast.bot, view::bot_stats(evidence)),
    ]
    .into_iter()
    .filter_map(|(name, who, stats)| Some((name, who, stats?)))
    .collect()
}

fn survives(evidence: &Evidence<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    match last_result(evidence) {
        Some(code) if (200..300).contains(&code) => {}
        code => {
            let actual = code.map_or("no end at all".to_owned(), |code| code.to_string());
            judgement.findings.push(ENDS_WELL.broken("an end with a code of 2xx", actual));
        }
    }
    let sessions = sessions(evidence);
    if sessions.len() < 2 {
        judgement.findings.push(
            CONSERVED
                .broken("two sessions that say what they received", sessions.len().to_string()),
        );
    }
    for (name, _, stats) in sessions {
        if !stats.is_conserved() {
            let lines = stats.inbound.iter().map(|stream| format!("{stream:?}"));
            judgement.findings.push(
                CONSERVED
                    .broken(format!("{name}: one fate each"), "none or two for one")
                    .with_evidence(lines),
            );
        }
        if stats.inbound.len() > STREAMS_MAX {
            let actual = stats.inbound.len().to_string();
            judgement
                .findings
                .push(BOUNDED.broken(format!("{name}: at most {STREAMS_MAX} streams"), actual));
        }
    }
    judgement
}

/// The code with which the call was deleted, as the bot was told.
fn last_result(evidence: &Evidence<'_>) -> Option<i64> {
    let cast = evidence.cast;
    evidence.trace.facts().iter().rev().find_map(|fact| match &fact.what {
        What::Asked(asked) if asked.from == cast.platform && asked.to == Some(cast.bot) => {
            result_in(&serde_json::from_slice(&asked.request.body).ok()?)
        }
        _ => None,
    })
}

fn result_in(body: &Value) -> Option<i64> {
    let items = body["value"].as_array()?;
    let deleted = items.iter().find(|item| item["changeType"] == "deleted")?;
    deleted["resourceData"]["resultInfo"]["code"].as_i64()
}

fn says_why(evidence: &Evidence<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    for (name, who, stats) in sessions(evidence) {
        let said = reasons_said(evidence, who);
        for (reason, counted) in &stats.dropped {
            let told = said.get(reason).copied().unwrap_or(0);
            if told != *counted {
                judgement.findings.push(EACH_SAID.broken(
                    format!("{name}, {}: {counted} said", word(*reason)),
                    told.to_string(),
                ));
            }
        }
    }
    let Some(stats) = view::platform_stats(evidence) else {
        return Judgement::error("the platform's session gave no account of itself");
    };
    for (reason, count) in &stats.dropped {
        judgement
            .metrics
            .push(Metric::new(&metrics::PACKETS_DISCARDED, *count).labelled(word(*reason)));
    }
    judgement.metrics.push(Metric::new(&metrics::PACKETS_RECEIVED, taken(stats)));
    against_truth(evidence, stats, &mut judgement);
    judgement
}

/// Packets that were taken for those of a stream.
fn taken(stats: &Stats) -> u64 {
    let streams = stats.inbound.iter().map(|stream| stream.source.packets_received);
    streams.sum::<u64>() + stats.inbound_forgotten_packets
}

fn against_truth(evidence: &Evidence<'_>, stats: &Stats, judgement: &mut Judgement) {
    let truth = &evidence.subject.truth;
    if evidence.subject.kind != "hostile" {
        return;
    }
    let dropped: u64 = stats.dropped.values().sum();
    // What belongs to no stream may look like a report; no more can be asked of anybody.
    let refused = dropped + stats.rtcp_received + undecided(stats, evidence.subject);
    if let Some(other) = truth.other
        && refused < other
    {
        judgement.findings.push(RUBBISH_REFUSED.broken(
            format!("{other} datagrams refused, or taken for reports"),
            refused.to_string(),
        ));
    }
    if let Some(packets) = truth.packets {
        let taken = taken(stats);
        let lenient = packets.saturating_sub(strict(stats));
        if taken < lenient {
            judgement.findings.push(
                GOOD_TAKEN.broken(format!("at least {lenient} packets taken"), taken.to_string()),
            );
        }
    }
}

/// Packets of streams that nobody stated: sources of a single packet, for example.
fn undecided(stats: &Stats, subject: &Subject) -> u64 {
    let stated = |ssrc: u32| subject.flows.iter().any(|flow| flow.ssrc == ssrc);
    let strangers = stats.inbound.iter().filter(|stream| !stated(stream.ssrc));
    strangers.map(|stream| stream.source.packets_received).sum::<u64>()
        + stats.inbound_forgotten_packets
}

/// Packets that were refused although their headers are sound: a receiver may be stricter
/// than the one who counted.
fn strict(stats: &Stats) -> u64 {
    [
        DropReason::MalformedRtp,
        DropReason::Probation,
        DropReason::Jump,
        DropReason::AfterBye,
        DropReason::UnknownPayloadType,
        DropReason::ForeignAddress,
        DropReason::TooManyStreams,
        DropReason::OwnSource,
    ]
    .into_iter()
    .map(|reason| stats.dropped(reason))
    .sum()
}

fn reasons_said(evidence: &Evidence<'_>, who: ActorId) -> BTreeMap<DropReason, u64> {
    let mut counts = BTreeMap::new();
    for (_, said) in evidence.trace.said_by(who) {
        if let Said::Media(_, event) = said
            && let Event::Dropped(dropped) = &**event
        {
            *counts.entry(dropped.reason).or_default() += 1;
        }
    }
    counts
}

/// The reason as statistics spell it.
fn word(reason: DropReason) -> String {
    let text = serde_json::to_value(reason).ok();
    text.as_ref().and_then(Value::as_str).unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_its_word() {
        assert_eq!(word(DropReason::MalformedRtp), "malformedRtp");
    }

    #[test]
    fn the_code_is_read_from_the_deletion_alone() {
        let body = |change: &str| {
            serde_json::json!({ "value": [
                { "changeType": change, "resourceData": { "resultInfo": { "code": 200 } } }
            ]})
        };
        assert_eq!(result_in(&body("deleted")), Some(200));
        assert_eq!(result_in(&body("updated")), None);
    }
}
