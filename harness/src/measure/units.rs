//! The access units that a phone sent, put together by the judges themselves with all
//! packets in view (RFC 6184 sections 5.6 to 5.8). What the product hands out as whole has
//! to be one of these, byte for byte.

use std::collections::BTreeMap;

use callrig_media::video::nal::{self, Header};

/// An access unit as it was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unit {
    /// Its NAL units, each behind a four-byte start code.
    pub data: Vec<u8>,
    /// Sequence numbers of its packets, relative to the first of the stream, ascending.
    pub numbers: Vec<i64>,
    /// Whether all of it was sent: its numbers follow each other, the packet before it is
    /// of another unit, its fragments have beginning and end, and it is known to be over.
    pub is_whole: bool,
    /// Whether it holds an IDR slice.
    pub is_key_frame: bool,
}

/// A packet of H.264 as it was sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// As in the header.
    pub sequence_number: u16,
    /// As in the header.
    pub timestamp: u32,
    /// The marker bit: the last packet of its unit.
    pub marker: bool,
    /// Without header, extension and padding.
    pub payload: &'a [u8],
}

/// Whether a frame that was handed out is the unit at this place.
pub type IsIt = fn(&[(u32, Unit)], usize, &[u8]) -> bool;

const START_CODE: [u8; 4] = [0, 0, 0, 1];
const IDR: u8 = 5;
const SEI: u8 = 6;
const DELIMITER: u8 = 9;

