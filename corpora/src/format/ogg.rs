//! Opus in Ogg (RFC 7845), on the `ogg` crate's pages and packets.
//!
//! The first Opus stream of a file is read, with mapping family 0 (mono or stereo): calls carry
//! no more. Pages are checked and copied by the crate, so packets are no slices of the file.

use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::rc::Rc;

use bytes::Bytes;
use ogg::{OggReadError, PacketReader, PacketWriteEndInfo, PacketWriter};

use super::{Fault, Warning, WarningKind, Warnings, array_at};
use crate::opus_packet;

/// Comments beyond this are not kept.
const COMMENTS_MAX: usize = 1_024;

/// The identification header (RFC 7845 section 5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpusHead {
    /// 1 or 2.
    pub channels: u8,
    /// Samples at 48 kHz that a player throws away at the start.
    pub pre_skip: u16,
    /// Of the sound before it was encoded, in Hz; 0 if unknown.
    pub input_sample_rate: u32,
    /// To be added when playing, in units of 1/256 dB.
    pub output_gain: i16,
}

/// The comment header (RFC 7845 section 5.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpusTags {
    /// Which encoder.
    pub vendor: String,
    /// `NAME=value`.
    pub comments: Vec<String>,
}

/// One packet of sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpusPacket {
    /// As it would be the payload of an RTP packet.
    pub data: Bytes,
    /// Samples at 48 kHz; 0 if its framing is impossible.
    pub samples: u32,
    /// The granule position of its page, if it is the last one that ends in it.
    pub granule_position: Option<u64>,
}

/// An Opus stream in an Ogg file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OggOpus {
    /// The identification header.
    pub head: OpusHead,
    /// The comment header.
    pub tags: OpusTags,
    /// The sound.
    pub packets: Vec<OpusPacket>,
    /// What is wrong with the file, without making it unusable.
    pub warnings: Vec<Warning>,
}

/// Whether the bytes begin like an Ogg file.
pub(crate) fn sniff(bytes: &[u8]) -> bool {
    bytes.starts_with(b"OggS")
}

/// Tells how far the `ogg` crate has read, which it does not tell itself.
struct Counted<'a> {
    inner: io::Cursor<&'a [u8]>,
    position: Rc<Cell<usize>>,
}

impl Counted<'_> {
    fn note(&self) {
        self.position.set(self.inner.position() as usize);
    }
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into);
        self.note();
        read
    }
}

impl Seek for Counted<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let sought = self.inner.seek(to);
        self.note();
        sought
    }
}

impl OggOpus {
    /// Reads the headers and all packets of the first Opus stream.
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let position = Rc::new(Cell::new(0));
        let inner = io::Cursor::new(bytes);
        let mut pages = PacketReader::new(Counted { inner, position: Rc::clone(&position) });
        let mut stream = Stream::default();
        // Where the last whole page ended: a fault lies behind it.
        let mut page_end = 0;
        loop {
            let packet = match pages.read_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) if page_end < bytes.len() => {
                    stream.stop(page_end, WarningKind::StrayBytes, "no page begins here")?;
                    break;
                }
                Ok(None) => break,
                Err(error) => {
                    let (kind, problem) = describe(&error);
                    stream.stop(page_end, kind, &problem)?;
                    break;
                }
            };
            stream.push(packet, page_end)?;
            page_end = position.get();
        }
        stream.finish(bytes.len())
    }

    /// Playing time in samples at 48 kHz: what is between the pre-skip and the last granule
    /// position (RFC 7845 section 4.4), or else the sum of the packets.
    pub fn samples(&self) -> u64 {
        let sum = |packets: &[OpusPacket]| packets.iter().map(|p| u64::from(p.samples)).sum();
        let all: u64 = sum(&self.packets);
        let first = self.packets.iter().position(|packet| packet.granule_position.is_some());
        let last = self.packets.iter().rposition(|packet| packet.granule_position.is_some());
        let skip = u64::from(self.head.pre_skip);
        let (Some(first), Some(last)) = (first, last) else {
            return all.saturating_sub(skip);
        };
        let granule = |at: usize| self.packets[at].granule_position.unwrap_or_default();
        // A recording that was cut out of a longer one does not start at zero.
        let start = granule(first).saturating_sub(sum(&self.packets[..=first]));
        let behind: u64 = sum(&self.packets[last + 1..]);
        let end = granule(last).saturating_add(behind);
        end.saturating_sub(start).saturating_sub(skip)
    }

    /// Playing time in milliseconds, rounded down.
    pub fn duration_ms(&self) -> u64 {
        self.samples() / 48
    }
}

