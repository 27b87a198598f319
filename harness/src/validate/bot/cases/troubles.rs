//! What a bot makes of the API's troubles: too many requests, faults of the service, tokens
//! that are not taken, answers that are late or never come.

use core::time::Duration;

use super::super::case::{Case, Outcome, Seen, judged};
use super::super::profile::{Profile, Reaction};
use super::super::script::{How, On, Script, Trouble};
use super::super::transcript::Ask;
use super::{CALL_STANDS, seconds};
use crate::case::rule::Rule;

const WAITS: Rule = Rule::must(
    "bot/troubles/retry-after",
    "Graph API: throttling; RFC 9110 section 10.2.3",
    "What was refused with Retry-After is not sent again before that time is over.",
);
const COMES_BACK: Rule = Rule::should(
    "bot/troubles/comes-back",
    "Graph API: throttling",
    "What was refused for now (429, 503) is sent again later.",
);
const NO_HAMMERING: Rule = Rule::must(
    "bot/troubles/no-hammering",
    "Graph API: error handling, best practices",
    "A request that fails is not sent again and again without a pause.",
);
const NO_USE: Rule = Rule::must(
    "bot/troubles/refused-for-good",
    "Graph API: error responses",
    "What was refused for good (400, 403, 404, 409) is not sent again unchanged.",
);
const FRESH: Rule = Rule::should(
    "bot/troubles/fresh-token",
    "RFC 6750 section 3.1 (invalid_token)",
    "A bot whose token is not taken gets another one, and asks again.",
);
const NOT_TWICE: Rule = Rule::must(
    "bot/troubles/not-done-twice",
    "RFC 9110 section 9.2.2",
    "A POST whose answer is late or lost may have been done: it is not sent a second time at once.",
);
const TOKEN_AGAIN: Rule = Rule::should(
    "bot/troubles/token-endpoint",
    "Microsoft identity platform: error handling",
    "Where no token can be had at first, one is asked for again, and the call is answered in time.",
);

/// Requests of a call that trouble is made for.
const ACTIONS: [&str; 4] = ["answer", "subscribeToTone", "playPrompt", "recordResponse"];

pub(super) fn cases(profile: &Profile) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut actions = ACTIONS.to_vec();
    if profile.outgoing.is_some() {
        actions.push("create");
    }
    for action in actions {
        cases.extend(for_now(profile, action));
        cases.extend(for_good(profile, action));
        cases.extend(slow(profile, action));
    }
    cases.extend(tokens(profile));
    cases
}

/// A call in which requests for `action` are answered so, so many times.
pub(super) fn answered_with(
    profile: &Profile,
    action: &'static str,
    status: u16,
    header: Option<(&'static str, &'static str)>,
    code: &'static str,
    times: u32,
) -> Result<Script, String> {
    let how = How::Answer { status, header, code };
    troubled(profile, action, how, times)
}

fn troubled(
    profile: &Profile,
    action: &'static str,
    how: How,
    times: u32,
) -> Result<Script, String> {
    applies(profile, action)?;
    let mut script = if action == "create" {
        profile.outgoing.as_ref().map(super::super::profile::Outgoing::script).unwrap_or_default()
    } else {
        profile.call()?
    };
    let (name, on) = ("on purpose", On::Asked(action));
    script.troubles.push(Trouble { name, on, nth: Some(1), times, how });
    script.patience = seconds(18);
    Ok(script)
}

/// Whether such a bot would ask for this at all.
fn applies(profile: &Profile, action: &str) -> Result<(), String> {
    let does = match action {
        "answer" => profile.calls == Reaction::Answers,
        "subscribeToTone" => !profile.keys.is_empty(),
        "playPrompt" => {
            profile.greets.is_some()
                || profile.outgoing.as_ref().is_some_and(|outgoing| outgoing.speaks)
        }
        "recordResponse" => profile.records.is_some(),
        _ => true,
    };
    if does { Ok(()) } else { Err(format!("the bot asks for no {action}, as its profile says")) }
}

