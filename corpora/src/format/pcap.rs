//! The classic capture file (draft-ietf-opsawg-pcap): a header of 24 bytes, then records.
//!
//! Microsecond and nanosecond magic numbers, both byte orders. Parsed here rather than by
//! `pcap-parser`, because arrivals are ranges of the one file buffer, faults carry file offsets,
//! and a lying record must leave the records before it usable; `pcap-parser` judges it in tests.

use std::io::{self, Write};
use std::net::SocketAddr;

use super::link::{self, LinkType};
use super::{ByteOrder, Captured, Fault, WarningKind, Warnings, array_at};

/// Length of the file header.
const HEADER: usize = 24;
/// Length of the header of a record.
const RECORD: usize = 16;
/// What libpcap itself refuses to exceed (`MAXIMUM_SNAPLEN`): a longer record is a lie.
const RECORD_BYTES_MAX: u32 = 262_144;

/// How fine the times in a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resolution {
    /// Magic number `a1b2c3d4`.
    Microseconds,
    /// Magic number `a1b23c4d`.
    Nanoseconds,
}

impl Resolution {
    const fn magic(self) -> u32 {
        match self {
            Self::Microseconds => 0xa1b2_c3d4,
            Self::Nanoseconds => 0xa1b2_3c4d,
        }
    }

    const fn nanoseconds_per_unit(self) -> u64 {
        match self {
            Self::Microseconds => 1_000,
            Self::Nanoseconds => 1,
        }
    }
}

/// The layout of a file, by its magic number.
pub(crate) fn sniff(bytes: &[u8]) -> Option<(Resolution, ByteOrder)> {
    let magic = array_at(bytes, 0)?;
    [Resolution::Microseconds, Resolution::Nanoseconds]
        .into_iter()
        .flat_map(|r| [(r, ByteOrder::Big), (r, ByteOrder::Little)])
        .find(|(resolution, order)| order.u32(magic) == resolution.magic())
}

/// Reads the records of a file, one after the other.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
    resolution: Resolution,
    order: ByteOrder,
    link: LinkType,
    warnings: Warnings,
}

impl<'a> Reader<'a> {
    /// Reads the file header.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Fault> {
        let (resolution, order) = sniff(bytes).ok_or_else(|| {
            Fault::new(0, "expected the magic number of a pcap file (a1b2c3d4 or a1b23c4d)")
        })?;
        if bytes.len() < HEADER {
            let problem = format!("the file ends in its header of {HEADER} bytes");
            return Err(Fault::new(bytes.len(), problem));
        }
        let number = |offset| order.u32(array_at(bytes, offset).expect("inside of the header"));
        let major = order.u16(array_at(bytes, 4).expect("inside of the header"));
        if major != 2 {
            return Err(Fault::new(4, format!("expected major version 2, found {major}")));
        }
        // The upper half holds the length of frame check sequences, which IP lengths cut off.
        let link = LinkType(number(20) as u16);
        Ok(Self { bytes, offset: HEADER, resolution, order, link, warnings: Warnings::default() })
    }

    /// How fine its times are.
    pub fn resolution(&self) -> Resolution {
        self.resolution
    }

    /// Its byte order.
    pub fn byte_order(&self) -> ByteOrder {
        self.order
    }

    /// The link type of all its records.
    pub fn link(&self) -> LinkType {
        self.link
    }

    pub(crate) fn into_warnings(self) -> Warnings {
        self.warnings
    }
}

