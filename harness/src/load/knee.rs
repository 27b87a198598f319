//! The highest rate at which the objectives are met. There is no such rate to the last call: near
//! it some loads meet them and some do not, and one that was disturbed says nothing of the
//! service. So what is looked for is the rate at which as many loads meet them as do not. From the
//! first rate it goes up in doublings until the objectives are not met; from there on each load is
//! made near the rate that is as likely above as below what is looked for, by all that came of the
//! loads so far. That rate is the answer in the end, and how sure it is comes with it. (QUEST, Watson
//! and Pelli 1983; that how wide the knee is need not be known is of Kontsevich and Tyler 1999.)
//! Pure: it says what to try next and is told what came of it.

use callrig_reports::gate::Outcome;

/// A step of the rates that are thought of, as a logarithm.
const STEP: f64 = 0.005;
/// How wide a knee may be: within this, as a logarithm, the chance of a load to meet the objectives
/// falls from a half to a quarter, about.
const WIDTHS: [f64; 5] = [0.01, 0.02, 0.04, 0.08, 0.16];
/// Where the loads are made, in turn, as parts of what is believed: from loads at its middle alone
/// nothing would be learnt of how wide the knee is.
const BESIDE: [f64; 4] = [0.3, 0.5, 0.7, 0.5];
/// So many loads came out wrong for reasons of their own.
const LAPSE: f64 = 0.1;
/// So many loads are made once there is a rate at which the objectives are not met.
const LOADS: usize = 20;
/// So many of them that nobody could judge leave no answer.
const BLIND_MAX: usize = LOADS / 4;
/// A first rate is too much when it is not met so often in a row, and a doubled one when it is not
/// so often but once: either may have been disturbed.
const TRIES_MAX: u32 = 3;

/// The search.
#[derive(Clone, Debug, PartialEq)]
pub struct Knee {
    first: f64,
    most: f64,
    next: f64,
    /// How often this rate was tried in vain.
    tries: u32,
    /// Whether it still doubles.
    rising: bool,
    all: usize,
    /// What is believed of a knee at the first rate and so many steps above it, of each width.
    belief: Vec<[f64; WIDTHS.len()]>,
    /// The loads since it no longer doubles: their rates, and what came of them.
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
        /// Between which rates it lies, at 95 %.
        within: (f64, f64),
        /// How many loads were made around it.
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
    /// Begins at a rate, and never tries more than `most`: both are numbers above 0.
    #[must_use]
    pub fn new(first: f64, most: f64) -> Self {
        let steps = ((most / first).ln().max(0.0) / STEP).ceil() as usize + 1;
        Self {
            first,
            most,
            next: first,
            tries: 0,
            rising: true,
            all: 0,
            belief: vec![[1.0; WIDTHS.len()]; steps],
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
        let left = if self.ended.is_some() { 0 } else { LOADS.saturating_sub(self.counted.len()) };
        (self.all, self.all + left)
    }

    /// What came of the last try.
    pub fn tried(&mut self, outcome: Outcome) {
        self.all += 1;
        let met = outcome == Outcome::Clear;
        if !met {
            self.tries += 1;
            let tries = match outcome {
                _ if self.rising && self.next <= self.first => TRIES_MAX,
                Outcome::Regressed if !self.rising => 1,
                _ => TRIES_MAX - 1,
            };
            if self.tries < tries {
                return;
            }
        }
        self.tries = 0;
        match outcome {
            Outcome::Clear => self.met.push(self.next),
            Outcome::Inconclusive => self.blind.push(self.next),
            Outcome::Regressed => {}
        }
        self.believe(met);
        match outcome {
            Outcome::Clear if self.rising => {
                self.ended = (self.next >= self.most).then_some(Found::AtLeast(self.most));
                self.next = (2.0 * self.next).min(self.most);
            }
            Outcome::Regressed if self.rising && self.next <= self.first => {
                self.ended = Some(Found::NotAt(self.first));
            }
            Outcome::Inconclusive if self.rising && self.next <= self.first => {
                self.ended = Some(self.not_measurable());
            }
            _ => {
                self.rising = false;
                self.counted.push((self.next, outcome));
                self.next = self.quantile(BESIDE[self.counted.len() % BESIDE.len()]);
                self.ended = self.end();
            }
        }
    }

    /// What the last load says of each knee.
    fn believe(&mut self, met: bool) {
        let above = (self.next / self.first).ln();
        let mut sum = 0.0;
        for (steps, widths) in self.belief.iter_mut().enumerate() {
            let below = steps as f64 * STEP - above;
            for (belief, width) in widths.iter_mut().zip(WIDTHS) {
                let chance = 1.0 / (1.0 + (-below / width).exp());
                let chance = LAPSE / 2.0 + (1.0 - LAPSE) * chance;
                *belief *= if met { chance } else { 1.0 - chance };
                sum += *belief;
            }
        }
        for belief in self.belief.iter_mut().flatten() {
            *belief /= sum;
        }
    }

    /// The rate below which the knee lies by so much of what is believed.
    fn quantile(&self, part: f64) -> f64 {
        let mut sum = 0.0;
        let steps = self.belief.iter().position(|widths| {
            sum += widths.iter().sum::<f64>();
            sum >= part
        });
        let steps = steps.unwrap_or(self.belief.len() - 1);
        (self.first * (steps as f64 * STEP).exp()).min(self.most)
    }

    /// Whether that was the last one.
    fn end(&self) -> Option<Found> {
        let count = |wanted| self.counted.iter().filter(|(_, came)| *came == wanted).count();
        if count(Outcome::Inconclusive) >= BLIND_MAX {
            return Some(self.not_measurable());
        }
        if self.counted.len() < LOADS {
            return None;
        }
        Some(match self.quantile(0.5) {
            rate if rate <= self.first => Found::NotAt(self.first),
            rate if rate >= self.most => Found::AtLeast(self.most),
            rate => Found::At {
                rate,
                within: (self.quantile(0.025), self.quantile(0.975)),
                loads: self.counted.len(),
                met: count(Outcome::Clear),
            },
        })
    }

    fn not_measurable(&self) -> Found {
        let at = self.blind.iter().copied().reduce(f64::min).unwrap_or(self.next);
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
            assert!(tries < 100, "it ends");
        }
        (search.poll(), tries)
    }

