//! A prompt as it is sent to many: each 20 ms are encoded when the first peer comes to them, and
//! kept for all others, whenever they do.

use bytes::Bytes;

use super::{FRAME, RATE};
use crate::arena::Arena;
use crate::audio::level::Level;
use crate::description::Payload;
use crate::payload::encode::{EncodeError, Encoder, is_alike};

/// How many codecs and parameters are kept, and together no more bytes than the samples have.
/// Others encode for themselves, and so does whoever comes to where there is no room left.
const SHAPES_MAX: usize = 4;

/// Bytes of memory that are taken at once: about a second of Opus.
const CHUNK: usize = 4 * 1024;

/// 20 ms of a prompt, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    /// A silence that need not be sent has none.
    pub(crate) body: Option<Bytes>,
    /// How loud it is.
    pub(crate) level: Level,
}

/// What everybody gets who likes the same.
#[derive(Debug)]
struct Shape {
    payload: Payload,
    /// Until the end is reached.
    encoder: Option<Encoder>,
    frames: Vec<Encoded>,
}

/// What a prompt was encoded to so far.
#[derive(Debug)]
pub(super) struct Encodings {
    shapes: Vec<Shape>,
    arena: Arena,
    /// Of all frames.
    bytes: usize,
}

impl Default for Encodings {
    fn default() -> Self {
        Self { shapes: Vec::new(), arena: Arena::of_chunks(CHUNK), bytes: 0 }
    }
}

