//! B3, costs: each seed is put into one stage of the candidate, with quiet stages beside it, and
//! judged by time, by instructions and by memory. And changes that harm nobody.

use std::time::Instant;

use callrig::gate::timing::{self, Race};
use callrig::gate::worker::{Injection, Kind};
use callrig::gate::{callgrind, memory};
use callrig_reports::gate::bounds::Bounds;
use callrig_reports::gate::{Finding, Findings, Tier};

use crate::seeds::{COSTS, Seed};
use crate::{Study, at_least, at_most, faulty_binary, race};

#[derive(Default)]
pub(crate) struct Found {
    pub(crate) all: u64,
    pub(crate) found: u64,
    pub(crate) attributed: u64,
    pub(crate) harmless: u64,
    /// Races without any verdict: nothing was measured.
    pub(crate) silent: u64,
    pub(crate) flagged: u64,
}

const QUIET: &[&str] = &["rtp/write", "h264/assemble"];

fn red(found: &Findings, tier: Tier) -> Vec<&str> {
    let of_tier = found.checks.iter().filter(|check| check.tier == tier);
    of_tier.filter(|check| check.finding == Finding::Worse).map(|check| &*check.stage).collect()
}

pub(crate) fn run(study: &mut Study) -> Found {
    study.say("## B3: seeded regressions of cost, and harmless changes\n");
    let until = study.until(0.3);
    let seeds: Vec<&Seed> =
        if study.full { COSTS.iter().collect() } else { COSTS.iter().step_by(17).collect() };
    let counting = study.full && callgrind::installed();
    let mut found = Found::default();
    let mut by_kind: Vec<(Kind, u64, u64, u64, u64, u64)> = Vec::new();
    let mut missed = Vec::new();
    for (number, seed) in seeds.iter().enumerate() {
        if number > 0 && Instant::now() > until {
            missed.push(format!("{} seeds were not tried: the time was up", seeds.len() - number));
            break;
        }
        let Some((time, instructions, memory)) = judge(seed, number as u64, counting) else {
            found.silent += 1;
            continue;
        };
        let reds: Vec<&str> =
            [&time, &instructions, &memory].into_iter().flatten().map(|s| &**s).collect();
        let seen = !reds.is_empty();
        let right = seen && reds.iter().all(|stage| *stage == seed.stage);
        found.all += 1;
        found.found += u64::from(seen);
        found.attributed += u64::from(right);
        if !seen || !right {
            let Injection { kind, amount, every } = seed.inject;
            missed.push(format!(
                "{}: {kind:?} of {amount} in each {every}: {}",
                seed.stage,
                if seen { format!("also named {reds:?}") } else { "not found".into() }
            ));
        }
        let kind = seed.inject.kind;
        if !by_kind.iter().any(|one| one.0 == kind) {
            by_kind.push((kind, 0, 0, 0, 0, 0));
        }
        for one in by_kind.iter_mut().filter(|one| one.0 == kind) {
            one.1 += 1;
            one.2 += u64::from(seen);
            one.3 += u64::from(!time.is_empty());
            one.4 += u64::from(!instructions.is_empty());
            one.5 += u64::from(!memory.is_empty());
        }
    }
    study.say("| kind | seeds | found | by time | by instructions | by memory |");
    study.say("| :-- | --: | --: | --: | --: | --: |");
    for (kind, all, seen, time, instructions, memory) in by_kind {
        study.say(&format!(
            "| {kind:?} | {all} | {seen} | {time} | {} | {memory} |",
            if counting { instructions.to_string() } else { "not counted".into() }
        ));
    }
    study.say("");
    missed.iter().for_each(|line| study.say(&format!("- {line}")));
    harmless(study, &mut found);
    study.say(&format!(
        "\nFound {}, at the right stage {}; harmless changes flagged {}.\n",
        at_least(found.found, found.all),
        found.attributed,
        at_most(found.flagged, found.harmless)
    ));
    found
}

/// Which stages are called worse by time, by instructions, by memory.
fn judge(
    seed: &Seed,
    number: u64,
    counting: bool,
) -> Option<(Vec<String>, Vec<String>, Vec<String>)> {
    let bounds = Bounds::default();
    let mut stages = vec![seed.stage];
    stages.extend(QUIET.iter().filter(|stage| **stage != seed.stage));
    let raced = raced(&stages, seed.stage, seed.inject, number)?;
    let own = |stages: Vec<&str>| stages.into_iter().map(ToOwned::to_owned).collect::<Vec<_>>();
    let time = own(red(&raced.findings, Tier::Time));
    let stage = [seed.stage.to_owned()];
    let (base, inject) = (faulty_binary(), Some(seed.inject));
    let instructions = if counting {
        let found = callgrind::judge(&base, &base, &stage, inject, &bounds);
        own(red(&found, Tier::Instructions))
    } else {
        Vec::new()
    };
    let memory = if seed.inject.kind == Kind::Leak {
        own(red(&memory::judge(&base, &base, &stage, inject, &bounds), Tier::Memory))
    } else {
        Vec::new()
    };
    Some((time, instructions, memory))
}

/// One race in which this stage of the candidate is worse; nothing where nothing was measured.
fn raced(stages: &[&str], at: &str, inject: Injection, seed: u64) -> Option<timing::Raced> {
    let of = Race {
        base: vec![faulty_binary()],
        candidate: vec![faulty_binary()],
        inject: Some((at.to_owned(), inject)),
        ..race(stages, seed)
    };
    let raced = timing::race(&of, &Bounds::default(), &mut |_, _| {});
    if raced.findings.checks.is_empty() {
        println!("no verdict on {at}: {:?}", raced.findings.doubts);
        return None;
    }
    Some(raced)
}

/// Changes that are none: a hook that does nothing, in other processes, in another order.
fn harmless(study: &mut Study, found: &mut Found) {
    let until = study.until(0.15);
    let wanted = if study.full { 100 } else { 1 };
    let kinds = [Kind::Cpu, Kind::Allocation, Kind::Lock, Kind::Copy, Kind::Syscall];
    let stages = ["rtp/parse", "jitter/clean", "session/receive"];
    for number in 0..wanted {
        if number > 0 && Instant::now() > until {
            break;
        }
        let kind = kinds[number as usize % kinds.len()];
        let inject = Injection { kind, amount: 0, every: 1_000 };
        let at = stages[number as usize % stages.len()];
        let Some(raced) = raced(&stages, at, inject, 5_000 + number) else {
            found.silent += 1;
            continue;
        };
        found.harmless += 1;
        found.flagged += u64::from(!red(&raced.findings, Tier::Time).is_empty());
    }
}
