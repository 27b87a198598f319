//! Telling bots what happens: the envelope, both spellings of the resource, the headers
//! that real callbacks carry, and delivery: in order per call, one POST at a time per
//! call, again after faults, and an end to it (see [`super::Delivery`]).

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;
use callrig_media::time::Instant;
use rand::RngExt as _;
use serde::Serialize;
use serde_json::Value;

pub(super) use super::uris::uri_allowed;
use super::{Output, Service, Timer, Waiting};
use crate::call::NewCall;
use crate::call::result::EndResult;
use crate::event::Event;
use crate::fault::{self, Fault};
use crate::graph::{ChangeType, CommsNotification};
use crate::http::{Headers, Method, Request, Response};
use crate::id::{AppId, CallId, ConversationId, LegId, TenantId};

mod wire;

/// The longest pause that a bot may ask for with `Retry-After`.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// One notification that waits.
#[derive(Clone, Debug)]
struct Pending {
    sequence: u64,
    uri: String,
    /// The item of the envelope.
    item: Bytes,
    /// The same as Skype would tell it, if it is to be tried so first.
    legacy: Option<Bytes>,
    made: Instant,
    /// The bot's answer decides over this participant.
    joining: Option<LegId>,
}

/// A change, written down.
struct Told {
    item: Bytes,
    legacy: Option<Bytes>,
    /// Of the call, where somebody asks.
    state: Option<String>,
}

impl Pending {
    /// Whether others may go with it: the answer is not about it alone.
    const fn is_batched(&self) -> bool {
        self.legacy.is_none() && self.joining.is_none()
    }
}

/// The notifications that are on their way, in one POST.
#[derive(Debug)]
struct Flight {
    uri: String,
    batch: Vec<Pending>,
    attempt: u32,
    redirects: u32,
    /// The number of the request, or `None` in the pause between attempts.
    request: Option<crate::http::RequestId>,
}

impl Flight {
    fn body(&self) -> Bytes {
        match self.batch.as_slice() {
            [Pending { legacy: Some(legacy), .. }] => legacy.clone(),
            batch => wire::envelope(batch.iter().map(|pending| &pending.item)),
        }
    }
}

/// What a bot is still to be told of one call. It outlives the call by what is in it.
#[derive(Debug)]
pub(crate) struct Outbox {
    chain: ConversationId,
    app: AppId,
    tenant: TenantId,
    queue: VecDeque<Pending>,
    /// `establishing`, held back until `established` was told.
    held: Option<Pending>,
    flight: Option<Flight>,
    made: u64,
    closed: bool,
}

impl Outbox {
    pub(crate) fn new(call: &NewCall, chain: ConversationId) -> Self {
        Self {
            chain,
            app: call.app.clone(),
            tenant: call.tenant.clone(),
            queue: VecDeque::new(),
            held: None,
            flight: None,
            made: 0,
            closed: false,
        }
    }

    /// Takes a notification in; `hold` keeps one back until the next is there.
    fn push(&mut self, pending: Pending, state: Option<&str>, hold: bool) {
        if hold && state == Some("establishing") && self.held.is_none() {
            self.held = Some(pending);
        } else if state == Some("established") {
            self.queue.push_back(pending);
            self.queue.extend(self.held.take());
        } else {
            self.queue.extend(self.held.take());
            self.queue.push_back(pending);
        }
    }

    /// The next POST: one notification, or as many in a row as go to one place.
    fn take_batch(&mut self, most: usize) -> Vec<Pending> {
        if fault::is(Fault::NotificationsOutOfOrder) {
            return self.queue.pop_back().into_iter().collect();
        }
        let mut batch: Vec<Pending> = self.queue.pop_front().into_iter().collect();
        while batch.len() < most.max(1)
            && let Some(first) = batch.first().filter(|first| first.is_batched())
            && self.queue.front().is_some_and(|n| n.uri == first.uri && n.is_batched())
        {
            batch.extend(self.queue.pop_front());
        }
        batch
    }
}

