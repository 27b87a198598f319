//! How the playout keeps to its target. A packet is needed when the sound decoded before it
//! does not fill a frame any more, so what counts is its *spare*: the delay, less what is
//! left over by then. Leftovers come from stretching, and they are no reserve: they change
//! when the next packet is asked for, not how late it may be. Stretching by less than what
//! completes a frame therefore changes the delay and not the spare, until together they
//! have; that is why the band of the delay is wider than a frame.

use super::playout::{FRAME_TICKS, Playout};
use super::sound::CONCEALED_STEP;
use super::timeline::{nanos, ticks};
use crate::audio::Kind;
use crate::audio::stretch::Urgency;
use crate::fault::{self, Fault};
use crate::time::Instant;

/// The spare may be this much below the target, in nanoseconds, …
const BELOW: i64 = 5_000_000;

/// … and the delay this much above it: a frame, which is what a spare that was put right
/// gains, and as much again as it was short of.
const ABOVE: i64 = 25_000_000;

/// Stretching rests for so many frames, so that speech changes its speed by a sixth at
/// most.
const STRETCH_REST: u32 = 3;

impl Playout {
    /// The delay to aim at, in nanoseconds: what the network needs, and what the packets
    /// of one frame, all of which have to be there at once, were sent apart.
    pub(super) fn target(&self) -> i64 {
        let least = self.config.delay_min.as_nanos() as i64;
        if fault::is(Fault::JitterNotFollowed) {
            return least;
        }
        let apart = nanos((FRAME_TICKS - self.packet_ticks).max(0));
        let needed = self.estimator.delay().as_nanos() as i64 + apart;
        needed.max(least).min(self.config.delay_max.as_nanos() as i64)
    }

    /// The delay that what is at `media` will have if it is decoded next, in nanoseconds.
    fn delay_of(&self, now: Instant, media: i64) -> i64 {
        let waits = nanos(self.sound.ticks(self.sound.length()));
        let transit = now.as_nanos().cast_signed() + waits - nanos(media);
        transit - self.estimator.reference().unwrap_or(transit)
    }

    /// Ticks that will be left when the next packet is needed.
    fn left_over(&self) -> i64 {
        self.sound.ticks(self.sound.length()) % FRAME_TICKS
    }

    /// Whether packets that are as late as the target allows would be too late, the next
    /// one having this delay.
    fn is_short(&self, delay: i64) -> bool {
        let left = if fault::is(Fault::LeftoverTakenForReserve) { 0 } else { self.left_over() };
        delay - nanos(left) < self.target() - BELOW
    }

    /// Stretches what is played next if the delay has left its band.
    pub(super) fn adapt(&mut self, now: Instant) {
        self.rest = self.rest.saturating_sub(1);
        if !self.config.stretch
            || self.rest > 0
            || self.owed > 0
            || fault::is(Fault::DriftNotFollowed)
        {
            return;
        }
        let (delay, target) = (self.delay_of(now, self.next), self.target());
        if delay > target + ABOVE {
            self.hurry(delay > 2 * target + 4 * ABOVE);
        } else if self.is_short(delay) && self.sound.is_as_sent() {
            let inserted = self.sound.expand(Urgency::Patient);
            if inserted > 0 {
                let inserted = self.sound.ticks(inserted);
                self.stats.inserted_samples_for_deceleration += self.played_samples(inserted);
                self.rest = STRETCH_REST;
            }
        }
    }

    fn hurry(&mut self, far: bool) {
        let frame = self.sound.frame();
        while self.sound.length() < 2 * frame
            && self.queue.front().is_some_and(|front| {
                front.media == self.next && Some(front.codec) == self.sound.codec()
            })
        {
            self.play();
        }
        if self.sound.length() < 2 * frame || !self.sound.is_as_sent() {
            return;
        }
        let urgency = if far { Urgency::Urgent } else { Urgency::Patient };
        let removed = self.sound.accelerate(urgency);
        if removed > 0 {
            let removed = self.sound.ticks(removed);
            self.stats.removed_samples_for_acceleration += self.played_samples(removed);
            self.rest = if far { 0 } else { STRETCH_REST };
        }
    }

    /// The sender left `missing` ticks out before the first packet. Nobody can hear how
    /// long a pause is, so this is where the delay is best put right.
    pub(super) fn linger(&mut self, now: Instant, missing: i64) {
        let target = self.target();
        let delay = self.delay_of(now, self.next);
        if self.config.stretch && delay > target + ABOVE {
            let removed = ticks(delay - target).min(missing) / CONCEALED_STEP * CONCEALED_STEP;
            self.next += removed;
            self.stats.removed_samples_for_acceleration += self.played_samples(removed);
        } else if self.config.stretch && self.is_short(delay) {
            // Up to the end of the frame: less would gain nothing.
            let inserted = FRAME_TICKS - self.left_over();
            let inserted = (inserted + CONCEALED_STEP - 1) / CONCEALED_STEP * CONCEALED_STEP;
            self.sound.make_up(inserted, Kind::Comfort);
            self.stats.inserted_samples_for_deceleration += self.played_samples(inserted);
        } else {
            let step = missing.min(FRAME_TICKS) / CONCEALED_STEP * CONCEALED_STEP;
            self.sound.make_up(step, Kind::Comfort);
            self.next += step;
        }
    }
}
