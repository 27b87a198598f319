//! Payloads into NAL units. The payloads must come in order and without gaps, from the
//! first of an access unit to its last: that is for [`crate::video::assembly`] to see to.

use bytes::{BufMut, BytesMut};
use thiserror::Error;

use super::{FU_A, FU_END, FU_OVERHEAD, FU_START, PacketizationMode, STAP_A, STAP_LENGTH};
use crate::fault::{self, Fault};
use crate::video::nal::{Header, START_CODE, UnitType};

/// How many NAL units an access unit may hold: far beyond one per macroblock row, and few
/// enough that a peer cannot make the list of them larger than the pictures.
pub const UNITS_MAX: usize = 8_192;

/// Why a payload, and with it the access unit, is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
#[non_exhaustive]
pub enum DepacketizeError {
    /// There is no byte in it.
    #[error("payload is empty")]
    Empty,
    /// The forbidden bit is set: something on the way knows that it is damaged.
    #[error("forbidden bit is set")]
    Forbidden,
    /// A type that belongs to mode 2, or to nothing.
    #[error("NAL unit type {0} is not used in packetization modes 0 and 1")]
    UnknownType(u8),
    /// A type of mode 1 where mode 0 was agreed on.
    #[error("NAL unit type {0} is not used in packetization mode 0")]
    NotInSingleUnitMode(u8),
    /// An aggregation packet that ends within a unit, or has bytes behind the last.
    #[error("aggregation packet ends {0} bytes too early or late")]
    AggregateTruncated(u16),
    /// An aggregation packet with a unit of no bytes, or without any unit.
    #[error("aggregation packet holds an empty unit")]
    AggregateEmpty,
    /// A fragment without FU header.
    #[error("fragment is shorter than its headers")]
    FragmentTruncated,
    /// A fragment that continues nothing.
    #[error("fragment continues a unit that never began")]
    FragmentWithoutStart,
    /// A fragment that continues a unit of another type.
    #[error("fragment continues a unit of another type")]
    FragmentMismatch,
    /// Something else came before the last fragment of a unit.
    #[error("fragmented unit has no end")]
    FragmentUnfinished,
    /// More than [`UNITS_MAX`] units.
    #[error("access unit has more than {UNITS_MAX} NAL units")]
    TooManyUnits,
}

/// Where a NAL unit lies in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Offset of its header, behind the start code.
    pub offset: u32,
    /// Its first byte.
    pub header: Header,
}

/// Puts the NAL units of one access unit after another together.
#[derive(Debug, Default)]
pub struct Depacketizer {
    mode: PacketizationMode,
    fragmented: Option<UnitType>,
    units: Vec<Unit>,
}

impl Depacketizer {
    /// A depacketizer for what was agreed on. Mode 1 takes everything that mode 0 allows.
    #[must_use]
    pub fn new(mode: PacketizationMode) -> Self {
        Self { mode, fragmented: None, units: Vec::new() }
    }

    /// Appends what the payload holds to `out`, each NAL unit behind a start code. After an
    /// error the access unit is lost: call [`Self::clear`].
    ///
    /// # Errors
    /// When it breaks RFC 6184 or does not follow on the one before. More lenient than the
    /// RFC in one point: a fragment that is both first and last is a whole unit.
    #[inline]
    pub fn push(&mut self, payload: &[u8], out: &mut BytesMut) -> Result<(), DepacketizeError> {
        let Some((&first, rest)) = payload.split_first() else {
            return Err(DepacketizeError::Empty);
        };
        let header = Header::from_byte(first);
        if header.is_forbidden() {
            return Err(DepacketizeError::Forbidden);
        }
        let packet_type = header.unit_type().value();
        if packet_type == FU_A && self.mode == PacketizationMode::NonInterleaved {
            return self.push_fragment(header, rest, out);
        }
        if self.fragmented.is_some() {
            return Err(DepacketizeError::FragmentUnfinished);
        }
        match packet_type {
            1..=23 => self.push_unit(payload, out),
            STAP_A | FU_A if self.mode == PacketizationMode::SingleUnit => {
                Err(DepacketizeError::NotInSingleUnitMode(packet_type))
            }
            STAP_A => self.push_aggregate(rest, out),
            _ => Err(DepacketizeError::UnknownType(packet_type)),
        }
    }

    /// The access unit ends here.
    ///
    /// # Errors
    /// When a fragmented unit has not ended.
    pub fn finish(&self) -> Result<(), DepacketizeError> {
        match self.fragmented {
            Some(_) => Err(DepacketizeError::FragmentUnfinished),
            None => Ok(()),
        }
    }

    /// The units of this access unit so far.
    #[must_use]
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// Forgets the access unit.
    pub fn clear(&mut self) {
        self.fragmented = None;
        self.units.clear();
    }

