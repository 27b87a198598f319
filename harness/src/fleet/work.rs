//! Who takes shares and does them.

use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use callrig_reports::CaseResult;

use super::engine::{Engine, Taken};
use super::{FleetError, Told, share};
use crate::plan::Plan;

/// How a performance of the plan is done, whatever it takes.
pub type Perform = dyn Fn(usize) -> Vec<CaseResult> + Send + Sync;

/// A worker at a job.
#[derive(Clone)]
pub struct Worker {
    /// Where shares come from.
    pub engine: Engine,
    /// Which job.
    pub job: String,
    /// What it is called in what the lead tells.
    pub name: String,
    /// What there is to do.
    pub plan: Arc<Plan>,
    /// How it is done.
    pub perform: Arc<Perform>,
    /// How often it says that a share takes its time: a part of the fleet's patience.
    pub heartbeat: Duration,
}

impl Worker {
    /// Takes shares, `jobs` at once, until the job is over; how many performances it did.
    ///
    /// # Errors
    /// The server has been away for too long, or does not take what was found.
    pub async fn work(&self, jobs: usize) -> Result<usize, FleetError> {
        let done = Arc::new(AtomicUsize::new(0));
        self.tell("joined", &Told::Joined { worker: self.name.clone() }).await?;
        let hands = (0..jobs.max(1)).map(|_| {
            let (worker, done) = (self.clone(), Arc::clone(&done));
            tokio::spawn(async move { worker.hand(&done).await })
        });
        for hand in hands.collect::<Vec<_>>() {
            match hand.await {
                Ok(outcome) => outcome?,
                Err(error) => {
                    let reason = error.to_string();
                    return Err(FleetError::Engine { what: "keep a worker going", reason });
                }
            }
        }
        Ok(done.load(Ordering::Relaxed))
    }

    /// One share after the other.
    async fn hand(&self, done: &AtomicUsize) -> Result<(), FleetError> {
        share::each(&self.engine, &self.job, |taken| self.share(taken, done)).await
    }

    /// Does a share, tells what came of it, and only then lets go of it.
    async fn share(&self, taken: Taken, done: &AtomicUsize) -> Result<(), FleetError> {
        let indices: Vec<usize> = match serde_json::from_slice(taken.payload()) {
            Ok(indices) => indices,
            Err(error) => {
                tracing::warn!(%error, "a share that makes no sense");
                taken.done().await;
                return Ok(());
            }
        };
        let there = |index: &usize| *index < self.plan.performances.len();
        for index in indices.into_iter().filter(there) {
            let perform = Arc::clone(&self.perform);
            let work = tokio::task::spawn_blocking(move || perform(index));
            let results = taken.during(self.heartbeat, work).await;
            let results = results.map_err(|error| FleetError::Engine {
                what: "keep a worker going",
                reason: error.to_string(),
            })?;
            self.give(index, results).await?;
            taken.takes_time().await;
            done.fetch_add(1, Ordering::Relaxed);
        }
        taken.done().await;
        Ok(())
    }

    /// Tells results, in as many parts as a message's size asks for.
    async fn give(&self, performance: usize, results: Vec<CaseResult>) -> Result<(), FleetError> {
        let limit = self.engine.payload_max();
        let name = format!("what came of {}", self.plan.performances[performance].name());
        let mut pieces: Vec<(usize, Vec<CaseResult>)> = vec![(0, Vec::new())];
        for result in results {
            let bytes = serde_json::to_vec(&result).map_or(0, |text| text.len() + 1);
            if bytes > limit {
                return Err(FleetError::TooLarge { name, bytes, limit });
            }
            match pieces.last_mut() {
                Some((size, piece)) if *size + bytes <= limit => {
                    *size += bytes;
                    piece.push(result);
                }
                _ => pieces.push((bytes, vec![result])),
            }
        }
        let parts = pieces.len();
        for (part, (_, results)) in pieces.into_iter().enumerate() {
            let worker = self.name.clone();
            let told = Told::Results { worker, performance, part, parts, results };
            self.tell(&format!("{performance}.{part}"), &told).await?;
        }
        Ok(())
    }

    /// This worker does not take part.
    ///
    /// # Errors
    /// The server has been away for too long.
    pub async fn refuse(
        engine: &Engine,
        job: &str,
        worker: &str,
        reason: &str,
    ) -> Result<(), FleetError> {
        let told = Told::Refused { worker: worker.to_owned(), reason: reason.to_owned() };
        let text = serde_json::to_vec(&told).unwrap_or_default();
        engine.put("result", job, &format!("refused.{worker}"), text.into()).await
    }

    async fn tell(&self, id: &str, told: &Told) -> Result<(), FleetError> {
        let text = serde_json::to_vec(told).map_err(|error| FleetError::Engine {
            what: "take what was found",
            reason: error.to_string(),
        })?;
        // Of results it does not matter whose they are: the first count.
        let id = match told {
            Told::Results { .. } => id.to_owned(),
            Told::Joined { .. } | Told::Refused { .. } => format!("{id}.{}", self.name),
        };
        self.engine.put("result", &self.job, &id, Bytes::from(text)).await
    }
}
