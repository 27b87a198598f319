//! Pictures: quantities over time, marks on a timeline, percentile curves and strips of values.
//!
//! Curves are SVG stretched over whatever room there is, with strokes that do not stretch; words and
//! ticks are HTML beside them, so that they stay legible on a phone. Coordinates are whole numbers on
//! a grid finer than any screen, written relative to one another, which keeps a page of thousands of
//! curves small.

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, html};

use crate::escape::visible;
use crate::histogram::Histogram;
use crate::mark::{Mark, MarkKind};
use crate::metric::Unit;
use crate::number;
use crate::series::Series;

/// The grid that curves are drawn on.
const WIDE: f64 = 2_000.0;
const HIGH: f64 = 400.0;
/// Curves in one picture; more are left out, and named.
const MAX_CURVES: usize = 5;

/// The time that the pictures of one case share, in milliseconds.
#[derive(Clone, Copy)]
pub(super) struct Span {
    from_ms: f64,
    to_ms: f64,
}

impl Span {
    /// The time that holds all of these.
    pub(super) fn of<'a>(
        series: impl Iterator<Item = &'a Series>,
        marks: impl Iterator<Item = &'a Mark>,
    ) -> Option<Self> {
        let ends = series.flat_map(|one| {
            [one.points().first(), one.points().last()].into_iter().flatten().map(|point| point.0)
        });
        let marked = marks.flat_map(|one| [one.at_ms, one.at_ms + one.duration_ms]);
        let times: Vec<f64> = ends.chain(marked).collect();
        let from_ms = times.iter().copied().reduce(f64::min)?.min(0.0);
        let to_ms = times.iter().copied().reduce(f64::max)?;
        Some(Self { from_ms, to_ms: if to_ms > from_ms { to_ms } else { from_ms + 1.0 } })
    }

    fn part(self, ms: f64) -> f64 {
        (ms - self.from_ms) / (self.to_ms - self.from_ms)
    }

    fn ticks(self) -> Vec<f64> {
        ticks(self.from_ms, self.to_ms, 6)
    }

    /// The axis below a stack of pictures.
    pub(super) fn axis(self) -> Markup {
        let minutes = self.to_ms - self.from_ms > 180_000.0;
        html! {
            div.x aria-hidden="true" {
                @for tick in self.ticks() {
                    i style=(format!("left:{}%", cut(self.part(tick) * 100.0))) {
                        @if minutes { (clock(tick)) } @else { (number::digits(tick / 1e3)) " s" }
                    }
                }
            }
        }
    }

    fn grid(self) -> String {
        let mut path = String::new();
        for tick in self.ticks() {
            // Writing to a String cannot fail.
            let _ = write!(path, "M{} 0v{HIGH}", (self.part(tick) * WIDE).round());
        }
        path
    }
}

/// Minutes and seconds.
fn clock(ms: f64) -> String {
    let seconds = (ms / 1e3).round();
    format!("{}:{:02}", (seconds / 60.0).floor(), seconds % 60.0)
}

/// One picture of quantities over time, each thinned to `most` points. `bands` are the ids of lanes
/// (see [`lanes`]) that are repeated behind the curves.
pub(super) fn over_time(
    title: &str,
    series: &[&Series],
    span: Span,
    most: usize,
    bands: &[String],
) -> Markup {
    let shown: Vec<Series> = series.iter().take(MAX_CURVES).map(|one| one.thinned(most)).collect();
    let values = || shown.iter().flat_map(|one| one.points().iter().map(|point| point.1));
    let (Some(low), Some(high)) = (values().reduce(f64::min), values().reduce(f64::max)) else {
        return html! {};
    };
    let unit = series[0].unit();
    let axis = Axis::of(low, high, unit);
    html! {
        figure.plot {
            figcaption {
                b { (visible(title)) }
                @if shown.len() > 1 || shown[0].name() != title {
                    @for (place, one) in shown.iter().enumerate() {
                        span class=(format!("key c{place}")) { (visible(one.name())) }
                    }
                }
                @if series.len() > MAX_CURVES {
                    span.range { (series.len() - MAX_CURVES) " more in report.json" }
                }
                span.range { (number::show_number(low, unit)) " … " (number::show_number(high, unit)) }
            }
            (axis.labels())
            svg viewBox=(format!("0 0 {WIDE} {HIGH}")) preserveAspectRatio="none" role="img"
                aria-label=(format!(
                    "{} over time, from {} to {}",
                    visible(title), number::show_number(low, unit), number::show_number(high, unit)
                )) {
                path.g d=(span.grid() + &axis.grid()) {}
                @for band in bands {
                    use class="band" href=(format!("#{band}")) transform=(format!("scale(1 {})", HIGH / 10.0)) {}
                }
                @for (place, one) in shown.iter().enumerate() {
                    path class=(format!("c{place}")) d=(curve(one.points(), span, &axis)) {}
                }
            }
        }
    }
}

