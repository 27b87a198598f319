//! What a session says has happened: the one vocabulary for traces, bots, and
//! measurements. Packets that go nowhere are events too ([`Dropped`]), so that every
//! datagram is accounted for.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::audio::Audio;
use crate::datagram::Datagram;
use crate::description::{Codec, MediaKind};
use crate::dtmf::ToneEvent;
use crate::rtcp::Application;
use crate::rtp::Csrcs;
use crate::time::Instant;
use crate::transport::webrtc::Profile;
use crate::video::{DropCause, Frame, Picture};

/// What has happened in a [`Session`](crate::session).
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Packets of a source that was silent so far are taken from now on; also said when
    /// a source changes its payload type in mid-stream.
    StreamStarted(StreamStarted),
    /// No more packets of this source are expected.
    StreamEnded {
        /// Its synchronisation source.
        ssrc: u32,
        /// Why.
        reason: EndReason,
    },
    /// An RTP packet arrived; only with `packet_events` in the configuration.
    Packet(PacketEvent),
    /// Others contribute to what a source sends than before, by the list in its packets
    /// (RFC 3550 section 7.1): said when a packet with the new list arrives, which is before its
    /// sound is played out.
    Contributors {
        /// The synchronisation source.
        ssrc: u32,
        /// Who contributes.
        csrcs: Csrcs,
    },
    /// The peer's application says something to ours (RFC 3550 section 6.7).
    Application(Application),
    /// 20 ms of sound, at each tick of the playout of a stream.
    Audio(Box<Audio>),
    /// A key was pressed; once for each press.
    Tone(ToneEvent),
    /// A whole access unit.
    Frame(Frame),
    /// A decoded picture; only with `Decode::Everything`.
    Picture(Box<Picture>),
    /// A frame that will never be whole.
    FrameDropped {
        /// Its synchronisation source.
        ssrc: u32,
        /// Its RTP timestamp.
        timestamp: u32,
        /// What is wrong with it.
        cause: DropCause,
    },
    /// How much the way to the peer carries is thought to be another value than before, and
    /// what is sent keeps to it. (What reports alone tell is in the statistics only.)
    BandwidthEstimated {
        /// Of everything that is sent to it.
        bits_per_second: u64,
    },
    /// A key frame is wanted of a stream that we send: the peer asks for it, or there is room
    /// on the way again after pictures were left out.
    KeyFrameRequested {
        /// Of our stream.
        ssrc: u32,
    },
    /// The peer says how it receives a stream that we send.
    RemoteReport(RemoteReport),
    /// Our source had the number of another one; it goes on under a new number
    /// (RFC 3550 section 8.2).
    SourceChanged {
        /// The number that was taken.
        from: u32,
        /// The number from now on.
        to: u32,
    },
    /// A datagram, packet or report that goes nowhere.
    Dropped(Dropped),
    /// Something happened on the way below: only with WebRTC.
    Transport(TransportEvent),
    /// RTP or RTCP passed, in the clear; only while it is
    /// [asked for](crate::session::Session::set_capture).
    Passed {
        /// Whether it leaves.
        outgoing: bool,
        /// Between the addresses that were described; what SRTP makes of it is not told.
        datagram: Datagram,
    },
}

/// What has happened on the [way](crate::transport::webrtc) below a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportEvent {
    /// Media can flow, protected so.
    Connected {
        /// What the two sides agreed on.
        profile: Profile,
    },
    /// The peer has shown itself at an address.
    WayFound {
        /// Where.
        address: SocketAddr,
    },
    /// The peer wants what we send at another address than before.
    WayChosen {
        /// Where.
        address: SocketAddr,
    },
    /// The peer has so many addresses that this one is forgotten.
    WayLost {
        /// Where.
        address: SocketAddr,
    },
    /// It has ended, without our doing.
    Closed {
        /// Why.
        reason: CloseReason,
    },
    /// A datagram that goes nowhere.
    Dropped(Dropped),
}

impl fmt::Display for TransportEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected { profile } => write!(f, "connected with {}", profile.name()),
            Self::WayFound { address } => write!(f, "the peer is at {address}"),
            Self::WayChosen { address } => {
                write!(f, "the peer is reached at {address} from now on")
            }
            Self::WayLost { address } => write!(f, "{address} is forgotten"),
            Self::Closed { reason } => write!(f, "ended: {reason}"),
            Self::Dropped(dropped) => write!(f, "a datagram goes nowhere: {:?}", dropped.reason),
        }
    }
}

/// Why a way to a peer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CloseReason {
    /// The peer has said goodbye.
    Peer,
    /// The peer's checks have stopped.
    Silence,
    /// The peer could not be reached in time.
    NotReached,
    /// The handshake failed: another certificate than the announced one, nothing in common,
    /// or no answer.
    HandshakeFailed,
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Peer => "the peer has said goodbye",
            Self::Silence => "the peer's checks have stopped",
            Self::NotReached => "the peer could not be reached in time",
            Self::HandshakeFailed => "the DTLS handshake failed",
        })
    }
}

/// A source began, or changed its payload type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamStarted {
    /// Its synchronisation source.
    pub ssrc: u32,
    /// The payload type of its packets from now on.
    pub payload_type: u8,
    /// What the payload type stands for.
    pub codec: Codec,
    /// What the media line shows.
    pub kind: MediaKind,
    /// Index of the media line in the description.
    pub media: usize,
    /// Which of the layers of the line ([`Simulcast`](crate::description::Simulcast)) it is, if
    /// it has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<u8>,
}

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EndReason {
    /// Its source said BYE.
    Bye,
    /// Nothing came for the time that the configuration names.
    Silence,
    /// The session was closed.
    Closed,
    /// It was the longest silent one when another source needed its place.
    Displaced,
}

