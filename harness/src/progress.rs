//! How far the work is, for a person who waits: a bar on a terminal, a line now and then
//! elsewhere (a log of CI is no terminal). On standard error, so that what is asked for
//! stays alone on standard output.

use core::time::Duration;
use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::Instant;

use callrig_reports::{CaseResult, Verdict};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::plan::Planned;

/// Between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// The progress of one run.
pub struct Progress {
    bar: ProgressBar,
    terminal: bool,
    plain: Mutex<Plain>,
}

struct Plain {
    last: Instant,
    done: usize,
    all: usize,
    worst: usize,
}

impl Progress {
    /// Of so many performances.
    #[must_use]
    pub fn new(performances: usize) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = ProgressBar::with_draw_target(
            Some(performances as u64),
            if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() },
        );
        if let Ok(style) = ProgressStyle::with_template(
            "{bar:30} {pos}/{len} calls  {elapsed} (still {eta})  {wide_msg}",
        ) {
            bar.set_style(style);
        }
        let plain = Plain { last: Instant::now(), done: 0, all: performances, worst: 0 };
        Self { bar, terminal, plain: Mutex::new(plain) }
    }

    /// One performance is done.
    pub fn done(&self, planned: &Planned, results: &[CaseResult]) {
        self.bar.set_message(planned.name());
        self.bar.inc(1);
        if self.terminal {
            return;
        }
        let bad = |result: &&CaseResult| matches!(result.verdict, Verdict::Fail | Verdict::Error);
        let Ok(mut plain) = self.plain.lock() else { return };
        plain.done += 1;
        plain.worst += results.iter().filter(bad).count();
        if plain.last.elapsed() >= LINE_INTERVAL {
            plain.last = Instant::now();
            eprintln!(
                "callrig: {} of {} calls done, {} results bad",
                plain.done, plain.all, plain.worst
            );
        }
    }

    /// All are done.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
