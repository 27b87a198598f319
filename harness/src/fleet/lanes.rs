//! Load of which every worker makes a part. The calls of a schedule are dealt out in lanes, one
//! for each worker: the n-th call belongs to lane n modulo their number, and begins when the
//! schedule says so, counted from a moment that all of them know. What was seen of every call
//! comes together at the lead, so a percentile is that of all calls, not one of percentiles.
//!
//! A call that did not begin when it was meant to cannot be made up for later: where a worker is
//! lost, all lanes of that round are done again with those that are left, and nothing of the
//! round counts.

use core::time::Duration;
use std::collections::BTreeMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use callrig_reports::load::samples::{Sample, Samples};
use serde::{Deserialize, Serialize};

use super::engine::{Engine, Queue, Taken};
use super::{FleetError, Job, share};
use crate::load::live::Measured;
use crate::load::schedule::Schedule;

/// From the dealing out of lanes to the first call.
const LEAD_IN: Duration = Duration::from_secs(2);
/// Whoever is told to begin later than this has another clock.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How often a load is begun before it is given up.
const ATTEMPTS_MAX: u32 = 3;
/// After the last worker has come, how long others are waited for where nobody said how many
/// there are.
const SETTLED_AFTER: Duration = Duration::from_secs(3);
/// How many calls are told of at once, at most.
const PIECE: usize = 4_096;

/// The part of one worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lane {
    /// Which attempt at a load this belongs to.
    pub round: u32,
    /// Which, from 0.
    pub lane: u64,
    /// Of how many.
    pub lanes: u64,
    /// When the load begins, in milliseconds of Unix time.
    pub begins_ms: u64,
    /// When calls are meant to begin, those of the other lanes too.
    pub schedule: Schedule,
}

/// What a worker tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
enum Told {
    Joined { worker: String },
    Refused { worker: String, reason: String },
    Void { round: u32, lane: u64, reason: String },
    Calls { worker: String, round: u32, lane: u64, part: usize, parts: usize, seen: Seen },
}

/// Some of the calls of a lane.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Seen {
    steps: Vec<String>,
    calls: Vec<Row>,
    never_begun: u64,
    own_cpu: Option<f64>,
}

/// A [`Sample`], in the order of its fields: there are many of them.
type Row = (u64, u64, u64, u64, Vec<(u8, u64)>, Option<String>);

fn row(sample: Sample) -> Row {
    let Sample { intended, late, latency, held, steps, failure } = sample;
    (intended, late, latency, held, steps, failure)
}

fn sample((intended, late, latency, held, steps, failure): Row) -> Sample {
    Sample { intended, late, latency, held, steps, failure }
}

/// A load of which all lanes are there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Merged {
    /// All calls.
    pub samples: Samples,
    /// The greatest share that a worker had of its machine's processors.
    pub own_cpu: Option<f64>,
    /// How many calls each worker made.
    pub workers: BTreeMap<String, usize>,
    /// Why rounds before this one do not count.
    pub void: Vec<String>,
}

/// What comes in of one round.
#[derive(Debug, Default)]
struct Gathered {
    parts: BTreeMap<u64, BTreeMap<usize, Seen>>,
    whole: BTreeMap<u64, (String, Seen)>,
    void: BTreeMap<u64, String>,
}

impl Gathered {
    fn take(&mut self, told: Told, of: u32, lanes: u64) {
        match told {
            // Whoever was told late that a lane is done may have handed it out again.
            Told::Void { round, lane, reason }
                if round == of && lane < lanes && !self.whole.contains_key(&lane) =>
            {
                self.void.insert(lane, reason);
            }
            Told::Calls { worker, round, lane, part, parts, seen }
                if round == of && lane < lanes && part < parts =>
            {
                if self.whole.contains_key(&lane) {
                    return;
                }
                let known = self.parts.entry(lane).or_default();
                known.entry(part).or_insert(seen);
                if known.len() == parts {
                    let parts = self.parts.remove(&lane).unwrap_or_default();
                    self.whole.insert(lane, (worker, join(parts.into_values())));
                }
            }
            _ => {}
        }
    }

