//! Tones as sound: the two frequencies of ITU-T Q.23, with 2 ms of fading at both ends so
//! that they do not click.

use core::f64::consts::TAU;
use core::time::Duration;

use super::Tone;

/// Rows of the keypad, in Hz.
pub(super) const ROWS: [f64; 4] = [697.0, 770.0, 852.0, 941.0];

/// Columns of the keypad, in Hz.
pub(super) const COLUMNS: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];

/// The keypad.
pub(super) const KEYS: [[Tone; 4]; 4] = [
    [Tone::Tone1, Tone::Tone2, Tone::Tone3, Tone::A],
    [Tone::Tone4, Tone::Tone5, Tone::Tone6, Tone::B],
    [Tone::Tone7, Tone::Tone8, Tone::Tone9, Tone::C],
    [Tone::Star, Tone::Tone0, Tone::Pound, Tone::D],
];

/// The two frequencies of a tone in Hz, row and column; the hook flash has none.
#[must_use]
pub fn frequencies(tone: Tone) -> Option<(f64, f64)> {
    for (keys, row) in KEYS.iter().zip(ROWS) {
        if let Some(column) = keys.iter().position(|&key| key == tone) {
            return Some((row, COLUMNS[column]));
        }
    }
    None
}

/// Appends a tone to mono sound at `rate` samples per second, each of its two parts with
/// a peak of `amplitude`. The hook flash is silence.
pub fn synthesize(
    tone: Tone,
    duration: Duration,
    rate: u32,
    amplitude: i16,
    samples: &mut Vec<i16>,
) {
    let total = (duration.as_secs_f64() * f64::from(rate)).round() as usize;
    let Some((row, column)) = frequencies(tone) else {
        samples.resize(samples.len() + total, 0);
        return;
    };
    let fade = (rate / 500).max(1) as usize;
    let step = TAU / f64::from(rate);
    samples.extend((0..total).map(|n| {
        let edge = (n + 1).min(total - n).min(fade) as f64 / fade as f64;
        let time = n as f64 * step;
        let both = (row * time).sin() + (column * time).sin();
        (both * edge * f64::from(amplitude)).round() as i16
    }));
}
