//! What repeats to the last digit: two reports, compared by equality or a stated bound.
//!
//! The twin is the baseline against itself; the canary is the baseline with every value 5 % worse
//! (a count of nothing becomes one, a text another text). What the bounds leave of the canary is
//! told: bounds that swallow most of it leave no gate.

use std::collections::BTreeMap;

use super::bounds::{Bound, Bounds};
use super::{
    Check, Control, ControlKind, Doubt, DoubtKind, Effect, Finding, Findings, Tier, stage,
};
use crate::compare::{self, Comparison, MetricChange, Trend};
use crate::metric::{Direction, Metric, Repeatability, Unit, Value};
use crate::number;
use crate::report::Report;
use crate::verdict::Verdict;

/// How many vanished metrics are named one by one.
const NAMED_MAX: usize = 20;

/// Compares a candidate's report with the baseline's.
#[must_use]
pub fn judge(base: &Report, candidate: &Report, bounds: &Bounds) -> Findings {
    let mut found = Findings::default();
    setup(&mut found, base, candidate);
    let errors = |report: &Report| report.totals.error;
    if errors(base) > 0 && errors(candidate) > 0 {
        let text = "results could not be judged in the baseline already";
        found.notes.push(format!("{} {text}", errors(base)));
    }
    meanings(&mut found, base, candidate);
    let comparison = compare::compare(base, candidate);
    results(&mut found, &comparison);
    metrics(&mut found, &comparison, bounds);
    let both = in_both(base, candidate);
    found.compared.insert(Tier::Exact, both);
    if both == 0 {
        let text = "the baseline and the candidate have no exact metric in common";
        found.doubts.push(Doubt::in_tier(DoubtKind::NothingInCommon, Tier::Exact, text));
    }
    if comparison.noisy > 0 {
        found.notes.push(format!(
            "{} noisy metrics were left out: two runs made apart say nothing about them",
            comparison.noisy
        ));
    }
    stale_bounds(&mut found, candidate, bounds);
    controls(&mut found, base, bounds);
    found
}

/// Another seed or another recording makes other numbers, and nobody's fault.
fn setup(found: &mut Findings, base: &Report, candidate: &Report) {
    if base.seed != candidate.seed {
        let text = format!(
            "the baseline has seed {}, the candidate {}: run with --seed {0}, or make a new baseline",
            base.seed, candidate.seed
        );
        found.doubts.push(Doubt::in_tier(DoubtKind::OtherSetup, Tier::Exact, text));
    }
    let known: BTreeMap<&str, Option<&str>> =
        base.recordings.iter().map(|one| (&*one.id, one.sha256.as_deref())).collect();
    for recording in &candidate.recordings {
        if known.get(&*recording.id).is_some_and(|sha| *sha != recording.sha256.as_deref()) {
            let text = format!(
                "recording {} is not the file that the baseline was made with: make a new baseline",
                recording.id
            );
            found.doubts.push(Doubt::in_tier(DoubtKind::OtherSetup, Tier::Exact, text));
        }
    }
    let networks: BTreeMap<&str, _> =
        base.networks.iter().map(|one| (&*one.name, &one.parameters)).collect();
    for network in &candidate.networks {
        if networks.get(&*network.name).is_some_and(|was| **was != network.parameters) {
            let text =
                format!("network {} has other parameters: make a new baseline", network.name);
            found.doubts.push(Doubt::in_tier(DoubtKind::OtherSetup, Tier::Exact, text));
        }
    }
    let (was, is) = (&base.environment, &candidate.environment);
    for (name, version) in &is.codec_versions {
        if was.codec_versions.get(name).is_some_and(|before| before != version) {
            found.notes.push(format!("{name} was {}, is {version}", was.codec_versions[name]));
        }
    }
}

/// A metric that means something else is another metric.
fn meanings(found: &mut Findings, base: &Report, candidate: &Report) {
    for was in &base.metric_definitions {
        let is = candidate.metric_definitions.iter().find(|one| one.name == was.name);
        let Some(is) = is else { continue };
        let differs = [
            ("unit", was.unit != is.unit),
            ("direction", was.direction != is.direction),
            ("repeatability", was.repeatability != is.repeatability),
            ("description", was.description != is.description),
        ];
        for (what, _) in differs.into_iter().filter(|(_, differs)| *differs) {
            let text =
                format!("{} is defined otherwise now ({what}): make a new baseline", was.name);
            found.doubts.push(Doubt::in_tier(DoubtKind::OtherSetup, Tier::Exact, text));
        }
    }
}

