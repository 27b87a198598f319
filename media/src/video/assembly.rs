//! Access units out of packets, for one stream (RFC 6184 section 7): waits for reordered
//! packets within a window, and never hands out a unit of which a byte may be missing.

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;

use super::{DropCause, Frame};
use crate::time::Instant;

/// When a stream that lost something may be handed out again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gate {
    /// At once: every whole unit is handed out, decodable or not.
    Open,
    /// At the next IDR picture.
    #[default]
    KeyFrame,
    /// At the next IDR picture, or the next recovery point that needs no earlier picture.
    RecoveryPoint,
}

/// How patient and how generous an [`Assembler`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long a missing packet is waited for, counted from the arrival of the first
    /// packet behind it. With retransmission it should exceed the round-trip time.
    pub reorder_wait: Duration,
    /// How many sequence numbers may be pending behind a missing packet.
    pub window_packets_max: usize,
    /// How long a unit whose packets come in order may take to become whole.
    pub frame_wait: Duration,
    /// The greatest size of a unit, in bytes of Annex B.
    pub frame_bytes_max: usize,
    /// When a stream that lost something may be handed out again.
    pub gate: Gate,
    /// Least time between two requests for a key frame.
    pub key_frame_request_interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            reorder_wait: Duration::from_millis(100),
            window_packets_max: 1024,
            frame_wait: Duration::from_secs(2),
            frame_bytes_max: 4 << 20,
            gate: Gate::KeyFrame,
            key_frame_request_interval: Duration::from_millis(500),
        }
    }
}

/// What became of a packet at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Push {
    /// It was taken: into a unit, or into the window in front of it.
    Taken,
    /// Its turn had passed.
    Late,
    /// It had come before.
    Duplicate,
}

/// What an [`Assembler`] has to say, in decoding order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assembled {
    /// A whole access unit.
    Frame(Frame),
    /// A unit that began and will not be handed out.
    Dropped {
        /// Its RTP timestamp.
        timestamp: u32,
        /// Extended sequence number of the first packet of it that came.
        first_sequence: u64,
        /// Why.
        cause: DropCause,
    },
}

/// One stream's packets on their way to access units.
#[derive(Debug)]
pub struct Assembler {
    ssrc: u32,
    config: Config,
    ready: VecDeque<Assembled>,
}

impl Assembler {
    /// An assembler for the stream `ssrc`, before its first packet.
    #[must_use]
    pub fn new(ssrc: u32, config: Config) -> Self {
        Self { ssrc, config, ready: VecDeque::new() }
    }

    /// Takes one packet: its extended sequence number, RTP timestamp, marker and payload.
    pub fn push(
        &mut self,
        _now: Instant,
        _sequence: u64,
        _timestamp: u32,
        _marker: bool,
        _payload: &Bytes,
    ) -> Push {
        let _ = (self.ssrc, &self.config);
        Push::Taken
    }

    /// Gives up on what has been waited for long enough. Call it at [`Self::poll_timeout`].
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// The stream is over: gives up on everything pending.
    pub fn finish(&mut self) {}

    /// The next unit, or why one is not coming. Drain to `None` after every input.
    pub fn poll(&mut self) -> Option<Assembled> {
        self.ready.pop_front()
    }

    /// When [`Self::handle_timeout`] should be called next; `None` while nothing is pending.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Whether a key frame should be asked for now. Answers yes at most once per
    /// [`Config::key_frame_request_interval`], and not before something was dropped.
    pub fn wants_key_frame(&mut self, _now: Instant) -> bool {
        false
    }

    /// Extended sequence numbers that have not come while later ones have, lowest first;
    /// never more than [`Config::window_packets_max`].
    pub fn missing(&self) -> impl Iterator<Item = u64> + '_ {
        core::iter::empty()
    }
}
