//! The report: everything one run found, in the shape of its JSON.
//!
//! The caller fills it and then calls [`Report::finish`], which sorts, counts and collects the
//! definitions that are used, so that the order in which results arrived leaves no trace. What is
//! read back is checked as strictly ([`Report::check`]): a report whose totals do not add up is no
//! report.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::environment::Environment;
use crate::histogram::Histogram;
use crate::mark::Mark;
use crate::metric::{Definition, Metric, Repeatability, registry};
use crate::number;
use crate::series::Series;
use crate::verdict::{Finding, Requirement, Verdict};

/// The version of the JSON's shape. A reader refuses any other.
pub const SCHEMA_VERSION: u32 = 1;

/// Everything one run found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// What made it.
    pub tool: Tool,
    /// When the run began, as RFC 3339; the caller's word for it.
    pub started_at: String,
    /// How long the run took, in milliseconds of real time, if the caller says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// The build and the machine.
    pub environment: Environment,
    /// The seed of all randomness.
    pub seed: u64,
    /// A digest over all recordings of the corpora, if the run used them.
    pub corpora_digest: Option<String>,
    /// What the metrics of the results mean.
    pub metric_definitions: Vec<Cow<'static, Definition>>,
    /// What the cases asked for, passed ones included. May be empty.
    pub requirements: Vec<Requirement>,
    /// What usually goes wrong where a requirement is broken, by its id; of broken ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub advice: BTreeMap<String, String>,
    /// What was played.
    pub recordings: Vec<Recording>,
    /// The network conditions it was played under.
    pub networks: Vec<Network>,
    /// What each case concluded about each recording under each condition.
    pub results: Vec<CaseResult>,
    /// The results, counted by verdict.
    pub totals: Totals,
}

/// A program and its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// `callrig`.
    pub name: String,
    /// As in its manifest.
    pub version: String,
}

/// What was played.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    /// Its id in the corpora, or the path the user gave. Hostile.
    pub id: String,
    /// What it is, in a line.
    pub title: String,
    /// `audio`, `video`, `dtmf`, `hostile`, ...: what groups recordings on the page.
    pub kind: String,
    /// The SHA-256 of the file, in hexadecimal.
    pub sha256: Option<String>,
    /// From the first arrival to the last, in milliseconds.
    #[serde(with = "number::json")]
    pub duration_ms: f64,
    /// How many packets it holds.
    pub packets: u64,
    /// The streams in it.
    pub flows: Vec<Flow>,
}

/// A stream of a recording.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// The synchronization source.
    pub ssrc: u32,
    /// From where, as address and port.
    pub source: String,
    /// To where, as address and port.
    pub destination: String,
    /// The payload types seen.
    pub payload_types: Vec<u8>,
    /// The codec.
    pub codec: String,
    /// Ticks of the RTP timestamp per second.
    pub clock_rate: u32,
    /// How many packets.
    pub packets: u64,
    /// Why the codec is believed to be this one, where it was guessed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guessed: Option<String>,
}

/// A network condition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// The name of the preset: `clean`, `loss-5`.
    pub name: String,
    /// What it does, in a line.
    pub description: String,
    /// Its parameters, by name, with their units.
    pub parameters: BTreeMap<String, String>,
}

/// What one case concluded about one recording under one network condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseResult {
    /// The path of the case: `media/audio/conservation`.
    pub id: String,
    /// The id of the recording, if the case plays one.
    pub recording: Option<String>,
    /// The name of the network condition, if there is one.
    pub network: Option<String>,
    /// What was concluded.
    pub verdict: Verdict,
    /// Why, where the verdict is `unsupported` or `error`, or its findings are known, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
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
    /// How long it took in the world's time, in milliseconds: exact in simulated time.
    #[serde(with = "number::json")]
    pub duration_ms: f64,
}

impl CaseResult {
    /// The most findings of one result; [`Report::finish`] cuts the rest.
    pub const MAX_FINDINGS: usize = 100;

    /// The result that these findings lead to.
    #[must_use]
    pub fn judged(id: impl Into<String>, findings: Vec<Finding>) -> Self {
        let verdict = Verdict::of_findings(&findings);
        Self { findings, ..Self::bare(id, verdict) }
    }