fn for_now(profile: &Profile, action: &'static str) -> Vec<Case> {
    let listed = [
        ("429", 429, Some(("Retry-After", "2")), 2),
        ("503", 503, Some(("Retry-After", "3")), 3),
        ("503-bare", 503, None, 0),
    ];
    let cases = listed.into_iter().map(|(name, status, header, asked)| {
        let script = answered_with(profile, action, status, header, "TooManyRequests", 1);
        let case = Case::new(
            format!("bot/troubles/{action}/{name}"),
            format!("{action} is refused with {status} for now"),
            &[WAITS, COMES_BACK, NO_HAMMERING],
            script,
            move |seen| refused_for_now(seen, action, seconds(asked)),
        );
        case.after(CALL_STANDS)
    });
    let mut cases: Vec<Case> = cases.collect();
    for (name, status) in [("503-lasting", 503), ("500-lasting", 500), ("429-lasting", 429)] {
        let script = answered_with(profile, action, status, None, "InternalError", u32::MAX);
        let case = Case::new(
            format!("bot/troubles/{action}/{name}"),
            format!("{action} is refused with {status} each time"),
            &[NO_HAMMERING],
            script,
            move |seen| not_hammered(seen, action),
        );
        cases.push(case.after(CALL_STANDS));
    }
    cases
}

fn for_good(profile: &Profile, action: &'static str) -> Vec<Case> {
    let listed = [(400, "BadRequest"), (403, "7504"), (404, "8522"), (409, "Conflict")];
    let mut cases: Vec<Case> = listed
        .into_iter()
        .map(|(status, code)| {
            let script = answered_with(profile, action, status, None, code, u32::MAX);
            let case = Case::new(
                format!("bot/troubles/{action}/{status}"),
                format!("{action} is refused with {status} for good"),
                &[NO_USE],
                script,
                move |seen| not_again(seen, action),
            );
            case.after(CALL_STANDS)
        })
        .collect();
    let script = answered_with(profile, action, 401, None, "InvalidAuthenticationToken", 1);
    let case = Case::new(
        format!("bot/troubles/{action}/401"),
        format!("the token of {action} is not taken once"),
        &[FRESH, NO_HAMMERING],
        script,
        move |seen| asked_again(seen, action, &FRESH),
    );
    cases.push(case.after(CALL_STANDS));
    cases
}

fn slow(profile: &Profile, action: &'static str) -> Vec<Case> {
    let listed = [
        ("late", "comes four seconds late", How::AnswerLate(seconds(4))),
        ("lost", "never comes", How::AnswerLost),
    ];
    let cases = listed.into_iter().map(|(name, words, how)| {
        let case = Case::new(
            format!("bot/troubles/{action}/{name}"),
            format!("the answer to {action} {words}"),
            &[NOT_TWICE],
            troubled(profile, action, how, 1),
            move |seen| not_twice(seen, action),
        );
        case.after(CALL_STANDS)
    });
    cases.collect()
}

fn tokens(profile: &Profile) -> Vec<Case> {
    let listed = [("503", 503, None), ("429", 429, Some(("Retry-After", "1"))), ("500", 500, None)];
    let mut cases: Vec<Case> = listed
        .into_iter()
        .map(|(name, status, header)| {
            let how = How::Answer { status, header, code: "temporarily_unavailable" };
            let case = Case::new(
                format!("bot/troubles/token/{name}"),
                format!("the login service answers {status} once"),
                &[TOKEN_AGAIN],
                troubled(profile, "token", how, 1),
                token_again,
            );
            case.after(CALL_STANDS)
        })
        .collect();
    let how = How::Answer { status: 503, header: None, code: "temporarily_unavailable" };
    let case = Case::new(
        "bot/troubles/token/lasting",
        "the login service answers 503 each time",
        &[NO_HAMMERING],
        troubled(profile, "token", how, u32::MAX),
        |seen| not_hammered(seen, "token"),
    );
    cases.push(case.after(CALL_STANDS));
    cases
}

/// The request that was troubled, and those of its kind that followed it.
fn after_trouble<'a>(seen: &Seen<'a>, action: &'static str) -> Option<(Ask<'a>, Vec<Ask<'a>>)> {
    let mut asks = seen.transcript.asks_for(action);
    let first = asks.find(|ask| ask.answer.is_none_or(|(_, answer)| answer.stimulus.is_some()))?;
    // The same again: what is asked for after another key, say, is something else.
    let same = |ask: &Ask<'a>| {
        ask.asked.request.uri == first.asked.request.uri
            && same_body(&ask.asked.request.body, &first.asked.request.body)
    };
    Some((first, asks.filter(same).collect()))
}

