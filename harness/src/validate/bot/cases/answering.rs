//! What a bot does when it is called.

use serde_json::Value;

use super::super::case::{Case, Outcome, Seen, judged};
use super::super::profile::{Profile, Reaction};
use super::super::script::Script;
use super::super::transcript::{Ask, Kind};
use super::{CALL_STANDS, seconds};
use crate::case::rule::Rule;

const WITHIN: Rule = Rule::must(
    "bot/answer/within-15-seconds",
    "Graph API: call: answer",
    "An incoming call is answered, rejected or redirected within 15 seconds.",
);
const DECLARED: Rule = Rule::must(
    "bot/answer/as-declared",
    "the bot's profile",
    "A bot that is called does what its profile says: answers, rejects or redirects.",
);
const ONCE: Rule = Rule::must(
    "bot/answer/once",
    "Graph API: call: answer",
    "An incoming call is answered, rejected or redirected once.",
);
const ACCEPTED: Rule = Rule::must(
    "bot/answer/accepted",
    "Graph API: call: answer",
    "What the bot asks for in reaction to a call is such that the platform does it.",
);
const CALLBACK: Rule = Rule::should(
    "bot/answer/callback-uri",
    "Graph API: call: answer",
    "Who answers names the callbackUri for the notifications of this call: absolute, and https but on one machine.",
);
const MODALITIES: Rule = Rule::should(
    "bot/answer/modalities",
    "Graph API: call: answer",
    "Who answers names the modalities that it accepts, of those that were offered.",
);
const QUICKLY: Rule = Rule::should(
    "bot/answer/quickly",
    "this project",
    "An incoming call is reacted to within 5 seconds, so that a slow start does not eat the window.",
);

const REACTIONS: [&str; 3] = ["answer", "reject", "redirect"];

pub(super) fn cases(profile: &Profile) -> Vec<Case> {
    let rung = || match profile.calls {
        Reaction::Never => Err("nobody calls this bot, as its profile says".to_owned()),
        _ => Ok(Script::default()),
    };
    let answers = || match profile.calls {
        Reaction::Answers => Ok(Script::default()),
        _ => Err("the bot does not answer calls, as its profile says".to_owned()),
    };
    vec![
        Case::new(
            "bot/answer/in-time",
            "an incoming call is answered, rejected or redirected in time",
            &[WITHIN, QUICKLY],
            rung(),
            in_time,
        )
        .timed()
        .after(&["bot/notifications/taken"]),
        Case::new(
            "bot/answer/as-declared",
            "the bot does with a call what its profile says",
            &[DECLARED],
            rung(),
            as_declared,
        )
        .after(&["bot/answer/in-time"]),
        Case::new(
            "bot/answer/accepted",
            "the platform accepts how the bot reacts to a call",
            &[ACCEPTED],
            rung(),
            accepted,
        )
        .after(&[
            "bot/answer/in-time",
            "bot/requests/token",
            "bot/requests/json",
            "bot/requests/members",
            "bot/requests/known",
        ]),
        Case::new("bot/answer/once", "an incoming call is answered once", &[ONCE], rung(), once)
            .after(CALL_STANDS),
        Case::new(
            "bot/answer/callback-uri",
            "the answer names where notifications are to go",
            &[CALLBACK],
            answers(),
            callback_uri,
        )
        .after(CALL_STANDS),
        Case::new(
            "bot/answer/modalities",
            "the answer names the modalities that it accepts",
            &[MODALITIES],
            answers(),
            modalities,
        )
        .after(CALL_STANDS),
    ]
}

fn reactions<'a>(seen: &Seen<'a>) -> impl Iterator<Item = Ask<'a>> {
    seen.transcript.asks().filter(|ask| REACTIONS.contains(&ask.asked.action))
}

