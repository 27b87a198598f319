//! The results of a report, arranged as recordings against network conditions.
//!
//! Results that have no recording or no network get a row or a column of their own, so that nothing
//! is left out of a rendering.

use std::collections::BTreeMap;

use crate::metric::{Direction, Metric, Unit, Value, registry};
use crate::report::{CaseResult, Network, Recording, Report, Totals};
use crate::verdict::Verdict;

/// All results by recording and network.
pub(super) struct Cells<'a> {
    /// The recordings, in the order of the report; `None` last, where there are such results.
    pub(super) rows: Vec<Option<&'a Recording>>,
    /// The networks, in the order of the report; `None` last, where there are such results.
    pub(super) columns: Vec<Option<&'a Network>>,
    cells: BTreeMap<(usize, usize), Cell<'a>>,
    row_of: BTreeMap<&'a str, usize>,
    column_of: BTreeMap<&'a str, usize>,
}

/// All results about one recording under one network condition.
pub(super) struct Cell<'a> {
    /// Which row.
    pub(super) row: usize,
    /// Which column.
    pub(super) column: usize,
    /// The results, by case.
    pub(super) results: Vec<&'a CaseResult>,
}

/// What a cell of the overview can show.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lens {
    /// How good it was: MOS for audio, or how like what was said; the part of the frames shown for
    /// video.
    Quality,
    /// How long it took from end to end, 95 %.
    Delay,
    /// How much the network lost.
    Loss,
    /// How many results were not green.
    Verdicts,
}

impl Lens {
    /// In the order in which the page offers them.
    pub(super) const ALL: [Self; 4] = [Self::Quality, Self::Delay, Self::Loss, Self::Verdicts];

    /// The metrics it looks for; the first that a cell has is shown.
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Quality => {
                &["mos", "framesRenderedRatio", "segmentalSnr", "framesDecoded", "framesReceived"]
            }
            Self::Delay => &[
                "mouthToEarDelayP95",
                "glassToGlassDelayP95",
                "jitterBufferDelayMean",
                "packetDelayVariationP95",
            ],
            Self::Loss => &["lossRatio", "packetsNeverArrived", "packetsLost"],
            Self::Verdicts => &[],
        }
    }
}

impl<'a> Cells<'a> {
    pub(super) fn of(report: &'a Report) -> Self {
        let mut rows: Vec<Option<&Recording>> = report.recordings.iter().map(Some).collect();
        let mut columns: Vec<Option<&Network>> = report.networks.iter().map(Some).collect();
        let row_of: BTreeMap<&str, usize> =
            report.recordings.iter().enumerate().map(|(at, one)| (one.id.as_str(), at)).collect();
        let column_of: BTreeMap<&str, usize> =
            report.networks.iter().enumerate().map(|(at, one)| (one.name.as_str(), at)).collect();
        let (no_row, no_column) = (rows.len(), columns.len());
        let mut cells: BTreeMap<(usize, usize), Cell<'_>> = BTreeMap::new();
        for result in &report.results {
            let row = result.recording.as_deref().and_then(|id| row_of.get(id).copied());
            let column = result.network.as_deref().and_then(|name| column_of.get(name).copied());
            let (row, column) = (row.unwrap_or(no_row), column.unwrap_or(no_column));
            let cell = Cell { row, column, results: Vec::new() };
            cells.entry((row, column)).or_insert(cell).results.push(result);
        }
        if cells.keys().any(|(row, _)| *row == no_row) {
            rows.push(None);
        }
        if cells.keys().any(|(_, column)| *column == no_column) {
            columns.push(None);
        }
        Self { rows, columns, cells, row_of, column_of }
    }

