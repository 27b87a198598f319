//! Who cuts a plan into shares, and puts the results together.

use core::time::Duration;
use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use callrig_reports::CaseResult;

use super::engine::{Engine, Queue};
use super::{FleetError, Job, SHARES, Told};
use crate::plan::{self, Plan, Planned};

/// What comes in: of which performances all is there.
#[derive(Debug, Default)]
pub struct Gathered {
    parts: BTreeMap<usize, BTreeMap<usize, Vec<CaseResult>>>,
    whole: BTreeMap<usize, Vec<CaseResult>>,
    /// How many performances each worker did.
    pub workers: BTreeMap<String, usize>,
}

impl Gathered {
    /// Takes in what a worker tells; the performance of which all is there by that. What was
    /// there before, or cannot be, changes nothing.
    pub fn take(&mut self, plan: &Plan, told: Told) -> Option<usize> {
        let (worker, performance, part, parts, results) = match told {
            Told::Joined { worker } => {
                self.workers.entry(worker).or_insert(0);
                return None;
            }
            Told::Refused { .. } => return None,
            Told::Results { worker, performance, part, parts, results } => {
                (worker, performance, part, parts, results)
            }
        };
        let planned = plan.performances.get(performance)?;
        if part >= parts || self.whole.contains_key(&performance) {
            return None;
        }
        let known = self.parts.entry(performance).or_default();
        known.entry(part).or_insert(results);
        if known.len() < parts {
            return None;
        }
        let parts = self.parts.remove(&performance).unwrap_or_default();
        let results: Vec<CaseResult> = parts.into_values().flatten().collect();
        // One for each case of the plan, or somebody made it up.
        if results.len() != planned.cases.len() {
            return None;
        }
        self.whole.insert(performance, results);
        *self.workers.entry(worker).or_insert(0) += 1;
        Some(performance)
    }

    /// How many performances are there.
    #[must_use]
    pub fn len(&self) -> usize {
        self.whole.len()
    }

    /// Whether none is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.whole.is_empty()
    }

    /// All results in the order of the plan; what is not there is an error of its cases.
    #[must_use]
    pub fn in_order(mut self, plan: &Plan, missing: &str) -> Vec<CaseResult> {
        let results = plan.performances.iter().enumerate().flat_map(|(index, planned)| {
            self.whole.remove(&index).unwrap_or_else(|| plan::failed(planned, missing))
        });
        results.collect()
    }
}

/// A job that is being led.
pub struct Lead<'a> {
    engine: Engine,
    job: Job,
    plan: &'a Plan,
    patience: Duration,
}

impl<'a> Lead<'a> {
    /// Cuts the plan into shares, and announces it.
    ///
    /// # Errors
    /// The server does not take it.
    pub async fn open(
        engine: Engine,
        job: Job,
        plan: &'a Plan,
        patience: Duration,
    ) -> Result<Self, FleetError> {
        let shares = plan.shares(SHARES);
        let shares: Vec<Bytes> = shares
            .iter()
            .map(|share| serde_json::to_vec(share).unwrap_or_default().into())
            .collect();
        engine.open(&job, &shares).await?;
        Ok(Self { engine, job, plan, patience })
    }

    /// Waits for everything; `done` hears of each performance of which all is there.
    ///
    /// # Errors
    /// The server has been away for too long.
    pub async fn gather(
        &self,
        done: impl Fn(&Planned, &[CaseResult]),
        refused: impl Fn(&str, &str),
    ) -> Result<Gathered, FleetError> {
        let mut gathered = Gathered::default();
        let mut heard = Instant::now();
        while gathered.len() < self.plan.performances.len() {
            let Some(queue) = self.engine.queue("result", &self.job.id).await? else { break };
            while gathered.len() < self.plan.performances.len() {
                let Ok(taken) = queue.take().await else { break };
                let Some(taken) = taken else {
                    if heard.elapsed() > self.patience * 2 && self.is_given_up().await {
                        return Ok(gathered);
                    }
                    continue;
                };
                heard = Instant::now();
                match serde_json::from_slice::<Told>(taken.payload()) {
                    Ok(Told::Refused { worker, reason }) => refused(&worker, &reason),
                    Ok(told) => {
                        if let Some(index) = gathered.take(self.plan, told) {
                            let results = gathered.whole.get(&index).map_or(&[][..], |r| r);
                            done(&self.plan.performances[index], results);
                        }
                    }
                    Err(error) => tracing::warn!(%error, "results that make no sense"),
                }
                taken.done().await;
            }
        }
        Ok(gathered)
    }

    /// Whether nobody will do what is missing: whoever took it was lost, again and again.
    async fn is_given_up(&self) -> bool {
        let queue = self.engine.queue("share", &self.job.id).await;
        let queue: Option<Queue> = queue.ok().flatten();
        match queue {
            Some(queue) => match queue.standing().await {
                Ok(standing) => standing.waiting == 0 && standing.taken == 0,
                Err(_) => false,
            },
            None => false,
        }
    }

    /// It is over: nothing of it stays with the server.
    pub async fn close(&self) {
        self.engine.close(&self.job.id).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_twice_or_cannot_be_changes_nothing() {
        let plan = Plan::default();
        let mut gathered = Gathered::default();
        let made_up = Told::Results {
            worker: "x".to_owned(),
            performance: 7,
            part: 0,
            parts: 1,
            results: Vec::new(),
        };
        assert_eq!(gathered.take(&plan, made_up), None);
        assert!(gathered.is_empty() && gathered.workers.is_empty());
        let joined = Told::Joined { worker: "a".to_owned() };
        gathered.take(&plan, joined.clone());
        gathered.take(&plan, joined);
        assert_eq!(gathered.workers.len(), 1);
    }
}
