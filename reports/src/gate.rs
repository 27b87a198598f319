//! The gate: what a comparison with a baseline concludes, and how much it can be trusted.
//!
//! Four tiers, each with a rule of its own: [`exact`] for what simulated time repeats to the last
//! digit, [`counted`] for instructions, [`paired`] for time, [`held`] for memory that stays. Each
//! tier carries its controls, a twin (the base against itself) and a canary (the base made 5 %
//! worse): a twin that alarms or a canary that is missed, like anything else that takes the
//! gate's power away, is a [`Doubt`]. Doubts make the outcome [`Outcome::Inconclusive`], which is
//! never green.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::environment::Environment;
use crate::number;

pub mod bounds;
pub mod counted;
pub mod distribution;
pub mod exact;
pub mod held;
pub mod history;
pub mod paired;
pub mod stage;

/// The version of the JSON's shape.
pub const SCHEMA_VERSION: u32 = 1;

/// What was asked to be compared, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// When it was decided, as RFC 3339; the caller's word for it.
    pub decided_at: String,
    /// What is the measure.
    pub base: Side,
    /// What is measured by it.
    pub candidate: Side,
    /// The conclusion: always [`Gate::conclude`] of the rest.
    pub outcome: Outcome,
    /// What was compared, worst first; of the equal ones only those worth telling.
    pub checks: Vec<Check>,
    /// Twins and canaries.
    pub controls: Vec<Control>,
    /// What took power away.
    pub doubts: Vec<Doubt>,
    /// What is worth knowing and decides nothing.
    pub notes: Vec<String>,
    /// How many values were compared, by tier.
    pub compared: BTreeMap<Tier, u64>,
}

/// One of the two that are compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Side {
    /// A path, or how it was come by.
    pub name: String,
    /// The build and the machine.
    pub environment: Environment,
}

/// By which rule something was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// What repeats to the last digit: equality, or a stated bound.
    Exact,
    /// Instructions per unit of work, counted by callgrind: a stated bound.
    Instructions,
    /// Time per unit of work: paired, replicated, sequential.
    Time,
    /// Memory kept per unit of work.
    Memory,
}

impl Tier {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 4] = [Self::Exact, Self::Instructions, Self::Time, Self::Memory];

    /// The word used in every rendering.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Instructions => "instructions",
            Self::Time => "time",
            Self::Memory => "memory",
        }
    }
}

/// The conclusion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing is worse by more than what each check says it would have found.
    Clear,
    /// Nothing was found, but something took away the power to find it.
    Inconclusive,
    /// Something is worse.
    Regressed,
}

impl Outcome {
    /// The word used in every rendering.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Inconclusive => "inconclusive",
            Self::Regressed => "regressed",
        }
    }
}

/// What one comparison found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Worse than its bound allows.
    Worse,
    /// Other than it was, and neither direction is good.
    Changed,
    /// Neither an effect nor its absence could be shown.
    Unresolved,
    /// Better than it was, by more than its bound.
    Better,
    /// Other than it was, within its bound.
    Within,
    /// As it was.
    Same,
}

impl Finding {
    /// The word used in every rendering.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Worse => "worse",
            Self::Changed => "changed",
            Self::Unresolved => "unresolved",
            Self::Better => "better",
            Self::Within => "within its bound",
            Self::Same => "same",
        }
    }

    /// Whether it makes the gate red.
    #[must_use]
    pub const fn is_red(self) -> bool {
        matches!(self, Self::Worse | Self::Changed)
    }
}

/// One thing that was compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// By which rule.
    pub tier: Tier,
    /// What: a result and its metric, or a stage and its cost. Hostile.
    pub metric: String,
    /// Which stage of the media path, or of the API, it speaks of.
    pub stage: String,
    /// The base's value, with its unit, for people. Hostile.
    pub base: String,
    /// The candidate's.
    pub candidate: String,
    /// What was concluded.
    pub finding: Finding,
    /// By how much it changed: a part of the base's value, where that makes sense.
    pub effect: Option<Effect>,
    /// What change is allowed, in words.
    pub bound: String,
}

