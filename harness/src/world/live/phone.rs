//! The phone of a person in a live world: it plays recordings into a call, presses keys,
//! and receives what comes back through a session of the product. The first recording of
//! a call is sent exactly as it was made; later ones go on where the one before stopped,
//! so that nobody takes their packets for old ones.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;
use callrig_media::datagram::Datagram;
use callrig_media::description::{Codec, Description, MediaDescription, MediaKind, Payload};
use callrig_media::dtmf::Tone;
use callrig_media::event::Event;
use callrig_media::rtp;
use callrig_media::session::{self, Decode, Session};
use callrig_media::stats::Stats;
use callrig_media::time::{Epoch, Instant};
use serde::Serialize;
use thiserror::Error;

mod moments;

pub use moments::{Exchanged, Timing};

use super::wire;
use crate::replay::Replay;
use crate::schedule::Schedule;
use crate::subject::Subject;

/// Samples per second of what is kept of what was heard.
pub const HEARD_RATE: u32 = 16_000;
/// How much of it is kept: ten minutes.
pub const HEARD_SAMPLES_MAX: usize = 10 * 60 * HEARD_RATE as usize;
/// How long a key is held.
const KEY_HELD: Duration = Duration::from_millis(160);

/// Something to play.
#[derive(Clone, Debug)]
pub struct Program {
    /// For people.
    pub name: String,
    /// What is sent, and when.
    pub schedule: Schedule,
    /// What its payload types stand for.
    pub media: Vec<MediaDescription>,
    /// What follows its end.
    pub then: Then,
}

/// What follows the end of a program.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Then {
    /// Silence.
    #[default]
    Stay,
    /// The person hangs up.
    HangUp,
    /// It begins again.
    Repeat,
}

impl Program {
    /// A recording.
    #[must_use]
    pub fn of(subject: &Subject, then: Then) -> Self {
        Self {
            name: subject.id.clone(),
            schedule: subject.schedule.clone(),
            media: subject.media.clone(),
            then,
        }
    }
}

/// Why a phone cannot do something.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PhoneError {
    /// There is no call yet, or no longer.
    #[error("the phone is not in a call")]
    NotTalking,
    /// The call was set up without the codec of the recording.
    #[error(
        "the call was set up without payload type {0} of the recording; begin the call with it"
    )]
    NotNegotiated(u8),
    /// The other side takes no telephone events.
    #[error("no key can be pressed: {0}")]
    Keys(String),
    /// Nothing is shown.
    #[error("no picture has come to the phone")]
    NoPicture,
    /// Nobody can be asked.
    #[error("no key frame can be asked for: {0}")]
    KeyFrame(String),
}

/// What a phone wants from its owner.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send this.
    Datagram(Datagram),
    /// The session says something.
    Event(Event),
    /// The program is over, and the person wants to hang up.
    HangUp,
}

/// A phone.
#[derive(Debug)]
pub struct Phone {
    offer: Description,
    listens: bool,
    /// Whether it speaks WebRTC.
    secure: bool,
    /// Whether what it says is heard; until then what it is to play waits.
    flows: bool,
    /// Packets of recordings that could not be sent by it.
    unsent: u64,
    waiting: Option<Program>,
    talk: Option<Box<Talk>>,
    ended: Option<Box<Stats>>,
    moments: moments::Moments,
}

#[derive(Debug)]
struct Talk {
    session: Session,
    ours: Description,
    peer: SocketAddr,
    playing: Option<Playing>,
    voice: Voice,
}

#[derive(Debug)]
struct Playing {
    replay: Replay,
    program: Program,
}

impl Phone {
    /// A phone at an address, which plays `program` once it is in a call. `listens`:
    /// whether what comes back is decoded and kept.
    #[must_use]
    pub fn new(address: SocketAddr, program: Option<Program>, listens: bool) -> Self {
        let media = lines(program.as_ref());
        Self {
            offer: Description::new(address, media),
            listens,
            secure: false,
            flows: false,
            unsent: 0,
            waiting: program,
            talk: None,
            ended: None,
            moments: moments::Moments::default(),
        }
    }

    /// The same with a connection by WebRTC, which offers this.
    #[must_use]
    pub(super) fn over(self, offer: Description) -> Self {
        Self { offer, secure: true, ..self }
    }

    /// What it offers.
    #[must_use]
    pub const fn offer(&self) -> &Description {
        &self.offer
    }

