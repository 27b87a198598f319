//! What a load concludes: each objective met, broken or not measurable, and the figures behind it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::course::course;
use super::objective::{Limit, Objective, Quantity};
use super::samples::{Latencies, Samples};
use super::step;
use super::windows::Windows;
use crate::environment::Environment;
use crate::gate::Outcome;
use crate::gate::distribution::{rate_at_least, rate_at_most, student};
use crate::histogram::Histogram;
use crate::metric::Unit;
use crate::number;
use crate::series::Series;

/// The version of the JSON's shape.
pub const SCHEMA_VERSION: u32 = 1;

/// More void windows than this leave nothing to conclude.
pub const VOID_MAX: f64 = 0.02;

/// What one load found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// When it began, as RFC 3339.
    pub started_at: String,
    /// The build and the machine of the generator.
    pub environment: Environment,
    /// What was asked for, in words: the target and the arrivals.
    pub target: String,
    /// The arrivals, in words.
    pub arrivals: String,
    /// The seed of all random choices.
    pub seed: u64,
    /// The conclusion.
    pub outcome: Outcome,
    /// The objectives.
    pub objectives: Vec<Judged>,
    /// Calls that were meant to begin.
    pub intended: u64,
    /// Calls that ended as they should.
    pub succeeded: u64,
    /// Why the others did not, and how often.
    pub failures: BTreeMap<String, u64>,
    /// Calls begun per second of intended time.
    #[serde(with = "number::json")]
    pub rate: f64,
    /// Latencies: whole calls as `call`, and each step by its name.
    pub latencies: Vec<Histogram>,
    /// How late the generator began each call.
    pub lateness: Histogram,
    /// Windows of a second, and how many of them were void for the strictest objective.
    pub windows: u64,
    /// See `windows`.
    pub void_windows: u64,
    /// The generator's own share of the machine's processors, where it can be known.
    pub own_cpu: Option<f64>,
    /// How it went over its time.
    #[serde(default)]
    pub course: Vec<Series>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

/// One objective, judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judged {
    /// As it was written.
    pub objective: String,
    /// What came of it.
    pub answer: Answer,
    /// The value: seconds, a part of 1, or calls per second.
    pub value: Option<f64>,
    /// The limit, in the same unit.
    pub limit: Option<f64>,
    /// Why, in words.
    pub why: String,
}

/// What can come of an objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It holds.
    Met,
    /// Nobody can say.
    NotMeasurable,
    /// It does not hold.
    Broken,
}

impl Answer {
    /// The word used in every rendering.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::NotMeasurable => "not measurable",
            Self::Broken => "broken",
        }
    }
}

/// The conclusion of judged objectives: nothing judged is nothing known.
#[must_use]
pub fn outcome(objectives: &[Judged], samples: &Samples) -> Outcome {
    let worst = objectives.iter().map(|judged| judged.answer).max();
    let (failed, all) = samples.failed();
    match worst {
        Some(Answer::Broken) => Outcome::Regressed,
        Some(Answer::NotMeasurable) => Outcome::Inconclusive,
        // Of nothing, if nothing came through.
        _ if all == 0 || failed == all => Outcome::Inconclusive,
        _ => Outcome::Clear,
    }
}

/// Judges one objective; `twin` is what another load found.
#[must_use]
pub fn judge(objective: &Objective, samples: &Samples, twin: Option<&Load>) -> Judged {
    let judged = |answer, value, limit, why: String| Judged {
        objective: objective.text.clone(),
        answer,
        value,
        limit,
        why,
    };
    let limit = match (objective.limit, twin) {
        (Limit::Absolute(limit), _) => limit,
        (Limit::OfTwin(times), Some(twin)) => match of_twin(objective, twin) {
            Some(value) => times * value,
            None => {
                let why = "the twin has no such figure".to_owned();
                return judged(Answer::NotMeasurable, None, None, why);
            }
        },
        (Limit::OfTwin(_), None) => {
            let why = "there is no twin: name its load.json with --twin".to_owned();
            return judged(Answer::NotMeasurable, None, None, why);
        }
    };
    let (failed, all) = samples.failed();
    if all < objective.samples_min {
        let why = format!("{all} calls, {} are needed", objective.samples_min);
        return judged(Answer::NotMeasurable, None, Some(limit), why);
    }
    match objective.quantity {
        Quantity::Errors => {
            let value = failed as f64 / all as f64;
            let answer = match objective.confidence {
                None => decide(objective.comparison.holds(value, limit)),
                Some(confidence) => between(
                    rate_at_most(failed, all, confidence) <= limit,
                    rate_at_least(failed, all, confidence) > limit,
                ),
            };
            judged(answer, Some(value), Some(limit), format!("{failed} of {all} calls failed"))
        }
        Quantity::Rate => {
            let seconds = samples.seconds();
            if seconds <= 0.0 {
                let why = "no time passed".to_owned();
                return judged(Answer::NotMeasurable, None, Some(limit), why);
            }
            let value = (all - failed) as f64 / seconds;
            let answer = decide(objective.comparison.holds(value, limit));
            judged(answer, Some(value), Some(limit), format!("over {seconds:.1} s"))
        }
        Quantity::Percentile(_) | Quantity::Mean | Quantity::Max => {
            latency(objective, samples, limit)
        }
    }
}

