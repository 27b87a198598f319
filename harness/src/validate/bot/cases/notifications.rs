//! How a bot takes notifications: at once, with the right codes; twice, late, out of order,
//! in batches, in older forms, and about what it never heard of.

use callrig_reports::Finding;
use callrig_signaling::service::UriPolicy;

use super::super::case::{Case, Outcome, Seen, judged};
use super::super::profile::Profile;
use super::super::script::{
    Act, Begins, Body, How, On, Post, Script, Token, Trouble, Tweaks, When, cue,
};
use super::super::transcript::Kind;
use super::{CALL_STANDS, deeds, seconds, status, told_so, words};
use crate::case::rule::Rule;
use crate::serve::guard::Guard;

const TAKEN: Rule = Rule::must(
    "bot/notifications/taken",
    "Graph API: receiving calling notifications",
    "A notification is taken with a 2xx status, or sent elsewhere with 302 or 307.",
);
const IN_TIME: Rule = Rule::must(
    "bot/notifications/within-5-seconds",
    "this project: signaling, delivery of notifications",
    "A notification is answered before the platform sends it again, which is after 5 seconds.",
);
const PROMPT: Rule = Rule::should(
    "bot/notifications/at-once",
    "Microsoft.Graph.Communications changelog 2019-01",
    "A notification is answered at once, within a second, and worked on afterwards.",
);
const CODE: Rule = Rule::should(
    "bot/notifications/accepted-with-202",
    "Graph API: receiving calling notifications",
    "A notification that is worked on later is answered with 202, or 200.",
);
const SAME: Rule = Rule::must(
    "bot/notifications/acted-on-once",
    "Graph API: call: answer (notifications may arrive out of order)",
    "A bot does the same in a call whether notifications come once or twice, early or late.",
);
const GOES_ON: Rule = Rule::must(
    "bot/notifications/unknown-is-survived",
    "Graph API: evolvable enumerations and open types",
    "What a bot does not know in a notification does not keep it from its call.",
);
const UNKNOWN_TAKEN: Rule = Rule::should(
    "bot/notifications/unknown-is-taken",
    "Graph API: evolvable enumerations and open types",
    "A notification about something that a bot does not know is taken as any other.",
);
const MALFORMED: Rule = Rule::should(
    "bot/notifications/malformed-is-refused",
    "RFC 9110 section 15.5.1",
    "What is no notification is refused with a 4xx status.",
);
const NO_FAULT: Rule = Rule::must(
    "bot/notifications/no-internal-error",
    "RFC 9110 section 15.6.1",
    "Whatever is posted to the webhook, the bot answers, and not with a 5xx status.",
);
const LEGACY: Rule = Rule::should(
    "bot/notifications/legacy-answered-with-204",
    "Teams: calling notifications, legacy format",
    "An incoming call in Skype's form is answered with 204; the platform then tells it as Graph does.",
);

/// How what is expected begins where a bot does something else than it does undisturbed.
pub(super) const AS_USUAL: &str = "as in an undisturbed call";

/// What happens in nearly every call.
const KINDS: [(&str, Kind); 6] = [
    ("incoming", Kind::Incoming),
    ("establishing", Kind::Establishing),
    ("established", Kind::Established),
    ("media-active", Kind::MediaActive),
    ("operation", Kind::Operation),
    ("terminated", Kind::Terminated),
];

/// The cases of each kind told twice.
const TWICE: [&str; 6] = [
    "bot/notifications/twice/incoming",
    "bot/notifications/twice/establishing",
    "bot/notifications/twice/established",
    "bot/notifications/twice/media-active",
    "bot/notifications/twice/operation",
    "bot/notifications/twice/terminated",
];

pub(super) fn cases(profile: &Profile) -> Vec<Case> {
    let mut cases = vec![
        Case::new(
            "bot/notifications/taken",
            "notifications are answered with a status that takes them",
            &[TAKEN],
            profile.contact(),
            taken,
        ),
        Case::new(
            "bot/notifications/in-time",
            "notifications are answered in time",
            &[IN_TIME, PROMPT],
            profile.contact(),
            in_time,
        )
        .timed()
        .after(&["bot/notifications/taken"]),
        Case::new(
            "bot/notifications/code",
            "notifications are answered with 202",
            &[CODE],
            profile.contact(),
            code,
        )
        .after(&["bot/notifications/taken"]),
    ];
    cases.extend(again(profile));
    cases.extend(ways(profile));
    cases.extend(unknown(profile));
    cases.extend(malformed(profile));
    cases
}

