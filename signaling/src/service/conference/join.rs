//! Joining a meeting: by its coordinates (organizer and chat), by a token, by its id and
//! passcode. A conference is made for the first who comes. Coordinates of a known
//! organizer are taken although no meeting was made by the API for them: most meetings
//! are made elsewhere. A bot that joins as a guest is one to the lobby as well.

use super::Conference;
use super::lobby::{Joiner, LobbyRule};
use crate::graph::{self, IdentitySet, LobbyBypassScope, MeetingInfo};
use crate::id::{ConversationId, LegId, TenantId, UserId};
use crate::service::Service;
use crate::service::api::Asked;
use crate::service::directory::Permission;
use crate::service::meetings::Meeting;
use crate::service::reply::{ApiError, Reply};

/// A meeting that can be joined.
#[derive(Clone, Debug)]
pub(in crate::service) struct Known {
    pub(in crate::service) tenant: TenantId,
    pub(in crate::service) chat: Option<graph::ChatInfo>,
    pub(in crate::service) lobby: LobbyRule,
    /// Its conference, if somebody is there.
    pub(in crate::service) live: Option<ConversationId>,
}

impl Known {
    fn thread(&self) -> Option<&str> {
        self.chat.as_ref()?.thread_id.as_deref()
    }
}

impl Service {
    /// `POST /communications/calls` with the coordinates of a meeting.
    pub(in crate::service) fn join_meeting(
        &mut self,
        asked: &Asked<'_>,
        body: &graph::Call,
        config: &graph::MediaConfig,
    ) -> Result<Reply, ApiError> {
        let app = asked.caller.app.clone();
        let known = self.meeting_of(body)?;
        self.check_tenant(body, &known.tenant)?;
        let guest = guest_of(body)?;
        let needed = match guest {
            Some(_) => Permission::JoinGroupCallAsGuest,
            None => Permission::JoinGroupCall,
        };
        self.check_permission(asked, &known.tenant, &[needed])?;
        let people = self.people_to_ring(asked, body, &known.tenant)?;
        let hosting = self.hosting_for(asked, &known.tenant, config)?;
        let ringing = self.ringing_of(body)?;
        self.check_room_for_call(asked.now, &app)?;
        let id = self.conference_of(asked.now, &known);
        let call = self.check_legs(id, 1 + people.len());
        let call = call.and_then(|()| self.begin_seated(asked, body, config, id, hosting));
        let call = match call {
            Ok(call) => call,
            Err(error) => {
                self.drop_if_empty(id);
                return Err(error);
            }
        };
        let mut leg = LegId::from_u128(0);
        if let Some(held) = self.calls.get_mut(&call) {
            leg = held.leg;
            held.chat = known.chat.clone().map(Box::new);
            held.meeting = body.meeting_info.clone().map(Box::new);
            if let Some(info) = &guest {
                held.source = info.clone();
            }
        }
        if let (Some(info), Some(held)) = (guest.clone(), self.leg_mut(leg)) {
            held.info = info;
        }
        let reply = self.created(asked, call)?;
        self.notify_call(asked.now, call, graph::ChangeType::Updated, |_| {});
        let joiner = guest.map_or(Joiner::App, |_| Joiner::Guest);
        if known.lobby.passes(&joiner) {
            self.enter_bot(asked.now, call);
        } else {
            self.wait_in_lobby(asked.now, leg);
        }
        for user in people {
            // Without a port for somebody's media that one is not rung.
            let _ = self.ring_person(asked.now, id, &user, Some(call), ringing);
        }
        Ok(reply)
    }

    /// Who is rung beside the meeting.
    fn people_to_ring(
        &self,
        asked: &Asked<'_>,
        body: &graph::Call,
        tenant: &TenantId,
    ) -> Result<Vec<UserId>, ApiError> {
        let targets = body.targets.as_deref().unwrap_or_default();
        if targets.is_empty() {
            return Ok(Vec::new());
        }
        if targets.len() > super::group::INVITEES_MAX {
            let most = super::group::INVITEES_MAX;
            return Err(ApiError::bad_request(format!("targets has more than {most} entries.")));
        }
        self.check_permission(asked, tenant, &[Permission::InitiateGroupCall])?;
        targets.iter().map(|target| self.person_of(target).map(|(user, _)| user)).collect()
    }

    /// Whether so many more legs find room in a conversation.
    pub(in crate::service) fn check_legs(
        &self,
        id: ConversationId,
        more: usize,
    ) -> Result<(), ApiError> {
        let legs = self.conversations.get(&id).map_or(0, |held| held.legs.len());
        let most = self.config.limits.legs_max;
        match legs + more <= most {
            true => Ok(()),
            false => {
                Err(ApiError::too_many(format!("A call has {most} participants at most."), 60))
            }
        }
    }

