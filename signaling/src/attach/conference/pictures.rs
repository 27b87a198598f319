//! Pictures in a room: on one line everybody sees who speaks, and who speaks sees who spoke
//! before; on several lines those who spoke last, each on the same line for as long as it is one
//! of them; and whoever was asked for on the line on which they were
//! ([`view`](callrig_media::rtcp::Application::view)). Where somebody sends the same pictures
//! in several streams, each sees one of them ([`layers`]). Everybody sees the
//! screen that was shared last. Whose pictures they are is named as the contributing source of
//! the packets (RFC 3550 section 7.1). Access units are cut into packets once,
//! and numbered anew for each viewer, by one clock, however often the source
//! changes; a change waits for a key frame, which is asked for once for all viewers and goes out
//! with the parameter sets that its sender gave only once ahead.

use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;
use callrig_media::description::{Description, MediaKind};
use callrig_media::event::Event as MediaEvent;
use callrig_media::rtp::Csrcs;
use callrig_media::session::Showing;
use callrig_media::time::Instant;
use callrig_media::video::Frame;

use super::super::{Attached, Attachments, Output, source_id};
use super::Room;
use super::layers::{self, Claim, Limits, Stream};
use crate::fault::{self, Fault};
use crate::id::{ConversationId, LegId};

/// Ticks of the RTP clock of video in a millisecond.
const TICKS_PER_MS: u32 = 90;

/// A key frame of one source is asked for once in so long, however many want it.
const REQUEST_INTERVAL: Duration = Duration::from_millis(200);

/// Who wants a key frame and gets none asks again after so long.
const REPEAT_INTERVAL: Duration = Duration::from_millis(1_000);

/// Where there are several streams of the same pictures, one is chosen once in so long.
const CHOICE_INTERVAL: Duration = Duration::from_millis(250);

/// After a path has become too narrow for a stream, no larger one is chosen for so long: each
/// change costs a key frame.
const STAYS_FOR: Duration = Duration::from_secs(5);

/// The kinds of pictures that a room passes on.
const PICTURES: [MediaKind; 2] = [MediaKind::Video, MediaKind::ScreenSharing];
const CAMERA: usize = 0;
const SCREEN: usize = 1;

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
            | MediaEvent::Application(_)
    )
}

/// What one in a room shows and sees.
#[derive(Debug, Default)]
pub(super) struct Seat {
    streams: Vec<Stream>,
    /// When it was last chosen among them.
    chosen: Option<Instant>,
    /// What it sees, line by line.
    views: Vec<View>,
}

impl Seat {
    fn shows(&self, kind: MediaKind) -> bool {
        self.streams.iter().any(|stream| stream.kind == kind)
    }

    /// Its peer sees pictures on these lines.
    pub(super) fn see_on(&mut self, local: &Description) {
        let lines = local.media.iter().enumerate();
        let sees = lines.filter(|(_, line)| !line.rejected && line.direction.sends());
        let views = sees.filter_map(|(line, of)| Some(View::new(line, index_of(of.kind)?)));
        self.views = views.collect();
    }
}

/// Who shows pictures of one kind.
#[derive(Debug, Default)]
pub(super) struct Stage {
    /// Who spoke last, or began to share last, first.
    shown: Vec<LegId>,
}

impl Stage {
    /// Whoever it is comes first.
    fn enter(&mut self, leg: LegId) {
        self.leave(leg);
        self.shown.insert(0, leg);
    }

    /// Whoever it is stands by.
    fn wait(&mut self, leg: LegId) {
        if !self.shown.contains(&leg) {
            self.shown.push(leg);
        }
    }

    fn leave(&mut self, leg: LegId) {
        self.shown.retain(|shown| *shown != leg);
    }

