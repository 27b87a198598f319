//! Feedback: generic NACK and picture loss (RFC 4585 section 6), full intra request
//! (RFC 5104 section 4.3.1), transport-wide congestion control
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1). Of the last one only
//! the packets that arrived are kept, so that a few bytes cannot claim much memory.

use bytes::{BufMut, Bytes, BytesMut};

use super::{BodyError, Reader};

pub(super) const NACK: u8 = 1;
pub(super) const TRANSPORT_CC: u8 = 15;
pub(super) const PLI: u8 = 1;
pub(super) const FIR: u8 = 4;
pub(super) const APPLICATION: u8 = 15;

/// What a receiver's estimate begins with behind the common header.
const REMB_NAME: [u8; 4] = *b"REMB";

/// How many sources one estimate can be about: its counter has eight bits.
pub const REMB_SOURCES_MAX: usize = 255;

/// A packet that is missing, and which of the sixteen behind it are too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NackPair {
    /// Sequence number of the first one.
    pub packet: u16,
    /// Bit i: the packet i + 1 further on is missing as well.
    pub following: u16,
}

impl NackPair {
    /// The sequence numbers it names.
    pub fn numbers(self) -> impl Iterator<Item = u16> {
        let following =
            (0..16).filter(move |i| self.following >> i & 1 == 1).map(move |i| i as u16 + 1);
        core::iter::once(0).chain(following).map(move |step| self.packet.wrapping_add(step))
    }
}

/// Packets to send again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nack {
    /// Who asks.
    pub sender_ssrc: u32,
    /// Of which source.
    pub media_ssrc: u32,
    /// Which packets.
    pub pairs: Vec<NackPair>,
}

impl Nack {
    /// Packs sequence numbers, in the order in which they were sent, as tightly as the
    /// format allows.
    #[must_use]
    pub fn of(sender_ssrc: u32, media_ssrc: u32, numbers: impl IntoIterator<Item = u16>) -> Self {
        let mut pairs: Vec<NackPair> = Vec::new();
        for number in numbers {
            if let Some(pair) = pairs.last_mut() {
                let step = number.wrapping_sub(pair.packet);
                if step == 0 {
                    continue;
                }
                if step <= 16 {
                    pair.following |= 1 << (step - 1);
                    continue;
                }
            }
            pairs.push(NackPair { packet: number, following: 0 });
        }
        Self { sender_ssrc, media_ssrc, pairs }
    }

    /// The sequence numbers asked for.
    pub fn numbers(&self) -> impl Iterator<Item = u16> + '_ {
        self.pairs.iter().flat_map(|pair| pair.numbers())
    }

    pub(super) fn parse(body: &Bytes) -> Result<Self, BodyError> {
        let mut reader = Reader(body);
        let (sender_ssrc, media_ssrc) = (reader.u32()?, reader.u32()?);
        let mut pairs = Vec::with_capacity(reader.0.len() / 4);
        while !reader.0.is_empty() {
            pairs.push(NackPair { packet: reader.u16()?, following: reader.u16()? });
        }
        Ok(Self { sender_ssrc, media_ssrc, pairs })
    }

    pub(super) fn write(&self, out: &mut BytesMut) {
        out.put_u32(self.sender_ssrc);
        out.put_u32(self.media_ssrc);
        for pair in &self.pairs {
            out.put_u16(pair.packet);
            out.put_u16(pair.following);
        }
    }
}

/// A picture of this source was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PictureLoss {
    /// Who says so.
    pub sender_ssrc: u32,
    /// Of which source.
    pub media_ssrc: u32,
}

impl PictureLoss {
    pub(super) fn parse(body: &Bytes) -> Result<Self, BodyError> {
        let mut reader = Reader(body);
        let pli = Self { sender_ssrc: reader.u32()?, media_ssrc: reader.u32()? };
        end(&reader).map(|()| pli)
    }

    pub(super) fn write(self, out: &mut BytesMut) {
        out.put_u32(self.sender_ssrc);
        out.put_u32(self.media_ssrc);
    }
}

/// A key frame is wanted of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FullIntraEntry {
    /// Of which source.
    pub ssrc: u32,
    /// The same for repetitions of one request.
    pub sequence_number: u8,
}

/// Key frames are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FullIntraRequest {
    /// Who asks.
    pub sender_ssrc: u32,
    /// Of which sources.
    pub entries: Vec<FullIntraEntry>,
}

