//! Rooms: where the media of a conference meets. The sound of every seat is decoded once,
//! added up every 20 ms, and everybody hears all but themselves (N−1). The camera of who
//! speaks, or of who came first, and the screen that was shared last are cut into packets
//! anew for everybody else; a change of source waits for a key frame. A bot with
//! service-hosted media has a seat without a session: what it plays goes into the mix,
//! what it records comes out of it.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use callrig_media::audio::mixer::{Config, Mixer};
use callrig_media::audio::{Audio, FRAME, Kind, frame_samples};
use callrig_media::description::{Description, MediaKind};
use callrig_media::event::Event as MediaEvent;
use callrig_media::prompt::{Player, Wav};
use callrig_media::time::Instant;
use callrig_media::video::Frame;

use super::sound::{Doing, RATE, Tick};
use super::{Attached, Attachments, Event, Output};
use crate::id::{ConversationId, LegId};

/// How many are heard at once.
const SPEAKERS_MAX: usize = 4;

/// Frames of a seat that may wait; clocks that drift apart cost one now and then.
const WAITING_MAX: usize = 4;

/// Samples of 20 ms.
const SAMPLES: usize = frame_samples(RATE);

/// Ticks of the RTP clock of video in a millisecond.
const VIDEO_TICKS_PER_MS: u32 = 90;

/// The kinds of pictures that a room passes on.
const PICTURES: [MediaKind; 2] = [MediaKind::Video, MediaKind::ScreenSharing];

fn index_of(kind: MediaKind) -> Option<usize> {
    PICTURES.iter().position(|known| *known == kind)
}

/// Whether a room makes anything of what a session says.
pub(super) const fn is_about_pictures(event: &MediaEvent) -> bool {
    matches!(
        event,
        MediaEvent::StreamStarted(_)
            | MediaEvent::StreamEnded { .. }
            | MediaEvent::Frame(_)
            | MediaEvent::KeyFrameRequested { .. }
    )
}

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

/// One who is in a room.
#[derive(Debug)]
pub(super) struct Seat {
    /// In the mixer.
    key: u64,
    /// Heard, and not mixed yet.
    heard: VecDeque<Vec<i16>>,
    /// What a service-hosted bot plays or records.
    pub(super) doing: Option<Doing>,
    /// Not heard by the others.
    silenced: bool,
    /// Hears this instead of the others, who do not hear it.
    music: Option<Box<Player>>,
    /// Its streams of pictures: source and kind.
    streams: Vec<(u32, MediaKind)>,
}

/// Whose pictures of one kind everybody sees.
#[derive(Debug, Default)]
struct Stage {
    shown: Option<LegId>,
    /// Will be shown from its next key frame on.
    wanted: Option<LegId>,
    /// What is added to the timestamps of who is shown.
    offset: u32,
    /// The last timestamp that went out, and when.
    last: Option<(u32, Instant)>,
}

/// Where the media of a conference meets.
#[derive(Debug)]
pub(super) struct Room {
    mixer: Mixer,
    pub(super) seats: BTreeMap<LegId, Seat>,
    stages: [Stage; 2],
    next_tick: Option<Instant>,
    routing: Option<Box<Routing>>,
    /// What was mixed last, by whom; only where not everybody hears everybody.
    mixed: Vec<(LegId, u64, Vec<i16>)>,
    /// Memory of frames that were mixed.
    spare: Vec<Vec<i16>>,
}

