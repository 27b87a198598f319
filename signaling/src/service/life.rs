//! How calls begin, move and end: the one place where states change, timers of calls are
//! set, and everything that belongs to a call is let go with it.

use callrig_media::time::Instant;

use super::conference::{Conversation, Leg, Party, Standing};
use super::{Service, Timer};
use crate::call::operation::Kind;
use crate::call::result::EndResult;
use crate::call::state::{State, Trigger};
use crate::call::{Call, Hosting, NewCall};
use crate::event::Event;
use crate::fault::{self, Fault};
use crate::graph::{self, ChangeType, MediaState, OperationStatus};
use crate::id::{CallId, ConversationId, LegId, OperationId};

impl Service {
    pub(super) fn new_call_id(&mut self) -> CallId {
        CallId::new(self.config.shard, self.random_bits())
    }

    pub(super) fn new_leg_id(&mut self) -> LegId {
        LegId::new(self.config.shard, self.random_bits())
    }

    pub(super) fn new_conversation_id(&mut self) -> ConversationId {
        ConversationId::from_u128(self.random_bits())
    }

    /// Takes a new call in.
    pub(super) fn begin_call(&mut self, now: Instant, new: NewCall) -> CallId {
        let (id, app) = (new.id, new.app.clone());
        let chain = self.conversations.get(&new.conversation).and_then(|held| held.chain);
        let chain = chain.unwrap_or(new.conversation);
        self.outboxes.insert(id, super::notify::Outbox::new(&new, chain));
        let call = Call::new(new);
        let state = call.state();
        *self.calls_per_app.entry(app.clone()).or_insert(0) += 1;
        self.quotas.count_call(now, &app);
        self.calls.insert(id, call);
        if state == State::Incoming {
            let window = self.config.limits.answer_window;
            self.timers.set(Timer::Answer(id), now + window);
        }
        self.timers.set(Timer::KeepAlive(id), now + self.config.limits.keep_alive);
        self.say(Event::CallStateChanged { call: id, app, state });
        id
    }

    /// Takes an edge of the state table and says so; `false` if there is none.
    pub(super) fn move_call(&mut self, id: CallId, trigger: Trigger) -> bool {
        let Some(call) = self.calls.get_mut(&id) else { return false };
        if !call.take(trigger) {
            return false;
        }
        let (app, state) = (call.app.clone(), call.state());
        if state != State::Incoming {
            self.timers.cancel(Timer::Answer(id));
        }
        self.say(Event::CallStateChanged { call: id, app, state });
        true
    }

    /// Tells the bot where its call stands.
    pub(super) fn notify_state(&mut self, now: Instant, id: CallId) {
        let begins = |call: &&Call| matches!(call.state(), State::Establishing | State::Ringing);
        let config = self.calls.get(&id).filter(begins);
        let config = config.filter(|call| answered(call)).and_then(super::view::media_config);
        self.notify_call(now, id, ChangeType::Updated, |shown| shown.media_config = config);
    }

    /// The sides of a peer-to-peer conversation are joined: its calls are established,
    /// and media flows as soon as the bot has been told so.
    pub(super) fn connect(&mut self, now: Instant, conversation: ConversationId) {
        for id in self.conversations.get(&conversation).map(Conversation::calls).unwrap_or_default()
        {
            self.connect_call(now, id);
        }
    }

    /// A call is established, and media flows as soon as the bot has been told so.
    pub(super) fn connect_call(&mut self, now: Instant, id: CallId) {
        if self.move_call(id, Trigger::Connect) {
            self.notify_state(now, id);
        }
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.media_active = true;
        call.version += 1;
        if fault::is(Fault::MediaActiveNeverSaid) {
            return;
        }
        let change = match fault::is(Fault::EndToldTooEarly) {
            true => ChangeType::Deleted,
            false => ChangeType::Updated,
        };
        self.notify_call(now, id, change, |shown| {
            shown.media_state = Some(graph::CallMediaState {
                audio: Some(MediaState::Active),
                ..graph::CallMediaState::typed()
            });
        });
    }