impl Iterator for Reader<'_> {
    type Item = Captured;

    #[inline]
    fn next(&mut self) -> Option<Captured> {
        let start = self.offset;
        let Some(header) = array_at::<RECORD>(self.bytes, start) else {
            if start < self.bytes.len() {
                self.warnings.add(start, WarningKind::TruncatedTail);
                self.offset = self.bytes.len();
            }
            return None;
        };
        let [s0, s1, s2, s3, f0, f1, f2, f3, c0, c1, c2, c3, o0, o1, o2, o3] = header;
        let seconds = self.order.u32([s0, s1, s2, s3]);
        let fraction = self.order.u32([f0, f1, f2, f3]);
        let captured = self.order.u32([c0, c1, c2, c3]);
        let original_length = self.order.u32([o0, o1, o2, o3]);
        let data = start + RECORD;
        let left = self.bytes.len() - data;
        if captured as usize > left || captured > RECORD_BYTES_MAX {
            let kind = if captured > RECORD_BYTES_MAX {
                WarningKind::LyingRecord
            } else {
                WarningKind::TruncatedTail
            };
            self.warnings.add(start, kind);
            self.offset = self.bytes.len();
            return None;
        }
        self.offset = data + captured as usize;
        let at = u64::from(seconds) * 1_000_000_000
            + u64::from(fraction) * self.resolution.nanoseconds_per_unit();
        Some(Captured { at, link: self.link, data: data..self.offset, original_length })
    }
}

/// How [`Writer`] lays a file out; the default is what `import` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// How fine the times are; coarser ones are cut, not rounded.
    pub resolution: Resolution,
    /// Which end comes first.
    pub order: ByteOrder,
    /// What frames begin with.
    pub link: LinkType,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            resolution: Resolution::Nanoseconds,
            order: ByteOrder::Little,
            link: LinkType::ETHERNET,
        }
    }
}

/// Writes a pcap file.
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
    layout: Layout,
    frame: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Writes the file header.
    pub fn new(mut to: W, layout: Layout) -> io::Result<Self> {
        let order = layout.order;
        to.write_all(&order.put_u32(layout.resolution.magic()))?;
        to.write_all(&order.put_u16(2))?;
        to.write_all(&order.put_u16(4))?;
        to.write_all(&[0; 8])?;
        to.write_all(&order.put_u32(RECORD_BYTES_MAX))?;
        to.write_all(&order.put_u32(u32::from(layout.link.0)))?;
        Ok(Self { to, layout, frame: Vec::new() })
    }

    /// Writes a frame that begins with what the link type says, `at` nanoseconds after 1970.
    ///
    /// An `original_length` above the length of the data says that the frame was cut.
    pub fn write_frame(&mut self, at: u64, data: &[u8], original_length: u32) -> io::Result<()> {
        let refuse = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        let Ok(seconds) = u32::try_from(at / 1_000_000_000) else {
            return refuse("a pcap file cannot hold times after the year 2106");
        };
        if data.len() > RECORD_BYTES_MAX as usize {
            return refuse("a pcap record cannot be longer than 262144 bytes");
        }
        let fraction = (at % 1_000_000_000) / self.layout.resolution.nanoseconds_per_unit();
        let order = self.layout.order;
        let mut header = [0; RECORD];
        header[..4].copy_from_slice(&order.put_u32(seconds));
        header[4..8].copy_from_slice(&order.put_u32(fraction as u32));
        header[8..12].copy_from_slice(&order.put_u32(data.len() as u32));
        header[12..].copy_from_slice(&order.put_u32(original_length));
        self.to.write_all(&header)?;
        self.to.write_all(data)
    }

    /// Writes a UDP datagram; `missing` bytes of its end were not captured.
    pub fn write_datagram(
        &mut self,
        at: u64,
        source: SocketAddr,
        destination: SocketAddr,
        payload: &[u8],
        missing: u32,
    ) -> io::Result<()> {
        let mut frame = std::mem::take(&mut self.frame);
        frame.clear();
        let written =
            link::write_udp(&mut frame, self.layout.link, source, destination, payload, missing)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
                .and_then(|()| self.write_frame(at, &frame, frame.len() as u32 + missing));
        self.frame = frame;
        written
    }

    /// Flushes, and gives back what was written to.
    pub fn finish(mut self) -> io::Result<W> {
        self.to.flush()?;
        Ok(self.to)
    }
}