/// The call, with one thing going otherwise.
fn troubled(profile: &Profile, on: On, how: How) -> Result<Script, String> {
    let mut script = profile.call()?;
    // A reply that is lost each time is a bot that nobody reaches.
    let nth = matches!(how, How::ReplyLost).then_some(1);
    script.troubles.push(Trouble { name: "on purpose", on, nth, times: 1, how });
    Ok(script)
}

/// The same told twice, at once or much later, or told again because the reply was lost.
fn again(profile: &Profile) -> Vec<Case> {
    let mut cases = Vec::new();
    let at_once = core::time::Duration::from_millis(150);
    let ways = [
        ("twice", "comes twice", How::Again(at_once)),
        ("stale", "comes again after what followed it", How::Again(seconds(3))),
        ("redelivered", "comes again because the reply was lost", How::ReplyLost),
        ("delayed", "comes two seconds late", How::Late(seconds(2))),
    ];
    for (way, words, how) in ways {
        for (index, (name, kind)) in KINDS.into_iter().enumerate() {
            let script = troubled(profile, On::Told(kind), how.clone());
            let case = Case::new(
                format!("bot/notifications/{way}/{name}"),
                format!("a notification of {name} {words}, and the bot does the same"),
                &[SAME],
                script,
                same,
            );
            let case = case.after(CALL_STANDS);
            // What is wrong twice at once is wrong later too, and is told once.
            cases.push(match way {
                "stale" | "redelivered" => case.after(&[TWICE[index]]),
                _ => case,
            });
        }
    }
    cases
}

/// Other ways of telling the same.
fn ways(profile: &Profile) -> Vec<Case> {
    let tweaked = |tweak: fn(&mut Tweaks)| {
        let mut script = profile.call()?;
        tweak(&mut script.platform);
        Ok::<_, String>(script)
    };
    let batched = troubled(profile, On::Told(Kind::Establishing), How::Late(seconds(1)));
    let batched = batched.map(|mut script| {
        script.platform.batched = true;
        script
    });
    let all_twice =
        troubled(profile, On::AnyTold, How::Again(core::time::Duration::from_millis(5)));
    let listed = [
        ("batched", "several notifications come in one POST", batched),
        ("all-twice", "every notification comes twice", all_twice),
        (
            "established-first",
            "`established` comes before `establishing`",
            tweaked(|tweaks| tweaks.established_first = true),
        ),
        (
            "pascal-case",
            "members of enumerations come in PascalCase",
            tweaked(|tweaks| tweaks.pascal_case = true),
        ),
    ];
    let mut cases: Vec<Case> = listed
        .into_iter()
        .map(|(name, words, script)| {
            let title = format!("{words}, and the bot does the same");
            let id = format!("bot/notifications/{name}");
            let case = Case::new(id, title, &[SAME], script, same).after(CALL_STANDS);
            if name == "all-twice" { case.after(&TWICE) } else { case }
        })
        .collect();
    let rung = |script: &Script| match script.begins {
        Begins::Ring => Ok(()),
        _ => Err("nobody calls this bot, as its profile says".to_owned()),
    };
    let legacy = tweaked(|tweaks| tweaks.legacy = true);
    let legacy = legacy.and_then(|script| rung(&script).map(|()| script));
    let case = Case::new(
        "bot/notifications/legacy",
        "an incoming call in Skype's form is answered with 204",
        &[LEGACY],
        legacy,
        told_in_legacy,
    );
    cases.push(case.after(CALL_STANDS));
    cases
}

/// The call, and then something that the platform would not send.
fn with_post(profile: &Profile, body: Body) -> Result<Script, String> {
    let mut script = profile.call()?;
    let post = Post { name: "of tomorrow", body, token: Token::Good };
    script.cues.push(cue(When::Told(Kind::MediaActive, 1), 300, Act::Post(post)));
    Ok(script)
}

