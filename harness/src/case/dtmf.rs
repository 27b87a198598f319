//! Digits: each key that was pressed is said once, with the time it was held, and a bot
//! that asked is told of it over HTTP. What was pressed is read off the packets by the
//! judges themselves, and off the recording's truth where somebody stated it.

use std::collections::BTreeMap;

use callrig_media::description::Codec;
use callrig_media::dtmf::ToneEvent;
use callrig_media::event::{DropReason, Event};
use callrig_media::time::Instant;
use callrig_reports::metric::registry as metrics;
use callrig_reports::{Finding, Mark, MarkKind, Metric, mark};
use serde_json::Value;

use super::rule::{Rule, requirements};
use super::view;
use super::{Case, Evidence, Judgement};
use crate::actor::ActorId;
use crate::measure::payloads::{self, Carried};
use crate::measure::tones::{self, Pressed, Report};
use crate::network::Network;
use crate::said::Said;
use crate::stage::Stage;
use crate::subject::Subject;
use crate::trace::What;

/// All cases of this file.
pub const CASES: &[Case] = &[
    Case {
        id: "dtmf/exactly-once",
        title: "every key of which anything arrived is said once, and no other",
        requirements: || requirements(&[ONCE, NO_OTHER, TRUTH]),
        stage: Stage::Listen,
        applies: by_events,
        judge: exactly_once,
    },
    Case {
        id: "dtmf/duration",
        title: "a key was held as long as its packets say",
        requirements: || requirements(&[DURATION, END]),
        stage: Stage::Listen,
        applies: by_events,
        judge: duration,
    },
    Case {
        id: "dtmf/notified",
        title: "a bot with service-hosted media is told every key, in order",
        requirements: || requirements(&[TOLD, RISING, SUBSCRIBED]),
        stage: Stage::Menu,
        applies: told,
        judge: notified,
    },
];

const ONCE: Rule = Rule::must(
    "dtmf/exactly-once/said",
    "RFC 4733 sections 2.2 and 2.5",
    "A key of which at least one event packet arrived is said exactly once, however often it was reported.",
);
const NO_OTHER: Rule = Rule::must(
    "dtmf/exactly-once/no-other",
    "RFC 4733 section 2.5",
    "No key is said that was not pressed, and each one with the timestamp of its event.",
);
const TRUTH: Rule = Rule::must(
    "dtmf/exactly-once/as-recorded",
    "RFC 4733; the recording's manifest entry",
    "Without a network in between, the keys are those that the recording states, in their order.",
);
const DURATION: Rule = Rule::must(
    "dtmf/duration/largest-reported",
    "RFC 4733 sections 2.3.5 and 2.5.1.3",
    "A key was held for the largest duration that was reported before it was said, all segments together.",
);
const END: Rule = Rule::must(
    "dtmf/duration/end",
    "RFC 4733 section 2.5.1.4",
    "A key is said to have lost its end only if no packet with the end bit had arrived.",
);
const TOLD: Rule = Rule::must(
    "dtmf/notified/every-key",
    "Graph API: call: subscribeToTone; toneInfo",
    "After the subscription, each key is notified once, as a tone of toneInfo, in the order of pressing.",
);
const RISING: Rule = Rule::must(
    "dtmf/notified/sequence-rises-from-1",
    "Graph API: toneInfo, sequenceId",
    "The tones of a call are numbered 1, 2, 3 and so on.",
);
const SUBSCRIBED: Rule = Rule::must(
    "dtmf/notified/subscription-answered",
    "Graph API: call: subscribeToTone",
    "A subscription to tones is accepted with a 2xx status.",
);

fn has_events(subject: &Subject) -> bool {
    let payloads = subject.flows.iter().flat_map(|flow| &flow.payloads);
    payloads.into_iter().any(|payload| payload.codec == "telephone-event")
}

fn by_events(subject: &Subject, _: &Network) -> bool {
    has_events(subject) && view::is_regular(subject)
}

/// Keys that are only heard survive a network or not; without one they must be found.
fn told(subject: &Subject, network: &Network) -> bool {
    subject.has_tones()
        && view::is_regular(subject)
        && (has_events(subject) || network.name == "clean")
}

/// The keys that reached somebody as events, by source, in the order of pressing.
fn reached(
    evidence: &Evidence<'_>,
    from: ActorId,
    to: ActorId,
) -> BTreeMap<u32, (u32, Vec<Pressed>)> {
    let refused = refused(evidence, to);
    let mut reports: BTreeMap<u32, (u32, Vec<Report>)> = BTreeMap::new();
    for Carried { packet, payload } in payloads::delivered(evidence.trace, from, to) {
        let Some(Codec::TelephoneEvent { clock_rate }) =
            view::codec(evidence.subject, packet.payload_type)
        else {
            continue;
        };
        if refused.contains(&(packet.ssrc, packet.sequence_number)) {
            continue;
        }
        let report = Report::read(packet.at, packet.timestamp, packet.marker, &payload);
        let (_, list) = reports.entry(packet.ssrc).or_insert((clock_rate, Vec::new()));
        list.extend(report);
    }
    reports
        .into_iter()
        .map(|(ssrc, (clock_rate, list))| (ssrc, (clock_rate, tones::pressed(&list))))
        .collect()
}

