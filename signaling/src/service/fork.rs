//! Ringing at several places for somebody who waits: of a call that a bot redirected, or
//! of one that it transfers. The first who takes it is joined with who waits, the others
//! stop ringing; if nobody does, a redirected call ends and a transferred one goes on
//! with its bot. Who waits may leave meanwhile, which ends it all.

use core::time::Duration;
use std::collections::BTreeSet;

use callrig_media::description::Description;
use callrig_media::time::Instant;

use super::conference::{Leg, Party, Place, Standing};
use super::target::Target;
use super::{CommandError, Service, Timer};
use crate::attach;
use crate::call::result::EndResult;
use crate::call::{Call, NewCall};
use crate::graph::{self, CallDirection, ChangeType, InvitationParticipantInfo, ParticipantInfo};
use crate::id::{AppId, CallId, ConversationId, LegId};

/// How long a voicemail box rings before it takes the call (ours).
const VOICEMAIL_RINGS: Duration = Duration::from_secs(1);

/// Longer than any fork rings.
const RINGS_MAX: Duration = Duration::from_secs(600);

/// Why it rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A bot redirected the call that it was rung with.
    Redirect,
    /// A bot transfers somebody with whom it talks.
    Transfer,
}

/// How often a call may be redirected on by the bots that it reaches (ours).
pub(super) const HOPS_MAX: usize = 8;

/// A bot that was rung and redirected the call on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hop {
    pub(crate) by: CallId,
    /// Whether it was asked for in 2018's spelling.
    pub(crate) old: bool,
    /// Whether the bot is not told who took the call.
    pub(crate) mask_callee: bool,
}

/// Who is rung, for whom.
#[derive(Debug)]
pub(crate) struct Fork {
    pub(crate) reason: Reason,
    /// The bot's call that asked for it. It may end before.
    pub(crate) by: CallId,
    /// Who waits. Of a transfer out of a group it is there until somebody takes the call.
    pub(crate) anchor: LegId,
    /// Who is rung.
    pub(crate) rung: BTreeSet<LegId>,
    /// How many there were.
    targets: usize,
    /// Bots that were rung and redirected the call on.
    hops: Vec<Hop>,
    /// Whether it was asked for in 2018's spelling.
    old: bool,
    /// It is settled; legs that leave now change nothing.
    closing: bool,
}

/// What a bot that is rung is told beside who calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Telling {
    pub(crate) source: ParticipantInfo,
    pub(crate) modalities: Vec<graph::Modality>,
    pub(crate) routes: Vec<graph::CallRoute>,
    pub(crate) context: Option<graph::IncomingContext>,
}

impl Fork {
    pub(crate) const fn new(reason: Reason, by: CallId, anchor: LegId, old: bool) -> Self {
        Self {
            reason,
            by,
            anchor,
            rung: BTreeSet::new(),
            targets: 0,
            hops: Vec::new(),
            old,
            closing: false,
        }
    }

    /// One that is settled: the call goes, and its conversation goes on.
    pub(crate) const fn settled(by: CallId, anchor: LegId) -> Self {
        let mut fork = Self::new(Reason::Transfer, by, anchor, false);
        fork.closing = true;
        fork
    }
}

impl Service {
    /// Begins to ring. Nobody who can be rung is the same as nobody who answered.
    pub(super) fn begin_fork(
        &mut self,
        now: Instant,
        id: ConversationId,
        fork: Fork,
        targets: &[(Target, Telling)],
        timeout: Duration,
    ) {
        let anchor = fork.anchor;
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        conversation.fork = Some(Box::new(fork));
        self.anchors.insert(anchor, id);
        self.timers.set(Timer::Fork(id), now + timeout);
        self.ring_targets(now, id, targets);
    }

    /// A call rings elsewhere instead of at the bot that redirects it: at first, or when
    /// the bot was itself rung by a fork. Its own call waits.
    pub(super) fn redirect_to(
        &mut self,
        now: Instant,
        id: ConversationId,
        (anchor, bot): (LegId, LegId),
        hop: Hop,
        targets: &[(Target, Telling)],
        timeout: Duration,
    ) {
        let Some(conversation) = self.conversations.get_mut(&id) else { return };
        let Some(fork) = conversation.fork.as_mut() else {
            let mut fork = Fork::new(Reason::Redirect, hop.by, anchor, hop.old);
            fork.hops.push(hop);
            return self.begin_fork(now, id, fork, targets, timeout);
        };
        fork.rung.remove(&bot);
        fork.hops.push(hop);
        if fork.rung.is_empty() {
            self.timers.set(Timer::Fork(id), now + timeout);
        }
        self.ring_targets(now, id, targets);
    }

