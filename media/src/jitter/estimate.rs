//! How much delay the network needs. For every packet [`Estimator`] takes its lateness,
//! the time it took beyond the fastest packet of the last two seconds. The worst of each
//! tenth of a second goes into a histogram that slowly forgets; the delay needed is a
//! quantile of it. So a burst of packets that were held up together counts once, as the
//! one event it was. Because lateness is relative to recent packets, a sender whose clock
//! runs faster or slower than ours moves nothing but the reference, which the playout then
//! follows.

use core::time::Duration;

use crate::time::Instant;

/// Width of a step of the histogram, in nanoseconds: no finer than what a playout in
/// steps of 20 ms could make use of.
const STEP: i64 = 5_000_000;

/// Steps of the histogram; what is later than all of them counts as the last.
const STEPS: usize = super::DELAY_LIMIT.as_millis() as usize / 5;

/// Of packets that arrive within so many nanoseconds only the latest counts.
const SPELL: u64 = 100_000_000;

/// How many spells back one counts for about a third (e⁻¹) of the newest: ten seconds
/// without pauses. Until there are so many, all count the same.
const MEMORY: u32 = 100;

/// What each spell counts for, relative to the one before it.
const GROWTH: f64 = 1.0 + 1.0 / MEMORY as f64;

/// Beyond this the weights are scaled down, long before a double loses the small ones.
const WEIGHT_MAX: f64 = 1e12;

/// The fastest packet is looked for in so many windows…
const WINDOWS: usize = 4;

/// …of so many nanoseconds.
const WINDOW: u64 = 500_000_000;

/// The distribution of the lateness of one stream's packets.
#[derive(Clone, Debug)]
pub struct Estimator {
    quantile: f64,
    /// Instead of every old weight shrinking with each spell, the new one grows.
    weight: f64,
    count: u32,
    /// Which spell the newest is, and where its latest packet was counted.
    spell: u64,
    worst: Option<usize>,
    total: f64,
    histogram: Box<[f64; STEPS]>,
    /// The step where the quantile lies, and the weight of all steps before it.
    step: usize,
    below: f64,
    /// The smallest transit of each window, and which window the newest one is.
    fastest: [i64; WINDOWS],
    window: u64,
    /// The smallest of all windows; stays when they have all run out.
    reference: Option<i64>,
}

impl Estimator {
    /// An estimator of this quantile of the lateness, 0.5 to 0.999.
    #[must_use]
    pub fn new(quantile: f64) -> Self {
        Self {
            quantile,
            weight: 1.0,
            count: 0,
            spell: 0,
            worst: None,
            total: 0.0,
            histogram: Box::new([0.0; STEPS]),
            step: 0,
            below: 0.0,
            fastest: [i64::MAX; WINDOWS],
            window: 0,
            reference: None,
        }
    }

    /// Takes note of a packet that arrived now, `transit` nanoseconds after its media
    /// time (on any fixed scale); returns its lateness.
    pub fn push(&mut self, now: Instant, transit: i64) -> Duration {
        self.reach(now);
        let newest = &mut self.fastest[(self.window % WINDOWS as u64) as usize];
        *newest = transit.min(*newest);
        let reference = self.fastest.into_iter().min().unwrap_or(transit).min(transit);
        self.reference = Some(reference);
        let lateness = transit.saturating_sub(reference);
        self.count(now, (lateness / STEP).clamp(0, STEPS as i64 - 1) as usize);
        Duration::from_nanos(lateness.unsigned_abs())
    }

    /// The transit of the fastest recent packet, once there was one.
    #[must_use]
    pub const fn reference(&self) -> Option<i64> {
        self.reference
    }

    /// The delay that saves the configured share of spells from any late packet; zero
    /// before the first one.
    #[must_use]
    pub const fn delay(&self) -> Duration {
        if self.total == 0.0 {
            return Duration::ZERO;
        }
        Duration::from_nanos((self.step as u64 + 1) * STEP.unsigned_abs())
    }

