//! What became of every packet of a source on a link on which lost packets are sent again: in
//! the source's own stream (RFC 4585), or in another one that says what it repeats (RFC 4588).
//! Nothing of the product is used here: what it sends again is compared with this.

use std::collections::BTreeMap;

use bytes::{Buf as _, Bytes};
use callrig_media::time::Instant;

use super::{arrivals, payloads};
use crate::actor::ActorId;
use crate::link::Fate;
use crate::trace::Trace;

/// A source, and where its packets are sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its synchronisation source.
    pub ssrc: u32,
    /// That of what is sent again of it.
    pub again: Option<u32>,
    /// Payload types there, and what they stand for.
    pub payload_types: Vec<(u8, u8)>,
}

/// One sending of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    /// When it was sent.
    pub sent: Instant,
    /// When it arrived first, if it did.
    pub arrived: Option<Instant>,
    /// As in the header.
    pub timestamp: u32,
    /// The marker bit.
    pub marker: bool,
    /// The payload type that it has, or that it stands for.
    pub payload_type: u8,
    /// Without what says which packet it repeats.
    pub payload: Bytes,
}

impl Sending {
    /// Whether it carries what another one does.
    #[must_use]
    pub fn repeats(&self, other: &Self) -> bool {
        (self.timestamp, self.marker, self.payload_type)
            == (other.timestamp, other.marker, other.payload_type)
            && self.payload == other.payload
    }
}

/// The packets of a source on a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sendings {
    /// By number, counted on where it wraps: what was sent first, and again.
    pub packets: BTreeMap<i64, Vec<Sending>>,
    /// Packets sent again of which nothing was sent before.
    pub strangers: u64,
    newest: Option<i64>,
}

impl Sendings {
    /// Of a source, from one actor to another.
    #[must_use]
    pub fn of(trace: &Trace, (from, to): (ActorId, ActorId), source: &Source) -> Self {
        let mut sendings = Self::default();
        for (sent, crossed) in trace.crossings(from, to) {
            let Some(packet) = arrivals::read(sent, &crossed.payload) else { continue };
            let mut payload = payloads::payload(&crossed.payload, &packet);
            let mut number = packet.sequence_number;
            let mut payload_type = packet.payload_type;
            let is_again = source.again == Some(packet.ssrc);
            if is_again {
                let known = source.payload_types.iter().find(|(again, _)| *again == payload_type);
                let (Some((_, of)), true) = (known, payload.len() >= 2) else { continue };
                (payload_type, number) = (*of, payload.get_u16());
            } else if packet.ssrc != source.ssrc {
                continue;
            }
            let arrived = match crossed.fate {
                Fate::Delivered(at) => Some(at),
                Fate::Duplicated(first, second) => Some(first.min(second)),
                Fate::Dropped(_) => None,
            };
            let (timestamp, marker) = (packet.timestamp, packet.marker);
            let copy = Sending { sent, arrived, timestamp, marker, payload_type, payload };
            sendings.take(number, copy, is_again);
        }
        sendings
    }

    fn take(&mut self, number: u16, copy: Sending, is_again: bool) {
        let number = nearest(number, self.newest.unwrap_or(i64::from(number)));
        match self.packets.get_mut(&number) {
            Some(copies) => copies.push(copy),
            None if is_again => self.strangers += 1,
            None => {
                self.newest = self.newest.max(Some(number));
                self.packets.insert(number, vec![copy]);
            }
        }
    }

    /// A 16-bit number that was named at a moment, as the nearest one to the newest that had been
    /// sent by then.
    #[must_use]
    pub fn before(&self, number: u16, at: Instant) -> i64 {
        nearest(number, self.newest_by(at).unwrap_or(i64::from(number)))
    }

    /// The newest packet that had been sent by a moment.
    #[must_use]
    pub fn newest_by(&self, at: Instant) -> Option<i64> {
        let sent = |copies: &[Sending]| copies.first().is_some_and(|first| first.sent <= at);
        self.packets.iter().rev().find(|(_, copies)| sent(copies)).map(|(number, _)| *number)
    }

    /// Packets whose first sending never arrived: when it was sent, and when one of the later
    /// ones arrived, if any did.
    pub fn lost(&self) -> impl Iterator<Item = (i64, Instant, Option<Instant>)> + '_ {
        self.packets.iter().filter_map(|(number, copies)| {
            let (first, later) = copies.split_first()?;
            let recovered = later.iter().filter_map(|copy| copy.arrived).min();
            first.arrived.is_none().then_some((*number, first.sent, recovered))
        })
    }

    /// How many packets were sent again, and how many of those arrived.
    #[must_use]
    pub fn again(&self) -> (u64, u64) {
        let later = || self.packets.values().flat_map(|copies| copies.iter().skip(1));
        let arrived = later().filter(|copy| copy.arrived.is_some());
        (later().count() as u64, arrived.count() as u64)
    }
}

/// A 16-bit number, counted on where it wraps, as the nearest one to another.
fn nearest(number: u16, to: i64) -> i64 {
    to + i64::from(number.wrapping_sub(to as u16).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(sent: u64, arrived: Option<u64>) -> Sending {
        Sending {
            sent: Instant::from_millis(sent),
            arrived: arrived.map(Instant::from_millis),
            timestamp: 7,
            marker: false,
            payload_type: 96,
            payload: Bytes::from_static(b"x"),
        }
    }

    #[test]
    fn what_was_lost_is_told_from_what_came_and_what_came_again() {
        let mut sendings = Sendings::default();
        sendings.take(65_535, copy(0, Some(10)), false);
        sendings.take(0, copy(1, None), false);
        sendings.take(1, copy(2, None), false);
        sendings.take(2, copy(3, Some(13)), false);
        sendings.take(0, copy(40, None), true);
        sendings.take(0, copy(80, Some(90)), true);
        sendings.take(900, copy(81, Some(91)), true);
        let lost: Vec<_> = sendings.lost().collect();
        let ms = Instant::from_millis;
        assert_eq!(lost, [(65_536, ms(1), Some(ms(90))), (65_537, ms(2), None)]);
        assert_eq!(sendings.again(), (2, 1));
        assert_eq!(sendings.strangers, 1);
    }

    #[test]
    fn a_copy_repeats_what_it_equals() {
        let one = copy(0, None);
        assert!(one.repeats(&copy(5, Some(9))));
        assert!(!one.repeats(&Sending { payload: Bytes::from_static(b"y"), ..one.clone() }));
        assert!(!one.repeats(&Sending { marker: true, ..one.clone() }));
    }
}
