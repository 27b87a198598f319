//! Many speak, everybody hears the others: [`Mixer`] adds up the loudest few and gives
//! each of them the sum without their own voice (N−1), and all who do not speak one and
//! the same sum, which need be encoded only once. Sums are exact; only what is handed out
//! is clipped to 16 bits. Who takes a place among the loudest fades in, and who loses it fades out:
//! a voice that is cut off in the middle clicks. Where there is room for all, nothing fades.

use super::level;
use crate::fault::{self, Fault};

/// The most participants of one mix. Their sum cannot overflow 32 bits.
pub const PARTICIPANTS_MAX: usize = 4_096;

/// Who speaks stays among the speakers until somebody else is this much louder, in power:
/// 3 dB.
const LOYALTY: f64 = 2.0;

/// How much of the loudness before counts with each new frame, so that a pause between
/// words does not cost the floor.
const MEMORY: f64 = 0.9;

/// Voices fade within this part of a frame: a quarter, which is 5 ms of 20.
const FADE: usize = 4;

/// How to mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Samples of a frame, all channels together; every participant's has as many.
    pub frame: usize,
    /// How many are heard at once.
    pub speakers_max: usize,
}

/// Why sound does not go into the mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// A frame of another size than the mix.
    #[error("a frame of {got} samples in a mix of {want}")]
    Frame {
        /// Given.
        got: usize,
        /// As configured.
        want: usize,
    },
    /// Beyond [`PARTICIPANTS_MAX`].
    #[error("more than {PARTICIPANTS_MAX} participants")]
    Full,
    /// Somebody who was heard in this mix already.
    #[error("participant {0} was heard twice in one mix")]
    Twice(u64),
}

#[derive(Clone, Copy, Debug)]
struct Participant {
    key: u64,
    loudness: f64,
    speaks: bool,
    /// Which frame of this mix is theirs.
    frame: Option<usize>,
    /// Which of the mixes without a speaker is theirs, if any.
    own: Option<usize>,
}

/// Mixes one frame after the other.
#[derive(Clone, Debug)]
pub struct Mixer {
    config: Config,
    /// By key.
    participants: Vec<Participant>,
    /// What was pushed, one frame after the other.
    frames: Vec<i16>,
    /// Indices of participants who were heard, loudest first.
    order: Vec<usize>,
    /// Indices of participants who have just lost their place among them.
    leaving: Vec<usize>,
    sum: Vec<i32>,
    shared: Vec<i16>,
    /// The mixes without one speaker, one frame after the other.
    own: Vec<i16>,
    floor: Option<f64>,
    /// How loud everybody is.
    loud: Vec<f64>,
}

