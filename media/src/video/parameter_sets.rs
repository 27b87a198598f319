//! Sequence and picture parameter sets (ITU-T H.264 sections 7.3.2.1 and 7.3.2.2): which
//! are known, and what they say about pictures. `h264-reader` reads the bits; its own
//! parameter sets are not used, because it refuses streams whose level or VUI is out of
//! bounds, which real senders send and decoders play. So only what is needed is read.

use std::collections::BTreeMap;

use h264_reader::rbsp::{BitRead, BitReaderError};
use thiserror::Error;

use super::nal::{self, Header, UnitType};

/// Greatest `seq_parameter_set_id`.
pub const SPS_ID_MAX: u8 = 31;
/// Greatest `pic_parameter_set_id`.
pub const PPS_ID_MAX: u8 = 255;
/// Widest and highest picture that is believed, in luma samples.
const SIDE_MAX: u32 = 16_384;

/// Why a parameter set could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ParameterSetError {
    /// It is neither a sequence nor a picture parameter set.
    #[error("NAL unit type {0} is no parameter set")]
    NotAParameterSet(u8),
    /// It ends early, or holds a number that no table knows.
    #[error("parameter set cannot be read: {0}")]
    Syntax(String),
    /// A field is outside its range.
    #[error("parameter set has {field} = {value}, which is out of range")]
    OutOfRange {
        /// Its name in the Recommendation.
        field: &'static str,
        /// What it says.
        value: u32,
    },
}

impl From<BitReaderError> for ParameterSetError {
    fn from(error: BitReaderError) -> Self {
        Self::Syntax(format!("{error:?}"))
    }
}

/// How pictures are numbered in output order (`pic_order_cnt_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureOrder {
    /// Type 0: each slice header holds this many low bits.
    LowBits(u8),
    /// Type 1: slice headers hold differences, unless they are known to be zero.
    Differences {
        /// `delta_pic_order_always_zero_flag`.
        always_zero: bool,
    },
    /// Type 2: output order is decoding order.
    Decoding,
}

/// What a sequence parameter set says, as far as it is needed here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sps {
    /// `seq_parameter_set_id`.
    pub id: u8,
    /// `profile_idc`.
    pub profile: u8,
    /// The byte of `constraint_set` flags.
    pub constraints: u8,
    /// `level_idc`, ten times the level.
    pub level: u8,
    /// Width and height in luma samples after cropping.
    pub resolution: (u16, u16),
    /// Bits of `frame_num` in a slice header.
    pub frame_num_bits: u8,
    /// How pictures are numbered in output order.
    pub picture_order: PictureOrder,
    /// Whether every picture is a frame, never a field.
    pub frames_only: bool,
    /// Whether the three colours are coded as pictures of their own.
    pub separate_colours: bool,
}

/// What a picture parameter set says, as far as it is needed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pps {
    /// `pic_parameter_set_id`.
    pub id: u8,
    /// Which sequence parameter set it builds on.
    pub sps_id: u8,
    /// Whether slice headers of frames number both fields.
    pub numbers_both_fields: bool,
}

/// What a parameter set changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// Its id was not known.
    New,
    /// The same had come before.
    Repeated,
    /// Another one with this id had come before.
    Changed,
}

#[derive(Clone, Debug)]
struct Known<T> {
    set: T,
    digest: u64,
}

/// The parameter sets of one stream. At most one per id is kept, so at most 32 and 256.
#[derive(Clone, Debug, Default)]
pub struct ParameterSets {
    sps: BTreeMap<u8, Known<Sps>>,
    pps: BTreeMap<u8, Known<Pps>>,
}

impl ParameterSets {
    /// Takes one sequence or picture parameter set: a NAL unit with its header.
    ///
    /// # Errors
    /// When it is none, or cannot be read; what was known stays.
    pub fn push(&mut self, unit: &[u8]) -> Result<Update, ParameterSetError> {
        let unit_type = unit.first().map_or(0, |&byte| Header::from_byte(byte).unit_type().value());
        if unit_type == UnitType::SPS.value() {
            let sps = parse_sps(unit)?;
            Ok(store(&mut self.sps, sps.id, sps, unit))
        } else if unit_type == UnitType::PPS.value() {
            let pps = parse_pps(unit)?;
            Ok(store(&mut self.pps, pps.id, pps, unit))
        } else {
            Err(ParameterSetError::NotAParameterSet(unit_type))
        }
    }

    /// The sequence parameter set of this id.
    #[must_use]
    pub fn sps(&self, id: u8) -> Option<&Sps> {
        self.sps.get(&id).map(|known| &known.set)
    }

    /// The picture parameter set of this id.
    #[must_use]
    pub fn pps(&self, id: u8) -> Option<&Pps> {
        self.pps.get(&id).map(|known| &known.set)
    }

