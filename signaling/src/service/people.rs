//! What people do: call a bot, answer or decline its call, hang up, press a key. These
//! are the commands behind the control API.

use callrig_media::description::Description;
use callrig_media::time::Instant;
use serde::{Deserialize, Serialize};

use super::Service;
use super::conference::{Conversation, Leg, Party, Standing};
use crate::call::NewCall;
use crate::call::result::EndResult;
use crate::event::Event;
use crate::graph::{
    CallDirection, ChangeType, IdentitySet, InvitationParticipantInfo, Modality, Tone,
};
use crate::id::{AppId, CallId, LegId, UserId};

/// A call that rings at a bot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ringing {
    /// The bot's call.
    pub call: CallId,
    /// The person's leg: the handle for everything the person does from now on.
    pub leg: LegId,
}

/// Why a person cannot do this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Not in the directory.
    #[error("no user {0}")]
    UnknownUser(UserId),
    /// Not in the directory.
    #[error("no app {0}")]
    UnknownApp(AppId),
    /// The app has no bot that can be called.
    #[error("app {0} has no webhook for calling")]
    NoWebhook(AppId),
    /// The webhook is at a place that must not be called.
    #[error("the webhook {0} is not allowed: it must be https, or http on this machine")]
    WebhookNotAllowed(String),
    /// The bot has as many calls as it may.
    #[error("app {0} has as many calls as it may")]
    TooManyCalls(AppId),
    /// Every port for media is taken.
    #[error("every port for media is taken")]
    NoPorts,
    /// The leg is not there (any more).
    #[error("no such leg")]
    UnknownLeg,
    /// The leg is not in a state for this.
    #[error("the leg is not in a state for this")]
    WrongState,
    /// What the person described cannot be used.
    #[error("the media description cannot be used: {0}")]
    Media(String),
    /// No meeting of this name.
    #[error("no meeting {0}")]
    UnknownMeeting(String),
    /// A peer-to-peer call, or none.
    #[error("the leg is in no conference")]
    NoConference,
    /// The call has as many participants as it may.
    #[error("the call has as many participants as it may")]
    TooManyLegs,
}

impl Service {
    /// A person calls a bot. The bot is told by a notification to its webhook and has
    /// its window to answer; [`Event::UserAnswered`] or [`Event::LegEnded`] follows.
    ///
    /// # Errors
    /// Unknown parties, a bot that cannot be called, no room.
    pub fn ring_bot(
        &mut self,
        now: Instant,
        user: &UserId,
        app: &AppId,
        offer: Description,
    ) -> Result<Ringing, CommandError> {
        let tenant = self.directory.user(user).map(|(tenant, _)| tenant.clone());
        let tenant = tenant.ok_or_else(|| CommandError::UnknownUser(user.clone()))?;
        let webhook = self.webhook_of(app)?;
        if !self.has_room_for_call(app) {
            return Err(CommandError::TooManyCalls(app.clone()));
        }
        let user_leg = self.new_leg_id();
        self.allot_for_person(user_leg, &offer)?;
        let source = self.source_for(user, app);
        let target = InvitationParticipantInfo {
            identity: self.directory.app_info(app).identity,
            ..InvitationParticipantInfo::typed()
        };
        let modalities = modalities_of(&offer);
        let (conversation, call) = (self.new_conversation_id(), self.new_call_id());
        let bot_leg = self.new_leg_id();
        let mut held = Conversation::new(tenant.clone());
        let info = self.directory.user_info(user).unwrap_or_default();
        let person = Leg::new(Party::User(user.clone()), Standing::Calling, info);
        held.insert(user_leg, person.describing(offer));
        let info = self.directory.app_info(app);
        held.insert(bot_leg, Leg::new(Party::Bot(call), Standing::Ringing, info));
        self.conversations.insert(conversation, held);
        self.enter_leg(user_leg, conversation);
        self.enter_leg(bot_leg, conversation);
        let new = NewCall {
            id: call,
            app: app.clone(),
            tenant,
            conversation,
            leg: bot_leg,
            direction: CallDirection::Incoming,
            callback_uri: webhook,
            modalities: modalities.clone(),
            source,
            targets: vec![target],
        };
        self.begin_call(now, new);
        self.notify_call(now, call, ChangeType::Created, |shown| {
            shown.requested_modalities = Some(modalities);
        });
        Ok(Ringing { call, leg: user_leg })
    }

    pub(super) fn allot_for_person(
        &mut self,
        leg: LegId,
        offer: &Description,
    ) -> Result<(), CommandError> {
        if offer.secure.is_none() {
            return self.media.allot(leg).map(|_| ()).map_err(|_| CommandError::NoPorts);
        }
        self.media.check(offer).map_err(|error| CommandError::Media(error.to_string()))?;
        let seed = self.random_bits() as u64;
        let allotted = self.media.allot_shared(leg, seed);
        allotted.map(|_| ()).map_err(|error| CommandError::Media(error.to_string()))
    }

