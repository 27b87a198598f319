//! Legs and their media sessions. A leg of a call gets an address of the platform when
//! it is made and a session when both sides are known. Service-hosted media ends here:
//! sound is decoded, tones are heard, prompts are played, recordings made. App-hosted
//! media of a peer-to-peer call is relayed between two sessions without transcoding; the
//! media of a conference meets in a room ([`conference`]). No session outlives its leg.

use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use callrig_media::datagram::Datagram;
use callrig_media::description::{Description, MediaDescription, MediaKind, Simulcast};
use callrig_media::dtmf;
use callrig_media::event::{CloseReason, Event as MediaEvent, TransportEvent};
use callrig_media::prompt::Wav;
use callrig_media::recorder::{self, Recorded};
use callrig_media::session::{
    Config, ConfigError, Decode, Input, Output as SessionOutput, Relayed, Session,
};
use callrig_media::stats::Stats;
use callrig_media::time::{Epoch, Instant, earlier};
use callrig_media::transport::webrtc::Certificate;

use crate::event::RelayDropReason;
use crate::graph::{Modality, Tone};
use crate::id::{ConversationId, IdMap, LegId};

pub mod blob;
mod conference;
mod pair;
mod place;
mod relay;
mod room;
pub(crate) mod sound;

pub(crate) use conference::{Level, Routing};
use place::Shared;
pub use place::WebRtc;
pub(crate) use place::{Place, WebRtcError};
use sound::{Doing, Tick};

/// Our side of a session, and the peer's.
pub(crate) type Sides = (Description, Description);

/// How far the platform takes a leg's media apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It is passed on.
    Relay,
    /// It ends here.
    Terminate,
}

/// How many ports of others are passed over for one place.
const PASSED_OVER_MAX: usize = 256;

/// Every port is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("every port for media is taken")]
pub(crate) struct PortsExhausted;

/// Why two descriptions do not make a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnswerError {
    /// No sound both understand.
    #[error("the two sides have no audio codec in common")]
    NoAudio,
    /// The answer is not one to the offer.
    #[error("the answer has other media lines than the offer")]
    Lines,
}

/// What the attachments say.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The session says something.
    Session(MediaEvent),
    /// The session has ended.
    Ended(Box<Stats>),
    /// A packet is not relayed.
    RelayDropped { payload_type: u8, reason: RelayDropReason },
    /// A key was heard.
    Tone(Tone),
    /// What was to be played has been.
    Played,
    /// What was to be recorded has been, or could not be.
    Recorded(Recorded),
    /// What was to be played or recorded cannot be.
    Failed(String),
    /// The peer is gone: nothing can be sent or will come any more.
    Lost(CloseReason),
}

/// What the attachments want done.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    /// Send this.
    Datagram(Datagram),
    /// The leg wants another moment.
    Moved(LegId),
    /// The room wants another moment.
    RoomMoved(ConversationId),
    /// The leg says something.
    Event(LegId, Event),
}

/// The platform's answer to an offer, at a place, for a side that could do `media`.
pub(crate) fn answer(
    at: &Place,
    media: &[MediaDescription],
    offer: &Description,
) -> Result<Description, AnswerError> {
    let mut media = media.to_vec();
    // WebRTC has it anyway; of plain RTP only who asks for it is told what arrives, and is sent
    // lost packets again in a stream of their own.
    let payloads = || offer.media.iter().flat_map(|line| &line.payloads);
    if payloads().any(|payload| payload.feedback.transport_cc) {
        media = media.into_iter().map(MediaDescription::with_transport_feedback).collect();
    }
    if offer.wants_retransmission() {
        let lines = media.into_iter().map(MediaDescription::with_retransmission).zip(0..);
        media = lines.map(|(line, index)| at.sending_again(line, index)).collect();
    }
    let answer = at.describe(media).answer(offer);
    let sound = |line: &&MediaDescription| line.kind == MediaKind::Audio && !line.rejected;
    match answer.media.iter().find(sound) {
        Some(_) => Ok(answer),
        None => Err(AnswerError::NoAudio),
    }
}

