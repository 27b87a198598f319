//! When calls are meant to begin: piecewise linear rates, even or Poisson, or the times of a day
//! that was recorded.
//!
//! The rate as a function of time has an integral, the number of calls that should have begun;
//! the n-th call of an even schedule begins where that integral is n, and of a Poisson schedule
//! where it is the sum of n exponential draws. One inverse serves every shape.

use core::time::Duration;

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The most calls of one load.
pub const CALLS_MAX: f64 = 1e8;
/// The longest load.
pub const LENGTH_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);
/// The most pieces of a schedule.
const PIECES_MAX: usize = 1_000;

/// A stretch of time in which the rate goes from one value to another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Piece {
    /// Calls per second at its begin.
    pub from: f64,
    /// And at its end.
    pub to: f64,
    /// How long it is.
    pub length: Duration,
}

impl Piece {
    fn calls(&self) -> f64 {
        f64::midpoint(self.from, self.to) * self.length.as_secs_f64()
    }

    /// After how many seconds so many calls should have begun.
    fn when(&self, calls: f64) -> f64 {
        let length = self.length.as_secs_f64();
        let slope = (self.to - self.from) / length;
        if slope.abs() * length < 1e-9 * self.from.max(self.to) {
            return calls / self.from;
        }
        // from * t + slope * t² / 2 = calls, in the form that does not cancel.
        let root = (self.from * self.from + 2.0 * slope * calls).max(0.0).sqrt();
        2.0 * calls / (self.from + root)
    }
}

/// When calls are meant to begin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Schedule {
    /// By rate.
    Rated {
        /// One after the other.
        pieces: Vec<Piece>,
        /// Draws for Poisson's process; even without.
        poisson: Option<u64>,
    },
    /// As recorded, ascending.
    Recorded(Vec<Duration>),
}

/// Why a schedule is none.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum ScheduleError {
    /// A piece cannot be read.
    #[error("--rate {text:?}: {expected}; examples: 50, 10..100, 20@30s,500@5s,20@30s")]
    Piece {
        /// The piece.
        text: String,
        /// What was expected.
        expected: &'static str,
    },
    /// There would be no call.
    #[error("not a single call would begin within {0:?}: raise --rate or --duration")]
    Nothing(Duration),
    /// There would be too many.
    #[error("{0:.0} calls are more than {CALLS_MAX:.0}: lower --rate or --duration")]
    TooMany(f64),
    /// It would take too long.
    #[error("{0:?} is longer than a week")]
    TooLong(Duration),
    /// A recorded time cannot be read.
    #[error(
        "line {line} of the recorded arrivals: {text:?} is no time in seconds from 0 to a week"
    )]
    Line {
        /// Which, from 1.
        line: usize,
        /// What is there, cut.
        text: String,
    },
}

impl Schedule {
    /// Reads `50`, `10..100` or `20@30s,500@5s,20@30s`; what has no length of its own takes
    /// `length`.
    ///
    /// # Errors
    /// It cannot be read, or makes no sense.
    pub fn parse(
        text: &str,
        length: Duration,
        poisson: Option<u64>,
    ) -> Result<Self, ScheduleError> {
        let pieces: Vec<Piece> = text
            .split(',')
            .take(PIECES_MAX + 1)
            .map(|one| piece(one, length))
            .collect::<Result<_, _>>()?;
        if pieces.len() > PIECES_MAX {
            let text = text.chars().take(40).collect();
            return Err(ScheduleError::Piece { text, expected: "at most 1000 pieces" });
        }
        let length = pieces.iter().map(|piece| piece.length).sum();
        if length > LENGTH_MAX {
            return Err(ScheduleError::TooLong(length));
        }
        let calls: f64 = pieces.iter().map(Piece::calls).sum();
        if calls > CALLS_MAX {
            return Err(ScheduleError::TooMany(calls));
        }
        if calls < 1.0 {
            return Err(ScheduleError::Nothing(length));
        }
        Ok(Self::Rated { pieces, poisson })
    }

    /// Reads recorded arrivals: a time in seconds on each line; what follows it (after a blank, a
    /// comma or a semicolon) is ignored, and so are empty lines and those that begin with `#`.
    ///
    /// # Errors
    /// A line that cannot be read, or none at all.
    pub fn recorded(text: &str) -> Result<Self, ScheduleError> {
        let mut times = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line_number = index + 1;
            let word = line.trim().split([' ', '\t', ',', ';']).next().unwrap_or_default();
            if word.is_empty() || word.starts_with('#') {
                continue;
            }
            let refuse =
                || ScheduleError::Line { line: line_number, text: word.chars().take(40).collect() };
            let seconds: f64 = word.parse().map_err(|_| refuse())?;
            let time = Duration::try_from_secs_f64(seconds).map_err(|_| refuse())?;
            if time > LENGTH_MAX {
                return Err(refuse());
            }
            times.push(time);
        }
        if times.is_empty() {
            return Err(ScheduleError::Nothing(Duration::ZERO));
        }
        times.sort();
        let first = times[0];
        times.iter_mut().for_each(|time| *time -= first);
        Ok(Self::Recorded(times))
    }

    /// The intended times, ascending.
    #[must_use]
    pub fn times(&self) -> Box<dyn Iterator<Item = Duration> + Send + '_> {
        match self {
            Self::Recorded(times) => Box::new(times.iter().copied()),
            Self::Rated { pieces, poisson } => Box::new(Rated {
                pieces,
                random: poisson.map(Pcg64Mcg::seed_from_u64),
                piece: 0,
                before_calls: 0.0,
                before: 0.0,
                calls: 0.0,
                first: true,
            }),
        }
    }

    /// From the begin to the end of the schedule.
    #[must_use]
    pub fn length(&self) -> Duration {
        match self {
            Self::Recorded(times) => times.last().copied().unwrap_or_default(),
            Self::Rated { pieces, .. } => pieces.iter().map(|piece| piece.length).sum(),
        }
    }
}