/// The path of a curve; it breaks where nothing was seen for long.
fn curve(points: &[(f64, f64)], span: Span, axis: &Axis) -> String {
    let gap_ms = {
        let length = span.to_ms - span.from_ms;
        (length / points.len().max(1) as f64 * 8.0).max(length * 0.02)
    };
    let placed = points.iter().map(|(ms, value)| {
        (*ms, (span.part(*ms) * WIDE).round(), ((1.0 - axis.part(*value)) * HIGH).round())
    });
    let mut path = String::new();
    let mut before: Option<(f64, f64, f64)> = None;
    for (ms, x, y) in placed {
        // Writing to a String cannot fail.
        let _ = match before {
            None => write!(path, "M{x} {y}l"),
            Some((earlier, _, _)) if ms - earlier > gap_ms => write!(path, "M{x} {y}l"),
            Some((_, x0, y0)) if x == x0 && y == y0 => continue,
            Some((_, x0, y0)) => relative(&mut path, x - x0, y - y0),
        };
        before = Some((ms, x, y));
    }
    // A lone point is a line of no length, which round caps make a dot.
    path.replace("lM", "h0M").trim_end_matches('l').to_owned()
        + if path.ends_with('l') { "h0" } else { "" }
}

/// Two numbers of a path with no more between them than is needed.
fn relative(path: &mut String, dx: f64, dy: f64) -> std::fmt::Result {
    let first = !path.ends_with('l') && dx >= 0.0;
    write!(path, "{}{dx}{}{dy}", if first { " " } else { "" }, if dy >= 0.0 { " " } else { "" })
}

/// The values of a picture, from bottom to top.
struct Axis {
    low: f64,
    high: f64,
    unit: Unit,
}

impl Axis {
    fn of(low: f64, high: f64, unit: Unit) -> Self {
        // A picture of delays starts at zero, one of a clock that is hours off does not.
        let low = if low >= 0.0 && low < high * 0.6 { 0.0 } else { low };
        let margin = if high > low { (high - low) * 0.06 } else { high.abs().max(1.0) * 0.5 };
        let below = if low == 0.0 { 0.0 } else { margin };
        Self { low: low - below, high: high + margin, unit }
    }

