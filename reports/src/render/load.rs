//! What a load found: for the terminal, for a pull request, as a page, as JUnit and as JSON.

mod page;

pub use page::html;

use std::fmt::Write as _;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use crate::escape::{markdown_code as code, visible};
use crate::gate::Outcome;
use crate::histogram::Histogram;
use crate::load::outcome::{Answer, Judged, Load};
use crate::load::step;
use crate::metric::Unit;
use crate::number;

/// The percentiles that are told.
const PERCENTILES: [f64; 5] = [50.0, 90.0, 99.0, 99.9, 100.0];

/// As JSON.
#[must_use]
pub fn json(load: &Load) -> String {
    let mut text = serde_json::to_string_pretty(load).expect("numbers are finite, keys are words");
    text.push('\n');
    text
}

/// One line that says it all.
#[must_use]
pub fn headline(load: &Load) -> String {
    let words = match load.outcome {
        Outcome::Clear if load.objectives.is_empty() => "measured, without objectives",
        Outcome::Clear => "every objective met",
        Outcome::Inconclusive => "inconclusive",
        Outcome::Regressed => "an objective was broken",
    };
    format!(
        "load: {words}; {} of {} calls succeeded at {}/s",
        load.succeeded,
        load.intended,
        number::digits(load.rate)
    )
}

fn seconds(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |value| number::show_number(value, Unit::Seconds))
}

/// A value in a unit of steps.
fn shown(value: Option<f64>, unit: Unit) -> String {
    match (value, unit) {
        (Some(value), Unit::Ratio) => format!("{} %", number::digits(100.0 * value)),
        (value, _) => seconds(value),
    }
}

fn row(histogram: &Histogram) -> Vec<String> {
    let mut row = vec![histogram.name.to_string(), histogram.count.to_string()];
    row.extend(PERCENTILES.map(|percentile| shown(histogram.value_at(percentile), histogram.unit)));
    row
}

fn value_of(judged: &Judged) -> String {
    let (Some(value), Some(limit)) = (judged.value, judged.limit) else { return String::new() };
    if judged.objective.contains("errors") {
        return format!("{} of {} %", number::digits(100.0 * value), number::digits(100.0 * limit));
    }
    if judged.objective.contains("rate") {
        return format!("{} of {}/s", number::digits(value), number::digits(limit));
    }
    let unit = judged
        .objective
        .split_once('.')
        .map_or(Unit::Seconds, |(stage, _)| step::unit(stage.trim()));
    format!("{} of {}", shown(Some(value), unit), shown(Some(limit), unit))
}

/// What was said of the generator itself.
fn honesty(load: &Load) -> String {
    let late = |percentile| seconds(load.lateness.value_at(percentile));
    let cpu = load.own_cpu.map_or_else(
        || "unknown".to_owned(),
        |share| format!("{} %", number::digits((1_000.0 * share).round() / 10.0)),
    );
    format!(
        "the generator was late by {} (p50), {} (p99), {} (max); {} of {} windows void; its own \
         share of the processors: {cpu}",
        late(50.0),
        late(99.0),
        late(100.0),
        load.void_windows,
        load.windows
    )
}

/// What was measured of steps and of media: what to call each, and what there is of it.
fn tables(load: &Load) -> Vec<(&'static str, Vec<&Histogram>)> {
    let some = load.latencies.iter().filter(|one| one.count > 0);
    let (figures, steps): (Vec<_>, Vec<_>) = some.partition(|one| step::is_figure(Some(&one.name)));
    let tables = [("from intended", steps), ("of media", figures)];
    tables.into_iter().filter(|(_, list)| !list.is_empty()).collect()
}

/// For the terminal.
#[must_use]
pub fn text(load: &Load) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}: {}", visible(&load.target), visible(&load.arrivals));
    for (name, list) in tables(load) {
        let _ = writeln!(
            out,
            "{name:<13} {:>9} {:>11} {:>11} {:>11} {:>11} {:>11}",
            "count", "p50", "p90", "p99", "p99.9", "max"
        );
        for histogram in list {
            let row = row(histogram);
            let _ = writeln!(
                out,
                "{:<13} {:>9} {:>11} {:>11} {:>11} {:>11} {:>11}",
                visible(&row[0]),
                row[1],
                row[2],
                row[3],
                row[4],
                row[5],
                row[6]
            );
        }
    }
    for (why, count) in &load.failures {
        let _ = writeln!(out, "failed     {count} times: {}", visible(why));
    }
    let _ = writeln!(out, "honesty    {}", honesty(load));
    for judged in &load.objectives {
        let _ = writeln!(
            out,
            "{:<15} {}  {}  ({})",
            judged.answer.word(),
            visible(&judged.objective),
            value_of(judged),
            visible(&judged.why)
        );
    }
    for note in &load.notes {
        let _ = writeln!(out, "note       {}", visible(note));
    }
    let _ = writeln!(out, "{}", headline(load));
    out
}

/// For a comment under a pull request.
#[must_use]
pub fn markdown(load: &Load) -> String {
    let mut out = format!("## {}\n\n", headline(load));
    let _ = writeln!(out, "{} · {}\n", code(&load.target), code(&load.arrivals));
    for (name, list) in tables(load) {
        let _ = writeln!(out, "| {name} | count | p50 | p90 | p99 | p99.9 | max |");
        let _ = writeln!(out, "| :-- | --: | --: | --: | --: | --: | --: |");
        for histogram in list {
            let cells: Vec<String> = row(histogram).iter().map(|cell| code(cell)).collect();
            let _ = writeln!(out, "| {} |", cells.join(" | "));
        }
        out.push('\n');
    }
    for judged in &load.objectives {
        let _ = writeln!(
            out,
            "- {}: {} {} ({})",
            judged.answer.word(),
            code(&judged.objective),
            code(&value_of(judged)),
            code(&judged.why)
        );
    }
    for (why, count) in &load.failures {
        let _ = writeln!(out, "- failed {count} times: {}", code(why));
    }
    let _ = writeln!(out, "\n{}", code(&honesty(load)));
    out
}

/// As JUnit XML: an objective that is broken failed, one that is not measurable is an error.
#[must_use]
pub fn junit(load: &Load) -> String {
    let mut suite = TestSuite::new("callrig load");
    for judged in &load.objectives {
        let message = format!("{} ({})", value_of(judged), judged.why);
        let status = match judged.answer {
            Answer::Met => TestCaseStatus::success(),
            Answer::Broken => failed(NonSuccessKind::Failure, &message),
            Answer::NotMeasurable => failed(NonSuccessKind::Error, &message),
        };
        suite.add_test_case(TestCase::new(visible(&judged.objective), status));
    }
    let whole = match load.outcome {
        Outcome::Inconclusive => failed(NonSuccessKind::Error, &honesty(load)),
        Outcome::Clear | Outcome::Regressed => TestCaseStatus::success(),
    };
    suite.add_test_case(TestCase::new("the load could be judged", whole));
    let mut file = quick_junit::Report::new("callrig load");
    file.add_test_suite(suite);
    let text = file.to_string().expect("writing to memory does not fail, and all text is visible");
    super::junit::without_skipped_on_root(&text)
}

fn failed(kind: NonSuccessKind, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(visible(message));
    status
}
