//! RTCP as it crossed a link, read by the judges themselves (RFC 3550 section 6, RFC 4585
//! section 6): reports, descriptions, farewells and feedback, with the time of sending.

use callrig_media::time::Instant;

use crate::actor::ActorId;
use crate::link::Fate;
use crate::trace::Trace;

/// One RTCP datagram.
#[derive(Clone, Debug, PartialEq)]
pub struct Compound {
    /// When it was sent.
    pub at: Instant,
    /// Its packets in order; none after the first that cannot be read.
    pub packets: Vec<Packet>,
    /// Whether every byte of it could be read.
    pub is_whole: bool,
}

/// One packet of a compound.
#[derive(Clone, Debug, PartialEq)]
pub enum Packet {
    /// A sender report.
    Sender {
        /// Who reports.
        ssrc: u32,
        /// NTP time.
        ntp: u64,
        /// The same moment by the RTP clock.
        timestamp: u32,
        /// Packets sent so far.
        packets: u32,
        /// Octets of payload in them.
        octets: u32,
        /// About what was received.
        blocks: Vec<Block>,
    },
    /// A receiver report.
    Receiver {
        /// Who reports.
        ssrc: u32,
        /// About what was received.
        blocks: Vec<Block>,
    },
    /// A source description: whether it holds a canonical name.
    Description {
        /// It does.
        has_name: bool,
    },
    /// A farewell.
    Bye {
        /// Of these.
        ssrcs: Vec<u32>,
    },
    /// A generic NACK.
    Nack {
        /// About which source.
        ssrc: u32,
        /// The numbers asked for.
        numbers: Vec<u16>,
    },
    /// A picture loss indication.
    Pli {
        /// About which source.
        ssrc: u32,
    },
    /// Anything else.
    Other {
        /// Its type.
        packet_type: u8,
    },
}

/// A reception report block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// About which source.
    pub ssrc: u32,
    /// Share lost since the report before, in 1/256.
    pub fraction_lost: u8,
    /// Cumulative, 24 bits with a sign.
    pub lost: i32,
    /// Extended highest sequence number.
    pub highest: u32,
    /// In timestamp units.
    pub jitter: u32,
    /// Middle of the NTP time of the last sender report.
    pub last_report: u32,
    /// Since then, in 1/65536 s.
    pub delay: u32,
}

/// All RTCP that one actor sent another, whatever became of it.
#[must_use]
pub fn sent(trace: &Trace, from: ActorId, to: ActorId) -> Vec<Compound> {
    trace
        .crossings(from, to)
        .filter(|(_, crossed)| is_rtcp(&crossed.payload))
        .map(|(at, crossed)| read(at, &crossed.payload))
        .collect()
}

/// All RTCP from one actor that reached another, with the time of its arrival, in order.
#[must_use]
pub fn arrived(trace: &Trace, from: ActorId, to: ActorId) -> Vec<Compound> {
    let mut compounds = Vec::new();
    for (_, crossed) in trace.crossings(from, to) {
        let times = match crossed.fate {
            _ if !is_rtcp(&crossed.payload) => [None, None],
            Fate::Delivered(at) => [Some(at), None],
            Fate::Duplicated(first, second) => [Some(first), Some(second)],
            Fate::Dropped(_) => [None, None],
        };
        compounds.extend(times.into_iter().flatten().map(|at| read(at, &crossed.payload)));
    }
    compounds.sort_by_key(|compound| compound.at);
    compounds
}

fn is_rtcp(bytes: &[u8]) -> bool {
    bytes.len() >= 4 && bytes[0] >> 6 == 2 && (192..=223).contains(&bytes[1])
}

fn read(at: Instant, bytes: &[u8]) -> Compound {
    let mut compound = Compound { at, packets: Vec::new(), is_whole: true };
    let mut rest = bytes;
    while !rest.is_empty() {
        let Some((packet, after)) = packet(rest) else {
            compound.is_whole = false;
            break;
        };
        compound.packets.push(packet);
        rest = after;
    }
    compound
}

