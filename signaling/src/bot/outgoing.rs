//! Requests on their way: with a token, again when the platform wants them later, and
//! what their answers make known. Every request has a number ([`ActionId`]) under which
//! it is said to be accepted, answered or refused, exactly once.

use core::time::Duration;

use callrig_media::time::Instant;
use serde::Serialize;

use super::credential::Bearer;
use super::talk::Own;
use super::{ActionId, Bot, DropReason, Event, Output, Pending, Step, Timer, What};
use crate::graph;
use crate::http::{Headers, Method, Request, RequestId, Response};
use crate::id::{CallId, LegId, OperationId};

/// The pause before a request is sent again for the first time; it doubles.
const AGAIN_FIRST: Duration = Duration::from_millis(500);

/// The longest such pause.
const AGAIN_MAX: Duration = Duration::from_secs(8);

/// What the platform may ask for more than that is not waited for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(120);

/// The code of a call that the platform does not know.
const CALL_NOT_FOUND: &str = "8522";

/// How long the notification of its end may take when a call is not known any more.
const GONE_AFTER: Duration = Duration::from_secs(10);

/// How many operations of a call are kept; those that have ended go first.
const OPERATIONS_MAX: usize = 256;

/// A collection of the API.
#[derive(serde::Deserialize)]
struct Collection<T> {
    value: Vec<T>,
}

impl Bot {
    pub(super) fn send(
        &mut self,
        now: Instant,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
        call: Option<CallId>,
        what: What,
    ) -> ActionId {
        let uri = format!("{}{path}", self.config.api);
        self.send_to(now, method, uri, body, call, what)
    }

    /// As [`send`](Self::send), but anywhere.
    pub(super) fn send_to(
        &mut self,
        now: Instant,
        method: Method,
        uri: String,
        body: Option<&impl Serialize>,
        call: Option<CallId>,
        what: What,
    ) -> ActionId {
        use rand::RngExt as _;
        self.actions += 1;
        let (action, id) = (ActionId(self.actions), self.next_request());
        let mut headers = Headers::from([("User-Agent", "GraphCommunicationsClient-callrig/0.1")]);
        let client_id = LegId::from_u128(self.random.random());
        headers.push("Client-Request-Id", &client_id.to_string());
        let chain = call.and_then(|call| self.calls.get(&call)?.details.call_chain_id.clone());
        headers.extend(chain.map(|chain| ("Scenario-Id", chain)));
        let body = match body {
            Some(body) => {
                headers.push("Content-Type", "application/json");
                serde_json::to_vec(body).expect("the API's types have string keys").into()
            }
            None => bytes::Bytes::new(),
        };
        let request = Request { id, method, uri, headers, body };
        let pending = Pending { action, call, what, request, token: None, attempts: 0 };
        self.pending.insert(id, pending);
        self.timers.set(Timer::Request(id), now + self.config.request_timeout);
        self.dispatch(now, id);
        action
    }

    /// Sends a request that is pending, with a token, or as soon as there is one.
    pub(super) fn dispatch(&mut self, now: Instant, id: RequestId) {
        if !self.pending.contains_key(&id) {
            return;
        }
        let own = self.pending.get(&id).and_then(|pending| match &pending.what {
            What::Fetch(token) => Some(Bearer::Token(token.clone())),
            _ => None,
        });
        let bearer = own.unwrap_or_else(|| self.bearer(now));
        let Some(pending) = self.pending.get_mut(&id) else { return };
        pending.token = match bearer {
            Bearer::Nobody => None,
            Bearer::Token(token) => Some(token),
            Bearer::Later => return self.wait_for_token(id),
        };
        pending.attempts += 1;
        let mut request = pending.request.clone();
        if let Some(token) = &pending.token {
            request.headers.push("Authorization", &format!("Bearer {token}"));
        }
        self.timers.set(Timer::Request(id), now + self.config.request_timeout);
        self.outputs.push_back(Output::Request(request));
    }

    /// The platform's answer, or none.
    pub(super) fn take_response(
        &mut self,
        now: Instant,
        id: RequestId,
        outcome: Result<Response, String>,
    ) {
        self.timers.cancel(Timer::Request(id));
        if self.take_token(now, id, &outcome) || self.take_keys(now, id, &outcome) {
            return;
        }
        let Some(pending) = self.pending.remove(&id) else {
            let reason = DropReason::UnexpectedResponse;
            self.say(Event::Dropped { call: None, reason });
            return;
        };
        if let Some(pause) = self.pause_before_again(&pending, &outcome) {
            // Under another number: the answer to this one may still come.
            let id = self.next_request();
            let request = Request { id, ..pending.request.clone() };
            self.pending.insert(id, Pending { request, ..pending });
            self.timers.set(Timer::Again(id), now + pause);
            return;
        }
        match outcome {
            Ok(response) if response.is_success() => self.accepted(now, pending, &response),
            Ok(response) => {
                let error = serde_json::from_slice::<graph::ErrorBody>(&response.body);
                let (code, message) = error
                    .map(|body| (body.error.code, body.error.message))
                    .unwrap_or_else(|_| (String::new(), String::new()));
                let call = pending.call.filter(|call| self.calls.contains_key(call));
                if let Some(call) =
                    call.filter(|_| response.status == 404 && code == CALL_NOT_FOUND)
                {
                    // Its end is on its way, or was lost.
                    self.timers.set(Timer::Gone(call), now + GONE_AFTER);
                }
                self.refused(&pending, response.status, code, message);
            }
            Err(reason) => self.refused(&pending, 0, String::new(), reason),
        }
        self.take_early(now);
    }

