//! Clocks. The product never reads one: it is told the time. [`Instant`] is the
//! monotonic clock of the world that drives it, [`NtpTime`] the wall clock of
//! RFC 3550 section 4, and [`Epoch`] ties the two together once, at construction.

use core::ops::{Add, AddAssign, Sub};
use core::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment on the monotonic clock of a world: nanoseconds since that world began.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Instant(u64);

impl Instant {
    /// The moment the world began.
    pub const ZERO: Self = Self(0);
    /// A moment that never comes; useful as the neutral element of `min`.
    pub const MAX: Self = Self(u64::MAX);

    /// The moment `nanos` nanoseconds after the world began.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The moment `micros` microseconds after the world began.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros.saturating_mul(1_000))
    }

    /// The moment `millis` milliseconds after the world began.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since the world began.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time since the world began.
    #[must_use]
    pub const fn elapsed(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// Time from `earlier` to here, zero if `earlier` is in fact later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Nanoseconds from `other` to here, negative if `other` is later.
    #[must_use]
    pub const fn signed_nanos_since(self, other: Self) -> i64 {
        self.0.wrapping_sub(other.0).cast_signed()
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        let nanos = u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, rhs: Duration) {
        *self = *self + rhs;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        let nanos = u64::try_from(rhs.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(nanos))
    }
}

/// Seconds from 1900 to 1970.
const UNIX_IN_NTP: u64 = 2_208_988_800;

/// A wall-clock moment as RFC 3550 section 4 writes it: seconds since 1900 in the
/// upper 32 bits, the fraction of a second in the lower 32.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct NtpTime(u64);

impl NtpTime {
    /// From the 64 bits as they stand in a sender report.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The 64 bits as they stand in a sender report.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// So long after the beginning of 1970, in the first era of NTP: before 2036.
    #[must_use]
    pub const fn from_unix(since: Duration) -> Self {
        let fraction = ((since.subsec_nanos() as u64) << 32) / 1_000_000_000;
        Self((since.as_secs().wrapping_add(UNIX_IN_NTP) << 32) | fraction)
    }

    /// How long after the beginning of 1970; nothing for what was before.
    #[must_use]
    pub const fn since_unix(self) -> Duration {
        let Some(seconds) = (self.0 >> 32).checked_sub(UNIX_IN_NTP) else { return Duration::ZERO };
        let nanos = ((self.0 & 0xffff_ffff) * 1_000_000_000) >> 32;
        Duration::new(seconds, nanos as u32)
    }

    /// The middle 32 bits, as LSR and DLSR use them (units of 1/65536 s).
    #[must_use]
    pub const fn compact(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

impl Add<Duration> for NtpTime {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        let fraction = (u64::from(rhs.subsec_nanos()) << 32) / 1_000_000_000;
        Self(self.0.wrapping_add(rhs.as_secs() << 32).wrapping_add(fraction))
    }
}

/// The two clocks of a world, handed over once: what the wall clock said when the
/// monotonic clock stood at [`Instant::ZERO`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epoch {
    /// Wall clock at [`Instant::ZERO`].
    pub ntp: NtpTime,
}

impl Epoch {
    /// The wall clock at `now`.
    #[must_use]
    pub fn ntp_at(self, now: Instant) -> NtpTime {
        self.ntp + now.elapsed()
    }
}

/// The earlier of two moments, of those that come at all.
#[inline]
#[must_use]
pub fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compact_form_is_the_middle_of_the_ntp_time() {
        let time = NtpTime::from_bits(0x1122_3344_5566_7788);
        assert_eq!(time.compact(), 0x3344_5566);
    }

    #[test]
    fn the_clocks_of_1900_and_of_1970_show_the_same_moment() {
        let at = Duration::new(1_795_457_520, 500_000_000);
        let time = NtpTime::from_unix(at);
        assert_eq!(time.to_bits(), (4_004_446_320 << 32) | 0x8000_0000);
        assert_eq!(time.since_unix(), at);
        assert_eq!(NtpTime::from_bits(7 << 32).since_unix(), Duration::ZERO);
    }

    #[test]
    fn half_a_second_is_half_of_the_fraction() {
        let epoch = Epoch { ntp: NtpTime::from_bits(5 << 32) };
        assert_eq!(epoch.ntp_at(Instant::from_millis(1500)).to_bits(), (6 << 32) | 0x8000_0000);
    }

    #[test]
    fn instants_saturate_and_know_their_sign() {
        let (early, late) = (Instant::from_millis(1), Instant::from_millis(3));
        assert_eq!(late.since(early), Duration::from_millis(2));
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(early.signed_nanos_since(late), -2_000_000);
    }
}
