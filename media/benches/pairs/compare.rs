//! Two things in one run: single times mean little on a busy machine, the median of many
//! quotients means something.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock"
)]

use std::hint::black_box;

/// Runs two things in turn; the median of what the first takes over the second, and what
/// each takes at best.
pub(crate) fn compare<A, B>(
    rounds: usize,
    mut ours: impl FnMut() -> A,
    mut theirs: impl FnMut() -> B,
) -> (f64, [f64; 2]) {
    fn time<T>(work: &mut impl FnMut() -> T) -> f64 {
        let start = std::time::Instant::now();
        black_box(work());
        start.elapsed().as_secs_f64()
    }
    let mut best = [f64::MAX; 2];
    let mut ratios: Vec<f64> = (0..rounds)
        .map(|round| {
            // Each goes first as often as the other.
            let (a, b) = if round % 2 == 0 {
                let a = time(&mut ours);
                (a, time(&mut theirs))
            } else {
                let b = time(&mut theirs);
                (time(&mut ours), b)
            };
            best = [best[0].min(a), best[1].min(b)];
            a / b
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    (ratios[rounds / 2], best)
}
