//! A run or a load that is split over several machines. Who leads a run cuts the plan into shares and puts
//! them into a queue of NATS with `JetStream`; [workers](work) take one after the other, and put
//! what comes of it into a second queue, from which the [lead] puts the report together in
//! the order of the plan. A share stays in the queue until its results are kept there: that of a
//! worker that is lost is taken by another, and what comes twice counts once. Load
//! is dealt out in [lanes]. All that is known of NATS is in [`engine`].

pub mod engine;
pub mod lanes;
pub mod lead;
pub mod share;
pub mod work;

use std::path::PathBuf;

use callrig_corpora::digest::Sha256Digest;
use callrig_reports::CaseResult;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::deviation::Deviations;
use crate::load::target::Aim;
use crate::plan::Plan;

/// How many shares a plan is cut into: enough that none takes long, few enough to be counted.
pub const SHARES: usize = 256;

/// What there is to do, as every worker of the fleet learns it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Job {
    /// Which: letters and digits.
    pub id: String,
    /// Of callrig: whoever has another build would find something else.
    pub version: String,
    /// What it is.
    pub task: Task,
}

/// What a fleet can do together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Task {
    /// A run of recorded calls.
    Run(Run),
    /// Load.
    Load(Aim),
}

/// What a plan is made from: the options of `callrig run`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Run {
    /// Of all that is to be done, see [`digest`]: who finds another one has other files.
    pub digest: String,
    /// Files that every worker has under these names; the corpora without any.
    pub paths: Vec<PathBuf>,
    /// Recordings of the corpora.
    pub recording: Vec<String>,
    /// Networks by name.
    pub network: Vec<String>,
    /// Cases.
    pub case: Vec<String>,
    /// What payload types stand for.
    pub payload: Vec<String>,
    /// Which flows.
    pub flow: Vec<String>,
    /// All random choices follow from it.
    pub seed: u64,
}

/// What a worker tells the lead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Told {
    /// It takes part.
    Joined {
        /// Who.
        worker: String,
    },
    /// It does not.
    Refused {
        /// Who.
        worker: String,
        /// Why.
        reason: String,
    },
    /// Results of one performance, or some of them.
    Results {
        /// Who.
        worker: String,
        /// Which performance of the plan.
        performance: usize,
        /// Which part of its results, from 0.
        part: usize,
        /// Of how many.
        parts: usize,
        /// In the order of its cases.
        results: Vec<CaseResult>,
    },
}

/// Why a fleet cannot do it.
#[derive(Debug, Error)]
pub enum FleetError {
    /// There is no NATS.
    #[error(
        "cannot reach NATS at {url}: {reason}; `nats-server -js` starts one, and --fleet \
         nats://HOST:4222 names it"
    )]
    Unreachable {
        /// Where.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// It is there, but does not do what is asked.
    #[error("NATS does not {what}: {reason}")]
    Engine {
        /// What was asked.
        what: &'static str,
        /// What went wrong.
        reason: String,
    },
    /// Something is larger than a message may be.
    #[error("{name}: {bytes} bytes are more than the {limit} that NATS takes at once")]
    TooLarge {
        /// What it is.
        name: String,
        /// How many they are.
        bytes: usize,
        /// How many there may be.
        limit: usize,
    },
}

/// This build.
#[must_use]
pub fn version() -> String {
    let commit = option_env!("CALLRIG_COMMIT").unwrap_or("unknown");
    let dirty = option_env!("CALLRIG_DIRTY").unwrap_or_default() == "true";
    let dirty = if dirty { ", changed" } else { "" };
    format!("{} ({commit}{dirty})", env!("CARGO_PKG_VERSION"))
}

/// What tells two plans apart: recordings and their bytes, networks, cases, the seed, and what is
/// known to deviate.
#[must_use]
pub fn digest(plan: &Plan, seed: u64, deviations: &Deviations) -> String {
    let mut text = format!("{}\n{seed}\n{deviations:?}\n", version());
    for planned in &plan.performances {
        let bytes = planned.subject.sha256.as_deref().unwrap_or_default();
        text.push_str(&format!("{} {bytes}", planned.name()));
        for case in &planned.cases {
            text.push(' ');
            text.push_str(case.id);
        }
        text.push('\n');
    }
    Sha256Digest::of(text.as_bytes()).to_string()
}
