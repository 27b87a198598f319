//! Which notifications are believed: those whose token was signed by the platform, for
//! this app, and now. Keys are looked up where the platform publishes them, kept, and
//! looked up again when a token names one that is not known.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use callrig_media::time::Instant;
use serde::Deserialize;

use super::{Bot, DropReason, Event, Output, Timer};
use crate::auth::{CALLBACK_ISSUER, Expected, JwkSet, TokenError, Trusted, verify};
use crate::clock;
use crate::http::{Method, Request, RequestId, Response};

/// How many notifications wait while keys are looked up; more are to come again.
const WAITING_MAX: usize = 256;

/// How many tokens that were believed are remembered: the platform sends one many times.
const BELIEVED_MAX: usize = 64;

/// How long after a look-up a key that is not known makes no other one: who forges
/// tokens does not make us ask.
const LOOK_UP_PAUSE: Duration = Duration::from_secs(10);

/// The same as long as there is no key at all: nothing can be believed, and calls wait for it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// What a bot believes of notifications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// Where the OpenID metadata of the service is that signs them.
    pub metadata: String,
    /// Who may sign them.
    pub issuers: Vec<String>,
    /// How far clocks may be apart.
    pub skew: Duration,
    /// How old keys become before they are looked up again.
    pub refresh: Duration,
}

impl Trust {
    /// The documented issuers, clocks five minutes apart, keys two hours old.
    #[must_use]
    pub fn new(metadata: &str) -> Self {
        Self {
            metadata: metadata.to_owned(),
            issuers: vec![CALLBACK_ISSUER.to_owned(), "https://graph.microsoft.com".to_owned()],
            skew: Duration::from_secs(300),
            refresh: Duration::from_secs(2 * 3600),
        }
    }
}

impl Default for Trust {
    fn default() -> Self {
        Self::new("https://api.aps.skype.com/v1/.well-known/OpenIdConfiguration")
    }
}

/// What a look-up is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Metadata,
    Keys,
}

/// The keys, the look-up that is under way, and what waits for it.
#[derive(Debug, Default)]
pub(super) struct Keys {
    trusted: Trusted,
    read_at: Option<Instant>,
    asked_at: Option<Instant>,
    asking: Option<(RequestId, Stage)>,
    waiting: VecDeque<Request>,
    /// Tokens that were believed, and until when they are.
    believed: BTreeMap<String, i64>,
}

#[derive(Deserialize)]
struct Metadata {
    jwks_uri: String,
}

impl Bot {
    /// Takes a notification in if it is believed, and answers it at once unless keys have
    /// to be looked up for it.
    pub(super) fn admit(&mut self, now: Instant, request: Request) {
        let Some(trust) = &self.config.trust else { return self.take_notifications(now, &request) };
        let refresh = trust.refresh;
        match self.believe(now, request.bearer().unwrap_or_default()) {
            Ok(()) => {
                if self.keys.read_at.is_none_or(|read_at| now.since(read_at) >= refresh) {
                    self.look_up_keys(now);
                }
                self.take_notifications(now, &request);
            }
            Err(error) if error.may_need_newer_keys() && self.look_up_keys(now) => {
                if self.keys.waiting.len() < WAITING_MAX {
                    self.keys.waiting.push_back(request);
                } else {
                    self.put_off(request.id);
                }
            }
            // Nobody can be believed before keys are known: that is our fault, not theirs.
            Err(error) if error.may_need_newer_keys() && self.keys.read_at.is_none() => {
                self.say(Event::Dropped { call: None, reason: DropReason::NoKeys });
                self.put_off(request.id);
            }
            Err(error) => self.disbelieve(&request, error),
        }
    }

