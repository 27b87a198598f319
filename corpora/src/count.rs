//! What is in a recording, counted from its bytes alone.
//!
//! Loss by ranges of sequence numbers and restarts as in RFC 3550 appendix A.1, reordering as in
//! RFC 4737 section 3.4, digits as in RFC 4733. Written apart from the media code, which is judged
//! by it: exact and simple before fast, and nothing is estimated.

use std::collections::BTreeSet;

use crate::arrival::ArrivalKind;
use crate::codec::Codec;
use crate::flow::FlowId;
use crate::open::Opened;
use crate::recording::Recording;
use crate::rtp::{self, Class, Header};

/// A jump forward of so many sequence numbers is no loss (`MAX_DROPOUT`).
const DROPOUT: i64 = 3_000;
/// A packet so far back is no late one (`MAX_MISORDER`).
const MISORDER: i64 = 100;

/// What was counted. Of a file that is no capture, only what it can tell is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// See [`Truth::packets`](crate::truth::Truth::packets).
    pub packets: Option<u64>,
    /// See [`Truth::lost`](crate::truth::Truth::lost).
    pub lost: Option<u64>,
    /// See [`Truth::reordered`](crate::truth::Truth::reordered).
    pub reordered: Option<u64>,
    /// See [`Truth::duplicates`](crate::truth::Truth::duplicates).
    pub duplicates: Option<u64>,
    /// See [`Truth::restarts`](crate::truth::Truth::restarts).
    pub restarts: Option<u64>,
    /// See [`Truth::rtcp`](crate::truth::Truth::rtcp).
    pub rtcp: Option<u64>,
    /// See [`Truth::other`](crate::truth::Truth::other).
    pub other: Option<u64>,
    /// See [`Truth::duration_ms`](crate::truth::Truth::duration_ms); rounded to the nearest.
    pub duration_ms: Option<u64>,
    /// See [`Truth::digits`](crate::truth::Truth::digits); `None` without telephone-events.
    pub digits: Option<String>,
    /// See [`Truth::frames`](crate::truth::Truth::frames).
    pub frames: Option<u64>,
}

impl Counts {
    /// Counts everything in a file.
    pub fn of(opened: &Opened) -> Self {
        match opened {
            Opened::Recording(recording) => Self::of_recording(recording),
            Opened::AnnexB(stream) => {
                let frames = stream.access_units().iter().filter(|unit| unit.picture).count();
                Self { frames: Some(frames as u64), ..Self::default() }
            }
            Opened::Wav(wav) => Self { duration_ms: Some(wav.duration_ms()), ..Self::default() },
            Opened::OggOpus(stream) => Self {
                packets: Some(stream.packets.len() as u64),
                duration_ms: Some(stream.duration_ms()),
                ..Self::default()
            },
        }
    }

    fn of_recording(recording: &Recording) -> Self {
        let mut total = Self::of_flows(recording, |_| true);
        total.rtcp = Some(recording.count_of(ArrivalKind::Rtcp));
        total.other = Some(recording.count_of(ArrivalKind::Other));
        total.duration_ms = Some(milliseconds(recording.duration()));
        total
    }

    /// Counts the flows of one SSRC.
    pub fn of_ssrc(recording: &Recording, ssrc: u32) -> Self {
        Self::of_flows(recording, |id| recording.flow(id).ssrc == ssrc)
    }

    /// Counts one flow.
    pub fn of_flow(recording: &Recording, flow: FlowId) -> Self {
        Self::of_flows(recording, |id| id == flow)
    }

    fn of_flows(recording: &Recording, wanted: impl Fn(FlowId) -> bool) -> Self {
        let mut tallies: Vec<Option<Tally>> =
            recording.flows.iter().map(|flow| wanted(flow.id).then(Tally::default)).collect();
        for arrival in &recording.arrivals {
            let (Some(id), ArrivalKind::Rtp) = (arrival.flow, arrival.kind) else { continue };
            let cut = arrival.missing > 0;
            let Class::Rtp(header) = rtp::classify(&arrival.payload, cut) else { continue };
            let Some(tally) = &mut tallies[usize::from(id.0)] else { continue };
            let payloads = &recording.flow(id).payloads;
            let codec = payloads
                .iter()
                .find(|payload| payload.payload_type == header.payload_type)
                .and_then(|payload| payload.codec.as_ref());
            tally.push(&header, codec, &arrival.payload, cut);
        }
        let mut counts = Self {
            packets: Some(0),
            lost: Some(0),
            reordered: Some(0),
            duplicates: Some(0),
            restarts: Some(0),
            frames: Some(0),
            ..Self::default()
        };
        let (mut first, mut last) = (None, None);
        for (flow, tally) in recording.flows.iter().zip(tallies) {
            let Some(tally) = tally else { continue };
            first = first.into_iter().chain([flow.first]).min();
            last = last.into_iter().chain([flow.last]).max();
            counts.add(tally);
        }
        if let (Some(first), Some(last)) = (first, last) {
            counts.duration_ms = Some(milliseconds(last - first));
        }
        counts
    }

