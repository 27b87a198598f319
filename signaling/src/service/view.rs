//! Calls and rosters as the API shows them: in full to who asks, in short in
//! notifications (with the properties that real ones carry, which is more than the
//! documentation's examples have).

use callrig_media::time::Instant;
use serde_json::{Value, json};

use super::Service;
use super::conference::Leg;
use crate::attach::blob;
use crate::call::{Call, Hosting};
use crate::graph::{self, ChangeType, MediaState};
use crate::id::{CallId, LegId};

impl Service {
    /// What every showing of a call has.
    fn call_basics(&self, call: &Call) -> graph::Call {
        let conversation = self.conversations.get(&call.conversation);
        graph::Call {
            id: Some(call.id.to_string()),
            state: Some(call.state().to_graph()),
            direction: Some(call.direction.clone()),
            call_chain_id: Some(call.conversation.to_string()),
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
        shape(&mut shown);
        shown.other.insert("@odata.id".into(), format!("/communications/calls/{id}").into());
        shown.other.insert("@odata.etag".into(), format!("W/\"{}\"", call.version).into());
        let data = serde_json::to_value(shown).expect("the API's types have string keys");
        self.notify(now, id, change, "", data);
    }

    /// Everything there is to show.
    pub(super) fn call_in_full(&self, call: &Call) -> graph::Call {
        let mut shown = self.call_basics(call);
        shown.callback_uri = Some(call.callback_uri.clone());
        shown.requested_modalities = Some(call.modalities.clone());
        shown.subject.clone_from(&call.subject);
        shown.media_config = media_config(call);
        if call.options != graph::CallOptions::default() {
            shown.call_options = Some(call.options.clone());
        }
        for (name, value) in &call.extra {
            shown.other.entry(name.clone()).or_insert_with(|| value.clone());
        }
        shown
    }

    /// One participant.
    pub(super) fn participant(&self, id: LegId, leg: &Leg) -> graph::Participant {
        graph::Participant {
            id: Some(id.to_string()),
            info: Some(leg.info.clone()),
            is_in_lobby: Some(false),
            is_muted: Some(false),
            media_streams: Some(Vec::new()),
            ..graph::Participant::typed()
        }
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
