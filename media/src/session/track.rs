//! What is behind a stream: a jitter buffer and ears for tones, or an assembler and perhaps
//! a decoder.

use super::Decode;
use super::nack::NackList;
use super::outbox::Outbox;
use super::receive::ReceiverConfig;
use crate::audio::Audio;
use crate::codec;
use crate::codec::h264::{DecodeError, Decoded};
use crate::description::Codec;
use crate::dtmf;
use crate::event::{DropReason, Event};
use crate::fault::{self, Fault};
use crate::jitter::{self, Playout};
use crate::payload::h264::PacketizationMode;
use crate::rtcp::source::Reception;
use crate::rtp;
use crate::time::{Instant, earlier};
use crate::video::assembly::{self, Assembled, Assembler};
use crate::video::{DropCause, Picture};

/// How many ticks of a playout one timeout may make up for: 20 s of them.
const TICKS_MAX: usize = 1_000;

/// What is behind a stream.
#[derive(Debug)]
pub(super) enum Track {
    /// Not yet known to be a real source.
    Pending,
    /// Handed to the owner packet by packet.
    Relayed(RelayTrack),
    Sound(Box<SoundTrack>),
    Pictures(Box<PictureTrack>),
}

/// What is handed on, and asked for where it is missing: the next hop could only ask us.
#[derive(Debug)]
pub(super) struct RelayTrack {
    pub(super) packets: u64,
    pub(super) overflowed: u64,
    pub(super) nacks: NackList,
    gaps: Gaps,
}

impl RelayTrack {
    fn new(nacks: NackList) -> Self {
        Self { packets: 0, overflowed: 0, nacks, gaps: Gaps::default() }
    }

    /// Hands a packet on.
    pub(super) fn take(
        &mut self,
        now: Instant,
        sequence: u64,
        packet: rtp::Packet,
        out: &mut Outbox,
    ) {
        self.gaps.take(sequence);
        self.nacks.update(now, self.gaps.missing());
        let (ssrc, number) = (packet.header.ssrc, packet.header.sequence_number);
        if out.relay(packet) {
            self.packets += 1;
        } else {
            self.overflowed += 1;
            out.drop(now, DropReason::Overflow, Some(ssrc), Some(number));
        }
    }

    /// Whether a number is missing.
    pub(super) fn misses(&self, sequence: u64) -> bool {
        self.gaps.missing.binary_search(&sequence).is_ok()
    }
}

/// Which numbers of a stream have not come.
#[derive(Debug, Default)]
struct Gaps {
    newest: Option<u64>,
    missing: Vec<u64>,
}

impl Gaps {
    /// How far behind the newest a packet is still of use.
    const REACH: u64 = 256;

    fn take(&mut self, sequence: u64) {
        match self.newest {
            Some(newest) if sequence <= newest => {
                if let Ok(place) = self.missing.binary_search(&sequence) {
                    self.missing.remove(place);
                }
                return;
            }
            Some(newest) if sequence > newest + 1 => {
                let from = (newest + 1).max(sequence.saturating_sub(Self::REACH));
                self.missing.extend(from..sequence);
            }
            _ => {}
        }
        self.newest = Some(sequence);
        if self.missing.first().is_some_and(|oldest| oldest + Self::REACH < sequence) {
            self.missing.retain(|missing| missing + Self::REACH >= sequence);
        }
    }

    fn missing(&self) -> impl Iterator<Item = u64> + '_ {
        self.missing.iter().copied()
    }
}

#[derive(Debug)]
pub(super) struct SoundTrack {
    pub(super) playout: Playout,
    /// From the first telephone event on, with its clock rate.
    tones: Option<(u32, dtmf::receive::Receiver)>,
    listener: Option<Listener>,
    pub(super) tone_packets: u64,
    pub(super) malformed_tone_packets: u64,
    pub(super) silent_packets: u64,
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
    /// Whether a frame was dropped after the last one that was handed out.
    has_gap: bool,
}

