//! Order for numbers that wrap. [`Unwrapper`] extends RTP sequence numbers as RFC 3550
//! appendix A.1 does: probation for new sources, gaps and misordering within limits,
//! a restart once two packets agree on it. [`TimestampUnwrapper`] extends timestamps.
//! Deviations: extended numbers begin in cycle 1, so that packets from before the first
//! one have a number as well, and a restart moves to a new cycle, so that they never
//! repeat.

use serde::{Deserialize, Serialize};

use crate::fault::{self, Fault};

/// The cycle of the first packet.
const FIRST_CYCLE: u64 = 1 << 16;

/// What is taken for one run of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How many packets must follow each other before a source counts (MIN_SEQUENTIAL);
    /// 0 or 1 takes the first one.
    pub sequential_min: u16,
    /// A step forward of so much is a jump, not a gap (MAX_DROPOUT).
    pub dropout_max: u16,
    /// A step back of more is a jump, not misordering (MAX_MISORDER).
    pub misorder_max: u16,
}

impl Limits {
    /// The values of RFC 3550 appendix A.1.
    pub const RFC: Self = Self { sequential_min: 2, dropout_max: 3000, misorder_max: 100 };
}

impl Default for Limits {
    /// Takes the first packet, since a session checks addresses and payload types, and
    /// the first packet of a video begins a key frame; and allows for the reordering that
    /// retransmission brings.
    fn default() -> Self {
        Self { sequential_min: 1, dropout_max: 3000, misorder_max: 1000 }
    }
}

/// Where a number stands in its run. All variants but the last two are good packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequenced {
    /// The highest so far; `skipped` numbers lie between it and the highest before.
    Advanced {
        /// Its extended number.
        extended: u64,
        /// How many numbers were stepped over.
        skipped: u16,
    },
    /// The highest so far once more.
    Repeated {
        /// Its extended number.
        extended: u64,
    },
    /// Below the highest: misordered, or a duplicate.
    Behind {
        /// Its extended number.
        extended: u64,
    },
    /// The source began a new run, and this is the second packet of it.
    Restarted {
        /// Its extended number, in a new cycle.
        extended: u64,
    },
    /// The source has not yet shown enough packets in order.
    Probation,
    /// Too far from the run; the start of a new one if the next number follows.
    Jump,
}

/// Extends the sequence numbers of one source.
#[derive(Clone, Debug)]
pub struct Unwrapper {
    limits: Limits,
    /// Extended; meaningless before the first packet.
    highest: u64,
    /// First extended number of the run.
    base: u64,
    /// What the next packet has to be to confirm a jump.
    expected_after_jump: Option<u16>,
    /// Packets in order that are still missing.
    probation: u16,
    started: bool,
}

impl Default for Unwrapper {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Unwrapper {
    /// An unwrapper that has seen nothing.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            limits,
            highest: 0,
            base: 0,
            expected_after_jump: None,
            probation: limits.sequential_min,
            started: false,
        }
    }

    /// The highest extended number so far; 0 before the first good packet.
    #[must_use]
    pub const fn highest(&self) -> u64 {
        if self.is_valid() { self.highest } else { 0 }
    }

    /// The highest number as RFC 3550 counts it, from cycle 0: what reports carry.
    #[must_use]
    pub const fn highest_since_first_cycle(&self) -> u32 {
        self.highest().saturating_sub(FIRST_CYCLE) as u32
    }

    /// The extended number that the run began with.
    #[must_use]
    pub const fn base(&self) -> u64 {
        self.base
    }

    /// Whether probation is over.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.started && self.probation == 0
    }

    /// Places a number.
    #[inline]
    pub fn update(&mut self, number: u16) -> Sequenced {
        if !self.is_valid() {
            return self.update_on_probation(number);
        }
        let delta = number.wrapping_sub(self.highest as u16);
        if delta == 0 {
            self.expected_after_jump = None;
            return Sequenced::Repeated { extended: self.highest };
        }
        if delta < self.limits.dropout_max {
            let wrapped = number < self.highest as u16;
            self.highest += u64::from(delta);
            if fault::is(Fault::SequenceOffByOne) && wrapped {
                self.highest -= 1;
            }
            self.expected_after_jump = None;
            return Sequenced::Advanced { extended: self.highest, skipped: delta - 1 };
        }
        let back = delta.wrapping_neg();
        if back <= self.limits.misorder_max {
            return Sequenced::Behind { extended: self.highest - u64::from(back) };
        }
        if self.expected_after_jump == Some(number) && !fault::is(Fault::RestartIgnored) {
            // One cycle is left out, for packets from before the restart.
            let cycle = (self.highest & !0xffff) + 2 * FIRST_CYCLE;
            self.highest = cycle | u64::from(number);
            self.base = self.highest;
            self.expected_after_jump = None;
            return Sequenced::Restarted { extended: self.highest };
        }
        self.expected_after_jump = Some(number.wrapping_add(1));
        Sequenced::Jump
    }

    fn update_on_probation(&mut self, number: u16) -> Sequenced {
        let follows = self.started && number == (self.highest as u16).wrapping_add(1);
        if follows {
            self.probation = self.probation.saturating_sub(1);
            self.highest += 1;
        } else {
            self.probation = self.limits.sequential_min.saturating_sub(1);
            self.highest = FIRST_CYCLE | u64::from(number);
            self.started = true;
        }
        if self.probation > 0 {
            return Sequenced::Probation;
        }
        self.base = self.highest;
        Sequenced::Advanced { extended: self.highest, skipped: 0 }
    }
}

