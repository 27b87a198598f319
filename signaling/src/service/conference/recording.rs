//! Recording by policy: when a person whom a policy names comes into a conference, the
//! policy's bot is rung and has five seconds to answer. While it has room
//! (`participantCapacity`), others under the same policy are announced to it
//! (`participantJoining`), and it answers in the response: accept, reject, or invite a
//! new bot; without room they come as new incoming calls. Deviation: peer-to-peer calls
//! are not recorded.

use bytes::Bytes;
use callrig_media::time::Instant;
use serde_json::{Value, json};

use super::Party;
use crate::call::operation::{Kind, Operation};
use crate::call::result::EndResult;
use crate::graph::{self, ChangeType, IncomingContext, OperationStatus, RecordingStatus};
use crate::id::{AppId, CallId, ConversationId, LegId, UserId};
use crate::service::api::{Asked, checked_context};
use crate::service::directory::Permission;
use crate::service::reply::{ApiError, Reply};
use crate::service::{Service, Timer};

/// A bot that records by policy.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    /// How many it takes.
    capacity: usize,
    /// Whom it records, or was asked to.
    observed: Vec<LegId>,
}

/// What a bot makes of somebody who joins.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Accept,
    Reject,
    Elsewhere(String),
}

/// A bot's answer to `participantJoining`. One that says nothing accepts.
fn read_verdict(body: &Bytes) -> Verdict {
    let value: Value = graph::parse(body).unwrap_or_default();
    let name = value["@odata.type"].as_str().unwrap_or_default();
    if graph::same_type(name, "rejectJoinResponse") {
        return Verdict::Reject;
    }
    match value["inviteUri"].as_str() {
        Some(uri) if graph::same_type(name, "inviteNewBotResponse") => {
            Verdict::Elsewhere(uri.to_owned())
        }
        _ => Verdict::Accept,
    }
}

impl Service {
    /// Which bot records a person; `None` for nobody.
    pub fn set_recording_policy(&mut self, user: UserId, app: Option<AppId>) {
        match app {
            Some(app) => self.recording_policies.insert(user, app),
            None => self.recording_policies.remove(&user),
        };
    }

    fn recorders(
        &mut self,
        id: ConversationId,
    ) -> Option<&mut std::collections::BTreeMap<CallId, Recorder>> {
        let conference = self.conversations.get_mut(&id)?.conference.as_deref_mut()?;
        Some(&mut conference.recorders)
    }

    fn recorder(&mut self, call: CallId) -> Option<&mut Recorder> {
        let id = self.calls.get(&call)?.conversation;
        self.recorders(id)?.get_mut(&call)
    }

    /// Whether a call records by policy.
    pub(in crate::service) fn is_recorder(&self, call: CallId) -> bool {
        let held =
            self.calls.get(&call).and_then(|held| self.conversations.get(&held.conversation));
        held.and_then(|held| held.conference.as_deref())
            .is_some_and(|conference| conference.recorders.contains_key(&call))
    }

    /// A person has come in: whoever has to record them is told.
    pub(super) fn record_by_policy(&mut self, now: Instant, id: ConversationId, leg: LegId) {
        let Some(Party::User(user)) = self.leg(leg).map(|held| held.party.clone()) else { return };
        let Some(app) = self.recording_policies.get(&user).cloned() else { return };
        let recorders = self.recorders(id).map(|all| all.clone()).unwrap_or_default();
        let free = recorders.into_iter().find(|(call, recorder)| {
            let held = self.calls.get(call).filter(|call| call.app == app);
            held.is_some_and(|call| call.state().is_connected())
                && recorder.observed.len() < recorder.capacity
        });
        match free {
            Some((call, _)) => {
                if let Some(recorder) = self.recorder(call) {
                    recorder.observed.push(leg);
                }
                self.ask_to_record(now, call, leg);
            }
            None => self.ring_recorder(now, id, leg, &app, None),
        }
    }

    /// A new incoming call at the policy's bot, or at another address of its.
    fn ring_recorder(
        &mut self,
        now: Instant,
        id: ConversationId,
        observed: LegId,
        app: &AppId,
        uri: Option<String>,
    ) {
        // Without a bot that can be rung nobody records; the person is in nevertheless.
        let Ok((call, leg)) = self.ring_bot_in(now, id, app, None) else { return };
        if let Some(held) = self.leg_mut(leg) {
            held.place.hidden = true;
        }
        if let Some(recorders) = self.recorders(id) {
            recorders.insert(call, Recorder { capacity: 1, observed: vec![observed] });
        }
        let source = self.leg(observed).map(|held| held.info.clone()).unwrap_or_default();
        let context = self.incoming_context(observed);
        let data = self.bot_data(observed);
        if let Some(held) = self.calls.get_mut(&call) {
            held.source = source;
            held.incoming = Some(Box::new(context));
            held.extra.insert("applicationMetadata".into(), data);
            if let Some(uri) = uri {
                held.callback_uri = uri;
            }
        }
        self.timers.set(Timer::Answer(call), now + self.config.limits.recording_answer_window);
        self.announce(now, call);
    }

    fn incoming_context(&self, observed: LegId) -> IncomingContext {
        let id = Some(observed.to_string());
        IncomingContext {
            source_participant_id: id.clone(),
            observed_participant_id: id,
            ..IncomingContext::typed()
        }
    }

    /// `applicationMetadata`, as far as this platform knows what stands in it.
    fn bot_data(&self, observed: LegId) -> Value {
        let user = self.leg(observed).map(|held| held.info.clone()).unwrap_or_default();
        let country = user.country_code.unwrap_or_default();
        json!({ "botData": {
            "user": { "participationMethod": "callee", "clientLocation": country },
            "inviteReasons": ["PolicyBasedRecording"],
            "policyIdentifier": "callrig"
        }})
    }

