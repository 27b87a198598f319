//! RFC 4733 events sent: a first report with the marker, one every interval while the tone
//! lasts, three with the end bit (section 2.5.1). Tones longer than 65535 ticks go out in
//! segments (section 2.5.1.3).

use core::time::Duration;

use super::Tone;
use crate::payload::dtmf::TelephoneEvent;
use crate::time::Instant;

/// How often the end is said.
const ENDS: u32 = 3;

/// A segment of a long event lasts so many ticks.
const SEGMENT: u32 = 0xffff;

/// The longest tone that can be sent.
pub const DURATION_MAX: Duration = Duration::from_secs(60);

/// How a tone is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Of the RTP clock, ticks per second.
    pub clock_rate: u32,
    /// From report to report: 10 to 100 ms, 20 or 50 are usual.
    pub interval: Duration,
    /// Loudness in −dBm0, 0 to 63.
    pub volume: u8,
}

impl Default for Config {
    fn default() -> Self {
        Self { clock_rate: 48_000, interval: Duration::from_millis(20), volume: 10 }
    }
}

/// Why a tone cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// No time at all, or more than [`DURATION_MAX`].
    #[error("a tone of {0:?}: not within 1 ms to {DURATION_MAX:?}")]
    Duration(Duration),
    /// Not 10 to 100 ms.
    #[error("reports every {0:?}: not within 10 to 100 ms")]
    Interval(Duration),
    /// Not 1 to 192000.
    #[error("{0} ticks per second: not within 1000 to 192000")]
    ClockRate(u32),
}

/// One report, ready to become the payload of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The payload.
    pub event: TelephoneEvent,
    /// Whether the packet carries the marker: only the first of a tone does.
    pub marker: bool,
    /// The packet's timestamp: that of the tone's, or its segment's, beginning.
    pub timestamp: u32,
}

/// One tone on its way out.
#[derive(Clone, Debug)]
pub struct Sender {
    config: Config,
    tone: Tone,
    timestamp: u32,
    start: Instant,
    /// Of the tone, in ticks.
    ticks: u32,
    /// Reports sent that said something new, and of the end.
    updates: u32,
    ends: u32,
    /// Ticks of the segments that are complete.
    segmented: u32,
}

impl Sender {
    /// A tone that begins now, at this RTP timestamp.
    ///
    /// # Errors
    /// If it cannot be sent as configured.
    pub fn new(
        config: Config,
        tone: Tone,
        duration: Duration,
        start: Instant,
        timestamp: u32,
    ) -> Result<Self, BuildError> {
        if !(Duration::from_millis(1)..=DURATION_MAX).contains(&duration) {
            return Err(BuildError::Duration(duration));
        }
        if !(Duration::from_millis(10)..=Duration::from_millis(100)).contains(&config.interval) {
            return Err(BuildError::Interval(config.interval));
        }
        if !(1_000..=192_000).contains(&config.clock_rate) {
            return Err(BuildError::ClockRate(config.clock_rate));
        }
        let ticks = ticks(duration, config.clock_rate);
        Ok(Self { config, tone, timestamp, start, ticks, updates: 0, ends: 0, segmented: 0 })
    }

    /// When the next report is due; `None` when all were sent.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.ends < ENDS).then(|| self.start + self.config.interval * (self.updates + self.ends))
    }

    /// The next report, if it is due. Ask until there is none.
    pub fn pull(&mut self, now: Instant) -> Option<Report> {
        if self.poll_timeout()? > now {
            return None;
        }
        // A report says how long the tone will have lasted when the next one is due.
        let interval = ticks(self.config.interval, self.config.clock_rate);
        let reached = interval.saturating_mul(self.updates + 1).min(self.ticks);
        if reached - self.segmented > SEGMENT {
            let report = self.report(SEGMENT as u16, false);
            self.segmented += SEGMENT;
            return Some(report);
        }
        let end = reached == self.ticks;
        let report = self.report((reached - self.segmented) as u16, end);
        if end {
            self.ends += 1;
        } else {
            self.updates += 1;
        }
        Some(report)
    }

    const fn report(&self, duration: u16, end: bool) -> Report {
        let marker = self.updates == 0 && self.ends == 0 && self.segmented == 0;
        let (code, volume) = (self.tone.code(), self.config.volume);
        Report {
            event: TelephoneEvent { code, end, volume, duration },
            marker,
            timestamp: self.timestamp.wrapping_add(self.segmented),
        }
    }
}

fn ticks(duration: Duration, clock_rate: u32) -> u32 {
    let ticks = duration.as_nanos() * u128::from(clock_rate) / 1_000_000_000;
    u32::try_from(ticks).unwrap_or(u32::MAX).max(1)
}
