//! B1: the same build against itself, many times; B2: work of a known size.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use callrig::gate::callgrind;
use callrig::gate::timing::{ROUNDS, Race, race};
use callrig::gate::worker::Ask;
use callrig_reports::gate::Finding;
use callrig_reports::gate::bounds::Bounds;
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;

use crate::{Study, at_least, at_most, binary, links, race as of, race_of_builds as of_builds};

const STAGES: &[&str] = &[
    "rtp/parse",
    "rtp/write",
    "rtp/reception",
    "srtp/protect",
    "jitter/clean",
    "h264/depacketize",
    "h264/assemble",
    "session/receive",
    "opus/decode",
    "h264/decode",
];

/// Verdicts on twins, of each finding.
#[derive(Default)]
struct Verdicts {
    all: u64,
    worse: u64,
    better: u64,
    unresolved: u64,
    /// Gates: races of all stages, those with an alarm, and those whose twins or canaries did not
    /// hold.
    gates: u64,
    red: u64,
    doubted: u64,
}

fn verdicts(wanted: u64, until: Instant, stages: &[&str], seed: u64) -> Verdicts {
    let mut seen = Verdicts::default();
    while seen.all < wanted && (seen.all == 0 || Instant::now() < until) {
        // No more rounds than the least: more verdicts in the time, and each of them on less.
        let of = Race { rounds_max: ROUNDS, ..of_builds(stages, seed + seen.gates) };
        let raced = race(&of, &Bounds::default(), &mut |_, _| {});
        let count = |finding| {
            raced.findings.checks.iter().filter(|one| one.finding == finding).count() as u64
        };
        let worse = count(Finding::Worse);
        seen.all += raced.findings.checks.len() as u64;
        seen.worse += worse;
        seen.better += count(Finding::Better);
        seen.unresolved += count(Finding::Unresolved);
        seen.gates += 1;
        seen.red += u64::from(worse > 0);
        seen.doubted += u64::from(!raced.findings.doubts.is_empty());
        if raced.findings.checks.is_empty() {
            println!("no verdict: {:?}", raced.findings.doubts);
            return seen;
        }
    }
    seen
}

/// Burns the processors at random.
pub(crate) struct Burner(Arc<AtomicBool>, Vec<std::thread::JoinHandle<()>>);

impl Burner {
    pub(crate) fn new() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let threads = (0..cores as u64).map(|seed| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut random = Pcg64Mcg::seed_from_u64(seed);
                while !stop.load(Ordering::Relaxed) {
                    let until =
                        Instant::now() + Duration::from_micros(random.random_range(0..30_000));
                    while Instant::now() < until {
                        std::hint::spin_loop();
                    }
                    std::thread::sleep(Duration::from_micros(random.random_range(0..30_000)));
                }
            })
        });
        let threads = threads.collect();
        Self(stop, threads)
    }
}

impl Drop for Burner {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        for thread in self.1.drain(..) {
            let _ = thread.join();
        }
    }
}

/// B1; the figure of it.
pub(crate) fn run(study: &mut Study) -> String {
    let (wanted, burnt, stages) =
        if study.full { (3_000, 1_000, STAGES) } else { (2, 2, &STAGES[..2]) };
    study.say("## B1: false alarms\n");
    study.say(
        "One build against itself by the rule for time between two builds (12 to 112 replicas, each \
         in fresh processes, of 15 rounds only where a gate takes up to 60 on a busy machine; false \
         alarms shared among 200 metrics). The burner keeps every core busy half of the time, in \
         random stretches of up to 30 ms.\n",
    );
    let links = links().len() / 2;
    if links > 0 {
        study.say(&format!(
            "Each replica takes two other links of the same source, out of {links} for the one build \
             and {links} for the other, dealt anew for each race.\n"
        ));
    }
    let quiet = verdicts(wanted, study.until(0.3), stages, 1);
    let burner = Burner::new();
    let noisy = verdicts(burnt, study.until(0.15), stages, 1_000_000);
    drop(burner);
    study.say(
        "| | called worse | called better | unresolved | gates with an alarm | gates in doubt |",
    );
    study.say("| :-- | --: | --: | --: | --: | --: |");
    for (name, seen) in [("as it is", &quiet), ("under the burner", &noisy)] {
        study.say(&format!(
            "| {name} | {} | {} | {} | {} of {} | {} |",
            at_most(seen.worse, seen.all),
            seen.better,
            seen.unresolved,
            seen.red,
            seen.gates,
            seen.doubted
        ));
    }
    study.say("");
    format!(
        "false alarms {} as it is, {} under the burner",
        at_most(quiet.worse, quiet.all),
        at_most(noisy.worse, noisy.all)
    )
}