/// Packets that a session did not take for its source's own (RFC 3550 appendix A.1).
fn refused(evidence: &Evidence<'_>, who: ActorId) -> Vec<(u32, u16)> {
    let dropped = evidence.trace.said_by(who).filter_map(|(_, said)| match said {
        Said::Media(_, event) => match &**event {
            Event::Dropped(dropped) => Some(*dropped),
            _ => None,
        },
        _ => None,
    });
    dropped
        .filter(|dropped| matches!(dropped.reason, DropReason::Probation | DropReason::Jump))
        .filter_map(|dropped| Some((dropped.ssrc?, dropped.sequence_number?)))
        .collect()
}

/// The keys that the bot's session said it was sent as events.
fn said(evidence: &Evidence<'_>) -> Vec<(Instant, ToneEvent)> {
    let tones = evidence.trace.said_by(evidence.cast.bot).filter_map(|(at, said)| match said {
        Said::Media(_, event) => match &**event {
            Event::Tone(tone) => Some((at, *tone)),
            _ => None,
        },
        _ => None,
    });
    tones.filter(|(_, tone)| !tone.in_band).collect()
}

fn exactly_once(evidence: &Evidence<'_>) -> Judgement {
    let cast = evidence.cast;
    let mut judgement = Judgement::default();
    let said = said(evidence);
    let reached = reached(evidence, cast.platform, cast.bot);
    let pressed: Vec<&Pressed> = reached.values().flat_map(|(_, list)| list).collect();
    judgement.findings.extend(each_once(&pressed, &said));
    let digits: String = said.iter().map(|(_, tone)| tone.tone.key()).collect();
    if let Some(truth) = &evidence.subject.truth.digits
        && view::is_clean(evidence)
        && *truth != digits
    {
        judgement.findings.push(TRUTH.broken(truth.clone(), digits.clone()));
    }
    judgement.metrics.push(Metric::new(&metrics::DIGITS, digits));
    let marks = said.iter().map(|(at, tone)| {
        let at_ms = at.as_nanos() as f64 / 1e6;
        Mark::at(MarkKind::Digit, at_ms).labelled(tone.tone.key().to_string())
    });
    judgement.marks = mark::bounded(marks, Mark::MAX_PER_KIND);
    judgement
}

/// Keys pressed against keys said, by timestamp.
fn each_once(pressed: &[&Pressed], said: &[(Instant, ToneEvent)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for one in pressed {
        let times = said.iter().filter(|(_, tone)| is_same(one, tone)).count();
        if times != 1 {
            let line = format!(
                "{} packets of the key {} with timestamp {}, the first at {:.3} ms",
                one.reports.len(),
                one.key,
                one.timestamp,
                one.first_heard().map_or(0.0, |at| at.as_nanos() as f64 / 1e6)
            );
            let said = if times == 0 { "never".to_owned() } else { format!("{times} times") };
            findings
                .push(ONCE.broken(format!("{} said once", one.key), said).with_evidence([line]));
        }
    }
    for (at, tone) in said {
        if !pressed.iter().any(|one| is_same(one, tone)) {
            findings.push(NO_OTHER.broken(
                "a key that was pressed",
                format!(
                    "{} with timestamp {}, said at {:.3} ms",
                    tone.tone.key(),
                    tone.timestamp,
                    at.as_nanos() as f64 / 1e6
                ),
            ));
        }
    }
    findings
}

/// Whether a key that was said is one that was pressed. Its timestamp may be that of a
/// later segment, where the first was lost.
fn is_same(pressed: &Pressed, said: &ToneEvent) -> bool {
    said.tone.key() == pressed.key
        && pressed.reports.iter().any(|report| report.timestamp == said.timestamp)
}

fn duration(evidence: &Evidence<'_>) -> Judgement {
    let cast = evidence.cast;
    let mut judgement = Judgement::default();
    let said = said(evidence);
    for (clock_rate, list) in reached(evidence, cast.platform, cast.bot).values() {
        for pressed in list {
            let one = said.iter().find(|(_, tone)| is_same(pressed, tone));
            if let Some((at, tone)) = one {
                judgement.findings.extend(held(pressed, *at, tone, *clock_rate));
            }
        }
    }
    judgement
}

/// How long a key was held, and whether it was let go, as far as was known when it was said.
fn held(pressed: &Pressed, at: Instant, said: &ToneEvent, clock_rate: u32) -> Option<Finding> {
    let (ticks, ended) = pressed.held_by(at);
    let skipped = i64::from(said.timestamp.wrapping_sub(pressed.timestamp));
    let nanos = (ticks - skipped).max(0) as u64 * 1_000_000_000 / u64::from(clock_rate.max(1));
    let actual = said.duration.as_nanos() as u64;
    let key = pressed.key;
    // A tick is 125 µs at 8 kHz; nanoseconds are rounded.
    if nanos.abs_diff(actual) > 1_000 {
        let milliseconds = |nanos: u64| nanos as f64 / 1e6;
        return Some(DURATION.broken(
            format!("{key} held for {:.3} ms", milliseconds(nanos)),
            format!("{:.3} ms", milliseconds(actual)),
        ));
    }
    (said.end_lost == ended).then(|| {
        let end = |known: bool| if known { "its end arrived" } else { "its end was lost" };
        END.broken(format!("{key}: {}", end(ended)), end(!said.end_lost))
    })
}

/// A tone that the bot was told of.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    at: Instant,
    tone: String,
    sequence: Option<i64>,
}

