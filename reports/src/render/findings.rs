//! The part of the page that says what went wrong, with its proof, worst first.

use maud::{Markup, html};

use crate::escape::visible;
use crate::report::{CaseResult, Report};
use crate::verdict::{Finding, Verdict};

use super::cells::Cells;
use super::html::{anchor, verdict_mark};
use super::overview::{self, Group};

/// Broken requirements told in full; the rest is in the tables.
const MAX_GROUPS: usize = 60;
/// Findings of one result shown below its recording.
const MAX_FINDINGS: usize = 10;
/// Lines of evidence shown; the rest is in the JSON.
const MAX_EVIDENCE: usize = 32;
/// Further results linked from one broken requirement.
const MAX_LINKS: usize = 40;

/// The section; nothing if all is green.
pub(super) fn section(report: &Report, cells: &Cells<'_>) -> Markup {
    let groups = overview::groups(report);
    if groups.is_empty() {
        return html! {};
    }
    html! {
        section #findings aria-labelledby="findings-title" {
            h2 #findings-title { "What went wrong" }
            @for group in groups.iter().take(MAX_GROUPS) { (told(report, cells, group)) }
            @if groups.len() > MAX_GROUPS {
                p.quiet { "…and " (groups.len() - MAX_GROUPS) " more, in the recordings below." }
            }
        }
    }
}

fn told(report: &Report, cells: &Cells<'_>, group: &Group<'_>) -> Markup {
    let first = group.results[0];
    html! {
        article id=[group.finding.map(|finding| place(&finding.requirement))]
            class=(format!("finding v-{}", group.verdict.word())) {
            header {
                (verdict_mark(group.verdict))
                h3 { (visible(group.title)) }
            }
            p.source {
                @if let Some(finding) = group.finding {
                    b { (finding.level.word()) } " · " (visible(&finding.citation)) " · "
                    code { (visible(&finding.requirement)) }
                } @else { code { (visible(&first.id)) } }
            }
            @if let Some(finding) = group.finding {
                (proof(finding))
                @if let Some(advice) = report.advice.get(&finding.requirement) {
                    p.advice { b { "What usually goes wrong" } (visible(advice)) }
                }
                // Why it only warns; a result that could not be judged has it as its title.
                @if let Some(reason) = &first.reason { p.where { (visible(reason)) } }
            }
            p.where {
                span.quiet { @if group.results.len() > 1 { "First at " } @else { "At " } }
                (link(cells, first))
            }
            @if group.results.len() > 1 { (elsewhere(cells, &group.results[1..])) }
        }
    }
}

/// Whether this names a file below the report's folder, and nothing else: a report may come from
/// anybody.
fn is_beside(file: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    file.chars().all(plain) && !file.starts_with('/') && !file.split('/').any(|part| part == "..")
}

/// Where on the page it is told how a requirement was broken.
pub(super) fn place(requirement: &str) -> String {
    format!("broken-{requirement}")
}

fn elsewhere(cells: &Cells<'_>, results: &[&CaseResult]) -> Markup {
    html! {
        details.elsewhere {
            summary { "and in " (results.len()) " more " @if results.len() == 1 { "result" } @else { "results" } }
            ul {
                @for result in results.iter().take(MAX_LINKS) { li { (link(cells, result)) } }
                @if results.len() > MAX_LINKS { li.quiet { "…and " (results.len() - MAX_LINKS) " more" } }
            }
        }
    }
}

/// Expected, actual and evidence.
pub(super) fn proof(finding: &Finding) -> Markup {
    html! {
        dl.proof {
            div { dt { "Expected" } dd { (visible(&finding.expected)) } }
            div.actual { dt { "Actual" } dd { (visible(&finding.actual)) } }
        }
        @if !finding.evidence.is_empty() {
            pre.evidence tabindex="0" aria-label="Evidence" {
                @for line in finding.evidence.iter().take(MAX_EVIDENCE) { (visible(line)) "\n" }
                @if finding.evidence.len() > MAX_EVIDENCE {
                    "… " (finding.evidence.len() - MAX_EVIDENCE) " more lines in report.json\n"
                }
            }
        }
        @if let Some(file) = &finding.media {
            p.where {
                span.quiet { "Media that crossed, decrypted: " }
                a href=(if is_beside(file) { file } else { "#" }) { (visible(file)) }
            }
        }
    }
}

fn link(cells: &Cells<'_>, result: &CaseResult) -> Markup {
    let place = [result.recording.as_deref(), result.network.as_deref()];
    let place: Vec<&str> = place.into_iter().flatten().collect();
    let name = if place.is_empty() { result.id.clone() } else { place.join(" @ ") };
    html! {
        @if let Some(cell) = cells.of_result(result) {
            a href=(format!("#{}", anchor(cell.row, cell.column))) { (visible(&name)) }
        } @else { (visible(&name)) }
    }
}

/// The findings and reasons of one result, below its recording; with their proofs if asked for.
pub(super) fn of_result(result: &CaseResult, proofs: bool) -> Markup {
    html! {
        div class=(format!("result v-{}", result.verdict.word())) {
            p.case { (verdict_mark(result.verdict)) code { (visible(&result.id)) } }
            @if let Some(reason) = &result.reason { p { (visible(reason)) } }
            @if result.verdict != Verdict::Pass {
                @for finding in result.findings.iter().take(MAX_FINDINGS) {
                    p.sentence { (visible(&finding.sentence)) " "
                        span.quiet { (finding.level.word()) " · " (visible(&finding.citation)) } }
                    @if proofs { (proof(finding)) }
                }
                @if result.findings.len() > MAX_FINDINGS {
                    p.quiet { "…and " (result.findings.len() - MAX_FINDINGS) " more findings in report.json" }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_beside_the_report_are_linked() {
        for good in ["evidence/call-001.pcapng", "a.pcap"] {
            assert!(is_beside(good), "{good}");
        }
        let bad =
            ["javascript:alert(1)", "/etc/passwd", "../x", "a/../b", "//host/x", "http://h", "a b"];
        for bad in bad {
            assert!(!is_beside(bad), "{bad}");
        }
    }
}
