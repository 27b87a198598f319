//! Whether a whole access unit can be decoded: nothing it may refer to was lost, and the
//! parameter sets it refers to have come (ITU-T H.264 sections 7.4.1.2.1 and 8.2.1). Also
//! remembers whether a key frame should be asked for.

use core::time::Duration;

use bytes::Bytes;
use h264_reader::rbsp::BitRead;

use super::DropCause;
use super::access_unit::SliceStart;
use super::assembly::Gate as Policy;
use super::nal::{self, UnitType};
use super::parameter_sets::ParameterSets;
use super::prelude::Prelude;
use crate::fault::{self, Fault};
use crate::payload::h264::Unit;
use crate::time::Instant;

/// `payloadType` of a recovery point message (ITU-T H.264 annex D).
const RECOVERY_POINT: u32 = 6;

/// What lets a unit pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) key_frame: bool,
    pub(crate) resolution: Option<(u16, u16)>,
}

/// One stream's decodability.
#[derive(Debug)]
pub(crate) struct Gate {
    policy: Policy,
    /// Why the gate is closed; `None` while it is open.
    closed: Option<DropCause>,
    sets: ParameterSets,
    /// The sets as they came, and whether some came in a way that nobody was handed out.
    prelude: Prelude,
    owes_sets: bool,
    /// Whether a parameter set came that only a decoder understands: then it is not for us
    /// to say that one is missing.
    has_unreadable_sets: bool,
    /// Whether parameter sets came by another way than the stream.
    pub(crate) has_provided_sets: bool,
    wants_key_frame: bool,
    requested: Option<Instant>,
}

/// What the NAL units of one access unit add up to.
#[derive(Default)]
struct Contents<'a> {
    has_picture: bool,
    has_idr: bool,
    has_recovery_point: bool,
    has_sets: bool,
    first_slice: Option<&'a [u8]>,
}

impl Gate {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            policy,
            closed: (policy != Policy::Open).then_some(DropCause::NoKeyFrame),
            sets: ParameterSets::default(),
            prelude: Prelude::default(),
            owes_sets: false,
            has_unreadable_sets: false,
            has_provided_sets: false,
            wants_key_frame: false,
            requested: None,
        }
    }

    /// Parameter sets that came by another way, as with SDP's `sprop-parameter-sets`.
    pub(crate) fn provide(&mut self, unit: &[u8]) {
        (self.has_provided_sets, self.owes_sets) = (true, true);
        self.prelude.remember(&[&nal::START_CODE, unit].concat());
        self.take_set(unit);
    }

    fn take_set(&mut self, unit: &[u8]) {
        if self.sets.push(unit).is_err() {
            self.has_unreadable_sets = true;
        }
    }

    /// Something that others may refer to was lost.
    pub(crate) fn lose(&mut self) {
        self.wants_key_frame = true;
        if self.policy != Policy::Open && !fault::is(Fault::LostReferenceIgnored) {
            self.closed.get_or_insert(DropCause::ReferenceLost);
        }
    }

    /// Whether a whole access unit, of which `units` lie in `data`, may be handed out.
    pub(crate) fn judge(&mut self, units: &[Unit], data: &[u8]) -> Result<Passed, DropCause> {
        let contents = self.read(units, data);
        let key_frame = contents.has_idr;
        let referred = contents
            .first_slice
            .and_then(SliceStart::parse)
            .and_then(|start| self.sets.referred(start.pps_id));
        let resolution = referred.map(|(sps, _)| sps.resolution);
        // What holds no picture refers to nothing, and may bring the sets that are awaited.
        if self.policy != Policy::Open && contents.has_picture {
            let decided = self.decide(&contents, resolution.is_some());
            self.owes_sets |= decided.is_err() && contents.has_sets;
            decided?;
        }
        if key_frame {
            self.wants_key_frame = false;
        }
        Ok(Passed { key_frame, resolution })
    }

    fn decide(&mut self, contents: &Contents<'_>, has_sets: bool) -> Result<(), DropCause> {
        let begins = contents.has_idr || contents.has_recovery_point;
        let refused = match self.closed {
            Some(cause) if !begins => Some(cause),
            _ if begins && !has_sets && !self.has_unreadable_sets => {
                // What refers to it from now on is as lost as the key frame itself.
                self.closed.get_or_insert(DropCause::ReferenceLost);
                Some(DropCause::NoParameterSets)
            }
            _ => None,
        };
        if let Some(cause) = refused {
            self.wants_key_frame = true;
            return Err(cause);
        }
        if begins {
            self.closed = None;
        }
        Ok(())
    }

    fn read<'a>(&mut self, units: &[Unit], data: &'a [u8]) -> Contents<'a> {
        let mut contents = Contents::default();
        for (index, unit) in units.iter().enumerate() {
            let start = unit.offset as usize;
            let end = units
                .get(index + 1)
                .map_or(data.len(), |next| next.offset as usize - nal::START_CODE.len());
            let bytes = &data[start..end];
            match unit.header.unit_type() {
                set if set.is_parameter_set() => {
                    contents.has_sets = true;
                    self.take_set(bytes);
                }
                UnitType::SEI if self.policy == Policy::RecoveryPoint => {
                    contents.has_recovery_point |= is_immediate_recovery_point(bytes);
                }
                picture if picture.is_picture() => {
                    contents.has_picture = true;
                    contents.has_idr |= picture == UnitType::IDR;
                    if picture.has_slice_header() {
                        contents.first_slice.get_or_insert(bytes);
                    }
                }
                _ => {}
            }
        }
        if contents.has_sets {
            self.prelude.remember(data);
        }
        contents
    }

    /// A key frame that passed, with the sets ahead that came where nothing was handed out, if it
    /// is not too large then.
    pub(crate) fn repay(&mut self, key_frame: Bytes, bytes_max: usize) -> Bytes {
        if !self.owes_sets {
            return key_frame;
        }
        match self.prelude.complete(&key_frame) {
            Some(completed) if completed.len() > bytes_max => key_frame,
            completed => {
                self.owes_sets = false;
                completed.unwrap_or(key_frame)
            }
        }
    }

    /// Something that passed was of no use.
    pub(crate) const fn want_key_frame(&mut self) {
        self.wants_key_frame = true;
    }

    /// Whether to ask for a key frame now, at most once per `interval`.
    pub(crate) fn wants_key_frame(&mut self, now: Instant, interval: Duration) -> bool {
        let is_due = self.requested.is_none_or(|requested| now.since(requested) >= interval);
        let is_due = is_due || fault::is(Fault::KeyFrameAskedForAlways);
        let asks = self.wants_key_frame && is_due && !fault::is(Fault::KeyFrameNeverAskedFor);
        if asks {
            self.requested = Some(now);
        }
        asks
    }
}

