//! When to try whether a path carries more than is known: at the beginning, and whenever
//! there is more to send than the estimate allows. A trial is some packets of padding, sent
//! at a multiple of the estimate for a fraction of a second; how fast they arrive says what
//! is carried ([`super::Estimator::take_result`]).

use core::time::Duration;

use super::{Config, Estimator};
use crate::time::Instant;

/// Bytes of a packet of a trial: padding of the greatest length, and its header.
pub(crate) const PACKET: usize = 280;

/// How long a trial takes at least, and how many packets.
const LENGTH_MIN: Duration = Duration::from_millis(15);
const PACKETS_MIN: u64 = 6;
/// More are not sent, however much is tried.
const PACKETS_MAX: u64 = 200;

/// What is tried first, as a multiple of where the estimate begins, and what is tried without
/// need.
const FIRST: u64 = 3;
const UNASKED_MAX: u64 = 8;

/// A trial that showed this share of what it tried is followed by a greater one.
const PASSED: f64 = 0.7;

/// Between two trials; twice as long after each that showed nothing.
const PAUSE_MIN: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(16);

/// After a queue was seen, for so long nothing is tried.
const CALM: Duration = Duration::from_secs(1);

/// When the last packet of a trial is told of, or is not any more.
const TOLD_MAX: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Nothing was tried yet.
    Fresh,
    /// Packets leave: so many of so many have.
    Runs { began: Instant, sent: u64, packets: u64 },
    /// All have left.
    Waits { until: Instant },
    /// Nothing is tried before then.
    Rests { until: Instant },
}

/// Decides on trials.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prober {
    stage: Stage,
    target: u64,
    pause: Duration,
    first: u64,
    max: u64,
}

impl Prober {
    pub(crate) const fn new(config: Config) -> Self {
        let (pause, first) = (PAUSE_MIN, config.start);
        Self { stage: Stage::Fresh, target: 0, pause, first, max: config.max }
    }

    /// Something became known: goes on, or begins anew where `wanted` is more than the
    /// estimate.
    pub(crate) fn update(&mut self, now: Instant, wanted: u64, estimator: &mut Estimator) {
        match self.stage {
            Stage::Fresh => self.begin(now, FIRST * self.first, estimator),
            Stage::Runs { .. } => {}
            Stage::Waits { until } => match estimator.take_result() {
                Some(result) => self.conclude(now, result, wanted, estimator),
                None if until <= now => self.rest(now, false),
                None => {}
            },
            Stage::Rests { until } if until <= now && wanted > estimator.estimate() => {
                if estimator.is_calm_for(now, CALM) {
                    let estimate = estimator.estimate();
                    self.begin(now, (2 * estimate).min(wanted + wanted / 2), estimator);
                }
            }
            Stage::Rests { .. } => {}
        }
    }

    fn begin(&mut self, now: Instant, target: u64, estimator: &mut Estimator) {
        self.target = target.min(self.max).max(1);
        let bytes = self.target * LENGTH_MIN.as_millis() as u64 / 8_000;
        let packets = bytes.div_ceil(PACKET as u64).clamp(PACKETS_MIN, PACKETS_MAX);
        self.stage = Stage::Runs { began: now, sent: 0, packets };
        estimator.begin_trial();
    }

    fn conclude(&mut self, now: Instant, result: u64, wanted: u64, estimator: &mut Estimator) {
        let passed = result as f64 >= self.target as f64 * PASSED;
        let ceiling = (UNASKED_MAX * self.first).max(2 * wanted).min(self.max);
        let next = (2 * result).min(ceiling);
        if passed && next > result + result / 4 {
            return self.begin(now, next, estimator);
        }
        self.rest(now, passed);
    }

    fn rest(&mut self, now: Instant, passed: bool) {
        self.pause = if passed { PAUSE_MIN } else { (self.pause * 2).min(PAUSE_MAX) };
        self.stage = Stage::Rests { until: now + self.pause };
    }

    /// When the next packet of a trial is to leave, or when it is too late to hear of them.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.stage {
            Stage::Runs { began, sent, .. } => Some(began + self.after(sent)),
            _ => None,
        }
    }

    /// Whether a packet of a trial is to leave now.
    pub(crate) fn pull(&mut self, now: Instant, estimator: &mut Estimator) -> bool {
        let Stage::Runs { began, sent, packets } = self.stage else { return false };
        if began + self.after(sent) > now {
            return false;
        }
        if sent == packets {
            estimator.end_trial();
            self.stage = Stage::Waits { until: now + TOLD_MAX };
            return false;
        }
        self.stage = Stage::Runs { began, sent: sent + 1, packets };
        true
    }

    /// How long so many packets take at the rate that is tried.
    fn after(&self, packets: u64) -> Duration {
        Duration::from_nanos(packets * PACKET as u64 * 8 * 1_000_000_000 / self.target)
    }
}
