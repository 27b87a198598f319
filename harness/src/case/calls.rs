//! What crossed between the platform and the bot over HTTP, against the rules of the calls
//! API: answers in time, notifications in order, operations that end once, and no media
//! without a call. Everything is read from requests and responses, as with a stranger's bot.

use callrig_media::time::Instant;
use callrig_reports::Finding;
use callrig_signaling::http::Method;
use serde_json::Value;

use super::rule::{Rule, requirements};
use super::view;
use super::{Case, Evidence, Judgement};
use crate::measure::arrivals;
use crate::network::Network;
use crate::stage::Stage;
use crate::subject::Subject;
use crate::trace::{Asked, What};

/// All cases of this file.
pub const CASES: &[Case] = &[
    Case {
        id: "calls/media/arrives",
        title: "what a person sends reaches the bot that answered",
        requirements: || requirements(&[MEDIA_ARRIVES]),
        stage: Stage::Listen,
        applies: |_, _| true,
        judge: media_arrives,
    },
    Case {
        id: "calls/answer/answered-within-15-seconds",
        title: "the bot answers, rejects or redirects an incoming call in time",
        requirements: || requirements(&[ANSWERED]),
        stage: Stage::Listen,
        applies: once,
        judge: answered,
    },
    Case {
        id: "calls/notifications/in-order",
        title: "notifications of a call come one at a time and in the order of its states",
        requirements: || requirements(&[STATES, ONE_AT_A_TIME, ACTIVE, DELETED_LAST]),
        stage: Stage::Menu,
        applies: once,
        judge: in_order,
    },
    Case {
        id: "calls/notifications/envelope",
        title: "notifications have the shape that bots' libraries read",
        requirements: || requirements(&[ENVELOPE, RESOURCE, TAKEN]),
        stage: Stage::Menu,
        applies: once,
        judge: envelope,
    },
    Case {
        id: "calls/operations/end-once",
        title: "every operation that was accepted is completed exactly once",
        requirements: || requirements(&[COMPLETED_ONCE, LOCATION]),
        stage: Stage::Menu,
        applies: once,
        judge: operations,
    },
    Case {
        id: "calls/media/only-within-a-call",
        title: "no media flows before a call is answered or after it has ended",
        requirements: || requirements(&[MEDIA_WITHIN]),
        stage: Stage::Listen,
        applies: once,
        judge: media_within,
    },
    Case {
        id: "calls/hang-up/result",
        title: "a call that ends says how",
        requirements: || requirements(&[RESULT]),
        stage: Stage::Listen,
        applies: once,
        judge: result,
    },
];

const MEDIA_ARRIVES: Rule = Rule::must(
    "calls/media/arrives",
    "Graph API: application-hosted media",
    "Once a call is established, the bot receives the caller's media.",
);
const ANSWERED: Rule = Rule::must(
    "calls/answer/within-15-seconds",
    "Graph API: call: answer",
    "An incoming call is answered, rejected or redirected within 15 seconds of its notification.",
);
const STATES: Rule = Rule::must(
    "calls/notifications/states-in-order",
    "Graph API: call resource, callState",
    "A call that was answered goes from establishing to established and ends terminated, and never back.",
);
const ONE_AT_A_TIME: Rule = Rule::must(
    "calls/notifications/one-at-a-time",
    "this project",
    "A notification of a call is sent only after the one before it was taken or given up.",
);
const ACTIVE: Rule = Rule::must(
    "calls/notifications/media-active",
    "Graph API: call resource, mediaState",
    "After it is established, a call says once that its audio is active, which is when prompts may be played.",
);
const DELETED_LAST: Rule = Rule::must(
    "calls/notifications/nothing-after-deletion",
    "Graph API: commsNotification, changeType",
    "Nothing is said about a call after the notification that it was deleted.",
);
const ENVELOPE: Rule = Rule::must(
    "calls/notifications/envelope",
    "Graph API: commsNotifications",
    "A notification is JSON: an envelope of type commsNotifications with a list of commsNotification.",
);
const RESOURCE: Rule = Rule::must(
    "calls/notifications/resource",
    "Graph API: commsNotification",
    "Each item names its change, the resource it is about, and carries that resource with its id.",
);
const TAKEN: Rule = Rule::must(
    "calls/notifications/taken",
    "Graph API: receiving calling notifications",
    "A bot takes a notification with a 2xx status, or sends it elsewhere with 302 or 307.",
);
const COMPLETED_ONCE: Rule = Rule::must(
    "calls/operations/completed-once",
    "Graph API: commsOperation",
    "An operation that was answered as running is notified as completed or failed, exactly once.",
);
const LOCATION: Rule = Rule::must(
    "calls/operations/location",
    "Graph API: call: playPrompt and its siblings",
    "An accepted operation is answered with its Location.",
);
const MEDIA_WITHIN: Rule = Rule::must(
    "calls/media/only-within-a-call",
    "Graph API: call: answer, delete",
    "The platform relays media only between the answer to a call and its end.",
);
const RESULT: Rule = Rule::must(
    "calls/hang-up/result-info",
    "Graph API: call resource, resultInfo",
    "The last notification of a call says in resultInfo why it ended, with a code of 2xx when somebody hung up.",
);

