//! Telling bots what happens: the envelope, both spellings of the resource, the headers
//! that real callbacks carry, and delivery: in order per call, one POST at a time per
//! call, again after faults, and an end to it (see [`super::Delivery`]).

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;
use callrig_media::time::Instant;
use rand::RngExt as _;
use serde_json::Value;

use super::{Output, Service, Timer, UriPolicy, Waiting};
use crate::call::NewCall;
use crate::call::result::EndResult;
use crate::event::Event;
use crate::fault::{self, Fault};
use crate::graph::{ChangeType, CommsNotification, CommsNotifications};
use crate::http::{Method, Request, Response};
use crate::id::{AppId, CallId, ConversationId, LegId, TenantId};

/// The longest pause that a bot may ask for with `Retry-After`.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// One notification that waits.
#[derive(Clone, Debug)]
struct Pending {
    sequence: u64,
    uri: String,
    body: Bytes,
    made: Instant,
}

/// The notification that is on its way.
#[derive(Debug)]
struct Flight {
    pending: Pending,
    attempt: u32,
    redirects: u32,
    /// The number of the request, or `None` in the pause between attempts.
    request: Option<crate::http::RequestId>,
}

/// What a bot is still to be told of one call. It outlives the call by what is in it.
#[derive(Debug)]
pub(crate) struct Outbox {
    chain: ConversationId,
    app: AppId,
    tenant: TenantId,
    queue: VecDeque<Pending>,
    flight: Option<Flight>,
    made: u64,
    closed: bool,
}

impl Outbox {
    pub(crate) fn new(call: &NewCall) -> Self {
        Self {
            chain: call.conversation,
            app: call.app.clone(),
            tenant: call.tenant.clone(),
            queue: VecDeque::new(),
            flight: None,
            made: 0,
            closed: false,
        }
    }
}

/// What an attempt came to.
enum Outcome {
    Taken,
    Elsewhere(String),
    Again { reason: String, after: Option<Duration> },
    Refused(String),
}

/// Whether the platform may call this URI.
pub(super) fn uri_allowed(policy: UriPolicy, uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    if host.is_empty() || uri.bytes().any(|b| b.is_ascii_control() || b == b' ') {
        return false;
    }
    let loopback = host.eq_ignore_ascii_case("localhost")
        || host.parse::<core::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match (scheme.to_ascii_lowercase().as_str(), policy) {
        ("https", _) | ("http", UriPolicy::Any) => true,
        ("http", UriPolicy::HttpsOrLoopback) => loopback,
        _ => false,
    }
}

fn judge(outcome: Result<Response, String>) -> Outcome {
    let response = match outcome {
        Ok(response) => response,
        Err(reason) => return Outcome::Again { reason, after: None },
    };
    let status = response.status;
    match status {
        200..=299 => Outcome::Taken,
        302 | 303 | 307 | 308 => match response.header("Location") {
            Some(uri) => Outcome::Elsewhere(uri.to_owned()),
            None => Outcome::Refused(format!("HTTP {status} without a Location")),
        },
        408 | 429 | 500..=599 => Outcome::Again {
            reason: format!("HTTP {status}"),
            after: response
                .header("Retry-After")
                .and_then(|text| text.trim().parse().ok())
                .map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX)),
        },
        _ => Outcome::Refused(format!("HTTP {status}")),
    }
}

