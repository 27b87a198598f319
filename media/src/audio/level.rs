//! How loud sound is, as RFC 6464 states it: 0 to 127, in decibels below the level of a
//! full-scale square wave ("−dBov", so 0 is loudest and 127 silence), and whether it is
//! likely to be a voice. The voice detector is our own: RFC 6464 section 3 leaves it open.

use serde::{Deserialize, Serialize};

/// A level in −dBov: 0 is as loud as can be, 127 is silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Level(u8);

impl Level {
    /// No sound at all.
    pub const SILENCE: Self = Self(127);

    /// From −dBov; beyond 127 is 127.
    #[must_use]
    pub const fn from_minus_dbov(value: u8) -> Self {
        if value > 127 { Self::SILENCE } else { Self(value) }
    }

    /// In −dBov.
    #[must_use]
    pub const fn minus_dbov(self) -> u8 {
        self.0
    }

    /// Of these samples, all channels together.
    #[must_use]
    pub fn of(samples: &[i16]) -> Self {
        Self::of_power(mean_square(samples))
    }

    /// Of a mean square in units of one 16-bit step squared.
    #[must_use]
    pub fn of_power(mean_square: f64) -> Self {
        let mut level = 0;
        while level < 127 && mean_square < POWER_OF_HALF_STEP[level] {
            level += 1;
        }
        Self(level as u8)
    }
}

/// Mean square at −(n + 0.5) dBov: what is below it is at least n + 1. A table instead of
/// a logarithm, so that every machine says the same.
static POWER_OF_HALF_STEP: [f64; 127] = power_table();

const fn power_table() -> [f64; 127] {
    // 10^(-1/10) and 10^(-1/20), as the nearest doubles.
    const STEP: f64 = 0.794_328_234_724_281_5;
    const HALF: f64 = 0.891_250_938_133_745_5;
    let mut table = [0.0; 127];
    let mut power = 32_767.0 * 32_767.0 * HALF;
    let mut index = 0;
    while index < 127 {
        table[index] = power;
        power *= STEP;
        index += 1;
    }
    table
}

/// Mean of the squares, 0 for no samples.
#[must_use]
pub fn mean_square(samples: &[i16]) -> f64 {
    if samples.is_empty() {
        return 0.0;
    }
    sum_of_squares(samples) as f64 / samples.len() as f64
}

/// Sum of the squares; exact.
#[must_use]
pub fn sum_of_squares(samples: &[i16]) -> u64 {
    // The halves of the squares are summed apart, so that 32 bits hold both sums of so
    // many samples and the compiler finds vectors to do it in.
    const CHUNK: usize = 4_096;
    samples
        .chunks(CHUNK)
        .map(|chunk| {
            let (mut high, mut low) = (0_u32, 0_u32);
            for &sample in chunk {
                let square = u32::from(sample.unsigned_abs()).pow(2);
                high += square >> 16;
                low += square & 0xffff;
            }
            (u64::from(high) << 16) + u64::from(low)
        })
        .sum()
}

/// A voice is at least this much above the background, in power: 9 dB.
const ABOVE_BACKGROUND: f64 = 8.0;

/// Nothing below this mean square is a voice: about −60 dBov.
const VOICE_MIN: f64 = 1_000.0;

/// How much the background is taken to grow from frame to frame, so that a new one is
/// learnt: a doubling in about 2.5 s of 20 ms frames.
const BACKGROUND_GROWTH: f64 = 1.005_6;

/// Frames after a voice that still belong to it: 200 ms, the pause between words.
const HANGOVER: u32 = 10;

/// Tells voice from background, 20 ms at a time: by how far the power is above the lowest
/// of late.
#[derive(Clone, Copy, Debug)]
pub struct VoiceDetector {
    background: f64,
    hangover: u32,
}

impl Default for VoiceDetector {
    fn default() -> Self {
        Self { background: VOICE_MIN, hangover: 0 }
    }
}

impl VoiceDetector {
    /// Whether this frame is, or just followed, a voice.
    pub fn push(&mut self, samples: &[i16]) -> bool {
        let power = mean_square(samples);
        let loud = power > VOICE_MIN && power > self.background * ABOVE_BACKGROUND;
        // One unit of power so that digital silence does not make a whisper a shout.
        self.background = (self.background * BACKGROUND_GROWTH).min(power).max(1.0);
        self.hangover = if loud { HANGOVER } else { self.hangover.saturating_sub(1) };
        loud || self.hangover > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_scale_square_wave_is_zero_and_silence_the_end_of_the_scale() {
        assert_eq!(Level::of(&[32_767, -32_767]).minus_dbov(), 0);
        assert_eq!(Level::of(&[0; 320]), Level::SILENCE);
        assert_eq!(Level::of(&[]), Level::SILENCE);
    }

    #[test]
    fn the_sum_of_squares_is_exact_at_the_ends_of_the_scale() {
        let samples = [i16::MIN; 10_000];
        assert_eq!(sum_of_squares(&samples), 10_000 << 30);
        assert_eq!(sum_of_squares(&[i16::MAX, -3, 0]), 32_767 * 32_767 + 9);
    }

    #[test]
    fn each_halving_of_the_amplitude_is_six_decibels() {
        for (n, amplitude) in [16_384, 8_192, 4_096, 2_048, 1_024].into_iter().enumerate() {
            assert_eq!(usize::from(Level::of(&[amplitude; 8]).minus_dbov()), 6 * (n + 1));
        }
        assert_eq!(Level::of(&[1; 8]).minus_dbov(), 90);
    }

    #[test]
    fn a_voice_stands_out_of_the_background() {
        let mut detector = VoiceDetector::default();
        let frame = |amplitude: i16| [amplitude, -amplitude].repeat(160);
        assert!((0..50).all(|_| !detector.push(&frame(40))));
        assert!((0..50).all(|_| detector.push(&frame(3_000))));
        let after: Vec<bool> = (0..20).map(|_| detector.push(&frame(40))).collect();
        assert_eq!(after.iter().filter(|&&voice| voice).count(), 9);
    }
}