impl FullIntraRequest {
    pub(super) fn parse(body: &Bytes) -> Result<Self, BodyError> {
        let mut reader = Reader(body);
        let sender_ssrc = reader.u32()?;
        // The media source of the common header is unused (RFC 5104 section 4.3.1.2).
        reader.u32()?;
        let mut entries = Vec::with_capacity(reader.0.len() / 8);
        while !reader.0.is_empty() {
            let (ssrc, word) = (reader.u32()?, reader.u32()?);
            entries.push(FullIntraEntry { ssrc, sequence_number: (word >> 24) as u8 });
        }
        Ok(Self { sender_ssrc, entries })
    }

    pub(super) fn write(&self, out: &mut BytesMut) {
        out.put_u32(self.sender_ssrc);
        out.put_u32(0);
        for entry in &self.entries {
            out.put_u32(entry.ssrc);
            out.put_u32(u32::from(entry.sequence_number) << 24);
        }
    }
}

/// How much whoever receives thinks the path to it carries
/// (draft-alvestrand-rmcat-remb-03 section 2.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceiverEstimate {
    /// Who says so.
    pub sender_ssrc: u32,
    /// Bits per second; 18 significant bits of it are written.
    pub bitrate: u64,
    /// Of which sources, at most [`REMB_SOURCES_MAX`].
    pub sources: Vec<u32>,
}

impl ReceiverEstimate {
    /// Whether a body with this format is one.
    pub(super) fn is_one(body: &[u8]) -> bool {
        body.get(8..12) == Some(&REMB_NAME)
    }

    pub(super) fn parse(body: &Bytes) -> Result<Self, BodyError> {
        let mut reader = Reader(body);
        let sender_ssrc = reader.u32()?;
        // The media source is unused, and the name was looked at.
        reader.u32()?;
        reader.u32()?;
        let word = reader.u32()?;
        let (count, exponent, mantissa) = (word >> 24, word >> 18 & 0x3f, word & 0x3_ffff);
        // What does not fit is more than any path carries.
        let bitrate = u128::from(mantissa) << exponent;
        let bitrate = u64::try_from(bitrate).unwrap_or(u64::MAX);
        let sources = (0..count).map(|_| reader.u32()).collect::<Result<_, _>>()?;
        end(&reader).map(|()| Self { sender_ssrc, bitrate, sources })
    }

    pub(super) fn write(&self, out: &mut BytesMut) {
        let exponent = (64 - self.bitrate.leading_zeros()).saturating_sub(18);
        let mantissa = (self.bitrate >> exponent) as u32;
        let sources = &self.sources[..self.sources.len().min(REMB_SOURCES_MAX)];
        out.put_u32(self.sender_ssrc);
        out.put_u32(0);
        out.put_slice(&REMB_NAME);
        out.put_u32((sources.len() as u32) << 24 | exponent << 18 | mantissa);
        for source in sources {
            out.put_u32(*source);
        }
    }
}

/// A packet that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// How many numbers after the first one of the feedback.
    pub index: u16,
    /// Since the arrival before (or the reference time), in units of 250 µs.
    pub delta: i16,
}

/// Which packets of the transport arrived, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransportFeedback {
    /// Who reports.
    pub sender_ssrc: u32,
    /// Any source of the transport.
    pub media_ssrc: u32,
    /// Transport-wide number of the first packet reported on.
    pub base_sequence: u16,
    /// How many packets are reported on.
    pub packet_count: u16,
    /// Clock of the reporter, signed 24 bits in units of 64 ms.
    pub reference_time: i32,
    /// Counts feedback packets; wraps.
    pub feedback_count: u8,
    /// Those that arrived, by number; all others are missing.
    pub arrived: Vec<Arrived>,
}

/// What two bits say about a packet.
const MISSING: u8 = 0;
const SMALL: u8 = 1;
const LARGE: u8 = 2;
const RUN_MAX: usize = 0x1fff;

impl TransportFeedback {
    pub(super) fn parse(body: &Bytes) -> Result<Self, BodyError> {
        let mut reader = Reader(body);
        let mut feedback = Self {
            sender_ssrc: reader.u32()?,
            media_ssrc: reader.u32()?,
            base_sequence: reader.u16()?,
            packet_count: reader.u16()?,
            ..Self::default()
        };
        let word = reader.u32()?;
        feedback.reference_time = word.cast_signed() >> 8;
        feedback.feedback_count = word as u8;
        let statuses = reader.0;
        let chunks = skip_chunks(&mut reader, feedback.packet_count)?;
        let mut symbols = Symbols::new(&statuses[..chunks], feedback.packet_count);
        while let Some((index, symbol)) = symbols.next_arrived()? {
            let delta = match symbol {
                SMALL => i16::from(reader.u8()?),
                _ => reader.u16()?.cast_signed(),
            };
            feedback.arrived.push(Arrived { index, delta });
        }
        // Up to three bytes fill the last word.
        if reader.0.len() > 3 {
            return Err(BodyError::Excess { length: reader.0.len() });
        }
        Ok(feedback)
    }

