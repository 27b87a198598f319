//! A quantity over time, small enough to keep and to draw.
//!
//! A call of an hour has 180,000 packets; a picture has a thousand columns. [`Series::sampled`]
//! keeps, per column, the lowest and the highest point with their own times, so a single late packet
//! in an hour stays visible.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::metric::Unit;

/// Offsets in milliseconds from the start of the case, with a value each; ascending in time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub struct Series {
    name: Cow<'static, str>,
    plot: Cow<'static, str>,
    unit: Unit,
    samples: u64,
    points: Vec<(f64, f64)>,
}

/// Why a series in a report is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeriesError {
    /// More points than a report may carry.
    #[error("series {name:?} has {points} points, at most {} are allowed", Series::MAX_POINTS)]
    TooLong {
        /// The name of the series.
        name: String,
        /// How many points it has.
        points: usize,
    },
    /// Points must go forward in time, and be finite numbers.
    #[error("series {name:?} is out of order or not finite at point {index}")]
    OutOfOrder {
        /// The name of the series.
        name: String,
        /// The first point that is wrong.
        index: usize,
    },
}

impl Series {
    /// The most points a series holds, whatever was asked for.
    pub const MAX_POINTS: usize = 2_000;
    /// Points for a plot that fills the page.
    pub const DETAILED: usize = 800;
    /// Points for one of hundreds of small plots.
    pub const COMPACT: usize = 120;

    /// A series of `points` (offset in milliseconds, value), thinned to at most `most` of them.
    ///
    /// `plot` is the title of the picture: series of one case with the same plot and unit share its
    /// axes. Points that are not finite numbers are left out; offsets keep 8 significant digits and
    /// values 6.
    #[must_use]
    pub fn sampled(
        name: impl Into<Cow<'static, str>>,
        plot: impl Into<Cow<'static, str>>,
        unit: Unit,
        points: impl IntoIterator<Item = (f64, f64)>,
        most: usize,
    ) -> Self {
        let mut points: Vec<(f64, f64)> =
            points.into_iter().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
        if !points.is_sorted_by(|a, b| a.0 <= b.0) {
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        Self {
            name: name.into(),
            plot: plot.into(),
            unit,
            samples: points.len() as u64,
            points: thinned(&points, most.min(Self::MAX_POINTS))
                .into_iter()
                .map(|(x, y)| (rounded(x, 8), rounded(y, 6)))
                .collect(),
        }
    }

    /// What it is a series of: `jitter`, `transit`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The title of the picture it belongs in.
    #[must_use]
    pub fn plot(&self) -> &str {
        &self.plot
    }

    /// The unit of the values.
    #[must_use]
    pub const fn unit(&self) -> Unit {
        self.unit
    }

    /// How many points there were before thinning.
    #[must_use]
    pub const fn samples(&self) -> u64 {
        self.samples
    }

    /// Offset in milliseconds, and value.
    #[must_use]
    pub fn points(&self) -> &[(f64, f64)] {
        &self.points
    }

    /// The same, with at most `most` points.
    #[must_use]
    pub fn thinned(&self, most: usize) -> Self {
        Self {
            name: self.name.clone(),
            plot: self.plot.clone(),
            unit: self.unit,
            samples: self.samples,
            points: thinned(&self.points, most),
        }
    }
}

/// Significant digits beyond which no picture differs, but a file of a million numbers does.
fn rounded(number: f64, digits: usize) -> f64 {
    // Through text, which rounds to the nearest decimal where arithmetic would not.
    format!("{number:.*e}", digits - 1).parse().unwrap_or(number)
}

/// Lowest and highest of each of `most / 2` columns of equal width in time, in order of time.
/// The first and the last point are always kept.
fn thinned(points: &[(f64, f64)], most: usize) -> Vec<(f64, f64)> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Vec::new() };
    if points.len() <= most {
        return points.to_vec();
    }
    if most < 4 {
        return points.iter().take(most).copied().collect();
    }
    // Two points belong to the ends, the rest to the columns.
    let columns = (most - 2) / 2;
    let inner = &points[1..points.len() - 1];
    let span = (last.0 - first.0).max(f64::MIN_POSITIVE);
    let mut kept = Vec::with_capacity(most);
    kept.push(*first);
    let mut start = 0;
    for column in 1..=columns {
        let end_ms = first.0 + span * (column as f64 / columns as f64);
        let mut end = start + inner[start..].partition_point(|(x, _)| *x < end_ms);
        if column == columns {
            end = inner.len();
        }
        let column = &inner[start..end];
        let low = (0..column.len()).min_by(|a, b| column[*a].1.total_cmp(&column[*b].1));
        let high = (0..column.len()).max_by(|a, b| column[*a].1.total_cmp(&column[*b].1));
        if let (Some(low), Some(high)) = (low, high) {
            kept.push(column[low.min(high)]);
            if low != high {
                kept.push(column[low.max(high)]);
            }
        }
        start = end;
    }
    kept.push(*last);
    kept
}

/// The shape in JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: Cow<'static, str>,
    plot: Cow<'static, str>,
    unit: Unit,
    samples: u64,
    points: Vec<Point>,
}

#[derive(Serialize, Deserialize)]
struct Point(
    #[serde(with = "crate::number::json")] f64,
    #[serde(with = "crate::number::json")] f64,
);

impl From<Series> for Raw {
    fn from(series: Series) -> Self {
        Self {
            name: series.name,
            plot: series.plot,
            unit: series.unit,
            samples: series.samples,
            points: series.points.into_iter().map(|(x, y)| Point(x, y)).collect(),
        }
    }
}

impl TryFrom<Raw> for Series {
    type Error = SeriesError;

    fn try_from(raw: Raw) -> Result<Self, SeriesError> {
        let points: Vec<(f64, f64)> = raw.points.into_iter().map(|Point(x, y)| (x, y)).collect();
        let name = || raw.name.to_string();
        if points.len() > Self::MAX_POINTS {
            return Err(SeriesError::TooLong { name: name(), points: points.len() });
        }
        let wrong = |index: &usize| {
            let (x, y) = points[*index];
            !x.is_finite() || !y.is_finite() || (*index > 0 && points[index - 1].0 > x)
        };
        if let Some(index) = (0..points.len()).find(wrong) {
            return Err(SeriesError::OutOfOrder { name: name(), index });
        }
        let Raw { name, plot, unit, samples, .. } = raw;
        Ok(Self { name, plot, unit, samples, points })
    }
}
