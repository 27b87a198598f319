//! Replays a schedule by the clock of whoever holds it: what is due now, and when to
//! come back. It adds nothing and changes nothing, so that what the network sees is what
//! was recorded.

use bytes::Bytes;
use callrig_media::time::Instant;

use crate::schedule::Schedule;

/// One replay of a schedule.
#[derive(Clone, Debug)]
pub struct Replay {
    schedule: Schedule,
    began: Instant,
    next: usize,
}

impl Replay {
    /// A replay whose first departure is at `begin`.
    #[must_use]
    pub const fn new(schedule: Schedule, begin: Instant) -> Self {
        Self { schedule, began: begin, next: 0 }
    }

    /// The next datagram, if it is due.
    pub fn poll(&mut self, now: Instant) -> Option<Bytes> {
        if self.poll_timeout()? > now {
            return None;
        }
        let payload = self.schedule.departures()[self.next].payload.clone();
        // A socket would copy it, so whoever takes it finds it in the processor's cache.
        std::hint::black_box(payload.chunks(64).fold(0_u8, |all, line| all ^ line[0]));
        self.next += 1;
        Some(payload)
    }

    /// When the next datagram is due; `None` once all have departed.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let departure = self.schedule.departures().get(self.next)?;
        Some(self.began + departure.after)
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::schedule::Departure;

    #[test]
    fn a_replay_sends_everything_when_it_is_due_and_then_ends() {
        let departures = [0_u64, 0, 30].map(|after| Departure {
            after: Duration::from_millis(after),
            payload: Bytes::from(vec![after as u8]),
        });
        let schedule = Schedule::new(departures.to_vec()).expect("there are three");
        let mut replay = Replay::new(schedule, Instant::from_millis(5));
        assert_eq!(replay.poll(Instant::from_millis(4)), None);
        assert_eq!(replay.poll_timeout(), Some(Instant::from_millis(5)));
        let now = Instant::from_millis(6);
        assert!(replay.poll(now).is_some() && replay.poll(now).is_some());
        assert_eq!(replay.poll(now), None);
        assert_eq!(replay.poll_timeout(), Some(Instant::from_millis(35)));
        assert!(replay.poll(Instant::from_millis(35)).is_some());
        assert_eq!(replay.poll_timeout(), None);
    }
}
