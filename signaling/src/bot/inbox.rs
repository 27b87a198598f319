//! What the platform tells: notifications, taken at once with 202 and read in order.
//! What is old is told from what is new by the number in `@odata.etag` where there is
//! one, by the order of states where there is none.

use callrig_media::time::Instant;

use super::outgoing::has_ended;
use super::roster::Verdict;
use super::{Bot, DropReason, EARLY_MAX, Event, Output, Step, What};
use crate::call::state::State;
use crate::fault::{self, Fault};
use crate::graph::{
    self, CallState, ChangeType, CommsNotification, CommsNotifications, MediaState,
};
use crate::http::{Headers, Method, Request, Response};
use crate::id::{CallId, OperationId};

/// How many tones of a call are remembered, to tell those that come twice.
const TONES_REMEMBERED_MAX: usize = 256;

/// How many ended operations of a call are remembered.
const OPERATIONS_REMEMBERED_MAX: usize = 256;

/// How many calls that are not known are asked for at once.
const ADOPTING_MAX: usize = 16;

/// What a resource URL names.
enum Resource {
    Call,
    Participants,
    Operation,
    ContentSharing,
    Other,
}

/// `/communications/calls/{id}[/…]`
fn locate(url: &str) -> Option<(CallId, Resource)> {
    let path = url.split("://").last().unwrap_or(url);
    let mut segments = path.split('/').skip_while(|s| !s.eq_ignore_ascii_case("calls")).skip(1);
    let call = CallId::parse(segments.next()?)?;
    let resource = match segments.next().map(str::to_ascii_lowercase).as_deref() {
        None | Some("") => Resource::Call,
        Some("participants") => Resource::Participants,
        Some("operations") => Resource::Operation,
        Some("contentsharingsessions") => Resource::ContentSharing,
        Some(_) => Resource::Other,
    };
    Some((call, resource))
}

/// The number in `W/"7"`.
fn version_of(data: &serde_json::Map<String, serde_json::Value>) -> Option<u64> {
    let text = data.get("@odata.etag")?.as_str()?;
    text.trim_start_matches("W/").trim_matches('"').parse().ok()
}

/// How far a call has come; a state never comes before one of a lower rank.
const fn rank(state: State) -> u8 {
    match state {
        State::Incoming => 0,
        State::Establishing => 1,
        State::Ringing => 2,
        State::Established | State::Hold | State::Transferring | State::TransferAccepted => 3,
        State::Redirecting => 3,
        State::Terminating => 4,
        State::Terminated => 5,
    }
}

impl Bot {
    /// Takes a POST of notifications.
    pub(super) fn take_notifications(&mut self, now: Instant, request: &Request) {
        if request.method == Method::Post && self.take_policy(now, request) {
            return;
        }
        let mut headers = Headers::new();
        for (from, to) in
            [("Scenario-Id", "Scenario-Id"), ("X-Microsoft-Skype-Message-ID", "Client-Request-Id")]
        {
            if let Some(value) = request.header(from) {
                headers.push(to, value);
            }
        }
        if request.method == Method::Post && is_legacy(&request.body) {
            // The platform then tells the same in the form of today.
            self.outputs.push_back(Output::Response(Response {
                headers,
                ..Response::empty(request.id, 204)
            }));
            return;
        }
        let envelope = match request.method {
            Method::Post => graph::parse::<CommsNotifications>(&request.body).ok(),
            _ => None,
        };
        let taken = envelope.is_some() && !fault::is(Fault::NotificationRefused);
        let status = if taken { 202 } else { 400 };
        let response = Response { status, headers, ..Response::empty(request.id, status) };
        self.outputs.push_back(Output::Response(response));
        match envelope {
            Some(envelope) => {
                for item in envelope.value.into_iter().flatten() {
                    self.take_notification(now, item);
                }
            }
            None => {
                let reason = DropReason::MalformedNotification;
                self.say(Event::Dropped { call: None, reason });
            }
        }
    }

    fn take_notification(&mut self, now: Instant, item: CommsNotification) {
        let url = item.resource_url.as_deref().or(item.resource.as_deref()).unwrap_or_default();
        let Some((call, resource)) = locate(url) else {
            let reason = DropReason::MalformedNotification;
            self.say(Event::Dropped { call: None, reason });
            return;
        };
        if self.is_early(call, item.change_type.as_ref()) {
            if self.early.len() == EARLY_MAX {
                self.early.pop_front();
            }
            self.early.push_back((call, item));
            return;
        }
        let data = item.resource_data.clone().unwrap_or_default();
        let change = item.change_type.unwrap_or(ChangeType::Updated);
        if change == ChangeType::Updated && !self.calls.contains_key(&call) {
            self.adopt(now, call);
        }
        let read = match resource {
            Resource::Call => serde_json::from_value(data)
                .map(|data| self.take_call(now, call, &change, data))
                .is_ok(),
            Resource::Participants => self.take_roster(now, call, data),
            Resource::ContentSharing => {
                if self.calls.contains_key(&call) {
                    self.say(Event::ContentSharing { call, sessions: data });
                } else {
                    self.drop_of(call);
                }
                true
            }
            Resource::Operation => serde_json::from_value(data)
                .map(|operation| self.take_operation(call, url, operation))
                .is_ok(),
            Resource::Other => true,
        };
        if !read {
            let reason = DropReason::MalformedNotification;
            self.say(Event::Dropped { call: Some(call), reason });
        }
    }

