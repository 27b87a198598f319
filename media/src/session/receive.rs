//! The way in: each source of the peer is a stream with its own reception statistics and,
//! by what its media line shows, a jitter buffer or an assembler behind it.

use super::lines::{Lines, Misfit};
use super::nack::NackList;
use super::outbox::Outbox;
use super::{Config, ConfigError, Decode, summary};
use crate::audio::Audio;
use crate::codec;
use crate::description::{Codec, MediaKind};
use crate::dtmf;
use crate::event::{DropReason, EndReason, Event, Order, PacketEvent, StreamStarted};
use crate::jitter::{self, Playout};
use crate::payload::h264::PacketizationMode;
use crate::rtcp::source::{Reception, Refusal, Source};
use crate::rtp;
use crate::stats;
use crate::time::Instant;
use crate::video::assembly::{self, Assembled, Assembler};

/// A silent source gives way to a new one, when there is no room, after so long.
const DISPLACED_AFTER: core::time::Duration = core::time::Duration::from_secs(5);

/// Of so many removed streams the statistics are kept.
const FINISHED_MAX: usize = 64;

/// How many ticks of a playout one timeout may make up for: 20 s of them.
const TICKS_MAX: usize = 1_000;

/// What is behind a stream.
#[derive(Debug)]
pub(super) enum Track {
    /// Not yet known to be a real source.
    Pending,
    /// Handed to the owner packet by packet.
    Relayed {
        packets: u64,
        overflowed: u64,
    },
    Sound(Box<SoundTrack>),
    Pictures(Box<PictureTrack>),
}

#[derive(Debug)]
pub(super) struct SoundTrack {
    pub(super) playout: Playout,
    /// From the first telephone event on, with its clock rate.
    tones: Option<(u32, dtmf::receive::Receiver)>,
    listener: Option<Listener>,
    pub(super) tone_packets: u64,
    pub(super) malformed_tone_packets: u64,
}

/// Listens for tones in the sound.
#[derive(Debug, Default)]
struct Listener {
    /// From the first sound on, with its channels.
    detector: Option<(u8, dtmf::detect::Detector)>,
    clock_rate: u32,
    /// Timestamp of the next sound, should it not say.
    timestamp: u32,
}

impl Listener {
    fn hear(&mut self, sound: &Audio, out: &mut Outbox) {
        let channels = sound.channels;
        let (_, detector) = match &mut self.detector {
            Some(known) if known.0 == channels => known,
            other => other.insert((channels, dtmf::detect::Detector::new(sound.rate, channels))),
        };
        let timestamp = sound.timestamp.unwrap_or(self.timestamp);
        self.timestamp = timestamp.wrapping_add(self.clock_rate / 50);
        detector.push(&sound.samples, timestamp, self.clock_rate);
        while let Some(tone) = detector.poll() {
            out.event(Event::Tone(tone));
        }
    }
}

#[derive(Debug)]
pub(super) struct PictureTrack {
    pub(super) assembler: Assembler,
    pub(super) nacks: NackList,
    decoder: Option<codec::h264::Decoder>,
    pub(super) frames_decoded: u64,
    pub(super) decode_errors: u64,
    pub(super) wants_key_frame: bool,
}

/// One source of the peer.
#[derive(Debug)]
pub(super) struct Inbound {
    pub(super) source: Source,
    pub(super) line: usize,
    pub(super) kind: MediaKind,
    pub(super) payload_type: u8,
    pub(super) codec: Codec,
    pub(super) track: Track,
    pub(super) last_arrival: Instant,
    pub(super) ended: Option<EndReason>,
    pub(super) nacks_sent: u64,
    pub(super) plis_sent: u64,
    pub(super) firs_sent: u64,
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
}