    /// A warning for findings that are known and, for this reason, do not fail.
    #[must_use]
    pub fn known(id: impl Into<String>, findings: Vec<Finding>, reason: impl Into<String>) -> Self {
        Self { findings, reason: Some(reason.into()), ..Self::bare(id, Verdict::Warn) }
    }

    /// The peer said that it does not do this.
    #[must_use]
    pub fn unsupported(id: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..Self::bare(id, Verdict::Unsupported) }
    }

    /// We could not judge.
    #[must_use]
    pub fn error(id: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..Self::bare(id, Verdict::Error) }
    }

    fn bare(id: impl Into<String>, verdict: Verdict) -> Self {
        Self {
            id: id.into(),
            recording: None,
            network: None,
            verdict,
            reason: None,
            findings: Vec::new(),
            metrics: Vec::new(),
            series: Vec::new(),
            marks: Vec::new(),
            histograms: Vec::new(),
            duration_ms: 0.0,
        }
    }

    /// The same, about this recording under this network condition.
    #[must_use]
    pub fn about(mut self, recording: Option<&str>, network: Option<&str>) -> Self {
        self.recording = recording.map(str::to_owned);
        self.network = network.map(str::to_owned);
        self
    }

    /// The first metric of this name, whatever its label.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<&Metric> {
        self.metrics.iter().find(|metric| metric.name == name)
    }

    /// What identifies it within a report.
    #[must_use]
    pub fn key(&self) -> Key<'_> {
        Key { recording: self.recording.as_deref(), network: self.network.as_deref(), id: &self.id }
    }
}

/// What identifies a result within a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key<'a> {
    /// The recording.
    pub recording: Option<&'a str>,
    /// The network condition.
    pub network: Option<&'a str>,
    /// The case.
    pub id: &'a str,
}

impl std::fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id)?;
        match (self.recording, self.network) {
            (Some(recording), Some(network)) => write!(f, " [{recording} @ {network}]"),
            (Some(one), None) | (None, Some(one)) => write!(f, " [{one}]"),
            (None, None) => Ok(()),
        }
    }
}

/// How many results there are of each verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// Nothing wrong.
    pub pass: u64,
    /// A Should broken.
    pub warn: u64,
    /// A Must broken.
    pub fail: u64,
    /// Not offered by the peer.
    pub unsupported: u64,
    /// Not judged.
    pub error: u64,
}

impl Totals {
    /// Counts verdicts.
    #[must_use]
    pub fn of(verdicts: impl IntoIterator<Item = Verdict>) -> Self {
        let mut totals = Self::default();
        for verdict in verdicts {
            match verdict {
                Verdict::Pass => totals.pass += 1,
                Verdict::Warn => totals.warn += 1,
                Verdict::Fail => totals.fail += 1,
                Verdict::Unsupported => totals.unsupported += 1,
                Verdict::Error => totals.error += 1,
            }
        }
        totals
    }

    /// How many there are of this verdict.
    #[must_use]
    pub const fn count(&self, verdict: Verdict) -> u64 {
        match verdict {
            Verdict::Pass => self.pass,
            Verdict::Warn => self.warn,
            Verdict::Fail => self.fail,
            Verdict::Unsupported => self.unsupported,
            Verdict::Error => self.error,
        }
    }

    /// How many results there are.
    #[must_use]
    pub const fn all(&self) -> u64 {
        self.pass + self.warn + self.fail + self.unsupported + self.error
    }

    /// The worst verdict among them; `None` of no results.
    #[must_use]
    pub fn worst(&self) -> Option<Verdict> {
        Verdict::WORST_FIRST.into_iter().find(|verdict| self.count(*verdict) > 0)
    }
}

/// Why something is not a report.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// Written by another version.
    #[error("schema version {0}, this reader knows {SCHEMA_VERSION}")]
    Version(u32),
    /// The totals are not those of the results.
    #[error("the totals do not add up to the results")]
    Totals,
    /// Two results of one case, recording and network.
    #[error("two results for {0}")]
    Twice(String),
    /// A result about a recording or network that the report does not list.
    #[error("result {result} is about {what} {name:?}, which the report does not list")]
    Unlisted {
        /// The result.
        result: String,
        /// `recording` or `network`.
        what: &'static str,
        /// What it names.
        name: String,
    },
    /// A metric without a definition, or not as defined.
    #[error("metric {name:?} of {result} is not as defined")]
    Undefined {
        /// The result.
        result: String,
        /// The metric.
        name: String,
    },
}

