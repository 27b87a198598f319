//! What a bot does when the other side is gone: at any moment, and afterwards.

use serde_json::Value;

use super::super::case::{Case, Outcome, Seen};
use super::super::profile::{Profile, Reaction};
use super::super::script::{Act, Script, When, cue};
use super::super::transcript::{Ask, Kind, Told, call_of, items};
use super::{CALL_STANDS, seconds, status, told_so};
use crate::case::rule::Rule;

const LEAVES: Rule = Rule::must(
    "bot/ending/dead-calls-are-left-alone",
    "Graph API: call resource, terminated",
    "Nothing is asked of a call after the bot was told that it is over.",
);
const TAKES: Rule = Rule::must(
    "bot/ending/told-at-any-moment",
    "Graph API: receiving calling notifications",
    "The end of a call is taken at any moment, also while the bot is at something else.",
);
const NEXT: Rule = Rule::must(
    "bot/ending/next-call-is-answered",
    "this project",
    "After a call has ended, at whatever moment, the next one is answered as any other.",
);
const GONE: Rule = Rule::must(
    "bot/ending/unknown-calls-are-given-up",
    "Graph API: error 8522, call not found",
    "A call that the platform does not know any more is given up, and not asked for again and again.",
);

const KEEPS: Rule = Rule::must(
    "bot/ending/kept-alive",
    "Graph API: call: keepAlive",
    "A call that lasts is kept alive: keepAlive at least every 45 minutes.",
);

/// Longer than a call lives without keepAlive.
const HELD_SECONDS: u64 = 50 * 60;
/// At so many moments people hang up: things that cross, both ways together.
const MOMENTS: u32 = 14;
/// What is on its way when the end is told is nobody's fault.
const UNDER_WAY: core::time::Duration = core::time::Duration::from_millis(1_000);

pub(super) fn cases(profile: &Profile) -> Vec<Case> {
    let mut cases = vec![
        Case::new(
            "bot/ending/leaves-dead-calls",
            "a call that is over is left alone",
            &[LEAVES],
            profile.call(),
            leaves,
        )
        .after(CALL_STANDS),
    ];
    for moment in 1..=MOMENTS {
        let script = match profile.calls {
            Reaction::Never => Err("nobody calls this bot, as its profile says".to_owned()),
            _ => Ok(Script::with(vec![
                cue(When::Crossed(moment), 5, Act::HangUp),
                cue(When::Over, 1_500, Act::Ring),
                cue(When::Told(Kind::MediaActive, 2), 1_000, Act::HangUp),
            ])),
        };
        let case = Case::new(
            format!("bot/ending/hung-up/at-{moment:02}"),
            format!("the caller is gone after {moment} messages, and the next one is answered"),
            &[TAKES, LEAVES, NEXT],
            script,
            hung_up,
        );
        cases.push(case.after(CALL_STANDS).after(&["bot/ending/leaves-dead-calls"]));
    }
    let held = match (profile.holds, profile.call()) {
        (true, Ok(script)) => Ok(Script { patience: seconds(HELD_SECONDS), ..script }),
        (true, Err(reason)) => Err(reason),
        (false, _) => Err("the bot keeps no call for long, as its profile says".to_owned()),
    };
    let case = Case::new(
        "bot/ending/kept-alive",
        "a call of fifty minutes is kept alive",
        &[KEEPS],
        held,
        kept_alive,
    );
    cases.push(case.after(CALL_STANDS));
    let gone = super::troubles::answered_with(profile, "playPrompt", 404, None, "8522", u32::MAX);
    let case = Case::new(
        "bot/ending/unknown-call",
        "a call that the platform does not know is given up",
        &[GONE],
        gone,
        given_up,
    );
    cases.push(case.after(CALL_STANDS));
    cases
}

