//! When to try whether a path carries more than is known: as soon as the peer is there, and
//! whenever there is more to send than the estimate allows. A trial is some packets of padding,
//! sent at a multiple of the estimate for a fraction of a second; how fast they arrive says what
//! is carried ([`super::Estimator::take_result`]). Where the path delays each by something else,
//! that takes longer to see; where it carries far less, one no faster than the estimate tells how
//! much, before pictures have to: at once, and better where a longer one shows more.

use core::time::Duration;

use super::{Config, Estimator};
use crate::time::Instant;

/// Bytes of padding in a packet of a trial, which are fewer where less is tried, so that a narrow
/// path is not filled by it; and of what is in front, IP and UDP included.
const PADDING_MIN: u64 = 40;
const PADDING_MAX: u64 = 255;
const HEADER: u64 = 53;

/// How long a trial takes, by what those before it could show, and how many packets at least.
const LENGTH_MIN: Duration = Duration::from_millis(15);
const LENGTH_MAX: Duration = Duration::from_millis(240);
const PACKETS_MIN: u64 = 6;
/// More are not sent, however much is tried.
const PACKETS_MAX: u64 = 200;

/// What is tried first, as a multiple of where the estimate begins, and what is tried without
/// need.
const FIRST: u64 = 3;
const UNASKED_MAX: u64 = 8;

/// A trial that showed this share of what it tried is followed by a greater one.
const PASSED: f64 = 0.7;

/// One that showed this share may have met with nothing but jitter: one of twice the length
/// follows, and another one where that showed so much more, as it does of jitter alone.
const UNCERTAIN: f64 = 0.4;
const RISES: f64 = 1.2;

/// Between two trials; twice as long after each that showed nothing.
const PAUSE_MIN: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(16);

/// After a queue was seen, for so long nothing is tried.
const CALM: Duration = Duration::from_secs(1);

/// How long the first trials take at most.
const LEARNING_MAX: Duration = Duration::from_secs(1);

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
    /// Bytes of padding in each packet.
    padding: u64,
    length: Duration,
    pause: Duration,
    first: u64,
    max: u64,
    /// Whether it is known that the path carries what it is taken to at the beginning, or is
    /// being tried.
    is_settled: bool,
    settles: bool,
    /// What a trial of the same rate and half the length has shown.
    shown: Option<u64>,
    /// Whether too little arrived of the last one.
    is_repeated: bool,
    /// Until when the first trials go on, at most.
    learns_until: Option<Instant>,
}

impl Prober {
    pub(crate) const fn new(config: Config) -> Self {
        Self {
            stage: Stage::Fresh,
            target: 0,
            padding: PADDING_MAX,
            length: LENGTH_MIN,
            pause: PAUSE_MIN,
            first: config.start,
            max: config.max,
            is_settled: false,
            settles: false,
            shown: None,
            is_repeated: false,
            learns_until: None,
        }
    }

    /// Whether nothing was tried yet.
    pub(crate) const fn is_fresh(&self) -> bool {
        matches!(self.stage, Stage::Fresh)
    }

    /// Whether the first trials go on, so that the estimate says nothing yet.
    pub(crate) fn is_learning(&self, now: Instant) -> bool {
        self.learns_until.is_some_and(|until| now < until)
    }

    /// Tries for the first time.
    pub(crate) fn begin_first(&mut self, now: Instant, estimator: &mut Estimator) {
        self.learns_until = Some(now + LEARNING_MAX);
        self.begin(now, FIRST * self.first, estimator);
    }

    /// Something became known: goes on, or begins anew where `wanted` is more than the
    /// estimate.
    pub(crate) fn update(&mut self, now: Instant, wanted: u64, estimator: &mut Estimator) {
        match self.stage {
            Stage::Fresh | Stage::Runs { .. } => {}
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
        let bytes = self.target * self.length.as_millis() as u64 / 8_000;
        let packets = bytes.div_ceil(PADDING_MAX + HEADER).clamp(PACKETS_MIN, PACKETS_MAX);
        self.padding = (bytes / packets).saturating_sub(HEADER).clamp(PADDING_MIN, PADDING_MAX);
        self.stage = Stage::Runs { began: now, sent: 0, packets };
        estimator.begin_trial();
    }

    fn conclude(&mut self, now: Instant, result: u64, wanted: u64, estimator: &mut Estimator) {
        // Loss that has nothing to do with the trial: once more.
        if result == 0 && !core::mem::replace(&mut self.is_repeated, true) {
            return self.begin(now, self.target, estimator);
        }
        self.is_repeated = false;
        let share = result as f64 / self.target as f64;
        let passed = share >= PASSED;
        if !core::mem::replace(&mut self.is_settled, true) && result > 0 && share < UNCERTAIN {
            (self.settles, self.shown) = (true, None);
            return self.begin(now, self.first, estimator);
        }
        // At once, lest pictures fill a path while it is looked at once more.
        if self.settles && !passed && result > 0 {
            estimator.settle(result);
        }
        let may_be_jitter = !passed && result > 0 && (self.settles || share >= UNCERTAIN);
        if may_be_jitter && self.length < LENGTH_MAX && self.rises(result) {
            self.shown = Some(result);
            self.length *= 2;
            return self.begin(now, self.target, estimator);
        }
        (self.settles, self.shown) = (false, None);
        let ceiling = (UNASKED_MAX * self.first).max(2 * wanted).min(self.max);
        let next = (2 * result).min(ceiling);
        if passed && next > result + result / 4 {
            return self.begin(now, next, estimator);
        }
        self.rest(now, passed);
    }

    /// Whether a trial has shown more than one of half its length, or is the first of its rate.
    fn rises(&self, result: u64) -> bool {
        self.shown.is_none_or(|shown| result as f64 >= shown as f64 * RISES)
    }

    fn rest(&mut self, now: Instant, passed: bool) {
        self.pause = if passed { PAUSE_MIN } else { (self.pause * 2).min(PAUSE_MAX) };
        self.stage = Stage::Rests { until: now + self.pause };
        self.learns_until = None;
    }

    /// When the next packet of a trial is to leave, or when it is too late to hear of them.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.stage {
            Stage::Runs { began, sent, .. } => Some(began + self.after(sent)),
            _ => None,
        }
    }

    /// With how many bytes of padding a packet of a trial is to leave now, if one is.
    pub(crate) fn pull(&mut self, now: Instant, estimator: &mut Estimator) -> Option<u8> {
        let Stage::Runs { began, sent, packets } = self.stage else { return None };
        if began + self.after(sent) > now {
            return None;
        }
        if sent == packets {
            estimator.end_trial();
            self.stage = Stage::Waits { until: now + TOLD_MAX };
            return None;
        }
        self.stage = Stage::Runs { began, sent: sent + 1, packets };
        Some(self.padding as u8)
    }

    /// How long so many packets take at the rate that is tried.
    fn after(&self, packets: u64) -> Duration {
        Duration::from_nanos(packets * (self.padding + HEADER) * 8 * 1_000_000_000 / self.target)
    }
}
