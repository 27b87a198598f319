//! Rooms: where the media of a conference meets. The sound of every seat is decoded once, unless
//! its header says that louder voices drown it, added up every 20 ms, and everybody hears all but
//! themselves (N−1), or speakers [`apart`].
//! Pictures are passed on ([`pictures`]). A bot with service-hosted media has a seat without a
//! session: what it plays goes into the mix, what it records comes out of it.

mod apart;
mod layers;
mod pictures;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use callrig_media::audio::level::Level as Loudness;
use callrig_media::audio::mixer::{Config, Mixer};
use callrig_media::audio::{Audio, FRAME, Kind, frame_samples};
use callrig_media::prompt::{Player, Wav};
use callrig_media::rtp::Csrcs;
use callrig_media::session::{Broadcast, Showing};
use callrig_media::time::Instant;

use super::sound::{Doing, RATE, Tick};
use super::{Attachments, Event, Output};
use crate::fault::{self, Fault};
use crate::id::{ConversationId, LegId};
use apart::{Apart, Voices, sound_lines};
pub(super) use pictures::is_about_pictures;

/// How many are heard at once.
const SPEAKERS_MAX: usize = 4;

/// Sound that its sender says to be this quiet, in −dBov, is not decoded: nobody would hear it.
const UNHEARD: u8 = 90;

/// How much quieter sound may be than what would be heard, in power, and is decoded all the same:
/// what a header says of it is not exact, and was said a moment before. 3 dB.
const DOUBT: f64 = 2.0;

/// As loud as sound can be: nothing is louder.
const EVERYTHING: u8 = 0;

/// Frames of a seat that may wait; clocks that drift apart cost one now and then.
const WAITING_MAX: usize = 4;

/// Samples of 20 ms.
const SAMPLES: usize = frame_samples(RATE);

/// What a listener hears of whom, in percent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Level {
    /// Nobody but these.
    pub(crate) exclusive: bool,
    /// Who, how loud.
    pub(crate) sources: Vec<(LegId, u32)>,
}

/// Who hears whom where that is not everybody everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Routing {
    /// Who is not in the default group.
    pub(crate) apart: BTreeSet<LegId>,
    /// Sources and receivers of the other groups.
    pub(crate) groups: Vec<(Vec<LegId>, Vec<LegId>)>,
    /// Levels by listener.
    pub(crate) levels: BTreeMap<LegId, Level>,
}

impl Routing {
    fn is_empty(&self) -> bool {
        self.apart.is_empty() && self.groups.is_empty() && self.levels.is_empty()
    }

    /// How loud a listener hears a source, in percent.
    fn gain(&self, listener: LegId, source: LegId) -> u32 {
        if let Some(level) = self.levels.get(&listener) {
            let named = level.sources.iter().find(|(leg, _)| *leg == source);
            match named {
                Some((_, percent)) => return *percent,
                None if level.exclusive => return 0,
                None => {}
            }
        }
        let by_default = !self.apart.contains(&listener) && !self.apart.contains(&source);
        let by_group = || {
            self.groups.iter().any(|(sources, receivers)| {
                sources.contains(&source) && receivers.contains(&listener)
            })
        };
        if by_default || by_group() { 100 } else { 0 }
    }
}

/// What one in a room says in 20 ms.
#[derive(Debug)]
struct Frame {
    leg: LegId,
    /// In the mixer.
    key: u64,
    samples: Vec<i16>,
}

/// One who is in a room.
#[derive(Debug)]
pub(super) struct Seat {
    /// In the mixer: the number of the participant.
    key: u64,
    /// The lines of sound that it listens on.
    sounds: Vec<usize>,
    /// Heard, and not mixed yet.
    heard: VecDeque<Vec<i16>>,
    /// What a service-hosted bot plays or records.
    pub(super) doing: Option<Doing>,
    /// Not heard by the others.
    silenced: bool,
    /// Hears this instead of the others, who do not hear it.
    music: Option<Box<Player>>,
    /// What it shows and sees.
    pictures: pictures::Seat,
}

/// Where the media of a conference meets.
#[derive(Debug)]
pub(super) struct Room {
    mixer: Mixer,
    pub(super) seats: BTreeMap<LegId, Seat>,
    stages: [pictures::Stage; 2],
    next_tick: Option<Instant>,
    routing: Option<Box<Routing>>,
    /// What was mixed last; only where not everybody hears the same.
    mixed: Vec<Frame>,
    /// Memory of frames that were mixed.
    spare: Vec<Vec<i16>>,
    /// What all hear who do not speak.
    broadcast: Broadcast,
    /// What all see who see the same.
    showing: Showing,
    voices: Voices,
    /// The speakers apart from each other, where anybody wants that.
    apart: Option<Box<Apart>>,
}

