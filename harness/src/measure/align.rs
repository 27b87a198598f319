//! Lays one recording of a sound on top of another: encoders and resamplers delay what goes
//! through them by an amount that nobody states. Found by the greatest correlation, first
//! coarsely within [`SEARCH_MS`], then to the sample.

/// How far apart the two may lie, ms each way.
pub const SEARCH_MS: usize = 250;
/// Coarse steps are a sixth of a millisecond at 48 kHz: wide enough to be quick, narrow
/// enough for speech, whose energy lies below 4 kHz.
const COARSE: usize = 8;
/// The loudest stretch of this length is compared.
const STRETCH_MS: usize = 1_000;

/// By how many samples `later` lies behind `earlier`; negative if it is the other way
/// round. `None` if there is too little sound, or no likeness.
#[must_use]
pub fn lag(earlier: &[i16], later: &[i16], rate: u32) -> Option<isize> {
    let per_ms = rate as usize / 1000;
    let (length, search) = (STRETCH_MS * per_ms, (SEARCH_MS * per_ms) as isize);
    let start = loudest(earlier, length)?;
    let stretch = &earlier[start..start + length];
    let coarse: Vec<i16> = stretch.iter().step_by(COARSE).copied().collect();
    // One sample in so many, from each of the first on: what is compared lies side by side then.
    let thinned: Vec<Vec<i16>> = (0..COARSE)
        .map(|first| later.iter().skip(first).step_by(COARSE).copied().collect())
        .collect();
    let place = |lag: isize| {
        let from = start.checked_add_signed(lag)?;
        (from + length <= later.len()).then_some(from)
    };
    let greater = |a: &(f64, isize), b: &(f64, isize)| a.0.total_cmp(&b.0);
    let step = (COARSE / 2) as isize;
    let (_, about) = (-search..=search)
        .step_by(COARSE / 2)
        .filter_map(|lag| {
            let from = place(lag)?;
            let there = &thinned[from % COARSE][from / COARSE..][..coarse.len()];
            Some((likeness(&coarse, there), lag))
        })
        .max_by(greater)?;
    let (how_like, lag) = (about - step..=about + step)
        .filter_map(|lag| {
            let from = place(lag)?;
            Some((likeness(stretch, &later[from..from + length]), lag))
        })
        .max_by(greater)?;
    (how_like > 0.3).then_some(lag)
}

/// Where the loudest stretch of this length begins, in steps of a tenth of it.
fn loudest(samples: &[i16], length: usize) -> Option<usize> {
    let last = samples.len().checked_sub(length)?;
    let energy = |start: &usize| -> i64 {
        samples[*start..*start + length].iter().map(|&s| i64::from(s) * i64::from(s)).sum()
    };
    let start = (0..=last).step_by((length / 10).max(1)).max_by_key(energy)?;
    (energy(&start) > 0).then_some(start)
}

/// Normalised correlation, −1 to 1.
fn likeness(one: &[i16], other: &[i16]) -> f64 {
    let (mut product, mut left, mut right) = (0i64, 0i64, 0i64);
    for (a, b) in one.iter().zip(other) {
        let (a, b) = (i64::from(*a), i64::from(*b));
        product += a * b;
        left += a * a;
        right += b * b;
    }
    if left == 0 || right == 0 {
        return 0.0;
    }
    product as f64 / ((left as f64).sqrt() * (right as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise with most of its energy below 2 kHz, as in speech; soft at first.
    fn sound(samples: usize) -> Vec<i16> {
        let (mut state, mut low) = (1u32, 0f64);
        (0..samples)
            .map(|n| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                low += (f64::from(state >> 16) - 32_768.0 - low) * 0.1;
                (if n < 24_000 { low / 4.0 } else { low }) as i16
            })
            .collect()
    }

    #[test]
    fn a_delay_is_found_to_the_sample() {
        let source = sound(96_000);
        for lag in [0isize, 313, -1_201] {
            let later: Vec<i16> = (0..96_000isize)
                .map(|n| usize::try_from(n - lag).ok().and_then(|n| source.get(n)).copied())
                .map(|sample| sample.unwrap_or(0) / 2)
                .collect();
            assert_eq!(super::lag(&source, &later, 48_000), Some(lag));
        }
    }

    #[test]
    fn silence_and_strangers_have_no_lag() {
        let source = sound(96_000);
        assert_eq!(lag(&source, &vec![0; 96_000], 48_000), None);
        assert_eq!(lag(&[0; 96_000], &source, 48_000), None);
        assert_eq!(lag(&source[..100], &source, 48_000), None);
    }
}
