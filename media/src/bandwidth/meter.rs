//! How much has passed lately.

use core::time::Duration;

use crate::time::Instant;

/// Into so many parts, of so long each, the time that counts is cut.
const PARTS: usize = 10;
const PART: Duration = Duration::from_millis(200);

/// Bits per second over the last two seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    bytes: [u32; PARTS],
    newest: u64,
}

impl Meter {
    /// So much passes.
    pub(crate) fn add(&mut self, now: Instant, bytes: usize) {
        self.advance(now);
        let part = &mut self.bytes[(self.newest % PARTS as u64) as usize];
        *part = part.saturating_add(bytes as u32);
    }

    /// Bits per second that passed, as far as they are known.
    pub(crate) fn rate(&mut self, now: Instant) -> u64 {
        self.advance(now);
        let bytes: u64 = self.bytes.iter().map(|bytes| u64::from(*bytes)).sum();
        bytes * 8 * 1_000 / (PARTS as u64 * PART.as_millis() as u64)
    }

    fn advance(&mut self, now: Instant) {
        let part = now.as_nanos() / PART.as_nanos() as u64;
        let passed = part.saturating_sub(self.newest);
        for step in 1..=passed.min(PARTS as u64) {
            self.bytes[((self.newest + step) % PARTS as u64) as usize] = 0;
        }
        self.newest = self.newest.max(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passed_two_seconds_ago_does_not_count() {
        let mut meter = Meter::default();
        for ms in 0..3_000 {
            meter.add(Instant::from_millis(ms), 125);
        }
        let rate = meter.rate(Instant::from_millis(2_999));
        assert!((950_000..=1_000_000).contains(&rate), "{rate}");
        assert_eq!(meter.rate(Instant::from_millis(60_000)), 0);
    }
}