    pub(super) fn write(&self, out: &mut BytesMut) {
        out.put_u32(self.sender_ssrc);
        out.put_u32(self.media_ssrc);
        out.put_u16(self.base_sequence);
        out.put_u16(self.packet_count);
        out.put_u32((self.reference_time.cast_unsigned() << 8) | u32::from(self.feedback_count));
        let mut pending: Vec<(u8, usize)> = Vec::new();
        let mut next = 0;
        let arrived = || self.arrived.iter().filter(|a| a.index < self.packet_count);
        for packet in arrived() {
            if packet.index > next {
                push_run(&mut pending, MISSING, usize::from(packet.index - next));
            }
            push_run(&mut pending, symbol_of(packet.delta), 1);
            next = packet.index + 1;
        }
        push_run(&mut pending, MISSING, usize::from(self.packet_count - next));
        write_chunks(&mut pending, out);
        for packet in arrived() {
            match u8::try_from(packet.delta) {
                Ok(small) => out.put_u8(small),
                Err(_) => out.put_i16(packet.delta),
            }
        }
    }
}

fn symbol_of(delta: i16) -> u8 {
    if (0..=255).contains(&delta) { SMALL } else { LARGE }
}

fn push_run(runs: &mut Vec<(u8, usize)>, symbol: u8, length: usize) {
    if length == 0 {
        return;
    }
    match runs.last_mut() {
        Some((last, count)) if *last == symbol => *count += length,
        _ => runs.push((symbol, length)),
    }
}

/// Writes runs of symbols as run-length chunks where a run fills at least one vector, as
/// vectors of seven two-bit symbols otherwise.
fn write_chunks(runs: &mut [(u8, usize)], out: &mut BytesMut) {
    let mut at = 0;
    while at < runs.len() {
        let (symbol, length) = runs[at];
        if length == 0 {
            at += 1;
            continue;
        }
        if length >= 7 || at + 1 == runs.len() {
            let part = length.min(RUN_MAX);
            out.put_u16(u16::from(symbol) << 13 | part as u16);
            runs[at].1 -= part;
            continue;
        }
        let mut vector = 0xc000;
        for slot in 0..7 {
            while at < runs.len() && runs[at].1 == 0 {
                at += 1;
            }
            if let Some((symbol, length)) = runs.get_mut(at) {
                vector |= u16::from(*symbol) << (12 - 2 * slot);
                *length -= 1;
            }
        }
        out.put_u16(vector);
    }
}

/// How many bytes of status chunks it takes to cover `count` packets; moves past them.
fn skip_chunks(reader: &mut Reader<'_>, count: u16) -> Result<usize, BodyError> {
    let whole = reader.0.len();
    let mut left = usize::from(count);
    while left > 0 {
        let chunk = reader.u16()?;
        let covered = match chunk >> 14 {
            0 | 1 => usize::from(chunk & 0x1fff),
            2 => 14,
            _ => 7,
        };
        if chunk >> 15 == 0 && (covered == 0 || covered > left) {
            return Err(BodyError::StatusOverrun);
        }
        left = left.saturating_sub(covered);
    }
    Ok(whole - reader.0.len())
}

/// Walks status chunks without spreading them out in memory.
struct Symbols<'a> {
    chunks: &'a [u8],
    index: u32,
    count: u32,
    chunk: u16,
    left: u16,
}

impl<'a> Symbols<'a> {
    const fn new(chunks: &'a [u8], count: u16) -> Self {
        Self { chunks, index: 0, count: count as u32, chunk: 0, left: 0 }
    }

    /// The next packet that arrived, and whether its delta is small or large.
    fn next_arrived(&mut self) -> Result<Option<(u16, u8)>, BodyError> {
        while self.index < self.count {
            if self.left == 0 {
                let Some((head, rest)) = self.chunks.split_first_chunk::<2>() else {
                    return Err(BodyError::StatusOverrun);
                };
                self.chunk = u16::from_be_bytes(*head);
                self.chunks = rest;
                self.left = match self.chunk >> 14 {
                    0 | 1 => self.chunk & 0x1fff,
                    2 => 14,
                    _ => 7,
                };
                continue;
            }
            let symbol = match self.chunk >> 14 {
                0 | 1 => {
                    let symbol = (self.chunk >> 13 & 3) as u8;
                    if symbol == MISSING {
                        self.index += u32::from(self.left);
                        self.left = 0;
                        continue;
                    }
                    symbol
                }
                2 => (self.chunk >> (self.left - 1) & 1) as u8,
                _ => (self.chunk >> (2 * (self.left - 1)) & 3) as u8,
            };
            let index = self.index as u16;
            self.index += 1;
            self.left -= 1;
            match symbol {
                MISSING => {}
                SMALL | LARGE => return Ok(Some((index, symbol))),
                _ => return Err(BodyError::ReservedStatus),
            }
        }
        Ok(None)
    }
}

