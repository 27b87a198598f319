//! H.264 byte streams (ITU-T H.264 annex B): NAL units between start codes, and the access units
//! that they make up (section 7.4.1.2.3 and 7.4.1.2.4).
//!
//! Slice headers are read by `h264-reader`. Where one cannot be read (its parameter sets are
//! missing or damaged), a slice that begins at macroblock 0 begins a picture.

use std::ops::Range;

use bytes::Bytes;
use h264_reader::Context;
use h264_reader::nal::pps::PicParameterSet;
use h264_reader::nal::slice::{FieldPic, PicOrderCountLsb, SliceHeader};
use h264_reader::nal::sps::SeqParameterSet;
use h264_reader::nal::{Nal as _, NalHeader, RefNal};

use super::{Fault, Warning, WarningKind, Warnings};

/// A byte stream, split into its NAL units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnexB {
    bytes: Bytes,
    units: Vec<Unit>,
    /// What is wrong with the file, without making it unusable.
    pub warnings: Vec<Warning>,
}

/// Where a NAL unit lies.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unit {
    /// Where its start code begins.
    start_code: usize,
    nal: Range<usize>,
}

/// All NAL units of one picture, and those that belong in front of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessUnit {
    /// With start codes, as it lies in the file.
    pub data: Bytes,
    /// Which of [`AnnexB::units`] it consists of.
    pub units: Range<usize>,
    /// It holds a slice of an IDR picture.
    pub key_frame: bool,
    /// It holds a slice at all: a last one may consist of parameter sets only.
    pub picture: bool,
}

/// Whether the bytes begin with a start code and a possible NAL unit header.
pub(crate) fn sniff(bytes: &[u8]) -> bool {
    let Some(zeros) = bytes.iter().take(64).position(|byte| *byte != 0) else {
        return false;
    };
    let header = bytes.get(zeros + 1).copied();
    zeros >= 2 && bytes[zeros] == 1 && header.is_some_and(|header| header & 0x80 == 0)
}

impl AnnexB {
    /// Splits a byte stream at its start codes; zeros behind a NAL unit do not belong to it.
    pub fn read(bytes: Bytes) -> Result<Self, Fault> {
        let mut warnings = Warnings::default();
        let mut units: Vec<Unit> = Vec::new();
        let mut next = find_start_code(&bytes, 0);
        if let Some(first) = next
            && let Some(stray) = bytes[..first].iter().position(|byte| *byte != 0)
        {
            warnings.add(stray, WarningKind::StrayBytes);
        }
        while let Some(start_code) = next {
            let start = start_code + 3;
            next = find_start_code(&bytes, start);
            let mut end = next.unwrap_or(bytes.len());
            while end > start && bytes[end - 1] == 0 {
                end -= 1;
            }
            if end > start {
                units.push(Unit { start_code, nal: start..end });
            }
        }
        if units.is_empty() {
            return Err(Fault::new(0, "there is no NAL unit behind a start code (00 00 01)"));
        }
        Ok(Self { bytes, units, warnings: warnings.into_vec() })
    }

