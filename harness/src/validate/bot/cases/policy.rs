//! Recording by policy: a bot that records because an organisation wants it to.

use super::super::case::{Case, Outcome, Seen, judged};
use super::super::profile::Profile;
use super::super::script::{Act, Begins, Script, When, cue};
use super::super::transcript::Kind;
use super::{CALL_STANDS, seconds};
use crate::case::rule::Rule;

const WITHIN: Rule = Rule::must(
    "bot/policy/within-5-seconds",
    "Graph API: call: answer, policy-based recording",
    "A call that is to be recorded by policy is answered within 5 seconds.",
);
const SAYS: Rule = Rule::must(
    "bot/policy/says-recording",
    "Graph API: call: updateRecordingStatus",
    "A bot that records by policy says so with updateRecordingStatus before it keeps anything.",
);
const STANDS: Rule = Rule::must(
    "bot/policy/says-it-in-the-call",
    "Graph API: call: updateRecordingStatus",
    "The recording status is said of a call that stands, and such that the platform takes it.",
);
const STAYS: Rule = Rule::should(
    "bot/policy/stays",
    "Teams: compliance recording",
    "A recorder stays as long as there is somebody to be recorded.",
);

pub(super) fn cases(profile: &Profile) -> Vec<Case> {
    let script = || match profile.policy {
        true => Ok(script()),
        false => Err("the bot does not record by policy, as its profile says".to_owned()),
    };
    let first = Case::new(
        "bot/policy/in-time",
        "a call that is recorded by policy is answered in time",
        &[WITHIN],
        script(),
        in_time,
    );
    let cases = [
        Case::new(
            "bot/policy/says-recording",
            "the bot says that it records",
            &[SAYS, STANDS],
            script(),
            says,
        ),
        Case::new("bot/policy/stays", "the bot stays to the end", &[STAYS], script(), stays),
    ];
    let needs = [CALL_STANDS, &["bot/policy/in-time"]].concat();
    core::iter::once(first.timed().after(&["bot/notifications/taken"]))
        .chain(cases.into_iter().map(|case| case.after(&needs)))
        .collect()
}

/// Ann, who is recorded, speaks and leaves.
pub(in super::super) fn script() -> Script {
    Script {
        begins: Begins::Policy,
        cues: vec![
            cue(When::Told(Kind::Established, 1), 2_500, Act::Speak(seconds(2))),
            cue(When::Told(Kind::Established, 1), 6_000, Act::HangUp),
            cue(When::Told(Kind::Established, 1), 6_500, Act::BenLeaves),
        ],
        ..Script::default()
    }
}

fn in_time(seen: &Seen<'_>) -> Outcome {
    let Some(incoming) = seen.transcript.first_told(&Kind::Incoming) else {
        return Outcome::NotJudged("the bot was never told of a call".to_owned());
    };
    let answer = seen.transcript.asks_for("answer").next();
    let late = answer.is_none_or(|ask| ask.at > incoming.at + seconds(5) + seen.slack);
    judged(late.then(|| {
        let at = incoming.at + seconds(5);
        let actual = answer.map_or("never".to_owned(), |ask| {
            format!("after {:.3} s", ask.at.since(incoming.at).as_secs_f64())
        });
        seen.broken(&WITHIN, at, "within 5 s", actual)
    }))
}

fn says(seen: &Seen<'_>) -> Outcome {
    let Some(stood) = seen.transcript.first_told(&Kind::Established) else {
        return Outcome::NotJudged("the call never stood".to_owned());
    };
    let says = seen.transcript.asks_for("updateRecordingStatus").find(|ask| {
        let body: serde_json::Value =
            serde_json::from_slice(&ask.asked.request.body).unwrap_or_default();
        body["status"].as_str().is_some_and(|status| status.eq_ignore_ascii_case("recording"))
    });
    let Some(says) = says else {
        let at = stood.at + seconds(5);
        return judged(Some(seen.broken(&SAYS, at, "updateRecordingStatus: recording", "nothing")));
    };
    let refused = says.answer.filter(|(_, answered)| !answered.response.is_success());
    judged(match refused {
        Some((at, answered)) => {
            let actual = answered.response.status.to_string();
            Some(seen.broken(&STANDS, at, "a 2xx status", actual))
        }
        None if says.at < stood.at => {
            Some(seen.broken(&STANDS, says.at, "once the call stands", "before"))
        }
        None => None,
    })
}

fn stays(seen: &Seen<'_>) -> Outcome {
    let left =
        seen.transcript.person(|does| matches!(does, super::super::transcript::Person::HangsUp));
    let early =
        seen.transcript.asks_for("hangUp").find(|ask| left.is_none_or(|left| ask.at < left));
    judged(early.map(|ask| seen.broken(&STAYS, ask.at, "the bot stays", "it hangs up")))
}
