//! Sender and receiver reports, source descriptions and goodbyes (RFC 3550 sections 6.4
//! to 6.6).

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{BodyError, Reader};
use crate::time::NtpTime;

/// How many sources a report, SDES or BYE packet can hold: five bits count them.
pub const COUNT_MAX: usize = 31;

/// The least and the greatest cumulative loss that 24 bits can say.
const LOST_MIN: i32 = -(1 << 23);
const LOST_MAX: i32 = (1 << 23) - 1;

/// How one source is received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// Which source.
    pub ssrc: u32,
    /// Share of packets lost since the report before, in 256ths.
    pub fraction_lost: u8,
    /// Packets lost since the beginning, negative with duplicates; saturates at 24 bits.
    pub packets_lost: i32,
    /// Cycles and highest sequence number received.
    pub highest_sequence: u32,
    /// Interarrival jitter in timestamp units.
    pub jitter: u32,
    /// Compact NTP time of the last sender report from there, 0 if none came.
    pub last_sender_report: u32,
    /// Since that report arrived, in 1/65536 s.
    pub delay_since_last_sender_report: u32,
}

impl ReportBlock {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BodyError> {
        let ssrc = reader.u32()?;
        let loss = reader.u32()?;
        Ok(Self {
            ssrc,
            fraction_lost: (loss >> 24) as u8,
            packets_lost: (loss << 8).cast_signed() >> 8,
            highest_sequence: reader.u32()?,
            jitter: reader.u32()?,
            last_sender_report: reader.u32()?,
            delay_since_last_sender_report: reader.u32()?,
        })
    }

    fn write(&self, out: &mut BytesMut) {
        let lost = self.packets_lost.clamp(LOST_MIN, LOST_MAX).cast_unsigned() & 0x00ff_ffff;
        out.put_u32(self.ssrc);
        out.put_u32(u32::from(self.fraction_lost) << 24 | lost);
        out.put_u32(self.highest_sequence);
        out.put_u32(self.jitter);
        out.put_u32(self.last_sender_report);
        out.put_u32(self.delay_since_last_sender_report);
    }

    fn parse_all(count: u8, reader: &mut Reader<'_>) -> Result<Vec<Self>, BodyError> {
        (0..count).map(|_| Self::parse(reader)).collect()
    }

    fn write_all(blocks: &[Self], out: &mut BytesMut) -> u8 {
        let blocks = &blocks[..blocks.len().min(COUNT_MAX)];
        for block in blocks {
            block.write(out);
        }
        blocks.len() as u8
    }
}

/// What a source sends, and how it receives others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SenderReport {
    /// Who reports.
    pub ssrc: u32,
    /// Wall clock when this was sent.
    pub ntp: NtpTime,
    /// The same moment on the RTP clock.
    pub rtp_timestamp: u32,
    /// Packets sent so far; wraps.
    pub packet_count: u32,
    /// Bytes of payload sent so far; wraps.
    pub octet_count: u32,
    /// At most [`COUNT_MAX`].
    pub reports: Vec<ReportBlock>,
    /// What a profile adds; whole words.
    pub extension: Bytes,
}

impl SenderReport {
    pub(super) fn parse(count: u8, body: &Bytes) -> Result<Self, BodyError> {
        let mut reader = Reader(body);
        Ok(Self {
            ssrc: reader.u32()?,
            ntp: NtpTime::from_bits(reader.u64()?),
            rtp_timestamp: reader.u32()?,
            packet_count: reader.u32()?,
            octet_count: reader.u32()?,
            reports: ReportBlock::parse_all(count, &mut reader)?,
            extension: body.slice(body.len() - reader.0.len()..),
        })
    }

    pub(super) fn write(&self, out: &mut BytesMut) -> u8 {
        out.put_u32(self.ssrc);
        out.put_u64(self.ntp.to_bits());
        out.put_u32(self.rtp_timestamp);
        out.put_u32(self.packet_count);
        out.put_u32(self.octet_count);
        let count = ReportBlock::write_all(&self.reports, out);
        out.put_slice(&self.extension);
        count
    }
}

/// How a side that sends nothing receives others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceiverReport {
    /// Who reports.
    pub ssrc: u32,
    /// At most [`COUNT_MAX`].
    pub reports: Vec<ReportBlock>,
    /// What a profile adds; whole words.
    pub extension: Bytes,
}

impl ReceiverReport {
    pub(super) fn parse(count: u8, body: &Bytes) -> Result<Self, BodyError> {
        let mut reader = Reader(body);
        Ok(Self {
            ssrc: reader.u32()?,
            reports: ReportBlock::parse_all(count, &mut reader)?,
            extension: body.slice(body.len() - reader.0.len()..),
        })
    }

    pub(super) fn write(&self, out: &mut BytesMut) -> u8 {
        out.put_u32(self.ssrc);
        let count = ReportBlock::write_all(&self.reports, out);
        out.put_slice(&self.extension);
        count
    }
}