    pub(super) fn webhook_of(&self, app: &AppId) -> Result<String, CommandError> {
        let known = self.directory.app(app);
        let known = known.ok_or_else(|| CommandError::UnknownApp(app.clone()))?;
        let webhook = known.webhook.clone();
        let webhook = webhook.ok_or_else(|| CommandError::NoWebhook(app.clone()))?;
        if super::notify::uri_allowed(self.config.uris, &webhook) {
            Ok(webhook)
        } else {
            Err(CommandError::WebhookNotAllowed(webhook))
        }
    }

    /// The caller as the app may see it: hidden without any permission on calls.
    pub(super) fn source_for(
        &mut self,
        user: &UserId,
        app: &AppId,
    ) -> crate::graph::ParticipantInfo {
        let mut info = self.directory.user_info(user).unwrap_or_default();
        let known = self
            .directory
            .user(user)
            .is_some_and(|(tenant, _)| self.directory.may_know_callers(tenant, app));
        if !known {
            let hidden = format!("{:032x}", self.random_bits());
            info.identity = Some(IdentitySet::of_encrypted(&hidden));
        }
        info
    }

    /// A person takes the call of a bot. The description answers the one in
    /// [`Event::UserRung`].
    ///
    /// # Errors
    /// No such leg, one that does not ring, or a description that does not fit.
    pub fn answer(
        &mut self,
        now: Instant,
        leg: LegId,
        description: Description,
    ) -> Result<(), CommandError> {
        let held = self.leg(leg).ok_or(CommandError::UnknownLeg)?;
        if held.standing != Standing::Ringing || !matches!(held.party, Party::User(_)) {
            return Err(CommandError::WrongState);
        }
        if held.place.refused.is_some() {
            return Err(CommandError::WrongState);
        }
        match self.rung_by_fork(leg) {
            Some(id) => self.rung_person_answers(now, id, leg, description),
            None => self.person_answers(now, leg, description),
        }
    }

    /// A person declines the call of a bot.
    ///
    /// # Errors
    /// No such leg, or one that does not ring.
    pub fn decline(&mut self, now: Instant, leg: LegId) -> Result<(), CommandError> {
        let held = self.leg(leg).ok_or(CommandError::UnknownLeg)?;
        if held.standing != Standing::Ringing {
            return Err(CommandError::WrongState);
        }
        self.person_gone(now, leg, &EndResult::user_declined());
        Ok(())
    }

    /// A person hangs up, in a call or before it is answered.
    ///
    /// # Errors
    /// No such leg.
    pub fn hang_up(&mut self, now: Instant, leg: LegId) -> Result<(), CommandError> {
        let held = self.leg(leg).filter(|held| matches!(held.party, Party::User(_)));
        let result = match held.ok_or(CommandError::UnknownLeg)?.standing {
            Standing::Calling => EndResult::caller_gave_up(),
            Standing::Ringing => EndResult::user_declined(),
            Standing::Lobby | Standing::Joined => EndResult::ended_by_other_party(),
        };
        self.person_gone(now, leg, &result);
        Ok(())
    }

    /// A person presses a key, without media: as if its tone had been heard on the leg.
    ///
    /// # Errors
    /// No such leg, or one that is not in a call.
    pub fn press(&mut self, now: Instant, leg: LegId, tone: &Tone) -> Result<(), CommandError> {
        let held = self.leg(leg).ok_or(CommandError::UnknownLeg)?;
        if held.standing != Standing::Joined {
            return Err(CommandError::WrongState);
        }
        self.tone_heard(now, leg, tone);
        Ok(())
    }

    pub(super) fn leg(&self, leg: LegId) -> Option<&Leg> {
        self.conversations.get(self.legs.get(&leg)?)?.legs.get(&leg)
    }

    pub(super) fn leg_mut(&mut self, leg: LegId) -> Option<&mut Leg> {
        self.conversations.get_mut(self.legs.get(&leg)?)?.legs.get_mut(&leg)
    }

    /// Where media for a leg is received, if it is told so.
    pub(super) fn say_answered(&mut self, call: CallId, leg: LegId, description: Description) {
        if let Some(held) = self.leg_mut(leg) {
            held.standing = Standing::Joined;
        }
        self.say(Event::UserAnswered { call: Some(call), leg, description });
    }
}

/// Which media a description asks for.
pub(crate) fn modalities_of(description: &Description) -> Vec<Modality> {
    use callrig_media::description::MediaKind;
    let mut modalities = vec![Modality::Audio];
    for media in description.media.iter().filter(|media| !media.rejected) {
        let modality = match media.kind {
            MediaKind::Audio => Modality::Audio,
            MediaKind::Video => Modality::Video,
            MediaKind::ScreenSharing => Modality::VideoBasedScreenSharing,
            MediaKind::Data => continue,
        };
        if !modalities.contains(&modality) {
            modalities.push(modality);
        }
    }
    modalities
}