    fn part(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    fn ticks(&self) -> Vec<f64> {
        ticks(self.low, self.high, 4)
    }

    fn labels(&self) -> Markup {
        html! {
            div.y aria-hidden="true" {
                @for tick in self.ticks() {
                    i style=(format!("top:{}%", cut((1.0 - self.part(tick)) * 100.0))) {
                        (number::show_number(tick, self.unit))
                    }
                }
            }
        }
    }

    fn grid(&self) -> String {
        let mut path = String::new();
        for tick in self.ticks() {
            // Writing to a String cannot fail.
            let _ = write!(path, "M0 {}h{WIDE}", ((1.0 - self.part(tick)) * HIGH).round());
        }
        path
    }
}

/// The id of the lane of a kind of mark on the page, for the cell with this id.
fn lane_id(cell: &str, kind: MarkKind) -> String {
    format!("{cell}-{}", kind.word().replace(' ', "-"))
}

/// The lanes that are repeated behind curves: when nothing came, or nothing moved.
pub(super) fn bands(cell: &str, marks: &[&Mark]) -> Vec<String> {
    [MarkKind::Lost, MarkKind::Frozen]
        .into_iter()
        .filter(|kind| marks.iter().any(|mark| mark.kind == *kind))
        .map(|kind| lane_id(cell, kind))
        .collect()
}

/// One row per kind of mark, on the same time as the pictures above them.
pub(super) fn lanes(cell: &str, marks: &[&Mark], span: Span) -> Markup {
    let rows = MarkKind::ALL.into_iter().filter_map(|kind| {
        let of_kind: Vec<&Mark> = marks.iter().copied().filter(|one| one.kind == kind).collect();
        (!of_kind.is_empty()).then_some((kind, of_kind))
    });
    html! {
        @for (kind, marks) in rows {
            div.lane {
                span.name { (kind.word()) }
                @if kind == MarkKind::Digit {
                    span.digits {
                        @for mark in marks.iter().take(64) {
                            i style=(format!("left:{}%", cut(span.part(mark.at_ms) * 100.0))) {
                                (visible(mark.label.as_deref().unwrap_or("·")))
                            }
                        }
                    }
                } @else {
                    svg viewBox=(format!("0 0 {WIDE} 10")) preserveAspectRatio="none"
                        aria-hidden="true" {
                        path id=(lane_id(cell, kind)) class=(format!("m-{}", severity(kind))) d=(bars(&marks, span)) {}
                    }
                }
                span.count { (number::digits(marks.iter().map(|one| one.count).sum::<u64>() as f64)) }
            }
        }
    }
}

/// How alarming a mark is.
const fn severity(kind: MarkKind) -> &'static str {
    match kind {
        MarkKind::Lost | MarkKind::FrameDropped | MarkKind::Frozen => "bad",
        MarkKind::Late | MarkKind::Concealed => "poor",
        _ => "note",
    }
}

fn bars(marks: &[&Mark], span: Span) -> String {
    let mut path = String::new();
    for mark in marks {
        let x = (span.part(mark.at_ms) * WIDE).round();
        // A moment is still three cells wide, or nobody would see it.
        let width = (mark.duration_ms / (span.to_ms - span.from_ms) * WIDE).round().max(3.0);
        // Writing to a String cannot fail.
        let _ = write!(path, "M{x} 0h{width}v10h-{width}z");
    }
    path
}

/// Percentile curves, on the axis that gives each further nine the same room.
pub(super) fn percentiles(unit: Unit, histograms: &[&Histogram]) -> Markup {
    let shown: Vec<&Histogram> =
        histograms.iter().copied().filter(|one| !one.points.is_empty()).take(MAX_CURVES).collect();
    let high = shown.iter().map(|one| one.max).reduce(f64::max);
    let low = shown.iter().map(|one| one.min).reduce(f64::min);
    let (Some(low), Some(high)) = (low, high) else { return html! {} };
    let axis = Axis::of(low, high, unit);
    let most = shown.iter().map(|one| one.count).max().unwrap_or(1);
    let nines = (most.max(10) as f64).log10();
    let place =
        |percentile: f64| (-(1.0 - percentile / 100.0).max(1e-9).log10()).clamp(0.0, nines) / nines;
    let ticks = [0.0_f64, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999];
    let ticks: Vec<f64> =
        ticks.into_iter().filter(|tick| -(1.0 - tick / 100.0).log10() <= nines).collect();
    let grid: String =
        ticks.iter().map(|tick| format!("M{} 0v{HIGH}", (place(*tick) * WIDE).round())).collect();
    html! {
        figure.plot.tall {
            figcaption {
                b { "Percentiles" }
                @for (place, one) in shown.iter().enumerate() {
                    span class=(format!("key c{place}")) { (visible(&one.name)) }
                }
                span.range {
                    @for percentile in [50.0, 99.0] {
                        @if let Some(value) = shown[0].value_at(percentile) {
                            "p" (percentile) " " (number::show_number(value, unit)) " · "
                        }
                    }
                    "max " (number::show_number(shown[0].max, unit))
                }
            }
            (axis.labels())
            svg viewBox=(format!("0 0 {WIDE} {HIGH}")) preserveAspectRatio="none" role="img"
                aria-label=(format!("Percentile curves up to {}", number::show_number(high, unit))) {
                path.g d=(grid + &axis.grid()) {}
                @for (order, one) in shown.iter().enumerate() {
                    path class=(format!("c{order}")) d=(percentile_curve(one, &axis, place)) {}
                }
            }
            div.x aria-hidden="true" {
                @for tick in ticks {
                    i style=(format!("left:{}%", cut(place(tick) * 100.0))) { (tick) " %" }
                }
            }
        }
    }
}

