//! The app's own token: asked for with its secret before the first request, kept as long
//! as it is good, renewed before it is not. Requests wait for it, not their callers.

use core::time::Duration;
use std::collections::VecDeque;

use callrig_media::time::Instant;
use serde::Deserialize;
use serde_json::Value;

use super::{Bot, Output, Timer};
use crate::http::{Method, Request, RequestId, Response};

/// How long before its end a token is no longer used.
const SAFETY: Duration = Duration::from_secs(30);

/// The longest pause between two attempts to get a token.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// What an app proves itself with at the login service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSecret {
    /// The token endpoint, with the tenant in it.
    pub endpoint: String,
    /// The secret.
    pub secret: String,
    /// For what tokens are asked.
    pub scope: String,
}

impl ClientSecret {
    /// For the API, in an organisation whose name is part of the login host's path.
    #[must_use]
    pub fn new(login: &str, tenant: &str, secret: &str) -> Self {
        Self {
            endpoint: format!("{}/{tenant}/oauth2/v2.0/token", login.trim_end_matches('/')),
            secret: secret.to_owned(),
            scope: "https://graph.microsoft.com/.default".to_owned(),
        }
    }
}

/// A token and its times.
#[derive(Debug)]
struct Held {
    token: String,
    renew_at: Instant,
    good_until: Instant,
}

/// The token, the request for one, and the requests that wait for it.
#[derive(Debug, Default)]
pub(super) struct Credential {
    held: Option<Held>,
    asking: Option<RequestId>,
    failures: u32,
    waiting: VecDeque<RequestId>,
}

/// What stands in for the token of a request.
pub(super) enum Bearer {
    /// None is needed.
    Nobody,
    /// This one.
    Token(String),
    /// It has yet to come.
    Later,
}

/// What a token endpoint answers.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    /// Seconds, as a number or as text.
    #[serde(default)]
    expires_in: Value,
}

impl Bot {
    /// What a request that leaves now carries.
    pub(super) fn bearer(&mut self, now: Instant) -> Bearer {
        if self.config.secret.is_none() {
            return self.config.token.clone().map_or(Bearer::Nobody, Bearer::Token);
        }
        let held = self.credential.held.as_ref().filter(|held| now < held.good_until);
        let (token, fresh) = match held {
            Some(held) => (Some(held.token.clone()), now < held.renew_at),
            None => (None, false),
        };
        if !fresh {
            self.ask_token(now);
        }
        token.map_or(Bearer::Later, Bearer::Token)
    }

    /// A request will be sent as soon as there is a token.
    pub(super) fn wait_for_token(&mut self, id: RequestId) {
        self.credential.waiting.push_back(id);
    }

    /// The platform did not take this token.
    pub(super) fn forget_token(&mut self, refused: Option<&str>) {
        let held = self.credential.held.as_ref();
        if held.is_some_and(|held| refused.is_none_or(|refused| refused == held.token)) {
            self.credential.held = None;
        }
    }

    /// Asks for a token, unless that is under way.
    pub(super) fn ask_token(&mut self, now: Instant) {
        let Some(secret) = self.config.secret.clone() else { return };
        if self.credential.asking.is_some() {
            return;
        }
        let id = self.next_request();
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", self.config.app.as_str()),
            ("client_secret", &secret.secret),
            ("scope", &secret.scope),
        ]
        .map(|(name, value)| format!("{name}={}", form_encode(value)))
        .join("&");
        let content_type = "application/x-www-form-urlencoded".to_owned();
        let request = Request {
            id,
            method: Method::Post,
            uri: secret.endpoint,
            headers: [("Content-Type", content_type)].into(),
            body: form.into(),
        };
        self.credential.asking = Some(id);
        self.timers.set(Timer::Request(id), now + self.config.request_timeout);
        self.outputs.push_back(Output::Request(request));
    }

    /// Whether this answers the request for a token, which it then does.
    pub(super) fn take_token(
        &mut self,
        now: Instant,
        id: RequestId,
        outcome: &Result<Response, String>,
    ) -> bool {
        if self.credential.asking != Some(id) {
            return false;
        }
        self.credential.asking = None;
        let granted = match outcome {
            Ok(response) if response.is_success() => {
                serde_json::from_slice::<Granted>(&response.body).ok()
            }
            _ => None,
        };
        match (granted, outcome) {
            (Some(granted), _) => {
                self.keep_token(now, granted);
                for id in core::mem::take(&mut self.credential.waiting) {
                    self.dispatch(now, id);
                }
            }
            // The secret is wrong, or the app is not there: asking again helps nobody.
            (None, Ok(response))
                if (400..500).contains(&response.status) && response.status != 429 =>
            {
                let body = serde_json::from_slice::<Value>(&response.body).unwrap_or_default();
                let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
                let (code, message) = (text("error"), text("error_description"));
                for id in core::mem::take(&mut self.credential.waiting) {
                    self.timers.cancel(Timer::Request(id));
                    if let Some(pending) = self.pending.remove(&id) {
                        self.refused(&pending, response.status, code.clone(), message.clone());
                    }
                }
            }
            (None, _) => {
                let doubled =
                    Duration::from_millis(500) * (1_u32 << self.credential.failures.min(8));
                self.credential.failures += 1;
                self.timers.set(Timer::Token, now + doubled.min(PAUSE_MAX));
            }
        }
        true
    }

    /// The pause after a failed attempt is over: again, if anybody waits.
    pub(super) fn token_due(&mut self, now: Instant) {
        let pending = &self.pending;
        self.credential.waiting.retain(|id| pending.contains_key(id));
        if !self.credential.waiting.is_empty() {
            self.ask_token(now);
        }
    }

    fn keep_token(&mut self, now: Instant, granted: Granted) {
        let seconds = match &granted.expires_in {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        // What says nothing of its life is asked for again soon.
        let life = Duration::from_secs(seconds.unwrap_or(300).min(7 * 86_400));
        self.credential.failures = 0;
        self.credential.held = Some(Held {
            token: granted.access_token,
            renew_at: now + life * 3 / 4,
            good_until: now + life.saturating_sub(SAFETY).max(life / 2),
        });
    }
}

/// As forms write it (the URL standard's `application/x-www-form-urlencoded`).
fn form_encode(text: &str) -> String {
    use core::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'*' | b'-' | b'.' | b'_' => {
                encoded.push(char::from(byte));
            }
            b' ' => encoded.push('+'),
            _ => write!(encoded, "%{byte:02X}").expect("a string takes everything"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_form_says_is_read_as_it_was_meant() {
        let text = "s3cret & +%=ä/\n";
        assert_eq!(crate::service::form_decode(&form_encode(text)), text);
        assert_eq!(form_encode("a b&c"), "a+b%26c");
    }
}
