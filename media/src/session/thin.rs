//! Which pictures of a stream are let in where the path carries less than all of them. First
//! those go that no other refers to (H.264's `nal_ref_idc` of 0: the upper temporal layers),
//! then all up to the next key frame: what refers to something that was left out shows
//! nothing. While there is not enough room, key frames alone go; they are asked for when the
//! way is empty, and at once when there is room for everything again. Where nothing but pictures
//! can show that there is room again, some go behind each key frame.

use core::time::Duration;

use arrayvec::ArrayVec;

use crate::payload::h264;
use crate::time::Instant;
use crate::video::nal::{self, Header, UnitType};

/// With so much on its way, pictures that no other refers to are left out.
const DISPOSABLE_MAX: Duration = Duration::from_millis(150);

/// With so much on its way, no key frame begins.
const KEY_FRAME_MAX: Duration = Duration::from_millis(250);

/// With so much on its way, everything up to the next key frame is left out.
const BACKLOG_MAX: Duration = Duration::from_millis(1_000);

/// So much while what it takes is a guess: mostly the path carries several times as much.
const GUESSED_MAX: Duration = Duration::from_millis(3_000);

/// Where pictures are what shows how much the path carries, they go until so much is on its way.
const TRIAL_MAX: Duration = Duration::from_millis(300);

/// Between two requests for a key frame when there is room, and when there is room for little
/// more than it.
const ROOM_INTERVAL: Duration = Duration::from_secs(1);
const SLIDE_INTERVAL: Duration = Duration::from_secs(4);

/// A number this far behind the newest is late; farther, numbers began anew.
const REACH: u16 = 8_192;

/// What depends on a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// Nothing before it is needed, and a viewer can begin here.
    Key,
    /// Later ones refer to it.
    Needed,
    /// No other refers to it.
    Disposable,
}

impl Weight {
    /// Of an access unit.
    pub(super) fn of_unit(access_unit: &[u8]) -> Self {
        let headers = nal::units(access_unit).filter_map(|unit| unit.first());
        Self::of(headers.map(|byte| Header::from_byte(*byte)))
    }

    /// Of a picture, as far as its first packet alone can tell.
    pub(super) fn of_payload(payload: &[u8]) -> Self {
        match Self::of(h264::units(payload)) {
            Self::Disposable if !tells_that_nobody_refers_to_it(payload) => Self::Needed,
            weight => weight,
        }
    }

    fn of(units: impl Iterator<Item = Header>) -> Self {
        let mut weight = Self::Disposable;
        for header in units {
            if matches!(header.unit_type(), UnitType::IDR | UnitType::SPS) {
                return Self::Key;
            }
            if header.reference() > 0 {
                weight = Self::Needed;
            }
        }
        weight
    }
}

/// Whether a packet in which no unit is referred to says so of its picture.
fn tells_that_nobody_refers_to_it(payload: &[u8]) -> bool {
    let mut units = h264::units(payload).peekable();
    match units.peek() {
        // A delimiter, or information for somebody, does not tell what follows it.
        Some(_) => units.any(|header| header.unit_type().is_picture()),
        // The rest of something: its first byte does.
        None => payload.first().is_some_and(|byte| Header::from_byte(*byte).reference() == 0),
    }
}

/// What the path has room for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// How long what is on its way takes.
    pub(super) backlog: Duration,
    /// Whether everything that is offered could go.
    pub(super) fits: bool,
    /// Whether pictures alone can show that there is more: the peer tells when packets arrive,
    /// but there is no stream in which padding could be sent.
    pub(super) shown_by_pictures: bool,
    /// Whether that is a guess, because the path is being tried for the first time.
    pub(super) is_guess: bool,
}

/// Decides for one stream.
#[derive(Debug, Default)]
pub(super) struct Thinner {
    /// Nothing goes before a key frame.
    held: bool,
    /// A picture did not go because there was no room.
    crowded_out: bool,
    /// Other pictures begin with the next key frame: what there is room for says nothing of them.
    anew: bool,
    asked: Option<Instant>,
    /// The picture whose packets are being passed on, and whether it goes.
    current: Option<(u32, bool)>,
    /// The newest number of somebody else's packets.
    newest: Option<u16>,
    pub(super) frames_discarded: u64,
    renumbered: Option<Box<Renumbered>>,
}

impl Thinner {
    /// Whether a picture goes.
    pub(super) fn admit(&mut self, weight: Weight, room: Room) -> bool {
        let goes = match weight {
            Weight::Key if self.anew => room.backlog <= BACKLOG_MAX,
            Weight::Key => room.backlog <= KEY_FRAME_MAX,
            _ if self.held => {
                self.frames_discarded += 1;
                return false;
            }
            Weight::Disposable => room.backlog <= DISPOSABLE_MAX,
            Weight::Needed if room.is_guess => room.backlog <= GUESSED_MAX,
            Weight::Needed if room.fits || !room.shown_by_pictures => room.backlog <= BACKLOG_MAX,
            Weight::Needed => room.backlog <= TRIAL_MAX,
        };
        match (weight, goes) {
            // With room for key frames alone, what follows is left out at once.
            (Weight::Key, true) => {
                let anew = core::mem::take(&mut self.anew);
                self.held = !anew && !room.fits && !room.shown_by_pictures;
            }
            (Weight::Key | Weight::Needed, false) => self.held = true,
            _ => {}
        }
        self.frames_discarded += u64::from(!goes);
        self.crowded_out |= !goes;
        goes
    }

