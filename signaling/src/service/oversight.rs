//! What the owner of a service sees of it and changes in it while it runs: who there is,
//! which calls and legs there are, how much is kept.

use std::collections::{BTreeMap, BTreeSet};

use callrig_media::stats::Stats;
use callrig_media::time::Instant;
use serde::Serialize;

use super::Service;
use super::conference::{Leg, Party, Standing};
use super::directory::{App, Directory, DirectoryError, Permission, User};
use crate::call::Call;
use crate::call::result::EndResult;
use crate::call::state::State;
use crate::graph::CallDirection;
use crate::id::{AppId, CallId, ConversationId, LegId, TenantId, UserId};

/// How much a service keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Load {
    /// Calls that are not over.
    pub calls: usize,
    /// Conversations.
    pub conversations: usize,
    /// Legs of conversations.
    pub legs: usize,
    /// Calls about which there is something to be told.
    pub outboxes: usize,
    /// Requests without an answer yet.
    pub requests: usize,
    /// Media sessions.
    pub sessions: usize,
    /// Timers.
    pub timers: usize,
}

/// A call, in a line.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallLine {
    /// Which.
    pub id: CallId,
    /// Whose bot.
    pub app: AppId,
    /// In which organisation.
    pub tenant: TenantId,
    /// Who called whom.
    pub direction: CallDirection,
    /// Where it stands.
    pub state: State,
    /// Where the bot is told.
    pub callback_uri: String,
    /// What it is part of.
    pub conversation: ConversationId,
    /// The bot's leg.
    pub leg: LegId,
    /// Whether media flows.
    pub media_active: bool,
}

/// A leg, in a line.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LegLine {
    /// Which.
    pub id: LegId,
    /// Whose.
    pub party: Party,
    /// Where it stands.
    pub standing: Standing,
    /// What it is part of.
    pub conversation: ConversationId,
}

impl CallLine {
    fn of(call: &Call) -> Self {
        Self {
            id: call.id,
            app: call.app.clone(),
            tenant: call.tenant.clone(),
            direction: call.direction.clone(),
            state: call.state(),
            callback_uri: call.callback_uri.clone(),
            conversation: call.conversation,
            leg: call.leg,
            media_active: call.media_active,
        }
    }
}

impl LegLine {
    fn of(id: LegId, leg: &Leg, conversation: ConversationId) -> Self {
        Self { id, party: leg.party.clone(), standing: leg.standing, conversation }
    }
}

impl Service {
    /// How much is kept: all zero once every call has ended and been told of.
    #[must_use]
    pub fn load(&self) -> Load {
        Load {
            calls: self.calls.len(),
            conversations: self.conversations.len(),
            legs: self.legs.len(),
            outboxes: self.outboxes.len(),
            requests: self.waiting.len(),
            sessions: self.media.sessions(),
            timers: self.timers.len(),
        }
    }

    /// The calls that are not over, in order of their ids.
    pub fn calls(&self) -> impl Iterator<Item = CallLine> + '_ {
        self.calls.values().map(CallLine::of)
    }

    /// One call.
    #[must_use]
    pub fn call_line(&self, id: CallId) -> Option<CallLine> {
        self.calls.get(&id).map(CallLine::of)
    }

    /// How many calls stand where; each state that a call can be in, in order.
    #[must_use]
    pub fn calls_by_state(&self) -> BTreeMap<State, usize> {
        let mut counts: BTreeMap<_, _> = State::ALL.iter().map(|state| (*state, 0)).collect();
        for call in self.calls.values() {
            *counts.entry(call.state()).or_insert(0) += 1;
        }
        counts
    }

    /// The legs of all conversations, in order of their ids.
    pub fn legs(&self) -> impl Iterator<Item = LegLine> + '_ {
        self.legs.keys().filter_map(|id| self.leg_line(*id))
    }

    /// The legs of one conversation.
    pub fn legs_of(&self, conversation: ConversationId) -> impl Iterator<Item = LegLine> + '_ {
        let held = self.conversations.get(&conversation);
        held.into_iter()
            .flat_map(|held| &held.legs)
            .map(move |(id, leg)| LegLine::of(*id, leg, conversation))
    }

    /// One leg.
    #[must_use]
    pub fn leg_line(&self, id: LegId) -> Option<LegLine> {
        let conversation = *self.legs.get(&id)?;
        Some(LegLine::of(id, self.leg(id)?, conversation))
    }

    /// Whether RTP and RTCP that pass on a leg are told of, in the clear, from now on
    /// ([`Event::Passed`](callrig_media::event::Event::Passed) of its media); a peer that shows
    /// something is asked for a key frame. `false` if the leg has no media.
    pub fn capture(&mut self, now: Instant, leg: LegId, captures: bool) -> bool {
        let known = self.media.set_capture(now, leg, captures);
        self.media_moved(leg);
        self.drain_media(now);
        known
    }

    /// What the platform's session with a leg counted so far; `None` without one.
    #[must_use]
    pub fn leg_stats(&self, leg: LegId) -> Option<Stats> {
        self.media.stats(leg)
    }

    /// Who there is now.
    #[must_use]
    pub fn directory(&self) -> Directory {
        self.directory.everybody()
    }

    /// Takes a person in, or replaces the one of that id. Calls that go on keep showing
    /// what they began with.
    pub fn put_user(&mut self, tenant: TenantId, user: User) {
        self.directory.put_user(tenant, user);
    }

    /// Forgets a person; whether there was one. Calls that go on are not touched.
    pub fn remove_user(&mut self, user: &UserId) -> bool {
        self.directory.remove_user(user)
    }

    /// Takes an app in, or replaces the one of that id.
    pub fn put_app(&mut self, app: App) {
        self.directory.put_app(app);
    }

    /// Forgets an app and what it was granted; whether there was one. Its calls go on
    /// until somebody ends them: it cannot be asked any more.
    pub fn remove_app(&mut self, app: &AppId) -> bool {
        self.directory.remove_app(app)
    }

    /// Replaces what an organisation lets an app do.
    ///
    /// # Errors
    /// No such app.
    pub fn grant(
        &mut self,
        tenant: TenantId,
        app: AppId,
        permissions: BTreeSet<Permission>,
    ) -> Result<(), DirectoryError> {
        self.directory.grant(tenant, app, permissions)
    }

    /// The owner cannot receive media for a leg: its call cannot be.
    pub fn media_failed(&mut self, now: Instant, leg: LegId, reason: &str) {
        let result = EndResult::media_unreachable(reason);
        match self.leg(leg).map(|held| held.party.clone()) {
            Some(Party::Bot(call)) => self.end_call(now, call, &result),
            Some(Party::User(_)) => self.person_gone(now, leg, &result),
            // Neither has media of its own.
            Some(Party::Gallery | Party::Voicemail(_)) | None => {}
        }
    }
}
