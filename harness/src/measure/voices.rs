//! How much of each of several voices is in what somebody hears: what was said is known, so what is
//! heard is taken as a sum of it, each voice with a gain, and the gains that fit best (least
//! squares) are looked for. How sure they are is known as well: what is not explained by any voice
//! (a codec's noise, say) makes all of them less sure.

/// A voice this soft (−60 dBov) cannot be told from noise.
const SILENCE: f64 = 32.768 * 32.768;
/// A gain is told if its standard error is less than this.
const SURE: f64 = 0.15;

/// What a stretch of sound consists of.
#[derive(Clone, Debug, PartialEq)]
pub struct Parts {
    /// How loud each voice is in it, 1 as loud as said; none where that cannot be told.
    pub gains: Vec<Option<f64>>,
    /// What no voice explains, of the energy.
    pub rest: f64,
}

/// Takes sound apart into voices that were said in it, each as long as what was heard.
///
/// # Panics
/// A voice is shorter than what was heard.
#[must_use]
pub fn apart(heard: &[i16], voices: &[Option<&[i16]>]) -> Parts {
    let length = heard.len();
    let said: Vec<(usize, &[i16])> = (0..)
        .zip(voices)
        .filter_map(|(place, voice)| Some((place, &(*voice)?[..length])))
        .filter(|(_, voice)| product(voice, voice) > SILENCE * length as f64)
        .collect();
    let energy = product(heard, heard);
    let mut parts = Parts { gains: vec![None; voices.len()], rest: 1.0 };
    let rows: Vec<Vec<f64>> = said
        .iter()
        .map(|(_, voice)| said.iter().map(|(_, other)| product(voice, other)).collect())
        .collect();
    let Some(inverse) = inverse(rows) else { return parts };
    let likeness: Vec<f64> = said.iter().map(|(_, voice)| product(voice, heard)).collect();
    let gain = |row: &Vec<f64>| row.iter().zip(&likeness).map(|(a, b)| a * b).sum::<f64>();
    let gains: Vec<f64> = inverse.iter().map(gain).collect();
    let explained: f64 = gains.iter().zip(&likeness).map(|(a, b)| a * b).sum();
    let rest = (energy - explained).max(0.0);
    let free = length.saturating_sub(said.len()).max(1) as f64;
    for (index, (place, _)) in said.iter().enumerate() {
        let error = (rest / free * inverse[index][index]).sqrt();
        parts.gains[*place] = (error < SURE).then_some(gains[index]);
    }
    if energy > 0.0 {
        parts.rest = rest / energy;
    }
    parts
}

fn product(one: &[i16], other: &[i16]) -> f64 {
    one.iter().zip(other).map(|(a, b)| i64::from(*a) * i64::from(*b)).sum::<i64>() as f64
}

/// By Gauss and Jordan; none if voices cannot be told from each other.
fn inverse(mut rows: Vec<Vec<f64>>) -> Option<Vec<Vec<f64>>> {
    /// What a voice has of its own, at least, of its energy.
    const OWN_MIN: f64 = 1e-3;
    let size = rows.len();
    let energies: Vec<f64> = (0..size).map(|index| rows[index][index]).collect();
    let mut inverse: Vec<Vec<f64>> = (0..size)
        .map(|row| (0..size).map(|column| f64::from(u8::from(row == column))).collect())
        .collect();
    for index in 0..size {
        // Symmetric and positive: the diagonal needs no exchange of rows.
        let pivot = rows[index][index];
        if pivot <= OWN_MIN * energies[index] {
            return None;
        }
        for values in [&mut rows[index], &mut inverse[index]] {
            values.iter_mut().for_each(|value| *value /= pivot);
        }
        let (own, own_inverse) = (rows[index].clone(), inverse[index].clone());
        for other in (0..size).filter(|other| *other != index) {
            let factor = rows[other][index];
            let take = |values: &mut [f64], own: &[f64]| {
                values.iter_mut().zip(own).for_each(|(value, own)| *value -= factor * own);
            };
            take(&mut rows[other], &own);
            take(&mut inverse[other], &own_inverse);
        }
    }
    Some(inverse)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u32) -> Vec<i16> {
        let mut state = seed;
        let step = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 16) as i16) / 8
        };
        core::iter::repeat_with(step).take(1_600).collect()
    }

    #[test]
    fn gains_are_found_and_what_nobody_said_is_left_over() {
        let (one, two, three) = (noise(1), noise(2), noise(3));
        let heard: Vec<i16> = (0..1_600).map(|n| one[n] / 2 + two[n] + three[n] / 10).collect();
        let parts = apart(&heard, &[Some(&one), Some(&two), Some(&noise(4)), None]);
        let [Some(half), Some(whole), Some(nothing), None] = parts.gains[..] else {
            panic!("{parts:?}");
        };
        for (found, expected) in [(half, 0.5), (whole, 1.0), (nothing, 0.0), (parts.rest, 0.01)] {
            assert!((found - expected).abs() < 0.02, "{parts:?}");
        }
    }

    #[test]
    fn what_is_alike_or_silent_is_not_told() {
        let one = noise(1);
        let alike = apart(&one, &[Some(&one), Some(&one)]);
        assert_eq!(alike.gains, [None, None]);
        let silent = apart(&one, &[Some(&one), Some(&vec![3; 1_600])]);
        assert!(silent.gains[0].is_some() && silent.gains[1].is_none(), "{silent:?}");
        let drowned = apart(&one, &[Some(&noise(5).iter().map(|s| s / 64).collect::<Vec<_>>())]);
        assert_eq!(drowned.gains, [None], "the rest is much louder");
    }
}