    fn sharp(knee: f64) -> impl FnMut(f64) -> Outcome {
        move |rate| if rate <= knee { Outcome::Clear } else { Outcome::Regressed }
    }

    #[test]
    fn any_sharp_knee_is_found() {
        for knee in [1.5, 10.0, 333.0, 5_000.0, 99_000.0] {
            let (found, tries) = search(Knee::new(1.0, 1e6), sharp(knee));
            let Found::At { rate, within: (low, high), loads, met } = found else {
                panic!("{knee}: {found:?}")
            };
            assert!((rate / knee).ln().abs() < 0.02, "{knee}: {found:?}");
            assert!(low <= knee && knee < high && (1..loads).contains(&met), "{knee}: {found:?}");
            assert!((high / low).ln() < 0.12, "{knee}: {found:?}");
            // As many as it takes to double up to there, and twice at the end of that.
            assert_eq!(tries, knee.log2() as usize + 1 + 1 + LOADS);
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
    fn noisy(searches: u64) -> (Vec<(f64, f64, f64)>, usize) {
        let mut most = 0;
        let found = (0..searches).map(|seed| {
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
                Found::At { rate, within: (low, high), .. } => (rate, low, high),
                found => panic!("{seed}: {found:?}"),
            }
        });
        (found.collect(), most)
    }

    #[test]
    fn loads_that_came_out_wrong_hardly_move_it() {
        let (found, most) = noisy(200);
        let rates: Vec<f64> = found.iter().map(|(rate, ..)| *rate).collect();
        let mean = rates.iter().sum::<f64>() / rates.len() as f64;
        let squares = rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>();
        let variation = (squares / (rates.len() as f64 - 1.0)).sqrt() / mean;
        assert!(variation < 0.03, "{variation}");
        assert!((mean / 800.0).ln().abs() < 0.03, "{mean}");
        // 100, 200, 400, 800 and 1,600, twice at most, and those that count.
        assert!(most <= 10 + LOADS, "{most}");
        let within = found.iter().filter(|(_, low, high)| (*low..=*high).contains(&800.0));
        assert!(within.count() >= 180, "its own bounds hold nine times in ten at least");
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
            assert!(good <= blind && blind < at && (at / good).ln() < 0.15, "{found:?}");
        }
    }

    #[test]
    fn a_knee_below_what_cannot_be_measured_is_found() {
        let (found, _) = search(Knee::new(100.0, 1e6), |rate| match rate {
            rate if rate > 1_150.0 => Outcome::Inconclusive,
            rate => sharp(900.0)(rate),
        });
        let Found::At { rate, .. } = found else { panic!("{found:?}") };
        assert!((rate / 900.0).ln().abs() < 0.02, "{rate}");
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
        assert!((rate / 777.0).ln().abs() < 0.02, "{rate}");
    }
}
