//! Asking people and bots in: `participants/invite`. The operation ends when everybody
//! has answered somehow. A person whom the app already has in a peer-to-peer call
//! (`replacesCallId`) is brought over from it. From a peer-to-peer call an invitation
//! makes a conference of it.

use callrig_media::time::Instant;

use super::entry::Invitation;
use super::group::INVITEES_MAX;
use super::{Leg, Party, Place, Standing};
use crate::call::NewCall;
use crate::call::operation::{Kind, Operation};
use crate::call::result::EndResult;
use crate::call::state::State;
use crate::graph::{self, InvitationParticipantInfo, MeetingInfo, TokenMeetingInfo};
use crate::id::{AppId, CallId, ConversationId, LegId, OperationId, UserId};
use crate::service::api::{Asked, checked_context};
use crate::service::directory::Permission;
use crate::service::people::CommandError;
use crate::service::reply::{ApiError, Reply};
use crate::service::{Service, Timer};

/// Who is asked in.
#[derive(Clone, Debug)]
enum Invitee {
    /// A person, by telephone.
    Person {
        user: UserId,
        /// Kept out of the default audio routing group.
        apart: bool,
        /// No roster shows them.
        hidden: bool,
    },
    /// A person who is in this call of the app's: the call and the person's leg.
    Replacing(CallId, LegId),
    /// A bot.
    Bot(AppId),
}

impl Service {
    /// `POST …/participants/invite`
    pub(in crate::service) fn invite(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
    ) -> Result<Reply, ApiError> {
        let body: graph::Invite = asked.parse()?;
        let context = checked_context(body.client_context)?;
        let mut wanted = body.participants.unwrap_or_default();
        if wanted.is_empty() || wanted.len() > INVITEES_MAX {
            let message = format!("participants must have 1 to {INVITEES_MAX} entries.");
            return Err(ApiError::bad_request(message));
        }
        let call = self.owned(asked, id)?;
        let (state, conversation) = (call.state(), call.conversation);
        if !state.is_connected() {
            return Err(ApiError::wrong_state("invite", state));
        }
        self.check_group_permission(asked, id, &[Permission::InitiateGroupCall])?;
        if wanted.iter().any(|info| info.replaces_call_id.is_some()) {
            // Documented: then only the first is read.
            wanted.truncate(1);
        }
        if wanted.len() > 1 && !self.is_conference(conversation) {
            return Err(ApiError::group_only("Inviting several participants"));
        }
        let invitees = self.invitees(asked, id, &wanted)?;
        self.check_legs(conversation, invitees.len())?;
        if !self.is_conference(conversation) {
            self.escalate(asked.now, conversation);
        }
        let mut operation =
            Operation::running(self.new_operation_id(), Kind::InviteParticipants, context);
        operation.participants = Some(wanted);
        let operation_id = operation.id;
        let reply = self.begin_operation(asked, id, operation)?;
        let held = self.conversations.get_mut(&conversation);
        if let Some(conference) = held.and_then(|held| held.conference.as_deref_mut()) {
            conference.invitations.insert(operation_id, Invitation::new(id, invitees.len()));
        }
        for invitee in invitees {
            self.ask_in(asked.now, id, conversation, operation_id, invitee);
        }
        Ok(reply)
    }

    /// Whom a request asks in, all of whom can be asked.
    fn invitees(
        &self,
        asked: &Asked<'_>,
        id: CallId,
        wanted: &[InvitationParticipantInfo],
    ) -> Result<Vec<Invitee>, ApiError> {
        let mut invitees = Vec::with_capacity(wanted.len());
        let mut bots = 0;
        for info in wanted {
            let identity = info.identity.as_ref();
            let app = identity.filter(|set| set.user.is_none() && set.phone.is_none());
            if let Some(app) = app.and_then(|set| set.application_id()) {
                bots += 1;
                self.webhook_of(&app).map_err(|error| match error {
                    CommandError::UnknownApp(_) => ApiError::not_found("Application"),
                    error => ApiError::bad_request(error.to_string()),
                })?;
                self.check_room_for_call(asked.now, &app)?;
                invitees.push(Invitee::Bot(app));
                continue;
            }
            let (user, _) = self.person_of(info)?;
            let invitee = match info.replaces_call_id.as_deref() {
                Some(text) => self.replaced(asked, id, text, &user)?,
                None => Invitee::Person {
                    user,
                    apart: info.remove_from_default_audio_routing_group == Some(true),
                    hidden: info.hidden == Some(true),
                },
            };
            invitees.push(invitee);
        }
        match bots {
            0 | 1 => Ok(invitees),
            _ => Err(ApiError::bad_request("More than one bot cannot be invited.")),
        }
    }

    /// The peer-to-peer call that an invitation takes the place of. It is named by its id,
    /// in 2018 by its path.
    fn replaced(
        &self,
        asked: &Asked<'_>,
        id: CallId,
        text: &str,
        user: &UserId,
    ) -> Result<Invitee, ApiError> {
        let named = text.rsplit('/').next().and_then(CallId::parse);
        let named = named.ok_or_else(ApiError::call_not_found)?;
        let call = self.owned(asked, named)?;
        if named == id || self.is_conference(call.conversation) {
            return Err(ApiError::bad_request("replacesCallId names no other peer-to-peer call."));
        }
        if call.state() != State::Established {
            return Err(ApiError::wrong_state("replacesCallId", call.state()));
        }
        let peer = self.peer_of(call).filter(|(_, leg)| leg.party == Party::User(user.clone()));
        let (leg, _) = peer.ok_or_else(|| {
            ApiError::bad_request("The call that replacesCallId names is with somebody else.")
        })?;
        Ok(Invitee::Replacing(named, leg))
    }