fn unknown(profile: &Profile) -> Vec<Case> {
    let listed = [
        ("resource", "a resource of tomorrow", Body::UnknownResource),
        ("change", "a change of tomorrow", Body::UnknownChange),
        ("members", "members of tomorrow", Body::UnknownMembers),
        ("state", "a state of tomorrow", Body::UnknownState),
        ("call", "a call that it never heard of", Body::UnknownCall),
        ("mixed", "its own call and another, in one POST", Body::Mixed),
        ("empty", "nothing at all", Body::Empty),
        ("old-state", "a state that is long over", Body::Stale),
    ];
    let cases = listed.into_iter().map(|(name, words, body)| {
        let title = format!("a notification about {words} is taken, and the call goes on");
        let id = format!("bot/notifications/unknown/{name}");
        let rules = [GOES_ON, UNKNOWN_TAKEN, NO_FAULT];
        let case = Case::new(id, title, &rules, with_post(profile, body), |seen| {
            posted(seen, (&NO_FAULT, &GOES_ON, &UNKNOWN_TAKEN), 200..=299, "a 2xx status")
        });
        case.after(CALL_STANDS)
    });
    cases.collect()
}

fn malformed(profile: &Profile) -> Vec<Case> {
    let listed = [
        ("garbage", "no JSON", Body::Garbage),
        ("shape", "JSON of another shape", Body::WrongShape),
        ("nothing", "no body", Body::Nothing),
        ("deep", "ten thousand lists in one another", Body::Deep),
    ];
    let mut cases: Vec<Case> = listed
        .into_iter()
        .map(|(name, words, body)| {
            let title = format!("a POST with {words} is refused, and the call goes on");
            let id = format!("bot/notifications/malformed/{name}");
            let rules = [GOES_ON, MALFORMED, NO_FAULT];
            let case = Case::new(id, title, &rules, with_post(profile, body), |seen| {
                posted(seen, (&NO_FAULT, &GOES_ON, &MALFORMED), 400..=499, "a 4xx status")
            });
            case.after(CALL_STANDS)
        })
        .collect();
    let case = Case::new(
        "bot/notifications/malformed/padded",
        "a POST of a megabyte is answered, and the call goes on",
        &[GOES_ON, NO_FAULT],
        with_post(profile, Body::Padded),
        |seen| posted(seen, (&NO_FAULT, &GOES_ON, &NO_FAULT), 200..=499, "any status but 5xx"),
    );
    cases.push(case.after(CALL_STANDS));
    cases
}

/// A bot whose own call is refused is told nothing, and that is no fault of this kind.
fn nothing_told(seen: &Seen<'_>) -> Outcome {
    match seen.transcript.calls_asks().next() {
        Some(_) => judged(None),
        None => Outcome::NotJudged("the platform had nothing to tell the bot".to_owned()),
    }
}

fn taken(seen: &Seen<'_>) -> Outcome {
    let mut told = seen.transcript.told().peekable();
    if told.peek().is_none() {
        return nothing_told(seen);
    }
    // Whoever answers late has some left to answer in the end: another case's matter as well.
    let slow = seen
        .transcript
        .told()
        .any(|told| told.reply.is_some_and(|(at, _)| at.since(told.at) > seconds(5) + seen.slack));
    let wrong = told.find(|told| match told.reply {
        Some((_, Ok(response))) => match response.status {
            200..=299 => false,
            302 | 307 => !may_be_called(response.header("location")),
            _ => true,
        },
        Some((_, Err(reason))) => !is_late(reason),
        None => !slow,
    });
    judged(wrong.map(|told| {
        let at = told.reply.map_or(told.at, |(at, _)| at);
        let expected = "a 2xx status, or 302 or 307 with a Location that may be called";
        seen.broken(&TAKEN, at, expected, told_so(&told))
    }))
}

/// Whether a platform would go where it is sent: a web address, and none that only the
/// platform's own network can reach. Names are looked up by those who call them.
fn may_be_called(location: Option<&str>) -> bool {
    let url = match location.map(url::Url::parse) {
        Some(Ok(url)) => url,
        // Somewhere else on the same host.
        Some(Err(url::ParseError::RelativeUrlWithoutBase)) => return true,
        _ => return false,
    };
    let address = match url.host() {
        Some(url::Host::Ipv4(address)) => core::net::IpAddr::V4(address),
        Some(url::Host::Ipv6(address)) => core::net::IpAddr::V6(address),
        Some(url::Host::Domain(_)) => return matches!(url.scheme(), "http" | "https"),
        None => return false,
    };
    Guard::new(UriPolicy::default(), Vec::new()).check(url.as_str(), address).is_ok()
}