impl Service {
    /// Tells the bot of one change: of the call itself, or of what lies at `path` below.
    pub(super) fn notify(
        &mut self,
        now: Instant,
        call: CallId,
        change: ChangeType,
        path: &str,
        data: Value,
    ) {
        let Some(held) = self.calls.get(&call) else { return };
        let uri = held.callback_uri.clone();
        let mut item = CommsNotification {
            change_type: Some(change),
            resource_url: Some(format!("/communications/calls/{call}{path}")),
            resource: Some(format!("/app/calls/{call}{path}")),
            resource_data: Some(data),
            ..CommsNotification::typed()
        };
        if fault::is(Fault::ResourceUnnamed) {
            item.resource_url = None;
        }
        let mut envelope =
            CommsNotifications { value: Some(vec![item]), ..CommsNotifications::typed() };
        if fault::is(Fault::EnvelopeUntyped) {
            envelope.odata_type = None;
        }
        let body = serde_json::to_vec(&envelope).expect("the API's types have string keys");
        let backlog_max = self.config.delivery.backlog_max;
        let Some(outbox) = self.outboxes.get_mut(&call).filter(|outbox| !outbox.closed) else {
            return;
        };
        outbox.made += 1;
        let sequence = outbox.made;
        outbox.queue.push_back(Pending { sequence, uri, body: body.into(), made: now });
        let waiting = outbox.queue.len();
        if waiting > backlog_max {
            outbox.queue.clear();
            self.end_call(now, call, &EndResult::callback_backlog(waiting));
        }
        self.deliver_next(now, call);
    }

    /// Nothing more will be said of this call.
    pub(super) fn close_outbox(&mut self, call: CallId) {
        if let Some(outbox) = self.outboxes.get_mut(&call) {
            outbox.closed = true;
            if outbox.flight.is_none() && outbox.queue.is_empty() {
                self.outboxes.remove(&call);
            }
        }
    }

    fn deliver_next(&mut self, now: Instant, call: CallId) {
        let Some(outbox) = self.outboxes.get_mut(&call) else { return };
        if outbox.flight.is_some() && !fault::is(Fault::NextBeforeAnswer) {
            return;
        }
        let next = match fault::is(Fault::NotificationsOutOfOrder) {
            true => outbox.queue.pop_back(),
            false => outbox.queue.pop_front(),
        };
        match next {
            Some(pending) => {
                outbox.flight = Some(Flight { pending, attempt: 0, redirects: 0, request: None });
                self.attempt(now, call);
            }
            None if outbox.closed => {
                self.outboxes.remove(&call);
            }
            None => {}
        }
    }