/// The part of the configuration that the way in needs.
#[derive(Debug)]
struct ReceiverConfig {
    playout: jitter::Config,
    assembly: assembly::Config,
    decode: Decode,
    relay: bool,
    packet_events: bool,
    in_band_tones: bool,
    limits: rtp::sequence::Limits,
    streams_max: usize,
    nack_delay: core::time::Duration,
    nack_retries_max: u8,
    silence_max: core::time::Duration,
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
            },
            finished: Vec::new(),
            forgotten: 0,
            forgotten_packets: 0,
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
            Err(index) => match self.admit(now, index, &packet.header, lines, out) {
                Ok(index) => index,
                Err(reason) => return out.drop_packet(now, reason, &packet.header),
            },
        };
        self.last = index;
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
        let nack = lines.get(stream.line).is_some_and(|line| line.nack);
        stream.begin(codec, header, nack, &self.config, out);
        if self.config.packet_events {
            out.event(Event::Packet(packet_event(&packet, &reception, stream.line, lines)));
        }
        stream.take(now, &reception, packet, codec, out);
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
        let inbound = Inbound {
            source,
            line,
            kind,
            payload_type: header.payload_type,
            codec,
            track: Track::Pending,
            last_arrival: now,
            ended: None,
            nacks_sent: 0,
            plis_sent: 0,
            firs_sent: 0,
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
        match self.streams.get(self.last).map(|stream| &stream.track) {
            Some(Track::Pictures(track)) => {
                track.wants_key_frame || track.nacks.poll_timeout().is_some_and(|due| due <= now)
            }
            _ => false,
        }
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
        let mut due = self.silence_check;
        for stream in &self.streams {
            if let Some(track) = stream.poll_timeout() {
                due = Some(due.map_or(track, |due| due.min(track)));
            }
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
        nack: bool,
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
            self.track = Track::new(header.ssrc, codec, nack, config);
        } else if was_event && !codec.is_audio() {
            return;
        }
        out.event(Event::StreamStarted(StreamStarted {
            ssrc: header.ssrc,
            payload_type: header.payload_type,
            codec,
            kind: self.kind,
            media: self.line,
        }));
    }

    fn take(
        &mut self,
        now: Instant,
        reception: &Reception,
        packet: rtp::Packet,
        codec: Codec,
        out: &mut Outbox,
    ) {
        match &mut self.track {
            Track::Pending => {}
            Track::Relayed { packets, overflowed } => {
                // A duplicate would only cost the other side bandwidth.
                if reception.order == Order::Duplicate {
                    return out.drop_packet(now, DropReason::Duplicate, &packet.header);
                }
                let (ssrc, number) = (packet.header.ssrc, packet.header.sequence_number);
                if out.relay(packet) {
                    *packets += 1;
                } else {
                    *overflowed += 1;
                    out.drop(now, DropReason::Overflow, Some(ssrc), Some(number));
                }
            }
            Track::Sound(track) => track.take(now, reception, &packet, codec, out),
            Track::Pictures(track) => track.take(now, reception, &packet, out),
        }
    }

    fn end(&mut self, reason: EndReason, now: Instant, out: &mut Outbox) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(reason);
        let ssrc = self.source.ssrc();
        match &mut self.track {
            Track::Pending => return,
            Track::Relayed { .. } => {}
            Track::Sound(track) => track.finish(now, out),
            Track::Pictures(track) => track.finish(ssrc, out),
        }
        out.event(Event::StreamEnded { ssrc, reason });
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        match &mut self.track {
            Track::Pending | Track::Relayed { .. } => {}
            Track::Sound(track) => track.handle_timeout(now, out),
            Track::Pictures(track) => {
                track.assembler.handle_timeout(now);
                track.drain(now, self.source.ssrc(), out);
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.track {
            Track::Pending | Track::Relayed { .. } => None,
            Track::Sound(track) => track.poll_timeout(),
            Track::Pictures(track) => {
                let assembler = track.assembler.poll_timeout();
                [assembler, track.nacks.poll_timeout()].into_iter().flatten().min()
            }
        }
    }
}

impl Track {
    fn new(ssrc: u32, codec: Codec, nack: bool, config: &ReceiverConfig) -> Self {
        if config.relay {
            return Self::Relayed { packets: 0, overflowed: 0 };
        }
        let Codec::H264 { packetization_mode } = codec else {
            let playout = Playout::new(&config.playout, ssrc)
                .expect("the same configuration was accepted when the session was built");
            let listens = config.in_band_tones && config.playout.decode;
            return Self::Sound(Box::new(SoundTrack {
                playout,
                tones: None,
                listener: listens.then(Listener::default),
                tone_packets: 0,
                malformed_tone_packets: 0,
            }));
        };
        let mode = PacketizationMode::from_number(packetization_mode).unwrap_or_default();
        let assembly = assembly::Config { mode, ..config.assembly.clone() };
        let decodes = config.decode == Decode::Everything;
        let retries_max = if nack { config.nack_retries_max } else { 0 };
        Self::Pictures(Box::new(PictureTrack {
            assembler: Assembler::new(ssrc, assembly),
            nacks: NackList::new(config.nack_delay, retries_max),
            // OpenH264 refuses only for want of memory; access units still go out then.
            decoder: if decodes { codec::h264::Decoder::new().ok() } else { None },
            frames_decoded: 0,
            decode_errors: 0,
            wants_key_frame: false,
        }))
    }
}

impl SoundTrack {
    fn take(
        &mut self,
        now: Instant,
        reception: &Reception,
        packet: &rtp::Packet,
        codec: Codec,
        out: &mut Outbox,
    ) {
        if let Codec::TelephoneEvent { clock_rate } = codec {
            self.playout.skip(now, reception.sequence);
            return self.take_tone(now, packet, clock_rate, out);
        }
        if let Some(listener) = &mut self.listener {
            listener.clock_rate = codec.clock_rate();
        }
        let reason = match self.playout.push(now, reception.sequence, packet, codec) {
            jitter::Push::Queued => return,
            jitter::Push::Late => DropReason::Late,
            jitter::Push::Duplicate => DropReason::Duplicate,
            jitter::Push::Discarded(cause) => match cause {
                jitter::Cause::Malformed | jitter::Cause::NotAudio | jitter::Cause::Undecodable => {
                    DropReason::MalformedPayload
                }
                jitter::Cause::Timestamp => DropReason::Discontinuity,
                jitter::Cause::Overflow | jitter::Cause::Excess | jitter::Cause::Reset => {
                    DropReason::Overflow
                }
            },
        };
        out.drop_packet(now, reason, &packet.header);
    }

