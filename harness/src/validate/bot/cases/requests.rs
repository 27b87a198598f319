//! What a bot's requests look like, whatever they are for.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::case::{Case, Outcome, Seen, judged};
use super::super::profile::Profile;
use super::super::transcript::{Ask, Kind};
use super::{CALL_STANDS, seconds};
use crate::case::rule::Rule;

mod members;

const TOKEN: Rule = Rule::must(
    "bot/requests/token",
    "Graph API: authentication; RFC 6750 section 2.1",
    "Every request carries the token that the login service gave the bot, as a bearer.",
);
const JSON: Rule = Rule::must(
    "bot/requests/json",
    "Graph API: request body; RFC 9110 section 8.3",
    "A body is a JSON object, and its Content-Type says application/json.",
);
const MEMBERS: Rule = Rule::must(
    "bot/requests/members",
    "Graph API: the metadata of v1.0",
    "A body has the members that the action needs, of their types and within their limits.",
);
const KNOWN: Rule = Rule::must(
    "bot/requests/known",
    "Graph API: cloud communications, v1.0 and beta",
    "Every request is for something that the API has.",
);
const ACCEPTED: Rule = Rule::must(
    "bot/requests/accepted",
    "Graph API: cloud communications",
    "In a call in which nothing goes wrong, the platform refuses none of the bot's requests.",
);
const STATE: Rule = Rule::must(
    "bot/requests/when-established",
    "Graph API: call: playPrompt, subscribeToTone",
    "What works on the media of a call is asked for once the bot was told that the call stands.",
);
const CONTEXT: Rule = Rule::should(
    "bot/requests/client-context",
    "Graph API: commsOperation, clientContext",
    "Every operation carries a clientContext of its own, of at most 256 characters.",
);
const REQUEST_ID: Rule = Rule::should(
    "bot/requests/client-request-id",
    "Graph API: best practices",
    "Every request carries a client-request-id of its own, a GUID.",
);
const REUSED: Rule = Rule::should(
    "bot/requests/token-reused",
    "OAuth 2.0: RFC 6749 section 5.1 (expires_in)",
    "A token is used until it expires, and not asked for again for each request.",
);
const QUIET: Rule = Rule::should(
    "bot/requests/no-polling",
    "Graph API: throttling",
    "A bot is told what happens and does not ask for it again and again.",
);
const HOST: Rule = Rule::should(
    "bot/requests/one-version",
    "Graph API: versioning",
    "A bot stays with one version of the API in a call.",
);

pub(super) fn cases(profile: &Profile) -> Vec<Case> {
    type Judge = fn(&Seen<'_>) -> Outcome;
    let first: [(&str, &str, &[Rule], Judge); 4] = [
        ("token", "requests carry the bot's token", &[TOKEN], token),
        ("json", "bodies are JSON, and say so", &[JSON], json),
        ("members", "bodies have what their action needs", &[MEMBERS], members_are_right),
        ("known", "requests are for something that the API has", &[KNOWN], known),
    ];
    let later: [(&str, &str, &[Rule], Judge); 7] = [
        ("accepted", "nothing is refused where nothing goes wrong", &[ACCEPTED], accepted),
        ("state", "media is worked on once the call stands", &[STATE], state),
        ("client-context", "operations can be told apart", &[CONTEXT], context),
        ("client-request-id", "requests can be told apart", &[REQUEST_ID], request_id),
        ("token-reused", "one token is used for many requests", &[REUSED], reused),
        ("no-polling", "the bot does not poll", &[QUIET], quiet),
        ("one-version", "one version of the API is used", &[HOST], one_version),
    ];
    let make = |(name, title, rules, judge): (&str, &str, &[Rule], Judge)| {
        Case::new(format!("bot/requests/{name}"), title, rules, profile.contact(), judge)
    };
    let first = first.map(make).map(|case| case.after(&["bot/notifications/taken"]));
    let later = later.map(make).map(|case| case.after(CALL_STANDS));
    first.into_iter().chain(later).collect()
}

fn body_of(ask: &Ask<'_>) -> Option<Value> {
    serde_json::from_slice(&ask.asked.request.body).ok()
}

fn named(ask: &Ask<'_>) -> String {
    let request = &ask.asked.request;
    format!("{} {}", request.method, crate::app::hosted::path_of(&request.uri))
}

fn any(seen: &Seen<'_>) -> Option<Outcome> {
    let none = seen.transcript.calls_asks().next().is_none();
    none.then(|| Outcome::NotJudged("the bot asked for nothing".to_owned()))
}

fn token(seen: &Seen<'_>) -> Outcome {
    if let Some(nothing) = any(seen) {
        return nothing;
    }
    let refused = |ask: &Ask<'_>| {
        let unknown = ask.answer.is_some_and(|(_, answered)| answered.response.status == 401);
        ask.asked.request.bearer().is_none() || unknown
    };
    let wrong = seen.transcript.calls_asks().find(refused);
    judged(wrong.map(|ask| {
        let actual = match ask.asked.request.bearer() {
            None => format!("{}: no bearer token", named(&ask)),
            Some(_) => format!("{}: a token that the platform does not take", named(&ask)),
        };
        seen.broken(&TOKEN, ask.at, "Authorization: Bearer, with a token of the platform's", actual)
    }))
}

