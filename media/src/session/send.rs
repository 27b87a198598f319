//! The way out: streams of our own, one per media line, and streams that are relayed as
//! they came. Each numbers its packets, remembers them for retransmission where that was
//! negotiated, and counts for sender reports.

use core::time::Duration;

use arrayvec::ArrayVec;
use bytes::{BufMut, Bytes, BytesMut};
use rand::RngExt;
use rand_pcg::Pcg64Mcg;

use super::broadcast::Broadcast;
use super::encode::Encoder;
use super::lines::{Line, Lines};
use super::outbox::Outbox;
use super::tones::{Start, TONES_MAX, Tones};
use super::{Config, SendError};
use crate::audio::level::Level;
use crate::description::{Codec, MediaKind, Payload};
use crate::dtmf::Tone;
use crate::dtmf::send::Report;
use crate::event::RemoteReport;
use crate::payload::h264::{Fragment, PacketizationMode, Packetizer};
use crate::rtp::extension::AudioLevel;
use crate::rtp::{self, Extensions, FIXED_HEADER_LENGTH};
use crate::time::Instant;

/// A pause of so long between two calls moves the timestamps by the clock.
const PAUSE: Duration = Duration::from_millis(60);

/// The same packet is not sent again within this time, however often it is asked for.
const RESEND_INTERVAL: Duration = Duration::from_millis(10);

/// A packet that may be asked for again.
#[derive(Debug)]
struct Sent {
    header: rtp::Header,
    /// What stands in front of `body` in the payload.
    head: ArrayVec<u8, 2>,
    body: Bytes,
    last_sent: Instant,
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
    pub(super) codec: Option<Codec>,
    next_number: u16,
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
    cache: Vec<Option<Sent>>,
    cache_max: usize,
    again: Option<Again>,
}

/// The stream in which another one is sent again (RFC 4588).
#[derive(Debug)]
struct Again {
    ssrc: u32,
    next_number: u16,
    /// Its payload type for each of the other's.
    payload_types: Vec<(u8, u8)>,
}

impl Again {
    /// None where that was not negotiated, or our number for it was not announced.
    fn new(line: &Line, first: u16) -> Option<Self> {
        let pairs = line.outgoing.iter().filter_map(|p| Some((p.payload_type, p.retransmission?)));
        let payload_types: Vec<_> = pairs.collect();
        let ssrc = line.retransmission_ssrc.filter(|_| !payload_types.is_empty())?;
        Some(Self { ssrc, next_number: first, payload_types })
    }

    fn header(&mut self, of: &rtp::Header) -> Option<rtp::Header> {
        let known = self.payload_types.iter().find(|(known, _)| *known == of.payload_type)?;
        let sequence_number = self.next_number;
        self.next_number = sequence_number.wrapping_add(1);
        Some(rtp::Header { ssrc: self.ssrc, payload_type: known.1, sequence_number, ..of.clone() })
    }
}

impl Outbound {
    fn new(ssrc: u32, line: usize, of: &Line, forwarded: bool, cache_max: usize) -> Self {
        Self {
            ssrc,
            line,
            kind: of.kind,
            forwarded,
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
            cache: Vec::new(),
            cache_max: if of.nack { cache_max } else { 0 },
            again: None,
        }
    }

    /// Sends one packet and remembers it.
    fn send(
        &mut self,
        now: Instant,
        header: rtp::Header,
        head: &[u8],
        body: &Bytes,
        out: &mut Outbox,
    ) {
        let payload = head.len() + body.len();
        out.send(header.length() + payload + usize::from(header.padding), |bytes| {
            write(&header, head, body, bytes);
        });
        self.packets += 1;
        self.payload_bytes += payload as u64;
        self.active_reports = 2;
        self.newest = Some((header.timestamp, now));
        if self.cache_max == 0 {
            return;
        }
        if self.cache.is_empty() {
            self.cache.resize_with(self.cache_max, || None);
        }
        let slot = usize::from(header.sequence_number) % self.cache_max;
        let head = head.iter().copied().collect();
        self.cache[slot] = Some(Sent { header, head, body: body.clone(), last_sent: now });
    }

