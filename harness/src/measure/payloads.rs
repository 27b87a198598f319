//! RTP packets with what they carry, read off the wire by the judges themselves: for
//! those who decode sound or digits once more and compare.

use bytes::Bytes;
use callrig_media::time::Instant;

use super::arrivals::{self, Arrived};
use crate::actor::ActorId;
use crate::link::Fate;
use crate::trace::Trace;

/// A packet and its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Its header, and when it arrived.
    pub packet: Arrived,
    /// Without header, extension and padding; shared with the trace.
    pub payload: Bytes,
}

/// Packets from one actor to another in the order of their arrival, copies included.
#[must_use]
pub fn delivered(trace: &Trace, from: ActorId, to: ActorId) -> Vec<Carried> {
    let mut packets = Vec::new();
    for (sent, crossed) in trace.crossings(from, to) {
        let Some(packet) = arrivals::read(sent, &crossed.payload) else { continue };
        let payload = payload(&crossed.payload, &packet);
        let times = match crossed.fate {
            Fate::Delivered(at) => [Some(at), None],
            Fate::Duplicated(first, second) => [Some(first), Some(second)],
            Fate::Dropped(_) => [None, None],
        };
        packets.extend(
            times
                .into_iter()
                .flatten()
                .map(|at| Carried { packet: Arrived { at, ..packet }, payload: payload.clone() }),
        );
    }
    packets.sort_by_key(|carried| carried.packet.at);
    packets
}

/// Packets that one actor sent another, whatever became of them, in the order of sending.
#[must_use]
pub fn sent(trace: &Trace, from: ActorId, to: ActorId) -> Vec<Carried> {
    trace.crossings(from, to).filter_map(|(at, crossed)| read(at, &crossed.payload)).collect()
}

/// A packet that was sent then; `None` if it is none.
#[must_use]
pub fn read(at: Instant, datagram: &Bytes) -> Option<Carried> {
    let packet = arrivals::read(at, datagram)?;
    Some(Carried { packet, payload: payload(datagram, &packet) })
}

/// The packets of one source in the order of their numbers, copies left out. The second of
/// two runs of numbers follows the first.
#[must_use]
pub fn in_sequence(packets: &[Carried], ssrc: u32) -> Vec<(i64, &Carried)> {
    let mut list: Vec<(i64, &Carried)> = Vec::new();
    let mut highest: Option<(i64, u16)> = None;
    for carried in packets.iter().filter(|carried| carried.packet.ssrc == ssrc) {
        let number = carried.packet.sequence_number;
        let (reached, last) = highest.unwrap_or((0, number));
        let extended = reached + i64::from(number.wrapping_sub(last).cast_signed());
        if extended >= reached {
            highest = Some((extended, number));
        }
        list.push((extended, carried));
    }
    list.sort_by_key(|(number, _)| *number);
    list.dedup_by_key(|(number, _)| *number);
    list
}

/// What a datagram carries whose header was read.
pub(super) fn payload(bytes: &Bytes, packet: &Arrived) -> Bytes {
    // Padding is valid here: `arrivals` has read it.
    let padded = bytes.first().is_some_and(|first| first & 0x20 != 0);
    let padding = if padded { usize::from(bytes[bytes.len() - 1]) } else { 0 };
    let end = bytes.len() - padding;
    bytes.slice(end - packet.payload_length..end)
}

#[cfg(test)]
mod tests {
    use callrig_media::time::Instant;

    use super::*;

    fn carried(number: u16) -> Carried {
        let mut bytes = vec![0xa0, 96, 0, 0, 0, 0, 0, 9, 0, 0, 0, 7];
        bytes[2..4].copy_from_slice(&number.to_be_bytes());
        bytes.extend([1, 2, 3, 0, 2]);
        let bytes = Bytes::from(bytes);
        let packet = arrivals::read(Instant::ZERO, &bytes).expect("the packet is valid");
        Carried { payload: payload(&bytes, &packet), packet }
    }

    #[test]
    fn a_payload_has_neither_header_nor_padding() {
        assert_eq!(carried(1).payload, &[1, 2, 3][..]);
    }

    #[test]
    fn packets_are_put_in_order_across_the_wrap_and_copies_left_out() {
        let packets = [65_535, 1, 0, 1, 65_534, 3].map(carried);
        let numbers: Vec<i64> = in_sequence(&packets, 7).iter().map(|(n, _)| *n).collect();
        assert_eq!(numbers, [-1, 0, 1, 2, 4]);
        assert!(in_sequence(&packets, 8).is_empty());
    }
}
