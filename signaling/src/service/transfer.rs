//! `transfer`: a bot hands the other side of an established call over. Blind: somebody is
//! rung, and the two are joined when the call is taken; until then, and for good if
//! nobody does, the bot has its call. By consultation (`replacesCallId`): the bot already
//! talks to the target on another call, and both of its calls end. Out of a group the
//! `transferee` says who is meant; the bot's own call goes on there while anybody is left
//! (no document says what becomes of it). Media that flows is not begun anew.

use callrig_media::time::Instant;

use super::Service;
use super::api::{Asked, checked_context};
use super::conference::{Conversation, Leg, Party, Standing};
use super::directory::Permission;
use super::fork::{Fork, Reason, Telling};
use super::reply::{ApiError, Reply};
use super::target::Target;
use crate::call::operation::{Kind, Operation};
use crate::call::result::EndResult;
use crate::call::state::{State, Trigger};
use crate::graph::{self, ChangeType, IncomingContext, MediaState, OperationStatus};
use crate::id::{CallId, ConversationId, LegId, OperationId};

/// What a transfer that may begin needs.
struct Plan {
    id: CallId,
    target: Target,
    transferee: LegId,
    /// By consultation: the call that is replaced, if it can be.
    replaced: Option<Result<(CallId, LegId), String>>,
    /// As the app wrote it.
    replaces: Option<String>,
    old: bool,
}

impl Service {
    /// `POST …/transfer`
    pub(super) fn transfer_call(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
    ) -> Result<Reply, ApiError> {
        let body: graph::Transfer = asked.parse()?;
        let context = checked_context(body.client_context.clone())?;
        let info = body.transfer_target.as_ref();
        let info = info.ok_or_else(|| ApiError::missing("transferTarget"))?;
        let target = self.target_of(info, "transferTarget")?;
        let call = self.owned(asked, id)?;
        let (state, tenant, app) = (call.state(), call.tenant.clone(), call.app.clone());
        if !matches!(state, State::Established | State::Hold) {
            return Err(ApiError::wrong_state("transfer", state));
        }
        self.check_permission(asked, &tenant, &[Permission::Initiate])?;
        self.check_same_tenant(&target, &tenant)?;
        if target == Target::App(app) {
            return Err(ApiError::bad_request("A call cannot be transferred to its own bot."));
        }
        let transferee = self.transferee_of(id, body.transferee.as_ref())?;
        let party = self.leg(transferee).map(|leg| &leg.party);
        if matches!((&target, party), (Target::User(to), Some(Party::User(who))) if to == who) {
            return Err(ApiError::bad_request("Nobody can be transferred to themselves."));
        }
        // In 2018 it stood beside the target.
        let beside = body.other.get("replacesCallId").and_then(|value| value.as_str());
        let replaces = info.replaces_call_id.clone().or_else(|| beside.map(str::to_owned));
        let replaced = replaces.as_deref().map(|text| self.replaced_by(id, &target, text));
        let plan = Plan { id, target, transferee, replaced, replaces, old: asked.is_old() };
        let reply = match plan.old {
            true => self.begin_transfer_operation(asked, id, context)?,
            false => Reply::empty(202),
        };
        self.begin_transfer(asked.now, plan);
        Ok(reply)
    }

    /// Who is transferred: the other side, or in a group whom the app names.
    fn transferee_of(
        &self,
        id: CallId,
        named: Option<&graph::ParticipantInfo>,
    ) -> Result<LegId, ApiError> {
        let call = self.calls.get(&id).ok_or_else(ApiError::call_not_found)?;
        let not_found = || ApiError::not_found("The transferee");
        if !self.is_conference(call.conversation) {
            let (leg, held) = self.peer_of(call).ok_or_else(not_found)?;
            return match held.is_person() {
                true => Ok(leg),
                false => Err(ApiError::bad_request("Only users can be transferred.")),
            };
        }
        let named = named.ok_or_else(|| ApiError::missing("transferee"))?;
        let wanted = named.participant_id.as_deref().and_then(LegId::parse);
        let user = named.identity.as_ref().and_then(graph::IdentitySet::user_id);
        if wanted.is_none() && user.is_none() {
            return Err(ApiError::missing("transferee/identity/user"));
        }
        let conversation = self.conversations.get(&call.conversation).ok_or_else(not_found)?;
        let is_meant = |leg: LegId, held: &Leg| match (&held.party, wanted) {
            (Party::User(_), Some(wanted)) => leg == wanted,
            (Party::User(who), None) => Some(who) == user.as_ref(),
            _ => false,
        };
        let found = conversation
            .legs
            .iter()
            .find(|(leg, held)| held.standing == Standing::Joined && is_meant(**leg, held));
        let leg = found.map(|(leg, _)| *leg).ok_or_else(not_found)?;
        match self.anchors.contains_key(&leg) {
            true => Err(ApiError::new(409, "Conflict", "The transferee is being transferred.")),
            false => Ok(leg),
        }
    }

