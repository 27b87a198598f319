//! The newer capture file (draft-ietf-opsawg-pcapng): sections of interfaces and packet blocks.
//!
//! Reads section headers, interface descriptions (with `if_tsresol` and `if_tsoffset`), enhanced,
//! simple and old packet blocks of both byte orders; every other block is passed over. Parsed
//! here for the same reasons as [`pcap`](super::pcap).

use std::io::{self, Write};
use std::net::SocketAddr;

use super::link::{self, LinkType};
use super::{ByteOrder, Captured, Fault, WarningKind, Warnings, array_at};

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const INTERFACE_DESCRIPTION: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

const OPTION_END: u16 = 0;
const OPTION_COMMENT: u16 = 1;
const OPTION_TSRESOL: u16 = 9;
const OPTION_TSOFFSET: u16 = 14;

/// Interfaces of one section; a further one and its packets are passed over.
const INTERFACES_MAX: usize = 4_096;

/// Whether the bytes begin like a pcapng file.
pub(crate) fn sniff(bytes: &[u8]) -> bool {
    bytes.starts_with(&SECTION_HEADER.to_be_bytes())
}

/// How the 64-bit times of an interface turn into nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Clock {
    units_per_second: u128,
    offset_seconds: i64,
}

impl Clock {
    const MICROSECONDS: Self = Self { units_per_second: 1_000_000, offset_seconds: 0 };

    /// `if_tsresol`: a power of ten, or of two if the highest bit is set.
    fn with_resolution(self, resolution: u8) -> Option<Self> {
        let exponent = u32::from(resolution & 0x7f);
        let base: u128 = if resolution & 0x80 == 0 { 10 } else { 2 };
        // Finer than 64-bit times can be in a second makes every time zero: not a clock.
        let units_per_second = base.checked_pow(exponent).filter(|units| *units <= 1 << 64)?;
        Some(Self { units_per_second, ..self })
    }

    #[inline]
    fn nanoseconds(self, units: u64) -> u64 {
        if self.offset_seconds == 0 {
            match self.units_per_second {
                1_000_000_000 => return units,
                1_000_000 => return units.saturating_mul(1_000),
                _ => {}
            }
        }
        let own = u128::from(units) * 1_000_000_000 / self.units_per_second;
        let own = i128::try_from(own).unwrap_or(i128::MAX);
        let sum = own.saturating_add(i128::from(self.offset_seconds) * 1_000_000_000);
        u64::try_from(sum.max(0)).unwrap_or(u64::MAX)
    }
}

#[derive(Debug, Clone, Copy)]
struct Interface {
    link: LinkType,
    snap_length: u32,
    clock: Clock,
}

/// Reads the packets of a file, section after section.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
    order: ByteOrder,
    interfaces: Vec<Interface>,
    last_at: u64,
    warnings: Warnings,
}

/// A block: what it is, and where its body lies.
struct Block {
    kind: u32,
    body: std::ops::Range<usize>,
}

