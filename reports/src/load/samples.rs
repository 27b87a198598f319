//! What was seen of every call, and what can be said of it.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::step::{self, NEVER};
use super::windows::Windows;

/// One call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// When it was meant to begin, in nanoseconds after the load began.
    pub intended: u64,
    /// By how much the generator began it later.
    pub late: u64,
    /// How long it took from the intended time to its end, or to its failure, which is no latency.
    pub latency: u64,
    /// How long it was kept up on purpose beside that.
    pub held: u64,
    /// How long each step took, by the number of the step, and the billionths of each figure;
    /// [`NEVER`] for what was waited for in vain.
    pub steps: Vec<(u8, u64)>,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

impl Sample {
    /// When it ended, in nanoseconds after the load began.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.intended.saturating_add(self.latency).saturating_add(self.held)
    }
}

/// All calls of a load.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples {
    /// The names of the steps.
    pub steps: Vec<String>,
    /// The calls, in any order.
    pub calls: Vec<Sample>,
    /// Calls that were meant to begin and never did: the generator could not.
    pub never_begun: u64,
}

/// The latencies of a step, or of whole calls, from the windows that count.
#[derive(Debug, Clone)]
pub struct Latencies {
    /// In nanoseconds, with three digits: of what ended as it should.
    pub histogram: Histogram<u64>,
    /// How many never ended as they should: for a percentile they are later than any other.
    pub endless: u64,
    /// The sum of squares, for the mean's interval.
    squares: f64,
}

/// The greatest latency that is told apart from greater ones: an hour.
const NANOS_MAX: u64 = 3_600_000_000_000;

/// A histogram as all of them are here.
#[must_use]
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, NANOS_MAX, 3).expect("the bounds are sound")
}

impl Latencies {
    fn new() -> Self {
        Self { histogram: histogram(), endless: 0, squares: 0.0 }
    }

    fn record(&mut self, nanos: u64) {
        self.histogram.saturating_record(nanos);
        self.squares += (nanos as f64).powi(2);
    }

    /// The standard deviation over the square root of the count.
    #[must_use]
    pub fn error_of_mean(&self) -> f64 {
        let count = self.histogram.len() as f64;
        if count < 2.0 {
            return f64::INFINITY;
        }
        let mean = self.histogram.mean();
        let variance = (self.squares / count - mean * mean).max(0.0) * count / (count - 1.0);
        (variance / count).sqrt()
    }

    /// How many are above a limit, in nanoseconds.
    #[must_use]
    pub fn above(&self, limit: f64) -> u64 {
        let limit = limit.clamp(0.0, NANOS_MAX as f64) as u64;
        self.histogram.len() - self.histogram.count_between(0, limit) + self.endless
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.histogram.len() + self.endless
    }

    /// The value that this part of them does not exceed, in nanoseconds; infinite where it never
    /// came, `None` of nothing.
    #[must_use]
    pub fn at(&self, part: f64) -> Option<f64> {
        if self.count() == 0 {
            return None;
        }
        let within = part * self.count() as f64 / self.histogram.len().max(1) as f64;
        if self.histogram.is_empty() || within > 1.0 {
            return Some(f64::INFINITY);
        }
        Some(self.histogram.value_at_quantile(within) as f64)
    }
}

/// What a late generator may have done to the latency of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shift {
    /// Nothing that matters.
    None,
    /// In time it would have taken so much longer, at most.
    Longer(u64),
    /// In time it would have taken so much less, at most, for each time that the generator had to
    /// do with it.
    Shorter(u64),
}

impl Samples {
    /// The windows of this load.
    #[must_use]
    pub fn windows(&self) -> Windows {
        Windows::of(&self.calls)
    }

    /// How late the generator was, call by call.
    #[must_use]
    pub fn lateness(&self) -> Histogram<u64> {
        let mut late = histogram();
        for call in &self.calls {
            late.saturating_record(call.late.max(1));
        }
        late
    }

    /// The latencies of a step, or of whole calls, in windows that are not void. A call that
    /// failed has no latency: what fails at once is not fast. One that succeeded without a step
    /// had no need of it, and does not count.
    #[must_use]
    pub fn latencies(&self, step: Option<&str>, windows: &Windows, late_max: u64) -> Latencies {
        let is_void = |call: &Sample| windows.is_void(call.intended, late_max);
        self.collect(step, |call| (!is_void(call)).then_some(Shift::None))
    }

