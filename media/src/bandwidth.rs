//! How much a path carries, as whoever sends into it can tell from transport-wide feedback:
//! queues that grow say that it is too much (`delay`), so does loss (`loss`); the lesser of
//! the two counts. After draft-ietf-rmcat-gcc-02, with the trend of delays in place of its
//! Kalman filter, as browsers have it. Deviation: a queue that stands is too much as well.
//! Sessions do not ask for it yet: their packets are not numbered on the way out.

mod delay;
mod loss;

use core::time::Duration;
use std::collections::VecDeque;

use crate::rtcp::TransportFeedback;
use crate::time::Instant;

use delay::DelayBased;
use loss::LossBased;

/// So many packets may be on their way, or lost and not told of.
const SENT_MAX: usize = 4_096;

/// Over so long the throughput is measured.
const THROUGHPUT_WINDOW: Duration = Duration::from_millis(500);

/// Nanoseconds of a tick of deltas, and of the reference time.
const TICK: i64 = 250_000;
const REFERENCE: i64 = 64_000_000;

/// Between what the estimate may be, in bits per second, and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// At the beginning.
    pub start: u64,
    /// The least.
    pub min: u64,
    /// The most.
    pub max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { start: 300_000, min: 10_000, max: 50_000_000 }
    }
}

/// A packet that was sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    number: u16,
    at: Instant,
    bytes: u32,
}

/// A packet that arrived: when it was sent, and when it came on the peer's clock, in
/// nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    sent: Instant,
    arrived: i64,
    bytes: u32,
}

/// Estimates one path.
#[derive(Debug)]
pub struct Estimator {
    config: Config,
    sent: VecDeque<Sent>,
    /// Time of the last feedback's reference on a clock that does not wrap, in its units.
    reference: Option<i64>,
    /// Told of, by the peer's clock.
    acknowledged: VecDeque<(i64, u32)>,
    delay: DelayBased,
    loss: LossBased,
    round_trip: Duration,
}

impl Estimator {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            sent: VecDeque::new(),
            reference: None,
            acknowledged: VecDeque::new(),
            delay: DelayBased::new(config.start),
            loss: LossBased::new(config.start),
            round_trip: Duration::from_millis(200),
        }
    }

    /// A packet of so many bytes leaves under this number.
    pub fn sent(&mut self, now: Instant, number: u16, bytes: usize) {
        if self.sent.len() >= SENT_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent { number, at: now, bytes: bytes as u32 });
    }

    /// What the peer says of packets.
    pub fn feedback(&mut self, now: Instant, feedback: &TransportFeedback) {
        let reference = self.unwrap_reference(feedback.reference_time);
        let mut clock = reference * REFERENCE;
        let mut arrivals = feedback.arrived.iter().peekable();
        let (mut lost, mut told) = (0_u32, 0_u32);
        let mut known = Vec::with_capacity(feedback.arrived.len());
        for index in 0..feedback.packet_count {
            let arrived = arrivals.next_if(|arrived| arrived.index == index);
            clock += arrived.map_or(0, |arrived| i64::from(arrived.delta) * TICK);
            let Some(sent) = self.take(feedback.base_sequence.wrapping_add(index)) else {
                continue;
            };
            told += 1;
            match arrived {
                Some(_) => known.push(Arrival { sent: sent.at, arrived: clock, bytes: sent.bytes }),
                None => lost += 1,
            }
        }
        if told == 0 {
            return;
        }
        if let Some(newest) = known.iter().map(|arrival| arrival.sent).max() {
            self.round_trip = (self.round_trip * 7 + now.since(newest)) / 8;
        }
        let throughput = self.throughput(&known);
        // In the order of arrival: late ones would look like a queue that has gone.
        known.sort_by_key(|arrival| arrival.arrived);
        for arrival in &known {
            self.delay.arrival(*arrival);
        }
        self.delay.update(now, throughput, self.round_trip, self.config);
        self.loss.update(now, lost, told, self.delay.estimate(), self.config);
    }

    /// Bits per second that the path carries.
    #[must_use]
    pub fn estimate(&self) -> u64 {
        let least = self.delay.estimate().min(self.loss.estimate());
        least.clamp(self.config.min, self.config.max)
    }

    /// From sending to being told of it.
    #[must_use]
    pub const fn round_trip(&self) -> Duration {
        self.round_trip
    }

    /// The reference time of 24 bits, near the one before.
    fn unwrap_reference(&mut self, told: i32) -> i64 {
        let reference = match self.reference {
            None => i64::from(told),
            Some(before) => {
                let step = (told.wrapping_sub(before as i32) << 8) >> 8;
                before + i64::from(step)
            }
        };
        self.reference = Some(reference);
        reference
    }

    /// Forgets a packet, and those sent before it that will not be told of any more.
    fn take(&mut self, number: u16) -> Option<Sent> {
        let first = self.sent.front()?.number;
        let place = usize::from(number.wrapping_sub(first));
        let found = *self.sent.get(place)?;
        if found.number != number {
            // Numbers are given out in a row; a gap means that the list began anew.
            return None;
        }
        self.sent.drain(..=place);
        Some(found)
    }

    /// Bits per second that arrived lately; nothing while too little is known.
    fn throughput(&mut self, arrivals: &[Arrival]) -> Option<u64> {
        self.acknowledged.extend(arrivals.iter().map(|a| (a.arrived, a.bytes)));
        let newest = self.acknowledged.iter().map(|(at, _)| *at).max()?;
        let window = THROUGHPUT_WINDOW.as_nanos() as i64;
        while self.acknowledged.front().is_some_and(|(at, _)| newest - at > window) {
            self.acknowledged.pop_front();
        }
        let oldest = self.acknowledged.iter().map(|(at, _)| *at).min()?;
        let span = newest - oldest;
        if span < window / 2 || self.acknowledged.len() < 2 {
            return None;
        }
        let bytes: u64 = self.acknowledged.iter().map(|(_, bytes)| u64::from(*bytes)).sum();
        Some(bytes * 8 * 1_000_000_000 / span.max(1) as u64)
    }
}

#[cfg(test)]
#[path = "bandwidth/tests.rs"]
mod tests;
