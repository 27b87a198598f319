//! Audio routing groups: who hears whom beside the default group, in which everybody is
//! who was not kept out of it (`removeFromDefaultAudioGroup`,
//! `removeFromDefaultAudioRoutingGroup`). A group belongs to the call that made it and
//! ends with it.

use crate::attach::Routing;
use crate::graph::{self, AudioRoutingGroup};
use crate::id::{CallId, ConversationId, LegId};
use crate::service::Service;
use crate::service::api::Asked;
use crate::service::directory::Permission;
use crate::service::reply::{ApiError, Reply};

/// How many groups a call may have (ours).
const GROUPS_MAX: usize = 64;

/// How many sources and receivers a group may name (ours).
const MEMBERS_MAX: usize = 1_000;

impl Service {
    fn routing_of(&self, asked: &Asked<'_>, id: CallId) -> Result<ConversationId, ApiError> {
        let conversation = self.in_conference(asked, id)?;
        let needed = [Permission::JoinGroupCall, Permission::InitiateGroupCall];
        self.check_group_permission(asked, id, &needed)?;
        Ok(conversation)
    }

    fn groups(
        &self,
        conversation: ConversationId,
    ) -> impl Iterator<Item = (&(CallId, String), &AudioRoutingGroup)> {
        let held = self.conversations.get(&conversation);
        held.and_then(|held| held.conference.as_deref())
            .into_iter()
            .flat_map(|conference| &conference.groups)
    }

    /// `GET …/audioRoutingGroups`
    pub(in crate::service) fn list_groups(
        &self,
        asked: &Asked<'_>,
        id: CallId,
    ) -> Result<Reply, ApiError> {
        let conversation = self.routing_of(asked, id)?;
        let own = self.groups(conversation).filter(|((call, _), _)| *call == id);
        let shown: Vec<&AudioRoutingGroup> = own.map(|(_, group)| group).collect();
        asked.collection(&format!("communications/calls('{id}')/audioRoutingGroups"), &shown)
    }

    fn group(
        &self,
        asked: &Asked<'_>,
        id: CallId,
        name: &str,
    ) -> Result<(ConversationId, (CallId, String), AudioRoutingGroup), ApiError> {
        let conversation = self.routing_of(asked, id)?;
        let found = self
            .groups(conversation)
            .find(|((call, known), _)| *call == id && known.eq_ignore_ascii_case(name));
        let (key, group) = found.ok_or_else(|| ApiError::not_found("AudioRoutingGroup"))?;
        Ok((conversation, key.clone(), group.clone()))
    }

    /// `GET …/audioRoutingGroups/{id}`
    pub(in crate::service) fn get_group(
        &self,
        asked: &Asked<'_>,
        id: CallId,
        name: &str,
    ) -> Result<Reply, ApiError> {
        let context = format!("communications/calls('{id}')/audioRoutingGroups/$entity");
        asked.resource(200, &context, &self.group(asked, id, name)?.2)
    }

    /// `POST …/audioRoutingGroups`; answered 200 as documented.
    pub(in crate::service) fn create_group(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
    ) -> Result<Reply, ApiError> {
        let mut group: AudioRoutingGroup = asked.parse()?;
        check(&group)?;
        let conversation = self.routing_of(asked, id)?;
        if self.groups(conversation).filter(|((call, _), _)| *call == id).count() >= GROUPS_MAX {
            let message = format!("The call has {GROUPS_MAX} audio routing groups already.");
            return Err(ApiError::too_many(message, 60));
        }
        let generated = LegId::from_u128(self.random_bits()).to_string();
        let name = group.id.clone().filter(|name| !name.is_empty()).unwrap_or(generated);
        if self.group(asked, id, &name).is_ok() {
            let message = format!("There is a group '{name}' already.");
            return Err(ApiError::new(409, "Conflict", message));
        }
        group.id = Some(name.clone());
        self.keep_group(conversation, (id, name), group.clone());
        Ok(Reply::json(200, &group))
    }

    /// `PATCH …/audioRoutingGroups/{id}`
    pub(in crate::service) fn update_group(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
        name: &str,
    ) -> Result<Reply, ApiError> {
        let changes: AudioRoutingGroup = asked.parse()?;
        let (conversation, key, mut group) = self.group(asked, id, name)?;
        group.routing_mode = changes.routing_mode.or(group.routing_mode);
        group.sources = changes.sources.or(group.sources);
        group.receivers = changes.receivers.or(group.receivers);
        check(&group)?;
        self.keep_group(conversation, key, group.clone());
        Ok(Reply::json(200, &group))
    }

    /// `DELETE …/audioRoutingGroups/{id}`
    pub(in crate::service) fn delete_group(
        &mut self,
        asked: &Asked<'_>,
        id: CallId,
        name: &str,
    ) -> Result<Reply, ApiError> {
        let (conversation, key, _) = self.group(asked, id, name)?;
        let held = self.conversations.get_mut(&conversation);
        if let Some(conference) = held.and_then(|held| held.conference.as_deref_mut()) {
            conference.groups.remove(&key);
        }
        self.routing_changed(conversation);
        Ok(Reply::empty(204))
    }

    fn keep_group(
        &mut self,
        conversation: ConversationId,
        key: (CallId, String),
        group: AudioRoutingGroup,
    ) {
        let held = self.conversations.get_mut(&conversation);
        if let Some(conference) = held.and_then(|held| held.conference.as_deref_mut()) {
            conference.groups.insert(key, group);
        }
        self.routing_changed(conversation);
    }

    /// A call's groups end with it.
    pub(in crate::service) fn drop_groups(&mut self, conversation: ConversationId, call: CallId) {
        let held = self.conversations.get_mut(&conversation);
        let Some(conference) = held.and_then(|held| held.conference.as_deref_mut()) else {
            return;
        };
        let before = conference.groups.len();
        conference.groups.retain(|(of, _), _| *of != call);
        if conference.groups.len() != before {
            self.routing_changed(conversation);
        }
    }

    /// Who hears whom may have changed: the room is told. Without any rule it needs none.
    pub(in crate::service) fn routing_changed(&mut self, id: ConversationId) {
        let Some(held) = self.conversations.get(&id) else { return };
        let Some(conference) = held.conference.as_deref() else { return };
        let apart = held.legs.iter().filter(|(_, leg)| leg.place.apart).map(|(leg, _)| *leg);
        let legs = |names: &Option<Vec<String>>| -> Vec<LegId> {
            names.iter().flatten().filter_map(|name| LegId::parse(name)).collect()
        };
        let groups = conference.groups.values();
        let routing = Routing {
            apart: apart.collect(),
            groups: groups.map(|group| (legs(&group.sources), legs(&group.receivers))).collect(),
            levels: conference.levels.clone(),
        };
        self.media.set_routing(id, routing);
    }
}

fn check(group: &AudioRoutingGroup) -> Result<(), ApiError> {
    match &group.routing_mode {
        None => return Err(ApiError::missing("routingMode")),
        Some(graph::RoutingMode::Other(text)) => {
            return Err(ApiError::bad_request(format!("'{text}' is no routing mode.")));
        }
        Some(_) => {}
    }
    for (name, members) in [("sources", &group.sources), ("receivers", &group.receivers)] {
        let count = members.as_ref().map_or(0, Vec::len);
        if count == 0 || count > MEMBERS_MAX {
            let message = format!("{name} must have 1 to {MEMBERS_MAX} entries.");
            return Err(ApiError::bad_request(message));
        }
    }
    Ok(())
}
