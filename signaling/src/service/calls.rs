//! Calls as resources: create, read, keep alive, delete; their operations and
//! participants to read.

use core::time::Duration;

use super::answering::{check_modalities, no_ports};
use super::api::Asked;
use super::conference::{Conversation, Leg, Party, Standing};
use super::directory::Permission;
use super::reply::{ApiError, Reply};
use super::target::{Target, within};
use super::{Service, Timer};
use crate::call::Hosting;
use crate::call::state::Trigger;
use crate::graph;
use crate::id::{CallId, LegId, OperationId, TenantId, UserId};

/// For how many seconds a person's telephone may ring (beta).
const RINGING_SECONDS: core::ops::RangeInclusive<i64> = 1..=115;

impl Service {
    /// `POST /communications/calls`
    pub(super) fn create_call(&mut self, asked: &Asked<'_>) -> Result<Reply, ApiError> {
        let body: graph::Call = asked.parse()?;
        if self.directory.app(&asked.caller.app).is_none_or(|app| app.webhook.is_none()) {
            return Err(ApiError::not_registered());
        }
        let callback = body.callback_uri.as_deref();
        let callback = callback.ok_or_else(|| ApiError::missing("callbackUri"))?;
        self.check_callback(Some(callback))?;
        let config = body.media_config.as_ref().ok_or_else(|| ApiError::missing("mediaConfig"))?;
        check_modalities(body.requested_modalities.as_deref())?;
        let targets = body.targets.as_deref().unwrap_or_default();
        // A chat beside targets is that of a group to be rung; alone it is half a meeting's
        // coordinates.
        let joins = body.meeting_info.is_some() || (body.chat_info.is_some() && targets.is_empty());
        match targets {
            [] if !joins => Err(ApiError::missing("targets")),
            [target] if !joins => match self.target_of(target, "targets")? {
                Target::User(user) => self.call_person(asked, &body, config, &user),
                other => self.call_elsewhere(asked, &body, config, &other),
            },
            _ if joins => self.join_meeting(asked, &body, config),
            _ => self.call_group(asked, &body, config),
        }
    }

    /// A peer-to-peer call to one person.
    fn call_person(
        &mut self,
        asked: &Asked<'_>,
        body: &graph::Call,
        config: &graph::MediaConfig,
        user: &UserId,
    ) -> Result<Reply, ApiError> {
        let app = asked.caller.app.clone();
        let tenant = self.directory.user(user).map(|(tenant, _)| tenant.clone());
        let tenant = tenant.ok_or_else(|| ApiError::not_found("The user"))?;
        self.check_tenant(body, &tenant)?;
        self.check_permission(asked, &tenant, &[Permission::Initiate])?;
        let hosting = self.hosting_for(asked, &tenant, config)?;
        let rings = self.ringing_of(body)?;
        self.check_room_for_call(asked.now, &app)?;
        let person = self.new_leg_id();
        let bot = self.new_leg_id();
        self.media.allot(person).map_err(no_ports)?;
        if let Hosting::App { offer, .. } = &hosting
            && let Err(error) = self.allot_for(bot, offer)
        {
            self.media.release(person);
            return Err(error);
        }
        let conversation = self.new_conversation_id();
        self.conversations.insert(conversation, Conversation::new(tenant));
        let call = self.begin_outgoing(asked, body, conversation, bot);
        if let Some(held) = self.conversations.get_mut(&conversation) {
            let info = self.directory.user_info(user).unwrap_or_default();
            held.insert(person, Leg::new(Party::User(user.clone()), Standing::Ringing, info));
        }
        self.enter_leg(person, conversation);
        if let Some(held) = self.calls.get_mut(&call) {
            held.hosting = hosting;
        }
        self.prefetch(asked.now, call, config);
        let held = self.calls.get(&call).ok_or_else(ApiError::call_not_found)?;
        let offer = self.offer_to_person(held, person)?;
        let reply = self.created(asked, call)?;
        self.notify_call(asked.now, call, graph::ChangeType::Updated, |_| {});
        if self.config.announce_ringing && self.move_call(call, Trigger::Ring) {
            self.notify_call(asked.now, call, graph::ChangeType::Updated, |_| {});
        }
        self.ring(asked.now, person, Some(call), user, offer, rings);
        Ok(reply)
    }

    /// How long a person's telephone rings for this call.
    pub(super) fn ringing_of(&self, body: &graph::Call) -> Result<Duration, ApiError> {
        let asked =
            within("ringingTimeoutInSeconds", body.ringing_timeout_in_seconds, RINGING_SECONDS)?;
        Ok(asked.map_or(self.config.limits.ringing, Duration::from_secs))
    }