    /// The bot hangs up.
    pub(super) fn hang_up_call(&mut self, now: Instant, id: CallId) {
        if self.move_call(id, Trigger::HangUp) {
            self.notify_call(now, id, ChangeType::Updated, |_| {});
            self.finish_call(now, id, Trigger::Finish, &EndResult::ended_by_bot(), |_| {});
        }
    }

    /// Somebody else ends the call, or the platform does.
    pub(super) fn end_call(&mut self, now: Instant, id: CallId, result: &EndResult) {
        self.finish_call(now, id, Trigger::End, result, |_| {});
    }

    /// Ends a call, tells the bot, and lets go of everything that belongs to it. `shape`
    /// changes what the last notification shows.
    pub(super) fn finish_call(
        &mut self,
        now: Instant,
        id: CallId,
        trigger: Trigger,
        result: &EndResult,
        shape: impl FnOnce(&mut graph::Call),
    ) {
        if self.calls.get(&id).is_none_or(|call| call.state().next(trigger).is_none()) {
            return;
        }
        self.end_operations_of(now, id);
        if let Some(conversation) = self.calls.get(&id).map(|call| call.conversation) {
            self.close_voicemail(now, conversation);
        }
        // The delivery of an operation's end may itself have ended the call.
        if !self.move_call(id, trigger) {
            return;
        }
        if let Some(call) = self.calls.get_mut(&id) {
            call.result = (!fault::is(Fault::EndWithoutResult)).then(|| result.clone());
            call.media_active = false;
        }
        if !fault::is(Fault::EndNeverTold) {
            self.notify_call(now, id, ChangeType::Deleted, shape);
        }
        self.close_outbox(id);
        self.let_recordings_go(now, id);
        self.say(Event::CallEnded { call: id, result: result.clone() });
        self.timers.cancel(Timer::Answer(id));
        self.timers.cancel(Timer::KeepAlive(id));
        let Some(call) = self.calls.remove(&id) else { return };
        if let Some(count) = self.calls_per_app.get_mut(&call.app) {
            *count -= 1;
            if *count == 0 {
                self.calls_per_app.remove(&call.app);
            }
        }
        if self.fork_lets_go(now, &call, result) {
            return;
        }
        if self.is_conference(call.conversation) {
            self.timers.cancel(Timer::Lobby(call.leg));
            self.recorder_left(call.conversation, id);
            self.drop_groups(call.conversation, id);
            self.settle_invitation(now, call.conversation, call.leg, Some(result));
            self.remove_leg(now, call.leg, &result.message);
            self.conference_left(now, call.conversation);
            return;
        }
        self.close_media_of(now, call.conversation);
        self.remove_leg(now, call.leg, &result.message);
        self.close_conversation_if_over(now, call.conversation, result);
    }

    /// Every operation that still goes on is cancelled and told of, before the call's own
    /// end is: nothing follows that. (The real platform keeps silent about a recording
    /// whose caller hangs up; no bot can want that.)
    fn end_operations_of(&mut self, now: Instant, id: CallId) {
        let running = self.calls.get(&id).map(|call| call.operations.running());
        self.cancel_operations(now, id, running.unwrap_or_default());
    }

    /// What a bot plays and records comes to an end before its call does.
    pub(super) fn end_media_operations_of(&mut self, now: Instant, id: CallId) {
        let queued = self.calls.get(&id).map(|call| call.queue.operations());
        self.cancel_operations(now, id, queued.unwrap_or_default());
    }

    fn cancel_operations(&mut self, now: Instant, id: CallId, operations: Vec<OperationId>) {
        for operation in operations {
            self.stop_work(now, id, operation);
            self.end_operation(
                now,
                id,
                operation,
                OperationStatus::Failed,
                EndResult::action_cancelled(),
            );
        }
    }

