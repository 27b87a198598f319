//! How two reports differ: verdicts that changed, exact metrics that moved.
//!
//! Exact metrics are compared by equality, or within the tolerance of the base's definition; noisy
//! ones are counted and left out, because two runs made apart say nothing about them. What makes two
//! reports incomparable (another seed, other corpora) is named rather than refused, so that the
//! caller can decide.

use std::collections::{BTreeMap, BTreeSet};

use crate::metric::{Direction, Metric, Repeatability, Unit, Value};
use crate::report::{CaseResult, Report};
use crate::verdict::Verdict;

/// All differences between a base and a head.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Comparison {
    /// What was set up differently, so that other differences may mean nothing.
    pub setup: Vec<SetupChange>,
    /// Results whose verdict changed, or that only one report has.
    pub verdicts: Vec<VerdictChange>,
    /// Exact metrics that moved by more than their tolerance, or that only one report has.
    pub metrics: Vec<MetricChange>,
    /// How many exact metrics were compared.
    pub compared: u64,
    /// How many metrics were left out because they are noisy in either report.
    pub noisy: u64,
}

/// Something that was set up differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupChange {
    /// `seed` or `corpora_digest`.
    pub what: &'static str,
    /// In the base.
    pub base: String,
    /// In the head.
    pub head: String,
}

/// A result whose verdict changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictChange {
    /// Case, recording and network.
    pub result: String,
    /// In the base; `None` if it has no such result.
    pub base: Option<Verdict>,
    /// In the head; `None` if it has no such result.
    pub head: Option<Verdict>,
}

/// An exact metric that moved.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricChange {
    /// Case, recording and network.
    pub result: String,
    /// Name and label.
    pub metric: String,
    /// The unit of both values.
    pub unit: Unit,
    /// In the base; `None` if it has no such metric.
    pub base: Option<Value>,
    /// In the head; `None` if it has no such metric.
    pub head: Option<Value>,
    /// Which way it went.
    pub trend: Trend,
}

/// Which way a metric went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trend {
    /// In its good direction.
    Better,
    /// In its bad direction.
    Worse,
    /// It has no direction, or no number on one side.
    Changed,
}

impl Comparison {
    /// Whether nothing that can be compared differs.
    #[must_use]
    pub const fn is_same(&self) -> bool {
        self.setup.is_empty() && self.verdicts.is_empty() && self.metrics.is_empty()
    }

    /// Whether a verdict rose in alarm, a result is gone, or a metric went the wrong way.
    #[must_use]
    pub fn is_worse(&self) -> bool {
        let worse = |change: &VerdictChange| match (change.base, change.head) {
            (Some(base), Some(head)) => head > base,
            (Some(_), None) => true,
            (None, head) => head > Some(Verdict::Warn),
        };
        self.verdicts.iter().any(worse)
            || self.metrics.iter().any(|change| change.trend == Trend::Worse)
    }
}

/// Compares two reports.
#[must_use]
pub fn compare(base: &Report, head: &Report) -> Comparison {
    let mut found = Comparison { setup: setup(base, head), ..Comparison::default() };
    let tolerances: BTreeMap<&str, f64> =
        base.metric_definitions.iter().map(|one| (&*one.name, one.tolerance)).collect();
    let results = |report: &'_ Report| -> BTreeMap<String, usize> {
        let keyed = report.results.iter().enumerate();
        keyed.map(|(place, result)| (result.key().to_string(), place)).collect()
    };
    let (in_base, in_head) = (results(base), results(head));
    let keys: BTreeSet<&String> = in_base.keys().chain(in_head.keys()).collect();
    for key in keys {
        let was = in_base.get(key).map(|place| &base.results[*place]);
        let is = in_head.get(key).map(|place| &head.results[*place]);
        let verdict = |result: Option<&CaseResult>| result.map(|one| one.verdict);
        if verdict(was) != verdict(is) {
            let (base, head) = (verdict(was), verdict(is));
            found.verdicts.push(VerdictChange { result: key.clone(), base, head });
        }
        if let (Some(was), Some(is)) = (was, is) {
            metrics(&mut found, key, was, is, &tolerances);
        }
    }
    found
}

fn setup(base: &Report, head: &Report) -> Vec<SetupChange> {
    let corpora = |report: &Report| report.corpora_digest.clone().unwrap_or_default();
    [
        ("seed", base.seed.to_string(), head.seed.to_string()),
        ("corpora_digest", corpora(base), corpora(head)),
    ]
    .into_iter()
    .filter(|(_, base, head)| base != head)
    .map(|(what, base, head)| SetupChange { what, base, head })
    .collect()
}

fn metrics(
    found: &mut Comparison,
    key: &str,
    was: &CaseResult,
    is: &CaseResult,
    tolerances: &BTreeMap<&str, f64>,
) {
    let (before, after) = (by_name(was), by_name(is));
    let names: BTreeSet<&(String, u32)> = before.keys().chain(after.keys()).collect();
    for name in names {
        let pair = (before.get(name).copied(), after.get(name).copied());
        let Some(either) = pair.0.or(pair.1) else { continue };
        let noisy = |metric: Option<&Metric>| {
            metric.is_some_and(|one| one.repeatability == Repeatability::Noisy)
        };
        if noisy(pair.0) || noisy(pair.1) {
            found.noisy += 1;
            continue;
        }
        found.compared += 1;
        let tolerance = tolerances.get(&*either.name).copied().unwrap_or(0.0);
        let values = (pair.0.map(|one| &one.value), pair.1.map(|one| &one.value));
        if !same(values.0, values.1, tolerance) {
            found.metrics.push(MetricChange {
                result: key.to_owned(),
                metric: either.full_name(),
                unit: either.unit,
                base: values.0.cloned(),
                head: values.1.cloned(),
                trend: trend(values.0, values.1, either.direction),
            });
        }
    }
}

/// The metrics of a result by full name and occurrence.
fn by_name(result: &CaseResult) -> BTreeMap<(String, u32), &Metric> {
    let mut named = BTreeMap::new();
    for metric in &result.metrics {
        let name = metric.full_name();
        let again = (0..).find(|again| !named.contains_key(&(name.clone(), *again)));
        named.insert((name, again.unwrap_or(u32::MAX)), metric);
    }
    named
}

fn same(base: Option<&Value>, head: Option<&Value>, tolerance: f64) -> bool {
    match (base, head) {
        (Some(Value::Number(base)), Some(Value::Number(head))) => {
            base == head || (base.get() - head.get()).abs() <= tolerance
        }
        (base, head) => base == head,
    }
}

fn trend(base: Option<&Value>, head: Option<&Value>, direction: Direction) -> Trend {
    let (Some(base), Some(head)) = (base.and_then(Value::number), head.and_then(Value::number))
    else {
        return Trend::Changed;
    };
    match direction {
        Direction::Neutral => Trend::Changed,
        Direction::HigherIsBetter if head > base => Trend::Better,
        Direction::LowerIsBetter if head < base => Trend::Better,
        Direction::HigherIsBetter | Direction::LowerIsBetter => Trend::Worse,
    }
}