    /// The call is there: media goes to `remote`.
    ///
    /// # Errors
    /// The two sides do not fit.
    pub fn begin(
        &mut self,
        now: Instant,
        ours: Description,
        remote: Description,
        epoch: Epoch,
        seed: u64,
    ) -> Result<(), session::ConfigError> {
        let peer = remote.address;
        let config = session::Config {
            decode: if self.listens { Decode::Audio } else { Decode::Nothing },
            output_rate: HEARD_RATE,
            cname: "user".to_owned(),
            ..session::Config::new(ours.clone(), remote)
        };
        let session = Session::new(config, epoch, seed)?;
        let voice = Voice::default();
        self.talk = Some(Box::new(Talk { session, ours, peer, playing: None, voice }));
        self.moments.begin(now);
        if !self.secure {
            self.connected(now);
        }
        Ok(())
    }

    /// What it says is heard from now on: it begins what it is to begin with.
    pub(super) fn connected(&mut self, now: Instant) {
        self.flows = true;
        if let Some(program) = self.waiting.take() {
            self.start(now, program);
        }
    }

    /// The call is over.
    pub fn end(&mut self, now: Instant) {
        if let Some(mut talk) = self.talk.take() {
            talk.session.close(now);
            self.ended = Some(Box::new(talk.session.stats()));
        }
    }

    /// Plays something, instead of what is being played; before the call begins, this is
    /// what it begins with.
    ///
    /// # Errors
    /// The call was set up without its codec.
    pub fn play(&mut self, now: Instant, program: Program) -> Result<(), PhoneError> {
        if let Some(talk) = &self.talk {
            for payload in program.media.iter().flat_map(|line| &line.payloads) {
                let known = talk.ours.media.iter().flat_map(|line| &line.payloads).any(|ours| {
                    ours.payload_type == payload.payload_type
                        && ours.codec.is_compatible(payload.codec)
                });
                if !known {
                    return Err(PhoneError::NotNegotiated(payload.payload_type));
                }
            }
        } else if self.ended.is_some() {
            return Err(PhoneError::NotTalking);
        }
        self.start(now, program);
        Ok(())
    }

    fn start(&mut self, now: Instant, program: Program) {
        let Some(talk) = self.talk.as_mut().filter(|_| self.flows) else {
            self.waiting = Some(program);
            return;
        };
        talk.voice.go_on();
        self.moments.say(now, &program);
        let replay = Replay::new(program.schedule.clone(), now);
        talk.playing = Some(Playing { replay, program });
    }

    /// Plays no more.
    pub fn fall_silent(&mut self) {
        self.waiting = None;
        if let Some(talk) = &mut self.talk {
            talk.playing = None;
        }
    }

    /// Presses keys, one after the other.
    ///
    /// # Errors
    /// No call, or one without telephone events.
    pub fn press(&mut self, now: Instant, keys: &[Tone]) -> Result<(), PhoneError> {
        let talk = self.talk.as_mut().ok_or(PhoneError::NotTalking)?;
        for key in keys {
            talk.session
                .send_tone(now, *key, KEY_HELD)
                .map_err(|error| PhoneError::Keys(error.to_string()))?;
        }
        Ok(())
    }

    /// Asks for a key frame of the pictures that it is shown: [`Timing`] says how long that took.
    ///
    /// # Errors
    /// No call, no pictures, or no way to ask was agreed on.
    pub fn ask_for_key_frame(&mut self, now: Instant) -> Result<(), PhoneError> {
        let talk = self.talk.as_mut().ok_or(PhoneError::NotTalking)?;
        let ssrc = self.moments.shown().ok_or(PhoneError::NoPicture)?;
        talk.session
            .request_key_frame(now, ssrc)
            .map_err(|error| PhoneError::KeyFrame(error.to_string()))?;
        self.moments.want(now, ssrc);
        Ok(())
    }