/// How large a change is, as a part of the base's value (0.05 is five per cent more).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Effect {
    /// The best estimate.
    #[serde(with = "number::json")]
    pub estimate: f64,
    /// No less than this, at the confidence of the rule.
    #[serde(with = "number::json")]
    pub low: f64,
    /// No more than this.
    #[serde(with = "number::json")]
    pub high: f64,
    /// The smallest change that this check would have called worse.
    #[serde(with = "number::json")]
    pub detectable: f64,
}

impl Effect {
    /// An effect that is known exactly, where `bound` is allowed.
    #[must_use]
    pub const fn known(estimate: f64, bound: f64) -> Self {
        Self { estimate, low: estimate, high: estimate, detectable: bound }
    }
}

/// A twin or a canary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// Of which rule.
    pub tier: Tier,
    /// `twin` or `canary`.
    pub kind: ControlKind,
    /// Of what: a stage, or the whole tier.
    pub of: String,
    /// Whether it came out as it must: twins silent, canaries found.
    pub held: bool,
    /// What was seen, in words.
    pub seen: String,
}

/// What a control is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlKind {
    /// The base against itself: must not alarm.
    Twin,
    /// The base made 5 % worse: must alarm.
    Canary,
}

impl ControlKind {
    /// The word used in every rendering.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Twin => "twin",
            Self::Canary => "canary",
        }
    }
}

/// Something that takes away the power to find a regression.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Doubt {
    /// What kind of thing.
    pub kind: DoubtKind,
    /// In which tier; everywhere if none is named.
    pub tier: Option<Tier>,
    /// What, where, and what to do. Hostile.
    pub text: String,
}

impl Doubt {
    /// About everything.
    #[must_use]
    pub fn everywhere(kind: DoubtKind, text: impl Into<String>) -> Self {
        Self { kind, tier: None, text: text.into() }
    }

    /// About one tier.
    #[must_use]
    pub fn in_tier(kind: DoubtKind, tier: Tier, text: impl Into<String>) -> Self {
        Self { kind, tier: Some(tier), text: text.into() }
    }
}

/// What can take power away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DoubtKind {
    /// There is no baseline, or it cannot be read.
    NoBaseline,
    /// Baseline or candidate were set up differently: seed, recordings.
    OtherSetup,
    /// Made on another machine, by another compiler or in another profile.
    Foreign,
    /// Nothing is in both.
    NothingInCommon,
    /// Something that was measured is measured no more.
    Vanished,
    /// Something could not be judged.
    NotJudged,
    /// No samples, or too few.
    NoSamples,
    /// A clock stood still or went back.
    Clock,
    /// The base against itself was called different.
    TwinAlarmed,
    /// A slow-down put in on purpose was not found.
    CanaryMissed,
    /// A worker or a tool failed.
    Failed,
    /// Neither an effect nor its absence could be shown.
    Unresolved,
}

impl DoubtKind {
    /// The word used in every rendering.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NoBaseline => "no baseline",
            Self::OtherSetup => "other set-up",
            Self::Foreign => "foreign",
            Self::NothingInCommon => "nothing in common",
            Self::Vanished => "vanished",
            Self::NotJudged => "not judged",
            Self::NoSamples => "no samples",
            Self::Clock => "clock",
            Self::TwinAlarmed => "twin alarmed",
            Self::CanaryMissed => "canary missed",
            Self::Failed => "failed",
            Self::Unresolved => "unresolved",
        }
    }
}

/// What one tier found; several make a [`Gate`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Findings {
    /// What was compared.
    pub checks: Vec<Check>,
    /// Twins and canaries.
    pub controls: Vec<Control>,
    /// What took power away.
    pub doubts: Vec<Doubt>,
    /// What decides nothing.
    pub notes: Vec<String>,
    /// How many values were compared, by tier; equal ones need no check of their own.
    pub compared: BTreeMap<Tier, u64>,
}