fn percentile_curve(one: &Histogram, axis: &Axis, place: impl Fn(f64) -> f64) -> String {
    let mut path = String::new();
    for point in &one.points {
        let (x, y) = (place(point.percentile) * WIDE, (1.0 - axis.part(point.value)) * HIGH);
        // Writing to a String cannot fail.
        let _ =
            write!(path, "{}{} {}", if path.is_empty() { "M" } else { "L" }, x.round(), y.round());
    }
    path
}

/// Every value as a tick on one line, from `low` to `high`.
pub(super) fn strip(values: &[f64], median: f64) -> Markup {
    let (low, high) = (values.first().copied(), values.last().copied());
    let (low, high) = (low.unwrap_or(0.0), high.unwrap_or(1.0));
    let place = |value: f64| {
        if high > low { ((value - low) / (high - low) * 1_960.0).round() + 20.0 } else { 1_000.0 }
    };
    let mut path = String::new();
    let mut before = f64::NAN;
    for value in values {
        let x = place(*value);
        if x != before {
            // Writing to a String cannot fail.
            let _ = write!(path, "M{x} 4v16");
        }
        before = x;
    }
    html! {
        svg.strip viewBox="0 0 2000 24" preserveAspectRatio="none" aria-hidden="true" {
            path.t d=(path) {}
            path.mid d=(format!("M{} 0v24", place(median))) {}
        }
    }
}

/// Round numbers from `low` to `high`, about `most` of them.
fn ticks(low: f64, high: f64, most: usize) -> Vec<f64> {
    let span = high - low;
    if !span.is_finite() || span <= 0.0 {
        return vec![low];
    }
    let rough = span / most as f64;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough)
        .unwrap_or(10.0 * power);
    let first = (low / step).ceil();
    // Multiplied, not added up, so that 0.3 is not 0.30000000000000004.
    (0..=most * 2)
        .map(|place| {
            let tick = (first + place as f64) * step;
            if step < 1.0 { (tick / step).round() / (1.0 / step).round() } else { tick }
        })
        .take_while(|tick| *tick <= high)
        .collect()
}

/// A percentage with two digits at most.
fn cut(percent: f64) -> String {
    number::plain((percent * 100.0).round() / 100.0)
}

/// Text that is SVG or CSS of our own making.
pub(super) fn ours(text: &'static str) -> PreEscaped<&'static str> {
    PreEscaped(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(ticks(0.0, 100.0, 5), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(ticks(0.0, 0.3, 3), [0.0, 0.1, 0.2, 0.3]);
        assert_eq!(ticks(-3.0, 7.0, 3), [0.0, 5.0]);
        assert_eq!(ticks(1.0, 1.0, 3), [1.0]);
    }

    #[test]
    fn a_curve_breaks_where_nothing_was_seen() {
        let mut points: Vec<(f64, f64)> = (0..50).map(|n| (f64::from(n) * 10.0, 1.0)).collect();
        points.extend((0..50).map(|n| (5_000.0 + f64::from(n) * 10.0, 2.0)));
        let span = Span { from_ms: 0.0, to_ms: 5_500.0 };
        let path = curve(&points, span, &Axis::of(0.0, 2.0, Unit::Seconds));
        assert_eq!(path.matches('M').count(), 2, "{path}");
    }
}
