//! A peer-to-peer call becomes a conference: its legs stay, its media is mixed from now
//! on. Its bots are told of no roster, as the seed of this platform has it, unless the
//! configuration says otherwise. A bot that may not join group calls is dropped when a
//! person brings others in.

use callrig_media::time::Instant;

use super::{Conference, Party, Standing};
use crate::call::result::EndResult;
use crate::id::{CallId, ConversationId, LegId};
use crate::service::Service;
use crate::service::directory::Permission;

impl Service {
    /// Makes a conference of a peer-to-peer conversation.
    pub(in crate::service) fn escalate(&mut self, now: Instant, id: ConversationId) {
        let quiet = !self.config.rosters_after_escalation;
        let token = self.new_token();
        let Some(held) = self.conversations.get_mut(&id).filter(|h| h.conference.is_none()) else {
            return;
        };
        self.live.by_token.insert(token.clone(), id);
        let peopled = !held.people().is_empty();
        let conference = Conference { quiet, peopled, token, ..Conference::default() };
        held.conference = Some(Box::new(conference));
        let joined = held.legs.iter().filter(|(_, leg)| leg.standing == Standing::Joined);
        let (bots, people): (Vec<_>, Vec<_>) = joined
            .map(|(leg, held)| (*leg, held.party.clone()))
            .partition(|(_, party)| matches!(party, Party::Bot(_)));
        // Bots first: what one plays to the person goes on from its own seat.
        for (leg, party) in &bots {
            let Party::Bot(call) = party else { continue };
            self.hide_if_wanted(*call, *leg);
            self.seat_escalated(now, *leg);
            for (person, _) in &people {
                self.media.take_over(now, *person, *leg);
            }
        }
        for (leg, _) in people {
            self.seat_escalated(now, leg);
        }
    }

    fn seat_escalated(&mut self, now: Instant, leg: LegId) {
        if let Err(error) = self.take_seat(now, leg) {
            let result = EndResult::media_unreachable(&error);
            match self.leg(leg).and_then(super::Leg::call) {
                Some(call) => self.end_call(now, call, &result),
                None => self.person_gone(now, leg, &result),
            }
            return;
        }
        self.roster_changed(now, leg);
    }

    /// `hideBotAfterEscalation`
    fn hide_if_wanted(&mut self, call: CallId, leg: LegId) {
        let held = self.calls.get(&call);
        let hides = held.is_some_and(|call| call.options.hide_bot_after_escalation == Some(true));
        if let Some(held) = self.leg_mut(leg).filter(|_| hides) {
            held.place.hidden = true;
        }
    }

    /// Bots that may not be in a conference leave it.
    pub(super) fn drop_those_who_may_not_join(&mut self, now: Instant, id: ConversationId) {
        let calls = self.conversations.get(&id).map(super::Conversation::calls);
        for call in calls.unwrap_or_default() {
            let Some(held) = self.calls.get(&call) else { continue };
            let may = |permission| self.directory.may(&held.tenant, &held.app, permission);
            if !may(Permission::JoinGroupCall) && !may(Permission::JoinGroupCallAsGuest) {
                self.end_call(now, call, &EndResult::may_not_join());
            }
        }
    }
}