    /// Sends a packet again that the peer says it has not received.
    pub(super) fn resend(&mut self, now: Instant, number: u16, out: &mut Outbox) -> Resent {
        let slot = usize::from(number) % self.cache_max.max(1);
        let Some(Some(sent)) = self.cache.get_mut(slot) else { return Resent::NotInCache };
        if sent.header.sequence_number != number {
            return Resent::NotInCache;
        }
        if now.since(sent.last_sent) < RESEND_INTERVAL {
            return Resent::TooSoon;
        }
        sent.last_sent = now;
        let payload = sent.head.len() + sent.body.len();
        let length = sent.header.length() + payload + usize::from(sent.header.padding);
        match self.again.as_mut().and_then(|again| again.header(&sent.header)) {
            Some(header) => {
                let mut head: ArrayVec<u8, 4> = number.to_be_bytes().into_iter().collect();
                head.extend(sent.head.iter().copied());
                out.send(length + 2, |bytes| write(&header, &head, &sent.body, bytes));
            }
            None => {
                out.send(length, |bytes| write(&sent.header, &sent.head, &sent.body, bytes));
            }
        }
        self.packets_resent += 1;
        self.bytes_resent += payload as u64;
        Resent::Sent
    }

    fn take_number(&mut self) -> u16 {
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        number
    }

    /// The RTP clock at `now`, as far as the packets sent tell (RFC 3550 section 6.4.1).
    pub(super) fn timestamp_at(&self, now: Instant) -> Option<u32> {
        let (timestamp, at) = self.newest?;
        let rate = u64::from(self.codec.map_or(90_000, Codec::clock_rate));
        Some(timestamp.wrapping_add(ticks(now.since(at), rate)))
    }
}

fn write(header: &rtp::Header, head: &[u8], body: &[u8], bytes: &mut BytesMut) {
    header.write(bytes);
    bytes.put_slice(head);
    bytes.put_slice(body);
    if header.padding > 0 {
        bytes.put_bytes(0, usize::from(header.padding) - 1);
        bytes.put_u8(header.padding);
    }
}

fn ticks(duration: Duration, rate: u64) -> u32 {
    let fraction = u64::from(duration.subsec_nanos()) * rate / 1_000_000_000;
    duration.as_secs().wrapping_mul(rate).wrapping_add(fraction) as u32
}

/// Our sound: one clock for samples, prompts and tones.
#[derive(Debug)]
struct Sound {
    stream: usize,
    payload: Payload,
    encoder: Option<Encoder>,
    /// Timestamp of the next sample.
    clock: u32,
    /// When the next sample is expected.
    expected: Option<Instant>,
    /// The codec sent nothing for the samples before.
    silent: bool,
    scratch: BytesMut,
}

/// All streams of ours.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) streams: Vec<Outbound>,
    sound: Option<Sound>,
    tones: Tones,
    /// By media line.
    packetizers: Vec<Option<Packetizer>>,
    fragments: Vec<Fragment>,
    output_rate: u32,
    forwarded_max: usize,
    cache_max: usize,
}

impl Sender {
    pub(super) fn new(config: &Config, lines: &Lines, random: &mut Pcg64Mcg) -> Self {
        let mut sender = Self {
            streams: Vec::new(),
            sound: None,
            tones: Tones::default(),
            packetizers: Vec::new(),
            fragments: Vec::new(),
            output_rate: config.output_rate,
            forwarded_max: config.streams_max,
            cache_max: config.send_cache_max,
        };
        for (index, line) in lines.iter() {
            let ssrc = config.local.media[index].ssrc;
            let ssrc = ssrc.unwrap_or_else(|| sender.unused_ssrc(random));
            let mut stream = Outbound::new(ssrc, index, line, false, config.send_cache_max);
            stream.next_number = random.random();
            // Not out of `random`: sessions without it draw the same numbers as before.
            stream.again = Again::new(line, stream.next_number ^ 0x5555);
            sender.streams.push(stream);
            sender.packetizers.push(packetizer(line, config.mtu));
            let clock = random.random();
            if let (None, MediaKind::Audio, Some(payload)) =
                (&sender.sound, line.kind, line.preferred())
            {
                sender.sound = Some(Sound {
                    stream: index,
                    payload: payload.clone(),
                    encoder: None,
                    clock,
                    expected: None,
                    silent: false,
                    scratch: BytesMut::new(),
                });
            }
        }
        sender
    }