    /// Ends an operation, and tells the bot.
    pub(super) fn end_operation(
        &mut self,
        now: Instant,
        id: CallId,
        operation: OperationId,
        status: OperationStatus,
        result: EndResult,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let Some(ended) = call.operations.end(operation, status.clone(), result.clone()) else {
            return;
        };
        let kind = ended.kind;
        let mut shown = ended.to_graph();
        call.version += 1;
        let path = format!("/operations/{operation}");
        let resource = format!("/communications/calls/{id}{path}");
        shown.other.insert("@odata.id".into(), resource.into());
        shown.other.insert("@odata.etag".into(), format!("W/\"{}\"", call.version).into());
        self.say(Event::OperationEnded { call: id, operation, kind, status, result });
        if fault::is(Fault::PromptEndLost) && kind == Kind::PlayPrompt {
            return;
        }
        if fault::is(Fault::OperationEndsTwice) {
            self.notify(now, id, ChangeType::Deleted, &path, &shown);
        }
        self.notify(now, id, ChangeType::Deleted, &path, &shown);
    }

    /// A peer-to-peer conversation is over: its sessions end while their legs are still
    /// known, so that what they say last finds its call.
    fn close_media_of(&mut self, now: Instant, id: ConversationId) {
        let Some(conversation) = self.conversations.get(&id) else { return };
        for leg in conversation.legs.keys().copied().collect::<Vec<_>>() {
            self.media.close(now, leg);
        }
        self.drain_media(now);
    }

    /// A leg leaves its conversation; its media ends with it. Rosters tell why.
    pub(super) fn remove_leg(&mut self, now: Instant, leg: LegId, why: &str) {
        self.media.close(now, leg);
        self.drain_media(now);
        self.timers.cancel(Timer::Media(leg));
        self.timers.cancel(Timer::Ringing(leg));
        self.voicemails.remove(&leg);
        if let Some(Party::User(user)) = self.take_out(now, leg, why).map(|held| held.party) {
            self.discount_leg(&user);
        }
    }

    /// A leg is no longer in its conversation, whose rosters tell why.
    pub(super) fn take_out(&mut self, now: Instant, leg: LegId, why: &str) -> Option<Leg> {
        if let Some(id) = self.legs.get(&leg).copied() {
            self.end_hold(now, id, leg);
        }
        let id = self.legs.remove(&leg)?;
        let was = self.conversations.get_mut(&id)?.legs.remove(&leg)?;
        if was.standing.is_present() {
            self.roster_lost(now, id, leg, &was, why);
            if let Some(session) = &was.place.sharing {
                self.tell_sharing(now, id, &ChangeType::Deleted, session);
            }
            self.recording_left(now, id, leg);
        }
        Some(was)
    }

    /// A peer-to-peer conversation ends with its first leg.
    pub(super) fn close_conversation_if_over(
        &mut self,
        now: Instant,
        id: ConversationId,
        result: &EndResult,
    ) {
        let Some(conversation) = self.conversations.get(&id) else { return };
        let people = conversation.people();
        let calls = conversation.calls();
        for leg in people {
            self.remove_leg(now, leg, &result.message);
            self.say(Event::LegEnded { leg, result: result.clone() });
        }
        for call in calls {
            let joined = self.calls.get(&call).is_some_and(|call| call.state().is_connected());
            match joined {
                true => self.end_call(now, call, &EndResult::ended_by_other_party()),
                false => self.end_call(now, call, result),
            }
        }
        self.conversations.remove(&id);
    }

    /// The bot did not answer in its window.
    pub(super) fn answer_window_over(&mut self, now: Instant, id: CallId) {
        if self.calls.get(&id).is_some_and(|call| call.state() == State::Incoming) {
            let limits = &self.config.limits;
            let seconds = match self.is_recorder(id) {
                true => limits.recording_answer_window.as_secs(),
                false => limits.answer_window.as_secs(),
            };
            self.end_call(now, id, &EndResult::not_answered_in_time(seconds));
        }
    }

