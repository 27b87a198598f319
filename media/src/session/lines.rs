//! What was negotiated, made ready for looking up: which media line a packet belongs to
//! (RFC 9143 section 9.2: by MID, by SSRC, by payload type), and what we may send.

use bytes::Bytes;

use super::Config;
use crate::description::{Codec, Extension, MediaDescription, MediaKind, Payload};
use crate::rtp;

/// A media line, as both sides have agreed on it.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) kind: MediaKind,
    /// We may send on it.
    pub(super) sends: bool,
    /// We expect packets on it.
    pub(super) receives: bool,
    /// What the peer's payload types stand for, when it sends to us.
    incoming: Vec<Payload>,
    /// What we send with: the peer's numbers, in the peer's order of preference.
    pub(super) outgoing: Vec<Payload>,
    /// The number that the peer announced for its source, and for what it sends again.
    remote_ssrc: Option<u32>,
    remote_retransmission_ssrc: Option<u32>,
    /// The number under which we send again, where that is a stream of its own (RFC 4588).
    pub(super) retransmission_ssrc: Option<u32>,
    /// The MID that the peer writes on its packets, and under which extension.
    mid: String,
    mid_extension: Option<u8>,
    /// The layers in which the peer sends, and the extensions under which packets name them.
    layers: Vec<String>,
    layer_extension: Option<u8>,
    repaired_extension: Option<u8>,
    /// Extension under which we send, and receive, sound levels.
    pub(super) level_extension: Option<u8>,
    pub(super) level_extension_incoming: Option<u8>,
    /// Feedback that both sides know.
    pub(super) nack: bool,
    pub(super) pli: bool,
    pub(super) fir: bool,
    /// Extension under which packets of the peer are numbered over the whole transport.
    transport_extension_incoming: Option<u8>,
    /// Extensions under which ours are numbered so, and say when they left. Greater numbers
    /// need two-byte headers, which sound levels do not have.
    pub(super) transport_extension: Option<u8>,
    pub(super) send_time_extension: Option<u8>,
    /// Whether a receiver says what it thinks the path carries.
    pub(super) remb: bool,
    /// Whether the peer has telephone events (RFC 4733) for keys that are pressed.
    pub(super) signals_tones: bool,
}

/// The greatest number of a header extension with one-byte headers (RFC 8285 section 4.2).
const SMALL_ID_MAX: u8 = 14;

/// What a packet sends again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Again {
    pub(super) line: usize,
    pub(super) payload_type: u8,
    /// Of which source, if that was announced.
    pub(super) ssrc: Option<u32>,
    /// Of which layer, if it says so.
    pub(super) layer: Option<u8>,
}

impl Line {
    fn new(local: &MediaDescription, remote: &MediaDescription) -> Self {
        let accepted = !local.rejected && !remote.rejected;
        let knows = |wanted: fn(&Payload) -> bool| {
            let both = |payloads: &[Payload]| payloads.iter().any(wanted);
            both(&local.payloads) && both(&remote.payloads)
        };
        let known = |payload: &&Payload| {
            local.payloads.iter().any(|ours| ours.codec.is_compatible(payload.codec))
        };
        let outgoing: Vec<_> = remote.payloads.iter().filter(known).cloned().collect();
        let is_event = |payload: &Payload| matches!(payload.codec, Codec::TelephoneEvent { .. });
        Self {
            kind: local.kind,
            sends: accepted && local.direction.sends() && remote.direction.receives(),
            receives: accepted && local.direction.receives() && remote.direction.sends(),
            incoming: local.payloads.clone(),
            signals_tones: outgoing.iter().any(is_event),
            outgoing,
            remote_ssrc: remote.ssrc,
            remote_retransmission_ssrc: remote.retransmission_ssrc,
            retransmission_ssrc: local.retransmission_ssrc.filter(|_| accepted),
            mid: remote.mid.clone(),
            mid_extension: local.extension_id(Extension::Mid),
            layers: local
                .simulcast
                .as_ref()
                .filter(|of| !of.sends)
                .map_or_else(Vec::new, |of| of.layers.clone()),
            layer_extension: local.extension_id(Extension::StreamId),
            repaired_extension: local.extension_id(Extension::RepairedStreamId),
            level_extension: remote.extension_id(Extension::AudioLevel),
            level_extension_incoming: local.extension_id(Extension::AudioLevel),
            nack: knows(|payload| payload.feedback.nack),
            pli: knows(|payload| payload.feedback.pli),
            fir: knows(|payload| payload.feedback.fir),
            transport_extension_incoming: local
                .extension_id(Extension::TransportSequence)
                .filter(|_| knows(|payload| payload.feedback.transport_cc)),
            transport_extension: remote
                .extension_id(Extension::TransportSequence)
                .filter(|id| *id <= SMALL_ID_MAX && knows(|payload| payload.feedback.transport_cc)),
            send_time_extension: remote
                .extension_id(Extension::AbsoluteSendTime)
                .filter(|id| *id <= SMALL_ID_MAX),
            remb: knows(|payload| payload.feedback.remb),
        }
    }

