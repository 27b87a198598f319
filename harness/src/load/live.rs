//! The generator with a clock: a thread of its own sleeps until the next call is due and hands it
//! to the runtime. It waits for nothing else, so what the target does cannot hold it up.

use core::num::NonZero;
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use callrig_reports::load::samples::{Sample, Samples};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::pace::{Pace, Part};
use super::schedule::Schedule;
use super::target::{Call, Target};
use crate::environment;

/// Calls that may be under way at once; what would begin beyond is counted as never begun.
pub const IN_FLIGHT_MAX: u64 = 50_000;
/// A wait that is longer is cut, so that a stop is noticed.
const SLEEP_MAX: Duration = Duration::from_millis(50);
/// What a sleep overshoots by, usually: the rest is spent looking at the clock.
const SLEEP_EARLY: Duration = Duration::from_micros(120);

/// What can be watched while it runs.
#[derive(Debug, Default)]
pub struct Watch {
    /// Calls begun.
    pub begun: AtomicU64,
    /// Calls under way.
    pub in_flight: AtomicU64,
    /// Calls that failed.
    pub failed: AtomicU64,
    /// Calls that ended.
    pub ended: AtomicU64,
    /// The sum of the latencies of those, in nanoseconds.
    pub nanos: AtomicU64,
    /// The greatest lateness so far, in nanoseconds.
    pub late_max: AtomicU64,
    /// Calls that could not begin: too many were under way.
    pub never_begun: AtomicU64,
    /// Set to stop beginning calls.
    pub stop: AtomicBool,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// One call.
    pub call: Duration,
    /// Calls under way at once.
    pub in_flight: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { call: Duration::from_secs(30), in_flight: IN_FLIGHT_MAX }
    }
}

/// Runs a schedule, or a part of it, against a target; the schedule's times count from `began`.
pub async fn run(
    (schedule, part, began): (Schedule, Part, Instant),
    target: Arc<Target>,
    limits: Limits,
    watch: Arc<Watch>,
) -> Measured {
    let before = environment::cpu_time();
    let (sender, mut samples) = mpsc::unbounded_channel();
    let steps = target.steps();
    let handle = Handle::current();
    let pacer = {
        let watch = Arc::clone(&watch);
        std::thread::Builder::new().name("load-pace".into()).spawn(move || {
            let one = One { target, limits, watch, sender, began };
            pace(Pace::new(&schedule, part), &Arc::new(one), &handle);
        })
    };
    let mut calls = Vec::new();
    while let Some(sample) = samples.recv().await {
        calls.push(sample);
    }
    if let Ok(pacer) = pacer {
        // It has ended, or nobody would have closed the channel.
        let _ = tokio::task::spawn_blocking(move || pacer.join()).await;
    }
    let never_begun = watch.never_begun.load(Ordering::Relaxed);
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get) as f64;
    let own_cpu = before.zip(environment::cpu_time()).map(|(before, after)| {
        (after - before).as_secs_f64() / began.elapsed().as_secs_f64() / cores
    });
    Measured { samples: Samples { steps, calls, never_begun }, own_cpu }
}

/// What came of a load.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// All calls.
    pub samples: Samples,
    /// The generator's own share of the machine's processors, where it can be known.
    pub own_cpu: Option<f64>,
}

/// What each call needs.
struct One {
    target: Arc<Target>,
    limits: Limits,
    watch: Arc<Watch>,
    sender: mpsc::UnboundedSender<Sample>,
    began: Instant,
}

fn pace(mut pace: Pace<'_>, one: &Arc<One>, handle: &Handle) {
    while let Some(next) = pace.poll_timeout() {
        if one.watch.stop.load(Ordering::Relaxed) {
            return;
        }
        let wait = next.saturating_sub(one.began.elapsed());
        if wait > SLEEP_EARLY {
            std::thread::sleep((wait - SLEEP_EARLY).min(SLEEP_MAX));
            continue;
        }
        while one.began.elapsed() < next {
            std::hint::spin_loop();
        }
        while let Some(due) = pace.poll(one.began.elapsed()) {
            if one.watch.in_flight.load(Ordering::Relaxed) >= one.limits.in_flight {
                one.watch.never_begun.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            one.watch.in_flight.fetch_add(1, Ordering::Relaxed);
            one.watch.begun.fetch_add(1, Ordering::Relaxed);
            let one = Arc::clone(one);
            handle.spawn(async move { one.call(due.number, due.intended).await });
        }
    }
}

impl One {
    async fn call(&self, number: u64, intended: Duration) {
        // Late is what the call really begins after: the runtime's delay is the generator's too.
        let late = self.began.elapsed().saturating_sub(intended);
        let meant = self.began + intended;
        let mut call = Call::new(number, meant);
        let deadline = tokio::time::timeout(self.limits.call, self.target.call(&mut call)).await;
        let failure = match deadline {
            Ok(Ok(())) => None,
            Ok(Err(why)) => Some(why),
            Err(_) => Some(format!("no end within {:?}", self.limits.call)),
        };
        let latency = meant.elapsed().saturating_sub(call.held);
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let watch = &self.watch;
        watch.in_flight.fetch_sub(1, Ordering::Relaxed);
        watch.ended.fetch_add(1, Ordering::Relaxed);
        watch.nanos.fetch_add(nanos(latency), Ordering::Relaxed);
        watch.late_max.fetch_max(nanos(late), Ordering::Relaxed);
        if failure.is_some() {
            watch.failed.fetch_add(1, Ordering::Relaxed);
        }
        let sample = Sample {
            intended: nanos(intended),
            late: nanos(late),
            latency: nanos(latency),
            held: nanos(call.held),
            steps: call.steps,
            failure,
        };
        // Whoever counts has gone only when the load is over.
        let _ = self.sender.send(sample);
    }
}