impl Room {
    fn new() -> Self {
        Self {
            mixer: Mixer::new(Config { frame: SAMPLES, speakers_max: SPEAKERS_MAX }),
            seats: BTreeMap::new(),
            stages: Default::default(),
            next_tick: None,
            routing: None,
            mixed: Vec::new(),
            spare: Vec::new(),
            broadcast: Broadcast::new(RATE),
            showing: Showing::default(),
            voices: Voices::default(),
            apart: None,
        }
    }

    /// Takes 20 ms of a seat's sound; says whether the room wakes up for it.
    pub(super) fn hear(&mut self, now: Instant, leg: LegId, audio: &Audio) -> bool {
        // Silence that nobody sent keeps no room awake.
        let is_nothing = matches!(audio.kind, Kind::Silence | Kind::Drowned);
        if is_nothing || audio.samples.len() != SAMPLES {
            return false;
        }
        let Some(seat) = self.seats.get_mut(&leg) else { return false };
        if seat.heard.len() >= WAITING_MAX
            && let Some(oldest) = seat.heard.pop_front()
        {
            self.spare.push(oldest);
        }
        let mut frame = self.spare.pop().unwrap_or_default();
        frame.clear();
        frame.extend_from_slice(&audio.samples);
        seat.heard.push_back(frame);
        self.wake(now + FRAME)
    }

    fn wake(&mut self, at: Instant) -> bool {
        let wakes = self.next_tick.is_none();
        if wakes {
            self.next_tick = Some(at);
        }
        wakes
    }

    /// Takes a seat's frames into the mix, and goes on with what it plays. Says whether
    /// there is anything that somebody could hear.
    fn gather(&mut self, now: Instant, outputs: &mut VecDeque<Output>) -> bool {
        let mut anything = false;
        self.spare.extend(self.mixed.drain(..).map(|frame| frame.samples));
        for (leg, seat) in &mut self.seats {
            anything |= seat.music.is_some();
            if let Some(done) = seat.go_on(now, &mut self.spare) {
                seat.doing = None;
                outputs.push_back(Output::Event(*leg, done));
            }
            anything |= seat.doing.is_some();
            let Some(frame) = seat.heard.pop_front() else { continue };
            anything = true;
            if !seat.silenced && seat.music.is_none() {
                // Its size is the mixer's, and it is the seat's only frame.
                let _ = self.mixer.push(seat.key, &frame);
                if self.routing.is_some() || self.apart.is_some() {
                    self.mixed.push(Frame { leg: *leg, key: seat.key, samples: frame });
                    continue;
                }
            }
            self.spare.push(frame);
        }
        anything
    }

    /// What a listener hears where not everybody hears everybody: of the speakers, those
    /// that are routed to it.
    fn routed(&self, routing: &Routing, listener: LegId) -> Vec<i16> {
        let mut sum = vec![0_i32; SAMPLES];
        for Frame { leg, key, samples } in &self.mixed {
            if *leg == listener || !self.mixer.speaks(*key) {
                continue;
            }
            let gain = routing.gain(listener, *leg) as i32;
            for (sum, sample) in sum.iter_mut().zip(samples) {
                *sum += i32::from(*sample) * gain / 100;
            }
        }
        let clip = |sum: i32| sum.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
        sum.into_iter().map(clip).collect()
    }

    /// Whose voices a listener is told of where not everybody hears everybody.
    fn routed_voices(&self, routing: &Routing, listener: LegId) -> Csrcs {
        self.voices.routed(|key| {
            let mixed = self.mixed.iter().find(|frame| frame.key == key);
            mixed
                .is_some_and(|frame| frame.leg != listener && routing.gain(listener, frame.leg) > 0)
        })
    }

    /// Adds up what was gathered.
    fn mix(&mut self) {
        self.mixer.mix();
        self.broadcast.set(self.mixer.shared());
        self.voices.listen(&self.mixer);
        if let Some(apart) = &mut self.apart {
            apart.listen(&self.voices, &self.mixed);
        }
    }

    /// What need not be decoded of those who are not heard, in −dBov: what is quieter.
    fn drowned(&self) -> Option<u8> {
        self.mixer.floor().map(|floor| Loudness::of_power(floor / DOUBT).minus_dbov())
    }

    /// Whether anybody wants to hear speakers apart from each other.
    fn look_for_apart(&mut self) {
        let wanted = self.seats.values().any(|seat| seat.sounds.len() > 1);
        match (wanted, &self.apart) {
            (true, None) => self.apart = Some(Box::default()),
            (false, Some(_)) => self.apart = None,
            _ => {}
        }
    }
}

