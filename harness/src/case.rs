//! What a case is: a stage on which a recording is played, and a judge who reads nothing
//! but what happened there. Cases that want the same stage share one performance of it.
//!
//! A judge is a pure function of the [`Evidence`], so a disputed verdict can be judged
//! again. Verdicts follow from findings, and metrics belong to the case that measures them.

use std::sync::LazyLock;

use callrig_media::time::Epoch;
use callrig_reports::{CaseResult, Finding, Histogram, Mark, Metric, Requirement, Series};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

pub mod audio;
pub mod calls;
pub mod cost;
pub mod dtmf;
mod excuses;
pub mod hostile;
pub mod listening;
pub mod meeting;
pub mod recovery;
pub mod rtcp;
pub mod rtp;
pub mod rule;
mod sound;
pub mod video;
pub mod view;
pub mod watching;

use crate::drive::Stopwatch;
use crate::link;
use crate::network::Network;
use crate::stage::{Cast, Stage};
use crate::subject::Subject;
use crate::trace::Trace;
use crate::world::simulated::Stop;

/// One thing that is judged.
#[derive(Clone, Copy)]
pub struct Case {
    /// A stable path of words, never a position: `media/audio/conservation`.
    pub id: &'static str,
    /// What it finds out, in a line.
    pub title: &'static str,
    /// What it can find broken.
    pub requirements: fn() -> Vec<Requirement>,
    /// Where the recording is played.
    pub stage: Stage,
    /// Whether it has anything to say about this recording on this network.
    pub applies: fn(&Subject, &Network) -> bool,
    /// What it makes of what happened.
    pub judge: fn(&Evidence<'_>) -> Judgement,
}

static ALL: LazyLock<Vec<Case>> = LazyLock::new(|| {
    [
        calls::CASES,
        rtp::CASES,
        rtcp::CASES,
        audio::CASES,
        listening::CASES,
        dtmf::CASES,
        video::CASES,
        recovery::CASES,
        meeting::CASES,
        watching::CASES,
        hostile::CASES,
        cost::CASES,
    ]
    .concat()
});

/// Every case, in the order in which they are listed.
#[must_use]
pub fn all() -> &'static [Case] {
    &ALL
}

/// All that a judge may look at.
#[derive(Clone, Copy)]
pub struct Evidence<'a> {
    /// What was played, with what is true of it.
    pub subject: &'a Subject,
    /// Under which condition.
    pub network: &'a Network,
    /// What happened.
    pub trace: &'a Trace,
    /// Who is who in the trace.
    pub cast: Cast,
    /// What the wall clock of the world said when it began.
    pub epoch: Epoch,
    /// What the link from the person to the platform did.
    pub uplink: link::Counters,
    /// What the link from the platform to the person did.
    pub downlink: link::Counters,
    /// Why the world stopped.
    pub stop: Stop,
    /// What the steps of each actor cost in real time, by actor. Noisy.
    pub costs: &'a [Stopwatch],
}

/// What a judge concludes.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// The requirements found broken.
    pub findings: Vec<Finding>,
    /// What was measured.
    pub metrics: Vec<Metric>,
    /// Quantities over time.
    pub series: Vec<Series>,
    /// What happened when.
    pub marks: Vec<Mark>,
    /// Distributions.
    pub histograms: Vec<Histogram>,
    /// The peer said that it does not do this: why nothing was judged.
    pub unsupported: Option<String>,
    /// *We* could not judge, and why.
    pub error: Option<String>,
    /// Why its findings are known and do not fail (see [`crate::deviation`]).
    pub known: Option<String>,
}

impl Judgement {
    /// We could not judge.
    #[must_use]
    pub fn error(reason: impl Into<String>) -> Self {
        Self { error: Some(reason.into()), ..Self::default() }
    }

    /// The peer, or the world, has nothing to judge.
    #[must_use]
    pub fn unsupported(reason: impl Into<String>) -> Self {
        Self { unsupported: Some(reason.into()), ..Self::default() }
    }

    /// The result of `case` that it amounts to.
    #[must_use]
    pub fn into_result(self, case: &Case, subject: &Subject, network: &Network) -> CaseResult {
        let result = match (self.error, self.unsupported, self.known) {
            (Some(reason), ..) => {
                CaseResult { findings: self.findings, ..CaseResult::error(case.id, reason) }
            }
            (None, Some(reason), _) => CaseResult::unsupported(case.id, reason),
            (None, None, Some(reason)) => CaseResult::known(case.id, self.findings, reason),
            (None, None, None) => CaseResult::judged(case.id, self.findings),
        };
        CaseResult {
            metrics: self.metrics,
            series: self.series,
            marks: self.marks,
            histograms: self.histograms,
            ..result.about(Some(&subject.id), Some(network.name))
        }
    }
}

/// Which cases were asked for: globs over ids, where `*` stays within a word of the path
/// and `**` does not. A bare word also stands for everything below it.
#[derive(Clone, Debug)]
pub struct Selection {
    globs: GlobSet,
    all: bool,
}

/// A pattern for cases that is none.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("--case {pattern:?} is not a pattern: {problem}")]
pub struct PatternError {
    /// As it was given.
    pub pattern: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Selection {
    /// Cases that match any of the patterns; without patterns, all.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn new(patterns: &[String]) -> Result<Self, PatternError> {
        let mut builder = GlobSetBuilder::new();
        for pattern in patterns {
            let below = format!("{}/**", pattern.trim_end_matches('/'));
            for text in [pattern, &below] {
                let glob =
                    GlobBuilder::new(text).literal_separator(true).build().map_err(|error| {
                        PatternError { pattern: pattern.clone(), problem: error.kind().to_string() }
                    })?;
                builder.add(glob);
            }
        }
        let globs = builder.build().map_err(|error| PatternError {
            pattern: patterns.join(" "),
            problem: error.kind().to_string(),
        })?;
        Ok(Self { globs, all: patterns.is_empty() })
    }

    /// Whether a case was asked for.
    #[must_use]
    pub fn takes(&self, id: &str) -> bool {
        self.all || self.globs.is_match(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(patterns: &[&str], id: &str) -> bool {
        let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        Selection::new(&patterns).expect("the patterns are sound").takes(id)
    }

    #[test]
    fn a_selection_knows_globs_words_and_nothing() {
        assert!(takes(&[], "media/audio/conservation"));
        assert!(takes(&["media"], "media/audio/conservation"));
        assert!(takes(&["media/*/conservation"], "media/audio/conservation"));
        assert!(takes(&["**/conservation"], "media/audio/conservation"));
        assert!(!takes(&["media/*"], "signaling/audio/conservation"));
        assert!(!takes(&["med"], "media/audio/conservation"));
    }

    #[test]
    fn a_broken_pattern_is_named() {
        let error = Selection::new(&["media/[".to_owned()]).expect_err("an open bracket");
        assert!(error.to_string().starts_with("--case \"media/[\" is not a pattern"));
    }
}