    /// Whether keys travel as telephone events.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        let events = |payload: &Payload| matches!(payload.codec, Codec::TelephoneEvent { .. });
        self.talk
            .as_ref()
            .is_some_and(|talk| talk.ours.media.iter().flat_map(|line| &line.payloads).any(events))
    }

    /// A datagram for it.
    pub fn handle_datagram(&mut self, now: Instant, datagram: Datagram) {
        if let Some(talk) = &mut self.talk {
            talk.session.handle_input(now, session::Input::Datagram(datagram));
        }
    }

    /// The moment that it asked for.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(talk) = &mut self.talk
            && talk.session.poll_timeout().is_some_and(|at| at <= now)
        {
            talk.session.handle_input(now, session::Input::Timeout);
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self, now: Instant) -> Option<Output> {
        let talk = self.talk.as_mut()?;
        loop {
            while let Some(output) = talk.session.poll_output() {
                match output {
                    session::Output::Datagram(datagram) => return Some(Output::Datagram(datagram)),
                    session::Output::Event(Event::Audio(audio)) => {
                        self.moments.hear(now, &audio);
                        talk.session.recycle(audio);
                    }
                    session::Output::Event(event) => {
                        match event {
                            Event::StreamStarted(_) => self.moments.packet(now),
                            Event::Frame(ref frame) => self.moments.frame(now, frame),
                            _ => {}
                        }
                        return Some(Output::Event(event));
                    }
                }
            }
            match talk.speak(now)? {
                Spoken::Datagram(payload) if self.secure => {
                    self.unsent += u64::from(!talk.forward(now, payload));
                }
                Spoken::Datagram(payload) => {
                    let Some(payload) = talk.voice.say(payload, &talk.ours) else { continue };
                    let (source, destination) = (talk.ours.address, talk.peer);
                    return Some(Output::Datagram(Datagram { source, destination, payload }));
                }
                Spoken::Over => return Some(Output::HangUp),
            }
        }
    }

    /// How many packets of recordings could not be sent over a connection of WebRTC.
    #[must_use]
    pub const fn unsent(&self) -> u64 {
        self.unsent
    }

    /// When to come back.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let talk = self.talk.as_ref()?;
        let next = talk.playing.as_ref().and_then(|playing| playing.replay.poll_timeout());
        [talk.session.poll_timeout(), next].into_iter().flatten().min()
    }

    /// Whether something is being played.
    #[must_use]
    pub fn playing(&self) -> Option<&str> {
        let playing = self.talk.as_ref()?.playing.as_ref()?;
        Some(&playing.program.name)
    }

    /// What its session counted, so far or in the end.
    #[must_use]
    pub fn stats(&self) -> Option<Stats> {
        match &self.talk {
            Some(talk) => Some(talk.session.stats()),
            None => self.ended.as_deref().cloned(),
        }
    }

    /// What was heard, in one channel of [`HEARD_RATE`]; nothing unless it listens.
    #[must_use]
    pub fn heard(&self) -> &[i16] {
        self.moments.heard()
    }

    /// How soon something came, and how long pictures stood still.
    #[must_use]
    pub fn timing(&self) -> Timing {
        self.moments.timing()
    }

    /// What it said last and what it heard, if it listens.
    #[must_use]
    pub fn exchanged(&self) -> Option<Exchanged> {
        self.moments.exchanged()
    }
}

/// What a recording brings.
enum Spoken {
    /// A datagram as it was recorded.
    Datagram(Bytes),
    /// Its end, at which the person hangs up.
    Over,
}

impl Talk {
    /// What is due of what is played.
    fn speak(&mut self, now: Instant) -> Option<Spoken> {
        loop {
            let playing = self.playing.as_mut()?;
            if let Some(payload) = playing.replay.poll(now) {
                return Some(Spoken::Datagram(payload));
            }
            if playing.replay.poll_timeout().is_some() {
                return None;
            }
            let over = self.playing.take()?;
            match over.program.then {
                Then::Stay => return None,
                Then::HangUp => return Some(Spoken::Over),
                Then::Repeat => {
                    self.voice.go_on();
                    // A pause of a packet, so that a recording of one packet is no storm.
                    let begin = now + Duration::from_millis(20);
                    let replay = Replay::new(over.program.schedule.clone(), begin);
                    self.playing = Some(Playing { replay, program: over.program });
                }
            }
        }
    }

    /// Sends a packet of what is played through the session, which sends it again if it is asked
    /// to, and reports on it: recorded reports are left out. `false` if it cannot be sent.
    fn forward(&mut self, now: Instant, datagram: Bytes) -> bool {
        let demultiplexed = rtp::demultiplex(&datagram);
        if demultiplexed == rtp::Demultiplexed::Rtcp {
            return true;
        }
        let packet = rtp::Packet::parse(datagram).ok();
        let packet = packet.filter(|_| demultiplexed == rtp::Demultiplexed::Rtp);
        let (Some(packet), Some(playing)) = (packet, &self.playing) else { return false };
        let mut packet = wire::fit(packet, &playing.program.media, &self.ours);
        self.voice.number(&mut packet.header, &self.ours);
        self.session.forward(now, packet.into()).is_ok()
    }
}