    /// What a payload type on a packet to us stands for.
    pub(super) fn incoming(&self, payload_type: u8) -> Option<Codec> {
        self.incoming.iter().find(|p| p.payload_type == payload_type).map(|p| p.codec)
    }

    /// The parameter sets that the peer gave ahead of what it sends under a payload type.
    pub(super) fn parameter_sets(&self, payload_type: u8) -> impl Iterator<Item = &Bytes> {
        let theirs = self.outgoing.iter().find(|p| p.payload_type == payload_type);
        theirs.into_iter().flat_map(|payload| payload.parameter_sets.iter())
    }

    /// Whose packets a payload type on a packet to us sends again.
    fn sent_again(&self, payload_type: u8) -> Option<u8> {
        let of = self.incoming.iter().find(|p| p.retransmission == Some(payload_type))?;
        Some(of.payload_type)
    }

    /// The codec for sound or pictures that the peer likes best.
    pub(super) fn preferred(&self) -> Option<&Payload> {
        self.outgoing.iter().find(|p| p.codec.is_audio() || p.codec.is_video())
    }

    /// Telephone events beside a codec of this clock rate, or of any if there is none.
    pub(super) fn telephone_event(&self, clock_rate: u32) -> Option<&Payload> {
        let mut events =
            self.outgoing.iter().filter(|p| matches!(p.codec, Codec::TelephoneEvent { .. }));
        let any = events.clone().next();
        events.find(|p| p.codec.clock_rate() == clock_rate).or(any)
    }
}

/// All media lines.
#[derive(Debug)]
pub(super) struct Lines(Vec<Line>);

/// Why a packet belongs to no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    UnknownPayloadType,
    NotNegotiated,
}

impl Lines {
    pub(super) fn new(config: &Config) -> Self {
        let pairs = config.local.media.iter().zip(&config.remote.media);
        Self(pairs.map(|(local, remote)| Line::new(local, remote)).collect())
    }

    pub(super) fn get(&self, index: usize) -> Option<&Line> {
        self.0.get(index)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Line)> {
        self.0.iter().enumerate()
    }

    /// What a packet of an unknown source sends again, if that is what it does (RFC 4588).
    pub(super) fn sent_again(&self, header: &rtp::Header) -> Option<Again> {
        let of = |line: &Line| line.sent_again(header.payload_type);
        let named = self.iter().find(|(_, line)| line.is_named_by(header) && of(line).is_some());
        let announced = |line: &Line| line.remote_retransmission_ssrc == Some(header.ssrc);
        let (index, line) = named
            .or_else(|| self.iter().find(|(_, line)| announced(line) && of(line).is_some()))
            .or_else(|| self.iter().find(|(_, line)| of(line).is_some()))?;
        let ssrc = line.remote_ssrc.filter(|_| announced(line));
        let layer = line.layer(header, line.repaired_extension);
        Some(Again { line: index, payload_type: of(line)?, ssrc, layer })
    }

    /// The layer of its line that a packet belongs to.
    pub(super) fn layer(&self, line: usize, header: &rtp::Header) -> Option<u8> {
        let line = self.get(line)?;
        line.layer(header, line.layer_extension)
    }

    /// What the peer calls a layer of a line.
    pub(super) fn rid(&self, line: usize, layer: Option<u8>) -> Option<String> {
        self.get(line)?.layers.get(usize::from(layer?)).cloned()
    }

