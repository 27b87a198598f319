//! RTP packets (RFC 3550 section 5.1) with header extensions (RFC 8285), parsed without
//! copying and written byte for byte. [`extension`] reads and builds extension blocks,
//! [`sequence`] gives wrapping numbers an order. Deviation: what padding contains is not
//! kept, only its length; it is written as zeros.

pub mod extension;
pub mod sequence;

use core::ops::Deref;
use std::sync::Arc;

use arrayvec::ArrayVec;
use bytes::{BufMut, Bytes, BytesMut};

pub use extension::Extensions;

/// Bytes of a header without CSRCs and extensions.
pub const FIXED_HEADER_LENGTH: usize = 12;

/// How many contributing sources a header can name.
pub const CSRCS_MAX: usize = 15;

/// What precedes the payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The marker bit: end of an access unit, start of a talk spurt, start of a tone.
    pub marker: bool,
    /// 0 to 127.
    pub payload_type: u8,
    /// Counts packets; wraps.
    pub sequence_number: u16,
    /// When the first byte of the payload was sampled, in ticks of the codec; wraps.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Contributing sources.
    pub csrcs: Csrcs,
    /// The header extension.
    pub extensions: Extensions,
    /// Bytes of padding behind the payload, its length byte included.
    pub padding: u8,
}

/// Contributing sources. Few packets name any, all are passed from hand to hand many times, and
/// many may name the same: here is only what leads to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Csrcs(Option<Arc<ArrayVec<u32, CSRCS_MAX>>>);

impl Deref for Csrcs {
    type Target = [u32];

    #[inline]
    fn deref(&self) -> &[u32] {
        self.0.as_deref().map_or(&[], ArrayVec::as_slice)
    }
}

/// The first [`CSRCS_MAX`] of them.
impl FromIterator<u32> for Csrcs {
    fn from_iter<I: IntoIterator<Item = u32>>(sources: I) -> Self {
        let mut sources = sources.into_iter().take(CSRCS_MAX).peekable();
        let any = sources.peek().is_some();
        Self(any.then(|| Arc::new(sources.collect())))
    }
}

impl Header {
    /// Bytes that [`write`](Self::write) writes.
    #[must_use]
    pub fn length(&self) -> usize {
        FIXED_HEADER_LENGTH + 4 * self.csrcs.len() + self.extensions.written_length()
    }

    /// Appends the header.
    pub fn write(&self, out: &mut BytesMut) {
        self.write_with(&[], out);
    }

    /// Appends the header with these elements in its extension, as
    /// [`Extensions::write_with`] does.
    pub fn write_with(&self, more: &[(u8, &[u8])], out: &mut BytesMut) {
        let start = out.len();
        self.write_fixed(out);
        let behind = out.len();
        self.extensions.write_with(more, out);
        if out.len() > behind {
            out[start] |= 0x10;
        }
    }

    fn write_fixed(&self, out: &mut BytesMut) {
        let first = 0x80 | u8::from(self.padding != 0) << 5 | self.csrcs.len() as u8;
        let mut fixed = [0; FIXED_HEADER_LENGTH];
        fixed[0] = first;
        fixed[1] = u8::from(self.marker) << 7 | self.payload_type & 0x7f;
        fixed[2..4].copy_from_slice(&self.sequence_number.to_be_bytes());
        fixed[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        fixed[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        out.put_slice(&fixed);
        if let Some(csrcs) = &self.csrcs.0 {
            for csrc in csrcs.iter() {
                out.put_u32(*csrc);
            }
        }
    }
}

/// An RTP packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// What precedes the payload.
    pub header: Header,
    /// What the codec has to say, without padding.
    pub payload: Bytes,
}

/// Where the parts of a packet lie in its datagram.
struct Layout {
    csrcs: usize,
    /// Profile word and range of the extension's data.
    extension: Option<(u16, usize, usize)>,
    payload: usize,
    end: usize,
}

impl Packet {
    /// Takes a datagram apart. The payload and the extensions share its memory.
    ///
    /// # Errors
    /// Whatever makes the header contradict itself or the length of the datagram.
    pub fn parse(datagram: Bytes) -> Result<Self, ParseError> {
        let Some(fixed) = datagram.first_chunk::<FIXED_HEADER_LENGTH>() else {
            return Err(ParseError::TooShort { length: datagram.len() });
        };
        let layout = Layout::of(fixed, &datagram)?;
        let mut header = Header {
            marker: fixed[1] & 0x80 != 0,
            payload_type: fixed[1] & 0x7f,
            sequence_number: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            csrcs: Csrcs::default(),
            extensions: Extensions::default(),
            padding: (datagram.len() - layout.end) as u8,
        };
        let csrcs = &datagram[FIXED_HEADER_LENGTH..FIXED_HEADER_LENGTH + 4 * layout.csrcs];
        header.csrcs = csrcs.as_chunks().0.iter().map(|csrc| u32::from_be_bytes(*csrc)).collect();
        if let Some((profile, start, end)) = layout.extension {
            header.extensions = Extensions::from_raw(profile, datagram.slice(start..end));
        }
        // Shortening in place spares the reference count a round trip.
        let mut payload = datagram;
        payload.truncate(layout.end);
        bytes::Buf::advance(&mut payload, layout.payload);
        Ok(Self { header, payload })
    }

