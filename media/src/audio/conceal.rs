//! Concealment for codecs that bring none of their own (G.711). In the spirit of ITU-T
//! G.711 Appendix I, but simpler and our own: the last pitch period heard is repeated,
//! fades out from 10 ms on and is silent after 60 ms; when sound returns, the repetition
//! is cross-faded into it for 4 ms. Deviation from the appendix: no delay is added, so the
//! sound before the loss is never touched.

use super::stretch::{best_lag, cross_fade};

/// Samples per second; G.711 knows no other.
const RATE: usize = 8_000;

/// What is remembered: 45 ms, the longest period and what it is compared with.
const HISTORY: usize = 360;

/// Periods of 66 to 400 Hz.
const LAG_MIN: usize = RATE / 400;
const LAG_MAX: usize = RATE / 66;

/// How much of the recent past is compared with what came a period earlier.
const COMPARED: usize = RATE / 50;

/// Fading begins here and ends there.
const FADE_FROM: usize = RATE / 100;
const FADE_TO: usize = 6 * RATE / 100;

/// How long the return is cross-faded.
const RETURN: usize = RATE / 250;

/// Makes up what was lost, from what was heard last.
#[derive(Clone, Debug)]
pub struct Concealer {
    /// The last samples played, oldest first.
    history: [i16; HISTORY],
    /// The repeated period: the last so many samples of `history`. 0 while all is well.
    lag: usize,
    /// Samples made up since the loss began.
    made_up: usize,
}

impl Default for Concealer {
    fn default() -> Self {
        Self { history: [0; HISTORY], lag: 0, made_up: 0 }
    }
}

impl Concealer {
    /// Takes note of decoded samples; after a loss, blends their beginning with what was
    /// made up.
    pub fn heard(&mut self, samples: &mut [i16]) {
        if self.lag != 0 {
            let length = RETURN.min(samples.len());
            let mut made_up = [0; RETURN];
            self.repeat(&mut made_up[..length]);
            cross_fade(&made_up[..length], &mut samples[..length], 1);
            self.lag = 0;
            self.made_up = 0;
        }
        if let Some(start) = samples.len().checked_sub(HISTORY) {
            self.history.copy_from_slice(&samples[start..]);
        } else {
            self.history.copy_within(samples.len().., 0);
            self.history[HISTORY - samples.len()..].copy_from_slice(samples);
        }
    }

    /// Fills `samples` with what may have been lost.
    pub fn conceal(&mut self, samples: &mut [i16]) {
        if self.lag == 0 {
            self.lag = best_lag(&self.history, COMPARED, LAG_MIN..=LAG_MAX);
        }
        self.repeat(samples);
    }

    /// Whether what is made up has faded out.
    #[must_use]
    pub const fn is_silent(&self) -> bool {
        self.made_up >= FADE_TO
    }

    fn repeat(&mut self, samples: &mut [i16]) {
        let period = &self.history[HISTORY - self.lag..];
        for sample in samples {
            let value = i64::from(period[self.made_up % self.lag]);
            let left = FADE_TO.saturating_sub(self.made_up).min(FADE_TO - FADE_FROM);
            *sample = (value * left as i64 / (FADE_TO - FADE_FROM) as i64) as i16;
            self.made_up += 1;
        }
    }
}