    /// Whether a call has been redirected as often as it may.
    pub(super) fn is_far(&self, id: ConversationId) -> bool {
        self.fork(id).is_some_and(|fork| fork.hops.len() >= HOPS_MAX)
    }

    fn ring_targets(&mut self, now: Instant, id: ConversationId, targets: &[(Target, Telling)]) {
        let Some(fork) = self.conversations.get_mut(&id).and_then(|c| c.fork.as_mut()) else {
            return;
        };
        // Each but the first takes the place of the bot that redirected to it.
        fork.targets += targets.len() - usize::from(fork.hops.len() > 1);
        let mut refused = None;
        for (target, telling) in targets {
            if let Err(result) = self.ring_target(now, id, target, telling) {
                refused = Some(result);
            }
        }
        if let Some(result) = refused
            && self.fork(id).is_some_and(|fork| fork.rung.is_empty())
        {
            self.fork_failed(now, id, &result);
        }
    }

    fn fork(&self, id: ConversationId) -> Option<&Fork> {
        self.conversations.get(&id)?.fork.as_deref()
    }

    fn ring_target(
        &mut self,
        now: Instant,
        id: ConversationId,
        target: &Target,
        telling: &Telling,
    ) -> Result<(), EndResult> {
        let leg = match target {
            Target::User(user) => {
                let (by, anchor) = match self.fork(id) {
                    Some(fork) => (fork.by, fork.anchor),
                    None => return Ok(()),
                };
                let leg = self.new_leg_id();
                let place = self
                    .media
                    .allot(leg)
                    .map_err(|error| EndResult::media_unreachable(&error.to_string()))?;
                let offer = place.describe(self.offered_for(anchor));
                let info = self.directory.user_info(user).unwrap_or_default();
                let held = Leg::new(Party::User(user.clone()), Standing::Ringing, info);
                self.add_leg(id, leg, held.describing(offer.clone()));
                // The fork's own timer is the one that counts.
                self.ring(now, leg, Some(by), user, offer, RINGS_MAX);
                leg
            }
            Target::Voicemail(user) => self.ring_voicemail(now, id, user),
            Target::App(app) => self.ring_app(now, id, app, telling)?,
        };
        if let Some(fork) = self.conversations.get_mut(&id).and_then(|c| c.fork.as_mut()) {
            fork.rung.insert(leg);
        }
        Ok(())
    }

    /// A voicemail box is rung; it takes the call by itself.
    pub(super) fn ring_voicemail(
        &mut self,
        now: Instant,
        id: ConversationId,
        user: &crate::id::UserId,
    ) -> LegId {
        let leg = self.new_leg_id();
        let info = self.directory.user_info(user).unwrap_or_default();
        let info = ParticipantInfo { endpoint_type: Some(graph::EndpointType::Voicemail), ..info };
        let held = Leg::new(Party::Voicemail(user.clone()), Standing::Ringing, info);
        self.add_leg(id, leg, held);
        self.timers.set(Timer::Ringing(leg), now + VOICEMAIL_RINGS);
        leg
    }

    /// A bot is rung: it gets an incoming call, and its window to answer.
    pub(super) fn ring_app(
        &mut self,
        now: Instant,
        id: ConversationId,
        app: &AppId,
        telling: &Telling,
    ) -> Result<LegId, EndResult> {
        let webhook = self.webhook_of(app).map_err(|_| EndResult::no_endpoints())?;
        if !self.has_room_for_call(app) {
            return Err(EndResult::busy());
        }
        let tenant = self.conversations.get(&id).map(|conversation| conversation.tenant.clone());
        let Some(tenant) = tenant else { return Err(EndResult::no_endpoints()) };
        let (leg, call) = (self.new_leg_id(), self.new_call_id());
        let source = match self.directory.may_know_callers(&tenant, app) {
            true => telling.source.clone(),
            false => self.masked(telling.source.clone()),
        };
        let info = self.directory.app_info(app);
        let target = InvitationParticipantInfo {
            identity: info.identity.clone(),
            ..InvitationParticipantInfo::typed()
        };
        self.add_leg(id, leg, Leg::new(Party::Bot(call), Standing::Ringing, info));
        let new = NewCall {
            id: call,
            app: app.clone(),
            tenant,
            conversation: id,
            leg,
            direction: CallDirection::Incoming,
            callback_uri: webhook,
            modalities: telling.modalities.clone(),
            source,
            targets: vec![target],
        };
        self.begin_call(now, new);
        if let Some(held) = self.calls.get_mut(&call) {
            held.routes.clone_from(&telling.routes);
            held.incoming = telling.context.clone().map(Box::new);
        }
        let modalities = telling.modalities.clone();
        self.notify_call(now, call, ChangeType::Created, |shown| {
            shown.requested_modalities = Some(modalities);
        });
        Ok(leg)
    }

