//! What two peers agree on, as types: media lines, payload types and codecs, header
//! extensions, where to send. [`Description::answer`] is the offer/answer rule of
//! RFC 3264; turning it to and from SDP text is `transport::sdp`'s job. With [`secure`]
//! parameters it describes a side that speaks WebRTC. Deviation: one address and port for
//! everything, RTP and RTCP (RFC 5761).

use core::fmt;
use core::net::SocketAddr;

use serde::{Deserialize, Serialize};

mod parameter_sets;
pub mod secure;
mod simulcast;

pub use parameter_sets::ParameterSets;
pub use secure::{Candidate, Fingerprint, Secure, Setup};
pub use simulcast::{LAYERS_MAX, Simulcast};

/// How many media lines a description may have: one audio, ten video, one screen.
pub const MEDIA_MAX: usize = 12;

/// How many payload types one media line may have.
pub const PAYLOADS_MAX: usize = 32;

/// From the payload type of a stream of ours to that of what is sent again of it.
const RETRANSMISSION_STEP: u8 = 4;

/// A codec, with the parameters without which its packets cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Codec {
    /// RFC 7587. Its RTP clock always runs at 48 kHz.
    Opus {
        /// Whether the receiver would like two channels.
        stereo: bool,
    },
    /// G.711 µ-law, 8 kHz.
    Pcmu,
    /// G.711 A-law, 8 kHz.
    Pcma,
    /// RFC 4733.
    TelephoneEvent {
        /// Of the RTP clock; that of the audio codec it stands beside.
        clock_rate: u32,
    },
    /// RFC 6184.
    H264 {
        /// 0 (single NAL units) or 1 (non-interleaved).
        packetization_mode: u8,
    },
}

impl Codec {
    /// Ticks of the RTP clock in a second.
    #[must_use]
    pub const fn clock_rate(self) -> u32 {
        match self {
            Self::Opus { .. } => 48_000,
            Self::Pcmu | Self::Pcma => 8_000,
            Self::TelephoneEvent { clock_rate } => clock_rate,
            Self::H264 { .. } => 90_000,
        }
    }

    /// The name in `a=rtpmap` (IANA's spelling).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opus { .. } => "opus",
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::TelephoneEvent { .. } => "telephone-event",
            Self::H264 { .. } => "H264",
        }
    }

    /// Channels as `a=rtpmap` states them; RFC 7587 wants 2 whatever is sent.
    #[must_use]
    pub const fn rtpmap_channels(self) -> u8 {
        match self {
            Self::Opus { .. } => 2,
            _ => 1,
        }
    }

    /// Whether packets of this codec carry sound to be played.
    #[must_use]
    pub const fn is_audio(self) -> bool {
        matches!(self, Self::Opus { .. } | Self::Pcmu | Self::Pcma)
    }

    /// Whether packets of this codec carry pictures.
    #[must_use]
    pub const fn is_video(self) -> bool {
        matches!(self, Self::H264 { .. })
    }

    /// Whether two sides mean the same codec: preferences such as stereo may differ,
    /// clock rate and packetization mode may not.
    #[must_use]
    pub const fn is_compatible(self, other: Self) -> bool {
        match (self, other) {
            (Self::Opus { .. }, Self::Opus { .. })
            | (Self::Pcmu, Self::Pcmu)
            | (Self::Pcma, Self::Pcma) => true,
            (Self::TelephoneEvent { clock_rate: a }, Self::TelephoneEvent { clock_rate: b }) => {
                a == b
            }
            (Self::H264 { packetization_mode: a }, Self::H264 { packetization_mode: b }) => a == b,
            _ => false,
        }
    }
}

impl Codec {
    /// Whether a side that can do this may accept that offer. Who knows telephone events
    /// knows them at any rate: they share the timestamps of the audio they stand beside
    /// (RFC 4733 section 2.1), and that need not be a codec of ours.
    const fn is_answer_to(self, offered: Self) -> bool {
        match (self, offered) {
            (Self::TelephoneEvent { .. }, Self::TelephoneEvent { clock_rate }) => clock_rate > 0,
            _ => self.is_compatible(offered),
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name(), self.clock_rate())
    }
}

