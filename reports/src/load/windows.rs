//! When the generator was late, and what that can have done to the calls around it.

use std::collections::BTreeMap;

use super::samples::Sample;

/// The length of a window in which the generator is judged.
pub const WINDOW_NANOS: u64 = 1_000_000_000;

/// The windows of a load, by how late the generator was in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Windows {
    /// The greatest lateness of each window that had a call.
    late: BTreeMap<u64, u64>,
}

/// The times for which a service was busy, each from a call that meets no other until all that came
/// meanwhile have ended: the greatest lateness of all windows that one touches, by when it begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Busy(BTreeMap<u64, u64>);

impl Windows {
    /// The windows of these calls.
    #[must_use]
    pub fn of(calls: &[Sample]) -> Self {
        let mut late = BTreeMap::new();
        for call in calls {
            let latest: &mut u64 = late.entry(call.intended / WINDOW_NANOS).or_default();
            *latest = (*latest).max(call.late);
        }
        Self { late }
    }

    /// When the service was busy with these calls.
    #[must_use]
    pub fn busy(&self, calls: &[Sample]) -> Busy {
        let mut times: Vec<_> = calls.iter().map(|call| (call.intended, call.end())).collect();
        times.sort_unstable();
        let mut busy = BTreeMap::new();
        let mut times = times.into_iter().peekable();
        while let Some((begin, mut end)) = times.next() {
            while let Some((_, other)) = times.next_if(|(begin, _)| *begin <= end) {
                end = end.max(other);
            }
            let touched = self.late.range(begin / WINDOW_NANOS..=end / WINDOW_NANOS);
            busy.insert(begin, touched.map(|(_, late)| *late).max().unwrap_or_default());
        }
        Busy(busy)
    }

    /// Whether a window is void where the generator may be so late.
    #[must_use]
    pub fn is_void(&self, intended: u64, late_max: u64) -> bool {
        self.late.get(&(intended / WINDOW_NANOS)).is_some_and(|late| *late > late_max)
    }

    /// How many windows there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.late.len() as u64
    }

    /// How many of them are void.
    #[must_use]
    pub fn void(&self, late_max: u64) -> u64 {
        self.late.values().filter(|late| **late > late_max).count() as u64
    }
}

impl Busy {
    /// By how much what a call met can be later than it would have been, had the generator never
    /// been late. Where work is done in the order in which it comes, a call that comes later delays
    /// those behind it by no more than that, and only until all have ended.
    #[must_use]
    pub fn delay(&self, intended: u64) -> u64 {
        self.0.range(..=intended).next_back().map_or(0, |(_, late)| *late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(intended_ms: u64, late_ms: u64, latency_ms: u64) -> Sample {
        let nanos = |ms: u64| ms * 1_000_000;
        Sample {
            intended: nanos(intended_ms),
            late: nanos(late_ms),
            latency: nanos(latency_ms),
            ..Sample::default()
        }
    }

    #[test]
    fn lateness_reaches_no_further_than_what_it_kept_busy() {
        // Late in the first second, which is over when the second one begins; and in the fourth,
        // in which something ends that began in the third.
        let calls = [
            call(900, 50, 60),
            call(1_100, 0, 10),
            call(2_500, 0, 700),
            call(2_600, 0, 10),
            call(3_300, 30, 40),
            call(3_900, 0, 10),
        ];
        let windows = Windows::of(&calls);
        let busy = windows.busy(&calls);
        let delays: Vec<_> =
            calls.iter().map(|call| busy.delay(call.intended) / 1_000_000).collect();
        assert_eq!(delays, [50, 0, 30, 30, 30, 30]);
        assert_eq!(busy.delay(0), 0);
        assert_eq!((windows.count(), windows.void(20_000_000)), (4, 2));
    }
}