fn end(reader: &Reader<'_>) -> Result<(), BodyError> {
    if reader.0.is_empty() { Ok(()) } else { Err(BodyError::Excess { length: reader.0.len() }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{Packet, ParseError, Rules, parse};

    fn parse_one(data: &[u8]) -> Result<Packet, ParseError> {
        parse(&Bytes::copy_from_slice(data), Rules::ReducedSize)
            .map(|mut packets| packets.remove(0))
    }

    #[test]
    fn a_nack_packs_sixteen_followers_into_one_pair_across_the_wrap() {
        let nack = Nack::of(1, 2, [65_535, 0, 15, 16, 17]);
        let pairs =
            [NackPair { packet: 65_535, following: 0x8001 }, NackPair { packet: 16, following: 1 }];
        assert_eq!(nack.pairs, pairs);
        assert_eq!(nack.numbers().collect::<Vec<_>>(), [65_535, 0, 15, 16, 17]);
    }

    #[test]
    fn an_estimate_of_a_receiver_is_read_as_chromium_writes_it() {
        let data = [
            0x8f, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, // header, SSRCs
            b'R', b'E', b'M', b'B', 1, 0x07, 0xff, 0xff, // 0x3ffff << 1
            0, 0, 0, 9,
        ];
        let estimate = ReceiverEstimate { sender_ssrc: 1, bitrate: 0x7_fffe, sources: vec![9] };
        assert_eq!(parse_one(&data), Ok(Packet::ReceiverEstimate(estimate.clone())));
        let mut out = BytesMut::new();
        Packet::ReceiverEstimate(estimate).write(&mut out);
        assert_eq!(out[..], data);
        let huge = [&data[..17], &[0xff; 3], &data[20..]].concat();
        let Ok(Packet::ReceiverEstimate(huge)) = parse_one(&huge) else { panic!("it is one") };
        assert_eq!(huge.bitrate, u64::MAX);
    }

    #[test]
    fn a_transport_feedback_is_read_chunk_by_chunk() {
        let data = [
            0x8f, 205, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2, // header, SSRCs
            0, 10, 0, 9, 0xff, 0xff, 0xff,
            7, // base 10, nine packets, reference −1, count 7
            0x20, 2, // two small ones
            0xd2, 0, // small, missing, large, missing …
            4, 5, 6, // small deltas
            0xff, 0xfe, 0, 0, 0, // large delta −2, filler
        ];
        let Ok(Packet::TransportFeedback(feedback)) = parse_one(&data) else {
            panic!("well formed: {:?}", parse_one(&data));
        };
        assert_eq!((feedback.base_sequence, feedback.packet_count), (10, 9));
        assert_eq!((feedback.reference_time, feedback.feedback_count), (-1, 7));
        let arrived: Vec<_> = feedback.arrived.iter().map(|a| (a.index, a.delta)).collect();
        assert_eq!(arrived, [(0, 4), (1, 5), (2, 6), (4, -2)]);
    }

    #[test]
    fn a_reserved_status_and_an_empty_run_are_refused() {
        let head = |chunk: [u8; 2]| {
            let mut data = vec![0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0];
            data.extend(chunk);
            data.extend([0, 0]);
            match parse_one(&data) {
                Err(ParseError::Body { problem, .. }) => problem,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(head([0x60, 1]), BodyError::ReservedStatus);
        assert_eq!(head([0xf0, 0]), BodyError::ReservedStatus);
        assert_eq!(head([0x20, 0]), BodyError::StatusOverrun);
        assert_eq!(head([0x20, 2]), BodyError::StatusOverrun);
    }

    #[test]
    fn a_feedback_about_65535_missing_packets_takes_no_memory() {
        let all_missing =
            TransportFeedback { packet_count: u16::MAX, ..TransportFeedback::default() };
        let mut out = BytesMut::new();
        Packet::TransportFeedback(all_missing.clone()).write(&mut out);
        assert!(out.len() < 64, "{}", out.len());
        assert_eq!(parse_one(&out), Ok(Packet::TransportFeedback(all_missing)));
    }
}