    /// Forgets which packet was the fastest, but not how the network behaves.
    pub const fn forget_reference(&mut self) {
        self.fastest = [i64::MAX; WINDOWS];
        self.reference = None;
    }

    fn reach(&mut self, now: Instant) {
        let window = now.as_nanos() / WINDOW;
        let passed = window.saturating_sub(self.window).min(WINDOWS as u64);
        for back in 0..passed {
            self.fastest[((window - back) % WINDOWS as u64) as usize] = i64::MAX;
        }
        self.window = self.window.max(window);
    }

    fn count(&mut self, now: Instant, step: usize) {
        let spell = now.as_nanos() / SPELL;
        if spell > self.spell && self.worst.take().is_some() {
            if self.count < MEMORY {
                self.count += 1;
            } else {
                self.weight *= GROWTH;
                if self.weight > WEIGHT_MAX {
                    self.scale_down();
                }
            }
        }
        self.spell = self.spell.max(spell);
        match self.worst {
            Some(worst) if worst >= step => return,
            Some(worst) => self.add(worst, -self.weight),
            None => {}
        }
        self.add(step, self.weight);
        self.worst = Some(step);
        let sought = self.quantile * self.total;
        while self.step + 1 < STEPS && self.below + self.histogram[self.step] < sought {
            self.below += self.histogram[self.step];
            self.step += 1;
        }
        while self.step > 0 && self.below >= sought {
            self.step -= 1;
            self.below -= self.histogram[self.step];
        }
    }

    fn add(&mut self, step: usize, weight: f64) {
        self.histogram[step] += weight;
        self.total += weight;
        if step < self.step {
            self.below += weight;
        }
    }

    fn scale_down(&mut self) {
        let factor = 1.0 / self.weight;
        for step in self.histogram.iter_mut() {
            *step *= factor;
        }
        self.weight = 1.0;
        // Summed anew, so that rounding cannot add up over hours.
        self.total = self.histogram.iter().sum();
        self.below = self.histogram[..self.step].iter().sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(packets: impl Iterator<Item = (u64, i64)>) -> Estimator {
        let mut estimator = Estimator::new(0.95);
        for (ms, transit_ms) in packets {
            estimator.push(Instant::from_millis(ms), transit_ms * 1_000_000);
        }
        estimator
    }

    #[test]
    fn a_network_without_jitter_needs_one_step() {
        let estimator = after((0..1000).map(|n| (n * 20, 35)));
        assert_eq!(estimator.delay(), Duration::from_millis(5));
        assert_eq!(estimator.reference(), Some(35_000_000));
    }

    #[test]
    fn the_delay_is_the_quantile_of_the_lateness() {
        // 0 to 99 ms, each as often.
        let estimator = after((0..2000).map(|n| (n * 20, (n * 37 % 100) as i64)));
        let delay = estimator.delay().as_millis();
        assert!((90..=100).contains(&delay), "{delay} ms");
    }

    #[test]
    fn a_burst_held_up_together_counts_once() {
        let calm = (0..500).map(|n| (n * 20, 0));
        // A second of packets arrives in one go.
        let burst = (500..550).map(|n: u64| (11_000, (11_000 - n * 20).cast_signed()));
        let after_burst = (550..600).map(|n| (n * 20, 0));
        assert_eq!(after(calm.chain(burst).chain(after_burst)).delay(), Duration::from_millis(5));
    }

    #[test]
    fn a_storm_is_forgotten() {
        let storm = (0..200).map(|n| (n * 20, (n * 37 % 100) as i64));
        let calm = (200..3000).map(|n| (n * 20, 0));
        assert_eq!(after(storm.chain(calm)).delay(), Duration::from_millis(5));
    }

    #[test]
    fn a_drifting_clock_is_not_jitter() {
        // 500 ppm slow, for an hour: the transit grows by 10 µs a packet.
        let mut estimator = Estimator::new(0.95);
        for n in 0..180_000_u64 {
            estimator.push(Instant::from_millis(n * 20), (n * 10_000).cast_signed());
        }
        assert_eq!(estimator.delay(), Duration::from_millis(5));
    }
}