fn in_time(seen: &Seen<'_>) -> Outcome {
    let Some(incoming) = seen.transcript.first_told(&Kind::Incoming) else {
        return Outcome::NotJudged("the bot was never told of a call".to_owned());
    };
    let reaction = reactions(seen).next();
    let deadline = incoming.at + seconds(15);
    judged(match reaction {
        None => Some(seen.broken(&WITHIN, deadline, "within 15 s", "never")),
        Some(ask) => {
            let took = ask.at.since(incoming.at);
            let words = format!("{} after {:.3} s", ask.asked.action, took.as_secs_f64());
            if took > seconds(15) {
                Some(seen.broken(&WITHIN, ask.at, "within 15 s", words))
            } else if took > seconds(5) + seen.slack {
                Some(seen.broken(&QUICKLY, ask.at, "within 5 s", words))
            } else {
                None
            }
        }
    })
}

fn as_declared(seen: &Seen<'_>) -> Outcome {
    let declared = match seen.profile.calls {
        Reaction::Answers => "answer",
        Reaction::Rejects => "reject",
        Reaction::Redirects => "redirect",
        Reaction::Never => return Outcome::NotJudged("nobody calls this bot".to_owned()),
    };
    let other = reactions(seen).next().filter(|ask| ask.asked.action != declared);
    judged(other.map(|ask| seen.broken(&DECLARED, ask.at, declared, ask.asked.action)))
}

fn accepted(seen: &Seen<'_>) -> Outcome {
    let Some(ask) = reactions(seen).next() else {
        return Outcome::NotJudged("the bot did not react to the call".to_owned());
    };
    let Some((at, answered)) = ask.answer else {
        return Outcome::NotJudged("the platform did not answer".to_owned());
    };
    let response = &answered.response;
    judged((!response.is_success()).then(|| {
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let message = body["error"]["message"].as_str().unwrap_or_default();
        seen.broken(&ACCEPTED, at, "a 2xx status", format!("{} {message}", response.status))
    }))
}

fn once(seen: &Seen<'_>) -> Outcome {
    let second = reactions(seen).nth(1);
    judged(second.map(|ask| {
        seen.broken(
            &ONCE,
            ask.at,
            "one of answer, reject, redirect",
            format!("also {}", ask.asked.action),
        )
    }))
}

fn body_of(ask: &Ask<'_>) -> Value {
    serde_json::from_slice(&ask.asked.request.body).unwrap_or_default()
}

fn callback_uri(seen: &Seen<'_>) -> Outcome {
    let Some(ask) = reactions(seen).next() else {
        return Outcome::NotJudged("the bot did not answer".to_owned());
    };
    let body = body_of(&ask);
    let uri = body["callbackUri"].as_str().unwrap_or_default();
    let host = uri.split("://").nth(1).unwrap_or_default();
    let here =
        host.starts_with("127.") || host.starts_with("localhost") || host.starts_with("[::1]");
    let good = uri.starts_with("https://") || (uri.starts_with("http://") && here);
    judged((!good).then(|| {
        let actual = if uri.is_empty() { "none".to_owned() } else { uri.to_owned() };
        seen.broken(&CALLBACK, ask.at, "an absolute https URI", actual)
    }))
}

fn modalities(seen: &Seen<'_>) -> Outcome {
    let Some(ask) = reactions(seen).next() else {
        return Outcome::NotJudged("the bot did not answer".to_owned());
    };
    let body = body_of(&ask);
    let listed = body["acceptedModalities"].as_array().cloned().unwrap_or_default();
    let known = ["audio", "video", "videoBasedScreenSharing", "data"];
    let is_known = |value: &Value| {
        value.as_str().is_some_and(|name| known.iter().any(|k| k.eq_ignore_ascii_case(name)))
    };
    let good = !listed.is_empty() && listed.iter().all(is_known);
    judged((!good).then(|| {
        let actual = body["acceptedModalities"].to_string();
        seen.broken(&MODALITIES, ask.at, "a list of audio, video and the like", actual)
    }))
}