/// Whether there is no answer because it took too long: another case's matter than what
/// is in it.
fn is_late(reason: &str) -> bool {
    reason.starts_with("no answer within")
}

fn in_time(seen: &Seen<'_>) -> Outcome {
    let never = seen
        .transcript
        .told()
        .find(|told| matches!(told.reply, Some((_, Err(reason))) if is_late(reason)));
    if let Some(told) = never {
        let at = told.reply.map_or(told.at, |(at, _)| at);
        return judged(Some(seen.broken(&IN_TIME, at, "within 5 s", told_so(&told))));
    }
    let slowest = seen.transcript.told().map(|told| {
        let at = told.reply.map_or(told.at + seconds(60), |(at, _)| at);
        (at.since(told.at), at)
    });
    let Some((took, at)) = slowest.max() else {
        return nothing_told(seen);
    };
    let words = format!("{:.3} s", took.as_secs_f64());
    judged(if took > seconds(5) + seen.slack {
        Some(seen.broken(&IN_TIME, at, "within 5 s", words))
    } else if took > seconds(1) + seen.slack {
        Some(seen.broken(&PROMPT, at, "within 1 s", words))
    } else {
        None
    })
}

fn code(seen: &Seen<'_>) -> Outcome {
    let other =
        seen.transcript.told().find(|told| !matches!(status(told).1, 200 | 202 | 302 | 307));
    judged(other.map(|told| seen.broken(&CODE, status(&told).0, "202, or 200", told_so(&told))))
}

/// The bot did what it does when nothing goes otherwise.
fn same(seen: &Seen<'_>) -> Outcome {
    let Some(plain) = seen.plain else {
        return Outcome::NotJudged("there is no undisturbed call to compare with".to_owned());
    };
    judged(otherwise(seen, plain, &SAME))
}

/// Whether the bot did something else than in the undisturbed call.
pub(super) fn otherwise(
    seen: &Seen<'_>,
    plain: &super::super::transcript::Transcript,
    rule: &Rule,
) -> Option<Finding> {
    let (usual, here) = (deeds(plain), deeds(seen.transcript));
    if usual == here {
        return None;
    }
    // The moment of the first deed that is one too many, or the end.
    let mut left = usual.clone();
    let extra = seen.transcript.calls_asks().find(|ask| match left.get_mut(ask.asked.action) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => deeds(seen.transcript).contains_key(ask.asked.action),
    });
    let end = seen.transcript.entries.last().map(|entry| entry.at).unwrap_or_default();
    let at = extra.map_or(end, |ask| ask.at);
    let expected = format!("{AS_USUAL}: {}", words(&usual));
    Some(seen.broken(rule, at, expected, words(&here)))
}

/// Something unusual was posted, and was answered as it should be: the rules are broken by a
/// fault of the bot's, by a call that does not go on as usual, and by another status.
pub(super) fn posted(
    seen: &Seen<'_>,
    (no_fault, goes_on, rule): (&Rule, &Rule, &Rule),
    good: core::ops::RangeInclusive<u16>,
    words: &str,
) -> Outcome {
    let told = seen.transcript.sent().find(|told| told.sent.stimulus == Some("of tomorrow"));
    let (Some(told), Some(plain)) = (told, seen.plain) else {
        return Outcome::NotJudged("the call did not come so far".to_owned());
    };
    let (at, status) = status(&told);
    let mut findings = Vec::new();
    if status == 0 || status >= 500 {
        findings.push(seen.broken(no_fault, at, "any status but 5xx", told_so(&told)));
    } else if !good.contains(&status) {
        findings.push(seen.broken(rule, at, words, told_so(&told)));
    }
    findings.extend(otherwise(seen, plain, goes_on));
    Outcome::Judged(findings)
}

fn told_in_legacy(seen: &Seen<'_>) -> Outcome {
    let Some(first) = seen.transcript.told().next() else {
        return Outcome::NotJudged("nobody called the bot".to_owned());
    };
    let (at, status) = status(&first);
    let answered = seen.transcript.asks_for("answer").next().is_some();
    judged((status != 204 || !answered).then(|| {
        let actual = match answered {
            true => format!("{}, and the call was answered", told_so(&first)),
            false => format!("{}, and the call was not answered", told_so(&first)),
        };
        seen.broken(&LEGACY, at, "204, and then the call is answered", actual)
    }))
}