fn json(seen: &Seen<'_>) -> Outcome {
    if let Some(nothing) = any(seen) {
        return nothing;
    }
    let wrong = seen.transcript.calls_asks().find_map(|ask| {
        let request = &ask.asked.request;
        if request.body.is_empty() {
            return None;
        }
        let kind = request.header("Content-Type").unwrap_or_default().to_ascii_lowercase();
        if !kind.starts_with("application/json") {
            let actual = if kind.is_empty() { "no Content-Type".to_owned() } else { kind };
            return Some((ask, actual));
        }
        let object = body_of(&ask).is_some_and(|body| body.is_object());
        (!object).then(|| (ask, "a body that is no JSON object".to_owned()))
    });
    judged(wrong.map(|(ask, actual)| {
        let actual = format!("{}: {actual}", named(&ask));
        seen.broken(&JSON, ask.at, "a JSON object, sent as application/json", actual)
    }))
}

fn members_are_right(seen: &Seen<'_>) -> Outcome {
    if let Some(nothing) = any(seen) {
        return nothing;
    }
    let wrong = seen.transcript.calls_asks().find_map(|ask| {
        let body = match ask.asked.request.body.is_empty() {
            true => Value::Object(serde_json::Map::new()),
            // What is no JSON is another case's matter.
            false => body_of(&ask)?,
        };
        members::fault(ask.asked.action, &body).map(|(expected, actual)| (ask, expected, actual))
    });
    judged(wrong.map(|(ask, expected, actual)| {
        seen.broken(&MEMBERS, ask.at, expected, format!("{}: {actual}", named(&ask)))
    }))
}

fn known(seen: &Seen<'_>) -> Outcome {
    if let Some(nothing) = any(seen) {
        return nothing;
    }
    let wrong = seen.transcript.calls_asks().find(|ask| {
        let status = ask.answer.map_or(0, |(_, answered)| answered.response.status);
        status == 405 || status == 501 || (status >= 400 && ask.asked.action == "other")
    });
    judged(wrong.map(|ask| seen.broken(&KNOWN, ask.at, "a request of the API", named(&ask))))
}

fn accepted(seen: &Seen<'_>) -> Outcome {
    // A call may end while a request is on its way: it is then refused by nobody's fault.
    let over =
        seen.transcript.person(|does| matches!(does, super::super::transcript::Person::HangsUp));
    let refused = seen.transcript.calls_asks().find(|ask| {
        let status = ask.answer.map_or(200, |(_, answered)| answered.response.status);
        (400..500).contains(&status) && over.is_none_or(|over| ask.at < over)
    });
    judged(refused.and_then(|ask| Some((ask, ask.answer?))).map(|(ask, (at, answered))| {
        let body: Value = serde_json::from_slice(&answered.response.body).unwrap_or_default();
        let message = body["error"]["message"].as_str().unwrap_or_default();
        let actual = format!("{}: {} {message}", named(&ask), answered.response.status);
        seen.broken(&ACCEPTED, at, "a 2xx status", actual)
    }))
}

/// So many requests no call needs.
const FLOOD: usize = 300;

/// Actions that begin an operation on the media of a call.
const ON_MEDIA: [&str; 4] = ["playPrompt", "recordResponse", "subscribeToTone", "sendDtmfTones"];

