//! How far the work is, for a person who waits: a bar on a terminal, a line now and then
//! elsewhere (a log of CI is no terminal). On standard error, so that what is asked for
//! stays alone on standard output.

use core::time::Duration;
use std::borrow::Cow;
use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Between two lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// How many of so many things are done, and how many of them came out badly.
pub struct Progress {
    bar: ProgressBar,
    what: &'static str,
    plain: Option<Mutex<Plain>>,
}

struct Plain {
    last: Instant,
    done: usize,
    bad: usize,
}

impl Progress {
    /// Of so many of what: `scripts`, `calls`.
    #[must_use]
    pub fn new(all: usize, what: &'static str) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = ProgressBar::with_draw_target(
            Some(all as u64),
            if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() },
        );
        let template =
            format!("{{bar:30}} {{pos}}/{{len}} {what}  {{elapsed}} (still {{eta}})  {{wide_msg}}");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        let plain = Plain { last: Instant::now(), done: 0, bad: 0 };
        Self { bar, what, plain: (!terminal).then(|| Mutex::new(plain)) }
    }

    /// One more is done, which has this name and brought so much that is bad.
    pub fn done(&self, name: impl Into<Cow<'static, str>>, bad: usize) {
        self.bar.set_message(name);
        self.bar.inc(1);
        self.count(|plain| {
            plain.done += 1;
            plain.bad += bad;
        });
    }

    /// So many are done by now.
    pub fn reached(&self, done: usize) {
        self.bar.set_position(done as u64);
        self.count(|plain| plain.done = done);
    }

    fn count(&self, change: impl FnOnce(&mut Plain)) {
        let Some(plain) = &self.plain else { return };
        let mut plain = plain.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut plain);
        if plain.last.elapsed() >= LINE_INTERVAL {
            plain.last = Instant::now();
            let (all, what) = (self.bar.length().unwrap_or_default(), self.what);
            let bad = if plain.bad > 0 { format!(", {} bad", plain.bad) } else { String::new() };
            eprintln!("callrig: {} of {all} {what} done{bad}", plain.done);
        }
    }

    /// All are done.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