/// An RTP packet as it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PacketEvent {
    /// Its synchronisation source.
    pub ssrc: u32,
    /// Extended sequence number: cycles in the upper bits (RFC 3550 A.1).
    pub sequence: u64,
    /// RTP timestamp as it stands in the header.
    pub timestamp: u32,
    /// Payload type as it stands in the header.
    pub payload_type: u8,
    /// The marker bit.
    pub marker: bool,
    /// Bytes of payload, without header and padding.
    pub payload_length: u16,
    /// Sound level in −dBov, when the header has it (RFC 6464).
    pub audio_level: Option<u8>,
    /// Interarrival jitter after this packet in timestamp units, not rounded (RFC 3550
    /// section 6.4.1).
    pub jitter: f64,
    /// Arrival minus RTP timestamp, in timestamp units, relative to the first packet of
    /// the source.
    pub transit: i64,
    /// How it stands in the order of the source.
    pub order: Order,
}

/// Where a packet stands in the order of its source (RFC 4737).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Order {
    /// The highest number so far.
    Advanced,
    /// A number below the highest, not seen before.
    Reordered,
    /// Seen before.
    Duplicate,
}

/// A reception report block about a stream that we send (RFC 3550 section 6.4).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemoteReport {
    /// Our stream.
    pub ssrc: u32,
    /// Who reports.
    pub reporter: u32,
    /// Share of packets lost since the report before, 0 to 1.
    pub fraction_lost: f64,
    /// Packets lost since the beginning; negative with duplicates.
    pub packets_lost: i32,
    /// Interarrival jitter at the peer, in timestamp units.
    pub jitter: u32,
    /// Round-trip time, once the peer has had a sender report of ours.
    pub round_trip_time: Option<Duration>,
    /// Extended highest sequence number the peer has.
    pub highest_sequence: u32,
}

/// Something that goes nowhere, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dropped {
    /// Why.
    pub reason: DropReason,
    /// Of which source, when that could be read.
    pub ssrc: Option<u32>,
    /// Sequence number as it stands in the header, when it could be read.
    pub sequence_number: Option<u16>,
    /// When it arrived.
    pub arrived: Instant,
}

/// Why something goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DropReason {
    /// It did not come from the peer's address, or was not for ours.
    ForeignAddress,
    /// Neither RTP nor RTCP by its first byte (RFC 7983): STUN, DTLS, or nothing known.
    NotRtp,
    /// The RTP header is cut off, lies about lengths, or has another version.
    MalformedRtp,
    /// The RTCP compound is not valid (RFC 3550 A.2).
    MalformedRtcp,
    /// No media line has this payload type.
    UnknownPayloadType,
    /// The media line of this payload type was rejected, or does not flow this way.
    NotNegotiated,
    /// There are as many sources as the configuration allows, and all are alive.
    TooManyStreams,
    /// The source has not yet shown that it is one: its numbers do not follow each other
    /// (RFC 3550 A.1).
    Probation,
    /// A jump in sequence numbers that a second packet has not confirmed yet.
    Jump,
    /// Our own SSRC came back to us: a loop, or a collision (RFC 3550 section 8.2).
    OwnSource,
    /// Its source has said BYE.
    AfterBye,
    /// A NACK asks for a packet that is not kept any more.
    NotInCache,
    /// A report or feedback about a source that we do not have.
    UnknownSource,
    /// The payload is not what its codec demands.
    MalformedPayload,
    /// The jitter buffer or the assembler has no room.
    Overflow,
    /// A duplicate: an equal packet was taken before.
    Duplicate,
    /// It came after its time of playing.
    Late,
    /// Its timestamp contradicts its sequence number: what it covers was played already.
    Discontinuity,
    /// The session is closed.
    Closed,
    /// A STUN message that contradicts itself or lacks what a check has.
    MalformedStun,
    /// A check that knows another user fragment or password than ours.
    WrongCredentials,
    /// DTLS that contradicts itself.
    MalformedDtls,
    /// SRTP before there are keys.
    NotKeyed,
    /// Its tag is not what the key makes of it: forged, damaged, or of another session.
    NotAuthentic,
    /// Its number was taken before, or is too old to tell (RFC 3711 section 3.3.2).
    Replayed,
}

impl DropReason {
    /// All of them, in the order of [`DropReason::index`].
    pub const ALL: [Self; 25] = [
        Self::ForeignAddress,
        Self::NotRtp,
        Self::MalformedRtp,
        Self::MalformedRtcp,
        Self::UnknownPayloadType,
        Self::NotNegotiated,
        Self::TooManyStreams,
        Self::Probation,
        Self::Jump,
        Self::OwnSource,
        Self::AfterBye,
        Self::NotInCache,
        Self::UnknownSource,
        Self::MalformedPayload,
        Self::Overflow,
        Self::Duplicate,
        Self::Late,
        Self::Discontinuity,
        Self::Closed,
        Self::MalformedStun,
        Self::WrongCredentials,
        Self::MalformedDtls,
        Self::NotKeyed,
        Self::NotAuthentic,
        Self::Replayed,
    ];

    /// Its place in [`DropReason::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}