/// The rules of calls do not depend on what is said in them: one network is enough.
fn once(_: &Subject, network: &Network) -> bool {
    network.name == "clean"
}

/// A notification as it crossed: when, its number in the trace, its body.
struct Notification<'a> {
    at: Instant,
    asked: &'a Asked,
    body: Option<Value>,
}

impl Notification<'_> {
    fn items(&self) -> impl Iterator<Item = &Value> {
        let list = self.body.as_ref().and_then(|body| body["value"].as_array());
        list.into_iter().flatten()
    }
}

/// Requests of the platform to the bot.
fn notifications<'a>(evidence: &Evidence<'a>) -> Vec<Notification<'a>> {
    let cast = evidence.cast;
    let mut list = Vec::new();
    for fact in evidence.trace.facts() {
        if let What::Asked(asked) = &fact.what
            && asked.from == cast.platform
            && asked.to == Some(cast.bot)
            && asked.request.method == Method::Post
        {
            let body = serde_json::from_slice(&asked.request.body).ok();
            list.push(Notification { at: fact.at, asked, body });
        }
    }
    list
}

/// When and with what a request was answered.
fn response<'a>(
    evidence: &Evidence<'a>,
    asked: &Asked,
) -> Option<(Instant, &'a callrig_signaling::http::Response)> {
    evidence.trace.facts().iter().find_map(|fact| match &fact.what {
        What::Answered(answered)
            if answered.from == asked.to?
                && answered.to == asked.from
                && answered.response.id == asked.request.id =>
        {
            Some((fact.at, &answered.response))
        }
        _ => None,
    })
}

/// Requests of the bot to the platform.
fn requests<'a>(evidence: &Evidence<'a>) -> impl Iterator<Item = (Instant, &'a Asked)> {
    let cast = evidence.cast;
    evidence.trace.facts().iter().filter_map(move |fact| match &fact.what {
        What::Asked(asked) if asked.from == cast.bot && asked.to == Some(cast.platform) => {
            Some((fact.at, &**asked))
        }
        _ => None,
    })
}

fn is_action(asked: &Asked, names: &[&str]) -> bool {
    let path = asked.request.uri.split(['?', '#']).next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    let last = last.rsplit('.').next().unwrap_or_default();
    names.iter().any(|name| last.eq_ignore_ascii_case(name))
}

fn seconds(from: Instant, to: Instant) -> f64 {
    to.since(from).as_secs_f64()
}

fn media_arrives(evidence: &Evidence<'_>) -> Judgement {
    let cast = evidence.cast;
    let mut judgement = Judgement::default();
    let reached = arrivals::between(evidence.trace, cast.user, cast.platform);
    let relayed = arrivals::sent(evidence.trace, cast.platform, cast.bot);
    let payable =
        reached.iter().any(|packet| view::codec(evidence.subject, packet.payload_type).is_some());
    if payable && relayed.is_empty() && view::is_regular(evidence.subject) {
        judgement.findings.push(MEDIA_ARRIVES.broken(
            format!("some of {} packets that reached the platform", reached.len()),
            "none",
        ));
    }
    judgement
}