    fn begin_unit(&mut self, header: Header, out: &mut BytesMut) -> Result<(), DepacketizeError> {
        let offset = u32::try_from(out.len() + START_CODE.len()).ok();
        let Some(offset) = offset.filter(|_| self.units.len() < UNITS_MAX) else {
            return Err(DepacketizeError::TooManyUnits);
        };
        self.units.push(Unit { offset, header });
        out.put_slice(&START_CODE);
        Ok(())
    }

    fn push_unit(&mut self, unit: &[u8], out: &mut BytesMut) -> Result<(), DepacketizeError> {
        let header = Header::from_byte(unit[0]);
        self.begin_unit(header, out)?;
        out.put_slice(unit);
        Ok(())
    }

    fn push_aggregate(
        &mut self,
        mut rest: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), DepacketizeError> {
        if rest.is_empty() {
            return Err(DepacketizeError::AggregateEmpty);
        }
        while !rest.is_empty() {
            let (unit, behind) = next_aggregated(rest)?;
            let header = Header::from_byte(unit[0]);
            if header.is_forbidden() {
                return Err(DepacketizeError::Forbidden);
            }
            if !header.unit_type().is_carried_by_rtp() {
                return Err(DepacketizeError::UnknownType(header.unit_type().value()));
            }
            self.push_unit(unit, out)?;
            if fault::is(Fault::AggregateCut) {
                break;
            }
            rest = behind;
        }
        Ok(())
    }

    #[inline]
    fn push_fragment(
        &mut self,
        indicator: Header,
        rest: &[u8],
        out: &mut BytesMut,
    ) -> Result<(), DepacketizeError> {
        let Some((&fu_header, body)) = rest.split_first() else {
            return Err(DepacketizeError::FragmentTruncated);
        };
        let header = Header::from_byte((indicator.byte() & 0x60) | (fu_header & 0x1F));
        let unit_type = header.unit_type();
        if fu_header & FU_START != 0 {
            if self.fragmented.is_some() {
                return Err(DepacketizeError::FragmentUnfinished);
            }
            if !unit_type.is_carried_by_rtp() {
                return Err(DepacketizeError::UnknownType(unit_type.value()));
            }
            self.begin_unit(header, out)?;
            out.put_u8(header.byte());
        } else {
            match self.fragmented {
                None => return Err(DepacketizeError::FragmentWithoutStart),
                Some(begun) if begun != unit_type => {
                    return Err(DepacketizeError::FragmentMismatch);
                }
                Some(_) => {}
            }
        }
        if !(fault::is(Fault::FragmentEndDropped) && fu_header & FU_END != 0) {
            out.put_slice(body);
        }
        self.fragmented = if fu_header & FU_END == 0 { Some(unit_type) } else { None };
        Ok(())
    }
}

/// The first unit of what is left of an aggregation packet, and the rest.
fn next_aggregated(rest: &[u8]) -> Result<(&[u8], &[u8]), DepacketizeError> {
    let Some((length, behind)) = rest.split_first_chunk::<STAP_LENGTH>() else {
        return Err(DepacketizeError::AggregateTruncated(1));
    };
    let length = u16::from_be_bytes(*length);
    if length == 0 {
        return Err(DepacketizeError::AggregateEmpty);
    }
    behind.split_at_checked(usize::from(length)).ok_or_else(|| {
        let missing = usize::from(length) - behind.len();
        DepacketizeError::AggregateTruncated(u16::try_from(missing).unwrap_or(u16::MAX))
    })
}

/// The first NAL unit that begins in a payload: its header and the bytes of it behind that,
/// as far as they are in the payload. `None` when none begins there.
pub(crate) fn first_unit(payload: &[u8]) -> Option<(Header, &[u8])> {
    let (&first, rest) = payload.split_first()?;
    let header = Header::from_byte(first);
    match header.unit_type().value() {
        STAP_A => {
            let (unit, _) = next_aggregated(rest).ok()?;
            Some((Header::from_byte(unit[0]), &unit[1..]))
        }
        FU_A => {
            let fu_header = *rest.first()?;
            let inner = Header::from_byte((first & 0xE0) | (fu_header & 0x1F));
            (fu_header & FU_START != 0).then_some((inner, &payload[FU_OVERHEAD..]))
        }
        1..=23 => Some((header, rest)),
        _ => None,
    }
}

