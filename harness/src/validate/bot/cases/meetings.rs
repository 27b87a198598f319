//! Meetings that a bot joins because it is asked to: it comes in, waits where there is a lobby,
//! and goes when it is to go. (When people have left, the platform ends the meeting: no bot has
//! to find out by itself that it is alone.)

use callrig_media::time::Instant;

use super::super::case::{Case, Outcome, Seen, judged};
use super::super::profile::{Joins, Profile};
use super::super::script::{Act, Script, When, cue};
use super::super::transcript::{Ask, Kind, Person, What, kinds_of};
use super::{CALL_STANDS, asks_for_a_call, seconds};
use crate::case::rule::Rule;

const JOINS: Rule = Rule::must(
    "bot/meeting/joins",
    "Graph API: application: create call (join a scheduled meeting)",
    "A bot that is asked into a meeting creates one call with the meeting's coordinates, such that \
     the platform takes it.",
);
const SPEAKS: Rule = Rule::must(
    "bot/meeting/speaks",
    "the bot's profile",
    "Those in a meeting hear what the bot has to say once it is in.",
);
const WAITS: Rule = Rule::must(
    "bot/meeting/waits-in-the-lobby",
    "Graph API: participant resource, isInLobby; lobbyBypassSettings",
    "A bot that waits in a lobby plays, records and asks nobody in before it is let in, and comes \
     only once.",
);
const COMES_IN: Rule = Rule::must(
    "bot/meeting/comes-in-from-the-lobby",
    "Graph API: lobbyBypassSettings",
    "A bot that is let in from the lobby does what it does in any meeting.",
);
const TURNED_AWAY: Rule = Rule::must(
    "bot/meeting/turned-away",
    "Graph API: call resource, terminated",
    "A bot that is turned away from a lobby does not come again by itself, and leaves the call alone.",
);
const ENDED: Rule = Rule::must(
    "bot/meeting/ended-for-all",
    "Graph API: call resource, terminated",
    "A meeting that was ended for everybody is over for the bot, too.",
);
const ASKS: Rule = Rule::must(
    "bot/meeting/asks-to-come-in",
    "Graph API: application: create call (join a scheduled meeting)",
    "A bot that is asked into a meeting asks the platform for a call.",
);

const FIRST: &str = "bot/meeting/joins";
const ASKS_CASE: &str = "bot/meeting/asks";
/// When whoever waits is let in.
const LET_IN_AFTER_MS: u64 = 3_000;

pub(super) fn cases(profile: &Profile) -> Vec<Case> {
    let meeting = profile.meeting();
    let when = |wanted: fn(&Joins) -> bool, words: &str| match &profile.joins {
        Some(joins) if !wanted(joins) => Err(words.to_owned()),
        _ => meeting.clone(),
    };
    let lobby = |acts: Vec<(u64, Act)>| {
        meeting.clone().map(|mut script: Script| {
            script.platform.lobby = true;
            script.cues.extend(
                acts.into_iter().map(|(after, act)| cue(When::Asked("create", 1), after, act)),
            );
            script
        })
    };
    let ended = meeting.clone().map(|mut script| {
        script.cues.push(cue(When::Told(Kind::MediaActive, 1), 1_500, Act::BenEndsIt));
        script
    });
    let cases = [
        Case::new(
            "bot/meeting/speaks",
            "those in the meeting hear the bot",
            &[SPEAKS],
            when(|joins| joins.speaks, "the bot says nothing, as its profile says"),
            speaks,
        ),
        Case::new(
            "bot/meeting/lobby",
            "the bot waits in the lobby, and is let in",
            &[WAITS, COMES_IN],
            lobby(vec![(LET_IN_AFTER_MS, Act::LetIn)]),
            waits,
        ),
        Case::new(
            "bot/meeting/turned-away",
            "the bot waits in the lobby, and is turned away",
            &[TURNED_AWAY],
            lobby(vec![(LET_IN_AFTER_MS, Act::TurnAway)]),
            turned_away,
        ),
        Case::new("bot/meeting/ended", "the meeting is ended for everybody", &[ENDED], ended, left),
    ];
    let asks = Case::new(
        ASKS_CASE,
        "a bot that is asked into a meeting does something about it",
        &[ASKS],
        meeting.clone(),
        |seen| asks_for_a_call(seen, &ASKS),
    );
    let first =
        Case::new(FIRST, "a bot that is asked into a meeting joins it", &[JOINS], meeting, joins);
    let first = first.after(&[
        ASKS_CASE,
        "bot/requests/token",
        "bot/requests/json",
        "bot/requests/members",
    ]);
    let needs = [CALL_STANDS, &[FIRST]].concat();
    let others = cases.into_iter().map(|case| case.after(&needs));
    [asks, first].into_iter().chain(others).collect()
}

