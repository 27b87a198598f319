//! Time: the rule that decides from pairs of measurements.
//!
//! The base and the candidate do the same piece of work in turn, in random order, a fraction of a
//! millisecond each, so that what disturbs one disturbs the other; of these pairs only the quotient
//! counts, and of many quotients the median. That is one replica. Two processes of one and the
//! same binary still differ by how their memory happens to lie, so replicas in fresh processes are
//! the sample, not pairs. Of them the highest and the lowest tenth are left out, since now and then
//! a process lies so badly that it takes half as long again: the mean of the others has an interval
//! by Student's t (Tukey and McLaughlin's, by the winsorized variance; Yuen 1974).
//!
//! The same source linked in another order differs by more than that, up to a tenth of its time
//! where a loop lies badly. Where each replica has a link of its own, of the base and of the
//! candidate, that is scatter like any other, and averages out; where there is one link of each it
//! is a part of what is found, and a change of its size has to be allowed.
//!
//! The rule looks after 6, 8, 10, 12, 16, 20, 28, 40, 56, 80 and 112 replicas and stops when it knows.
//! The chance of a false alarm is divided over the looks and over all metrics of the gate
//! (Bonferroni's inequality holds whatever depends on what); so is the chance to call clear what is
//! worse than the target. Beside the interval there is a sign test: where replicas lie in one of
//! two places, as memory does, six of them agree by chance once in 64 times, and no interval
//! knows. Twelve agree once in 4,096 times, so it alarms after twelve at the earliest, and after
//! more if as many point one way as happens no more often by chance.

use super::distribution::student;
use super::{Effect, Finding};
use crate::stats;

/// After how many replicas the rule looks.
pub const LOOKS: [usize; 11] = [6, 8, 10, 12, 16, 20, 28, 40, 56, 80, 112];
/// Before so many it does not alarm, however sure it seems.
pub const ALARMS_FROM: usize = 12;
/// At how many looks it may alarm.
const ALARM_LOOKS: f64 = 8.0;
/// How often as many replicas may point one way by chance: as often as twelve of twelve.
const AGREEMENT: f64 = 1.0 / 4_096.0;

/// When time is worse, when it is clear, and how sure that must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// A change that is allowed, since the same source built twice may differ so.
    pub allowed: f64,
    /// Clear means: no worse than this.
    pub target: f64,
    /// The chance of a false alarm of one metric, all looks together.
    pub false_alarm: f64,
    /// The chance to call clear what is worse than the target, all looks together.
    pub miss: f64,
    /// So many replicas there are at most; what is not known after them is unresolved.
    pub most: usize,
}

/// The goals: one in a thousand per metric, one in a hundred per gate.
const FALSE_ALARM_METRIC: f64 = 0.001;
const FALSE_ALARM_GATE: f64 = 0.01;
/// 95 % power.
const MISS: f64 = 0.05;

impl Rule {
    /// The rule for each of so many metrics.
    #[must_use]
    pub fn for_metrics(metrics: usize, allowed: f64, target: f64) -> Self {
        let false_alarm = (FALSE_ALARM_GATE / metrics.max(1) as f64).min(FALSE_ALARM_METRIC);
        Self { allowed, target, false_alarm, miss: MISS, most: LOOKS[LOOKS.len() - 1] }
    }

    /// Whether the rule looks at so many replicas.
    #[must_use]
    pub fn looks_at(replicas: usize) -> bool {
        LOOKS.contains(&replicas)
    }

    /// What is known after these replicas (each the median of the logarithms of quotients).
    #[must_use]
    pub fn look(&self, replicas: &[f64]) -> Look {
        let count = replicas.len();
        let looks = LOOKS.len() as f64;
        let Middle { mean, error, freedom } = middle(replicas);
        let alarm = student(freedom, self.false_alarm / ALARM_LOOKS) * error;
        let clear = student(freedom, self.miss / looks) * error;
        let finite = mean.is_finite() && alarm.is_finite();
        let effect = Effect {
            estimate: mean.exp_m1(),
            low: if finite { (mean - alarm).exp_m1() } else { -1.0 },
            high: if finite { (mean + alarm).exp_m1() } else { f64::MAX },
            detectable: if finite {
                (self.allowed.ln_1p() + alarm + clear).exp_m1()
            } else {
                f64::MAX
            },
        };
        let enough = count >= LOOKS[0] && finite;
        let one_way = |sign: f64| {
            agree(replicas.iter().filter(|replica| **replica * sign > 0.0).count(), count)
        };
        let finding = if !enough {
            None
        } else if count >= ALARMS_FROM && effect.low > self.allowed && one_way(1.0) {
            Some(Finding::Worse)
        } else if effect.high < -self.allowed && one_way(-1.0) {
            Some(Finding::Better)
        } else if (mean + clear).exp_m1() <= self.target {
            Some(if mean.exp_m1() > self.allowed { Finding::Within } else { Finding::Same })
        } else if count >= self.most.min(LOOKS[LOOKS.len() - 1]) {
            Some(Finding::Unresolved)
        } else {
            None
        };
        Look { finding, effect, replicas: count }
    }
}

