//! In which order the pictures of a byte stream are shown (ITU-T H.264 sections 8.2.1 and C.4):
//! streams from files have no times, and a picture that others shown earlier refer to is sent
//! before them.

use bytes::Bytes;

use super::access_unit::PictureMark;
use super::nal::{self, Header, UnitType};
use super::parameter_sets::{ParameterSets, PictureOrder};

/// The order of one picture within what a key frame begins.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    most: i64,
    low: i64,
}

/// For each of the access units, in the order of decoding, its place in the order of output.
/// Where pictures are not numbered by their low bits (`pic_order_cnt_type` 0), or cannot be read,
/// they are taken to be shown as they come.
#[must_use]
pub fn places(units: &[Bytes]) -> Vec<usize> {
    let mut sets = ParameterSets::default();
    let (mut group, mut number) = (0_u64, 0_i64);
    let mut before = Count::default();
    let keys = units.iter().map(|unit| {
        // Without a picture it belongs to the one before.
        if let Some((mark, header)) = mark(unit, &mut sets) {
            if header.unit_type() == UnitType::IDR {
                group += 1;
                before = Count::default();
            }
            number = match low_bits(&mark, &sets) {
                Some(bits) => counted(&mut before, &mark, bits),
                None => number.saturating_add(1),
            };
        }
        (group, number)
    });
    let keys: Vec<(u64, i64)> = keys.collect();
    let mut order: Vec<usize> = (0..units.len()).collect();
    order.sort_by_key(|&index| keys[index]);
    let mut places = vec![0; units.len()];
    for (place, index) in order.into_iter().enumerate() {
        places[index] = place;
    }
    places
}

/// What the first slice of an access unit says; parameter sets before it are taken.
fn mark(access_unit: &[u8], sets: &mut ParameterSets) -> Option<(PictureMark, Header)> {
    nal::units(access_unit).find_map(|unit| {
        let header = Header::from_byte(*unit.first()?);
        match header.unit_type() {
            set if set.is_parameter_set() => {
                // What cannot be read is not referred to either.
                let _ = sets.push(unit);
                None
            }
            kind if kind.has_slice_header() => Some((PictureMark::parse(unit, sets)?, header)),
            _ => None,
        }
    })
}

fn low_bits(mark: &PictureMark, sets: &ParameterSets) -> Option<u8> {
    match sets.referred(mark.pps_id)?.0.picture_order {
        PictureOrder::LowBits(bits) => Some(bits),
        PictureOrder::Differences { .. } | PictureOrder::Decoding => None,
    }
}

/// Section 8.2.1.1: the low bits, counted on where they wrap.
fn counted(before: &mut Count, mark: &PictureMark, bits: u8) -> i64 {
    let range = 1_i64 << bits.min(32);
    let low = mark.order[0];
    let most = match low - before.low {
        less if less <= -range / 2 => before.most + range,
        more if more > range / 2 => before.most - range,
        _ => before.most,
    };
    if mark.is_reference {
        *before = Count { most, low };
    }
    most + low
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(low: i64, is_reference: bool) -> PictureMark {
        PictureMark {
            pps_id: 0,
            is_reference,
            frame_num: 0,
            field: None,
            idr_pic_id: None,
            order: [low, 0],
        }
    }

    #[test]
    fn low_bits_are_counted_on_from_the_last_reference() {
        let mut before = Count::default();
        let mut next = |low, is_reference| counted(&mut before, &mark(low, is_reference), 4);
        let order: Vec<i64> =
            [(0, true), (6, true), (2, false), (4, false), (12, true), (8, false)]
                .into_iter()
                .map(|(low, is_reference)| next(low, is_reference))
                .collect();
        assert_eq!(order, [0, 6, 2, 4, 12, 8]);
        // 18 and 14 in four bits.
        assert_eq!((next(2, true), next(14, false)), (18, 14));
    }

    #[test]
    fn what_cannot_be_read_is_shown_as_it_comes() {
        let units = [&[0, 0, 0, 1, 0x09, 0xf0][..], &[0, 0, 0, 1, 0x41, 0xe0, 0x12], b"", b"x"];
        let units: Vec<Bytes> = units.iter().map(|unit| Bytes::copy_from_slice(unit)).collect();
        assert_eq!(places(&units), [0, 1, 2, 3]);
        assert!(places(&[]).is_empty());
    }
}
