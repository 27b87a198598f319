//! From loss: more than a tenth of the packets lost is too much, less than a fiftieth leaves
//! room; between them nothing changes, since radio loses packets without being full
//! (draft-ietf-rmcat-gcc-02 section 6).

use core::time::Duration;

use super::Config;
use crate::time::Instant;

/// How much is looked at together.
const PACKETS_MIN: u32 = 20;
const WINDOW: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct LossBased {
    estimate: f64,
    lost: u32,
    told: u32,
    since: Option<Instant>,
}

impl LossBased {
    pub(super) const fn new(start: u64) -> Self {
        Self { estimate: start as f64, lost: 0, told: 0, since: None }
    }

    pub(super) const fn estimate(&self) -> u64 {
        self.estimate as u64
    }

    /// A trial has shown that the path carries so much.
    pub(super) fn raise(&mut self, bits: u64) {
        self.estimate = self.estimate.max(bits as f64);
    }

    /// So many of so many packets were lost; the other estimate leads where nothing is.
    pub(super) fn update(
        &mut self,
        now: Instant,
        lost: u32,
        told: u32,
        by_delay: u64,
        config: Config,
    ) {
        self.lost += lost;
        self.told += told;
        let since = *self.since.get_or_insert(now);
        if self.told < PACKETS_MIN || now.since(since) < WINDOW {
            return;
        }
        let share = f64::from(self.lost) / f64::from(self.told);
        if share > 0.10 {
            self.estimate *= 1.0 - 0.5 * share;
        } else if share < 0.02 {
            self.estimate = (self.estimate * 1.05).max(by_delay as f64);
        }
        self.estimate = self.estimate.clamp(config.min as f64, config.max as f64);
        (self.lost, self.told, self.since) = (0, 0, Some(now));
    }
}