fn results(found: &mut Findings, comparison: &Comparison) {
    let mut gone = Vec::new();
    let mut new = 0_u64;
    for change in &comparison.verdicts {
        let word = |verdict: Option<Verdict>| verdict.map_or("–", Verdict::word).to_owned();
        let finding = match (change.base, change.head) {
            (Some(_), None) => {
                gone.push(change.result.clone());
                continue;
            }
            (_, Some(Verdict::Error)) => {
                let text = format!("{} could not be judged", change.result);
                found.doubts.push(Doubt::in_tier(DoubtKind::NotJudged, Tier::Exact, text));
                continue;
            }
            (None, Some(head)) if head < Verdict::Error => {
                new += 1;
                continue;
            }
            (None, _) => Finding::Worse,
            (Some(base), Some(head)) if head > base => Finding::Worse,
            (Some(_), Some(_)) => Finding::Better,
        };
        found.checks.push(Check {
            tier: Tier::Exact,
            metric: format!("verdict of {}", change.result),
            stage: change.result.split(" [").next().unwrap_or_default().to_owned(),
            base: word(change.base),
            candidate: word(change.head),
            finding,
            effect: None,
            bound: "no verdict may rise in alarm".into(),
        });
    }
    vanished(found, &gone, "result");
    if new > 0 {
        found.notes.push(format!("{new} results are new: they have no baseline yet"));
    }
}

fn vanished(found: &mut Findings, gone: &[String], what: &str) {
    for one in gone.iter().take(NAMED_MAX) {
        let text = format!("{what} {one} is in the baseline only: renamed, or measured no more?");
        found.doubts.push(Doubt::in_tier(DoubtKind::Vanished, Tier::Exact, text));
    }
    if gone.len() > NAMED_MAX {
        let text = format!("and {} more {what}s are in the baseline only", gone.len() - NAMED_MAX);
        found.doubts.push(Doubt::in_tier(DoubtKind::Vanished, Tier::Exact, text));
    }
}

fn metrics(found: &mut Findings, comparison: &Comparison, bounds: &Bounds) {
    let mut gone = Vec::new();
    let mut new = 0_u64;
    for change in &comparison.metrics {
        let name = format!("{} of {}", change.metric, change.result);
        match (&change.base, &change.head) {
            (Some(_), None) => gone.push(name),
            (Some(_), Some(Value::Undefined)) => {
                let text = format!("{name} has no value any more: no samples");
                found.doubts.push(Doubt::in_tier(DoubtKind::NoSamples, Tier::Exact, text));
            }
            (None, _) => new += 1,
            (Some(base), Some(head)) => found.checks.push(check(change, base, head, bounds, name)),
        }
    }
    vanished(found, &gone, "metric");
    if new > 0 {
        found.notes.push(format!("{new} metrics are new: they have no baseline yet"));
    }
}

fn check(
    change: &MetricChange,
    base: &Value,
    head: &Value,
    bounds: &Bounds,
    name: String,
) -> Check {
    let bound = bounds.of(&change.metric, &change.result);
    let finding = match change.trend {
        _ if bound.is_some_and(|bound| allows(bound, base, head)) => Finding::Within,
        Trend::Worse => Finding::Worse,
        Trend::Better => Finding::Better,
        Trend::Changed => Finding::Changed,
    };
    let effect = match (base.number(), head.number()) {
        (Some(base), Some(head)) if base != 0.0 => {
            let allowed = bound.map_or(0.0, |bound| {
                bound.relative.or(bound.absolute.map(|most| most / base.abs())).unwrap_or(0.0)
            });
            Some(Effect::known((head - base) / base.abs(), allowed))
        }
        _ => None,
    };
    Check {
        tier: Tier::Exact,
        metric: name,
        stage: stage::of(&change.metric).to_owned(),
        base: number::show(base, change.unit),
        candidate: number::show(head, change.unit),
        finding,
        effect,
        bound: bound.map_or_else(|| "equality".to_owned(), |bound| in_words(bound, change.unit)),
    }
}