/// Numbers the packets of one recording after another as one stream.
#[derive(Debug, Default)]
struct Voice {
    streams: BTreeMap<u32, Place>,
    /// Whether this is the first recording, which is sent as it is.
    later: bool,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    last_sequence: u16,
    last_timestamp: u32,
    /// What is added to the numbers of the recording; none until its first packet.
    shift: Option<(u16, u32)>,
}

impl Voice {
    /// Another recording follows.
    fn go_on(&mut self) {
        self.later = !self.streams.is_empty();
        for place in self.streams.values_mut() {
            place.shift = None;
        }
    }

    /// The datagram as it is to be sent, if at all: reports of a recording that is moved
    /// in time would be false.
    fn say(&mut self, datagram: Bytes, ours: &Description) -> Option<Bytes> {
        let Ok(mut packet) = rtp::Packet::parse(datagram.clone()) else {
            return (!self.later).then_some(datagram);
        };
        if rtp::demultiplex(&datagram) != rtp::Demultiplexed::Rtp {
            return (!self.later).then_some(datagram);
        }
        match self.number(&mut packet.header, ours) {
            (0, 0) => Some(datagram),
            _ => Some(packet.to_bytes()),
        }
    }

    /// Numbers a packet so that it goes on where its stream stopped; what was added.
    fn number(&mut self, header: &mut rtp::Header, ours: &Description) -> (u16, u32) {
        let (sequence, timestamp) = (header.sequence_number, header.timestamp);
        let place = self.streams.entry(header.ssrc).or_insert(Place {
            last_sequence: sequence,
            last_timestamp: timestamp,
            shift: Some((0, 0)),
        });
        let (by_sequence, by_timestamp) = *place.shift.get_or_insert_with(|| {
            let step = ticks_of_a_packet(header.payload_type, ours);
            let sequence = place.last_sequence.wrapping_add(1).wrapping_sub(sequence);
            (sequence, place.last_timestamp.wrapping_add(step).wrapping_sub(timestamp))
        });
        header.sequence_number = sequence.wrapping_add(by_sequence);
        header.timestamp = timestamp.wrapping_add(by_timestamp);
        place.last_sequence = header.sequence_number;
        place.last_timestamp = header.timestamp;
        (by_sequence, by_timestamp)
    }
}

/// 20 ms in the clock of a payload type.
fn ticks_of_a_packet(payload_type: u8, ours: &Description) -> u32 {
    let known = ours.media.iter().find_map(|line| line.payload(payload_type));
    known.map_or(48_000, |payload| payload.codec.clock_rate()) / 50
}

