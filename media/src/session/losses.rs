//! How much of what we send the peer loses: whether its sound should carry what was said just
//! before once more (Opus' in-band FEC). That costs some of its quality, and helps where one packet
//! is lost at a time: where many are lost at once only the last of them comes back.

use core::time::Duration;

use crate::bandwidth::Told;
use crate::time::Instant;

/// How much is looked at together: a second of sound at least.
const WINDOW: Duration = Duration::from_secs(1);
const PACKETS_MIN: u32 = 40;

/// What a new window adds to what is known.
const WEIGHT: f64 = 0.3;

/// From this share on there is something to protect from, until there is this little.
const MUCH: f64 = 0.02;
const LITTLE: f64 = 0.005;
/// Not for less than this: a listener's decoder has to find its way after each change.
const HOLD: Duration = Duration::from_secs(10);

/// What is known of one peer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Losses {
    told: Told,
    since: Option<Instant>,
    share: Option<f64>,
    lossy: Option<Instant>,
}

impl Losses {
    /// The peer says what became of some packets.
    pub(super) fn count(&mut self, now: Instant, told: Told) {
        self.told.packets += told.packets;
        self.told.recoverable += told.recoverable;
        let since = *self.since.get_or_insert(now);
        if self.told.packets >= PACKETS_MIN && now.since(since) >= WINDOW {
            self.report(now, f64::from(self.told.recoverable) / f64::from(self.told.packets));
            (self.told, self.since) = (Told::default(), Some(now));
        }
    }

    /// The peer says which share of the packets since it last did so it has lost.
    pub(super) fn report(&mut self, now: Instant, share: f64) {
        let share = self.share.map_or(share, |known| known + WEIGHT * (share - known));
        self.share = Some(share);
        self.lossy = match self.lossy {
            None => (share >= MUCH).then_some(now),
            Some(since) if share <= LITTLE && now.since(since) >= HOLD => None,
            since => since,
        };
    }

    /// Whether sound is to be protected.
    pub(super) const fn is_lossy(&self) -> bool {
        self.lossy.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn told(packets: u32, recoverable: u32) -> Told {
        Told { packets, lost: recoverable, recoverable }
    }

    /// Feedback each 100 ms for so many seconds, of so many packets lost in a hundred.
    fn tell(losses: &mut Losses, from: u64, seconds: u64, per_cent: u32) {
        for ms in (from * 1_000..(from + seconds) * 1_000).step_by(100) {
            let tenth = (ms / 100 % 10) as u32;
            let lost = (per_cent * (tenth + 1) / 10).saturating_sub(per_cent * tenth / 10);
            losses.count(Instant::from_millis(ms), told(10, lost));
        }
    }

    #[test]
    fn loss_is_noticed_within_two_seconds_and_forgotten_when_it_has_gone() {
        let mut losses = Losses::default();
        tell(&mut losses, 0, 10, 0);
        assert!(!losses.is_lossy());
        tell(&mut losses, 10, 2, 10);
        assert!(losses.is_lossy());
        tell(&mut losses, 12, 9, 0);
        assert!(losses.is_lossy(), "it may come again");
        tell(&mut losses, 21, 10, 0);
        assert!(!losses.is_lossy());
    }

    #[test]
    fn a_report_counts_at_once_and_a_little_loss_is_none() {
        let mut losses = Losses::default();
        losses.report(Instant::from_millis(1), 0.01);
        assert!(!losses.is_lossy());
        losses.report(Instant::from_millis(2), 0.25);
        assert!(losses.is_lossy());
    }

    #[test]
    fn a_few_packets_say_nothing() {
        let mut losses = Losses::default();
        losses.count(Instant::from_millis(0), told(10, 2));
        losses.count(Instant::from_millis(900), told(40, 2));
        assert!(!losses.is_lossy());
    }

    #[test]
    fn what_is_lost_all_at_once_is_nothing_to_protect_from() {
        let mut losses = Losses::default();
        for second in 0..30 {
            let outage = Told { packets: 100, lost: 40, recoverable: 1 };
            losses.count(Instant::from_millis(second * 1_000), outage);
        }
        assert!(!losses.is_lossy());
    }
}
