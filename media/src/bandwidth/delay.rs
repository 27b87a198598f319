//! From delay: bursts of packets that arrive ever later than they were sent fill a queue.
//! The trend of that over the last bursts is compared with a threshold that follows what the
//! path usually does; too much takes the estimate below what arrives, otherwise it grows
//! (draft-ietf-rmcat-gcc-02 sections 5.2 to 5.5).

use core::time::Duration;
use std::collections::VecDeque;

use super::{Arrival, Config, Rates};
use crate::time::Instant;

/// Packets sent within this time are one burst.
const BURST: Duration = Duration::from_millis(5);

/// How many bursts the trend is taken over.
const WINDOW: usize = 20;

/// Fewer do where bursts are so far apart that a queue would be long before there are as many.
const FEW: usize = 5;
const LONG_MS: f64 = 250.0;

/// How much of a delay counts once it is smoothed.
const SMOOTHING: f64 = 0.9;

/// What the trend is multiplied with before it is compared, besides the number of bursts.
const GAIN: f64 = 4.0;
const BURSTS_MAX: u32 = 60;

/// The threshold in milliseconds: at first, at least, at most, and how fast it follows.
const THRESHOLD: f64 = 12.5;
const THRESHOLD_MIN: f64 = 6.0;
const THRESHOLD_MAX: f64 = 600.0;
const FOLLOWS_UP: f64 = 0.0087;
const FOLLOWS_DOWN: f64 = 0.039;

/// Too much counts only when it lasts.
const OVERUSE_MIN: f64 = 10.0;

/// A queue that stands for this long, in ms, is too much although it does not grow: so many bursts
/// in a row met it.
const STANDING_MAX: f64 = 150.0;
const STANDING_BURSTS: u32 = 3;

/// How fast clocks may drift apart.
const DRIFT: f64 = 500e-6;

/// Of what arrives, after too much.
const BACK_OFF: f64 = 0.85;

/// With less than this share of the estimate on its way, what arrives says little of the path.
const IDLE: f64 = 0.7;

/// Growth in a second while the limit is far.
const GROWTH: f64 = 1.08;

/// Bytes of a packet by which an estimate near the limit grows in a response time.
const PACKET_BYTES: f64 = 1_200.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Usage {
    Normal,
    Over,
    Under,
}

/// Packets that were sent together.
#[derive(Clone, Copy, Debug)]
struct Burst {
    first_sent: Instant,
    last_sent: Instant,
    last_arrived: i64,
}

#[derive(Debug)]
pub(super) struct DelayBased {
    burst: Option<Burst>,
    before: Option<Burst>,
    /// Arrival since the first in ms, smoothed delay in ms.
    trend: VecDeque<(f64, f64)>,
    first_arrived: Option<i64>,
    accumulated: f64,
    smoothed: f64,
    bursts: u32,
    /// All that bursts have come later than the one before, and the least that was, in ms: what
    /// lies between is a queue that stands, which no trend shows.
    standing: f64,
    least: f64,
    /// How many bursts in a row have met a queue that is too long.
    stands_for: u32,
    threshold: f64,
    over_for: f64,
    slope_before: f64,
    usage: Usage,
    estimate: f64,
    /// What arrived when it was too much: mean and variance, both of the estimate's unit.
    limit: Option<(f64, f64)>,
    updated: Option<Instant>,
    decreased: Option<Instant>,
    /// Of the peer's clock, at the last adaptation of the threshold, in ms.
    adapted: f64,
}

impl DelayBased {
    pub(super) fn new(start: u64) -> Self {
        Self {
            burst: None,
            before: None,
            trend: VecDeque::new(),
            first_arrived: None,
            accumulated: 0.0,
            smoothed: 0.0,
            bursts: 0,
            standing: 0.0,
            least: 0.0,
            stands_for: 0,
            threshold: THRESHOLD,
            over_for: 0.0,
            slope_before: 0.0,
            usage: Usage::Normal,
            estimate: start as f64,
            limit: None,
            updated: None,
            decreased: None,
            adapted: 0.0,
        }
    }

    pub(super) const fn estimate(&self) -> u64 {
        self.estimate as u64
    }

    /// When it was too much for the last time.
    pub(super) const fn decreased(&self) -> Option<Instant> {
        self.decreased
    }

    /// A trial has shown that the path carries so much.
    pub(super) fn raise(&mut self, bits: u64) {
        if bits as f64 > self.estimate {
            self.estimate = bits as f64;
            self.limit = None;
        }
    }

    /// A trial has shown that the path carries no more than this.
    pub(super) fn settle(&mut self, bits: u64) {
        self.estimate = self.estimate.min(bits as f64);
    }

    /// A packet arrived.
    pub(super) fn arrival(&mut self, arrival: Arrival) {
        let Arrival { sent, arrived, .. } = arrival;
        match &mut self.burst {
            Some(burst) if sent < burst.first_sent => {}
            Some(burst) if sent.since(burst.first_sent) <= BURST => {
                burst.last_sent = burst.last_sent.max(sent);
                burst.last_arrived = burst.last_arrived.max(arrived);
            }
            burst => {
                let next = Burst { first_sent: sent, last_sent: sent, last_arrived: arrived };
                if let Some(whole) = burst.replace(next) {
                    self.compare(whole);
                }
            }
        }
    }