    /// A number that none of our streams has.
    pub(super) fn unused_ssrc(&self, random: &mut Pcg64Mcg) -> u32 {
        loop {
            let ssrc = random.random();
            if ssrc != 0 && self.find(ssrc).is_none() {
                return ssrc;
            }
        }
    }

    pub(super) fn find(&self, ssrc: u32) -> Option<usize> {
        self.streams.iter().position(|stream| stream.ssrc == ssrc)
    }

    pub(super) fn get_mut(&mut self, ssrc: u32) -> Option<&mut Outbound> {
        self.streams.iter_mut().find(|stream| stream.ssrc == ssrc)
    }

    /// Goes on under another number.
    pub(super) fn change_ssrc(&mut self, from: u32, to: u32) {
        if let Some(stream) = self.get_mut(from) {
            stream.ssrc = to;
            stream.cache.clear();
        }
    }

    /// The number under which we report.
    pub(super) fn reporting_ssrc(&self) -> u32 {
        self.streams.first().map_or(0, |stream| stream.ssrc)
    }

    /// Encodes and sends 20 ms.
    pub(super) fn send_audio(
        &mut self,
        now: Instant,
        samples: &[i16],
        lines: &Lines,
        out: &mut Outbox,
    ) -> Result<(), SendError> {
        let wanted = crate::audio::frame_samples(self.output_rate);
        if samples.len() != wanted {
            return Err(SendError::FrameSize { samples: samples.len(), wanted });
        }
        let rate = self.output_rate;
        let sound = self.sound.as_mut().ok_or(SendError::NotNegotiated)?;
        let Sound { encoder, payload, .. } = sound;
        let encoder = match encoder {
            Some(encoder) => encoder,
            None => encoder.insert(Encoder::new(payload, rate)?),
        };
        let body = encoder.encode(samples, &mut out.arena)?;
        self.send_encoded(now, body, samples, lines, out)
    }

    /// Sends 20 ms that are encoded once for everybody who gets them.
    pub(super) fn send_broadcast(
        &mut self,
        now: Instant,
        broadcast: &mut Broadcast,
        lines: &Lines,
        out: &mut Outbox,
    ) -> Result<(), SendError> {
        let sound = self.sound.as_ref().ok_or(SendError::NotNegotiated)?;
        let body = broadcast.encoded(&sound.payload)?;
        self.send_encoded(now, body, broadcast.samples(), lines, out)
    }

    fn send_encoded(
        &mut self,
        now: Instant,
        body: Option<Bytes>,
        samples: &[i16],
        lines: &Lines,
        out: &mut Outbox,
    ) -> Result<(), SendError> {
        let sound = self.sound.as_ref().ok_or(SendError::NotNegotiated)?;
        let ticks = sound.payload.codec.clock_rate() / 50;
        let level = Some(AudioLevel { level: Level::of(samples).minus_dbov(), voice: false });
        match body {
            Some(body) => self.send_sound(now, &body, ticks, false, level, lines, out),
            // Nothing need be sent, but time goes on.
            None => {
                self.advance_clock(now, ticks);
                if let Some(sound) = &mut self.sound {
                    sound.silent = true;
                }
                Ok(())
            }
        }
    }

    /// Sends a payload that was encoded elsewhere.
    pub(super) fn send_encoded_audio(
        &mut self,
        now: Instant,
        payload: &Bytes,
        ticks: u32,
        marker: bool,
        lines: &Lines,
        out: &mut Outbox,
    ) -> Result<(), SendError> {
        self.send_sound(now, payload, ticks, marker, None, lines, out)
    }

