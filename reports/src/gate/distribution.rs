//! The two distributions that the gate needs: Student's, for means of few replicas, and the
//! beta, for the bounds of a rate.

use statrs::distribution::{Beta, ContinuousCDF as _, StudentsT};

/// The quantile of Student's t: with `freedom` degrees, `1 - tail` of the mass lies below it.
/// Infinite where there is no freedom or no tail.
#[must_use]
pub fn student(freedom: usize, tail: f64) -> f64 {
    if freedom == 0 || !(tail > 0.0 && tail < 1.0) {
        return f64::INFINITY;
    }
    StudentsT::new(0.0, 1.0, freedom as f64).map_or(f64::INFINITY, |t| -t.inverse_cdf(tail))
}

/// The one-sided upper Clopper-Pearson bound of a rate of which `events` were seen in `trials`,
/// at `confidence`.
#[must_use]
pub fn rate_at_most(events: u64, trials: u64, confidence: f64) -> f64 {
    if events >= trials {
        return 1.0;
    }
    let beta = Beta::new(events as f64 + 1.0, (trials - events) as f64);
    beta.map_or(1.0, |beta| beta.inverse_cdf(confidence))
}

/// The one-sided lower Clopper-Pearson bound.
#[must_use]
pub fn rate_at_least(events: u64, trials: u64, confidence: f64) -> f64 {
    1.0 - rate_at_most(trials.saturating_sub(events), trials, confidence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // Abramowitz and Stegun, table 26.10.
        for (freedom, tail, quantile) in [
            (1, 0.025, 12.706),
            (5, 0.05, 2.015),
            (5, 0.005, 4.032),
            (15, 0.001, 3.733),
            (10, 0.0005, 4.587),
        ] {
            let found = student(freedom, tail);
            assert!((found - quantile).abs() < 0.001, "{freedom} {tail}: {found}");
        }
        // One degree of freedom is Cauchy's distribution: cot(pi * tail).
        let tail = 1e-6;
        let cauchy = 1.0 / (core::f64::consts::PI * tail).tan();
        assert!((student(1, tail) / cauchy - 1.0).abs() < 1e-6);
        assert_eq!(student(0, 0.05), f64::INFINITY);
        assert_eq!(student(5, 0.0), f64::INFINITY);
    }

    #[test]
    fn a_rate_without_an_event_is_bounded_in_closed_form() {
        for trials in [1_u64, 10, 300, 3_000] {
            let exact = 1.0 - 0.05_f64.powf(1.0 / trials as f64);
            assert!((rate_at_most(0, trials, 0.95) - exact).abs() < 1e-9, "{trials}");
            let least = 0.05_f64.powf(1.0 / trials as f64);
            assert!((rate_at_least(trials, trials, 0.95) - least).abs() < 1e-9, "{trials}");
        }
        assert_eq!(rate_at_most(5, 5, 0.95), 1.0);
        assert_eq!(rate_at_most(0, 0, 0.95), 1.0);
        assert_eq!(rate_at_least(0, 5, 0.95), 0.0);
    }
}
