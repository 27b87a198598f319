//! Meetings: how a call names the meeting it joins, and the chat beside it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::shape::{graph_struct, same_type};
use super::{IdentitySet, LobbyBypassScope, OnlineMeetingPresenters, OnlineMeetingRole};

graph_struct! {
    /// The chat beside a call.
    ChatInfo("chatInfo") {
        /// Its thread.
        thread_id: Option<String>,
        /// Its message; "0" for a scheduled meeting.
        message_id: Option<String>,
        /// The message it replies to.
        reply_chain_message_id: Option<String>,
    }
}

graph_struct! {
    /// A meeting by its organizer; needs a [`ChatInfo`] beside it.
    OrganizerMeetingInfo("organizerMeetingInfo") {
        /// Who.
        organizer: Option<IdentitySet>,
        /// May begin before its host is there.
        allow_conversation_without_host: Option<bool>,
    }
}

graph_struct! {
    /// A meeting by a token.
    TokenMeetingInfo("tokenMeetingInfo") {
        /// The token.
        token: Option<String>,
        /// May begin before its host is there.
        allow_conversation_without_host: Option<bool>,
    }
}

graph_struct! {
    /// A meeting by its id and passcode.
    JoinMeetingIdMeetingInfo("joinMeetingIdMeetingInfo") {
        /// The id.
        join_meeting_id: Option<String>,
        /// The passcode.
        passcode: Option<String>,
        /// May begin before its host is there.
        allow_conversation_without_host: Option<bool>,
    }
}

/// Which meeting.
#[derive(Clone, Debug, PartialEq)]
pub enum MeetingInfo {
    /// By its organizer.
    Organizer(Box<OrganizerMeetingInfo>),
    /// By a token.
    Token(TokenMeetingInfo),
    /// By its id.
    JoinMeetingId(JoinMeetingIdMeetingInfo),
    /// In a way that we do not know.
    Other(Map<String, Value>),
}

impl Default for MeetingInfo {
    fn default() -> Self {
        Self::Other(Map::new())
    }
}

impl Serialize for MeetingInfo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Organizer(info) => info.serialize(serializer),
            Self::Token(info) => info.serialize(serializer),
            Self::JoinMeetingId(info) => info.serialize(serializer),
            Self::Other(map) => map.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for MeetingInfo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let map = Map::deserialize(deserializer)?;
        let named = match map.get("@odata.type") {
            Some(Value::String(name)) => name.clone(),
            Some(_) => return Err(D::Error::custom("@odata.type must be a string")),
            None if map.contains_key("organizer") => "organizerMeetingInfo".to_owned(),
            None if map.contains_key("token") => "tokenMeetingInfo".to_owned(),
            None if map.contains_key("joinMeetingId") => "joinMeetingIdMeetingInfo".to_owned(),
            None => String::new(),
        };
        let value = Value::Object(map);
        if same_type(&named, "organizerMeetingInfo") {
            serde_json::from_value(value)
                .map(|info| Self::Organizer(Box::new(info)))
                .map_err(D::Error::custom)
        } else if same_type(&named, "tokenMeetingInfo") {
            serde_json::from_value(value).map(Self::Token).map_err(D::Error::custom)
        } else if same_type(&named, "joinMeetingIdMeetingInfo") {
            serde_json::from_value(value).map(Self::JoinMeetingId).map_err(D::Error::custom)
        } else {
            match value {
                Value::Object(map) => Ok(Self::Other(map)),
                _ => Ok(Self::default()),
            }
        }
    }
}

graph_struct! {
    /// Somebody of a meeting.
    MeetingParticipantInfo("meetingParticipantInfo") {
        /// Who.
        identity: Option<IdentitySet>,
        /// The name at which mail comes.
        upn: Option<String>,
        /// What it is in the meeting.
        role: Option<OnlineMeetingRole>,
    }
}

graph_struct! {
    /// Everybody of a meeting.
    MeetingParticipants("meetingParticipants") {
        /// Whose it is.
        organizer: Option<MeetingParticipantInfo>,
        /// Who is asked to come.
        attendees: Option<Vec<MeetingParticipantInfo>>,
    }
}

graph_struct! {
    /// Who passes the lobby by.
    LobbyBypassSettings("lobbyBypassSettings") {
        /// Who.
        scope: Option<LobbyBypassScope>,
        /// Telephones too.
        is_dial_in_bypass_enabled: Option<bool>,
    }
}

graph_struct! {
    /// How to join by number.
    JoinMeetingIdSettings("joinMeetingIdSettings") {
        /// Whether a passcode is needed.
        is_passcode_required: Option<bool>,
        /// The number.
        join_meeting_id: Option<String>,
        /// The passcode.
        passcode: Option<String>,
    }
}

graph_struct! {
    /// A text and its form.
    ItemBody("itemBody") {
        /// The text.
        content: Option<String>,
        /// `text` or `html`.
        content_type: Option<String>,
    }
}

graph_struct! {
    /// An online meeting. Properties that change nothing here are kept in `other`.
    OnlineMeeting("onlineMeeting") {
        /// Its id.
        id: Option<String>,
        /// What the app knows it by.
        external_id: Option<String>,
        /// When it was made.
        creation_date_time: Option<String>,
        /// When it begins.
        start_date_time: Option<String>,
        /// When it ends.
        end_date_time: Option<String>,
        /// What it is about.
        subject: Option<String>,
        /// The link to join by.
        join_web_url: Option<String>,
        /// The number to join by.
        join_meeting_id_settings: Option<JoinMeetingIdSettings>,
        /// What to write into an invitation.
        join_information: Option<ItemBody>,
        /// The number of video devices.
        video_teleconference_id: Option<String>,
        /// Who comes.
        participants: Option<MeetingParticipants>,
        /// The chat beside it.
        chat_info: Option<ChatInfo>,
        /// Who passes the lobby by.
        lobby_bypass_settings: Option<LobbyBypassSettings>,
        /// Who may present.
        allowed_presenters: Option<OnlineMeetingPresenters>,
    }
}
