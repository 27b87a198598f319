//! Statistics of a session: per stream, under the names of W3C webrtc-stats where it has
//! one, and units as there (seconds, bytes); and the law that every packet is accounted
//! for ([`Stats::is_conserved`]).

use core::time::Duration;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::description::{Codec, MediaKind};
use crate::event::{DropReason, EndReason};
use crate::jitter;
use crate::rtcp::source::SourceStats;
use crate::video;

/// What happened in a session so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Datagrams that came in.
    pub datagrams_received: u64,
    /// Of those, the ones that begin like RTP and came from the peer.
    pub rtp_received: u64,
    /// Of those, the ones that begin like RTCP and came from the peer.
    pub rtcp_received: u64,
    /// RTCP compounds sent.
    pub rtcp_sent: u64,
    /// Round-trip time of the last report, in seconds.
    pub current_round_trip_time: Option<f64>,
    /// All round-trip times together, in seconds.
    pub total_round_trip_time: f64,
    /// How many there were.
    pub round_trip_time_measurements: u64,
    /// Bits per second that the way to the peer carries, as far as its feedback tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_outgoing_bitrate: Option<f64>,
    /// Packets of padding that were sent to see whether it carries more.
    #[serde(default)]
    pub probes_sent: u64,
    /// Streams of the peer: those that last, by SSRC; then those that were removed.
    pub inbound: Vec<Inbound>,
    /// Streams that were removed, beyond those that are listed.
    pub inbound_forgotten: u64,
    /// Packets that were counted on those.
    pub inbound_forgotten_packets: u64,
    /// Packets of streams of retransmission that brought nothing: probes for bandwidth, and
    /// copies of what nobody missed.
    #[serde(default)]
    pub probes_received: u64,
    /// Our streams: one per media line, then relayed ones.
    pub outbound: Vec<Outbound>,
    /// What went nowhere, by reason. Packets that are listed at a stream (late, duplicate,
    /// discarded) appear here as well.
    pub dropped: BTreeMap<DropReason, u64>,
}

/// A stream of the peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inbound {
    /// Its synchronisation source.
    pub ssrc: u32,
    /// What its media line shows.
    pub kind: MediaKind,
    /// Index of its media line.
    pub media: usize,
    /// Which layer of its line it is (RFC 8852), if the line has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rid: Option<String>,
    /// Payload type of its newest sound or picture.
    pub payload_type: u8,
    /// What that stands for.
    pub codec: Codec,
    /// Ticks of its RTP clock in a second.
    pub clock_rate: u32,
    /// Whether it ended, and why.
    pub ended: Option<EndReason>,
    /// Reception as RFC 3550 counts it.
    #[serde(flatten)]
    pub source: SourceStats,
    /// Packets that came again in a stream of their own (RFC 4588); they are not among those
    /// of `source`.
    #[serde(default)]
    pub retransmitted_packets_received: u64,
    /// NACK messages sent about it.
    pub nack_count: u64,
    /// PLI messages sent about it.
    pub pli_count: u64,
    /// FIR messages sent about it.
    pub fir_count: u64,
    /// What became of its packets.
    pub track: Track,
}

/// What became of the packets of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Track {
    /// No packet was accepted yet.
    Pending,
    /// Handed on.
    Relayed {
        /// Packets handed on.
        packets: u64,
        /// Packets for which there was no room.
        overflowed: u64,
    },
    /// Played.
    Sound {
        /// The jitter buffer.
        playout: jitter::Stats,
        /// Packets of telephone events.
        tone_packets: u64,
        /// Of those, the ones that broke RFC 4733.
        malformed_tone_packets: u64,
        /// Packets that were not decoded, since their header said that they are silent.
        #[serde(default)]
        silent_packets: u64,
    },
    /// Put together.
    Pictures(Pictures),
}

/// A stream of pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pictures {
    /// Packets that are part of a frame that was handed out.
    pub packets_used: u64,
    /// Packets whose turn had passed.
    pub packets_late: u64,
    /// Packets that had come before.
    pub packets_duplicate: u64,
    /// Packets without payload.
    pub packets_empty: u64,
    /// Packets of frames that were dropped.
    pub packets_discarded: u64,
    /// Packets that wait.
    pub packets_queued: u64,
    /// Frames of which a packet has had its turn.
    pub frames_started: u64,
    /// Whole frames.
    pub frames_received: u64,
    /// Of those, key frames.
    pub key_frames_received: u64,
    /// Frames that will never be whole.
    pub frames_dropped: u64,
    /// The frame that is being put together: 0 or 1.
    pub frames_open: u64,
    /// Pictures decoded.
    pub frames_decoded: u64,
    /// Frames that the decoder refused.
    pub decode_errors: u64,
}

