//! Pictures in a room: everybody sees who speaks, and who speaks sees who spoke before;
//! everybody sees the screen that was shared last. Access units are cut into packets anew
//! for each viewer, under the viewer's own numbers and one clock, however often the source
//! changes; a change waits for a key frame, which is asked for once for all viewers.

use core::time::Duration;

use bytes::Bytes;
use callrig_media::description::{Description, MediaKind};
use callrig_media::event::Event as MediaEvent;
use callrig_media::time::Instant;
use callrig_media::video::Frame;

use super::super::{Attached, Attachments, Output};
use super::Room;
use crate::id::{ConversationId, LegId};

/// Ticks of the RTP clock of video in a millisecond.
const TICKS_PER_MS: u32 = 90;

/// A key frame of one source is asked for once in so long, however many want it.
const REQUEST_INTERVAL: Duration = Duration::from_millis(200);

/// Who wants a key frame and gets none asks again after so long.
const REPEAT_INTERVAL: Duration = Duration::from_millis(1_000);

/// The kinds of pictures that a room passes on.
const PICTURES: [MediaKind; 2] = [MediaKind::Video, MediaKind::ScreenSharing];

fn index_of(kind: MediaKind) -> Option<usize> {
    PICTURES.iter().position(|known| *known == kind)
}

/// Whether a room makes anything of what a session says.
pub(in super::super) const fn is_about_pictures(event: &MediaEvent) -> bool {
    matches!(
        event,
        MediaEvent::StreamStarted(_)
            | MediaEvent::StreamEnded { .. }
            | MediaEvent::Frame(_)
            | MediaEvent::KeyFrameRequested { .. }
    )
}

/// What one in a room shows and sees.
#[derive(Debug, Default)]
pub(super) struct Seat {
    /// Its streams: source and kind.
    streams: Vec<(u32, MediaKind)>,
    /// What it sees, by kind.
    views: [View; 2],
    /// When a key frame was last asked of it, by kind.
    asked: [Option<Instant>; 2],
}

impl Seat {
    fn shows(&self, kind: MediaKind) -> bool {
        self.streams.iter().any(|(_, of)| *of == kind)
    }
}

/// Whose pictures of one kind are to be seen.
#[derive(Debug, Default)]
pub(super) struct Stage {
    /// By everybody else.
    shown: Option<LegId>,
    /// By who is shown.
    before: Option<LegId>,
}

impl Stage {
    fn enter(&mut self, leg: LegId) {
        if self.shown != Some(leg) {
            self.before = self.shown.replace(leg);
        }
    }

    fn leave(&mut self, leg: LegId) {
        self.before = self.before.filter(|before| *before != leg);
        if self.shown == Some(leg) {
            self.shown = self.before.take();
        }
    }

    fn seen_by(&self, viewer: LegId) -> Option<LegId> {
        if self.shown == Some(viewer) { self.before } else { self.shown }
    }
}

/// What one sees of one kind.
#[derive(Debug, Default)]
struct View {
    source: Option<LegId>,
    /// Is seen from its next key frame on.
    wanted: Option<LegId>,
    /// What is added to the timestamps of the source.
    offset: u32,
    /// The last timestamp that went out, and when.
    last: Option<(u32, Instant)>,
}

impl View {
    /// Turns to another source.
    fn turn(&mut self, to: Option<LegId>) {
        self.wanted = to.filter(|to| self.source != Some(*to));
    }

    /// The timestamp under which a frame of a source goes out, if it is seen.
    fn take(&mut self, now: Instant, source: LegId, frame: &Frame) -> Option<u32> {
        let begins = self.wanted == Some(source) && frame.key_frame;
        if begins {
            (self.source, self.wanted) = (Some(source), None);
        }
        if self.source != Some(source) {
            return None;
        }
        if let (true, Some((last, at))) = (begins, self.last) {
            let passed = now.since(at).as_millis().min(u128::from(u32::MAX)) as u32;
            let next = last.wrapping_add(passed.max(1).wrapping_mul(TICKS_PER_MS));
            self.offset = next.wrapping_sub(frame.timestamp);
        }
        let stamped = frame.timestamp.wrapping_add(self.offset);
        self.last = Some((stamped, now));
        Some(stamped)
    }
}

impl Room {
    /// Who speaks is shown, if there is anything to show; whether that is somebody else now.
    pub(super) fn direct(&mut self) -> bool {
        let Some(speaker) = self.mixer.speakers().next() else { return false };
        let Some((leg, seat)) = self.seats.iter().find(|(_, seat)| seat.key == speaker) else {
            return false;
        };
        let changes = self.stages[0].shown != Some(*leg) && seat.pictures.shows(MediaKind::Video);
        if changes {
            self.stages[0].enter(*leg);
        }
        changes
    }

