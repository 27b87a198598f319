//! Coming into a conference: a bot takes its seat at the mixer, a person answers an
//! invitation, and what that settles.

use callrig_media::description::Description;
use callrig_media::time::Instant;

use super::{Leg, Party, Standing};
use crate::attach::{self, Purpose};
use crate::call::Hosting;
use crate::call::result::EndResult;
use crate::event::Event;
use crate::graph::OperationStatus;
use crate::id::{CallId, ConversationId, LegId, OperationId, UserId};
use crate::service::people::CommandError;
use crate::service::reply::ApiError;
use crate::service::{Service, Timer};

/// Somebody was asked in; the operation ends when everybody has answered somehow.
#[derive(Clone, Debug)]
pub(crate) struct Invitation {
    call: CallId,
    waiting: usize,
    joined: usize,
}

impl Invitation {
    /// Of so many, by a call.
    pub(crate) const fn new(call: CallId, waiting: usize) -> Self {
        Self { call, waiting, joined: 0 }
    }
}

impl Service {
    pub(in crate::service) fn is_conference(&self, id: ConversationId) -> bool {
        self.conversations.get(&id).is_some_and(|held| held.conference.is_some())
    }

    /// A bot's seat at the mixer: for app-hosted media an address, and what the app is
    /// answered.
    pub(in crate::service) fn seat_bot(
        &mut self,
        leg: LegId,
        hosting: Hosting,
    ) -> Result<Hosting, ApiError> {
        let Hosting::App { offer, .. } = hosting else { return Ok(hosting) };
        let at = self.allot_for(leg, &offer)?;
        match attach::answer(&at, &at.announced(attach::mixed(&offer), &offer), &offer) {
            Ok(answer) => Ok(Hosting::App { offer, answer: Some(Box::new(answer)) }),
            Err(error) => {
                self.media.release(leg);
                Err(ApiError::bad_request(format!("mediaConfig/blob: {error}.")))
            }
        }
    }

    /// A bot comes in: its call is established, its media is mixed.
    pub(in crate::service) fn enter_bot(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get(&id) else { return };
        let (leg, conversation) = (call.leg, call.conversation);
        let mut described = None;
        if let Hosting::App { offer, answer: Some(answer) } = &call.hosting {
            let sides = ((**answer).clone(), (**offer).clone());
            described = Some(sides.1.clone());
            let seed = self.random_bits() as u64;
            if let Err(error) = self.media.open(leg, sides, Purpose::Terminate, seed) {
                let result = EndResult::media_unreachable(&error.to_string());
                return self.end_call(now, id, &result);
            }
            // The bot learns where to send before it learns that somebody listens.
            self.notify_state(now, id);
        }
        if let Some(held) = self.leg_mut(leg) {
            held.standing = Standing::Joined;
            held.description = described;
        }
        if let Err(error) = self.take_seat(now, leg) {
            return self.end_call(now, id, &EndResult::media_unreachable(&error));
        }
        self.connect_call(now, id);
        self.roster_changed(now, leg);
        self.settle_invitation(now, conversation, leg, None);
    }

    /// A leg's media comes into the conference's room.
    pub(in crate::service) fn take_seat(&mut self, now: Instant, leg: LegId) -> Result<(), String> {
        let seed = self.random_bits() as u64;
        let Some(id) = self.legs.get(&leg).copied() else { return Ok(()) };
        let key = self.leg(leg).map_or(0, |held| held.place.number);
        self.media.seat(now, leg, id, key, seed).map_err(|error| error.to_string())?;
        let muted = self.leg(leg).is_some_and(|held| held.place.is_muted());
        self.media.silence(leg, muted);
        self.media_moved(leg);
        self.drain_media(now);
        self.routing_changed(id);
        Ok(())
    }

    /// A person's telephone rings: come into this conference.
    pub(in crate::service) fn ring_person(
        &mut self,
        now: Instant,
        conversation: ConversationId,
        user: &UserId,
        by: Option<CallId>,
        ringing: core::time::Duration,
    ) -> Result<LegId, attach::PortsExhausted> {
        let leg = self.new_leg_id();
        let place = self.media.allot(leg)?;
        let modalities = by.and_then(|by| self.calls.get(&by)).map(|call| &call.modalities[..]);
        let offer = place.describe(attach::offered(modalities.unwrap_or(&[])));
        let info = self.directory.user_info(user).unwrap_or_default();
        let held = Leg::new(Party::User(user.clone()), Standing::Ringing, info);
        if let Some(conversation) = self.conversations.get_mut(&conversation) {
            conversation.insert(leg, held.describing(offer.clone()));
        }
        self.enter_leg(leg, conversation);
        self.ring(now, leg, by, user, offer, ringing);
        Ok(leg)
    }

