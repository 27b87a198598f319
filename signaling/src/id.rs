//! Ids. Resources of the API carry GUIDs, which old and new examples write in capitals
//! without dashes and in small letters with them: they are read in any of these forms,
//! compared as numbers, and written in the new one. Ids of apps, users and tenants are
//! usually GUIDs as well and get the same treatment; what is no GUID is kept as it is.

use core::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(crate) use map::IdMap;

mod map;

/// Reads a GUID with or without dashes or braces, in any case.
fn parse_guid(text: &str) -> Option<u128> {
    if text.len() > 38 {
        return None;
    }
    Uuid::try_parse(text).ok().map(|uuid| uuid.as_u128())
}

macro_rules! guid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// Reads it in any spelling; `None` if it is no GUID.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                parse_guid(text).map(Self)
            }

            /// From its bits.
            #[must_use]
            pub const fn from_u128(bits: u128) -> Self {
                Self(bits)
            }

            /// Its bits.
            #[must_use]
            pub const fn as_u128(self) -> u128 {
                self.0
            }

            /// In capitals and without dashes, as older notifications write it.
            #[must_use]
            pub fn to_old_spelling(self) -> String {
                format!("{:032X}", self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                Uuid::from_u128(self.0).hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a GUID"))
            }
        }
    };
}

guid_id! {
    /// A call: one bot's leg of a conversation. Its first 16 bits name the shard that
    /// holds it.
    CallId
}

macro_rules! lives_on_a_shard {
    ($name:ident) => {
        impl $name {
            /// An id of a shard, from random bits.
            #[must_use]
            pub const fn new(shard: u16, random: u128) -> Self {
                Self((random >> 16) | ((shard as u128) << 112))
            }

            /// Which shard holds it.
            #[must_use]
            pub const fn shard(self) -> u16 {
                (self.0 >> 112) as u16
            }
        }
    };
}

lives_on_a_shard!(CallId);
lives_on_a_shard!(LegId);
lives_on_a_shard!(RecordingId);

guid_id! {
    /// A leg of a conversation, of a person or a bot: what the API calls a participant.
    /// Its first 16 bits name the shard that holds it.
    LegId
}

guid_id! {
    /// A long-running operation on a call.
    OperationId
}

guid_id! {
    /// A conversation: the legs that hear one another. The API shows it only as the
    /// chain id that its calls share.
    ConversationId
}

guid_id! {
    /// A recording that a bot can fetch. Its first 16 bits name the shard that holds it.
    RecordingId
}

macro_rules! name_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// A GUID is brought to small letters with dashes, anything else is kept.
            #[must_use]
            pub fn new(text: &str) -> Self {
                match parse_guid(text) {
                    Some(bits) => Self(Uuid::from_u128(bits).hyphenated().to_string()),
                    None => Self(text.to_owned()),
                }
            }

            /// As it is written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(Self::new(&String::deserialize(deserializer)?))
            }
        }
    };
}

name_id! {
    /// An application: a bot's registration.
    AppId
}

name_id! {
    /// A person.
    UserId
}

name_id! {
    /// An organisation, whose directory holds users and consents to apps.
    TenantId
}

name_id! {
    /// An online meeting.
    MeetingId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_is_the_same_in_every_spelling() {
        let dashed = CallId::parse("57dab8b1-894c-409a-b240-bd8beae78896");
        assert!(dashed.is_some());
        assert_eq!(dashed, CallId::parse("57DAB8B1894C409AB240BD8BEAE78896"));
        assert_eq!(CallId::parse("57dab8b1"), None);
        let id = dashed.expect("it parsed");
        assert_eq!(id.to_string(), "57dab8b1-894c-409a-b240-bd8beae78896");
        assert_eq!(id.to_old_spelling(), "57DAB8B1894C409AB240BD8BEAE78896");
    }

    #[test]
    fn a_call_id_names_its_shard() {
        assert_eq!(CallId::new(513, u128::MAX).shard(), 513);
    }

    #[test]
    fn names_that_are_no_guids_are_kept_as_they_are() {
        assert_eq!(AppId::new("Echo").as_str(), "Echo");
        assert_eq!(
            AppId::new("2891555A92FF42E680FA6E1300C6B5C6"),
            AppId::new("2891555a-92ff-42e6-80fa-6e1300c6b5c6")
        );
    }

    #[test]
    fn text_that_is_far_too_long_is_no_guid() {
        assert_eq!(CallId::parse(&"a".repeat(10_000)), None);
    }
}
