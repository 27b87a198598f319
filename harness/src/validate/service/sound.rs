//! The files that the webhook's host serves, for prompts.

use bytes::Bytes;

/// Status and content of a file by its path.
#[must_use]
pub fn file(path: &str) -> (u16, Bytes) {
    match path.rsplit('/').next().unwrap_or_default() {
        // The only format that is documented: one channel of 16 bits at 16 kHz.
        "prompt.wav" => (200, wav(16_000, 1, 400)),
        "long.wav" => (200, wav(16_000, 1, 20_000)),
        "stereo.wav" => (200, wav(16_000, 2, 400)),
        "slow.wav" => (200, wav(8_000, 1, 400)),
        "text.wav" => (200, Bytes::from_static(b"this is no sound")),
        _ => (404, Bytes::new()),
    }
}

/// So many milliseconds of a square wave, which nobody takes for silence.
fn wav(rate: u32, channels: u16, ms: u32) -> Bytes {
    let frames = rate * ms / 1_000;
    let period = rate / 300;
    let samples = (0..frames).flat_map(|at| {
        let sample: i16 = if at % period < period / 2 { 6_000 } else { -6_000 };
        core::iter::repeat_n(sample, usize::from(channels))
    });
    let mut file = std::io::Cursor::new(Vec::new());
    callrig_corpora::format::wav::write_pcm(&mut file, rate, channels, samples)
        .expect("it fits into memory");
    file.into_inner().into()
}
