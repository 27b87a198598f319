//! Known deviations, `corpora/deviations.toml`: what our side does otherwise than a
//! recording's truth says, for a reason that we have not got rid of. It warns instead of
//! failing; and a deviation that is gone fails until its entry is taken out.

use std::io::{ErrorKind, Read as _};
use std::path::Path;

use callrig_reports::{Finding, Level, Verdict};
use globset::{GlobBuilder, GlobMatcher};
use serde::Deserialize;
use thiserror::Error;

use crate::case::rule::Rule;
use crate::case::{self, Judgement};
use crate::network;

/// An entry must still be true.
pub const STALE: Rule = Rule::must(
    "deviations/stale",
    "corpora/deviations.toml",
    "What is listed as a known deviation still deviates.",
);

const FILE_BYTES_MAX: u64 = 1 << 20;

/// All that is known to deviate, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Deviations(Vec<(Deviation, GlobMatcher)>);

/// One entry. Which results it is about, and why they deviate.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Deviation {
    case: String,
    recording: String,
    network: Option<String>,
    requirement: Option<String>,
    reason: String,
    since: toml::value::Datetime,
}

/// Why the list of known deviations cannot be used.
#[derive(Debug, Error)]
#[error("{file}{entry}: {problem}")]
pub struct DeviationsError {
    file: String,
    entry: String,
    problem: String,
}

impl Deviations {
    /// Reads the list; without such a file, nothing is known to deviate. `recordings` are
    /// the ids that entries may be about.
    ///
    /// # Errors
    /// It cannot be read, or an entry is misspelt or about nothing that there is.
    pub fn read(path: &Path, recordings: &[&str]) -> Result<Self, DeviationsError> {
        let refuse = |problem: String| refusal(path, String::new(), problem);
        let mut text = String::new();
        match std::fs::File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(refuse(error.to_string())),
            Ok(file) => file.take(FILE_BYTES_MAX).read_to_string(&mut text),
        }
        .map_err(|error| refuse(error.to_string()))?;
        let mut document: toml::Table =
            text.parse().map_err(|error: toml::de::Error| refuse(error.to_string()))?;
        let entries = document.remove("deviation").unwrap_or(toml::Value::Array(Vec::new()));
        let (toml::Value::Array(entries), None) = (entries, document.keys().next()) else {
            return Err(refuse("expected [[deviation]] entries and nothing else".to_owned()));
        };
        let parsed = entries.into_iter().zip(1..).map(|(value, number)| {
            parse(value, recordings)
                .map_err(|problem| refusal(path, format!(", deviation {number}"), problem))
        });
        Ok(Self(parsed.collect::<Result<_, _>>()?))
    }

    /// The judgement with what is known taken into account; one of a case, recording and
    /// network that no entry is about stays as it is, and so does one that judged nothing.
    #[must_use]
    pub fn weigh(&self, mut judgement: Judgement, about: [&str; 3]) -> Judgement {
        let Some(known) = self.find(about) else { return judgement };
        if judgement.error.is_some() || judgement.unsupported.is_some() {
            return judgement;
        }
        let covers = |finding: &&Finding| {
            finding.level > Level::May
                && known.requirement.as_ref().is_none_or(|id| *id == finding.requirement)
        };
        let covered = judgement.findings.iter().filter(covers).count();
        let others: Vec<Finding> =
            judgement.findings.iter().filter(|finding| !covers(finding)).cloned().collect();
        if covered == 0 {
            let entry = format!("the deviation of {} since {}", known.recording, known.since);
            let gone = format!("none: remove its entry for {} ({})", known.case, known.reason);
            judgement.findings.push(STALE.broken(entry, gone));
        } else if Verdict::of_findings(&others) < Verdict::Fail {
            judgement.known =
                Some(format!("known deviation: {} (since {})", known.reason, known.since));
        }
        judgement
    }

    fn find(&self, [case, recording, network]: [&str; 3]) -> Option<&Deviation> {
        // One of several telephones in a capture is `id#n`.
        let whole = recording.split('#').next().unwrap_or(recording);
        let fits = |(entry, glob): &&(Deviation, GlobMatcher)| {
            entry.case == case
                && entry.network.as_deref().is_none_or(|name| name == network)
                && (glob.is_match(recording) || glob.is_match(whole))
        };
        self.0.iter().find(fits).map(|(entry, _)| entry)
    }
}

fn refusal(path: &Path, entry: String, problem: String) -> DeviationsError {
    DeviationsError { file: path.display().to_string(), entry, problem }
}

fn parse(value: toml::Value, recordings: &[&str]) -> Result<(Deviation, GlobMatcher), String> {
    let entry: Deviation =
        value.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let Some(case) = case::all().iter().find(|case| case.id == entry.case) else {
        return Err(format!("there is no case {:?}; see `callrig list`", entry.case));
    };
    if let Some(name) = &entry.network {
        network::find(name).map_err(|error| error.to_string())?;
    }
    if let Some(id) = &entry.requirement
        && !(case.requirements)().iter().any(|one| one.id == *id)
    {
        return Err(format!("{} has no requirement {id:?}; see `callrig list`", case.id));
    }
    if entry.reason.trim().is_empty() {
        return Err("the reason is empty".to_owned());
    }
    if entry.since.date.is_none() || entry.since.time.is_some() {
        return Err("since must be a date, as 2026-01-31".to_owned());
    }
    let glob = GlobBuilder::new(&entry.recording).literal_separator(true).build();
    let glob = glob.map_err(|error| error.to_string())?.compile_matcher();
    if !recordings.iter().any(|id| glob.is_match(id)) {
        return Err(format!("no recording is called {:?}", entry.recording));
    }
    Ok((entry, glob))
}