impl Track {
    pub(super) fn new(ssrc: u32, codec: Codec, nack: bool, config: &ReceiverConfig) -> Self {
        let retries_max = if nack { config.nack_retries_max } else { 0 };
        let nacks = NackList::new(config.nack_delay, retries_max);
        if config.relay {
            return Self::Relayed(RelayTrack::new(nacks));
        }
        let Codec::H264 { packetization_mode } = codec else {
            let mut playout = Playout::new(&config.playout, ssrc)
                .expect("the same configuration was accepted when the session was built");
            playout.set_drowned(config.drowned);
            let listens = config.in_band_tones && config.playout.decode;
            return Self::Sound(Box::new(SoundTrack {
                playout,
                tones: None,
                listener: listens.then(Listener::default),
                tone_packets: 0,
                malformed_tone_packets: 0,
                silent_packets: 0,
            }));
        };
        let mode = PacketizationMode::from_number(packetization_mode).unwrap_or_default();
        let assembly = assembly::Config { mode, ..config.assembly.clone() };
        let decodes = config.decode == Decode::Everything;
        Self::Pictures(Box::new(PictureTrack {
            assembler: Assembler::new(ssrc, assembly),
            nacks,
            // OpenH264 refuses only for want of memory; access units still go out then.
            decoder: if decodes { codec::h264::Decoder::new().ok() } else { None },
            frames_decoded: 0,
            decode_errors: 0,
            wants_key_frame: false,
            has_gap: false,
        }))
    }
}

impl SoundTrack {
    pub(super) fn take(
        &mut self,
        now: Instant,
        reception: &Reception,
        packet: &rtp::Packet,
        (codec, level): (Codec, Option<u8>),
        out: &mut Outbox,
    ) {
        if let Codec::TelephoneEvent { clock_rate } = codec {
            self.playout.skip(now, reception.sequence);
            return self.take_tone(now, packet, clock_rate, out);
        }
        if let Some(listener) = &mut self.listener {
            listener.clock_rate = codec.clock_rate();
        }
        let reason = match self.playout.push_at(now, reception.sequence, packet, (codec, level)) {
            jitter::Push::Queued => return,
            jitter::Push::Late => DropReason::Late,
            jitter::Push::Duplicate => DropReason::Duplicate,
            jitter::Push::Discarded(cause) => reason_of(cause),
        };
        out.drop_packet(now, reason, &packet.header);
    }

    /// Takes a packet whose header says that there is nothing to hear in it: it has its time,
    /// and costs no decoding.
    pub(super) fn take_silence(&mut self, now: Instant, reception: &Reception) {
        self.silent_packets += 1;
        self.playout.skip(now, reception.sequence);
    }

    /// Tells of packets that waited and are not played after all.
    fn drain_given_up(&mut self, out: &mut Outbox) {
        while let Some(gone) = self.playout.poll_given_up() {
            let number = Some(gone.sequence as u16);
            out.drop(gone.arrived, reason_of(gone.cause), Some(self.playout.ssrc()), number);
        }
    }