/// Which RTCP feedback may be sent about a payload type (RFC 4585, RFC 5104).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Feedback {
    /// Generic NACK.
    pub nack: bool,
    /// Picture loss indication.
    pub pli: bool,
    /// Full intra request.
    pub fir: bool,
    /// Transport-wide congestion control.
    pub transport_cc: bool,
    /// What the receiver thinks the path carries (`goog-remb`): only where the transport-wide
    /// kind was not agreed on.
    pub remb: bool,
}

/// A payload type and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payload {
    /// 0 to 127.
    pub payload_type: u8,
    /// What its packets carry.
    pub codec: Codec,
    /// Opus: the receiver makes use of in-band FEC (`useinbandfec`).
    #[serde(default)]
    pub in_band_fec: bool,
    /// Opus: the receiver would rather get no packets in silence (`usedtx`).
    #[serde(default)]
    pub discontinuous: bool,
    /// Opus: the receiver wants no more than this, in bits per second.
    #[serde(default)]
    pub bitrate_max: Option<u32>,
    /// H.264: profile, constraints and level, as in RFC 6184 section 8.1.
    #[serde(default)]
    pub profile_level_id: Option<[u8; 3]>,
    /// H.264: parameter sets of what the side that says it sends, given ahead of the stream
    /// rather than in it (`sprop-parameter-sets`).
    #[serde(default, skip_serializing_if = "ParameterSets::is_empty")]
    pub parameter_sets: ParameterSets,
    /// Which feedback its sender answers to.
    #[serde(default)]
    pub feedback: Feedback,
    /// The payload type under which its packets are sent again (RFC 4588).
    #[serde(default)]
    pub retransmission: Option<u8>,
}

impl Payload {
    /// A payload type with the usual parameters of its codec: FEC for Opus, constrained
    /// baseline 3.1 and all feedback for H.264.
    #[must_use]
    pub const fn new(payload_type: u8, codec: Codec) -> Self {
        let video = codec.is_video();
        Self {
            payload_type,
            codec,
            in_band_fec: matches!(codec, Codec::Opus { .. }),
            discontinuous: false,
            bitrate_max: None,
            profile_level_id: if video { Some([0x42, 0xe0, 0x1f]) } else { None },
            parameter_sets: ParameterSets::NONE,
            feedback: Feedback {
                nack: video,
                pli: video,
                fir: video,
                transport_cc: false,
                remb: false,
            },
            retransmission: None,
        }
    }
}

/// What a media line shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// A camera.
    Video,
    /// A screen: video with `a=content:slides` (RFC 4796).
    ScreenSharing,
    /// Data channels, or whatever else is neither heard nor seen: always rejected, but it
    /// keeps its place in the description.
    Data,
}

impl MediaKind {
    /// Whether it is seen: a camera or a screen.
    #[must_use]
    pub const fn is_video(self) -> bool {
        matches!(self, Self::Video | Self::ScreenSharing)
    }
}

/// Which way media flows, from the side that says it (RFC 3264 section 5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// Both ways.
    #[default]
    SendReceive,
    /// The speaker of it only sends.
    SendOnly,
    /// The speaker of it only receives.
    ReceiveOnly,
    /// Neither way; the line stays for later.
    Inactive,
}

impl Direction {
    /// From what each way does.
    #[must_use]
    pub const fn from_ways(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendReceive,
            (true, false) => Self::SendOnly,
            (false, true) => Self::ReceiveOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Whether the speaker sends.
    #[must_use]
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendReceive | Self::SendOnly)
    }

    /// Whether the speaker receives.
    #[must_use]
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendReceive | Self::ReceiveOnly)
    }

    /// The same flow as the other side calls it.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self::from_ways(self.receives(), self.sends())
    }

    /// What remains when only what both want is left, from the side of `self`; `other`
    /// is what the other side says of itself.
    #[must_use]
    pub const fn meet(self, other: Self) -> Self {
        Self::from_ways(self.sends() && other.receives(), self.receives() && other.sends())
    }
}

