//! A person of the rig: a telephone that speaks G.711 and listens to how loud it is. Its
//! packets do not leave the machine: the platform's media is told of them directly.

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;

use callrig_media::audio::Kind;
use callrig_media::datagram::Datagram;
use callrig_media::description::{Codec, Description, MediaDescription, Payload};
use callrig_media::event::{Dropped, Event};
use callrig_media::session::{self, Decode, Session};
use callrig_media::time::{Epoch, Instant};
use callrig_media::video::{DropCause, Frame};
use callrig_signaling::id::LegId;

use super::super::transcript::Sound;
use super::super::wire::{AUDIBLE, Level, level_of};
use super::camera::Camera;

/// Samples per second of G.711.
const RATE: u32 = 8_000;
/// Samples of a frame of 20 ms.
const FRAME: usize = RATE as usize / 50;
const FRAME_LENGTH: Duration = Duration::from_millis(20);
/// Whoever is so late begins anew.
const LATE_MAX: Duration = Duration::from_millis(200);
/// So long without sound, and it is over.
const PAUSE: Duration = Duration::from_millis(400);
/// From here on a sample stands at the end of the scale; G.711 ends at 32,124.
const CLIPPED: u16 = 32_000;

/// What a person notices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Notices {
    /// It begins to sound.
    Sound,
    /// It has been silent for a while.
    Silence(Sound),
    /// A key is pressed, far away.
    Key(char),
}

/// What a telephone with pictures notes.
pub(super) enum Noted {
    Heard(Level),
    Said(Level),
    Shown(Instant),
    Asked(Instant),
    Seen(Frame),
    Unseen(Instant, DropCause),
    Unusable(Dropped),
}

/// A person.
pub(super) struct Person {
    offer: Description,
    answer: Option<Description>,
    session: Option<Box<Session>>,
    /// The leg, while there is one.
    pub(super) leg: Option<LegId>,
    speech: Option<Speech>,
    next_frame: Instant,
    /// Whether silence is sent while nobody speaks, as telephones do.
    sends_silence: bool,
    hearing: Hearing,
    noticed: Vec<Notices>,
    /// Whether the telephone shows pictures; it then notes what crosses.
    pictures: bool,
    camera: Option<Camera>,
    /// Sources of pictures that come in.
    shown: Vec<u32>,
    pub(super) noted: Vec<Noted>,
}

/// What somebody says, and how much of it is said.
struct Speech {
    /// A recording; something that sounds like talking without one.
    recorded: Option<Arc<[i16]>>,
    said: usize,
    samples: usize,
}

#[derive(Default)]
struct Hearing {
    sound: Option<Sound>,
    energy: u64,
    samples: u64,
    heard_last: Option<Instant>,
}

impl Person {
    /// With a telephone at this address, which shows pictures or not. A simple one knows Opus
    /// where bots are strangers, who may know nothing else: G.711 costs less.
    pub(super) fn new(address: SocketAddr, pictures: bool, strangers: bool) -> Self {
        let opus = Payload::new(111, Codec::Opus { stereo: false });
        let pcmu = Payload::new(0, Codec::Pcmu);
        let keys = Payload::new(101, Codec::TelephoneEvent { clock_rate: RATE });
        let mut media = vec![MediaDescription::audio("0")];
        media[0].payloads = match (pictures, strangers) {
            (true, _) => vec![opus, pcmu, keys],
            (false, true) => vec![pcmu, keys, opus],
            (false, false) => vec![pcmu, keys],
        };
        if pictures {
            media.push(MediaDescription::video("1"));
            media.push(MediaDescription::screen_sharing("2"));
        }
        Self {
            offer: Description::new(address, media),
            pictures,
            camera: None,
            shown: Vec::new(),
            noted: Vec::new(),
            answer: None,
            session: None,
            leg: None,
            speech: None,
            next_frame: Instant::ZERO,
            // Those who handle no media themselves cannot tell; it costs time.
            sends_silence: pictures || strangers,
            hearing: Hearing::default(),
            noticed: Vec::new(),
        }
    }

    pub(super) const fn offer(&self) -> &Description {
        &self.offer
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.offer.address
    }

