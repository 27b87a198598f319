//! H.264 in RTP (RFC 6184): access units into payloads and payloads into NAL units, in
//! packetization modes 0 (single NAL unit) and 1 (non-interleaved). Mode 2 is refused: no
//! calling client offers it. Where the receiver is more lenient than the RFC, it says so.

use bytes::{BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::video::nal::{self, Header};

mod depacketizer;

pub use depacketizer::{DepacketizeError, Depacketizer, UNITS_MAX, Unit};
pub(crate) use depacketizer::{first_unit, units};

/// Type of an aggregation packet (RFC 6184 section 5.7.1).
const STAP_A: u8 = 24;
/// Type of a fragment (RFC 6184 section 5.8).
const FU_A: u8 = 28;
/// Start bit in an FU header.
const FU_START: u8 = 0x80;
/// End bit in an FU header.
const FU_END: u8 = 0x40;
/// Bytes in front of what a fragment carries: FU indicator and FU header.
const FU_OVERHEAD: usize = 2;
/// Bytes in front of each unit in an aggregation packet.
const STAP_LENGTH: usize = 2;

/// Least payload size: room for an FU and a few bytes in it.
pub const PAYLOAD_BYTES_LEAST: usize = 16;
/// Greatest payload size: what fits into a UDP datagram behind an RTP header.
pub const PAYLOAD_BYTES_GREATEST: usize = 65_495;

/// `packetization-mode` of RFC 6184 section 8.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PacketizationMode {
    /// 0: one NAL unit in each packet.
    SingleUnit,
    /// 1: also STAP-A and FU-A, in decoding order.
    #[default]
    NonInterleaved,
}

impl PacketizationMode {
    /// From the number in an `fmtp` line; `None` for mode 2 and for what is no mode.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::SingleUnit),
            1 => Some(Self::NonInterleaved),
            _ => None,
        }
    }
}

/// A payload size that no packetizer can work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "RTP payloads of {0} bytes are not between {PAYLOAD_BYTES_LEAST} and {PAYLOAD_BYTES_GREATEST}"
)]
pub struct PayloadSizeError(pub usize);

/// Why an access unit cannot be sent; nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PacketizeError {
    /// There is no NAL unit in it, so perhaps it is not Annex B.
    #[error("access unit of {0} bytes holds no NAL unit behind a start code")]
    NoUnits(usize),
    /// Mode 0 cannot fragment.
    #[error("NAL unit of {bytes} bytes exceeds the {bytes_max} that a packet of mode 0 holds")]
    TooLarge {
        /// Size of the unit.
        bytes: usize,
        /// What a packet holds.
        bytes_max: usize,
    },
    /// RFC 6184 uses the type for something else.
    #[error("NAL unit type {0} cannot be carried in RTP")]
    NotCarried(u8),
    /// The forbidden bit is set.
    #[error("NAL unit says of itself that it is damaged")]
    Forbidden,
}

/// One RTP payload: a few bytes of its own in front of a part of the access unit, which is
/// shared, not copied. Aggregation packets have nothing in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    head: [u8; FU_OVERHEAD],
    head_len: u8,
    body: Bytes,
    /// Whether it is the last of its access unit: the marker bit of its packet.
    pub marker: bool,
}

impl Fragment {
    /// Size of the payload in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head().len() + self.body.len()
    }

    /// Never: there is no empty payload.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What stands in front of [`Self::body`].
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head[..usize::from(self.head_len)]
    }

    /// The part of the access unit.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Appends the payload to a packet: the only copy on the way out.
    pub fn write(&self, out: &mut BytesMut) {
        out.reserve(self.len());
        out.put_slice(self.head());
        out.put_slice(&self.body);
    }

    /// The payload in one piece; copies when there is something in front of the body.
    #[must_use]
    pub fn into_payload(self) -> Bytes {
        if self.head_len == 0 {
            return self.body;
        }
        let mut out = BytesMut::with_capacity(self.len());
        self.write(&mut out);
        out.freeze()
    }

    fn whole(body: Bytes) -> Self {
        Self { head: [0; FU_OVERHEAD], head_len: 0, body, marker: false }
    }
}

/// What payloads a packetizer makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    mode: PacketizationMode,
    payload_bytes_max: usize,
}

/// Turns access units into payloads of a bounded size.
#[derive(Debug)]
pub struct Packetizer {
    shape: Shape,
    /// Where aggregation packets are put together; handed out piece by piece.
    scratch: BytesMut,
}