fn piece(text: &str, length: Duration) -> Result<Piece, ScheduleError> {
    let refuse =
        |expected| ScheduleError::Piece { text: text.chars().take(40).collect(), expected };
    let (rates, length) = match text.split_once('@') {
        None => (text, length),
        Some((rates, length)) => {
            let length = humantime::parse_duration(length.trim());
            (rates, length.map_err(|_| refuse("after '@' comes a length such as 30s"))?)
        }
    };
    if length.is_zero() {
        return Err(refuse("a length of nothing"));
    }
    let rate = |text: &str| -> Result<f64, ScheduleError> {
        let text = text.trim().trim_end_matches("/s");
        let rate: f64 = text.parse().map_err(|_| refuse("expected calls per second"))?;
        if !(0.0..=1e6).contains(&rate) {
            return Err(refuse("calls per second lie from 0 to a million"));
        }
        Ok(rate)
    };
    let (from, to) = match rates.split_once("..") {
        None => (rate(rates)?, rate(rates)?),
        Some((from, to)) => (rate(from)?, rate(to)?),
    };
    Ok(Piece { from, to, length })
}

struct Rated<'a> {
    pieces: &'a [Piece],
    random: Option<Pcg64Mcg>,
    piece: usize,
    /// Calls and seconds before the current piece.
    before_calls: f64,
    before: f64,
    /// The integral at the next call.
    calls: f64,
    first: bool,
}

impl Iterator for Rated<'_> {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        match &mut self.random {
            // The first of an even schedule begins at once.
            None if self.first => {}
            None => self.calls += 1.0,
            Some(random) => self.calls -= (1.0 - random.random::<f64>()).ln(),
        }
        self.first = false;
        loop {
            let piece = self.pieces.get(self.piece)?;
            let within = self.calls - self.before_calls;
            // What falls on the end of a piece belongs to the next one.
            if within < piece.calls() - 1e-9 {
                let seconds = self.before + piece.when(within);
                return Some(Duration::from_secs_f64(seconds));
            }
            self.before_calls += piece.calls();
            self.before += piece.length.as_secs_f64();
            self.piece += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn times(text: &str, length: Duration, poisson: Option<u64>) -> Vec<f64> {
        let schedule = Schedule::parse(text, length, poisson).expect("it makes sense");
        schedule.times().map(|time| time.as_secs_f64()).collect()
    }

    #[test]
    fn an_even_schedule_is_even() {
        assert_eq!(times("4", SECOND, None), [0.0, 0.25, 0.5, 0.75]);
    }

    #[test]
    fn a_ramp_has_the_calls_of_its_integral_at_every_moment() {
        let times = times("10..30", 10 * SECOND, None);
        assert_eq!(times.len(), 200);
        for (number, time) in (0_u32..).zip(times) {
            let integral = 10.0 * time + time * time;
            assert!((integral - f64::from(number)).abs() < 1e-6, "{number} {time}");
        }
    }

    #[test]
    fn pieces_follow_each_other_without_gap() {
        let times = times("2@2s,100@1s,2@2s", SECOND, None);
        assert_eq!(times.len(), 108);
        assert!(times.is_sorted());
        let spike = times.iter().filter(|time| (2.0..3.0).contains(*time)).count();
        assert_eq!(spike, 100);
    }

    #[test]
    fn a_poisson_schedule_has_exponential_gaps_and_repeats_with_its_seed() {
        let seconds = 200.0;
        let one = times("100", 200 * SECOND, Some(1));
        assert_eq!(one, times("100", 200 * SECOND, Some(1)));
        assert_ne!(one, times("100", 200 * SECOND, Some(2)));
        // 20,000 expected, with a standard deviation of 141.
        assert!((one.len() as f64 - 100.0 * seconds).abs() < 600.0, "{}", one.len());
        let gaps: Vec<f64> = one.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let longer = gaps.iter().filter(|gap| **gap > 0.01).count() as f64 / gaps.len() as f64;
        assert!((longer - (-1.0_f64).exp()).abs() < 0.015, "{longer}");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in
            ["", "fast", "-1", "1e9", "5@", "5@0s", "1..", "..", "0", "NaN", "inf", "5@9999d"]
        {
            Schedule::parse(text, SECOND, None).expect_err(text);
        }
        for text in ["", "# nothing", "x", "-1", "1e99", "NaN"] {
            Schedule::recorded(text).expect_err(text);
        }
        let recorded = Schedule::recorded("# a day\n10.5;x\n\n10.0 y\n").expect("two");
        assert_eq!(recorded, Schedule::Recorded(vec![Duration::ZERO, SECOND / 2]));
    }
}
