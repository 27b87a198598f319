//! The heat-map of the page: recordings down, network conditions across.
//!
//! Good cells are quiet and bad ones are not, in steps that differ in lightness as well as in hue;
//! what is not green has its sign in the corner. Which quantity is shown is switched without a
//! script.

use maud::{Markup, html};

use crate::escape::visible;
use crate::metric::Metric;
use crate::number;
use crate::verdict::Verdict;

use super::cells::{Cell, Cells, Lens};
use super::html::anchor;

/// The section; nothing if no result has both a recording and a network.
pub(super) fn section(cells: &Cells<'_>) -> Markup {
    let drawn = cells
        .all()
        .any(|cell| cells.rows[cell.row].is_some() && cells.columns[cell.column].is_some());
    if !drawn {
        return html! {};
    }
    html! {
        section #matrix aria-labelledby="matrix-title" {
            h2 #matrix-title { "Every recording under every network" }
            div.bar {
                fieldset.switch {
                    legend.unseen { "What the cells show" }
                    @for (place, lens) in Lens::ALL.into_iter().enumerate() {
                        input type="radio" name="lens" id=(format!("lens-{}", class(lens)))
                            checked[place == 0];
                        label for=(format!("lens-{}", class(lens))) { (title(lens)) }
                    }
                }
                label.filter hidden { span.unseen { "Filter recordings" }
                    input type="search" placeholder="Filter recordings" autocomplete="off"; }
            }
            p.legend {
                @for lens in Lens::ALL { span class=(class(lens)) { (explained(lens)) " " } }
                span.scale aria-hidden="true" {
                    "good" @for step in 0..7 { i class=(format!("h{step}")) {} } "bad"
                }
            }
            div.scroll tabindex="0" role="region" aria-label="Recordings by network condition" {
                (table(cells))
            }
        }
    }
}

fn table(cells: &Cells<'_>) -> Markup {
    let kind = |row: usize| cells.rows[row].map_or("", |recording| recording.kind.as_str());
    let (rows, columns) = cells.matrix();
    let about = |column: usize| cells.columns[column].map(|one| visible(&one.description));
    html! {
        table.heat {
            thead { tr {
                th scope="col" { "Recording" }
                @for column in &columns {
                    th scope="col" title=[about(*column)] { (visible(cells.column_name(*column))) }
                }
            } }
            @for (place, row) in rows.iter().copied().enumerate() {
                @if !kind(row).is_empty() && (place == 0 || kind(row) != kind(rows[place - 1])) {
                    tbody.kind { tr { th scope="rowgroup" colspan=(columns.len() + 1) { (visible(kind(row))) } } }
                }
                tbody { tr {
                    th scope="row" {
                        a href=(format!("#r{row}")) { (visible(cells.row_name(row))) }
                    }
                    @for column in &columns {
                        @match cells.get(row, *column) {
                            Some(cell) => (drawn(cells, cell)),
                            None => td.none { span.unseen { "not run" } },
                        }
                    }
                } }
            }
        }
    }
}

fn drawn(cells: &Cells<'_>, cell: &Cell<'_>) -> Markup {
    let verdict = cell.verdict();
    let totals = cell.totals();
    let green = totals.all() == totals.pass + totals.unsupported;
    html! {
        td {
            a href=(format!("#{}", anchor(cell.row, cell.column))) class=(format!("v-{}", verdict.word())) {
                @for lens in [Lens::Quality, Lens::Delay, Lens::Loss] {
                    (seen(cells, cell, lens, cell.seen_through(lens)))
                }
                span class=(format!("{} {}", class(Lens::Verdicts), verdict_heat(verdict))) {
                    @if green { (totals.pass) } @else {
                        (totals.fail + totals.error + totals.warn) " of " (totals.all())
                    }
                }
                @if verdict != Verdict::Pass {
                    b title=(verdict.word()) { (verdict.sign()) }
                    span.unseen { (verdict.word()) }
                }
            }
        }
    }
}

fn seen(cells: &Cells<'_>, cell: &Cell<'_>, lens: Lens, metric: Option<&Metric>) -> Markup {
    let Some(metric) = metric else {
        return html! { span class=(format!("{} none", class(lens))) { "–" } };
    };
    let heat = cells.heat(cell, metric).map_or(String::new(), |heat| format!(" h{heat}"));
    html! {
        span class=(format!("{}{heat}", class(lens))) data-m=(metric.full_name())
            data-v=(number::plain_value(&metric.value)) { (visible(&metric.shown())) }
    }
}

const fn verdict_heat(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass | Verdict::Unsupported => "h0",
        Verdict::Warn => "h2",
        Verdict::Error => "h4",
        Verdict::Fail => "h6",
    }
}

const fn class(lens: Lens) -> &'static str {
    match lens {
        Lens::Quality => "q",
        Lens::Delay => "d",
        Lens::Loss => "l",
        Lens::Verdicts => "w",
    }
}

const fn title(lens: Lens) -> &'static str {
    match lens {
        Lens::Quality => "Quality",
        Lens::Delay => "Delay",
        Lens::Loss => "Loss",
        Lens::Verdicts => "Verdicts",
    }
}

const fn explained(lens: Lens) -> &'static str {
    match lens {
        Lens::Quality => {
            "Speech: MOS by the E-model, 1 to 4.5; in a meeting, how like it was what was said, in dB. \
             Video: the part of the frames that was shown."
        }
        Lens::Delay => "From end to end: 95 % of what was played or shown took at most this.",
        Lens::Loss => "Packets that never arrived, as a part of those sent.",
        Lens::Verdicts => "How many cases passed; or how many did not, and of how many.",
    }
}