    fn add(&mut self, tally: Tally) {
        let plus = |sum: &mut Option<u64>, more: u64| *sum = Some(sum.unwrap_or(0) + more);
        let Tally { sequence, digits, frames } = tally;
        let sequence = sequence.finish();
        plus(&mut self.packets, sequence.packets);
        plus(&mut self.lost, sequence.lost);
        plus(&mut self.reordered, sequence.reordered);
        plus(&mut self.duplicates, sequence.duplicates);
        plus(&mut self.restarts, sequence.restarts);
        plus(&mut self.frames, frames.len() as u64);
        if let Some(digits) = digits {
            self.digits.get_or_insert_default().push_str(&digits.finish());
        }
    }
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    ((duration.as_nanos() + 500_000) / 1_000_000) as u64
}

/// What is counted of one flow.
#[derive(Default)]
struct Tally {
    sequence: Sequence,
    digits: Option<Digits>,
    /// Timestamps of H.264 packets.
    frames: BTreeSet<u32>,
}

impl Tally {
    fn push(&mut self, header: &Header, codec: Option<&Codec>, datagram: &[u8], cut: bool) {
        self.sequence.push(header.sequence_number, header.timestamp);
        match codec {
            Some(Codec::H264) => {
                self.frames.insert(header.timestamp);
            }
            Some(Codec::TelephoneEvent) => {
                if let Some(range) = rtp::payload(datagram, cut) {
                    self.digits.get_or_insert_default().push(header.timestamp, &datagram[range]);
                }
            }
            _ => {}
        }
    }
}

/// The course of the sequence numbers of one flow.
#[derive(Default)]
struct Sequence {
    packets: u64,
    lost: u64,
    reordered: u64,
    duplicates: u64,
    restarts: u64,
    /// Extended sequence numbers that have arrived since the last restart, in order, with their
    /// timestamps.
    seen: Vec<(i64, u32)>,
    /// What would confirm that the packet before was a restart, and that packet.
    candidate: Option<(u16, (u16, u32))>,
}

impl Sequence {
    fn push(&mut self, number: u16, timestamp: u32) {
        self.packets += 1;
        let Some(&(highest, _)) = self.seen.last() else {
            self.seen.push((i64::from(number), timestamp));
            return;
        };
        let candidate = self.candidate.take();
        let step = i64::from(number.wrapping_sub(highest as u16) as i16);
        let extended = highest + step;
        if (1..DROPOUT).contains(&step) {
            self.seen.push((extended, timestamp));
            return;
        }
        let place = self.seen.binary_search_by_key(&extended, |(known, _)| *known);
        match place {
            // Far back only a true copy is a duplicate: the same number may be a restart.
            Ok(at) if step >= -MISORDER || self.seen[at].1 == timestamp => self.duplicates += 1,
            Err(at) if (-MISORDER..0).contains(&step) => {
                self.reordered += 1;
                self.seen.insert(at, (extended, timestamp));
            }
            _ => match candidate {
                Some((awaited, first)) if awaited == number => {
                    self.restarts += 1;
                    self.close();
                    let (number, timestamp_before) = first;
                    let start = i64::from(number);
                    self.seen.extend([(start, timestamp_before), (start + 1, timestamp)]);
                }
                _ => self.candidate = Some((number.wrapping_add(1), (number, timestamp))),
            },
        }
    }

    /// Counts what is missing from the range that ends here.
    fn close(&mut self) {
        if let (Some((lowest, _)), Some((highest, _))) = (self.seen.first(), self.seen.last()) {
            self.lost += (highest - lowest + 1) as u64 - self.seen.len() as u64;
        }
        self.seen.clear();
    }