/// A header extension that this project understands (RFC 8285).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Extension {
    /// RFC 6464: level of the sound in the packet.
    AudioLevel,
    /// When the packet left, in 6.18 fixed-point seconds.
    AbsoluteSendTime,
    /// RFC 9143: which media line the packet belongs to.
    Mid,
    /// A sequence number over all streams of the transport.
    TransportSequence,
    /// RFC 8852 `RtpStreamId`: which layer of the line the packet belongs to.
    StreamId,
    /// RFC 8852 `RepairedRtpStreamId`: which layer the packet sends again.
    RepairedStreamId,
}

impl Extension {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::AudioLevel,
        Self::AbsoluteSendTime,
        Self::Mid,
        Self::TransportSequence,
        Self::StreamId,
        Self::RepairedStreamId,
    ];

    /// The URI in `a=extmap`.
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::AudioLevel => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            Self::AbsoluteSendTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            Self::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
            Self::TransportSequence => {
                "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
            }
            Self::StreamId => "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            Self::RepairedStreamId => "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
        }
    }

    /// The extension with this URI.
    #[must_use]
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|extension| extension.uri() == uri)
    }
}

/// The number under which a header extension travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExtensionId {
    /// 1 to 14 with one-byte headers, up to 255 with two-byte ones.
    pub id: u8,
    /// What it is.
    pub extension: Extension,
}

/// One media line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MediaDescription {
    /// Its name (`a=mid`), unique in the description.
    pub mid: String,
    /// What it shows.
    pub kind: MediaKind,
    /// Which way it flows, from the side that says it.
    pub direction: Direction,
    /// Payload types in order of preference.
    pub payloads: Vec<Payload>,
    /// Which SSRC the describing side will send with, when it says so.
    #[serde(default)]
    pub ssrc: Option<u32>,
    /// Which SSRC it will send again with (`a=ssrc-group:FID`), when it says so.
    #[serde(default)]
    pub retransmission_ssrc: Option<u32>,
    /// Header extensions and their numbers.
    #[serde(default)]
    pub extensions: Vec<ExtensionId>,
    /// The layers of its pictures, if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulcast: Option<Simulcast>,
    /// Refused: it keeps its place in the description, with port 0, and no media flows.
    #[serde(default)]
    pub rejected: bool,
}

impl MediaDescription {
    /// Audio with Opus (111), PCMU, PCMA and telephone events (110 at 48 kHz, 113 at
    /// 16 kHz, 101 at 8 kHz), levels in the header.
    #[must_use]
    pub fn audio(mid: impl Into<String>) -> Self {
        Self {
            mid: mid.into(),
            kind: MediaKind::Audio,
            direction: Direction::SendReceive,
            payloads: vec![
                Payload::new(111, Codec::Opus { stereo: false }),
                Payload::new(0, Codec::Pcmu),
                Payload::new(8, Codec::Pcma),
                Payload::new(110, Codec::TelephoneEvent { clock_rate: 48_000 }),
                Payload::new(113, Codec::TelephoneEvent { clock_rate: 16_000 }),
                Payload::new(101, Codec::TelephoneEvent { clock_rate: 8_000 }),
            ],
            ssrc: None,
            retransmission_ssrc: None,
            extensions: vec![ExtensionId { id: 1, extension: Extension::AudioLevel }],
            simulcast: None,
            rejected: false,
        }
    }

    /// Camera video with H.264 in packetization modes 1 (payload type 102) and 0 (103).
    #[must_use]
    pub fn video(mid: impl Into<String>) -> Self {
        Self {
            mid: mid.into(),
            kind: MediaKind::Video,
            direction: Direction::SendReceive,
            payloads: vec![
                Payload::new(102, Codec::H264 { packetization_mode: 1 }),
                Payload::new(103, Codec::H264 { packetization_mode: 0 }),
            ],
            ssrc: None,
            retransmission_ssrc: None,
            extensions: Vec::new(),
            simulcast: None,
            rejected: false,
        }
    }

