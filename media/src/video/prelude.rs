//! What a decoder has to know before a key frame: the parameter sets of a stream as they came,
//! the newest of each id. A sender need not repeat them (ITU-T H.264 section 7.4.1.2.1), so
//! whoever comes later, or begins anew, gets them from here.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes, BytesMut};
use h264_reader::rbsp::BitRead;

use super::nal::{self, Header, START_CODE, UnitType};
use super::parameter_sets::{PPS_ID_MAX, SPS_ID_MAX};

/// Together they are at most so large: a peer chooses them, and may send tiny key frames.
const BYTES_MAX: usize = 4_096;

/// Which set it is: its type, and its id among those. Sets of sequences come first: those of
/// pictures refer to them.
type Key = (UnitType, u8);

/// The parameter sets of one stream.
#[derive(Clone, Debug, Default)]
pub struct Prelude {
    sets: BTreeMap<Key, Bytes>,
    /// Together.
    bytes: usize,
}

impl Prelude {
    /// Remembers the sets in an access unit (Annex B), in place of older ones of the same id. Looks
    /// no further than the first slice. Beyond 4 KiB together those of the highest ids are
    /// forgotten.
    pub fn remember(&mut self, access_unit: &[u8]) {
        let (ahead, _) = nal::split_at_picture(access_unit);
        for unit in nal::units(ahead).filter(|unit| unit.len() <= BYTES_MAX) {
            let Some(key) = key_of(unit) else { continue };
            if self.sets.get(&key).is_some_and(|known| known == unit) {
                continue;
            }
            let before = self.sets.insert(key, Bytes::copy_from_slice(unit));
            self.bytes = self.bytes + unit.len() - before.map_or(0, |before| before.len());
            while self.bytes > BYTES_MAX
                && let Some((_, last)) = self.sets.pop_last()
            {
                self.bytes -= last.len();
            }
        }
    }

    /// All of them in Annex B form.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        self.sets.values().for_each(|set| put(&mut bytes, set));
        bytes.freeze()
    }

    /// An access unit with all of them ahead, if it does not bring them all itself.
    #[must_use]
    pub fn complete(&self, access_unit: &[u8]) -> Option<Bytes> {
        let (ahead, picture) = nal::split_at_picture(access_unit);
        let brought: BTreeSet<Key> = nal::units(ahead).filter_map(key_of).collect();
        if self.sets.keys().all(|key| brought.contains(key)) {
            return None;
        }
        let mut units = nal::units(ahead).peekable();
        let mut bytes = BytesMut::with_capacity(access_unit.len() + BYTES_MAX);
        // Nothing goes before a delimiter (section 7.4.1.2.3).
        if let Some(delimiter) = units.next_if(|unit| type_of(unit) == UnitType::DELIMITER) {
            put(&mut bytes, delimiter);
        }
        bytes.extend_from_slice(&self.to_bytes());
        units.for_each(|unit| put(&mut bytes, unit));
        bytes.extend_from_slice(picture);
        Some(bytes.freeze())
    }
}

fn put(bytes: &mut BytesMut, unit: &[u8]) {
    bytes.put_slice(&START_CODE);
    bytes.put_slice(unit);
}

fn type_of(unit: &[u8]) -> UnitType {
    Header::from_byte(unit[0]).unit_type()
}

/// Which set a unit is, if it is one, and one that could stand.
fn key_of(unit: &[u8]) -> Option<Key> {
    let kind = type_of(unit);
    let mut bits = nal::bits(unit);
    let id_max = match kind {
        UnitType::SPS => {
            // Behind the profile, its constraints and the level.
            bits.skip(24, "profile_idc").ok()?;
            SPS_ID_MAX
        }
        UnitType::PPS => PPS_ID_MAX,
        _ => return None,
    };
    let id = u8::try_from(bits.read_ue("parameter_set_id").ok()?).ok()?;
    (id <= id_max).then_some((kind, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELIMITER: &[u8] = &[0x09, 0xF0];
    const SPS: &[u8] = &[0x67, 0x42, 0xC0, 0x1F, 0x8C, 0x8D, 0x40];
    const PPS: &[u8] = &[0x68, 0xCE, 0x3C, 0x80];
    /// With another id.
    const SECOND_PPS: &[u8] = &[0x68, 0x5C, 0xE3, 0xC8];
    const KEY: &[u8] = &[0x65, 0x88, 0x84];

    fn stream(units: &[&[u8]]) -> Bytes {
        let mut bytes = BytesMut::new();
        units.iter().for_each(|unit| put(&mut bytes, unit));
        bytes.freeze()
    }

    #[test]
    fn a_key_frame_gets_ahead_what_it_does_not_bring() {
        let mut prelude = Prelude::default();
        assert_eq!(prelude.complete(&stream(&[KEY])), None, "nothing is known");
        prelude.remember(&stream(&[PPS]));
        prelude.remember(&stream(&[DELIMITER, SPS, KEY]));
        let due = stream(&[SPS, PPS, KEY]);
        assert_eq!(prelude.complete(&stream(&[KEY])), Some(due.clone()));
        assert_eq!(prelude.complete(&due), None, "it brings all");
        assert_eq!(
            prelude.complete(&stream(&[DELIMITER, KEY])),
            Some(stream(&[DELIMITER, SPS, PPS, KEY]))
        );
        prelude.remember(&stream(&[SECOND_PPS, KEY]));
        assert_eq!(prelude.to_bytes(), stream(&[SPS, PPS, SECOND_PPS]));
    }

    #[test]
    fn of_one_id_the_newest_stands() {
        let mut prelude = Prelude::default();
        let mut other = PPS.to_vec();
        other[2] ^= 4;
        prelude.remember(&stream(&[PPS, SECOND_PPS]));
        prelude.remember(&stream(&[PPS]));
        prelude.remember(&stream(&[&other]));
        assert_eq!(prelude.to_bytes(), stream(&[&other, SECOND_PPS]));
    }

    #[test]
    fn what_a_peer_sends_has_its_bounds() {
        let mut prelude = Prelude::default();
        // No set: too short, none of an id, behind a slice.
        for units in [&[&SPS[..2], &PPS[..1]], &[&[0x68, 0, 0, 0, 1][..], KEY], &[KEY, SPS]] {
            prelude.remember(&stream(units));
        }
        assert!(prelude.to_bytes().is_empty());
        for last in 0..200_u8 {
            let large = [PPS, &[last | 1; 1_000]].concat();
            prelude.remember(&stream(&[&large, SECOND_PPS, &[SPS, &[last | 1; 2_000]].concat()]));
            assert!(prelude.to_bytes().len() <= BYTES_MAX + 3 * START_CODE.len());
        }
        let known = prelude.to_bytes();
        prelude.remember(&stream(&[&[PPS, &[1; BYTES_MAX]].concat()]));
        assert_eq!(prelude.to_bytes(), known);
    }
}
