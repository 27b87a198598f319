//! From loss: more than a tenth of the packets lost is too much, less than a fiftieth leaves
//! room; between them nothing changes, since radio loses packets without being full
//! (draft-ietf-rmcat-gcc-02 section 6). Deviation: loss that does not lessen when less is sent is
//! the path's own, and is no cause to send less.

use core::time::Duration;

use super::Config;
use crate::time::Instant;

/// How much is looked at together.
const PACKETS_MIN: u32 = 20;
const WINDOW: Duration = Duration::from_millis(200);

/// No path is taken to lose more than this by itself.
const OWN_MAX: f64 = 0.35;
/// When the estimate is this share of what it was, it shows whether that helped: loss by too much
/// alone would be below half of what it was, if it was not above [`OWN_MAX`].
const LESS: f64 = 0.75;
const LESSENED: f64 = 0.7;
/// So many packets tell how much is lost afterwards; and so many windows before, since what is told
/// of first was sent before.
const TELLING: u32 = 60;
const BEFORE: u32 = 2;
/// After so long it is tried again whether the loss is the path's own.
const OWN_FOR: Duration = Duration::from_secs(10);

/// What became of some packets.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    lost: u32,
    told: u32,
}

impl Count {
    fn share(self) -> f64 {
        f64::from(self.lost) / f64::from(self.told.max(1))
    }

    const fn and(self, other: Self) -> Self {
        Self { lost: self.lost + other.lost, told: self.told + other.told }
    }
}

/// Less is sent because of loss: does it help?
#[derive(Clone, Copy, Debug)]
struct Lowering {
    /// What the estimate was.
    estimate: f64,
    windows: u32,
    before: Count,
    after: Count,
}

impl Lowering {
    fn take(&mut self, window: Count) {
        self.windows += 1;
        let count = if self.windows <= BEFORE { &mut self.before } else { &mut self.after };
        *count = count.and(window);
    }

    /// Whether it has helped, once that can be told by what the estimate is now.
    fn has_helped(&self, estimate: f64) -> Option<bool> {
        let before = self.before.share();
        if before > OWN_MAX || self.after.told >= TELLING * 10 {
            return Some(true);
        }
        let helps = self.after.share() < LESSENED * before;
        let told = self.after.told >= TELLING && (helps || estimate <= LESS * self.estimate);
        told.then_some(helps)
    }
}

#[derive(Debug)]
pub(super) struct LossBased {
    estimate: f64,
    window: Count,
    since: Option<Instant>,
    lowering: Option<Lowering>,
    /// The share that the path loses by itself, and since when that is thought.
    own: Option<(f64, Instant)>,
}

impl LossBased {
    pub(super) fn new(start: u64) -> Self {
        let (window, estimate) = (Count::default(), start as f64);
        Self { estimate, window, since: None, lowering: None, own: None }
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
        self.window = self.window.and(Count { lost, told });
        let since = *self.since.get_or_insert(now);
        if self.window.told < PACKETS_MIN || now.since(since) < WINDOW {
            return;
        }
        self.since = Some(now);
        let window = core::mem::take(&mut self.window);
        self.own = self.own.filter(|(_, since)| now.since(*since) < OWN_FOR);
        let own = self.own.map_or(0.0, |(share, _)| share);
        let share = window.share() - own;
        if share > 0.10 {
            let (before, after) = (Count::default(), Count::default());
            let lowering = Lowering { estimate: self.estimate, windows: 0, before, after };
            if self.own.is_none() {
                self.lowering.get_or_insert(lowering);
            }
            self.estimate *= 1.0 - 0.5 * share;
        } else if share < 0.02 {
            self.estimate = (self.estimate * 1.05).max(by_delay as f64);
        }
        self.conclude(now, window);
        self.estimate = self.estimate.clamp(config.min as f64, config.max as f64);
    }

    /// Whether it has helped that less was sent, once that can be told.
    fn conclude(&mut self, now: Instant, window: Count) {
        let Some(lowering) = &mut self.lowering else { return };
        lowering.take(window);
        let Some(has_helped) = lowering.has_helped(self.estimate) else { return };
        if !has_helped {
            let share = lowering.after.share().min(lowering.before.share());
            self.own = Some((share, now));
            self.estimate = self.estimate.max(lowering.estimate);
        }
        self.lowering = None;
    }
}