/// The headers of all NAL units that begin in a payload, as far as it can be read.
pub(crate) fn units(payload: &[u8]) -> impl Iterator<Item = Header> + '_ {
    let is_aggregate = payload.first().is_some_and(|first| first & 0x1F == STAP_A);
    let alone = first_unit(payload).filter(|_| !is_aggregate).map(|(header, _)| header);
    let mut rest = if is_aggregate { &payload[1..] } else { &[] };
    let aggregated = core::iter::from_fn(move || {
        let (unit, behind) = next_aggregated(rest).ok()?;
        rest = behind;
        Some(Header::from_byte(unit[0]))
    });
    alone.into_iter().chain(aggregated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depacketize(payloads: &[&[u8]]) -> Result<Vec<u8>, DepacketizeError> {
        let mut depacketizer = Depacketizer::new(PacketizationMode::NonInterleaved);
        let mut out = BytesMut::new();
        for payload in payloads {
            depacketizer.push(payload, &mut out)?;
        }
        depacketizer.finish()?;
        Ok(out.to_vec())
    }

    #[test]
    fn an_aggregate_gives_all_its_units() {
        let stream = depacketize(&[&[0x78, 0, 1, 0x67, 0, 2, 0x67, 7, 0, 1, 0x68]]);
        let expected = [0, 0, 0, 1, 0x67, 0, 0, 0, 1, 0x67, 7, 0, 0, 0, 1, 0x68];
        assert_eq!(stream.expect("it is well-formed"), expected);
    }

    #[test]
    fn an_aggregate_with_one_byte_too_many_or_too_few_is_refused() {
        use DepacketizeError::{AggregateEmpty, AggregateTruncated};
        assert_eq!(depacketize(&[&[0x78, 0, 1, 0x67, 0]]), Err(AggregateTruncated(1)));
        assert_eq!(depacketize(&[&[0x78, 0, 5, 0x67, 0]]), Err(AggregateTruncated(3)));
        assert_eq!(depacketize(&[&[0x78, 0, 0]]), Err(AggregateEmpty));
        assert_eq!(depacketize(&[&[0x78]]), Err(AggregateEmpty));
    }

    #[test]
    fn fragments_give_the_unit_back_and_may_be_empty() {
        let stream = depacketize(&[&[0x7C, 0x85, 1, 2], &[0x7C, 0x05], &[0x7C, 0x45, 3]]);
        assert_eq!(stream.expect("it is well-formed"), [0, 0, 0, 1, 0x65, 1, 2, 3]);
    }

    #[test]
    fn a_fragment_that_is_first_and_last_is_a_whole_unit() {
        let stream = depacketize(&[&[0x7C, 0xC5, 9]]);
        assert_eq!(stream.expect("it is taken"), [0, 0, 0, 1, 0x65, 9]);
    }

    #[test]
    fn fragments_that_do_not_follow_on_are_refused() {
        use DepacketizeError::{
            FragmentMismatch, FragmentTruncated, FragmentUnfinished, FragmentWithoutStart,
        };
        let (start, end) = (&[0x7C, 0x85, 1][..], &[0x7C, 0x45, 2][..]);
        assert_eq!(depacketize(&[end]), Err(FragmentWithoutStart));
        assert_eq!(depacketize(&[start]), Err(FragmentUnfinished));
        assert_eq!(depacketize(&[start, start]), Err(FragmentUnfinished));
        assert_eq!(depacketize(&[start, &[0x41, 1]]), Err(FragmentUnfinished));
        assert_eq!(depacketize(&[start, &[0x5C, 0x41, 1]]), Err(FragmentMismatch));
        assert_eq!(depacketize(&[&[0x7C]]), Err(FragmentTruncated));
    }

    #[test]
    fn other_modes_are_refused_by_name() {
        use DepacketizeError::{Empty, Forbidden, NotInSingleUnitMode, UnknownType};
        for packet_type in [0, 25, 26, 27, 29, 30, 31] {
            let refused = depacketize(&[&[packet_type, 0, 0, 0, 1, 0x67]]);
            assert_eq!(refused, Err(UnknownType(packet_type)));
            assert_eq!(
                depacketize(&[&[0x7C, 0x80 | packet_type, 1]]),
                Err(UnknownType(packet_type))
            );
        }
        assert_eq!(depacketize(&[&[0x78, 0, 1, 0x78]]), Err(UnknownType(24)));
        assert_eq!(depacketize(&[&[0x7C, 0x9C, 1]]), Err(UnknownType(28)));
        assert_eq!(depacketize(&[&[0x78, 0, 1, 0xE7]]), Err(Forbidden));
        assert_eq!(depacketize(&[&[0xE5, 1]]), Err(Forbidden));
        assert_eq!(depacketize(&[&[]]), Err(Empty));

        let mut mode_0 = Depacketizer::new(PacketizationMode::SingleUnit);
        let mut out = BytesMut::new();
        assert_eq!(mode_0.push(&[0x7C, 0x85, 1], &mut out), Err(NotInSingleUnitMode(28)));
        assert_eq!(mode_0.push(&[0x78, 0, 1, 0x67], &mut out), Err(NotInSingleUnitMode(24)));
        assert_eq!(mode_0.push(&[0x67, 1], &mut out), Ok(()));
    }

    #[test]
    fn the_number_of_units_is_bounded() {
        let mut depacketizer = Depacketizer::default();
        let mut out = BytesMut::new();
        let aggregate = [&[0x78][..], &[0, 1, 0x67].repeat(500)].concat();
        let mut pushes = 0;
        let error = loop {
            match depacketizer.push(&aggregate, &mut out) {
                Ok(()) => pushes += 1,
                Err(error) => break error,
            }
        };
        assert_eq!((pushes, error), (UNITS_MAX / 500, DepacketizeError::TooManyUnits));
    }
}