    /// Whether a picture did not go because there was no room; once.
    pub(super) const fn take_crowded_out(&mut self) -> bool {
        core::mem::replace(&mut self.crowded_out, false)
    }

    /// Nothing goes before the next key frame, whatever there is room for.
    pub(super) const fn hold(&mut self) {
        self.held = true;
    }

    /// Other pictures than until now come next, with a key frame.
    pub(super) const fn begin_anew(&mut self) {
        self.anew = true;
    }

    /// Whether it waits for a key frame.
    pub(super) const fn is_held(&self) -> bool {
        self.held
    }

    /// Whether the source is to be asked for a key frame.
    pub(super) fn asks(&mut self, now: Instant, room: Room) -> bool {
        let soon = room.fits || room.shown_by_pictures;
        let interval = if soon { ROOM_INTERVAL } else { SLIDE_INTERVAL };
        let asks = self.held
            && room.backlog <= Duration::from_millis(50)
            && self.asked.is_none_or(|asked| now.since(asked) >= interval);
        if asks {
            self.asked = Some(now);
        }
        asks
    }

    /// Under which number a packet of somebody else's picture goes, if it does.
    pub(super) fn pass(
        &mut self,
        number: u16,
        timestamp: u32,
        payload: &[u8],
        room: Room,
    ) -> Option<u16> {
        let behind = self.newest.is_some_and(|newest| newest.wrapping_sub(number) < REACH);
        if !behind {
            self.newest = Some(number);
            let weight = Weight::of_payload(payload);
            let goes = match self.current {
                // Parameter sets may come behind something of little weight.
                Some((current, false)) if current == timestamp && weight == Weight::Key => {
                    self.admit(weight, room)
                }
                Some((current, goes)) if current == timestamp => goes,
                _ => self.admit(weight, room),
            };
            self.current = Some((timestamp, goes));
            if goes && self.renumbered.is_none() {
                return Some(number);
            }
            self.renumbered
                .get_or_insert_with(|| Box::new(Renumbered::new(number)))
                .take(number, goes);
        }
        match &self.renumbered {
            Some(renumbered) => renumbered.number(number),
            None => Some(number),
        }
    }

    /// The picture that was begun goes no further: there is no room for its packets.
    pub(super) const fn break_off(&mut self) {
        self.held = true;
        if let Some((_, goes)) = &mut self.current {
            *goes = false;
        }
        self.frames_discarded += 1;
    }
}

/// From this number on.
#[derive(Clone, Copy, Debug)]
struct Run {
    from: u16,
    /// What is taken off the numbers.
    less: u16,
    goes: bool,
}

/// Numbers without those that were left out: a gap would be taken for loss, and asked for.
#[derive(Debug)]
struct Renumbered {
    runs: ArrayVec<Run, 64>,
    newest: u16,
}

impl Renumbered {
    fn new(first: u16) -> Self {
        let before = first.wrapping_sub(1);
        let run = Run { from: before.wrapping_sub(REACH), less: 0, goes: true };
        Self { runs: core::iter::once(run).collect(), newest: before }
    }

    /// The newest number goes, or does not.
    fn take(&mut self, number: u16, goes: bool) {
        let step = number.wrapping_sub(self.newest);
        let Some(&Run { less, goes: before, .. }) = self.runs.last() else { return };
        // What is missing between two that are left out is left out as well.
        let less = match (before, goes) {
            (false, false) => less.wrapping_add(step),
            (false, true) => less.wrapping_add(step - 1),
            (true, false) => less.wrapping_add(1),
            (true, true) => less,
        };
        self.newest = number;
        match self.runs.last_mut() {
            Some(run) if before == goes => run.less = less,
            _ => {
                if self.runs.is_full() {
                    self.runs.remove(0);
                }
                self.runs.push(Run { from: number, less, goes });
            }
        }
    }