impl Seat {
    fn new(key: u64) -> Self {
        Self {
            key,
            sounds: Vec::new(),
            heard: VecDeque::new(),
            doing: None,
            silenced: false,
            music: None,
            pictures: pictures::Seat::default(),
        }
    }

    /// What need not be decoded of it, where `drowned` need not of those who are not heard.
    const fn drowned(&self, drowned: Option<u8>, speaks: bool) -> Option<u8> {
        match speaks {
            _ if self.silenced || self.music.is_some() => Some(EVERYTHING),
            true => None,
            false => drowned,
        }
    }

    /// Goes on with what the bot plays or records, by as much as time has passed.
    fn go_on(&mut self, now: Instant, spare: &mut Vec<Vec<i16>>) -> Option<Event> {
        let doing = self.doing.as_mut()?;
        while doing.next_tick() <= now {
            match doing.tick() {
                Tick::Frame if self.heard.len() < WAITING_MAX => {
                    let mut frame = spare.pop().unwrap_or_default();
                    frame.clear();
                    frame.extend_from_slice(doing.frame());
                    self.heard.push_back(frame);
                }
                Tick::Frame | Tick::Nothing => {}
                Tick::Done(event) => return Some(event),
            }
        }
        None
    }
}

impl Attachments {
    /// A leg takes its place in a room, which is made for the first. A session that
    /// relayed takes its media apart from now on.
    pub(crate) fn seat(
        &mut self,
        now: Instant,
        leg: LegId,
        room: ConversationId,
        key: u64,
        seed: u64,
    ) -> Result<(), callrig_media::session::ConfigError> {
        self.take_apart(leg, seed)?;
        if let Some(open) = self.open_mut(leg) {
            open.session.set_unheard(Some(UNHEARD));
        }
        let held = self.rooms.entry(room).or_insert_with(Room::new);
        held.seats.insert(leg, Seat::new(key));
        self.seated.insert(leg, room);
        self.furnish(leg);
        self.look_around(now, room);
        Ok(())
    }

    /// Looks at what somebody in a room listens on and sees.
    pub(super) fn furnish(&mut self, leg: LegId) {
        let Some(id) = self.seated.get(&leg) else { return };
        let local = self.legs.get(&leg).and_then(|held| Some(&held.open.as_ref()?.sides.0));
        let Some(room) = self.rooms.get_mut(id) else { return };
        if let (Some(seat), Some(local)) = (room.seats.get_mut(&leg), local) {
            seat.sounds = sound_lines(local);
            seat.pictures.see_on(local);
        }
        room.look_for_apart();
    }

    /// What a person's leg was played or recorded by a bot goes on in the bot's seat.
    pub(crate) fn take_over(&mut self, now: Instant, from: LegId, to: LegId) {
        let Some(doing) = self.open_mut(from).and_then(|open| open.doing.take()) else { return };
        if let Some(slot) = self.doing_slot(now, to) {
            *slot = Some(doing);
        }
    }

    /// A leg leaves its room; the last one takes the room with it.
    pub(super) fn unseat(&mut self, leg: LegId) {
        let Some(id) = self.seated.remove(&leg) else { return };
        if let Some(open) = self.open_mut(leg) {
            open.session.set_unheard(None);
            open.session.set_drowned(None);
        }
        let Some(room) = self.rooms.get_mut(&id) else { return };
        if let Some(seat) = room.seats.remove(&leg) {
            room.mixer.remove(seat.key);
        }
        room.forget_pictures(leg);
        room.look_for_apart();
        if room.seats.is_empty() {
            self.rooms.remove(&id);
        }
        self.outputs.push_back(Output::RoomMoved(id));
    }

    fn seat_mut(&mut self, leg: LegId) -> Option<&mut Seat> {
        self.rooms.get_mut(self.seated.get(&leg)?)?.seats.get_mut(&leg)
    }

    /// Whether the others hear a leg.
    pub(crate) fn silence(&mut self, leg: LegId, silenced: bool) {
        if let Some(seat) = self.seat_mut(leg) {
            seat.silenced = silenced;
        }
        // The room may be asleep.
        if let Some(open) = self.open_mut(leg) {
            open.session.set_drowned(silenced.then_some(EVERYTHING));
        }
    }

    /// A leg hears music and nothing else, and is not heard; `None` ends that.
    pub(crate) fn set_music(&mut self, now: Instant, leg: LegId, music: Option<Wav>) {
        let player = music.and_then(|wav| Player::new(vec![wav], true, RATE).ok());
        let plays = player.is_some();
        if let Some(seat) = self.seat_mut(leg) {
            seat.music = player.map(Box::new);
        }
        if plays && let Some(id) = self.seated.get(&leg).copied() {
            self.wake(now, id);
        }
    }