fn tones_told(evidence: &Evidence<'_>) -> Vec<Told> {
    let cast = evidence.cast;
    let mut list = Vec::new();
    for fact in evidence.trace.facts() {
        let What::Asked(asked) = &fact.what else { continue };
        if asked.from != cast.platform || asked.to != Some(cast.bot) {
            continue;
        }
        let Ok(body) = serde_json::from_slice::<Value>(&asked.request.body) else { continue };
        list.extend(tones_in(&body).map(|(tone, sequence)| Told { at: fact.at, tone, sequence }));
    }
    list
}

/// The tones in a notification's body.
fn tones_in(body: &Value) -> impl Iterator<Item = (String, Option<i64>)> {
    let items = body["value"].as_array().into_iter().flatten();
    items.filter_map(|item| {
        let info = &item["resourceData"]["toneInfo"];
        let tone = info["tone"].as_str()?.to_owned();
        let number = &info["sequenceId"];
        let text = || number.as_str().and_then(|text| text.parse().ok());
        Some((tone, number.as_i64().or_else(text)))
    })
}

/// The key of a tone by its name in the Graph API.
fn key_of(tone: &str) -> Option<char> {
    match tone {
        "star" => Some('*'),
        "pound" => Some('#'),
        "flash" => Some('!'),
        "a" | "b" | "c" | "d" => tone.chars().next().map(|key| key.to_ascii_uppercase()),
        _ => {
            let mut digits = tone.strip_prefix("tone")?.chars();
            digits.next().filter(|digit| digit.is_ascii_digit() && digits.next().is_none())
        }
    }
}

/// When the bot's subscription was accepted; otherwise how it was answered.
fn subscription(evidence: &Evidence<'_>) -> Result<Instant, String> {
    let cast = evidence.cast;
    let facts = evidence.trace.facts();
    let asked = facts.iter().find_map(|fact| match &fact.what {
        What::Asked(asked) if asked.from == cast.bot => {
            let uri = asked.request.uri.to_ascii_lowercase();
            uri.contains("subscribetotone").then_some(asked)
        }
        _ => None,
    });
    let asked = asked.ok_or("the bot never subscribed")?;
    let answer = facts.iter().find_map(|fact| match &fact.what {
        What::Answered(answered)
            if answered.to == cast.bot && answered.response.id == asked.request.id =>
        {
            Some((fact.at, answered.response.status))
        }
        _ => None,
    });
    match answer {
        Some((at, 200..=299)) => Ok(at),
        Some((_, status)) => Err(format!("it was answered with {status}")),
        None => Err("it was never answered".to_owned()),
    }
}

fn notified(evidence: &Evidence<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    let since = match subscription(evidence) {
        Ok(since) => since,
        Err(answer) => {
            judgement.findings.push(SUBSCRIBED.broken("2xx", answer));
            return judgement;
        }
    };
    let told = tones_told(evidence);
    let keys: String = told.iter().map(|one| key_of(&one.tone).unwrap_or('?')).collect();
    let (least, most) = expected_keys(evidence, since);
    if !is_between(&keys, &least, &most) {
        let expected = if least == most { most } else { format!("{least}, at most {most}") };
        let lines = told.iter().map(|one| {
            let at_ms = one.at.as_nanos() as f64 / 1e6;
            format!("{} as number {:?} at {at_ms:.3} ms", one.tone, one.sequence)
        });
        judgement.findings.push(TOLD.broken(expected, keys.clone()).with_evidence(lines));
    }
    let numbers: Vec<Option<i64>> = told.iter().map(|one| one.sequence).collect();
    let rising = numbers.iter().zip(1..).all(|(number, expected)| *number == Some(expected));
    if !rising {
        let expected = format!("1 to {}", numbers.len());
        judgement.findings.push(RISING.broken(expected, format!("{numbers:?}")));
    }
    judgement.metrics.push(Metric::new(&metrics::DIGITS, keys));
    judgement
}

