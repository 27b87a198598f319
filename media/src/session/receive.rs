//! The way in: each source of the peer is a stream with its own reception statistics and,
//! by what its media line shows, a jitter buffer or an assembler behind it.

use bytes::Buf as _;

use super::arrivals::Arrivals;
use super::lines::{Again, Line, Lines, Misfit};
use super::outbox::Outbox;
use super::track::Track;
use super::{Config, ConfigError, Decode, summary};
use crate::description::{Codec, MediaKind};
use crate::event::{DropReason, EndReason, Event, Order, PacketEvent, StreamStarted};
use crate::fault::{self, Fault};
use crate::jitter::{self, Playout};
use crate::rtcp::source::{Reception, Refusal, Source};
use crate::rtp::{self, Csrcs};
use crate::stats;
use crate::time::{Instant, earlier};
use crate::video::assembly;

/// A silent source gives way to a new one, when there is no room, after so long.
const DISPLACED_AFTER: core::time::Duration = core::time::Duration::from_secs(5);

/// Of so many removed streams the statistics are kept.
const FINISHED_MAX: usize = 64;

/// One source of the peer.
#[derive(Debug)]
pub(super) struct Inbound {
    pub(super) source: Source,
    pub(super) line: usize,
    /// Which layer of the line it is, and the source that sends it again, once they are known.
    layer: Option<u8>,
    pub(super) rid: Option<String>,
    again: Option<u32>,
    pub(super) kind: MediaKind,
    pub(super) payload_type: u8,
    pub(super) codec: Codec,
    /// Who contributes to it, by its last packet.
    csrcs: Csrcs,
    pub(super) track: Track,
    pub(super) last_arrival: Instant,
    pub(super) ended: Option<EndReason>,
    pub(super) nacks_sent: u64,
    pub(super) plis_sent: u64,
    pub(super) firs_sent: u64,
    /// Packets that came again in a stream of their own.
    pub(super) recovered: u64,
}

/// All sources of the peer.
#[derive(Debug)]
pub(super) struct Receiver {
    /// By SSRC.
    streams: Vec<Inbound>,
    /// Where the last packet's stream was found.
    last: usize,
    /// When to look for streams that have fallen silent: not after the first of them has,
    /// but perhaps before, so that packets need not move it.
    silence_check: Option<Instant>,
    config: ReceiverConfig,
    /// Statistics of streams that were removed, the first of them.
    pub(super) finished: Vec<stats::Inbound>,
    /// Streams beyond those, and their packets.
    pub(super) forgotten: u64,
    pub(super) forgotten_packets: u64,
    /// Packets of streams of retransmission that brought nothing.
    pub(super) probes: u64,
    /// What the sender of all streams is told of their packets.
    pub(super) arrivals: Arrivals,
}

/// The part of the configuration that the way in needs.
#[derive(Debug)]
pub(super) struct ReceiverConfig {
    pub(super) playout: jitter::Config,
    pub(super) assembly: assembly::Config,
    pub(super) decode: Decode,
    pub(super) relay: bool,
    pub(super) packet_events: bool,
    pub(super) in_band_tones: bool,
    pub(super) limits: rtp::sequence::Limits,
    pub(super) streams_max: usize,
    pub(super) nack_delay: core::time::Duration,
    pub(super) nack_retries_max: u8,
    pub(super) silence_max: core::time::Duration,
    /// From which level on, in −dBov, sound is not decoded.
    pub(super) unheard: Option<u8>,
    /// The same as it is played.
    pub(super) drowned: Option<u8>,
}

