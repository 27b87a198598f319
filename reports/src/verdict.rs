//! What a case concludes, and why: verdicts, requirements and the findings that prove them.
//!
//! The words Must, Should and May are those of RFC 2119. A verdict is set once, from the findings,
//! and never rewritten afterwards; an error of ours is its own verdict, so that it can never be
//! mistaken for a conforming peer.

use serde::{Deserialize, Serialize};

/// What a case concludes. The order is the order of alarm: the worst of several is their maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing was found to be wrong.
    Pass,
    /// The peer said that it does not do this, so there was nothing to judge.
    Unsupported,
    /// A Should was broken.
    Warn,
    /// We could not judge. Never green.
    Error,
    /// A Must was broken.
    Fail,
}

impl Verdict {
    /// Every verdict, worst first: the order in which reports list them.
    pub const WORST_FIRST: [Self; 5] =
        [Self::Fail, Self::Error, Self::Warn, Self::Unsupported, Self::Pass];

    /// The verdict that these findings lead to: `Fail` for a broken Must, `Warn` for a broken
    /// Should, `Pass` when there is none or only a May is concerned.
    #[must_use]
    pub fn of_findings(findings: &[Finding]) -> Self {
        findings.iter().map(|finding| finding.level.when_broken()).max().unwrap_or(Self::Pass)
    }

    /// The word used in every rendering, in lower case.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Unsupported => "unsupported",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Fail => "fail",
        }
    }

    /// A sign that tells the verdicts apart without colour.
    #[must_use]
    pub const fn sign(self) -> char {
        match self {
            Self::Pass => '✓',
            Self::Unsupported => '–',
            Self::Warn => '!',
            Self::Error => '?',
            Self::Fail => '✗',
        }
    }
}

/// How strongly a requirement binds (RFC 2119).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Optional.
    May,
    /// To be followed unless there is a good reason.
    Should,
    /// Absolute.
    Must,
}

impl Level {
    /// The verdict of a case that finds a requirement of this level broken.
    #[must_use]
    pub const fn when_broken(self) -> Verdict {
        match self {
            Self::May => Verdict::Pass,
            Self::Should => Verdict::Warn,
            Self::Must => Verdict::Fail,
        }
    }

    /// The word of RFC 2119, capitalized as in a sentence.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::May => "May",
            Self::Should => "Should",
            Self::Must => "Must",
        }
    }
}

/// One thing that a specification or this project asks for, in one sentence of our own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// A stable path of words, never a position: `rtp/rfc3550-a8/jitter-in-timestamp-units`.
    pub id: String,
    /// How strongly it binds.
    pub level: Level,
    /// Where it is written: a section of an RFC, or a page.
    pub citation: String,
    /// What it asks for, in our own words.
    pub sentence: String,
}

impl Requirement {
    /// The finding that this requirement was broken, so far without evidence.
    #[must_use]
    pub fn broken(&self, expected: impl Into<String>, actual: impl Into<String>) -> Finding {
        Finding {
            requirement: self.id.clone(),
            level: self.level,
            citation: self.citation.clone(),
            sentence: self.sentence.clone(),
            expected: expected.into(),
            actual: actual.into(),
            evidence: Vec::new(),
            media: None,
        }
    }
}

/// One requirement found broken, with what proves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The id of the requirement.
    pub requirement: String,
    /// How strongly it binds.
    pub level: Level,
    /// Where it is written.
    pub citation: String,
    /// What it asks for.
    pub sentence: String,
    /// What should have been seen.
    pub expected: String,
    /// What was seen.
    pub actual: String,
    /// The packets or exchanges that show it, one line each, in order of time.
    pub evidence: Vec<String>,
    /// A capture of the media that crossed, decrypted: a file, named from where the report is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<String>,
}

impl Finding {
    /// The most lines of evidence that [`Finding::with_evidence`] keeps.
    pub const MAX_EVIDENCE: usize = 50;

    /// The same finding with these lines of evidence. Past [`Finding::MAX_EVIDENCE`] the rest is
    /// counted in a last line instead of kept.
    #[must_use]
    pub fn with_evidence<S: Into<String>>(mut self, lines: impl IntoIterator<Item = S>) -> Self {
        let mut left_out = 0_u64;
        for line in lines {
            if self.evidence.len() + 1 < Self::MAX_EVIDENCE {
                self.evidence.push(line.into());
            } else {
                left_out += 1;
            }
        }
        if left_out > 0 {
            self.evidence.push(format!("and {left_out} more"));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requirement(level: Level) -> Requirement {
        Requirement {
            id: "rtp/sequence".into(),
            level,
            citation: "RFC 3550 section 5.1".into(),
            sentence: "The sequence number rises by one for each packet sent.".into(),
        }
    }

    #[test]
    fn a_broken_must_fails_and_a_broken_should_warns() {
        let must = requirement(Level::Must).broken("1", "2");
        let should = requirement(Level::Should).broken("1", "2");
        let may = requirement(Level::May).broken("1", "2");
        assert_eq!(Verdict::of_findings(&[]), Verdict::Pass);
        assert_eq!(Verdict::of_findings(std::slice::from_ref(&may)), Verdict::Pass);
        assert_eq!(Verdict::of_findings(&[may.clone(), should.clone()]), Verdict::Warn);
        assert_eq!(Verdict::of_findings(&[should, must, may]), Verdict::Fail);
    }

    #[test]
    fn evidence_is_bounded_and_says_how_much_was_left_out() {
        let finding = requirement(Level::Must)
            .broken("a", "b")
            .with_evidence((0..1_000).map(|n| format!("packet {n}")));
        assert_eq!(finding.evidence.len(), Finding::MAX_EVIDENCE);
        assert_eq!(finding.evidence.last().map(String::as_str), Some("and 951 more"));
    }
}
