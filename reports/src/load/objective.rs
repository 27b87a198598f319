//! Objectives as people write them: `p(99)<20ms`, `setup.p(99.9)<=1s @95%`, `errors<0.1%`,
//! `answer.mean<1.2*twin`, `rate>=50/s min 1000`.
//!
//! ```text
//! objective  = [stage "."] quantity comparison limit ["@" number "%"] ["min" count]
//! quantity   = "p(" number ")" | "mean" | "max" | "errors" | "rate"
//! comparison = "<" | "<=" | ">" | ">="
//! limit      = number unit | number "%" | number "/s" | number "*" "twin"
//! unit       = "ns" | "us" | "µs" | "ms" | "s"
//! ```
//!
//! What is a part of 1 ([`super::step`]) is limited in per cent: `loss.p(99)<1%`.
//!
//! Without `@`, what was seen decides. With it, an objective is met or broken only as far as the
//! samples prove it at that confidence, and not measurable between.

use core::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::step;
use crate::metric::Unit;

/// One objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    /// As it was written.
    pub text: String,
    /// Of which step of a call; the whole call if none is named.
    pub stage: Option<String>,
    /// What is limited.
    pub quantity: Quantity,
    /// From which side.
    pub comparison: Comparison,
    /// Where.
    pub limit: Limit,
    /// How sure it must be, as a part of 1; what was seen decides without it.
    pub confidence: Option<f64>,
    /// So many samples at least; a sensible number unless stated.
    pub samples_min: u64,
}

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// A percentile of the latency, as a part of 1.
    Percentile(f64),
    /// The mean latency.
    Mean,
    /// The greatest latency.
    Max,
    /// The part of calls that failed.
    Errors,
    /// Calls that succeeded, per second.
    Rate,
}

/// From which side a quantity is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `>=`
    AtLeast,
}

impl Comparison {
    /// Whether a value stands on the right side of a limit.
    #[must_use]
    pub fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Below => value < limit,
            Self::AtMost => value <= limit,
            Self::Above => value > limit,
            Self::AtLeast => value >= limit,
        }
    }

    /// Whether less is better.
    #[must_use]
    pub const fn is_upper(self) -> bool {
        matches!(self, Self::Below | Self::AtMost)
    }
}

/// Where a quantity is limited.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Seconds, a part of 1, or calls per second.
    Absolute(f64),
    /// So many times what the twin had.
    OfTwin(f64),
}

/// Why a text is no objective: where, and what was expected there.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?}, column {column}: {expected}")]
pub struct ObjectiveError {
    /// The text, cut.
    pub text: String,
    /// Where, from 1, in characters.
    pub column: usize,
    /// What was expected.
    pub expected: String,
}

/// The longest text that is read.
const TEXT_CHARS_MAX: usize = 200;

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn column(&self) -> usize {
        self.text[..self.text.len() - self.rest.len()].chars().count() + 1
    }

    fn refuse<T>(&self, expected: impl Into<String>) -> Result<T, ObjectiveError> {
        self.refuse_at(self.column(), expected)
    }

    fn refuse_at<T>(
        &self,
        column: usize,
        expected: impl Into<String>,
    ) -> Result<T, ObjectiveError> {
        let text = self.text.chars().take(TEXT_CHARS_MAX).collect();
        Err(ObjectiveError { text, column, expected: expected.into() })
    }

    fn take(&mut self, word: &str) -> bool {
        self.space();
        let Some(rest) = self.rest.strip_prefix(word) else { return false };
        self.rest = rest;
        true
    }

    fn word(&mut self) -> &'a str {
        self.space();
        let end = self
            .rest
            .find(|c: char| !(c.is_alphanumeric() || "_-/".contains(c)))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn number(&mut self, what: &str) -> Result<f64, ObjectiveError> {
        self.space();
        let end =
            self.rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        match digits.parse::<f64>() {
            Ok(number) if number.is_finite() && digits.len() <= 20 => {
                self.rest = rest;
                Ok(number)
            }
            _ => self.refuse(format!("expected {what}")),
        }
    }
}

