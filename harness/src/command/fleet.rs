//! `--fleet`: a run that other machines share, and the workers that do.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Context as _;
use callrig_reports::CaseResult;
use rand::Rng as _;

use super::run::{Prepared, count, jobs, prepare};
use super::{Failure, told};
use crate::cli::{self, ExitCode, Run};
use crate::deviation::Deviations;
use crate::fleet::engine::Engine;
use crate::fleet::lead::Lead;
use crate::fleet::work::{Perform, Worker};
use crate::fleet::{self, FleetError, Job, Task};
use crate::plan::{self, Performing, Plan, Planned};
use crate::progress::Progress;
use crate::seed::Seed;

/// How often a worker looks for something to do.
const LOOKS_EVERY: Duration = Duration::from_millis(500);
/// A worker is heard of so many times within the fleet's patience.
const HEARTBEATS: u32 = 4;
/// What became of a performance that every worker was lost at.
const GIVEN_UP: &str = "given up: whoever took it was lost, five times";

/// Leads a run: the results in the order of the plan.
pub(super) fn lead(
    arguments: &Run,
    url: &str,
    plan: &Plan,
    deviations: &Deviations,
) -> Result<Vec<CaseResult>, Failure> {
    let job = Job {
        id: format!("{:016x}", rand::rng().next_u64()),
        version: fleet::version(),
        digest: fleet::digest(plan, arguments.seed, deviations),
        task: task(arguments),
    };
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

/// Takes part in whatever runs.
pub(super) fn worker(arguments: &cli::Worker, url: &str) -> Result<ExitCode, Failure> {
    let runtime = runtime()?;
    let patience = arguments.fleet.fleet_patience;
    let worked = runtime.block_on(async {
        let engine = Engine::connect(url, patience).await?;
        eprintln!("callrig: {} is ready, with {}", name(), fleet::version());
        tokio::select! {
            worked = serve(arguments, &engine) => worked,
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    });
    worked?;
    Ok(ExitCode::Ok)
}

async fn serve(arguments: &cli::Worker, engine: &Engine) -> Result<(), FleetError> {
    let patience = arguments.fleet.fleet_patience;
    let mut known: BTreeSet<String> = BTreeSet::new();
    loop {
        // The server may be away for a while.
        let announced = engine.announced().await.unwrap_or_default();
        for job in announced.into_iter().filter(|job| known.insert(job.id.clone())) {
            match hands(arguments, &job) {
                Ok(hands) => {
                    let calls = hands.plan.performances.len();
                    eprintln!("callrig: taking part in {}: {calls} calls", job.id);
                    let worker = hands.worker(engine.clone(), &job.id, &name(), patience);
                    let done = worker.work(jobs(arguments.jobs)).await?;
                    eprintln!("callrig: {} is over: {done} calls were done here", job.id);
                    if arguments.once {
                        return Ok(());
                    }
                }
                Err(reason) => {
                    eprintln!("callrig: not taking part in {}: {reason}", job.id);
                    Worker::refuse(engine, &job.id, &name(), &reason).await?;
                }
            }
        }
        tokio::time::sleep(LOOKS_EVERY).await;
    }
}

/// What somebody needs to do shares.
struct Hands {
    plan: Plan,
    seed: u64,
    deviations: Deviations,
}

impl Hands {
    fn worker(self, engine: Engine, job: &str, name: &str, patience: Duration) -> Worker {
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
            heartbeat: patience / HEARTBEATS,
        }
    }
}

/// What it takes to do shares of a job; or why this worker would find something else.
fn hands(arguments: &cli::Worker, job: &Job) -> Result<Hands, String> {
    if job.version != fleet::version() {
        return Err(format!("it has callrig {}, and the run {}", fleet::version(), job.version));
    }
    let Task { paths, recording, network, case, payload, flow, seed } = job.task.clone();
    let corpora = arguments.corpora.clone();
    let run =
        Run { paths, seed, network, case, recording, payload, flow, corpora, ..Run::default() };
    let prepared = prepare(&run).map_err(|failure| told(&failure.into_error()))?;
    let Prepared { plan, deviations, .. } = prepared;
    if fleet::digest(&plan, seed, &deviations) != job.digest {
        return Err("it has other recordings, or other known deviations, than the run".to_owned());
    }
    Ok(Hands { plan, seed, deviations })
}

fn task(arguments: &Run) -> Task {
    Task {
        paths: arguments.paths.clone(),
        recording: arguments.recording.clone(),
        network: arguments.network.clone(),
        case: arguments.case.clone(),
        payload: arguments.payload.clone(),
        flow: arguments.flow.clone(),
        seed: arguments.seed,
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, anyhow::Error> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.context("cannot start the threads of a fleet")
}

/// What this process is called: its machine and its number there.
fn name() -> String {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let machine: String = machine
        .trim()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(64)
        .collect();
    let machine = if machine.is_empty() { "worker" } else { &machine };
    format!("{machine}-{}", std::process::id())
}