    /// Whether a call that is not known may be one that is being created, whose id has
    /// not come back yet, or is being asked for: the answer may be older than this.
    fn is_early(&self, call: CallId, change: Option<&ChangeType>) -> bool {
        change != Some(&ChangeType::Created)
            && !self.calls.contains_key(&call)
            && !self.ended.contains(&call)
            && self.pending.values().any(|pending| match pending.what {
                What::Create(_) => true,
                What::Rehydrate(_, Step::Call) => pending.call == Some(call),
                _ => false,
            })
    }

    /// What came about a call before its id did; what is about no call of ours goes once
    /// nothing is being created any more.
    pub(super) fn take_early(&mut self, now: Instant) {
        for (call, item) in core::mem::take(&mut self.early) {
            if self.is_early(call, item.change_type.as_ref()) {
                self.early.push_back((call, item));
            } else {
                self.take_notification(now, item);
            }
        }
    }

    fn drop_of(&mut self, call: CallId) {
        let reason =
            if self.ended.contains(&call) { DropReason::AfterEnd } else { DropReason::UnknownCall };
        self.say(Event::Dropped { call: Some(call), reason });
    }

    /// Something came about a call that is not known: it may be of before a restart, or
    /// one whose creation was never answered.
    fn adopt(&mut self, now: Instant, call: CallId) {
        let (mut adopting, mut this) = (0, false);
        for pending in self.pending.values() {
            if matches!(pending.what, What::Rehydrate(..)) {
                adopting += 1;
                this |= pending.call == Some(call);
            }
        }
        if self.config.adopt && !self.ended.contains(&call) && !this && adopting < ADOPTING_MAX {
            self.rehydrate(now, call);
        }
    }

    fn take_call(&mut self, now: Instant, call: CallId, change: &ChangeType, data: graph::Call) {
        let known = self.calls.contains_key(&call);
        let over = self.ended.contains(&call);
        match change {
            ChangeType::Created if !known && !over => self.take_new_call(now, call, data),
            ChangeType::Deleted if known => self.end_call(now, call, data.result_info),
            _ if known => self.update_call(now, call, data),
            _ => self.drop_of(call),
        }
    }

    fn take_new_call(&mut self, now: Instant, call: CallId, data: graph::Call) {
        if self.calls.len() >= self.config.calls_max {
            self.reject_unknown(now, call);
            return;
        }
        self.begin_call(now, call, data.clone());
        if let (Some(version), Some(held)) = (version_of(&data.other), self.calls.get_mut(&call)) {
            held.version = version;
        }
        self.say(Event::Incoming { call, details: Box::new(data) });
    }

    /// A call changed. What the notification does not speak of stays as it was.
    pub(super) fn update_call(&mut self, now: Instant, call: CallId, data: graph::Call) {
        let Some(held) = self.calls.get_mut(&call) else { return };
        let version = version_of(&data.other);
        let new_tone = data.tone_info.clone().and_then(|tone| {
            let sequence = tone.sequence_id?.0;
            if held.tones_seen.len() >= TONES_REMEMBERED_MAX {
                held.tones_seen.pop_first();
            }
            held.tones_seen.insert(sequence).then_some((sequence, tone.tone?))
        });
        let stale = version.is_some_and(|version| version <= held.version)
            // What was read, not told, has no version to compare with.
            || ((version.is_none() || held.version == 0)
                && goes_back(held.details.state.as_ref(), data.state.as_ref()));
        if stale {
            if new_tone.is_none() {
                let reason = DropReason::Stale;
                self.say(Event::Dropped { call: Some(call), reason });
            }
        } else {
            held.version = version.unwrap_or(held.version);
            let changed = data.state.is_some() && data.state != held.details.state;
            let active = data.media_state.as_ref().and_then(|media| media.audio.as_ref())
                == Some(&MediaState::Active);
            let activated = active && !held.media_active;
            held.media_active |= active;
            let state = data.state.clone();
            let config = data.media_config.clone();
            merge(&mut held.details, data);
            if let Some(config) = config {
                self.take_media_answer(now, call, &config);
            }
            if let (true, Some(state)) = (changed, state) {
                self.say(Event::StateChanged { call, state });
            }
            if activated {
                self.say(Event::MediaActive { call });
            }
        }
        if let Some((sequence, tone)) = new_tone {
            self.say(Event::Tone { call, sequence, tone });
        }
    }

