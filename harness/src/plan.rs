//! What is to be performed: every recording on every network that suits it, on every
//! stage that a selected case asks for; and the performing, on as many cores as wanted.
//! Results come in the order of the plan whoever finishes first, and each performance
//! draws from its own random stream, so the number of jobs changes nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use callrig_reports::CaseResult;
use rayon::iter::{
    IndexedParallelIterator as _, IntoParallelRefIterator as _, ParallelIterator as _,
};
use thiserror::Error;

use crate::case::{Case, Evidence, Judgement, Selection};
use crate::deviation::Deviations;
use crate::network::{self, NETWORKS, Network};
use crate::seed::Seed;
use crate::stage::{self, Performance, Stage};
use crate::subject::Subject;

/// One performance: a recording, a network, a stage, and who judges it.
#[derive(Clone)]
pub struct Planned {
    /// What is played.
    pub subject: Arc<Subject>,
    /// Under which condition.
    pub network: &'static Network,
    /// Where.
    pub stage: Stage,
    /// Who judges.
    pub cases: Vec<Case>,
}

impl Planned {
    /// What finds it again: recording, network and stage.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}@{}@{}", self.subject.id, self.network.name, self.stage.name())
    }

    /// About how much work it is, to begin with the longest.
    fn weight(&self) -> usize {
        let departures = self.subject.schedule.departures();
        departures.len() * if self.subject.has_video() { 20 } else { 1 }
    }
}

/// All that is to be performed, in the order of the report.
#[derive(Clone, Default)]
pub struct Plan {
    /// The performances.
    pub performances: Vec<Planned>,
}

/// Which networks a recording is played under.
#[derive(Clone, Debug)]
pub enum Networks {
    /// Those that say something about it.
    Suited,
    /// Without any network of ours: a capture brings its own.
    Clean,
    /// Those that were asked for.
    These(Vec<&'static Network>),
}

/// Whether a network says something about a recording on a stage. Sound is cheap and meets nearly
/// all; pictures skip the ones in which no video call could live, unless it is the platform that
/// makes them fit; what is hostile or already damaged is played as it is.
fn suits(subject: &Subject, network: &Network, stage: Stage) -> bool {
    let as_it_is = matches!(subject.kind.as_str(), "hostile" | "quirks" | "signaling")
        || subject
            .tags
            .iter()
            .any(|tag| matches!(tag.as_str(), "damaged" | "network" | "reference"));
    let names: &[&str] = if as_it_is {
        &["clean"]
    } else if matches!(stage, Stage::Watch | Stage::Deliver) {
        &[
            "wifi",
            "lte",
            "loss-5",
            "loss-20",
            "burst",
            "bottleneck-64k",
            "bottleneck-300k",
            "outage-2s",
        ]
    } else if subject.has_video() {
        &["clean", "wifi", "lte", "loss-5", "loss-20", "burst", "reorder", "outage-2s"]
    } else if subject.kind == "dtmf" {
        &["clean", "wifi", "loss-5", "burst", "jitter-40", "reorder", "duplicate"]
    } else {
        // Wide enough for any sound that there is.
        return network.name != "bottleneck-300k";
    };
    names.contains(&network.name)
}

impl Plan {
    /// What follows from the recordings, the networks, and the cases that were selected.
    #[must_use]
    pub fn make(
        subjects: &[Arc<Subject>],
        networks: &Networks,
        cases: &[Case],
        selection: &Selection,
    ) -> Self {
        let is_told = !matches!(networks, Networks::Suited);
        let mut performances: Vec<Planned> = Vec::new();
        for subject in subjects {
            let list = match networks {
                Networks::Suited => NETWORKS.iter().collect(),
                Networks::Clean => vec![&network::CLEAN],
                Networks::These(these) => these.clone(),
            };
            for network in list {
                let mut stages: Vec<(Stage, Vec<Case>)> = Vec::new();
                for case in cases {
                    if !(is_told || suits(subject, network, case.stage))
                        || !selection.takes(case.id)
                        || !(case.applies)(subject, network)
                    {
                        continue;
                    }
                    match stages.iter_mut().find(|(stage, _)| *stage == case.stage) {
                        Some((_, cases)) => cases.push(*case),
                        None => stages.push((case.stage, vec![*case])),
                    }
                }
                performances.extend(stages.into_iter().map(|(stage, cases)| Planned {
                    subject: Arc::clone(subject),
                    network,
                    stage,
                    cases,
                }));
            }
        }
        Self { performances }
    }

    /// Its performances in about so many shares of about the same work, the longest first.
    #[must_use]
    pub fn shares(&self, count: usize) -> Vec<Vec<usize>> {
        let whole: usize = self.performances.iter().map(Planned::weight).sum();
        let each = whole / count.max(1) + 1;
        let mut shares: Vec<Vec<usize>> = Vec::new();
        let mut room = 0;
        for index in self.longest_first() {
            let weight = self.performances[index].weight();
            match shares.last_mut() {
                Some(share) if weight <= room => {
                    share.push(index);
                    room -= weight;
                }
                _ => {
                    shares.push(vec![index]);
                    room = each.saturating_sub(weight);
                }
            }
        }
        shares
    }

