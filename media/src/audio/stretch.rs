//! Sound made shorter or longer by whole pitch periods, so that its pitch stays (WSOLA:
//! Verhelst and Roelands, ICASSP 1993). A period is only taken out or put in where the
//! sound resembles itself so far apart, or is too quiet for anybody to hear it; anywhere
//! else nothing happens, and what nothing happens to stays bit-exact.

use core::ops::RangeInclusive;

/// Lags are first looked for at this rate, then refined at the sound's own.
const SEARCH_RATE: usize = 8_000;

/// The longest and shortest period looked for: 2.5 to 10 ms (100 to 400 Hz) at
/// [`SEARCH_RATE`]; deeper voices are met at half a period or not at all.
const LAGS: RangeInclusive<usize> = SEARCH_RATE / 400..=SEARCH_RATE / 100;

/// How much sound is compared, at [`SEARCH_RATE`]: 10 ms.
const COMPARED: usize = SEARCH_RATE / 100;

/// Sound that is to be changed must be at least this long, in milliseconds.
pub const NEEDED_MS: usize = 20;

/// Below this mean square (−66 dBov) a change is inaudible.
const QUIET: f64 = 256.0;

/// How much the sound must resemble itself, as a normalised correlation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Nothing audible: 0.9.
    Patient,
    /// Audible, but better than what threatens otherwise: 0.5.
    Urgent,
}

impl Urgency {
    const fn threshold(self) -> f64 {
        match self {
            Self::Patient => 0.9,
            Self::Urgent => 0.5,
        }
    }
}

/// How sound is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Samples per second of each channel; a multiple of 4000 and at least 8000.
    pub rate: u32,
    /// 1 or 2, interleaved.
    pub channels: u8,
}

impl Layout {
    const fn channels(self) -> usize {
        self.channels as usize
    }

    const fn needed(self) -> usize {
        NEEDED_MS * self.rate as usize / 1000 * self.channels as usize
    }
}

/// Takes one period out at the beginning of what follows `start`; returns how many
/// samples per channel went, 0 if none could.
pub fn accelerate(samples: &mut Vec<i16>, start: usize, layout: Layout, urgency: Urgency) -> usize {
    let Some(lag) = period(&samples[start..], layout, urgency) else {
        return 0;
    };
    let width = lag * layout.channels();
    let (first, second) = samples[start..start + 2 * width].split_at_mut(width);
    cross_fade(first, second, layout.channels());
    samples.copy_within(start + width.., start);
    samples.truncate(samples.len() - width);
    lag
}

/// Puts one period in at the beginning of what follows `start`; returns how many samples
/// per channel came, 0 if none could.
pub fn expand(samples: &mut Vec<i16>, start: usize, layout: Layout, urgency: Urgency) -> usize {
    let Some(lag) = period(&samples[start..], layout, urgency) else {
        return 0;
    };
    let width = lag * layout.channels();
    let length = samples.len();
    samples.resize(length + width, 0);
    // The sound from the first period on moves back by one; between the two stands the
    // second period fading into the first.
    samples.copy_within(start + width..length, start + 2 * width);
    let (first, rest) = samples[start..].split_at_mut(width);
    let (between, second) = rest.split_at_mut(width);
    between.copy_from_slice(first);
    cross_fade(&second[..width], between, layout.channels());
    lag
}

/// The period in samples per channel, if the sound has one or is too quiet to need one.
fn period(samples: &[i16], layout: Layout, urgency: Urgency) -> Option<usize> {
    let needed = layout.needed();
    let samples = samples.get(..needed)?;
    let longest = layout.rate as usize / 100;
    if super::level::mean_square(samples) < QUIET {
        return Some(longest);
    }
    let mut coarse = [0_i16; NEEDED_MS * SEARCH_RATE / 1000];
    reduce(samples, layout, &mut coarse);
    let (lag, _) = most_alike(&coarse, COMPARED, LAGS);
    let ratio = layout.rate as usize / SEARCH_RATE;
    let channels = layout.channels();
    let mut mono = [0_i16; NEEDED_MS * 48];
    let mono = &mut mono[..needed / channels];
    for (to, from) in mono.iter_mut().zip(samples.chunks_exact(channels)) {
        *to = mean(from);
    }
    let near = (lag * ratio).saturating_sub(ratio)..=(lag * ratio + ratio).min(longest);
    let (lag, likeness) = most_alike(mono, longest, near);
    (likeness >= urgency.threshold()).then_some(lag)
}