    /// The meeting that a call's coordinates name.
    fn meeting_of(&self, body: &graph::Call) -> Result<Known, ApiError> {
        let unknown = || ApiError::not_found("Meeting");
        match &body.meeting_info {
            Some(MeetingInfo::Organizer(info)) => {
                let organizer = info.organizer.as_ref();
                let organizer =
                    organizer.ok_or_else(|| ApiError::missing("meetingInfo/organizer"))?;
                self.meeting_at(body, organizer)
            }
            Some(MeetingInfo::Token(info)) => {
                let token = info.token.as_deref();
                let token = token.ok_or_else(|| ApiError::missing("meetingInfo/token"))?;
                let id = self.live.by_token.get(token).copied().ok_or_else(unknown)?;
                self.known_live(id).ok_or_else(unknown)
            }
            Some(MeetingInfo::JoinMeetingId(info)) => {
                let number = info.join_meeting_id.as_deref();
                let number =
                    number.ok_or_else(|| ApiError::missing("meetingInfo/joinMeetingId"))?;
                let meeting = self.meetings.by_join_id(number).ok_or_else(unknown)?;
                let settings = meeting.shown.join_meeting_id_settings.as_ref();
                let locked = settings.filter(|s| s.is_passcode_required == Some(true));
                if locked.is_some_and(|settings| settings.passcode != info.passcode) {
                    let message = "The passcode is not that of the meeting.";
                    return Err(ApiError::new(403, "Forbidden", message));
                }
                self.known_of(meeting).ok_or_else(unknown)
            }
            Some(MeetingInfo::Other(_)) => {
                Err(ApiError::bad_request("meetingInfo is of an unknown type."))
            }
            None => Err(ApiError::missing("meetingInfo")),
        }
    }

    fn meeting_at(&self, body: &graph::Call, organizer: &IdentitySet) -> Result<Known, ApiError> {
        let thread = body.chat_info.as_ref().and_then(|chat| chat.thread_id.as_deref());
        let thread = thread.filter(|thread| !thread.is_empty());
        let thread = thread.ok_or_else(|| ApiError::missing("chatInfo/threadId"))?;
        let user = organizer.user_id();
        let user = user.ok_or_else(|| ApiError::missing("meetingInfo/organizer/user"))?;
        let found = self.directory.user(&user);
        let (tenant, _) = found.ok_or_else(|| ApiError::not_found("The meeting's organizer"))?;
        // The call's own tenant says it; examples have another one with the organizer.
        let named = organizer.user.as_ref().and_then(|user| user.tenant_id.as_deref());
        let named = named.filter(|_| body.tenant_id.is_none());
        if named.is_some_and(|named| TenantId::new(named) != *tenant) {
            return Err(ApiError::tenant_mismatch());
        }
        match self.meetings.by_thread(thread) {
            Some(meeting) if meeting.organizer != user => Err(ApiError::not_found("Meeting")),
            Some(meeting) => self.known_of(meeting).ok_or_else(|| ApiError::not_found("Meeting")),
            None => Ok(Known {
                tenant: tenant.clone(),
                chat: body.chat_info.clone(),
                lobby: LobbyRule::of_organizer(user),
                live: self.live.by_thread.get(thread).copied(),
            }),
        }
    }

    /// A meeting that was made by the API.
    pub(in crate::service) fn known_of(&self, meeting: &Meeting) -> Option<Known> {
        let (tenant, _) = self.directory.user(&meeting.organizer)?;
        let chat = meeting.shown.chat_info.clone();
        let thread = chat.as_ref().and_then(|chat| chat.thread_id.as_deref());
        Some(Known {
            tenant: tenant.clone(),
            lobby: LobbyRule::of(meeting),
            live: thread.and_then(|thread| self.live.by_thread.get(thread).copied()),
            chat,
        })
    }

    /// A conference that somebody may join who was told of it.
    pub(in crate::service) fn known_live(&self, id: ConversationId) -> Option<Known> {
        let held = self.conversations.get(&id)?;
        let conference = held.conference.as_deref()?;
        Some(Known {
            tenant: held.tenant.clone(),
            chat: conference.chat.clone(),
            lobby: LobbyRule { scope: LobbyBypassScope::Everyone, ..LobbyRule::default() },
            live: Some(id),
        })
    }

    /// The conference of a meeting; the first who comes has it made.
    pub(in crate::service) fn conference_of(
        &mut self,
        now: callrig_media::time::Instant,
        known: &Known,
    ) -> ConversationId {
        match known.live {
            Some(id) => id,
            None => {
                let conference = Conference {
                    chat: known.chat.clone(),
                    thread: known.thread().map(str::to_owned),
                    patient: true,
                    ..Conference::default()
                };
                self.begin_conference(now, known.tenant.clone(), conference)
            }
        }
    }

    /// A conference into which nobody came after all is let go.
    pub(in crate::service) fn drop_if_empty(&mut self, id: ConversationId) {
        if self.conversations.get(&id).is_some_and(|held| held.legs.is_empty()) {
            self.drop_conversation(id);
        }
    }
}

/// How a bot that joins as a guest is seen; `None` for one that joins as itself.
fn guest_of(body: &graph::Call) -> Result<Option<graph::ParticipantInfo>, ApiError> {
    let Some(source) = &body.source else { return Ok(None) };
    let Some(guest) = source.identity.as_ref().and_then(|set| set.guest.as_ref()) else {
        return Ok(None);
    };
    match guest.display_name.as_deref().map(str::trim) {
        Some(name) if !name.is_empty() => Ok(Some(source.clone())),
        _ => Err(ApiError::missing("source/identity/guest/displayName")),
    }
}