impl Pictures {
    /// From the assembler's own counters; those of the decoder stay 0.
    #[must_use]
    pub fn of(stats: &video::assembly::Stats) -> Self {
        Self {
            packets_used: stats.packets_used,
            packets_late: stats.packets_late,
            packets_duplicate: stats.packets_duplicate,
            packets_empty: stats.packets_empty,
            packets_discarded: stats.packets_discarded.total(),
            packets_queued: stats.packets_queued,
            frames_started: stats.frames_started,
            frames_received: stats.frames_emitted,
            key_frames_received: stats.key_frames,
            frames_dropped: stats.frames_dropped.total(),
            frames_open: stats.frames_open,
            frames_decoded: 0,
            decode_errors: 0,
        }
    }

    const fn packets(&self) -> u64 {
        self.packets_used
            + self.packets_late
            + self.packets_duplicate
            + self.packets_empty
            + self.packets_discarded
            + self.packets_queued
    }
}

impl Inbound {
    /// Whether every packet and every frame of the stream is accounted for: received, once or
    /// again =
    /// played + late + duplicate + discarded + queued, and frames begun = frames out +
    /// frames dropped.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        let received = self.source.packets_received + self.retransmitted_packets_received;
        match &self.track {
            Track::Pending => received == 0,
            Track::Relayed { packets, overflowed } => {
                received == packets + overflowed + self.source.packets_duplicated
            }
            Track::Sound { playout, tone_packets, silent_packets, .. } => {
                playout.is_conserved()
                    && received == playout.received + tone_packets + silent_packets
            }
            Track::Pictures(track) => {
                let frames = track.frames_received + track.frames_dropped + track.frames_open;
                received == track.packets() && track.frames_started == frames
            }
        }
    }
}

/// A stream of ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outbound {
    /// Its synchronisation source.
    pub ssrc: u32,
    /// What its media line shows.
    pub kind: MediaKind,
    /// Index of its media line.
    pub media: usize,
    /// Whether it is relayed.
    pub forwarded: bool,
    /// Packets sent, without those sent again.
    pub packets_sent: u64,
    /// Bytes of payload in them.
    pub bytes_sent: u64,
    /// Packets sent again.
    pub retransmitted_packets_sent: u64,
    /// Bytes of payload in them.
    pub retransmitted_bytes_sent: u64,
    /// How long its packets waited for their turn, all together, in seconds.
    #[serde(default)]
    pub total_packet_send_delay: f64,
    /// Frames that were left out for want of room on the way.
    #[serde(default)]
    pub frames_discarded: u64,
    /// NACK messages about it.
    pub nack_count: u64,
    /// PLI messages about it.
    pub pli_count: u64,
    /// FIR messages about it.
    pub fir_count: u64,
    /// How the peer receives it, by its last report.
    pub remote: Option<RemoteInbound>,
}

/// How the peer receives a stream of ours.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemoteInbound {
    /// Packets lost; negative with duplicates.
    pub packets_lost: i32,
    /// Share of packets lost between its last two reports.
    pub fraction_lost: f64,
    /// Interarrival jitter in seconds.
    pub jitter: f64,
    /// Round-trip time in seconds.
    pub round_trip_time: Option<f64>,
}

impl Stats {
    /// How much was dropped for this reason.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped.get(&reason).copied().unwrap_or(0)
    }

    /// Whether every datagram and every packet is accounted for, at the door and at each
    /// stream. It always is.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        use DropReason as R;
        let count = |reasons: &[DropReason]| -> u64 {
            reasons.iter().map(|reason| self.dropped(*reason)).sum()
        };
        let at_the_door = count(&[R::ForeignAddress, R::NotRtp, R::Closed]);
        let refused = count(&[
            R::MalformedRtp,
            R::UnknownPayloadType,
            R::NotNegotiated,
            R::TooManyStreams,
            R::Probation,
            R::Jump,
            R::OwnSource,
            R::AfterBye,
        ]);
        let taken = |stream: &Inbound| {
            stream.source.packets_received + stream.retransmitted_packets_received
        };
        let taken: u64 = self.inbound.iter().map(taken).sum();
        self.datagrams_received == at_the_door + self.rtp_received + self.rtcp_received
            && self.rtp_received
                == refused + taken + self.probes_received + self.inbound_forgotten_packets
            && self.inbound.iter().all(Inbound::is_conserved)
    }
}

pub(crate) fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
