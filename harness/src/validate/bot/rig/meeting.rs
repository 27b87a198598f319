//! Meetings: they are made as an app would make them, at the platform's own API, before the bot
//! hears of anything.

use core::time::Duration;

use callrig_media::time::Instant;
use callrig_signaling::exchange;
use callrig_signaling::http::{Headers, Method, Request, RequestId, Response};
use callrig_signaling::id::{AppId, UserId};
use callrig_signaling::service::Destination;
use serde_json::Value;

use super::super::script::Begins;
use super::{ANN, BEN, Does, Later, Rig, TENANT};

/// People have come before the bot is asked.
const ASKED_AFTER: Duration = Duration::from_millis(300);
/// Numbers of requests that nobody outside made.
const INSIDE: u64 = 1 << 60;

impl Rig {
    /// Ann, whom the bot records by policy, comes into a meeting in which Ben is.
    pub(super) fn meet(&mut self, now: Instant) {
        self.began = true;
        self.service.set_recording_policy(UserId::new(ANN), Some(AppId::new(&self.setup.app)));
        self.convene(now);
    }

    /// Ann and Ben come into a meeting, and the bot is asked to come, too.
    pub(super) fn gather(&mut self, now: Instant) {
        let Begins::Meeting { path, body } = self.script.begins.clone() else { return };
        let Some(meeting) = self.convene(now) else { return };
        let number = &meeting["joinMeetingIdSettings"];
        let words = [
            ("{link}", &meeting["joinWebUrl"]),
            ("{thread}", &meeting["chatInfo"]["threadId"]),
            ("{organizer}", &meeting["participants"]["organizer"]["identity"]["user"]["id"]),
            ("{number}", &number["joinMeetingId"]),
            ("{passcode}", &number["passcode"]),
        ];
        let mut body = body.replace("{tenant}", TENANT);
        for (name, value) in words {
            // As it stands inside of a JSON string.
            let text = Value::from(value.as_str().unwrap_or_default()).to_string();
            body = body.replace(name, text.trim_matches('"'));
        }
        let request = self.ask_of_bot(&path, &body);
        self.put(now + ASKED_AFTER, Later::Send(request, None, Some("asked by somebody")));
    }

    /// A meeting with Ben, who organises it, and Ann.
    fn convene(&mut self, now: Instant) -> Option<Value> {
        let Some(meeting) = self.make_meeting(now) else {
            self.written().fault = Some("no meeting could be made".to_owned());
            return None;
        };
        let place = Destination::Meeting(meeting["id"].as_str().unwrap_or_default().to_owned());
        for (who, user) in [(1, BEN), (0, ANN)] {
            self.enter(now, who, user, &place);
        }
        // Whom the lobby keeps is let in: only the bot waits.
        if let Some(leg) = self.people[0].leg {
            let _ = self.service.admit(now, leg);
        }
        Some(meeting)
    }

    fn enter(&mut self, now: Instant, who: usize, user: &str, place: &Destination) {
        let offer = self.people[who].offer().clone();
        match self.service.join(now, &UserId::new(user), place, offer) {
            Ok(arrival) => self.people[who].leg = Some(arrival.leg),
            Err(error) => self.person(now, who, Does::Failed(error.to_string())),
        }
    }

    /// Ben comes into the conference that the bot is in, if he is not there.
    pub(super) fn ben_comes(&mut self, now: Instant) {
        if let Some(call) = self.call.filter(|_| self.people[1].leg.is_none()) {
            self.enter(now, 1, BEN, &Destination::Call(call));
        }
    }

    /// The bot, which waits in the lobby, is let in, or turned away.
    pub(super) fn open_door(&mut self, now: Instant, opens: bool) {
        let line = self.call.and_then(|call| self.service.call_line(call));
        // A bot that did not come, or is gone again, is another case's matter.
        let Some(line) = line else { return };
        let _ = match opens {
            true => self.service.admit(now, line.leg),
            false => self.service.refuse(now, line.leg),
        };
    }

    fn make_meeting(&mut self, now: Instant) -> Option<Value> {
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default",
            self.setup.app, self.setup.secret
        );
        let kind = "application/x-www-form-urlencoded";
        let path = format!("/{TENANT}/oauth2/v2.0/token");
        let token = self.inside(now, &path, ("Content-Type", kind), form)?;
        let bearer = format!("Bearer {}", token["access_token"].as_str()?);
        let path = format!("/v1.0/users/{BEN}/onlineMeetings");
        let mut body = serde_json::json!({
            "subject": "validation",
            "joinMeetingIdSettings": { "isPasscodeRequired": true },
        });
        if self.script.platform.lobby {
            body["lobbyBypassSettings"] = serde_json::json!({ "scope": "organizer" });
        }
        self.inside(now, &path, ("Authorization", &bearer), body.to_string())
    }

    /// A request that nobody outside made, and the JSON of its answer.
    fn inside(
        &mut self,
        now: Instant,
        path: &str,
        header: (&str, &str),
        body: String,
    ) -> Option<Value> {
        let id = RequestId(INSIDE + self.next_number());
        let mut headers = Headers::from([header]);
        if header.0 != "Content-Type" {
            headers.push("Content-Type", "application/json");
        }
        let uri = format!("{}{path}", self.setup.base);
        let request = Request { id, method: Method::Post, uri, headers, body: body.into() };
        self.service.handle_input(now, exchange::Input::Request(request));
        let mut answer: Option<Response> = None;
        while let Some(output) = self.service.poll_output() {
            match output {
                exchange::Output::Response(response) if response.id == id => {
                    answer = Some(response);
                }
                other => self.carry_out(now, other),
            }
        }
        let answer = answer.filter(Response::is_success)?;
        serde_json::from_slice(&answer.body).ok()
    }
}