fn state(seen: &Seen<'_>) -> Outcome {
    let stood = [Kind::Established, Kind::MediaActive]
        .iter()
        .filter_map(|kind| seen.transcript.first_told(kind))
        .map(|told| told.at)
        .min();
    let early = seen.transcript.calls_asks().find(|ask| {
        ON_MEDIA.contains(&ask.asked.action) && stood.is_none_or(|stood| ask.at < stood)
    });
    judged(early.map(|ask| {
        seen.broken(&STATE, ask.at, "after the bot was told `established`", named(&ask))
    }))
}

fn context(seen: &Seen<'_>) -> Outcome {
    let mut known = BTreeSet::new();
    let wrong = seen.transcript.calls_asks().find_map(|ask| {
        if !ON_MEDIA.contains(&ask.asked.action) {
            return None;
        }
        let body = body_of(&ask)?;
        match body["clientContext"].as_str() {
            None | Some("") => Some((ask, "none".to_owned())),
            Some(text) if text.chars().count() > 256 => {
                Some((ask, format!("{} characters", text.chars().count())))
            }
            Some(text) if !known.insert(text.to_owned()) => {
                Some((ask, format!("{text:?} a second time")))
            }
            Some(_) => None,
        }
    });
    judged(wrong.map(|(ask, actual)| {
        let actual = format!("{}: {actual}", named(&ask));
        seen.broken(&CONTEXT, ask.at, "a clientContext of its own", actual)
    }))
}

fn request_id(seen: &Seen<'_>) -> Outcome {
    let mut known = BTreeSet::new();
    let wrong = seen.transcript.calls_asks().find_map(|ask| {
        match ask.asked.request.header("client-request-id") {
            None => Some((ask, "none".to_owned())),
            Some(id) if callrig_signaling::id::LegId::parse(id).is_none() => {
                Some((ask, format!("{id:?}, which is no GUID")))
            }
            Some(id) if !known.insert(id.to_owned()) => Some((ask, format!("{id} a second time"))),
            Some(_) => None,
        }
    });
    judged(wrong.map(|(ask, actual)| {
        let actual = format!("{}: {actual}", named(&ask));
        seen.broken(&REQUEST_ID, ask.at, "a GUID of its own", actual)
    }))
}

fn reused(seen: &Seen<'_>) -> Outcome {
    let third = seen.transcript.asks_for("token").nth(2);
    judged(third.map(|ask| {
        let count = seen.transcript.asks_for("token").count();
        let actual = format!("{count} requests for a token in one call");
        seen.broken(&REUSED, ask.at, "one request for a token, or two", actual)
    }))
}

fn quiet(seen: &Seen<'_>) -> Outcome {
    if let Some(last) = seen.transcript.calls_asks().nth(FLOOD) {
        let count = seen.transcript.calls_asks().count();
        let more = seen.transcript.left_out;
        let actual = format!("{count} requests, and {more} things that found no room here");
        let expected = format!("no more than {FLOOD} requests in a call");
        return judged(Some(seen.broken(&QUIET, last.at, expected, actual)));
    }
    let reads: Vec<Ask<'_>> = seen
        .transcript
        .calls_asks()
        .filter(|ask| matches!(ask.asked.action, "get" | "listParticipants" | "operations"))
        .collect();
    let busy = reads.windows(5).find(|five| {
        let (first, last) = (five.first(), five.last());
        matches!((first, last), (Some(a), Some(b)) if b.at.since(a.at) < seconds(5))
    });
    judged(busy.and_then(|five| five.last()).map(|ask| {
        let actual = format!("{} requests to read, five of them within 5 s", reads.len());
        seen.broken(&QUIET, ask.at, "no more than four requests to read in 5 s", actual)
    }))
}

fn one_version(seen: &Seen<'_>) -> Outcome {
    let version = |ask: &Ask<'_>| {
        let path = crate::app::hosted::path_of(&ask.asked.request.uri);
        path.split('/').nth(1).unwrap_or_default().to_ascii_lowercase()
    };
    let Some(first) = seen.transcript.calls_asks().next() else {
        return Outcome::NotJudged("the bot asked for nothing".to_owned());
    };
    let usual = version(&first);
    let other = seen.transcript.calls_asks().find(|ask| version(ask) != usual);
    judged(other.map(|ask| seen.broken(&HOST, ask.at, format!("/{usual} throughout"), named(&ask))))
}