fn describe(error: &OggReadError) -> (WarningKind, String) {
    match error {
        OggReadError::ReadError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            (WarningKind::TruncatedTail, "the file ends in the middle of a page".to_owned())
        }
        OggReadError::HashMismatch(stated, computed) => {
            let problem =
                format!("the page's checksum is {stated:08x}, its bytes give {computed:08x}");
            (WarningKind::Damaged, problem)
        }
        other => (WarningKind::Damaged, format!("no page that can be read: {other}")),
    }
}

/// What is known of the stream so far.
#[derive(Default)]
struct Stream {
    serial: Option<u32>,
    head: Option<OpusHead>,
    tags: Option<OpusTags>,
    packets: Vec<OpusPacket>,
    warnings: Warnings,
}

impl Stream {
    fn stop(&mut self, at: usize, kind: WarningKind, problem: &str) -> Result<(), Fault> {
        if self.packets.is_empty() {
            return Err(Fault::new(at, problem));
        }
        self.warnings.add(at, kind);
        Ok(())
    }

    fn push(&mut self, packet: ogg::Packet, at: usize) -> Result<(), Fault> {
        let opus = packet.first_in_stream() && packet.data.starts_with(b"OpusHead");
        if self.serial.is_none() && opus {
            self.serial = Some(packet.stream_serial());
            self.head = Some(read_head(&packet.data, at)?);
            return Ok(());
        }
        if self.serial != Some(packet.stream_serial()) || packet.first_in_stream() {
            self.warnings.add(at, WarningKind::OtherStreams);
            return Ok(());
        }
        if self.tags.is_none() {
            self.tags = Some(read_tags(&packet.data, at)?);
            return Ok(());
        }
        let granule = packet.absgp_page();
        let granule_position = (packet.last_in_page() && granule != u64::MAX).then_some(granule);
        let samples = opus_packet::samples(&packet.data).unwrap_or_default();
        self.packets.push(OpusPacket { data: packet.data.into(), samples, granule_position });
        Ok(())
    }

    fn finish(self, length: usize) -> Result<OggOpus, Fault> {
        let Some(head) = self.head else {
            let problem = "there is no Opus stream in this Ogg file (no OpusHead); convert it: \
                           ffmpeg -i IN -c:a libopus OUT.ogg";
            return Err(Fault::new(0, problem));
        };
        let Some(tags) = self.tags else {
            return Err(Fault::new(length, "the file ends before its comment header (OpusTags)"));
        };
        let warnings = self.warnings.into_vec();
        Ok(OggOpus { head, tags, packets: self.packets, warnings })
    }
}

fn read_head(packet: &[u8], at: usize) -> Result<OpusHead, Fault> {
    let header: [u8; 19] = array_at(packet, 0)
        .ok_or_else(|| Fault::new(at, "the OpusHead has fewer than 19 bytes"))?;
    let [_, _, _, _, _, _, _, _, version, channels, s0, s1, r0, r1, r2, r3, g0, g1, family] =
        header;
    // The upper half is the major version; a reader of 0 must refuse others.
    if version >> 4 != 0 {
        return Err(Fault::new(at, format!("OpusHead version {version} is not read")));
    }
    if family != 0 || !(1..=2).contains(&channels) {
        let problem = format!(
            "{channels} channels with mapping family {family} are not read: expected mono or \
             stereo (convert it: ffmpeg -i IN -ac 2 -c:a libopus OUT.ogg)"
        );
        return Err(Fault::new(at, problem));
    }
    Ok(OpusHead {
        channels,
        pre_skip: u16::from_le_bytes([s0, s1]),
        input_sample_rate: u32::from_le_bytes([r0, r1, r2, r3]),
        output_gain: i16::from_le_bytes([g0, g1]),
    })
}