    /// A shared screen, with the payload types of [`MediaDescription::video`].
    #[must_use]
    pub fn screen_sharing(mid: impl Into<String>) -> Self {
        Self { kind: MediaKind::ScreenSharing, ..Self::video(mid) }
    }

    /// The same as WebRTC has it: lost pictures are sent again in a stream of their own, lines
    /// are named and packets numbered over the whole transport.
    #[must_use]
    pub fn for_webrtc(mut self) -> Self {
        let video = self.payloads.iter().any(|payload| payload.codec.is_video());
        for payload in &mut self.payloads {
            payload.feedback.remb = payload.codec.is_video();
        }
        self.extend(4, Extension::Mid);
        self = self.with_retransmission().with_transport_feedback();
        // Receivers estimate from the times of pictures only.
        if video {
            self.extend(6, Extension::AbsoluteSendTime);
        } else {
            self.retransmission_ssrc = None;
        }
        self
    }

    /// The same with lost packets of pictures sent again in a stream of their own (RFC 4588),
    /// under the number that is greater by four than what it repeats.
    #[must_use]
    pub fn with_retransmission(mut self) -> Self {
        for payload in self.payloads.iter_mut().filter(|payload| payload.codec.is_video()) {
            payload.retransmission = Some(payload.payload_type + RETRANSMISSION_STEP);
        }
        self
    }

    /// The same with packets numbered over the whole transport, so that the peer can tell when
    /// each of them arrived.
    #[must_use]
    pub fn with_transport_feedback(mut self) -> Self {
        for payload in &mut self.payloads {
            payload.feedback.transport_cc = true;
        }
        self.extend(5, Extension::TransportSequence);
        self
    }

    /// The same in layers, which packets name.
    #[must_use]
    pub fn with_simulcast(mut self, simulcast: Simulcast) -> Self {
        self.simulcast = Some(simulcast);
        self.extend(4, Extension::Mid);
        self.extend(7, Extension::StreamId);
        self.extend(8, Extension::RepairedStreamId);
        self
    }

    fn extend(&mut self, id: u8, extension: Extension) {
        if self.extension_id(extension).is_none() {
            self.extensions.push(ExtensionId { id, extension });
        }
    }

    /// The same with another direction.
    #[must_use]
    pub fn with_direction(mut self, direction: Direction) -> Self {
        self.direction = direction;
        self
    }

    /// The same with other payload types.
    #[must_use]
    pub fn with_payloads(mut self, payloads: Vec<Payload>) -> Self {
        self.payloads = payloads;
        self
    }

    /// The same with a stated SSRC.
    #[must_use]
    pub fn with_ssrc(mut self, ssrc: u32) -> Self {
        self.ssrc = Some(ssrc);
        self
    }

    /// What a payload type stands for on this line.
    #[must_use]
    pub fn payload(&self, payload_type: u8) -> Option<&Payload> {
        self.payloads.iter().find(|payload| payload.payload_type == payload_type)
    }

    /// The number of a header extension on this line.
    #[must_use]
    pub fn extension_id(&self, extension: Extension) -> Option<u8> {
        self.extensions.iter().find(|e| e.extension == extension).map(|e| e.id)
    }

