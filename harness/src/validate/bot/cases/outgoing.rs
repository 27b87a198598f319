//! Calls that a bot begins itself, when it is asked to.

use super::super::case::{Case, Outcome, Seen, judged};
use super::super::profile::Profile;
use super::super::script::Script;
use super::super::transcript::{Ask, Kind, Person};
use super::{CALL_STANDS, asks_for_a_call, seconds};
use crate::case::rule::Rule;

const CALLS: Rule = Rule::must(
    "bot/outgoing/calls",
    "Graph API: application: create call",
    "A bot that is asked to call somebody does so, in a way that the platform accepts.",
);
const SPEAKS: Rule = Rule::must(
    "bot/outgoing/speaks",
    "the bot's profile",
    "Whoever takes the call hears what the bot has to say.",
);
const WAITS: Rule = Rule::must(
    "bot/outgoing/waits-for-media",
    "Graph API: call resource, mediaState",
    "Nothing is played before the other side has taken the call.",
);
const HANGS_UP: Rule = Rule::must(
    "bot/outgoing/hangs-up",
    "the bot's profile",
    "A bot that has said what it had to say hangs up.",
);
const DECLINED: Rule = Rule::must(
    "bot/outgoing/declined",
    "Graph API: call resource, terminated",
    "A call that is declined is left alone.",
);
const ASKS: Rule = Rule::must(
    "bot/outgoing/asks-for-a-call",
    "Graph API: application: create call",
    "A bot that is asked to call somebody asks the platform for a call.",
);
const CALLBACK: Rule = Rule::must(
    "bot/outgoing/callback-uri",
    "Graph API: application: create call",
    "A new call names where its notifications are to go.",
);

pub(super) fn cases(profile: &Profile) -> Vec<Case> {
    let asked = || match &profile.outgoing {
        Some(outgoing) => Ok(outgoing.script()),
        None => Err("the bot calls nobody, as its profile says".to_owned()),
    };
    let speaks = || match &profile.outgoing {
        Some(outgoing) if outgoing.speaks => Ok(outgoing.script()),
        _ => Err("the bot says nothing to those whom it calls, as its profile says".to_owned()),
    };
    // In a group call the bot itself is in first.
    let alone = || match &profile.outgoing {
        Some(outgoing) if outgoing.group => {
            Err("the bot calls groups, and waits in them".to_owned())
        }
        _ => speaks(),
    };
    let hangs_up = || match &profile.outgoing {
        Some(outgoing) if outgoing.hangs_up => Ok(outgoing.script()),
        _ => Err("the bot does not hang up by itself, as its profile says".to_owned()),
    };
    let tweaked = |declines: bool| {
        asked().map(|mut script: Script| {
            script.platform.declines = declines;
            script.platform.lets_ring = !declines;
            script
        })
    };
    let first = Case::new(
        "bot/outgoing/calls",
        "a bot that is asked to call somebody does so",
        &[CALLS, CALLBACK],
        asked(),
        calls,
    );
    let cases = [
        Case::new("bot/outgoing/speaks", "who is called hears the bot", &[SPEAKS], speaks(), heard),
        Case::new("bot/outgoing/waits", "nothing is played too soon", &[WAITS], alone(), waits),
        Case::new("bot/outgoing/hangs-up", "the bot hangs up", &[HANGS_UP], hangs_up(), hung_up),
        Case::new(
            "bot/outgoing/declined",
            "who is called declines",
            &[DECLINED],
            tweaked(true),
            left,
        ),
        Case::new(
            "bot/outgoing/no-answer",
            "nobody takes the call",
            &[DECLINED],
            tweaked(false),
            left,
        ),
    ];
    let asks = Case::new(
        "bot/outgoing/asks",
        "a bot that is asked to call somebody does something about it",
        &[ASKS],
        asked(),
        |seen| asks_for_a_call(seen, &ASKS),
    );
    let needs = [CALL_STANDS, &["bot/outgoing/calls"]].concat();
    let first = first.after(&[
        "bot/outgoing/asks",
        "bot/requests/token",
        "bot/requests/json",
        "bot/requests/members",
    ]);
    let others = cases.into_iter().map(|case| case.after(&needs));
    [asks, first].into_iter().chain(others).collect()
}

fn calls(seen: &Seen<'_>) -> Outcome {
    let created: Vec<Ask<'_>> = seen.transcript.asks_for("create").collect();
    let Some(ask) = created.first() else {
        return Outcome::NotJudged("no call was asked for".to_owned());
    };
    judged(match ask.answer {
        Some((at, answered)) if !answered.response.is_success() => {
            let status = answered.response.status;
            Some(seen.broken(&CALLS, at, "a 2xx status", status.to_string()))
        }
        _ if created.len() > 1 => {
            let actual = format!("{} calls", created.len());
            Some(seen.broken(&CALLS, ask.at, "one call", actual))
        }
        _ => None,
    })
}

fn joined(seen: &Seen<'_>) -> Option<callrig_media::time::Instant> {
    seen.transcript.person(|does| *does == Person::Joined)
}

fn heard(seen: &Seen<'_>) -> Outcome {
    let Some(joined) = joined(seen) else {
        return Outcome::NotJudged("nobody came into the call".to_owned());
    };
    let heard = seen.transcript.person(|does| *does == Person::Hears);
    judged(
        heard
            .is_none()
            .then(|| seen.broken(&SPEAKS, joined + seconds(8), "something to hear", "nothing")),
    )
}

fn waits(seen: &Seen<'_>) -> Outcome {
    let Some(joined) = joined(seen) else {
        return Outcome::NotJudged("nobody came into the call".to_owned());
    };
    let early = seen.transcript.asks_for("playPrompt").find(|ask| ask.at < joined);
    judged(early.map(|ask| {
        seen.broken(&WAITS, ask.at, "playPrompt once the call is taken", "playPrompt before")
    }))
}

fn hung_up(seen: &Seen<'_>) -> Outcome {
    if joined(seen).is_none() {
        return Outcome::NotJudged("nobody came into the call".to_owned());
    }
    let asked = seen.transcript.asks_for("hangUp").next().is_some();
    let end = seen.transcript.entries.last().map(|entry| entry.at).unwrap_or_default();
    judged((!asked).then(|| seen.broken(&HANGS_UP, end, "the bot hangs up", "it does not")))
}

fn left(seen: &Seen<'_>) -> Outcome {
    let Some(over) = seen.transcript.first_told(&Kind::Terminated) else {
        return Outcome::NotJudged("the call did not end".to_owned());
    };
    let after = over.at + seconds(1) + seen.slack;
    let late =
        seen.transcript.calls_asks().find(|ask| ask.at > after && ask.asked.action != "create");
    judged(
        late.map(|ask| seen.broken(&DECLINED, ask.at, "nothing about the call", ask.asked.action)),
    )
}
