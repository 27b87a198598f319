//! A run that other machines share.

use core::time::Duration;
use std::sync::Arc;

use callrig_reports::CaseResult;

use super::super::run::{Prepared, count, jobs, prepare};
use super::super::{Failure, told};
use super::{announced, heartbeat, name, runtime};
use crate::cli::{self, Run};
use crate::deviation::Deviations;
use crate::fleet::engine::Engine;
use crate::fleet::lead::Lead;
use crate::fleet::work::{Perform, Worker};
use crate::fleet::{self, FleetError, Task};
use crate::plan::{self, Performing, Plan, Planned};
use crate::progress::Progress;
use crate::seed::Seed;

/// What became of a performance that every worker was lost at.
const GIVEN_UP: &str = "given up: whoever took it was lost, five times";

/// Leads a run: the results in the order of the plan.
pub(in crate::command) fn lead(
    arguments: &Run,
    url: &str,
    plan: &Plan,
    deviations: &Deviations,
) -> Result<Vec<CaseResult>, Failure> {
    let job = announced(Task::Run(task(arguments, plan, deviations)));
    let runtime = runtime()?;
    let progress = Progress::new(plan.performances.len(), "calls");
    let done = |planned: &Planned, results: &[CaseResult]| count(&progress, planned, results);
    let refused = |worker: &str, reason: &str| {
        eprintln!("callrig: {worker} does not take part: {reason}");
    };
    let (patience, at_once) = (arguments.fleet.fleet_patience, jobs(arguments.jobs));
    let gathered = runtime.block_on(async {
        let engine = Engine::connect(url, patience).await?;
        let lead = Lead::open(engine.clone(), job.clone(), plan, patience).await?;
        let own =
            Hands { plan: plan.clone(), seed: arguments.seed, deviations: deviations.clone() };
        let own = own.worker(engine, &job.id, &name(), patience);
        let mut own = tokio::spawn(async move { own.work(at_once).await });
        let gathered = tokio::select! {
            gathered = lead.gather(done, refused) => gathered,
            // It works as long as there is a job: it can only have failed, and others may not be
            // there to do it.
            worked = &mut own => Err(match worked {
                Ok(Err(error)) => error,
                Ok(Ok(_)) => FleetError::Engine { what: "keep the job", reason: "it is gone".to_owned() },
                Err(error) => FleetError::Engine { what: "go on", reason: error.to_string() },
            }),
            _ = tokio::signal::ctrl_c() => {
                let reason = "interrupted".to_owned();
                Err(FleetError::Engine { what: "go on", reason })
            }
        };
        // Whatever came of it, nobody has anything to do for it any more.
        lead.close().await;
        own.abort();
        gathered
    });
    progress.finish();
    let gathered = gathered?;
    let shares = gathered.workers.iter().map(|(name, count)| format!("{name} {count}"));
    eprintln!("callrig: calls by worker: {}", shares.collect::<Vec<_>>().join(", "));
    Ok(gathered.in_order(plan, GIVEN_UP))
}

/// What somebody needs to do shares.
pub(super) struct Hands {
    pub(super) plan: Plan,
    seed: u64,
    deviations: Deviations,
}

impl Hands {
    pub(super) fn worker(
        self,
        engine: Engine,
        job: &str,
        name: &str,
        patience: Duration,
    ) -> Worker {
        let plan = Arc::new(self.plan);
        let (of, seed, deviations) = (Arc::clone(&plan), self.seed, self.deviations);
        let perform: Arc<Perform> = Arc::new(move |index| {
            let performing = Performing {
                seed: Seed::new(seed),
                jobs: 1,
                deviations: &deviations,
                keep: &|_, _| Ok(()),
                done: &|_, _| {},
            };
            plan::perform_one(&of.performances[index], &performing)
        });
        Worker {
            engine,
            job: job.to_owned(),
            name: name.to_owned(),
            plan,
            perform,
            heartbeat: heartbeat(patience),
        }
    }
}

/// What it takes to do shares of a run; or why this worker would find something else.
pub(super) fn hands(arguments: &cli::Worker, run: &fleet::Run) -> Result<Hands, String> {
    let fleet::Run { digest, paths, recording, network, case, payload, flow, seed } = run.clone();
    let corpora = arguments.corpora.clone();
    let run =
        Run { paths, seed, network, case, recording, payload, flow, corpora, ..Run::default() };
    let prepared = prepare(&run).map_err(|failure| told(&failure.into_error()))?;
    let Prepared { plan, deviations, .. } = prepared;
    if fleet::digest(&plan, seed, &deviations) != digest {
        return Err("it has other recordings, or other known deviations, than the run".to_owned());
    }
    Ok(Hands { plan, seed, deviations })
}

fn task(arguments: &Run, plan: &Plan, deviations: &Deviations) -> fleet::Run {
    fleet::Run {
        digest: fleet::digest(plan, arguments.seed, deviations),
        paths: arguments.paths.clone(),
        recording: arguments.recording.clone(),
        network: arguments.network.clone(),
        case: arguments.case.clone(),
        payload: arguments.payload.clone(),
        flow: arguments.flow.clone(),
        seed: arguments.seed,
    }
}