    /// The person that a target names.
    pub(super) fn person_of(
        &self,
        target: &graph::InvitationParticipantInfo,
    ) -> Result<(UserId, TenantId), ApiError> {
        let identity = target.identity.as_ref();
        let identity = identity.ok_or_else(|| ApiError::missing("targets/identity"))?;
        if identity.phone.is_some() {
            return Err(ApiError::no_telephone());
        }
        if identity.application.is_some() && identity.user.is_none() {
            return Err(ApiError::bad_request("Only users can be called into a group call."));
        }
        let user = identity.user_id().ok_or_else(|| ApiError::missing("targets/identity/user"))?;
        match self.directory.user(&user) {
            Some((tenant, _)) => Ok((user, tenant.clone())),
            None => Err(ApiError::new(404, "NotFound", format!("User {user} not found."))),
        }
    }

    pub(super) fn check_tenant(
        &self,
        body: &graph::Call,
        tenant: &TenantId,
    ) -> Result<(), ApiError> {
        match body.tenant_id.as_deref().map(TenantId::new) {
            Some(named) if named != *tenant => Err(ApiError::tenant_mismatch()),
            _ => Ok(()),
        }
    }

    /// Whether the caller has any of these permissions in an organisation.
    pub(super) fn check_permission(
        &self,
        asked: &Asked<'_>,
        tenant: &TenantId,
        any_of: &[Permission],
    ) -> Result<(), ApiError> {
        if any_of.iter().any(|permission| self.caller_may(&asked.caller, tenant, *permission)) {
            return Ok(());
        }
        let names: Vec<&str> = any_of.iter().map(|permission| permission.name()).collect();
        Err(ApiError::insufficient_permissions(&names.join(", ")))
    }

    /// `GET /communications/calls/{id}`
    pub(super) fn get_call(&self, asked: &Asked<'_>, id: CallId) -> Result<Reply, ApiError> {
        let call = self.owned(asked, id)?;
        asked.resource(200, "communications/calls/$entity", &self.call_in_full(call))
    }

    /// `DELETE /communications/calls/{id}`
    pub(super) fn delete_call(&mut self, asked: &Asked<'_>, id: CallId) -> Result<Reply, ApiError> {
        let state = self.owned(asked, id)?.state();
        if state.next(Trigger::HangUp).is_none() {
            return Err(ApiError::wrong_state("delete", state));
        }
        self.hang_up_call(asked.now, id);
        Ok(Reply::empty(204))
    }

    /// `POST …/keepAlive`
    pub(super) fn keep_alive(&mut self, asked: &Asked<'_>, id: CallId) -> Result<Reply, ApiError> {
        self.timers.set(Timer::KeepAlive(id), asked.now + self.config.limits.keep_alive);
        Ok(Reply::empty(200))
    }

    /// `GET …/operations`
    pub(super) fn list_operations(&self, asked: &Asked<'_>, id: CallId) -> Result<Reply, ApiError> {
        let call = self.owned(asked, id)?;
        let shown: Vec<_> = call.operations.iter().map(|o| o.to_graph()).collect();
        asked.collection(&format!("communications/calls('{id}')/operations"), &shown)
    }

    /// `GET …/operations/{id}`
    pub(super) fn get_operation(
        &self,
        asked: &Asked<'_>,
        id: CallId,
        operation: OperationId,
    ) -> Result<Reply, ApiError> {
        let call = self.owned(asked, id)?;
        let found = call.operations.get(operation);
        let found = found.ok_or_else(|| ApiError::not_found("Operation"))?;
        let context = format!("communications/calls('{id}')/operations/$entity");
        asked.resource(200, &context, &found.to_graph())
    }

    /// `GET …/participants`
    pub(super) fn list_participants(
        &self,
        asked: &Asked<'_>,
        id: CallId,
    ) -> Result<Reply, ApiError> {
        let call = self.owned(asked, id)?;
        let conversation = self.conversations.get(&call.conversation);
        let legs = conversation.map(Conversation::shown).unwrap_or_default();
        let shown: Vec<_> = legs.into_iter().map(|(id, leg)| self.participant(id, leg)).collect();
        asked.collection(&format!("communications/calls('{id}')/participants"), &shown)
    }

    /// `GET …/participants/{id}`
    pub(super) fn get_participant(
        &self,
        asked: &Asked<'_>,
        id: CallId,
        leg: LegId,
    ) -> Result<Reply, ApiError> {
        let call = self.owned(asked, id)?;
        let conversation = self.conversations.get(&call.conversation);
        let found = conversation.and_then(|conversation| conversation.shown_leg(leg));
        let found = found.ok_or_else(|| ApiError::not_found("Participant"))?;
        let context = format!("communications/calls('{id}')/participants/$entity");
        asked.resource(200, &context, &self.participant(leg, found))
    }
}
