//! The kill matrix: every faulty bot against every case, and the samples against every case
//! again and again. What a suite finds is worth what it would have missed.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use callrig_reports::{CaseResult, Level, Verdict};
use rayon::prelude::*;

use super::Mutant;
use super::faults::Fault;
use crate::bots::samples;
use crate::case::Selection;
use crate::seed::Seed;
use crate::validate::bot::profile::Profile;
use crate::validate::bot::run::{Plan, Rigour};
use crate::validate::bot::simulate;

/// What became of one faulty bot.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its fault.
    pub fault: Fault,
    /// Whether the case that must find it did.
    pub killed: bool,
    /// What that case said.
    pub verdict: Option<Verdict>,
    /// Other cases that found something.
    pub collateral: Vec<String>,
}

/// What the samples came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Greens {
    /// Cases that passed.
    pub green: usize,
    /// Cases that were run, but for those that do not apply.
    pub all: usize,
}

/// All cases against one faulty bot.
///
/// # Panics
/// The samples and their profiles are sound.
#[must_use]
pub fn judge(fault: &Fault, seed: Seed) -> Row {
    let (results, _) = run(fault.bot, Some(&fault.change), seed, cases_for(&fault.change));
    let broken = |result: &&CaseResult| matches!(result.verdict, Verdict::Fail | Verdict::Warn);
    let meant = results.iter().find(|result| result.id == fault.caught_by);
    let verdict = meant.map(|result| result.verdict);
    let killed = match fault.level {
        Level::Must => verdict == Some(Verdict::Fail),
        _ => matches!(verdict, Some(Verdict::Warn | Verdict::Fail)),
    };
    let others = results.iter().filter(broken).filter(|result| result.id != fault.caught_by);
    let collateral = others.map(|result| result.id.clone()).collect();
    Row { fault: fault.clone(), killed, verdict, collateral }
}

/// Which cases look at what is changed: of media, those about media alone.
fn cases_for(change: &super::Change) -> &'static [String] {
    static OF_MEDIA: LazyLock<[String; 1]> = LazyLock::new(|| ["bot/own-media/**".to_owned()]);
    match change {
        super::Change::Wire(_) => &*OF_MEDIA,
        _ => &[],
    }
}

/// Cases against a sample, all if none are named, with a fault or without.
fn run(
    name: &str,
    change: Option<&super::Change>,
    seed: Seed,
    cases: &[String],
) -> (Vec<CaseResult>, usize) {
    let sample = samples::find(name).expect("faults are of samples");
    let profile = Profile::named(sample.profile).expect("ready profiles are sound");
    let selection = Selection::new(cases).expect("patterns of ours are sound");
    let plan = Plan::new(&profile, &selection);
    let play = |script| {
        let bot = simulate::bot(sample.program, seed);
        let bot = match change {
            Some(change) => Box::new(Mutant::new(bot, change.clone())),
            None => bot,
        };
        simulate::play(script, bot, seed)
    };
    let transcripts: Vec<_> = plan.scripts.iter().map(play).collect();
    (plan.judge(&transcripts, &Rigour::default()), plan.scripts.len())
}

/// Every faulty bot of a list; `told` is called after each.
pub fn all(faults: &[Fault], seed: Seed, told: impl Fn(&Row) + Sync) -> Vec<Row> {
    let judged = faults.par_iter().map(|fault| {
        let row = judge(fault, seed);
        told(&row);
        row
    });
    judged.collect()
}

/// The samples, in order, with one seed after the other until so many cases were run; the
/// first results that are not green are kept. `told` hears how many there are by now.
#[must_use]
pub fn greens(least: usize, seed: u64, told: impl Fn(usize)) -> (Greens, Vec<CaseResult>) {
    let mut greens = Greens::default();
    let mut red = Vec::new();
    let mut round = 0;
    while greens.all < least {
        let each = samples::ALL
            .par_iter()
            .map(|sample| run(sample.name, None, Seed::new(seed + round), &[]).0)
            .collect::<Vec<_>>();
        for result in each.into_iter().flatten() {
            match result.verdict {
                Verdict::Unsupported => {}
                Verdict::Pass => {
                    greens.green += 1;
                    greens.all += 1;
                }
                _ => {
                    greens.all += 1;
                    red.push(result);
                }
            }
        }
        round += 1;
        told(greens.all);
    }
    red.truncate(100);
    (greens, red)
}

/// The last line: what was killed, and what was harmed beside it.
#[must_use]
pub fn figure(rows: &[Row], greens: Greens) -> String {
    let share = |level: Level| {
        let of = rows.iter().filter(|row| row.fault.level == level);
        let (killed, all) =
            of.fold((0, 0), |(killed, all), row| (killed + usize::from(row.killed), all + 1));
        let percent = 100.0 * killed as f64 / f64::from(u32::try_from(all.max(1)).unwrap_or(1));
        format!("{killed}/{all} = {percent:.1} %")
    };
    let mut harm: Vec<usize> = rows.iter().map(|row| row.collateral.len()).collect();
    harm.sort_unstable();
    let median = harm.get(harm.len() / 2).copied().unwrap_or(0);
    format!(
        "killed Must {}, Should {}, median collateral {median}, green {}/{}",
        share(Level::Must),
        share(Level::Should),
        greens.green,
        greens.all
    )
}

/// What was missed, and what was harmed most: for those who mend the suite.
#[must_use]
pub fn missed(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows.iter().filter(|row| !row.killed) {
        let verdict = row.verdict.map_or("no such case", Verdict::word);
        let others = row.collateral.iter().take(4).cloned().collect::<Vec<_>>().join(", ");
        text.push_str(&format!(
            "missed: {} by {} ({verdict}); found by: {others}\n",
            row.fault.name(),
            row.fault.caught_by
        ));
    }
    let mut harm: BTreeMap<usize, usize> = BTreeMap::new();
    for row in rows {
        *harm.entry(row.collateral.len()).or_insert(0) += 1;
    }
    let harm: Vec<String> = harm.iter().map(|(n, count)| format!("{n}: {count}")).collect();
    text.push_str(&format!("collateral (cases: faults)  {}\n", harm.join("  ")));
    text
}
