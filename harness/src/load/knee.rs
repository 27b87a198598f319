//! The highest rate at which the objectives are met. There is no such rate to the last call: near
//! it some loads meet them and some do not, and one that was disturbed says nothing of the
//! service. So what is looked for is the rate at which as many loads meet them as do not, by an
//! up-and-down search: a load that meets them is followed by a higher rate, another by a lower
//! one, in steps that are halved whenever the direction turns and doubled when it will not, and
//! the answer is the mean of the rates at the smallest step. A load that came out wrong moves it by
//! a part of that step. (Dixon and Mood 1948; the steps are those of PEST, Taylor and Creelman
//! 1967.) Pure: it says what to try next and is told what came of it.

use callrig_reports::gate::Outcome;

/// The largest step, as a logarithm: a doubling.
const STEP_MAX: f64 = core::f64::consts::LN_2;
/// The smallest, of which the answer is made: a little under 3 %.
const STEP_MIN: f64 = STEP_MAX / 24.0;
/// So many loads are made at the smallest step.
const LOADS: usize = 12;
/// So many of them that nobody could judge leave no answer.
const BLIND_MAX: usize = LOADS / 4;
/// So many in a row in one direction say that the steps are too small.
const ROW_MAX: usize = 4;
/// At a larger step the same rate is tried so often before nobody can say, and the first rate so
/// often before it is too much.
const TRIES_MAX: u32 = 3;
/// Where it never settles it ends.
const ALL_MAX: usize = 80;

/// The search.
#[derive(Clone, Debug, PartialEq)]
pub struct Knee {
    first: f64,
    most: f64,
    next: f64,
    step: f64,
    /// Whether the last step went up, and how many have, or have not, since it turned.
    row: Option<(bool, usize)>,
    tries: u32,
    all: usize,
    /// The loads at the smallest step: their rates, and what came of them.
    counted: Vec<(f64, Outcome)>,
    /// The rates that met the objectives, and those at which nobody could say.
    met: Vec<f64>,
    blind: Vec<f64>,
    ended: Option<Found>,
}

/// What the search has found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found {
    /// Try this rate.
    Try(f64),
    /// About half of the loads at this rate meet the objectives.
    At {
        /// Calls per second.
        rate: f64,
        /// The lowest and the highest rate of the loads that say so.
        among: (f64, f64),
        /// How many those are.
        loads: usize,
        /// How many of them met the objectives.
        met: usize,
    },
    /// Not even the first rate meets them.
    NotAt(f64),
    /// They are met at the highest rate that may be tried.
    AtLeast(f64),
    /// At this rate nobody can say: the generator is at its own end, or the machine is.
    NotMeasurable {
        /// The lowest such rate.
        at: f64,
        /// The highest rate below it at which they were met.
        good: Option<f64>,
    },
}

impl Knee {
    /// Begins at a rate, and never tries more than `most`.
    #[must_use]
    pub const fn new(first: f64, most: f64) -> Self {
        Self {
            first,
            most,
            next: first,
            step: STEP_MAX,
            row: None,
            tries: 0,
            all: 0,
            counted: Vec::new(),
            met: Vec::new(),
            blind: Vec::new(),
            ended: None,
        }
    }

    /// What to do next.
    #[must_use]
    pub fn poll(&self) -> Found {
        self.ended.unwrap_or(Found::Try(self.next))
    }