    /// How long to wait before a request is sent again; `None` if it is not.
    fn pause_before_again(
        &mut self,
        pending: &Pending,
        outcome: &Result<Response, String>,
    ) -> Option<Duration> {
        use rand::RngExt as _;
        if pending.attempts >= self.config.attempts_max
            || outcome.as_ref().is_ok_and(|response| response.status < 400)
        {
            return None;
        }
        let doubled = AGAIN_FIRST * (1_u32 << pending.attempts.saturating_sub(1).min(6));
        let jitter = doubled * self.random.random_range(0..=20_u32) / 100;
        let pause = doubled.min(AGAIN_MAX) + jitter;
        // A request that got no answer may have done what it was to do.
        let harmless =
            pending.request.method != Method::Post || pending.request.uri.ends_with("/keepAlive");
        match outcome {
            Err(_) => harmless.then_some(pause),
            Ok(response) => match response.status {
                401 if self.config.secret.is_some() && pending.attempts == 1 => {
                    self.forget_token(pending.token.as_deref());
                    Some(Duration::ZERO)
                }
                429 | 503 => match retry_after(response) {
                    Some(asked) if asked > RETRY_AFTER_MAX => None,
                    Some(asked) => Some(asked + jitter),
                    None => Some(pause),
                },
                500 | 502 | 504 => harmless.then_some(pause),
                _ => None,
            },
        }
    }

    pub(super) fn refused(
        &mut self,
        pending: &Pending,
        status: u16,
        code: String,
        message: String,
    ) {
        let (action, call) = (pending.action, pending.call);
        if let Some(held) = call.and_then(|call| self.calls.get_mut(&call)) {
            held.waiting.retain(|_, waiting| *waiting != action);
            if held.roster.asking == Some(action) {
                held.roster.asking = None;
            }
        }
        if matches!(pending.what, What::Roster) {
            return;
        }
        if let (What::Rehydrate(_, Step::Call), Some(call), 404) = (&pending.what, call, status)
            && !self.calls.contains_key(&call)
        {
            self.remember_ended(call);
        }
        let action = match pending.what {
            What::Rehydrate(first, _) => first,
            _ => action,
        };
        self.say(Event::Refused { action, call, status, code, message });
    }

    fn accepted(&mut self, now: Instant, pending: Pending, response: &Response) {
        let action = pending.action;
        match (pending.what, pending.call) {
            (What::Create(own), _) => self.created(now, action, own, response),
            (What::Refresh, Some(call)) => {
                self.take_read_call(now, call, response);
                self.say(Event::Accepted { action, call, operation: None });
            }
            (What::Rehydrate(first, step), Some(call)) => {
                self.rehydrated(now, call, first, step, response);
            }
            (What::Roster, Some(call)) => self.take_read_roster(now, call, action, response),
            (What::Operation, Some(call)) => self.operation_began(action, call, response),
            (What::Read, call) => {
                let body = serde_json::from_slice(&response.body).unwrap_or_default();
                let status = response.status;
                self.say(Event::Answered { action, call, status, body });
            }
            (What::Fetch(_), call) => {
                self.say(Event::Fetched { action, call, body: response.body.clone() });
            }
            (_, Some(call)) => self.say(Event::Accepted { action, call, operation: None }),
            (_, None) => {}
        }
    }

    /// A call as the platform describes it now.
    fn take_read_call(&mut self, now: Instant, call: CallId, response: &Response) {
        if let Ok(details) = graph::parse::<graph::Call>(&response.body) {
            if !self.calls.contains_key(&call) && !self.ended.contains(&call) {
                self.begin_call(now, call, graph::Call::default());
            }
            self.update_call(now, call, details);
        }
    }

