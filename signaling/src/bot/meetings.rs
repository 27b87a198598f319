//! Meetings from the bot's side: how one is joined, and the resource itself.

use callrig_media::time::Instant;
use serde_json::json;

use super::{ActionId, Bot, What};
use crate::graph::{self, OnlineMeeting};
use crate::http::Method;
use crate::id::{TenantId, UserId};

/// Which meeting to join, and as whom.
#[derive(Clone, Debug, PartialEq)]
pub enum Join {
    /// By the coordinates in its link.
    Coordinates {
        /// The organisation that holds it.
        tenant: TenantId,
        /// Who organises it.
        organizer: UserId,
        /// The chat beside it.
        thread: String,
        /// The message in the chat; `0` for meetings of the calendar.
        message: String,
    },
    /// By the token that came with a call.
    Token {
        /// The organisation that holds it.
        tenant: TenantId,
        /// The token.
        token: String,
    },
    /// By the number that people type in.
    MeetingId {
        /// The organisation that holds it.
        tenant: TenantId,
        /// The number.
        id: String,
        /// And what goes with it.
        passcode: Option<String>,
    },
    /// Any of these as a guest of this name.
    AsGuest(Box<Self>, String),
}

impl Join {
    /// By the link in an invitation
    /// (`…/meetup-join/{thread}/{message}?context={"Tid":…,"Oid":…}`); `None` if it is
    /// none.
    #[must_use]
    pub fn from_link(link: &str) -> Option<Self> {
        let (path, query) = link.split_once('?')?;
        let mut segments =
            path.split('/').skip_while(|s| !s.eq_ignore_ascii_case("meetup-join")).skip(1);
        let mut segment = || segments.next().map(crate::service::form_decode);
        let (thread, message) = (segment()?, segment()?);
        let context = query.split('&').find_map(|pair| pair.strip_prefix("context="))?;
        let context: serde_json::Value =
            serde_json::from_str(&crate::service::form_decode(context)).ok()?;
        Some(Self::Coordinates {
            tenant: TenantId::new(context["Tid"].as_str()?),
            organizer: UserId::new(context["Oid"].as_str()?),
            thread,
            message,
        })
    }

    pub(super) fn describe(&self, call: &mut graph::Call) {
        let (tenant, info) = match self {
            Self::Coordinates { tenant, organizer, thread, message } => {
                call.chat_info = Some(graph::ChatInfo {
                    thread_id: Some(thread.clone()),
                    message_id: Some(message.clone()),
                    ..graph::ChatInfo::typed()
                });
                let organizer = graph::IdentitySet::of_user(organizer, "", Some(tenant));
                let info = graph::OrganizerMeetingInfo {
                    organizer: Some(organizer),
                    ..graph::OrganizerMeetingInfo::typed()
                };
                (tenant, graph::MeetingInfo::Organizer(Box::new(info)))
            }
            Self::Token { tenant, token } => {
                let info = graph::TokenMeetingInfo {
                    token: Some(token.clone()),
                    ..graph::TokenMeetingInfo::typed()
                };
                (tenant, graph::MeetingInfo::Token(info))
            }
            Self::MeetingId { tenant, id, passcode } => {
                let info = graph::JoinMeetingIdMeetingInfo {
                    join_meeting_id: Some(id.clone()),
                    passcode: passcode.clone(),
                    ..graph::JoinMeetingIdMeetingInfo::typed()
                };
                (tenant, graph::MeetingInfo::JoinMeetingId(info))
            }
            Self::AsGuest(join, name) => {
                join.describe(call);
                call.source = Some(graph::ParticipantInfo {
                    identity: Some(graph::IdentitySet::of_guest("guest", name)),
                    ..graph::ParticipantInfo::typed()
                });
                return;
            }
        };
        call.tenant_id = Some(tenant.to_string());
        call.meeting_info = Some(info);
    }
}

/// What follows `/users/{id}/onlineMeetings`.
fn path(user: &UserId, rest: &str) -> String {
    format!("/users/{user}/onlineMeetings{rest}")
}

impl Bot {
    /// Makes a meeting in the name of a person; [`super::Event::Answered`] brings it.
    pub fn create_meeting(
        &mut self,
        now: Instant,
        user: &UserId,
        meeting: &OnlineMeeting,
    ) -> ActionId {
        self.send(now, Method::Post, &path(user, ""), Some(meeting), None, What::Read)
    }

    /// The meeting of this external id, made if there is none.
    pub fn create_or_get_meeting(
        &mut self,
        now: Instant,
        user: &UserId,
        meeting: &OnlineMeeting,
    ) -> ActionId {
        self.send(now, Method::Post, &path(user, "/createOrGet"), Some(meeting), None, What::Read)
    }

    /// Reads a meeting.
    pub fn get_meeting(&mut self, now: Instant, user: &UserId, id: &str) -> ActionId {
        let path = path(user, &format!("/{id}"));
        self.send(now, Method::Get, &path, None::<&()>, None, What::Read)
    }

    /// Finds meetings by one property: `joinWebUrl`, `videoTeleconferenceId` or
    /// `joinMeetingIdSettings/joinMeetingId`.
    pub fn find_meetings(
        &mut self,
        now: Instant,
        user: &UserId,
        property: &str,
        value: &str,
    ) -> ActionId {
        let filter = format!("{property} eq '{}'", value.replace('\'', "''"));
        let path = path(user, &format!("?$filter={}", percent_encode(&filter)));
        self.send(now, Method::Get, &path, None::<&()>, None, What::Read)
    }

    /// Changes a meeting.
    pub fn update_meeting(
        &mut self,
        now: Instant,
        user: &UserId,
        id: &str,
        meeting: &OnlineMeeting,
    ) -> ActionId {
        let path = path(user, &format!("/{id}"));
        self.send(now, Method::Patch, &path, Some(meeting), None, What::Read)
    }

    /// Deletes a meeting.
    pub fn delete_meeting(&mut self, now: Instant, user: &UserId, id: &str) -> ActionId {
        let path = path(user, &format!("/{id}"));
        self.send(now, Method::Delete, &path, None::<&()>, None, What::Read)
    }
}

/// As the query of a URI writes it.
fn percent_encode(text: &str) -> String {
    use core::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a string takes everything");
        }
    }
    encoded
}

/// A meeting of this subject, with nothing else said.
impl From<&str> for OnlineMeeting {
    fn from(subject: &str) -> Self {
        serde_json::from_value(json!({"subject": subject})).expect("a subject is a meeting's")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_says_which_meeting_it_is() {
        let link = "https://teams.microsoft.com/l/meetup-join/19%3ameeting_abc%40thread.v2/0\
                    ?context=%7b%22Tid%22%3a%22contoso%22%2c%22Oid%22%3a%22ann%22%7d";
        let expected = Join::Coordinates {
            tenant: "contoso".into(),
            organizer: "ann".into(),
            thread: "19:meeting_abc@thread.v2".to_owned(),
            message: "0".to_owned(),
        };
        assert_eq!(Join::from_link(link), Some(expected));
        assert_eq!(Join::from_link("https://teams.microsoft.com/"), None);
    }
}
