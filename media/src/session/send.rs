//! The way out: streams of our own, one per media line, and streams that are relayed as
//! they came ([`Outbound`]), on the one path to the peer.

use core::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use rand::RngExt;
use rand_pcg::Pcg64Mcg;

use super::broadcast::Broadcast;
use super::lines::{Line, Lines};
use super::outbound::{Again, Contents, Outbound, Resent};
use super::outbox::Outbox;
use super::pacer::BELOW;
use super::path::Path;
use super::showing::Showing;
use super::thin::Weight;
use super::tones::{Start, TONES_MAX, Tones};
use super::{Config, Relayed, SendError};
use crate::audio::level::Level;
use crate::description::{Codec, MediaKind, Payload};
use crate::dtmf::Tone;
use crate::dtmf::send::Report;
use crate::event::Event;
use crate::fault::{self, Fault};
use crate::payload::encode::Encoder;
use crate::payload::h264::{Fragment, PacketizationMode, Packetizer};
use crate::prompt::Wav;
use crate::rtp::extension::AudioLevel;
use crate::rtp::{self, Csrcs, Extensions, FIXED_HEADER_LENGTH};
use crate::time::{Instant, earlier};

/// A pause of so long between two calls moves the timestamps by the clock.
const PAUSE: Duration = Duration::from_millis(60);

pub(super) fn ticks(duration: Duration, rate: u64) -> u32 {
    let fraction = u64::from(duration.subsec_nanos()) * rate / 1_000_000_000;
    duration.as_secs().wrapping_mul(rate).wrapping_add(fraction) as u32
}

/// Our sound on one line: one clock for samples, prompts and tones.
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

impl Sound {
    /// Moves our clock on by what is being sent; its timestamp, and whether a pause ended.
    fn advance_clock(&mut self, now: Instant, ticks: u32) -> (u32, bool) {
        let rate = u64::from(self.payload.codec.clock_rate());
        if fault::is(Fault::SoundStampedTwiceAsFast) {
            self.clock = self.clock.wrapping_add(ticks);
        }
        let pause = match self.expected {
            None => true,
            Some(expected) if now.since(expected) >= PAUSE => {
                self.clock = self.clock.wrapping_add(self::ticks(now.since(expected), rate));
                true
            }
            Some(_) => false,
        };
        let start = match self.expected {
            Some(expected) if !pause => expected,
            _ => now,
        };
        // The first packet after a pause is marked (RFC 3551 section 4.1).
        let pause = pause || core::mem::take(&mut self.silent);
        let timestamp = self.clock;
        self.clock = timestamp.wrapping_add(ticks);
        self.expected = Some(start + Duration::from_nanos(u64::from(ticks) * 1_000_000_000 / rate));
        (timestamp, pause)
    }
}

/// Encoded sound that is to be sent, and how long it is in ticks of its clock.
struct Piece {
    body: Bytes,
    ticks: u32,
    marker: bool,
    level: Option<AudioLevel>,
}

/// All streams of ours.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) streams: Vec<Outbound>,
    /// By line; the first has the tones.
    sounds: Vec<Sound>,
    tones: Tones,
    /// By media line.
    packetizers: Vec<Option<Packetizer>>,
    fragments: Vec<Fragment>,
    pub(super) path: Path,
    output_rate: u32,
    forwarded_max: usize,
    cache_max: usize,
}

