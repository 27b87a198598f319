//! A distribution, kept as the percentile curve that HdrHistogram draws.
//!
//! The recorder is HdrHistogram's; what a report keeps of it is the count, the extremes, the mean
//! and the curve from the median out to the last value, at the resolution at which people read
//! tails: every further half of what is left.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::metric::Unit;
use crate::number;

/// A distribution of values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Histogram {
    /// What was measured: `mouthToEarDelay`.
    pub name: Cow<'static, str>,
    /// The unit of the values.
    pub unit: Unit,
    /// How many values were recorded.
    pub count: u64,
    /// The least value; 0 of none.
    #[serde(with = "number::json")]
    pub min: f64,
    /// The greatest value; 0 of none.
    #[serde(with = "number::json")]
    pub max: f64,
    /// The arithmetic mean; 0 of none.
    #[serde(with = "number::json")]
    pub mean: f64,
    /// The percentile curve, ascending in both; empty of no values.
    pub points: Vec<Point>,
}

/// A point of a percentile curve: `percentile` per cent of the values are at most `value`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// 0 to 100.
    #[serde(with = "number::json")]
    pub percentile: f64,
    /// In the histogram's unit.
    #[serde(with = "number::json")]
    pub value: f64,
}

impl Histogram {
    /// The most points of a curve.
    pub const MAX_POINTS: usize = 200;
    /// Points per halving of the distance to 100 %: enough for a smooth curve, no more.
    const TICKS_PER_HALF: u32 = 4;

    /// The curve of a recorded HdrHistogram, whose whole numbers are `scale` of `unit` each (1e-9
    /// for a histogram of nanoseconds reported in seconds).
    #[must_use]
    pub fn of(
        name: impl Into<Cow<'static, str>>,
        unit: Unit,
        scale: f64,
        recorded: &hdrhistogram::Histogram<u64>,
    ) -> Self {
        let value = |number: u64| number as f64 * scale;
        let mut points: Vec<Point> = Vec::new();
        for step in recorded.iter_quantiles(Self::TICKS_PER_HALF) {
            let point = Point {
                percentile: step.quantile_iterated_to() * 100.0,
                value: value(step.value_iterated_to().min(recorded.max())),
            };
            if points.len() < Self::MAX_POINTS && points.last() != Some(&point) {
                points.push(point);
            }
        }
        if recorded.is_empty() {
            points.clear();
        }
        Self {
            name: name.into(),
            unit,
            count: recorded.len(),
            min: value(if recorded.is_empty() { 0 } else { recorded.min() }),
            max: value(recorded.max()),
            mean: recorded.mean() * scale,
            points,
        }
    }

    /// The value at a percentile, from the curve; `None` of no values.
    #[must_use]
    pub fn value_at(&self, percentile: f64) -> Option<f64> {
        self.points
            .iter()
            .find(|point| point.percentile >= percentile)
            .or(self.points.last())
            .map(|point| point.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_is_ascending_and_ends_at_the_greatest_value() {
        let mut recorded = hdrhistogram::Histogram::<u64>::new(3).expect("three digits is allowed");
        for value in 1..=100_000_u64 {
            recorded.record(value * 1_000).expect("an auto-resizing histogram takes any value");
        }
        let histogram = Histogram::of("delay", Unit::Seconds, 1e-9, &recorded);
        assert_eq!(histogram.count, 100_000);
        assert!(histogram.points.is_sorted_by(|a, b| a.percentile <= b.percentile));
        assert!(histogram.points.is_sorted_by(|a, b| a.value <= b.value));
        let median = histogram.value_at(50.0).expect("values were recorded");
        assert!((median - 0.05).abs() < 0.0001, "{median}");
        let last = histogram.points.last().expect("values were recorded");
        assert!((last.value - histogram.max).abs() < 1e-12);
    }

    #[test]
    fn nothing_recorded_has_no_curve() {
        let recorded = hdrhistogram::Histogram::<u64>::new(3).expect("three digits is allowed");
        let histogram = Histogram::of("delay", Unit::Seconds, 1e-9, &recorded);
        assert_eq!((histogram.count, histogram.points.len()), (0, 0));
        assert_eq!(histogram.value_at(50.0), None);
    }
}
