//! What a gate concluded: for the terminal, for a pull request, for annotations, JUnit and JSON.
//!
//! Names come from reports, which come from anywhere: every one goes through [`visible`] first.

use std::fmt::Write as _;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use crate::escape::{markdown_code as code, markdown_prose as prose, visible};
use crate::gate::{Check, Effect, Finding, Gate, Outcome, Tier};

/// The most checks and doubts that are told one by one.
const TOLD_MAX: usize = 50;
/// GitHub shows ten annotations of each kind for a step.
const ANNOTATIONS_MAX: usize = 10;

/// As JSON.
#[must_use]
pub fn json(gate: &Gate) -> String {
    let mut text = serde_json::to_string_pretty(gate).expect("numbers are finite, keys are words");
    text.push('\n');
    text
}

/// One line that says it all.
#[must_use]
pub fn headline(gate: &Gate) -> String {
    let red = gate.red().count();
    match gate.outcome {
        Outcome::Clear => format!("gate: clear, {}", compared(gate)),
        Outcome::Regressed => {
            format!("gate: regressed, {red} worse or changed; {}", compared(gate))
        }
        Outcome::Inconclusive => format!(
            "gate: inconclusive, {} reasons to doubt; {}",
            gate.doubts.len().max(1),
            compared(gate)
        ),
    }
}

fn compared(gate: &Gate) -> String {
    let parts: Vec<String> = gate
        .compared
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(tier, count)| format!("{count} {}", tier.word()))
        .collect();
    if parts.is_empty() {
        "nothing compared".into()
    } else {
        format!("{} compared", parts.join(", "))
    }
}

/// What a tier would have found at least, in words: the smallest effect of its bluntest check.
#[must_use]
pub fn power(gate: &Gate) -> Vec<String> {
    let mut out = Vec::new();
    for tier in Tier::ALL {
        let of_tier = || gate.checks.iter().filter(move |check| check.tier == tier);
        let bluntest = of_tier()
            .filter_map(|check| Some((check.effect?.detectable, check)))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        if gate.compared.get(&tier).copied().unwrap_or(0) == 0 {
            continue;
        }
        out.push(match (tier, bluntest) {
            (Tier::Exact, _) => "exact: any change beyond a stated bound is found".to_owned(),
            (_, Some((detectable, check))) => format!(
                "{}: a change of {} or more is found at 95 % power (bluntest: {})",
                tier.word(),
                percent(detectable),
                visible(&check.stage)
            ),
            (_, None) => format!("{}: {}", tier.word(), bound_of(of_tier().next())),
        });
    }
    out
}

fn bound_of(check: Option<&Check>) -> String {
    check.map_or_else(|| "nothing".to_owned(), |check| check.bound.clone())
}

fn percent(part: f64) -> String {
    if part >= f64::MAX / 2.0 { "any size".into() } else { format!("{:+.2} %", 100.0 * part) }
}

fn effect(effect: Option<Effect>) -> String {
    let Some(effect) = effect else { return String::new() };
    if (effect.low - effect.high).abs() < f64::EPSILON {
        return percent(effect.estimate);
    }
    format!("{} [{}, {}]", percent(effect.estimate), percent(effect.low), percent(effect.high))
}

/// The checks that are worth telling, worst first.
fn told(gate: &Gate) -> impl Iterator<Item = &Check> {
    // Costs are few, and what they would have found is part of the answer.
    gate.checks.iter().filter(|check| {
        check.tier != Tier::Exact || !matches!(check.finding, Finding::Same | Finding::Within)
    })
}

/// For the terminal.
#[must_use]
pub fn text(gate: &Gate) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    for check in told(gate).take(TOLD_MAX) {
        let _ = writeln!(
            out,
            "{:<10} {:<13} {}\n{:24} {} -> {}  {}  (allowed: {}; from: {})",
            check.finding.word(),
            check.tier.word(),
            visible(&check.metric),
            "",
            visible(&check.base),
            visible(&check.candidate),
            effect(check.effect),
            visible(&check.bound),
            visible(&check.stage),
        );
    }
    let more = told(gate).count().saturating_sub(TOLD_MAX);
    if more > 0 {
        let _ = writeln!(out, "and {more} more; all of them with --format json");
    }
    for doubt in gate.doubts.iter().take(TOLD_MAX) {
        let tier = doubt.tier.map_or("", Tier::word);
        let _ =
            writeln!(out, "doubt      {tier:<13} {}: {}", doubt.kind.word(), visible(&doubt.text));
    }
    let failed = gate.controls.iter().filter(|control| !control.held).count();
    let held = gate.controls.len() - failed;
    for note in gate.notes.iter().take(TOLD_MAX) {
        let _ = writeln!(out, "note       {}", visible(note));
    }
    let _ = writeln!(out, "controls   {held} twins and canaries held, {failed} did not");
    for line in power(gate) {
        let _ = writeln!(out, "power      {line}");
    }
    let _ = writeln!(out, "{}", headline(gate));
    out
}

