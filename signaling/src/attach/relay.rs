//! Relaying between two negotiated sides without transcoding: numbers of payload types
//! and header extensions are each side's own, so they are exchanged on the way; sequence
//! numbers, timestamps and SSRCs stay, so that loss on one side is seen on the other.

use bytes::BytesMut;
use callrig_media::description::{Description, Extension, MediaDescription};
use callrig_media::rtp::Extensions;
use callrig_media::session::Relayed;
use callrig_media::time::Instant;

use super::{Attachments, Event, Output, Sides};
use crate::event::RelayDropReason;
use crate::fault::{self, Fault};
use crate::id::LegId;

/// The way from one leg to another.
#[derive(Clone, Debug)]
pub(super) struct Relay {
    to: LegId,
    /// Payload type there for each of here.
    payload_types: Vec<(u8, u8)>,
    /// Header extension here, number there.
    extensions: Vec<(u8, Extension, Option<u8>)>,
    /// Name of the media line there for each of here.
    mids: Vec<(String, String)>,
    /// Whether extensions go through as they are.
    extensions_as_they_are: bool,
}

/// The lines of two descriptions that belong together: the n-th of each kind.
fn pairs<'a>(
    from: &'a Description,
    to: &'a Description,
) -> Vec<(&'a MediaDescription, &'a MediaDescription)> {
    let mut taken = vec![false; to.media.len()];
    let mut pairs = Vec::new();
    for line in &from.media {
        let partner = (0..to.media.len()).find(|&i| !taken[i] && to.media[i].kind == line.kind);
        if let Some(index) = partner {
            taken[index] = true;
            if !line.rejected && !to.media[index].rejected {
                pairs.push((line, &to.media[index]));
            }
        }
    }
    pairs
}

impl Relay {
    /// From a leg with these sides to another with those: what comes in is numbered as we
    /// described it there, what goes out as the peer of the other leg described it.
    pub(super) fn new(to: LegId, (here, _): &Sides, (there, _): &Sides) -> Self {
        let mut relay = Self {
            to,
            payload_types: Vec::new(),
            extensions: Vec::new(),
            mids: Vec::new(),
            extensions_as_they_are: true,
        };
        for (from, into) in pairs(here, there) {
            for payload in &from.payloads {
                let number = payload.payload_type;
                let other = into.payloads.iter().find(|p| p.codec.is_compatible(payload.codec));
                if let (Some(other), false) = (other, relay.knows(number)) {
                    relay.payload_types.push((number, other.payload_type));
                }
            }
            for entry in &from.extensions {
                let there = into.extension_id(entry.extension);
                relay.extensions_as_they_are &= there == Some(entry.id);
                if !relay.extensions.iter().any(|(id, _, _)| *id == entry.id) {
                    relay.extensions.push((entry.id, entry.extension, there));
                }
            }
            relay.extensions_as_they_are &=
                from.mid == into.mid || from.extension_id(Extension::Mid).is_none();
            relay.mids.push((from.mid.clone(), into.mid.clone()));
        }
        relay
    }

    fn knows(&self, payload_type: u8) -> bool {
        self.payload_types.iter().any(|(here, _)| *here == payload_type)
    }

    /// Where it leads.
    pub(super) const fn to(&self) -> LegId {
        self.to
    }

    /// The packet as the other side knows it; `None` if it has no such codec.
    pub(super) fn translate(&self, mut relayed: Relayed) -> Option<Relayed> {
        let header = &relayed.packet().header;
        let number = header.payload_type;
        let there = self.payload_types.iter().find(|(here, _)| *here == number)?.1;
        let is_extended = header.extensions.is_present() && !self.extensions_as_they_are;
        if there != number {
            relayed.packet_mut().header.payload_type = there;
        }
        if is_extended {
            let header = &mut relayed.packet_mut().header;
            header.extensions = self.translate_extensions(&header.extensions);
        }
        Some(relayed)
    }

    fn translate_extensions(&self, extensions: &Extensions) -> Extensions {
        let mut elements: Vec<(u8, Vec<u8>)> = Vec::new();
        for (id, data) in extensions {
            let known = self.extensions.iter().find(|(here, _, _)| *here == id);
            if let Some((_, extension, Some(there))) = known {
                let data = match extension {
                    Extension::Mid => self.translate_mid(data),
                    _ => data.to_vec(),
                };
                elements.push((*there, data));
            }
        }
        let borrowed: Vec<(u8, &[u8])> =
            elements.iter().map(|(id, data)| (*id, data.as_slice())).collect();
        Extensions::build(&borrowed, &mut BytesMut::new()).unwrap_or_default()
    }

