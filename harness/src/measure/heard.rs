//! What somebody was played of one source, 20 ms after 20 ms, and what can be read off
//! that alone: when the recording was playing, what was made up meanwhile, and whether it
//! ever went back.

use core::ops::Range;

use callrig_media::audio::Kind;
use callrig_media::time::Instant;

use crate::actor::ActorId;
use crate::trace::{Heard, Trace, Track, What};

/// The sound that one listener had of one source.
#[derive(Clone, Debug)]
pub struct Playback<'a> {
    /// The samples.
    pub track: &'a Track,
    /// Each 20 ms: when it began to be played, and what it is.
    pub frames: Vec<(Instant, Heard)>,
}

/// All that somebody was played, one for each source and layout.
#[must_use]
pub fn by<'a>(trace: &'a Trace, who: ActorId) -> Vec<Playback<'a>> {
    let mut list: Vec<(usize, Playback<'a>)> = Vec::new();
    for (index, track) in trace.tracks().iter().enumerate() {
        if track.who == who {
            list.push((index, Playback { track, frames: Vec::new() }));
        }
    }
    for fact in trace.facts() {
        let What::Heard(heard) = &fact.what else { continue };
        let one = list.iter_mut().find(|(index, _)| *index == usize::from(heard.track));
        if let Some((_, playback)) = one {
            playback.frames.push((fact.at, *heard));
        }
    }
    list.into_iter().map(|(_, playback)| playback).collect()
}

impl Playback<'_> {
    /// Samples per channel of 20 ms.
    #[must_use]
    pub const fn frame(&self) -> u32 {
        self.track.rate / 50
    }

    /// The samples of a frame, interleaved.
    #[must_use]
    pub fn samples(&self, heard: &Heard) -> &[i16] {
        let start = heard.start as usize;
        self.track.samples.get(start..start + heard.samples as usize).unwrap_or_default()
    }

    /// The frames from the first to the last that hold what was sent. Before and after it
    /// the sender had nothing to say, and there is nothing to conceal; a frame in which the
    /// sender's last packet ends is left out.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        let frame = self.frame();
        let is_real = |(_, heard): &(Instant, Heard)| heard.concealed < frame;
        let first = self.frames.iter().position(is_real).unwrap_or(0);
        let Some(last) = self.frames.iter().rposition(is_real) else { return first..first };
        let (_, heard) = &self.frames[last];
        let ends = heard.concealed > 0 && heard.timestamp.is_some();
        first..if ends { last.max(first) } else { last + 1 }
    }

    /// The frames of the span.
    #[must_use]
    pub fn spoken(&self) -> &[(Instant, Heard)] {
        &self.frames[self.span()]
    }
}

/// Samples per channel, and beginnings, of what was concealed: frames that are wholly or
/// in part made up because something was missing. A pause that the sender made is not.
#[must_use]
pub fn concealment(frames: &[(Instant, Heard)]) -> (u64, u64) {
    let (mut samples, mut events, mut concealing) = (0, 0, false);
    for (_, heard) in frames {
        let lost = matches!(heard.kind, Kind::Concealed | Kind::Silence);
        if lost {
            samples += u64::from(heard.concealed);
            events += u64::from(!concealing);
        }
        concealing = lost;
    }
    (samples, events)
}

/// A step back on the timeline of the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepBack {
    /// When the frame was played.
    pub at: Instant,
    /// Where the frame before ended at least, as an RTP timestamp.
    pub reached: u32,
    /// Where it begins.
    pub timestamp: u32,
}

/// Where what is played begins before the end of what was played: sound that is heard
/// again, or in the wrong order. `ticks` is the length of a frame on the RTP clock. How
/// much of the sender's time a stretched frame covers cannot be seen from outside: of
/// those only the beginning counts.
#[must_use]
pub fn steps_back(frames: &[(Instant, Heard)], ticks: u32) -> Vec<StepBack> {
    let mut steps = Vec::new();
    let mut reached: Option<u32> = None;
    for (at, heard) in frames {
        let Some(timestamp) = heard.timestamp else { continue };
        if let Some(reached) = reached
            && timestamp.wrapping_sub(reached).cast_signed() < 0
        {
            steps.push(StepBack { at: *at, reached, timestamp });
        }
        let whole = matches!(heard.kind, Kind::Played) && heard.concealed == 0;
        reached = Some(timestamp.wrapping_add(if whole { ticks } else { 1 }));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(list: &[(Kind, Option<u32>, u32)]) -> Vec<(Instant, Heard)> {
        list.iter()
            .enumerate()
            .map(|(n, &(kind, timestamp, concealed))| {
                let at = Instant::from_millis(20 * n as u64);
                let start = 160 * n as u32;
                (at, Heard { track: 0, start, samples: 160, timestamp, kind, concealed })
            })
            .collect()
    }

    #[test]
    fn concealment_is_counted_in_samples_and_in_rows() {
        let list = frames(&[
            (Kind::Played, Some(0), 0),
            (Kind::Concealed, Some(160), 80),
            (Kind::Silence, None, 160),
            (Kind::Played, Some(480), 0),
            (Kind::Comfort, None, 160),
            (Kind::Concealed, None, 160),
            (Kind::Played, Some(800), 0),
        ]);
        assert_eq!(concealment(&list), (400, 2));
    }

    #[test]
    fn only_what_was_sent_makes_the_span() {
        let list = frames(&[
            (Kind::Silence, None, 160),
            (Kind::Played, Some(0), 0),
            (Kind::Concealed, None, 160),
            (Kind::Stretched, Some(160), 0),
            (Kind::Concealed, Some(320), 80),
            (Kind::Silence, None, 160),
        ]);
        let track = Track {
            who: ActorId(0),
            leg: crate::said::Leg(0),
            ssrc: 1,
            rate: 8_000,
            channels: 1,
            samples: vec![0; 960],
        };
        let playback = Playback { track: &track, frames: list };
        assert_eq!(playback.span(), 1..4);
        assert_eq!(playback.frame(), 160);
        let silent = Playback { track: &track, frames: Vec::new() };
        assert!(silent.spoken().is_empty());
    }

    #[test]
    fn a_repetition_is_a_step_back_and_a_gap_is_none() {
        let forward = frames(&[
            (Kind::Played, Some(u32::MAX - 99), 0),
            (Kind::Played, Some(60), 0),
            (Kind::Concealed, None, 160),
            (Kind::Played, Some(700), 0),
            (Kind::Stretched, Some(860), 0),
            (Kind::Played, Some(920), 0),
        ]);
        assert_eq!(steps_back(&forward, 160), []);
        let again = frames(&[(Kind::Played, Some(0), 0), (Kind::Played, Some(80), 0)]);
        let steps = steps_back(&again, 160);
        assert_eq!(steps.len(), 1);
        assert_eq!((steps[0].reached, steps[0].timestamp), (160, 80));
    }
}