    /// The answer to the offered line `offer` by a side that could do `self`: the
    /// offer's payload type numbers for the codecs both know, in the offer's order.
    /// Rejected when nothing to hear or see is left.
    #[must_use]
    pub fn answer(&self, offer: &Self) -> Self {
        let payloads: Vec<Payload> =
            offer.payloads.iter().filter_map(|offered| self.answer_payload(offered)).collect();
        let usable = payloads.iter().any(|p| p.codec.is_audio() || p.codec.is_video());
        let rejected = offer.rejected || self.rejected || !usable || self.kind != offer.kind;
        let again = payloads.iter().any(|payload| payload.retransmission.is_some());
        let direction = self.direction.meet(offer.direction);
        let named = offer.extension_id(Extension::StreamId).is_some();
        let layered = self.simulcast.as_ref().zip(offer.simulcast.as_ref());
        let layered = layered.filter(|_| named && direction.receives() && !rejected);
        Self {
            mid: offer.mid.clone(),
            kind: offer.kind,
            direction,
            payloads: if rejected { offer.payloads.clone() } else { payloads },
            ssrc: self.ssrc,
            retransmission_ssrc: self.retransmission_ssrc.filter(|_| again && !rejected),
            extensions: offer
                .extensions
                .iter()
                .filter(|e| self.extension_id(e.extension).is_some())
                .copied()
                .collect(),
            simulcast: layered.and_then(|(ours, theirs)| ours.answer(theirs)),
            rejected,
        }
    }

    fn answer_payload(&self, offered: &Payload) -> Option<Payload> {
        let ours = self.payloads.iter().find(|p| p.codec.is_answer_to(offered.codec))?;
        let feedback = Feedback {
            nack: ours.feedback.nack && offered.feedback.nack,
            pli: ours.feedback.pli && offered.feedback.pli,
            fir: ours.feedback.fir && offered.feedback.fir,
            transport_cc: ours.feedback.transport_cc && offered.feedback.transport_cc,
            remb: ours.feedback.remb && offered.feedback.remb,
        };
        // fmtp of a receiver-side kind states what the answerer wants; the profile of
        // H.264 must be the offered one (RFC 6184 section 8.2.2).
        let profile_level_id = offered.profile_level_id.or(ours.profile_level_id);
        let codec = match offered.codec {
            Codec::TelephoneEvent { .. } => offered.codec,
            _ => ours.codec,
        };
        let payload_type = offered.payload_type;
        let retransmission = ours.retransmission.and(offered.retransmission);
        Some(Payload {
            payload_type,
            codec,
            feedback,
            profile_level_id,
            retransmission,
            ..ours.clone()
        })
    }
}

/// What one side says: where it receives, and its media lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Description {
    /// Where it receives RTP and RTCP, and what it sends from.
    pub address: SocketAddr,
    /// Media lines in order; an answer keeps the order of its offer.
    pub media: Vec<MediaDescription>,
    /// What it takes to reach it by WebRTC; none for plain RTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secure: Option<Box<Secure>>,
}

impl Description {
    /// A description of one audio line, the simplest call.
    #[must_use]
    pub fn audio(address: SocketAddr) -> Self {
        Self::new(address, vec![MediaDescription::audio("audio")])
    }

    /// These lines in plain RTP at this address.
    #[must_use]
    pub const fn new(address: SocketAddr, media: Vec<MediaDescription>) -> Self {
        Self { address, media, secure: None }
    }

    /// The same by WebRTC.
    #[must_use]
    pub fn with_secure(mut self, secure: Secure) -> Self {
        self.secure = Some(Box::new(secure));
        self
    }

    /// Whether lost packets are to be sent again in streams of their own (RFC 4588).
    #[must_use]
    pub fn wants_retransmission(&self) -> bool {
        let mut payloads = self.media.iter().flat_map(|line| &line.payloads);
        payloads.any(|payload| payload.retransmission.is_some())
    }

    /// Another line at the end.
    #[must_use]
    pub fn with(mut self, media: MediaDescription) -> Self {
        self.media.push(media);
        self
    }

