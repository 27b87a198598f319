//! The policy of the jitter buffer: what to play when. Its one variable is the *delay* of
//! the sample to be played next: how much later it is played than it could have been, had
//! its packet been as fast as the fastest. It is kept within a band above the lateness that
//! [`Estimator`] finds (`adapt` says how), by leaving out or repeating pitch periods, and
//! inside pauses by shortening or lengthening them. Within the band nothing is touched: what
//! arrives as it was sent is played bit for bit as the codec decodes it.
//!
//! When nothing is there to play, the stream's timeline stands still while concealment is
//! played, and is owed that time: if the packet comes after all it is played, later than
//! planned; if a later one comes instead, the loss in between is taken to be covered.

use core::time::Duration;
use std::collections::VecDeque;

use super::estimate::Estimator;
use super::queue::{Queue, Runs, Seen, Waiting};
use super::shape::Shape;
use super::sound::{CONCEALED_STEP, Sound};
use super::timeline::{TICKS_PER_SECOND, Timeline, nanos, ticks};
use super::{Cause, Config, ConfigError, GivenUp, Push, Stats};
use crate::audio::resample::Resampler;
use crate::audio::{Audio, FRAME, Kind};
use crate::description::Codec;
use crate::fault::{self, Fault};
use crate::rtp;
use crate::time::Instant;

/// The most packets that wait; further ones are discarded as [`Cause::Overflow`].
pub const PACKETS_MAX: usize = 256;

/// Before the first packet is played, this many before it may still come.
const BEFORE_FIRST: u64 = 64;

/// Ticks of one frame.
pub(super) const FRAME_TICKS: i64 = 960;

/// Where the stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No packet yet, or none for long.
    Idle,
    /// Packets wait; playing begins then.
    Starting(Instant),
    /// The next frame is due then.
    Playing(Instant),
}

/// The jitter buffer of one stream.
#[derive(Debug)]
pub struct Playout {
    pub(super) config: Config,
    ssrc: u32,
    phase: Phase,
    pub(super) estimator: Estimator,
    timeline: Timeline,
    runs: Runs,
    pub(super) queue: Queue,
    seen: Seen,
    pub(super) sound: Sound,
    pub(super) resampler: Option<Resampler>,
    pub(super) scratch: Vec<i16>,
    pub(super) stats: Stats,
    given_up: VecDeque<GivenUp>,
    last_arrival: Instant,
    /// Media time of what is to be decoded next.
    pub(super) next: i64,
    /// Ticks that were made up while the timeline stood still at `next`.
    pub(super) owed: i64,
    /// Ticks that were made up in one piece.
    made_up: i64,
    /// How long the last packet was, in ticks.
    pub(super) packet_ticks: i64,
    /// Whether the last packet said that its sender pauses.
    pause: bool,
    /// The packet that was used for its error correction and waits to be played.
    recovered: Option<u64>,
    /// Whether what was played last was concealed.
    pub(super) concealing: bool,
    pub(super) rest: u32,
}