    /// POSTs the notification that is on its way.
    fn attempt(&mut self, now: Instant, call: CallId) {
        let request_id = self.next_request();
        let message_id = LegId::from_u128(self.random_bits()).to_string();
        let Some(outbox) = self.outboxes.get(&call) else { return };
        let (app, tenant) = (outbox.app.clone(), outbox.tenant.clone());
        let token = self.callback_token(now, &app, &tenant);
        let Some(outbox) = self.outboxes.get_mut(&call) else { return };
        let chain = outbox.chain.to_string();
        let Some(flight) = outbox.flight.as_mut() else { return };
        flight.attempt += 1;
        flight.request = Some(request_id);
        let (sequence, attempt) = (flight.pending.sequence, flight.attempt);
        let headers = [
            ("Content-Type", "application/json"),
            ("Accept", "application/json"),
            ("User-Agent", "Microsoft-Skype/3.0,(Calling/1.0)"),
            ("Scenario-Id", &chain),
            ("X-Microsoft-Skype-Chain-ID", &chain),
            ("X-Microsoft-Skype-Message-ID", &message_id),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let bearer = token.map(|token| ("Authorization".to_owned(), format!("Bearer {token}")));
        let headers: Vec<_> = bearer.into_iter().chain(headers).collect();
        let request = Request {
            id: request_id,
            method: Method::Post,
            uri: flight.pending.uri.clone(),
            headers,
            body: flight.pending.body.clone(),
        };
        self.waiting.insert(request_id, Waiting::Notification(call));
        let until = now + self.config.delivery.attempt_timeout;
        self.timers.set(Timer::Delivery(call), until);
        self.outputs.push_back(Output::Request(request));
        self.say(Event::NotificationSent { call, request: request_id, sequence, attempt });
    }

    /// The bot's answer to a notification, or what became of the attempt.
    pub(super) fn notification_answered(
        &mut self,
        now: Instant,
        call: CallId,
        outcome: Result<Response, String>,
    ) {
        self.timers.cancel(Timer::Delivery(call));
        let policy = self.config.uris;
        let (redirects_max, attempts_max) =
            (self.config.delivery.redirects_max, self.config.delivery.attempts_max);
        let Some(flight) = self.outboxes.get_mut(&call).and_then(|o| o.flight.as_mut()) else {
            return;
        };
        flight.request = None;
        match judge(outcome) {
            Outcome::Taken => {
                let (sequence, attempts) = (flight.pending.sequence, flight.attempt);
                let took = now.since(flight.pending.made);
                if let Some(outbox) = self.outboxes.get_mut(&call) {
                    outbox.flight = None;
                }
                self.say(Event::NotificationDelivered { call, sequence, attempts, took });
                self.deliver_next(now, call);
            }
            Outcome::Elsewhere(uri) => {
                flight.redirects += 1;
                if flight.redirects > redirects_max {
                    self.give_up(now, call, "it is redirected without end");
                } else if uri_allowed(policy, &uri) {
                    flight.pending.uri = uri;
                    flight.attempt -= 1;
                    self.attempt(now, call);
                } else {
                    self.give_up(now, call, "it is redirected to a forbidden place");
                }
            }
            Outcome::Again { reason, after } => {
                if flight.attempt >= attempts_max {
                    self.give_up(now, call, &reason);
                } else {
                    let attempt = flight.attempt;
                    let pause = after.unwrap_or_else(|| self.pause_after(attempt));
                    self.timers.set(Timer::Delivery(call), now + pause);
                }
            }
            Outcome::Refused(reason) => self.give_up(now, call, &reason),
        }
    }

    /// The pause after an attempt: doubled each time, lengthened at random.
    fn pause_after(&mut self, attempt: u32) -> Duration {
        let rule = &self.config.delivery;
        let doubled = rule.backoff_first.saturating_mul(1_u32 << attempt.saturating_sub(1).min(16));
        let pause = doubled.min(rule.backoff_max);
        let percent = self.random.random_range(0..=rule.jitter_percent);
        pause + pause * percent / 100
    }

    /// The pause is over, or the attempt took too long.
    pub(super) fn delivery_due(&mut self, now: Instant, call: CallId) {
        let Some(flight) = self.outboxes.get_mut(&call).and_then(|o| o.flight.as_mut()) else {
            return;
        };
        match flight.request.take() {
            None => self.attempt(now, call),
            Some(request) => {
                self.waiting.remove(&request);
                self.notification_answered(now, call, Err("no answer in time".to_owned()));
            }
        }
    }

    /// No more attempts for this notification. The call ends, unless it has; its end is
    /// still told, once, by the same rule.
    fn give_up(&mut self, now: Instant, call: CallId, reason: &str) {
        let Some(outbox) = self.outboxes.get_mut(&call) else { return };
        outbox.queue.clear();
        let Some(flight) = outbox.flight.take() else { return };
        self.say(Event::NotificationGivenUp {
            call,
            sequence: flight.pending.sequence,
            attempts: flight.attempt,
            reason: reason.to_owned(),
        });
        if self.calls.contains_key(&call) {
            self.end_call(now, call, &EndResult::callback_undeliverable(reason));
        } else {
            self.outboxes.remove(&call);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_unless_the_owner_says_otherwise() {
        use UriPolicy::{Any, HttpsOnly, HttpsOrLoopback};
        for (policy, uri, allowed) in [
            (HttpsOrLoopback, "https://bot.test/calls", true),
            (HttpsOrLoopback, "http://127.0.0.1:3978/api/calls", true),
            (HttpsOrLoopback, "http://[::1]:3978/api/calls", true),
            (HttpsOrLoopback, "HTTP://localhost/x", true),
            (HttpsOrLoopback, "http://bot.test/calls", false),
            (HttpsOrLoopback, "http://localhost@bot.test/calls", false),
            (HttpsOnly, "http://127.0.0.1/", false),
            (Any, "http://bot.test/", true),
            (Any, "file:///etc/passwd", false),
            (Any, "https://", false),
            (Any, "https://a b/", false),
            (Any, "callbackUri-value", false),
        ] {
            assert_eq!(uri_allowed(policy, uri), allowed, "{policy:?} {uri}");
        }
    }
}
