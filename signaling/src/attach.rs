//! Legs and their media sessions. A leg of a call gets an address of the platform when
//! it is made and a session when both sides are known. Service-hosted media ends here:
//! sound is decoded, tones are heard, prompts are played, recordings made. App-hosted
//! media of a peer-to-peer call is relayed between two sessions without transcoding. No
//! session outlives its leg.

use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use callrig_media::datagram::Datagram;
use callrig_media::description::{Description, MediaDescription, MediaKind};
use callrig_media::event::Event as MediaEvent;
use callrig_media::time::{Epoch, Instant};

use crate::call::queue::RecordRules;
use crate::event::RelayDropReason;
use crate::graph::Tone;
use crate::id::LegId;

pub mod blob;
pub mod sdp;
pub(crate) mod sound;

use sound::Sound;

/// How far the platform takes a leg's media apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It is passed on.
    Relay,
    /// It ends here.
    Terminate,
}

/// Every port is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("every port for media is taken")]
pub(crate) struct PortsExhausted;

/// Why two descriptions do not make a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnswerError {
    /// No sound both understand.
    #[error("the two sides have no audio codec in common")]
    NoAudio,
    /// The answer is not one to the offer.
    #[error("the answer has other media lines than the offer")]
    Lines,
}

/// What the attachments say.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The session says something.
    Session(MediaEvent),
    /// The session has ended.
    Ended,
    /// A packet is not relayed.
    RelayDropped { payload_type: u8, reason: RelayDropReason },
    /// A key was heard.
    Tone(Tone),
    /// What was to be played has been.
    Played,
    /// What was to be recorded has been.
    Recorded(Recorded),
}

/// A recording.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) end: RecordEnd,
    pub(crate) wav: Bytes,
}

/// Why a recording ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordEnd {
    StopTone,
    MaxDuration,
    MaxSilence,
    InitialSilence,
}

/// What the attachments want done.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    /// Send this.
    Datagram(Datagram),
    /// The leg wants another moment.
    Moved(LegId),
    /// The leg says something.
    Event(LegId, Event),
}

/// The platform's answer to an offer, at an address, for a side that could do `media`.
pub(crate) fn answer(
    at: SocketAddr,
    media: &[MediaDescription],
    offer: &Description,
) -> Result<Description, AnswerError> {
    let ours = Description { address: at, media: media.to_vec() };
    let answer = ours.answer(offer);
    let sound = |line: &&MediaDescription| line.kind == MediaKind::Audio && !line.rejected;
    match answer.media.iter().find(sound) {
        Some(_) => Ok(answer),
        None => Err(AnswerError::NoAudio),
    }
}

/// The platform's side of a negotiation in which it offered and the other side answered.
pub(crate) fn settle(
    offered: &Description,
    answer: &Description,
) -> Result<Description, AnswerError> {
    if offered.media.len() != answer.media.len() {
        return Err(AnswerError::Lines);
    }
    let mut ours = offered.clone();
    for (ours, theirs) in ours.media.iter_mut().zip(&answer.media) {
        if ours.kind != theirs.kind {
            return Err(AnswerError::Lines);
        }
        ours.rejected |= theirs.rejected;
        ours.direction = ours.direction.meet(theirs.direction);
        ours.payloads.retain(|payload| {
            theirs.payloads.iter().any(|other| other.codec.is_compatible(payload.codec))
        });
    }
    let sound = ours.media.iter().any(|line| {
        line.kind == MediaKind::Audio
            && !line.rejected
            && line.payloads.iter().any(|payload| payload.codec.is_audio())
    });
    if sound { Ok(ours) } else { Err(AnswerError::NoAudio) }
}

/// What the platform itself can do: sound, in every codec it knows.
pub(crate) fn service_hosted() -> Vec<MediaDescription> {
    vec![MediaDescription::audio("audio")]
}

/// A leg with an address, and a session once it has one.
#[derive(Debug)]
struct Attached {
    address: SocketAddr,
}

/// The legs that have media.
#[derive(Debug)]
pub(crate) struct Attachments {
    address: IpAddr,
    ports: RangeInclusive<u16>,
    next_port: u16,
    legs: BTreeMap<LegId, Attached>,
    by_port: BTreeMap<u16, LegId>,
    outputs: VecDeque<Output>,
    _epoch: Epoch,
}

impl Attachments {
    pub(crate) fn new(address: IpAddr, ports: RangeInclusive<u16>, epoch: Epoch) -> Self {
        let next_port = *ports.start();
        Self {
            address,
            ports,
            next_port,
            legs: BTreeMap::new(),
            by_port: BTreeMap::new(),
            outputs: VecDeque::new(),
            _epoch: epoch,
        }
    }

    /// Gives a leg an address: the next port that is free, round and round, so that late
    /// packets of an old call do not meet a new one.
    pub(crate) fn allot(&mut self, leg: LegId) -> Result<SocketAddr, PortsExhausted> {
        let (first, last) = (*self.ports.start(), *self.ports.end());
        if self.by_port.len() > usize::from(last - first) {
            return Err(PortsExhausted);
        }
        while self.by_port.contains_key(&self.next_port) {
            self.next_port = if self.next_port == last { first } else { self.next_port + 1 };
        }
        let port = self.next_port;
        self.next_port = if port == last { first } else { port + 1 };
        let address = SocketAddr::new(self.address, port);
        self.by_port.insert(port, leg);
        self.legs.insert(leg, Attached { address });
        Ok(address)
    }

    /// Takes a leg's address back.
    pub(crate) fn release(&mut self, leg: LegId) {
        if let Some(attached) = self.legs.remove(&leg) {
            self.by_port.remove(&attached.address.port());
        }
    }

    /// A leg's address.
    pub(crate) fn address_of(&self, leg: LegId) -> Option<SocketAddr> {
        self.legs.get(&leg).map(|attached| attached.address)
    }

    /// How many sessions there are.
    pub(crate) fn sessions(&self) -> usize {
        0
    }

    pub(crate) fn open(
        &mut self,
        _now: Instant,
        _leg: LegId,
        _sides: (Description, Description),
        _purpose: Purpose,
        _seed: u64,
    ) -> Result<(), AnswerError> {
        Ok(())
    }

    pub(crate) fn relay(&mut self, _one: LegId, _other: LegId) {}

    pub(crate) fn close(&mut self, _now: Instant, leg: LegId) {
        self.release(leg);
    }

    pub(crate) fn handle_datagram(&mut self, _now: Instant, datagram: Datagram) -> Option<LegId> {
        self.by_port.get(&datagram.destination.port()).copied()
    }

    pub(crate) fn handle_timeout(&mut self, _now: Instant, _leg: LegId) {}

    pub(crate) fn poll_timeout(&self, _leg: LegId) -> Option<Instant> {
        None
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(crate) fn play(
        &mut self,
        _now: Instant,
        _leg: LegId,
        _sounds: Vec<Arc<Sound>>,
        _repeat: bool,
    ) {
    }

    pub(crate) fn record(
        &mut self,
        _now: Instant,
        _leg: LegId,
        _sounds: Vec<Arc<Sound>>,
        _rules: RecordRules,
    ) {
    }

    pub(crate) fn stop(&mut self, _now: Instant, _leg: LegId) {}

    pub(crate) fn stop_tone(&mut self, _now: Instant, _leg: LegId, _tone: &Tone) {}

    pub(crate) fn send_tone(
        &mut self,
        _now: Instant,
        _leg: LegId,
        _tone: &Tone,
        _length: Duration,
    ) {
    }
}