/// The platform's side of a negotiation in which it offered and the other side answered.
pub(crate) fn settle(
    offered: &Description,
    answer: &Description,
) -> Result<Description, AnswerError> {
    if offered.media.len() != answer.media.len() {
        return Err(AnswerError::Lines);
    }
    let mut ours = offered.clone();
    for (ours, theirs) in ours.media.iter_mut().zip(&answer.media) {
        if ours.kind != theirs.kind {
            return Err(AnswerError::Lines);
        }
        ours.rejected |= theirs.rejected;
        ours.direction = ours.direction.meet(theirs.direction);
        ours.payloads.retain(|payload| {
            theirs.payloads.iter().any(|other| other.codec.is_compatible(payload.codec))
        });
    }
    let sound = ours.media.iter().any(|line| {
        line.kind == MediaKind::Audio
            && !line.rejected
            && line.payloads.iter().any(|payload| payload.codec.is_audio())
    });
    if sound { Ok(ours) } else { Err(AnswerError::NoAudio) }
}

/// What the platform itself can do: sound, in every codec it knows.
pub(crate) fn service_hosted() -> Vec<MediaDescription> {
    vec![MediaDescription::audio("audio")]
}

/// What the mixer can do for somebody who describes this: every line, in every codec it
/// knows.
pub(crate) fn mixed(offer: &Description) -> Vec<MediaDescription> {
    let line = |line: &MediaDescription| match line.kind {
        MediaKind::Audio => Some(MediaDescription::audio(line.mid.clone())),
        MediaKind::Video => Some(MediaDescription::video(line.mid.clone())),
        MediaKind::ScreenSharing => Some(MediaDescription::screen_sharing(line.mid.clone())),
        MediaKind::Data => None,
    };
    // Of layers, all: who sees which of them is decided for each viewer.
    let layered = |offered: &MediaDescription| match &offered.simulcast {
        Some(Simulcast { sends: true, layers }) => {
            let takes = Simulcast { sends: false, layers: layers.clone() };
            Some(line(offered)?.with_simulcast(takes))
        }
        _ => line(offered),
    };
    offer.media.iter().filter_map(layered).collect()
}

/// The id of a participant's source, as rosters have it (`sourceId`) and the media of a
/// conference names who contributes to it: three for each participant.
pub(crate) const fn source_id(number: u64, kind: MediaKind) -> u32 {
    let offset = match kind {
        MediaKind::Audio | MediaKind::Data => 1,
        MediaKind::Video => 2,
        MediaKind::ScreenSharing => 3,
    };
    (number * 3 + offset) as u32
}

/// What the mixer offers to somebody who is asked in: sound, and what else is wanted.
pub(crate) fn offered(modalities: &[Modality]) -> Vec<MediaDescription> {
    let mut media = service_hosted();
    if modalities.contains(&Modality::Video) {
        media.push(MediaDescription::video("video"));
    }
    if modalities.contains(&Modality::VideoBasedScreenSharing) {
        media.push(MediaDescription::screen_sharing("screen"));
    }
    media
}

fn session_config(
    (local, remote): &Sides,
    purpose: Purpose,
    certificate: Option<&Certificate>,
) -> Config {
    let mut config = Config::new(local.clone(), remote.clone());
    config.output_rate = sound::RATE;
    if config.local.secure.is_some() {
        config.certificate = certificate.cloned();
    }
    match purpose {
        Purpose::Relay => {
            config.relay = true;
            config.decode = Decode::Nothing;
            // The sources announced to the peer are the other side's, not ours; what is lost of
            // them is sent again in streams of ours.
            for line in &mut config.local.media {
                line.ssrc = line.ssrc.filter(|_| line.retransmission_ssrc.is_some());
            }
        }
        Purpose::Terminate => {
            config.decode = Decode::Audio;
            config.in_band_tones = true;
        }
    }
    config
}

/// An address of the platform's that a leg takes, or gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddressChange {
    pub(crate) leg: LegId,
    pub(crate) address: SocketAddr,
    pub(crate) taken: bool,
}

/// A leg with a place, and a session once it has one.
#[derive(Debug)]
struct Attached {
    place: Place,
    open: Option<Box<Open>>,
}

/// A leg whose media flows.
#[derive(Debug)]
struct Open {
    session: Session,
    sides: Box<Sides>,
    purpose: Purpose,
    relay: Option<Arc<relay::Relay>>,
    doing: Option<Doing>,
    room: room::Told,
    /// When it wanted to be called again, as the owner knows it; not yet, or no longer.
    told: Option<Option<Instant>>,
}

impl Open {
    /// A session that relayed takes its media apart from now on, by the same transport.
    /// What it sends is its own: the sources that were announced were the other side's.
    fn retarget(
        &mut self,
        epoch: Epoch,
        certificate: Option<&Certificate>,
        seed: u64,
    ) -> Result<(), ConfigError> {
        let mut config = session_config(&self.sides, Purpose::Terminate, certificate);
        for line in &mut config.local.media {
            line.ssrc = None;
        }
        self.session.retarget(config, epoch, seed)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        earlier(self.session.poll_timeout(), self.doing.as_ref().map(Doing::next_tick))
    }
}