    /// The longest first, so that nobody waits for one that was begun last.
    fn longest_first(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.performances.len()).collect();
        order.sort_by_key(|&index| core::cmp::Reverse(self.performances[index].weight()));
        order
    }

    /// How many results it will have.
    #[must_use]
    pub fn results(&self) -> usize {
        self.performances.iter().map(|planned| planned.cases.len()).sum()
    }
}

/// How to perform a plan.
pub struct Performing<'a> {
    /// All random choices follow from it.
    pub seed: Seed,
    /// How many performances at once.
    pub jobs: usize,
    /// What is known to deviate.
    pub deviations: &'a Deviations,
    /// What to do with each performance before it is forgotten, such as writing its trace.
    pub keep: &'a (dyn Fn(&Planned, &Performance) -> Result<(), String> + Sync),
    /// Called when one is done.
    pub done: &'a (dyn Fn(&Planned, &[CaseResult]) + Sync),
}

/// The threads for the jobs cannot be had.
#[derive(Debug, Error)]
#[error("cannot start {jobs} jobs: {message}; try --jobs 1")]
pub struct JobsError {
    jobs: usize,
    message: String,
}

/// Performs all of it; the results are in the order of the plan.
///
/// # Errors
/// The threads cannot be had.
pub fn perform(plan: &Plan, performing: &Performing<'_>) -> Result<Vec<CaseResult>, JobsError> {
    let jobs = performing.jobs.max(1);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(jobs)
        .build()
        .map_err(|error| JobsError { jobs, message: error.to_string() })?;
    let order = plan.longest_first();
    let mut results: Vec<(usize, Vec<CaseResult>)> = pool.install(|| {
        order
            .par_iter()
            .with_max_len(1)
            .map(|&index| {
                let planned = &plan.performances[index];
                let results = perform_one(planned, performing);
                (performing.done)(planned, &results);
                (index, results)
            })
            .collect()
    });
    results.sort_by_key(|(index, _)| *index);
    Ok(results.into_iter().flat_map(|(_, results)| results).collect())
}

/// One performance and its judges.
#[must_use]
pub fn perform_one(planned: &Planned, performing: &Performing<'_>) -> Vec<CaseResult> {
    let seed = performing.seed.derive(&planned.name());
    attempt(planned, || {
        let performance = stage::perform(&planned.subject, planned.network, planned.stage, seed)
            .map_err(|error| error.to_string())?;
        (performing.keep)(planned, &performance)?;
        Ok(judged(planned, &performance, performing.deviations))
    })
}

/// Judges a performance that was kept, with today's judges.
#[must_use]
pub fn judge(
    planned: &Planned,
    performance: &Performance,
    deviations: &Deviations,
) -> Vec<CaseResult> {
    attempt(planned, || Ok(judged(planned, performance, deviations)))
}

/// A panic in the product or in a judge is an error of this performance, not the end of
/// all others.
fn attempt(
    planned: &Planned,
    work: impl FnOnce() -> Result<Vec<CaseResult>, String>,
) -> Vec<CaseResult> {
    let reason = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(results)) => return results,
        Ok(Err(reason)) => reason,
        Err(panic) => format!("a bug: {}", panic_message(&*panic)),
    };
    failed(planned, &reason)
}

/// A performance that did not come about: an error of each of its cases.
#[must_use]
pub fn failed(planned: &Planned, reason: &str) -> Vec<CaseResult> {
    let failed = |case: &Case| {
        Judgement::error(reason.to_owned()).into_result(case, &planned.subject, planned.network)
    };
    planned.cases.iter().map(failed).collect()
}

fn judged(
    planned: &Planned,
    performance: &Performance,
    deviations: &Deviations,
) -> Vec<CaseResult> {
    let evidence = Evidence {
        subject: &planned.subject,
        network: planned.network,
        trace: &performance.trace,
        cast: performance.cast,
        epoch: stage::epoch(),
        uplink: performance.uplink,
        downlink: performance.downlink,
        stop: performance.stop,
        costs: &performance.costs,
    };
    let fault = performance.fault();
    let duration_ms = performance.trace.end().elapsed().as_secs_f64() * 1e3;
    planned
        .cases
        .iter()
        .map(|case| {
            let judgement = match &fault {
                Some(fault) => Judgement::error(fault.clone()),
                None => (case.judge)(&evidence),
            };
            let about = [case.id, &planned.subject.id, planned.network.name];
            let judgement = deviations.weigh(judgement, about);
            let result = judgement.into_result(case, &planned.subject, planned.network);
            CaseResult { duration_ms, ..result }
        })
        .collect()
}

fn panic_message(panic: &(dyn core::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|&message| message.to_owned()))
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