    fn translate_mid(&self, mid: &[u8]) -> Vec<u8> {
        let known = self.mids.iter().find(|(here, _)| here.as_bytes() == mid);
        known.map_or_else(|| mid.to_vec(), |(_, there)| there.as_bytes().to_vec())
    }
}

impl Attachments {
    /// A peer can be reached from now on: what the other leg of its relay, or a room, has shown so
    /// far is lost to it, so key frames are asked for.
    pub(super) fn begin_to_see(&mut self, now: Instant, leg: LegId) {
        self.see_anew(now, leg);
        let Some(from) = self.open_mut(leg).and_then(|open| Some(open.relay.as_ref()?.to())) else {
            return;
        };
        self.ask_for_pictures(now, from);
    }

    /// Asks for key frames of all that a leg shows.
    pub(super) fn ask_for_pictures(&mut self, now: Instant, leg: LegId) {
        let Some(open) = self.open_mut(leg) else { return };
        let inbound = open.session.stats().inbound;
        for stream in inbound.iter().filter(|s| s.ended.is_none() && s.codec.is_video()) {
            // Without feedback negotiated there is nobody to ask.
            let _ = open.session.request_key_frame(now, stream.ssrc);
        }
        self.pump_sent(leg);
        self.outputs.push_back(Output::Moved(leg));
    }

    /// What one leg brought goes out on the other: packets, and requests for key frames.
    pub(super) fn pass_on(&mut self, now: Instant, leg: LegId, relay: &Relay, key_frames: &[u32]) {
        if fault::is(Fault::MediaNotRelayed) {
            self.passing.clear();
        }
        let to = relay.to();
        let mut packets = core::mem::take(&mut self.passing);
        let Some(other) = self.open_mut(to) else { return };
        let mut dropped = Vec::new();
        for packet in packets.drain(..) {
            let payload_type = packet.packet().header.payload_type;
            match relay.translate(packet) {
                Some(packet) => {
                    if other.session.forward(now, packet).is_err() {
                        dropped.push((payload_type, RelayDropReason::Refused));
                    }
                }
                None => dropped.push((payload_type, RelayDropReason::NotNegotiated)),
            }
        }
        for ssrc in key_frames {
            // Without feedback negotiated on that side there is nobody to ask.
            let _ = other.session.request_key_frame(now, *ssrc);
        }
        self.passing = packets;
        for (payload_type, reason) in dropped {
            let event = Event::RelayDropped { payload_type, reason };
            self.outputs.push_back(Output::Event(leg, event));
        }
        self.pump_sent(to);
        self.outputs.push_back(Output::Moved(to));
    }
}

#[cfg(test)]
mod tests {
    use core::net::SocketAddr;

    use bytes::Bytes;
    use callrig_media::description::{Codec, ExtensionId, Payload};
    use callrig_media::rtp::{Header, Packet};

    use super::*;

    fn side(line: MediaDescription) -> Sides {
        let description = Description::new(SocketAddr::from(([127, 0, 0, 1], 9)), vec![line]);
        (description.clone(), description)
    }

    fn packet(payload_type: u8) -> Relayed {
        let extensions =
            Extensions::build(&[(1, &[0x85]), (7, &[1])], &mut BytesMut::new()).expect("it fits");
        let header = Header { payload_type, extensions, ssrc: 5, ..Header::default() };
        Packet { header, payload: Bytes::from_static(b"x") }.into()
    }

    #[test]
    fn numbers_are_exchanged_and_the_rest_stays() {
        let here = MediaDescription::audio("a");
        let mut there = MediaDescription::audio("b")
            .with_payloads(vec![Payload::new(96, Codec::Opus { stereo: true })]);
        there.extensions = vec![ExtensionId { id: 3, extension: Extension::AudioLevel }];
        let relay = Relay::new(LegId::from_u128(1), &side(here), &side(there));
        let translated = relay.translate(packet(111)).expect("both know Opus");
        let translated = translated.packet();
        assert_eq!(translated.header.payload_type, 96);
        assert_eq!(translated.header.ssrc, 5);
        assert_eq!(translated.header.extensions.get(3), Some(&[0x85][..]));
        assert_eq!(translated.header.extensions.iter().count(), 1);
        assert!(relay.translate(packet(0)).is_none());
    }
}
