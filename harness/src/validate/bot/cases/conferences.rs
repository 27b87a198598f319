//! A call that grows into a conference, or is one: people come, mute themselves and go, and
//! rosters say so, of any size and shape, twice, late and out of order.

use core::ops::RangeInclusive;
use core::time::Duration;

use super::super::case::{Case, Outcome, Seen};
use super::super::profile::Profile;
use super::super::script::{
    Act, Begins, Body, Cue, How, On, Post, Roster, Script, Token, Trouble, When, cue,
};
use super::super::transcript::{Kind, Person, What, kinds_of};
use super::notifications::{AS_USUAL, otherwise, posted};
use super::{CALL_STANDS, seconds, status, told_so};
use crate::case::rule::Rule;

const TAKEN: Rule = Rule::must(
    "bot/conference/rosters-are-taken",
    "Graph API: receiving calling notifications; participant resource",
    "A notification of who is in the call is taken like any other, whether the bot needs it or not.",
);
const STAYS: Rule = Rule::must(
    "bot/conference/call-goes-on",
    "Graph API: call: answer (escalation to a group call), participant: invite",
    "A bot does in its call what it always does, whoever is asked in, mutes themselves or leaves.",
);
const ORDER: Rule = Rule::must(
    "bot/conference/rosters-in-any-order",
    "Graph API: call: answer (notifications may arrive out of order)",
    "Rosters that come twice, late or after what followed them lead a bot to do nothing else.",
);
const ANY: Rule = Rule::must(
    "bot/conference/any-roster-is-survived",
    "Graph API: participant resource, evolvable enumerations and open types",
    "Rosters of any size, with identities, streams and members that a bot does not know, or without \
     those that it expects, do not keep it from its call.",
);
const ANY_TAKEN: Rule = Rule::should(
    "bot/conference/any-roster-is-taken",
    "Graph API: participant resource, evolvable enumerations and open types",
    "Such a roster is answered as any other: with a 2xx status.",
);

const EVERYDAY: &str = "bot/conference/rosters/everyday";
const GROWS: &str = "bot/conference/grows";
const CHANGES: &str = "bot/conference/comes-and-goes";

pub(super) fn cases(profile: &Profile) -> Vec<Case> {
    let grows = profile.call().and_then(|script| match script.begins {
        Begins::Ring => Ok(growing(script)),
        _ => Err("the bot's calls are conferences from the beginning, or its own".to_owned()),
    });
    let changes = changing(profile);
    let mut cases = vec![
        Case::new(
            GROWS,
            "the caller asks somebody in, and the call goes on",
            &[TAKEN, STAYS],
            grows,
            goes_on,
        )
        .after(CALL_STANDS),
        Case::new(
            CHANGES,
            "somebody leaves, comes again and mutes himself, and the call goes on",
            &[TAKEN, STAYS],
            changes.clone(),
            goes_on,
        )
        .after(CALL_STANDS)
        .after(&[GROWS]),
    ];
    let ways = [
        ("twice", "comes twice", How::Again(Duration::from_millis(100)), None),
        ("stale", "comes again after what followed it", How::Again(seconds(3)), None),
        ("late", "comes two seconds late, after the next one", How::Late(seconds(2)), Some(1)),
        ("redelivered", "comes again because the reply was lost", How::ReplyLost, Some(1)),
    ];
    for (name, words, how, nth) in ways {
        let script = changes.clone().map(|mut script| {
            let on = On::Told(Kind::Roster);
            script.troubles.push(Trouble { name: "on purpose", on, nth, times: 1, how });
            script
        });
        let case = Case::new(
            format!("bot/conference/rosters/{name}"),
            format!("a roster {words}, and the bot does the same"),
            &[ORDER],
            script,
            same,
        );
        cases.push(case.after(CALL_STANDS).after(&[CHANGES]));
    }
    cases.extend(unusual(profile));
    cases
}

