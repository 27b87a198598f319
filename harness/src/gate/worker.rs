//! The other end of the gate: a process that does stages when it is told to, and says how long
//! they took. `callrig worker` speaks JSON lines over its standard input and output, so that two
//! builds can be held against each other by either of them; [`PROTOCOL`] says which words both
//! must know.

use std::collections::HashMap;
use std::io::{self, BufRead as _, Write as _};
use std::time::Instant;

use callrig_reports::Environment;
use serde::{Deserialize, Serialize};

use super::stages::{self, STAGES, Work};
use crate::environment;

/// The version of the words.
pub const PROTOCOL: u32 = 1;
/// The longest line that is read.
pub const LINE_BYTES_MAX: u64 = 64 * 1024;

/// What a worker is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// Do so many units of a stage.
    Time {
        /// Which.
        stage: String,
        /// How many.
        units: u32,
        /// What is put in on purpose.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        inject: Option<Injection>,
    },
    /// Do so many units of a stage, and look at the memory before and after.
    Held {
        /// Which.
        stage: String,
        /// How many.
        units: u32,
        /// How many bytes of each unit to keep on purpose.
        keep: usize,
        /// What is put in on purpose.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        inject: Option<Injection>,
    },
}

/// What a worker says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Reply {
    /// First of all: who it is.
    Hello {
        /// [`PROTOCOL`].
        protocol: u32,
        /// The build and the machine.
        environment: Environment,
        /// What it can do.
        stages: Vec<String>,
    },
    /// How long it took.
    Took {
        /// In nanoseconds of a monotonic clock.
        nanos: u64,
    },
    /// What the process held.
    Held {
        /// Resident bytes before.
        before: u64,
        /// And after.
        after: u64,
    },
    /// It cannot do that.
    Refused {
        /// Why.
        why: String,
    },
}

/// A regression on demand, so that it can be proved that the gate finds it. Only builds with
/// the feature `faults` know how; the others refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Injection {
    /// What.
    pub kind: Kind,
    /// How much: turns of a loop, allocations, locks, calls, or bytes.
    pub amount: u32,
    /// In each so-manieth unit.
    pub every: u32,
}

/// What can be put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// So many turns of a loop that computes.
    Cpu,
    /// So many allocations of 64 bytes, given back at once.
    Allocation,
    /// So many times a lock that nobody else wants.
    Lock,
    /// So many bytes copied.
    Copy,
    /// So many calls of the system.
    Syscall,
    /// So many bytes kept for ever.
    Leak,
}

#[cfg(feature = "faults")]
impl Injection {
    fn apply(self, units: u32, kept: &mut Vec<Box<[u8]>>) {
        use std::hint::black_box;
        let lock = std::sync::Mutex::new(0_u32);
        let (from, mut to) = (vec![1_u8; self.amount as usize], vec![0_u8; self.amount as usize]);
        for _ in (0..units).step_by(self.every.max(1) as usize) {
            match self.kind {
                Kind::Cpu => {
                    let mut state = black_box(1_u32);
                    for _ in 0..self.amount {
                        state = black_box(state.wrapping_mul(1_664_525).wrapping_add(1));
                    }
                }
                Kind::Allocation => {
                    for _ in 0..self.amount {
                        black_box(vec![1_u8; 64]);
                    }
                }
                Kind::Lock => {
                    for _ in 0..self.amount {
                        if let Ok(mut held) = black_box(&lock).lock() {
                            *held = held.wrapping_add(1);
                        }
                    }
                }
                Kind::Copy => {
                    to.copy_from_slice(black_box(&from));
                    black_box(&to);
                }
                Kind::Syscall => {
                    for _ in 0..self.amount {
                        black_box(rustix::process::getppid());
                    }
                }
                Kind::Leak => kept.push(vec![1_u8; self.amount as usize].into_boxed_slice()),
            }
        }
    }
}

#[cfg(not(feature = "faults"))]
impl Injection {
    const fn apply(self, _: u32, _: &mut Vec<Box<[u8]>>) {}
}

/// A worker.
#[derive(Default)]
pub struct Worker {
    built: HashMap<String, Work>,
    kept: Vec<Box<[u8]>>,
}

