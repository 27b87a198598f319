//! Full-reference audio quality: segmental SNR of what was played against what the
//! sender meant, in 20 ms segments. Its limits: it knows waveforms, not ears. A
//! segment that was concealed or time-stretched scores low even where nobody would
//! hear it, so each segment is first aligned within [`SEARCH_MS`] and its value
//! clamped to −10..35 dB, as is usual; silent reference segments do not count.

/// Length of a segment, ms.
pub const SEGMENT_MS: u32 = 20;
/// How far a segment may be moved to find its match, ms each way.
pub const SEARCH_MS: u32 = 5;
/// A reference segment quieter than this root-mean-square is silence (−60 dBov).
const SILENCE_RMS: f64 = 32.768;
const FLOOR_DB: f64 = -10.0;
const CEILING_DB: f64 = 35.0;

/// A running mean of segment values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SegmentalSnr {
    sum_db: f64,
    segments: u32,
}

impl SegmentalSnr {
    /// Judges one stretch that was played against the reference around the place it
    /// claims to come from. `reference` is the whole reference signal, `at` the
    /// sample in it that `played[0]` should equal.
    pub fn push(&mut self, reference: &[i16], at: usize, played: &[i16], rate: u32) {
        let length = (rate * SEGMENT_MS / 1000) as usize;
        let search = (rate * SEARCH_MS / 1000) as usize;
        for (index, segment) in played.chunks_exact(length).enumerate() {
            let start = at + index * length;
            if let Some(value) = segment_db(reference, start, segment, search) {
                self.sum_db += value;
                self.segments += 1;
            }
        }
    }

    /// Mean over the segments that held sound, dB; `None` where there was none.
    #[must_use]
    pub fn mean_db(&self) -> Option<f64> {
        (self.segments > 0).then(|| self.sum_db / f64::from(self.segments))
    }

    /// How many segments the mean is over.
    #[must_use]
    pub fn segments(&self) -> u32 {
        self.segments
    }
}

fn segment_db(reference: &[i16], start: usize, played: &[i16], search: usize) -> Option<f64> {
    let home = reference.get(start..start + played.len())?;
    let energy = energy_of(home);
    if energy < SILENCE_RMS * SILENCE_RMS * played.len() as f64 {
        return None;
    }
    // Most segments sit exactly where they claim: look further only when they do not.
    let mut best = ratio_db(home, played);
    if best < CEILING_DB {
        let first = start.saturating_sub(search);
        let last = (start + search).min(reference.len() - played.len());
        for candidate in (first..=last).step_by(2) {
            let window = &reference[candidate..candidate + played.len()];
            best = best.max(ratio_db(window, played));
        }
    }
    Some(best.clamp(FLOOR_DB, CEILING_DB))
}

fn energy_of(samples: &[i16]) -> f64 {
    samples.iter().map(|&s| i64::from(s) * i64::from(s)).sum::<i64>() as f64
}

fn ratio_db(reference: &[i16], played: &[i16]) -> f64 {
    let noise = reference
        .iter()
        .zip(played)
        .map(|(&a, &b)| {
            let difference = i64::from(a) - i64::from(b);
            difference * difference
        })
        .sum::<i64>();
    if noise == 0 {
        return CEILING_DB;
    }
    10.0 * (energy_of(reference).max(1.0) / noise as f64).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(samples: usize) -> Vec<i16> {
        (0..samples).map(|n| ((n as f64 * 0.05).sin() * 8_000.0) as i16).collect()
    }

    #[test]
    fn what_is_played_whole_reaches_the_ceiling() {
        let reference = tone(16_000);
        let mut snr = SegmentalSnr::default();
        snr.push(&reference, 3_200, &reference[3_200..6_400], 16_000);
        assert_eq!((snr.mean_db(), snr.segments()), (Some(35.0), 10));
    }

    #[test]
    fn a_small_shift_is_found_again() {
        let reference = tone(16_000);
        let mut snr = SegmentalSnr::default();
        snr.push(&reference, 3_200, &reference[3_240..3_560], 16_000);
        assert_eq!(snr.mean_db(), Some(35.0));
    }

    #[test]
    fn noise_a_tenth_as_loud_is_20_decibels() {
        let reference = tone(320);
        let played: Vec<i16> = reference.iter().map(|&s| s + s / 10).collect();
        let mut snr = SegmentalSnr::default();
        snr.push(&reference, 0, &played, 16_000);
        let mean = snr.mean_db().expect("the tone is no silence");
        assert!((mean - 20.0).abs() < 0.2, "{mean}");
    }

    #[test]
    fn silence_has_no_quality_and_loss_has_the_floor() {
        let mut snr = SegmentalSnr::default();
        snr.push(&[0; 640], 0, &[0; 640], 16_000);
        assert_eq!(snr.mean_db(), None);
        let reference = tone(640);
        let wrong: Vec<i16> = reference.iter().map(|&s| s.saturating_mul(-4)).collect();
        snr.push(&reference, 0, &wrong[..320], 16_000);
        assert!(snr.mean_db().expect("there was sound") < 0.0);
    }
}