/// Extends the timestamps of one source: each is taken for the one nearest to the newest
/// so far, so steps of up to 2³¹ − 1 ticks either way are understood.
#[derive(Clone, Copy, Debug, Default)]
pub struct TimestampUnwrapper {
    newest: Option<i64>,
}

impl TimestampUnwrapper {
    /// An unwrapper that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { newest: None }
    }

    /// The extended timestamp; the first one extends to itself.
    #[inline]
    pub fn update(&mut self, timestamp: u32) -> i64 {
        let extended = self.peek(timestamp);
        self.newest = Some(self.newest.map_or(extended, |newest| newest.max(extended)));
        extended
    }

    /// What `update` would say, without learning from it.
    #[must_use]
    pub fn peek(&self, timestamp: u32) -> i64 {
        match self.newest {
            None => i64::from(timestamp),
            Some(newest) => {
                let step = timestamp.wrapping_sub(newest as u32).cast_signed();
                newest + i64::from(step)
            }
        }
    }

    /// Forgets everything: the source began again.
    pub const fn reset(&mut self) {
        self.newest = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advanced(extended: u64, skipped: u16) -> Sequenced {
        Sequenced::Advanced { extended, skipped }
    }

    #[test]
    fn a_wrap_opens_a_new_cycle() {
        let mut unwrapper = Unwrapper::default();
        assert_eq!(unwrapper.update(65_534), advanced(0x1_fffe, 0));
        assert_eq!(unwrapper.update(1), advanced(0x2_0001, 2));
        assert_eq!(unwrapper.update(65_535), Sequenced::Behind { extended: 0x1_ffff });
        assert_eq!(unwrapper.update(1), Sequenced::Repeated { extended: 0x2_0001 });
    }

    #[test]
    fn a_packet_from_before_the_first_has_a_number_too() {
        let mut unwrapper = Unwrapper::default();
        unwrapper.update(0);
        assert_eq!(unwrapper.update(65_535), Sequenced::Behind { extended: 0xffff });
    }

    #[test]
    fn probation_ends_with_two_packets_in_order() {
        let mut unwrapper = Unwrapper::new(Limits::RFC);
        assert_eq!(unwrapper.update(7), Sequenced::Probation);
        assert_eq!(unwrapper.update(9), Sequenced::Probation);
        assert_eq!(unwrapper.highest(), 0);
        assert_eq!(unwrapper.update(10), advanced(0x1_000a, 0));
        assert_eq!(unwrapper.base(), 0x1_000a);
    }

    #[test]
    fn a_jump_counts_once_a_second_packet_confirms_it() {
        let mut unwrapper = Unwrapper::default();
        unwrapper.update(100);
        assert_eq!(unwrapper.update(40_000), Sequenced::Jump);
        assert_eq!(unwrapper.update(101), advanced(0x1_0065, 0), "a stray packet changes nothing");
        assert_eq!(unwrapper.update(40_000), Sequenced::Jump);
        assert_eq!(unwrapper.update(40_001), Sequenced::Restarted { extended: 0x3_9c41 });
        assert_eq!(unwrapper.base(), 0x3_9c41);
    }

    #[test]
    fn the_limits_are_where_the_rfc_has_them() {
        let mut unwrapper = Unwrapper::new(Limits { sequential_min: 1, ..Limits::RFC });
        unwrapper.update(0);
        assert_eq!(unwrapper.update(2_999), advanced(0x1_0bb7, 2_998));
        assert_eq!(unwrapper.update(5_999), Sequenced::Jump);
        assert_eq!(unwrapper.update(2_899), Sequenced::Behind { extended: 0x1_0b53 });
        assert_eq!(unwrapper.update(2_898), Sequenced::Jump);
    }

    #[test]
    fn timestamps_extend_both_ways_across_the_wrap() {
        let mut unwrapper = TimestampUnwrapper::new();
        assert_eq!(unwrapper.update(u32::MAX - 1), i64::from(u32::MAX) - 1);
        assert_eq!(unwrapper.update(1), i64::from(u32::MAX) + 2);
        assert_eq!(unwrapper.update(u32::MAX), i64::from(u32::MAX));
        assert_eq!(unwrapper.update(2), i64::from(u32::MAX) + 3);
    }
}
