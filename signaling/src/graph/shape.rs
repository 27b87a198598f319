//! How the API's JSON becomes Rust types: every property optional, `null` the same as
//! absent, what is unknown kept in `other` (OData calls such types open), the type's
//! name in `@odata.type`. Bodies are bounded here, so that no later code meets a hostile
//! size or depth.

use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};

/// How large a JSON body may be, in bytes. The documented bodies are a few kilobytes; a
/// media session description of twelve lines is some tens.
pub const BODY_BYTES_MAX: usize = 1 << 20;

/// Why a body is not what its route needs. Messages go into the error body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Nothing where an object is needed.
    #[error("The request needs a JSON body.")]
    Empty,
    /// Larger than [`BODY_BYTES_MAX`].
    #[error("The body has {0} bytes; the limit is {BODY_BYTES_MAX}.")]
    TooLarge(usize),
    /// Not JSON, or nested deeper than 128 levels, or a property of the wrong type.
    #[error("The body cannot be read: {0}")]
    Json(String),
}

/// Reads a JSON body. Nesting beyond 128 levels, repeated properties of a known name and
/// properties of a wrong type are errors; unknown properties are not.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ParseError> {
    if body.len() > BODY_BYTES_MAX {
        return Err(ParseError::TooLarge(body.len()));
    }
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(ParseError::Empty);
    }
    serde_json::from_slice(text).map_err(|error| ParseError::Json(error.to_string()))
}

/// Whether an `@odata.type` means `name` (written without the namespace): the leading
/// `#` and the case are not looked at, as old bodies vary in both.
#[must_use]
pub fn same_type(odata_type: &str, name: &str) -> bool {
    let bare = odata_type.trim_start_matches('#');
    let bare = bare.rsplit('.').next().unwrap_or(bare);
    bare.eq_ignore_ascii_case(name)
}

/// A whole number that some bodies write as a string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(pub i64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(i64),
            Text(String),
        }
        match Either::deserialize(deserializer)
            .map_err(|_| D::Error::custom("expected a whole number"))?
        {
            Either::Number(number) => Ok(Self(number)),
            Either::Text(text) => {
                text.trim().parse().map(Self).map_err(|_| D::Error::custom("expected a number"))
            }
        }
    }
}

/// A code of a result: a number, which some bodies write as a string; 2018's wrote words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// As the metadata has it.
    Number(i64),
    /// A word.
    Word(String),
}

impl Code {
    /// The number, if it is one.
    #[must_use]
    pub const fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Word(_) => None,
        }
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_i64(*number),
            Self::Word(word) => serializer.serialize_str(word),
        }
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(i64),
            Text(String),
        }
        match Either::deserialize(deserializer).map_err(|_| D::Error::custom("expected a code"))? {
            Either::Number(number) => Ok(Self::Number(number)),
            Either::Text(text) => Ok(text.trim().parse().map_or(Self::Word(text), Self::Number)),
        }
    }
}

/// `null` is the same as absent, for every property.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Properties at their default are not written.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Declares an object of the API.
macro_rules! graph_struct {
    ($(#[$doc:meta])* $name:ident($type_name:literal) {
        $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            /// Name of the type, as OData spells it.
            #[serde(rename = "@odata.type", default, skip_serializing_if = "Option::is_none")]
            pub odata_type: Option<String>,
            $(
                $(#[$field_doc])*
                #[serde(
                    default,
                    deserialize_with = "crate::graph::shape::null_as_default",
                    skip_serializing_if = "crate::graph::shape::is_default"
                )]
                pub $field: $type,
            )*
            /// Properties without a field of their own.
            #[serde(flatten)]
            pub other: serde_json::Map<String, serde_json::Value>,
        }

        impl $name {
            /// The name of this type in `@odata.type`.
            pub const TYPE: &'static str = concat!("#microsoft.graph.", $type_name);

            /// An empty one that carries its type's name.
            #[must_use]
            pub fn typed() -> Self {
                Self { odata_type: Some(Self::TYPE.to_owned()), ..Self::default() }
            }
        }
    };
}
pub(crate) use graph_struct;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_numbers_and_as_strings() {
        assert_eq!(serde_json::from_str::<Number>("\"200\"").ok(), Some(Number(200)));
        assert_eq!(serde_json::from_str::<Number>("-1").ok(), Some(Number(-1)));
        assert!(serde_json::from_str::<Number>("\"two\"").is_err());
        assert!(serde_json::from_str::<Number>("1.5").is_err());
    }

    #[test]
    fn a_body_that_is_empty_huge_or_deep_is_refused_with_a_reason() {
        assert_eq!(parse::<serde_json::Value>(b" \n"), Err(ParseError::Empty));
        let huge = vec![b' '; BODY_BYTES_MAX + 1];
        assert!(matches!(parse::<serde_json::Value>(&huge), Err(ParseError::TooLarge(_))));
        let deep = "[".repeat(100_000);
        assert!(matches!(parse::<serde_json::Value>(deep.as_bytes()), Err(ParseError::Json(_))));
    }

    #[test]
    fn type_names_are_compared_without_namespace_and_case() {
        assert!(same_type("#microsoft.graph.mediaPrompt", "mediaPrompt"));
        assert!(same_type("#Microsoft.Graph.MediaPrompt", "mediaPrompt"));
        assert!(!same_type("#microsoft.graph.prompt", "mediaPrompt"));
    }
}
