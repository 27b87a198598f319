//! One stream of ours: it numbers its packets, remembers them for retransmission where that
//! was negotiated, and counts for sender reports.

use core::time::Duration;

use arrayvec::ArrayVec;
use bytes::Bytes;

use super::lines::Line;
use super::outbox::Outbox;
use super::pacer::Waiting;
use super::path::{Marks, Path};
use super::send::ticks;
use super::thin::Thinner;
use crate::description::{Codec, MediaKind};
use crate::event::RemoteReport;
use crate::fault::{self, Fault};
use crate::rtp::{self, Csrcs};
use crate::time::Instant;

/// A packet that may be asked for again.
#[derive(Debug)]
struct Sent {
    header: rtp::Header,
    /// What stands in front of `body` in the payload.
    head: ArrayVec<u8, 4>,
    body: Bytes,
    last_sent: Instant,
    /// None until it has left.
    marks: Option<Marks>,
}

/// What became of a request for a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resent {
    Sent,
    /// It was sent a moment ago.
    TooSoon,
    NotInCache,
}

/// One stream of ours.
#[derive(Debug)]
pub(super) struct Outbound {
    pub(super) ssrc: u32,
    pub(super) line: usize,
    pub(super) kind: MediaKind,
    pub(super) forwarded: bool,
    /// Our description names it.
    pub(super) announced: bool,
    pub(super) codec: Option<Codec>,
    pub(super) next_number: u16,
    /// Timestamp and moment of the newest packet.
    pub(super) newest: Option<(u32, Instant)>,
    pub(super) packets: u64,
    pub(super) payload_bytes: u64,
    pub(super) packets_resent: u64,
    pub(super) bytes_resent: u64,
    /// Whether anything was sent since the report before the last one.
    pub(super) active_reports: u8,
    pub(super) nacks_received: u64,
    pub(super) plis_received: u64,
    pub(super) firs_received: u64,
    pub(super) fir_number: Option<u8>,
    pub(super) remote: Option<RemoteReport>,
    pub(super) send_delay: Duration,
    pub(super) thinner: Thinner,
    /// Whose contributions it carries.
    pub(super) contributors: Csrcs,
    cache: Vec<Option<Sent>>,
    cache_max: usize,
    pub(super) again: Option<Again>,
}

/// The stream in which another one is sent again (RFC 4588).
#[derive(Debug)]
pub(super) struct Again {
    pub(super) ssrc: u32,
    pub(super) next_number: u16,
    /// Its payload type for each of the other's.
    pub(super) payload_types: Vec<(u8, u8)>,
}

impl Again {
    /// None where that was not negotiated, or our number for it was not announced.
    pub(super) fn new(line: &Line, first: u16) -> Option<Self> {
        let pairs = line.outgoing.iter().filter_map(|p| Some((p.payload_type, p.retransmission?)));
        let payload_types: Vec<_> = pairs.collect();
        let ssrc = line.retransmission_ssrc.filter(|_| !payload_types.is_empty())?;
        Some(Self { ssrc, next_number: first, payload_types })
    }

    pub(super) fn header(&mut self, of: &rtp::Header) -> Option<rtp::Header> {
        let known = self.payload_types.iter().find(|(known, _)| *known == of.payload_type)?;
        let sequence_number = self.next_number;
        self.next_number = sequence_number.wrapping_add(1);
        Some(rtp::Header { ssrc: self.ssrc, payload_type: known.1, sequence_number, ..of.clone() })
    }
}

/// What a packet carries.
pub(super) struct Contents<'a> {
    /// What stands in front of `body`.
    pub(super) head: &'a [u8],
    pub(super) body: &'a Bytes,
    /// All of the packet, if it is there already.
    pub(super) whole: Option<Bytes>,
}

impl<'a> Contents<'a> {
    pub(super) const fn new(head: &'a [u8], body: &'a Bytes) -> Self {
        Self { head, body, whole: None }
    }
}

impl Outbound {
    pub(super) fn new(
        ssrc: u32,
        line: usize,
        of: &Line,
        forwarded: bool,
        cache_max: usize,
    ) -> Self {
        Self {
            ssrc,
            line,
            kind: of.kind,
            forwarded,
            announced: false,
            codec: of.preferred().map(|payload| payload.codec),
            next_number: 0,
            newest: None,
            packets: 0,
            payload_bytes: 0,
            packets_resent: 0,
            bytes_resent: 0,
            active_reports: 0,
            nacks_received: 0,
            plis_received: 0,
            firs_received: 0,
            fir_number: None,
            remote: None,
            send_delay: Duration::ZERO,
            thinner: Thinner::default(),
            contributors: Csrcs::default(),
            cache: Vec::new(),
            cache_max: if of.nack { cache_max } else { 0 },
            again: None,
        }
    }