fn decide(holds: bool) -> Answer {
    if holds { Answer::Met } else { Answer::Broken }
}

fn between(met: bool, broken: bool) -> Answer {
    match (met, broken) {
        (true, _) => Answer::Met,
        (_, true) => Answer::Broken,
        _ => Answer::NotMeasurable,
    }
}

/// How late the generator may be for this limit (in seconds), in nanoseconds: a tenth.
#[must_use]
pub fn late_max(limit: f64) -> u64 {
    (limit * 1e8).clamp(0.0, 1e18) as u64
}

fn latency(objective: &Objective, samples: &Samples, limit: f64) -> Judged {
    let windows = samples.windows();
    let stage = objective.stage.as_deref();
    let late_max = if step::is_figure(stage) { u64::MAX } else { late_max(limit) };
    let (void, all) = (windows.void(late_max), windows.count());
    let latencies = samples.latencies(stage, &windows, late_max);
    let count = latencies.count();
    let value = value_of(objective.quantity, &latencies);
    let mut judged = Judged {
        objective: objective.text.clone(),
        answer: Answer::NotMeasurable,
        value: value.filter(|value| value.is_finite()),
        limit: Some(limit),
        why: format!("{count} samples, {void} of {all} windows void"),
    };
    if latencies.endless > 0 {
        judged.why.push_str(&format!(", {} never came", latencies.endless));
    }
    if void as f64 > VOID_MAX * all as f64 {
        match judge_late(objective, samples, &windows, late_max, limit) {
            Some((answer, bounds, why)) => {
                judged.answer = answer;
                judged.value = value_of(objective.quantity, &bounds);
                judged.why.push_str(why);
            }
            None => judged.why.push_str(": the generator was late itself in more than 2 % of them"),
        }
        return judged;
    }
    if count < objective.samples_min {
        judged.why.push_str(&format!(": {} samples are needed", objective.samples_min));
        return judged;
    }
    judged.answer = answer(objective, &latencies, limit).unwrap_or(judged.answer);
    judged
}

/// What can be said of an objective however late the generator was, what it is said of, and why. (An
/// objective of latencies is always an upper bound itself.)
fn judge_late(
    objective: &Objective,
    samples: &Samples,
    windows: &Windows,
    late_max: u64,
    limit: f64,
) -> Option<(Answer, Latencies, &'static str)> {
    let stage = objective.stage.as_deref();
    let says = |latencies: &Latencies, wanted: Answer| {
        latencies.count() >= objective.samples_min
            && answer(objective, latencies, limit) == Some(wanted)
    };
    // What an upper bound of all latencies meets they meet, and what a lower one breaks they break.
    let at_most = samples.latencies_at_most(stage, windows, late_max);
    if samples.never_begun == 0 && says(&at_most, Answer::Met) {
        let why = ": met even with the generator's lateness added";
        return Some((Answer::Met, at_most, why));
    }
    let at_least = samples.latencies_at_least(stage, windows);
    let why = ": broken even with the generator's lateness taken off";
    says(&at_least, Answer::Broken).then_some((Answer::Broken, at_least, why))
}