/// The mean of the channels and of neighbouring samples, down to [`SEARCH_RATE`].
fn reduce(samples: &[i16], layout: Layout, out: &mut [i16]) {
    let (from, channels) = (layout.rate as usize, layout.channels());
    let frames = samples.len() / channels;
    for (index, to) in out.iter_mut().enumerate() {
        let (first, last) = (index * from / SEARCH_RATE, (index + 1) * from / SEARCH_RATE);
        *to = mean(&samples[first * channels..last.clamp(first + 1, frames) * channels]);
    }
}

fn mean(samples: &[i16]) -> i16 {
    let sum: i32 = samples.iter().map(|&sample| i32::from(sample)).sum();
    (sum / samples.len() as i32) as i16
}

/// The lag at which the first `compared` samples are most like those a lag later, and
/// how much, as a normalised correlation.
fn most_alike(samples: &[i16], compared: usize, lags: RangeInclusive<usize>) -> (usize, f64) {
    let first = &samples[..compared];
    let energy = correlation(first, first);
    let mut best = (*lags.start(), f64::MIN);
    for lag in lags {
        let second = &samples[lag..lag + compared];
        let product = energy * correlation(second, second);
        let likeness =
            if product > 0.0 { correlation(first, second) / product.sqrt() } else { 0.0 };
        if likeness > best.1 {
            best = (lag, likeness);
        }
    }
    best
}

/// The lag at which the last `compared` samples are most like those a lag earlier.
/// `history` must hold `compared` and the longest lag.
#[must_use]
pub fn best_lag(history: &[i16], compared: usize, lags: RangeInclusive<usize>) -> usize {
    let end = history.len() - compared;
    let last = &history[end..];
    let mut best = (*lags.start(), f64::MIN);
    for lag in lags {
        let earlier = &history[end - lag..history.len() - lag];
        let energy = correlation(earlier, earlier);
        let likeness = if energy > 0.0 { correlation(last, earlier) / energy.sqrt() } else { 0.0 };
        if likeness > best.1 {
            best = (lag, likeness);
        }
    }
    best.0
}

fn correlation(first: &[i16], second: &[i16]) -> f64 {
    // Exact: each product fits 31 bits, and there are fewer than 2^32 of them.
    let sum: i64 =
        first.iter().zip(second).map(|(&a, &b)| i64::from(i32::from(a) * i32::from(b))).sum();
    sum as f64
}

/// Fades from `from` into `to`, in place of `to`; both are interleaved and equally long.
pub fn cross_fade(from: &[i16], to: &mut [i16], channels: usize) {
    let length = (to.len() / channels) as i32;
    for (index, (from, to)) in
        from.chunks_exact(channels).zip(to.chunks_exact_mut(channels)).enumerate()
    {
        let position = index as i32;
        for (from, to) in from.iter().zip(to) {
            let sum = i32::from(*from) * (length - position) + i32::from(*to) * position;
            *to = (sum / length) as i16;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(period: usize, length: usize) -> Vec<i16> {
        (0..length)
            .map(|n| (10_000.0 * (core::f64::consts::TAU * n as f64 / period as f64).sin()) as i16)
            .collect()
    }

    const LAYOUT: Layout = Layout { rate: 48_000, channels: 1 };

    #[test]
    fn a_sine_loses_and_gains_whole_periods_without_a_seam() {
        let original = sine(240, 1920);
        let mut shorter = original.clone();
        let removed = accelerate(&mut shorter, 0, LAYOUT, Urgency::Patient);
        assert!(removed > 0 && removed.is_multiple_of(240), "{removed}");
        assert_eq!(shorter.len(), 1920 - removed);
        let mut longer = original.clone();
        let inserted = expand(&mut longer, 0, LAYOUT, Urgency::Patient);
        assert!(inserted > 0 && inserted.is_multiple_of(240), "{inserted}");
        assert_eq!(longer.len(), 1920 + inserted);
        for changed in [shorter, longer] {
            for (n, sample) in changed.iter().enumerate() {
                assert!(sample.abs_diff(original[n % 240]) < 40, "at {n}");
            }
        }
    }

    #[test]
    fn noise_stays_as_it_is() {
        let mut state = 1_u32;
        let noise: Vec<i16> = (0..1920)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 16).cast_signed() as i16
            })
            .collect();
        let mut changed = noise.clone();
        assert_eq!(accelerate(&mut changed, 0, LAYOUT, Urgency::Patient), 0);
        assert_eq!(expand(&mut changed, 0, LAYOUT, Urgency::Patient), 0);
        assert_eq!(changed, noise);
    }

    #[test]
    fn what_precedes_the_start_is_left_alone() {
        let mut samples = sine(240, 2400);
        let before = samples[..480].to_vec();
        assert!(accelerate(&mut samples, 480, LAYOUT, Urgency::Patient) > 0);
        assert_eq!(samples[..480], before);
        assert_eq!(accelerate(&mut samples, 1500, LAYOUT, Urgency::Patient), 0);
    }
}
