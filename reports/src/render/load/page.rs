//! What a load found as one page that needs nothing else.

use maud::{DOCTYPE, Markup, html};

use super::{headline, honesty, row, tables, value_of};
use crate::escape::visible;
use crate::gate::Outcome;
use crate::load::outcome::{Answer, Judged, Load};
use crate::load::step;
use crate::metric::Unit;
use crate::render::html::head;
use crate::render::plot::{self, Span};
use crate::series::Series;

/// The class of an answer's colour.
const fn colour(answer: Answer) -> &'static str {
    match answer {
        Answer::Met => "v-pass",
        Answer::NotMeasurable => "v-warn",
        Answer::Broken => "v-fail",
    }
}

/// The page.
#[must_use]
pub fn html(load: &Load) -> String {
    let worst = match load.outcome {
        Outcome::Clear => "v-pass",
        Outcome::Inconclusive => "v-warn",
        Outcome::Regressed => "v-fail",
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            (head(&html! { (visible(&headline(load))) }))
            body {
                main {
                    section.lead aria-label="Outcome" {
                        p.when { time { (visible(&load.started_at)) } " · seed " (load.seed) }
                        h1 class=(worst) { (visible(&headline(load))) }
                        p.scope { (visible(&load.target)) ": " (visible(&load.arrivals)) }
                    }
                    (objectives(&load.objectives))
                    (failures(load))
                    (over_time(&load.course))
                    (measured(load))
                    (generator(load))
                }
                footer { "Every number on this page is one of load.json’s." }
            }
        }
    };
    page.into_string()
}

fn objectives(judged: &[Judged]) -> Markup {
    html! {
        @if !judged.is_empty() {
            section aria-labelledby="objectives" {
                h2 #objectives { "Objectives" }
                @for one in judged {
                    div class=(format!("finding {}", colour(one.answer))) {
                        h3 { code { (visible(&one.objective)) } }
                        dl.proof {
                            div.actual { dt { "Answer" } dd { (one.answer.word()) } }
                            div { dt { "Value" } dd { (value_of(one)) } }
                            div { dt { "Of" } dd { (visible(&one.why)) } }
                        }
                    }
                }
            }
        }
    }
}

fn failures(load: &Load) -> Markup {
    html! {
        @if !load.failures.is_empty() {
            section aria-labelledby="failures" {
                h2 #failures { "Failures" }
                table.values {
                    tr { th { "why" } th { "calls" } }
                    @for (why, count) in &load.failures {
                        tr { td { (visible(why)) } td { (count) } }
                    }
                }
            }
        }
    }
}

fn over_time(course: &[Series]) -> Markup {
    let mut plots: Vec<(&str, Vec<&Series>)> = Vec::new();
    for one in course.iter().filter(|one| !one.points().is_empty()) {
        match plots.iter_mut().find(|(title, _)| *title == one.plot()) {
            Some((_, list)) => list.push(one),
            None => plots.push((one.plot(), vec![one])),
        }
    }
    let Some(span) = Span::of(course.iter(), core::iter::empty()) else { return html! {} };
    html! {
        section aria-labelledby="course" {
            h2 #course { "Over its time" }
            div.plots {
                @for (title, series) in plots {
                    (plot::over_time(title, &series, span, series[0].points().len(), &[]))
                }
                (span.axis())
            }
        }
    }
}

/// Tables and curves of steps and of figures.
fn measured(load: &Load) -> Markup {
    html! {
        @for (name, list) in tables(load) {
            section aria-label=(name) {
                @let is_media = list.iter().any(|one| step::is_figure(Some(&one.name)));
                h2 { (if is_media { "Media" } else { "Steps, from the intended time" }) }
                table.values {
                    tr {
                        th { } th { "count" } th { "p50" } th { "p90" } th { "p99" } th { "p99.9" }
                        th { "max" }
                    }
                    @for histogram in &list {
                        @let meaning = step::find(&histogram.name).map_or("the whole call", |step| step.meaning);
                        tr title=(meaning) {
                            @for cell in row(histogram) { td { (visible(&cell)) } }
                        }
                    }
                }
                @for unit in [Unit::Seconds, Unit::Ratio] {
                    @let some: Vec<_> = list.iter().copied().filter(|one| one.unit == unit && one.max > 0.0).collect();
                    @for few in some.chunks(4) { (plot::percentiles(unit, few)) }
                }
            }
        }
    }
}

fn generator(load: &Load) -> Markup {
    let environment = &load.environment;
    let facts = [
        ("commit", environment.commit.clone()),
        ("system", environment.os.clone()),
        ("processor", environment.cpu_model.clone()),
        ("cores", environment.cores.map(|cores| cores.to_string())),
    ];
    html! {
        section aria-labelledby="generator" {
            h2 #generator { "The generator itself" }
            p { (visible(&honesty(load))) }
            @for note in &load.notes { p { (visible(note)) } }
            dl.facts-list {
                @for (name, value) in facts {
                    @if let Some(value) = value {
                        div { dt { (name) } dd { code { (visible(&value)) } } }
                    }
                }
            }
        }
    }
}
