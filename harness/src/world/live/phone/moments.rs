//! When what happens to a phone happened, by the clock of its own: how soon something came, how
//! long pictures stood still, and what it hears of what it said.

use callrig_media::audio::Audio;
use callrig_media::description::MediaDescription;
use callrig_media::time::Instant;
use callrig_media::video::Frame;
use serde::Serialize;

use super::{HEARD_RATE, HEARD_SAMPLES_MAX, Program};
use crate::measure::latency::Freezes;
use crate::measure::mouth_to_ear::Spoken;
use crate::measure::payloads;
use crate::schedule::Schedule;

/// Frames beyond these are not looked at: twenty minutes.
const FRAMES_MAX: usize = 36_000;
/// Sound that comes a little late is played at once; a longer pause is one.
const PAUSE: usize = HEARD_RATE as usize / 25;

/// What a phone notes.
#[derive(Clone, Debug, Default)]
pub(super) struct Moments {
    began: Option<Instant>,
    first_packet: Option<Instant>,
    frames: Vec<Instant>,
    /// The stream of the last frame.
    shown: Option<u32>,
    /// When a key frame was asked for that has not come, and of which stream.
    wanted: Option<(Instant, u32)>,
    key_frame_ms: Option<f64>,
    said: Option<Said>,
    heard: Vec<i16>,
    heard_from: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Said {
    schedule: Schedule,
    media: Vec<MediaDescription>,
    began: Instant,
}

/// How soon something came, and how long pictures stood still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timing {
    /// From the call's standing to the first packet, in milliseconds.
    pub first_packet_ms: Option<f64>,
    /// From the call's standing to the first whole frame, in milliseconds.
    pub first_frame_ms: Option<f64>,
    /// How many frames came whole.
    pub frames: usize,
    /// How long pictures stood still, all freezes together, in milliseconds.
    pub frozen_ms: f64,
    /// From the last asking for a key frame until it was there, in milliseconds.
    pub key_frame_ms: Option<f64>,
    /// Whether a key frame that was asked for has not come yet.
    pub key_frame_wanted: bool,
}

/// What a phone said last and what it heard.
#[derive(Clone, Debug)]
pub struct Exchanged {
    said: Said,
    heard: Vec<i16>,
    heard_from: Instant,
}

impl Moments {
    /// The call is there.
    pub(super) const fn begin(&mut self, now: Instant) {
        self.began = Some(now);
    }

    /// A program begins.
    pub(super) fn say(&mut self, now: Instant, program: &Program) {
        let (schedule, media) = (program.schedule.clone(), program.media.clone());
        self.said = Some(Said { schedule, media, began: now });
    }

    /// A stream begins.
    pub(super) fn packet(&mut self, now: Instant) {
        self.first_packet.get_or_insert(now);
    }

    /// A whole frame is there.
    pub(super) fn frame(&mut self, now: Instant, frame: &Frame) {
        self.shown = Some(frame.ssrc);
        // One that was under way already is no answer.
        let answers = |(asked, ssrc): &mut (Instant, u32)| {
            frame.key_frame && frame.ssrc == *ssrc && frame.arrived_first >= *asked
        };
        if let Some((asked, _)) = self.wanted.take_if(answers) {
            self.key_frame_ms = Some(now.signed_nanos_since(asked).max(0) as f64 / 1e6);
        }
        if self.frames.len() < FRAMES_MAX {
            self.frames.push(now);
        }
    }

    /// The stream whose pictures are shown.
    pub(super) const fn shown(&self) -> Option<u32> {
        self.shown
    }

    /// A key frame of a stream is asked for; who asks again still waits since the first time.
    pub(super) const fn want(&mut self, now: Instant, ssrc: u32) {
        if self.wanted.is_none() {
            self.wanted = Some((now, ssrc));
        }
    }