/// The units of one stream by RTP timestamp, from its packets in any order; copies count
/// once.
#[must_use]
pub fn of(packets: &[Sent<'_>]) -> BTreeMap<u32, Unit> {
    let mut by_number: BTreeMap<i64, &Sent<'_>> = BTreeMap::new();
    let (mut first, mut highest) = (None, 0i64);
    for packet in packets {
        let first = *first.get_or_insert(packet.sequence_number);
        let expected = (i64::from(first) + highest) as u16;
        let number =
            highest + i64::from(packet.sequence_number.wrapping_sub(expected).cast_signed());
        highest = highest.max(number);
        by_number.entry(number).or_insert(packet);
    }
    let mut by_stamp: BTreeMap<u32, Vec<(i64, &Sent<'_>)>> = BTreeMap::new();
    for (number, packet) in &by_number {
        by_stamp.entry(packet.timestamp).or_default().push((*number, packet));
    }
    by_stamp.into_iter().map(|(stamp, packets)| (stamp, unit(&packets, &by_number))).collect()
}

/// Whether a frame that was handed out is the unit at this place, to the last byte. A key frame may
/// have parameter sets ahead that were sent up to then, for whoever came later than they did.
#[must_use]
pub fn is_as_sent(units: &[(u32, Unit)], place: usize, frame: &[u8]) -> bool {
    let unit = &units[place].1;
    if !unit.is_whole || unit.data == frame || !unit.is_key_frame {
        return unit.is_whole && unit.data == frame;
    }
    let was_sent = |set: &[u8]| {
        let mut sent = units[..=place].iter().flat_map(|(_, unit)| nal::units(&unit.data));
        Header::from_byte(set[0]).unit_type().is_parameter_set() && sent.any(|sent| sent == set)
    };
    let mut due = nal::units(&unit.data).peekable();
    nal::units(frame).all(|part| due.next_if_eq(&part).is_some() || was_sent(part))
        && due.next().is_none()
}

/// The same of a frame that was passed on where not all are: what is ahead of a key frame and shows
/// nothing (delimiters, supplemental information) may have been left out with the frame before.
#[must_use]
pub fn is_as_passed_on(units: &[(u32, Unit)], place: usize, frame: &[u8]) -> bool {
    let unit = &units[place].1;
    let is_ahead = |unit: &&[u8]| [DELIMITER, SEI].contains(&(unit[0] & 0x1f));
    is_as_sent(units, place, frame)
        || unit.is_whole
            && unit.is_key_frame
            && nal::units(&unit.data).skip_while(is_ahead).eq(nal::units(frame))
}

fn unit(packets: &[(i64, &Sent<'_>)], all: &BTreeMap<i64, &Sent<'_>>) -> Unit {
    let mut unit = Unit::default();
    let mut fragments = Fragments::default();
    for (number, packet) in packets {
        unit.numbers.push(*number);
        append(packet.payload, &mut unit, &mut fragments);
    }
    let (Some((first, opening)), Some((last, closing))) = (packets.first(), packets.last()) else {
        return unit;
    };
    let in_a_row = last - first + 1 == packets.len() as i64;
    let begins = all.contains_key(&(first - 1))
        || Some(first) == all.keys().next()
        || opening.payload.first().is_some_and(|header| header & 0x1f == DELIMITER);
    let ends = closing.marker || all.contains_key(&(last + 1)) || Some(last) == all.keys().last();
    unit.is_whole = in_a_row && begins && ends && !fragments.open && !fragments.broken;
    unit
}

#[derive(Default)]
struct Fragments {
    open: bool,
    broken: bool,
}

fn append(payload: &[u8], unit: &mut Unit, fragments: &mut Fragments) {
    let Some(header) = payload.first() else { return };
    match header & 0x1f {
        24 => {
            let mut rest = &payload[1..];
            while let Some((length, after)) = rest.split_first_chunk::<2>() {
                let length = usize::from(u16::from_be_bytes(*length));
                let Some((nal, after)) = after.split_at_checked(length) else {
                    fragments.broken = true;
                    return;
                };
                append_nal(nal, unit);
                rest = after;
            }
            fragments.broken |= !rest.is_empty() || fragments.open;
        }
        28 => {
            let [indicator, fragment, body @ ..] = payload else {
                fragments.broken = true;
                return;
            };
            let (start, end) = (fragment & 0x80 != 0, fragment & 0x40 != 0);
            fragments.broken |= start == fragments.open;
            if start {
                append_nal(&[indicator & 0xe0 | fragment & 0x1f], unit);
            }
            unit.data.extend_from_slice(body);
            fragments.open = !end;
        }
        _ => {
            fragments.broken |= fragments.open;
            append_nal(payload, unit);
        }
    }
}

fn append_nal(nal: &[u8], unit: &mut Unit) {
    unit.is_key_frame |= nal.first().is_some_and(|header| header & 0x1f == IDR);
    unit.data.extend_from_slice(&START_CODE);
    unit.data.extend_from_slice(nal);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(list: &[(u16, u32, bool, &'static [u8])]) -> Vec<Sent<'static>> {
        list.iter()
            .map(|&(sequence_number, timestamp, marker, payload)| Sent {
                sequence_number,
                timestamp,
                marker,
                payload,
            })
            .collect()
    }

    #[test]
    fn fragments_and_aggregates_become_their_units() {
        let packets = sent(&[
            (65_535, 1, false, &[24, 0, 2, 0x67, 1, 0, 2, 0x68, 2]),
            (0, 1, false, &[0x7c, 0x85, 3]),
            (1, 1, true, &[0x7c, 0x45, 4]),
            (2, 2, true, &[0x41, 9]),
        ]);
        let units = of(&packets);
        let expected = [0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x68, 2, 0, 0, 0, 1, 0x65, 3, 4];
        assert_eq!(units[&1].data, expected);
        assert!(units[&1].is_whole && units[&1].is_key_frame && units[&2].is_whole);
        assert!(!units[&2].is_key_frame);
    }

    #[test]
    fn a_key_frame_may_have_sets_ahead_that_were_sent_and_nothing_else() {
        let whole = |data: &[u8], is_key_frame| {
            (0, Unit { data: data.to_vec(), is_whole: true, is_key_frame, ..Unit::default() })
        };
        let (set, key) = ([0, 0, 0, 1, 0x67, 1], [0, 0, 0, 1, 0x65, 2]);
        let slice = [0, 0, 0, 1, 0x41, 3];
        let units =
            [whole(&set, false), whole(&key, true), whole(&slice, false), whole(&key, true)];
        for place in [1, 3] {
            assert!(is_as_sent(&units, place, &key));
            assert!(is_as_sent(&units, place, &[set, key].concat()));
            assert!(!is_as_sent(&units, place, &[slice, key].concat()), "no set");
            assert!(!is_as_sent(&units, place, &set), "not all of it");
            assert!(!is_as_sent(&units, place, &[key, key].concat()), "twice");
        }
        assert!(!is_as_sent(&units[1..], 0, &[set, key].concat()), "it was never sent");
        assert!(!is_as_sent(&units, 2, &[set, slice].concat()), "no key frame");
        let delimited = [whole(&[&[0, 0, 0, 1, 9, 0xf0][..], &key].concat(), true)];
        assert!(is_as_passed_on(&delimited, 0, &key) && !is_as_sent(&delimited, 0, &key));
        assert!(!is_as_passed_on(&delimited, 0, &slice));
    }

    #[test]
    fn a_unit_with_a_hole_in_or_before_it_is_not_whole() {
        let packets = sent(&[
            (1, 1, true, &[0x65, 1]),
            (3, 2, true, &[0x41, 1]), // 2 was lost: it may have been a part of it
            (4, 3, false, &[0x7c, 0x81, 1]), // the middle of the fragments was lost
            (6, 3, true, &[0x7c, 0x41, 1]),
            (7, 4, true, &[0x7c, 0x81, 1]), // no end
        ]);
        let units = of(&packets);
        let whole: Vec<bool> = units.values().map(|unit| unit.is_whole).collect();
        assert_eq!(whole, [true, false, false, false]);
    }
}
