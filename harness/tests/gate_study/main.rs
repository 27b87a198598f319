//! How often the gate errs, and what it finds: B1 to B3 of the goals, measured on this machine;
//! and how often a load is judged wrongly on a busy one (L2).
//! `cargo test` takes a small sample of everything; `make gate-study` runs all of it and writes
//! `reports/docs/gate-study.md`. The last line is the figure.
//!
//! Regressions are put in at run time (`faults`), as data: rebuilding callrig two hundred times
//! would take days on a small machine. So what a compiler makes of a patch elsewhere is not in
//! these figures. The sabotage of B4 is in `reports/tests/it/gating.rs` and in
//! `harness/tests/it/gate.rs`, and runs in full with every `cargo test`.

mod bugs;
mod costs;
mod loads;
mod seeds;
mod twins;

use core::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use callrig::environment;
use callrig::gate::timing::{LAYOUTS_MIN, PRECISION, ROUNDS_MAX, Race};
use callrig_reports::gate::distribution::{rate_at_least, rate_at_most};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_pcg::Pcg64Mcg;

/// The sample must be over soon; the whole has the time that it is given.
struct Study {
    full: bool,
    minutes: f64,
    text: String,
}

impl Study {
    /// A part of the time.
    fn until(&self, part: f64) -> Instant {
        Instant::now() + Duration::from_secs_f64(60.0 * self.minutes * part)
    }

    fn say(&mut self, line: &str) {
        println!("{line}");
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{line}");
    }
}

/// What is studied: `STUDY_BINARY`, such as a release build, or the build of the tests.
fn binary() -> PathBuf {
    std::env::var_os("STUDY_BINARY").map_or_else(faulty_binary, PathBuf::from)
}

/// The build of the tests, which alone can be made worse on demand.
fn faulty_binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_callrig"))
}

/// More links of what is studied in random order: `STUDY_LAYOUTS`, a folder.
fn links() -> Vec<PathBuf> {
    let Some(folder) = std::env::var_os("STUDY_LAYOUTS") else { return Vec::new() };
    let entries = std::fs::read_dir(folder).expect("STUDY_LAYOUTS can be read");
    let mut links: Vec<PathBuf> =
        entries.map(|entry| entry.expect("it can be read").path()).collect();
    links.sort();
    links
}

/// A race of two builds: in other links of the same source each time, if there are any.
fn race_of_builds(stages: &[&str], seed: u64) -> Race {
    let mut links = links();
    links.shuffle(&mut Pcg64Mcg::seed_from_u64(seed));
    let candidate = links.split_off(links.len() / 2);
    if links.len() < LAYOUTS_MIN {
        return race(stages, seed);
    }
    Race { base: links, candidate, ..race(stages, seed) }
}

/// This build against itself over these stages, as a gate of 200 metrics would.
fn race(stages: &[&str], seed: u64) -> Race {
    Race {
        base: vec![binary()],
        candidate: vec![binary()],
        stages: stages.iter().map(|stage| (*stage).to_owned()).collect(),
        inject: None,
        more: 0,
        rounds_max: ROUNDS_MAX,
        precision: PRECISION,
        one_process: false,
        seed,
        metrics: 200,
    }
}

/// `3 of 3000 (at most 0.26 %)`
fn at_most(events: u64, trials: u64) -> String {
    let bound = 100.0 * rate_at_most(events, trials, 0.95);
    format!("{events} of {trials} (at most {bound:.3} % at 95 %)")
}

/// `98 of 100 (at least 93.8 %)`
fn at_least(events: u64, trials: u64) -> String {
    let bound = 100.0 * rate_at_least(events, trials, 0.95);
    format!("{events} of {trials} (at least {bound:.1} % at 95 %)")
}

fn main() -> ExitCode {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let full = asked.iter().any(|one| one == "--full");
    // A list has nothing to show here, and a filter means another test.
    let filtered = asked.iter().any(|one| !one.starts_with('-') && !"gate_study".contains(&**one));
    if !full && (filtered || asked.iter().any(|one| one == "--list")) {
        return ExitCode::SUCCESS;
    }
    let minutes = std::env::var("STUDY_MINUTES").ok().and_then(|text| text.parse().ok());
    let minutes = if full { minutes.unwrap_or(60.0) } else { 0.25 };
    let mut study = Study { full, minutes, text: String::new() };
    let now = environment::current();
    study.say("# What the gate finds, and how often it errs\n");
    study.say(&format!(
        "Written by `make gate-study` on {}: {}, {} cores, {}, profile {}, commit {}{}. Load average \
         before: {}.\n",
        environment::now(),
        now.cpu_model.unwrap_or_default(),
        now.cores.unwrap_or_default(),
        now.rustc.unwrap_or_default(),
        std::env::var("STUDY_PROFILE").ok().or(now.profile).unwrap_or_default(),
        now.commit.unwrap_or_default().get(..10).unwrap_or_default(),
        if now.dirty == Some(true) { " with changes" } else { "" },
        std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim(),
    ));
    // Some of it: `STUDY_PARTS=b3`.
    let parts = std::env::var("STUDY_PARTS").unwrap_or_default();
    let wanted = |part: &str| parts.is_empty() || parts.contains(part);
    let alarms = if wanted("b1") { twins::run(&mut study) } else { "B1 was left out".to_owned() };
    if wanted("b2") {
        twins::sizes(&mut study);
    }
    let (mut costs, mut bugs) = (costs::Found::default(), costs::Found::default());
    if wanted("b3") {
        bugs = bugs::run(&mut study);
        costs = costs::run(&mut study);
    }
    let (loads, unsound) =
        if wanted("l2") { loads::run(&mut study) } else { ("L2 was left out".to_owned(), 0) };
    let (found, all) = (costs.found + bugs.found, costs.all + bugs.all);
    let attributed = costs.attributed + bugs.attributed;
    if costs.silent > 0 {
        study.say(&format!(
            "{} comparisons came to no verdict, and count for nothing.",
            costs.silent
        ));
    }
    study.say(&format!(
        "## Together\n\n- regressions found: {}, of those at the right stage: {attributed}\n- \
         harmless changes flagged: {}\n",
        at_least(found, all),
        at_most(costs.flagged, costs.harmless),
    ));
    if full && parts.is_empty() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../reports/docs/gate-study.md");
        if let Err(error) = std::fs::write(&path, &study.text) {
            eprintln!("cannot write {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    println!(
        "gate-study: {alarms}; {loads}; {found} of {all} regressions found, {attributed} at the right stage, \
         {} of {} harmless changes flagged",
        costs.flagged, costs.harmless
    );
    // The sample proves that the machinery works, not a rate: it fails where most is missed.
    let sound = found * 10 >= all * 7 && costs.flagged == 0 && costs.silent == 0 && unsound == 0;
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