    /// Whether it is known what came of every lane.
    fn is_over(&self, lanes: u64) -> bool {
        (0..lanes).all(|lane| self.whole.contains_key(&lane) || self.void.contains_key(&lane))
    }
}

fn join(parts: impl Iterator<Item = Seen>) -> Seen {
    let mut all = Seen::default();
    for part in parts {
        all.steps = part.steps;
        all.calls.extend(part.calls);
        all.never_begun += part.never_begun;
        all.own_cpu = part.own_cpu.or(all.own_cpu);
    }
    all
}

fn merge(whole: BTreeMap<u64, (String, Seen)>) -> Merged {
    let mut merged = Merged::default();
    for (worker, seen) in whole.into_values() {
        *merged.workers.entry(worker).or_default() += seen.calls.len();
        merged.samples.steps = seen.steps;
        merged.samples.calls.extend(seen.calls.into_iter().map(sample));
        merged.samples.never_begun += seen.never_begun;
        merged.own_cpu = match (merged.own_cpu, seen.own_cpu) {
            (Some(one), Some(other)) => Some(f64::max(one, other)),
            (one, other) => one.or(other),
        };
    }
    merged.samples.calls.sort_by_key(|call| call.intended);
    merged
}

/// Who deals out lanes, and puts together what comes of them.
pub struct Lead {
    engine: Engine,
    job: String,
    lanes: u64,
    round: u32,
}

impl Lead {
    /// Announces a load.
    ///
    /// # Errors
    /// The server does not take it.
    pub async fn open(engine: Engine, job: &Job) -> Result<Self, FleetError> {
        engine.open(job, &[]).await?;
        Ok(Self { engine, job: job.id.clone(), lanes: 0, round: 0 })
    }

    /// Waits for workers: for so many, or until no more come.
    ///
    /// # Errors
    /// There are too few, and nobody has come for so long.
    pub async fn crew(
        &mut self,
        wanted: Option<u64>,
        patience: Duration,
        said: impl Fn(&str),
    ) -> Result<(), FleetError> {
        let (mut joined, mut last) = (0, Instant::now());
        let queue = self.results().await?;
        loop {
            let is_there = match wanted {
                Some(wanted) => joined >= wanted,
                None => joined > 0 && last.elapsed() >= SETTLED_AFTER,
            };
            if is_there {
                self.lanes = joined;
                return Ok(());
            }
            if last.elapsed() > patience.max(SETTLED_AFTER) {
                return Err(FleetError::Engine {
                    what: "bring enough workers",
                    reason: format!("{joined} came, and then nobody for {patience:?}"),
                });
            }
            let Some(taken) = queue.take().await? else { continue };
            match serde_json::from_slice(taken.payload()) {
                Ok(Told::Joined { worker }) => {
                    (joined, last) = (joined + 1, Instant::now());
                    said(&format!("{worker} takes part"));
                }
                Ok(Told::Refused { worker, reason }) => {
                    said(&format!("{worker} does not take part: {reason}"));
                }
                Ok(_) | Err(_) => {}
            }
            taken.done().await;
        }
    }

    /// Makes a whole load, and once more where somebody was lost.
    ///
    /// # Errors
    /// The server has been away for too long, or somebody was lost each time.
    pub async fn load(&mut self, schedule: &Schedule) -> Result<Merged, FleetError> {
        let mut void = Vec::new();
        for _ in 0..ATTEMPTS_MAX {
            let gathered = self.round(schedule).await?;
            if gathered.void.is_empty() {
                return Ok(Merged { void, ..merge(gathered.whole) });
            }
            let reasons: Vec<String> = gathered.void.into_values().collect();
            void.push(reasons.join("; "));
            self.lanes = (gathered.whole.len() as u64).max(1);
        }
        Err(FleetError::Engine {
            what: "keep its workers",
            reason: format!("the load was begun {ATTEMPTS_MAX} times: {}", void.join("; ")),
        })
    }

