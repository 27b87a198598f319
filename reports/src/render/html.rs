//! The report as one page of HTML that needs nothing else: no network, no fonts, no script.
//!
//! The script that is there only filters and jumps. Everything from outside goes through
//! [`visible`] and then maud's escaping; ids and classes are never made of
//! it. A policy in the page's head forbids loading anything, whatever else went wrong.

use maud::{DOCTYPE, Markup, html};

use crate::escape::visible;
use crate::metric::{Direction, Repeatability};
use crate::number;
use crate::report::Report;
use crate::verdict::Verdict;

use super::cells::Cells;
use super::{findings, matrix, overview, plot, recording, requirements};

const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/// The whole page.
#[must_use]
pub fn render(report: &Report) -> String {
    let cells = Cells::of(report);
    let headline = overview::headline(report);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            (head(&html! { (visible(&report.tool.name)) ": " (headline) }))
            body {
                a.skip href="#main" { "Skip to the report" }
                (top(report))
                main #main {
                    (lead(report, &headline))
                    (spreads(&cells))
                    (findings::section(report, &cells))
                    (requirements::section(report))
                    (matrix::section(&cells))
                    @if !report.recordings.is_empty() || requirements::is_empty(report) {
                        (recording::section(&cells))
                    }
                    (conditions(report))
                    (environment(report))
                    (definitions(report))
                }
                footer { "Every number on this page is one of report.json’s." }
                script { (plot::ours(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// The head of a page that loads nothing.
pub(super) fn head(title: &Markup) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta http-equiv="Content-Security-Policy" content=(POLICY);
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) }
            style { (plot::ours(STYLE)) }
        }
    }
}

/// The place of a cell on the page.
pub(super) fn anchor(row: usize, column: usize) -> String {
    format!("r{row}n{column}")
}

/// A verdict as a sign, with its word for those who do not see it.
pub(super) fn verdict_mark(verdict: Verdict) -> Markup {
    html! {
        span class=(format!("mark v-{}", verdict.word())) title=(verdict.word()) {
            span aria-hidden="true" { (verdict.sign()) } span.unseen { (verdict.word()) }
        }
    }
}

fn top(report: &Report) -> Markup {
    html! {
        header.top {
            span.brand { (visible(&report.tool.name)) }
            nav aria-label="Sections" {
                @if !overview::groups(report).is_empty() { a href="#findings" { "Findings" } }
                @if !requirements::is_empty(report) { a href="#requirements" { "Requirements" } }
                @if !report.networks.is_empty() { a href="#matrix" { "Matrix" } }
                @if !report.recordings.is_empty() { a href="#recordings" { "Recordings" } }
                a href="#environment" { "Environment" }
                a href="#definitions" { "Definitions" }
            }
        }
    }
}

fn lead(report: &Report, headline: &str) -> Markup {
    let worst = report.totals.worst().map_or("none", Verdict::word);
    html! {
        section.lead aria-label="Outcome" {
            p.when {
                time { (visible(&report.started_at)) } " · seed " (report.seed)
                @if let Some(commit) = &report.environment.commit {
                    " · " code { (visible(commit).chars().take(10).collect::<String>()) }
                    @if report.environment.dirty == Some(true) { " with changes" }
                }
            }
            h1 class=(format!("v-{worst}")) { (headline) }
            p.scope { (overview::scope(report)) }
            (totals(report))
        }
    }
}

fn totals(report: &Report) -> Markup {
    let present = || Verdict::WORST_FIRST.into_iter().filter(|one| report.totals.count(*one) > 0);
    html! {
        div.totals-bar aria-hidden="true" {
            @for verdict in present() {
                i class=(format!("v-{}", verdict.word()))
                    style=(format!("flex-grow:{}", report.totals.count(verdict))) {}
            }
        }
        ul.totals {
            @for verdict in present() {
                li class=(format!("v-{}", verdict.word())) {
                    b data-total=(verdict.word()) { (number::digits(report.totals.count(verdict) as f64)) }
                    " " (verdict.word())
                }
            }
        }
    }
}

fn spreads(cells: &Cells<'_>) -> Markup {
    let spreads = overview::spreads(cells);
    html! {
        @if !spreads.is_empty() {
            section.spreads aria-label="At a glance" {
                @for one in spreads {
                    @let unit = one.metric.unit;
                    @let worse = if one.metric.direction == Direction::HigherIsBetter { one.least } else { one.greatest };
                    div {
                        h3 { (one.title) }
                        p.median { (number::show_number(one.median.0, unit)) span.quiet { " median" } }
                        (plot::strip(&one.values, one.median.0))
                        p.ends {
                            span { (number::show_number(one.least.0, unit)) }
                            span { (number::show_number(one.greatest.0, unit)) }
                        }
                        p.worst { "worst: " a href=(format!("#{}", anchor(worse.1.row, worse.1.column))) {
                            (visible(&cells.name(worse.1)))
                        } }
                    }
                }
            }
        }
    }
}

fn conditions(report: &Report) -> Markup {
    html! {
        @if !report.networks.is_empty() {
            section #networks aria-labelledby="networks-title" {
                h2 #networks-title { "Network conditions" }
                dl.facts-list {
                    @for network in &report.networks {
                        div {
                            dt { (visible(&network.name)) }
                            dd {
                                (visible(&network.description))
                                @if !network.parameters.is_empty() {
                                    span.parameters {
                                        @for (name, value) in &network.parameters {
                                            span { (visible(name)) " " b { (visible(value)) } }
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
}

fn environment(report: &Report) -> Markup {
    html! {
        section #environment aria-labelledby="environment-title" {
            h2 #environment-title { "Environment" }
            dl.facts-list {
                @for (name, value) in overview::environment(report) {
                    div { dt { (visible(&name)) } dd { code { (visible(&value)) } } }
                }
            }
        }
    }
}

fn definitions(report: &Report) -> Markup {
    html! {
        section #definitions aria-labelledby="definitions-title" {
            h2 #definitions-title { "What the metrics mean" }
            div.scroll tabindex="0" role="region" aria-label="Definitions of metrics" {
                table.plain.definitions {
                    thead { tr {
                        th scope="col" { "Metric" } th scope="col" { "Unit" } th scope="col" { "Better" }
                        th scope="col" { "Repeats" } th scope="col" { "Meaning" }
                    } }
                    tbody {
                        @for one in &report.metric_definitions {
                            tr {
                                th scope="row" { (visible(&one.name)) }
                                td { (one.unit.symbol()) }
                                td { (better(one.direction)) }
                                td { (repeats(one.repeatability)) }
                                td { (visible(&one.description)) " " span.quiet { (visible(&one.source)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

const fn better(direction: Direction) -> &'static str {
    match direction {
        Direction::HigherIsBetter => "higher",
        Direction::LowerIsBetter => "lower",
        Direction::Neutral => "neither",
    }
}

const fn repeats(repeatability: Repeatability) -> &'static str {
    match repeatability {
        Repeatability::Exact => "exactly",
        Repeatability::Noisy => "noisily",
    }
}