impl Objective {
    /// Reads one, of a call that has these steps.
    ///
    /// # Errors
    /// The first place that makes no sense.
    pub fn parse(text: &str, stages: &[&str]) -> Result<Self, ObjectiveError> {
        let mut reader = Reader { text, rest: text };
        if text.chars().count() > TEXT_CHARS_MAX {
            let expected = format!("expected at most {TEXT_CHARS_MAX} characters");
            return reader.refuse_at(TEXT_CHARS_MAX + 1, expected);
        }
        let (stage, quantity) = subject(&mut reader, stages)?;
        let comparison = comparison(&mut reader)?;
        let unit = stage.as_deref().map_or(Unit::Seconds, step::unit);
        let limit = limit(&mut reader, quantity, unit, comparison)?;
        let mut confidence = None;
        let mut samples_min = default_samples(quantity);
        loop {
            reader.space();
            let column = reader.column();
            if reader.rest.is_empty() {
                break;
            } else if confidence.is_none() && reader.take("@") {
                reader.space();
                let column = reader.column();
                let percent = reader.number("a confidence in per cent, such as 95")?;
                if !reader.take("%") {
                    return reader.refuse("expected '%'");
                }
                if !(50.0..100.0).contains(&percent) {
                    return reader.refuse_at(column, "a confidence lies from 50 % to below 100 %");
                }
                if matches!(quantity, Quantity::Max | Quantity::Rate) {
                    return reader.refuse_at(column, "no confidence can be had in a max or a rate");
                }
                if matches!(limit, Limit::OfTwin(_)) {
                    return reader
                        .refuse_at(column, "no confidence can be had relative to a twin's figure");
                }
                confidence = Some(percent / 100.0);
            } else if reader.take("min") {
                let number = reader.number("a count of samples")?;
                if number.fract() != 0.0 || !(1.0..=1e12).contains(&number) {
                    return reader.refuse_at(column, "a count of samples is a whole number from 1");
                }
                samples_min = number as u64;
            } else {
                return reader.refuse("expected '@ 95%', 'min 1000' or the end");
            }
        }
        let text = text.trim().to_owned();
        Ok(Self { text, stage, quantity, comparison, limit, confidence, samples_min })
    }
}

fn subject(
    reader: &mut Reader<'_>,
    stages: &[&str],
) -> Result<(Option<String>, Quantity), ObjectiveError> {
    const KINDS: &str = "p(99), mean, max, errors or rate";
    reader.space();
    let mut column = reader.column();
    let mut word = reader.word();
    let mut stage = None;
    if reader.take(".") {
        if !stages.contains(&word) {
            return reader.refuse_at(
                column,
                format!("there is no step {word:?}; there are: {}", stages.join(", ")),
            );
        }
        stage = Some(word.to_owned());
        reader.space();
        column = reader.column();
        word = reader.word();
    }
    let quantity = match word {
        "mean" => Quantity::Mean,
        "max" => Quantity::Max,
        "errors" => Quantity::Errors,
        "rate" => Quantity::Rate,
        "p" => {
            if !reader.take("(") {
                return reader.refuse("expected '('");
            }
            reader.space();
            let column = reader.column();
            let percent = reader.number("a percentile, such as 99.9")?;
            if percent <= 0.0 || percent >= 100.0 {
                return reader.refuse_at(column, "a percentile lies between 0 and 100");
            }
            if !reader.take(")") {
                return reader.refuse("expected ')'");
            }
            Quantity::Percentile(percent / 100.0)
        }
        "" => return reader.refuse_at(column, format!("expected {KINDS}")),
        other => {
            return reader.refuse_at(column, format!("{other:?} is not one of {KINDS}"));
        }
    };
    if stage.is_some() && matches!(quantity, Quantity::Errors | Quantity::Rate) {
        return reader.refuse_at(column, "errors and rate are of whole calls, not of a step");
    }
    Ok((stage, quantity))
}

fn comparison(reader: &mut Reader<'_>) -> Result<Comparison, ObjectiveError> {
    for (sign, comparison) in [
        ("<=", Comparison::AtMost),
        ("<", Comparison::Below),
        (">=", Comparison::AtLeast),
        (">", Comparison::Above),
    ] {
        if reader.take(sign) {
            return Ok(comparison);
        }
    }
    reader.refuse("expected '<', '<=', '>' or '>='")
}