    fn ask_in(
        &mut self,
        now: Instant,
        by: CallId,
        conversation: ConversationId,
        operation: OperationId,
        invitee: Invitee,
    ) {
        let no_port =
            |error: crate::attach::PortsExhausted| EndResult::media_unreachable(&error.to_string());
        let rung = match invitee {
            Invitee::Person { user, apart, hidden } => {
                let ringing = self.config.limits.ringing;
                let rung = self.ring_person(now, conversation, &user, Some(by), ringing);
                if let Some(held) = rung.as_ref().ok().and_then(|leg| self.leg_mut(*leg)) {
                    (held.place.apart, held.place.hidden) = (apart, hidden);
                }
                rung.map_err(no_port)
            }
            Invitee::Bot(app) => match self.ring_bot_in(now, conversation, &app, Some(by)) {
                Ok((call, leg)) => {
                    self.announce(now, call);
                    Ok(leg)
                }
                Err(error) => Err(EndResult::invitee_unreachable(&error.to_string())),
            },
            Invitee::Replacing(call, leg) => {
                self.bring_over(now, call, leg, conversation);
                self.settle(now, conversation, operation, None);
                return self.end_call(now, call, &EndResult::replaced());
            }
        };
        match rung {
            Ok(leg) => {
                if let Some(held) = self.leg_mut(leg) {
                    held.place.invited_by = Some(operation);
                }
            }
            Err(result) => self.settle(now, conversation, operation, Some(&result)),
        }
    }

    /// A person goes on in a conference with the same session. What the peer-to-peer call
    /// played stops.
    fn bring_over(&mut self, now: Instant, from: CallId, leg: LegId, to: ConversationId) {
        self.media.stop(now, leg);
        let left = self.calls.get(&from).map(|call| call.conversation);
        let left = left.and_then(|id| self.conversations.get_mut(&id));
        let Some(mut held) = left.and_then(|left| left.legs.remove(&leg)) else { return };
        held.place = Place::default();
        held.standing = Standing::Joined;
        self.legs.insert(leg, to);
        if let Some(conversation) = self.conversations.get_mut(&to) {
            conversation.insert(leg, held);
            if let Some(conference) = conversation.conference.as_deref_mut() {
                conference.peopled = true;
                self.timers.cancel(Timer::Alone(to));
            }
        }
        if let Err(error) = self.take_seat(now, leg) {
            self.person_gone(now, leg, &EndResult::media_unreachable(&error));
            return;
        }
        self.roster_changed(now, leg);
    }

    /// A bot is asked into a conference: an incoming call, with a token to join by.
    pub(in crate::service) fn ring_bot_in(
        &mut self,
        now: Instant,
        conversation: ConversationId,
        app: &AppId,
        by: Option<CallId>,
    ) -> Result<(CallId, LegId), CommandError> {
        let webhook = self.webhook_of(app)?;
        if !self.has_room_for_call(app) {
            return Err(CommandError::TooManyCalls(app.clone()));
        }
        let source = by.and_then(|by| self.calls.get(&by)).map(|call| call.app.clone());
        let source = source.map(|source| self.directory.app_info(&source)).unwrap_or_default();
        let (call, leg) = (self.new_call_id(), self.new_leg_id());
        let info = self.directory.app_info(app);
        let target = InvitationParticipantInfo {
            identity: info.identity.clone(),
            ..InvitationParticipantInfo::typed()
        };
        let Some(held) = self.conversations.get_mut(&conversation) else {
            return Err(CommandError::UnknownLeg);
        };
        held.insert(leg, Leg::new(Party::Bot(call), Standing::Ringing, info));
        let tenant = held.tenant.clone();
        let (chat, token) = held
            .conference
            .as_deref()
            .map(|conference| (conference.chat.clone(), conference.token.clone()))
            .unwrap_or_default();
        self.legs.insert(leg, conversation);
        let new = NewCall {
            id: call,
            app: app.clone(),
            tenant,
            conversation,
            leg,
            direction: graph::CallDirection::Incoming,
            callback_uri: webhook,
            modalities: vec![graph::Modality::Audio],
            source,
            targets: vec![target],
        };
        self.begin_call(now, new);
        if let Some(held) = self.calls.get_mut(&call) {
            held.chat = chat.map(Box::new);
            let info = TokenMeetingInfo { token: Some(token), ..TokenMeetingInfo::typed() };
            held.meeting = Some(Box::new(MeetingInfo::Token(info)));
        }
        Ok((call, leg))
    }

    /// The bot is told of its incoming call.
    pub(in crate::service) fn announce(&mut self, now: Instant, call: CallId) {
        let modalities = self.calls.get(&call).map(|call| call.modalities.clone());
        self.notify_call(now, call, graph::ChangeType::Created, |shown| {
            shown.requested_modalities = modalities;
        });
    }
}