    /// Whether a token is good now.
    fn believe(&mut self, now: Instant, token: &str) -> Result<(), TokenError> {
        let Some(trust) = &self.config.trust else { return Ok(()) };
        let now_unix = clock::unix_seconds(self.epoch.ntp_at(now));
        let skew_seconds = i64::try_from(trust.skew.as_secs()).unwrap_or(i64::MAX);
        if let Some(until) = self.keys.believed.get(token)
            && now_unix < *until
        {
            return Ok(());
        }
        let issuers: Vec<&str> = trust.issuers.iter().map(String::as_str).collect();
        let audiences = [self.config.app.as_str()];
        let expected =
            Expected { audiences: &audiences, issuers: &issuers, now_unix, skew_seconds };
        let claims = verify(token, &self.keys.trusted, &expected)?;
        // Documented: without a tenant it is not the platform's.
        claims.tenant.filter(|tenant| !tenant.is_empty()).ok_or(TokenError::NoClaim("tid"))?;
        self.keys.believed.retain(|_, until| now_unix < *until);
        if self.keys.believed.len() >= BELIEVED_MAX {
            self.keys.believed.clear();
        }
        self.keys.believed.insert(token.to_owned(), claims.expires.saturating_add(skew_seconds));
        Ok(())
    }

    fn disbelieve(&mut self, request: &Request, error: TokenError) {
        self.outputs.push_back(Output::Response(Response::empty(request.id, 401)));
        self.say(Event::Untrusted { error });
        self.say(Event::Dropped { call: None, reason: DropReason::Untrusted });
    }

    /// Whoever sent this may send it again.
    fn put_off(&mut self, id: RequestId) {
        let headers = [("Retry-After", "1")].into();
        let response = Response { headers, ..Response::empty(id, 503) };
        self.outputs.push_back(Output::Response(response));
    }

    /// Looks keys up, unless that was just done; whether it is under way.
    fn look_up_keys(&mut self, now: Instant) -> bool {
        let Some(trust) = &self.config.trust else { return false };
        if self.keys.asking.is_some() {
            return true;
        }
        let pause = if self.keys.trusted.is_empty() { FIRST_PAUSE } else { LOOK_UP_PAUSE };
        if self.keys.asked_at.is_some_and(|asked_at| now.since(asked_at) < pause) {
            return false;
        }
        self.keys.asked_at = Some(now);
        let uri = trust.metadata.clone();
        self.look_up(now, uri, Stage::Metadata);
        true
    }

    fn look_up(&mut self, now: Instant, uri: String, stage: Stage) {
        let id = self.next_request();
        self.keys.asking = Some((id, stage));
        self.timers.set(Timer::Request(id), now + self.config.request_timeout);
        let headers = [("Accept", "application/json")].into();
        let request = Request { id, method: Method::Get, uri, headers, body: bytes::Bytes::new() };
        self.outputs.push_back(Output::Request(request));
    }

    /// Whether this answers a look-up, which it then does.
    pub(super) fn take_keys(
        &mut self,
        now: Instant,
        id: RequestId,
        outcome: &Result<Response, String>,
    ) -> bool {
        let Some((_, stage)) = self.keys.asking.filter(|(asking, _)| *asking == id) else {
            return false;
        };
        self.keys.asking = None;
        let body = match outcome {
            Ok(response) if response.is_success() => &response.body[..],
            _ => &[],
        };
        match stage {
            Stage::Metadata => {
                if let Ok(metadata) = serde_json::from_slice::<Metadata>(body) {
                    self.look_up(now, metadata.jwks_uri, Stage::Keys);
                    return true;
                }
            }
            Stage::Keys => {
                let trusted = serde_json::from_slice::<JwkSet>(body).map(|set| Trusted::new(&set));
                if let Some(trusted) = trusted.ok().filter(|trusted| !trusted.is_empty()) {
                    self.keys.trusted = trusted;
                    self.keys.read_at = Some(now);
                    // A key that was withdrawn vouches for nothing any more.
                    self.keys.believed.clear();
                    self.take_waiting(now);
                    return true;
                }
            }
        }
        self.say(Event::Dropped { call: None, reason: DropReason::NoKeys });
        for request in core::mem::take(&mut self.keys.waiting) {
            self.put_off(request.id);
        }
        true
    }

    fn take_waiting(&mut self, now: Instant) {
        for request in core::mem::take(&mut self.keys.waiting) {
            match self.believe(now, request.bearer().unwrap_or_default()) {
                Ok(()) => self.take_notifications(now, &request),
                Err(error) => self.disbelieve(&request, error),
            }
        }
    }
}