/// Whether two bodies say the same, but for what ties answers to them.
fn same_body(one: &[u8], other: &[u8]) -> bool {
    let plain = |bytes: &[u8]| {
        let mut value: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
        if let Some(map) = value.as_object_mut() {
            map.remove("clientContext");
        }
        value
    };
    plain(one) == plain(other)
}

fn never_asked(action: &str) -> Outcome {
    Outcome::NotJudged(format!("the bot did not ask for {action}"))
}

fn refused_for_now(seen: &Seen<'_>, action: &'static str, asked: Duration) -> Outcome {
    let Some((first, again)) = after_trouble(seen, action) else { return never_asked(action) };
    let refused_at = first.answer.map_or(first.at, |(at, _)| at);
    let Some(next) = again.first() else {
        let at = refused_at + seconds(10);
        return judged(Some(seen.broken(
            &COMES_BACK,
            at,
            "the request comes again",
            "it does not",
        )));
    };
    let pause = next.at.since(refused_at);
    if pause < asked {
        let (expected, actual) = (
            format!("after {} s, as Retry-After says", asked.as_secs()),
            format!("after {:.3} s", pause.as_secs_f64()),
        );
        return judged(Some(seen.broken(&WAITS, next.at, expected, actual)));
    }
    if pause < Duration::from_millis(100) {
        let actual = format!("after {:.3} s", pause.as_secs_f64());
        return judged(Some(seen.broken(&NO_HAMMERING, next.at, "a pause before it", actual)));
    }
    judged(None)
}

fn not_hammered(seen: &Seen<'_>, action: &'static str) -> Outcome {
    let asks: Vec<Ask<'_>> = seen.transcript.asks_for(action).collect();
    if asks.is_empty() {
        return never_asked(action);
    }
    let storm = asks.windows(5).find(|five| {
        matches!((five.first(), five.last()), (Some(a), Some(b)) if b.at.since(a.at) < seconds(2))
    });
    judged(storm.and_then(|five| five.last()).map(|ask| {
        let actual = format!("{} requests, five of them within 2 s", asks.len());
        seen.broken(&NO_HAMMERING, ask.at, "pauses that grow", actual)
    }))
}

fn not_again(seen: &Seen<'_>, action: &'static str) -> Outcome {
    let Some((_, again)) = after_trouble(seen, action) else { return never_asked(action) };
    judged(again.get(1).map(|ask| {
        let actual = format!("the same {} times", again.len() + 1);
        seen.broken(&NO_USE, ask.at, "the same at most once more", actual)
    }))
}

fn asked_again(seen: &Seen<'_>, action: &'static str, rule: &Rule) -> Outcome {
    let Some((first, again)) = after_trouble(seen, action) else { return never_asked(action) };
    let old = first.asked.request.bearer();
    let fresh = seen.transcript.asks_for("token").any(|ask| ask.at >= first.at);
    if again.is_empty() {
        let at = first.at + seconds(5);
        return judged(Some(seen.broken(rule, at, "the request, with another token", "nothing")));
    }
    let same = !fresh && again.iter().all(|ask| ask.asked.request.bearer() == old);
    judged(same.then(|| {
        let at = again.first().map_or(first.at, |ask| ask.at);
        seen.broken(rule, at, "another token", "the same token again")
    }))
}

fn not_twice(seen: &Seen<'_>, action: &'static str) -> Outcome {
    let Some((first, again)) = after_trouble(seen, action) else { return never_asked(action) };
    let at_once = again.into_iter().find(|ask| ask.at.since(first.at) < seconds(5));
    judged(at_once.map(|ask| {
        let actual = format!("again after {:.3} s", ask.at.since(first.at).as_secs_f64());
        seen.broken(&NOT_TWICE, ask.at, "once, or again much later", actual)
    }))
}

fn token_again(seen: &Seen<'_>) -> Outcome {
    let asks: Vec<Ask<'_>> = seen.transcript.asks_for("token").collect();
    let Some(first) = asks.first() else { return never_asked("token") };
    judged((asks.len() < 2 || seen.transcript.calls_asks().next().is_none()).then(|| {
        let actual = format!("{} requests for a token", asks.len());
        let expected = "another request for a token, and then the call";
        seen.broken(&TOKEN_AGAIN, first.at + seconds(15), expected, actual)
    }))
}
