//! What can be said about the reception of one source: extended numbers, loss and
//! fraction lost (RFC 3550 A.1, A.3), interarrival jitter (6.4.1 exactly, and A.8 in
//! integers as reports carry it), duplicates, reordering (RFC 4737 section 3), bursts and
//! gaps (RFC 3611 section 4.7.2). Deviation: jitter starts afresh when the source restarts
//! or changes its clock rate (RFC 7160), instead of taking the step for jitter.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::ReportBlock;
use crate::event::Order;
use crate::fault::{self, Fault};
use crate::rtp::sequence::{Limits, Sequenced, TimestampUnwrapper, Unwrapper};
use crate::time::{Instant, NtpTime};

/// How many numbers back a packet can be told from a duplicate.
pub const WINDOW: u16 = 1024;

/// Gmin of RFC 3611: so many packets received in a row end a burst.
pub const GAP_MIN: u64 = 16;

/// A packet that counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reception {
    /// Extended sequence number.
    pub sequence: u64,
    /// Where it stands.
    pub order: Order,
    /// Whether the source began a new run of numbers with it.
    pub restarted: bool,
    /// Interarrival jitter after it, in timestamp units.
    pub jitter: f64,
    /// Arrival minus timestamp in timestamp units, relative to the first packet of the
    /// run.
    pub transit: i64,
}

/// A packet that does not count (yet).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The source has not shown enough packets in order.
    Probation,
    /// A jump that no second packet has confirmed.
    Jump,
}

/// Interarrival jitter of RFC 3550 section 6.4.1 in both forms.
#[derive(Clone, Copy, Debug, Default)]
struct Jitter {
    exact: f64,
    /// Appendix A.8: sixteen times the value.
    scaled: u32,
    before: Option<Before>,
}

/// The packet before, as jitter needs it.
#[derive(Clone, Copy, Debug)]
struct Before {
    arrival: Instant,
    timestamp: u32,
    /// Arrival in whole timestamp units minus the timestamp, modulo 2³².
    transit: u32,
}

impl Jitter {
    fn update(&mut self, arrival: Instant, timestamp: u32, clock_rate: u32) {
        let transit = (ticks(arrival.as_nanos(), clock_rate) as u32).wrapping_sub(timestamp);
        if let Some(before) = self.before {
            let step = timestamp.wrapping_sub(before.timestamp).cast_signed();
            let spacing = arrival.signed_nanos_since(before.arrival) as f64;
            let mut difference = spacing * f64::from(clock_rate) / 1e9 - f64::from(step);
            if fault::is(Fault::JitterInMilliseconds) {
                difference *= 1e3 / f64::from(clock_rate);
            }
            let divisor = if fault::is(Fault::JitterDivisorEight) { 8.0 } else { 16.0 };
            self.exact += (difference.abs() - self.exact) / divisor;
            let whole = transit.wrapping_sub(before.transit).cast_signed().unsigned_abs();
            let decay = self.scaled.wrapping_add(8) >> 4;
            self.scaled = self.scaled.saturating_add(whole).saturating_sub(decay);
        }
        self.before = Some(Before { arrival, timestamp, transit });
    }

    fn change_rate(&mut self, from: u32, to: u32) {
        let ratio = f64::from(to) / f64::from(from);
        self.exact *= ratio;
        self.scaled = (f64::from(self.scaled) * ratio) as u32;
        self.before = None;
    }
}

/// Nanoseconds as whole ticks.
const fn ticks(nanos: u64, clock_rate: u32) -> u64 {
    let rate = clock_rate as u64;
    (nanos / 1_000_000_000) * rate + (nanos % 1_000_000_000) * rate / 1_000_000_000
}

/// Losses in bursts and in the gaps between them (RFC 3611 section 4.7.2), in packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BurstGap {
    /// How many bursts there were: two losses or more with fewer than [`GAP_MIN`] packets
    /// received between any neighbours of them.
    pub burst_count: u64,
    /// Packets in bursts, lost or not.
    pub burst_packets: u64,
    /// Packets lost in bursts.
    pub burst_lost: u64,
    /// Packets outside of bursts, lost or not.
    pub gap_packets: u64,
    /// Packets lost outside of bursts, each alone.
    pub gap_lost: u64,
}

impl BurstGap {
    /// Share of packets lost within bursts, 0 to 1.
    #[must_use]
    pub fn burst_density(&self) -> f64 {
        ratio(self.burst_lost, self.burst_packets)
    }