/// Requests about calls after the end of a call was told, until the next one.
fn late<'a>(seen: &Seen<'a>) -> Option<Ask<'a>> {
    let over = seen.transcript.first_told(&Kind::Terminated)?;
    let (taken, _) = status(&over);
    let mut later = seen.transcript.told().filter(|told| told.at > taken);
    let next = later
        .find(|told| {
            super::super::transcript::kinds_of(&told.sent.request).contains(&Kind::Incoming)
        })
        .map(|told| told.at);
    // How it stood may be read once more; nothing may be done to it.
    seen.transcript.calls_asks().find(|ask| {
        ask.asked.action != "create"
            && ask.at > taken + UNDER_WAY + seen.slack
            && next.is_none_or(|next| ask.at < next)
    })
}

fn leaves(seen: &Seen<'_>) -> Outcome {
    if seen.transcript.first_told(&Kind::Terminated).is_none() {
        return Outcome::NotJudged("the bot was never told of an end".to_owned());
    }
    super::super::case::judged(
        late(seen)
            .map(|ask| seen.broken(&LEAVES, ask.at, "nothing about the call", ask.asked.action)),
    )
}

/// Which calls a notification is about.
fn calls_told(told: &Told<'_>) -> Vec<String> {
    let body: Value = serde_json::from_slice(&told.sent.request.body).unwrap_or_default();
    let urls = items(&body).filter_map(|item| item["resourceUrl"].as_str());
    urls.filter_map(|url| call_of(url).map(str::to_owned)).collect()
}

pub(super) fn hung_up(seen: &Seen<'_>) -> Outcome {
    let mut findings = Vec::new();
    let wrong = seen.transcript.told().find(|told| !matches!(status(told).1, 200..=299));
    if let Some(told) = wrong {
        let at = status(&told).0;
        findings.push(seen.broken(&TAKES, at, "a 2xx status", told_so(&told)));
    }
    if let Some(ask) = late(seen) {
        findings.push(seen.broken(&LEAVES, ask.at, "nothing about the call", ask.asked.action));
    }
    let incoming = |told: &Told<'_>| {
        super::super::transcript::kinds_of(&told.sent.request).contains(&Kind::Incoming)
    };
    let mut incoming = seen.transcript.told().filter(incoming);
    let first = incoming.next().map(|told| calls_told(&told));
    // The same call may be told again.
    if let Some(second) = incoming.find(|told| Some(calls_told(told)) != first) {
        let reacts = |ask: &Ask<'_>| {
            matches!(ask.asked.action, "answer" | "reject" | "redirect") && ask.at > second.at
        };
        if !seen.transcript.asks().any(|ask| reacts(&ask)) {
            let at = second.at + seconds(15);
            findings.push(seen.broken(&NEXT, at, "the next call is answered", "it is not"));
        }
    }
    Outcome::Judged(findings)
}

fn kept_alive(seen: &Seen<'_>) -> Outcome {
    let Some(stood) = seen.transcript.first_told(&Kind::Established) else {
        return Outcome::NotJudged("the call never stood".to_owned());
    };
    let end = stood.at + seconds(45 * 60 + 60);
    let kept = seen.transcript.asks_for("keepAlive").next().is_some();
    let over = seen.transcript.first_told(&Kind::Terminated);
    let died = over.filter(|over| over.at < stood.at + seconds(HELD_SECONDS - 60));
    super::super::case::judged(died.or((!kept).then_some(stood)).map(|told| {
        let at = if kept { told.at } else { end };
        let actual = if kept { "the call ended by itself" } else { "no keepAlive" };
        seen.broken(&KEEPS, at, "keepAlive, and the call goes on", actual)
    }))
}

fn given_up(seen: &Seen<'_>) -> Outcome {
    let first = seen
        .transcript
        .asks()
        .find(|ask| ask.answer.is_some_and(|(_, answered)| answered.stimulus.is_some()));
    let Some(first) = first else {
        return Outcome::NotJudged("the bot plays nothing".to_owned());
    };
    let again = seen.transcript.asks_for("playPrompt").filter(|ask| ask.at > first.at).nth(2);
    super::super::case::judged(again.map(|ask| {
        let count = seen.transcript.asks_for("playPrompt").count();
        let actual = format!("playPrompt {count} times");
        seen.broken(&GONE, ask.at, "at most two more attempts", actual)
    }))
}
