//! The course of what was measured, for the terminal: what changed in which commit, and how a
//! value went.

use std::fmt::Write as _;

use crate::escape::visible;
use crate::gate::history::{Entry, History};
use crate::metric::Value;
use crate::number;

/// The most changes that are told.
const TOLD_MAX: usize = 200;
/// The most lines of the course of one value.
const COURSE_MAX: usize = 60;

/// The whole answer; `metric` (where `*` stands for anything) selects what is told.
#[must_use]
pub fn text(history: &History, metric: Option<&str>) -> String {
    let wanted = |name: &str| metric.is_none_or(|one| crate::gate::bounds::matches(one, name));
    let mut out = String::new();
    // Writing to a String cannot fail.
    for line in &history.broken {
        let _ = writeln!(out, "note: line {line} cannot be read, or follows one that cannot");
    }
    let _ = writeln!(out, "{} runs", history.entries.len());
    let changes: Vec<_> =
        history.changes().into_iter().filter(|change| wanted(&change.name)).collect();
    let mut last = usize::MAX;
    for change in changes.iter().rev().take(TOLD_MAX) {
        if change.entry != last {
            let _ = writeln!(out, "\n{}", of_entry(&history.entries[change.entry]));
            last = change.entry;
        }
        let _ = writeln!(
            out,
            "  {}: {} -> {}",
            visible(&change.name),
            shown(change.before.as_ref()),
            shown(change.after.as_ref())
        );
    }
    if changes.is_empty() {
        let _ = writeln!(out, "\nnothing changed");
    }
    if changes.len() > TOLD_MAX {
        let _ = writeln!(out, "\nand {} older changes", changes.len() - TOLD_MAX);
    }
    courses(&mut out, history, metric);
    out
}

/// How the selected values went, if they are few.
fn courses(out: &mut String, history: &History, metric: Option<&str>) {
    let Some(pattern) = metric else { return };
    let names: Vec<&String> = history
        .state
        .keys()
        .filter(|name| crate::gate::bounds::matches(pattern, name))
        .take(4)
        .collect();
    for name in names {
        let course = history.course(name);
        let numbers: Vec<f64> = course.iter().flatten().filter_map(Value::number).collect();
        let most = numbers.iter().copied().fold(f64::MIN, f64::max);
        let _ = writeln!(out, "\n{}", visible(name));
        let from = course.len().saturating_sub(COURSE_MAX);
        for (entry, value) in history.entries.iter().zip(&course).skip(from) {
            let number = value.as_ref().and_then(Value::number);
            let width = number.map_or(0, |number| {
                if most > 0.0 {
                    (40.0 * (number / most).clamp(0.0, 1.0)).round() as usize
                } else {
                    0
                }
            });
            let _ = writeln!(
                out,
                "  {} {:<12} {:>14} {}",
                short(entry),
                visible(entry.at.get(..10).unwrap_or(&entry.at)),
                shown(value.as_ref()),
                "▆".repeat(width)
            );
        }
    }
}

fn of_entry(entry: &Entry) -> String {
    let dirty = if entry.dirty { " with changes that were not committed" } else { "" };
    let commit = entry.commit.as_deref().unwrap_or("an unknown commit");
    format!("{}{dirty}, {} ({})", visible(commit), visible(&entry.at), entry.outcome.word())
}

fn short(entry: &Entry) -> String {
    let commit = entry.commit.as_deref().unwrap_or("unknown");
    visible(commit).chars().take(10).collect()
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "gone".into(), |value| visible(&number::plain_value(value)).into_owned())
}