    /// Sound is played; where none was for a while there is silence.
    pub(super) fn hear(&mut self, now: Instant, audio: &Audio) {
        let from = *self.heard_from.get_or_insert(now);
        let after = u128::from(now.as_nanos().saturating_sub(from.as_nanos()));
        let place = (after * u128::from(HEARD_RATE) / 1_000_000_000) as usize;
        if place > self.heard.len() + PAUSE {
            self.heard.resize(place.min(HEARD_SAMPLES_MAX), 0);
        }
        let room = HEARD_SAMPLES_MAX.saturating_sub(self.heard.len());
        self.heard
            .extend(audio.samples.iter().step_by(usize::from(audio.channels.max(1))).take(room));
    }

    /// What was heard, in one channel of [`HEARD_RATE`].
    pub(super) fn heard(&self) -> &[i16] {
        &self.heard
    }

    pub(super) fn timing(&self) -> Timing {
        let after = |at: Instant| Some(at.signed_nanos_since(self.began?).max(0) as f64 / 1e6);
        Timing {
            first_packet_ms: self.first_packet.and_then(after),
            first_frame_ms: self.frames.first().copied().and_then(after),
            frames: self.frames.len(),
            frozen_ms: Freezes::of(&self.frames).total_nanos() as f64 / 1e6,
            key_frame_ms: self.key_frame_ms,
            key_frame_wanted: self.wanted.is_some(),
        }
    }

    /// What was said last and what was heard; `None` if either is missing.
    pub(super) fn exchanged(&self) -> Option<Exchanged> {
        let (said, heard) = (self.said.clone()?, self.heard.clone());
        Some(Exchanged { said, heard, heard_from: self.heard_from? })
    }
}

impl Exchanged {
    /// How long after it was said it is heard, in seconds. `None` if what was said is no sound in
    /// one codec, or nothing that was heard is like it. Takes a while.
    #[must_use]
    pub fn mouth_to_ear(&self) -> Option<f64> {
        let Said { schedule, media, began } = &self.said;
        let sent = schedule.departures().iter();
        let sent = sent.filter_map(|one| payloads::read(*began + one.after, &one.payload));
        let codec = |payload_type: u8| {
            media.iter().find_map(|line| line.payload(payload_type)).map(|payload| payload.codec)
        };
        let spoken = Spoken::of(sent.collect(), codec, HEARD_RATE)?;
        // The first sample that was heard is due so many samples after the first one was said.
        let behind = i128::from(self.heard_from.signed_nanos_since(spoken.began));
        let behind = (behind * i128::from(HEARD_RATE) / 1_000_000_000) as isize;
        let heard = match usize::try_from(behind) {
            Ok(late) => [vec![0; late.min(HEARD_SAMPLES_MAX)], self.heard.clone()].concat(),
            Err(_) => self.heard.get(behind.unsigned_abs()..)?.to_vec(),
        };
        Some(spoken.lag(&heard, HEARD_RATE)? as f64 / f64::from(HEARD_RATE))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// A frame whose first packet came at `first`, in milliseconds.
    fn frame(ssrc: u32, key_frame: bool, first: u64) -> Frame {
        let arrived_first = Instant::from_millis(first);
        Frame {
            ssrc,
            timestamp: 0,
            data: Bytes::new(),
            key_frame,
            first_sequence: 0,
            last_sequence: 0,
            arrived_first,
            arrived_last: arrived_first,
            resolution: None,
        }
    }

    #[test]
    fn a_key_frame_answers_that_begins_after_the_asking_and_is_of_that_stream() {
        let at = Instant::from_millis;
        let mut moments = Moments::default();
        moments.frame(at(10), &frame(1, true, 5));
        assert_eq!(moments.shown(), Some(1));
        moments.want(at(100), 1);
        moments.want(at(150), 1);
        for other in [frame(1, true, 90), frame(1, false, 120), frame(2, true, 120)] {
            moments.frame(at(130), &other);
            assert!(moments.timing().key_frame_wanted, "{other:?}");
        }
        moments.frame(at(180), &frame(1, true, 160));
        let timing = moments.timing();
        assert_eq!((timing.key_frame_ms, timing.key_frame_wanted), (Some(80.0), false));
        moments.frame(at(300), &frame(1, true, 300));
        assert_eq!(moments.timing().key_frame_ms, Some(80.0), "nobody asked for that one");
    }
}