fn read_tags(packet: &[u8], at: usize) -> Result<OpusTags, Fault> {
    if !packet.starts_with(b"OpusTags") {
        return Err(Fault::new(at, "expected OpusTags in the second packet"));
    }
    let mut rest = &packet[8..];
    let mut text = || {
        let length = u32::from_le_bytes(array_at(rest, 0)?) as usize;
        let text = rest.get(4..4_usize.checked_add(length)?)?;
        rest = &rest[4 + length..];
        Some(String::from_utf8_lossy(text).into_owned())
    };
    // Damaged comments do not change the sound: what can be read of them is kept.
    let vendor = text().unwrap_or_default();
    let mut tags = OpusTags { vendor, comments: Vec::new() };
    let count = array_at(rest, 0).map_or(0, u32::from_le_bytes) as usize;
    rest = rest.get(4..).unwrap_or_default();
    for _ in 0..count.min(COMMENTS_MAX) {
        let Some(length) = array_at(rest, 0).map(u32::from_le_bytes) else { break };
        let Some(text) = (length as usize).checked_add(4).and_then(|end| rest.get(4..end)) else {
            break;
        };
        tags.comments.push(String::from_utf8_lossy(text).into_owned());
        rest = &rest[4 + length as usize..];
    }
    Ok(tags)
}

/// Writes an Opus stream into an Ogg file, a page for every second of sound.
pub struct Writer<W: Write> {
    to: PacketWriter<'static, W>,
    serial: u32,
    granule: u64,
    on_page: u32,
    /// The last packet must say that it is the last, so one is held back.
    held: Option<Vec<u8>>,
}

impl<W: Write> Writer<W> {
    /// Writes both headers. The serial number tells streams apart; any will do.
    pub fn new(to: W, serial: u32, head: &OpusHead, tags: &OpusTags) -> io::Result<Self> {
        let mut identification = Vec::with_capacity(19);
        identification.extend(b"OpusHead\x01");
        identification.push(head.channels);
        identification.extend(head.pre_skip.to_le_bytes());
        identification.extend(head.input_sample_rate.to_le_bytes());
        identification.extend(head.output_gain.to_le_bytes());
        identification.push(0);
        let mut comments = b"OpusTags".to_vec();
        comments.extend((tags.vendor.len() as u32).to_le_bytes());
        comments.extend(tags.vendor.as_bytes());
        comments.extend((tags.comments.len() as u32).to_le_bytes());
        for comment in &tags.comments {
            comments.extend((comment.len() as u32).to_le_bytes());
            comments.extend(comment.as_bytes());
        }
        let mut to = PacketWriter::new(to);
        to.write_packet(identification, serial, PacketWriteEndInfo::EndPage, 0)?;
        to.write_packet(comments, serial, PacketWriteEndInfo::EndPage, 0)?;
        Ok(Self { to, serial, granule: 0, on_page: 0, held: None })
    }

    /// Writes a packet; its duration is taken from its first bytes.
    pub fn write_packet(&mut self, packet: Vec<u8>) -> io::Result<()> {
        match self.held.replace(packet) {
            Some(before) => self.put(before, None),
            None => Ok(()),
        }
    }

    fn put(&mut self, packet: Vec<u8>, end: Option<u64>) -> io::Result<()> {
        let samples = opus_packet::samples(&packet).unwrap_or_default();
        self.granule += u64::from(samples);
        self.on_page += samples;
        let (info, granule) = match end {
            Some(end) => (PacketWriteEndInfo::EndStream, end),
            None if self.on_page >= 48_000 => (PacketWriteEndInfo::EndPage, self.granule),
            None => (PacketWriteEndInfo::NormalPacket, self.granule),
        };
        if info == PacketWriteEndInfo::EndPage {
            self.on_page = 0;
        }
        self.to.write_packet(packet, self.serial, info, granule)
    }

    /// Ends the stream; `samples` (pre-skip included) cuts the end of the last packet off.
    pub fn finish(mut self, samples: Option<u64>) -> io::Result<W> {
        if let Some(packet) = self.held.take() {
            let whole = opus_packet::samples(&packet).unwrap_or_default();
            let all = self.granule + u64::from(whole);
            self.put(packet, Some(samples.unwrap_or(all).min(all)))?;
        }
        let mut to = self.to.into_inner();
        to.flush()?;
        Ok(to)
    }
}
