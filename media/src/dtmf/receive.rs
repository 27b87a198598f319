//! RFC 4733 events received: each digit exactly once, whatever the network did to its
//! reports. A digit is known by its timestamp (section 2.2), so reports that come again,
//! late or out of order change nothing once it was reported; segments of a long one
//! (section 2.5.1.3) are joined; one whose end was lost is reported when the next begins
//! or when nothing more is heard of it.

use core::time::Duration;

use arrayvec::ArrayVec;

use super::{Tone, ToneEvent};
use crate::fault::{self, Fault};
use crate::payload::dtmf::{ParseError, TelephoneEvent};
use crate::rtp;
use crate::time::Instant;

/// An event of which nothing is heard for so long has ended: four reports at the usual 50
/// ms.
pub const SILENCE_MAX: Duration = Duration::from_millis(200);

/// How many digits are remembered after they were reported.
const FINISHED_MAX: usize = 16;

/// Timestamps further back than this many seconds are not reordered ones: the sender began
/// anew.
const REORDERED_SECONDS: u32 = 10;

/// A segment of a long event lasts so many ticks.
const SEGMENT: u32 = 0xffff;

/// Reports to come in one go: the digit before, whose end was lost, and this one.
const PENDING_MAX: usize = 4;

/// Why a packet said nothing about a digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiveError {
    /// Not an event.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// An event that is no digit: a fax or modem tone, or none that RFC 4733 knows.
    #[error("event {0} is none of 0 to 16")]
    NotATone(u8),
    /// Its timestamp belongs to another digit than it names.
    #[error("the digit at timestamp {timestamp} is {known}, not {stated}")]
    Contradiction {
        /// Of the packet.
        timestamp: u32,
        /// What was heard first.
        known: Tone,
        /// What the packet says.
        stated: Tone,
    },
    /// Older than everything remembered; whether it was reported is not known.
    #[error("timestamp {0} is older than all digits remembered")]
    Stale(u32),
}

/// A digit that is still held.
#[derive(Clone, Copy, Debug)]
struct Held {
    tone: Tone,
    start: u32,
    /// Timestamp of its last segment, and that segment's duration so far.
    segment: u32,
    duration: u16,
    heard: Instant,
}

/// A digit that was reported, from the timestamp of its first to that of its last segment.
#[derive(Clone, Copy, Debug)]
struct Finished {
    tone: Tone,
    first: u32,
    last: u32,
}

impl Finished {
    const fn contains(&self, timestamp: u32) -> bool {
        timestamp.wrapping_sub(self.first) <= self.last.wrapping_sub(self.first)
    }
}

/// The events of one stream.
#[derive(Clone, Debug)]
pub struct Receiver {
    clock_rate: u32,
    held: Option<Held>,
    finished: ArrayVec<Finished, FINISHED_MAX>,
    pending: ArrayVec<ToneEvent, PENDING_MAX>,
}

impl Receiver {
    /// Events whose RTP clock runs at `clock_rate` ticks per second.
    #[must_use]
    pub fn new(clock_rate: u32) -> Self {
        Self {
            clock_rate: clock_rate.max(1),
            held: None,
            finished: ArrayVec::new(),
            pending: ArrayVec::new(),
        }
    }

    /// Takes a packet. Afterwards, [`poll`](Self::poll) until there is nothing more.
    ///
    /// # Errors
    /// If it says nothing about a digit.
    pub fn push(&mut self, now: Instant, packet: &rtp::Packet) -> Result<(), ReceiveError> {
        let event = TelephoneEvent::parse(&packet.payload)?;
        let tone = Tone::from_code(event.code).ok_or(ReceiveError::NotATone(event.code))?;
        let tone = match tone {
            Tone::Star if fault::is(Fault::StarTakenForPound) => Tone::Pound,
            tone => tone,
        };
        let timestamp = packet.header.timestamp;
        if let Some(done) = self.finished.iter().find(|done| done.contains(timestamp)) {
            return agree(timestamp, done.tone, tone);
        }
        if let Some(held) = &mut self.held {
            let ahead = timestamp.wrapping_sub(held.start);
            let reached = held.segment.wrapping_sub(held.start);
            if ahead <= reached {
                agree(timestamp, held.tone, tone)?;
                held.heard = now;
                // A report of an earlier segment says nothing new.
                if ahead == reached {
                    held.duration = held.duration.max(event.duration);
                    if event.end {
                        self.finish(false);
                    }
                }
                return Ok(());
            }
            let step = timestamp.wrapping_sub(held.segment);
            let joins = step == SEGMENT || step == u32::from(held.duration) && event.duration > 0;
            if held.tone == tone && joins && !packet.header.marker {
                held.segment = timestamp;
                held.duration = event.duration;
                held.heard = now;
                if event.end {
                    self.finish(false);
                }
                return Ok(());
            }
        }
        self.begin(now, timestamp, tone, event)
    }

