//! A bot calls several at once: a conference is made, the bot is in it at once, and
//! everybody is rung. Documented for up to five people; it has no chat and no recording.

use callrig_media::time::Instant;

use super::{Conference, Conversation, Leg, Party, Standing};
use crate::call::{Hosting, NewCall};
use crate::graph;
use crate::id::{CallId, ConversationId, LegId, TenantId, UserId};
use crate::service::answering::no_ports;
use crate::service::api::Asked;
use crate::service::directory::Permission;
use crate::service::reply::{ApiError, Reply};
use crate::service::{Service, Timer};

/// How many people one request may call or ask in.
pub(in crate::service) const INVITEES_MAX: usize = 5;

impl Service {
    /// `POST /communications/calls` with several targets.
    pub(in crate::service) fn call_group(
        &mut self,
        asked: &Asked<'_>,
        body: &graph::Call,
        config: &graph::MediaConfig,
    ) -> Result<Reply, ApiError> {
        let app = asked.caller.app.clone();
        let targets = body.targets.as_deref().unwrap_or_default();
        if targets.len() > INVITEES_MAX {
            let message =
                format!("targets has {} entries; the limit is {INVITEES_MAX}.", targets.len());
            return Err(ApiError::bad_request(message));
        }
        let mut people: Vec<(UserId, TenantId)> = Vec::with_capacity(targets.len());
        for target in targets {
            let person = self.person_of(target)?;
            self.check_tenant(body, &person.1)?;
            self.check_permission(asked, &person.1, &[Permission::InitiateGroupCall])?;
            if people.iter().any(|(user, _)| *user == person.0) {
                return Err(ApiError::bad_request(format!("User {} is there twice.", person.0)));
            }
            people.push(person);
        }
        let (_, tenant) = people.first().cloned().ok_or_else(|| ApiError::missing("targets"))?;
        let hosting = self.hosting_for(asked, &tenant, config)?;
        let ringing = self.ringing_of(body)?;
        self.check_room_for_call(asked.now, &app)?;
        let id = self.begin_conference(asked.now, tenant, Conference::default());
        let call = match self.begin_seated(asked, body, config, id, hosting) {
            Ok(call) => call,
            Err(error) => {
                self.drop_conversation(id);
                return Err(error);
            }
        };
        if let Some(held) = self.calls.get_mut(&call) {
            held.targets = targets.to_vec();
        }
        let reply = self.created(asked, call)?;
        for (user, _) in &people {
            if let Err(error) = self.ring_person(asked.now, id, user, Some(call), ringing) {
                let result = crate::call::result::EndResult::media_unreachable(&error.to_string());
                self.end_call(asked.now, call, &result);
                return Err(no_ports(error));
            }
        }
        self.notify_call(asked.now, call, graph::ChangeType::Updated, |_| {});
        self.enter_bot(asked.now, call);
        Ok(reply)
    }

    /// A conference without legs. One of a meeting waits for its people for a while.
    pub(in crate::service) fn begin_conference(
        &mut self,
        now: Instant,
        tenant: TenantId,
        mut conference: Conference,
    ) -> ConversationId {
        let id = self.new_conversation_id();
        conference.token = self.new_token();
        self.live.by_token.insert(conference.token.clone(), id);
        if let Some(thread) = conference.thread.clone() {
            self.live.by_thread.insert(thread, id);
        }
        if conference.patient {
            self.timers.set(Timer::Alone(id), now + self.config.limits.alone);
        }
        self.conversations.insert(id, Conversation::conference(tenant, conference));
        id
    }

    pub(in crate::service) fn new_token(&mut self) -> String {
        format!("{:032x}", self.random_bits())
    }

    /// An outgoing call of a bot into a conference that is there: its seat is kept, and
    /// nothing is told yet.
    pub(in crate::service) fn begin_seated(
        &mut self,
        asked: &Asked<'_>,
        body: &graph::Call,
        config: &graph::MediaConfig,
        id: ConversationId,
        hosting: Hosting,
    ) -> Result<CallId, ApiError> {
        let leg = self.new_leg_id();
        let hosting = self.seat_bot(leg, hosting)?;
        let call = self.begin_outgoing(asked, body, id, leg);
        if let Some(held) = self.calls.get_mut(&call) {
            held.hosting = hosting;
        }
        self.keep_apart(call, config);
        self.prefetch(asked.now, call, config);
        Ok(call)
    }

    /// `removeFromDefaultAudioGroup`
    pub(in crate::service) fn keep_apart(&mut self, call: CallId, config: &graph::MediaConfig) {
        let apart = match config {
            graph::MediaConfig::ServiceHosted(config) => config.remove_from_default_audio_group,
            graph::MediaConfig::AppHosted(config) => config.remove_from_default_audio_group,
            graph::MediaConfig::Other(_) => None,
        };
        let leg = self.calls.get(&call).map(|call| call.leg);
        if let Some(held) = leg.and_then(|leg| self.leg_mut(leg)) {
            held.place.apart = apart == Some(true);
        }
    }

    /// The bot's leg of an outgoing call, and the call.
    pub(in crate::service) fn begin_outgoing(
        &mut self,
        asked: &Asked<'_>,
        body: &graph::Call,
        id: ConversationId,
        leg: LegId,
    ) -> CallId {
        let app = asked.caller.app.clone();
        let call = self.new_call_id();
        let source = self.directory.app_info(&app);
        let mut tenant = TenantId::new("");
        if let Some(conversation) = self.conversations.get_mut(&id) {
            tenant = conversation.tenant.clone();
            if conversation.legs.is_empty() {
                conversation.chain = asked.chain(body);
            }
            let held = Leg::new(Party::Bot(call), Standing::Calling, source.clone());
            conversation.insert(leg, held);
        }
        self.legs.insert(leg, id);
        let new = NewCall {
            id: call,
            app,
            tenant,
            conversation: id,
            leg,
            direction: graph::CallDirection::Outgoing,
            callback_uri: body.callback_uri.clone().unwrap_or_default(),
            modalities: body.requested_modalities.clone().unwrap_or_default(),
            source,
            targets: body.targets.clone().unwrap_or_default(),
        };
        self.begin_call(asked.now, new);
        if let Some(held) = self.calls.get_mut(&call) {
            held.subject.clone_from(&body.subject);
            held.options = body.call_options.clone().unwrap_or_default();
        }
        call
    }

    /// The answer to the request that made a call.
    pub(in crate::service) fn created(
        &self,
        asked: &Asked<'_>,
        call: CallId,
    ) -> Result<Reply, ApiError> {
        let held = self.calls.get(&call).ok_or_else(ApiError::call_not_found)?;
        let shown = self.call_in_full(held);
        let location = asked.location(&self.config.base_url, call, "");
        Ok(asked.resource(201, "communications/calls/$entity", &shown)?.at(location))
    }
}