    /// Announced, and nothing was sent under its number: somebody else's packets may be, whose
    /// number it is then.
    pub(super) const fn is_vacant(&self) -> bool {
        self.announced && !self.forwarded && self.packets == 0
    }

    /// Sends one packet, now or when it is its turn, and remembers it.
    pub(super) fn send(
        &mut self,
        now: Instant,
        header: rtp::Header,
        contents: Contents<'_>,
        path: &mut Path,
        out: &mut Outbox,
    ) {
        let Contents { head, body, whole } = contents;
        self.packets += 1;
        self.payload_bytes += (head.len() + body.len()) as u64;
        self.active_reports = 2;
        self.newest = Some((header.timestamp, now));
        let (head, body) = (head.iter().copied().collect(), body.clone());
        let packet =
            Waiting { header, head, body, whole, since: now, before: None, line: self.line };
        let is_sound = self.kind == MediaKind::Audio;
        if is_sound {
            path.offer(now, self.kind, packet.taken());
        }
        if is_sound || !path.is_paced() || path.pacer.is_free(now) {
            let marks = path.leave(now, &packet, out);
            self.remember(now, packet, Some(marks));
        } else {
            self.remember(now, packet.clone(), None);
            path.pacer.push(packet);
        }
    }

    fn remember(&mut self, now: Instant, packet: Waiting, marks: Option<Marks>) {
        if self.cache_max == 0 {
            return;
        }
        if self.cache.is_empty() {
            self.cache.resize_with(self.cache_max, || None);
        }
        let Waiting { header, head, body, .. } = packet;
        let slot = usize::from(header.sequence_number) % self.cache_max;
        self.cache[slot] = Some(Sent { header, head, body, last_sent: now, marks });
    }

    fn remembered(&mut self, number: u16) -> Option<&mut Sent> {
        let slot = usize::from(number) % self.cache_max.max(1);
        let sent = self.cache.get_mut(slot)?.as_mut()?;
        (sent.header.sequence_number == number).then_some(sent)
    }

    /// A packet has left that was to be sent at `since`.
    pub(super) fn left(&mut self, now: Instant, number: u16, since: Instant, marks: Marks) {
        self.send_delay += now.since(since);
        if let Some(sent) = self.remembered(number) {
            (sent.marks, sent.last_sent) = (Some(marks), now);
        }
    }

    /// Sends a packet again that the peer says it has not received.
    pub(super) fn resend(
        &mut self,
        now: Instant,
        number: u16,
        path: &mut Path,
        out: &mut Outbox,
    ) -> Resent {
        let line = self.line;
        let Some(sent) = self.remembered(number) else { return Resent::NotInCache };
        if sent.marks.is_none() || now.since(sent.last_sent) < path.resend_interval() {
            return Resent::TooSoon;
        }
        if fault::is(Fault::NeverSentAgain) {
            return Resent::Sent;
        }
        sent.last_sent = now;
        let (header, body, before) = (sent.header.clone(), sent.body.clone(), sent.marks);
        let mut head = sent.head.clone();
        let payload = head.len() + body.len();
        let again = self.again.as_mut().and_then(|again| again.header(&header));
        // In a stream of its own it is another packet, otherwise the same to the last bit.
        let before = before.filter(|_| again.is_none());
        if again.is_some() {
            let [high, low] = number.to_be_bytes();
            head = [high, low].into_iter().chain(head).collect();
        }
        let mut header = again.unwrap_or(header);
        if fault::is(Fault::SentAgainChanged) {
            header.timestamp ^= 1;
        }
        let packet = Waiting { header, head, body, whole: None, since: now, before, line };
        if !path.is_paced() || path.pacer.is_free(now) {
            path.leave(now, &packet, out);
        } else {
            let Some(leaves) = path.pacer.push_again(now, packet) else { return Resent::TooSoon };
            // Until then no other copy need wait.
            if let Some(sent) = self.remembered(number) {
                sent.last_sent = leaves;
            }
        }
        self.packets_resent += 1;
        self.bytes_resent += payload as u64;
        Resent::Sent
    }

    pub(super) fn take_number(&mut self) -> u16 {
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        number
    }

    /// What was sent is not there any more to be sent again.
    pub(super) fn forget(&mut self) {
        self.cache.clear();
    }

    /// The RTP clock at `now`, as far as the packets sent tell (RFC 3550 section 6.4.1).
    pub(super) fn timestamp_at(&self, now: Instant) -> Option<u32> {
        let (timestamp, at) = self.newest?;
        let rate = u64::from(self.codec.map_or(90_000, Codec::clock_rate));
        Some(timestamp.wrapping_add(ticks(now.since(at), rate)))
    }
}