impl Playout {
    /// A buffer for the stream of one source.
    ///
    /// # Errors
    /// What [`Config::validate`] says.
    pub fn new(config: &Config, ssrc: u32) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            config: config.clone(),
            ssrc,
            phase: Phase::Idle,
            estimator: Estimator::new(config.quantile),
            timeline: Timeline::default(),
            runs: Runs::default(),
            queue: Queue::default(),
            seen: Seen::default(),
            sound: Sound::new(config.rate, config.decode),
            resampler: None,
            scratch: Vec::new(),
            stats: Stats::default(),
            given_up: VecDeque::new(),
            last_arrival: Instant::ZERO,
            next: 0,
            owed: 0,
            made_up: 0,
            packet_ticks: FRAME_TICKS,
            pause: false,
            recovered: None,
            concealing: false,
            rest: 0,
        })
    }

    /// Whose stream it is.
    #[must_use]
    pub const fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Takes a packet and its extended sequence number; only its timestamp and its
    /// payload (shared, not copied) are looked at.
    pub fn push(
        &mut self,
        now: Instant,
        sequence: u64,
        packet: &rtp::Packet,
        codec: Codec,
    ) -> Push {
        self.push_at(now, sequence, packet, (codec, None))
    }

    /// As [`push`](Self::push), of a packet of which it is known how loud it is, in −dBov: see
    /// [`set_drowned`](Self::set_drowned).
    pub fn push_at(
        &mut self,
        now: Instant,
        sequence: u64,
        packet: &rtp::Packet,
        (codec, level): (Codec, Option<u8>),
    ) -> Push {
        self.stats.received += 1;
        let mut push = self.admit(now, sequence, packet, (codec, level));
        let played = match push {
            Push::Late => fault::is(Fault::LatePacketPlayed) || fault::is(Fault::OvertakenPlayed),
            Push::Duplicate => fault::is(Fault::DuplicatePlayed),
            _ => false,
        };
        if played && self.play_at_once(now, packet, codec) && fault::is(Fault::OvertakenPlayed) {
            self.stats.played += 1;
            push = Push::Queued;
        }
        match push {
            Push::Queued => {}
            Push::Duplicate => self.stats.duplicate += 1,
            Push::Late => {
                self.stats.late += u64::from(!fault::is(Fault::PacketForgotten));
                self.stats.packets_discarded += 1;
            }
            Push::Discarded(cause) => self.discard(cause),
        }
        push
    }

    fn admit(
        &mut self,
        now: Instant,
        sequence: u64,
        packet: &rtp::Packet,
        (codec, level): (Codec, Option<u8>),
    ) -> Push {
        let number = sequence;
        let (sequence, never_sent) = self.runs.place(number);
        if self.phase == Phase::Idle && self.seen.is_empty() {
            self.queue.advance(sequence.saturating_sub(BEFORE_FIRST));
        }
        if sequence >= self.queue.next() && !self.queue.reaches(sequence) {
            if self.queue.len() > 0 {
                return Push::Discarded(Cause::Overflow);
            }
            self.queue.advance(sequence - (PACKETS_MAX as u64 - 1));
        }
        if self.queue.contains(sequence) || self.seen.insert(sequence) {
            return Push::Duplicate;
        }
        for between in never_sent {
            self.queue.skip(between);
        }
        let shape = match Shape::parse(&packet.payload, codec) {
            Ok(shape) => shape,
            Err(cause) => {
                if cause == Cause::NotAudio {
                    self.queue.skip(sequence);
                }
                return Push::Discarded(cause);
            }
        };
        let timestamp = packet.header.timestamp;
        if sequence < self.queue.next() {
            self.learn(now, timestamp, codec);
            return Push::Late;
        }
        let place =
            self.timeline.place(now, timestamp, codec.clock_rate(), self.estimator.reference());
        self.stats.discontinuities += u64::from(place.jumped);
        self.estimator.push(now, place.transit);
        self.last_arrival = now;
        if matches!(self.phase, Phase::Playing(_)) && place.media + shape.ticks <= self.next {
            return Push::Late;
        }
        if self.phase == Phase::Idle {
            self.phase = Phase::Starting(now + self.config.delay_initial);
            if fault::is(Fault::PlayoutAddsDelay) {
                self.phase = Phase::Starting(now + Duration::from_secs(1));
            }
        }
        self.stats.fec_packets_received += u64::from(shape.reach > 0);
        self.queue.push(Waiting {
            sequence,
            number,
            media: place.media,
            ticks: shape.ticks,
            reach: shape.reach,
            pause: shape.pause,
            level,
            timestamp,
            arrived: now,
            codec,
            payload: packet.payload.clone(),
        });
        Push::Queued
    }

    /// Decodes a packet as it comes, whatever waits: only faults do that.
    fn play_at_once(&mut self, now: Instant, packet: &rtp::Packet, codec: Codec) -> bool {
        let Ok(shape) = Shape::parse(&packet.payload, codec) else { return false };
        let waiting = Waiting {
            sequence: 0,
            number: 0,
            media: 0,
            ticks: shape.ticks,
            reach: 0,
            pause: false,
            level: None,
            timestamp: packet.header.timestamp,
            arrived: now,
            codec,
            payload: packet.payload.clone(),
        };
        self.sound.codec() == Some(codec) && self.sound.decode(&waiting, 0)
    }

    /// What comes too late still says how late packets are.
    fn learn(&mut self, now: Instant, timestamp: u32, codec: Codec) {
        if let Some(reference) = self.estimator.reference()
            && let Some(transit) =
                self.timeline.transit_of(now, timestamp, codec.clock_rate(), reference)
        {
            self.estimator.push(now, transit);
        }
    }

    fn discard(&mut self, cause: Cause) {
        self.stats.discarded.count(cause);
        self.stats.packets_discarded += 1;
    }

    /// From now on what is known to be quieter than this, in −dBov, keeps its time but is not
    /// decoded where decoding costs much (Opus); with `None` everything is.
    pub const fn set_drowned(&mut self, level: Option<u8>) {
        self.sound.set_drowned(level);
    }

    /// Says that a packet with this sequence number came that is not for the ear (an
    /// RFC 4733 event), so that its place in the sequence is not taken for a loss.
    pub fn skip(&mut self, now: Instant, sequence: u64) {
        let (sequence, _) = self.runs.place(sequence);
        let known = !self.seen.is_empty() && sequence >= self.queue.next();
        if known && self.queue.reaches(sequence) && !self.seen.insert(sequence) {
            self.queue.skip(sequence);
            self.last_arrival = now;
        }
    }

    /// Plays the next 20 ms into `audio`. False, and silence, if nothing plays yet or any
    /// more; then nothing is counted.
    pub fn pull(&mut self, now: Instant, audio: &mut Audio) -> bool {
        audio.ssrc = self.ssrc;
        if !self.begin(now) {
            audio.silence(self.config.rate, self.sound.layout().channels);
            return false;
        }
        self.drop_excess();
        while self.sound.length() < self.sound.frame() {
            self.fill(now);
        }
        self.adapt(now);
        self.emit(now, audio);
        true
    }

    /// Whether there is anything to play from.
    fn begin(&mut self, now: Instant) -> bool {
        match self.phase {
            Phase::Idle => return false,
            Phase::Starting(start) if now + self.early() < start => return false,
            Phase::Starting(_) => {
                let Some(front) = self.queue.front() else { return false };
                self.next = front.media;
                let (sequence, codec) = (front.sequence, front.codec);
                self.queue.advance(sequence);
                self.sound.open(codec);
                (self.owed, self.made_up, self.pause) = (0, 0, false);
            }
            Phase::Playing(due) => {
                let idle = self.queue.len() == 0 && now.since(self.last_arrival) > self.config.idle;
                if idle {
                    self.stop();
                    return false;
                }
                // On our own tick if the owner keeps to it, else on the owner's.
                let on_time = now.since(due) < FRAME && due.since(now) < FRAME;
                self.phase = Phase::Playing(if on_time { due } else { now } + FRAME);
                return true;
            }
        }
        self.phase = Phase::Playing(now + FRAME);
        true
    }

    /// How much before its time playing may begin: an owner with ticks of its own is on
    /// average as early as late, and never begins with a frame too much delay.
    fn early(&self) -> Duration {
        FRAME.min(self.config.delay_initial - self.config.delay_min)
    }

    fn stop(&mut self) {
        self.phase = Phase::Idle;
        self.sound.close();
        self.estimator.forget_reference();
        self.concealing = false;
    }

    /// Gives up what would be played later than is allowed.
    fn drop_excess(&mut self) {
        let max = ticks(self.config.delay_max.as_nanos() as i64);
        while self.queue.span() > max
            && let Some(packet) = self.queue.pop()
        {
            self.next = packet.end();
            self.owed = 0;
            self.give_up(&packet, Cause::Excess);
        }
    }

    /// A packet that waited is not played.
    fn give_up(&mut self, packet: &Waiting, cause: Cause) {
        self.discard(cause);
        self.drop_error_correction(packet);
        if self.given_up.len() == PACKETS_MAX {
            self.given_up.pop_front();
        }
        let (sequence, timestamp, arrived) = (packet.number, packet.timestamp, packet.arrived);
        self.given_up.push_back(GivenUp { sequence, timestamp, arrived, cause });
    }

    /// A packet that was queued and then not played after all. Ask after every pull and
    /// reset: at most [`PACKETS_MAX`] are remembered, as many as one of those can give up.
    pub fn poll_given_up(&mut self) -> Option<GivenUp> {
        self.given_up.pop_front()
    }

    /// Notes that a packet went, if its error correction was not needed.
    fn drop_error_correction(&mut self, packet: &Waiting) {
        let unused = packet.reach > 0 && self.recovered != Some(packet.sequence);
        self.stats.fec_packets_discarded += u64::from(unused);
    }

    /// Adds something to what waits to be played.
    fn fill(&mut self, now: Instant) {
        let Some(front) = self.queue.front() else {
            return self.bridge();
        };
        if self.sound.codec() != Some(front.codec) {
            if self.sound.length() > 0 {
                // The rest of this frame still has the layout of the codec before.
                self.conceal(FRAME_TICKS - self.sound.ticks(self.sound.length()));
                return;
            }
            let codec = front.codec;
            return self.sound.open(codec);
        }
        let (gap, reach) = (front.media - self.next, front.reach);
        if front.end() <= self.next {
            if let Some(packet) = self.queue.pop() {
                self.give_up(&packet, Cause::Timestamp);
            }
            return;
        }
        if fault::is(Fault::ConcealedThoughPresent) && front.sequence.is_multiple_of(50) {
            let step = self.conceal(FRAME_TICKS);
            self.next += step;
            return;
        }
        // What is shorter than the smallest step of concealment is not worth one.
        if gap - self.owed < CONCEALED_STEP {
            return self.play();
        }
        self.next += self.owed;
        let missing = gap - self.owed;
        self.owed = 0;
        if self.queue.is_unbroken() {
            self.linger(now, missing);
        } else if self.config.fec && reach > 0 && missing / CONCEALED_STEP * CONCEALED_STEP == reach
        {
            self.recover(reach);
        } else {
            let reserved = if self.config.fec && missing > reach { reach } else { 0 };
            let step = (missing - reserved).min(self.packet_ticks).min(FRAME_TICKS);
            let step = self.conceal(step);
            self.next += step;
        }
    }

    /// Decodes the first packet, whose turn it is.
    pub(super) fn play(&mut self) {
        let Some(packet) = self.queue.pop() else { return };
        let skipped = (self.next - packet.media).max(0);
        self.owed = 0;
        self.next = packet.end();
        self.pause = packet.pause;
        if self.sound.decode(&packet, skipped) {
            self.drop_error_correction(&packet);
            self.stats.played += 1;
            self.packet_ticks = packet.ticks;
            self.made_up = 0;
        } else {
            self.give_up(&packet, Cause::Undecodable);
            self.conceal(packet.ticks - skipped);
        }
    }

    /// Decodes what is missing before the first packet from that packet.
    fn recover(&mut self, ticks: i64) {
        if let Some(front) = self.queue.front() {
            self.sound.recover(front, ticks);
            self.next = front.media;
            self.recovered = Some(front.sequence);
            self.made_up = 0;
        }
    }

    /// Nothing is there: makes something up while the timeline stands still.
    fn bridge(&mut self) {
        let step = self.packet_ticks.min(FRAME_TICKS);
        if self.pause || self.queue.is_next_skipped() {
            self.sound.make_up(step, Kind::Comfort);
            self.owed += step;
        } else {
            self.owed += self.conceal(step);
        }
    }

    /// Makes up about so many ticks; returns how many.
    fn conceal(&mut self, ticks: i64) -> i64 {
        let step = (ticks / CONCEALED_STEP).max(1) * CONCEALED_STEP;
        let faded = nanos(self.made_up) >= self.config.concealment_max.as_nanos() as i64;
        self.sound.make_up(step, if faded { Kind::Silence } else { Kind::Concealed });
        self.made_up += step;
        step
    }

    /// Samples per channel, at the rate played, of so many ticks.
    pub(super) fn played_samples(&self, ticks: i64) -> u64 {
        (ticks * i64::from(self.config.rate) / TICKS_PER_SECOND).unsigned_abs()
    }

    /// When to pull next, if the stream plays. An owner with a tick of its own (a
    /// conference) may ignore this and pull every 20 ms.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Idle => None,
            Phase::Starting(at) | Phase::Playing(at) => Some(at),
        }
    }

    /// Forgets the stream but not the counters: the sender started anew. What waits is
    /// discarded.
    pub fn reset(&mut self) {
        while let Some(packet) = self.queue.pop() {
            self.give_up(&packet, Cause::Reset);
        }
        self.queue.restart(0);
        self.runs = Runs::default();
        self.seen = Seen::default();
        self.timeline = Timeline::default();
        self.resampler = None;
        self.stop();
    }

    /// The delay aimed at.
    #[must_use]
    pub fn target_delay(&self) -> Duration {
        Duration::from_nanos(self.target().unsigned_abs())
    }

    /// The counters.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        Stats { queued: self.queue.len() as u64, ..self.stats }
    }
}
