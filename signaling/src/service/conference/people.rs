//! What people do in conferences: join one, let others in from the lobby, mute
//! themselves, share a screen, raise a hand, ask somebody in, end it for all. Leaving is
//! hanging up.

use callrig_media::description::Description;
use callrig_media::time::Instant;
use serde::{Deserialize, Serialize};

use super::join::Known;
use super::{Leg, Party, Standing};
use crate::call::result::EndResult;
use crate::id::{AppId, CallId, ConversationId, LegId, UserId};
use crate::service::Service;
use crate::service::people::CommandError;

/// Where a person wants to go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Destination {
    /// A meeting: its id, the link to join by, the number to join by, or its thread.
    Meeting(String),
    /// The group call that this call of a bot is part of.
    Call(CallId),
}

/// A person who has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Arrival {
    /// The person's leg: the handle for everything the person does from now on.
    pub leg: LegId,
    /// Whether the person waits in the lobby.
    pub waits: bool,
}

impl Service {
    /// A person joins a meeting or a group call: at once, then
    /// [`Event::UserAnswered`](crate::event::Event::UserAnswered) says where media goes,
    /// or after having been let in from the lobby.
    ///
    /// # Errors
    /// Unknown people and places, media that cannot be used, no room.
    pub fn join(
        &mut self,
        now: Instant,
        user: &UserId,
        destination: &Destination,
        offer: Description,
    ) -> Result<Arrival, CommandError> {
        let info = self.directory.user_info(user);
        let info = info.ok_or_else(|| CommandError::UnknownUser(user.clone()))?;
        let known = self.known_at(destination)?;
        let full = |_| CommandError::TooManyLegs;
        if let Some(id) = known.live {
            self.check_legs(id, 1).map_err(full)?;
        }
        let leg = self.new_leg_id();
        self.allot_for_person(leg, &offer)?;
        let ours = self.answer_to_person(leg, &offer).inspect_err(|_| self.media.release(leg))?;
        let joiner = self.joiner(user, &known.tenant);
        let id = self.conference_of(now, &known);
        let held = Leg::new(Party::User(user.clone()), Standing::Calling, info);
        if let Some(conversation) = self.conversations.get_mut(&id) {
            conversation.insert(leg, held.describing(offer.clone()));
        }
        self.enter_leg(leg, id);
        let waits = !known.lobby.passes(&joiner);
        if waits {
            self.wait_in_lobby(now, leg);
        } else if let Err(error) = self.seat_person(now, leg, ours, offer) {
            self.person_gone(now, leg, &EndResult::media_unreachable(&error.to_string()));
            return Err(error);
        }
        Ok(Arrival { leg, waits })
    }

    fn known_at(&self, destination: &Destination) -> Result<Known, CommandError> {
        match destination {
            Destination::Call(call) => {
                let held =
                    self.calls.get(call).filter(|call| self.is_conference(call.conversation));
                let id = held.map(|call| call.conversation).ok_or(CommandError::NoConference)?;
                self.known_live(id).ok_or(CommandError::NoConference)
            }
            Destination::Meeting(text) => {
                let unknown = || CommandError::UnknownMeeting(text.clone());
                match self.meetings.named(text) {
                    Some(meeting) => self.known_of(meeting).ok_or_else(unknown),
                    None => {
                        let live = self.live.by_thread.get(text).copied();
                        live.and_then(|id| self.known_live(id)).ok_or_else(unknown)
                    }
                }
            }
        }
    }

    /// The conference of a leg that is in.
    fn conference_with(&self, leg: LegId) -> Result<ConversationId, CommandError> {
        let held = self.leg(leg).ok_or(CommandError::UnknownLeg)?;
        let id = self.legs.get(&leg).copied().ok_or(CommandError::UnknownLeg)?;
        if !self.is_conference(id) {
            return Err(CommandError::NoConference);
        }
        match held.standing {
            Standing::Joined => Ok(id),
            _ => Err(CommandError::WrongState),
        }
    }

    /// Somebody who waits in a lobby is let in.
    ///
    /// # Errors
    /// No such leg, or one that does not wait.
    pub fn admit(&mut self, now: Instant, leg: LegId) -> Result<(), CommandError> {
        self.let_in(now, leg)
    }