    /// How many loads have been made, and how many there will be, as far as it can be known.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        // The steps that are still to be halved take about two loads each.
        let halvings = (self.step / STEP_MIN).log2().max(0.0).ceil() as usize;
        (self.all, self.all + 2 * halvings + LOADS.saturating_sub(self.counted.len()))
    }

    /// What came of the last try.
    pub fn tried(&mut self, outcome: Outcome) {
        self.all += 1;
        let smallest = self.step <= STEP_MIN;
        match outcome {
            Outcome::Clear => self.met.push(self.next),
            Outcome::Regressed if self.next > self.first => {}
            Outcome::Regressed => {
                self.tries += 1;
                if self.tries < TRIES_MAX {
                    return;
                }
            }
            Outcome::Inconclusive => {
                self.tries += 1;
                // Among the counted loads the next one is as good a try as the same again.
                if !smallest && self.tries < TRIES_MAX {
                    return;
                }
                self.blind.push(self.next);
            }
        }
        self.tries = 0;
        if smallest {
            self.counted.push((self.next, outcome));
        }
        let up = outcome == Outcome::Clear;
        self.ended = self.end(outcome);
        self.turn(up);
        self.next *= if up { self.step.exp() } else { (-self.step).exp() };
        self.next = self.next.clamp(self.first, self.most);
    }

    /// How large the next step is.
    fn turn(&mut self, up: bool) {
        self.row = Some(match self.row {
            Some((before, row)) if before == up => (up, row + 1),
            Some(_) => {
                self.step = (self.step / 2.0).max(STEP_MIN);
                (up, 1)
            }
            None => (up, 1),
        });
        if self.row.is_some_and(|(_, row)| row >= ROW_MAX) && self.step < STEP_MAX {
            // Somewhere before a load came out wrong: what is counted is not where it settles.
            self.step *= 2.0;
            self.row = Some((up, 1));
            self.counted.clear();
        }
    }

    /// Whether that was the last one.
    fn end(&self, outcome: Outcome) -> Option<Found> {
        let up = outcome == Outcome::Clear;
        if up && self.next >= self.most {
            return Some(Found::AtLeast(self.most));
        }
        if !up && self.next <= self.first {
            return Some(match outcome {
                Outcome::Inconclusive => self.not_measurable(),
                _ => Found::NotAt(self.first),
            });
        }
        let count = |wanted| self.counted.iter().filter(|(_, came)| *came == wanted).count();
        let blind = count(Outcome::Inconclusive);
        if blind >= BLIND_MAX || self.all >= ALL_MAX {
            return Some(self.not_measurable());
        }
        if self.counted.len() < LOADS {
            return None;
        }
        let rates = || self.counted.iter().map(|(rate, _)| *rate);
        let mean = rates().map(f64::ln).sum::<f64>() / self.counted.len() as f64;
        Some(Found::At {
            rate: mean.exp(),
            among: (rates().fold(f64::MAX, f64::min), rates().fold(0.0, f64::max)),
            loads: self.counted.len(),
            met: count(Outcome::Clear),
        })
    }

    fn not_measurable(&self) -> Found {
        let at = self.blind.iter().copied().fold(self.next, f64::min);
        let good = self.met.iter().copied().filter(|rate| *rate < at).reduce(f64::max);
        Found::NotMeasurable { at, good }
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_pcg::Pcg64Mcg;

    use super::*;

    fn search(mut search: Knee, mut load: impl FnMut(f64) -> Outcome) -> (Found, usize) {
        let mut tries = 0;
        while let Found::Try(rate) = search.poll() {
            let (made, about) = search.progress();
            assert!(made == tries && about >= made, "{made} {about}");
            search.tried(load(rate));
            tries += 1;
            assert!(tries <= ALL_MAX * TRIES_MAX as usize, "it ends");
        }
        (search.poll(), tries)
    }

    fn sharp(knee: f64) -> impl FnMut(f64) -> Outcome {
        move |rate| if rate <= knee { Outcome::Clear } else { Outcome::Regressed }
    }

    #[test]
    fn any_sharp_knee_is_found_within_a_step() {
        for knee in [1.5, 10.0, 333.0, 5_000.0, 99_000.0] {
            let (found, tries) = search(Knee::new(1.0, 1e6), sharp(knee));
            let Found::At { rate, among: (low, high), loads: LOADS, met } = found else {
                panic!("{knee}: {found:?}")
            };
            assert!((rate / knee).ln().abs() < STEP_MIN, "{knee}: {found:?}");
            assert!(low <= knee && knee < high && (1..LOADS).contains(&met), "{knee}: {found:?}");
            assert!(tries < 45, "{tries}");
        }
    }

    #[test]
    fn what_has_no_knee_says_so() {
        assert_eq!(search(Knee::new(100.0, 1e3), sharp(50.0)), (Found::NotAt(100.0), 3));
        assert_eq!(search(Knee::new(100.0, 1e3), sharp(1e9)).0, Found::AtLeast(1e3));
        let blind = Found::NotMeasurable { at: 10.0, good: None };
        assert_eq!(search(Knee::new(10.0, 1e3), |_| Outcome::Inconclusive), (blind, 3));
    }

    /// Searches of a knee that is as wide as they are on a small machine, where one load in twenty
    /// comes out wrong for reasons of its own.
    fn noisy(searches: u64) -> (Vec<f64>, usize) {
        let mut most = 0;
        let rates = (0..searches).map(|seed| {
            let mut random = Pcg64Mcg::seed_from_u64(seed);
            let (found, tries) = search(Knee::new(100.0, 1e5), |rate| {
                let chance = 1.0 / (1.0 + ((rate / 800.0).ln() / 0.03).exp());
                let met = random.random_bool(chance);
                if met && !random.random_bool(1.0 / 20.0) {
                    Outcome::Clear
                } else {
                    Outcome::Regressed
                }
            });
            most = most.max(tries);
            match found {
                Found::At { rate, .. } => rate,
                found => panic!("{seed}: {found:?}"),
            }
        });
        (rates.collect(), most)
    }

    #[test]
    fn loads_that_came_out_wrong_hardly_move_it() {
        let (rates, most) = noisy(500);
        let mean = rates.iter().sum::<f64>() / rates.len() as f64;
        let squares = rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>();
        let variation = (squares / (rates.len() as f64 - 1.0)).sqrt() / mean;
        assert!(variation < 0.03, "{variation}");
        assert!((mean / 800.0).ln().abs() < 0.03, "{mean}");
        assert!(most <= 60, "{most}");
    }

    #[test]
    fn where_nobody_can_say_the_answer_names_what_was_seen_below() {
        for (knee, blind) in [(1e9, 1_150.0), (1_150.0, 900.0), (1e9, 201.0)] {
            let (found, _) = search(Knee::new(100.0, 1e6), |rate| match rate {
                rate if rate > blind => Outcome::Inconclusive,
                rate if rate > knee => Outcome::Regressed,
                _ => Outcome::Clear,
            });
            let Found::NotMeasurable { at, good: Some(good) } = found else { panic!("{found:?}") };
            assert!(good <= blind && blind < at && (at / good).ln() < 3.0 * STEP_MIN, "{found:?}");
        }
    }

    #[test]
    fn a_knee_below_what_cannot_be_measured_is_found() {
        let (found, _) = search(Knee::new(100.0, 1e6), |rate| match rate {
            rate if rate > 1_150.0 => Outcome::Inconclusive,
            rate => sharp(900.0)(rate),
        });
        let Found::At { rate, .. } = found else { panic!("{found:?}") };
        assert!((rate / 900.0).ln().abs() < STEP_MIN, "{rate}");
    }

    #[test]
    fn one_try_that_nobody_could_judge_is_only_tried_again() {
        let mut search = Knee::new(10.0, 1e3);
        search.tried(Outcome::Inconclusive);
        assert_eq!(search.poll(), Found::Try(10.0));
        search.tried(Outcome::Clear);
        assert_eq!(search.poll(), Found::Try(20.0));
    }

    #[test]
    fn one_load_in_ten_that_nobody_could_judge_leaves_an_answer() {
        let mut number = 0;
        let (found, _) = search(Knee::new(100.0, 1e6), |rate| {
            number += 1;
            if number % 10 == 9 { Outcome::Inconclusive } else { sharp(777.0)(rate) }
        });
        let Found::At { rate, .. } = found else { panic!("{found:?}") };
        assert!((rate / 777.0).ln().abs() < 2.0 * STEP_MIN, "{rate}");
    }
}
