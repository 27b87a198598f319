//! What a payload type stands for, by the names that SDP gives it (RFC 4566 `rtpmap`).
//!
//! Only a name and a clock: how to decode it is the business of `media`.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A codec by name. In text it is lower case: `opus`, `pcmu`, `pcma`, `telephone-event`, `h264`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Codec {
    /// RFC 7587.
    Opus,
    /// RFC 3551 section 4.5.14, µ-law.
    Pcmu,
    /// RFC 3551 section 4.5.14, A-law.
    Pcma,
    /// RFC 4733: digits.
    TelephoneEvent,
    /// RFC 6184.
    H264,
    /// Any other, by its lower-case name: this project does not play it.
    Other(Cow<'static, str>),
}

impl Codec {
    /// The name, lower case.
    pub fn name(&self) -> &str {
        match self {
            Self::Opus => "opus",
            Self::Pcmu => "pcmu",
            Self::Pcma => "pcma",
            Self::TelephoneEvent => "telephone-event",
            Self::H264 => "h264",
            Self::Other(name) => name,
        }
    }

    /// The codec of this name, in any case.
    pub fn from_name(name: &str) -> Self {
        let lower = name.to_ascii_lowercase();
        match lower.as_str() {
            "opus" => Self::Opus,
            "pcmu" => Self::Pcmu,
            "pcma" => Self::Pcma,
            "telephone-event" => Self::TelephoneEvent,
            "h264" => Self::H264,
            _ => Self::Other(Cow::Owned(lower)),
        }
    }

    /// The clock rate in Hz that its payload format prescribes, where it prescribes one.
    pub fn usual_clock_rate(&self) -> Option<u32> {
        match self {
            Self::Opus => Some(48_000),
            Self::Pcmu | Self::Pcma => Some(8_000),
            Self::H264 => Some(90_000),
            Self::TelephoneEvent | Self::Other(_) => None,
        }
    }

    /// The codec and clock rate of a payload type that RFC 3551 assigns (tables 4 and 5).
    pub fn of_static_type(payload_type: u8) -> Option<(Self, u32)> {
        let other = |name: &'static str, rate| Some((Self::Other(Cow::Borrowed(name)), rate));
        match payload_type {
            0 => Some((Self::Pcmu, 8_000)),
            3 => other("gsm", 8_000),
            4 => other("g723", 8_000),
            5 => other("dvi4", 8_000),
            6 => other("dvi4", 16_000),
            7 => other("lpc", 8_000),
            8 => Some((Self::Pcma, 8_000)),
            9 => other("g722", 8_000),
            10 | 11 => other("l16", 44_100),
            12 => other("qcelp", 8_000),
            13 => other("cn", 8_000),
            14 => other("mpa", 90_000),
            15 => other("g728", 8_000),
            16 => other("dvi4", 11_025),
            17 => other("dvi4", 22_050),
            18 => other("g729", 8_000),
            25 => other("celb", 90_000),
            26 => other("jpeg", 90_000),
            28 => other("nv", 90_000),
            31 => other("h261", 90_000),
            32 => other("mpv", 90_000),
            33 => other("mp2t", 90_000),
            34 => other("h263", 90_000),
            _ => None,
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Codec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Codec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::from_name(&String::deserialize(deserializer)?))
    }
}
