//! The only door into product code, the same for simulated and live worlds: one input,
//! all outputs, the next deadline, and how long that took by the wall clock. Cost is
//! noisy by nature and so is kept here, apart from the trace, which is exact.

use core::fmt;
use std::sync::LazyLock;

use callrig_media::event::Event;
use callrig_media::time::Instant;
use hdrhistogram::Histogram;
use quanta::Clock;

use crate::actor::{Actor, Input, Kind, Output};
use crate::said::Said;

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
    let before = outputs.len();
    let started = stopwatch.start();
    actor.handle_input(now, input);
    while let Some(output) = actor.poll_output() {
        outputs.push(output);
    }
    let deadline = actor.poll_timeout();
    stopwatch.stop(kind, started, &outputs[before..]);
    deadline
}

/// Whether something is an access unit or 20 ms of sound: what time is told apart by.
fn is_frame(output: &Output) -> bool {
    let Output::Said(Said::Media(_, event)) = output else { return false };
    matches!(**event, Event::Frame(_) | Event::Audio(_))
}

/// The counter of the processor, where it counts time: a step is so short that asking the system
/// for the time would take a tenth of it.
static CLOCK: LazyLock<Clock> = LazyLock::new(Clock::new);

/// How long the steps of one actor took, by kind of input and by frame that came of them,
/// in nanoseconds of real time.
#[derive(Clone)]
pub struct Stopwatch {
    running: bool,
    histograms: [Option<Histogram<u64>>; Kind::ALL.len()],
    frames: Option<Histogram<u64>>,
    /// What the steps since the last frame took.
    since_frame_nanos: u64,
    total_nanos: u64,
}

impl Stopwatch {
    /// A stopwatch that measures, or one that only stands there.
    #[must_use]
    pub fn new(running: bool) -> Self {
        Self {
            running,
            histograms: Default::default(),
            frames: None,
            since_frame_nanos: 0,
            total_nanos: 0,
        }
    }

    /// The steps of one kind, if there were any.
    #[must_use]
    pub fn histogram(&self, kind: Kind) -> Option<&Histogram<u64>> {
        self.histograms[kind as usize].as_ref()
    }

    /// What the steps from one frame to the next took together, if frames came of them. What
    /// several share is divided among them; what was dropped falls on the next that was not.
    #[must_use]
    pub const fn frames(&self) -> Option<&Histogram<u64>> {
        self.frames.as_ref()
    }

    /// All steps together, in nanoseconds.
    #[must_use]
    pub const fn total_nanos(&self) -> u64 {
        self.total_nanos
    }

    /// Takes in the steps that another one measured.
    pub fn merge(&mut self, other: &Self) {
        self.total_nanos += other.total_nanos;
        let mine = self.histograms.iter_mut().chain([&mut self.frames]);
        for (mine, theirs) in mine.zip(other.histograms.iter().chain([&other.frames])) {
            match (mine, theirs) {
                (Some(mine), Some(theirs)) => {
                    mine.add(theirs).expect("both have the same bounds");
                }
                (mine @ None, Some(theirs)) => *mine = Some(theirs.clone()),
                (_, None) => {}
            }
        }
    }

    fn start(&self) -> Option<u64> {
        self.running.then(|| CLOCK.raw())
    }

    fn stop(&mut self, kind: Kind, started: Option<u64>, outputs: &[Output]) {
        let Some(started) = started else { return };
        let nanos = CLOCK.delta_as_nanos(started, CLOCK.raw());
        self.total_nanos = self.total_nanos.saturating_add(nanos);
        self.histograms[kind as usize].get_or_insert_with(empty).saturating_record(nanos);
        self.since_frame_nanos = self.since_frame_nanos.saturating_add(nanos);
        let frames = outputs.iter().filter(|output| is_frame(output)).count() as u64;
        if let Some(each) = self.since_frame_nanos.checked_div(frames) {
            self.since_frame_nanos = 0;
            let histogram = self.frames.get_or_insert_with(empty);
            (0..frames).for_each(|_| histogram.saturating_record(each));
        }
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