    /// The answer to `offer` by a side that could do `self` (RFC 3264 section 6): as
    /// many lines as the offer has, in its order. Each offered line is paired with the
    /// first line of ours of its kind that is not taken yet; one that finds no partner
    /// is rejected.
    #[must_use]
    pub fn answer(&self, offer: &Self) -> Self {
        let mut taken = vec![false; self.media.len()];
        let media = offer
            .media
            .iter()
            .map(|offered| {
                let partner = (0..self.media.len())
                    .find(|&i| !taken[i] && self.media[i].kind == offered.kind);
                match partner {
                    Some(index) => {
                        taken[index] = true;
                        self.media[index].answer(offered)
                    }
                    None => MediaDescription {
                        direction: Direction::Inactive,
                        ssrc: None,
                        retransmission_ssrc: None,
                        simulcast: None,
                        rejected: true,
                        ..offered.clone()
                    },
                }
            })
            .collect();
        let secure = match (&self.secure, &offer.secure) {
            (Some(ours), Some(theirs)) => {
                Some(Box::new(Secure { setup: theirs.setup.answered(), ..(**ours).clone() }))
            }
            _ => None,
        };
        Self { address: self.address, media, secure }
    }
}

/// A word that cannot break out of its line of text.
pub(crate) fn word(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn an_answer_takes_the_numbers_of_the_offer_and_the_codecs_of_both() {
        let line = MediaDescription::audio("0").with_payloads(vec![
            Payload::new(8, Codec::Pcma),
            Payload::new(96, Codec::Opus { stereo: true }),
            Payload::new(97, Codec::H264 { packetization_mode: 1 }),
        ]);
        let offer = Description::new(address(1), vec![line]);
        let answer = Description::audio(address(2)).answer(&offer);
        let types: Vec<u8> = answer.media[0].payloads.iter().map(|p| p.payload_type).collect();
        assert_eq!(types, [8, 96]);
        assert_eq!(answer.media[0].mid, "0");
        assert_eq!(answer.address, address(2));
        assert!(!answer.media[0].rejected);
    }

    #[test]
    fn a_line_without_a_partner_keeps_its_place_and_is_rejected() {
        let offer = Description::audio(address(1))
            .with(MediaDescription::video("v"))
            .with(MediaDescription::screen_sharing("s"));
        let answer = Description::audio(address(2))
            .with(MediaDescription::screen_sharing("x"))
            .answer(&offer);
        let rejected: Vec<bool> = answer.media.iter().map(|m| m.rejected).collect();
        assert_eq!(rejected, [false, true, false]);
        assert_eq!(answer.media[2].mid, "s");
    }

    #[test]
    fn telephone_events_alone_are_not_enough_to_accept_a_line() {
        let events = vec![Payload::new(101, Codec::TelephoneEvent { clock_rate: 8_000 })];
        let line = MediaDescription::audio("0").with_payloads(events);
        let offer = Description::new(address(1), vec![line]);
        assert!(Description::audio(address(2)).answer(&offer).media[0].rejected);
    }

    #[test]
    fn telephone_events_are_accepted_at_the_rate_they_are_offered_at() {
        for clock_rate in [8_000, 16_000, 32_000, 44_100, 48_000] {
            let events = Codec::TelephoneEvent { clock_rate };
            let payloads = vec![Payload::new(0, Codec::Pcmu), Payload::new(96, events)];
            let line = MediaDescription::audio("0").with_payloads(payloads.clone());
            let offer = Description::new(address(1), vec![line]);
            let answer = Description::audio(address(2)).answer(&offer);
            assert_eq!(answer.media[0].payloads, payloads);
        }
        let still = Payload::new(96, Codec::TelephoneEvent { clock_rate: 0 });
        assert_eq!(MediaDescription::audio("0").answer_payload(&still), None);
    }

    #[test]
    fn a_direction_answers_only_what_both_want() {
        use Direction::{Inactive, ReceiveOnly, SendOnly, SendReceive};
        assert_eq!(SendReceive.meet(SendOnly), ReceiveOnly);
        assert_eq!(SendReceive.meet(ReceiveOnly), SendOnly);
        assert_eq!(SendOnly.meet(SendOnly), Inactive);
        assert_eq!(SendOnly.reversed(), ReceiveOnly);
    }

    #[test]
    fn every_extension_is_found_by_its_uri() {
        for extension in Extension::ALL {
            assert_eq!(Extension::from_uri(extension.uri()), Some(extension));
        }
        assert_eq!(Extension::from_uri("urn:other"), None);
    }
}