impl Packetizer {
    /// A packetizer whose payloads, without the RTP header, hold at most so many bytes.
    ///
    /// # Errors
    /// When that is less than [`PAYLOAD_BYTES_LEAST`] or more than [`PAYLOAD_BYTES_GREATEST`].
    pub fn new(
        mode: PacketizationMode,
        payload_bytes_max: usize,
    ) -> Result<Self, PayloadSizeError> {
        if (PAYLOAD_BYTES_LEAST..=PAYLOAD_BYTES_GREATEST).contains(&payload_bytes_max) {
            Ok(Self::of(Shape { mode, payload_bytes_max }))
        } else {
            Err(PayloadSizeError(payload_bytes_max))
        }
    }

    /// Another one that makes the same payloads.
    #[must_use]
    pub fn of(shape: Shape) -> Self {
        Self { shape, scratch: BytesMut::new() }
    }

    /// What payloads it makes.
    #[must_use]
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// Appends the payloads of one access unit (Annex B) to `out`; the last one is marked.
    /// In mode 1 neighbours that fit together share a packet and a unit that does not fit
    /// is cut into parts of about the same size.
    ///
    /// # Errors
    /// When a unit cannot be carried; `out` is then as it was.
    pub fn packetize(
        &mut self,
        access_unit: &Bytes,
        out: &mut Vec<Fragment>,
    ) -> Result<(), PacketizeError> {
        let before = out.len();
        let result = self.packetize_units(access_unit, out);
        match (&result, out[before..].last_mut()) {
            (Ok(()), Some(last)) => last.marker = true,
            (Ok(()), None) => return Err(PacketizeError::NoUnits(access_unit.len())),
            (Err(_), _) => out.truncate(before),
        }
        result
    }

    fn packetize_units(
        &mut self,
        access_unit: &Bytes,
        out: &mut Vec<Fragment>,
    ) -> Result<(), PacketizeError> {
        let mut gathered = Gathered::default();
        for unit in nal::shared_units(access_unit) {
            let header = Header::from_byte(unit[0]);
            if header.is_forbidden() {
                return Err(PacketizeError::Forbidden);
            }
            if !header.unit_type().is_carried_by_rtp() {
                return Err(PacketizeError::NotCarried(header.unit_type().value()));
            }
            if self.shape.mode == PacketizationMode::SingleUnit {
                if unit.len() > self.shape.payload_bytes_max {
                    let (bytes, bytes_max) = (unit.len(), self.shape.payload_bytes_max);
                    return Err(PacketizeError::TooLarge { bytes, bytes_max });
                }
                out.push(Fragment::whole(unit));
                continue;
            }
            if !gathered.fits(&unit, self.shape.payload_bytes_max) {
                gathered.finish(&mut self.scratch, out);
            }
            if unit.len() > self.shape.payload_bytes_max {
                self.fragment(&unit, out);
            } else {
                gathered.add(unit, &mut self.scratch);
            }
        }
        gathered.finish(&mut self.scratch, out);
        Ok(())
    }

    /// Cuts a unit that is larger than a payload into FU-A of about the same size.
    fn fragment(&self, unit: &Bytes, out: &mut Vec<Fragment>) {
        let header = unit[0];
        let count = (unit.len() - 1).div_ceil(self.shape.payload_bytes_max - FU_OVERHEAD);
        let size = (unit.len() - 1).div_ceil(count);
        let indicator = (header & 0xE0) | FU_A;
        let mut start = 1;
        while start < unit.len() {
            let end = unit.len().min(start + size);
            let mut fu_header = header & 0x1F;
            if start == 1 {
                fu_header |= FU_START;
            }
            if end == unit.len() {
                fu_header |= FU_END;
            }
            let body = unit.slice(start..end);
            out.push(Fragment { head: [indicator, fu_header], head_len: 2, body, marker: false });
            start = end;
        }
    }
}

/// Units on their way into one packet. The first stays where it is until a second one joins
/// it, so that a unit alone is never copied.
#[derive(Default)]
struct Gathered {
    only: Option<Bytes>,
    /// Size of the aggregation packet in the scratch buffer, 0 for none.
    bytes: usize,
}

impl Gathered {
    fn fits(&self, unit: &Bytes, bytes_max: usize) -> bool {
        let so_far = match &self.only {
            Some(only) => 1 + STAP_LENGTH + only.len(),
            None => self.bytes,
        };
        so_far == 0 && unit.len() <= bytes_max || so_far + STAP_LENGTH + unit.len() <= bytes_max
    }

    fn add(&mut self, unit: Bytes, scratch: &mut BytesMut) {
        if let Some(only) = self.only.take() {
            scratch.put_u8(STAP_A);
            put_unit(scratch, &only);
        } else if self.bytes == 0 {
            self.only = Some(unit);
            return;
        }
        put_unit(scratch, &unit);
        self.bytes = scratch.len();
    }