/// What an attempt came to.
enum Outcome {
    Taken,
    Elsewhere(String),
    Again { reason: String, after: Option<Duration> },
    Refused(String),
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
        data: &impl Serialize,
    ) {
        let told = self.told(call, change, path, data);
        self.post(now, call, told, None);
    }

    /// Asks the bot about a participant who joins; its answer comes in the response.
    pub(super) fn notify_joining(&mut self, now: Instant, call: CallId, data: &Value, leg: LegId) {
        let told = self.told(call, ChangeType::Updated, "", data);
        self.post(now, call, told, Some(leg));
    }

    /// A change as it is told. Only where a quirk of deployments looks into it is it more than
    /// written down.
    fn told(&self, call: CallId, change: ChangeType, path: &str, data: &impl Serialize) -> Told {
        let rule = &self.config.delivery;
        let is_new_call = path.is_empty() && change == ChangeType::Created;
        let legacy = rule.legacy_first && is_new_call;
        let url = format!("/communications/calls/{call}{path}");
        let mut item = wire::Item {
            odata_type: CommsNotification::TYPE,
            change_type: change,
            resource_url: Some(&url).filter(|_| !fault::is(Fault::ResourceUnnamed)),
            resource: &format!("/app/calls/{call}{path}"),
            resource_data: data,
        };
        if !(legacy || rule.quirks.pascal_case || rule.quirks.established_first) {
            return Told { item: item.written(), legacy: None, state: None };
        }
        let mut data = serde_json::to_value(data).expect("the API's types have string keys");
        let state = data["state"].as_str().filter(|_| path.is_empty()).map(str::to_owned);
        let legacy = legacy.then(|| wire::legacy_incoming(&data));
        if rule.quirks.pascal_case {
            let mut text = item.change_type.to_string();
            wire::capitalise(&mut text);
            // As it is written: reading it back would bring the usual spelling.
            item.change_type = ChangeType::Other(text);
            wire::in_pascal_case(&mut data);
        }
        Told { item: item.with(&data).written(), legacy, state }
    }

    fn post(&mut self, now: Instant, call: CallId, told: Told, joining: Option<LegId>) {
        let Some(held) = self.calls.get(&call) else { return };
        let uri = held.callback_uri.clone();
        let rule = &self.config.delivery;
        let (backlog_max, hold) = (rule.backlog_max, rule.quirks.established_first);
        let Told { item, legacy, state } = told;
        let Some(outbox) = self.outboxes.get_mut(&call).filter(|outbox| !outbox.closed) else {
            return;
        };
        outbox.made += 1;
        let sequence = outbox.made;
        let pending = Pending { sequence, uri, item, legacy, made: now, joining };
        outbox.push(pending, state.as_deref(), hold);
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
            outbox.queue.extend(outbox.held.take());
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
        let batch = outbox.take_batch(self.config.delivery.batch_max);
        match batch.first() {
            Some(first) => {
                let uri = first.uri.clone();
                outbox.flight =
                    Some(Flight { uri, batch, attempt: 0, redirects: 0, request: None });
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
        let attempt = flight.attempt;
        let sequences: Vec<u64> = flight.batch.iter().map(|pending| pending.sequence).collect();
        let bearer = token.map(|token| ("Authorization", format!("Bearer {token}")));
        let mut headers: Headers = bearer.into_iter().collect();
        headers.extend([
            ("Content-Type", "application/json"),
            ("Accept", "application/json"),
            ("User-Agent", "Microsoft-Skype/3.0,(Calling/1.0)"),
            ("Scenario-Id", &chain),
            ("X-Microsoft-Skype-Chain-ID", &chain),
            ("X-Microsoft-Skype-Message-ID", &message_id),
        ]);
        let request = Request {
            id: request_id,
            method: Method::Post,
            uri: flight.uri.clone(),
            headers,
            body: flight.body(),
        };
        self.waiting.insert(request_id, Waiting::Notification(call));
        let until = now + self.config.delivery.attempt_timeout;
        self.timers.set(Timer::Delivery(call), until);
        self.outputs.push_back(Output::Request(request));
        for sequence in sequences {
            self.say(Event::NotificationSent { call, request: request_id, sequence, attempt });
        }
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
        let is_legacy = matches!(flight.batch.as_slice(), [Pending { legacy: Some(_), .. }]);
        let took_legacy = is_legacy && outcome.as_ref().is_ok_and(|answer| answer.status == 204);
        let body = outcome.as_ref().map(|response| response.body.clone()).unwrap_or_default();
        match judge(outcome) {
            Outcome::Taken if took_legacy => {
                // It wants to be told in the form of today.
                flight.batch.iter_mut().for_each(|pending| pending.legacy = None);
                flight.attempt -= 1;
                self.attempt(now, call);
            }
            Outcome::Taken => {
                let attempts = flight.attempt;
                let batch = core::mem::take(&mut flight.batch);
                if let Some(outbox) = self.outboxes.get_mut(&call) {
                    outbox.flight = None;
                }
                for Pending { sequence, made, joining, .. } in batch {
                    let took = now.since(made);
                    self.say(Event::NotificationDelivered { call, sequence, attempts, took });
                    if let Some(leg) = joining {
                        self.joining_answered(now, call, leg, &body);
                    }
                }
                self.deliver_next(now, call);
            }
            Outcome::Elsewhere(uri) => {
                flight.redirects += 1;
                if flight.redirects > redirects_max {
                    self.give_up(now, call, "it is redirected without end");
                } else if uri_allowed(policy, &uri) {
                    flight.uri = uri;
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
        outbox.held = None;
        let Some(flight) = outbox.flight.take() else { return };
        for Pending { sequence, .. } in flight.batch {
            let (attempts, reason) = (flight.attempt, reason.to_owned());
            self.say(Event::NotificationGivenUp { call, sequence, attempts, reason });
        }
        if self.calls.contains_key(&call) {
            self.end_call(now, call, &EndResult::callback_undeliverable(reason));
        } else {
            self.outboxes.remove(&call);
        }
    }
}
