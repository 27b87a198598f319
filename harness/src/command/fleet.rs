//! `--fleet`: runs and load that other machines share, and the workers that do.

use core::time::Duration;
use std::collections::BTreeSet;

use anyhow::Context as _;
use rand::Rng as _;

use super::Failure;
use super::run::jobs;
use crate::cli::{self, ExitCode};
use crate::fleet::engine::Engine;
use crate::fleet::work::Worker;
use crate::fleet::{self, FleetError, Job, Task};

pub(super) mod load;
pub(super) mod run;

/// How often a worker looks for something to do.
const LOOKS_EVERY: Duration = Duration::from_millis(500);
/// A worker is heard of so many times within the fleet's patience.
const HEARTBEATS: u32 = 4;

/// How often a worker says that it is there.
fn heartbeat(patience: Duration) -> Duration {
    patience / HEARTBEATS
}

/// A new job.
fn announced(task: Task) -> Job {
    Job { id: format!("{:016x}", rand::rng().next_u64()), version: fleet::version(), task }
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
    let mut known: BTreeSet<String> = BTreeSet::new();
    loop {
        // The server may be away for a while.
        let announced = engine.announced().await.unwrap_or_default();
        for job in announced.into_iter().filter(|job| known.insert(job.id.clone())) {
            if let Err(reason) = take_part(arguments, engine, &job).await? {
                eprintln!("callrig: not taking part in {}: {reason}", job.id);
                Worker::refuse(engine, &job.id, &name(), &reason).await?;
            } else if arguments.once {
                return Ok(());
            }
        }
        tokio::time::sleep(LOOKS_EVERY).await;
    }
}

/// Takes part in a job until it is over; or says why not.
async fn take_part(
    arguments: &cli::Worker,
    engine: &Engine,
    job: &Job,
) -> Result<Result<(), String>, FleetError> {
    let (id, patience) = (&job.id, arguments.fleet.fleet_patience);
    if job.version != fleet::version() {
        return Ok(Err(format!("it has callrig {}, not {}", fleet::version(), job.version)));
    }
    match &job.task {
        Task::Run(wanted) => {
            let hands = match run::hands(arguments, wanted) {
                Ok(hands) => hands,
                Err(reason) => return Ok(Err(reason)),
            };
            let calls = hands.plan.performances.len();
            eprintln!("callrig: taking part in {id}: {calls} calls");
            let worker = hands.worker(engine.clone(), id, &name(), patience);
            let done = worker.work(jobs(arguments.jobs)).await?;
            eprintln!("callrig: {id} is over: {done} calls were done here");
        }
        Task::Load(aim) => {
            let target = match load::target(aim, arguments.bot_listen).await {
                Ok(target) => target,
                Err(reason) => return Ok(Err(reason)),
            };
            eprintln!("callrig: taking part in {id}: load, {}", aim.words());
            let worked = load::work(engine, id, patience, (&target, aim.timeout)).await;
            target.leave().await;
            worked?;
            eprintln!("callrig: {id} is over");
        }
    }
    Ok(Ok(()))
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
