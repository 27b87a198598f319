//! Load of which every worker makes a part.

use core::net::SocketAddr;
use core::sync::atomic::Ordering;
use core::time::Duration;
use std::sync::Arc;

use anyhow::anyhow;

use super::super::Failure;
use super::super::open_loop::show;
use super::{announced, heartbeat, name};
use crate::cli;
use crate::fleet::engine::Engine;
use crate::fleet::lanes::{Lead, Worker};
use crate::fleet::{FleetError, Task};
use crate::load::live::{self, Limits, Watch};
use crate::load::pace::Part;
use crate::load::target::{Aim, Target};

/// How often somebody who makes load looks whether it is still wanted.
const LOOKS_EVERY: Duration = Duration::from_secs(1);
/// How long this process' own part may take to leave the service.
const LEAVE_MAX: Duration = Duration::from_secs(10);

/// Gathers workers for a load, and lets `make` deal it out to them.
pub(in crate::command) async fn led<T>(
    arguments: &cli::Load,
    url: &str,
    aim: &Aim,
    make: impl AsyncFnOnce(&mut Lead) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let patience = arguments.fleet.fleet_patience;
    let engine = Engine::connect(url, patience).await?;
    let job = announced(Task::Load(aim.clone()));
    let mut lead = Lead::open(engine.clone(), &job).await?;
    let own = target(aim, arguments.bot_listen).await.map_err(|why| anyhow!(why))?;
    let mut work = {
        let (engine, id, own) = (engine.clone(), job.id.clone(), Arc::clone(&own));
        let timeout = aim.timeout;
        tokio::spawn(async move { work(&engine, &id, patience, (&own, timeout)).await })
    };
    let said = |words: &str| eprintln!("callrig: {words}");
    let ended = tokio::select! {
        made = async {
            lead.crew(arguments.workers, patience, said).await?;
            make(&mut lead).await
        } => made,
        // It works as long as there is a job: it can only have failed.
        worked = &mut work => Err(match worked {
            Ok(Err(error)) => error.into(),
            Ok(Ok(())) => anyhow!("the fleet has lost its job").into(),
            Err(error) => anyhow!("the generator broke down: {error}").into(),
        }),
        _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted").into()),
    };
    // Whatever came of it, nobody makes load for it any more.
    engine.close(&job.id).await;
    let _ = tokio::time::timeout(LEAVE_MAX, own.leave()).await;
    work.abort();
    ended
}

/// What is called, for an app of our own.
pub(super) async fn target(aim: &Aim, listen: SocketAddr) -> Result<Arc<Target>, String> {
    let taken = aim.take(listen, true).await;
    taken.map(|(target, _)| Arc::new(target)).map_err(|error| error.to_string())
}

/// Makes lanes until the load is over.
pub(super) async fn work(
    engine: &Engine,
    job: &str,
    patience: Duration,
    (target, timeout): (&Arc<Target>, Duration),
) -> Result<(), FleetError> {
    let worker = Worker {
        engine: engine.clone(),
        job: job.to_owned(),
        name: name(),
        heartbeat: heartbeat(patience),
    };
    let make = |lane: crate::fleet::lanes::Lane, began| {
        let (engine, job, target) = (engine.clone(), job.to_owned(), Arc::clone(target));
        let part = Part { lane: lane.lane, of: lane.lanes };
        async move {
            let watch = Arc::new(Watch::default());
            let show = tokio::spawn(show(Arc::clone(&watch), lane.schedule.length()));
            let stop = tokio::spawn(until_over(engine, job, Arc::clone(&watch)));
            let limits = Limits { call: timeout, ..Limits::default() };
            let made = live::run((lane.schedule, part, began), target, limits, watch).await;
            show.abort();
            stop.abort();
            made
        }
    };
    worker.work(make).await
}

/// Begins no more calls once nobody wants them.
async fn until_over(engine: Engine, job: String, watch: Arc<Watch>) {
    while engine.is_over(&job).await != Some(true) {
        tokio::time::sleep(LOOKS_EVERY).await;
    }
    watch.stop.store(true, Ordering::Relaxed);
}