    /// Somebody who waits in a lobby is turned away.
    ///
    /// # Errors
    /// No such leg, or one that does not wait.
    pub fn refuse(&mut self, now: Instant, leg: LegId) -> Result<(), CommandError> {
        let held = self.leg(leg).ok_or(CommandError::UnknownLeg)?;
        if held.standing != Standing::Lobby {
            return Err(CommandError::WrongState);
        }
        self.turn_away(now, leg, &EndResult::removed());
        Ok(())
    }

    /// A person mutes or unmutes themselves.
    ///
    /// # Errors
    /// No such leg, or one that is in no conference.
    pub fn set_muted(&mut self, now: Instant, leg: LegId, muted: bool) -> Result<(), CommandError> {
        self.conference_with(leg)?;
        let Some(held) = self.leg_mut(leg) else { return Err(CommandError::UnknownLeg) };
        if core::mem::replace(&mut held.place.self_muted, muted) != muted {
            self.mute_changed(now, leg);
        }
        Ok(())
    }

    /// A person raises or lowers a hand.
    ///
    /// # Errors
    /// No such leg, or one that is in no conference.
    pub fn raise_hand(&mut self, now: Instant, leg: LegId, up: bool) -> Result<(), CommandError> {
        self.conference_with(leg)?;
        self.set_hand(now, leg, up);
        Ok(())
    }

    /// A person begins or ends sharing a screen.
    ///
    /// # Errors
    /// No such leg, or one that is in no conference.
    pub fn share_screen(&mut self, now: Instant, leg: LegId, on: bool) -> Result<(), CommandError> {
        self.conference_with(leg)?;
        self.set_sharing(now, leg, on);
        Ok(())
    }

    /// A person asks another one in; a peer-to-peer call becomes a conference by that, and
    /// bots that may not join one are dropped. Answer the leg as any that rings.
    ///
    /// # Errors
    /// Unknown people, a leg that is in no call, no room.
    pub fn invite_user(
        &mut self,
        now: Instant,
        leg: LegId,
        user: &UserId,
    ) -> Result<LegId, CommandError> {
        if self.directory.user(user).is_none() {
            return Err(CommandError::UnknownUser(user.clone()));
        }
        let id = self.grow(now, leg)?;
        let ringing = self.config.limits.ringing;
        let rung = self.ring_person(now, id, user, None, ringing);
        let rung = rung.map_err(|_| CommandError::NoPorts)?;
        self.drop_those_who_may_not_join(now, id);
        Ok(rung)
    }

    /// A person asks a bot in; else as [`invite_user`](Self::invite_user).
    ///
    /// # Errors
    /// Unknown apps, a leg that is in no call, no room.
    pub fn invite_bot(
        &mut self,
        now: Instant,
        leg: LegId,
        app: &AppId,
    ) -> Result<CallId, CommandError> {
        self.webhook_of(app)?;
        if !self.has_room_for_call(app) {
            return Err(CommandError::TooManyCalls(app.clone()));
        }
        let asker = self.leg(leg).and_then(|held| match &held.party {
            Party::User(user) => Some(user.clone()),
            Party::Bot(_) | Party::Voicemail(_) | Party::Gallery => None,
        });
        let asker = asker.ok_or(CommandError::UnknownLeg)?;
        let id = self.grow(now, leg)?;
        self.drop_those_who_may_not_join(now, id);
        let (call, _) = self.ring_bot_in(now, id, app, None)?;
        let source = self.source_for(&asker, app);
        if let Some(held) = self.calls.get_mut(&call) {
            held.source = source;
        }
        self.announce(now, call);
        Ok(call)
    }

    /// The conference of a leg that is in a call; made if there is none.
    fn grow(&mut self, now: Instant, leg: LegId) -> Result<ConversationId, CommandError> {
        let held = self.leg(leg).filter(|held| held.is_person());
        if held.ok_or(CommandError::UnknownLeg)?.standing != Standing::Joined {
            return Err(CommandError::WrongState);
        }
        let id = self.legs.get(&leg).copied().ok_or(CommandError::UnknownLeg)?;
        if self.anchors.contains_key(&leg) {
            return Err(CommandError::WrongState);
        }
        self.check_legs(id, 1).map_err(|_| CommandError::TooManyLegs)?;
        self.escalate(now, id);
        Ok(id)
    }

    /// A person ends the conference for everybody.
    ///
    /// # Errors
    /// No such leg, or one that is in no conference.
    pub fn end_for_all(&mut self, now: Instant, leg: LegId) -> Result<(), CommandError> {
        let id = self.conference_with(leg)?;
        self.close_conference(now, id, &EndResult::conversation_ended());
        Ok(())
    }
}
