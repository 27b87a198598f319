//! How a load went over its time: calls begun and failed, and their latencies, stretch by stretch.

use std::collections::BTreeMap;

use super::samples::{Sample, Samples};
use super::windows::WINDOW_NANOS;
use crate::metric::Unit;
use crate::series::Series;

/// So many stretches at most: more than a screen shows.
pub const STRETCHES_MAX: u64 = 500;

/// The pictures.
const CALLS: &str = "Calls per second";
const LATENCY: &str = "Latency from the intended time";

#[derive(Default)]
struct Stretch {
    begun: u64,
    failed: u64,
    late: u64,
    latencies: Vec<u64>,
}

impl Stretch {
    fn add(&mut self, call: &Sample) {
        self.begun += 1;
        self.late = self.late.max(call.late);
        match &call.failure {
            None => self.latencies.push(call.latency),
            Some(_) => self.failed += 1,
        }
    }

    /// In seconds, of sorted latencies.
    fn at(&self, part: f64) -> Option<f64> {
        let last = self.latencies.len().checked_sub(1)?;
        Some(self.latencies[(part * last as f64).round() as usize] as f64 / 1e9)
    }
}

/// Calls begun and failed per second; the median, the 99th percentile and the greatest latency of
/// those that succeeded, and how late the generator was, in seconds. By the intended time, whole
/// calls, in stretches of a second or, of a long load, of several.
#[must_use]
pub fn course(samples: &Samples) -> Vec<Series> {
    let length = samples.calls.iter().map(|call| call.intended).max().unwrap_or(0);
    let windows = (length / WINDOW_NANOS + 1).div_ceil(STRETCHES_MAX);
    let width = windows * WINDOW_NANOS;
    let mut stretches: BTreeMap<u64, Stretch> = BTreeMap::new();
    for call in &samples.calls {
        stretches.entry(call.intended / width).or_default().add(call);
    }
    for stretch in stretches.values_mut() {
        stretch.latencies.sort_unstable();
    }
    let series =
        |name: &'static str, plot: &'static str, unit, value: &dyn Fn(&Stretch) -> Option<f64>| {
            let points = stretches.iter().filter_map(|(number, stretch)| {
                Some((*number as f64 * width as f64 / 1e6, value(stretch)?))
            });
            Series::sampled(name, plot, unit, points, STRETCHES_MAX as usize)
        };
    let rate = |count: u64| Some(count as f64 / windows as f64);
    let mut all = vec![series("begun", CALLS, Unit::One, &|one| rate(one.begun))];
    if stretches.values().any(|stretch| stretch.failed > 0) {
        all.push(series("failed", CALLS, Unit::One, &|one| rate(one.failed)));
    }
    all.extend([
        series("p50", LATENCY, Unit::Seconds, &|one| one.at(0.5)),
        series("p99", LATENCY, Unit::Seconds, &|one| one.at(0.99)),
        series("max", LATENCY, Unit::Seconds, &|one| one.at(1.0)),
        series("generator late by", LATENCY, Unit::Seconds, &|one| Some(one.late as f64 / 1e9)),
    ]);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(count: u64, seconds: u64) -> Samples {
        let call = |number: u64| Sample {
            intended: number * seconds * WINDOW_NANOS / count,
            late: 5_000,
            latency: 1_000_000 * (1 + number % 10),
            failure: (number % 10 == 9).then(|| "busy".to_owned()),
            ..Sample::default()
        };
        Samples { calls: (0..count).map(call).collect(), ..Samples::default() }
    }

    #[test]
    fn each_second_has_its_calls_and_their_latencies() {
        let seen = course(&calls(400, 4));
        let of = |name: &str| {
            let one = seen.iter().find(|one| one.name() == name);
            one.unwrap_or_else(|| panic!("{name}")).points().to_vec()
        };
        assert_eq!(of("begun"), [0.0, 1e3, 2e3, 3e3].map(|at| (at, 100.0)));
        assert_eq!(of("failed")[0], (0.0, 10.0));
        assert_eq!(of("p50")[1], (1e3, 0.005));
        assert_eq!(of("max")[3], (3e3, 0.009));
        assert_eq!(of("generator late by")[2], (2e3, 5e-6));
    }

    #[test]
    fn a_long_load_has_no_more_stretches_than_a_screen_shows_and_of_nothing_there_is_nothing() {
        let long = course(&calls(5_000, 2_500));
        assert_eq!(long[0].points().len(), 500);
        assert_eq!(long[0].points()[1], (5_000.0, 2.0));
        assert!(course(&Samples::default()).iter().all(|one| one.points().is_empty()));
    }
}