    /// What is offered to somebody who is rung for who waits: what that one described if
    /// it can be passed on, what the platform can do if not.
    fn offered_for(&self, anchor: LegId) -> Vec<callrig_media::description::MediaDescription> {
        let described = match self.media.is_open(anchor) {
            true => self.media.described(anchor).filter(|_| self.media.passes_on(anchor)),
            false => self.leg(anchor).and_then(|leg| leg.description.as_ref()),
        };
        described.map_or_else(attach::service_hosted, |described| described.media.clone())
    }

    /// Who a leg of a conversation of two talks to, or will.
    pub(super) fn partner_of(&self, id: ConversationId, leg: LegId) -> Option<LegId> {
        let conversation = self.conversations.get(&id)?;
        match conversation.fork.as_deref() {
            Some(fork) if fork.anchor != leg => Some(fork.anchor),
            _ => conversation.legs.keys().copied().find(|other| *other != leg),
        }
    }

    /// A person who is rung by a fork takes the call.
    pub(super) fn rung_person_answers(
        &mut self,
        now: Instant,
        id: ConversationId,
        leg: LegId,
        answer: Description,
    ) -> Result<(), CommandError> {
        let offered = self.leg(leg).and_then(|held| held.description.clone());
        let offered = offered.ok_or(CommandError::WrongState)?;
        let unusable = |error: &dyn core::fmt::Display| CommandError::Media(error.to_string());
        let ours = match answer.secure {
            // A browser answers with an offer of its own, as to a bot's call.
            Some(_) => {
                self.media.check(&answer).map_err(|error| unusable(&error))?;
                let seed = self.random_bits() as u64;
                let place = self.media.allot_shared(leg, seed).map_err(|error| unusable(&error))?;
                let media = place.announced(offered.media, &answer);
                attach::answer(&place, &media, &answer).map_err(|error| unusable(&error))?
            }
            None => attach::settle(&offered, &answer).map_err(|error| unusable(&error))?,
        };
        self.take_call(now, id, leg, Some((ours, answer)));
        Ok(())
    }

    /// Whether a leg is rung by a fork.
    pub(super) fn rung_by_fork(&self, leg: LegId) -> Option<ConversationId> {
        let id = self.legs.get(&leg).copied()?;
        self.fork(id).filter(|fork| fork.rung.contains(&leg)).map(|_| id)
    }

    /// A leg has taken the call: the others stop ringing, and who waited comes here if it
    /// was elsewhere. Says who that is; without a fork it is simply the other side.
    pub(super) fn win(&mut self, now: Instant, id: ConversationId, leg: LegId) -> Option<LegId> {
        let Some(fork) = self.conversations.get_mut(&id)?.fork.as_mut() else {
            return self.partner_of(id, leg);
        };
        fork.rung.remove(&leg);
        let (anchor, reason) = (fork.anchor, fork.reason);
        self.stop_rung(now, id, &EndResult::accepted_elsewhere());
        self.timers.cancel(Timer::Fork(id));
        self.anchors.remove(&anchor);
        if reason == Reason::Transfer {
            self.media.part(anchor);
        }
        self.bring_here(now, id, anchor);
        self.drain_media(now);
        Some(anchor)
    }

    /// Somebody who was in another conversation is in this one from now on.
    pub(super) fn bring_here(&mut self, now: Instant, id: ConversationId, leg: LegId) {
        if self.legs.get(&leg).is_none_or(|from| *from == id) {
            return;
        }
        let Some(held) = self.take_out(now, leg, "Transferred.") else { return };
        let held = Leg { place: Place::default(), ..held };
        if let Some(conversation) = self.conversations.get_mut(&id) {
            conversation.insert(leg, held);
        }
        self.legs.insert(leg, id);
    }

    /// The two are joined: the bot that brought them together is done.
    pub(super) fn won(&mut self, now: Instant, id: ConversationId, winner: LegId) {
        let Some(fork) = self.conversations.get_mut(&id).and_then(|c| c.fork.as_mut()) else {
            return;
        };
        let (by, reason, old) = (fork.by, fork.reason, fork.old);
        let hops = core::mem::take(&mut fork.hops);
        let answered_by = self.leg(winner).map(|leg| leg.info.clone());
        for hop in hops {
            self.redirected(now, hop, answered_by.clone());
        }
        if reason == Reason::Transfer {
            self.transferred(now, by, old);
        }
        if let Some(conversation) = self.conversations.get_mut(&id) {
            conversation.fork = None;
        }
    }