/// The legs that have media.
#[derive(Debug)]
pub(crate) struct Attachments {
    address: IpAddr,
    ports: RangeInclusive<u16>,
    is_free: fn(SocketAddr) -> bool,
    next_port: u16,
    legs: IdMap<LegId, Attached>,
    by_port: IdMap<u16, LegId>,
    shared: Shared,
    rooms: BTreeMap<ConversationId, conference::Room>,
    seated: BTreeMap<LegId, ConversationId>,
    outputs: VecDeque<Output>,
    /// Kept apart from the outputs: the owner learns of an address before a peer does.
    addresses: VecDeque<AddressChange>,
    /// On the way from one leg to another; keeps its memory between packets.
    passing: Vec<Relayed>,
    epoch: Epoch,
    sound_events: bool,
    packet_events: bool,
}

impl Attachments {
    /// `sound_events`: whether decoded sound is said as events as well.
    pub(crate) fn new(
        address: IpAddr,
        ports: RangeInclusive<u16>,
        epoch: Epoch,
        sound_events: bool,
    ) -> Self {
        let next_port = *ports.start();
        Self {
            address,
            ports,
            is_free: |_| true,
            next_port,
            legs: IdMap::default(),
            by_port: IdMap::default(),
            shared: Shared::default(),
            rooms: BTreeMap::new(),
            seated: BTreeMap::new(),
            outputs: VecDeque::new(),
            addresses: VecDeque::new(),
            passing: Vec::new(),
            epoch,
            sound_events,
            packet_events: false,
        }
    }

    /// The same, that asks whether nobody else has a port before it gives it away.
    pub(crate) fn with_port_check(self, is_free: fn(SocketAddr) -> bool) -> Self {
        Self { is_free, ..self }
    }

    /// The same, reached by WebRTC as well.
    pub(crate) fn with_webrtc(self, webrtc: Option<WebRtc>) -> Self {
        Self { shared: Shared::new(webrtc), ..self }
    }

    /// The same, with every packet that arrives said as an event if `said`.
    pub(crate) fn with_packet_events(self, said: bool) -> Self {
        Self { packet_events: said, ..self }
    }

    /// Whether somebody who describes this could be answered at all.
    pub(crate) fn check(&self, offer: &Description) -> Result<(), WebRtcError> {
        self.shared.check(offer)
    }

    /// Gives a leg a place where WebRTC legs are; `seed` decides on its credentials.
    pub(crate) fn allot_shared(&mut self, leg: LegId, seed: u64) -> Result<Place, WebRtcError> {
        let (place, _) = self.shared.take(leg, seed)?;
        self.release_port(leg);
        self.legs.insert(leg, Attached { place: place.clone(), open: None });
        Ok(place)
    }

    /// Gives a leg an address: the next port that is free, round and round, so that late
    /// packets of an old call do not meet a new one.
    pub(crate) fn allot(&mut self, leg: LegId) -> Result<Place, PortsExhausted> {
        let (first, last) = (*self.ports.start(), *self.ports.end());
        let after = |port: u16| if port == last { first } else { port + 1 };
        let address = core::iter::successors(Some(self.next_port), |port| Some(after(*port)))
            .take(usize::from(last - first) + 1)
            .filter(|port| !self.by_port.contains_key(port))
            .map(|port| SocketAddr::new(self.address, port))
            .take(PASSED_OVER_MAX)
            .find(|address| (self.is_free)(*address))
            .ok_or(PortsExhausted)?;
        self.next_port = after(address.port());
        let place = Place::of(leg, address);
        self.by_port.insert(address.port(), leg);
        self.legs.insert(leg, Attached { place: place.clone(), open: None });
        self.addresses.push_back(AddressChange { leg, address: place.address, taken: true });
        Ok(place)
    }

    /// Takes a leg's place back.
    pub(crate) fn release(&mut self, leg: LegId) {
        self.release_port(leg);
        self.shared.release(leg);
    }

    fn release_port(&mut self, leg: LegId) {
        let attached = self.legs.remove(&leg);
        if let Some(attached) = attached.filter(|attached| attached.place.secure.is_none()) {
            let address = attached.place.address;
            self.by_port.remove(&address.port());
            self.addresses.push_back(AddressChange { leg, address, taken: false });
        }
    }

