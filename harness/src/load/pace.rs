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

/// Which calls of a schedule somebody makes: each `of`-th, beginning with `lane`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The first of them, from 0.
    pub lane: u64,
    /// How many share the calls.
    pub of: u64,
}

impl Part {
    /// All calls.
    pub const WHOLE: Self = Self { lane: 0, of: 1 };

    const fn has(self, number: u64) -> bool {
        number % self.of == self.lane
    }
}

/// The generator.
pub struct Pace<'a> {
    times: Box<dyn Iterator<Item = (u64, Duration)> + Send + 'a>,
    next: Option<(u64, Duration)>,
}

impl<'a> Pace<'a> {
    /// By this schedule, or a part of it.
    #[must_use]
    pub fn new(schedule: &'a Schedule, part: Part) -> Self {
        let times = (0..).zip(schedule.times());
        let mut times = Box::new(times.filter(move |(number, _)| part.has(*number)));
        let next = times.next();
        Self { times, next }
    }

    /// When there is something to begin; `None` once all have begun.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.next.map(|(_, intended)| intended)
    }

    /// The next call that is due.
    pub fn poll(&mut self, now: Duration) -> Option<Due> {
        let (number, intended) = self.next.filter(|(_, intended)| *intended <= now)?;
        self.next = self.times.next();
        Some(Due { number, intended, late: now - intended })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_schedule_are_the_whole_of_it() {
        let schedule = Schedule::parse("7..90", Duration::from_secs(9), Some(3)).expect("sound");
        let begun = |part| {
            let mut pace = Pace::new(&schedule, part);
            let all = core::iter::from_fn(|| pace.poll(Duration::MAX)).collect::<Vec<_>>();
            all.into_iter().map(|due| (due.number, due.intended)).collect::<Vec<_>>()
        };
        let whole = begun(Part::WHOLE);
        let mut parts: Vec<_> = (0..4).flat_map(|lane| begun(Part { lane, of: 4 })).collect();
        parts.sort_unstable();
        assert!(whole.len() > 300);
        assert_eq!(parts, whole);
    }
}