    fn finish(mut self) -> Self {
        self.close();
        self
    }
}

/// The telephone-events of one flow.
#[derive(Default)]
struct Digits {
    last_timestamp: Option<(u32, i64)>,
    /// Start (unwrapped) and event.
    events: BTreeSet<(i64, u8)>,
}

/// Events per packet that are looked at; a packet holds few.
const EVENTS_MAX: usize = 16;

impl Digits {
    fn push(&mut self, timestamp: u32, payload: &[u8]) {
        let (before, ticks) = self.last_timestamp.unwrap_or((timestamp, 0));
        let mut start = ticks + i64::from(timestamp.wrapping_sub(before) as i32);
        self.last_timestamp = Some((timestamp, start));
        // Further events in a packet begin where the one before ends.
        for event in payload.chunks_exact(4).take(EVENTS_MAX) {
            self.events.insert((start, event[0]));
            start += i64::from(u16::from_be_bytes([event[2], event[3]]));
        }
    }

    fn finish(self) -> String {
        /// How long an event can be before it goes on as another one (RFC 4733 section 2.5.1.3).
        const SEGMENT: i64 = 0xffff;
        let goes_on = |(start, event): (i64, u8)| self.events.contains(&(start - SEGMENT, event));
        self.events
            .iter()
            .filter(|event| !goes_on(**event))
            .filter_map(|(_, event)| "0123456789*#ABCD!".chars().nth(usize::from(*event)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(numbers: impl IntoIterator<Item = u16>) -> (u64, u64, u64, u64, u64) {
        let mut sequence = Sequence::default();
        for number in numbers {
            sequence.push(number, u32::from(number) * 160);
        }
        let s = sequence.finish();
        (s.packets, s.lost, s.reordered, s.duplicates, s.restarts)
    }

    #[test]
    fn loss_reordering_and_duplicates_are_told_apart_across_the_wrap() {
        assert_eq!(counted([65_533, 65_534, 65_535, 0, 1]), (5, 0, 0, 0, 0));
        assert_eq!(counted([65_533, 65_535, 0, 65_534, 3, 3, 1]), (7, 1, 2, 1, 0));
        assert_eq!(counted([10, 9, 8, 8, 11]), (5, 0, 2, 1, 0));
        assert_eq!(counted((0..=65_535).chain(0..=65_535)), (131_072, 0, 0, 0, 0));
    }

    #[test]
    fn a_jump_is_a_restart_once_the_next_packet_confirms_it() {
        assert_eq!(counted([1, 2, 30_000, 30_001, 30_003]), (5, 1, 0, 0, 1));
        assert_eq!(counted([1, 2, 30_000, 3, 4]), (5, 0, 0, 0, 0), "a stray one");
        assert_eq!(counted([1, 2, 3_001, 3_002]), (4, 2_998, 0, 0, 0), "the longest loss");
        assert_eq!(counted([1, 2, 3_002, 3_003]), (4, 0, 0, 0, 1));
    }

    #[test]
    fn a_replay_of_long_ago_is_a_duplicate_but_a_restart_at_used_numbers_is_none() {
        assert_eq!(counted((0..1_000).chain(10..20)), (1_010, 0, 0, 10, 0));
        let mut sequence = Sequence::default();
        for number in 0..1_000 {
            sequence.push(number, u32::from(number));
        }
        for number in 10..20 {
            sequence.push(number, 1_000_000 + u32::from(number));
        }
        let sequence = sequence.finish();
        assert_eq!((sequence.duplicates, sequence.restarts, sequence.lost), (0, 1, 0));
    }

    #[test]
    fn each_digit_is_counted_once_however_often_it_is_sent_and_however_long() {
        let mut digits = Digits::default();
        let start = u32::MAX - 100;
        for (timestamp, event, duration) in [
            (start, 1, 160_u16),
            (start, 1, 320),
            (start.wrapping_add(2_000), 11, 160),
            (start, 1, 480),
            (start.wrapping_add(90_000), 5, 0xffff),
            (start.wrapping_add(90_000 + 0xffff), 5, 800),
        ] {
            let [high, low] = duration.to_be_bytes();
            digits.push(timestamp, &[event, 10, high, low]);
        }
        assert_eq!(digits.finish(), "1#5");
    }
}
