//! Paths of known capacity, in made-up time.

use std::collections::VecDeque;

use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

use super::*;
use crate::rtcp::feedback::Arrived;

/// A bottleneck with a queue, a delay, jitter and loss; feedback comes back unharmed.
struct Path {
    bits_per_second: u64,
    queue_max: Duration,
    delay: Duration,
    jitter_ms: u64,
    loss: f64,
    free_at: Instant,
    random: Pcg64Mcg,
}

impl Path {
    fn new(bits_per_second: u64) -> Self {
        Self {
            bits_per_second,
            queue_max: Duration::from_millis(500),
            delay: Duration::from_millis(30),
            jitter_ms: 0,
            loss: 0.0,
            free_at: Instant::ZERO,
            random: Pcg64Mcg::seed_from_u64(3),
        }
    }

    /// When a packet comes out, and how long it waited.
    fn carry(&mut self, now: Instant, bytes: usize) -> Option<(Instant, Duration)> {
        if self.loss > 0.0 && self.random.random_bool(self.loss) {
            return None;
        }
        let begins = self.free_at.max(now);
        let waits = begins.since(now);
        if waits > self.queue_max {
            return None;
        }
        let takes = bytes as u64 * 8 * 1_000_000_000 / self.bits_per_second;
        self.free_at = begins + Duration::from_nanos(takes);
        let jitter = self.random.random_range(0..=self.jitter_ms * 1_000);
        Some((self.free_at + self.delay + Duration::from_micros(jitter), waits))
    }
}

/// Sends as much as the estimate allows, at most `wanted`, for so many seconds; the mean
/// estimate and the greatest wait of the second half.
fn run(estimator: &mut Estimator, path: &mut Path, seconds: u64, wanted: u64) -> (u64, Duration) {
    let mut now = path.free_at.max(Instant::from_millis(1));
    let end = now + Duration::from_secs(seconds);
    let half = now + Duration::from_secs(seconds) / 2;
    let (mut number, mut budget) = (0_u16, 0_f64);
    let mut arrived: VecDeque<(u16, Option<Instant>)> = VecDeque::new();
    let mut next_feedback = now;
    let (mut sum, mut count, mut longest) = (0_u64, 0_u64, Duration::ZERO);
    while now < end {
        budget += estimator.estimate().min(wanted) as f64 * 0.005 / 8.0;
        while budget >= 600.0 {
            budget -= 600.0;
            estimator.sent(now, number, 600);
            let out = path.carry(now, 600);
            if let (Some((_, waits)), true) = (out, now > half) {
                longest = longest.max(waits);
            }
            arrived.push_back((number, out.map(|(at, _)| at)));
            number = number.wrapping_add(1);
        }
        if now >= next_feedback {
            next_feedback = now + Duration::from_millis(50);
            let came = arrived.iter().take_while(|(_, at)| at.is_none_or(|at| at <= now)).count();
            let told: Vec<_> = arrived.drain(..came).collect();
            if let Some(feedback) = feedback(&told) {
                estimator.feedback(now, &feedback);
            }
        }
        if now > half {
            sum += estimator.estimate();
            count += 1;
        }
        now += Duration::from_millis(5);
    }
    path.free_at = path.free_at.max(now);
    (sum / count.max(1), longest)
}

fn feedback(told: &[(u16, Option<Instant>)]) -> Option<TransportFeedback> {
    let first = told.iter().find_map(|(_, at)| *at)?;
    let reference = first.as_nanos() as i64 / REFERENCE;
    let mut clock = reference * (REFERENCE / TICK);
    let mut arrived = Vec::new();
    for (index, (_, at)) in told.iter().enumerate() {
        let Some(at) = at else { continue };
        let tick = at.as_nanos() as i64 / TICK;
        arrived.push(Arrived { index: index as u16, delta: (tick - clock) as i16 });
        clock = tick;
    }
    Some(TransportFeedback {
        base_sequence: told[0].0,
        packet_count: told.len() as u16,
        reference_time: reference as i32,
        arrived,
        ..TransportFeedback::default()
    })
}

#[test]
fn a_bottleneck_is_found_and_its_queue_stays_short() {
    for capacity in [64_000_u64, 250_000, 1_000_000, 4_000_000] {
        let start = capacity.min(300_000);
        let mut estimator = Estimator::new(Config { start, ..Config::default() });
        let mut path = Path::new(capacity);
        let (mean, longest) = run(&mut estimator, &mut path, 120, u64::MAX);
        println!("{capacity} bit/s: {mean} estimated, {longest:?} waited at most");
        let share = mean as f64 / capacity as f64;
        assert!((0.6..=1.05).contains(&share), "{capacity}: {mean}");
        assert!(longest < Duration::from_millis(450), "{capacity}: {longest:?}");
    }
}

