//! Calls as resources: create, read, keep alive, delete; their operations and
//! participants to read.

use super::answering::{app_hosted, check_modalities, no_ports};
use super::api::Asked;
use super::conference::{Conversation, Leg, Party, Standing};
use super::directory::Permission;
use super::reply::{ApiError, Reply};
use super::{Service, Timer};
use crate::call::state::Trigger;
use crate::call::{Hosting, NewCall};
use crate::event::Event;
use crate::graph;
use crate::id::{CallId, LegId, OperationId, TenantId, UserId};

impl Service {
    /// `POST /communications/calls`
    pub(super) fn create_call(&mut self, asked: &Asked<'_>) -> Result<Reply, ApiError> {
        let body: graph::Call = asked.parse()?;
        let callback = body.callback_uri.as_deref();
        let callback = callback.ok_or_else(|| ApiError::missing("callbackUri"))?;
        self.check_callback(Some(callback))?;
        let config = body.media_config.as_ref().ok_or_else(|| ApiError::missing("mediaConfig"))?;
        check_modalities(body.requested_modalities.as_deref())?;
        let targets = body.targets.as_deref().unwrap_or_default();
        let joins = body.chat_info.is_some() || body.meeting_info.is_some();
        match targets {
            [] if !joins => Err(ApiError::missing("targets")),
            [target] if !joins => self.call_person(asked, &body, config, target),
            _ if joins => Err(ApiError::not_implemented("Joining a meeting")),
            _ => Err(ApiError::not_implemented("A group call")),
        }
    }

    /// A peer-to-peer call to one person.
    fn call_person(
        &mut self,
        asked: &Asked<'_>,
        body: &graph::Call,
        config: &graph::MediaConfig,
        target: &graph::InvitationParticipantInfo,
    ) -> Result<Reply, ApiError> {
        let app = asked.caller.app.clone();
        let (user, tenant) = self.person_of(target)?;
        self.check_tenant(body, &tenant)?;
        if !self.caller_may(&asked.caller, &tenant, Permission::Initiate) {
            return Err(ApiError::insufficient_permissions(Permission::Initiate.name()));
        }
        let hosting = match config {
            graph::MediaConfig::ServiceHosted(_) => Hosting::Service,
            graph::MediaConfig::AppHosted(app_config) => {
                if !self.caller_may(&asked.caller, &tenant, Permission::AccessMedia) {
                    let needed = Permission::AccessMedia.name();
                    return Err(ApiError::insufficient_permissions(needed));
                }
                app_hosted(app_config)?
            }
            graph::MediaConfig::Other(_) => {
                return Err(ApiError::bad_request("mediaConfig is of an unknown type."));
            }
        };
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
        let call = self.begin_outgoing(asked, body, &tenant, [bot, person], &user);
        if let Some(held) = self.calls.get_mut(&call) {
            held.hosting = hosting;
            held.subject.clone_from(&body.subject);
            held.options = body.call_options.clone().unwrap_or_default();
            held.targets = vec![target.clone()];
        }
        self.prefetch(asked.now, call, config);
        let held = self.calls.get(&call).ok_or_else(ApiError::call_not_found)?;
        let offer = self.offer_to_person(held, person)?;
        let shown = self.call_in_full(held);
        self.notify_call(asked.now, call, graph::ChangeType::Updated, |_| {});
        if self.config.announce_ringing && self.move_call(call, Trigger::Ring) {
            self.notify_call(asked.now, call, graph::ChangeType::Updated, |_| {});
        }
        self.timers.set(Timer::Ringing(person), asked.now + self.ringing_of(body));
        self.say(Event::UserRung { leg: person, call, user, offer });
        let location = asked.location(&self.config.base_url, call, "");
        Ok(asked.resource(201, "communications/calls/$entity", &shown)?.at(location))
    }

    /// How long a person's telephone rings for this call.
    fn ringing_of(&self, body: &graph::Call) -> core::time::Duration {
        match body.ringing_timeout_in_seconds {
            Some(seconds) if (1..=115).contains(&seconds.0) => {
                core::time::Duration::from_secs(seconds.0.unsigned_abs())
            }
            _ => self.config.limits.ringing,
        }
    }

    fn begin_outgoing(
        &mut self,
        asked: &Asked<'_>,
        body: &graph::Call,
        tenant: &TenantId,
        [bot, person]: [LegId; 2],
        user: &UserId,
    ) -> CallId {
        let app = asked.caller.app.clone();
        let (conversation, call) = (self.new_conversation_id(), self.new_call_id());
        let mut held = Conversation::new(tenant.clone());
        let mut insert = |id: LegId, party: Party, standing: Standing, info| {
            held.legs.insert(id, Leg { party, standing, info, description: None });
        };
        insert(bot, Party::Bot(call), Standing::Calling, self.directory.app_info(&app));
        let info = self.directory.user_info(user).unwrap_or_default();
        insert(person, Party::User(user.clone()), Standing::Ringing, info);
        self.conversations.insert(conversation, held);
        self.legs.insert(bot, conversation);
        self.legs.insert(person, conversation);
        let source = self.directory.app_info(&app);
        let new = NewCall {
            id: call,
            app,
            tenant: tenant.clone(),
            conversation,
            leg: bot,
            direction: graph::CallDirection::Outgoing,
            callback_uri: body.callback_uri.clone().unwrap_or_default(),
            modalities: body.requested_modalities.clone().unwrap_or_default(),
            source,
            targets: Vec::new(),
        };
        self.begin_call(asked.now, new)
    }

    /// The person that a target names.
    fn person_of(
        &self,
        target: &graph::InvitationParticipantInfo,
    ) -> Result<(UserId, TenantId), ApiError> {
        let identity = target.identity.as_ref();
        let identity = identity.ok_or_else(|| ApiError::missing("targets/identity"))?;
        if identity.phone.is_some() {
            return Err(ApiError::new(
                403,
                "10151",
                "Calls to telephone numbers need an application instance and a PSTN connection, \
                 which this platform does not have.",
            ));
        }
        if identity.application.is_some() && identity.user.is_none() {
            return Err(ApiError::not_implemented("Calling an application"));
        }
        let user = identity.user_id().ok_or_else(|| ApiError::missing("targets/identity/user"))?;
        match self.directory.user(&user) {
            Some((tenant, _)) => Ok((user, tenant.clone())),
            None => Err(ApiError::new(404, "NotFound", format!("User {user} not found."))),
        }
    }

    fn check_tenant(&self, body: &graph::Call, tenant: &TenantId) -> Result<(), ApiError> {
        match body.tenant_id.as_deref().map(TenantId::new) {
            Some(named) if named != *tenant => Err(ApiError::tenant_mismatch()),
            _ => Ok(()),
        }
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
        let shown: Vec<_> = conversation
            .into_iter()
            .flat_map(|conversation| &conversation.legs)
            .map(|(id, leg)| self.participant(*id, leg))
            .collect();
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
        let found = conversation.and_then(|conversation| conversation.legs.get(&leg));
        let found = found.ok_or_else(|| ApiError::not_found("Participant"))?;
        let context = format!("communications/calls('{id}')/participants/$entity");
        asked.resource(200, &context, &self.participant(leg, found))
    }
}