    /// The call that a transfer by consultation replaces, and its other side; or why it
    /// cannot be.
    fn replaced_by(
        &self,
        id: CallId,
        target: &Target,
        replaces: &str,
    ) -> Result<(CallId, LegId), String> {
        let app = self.calls.get(&id).map(|call| &call.app);
        let held = CallId::parse(replaces).and_then(|other| self.calls.get(&other));
        let held = held.filter(|held| Some(&held.app) == app && held.id != id);
        let held = held.ok_or("there is no such other call of this app")?;
        if held.state() != State::Established || self.is_conference(held.conversation) {
            return Err("the call to be replaced is no established peer-to-peer call".to_owned());
        }
        match self.peer_of(held) {
            Some((leg, Leg { party: Party::User(user), .. }))
                if *target == Target::User(user.clone()) =>
            {
                Ok((held.id, leg))
            }
            _ => Err("the call to be replaced is not one to the transferTarget".to_owned()),
        }
    }

    /// 2018's form: the transfer is an operation, which is told of instead of the states.
    fn begin_transfer_operation(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
        context: Option<String>,
    ) -> Result<Reply, ApiError> {
        let operation = self.new_operation_id();
        let running = Operation::running(operation, Kind::Transfer, context);
        let reply = self.begin_operation(asked, id, running)?;
        self.tell_operation(asked.now, id, operation);
        Ok(reply)
    }