fn limit(
    reader: &mut Reader<'_>,
    quantity: Quantity,
    of: Unit,
    comparison: Comparison,
) -> Result<Limit, ObjectiveError> {
    reader.space();
    let column = reader.column();
    let number = reader.number("a number")?;
    if reader.take("*") {
        if reader.word() != "twin" {
            return reader.refuse_at(column, "expected a number and '*twin'");
        }
        return Ok(Limit::OfTwin(number));
    }
    let unit_at = reader.column();
    let unit = if reader.take("%") { "%" } else { reader.word() };
    let scale = match (quantity, unit) {
        (Quantity::Errors, "%") => 0.01,
        (Quantity::Rate, "/s") => 1.0,
        (Quantity::Percentile(_) | Quantity::Mean | Quantity::Max, unit) if of == Unit::Ratio => {
            if unit != "%" {
                return reader.refuse_at(unit_at, "expected '%': this is a part of all");
            }
            0.01
        }
        (Quantity::Percentile(_) | Quantity::Mean | Quantity::Max, unit) => match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            _ => return reader.refuse_at(unit_at, "expected a unit: ns, us, ms or s"),
        },
        (Quantity::Errors, _) => return reader.refuse_at(unit_at, "expected '%'"),
        (Quantity::Rate, _) => return reader.refuse_at(unit_at, "expected '/s'"),
    };
    let upper = comparison.is_upper();
    let sensible = match quantity {
        Quantity::Rate => !upper,
        _ => upper,
    };
    if !sensible {
        let side = if upper { "at least" } else { "at most" };
        return reader.refuse_at(column, format!("this quantity is to be {side} something"));
    }
    if quantity == Quantity::Errors && number > 100.0 {
        return reader.refuse_at(column, "no more than 100 % can fail");
    }
    if of == Unit::Ratio && number > 100.0 {
        return reader.refuse_at(column, "no more than 100 % can be");
    }
    if number == 0.0 && comparison == Comparison::Below {
        return reader.refuse_at(column, "nothing is below 0");
    }
    Ok(Limit::Absolute(number * scale))
}

/// Fewer say nothing about so far a tail.
fn default_samples(quantity: Quantity) -> u64 {
    match quantity {
        Quantity::Percentile(part) => (5.0 / (1.0 - part)).ceil().clamp(20.0, 1e12) as u64,
        Quantity::Mean | Quantity::Max | Quantity::Errors => 20,
        Quantity::Rate => 1,
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGES: &[&str] = &["ring", "setup", "loss"];

    #[test]
    fn what_people_write_is_read() {
        let read = |text: &str| Objective::parse(text, STAGES).expect(text);
        let one = read("p(99)<20ms");
        assert_eq!(one.quantity, Quantity::Percentile(0.99));
        assert_eq!((one.limit, one.confidence), (Limit::Absolute(0.02), None));
        assert_eq!(one.samples_min, 500);
        let one = read(" setup . p( 99.9 ) <= 1.5 s @95% min 5000 ");
        assert_eq!(one.stage.as_deref(), Some("setup"));
        assert_eq!((one.confidence, one.samples_min), (Some(0.95), 5_000));
        assert_eq!(read("mean<=1.2*twin").limit, Limit::OfTwin(1.2));
        assert_eq!(read("errors<0.1%").limit, Limit::Absolute(0.001));
        assert_eq!(read("rate>=50/s").comparison, Comparison::AtLeast);
        assert_eq!(read("max<=800µs").limit, Limit::Absolute(800.0 * 1e-6));
        assert_eq!(read("errors<=0%").limit, Limit::Absolute(0.0));
        assert_eq!(read("loss.p(99)<1.5%").limit, Limit::Absolute(0.015));
    }

    #[test]
    fn what_makes_no_sense_is_refused_where_it_is() {
        for (text, column, part) in [
            ("", 1, "expected p(99)"),
            ("p99<20ms", 1, "is not one of"),
            ("p(99<20ms", 5, "expected ')'"),
            ("p()<20ms", 3, "a percentile"),
            ("p(100)<20ms", 3, "between 0 and 100"),
            ("p(99)=20ms", 6, "expected '<'"),
            ("p(99)<", 7, "a number"),
            ("p(99)<20", 9, "a unit"),
            ("p(99)<20h", 9, "a unit"),
            ("p(99)>20ms", 7, "at most"),
            ("p(99)<0ms", 7, "below 0"),
            ("rate<5/s", 6, "at least"),
            ("errors<1ms", 9, "'%'"),
            ("errors<101%", 8, "100 %"),
            ("hangup.p(99)<1s", 1, "no step"),
            ("setup.errors<1%", 7, "whole calls"),
            ("p(99)<20ms @95", 15, "'%'"),
            ("p(99)<20ms @100%", 13, "below 100"),
            ("max<1s @95%", 9, "no confidence"),
            ("p(99)<1.2*twin @95%", 17, "no confidence"),
            ("p(99)<20ms min 0", 12, "whole number"),
            ("p(99)<20ms and more", 12, "the end"),
            ("µ(9", 1, "is not one of"),
            ("loss.p(99)<1ms", 13, "'%'"),
            ("loss.max<=101%", 11, "100 %"),
            ("setup.p(99)<1%", 14, "a unit"),
        ] {
            let error = Objective::parse(text, STAGES).expect_err(text);
            assert_eq!(error.column, column, "{error}");
            assert!(error.expected.contains(part), "{error}");
        }
    }
}
