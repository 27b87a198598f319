//! The RTP packets that reached somebody, read off the wire by the judges themselves.
//! Nothing of the product is used here, on purpose: what it counts is compared with this.

use callrig_media::time::Instant;

use crate::actor::ActorId;
use crate::link::{Fate, OVERHEAD_BYTES};
use crate::trace::Trace;

/// In front of a payload, where there are neither extensions nor contributing sources.
const HEADERS_BYTES: usize = 12 + OVERHEAD_BYTES;

/// An RTP packet at the moment it reached its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// When it was sent.
    pub sent: Instant,
    /// When it arrived.
    pub at: Instant,
    /// Synchronisation source.
    pub ssrc: u32,
    /// As in the header.
    pub sequence_number: u16,
    /// As in the header.
    pub timestamp: u32,
    /// As in the header.
    pub payload_type: u8,
    /// The marker bit.
    pub marker: bool,
    /// Bytes of payload, without header, extension and padding.
    pub payload_length: usize,
}

/// RTP packets from one actor to another in the order of their arrival, copies included.
/// RTCP and whatever breaks the fixed header of RFC 3550 section 5.1 is left out.
#[must_use]
pub fn between(trace: &Trace, from: ActorId, to: ActorId) -> Vec<Arrived> {
    let mut packets = Vec::new();
    for (sent, crossed) in trace.crossings(from, to) {
        let Some(packet) = read(sent, &crossed.payload) else { continue };
        match crossed.fate {
            Fate::Delivered(at) => packets.push(Arrived { at, ..packet }),
            Fate::Duplicated(first, second) => {
                packets.push(Arrived { at: first, ..packet });
                packets.push(Arrived { at: second, ..packet });
            }
            Fate::Dropped(_) => {}
        }
    }
    // The world hands over what arrives at one moment in the order of sending, and so
    // does a stable sort.
    packets.sort_by_key(|packet| packet.at);
    packets
}

/// RTP packets that one actor sent another, whatever became of them, in the order of
/// sending; `at` is the time of sending too.
#[must_use]
pub fn sent(trace: &Trace, from: ActorId, to: ActorId) -> Vec<Arrived> {
    trace.crossings(from, to).filter_map(|(at, crossed)| read(at, &crossed.payload)).collect()
}

/// Bits per second that packets take of a path, headers of RTP, UDP and IP included; none if they
/// take no time.
#[must_use]
pub fn bit_rate<'a>(packets: impl IntoIterator<Item = &'a Arrived>) -> Option<f64> {
    let (mut bytes, mut span) = (0, None);
    for packet in packets {
        bytes += packet.payload_length + HEADERS_BYTES;
        let (first, _) = span.unwrap_or((packet.sent, packet.sent));
        span = Some((first, packet.sent));
    }
    let (first, last) = span?;
    let seconds = last.since(first).as_secs_f64();
    (seconds > 0.0).then(|| bytes as f64 * 8.0 / seconds)
}

/// The contributing sources that the header of a packet names (RFC 3550 section 5.1).
#[must_use]
pub fn contributors(datagram: &[u8]) -> Vec<u32> {
    let count = datagram.first().map_or(0, |first| usize::from(first & 0x0f));
    let list = datagram.get(12..12 + 4 * count).unwrap_or_default();
    let read = |word: &[u8]| word.iter().fold(0, |all, byte| all << 8 | u32::from(*byte));
    list.chunks_exact(4).map(read).collect()
}

/// The sources among some packets, in the order of their first packet.
#[must_use]
pub fn sources(packets: &[Arrived]) -> Vec<u32> {
    let mut sources = Vec::new();
    for packet in packets {
        if !sources.contains(&packet.ssrc) {
            sources.push(packet.ssrc);
        }
    }
    sources
}

/// The RTP packet in a datagram that was sent at a moment; `None` for RTCP and whatever
/// breaks the fixed header.
#[must_use]
pub fn read(sent: Instant, bytes: &[u8]) -> Option<Arrived> {
    let header: &[u8; 12] = bytes.first_chunk()?;
    // RFC 5761 section 4: with a shared port 192 to 223 in the second byte is RTCP.
    if header[0] >> 6 != 2 || (192..=223).contains(&header[1]) {
        return None;
    }
    let mut start = 12 + 4 * usize::from(header[0] & 0x0f);
    if header[0] & 0x10 != 0 {
        let words = bytes.get(start + 2..start + 4)?;
        start += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
    }
    let padding = if header[0] & 0x20 == 0 {
        0
    } else {
        // Padding of nothing, or of more than there is, is not valid.
        let count = usize::from(*bytes.last()?);
        if count == 0 {
            return None;
        }
        count
    };
    let payload_length = bytes.len().checked_sub(start + padding)?;
    Some(Arrived {
        sent,
        at: sent,
        ssrc: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
        sequence_number: u16::from_be_bytes([header[2], header[3]]),
        timestamp: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        payload_type: header[1] & 0x7f,
        marker: header[1] & 0x80 != 0,
        payload_length,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_bytes_on_the_path_from_the_first_packet_to_the_last() {
        let packet = |ms| {
            let header = [0x80, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
            let bytes = [&header[..], &[0; 85]].concat();
            read(Instant::from_millis(ms), &bytes).expect("it is one")
        };
        assert_eq!(bit_rate(&[0, 500, 1_000].map(packet)), Some(3.0 * 125.0 * 8.0));
        assert_eq!(bit_rate(&[packet(7)]), None);
    }

    #[test]
    fn contributors_are_those_that_the_header_names_and_has() {
        let mut packet = vec![0x82, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 1, 0, 0, 0, 0, 9];
        assert_eq!(contributors(&packet), [256, 9]);
        packet.pop();
        assert_eq!(contributors(&packet), [] as [u32; 0], "it ends too soon");
        assert_eq!(contributors(&[]), [] as [u32; 0]);
    }

    #[test]
    fn a_header_is_read_with_its_extension_and_padding() {
        let mut bytes = vec![0xb0, 0x80 | 96, 0x12, 0x34, 0, 0, 0, 9, 0, 0, 0, 7];
        bytes.extend([0xbe, 0xde, 0, 1, 0x10, 0x80, 0, 0]); // one word of extension
        bytes.extend([1, 2, 3, 0, 0, 3]); // three bytes of payload, three of padding
        let packet = read(Instant::ZERO, &bytes).expect("the packet is valid");
        assert_eq!((packet.sequence_number, packet.timestamp, packet.ssrc), (0x1234, 9, 7));
        assert_eq!((packet.payload_type, packet.marker, packet.payload_length), (96, true, 3));
    }

    #[test]
    fn reports_and_ruins_are_left_out() {
        assert_eq!(read(Instant::ZERO, &[0x80, 200, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(read(Instant::ZERO, &[0x40; 40]), None);
        assert_eq!(read(Instant::ZERO, &[0x80; 11]), None);
        let mut lying = [0u8; 20];
        lying[0] = 0xa0;
        lying[19] = 200;
        assert_eq!(read(Instant::ZERO, &lying), None);
    }
}