    /// Whether what passes on a leg is told of in the clear from now on, pictures with a key
    /// frame soon; `false` if it has no media.
    pub(crate) fn set_capture(&mut self, now: Instant, leg: LegId, captures: bool) -> bool {
        let Some(open) = self.open_mut(leg) else { return false };
        open.session.set_capture(captures);
        if captures {
            self.ask_for_pictures(now, leg);
        }
        true
    }

    /// What a leg's session counted so far.
    pub(crate) fn stats(&self, leg: LegId) -> Option<Stats> {
        Some(self.legs.get(&leg)?.open.as_ref()?.session.stats())
    }

    /// A leg's place.
    pub(crate) fn place_of(&self, leg: LegId) -> Option<&Place> {
        self.legs.get(&leg).map(|attached| &attached.place)
    }

    /// How many sessions there are.
    pub(crate) fn sessions(&self) -> usize {
        self.legs.count(|attached| attached.open.is_some())
    }

    /// Opens a leg's session between our side and the peer's.
    pub(crate) fn open(
        &mut self,
        leg: LegId,
        sides: Sides,
        purpose: Purpose,
        seed: u64,
    ) -> Result<(), ConfigError> {
        let Some(attached) = self.legs.get_mut(&leg) else { return Ok(()) };
        let certificate = self.shared.certificate();
        let mut config = session_config(&sides, purpose, certificate);
        config.packet_events = self.packet_events;
        let session = Session::new(config, self.epoch, seed)?;
        let (sides, room) = (Box::new(sides), room::Told::default());
        attached.open = Some(Box::new(Open {
            session,
            sides,
            purpose,
            relay: None,
            doing: None,
            room,
            told: None,
        }));
        self.furnish(leg);
        Ok(())
    }

    /// What comes in on one of two legs goes out on the other, both ways.
    pub(crate) fn relay(&mut self, one: (LegId, &Sides), other: (LegId, &Sides)) {
        for ((from, from_sides), (to, to_sides)) in [(one, other), (other, one)] {
            if let Some(open) = self.open_mut(from) {
                open.relay = Some(Arc::new(relay::Relay::new(to, from_sides, to_sides)));
            }
        }
    }

    fn open_mut(&mut self, leg: LegId) -> Option<&mut Open> {
        self.legs.get_mut(&leg)?.open.as_deref_mut()
    }

    /// Ends a leg's session, if it has one, and takes its address and its seat back.
    pub(crate) fn close(&mut self, now: Instant, leg: LegId) {
        self.unseat(leg);
        if let Some(open) = self.open_mut(leg) {
            open.session.close(now);
            self.pump(now, leg);
            if let Some(open) = self.open_mut(leg) {
                let stats = Box::new(open.session.stats());
                self.outputs.push_back(Output::Event(leg, Event::Ended(stats)));
            }
        }
        self.release(leg);
    }

    /// Hands a datagram to the leg at its destination; says which one that is.
    pub(crate) fn handle_datagram(&mut self, now: Instant, datagram: Datagram) -> Option<LegId> {
        let leg = match self.shared.route(&datagram) {
            Some(found) => found?,
            None => self.by_port.get(&datagram.destination.port()).copied()?,
        };
        let open = self.open_mut(leg)?;
        open.session.handle_input(now, Input::Datagram(datagram));
        self.pump(now, leg);
        Some(leg)
    }

    /// The moment that a leg asked for has come.
    pub(crate) fn handle_timeout(&mut self, now: Instant, leg: LegId) {
        let Some(open) = self.open_mut(leg) else { return };
        open.told = None;
        if open.session.poll_timeout().is_some_and(|at| at <= now) {
            open.session.handle_input(now, Input::Timeout);
        }
        self.tick(now, leg);
        self.pump(now, leg);
    }

    /// When a leg wants to be called again, if that is something else than when it was asked
    /// last: it mostly is not, after a packet.
    pub(crate) fn moved(&mut self, leg: LegId) -> Option<Option<Instant>> {
        let Some(open) = self.open_mut(leg) else { return Some(None) };
        let at = open.poll_timeout();
        (open.told.replace(at) != Some(at)).then_some(at)
    }

    /// The next address that was taken or given back.
    pub(crate) fn poll_address(&mut self) -> Option<AddressChange> {
        self.addresses.pop_front()
    }

    /// The next thing to be done.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Plays sounds to a leg, one after the other.
    pub(crate) fn play(&mut self, now: Instant, leg: LegId, sounds: Vec<Wav>, repeat: bool) {
        let doing = Doing::play(now, sounds, repeat).map_err(|error| error.to_string());
        self.set_doing(now, leg, doing);
    }

