//! Full-reference picture quality on the luma plane: PSNR, and SSIM after Wang et
//! al. 2004 over 8x8 windows with a stride of 4 (the form video tools use, for
//! speed, in place of the Gaussian window of the paper).

/// The largest PSNR reported, dB; identical planes would be infinite.
pub const PSNR_MAX_DB: f64 = 100.0;

/// Peak signal-to-noise ratio of two planes of 8-bit samples, dB, at most
/// [`PSNR_MAX_DB`]. `None` where the planes differ in size or are empty.
#[must_use]
pub fn psnr_db(reference: &[u8], shown: &[u8]) -> Option<f64> {
    if reference.is_empty() || reference.len() != shown.len() {
        return None;
    }
    let squares: u64 = reference
        .iter()
        .zip(shown)
        .map(|(&a, &b)| u64::from(a.abs_diff(b)) * u64::from(a.abs_diff(b)))
        .sum();
    if squares == 0 {
        return Some(PSNR_MAX_DB);
    }
    let mean = squares as f64 / reference.len() as f64;
    Some((10.0 * (255.0 * 255.0 / mean).log10()).min(PSNR_MAX_DB))
}

const WINDOW: usize = 8;
const STRIDE: usize = 4;

/// Mean structural similarity of two planes of `width` by `height` 8-bit samples,
/// at most 1. `None` where sizes disagree or a side is shorter than a window.
#[must_use]
pub fn ssim(reference: &[u8], shown: &[u8], width: usize, height: usize) -> Option<f64> {
    let size = width.checked_mul(height)?;
    if reference.len() != size || shown.len() != size || width < WINDOW || height < WINDOW {
        return None;
    }
    let (mut total, mut windows) = (0.0, 0u32);
    for top in (0..=height - WINDOW).step_by(STRIDE) {
        for left in (0..=width - WINDOW).step_by(STRIDE) {
            total += window_similarity(reference, shown, width, top * width + left);
            windows += 1;
        }
    }
    Some(total / f64::from(windows))
}

fn window_similarity(reference: &[u8], shown: &[u8], width: usize, start: usize) -> f64 {
    let (mut sum_a, mut sum_b, mut aa, mut bb, mut ab) = (0u32, 0u32, 0u32, 0u32, 0u32);
    for row in 0..WINDOW {
        let at = start + row * width;
        for (&a, &b) in reference[at..at + WINDOW].iter().zip(&shown[at..at + WINDOW]) {
            let (a, b) = (u32::from(a), u32::from(b));
            sum_a += a;
            sum_b += b;
            aa += a * a;
            bb += b * b;
            ab += a * b;
        }
    }
    let samples = (WINDOW * WINDOW) as f64;
    let (mean_a, mean_b) = (f64::from(sum_a) / samples, f64::from(sum_b) / samples);
    let variance_a = f64::from(aa) / samples - mean_a * mean_a;
    let variance_b = f64::from(bb) / samples - mean_b * mean_b;
    let covariance = f64::from(ab) / samples - mean_a * mean_b;
    let c1 = (0.01 * 255.0f64).powi(2);
    let c2 = (0.03 * 255.0f64).powi(2);
    ((2.0 * mean_a * mean_b + c1) * (2.0 * covariance + c2))
        / ((mean_a * mean_a + mean_b * mean_b + c1) * (variance_a + variance_b + c2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane() -> Vec<u8> {
        (0..64 * 48).map(|i| ((i * 7 + i / 64 * 13) % 256) as u8).collect()
    }

    #[test]
    fn a_picture_is_like_itself() {
        let plane = plane();
        assert_eq!(psnr_db(&plane, &plane), Some(PSNR_MAX_DB));
        let same = ssim(&plane, &plane, 64, 48).expect("the sizes agree");
        assert!((same - 1.0).abs() < 1e-12);
    }

    #[test]
    fn an_error_of_one_everywhere_is_48_decibels() {
        let reference = vec![100u8; 256];
        let shown = vec![101u8; 256];
        let psnr = psnr_db(&reference, &shown).expect("the sizes agree");
        assert!((psnr - 48.1308).abs() < 1e-4, "{psnr}");
    }

    #[test]
    fn structure_counts_more_than_brightness() {
        let reference = plane();
        let brighter: Vec<u8> = reference.iter().map(|&v| v.saturating_add(10)).collect();
        let inverted: Vec<u8> = reference.iter().map(|&v| 255 - v).collect();
        let bright = ssim(&reference, &brighter, 64, 48).expect("the sizes agree");
        let upside = ssim(&reference, &inverted, 64, 48).expect("the sizes agree");
        assert!(bright > 0.8 && upside < 0.0, "{bright} {upside}");
    }

    #[test]
    fn sizes_that_disagree_have_no_quality() {
        assert_eq!(psnr_db(&[1, 2], &[1]), None);
        assert_eq!(ssim(&[0; 64], &[0; 64], 16, 4), None);
    }
}
