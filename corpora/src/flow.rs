//! RTP flows of a recording: found by themselves, with what they seem to carry and why.

pub mod description;
pub(crate) mod discovery;
pub(crate) mod guess;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use crate::codec::Codec;
use crate::recording::RouteId;

/// Possible SSRCs (of any route) that are followed; packets of further ones are left aside.
pub const CANDIDATES_MAX: usize = 65_535;

/// Payload types of one flow that are told apart; further ones are counted in the flow only.
pub const PAYLOADS_MAX: usize = 16;

/// Index of a [`Flow`] in [`Recording::flows`](crate::recording::Recording::flows).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId(pub u16);

/// How sure something is that was found and not stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// A guess.
    Low,
    /// Likely.
    Medium,
    /// All that was looked at agrees.
    High,
    /// Somebody said so: the user, a session description in the capture, or RFC 3551.
    Stated,
}

impl fmt::Display for Confidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Stated => "stated",
        })
    }
}

/// The RTP packets of one SSRC on one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// Its place among the flows.
    pub id: FlowId,
    /// Where it runs.
    pub route: RouteId,
    /// Who sends.
    pub source: SocketAddr,
    /// Who receives.
    pub destination: SocketAddr,
    /// The synchronization source.
    pub ssrc: u32,
    /// What it carries, in order of first arrival; at most [`PAYLOADS_MAX`].
    pub payloads: Vec<FlowPayload>,
    /// RTP packets, duplicates included.
    pub packets: u64,
    /// Bytes of its datagrams, UDP headers not included.
    pub bytes: u64,
    /// First arrival since the start of the recording.
    pub first: Duration,
    /// Last arrival since the start of the recording.
    pub last: Duration,
    /// How sure it is that this is RTP.
    pub confidence: Confidence,
    /// Why, in words.
    pub reason: String,
}

impl Flow {
    /// Its payload types, in order of first arrival.
    pub fn payload_types(&self) -> impl Iterator<Item = u8> + '_ {
        self.payloads.iter().map(|payload| payload.payload_type)
    }

    /// The payload type with the most packets, digits and comfort noise aside if it can be.
    pub fn main_payload(&self) -> Option<&FlowPayload> {
        let aside = |codec: &Option<Codec>| match codec {
            Some(Codec::TelephoneEvent) => true,
            Some(Codec::Other(name)) => name == "cn",
            _ => false,
        };
        self.payloads.iter().max_by_key(|payload| (!aside(&payload.codec), payload.packets))
    }
}

/// One payload type of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowPayload {
    /// 0 to 127.
    pub payload_type: u8,
    /// What it seems to stand for; `None` if nothing fits.
    pub codec: Option<Codec>,
    /// Of the timestamps, in Hz; `None` if nothing fits.
    pub clock_rate: Option<u32>,
    /// How sure that is.
    pub confidence: Confidence,
    /// Why, in words.
    pub reason: String,
    /// RTP packets with this payload type.
    pub packets: u64,
}

/// What the user knows better than any guess.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hints {
    /// RTP runs on these UDP ports (of either side) and nowhere else; empty: anywhere.
    pub ports: BTreeSet<u16>,
    /// What payload types stand for.
    pub payload_types: BTreeMap<u8, (Codec, u32)>,
}

impl Hints {
    /// Adds a hint as written on a command line: a port (`5004`), or a payload type with codec
    /// and, where the codec does not say it, clock rate (`111=opus`, `101=telephone-event/8000`).
    pub fn add(&mut self, text: &str) -> Result<(), HintError> {
        let refuse = || HintError { text: text.to_owned() };
        let Some((payload_type, codec)) = text.split_once('=') else {
            self.ports.insert(text.trim().parse().map_err(|_| refuse())?);
            return Ok(());
        };
        let payload_type: u8 = payload_type.trim().parse().map_err(|_| refuse())?;
        let (name, rate) = match codec.split_once('/') {
            Some((name, rate)) => (name, Some(rate.trim().parse().map_err(|_| refuse())?)),
            None => (codec, None),
        };
        let codec = Codec::from_name(name.trim());
        let rate = rate.or(codec.usual_clock_rate()).filter(|rate| *rate > 0);
        let (Some(rate), true) = (rate, payload_type < 128) else {
            return Err(refuse());
        };
        self.payload_types.insert(payload_type, (codec, rate));
        Ok(())
    }
}

/// A hint that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no hint: expected a port (5004) or PAYLOAD_TYPE=CODEC[/CLOCK] (111=opus/48000)"
)]
pub struct HintError {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_are_read_as_they_are_typed() {
        let mut hints = Hints::default();
        for text in ["5004", "111=opus", "101=telephone-event/8000", "97=H264/90000"] {
            hints.add(text).expect(text);
        }
        assert!(hints.ports.contains(&5004));
        assert_eq!(hints.payload_types[&111], (Codec::Opus, 48_000));
        assert_eq!(hints.payload_types[&101], (Codec::TelephoneEvent, 8_000));
        assert_eq!(hints.payload_types[&97], (Codec::H264, 90_000));
        for text in ["", "70000", "128=opus", "101=telephone-event", "96=x/0", "a=b", "96=opus/x"] {
            let message = hints.add(text).expect_err(text).to_string();
            assert!(message.contains("is no hint"), "{message}");
        }
    }
}
