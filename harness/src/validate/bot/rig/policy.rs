//! A meeting whose people are recorded by policy: it is made as an app would make it, at the
//! platform's own API, before the bot hears of anything.

use callrig_media::time::Instant;
use callrig_signaling::exchange;
use callrig_signaling::http::{Headers, Method, Request, RequestId, Response};
use callrig_signaling::id::{AppId, UserId};
use callrig_signaling::service::Destination;
use serde_json::Value;

use super::{ANN, BEN, Does, Rig, TENANT};

/// Numbers of requests that nobody outside made.
const INSIDE: u64 = 1 << 60;

impl Rig {
    /// Ann, whom the bot records by policy, comes into a meeting in which Ben is.
    pub(super) fn meet(&mut self, now: Instant) {
        self.began = true;
        self.service.set_recording_policy(UserId::new(ANN), Some(AppId::new(&self.setup.app)));
        let Some(meeting) = self.make_meeting(now) else {
            self.written().fault = Some("no meeting could be made".to_owned());
            return;
        };
        for (who, user) in [(1, BEN), (0, ANN)] {
            let offer = self.people[who].offer().clone();
            let place = Destination::Meeting(meeting.clone());
            match self.service.join(now, &UserId::new(user), &place, offer) {
                Ok(arrival) => self.people[who].leg = Some(arrival.leg),
                Err(error) => self.person(now, who, Does::Failed(error.to_string())),
            }
        }
    }

    fn make_meeting(&mut self, now: Instant) -> Option<String> {
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default",
            self.setup.app, self.setup.secret
        );
        let kind = "application/x-www-form-urlencoded";
        let path = format!("/{TENANT}/oauth2/v2.0/token");
        let token = self.inside(now, &path, ("Content-Type", kind), form)?;
        let bearer = format!("Bearer {}", token["access_token"].as_str()?);
        let path = format!("/v1.0/users/{BEN}/onlineMeetings");
        let body = "{\"subject\": \"recorded\"}".to_owned();
        let meeting = self.inside(now, &path, ("Authorization", &bearer), body)?;
        Some(meeting["id"].as_str()?.to_owned())
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
