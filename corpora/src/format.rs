//! Readers and writers of the file formats that recordings come in.
//!
//! All readers take the whole file as one [`bytes::Bytes`] and hand out slices of it. What is
//! wrong with a file is said with the offset of the first offending byte: a [`Fault`] where
//! nothing can be used, a [`Warning`] where the rest can.

pub mod annexb;
pub mod link;
pub mod ogg;
pub mod pcap;
pub mod pcapng;
pub mod rtpdump;
pub mod wav;

use std::fmt;
use std::ops::Range;

use link::LinkType;

/// What makes a file unusable: where, and what was expected there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {problem}")]
pub struct Fault {
    /// Offset of the first offending byte in the file.
    pub offset: u64,
    /// What was expected and what was found, in words.
    pub problem: String,
}

impl Fault {
    pub(crate) fn new(offset: usize, problem: impl Into<String>) -> Self {
        Self { offset: offset as u64, problem: problem.into() }
    }
}

/// Something wrong with a file of which the rest is usable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Offset in the file of its first occurrence.
    pub offset: u64,
    /// What it is.
    pub kind: WarningKind,
    /// How many times it occurred.
    pub count: u64,
}

/// The kinds of [`Warning`]; each is given once per file, with a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WarningKind {
    /// The file ends in the middle of a record; what came before is used.
    TruncatedTail,
    /// A record contradicts itself or the file. Where its end is unknown, reading stops there.
    LyingRecord,
    /// Captured frames are shorter than the frames that crossed (snap length): their datagrams
    /// lack their ends.
    CutDatagrams,
    /// First fragments of IP datagrams: used as cut datagrams, the rest is not put together.
    FirstFragments,
    /// Later fragments of IP datagrams, not used.
    LaterFragments,
    /// An IP or UDP length contradicts the frame it is in.
    LyingLength,
    /// Frames of a link type that cannot be read.
    UnknownLinkType(LinkType),
    /// Times that run backwards; the arrivals were put into order of time.
    TimesOutOfOrder,
    /// Records without a time (simple packet blocks); they got the time of the record before.
    NoTime,
    /// More pairs of addresses than [`ROUTES_MAX`](crate::recording::ROUTES_MAX).
    TooManyRoutes,
    /// More possible SSRCs than [`CANDIDATES_MAX`](crate::flow::CANDIDATES_MAX).
    TooManySources,
    /// An Ogg file holds further logical streams, not used.
    OtherStreams,
    /// Bytes outside of the units that the format is made of (before the first start code, ...).
    StrayBytes,
    /// A page's or packet's content is damaged; what came before is used.
    Damaged,
}

impl fmt::Display for WarningKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TruncatedTail => f.write_str("the file ends in the middle of a record"),
            Self::LyingRecord => {
                f.write_str("a record contradicts itself or the file; it is not used")
            }
            Self::CutDatagrams => {
                f.write_str("datagrams cut by the snap length (capture with -s 0)")
            }
            Self::FirstFragments => {
                f.write_str("IP fragments: only the first part of the datagram is used")
            }
            Self::LaterFragments => f.write_str("later IP fragments, not used"),
            Self::LyingLength => f.write_str("IP or UDP length contradicts the frame"),
            Self::UnknownLinkType(link) => write!(f, "frames of {link}, not used"),
            Self::TimesOutOfOrder => f.write_str("times run backwards; sorted by time"),
            Self::NoTime => f.write_str("records without a time; given the one before"),
            Self::TooManyRoutes => f.write_str("too many pairs of addresses; the rest is not used"),
            Self::TooManySources => f.write_str("too many SSRCs; the rest is not sought"),
            Self::OtherStreams => f.write_str("further logical streams, not used"),
            Self::StrayBytes => f.write_str("bytes that belong to no unit of the format"),
            Self::Damaged => f.write_str("damaged content; stopped there"),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.offset, self.kind)?;
        if self.count > 1 {
            write!(f, " ({} times)", self.count)?;
        }
        Ok(())
    }
}

/// Warnings by kind: bounded by the number of kinds and of link types in a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Warnings(Vec<Warning>);

/// Link types are 16-bit: a hostile pcapng could otherwise grow one warning for each.
const WARNINGS_MAX: usize = 64;

impl Warnings {
    pub(crate) fn add(&mut self, offset: usize, kind: WarningKind) {
        if let Some(warning) = self.0.iter_mut().find(|warning| warning.kind == kind) {
            warning.count += 1;
        } else if self.0.len() < WARNINGS_MAX {
            self.0.push(Warning { offset: offset as u64, kind, count: 1 });
        }
    }

    pub(crate) fn append(&mut self, warning: Warning) {
        if self.0.len() < WARNINGS_MAX {
            self.0.push(warning);
        }
    }

    pub(crate) fn into_vec(self) -> Vec<Warning> {
        self.0
    }
}

/// A frame as captured on a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// Nanoseconds since 1970-01-01 00:00 UTC.
    pub at: u64,
    /// What the frame begins with.
    pub link: LinkType,
    /// The captured bytes, as a range of the file.
    pub data: Range<usize>,
    /// Length of the frame as it crossed the link; larger than the data if it was cut.
    pub original_length: u32,
}

/// Which end of a number comes first in a capture file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ByteOrder {
    /// Most significant byte first.
    Big,
    /// Least significant byte first.
    Little,
}

impl ByteOrder {
    pub(crate) fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Big => u16::from_be_bytes(bytes),
            Self::Little => u16::from_le_bytes(bytes),
        }
    }

    pub(crate) fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Big => u32::from_be_bytes(bytes),
            Self::Little => u32::from_le_bytes(bytes),
        }
    }

    pub(crate) fn put_u16(self, number: u16) -> [u8; 2] {
        match self {
            Self::Big => number.to_be_bytes(),
            Self::Little => number.to_le_bytes(),
        }
    }

    pub(crate) fn put_u32(self, number: u32) -> [u8; 4] {
        match self {
            Self::Big => number.to_be_bytes(),
            Self::Little => number.to_le_bytes(),
        }
    }
}

/// The `N` bytes at `offset`, if they are there.
pub(crate) fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}