impl Receiver {
    pub(super) fn new(config: &Config) -> Result<Self, ConfigError> {
        let playout = jitter::Config {
            rate: config.output_rate,
            decode: config.playout.decode && config.decode != Decode::Nothing,
            ..config.playout.clone()
        };
        // Tried once here, so that a new stream cannot fail over it later.
        Playout::new(&playout, 0)?;
        Ok(Self {
            streams: Vec::new(),
            last: 0,
            silence_check: None,
            config: ReceiverConfig {
                playout,
                assembly: config.assembly.clone(),
                decode: config.decode,
                relay: config.relay,
                packet_events: config.packet_events,
                in_band_tones: config.in_band_tones,
                limits: config.sequence_limits,
                streams_max: config.streams_max,
                nack_delay: config.nack_delay,
                nack_retries_max: config.nack_retries_max,
                silence_max: config.stream_silence_max,
                unheard: None,
                drowned: None,
            },
            finished: Vec::new(),
            forgotten: 0,
            forgotten_packets: 0,
            probes: 0,
            arrivals: Arrivals::new(),
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Inbound> {
        self.streams.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Inbound> {
        self.streams.iter_mut()
    }

    pub(super) fn get_mut(&mut self, ssrc: u32) -> Option<&mut Inbound> {
        let index = self.find(ssrc).ok()?;
        Some(&mut self.streams[index])
    }

    #[inline]
    fn find(&self, ssrc: u32) -> Result<usize, usize> {
        match self.streams.get(self.last) {
            Some(stream) if stream.source.ssrc() == ssrc => Ok(self.last),
            _ => self.streams.binary_search_by_key(&ssrc, |stream| stream.source.ssrc()),
        }
    }

    /// Takes an RTP packet.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        packet: rtp::Packet,
        lines: &Lines,
        out: &mut Outbox,
    ) {
        let index = match self.find(packet.header.ssrc) {
            Ok(index) => index,
            Err(index) => {
                if let Some(again) = lines.sent_again(&packet.header) {
                    return self.recover(now, packet, again, lines, out);
                }
                match self.admit(now, index, &packet.header, lines, out) {
                    Ok(index) => index,
                    Err(reason) => return out.drop_packet(now, reason, &packet.header),
                }
            }
        };
        self.last = index;
        let line = self.streams[index].line;
        if let Some(number) = lines.transport_sequence(line, &packet.header) {
            self.arrivals.take(now, number, packet.header.ssrc);
        }
        let stream = &mut self.streams[index];
        if stream.ended.is_some() {
            return out.drop_packet(now, DropReason::AfterBye, &packet.header);
        }
        let header = &packet.header;
        let Some(codec) = stream.codec_of(header.payload_type, lines) else {
            return out.drop_packet(now, DropReason::UnknownPayloadType, header);
        };
        stream.source.change_clock_rate(codec.clock_rate());
        stream.last_arrival = now;
        let received = stream.source.receive(
            now,
            header.sequence_number,
            header.timestamp,
            packet.payload.len(),
        );
        let reception = match received {
            Ok(reception) => reception,
            Err(refusal) => {
                let reason = match refusal {
                    Refusal::Probation => DropReason::Probation,
                    Refusal::Jump => DropReason::Jump,
                };
                return out.drop_packet(now, reason, header);
            }
        };
        if let Some(line) = lines.get(stream.line) {
            stream.begin(codec, header, line, &self.config, out);
        }
        if stream.csrcs != header.csrcs {
            stream.csrcs = header.csrcs.clone();
            let (ssrc, csrcs) = (header.ssrc, header.csrcs.clone());
            out.event(Event::Contributors { ssrc, csrcs });
        }
        if self.config.packet_events {
            out.event(Event::Packet(packet_event(&packet, &reception, stream.line, lines)));
        }
        let mut level = None;
        if let (Some(unheard), Track::Sound(track)) = (self.config.unheard, &mut stream.track)
            && codec.is_audio()
        {
            level = lines.audio_level(stream.line, &packet.header);
            if level.is_some_and(|level| level >= unheard) {
                return track.take_silence(now, &reception);
            }
            // Keys may be pressed in the sound of who has no other way to signal them.
            level = level.filter(|_| lines.get(stream.line).is_some_and(|line| line.signals_tones));
        }
        stream.take(now, &reception, packet, (codec, level), out);
    }

    /// Sound that its header says to be this quiet is not decoded (RFC 6464).
    pub(super) fn set_unheard(&mut self, level: Option<u8>) {
        self.config.unheard = level;
    }

    /// Sound that its header says to be this quiet is not decoded as long as that holds, but keeps
    /// its time.
    pub(super) fn set_drowned(&mut self, level: Option<u8>) {
        if self.config.drowned == level {
            return;
        }
        self.config.drowned = level;
        for stream in &mut self.streams {
            if let Track::Sound(track) = &mut stream.track {
                track.playout.set_drowned(level);
            }
        }
    }

    /// Takes a packet that was sent again in a stream of its own (RFC 4588 section 4): what it
    /// was stands in its first two bytes.
    fn recover(
        &mut self,
        now: Instant,
        mut packet: rtp::Packet,
        again: Again,
        lines: &Lines,
        out: &mut Outbox,
    ) {
        if let Some(number) = lines.transport_sequence(again.line, &packet.header) {
            self.arrivals.take(now, number, packet.header.ssrc);
        }
        out.is_another();
        let sends = packet.header.ssrc;
        let known = self.streams.iter().any(|stream| stream.again == Some(sends));
        let of = |stream: &&mut Inbound| match (again.ssrc, again.layer) {
            (Some(ssrc), _) => stream.source.ssrc() == ssrc,
            (None, None) if known => stream.again == Some(sends),
            (None, layer) => {
                stream.line == again.line && (layer.is_none() || stream.layer == layer)
            }
        };
        let streams = self.streams.iter_mut().filter(|stream| stream.ended.is_none());
        let stream = streams.filter(of).max_by_key(|stream| stream.last_arrival);
        let number = packet.payload.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes));
        let recovered = stream.zip(number).is_some_and(|(stream, number)| {
            if again.layer.is_some() {
                stream.again = Some(sends);
            }
            let Some(sequence) = stream.source.near_newest(number) else { return false };
            packet.payload.advance(2);
            packet.header.ssrc = stream.source.ssrc();
            packet.header.sequence_number = number;
            packet.header.payload_type = again.payload_type;
            stream.recover(now, sequence, packet, out)
        });
        self.probes += u64::from(!recovered);
    }

    /// Makes room for a new source and puts it at `index`.
    fn admit(
        &mut self,
        now: Instant,
        mut index: usize,
        header: &rtp::Header,
        lines: &Lines,
        out: &mut Outbox,
    ) -> Result<usize, DropReason> {
        let is_taken =
            |line| self.streams.iter().any(|stream| stream.line == line && stream.ended.is_none());
        let (line, codec) = lines.place(header, is_taken).map_err(|misfit| match misfit {
            Misfit::UnknownPayloadType => DropReason::UnknownPayloadType,
            Misfit::NotNegotiated => DropReason::NotNegotiated,
        })?;
        let kind = lines.get(line).map_or(MediaKind::Audio, |line| line.kind);
        if self.streams.len() >= self.config.streams_max {
            let removed = self.displace(now, out).ok_or(DropReason::TooManyStreams)?;
            index -= usize::from(removed < index);
        }
        let source = Source::new(header.ssrc, codec.clock_rate(), self.config.limits);
        let layer = lines.layer(line, header);
        let inbound = Inbound {
            source,
            line,
            layer,
            rid: lines.rid(line, layer),
            again: None,
            kind,
            payload_type: header.payload_type,
            codec,
            csrcs: Csrcs::default(),
            track: Track::Pending,
            last_arrival: now,
            ended: None,
            nacks_sent: 0,
            plis_sent: 0,
            firs_sent: 0,
            recovered: 0,
        };
        self.streams.insert(index, inbound);
        self.silence_check.get_or_insert(now + self.config.silence_max);
        Ok(index)
    }

    /// Removes the stream that has been silent longest, if it has been for long enough.
    fn displace(&mut self, now: Instant, out: &mut Outbox) -> Option<usize> {
        let silent = self.streams.iter().enumerate().min_by_key(|(_, s)| s.last_arrival);
        let (index, stream) = silent?;
        let gone = stream.ended.is_some() || now.since(stream.last_arrival) >= DISPLACED_AFTER;
        gone.then(|| {
            self.remove(index, EndReason::Displaced, now, out);
            index
        })
    }

    fn remove(&mut self, index: usize, reason: EndReason, now: Instant, out: &mut Outbox) {
        let mut stream = self.streams.remove(index);
        if let Track::Sound(track) = &mut stream.track {
            track.abandon(out);
        }
        stream.end(reason, now, out);
        self.last = 0;
        if self.finished.len() < FINISHED_MAX {
            self.finished.push(summary::inbound(&stream));
        } else {
            self.forgotten += 1;
            self.forgotten_packets += stream.source.packets_received();
        }
    }

    /// The peer says that this source leaves.
    pub(super) fn end(&mut self, ssrc: u32, now: Instant, out: &mut Outbox) -> bool {
        match self.get_mut(ssrc) {
            Some(stream) => {
                stream.end(EndReason::Bye, now, out);
                true
            }
            None => false,
        }
    }

    /// Everything that waits for a moment that has come.
    pub(super) fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        if self.silence_check.is_some_and(|due| due <= now) {
            self.remove_silent(now, out);
        }
        for stream in &mut self.streams {
            stream.handle_timeout(now, out);
        }
    }

