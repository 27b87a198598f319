//! The report as GitHub Markdown: what a reviewer reads under a pull request.
//!
//! Everything from outside stands in code, so nothing in it can mention, link or format; the whole
//! stays below the size that GitHub cuts a job summary at (1 MiB).

use std::fmt::Write as _;

use crate::escape::{markdown_code as code, markdown_prose as prose, visible};
use crate::report::Report;
use crate::verdict::{Level, Verdict};

use super::cells::{Cell, Cells, Lens};
use super::overview::{self, Group};

/// How many broken requirements are told with their evidence.
const MAX_GROUPS: usize = 20;
/// How many rows the matrix has.
const MAX_ROWS: usize = 200;
/// How many lines of evidence a finding shows.
const MAX_EVIDENCE: usize = 8;

/// The whole file.
#[must_use]
pub fn render(report: &Report) -> String {
    let cells = Cells::of(report);
    let mut out = String::new();
    // Writing to a String cannot fail; the results of `write!` are ignored for that reason.
    let _ = writeln!(out, "# {}\n", overview::headline(report));
    let _ = writeln!(out, "{}\n", overview::scope(report));
    totals(&mut out, report);
    findings(&mut out, report);
    matrix(&mut out, &cells);
    environment(&mut out, report);
    out
}

fn totals(out: &mut String, report: &Report) {
    let _ = writeln!(out, "| verdict | results |\n| :-- | --: |");
    for verdict in Verdict::WORST_FIRST {
        let count = report.totals.count(verdict);
        if count > 0 {
            let _ = writeln!(out, "| {} {} | {count} |", verdict.sign(), verdict.word());
        }
    }
    out.push('\n');
}

fn findings(out: &mut String, report: &Report) {
    let groups = overview::groups(report);
    for (title, verdict) in
        [("Failures", Verdict::Fail), ("Errors", Verdict::Error), ("Warnings", Verdict::Warn)]
    {
        let of_kind: Vec<&Group<'_>> =
            groups.iter().filter(|group| group.verdict == verdict).collect();
        if of_kind.is_empty() {
            continue;
        }
        let _ = writeln!(out, "## {title}\n");
        for group in of_kind.iter().take(MAX_GROUPS) {
            told(out, report, group);
        }
        if of_kind.len() > MAX_GROUPS {
            let _ = writeln!(out, "…and {} more.\n", of_kind.len() - MAX_GROUPS);
        }
    }
}

fn told(out: &mut String, report: &Report, group: &Group<'_>) {
    let first = group.results[0];
    let Some(finding) = group.finding else {
        let _ = writeln!(out, "- **{}** {}", plural(group.results.len()), prose(group.title));
        let _ = writeln!(out, "  - first at {}\n", code(&first.key().to_string()));
        return;
    };
    let _ = writeln!(
        out,
        "### {}\n\n{} · {} · {} · {}\n",
        prose(&finding.sentence),
        match finding.level {
            Level::Must => "**Must**",
            Level::Should => "**Should**",
            Level::May => "**May**",
        },
        prose(&finding.citation),
        code(&finding.requirement),
        plural(group.results.len()),
    );
    let _ = writeln!(out, "- at: {}", code(&first.key().to_string()));
    let _ = writeln!(out, "- expected: {}", code(&finding.expected));
    let _ = writeln!(out, "- actual: {}", code(&finding.actual));
    if let Some(advice) = report.advice.get(&finding.requirement) {
        let _ = writeln!(out, "- what usually goes wrong: {}", prose(advice));
    }
    out.push('\n');
    if finding.evidence.is_empty() {
        return;
    }
    // Indented code cannot be closed from within, whatever the evidence holds.
    for line in finding.evidence.iter().take(MAX_EVIDENCE) {
        let _ = writeln!(out, "      {}", visible(line));
    }
    if finding.evidence.len() > MAX_EVIDENCE {
        let _ = writeln!(out, "      … {} more lines", finding.evidence.len() - MAX_EVIDENCE);
    }
    out.push('\n');
}

fn plural(results: usize) -> String {
    if results == 1 { "1 result".into() } else { format!("{results} results") }
}

fn matrix(out: &mut String, cells: &Cells<'_>) {
    if cells.all().all(|cell| cell.seen_through(Lens::Quality).is_none()) {
        return;
    }
    out.push_str("## Quality by recording and network\n\n");
    out.push_str(
        "MOS for speech, the part of the frames that was shown for video.\n\n| recording |",
    );
    let (rows, columns) = cells.matrix();
    for column in &columns {
        let _ = write!(out, " {} |", code(cells.column_name(*column)));
    }
    out.push_str("\n| :-- |");
    out.push_str(&" --: |".repeat(columns.len()));
    out.push('\n');
    for row in rows.iter().take(MAX_ROWS) {
        let _ = write!(out, "| {} |", code(cells.row_name(*row)));
        for column in &columns {
            let _ = write!(out, " {} |", cells.get(*row, *column).map_or("".into(), cell_text));
        }
        out.push('\n');
    }
    if rows.len() > MAX_ROWS {
        let _ = writeln!(out, "\n…and {} more recordings.", rows.len() - MAX_ROWS);
    }
    out.push('\n');
}

fn cell_text(cell: &Cell<'_>) -> String {
    let shown = cell.seen_through(Lens::Quality).map(|metric| match metric.value {
        crate::metric::Value::Text(_) => code(&metric.shown()),
        _ => metric.shown(),
    });
    let shown = shown.unwrap_or_default();
    match cell.verdict() {
        Verdict::Pass => shown,
        verdict => format!("{} {shown}", verdict.sign()).trim_end().to_owned(),
    }
}

fn environment(out: &mut String, report: &Report) {
    out.push_str("<details><summary>Environment</summary>\n\n| | |\n| :-- | :-- |\n");
    for (name, value) in overview::environment(report) {
        let _ = writeln!(out, "| {} | {} |", visible(&name).replace('|', "&#124;"), code(&value));
    }
    out.push_str("\n</details>\n");
}
