//! Where one access unit of an Annex B byte stream ends and the next begins (ITU-T H.264
//! sections 7.4.1.2.3 and 7.4.1.2.4). Packets tell it by timestamp and marker; this is for
//! streams from files and encoders, which have neither.

use bytes::Bytes;
use h264_reader::rbsp::{BitRead, BitReaderError};

use super::nal::{self, Cursor, Header, UnitType};
use super::parameter_sets::{ParameterSets, PictureOrder, Pps, Sps};

/// What a slice header says about the picture that the slice belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SliceStart {
    /// Address of the first macroblock of the slice.
    pub(crate) first_macroblock: u32,
    /// Which picture parameter set the slice refers to.
    pub(crate) pps_id: u8,
}

impl SliceStart {
    /// Reads the beginning of a slice; needs no parameter set.
    pub(crate) fn parse(unit: &[u8]) -> Option<Self> {
        Self::read(&mut nal::bits(unit)).ok().flatten()
    }

    fn read(bits: &mut impl BitRead) -> Result<Option<Self>, BitReaderError> {
        let first_macroblock = bits.read_ue("first_mb_in_slice")?;
        bits.read_ue("slice_type")?;
        let pps_id = u8::try_from(bits.read_ue("pic_parameter_set_id")?);
        Ok(pps_id.ok().map(|pps_id| Self { first_macroblock, pps_id }))
    }
}

/// Whether a NAL unit is a slice of type B (table 7-6): it refers to pictures that are shown
/// later, so that who sends it is late.
#[must_use]
pub fn is_bidirectional(unit: &[u8]) -> bool {
    let Some(&byte) = unit.first() else { return false };
    if !Header::from_byte(byte).unit_type().has_slice_header() {
        return false;
    }
    let mut bits = nal::bits(unit);
    let slice_type = bits.read_ue("first_mb_in_slice").and_then(|_| bits.read_ue("slice_type"));
    slice_type.is_ok_and(|slice_type| slice_type % 5 == 1)
}

/// The fields of section 7.4.1.2.4 that differ between two pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PictureMark {
    pub(super) pps_id: u8,
    pub(super) is_reference: bool,
    pub(super) frame_num: u32,
    pub(super) field: Option<bool>,
    pub(super) idr_pic_id: Option<u32>,
    pub(super) order: [i64; 2],
}

impl PictureMark {
    pub(super) fn parse(unit: &[u8], sets: &ParameterSets) -> Option<Self> {
        let header = Header::from_byte(*unit.first()?);
        let mut bits = nal::bits(unit);
        let start = SliceStart::read(&mut bits).ok()??;
        let (sps, pps) = sets.referred(start.pps_id)?;
        Self::read(&mut bits, header, start, sps, pps).ok()
    }

    fn read(
        bits: &mut impl BitRead,
        header: Header,
        start: SliceStart,
        sps: &Sps,
        pps: &Pps,
    ) -> Result<Self, BitReaderError> {
        if sps.separate_colours {
            bits.read::<2, u8>("colour_plane_id")?;
        }
        let frame_num = bits.read_var(u32::from(sps.frame_num_bits), "frame_num")?;
        let mut field = None;
        if !sps.frames_only && bits.read_bit("field_pic_flag")? {
            field = Some(bits.read_bit("bottom_field_flag")?);
        }
        let idr_pic_id = if header.unit_type() == UnitType::IDR {
            Some(bits.read_ue("idr_pic_id")?)
        } else {
            None
        };
        let both = pps.numbers_both_fields && field.is_none();
        let mut order = [0; 2];
        match sps.picture_order {
            PictureOrder::LowBits(count) => {
                order[0] = bits.read_var::<u32>(u32::from(count), "pic_order_cnt_lsb")?.into();
                if both {
                    order[1] = bits.read_se("delta_pic_order_cnt_bottom")?.into();
                }
            }
            PictureOrder::Differences { always_zero: false } => {
                order[0] = bits.read_se("delta_pic_order_cnt[0]")?.into();
                if both {
                    order[1] = bits.read_se("delta_pic_order_cnt[1]")?.into();
                }
            }
            PictureOrder::Differences { always_zero: true } | PictureOrder::Decoding => {}
        }
        let is_reference = header.reference() != 0;
        Ok(Self { pps_id: start.pps_id, is_reference, frame_num, field, idr_pic_id, order })
    }
}

