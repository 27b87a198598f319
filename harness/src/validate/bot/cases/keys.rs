//! Keys: a bot asks to be told of them, and does with each what its profile says.

use super::super::case::{Case, Outcome, Seen, judged};
use super::super::profile::{Key, Profile, Then};
use super::super::script::{Act, How, On, Script, Trouble, When, cue};
use super::super::transcript::{Ask, Kind, Person};
use super::{CALL_STANDS, seconds, status, told_so};
use crate::case::rule::Rule;

const SUBSCRIBES: Rule = Rule::must(
    "bot/keys/subscribes",
    "Graph API: call: subscribeToTone",
    "A bot that listens to keys asks to be told of them.",
);
const LEADS: Rule = Rule::must(
    "bot/keys/leads-where-declared",
    "the bot's profile",
    "A key leads to what the profile says, in the time that it says.",
);
const ONCE: Rule = Rule::must(
    "bot/keys/once",
    "Graph API: toneInfo, sequenceId",
    "A key that is told twice, with the same sequenceId, was pressed once.",
);
const SURVIVES: Rule = Rule::must(
    "bot/keys/any-key-is-taken",
    "Graph API: receiving calling notifications",
    "Keys are taken in any number, at any moment, whether they lead to something or not.",
);
const EACH: Rule = Rule::should(
    "bot/keys/each-in-its-order",
    "Graph API: toneInfo, sequenceId",
    "Keys pressed one after the other are acted upon one after the other: none is lost.",
);

/// How long after the sound of the greeting began keys are pressed.
const AFTER_GREETING_MS: u64 = 300;

pub(super) fn cases(profile: &Profile) -> Vec<Case> {
    let listens = || match profile.keys.is_empty() {
        true => Err("the bot listens to no keys, as its profile says".to_owned()),
        false => profile.call(),
    };
    let mut cases = vec![
        Case::new(
            "bot/keys/subscribes",
            "a bot that listens to keys asks to be told of them",
            &[SUBSCRIBES],
            listens(),
            subscribes,
        )
        .after(CALL_STANDS),
    ];
    for key in profile.keys.iter().cloned() {
        let script = listens().map(|script| pressing(profile, script, &[key.press]));
        let case = Case::new(
            format!("bot/keys/leads/{}", name_of(key.press)),
            format!("{} leads to where the profile says: {}", key.press, does(key.then)),
            &[LEADS],
            script,
            move |seen| leads(seen, &key),
        );
        cases.push(case.timed().after(CALL_STANDS).after(&["bot/keys/subscribes"]));
    }
    cases.extend(others(profile, &listens));
    cases
}

fn others(profile: &Profile, listens: &dyn Fn() -> Result<Script, String>) -> Vec<Case> {
    let declared: Vec<char> = profile.keys.iter().map(|key| key.press).collect();
    let other = "0123456789*#".chars().find(|key| !declared.contains(key)).unwrap_or('0');
    let replayable = profile.keys.iter().find(|key| key.then == Then::Plays).cloned();
    let needs_plays = || "no key plays something, as the profile says".to_owned();
    let twice = match &replayable {
        None => Err(needs_plays()),
        Some(key) => listens().map(|script| {
            let mut script = pressing(profile, script, &[key.press]);
            let how = How::Again(core::time::Duration::from_millis(300));
            let on = On::Told(Kind::Tone);
            script.troubles.push(Trouble { name: "on purpose", on, nth: None, times: 1, how });
            script
        }),
    };
    let burst = match &replayable {
        None => Err(needs_plays()),
        Some(key) => listens().map(|script| pressing(profile, script, &[key.press; 3])),
    };
    let early = listens().map(|mut script| {
        script.cues.push(cue(When::Told(Kind::Established, 1), 1, Act::Press(other)));
        script
    });
    let cases = [
        Case::new(
            "bot/keys/undeclared",
            "a key that leads to nothing is taken",
            &[SURVIVES],
            listens().map(|script| pressing(profile, script, &[other])),
            survives,
        ),
        Case::new("bot/keys/early", "a key at once is taken", &[SURVIVES], early, survives),
        Case::new(
            "bot/keys/told-twice",
            "a key that is told twice counts once",
            &[ONCE],
            twice,
            once,
        ),
        Case::new(
            "bot/keys/burst",
            "the same key three times quickly counts three times",
            &[EACH],
            burst,
            each,
        ),
    ];
    let needs = [CALL_STANDS, &["bot/keys/subscribes"]].concat();
    cases.into_iter().map(|case| case.after(&needs)).collect()
}