fn answered(evidence: &Evidence<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    let incoming = notifications(evidence).into_iter().find(|notification| {
        notification.items().any(|item| item["resourceData"]["state"] == "incoming")
    });
    let Some(incoming) = incoming else {
        return Judgement::error("the bot was never told of an incoming call");
    };
    let reaction =
        requests(evidence).find(|(_, asked)| is_action(asked, &["answer", "reject", "redirect"]));
    match reaction {
        Some((at, _)) if seconds(incoming.at, at) <= 15.0 => {}
        Some((at, asked)) => judgement.findings.push(
            ANSWERED
                .broken("within 15 s", format!("after {:.3} s", seconds(incoming.at, at)))
                .with_evidence([transcript(asked)]),
        ),
        None => judgement.findings.push(
            ANSWERED
                .broken("answer, reject or redirect", "none of them")
                .with_evidence([transcript(incoming.asked)]),
        ),
    }
    judgement
}

fn transcript(asked: &Asked) -> String {
    let request = &asked.request;
    let body = String::from_utf8_lossy(&request.body);
    let body: String = body.chars().take(600).collect();
    format!("{} {} {body}", request.method, request.uri)
}

/// What [`rank`] says of a call whose sides are joined.
const ESTABLISHED: u8 = 2;

/// Where a state stands in the life of a call; `None` for those that may come at any time.
fn rank(state: &str) -> Option<u8> {
    Some(match state {
        "incoming" => 0,
        "establishing" | "ringing" | "redirecting" => 1,
        "established" | "hold" | "transferring" | "transferAccepted" => 2,
        "terminating" => 3,
        "terminated" => 4,
        _ => return None,
    })
}

fn in_order(evidence: &Evidence<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    let list = notifications(evidence);
    let (mut highest, mut active, mut deleted) = (0u8, 0u32, false);
    for notification in &list {
        for item in notification.items() {
            if deleted {
                judgement.findings.push(
                    DELETED_LAST
                        .broken("silence after the deletion", "another notification")
                        .with_evidence([transcript(notification.asked)]),
                );
            }
            if !is_about_call(item) {
                continue;
            }
            let data = &item["resourceData"];
            let is_active =
                data["mediaState"]["audio"] == "active" && data.get("toneInfo").is_none();
            if is_active && highest < ESTABLISHED {
                judgement.findings.push(
                    ACTIVE
                        .broken("a call that was said to be established", "one that was not yet")
                        .with_evidence([transcript(notification.asked)]),
                );
            }
            if let Some(now) = data["state"].as_str().and_then(rank) {
                if now < highest {
                    judgement.findings.push(
                        STATES
                            .broken(
                                "states in the order of a call's life",
                                data["state"].to_string(),
                            )
                            .with_evidence([transcript(notification.asked)]),
                    );
                }
                highest = highest.max(now);
            }
            active += u32::from(is_active);
            deleted |= item["changeType"] == "deleted";
        }
    }
    if highest < 4 || !deleted {
        judgement.findings.push(STATES.broken("terminated, and deleted", "the call never ended"));
    }
    if active == 0 {
        judgement.findings.push(ACTIVE.broken("mediaState.audio: active", "never said"));
    }
    judgement.findings.extend(one_at_a_time(evidence, &list));
    judgement
}

fn one_at_a_time(evidence: &Evidence<'_>, list: &[Notification<'_>]) -> Option<Finding> {
    list.windows(2).find_map(|pair| {
        let taken = response(evidence, pair[0].asked).map(|(at, _)| at);
        taken.is_some_and(|taken| taken > pair[1].at).then(|| {
            ONE_AT_A_TIME
                .broken("the next one after the answer to the last", "it was sent before")
                .with_evidence([transcript(pair[0].asked), transcript(pair[1].asked)])
        })
    })
}

/// About the call itself, not its roster or operations.
fn is_about_call(item: &Value) -> bool {
    let resource = item["resourceUrl"].as_str().or_else(|| item["resource"].as_str());
    resource.is_some_and(|path| {
        let mut parts = path.trim_matches('/').rsplit('/');
        parts.next().is_some() && parts.next() == Some("calls")
    })
}