/// What a phone with this to play offers: its lines, and the codecs that every phone has.
pub(super) fn lines(program: Option<&Program>) -> Vec<MediaDescription> {
    let usual = MediaDescription::audio("0");
    let Some(program) = program else { return vec![usual] };
    let mut lines = program.media.clone();
    let taken: Vec<u8> =
        lines.iter().flat_map(|line| &line.payloads).map(|payload| payload.payload_type).collect();
    if let Some(sound) = lines.iter_mut().find(|line| line.kind == MediaKind::Audio) {
        for payload in usual.payloads {
            let has = sound.payloads.iter().any(|own| own.codec.is_compatible(payload.codec));
            if !has && !taken.contains(&payload.payload_type) {
                sound.payloads.push(payload);
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;
    use crate::schedule::Numbering;
    use crate::subject::offer;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    }

    fn program(then: Then) -> Program {
        let packets = (0..5_u8).map(|index| (Bytes::from(vec![0x78, index]), 960));
        let numbering = Numbering::default();
        let schedule = Schedule::of_opus(packets, numbering).expect("five packets");
        let media = vec![offer::opus_line(numbering, false)];
        Program { name: "five".to_owned(), schedule, media, then }
    }

    fn talking(then: Then) -> Phone {
        let mut phone = Phone::new(at(4_000), Some(program(then)), false);
        let ours = phone.offer().clone();
        let remote = Description { address: at(5_000), ..ours.clone() };
        phone.begin(Instant::ZERO, ours, remote, Epoch::default(), 1).expect("both are alike");
        phone
    }

    /// What is said until `end`, and whether the person hung up.
    fn run(phone: &mut Phone, from: u64, end: u64) -> (Vec<rtp::Header>, bool) {
        let (mut said, mut hung_up) = (Vec::new(), false);
        for ms in from..end {
            let now = Instant::from_millis(ms);
            phone.handle_timeout(now);
            while let Some(output) = phone.poll_output(now) {
                match output {
                    Output::HangUp => hung_up = true,
                    Output::Datagram(datagram)
                        if rtp::demultiplex(&datagram.payload) == rtp::Demultiplexed::Rtp =>
                    {
                        let packet = rtp::Packet::parse(datagram.payload).expect("it is RTP");
                        said.push(packet.header);
                    }
                    _ => {}
                }
            }
        }
        (said, hung_up)
    }

    #[test]
    fn every_phone_has_keys_and_the_usual_codecs_beside_those_of_its_recording() {
        let phone = Phone::new(at(4_000), Some(program(Then::Stay)), false);
        let payloads = &phone.offer().media[0].payloads;
        assert_eq!(payloads[0].payload_type, 111);
        assert!(payloads.iter().any(|one| matches!(one.codec, Codec::TelephoneEvent { .. })));
        assert!(payloads.iter().any(|one| one.codec == Codec::Pcmu));
    }

    #[test]
    fn the_first_recording_is_sent_as_it_is_and_the_next_goes_on_from_there() {
        let mut phone = talking(Then::Stay);
        let (said, hung_up) = run(&mut phone, 0, 200);
        assert_eq!(said.len(), 5);
        assert_eq!(said[0].sequence_number, Numbering::default().sequence_number);
        assert!(!hung_up && phone.playing().is_none());
        let again = phone.play(Instant::from_millis(200), program(Then::HangUp));
        assert_eq!(again, Ok(()));
        let (more, hung_up) = run(&mut phone, 200, 400);
        assert_eq!(more.len(), 5);
        assert!(hung_up);
        assert_eq!(more[0].sequence_number, said[4].sequence_number.wrapping_add(1));
        assert_eq!(more[0].timestamp, said[4].timestamp.wrapping_add(960));
    }

    #[test]
    fn what_repeats_goes_on_until_it_is_stopped() {
        let mut phone = talking(Then::Repeat);
        let (said, _) = run(&mut phone, 0, 500);
        assert!(said.len() >= 20, "{}", said.len());
        let steps = said
            .windows(2)
            .all(|pair| pair[1].sequence_number == pair[0].sequence_number.wrapping_add(1));
        assert!(steps, "one stream");
        phone.fall_silent();
        assert!(run(&mut phone, 500, 600).0.is_empty());
    }

    #[test]
    fn where_nothing_is_shown_no_key_frame_can_be_asked_for() {
        let mut phone = talking(Then::Stay);
        assert_eq!(phone.ask_for_key_frame(Instant::ZERO), Err(PhoneError::NoPicture));
    }

    #[test]
    fn before_a_connection_carries_anything_the_last_recording_waits() {
        let phone = Phone::new(at(4_000), Some(program(Then::Stay)), false);
        let ours = phone.offer().clone();
        let mut phone = phone.over(ours.clone());
        let remote = Description { address: at(5_000), ..ours.clone() };
        phone.begin(Instant::ZERO, ours, remote, Epoch::default(), 1).expect("both are alike");
        let later = Program { name: "later".to_owned(), ..program(Then::Stay) };
        phone.play(Instant::ZERO, later).expect("its codec was agreed on");
        assert_eq!(phone.playing(), None);
        phone.connected(Instant::from_millis(5));
        assert_eq!(phone.playing(), Some("later"));
    }

    #[test]
    fn a_recording_in_a_codec_that_was_not_agreed_is_refused() {
        let mut phone = talking(Then::Stay);
        let mut other = program(Then::Stay);
        other.media[0].payloads[0].payload_type = 120;
        let refused = phone.play(Instant::ZERO, other);
        assert_eq!(refused, Err(PhoneError::NotNegotiated(120)));
    }

    #[test]
    fn after_the_call_there_are_statistics_and_nothing_else() {
        let mut phone = talking(Then::Stay);
        phone.end(Instant::from_millis(10));
        assert!(phone.stats().is_some());
        assert_eq!(
            phone.press(Instant::from_millis(11), &[Tone::Star]),
            Err(PhoneError::NotTalking)
        );
        let asked = phone.ask_for_key_frame(Instant::from_millis(11));
        assert_eq!(asked, Err(PhoneError::NotTalking));
        let again = phone.play(Instant::from_millis(11), program(Then::Stay));
        assert_eq!(again, Err(PhoneError::NotTalking));
        assert_eq!(phone.poll_timeout(), None);
    }
}