impl Mixer {
    /// A mixer of frames of one size.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            participants: Vec::new(),
            frames: Vec::new(),
            order: Vec::new(),
            leaving: Vec::new(),
            sum: vec![0; config.frame],
            shared: vec![0; config.frame],
            own: Vec::new(),
            floor: None,
            loud: Vec::new(),
        }
    }

    /// Takes what a participant says in this frame. Who says nothing is left out.
    ///
    /// # Errors
    /// If it does not fit; then nothing happened.
    pub fn push(&mut self, key: u64, samples: &[i16]) -> Result<(), PushError> {
        if samples.len() != self.config.frame {
            return Err(PushError::Frame { got: samples.len(), want: self.config.frame });
        }
        let found = self.participants.binary_search_by_key(&key, |who| who.key);
        let index = match found {
            Ok(index) if self.participants[index].frame.is_some() => {
                return Err(PushError::Twice(key));
            }
            Ok(index) => index,
            Err(_) if self.participants.len() == PARTICIPANTS_MAX => return Err(PushError::Full),
            Err(index) => {
                let new = Participant { key, loudness: 0.0, speaks: false, frame: None, own: None };
                self.participants.insert(index, new);
                index
            }
        };
        let who = &mut self.participants[index];
        who.frame = Some(self.frames.len() / self.config.frame.max(1));
        let power = level::mean_square(samples);
        who.loudness = (who.loudness * MEMORY).max(power);
        self.frames.extend_from_slice(samples);
        Ok(())
    }

    /// Forgets a participant who has left.
    pub fn remove(&mut self, key: u64) {
        if let Ok(index) = self.participants.binary_search_by_key(&key, |who| who.key) {
            self.participants.remove(index);
        }
    }

    /// Mixes what was pushed since the last time.
    pub fn mix(&mut self) {
        self.choose();
        self.sum.fill(0);
        self.own.clear();
        for &index in self.order.iter().chain(&self.leaving) {
            let frame = frame_of(&self.frames, self.config.frame, &self.participants[index]);
            for (sum, sample) in self.sum.iter_mut().zip(frame) {
                *sum += i32::from(*sample);
            }
        }
        for (shared, sum) in self.shared.iter_mut().zip(&self.sum) {
            *shared = clip(*sum);
        }
        for (own, &index) in self.order.iter().chain(&self.leaving).enumerate() {
            let frame = frame_of(&self.frames, self.config.frame, &self.participants[index]);
            let rest = self.sum.iter().zip(frame).map(|(sum, own)| match own {
                _ if fault::is(Fault::OneselfHeard) => clip(*sum),
                own => clip(sum - i32::from(*own)),
            });
            self.own.extend(rest);
            self.participants[index].own = Some(own);
        }
        self.frames.clear();
        for who in &mut self.participants {
            if who.frame.take().is_none() {
                who.loudness *= MEMORY;
            }
        }
        self.floor = self.find_floor();
    }

    /// The loudness that as many reach as can be heard at once, and what must be more than that.
    fn find_floor(&mut self) -> Option<f64> {
        let last = self.config.speakers_max.checked_sub(1)?;
        if last >= self.participants.len() {
            return None;
        }
        self.loud.clear();
        self.loud.extend(self.participants.iter().map(|who| who.loudness));
        let (_, weakest, _) = self.loud.select_nth_unstable_by(last, |a, b| b.total_cmp(a));
        (*weakest > 0.0).then_some(*weakest * LOYALTY)
    }

    /// Who is heard: the loudest of those who made a sound.
    fn choose(&mut self) {
        // Who joins then may have spoken before, unheard.
        let was_full = self.order.len() >= self.config.speakers_max;
        let participants = &mut self.participants;
        self.order.clear();
        self.order.extend(
            (0..participants.len())
                .filter(|&index| participants[index].frame.is_some())
                .filter(|&index| participants[index].loudness > 0.0),
        );
        let rank = |index: usize| {
            let who = &participants[index];
            who.loudness * if who.speaks { LOYALTY } else { 1.0 }
        };
        // By key where equally loud, so that the same input gives the same output.
        self.order.sort_unstable_by(|&a, &b| rank(b).total_cmp(&rank(a)).then(a.cmp(&b)));
        if fault::is(Fault::SoftestHeard) {
            self.order.reverse();
        }
        self.order.truncate(self.config.speakers_max);
        for &index in &self.order {
            let who = &mut participants[index];
            let joins = !core::mem::replace(&mut who.speaks, true);
            if joins && was_full {
                let frame = frame_of_mut(&mut self.frames, self.config.frame, who);
                fade(&mut frame[..self.config.frame / FADE]);
            }
        }
        self.leaving.clear();
        for (index, who) in participants.iter_mut().enumerate() {
            who.own = None;
            if !who.speaks || self.order.contains(&index) {
                continue;
            }
            who.speaks = false;
            if who.frame.is_some() {
                let frame = frame_of_mut(&mut self.frames, self.config.frame, who);
                let (end, silence) = frame.split_at_mut(self.config.frame / FADE);
                end.reverse();
                fade(end);
                end.reverse();
                silence.fill(0);
                self.leaving.push(index);
            }
        }
    }

    /// Who was heard in the last mix, loudest first.
    pub fn speakers(&self) -> impl Iterator<Item = u64> + '_ {
        self.order.iter().filter_map(|&index| self.participants.get(index)).map(|who| who.key)
    }

    /// Those of the [speakers](Self::speakers) who were louder, of late, than this mean square.
    pub fn speakers_above(&self, power: f64) -> impl Iterator<Item = u64> + '_ {
        let heard = self.order.iter().filter_map(|&index| self.participants.get(index));
        heard.filter(move |who| who.loudness > power).map(|who| who.key)
    }

    /// How loud somebody who is not heard must become to be, as a mean square; `None` where there
    /// is room for everybody. It sinks while those who are heard pause.
    #[must_use]
    pub const fn floor(&self) -> Option<f64> {
        self.floor
    }

    /// Whether somebody was heard in the last mix.
    #[must_use]
    pub fn speaks(&self, key: u64) -> bool {
        let found = self.participants.binary_search_by_key(&key, |who| who.key);
        found.is_ok_and(|index| self.participants[index].speaks)
    }

    /// What all hear who do not speak.
    #[must_use]
    pub fn shared(&self) -> &[i16] {
        &self.shared
    }

    /// What a speaker hears: all others. `None` for everybody else: they hear
    /// [`shared`](Self::shared).
    #[must_use]
    pub fn without(&self, key: u64) -> Option<&[i16]> {
        let index = self.participants.binary_search_by_key(&key, |who| who.key).ok()?;
        let start = self.participants[index].own? * self.config.frame;
        self.own.get(start..start + self.config.frame)
    }
}

fn frame_of<'a>(frames: &'a [i16], length: usize, who: &Participant) -> &'a [i16] {
    let start = who.frame.expect("only who was heard is chosen") * length;
    &frames[start..start + length]
}

fn frame_of_mut<'a>(frames: &'a mut [i16], length: usize, who: &Participant) -> &'a mut [i16] {
    let start = who.frame.expect("only who was heard is chosen, or leaves") * length;
    &mut frames[start..start + length]
}

/// From nothing to as loud as it is.
fn fade(samples: &mut [i16]) {
    let length = samples.len() as i32;
    for (place, sample) in (0..length).zip(samples) {
        *sample = (i32::from(*sample) * place / length) as i16;
    }
}

