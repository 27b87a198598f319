//! Shared screens: who shows one, by `changeScreenSharingRole` or as a person, and the
//! content sharing sessions that bots are told of which asked for it.

use callrig_media::time::Instant;
use serde_json::json;

use super::Standing;
use crate::call::Hosting;
use crate::graph::{self, ChangeType, ScreenSharingRole};
use crate::id::{CallId, ConversationId, LegId};
use crate::service::Service;
use crate::service::api::Asked;
use crate::service::directory::Permission;
use crate::service::reply::{ApiError, Reply};

/// Which permissions let an app see what is shared.
const SEEING: &[Permission] = &[
    Permission::JoinGroupCallAsGuest,
    Permission::JoinGroupCall,
    Permission::InitiateGroupCall,
    Permission::Initiate,
];

fn shown(session: &str) -> serde_json::Value {
    json!({ "@odata.type": "#microsoft.graph.contentSharingSession", "id": session })
}

impl Service {
    /// `POST …/changeScreenSharingRole`
    pub(in crate::service) fn change_screen_sharing_role(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
    ) -> Result<Reply, ApiError> {
        let body: graph::ChangeScreenSharingRole = asked.parse()?;
        let shares = match body.role.ok_or_else(|| ApiError::missing("role"))? {
            ScreenSharingRole::Sharer => true,
            ScreenSharingRole::Viewer => false,
            ScreenSharingRole::Other(text) => {
                return Err(ApiError::bad_request(format!("'{text}' is no role.")));
            }
        };
        self.in_conference(asked, id)?;
        let call = self.owned(asked, id)?;
        if !matches!(call.hosting, Hosting::App { .. }) {
            return Err(ApiError::app_hosted_only("changeScreenSharingRole"));
        }
        let leg = call.leg;
        self.set_sharing(asked.now, leg, shares);
        Ok(Reply::empty(202))
    }

    /// A leg begins or ends to show its screen.
    pub(super) fn set_sharing(&mut self, now: Instant, leg: LegId, shares: bool) {
        let session = format!("{:064X}", self.random_bits());
        let Some(held) = self.leg_mut(leg) else { return };
        if held.place.sharing.is_some() == shares {
            return;
        }
        let before = core::mem::replace(&mut held.place.sharing, shares.then(|| session.clone()));
        self.roster_changed(now, leg);
        let Some(id) = self.legs.get(&leg).copied() else { return };
        match before {
            None => self.tell_sharing(now, id, &ChangeType::Created, &session),
            Some(before) => self.tell_sharing(now, id, &ChangeType::Deleted, &before),
        }
    }

    /// Tells the bots that asked for it.
    pub(in crate::service) fn tell_sharing(
        &mut self,
        now: Instant,
        id: ConversationId,
        change: &ChangeType,
        session: &str,
    ) {
        let Some(conversation) = self.conversations.get(&id) else { return };
        let joined = conversation.legs.values().filter(|leg| leg.standing == Standing::Joined);
        let wants = |call: &CallId| {
            self.calls.get(call).is_some_and(|call| {
                call.options.is_content_sharing_notification_enabled == Some(true)
            })
        };
        let told: Vec<CallId> = joined.filter_map(super::Leg::call).filter(wants).collect();
        for call in told {
            let data = json!([shown(session)]);
            self.notify(now, call, change.clone(), "/contentsharingsessions", &data);
        }
    }

    fn sessions_of(&self, asked: &Asked<'_>, id: CallId) -> Result<Vec<&str>, ApiError> {
        let call = self.owned(asked, id)?;
        self.check_permission(asked, &call.tenant, SEEING)?;
        let conversation = self.conversations.get(&call.conversation);
        let legs = conversation.map(|held| held.present()).unwrap_or_default();
        Ok(legs.into_iter().filter_map(|(_, leg)| leg.place.sharing.as_deref()).collect())
    }

    /// `GET …/contentSharingSessions`
    pub(in crate::service) fn list_sharing(
        &self,
        asked: &Asked<'_>,
        id: CallId,
    ) -> Result<Reply, ApiError> {
        let sessions: Vec<_> = self.sessions_of(asked, id)?.into_iter().map(shown).collect();
        asked.collection(&format!("communications/calls('{id}')/contentSharingSessions"), &sessions)
    }

    /// `GET …/contentSharingSessions/{id}`
    pub(in crate::service) fn get_sharing(
        &self,
        asked: &Asked<'_>,
        id: CallId,
        session: &str,
    ) -> Result<Reply, ApiError> {
        let sessions = self.sessions_of(asked, id)?;
        let found = sessions.into_iter().find(|known| known.eq_ignore_ascii_case(session));
        let found = found.ok_or_else(|| ApiError::not_found("ContentSharingSession"))?;
        let context = format!("communications/calls('{id}')/contentSharingSessions/$entity");
        asked.resource(200, &context, &shown(found))
    }
}
