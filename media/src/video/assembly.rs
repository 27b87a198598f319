//! Access units out of packets, for one stream (RFC 6184 section 7): waits for reordered
//! packets within a window, and never hands out a unit of which a byte may be missing. A
//! unit ends at the marker bit or where the timestamp changes; senders that set the marker
//! within units are noticed and read by timestamp alone. The one thing taken on trust is
//! that a stream whose first packet holds a sequence parameter set begins there.

use core::time::Duration;

use super::builder::{Builder, Piece};
use super::reorder::{Pending, Place, Window};
use super::{DropCause, Frame};
use crate::fault::{self, Fault};
use crate::payload::h264::{DepacketizeError, PacketizationMode};
use crate::rtp;
use crate::time::{Instant, earlier};

/// How long packets wait for earlier ones while nothing proves that there are none.
const BEGINNING_WAIT: Duration = Duration::from_millis(100);

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
    /// What was agreed on with the sender.
    pub mode: PacketizationMode,
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
            mode: PacketizationMode::NonInterleaved,
            reorder_wait: Duration::from_millis(100),
            window_packets_max: 1_024,
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
        /// What was wrong with a packet of it, when it is [`DropCause::Malformed`].
        fault: Option<DepacketizeError>,
    },
}

/// A number per [`DropCause`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([u64; DropCause::ALL.len()]);

impl Counts {
    /// The number for one cause.
    #[must_use]
    pub const fn get(&self, cause: DropCause) -> u64 {
        self.0[cause.index()]
    }

    /// All of them together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Each cause with its number.
    pub fn iter(&self) -> impl Iterator<Item = (DropCause, u64)> + '_ {
        DropCause::ALL.into_iter().zip(self.0)
    }

    pub(crate) fn add(&mut self, cause: DropCause, count: u64) {
        self.0[cause.index()] += count;
    }
}

/// Where every packet and every unit went. At any time, received packets = used + late +
/// duplicate + empty + discarded + queued, and started frames = emitted + dropped + open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Packets pushed.
    pub packets_received: u64,
    /// Packets that are part of a frame that was handed out.
    pub packets_used: u64,
    /// Packets whose turn had passed.
    pub packets_late: u64,
    /// Packets that had come before.
    pub packets_duplicate: u64,
    /// Packets without payload: padding, sent to probe the path.
    pub packets_empty: u64,
    /// Packets of units that were dropped, by the cause of that.
    pub packets_discarded: Counts,
    /// Packets that wait, or are part of the unit that is being built.
    pub packets_queued: u64,
    /// Packets that were waited for in vain. They are not among the received ones, unless
    /// they came later, as late ones.
    pub packets_missing: u64,
    /// Units of which a packet has had its turn.
    pub frames_started: u64,
    /// Units handed out.
    pub frames_emitted: u64,
    /// Those of them that are key frames.
    pub key_frames: u64,
    /// Units that will not be handed out, by cause.
    pub frames_dropped: Counts,
    /// The unit that is being built: 0 or 1.
    pub frames_open: u64,
}

/// One stream's packets on their way to access units.
#[derive(Debug)]
pub struct Assembler {
    config: Config,
    window: Window,
    has_begun: bool,
    builder: Builder,
}

impl Assembler {
    /// An assembler for the stream `ssrc`, before its first packet.
    #[must_use]
    pub fn new(ssrc: u32, mut config: Config) -> Self {
        config.window_packets_max = config.window_packets_max.max(1);
        Self {
            window: Window::new(),
            has_begun: false,
            builder: Builder::new(ssrc, config.clone()),
            config,
        }
    }

    /// Parameter sets that came by another way than the stream, as with SDP's
    /// `sprop-parameter-sets`: one NAL unit, without start code.
    pub fn provide_parameter_set(&mut self, unit: &[u8]) {
        self.builder.gate.provide(unit);
    }

    /// Takes one packet of this stream under its extended sequence number. What has been
    /// waited for long enough is given up first.
    pub fn push(&mut self, now: Instant, sequence: u64, packet: &rtp::Packet) -> Push {
        self.handle_timeout(now);
        self.builder.stats.packets_received += 1;
        if !self.has_begun {
            return self.push_first(now, sequence, packet);
        }
        match self.window.place(sequence) {
            Place::Duplicate => {
                self.builder.stats.packets_duplicate += 1;
                Push::Duplicate
            }
            Place::Late => {
                self.builder.stats.packets_late += 1;
                Push::Late
            }
            Place::Ahead(0) => {
                self.take_turn(now, sequence, packet);
                Push::Taken
            }
            Place::Ahead(_) => {
                self.push_ahead(now, sequence, packet);
                Push::Taken
            }
        }
    }

    /// Gives up on what has been waited for long enough. Call it at [`Self::poll_timeout`].
    #[inline]
    pub fn handle_timeout(&mut self, now: Instant) {
        while self.reorder_deadline().is_some_and(|deadline| deadline <= now) {
            self.give_up(DropCause::MissingPacket);
        }
        if self.builder.deadline().is_some_and(|deadline| deadline <= now) {
            self.builder.time_out();
        }
    }

    /// The stream is over: everything pending has its turn, and a unit without end is given
    /// up. Packets that come after all are taken as if something were missing before them.
    pub fn finish(&mut self) {
        while self.window.waiting() > 0 {
            self.give_up(DropCause::MissingPacket);
        }
        self.builder.finish();
    }