    /// Who hears whom, beside and instead of everybody everybody.
    pub(crate) fn set_routing(&mut self, id: ConversationId, routing: Routing) {
        if let Some(room) = self.rooms.get_mut(&id) {
            room.routing = (!routing.is_empty()).then(|| Box::new(routing));
        }
    }

    fn wake(&mut self, now: Instant, id: ConversationId) {
        if self.rooms.get_mut(&id).is_some_and(|room| room.wake(now)) {
            self.outputs.push_back(Output::RoomMoved(id));
        }
    }

    /// Where what a bot plays or records to a leg is kept: with the leg's session, or for
    /// a bot in a room with its seat.
    pub(super) fn doing_slot(&mut self, now: Instant, leg: LegId) -> Option<&mut Option<Doing>> {
        match self.seated.get(&leg).copied() {
            Some(id) => {
                self.wake(now, id);
                Some(&mut self.seat_mut(leg)?.doing)
            }
            None => Some(&mut self.open_mut(leg)?.doing),
        }
    }

    /// The others in a leg's room.
    pub(super) fn others(&self, leg: LegId) -> Vec<LegId> {
        let room = self.seated.get(&leg).and_then(|id| self.rooms.get(id));
        let seats = room.into_iter().flat_map(|room| room.seats.keys());
        seats.copied().filter(|other| *other != leg).collect()
    }

    /// When a room wants to be called again.
    pub(crate) fn room_timeout(&self, id: ConversationId) -> Option<Instant> {
        self.rooms.get(&id)?.next_tick
    }

    /// 20 ms of a room.
    pub(crate) fn handle_room_timeout(&mut self, now: Instant, id: ConversationId) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let Some(at) = room.next_tick.filter(|at| *at <= now) else { return };
        // After a pause of its owner's the room does not catch up: sound is of now.
        room.next_tick = Some((at + FRAME).max(now + Duration::from_millis(1)));
        let is_over = !room.gather(now, &mut self.outputs);
        if is_over {
            room.next_tick = None;
        } else {
            room.mix();
        }
        // A room that sleeps wakes up for whatever is said.
        let drowned = room.drowned().filter(|_| !is_over);
        for (leg, seat) in &room.seats {
            let open = self.legs.get_mut(leg).and_then(|attached| attached.open.as_deref_mut());
            if let Some(open) = open {
                open.session.set_drowned(seat.drowned(drowned, room.mixer.speaks(seat.key)));
            }
        }
        if is_over {
            return;
        }
        let mut routed = BTreeMap::new();
        if let Some(routing) = room.routing.as_deref() {
            let hears =
                |leg: &LegId| (room.routed(routing, *leg), room.routed_voices(routing, *leg));
            routed.extend(room.seats.keys().map(|leg| (*leg, hears(leg))));
        }
        let mut moved = Vec::new();
        for (leg, seat) in &mut room.seats {
            let open = self.legs.get_mut(leg).and_then(|attached| attached.open.as_deref_mut());
            let own = match routed.get(leg) {
                Some((sound, _)) => Some(sound.as_slice()),
                None => room.mixer.without(seat.key),
            };
            let sound = own.unwrap_or_else(|| room.mixer.shared());
            if let Some(doing) = seat.doing.as_mut().filter(|doing| doing.listens()) {
                doing.hear(&Audio {
                    samples: sound.to_vec(),
                    rate: RATE,
                    channels: 1,
                    kind: Kind::Played,
                    ..Audio::default()
                });
            }
            let Some(open) = open.filter(|_| !fault::is(Fault::MixNeverSent)) else { continue };
            if let Some(line) = seat.sounds.first() {
                let voices = match (&seat.music, routed.get(leg)) {
                    (Some(_), _) => Csrcs::default(),
                    (None, Some((_, voices))) => voices.clone(),
                    (None, None) => room.voices.heard_by(seat.key),
                };
                open.session.set_contributors(*line, &voices);
            }
            // Nothing can be sent where the peer does not listen; time goes on.
            let _ = match seat.music.as_mut() {
                Some(player) => {
                    let mut audio = Audio::default();
                    player.pull(&mut audio);
                    open.session.send_audio(now, &audio.samples)
                }
                None if own.is_some() => open.session.send_audio(now, sound),
                None => open.session.send_broadcast(now, &mut room.broadcast),
            };
            if let Some(apart) = room.apart.as_deref_mut().filter(|_| seat.music.is_none()) {
                let lines = seat.sounds.get(1..).unwrap_or_default();
                apart.tell(now, (*leg, lines), room.routing.as_deref(), &mut open.session);
            }
            moved.push(*leg);
        }
        if room.direct() {
            self.look_around(now, id);
        }
        for leg in moved {
            self.pump_sent(leg);
            self.outputs.push_back(Output::Moved(leg));
        }
    }
}
