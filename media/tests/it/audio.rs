//! Sound: levels, mixing, resampling, prompts and recordings; and the sounds that other
//! tests need.

use core::f64::consts::TAU;
use std::collections::BTreeMap;

/// Something like a voice: a gliding pitch with harmonics, in syllables.
pub(crate) fn voice(rate: u32, milliseconds: usize) -> Vec<i16> {
    let rate = f64::from(rate);
    let mut phase = 0.0_f64;
    (0..milliseconds * rate as usize / 1000)
        .map(|n| {
            let t = n as f64 / rate;
            phase += (140.0 + 40.0 * (TAU * 0.7 * t).sin()) / rate;
            let harmonics: f64 =
                (1..12).map(|h| (TAU * phase * f64::from(h)).sin() / f64::from(h)).sum();
            let syllable = (0.55 + 0.45 * (TAU * 3.1 * t).sin()).powi(2);
            (6_000.0 * syllable * harmonics) as i16
        })
        .collect()
}

use callrig_media::audio::mixer::{Config, Mixer};
use callrig_media::audio::resample::Resampler;
use callrig_media::codec::g711::Law;
use callrig_media::prompt::Wav;
use proptest::prelude::*;

/// The intervals of ITU-T G.711 and the value each stands for, for magnitudes of 16 bits:
/// segments that double their step, sixteen steps each.
fn intervals(law: Law) -> Vec<(core::ops::Range<i32>, i32)> {
    let mut all = Vec::new();
    for segment in 0..8_i32 {
        for step in 0..16_i32 {
            let (from, width, scale) = match law {
                // Table 1: 13 bits; the first two segments both have steps of 2.
                Law::A if segment == 0 => (2 * step, 2, 8),
                Law::A => ((2 * step + 32) << (segment - 1), 2 << (segment - 1), 8),
                // Table 2: 14 bits; steps from 2 on, about a bias of 33.
                Law::Mu => (((2 * step + 32) << segment) - 33, 2 << segment, 4),
            };
            all.push((from * scale..(from + width) * scale, (from + width / 2) * scale));
        }
    }
    all
}

#[test]
fn g711_puts_every_sample_into_the_interval_of_the_recommendation() {
    for law in [Law::A, Law::Mu] {
        let intervals = intervals(law);
        for sample in i16::MIN..=i16::MAX {
            // Cut to the bits the law has; A-law has no zero, and mirrors about it.
            let magnitude = match law {
                Law::A if sample < 0 => -(i32::from(sample) >> 3) * 8 - 8,
                Law::A => i32::from(sample) >> 3 << 3,
                Law::Mu => (i32::from(sample) >> 2 << 2).abs(),
            };
            let found = intervals.iter().find(|(interval, _)| interval.contains(&magnitude));
            let (_, value) = found.unwrap_or(intervals.last().expect("not empty"));
            let decoded = i32::from(law.decode(law.encode(sample)));
            assert_eq!(decoded.abs(), *value, "{law:?} {sample}");
            assert!(decoded == 0 || (decoded < 0) == (sample < 0), "{law:?} {sample}");
        }
    }
}

#[test]
fn resampling_keeps_the_sound_and_says_how_late_it_is() {
    for (from, to) in [(48_000, 16_000), (16_000, 48_000), (8_000, 48_000), (48_000, 44_100)] {
        let mut resampler = Resampler::new(from, to, 1).expect("valid");
        let (mut out, tone) =
            (Vec::new(), |rate: u32, n: f64| (TAU * 440.0 * n / f64::from(rate)).sin() * 10_000.0);
        let input: Vec<i16> = (0..from as usize).map(|n| tone(from, n as f64) as i16).collect();
        for frame in input.chunks_exact(from as usize / 50) {
            resampler.push(frame, &mut out).expect("20 ms");
        }
        assert_eq!(out.len(), to as usize);
        // Half a block of 10 ms, which need not be a whole number of samples.
        let delay = f64::from(to) / 200.0;
        assert_eq!(resampler.delay(), delay as usize);
        let settled = to as usize / 2..to as usize * 3 / 4;
        for (n, sample) in settled.clone().zip(&out[settled]) {
            let off = f64::from(*sample) - tone(to, n as f64 - delay);
            assert!(off.abs() < 20.0, "{from} to {to}: off by {off} at {n}");
        }
    }
}

/// What one says in a frame, by who says it.
type Frames = BTreeMap<u64, Vec<i16>>;

/// Everybody hears the exact sum of the others, clipped to 16 bits.
fn n_minus_one(frames: &Frames) -> Result<(), TestCaseError> {
    let mut mixer = Mixer::new(Config { frame: 40, speakers_max: usize::MAX });
    for (&key, frame) in frames {
        mixer.push(key, frame).expect("fits");
    }
    mixer.mix();
    let sum = |without: Option<u64>| -> Vec<i16> {
        (0..40)
            .map(|n| {
                let others = frames.iter().filter(|(key, _)| Some(**key) != without);
                let sum: i32 = others.map(|(_, frame)| i32::from(frame[n])).sum();
                sum.clamp(-32_768, 32_767) as i16
            })
            .collect()
    };
    prop_assert_eq!(mixer.shared(), sum(None));
    for (&key, frame) in frames {
        let silent = frame.iter().all(|&sample| sample == 0);
        let heard = mixer.without(key).unwrap_or_else(|| mixer.shared());
        prop_assert_eq!(mixer.without(key).is_none(), silent);
        prop_assert_eq!(heard, sum(Some(key)));
    }
    Ok(())
}

/// A mixer that lets speakers hear themselves breaks the property above.
#[cfg(feature = "faults")]
#[test]
fn a_mix_with_oneself_in_it_is_found_out() {
    use callrig_media::fault::{Fault, switch_on};
    use proptest::test_runner::TestRunner;

    let two: Frames = [(1, vec![100; 40]), (2, vec![-7; 40])].into();
    n_minus_one(&two).expect("without the fault it holds");
    let _guard = switch_on(Fault::OneselfHeard);
    n_minus_one(&two).expect_err("each hears the other and themselves");
    let anybody = prop::collection::btree_map(1..9_u64, prop::collection::vec(1..99_i16, 40), 1..4);
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(16) };
    let mut runner = TestRunner::new(config);
    runner
        .run(&anybody, |frames| n_minus_one(&frames))
        .expect_err("no mix without the fault is like one with it");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn everybody_hears_exactly_the_sum_of_the_others(
        frames in prop::collection::btree_map(
            any::<u64>(), prop::collection::vec(any::<i16>(), 40), 1..12,
        ),
    ) {
        n_minus_one(&frames)?;
    }

    #[test]
    fn a_prompt_that_is_written_is_read_back(
        samples in prop::collection::vec(any::<i16>(), 1..2_000),
    ) {
        let wav = Wav::new(&samples).expect("short enough");
        let read = Wav::parse(&wav.write()).expect("written by us");
        prop_assert_eq!(read.samples(), samples);
    }

    #[test]
    fn any_file_is_a_prompt_or_is_told_why_not(
        noise in prop::collection::vec(any::<u8>(), 0..80),
        place in 0..44_usize,
    ) {
        let mut file = Wav::new(&[1; 20]).expect("short").write().to_vec();
        for (n, byte) in noise.iter().enumerate() {
            if let Some(target) = file.get_mut(place + n) {
                *target = *byte;
            }
        }
        if let Ok(wav) = Wav::parse(&file) {
            prop_assert!(wav.samples().len() <= 20 && !wav.samples().is_empty());
        }
        prop_assert!(Wav::parse(&noise).is_err());
    }
}