/// Rosters that are not everyday ones, in the call that there is.
fn unusual(profile: &Profile) -> Vec<Case> {
    let listed = [
        ("everyday", "of an everyday kind", Roster::Everyday),
        ("large", "of three hundred people", Roster::Large),
        ("tomorrow", "with people and streams of kinds of tomorrow", Roster::Tomorrow),
        ("empty", "of nobody", Roster::Empty),
        ("delta", "of what has changed, which nobody asked for,", Roster::Delta),
        ("shapeless", "that is no list", Roster::Shapeless),
    ];
    let cases = listed.into_iter().map(|(name, words, roster)| {
        let script = profile.call().map(|mut script| {
            let post = Post { name: "of tomorrow", body: Body::Roster(roster), token: Token::Good };
            script.cues.push(cue(When::Told(Kind::MediaActive, 1), 300, Act::Post(post)));
            script
        });
        // What has no shape may be refused, too.
        let good = if roster == Roster::Shapeless { 200..=499 } else { 200..=299 };
        let case = Case::new(
            format!("bot/conference/rosters/{name}"),
            format!("a roster {words} is taken, and the call goes on"),
            &[ANY, ANY_TAKEN],
            script,
            move |seen| unusual_taken(seen, roster, good.clone()),
        );
        let case = case.after(CALL_STANDS);
        if roster == Roster::Everyday { case } else { case.after(&[EVERYDAY]) }
    });
    cases.collect()
}

fn unusual_taken(seen: &Seen<'_>, roster: Roster, good: RangeInclusive<u16>) -> Outcome {
    let outcome = posted(seen, (&ANY, &ANY, &ANY_TAKEN), good, "a 2xx status");
    // Whoever looks after a conference may well leave it when nobody is there any more.
    let alone = roster == Roster::Empty && seen.script.begins != Begins::Ring;
    match outcome {
        Outcome::Judged(mut findings) if alone => {
            findings.retain(|finding| !finding.expected.starts_with(AS_USUAL));
            Outcome::Judged(findings)
        }
        outcome => outcome,
    }
}

/// Soon after the call stands, Ann asks Ben in.
fn growing(mut script: Script) -> Script {
    script.platform.rosters_after_escalation = true;
    script.cues.push(cue(When::Told(Kind::MediaActive, 1), 1_500, Act::Invite));
    script
}

/// A conference, and what Ben does in it.
fn changing(profile: &Profile) -> Result<Script, String> {
    let mut script = profile.call()?;
    if matches!(script.begins, Begins::Ask { .. })
        && !profile.outgoing.as_ref().is_some_and(|outgoing| outgoing.group)
    {
        return Err("the bot calls one person at a time, as its profile says".to_owned());
    }
    let mut from = 2_000;
    if script.begins == Begins::Ring {
        script = growing(script);
        // Until Ben has taken the call.
        from = 3_500;
    }
    let acts = [
        (0, Act::BenLeaves),
        (800, Act::BenComes),
        (1_800, Act::BenMutes(true)),
        (2_600, Act::BenMutes(false)),
    ];
    let at = When::Told(Kind::MediaActive, 1);
    let cues = acts.into_iter().map(|(after, act)| {
        let after = Duration::from_millis(from + after);
        Cue { when: at, after, act }
    });
    script.cues.extend(cues);
    Ok(script)
}

/// Whether anybody but the caller came into the call.
fn grew(seen: &Seen<'_>) -> bool {
    seen.transcript
        .entries
        .iter()
        .any(|entry| matches!(&entry.what, What::Person(1, Person::Joined)))
}

fn goes_on(seen: &Seen<'_>) -> Outcome {
    let Some(plain) = seen.plain else {
        return Outcome::NotJudged("there is no undisturbed call to compare with".to_owned());
    };
    if !grew(seen) {
        return Outcome::NotJudged("nobody else came into the call".to_owned());
    }
    let refused = seen.transcript.told().find(|told| {
        kinds_of(&told.sent.request).contains(&Kind::Roster)
            && !matches!(status(told).1, 200..=299 | 302 | 307)
    });
    let mut findings: Vec<_> = refused
        .map(|told| seen.broken(&TAKEN, status(&told).0, "a 2xx status", told_so(&told)))
        .into_iter()
        .collect();
    findings.extend(otherwise(seen, plain, &STAYS));
    Outcome::Judged(findings)
}

fn same(seen: &Seen<'_>) -> Outcome {
    let Some(plain) = seen.plain else {
        return Outcome::NotJudged("there is no undisturbed call to compare with".to_owned());
    };
    if seen.transcript.first_told(&Kind::Roster).is_none() {
        return Outcome::NotJudged("the bot was told of no roster".to_owned());
    }
    super::super::case::judged(otherwise(seen, plain, &ORDER))
}
