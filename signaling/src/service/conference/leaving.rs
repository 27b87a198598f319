//! Leaving a conference. It goes on while a person is in it, waits in its lobby or is
//! still rung; its bots do not keep it up by themselves once its people have gone.

use callrig_media::time::Instant;

use super::{Party, Standing};
use crate::call::result::EndResult;
use crate::event::Event;
use crate::id::{ConversationId, LegId};
use crate::service::{Service, Timer};

impl Service {
    /// A leg has left a conference, or will not come: who is left, and what that means.
    pub(in crate::service) fn conference_left(&mut self, now: Instant, id: ConversationId) {
        let Some(conversation) = self.conversations.get(&id) else { return };
        let Some(conference) = conversation.conference.as_deref() else { return };
        let people = conversation.legs.values().filter(|leg| leg.is_person());
        let bots = conversation.legs.values().any(|leg| {
            leg.call().is_some() && matches!(leg.standing, Standing::Joined | Standing::Calling)
        });
        // Who waits in its lobby is there, too: a meeting without people waits for both.
        let there = conversation.legs.values().filter(|leg| leg.call().is_some());
        let there = bots || there.map(|leg| leg.standing).any(Standing::is_present);
        let waits = there && conference.patient && !conference.peopled;
        let anybody = people.clone().any(|leg| leg.standing != Standing::Ringing);
        let rung = people.clone().any(|leg| leg.standing == Standing::Ringing);
        if conference.closing || anybody || waits || (bots && rung) {
            return;
        }
        let result = match conference.peopled {
            true => EndResult::nobody_left(),
            false => EndResult::nobody_joined(),
        };
        self.close_conference(now, id, &result);
    }

    /// Ends what is left of a conference.
    pub(in crate::service) fn close_conference(
        &mut self,
        now: Instant,
        id: ConversationId,
        result: &EndResult,
    ) {
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        if let Some(conference) = conversation.conference.as_deref_mut() {
            conference.closing = true;
        }
        let (people, calls) = (conversation.people(), conversation.calls());
        for leg in people {
            self.person_out(now, leg, &EndResult::conversation_ended());
        }
        for call in calls {
            self.end_call(now, call, result);
        }
        self.drop_conversation(id);
    }

    /// Lets go of a conference, and of the ways to find it.
    pub(in crate::service) fn drop_conversation(&mut self, id: ConversationId) {
        self.rosters_due.remove(&id);
        self.timers.cancel(Timer::Alone(id));
        let Some(conversation) = self.conversations.remove(&id) else { return };
        for (leg, held) in &conversation.legs {
            self.legs.remove(leg);
            if let Party::User(user) = &held.party {
                self.discount_leg(user);
            }
        }
        let Some(conference) = conversation.conference else { return };
        self.live.by_token.remove(&conference.token);
        if let Some(thread) = &conference.thread {
            self.live.by_thread.remove(thread);
        }
    }

    /// Nobody came to a meeting for which its bots have waited: it ends, unless somebody
    /// is being rung, who may still come; then as soon as that has come to nothing.
    pub(in crate::service) fn alone_for_too_long(&mut self, now: Instant, id: ConversationId) {
        let held = self.conversations.get_mut(&id);
        if let Some(conference) = held.and_then(|held| held.conference.as_deref_mut()) {
            conference.patient = false;
            self.conference_left(now, id);
        }
    }

    /// A person's leg is taken out of its conversation, and that is said.
    pub(in crate::service) fn person_out(&mut self, now: Instant, leg: LegId, result: &EndResult) {
        if let Some(id) = self.legs.get(&leg).copied() {
            self.settle_invitation(now, id, leg, Some(result));
        }
        self.timers.cancel(Timer::Lobby(leg));
        self.remove_leg(now, leg, &result.message);
        self.say(Event::LegEnded { leg, result: result.clone() });
    }
}