    fn take_tone(&mut self, now: Instant, packet: &rtp::Packet, clock_rate: u32, out: &mut Outbox) {
        // Who signals tones may send them in the sound as well: each counts once.
        self.listener = None;
        self.tone_packets += 1;
        let (_, tones) = match &mut self.tones {
            Some(known) if known.0 == clock_rate => known,
            other => other.insert((clock_rate, dtmf::receive::Receiver::new(clock_rate))),
        };
        if tones.push(now, packet).is_err() {
            self.malformed_tone_packets += 1;
            out.drop_packet(now, DropReason::MalformedPayload, &packet.header);
        }
        self.drain_tones(out);
    }

    fn drain_tones(&mut self, out: &mut Outbox) {
        let Some((_, tones)) = &mut self.tones else { return };
        while let Some(tone) = tones.poll() {
            out.event(Event::Tone(tone));
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let tones = self.tones.as_ref().and_then(|(_, tones)| tones.poll_timeout());
        [self.playout.poll_timeout(), tones].into_iter().flatten().min()
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        if let Some((_, tones)) = &mut self.tones {
            tones.handle_timeout(now);
            self.drain_tones(out);
        }
        for _ in 0..TICKS_MAX {
            let Some(due) = self.playout.poll_timeout().filter(|due| *due <= now) else { break };
            let mut sound = out.take_sound();
            if self.playout.pull(due, &mut sound) {
                if let Some(listener) = &mut self.listener {
                    listener.hear(&sound, out);
                }
                out.event(Event::Audio(sound));
            } else {
                out.recycle(sound);
            }
        }
    }

    /// A tone that still sounds has ended, as far as anybody will know.
    fn finish(&mut self, now: Instant, out: &mut Outbox) {
        if let Some((_, tones)) = &mut self.tones {
            tones.handle_timeout(now + dtmf::receive::SILENCE_MAX);
            self.drain_tones(out);
        }
    }
}

impl PictureTrack {
    fn take(
        &mut self,
        now: Instant,
        reception: &Reception,
        packet: &rtp::Packet,
        out: &mut Outbox,
    ) {
        let reason = match self.assembler.push(now, reception.sequence, packet) {
            assembly::Push::Taken => None,
            assembly::Push::Late => Some(DropReason::Late),
            assembly::Push::Duplicate => Some(DropReason::Duplicate),
        };
        if let Some(reason) = reason {
            out.drop_packet(now, reason, &packet.header);
        }
        self.drain(now, packet.header.ssrc, out);
    }

    fn drain(&mut self, now: Instant, ssrc: u32, out: &mut Outbox) {
        while let Some(assembled) = self.assembler.poll() {
            self.hand_out(assembled, ssrc, out);
        }
        self.wants_key_frame |= self.assembler.wants_key_frame(now);
        self.nacks.update(now, self.assembler.missing());
    }

    fn hand_out(&mut self, assembled: Assembled, ssrc: u32, out: &mut Outbox) {
        match assembled {
            Assembled::Frame(frame) => {
                let picture = self.decoder.as_mut().map(|decoder| {
                    let decoded = decoder.decode(&frame.data, frame.timestamp);
                    decoded.map(|decoded| decoded.map(|decoded| Box::new(decoded.to_picture())))
                });
                out.event(Event::Frame(frame));
                match picture {
                    None | Some(Ok(None)) => {}
                    Some(Ok(Some(picture))) => {
                        self.frames_decoded += 1;
                        out.event(Event::Picture(picture));
                    }
                    Some(Err(_)) => {
                        self.decode_errors += 1;
                        self.wants_key_frame = true;
                    }
                }
            }
            Assembled::Dropped { timestamp, cause, .. } => {
                out.event(Event::FrameDropped { ssrc, timestamp, cause });
            }
        }
    }

    /// Gives up what is not whole, and hands out the pictures that the decoder held back.
    fn finish(&mut self, ssrc: u32, out: &mut Outbox) {
        self.assembler.finish();
        while let Some(assembled) = self.assembler.poll() {
            self.hand_out(assembled, ssrc, out);
        }
        let Some(decoder) = &mut self.decoder else { return };
        match decoder.finish() {
            Ok(pictures) => {
                for picture in pictures {
                    self.frames_decoded += 1;
                    out.event(Event::Picture(Box::new(picture.to_picture())));
                }
            }
            Err(_) => self.decode_errors += 1,
        }
    }
}
