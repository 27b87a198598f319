//! How much a path carries, as whoever sends into it can tell from transport-wide feedback:
//! queues that grow say that it is too much (`delay`), so does loss (`loss`); the lesser of
//! the two counts. After draft-ietf-rmcat-gcc-02, with the trend of delays in place of its
//! Kalman filter, as browsers have it. Deviation: a queue that stands is too much as well.
//! What nothing is sent for is tried with packets that carry nothing (`probe`). Peers that
//! do not give such feedback say what they think themselves, or how much they miss
//! (`reports`).

mod delay;
mod loss;
pub(crate) mod meter;
pub(crate) mod probe;
pub(crate) mod reports;

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
    /// Of which trial it is a part; 0 of none.
    trial: u32,
}

/// A packet that arrived: when it was sent, and when it came on the peer's clock, in
/// nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    sent: Instant,
    arrived: i64,
    bytes: u32,
}

/// What became of some packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// How many they are.
    pub packets: u32,
    /// How many of them were lost.
    pub lost: u32,
    /// How many of those were the last before one that arrived, which could have carried them too.
    pub recoverable: u32,
}

/// Bits per second of the same packets: as they were sent, and as they came.
#[derive(Clone, Copy, Debug)]
struct Rates {
    sent: f64,
    came: f64,
    /// Not much of what was sent was lost.
    whole: bool,
}

/// Estimates one path.
#[derive(Debug)]
pub struct Estimator {
    config: Config,
    sent: VecDeque<Sent>,
    /// Time of the last feedback's reference on a clock that does not wrap, in its units.
    reference: Option<i64>,
    /// Told of, by the peer's clock.
    acknowledged: VecDeque<Arrival>,
    delay: DelayBased,
    loss: LossBased,
    round_trip: Duration,
    trial: Trial,
    /// Whether the last packet that was told of was lost.
    missed: bool,
    /// Kept for its memory.
    known: Vec<Arrival>,
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
            trial: Trial::default(),
            missed: false,
            known: Vec::new(),
        }
    }

    /// What is sent from now on is to show whether the path carries more.
    pub fn begin_trial(&mut self) {
        self.trial = Trial { number: self.trial.number.wrapping_add(1).max(1), ..Trial::default() };
        self.trial.runs = true;
    }

    /// The trial is over: what it has shown is known when the last of it has been told of.
    pub const fn end_trial(&mut self) {
        self.trial.runs = false;
    }

    /// What a trial has shown, once; zero if too little of it arrived.
    pub fn take_result(&mut self) -> Option<u64> {
        let result = self.trial.result()?;
        self.trial.done = true;
        if result > 0 {
            self.delay.raise(result);
            self.loss.raise(result);
        }
        Some(result)
    }

    /// A trial no faster than the estimate has shown that the path carries so much.
    pub fn settle(&mut self, bits: u64) {
        self.delay.settle(bits);
    }

    /// Whether the path has shown no queue for so long.
    #[must_use]
    pub fn is_calm_for(&self, now: Instant, time: Duration) -> bool {
        self.delay.decreased().is_none_or(|at| now.since(at) >= time)
    }

    /// A packet that takes so many bytes of the path, with what is in front of it, leaves under
    /// this number.
    pub fn sent(&mut self, now: Instant, number: u16, bytes: usize) {
        if self.sent.len() >= SENT_MAX {
            self.sent.pop_front();
        }
        let trial = if self.trial.runs { self.trial.send() } else { 0 };
        self.sent.push_back(Sent { number, at: now, bytes: bytes as u32, trial });
    }

    /// What the peer says of packets: what became of those that it tells of for the first time.
    pub fn feedback(&mut self, now: Instant, feedback: &TransportFeedback) -> Told {
        let reference = self.unwrap_reference(feedback.reference_time);
        let mut clock = reference * REFERENCE;
        let mut arrivals = feedback.arrived.iter().peekable();
        let mut told = Told::default();
        let mut known = core::mem::take(&mut self.known);
        known.clear();
        for index in 0..feedback.packet_count {
            let arrived = arrivals.next_if(|arrived| arrived.index == index);
            clock += arrived.map_or(0, |arrived| i64::from(arrived.delta) * TICK);
            let Some(sent) = self.take(feedback.base_sequence.wrapping_add(index)) else {
                continue;
            };
            told.packets += 1;
            let arrival = Arrival { sent: sent.at, arrived: clock, bytes: sent.bytes };
            if sent.trial == self.trial.number && sent.trial != 0 {
                self.trial.told(arrived.map(|_| arrival));
            }
            match arrived {
                Some(_) => known.push(arrival),
                None => told.lost += 1,
            }
            told.recoverable += u32::from(self.missed && arrived.is_some());
            self.missed = arrived.is_none();
        }
        if told.packets > 0 {
            self.learn(now, &mut known, told.lost, told.packets);
        }
        self.known = known;
        told
    }

    /// So much became known of so many packets.
    fn learn(&mut self, now: Instant, known: &mut [Arrival], lost: u32, told: u32) {
        if let Some(newest) = known.iter().map(|arrival| arrival.sent).max() {
            self.round_trip = (self.round_trip * 7 + now.since(newest)) / 8;
        }
        let rates = self.rates(known, lost * 10 <= told);
        // In the order of arrival: late ones would look like a queue that has gone.
        known.sort_by_key(|arrival| arrival.arrived);
        for arrival in known.iter() {
            self.delay.arrival(*arrival);
        }
        self.delay.update(now, rates, self.round_trip, self.config);
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
        let forgotten = self.sent.drain(..=place).take(place);
        let of_trial = |sent: &Sent| sent.trial == self.trial.number && sent.trial != 0;
        self.trial.told += forgotten.filter(of_trial).count() as u32;
        Some(found)
    }

    /// How fast packets were sent lately, and came; nothing while too little is known.
    fn rates(&mut self, arrivals: &[Arrival], whole: bool) -> Option<Rates> {
        self.acknowledged.extend(arrivals);
        let newest = self.acknowledged.iter().map(|a| a.arrived).max()?;
        let window = THROUGHPUT_WINDOW.as_nanos() as i64;
        while self.acknowledged.front().is_some_and(|a| newest - a.arrived > window) {
            self.acknowledged.pop_front();
        }
        let oldest = self.acknowledged.iter().map(|a| a.arrived).min()?;
        let span = newest - oldest;
        if span < window / 2 || self.acknowledged.len() < 2 {
            return None;
        }
        let bytes: u64 = self.acknowledged.iter().map(|a| u64::from(a.bytes)).sum();
        let sent = self.acknowledged.iter().map(|a| a.sent);
        let sent_for = sent.clone().max()?.since(sent.min()?).as_nanos() as u64;
        let rate = |span: u64| (bytes * 8 * 1_000_000_000) as f64 / span.max(1) as f64;
        Some(Rates { sent: rate(sent_for), came: rate(span as u64), whole })
    }
}