    /// The level of the sound in a packet of this line, in −dBov, if the peer states it.
    #[inline]
    pub(super) fn audio_level(&self, line: usize, header: &rtp::Header) -> Option<u8> {
        let id = self.get(line)?.level_extension_incoming?;
        header.extensions.audio_level(id).map(|level| level.level)
    }

    /// The number of a packet of this line over the whole transport.
    #[inline]
    pub(super) fn transport_sequence(&self, line: usize, header: &rtp::Header) -> Option<u16> {
        header.extensions.transport_sequence(self.get(line)?.transport_extension_incoming?)
    }

    /// The line that a packet of a new source belongs to. `is_taken` says which lines have
    /// a source already: when several fit, a free one is taken.
    pub(super) fn place(
        &self,
        header: &rtp::Header,
        is_taken: impl Fn(usize) -> bool,
    ) -> Result<(usize, Codec), Misfit> {
        let named = self.iter().find(|(_, line)| line.is_named_by(header));
        let announced = || self.iter().find(|(_, line)| line.remote_ssrc == Some(header.ssrc));
        let payload_type = header.payload_type;
        let fits = |line: &Line| line.incoming(payload_type).is_some();
        let free = || self.iter().find(|(i, line)| line.receives && fits(line) && !is_taken(*i));
        let flowing = || self.iter().find(|(_, line)| line.receives && fits(line));
        let any = || self.iter().find(|(_, line)| fits(line));
        let (index, line) = named
            .or_else(announced)
            .or_else(free)
            .or_else(flowing)
            .or_else(any)
            .ok_or(Misfit::UnknownPayloadType)?;
        let codec = line.incoming(payload_type).ok_or(Misfit::UnknownPayloadType)?;
        if line.receives { Ok((index, codec)) } else { Err(Misfit::NotNegotiated) }
    }
}

impl Line {
    /// The layer that a packet names under this extension.
    fn layer(&self, header: &rtp::Header, extension: Option<u8>) -> Option<u8> {
        if self.layers.is_empty() {
            return None;
        }
        let name = header.extensions.stream_id(extension?)?;
        self.layers.iter().position(|layer| layer == name).map(|place| place as u8)
    }

    fn is_named_by(&self, header: &rtp::Header) -> bool {
        let Some(id) = self.mid_extension else { return false };
        header.extensions.mid(id) == Some(&self.mid)
    }
}

#[cfg(test)]
mod tests {
    use core::net::SocketAddr;

    use super::*;
    use crate::description::{Description, Direction};

    fn lines(local: Vec<MediaDescription>, remote: Vec<MediaDescription>) -> Lines {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let local = Description::new(at(1), local);
        Lines::new(&Config::new(local, Description::new(at(2), remote)))
    }

    fn header(payload_type: u8, ssrc: u32) -> rtp::Header {
        rtp::Header { payload_type, ssrc, ..rtp::Header::default() }
    }

    #[test]
    fn a_second_video_source_goes_to_the_line_that_is_still_free() {
        let media = vec![MediaDescription::video("a"), MediaDescription::video("b")];
        let lines = lines(media.clone(), media);
        let place = |taken: usize| lines.place(&header(102, 1), |i| i < taken).map(|p| p.0);
        assert_eq!(place(0), Ok(0));
        assert_eq!(place(1), Ok(1));
        assert_eq!(place(2), Ok(0), "with none left, the first one");
    }

    #[test]
    fn an_announced_source_goes_to_its_line() {
        let media = vec![MediaDescription::video("a"), MediaDescription::video("b")];
        let mut remote = media.clone();
        remote[1].ssrc = Some(77);
        let lines = lines(media, remote);
        assert_eq!(lines.place(&header(102, 77), |_| false).map(|p| p.0), Ok(1));
    }

    #[test]
    fn a_line_that_does_not_flow_our_way_takes_nothing() {
        let receive_only = MediaDescription::audio("a").with_direction(Direction::ReceiveOnly);
        let lines = lines(vec![MediaDescription::audio("a")], vec![receive_only]);
        assert_eq!(lines.place(&header(0, 1), |_| false), Err(Misfit::NotNegotiated));
        assert_eq!(lines.place(&header(99, 1), |_| false), Err(Misfit::UnknownPayloadType));
    }
}
