//! The part of the page about one recording: its streams, every metric under every network, and for
//! each network the pictures and verdicts.
//!
//! What is folded away costs no layout, so that a page of hundreds of cells opens at once. The
//! pictures of cells that deserve a look get all their points, the others what the budget leaves.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use crate::escape::visible;
use crate::mark::{self, Mark, MarkKind};
use crate::metric::{Unit, Value};
use crate::number;
use crate::report::{Flow, Recording};
use crate::series::Series;
use crate::verdict::Verdict;

use super::cells::{Cell, Cells, Lens, MetricKey};
use super::html::{anchor, verdict_mark};
use super::{findings, overview, plot};

/// How many points the page draws in all; about 6 bytes each.
const POINTS: usize = 500_000;
/// How many marks the page draws in all; about 15 bytes each.
const MARKS: usize = 60_000;
/// How many findings are told with their proof outside the featured cells.
const PROOFS: usize = 1_000;
/// How many cells are drawn with all their points whatever the budget.
const FEATURED: usize = 12;
/// Streams listed of one recording.
const MAX_FLOWS: usize = 100;

/// How the pictures share the page.
struct Budget {
    featured: BTreeSet<(usize, usize)>,
    points_per_series: usize,
    marks_per_kind: usize,
    proofs: bool,
}

impl Budget {
    fn of(cells: &Cells<'_>) -> Self {
        let worst = overview::worst_cells(cells, FEATURED);
        let results = || cells.all().flat_map(|cell| &cell.results);
        let series = || results().flat_map(|result| &result.series);
        let points: usize = series().map(|one| one.points().len()).sum();
        let points_per_series = if points <= POINTS {
            Series::MAX_POINTS
        } else {
            (POINTS / series().count().max(1)).max(16)
        };
        let marks: usize = results().map(|result| result.marks.len()).sum();
        let lanes = cells.all().count().max(1) * MarkKind::ALL.len();
        let marks_per_kind = if marks <= MARKS { usize::MAX } else { (MARKS / lanes).max(4) };
        let proofs = results().map(|result| result.findings.len()).sum::<usize>() <= PROOFS;
        let featured = worst.iter().map(|cell| (cell.row, cell.column)).collect();
        Self { featured, points_per_series, marks_per_kind, proofs }
    }

    fn features(&self, cell: &Cell<'_>) -> bool {
        self.featured.contains(&(cell.row, cell.column))
    }

    fn points(&self, cell: &Cell<'_>) -> usize {
        if self.features(cell) { Series::MAX_POINTS } else { self.points_per_series }
    }

    fn marks(&self, cell: &Cell<'_>) -> usize {
        if self.features(cell) { Mark::MAX_PER_KIND } else { self.marks_per_kind }
    }
}

/// The section of all recordings.
pub(super) fn section(cells: &Cells<'_>) -> Markup {
    let budget = Budget::of(cells);
    html! {
        section #recordings aria-labelledby="recordings-title" {
            h2 #recordings-title { "Recordings" }
            @for row in 0..cells.rows.len() { (one(cells, row, &budget)) }
        }
    }
}

fn one(cells: &Cells<'_>, row: usize, budget: &Budget) -> Markup {
    let worst = cells.row(row).map(Cell::verdict).max().unwrap_or(Verdict::Pass);
    let open = row == 0 && cells.rows.len() == 1;
    html! {
        details.recording open[open] {
            summary {
                (verdict_mark(worst))
                span.name { (visible(cells.row_name(row))) }
                @if let Some(recording) = cells.rows[row] {
                    span.title { (visible(&recording.title)) }
                    span.facts {
                        (number::show_number(recording.duration_ms, Unit::Milliseconds)) " · "
                        (number::digits(recording.packets as f64)) " packets"
                    }
                }
            }
            div.body id=(format!("r{row}")) {
                @if let Some(recording) = cells.rows[row] { (streams(recording)) }
                (metrics(cells, row))
                @for cell in cells.row(row) { (under_network(cells, cell, budget)) }
            }
        }
    }
}

fn streams(recording: &Recording) -> Markup {
    html! {
        @if let Some(sha256) = &recording.sha256 {
            p.quiet { "SHA-256 " code.digest { (visible(sha256)) } }
        }
        @if !recording.flows.is_empty() {
            div.scroll tabindex="0" role="region" aria-label="Streams" {
                table.plain {
                    caption { "Streams" }
                    thead { tr {
                        th scope="col" { "SSRC" } th scope="col" { "Codec" }
                        th scope="col" { "Payload types" } th scope="col" { "From" }
                        th scope="col" { "To" } th.n scope="col" { "Packets" }
                    } }
                    tbody { @for flow in recording.flows.iter().take(MAX_FLOWS) { (stream(flow)) } }
                }
            }
            @if recording.flows.len() > MAX_FLOWS {
                p.quiet { "…and " (recording.flows.len() - MAX_FLOWS) " more streams" }
            }
        }
    }
}