impl Sender {
    pub(super) fn new(config: &Config, lines: &Lines, random: &mut Pcg64Mcg) -> Self {
        let mut sender = Self {
            streams: Vec::new(),
            sounds: Vec::new(),
            tones: Tones::default(),
            packetizers: Vec::new(),
            fragments: Vec::new(),
            path: Path::new(config, lines),
            output_rate: config.output_rate,
            forwarded_max: config.streams_max,
            cache_max: config.send_cache_max,
        };
        for (index, line) in lines.iter() {
            let announced = config.local.media[index].ssrc;
            let ssrc = announced.unwrap_or_else(|| sender.unused_ssrc(random));
            let mut stream = Outbound::new(ssrc, index, line, false, config.send_cache_max);
            stream.announced = announced.is_some();
            stream.next_number = random.random();
            // Not out of `random`: sessions without it draw the same numbers as before.
            stream.again = Again::new(line, stream.next_number ^ 0x5555);
            sender.path.pads |= line.sends && stream.again.is_some();
            sender.streams.push(stream);
            sender.packetizers.push(packetizer(line, config.mtu));
            let clock = random.random();
            if let (MediaKind::Audio, Some(payload)) = (line.kind, line.preferred()) {
                sender.sounds.push(Sound {
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

    /// Goes on to the same peer where another one stops.
    pub(super) fn take_over(&mut self, before: &mut Self) {
        self.path.take_over(&mut before.path);
        self.path.pads = before.path.pads && self.streams.iter().any(|s| s.again.is_some());
        for again in self.streams.iter_mut().filter_map(|stream| stream.again.as_mut()) {
            let known = before.streams.iter().filter_map(|stream| stream.again.as_ref());
            // Under one key, no number is used twice.
            if let Some(known) = known.into_iter().find(|known| known.ssrc == again.ssrc) {
                again.next_number = known.next_number;
            }
        }
    }

    /// Sends again what the peer says it has not received of a stream.
    pub(super) fn resend(
        &mut self,
        now: Instant,
        index: usize,
        number: u16,
        out: &mut Outbox,
    ) -> Resent {
        let Some(stream) = self.streams.get_mut(index) else { return Resent::NotInCache };
        stream.resend(now, number, &mut self.path, out)
    }

    /// Asks for key frames where pictures were left out and there is room again.
    pub(super) fn look_for_room(&mut self, now: Instant, out: &mut Outbox) {
        if !self.streams.iter().any(|stream| stream.thinner.is_held()) {
            return;
        }
        for stream in self.streams.iter_mut().filter(|stream| stream.thinner.is_held()) {
            let room = self.path.room(now, stream.kind);
            if stream.thinner.asks(now, room) {
                out.event(Event::KeyFrameRequested { ssrc: stream.ssrc });
            }
        }
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
            stream.forget();
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
        let (rate, is_lossy) = (self.output_rate, self.path.is_lossy());
        let sound = self.sounds.first_mut().ok_or(SendError::NotNegotiated)?;
        let Sound { encoder, payload, .. } = sound;
        let encoder = match encoder {
            Some(encoder) => encoder,
            None => encoder.insert(Encoder::new(payload, rate)?),
        };
        encoder.protect(is_lossy && payload.in_band_fec);
        let body = encoder.encode(samples, &mut out.arena)?;
        self.send_encoded(now, 0, body, Level::of(samples), lines, out)
    }

    /// Sends 20 ms of a prompt, encoded once for everybody whom it is played to.
    pub(super) fn send_prompt(
        &mut self,
        now: Instant,
        prompt: &Wav,
        index: usize,
        lines: &Lines,
        out: &mut Outbox,
    ) -> Result<(), SendError> {
        let sound = self.sounds.first_mut().ok_or(SendError::NotNegotiated)?;
        // What is encoded once is for those who lose nothing.
        let own = self.path.is_lossy() && sound.payload.in_band_fec;
        let frame = if own { None } else { prompt.encoded(index, &sound.payload)? };
        let Some(frame) = frame else {
            return self.send_audio(now, &prompt.frame(index), lines, out);
        };
        // Its next own sound goes on from what the peer's decoder cannot know of: it begins anew.
        sound.encoder = None;
        self.send_encoded(now, 0, frame.body, frame.level, lines, out)
    }

    /// Sends 20 ms that are encoded once for everybody who gets them; on the first line of
    /// sound, or this one.
    pub(super) fn send_broadcast(
        &mut self,
        now: Instant,
        media: Option<usize>,
        broadcast: &mut Broadcast,
        lines: &Lines,
        out: &mut Outbox,
    ) -> Result<(), SendError> {
        let place = match media {
            None => 0,
            Some(media) => {
                let place = self.sounds.iter().position(|sound| sound.stream == media);
                place.ok_or(SendError::NoSuchMedia { media })?
            }
        };
        let sound = self.sounds.get(place).ok_or(SendError::NotNegotiated)?;
        let body = broadcast.encoded(&sound.payload, self.path.is_lossy())?;
        self.send_encoded(now, place, body, broadcast.level(), lines, out)
    }

    fn send_encoded(
        &mut self,
        now: Instant,
        place: usize,
        body: Option<Bytes>,
        level: Level,
        lines: &Lines,
        out: &mut Outbox,
    ) -> Result<(), SendError> {
        let sound = self.sounds.get_mut(place).ok_or(SendError::NotNegotiated)?;
        let ticks = sound.payload.codec.clock_rate() / 50;
        let level = Some(AudioLevel { level: level.minus_dbov(), voice: false });
        match body {
            Some(body) => {
                self.send_sound(now, place, Piece { body, ticks, marker: false, level }, lines, out)
            }
            // Nothing need be sent, but time goes on.
            None => {
                sound.advance_clock(now, ticks);
                sound.silent = true;
                Ok(())
            }
        }
    }

    /// Other pictures come on a media line from now on.
    pub(super) fn begin_anew(&mut self, media: usize) {
        if let Some(stream) = self.streams.get_mut(media) {
            stream.thinner.begin_anew();
            self.path.begin_anew(stream.kind);
        }
    }

    /// Whose contributions are sent on a media line from now on.
    pub(super) fn set_contributors(&mut self, media: usize, csrcs: &Csrcs) {
        if let Some(stream) = self.streams.get_mut(media)
            && stream.contributors != *csrcs
        {
            stream.contributors = csrcs.clone();
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
        let piece = Piece { body: payload.clone(), ticks, marker, level: None };
        self.send_sound(now, 0, piece, lines, out)
    }

    fn send_sound(
        &mut self,
        now: Instant,
        place: usize,
        piece: Piece,
        lines: &Lines,
        out: &mut Outbox,
    ) -> Result<(), SendError> {
        let Piece { body, ticks, marker, level } = piece;
        let sound = self.sounds.get_mut(place).ok_or(SendError::NotNegotiated)?;
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
        let (timestamp, pause) = sound.advance_clock(now, ticks);
        let stream = &mut self.streams[index];
        let header = rtp::Header {
            marker: marker || pause,
            payload_type,
            sequence_number: stream.take_number(),
            timestamp,
            ssrc: stream.ssrc,
            csrcs: stream.contributors.clone(),
            extensions,
            ..rtp::Header::default()
        };
        stream.send(now, header, Contents::new(&[], &body), &mut self.path, out);
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
        if let Some(sound) = self.sounds.first_mut().filter(|sound| sound.expected.is_none()) {
            // The clock runs from the first thing that is heard.
            sound.expected = Some(now);
            sound.silent = true;
        }
        let start = self.tone_start(now, lines).ok_or(SendError::NotNegotiated)?;
        if !self.tones.push(now, tone, duration, start)? {
            return Err(SendError::TooManyTones { max: TONES_MAX });
        }
        self.send_tones(now, lines, out);
        Ok(())
    }

    /// Sends what is due: packets whose turn it is, padding, reports on tones.
    pub(super) fn handle_timeout(&mut self, now: Instant, lines: &Lines, out: &mut Outbox) {
        while let Some(packet) = self.path.pull(now) {
            let marks = self.path.leave(now, &packet, out);
            let (ssrc, number) = (packet.header.ssrc, packet.header.sequence_number);
            if let Some(stream) = self.get_mut(ssrc).filter(|_| packet.before.is_none()) {
                stream.left(now, number, packet.since, marks);
            }
        }
        while let Some(padding) = self.path.pull_padding(now) {
            self.send_padding(now, padding, out);
        }
        self.send_tones(now, lines, out);
    }

    /// Sends a packet of nothing in a stream that the peer expects such of (RFC 4588's).
    fn send_padding(&mut self, now: Instant, padding: u8, out: &mut Outbox) {
        let stream = self.streams.iter_mut().find(|stream| stream.again.is_some());
        let Some(Outbound { again: Some(again), newest, line, .. }) = stream else { return };
        let Some(&(of, _)) = again.payload_types.first() else { return };
        let timestamp = newest.map_or(0, |(timestamp, _)| timestamp);
        let header = rtp::Header { payload_type: of, timestamp, ..rtp::Header::default() };
        if let Some(header) = again.header(&header) {
            let header = rtp::Header { padding, ..header };
            self.path.padding(now, header, *line, out);
        }
    }

    fn send_tones(&mut self, now: Instant, lines: &Lines, out: &mut Outbox) {
        if self.tones.poll_timeout().is_none_or(|due| due > now) {
            return;
        }
        let start = self.tone_start(now, lines);
        while let Some((payload_type, report)) = self.tones.pull(now, || start) {
            self.send_report(now, payload_type, report, out);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        earlier(self.tones.poll_timeout(), self.path.poll_timeout())
    }

    fn send_report(&mut self, now: Instant, payload_type: u8, report: Report, out: &mut Outbox) {
        let Some(sound) = self.sounds.first() else { return };
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
        stream.send(now, header, Contents::new(&[], &body), &mut self.path, out);
        // The timestamp of a tone stands still: it does not tell the clock for reports.
        stream.newest = newest.or(stream.newest);
    }

    /// How a tone that begins now is to be sent.
    fn tone_start(&self, now: Instant, lines: &Lines) -> Option<Start> {
        let sound = self.sounds.first()?;
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

    /// Cuts an access unit into packets and sends them, if the path has room for it.
    pub(super) fn send_frame(
        &mut self,
        now: Instant,
        media: usize,
        access_unit: &Bytes,
        timestamp: u32,
        lines: &Lines,
        out: &mut Outbox,
    ) -> Result<(), SendError> {
        let payload_type = picture_payload_type(media, lines)?;
        let packetizer = self.packetizers[media].as_mut().ok_or(SendError::NotNegotiated)?;
        let mut fragments = core::mem::take(&mut self.fragments);
        let cut = packetizer.packetize(access_unit, &mut fragments);
        if cut.is_ok() {
            let weight = || Weight::of_unit(access_unit);
            if self.lets_in(now, media, access_unit.len(), fragments.len(), weight) {
                self.send_fragments(now, media, payload_type, &fragments, timestamp, out);
            }
        }
        fragments.clear();
        self.fragments = fragments;
        Ok(cut?)
    }

    /// The same with what is cut for many at once.
    pub(super) fn send_showing(
        &mut self,
        now: Instant,
        media: usize,
        showing: &mut Showing,
        timestamp: u32,
        lines: &Lines,
        out: &mut Outbox,
    ) -> Result<(), SendError> {
        let payload_type = picture_payload_type(media, lines)?;
        let packetizer = self.packetizers[media].as_ref().ok_or(SendError::NotNegotiated)?;
        let shape = packetizer.shape();
        let packets = showing.cut(shape)?.len();
        let bytes = showing.len();
        if self.lets_in(now, media, bytes, packets, || showing.weight()) {
            let fragments = showing.cut(shape)?;
            self.send_fragments(now, media, payload_type, fragments, timestamp, out);
        }
        Ok(())
    }

    /// Whether the path has room for a picture of so many bytes in so many packets.
    fn lets_in(
        &mut self,
        now: Instant,
        media: usize,
        bytes: usize,
        packets: usize,
        weight: impl FnOnce() -> Weight,
    ) -> bool {
        if !self.path.is_paced() {
            return true;
        }
        let kind = self.streams[media].kind;
        self.path.offer(now, kind, bytes + packets * (FIXED_HEADER_LENGTH + BELOW));
        let room = self.path.room(now, kind);
        let thinner = &mut self.streams[media].thinner;
        if !thinner.admit(weight(), room) {
            self.make_way(media);
            return false;
        }
        let has_room = self.path.pacer.has_room(packets);
        if !has_room {
            thinner.break_off();
        }
        has_room
    }

    /// Where there was no room for a picture of a screen, cameras wait for their next key frames.
    fn make_way(&mut self, media: usize) {
        let stream = &mut self.streams[media];
        let is_first =
            stream.kind == MediaKind::ScreenSharing && !fault::is(Fault::ScreenLikeCamera);
        if stream.thinner.take_crowded_out() && is_first {
            let cameras = self.streams.iter_mut().filter(|one| one.kind == MediaKind::Video);
            cameras.for_each(|camera| camera.thinner.hold());
        }
    }

    fn send_fragments(
        &mut self,
        now: Instant,
        media: usize,
        payload_type: u8,
        fragments: &[Fragment],
        timestamp: u32,
        out: &mut Outbox,
    ) {
        let stream = &mut self.streams[media];
        for fragment in fragments {
            let header = rtp::Header {
                marker: fragment.marker,
                payload_type,
                sequence_number: stream.take_number(),
                timestamp,
                ssrc: stream.ssrc,
                csrcs: stream.contributors.clone(),
                ..rtp::Header::default()
            };
            let contents = Contents::new(fragment.head(), fragment.body());
            stream.send(now, header, contents, &mut self.path, out);
        }
    }

    /// Sends a packet of somebody else's as it is, if it is of a picture that the path has
    /// room for. Numbers follow each other where pictures were left out.
    pub(super) fn forward(
        &mut self,
        now: Instant,
        relayed: Relayed,
        lines: &Lines,
        out: &mut Outbox,
    ) -> Result<(), SendError> {
        let (packet, mut whole) = relayed.into_parts();
        let ssrc = packet.header.ssrc;
        let index = match self.streams.iter().rposition(|stream| stream.ssrc == ssrc) {
            Some(index) if self.streams[index].forwarded => index,
            Some(index) if self.streams[index].is_vacant() => {
                let line = lines.get(self.streams[index].line);
                let line = line.filter(|line| line.sends).ok_or(SendError::NotNegotiated)?;
                let codec = outgoing_codec(line, packet.header.payload_type)?;
                let stream = &mut self.streams[index];
                (stream.forwarded, stream.codec) = (true, Some(codec));
                index
            }
            Some(_) => return Err(SendError::OwnSource { ssrc }),
            None => self.admit_forwarded(&packet.header, lines)?,
        };
        let (stream, path) = (&mut self.streams[index], &mut self.path);
        let length = packet.length();
        let rtp::Packet { mut header, payload } = packet;
        if stream.kind != MediaKind::Audio && path.is_paced() {
            path.offer(now, stream.kind, length + BELOW);
            let timestamp = header.timestamp;
            let room = path.room(now, stream.kind);
            let Some(number) =
                stream.thinner.pass(header.sequence_number, timestamp, &payload, room)
            else {
                self.make_way(index);
                return Ok(());
            };
            if !path.pacer.has_room(1) {
                stream.thinner.break_off();
                return Ok(());
            }
            whole = whole.filter(|_| number == header.sequence_number);
            header.sequence_number = number;
        }
        let contents = Contents { whole, ..Contents::new(&[], &payload) };
        stream.send(now, header, contents, path, out);
        Ok(())
    }

    fn admit_forwarded(&mut self, header: &rtp::Header, lines: &Lines) -> Result<usize, SendError> {
        let payload_type = header.payload_type;
        let place = lines.iter().filter(|(_, line)| line.sends).find_map(|(index, line)| {
            Some((index, line, outgoing_codec(line, payload_type).ok()?))
        });
        let (index, line, codec) = place.ok_or(SendError::UnknownPayloadType { payload_type })?;
        if self.streams.iter().filter(|stream| stream.forwarded).count() >= self.forwarded_max {
            return Err(SendError::TooManyStreams { max: self.forwarded_max });
        }
        let mut stream = Outbound::new(header.ssrc, index, line, true, self.cache_max);
        stream.codec = Some(codec);
        self.streams.push(stream);
        Ok(self.streams.len() - 1)
    }
}

/// What a payload type stands for that the peer takes on a line.
fn outgoing_codec(line: &Line, payload_type: u8) -> Result<Codec, SendError> {
    let payload = line.outgoing.iter().find(|payload| payload.payload_type == payload_type);
    payload.map(|payload| payload.codec).ok_or(SendError::UnknownPayloadType { payload_type })
}

/// Under which payload type pictures are sent on a media line.
fn picture_payload_type(media: usize, lines: &Lines) -> Result<u8, SendError> {
    let line = lines.get(media).ok_or(SendError::NoSuchMedia { media })?;
    let payload = line.preferred().filter(|p| line.sends && p.codec.is_video());
    Ok(payload.ok_or(SendError::NotNegotiated)?.payload_type)
}

fn packetizer(line: &Line, mtu: usize) -> Option<Packetizer> {
    let Codec::H264 { packetization_mode } = line.preferred()?.codec else { return None };
    let mode = PacketizationMode::from_number(packetization_mode)?;
    Packetizer::new(mode, mtu - FIXED_HEADER_LENGTH).ok()
}