    /// Bytes that [`write`](Self::write) writes.
    #[must_use]
    pub fn length(&self) -> usize {
        self.header.length() + self.payload.len() + usize::from(self.header.padding)
    }

    /// Appends the packet.
    pub fn write(&self, out: &mut BytesMut) {
        out.reserve(self.length());
        self.header.write(out);
        out.put_slice(&self.payload);
        if let Some(zeros) = self.header.padding.checked_sub(1) {
            out.put_bytes(0, usize::from(zeros));
            out.put_u8(self.header.padding);
        }
    }

    /// The packet as bytes of its own.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.length());
        self.write(&mut out);
        out.freeze()
    }
}

impl Layout {
    fn of(fixed: &[u8; FIXED_HEADER_LENGTH], datagram: &[u8]) -> Result<Self, ParseError> {
        let length = datagram.len();
        let version = fixed[0] >> 6;
        if version != 2 {
            return Err(ParseError::Version { version });
        }
        let csrcs = usize::from(fixed[0] & 0x0f);
        let mut payload = FIXED_HEADER_LENGTH + 4 * csrcs;
        if payload > length {
            return Err(ParseError::Csrcs { count: csrcs, length });
        }
        let mut extension = None;
        if fixed[0] & 0x10 != 0 {
            let Some(head) = datagram[payload..].first_chunk::<4>() else {
                return Err(ParseError::Extension { end: payload + 4, length });
            };
            let profile = u16::from_be_bytes([head[0], head[1]]);
            let start = payload + 4;
            payload = start + 4 * usize::from(u16::from_be_bytes([head[2], head[3]]));
            if payload > length {
                return Err(ParseError::Extension { end: payload, length });
            }
            extension = Some((profile, start, payload));
        }
        let mut end = length;
        if fixed[0] & 0x20 != 0 {
            let padding = datagram[length - 1];
            if padding == 0 || usize::from(padding) > length - payload {
                return Err(ParseError::Padding { padding, room: length - payload });
            }
            end -= usize::from(padding);
        }
        Ok(Self { csrcs, extension, payload, end })
    }
}

/// Why bytes are not an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not even a fixed header.
    #[error("{length} bytes are too few for an RTP header")]
    TooShort {
        /// Of the datagram.
        length: usize,
    },
    /// Not version 2.
    #[error("RTP version {version} instead of 2")]
    Version {
        /// As it stands in the header.
        version: u8,
    },
    /// The contributing sources do not fit.
    #[error("{count} contributing sources do not fit into {length} bytes")]
    Csrcs {
        /// As it stands in the header.
        count: usize,
        /// Of the datagram.
        length: usize,
    },
    /// The header extension does not fit.
    #[error("the header extension ends at byte {end} of {length}")]
    Extension {
        /// Where it would end.
        end: usize,
        /// Of the datagram.
        length: usize,
    },
    /// The padding is empty or longer than what is left.
    #[error("{padding} bytes of padding in {room} bytes behind the header")]
    Padding {
        /// As it stands in the last byte.
        padding: u8,
        /// What is left for payload and padding.
        room: usize,
    },
}