#[test]
fn an_estimate_that_begins_too_high_comes_down_at_once() {
    let mut estimator = Estimator::new(Config { start: 2_000_000, ..Config::default() });
    let mut path = Path::new(300_000);
    let (mean, _) = run(&mut estimator, &mut path, 10, u64::MAX);
    assert!((150_000..=330_000).contains(&mean), "{mean}");
}

#[test]
fn jitter_and_a_little_loss_are_no_bottleneck() {
    let mut estimator = Estimator::new(Config { start: 500_000, ..Config::default() });
    let mut path = Path::new(20_000_000);
    path.jitter_ms = 8;
    path.loss = 0.01;
    let (mean, _) = run(&mut estimator, &mut path, 60, 2_000_000);
    assert!(mean > 1_500_000, "{mean}");
}

#[test]
fn loss_that_does_not_lessen_when_less_is_sent_is_the_paths_own() {
    for loss in [0.12, 0.2, 0.3] {
        let mut estimator = Estimator::new(Config { start: 1_000_000, ..Config::default() });
        let mut path = Path::new(20_000_000);
        path.loss = loss;
        let (mean, _) = run(&mut estimator, &mut path, 30, u64::MAX);
        println!("{loss} lost: {mean}");
        assert!(mean > 700_000, "{loss}: {mean}");
    }
}

#[test]
fn loss_by_too_much_brings_it_down_though_no_queue_shows_it() {
    for (capacity, own) in [(100_000_u64, 0.0), (300_000, 0.0), (300_000, 0.05), (1_000_000, 0.1)] {
        let mut estimator = Estimator::new(Config { start: 3 * capacity, ..Config::default() });
        let mut path = Path::new(capacity);
        // As somebody who polices a rate does it.
        path.queue_max = Duration::from_millis(10);
        path.loss = own;
        let (mean, _) = run(&mut estimator, &mut path, 30, u64::MAX);
        println!("{capacity} bit/s, {own} lost besides: {mean}");
        assert!(mean < capacity * 16 / 10, "{capacity}, {own}: {mean}");
        assert!(mean > capacity / 3, "{capacity}, {own}: {mean}");
    }
}

#[test]
fn where_much_more_than_a_third_is_lost_less_is_sent() {
    let mut estimator = Estimator::new(Config { start: 1_000_000, ..Config::default() });
    let mut path = Path::new(20_000_000);
    path.loss = 0.6;
    let (mean, _) = run(&mut estimator, &mut path, 20, u64::MAX);
    assert!(mean < 200_000, "{mean}");
}

#[test]
fn a_path_that_widens_is_used_and_one_that_narrows_is_left() {
    let mut estimator = Estimator::new(Config { start: 300_000, ..Config::default() });
    let mut path = Path::new(300_000);
    let (narrow, _) = run(&mut estimator, &mut path, 40, u64::MAX);
    path.bits_per_second = 2_000_000;
    let (wide, _) = run(&mut estimator, &mut path, 120, u64::MAX);
    path.bits_per_second = 300_000;
    let (again, _) = run(&mut estimator, &mut path, 40, u64::MAX);
    println!("{narrow}, {wide}, {again}");
    assert!(narrow < 330_000 && wide > 1_200_000 && again < 330_000, "{narrow} {wide} {again}");
}

#[test]
fn what_is_not_wanted_is_not_claimed() {
    let mut estimator = Estimator::new(Config { start: 300_000, ..Config::default() });
    let (mean, _) = run(&mut estimator, &mut Path::new(100_000_000), 60, 400_000);
    assert!(mean < 1_000_000, "nothing shows that there is more: {mean}");
}

#[test]
fn feedback_about_what_was_never_sent_changes_nothing() {
    let mut estimator = Estimator::new(Config::default());
    let told = TransportFeedback { packet_count: u16::MAX, ..TransportFeedback::default() };
    assert_eq!(estimator.feedback(Instant::from_millis(5), &told), Told::default());
    assert_eq!(estimator.estimate(), Config::default().start);
}

#[test]
fn of_what_is_lost_in_a_row_the_next_one_can_carry_the_last() {
    let mut estimator = Estimator::new(Config::default());
    for number in 0..10 {
        estimator.sent(Instant::from_millis(1), number, 100);
    }
    // 0 and 4 arrive; then, told of with the next feedback, 8 and 9.
    let of = |base_sequence: u16, packet_count: u16, came: &[u16]| TransportFeedback {
        base_sequence,
        packet_count,
        arrived: came.iter().map(|&index| Arrived { index, delta: 1 }).collect(),
        ..TransportFeedback::default()
    };
    let told = estimator.feedback(Instant::from_millis(50), &of(0, 6, &[0, 4]));
    assert_eq!(told, Told { packets: 6, lost: 4, recoverable: 1 });
    let told = estimator.feedback(Instant::from_millis(90), &of(6, 4, &[2, 3]));
    assert_eq!(told, Told { packets: 4, lost: 2, recoverable: 1 });
}