    /// Moves our clock on by what is being sent; its timestamp, and whether a pause ended.
    fn advance_clock(&mut self, now: Instant, ticks: u32) -> (u32, bool) {
        let Some(sound) = &mut self.sound else { return (0, false) };
        let rate = u64::from(sound.payload.codec.clock_rate());
        let pause = match sound.expected {
            None => true,
            Some(expected) if now.since(expected) >= PAUSE => {
                sound.clock = sound.clock.wrapping_add(self::ticks(now.since(expected), rate));
                true
            }
            Some(_) => false,
        };
        let start = match sound.expected {
            Some(expected) if !pause => expected,
            _ => now,
        };
        // The first packet after a pause is marked (RFC 3551 section 4.1).
        let pause = pause || core::mem::take(&mut sound.silent);
        let timestamp = sound.clock;
        sound.clock = timestamp.wrapping_add(ticks);
        sound.expected =
            Some(start + Duration::from_nanos(u64::from(ticks) * 1_000_000_000 / rate));
        (timestamp, pause)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a packet and where it goes")]
    fn send_sound(
        &mut self,
        now: Instant,
        body: &Bytes,
        ticks: u32,
        marker: bool,
        level: Option<AudioLevel>,
        lines: &Lines,
        out: &mut Outbox,
    ) -> Result<(), SendError> {
        let sound = self.sound.as_mut().ok_or(SendError::NotNegotiated)?;
        let line = lines.get(sound.stream).filter(|line| line.sends);
        let line = line.ok_or(SendError::NotNegotiated)?;
        let extensions = match (line.level_extension, level) {
            (Some(id), Some(level)) => {
                Extensions::build(&[(id, &[level.to_byte()])], &mut sound.scratch)
                    .map_err(|error| SendError::Extension(error.to_string()))?
            }
            _ => Extensions::default(),
        };
        let (payload_type, index) = (sound.payload.payload_type, sound.stream);
        let (timestamp, pause) = self.advance_clock(now, ticks);
        let stream = &mut self.streams[index];
        let header = rtp::Header {
            marker: marker || pause,
            payload_type,
            sequence_number: stream.take_number(),
            timestamp,
            ssrc: stream.ssrc,
            extensions,
            ..rtp::Header::default()
        };
        stream.send(now, header, &[], body, out);
        Ok(())
    }

    /// Queues a key press, and begins it if none sounds.
    pub(super) fn send_tone(
        &mut self,
        now: Instant,
        tone: Tone,
        duration: Duration,
        lines: &Lines,
        out: &mut Outbox,
    ) -> Result<(), SendError> {
        if let Some(sound) = self.sound.as_mut().filter(|sound| sound.expected.is_none()) {
            // The clock runs from the first thing that is heard.
            sound.expected = Some(now);
            sound.silent = true;
        }
        let start = self.tone_start(now, lines).ok_or(SendError::NotNegotiated)?;
        if !self.tones.push(now, tone, duration, start)? {
            return Err(SendError::TooManyTones { max: TONES_MAX });
        }
        self.handle_timeout(now, lines, out);
        Ok(())
    }

    /// Sends the reports on tones that are due.
    pub(super) fn handle_timeout(&mut self, now: Instant, lines: &Lines, out: &mut Outbox) {
        if self.tones.poll_timeout().is_none_or(|due| due > now) {
            return;
        }
        let start = self.tone_start(now, lines);
        while let Some((payload_type, report)) = self.tones.pull(now, || start) {
            self.send_report(now, payload_type, report, out);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.tones.poll_timeout()
    }

    fn send_report(&mut self, now: Instant, payload_type: u8, report: Report, out: &mut Outbox) {
        let Some(sound) = &self.sound else { return };
        let payload = report.event.to_bytes();
        let body = out.write(payload.len(), |bytes| bytes.put_slice(&payload));
        let stream = &mut self.streams[sound.stream];
        let newest = stream.newest;
        let header = rtp::Header {
            marker: report.marker,
            payload_type,
            sequence_number: stream.take_number(),
            timestamp: report.timestamp,
            ssrc: stream.ssrc,
            ..rtp::Header::default()
        };
        stream.send(now, header, &[], &body, out);
        // The timestamp of a tone stands still: it does not tell the clock for reports.
        stream.newest = newest.or(stream.newest);
    }

    /// How a tone that begins now is to be sent.
    fn tone_start(&self, now: Instant, lines: &Lines) -> Option<Start> {
        let sound = self.sound.as_ref()?;
        let line = lines.get(sound.stream).filter(|line| line.sends)?;
        let rate = sound.payload.codec.clock_rate();
        let event = line.telephone_event(rate)?;
        let since = sound.expected.map_or(Duration::ZERO, |expected| now.since(expected));
        Some(Start {
            payload_type: event.payload_type,
            clock_rate: event.codec.clock_rate(),
            timestamp: sound.clock.wrapping_add(ticks(since, u64::from(rate))),
        })
    }

    /// Cuts an access unit into packets and sends them.
    pub(super) fn send_frame(
        &mut self,
        now: Instant,
        media: usize,
        access_unit: &Bytes,
        timestamp: u32,
        lines: &Lines,
        out: &mut Outbox,
    ) -> Result<(), SendError> {
        let line = lines.get(media).ok_or(SendError::NoSuchMedia { media })?;
        let payload = line.preferred().filter(|p| line.sends && p.codec.is_video());
        let payload_type = payload.ok_or(SendError::NotNegotiated)?.payload_type;
        let packetizer = self.packetizers[media].as_mut().ok_or(SendError::NotNegotiated)?;
        self.fragments.clear();
        packetizer.packetize(access_unit, &mut self.fragments)?;
        let stream = &mut self.streams[media];
        for fragment in self.fragments.drain(..) {
            let header = rtp::Header {
                marker: fragment.marker,
                payload_type,
                sequence_number: stream.take_number(),
                timestamp,
                ssrc: stream.ssrc,
                ..rtp::Header::default()
            };
            stream.send(now, header, fragment.head(), fragment.body(), out);
        }
        Ok(())
    }

    /// Sends a packet of somebody else's as it is.
    pub(super) fn forward(
        &mut self,
        now: Instant,
        packet: &rtp::Packet,
        lines: &Lines,
        out: &mut Outbox,
    ) -> Result<(), SendError> {
        let ssrc = packet.header.ssrc;
        let index = match self.streams.iter().rposition(|stream| stream.ssrc == ssrc) {
            Some(index) if self.streams[index].forwarded => index,
            Some(_) => return Err(SendError::OwnSource { ssrc }),
            None => self.admit_forwarded(&packet.header, lines)?,
        };
        let stream = &mut self.streams[index];
        stream.send(now, packet.header.clone(), &[], &packet.payload, out);
        Ok(())
    }

    fn admit_forwarded(&mut self, header: &rtp::Header, lines: &Lines) -> Result<usize, SendError> {
        let payload_type = header.payload_type;
        let payload =
            |line: &Line| line.outgoing.iter().find(|p| p.payload_type == payload_type).cloned();
        let (index, line) = lines
            .iter()
            .find(|(_, line)| line.sends && payload(line).is_some())
            .ok_or(SendError::UnknownPayloadType { payload_type })?;
        if self.streams.iter().filter(|stream| stream.forwarded).count() >= self.forwarded_max {
            return Err(SendError::TooManyStreams { max: self.forwarded_max });
        }
        let mut stream = Outbound::new(header.ssrc, index, line, true, self.cache_max);
        stream.codec = payload(line).map(|payload| payload.codec);
        self.streams.push(stream);
        Ok(self.streams.len() - 1)
    }
}

fn packetizer(line: &Line, mtu: usize) -> Option<Packetizer> {
    let Codec::H264 { packetization_mode } = line.preferred()?.codec else { return None };
    let mode = PacketizationMode::from_number(packetization_mode)?;
    Packetizer::new(mode, mtu - FIXED_HEADER_LENGTH).ok()
}
