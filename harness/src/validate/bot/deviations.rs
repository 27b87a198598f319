//! What a bot is known to do otherwise: a file of the vendor's, in which each entry has a
//! reason and a day on which it ends. One that is over, or that is no longer true, fails.

use std::path::Path;

use callrig_reports::{CaseResult, Finding, Verdict};
use serde::Deserialize;
use thiserror::Error;

use crate::case::rule::Rule;

/// Such a file is not larger.
const FILE_BYTES_MAX: u64 = 1 << 20;

const STALE: Rule = Rule::must(
    "deviations/stale",
    "the file of known deviations",
    "What is listed as a known deviation still deviates.",
);
const EXPIRED: Rule = Rule::must(
    "deviations/expired",
    "the file of known deviations",
    "A known deviation is mended before its day is over.",
);

/// A file of deviations.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Deviations {
    /// In order.
    #[serde(default, rename = "deviation")]
    list: Vec<Deviation>,
}

/// One of them.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Deviation {
    /// The case that finds it.
    case: String,
    /// The requirement that is not kept; any that the case finds without it.
    #[serde(default)]
    requirement: Option<String>,
    /// Why it is so.
    reason: String,
    /// The last day on which it is accepted: `2027-03-31`.
    expires: toml::value::Datetime,
}

/// Why a file of deviations cannot be used.
#[derive(Debug, Error)]
#[error("{file}: {problem}")]
pub struct DeviationsError {
    file: String,
    problem: String,
}

impl Deviations {
    /// Reads a file; the message names line and key.
    ///
    /// # Errors
    /// It cannot be read or understood, or names a case that there is not.
    pub fn read(path: &Path, cases: &[&str]) -> Result<Self, DeviationsError> {
        let refuse =
            |problem: String| DeviationsError { file: path.display().to_string(), problem };
        let size = path.metadata().map_err(|error| refuse(error.to_string()))?.len();
        if size > FILE_BYTES_MAX {
            return Err(refuse(format!("it has {size} bytes; {FILE_BYTES_MAX} are the most")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| refuse(error.to_string()))?;
        Self::parse(&text, cases).map_err(refuse)
    }

    fn parse(text: &str, cases: &[&str]) -> Result<Self, String> {
        let all: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        for (index, one) in all.list.iter().enumerate() {
            let number = index + 1;
            if !cases.contains(&one.case.as_str()) {
                return Err(format!("deviation {number}: there is no case {:?}", one.case));
            }
            if one.reason.trim().is_empty() {
                return Err(format!("deviation {number}: it has no reason"));
            }
            if one.expires.date.is_none() {
                return Err(format!("deviation {number}: expires needs a day, as 2027-03-31"));
            }
        }
        Ok(all)
    }

    /// The results, with what is known taken into account; `today` is `2026-11-25`.
    #[must_use]
    pub fn weigh(&self, results: Vec<CaseResult>, today: &str) -> Vec<CaseResult> {
        results.into_iter().map(|result| self.weigh_one(result, today)).collect()
    }

    fn weigh_one(&self, result: CaseResult, today: &str) -> CaseResult {
        let Some(known) = self.list.iter().find(|one| one.case == result.id) else { return result };
        if matches!(result.verdict, Verdict::Unsupported | Verdict::Error) {
            return result;
        }
        let is_known = |finding: &&Finding| {
            known.requirement.as_ref().is_none_or(|id| *id == finding.requirement)
        };
        let duration_ms = result.duration_ms;
        let covered = result.findings.iter().filter(is_known).count();
        let others = result.findings.iter().filter(|finding| !is_known(finding)).count();
        let day = known.expires.date.map(|date| date.to_string()).unwrap_or_default();
        let mut findings = result.findings;
        let weighed = if covered == 0 {
            let expected = format!("{} deviates: {}", known.case, known.reason);
            findings.push(STALE.broken(expected, "it does not: take its entry out"));
            CaseResult::judged(&result.id, findings)
        } else if day.as_str() < today {
            let expected = format!("mended by {day}: {}", known.reason);
            findings.push(EXPIRED.broken(expected, format!("today is {today}")));
            CaseResult::judged(&result.id, findings)
        } else if others == 0 {
            let reason = format!("known deviation until {day}: {}", known.reason);
            CaseResult::known(&result.id, findings, reason)
        } else {
            CaseResult::judged(&result.id, findings)
        };
        CaseResult { duration_ms, ..weighed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "[[deviation]]\ncase = \"bot/a\"\nreason = \"next release\"\nexpires = 2026-12-31\n";

    fn result(broken: bool) -> CaseResult {
        let rule = Rule::must("bot/rule", "here", "It does.");
        let findings = if broken { vec![rule.broken("a", "b")] } else { Vec::new() };
        CaseResult::judged("bot/a", findings)
    }

    fn weigh(broken: bool, today: &str) -> CaseResult {
        let known = Deviations::parse(TEXT, &["bot/a"]).expect("it is sound");
        known.weigh(vec![result(broken)], today).remove(0)
    }

    #[test]
    fn what_is_known_warns_until_its_day_is_over() {
        assert_eq!(weigh(true, "2026-11-25").verdict, Verdict::Warn);
        let late = weigh(true, "2027-01-01");
        assert_eq!(late.verdict, Verdict::Fail);
        assert!(late.findings.iter().any(|finding| finding.requirement == "deviations/expired"));
    }

    #[test]
    fn what_is_no_longer_true_fails() {
        let stale = weigh(false, "2026-11-25");
        assert_eq!(stale.verdict, Verdict::Fail);
        assert_eq!(stale.findings[0].requirement, "deviations/stale");
    }

    #[test]
    fn an_entry_without_a_reason_or_about_nothing_is_refused() {
        let empty = TEXT.replace("next release", " ");
        assert!(Deviations::parse(&empty, &["bot/a"]).is_err());
        let error = Deviations::parse(TEXT, &["bot/b"]).expect_err("no such case");
        assert!(error.contains("bot/a"), "{error}");
    }
}