    /// Turns the views of one kind to whom they are to show to `viewer`.
    fn cast(&self, viewer: LegId, views: &mut [&mut View]) {
        for view in views.iter_mut() {
            if let Some(asked) = view.asked {
                view.turn(self.shown.contains(&asked).then_some(asked));
            }
        }
        let asked: Vec<LegId> = views.iter().filter_map(|view| view.asked).collect();
        let free = views.iter().filter(|view| view.asked.is_none()).count();
        let others = self.shown.iter().filter(|leg| **leg != viewer && !asked.contains(leg));
        let mut wanted: Vec<LegId> = others.copied().take(free).collect();
        let mut vacant = Vec::new();
        for view in views.iter_mut().filter(|view| view.asked.is_none()) {
            match wanted.iter().position(|leg| view.shows() == Some(*leg)) {
                Some(place) => drop(wanted.remove(place)),
                None => vacant.push(view),
            }
        }
        let mut wanted = wanted.into_iter();
        for view in vacant {
            view.turn(wanted.next());
        }
    }
}

/// A stream, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Source {
    leg: LegId,
    ssrc: u32,
}

/// What one sees on one line.
#[derive(Debug)]
struct View {
    line: usize,
    /// Of the kind.
    kind: usize,
    /// Whom it shows whatever happens, if somebody asked for that.
    asked: Option<LegId>,
    /// Of how many lines the pictures may be.
    lines_max: Option<u32>,
    /// Whom it is to show, if anybody.
    turned: Option<LegId>,
    source: Option<Source>,
    /// Is seen from its next key frame on.
    wanted: Option<Source>,
    /// What is seen now is more than the path carries: until then nothing is.
    narrow: bool,
    /// When that was so last.
    narrowed: Option<Instant>,
    /// Bits per second that it would have if the path carried them, and that it has.
    aim: u64,
    bits: u64,
    /// What is added to the timestamps of the source.
    offset: u32,
    /// The last timestamp that went out, and when.
    last: Option<(u32, Instant)>,
}

impl View {
    const fn new(line: usize, kind: usize) -> Self {
        Self {
            line,
            kind,
            asked: None,
            lines_max: None,
            turned: None,
            source: None,
            wanted: None,
            narrow: false,
            narrowed: None,
            aim: 0,
            bits: 0,
            offset: 0,
            last: None,
        }
    }

    /// Who is seen, or will be.
    fn shows(&self) -> Option<LegId> {
        self.turned.or(self.source.map(|source| source.leg))
    }

    /// Turns to somebody; to nobody, it stays with whom it shows.
    fn turn(&mut self, to: Option<LegId>) {
        self.turned = to;
        self.wanted = self.wanted.filter(|wanted| Some(wanted.leg) == to);
    }

    /// Chooses among the streams of whom it shows.
    fn choose(&mut self, now: Instant, streams: &[Stream], bits: Option<u64>) {
        (self.aim, self.bits) = (0, 0);
        let Some(leg) = self.shows() else { return };
        let stays = self.narrowed.is_some_and(|at| now.since(at) < STAYS_FOR);
        let bits = bits.filter(|_| !fault::is(Fault::LayerTooLargeChosen));
        let lines = if fault::is(Fault::SmallestLayerChosen) { Some(0) } else { self.lines_max };
        let limits = Limits { lines, bits, stays };
        let current = self.source.filter(|source| source.leg == leg).map(|source| source.ssrc);
        let choice = layers::choose(streams, PICTURES[self.kind], limits, current);
        let Some(choice) = choice else { return };
        let wanted = Source { leg, ssrc: choice.ssrc };
        self.wanted = (self.source != Some(wanted)).then_some(wanted);
        self.narrow = choice.narrow;
        if choice.narrow {
            self.narrowed = Some(now);
        }
        (self.aim, self.bits) = (choice.aim, choice.bits);
    }

