//! Meetings: how a call names the meeting it joins, and the chat beside it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::IdentitySet;
use super::shape::{graph_struct, same_type};

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
            serde_json::from_value(value).map(|info| Self::Organizer(Box::new(info))).map_err(D::Error::custom)
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