    /// A person who was rung comes in.
    pub(in crate::service) fn person_enters(
        &mut self,
        now: Instant,
        leg: LegId,
        answer: Description,
    ) -> Result<(), CommandError> {
        let held = self.leg(leg).ok_or(CommandError::UnknownLeg)?;
        let offered = held.description.clone().ok_or(CommandError::WrongState)?;
        let unusable = |error: attach::AnswerError| CommandError::Media(error.to_string());
        let ours = match answer.secure {
            // A browser cannot answer an offer of plain RTP: it describes what it could do.
            Some(_) => {
                self.allot_for_person(leg, &answer)?;
                self.answer_to_person(leg, &answer)?
            }
            None => attach::settle(&offered, &answer).map_err(unusable)?,
        };
        self.timers.cancel(Timer::Ringing(leg));
        self.seat_person(now, leg, ours, answer)
    }

    /// What a person is answered who describes what they could do.
    pub(in crate::service) fn answer_to_person(
        &self,
        leg: LegId,
        theirs: &Description,
    ) -> Result<Description, CommandError> {
        let at = self.media.place_of(leg).ok_or(CommandError::NoPorts)?;
        attach::answer(at, &at.announced(attach::mixed(theirs), theirs), theirs)
            .map_err(|error| CommandError::Media(error.to_string()))
    }

    /// A person whose two sides are known comes in.
    pub(in crate::service) fn seat_person(
        &mut self,
        now: Instant,
        leg: LegId,
        ours: Description,
        theirs: Description,
    ) -> Result<(), CommandError> {
        let seed = self.random_bits() as u64;
        let sides = (ours.clone(), theirs.clone());
        let opened = self.media.open(leg, sides, Purpose::Terminate, seed);
        opened.map_err(|error| CommandError::Media(error.to_string()))?;
        self.take_seat(now, leg).map_err(CommandError::Media)?;
        let Some(id) = self.legs.get(&leg).copied() else { return Err(CommandError::UnknownLeg) };
        if let Some(conversation) = self.conversations.get_mut(&id) {
            if let Some(held) = conversation.legs.get_mut(&leg) {
                held.standing = Standing::Joined;
                held.description = Some(theirs);
            }
            if let Some(conference) = conversation.conference.as_deref_mut() {
                conference.peopled = true;
                self.timers.cancel(Timer::Alone(id));
            }
        }
        self.say(Event::UserAnswered { call: None, leg, description: ours });
        self.roster_changed(now, leg);
        self.settle_invitation(now, id, leg, None);
        self.record_by_policy(now, id, leg);
        Ok(())
    }

    /// Somebody who was asked in has come (`refused` is `None`) or will not. The last one
    /// ends the operation: well, if anybody came.
    pub(in crate::service) fn settle_invitation(
        &mut self,
        now: Instant,
        id: ConversationId,
        leg: LegId,
        refused: Option<&EndResult>,
    ) {
        let held = self.leg_mut(leg);
        let Some(operation) = held.and_then(|held| held.place.invited_by.take()) else {
            return;
        };
        self.settle(now, id, operation, refused);
    }

    pub(in crate::service) fn settle(
        &mut self,
        now: Instant,
        id: ConversationId,
        operation: OperationId,
        refused: Option<&EndResult>,
    ) {
        let conversation = self.conversations.get_mut(&id);
        let conference = conversation.and_then(|held| held.conference.as_deref_mut());
        let Some(conference) = conference else { return };
        let Some(invitation) = conference.invitations.get_mut(&operation) else { return };
        invitation.waiting -= 1;
        invitation.joined += usize::from(refused.is_none());
        if invitation.waiting > 0 {
            return;
        }
        let (call, joined) = (invitation.call, invitation.joined);
        conference.invitations.remove(&operation);
        let (status, result) = match refused {
            // A conference that ends well while somebody is rung is no refusal of theirs,
            // and its 200 would say that they came.
            Some(refused) if joined == 0 && refused.code < 300 => {
                (OperationStatus::Failed, EndResult::action_cancelled())
            }
            Some(refused) if joined == 0 => (OperationStatus::Failed, refused.clone()),
            _ => (OperationStatus::Completed, EndResult::action_completed()),
        };
        self.end_operation(now, call, operation, status, result);
    }
}