/// The kind of SDES item that every source must state: its canonical name.
pub const CNAME: u8 = 1;

/// One thing said about a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// [`CNAME`], NAME, EMAIL, … (IANA); never 0.
    pub kind: u8,
    /// UTF-8 as a rule, at most 255 bytes.
    pub text: Bytes,
}

/// What is said about one source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// Which source.
    pub ssrc: u32,
    /// What is said.
    pub items: Vec<Item>,
}

/// Who sources are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceDescription {
    /// At most [`COUNT_MAX`].
    pub chunks: Vec<Chunk>,
}

impl SourceDescription {
    /// The canonical name of one source, which is all that a session says.
    #[must_use]
    pub fn canonical_name(ssrc: u32, name: Bytes) -> Self {
        Self { chunks: vec![Chunk { ssrc, items: vec![Item { kind: CNAME, text: name }] }] }
    }

    pub(super) fn parse(count: u8, body: &Bytes) -> Result<Self, BodyError> {
        let mut rest = body.clone();
        let chunks = (0..count).map(|_| Chunk::parse(&mut rest)).collect::<Result<_, _>>()?;
        if rest.is_empty() { Ok(Self { chunks }) } else { Err(excess(&rest)) }
    }

    pub(super) fn write(&self, out: &mut BytesMut) -> u8 {
        let chunks = &self.chunks[..self.chunks.len().min(COUNT_MAX)];
        for chunk in chunks {
            chunk.write(out);
        }
        chunks.len() as u8
    }
}

impl Chunk {
    fn parse(rest: &mut Bytes) -> Result<Self, BodyError> {
        let whole = rest.len();
        let ssrc = Reader(rest).u32()?;
        rest.advance(4);
        let mut items = Vec::new();
        loop {
            let kind = Reader(rest).u8()?;
            if kind == 0 {
                break;
            }
            let [_, length] = Reader(rest).take::<2>()?;
            rest.advance(2);
            let length = usize::from(length);
            if length > rest.len() {
                return Err(BodyError::Truncated { missing: length - rest.len() });
            }
            items.push(Item { kind, text: rest.split_to(length) });
        }
        // At least one null byte ends the list, and as many as fill the last word.
        let nulls = 4 - (whole - rest.len()) % 4;
        if nulls > rest.len() {
            return Err(BodyError::Truncated { missing: nulls - rest.len() });
        }
        rest.advance(nulls);
        Ok(Self { ssrc, items })
    }

    fn write(&self, out: &mut BytesMut) {
        let start = out.len();
        out.put_u32(self.ssrc);
        for item in self.items.iter().filter(|item| item.kind != 0) {
            let text = &item.text[..item.text.len().min(255)];
            out.put_u8(item.kind);
            out.put_u8(text.len() as u8);
            out.put_slice(text);
        }
        let nulls = 4 - (out.len() - start) % 4;
        out.put_bytes(0, nulls);
    }
}

/// Who leaves, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bye {
    /// At most [`COUNT_MAX`].
    pub sources: Vec<u32>,
    /// At most 255 bytes of text.
    pub reason: Option<Bytes>,
}

impl Bye {
    pub(super) fn parse(count: u8, body: &Bytes) -> Result<Self, BodyError> {
        let mut reader = Reader(body);
        let sources = (0..count).map(|_| reader.u32()).collect::<Result<_, _>>()?;
        let mut reason = None;
        if !reader.0.is_empty() {
            let length = usize::from(reader.u8()?);
            let start = body.len() - reader.0.len();
            if length > reader.0.len() {
                return Err(BodyError::Truncated { missing: length - reader.0.len() });
            }
            reason = Some(body.slice(start..start + length));
            let left = reader.0.len() - length;
            if left > 3 {
                return Err(BodyError::Excess { length: left });
            }
        }
        Ok(Self { sources, reason })
    }

    pub(super) fn write(&self, out: &mut BytesMut) -> u8 {
        let sources = &self.sources[..self.sources.len().min(COUNT_MAX)];
        for source in sources {
            out.put_u32(*source);
        }
        if let Some(reason) = &self.reason {
            let reason = &reason[..reason.len().min(255)];
            out.put_u8(reason.len() as u8);
            out.put_slice(reason);
        }
        sources.len() as u8
    }
}

/// What somebody wants to see on a media line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The index of the line, below 32.
    pub media: usize,
    /// The id of the source of the pictures, as those who contribute are named; 0 stands for
    /// whoever speaks.
    pub source: u32,
    /// How many lines the pictures may have (their shorter side), if that matters.
    pub lines_max: Option<u32>,
}