impl Worker {
    /// Does what it is told.
    pub fn answer(&mut self, ask: &Ask) -> Reply {
        let (stage, inject) = match ask {
            Ask::Time { stage, inject, .. } | Ask::Held { stage, inject, .. } => (stage, *inject),
        };
        if inject.is_some() && !cfg!(feature = "faults") {
            return Reply::Refused { why: "this build has no faults to put in".into() };
        }
        let Some(known) = stages::find(stage) else {
            return Reply::Refused { why: format!("there is no stage {stage:?}") };
        };
        let work = self.built.entry(stage.clone()).or_insert_with(known.build);
        match *ask {
            Ask::Time { units, .. } => {
                let nanos = measured(work, units, inject, &mut self.kept);
                self.kept.clear();
                Reply::Took { nanos }
            }
            Ask::Held { units, keep, .. } => {
                // Once for all that is only made once.
                measured(work, units, None, &mut self.kept);
                self.kept.reserve(2 * units as usize);
                let before = resident();
                measured(work, units, inject, &mut self.kept);
                if keep > 0 {
                    let keep = |_| vec![1_u8; keep].into_boxed_slice();
                    self.kept.extend((0..units).map(keep));
                }
                let after = resident();
                self.kept = Vec::new();
                match (before, after) {
                    (Some(before), Some(after)) => Reply::Held { before, after },
                    _ => Reply::Refused { why: "the memory of a process cannot be read".into() },
                }
            }
        }
    }
}

/// The work itself, in nanoseconds: what callgrind looks at.
#[inline(never)]
fn measured(
    work: &mut Work,
    units: u32,
    inject: Option<Injection>,
    kept: &mut Vec<Box<[u8]>>,
) -> u64 {
    let began = Instant::now();
    work(units);
    if let Some(inject) = inject {
        inject.apply(units, kept);
    }
    u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Resident memory of this process, in bytes.
fn resident() -> Option<u64> {
    let of = |path: &str, name: &str| {
        let text = std::fs::read_to_string(path).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    // Counted page by page: the other figure is put together from each processor's, now and then.
    let kilobytes =
        of("/proc/self/smaps_rollup", "Rss:").or_else(|| of("/proc/self/status", "VmRSS:"));
    Some(kilobytes? * 1024)
}

/// Answers standard input until it ends.
///
/// # Errors
/// The other end has gone away, or does not speak these words.
pub fn serve() -> io::Result<()> {
    // Where the heap and the stack lie is chance between two builds: here it is chance between
    // two processes of one build as well, so that the replicas tell how much it does.
    let moved = environment::now().len() + std::process::id() as usize % 4_096;
    let _moved = std::hint::black_box(vec![0_u8; 16 * moved]);
    let mut out = io::stdout().lock();
    let mut say = |reply: &Reply| -> io::Result<()> {
        serde_json::to_writer(&mut out, reply)?;
        out.write_all(b"\n")?;
        out.flush()
    };
    say(&Reply::Hello {
        protocol: PROTOCOL,
        environment: environment::current(),
        stages: STAGES.iter().map(|stage| stage.name.to_owned()).collect(),
    })?;
    let mut worker = Worker::default();
    for line in io::stdin().lock().lines() {
        let reply = match serde_json::from_str(&line?) {
            Ok(ask) => worker.answer(&ask),
            Err(error) => Reply::Refused { why: format!("that was not understood: {error}") },
        };
        say(&reply)?;
    }
    Ok(())
}

/// Does stages, each so many units once, for callgrind to look at; see
/// [`callgrind`](super::callgrind).
///
/// # Errors
/// There is no such stage, or no such injection.
pub fn count(counts: &[Ask]) -> Result<(), String> {
    let mut worker = Worker::default();
    for ask in counts {
        let Ask::Time { stage, units, .. } = ask else {
            return Err("only work can be counted".into());
        };
        let known = stages::find(stage).ok_or_else(|| format!("there is no stage {stage:?}"))?;
        // Unmeasured, for all that is only made once.
        worker.built.entry(stage.clone()).or_insert_with(known.build)(*units);
        if let Reply::Refused { why } = worker.answer(ask) {
            return Err(why);
        }
    }
    Ok(())
}