    /// Everybody who is still rung stops ringing.
    fn stop_rung(&mut self, now: Instant, id: ConversationId, result: &EndResult) {
        let Some(fork) = self.conversations.get_mut(&id).and_then(|c| c.fork.as_mut()) else {
            return;
        };
        fork.closing = true;
        for leg in core::mem::take(&mut fork.rung) {
            match self.leg(leg).and_then(Leg::call) {
                Some(call) => self.end_call(now, call, result),
                None => self.person_out(now, leg, result),
            }
        }
    }

    /// Lets go of a fork before anybody took the call.
    pub(super) fn drop_fork(&mut self, now: Instant, id: ConversationId, result: &EndResult) {
        self.stop_rung(now, id, result);
        self.timers.cancel(Timer::Fork(id));
        let Some(fork) = self.conversations.get_mut(&id).and_then(|c| c.fork.as_mut()) else {
            return;
        };
        let (first, hops) = (fork.by, core::mem::take(&mut fork.hops));
        for hop in hops.into_iter().filter(|hop| hop.by != first) {
            self.end_call(now, hop.by, result);
        }
        if let Some(fork) = self.conversations.get_mut(&id).and_then(|c| c.fork.take()) {
            self.anchors.remove(&fork.anchor);
        }
    }

    /// One who was rung will not come.
    pub(super) fn fork_lost(
        &mut self,
        now: Instant,
        id: ConversationId,
        leg: LegId,
        result: &EndResult,
    ) {
        let Some(fork) = self.conversations.get_mut(&id).and_then(|c| c.fork.as_mut()) else {
            return;
        };
        if fork.closing || !fork.rung.remove(&leg) || !fork.rung.is_empty() {
            return;
        }
        self.fork_failed(now, id, result);
    }

    /// It has rung for long enough.
    pub(super) fn fork_over(&mut self, now: Instant, id: ConversationId) {
        let result = EndResult::user_did_not_answer();
        self.stop_rung(now, id, &result);
        self.fork_failed(now, id, &result);
    }

    /// Nobody took the call.
    fn fork_failed(&mut self, now: Instant, id: ConversationId, last: &EndResult) {
        let Some(fork) = self.conversations.get(&id).and_then(|c| c.fork.as_deref()) else {
            return;
        };
        let (by, anchor, reason, targets) = (fork.by, fork.anchor, fork.reason, fork.targets);
        self.drop_fork(now, id, last);
        match reason {
            Reason::Redirect => {
                let result = match targets {
                    0 | 1 => last.clone(),
                    _ => EndResult::no_target_answered(&last.message),
                };
                self.end_call(now, by, &result);
            }
            Reason::Transfer => self.transfer_failed(now, by, id, anchor, last),
        }
    }

    /// A call that is over was part of a fork: what that means for it. `true` if the
    /// conversation goes on without the call.
    pub(super) fn fork_lets_go(&mut self, now: Instant, call: &Call, result: &EndResult) -> bool {
        let id = call.conversation;
        let Some(fork) = self.fork(id) else { return false };
        let is_first = fork.by == call.id && fork.reason == Reason::Redirect;
        if !fork.closing && is_first {
            // The bot's own call ends while it rings for it: that ends everything.
            self.drop_fork(now, id, result);
            return false;
        }
        self.remove_leg(now, call.leg, &result.message);
        self.fork_lost(now, id, call.leg, result);
        true
    }

    /// Somebody leaves for whom it rings.
    pub(super) fn anchor_gone(&mut self, now: Instant, leg: LegId) {
        let Some(id) = self.anchors.get(&leg).copied() else { return };
        let elsewhere = self.legs.get(&leg) != Some(&id);
        let by = self.fork(id).map(|fork| fork.by);
        self.drop_fork(now, id, &EndResult::caller_gave_up());
        if elsewhere {
            self.drop_conversation(id);
            if let Some(by) = by {
                let why = EndResult::transfer_failed("the other side has left.");
                self.tell_transfer_failed(now, by, &why);
            }
        }
    }

    /// Ends a conversation of two for everybody in it.
    pub(super) fn end_conversation(
        &mut self,
        now: Instant,
        id: ConversationId,
        result: &EndResult,
    ) {
        self.drop_fork(now, id, result);
        let Some(conversation) = self.conversations.get(&id) else { return };
        let (people, calls) = (conversation.people(), conversation.calls());
        for call in calls {
            self.end_call(now, call, result);
        }
        for leg in people {
            if self.legs.contains_key(&leg) {
                self.person_out(now, leg, result);
            }
        }
        self.drop_conversation(id);
    }
}