    /// Plays a sound to a leg, then records it.
    pub(crate) fn record(
        &mut self,
        now: Instant,
        leg: LegId,
        prompt: Option<Wav>,
        rules: recorder::Config,
    ) {
        let doing = Doing::record(now, prompt, rules).map_err(|error| error.to_string());
        self.set_doing(now, leg, doing);
    }

    fn set_doing(&mut self, now: Instant, leg: LegId, doing: Result<Doing, String>) {
        match (self.doing_slot(now, leg), doing) {
            (Some(slot), Ok(doing)) => *slot = Some(doing),
            (_, doing) => {
                let reason = doing.err().unwrap_or_else(|| "the leg has no media".to_owned());
                self.outputs.push_back(Output::Event(leg, Event::Failed(reason)));
            }
        }
    }

    /// Stops what a leg plays or records.
    pub(crate) fn stop(&mut self, now: Instant, leg: LegId) {
        if let Some(slot) = self.doing_slot(now, leg) {
            *slot = None;
        }
    }

    /// A key was pressed on a leg: a recording may end with it.
    pub(crate) fn key_pressed(&mut self, now: Instant, leg: LegId, tone: &Tone) {
        let tone = tone.code().and_then(dtmf::Tone::from_code);
        let ended = self.doing_slot(now, leg).and_then(|slot| {
            let ended = slot.as_mut()?.key_pressed(tone?)?;
            *slot = None;
            Some(ended)
        });
        if let Some(event) = ended {
            self.outputs.push_back(Output::Event(leg, event));
        }
    }

    /// Presses a key towards a leg, or from a bot's seat towards everybody in the room.
    pub(crate) fn send_tone(&mut self, now: Instant, leg: LegId, tone: &Tone, length: Duration) {
        let Some(tone) = tone.code().and_then(dtmf::Tone::from_code) else { return };
        let listeners = match self.seated.contains_key(&leg) {
            true => self.others(leg),
            false => vec![leg],
        };
        for leg in listeners {
            if let Some(open) = self.open_mut(leg) {
                // Without telephone events there is no way to say it; the queue goes on.
                let _ = open.session.send_tone(now, tone, length);
                self.pump(now, leg);
                self.outputs.push_back(Output::Moved(leg));
            }
        }
    }

    /// 20 ms of what a leg plays or records.
    fn tick(&mut self, now: Instant, leg: LegId) {
        let Some(open) = self.open_mut(leg) else { return };
        let Some(doing) = open.doing.as_mut() else { return };
        let mut event = None;
        while doing.next_tick() <= now {
            match doing.tick() {
                Tick::Frame => {
                    // Nothing can be sent where the peer does not listen; time goes on.
                    let _ = doing.send(now, &mut open.session);
                }
                Tick::Nothing => {}
                Tick::Done(done) => {
                    event = Some(done);
                    break;
                }
            }
        }
        if let Some(event) = event {
            open.doing = None;
            self.outputs.push_back(Output::Event(leg, event));
        }
    }