    /// The same in all windows, where a call of a void one took as much longer as the generator
    /// was late with it: begun in time it would not have ended later than it did, so no latency
    /// was greater than this one.
    #[must_use]
    pub fn latencies_at_most(
        &self,
        step: Option<&str>,
        windows: &Windows,
        late_max: u64,
    ) -> Latencies {
        let is_void = |call: &Sample| windows.is_void(call.intended, late_max);
        let shift = |call: &Sample| match is_void(call) {
            true => Shift::Longer(call.late),
            false => Shift::None,
        };
        self.collect(step, |call| Some(shift(call)))
    }

    /// The same in all windows, where all that the generator can have added is taken off, and
    /// what failed or never began took no time: no latency was less than this one.
    #[must_use]
    pub fn latencies_at_least(&self, step: Option<&str>, windows: &Windows) -> Latencies {
        let busy = windows.busy(&self.calls);
        let shift = |call: &Sample| Shift::Shorter(busy.delay(call.intended));
        let mut latencies = self.collect(step, |call| Some(shift(call)));
        latencies.histogram.saturating_record_n(1, self.never_begun);
        latencies
    }

    /// The latencies of a step, of the calls that count.
    fn collect(&self, step: Option<&str>, shift: impl Fn(&Sample) -> Option<Shift>) -> Latencies {
        let number = step.and_then(|step| self.steps.iter().position(|known| known == step));
        let is_figure = step::is_figure(step);
        let figures: Vec<_> = self.steps.iter().map(|name| step::is_figure(Some(name))).collect();
        // How many things a call asked or was told until this ended.
        let things = |call: &Sample| {
            let steps = call.steps.iter().map(|(of, _)| usize::from(*of));
            let before = steps.take_while(|of| Some(*of) != number);
            before.filter(|of| figures.get(*of) != Some(&true)).count() as u64 + 1
        };
        let mut latencies = Latencies::new();
        for call in &self.calls {
            let Some(shift) = shift(call) else { continue };
            let of_step = |number: usize| {
                let mut steps = call.steps.iter();
                steps.find(|(of, _)| usize::from(*of) == number).map(|(_, nanos)| *nanos)
            };
            let nanos = match (step, number) {
                (None, _) => call.failure.is_none().then_some(call.latency),
                (Some(_), number) => number.and_then(of_step),
            };
            let is_needless = step.is_some() && (is_figure || call.failure.is_none());
            match (nanos, shift) {
                (None, _) if is_needless => {}
                (None | Some(NEVER), Shift::Shorter(_)) => latencies.record(1),
                (None | Some(NEVER), _) => latencies.endless += 1,
                (Some(nanos), Shift::None) => latencies.record(nanos),
                (Some(nanos), Shift::Longer(by)) => latencies.record(nanos.saturating_add(by)),
                (Some(nanos), Shift::Shorter(by)) => {
                    // Once as it began, and twice with each thing that it asked or was told.
                    let times = 1 + 2 * things(call);
                    latencies.record(nanos.saturating_sub(by.saturating_mul(times)).max(1));
                }
            }
        }
        latencies
    }

    /// Calls that failed, and calls that were meant to be.
    #[must_use]
    pub fn failed(&self) -> (u64, u64) {
        let failed = self.calls.iter().filter(|call| call.failure.is_some()).count() as u64;
        (failed + self.never_begun, self.calls.len() as u64 + self.never_begun)
    }

    /// From the first intended time to the last, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        let of = |call: &Sample| call.intended;
        let first = self.calls.iter().map(of).min().unwrap_or(0);
        let last = self.calls.iter().map(of).max().unwrap_or(0);
        (last - first) as f64 / 1e9
    }

    /// Why calls failed, and how often.
    #[must_use]
    pub fn failures(&self) -> BTreeMap<String, u64> {
        let mut failures = BTreeMap::new();
        for why in self.calls.iter().filter_map(|call| call.failure.as_ref()) {
            *failures.entry(why.clone()).or_default() += 1;
        }
        failures
    }
}
