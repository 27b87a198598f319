//! What a bot can have a conference do: a large gallery view, recording and transcription
//! (of the conference itself, not of the bot), levels of the mixer. Each is answered with
//! a running operation, whose end is told of.

use super::{Leg, Party, Standing};
use crate::attach::Level;
use crate::call::operation::{Kind, Operation};
use crate::call::result::EndResult;
use crate::clock;
use crate::graph::{self, ChangeType, Identity, IdentitySet, OperationStatus, ParticipantInfo};
use crate::id::{CallId, ConversationId, LegId};
use crate::service::Service;
use crate::service::api::{Asked, checked_context};
use crate::service::directory::Permission;
use crate::service::reply::{ApiError, Reply};

/// Rosters of clients hide it by this, as the documentation of the gallery shows it.
const GALLERY_METADATA: &str = "{\"__platform\":{\"ui\":{\"hidden\":true}},\
                                \"audienceView\":{\"page\":1,\"status\":\"active\",\"type\":\"lg\",\
                                \"aspectRatio\":\"widescreen\"}}";

/// Loudest level of a source (ours: the documentation's example has 50 of, presumably,
/// 100).
const LEVEL_MAX: i64 = 100;

impl Service {
    /// An operation that is done at once and told of nevertheless.
    fn done_soon(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
        kind: Kind,
        context: Option<String>,
        status: u16,
    ) -> Result<Reply, ApiError> {
        let operation = Operation::running(self.new_operation_id(), kind, context);
        let operation_id = operation.id;
        let reply = match status {
            202 => self.take_operation(asked, id, operation, 202)?,
            _ => self.begin_operation(asked, id, operation)?,
        };
        let (status, result) = (OperationStatus::Completed, EndResult::action_completed());
        self.end_operation(asked.now, id, operation_id, status, result);
        Ok(reply)
    }

    /// `POST …/addLargeGalleryView`
    pub(in crate::service) fn add_large_gallery_view(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
    ) -> Result<Reply, ApiError> {
        let body: graph::ClientContext = asked.parse_or_default()?;
        let context = checked_context(body.client_context)?;
        let conversation = self.in_conference(asked, id)?;
        let needed = [
            Permission::JoinGroupCallAsGuest,
            Permission::JoinGroupCall,
            Permission::InitiateGroupCall,
        ];
        self.check_group_permission(asked, id, &needed)?;
        let reply = self.done_soon(asked, id, Kind::AddLargeGalleryView, context, 202)?;
        let held = self.conversations.get(&conversation);
        let is_there =
            held.is_some_and(|held| held.legs.values().any(|leg| leg.party == Party::Gallery));
        if !is_there {
            self.add_gallery(asked, conversation);
        }
        Ok(reply)
    }

    fn add_gallery(&mut self, asked: &Asked<'_>, conversation: ConversationId) {
        let leg = self.new_leg_id();
        let mut identity = Identity {
            id: Some(leg.to_string()),
            display_name: Some("Large Gallery".to_owned()),
            ..Identity::typed()
        };
        identity.other.insert("ApplicationType".into(), "LargeGallery-V2".into());
        let set = IdentitySet { application: Some(identity), ..IdentitySet::typed() };
        let info = ParticipantInfo { identity: Some(set), ..ParticipantInfo::typed() };
        let mut held = Leg::new(Party::Gallery, Standing::Joined, info);
        held.place.metadata = Some(GALLERY_METADATA.to_owned());
        if let Some(conversation) = self.conversations.get_mut(&conversation) {
            conversation.insert(leg, held);
        }
        self.legs.insert(leg, conversation);
        self.roster_changed(asked.now, leg);
    }