    /// Whether a NACK or a request for a key frame should leave now.
    pub(super) fn wants_feedback(&self, now: Instant) -> bool {
        let due = |at: Option<Instant>| at.is_some_and(|due| due <= now);
        let asks = match self.streams.get(self.last).map(|stream| &stream.track) {
            Some(Track::Pictures(track)) => {
                track.wants_key_frame || due(track.nacks.poll_timeout())
            }
            Some(Track::Relayed(track)) => due(track.nacks.poll_timeout()),
            _ => false,
        };
        asks || due(self.arrivals.poll_timeout())
    }

    /// The session ends: nothing more will come.
    pub(super) fn finish(&mut self, now: Instant, out: &mut Outbox) {
        for stream in &mut self.streams {
            stream.end(EndReason::Closed, now, out);
        }
    }

    fn remove_silent(&mut self, now: Instant, out: &mut Outbox) {
        let silence_max = self.config.silence_max;
        while let Some(index) =
            self.streams.iter().position(|stream| stream.last_arrival + silence_max <= now)
        {
            self.remove(index, EndReason::Silence, now, out);
        }
        let silent_longest = self.streams.iter().map(|stream| stream.last_arrival).min();
        self.silence_check = silent_longest.map(|arrival| arrival + silence_max);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let mut due = earlier(self.silence_check, self.arrivals.poll_timeout());
        for stream in &self.streams {
            due = earlier(due, stream.poll_timeout());
        }
        due
    }
}