    /// No keepAlive came.
    pub(super) fn keep_alive_over(&mut self, now: Instant, id: CallId) {
        self.end_call(now, id, &EndResult::keep_alive_timeout());
    }

    /// A person did not answer.
    pub(super) fn ringing_over(&mut self, now: Instant, leg: LegId) {
        if self.is_voicemail(leg) {
            return self.voicemail_answers(now, leg);
        }
        let refused = self.leg_mut(leg).and_then(|held| held.place.refused.take());
        let result = refused.unwrap_or_else(EndResult::user_did_not_answer);
        self.person_gone(now, leg, &result);
    }

    /// A person leaves, declines or gives up: what that means for the bots.
    pub(super) fn person_gone(&mut self, now: Instant, leg: LegId, result: &EndResult) {
        let Some(id) = self.legs.get(&leg).copied() else { return };
        if self.rung_by_fork(leg).is_some() {
            self.person_out(now, leg, result);
            return self.fork_lost(now, id, leg, result);
        }
        self.anchor_gone(now, leg);
        self.close_voicemail(now, id);
        self.person_out(now, leg, result);
        if self.is_conference(id) {
            self.conference_left(now, id);
            return;
        }
        let calls = self.conversations.get(&id).map(Conversation::calls).unwrap_or_default();
        for call in calls {
            self.end_call(now, call, result);
        }
        // Two people whom a bot has brought together.
        let others = self.conversations.get(&id).map(Conversation::people).unwrap_or_default();
        for other in others {
            self.person_out(now, other, &EndResult::ended_by_other_party());
        }
        self.conversations.remove(&id);
    }

    /// Ends every call, as on shutting down.
    pub fn shut_down(&mut self, now: Instant) {
        for id in self.calls.keys().copied().collect::<Vec<_>>() {
            self.end_call(now, id, &EndResult::shutting_down());
        }
        for id in self.conversations.keys().copied().collect::<Vec<_>>() {
            self.end_conversation(now, id, &EndResult::shutting_down());
        }
    }

    /// The other leg of a peer-to-peer conversation.
    pub(super) fn peer_of(&self, call: &Call) -> Option<(LegId, &Leg)> {
        let peer = self.partner_of(call.conversation, call.leg)?;
        Some((peer, self.leg(peer)?))
    }

    /// The bots that hear a leg: the one beside it, in a conference all but itself.
    pub(super) fn calls_that_hear(&self, leg: LegId) -> Vec<CallId> {
        let conversation = self.legs.get(&leg).and_then(|id| self.conversations.get(id));
        match conversation.filter(|conversation| conversation.conference.is_some()) {
            Some(conversation) => {
                let others = conversation.legs.iter().filter(|(id, _)| **id != leg);
                let joined = others.filter(|(_, other)| other.standing == Standing::Joined);
                joined.filter_map(|(_, other)| other.call()).collect()
            }
            None => self.call_beside(leg).into_iter().collect(),
        }
    }

    /// The bot's call that a leg belongs to, or talks to; in a conference a person talks to
    /// nobody in particular.
    pub(super) fn call_beside(&self, leg: LegId) -> Option<CallId> {
        let conversation = self.conversations.get(self.legs.get(&leg)?)?;
        match &conversation.legs.get(&leg)?.party {
            Party::Bot(call) => Some(*call),
            Party::Gallery => None,
            _ if conversation.conference.is_some() => None,
            _ => match conversation.fork.as_deref() {
                Some(fork) => Some(fork.by).filter(|by| self.calls.contains_key(by)),
                None => conversation.calls().first().copied(),
            },
        }
    }
}

fn answered(call: &Call) -> bool {
    match &call.hosting {
        Hosting::App { answer, .. } => answer.is_some(),
        Hosting::Service | Hosting::Undecided => false,
    }
}
