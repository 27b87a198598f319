//! How fast simulated time runs when nothing is decoded: a whole call, with its signaling,
//! both links, the platform's relay and the bot's session. Two kinds of minutes: sound in
//! packets of 20 ms, and 1.5 Mbit/s of video in packets of 1,200 bytes. The figure that
//! counts is `time of the recording / time it took`; the bench prints it once, criterion
//! watches it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use callrig::network;
use callrig::schedule::{Numbering, Schedule, VideoFormat};
use callrig::seed::Seed;
use callrig::stage::{self, Stage};
use callrig::subject::{About, Subject, offer};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// As the command has it.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SECONDS: u64 = 60;

/// Opus-sized packets each 20 ms.
fn sound() -> Subject {
    let packets = (0..SECONDS * 50).map(|index| {
        let mut payload = vec![0x78; 80];
        payload[1] = index as u8;
        (Bytes::from(payload), 960)
    });
    let numbering = Numbering::default();
    let schedule = Schedule::of_opus(packets, numbering).expect("a minute is not too long");
    let media = vec![offer::opus_line(numbering, false)];
    Subject { media, schedule, ..Subject::bare(&About::default(), "audio") }
}

/// 30 pictures a second of 6,250 bytes; every hundredth is a key frame.
fn video() -> Subject {
    let units: Vec<Bytes> = (0..SECONDS * 30)
        .map(|index| {
            let mut unit = Vec::new();
            if index % 100 == 0 {
                unit.extend([0, 0, 0, 1, 0x67, 0x42, 0xe0, 0x1f, 0xda, 0x02, 0x80, 0xf6, 0x40]);
                unit.extend([0, 0, 0, 1, 0x68, 0xce, 0x3c, 0x80]);
            }
            let kind = if index % 100 == 0 { 0x65 } else { 0x41 };
            unit.extend([0, 0, 0, 1, kind, 0x88]);
            unit.resize(6_250, 0x55);
            Bytes::from(unit)
        })
        .collect();
    let numbering = Numbering { payload_type: 102, ..Numbering::default() };
    let schedule = Schedule::of_access_units(&units, VideoFormat::default(), numbering)
        .expect("the units can be carried");
    let media = offer::video_lines(numbering);
    Subject { media, schedule, ..Subject::bare(&About::default(), "video") }
}

fn simulated_time(criterion: &mut Criterion) {
    let clean = network::find("clean").expect("a preset");
    for (name, subject) in [("sound", sound()), ("video-1.5M", video())] {
        let perform = || {
            let performance = stage::perform(&subject, clean, Stage::Relay, Seed::new(1))
                .expect("the stage can be built");
            assert_eq!(performance.fault(), None);
            performance
        };
        let best = (0..5)
            .map(|_| {
                let began = Instant::now();
                black_box(perform());
                began.elapsed()
            })
            .min()
            .unwrap_or(Duration::MAX);
        let times = subject.duration().as_secs_f64() / best.as_secs_f64();
        let packets = subject.schedule.departures().len();
        let each = best.as_nanos() / packets as u128;
        println!("{name}: {times:.0} times real time, {each} ns for each of {packets} packets");
        let mut group = criterion.benchmark_group("simulated-time");
        group.throughput(Throughput::Elements(packets as u64));
        group.bench_function(name, |bencher| bencher.iter(|| black_box(perform())));
        group.finish();
    }
}

criterion_group!(benches, simulated_time);
criterion_main!(benches);
