//! The report as JUnit XML, in the dialect that Jenkins, GitLab and GitHub's actions read.
//!
//! One suite per case, one test per recording and network. A failure is a broken requirement, an
//! error is ours; a warning is not a failure but a note in `system-out`; what the peer does not
//! offer is skipped. Times are the world's, so that they repeat.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::findings::place;
use crate::escape::visible;
use crate::report::{CaseResult, Report};
use crate::verdict::{Finding, Level, Verdict};

/// The whole file.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut suites: BTreeMap<&str, TestSuite> = BTreeMap::new();
    for result in &report.results {
        suites
            .entry(&result.id)
            .or_insert_with(|| TestSuite::new(visible(&result.id)))
            .add_test_case(test_case(result));
    }
    let mut file = quick_junit::Report::new(visible(&report.tool.name));
    for (_, mut suite) in suites {
        suite.set_time(suite.test_cases.iter().filter_map(|one| one.time).sum());
        file.add_test_suite(suite);
    }
    let file = file.to_string().expect("writing to memory does not fail, and all text is visible");
    without_skipped_on_root(&file)
}

/// Suites may say how many tests were skipped, but the schema that Jenkins checks by (junit-10)
/// knows no such attribute on the root, which the library writes there all the same.
pub(super) fn without_skipped_on_root(file: &str) -> String {
    let root = file.find("<testsuites").unwrap_or(0);
    // Values are escaped, so neither the bracket nor the quoted name can be within one.
    let end = file[root..].find('>').map_or(file.len(), |length| root + length);
    let Some(start) = file[root..end].find(" skipped=\"").map(|at| root + at) else {
        return file.to_owned();
    };
    let value = start + " skipped=\"".len();
    let after = file[value..].find('"').map_or(file.len(), |length| value + length + 1);
    format!("{}{}", &file[..start], &file[after..])
}

fn test_case(result: &CaseResult) -> TestCase {
    let name = match (result.recording.as_deref(), result.network.as_deref()) {
        (Some(recording), Some(network)) => format!("{recording} @ {network}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => result.id.clone(),
    };
    let mut case = TestCase::new(visible(&name), status(result));
    case.set_classname(visible(&result.id).replace('/', "."));
    case.set_time(Duration::try_from_secs_f64(result.duration_ms / 1e3).unwrap_or_default());
    if result.verdict == Verdict::Warn {
        case.set_system_out(told(&result.findings));
    }
    case
}

fn status(result: &CaseResult) -> TestCaseStatus {
    let reason = result.reason.as_deref().unwrap_or("no reason was given");
    match result.verdict {
        Verdict::Pass | Verdict::Warn => TestCaseStatus::success(),
        Verdict::Unsupported => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(visible(reason));
            status
        }
        Verdict::Error => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(visible(reason)).set_type("error");
            status.set_description(told(&result.findings));
            status
        }
        Verdict::Fail => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            let first = result.findings.iter().find(|finding| finding.level == Level::Must);
            let message = first.map_or(reason, |finding| &finding.sentence);
            let kind = first.map_or("failure", |finding| &finding.requirement);
            status.set_message(visible(message)).set_type(visible(kind));
            status.set_description(told(&result.findings));
            status
        }
    }
}

/// The findings as text, each with its proof.
fn told(findings: &[Finding]) -> String {
    let mut out = String::new();
    for finding in findings {
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{} ({}, {}): {}\n  expected: {}\n  actual:   {}",
            visible(&finding.requirement),
            finding.level.word(),
            visible(&finding.citation),
            visible(&finding.sentence),
            visible(&finding.expected),
            visible(&finding.actual),
        );
        for line in &finding.evidence {
            let _ = writeln!(out, "    {}", visible(line));
        }
        if let Some(file) = &finding.media {
            let _ = writeln!(out, "    media that crossed, decrypted: {}", visible(file));
        }
        let place = place(&finding.requirement);
        let _ = writeln!(out, "    in the report: report.html#{}", visible(&place));
    }
    out
}