    fn take_roster(&mut self, now: Instant, call: CallId, data: serde_json::Value) -> bool {
        let Some(held) = self.calls.get_mut(&call) else {
            self.drop_of(call);
            return true;
        };
        let Ok(verdict) = held.roster.take(data) else { return false };
        match verdict {
            Verdict::Taken => {
                let participants = held.roster.whole();
                self.say(Event::RosterChanged { call, participants });
            }
            Verdict::Doubtful => self.ask_roster(now, call),
            Verdict::Known | Verdict::Stale => {
                self.say(Event::Dropped { call: Some(call), reason: DropReason::Stale });
            }
        }
        true
    }

    fn take_operation(&mut self, call: CallId, url: &str, mut operation: graph::Operation) {
        let id =
            operation.id.as_deref().or_else(|| url.rsplit('/').next()).and_then(OperationId::parse);
        let Some(held) = self.calls.get_mut(&call) else {
            self.drop_of(call);
            return;
        };
        let Some(id) = id else { return };
        operation.id = Some(id.to_string());
        if !has_ended(&operation) {
            self.keep_operation(call, operation);
            return;
        }
        if held.completed.len() >= OPERATIONS_REMEMBERED_MAX {
            held.completed.pop_first();
        }
        if !held.completed.insert(id) {
            let reason = DropReason::Stale;
            self.say(Event::Dropped { call: Some(call), reason });
            return;
        }
        let context = operation.client_context.as_deref();
        let action = context.and_then(|context| held.waiting.remove(context));
        self.keep_operation(call, operation.clone());
        self.say(Event::OperationCompleted { call, action, operation: Box::new(operation) });
    }
}

/// Whether this is an incoming call in the form of Skype, which bots of today do not read.
fn is_legacy(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Legacy {
        #[serde(rename = "callState")]
        state: Option<serde::de::IgnoredAny>,
        value: Option<serde::de::IgnoredAny>,
    }
    // They are few: what does not name it is not read twice.
    let name = b"callState";
    body.windows(name.len()).any(|part| part == name)
        && serde_json::from_slice::<Legacy>(body)
            .is_ok_and(|legacy| legacy.state.is_some() && legacy.value.is_none())
}

/// Whether a state of no number is older than the one that is known.
fn goes_back(known: Option<&CallState>, new: Option<&CallState>) -> bool {
    let known = known.and_then(State::from_graph);
    let new = new.and_then(State::from_graph);
    matches!((known, new), (Some(known), Some(new)) if rank(new) < rank(known))
}

/// Takes over what the newer one says.
fn merge(known: &mut graph::Call, new: graph::Call) {
    macro_rules! take {
        ($($field:ident),*) => {
            $(if new.$field.is_some() {
                known.$field = new.$field;
            })*
        };
    }
    take!(
        id,
        state,
        direction,
        callback_uri,
        call_chain_id,
        call_options,
        call_routes,
        chat_info,
        incoming_context,
        media_config,
        media_state,
        meeting_info,
        my_participant_id,
        requested_modalities,
        active_modalities,
        result_info,
        source,
        targets,
        answered_by,
        subject,
        tenant_id,
        tone_info
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_located_in_both_spellings() {
        let id = "57dab8b1-894c-409a-b240-bd8beae78896";
        for url in [
            format!("/communications/calls/{id}"),
            "/app/calls/57DAB8B1894C409AB240BD8BEAE78896".to_owned(),
            format!("https://graph.test/v1.0/communications/calls/{id}"),
        ] {
            let (call, resource) = locate(&url).expect("it names a call");
            assert_eq!(call.to_string(), id);
            assert!(matches!(resource, Resource::Call), "{url}");
        }
        let roster = locate(&format!("/communications/calls/{id}/participants"));
        assert!(matches!(roster, Some((_, Resource::Participants))));
        assert!(locate("/communications/calls/x").is_none());
    }

    #[test]
    fn states_without_a_number_only_go_forward() {
        let (early, late) = (CallState::Establishing, CallState::Established);
        assert!(goes_back(Some(&late), Some(&early)));
        assert!(!goes_back(Some(&early), Some(&late)));
        assert!(!goes_back(Some(&late), Some(&CallState::Hold)));
        assert!(!goes_back(Some(&late), Some(&CallState::Other("new".into()))));
    }
}
