//! Sound for many at once: whoever likes the same codec best, with the same parameters, gets
//! the same payload, which is encoded when the first of them asks; those who lose packets get one
//! that is protected from that. The encoder goes on from
//! one 20 ms to the next, whoever listens.

use bytes::Bytes;

use super::SendError;
use crate::arena::Arena;
use crate::audio::level::Level;
use crate::description::Payload;
use crate::payload::encode::{Encoder, is_alike};

/// How many codecs and parameters there may be among the listeners; beyond, those who came
/// first keep theirs and the rest is encoded anew each time.
const SHAPES_MAX: usize = 16;

/// What every listener of one shape gets.
#[derive(Debug)]
struct Shape {
    payload: Payload,
    protected: bool,
    encoder: Encoder,
    /// Of the current sound; the inner `None` is a silence that need not be sent.
    encoded: Option<Option<Bytes>>,
}

/// 20 ms of sound at a time, for any number of sessions.
#[derive(Debug)]
pub struct Broadcast {
    rate: u32,
    samples: Vec<i16>,
    level: Level,
    shapes: Vec<Shape>,
    arena: Arena,
    encodings: u64,
}

impl Broadcast {
    /// Of mono sound at this rate, which is the `output_rate` of the sessions.
    #[must_use]
    pub fn new(rate: u32) -> Self {
        let (samples, shapes) = (vec![0; crate::audio::frame_samples(rate)], Vec::new());
        let level = Level::of(&samples);
        Self { rate, samples, level, shapes, arena: Arena::default(), encodings: 0 }
    }

    /// The next 20 ms. Samples beyond them are cut off, and missing ones are silence.
    pub fn set(&mut self, samples: &[i16]) {
        let wanted = self.samples.len();
        self.samples.clear();
        self.samples.extend(samples.iter().take(wanted));
        self.samples.resize(wanted, 0);
        self.level = Level::of(&self.samples);
        for shape in &mut self.shapes {
            shape.encoded = None;
        }
    }

    /// How loud the current 20 ms are.
    pub(super) const fn level(&self) -> Level {
        self.level
    }

    /// How often something was encoded, which is what listeners do not add to.
    #[must_use]
    pub const fn encodings(&self) -> u64 {
        self.encodings
    }

    /// The current 20 ms as this payload has it, protected from loss or not.
    pub(super) fn encoded(
        &mut self,
        payload: &Payload,
        protected: bool,
    ) -> Result<Option<Bytes>, SendError> {
        let protected = protected && payload.in_band_fec;
        let alike =
            |shape: &Shape| shape.protected == protected && is_alike(&shape.payload, payload);
        let index = match self.shapes.iter().position(alike) {
            Some(index) => index,
            None => {
                if self.shapes.len() >= SHAPES_MAX {
                    self.shapes.pop();
                }
                let mut encoder = Encoder::new(payload, self.rate)?;
                encoder.protect(protected);
                let payload = payload.clone();
                self.shapes.push(Shape { payload, protected, encoder, encoded: None });
                self.shapes.len() - 1
            }
        };
        let shape = &mut self.shapes[index];
        if let Some(encoded) = &shape.encoded {
            return Ok(encoded.clone());
        }
        self.encodings += 1;
        let encoded = shape.encoder.encode(&self.samples, &mut self.arena)?;
        shape.encoded = Some(encoded.clone());
        Ok(encoded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::Codec;

    #[test]
    fn whoever_likes_the_same_gets_the_same_and_it_is_encoded_once() {
        let mut broadcast = Broadcast::new(16_000);
        let opus = |number| Payload::new(number, Codec::Opus { stereo: false });
        let pcmu = Payload::new(0, Codec::Pcmu);
        for turn in 1..=3_u64 {
            broadcast.set(&[1_000; 320]);
            let first = broadcast.encoded(&opus(111), false).expect("Opus encodes");
            let second = broadcast.encoded(&opus(96), false).expect("Opus encodes");
            assert_eq!(first, second);
            assert!(first.is_some());
            let other = broadcast.encoded(&pcmu, false).expect("G.711 encodes");
            assert_eq!(other.expect("it always sends").len(), 160);
            let same = broadcast.encoded(&pcmu, true).expect("G.711 encodes");
            assert_eq!(same.map(|bytes| bytes.len()), Some(160), "it cannot be protected");
            assert_eq!(broadcast.encodings(), 2 * turn);
        }
    }
}