/// For a comment under a pull request.
#[must_use]
pub fn markdown(gate: &Gate) -> String {
    let sign = match gate.outcome {
        Outcome::Clear => '✓',
        Outcome::Regressed => '✗',
        Outcome::Inconclusive => '?',
    };
    let mut out = format!("## {sign} {}\n\n", headline(gate));
    let side = |name: &str, side: &crate::gate::Side| {
        let commit = side.environment.commit.as_deref().unwrap_or("unknown commit");
        format!("{name}: {} ({})", code(&side.name), code(commit))
    };
    let _ =
        writeln!(out, "{} · {}\n", side("base", &gate.base), side("candidate", &gate.candidate));
    if told(gate).next().is_some() {
        let _ = writeln!(out, "| finding | stage | what | base | candidate | effect | allowed |");
        let _ = writeln!(out, "| :-- | :-- | :-- | --: | --: | --: | :-- |");
    }
    for check in told(gate).take(TOLD_MAX) {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} |",
            check.finding.word(),
            code(&check.stage),
            code(&check.metric),
            code(&check.base),
            code(&check.candidate),
            code(&effect(check.effect)),
            prose(&check.bound),
        );
    }
    let more = told(gate).count().saturating_sub(TOLD_MAX);
    if more > 0 {
        let _ = writeln!(out, "\nAnd {more} more.");
    }
    out.push('\n');
    for doubt in gate.doubts.iter().take(TOLD_MAX) {
        let _ = writeln!(out, "- doubt ({}): {}", doubt.kind.word(), prose(&doubt.text));
    }
    for line in power(gate) {
        let _ = writeln!(out, "- power: {}", prose(&line));
    }
    for note in gate.notes.iter().take(TOLD_MAX) {
        let _ = writeln!(out, "- note: {}", prose(note));
    }
    out
}

/// Workflow commands of GitHub Actions: annotations of the job.
#[must_use]
pub fn github(gate: &Gate) -> String {
    let mut out = String::new();
    for check in gate.red().take(ANNOTATIONS_MAX) {
        let title = format!("{} ({})", check.finding.word(), check.stage);
        let message = format!(
            "{}: {} -> {} {} (allowed: {})",
            check.metric,
            check.base,
            check.candidate,
            effect(check.effect),
            check.bound
        );
        let _ = writeln!(out, "::error title={}::{}", property(&title), data(&message));
    }
    for doubt in gate.doubts.iter().take(ANNOTATIONS_MAX) {
        let title = format!("gate: {}", doubt.kind.word());
        let _ = writeln!(out, "::warning title={}::{}", property(&title), data(&doubt.text));
    }
    let _ = writeln!(out, "::notice title=callrig gate::{}", data(&headline(gate)));
    out
}

/// What a workflow command's message may hold.
fn data(text: &str) -> String {
    visible(text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// As JUnit XML: a suite for each tier; doubts are errors of ours, not failures.
#[must_use]
pub fn junit(gate: &Gate) -> String {
    let mut file = quick_junit::Report::new("callrig gate");
    for tier in Tier::ALL {
        let checks: Vec<&Check> = gate.checks.iter().filter(|check| check.tier == tier).collect();
        if checks.is_empty() {
            continue;
        }
        let mut suite = TestSuite::new(format!("gate.{}", tier.word()));
        suite.add_test_cases(checks.into_iter().map(case));
        file.add_test_suite(suite);
    }
    let mut suite = TestSuite::new("gate.power");
    for control in &gate.controls {
        let name = format!("{} {} of {}", control.tier.word(), control.kind.word(), control.of);
        let status = if control.held { TestCaseStatus::success() } else { error(&control.seen) };
        suite.add_test_case(TestCase::new(visible(&name), status));
    }
    for doubt in &gate.doubts {
        let name = format!("doubt: {}", doubt.kind.word());
        suite.add_test_case(TestCase::new(visible(&name), error(&doubt.text)));
    }
    file.add_test_suite(suite);
    let text = file.to_string().expect("writing to memory does not fail, and all text is visible");
    super::junit::without_skipped_on_root(&text)
}

fn error(message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    status.set_message(visible(message)).set_type("inconclusive");
    status
}

fn case(check: &Check) -> TestCase {
    let message = format!(
        "{}: {} -> {} {} (allowed: {})",
        check.finding.word(),
        check.base,
        check.candidate,
        effect(check.effect),
        check.bound
    );
    let status = if check.finding.is_red() {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_message(visible(&message)).set_type(check.finding.word());
        status
    } else if check.finding == Finding::Unresolved {
        error(&message)
    } else {
        TestCaseStatus::success()
    };
    let mut case = TestCase::new(visible(&check.metric), status);
    case.set_classname(visible(&check.stage).replace(['/', ' '], "."));
    case
}
