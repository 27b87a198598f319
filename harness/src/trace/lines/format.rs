//! What stands on a line: one definition for writing and reading.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use callrig_media::audio;
use callrig_media::dtmf::ToneEvent;
use callrig_media::event::{Dropped, EndReason, PacketEvent, RemoteReport, StreamStarted};
use callrig_media::stats::Stats;
use callrig_media::time::Instant;
use callrig_media::video::DropCause;
use callrig_signaling::http::{Headers, Method, RequestId};
use callrig_signaling::id::LegId;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::Staged;
use crate::actor::ActorId;
use crate::link::{Cause, Counters};
use crate::stage::Cast;
use crate::trace::{Path, PathId};
use crate::world::simulated::Stop;

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Head<'a> {
    pub callrig_trace: u32,
    /// How many lines follow: a trace that was cut is known by it.
    pub facts: u64,
    pub staged: Cow<'a, Staged>,
    pub cast: Cast,
    pub uplink: Counters,
    pub downlink: Counters,
    pub stop: Stop,
    pub waiting: Cow<'a, [(ActorId, Instant)]>,
    /// What others refer to by its place.
    pub actors: Cow<'a, [String]>,
    pub paths: Cow<'a, [Path]>,
    pub tracks: Vec<TrackLine>,
    pub screens: Vec<ScreenLine>,
}

/// To know the version before anything else is understood.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Version {
    pub callrig_trace: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrackLine {
    pub who: ActorId,
    pub leg: u16,
    pub ssrc: u32,
    pub rate: u32,
    pub channels: u8,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScreenLine {
    pub who: ActorId,
    pub leg: u16,
    pub pictures: u32,
    /// SHA-1 of all of them, in hexadecimal.
    pub digest: String,
}

/// A fact.
#[derive(Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "camelCase")]
pub(super) enum Line<'a> {
    Crossed(CrossedLine),
    Asked(AskedLine<'a>),
    Answered(AnsweredLine<'a>),
    Heard(HeardLine),
    Seen(SeenLine),
    Packet(PacketLine<'a>),
    Media(MediaLine<'a>),
    Told(ToldLine<'a>),
    Note(WordsLine<'a>),
    Fault(WordsLine<'a>),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct CrossedLine {
    pub at: Instant,
    pub path: PathId,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delivered_at: Vec<Instant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<Cause>,
    /// For people: what finds the packet in Wireshark. Reading takes it from the payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtp: Option<RtpLine>,
    pub payload: Base64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RtpLine {
    pub ssrc: u32,
    pub sequence_number: u16,
    pub timestamp: u32,
    pub payload_type: u8,
    pub marker: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AskedLine<'a> {
    pub at: Instant,
    pub from: Cow<'a, str>,
    pub to: Option<Cow<'a, str>>,
    pub id: RequestId,
    pub method: Method,
    pub uri: Cow<'a, str>,
    pub headers: Cow<'a, Headers>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AnsweredLine<'a> {
    pub at: Instant,
    pub from: Cow<'a, str>,
    pub to: Cow<'a, str>,
    pub id: RequestId,
    pub status: u16,
    pub headers: Cow<'a, Headers>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
}

/// The body of a request or response: as readable as its bytes allow.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Body {
    /// JSON that is written back as the very same bytes.
    Json(Value),
    Text(String),
    Base64(Base64),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeardLine {
    pub at: Instant,
    pub track: u16,
    pub kind: audio::Kind,
    pub timestamp: Option<u32>,
    pub concealed: u32,
    /// 16 bits each, the lower byte first.
    pub samples: Base64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SeenLine {
    pub at: Instant,
    pub screen: u16,
    pub index: u32,
    pub timestamp: u32,
    pub width: u16,
    pub height: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likeness: Option<LikenessLine>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LikenessLine {
    /// None where it is infinite.
    pub psnr: Option<f64>,
    pub ssim: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PacketLine<'a> {
    pub at: Instant,
    pub who: Cow<'a, str>,
    pub leg: u16,
    pub packet: PacketEvent,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MediaLine<'a> {
    pub at: Instant,
    pub who: Cow<'a, str>,
    pub leg: u16,
    pub event: MediaEvent,
}

/// What a session says, but for packets, sound and pictures, which are facts of their own.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum MediaEvent {
    StreamStarted(StreamStarted),
    StreamEnded { ssrc: u32, reason: EndReason },
    Tone(ToneEvent),
    Frame(FrameLine),
    FrameDropped { ssrc: u32, timestamp: u32, cause: DropCause },
    BandwidthEstimated { bits_per_second: u64 },
    KeyFrameRequested { ssrc: u32 },
    RemoteReport(RemoteReport),
    SourceChanged { from: u32, to: u32 },
    Contributors { ssrc: u32, csrcs: Vec<u32> },
    Dropped(Dropped),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FrameLine {
    pub ssrc: u32,
    pub timestamp: u32,
    pub key_frame: bool,
    pub first_sequence: u64,
    pub last_sequence: u64,
    pub arrived_first: Instant,
    pub arrived_last: Instant,
    pub resolution: Option<(u16, u16)>,
    pub data: Base64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToldLine<'a> {
    pub at: Instant,
    pub who: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<LegId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<EndedLine<'a>>,
    pub words: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndedLine<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leg: Option<LegId>,
    pub stats: Cow<'a, Stats>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WordsLine<'a> {
    pub at: Instant,
    pub who: Cow<'a, str>,
    pub words: Cow<'a, str>,
}

/// Bytes, in base64.
pub(super) struct Base64(pub Bytes);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        STANDARD.decode(&*text).map(|bytes| Self(bytes.into())).map_err(D::Error::custom)
    }
}

impl Body {
    pub(super) fn of(bytes: &Bytes) -> Option<Self> {
        if bytes.is_empty() {
            return None;
        }
        if let Ok(value) = serde_json::from_slice::<Value>(bytes)
            && serde_json::to_vec(&value).is_ok_and(|again| again == *bytes)
        {
            return Some(Self::Json(value));
        }
        Some(match core::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(Base64(bytes.clone())),
        })
    }

    pub(super) fn into_bytes(self) -> Bytes {
        match self {
            Self::Json(value) => value.to_string().into(),
            Self::Text(text) => text.into(),
            Self::Base64(bytes) => bytes.0,
        }
    }
}