/// Whether it happens by chance no more often than `AGREEMENT` that so many of `count` replicas,
/// or more, point one way.
fn agree(pointing: usize, count: usize) -> bool {
    // Chances of 0, 1, 2... of them to point the other way, one from the other.
    let mut chance = 0.5_f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
    let mut tail = 0.0;
    for other in 0..=count - pointing {
        tail += chance;
        chance *= (count - other) as f64 / (other + 1) as f64;
    }
    tail <= AGREEMENT
}

/// What is known at a look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// The decision; `None` as long as more replicas are needed.
    pub finding: Option<Finding>,
    /// How much slower the candidate is.
    pub effect: Effect,
    /// From so many replicas.
    pub replicas: usize,
}

/// Where the replicas lie.
struct Middle {
    /// The mean without the highest and the lowest tenth.
    mean: f64,
    /// Its standard error.
    error: f64,
    /// Of that error.
    freedom: usize,
}

/// A spread of exactly nothing over several replicas is a clock's doing, and no proof: an error of
/// half a part in ten thousand is assumed at least.
fn middle(replicas: &[f64]) -> Middle {
    const LEAST: f64 = 5e-5;
    let mut sorted = replicas.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (count, cut) = (sorted.len(), sorted.len() / 10);
    let kept = count - 2 * cut;
    let mean = stats::mean(&sorted[cut..count - cut]).unwrap_or(0.0);
    if count < 2 {
        return Middle { mean, error: f64::INFINITY, freedom: 0 };
    }
    let (low, high) = (sorted[cut], sorted[count - 1 - cut]);
    for replica in &mut sorted {
        *replica = if *replica < low { low } else { replica.min(high) };
    }
    let among = stats::mean(&sorted).unwrap_or(0.0);
    let squares: f64 = sorted.iter().map(|replica| (replica - among).powi(2)).sum();
    let deviation = (squares / (count as f64 - 1.0)).sqrt();
    let error = deviation * (count as f64).sqrt() / kept as f64;
    Middle { mean, error: error.max(LEAST), freedom: kept - 1 }
}

/// Why pairs make no replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    /// There are none, or too few to speak of a median.
    #[error("only {0} pairs, {PAIRS_MIN} are needed")]
    Few(usize),
    /// A clock showed no time where work was done.
    #[error("the clock stood still in {still} of {of} measurements")]
    Still {
        /// How many.
        still: usize,
        /// Of how many.
        of: usize,
    },
}

/// The fewest pairs of a replica.
pub const PAIRS_MIN: usize = 5;