impl<'a> Reader<'a> {
    /// Checks that the file begins with a whole section header.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Fault> {
        if !sniff(bytes) {
            return Err(Fault::new(0, "expected the section header of a pcapng file (0a0d0d0a)"));
        }
        let mut reader = Self {
            bytes,
            offset: 0,
            order: ByteOrder::Little,
            interfaces: Vec::new(),
            last_at: 0,
            warnings: Warnings::default(),
        };
        match reader.next_block() {
            Ok(Some(_)) => Ok(reader),
            Ok(None) => Err(Fault::new(0, "the file is empty")),
            Err(fault) => Err(fault.0),
        }
    }

    pub(crate) fn into_warnings(self) -> Warnings {
        self.warnings
    }

    fn u16_at(&self, offset: usize) -> Option<u16> {
        Some(self.order.u16(array_at(self.bytes, offset)?))
    }

    fn u32_at(&self, offset: usize) -> Option<u32> {
        Some(self.order.u32(array_at(self.bytes, offset)?))
    }

    /// The next block; a section header sets the byte order and forgets the interfaces.
    #[inline]
    fn next_block(&mut self) -> Result<Option<Block>, (Fault, WarningKind)> {
        let start = self.offset;
        let left = self.bytes.len() - start;
        if left == 0 {
            return Ok(None);
        }
        let cut = || {
            let problem = "the file ends in the middle of a block".to_owned();
            (Fault::new(start, problem), WarningKind::TruncatedTail)
        };
        let lie = |offset, problem: String| (Fault::new(offset, problem), WarningKind::LyingRecord);
        let first = array_at::<4>(self.bytes, start).ok_or_else(cut)?;
        if first == SECTION_HEADER.to_be_bytes() {
            let magic = array_at(self.bytes, start + 8).ok_or_else(cut)?;
            self.order = match (u32::from_be_bytes(magic), u32::from_le_bytes(magic)) {
                (BYTE_ORDER_MAGIC, _) => ByteOrder::Big,
                (_, BYTE_ORDER_MAGIC) => ByteOrder::Little,
                (found, _) => {
                    let problem = format!("expected byte-order magic 1a2b3c4d, found {found:08x}");
                    return Err(lie(start + 8, problem));
                }
            };
        }
        let length = self.u32_at(start + 4).ok_or_else(cut)? as usize;
        if length < 12 || !length.is_multiple_of(4) {
            let problem = format!("block length {length} is not a multiple of 4 from 12 up");
            return Err(lie(start + 4, problem));
        }
        if length > left {
            return Err(cut());
        }
        let again = self.u32_at(start + length - 4).ok_or_else(cut)? as usize;
        if again != length {
            let problem = format!("block length {length} is repeated as {again}");
            return Err(lie(start + length - 4, problem));
        }
        let kind = self.order.u32(first);
        let body = start + 8..start + length - 4;
        if kind == SECTION_HEADER {
            let Some(major) = self.u16_at(body.start + 4).filter(|_| body.len() >= 16) else {
                return Err(lie(start + 4, format!("section header of only {length} bytes")));
            };
            if major != 1 {
                let problem = format!("expected pcapng major version 1, found {major}");
                return Err(lie(body.start + 4, problem));
            }
            self.interfaces.clear();
        }
        self.offset = start + length;
        Ok(Some(Block { kind, body }))
    }

    fn add_interface(&mut self, body: &std::ops::Range<usize>) {
        if body.len() < 8 || self.interfaces.len() >= INTERFACES_MAX {
            self.warnings.add(body.start, WarningKind::LyingRecord);
            return;
        }
        let link = LinkType(self.u16_at(body.start).unwrap_or_default());
        let snap_length = self.u32_at(body.start + 4).unwrap_or_default();
        let mut clock = Clock::MICROSECONDS;
        let mut offset = body.start + 8;
        while let (Some(code), Some(length)) = (self.u16_at(offset), self.u16_at(offset + 2)) {
            let value = offset + 4;
            let end = value + usize::from(length);
            if code == OPTION_END || end > body.end {
                break;
            }
            if code == OPTION_TSRESOL && length == 1 {
                match clock.with_resolution(self.bytes[value]) {
                    Some(finer) => clock = finer,
                    None => self.warnings.add(value, WarningKind::LyingRecord),
                }
            }
            if code == OPTION_TSOFFSET
                && length == 8
                && let Some(seconds) = array_at(self.bytes, value)
            {
                clock.offset_seconds = match self.order {
                    ByteOrder::Big => i64::from_be_bytes(seconds),
                    ByteOrder::Little => i64::from_le_bytes(seconds),
                };
            }
            // Blocks begin at multiples of 4 from the start of the file, so padding does too.
            offset = end.next_multiple_of(4);
        }
        self.interfaces.push(Interface { link, snap_length, clock });
    }

    /// A packet whose header of `header` bytes ends with captured and original length.
    #[inline]
    fn packet(&mut self, body: &std::ops::Range<usize>, interface: usize) -> Option<Captured> {
        const HEADER: usize = 20;
        let interface = self.interfaces.get(interface).copied();
        let (Some(interface), true) = (interface, body.len() >= HEADER) else {
            self.warnings.add(body.start, WarningKind::LyingRecord);
            return None;
        };
        let high = self.u32_at(body.start + 4)?;
        let low = self.u32_at(body.start + 8)?;
        let captured = self.u32_at(body.start + 12)? as usize;
        let original_length = self.u32_at(body.start + 16)?;
        let data = body.start + HEADER;
        if captured > body.end - data {
            self.warnings.add(body.start + 12, WarningKind::LyingRecord);
            return None;
        }
        let at = interface.clock.nanoseconds(u64::from(high) << 32 | u64::from(low));
        self.last_at = at;
        Some(Captured { at, link: interface.link, data: data..data + captured, original_length })
    }

    fn simple_packet(&mut self, body: &std::ops::Range<usize>) -> Option<Captured> {
        let (Some(interface), Some(original_length), true) =
            (self.interfaces.first().copied(), self.u32_at(body.start), body.len() >= 4)
        else {
            self.warnings.add(body.start, WarningKind::LyingRecord);
            return None;
        };
        let snap = if interface.snap_length == 0 { u32::MAX } else { interface.snap_length };
        let data = body.start + 4;
        let captured = original_length.min(snap) as usize;
        if captured > body.end - data {
            self.warnings.add(body.start, WarningKind::LyingRecord);
            return None;
        }
        self.warnings.add(body.start, WarningKind::NoTime);
        let range = data..data + captured;
        Some(Captured { at: self.last_at, link: interface.link, data: range, original_length })
    }
}

impl Iterator for Reader<'_> {
    type Item = Captured;

    #[inline]
    fn next(&mut self) -> Option<Captured> {
        loop {
            let block = match self.next_block() {
                Ok(block) => block?,
                Err((fault, kind)) => {
                    self.warnings.add(fault.offset as usize, kind);
                    self.offset = self.bytes.len();
                    return None;
                }
            };
            let body = &block.body;
            let packet = match block.kind {
                ENHANCED_PACKET => {
                    let interface = self.u32_at(body.start).map_or(usize::MAX, |id| id as usize);
                    self.packet(body, interface)
                }
                OLD_PACKET => {
                    let interface = self.u16_at(body.start).map_or(usize::MAX, usize::from);
                    self.packet(body, interface)
                }
                SIMPLE_PACKET => self.simple_packet(body),
                INTERFACE_DESCRIPTION => {
                    self.add_interface(body);
                    None
                }
                _ => None,
            };
            if packet.is_some() {
                return packet;
            }
        }
    }
}