    /// The answer to an offer, by which the telephone will then talk.
    pub(super) fn answer(&mut self, offer: &Description) -> Description {
        let answer = self.offer.answer(offer);
        self.answer = Some(answer.clone());
        answer
    }

    /// The call is there.
    pub(super) fn begin(&mut self, remote: Description, epoch: Epoch) -> Result<(), String> {
        let ours = self.answer.take().unwrap_or_else(|| self.offer.clone());
        let config = session::Config {
            decode: Decode::Audio,
            output_rate: RATE,
            cname: "person".to_owned(),
            ..session::Config::new(ours, remote)
        };
        let seed = u64::from(self.offer.address.port());
        let session = Session::new(config, epoch, seed).map_err(|error| error.to_string())?;
        self.session = Some(Box::new(session));
        self.camera = self.pictures.then(Camera::new);
        Ok(())
    }

    /// Asks for key frames of all pictures that come in.
    pub(super) fn ask_for_key_frames(&mut self, now: Instant) {
        let Some(session) = &mut self.session else { return };
        for source in &self.shown {
            let _ = session.request_key_frame(now, *source);
        }
        self.noted.push(Noted::Asked(now));
    }

    /// The call is over.
    pub(super) fn end(&mut self) {
        self.session = None;
        self.camera = None;
        self.shown.clear();
        self.leg = None;
        self.speech = None;
        self.fall_silent();
    }

    /// Talks for so long.
    pub(super) fn speak(&mut self, now: Instant, length: Duration) {
        let frames = (length.as_nanos() / FRAME_LENGTH.as_nanos()) as usize;
        self.speech = Some(Speech { recorded: None, said: 0, samples: frames * FRAME });
        self.next_frame = self.next_frame.max(now);
    }

    /// Says what was recorded.
    pub(super) fn say(&mut self, now: Instant, samples: &Arc<[i16]>) {
        let recorded = Some(Arc::clone(samples));
        self.speech = Some(Speech { recorded, said: 0, samples: samples.len() });
        self.next_frame = self.next_frame.max(now);
    }

    /// The camera shows nothing for a while.
    pub(super) fn hide(&mut self, now: Instant, length: Duration) {
        if let Some(camera) = &mut self.camera {
            camera.pause(now + length);
        }
    }

    pub(super) fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
        if let Some(session) = &mut self.session {
            session.handle_input(now, session::Input::Datagram(datagram));
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let Some(session) = &mut self.session else { return };
        if session.poll_timeout().is_some_and(|at| at <= now) {
            session.handle_input(now, session::Input::Timeout);
        }
        // It begins now, not with the clock.
        if now.since(self.next_frame) > LATE_MAX {
            self.next_frame = now;
        }
        while self.next_frame <= now {
            let spoken = self.speech.as_mut().and_then(Speech::next);
            let (frame, speaks) = match spoken {
                Some(frame) => (frame, true),
                None if self.sends_silence => ([0; FRAME], false),
                None => break,
            };
            if self.pictures && speaks {
                let level = Level { at: now, level: level_of(&frame), made_up: false };
                self.noted.push(Noted::Said(level));
            }
            // A line that is not there takes no sound; the person speaks all the same.
            let _ = session.send_audio(now, &frame);
            self.next_frame += FRAME_LENGTH;
        }
        if self.speech.as_ref().is_some_and(Speech::is_over) {
            self.speech = None;
        }
        if let Some(camera) = &mut self.camera
            && let Some((unit, timestamp)) = camera.next(now)
            && session.send_frame(now, 1, &unit, timestamp).is_ok()
        {
            self.noted.push(Noted::Shown(now));
        }
        let over = self.hearing.heard_last.is_some_and(|last| now.since(last) >= PAUSE);
        if over {
            self.fall_silent();
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let session = self.session.as_ref()?.poll_timeout();
        let sends = self.speech.is_some() || self.sends_silence;
        let frame = sends.then_some(self.next_frame);
        let pause = self.hearing.heard_last.map(|last| last + PAUSE);
        let camera = self.camera.as_ref().map(Camera::due);
        [session, frame, pause, camera].into_iter().flatten().min()
    }

    /// The next datagram to send.
    pub(super) fn poll_output(&mut self, now: Instant) -> Option<Datagram> {
        let session = self.session.as_mut()?;
        while let Some(output) = session.poll_output() {
            match output {
                session::Output::Datagram(datagram) => return Some(datagram),
                session::Output::Event(Event::Audio(audio)) => {
                    if self.pictures {
                        let made_up = audio.kind > Kind::Stretched;
                        let level = level_of(&audio.samples);
                        self.noted.push(Noted::Heard(Level { at: now, level, made_up }));
                    }
                    if self.hearing.take(now, &audio.samples) {
                        self.noticed.push(Notices::Sound);
                    }
                    session.recycle(audio);
                }
                session::Output::Event(Event::Tone(tone)) => {
                    self.noticed.push(Notices::Key(tone.tone.key()));
                }
                session::Output::Event(event) if self.pictures => match event {
                    Event::StreamStarted(began) if began.codec.is_video() => {
                        self.shown.push(began.ssrc);
                    }
                    Event::Frame(frame) => self.noted.push(Noted::Seen(frame)),
                    Event::FrameDropped { cause, .. } => {
                        self.noted.push(Noted::Unseen(now, cause));
                    }
                    Event::Dropped(dropped) => self.noted.push(Noted::Unusable(dropped)),
                    Event::KeyFrameRequested { .. } => {
                        if let Some(camera) = &mut self.camera {
                            camera.go_back();
                        }
                    }
                    _ => {}
                },
                session::Output::Event(_) => {}
            }
        }
        None
    }

    /// What was noticed since the last time.
    pub(super) fn notices(&mut self) -> Vec<Notices> {
        core::mem::take(&mut self.noticed)
    }

    fn fall_silent(&mut self) {
        if let Some(sound) = self.hearing.end() {
            self.noticed.push(Notices::Silence(sound));
        }
    }
}

impl Speech {
    fn is_over(&self) -> bool {
        self.said >= self.samples
    }