fn end(seen: &Seen<'_>) -> Instant {
    seen.transcript.entries.last().map(|entry| entry.at).unwrap_or_default()
}

/// Whether the bot was told that Ann is where it is.
fn met_ann(seen: &Seen<'_>) -> bool {
    let ann = super::super::rig::ANN.as_bytes();
    seen.transcript.told().any(|told| {
        kinds_of(&told.sent.request).contains(&Kind::Roster)
            && told.sent.request.body.windows(ann.len()).any(|part| part == ann)
    })
}

fn joins(seen: &Seen<'_>) -> Outcome {
    let created: Vec<Ask<'_>> = seen.transcript.asks_for("create").collect();
    let Some(ask) = created.first() else {
        return Outcome::NotJudged("no call was asked for".to_owned());
    };
    let body: serde_json::Value =
        serde_json::from_slice(&ask.asked.request.body).unwrap_or_default();
    judged(match ask.answer {
        Some((at, answered)) if !answered.response.is_success() => {
            let status = answered.response.status.to_string();
            Some(seen.broken(&JOINS, at, "a 2xx status", status))
        }
        _ if body["meetingInfo"].is_null() => {
            let actual = "a call without meetingInfo";
            Some(seen.broken(&JOINS, ask.at, "a call with meetingInfo", actual))
        }
        _ if created.len() > 1 => {
            let actual = format!("{} calls", created.len());
            Some(seen.broken(&JOINS, ask.at, "one call", actual))
        }
        _ if there(seen).is_some() && !met_ann(seen) => {
            let expected = "the meeting in which those are who asked for it";
            Some(seen.broken(&JOINS, ask.at, expected, "another one"))
        }
        _ => None,
    })
}

/// When the bot was in the meeting.
fn there(seen: &Seen<'_>) -> Option<Instant> {
    seen.transcript.first_told(&Kind::MediaActive).map(|told| told.at)
}

fn speaks(seen: &Seen<'_>) -> Outcome {
    let Some(there) = there(seen) else {
        return Outcome::NotJudged("the bot did not come in".to_owned());
    };
    let heard = seen.transcript.person(|does| *does == Person::Hears);
    let at = there + seconds(8);
    judged(heard.is_none().then(|| seen.broken(&SPEAKS, at, "something to hear", "nothing")))
}

fn waits(seen: &Seen<'_>) -> Outcome {
    let early = seen.transcript.calls_asks().find(|ask| {
        let let_in = there(seen).is_none_or(|there| ask.at < there);
        let_in && !matches!(ask.asked.action, "create" | "get" | "keepAlive" | "listParticipants")
    });
    let twice = seen.transcript.asks_for("create").nth(1);
    if let Some(ask) = early.or(twice) {
        let expected = "nothing but waiting";
        return judged(Some(seen.broken(&WAITS, ask.at, expected, ask.asked.action)));
    }
    let Some(plain) = seen.plain else {
        return Outcome::NotJudged("there is no undisturbed call to compare with".to_owned());
    };
    // A bot whose own calls are not meetings has nothing to compare with.
    let comparable = seen.profile.meeting().ok() == seen.profile.contact().ok();
    match there(seen) {
        None => judged(Some(seen.broken(&COMES_IN, end(seen), "the bot comes in", "it does not"))),
        Some(_) if comparable => judged(super::notifications::otherwise(seen, plain, &COMES_IN)),
        Some(_) => judged(None),
    }
}

fn turned_away(seen: &Seen<'_>) -> Outcome {
    let over = seen
        .transcript
        .entries
        .iter()
        .find(|entry| matches!(&entry.what, What::State(state) if state == "terminated"));
    let Some(over) = over else {
        return Outcome::NotJudged("the bot was not turned away".to_owned());
    };
    nothing_more(seen, &TURNED_AWAY, over.at)
}

/// It was over then, and nothing was asked of it afterwards.
fn nothing_more(seen: &Seen<'_>, rule: &Rule, over: Instant) -> Outcome {
    let after = over + seconds(1) + seen.slack;
    let late = seen.transcript.calls_asks().find(|ask| ask.at > after);
    judged(late.map(|ask| seen.broken(rule, ask.at, "nothing more", ask.asked.action)))
}

fn left(seen: &Seen<'_>) -> Outcome {
    if there(seen).is_none() {
        return Outcome::NotJudged("the bot did not come in".to_owned());
    }
    let Some(over) = seen.transcript.first_told(&Kind::Terminated) else {
        return Outcome::NotJudged("the meeting did not end".to_owned());
    };
    nothing_more(seen, &ENDED, over.at)
}