/// B2.
pub(crate) fn sizes(study: &mut Study) {
    study.say("## B2: work of a known size\n");
    study.say("More units of the same work, in thousandths; how often that was called worse.\n");
    study.say("| tier | size | called worse | unresolved | at most, a stage |");
    study.say("| :-- | --: | --: | --: | --: |");
    let until = study.until(if study.full { 0.4 } else { 0.2 });
    // Sixty, of which none may be missed, bound the power by 95 %: at what the goals name.
    let full = study.full;
    let reps = |goal| match (full, goal) {
        (true, true) => 10,
        (true, false) => 4,
        (false, _) => 1,
    };
    let stages = if study.full { &STAGES[..6] } else { &STAGES[..1] };
    let placed = !links().is_empty();
    let across: &[u32] = match (study.full, placed) {
        (true, true) => &[30, 0, 10, 20, 40, 50],
        (true, false) => &[30, 0, 35, 40, 50, 70],
        (false, _) => &[100],
    };
    for more in across {
        let reps = reps(*more == 30);
        size(study, (*more, false), stages, reps, until, &Bounds::default());
    }
    let within: &[u32] = if study.full { &[5, 0, 10, 20] } else { &[20] };
    let bounds = Bounds { time: 0.0, time_target: 0.005, ..Bounds::default() };
    for more in within {
        let reps = reps(*more == 5);
        size(study, (*more, true), stages, reps, until, &bounds);
    }
    instructions(study, stages);
    study.say("");
}

fn size(
    study: &mut Study,
    (more, one_process): (u32, bool),
    stages: &[&str],
    reps: u64,
    until: Instant,
    bounds: &Bounds,
) {
    let (mut all, mut worse, mut open, mut slowest) = (0, 0, 0, 0.0_f64);
    for rep in 0..reps {
        if all > 0 && Instant::now() > until {
            break;
        }
        let seed = 77 + rep;
        let of = if one_process {
            // Ten seconds a stage: twenty processes, six hundred pairs of 0.8 ms in each.
            Race { one_process, rounds_max: 600, precision: 0.000_8, ..of(stages, seed) }
        } else {
            of_builds(stages, seed)
        };
        let began = Instant::now();
        let raced = race(&Race { more, ..of }, bounds, &mut |_, _| {});
        let took = began.elapsed().as_secs_f64();
        slowest = slowest.max(took / raced.lanes.len().max(1) as f64);
        for check in &raced.findings.checks {
            all += 1;
            worse += u64::from(check.finding == Finding::Worse);
            open += u64::from(check.finding == Finding::Unresolved);
        }
    }
    if all == 0 {
        study.say("| | | no verdict: a worker failed | | |");
        return;
    }
    let tier = if one_process { "time, one process" } else { "time, two builds" };
    let size = f64::from(more) / 10.0;
    study.say(&format!(
        "| {tier} | {size} % | {} | {open} | {slowest:.1} s |",
        at_least(worse, all)
    ));
}

fn instructions(study: &mut Study, stages: &[&str]) {
    if !callgrind::installed() {
        study.say("| instructions | | valgrind is not installed: not measured | | |");
        return;
    }
    let sizes = [1_000, 1_001, 1_002, 1_003, 1_005, 1_010_u32];
    let asks: Vec<Ask> = stages
        .iter()
        .flat_map(|stage| {
            sizes.map(|units| Ask::Time { stage: (*stage).to_owned(), units, inject: None })
        })
        .collect();
    let counts = match callgrind::count(&binary(), &asks) {
        Ok(counts) => counts,
        Err(error) => {
            study.say(&format!("| instructions | | not measured: {error} | | |"));
            return;
        }
    };
    for (place, units) in sizes.iter().enumerate().skip(1) {
        let worse = counts.chunks(sizes.len()).filter(|of| of[place] / of[0] - 1.0 > 0.002).count();
        let size = f64::from(units - 1_000) / 10.0;
        let found = at_least(worse as u64, stages.len() as u64);
        study.say(&format!("| instructions | {size} % | {found} | 0 | |"));
    }
}