    /// The next 20 ms.
    fn next(&mut self) -> Option<[i16; FRAME]> {
        if self.is_over() {
            return None;
        }
        let frame = match &self.recorded {
            Some(recorded) => {
                let mut frame = [0; FRAME];
                let left = recorded.get(self.said..).unwrap_or_default();
                for (sample, said) in frame.iter_mut().zip(left) {
                    *sample = *said;
                }
                frame
            }
            None => syllables(self.said),
        };
        self.said += FRAME;
        Some(frame)
    }
}

/// How long it takes to say so much.
pub(super) fn length_of(samples: &[i16]) -> Duration {
    Duration::from_millis(samples.len() as u64 * 1_000 / u64::from(RATE))
}

impl Hearing {
    /// Takes in a frame; whether sound begins with it.
    fn take(&mut self, now: Instant, samples: &[i16]) -> bool {
        let energy: u64 = samples.iter().map(|s| u64::from(s.unsigned_abs()).pow(2)).sum();
        let level = (energy / (samples.len().max(1) as u64)).isqrt();
        if level < u64::from(AUDIBLE) {
            return false;
        }
        self.heard_last = Some(now);
        self.energy += energy;
        self.samples += samples.len() as u64;
        let begins = self.sound.is_none();
        let sound = self.sound.get_or_insert_default();
        sound.length += FRAME_LENGTH * (samples.len() as u32) / (FRAME as u32);
        for sample in samples {
            sound.peak = sound.peak.max(sample.unsigned_abs());
            sound.clipped += u32::from(sample.unsigned_abs() >= CLIPPED);
        }
        begins
    }

    fn end(&mut self) -> Option<Sound> {
        let mut sound = self.sound.take()?;
        sound.level = (self.energy / self.samples.max(1)).isqrt() as u16;
        *self = Self::default();
        Some(sound)
    }
}

/// 20 ms of something that sounds like talking: a buzz of 150 Hz in syllables of 0.2 s.
fn syllables(said: usize) -> [i16; FRAME] {
    let mut frame = [0_i16; FRAME];
    for (phase, sample) in (said as u32..).zip(&mut frame) {
        let place = phase % (RATE / 5);
        let loud = i32::try_from(place.min(RATE / 5 - place)).unwrap_or(0) * 12;
        let saw = i32::try_from(phase % (RATE / 150)).unwrap_or(0) * 40 - 1_060;
        *sample = (saw * loud / 1_000).clamp(-20_000, 20_000) as i16;
    }
    frame
}