    /// The timestamp under which a frame of a source goes out, if it is seen, and whether that
    /// source is seen from now on.
    fn take(&mut self, now: Instant, source: Source, frame: &Frame) -> Option<(u32, bool)> {
        let may_begin = frame.key_frame || fault::is(Fault::PictureWithoutKeyFrame);
        let begins = self.wanted == Some(source) && may_begin;
        if begins {
            (self.source, self.wanted) = (Some(source), None);
        }
        if self.source != Some(source) {
            return None;
        }
        if self.narrow && self.wanted.is_some() {
            // What comes after this one refers to it: it is not seen again before a key frame.
            self.source = None;
            return None;
        }
        if let (true, Some((last, at))) = (begins, self.last) {
            let passed = now.since(at).as_millis().min(u128::from(u32::MAX)) as u32;
            let next = last.wrapping_add(passed.max(1).wrapping_mul(TICKS_PER_MS));
            self.offset = next.wrapping_sub(frame.timestamp);
        }
        let stamped = frame.timestamp.wrapping_add(self.offset);
        self.last = Some((stamped, now));
        Some((stamped, begins))
    }

    /// Somebody, or one of their streams, is not there any more.
    fn forget(&mut self, gone: impl Fn(Source) -> bool) {
        for place in [&mut self.source, &mut self.wanted] {
            *place = place.filter(|held| !gone(*held));
        }
    }
}

/// What everybody's pictures take of a path, by kind.
struct Claims(BTreeMap<LegId, [Claim; 2]>);

impl Claims {
    fn of(seats: &BTreeMap<LegId, super::Seat>) -> Self {
        let claims =
            |seat: &super::Seat| PICTURES.map(|kind| Claim::of(&seat.pictures.streams, kind));
        let shown = seats.iter().filter(|(_, seat)| !seat.pictures.streams.is_empty());
        Self(shown.map(|(leg, seat)| (*leg, claims(seat))).collect())
    }

    /// So many of the `bits` per second of a path are for one of the views that share it: for a
    /// screen what the smallest pictures of the cameras leave, but no less than half; for a camera
    /// its part of what the screens leave.
    fn part(&self, views: &[View], place: usize, bits: u64) -> u64 {
        let others = |kind: usize| {
            let others = views.iter().enumerate().filter(move |(other, _)| *other != place);
            let others = others.filter(move |(_, view)| view.kind == kind);
            others.filter_map(move |(_, view)| Some((view, self.0.get(&view.shows()?)?[kind])))
        };
        let bits = if views[place].kind == SCREEN {
            let cameras = others(CAMERA).map(|(_, claim)| claim.least).sum();
            bits.saturating_sub(cameras).max(bits / 2)
        } else {
            let taken = others(SCREEN).map(|(view, of)| view.bits.clamp(of.least, of.most));
            bits.saturating_sub(taken.sum())
        };
        layers::part(bits, others(views[place].kind).map(|(_, claim)| claim))
    }
}

impl Room {
    /// Who speaks is shown, if there is anything to show; whether that is somebody else now.
    pub(super) fn direct(&mut self) -> bool {
        let Some(speaker) = self.mixer.speakers().next() else { return false };
        let Some((leg, seat)) = self.seats.iter().find(|(_, seat)| seat.key == speaker) else {
            return false;
        };
        let is_first = self.stages[0].shown.first() == Some(leg);
        let changes = !is_first && seat.pictures.shows(MediaKind::Video);
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
            view.forget(|held| held.leg == leg);
            for place in [&mut view.turned, &mut view.asked] {
                *place = place.filter(|held| *held != leg);
            }
        }
    }

    /// What is waited for.
    fn wanted(&self) -> Vec<Source> {
        let views = self.seats.values().flat_map(|seat| &seat.pictures.views);
        let mut wanted: Vec<Source> = views.filter_map(|view| view.wanted).collect();
        wanted.sort_unstable_by_key(|source| (source.leg, source.ssrc));
        wanted.dedup();
        wanted
    }
}

