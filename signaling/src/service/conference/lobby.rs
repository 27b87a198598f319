//! The lobby: who has to wait, who lets them in, and for how long they may wait. A bot
//! that waits keeps its call at `establishing` and is told of no roster; the others see it
//! with `isInLobby`.

use std::collections::BTreeSet;

use callrig_media::time::Instant;

use super::{Party, Standing};
use crate::call::result::EndResult;
use crate::event::Event;
use crate::graph::LobbyBypassScope;
use crate::id::{CallId, LegId, TenantId, UserId};
use crate::service::api::Asked;
use crate::service::meetings::Meeting;
use crate::service::people::CommandError;
use crate::service::reply::{ApiError, Reply};
use crate::service::{Service, Timer};

/// Who wants to come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::service) enum Joiner {
    /// An app that the organisation lets join: one of its own.
    App,
    /// Somebody without an account.
    Guest,
    /// A person of the meeting's organisation, or of another.
    User {
        /// Who.
        user: UserId,
        /// Whether of the meeting's organisation.
        inside: bool,
    },
}

/// Who passes the lobby by.
#[derive(Clone, Debug)]
pub(in crate::service) struct LobbyRule {
    pub(in crate::service) scope: LobbyBypassScope,
    pub(in crate::service) organizer: Option<UserId>,
    pub(in crate::service) invited: BTreeSet<UserId>,
}

impl Default for LobbyRule {
    fn default() -> Self {
        let scope = LobbyBypassScope::Organization;
        Self { scope, organizer: None, invited: BTreeSet::new() }
    }
}

impl LobbyRule {
    /// Of a meeting of which nothing else is known.
    pub(super) fn of_organizer(user: UserId) -> Self {
        Self { organizer: Some(user), ..Self::default() }
    }

    /// Of a meeting as its settings stand now.
    pub(super) fn of(meeting: &Meeting) -> Self {
        let settings = meeting.shown.lobby_bypass_settings.as_ref();
        let attendees = meeting.shown.participants.as_ref().and_then(|all| all.attendees.as_ref());
        let invited = attendees.into_iter().flatten().filter_map(|attendee| {
            let named = attendee.identity.as_ref().and_then(|identity| identity.user_id());
            named.or_else(|| attendee.upn.as_deref().map(UserId::new))
        });
        Self {
            scope: settings
                .and_then(|settings| settings.scope.clone())
                .unwrap_or(LobbyBypassScope::Organization),
            organizer: Some(meeting.organizer.clone()),
            invited: invited.collect(),
        }
    }

    /// Whether somebody passes.
    pub(in crate::service) fn passes(&self, joiner: &Joiner) -> bool {
        use LobbyBypassScope as Scope;
        if let Joiner::User { user, .. } = joiner
            && self.organizer.as_ref() == Some(user)
        {
            return true;
        }
        let inside = match joiner {
            Joiner::App => true,
            Joiner::Guest => false,
            Joiner::User { inside, .. } => *inside,
        };
        match &self.scope {
            Scope::Everyone => true,
            Scope::Organizer => false,
            Scope::Invited => match joiner {
                Joiner::User { user, .. } => self.invited.contains(user),
                Joiner::App | Joiner::Guest => false,
            },
            // There is no federation here: every other organisation is trusted.
            Scope::OrganizationAndFederated => !matches!(joiner, Joiner::Guest),
            Scope::Organization | Scope::OrganizationExcludingGuests | Scope::Other(_) => inside,
        }
    }
}

impl Service {
    /// How the lobby sees a person.
    pub(super) fn joiner(&self, user: &UserId, tenant: &TenantId) -> Joiner {
        let inside = self.directory.user(user).is_some_and(|(of, _)| of == tenant);
        Joiner::User { user: user.clone(), inside }
    }

    /// A leg has to wait.
    pub(super) fn wait_in_lobby(&mut self, now: Instant, leg: LegId) {
        let Some(held) = self.leg_mut(leg) else { return };
        held.standing = Standing::Lobby;
        if held.is_person() {
            self.say(Event::UserWaits { leg });
        }
        self.timers.set(Timer::Lobby(leg), now + self.config.limits.lobby);
        self.roster_changed(now, leg);
    }