/// Packets that are sent faster than the estimate, and how fast they arrive.
#[derive(Clone, Copy, Debug, Default)]
struct Trial {
    number: u32,
    runs: bool,
    done: bool,
    sent: u32,
    told: u32,
    arrived: u32,
    bytes: u64,
    /// Bytes that do not count, since their time is not known: of what came first.
    first_bytes: u64,
    /// When the first and the last were sent, and came.
    sent_at: Option<(Instant, Instant)>,
    came_at: Option<(i64, i64)>,
}

impl Trial {
    /// Less than this share of it arrived: nothing can be said.
    const SHARE_MIN: f64 = 0.6;
    const PACKETS_MIN: u32 = 4;

    fn send(&mut self) -> u32 {
        self.sent += 1;
        self.number
    }

    fn told(&mut self, arrival: Option<Arrival>) {
        self.told += 1;
        let Some(Arrival { sent, arrived, bytes }) = arrival else { return };
        self.arrived += 1;
        let bytes = u64::from(bytes);
        self.bytes += bytes;
        if self.came_at.is_none_or(|(first, _)| arrived < first) {
            self.first_bytes = bytes;
        }
        let (first, last) = self.sent_at.unwrap_or((sent, sent));
        self.sent_at = Some((first.min(sent), last.max(sent)));
        let (first, last) = self.came_at.unwrap_or((arrived, arrived));
        self.came_at = Some((first.min(arrived), last.max(arrived)));
    }

    /// Bits per second, once everything that was sent was told of.
    fn result(&self) -> Option<u64> {
        if self.runs || self.done || self.sent == 0 || self.told < self.sent {
            return None;
        }
        let enough = f64::from(self.arrived) >= f64::from(self.sent) * Self::SHARE_MIN;
        let spans = self.sent_at.zip(self.came_at).filter(|_| enough);
        let Some(((first_sent, last_sent), (first_came, last_came))) = spans else {
            return Some(0);
        };
        let sent_for = last_sent.since(first_sent).as_nanos() as u64;
        let came_for = (last_came - first_came).max(0) as u64;
        let span = sent_for.max(came_for);
        if self.arrived < Self::PACKETS_MIN || span == 0 {
            return Some(0);
        }
        Some((self.bytes - self.first_bytes) * 8 * 1_000_000_000 / span)
    }
}

#[cfg(test)]
#[path = "bandwidth/tests.rs"]
mod tests;
