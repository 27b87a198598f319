//! The binary format of rtptools' `rtpdump` (`#!rtpplay1.0`), as `rtpplay` reads it.
//!
//! A line of text with an address and port, a header of 16 bytes, then records of milliseconds
//! and payload, all most significant byte first. It names one address only: it is taken for the
//! destination, and the source is unspecified; RTCP is put on the port above.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;

use super::{Fault, WarningKind, Warnings, array_at};

const MAGIC: &[u8] = b"#!rtpplay1.0 ";
/// Longer than any address and port.
const LINE_BYTES_MAX: usize = 128;
const HEADER: usize = 16;
const RECORD: usize = 8;

/// Whether the bytes begin like an rtpdump file.
pub(crate) fn sniff(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// One packet of an rtpdump file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Milliseconds since the start of the file.
    pub offset_ms: u32,
    /// Whether it is RTCP.
    pub rtcp: bool,
    /// Where the packet lies in the file.
    pub data: Range<usize>,
    /// Bytes at its end that were not recorded.
    pub missing: u32,
}

/// Reads the records of a file, one after the other.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
    address: SocketAddr,
    start: u64,
    warnings: Warnings,
}

impl<'a> Reader<'a> {
    /// Reads the line and the header.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Fault> {
        if !sniff(bytes) {
            return Err(Fault::new(0, "expected the line \"#!rtpplay1.0 ADDRESS/PORT\""));
        }
        let window = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
        let line_end = window
            .iter()
            .position(|byte| *byte == b'\n')
            .ok_or_else(|| Fault::new(MAGIC.len(), "the first line does not end with a newline"))?;
        let text = &bytes[MAGIC.len()..line_end];
        let address = std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.trim_end().rsplit_once('/'))
            .and_then(|(host, port)| {
                // A host name would have to be looked up; the port is what matters.
                let ip = host.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
                Some(SocketAddr::new(ip, port.parse().ok()?))
            })
            .ok_or_else(|| Fault::new(MAGIC.len(), "expected ADDRESS/PORT"))?;
        let header = line_end + 1;
        if bytes.len() < header + HEADER {
            return Err(Fault::new(bytes.len(), format!("the header of {HEADER} bytes is cut")));
        }
        let number = |at| u32::from_be_bytes(array_at(bytes, at).expect("inside of the header"));
        let start =
            u64::from(number(header)) * 1_000_000_000 + u64::from(number(header + 4)) * 1_000;
        let warnings = Warnings::default();
        Ok(Self { bytes, offset: header + HEADER, address, start, warnings })
    }

    /// The address and port in the first line.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// When the recording began, in nanoseconds since 1970.
    pub fn start(&self) -> u64 {
        self.start
    }

    pub(crate) fn into_warnings(self) -> Warnings {
        self.warnings
    }
}

impl Iterator for Reader<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        let start = self.offset;
        if start == self.bytes.len() {
            return None;
        }
        let header = array_at::<RECORD>(self.bytes, start);
        let length = header.map_or(0, |h| usize::from(u16::from_be_bytes([h[0], h[1]])));
        let (Some(header), true) = (header, start + length <= self.bytes.len()) else {
            self.warnings.add(start, WarningKind::TruncatedTail);
            self.offset = self.bytes.len();
            return None;
        };
        if length < RECORD {
            self.warnings.add(start, WarningKind::LyingRecord);
            self.offset = self.bytes.len();
            return None;
        }
        self.offset = start + length;
        let held = length - RECORD;
        let stated = usize::from(u16::from_be_bytes([header[2], header[3]]));
        // A length of zero is how the format marks RTCP.
        let rtcp = stated == 0;
        let used = if rtcp { held } else { held.min(stated) };
        let [_, _, _, _, offset @ ..] = header;
        Some(Record {
            offset_ms: u32::from_be_bytes(offset),
            rtcp,
            data: start + RECORD..start + RECORD + used,
            missing: if rtcp { 0 } else { (stated - used) as u32 },
        })
    }
}

/// Writes an rtpdump file.
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
}

impl<W: Write> Writer<W> {
    /// Writes the line and the header; `start` is nanoseconds since 1970, cut to microseconds.
    pub fn new(mut to: W, address: SocketAddr, start: u64) -> io::Result<Self> {
        let seconds = u32::try_from(start / 1_000_000_000).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidInput, "rtpdump cannot hold times after 2106")
        })?;
        let micros = ((start % 1_000_000_000) / 1_000) as u32;
        to.write_all(MAGIC)?;
        writeln!(to, "{}/{}", address.ip(), address.port())?;
        to.write_all(&seconds.to_be_bytes())?;
        to.write_all(&micros.to_be_bytes())?;
        let source = match address.ip() {
            IpAddr::V4(address) => address.octets(),
            IpAddr::V6(_) => [0; 4],
        };
        to.write_all(&source)?;
        to.write_all(&address.port().to_be_bytes())?;
        to.write_all(&[0; 2])?;
        Ok(Self { to })
    }

    /// Writes a packet; `missing` bytes of its end were not recorded (RTP only).
    pub fn write_packet(
        &mut self,
        offset_ms: u32,
        rtcp: bool,
        packet: &[u8],
        missing: u32,
    ) -> io::Result<()> {
        let refuse = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        let Ok(length) = u16::try_from(packet.len() + RECORD) else {
            return refuse("an rtpdump record cannot hold more than 65527 bytes");
        };
        let stated = match (rtcp, u16::try_from(packet.len() + missing as usize)) {
            (true, _) => 0,
            (false, Ok(stated)) if stated > 0 => stated,
            _ => return refuse("rtpdump cannot hold an RTP packet of no bytes or above 65535"),
        };
        self.to.write_all(&length.to_be_bytes())?;
        self.to.write_all(&stated.to_be_bytes())?;
        self.to.write_all(&offset_ms.to_be_bytes())?;
        self.to.write_all(packet)
    }

    /// Flushes, and gives back what was written to.
    pub fn finish(mut self) -> io::Result<W> {
        self.to.flush()?;
        Ok(self.to)
    }
}