    /// `POST …/startRecording`, `…/stopRecording`, `…/startTranscription`,
    /// `…/stopTranscription`. Only the first has a page; the others follow it.
    pub(in crate::service) fn switch_feature(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
        kind: Kind,
    ) -> Result<Reply, ApiError> {
        let body: graph::ClientContext = asked.parse_or_default()?;
        let context = checked_context(body.client_context)?;
        let conversation = self.acting_in(asked, id, &[Permission::JoinGroupCall])?;
        if self.owned(asked, id)?.chat.is_none() {
            let message = "A group call without a chat has neither recording nor transcription.";
            return Err(ApiError::bad_request(message));
        }
        let reply = self.done_soon(asked, id, kind, context, 202)?;
        let at = clock::rfc3339(self.epoch.ntp_at(asked.now));
        let held = self.conversations.get_mut(&conversation);
        let Some(conference) = held.and_then(|held| held.conference.as_deref_mut()) else {
            return Ok(reply);
        };
        match kind {
            Kind::StartRecording => conference.recorded = true,
            Kind::StopRecording => conference.recorded = false,
            Kind::StartTranscription => conference.transcribed = Some((true, at)),
            _ => conference.transcribed = Some((false, at)),
        }
        for call in self
            .conversations
            .get(&conversation)
            .map(super::Conversation::calls)
            .unwrap_or_default()
        {
            if self.calls.get(&call).is_some_and(|call| call.state().is_connected()) {
                self.notify_call(asked.now, call, ChangeType::Updated, |_| {});
            }
        }
        Ok(reply)
    }

    /// `POST …/participants/configureMixer` (beta): who hears whom how loud.
    pub(in crate::service) fn configure_mixer(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
    ) -> Result<Reply, ApiError> {
        let body: graph::ConfigureMixer = asked.parse()?;
        let context = checked_context(body.client_context)?;
        let levels = body.participant_mixer_levels.unwrap_or_default();
        if levels.is_empty() {
            return Err(ApiError::missing("participantMixerLevels"));
        }
        let mut read = Vec::with_capacity(levels.len());
        for level in &levels {
            read.push(mixer_level(level)?);
        }
        let conversation = self.acting_in(asked, id, super::participants::JOINING)?;
        let reply = self.done_soon(asked, id, Kind::ConfigureMixer, context, 200)?;
        let held = self.conversations.get_mut(&conversation);
        if let Some(conference) = held.and_then(|held| held.conference.as_deref_mut()) {
            conference.levels.extend(read);
        }
        self.routing_changed(conversation);
        Ok(reply)
    }

    /// `POST /communications/calls/logTeleconferenceDeviceQuality`: from devices that are
    /// bridged in. It is read, and nothing follows.
    pub(in crate::service) fn log_device_quality(
        &mut self,
        asked: &Asked<'_>,
    ) -> Result<Reply, ApiError> {
        let body: graph::LogDeviceQuality = asked.parse()?;
        if !self.directory.may_anywhere(&asked.caller.app, Permission::AccessMedia) {
            return Err(ApiError::insufficient_permissions(Permission::AccessMedia.name()));
        }
        let quality = body.quality.ok_or_else(|| ApiError::missing("quality"))?;
        for name in ["callChainId", "mediaLegId", "participantId"] {
            if !quality.get(name).is_some_and(serde_json::Value::is_string) {
                return Err(ApiError::missing(&format!("quality/{name}")));
            }
        }
        Ok(Reply::empty(200))
    }
}

/// What a listener hears: the sources with their levels in percent, and whether nothing
/// else.
fn mixer_level(level: &graph::ParticipantMixerLevel) -> Result<(LegId, Level), ApiError> {
    let leg = |text: Option<&str>| {
        text.and_then(LegId::parse)
            .ok_or_else(|| ApiError::bad_request("participant must be the id of one."))
    };
    let listener = leg(level.participant.as_deref())?;
    let mut sources = Vec::new();
    for source in level.source_levels.iter().flatten() {
        let percent = source.level.map_or(LEVEL_MAX, |number| number.0);
        if !(0..=LEVEL_MAX).contains(&percent) {
            return Err(ApiError::bad_request(format!("level is not 0 to {LEVEL_MAX}.")));
        }
        sources.push((leg(source.participant.as_deref())?, percent.unsigned_abs() as u32));
    }
    let exclusive = level.exclusive_mode.unwrap_or(false);
    Ok((listener, Level { exclusive, sources }))
}