/// What the first bytes of a datagram on a shared port say it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demultiplexed {
    /// RTP, as far as two bytes can tell.
    Rtp,
    /// RTCP, as far as two bytes can tell.
    Rtcp,
    /// Something else: STUN, DTLS, TURN channels, nothing.
    Other,
}

/// Tells RTP from RTCP and from everything else (RFC 7983 section 7, RFC 5761 section 4).
#[must_use]
pub const fn demultiplex(datagram: &[u8]) -> Demultiplexed {
    match datagram {
        [128..=191, 192..=223, ..] => Demultiplexed::Rtcp,
        [128..=191, _, ..] => Demultiplexed::Rtp,
        _ => Demultiplexed::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(data: &[u8]) -> Bytes {
        Bytes::copy_from_slice(data)
    }

    #[test]
    fn a_packet_with_everything_is_read_field_by_field() {
        let data = bytes(&[
            0xb1, 0xe0, 0x12, 0x34, 0, 0, 0, 9, 0xde, 0xad, 0xbe,
            0xef, // fixed: P, X, CC 1, M
            0, 0, 0, 7, // CSRC
            0xbe, 0xde, 0, 1, 0x10, 0xaa, 0, 0, // one-byte extension 1 = aa
            b'h', b'i', 0, 2, // payload, padding
        ]);
        let packet = Packet::parse(data.clone()).expect("it is well formed");
        assert!(packet.header.marker);
        assert_eq!(packet.header.payload_type, 96);
        assert_eq!(packet.header.sequence_number, 0x1234);
        assert_eq!(packet.header.timestamp, 9);
        assert_eq!(packet.header.ssrc, 0xdead_beef);
        assert_eq!(*packet.header.csrcs, [7]);
        assert_eq!(packet.header.extensions.get(1), Some(&[0xaa][..]));
        assert_eq!(packet.header.padding, 2);
        assert_eq!(&packet.payload[..], b"hi");
        assert_eq!(packet.to_bytes(), data);
    }

    #[test]
    fn the_payload_shares_the_memory_of_the_datagram() {
        let data = bytes(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3]);
        let payload = Packet::parse(data.clone()).expect("it is well formed").payload;
        assert_eq!(payload.as_ptr(), data[12..].as_ptr());
    }

    #[test]
    fn lying_lengths_are_named() {
        let fixed = |first: u8, rest: &[u8]| {
            let mut data = vec![first, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            data.extend_from_slice(rest);
            Packet::parse(data.into()).expect_err("it lies")
        };
        assert_eq!(Packet::parse(bytes(&[0x80; 11])), Err(ParseError::TooShort { length: 11 }));
        assert_eq!(fixed(0x40, &[]), ParseError::Version { version: 1 });
        assert_eq!(fixed(0x82, &[0; 7]), ParseError::Csrcs { count: 2, length: 19 });
        assert_eq!(fixed(0x90, &[0; 3]), ParseError::Extension { end: 16, length: 15 });
        let bomb = [0xbe, 0xde, 0xff, 0xff];
        assert_eq!(fixed(0x90, &bomb), ParseError::Extension { end: 262_156, length: 16 });
        assert_eq!(fixed(0xa0, &[0]), ParseError::Padding { padding: 0, room: 1 });
        assert_eq!(fixed(0xa0, &[9, 3]), ParseError::Padding { padding: 3, room: 2 });
    }

    #[test]
    fn the_second_byte_tells_rtcp_from_rtp() {
        assert_eq!(demultiplex(&[0x80, 200]), Demultiplexed::Rtcp);
        assert_eq!(demultiplex(&[0x80, 96 | 0x80]), Demultiplexed::Rtp);
        assert_eq!(demultiplex(&[0, 1]), Demultiplexed::Other);
        assert_eq!(demultiplex(&[22, 254]), Demultiplexed::Other);
        assert_eq!(demultiplex(&[0x80]), Demultiplexed::Other);
    }
}
