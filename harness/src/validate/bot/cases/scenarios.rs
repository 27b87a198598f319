//! The vendor's own scenarios.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use callrig_media::codec::h264::Decoder;
use callrig_media::time::Instant;
use callrig_media::video::Picture;

use super::super::case::{Case, Outcome, Seen};
use super::super::profile::Profile;
use super::super::profile::scenario::{Expect, Scenario, Sees};
use super::super::transcript::{Kind, Person, What};
use super::CALL_STANDS;
use crate::case::rule::Rule;

const EXPECTED: Rule = Rule::must(
    "bot/scenario/as-expected",
    "the bot's profile, [[scenario]]",
    "What the vendor expects of the bot in a scenario comes about, in the time that it says.",
);

/// Pictures that differ by so much on the average, of 255, are not the same one.
const UNLIKE_MIN: f64 = 1.0;

pub(super) fn cases(profile: &Profile) -> Vec<Case> {
    let cases = profile.scenarios.iter().cloned().map(|scenario| {
        let slug: String = scenario
            .name
            .to_lowercase()
            .chars()
            .map(|c| if c.is_alphanumeric() { c } else { '-' })
            .collect();
        let script = scenario.script();
        let id = format!("bot/scenario/{slug}");
        let title = scenario.name.clone();
        Case::new(id, title, &[EXPECTED], script, move |seen| judge(seen, &scenario))
            .after(CALL_STANDS)
    });
    cases.collect()
}

fn judge(seen: &Seen<'_>, scenario: &Scenario) -> Outcome {
    let last_step = seen.transcript.entries.iter().rev().find_map(|entry| match &entry.what {
        What::Person(0, Person::Presses(_) | Person::Speaks(_) | Person::Invites) => Some(entry.at),
        _ => None,
    });
    let stood = seen.transcript.first_told(&Kind::MediaActive).map(|told| told.at);
    let Some(from) = last_step.or(stood) else {
        return Outcome::NotJudged("the call did not come so far".to_owned());
    };
    let findings = scenario.expect.iter().filter_map(|expect| {
        let (what, at) = look(seen, expect, from);
        let limit = expect.within.map(|within| from + within + seen.slack);
        let good = at.is_some_and(|at| limit.is_none_or(|limit| at <= limit));
        let end = seen.transcript.entries.last().map(|entry| entry.at).unwrap_or_default();
        let moment = at.or(limit).unwrap_or(end);
        let expected = match expect.within {
            Some(within) => format!("{what} within {:.1} s", within.as_secs_f64()),
            None => what,
        };
        let actual = match at {
            Some(at) => format!("after {:.3} s", at.since(from).as_secs_f64()),
            None => "never".to_owned(),
        };
        (!good).then(|| seen.broken(&EXPECTED, moment, expected, actual))
    });
    Outcome::Judged(findings.collect())
}

/// What is looked for, in words, and when it came about.
fn look(seen: &Seen<'_>, expect: &Expect, from: Instant) -> (String, Option<Instant>) {
    if let Some(nth) = expect.hears {
        let heard = seen.transcript.entries.iter().filter_map(|entry| match &entry.what {
            What::Person(0, Person::Hears) => Some(entry.at),
            _ => None,
        });
        let index = usize::try_from(nth).unwrap_or(1).saturating_sub(1);
        return (format!("sound number {nth}"), heard.into_iter().nth(index));
    }
    if let Some(key) = expect.hears_key {
        let heard = seen.transcript.entries.iter().find(|entry| {
            let hears =
                matches!(&entry.what, What::Person(0, Person::HearsKey(one)) if *one == key);
            hears && entry.at >= from
        });
        return (format!("the key {key}"), heard.map(|entry| entry.at));
    }
    if let Some(sees) = expect.sees {
        return match sees {
            Sees::Picture => ("a picture".to_owned(), picture(seen, from)),
            Sees::Change => ("a picture that changes".to_owned(), change(seen, from)),
        };
    }
    if let Some(action) = &expect.asks {
        let times = usize::try_from(expect.times.unwrap_or(1)).unwrap_or(1);
        let asks = seen.transcript.calls_asks().filter(|ask| ask.asked.action == action);
        let words = format!("{action} × {times}");
        return (words, asks.map(|ask| ask.at).nth(times.saturating_sub(1)));
    }
    let over = seen.transcript.entries.iter().find_map(|entry| match &entry.what {
        What::State(state) if state == "terminated" && entry.at >= from => Some(entry.at),
        _ => None,
    });
    ("the end of the call".to_owned(), over)
}

/// When a picture came, from a moment on.
fn picture(seen: &Seen<'_>, from: Instant) -> Option<Instant> {
    let frames = seen.transcript.wire.seen.iter();
    frames.map(|frame| frame.arrived_last).find(|at| *at >= from)
}

/// When a picture came that is not like the one before, source by source.
fn change(seen: &Seen<'_>, from: Instant) -> Option<Instant> {
    let mut eyes: BTreeMap<u32, (Decoder, Option<Picture>)> = BTreeMap::new();
    for frame in &seen.transcript.wire.seen {
        let (decoder, before) = match eyes.entry(frame.ssrc) {
            Entry::Occupied(eye) => eye.into_mut(),
            Entry::Vacant(place) => place.insert((Decoder::new().ok()?, None)),
        };
        let Ok(Some(decoded)) = decoder.decode(&frame.data, frame.timestamp) else { continue };
        let shown = decoded.to_picture();
        let differs = before.replace(shown.clone()).is_some_and(|before| unlike(&before, &shown));
        if differs && frame.arrived_last >= from {
            return Some(frame.arrived_last);
        }
    }
    None
}

/// Whether two pictures differ by more than codecs and noise make of one.
fn unlike(one: &Picture, other: &Picture) -> bool {
    if (one.width, one.height) != (other.width, other.height) {
        return true;
    }
    let planes = [(&one.y, &other.y), (&one.u, &other.u), (&one.v, &other.v)];
    planes.into_iter().any(|(one, other)| {
        let sum: u64 = one.iter().zip(other).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        sum as f64 / one.len().max(1) as f64 >= UNLIKE_MIN
    })
}