impl Encodings {
    /// The 20 ms with this number, of so many. `None` for whoever is further than anybody was,
    /// and beyond [`SHAPES_MAX`].
    pub(super) fn get(
        &mut self,
        index: usize,
        length: usize,
        payload: &Payload,
        samples: impl FnOnce() -> [i16; FRAME],
    ) -> Result<Option<Encoded>, EncodeError> {
        let place = match self.shapes.iter().position(|shape| is_alike(&shape.payload, payload)) {
            Some(place) => place,
            None if self.shapes.len() >= SHAPES_MAX => return Ok(None),
            None => {
                let encoder = Some(Encoder::new(payload, RATE)?);
                self.shapes.push(Shape { payload: payload.clone(), encoder, frames: Vec::new() });
                self.shapes.len() - 1
            }
        };
        let shape = &mut self.shapes[place];
        if index == shape.frames.len()
            && let Some(encoder) = &mut shape.encoder
        {
            let samples = samples();
            let body = encoder.encode(&samples, &mut self.arena)?;
            self.bytes += size_of::<Encoded>() + body.as_ref().map_or(0, Bytes::len);
            shape.frames.push(Encoded { body, level: Level::of(&samples) });
            let is_full = self.bytes >= length * FRAME * size_of::<i16>();
            if shape.frames.len() >= length || is_full {
                shape.encoder = None;
            }
        }
        Ok(shape.frames.get(index).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Player, Wav};
    use super::*;
    use crate::audio::Audio;
    use crate::description::Codec;

    fn opus() -> Payload {
        Payload::new(111, Codec::Opus { stereo: false })
    }

    fn speech(frames: usize) -> Vec<i16> {
        let sample = |index: usize| {
            let time = index as f64 / f64::from(RATE);
            let loud = (time * 9.0).sin().abs() * 6_000.0;
            let wave = |hertz: f64| (time * hertz * core::f64::consts::TAU).sin();
            ((wave(160.0) + wave(480.0) / 2.0) * loud) as i16
        };
        (0..frames * FRAME).map(sample).collect()
    }

    #[test]
    fn whoever_comes_later_gets_the_same_bytes_and_nothing_is_encoded_again() {
        let wav = Wav::new(&speech(10)).expect("short");
        let get = |index, payload: &Payload| wav.encoded(index, payload).expect("it encodes");
        let first: Vec<_> = (0..10).map(|index| get(index, &opus()).expect("in order")).collect();
        let again = Payload { payload_type: 96, ..opus() };
        for (index, first) in first.iter().enumerate() {
            let same = get(index, &again).expect("it is there");
            let (one, other) = (first.body.as_ref(), same.body.as_ref());
            assert_eq!(one.map(|bytes| bytes.as_ptr()), other.map(|bytes| bytes.as_ptr()));
            assert_eq!(same.level, Level::of(&wav.frame(index)));
        }
        // Whoever begins in the middle with a codec of its own is not made to wait.
        let pcmu = Payload::new(0, Codec::Pcmu);
        assert!(get(3, &pcmu).is_none());
        assert!(get(0, &pcmu).is_some());
    }

    #[test]
    fn no_more_shapes_are_kept_than_allowed() {
        let wav = Wav::new(&speech(2)).expect("short");
        let shaped = |rate: u32| Payload { bitrate_max: Some(rate), ..opus() };
        for rate in 0..SHAPES_MAX as u32 {
            assert!(wav.encoded(0, &shaped(20_000 + rate)).expect("it encodes").is_some());
        }
        assert!(wav.encoded(0, &shaped(30_000)).expect("it encodes").is_none());
        assert!(wav.encoded(1, &shaped(20_000)).expect("it encodes").is_some());
    }

    #[test]
    fn no_more_bytes_are_kept_than_the_samples_have() {
        const FRAMES: usize = 100;
        let wav = Wav::new(&speech(FRAMES)).expect("short");
        // Four encodings that are as large as the samples each.
        let mut kept = 0;
        for rate in 0..SHAPES_MAX as u32 {
            let greedy = Payload { bitrate_max: Some(500_000 + rate), ..opus() };
            for index in 0..FRAMES {
                let encoded = wav.encoded(index, &greedy).expect("it encodes");
                kept += encoded.map_or(0, |encoded| encoded.body.map_or(0, |body| body.len()));
            }
        }
        assert!((1..FRAMES * FRAME * 2).contains(&kept), "{kept}");
        assert!(wav.encoded(FRAMES - 1, &opus()).expect("it encodes").is_none());
    }

    /// How far what is heard is from what was meant, as a part of its power; the codec's delay is
    /// made good.
    fn error(heard: &[i16], meant: &[i16]) -> f64 {
        let far = |delay: usize| {
            let pairs = heard.iter().skip(delay).zip(meant);
            let (error, power) = pairs.fold((0.0, 1.0), |(error, power), (heard, meant)| {
                let (heard, meant) = (f64::from(*heard), f64::from(*meant));
                (error + (heard - meant).powi(2), power + meant * meant)
            });
            error / power
        };
        (0..FRAME).map(far).fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn one_prompt_behind_another_sounds_as_if_it_were_one_stream() {
        let samples = speech(40);
        let wav = Wav::new(&samples).expect("short");
        let mut player = Player::new(vec![wav.clone(), wav], false, RATE).expect("two");
        let mut decoder = crate::codec::opus::Decoder::new(RATE, 1).expect("libopus is built in");
        let (mut audio, mut heard) = (Audio::default(), Vec::new());
        while player.pull(&mut audio) {
            let (wav, index) = player.current().expect("whole frames");
            assert_eq!(audio.samples, wav.frame(index));
            let encoded = wav.encoded(index, &opus()).expect("it encodes").expect("in order");
            let mut room = [0; FRAME];
            decoder.decode(&encoded.body.expect("it is loud"), &mut room).expect("it decodes");
            heard.extend_from_slice(&room);
        }
        assert_eq!(heard.len(), 80 * FRAME);
        // The seam is where the second begins: no worse there than the beginning of the first.
        let around = |at: usize| error(&heard[at..at + 6 * FRAME], &samples[..5 * FRAME]);
        let (first, second) = (around(0), around(40 * FRAME));
        assert!(second < first * 1.5 + 0.01, "{first} at first, {second} behind it");
    }

    #[test]
    fn what_is_of_two_prompts_or_between_whole_frames_is_nobody_elses() {
        let (odd, even) =
            (Wav::new(&[7; 500]).expect("short"), Wav::new(&[9; 640]).expect("short"));
        let mut player = Player::new(vec![odd, even], false, RATE).expect("two");
        let mut audio = Audio::default();
        let mut shared = Vec::new();
        while player.pull(&mut audio) {
            shared.push(player.current().map(|(wav, index)| (wav.samples()[0], index)));
        }
        assert_eq!(shared, [Some((7, 0)), None, None, None]);
        assert_eq!(player.current(), None);
    }
}
