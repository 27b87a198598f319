//! What a session has to hand out, in order, and the count of everything it dropped.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::{Output, Relayed};
use crate::arena::Arena;
use crate::audio::Audio;
use crate::datagram::Datagram;
use crate::event::{DropReason, Dropped, Event};
use crate::fault::{self, Fault};
use crate::rtp;
use crate::time::Instant;

/// How many relayed packets may wait for [`super::Session::poll_packet`].
const RELAYED_MAX: usize = 1024;

/// How many sounds are kept for use again.
const SOUNDS_MAX: usize = 8;

#[derive(Debug)]
pub(super) struct Outbox {
    outputs: VecDeque<Output>,
    relayed: VecDeque<Relayed>,
    /// Whether packets are relayed, and the datagram that has just come.
    relays: bool,
    arrived: Option<Bytes>,
    dropped: [u64; DropReason::ALL.len()],
    #[expect(clippy::vec_box, reason = "events carry boxes, and those come back")]
    sounds: Vec<Box<Audio>>,
    pub(super) arena: Arena,
    /// An empty datagram with the addresses of this session.
    addressed: Datagram,
}

impl Outbox {
    pub(super) fn new(addressed: Datagram, relays: bool) -> Self {
        Self {
            outputs: VecDeque::new(),
            relayed: VecDeque::new(),
            relays,
            arrived: None,
            dropped: [0; DropReason::ALL.len()],
            sounds: Vec::new(),
            arena: Arena::default(),
            addressed,
        }
    }

    pub(super) fn pop(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(super) fn pop_relayed(&mut self) -> Option<Relayed> {
        self.relayed.pop_front()
    }

    pub(super) fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// This has come: if it is relayed, then as it is.
    pub(super) fn arrives(&mut self, datagram: &Bytes) {
        if self.relays {
            self.arrived = Some(datagram.clone());
        }
    }

    /// What is relayed next is not what has come.
    pub(super) fn is_another(&mut self) {
        self.arrived = None;
    }

    /// Queues a packet for the owner; whether there was room.
    pub(super) fn relay(&mut self, packet: rtp::Packet) -> bool {
        let room = self.relayed.len() < RELAYED_MAX;
        if room {
            self.relayed.push_back(Relayed::new(packet, self.arrived.take()));
        }
        room
    }

    /// Queues a datagram that is there already.
    pub(super) fn pass_on(&mut self, payload: Bytes) {
        let (source, destination) = (self.addressed.source, self.addressed.destination);
        self.outputs.push_back(Output::Datagram(Datagram { source, destination, payload }));
    }

    pub(super) fn drop(
        &mut self,
        now: Instant,
        reason: DropReason,
        ssrc: Option<u32>,
        sequence_number: Option<u16>,
    ) {
        self.dropped[reason.index()] += 1;
        if fault::is(Fault::DropNotSaid) {
            return;
        }
        self.event(Event::Dropped(Dropped { reason, ssrc, sequence_number, arrived: now }));
    }

    /// Counts more of what an event has told of already.
    pub(super) fn count_dropped(&mut self, reason: DropReason, count: u64) {
        self.dropped[reason.index()] += count;
    }

    pub(super) fn drop_packet(&mut self, now: Instant, reason: DropReason, header: &rtp::Header) {
        self.drop(now, reason, Some(header.ssrc), Some(header.sequence_number));
    }

    pub(super) const fn dropped(&self) -> &[u64; DropReason::ALL.len()] {
        &self.dropped
    }

    /// Writes a datagram of at most `length` bytes and queues it; its length.
    pub(super) fn send(&mut self, length: usize, write: impl FnOnce(&mut BytesMut)) -> usize {
        let payload = self.write(length, write);
        let length = payload.len();
        self.pass_on(payload);
        length
    }

    /// Writes bytes that stay valid, out of memory that is used again.
    pub(super) fn write(&mut self, length: usize, write: impl FnOnce(&mut BytesMut)) -> Bytes {
        self.arena.write(length, write)
    }

    /// A sound to fill, out of those that came back.
    pub(super) fn take_sound(&mut self) -> Box<Audio> {
        self.sounds.pop().unwrap_or_default()
    }

    pub(super) fn recycle(&mut self, sound: Box<Audio>) {
        if self.sounds.len() < SOUNDS_MAX {
            self.sounds.push(sound);
        }
    }
}