    async fn round(&mut self, schedule: &Schedule) -> Result<Gathered, FleetError> {
        self.round += 1;
        let begins = unix() + LEAD_IN;
        for lane in 0..self.lanes {
            let one = Lane {
                round: self.round,
                lane,
                lanes: self.lanes,
                begins_ms: u64::try_from(begins.as_millis()).unwrap_or(u64::MAX),
                schedule: schedule.clone(),
            };
            let text = text(&one)?;
            let (bytes, limit) = (text.len(), self.engine.payload_max());
            if bytes > limit {
                let name = "the schedule".to_owned();
                return Err(FleetError::TooLarge { name, bytes, limit });
            }
            let id = format!("{}.{lane}", self.round);
            self.engine.put("share", &self.job, &id, text.into()).await?;
        }
        let mut gathered = Gathered::default();
        while !gathered.is_over(self.lanes) {
            let queue = self.results().await?;
            while !gathered.is_over(self.lanes) {
                let Ok(taken) = queue.take().await else { break };
                let Some(taken) = taken else { continue };
                match serde_json::from_slice(taken.payload()) {
                    Ok(told) => gathered.take(told, self.round, self.lanes),
                    Err(error) => tracing::warn!(%error, "calls that make no sense"),
                }
                taken.done().await;
            }
        }
        Ok(gathered)
    }

    async fn results(&self) -> Result<Queue, FleetError> {
        let gone = || FleetError::Engine { what: "keep the job", reason: "it is gone".to_owned() };
        self.engine.queue("result", &self.job).await?.ok_or_else(gone)
    }
}

/// Who makes lanes.
pub struct Worker {
    /// Where lanes come from.
    pub engine: Engine,
    /// Of which load.
    pub job: String,
    /// What it is called in what the lead tells.
    pub name: String,
    /// How often it says that a lane takes its time: a part of the fleet's patience.
    pub heartbeat: Duration,
}

impl Worker {
    /// Makes one lane after the other until the load is over.
    ///
    /// # Errors
    /// The server has been away for too long, or does not take what was seen.
    pub async fn work<F>(&self, measure: impl Fn(Lane, Instant) -> F) -> Result<(), FleetError>
    where
        F: Future<Output = Measured>,
    {
        self.tell(&format!("joined.{}", self.name), &Told::Joined { worker: self.name.clone() })
            .await?;
        share::each(&self.engine, &self.job, |taken| self.lane(taken, &measure)).await
    }

    async fn lane<F>(
        &self,
        taken: Taken,
        measure: impl Fn(Lane, Instant) -> F,
    ) -> Result<(), FleetError>
    where
        F: Future<Output = Measured>,
    {
        let lane: Lane = match serde_json::from_slice(taken.payload()) {
            Ok(lane) => lane,
            Err(error) => {
                tracing::warn!(%error, "a lane that makes no sense");
                taken.done().await;
                return Ok(());
            }
        };
        let (round, number) = (lane.round, lane.lane);
        match wait(lane.begins_ms) {
            Ok(wait) => {
                let began = Instant::now() + wait;
                let measured = async {
                    tokio::time::sleep_until(began.into()).await;
                    measure(lane, began).await
                };
                let measured = taken.during(self.heartbeat, measured).await;
                self.give(round, number, measured).await?;
            }
            Err(reason) => {
                let reason = format!("lane {number} of round {round} was {reason}");
                let told = Told::Void { round, lane: number, reason };
                self.tell(&format!("{round}.{number}.void"), &told).await?;
            }
        }
        taken.done().await;
        Ok(())
    }