    /// Gives up what waits: its place is needed.
    pub(super) fn abandon(&mut self, out: &mut Outbox) {
        self.playout.reset();
        self.drain_given_up(out);
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

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let tones = self.tones.as_ref().and_then(|(_, tones)| tones.poll_timeout());
        earlier(self.playout.poll_timeout(), tones)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        if let Some((_, tones)) = &mut self.tones {
            tones.handle_timeout(now);
            self.drain_tones(out);
        }
        for _ in 0..TICKS_MAX {
            let Some(due) = self.playout.poll_timeout().filter(|due| *due <= now) else { break };
            let mut sound = out.take_sound();
            let plays = self.playout.pull(due, &mut sound);
            self.drain_given_up(out);
            if plays {
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
    pub(super) fn finish(&mut self, now: Instant, out: &mut Outbox) {
        if let Some((_, tones)) = &mut self.tones {
            tones.handle_timeout(now + dtmf::receive::SILENCE_MAX);
            self.drain_tones(out);
        }
    }
}

/// Why a packet goes nowhere that the jitter buffer does not play.
const fn reason_of(cause: jitter::Cause) -> DropReason {
    use jitter::Cause;
    match cause {
        Cause::Malformed | Cause::NotAudio | Cause::Undecodable => DropReason::MalformedPayload,
        Cause::Timestamp => DropReason::Discontinuity,
        Cause::Overflow | Cause::Excess | Cause::Reset => DropReason::Overflow,
    }
}

impl PictureTrack {
    pub(super) fn take(
        &mut self,
        now: Instant,
        sequence: u64,
        packet: &rtp::Packet,
        out: &mut Outbox,
    ) {
        let reason = match self.assembler.push(now, sequence, packet) {
            assembly::Push::Taken => None,
            assembly::Push::Late => Some(DropReason::Late),
            assembly::Push::Duplicate => Some(DropReason::Duplicate),
        };
        if let Some(reason) = reason {
            out.drop_packet(now, reason, &packet.header);
        }
        self.drain(now, packet.header.ssrc, out);
    }

    pub(super) fn drain(&mut self, now: Instant, ssrc: u32, out: &mut Outbox) {
        while let Some(assembled) = self.assembler.poll() {
            self.hand_out(assembled, ssrc, out);
        }
        self.wants_key_frame |= self.assembler.wants_key_frame(now);
        self.nacks.update(now, self.assembler.missing());
    }

    fn hand_out(&mut self, assembled: Assembled, ssrc: u32, out: &mut Outbox) {
        match assembled {
            Assembled::Frame(frame) => {
                if core::mem::take(&mut self.has_gap) && frame.key_frame {
                    self.release(out);
                }
                let picture = self.decoder.as_mut().map(|decoder| {
                    let decoded = decoder.decode(&frame.data, frame.timestamp);
                    decoded.map(|decoded| decoded.map(|decoded| Box::new(decoded.to_picture())))
                });
                out.event(Event::Frame(frame));
                match picture {
                    None | Some(Ok(None)) => {}
                    Some(Ok(Some(mut picture))) => {
                        if fault::is(Fault::PictureTouched) {
                            picture.y[0] ^= 0x40;
                        }
                        self.frames_decoded += 1;
                        out.event(Event::Picture(picture));
                    }
                    Some(Err(_)) => {
                        self.decode_errors += 1;
                        self.assembler.want_key_frame();
                    }
                }
            }
            Assembled::Dropped { timestamp, cause, .. } => {
                self.has_gap = true;
                if cause == DropCause::ReferenceLost {
                    self.release(out);
                }
                out.event(Event::FrameDropped { ssrc, timestamp, cause });
            }
        }
    }

    /// Gives up what is not whole, and hands out the pictures that the decoder held back.
    pub(super) fn finish(&mut self, ssrc: u32, out: &mut Outbox) {
        self.assembler.finish();
        while let Some(assembled) = self.assembler.poll() {
            self.hand_out(assembled, ssrc, out);
        }
        let Some(decoder) = &mut self.decoder else { return };
        let left = decoder.finish().map(|left| left.iter().map(Decoded::to_picture).collect());
        self.show(left, out);
    }

    /// Hands out what the decoder held back for the sake of order, once nothing that comes later
    /// goes before it: where a reference was lost nothing comes before the next key frame, and
    /// all else follows that.
    fn release(&mut self, out: &mut Outbox) {
        if let Some(decoder) = self.decoder.as_mut().filter(|decoder| decoder.holds_any()) {
            let held = decoder.begin_anew();
            self.show(held, out);
        }
    }

    fn show(&mut self, pictures: Result<Vec<Picture>, DecodeError>, out: &mut Outbox) {
        match pictures {
            Ok(pictures) => {
                for picture in pictures {
                    self.frames_decoded += 1;
                    out.event(Event::Picture(Box::new(picture)));
                }
            }
            Err(_) => self.decode_errors += 1,
        }
    }
}