fn packet(bytes: &[u8]) -> Option<(Packet, &[u8])> {
    let header: &[u8; 4] = bytes.first_chunk()?;
    if !is_rtcp(bytes) {
        return None;
    }
    let length = 4 * (usize::from(u16::from_be_bytes([header[2], header[3]])) + 1);
    let (body, after) = bytes.split_at_checked(length)?;
    let body = &body[4..];
    let count = usize::from(header[0] & 0x1f);
    let packet = match header[1] {
        200 => Packet::Sender {
            ssrc: word(body, 0)?,
            ntp: u64::from(word(body, 1)?) << 32 | u64::from(word(body, 2)?),
            timestamp: word(body, 3)?,
            packets: word(body, 4)?,
            octets: word(body, 5)?,
            blocks: blocks(body.get(24..)?, count)?,
        },
        201 => Packet::Receiver { ssrc: word(body, 0)?, blocks: blocks(body.get(4..)?, count)? },
        // The first item of the first chunk: type 1 is CNAME, and it must not be empty.
        202 => Packet::Description {
            has_name: body.get(4) == Some(&1) && body.get(5).is_some_and(|length| *length > 0),
        },
        203 => Packet::Bye { ssrcs: (0..count).map(|n| word(body, n)).collect::<Option<_>>()? },
        205 if count == 1 => {
            Packet::Nack { ssrc: word(body, 1)?, numbers: numbers(body.get(8..)?) }
        }
        206 if count == 1 => Packet::Pli { ssrc: word(body, 1)? },
        packet_type => Packet::Other { packet_type },
    };
    Some((packet, after))
}

fn word(bytes: &[u8], index: usize) -> Option<u32> {
    let bytes: &[u8; 4] = bytes.get(index * 4..)?.first_chunk()?;
    Some(u32::from_be_bytes(*bytes))
}

fn blocks(bytes: &[u8], count: usize) -> Option<Vec<Block>> {
    (0..count)
        .map(|n| {
            let block = bytes.get(n * 24..(n + 1) * 24)?;
            let loss = word(block, 1)?;
            Some(Block {
                ssrc: word(block, 0)?,
                fraction_lost: (loss >> 24) as u8,
                lost: (loss << 8).cast_signed() >> 8,
                highest: word(block, 2)?,
                jitter: word(block, 3)?,
                last_report: word(block, 4)?,
                delay: word(block, 5)?,
            })
        })
        .collect()
}

fn numbers(bytes: &[u8]) -> Vec<u16> {
    let mut numbers = Vec::new();
    for pair in bytes.chunks_exact(4) {
        let first = u16::from_be_bytes([pair[0], pair[1]]);
        let mask = u16::from_be_bytes([pair[2], pair[3]]);
        numbers.push(first);
        numbers.extend(
            (0..16).filter(|bit| mask >> bit & 1 == 1).map(|bit| first.wrapping_add(bit + 1)),
        );
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_report_is_read_with_its_negative_loss() {
        let mut bytes = vec![0x81, 201, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2];
        bytes.extend([64, 0xff, 0xff, 0xfe]); // a quarter lost, minus two in all
        bytes.extend([0, 1, 0, 5, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([0x81, 203, 0, 1, 0, 0, 0, 1]);
        let compound = read(Instant::ZERO, &bytes);
        assert!(compound.is_whole);
        let [Packet::Receiver { ssrc: 1, blocks }, Packet::Bye { ssrcs }] = &compound.packets[..]
        else {
            panic!("{compound:?}");
        };
        let block = blocks[0];
        assert_eq!((block.fraction_lost, block.lost, block.highest), (64, -2, 65_541));
        assert_eq!((block.jitter, ssrcs.as_slice()), (9, &[1][..]));
    }

    #[test]
    fn a_nack_names_each_number_and_a_ruin_is_not_whole() {
        let nack = [0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xff, 0, 0b101];
        let compound = read(Instant::ZERO, &nack);
        assert_eq!(compound.packets, [Packet::Nack { ssrc: 2, numbers: vec![65_535, 0, 2] }]);
        assert!(!read(Instant::ZERO, &nack[..15]).is_whole);
    }
}
