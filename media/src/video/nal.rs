//! NAL units (ITU-T H.264 section 7.3.1) and the byte stream that holds them (Annex B).
//! Splitting costs no copy; bits are read through `h264-reader`, which takes the emulation
//! prevention bytes out.

use core::ops::Range;

use bytes::Bytes;
use h264_reader::rbsp::{BitReader, ByteReader};
use memchr::memmem;

/// The start code that is written in front of every NAL unit. The three-byte form is read
/// as well, but a decoder may want the longer one in front of the first unit of a picture.
pub const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// What a NAL unit holds (ITU-T H.264 table 7-1): five bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitType(u8);

impl UnitType {
    /// Coded slice of a picture that is not an IDR picture.
    pub const SLICE: Self = Self(1);
    /// Coded slice data partition A: the slice header and motion.
    pub const PARTITION_A: Self = Self(2);
    /// Coded slice data partition B: intra residuals.
    pub const PARTITION_B: Self = Self(3);
    /// Coded slice data partition C: inter residuals.
    pub const PARTITION_C: Self = Self(4);
    /// Coded slice of an IDR picture.
    pub const IDR: Self = Self(5);
    /// Supplemental enhancement information.
    pub const SEI: Self = Self(6);
    /// Sequence parameter set.
    pub const SPS: Self = Self(7);
    /// Picture parameter set.
    pub const PPS: Self = Self(8);
    /// Access unit delimiter: where there is one, the unit begins with it.
    pub const DELIMITER: Self = Self(9);
    /// Prefix of a base-layer slice in a scalable or multiview stream.
    pub const PREFIX: Self = Self(14);

    /// The five bits as they stand.
    #[must_use]
    pub const fn value(self) -> u8 {
        self.0
    }

    /// Whether it carries a part of the primary coded picture.
    #[must_use]
    pub const fn is_picture(self) -> bool {
        matches!(self.0, 1..=5)
    }

    /// Whether it is a sequence or a picture parameter set.
    #[must_use]
    pub const fn is_parameter_set(self) -> bool {
        matches!(self, Self::SPS | Self::PPS)
    }

    /// Whether it carries a slice header: every [`Self::is_picture`] but partitions B and C.
    #[must_use]
    pub const fn has_slice_header(self) -> bool {
        matches!(self.0, 1 | 2 | 5)
    }

    /// Whether its arrival behind the picture of one access unit begins the next one
    /// (ITU-T H.264 section 7.4.1.2.3). [`Self::PREFIX`] does as well, but only when the
    /// slice behind it does.
    #[must_use]
    pub const fn begins_access_unit(self) -> bool {
        matches!(self.0, 6..=9 | 15..=18)
    }

    /// Whether RFC 6184 lets it stand in a packet: 0 and 24 to 31 mean something else there.
    #[must_use]
    pub const fn is_carried_by_rtp(self) -> bool {
        matches!(self.0, 1..=23)
    }
}

/// The first byte of a NAL unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header(u8);

impl Header {
    /// From the byte as it stands.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }

    /// The byte as it stands.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// The forbidden bit, set by a network that knows the unit is damaged.
    #[must_use]
    pub const fn is_forbidden(self) -> bool {
        self.0 & 0x80 != 0
    }

    /// `nal_ref_idc`, 0 to 3; 0 means that no other picture refers to this one.
    #[must_use]
    pub const fn reference(self) -> u8 {
        (self.0 >> 5) & 0x03
    }

    /// What the unit holds.
    #[must_use]
    pub const fn unit_type(self) -> UnitType {
        UnitType(self.0 & 0x1F)
    }
}

/// The NAL units of an Annex B byte stream, without start codes, zero bytes before them or
/// zero bytes behind them. Bytes in front of the first start code are skipped.
#[derive(Clone, Debug)]
pub struct Units<'a> {
    stream: &'a [u8],
    cursor: Cursor,
}

/// Splits an Annex B byte stream into its NAL units.
#[must_use]
pub fn units(stream: &[u8]) -> Units<'_> {
    Units { stream, cursor: Cursor::default() }
}

/// The same, as parts of the buffer that holds the stream.
pub fn shared_units(stream: &Bytes) -> impl Iterator<Item = Bytes> + '_ {
    let mut cursor = Cursor::default();
    core::iter::from_fn(move || cursor.advance(stream).map(|range| stream.slice(range)))
}

impl<'a> Iterator for Units<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.cursor.advance(self.stream).map(|range| &self.stream[range])
    }
}

/// How far a byte stream has been taken apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cursor {
    /// Behind the start code of the next unit, once the first one has been found.
    at: Option<usize>,
}

