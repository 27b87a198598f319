//! Calls and rosters as the API shows them: in full to who asks, in short in
//! notifications (with the properties that real ones carry, which is more than the
//! documentation's examples have).

use callrig_media::time::Instant;
use serde_json::{Value, json};

use super::Service;
use crate::attach::blob;
use crate::call::{Call, Hosting};
use crate::graph::{self, ChangeType, MediaState};
use crate::id::CallId;

impl Service {
    /// What every showing of a call has.
    fn call_basics(&self, call: &Call) -> graph::Call {
        let conversation = self.conversations.get(&call.conversation);
        graph::Call {
            id: Some(call.id.to_string()),
            state: Some(call.state().to_graph()),
            direction: Some(call.direction.clone()),
            call_chain_id: Some(
                conversation.and_then(|held| held.chain).unwrap_or(call.conversation).to_string(),
            ),
            incoming_context: call.incoming.as_deref().cloned(),
            chat_info: call.chat.as_deref().cloned(),
            meeting_info: call.meeting.as_deref().cloned(),
            tenant_id: conversation.map(|c| c.tenant.to_string()),
            my_participant_id: Some(call.leg.to_string()),
            source: Some(call.source.clone()),
            targets: Some(call.targets.clone()),
            call_routes: Some(call.routes.clone()).filter(|routes| !routes.is_empty()),
            media_state: call.media_active.then(|| graph::CallMediaState {
                audio: Some(MediaState::Active),
                ..graph::CallMediaState::typed()
            }),
            result_info: call.result.as_ref().map(crate::call::result::EndResult::to_graph),
            ..graph::Call::typed()
        }
    }

    /// As a notification shows it; `shape` adds what this change is about.
    pub(super) fn notify_call(
        &mut self,
        now: Instant,
        id: CallId,
        change: ChangeType,
        shape: impl FnOnce(&mut graph::Call),
    ) {
        let Some(call) = self.calls.get(&id) else { return };
        let mut shown = self.call_basics(call);
        self.show_transcription(call, &mut shown);
        if change == ChangeType::Created {
            shown.other.extend(call.extra.clone());
        }
        shape(&mut shown);
        shown.other.insert("@odata.id".into(), format!("/communications/calls/{id}").into());
        shown.other.insert("@odata.etag".into(), format!("W/\"{}\"", call.version).into());
        self.notify(now, id, change, "", &shown);
    }

    /// Whether the conference is written down.
    fn show_transcription(&self, call: &Call, shown: &mut graph::Call) {
        let held = self.conversations.get(&call.conversation);
        let conference = held.and_then(|held| held.conference.as_deref());
        let Some((active, at)) = conference.and_then(|held| held.transcribed.as_ref()) else {
            return;
        };
        let state = if *active { "active" } else { "inactive" };
        let info = json!({
            "@odata.type": "#microsoft.graph.callTranscriptionInfo",
            "state": state,
            "lastModifiedDateTime": at
        });
        shown.other.insert("transcription".into(), info);
    }

    /// Everything there is to show.
    pub(super) fn call_in_full(&self, call: &Call) -> graph::Call {
        let mut shown = self.call_basics(call);
        shown.callback_uri = Some(call.callback_uri.clone());
        shown.requested_modalities = Some(call.modalities.clone());
        shown.subject.clone_from(&call.subject);
        shown.media_config = media_config(call);
        self.show_transcription(call, &mut shown);
        if call.options != graph::CallOptions::default() {
            shown.call_options = Some(call.options.clone());
        }
        for (name, value) in &call.extra {
            shown.other.entry(name.clone()).or_insert_with(|| value.clone());
        }
        shown
    }
}

/// Who handles the call's media, with the platform's answer once there is one.
pub(super) fn media_config(call: &Call) -> Option<graph::MediaConfig> {
    match &call.hosting {
        Hosting::Undecided => None,
        Hosting::Service => {
            let prefetch = Some(call.pre_fetch.clone()).filter(|files| !files.is_empty());
            Some(graph::MediaConfig::ServiceHosted(graph::ServiceHostedMediaConfig {
                pre_fetch_media: prefetch,
                ..graph::ServiceHostedMediaConfig::typed()
            }))
        }
        Hosting::App { offer, answer } => {
            let text = match answer {
                Some(answer) => blob::write(blob::Kind::Answer, answer),
                None => blob::write(blob::Kind::Offer, offer),
            };
            Some(graph::MediaConfig::app_hosted(text))
        }
    }
}

/// A collection as the API shows it.
pub(super) fn collection(values: &[impl serde::Serialize]) -> Value {
    json!({ "value": values })
}
