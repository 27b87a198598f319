//! Where a leg receives its media: plain RTP at a port of its own, WebRTC at the one port
//! that all such legs share, where its checks and addresses tell it from the others.

use core::net::SocketAddr;
use std::collections::BTreeSet;

use callrig_media::datagram::Datagram;
use callrig_media::description::secure::Candidate;
use callrig_media::description::{Description, Extension, MediaDescription, Secure};
use callrig_media::event::TransportEvent;
use callrig_media::transport::webrtc::{self, Certificate, Demultiplexer};

use crate::id::LegId;

/// What it takes to be reached by WebRTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebRtc {
    /// Where all WebRTC legs of the platform (of this shard) receive; this address stands
    /// in the descriptions, so it must be one that peers can reach.
    pub address: SocketAddr,
    /// Where they receive as well, best first: a peer tries all of them.
    pub others: Vec<SocketAddr>,
    /// Where they receive datagrams over TCP (RFC 4571), for peers whom UDP does not reach; none
    /// of these is an address of the above.
    pub tcp: Vec<SocketAddr>,
    /// By which the platform is known to peers.
    pub certificate: Certificate,
}

/// Why a leg gets no address by WebRTC.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WebRtcError {
    /// The platform was not told how.
    #[error("this platform has no WebRTC: it was given no address and certificate for it")]
    Absent,
    /// Nobody would look for the other one.
    #[error("both sides are ICE-lite: the description must be a full ICE agent's")]
    Lite,
    /// The machine refuses.
    #[error(transparent)]
    Crypto(#[from] webrtc::CryptoError),
}

/// Where a leg receives, and what it takes to reach it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) address: SocketAddr,
    pub(crate) secure: Option<Box<Secure>>,
    /// Of the first line that is sent from there, where that is announced.
    ssrc: u32,
}

impl Place {
    pub(crate) const fn plain(address: SocketAddr) -> Self {
        Self { address, secure: None, ssrc: 0 }
    }

    /// The same of a leg, whose id is random.
    pub(crate) const fn of(leg: LegId, address: SocketAddr) -> Self {
        Self { address, secure: None, ssrc: leg.as_u128() as u32 }
    }

    /// Lines that the platform itself sends on to whoever describes this: some WebRTC stacks take
    /// only what was announced, and nobody could tell what is sent again (RFC 4588) from the rest.
    pub(crate) fn announced(
        &self,
        mut media: Vec<MediaDescription>,
        to: &Description,
    ) -> Vec<MediaDescription> {
        if self.secure.is_some() || to.wants_retransmission() {
            for (line, index) in media.iter_mut().zip(0..) {
                line.ssrc = Some(self.ssrc.wrapping_add(index));
            }
        }
        media
    }

    /// The same with a number of ours for what is sent again of its source, ours or somebody
    /// else's, if that is announced.
    pub(crate) fn sending_again(&self, line: MediaDescription, index: u32) -> MediaDescription {
        let again = line.ssrc.map(|_| self.ssrc.wrapping_add(0x8000 + index));
        MediaDescription { retransmission_ssrc: again, ..line }
    }

    /// A description of somebody there who could do `media`.
    pub(crate) fn describe(&self, media: Vec<MediaDescription>) -> Description {
        let media = media.into_iter().map(without_layers);
        let media = match self.secure {
            Some(_) => media.map(MediaDescription::for_webrtc).map(unnamed).collect(),
            None => media.collect(),
        };
        Description { secure: self.secure.clone(), ..Description::new(self.address, media) }
    }
}

/// The same without names of lines on packets: who agrees on them takes nothing without
/// one, and what is relayed may come without. (Layers are nothing without the name of their
/// line; who sends layers is a browser, and takes packets without.)
fn unnamed(mut line: MediaDescription) -> MediaDescription {
    line.extensions.retain(|entry| entry.extension != Extension::Mid || line.simulcast.is_some());
    line
}

/// The same without layers that somebody else has: the platform takes some, and sends none.
fn without_layers(mut line: MediaDescription) -> MediaDescription {
    line.simulcast = line.simulcast.filter(|simulcast| !simulcast.sends);
    if line.simulcast.is_none() {
        let layers = [Extension::StreamId, Extension::RepairedStreamId];
        line.extensions.retain(|entry| !layers.contains(&entry.extension));
    }
    line
}

/// The legs at the shared port.
#[derive(Debug, Default)]
pub(super) struct Shared {
    webrtc: Option<WebRtc>,
    legs: BTreeSet<LegId>,
    peers: Demultiplexer<LegId>,
}

impl Shared {
    pub(super) fn new(webrtc: Option<WebRtc>) -> Self {
        Self { webrtc, ..Self::default() }
    }

    pub(super) fn certificate(&self) -> Option<&Certificate> {
        self.webrtc.as_ref().map(|webrtc| &webrtc.certificate)
    }

    /// Whether a side like this could be answered at all.
    pub(super) fn check(&self, offer: &Description) -> Result<(), WebRtcError> {
        match &offer.secure {
            Some(_) if self.webrtc.is_none() => Err(WebRtcError::Absent),
            Some(secure) if secure.ice_lite => Err(WebRtcError::Lite),
            _ => Ok(()),
        }
    }

    /// A place at the shared port, with credentials that follow from the seed; whether it
    /// is the first one.
    pub(super) fn take(&mut self, leg: LegId, seed: u64) -> Result<(Place, bool), WebRtcError> {
        let webrtc = self.webrtc.as_ref().ok_or(WebRtcError::Absent)?;
        let mut secure = webrtc::describe(&webrtc.certificate, webrtc.address, seed)?;
        let others = webrtc.others.iter().zip(1..);
        secure.candidates.extend(others.map(|(at, better)| Candidate::host_after(better, *at)));
        let tcp = webrtc.tcp.iter().zip(0..);
        secure.candidates.extend(tcp.map(|(at, better)| Candidate::tcp_passive(better, *at)));
        self.peers.insert(leg, &secure.ufrag);
        let first = self.legs.is_empty();
        self.legs.insert(leg);
        let (address, ssrc) = (webrtc.address, (seed >> 32) as u32);
        Ok((Place { address, secure: Some(Box::new(secure)), ssrc }, first))
    }

    /// Takes a place back; whether it was the last one.
    pub(super) fn release(&mut self, leg: LegId) -> bool {
        self.peers.remove(leg);
        self.legs.remove(&leg) && self.legs.is_empty()
    }

    /// Whose a datagram is, if it came to the shared port at all.
    pub(super) fn route(&self, datagram: &Datagram) -> Option<Option<LegId>> {
        let WebRtc { address, others, tcp, .. } = self.webrtc.as_ref()?;
        let to = &datagram.destination;
        let here = address == to || others.contains(to) || tcp.contains(to);
        here.then(|| self.peers.route(datagram.source, &datagram.payload).ok())
    }

    /// What a leg's transport says about where the peer is.
    pub(super) fn hear(&mut self, leg: LegId, event: TransportEvent) {
        match event {
            TransportEvent::WayFound { address } => self.peers.found(leg, address),
            TransportEvent::WayLost { address } => self.peers.lost(leg, address),
            _ => {}
        }
    }
}