    /// A burst is whole: how much later than the one before has it come?
    fn compare(&mut self, burst: Burst) {
        let Some(before) = self.before.replace(burst) else { return };
        let sent = burst.last_sent.since(before.last_sent).as_secs_f64() * 1e3;
        let arrived = (burst.last_arrived - before.last_arrived) as f64 / 1e6;
        let later = arrived - sent;
        // A clock that was set, or a pause: nothing can be said.
        if later.abs() > 3_000.0 {
            self.trend.clear();
            return;
        }
        self.bursts = (self.bursts + 1).min(1_000);
        self.standing += later;
        // Clocks drift apart: an old minimum is forgotten slowly.
        self.least = (self.least + arrived.abs() * DRIFT).min(self.standing);
        self.accumulated += later;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.accumulated;
        let first = *self.first_arrived.get_or_insert(burst.last_arrived);
        let at = (burst.last_arrived - first) as f64 / 1e6;
        self.trend.push_back((at, self.smoothed));
        if self.trend.len() > WINDOW {
            self.trend.pop_front();
        }
        let span = self.trend.front().map_or(0.0, |(oldest, _)| at - oldest);
        let enough = self.trend.len() == WINDOW || self.trend.len() >= FEW && span >= LONG_MS;
        let slope = if enough { slope(&self.trend) } else { 0.0 };
        self.detect(slope, sent, at);
    }

    fn detect(&mut self, slope: f64, spacing: f64, at: f64) {
        let trend = slope * f64::from(self.bursts.min(BURSTS_MAX)) * GAIN;
        if trend > self.threshold {
            self.over_for += spacing;
            if self.over_for > OVERUSE_MIN && slope >= self.slope_before {
                self.over_for = 0.0;
                self.usage = Usage::Over;
            }
        } else {
            self.over_for = 0.0;
            self.usage = if trend < -self.threshold { Usage::Under } else { Usage::Normal };
        }
        let stands = self.standing - self.least > STANDING_MAX;
        self.stands_for = if stands { self.stands_for + 1 } else { 0 };
        if self.stands_for >= STANDING_BURSTS {
            self.usage = Usage::Over;
        }
        self.slope_before = slope;
        // A spike is no habit of the path.
        if trend.abs() <= self.threshold + 15.0 {
            let follows = if trend.abs() < self.threshold { FOLLOWS_DOWN } else { FOLLOWS_UP };
            let passed = (at - self.adapted).clamp(0.0, 100.0);
            self.threshold += follows * (trend.abs() - self.threshold) * passed;
            self.threshold = self.threshold.clamp(THRESHOLD_MIN, THRESHOLD_MAX);
        }
        self.adapted = at;
    }

    /// Some bursts were looked at: the estimate follows.
    pub(super) fn update(
        &mut self,
        now: Instant,
        rates: Option<Rates>,
        round_trip: Duration,
        config: Config,
    ) {
        let passed =
            self.updated.replace(now).map_or(0.0, |before| now.since(before).as_secs_f64());
        let response = round_trip + Duration::from_millis(100);
        match self.usage {
            Usage::Over => {
                // What is in the queue by now shows only after a response time.
                let waits = self.decreased.is_some_and(|at| now.since(at) < response);
                if !waits {
                    self.decrease(now, rates);
                }
            }
            // The queue empties: what arrives is more than what is sent.
            Usage::Under => {}
            Usage::Normal => self.increase(passed.min(1.0), rates, response),
        }
        self.estimate = self.estimate.clamp(config.min as f64, config.max as f64);
    }

    fn decrease(&mut self, now: Instant, rates: Option<Rates>) {
        let arrives = rates.map_or(self.estimate, |rates| rates.came);
        // Where less is sent than could be, little comes whatever the path carries; unless still
        // less comes than is sent.
        let idle = rates.is_some_and(|rates| {
            let comes = rates.whole && rates.came >= BACK_OFF * rates.sent;
            comes && rates.sent < IDLE * self.estimate
        });
        let (mean, variance) = match self.limit {
            Some((mean, variance)) if arrives >= mean - 3.0 * variance.sqrt() => {
                let mean = 0.95 * mean + 0.05 * arrives;
                (mean, 0.95 * variance + 0.05 * (mean - arrives).powi(2))
            }
            _ => (arrives, (0.05 * arrives).powi(2)),
        };
        self.limit = Some((mean, variance));
        let lower = if idle { BACK_OFF * self.estimate } else { 0.0 };
        self.estimate = self.estimate.min((BACK_OFF * arrives).max(lower));
        self.decreased = Some(now);
        self.usage = Usage::Normal;
        self.trend.clear();
        self.accumulated = 0.0;
        self.smoothed = 0.0;
    }

    fn increase(&mut self, passed: f64, rates: Option<Rates>, response: Duration) {
        let arrives = rates.map(|rates| rates.came);
        if let (Some((mean, variance)), Some(arrives)) = (self.limit, arrives)
            && arrives > mean + 3.0 * variance.sqrt()
        {
            // The limit is another one by now.
            self.limit = None;
        }
        let grown = match self.limit {
            Some(_) => self.estimate + passed / response.as_secs_f64() * PACKET_BYTES * 8.0 * 0.5,
            None => self.estimate * GROWTH.powf(passed),
        };
        // What is not sent is not tried, and what arrives without a queue is carried.
        let most = arrives.map_or(f64::INFINITY, |arrives| 1.5 * arrives + 10_000.0);
        let least = arrives.map_or(0.0, |arrives| BACK_OFF * arrives);
        self.estimate = grown.min(most.max(self.estimate)).max(least);
    }
}

/// Least squares.
fn slope(points: &VecDeque<(f64, f64)>) -> f64 {
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let (x, y) = (x / count, y / count);
    let (above, below) = points.iter().fold((0.0, 0.0), |(above, below), point| {
        (above + (point.0 - x) * (point.1 - y), below + (point.0 - x).powi(2))
    });
    if below == 0.0 { 0.0 } else { above / below }
}