impl Room {
    fn new() -> Self {
        Self {
            mixer: Mixer::new(Config { frame: SAMPLES, speakers_max: SPEAKERS_MAX }),
            seats: BTreeMap::new(),
            stages: [Stage::default(), Stage::default()],
            next_tick: None,
            routing: None,
            mixed: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Takes 20 ms of a seat's sound; says whether the room wakes up for it.
    pub(super) fn hear(&mut self, now: Instant, leg: LegId, audio: &Audio) -> bool {
        // Silence that nobody sent keeps no room awake.
        if audio.kind == Kind::Silence || audio.samples.len() != SAMPLES {
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
        self.spare.extend(self.mixed.drain(..).map(|(_, _, frame)| frame));
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
                if self.routing.is_some() {
                    self.mixed.push((*leg, seat.key, frame));
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
        for (source, key, frame) in &self.mixed {
            if *source == listener || !self.mixer.speakers().any(|speaker| speaker == *key) {
                continue;
            }
            let gain = routing.gain(listener, *source) as i32;
            for (sum, sample) in sum.iter_mut().zip(frame) {
                *sum += i32::from(*sample) * gain / 100;
            }
        }
        let clip = |sum: i32| sum.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
        sum.into_iter().map(clip).collect()
    }

    /// Who speaks is shown, if there is anything to show.
    fn direct(&mut self) -> Option<LegId> {
        let speaker = self.mixer.speakers().next()?;
        let (leg, seat) = self.seats.iter().find(|(_, seat)| seat.key == speaker)?;
        let has_camera = seat.streams.iter().any(|(_, kind)| *kind == MediaKind::Video);
        let stage = &mut self.stages[0];
        let is_new = has_camera && stage.shown != Some(*leg) && stage.wanted != Some(*leg);
        is_new.then(|| {
            stage.wanted = Some(*leg);
            *leg
        })
    }
}

impl Seat {
    fn new(key: u64) -> Self {
        Self {
            key,
            heard: VecDeque::new(),
            doing: None,
            silenced: false,
            music: None,
            streams: Vec::new(),
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

impl Stage {
    /// The timestamp under which a frame of who is shown goes out.
    fn stamp(&mut self, now: Instant, timestamp: u32, is_new: bool) -> u32 {
        if let (true, Some((last, at))) = (is_new, self.last) {
            let passed = now.since(at).as_millis().min(u128::from(u32::MAX)) as u32;
            let next = last.wrapping_add(passed.max(1).wrapping_mul(VIDEO_TICKS_PER_MS));
            self.offset = next.wrapping_sub(timestamp);
        }
        let stamped = timestamp.wrapping_add(self.offset);
        self.last = Some((stamped, now));
        stamped
    }
}

/// The line of a description on which pictures of a kind can be sent to its peer.
fn line_for(local: &Description, kind: MediaKind) -> Option<usize> {
    local
        .media
        .iter()
        .position(|line| line.kind == kind && !line.rejected && line.direction.sends())
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
        let held = self.rooms.entry(room).or_insert_with(Room::new);
        held.seats.insert(leg, Seat::new(key));
        self.seated.insert(leg, room);
        // Who comes in sees nothing before the next key frame.
        for kind in PICTURES {
            if let Some(shown) = self.shown(room, kind) {
                self.ask_for_key_frame(now, shown, kind);
            }
        }
        Ok(())
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
        let Some(room) = self.rooms.get_mut(&id) else { return };
        if let Some(seat) = room.seats.remove(&leg) {
            room.mixer.remove(seat.key);
        }
        for stage in &mut room.stages {
            stage.shown = stage.shown.filter(|shown| *shown != leg);
            stage.wanted = stage.wanted.filter(|wanted| *wanted != leg);
        }
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
        if !room.gather(now, &mut self.outputs) {
            room.next_tick = None;
            return;
        }
        room.mixer.mix();
        let mut routed = BTreeMap::new();
        if let Some(routing) = room.routing.as_deref() {
            routed.extend(room.seats.keys().map(|leg| (*leg, room.routed(routing, *leg))));
        }
        let mut moved = Vec::new();
        for (leg, seat) in &mut room.seats {
            let open = self.legs.get_mut(leg).and_then(|attached| attached.open.as_deref_mut());
            let sound = match routed.get(leg) {
                Some(sound) => sound.as_slice(),
                None => room.mixer.without(seat.key).unwrap_or_else(|| room.mixer.shared()),
            };
            if let Some(doing) = seat.doing.as_mut().filter(|doing| doing.listens()) {
                doing.hear(&Audio {
                    samples: sound.to_vec(),
                    rate: RATE,
                    channels: 1,
                    kind: Kind::Played,
                    ..Audio::default()
                });
            }
            let Some(open) = open else { continue };
            // Nothing can be sent where the peer does not listen; time goes on.
            let _ = match seat.music.as_mut() {
                Some(player) => {
                    let mut audio = Audio::default();
                    player.pull(&mut audio);
                    open.session.send_audio(now, &audio.samples)
                }
                None => open.session.send_audio(now, sound),
            };
            moved.push(*leg);
        }
        if let Some(leg) = room.direct() {
            self.ask_for_key_frame(now, leg, MediaKind::Video);
        }
        for leg in moved {
            self.pump_sent(leg);
            self.outputs.push_back(Output::Moved(leg));
        }
    }

    /// A seat's session says something about its pictures.
    pub(super) fn picture_said(&mut self, now: Instant, leg: LegId, event: &MediaEvent) {
        match event {
            MediaEvent::StreamStarted(stream) if index_of(stream.kind).is_some() => {
                let Some(seat) = self.seat_mut(leg) else { return };
                seat.streams.retain(|(ssrc, _)| *ssrc != stream.ssrc);
                seat.streams.push((stream.ssrc, stream.kind));
                self.offer_stage(leg, stream.kind);
            }
            MediaEvent::StreamEnded { ssrc, .. } => {
                if let Some(seat) = self.seat_mut(leg) {
                    seat.streams.retain(|(known, _)| known != ssrc);
                }
            }
            MediaEvent::Frame(frame) => self.show(now, leg, frame),
            MediaEvent::KeyFrameRequested { .. } => {
                if let Some(id) = self.seated.get(&leg).copied() {
                    for kind in PICTURES {
                        if let Some(shown) = self.shown(id, kind) {
                            self.ask_for_key_frame(now, shown, kind);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn shown(&self, id: ConversationId, kind: MediaKind) -> Option<LegId> {
        self.rooms.get(&id)?.stages[index_of(kind)?].shown
    }

    /// Somebody has pictures: an empty stage takes them, and the newest screen is shown.
    fn offer_stage(&mut self, leg: LegId, kind: MediaKind) {
        let Some(index) = index_of(kind) else { return };
        let room = self.seated.get(&leg).and_then(|id| self.rooms.get_mut(id));
        let Some(stage) = room.map(|room| &mut room.stages[index]) else { return };
        if kind == MediaKind::ScreenSharing || (stage.shown.is_none() && stage.wanted.is_none()) {
            stage.wanted = Some(leg);
        }
    }

    /// Passes a frame on to all others, if it is of who is shown.
    fn show(&mut self, now: Instant, leg: LegId, frame: &Frame) {
        let Some(room) = self.seated.get(&leg).and_then(|id| self.rooms.get_mut(id)) else {
            return;
        };
        let Some(seat) = room.seats.get(&leg) else { return };
        let Some((_, kind)) = seat.streams.iter().find(|(ssrc, _)| *ssrc == frame.ssrc) else {
            return;
        };
        let (kind, Some(index)) = (*kind, index_of(*kind)) else { return };
        let stage = &mut room.stages[index];
        let is_new = stage.wanted == Some(leg) && frame.key_frame;
        if is_new {
            (stage.shown, stage.wanted) = (Some(leg), None);
        }
        if stage.shown != Some(leg) || seat.music.is_some() {
            return;
        }
        let timestamp = stage.stamp(now, frame.timestamp, is_new);
        let others: Vec<LegId> = room.seats.keys().copied().filter(|other| *other != leg).collect();
        for other in others {
            self.send_picture(now, other, kind, &frame.data, timestamp);
        }
    }

    fn send_picture(
        &mut self,
        now: Instant,
        leg: LegId,
        kind: MediaKind,
        data: &Bytes,
        timestamp: u32,
    ) {
        let Some(Attached { open: Some(open), .. }) = self.legs.get_mut(&leg) else { return };
        let Some(line) = line_for(&open.sides.0, kind) else { return };
        // A frame that cannot be cut into packets is lost to this one only.
        if open.session.send_frame(now, line, data, timestamp).is_ok() {
            self.pump_sent(leg);
            self.outputs.push_back(Output::Moved(leg));
        }
    }

    fn ask_for_key_frame(&mut self, now: Instant, leg: LegId, kind: MediaKind) {
        let Some(seat) = self.seat_mut(leg) else { return };
        let stream = seat.streams.iter().find(|(_, of)| *of == kind).map(|(ssrc, _)| *ssrc);
        if let (Some(ssrc), Some(open)) = (stream, self.open_mut(leg)) {
            // Without feedback negotiated there is nobody to ask.
            let _ = open.session.request_key_frame(now, ssrc);
            self.pump_sent(leg);
            self.outputs.push_back(Output::Moved(leg));
        }
    }
}