/// One replica of pairs (nanoseconds of the base, of the candidate): the median of the logarithms
/// of the quotients.
///
/// # Errors
/// Too few pairs, or a clock that stands still: more than one measurement in twenty took no time,
/// or all took exactly the same.
pub fn replica(pairs: &[(u64, u64)]) -> Result<f64, PairError> {
    if pairs.len() < PAIRS_MIN {
        return Err(PairError::Few(pairs.len()));
    }
    let of = 2 * pairs.len();
    let still = pairs.iter().map(|(a, b)| usize::from(*a == 0) + usize::from(*b == 0)).sum();
    let first = pairs[0].0;
    if pairs.iter().all(|(a, b)| *a == first && *b == first) {
        return Err(PairError::Still { still: of, of });
    }
    if still * 20 > of {
        return Err(PairError::Still { still, of });
    }
    let mut quotients: Vec<f64> = pairs
        .iter()
        .filter(|(a, b)| *a > 0 && *b > 0)
        .map(|(a, b)| (*b as f64 / *a as f64).ln())
        .collect();
    quotients.sort_by(f64::total_cmp);
    let middle = quotients.len() / 2;
    Ok(if quotients.len() % 2 == 1 {
        quotients[middle]
    } else {
        f64::midpoint(quotients[middle - 1], quotients[middle])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule =
        Rule { allowed: 0.025, target: 0.04, false_alarm: 0.001, miss: 0.05, most: 20 };

    fn around(center: f64, spread: f64, count: usize) -> Vec<f64> {
        (0..count).map(|n| center + if n % 2 == 0 { spread } else { -spread }).collect()
    }

    #[test]
    fn the_interval_is_students_in_closed_form() {
        // Six replicas at mean ± s: the standard error is s / sqrt(5).
        let look = RULE.look(&around(0.05, 0.002, 6));
        let half = student(5, 0.001 / 8.0) * 0.002 / 5.0_f64.sqrt();
        assert!((look.effect.low - (0.05 - half).exp_m1()).abs() < 1e-12);
        assert!((look.effect.high - (0.05 + half).exp_m1()).abs() < 1e-12);
        assert!((look.effect.estimate - 0.05_f64.exp_m1()).abs() < 1e-12);
    }

    #[test]
    fn of_many_replicas_the_tenth_at_either_end_says_nothing_of_where_they_lie() {
        // 1 to 20, by hand: 3 to 18 are kept; winsorized, 3 and 18 stand three times each, so the
        // squares are 3 * 2 * 7.5^2 and twice those of 0.5 to 6.5.
        let replicas: Vec<f64> = (1..=20).map(f64::from).collect();
        let squares =
            6.0 * 7.5 * 7.5 + 2.0 * (0..7).map(|n| (f64::from(n) + 0.5).powi(2)).sum::<f64>();
        let by_hand = (squares / 19.0).sqrt() * 20.0_f64.sqrt() / 16.0;
        let found = middle(&replicas);
        assert!((found.mean - 10.5).abs() < 1e-12);
        assert!((found.error - by_hand).abs() < 1e-12, "{} {by_hand}", found.error);
        assert_eq!(found.freedom, 15);
        let mut wild = replicas;
        (wild[0], wild[19]) = (-1e9, 1e9);
        assert!((middle(&wild).error - by_hand).abs() < 1e-12);
    }

    #[test]
    fn it_stops_as_soon_as_it_knows_and_not_before() {
        assert_eq!(RULE.look(&around(0.05, 0.0005, 5)).finding, None, "five are too few");
        assert_eq!(RULE.look(&around(0.05, 0.0005, 10)).finding, None, "they may agree by chance");
        assert_eq!(RULE.look(&around(0.05, 0.0005, 12)).finding, Some(Finding::Worse));
        assert_eq!(RULE.look(&around(0.0, 0.002, 6)).finding, Some(Finding::Same));
        assert_eq!(RULE.look(&around(-0.05, 0.0005, 12)).finding, Some(Finding::Better));
        assert_eq!(RULE.look(&around(0.05, 0.04, 6)).finding, None, "too wide to say");
        assert_eq!(RULE.look(&around(0.03, 0.04, 20)).finding, Some(Finding::Unresolved));
        assert_eq!(RULE.look(&[]).finding, None);
        assert_eq!(RULE.look(&[f64::NAN; 6]).finding, None);
    }

    #[test]
    fn replicas_that_point_the_other_way_hold_the_alarm() {
        for (others, finding) in [(2, Finding::Worse), (3, Finding::Unresolved)] {
            let mut replicas = vec![0.3; 20 - others];
            replicas.extend(vec![-0.001; others]);
            let look = RULE.look(&replicas);
            assert!(look.effect.low > RULE.allowed, "by the interval alone it would be worse");
            assert_eq!(look.finding, Some(finding), "{others}");
        }
        // Of n fair coins, as the tables have it: the fewest heads that come no more often.
        for (count, least) in [(11, 12), (12, 12), (16, 16), (20, 18), (28, 24), (40, 32), (80, 56)]
        {
            let found = (0..=count).find(|pointing| agree(*pointing, count)).unwrap_or(count + 1);
            assert_eq!(found, least, "{count}");
        }
    }

    #[test]
    fn a_clock_that_stands_still_makes_no_replica() {
        assert_eq!(replica(&[(0, 0); 20]), Err(PairError::Still { still: 40, of: 40 }));
        assert_eq!(replica(&[(7, 7); 20]), Err(PairError::Still { still: 40, of: 40 }));
        assert_eq!(replica(&[(1, 2); 4]), Err(PairError::Few(4)));
        assert_eq!(replica(&[]), Err(PairError::Few(0)));
        let mut pairs = vec![(100, 100); 9];
        pairs.extend([(100, 110), (0, 100)]);
        assert_eq!(replica(&pairs), Ok(0.0), "one in twenty-two is dust");
    }

    #[test]
    fn more_metrics_ask_for_more_proof() {
        assert!((Rule::for_metrics(1, 0.0, 0.1).false_alarm - 0.001).abs() < 1e-15);
        assert!((Rule::for_metrics(200, 0.0, 0.1).false_alarm - 5e-5).abs() < 1e-15);
    }
}
