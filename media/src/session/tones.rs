//! Keys pressed one after the other (RFC 4733): each waits for the one before it to end,
//! and for a pause, so that the far end tells two equal ones apart.

use core::time::Duration;
use std::collections::VecDeque;

use crate::dtmf::Tone;
use crate::dtmf::send::{BuildError, Config, Report, Sender};
use crate::time::Instant;

/// How many keys may wait.
pub(super) const TONES_MAX: usize = 64;

/// Between two keys; ITU-T Q.24 asks receivers for 30 to 40 ms.
const PAUSE: Duration = Duration::from_millis(60);

/// Keys that wait, and the one that sounds.
#[derive(Debug, Default)]
pub(super) struct Tones {
    waiting: VecDeque<(Tone, Duration)>,
    sounding: Option<Sounding>,
    /// When the next one may begin.
    free_at: Instant,
}

#[derive(Debug)]
struct Sounding {
    sender: Sender,
    payload_type: u8,
}

/// How a tone is to be sent that begins now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) payload_type: u8,
    pub(super) clock_rate: u32,
    pub(super) timestamp: u32,
}

impl Start {
    fn sender(self, now: Instant, tone: Tone, duration: Duration) -> Result<Sender, BuildError> {
        let config = Config { clock_rate: self.clock_rate, ..Config::default() };
        Sender::new(config, tone, duration, now, self.timestamp)
    }
}

impl Tones {
    /// Queues a key; whether there was room.
    pub(super) fn push(
        &mut self,
        now: Instant,
        tone: Tone,
        duration: Duration,
        start: Start,
    ) -> Result<bool, BuildError> {
        start.sender(now, tone, duration)?;
        let room = self.waiting.len() < TONES_MAX;
        if room {
            self.waiting.push_back((tone, duration));
        }
        Ok(room)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.sounding {
            Some(sounding) => sounding.sender.poll_timeout(),
            None => (!self.waiting.is_empty()).then_some(self.free_at),
        }
    }

    /// The next report that is due, and the payload type of its packet. `start` says how
    /// to begin a tone now.
    pub(super) fn pull(
        &mut self,
        now: Instant,
        start: impl FnOnce() -> Option<Start>,
    ) -> Option<(u8, Report)> {
        if let Some(sounding) = &mut self.sounding {
            if let Some(report) = sounding.sender.pull(now) {
                return Some((sounding.payload_type, report));
            }
            if sounding.sender.poll_timeout().is_some() {
                return None;
            }
            self.sounding = None;
            self.free_at = now + PAUSE;
        }
        if self.free_at > now {
            return None;
        }
        let (tone, duration) = self.waiting.pop_front()?;
        let start = start()?;
        // Tried when it was queued.
        let mut sender = start.sender(now, tone, duration).ok()?;
        let payload_type = start.payload_type;
        let report = sender.pull(now)?;
        self.sounding = Some(Sounding { sender, payload_type });
        Some((payload_type, report))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Start {
        Start { payload_type: 101, clock_rate: 8_000, timestamp: 5 }
    }

    #[test]
    fn two_keys_do_not_overlap_and_each_ends_three_times() {
        let mut tones = Tones::default();
        let duration = Duration::from_millis(100);
        for tone in [Tone::Tone1, Tone::Tone1] {
            assert_eq!(tones.push(Instant::ZERO, tone, duration, start()), Ok(true));
        }
        let mut reports = Vec::new();
        while let Some(due) = tones.poll_timeout() {
            while let Some((_, report)) = tones.pull(due, || Some(start())) {
                reports.push((due, report));
            }
        }
        let markers: Vec<Instant> =
            reports.iter().filter(|(_, r)| r.marker).map(|(at, _)| *at).collect();
        let ends = reports.iter().filter(|(_, report)| report.event.end).count();
        assert_eq!((markers.len(), ends), (2, 6));
        let last_of_first =
            reports.iter().rev().find(|(at, _)| *at < markers[1]).expect("the first tone").0;
        assert!(markers[1] >= last_of_first + PAUSE);
    }

    #[test]
    fn no_more_keys_wait_than_allowed() {
        let mut tones = Tones::default();
        let mut push = || tones.push(Instant::ZERO, Tone::A, Duration::from_millis(50), start());
        for _ in 0..TONES_MAX {
            assert_eq!(push(), Ok(true));
        }
        assert_eq!(push(), Ok(false));
    }
}
