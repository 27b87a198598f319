//! How much an app may ask: requests a second, calls at once, calls a month. Too much is
//! answered with 429 and a `Retry-After` after which the same request goes through
//! (documented limits: 2,000 requests a second, 100 calls at once, 10,000 calls a month;
//! that the bodies are those of the API's other throttled routes is inferred).

use core::time::Duration;
use std::collections::BTreeMap;

use callrig_media::time::Instant;

use super::Service;
use super::reply::ApiError;
use crate::id::AppId;

/// What counts as a month.
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

/// When an app that has as many calls as it may should try again.
const RETRY_AFTER_CALLS: u64 = 10;

/// What the apps have used up. Bounded by the directory: only known apps get here.
#[derive(Debug, Default)]
pub(crate) struct Quotas {
    /// By when the requests so far are paid for, each with its share of a second.
    paid_until: BTreeMap<AppId, Instant>,
    /// When the month began, and how many calls it has seen.
    month: BTreeMap<AppId, (Instant, u64)>,
}

impl Quotas {
    /// Takes a request in, or says how long to wait: as many as `per_second` at once, and
    /// then as they are paid for.
    fn take_request(&mut self, now: Instant, app: &AppId, per_second: u32) -> Result<(), Duration> {
        if per_second == 0 {
            return Ok(());
        }
        let share = Duration::from_secs(1) / per_second;
        let paid_until = self.paid_until.get(app).copied().unwrap_or(now).max(now);
        let ahead = paid_until.since(now) + share;
        if ahead > Duration::from_secs(1) {
            return Err(ahead - Duration::from_secs(1));
        }
        self.paid_until.insert(app.clone(), paid_until + share);
        Ok(())
    }

    fn month_of(&self, now: Instant, app: &AppId) -> Option<(Instant, u64)> {
        self.month.get(app).copied().filter(|(began, _)| now.since(*began) < MONTH)
    }

    /// A call counts.
    pub(crate) fn count_call(&mut self, now: Instant, app: &AppId) {
        let (began, calls) = self.month_of(now, app).unwrap_or((now, 0));
        self.month.insert(app.clone(), (began, calls + 1));
    }
}

/// Whole seconds, at least one.
fn seconds_of(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0).max(u64::from(wait.is_zero()))
}

impl Service {
    /// A request of this app counts; whether it may still be served.
    pub(super) fn take_request(&mut self, now: Instant, app: &AppId) -> Result<(), ApiError> {
        let most = self.config.limits.requests_per_second_max;
        self.quotas.take_request(now, app, most).map_err(|wait| {
            let message = format!("The app may make {most} requests a second.");
            ApiError::too_many(message, seconds_of(wait))
        })
    }

    /// Whether the app may have one more call.
    pub(super) fn has_room_for_call(&self, app: &AppId) -> bool {
        self.calls_per_app.get(app).copied().unwrap_or(0) < self.config.limits.calls_per_app_max
    }

    /// Whether the app may make one more call.
    pub(super) fn check_room_for_call(&self, now: Instant, app: &AppId) -> Result<(), ApiError> {
        if !self.has_room_for_call(app) {
            let most = self.config.limits.calls_per_app_max;
            let message = format!("The app has {most} calls, which is as many as it may.");
            return Err(ApiError::too_many(message, RETRY_AFTER_CALLS));
        }
        let most = self.config.limits.calls_per_month_max;
        match self.quotas.month_of(now, app) {
            Some((began, calls)) if most > 0 && calls >= most => {
                let message = "Application reached the monthly call creation limit.";
                let wait = MONTH.saturating_sub(now.since(began));
                Err(ApiError::too_many(message, seconds_of(wait)))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_is_served_and_then_what_was_promised() {
        let (app, mut quotas) = (AppId::new("a"), Quotas::default());
        let now = Instant::ZERO;
        for _ in 0..10 {
            assert_eq!(quotas.take_request(now, &app, 10), Ok(()));
        }
        let wait = quotas.take_request(now, &app, 10).expect_err("it is too much");
        assert_eq!(wait, Duration::from_millis(100));
        assert!(quotas.take_request(now, &AppId::new("b"), 10).is_ok());
        assert_eq!(quotas.take_request(now + wait, &app, 10), Ok(()));
        assert_eq!(seconds_of(wait), 1);
        assert_eq!(seconds_of(Duration::from_secs(2)), 2);
    }

    proptest! {
        #[test]
        fn no_second_serves_more_than_twice_the_rate_and_a_wait_is_never_too_short(
            rate in 1_u32..50,
            gaps in proptest::collection::vec(0_u64..80, 1..300),
        ) {
            let (app, mut quotas) = (AppId::new("a"), Quotas::default());
            let mut now = Instant::ZERO;
            let mut served: Vec<Instant> = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap);
                match quotas.take_request(now, &app, rate) {
                    Ok(()) => served.push(now),
                    Err(wait) => {
                        prop_assert!(wait <= Duration::from_secs(1));
                        now += wait;
                        prop_assert_eq!(quotas.take_request(now, &app, rate), Ok(()));
                        served.push(now);
                    }
                }
                let second = served.iter().rev();
                let second = second.take_while(|at| now.since(**at) < Duration::from_secs(1));
                prop_assert!(second.count() <= 2 * rate as usize);
            }
        }
    }
}