/// What latencies say of an objective; nothing without any.
fn answer(objective: &Objective, latencies: &Latencies, limit: f64) -> Option<Answer> {
    let (value, count) = (value_of(objective.quantity, latencies)?, latencies.count());
    Some(match (objective.confidence, objective.quantity) {
        (Some(confidence), Quantity::Percentile(part)) => {
            let above = latencies.above(limit * 1e9);
            between(
                rate_at_most(above, count, confidence) <= 1.0 - part,
                rate_at_least(above, count, confidence) > 1.0 - part,
            )
        }
        (Some(confidence), Quantity::Mean) => {
            let half = student(count as usize - 1, 1.0 - confidence) * latencies.error_of_mean();
            between(value + half / 1e9 <= limit, value - half / 1e9 > limit)
        }
        _ => decide(objective.comparison.holds(value, limit)),
    })
}

fn value_of(quantity: Quantity, latencies: &Latencies) -> Option<f64> {
    let histogram = &latencies.histogram;
    let nanos = match quantity {
        Quantity::Percentile(part) => latencies.at(part)?,
        Quantity::Mean | Quantity::Max if latencies.endless > 0 => f64::INFINITY,
        Quantity::Mean | Quantity::Max if histogram.is_empty() => return None,
        Quantity::Mean => histogram.mean(),
        Quantity::Max => histogram.max() as f64,
        Quantity::Errors | Quantity::Rate => return None,
    };
    Some(nanos / 1e9)
}

fn of_twin(objective: &Objective, twin: &Load) -> Option<f64> {
    let name = objective.stage.as_deref().unwrap_or("call");
    let of_name = || twin.latencies.iter().find(|one| one.name == name && one.count > 0);
    match objective.quantity {
        Quantity::Percentile(part) => of_name()?.value_at(part * 100.0),
        Quantity::Mean => Some(of_name()?.mean),
        Quantity::Max => Some(of_name()?.max),
        Quantity::Errors => {
            (twin.intended > 0).then(|| 1.0 - twin.succeeded as f64 / twin.intended as f64)
        }
        Quantity::Rate => Some(twin.rate),
    }
}

/// What is said of a load before and beside its objectives.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// When it began, as RFC 3339.
    pub started_at: String,
    /// The build and the machine.
    pub environment: Environment,
    /// The target, in words.
    pub target: String,
    /// The arrivals, in words.
    pub arrivals: String,
    /// The seed.
    pub seed: u64,
    /// The generator's share of the processors.
    pub own_cpu: Option<f64>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

/// Draws the conclusion.
#[must_use]
pub fn conclude(
    about: About,
    samples: &Samples,
    objectives: &[Objective],
    twin: Option<&Load>,
) -> Load {
    let judged: Vec<Judged> = objectives.iter().map(|one| judge(one, samples, twin)).collect();
    let windows = samples.windows();
    let strictest = judged
        .iter()
        .zip(objectives)
        .filter(|(_, of)| {
            !matches!(of.quantity, Quantity::Errors | Quantity::Rate)
                && !step::is_figure(of.stage.as_deref())
        })
        .filter_map(|(judged, _)| judged.limit)
        .fold(f64::MAX, f64::min);
    let late_max = late_max(strictest);
    let (failed, all) = samples.failed();
    let seconds = samples.seconds();
    let curve = |name: &str, of: Option<&str>| {
        let late_max = if step::is_figure(of) { u64::MAX } else { late_max };
        let latencies = samples.latencies(of, &windows, late_max);
        Histogram::of(name.to_owned(), step::unit(name), 1e-9, &latencies.histogram)
    };
    let mut latencies = vec![curve("call", None)];
    latencies.extend(samples.steps.iter().map(|step| curve(step, Some(step))));
    Load {
        schema_version: SCHEMA_VERSION,
        started_at: about.started_at,
        environment: about.environment,
        target: about.target,
        arrivals: about.arrivals,
        seed: about.seed,
        outcome: outcome(&judged, samples),
        objectives: judged,
        intended: all,
        succeeded: all - failed,
        failures: samples.failures(),
        rate: if seconds > 0.0 { samples.calls.len() as f64 / seconds } else { 0.0 },
        latencies,
        lateness: Histogram::of("lateness", Unit::Seconds, 1e-9, &samples.lateness()),
        windows: windows.count(),
        void_windows: windows.void(late_max),
        own_cpu: about.own_cpu,
        course: course(samples),
        notes: about.notes,
    }
}
