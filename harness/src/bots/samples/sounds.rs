//! What samples play: WAV as the platform wants it, one channel of 16 bits at 16 kHz.

use core::f64::consts::TAU;

use callrig_corpora::format::wav;

const RATE: u32 = 16_000;
const LOUD: f64 = 9_000.0;
/// Samples over which a sound comes and goes, so that it does not click.
const EDGE: f64 = 320.0;

/// Some frequencies (in Hz) together, for so many milliseconds.
pub(super) fn chord(frequencies: &[f64], length_ms: u32) -> Vec<u8> {
    let count = RATE / 1_000 * length_ms;
    let samples = (0..count).map(|index| {
        let time = f64::from(index) / f64::from(RATE);
        let together: f64 = frequencies.iter().map(|hertz| (TAU * hertz * time).sin()).sum();
        let edge = f64::from(index.min(count - index)).min(EDGE) / EDGE;
        (together / frequencies.len().max(1) as f64 * edge * LOUD) as i16
    });
    let samples: Vec<i16> = samples.collect();
    let mut file = std::io::Cursor::new(Vec::new());
    wav::write_pcm(&mut file, RATE, 1, samples).expect("a second of sound fits into memory");
    file.into_inner()
}