    fn finish(&mut self, scratch: &mut BytesMut, out: &mut Vec<Fragment>) {
        if let Some(only) = self.only.take() {
            out.push(Fragment::whole(only));
        } else if self.bytes > 0 {
            self.bytes = 0;
            out.push(Fragment::whole(scratch.split().freeze()));
        }
    }
}

/// Adds a unit to an aggregation packet, whose header takes the greatest `nal_ref_idc` of
/// the units in it (RFC 6184 section 5.7).
fn put_unit(packet: &mut BytesMut, unit: &Bytes) {
    packet[0] = packet[0].max(unit[0] & 0x60 | STAP_A);
    let length = u16::try_from(unit.len()).expect("a unit fits a payload, and that a UDP datagram");
    packet.put_u16(length);
    packet.put_slice(unit);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annex_b(units: &[&[u8]]) -> Bytes {
        let mut stream = BytesMut::new();
        for unit in units {
            stream.put_slice(&nal::START_CODE);
            stream.put_slice(unit);
        }
        stream.freeze()
    }

    fn payloads(mode: PacketizationMode, max: usize, units: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut packetizer = Packetizer::new(mode, max).expect("the size is allowed");
        let mut out = Vec::new();
        packetizer.packetize(&annex_b(units), &mut out).expect("every unit can be carried");
        assert!(out.iter().rev().skip(1).all(|fragment| !fragment.marker));
        assert!(out.last().expect("there is a packet").marker);
        out.into_iter().map(|fragment| fragment.into_payload().to_vec()).collect()
    }

    #[test]
    fn small_neighbours_share_a_packet_with_the_greatest_reference() {
        let units: [&[u8]; 3] = [&[0x67, 1], &[0x28, 2], &[0x06, 3, 4]];
        let packets = payloads(PacketizationMode::NonInterleaved, 200, &units);
        assert_eq!(packets, [[0x78, 0, 2, 0x67, 1, 0, 2, 0x28, 2, 0, 3, 0x06, 3, 4]]);
    }

    #[test]
    fn a_unit_alone_is_not_copied() {
        let access_unit = annex_b(&[&[0x65; 100]]);
        let mut packetizer = Packetizer::new(PacketizationMode::NonInterleaved, 200).expect("fits");
        let mut out = Vec::new();
        packetizer.packetize(&access_unit, &mut out).expect("it can be carried");
        assert_eq!(out[0].body().as_ptr(), access_unit[4..].as_ptr());
    }

    #[test]
    fn a_large_unit_is_cut_into_even_fragments_with_one_start_and_one_end() {
        let unit: Vec<u8> = [0x65].into_iter().chain((1..=100).map(|n| n | 0x80)).collect();
        let packets = payloads(PacketizationMode::NonInterleaved, 40, &[&unit]);
        let sizes: Vec<usize> = packets.iter().map(Vec::len).collect();
        assert_eq!(sizes, [36, 36, 34]);
        let heads: Vec<[u8; 2]> = packets.iter().map(|packet| [packet[0], packet[1]]).collect();
        assert_eq!(heads, [[0x7C, 0x85], [0x7C, 0x05], [0x7C, 0x45]]);
    }

    #[test]
    fn mode_0_refuses_what_does_not_fit_and_leaves_nothing_behind() {
        let mut packetizer = Packetizer::new(PacketizationMode::SingleUnit, 20).expect("fits");
        let mut out = Vec::new();
        let error = packetizer.packetize(&annex_b(&[&[0x67, 1], &[0x65; 21]]), &mut out);
        assert_eq!(error, Err(PacketizeError::TooLarge { bytes: 21, bytes_max: 20 }));
        assert!(out.is_empty());
    }

    #[test]
    fn what_rtp_cannot_carry_is_refused_with_its_reason() {
        let mut packetizer = Packetizer::new(PacketizationMode::NonInterleaved, 20).expect("fits");
        let mut out = Vec::new();
        let mut refuse = |unit: &[u8]| packetizer.packetize(&annex_b(&[unit]), &mut out);
        assert_eq!(refuse(&[0x78, 1]), Err(PacketizeError::NotCarried(24)));
        assert_eq!(refuse(&[0x80, 1]), Err(PacketizeError::Forbidden));
        assert_eq!(refuse(&[]), Err(PacketizeError::NoUnits(4)));
        assert!(Packetizer::new(PacketizationMode::SingleUnit, 3).is_err());
    }
}