/// Tells, NAL unit by NAL unit, where access units begin.
#[derive(Debug, Default)]
struct Detector {
    sets: ParameterSets,
    picture: Option<PictureMark>,
    has_picture: bool,
}

impl Detector {
    /// Whether this unit is the first of its access unit.
    fn push(&mut self, unit: &[u8]) -> bool {
        let Some(&byte) = unit.first() else { return false };
        let unit_type = Header::from_byte(byte).unit_type();
        if unit_type.begins_access_unit() {
            if unit_type.is_parameter_set() {
                // A set that cannot be read is passed on as it is: slices that refer to it
                // fall back to the address of their first macroblock.
                let _ = self.sets.push(unit);
            }
            return core::mem::take(&mut self.has_picture);
        }
        if !unit_type.has_slice_header() {
            return false;
        }
        let mark = PictureMark::parse(unit, &self.sets);
        let first = self.has_picture
            && match (self.picture, mark) {
                (Some(before), Some(here)) => before != here,
                _ => SliceStart::parse(unit).is_some_and(|start| start.first_macroblock == 0),
            };
        self.has_picture = true;
        self.picture = mark;
        first
    }
}

/// The access units of an Annex B byte stream, each with its start codes.
#[derive(Debug)]
pub struct AccessUnits {
    stream: Bytes,
    cursor: Cursor,
    detector: Detector,
    /// Where the access unit that is being collected begins.
    begin: Option<usize>,
}

/// Splits an Annex B byte stream into access units, as parts of the same buffer. The stream
/// must be whole, or at least cut between access units.
#[must_use]
pub fn split(stream: &Bytes) -> AccessUnits {
    AccessUnits {
        stream: stream.clone(),
        cursor: Cursor::default(),
        detector: Detector::default(),
        begin: None,
    }
}

impl Iterator for AccessUnits {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        // A prefix belongs to the slice behind it, which decides for both.
        let mut prefix = None;
        while let Some(unit) = self.cursor.advance(&self.stream) {
            let start = start_code_before(&self.stream, unit.start);
            if Header::from_byte(self.stream[unit.start]).unit_type() == UnitType::PREFIX {
                prefix.get_or_insert(start);
                self.begin.get_or_insert(start);
                continue;
            }
            let start = prefix.take().unwrap_or(start);
            let is_first = self.detector.push(&self.stream[unit]);
            let begin = *self.begin.get_or_insert(start);
            if is_first && start > begin {
                self.begin = Some(start);
                return Some(self.stream.slice(begin..start));
            }
        }
        self.begin.take().map(|begin| self.stream.slice(begin..))
    }
}

/// Where the start code in front of a unit begins.
fn start_code_before(stream: &[u8], unit: usize) -> usize {
    let short = unit - 3;
    if short > 0 && stream[short - 1] == 0 { short - 1 } else { short }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELIMITER: &[u8] = &[0, 0, 0, 1, 0x09, 0xF0];
    const SLICE_FIRST: &[u8] = &[0, 0, 1, 0x41, 0xE0, 0x12];
    const SLICE_LATER: &[u8] = &[0, 0, 1, 0x41, 0x5C, 0x34];

    fn units_of(stream: Vec<u8>) -> Vec<Bytes> {
        split(&Bytes::from(stream)).collect()
    }

    #[test]
    fn a_delimiter_begins_an_access_unit() {
        let unit = [DELIMITER, SLICE_FIRST, SLICE_LATER].concat();
        assert_eq!(units_of([&unit[..], &unit].concat()), [&unit[..], &unit]);
    }

    #[test]
    fn without_parameter_sets_the_first_macroblock_begins_an_access_unit() {
        let unit = [SLICE_FIRST, SLICE_LATER].concat();
        assert_eq!(units_of([&unit[..], &unit].concat()), [&unit[..], &unit]);
    }

    #[test]
    fn a_prefix_stays_with_its_slice() {
        let prefix: &[u8] = &[0, 0, 1, 0x6E, 0x80, 0x80, 0x80];
        let unit = [prefix, SLICE_FIRST, prefix, SLICE_LATER].concat();
        assert_eq!(units_of([&unit[..], &unit].concat()), [&unit[..], &unit]);
    }

    #[test]
    fn a_stream_without_units_has_no_access_units() {
        assert!(units_of(vec![1, 2, 3]).is_empty());
    }
}