    pub(super) fn get(&self, row: usize, column: usize) -> Option<&Cell<'a>> {
        self.cells.get(&(row, column))
    }

    /// The cells of a row, from left to right.
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = &Cell<'a>> {
        self.cells.range((row, 0)..(row + 1, 0)).map(|(_, cell)| cell)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Cell<'a>> {
        self.cells.values()
    }

    /// The cell of results with this recording and network.
    pub(super) fn of_result(&self, result: &CaseResult) -> Option<&Cell<'a>> {
        let row = result.recording.as_deref().and_then(|id| self.row_of.get(id).copied());
        let column = result.network.as_deref().and_then(|name| self.column_of.get(name).copied());
        let last = |sides: usize, has_none: bool| sides - usize::from(has_none);
        let no_row = last(self.rows.len(), self.rows.last().is_some_and(Option::is_none));
        let no_column = last(self.columns.len(), self.columns.last().is_some_and(Option::is_none));
        self.get(row.unwrap_or(no_row), column.unwrap_or(no_column))
    }

    /// What a cell is about, in a word or two: where it is, or else its worst case.
    pub(super) fn name(&self, cell: &Cell<'_>) -> String {
        match (self.rows[cell.row], self.columns[cell.column]) {
            (Some(recording), Some(network)) => format!("{} @ {}", recording.id, network.name),
            (Some(recording), None) => recording.id.clone(),
            (None, Some(network)) => network.name.clone(),
            (None, None) => {
                let worst = cell.results.iter().max_by_key(|result| result.verdict);
                worst.map_or_else(String::new, |result| result.id.clone())
            }
        }
    }

    /// The rows and columns of the overview: those without a recording or a network only where they
    /// say something about a network or a recording.
    pub(super) fn matrix(&self) -> (Vec<usize>, Vec<usize>) {
        let sides =
            |cell: &&Cell<'_>| self.rows[cell.row].is_some() || self.columns[cell.column].is_some();
        let rows =
            (0..self.rows.len()).filter(|row| self.all().filter(sides).any(|one| one.row == *row));
        let columns = (0..self.columns.len())
            .filter(|column| self.all().filter(sides).any(|one| one.column == *column));
        (rows.collect(), columns.collect())
    }

    pub(super) fn row_name(&self, row: usize) -> &'a str {
        self.rows.get(row).copied().flatten().map_or("no recording", |one| one.id.as_str())
    }

    pub(super) fn column_name(&self, column: usize) -> &'a str {
        self.columns.get(column).copied().flatten().map_or("any network", |one| one.name.as_str())
    }

    /// How bad a metric of a cell is, from 0 (good) to 6, on a fixed scale where quality has one and
    /// within its row where it has none.
    pub(super) fn heat(&self, cell: &Cell<'_>, metric: &Metric) -> Option<u8> {
        let value = metric.value.number()?;
        let (good, bad) = match (metric.name.as_ref(), metric.unit) {
            ("mos", _) => (4.3, 2.0),
            ("lossRatio", _) => (0.0, 0.12),
            ("mouthToEarDelayP95" | "glassToGlassDelayP95", _) => (0.1, 0.5),
            (_, Unit::Ratio) => (1.0, 0.6),
            _ => self.row_range(cell.row, metric)?,
        };
        if good == bad {
            return Some(0);
        }
        let part = ((value - good) / (bad - good)).clamp(0.0, 1.0);
        Some((part * 6.0).round() as u8)
    }

    fn row_range(&self, row: usize, metric: &Metric) -> Option<(f64, f64)> {
        let values: Vec<f64> =
            self.row(row).filter_map(|cell| cell.metric(&metric.name)?.value.number()).collect();
        let low = values.iter().copied().reduce(f64::min)?;
        let high = values.iter().copied().reduce(f64::max)?;
        match metric.direction {
            Direction::HigherIsBetter => Some((high, low.min(high * 0.5))),
            Direction::LowerIsBetter => Some((low, high.max(low * 2.0))),
            Direction::Neutral => None,
        }
    }
}

impl<'a> Cell<'a> {
    /// The worst verdict of its results.
    pub(super) fn verdict(&self) -> Verdict {
        self.results.iter().map(|result| result.verdict).max().unwrap_or(Verdict::Pass)
    }

    pub(super) fn totals(&self) -> Totals {
        Totals::of(self.results.iter().map(|result| result.verdict))
    }

    /// The first metric of this name that has a value; one without a label, if there is such.
    pub(super) fn metric(&self, name: &str) -> Option<&'a Metric> {
        let all = || {
            let metrics = self.results.iter().flat_map(|result| &result.metrics);
            metrics.filter(|metric| metric.name == name && metric.value != Value::Undefined)
        };
        all().find(|metric| metric.label.is_none()).or_else(|| all().next())
    }

    /// The metric that a lens shows of it.
    pub(super) fn seen_through(&self, lens: Lens) -> Option<&'a Metric> {
        lens.names().iter().find_map(|name| self.metric(name))
    }

    /// Every metric of its results with a key that is unique within the cell, sorted as the registry
    /// is. Values that two cases agree on are one.
    pub(super) fn metrics(&self) -> Vec<(MetricKey, &'a Metric)> {
        let mut all: Vec<(MetricKey, &Metric)> = Vec::new();
        let mut times: BTreeMap<String, u32> = BTreeMap::new();
        for metric in self.results.iter().flat_map(|result| &result.metrics) {
            let name = metric.full_name();
            let again = times.entry(name.clone()).or_insert(0);
            let place = place(&metric.name);
            all.push((MetricKey { place, name, again: *again }, metric));
            *again += 1;
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    pub(super) fn has_pictures(&self) -> bool {
        self.results.iter().any(|one| {
            !one.series.is_empty() || !one.marks.is_empty() || !one.histograms.is_empty()
        })
    }
}

/// What tells the metrics of a cell apart, in the order in which they are listed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MetricKey {
    place: usize,
    /// Name and label.
    pub(super) name: String,
    /// Counts metrics of the same name and label, from different cases.
    pub(super) again: u32,
}

fn place(name: &str) -> usize {
    registry::REGISTRY
        .iter()
        .position(|definition| definition.name == name)
        .unwrap_or(registry::REGISTRY.len())
}