    /// Both sets that a slice refers to by the id of the picture parameter set.
    #[must_use]
    pub fn referred(&self, pps_id: u8) -> Option<(&Sps, &Pps)> {
        let pps = self.pps(pps_id)?;
        Some((self.sps(pps.sps_id)?, pps))
    }
}

fn store<T>(sets: &mut BTreeMap<u8, Known<T>>, id: u8, set: T, unit: &[u8]) -> Update {
    let digest = digest(unit);
    match sets.insert(id, Known { set, digest }) {
        None => Update::New,
        Some(before) if before.digest == digest => Update::Repeated,
        Some(_) => Update::Changed,
    }
}

/// FNV-1a: parameter sets are told apart without keeping their bytes, which a peer chooses.
fn digest(unit: &[u8]) -> u64 {
    unit.iter().fold(0xCBF2_9CE4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

fn parse_pps(unit: &[u8]) -> Result<Pps, ParameterSetError> {
    let mut bits = nal::bits(unit);
    let id = at_most(bits.read_ue("pic_parameter_set_id")?, PPS_ID_MAX, "pic_parameter_set_id")?;
    let sps_id =
        at_most(bits.read_ue("seq_parameter_set_id")?, SPS_ID_MAX, "seq_parameter_set_id")?;
    bits.read_bit("entropy_coding_mode_flag")?;
    let numbers_both_fields = bits.read_bit("bottom_field_pic_order_in_frame_present_flag")?;
    Ok(Pps { id, sps_id, numbers_both_fields })
}

fn parse_sps(unit: &[u8]) -> Result<Sps, ParameterSetError> {
    let mut bits = nal::bits(unit);
    let profile = bits.read::<8, u8>("profile_idc")?;
    let constraints = bits.read::<8, u8>("constraint_set_flags")?;
    let level = bits.read::<8, u8>("level_idc")?;
    let id = at_most(bits.read_ue("seq_parameter_set_id")?, SPS_ID_MAX, "seq_parameter_set_id")?;
    let chroma = Chroma::parse(&mut bits, profile)?;
    let frame_num_bits =
        4 + at_most(bits.read_ue("log2_max_frame_num_minus4")?, 12, "log2_max_frame_num_minus4")?;
    let picture_order = parse_picture_order(&mut bits)?;
    bits.read_ue("max_num_ref_frames")?;
    bits.read_bit("gaps_in_frame_num_value_allowed_flag")?;
    let columns = bits.read_ue("pic_width_in_mbs_minus1")?;
    let rows = bits.read_ue("pic_height_in_map_units_minus1")?;
    let frames_only = bits.read_bit("frame_mbs_only_flag")?;
    if !frames_only {
        bits.read_bit("mb_adaptive_frame_field_flag")?;
    }
    bits.read_bit("direct_8x8_inference_flag")?;
    let mut crop = [0; 4];
    if bits.read_bit("frame_cropping_flag")? {
        for side in &mut crop {
            *side = bits.read_ue("frame_crop_offset")?;
        }
    }

    let fields: u32 = if frames_only { 1 } else { 2 };
    let width = visible(columns, 16, chroma.crop_x, crop[0], crop[1], "pic_width_in_mbs_minus1")?;
    let height = visible(
        rows,
        16 * fields,
        chroma.crop_y * fields,
        crop[2],
        crop[3],
        "pic_height_in_map_units_minus1",
    )?;
    Ok(Sps {
        id,
        profile,
        constraints,
        level,
        resolution: (width, height),
        frame_num_bits,
        picture_order,
        frames_only,
        separate_colours: chroma.separate,
    })
}

/// What the chroma format says about cropping units (table 6-1) and slice headers.
struct Chroma {
    crop_x: u32,
    crop_y: u32,
    separate: bool,
}

impl Chroma {
    fn parse(bits: &mut impl BitRead, profile: u8) -> Result<Self, ParameterSetError> {
        if !matches!(
            profile,
            100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135
        ) {
            return Ok(Self { crop_x: 2, crop_y: 2, separate: false });
        }
        let format = at_most(bits.read_ue("chroma_format_idc")?, 3, "chroma_format_idc")?;
        let separate = format == 3 && bits.read_bit("separate_colour_plane_flag")?;
        bits.read_ue("bit_depth_luma_minus8")?;
        bits.read_ue("bit_depth_chroma_minus8")?;
        bits.read_bit("qpprime_y_zero_transform_bypass_flag")?;
        if bits.read_bit("seq_scaling_matrix_present_flag")? {
            for list in 0..if format == 3 { 12 } else { 8 } {
                if bits.read_bit("seq_scaling_list_present_flag")? {
                    skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
        let (crop_x, crop_y) = match format {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        Ok(Self { crop_x, crop_y, separate })
    }
}

/// Section 7.3.2.1.1.1; the values do not matter here.
fn skip_scaling_list(bits: &mut impl BitRead, size: usize) -> Result<(), ParameterSetError> {
    let (mut last, mut next) = (8_i32, 8_i32);
    for _ in 0..size {
        if next != 0 {
            let delta = bits.read_se("delta_scale")?;
            next = last.wrapping_add(delta).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Ok(())
}

fn parse_picture_order(bits: &mut impl BitRead) -> Result<PictureOrder, ParameterSetError> {
    match bits.read_ue("pic_order_cnt_type")? {
        0 => {
            let field = "log2_max_pic_order_cnt_lsb_minus4";
            Ok(PictureOrder::LowBits(4 + at_most(bits.read_ue(field)?, 12, field)?))
        }
        1 => {
            let always_zero = bits.read_bit("delta_pic_order_always_zero_flag")?;
            bits.read_se("offset_for_non_ref_pic")?;
            bits.read_se("offset_for_top_to_bottom_field")?;
            let field = "num_ref_frames_in_pic_order_cnt_cycle";
            for _ in 0..at_most(bits.read_ue(field)?, 255, field)? {
                bits.read_se("offset_for_ref_frame")?;
            }
            Ok(PictureOrder::Differences { always_zero })
        }
        2 => Ok(PictureOrder::Decoding),
        value => Err(ParameterSetError::OutOfRange { field: "pic_order_cnt_type", value }),
    }
}

fn at_most(value: u32, max: u8, field: &'static str) -> Result<u8, ParameterSetError> {
    u8::try_from(value)
        .ok()
        .filter(|&small| small <= max)
        .ok_or(ParameterSetError::OutOfRange { field, value })
}

/// Samples along one side after cropping: at least one, at most [`SIDE_MAX`].
fn visible(
    blocks_minus1: u32,
    samples_per_block: u32,
    samples_per_crop: u32,
    crop_before: u32,
    crop_after: u32,
    field: &'static str,
) -> Result<u16, ParameterSetError> {
    let cropped = || {
        let coded = blocks_minus1.checked_add(1)?.checked_mul(samples_per_block)?;
        let crop = crop_before.checked_add(crop_after)?.checked_mul(samples_per_crop)?;
        let samples =
            coded.checked_sub(crop).filter(|&samples| (1..=SIDE_MAX).contains(&samples))?;
        u16::try_from(samples).ok()
    };
    cropped().ok_or(ParameterSetError::OutOfRange { field, value: blocks_minus1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Baseline 1280x720 without cropping, as OpenH264 writes it.
    const SPS_720P: [u8; 11] = [0x67, 0x42, 0xC0, 0x1F, 0x8C, 0x8D, 0x40, 0x28, 0x02, 0xDD, 0x00];
    const PPS: [u8; 4] = [0x68, 0xCE, 0x3C, 0x80];

    #[test]
    fn a_parameter_set_is_new_then_repeated_then_changed() {
        let mut sets = ParameterSets::default();
        assert_eq!(sets.push(&PPS).expect("it is whole"), Update::New);
        assert_eq!(sets.push(&PPS).expect("it is whole"), Update::Repeated);
        let mut other = PPS;
        other[2] ^= 0x04;
        assert_eq!(sets.push(&other).expect("it is whole"), Update::Changed);
    }

    #[test]
    fn a_slice_finds_its_sets_once_both_have_come() {
        let mut sets = ParameterSets::default();
        sets.push(&PPS).expect("it is whole");
        assert!(sets.referred(0).is_none());
        sets.push(&SPS_720P).expect("it is whole");
        let (sps, pps) = sets.referred(0).expect("both have come");
        assert_eq!((sps.id, pps.id), (0, 0));
        assert_eq!(sps.resolution, (1280, 720));
        assert!(sps.frames_only);
    }

    #[test]
    fn what_is_cut_short_or_out_of_range_leaves_what_was_known() {
        let mut sets = ParameterSets::default();
        sets.push(&SPS_720P).expect("it is whole");
        for end in 0..6 {
            assert!(sets.push(&SPS_720P[..end]).is_err(), "{end} bytes are no parameter set");
        }
        assert!(sets.push(&[0x65, 0x88]).is_err());
        assert_eq!(sets.sps(0).expect("it stays").resolution, (1280, 720));
    }

    #[test]
    fn a_side_must_be_visible_and_believable() {
        assert_eq!(visible(67, 16, 2, 0, 4, "height").expect("1080 lines"), 1080);
        assert!(visible(0, 16, 2, 8, 0, "height").is_err());
        assert!(visible(u32::MAX, 16, 2, 0, 0, "height").is_err());
        assert!(visible(4_000, 16, 2, 0, 0, "height").is_err());
    }
}