    /// Share of packets lost within gaps, 0 to 1.
    #[must_use]
    pub fn gap_density(&self) -> f64 {
        ratio(self.gap_lost, self.gap_packets)
    }

    /// Mean length of a burst in packets.
    #[must_use]
    pub fn burst_length(&self) -> f64 {
        ratio(self.burst_packets, self.burst_count)
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Sorts losses into bursts and gaps, in the order of numbers.
#[derive(Clone, Copy, Debug, Default)]
struct LossRun {
    settled: BurstGap,
    /// Losses that may yet be a burst, and the packets from the first to the last one.
    lost: u64,
    span: u64,
    /// Received in a row since.
    received: u64,
}

impl LossRun {
    fn record(&mut self, received: bool) {
        if received {
            self.received += 1;
            return;
        }
        let gap_min = if fault::is(Fault::GapMinHalved) { GAP_MIN / 2 } else { GAP_MIN };
        if self.lost == 0 || self.received >= gap_min {
            self.settle();
            self.lost = 1;
            self.span = 1;
        } else {
            self.lost += 1;
            self.span += self.received + 1;
        }
        self.received = 0;
    }

    /// Closes what is open, as if only received packets followed.
    fn settle(&mut self) {
        if self.lost >= 2 {
            self.settled.burst_count += 1;
            self.settled.burst_packets += self.span;
            self.settled.burst_lost += self.lost;
        } else {
            self.settled.gap_packets += self.span;
            self.settled.gap_lost += self.lost;
        }
        self.settled.gap_packets += self.received;
        (self.lost, self.span, self.received) = (0, 0, 0);
    }
}

/// Which of the newest [`WINDOW`] numbers came.
#[derive(Clone, Debug, Default)]
struct Seen([u64; WINDOW as usize / 64]);

impl Seen {
    const fn place(sequence: u64) -> (usize, u64) {
        let slot = sequence % WINDOW as u64;
        ((slot / 64) as usize, 1 << (slot % 64))
    }

    /// Marks a number; whether it was marked before.
    fn mark(&mut self, sequence: u64) -> bool {
        let (word, bit) = Self::place(sequence);
        let before = self.0[word] & bit != 0;
        self.0[word] |= bit;
        before
    }

    /// Whether a number is marked.
    const fn has(&self, sequence: u64) -> bool {
        let (word, bit) = Self::place(sequence);
        self.0[word] & bit != 0
    }

    /// Unmarks a number; whether it was marked.
    fn take(&mut self, sequence: u64) -> bool {
        let (word, bit) = Self::place(sequence);
        let before = self.0[word] & bit != 0;
        self.0[word] &= !bit;
        before
    }
}

/// Counts of one source, since its first packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceStats {
    /// Packets that count, duplicates included.
    pub packets_received: u64,
    /// Bytes of payload in them.
    pub bytes_received: u64,
    /// Expected minus received as RFC 3550 A.3 has it: duplicates lower it.
    pub packets_lost: i64,
    /// Numbers between the lowest and the highest that never came, duplicates aside.
    pub packets_missing: u64,
    /// Numbers that came more than once: how many packets too many.
    pub packets_duplicated: u64,
    /// Packets below the highest number, not seen before (RFC 4737 type-P-reordered).
    pub packets_reordered: u64,
    /// Greatest distance of one of them from the highest number at its arrival.
    pub reordering_extent_max: u64,
    /// Interarrival jitter in timestamp units, exact.
    pub jitter_ticks: f64,
    /// The same in seconds.
    pub jitter: f64,
    /// Mean of the exact jitter over all packets, in timestamp units.
    pub jitter_ticks_mean: f64,
    /// Greatest exact jitter, in timestamp units.
    pub jitter_ticks_max: f64,
    /// How often the source began a new run of numbers.
    pub restarts: u64,
    /// Packets refused on probation.
    pub packets_on_probation: u64,
    /// Packets refused as unconfirmed jumps.
    pub packets_beyond_limits: u64,
    /// Losses in bursts and gaps.
    pub loss: BurstGap,
}

/// Reception of one source.
#[derive(Clone, Debug)]
pub struct Source {
    ssrc: u32,
    clock_rate: u32,
    unwrapper: Unwrapper,
    timestamps: TimestampUnwrapper,
    /// Arrival and extended timestamp of the first packet of the run.
    first: Option<(Instant, i64)>,
    /// Lowest and highest extended number of the run.
    lowest: u64,
    newest: Option<u64>,
    /// Extended number of the first packet of the run.
    run_base: u64,
    jitter: Jitter,
    jitter_sum: f64,
    seen: Seen,
    losses: LossRun,
    stats: SourceStats,
    /// Of the runs before this one.
    earlier_expected: u64,
    earlier_span: u64,
    /// At the last report (A.3).
    expected_prior: u64,
    received_prior: u64,
    sender_report: Option<(u32, Instant)>,
}

impl Source {
    /// A source that has not been heard of. A clock rate of 0 is taken for 1.
    #[must_use]
    pub fn new(ssrc: u32, clock_rate: u32, limits: Limits) -> Self {
        let misorder_max = limits.misorder_max.min(WINDOW - 1);
        Self {
            ssrc,
            clock_rate: clock_rate.max(1),
            unwrapper: Unwrapper::new(Limits { misorder_max, ..limits }),
            timestamps: TimestampUnwrapper::new(),
            first: None,
            lowest: 0,
            newest: None,
            run_base: 0,
            jitter: Jitter::default(),
            jitter_sum: 0.0,
            seen: Seen::default(),
            losses: LossRun::default(),
            stats: SourceStats::default(),
            earlier_expected: 0,
            earlier_span: 0,
            expected_prior: 0,
            received_prior: 0,
            sender_report: None,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// Ticks of its RTP clock in a second.
    #[must_use]
    pub const fn clock_rate(&self) -> u32 {
        self.clock_rate
    }

    /// The next packets count time differently (a payload type with another clock).
    pub fn change_clock_rate(&mut self, clock_rate: u32) {
        let clock_rate = clock_rate.max(1);
        if clock_rate != self.clock_rate {
            self.jitter.change_rate(self.clock_rate, clock_rate);
            self.jitter_sum *= f64::from(clock_rate) / f64::from(self.clock_rate);
            self.stats.jitter_ticks_max *= f64::from(clock_rate) / f64::from(self.clock_rate);
            self.clock_rate = clock_rate;
            self.timestamps.reset();
            self.first = None;
        }
    }

    /// The extended number of a packet that came by another way (RFC 4588), near the newest.
    #[must_use]
    pub fn near_newest(&self, number: u16) -> Option<u64> {
        let newest = self.newest?;
        let step = number.wrapping_sub(newest as u16).cast_signed();
        newest.checked_add_signed(i64::from(step))
    }

    /// Takes one packet.
    ///
    /// # Errors
    /// Packets that RFC 3550 A.1 does not count.
    #[inline]
    pub fn receive(
        &mut self,
        now: Instant,
        number: u16,
        timestamp: u32,
        payload_length: usize,
    ) -> Result<Reception, Refusal> {
        let mut restarted = false;
        let (sequence, order) = match self.unwrapper.update(number) {
            Sequenced::Advanced { extended, .. } => {
                self.advance(extended);
                (extended, Order::Advanced)
            }
            Sequenced::Repeated { extended } => (extended, self.behind(extended, extended)),
            Sequenced::Behind { extended } => {
                (extended, self.behind(extended, self.unwrapper.highest()))
            }
            Sequenced::Restarted { extended } => {
                restarted = true;
                self.restart(extended);
                (extended, Order::Advanced)
            }
            Sequenced::Probation => {
                self.stats.packets_on_probation += 1;
                return Err(Refusal::Probation);
            }
            Sequenced::Jump => {
                self.stats.packets_beyond_limits += 1;
                return Err(Refusal::Jump);
            }
        };
        self.stats.packets_received += 1;
        self.stats.bytes_received += payload_length as u64;
        self.jitter.update(now, timestamp, self.clock_rate);
        self.jitter_sum += self.jitter.exact;
        self.stats.jitter_ticks_max = self.stats.jitter_ticks_max.max(self.jitter.exact);
        let transit = self.transit(now, timestamp);
        let sequence = match fault::is(Fault::WrapNotCounted) {
            true => self.run_base & !0xffff | sequence & 0xffff,
            false => sequence,
        };
        Ok(Reception { sequence, order, restarted, jitter: self.jitter.exact, transit })
    }

    fn transit(&mut self, now: Instant, timestamp: u32) -> i64 {
        let extended = self.timestamps.update(timestamp);
        let (arrival, first) = *self.first.get_or_insert((now, extended));
        let elapsed = ticks(now.since(arrival).as_nanos() as u64, self.clock_rate).cast_signed();
        elapsed.wrapping_sub(extended.wrapping_sub(first))
    }

    fn advance(&mut self, sequence: u64) {
        let Some(before) = self.newest.replace(sequence) else {
            self.lowest = sequence;
            self.run_base = sequence;
            self.seen.mark(sequence);
            return;
        };
        for entering in before + 1..=sequence {
            // The number that leaves the window had the same place in it: it is settled.
            let came = self.seen.take(entering);
            if entering - u64::from(WINDOW) >= self.lowest {
                self.losses.record(came);
            }
        }
        self.seen.mark(sequence);
    }

    fn behind(&mut self, sequence: u64, highest: u64) -> Order {
        if self.seen.mark(sequence) {
            if fault::is(Fault::DuplicateCountedReordered) {
                self.stats.packets_reordered += 1;
                return Order::Reordered;
            }
            self.stats.packets_duplicated += 1;
            return Order::Duplicate;
        }
        self.lowest = self.lowest.min(sequence);
        self.stats.packets_reordered += 1;
        self.stats.reordering_extent_max = self.stats.reordering_extent_max.max(highest - sequence);
        Order::Reordered
    }

    fn restart(&mut self, sequence: u64) {
        self.stats.restarts += 1;
        self.earlier_expected += self.run_expected();
        self.earlier_span += self.run_span();
        self.losses = self.settled_losses();
        self.seen = Seen::default();
        self.seen.mark(sequence);
        self.newest = Some(sequence);
        self.lowest = sequence;
        self.run_base = sequence;
        self.timestamps.reset();
        self.first = None;
        self.jitter.before = None;
    }

    /// Packets expected in this run: from the first to the highest one.
    fn run_expected(&self) -> u64 {
        self.newest.map_or(0, |newest| newest - self.run_base + 1)
    }

    /// Numbers from the lowest to the highest of the run.
    fn run_span(&self) -> u64 {
        self.newest.map_or(0, |newest| newest - self.lowest + 1)
    }

    /// The losses as they would stand if the run ended here.
    fn settled_losses(&self) -> LossRun {
        let mut losses = self.losses;
        if let Some(newest) = self.newest {
            let oldest = self.lowest.max(newest + 1 - u64::from(WINDOW));
            for sequence in oldest..=newest {
                losses.record(self.seen.has(sequence));
            }
        }
        losses.settle();
        losses
    }

    /// Packets expected by now, over all runs (RFC 3550 A.3).
    fn expected(&self) -> u64 {
        self.earlier_expected + self.run_expected()
    }

    /// Remembers a sender report of this source, for the round-trip time of its sender.
    pub const fn sender_report(&mut self, now: Instant, ntp: NtpTime) {
        self.sender_report = Some((ntp.compact(), now));
    }

    /// What to report now; the next fraction lost counts from here (RFC 3550 A.3).
    pub fn report(&mut self, now: Instant) -> ReportBlock {
        let (expected, received) = (self.expected(), self.stats.packets_received);
        let expected_now = expected.saturating_sub(self.expected_prior);
        let received_now = received - self.received_prior;
        (self.expected_prior, self.received_prior) = (expected, received);
        let lost_now = expected_now.saturating_sub(received_now);
        let whole = if fault::is(Fault::FractionLostInPercent) { 100 } else { 1 << 8 };
        let fraction = (lost_now * whole).checked_div(expected_now).unwrap_or(0);
        let (last, delay) = match self.sender_report {
            Some((compact, arrived)) if fault::is(Fault::DelaySinceReportInMilliseconds) => {
                (compact, now.since(arrived).as_millis() as u32)
            }
            Some((compact, arrived)) => (compact, compact_duration(now.since(arrived))),
            None => (0, 0),
        };
        let lost = self.packets_lost() - i64::from(fault::is(Fault::ExpectedOffByOne));
        let lost = lost.clamp(i64::from(i32::MIN), i64::from(i32::MAX));
        let mut highest_sequence = self.unwrapper.highest_since_first_cycle();
        if fault::is(Fault::ReportedHighestWithoutCycles) {
            highest_sequence &= 0xffff;
        }
        let jitter_shift = if fault::is(Fault::ReportedJitterUnscaled) { 0 } else { 4 };
        ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: fraction.min(255) as u8,
            packets_lost: lost as i32,
            highest_sequence,
            jitter: self.jitter.scaled >> jitter_shift,
            last_sender_report: last,
            delay_since_last_sender_report: delay,
        }
    }

    fn packets_lost(&self) -> i64 {
        self.expected().cast_signed() - self.stats.packets_received.cast_signed()
    }

    /// Packets received so far, duplicates included.
    #[must_use]
    pub const fn packets_received(&self) -> u64 {
        self.stats.packets_received
    }

    /// Everything counted so far. Walks the window: not meant for each packet.
    #[must_use]
    pub fn stats(&self) -> SourceStats {
        let mut unique = self.stats.packets_received - self.stats.packets_duplicated;
        if fault::is(Fault::ReorderedCountedMissing) {
            unique -= self.stats.packets_reordered;
        }
        let received = self.stats.packets_received;
        let packets_lost = match fault::is(Fault::LossIgnoresDuplicates) {
            true => self.packets_lost() + self.stats.packets_duplicated.cast_signed(),
            false => self.packets_lost(),
        };
        let seconds_rate = match fault::is(Fault::JitterSecondsAtEightKilohertz) {
            true => 8_000,
            false => self.clock_rate,
        };
        SourceStats {
            packets_lost,
            packets_missing: (self.earlier_span + self.run_span()).saturating_sub(unique),
            jitter_ticks: self.jitter.exact,
            jitter: self.jitter.exact / f64::from(seconds_rate),
            jitter_ticks_mean: if received == 0 { 0.0 } else { self.jitter_sum / received as f64 },
            loss: self.settled_losses().settled,
            ..self.stats
        }
    }
}

/// A duration in 1/65536 s, as DLSR has it; saturates.
#[must_use]
pub fn compact_duration(duration: Duration) -> u32 {
    let fraction = (u64::from(duration.subsec_nanos()) << 16) / 1_000_000_000;
    let whole = duration.as_secs().saturating_mul(1 << 16);
    u32::try_from(whole.saturating_add(fraction)).unwrap_or(u32::MAX)
}

/// The round trip that a report block tells of: `now` minus the time of our sender report
/// minus what the peer kept it for (RFC 3550 section 6.4.1). None when the block names no
/// report of ours, or its times cannot be.
#[must_use]
pub fn round_trip_time(now: NtpTime, block: &ReportBlock) -> Option<Duration> {
    if block.last_sender_report == 0 {
        return None;
    }
    let since = now.compact().wrapping_sub(block.last_sender_report);
    let trip = since.wrapping_sub(block.delay_since_last_sender_report).cast_signed();
    let trip = u64::try_from(trip).ok()?;
    Some(Duration::from_nanos((trip * 1_000_000_000) >> 16))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Limits = Limits { sequential_min: 1, ..Limits::RFC };

    fn receive(source: &mut Source, ms: u64, number: u16, timestamp: u32) -> Reception {
        source.receive(Instant::from_millis(ms), number, timestamp, 100).expect("it counts")
    }

    #[test]
    fn jitter_follows_the_formula_on_a_worked_example() {
        // 8 kHz, 20 ms apart in timestamps; arrivals at 0, 20, 45, 60 ms.
        let mut source = Source::new(1, 8_000, ONE);
        assert_eq!(receive(&mut source, 0, 1, 0).jitter, 0.0);
        assert_eq!(receive(&mut source, 20, 2, 160).jitter, 0.0);
        // D = 200 − 160 = 40: J = 40 / 16.
        let third = receive(&mut source, 45, 3, 320);
        assert_eq!((third.jitter, third.transit), (2.5, 40));
        // D = 120 − 160 = −40: J = 2.5 + (40 − 2.5) / 16.
        let fourth = receive(&mut source, 60, 4, 480);
        assert_eq!((fourth.jitter, fourth.transit), (4.843_75, 0));
        // In integers: 0 + 40 − 0 = 40, then 40 + 40 − (48 >> 4) = 77: 77 >> 4 = 4.
        assert_eq!(source.report(Instant::from_millis(60)).jitter, 4);
        assert_eq!(source.stats().jitter, 4.843_75 / 8_000.0);
    }

    #[test]
    fn jitter_sees_reordered_packets_in_order_of_arrival() {
        let mut source = Source::new(1, 8_000, ONE);
        receive(&mut source, 0, 1, 0);
        receive(&mut source, 40, 3, 320);
        // Arrives with no spacing and a step of −160: |D| = 160.
        assert_eq!(receive(&mut source, 40, 2, 160).jitter, 10.0);
    }

    #[test]
    fn loss_counts_duplicates_as_the_rfc_does_and_the_truth_beside_it() {
        let mut source = Source::new(1, 8_000, ONE);
        for number in [10, 11, 13, 13, 12, 16] {
            receive(&mut source, u64::from(number), number, 0);
        }
        let stats = source.stats();
        assert_eq!(stats.packets_received, 6);
        assert_eq!(stats.packets_lost, 1, "seven expected, six received");
        assert_eq!(stats.packets_missing, 2, "14 and 15");
        assert_eq!(stats.packets_duplicated, 1);
        assert_eq!(stats.packets_reordered, 1);
        assert_eq!(stats.reordering_extent_max, 1);
    }

    #[test]
    fn the_fraction_lost_is_of_the_time_since_the_report_before() {
        let mut source = Source::new(1, 8_000, ONE);
        for number in [0, 1, 2, 3] {
            receive(&mut source, 0, number, 0);
        }
        assert_eq!(source.report(Instant::ZERO).fraction_lost, 0);
        for number in [5, 7] {
            receive(&mut source, 0, number, 0);
        }
        let report = source.report(Instant::ZERO);
        assert_eq!((report.fraction_lost, report.packets_lost), (128, 2));
        assert_eq!(report.highest_sequence, 7);
        assert_eq!(source.report(Instant::ZERO).fraction_lost, 0, "nothing was expected");
    }

    #[test]
    fn two_losses_near_each_other_are_a_burst_and_a_lonely_one_is_not() {
        let mut source = Source::new(1, 8_000, ONE);
        for number in (0..200).filter(|n| ![20, 23, 24, 100, 117].contains(n)) {
            receive(&mut source, 0, number, 0);
        }
        let loss = source.stats().loss;
        assert_eq!((loss.burst_count, loss.burst_packets, loss.burst_lost), (1, 5, 3));
        // 100 and 117 have sixteen received packets between them: each alone.
        assert_eq!((loss.gap_packets, loss.gap_lost), (195, 2));
    }

    #[test]
    fn a_late_packet_takes_its_loss_back() {
        let mut source = Source::new(1, 8_000, ONE);
        for number in [0, 1, 4, 5, 2, 3] {
            receive(&mut source, 0, number, 0);
        }
        assert_eq!(source.stats().loss, BurstGap { gap_packets: 6, ..BurstGap::default() });
    }

    #[test]
    fn long_runs_settle_losses_when_they_leave_the_window() {
        let mut source = Source::new(1, 8_000, ONE);
        for number in (0..50_000u32).filter(|n| n % 1000 != 999) {
            receive(&mut source, 0, number as u16, 0);
        }
        let stats = source.stats();
        assert_eq!((stats.loss.gap_lost, stats.loss.burst_lost), (49, 0));
        assert_eq!(stats.packets_missing, 49);
    }

    #[test]
    fn a_restart_keeps_the_losses_and_forgets_the_jitter_of_the_step() {
        let mut source = Source::new(1, 8_000, ONE);
        receive(&mut source, 0, 1, 0);
        receive(&mut source, 20, 3, 320);
        let jump = source.receive(Instant::from_millis(40), 40_000, 9_999, 1);
        assert_eq!(jump, Err(Refusal::Jump));
        let reception = receive(&mut source, 60, 40_001, 99_999);
        assert!(reception.restarted);
        assert_eq!(reception.transit, 0);
        let stats = source.stats();
        assert_eq!((stats.restarts, stats.packets_beyond_limits), (1, 1));
        assert_eq!((stats.packets_missing, stats.packets_lost), (1, 1));
        assert_eq!(stats.jitter_ticks, 10.0, "only the loss of 1 to 3: D = 160 − 320");
    }

    #[test]
    fn the_round_trip_of_the_rfcs_figure_2_is_6_125_seconds() {
        let block = ReportBlock {
            last_sender_report: 0xb705_2000,
            delay_since_last_sender_report: 0x0005_4000,
            ..ReportBlock::default()
        };
        let now = NtpTime::from_bits(0xb44d_b710_8000_0000);
        assert_eq!(now.compact(), 0xb710_8000);
        assert_eq!(round_trip_time(now, &block), Some(Duration::from_millis(6_125)));
        assert_eq!(round_trip_time(now, &ReportBlock::default()), None);
    }

    #[test]
    fn the_delay_since_a_sender_report_counts_65536ths() {
        let mut source = Source::new(1, 8_000, ONE);
        source
            .sender_report(Instant::from_millis(1_000), NtpTime::from_bits(0x1234_5678_9abc_def0));
        let report = source.report(Instant::from_millis(2_500));
        assert_eq!(report.last_sender_report, 0x5678_9abc);
        assert_eq!(report.delay_since_last_sender_report, 0x1_8000);
    }
}