    /// A leg that waits is let in.
    pub(super) fn let_in(&mut self, now: Instant, leg: LegId) -> Result<(), CommandError> {
        let held = self.leg(leg).ok_or(CommandError::UnknownLeg)?;
        if held.standing != Standing::Lobby {
            return Err(CommandError::WrongState);
        }
        let party = held.party.clone();
        let theirs = held.description.clone();
        self.timers.cancel(Timer::Lobby(leg));
        match party {
            Party::Bot(call) => {
                self.enter_bot(now, call);
                Ok(())
            }
            Party::Gallery => Err(CommandError::WrongState),
            Party::User(_) | Party::Voicemail(_) => {
                let theirs = theirs.ok_or(CommandError::WrongState)?;
                let ours = self.answer_to_person(leg, &theirs)?;
                self.seat_person(now, leg, ours, theirs)
            }
        }
    }

    /// A leg has waited for too long, or is turned away.
    pub(in crate::service) fn turn_away(&mut self, now: Instant, leg: LegId, result: &EndResult) {
        let Some(held) = self.leg(leg).filter(|held| held.standing == Standing::Lobby) else {
            return;
        };
        match held.call() {
            Some(call) => self.end_call(now, call, result),
            None => self.person_gone(now, leg, result),
        }
    }

    /// `POST …/participants/{id}/admitFromLobby`, `…/removeFromLobby`. No page describes
    /// them; they answer 204, and rosters show what became of it.
    pub(in crate::service) fn decide_lobby(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
        leg: LegId,
        admit: bool,
    ) -> Result<Reply, ApiError> {
        self.lobby_of(asked, id)?;
        self.participant_of(asked, id, leg)?;
        if self.leg(leg).is_none_or(|held| held.standing != Standing::Lobby) {
            let message = "The participant does not wait in the lobby.";
            return Err(ApiError::new(409, "Conflict", message));
        }
        if admit {
            let refused = |error: CommandError| ApiError::bad_request(error.to_string());
            self.let_in(asked.now, leg).map_err(refused)?;
        } else {
            self.turn_away(asked.now, leg, &EndResult::removed());
        }
        Ok(Reply::empty(204))
    }

    /// `POST …/participants/admitAllFromLobby`
    pub(in crate::service) fn admit_all(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
    ) -> Result<Reply, ApiError> {
        let conversation = self.lobby_of(asked, id)?;
        let held = self.conversations.get(&conversation);
        let waiting: Vec<LegId> = held
            .map(|held| held.present())
            .unwrap_or_default()
            .into_iter()
            .filter(|(_, leg)| leg.standing == Standing::Lobby)
            .map(|(id, _)| id)
            .collect();
        for leg in waiting {
            // One whose media cannot be set up stays outside; the others come in.
            let _ = self.let_in(asked.now, leg);
        }
        Ok(Reply::empty(204))
    }

    fn lobby_of(
        &self,
        asked: &Asked<'_>,
        id: CallId,
    ) -> Result<crate::id::ConversationId, ApiError> {
        self.acting_in(asked, id, super::participants::JOINING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scope_says_who_passes() {
        use LobbyBypassScope as Scope;
        let user = |name: &str, inside| Joiner::User { user: UserId::new(name), inside };
        let joiners = [
            user("organizer", true),
            user("invited", false),
            user("inside", true),
            user("outside", false),
            Joiner::App,
            Joiner::Guest,
        ];
        for (scope, expected) in [
            (Scope::Organizer, [true, false, false, false, false, false]),
            (Scope::Invited, [true, true, false, false, false, false]),
            (Scope::Organization, [true, false, true, false, true, false]),
            (Scope::OrganizationExcludingGuests, [true, false, true, false, true, false]),
            (Scope::OrganizationAndFederated, [true, true, true, true, true, false]),
            (Scope::Everyone, [true; 6]),
        ] {
            let rule = LobbyRule {
                scope: scope.clone(),
                organizer: Some("organizer".into()),
                invited: BTreeSet::from(["invited".into()]),
            };
            let passes: Vec<bool> = joiners.iter().map(|joiner| rule.passes(joiner)).collect();
            assert_eq!(passes, expected, "{scope}");
        }
    }
}