    /// Somebody shows nothing more.
    pub(super) fn forget_pictures(&mut self, leg: LegId) {
        for stage in &mut self.stages {
            stage.leave(leg);
        }
        for view in self.seats.values_mut().flat_map(|seat| &mut seat.pictures.views) {
            view.source = view.source.filter(|source| *source != leg);
            view.wanted = view.wanted.filter(|wanted| *wanted != leg);
        }
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
    /// Whose pictures somebody in a room sees.
    pub(in super::super) fn seen_by(&self, viewer: LegId) -> Vec<LegId> {
        let room = self.seated.get(&viewer).and_then(|id| self.rooms.get(id));
        let seat = room.and_then(|room| room.seats.get(&viewer));
        let views = seat.into_iter().flat_map(|seat| &seat.pictures.views);
        views.filter_map(|view| view.source).collect()
    }

    /// Who in a room sees somebody's pictures.
    pub(in super::super) fn viewers_of(&self, source: LegId) -> Vec<LegId> {
        let room = self.seated.get(&source).and_then(|id| self.rooms.get(id));
        let seats = room.into_iter().flat_map(|room| &room.seats);
        let sees =
            |seat: &super::Seat| seat.pictures.views.iter().any(|view| view.source == Some(source));
        seats.filter(|(_, seat)| sees(seat)).map(|(leg, _)| *leg).collect()
    }

    /// Everybody in a room turns to whom they are to see, and key frames are asked for where
    /// somebody waits for one.
    pub(super) fn look_around(&mut self, now: Instant, id: ConversationId) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let mut wanted = Vec::new();
        for (viewer, seat) in &mut room.seats {
            for (index, kind) in PICTURES.into_iter().enumerate() {
                let view = &mut seat.pictures.views[index];
                view.turn(room.stages[index].seen_by(*viewer));
                if let Some(source) =
                    view.wanted.filter(|source| !wanted.contains(&(*source, kind)))
                {
                    wanted.push((source, kind));
                }
            }
        }
        for (source, kind) in wanted {
            self.ask_for_key_frame(now, source, kind);
        }
    }

    /// A seat's session says something about its pictures.
    pub(in super::super) fn picture_said(&mut self, now: Instant, leg: LegId, event: &MediaEvent) {
        let Some(id) = self.seated.get(&leg).copied() else { return };
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let Some(seat) = room.seats.get_mut(&leg) else { return };
        match event {
            MediaEvent::StreamStarted(stream) => {
                let Some(index) = index_of(stream.kind) else { return };
                seat.pictures.streams.retain(|(ssrc, _)| *ssrc != stream.ssrc);
                seat.pictures.streams.push((stream.ssrc, stream.kind));
                // The newest screen is shown, and the first camera; a second one stands by.
                let stage = &mut room.stages[index];
                match (stream.kind, stage.shown) {
                    (MediaKind::Video, Some(shown)) if shown != leg => {
                        stage.before.get_or_insert(leg);
                    }
                    _ => stage.enter(leg),
                }
                self.look_around(now, id);
            }
            MediaEvent::StreamEnded { ssrc, .. } => {
                let streams = &mut seat.pictures.streams;
                let Some(place) = streams.iter().position(|(known, _)| known == ssrc) else {
                    return;
                };
                let (_, kind) = streams.remove(place);
                if let (false, Some(index)) = (seat.pictures.shows(kind), index_of(kind)) {
                    room.stages[index].leave(leg);
                    self.look_around(now, id);
                }
            }
            MediaEvent::Frame(frame) => self.show(now, id, leg, frame),
            MediaEvent::KeyFrameRequested { .. } => {
                let sources: Vec<_> = PICTURES
                    .into_iter()
                    .zip(&seat.pictures.views)
                    .filter_map(|(kind, view)| Some((view.source?, kind)))
                    .collect();
                for (source, kind) in sources {
                    self.ask_for_key_frame(now, source, kind);
                }
            }
            _ => {}
        }
    }

    /// Passes a frame on to who sees its source.
    fn show(&mut self, now: Instant, id: ConversationId, leg: LegId, frame: &Frame) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let Some(seat) = room.seats.get(&leg) else { return };
        let stream = seat.pictures.streams.iter().find(|(ssrc, _)| *ssrc == frame.ssrc);
        let Some(kind) = stream.map(|(_, kind)| *kind) else { return };
        let Some(index) = index_of(kind) else { return };
        if seat.music.is_some() {
            return;
        }
        let asked = seat.pictures.asked[index];
        let (mut seen, mut waits) = (Vec::new(), false);
        for (viewer, seat) in &mut room.seats {
            let view = &mut seat.pictures.views[index];
            if let Some(timestamp) = view.take(now, leg, frame) {
                seen.push((*viewer, timestamp));
            }
            waits |= view.wanted == Some(leg);
        }
        for (viewer, timestamp) in seen {
            self.send_picture(now, viewer, kind, &frame.data, timestamp);
        }
        // A request may be lost, and so may what answers it.
        if waits && asked.is_none_or(|asked| now.since(asked) >= REPEAT_INTERVAL) {
            self.ask_for_key_frame(now, leg, kind);
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
        let Some(index) = index_of(kind) else { return };
        let Some(seat) = self.seat_mut(leg) else { return };
        let asked = &mut seat.pictures.asked[index];
        if asked.is_some_and(|asked| now.since(asked) < REQUEST_INTERVAL) {
            return;
        }
        let stream =
            seat.pictures.streams.iter().find(|(_, of)| *of == kind).map(|(ssrc, _)| *ssrc);
        let Some(ssrc) = stream else { return };
        seat.pictures.asked[index] = Some(now);
        if let Some(open) = self.open_mut(leg) {
            // Without feedback negotiated there is nobody to ask.
            let _ = open.session.request_key_frame(now, ssrc);
            self.pump_sent(leg);
            self.outputs.push_back(Output::Moved(leg));
        }
    }
}