impl Findings {
    /// Nothing but a doubt.
    #[must_use]
    pub fn doubt(doubt: Doubt) -> Self {
        Self { doubts: vec![doubt], ..Self::default() }
    }

    /// Counts one more comparison.
    pub fn count(&mut self, tier: Tier) {
        *self.compared.entry(tier).or_default() += 1;
    }

    /// Notes a control; one that did not come out as it must is a doubt.
    pub fn control(&mut self, control: Control) {
        if !control.held {
            let kind = match control.kind {
                ControlKind::Twin => DoubtKind::TwinAlarmed,
                ControlKind::Canary => DoubtKind::CanaryMissed,
            };
            let text = format!("{} of {}: {}", control.kind.word(), control.of, control.seen);
            self.doubts.push(Doubt::in_tier(kind, control.tier, text));
        }
        self.controls.push(control);
    }

    /// Puts two together.
    pub fn add(&mut self, other: Self) {
        self.checks.extend(other.checks);
        self.controls.extend(other.controls);
        self.doubts.extend(other.doubts);
        self.notes.extend(other.notes);
        for (tier, count) in other.compared {
            *self.compared.entry(tier).or_default() += count;
        }
    }
}

impl Gate {
    /// Draws the conclusion.
    #[must_use]
    pub fn conclude(
        decided_at: impl Into<String>,
        base: Side,
        candidate: Side,
        mut found: Findings,
    ) -> Self {
        for tier in Tier::ALL {
            let any = |kind| found.controls.iter().any(|c| c.tier == tier && c.kind == kind);
            let compared = found.compared.get(&tier).copied().unwrap_or(0) > 0;
            if compared && !(any(ControlKind::Twin) && any(ControlKind::Canary)) {
                let text = "its twin or its canary was not run".to_owned();
                found.doubts.push(Doubt::in_tier(DoubtKind::CanaryMissed, tier, text));
            }
        }
        if found.compared.values().all(|count| *count == 0) && found.doubts.is_empty() {
            let text = "nothing was compared";
            found.doubts.push(Doubt::everywhere(DoubtKind::NothingInCommon, text));
        }
        found.checks.sort_by(|a, b| {
            (a.finding, a.tier, &a.stage, &a.metric).cmp(&(b.finding, b.tier, &b.stage, &b.metric))
        });
        let outcome = outcome(&found);
        Self {
            schema_version: SCHEMA_VERSION,
            decided_at: decided_at.into(),
            base,
            candidate,
            outcome,
            checks: found.checks,
            controls: found.controls,
            doubts: found.doubts,
            notes: found.notes,
            compared: found.compared,
        }
    }

    /// The checks that make it red.
    pub fn red(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.finding.is_red())
    }
}

/// Red needs a red check in a tier that is beyond doubt; green needs that there is no doubt at
/// all.
fn outcome(found: &Findings) -> Outcome {
    // What cannot be compared proves nothing. A vanished metric elsewhere in the tier, or one
    // stage whose canary was missed, does not unsay what was found in another.
    let disarmed = |tier: Tier| {
        found.doubts.iter().any(|doubt| {
            let here = doubt.tier.is_none_or(|named| named == tier);
            let fatal = matches!(
                doubt.kind,
                DoubtKind::NoBaseline
                    | DoubtKind::OtherSetup
                    | DoubtKind::Foreign
                    | DoubtKind::NothingInCommon
                    | DoubtKind::Clock
                    | DoubtKind::TwinAlarmed
            );
            here && fatal
        })
    };
    if found.checks.iter().any(|check| check.finding.is_red() && !disarmed(check.tier)) {
        return Outcome::Regressed;
    }
    let open = |check: &Check| check.finding.is_red() || check.finding == Finding::Unresolved;
    if !found.doubts.is_empty() || found.checks.iter().any(open) {
        return Outcome::Inconclusive;
    }
    Outcome::Clear
}