    /// What a number has become.
    fn number(&self, number: u16) -> Option<u16> {
        let at_or_behind = |run: &&Run| number.wrapping_sub(run.from) <= u16::MAX / 2;
        let run = self.runs.iter().rev().find(at_or_behind)?;
        run.goes.then(|| number.wrapping_sub(run.less))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROOM: Room =
        Room { backlog: Duration::ZERO, fits: true, shown_by_pictures: false, is_guess: false };
    const FULL: Room = Room { backlog: Duration::from_secs(2), fits: false, ..ROOM };

    #[test]
    fn what_refers_to_something_left_out_is_left_out_until_a_key_frame() {
        let mut thinner = Thinner::default();
        let some = Room { backlog: Duration::from_millis(200), ..ROOM };
        assert!(thinner.admit(Weight::Key, ROOM));
        assert!(!thinner.admit(Weight::Disposable, some));
        assert!(thinner.admit(Weight::Needed, some));
        assert!(!thinner.admit(Weight::Needed, FULL));
        assert!(!thinner.admit(Weight::Needed, ROOM), "it refers to the one before");
        assert!(thinner.asks(Instant::from_millis(1), ROOM));
        assert!(!thinner.asks(Instant::from_millis(900), ROOM));
        assert!(thinner.admit(Weight::Key, ROOM));
        assert!(thinner.admit(Weight::Disposable, ROOM));
        assert!(!thinner.asks(Instant::from_millis(5_000), ROOM));
        assert_eq!(thinner.frames_discarded, 3);
    }

    #[test]
    fn with_little_room_key_frames_go_alone() {
        let mut thinner = Thinner::default();
        let little = Room { fits: false, ..ROOM };
        assert!(thinner.admit(Weight::Key, little));
        assert!(!thinner.admit(Weight::Needed, little));
        assert!(thinner.asks(Instant::from_millis(1), little));
        assert!(!thinner.asks(Instant::from_millis(3_900), little));
        assert!(thinner.asks(Instant::from_millis(4_001), little));
    }

    #[test]
    fn where_only_pictures_tell_some_go_behind_each_key_frame() {
        let mut thinner = Thinner::default();
        let little = Room { fits: false, shown_by_pictures: true, ..ROOM };
        assert!(thinner.admit(Weight::Key, little));
        assert!(thinner.admit(Weight::Needed, little));
        let full = Room { backlog: TRIAL_MAX + Duration::from_millis(1), ..little };
        assert!(!thinner.admit(Weight::Needed, full));
        assert!(!thinner.admit(Weight::Needed, little), "it refers to the one before");
        assert!(thinner.asks(Instant::from_millis(1), little));
        assert!(thinner.asks(Instant::from_millis(1_001), little));
    }

    /// Key frames are 5, others 1, disposable ones 1 with a reference of 0.
    fn payload(kind: u8) -> [u8; 2] {
        match kind {
            0 => [0x65, 0],
            1 => [0x41, 0],
            _ => [0x01, 0],
        }
    }

    #[test]
    fn a_delimiter_ahead_does_not_make_a_picture_one_that_nobody_refers_to() {
        let stap = |units: &[&[u8]]| {
            let unit = |unit: &&[u8]| [&[0, unit.len() as u8][..], unit].concat();
            [vec![0x78], units.iter().flat_map(unit).collect()].concat()
        };
        let (delimiter, needed, alone, key) =
            ([0x09, 0xf0], [0x41, 0x9a], [0x01, 0x9a], [0x65, 0x88]);
        for (payload, weight) in [
            (delimiter.to_vec(), Weight::Needed),
            (vec![0x06, 0x05], Weight::Needed),
            (stap(&[&delimiter, &needed]), Weight::Needed),
            (stap(&[&delimiter, &alone]), Weight::Disposable),
            (stap(&[&delimiter, &[0x67, 1], &[0x68, 1], &key]), Weight::Key),
            (stap(&[&[0x06, 1], &key]), Weight::Key),
            (vec![0x68, 1], Weight::Needed),
            (vec![0x1c, 0x41, 7], Weight::Disposable),
            (vec![0x5c, 0x41, 7], Weight::Needed),
            (Vec::new(), Weight::Needed),
        ] {
            assert_eq!(Weight::of_payload(&payload), weight, "{payload:02x?}");
        }
    }

    proptest! {
        #[test]
        fn what_goes_follows_each_other_without_a_gap_and_late_ones_find_their_place(
            first in any::<u16>(),
            frames in prop::collection::vec((0..3_u8, 1..6_u16, any::<bool>(), any::<bool>()), 1..120),
        ) {
            let mut thinner = Thinner::default();
            let (mut number, mut next) = (first, first);
            for (timestamp, (kind, packets, full, swap)) in (0..).zip(frames) {
                let room = if full { FULL } else { ROOM };
                let mut numbers: Vec<u16> = (0..packets).map(|i| number.wrapping_add(i)).collect();
                number = number.wrapping_add(packets);
                if swap && packets > 2 {
                    numbers.swap(1, 2);
                }
                let passed: Vec<_> = numbers
                    .iter()
                    .filter_map(|number| thinner.pass(*number, timestamp, &payload(kind), room))
                    .collect();
                prop_assert!(passed.is_empty() || passed.len() == usize::from(packets));
                let mut sorted = passed.clone();
                sorted.sort_by_key(|number| number.wrapping_sub(next));
                let wanted: Vec<u16> =
                    (0..passed.len() as u16).map(|i| next.wrapping_add(i)).collect();
                prop_assert_eq!(&sorted, &wanted);
                next = next.wrapping_add(passed.len() as u16);
            }
        }
    }
}