    /// The NAL units, without start codes.
    pub fn units(&self) -> impl ExactSizeIterator<Item = Bytes> + '_ {
        self.units.iter().map(|unit| self.bytes.slice(unit.nal.clone()))
    }

    /// The access units, in order.
    pub fn access_units(&self) -> Vec<AccessUnit> {
        let mut access_units: Vec<AccessUnit> = Vec::new();
        let mut pictures = Pictures::default();
        let mut first = 0;
        let mut current = Contents::default();
        for (index, unit) in self.units.iter().enumerate() {
            if pictures.begins_access_unit(&self.bytes[unit.nal.clone()]) && index > first {
                access_units.push(self.access_unit(first..index, current));
                first = index;
                current = Contents::default();
            }
            let kind = self.bytes[unit.nal.start] & 0x1f;
            // 20: a slice of a scalable or multiview layer, which may stand alone.
            current.picture |= matches!(kind, 1..=5 | 20);
            current.key_frame |= kind == 5;
        }
        access_units.push(self.access_unit(first..self.units.len(), current));
        access_units
    }

    fn access_unit(&self, units: Range<usize>, contents: Contents) -> AccessUnit {
        let start = match self.units[units.start].start_code {
            // The optional fourth byte of a start code.
            at if at > 0 && self.bytes[at - 1] == 0 => at - 1,
            at => at,
        };
        let end = self.units[units.end - 1].nal.end;
        let Contents { key_frame, picture } = contents;
        AccessUnit { data: self.bytes.slice(start..end), units, key_frame, picture }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Contents {
    key_frame: bool,
    picture: bool,
}

/// The first `00 00 01` at or after `from`.
fn find_start_code(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from + 2;
    while let Some(&third) = bytes.get(at) {
        // Most bytes are above 1 and rule out three places at once.
        match third {
            0 => at += 1,
            1 if bytes[at - 1] == 0 && bytes[at - 2] == 0 => return Some(at - 2),
            _ => at += 3,
        }
    }
    None
}

/// What tells the slices of one picture from those of the next (section 7.4.1.2.4).
#[derive(Debug, PartialEq)]
struct Identity {
    frame_num: u16,
    parameter_set: u8,
    /// 0: frame, 1: top field, 2: bottom field.
    field: u8,
    reference: bool,
    idr_pic_id: Option<u32>,
    order: Option<PicOrderCountLsb>,
}

/// Follows parameter sets and slices to see where access units begin.
#[derive(Default)]
struct Pictures {
    context: Context,
    last: Option<Identity>,
    /// A slice of the current access unit has been seen.
    in_picture: bool,
}

impl Pictures {
    fn begins_access_unit(&mut self, nal: &[u8]) -> bool {
        let after_picture = self.in_picture;
        match nal[0] & 0x1f {
            1 | 2 | 5 => {
                let begins = self.begins_picture(nal);
                self.in_picture = true;
                after_picture && begins
            }
            // SEI, parameter sets, delimiter, prefix and others that stand in front of a picture.
            kind @ (6..=9 | 14..=18) => {
                self.learn(nal, kind);
                self.in_picture = false;
                after_picture
            }
            _ => false,
        }
    }

    fn learn(&mut self, nal: &[u8], kind: u8) {
        let bits = || RefNal::new(nal, &[], true).rbsp_bits();
        match kind {
            7 => {
                if let Ok(sps) = SeqParameterSet::from_bits(bits()) {
                    self.context.put_seq_param_set(sps);
                }
            }
            8 => {
                if let Ok(pps) = PicParameterSet::from_bits(&self.context, bits()) {
                    self.context.put_pic_param_set(pps);
                }
            }
            _ => {}
        }
    }

    fn begins_picture(&mut self, nal: &[u8]) -> bool {
        let Ok(header) = NalHeader::new(nal[0]) else {
            return false;
        };
        let mut bits = RefNal::new(nal, &[], true).rbsp_bits();
        let Ok((slice, _, pps)) = SliceHeader::from_bits(&self.context, &mut bits, header, None)
        else {
            self.last = None;
            // An exp-Golomb zero is a single set bit: macroblock 0.
            return nal.get(1).is_some_and(|byte| byte & 0x80 != 0);
        };
        if slice.redundant_pic_cnt.is_some_and(|count| count > 0) {
            return false;
        }
        let identity = Identity {
            frame_num: slice.frame_num,
            parameter_set: pps.pic_parameter_set_id.id(),
            field: match slice.field_pic {
                FieldPic::Frame => 0,
                FieldPic::Field(h264_reader::nal::slice::Field::Top) => 1,
                FieldPic::Field(h264_reader::nal::slice::Field::Bottom) => 2,
            },
            reference: header.nal_ref_idc() != 0,
            idr_pic_id: slice.idr_pic_id,
            order: slice.pic_order_cnt_lsb,
        };
        let begins = match &self.last {
            Some(last) => *last != identity,
            None => slice.first_mb_in_slice == 0,
        };
        self.last = Some(identity);
        begins
    }
}

/// Writes NAL units as a byte stream, each behind a start code of four bytes.
///
/// What is written reads back if no unit is empty, ends with a zero or holds `00 00 00` or
/// `00 00 01`, as H.264 section 7.4.1 demands.
pub fn write<'a>(units: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for unit in units {
        bytes.extend([0, 0, 0, 1]);
        bytes.extend(unit);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_split_at_both_kinds_of_start_code_and_lose_trailing_zeros() {
        let bytes = Bytes::from_static(&[
            0, 0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 2, 0, 0, 0, 0, 0, 1, 0x65, 0x88, 0, 0, 1,
        ]);
        let stream = AnnexB::read(bytes).expect("three units");
        let units: Vec<Bytes> = stream.units().collect();
        assert_eq!(units, [&[0x67, 1][..], &[0x68, 2], &[0x65, 0x88]]);
        assert!(stream.warnings.is_empty());
    }

    #[test]
    fn without_parameter_sets_a_slice_at_macroblock_zero_begins_a_picture() {
        let units: [&[u8]; 6] =
            [&[0x65, 0x88], &[0x65, 0x40], &[0x41, 0x9a], &[9, 0x10], &[0x41, 0x9a], &[0x67, 1]];
        let stream = AnnexB::read(write(units).into()).expect("six units");
        let access_units = stream.access_units();
        let ranges: Vec<_> = access_units.iter().map(|unit| unit.units.clone()).collect();
        assert_eq!(ranges, [0..2, 2..3, 3..5, 5..6]);
        let key: Vec<_> = access_units.iter().map(|unit| (unit.key_frame, unit.picture)).collect();
        assert_eq!(key, [(true, true), (false, true), (false, true), (false, false)]);
        let joined: Vec<u8> = access_units.iter().flat_map(|unit| unit.data.to_vec()).collect();
        assert_eq!(joined, write(units), "nothing is lost between access units");
    }

    #[test]
    fn bytes_before_the_first_start_code_are_reported() {
        let stream = AnnexB::read(Bytes::from_static(&[9, 0, 0, 1, 0x67, 1])).expect("a unit");
        assert_eq!(stream.warnings[0].kind, WarningKind::StrayBytes);
        assert!(AnnexB::read(Bytes::from_static(&[0, 0, 1])).is_err());
    }
}
