//! The part of the page that lists requirements with their verdicts, where results are of
//! requirements themselves: what was asked, what came of it, and the proof, folded away.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::escape::visible;
use crate::report::{CaseResult, Report};
use crate::verdict::Requirement;

use super::findings::proof;
use super::html::{anchor, verdict_mark};

/// Proofs that the table shows; the rest is in the JSON.
const MAX_PROOFS: usize = 300;

/// The results that are of requirements, with those; none where recordings were played, since
/// results have their places there.
fn judged(report: &Report) -> Vec<(&CaseResult, &Requirement)> {
    if !report.recordings.is_empty() {
        return Vec::new();
    }
    let known: BTreeMap<&str, &Requirement> =
        report.requirements.iter().map(|one| (one.id.as_str(), one)).collect();
    let placeless = |result: &&CaseResult| result.recording.is_none() && result.network.is_none();
    let results = report.results.iter().filter(placeless);
    results.filter_map(|result| Some((result, *known.get(result.id.as_str())?))).collect()
}

/// Whether there is anything to list.
pub(super) fn is_empty(report: &Report) -> bool {
    judged(report).is_empty()
}

/// The section; nothing if no result is of a requirement.
pub(super) fn section(report: &Report) -> Markup {
    let mut rows = judged(report);
    if rows.is_empty() {
        return html! {};
    }
    rows.sort_by(|(one, _), (other, _)| {
        other.verdict.cmp(&one.verdict).then_with(|| one.id.cmp(&other.id))
    });
    let mut proofs = 0;
    html! {
        section #requirements aria-labelledby="requirements-title" {
            h2 #requirements-title { "Requirements" }
            // Where links to results without recording and network lead.
            div.scroll id=(anchor(0, 0)) tabindex="0" role="region" aria-label="Requirements" {
                table.plain.requirements {
                    thead { tr {
                        th scope="col" { "Verdict" } th scope="col" { "Level" }
                        th scope="col" { "Requirement" } th scope="col" { "Evidence" }
                    } }
                    tbody {
                        @for (result, requirement) in rows {
                            (row(result, requirement, &mut proofs))
                        }
                    }
                }
            }
        }
    }
}

fn row(result: &CaseResult, requirement: &Requirement, proofs: &mut usize) -> Markup {
    *proofs += result.findings.len();
    html! {
        tr class=(format!("v-{}", result.verdict.word())) {
            td { (verdict_mark(result.verdict)) }
            td { (requirement.level.word()) }
            th scope="row" {
                (visible(&requirement.sentence)) br;
                code { (visible(&requirement.id)) } " "
                span.quiet { (visible(&requirement.citation)) }
            }
            td {
                @if let Some(reason) = &result.reason { (visible(reason)) }
                @if !result.findings.is_empty() && *proofs <= MAX_PROOFS {
                    details {
                        summary { "expected and actual" }
                        @for finding in &result.findings { (proof(finding)) }
                    }
                }
            }
        }
    }
}