fn packet_event(
    packet: &rtp::Packet,
    reception: &Reception,
    line: usize,
    lines: &Lines,
) -> PacketEvent {
    let header = &packet.header;
    let level = lines.get(line).and_then(|line| line.level_extension_incoming);
    PacketEvent {
        ssrc: header.ssrc,
        sequence: reception.sequence,
        timestamp: header.timestamp,
        payload_type: header.payload_type,
        marker: header.marker,
        payload_length: packet.payload.len() as u16,
        audio_level: level.and_then(|id| header.extensions.audio_level(id)).map(|l| l.level),
        jitter: reception.jitter,
        transit: reception.transit,
        order: reception.order,
    }
}

impl Inbound {
    #[inline]
    fn codec_of(&self, payload_type: u8, lines: &Lines) -> Option<Codec> {
        if payload_type == self.payload_type {
            return Some(self.codec);
        }
        lines.get(self.line)?.incoming(payload_type)
    }

    /// Says that the stream began, or that it changed its payload type; telephone events
    /// in between are no change.
    fn begin(
        &mut self,
        codec: Codec,
        header: &rtp::Header,
        line: &Line,
        config: &ReceiverConfig,
        out: &mut Outbox,
    ) {
        let pending = matches!(self.track, Track::Pending);
        let is_event = matches!(codec, Codec::TelephoneEvent { .. });
        if !pending && (header.payload_type == self.payload_type || is_event) {
            return;
        }
        let was_event = matches!(self.codec, Codec::TelephoneEvent { .. });
        self.payload_type = header.payload_type;
        self.codec = codec;
        if pending {
            self.track = Track::new(header.ssrc, codec, line.nack, config);
            if let Track::Pictures(track) = &mut self.track {
                let sets = line.parameter_sets(header.payload_type);
                sets.for_each(|set| track.assembler.provide_parameter_set(set));
            }
        } else if was_event && !codec.is_audio() {
            return;
        }
        out.event(Event::StreamStarted(StreamStarted {
            ssrc: header.ssrc,
            payload_type: header.payload_type,
            codec,
            kind: self.kind,
            media: self.line,
            layer: self.layer,
        }));
    }

