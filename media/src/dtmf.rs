//! Digits: as events in RTP (RFC 4733) and as pairs of frequencies in the sound (ITU-T
//! Q.23). [`receive`] and [`send`] speak the first, [`detect`] and [`synthesize`] the
//! second; both report a digit as one [`ToneEvent`], exactly once.

use core::fmt;
use core::time::Duration;

use serde::{Deserialize, Serialize};

pub mod detect;
pub mod receive;
pub mod send;
pub mod synthesize;

/// What a key of a telephone sends. The discriminant is the event code of RFC 4733
/// section 3.2; the serialized name is that of the Graph API's `tone`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[repr(u8)]
#[expect(missing_docs, reason = "the names say it: the digits, *, #, A to D and the hook flash")]
pub enum Tone {
    Tone0 = 0,
    Tone1 = 1,
    Tone2 = 2,
    Tone3 = 3,
    Tone4 = 4,
    Tone5 = 5,
    Tone6 = 6,
    Tone7 = 7,
    Tone8 = 8,
    Tone9 = 9,
    Star = 10,
    Pound = 11,
    A = 12,
    B = 13,
    C = 14,
    D = 15,
    Flash = 16,
}

impl Tone {
    /// Every tone, in the order of its code.
    pub const ALL: [Self; 17] = [
        Self::Tone0,
        Self::Tone1,
        Self::Tone2,
        Self::Tone3,
        Self::Tone4,
        Self::Tone5,
        Self::Tone6,
        Self::Tone7,
        Self::Tone8,
        Self::Tone9,
        Self::Star,
        Self::Pound,
        Self::A,
        Self::B,
        Self::C,
        Self::D,
        Self::Flash,
    ];

    /// The event code of RFC 4733.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The tone with this event code, if it is one of the seventeen.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// What is printed on the key; `!` for the hook flash, as modems write it.
    #[must_use]
    pub const fn key(self) -> char {
        match self {
            Self::Star => '*',
            Self::Pound => '#',
            Self::A => 'A',
            Self::B => 'B',
            Self::C => 'C',
            Self::D => 'D',
            Self::Flash => '!',
            digit => (b'0' + digit as u8) as char,
        }
    }

    /// The tone of a key, without regard to case.
    #[must_use]
    pub fn from_key(key: char) -> Option<Self> {
        Self::ALL.into_iter().find(|tone| tone.key() == key.to_ascii_uppercase())
    }
}

impl fmt::Display for Tone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.key())
    }
}

/// One digit that was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToneEvent {
    /// Which.
    pub tone: Tone,
    /// RTP timestamp of its beginning.
    pub timestamp: u32,
    /// How long it was held, as far as is known.
    pub duration: Duration,
    /// Whether its end never arrived, so that `duration` is only a lower bound.
    pub end_lost: bool,
    /// Whether it was heard in the sound rather than received as an event.
    pub in_band: bool,
}