    /// Tells what was seen, in as many parts as a message's size asks for.
    async fn give(&self, round: u32, lane: u64, measured: Measured) -> Result<(), FleetError> {
        let Samples { steps, calls, never_begun } = measured.samples;
        let rows: Vec<Row> = calls.into_iter().map(row).collect();
        let limit = self.engine.payload_max();
        let mut each = PIECE;
        // What a call may say of itself has no fixed size.
        let largest = |each: usize| rows.chunks(each).map(size).max().unwrap_or(0);
        while each > 1 && largest(each) + 1_024 > limit {
            each /= 2;
        }
        let mut pieces: Vec<Vec<Row>> = rows.chunks(each).map(<[Row]>::to_vec).collect();
        if pieces.is_empty() {
            pieces.push(Vec::new());
        }
        let parts = pieces.len();
        for (part, calls) in pieces.into_iter().enumerate() {
            let never_begun = if part == 0 { never_begun } else { 0 };
            let seen = Seen { steps: steps.clone(), calls, never_begun, own_cpu: measured.own_cpu };
            let worker = self.name.clone();
            let told = Told::Calls { worker, round, lane, part, parts, seen };
            self.tell(&format!("{round}.{lane}.{part}"), &told).await?;
        }
        Ok(())
    }

    async fn tell(&self, id: &str, told: &Told) -> Result<(), FleetError> {
        self.engine.put("result", &self.job, id, text(told)?.into()).await
    }
}

fn text(what: &impl Serialize) -> Result<Vec<u8>, FleetError> {
    let refuse = |error: serde_json::Error| FleetError::Engine {
        what: "take what was found",
        reason: error.to_string(),
    };
    serde_json::to_vec(what).map_err(refuse)
}

fn size(rows: &[Row]) -> usize {
    serde_json::to_vec(rows).map_or(0, |text| text.len())
}

fn unix() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// How long it is until then, by this machine's clock.
///
/// # Errors
/// It is past, or further ahead than it can be.
pub fn wait(begins_ms: u64) -> Result<Duration, String> {
    let (begins, now) = (Duration::from_millis(begins_ms), unix());
    match begins.checked_sub(now) {
        None => {
            let late = (now - begins).as_secs_f64();
            Err(format!("taken {late:.1} s too late: a worker was lost, or clocks differ"))
        }
        Some(wait) if wait > WAIT_MAX => {
            Err(format!("it begins in {} s: clocks differ", wait.as_secs()))
        }
        Some(wait) => Ok(wait),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(worker: &str, lane: u64, (part, parts): (usize, usize), intended: &[u64]) -> Told {
        let one = |intended: &u64| (*intended, 1, 2, 3, vec![(0, 2)], None);
        let calls = intended.iter().map(one).collect();
        let seen =
            Seen { steps: vec!["ring".to_owned()], calls, never_begun: 1, own_cpu: Some(0.1) };
        Told::Calls { worker: worker.to_owned(), round: 4, lane, part, parts, seen }
    }

    #[test]
    fn lanes_come_together_whole_and_once() {
        let mut gathered = Gathered::default();
        let mut take = |told| gathered.take(told, 4, 2);
        take(calls("a", 0, (1, 2), &[20]));
        take(calls("b", 1, (0, 1), &[10, 30]));
        // Another's, a made up one, one that came before, and one of a round that is over.
        take(calls("a", 7, (0, 1), &[1]));
        take(calls("a", 0, (2, 2), &[1]));
        take(calls("b", 1, (0, 1), &[10, 30]));
        take(Told::Void { round: 3, lane: 0, reason: "late".to_owned() });
        assert!(!gathered.is_over(2));
        gathered.take(calls("a", 0, (0, 2), &[0]), 4, 2);
        gathered.take(Told::Void { round: 4, lane: 0, reason: "late".to_owned() }, 4, 2);
        assert!(gathered.is_over(2) && gathered.void.is_empty());
        let merged = merge(gathered.whole);
        let intended: Vec<u64> = merged.samples.calls.iter().map(|call| call.intended).collect();
        assert_eq!(intended, [0, 10, 20, 30]);
        assert_eq!(merged.samples.never_begun, 3);
        assert_eq!(merged.workers, BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 2)]));
    }

    #[test]
    fn a_lane_is_late_as_soon_as_its_time_has_come() {
        let now = u64::try_from(unix().as_millis()).expect("this century");
        assert!(wait(now + 5_000).expect("it is ahead") > Duration::from_secs(4));
        assert!(wait(now - 1_500).expect_err("it is past").contains("too late"));
        assert!(wait(now + 500_000).expect_err("it is far").contains("clocks differ"));
    }
}
