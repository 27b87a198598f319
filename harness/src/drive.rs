//! The only door into product code, the same for simulated and live worlds: one input,
//! all outputs, the next deadline, and how long that took by the wall clock. Cost is
//! noisy by nature and so is kept here, apart from the trace, which is exact.

use core::fmt;
use std::time::Instant as WallClock;

use callrig_media::time::Instant;
use hdrhistogram::Histogram;

use crate::actor::{Actor, Input, Kind, Output};

/// The longest step that is told apart from longer ones, in nanoseconds.
const STEP_NANOS_MAX: u64 = 10_000_000_000;

/// Lets `actor` handle `input` at `now`, appends what it does to `outputs`, and returns
/// when it wants to be woken.
pub fn step(
    actor: &mut dyn Actor,
    now: Instant,
    input: Input,
    stopwatch: &mut Stopwatch,
    outputs: &mut Vec<Output>,
) -> Option<Instant> {
    let kind = input.kind();
    let started = stopwatch.start();
    actor.handle_input(now, input);
    while let Some(output) = actor.poll_output() {
        outputs.push(output);
    }
    let deadline = actor.poll_timeout();
    stopwatch.stop(kind, started);
    deadline
}

/// How long the steps of one actor took, by kind of input, in nanoseconds of real time.
#[derive(Clone)]
pub struct Stopwatch {
    running: bool,
    histograms: [Option<Histogram<u64>>; Kind::ALL.len()],
    total_nanos: u64,
}

impl Stopwatch {
    /// A stopwatch that measures, or one that only stands there.
    #[must_use]
    pub fn new(running: bool) -> Self {
        Self { running, histograms: Default::default(), total_nanos: 0 }
    }

    /// The steps of one kind, if there were any.
    #[must_use]
    pub fn histogram(&self, kind: Kind) -> Option<&Histogram<u64>> {
        self.histograms[kind as usize].as_ref()
    }

    /// All steps together, in nanoseconds.
    #[must_use]
    pub const fn total_nanos(&self) -> u64 {
        self.total_nanos
    }

    /// Takes in the steps that another one measured.
    pub fn merge(&mut self, other: &Self) {
        self.total_nanos += other.total_nanos;
        for (mine, theirs) in self.histograms.iter_mut().zip(&other.histograms) {
            match (mine, theirs) {
                (Some(mine), Some(theirs)) => {
                    mine.add(theirs).expect("both have the same bounds");
                }
                (mine @ None, Some(theirs)) => *mine = Some(theirs.clone()),
                (_, None) => {}
            }
        }
    }

    fn start(&self) -> Option<WallClock> {
        self.running.then(WallClock::now)
    }

    fn stop(&mut self, kind: Kind, started: Option<WallClock>) {
        let Some(started) = started else { return };
        let nanos = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.total_nanos = self.total_nanos.saturating_add(nanos);
        self.histograms[kind as usize].get_or_insert_with(empty).saturating_record(nanos);
    }
}

impl fmt::Debug for Stopwatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Stopwatch")
            .field("running", &self.running)
            .field("total_nanos", &self.total_nanos)
            .finish_non_exhaustive()
    }
}

fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, STEP_NANOS_MAX, 2).expect("the bounds are sound")
}
