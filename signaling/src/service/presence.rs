//! Whether a person can be rung: what the person says, and whether there is a call
//! already. Real presences are other products' business; a rig needs the ones that end a
//! call, each with its result.

use core::time::Duration;

use callrig_media::description::Description;
use callrig_media::time::Instant;
use serde::{Deserialize, Serialize};

use super::conference::{Leg, Party};
use super::people::CommandError;
use super::{Service, Timer};
use crate::call::result::EndResult;
use crate::event::Event;
use crate::id::{CallId, ConversationId, LegId, UserId};

/// What a person's endpoints say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Presence {
    /// The telephone rings, unless there is a call already.
    #[default]
    Available,
    /// Nothing rings: 480/90005.
    DoNotDisturb,
    /// There is no endpoint: 480/10037.
    Offline,
    /// There is one, and it is silent: 480/10076.
    Unreachable,
}

impl Service {
    /// A person's endpoints change.
    ///
    /// # Errors
    /// Nobody of that id.
    pub fn set_presence(&mut self, user: &UserId, presence: Presence) -> Result<(), CommandError> {
        if self.directory.user(user).is_none() {
            return Err(CommandError::UnknownUser(user.clone()));
        }
        match presence {
            Presence::Available => self.presences.remove(user),
            other => self.presences.insert(user.clone(), other),
        };
        Ok(())
    }

    /// What a person's endpoints say.
    #[must_use]
    pub fn presence(&self, user: &UserId) -> Presence {
        self.presences.get(user).copied().unwrap_or_default()
    }

    /// Why the telephone of a person does not ring whose leg was taken in for it, if it
    /// does not.
    fn cannot_ring(&self, user: &UserId) -> Option<EndResult> {
        match self.presence(user) {
            Presence::DoNotDisturb => Some(EndResult::do_not_disturb()),
            Presence::Offline => Some(EndResult::no_endpoints()),
            Presence::Unreachable => Some(EndResult::unreachable()),
            Presence::Available => {
                let most = self.config.limits.calls_per_person_max;
                let calls = self.legs_of_people.get(user).copied().unwrap_or(0);
                (most > 0 && calls > most).then(EndResult::busy)
            }
        }
    }

    /// A person's telephone rings for so long, or does not: then the leg is gone as soon
    /// as what is going on is done.
    pub(super) fn ring(
        &mut self,
        now: Instant,
        leg: LegId,
        call: Option<CallId>,
        user: &UserId,
        offer: Description,
        rings: Duration,
    ) {
        let refused = self.cannot_ring(user);
        let until = if refused.is_some() { now } else { now + rings };
        self.timers.set(Timer::Ringing(leg), until);
        match refused {
            Some(result) => {
                if let Some(held) = self.leg_mut(leg) {
                    held.place.refused = Some(result);
                }
            }
            None => self.say(Event::UserRung { leg, call, user: user.clone(), offer }),
        }
    }

    /// A leg that a conversation has taken in is known from now on.
    pub(super) fn enter_leg(&mut self, leg: LegId, id: ConversationId) {
        self.legs.insert(leg, id);
        if let Some(Party::User(user)) = self.leg(leg).map(|held| &held.party) {
            let user = user.clone();
            *self.legs_of_people.entry(user).or_insert(0) += 1;
        }
    }

    /// A conversation takes a leg in.
    pub(super) fn add_leg(&mut self, id: ConversationId, leg: LegId, held: Leg) {
        if let Some(conversation) = self.conversations.get_mut(&id) {
            conversation.insert(leg, held);
        }
        self.enter_leg(leg, id);
    }

    /// A leg of a person is gone.
    pub(super) fn discount_leg(&mut self, user: &UserId) {
        if let Some(count) = self.legs_of_people.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                self.legs_of_people.remove(user);
            }
        }
    }
}
