//! Who is heard in a room, by name: the mix says whose voices are in it (as contributing
//! sources, RFC 3550 section 7.1), and whoever has more than one line of sound hears up to four
//! speakers on them, each apart from the others and encoded once for all. A speaker keeps its
//! line for as long as nobody who speaks needs it.

use callrig_media::audio::mixer::Mixer;
use callrig_media::description::{Description, MediaKind};
use callrig_media::rtp::Csrcs;
use callrig_media::session::{Broadcast, Session};
use callrig_media::time::Instant;

use super::super::source_id;
use super::{Frame, RATE, Routing, SPEAKERS_MAX};
use crate::fault::{self, Fault};
use crate::id::LegId;

/// Whose sound has a lower mean square is not named: −50 dBov is no voice.
const VOICE: f64 = 10_737.0;

/// The lines of sound that a peer listens on: the mix, and then speakers.
pub(super) fn sound_lines(local: &Description) -> Vec<usize> {
    let lines = local.media.iter().enumerate();
    let listens = lines.filter(|(_, line)| {
        line.kind == MediaKind::Audio && !line.rejected && line.direction.sends()
    });
    listens.map(|(index, _)| index).take(1 + SPEAKERS_MAX).collect()
}

fn named(keys: impl Iterator<Item = u64>) -> Csrcs {
    keys.map(|key| source_id(key, MediaKind::Audio)).collect()
}

/// Whose voices are in a mix.
#[derive(Debug, Default)]
pub(super) struct Voices {
    /// In the mixer, loudest first.
    keys: Vec<u64>,
    /// As everybody is told who does not speak.
    all: Csrcs,
}

impl Voices {
    /// Looks at what was just mixed.
    pub(super) fn listen(&mut self, mixer: &Mixer) {
        let unnamed = usize::from(fault::is(Fault::LoudestNotNamed));
        let now = || mixer.speakers_above(VOICE).skip(unnamed);
        if !now().eq(self.keys.iter().copied()) {
            self.keys.clear();
            self.keys.extend(now());
            self.all = named(now());
        }
    }

    /// As one in the room is told, who does not hear itself.
    pub(super) fn heard_by(&self, key: u64) -> Csrcs {
        match self.keys.contains(&key) {
            true => named(self.keys.iter().copied().filter(|other| *other != key)),
            false => self.all.clone(),
        }
    }

    /// As one is told who hears only some of them.
    pub(super) fn routed(&self, hears: impl Fn(u64) -> bool) -> Csrcs {
        named(self.keys.iter().copied().filter(|key| hears(*key)))
    }
}

/// A speaker who is heard apart.
#[derive(Debug)]
struct Slot {
    /// In the mixer.
    speaker: Option<(LegId, u64)>,
    named: Csrcs,
    broadcast: Broadcast,
    /// Whether it says anything in these 20 ms.
    speaks: bool,
}

/// The speakers who are heard apart from each other.
#[derive(Debug)]
pub(super) struct Apart([Slot; SPEAKERS_MAX]);

impl Default for Apart {
    fn default() -> Self {
        Self(core::array::from_fn(|_| Slot {
            speaker: None,
            named: Csrcs::default(),
            broadcast: Broadcast::new(RATE),
            speaks: false,
        }))
    }
}

impl Apart {
    /// Takes in the frames that were just mixed.
    pub(super) fn listen(&mut self, voices: &Voices, frames: &[Frame]) {
        for slot in &mut self.0 {
            slot.speaks = false;
        }
        for frame in frames.iter().filter(|frame| voices.keys.contains(&frame.key)) {
            let has = |slot: &&mut Slot| slot.speaker.is_some_and(|(_, key)| key == frame.key);
            if let Some(slot) = self.0.iter_mut().find(has) {
                slot.say(frame);
            }
        }
        for frame in frames.iter().filter(|frame| voices.keys.contains(&frame.key)) {
            let has = |slot: &Slot| slot.speaker.is_some_and(|(_, key)| key == frame.key);
            if self.0.iter().any(has) {
                continue;
            }
            // There are as many of them as voices at least; one that nobody has had comes first.
            let free = self.0.iter_mut().filter(|slot| !slot.speaks);
            if let Some(slot) = free.min_by_key(|slot| slot.speaker.is_some()) {
                slot.speaker = Some((frame.leg, frame.key));
                slot.named = named(core::iter::once(frame.key));
                slot.say(frame);
            }
        }
    }

