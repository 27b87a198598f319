//! A rule as a case knows it: a requirement written down once, as a constant, beside the
//! judge that checks it.

use callrig_reports::{Finding, Level, Requirement};

/// A requirement that can be a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// A stable path of words.
    pub id: &'static str,
    /// How much it matters.
    pub level: Level,
    /// Where it is written.
    pub citation: &'static str,
    /// What it asks, in a sentence of our own.
    pub sentence: &'static str,
}

impl Rule {
    /// Something that everybody must do.
    #[must_use]
    pub const fn must(id: &'static str, citation: &'static str, sentence: &'static str) -> Self {
        Self { id, level: Level::Must, citation, sentence }
    }

    /// Something that everybody should do, unless there are reasons.
    #[must_use]
    pub const fn should(id: &'static str, citation: &'static str, sentence: &'static str) -> Self {
        Self { id, level: Level::Should, citation, sentence }
    }

    /// As reports carry it.
    #[must_use]
    pub fn requirement(&self) -> Requirement {
        Requirement {
            id: self.id.to_owned(),
            level: self.level,
            citation: self.citation.to_owned(),
            sentence: self.sentence.to_owned(),
        }
    }

    /// It was broken.
    #[must_use]
    pub fn broken(&self, expected: impl Into<String>, actual: impl Into<String>) -> Finding {
        self.requirement().broken(expected, actual)
    }
}

/// Several, as reports carry them.
#[must_use]
pub fn requirements(rules: &[Rule]) -> Vec<Requirement> {
    rules.iter().map(Rule::requirement).collect()
}
