//! What crosses the desk between the platform and the bot, and what goes wrong there by
//! the script's will.

use callrig_media::time::Instant;
use callrig_signaling::exchange;
use callrig_signaling::http::{Failure, Headers, Method, Request, RequestId, Response};
use core::time::Duration;
use serde_json::json;

use super::super::script::{How, On, Token};
use super::super::transcript::{Kind, Replied, What, kinds_of};
use super::{ANN, Count, Later, Rig, TENANT, forge, post};
use crate::validate::bot::script::Post;

/// What becomes of the platform's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerFate {
    Goes,
    Late(Duration, &'static str),
    Lost,
}

/// What becomes of a request of the bot.
pub(super) enum Trouble {
    Instead(Response, &'static str),
    Answer(AnswerFate),
}

impl Rig {
    /// The troubles that strike this, each counted.
    fn struck(&mut self, is_meant: impl Fn(On, &How) -> bool) -> Vec<(How, &'static str)> {
        let mut struck = Vec::new();
        for (trouble, count) in self.script.troubles.iter().zip(&mut self.troubled) {
            if !is_meant(trouble.on, &trouble.how) {
                continue;
            }
            *count += 1;
            let strikes = trouble
                .nth
                .is_none_or(|nth| (nth..nth.saturating_add(trouble.times)).contains(count));
            if strikes {
                struck.push((trouble.how.clone(), trouble.name));
            }
        }
        struck
    }

    /// Whether the reply to a notification about this is to be lost.
    pub(super) fn loses_reply(&mut self, kinds: &[Kind]) -> bool {
        let struck = self.struck(|on, how| matches!(how, How::ReplyLost) && is_about(on, kinds));
        !struck.is_empty()
    }

    /// What is to become of a request of the bot.
    pub(super) fn trouble_of(&mut self, action: &'static str) -> Trouble {
        let about_calls = !matches!(action, "token" | "metadata" | "keys");
        let struck = self.struck(|on, _| match on {
            On::Asked(name) => name == action,
            On::AnyAsked => about_calls,
            On::Told(_) | On::AnyTold => false,
        });
        match struck.into_iter().next() {
            Some((How::Answer { status, header, code }, name)) => {
                Trouble::Instead(instead(status, header, code), name)
            }
            Some((How::AnswerLost, _)) => Trouble::Answer(AnswerFate::Lost),
            Some((How::AnswerLate(after), name)) => Trouble::Answer(AnswerFate::Late(after, name)),
            _ => Trouble::Answer(AnswerFate::Goes),
        }
    }

    /// The platform wants to tell the bot something, or fetch something from it.
    pub(super) fn deliver(&mut self, now: Instant, request: Request) {
        let service = Some(request.id);
        if request.method != Method::Post {
            return self.send(now, request, service, None);
        }
        let kinds = kinds_of(&request);
        let struck = self
            .struck(|on, how| matches!(how, How::Late(_) | How::Again(_)) && is_about(on, &kinds));
        let mut late = None;
        for (how, name) in struck {
            match how {
                How::Late(after) => late = Some(after),
                How::Again(after) => {
                    let copy = request.clone();
                    self.put(now + after, Later::Send(copy, None, Some(name)));
                }
                _ => {}
            }
        }
        match late {
            Some(after) => self.put(now + after, Later::Send(request, service, None)),
            None => self.send(now, request, service, None),
        }
    }

    /// The platform answers the bot.
    pub(super) fn respond(&mut self, now: Instant, mut response: Response) {
        let Some(incoming) = self.incoming.remove(&response.id) else { return };
        response.id = incoming.outside;
        match incoming.answer {
            AnswerFate::Goes => self.answer(now, response, incoming.number, None),
            AnswerFate::Late(after, name) => {
                self.put(now + after, Later::Answer(response, incoming.number, Some(name)));
            }
            AnswerFate::Lost => {}
        }
    }

    /// The bot's reply to something, or the lack of one.
    pub(super) fn take_reply(
        &mut self,
        now: Instant,
        id: RequestId,
        outcome: Result<Response, String>,
    ) {
        let Some(outgoing) = self.outgoing.remove(&id) else { return };
        let kept = outcome.clone().map(|mut response| {
            response.body = response.body.slice(..response.body.len().min(super::BODY_BYTES_KEPT));
            response
        });
        let taken = outcome.as_ref().is_ok_and(Response::is_success);
        self.write(now, What::Replied(Replied { number: outgoing.number, outcome: kept }));
        if let Some(service) = outgoing.service {
            let input = match outcome {
                Ok(_) if outgoing.reply_lost => {
                    let reason = "the reply was lost on the way".to_owned();
                    exchange::Input::Failed(Failure { id: service, reason })
                }
                Ok(response) => exchange::Input::Response(Response { id: service, ..response }),
                Err(reason) => exchange::Input::Failed(Failure { id: service, reason }),
            };
            self.service.handle_input(now, input);
        }
        if taken && !outgoing.reply_lost {
            for kind in outgoing.kinds {
                self.count(now, Count::Told(kind));
            }
        }
    }

    /// Posts something that the platform would not.
    pub(super) fn post(&mut self, now: Instant, what: Post) {
        let unix = self.setup.epoch.ntp_at(now).since_unix().as_secs().cast_signed();
        let call = self.call.map(|call| call.to_string()).unwrap_or_default();
        // Of no rig: nobody ever answers for it.
        let unknown = format!("ffff0000-0000-4000-8000-{:012x}", self.numbers);
        let about = post::About {
            call: &call,
            unknown: &unknown,
            app: &self.setup.app,
            user: ANN,
            tenant: TENANT,
            callback: &self.setup.bot,
        };
        let body = about.write(what.body);
        let authorization = self.authorization(what.token, unix);
        let mut headers = Headers::from([
            ("Content-Type", "application/json"),
            ("User-Agent", "Microsoft-Skype/3.0,(Calling/1.0)"),
        ]);
        headers.extend(authorization.map(|value| ("Authorization", value)));
        let request = Request {
            id: RequestId(0),
            method: Method::Post,
            uri: self.setup.bot.clone(),
            headers,
            body,
        };
        self.send(now, request, None, Some(what.name));
    }

    fn authorization(&self, token: Token, unix: i64) -> Option<String> {
        let forge: &forge::Forge = &self.forge;
        forge.authorization(token, unix, &self.api_token)
    }

    /// Somebody asks the bot, over its own HTTP, to do something.
    pub(super) fn ask_of_bot(&self, path: &str, body: &str) -> Request {
        let host = self.setup.bot.split_once("://").map_or("", |(_, rest)| rest);
        let host = host.split('/').next().unwrap_or_default();
        let scheme = self.setup.bot.split("://").next().unwrap_or("https");
        Request {
            id: RequestId(0),
            method: Method::Post,
            uri: format!("{scheme}://{host}{path}"),
            headers: [("Content-Type", "application/json")].into(),
            body: body.to_owned().into(),
        }
    }
}

fn is_about(on: On, kinds: &[Kind]) -> bool {
    match on {
        On::Told(kind) => kinds.contains(&kind),
        On::AnyTold => true,
        On::Asked(_) | On::AnyAsked => false,
    }
}

fn instead(status: u16, header: Option<(&str, &str)>, code: &str) -> Response {
    let mut headers: Headers = header.into_iter().collect();
    let body = match code {
        "" => bytes::Bytes::new(),
        code => {
            headers.push("Content-Type", "application/json");
            let message = "This answer is part of a test.";
            json!({ "error": { "code": code, "message": message } }).to_string().into()
        }
    };
    Response { id: RequestId(0), status, headers, body }
}