/// Whether an SEI unit says that decoding may begin at this very picture.
fn is_immediate_recovery_point(unit: &[u8]) -> bool {
    let mut bits = nal::bits(unit);
    // Messages stand one behind the other; the loop ends with the bytes of the unit.
    while bits.has_more_rbsp_data("sei_message").unwrap_or(false) {
        let Some(payload_type) = read_sei_number(&mut bits) else { return false };
        let Some(size) = read_sei_number(&mut bits) else { return false };
        if payload_type == RECOVERY_POINT {
            return bits.read_ue("recovery_frame_cnt").is_ok_and(|frames| frames == 0);
        }
        if bits.skip(size.saturating_mul(8), "sei_payload").is_err() {
            return false;
        }
    }
    false
}

/// Section 7.3.2.3.1: a run of 0xFF, then the rest.
fn read_sei_number(bits: &mut impl BitRead) -> Option<u32> {
    let mut number = 0_u32;
    loop {
        let byte = bits.read::<8, u8>("sei_number").ok()?;
        number = number.checked_add(u32::from(byte))?;
        if byte != 0xFF {
            return Some(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_point_is_found_behind_other_messages() {
        let other_then_point = [0x06, 5, 2, 0xAA, 0xBB, RECOVERY_POINT as u8, 1, 0xC4, 0x80];
        assert!(is_immediate_recovery_point(&other_then_point));
    }

    #[test]
    fn a_recovery_that_takes_pictures_is_not_immediate() {
        assert!(!is_immediate_recovery_point(&[0x06, RECOVERY_POINT as u8, 1, 0x44, 0x80]));
        assert!(!is_immediate_recovery_point(&[0x06, RECOVERY_POINT as u8]));
        assert!(!is_immediate_recovery_point(&[0x06]));
        assert!(!is_immediate_recovery_point(&[0x06, 0xFF, 0xFF]));
    }

    #[test]
    fn a_key_frame_is_asked_for_after_a_loss_and_not_too_often() {
        let mut gate = Gate::new(Policy::KeyFrame);
        let second = Duration::from_secs(1);
        assert!(!gate.wants_key_frame(Instant::ZERO, second));
        gate.lose();
        assert!(gate.wants_key_frame(Instant::ZERO, second));
        assert!(!gate.wants_key_frame(Instant::from_millis(999), second));
        assert!(gate.wants_key_frame(Instant::from_millis(1_000), second));
    }
}
