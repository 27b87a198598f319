//! When packets of the transport arrived, for whoever sends them: transport-wide feedback
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01). The numbers run over all streams of
//! a peer. A feedback leaves a twentieth of a second after the first packet that it tells
//! of, or as soon as it has as many as fit.

use core::time::Duration;

use crate::rtcp::TransportFeedback;
use crate::rtcp::feedback::Arrived;
use crate::rtp::sequence::{Limits, Sequenced, Unwrapper};
use crate::time::Instant;

/// How long a packet waits to be told of.
const WAIT: Duration = Duration::from_millis(50);

/// How many packets are told of at once.
const PACKETS_MAX: usize = 256;

/// How far numbers of one feedback may lie apart: it grows with missing ones as well.
const SPAN_MAX: u64 = 1024;

/// Microseconds of a tick of the deltas, and of the reference time.
const TICK: u64 = 250;
const REFERENCE: u64 = 64_000;

/// What is to be told.
#[derive(Debug)]
pub(super) struct Arrivals {
    numbers: Unwrapper,
    /// Arrived and not told of yet, by number.
    waiting: Vec<(u64, Instant)>,
    /// The number after the last that was told of.
    next: Option<u64>,
    due: Option<Instant>,
    told: u8,
    pub(super) source: u32,
}

impl Arrivals {
    pub(super) fn new() -> Self {
        let limits = Limits { sequential_min: 1, dropout_max: 30_000, misorder_max: 512 };
        Self {
            numbers: Unwrapper::new(limits),
            waiting: Vec::new(),
            next: None,
            due: None,
            told: 0,
            source: 0,
        }
    }

    /// A packet of this source has arrived under this number of the transport.
    pub(super) fn take(&mut self, now: Instant, number: u16, source: u32) {
        let sequence = match self.numbers.update(number) {
            Sequenced::Advanced { extended, .. }
            | Sequenced::Behind { extended }
            | Sequenced::Restarted { extended } => extended,
            Sequenced::Repeated { .. } | Sequenced::Probation | Sequenced::Jump => return,
        };
        // What was told to be missing is missing.
        if self.next.is_some_and(|next| sequence < next) {
            return;
        }
        if let Err(place) = self.waiting.binary_search_by_key(&sequence, |(known, _)| *known) {
            self.waiting.insert(place, (sequence, now));
            self.source = source;
        }
        let full = self.waiting.len() >= PACKETS_MAX;
        let due = if full { now } else { now + WAIT };
        self.due = Some(self.due.map_or(due, |before| before.min(due)));
    }

    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// What is to be told now, if anything is.
    pub(super) fn feedback(&mut self, now: Instant, reporter: u32) -> Option<TransportFeedback> {
        self.due.filter(|due| *due <= now)?;
        let (base, first) = *self.waiting.first()?;
        let base = self.next.filter(|next| base - next < SPAN_MAX).unwrap_or(base);
        let reference = micros(first) / REFERENCE;
        let mut clock = reference * REFERENCE / TICK;
        let mut arrived = Vec::with_capacity(self.waiting.len());
        let mut count = 0;
        for (sequence, at) in &self.waiting {
            let tick = micros(*at) / TICK;
            let delta = i16::try_from(tick.cast_signed() - clock.cast_signed());
            let (true, Ok(delta)) = (sequence - base < SPAN_MAX, delta) else { break };
            arrived.push(Arrived { index: (sequence - base) as u16, delta });
            (clock, count) = (tick, sequence - base + 1);
        }
        self.waiting.drain(..arrived.len());
        self.next = Some(base + count);
        // The rest is told at once.
        self.due = (!self.waiting.is_empty()).then_some(now);
        let feedback_count = self.told;
        self.told = self.told.wrapping_add(1);
        Some(TransportFeedback {
            sender_ssrc: reporter,
            media_ssrc: self.source,
            base_sequence: base as u16,
            packet_count: count as u16,
            // 24 bits, which wrap after 12 days.
            reference_time: ((reference as u32) << 8).cast_signed() >> 8,
            feedback_count,
            arrived,
        })
    }
}

const fn micros(at: Instant) -> u64 {
    at.as_nanos() / 1_000
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Number and arrival in ticks, as a sender reads them out of feedback.
    fn read(feedback: &TransportFeedback) -> Vec<(u16, i64)> {
        let mut clock = i64::from(feedback.reference_time) * (REFERENCE / TICK) as i64;
        let step = |arrived: &Arrived| {
            clock += i64::from(arrived.delta);
            (feedback.base_sequence.wrapping_add(arrived.index), clock)
        };
        feedback.arrived.iter().map(step).collect()
    }

    #[test]
    fn a_packet_that_never_came_is_missing_and_one_that_came_late_is_in_its_place() {
        let mut arrivals = Arrivals::new();
        for (number, ms) in [(65_534, 100), (0, 104), (65_535, 105), (3, 110)] {
            arrivals.take(Instant::from_millis(ms), number, 7);
        }
        assert_eq!(arrivals.poll_timeout(), Some(Instant::from_millis(150)));
        assert_eq!(arrivals.feedback(Instant::from_millis(149), 1), None);
        let told = arrivals.feedback(Instant::from_millis(150), 1).expect("it is due");
        assert_eq!((told.base_sequence, told.packet_count, told.media_ssrc), (65_534, 6, 7));
        assert_eq!(read(&told), [(65_534, 400), (65_535, 420), (0, 416), (3, 440)]);
        assert_eq!(arrivals.feedback(Instant::from_millis(500), 1), None);
        arrivals.take(Instant::from_millis(510), 5, 7);
        arrivals.take(Instant::from_millis(511), 1, 7);
        let told = arrivals.feedback(Instant::from_millis(560), 1).expect("it is due");
        assert_eq!((told.base_sequence, told.packet_count, told.feedback_count), (4, 2, 1));
    }

    proptest! {
        #[test]
        fn every_arrival_is_told_once_and_to_the_tick(
            start in any::<u16>(),
            steps in prop::collection::vec((1..40_u16, 0..90_000_u64), 1..400),
        ) {
            let mut arrivals = Arrivals::new();
            let (mut number, mut now) = (start, Instant::from_millis(1));
            let (mut sent, mut told) = (Vec::new(), Vec::new());
            let mut ask = |arrivals: &mut Arrivals, now| {
                while let Some(feedback) = arrivals.feedback(now, 1) {
                    told.extend(read(&feedback));
                }
            };
            for (step, pause) in steps {
                number = number.wrapping_add(step);
                now += Duration::from_micros(pause);
                ask(&mut arrivals, now);
                arrivals.take(now, number, 7);
                sent.push((number, (micros(now) / TICK) as i64));
            }
            ask(&mut arrivals, now + WAIT);
            prop_assert_eq!(told, sent);
        }
    }
}
