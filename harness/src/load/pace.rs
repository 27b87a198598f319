//! The generator without a clock: told the time, it says which calls are to begin, and when it
//! wants to be asked again. It never waits for an answer, and never skips a call: one that it is
//! asked for too late begins at once, and its lateness is on record.

use core::time::Duration;

use super::schedule::Schedule;

/// A call that is to begin now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Its number.
    pub number: u64,
    /// When it was meant to begin.
    pub intended: Duration,
    /// How much later it is.
    pub late: Duration,
}

/// The generator.
pub struct Pace<'a> {
    times: Box<dyn Iterator<Item = Duration> + Send + 'a>,
    next: Option<Duration>,
    number: u64,
}

impl<'a> Pace<'a> {
    /// By this schedule.
    #[must_use]
    pub fn new(schedule: &'a Schedule) -> Self {
        let mut times = schedule.times();
        let next = times.next();
        Self { times, next, number: 0 }
    }

    /// When there is something to begin; `None` once all have begun.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Duration> {
        self.next
    }

    /// The next call that is due.
    pub fn poll(&mut self, now: Duration) -> Option<Due> {
        let intended = self.next.filter(|next| *next <= now)?;
        self.next = self.times.next();
        let number = self.number;
        self.number += 1;
        Some(Due { number, intended, late: now - intended })
    }
}