    /// One step of learning again what the platform knows of a call, and the next.
    fn rehydrated(
        &mut self,
        now: Instant,
        call: CallId,
        first: ActionId,
        step: Step,
        response: &Response,
    ) {
        let next = match step {
            Step::Call => {
                self.take_read_call(now, call, response);
                Some((Step::Participants, "participants"))
            }
            Step::Participants => {
                let action = ActionId(0);
                self.take_read_roster(now, call, action, response);
                Some((Step::Operations, "operations"))
            }
            Step::Operations => {
                let read = graph::parse::<Collection<graph::Operation>>(&response.body);
                for operation in read.map(|read| read.value).unwrap_or_default() {
                    self.keep_operation(call, operation);
                }
                None
            }
        };
        match next {
            Some((step, path)) => {
                let path = format!("/communications/calls/{call}/{path}");
                let what = What::Rehydrate(first, step);
                self.send(now, Method::Get, &path, None::<&()>, Some(call), what);
            }
            None => self.say(Event::Rehydrated { action: first, call }),
        }
    }

    /// The whole roster, as the platform has it; asked for again if it moved meanwhile.
    fn take_read_roster(
        &mut self,
        now: Instant,
        call: CallId,
        action: ActionId,
        response: &Response,
    ) {
        let Ok(read) = graph::parse::<Collection<graph::Participant>>(&response.body) else {
            return;
        };
        let Some(held) = self.calls.get_mut(&call) else { return };
        if held.roster.asking == Some(action) {
            held.roster.asking = None;
        }
        let moved = core::mem::take(&mut held.roster.moved);
        let changed = held.roster.answered(read.value);
        let participants = held.roster.whole();
        if moved {
            self.ask_roster(now, call);
        }
        if changed {
            self.say(Event::RosterChanged { call, participants });
        }
    }

    /// Asks who is in a call, unless that is under way.
    pub(super) fn ask_roster(&mut self, now: Instant, call: CallId) {
        if self.calls.get(&call).is_none_or(|held| held.roster.asking.is_some()) {
            return;
        }
        let path = format!("/communications/calls/{call}/participants");
        let action = self.send(now, Method::Get, &path, None::<&()>, Some(call), What::Roster);
        if let Some(held) = self.calls.get_mut(&call) {
            held.roster.asking = Some(action);
            held.roster.moved = false;
        }
    }

    fn operation_began(&mut self, action: ActionId, call: CallId, response: &Response) {
        let body = graph::parse::<graph::Operation>(&response.body).ok();
        let named = body.as_ref().and_then(|body| OperationId::parse(body.id.as_deref()?));
        // As in 2018: a Location alone.
        let id =
            named.or_else(|| OperationId::parse(response.header("Location")?.rsplit('/').next()?));
        self.say(Event::Accepted { action, call, operation: id });
        let Some(operation) = body else { return };
        // Whatever is complete in its own answer is told of no more.
        if has_ended(&operation)
            && let Some(held) = self.calls.get_mut(&call)
        {
            held.waiting.retain(|_, waiting| *waiting != action);
            let (action, told) = (Some(action), Box::new(operation.clone()));
            self.say(Event::OperationCompleted { call, action, operation: told });
        }
        self.keep_operation(call, operation);
    }

    /// Keeps what is known of an operation; what has ended does not begin again.
    pub(super) fn keep_operation(&mut self, call: CallId, operation: graph::Operation) {
        let Some(held) = self.calls.get_mut(&call) else { return };
        let Some(id) = operation.id.as_deref().and_then(OperationId::parse) else { return };
        if held.operations.get(&id).is_some_and(has_ended) {
            return;
        }
        if held.operations.len() >= OPERATIONS_MAX && !held.operations.contains_key(&id) {
            let ended = held.operations.iter().find(|(_, known)| has_ended(known));
            let oldest = ended.or_else(|| held.operations.first_key_value()).map(|(id, _)| *id);
            oldest.and_then(|id| held.operations.remove(&id));
        }
        held.operations.insert(id, operation);
    }

    fn created(&mut self, now: Instant, action: ActionId, own: Option<Own>, response: &Response) {
        let details = graph::parse::<graph::Call>(&response.body).unwrap_or_default();
        let Some(call) = details.id.as_deref().and_then(CallId::parse) else {
            let (code, message) = (String::new(), "the new call has no id".to_owned());
            self.say(Event::Refused { action, call: None, status: response.status, code, message });
            return;
        };
        let config = details.media_config.clone();
        self.begin_call(now, call, details);
        if let Some(held) = self.calls.get_mut(&call) {
            held.own = own;
        }
        self.say(Event::Created { action, call });
        // The notification that brings it as well may come later than others, and be stale.
        if let Some(config) = config {
            self.take_media_answer(now, call, &config);
        }
    }
}

/// Whether an operation has come to its end.
pub(super) fn has_ended(operation: &graph::Operation) -> bool {
    matches!(
        operation.status,
        Some(graph::OperationStatus::Completed | graph::OperationStatus::Failed)
    )
}

/// How long the platform wants to be left alone.
fn retry_after(response: &Response) -> Option<Duration> {
    response.header("Retry-After")?.trim().parse().ok().map(Duration::from_secs)
}
