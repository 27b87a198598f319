//! Peer-to-peer calls that a bot makes to another bot, or to a voicemail box.

use super::Service;
use super::api::Asked;
use super::conference::Conversation;
use super::directory::Permission;
use super::fork::Telling;
use super::reply::{ApiError, Reply};
use super::target::Target;
use crate::call::state::Trigger;
use crate::graph::{self, ChangeType};
use crate::id::{AppId, TenantId};

impl Service {
    /// A call to who is no person with a telephone.
    pub(super) fn call_elsewhere(
        &mut self,
        asked: &Asked<'_>,
        body: &graph::Call,
        config: &graph::MediaConfig,
        target: &Target,
    ) -> Result<Reply, ApiError> {
        let app = asked.caller.app.clone();
        if *target == Target::App(app.clone()) {
            return Err(ApiError::bad_request("A bot cannot call itself."));
        }
        let tenant = self.tenant_for(body, &app, target)?;
        self.check_tenant(body, &tenant)?;
        self.check_permission(asked, &tenant, &[Permission::Initiate])?;
        let hosting = self.hosting_for(asked, &tenant, config)?;
        self.check_room_for_call(asked.now, &app)?;
        let (id, leg) = (self.new_conversation_id(), self.new_leg_id());
        self.conversations.insert(id, Conversation::new(tenant));
        let call = self.begin_outgoing(asked, body, id, leg);
        if let Some(held) = self.calls.get_mut(&call) {
            held.hosting = hosting;
        }
        self.prefetch(asked.now, call, config);
        let reply = self.created(asked, call)?;
        self.notify_call(asked.now, call, ChangeType::Updated, |_| {});
        if self.config.announce_ringing && self.move_call(call, Trigger::Ring) {
            self.notify_call(asked.now, call, ChangeType::Updated, |_| {});
        }
        match target {
            Target::App(other) => {
                let telling = Telling {
                    source: self.directory.app_info(&app),
                    modalities: body.requested_modalities.clone().unwrap_or_default(),
                    ..Telling::default()
                };
                if let Err(result) = self.ring_app(asked.now, id, other, &telling) {
                    self.end_call(asked.now, call, &result);
                }
            }
            Target::User(user) | Target::Voicemail(user) => {
                self.ring_voicemail(asked.now, id, user);
            }
        }
        Ok(reply)
    }

    /// In which organisation a call is made: the person's, the one that the app names, or
    /// the first that lets it call.
    fn tenant_for(
        &self,
        body: &graph::Call,
        app: &AppId,
        target: &Target,
    ) -> Result<TenantId, ApiError> {
        match (target, &body.tenant_id) {
            (Target::User(user) | Target::Voicemail(user), _) => match self.directory.user(user) {
                Some((tenant, _)) => Ok(tenant.clone()),
                None => Err(ApiError::not_found("The user")),
            },
            (Target::App(_), Some(named)) => Ok(TenantId::new(named)),
            (Target::App(_), None) => self
                .directory
                .tenant_granting(app, Permission::Initiate)
                .ok_or_else(|| ApiError::insufficient_permissions(Permission::Initiate.name())),
        }
    }
}