fn clip(sum: i32) -> i16 {
    sum.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixer(speakers_max: usize) -> Mixer {
        Mixer::new(Config { frame: 2, speakers_max })
    }

    #[test]
    fn speakers_hear_the_others_and_listeners_hear_all() {
        let mut mixer = mixer(3);
        for (key, sample) in [(1, 100), (2, 20), (3, 3)] {
            mixer.push(key, &[sample, -sample]).expect("fits");
        }
        mixer.push(9, &[0, 0]).expect("fits");
        mixer.mix();
        assert_eq!(mixer.without(1), Some(&[23, -23][..]));
        assert_eq!(mixer.without(2), Some(&[103, -103][..]));
        assert_eq!(mixer.without(3), Some(&[120, -120][..]));
        assert_eq!(mixer.without(9), None);
        assert_eq!(mixer.shared(), [123, -123]);
    }

    #[test]
    fn what_is_too_loud_together_is_clipped_but_subtracts_exactly() {
        let mut mixer = mixer(3);
        mixer.push(1, &[30_000, -30_000]).expect("fits");
        mixer.push(2, &[30_000, -30_000]).expect("fits");
        mixer.mix();
        assert_eq!(mixer.shared(), [32_767, -32_768]);
        assert_eq!(mixer.without(1), Some(&[30_000, -30_000][..]));
    }

    #[test]
    fn only_the_loudest_are_heard_and_keep_the_floor_for_a_while() {
        let mut mixer = mixer(1);
        mixer.push(1, &[1_000, 1_000]).expect("fits");
        mixer.push(2, &[10, 10]).expect("fits");
        mixer.mix();
        assert_eq!(mixer.shared(), [1_000, 1_000]);
        assert_eq!(mixer.without(2), None);
        mixer.push(1, &[900, 900]).expect("fits");
        mixer.push(2, &[1_100, 1_100]).expect("fits");
        mixer.mix();
        assert_eq!(mixer.speakers().collect::<Vec<_>>(), [1]);
        mixer.push(2, &[2_000, 2_000]).expect("fits");
        mixer.mix();
        assert_eq!(mixer.speakers().collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn who_takes_the_floor_fades_in_and_who_loses_it_fades_out_and_hears_nothing_of_it() {
        let mut mixer = Mixer::new(Config { frame: 400, speakers_max: 1 });
        let mut mix = |one: i16, two: i16| {
            mixer.push(1, &[one; 400]).expect("fits");
            mixer.push(2, &[two; 400]).expect("fits");
            mixer.mix();
            let own = [1, 2].map(|key| mixer.without(key).map(<[i16]>::to_vec));
            (mixer.shared().to_vec(), own)
        };
        assert_eq!(mix(1_000, 100).0, [1_000; 400], "there was room");
        assert_eq!(mix(1_000, 100).0, [1_000; 400], "nothing changes");
        let (both, [one, two]) = mix(100, 2_000);
        let steps = both.windows(2).map(|pair| (pair[1] - pair[0]).abs());
        assert_eq!(steps.max(), Some(20), "the louder fades in within 100 samples");
        assert_eq!((both[0], both[99], both[100]), (99, 1_980, 2_000));
        assert_eq!(one.map(|own| own[50]), Some(1_000), "without its own end");
        assert_eq!(two.map(|own| (own[0], own[100])), Some((99, 0)));
        let (both, [one, _]) = mix(100, 2_000);
        assert_eq!((both, one), (vec![2_000; 400], None));
        // Who falls silent has nothing that could fade.
        mixer.push(1, &[50; 400]).expect("fits");
        mixer.mix();
        assert_eq!((mixer.shared()[0], mixer.shared()[100]), (0, 50));
    }

    #[test]
    fn the_floor_is_what_takes_it_and_sinks_in_a_pause() {
        let mut mixer = mixer(2);
        let mut mix = |says: &[(u64, i16)]| {
            for (key, sample) in says {
                mixer.push(*key, &[*sample, *sample]).expect("fits");
            }
            mixer.mix();
            let speaks: Vec<u64> = (1..=3).filter(|key| mixer.speaks(*key)).collect();
            (mixer.floor(), speaks)
        };
        assert_eq!(mix(&[(1, 1_000)]), (None, vec![1]));
        let (floor, speaks) = mix(&[(1, 1_000), (2, 100), (3, 10)]);
        assert_eq!((floor, speaks), (Some(20_000.0), vec![1, 2]));
        let (_, speaks) = mix(&[(1, 1_000), (2, 100), (3, 141)]);
        assert_eq!(speaks, [1, 2], "141 squared is less than the floor");
        let (floor, speaks) = mix(&[(1, 1_000), (2, 100), (3, 142)]);
        assert_eq!((floor, speaks), (Some(2.0 * 142.0 * 142.0), vec![1, 3]));
        let (lower, _) = mix(&[(1, 1_000)]);
        assert!(lower < floor && lower.is_some(), "{lower:?}");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut mixer = mixer(1);
        assert_eq!(mixer.push(1, &[1]), Err(PushError::Frame { got: 1, want: 2 }));
        mixer.push(1, &[1, 1]).expect("fits");
        assert_eq!(mixer.push(1, &[1, 1]), Err(PushError::Twice(1)));
    }
}
