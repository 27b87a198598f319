//! One timeline for one stream. RTP timestamps wrap, run at the clock rate of their
//! codec, and jump when a sender starts anew; [`Timeline`] turns them into ticks of
//! 1/48000 s that do neither. A timestamp that fits none of what came before is taken for
//! such a jump, and its packet is put where its arrival says it belongs.

use crate::time::Instant;

/// Ticks in a second: the RTP clock of Opus and six times that of G.711.
pub(super) const TICKS_PER_SECOND: i64 = 48_000;

/// A packet that is later than the fastest one by more than this belongs to a stream
/// whose timestamps stood still. No network keeps a packet so long.
const LATE_MAX: i64 = 3_000_000_000;

/// A packet that is earlier than any recent one by more than this belongs to a stream
/// whose timestamps jumped ahead. A network that recovers does so packet by packet.
const EARLY_MAX: i64 = 500_000_000;

/// Nanoseconds of so many ticks.
pub(super) const fn nanos(ticks: i64) -> i64 {
    ticks * 62_500 / 3
}

/// Whole ticks in so many nanoseconds.
pub(super) const fn ticks(nanos: i64) -> i64 {
    nanos / 62_500 * 3 + nanos % 62_500 * 3 / 62_500
}

/// Where one timestamp lies, and so all others near it.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    timestamp: u32,
    media: i64,
    clock_rate: u32,
}

impl Anchor {
    fn media(&self, timestamp: u32) -> i64 {
        let distance = timestamp.wrapping_sub(self.timestamp).cast_signed();
        self.media + i64::from(distance) * (TICKS_PER_SECOND / i64::from(self.clock_rate))
    }
}

/// A packet's place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// On the timeline, in ticks.
    pub(super) media: i64,
    /// Nanoseconds from then to its arrival.
    pub(super) transit: i64,
    /// Whether the timestamps jumped here.
    pub(super) jumped: bool,
}

/// Turns timestamps into media time.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// In use, and in use before; packets around a jump may come in any order.
    anchors: [Option<Anchor>; 2],
}

impl Timeline {
    /// Where a packet that arrives now belongs, `reference` being the transit of the
    /// fastest recent one.
    #[inline]
    pub(super) fn place(
        &mut self,
        now: Instant,
        timestamp: u32,
        clock_rate: u32,
        reference: Option<i64>,
    ) -> Place {
        for (index, anchor) in self.anchors.iter_mut().enumerate() {
            let Some(anchor) = anchor.as_mut().filter(|anchor| anchor.clock_rate == clock_rate)
            else {
                continue;
            };
            let media = anchor.media(timestamp);
            let transit = transit(now, media);
            if reference.is_none_or(|reference| is_plausible(transit, reference)) {
                *anchor = Anchor { timestamp, media, clock_rate };
                if index == 1 {
                    self.anchors.swap(0, 1);
                }
                return Place { media, transit, jumped: false };
            }
        }
        let jumped = self.anchors[0].is_some();
        let media = ticks(now.as_nanos().cast_signed().wrapping_sub(reference.unwrap_or(0)));
        self.anchors[1] = self.anchors[0];
        self.anchors[0] = Some(Anchor { timestamp, media, clock_rate });
        Place { media, transit: transit(now, media), jumped }
    }

    /// The transit of a packet that is not to move anything, if it fits.
    pub(super) fn transit_of(
        &self,
        now: Instant,
        timestamp: u32,
        clock_rate: u32,
        reference: i64,
    ) -> Option<i64> {
        self.anchors
            .iter()
            .flatten()
            .filter(|anchor| anchor.clock_rate == clock_rate)
            .map(|anchor| transit(now, anchor.media(timestamp)))
            .find(|&transit| is_plausible(transit, reference))
    }
}

const fn transit(now: Instant, media: i64) -> i64 {
    now.as_nanos().cast_signed() - nanos(media)
}

#[inline]
fn is_plausible(transit: i64, reference: i64) -> bool {
    (-EARLY_MAX..=LATE_MAX).contains(&(transit - reference))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_and_nanoseconds_agree() {
        assert_eq!(nanos(960), 20_000_000);
        assert_eq!(ticks(20_000_000), 960);
        assert_eq!(ticks(nanos(48_000 * 3_600)), 48_000 * 3_600);
    }

    #[test]
    fn a_wrap_is_no_jump() {
        let mut timeline = Timeline::default();
        let start = timeline.place(Instant::ZERO, u32::MAX - 480, 48_000, None);
        let next = timeline.place(Instant::from_millis(20), 479, 48_000, Some(start.transit));
        assert_eq!((next.media - start.media, next.jumped), (960, false));
    }

    #[test]
    fn a_jump_is_followed_and_stragglers_find_their_place() {
        let mut timeline = Timeline::default();
        let start = timeline.place(Instant::ZERO, 1_000, 8_000, None);
        let reference = Some(start.transit);
        let jump = timeline.place(Instant::from_millis(40), 900_000_000, 8_000, reference);
        assert_eq!((jump.media - start.media, jump.jumped), (1_920, true));
        let straggler = timeline.place(Instant::from_millis(45), 1_160, 8_000, reference);
        assert_eq!((straggler.media - start.media, straggler.jumped), (960, false));
        let next = timeline.place(Instant::from_millis(60), 900_000_160, 8_000, reference);
        assert_eq!((next.media - jump.media, next.jumped), (960, false));
    }
}
