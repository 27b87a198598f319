//! Sound at another rate, frame by frame: `rubato`'s FFT resampler in blocks of 10 ms, so
//! that 20 ms in are always 20 ms out. The price is a constant [delay](Resampler::delay).

use core::fmt;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _};

/// Rates this can go between: multiples of 100 up to 192 kHz, of which a block of 10 ms
/// holds a whole number of samples.
const RATE_MAX: u32 = 192_000;

/// Why a resampler cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// 10 ms at this rate are not a whole number of samples, or too many.
    #[error("{0} samples per second: not a multiple of 100 within 8000 to {RATE_MAX}")]
    Rate(u32),
    /// Neither one nor two.
    #[error("{0} channels: not 1 or 2")]
    Channels(u8),
    /// The library refuses.
    #[error("rubato: {0}")]
    Library(String),
}

/// Why sound cannot be resampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{samples} samples are not whole blocks of {block}")]
pub struct LengthError {
    /// Given, all channels together.
    pub samples: usize,
    /// Of 10 ms, all channels together.
    pub block: usize,
}

/// One stream on its way from one rate to another.
pub struct Resampler {
    inner: Fft<f32>,
    channels: usize,
    from: Vec<f32>,
    to: Vec<f32>,
}

impl fmt::Debug for Resampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (self.from.len() * 100, self.to.len() * 100);
        let channels = self.channels;
        write!(f, "Resampler({} to {} Hz, {channels} ch)", from / channels, to / channels)
    }
}

impl Resampler {
    /// A resampler between two rates, for 1 or 2 interleaved channels.
    ///
    /// # Errors
    /// If it cannot work in blocks of 10 ms.
    pub fn new(from: u32, to: u32, channels: u8) -> Result<Self, BuildError> {
        for rate in [from, to] {
            if !(8_000..=RATE_MAX).contains(&rate) || rate % 100 != 0 {
                return Err(BuildError::Rate(rate));
            }
        }
        if !matches!(channels, 1 | 2) {
            return Err(BuildError::Channels(channels));
        }
        let channels = usize::from(channels);
        let block = from as usize / 100;
        let inner = Fft::new(from as usize, to as usize, block, channels, FixedSync::Both)
            .map_err(|error| BuildError::Library(error.to_string()))?;
        let to = to as usize / 100;
        if (inner.input_frames_max(), inner.output_frames_max()) != (block, to) {
            return Err(BuildError::Rate(from));
        }
        Ok(Self {
            inner,
            channels,
            from: vec![0.0; block * channels],
            to: vec![0.0; to * channels],
        })
    }

    /// How many samples per channel, at the new rate, the output lags the input.
    #[must_use]
    pub fn delay(&self) -> usize {
        self.inner.output_delay()
    }

    /// Appends to `out` what has become of `samples`, interleaved, a multiple of 10 ms.
    ///
    /// # Errors
    /// If it is none; then nothing happened.
    pub fn push(&mut self, samples: &[i16], out: &mut Vec<i16>) -> Result<(), LengthError> {
        let block = self.from.len();
        if !samples.len().is_multiple_of(block) {
            return Err(LengthError { samples: samples.len(), block });
        }
        for chunk in samples.chunks_exact(block) {
            for (to, from) in self.from.iter_mut().zip(chunk) {
                *to = f32::from(*from);
            }
            self.convert();
            // The cast saturates, which is what overshoot at full scale needs.
            out.extend(self.to.iter().map(|sample| sample.round() as i16));
        }
        Ok(())
    }

    fn convert(&mut self) {
        let (from, to) = (self.from.len() / self.channels, self.to.len() / self.channels);
        let input =
            InterleavedSlice::new(&self.from, self.channels, from).expect("as long as it was made");
        let mut output = InterleavedSlice::new_mut(&mut self.to, self.channels, to)
            .expect("as long as it was made");
        self.inner
            .process_into_buffer(&input, &mut output, None)
            .expect("one whole block of the size it was built for");
    }

    /// Forgets everything heard so far.
    pub fn reset(&mut self) {
        self.inner.reset();
    }
}
