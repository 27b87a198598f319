//! A recording that a caller plays in a scenario.

use std::path::Path;
use std::sync::Arc;

use callrig_corpora::format::wav::Wav;
use callrig_media::audio::resample::Resampler;

/// A file that is larger is not read: half an hour at 16 kHz.
const FILE_BYTES_MAX: u64 = 60 << 20;
/// What a telephone takes.
const RATE: u32 = 8_000;

/// Reads a WAV file of one channel and 16 bits, as a telephone takes it.
///
/// # Errors
/// It cannot be read, or is another kind of file: the message names it.
pub(super) fn read(path: &Path) -> Result<Arc<[i16]>, String> {
    let refuse = |problem: String| format!("play {}: {problem}", path.display());
    let size = path.metadata().map_err(|error| refuse(error.to_string()))?.len();
    if size > FILE_BYTES_MAX {
        return Err(refuse(format!("it has {size} bytes; {FILE_BYTES_MAX} are the most")));
    }
    let bytes = std::fs::read(path).map_err(|error| refuse(error.to_string()))?;
    let wav = Wav::read(&bytes.into()).map_err(|fault| refuse(fault.to_string()))?;
    let samples = wav.pcm().filter(|_| wav.channels == 1);
    let samples: Vec<i16> = samples
        .ok_or_else(|| refuse("it has to have one channel and 16 bits".to_owned()))?
        .collect();
    if wav.sample_rate == RATE {
        return Ok(samples.into());
    }
    let resampler = Resampler::new(wav.sample_rate, RATE, 1);
    let mut resampler = resampler.map_err(|error| refuse(error.to_string()))?;
    let block = (wav.sample_rate / 100) as usize;
    let mut at_rate =
        Vec::with_capacity(samples.len() * RATE as usize / wav.sample_rate as usize + 80);
    let mut piece = Vec::with_capacity(block);
    for whole in samples.chunks(block) {
        piece.clear();
        piece.extend_from_slice(whole);
        piece.resize(block, 0);
        resampler.push(&piece, &mut at_rate).map_err(|error| refuse(error.to_string()))?;
    }
    Ok(at_rate.into())
}