impl Attachments {
    /// Whose pictures somebody in a room sees.
    pub(in super::super) fn seen_by(&self, viewer: LegId) -> Vec<LegId> {
        let room = self.seated.get(&viewer).and_then(|id| self.rooms.get(id));
        let seat = room.and_then(|room| room.seats.get(&viewer));
        let views = seat.into_iter().flat_map(|seat| &seat.pictures.views);
        views.filter_map(|view| view.source).map(|source| source.leg).collect()
    }

    /// Who in a room sees somebody's pictures.
    pub(in super::super) fn viewers_of(&self, source: LegId) -> Vec<LegId> {
        let room = self.seated.get(&source).and_then(|id| self.rooms.get(id));
        let seats = room.into_iter().flat_map(|room| &room.seats);
        let shows = |view: &View| view.source.is_some_and(|held| held.leg == source);
        let sees = |seat: &super::Seat| seat.pictures.views.iter().any(shows);
        seats.filter(|(_, seat)| sees(seat)).map(|(leg, _)| *leg).collect()
    }

    /// Everybody in a room turns to whom they are to see, and key frames are asked for where
    /// somebody waits for one.
    pub(super) fn look_around(&mut self, now: Instant, id: ConversationId) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let mut turned = Vec::new();
        for (viewer, seat) in &mut room.seats {
            for (index, stage) in room.stages.iter().enumerate() {
                let views = seat.pictures.views.iter_mut().filter(|view| view.kind == index);
                stage.cast(*viewer, &mut views.collect::<Vec<_>>());
            }
            let shown = turned.len();
            turned.extend(seat.pictures.views.iter().filter_map(View::shows));
            // Who sees nothing any more has no use for a wider path.
            if turned.len() == shown
                && let Some(open) = self.legs.get_mut(viewer).and_then(|held| held.open.as_mut())
            {
                open.session.set_aim(0);
            }
        }
        turned.sort_unstable();
        turned.dedup();
        for leg in turned {
            self.choose(now, id, leg);
        }
        self.ask_for_wanted(now, id, None);
    }

    /// All who see somebody choose among their streams.
    fn choose(&mut self, now: Instant, id: ConversationId, leg: LegId) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let claims = Claims::of(&room.seats);
        let Some(seat) = room.seats.get_mut(&leg) else { return };
        seat.pictures.chosen = Some(now);
        // Out of the seat while others look at them.
        let streams = core::mem::take(&mut seat.pictures.streams);
        for (viewer, seat) in &mut room.seats {
            let views = &mut seat.pictures.views;
            if !views.iter().any(|view| view.shows() == Some(leg)) {
                continue;
            }
            let open = self.legs.get_mut(viewer).and_then(|held| held.open.as_deref_mut());
            let bits = open.as_ref().and_then(|open| open.session.available());
            for place in 0..views.len() {
                if views[place].shows() == Some(leg) {
                    let part = bits.map(|bits| claims.part(views, place, bits));
                    views[place].choose(now, &streams, part);
                }
            }
            if let Some(open) = open {
                let shown = views.iter().filter(|view| view.shows().is_some());
                open.session.set_aim(shown.map(|view| view.aim).sum());
            }
        }
        if let Some(seat) = room.seats.get_mut(&leg) {
            seat.pictures.streams = streams;
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
                let shown = seat.pictures.shows(stream.kind);
                let began = Stream::new(now, stream);
                seat.pictures.streams.retain(|known| !began.follows(known));
                seat.pictures.streams.push(began);
                // The newest screen is shown, and the first camera; a second one stands by.
                match stream.kind {
                    MediaKind::Video => room.stages[index].wait(leg),
                    // Another layer of the same screen is none that is new.
                    _ if shown => {}
                    _ => room.stages[index].enter(leg),
                }
                self.look_around(now, id);
            }
            MediaEvent::StreamEnded { ssrc, .. } => {
                let streams = &mut seat.pictures.streams;
                let Some(place) = streams.iter().position(|known| known.ssrc == *ssrc) else {
                    return;
                };
                let kind = streams.remove(place).kind;
                let shown = seat.pictures.shows(kind);
                let gone = Source { leg, ssrc: *ssrc };
                for view in room.seats.values_mut().flat_map(|seat| &mut seat.pictures.views) {
                    view.forget(|held| held == gone);
                }
                if let (false, Some(index)) = (shown, index_of(kind)) {
                    room.stages[index].leave(leg);
                }
                self.look_around(now, id);
            }
            MediaEvent::Frame(frame) => self.show(now, id, leg, frame),
            MediaEvent::KeyFrameRequested { ssrc } => {
                let open = self.legs.get(&leg).and_then(|held| held.open.as_deref());
                let Some(open) = open else { return };
                let of = |view: &&View| open.session.ssrc(view.line) == Some(*ssrc);
                let view = seat.pictures.views.iter().find(of);
                if let Some(source) = view.and_then(|view| view.source) {
                    self.ask_for_key_frame(now, source);
                }
            }
            MediaEvent::Application(said) => {
                let Some(asked) = said.as_view() else { return };
                let of = |view: &View| view.line == asked.media;
                let Some(view) = seat.pictures.views.iter().find(|view| of(view)) else { return };
                let kind = PICTURES[view.kind];
                let mut others = room.seats.iter().filter(|(other, _)| **other != leg);
                let whom = others.find(|(_, other)| source_id(other.key, kind) == asked.source);
                let whom = whom.map(|(other, _)| *other);
                let seat = room.seats.get_mut(&leg);
                let views = seat.into_iter().flat_map(|seat| &mut seat.pictures.views);
                for view in views.filter(|view| of(view)) {
                    (view.asked, view.lines_max) = (whom, asked.lines_max);
                }
                self.look_around(now, id);
            }
            _ => {}
        }
    }

    /// Passes a frame on to who sees its source.
    fn show(&mut self, now: Instant, id: ConversationId, leg: LegId, frame: &Frame) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let Some(seat) = room.seats.get_mut(&leg) else { return };
        let pictures = &mut seat.pictures;
        let Some(stream) = pictures.streams.iter_mut().find(|s| s.ssrc == frame.ssrc) else {
            return;
        };
        stream.show(now, frame);
        let (kind, asked) = (stream.kind, stream.asked);
        let Some(index) = index_of(kind) else { return };
        if seat.music.is_some() {
            return;
        }
        // Some of those who see it may not have seen the parameter sets, or lost them.
        let completed = frame.key_frame.then(|| stream.prelude.complete(&frame.data)).flatten();
        let data = completed.unwrap_or_else(|| frame.data.clone());
        let source = Source { leg, ssrc: frame.ssrc };
        let rests = pictures.chosen.is_some_and(|at| now.since(at) < CHOICE_INTERVAL);
        if !rests && layers::is_choice(&pictures.streams, kind) {
            self.choose(now, id, leg);
            self.ask_for_wanted(now, id, Some(leg));
        }
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let Some(seat) = room.seats.get(&leg) else { return };
        let named: Csrcs = core::iter::once(source_id(seat.key, kind)).collect();
        let (mut seen, mut waits) = (Vec::new(), false);
        for (viewer, seat) in &mut room.seats {
            for view in seat.pictures.views.iter_mut().filter(|view| view.kind == index) {
                if let Some((timestamp, begins)) = view.take(now, source, frame) {
                    seen.push((*viewer, view.line, timestamp, begins));
                }
                waits |= view.wanted == Some(source);
            }
        }
        let mut showing = core::mem::take(&mut room.showing);
        let cut = usize::from(fault::is(Fault::PictureCutShort));
        showing.set(data.slice(..data.len().saturating_sub(cut)));
        for (viewer, line, timestamp, begins) in seen {
            if begins && let Some(open) = self.open_mut(viewer) {
                open.session.begin_anew(line);
                open.session.set_contributors(line, &named);
            }
            self.send_picture(now, (viewer, line), &mut showing, timestamp);
        }
        showing.set(Bytes::new());
        if let Some(room) = self.rooms.get_mut(&id) {
            room.showing = showing;
        }
        // A request may be lost, and so may what answers it.
        if waits && asked.is_none_or(|asked| now.since(asked) >= REPEAT_INTERVAL) {
            self.ask_for_key_frame(now, source);
        }
    }

    /// What a viewer has been shown so far did not reach it: it sees from the next key frames on.
    pub(in super::super) fn see_anew(&mut self, now: Instant, viewer: LegId) {
        let Some(id) = self.seated.get(&viewer).copied() else { return };
        let Some(seat) = self.rooms.get_mut(&id).and_then(|room| room.seats.get_mut(&viewer))
        else {
            return;
        };
        for view in &mut seat.pictures.views {
            view.wanted = view.wanted.or(view.source);
            view.source = None;
        }
        self.ask_for_wanted(now, id, None);
    }

    /// Asks for key frames of all streams that are waited for, or of somebody's.
    fn ask_for_wanted(&mut self, now: Instant, id: ConversationId, only: Option<LegId>) {
        let Some(room) = self.rooms.get(&id) else { return };
        for source in room.wanted() {
            if only.is_none_or(|leg| leg == source.leg) {
                self.ask_for_key_frame(now, source);
            }
        }
    }

    fn send_picture(
        &mut self,
        now: Instant,
        (leg, line): (LegId, usize),
        showing: &mut Showing,
        timestamp: u32,
    ) {
        if fault::is(Fault::PicturesLeftOut) && timestamp / 3_000 % 3 == 1 {
            return;
        }
        let Some(Attached { open: Some(open), .. }) = self.legs.get_mut(&leg) else { return };
        // A frame that cannot be cut into packets is lost to this one only.
        if open.session.send_showing(now, line, showing, timestamp).is_ok() {
            self.pump_sent(leg);
            self.outputs.push_back(Output::Moved(leg));
        }
    }

    fn ask_for_key_frame(&mut self, now: Instant, Source { leg, ssrc }: Source) {
        if fault::is(Fault::KeyFrameNotAskedFor) {
            return;
        }
        let Some(seat) = self.seat_mut(leg) else { return };
        let streams = &mut seat.pictures.streams;
        let Some(stream) = streams.iter_mut().find(|stream| stream.ssrc == ssrc) else { return };
        if stream.asked.is_some_and(|asked| now.since(asked) < REQUEST_INTERVAL) {
            return;
        }
        stream.asked = Some(now);
        if let Some(open) = self.open_mut(leg) {
            // Without feedback negotiated there is nobody to ask.
            let _ = open.session.request_key_frame(now, ssrc);
            self.pump_sent(leg);
            self.outputs.push_back(Output::Moved(leg));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leg(number: u128) -> LegId {
        LegId::from_u128(number)
    }

    fn cast(stage: &Stage, viewer: u128, views: &mut [View]) -> Vec<Option<LegId>> {
        stage.cast(leg(viewer), &mut views.iter_mut().collect::<Vec<_>>());
        // As if every key frame came at once.
        for view in views.iter_mut() {
            view.source = view.shows().map(|leg| Source { leg, ssrc: 1 });
        }
        views.iter().map(View::shows).collect()
    }

    fn frame(key_frame: bool) -> Frame {
        let at = Instant::from_millis(1);
        Frame {
            ssrc: 1,
            timestamp: 0,
            data: Bytes::new(),
            key_frame,
            first_sequence: 0,
            last_sequence: 0,
            arrived_first: at,
            arrived_last: at,
            resolution: None,
        }
    }

    #[test]
    fn what_was_held_back_for_a_narrow_path_is_seen_again_from_a_key_frame_on() {
        let now = Instant::from_millis(1);
        let [small, large] = [1, 2].map(|ssrc| Source { leg: leg(1), ssrc });
        let mut view = View { source: Some(large), ..View::new(1, 0) };
        assert!(view.take(now, large, &frame(false)).is_some());
        (view.wanted, view.narrow) = (Some(small), true);
        assert_eq!(view.take(now, large, &frame(false)), None);
        // The path carries it after all.
        (view.wanted, view.narrow) = (Some(large), false);
        assert_eq!(view.take(now, large, &frame(false)), None, "it refers to what was not seen");
        assert!(view.take(now, large, &frame(true)).is_some_and(|(_, begins)| begins));
        assert!(view.take(now, large, &frame(false)).is_some());
    }

    #[test]
    fn a_screen_leaves_cameras_their_smallest_pictures_and_they_share_what_it_does_not_take() {
        let claim = |least, most| Claim { least, most };
        let camera = |number| (leg(number), [claim(100_000, 1_000_000), Claim::default()]);
        let screen = (leg(3), [Claim::default(), claim(200_000, 800_000)]);
        let claims = Claims([camera(1), camera(2), screen].into());
        let view = |line, kind, of| View { turned: Some(leg(of)), ..View::new(line, kind) };
        let mut views = [view(1, CAMERA, 1), view(2, CAMERA, 2), view(3, SCREEN, 3)];
        let parts = |views: &[View], bits| [0, 1, 2].map(|place| claims.part(views, place, bits));
        views[2].bits = 800_000;
        assert_eq!(parts(&views, 1_000_000), [100_000, 100_000, 800_000]);
        assert_eq!(parts(&views, 300_000), [0, 0, 150_000], "the screen has half at least");
        views[2].bits = 200_000;
        assert_eq!(parts(&views, 3_000_000), [1_800_000, 1_800_000, 2_800_000]);
        views[1].turned = None;
        assert_eq!(parts(&views, 1_000_000)[0], 800_000, "nobody is shown beside it");
    }

    #[test]
    fn on_one_line_who_speaks_is_seen_and_sees_who_spoke_before() {
        let (mut stage, mut one, mut two) =
            (Stage::default(), [View::new(1, 0)], [View::new(1, 0)]);
        stage.wait(leg(1));
        stage.wait(leg(2));
        assert_eq!(cast(&stage, 1, &mut one), [Some(leg(2))]);
        assert_eq!(cast(&stage, 2, &mut two), [Some(leg(1))]);
        stage.enter(leg(2));
        stage.enter(leg(3));
        assert_eq!(cast(&stage, 1, &mut one), [Some(leg(3))]);
        stage.leave(leg(3));
        assert_eq!(cast(&stage, 1, &mut one), [Some(leg(2))]);
    }

    #[test]
    fn on_several_lines_those_who_spoke_last_keep_their_places() {
        let mut stage = Stage::default();
        let mut views = [View::new(1, 0), View::new(2, 0), View::new(3, 0)];
        (1..=5).for_each(|number| stage.wait(leg(number)));
        let seen = |numbers: [u128; 3]| numbers.map(|number| Some(leg(number)));
        assert_eq!(cast(&stage, 9, &mut views), seen([1, 2, 3]));
        // Who is seen already and speaks moves nobody; who is not takes the place of the one
        // who has been silent longest.
        stage.enter(leg(3));
        assert_eq!(cast(&stage, 9, &mut views), seen([1, 2, 3]));
        stage.enter(leg(5));
        assert_eq!(cast(&stage, 9, &mut views), seen([1, 5, 3]));
        // Who was asked for stays, on the line on which it was.
        views[2].asked = Some(leg(4));
        assert_eq!(cast(&stage, 9, &mut views), seen([3, 5, 4]));
        (1..=3).for_each(|number| stage.enter(leg(number)));
        assert_eq!(cast(&stage, 9, &mut views), seen([3, 2, 4]));
    }
}
