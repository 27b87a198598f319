//! Every case of a bot, by subject. What they need of one another is in the cases: those
//! about notifications and requests come first, then whether a call comes about at all, then
//! everything that happens in one.

mod answering;
mod conferences;
mod endings;
mod keys;
mod media;
mod meetings;
mod notifications;
mod outgoing;
mod own_media;
mod policy;
mod requests;
mod scenarios;
mod tokens;
mod troubles;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use callrig_media::time::Instant;

use super::case::Case;
use super::profile::{Profile, READY};
use super::transcript::{Told, Transcript};
use crate::case::rule::Rule;

/// Every case of every usual kind of bot, each once.
#[must_use]
pub fn everywhere() -> Vec<Case> {
    let mut seen = BTreeSet::new();
    let profiles = READY.iter().filter_map(|(name, text)| Profile::parse(name, text).ok());
    let cases = profiles.flat_map(|profile| all(&profile));
    cases.filter(|case| seen.insert(case.id.clone())).collect()
}

/// What has to be in order before anything in a call means something.
pub(super) const CALL_STANDS: &[&str] = &[
    "bot/notifications/taken",
    "bot/notifications/in-time",
    "bot/answer/in-time",
    "bot/answer/accepted",
    "bot/requests/token",
    "bot/requests/json",
    "bot/requests/members",
    "bot/requests/known",
];

/// All cases for a bot that does what this profile says.
#[must_use]
pub fn all(profile: &Profile) -> Vec<Case> {
    let mut cases = notifications::cases(profile);
    cases.extend(requests::cases(profile));
    cases.extend(answering::cases(profile));
    cases.extend(outgoing::cases(profile));
    cases.extend(meetings::cases(profile));
    cases.extend(conferences::cases(profile));
    cases.extend(policy::cases(profile));
    cases.extend(endings::cases(profile));
    cases.extend(tokens::cases(profile));
    cases.extend(troubles::cases(profile));
    cases.extend(keys::cases(profile));
    cases.extend(media::cases(profile));
    cases.extend(own_media::cases(profile));
    cases.extend(scenarios::cases(profile));
    cases
}

/// A meeting in which somebody is recorded by policy.
pub(super) fn recorded() -> super::script::Script {
    policy::script()
}

/// What holds in a call whatever happens in it: its notifications are taken, its end is
/// respected, and the next call is answered.
pub(super) fn whatever_happens(seen: &super::case::Seen<'_>) -> super::case::Outcome {
    endings::hung_up(seen)
}

/// A bot that is asked to begin a call asks the platform for one.
fn asks_for_a_call(seen: &super::case::Seen<'_>, rule: &Rule) -> super::case::Outcome {
    let end = seen.transcript.entries.last().map(|entry| entry.at).unwrap_or_default();
    let asked = seen.transcript.asks_for("create").next().is_some();
    let broken = || seen.broken(rule, end, "a new call", "none was asked for");
    super::case::judged((!asked).then(broken))
}

/// What a bot did in a call, by what it asked for: looks at tokens, keys and the like, and
/// what is only read, are left out.
fn deeds(transcript: &Transcript) -> BTreeMap<&'static str, usize> {
    let mut deeds = BTreeMap::new();
    for ask in transcript.calls_asks() {
        if !matches!(ask.asked.action, "get" | "listParticipants" | "operations" | "keepAlive") {
            *deeds.entry(ask.asked.action).or_insert(0) += 1;
        }
    }
    deeds
}

/// Deeds in words.
fn words(deeds: &BTreeMap<&'static str, usize>) -> String {
    let list: Vec<String> = deeds.iter().map(|(name, count)| format!("{name} × {count}")).collect();
    if list.is_empty() { "nothing".to_owned() } else { list.join(", ") }
}

/// When a reply came, and its status; 0 if there is none.
fn status(told: &Told<'_>) -> (Instant, u16) {
    match told.reply {
        Some((at, Ok(response))) => (at, response.status),
        Some((at, Err(_))) => (at, 0),
        None => (told.at, 0),
    }
}

/// A status in words.
fn told_so(told: &Told<'_>) -> String {
    match told.reply {
        Some((_, Ok(response))) => response.status.to_string(),
        Some((_, Err(reason))) => format!("no answer: {reason}"),
        None => "no answer".to_owned(),
    }
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
