//! The vendor's own scenarios.

use callrig_media::time::Instant;

use super::super::case::{Case, Outcome, Seen};
use super::super::profile::Profile;
use super::super::profile::scenario::{Expect, Scenario};
use super::super::transcript::{Kind, Person, What};
use super::CALL_STANDS;
use crate::case::rule::Rule;

const EXPECTED: Rule = Rule::must(
    "bot/scenario/as-expected",
    "the bot's profile, [[scenario]]",
    "What the vendor expects of the bot in a scenario comes about, in the time that it says.",
);

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
