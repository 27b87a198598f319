//! Which missing packets to ask for, and when again (RFC 4585 section 6.2.1): a little
//! after they are missed, since most are only late; then once in a round-trip time; and
//! not more often than configured.

use core::time::Duration;

use crate::fault::{self, Fault};
use crate::time::Instant;

/// Between two requests for a packet while the round-trip time is not known.
const ROUND_TRIP_UNKNOWN: Duration = Duration::from_millis(100);
/// The least time between two requests for a packet.
const RETRY_MIN: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug)]
struct Missing {
    sequence: u64,
    asked: u8,
    /// When it was asked for last, or else found missing.
    since: Instant,
}

impl Missing {
    /// When to ask for it, a while after it was missed, or an interval after the last time.
    fn next(&self, delay: Duration, interval: Duration) -> Instant {
        self.since + if self.asked == 0 { delay } else { interval }
    }
}

/// The missing packets of one stream; as many as the assembler waits for at most.
#[derive(Debug)]
pub(super) struct NackList {
    delay: Duration,
    retries_max: u8,
    /// Between two requests for a packet.
    interval: Duration,
    /// How long an answer took.
    answered_in: Option<Duration>,
    missing: Vec<Missing>,
    /// The list before, kept for its memory.
    before: Vec<Missing>,
}

impl NackList {
    pub(super) fn new(delay: Duration, retries_max: u8) -> Self {
        let retries_max = match () {
            () if fault::is(Fault::AskedForWithoutEnd) => u8::MAX,
            () if fault::is(Fault::NeverAskedFor) => 0,
            () => retries_max,
        };
        Self {
            delay,
            retries_max,
            interval: ROUND_TRIP_UNKNOWN,
            answered_in: None,
            missing: Vec::new(),
            before: Vec::new(),
        }
    }

    /// Takes over what is missing now, lowest first.
    pub(super) fn update(&mut self, now: Instant, missing: impl Iterator<Item = u64>) {
        core::mem::swap(&mut self.missing, &mut self.before);
        self.missing.clear();
        let mut known = self.before.iter().peekable();
        for sequence in missing {
            while known.next_if(|before| before.sequence < sequence).is_some() {}
            let entry = known.next_if(|before| before.sequence == sequence);
            let fresh = Missing { sequence, asked: 0, since: now };
            self.missing.push(entry.copied().unwrap_or(fresh));
        }
    }

    /// Whether a number is missing.
    pub(super) fn misses(&self, sequence: u64) -> bool {
        self.place(sequence).is_some()
    }

    fn place(&self, sequence: u64) -> Option<usize> {
        self.missing.binary_search_by_key(&sequence, |missing| missing.sequence).ok()
    }

    /// A missing packet came that was sent again. Who only receives learns of the round-trip time
    /// by this alone; where it was asked for twice nobody knows which request was answered.
    pub(super) fn answered(&mut self, now: Instant, sequence: u64) {
        let Some(missing) = self.place(sequence).map(|place| self.missing[place]) else { return };
        if missing.asked == 1 {
            let took = now.since(missing.since) + self.delay;
            self.answered_in = Some(took);
            self.interval = self.interval.min(took.max(RETRY_MIN));
        }
    }

    /// When there is something to ask for.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let open = self.missing.iter().filter(|missing| missing.asked < self.retries_max);
        open.map(|missing| missing.next(self.delay, self.interval)).min()
    }

    /// The numbers to ask for now.
    pub(super) fn due(
        &mut self,
        now: Instant,
        round_trip: Option<Duration>,
    ) -> impl Iterator<Item = u16> + '_ {
        self.interval = match fault::is(Fault::AskedForWithoutEnd) {
            true => Duration::from_millis(1),
            false => round_trip.or(self.answered_in).unwrap_or(ROUND_TRIP_UNKNOWN).max(RETRY_MIN),
        };
        let (max, delay, interval) = (self.retries_max, self.delay, self.interval);
        let is_due = move |missing: &&mut Missing| {
            missing.asked < max && missing.next(delay, interval) <= now
        };
        self.missing.iter_mut().filter(is_due).map(move |missing| {
            missing.asked += 1;
            missing.since = now;
            missing.sequence as u16
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Instant = Instant::from_millis;

    fn due(list: &mut NackList, ms: u64) -> Vec<u16> {
        list.due(MS(ms), Some(Duration::from_millis(50))).collect()
    }

    #[test]
    fn a_packet_is_asked_for_once_per_round_trip_and_then_given_up() {
        let mut list = NackList::new(Duration::from_millis(10), 2);
        list.update(MS(0), [7, 8].into_iter());
        assert_eq!(list.poll_timeout(), Some(MS(10)));
        assert_eq!(due(&mut list, 9), [0; 0]);
        assert_eq!(due(&mut list, 10), [7, 8]);
        assert_eq!(due(&mut list, 59), [0; 0]);
        assert_eq!(due(&mut list, 60), [7, 8]);
        assert_eq!(list.poll_timeout(), None);
        assert_eq!(due(&mut list, 1_000), [0; 0]);
    }

    #[test]
    fn a_packet_that_came_is_not_asked_for() {
        let mut list = NackList::new(Duration::from_millis(10), 2);
        list.update(MS(0), [7, 9].into_iter());
        list.update(MS(5), [9, 12].into_iter());
        assert_eq!(due(&mut list, 10), [9], "12 was missed five milliseconds later");
        assert_eq!(due(&mut list, 15), [12]);
    }

    #[test]
    fn who_only_receives_learns_of_the_round_trip_by_the_answers() {
        let mut list = NackList::new(Duration::from_millis(10), 5);
        let ask = |list: &mut NackList, ms: u64| -> Vec<u16> { list.due(MS(ms), None).collect() };
        list.update(MS(0), [7, 8].into_iter());
        assert_eq!(ask(&mut list, 10), [7, 8]);
        assert_eq!(list.poll_timeout(), Some(MS(110)));
        list.answered(MS(50), 7);
        list.update(MS(50), [8].into_iter());
        assert_eq!(list.poll_timeout(), Some(MS(60)), "40 ms and a little");
        assert_eq!(ask(&mut list, 60), [8]);
        list.answered(MS(61), 8);
        assert_eq!(list.poll_timeout(), Some(MS(110)), "asked for twice: it says nothing");
    }
}