    fn take(
        &mut self,
        now: Instant,
        reception: &Reception,
        packet: rtp::Packet,
        of: (Codec, Option<u8>),
        out: &mut Outbox,
    ) {
        match &mut self.track {
            Track::Pending => {}
            Track::Relayed(track) => {
                // A duplicate would only cost the other side bandwidth.
                if reception.order == Order::Duplicate && !fault::is(Fault::DuplicatePlayed) {
                    return out.drop_packet(now, DropReason::Duplicate, &packet.header);
                }
                track.take(now, reception.sequence, packet, out);
            }
            Track::Sound(track) => track.take(now, reception, &packet, of, out),
            Track::Pictures(track) => track.take(now, reception.sequence, &packet, out),
        }
    }

    /// Takes a packet that was sent again in a stream of its own; whether it was missing.
    fn recover(
        &mut self,
        now: Instant,
        sequence: u64,
        packet: rtp::Packet,
        out: &mut Outbox,
    ) -> bool {
        match &mut self.track {
            Track::Relayed(track) if track.misses(sequence) => {
                track.nacks.answered(now, sequence);
                if !fault::is(Fault::RecoveredKeptBack) {
                    track.take(now, sequence, packet, out);
                }
            }
            Track::Pictures(track) if track.nacks.misses(sequence) => {
                track.nacks.answered(now, sequence);
                track.take(now, sequence, &packet, out);
            }
            _ => return false,
        }
        self.recovered += 1;
        true
    }

    fn end(&mut self, reason: EndReason, now: Instant, out: &mut Outbox) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(reason);
        let ssrc = self.source.ssrc();
        match &mut self.track {
            Track::Pending => return,
            Track::Relayed(_) => {}
            Track::Sound(track) => track.finish(now, out),
            Track::Pictures(track) => track.finish(ssrc, out),
        }
        out.event(Event::StreamEnded { ssrc, reason });
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        match &mut self.track {
            Track::Pending | Track::Relayed(_) => {}
            Track::Sound(track) => track.handle_timeout(now, out),
            Track::Pictures(track) => {
                track.assembler.handle_timeout(now);
                track.drain(now, self.source.ssrc(), out);
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.track {
            Track::Pending => None,
            Track::Relayed(track) => track.nacks.poll_timeout(),
            Track::Sound(track) => track.poll_timeout(),
            Track::Pictures(track) => {
                earlier(track.assembler.poll_timeout(), track.nacks.poll_timeout())
            }
        }
    }
}
