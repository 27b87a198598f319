//! Recording by policy: when somebody joins a call that a bot records, the platform asks
//! the bot in a notification of its own, whose answer says what is to become of them.

use core::time::Duration;

use callrig_media::time::Instant;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Bot, Event, Output, Timer};
use crate::graph::{self, RejectReason, same_type};
use crate::http::{Headers, Request, RequestId, Response};

/// How long somebody waits for the owner's word before they are let in.
const WORD_WITHIN: Duration = Duration::from_secs(4);

/// How many wait at once; more are let in.
const WAITING_MAX: usize = 64;

/// What a bot does when somebody joins a call that it records by policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Joining {
    /// It records them too.
    #[default]
    Accept,
    /// It asks its owner ([`Event::Joining`]), who has four seconds; then as above.
    Ask,
}

/// What becomes of somebody who joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinReply {
    /// The bot records them too, in this call.
    Accept,
    /// They are not recorded by this bot.
    Reject(RejectReason),
    /// Another instance of the bot is to be called for them.
    InviteNewBot(String),
}

impl JoinReply {
    fn body(&self) -> Value {
        match self {
            Self::Accept => json!({"@odata.type": "#microsoft.graph.acceptJoinResponse"}),
            Self::Reject(reason) => json!({
                "@odata.type": "#microsoft.graph.rejectJoinResponse",
                "reason": reason.as_str(),
            }),
            Self::InviteNewBot(uri) => json!({
                "@odata.type": "#microsoft.graph.inviteNewBotResponse",
                "inviteUri": uri,
            }),
        }
    }
}

/// Such a notification; it stands alone, or as the only item of an envelope.
#[derive(Deserialize)]
struct Notification {
    #[serde(rename = "@odata.type", default)]
    odata_type: String,
    call: Option<graph::Call>,
    #[serde(rename = "participantId")]
    participant: Option<String>,
}

impl Bot {
    /// Whether this is a notification of recording by policy, which is then taken.
    pub(super) fn take_policy(&mut self, now: Instant, request: &Request) -> bool {
        // They are few: what does not name them is not looked at twice.
        let names = |name: &[u8]| request.body.windows(name.len()).any(|part| part == name);
        if !names(b"participantJoining") && !names(b"participantLeft") {
            return false;
        }
        let Ok(mut value) = graph::parse::<Value>(&request.body) else { return false };
        if let Some([item]) =
            value.get_mut("value").and_then(Value::as_array_mut).map(|v| &mut v[..])
        {
            let item = item.take();
            value = match item.get("resourceData") {
                Some(data) if data.get("@odata.type").is_some_and(is_policy) => data.clone(),
                _ => item,
            };
        }
        let Ok(notification) = serde_json::from_value::<Notification>(value) else { return false };
        let details = Box::new(notification.call.unwrap_or_default());
        if same_type(&notification.odata_type, "participantLeftNotification") {
            self.outputs.push_back(Output::Response(Response::empty(request.id, 202)));
            let participant = notification.participant.unwrap_or_default();
            self.say(Event::Left { details, participant });
            return true;
        }
        if !same_type(&notification.odata_type, "participantJoiningNotification") {
            return false;
        }
        let named = request.header("Scenario-Id").map(|id| ("Scenario-Id", id));
        let headers: Headers = named.into_iter().collect();
        self.joining.insert(request.id, headers);
        if self.config.joining == Joining::Accept || self.joining.len() > WAITING_MAX {
            self.reply_joining(now, request.id, &JoinReply::Accept);
        } else {
            self.timers.set(Timer::Joining(request.id), now + WORD_WITHIN);
            self.say(Event::Joining { request: request.id, details });
        }
        true
    }

    /// Answers [`Event::Joining`]; `false` if that was answered before, or too late.
    pub fn reply_joining(&mut self, _now: Instant, request: RequestId, reply: &JoinReply) -> bool {
        self.timers.cancel(Timer::Joining(request));
        let Some(mut headers) = self.joining.remove(&request) else { return false };
        headers.push("Content-Type", "application/json");
        let body = reply.body().to_string().into();
        let response = Response { headers, body, ..Response::empty(request, 200) };
        self.outputs.push_back(Output::Response(response));
        true
    }
}

fn is_policy(name: &Value) -> bool {
    let name = name.as_str().unwrap_or_default();
    same_type(name, "participantJoiningNotification")
        || same_type(name, "participantLeftNotification")
}