    /// Sends what speakers say to one who hears them apart.
    pub(super) fn tell(
        &mut self,
        now: Instant,
        (leg, lines): (LegId, &[usize]),
        routing: Option<&Routing>,
        session: &mut Session,
    ) {
        for (slot, line) in self.0.iter_mut().zip(lines) {
            let Some((speaker, _)) = slot.speaker.filter(|_| slot.speaks) else { continue };
            let hears = routing.is_none_or(|routing| routing.gain(leg, speaker) > 0);
            if speaker == leg || !hears {
                continue;
            }
            session.set_contributors(*line, &slot.named);
            // Nothing can be sent where the peer does not listen; time goes on.
            let _ = session.send_broadcast_on(now, *line, &mut slot.broadcast);
        }
    }
}

impl Slot {
    fn say(&mut self, frame: &Frame) {
        self.broadcast.set(&frame.samples);
        self.speaks = true;
    }
}

#[cfg(test)]
mod tests {
    use callrig_media::audio::mixer::Config;

    use super::super::SAMPLES;
    use super::*;

    /// Who speaks in these 20 ms; the slots by speaker, and which of them speak.
    fn mix(
        mixer: &mut Mixer,
        (voices, apart): (&mut Voices, &mut Apart),
        says: &[(u64, i16)],
    ) -> Vec<(u64, bool)> {
        let frames: Vec<Frame> = says
            .iter()
            .map(|(key, sample)| {
                let samples = vec![*sample; SAMPLES];
                mixer.push(*key, &samples).expect("it fits");
                Frame { leg: LegId::from_u128(u128::from(*key)), key: *key, samples }
            })
            .collect();
        mixer.mix();
        voices.listen(mixer);
        apart.listen(voices, &frames);
        let slots = apart.0.iter().filter_map(|slot| Some((slot.speaker?.1, slot.speaks)));
        slots.collect()
    }

    #[test]
    fn speakers_keep_their_lines_until_others_need_them() {
        let mut mixer = Mixer::new(Config { frame: SAMPLES, speakers_max: SPEAKERS_MAX });
        let (mut voices, mut apart) = (Voices::default(), Apart::default());
        let mut mix = |says: &[(u64, i16)]| mix(&mut mixer, (&mut voices, &mut apart), says);
        assert_eq!(mix(&[(1, 9_000), (2, 8_000)]), [(1, true), (2, true)]);
        // Somebody louder does not move them, and noise has no line.
        assert_eq!(mix(&[(1, 9_000), (3, 20_000), (9, 20)]), [(1, true), (2, false), (3, true)]);
        assert_eq!(
            mix(&[(1, 9_000), (3, 20_000), (4, 9_000), (5, 9_000)]),
            [(1, true), (5, true), (3, true), (4, true)]
        );
        assert_eq!(mix(&[]), [(1, false), (5, false), (3, false), (4, false)]);
    }

    #[test]
    fn a_mix_names_its_voices_loudest_first_and_nobody_to_itself() {
        let mut mixer = Mixer::new(Config { frame: SAMPLES, speakers_max: SPEAKERS_MAX });
        let (mut voices, mut apart) = (Voices::default(), Apart::default());
        mix(&mut mixer, (&mut voices, &mut apart), &[(1, 3_000), (2, 9_000), (3, 10)]);
        let id = |key| source_id(key, MediaKind::Audio);
        assert_eq!(*voices.heard_by(7), [id(2), id(1)]);
        assert_eq!(*voices.heard_by(2), [id(1)]);
        assert_eq!(*voices.routed(|key| key == 1), [id(1)]);
    }
}
