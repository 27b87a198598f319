//! What a bot does with the participants of a conference: mutes them, itself, or all;
//! removes one; attaches a text to its own place. Muting is the service's: what a muted
//! participant sends is not mixed.

use callrig_media::time::Instant;

use super::Standing;
use crate::call::operation::{Kind, Operation};
use crate::call::result::EndResult;
use crate::graph;
use crate::id::{CallId, ConversationId, LegId};
use crate::service::Service;
use crate::service::api::{Asked, checked_context};
use crate::service::directory::Permission;
use crate::service::reply::{ApiError, Reply};

/// The permissions that let an app act on others in a group.
pub(super) const JOINING: &[Permission] =
    &[Permission::JoinGroupCall, Permission::JoinGroupCallAsGuest];

impl Service {
    /// The conference that a call of the caller's is in.
    pub(super) fn in_conference(
        &self,
        asked: &Asked<'_>,
        id: CallId,
    ) -> Result<ConversationId, ApiError> {
        let call = self.owned(asked, id)?;
        let action = asked.located.route.name();
        if !self.is_conference(call.conversation) {
            return Err(ApiError::group_only(action));
        }
        match call.state().is_connected() {
            true => Ok(call.conversation),
            false => Err(ApiError::wrong_state(action, call.state())),
        }
    }

    /// The conference in which a call of the caller's acts, where its app may.
    pub(super) fn acting_in(
        &self,
        asked: &Asked<'_>,
        id: CallId,
        any_of: &[Permission],
    ) -> Result<ConversationId, ApiError> {
        let conversation = self.in_conference(asked, id)?;
        self.check_group_permission(asked, id, any_of)?;
        Ok(conversation)
    }

    /// The same, where it acts on a participant.
    pub(super) fn acting_on(
        &self,
        asked: &Asked<'_>,
        id: CallId,
        leg: LegId,
    ) -> Result<ConversationId, ApiError> {
        self.acting_in(asked, id, JOINING)?;
        self.participant_of(asked, id, leg)
    }

    pub(super) fn check_group_permission(
        &self,
        asked: &Asked<'_>,
        id: CallId,
        any_of: &[Permission],
    ) -> Result<(), ApiError> {
        let call = self.owned(asked, id)?;
        self.check_permission(asked, &call.tenant, any_of)
    }

    /// The conference that has a participant in its rosters.
    pub(super) fn participant_of(
        &self,
        asked: &Asked<'_>,
        id: CallId,
        leg: LegId,
    ) -> Result<ConversationId, ApiError> {
        let conversation = self.in_conference(asked, id)?;
        let held = self.conversations.get(&conversation).and_then(|held| held.legs.get(&leg));
        held.filter(|held| held.standing.is_present())
            .map(|_| conversation)
            .ok_or_else(|| ApiError::not_found("Participant"))
    }

    /// `DELETE …/participants/{id}`. The removed person is not told by the API; a removed
    /// bot's call ends, and says so.
    pub(in crate::service) fn remove_participant(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
        leg: LegId,
    ) -> Result<Reply, ApiError> {
        self.acting_on(asked, id, leg)?;
        let allowed = self.config.may_remove_participants.as_ref();
        if allowed.is_some_and(|apps| !apps.contains(&asked.caller.app)) {
            let message = "The tenant does not let the app remove participants.";
            return Err(ApiError::new(403, "Forbidden", message));
        }
        match self.leg(leg).and_then(super::Leg::call) {
            Some(call) => self.end_call(asked.now, call, &EndResult::removed()),
            None => self.person_gone(asked.now, leg, &EndResult::removed()),
        }
        Ok(Reply::empty(204))
    }

    /// `POST …/mute`, `…/unmute`: of the bot itself.
    pub(in crate::service) fn mute_self(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
        muted: bool,
    ) -> Result<Reply, ApiError> {
        let body: graph::ClientContext = asked.parse_or_default()?;
        let context = checked_context(body.client_context)?;
        self.in_conference(asked, id)?;
        let leg = self.owned(asked, id)?.leg;
        let kind = if muted { Kind::MuteParticipant } else { Kind::UnmuteParticipant };
        let reply = self.done_at_once(asked, id, kind, context)?;
        self.set_server_muted(asked.now, leg, muted);
        Ok(reply)
    }

    /// `POST …/participants/{id}/mute`
    pub(in crate::service) fn mute_participant(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
        leg: LegId,
    ) -> Result<Reply, ApiError> {
        let body: graph::ClientContext = asked.parse_or_default()?;
        let context = checked_context(body.client_context)?;
        self.acting_on(asked, id, leg)?;
        let reply = self.done_at_once(asked, id, Kind::MuteParticipant, context)?;
        self.set_server_muted(asked.now, leg, true);
        Ok(reply)
    }