fn allows(bound: &Bound, base: &Value, head: &Value) -> bool {
    if bound.ignore {
        return true;
    }
    let (Some(base), Some(head)) = (base.number(), head.number()) else { return false };
    let most = bound.absolute.unwrap_or(0.0).max(bound.relative.unwrap_or(0.0) * base.abs());
    (head - base).abs() <= most
}

fn in_words(bound: &Bound, unit: Unit) -> String {
    match (bound.absolute, bound.relative) {
        _ if bound.ignore => format!("none ({})", bound.reason),
        (Some(most), _) => format!("± {} ({})", number::show_number(most, unit), bound.reason),
        (None, most) => format!("± {} % ({})", 100.0 * most.unwrap_or(0.0), bound.reason),
    }
}

/// A bound that matches nothing is misspelt or stale; either way it does not do what it says.
fn stale_bounds(found: &mut Findings, candidate: &Report, bounds: &Bounds) {
    let keys: Vec<(String, String)> = candidate
        .results
        .iter()
        .flat_map(|result| {
            let key = result.key().to_string();
            result.metrics.iter().map(move |metric| (metric.full_name(), key.clone()))
        })
        .collect();
    let all = keys.iter().map(|(metric, result)| (&**metric, &**result));
    for bound in bounds.unused(all) {
        // Bounds of costs begin with the word of their tier.
        let cost = ["time ", "instructions ", "held "];
        if !cost.iter().any(|word| bound.metric.starts_with(word)) {
            found.notes.push(format!("the bound of {:?} matches nothing here", bound.metric));
        }
    }
}

/// How many exact metrics both have.
fn in_both(base: &Report, candidate: &Report) -> u64 {
    let exact = |report: &Report| -> BTreeMap<String, bool> {
        let all = report.results.iter().flat_map(|result| {
            let key = result.key().to_string();
            let named = move |metric: &Metric| (format!("{} {key}", metric.full_name()), ());
            result
                .metrics
                .iter()
                .filter(|metric| metric.repeatability == Repeatability::Exact)
                .map(named)
                .collect::<Vec<_>>()
        });
        all.map(|(name, ())| (name, true)).collect()
    };
    let base = exact(base);
    exact(candidate).keys().filter(|name| base.contains_key(*name)).count() as u64
}

fn controls(found: &mut Findings, base: &Report, bounds: &Bounds) {
    let twin = compare::compare(base, base);
    found.control(Control {
        tier: Tier::Exact,
        kind: ControlKind::Twin,
        of: "the baseline".into(),
        held: twin.is_same(),
        seen: format!("{} metrics, {} differ", twin.compared, twin.metrics.len()),
    });
    let (canary, worse) = canary(base);
    let comparison = compare::compare(base, &canary);
    let mut seen = Findings::default();
    metrics(&mut seen, &comparison, bounds);
    let red = seen.checks.iter().filter(|check| check.finding.is_red()).count();
    found.control(Control {
        tier: Tier::Exact,
        kind: ControlKind::Canary,
        of: "the baseline made 5 % worse".into(),
        held: worse > 0 && 2 * red >= worse,
        seen: format!("{red} of {worse} metrics found"),
    });
    if red < worse {
        let blunt = worse - red;
        found.notes.push(format!("stated bounds hide a change of 5 % in {blunt} metrics"));
    }
}

/// The report with every exact metric 5 % worse, and how many those are.
fn canary(base: &Report) -> (Report, usize) {
    let mut report = base.clone();
    let mut worse = 0;
    let all = report.results.iter_mut().flat_map(|result| &mut result.metrics);
    for metric in all.filter(|metric| metric.repeatability == Repeatability::Exact) {
        let sign = if metric.direction == Direction::HigherIsBetter { -1.0 } else { 1.0 };
        metric.value = match &metric.value {
            Value::Number(value) if value.get() == 0.0 => Value::from(sign),
            Value::Number(value) => Value::from(value.get() + sign * 0.05 * value.get().abs()),
            Value::Text(text) => Value::Text(format!("{text}?")),
            Value::Undefined => continue,
        };
        worse += 1;
    }
    (report, worse)
}