fn stream(flow: &Flow) -> Markup {
    let types: Vec<String> = flow.payload_types.iter().take(16).map(u8::to_string).collect();
    html! {
        tr {
            td { code { (format!("0x{:08x}", flow.ssrc)) } }
            td { (visible(&flow.codec)) " / " (number::digits(f64::from(flow.clock_rate)))
                @if let Some(why) = &flow.guessed { " " span.quiet { "guessed: " (visible(why)) } } }
            td { (types.join(", ")) }
            td { code { (visible(&flow.source)) } }
            td { code { (visible(&flow.destination)) } }
            td.n { (number::digits(flow.packets as f64)) }
        }
    }
}

/// Every metric of the recording: one row each, one column per network.
fn metrics(cells: &Cells<'_>, row: usize) -> Markup {
    let columns: Vec<&Cell<'_>> = cells
        .row(row)
        .filter(|cell| cell.results.iter().any(|one| !one.metrics.is_empty()))
        .collect();
    let values: Vec<BTreeMap<MetricKey, _>> =
        columns.iter().map(|cell| cell.metrics().into_iter().collect()).collect();
    let keys: BTreeSet<&MetricKey> = values.iter().flat_map(BTreeMap::keys).collect();
    if keys.is_empty() {
        return html! {};
    }
    html! {
        details.metrics {
            summary { "All " (keys.len()) " metrics" }
            div.scroll tabindex="0" role="region" aria-label="Metrics by network condition" {
                table.plain.numbers {
                    thead { tr {
                        th scope="col" { "Metric" }
                        @for cell in &columns { th.n scope="col" { (visible(cells.column_name(cell.column))) } }
                    } }
                    tbody {
                        @for key in keys {
                            tr data-m=(key.name) {
                                th scope="row" { (visible(&key.name)) }
                                @for of_cell in &values {
                                    @match of_cell.get(key) {
                                        Some(metric) => td.n data-v=(number::plain_value(&metric.value)) {
                                            @match &metric.value {
                                                Value::Text(_) => span.long title=(visible(&metric.shown())) {
                                                    (visible(&metric.shown()))
                                                },
                                                _ => (metric.shown()),
                                            }
                                        },
                                        None => td {},
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn under_network(cells: &Cells<'_>, cell: &Cell<'_>, budget: &Budget) -> Markup {
    let verdict = cell.verdict();
    let open = verdict == Verdict::Fail && budget.features(cell);
    let proofs = budget.proofs || budget.features(cell);
    let lenses = [Lens::Quality, Lens::Delay, Lens::Loss];
    html! {
        details.cell open[open] {
            summary {
                (verdict_mark(verdict))
                span.name { (visible(cells.column_name(cell.column))) }
                span.facts {
                    @for metric in lenses.into_iter().filter_map(|lens| cell.seen_through(lens)) {
                        span { (visible(overview::short(&metric.name))) " " b { (visible(&metric.shown())) } }
                    }
                }
            }
            div.body id=(anchor(cell.row, cell.column)) {
                @for result in cell.results.iter().filter(|one| one.verdict != Verdict::Pass) {
                    (findings::of_result(result, proofs))
                }
                @if cell.has_pictures() { (pictures(cell, budget.points(cell), budget.marks(cell))) }
                (passed(cell))
            }
        }
    }
}

/// The cases that passed, in a paragraph.
fn passed(cell: &Cell<'_>) -> Markup {
    let passed: Vec<&str> = cell
        .results
        .iter()
        .filter(|one| one.verdict == Verdict::Pass)
        .map(|one| one.id.as_str())
        .collect();
    html! {
        @if !passed.is_empty() {
            details.passed {
                summary { (passed.len()) " passed" }
                ul { @for id in passed { li { code { (visible(id)) } } } }
            }
        }
    }
}

fn pictures(cell: &Cell<'_>, points: usize, marks: usize) -> Markup {
    let results = || cell.results.iter();
    let marks = mark::bounded(results().flat_map(|one| one.marks.iter().cloned()), marks);
    let marks: Vec<&Mark> = marks.iter().collect();
    let mut plots: Vec<((&str, Unit), Vec<&Series>)> = Vec::new();
    for series in results().flat_map(|one| &one.series) {
        let key = (series.plot(), series.unit());
        match plots.iter_mut().find(|(known, _)| *known == key) {
            Some((_, of_plot)) => of_plot.push(series),
            None => plots.push((key, vec![series])),
        }
    }
    let span = plot::Span::of(results().flat_map(|one| &one.series), marks.iter().copied());
    let mut curves: BTreeMap<Unit, Vec<&crate::histogram::Histogram>> = BTreeMap::new();
    for histogram in results().flat_map(|one| &one.histograms) {
        curves.entry(histogram.unit).or_default().push(histogram);
    }
    let id = anchor(cell.row, cell.column);
    let bands = plot::bands(&id, &marks);
    html! {
        @if let Some(span) = span {
            div.timeline {
                @for ((title, _), series) in &plots {
                    (plot::over_time(title, series, span, points, &bands))
                }
                (plot::lanes(&id, &marks, span))
                (span.axis())
            }
        }
        @if !curves.is_empty() {
            div.curves {
                @for (unit, histograms) in &curves { (plot::percentiles(*unit, histograms)) }
            }
        }
    }
}