fn envelope(evidence: &Evidence<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    for notification in notifications(evidence) {
        let evidence_line = || [transcript(notification.asked)];
        let is_envelope = notification.body.as_ref().is_some_and(|body| {
            body["@odata.type"] == "#microsoft.graph.commsNotifications" && body["value"].is_array()
        });
        if !is_envelope {
            judgement.findings.push(
                ENVELOPE
                    .broken("#microsoft.graph.commsNotifications with a list", "something else")
                    .with_evidence(evidence_line()),
            );
        }
        for item in notification.items() {
            let change = item["changeType"].as_str().unwrap_or_default();
            let resource = item["resourceUrl"].as_str().unwrap_or_default();
            let data = &item["resourceData"];
            let identified = data.is_array() || data["id"].is_string();
            if !["created", "updated", "deleted"].contains(&change)
                || !resource.starts_with("/communications/calls/")
                || !identified
            {
                judgement.findings.push(
                    RESOURCE
                        .broken(
                            "changeType, resourceUrl and resourceData with an id",
                            item.to_string(),
                        )
                        .with_evidence(evidence_line()),
                );
            }
        }
        match response(evidence, notification.asked) {
            Some((_, response)) if matches!(response.status, 200..=299 | 302 | 307) => {}
            Some((_, response)) => judgement.findings.push(
                TAKEN
                    .broken("2xx, 302 or 307", response.status.to_string())
                    .with_evidence(evidence_line()),
            ),
            None => judgement
                .findings
                .push(TAKEN.broken("an answer", "none").with_evidence(evidence_line())),
        }
    }
    judgement
}

fn operations(evidence: &Evidence<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    let list = notifications(evidence);
    let ended = |id: &str| {
        list.iter()
            .flat_map(Notification::items)
            .filter(|item| {
                let data = &item["resourceData"];
                let over = ["completed", "failed"].iter().any(|word| {
                    data["status"].as_str().is_some_and(|it| it.eq_ignore_ascii_case(word))
                });
                over && data["id"] == id
            })
            .count()
    };
    for (_, asked) in requests(evidence) {
        if !is_action(asked, &["playPrompt", "recordResponse", "sendDtmfTones"]) {
            continue;
        }
        let Some((_, response)) = response(evidence, asked) else { continue };
        if !(200..300).contains(&response.status) {
            continue;
        }
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let id = body["id"].as_str().unwrap_or_default();
        let located = response.header("location").is_some_and(|value| value.contains(id));
        if id.is_empty() || !located {
            judgement.findings.push(
                LOCATION
                    .broken("Location with the operation's id", format!("{:?}", response.headers))
                    .with_evidence([transcript(asked)]),
            );
        }
        let times = ended(id);
        if times != 1 {
            judgement.findings.push(
                COMPLETED_ONCE
                    .broken("one completion", format!("{times}"))
                    .with_evidence([transcript(asked)]),
            );
        }
    }
    judgement
}

fn media_within(evidence: &Evidence<'_>) -> Judgement {
    let cast = evidence.cast;
    let mut judgement = Judgement::default();
    let answer = requests(evidence)
        .find(|(_, asked)| is_action(asked, &["answer"]))
        .and_then(|(_, asked)| response(evidence, asked))
        .map(|(at, _)| at);
    let deleted = notifications(evidence)
        .into_iter()
        .find(|one| one.items().any(|item| item["changeType"] == "deleted" && is_about_call(item)))
        .map(|one| one.at);
    let packets = arrivals::sent(evidence.trace, cast.platform, cast.bot);
    let early = packets.iter().filter(|packet| answer.is_none_or(|answer| packet.at < answer));
    let late = packets.iter().filter(|packet| deleted.is_some_and(|deleted| packet.at > deleted));
    let (early, late) = (early.count(), late.count());
    if early > 0 || late > 0 {
        judgement.findings.push(MEDIA_WITHIN.broken(
            "packets only between the answer and the end",
            format!("{early} before the answer, {late} after the end"),
        ));
    }
    judgement
}

fn result(evidence: &Evidence<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    let list = notifications(evidence);
    let last = list.iter().find_map(|one| {
        one.items().find(|item| item["changeType"] == "deleted" && is_about_call(item))
    });
    let Some(last) = last else {
        return Judgement::error("the bot was never told that the call had ended");
    };
    let info = &last["resourceData"]["resultInfo"];
    let code = info["code"].as_i64().unwrap_or(-1);
    if !(200..300).contains(&code) {
        judgement
            .findings
            .push(RESULT.broken("a code of 2xx: the person hung up", info.to_string()));
    }
    judgement
}
