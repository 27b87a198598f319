//! The report for a terminal: what a person sees when the run ends.
//!
//! Totals, what failed with its first evidence, and the worst cells; never more than about two
//! screens. Text from outside cannot steer the terminal: see [`crate::escape`].

use std::fmt::Write as _;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::escape::visible;
use crate::report::Report;
use crate::verdict::Verdict;

use super::cells::{Cell, Cells, Lens};
use super::overview::{self, Group};

/// How the terminal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Columns; lines are cut to fit. At least 40 are assumed.
    pub width: usize,
    /// Whether to use colours (ANSI SGR).
    pub color: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { width: 100, color: false }
    }
}

/// How many broken requirements are told.
const MAX_GROUPS: usize = 8;
/// How many cells are listed.
const MAX_CELLS: usize = 6;

/// The whole text, with a final newline.
#[must_use]
pub fn render(report: &Report, options: Options) -> String {
    let mut out =
        Text { lines: String::new(), width: options.width.clamp(40, 400), color: options.color };
    let cells = Cells::of(report);
    out.line(&[(Style::Bold, &overview::headline(report))]);
    out.line(&[(Style::Dim, &overview::scope(report))]);
    totals(&mut out, report);
    for group in overview::groups(report).iter().take(MAX_GROUPS) {
        told(&mut out, report, group);
    }
    let groups = overview::groups(report).len();
    if groups > MAX_GROUPS {
        out.line(&[(Style::Dim, &format!("and {} more; see the report", groups - MAX_GROUPS))]);
    }
    spreads(&mut out, &cells);
    worst(&mut out, &cells);
    out.lines
}

#[derive(Clone, Copy)]
enum Style {
    Plain,
    Bold,
    Dim,
    Of(Verdict),
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Of(Verdict::Pass) => "32",
            Self::Of(Verdict::Unsupported) => "90",
            Self::Of(Verdict::Warn) => "33",
            Self::Of(Verdict::Error) => "35",
            Self::Of(Verdict::Fail) => "1;31",
        }
    }
}

/// Lines cut to a width, coloured or not.
struct Text {
    lines: String,
    width: usize,
    color: bool,
}

impl Text {
    /// One line of styled parts, cut to the width. Every part is made visible here, so no caller can
    /// forget it.
    fn line(&mut self, parts: &[(Style, &str)]) {
        let mut left = self.width;
        for (style, text) in parts {
            let text = visible(text);
            let cut = cut(&text, left);
            left -= cut.width();
            if self.color && !style.code().is_empty() && !cut.is_empty() {
                // Writing to a String cannot fail.
                let _ = write!(self.lines, "\x1b[{}m{cut}\x1b[0m", style.code());
            } else {
                self.lines.push_str(&cut);
            }
        }
        let end = self.lines.trim_end_matches(' ').len();
        self.lines.truncate(end);
        self.lines.push('\n');
    }

    fn blank(&mut self) {
        self.lines.push('\n');
    }
}

/// As much of the text as fits, ending in `…` if that is not all.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for one in text.chars() {
        let wide = one.width().unwrap_or(0);
        if used + wide + 1 > width {
            break;
        }
        used += wide;
        out.push(one);
    }
    if width > 0 {
        out.push('…');
    }
    out
}

fn totals(out: &mut Text, report: &Report) {
    let totals: Vec<(Style, String)> = Verdict::WORST_FIRST
        .into_iter()
        .filter(|verdict| report.totals.count(*verdict) > 0)
        .map(|verdict| {
            let count = report.totals.count(verdict);
            (Style::Of(verdict), format!("{} {count} {}  ", verdict.sign(), verdict.word()))
        })
        .collect();
    let parts: Vec<(Style, &str)> = totals.iter().map(|(style, text)| (*style, &**text)).collect();
    out.line(&parts);
}

fn told(out: &mut Text, report: &Report, group: &Group<'_>) {
    let style = Style::Of(group.verdict);
    let times = match group.results.len() {
        1 => String::new(),
        times => format!("  ({times} results)"),
    };
    out.blank();
    let sign = format!("{} ", group.verdict.sign());
    out.line(&[(style, &sign), (Style::Bold, group.title), (Style::Dim, &times)]);
    let key = group.results[0].key().to_string();
    let Some(finding) = group.finding else {
        out.line(&[(Style::Dim, "  at        "), (Style::Plain, &key)]);
        return;
    };
    out.line(&[
        (Style::Dim, "  "),
        (Style::Dim, finding.level.word()),
        (Style::Dim, " · "),
        (Style::Dim, &finding.citation),
        (Style::Dim, " · "),
        (Style::Dim, &finding.requirement),
    ]);
    out.line(&[(Style::Dim, "  at        "), (Style::Plain, &key)]);
    out.line(&[(Style::Dim, "  expected  "), (Style::Plain, &finding.expected)]);
    out.line(&[(Style::Dim, "  actual    "), (style, &finding.actual)]);
    if let Some(first) = finding.evidence.first() {
        let more = match finding.evidence.len() {
            1 => String::new(),
            lines => format!("  (+{} lines)", lines - 1),
        };
        out.line(&[(Style::Dim, "  evidence  "), (Style::Plain, first), (Style::Dim, &more)]);
    }
    if let Some(advice) = report.advice.get(&finding.requirement) {
        out.line(&[(Style::Dim, "  usually   "), (Style::Plain, advice)]);
    }
}

fn spreads(out: &mut Text, cells: &Cells<'_>) {
    let spreads = overview::spreads(cells);
    if spreads.is_empty() {
        return;
    }
    out.blank();
    let wide = (out.width.saturating_sub(24) / 3).clamp(10, 14);
    let head = ["least", "median", "greatest"].map(|word| right(word, wide)).concat();
    let head = format!("{:24}{head}", "");
    out.line(&[(Style::Dim, &head)]);
    for spread in spreads {
        let shown =
            |value: f64| right(&crate::number::show_number(value, spread.metric.unit), wide);
        out.line(&[
            (Style::Plain, &format!("{:<24}", spread.title)),
            (Style::Plain, &shown(spread.least.0)),
            (Style::Bold, &shown(spread.median.0)),
            (Style::Plain, &shown(spread.greatest.0)),
        ]);
    }
}

/// Padded on the left, by columns of the terminal.
fn right(text: &str, width: usize) -> String {
    format!("{}{text}", " ".repeat(width.saturating_sub(text.width())))
}

fn worst(out: &mut Text, cells: &Cells<'_>) {
    let worst = overview::worst_cells(cells, MAX_CELLS);
    if worst.is_empty() {
        return;
    }
    out.blank();
    out.line(&[(Style::Dim, "look first at")]);
    for cell in worst {
        worst_cell(out, cells, cell);
    }
}

fn worst_cell(out: &mut Text, cells: &Cells<'_>, cell: &Cell<'_>) {
    let verdict = cell.verdict();
    let name_width = (out.width * 2 / 5).max(20);
    let name = cut(&visible(&cells.name(cell)), name_width);
    let pad = " ".repeat(name_width.saturating_sub(name.width()) + 2);
    let mut values = String::new();
    for lens in [Lens::Quality, Lens::Delay, Lens::Loss] {
        if let Some(metric) = cell.seen_through(lens) {
            let value = format!("{} {}", overview::short(&metric.name), metric.shown());
            // Writing to a String cannot fail.
            let _ = write!(values, "{value:<14}  ");
        }
    }
    let sign = format!("  {} ", verdict.sign());
    out.line(&[
        (Style::Of(verdict), &sign),
        (Style::Plain, &name),
        (Style::Plain, &pad),
        (Style::Plain, values.trim_end()),
    ]);
}
