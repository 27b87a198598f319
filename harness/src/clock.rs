//! A clock that runs fast or slow against the world's, as the crystal of a real phone
//! does. Whoever owns it lives by it: the world translates on the way in and out, in
//! whole nanoseconds, so that a drifting run is as repeatable as any other.

use callrig_media::time::Instant;

const BILLION: i128 = 1_000_000_000;

/// How far a clock may be off: a tenth of its speed, in parts per billion.
pub const DRIFT_PPB_MAX: i32 = 100_000_000;

/// The clock of one actor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    drift_ppb: i32,
}

impl Clock {
    /// A clock that agrees with the world's.
    pub const TRUE: Self = Self { drift_ppb: 0 };

    /// A clock that gains `ppm` microseconds in each second (loses, if negative).
    /// Held within [`DRIFT_PPB_MAX`].
    #[must_use]
    pub const fn drifting(ppm: i32) -> Self {
        let ppb = ppm.saturating_mul(1_000);
        let limit = DRIFT_PPB_MAX;
        let drift_ppb = if ppb > limit {
            limit
        } else if ppb < -limit {
            -limit
        } else {
            ppb
        };
        Self { drift_ppb }
    }

    /// What this clock shows when the world's shows `world`.
    #[must_use]
    pub fn local(self, world: Instant) -> Instant {
        if self.drift_ppb == 0 {
            return world;
        }
        let rate = BILLION + i128::from(self.drift_ppb);
        from_wide(i128::from(world.as_nanos()) * rate / BILLION)
    }

    /// The first moment of the world at which this clock shows `local` or later.
    #[must_use]
    pub fn world(self, local: Instant) -> Instant {
        if self.drift_ppb == 0 || local == Instant::MAX {
            return local;
        }
        let rate = BILLION + i128::from(self.drift_ppb);
        from_wide((i128::from(local.as_nanos()) * BILLION + rate - 1) / rate)
    }
}

fn from_wide(nanos: i128) -> Instant {
    u64::try_from(nanos).map_or(Instant::MAX, Instant::from_nanos)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_clock_that_is_200_ppm_fast_gains_12_ms_a_minute() {
        let clock = Clock::drifting(200);
        assert_eq!(clock.local(Instant::from_millis(60_000)), Instant::from_millis(60_012));
    }

    #[test]
    fn a_slow_phone_sends_its_second_packet_late() {
        let clock = Clock::drifting(-200);
        assert_eq!(clock.world(Instant::from_millis(20)).as_nanos(), 20_004_001);
    }

    proptest! {
        #[test]
        fn the_way_back_is_the_first_moment_that_shows_the_time(
            nanos in 0_u64..1 << 50,
            ppm in -1_000_i32..1_000,
        ) {
            let clock = Clock::drifting(ppm);
            let local = Instant::from_nanos(nanos);
            let world = clock.world(local);
            prop_assert!(clock.local(world) >= local);
            if world > Instant::ZERO {
                prop_assert!(clock.local(Instant::from_nanos(world.as_nanos() - 1)) < local);
            }
        }
    }
}