impl Cursor {
    /// Where the next unit lies; always the same stream, please.
    pub(crate) fn advance(&mut self, stream: &[u8]) -> Option<Range<usize>> {
        let mut start = match self.at {
            Some(at) => at,
            None => find_start_code(stream)? + START_CODE_SHORT,
        };
        while start < stream.len() {
            let rest = &stream[start..];
            let (unit, next) = match find_start_code(rest) {
                Some(end) => (&rest[..end], start + end + START_CODE_SHORT),
                None => (rest, stream.len()),
            };
            let length = without_trailing_zeros(unit).len();
            self.at = Some(next);
            if length > 0 {
                return Some(start..start + length);
            }
            start = next;
        }
        None
    }
}

/// Length of the short start code.
const START_CODE_SHORT: usize = 3;

/// What an Annex B byte stream holds ahead of its first slice, and from there on, start codes
/// included: the first part alone holds parameter sets.
pub(crate) fn split_at_picture(stream: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    while let Some(found) = find_start_code(&stream[at..]) {
        let begins = at + found;
        at = begins + START_CODE_SHORT;
        if stream.get(at).is_some_and(|&byte| Header::from_byte(byte).unit_type().is_picture()) {
            let is_long = begins > 0 && stream[begins - 1] == 0;
            return stream.split_at(begins - usize::from(is_long));
        }
    }
    (stream, &[])
}

fn find_start_code(bytes: &[u8]) -> Option<usize> {
    memmem::find(bytes, &START_CODE[1..])
}

/// A NAL unit never ends in a zero byte (section 7.4.1), so those that do not belong to a
/// start code are `trailing_zero_8bits`.
fn without_trailing_zeros(unit: &[u8]) -> &[u8] {
    let end = unit.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    &unit[..end]
}

/// Reads the bits of a NAL unit behind its header, emulation prevention taken out.
pub(crate) fn bits(unit: &[u8]) -> BitReader<ByteReader<&[u8]>> {
    BitReader::new(ByteReader::skipping_h264_header(unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(stream: &[u8]) -> Vec<&[u8]> {
        units(stream).collect()
    }

    #[test]
    fn start_codes_of_three_and_four_bytes_part_units() {
        let stream = [0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3, 0, 0, 0, 1, 0x65, 4];
        assert_eq!(split(&stream), [&[0x67, 1, 2][..], &[0x68, 3], &[0x65, 4]]);
    }

    #[test]
    fn zeros_around_units_belong_to_no_unit() {
        let stream = [0, 0, 0, 0, 0, 1, 0x67, 1, 0, 0, 0, 0, 0, 1, 0x68, 2, 0, 0, 0];
        assert_eq!(split(&stream), [&[0x67, 1][..], &[0x68, 2]]);
    }

    #[test]
    fn emulation_prevention_is_no_start_code() {
        let stream = [0, 0, 1, 0x65, 0, 0, 3, 1, 0, 0, 3, 0, 0, 3];
        assert_eq!(split(&stream), [&stream[3..]]);
    }

    #[test]
    fn empty_units_and_streams_without_start_code_give_nothing() {
        assert!(split(&[]).is_empty());
        assert!(split(&[0x65, 1, 2, 3]).is_empty());
        assert!(split(&[0, 0, 1]).is_empty());
        assert_eq!(split(&[0, 0, 1, 0, 0, 1, 0, 0, 1, 9]), [&[9][..]]);
    }

    #[test]
    fn shared_units_point_into_the_stream() {
        let stream = Bytes::from_static(&[0, 0, 1, 0x67, 1, 0, 0, 1, 0x68]);
        let units: Vec<Bytes> = shared_units(&stream).collect();
        assert_eq!(units, [&[0x67, 1][..], &[0x68]]);
        assert_eq!(units[0].as_ptr(), stream[3..].as_ptr());
    }

    #[test]
    fn a_stream_is_split_before_its_first_slice() {
        let stream = [0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x65, 2, 0, 0, 1, 0x41, 3];
        assert_eq!(split_at_picture(&stream), stream.split_at(6));
        assert_eq!(split_at_picture(&stream[6..]), (&[][..], &stream[6..]));
        assert_eq!(split_at_picture(&stream[7..]), (&[][..], &stream[7..]));
        for end in 0..11 {
            let (ahead, picture) = split_at_picture(&stream[..end]);
            assert_eq!((ahead.len(), picture.len()), (end.min(10), end - end.min(10)));
        }
        assert_eq!(split_at_picture(&stream[..11]), stream[..11].split_at(6));
    }

    #[test]
    fn a_header_falls_into_its_three_fields() {
        let header = Header::from_byte(0x65);
        assert_eq!((header.reference(), header.unit_type()), (3, UnitType::IDR));
        assert!(!header.is_forbidden());
        assert!(Header::from_byte(0x80).is_forbidden());
    }
}