/// How [`Writer`] lays a file out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// `if_tsresol`: 6 for microseconds, 9 for nanoseconds; 0 to 9.
    pub decimals: u8,
    /// Which end comes first.
    pub order: ByteOrder,
    /// What frames begin with.
    pub link: LinkType,
}

impl Default for Layout {
    fn default() -> Self {
        Self { decimals: 9, order: ByteOrder::Little, link: LinkType::ETHERNET }
    }
}

/// Writes a pcapng file: one section at a time, each with one interface.
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
    layout: Layout,
    frame: Vec<u8>,
    block: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Writes the section header and the interface description.
    pub fn new(to: W, layout: Layout) -> io::Result<Self> {
        let mut writer = Self { to, layout, frame: Vec::new(), block: Vec::new() };
        writer.start_section(layout)?;
        Ok(writer)
    }

    /// Begins another section, with a layout of its own.
    pub fn start_section(&mut self, layout: Layout) -> io::Result<()> {
        if layout.decimals > 9 {
            let what = "times finer than nanoseconds are not written";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        self.layout = layout;
        let order = layout.order;
        self.block.clear();
        self.block.extend(order.put_u32(BYTE_ORDER_MAGIC));
        self.block.extend(order.put_u16(1));
        self.block.extend(order.put_u16(0));
        self.block.extend([0xff; 8]);
        self.put_block(SECTION_HEADER)?;
        self.block.extend(order.put_u16(layout.link.0));
        self.block.extend([0; 2]);
        self.block.extend(order.put_u32(0));
        self.block.extend(order.put_u16(OPTION_TSRESOL));
        self.block.extend(order.put_u16(1));
        self.block.extend([layout.decimals, 0, 0, 0]);
        self.block.extend([0; 4]);
        self.put_block(INTERFACE_DESCRIPTION)
    }

    fn put_block(&mut self, kind: u32) -> io::Result<()> {
        let order = self.layout.order;
        self.block.resize(self.block.len().next_multiple_of(4), 0);
        let Ok(length) = u32::try_from(self.block.len() + 12) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a block above 4 GiB"));
        };
        self.to.write_all(&order.put_u32(kind))?;
        self.to.write_all(&order.put_u32(length))?;
        self.to.write_all(&self.block)?;
        self.block.clear();
        self.to.write_all(&order.put_u32(length))
    }

    /// Writes a frame that begins with what the link type says, `at` nanoseconds after 1970; a
    /// comment of at most 65,535 bytes is shown by Wireshark beside it.
    pub fn write_frame(
        &mut self,
        at: u64,
        data: &[u8],
        original_length: u32,
        comment: Option<&str>,
    ) -> io::Result<()> {
        let order = self.layout.order;
        let units = at / 10_u64.pow(9 - u32::from(self.layout.decimals));
        self.block.clear();
        self.block.extend(order.put_u32(0));
        self.block.extend(order.put_u32((units >> 32) as u32));
        self.block.extend(order.put_u32(units as u32));
        self.block.extend(order.put_u32(data.len() as u32));
        self.block.extend(order.put_u32(original_length));
        self.block.extend(data);
        self.block.resize(self.block.len().next_multiple_of(4), 0);
        if let Some(comment) = comment {
            let mut end = comment.len().min(usize::from(u16::MAX));
            while !comment.is_char_boundary(end) {
                end -= 1;
            }
            self.block.extend(order.put_u16(OPTION_COMMENT));
            self.block.extend(order.put_u16(end as u16));
            self.block.extend(&comment.as_bytes()[..end]);
            self.block.resize(self.block.len().next_multiple_of(4), 0);
            self.block.extend([0; 4]);
        }
        self.put_block(ENHANCED_PACKET)
    }

    /// Writes a UDP datagram; `missing` bytes of its end were not captured.
    pub fn write_datagram(
        &mut self,
        at: u64,
        source: SocketAddr,
        destination: SocketAddr,
        payload: &[u8],
        missing: u32,
        comment: Option<&str>,
    ) -> io::Result<()> {
        let mut frame = std::mem::take(&mut self.frame);
        frame.clear();
        let written =
            link::write_udp(&mut frame, self.layout.link, source, destination, payload, missing)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
                .and_then(|()| self.write_frame(at, &frame, frame.len() as u32 + missing, comment));
        self.frame = frame;
        written
    }

    /// What is written to.
    pub const fn get_mut(&mut self) -> &mut W {
        &mut self.to
    }

    /// Flushes, and gives back what was written to.
    pub fn finish(mut self) -> io::Result<W> {
        self.to.flush()?;
        Ok(self.to)
    }
}