/// The keys that must be told, and all that may be: those that were being pressed when the
/// subscription came may be missing.
fn expected_keys(evidence: &Evidence<'_>, since: Instant) -> (String, String) {
    let cast = evidence.cast;
    if !has_events(evidence.subject) {
        let digits = evidence.subject.truth.digits.clone().unwrap_or_default();
        return (digits.clone(), digits);
    }
    let mut pressed: Vec<Pressed> =
        reached(evidence, cast.user, cast.platform).into_values().flat_map(|one| one.1).collect();
    // Several sources speak on one call: by when their reports came, as the platform does.
    if pressed.windows(2).any(|pair| pair[0].first_heard() > pair[1].first_heard()) {
        pressed.sort_by_key(Pressed::first_heard);
    }
    let all: String = pressed.iter().map(|one| one.key).collect();
    let after = |one: &&Pressed| one.first_heard().is_some_and(|at| at > since);
    (pressed.iter().filter(after).map(|one| one.key).collect(), all)
}

/// Whether `keys` is the end of `most` and has `least` as its own end.
fn is_between(keys: &str, least: &str, most: &str) -> bool {
    most.ends_with(keys) && keys.ends_with(least)
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use callrig_media::dtmf::Tone;

    use super::*;

    fn pressed(key: char, timestamp: u32, end: bool) -> Pressed {
        let report = |at_ms, duration, end| Report {
            at: Instant::from_millis(at_ms),
            timestamp,
            marker: duration == 160,
            key,
            end,
            duration,
        };
        tones::pressed(&[report(0, 160, false), report(20, 320, end)]).remove(0)
    }

    fn tone(tone: Tone, timestamp: u32, millis: u64, end_lost: bool) -> ToneEvent {
        let duration = Duration::from_millis(millis);
        ToneEvent { tone, timestamp, duration, end_lost, in_band: false }
    }

    #[test]
    fn a_key_said_twice_or_never_or_out_of_nothing_is_found() {
        let one = pressed('1', 1_000, true);
        let two = pressed('2', 5_000, true);
        let at = Instant::from_millis(30);
        let said = [(at, tone(Tone::Tone1, 1_000, 40, false)); 2];
        let ids = |findings: Vec<Finding>| -> Vec<String> {
            findings.into_iter().map(|finding| finding.requirement).collect()
        };
        assert_eq!(ids(each_once(&[&one], &said[..1])), [""; 0]);
        assert_eq!(ids(each_once(&[&one], &said)), [ONCE.id]);
        assert_eq!(ids(each_once(&[&one, &two], &said[..1])), [ONCE.id]);
        let wrong = [(at, tone(Tone::Tone2, 1_000, 40, false))];
        assert_eq!(ids(each_once(&[&one], &wrong)), [ONCE.id, NO_OTHER.id]);
    }

    #[test]
    fn a_wrong_duration_and_a_wrong_end_are_found() {
        let one = pressed('1', 1_000, true);
        let check = |millis, end_lost, at| {
            let said = tone(Tone::Tone1, 1_000, millis, end_lost);
            held(&one, Instant::from_millis(at), &said, 8_000).map(|finding| finding.requirement)
        };
        assert_eq!(check(40, false, 30), None);
        assert_eq!(check(320, false, 30).as_deref(), Some(DURATION.id), "ticks are no ms");
        assert_eq!(check(40, true, 30).as_deref(), Some(END.id));
        assert_eq!(check(20, true, 10), None, "said before the end arrived");
    }

    #[test]
    fn tones_are_read_from_notifications() {
        let body = serde_json::json!({ "value": [
            { "resourceData": { "toneInfo": { "tone": "tone5", "sequenceId": 1 } } },
            { "resourceData": { "state": "established" } },
            { "resourceData": { "toneInfo": { "tone": "pound", "sequenceId": "2" } } },
        ]});
        let tones: Vec<(String, Option<i64>)> = tones_in(&body).collect();
        assert_eq!(tones, [("tone5".to_owned(), Some(1)), ("pound".to_owned(), Some(2))]);
        let keys: String = ["tone0", "star", "d", "flash"].into_iter().filter_map(key_of).collect();
        assert_eq!(keys, "0*D!");
        assert_eq!((key_of("tone12"), key_of("tonex"), key_of("e")), (None, None, None));
    }

    #[test]
    fn keys_before_the_subscription_may_be_missing() {
        assert!(is_between("123", "123", "123"));
        assert!(is_between("23", "23", "123") && is_between("123", "23", "123"));
        assert!(!is_between("3", "23", "123") && !is_between("13", "23", "123"));
    }
}
