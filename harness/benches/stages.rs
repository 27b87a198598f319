//! The stages of the hot path as the gate measures them, for the developer at the desk:
//! `cargo bench --bench stages`, or `-- opus` for some of them. Each that has a limit prints its
//! ratio to it, from pairs of one run.

use core::time::Duration;
use std::time::Instant;

use callrig::gate::stages::{STAGES, find};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Units of one iteration.
const UNITS: u32 = 20;
/// Pairs behind a ratio.
const PAIRS: usize = 201;

fn stages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("stages");
    group.throughput(Throughput::Elements(UNITS.into()));
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    for stage in STAGES {
        let mut work = (stage.build)();
        group.bench_function(stage.name, |bencher| bencher.iter(|| work(UNITS)));
    }
    group.finish();
}

fn limits(_: &mut Criterion) {
    for stage in STAGES {
        let Some(limit) = stage.limit.and_then(find) else { continue };
        let (mut ours, mut least) = ((stage.build)(), (limit.build)());
        let time = |work: &mut dyn FnMut(u32)| {
            let began = Instant::now();
            work(UNITS);
            began.elapsed().as_secs_f64()
        };
        let mut ratios: Vec<f64> = (0..PAIRS)
            .map(|round| {
                // Each goes first as often as the other.
                if round % 2 == 0 {
                    let ours = time(&mut ours);
                    ours / time(&mut least)
                } else {
                    let least = time(&mut least);
                    time(&mut ours) / least
                }
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        println!("{}: {:.2} x {}", stage.name, ratios[PAIRS / 2], limit.name);
    }
}

criterion_group!(benches, limits, stages);
criterion_main!(benches);