    /// Passes on what a leg's session has to say, and what it relays.
    fn pump(&mut self, now: Instant, leg: LegId) {
        let sound_events = self.sound_events;
        let Some(open) = self.legs.get_mut(&leg).and_then(|a| a.open.as_deref_mut()) else {
            return;
        };
        let room = self.seated.get(&leg).copied();
        let mut room = room.and_then(|id| Some((id, self.rooms.get_mut(&id)?)));
        let (mut asked, mut pictures, mut connected) = (Vec::new(), Vec::new(), false);
        let mut carries = None;
        while let Some(output) = open.session.poll_output() {
            match output {
                SessionOutput::Datagram(datagram) => {
                    self.outputs.push_back(Output::Datagram(datagram));
                }
                SessionOutput::Event(MediaEvent::Audio(audio)) => {
                    if let Some((id, room)) = room.as_mut() {
                        if room.hear(now, leg, &audio) {
                            self.outputs.push_back(Output::RoomMoved(*id));
                        }
                    } else if let Some(doing) = open.doing.as_mut() {
                        doing.hear(&audio);
                    }
                    if sound_events {
                        let event = Event::Session(MediaEvent::Audio(audio));
                        self.outputs.push_back(Output::Event(leg, event));
                    } else {
                        open.session.recycle(audio);
                    }
                }
                SessionOutput::Event(event) => {
                    if room.is_some() && conference::is_about_pictures(&event) {
                        pictures.push(event.clone());
                    }
                    match &event {
                        MediaEvent::KeyFrameRequested { ssrc } => asked.push(*ssrc),
                        MediaEvent::BandwidthEstimated { bits_per_second } => {
                            carries = Some(*bits_per_second);
                        }
                        MediaEvent::Tone(tone) => {
                            if let Some(tone) = Tone::from_code(tone.tone.code()) {
                                let event = Event::Tone(tone);
                                self.outputs.push_back(Output::Event(leg, event));
                            }
                        }
                        MediaEvent::Transport(event) => {
                            self.shared.hear(leg, *event);
                            connected |= matches!(event, TransportEvent::Connected { .. });
                            if let TransportEvent::Closed { reason } = event {
                                self.outputs.push_back(Output::Event(leg, Event::Lost(*reason)));
                            }
                        }
                        _ => {}
                    }
                    self.outputs.push_back(Output::Event(leg, Event::Session(event)));
                }
            }
        }
        while let Some(packet) = open.session.poll_packet() {
            self.passing.push(packet);
        }
        let relay = match self.passing.is_empty() && asked.is_empty() {
            true => None,
            false => open.relay.clone(),
        };
        for event in pictures {
            self.picture_said(now, leg, &event);
        }
        if connected {
            self.begin_to_see(now, leg);
        }
        if let Some(bits) = carries {
            self.tell_sources(now, leg, bits);
        }
        match relay {
            Some(relay) => self.pass_on(now, leg, &relay, &asked),
            // Nobody listens, as during a transfer: nothing is kept for later.
            None => self.passing.clear(),
        }
    }

    /// Sends what the other leg of a relay has to send; its packets wait for its own turn.
    fn pump_sent(&mut self, leg: LegId) {
        let Some(open) = self.legs.get_mut(&leg).and_then(|a| a.open.as_deref_mut()) else {
            return;
        };
        while let Some(output) = open.session.poll_output() {
            self.outputs.push_back(match output {
                SessionOutput::Datagram(datagram) => Output::Datagram(datagram),
                SessionOutput::Event(event) => Output::Event(leg, Event::Session(event)),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_allotted_round_and_round_and_end() {
        let address = IpAddr::from([127, 0, 0, 1]);
        let mut attachments = Attachments::new(address, 10..=12, Epoch::default(), false);
        let leg = LegId::from_u128;
        let port = |a: &mut Attachments, n| a.allot(leg(n)).map(|place| place.address.port());
        assert_eq!(port(&mut attachments, 1), Ok(10));
        assert_eq!(port(&mut attachments, 2), Ok(11));
        attachments.release(leg(1));
        assert_eq!(port(&mut attachments, 3), Ok(12));
        assert_eq!(port(&mut attachments, 4), Ok(10));
        assert_eq!(port(&mut attachments, 5), Err(PortsExhausted));
        // Odd ports are somebody else's.
        let attachments = Attachments::new(address, 10..=13, Epoch::default(), false);
        let mut attachments = attachments.with_port_check(|address| address.port() % 2 == 0);
        assert_eq!(port(&mut attachments, 1), Ok(10));
        assert_eq!(port(&mut attachments, 2), Ok(12));
        assert_eq!(port(&mut attachments, 3), Err(PortsExhausted));
    }

    #[test]
    fn an_answer_that_shares_no_sound_is_refused() {
        use callrig_media::description::{Codec, Payload};
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let at = Place::plain(address);
        let pcma = MediaDescription::audio("0").with_payloads(vec![Payload::new(8, Codec::Pcma)]);
        let pcmu = MediaDescription::audio("0").with_payloads(vec![Payload::new(0, Codec::Pcmu)]);
        let offer = Description::new(address, vec![pcmu]);
        assert_eq!(answer(&at, &[pcma], &offer), Err(AnswerError::NoAudio));
        assert!(answer(&at, &service_hosted(), &offer).is_ok());
    }

    #[test]
    fn what_was_offered_is_settled_by_the_answer() {
        let at = SocketAddr::from(([127, 0, 0, 1], 1));
        let offered = Description::new(at, service_hosted());
        let mut theirs = offered.clone();
        theirs.media[0].payloads.truncate(1);
        let settled = settle(&offered, &theirs).expect("Opus is left");
        assert_eq!(settled.media[0].payloads.len(), 1);
        theirs.media.clear();
        assert_eq!(settle(&offered, &theirs), Err(AnswerError::Lines));
    }
}
