//! When to send RTCP (RFC 3550 section 6.2, 6.3 and appendix A.7): a share of the
//! bandwidth, spread over the members, at random within limits, reconsidered when the
//! time comes. Deviation: the least interval is configurable, between the "reduced
//! minimum" of section 6.2 and the customary 5 s.

use core::time::Duration;

use rand::RngExt;
use rand_pcg::Pcg64Mcg;

use crate::time::Instant;

/// Share of the session bandwidth for RTCP.
const RTCP_FRACTION: f64 = 0.05;
/// Share of that for senders, while they are few.
const SENDER_FRACTION: f64 = 0.25;
/// Makes up for timer reconsideration converging below the mean: e − 3/2.
const COMPENSATION: f64 = core::f64::consts::E - 1.5;
/// How much a packet changes the average size.
const SIZE_GAIN: f64 = 1.0 / 16.0;

/// What the interval depends on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions {
    /// Participants, ourselves included.
    pub members: usize,
    /// How many of them sent RTP lately.
    pub senders: usize,
    /// Whether we are one of those.
    pub we_sent: bool,
}

/// Schedules the reports of one participant.
#[derive(Clone, Debug)]
pub struct Interval {
    /// Bytes per second for RTCP of all participants.
    bandwidth: f64,
    minimum: f64,
    average_size: f64,
    initial: bool,
    previous: Instant,
    next: Instant,
}

/// What to do now that the time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Send a report, then tell its size with [`Interval::sent`].
    Send,
    /// There are more participants by now: not yet.
    Wait,
}

impl Interval {
    /// Starts at `now` in a session of `bandwidth` bits per second, with reports at least
    /// `minimum` apart on average.
    pub fn new(
        now: Instant,
        bandwidth: u64,
        minimum: Duration,
        conditions: Conditions,
        random: &mut Pcg64Mcg,
    ) -> Self {
        let mut interval = Self {
            bandwidth: bandwidth as f64 / 8.0 * RTCP_FRACTION,
            minimum: minimum.as_secs_f64(),
            // A sender report with CNAME on UDP and IPv4.
            average_size: 100.0,
            initial: true,
            previous: now,
            next: now,
        };
        interval.next = now + interval.draw(conditions, random);
        interval
    }

    /// When a report is due.
    #[must_use]
    pub const fn next(&self) -> Instant {
        self.next
    }

    /// Mean bytes of the RTCP datagrams seen, lower layers included.
    #[must_use]
    pub const fn average_size(&self) -> f64 {
        self.average_size
    }

    /// The interval before it is spread at random, in seconds (RFC 3550 section 6.3.1).
    #[must_use]
    pub fn deterministic(&self, conditions: Conditions) -> f64 {
        let Conditions { members, senders, we_sent } = conditions;
        let minimum = if self.initial { self.minimum / 2.0 } else { self.minimum };
        let (mut bandwidth, mut sharing) = (self.bandwidth, members as f64);
        if senders as f64 <= members as f64 * SENDER_FRACTION {
            if we_sent {
                bandwidth *= SENDER_FRACTION;
                sharing = senders as f64;
            } else {
                bandwidth *= 1.0 - SENDER_FRACTION;
                sharing -= senders as f64;
            }
        }
        (self.average_size * sharing / bandwidth).max(minimum)
    }

    fn draw(&self, conditions: Conditions, random: &mut Pcg64Mcg) -> Duration {
        let spread = random.random::<f64>() + 0.5;
        Duration::from_secs_f64(self.deterministic(conditions) * spread / COMPENSATION)
    }

    /// The time has come: reconsiders it (section 6.3.6).
    pub fn expire(
        &mut self,
        now: Instant,
        conditions: Conditions,
        random: &mut Pcg64Mcg,
    ) -> Expiry {
        let due = self.previous + self.draw(conditions, random);
        if due <= now {
            return Expiry::Send;
        }
        self.next = due;
        Expiry::Wait
    }

    /// A report of ours left, in so many bytes of UDP payload; schedules the next one.
    pub fn sent(
        &mut self,
        now: Instant,
        payload_length: usize,
        conditions: Conditions,
        random: &mut Pcg64Mcg,
    ) {
        self.observe(payload_length);
        self.previous = now;
        self.initial = false;
        self.next = now + self.draw(conditions, random);
    }

    /// Somebody's RTCP passed by.
    pub fn observe(&mut self, payload_length: usize) {
        // 28: headers of IPv4 and UDP (section 6.2).
        let size = payload_length as f64 + 28.0;
        self.average_size += SIZE_GAIN * (size - self.average_size);
    }

    /// Members left: their share is ours from now on (section 6.3.4).
    pub fn leave(&mut self, now: Instant, members_before: usize, members: usize) {
        if members < members_before && members_before > 0 {
            let shrink =
                |duration: Duration| duration.mul_f64(members as f64 / members_before as f64);
            self.next = now + shrink(self.next.since(now));
            self.previous = now - shrink(now.since(self.previous));
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const PAIR: Conditions = Conditions { members: 2, senders: 2, we_sent: true };

    fn interval(minimum_ms: u64, seed: u64) -> (Interval, Pcg64Mcg) {
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        let minimum = Duration::from_millis(minimum_ms);
        (Interval::new(Instant::ZERO, 64_000, minimum, PAIR, &mut random), random)
    }

    #[test]
    fn the_first_interval_is_half_as_long() {
        let (interval, _) = interval(5_000, 1);
        assert_eq!(interval.deterministic(PAIR), 2.5);
    }

    #[test]
    fn many_members_share_the_bandwidth() {
        let (interval, _) = interval(0, 1);
        // 400 bytes per second; receivers get three quarters of it.
        let crowd = Conditions { members: 101, senders: 1, we_sent: false };
        assert!((interval.deterministic(crowd) - 100.0 * 100.0 / 300.0).abs() < 1e-9);
        let speaker = Conditions { we_sent: true, ..crowd };
        assert!((interval.deterministic(speaker) - 100.0 / 100.0).abs() < 1e-9);
    }

    #[test]
    fn intervals_stay_within_half_and_one_and_a_half_of_the_mean() {
        let (mut interval, mut random) = interval(5_000, 7);
        let mut now = Instant::ZERO;
        let mut total = 0.0;
        for _ in 0..1_000 {
            interval.sent(now, 72, PAIR, &mut random);
            let wait = interval.next().since(now).as_secs_f64() * COMPENSATION;
            assert!((2.5..=7.5).contains(&wait), "{wait}");
            total += wait;
            now = interval.next();
        }
        assert!((total / 1_000.0 - 5.0).abs() < 0.2, "{total}");
    }

    #[test]
    fn the_same_seed_gives_the_same_schedule_and_another_one_another() {
        assert_eq!(interval(5_000, 3).0.next(), interval(5_000, 3).0.next());
        assert_ne!(interval(5_000, 3).0.next(), interval(5_000, 4).0.next());
    }

    #[test]
    fn when_members_leave_the_rest_speaks_sooner() {
        let (mut interval, _) = interval(5_000, 1);
        let before = interval.next();
        interval.leave(Instant::ZERO, 4, 1);
        let after = interval.next().as_nanos() as f64;
        assert!((after - before.as_nanos() as f64 / 4.0).abs() < 2.0);
    }

    #[test]
    fn a_crowd_that_came_meanwhile_delays_the_report() {
        let (mut interval, mut random) = interval(100, 1);
        let due = interval.next();
        assert_eq!(
            interval.expire(due, Conditions { members: 5_000, ..PAIR }, &mut random),
            Expiry::Wait
        );
        assert!(interval.next() > due);
    }
}
