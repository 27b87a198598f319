//! The fixed header of RTP (RFC 3550 section 5.1), and how RTCP is told from it (RFC 5761).
//!
//! Read again here, apart from the media code, so that flows are found and packets counted
//! without the code under test.

use std::ops::Range;

use crate::format::array_at;

/// What discovery and counting need of an RTP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) payload_type: u8,
    pub(crate) sequence_number: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
}

/// The kinds of datagrams that can cross one port (RFC 5761 section 4, RFC 7983).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Rtp(Header),
    /// With the SSRC of its first packet, if it has one.
    Rtcp(Option<u32>),
    Other,
}

/// Tells what a datagram may be; `cut` if its end is missing.
#[inline]
pub(crate) fn classify(datagram: &[u8], cut: bool) -> Class {
    let Some(start) = array_at::<4>(datagram, 0) else {
        return Class::Other;
    };
    if start[0] >> 6 != 2 {
        return Class::Other;
    }
    // Packet types 192 to 223, which is why RTP must not use payload types 64 to 95.
    if matches!(start[1], 192..=223) {
        let first = (usize::from(u16::from_be_bytes([start[2], start[3]])) + 1) * 4;
        let fits = first <= datagram.len() || cut;
        let ssrc = array_at(datagram, 4).map(u32::from_be_bytes).filter(|_| first >= 8);
        return if fits { Class::Rtcp(ssrc) } else { Class::Other };
    }
    let Some(fixed) = array_at::<12>(datagram, 0) else {
        return Class::Other;
    };
    let [_, second, s0, s1, t0, t1, t2, t3, r0, r1, r2, r3] = fixed;
    let header = Header {
        payload_type: second & 0x7f,
        sequence_number: u16::from_be_bytes([s0, s1]),
        timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
        ssrc: u32::from_be_bytes([r0, r1, r2, r3]),
    };
    if datagram.len() >= 12 + usize::from(fixed[0] & 15) * 4 {
        Class::Rtp(header)
    } else {
        Class::Other
    }
}

/// Where the payload of an RTP packet lies, or `None` if its header contradicts its length.
pub(crate) fn payload(datagram: &[u8], cut: bool) -> Option<Range<usize>> {
    let first = *datagram.first()?;
    let mut start = 12 + usize::from(first & 15) * 4;
    if first & 0x10 != 0 {
        let words: [u8; 2] = array_at(datagram, start + 2)?;
        start += 4 + usize::from(u16::from_be_bytes(words)) * 4;
    }
    // The count of padding is the last byte, which a cut datagram lacks.
    let padding = if first & 0x20 != 0 && !cut { usize::from(*datagram.last()?) } else { 0 };
    let end = datagram.len().checked_sub(padding)?;
    (start <= end).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtcp_stun_dtls_and_sip_are_not_rtp() {
        let rtcp = [0x80, 200, 0, 1, 0, 0, 0, 9];
        assert_eq!(classify(&rtcp, false), Class::Rtcp(Some(9)));
        assert_eq!(classify(&[0x80, 200, 0, 9, 0, 0, 0, 9], false), Class::Other);
        assert_eq!(
            classify(&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0], false),
            Class::Other
        );
        assert_eq!(classify(&[22; 40], false), Class::Other);
        assert_eq!(classify(b"INVITE sip:a@b SIP/2.0\r\n", false), Class::Other);
    }

    #[test]
    fn extension_contributors_and_padding_are_not_payload() {
        let mut packet = vec![0xb1, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4];
        packet.extend([0xbe, 0xde, 0, 1, 0, 0, 0, 0, 7, 7, 7, 0, 0, 3]);
        assert!(matches!(classify(&packet, false), Class::Rtp(header) if header.ssrc == 3));
        assert_eq!(payload(&packet, false), Some(24..27));
        assert_eq!(payload(&packet, true), Some(24..30));
        packet[19] = 200;
        assert_eq!(payload(&packet, false), None);
    }
}
