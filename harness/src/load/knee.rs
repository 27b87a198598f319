//! The highest rate at which the objectives are met: found by doubling, then by halving what is
//! left between. Where nobody can say (the generator is at its own end), what is measurable below
//! is halved in the same way, so that the answer names a rate that was seen, not a power of two.
//! Pure: it says what to try next and is told what came of it.

use callrig_reports::gate::Outcome;

/// Rates are told apart to this part of themselves.
const PRECISION: f64 = 0.04;
/// So often the same rate is tried where nobody could say.
const TRIES_MAX: u32 = 3;

/// The search.
#[derive(Clone, Debug, PartialEq)]
pub struct Knee {
    good: Option<f64>,
    bad: Option<f64>,
    blind: Option<f64>,
    next: f64,
    most: f64,
    tries: u32,
}

/// What the search has found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found {
    /// Try this rate.
    Try(f64),
    /// The objectives are met at `good` and broken at `bad`.
    Between {
        /// Calls per second.
        good: f64,
        /// Calls per second.
        bad: f64,
    },
    /// Not even the first rate meets them.
    NotAt(f64),
    /// They are met at the highest rate that may be tried.
    AtLeast(f64),
    /// At this rate nobody can say: the generator is at its own end, or the machine is.
    NotMeasurable {
        /// The lowest such rate.
        at: f64,
        /// The highest rate at which they were met, next to it.
        good: Option<f64>,
    },
}

impl Knee {
    /// Begins at a rate, and never tries more than `most`.
    #[must_use]
    pub const fn new(first: f64, most: f64) -> Self {
        Self { good: None, bad: None, blind: None, next: first, most, tries: 0 }
    }

    /// What to do next.
    #[must_use]
    pub fn poll(&self) -> Found {
        match (self.good, self.ceiling()) {
            (Some(good), Some(end)) if end - good <= PRECISION * end => self.end(Some(good), end),
            (None, Some(end)) => self.end(None, end),
            (Some(good), None) if good >= self.most => Found::AtLeast(good),
            _ => Found::Try(self.next),
        }
    }

    /// The lowest rate that is known not to be good.
    fn ceiling(&self) -> Option<f64> {
        [self.bad, self.blind].into_iter().flatten().reduce(f64::min)
    }

    /// What stands right above what is good: a rate that breaks them, or one at which nobody can
    /// say. (Of two that are one, the one that was judged.)
    fn end(&self, good: Option<f64>, end: f64) -> Found {
        match (good, self.bad) {
            (Some(good), Some(bad)) if bad <= end => Found::Between { good, bad },
            (None, Some(bad)) if bad <= end => Found::NotAt(bad),
            _ => Found::NotMeasurable { at: end, good },
        }
    }

    /// What came of the last try.
    pub fn tried(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Clear => self.good = Some(self.next),
            Outcome::Regressed => self.bad = Some(self.next),
            Outcome::Inconclusive => {
                self.tries += 1;
                if self.tries < TRIES_MAX {
                    return;
                }
                self.blind = Some(self.next);
            }
        }
        self.tries = 0;
        self.next = match (self.good, self.ceiling()) {
            (Some(good), Some(end)) => f64::midpoint(good, end),
            (Some(good), None) => (2.0 * good).min(self.most),
            (None, _) => self.next,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(first: f64, most: f64, knee: f64) -> (Found, u32) {
        let mut search = Knee::new(first, most);
        let mut tries = 0;
        while let Found::Try(rate) = search.poll() {
            search.tried(if rate <= knee { Outcome::Clear } else { Outcome::Regressed });
            tries += 1;
            assert!(tries < 50, "it ends");
        }
        (search.poll(), tries)
    }

    #[test]
    fn any_knee_is_found_within_four_per_cent() {
        for knee in [1.5, 10.0, 333.0, 5_000.0, 99_000.0] {
            let (found, tries) = search(1.0, 1e6, knee);
            let Found::Between { good, bad } = found else { panic!("{found:?}") };
            assert!(good <= knee && knee < bad && bad - good <= 0.04 * bad, "{knee}: {found:?}");
            assert!(tries < 30);
        }
    }

    #[test]
    fn what_has_no_knee_says_so() {
        assert_eq!(search(100.0, 1e3, 50.0).0, Found::NotAt(100.0));
        assert_eq!(search(100.0, 1e3, 1e9).0, Found::AtLeast(1e3));
        let mut search = Knee::new(10.0, 1e3);
        for _ in 0..3 {
            assert_eq!(search.poll(), Found::Try(10.0));
            search.tried(Outcome::Inconclusive);
        }
        assert_eq!(search.poll(), Found::NotMeasurable { at: 10.0, good: None });
    }

    #[test]
    fn below_what_cannot_be_measured_the_search_goes_on() {
        for (knee, blind) in [(1e9, 1_150.0), (900.0, 1_150.0), (1_150.0, 900.0), (1e9, 201.0)] {
            let mut search = Knee::new(100.0, 1e6);
            let mut tries = 0;
            while let Found::Try(rate) = search.poll() {
                search.tried(match rate {
                    rate if rate > blind => Outcome::Inconclusive,
                    rate if rate > knee => Outcome::Regressed,
                    _ => Outcome::Clear,
                });
                tries += 1;
                assert!(tries < 60, "it ends");
            }
            let end = f64::min(knee, blind);
            let (good, above) = match search.poll() {
                Found::Between { good, bad } if knee < blind => (good, bad),
                Found::NotMeasurable { at, good: Some(good) } if blind < knee => (good, at),
                found => panic!("{knee}, {blind}: {found:?}"),
            };
            assert!(good <= end && end < above && above - good <= 0.04 * above, "{good} {above}");
        }
    }

    #[test]
    fn one_try_that_nobody_could_judge_is_only_tried_again() {
        let mut search = Knee::new(10.0, 1e3);
        search.tried(Outcome::Inconclusive);
        search.tried(Outcome::Clear);
        assert_eq!(search.poll(), Found::Try(20.0));
    }
}