    /// The next unit, or why one is not coming. Drain to `None` after every input.
    pub fn poll(&mut self) -> Option<Assembled> {
        self.builder.poll()
    }

    /// When [`Self::handle_timeout`] should be called next; `None` while nothing is pending.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        earlier(self.reorder_deadline(), self.builder.deadline())
    }

    /// Whether a key frame should be asked for now. Answers yes at most once per
    /// [`Config::key_frame_request_interval`], and not before something was dropped or
    /// [`Self::want_key_frame`] was called: ask after every input.
    pub fn wants_key_frame(&mut self, now: Instant) -> bool {
        self.builder.gate.wants_key_frame(now, self.config.key_frame_request_interval)
    }

    /// A frame that was handed out could not be decoded: only a key frame helps.
    pub const fn want_key_frame(&mut self) {
        self.builder.gate.want_key_frame();
    }

    /// Extended sequence numbers that have not come while later ones have, lowest first;
    /// never more than [`Config::window_packets_max`].
    pub fn missing(&self) -> impl Iterator<Item = u64> + '_ {
        let next = self.window.next();
        let numbered = (next..).zip(self.window.queue());
        numbered
            .filter(|(_, entry)| entry.is_none() || fault::is(Fault::ReceivedAskedFor))
            .map(|(sequence, _)| sequence)
    }

    /// Where every packet and every unit went.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (packets_open, frames_open) = self.builder.open();
        let packets_queued = self.window.waiting() as u64 + packets_open;
        Stats { packets_queued, frames_open, ..self.builder.stats }
    }

    #[inline]
    fn reorder_deadline(&self) -> Option<Instant> {
        let wait = self.config.reorder_wait;
        let wait = if self.has_begun { wait } else { wait.min(self.beginning_wait()) };
        self.window.since().map(|since| since + wait)
    }

    /// What lies before the first packet may still be late, but nobody can ask for it.
    fn beginning_wait(&self) -> Duration {
        let first = self.window.queue().front().and_then(Option::as_ref);
        match first.is_some_and(|first| self.builder.may_begin_stream(&first.payload)) {
            true => Duration::MAX,
            false => BEGINNING_WAIT,
        }
    }

    /// Before the stream has begun nobody knows which packet is its first, so packets wait
    /// until a whole unit with a proper beginning has come.
    fn push_first(&mut self, now: Instant, sequence: u64, packet: &rtp::Packet) -> Push {
        if self.window.waiting() == 0 {
            self.window.set_first(sequence);
        }
        let window_max = self.config.window_packets_max as u64;
        if sequence < self.window.next() {
            let end = self.window.next() + self.window.queue().len() as u64;
            if end - sequence > window_max {
                self.builder.stats.packets_late += 1;
                return Push::Late;
            }
            self.window.begin_earlier(sequence);
        }
        match self.window.place(sequence) {
            Place::Ahead(ahead) if ahead < window_max => {
                self.window.wait(ahead as usize, pending(now, packet));
                if self.has_whole_first_unit() {
                    self.has_begun = true;
                    self.drain();
                }
                Push::Taken
            }
            Place::Ahead(_) => {
                self.has_begun = true;
                self.drain();
                self.push_ahead(now, sequence, packet);
                Push::Taken
            }
            Place::Duplicate | Place::Late => {
                self.builder.stats.packets_duplicate += 1;
                Push::Duplicate
            }
        }
    }

    fn has_whole_first_unit(&self) -> bool {
        let mut run = self.window.queue().iter().map_while(Option::as_ref);
        let Some(first) = run.next() else { return false };
        let ends = |packet: &Pending| packet.marker || packet.timestamp != first.timestamp;
        self.builder.may_begin_stream(&first.payload) && (first.marker || run.any(ends))
    }

    #[inline]
    fn take_turn(&mut self, now: Instant, sequence: u64, packet: &rtp::Packet) {
        self.window.pass();
        self.builder.push(Piece {
            sequence,
            timestamp: packet.header.timestamp,
            marker: packet.header.marker,
            payload: &packet.payload,
            arrived: now,
        });
        if self.window.waiting() > 0 {
            self.drain();
        }
    }

    fn push_ahead(&mut self, now: Instant, sequence: u64, packet: &rtp::Packet) {
        let window_max = self.config.window_packets_max as u64;
        while sequence - self.window.next() >= window_max && self.window.waiting() > 0 {
            self.give_up(DropCause::Overflow);
        }
        let ahead = sequence - self.window.next();
        if ahead >= window_max {
            let missing = self.window.jump(sequence);
            self.builder.gap(missing, DropCause::MissingPacket);
        } else if ahead > 0 {
            self.window.wait(ahead as usize, pending(now, packet));
            return;
        }
        self.take_turn(now, sequence, packet);
    }

    /// Gives up on the packets in front of the first that waits; it has its turn, and those
    /// behind it.
    fn give_up(&mut self, cause: DropCause) {
        self.has_begun = true;
        let missing = self.window.give_up();
        if missing > 0 {
            self.builder.gap(missing, cause);
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some((sequence, pending)) = self.window.take() {
            self.builder.push(Piece {
                sequence,
                timestamp: pending.timestamp,
                marker: pending.marker,
                payload: &pending.payload,
                arrived: pending.arrived,
            });
        }
        self.window.settle();
    }
}

fn pending(now: Instant, packet: &rtp::Packet) -> Pending {
    Pending {
        timestamp: packet.header.timestamp,
        marker: packet.header.marker,
        payload: packet.payload.clone(),
        arrived: now,
    }
}