/// What an application says to another (RFC 3550 section 6.7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Application {
    /// Who says it.
    pub ssrc: u32,
    /// 0 to 31: what it means is between the two.
    pub subtype: u8,
    /// Whose kind of packet it is.
    pub name: [u8; 4],
    /// Whole words.
    pub data: Bytes,
}

impl Application {
    /// Asks for somebody's pictures ([`View`]): the subtype is the index of the media line on
    /// which they are wanted, the first word of the data the id of their source, the second, if
    /// there is one, how many lines they may have.
    pub const VIEW: [u8; 4] = *b"VIEW";

    /// Asks for somebody's pictures.
    #[must_use]
    pub fn view(view: View) -> Self {
        let words = [view.source, view.lines_max.unwrap_or(0)];
        let words = &words[..1 + usize::from(view.lines_max.is_some())];
        let data: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        let subtype = view.media as u8 & 0x1f;
        Self { ssrc: 0, subtype, name: Self::VIEW, data: data.into() }
    }

    /// Whose pictures are asked for, if that is what this does.
    #[must_use]
    pub fn as_view(&self) -> Option<View> {
        let (source, rest) = self.data.split_first_chunk().filter(|_| self.name == Self::VIEW)?;
        let lines_max = rest.first_chunk().map(|word| u32::from_be_bytes(*word));
        Some(View {
            media: usize::from(self.subtype),
            source: u32::from_be_bytes(*source),
            lines_max: lines_max.filter(|lines| *lines > 0),
        })
    }

    pub(super) fn parse(subtype: u8, body: &Bytes) -> Result<Self, BodyError> {
        let mut reader = Reader(body);
        let (ssrc, name) = (reader.u32()?, reader.take()?);
        let data = body.slice(body.len() - reader.0.len()..);
        Ok(Self { ssrc, subtype, name, data })
    }

    pub(super) fn write(&self, out: &mut BytesMut) -> u8 {
        out.put_u32(self.ssrc);
        out.put_slice(&self.name);
        out.put_slice(&self.data);
        self.subtype
    }
}

fn excess(rest: &Bytes) -> BodyError {
    BodyError::Excess { length: rest.len() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtcp::{Packet, ParseError, Rules, parse, write};

    #[test]
    fn a_sender_report_is_read_field_by_field() {
        let data = [
            0x81, 200, 0, 12, 0, 0, 0, 1, // header, SSRC
            0, 0, 0, 2, 0x80, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5, // sender info
            0, 0, 0, 6, 64, 0xff, 0xff, 0xfe, 0, 1, 0, 2, 0, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0, 9,
        ];
        let packets = parse(&Bytes::copy_from_slice(&data), Rules::Compound).expect("well formed");
        let report = SenderReport {
            ssrc: 1,
            ntp: NtpTime::from_bits(0x2_8000_0000),
            rtp_timestamp: 3,
            packet_count: 4,
            octet_count: 5,
            reports: vec![ReportBlock {
                ssrc: 6,
                fraction_lost: 64,
                packets_lost: -2,
                highest_sequence: 0x1_0002,
                jitter: 7,
                last_sender_report: 8,
                delay_since_last_sender_report: 9,
            }],
            extension: Bytes::new(),
        };
        assert_eq!(packets, [Packet::SenderReport(report)]);
        let mut out = BytesMut::new();
        write(&packets, &mut out);
        assert_eq!(&out[..], data);
    }

    #[test]
    fn a_canonical_name_ends_with_one_to_four_nulls() {
        for (name, length) in [("ab", 12), ("abc", 16), ("abcd", 16), ("abcde", 16)] {
            let sdes = SourceDescription::canonical_name(1, Bytes::from_static(name.as_bytes()));
            let mut out = BytesMut::new();
            Packet::SourceDescription(sdes.clone()).write(&mut out);
            // Header 4, SSRC 4, item 2 + name, at least one null.
            assert_eq!(out.len(), length + if name.len() == 2 { 4 } else { 0 }, "{name}");
            let back = parse(&out.freeze(), Rules::ReducedSize);
            assert_eq!(back, Ok(vec![Packet::SourceDescription(sdes)]));
        }
    }

    #[test]
    fn an_item_that_overruns_its_packet_is_named() {
        let data = [0x81, 202, 0, 2, 0, 0, 0, 1, 1, 9, b'x', 0];
        let error = parse(&Bytes::copy_from_slice(&data), Rules::ReducedSize);
        let problem = BodyError::Truncated { missing: 7 };
        assert_eq!(error, Err(ParseError::Body { packet_type: 202, offset: 0, problem }));
    }

    #[test]
    fn cumulative_loss_saturates_at_24_bits() {
        let block = ReportBlock { packets_lost: i32::MIN, ..ReportBlock::default() };
        let mut out = BytesMut::new();
        block.write(&mut out);
        let back = ReportBlock::parse(&mut Reader(&out)).expect("just written");
        assert_eq!(back.packets_lost, LOST_MIN);
    }
}