impl Report {
    /// A report of nothing yet.
    #[must_use]
    pub fn new(tool_version: impl Into<String>, started_at: impl Into<String>, seed: u64) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            tool: Tool { name: "callrig".into(), version: tool_version.into() },
            started_at: started_at.into(),
            took_ms: None,
            environment: Environment::default(),
            seed,
            corpora_digest: None,
            metric_definitions: Vec::new(),
            requirements: Vec::new(),
            advice: BTreeMap::new(),
            recordings: Vec::new(),
            networks: Vec::new(),
            results: Vec::new(),
            totals: Totals::default(),
        }
    }

    /// Groups the recordings by kind, sorts the results, counts them, and collects the definitions of the metrics they use. To be
    /// called once all results are in, in whatever order they came.
    #[must_use]
    pub fn finish(mut self) -> Self {
        self.recordings.sort_by(|a, b| a.kind.cmp(&b.kind));
        self.results.sort_by(|a, b| a.key().cmp(&b.key()));
        for result in &mut self.results {
            result.findings.truncate(CaseResult::MAX_FINDINGS);
        }
        self.requirements.sort_by(|a, b| a.id.cmp(&b.id));
        self.requirements.dedup_by(|a, b| a.id == b.id);
        self.totals = Totals::of(self.results.iter().map(|result| result.verdict));
        let used: BTreeSet<&str> = self
            .results
            .iter()
            .flat_map(|result| result.metrics.iter().map(|metric| metric.name.as_ref()))
            .collect();
        self.metric_definitions = registry::REGISTRY
            .iter()
            .filter(|definition| used.contains(definition.name.as_ref()))
            .map(|definition| Cow::Borrowed(*definition))
            .collect();
        self
    }

    /// Whether everything in it agrees with everything else.
    ///
    /// # Errors
    ///
    /// The first thing that does not agree.
    pub fn check(&self) -> Result<(), CheckError> {
        if self.schema_version != SCHEMA_VERSION {
            return Err(CheckError::Version(self.schema_version));
        }
        if self.totals != Totals::of(self.results.iter().map(|result| result.verdict)) {
            return Err(CheckError::Totals);
        }
        let recordings: BTreeSet<&str> = self.recordings.iter().map(|one| &*one.id).collect();
        let networks: BTreeSet<&str> = self.networks.iter().map(|one| &*one.name).collect();
        let definitions: BTreeMap<&str, &Definition> =
            self.metric_definitions.iter().map(|one| (&*one.name, &**one)).collect();
        let mut seen = BTreeSet::new();
        for result in &self.results {
            if !seen.insert(result.key()) {
                return Err(CheckError::Twice(result.key().to_string()));
            }
            let listed = [
                ("recording", result.recording.as_deref(), &recordings),
                ("network", result.network.as_deref(), &networks),
            ];
            for (what, name, known) in listed {
                if let Some(name) = name.filter(|name| !known.contains(name)) {
                    let (result, name) = (result.key().to_string(), name.to_owned());
                    return Err(CheckError::Unlisted { result, what, name });
                }
            }
            for metric in &result.metrics {
                let as_defined = definitions.get(&*metric.name).is_some_and(|definition| {
                    definition.unit == metric.unit && definition.direction == metric.direction
                });
                if !as_defined {
                    let (result, name) = (result.key().to_string(), metric.name.to_string());
                    return Err(CheckError::Undefined { result, name });
                }
            }
        }
        Ok(())
    }

    /// The part of it that the same build, seed and corpora must repeat to the last byte: without
    /// the moment, the machine and the noisy metrics (and their histograms).
    #[must_use]
    pub fn repeatable(&self) -> Self {
        let mut report = self.clone();
        report.started_at.clear();
        report.took_ms = None;
        report.environment = Environment::default();
        let noisy: BTreeSet<&str> = registry::REGISTRY
            .iter()
            .filter(|one| one.repeatability == Repeatability::Noisy)
            .map(|one| one.name.as_ref())
            .collect();
        for result in &mut report.results {
            result.metrics.retain(|metric| metric.repeatability == Repeatability::Exact);
            result.histograms.retain(|one| !noisy.iter().any(|name| name.starts_with(&*one.name)));
        }
        report.finish()
    }
}
