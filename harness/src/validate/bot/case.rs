//! What a case of a bot is: a script and a judge of what crossed when it was played. Cases
//! with the same script share one performance of it. A case that needs something to have
//! worked is not judged where that did not: one fault is found once, by the case that is
//! about it.

use core::time::Duration;

use callrig_media::time::Instant;
use callrig_reports::{Finding, Requirement};

use super::profile::Profile;
use super::script::Script;
use super::transcript::Transcript;
use crate::case::rule::Rule;

/// What judges make of what they saw.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// These rules were found broken; none if there are none.
    Judged(Vec<Finding>),
    /// What was to be judged did not come about, and why.
    NotJudged(String),
    /// The machine was too busy to tell.
    NotMeasurable(String),
}

/// What a judge looks at.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// What crossed.
    pub transcript: &'a Transcript,
    /// What the bot is said to do.
    pub profile: &'a Profile,
    /// What was played to it.
    pub script: &'a Script,
    /// The undisturbed call with the same bot, to compare with, if there is one.
    pub plain: Option<&'a Transcript>,
    /// How far the clock may be off: what is busy is late.
    pub slack: Duration,
}

type Judge = Box<dyn Fn(&Seen<'_>) -> Outcome + Send + Sync>;

/// A case.
pub struct Case {
    /// A stable path of words.
    pub id: String,
    /// What it finds out, in a line.
    pub title: String,
    /// What it can find broken.
    pub rules: Vec<Requirement>,
    /// Cases that must have passed for it to mean anything.
    pub needs: Vec<&'static str>,
    /// Whether what it finds is a matter of time: a busy machine cannot tell.
    pub timed: bool,
    /// What is played; or why it does not apply to the bot.
    pub script: Result<Script, String>,
    /// What is made of it.
    pub judge: Judge,
}

impl Case {
    /// A case.
    #[must_use]
    pub fn new(
        id: impl Into<String>,
        title: impl Into<String>,
        rules: &[Rule],
        script: Result<Script, String>,
        judge: impl Fn(&Seen<'_>) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        Self {
            id: id.into(),
            title: title.into(),
            rules: rules.iter().map(Rule::requirement).collect(),
            needs: Vec::new(),
            timed: false,
            script,
            judge: Box::new(judge),
        }
    }

    /// What it finds is a matter of time.
    #[must_use]
    pub const fn timed(mut self) -> Self {
        self.timed = true;
        self
    }

    /// It means nothing unless these passed.
    #[must_use]
    pub fn after(mut self, needs: &[&'static str]) -> Self {
        self.needs.extend_from_slice(needs);
        self
    }
}

impl Seen<'_> {
    /// A rule was broken, at this moment: what led to it is kept with the finding.
    #[must_use]
    pub fn broken(
        &self,
        rule: &Rule,
        at: Instant,
        expected: impl Into<String>,
        actual: impl Into<String>,
    ) -> Finding {
        let evidence = super::evidence::around(self.transcript, at);
        rule.broken(expected, actual).with_evidence(evidence)
    }
}

/// Judged, with at most one finding.
#[must_use]
pub fn judged(finding: Option<Finding>) -> Outcome {
    Outcome::Judged(finding.into_iter().collect())
}