    /// `POST …/participants/muteAll`: those that the body names, or all others.
    pub(in crate::service) fn mute_all(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
    ) -> Result<Reply, ApiError> {
        let body: graph::MuteAll = asked.parse_or_default()?;
        let context = checked_context(body.client_context)?;
        let conversation = self.acting_in(asked, id, &[Permission::JoinGroupCall])?;
        let own = self.owned(asked, id)?.leg;
        let named = body.participants.unwrap_or_default();
        let named: Vec<LegId> = named.iter().filter_map(|text| LegId::parse(text)).collect();
        let held = self.conversations.get(&conversation);
        let legs: Vec<LegId> = held
            .into_iter()
            .flat_map(|held| &held.legs)
            .filter(|(leg, held)| held.standing == Standing::Joined && **leg != own)
            .map(|(leg, _)| *leg)
            .filter(|leg| named.is_empty() || named.contains(leg))
            .collect();
        let reply = self.done_at_once(asked, id, Kind::MuteParticipants, context)?;
        for leg in legs {
            self.set_server_muted(asked.now, leg, true);
        }
        Ok(reply)
    }

    /// An operation that is done when it is answered. In 2018 muting was answered 200 with
    /// its operation already, so these have no older form.
    fn done_at_once(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
        kind: Kind,
        context: Option<String>,
    ) -> Result<Reply, ApiError> {
        let mut operation = Operation::running(self.new_operation_id(), kind, context);
        operation.status = graph::OperationStatus::Completed;
        self.take_operation(asked, id, operation, 200)
    }

    fn set_server_muted(&mut self, now: Instant, leg: LegId, muted: bool) {
        let Some(held) = self.leg_mut(leg) else { return };
        if core::mem::replace(&mut held.place.server_muted, muted) != muted {
            self.mute_changed(now, leg);
        }
    }

    /// Whether a leg is heard may have changed.
    pub(super) fn mute_changed(&mut self, now: Instant, leg: LegId) {
        let muted = self.leg(leg).is_some_and(|held| held.place.is_muted());
        self.media.silence(leg, muted);
        self.roster_changed(now, leg);
    }

    /// `POST …/updateMetadata`: a text in the bot's own place in rosters (2018).
    pub(in crate::service) fn update_metadata(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
    ) -> Result<Reply, ApiError> {
        let body: graph::UpdateMetadata = asked.parse()?;
        let context = checked_context(body.client_context)?;
        let metadata = body.metadata.ok_or_else(|| ApiError::missing("metadata"))?;
        if metadata.len() > METADATA_BYTES_MAX {
            let message = format!("metadata has more than {METADATA_BYTES_MAX} bytes.");
            return Err(ApiError::bad_request(message));
        }
        self.in_conference(asked, id)?;
        let leg = self.owned(asked, id)?.leg;
        let reply = self.complete_at_once(asked, id, Kind::UpdateMetadata, context)?;
        if let Some(held) = self.leg_mut(leg) {
            held.place.metadata = Some(metadata).filter(|text| !text.is_empty());
        }
        self.roster_changed(asked.now, leg);
        Ok(reply)
    }

    /// `POST …/raiseHand`, `…/lowerHand`, and of others `…/participants/{id}/lowerHand`,
    /// `…/participants/lowerAllHands`. No page describes them; they answer 204, and
    /// rosters show raised hands in `publishedStates`.
    pub(in crate::service) fn set_hand(&mut self, now: Instant, leg: LegId, raised: bool) {
        let Some(held) = self.leg_mut(leg) else { return };
        if core::mem::replace(&mut held.place.hand_raised, raised) != raised {
            self.roster_changed(now, leg);
        }
    }

    /// The bot's own hand.
    pub(in crate::service) fn own_hand(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
        raised: bool,
    ) -> Result<Reply, ApiError> {
        self.acting_in(asked, id, JOINING)?;
        let leg = self.owned(asked, id)?.leg;
        self.set_hand(asked.now, leg, raised);
        Ok(Reply::empty(204))
    }

    /// The hand of another, or of all.
    pub(in crate::service) fn lower_hands(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
        leg: Option<LegId>,
    ) -> Result<Reply, ApiError> {
        let conversation = self.acting_in(asked, id, JOINING)?;
        let legs = match leg {
            Some(leg) => self.participant_of(asked, id, leg).map(|_| vec![leg])?,
            None => {
                let held = self.conversations.get(&conversation);
                held.into_iter().flat_map(|held| held.legs.keys().copied()).collect()
            }
        };
        for leg in legs {
            self.set_hand(asked.now, leg, false);
        }
        Ok(Reply::empty(204))
    }
}

/// How long a text in a roster may be (ours).
const METADATA_BYTES_MAX: usize = 16 * 1024;