    /// `participantJoining`: one more under the policy.
    fn ask_to_record(&mut self, now: Instant, call: CallId, observed: LegId) {
        let Some(held) = self.calls.get(&call) else { return };
        let mut shown = self.call_in_full(held);
        shown.source = self.leg(observed).map(|held| held.info.clone());
        shown.incoming_context = Some(self.incoming_context(observed));
        shown.other.insert("applicationMetadata".into(), self.bot_data(observed));
        shown.other.remove("@odata.context");
        let data = json!({
            "@odata.type": "#microsoft.graph.participantJoiningNotification",
            "call": shown
        });
        self.notify_joining(now, call, &data, observed);
    }

    /// The bot's answer to that.
    pub(in crate::service) fn joining_answered(
        &mut self,
        now: Instant,
        call: CallId,
        observed: LegId,
        body: &Bytes,
    ) {
        let verdict = read_verdict(body);
        if verdict == Verdict::Accept {
            return;
        }
        if let Some(recorder) = self.recorder(call) {
            recorder.observed.retain(|leg| *leg != observed);
        }
        let Verdict::Elsewhere(uri) = verdict else { return };
        let allowed = crate::service::notify::uri_allowed(self.config.uris, &uri);
        let Some(held) = self.calls.get(&call).filter(|_| allowed) else { return };
        let (app, id) = (held.app.clone(), held.conversation);
        if self.legs.get(&observed) == Some(&id) {
            self.ring_recorder(now, id, observed, &app, Some(uri));
        }
    }

    /// A leg has left: its recorder is told, and leaves when it has nobody left to record.
    /// A recorder that leaves itself is one no longer.
    pub(in crate::service) fn recording_left(
        &mut self,
        now: Instant,
        id: ConversationId,
        leg: LegId,
    ) {
        let calls: Vec<CallId> = self
            .recorders(id)
            .into_iter()
            .flat_map(|all| all.iter_mut())
            .filter_map(|(call, recorder)| {
                let before = recorder.observed.len();
                recorder.observed.retain(|observed| *observed != leg);
                (recorder.observed.len() < before).then_some(*call)
            })
            .collect();
        for call in calls {
            let Some(held) = self.calls.get(&call) else { continue };
            if held.state().is_connected() {
                let data = json!({
                    "@odata.type": "#microsoft.graph.participantLeftNotification",
                    "participantId": leg.to_string(),
                    "call": { "@odata.type": graph::Call::TYPE, "id": call.to_string() }
                });
                self.notify(now, call, ChangeType::Updated, "", &data);
            }
            if self.recorder(call).is_some_and(|recorder| recorder.observed.is_empty()) {
                self.end_call(now, call, &EndResult::nobody_left());
            }
        }
    }

    /// A call has ended.
    pub(in crate::service) fn recorder_left(&mut self, id: ConversationId, call: CallId) {
        if let Some(recorders) = self.recorders(id) {
            recorders.remove(&call);
        }
    }

    /// How many participants a recorder takes, as its answer says.
    pub(in crate::service) fn set_capacity(&mut self, call: CallId, capacity: Option<i64>) {
        if let Some(recorder) = self.recorder(call) {
            recorder.capacity = capacity.and_then(|n| usize::try_from(n).ok()).unwrap_or(1).max(1);
        }
    }

    /// `POST …/updateRecordingStatus`
    pub(in crate::service) fn update_recording_status(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
    ) -> Result<Reply, ApiError> {
        let body: graph::UpdateRecordingStatus = asked.parse()?;
        let context = checked_context(body.client_context)?;
        let status = body.status.ok_or_else(|| ApiError::missing("status"))?;
        if !matches!(
            status,
            RecordingStatus::NotRecording | RecordingStatus::Recording | RecordingStatus::Failed
        ) {
            return Err(ApiError::bad_request(format!("'{status}' is no status to report.")));
        }
        if !self.is_recorder(id) {
            let message = "API call not allowed for non-Compliance Recording call";
            return Err(ApiError::new(400, "8506", message));
        }
        self.acting_in(asked, id, &[Permission::AccessMedia, Permission::JoinGroupCall])?;
        let mut operation =
            Operation::running(self.new_operation_id(), Kind::UpdateRecordingStatus, context);
        operation.status = OperationStatus::Completed;
        let reply = self.take_operation(asked, id, operation, 200)?;
        let observed = self.recorder(id).map(|recorder| recorder.observed.clone());
        let initiator = self.directory.app_info(&asked.caller.app).identity;
        for leg in observed.unwrap_or_default() {
            if let Some(held) = self.leg_mut(leg) {
                held.place.recording = Some(Box::new(graph::RecordingInfo {
                    initiator: initiator.clone(),
                    recording_status: Some(status.clone()),
                    ..graph::RecordingInfo::typed()
                }));
            }
            self.roster_changed(asked.now, leg);
        }
        Ok(reply)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bots_answer_is_read_in_every_form() {
        let read = |text: &'static str| read_verdict(&Bytes::from_static(text.as_bytes()));
        assert_eq!(read(""), Verdict::Accept);
        assert_eq!(read("nonsense"), Verdict::Accept);
        assert_eq!(
            read(r##"{"@odata.type":"#microsoft.graph.acceptJoinResponse"}"##),
            Verdict::Accept
        );
        assert_eq!(
            read(r##"{"@odata.type":"#microsoft.graph.rejectJoinResponse","reason":"busy"}"##),
            Verdict::Reject
        );
        let text =
            r##"{"@odata.type":"#microsoft.graph.inviteNewBotResponse","inviteUri":"https://x/"}"##;
        assert_eq!(read(text), Verdict::Elsewhere("https://x/".to_owned()));
    }
}