    /// Tells where an operation stands that goes on.
    fn tell_operation(&mut self, now: Instant, id: CallId, operation: OperationId) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        call.version += 1;
        let version = call.version;
        let Some(held) = call.operations.get(operation) else { return };
        let mut shown = held.to_graph();
        let path = format!("/operations/{operation}");
        shown.result_info = Some(graph::ResultInfo {
            code: Some(graph::Code::Number(200)),
            subcode: Some(graph::Code::Word("transferring".to_owned())),
            ..graph::ResultInfo::typed()
        });
        let resource = format!("/communications/calls/{id}{path}");
        shown.other.insert("@odata.id".into(), resource.into());
        shown.other.insert("@odata.etag".into(), format!("W/\"{version}\"").into());
        self.notify(now, id, ChangeType::Updated, &path, &shown);
    }

    fn transfer_operation(&self, id: CallId) -> Option<OperationId> {
        let call = self.calls.get(&id)?;
        let going_on = call.operations.iter().find(|o| o.kind == Kind::Transfer && !o.has_ended());
        going_on.map(|operation| operation.id)
    }

    fn begin_transfer(&mut self, now: Instant, plan: Plan) {
        let id = plan.id;
        self.end_media_operations_of(now, id);
        self.move_call(id, Trigger::Transfer);
        if !plan.old {
            self.notify_call(now, id, ChangeType::Updated, |_| {});
        }
        if let Some(Err(reason)) = &plan.replaced {
            let result = EndResult::consultation_failed(reason);
            return self.tell_consultation_failed(now, id, &result, plan.replaces);
        }
        self.accept_transfer(now, &plan);
        match plan.replaced {
            Some(Ok((replaced, leg))) => self.consult(now, id, plan.transferee, replaced, leg),
            _ => self.transfer_blind(now, &plan),
        }
    }

    /// The transferee's endpoint takes the transfer, as the platform's always do.
    fn accept_transfer(&mut self, now: Instant, plan: &Plan) {
        let id = plan.id;
        self.move_call(id, Trigger::AcceptTransfer);
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (conversation, bot) = (call.conversation, call.leg);
        let in_group = self.is_conference(conversation);
        if !in_group {
            self.media.part(plan.transferee);
            self.media.part(bot);
            self.drain_media(now);
            self.set_media_active(id, false);
        }
        match self.transfer_operation(id) {
            Some(operation) => {
                let (status, result) = (OperationStatus::Completed, EndResult::action_completed());
                self.end_operation(now, id, operation, status, result);
            }
            None => self.notify_call(now, id, ChangeType::Updated, |_| {}),
        }
        if !in_group {
            self.say_inactive(now, id);
        }
    }

    fn set_media_active(&mut self, id: CallId, active: bool) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.media_active = active;
        }
    }

    /// The bot's media no longer flows, which is told beside the state.
    fn say_inactive(&mut self, now: Instant, id: CallId) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.version += 1;
        }
        let inactive = graph::CallMediaState {
            audio: Some(MediaState::Inactive),
            ..graph::CallMediaState::typed()
        };
        self.notify_call(now, id, ChangeType::Updated, |shown| {
            shown.media_state = Some(inactive);
        });
    }

    fn transfer_blind(&mut self, now: Instant, plan: &Plan) {
        let Some(call) = self.calls.get(&plan.id) else { return };
        let (from, tenant, app) = (call.conversation, call.tenant.clone(), call.app.clone());
        let modalities = call.modalities.clone();
        let Some(transferee) = self.leg(plan.transferee) else { return };
        let telling = Telling {
            source: transferee.info.clone(),
            modalities,
            routes: Vec::new(),
            context: Some(IncomingContext {
                source_participant_id: Some(plan.transferee.to_string()),
                transferor: self.directory.app_info(&app).identity,
                ..IncomingContext::typed()
            }),
        };
        let id = match self.is_conference(from) {
            true => {
                let id = self.new_conversation_id();
                self.conversations.insert(id, Conversation::new(tenant));
                id
            }
            false => from,
        };
        let fork = Fork::new(Reason::Transfer, plan.id, plan.transferee, plan.old);
        let rings = self.config.limits.ringing;
        self.begin_fork(now, id, fork, &[(plan.target.clone(), telling)], rings);
    }

    /// The target took the call.
    pub(super) fn transferred(&mut self, now: Instant, by: CallId, old: bool) {
        if self.stays_in_group(now, by) {
            return;
        }
        self.finish_call(now, by, Trigger::End, &EndResult::transfer_completed(), |shown| {
            if old {
                shown.result_info = None;
                shown.termination_reason = Some("AppTransferred".to_owned());
            }
        });
    }

    /// A bot that transferred somebody out of a group stays while people are left there.
    fn stays_in_group(&mut self, now: Instant, by: CallId) -> bool {
        let conversation = self.calls.get(&by).map(|call| call.conversation);
        let Some(id) = conversation.filter(|id| self.is_conference(*id)) else { return false };
        let left = self.conversations.get(&id).is_some_and(|held| !held.people().is_empty());
        if !left || !self.move_call(by, Trigger::Resume) {
            return false;
        }
        let result = EndResult::transfer_completed().to_graph();
        self.notify_call(now, by, ChangeType::Updated, |shown| shown.result_info = Some(result));
        true
    }

    /// Nobody took the call: the bot has it as before, or who was transferred is alone.
    pub(super) fn transfer_failed(
        &mut self,
        now: Instant,
        by: CallId,
        id: ConversationId,
        transferee: LegId,
        last: &EndResult,
    ) {
        let elsewhere = self.legs.get(&transferee) != Some(&id);
        if elsewhere {
            self.drop_conversation(id);
        }
        let Some(bot) = self.calls.get(&by).map(|call| call.leg) else {
            if !elsewhere {
                self.person_gone(now, transferee, last);
            }
            return;
        };
        if !elsewhere && let Err(reason) = self.pair(now, transferee, bot, None) {
            return self.end_call(now, by, &EndResult::media_unreachable(&reason));
        }
        self.tell_transfer_failed(now, by, &EndResult::transfer_failed(&last.message));
    }

    pub(super) fn tell_transfer_failed(&mut self, now: Instant, by: CallId, result: &EndResult) {
        if !self.move_call(by, Trigger::FailTransfer) {
            return;
        }
        let Some(call) = self.calls.get_mut(&by) else { return };
        call.media_active = true;
        let result = result.to_graph();
        self.notify_call(now, by, ChangeType::Updated, |shown| shown.result_info = Some(result));
    }

    fn tell_consultation_failed(
        &mut self,
        now: Instant,
        by: CallId,
        result: &EndResult,
        replaces: Option<String>,
    ) {
        if let Some(operation) = self.transfer_operation(by) {
            self.end_operation(now, by, operation, OperationStatus::Failed, result.clone());
        }
        if !self.move_call(by, Trigger::FailTransfer) {
            return;
        }
        let result = result.to_graph();
        self.notify_call(now, by, ChangeType::Updated, |shown| {
            shown.result_info = Some(result);
            if let Some(replaces) = replaces {
                shown.other.insert("replacesContext".into(), replaces.into());
            }
        });
    }

    /// Both of the bot's calls end, and their people talk to each other: who is
    /// transferred comes into the conversation of the call that is replaced.
    fn consult(
        &mut self,
        now: Instant,
        by: CallId,
        transferee: LegId,
        replaced: CallId,
        target: LegId,
    ) {
        let Some(other) = self.calls.get(&replaced) else { return };
        let (id, bot) = (other.conversation, other.leg);
        self.end_media_operations_of(now, replaced);
        for leg in [transferee, target, bot] {
            self.media.part(leg);
        }
        self.bring_here(now, id, transferee);
        let paired = self.pair(now, transferee, target, None);
        if let Some(conversation) = self.conversations.get_mut(&id) {
            conversation.fork = Some(Box::new(Fork::settled(replaced, transferee)));
        }
        let result = EndResult::transfer_completed();
        self.finish_call(now, replaced, Trigger::End, &result, |_| {});
        if let Some(conversation) = self.conversations.get_mut(&id) {
            conversation.fork = None;
        }
        if let Err(reason) = paired {
            self.end_conversation(now, id, &EndResult::media_unreachable(&reason));
        }
        if !self.stays_in_group(now, by) {
            self.finish_call(now, by, Trigger::End, &EndResult::consulted(), |shown| {
                shown.result_info = None;
                shown.termination_reason = Some("AppTransferred".to_owned());
            });
        }
    }
}