    /// The first report of a digit.
    fn begin(
        &mut self,
        now: Instant,
        timestamp: u32,
        tone: Tone,
        event: TelephoneEvent,
    ) -> Result<(), ReceiveError> {
        let newest = self.held.map(|held| held.start).or(self.finished.last().map(|f| f.last));
        let behind = newest.map_or(0, |newest| newest.wrapping_sub(timestamp));
        let started = Held {
            tone,
            start: timestamp,
            segment: timestamp,
            duration: event.duration,
            heard: now,
        };
        if behind == 0 || behind > REORDERED_SECONDS.saturating_mul(self.clock_rate) {
            self.finish(true);
            self.held = Some(started);
            if event.end {
                self.finish(false);
            }
            return Ok(());
        }
        // The digit after this one was heard before it. Nothing more will be: report it,
        // unless it is so old that it may have been reported and forgotten.
        if self.finished.is_full() && self.finished.iter().all(|done| is_after(done, timestamp)) {
            return Err(ReceiveError::Stale(timestamp));
        }
        self.report(started, !event.end);
        let place = self.finished.iter().position(|done| is_after(done, timestamp));
        self.remember(place.unwrap_or(self.finished.len()), started);
        Ok(())
    }

    /// What is held has ended, or must have.
    fn finish(&mut self, end_lost: bool) {
        if let Some(held) = self.held.take() {
            if end_lost && fault::is(Fault::LostEndNeverReported) {
                return;
            }
            self.report(held, end_lost || fault::is(Fault::EndAlwaysLost));
            if fault::is(Fault::DigitAgainAtEachEnd) {
                return;
            }
            self.remember(self.finished.len(), held);
        }
    }

    fn report(&mut self, held: Held, end_lost: bool) {
        let ticks = held.segment.wrapping_sub(held.start) + u32::from(held.duration);
        let rate =
            if fault::is(Fault::TicksTakenForMilliseconds) { 1_000 } else { self.clock_rate };
        let nanos = u64::from(ticks) * 1_000_000_000 / u64::from(rate);
        let event = ToneEvent {
            tone: held.tone,
            timestamp: held.start,
            duration: Duration::from_nanos(nanos),
            end_lost,
            in_band: false,
        };
        // One packet makes two reports at most, and the owner polls after each.
        if self.pending.is_full() {
            self.pending.remove(0);
        }
        self.pending.push(event);
    }

    fn remember(&mut self, mut place: usize, held: Held) {
        if self.finished.is_full() {
            self.finished.remove(0);
            place = place.saturating_sub(1);
        }
        let done = Finished { tone: held.tone, first: held.start, last: held.segment };
        self.finished.insert(place, done);
    }

    /// A digit that was heard, in the order of their ends.
    pub fn poll(&mut self) -> Option<ToneEvent> {
        if self.pending.is_empty() { None } else { Some(self.pending.remove(0)) }
    }

    /// When the digit that is held must be taken to have ended.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.held.map(|held| held.heard + SILENCE_MAX)
    }

    /// Says what time it is.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|due| due <= now) {
            self.finish(true);
        }
    }
}

const fn is_after(done: &Finished, timestamp: u32) -> bool {
    done.first.wrapping_sub(timestamp).cast_signed() > 0
}

fn agree(timestamp: u32, known: Tone, stated: Tone) -> Result<(), ReceiveError> {
    if known == stated {
        return Ok(());
    }
    Err(ReceiveError::Contradiction { timestamp, known, stated })
}