/// Keys pressed while, or after, the greeting is heard.
fn pressing(profile: &Profile, mut script: Script, keys: &[char]) -> Script {
    let when = match profile.greets {
        Some(_) => When::Quiet(1),
        None => When::Told(Kind::MediaActive, 1),
    };
    for (key, index) in keys.iter().zip(0..) {
        script.cues.push(cue(when, AFTER_GREETING_MS + index * 120, Act::Press(*key)));
    }
    script
}

fn name_of(key: char) -> String {
    match key {
        '*' => "star".to_owned(),
        '#' => "pound".to_owned(),
        key => key.to_string(),
    }
}

const fn does(then: Then) -> &'static str {
    match then {
        Then::Plays => "something is played",
        Then::Records => "the caller is recorded",
        Then::HangsUp => "the bot hangs up",
        Then::Transfers => "the caller is put through",
        Then::Invites => "somebody is asked in",
        Then::Nothing => "the call goes on",
    }
}

fn subscribes(seen: &Seen<'_>) -> Outcome {
    let asked = seen.transcript.asks_for("subscribeToTone").next();
    let end = seen.transcript.entries.last().map(|entry| entry.at).unwrap_or_default();
    judged(match asked {
        Some(_) => None,
        None => Some(seen.broken(&SUBSCRIBES, end, "subscribeToTone", "never asked for")),
    })
}

fn leads(seen: &Seen<'_>, key: &Key) -> Outcome {
    let pressed = seen.transcript.person(|does| *does == Person::Presses(key.press));
    let Some(pressed) = pressed else {
        return Outcome::NotJudged("the call did not come so far".to_owned());
    };
    let action = match key.then {
        Then::Plays => "playPrompt",
        Then::Records => "recordResponse",
        Then::HangsUp => "hangUp",
        Then::Transfers => "transfer",
        Then::Invites => "invite",
        Then::Nothing => {
            let ended = seen.transcript.asks_for("hangUp").find(|ask| ask.at > pressed);
            return judged(
                ended
                    .map(|ask| seen.broken(&LEADS, ask.at, "the call goes on", "the bot hangs up")),
            );
        }
    };
    let deadline = pressed + key.within + seen.slack;
    let follows = |ask: &Ask<'_>| {
        let taken = ask.answer.is_some_and(|(_, answered)| answered.response.is_success());
        ask.at > pressed && ask.at <= deadline && taken
    };
    let done = seen.transcript.asks_for(action).any(|ask| follows(&ask));
    judged((!done).then(|| {
        let next = seen.transcript.calls_asks().find(|ask| ask.at > pressed);
        let actual = next.map_or("nothing", |ask| ask.asked.action);
        let expected = format!("{action} within {:.1} s", key.within.as_secs_f64());
        seen.broken(&LEADS, deadline, expected, actual)
    }))
}

fn survives(seen: &Seen<'_>) -> Outcome {
    let wrong = seen.transcript.told().find(|told| !matches!(status(told).1, 200..=299));
    judged(
        wrong.map(|told| seen.broken(&SURVIVES, status(&told).0, "a 2xx status", told_so(&told))),
    )
}

/// How often something was played after keys were pressed.
fn plays(seen: &Seen<'_>) -> Option<(callrig_media::time::Instant, usize)> {
    let pressed = seen.transcript.person(|does| matches!(does, Person::Presses(_)))?;
    let count = seen.transcript.asks_for("playPrompt").filter(|ask| ask.at > pressed).count();
    Some((pressed, count))
}

fn once(seen: &Seen<'_>) -> Outcome {
    let Some((pressed, count)) = plays(seen) else {
        return Outcome::NotJudged("the call did not come so far".to_owned());
    };
    judged((count > 1).then(|| {
        let actual = format!("playPrompt {count} times");
        seen.broken(&ONCE, pressed + seconds(2), "playPrompt once", actual)
    }))
}

fn each(seen: &Seen<'_>) -> Outcome {
    let Some((pressed, count)) = plays(seen) else {
        return Outcome::NotJudged("the call did not come so far".to_owned());
    };
    judged((count < 3).then(|| {
        let actual = format!("playPrompt {count} times");
        seen.broken(&EACH, pressed + seconds(6), "playPrompt three times", actual)
    }))
}
