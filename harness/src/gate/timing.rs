//! Time: the arms of a race run in turn, in random order, a fraction of a millisecond each, on one
//! processor, in fresh processes for each replica, until `callrig_reports::gate::paired` knows.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use callrig_reports::Environment;
use callrig_reports::gate::bounds::Bounds;
use callrig_reports::gate::paired::{self, LOOKS, Look, Rule};
use callrig_reports::gate::{
    Check, Control, ControlKind, Doubt, DoubtKind, Finding, Findings, Tier,
};
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64Mcg;
use tempfile::TempDir;

use super::arm::{Arm, ArmError};
use super::processor::Kept;
use super::worker::Injection;

/// What one measurement takes, about.
const SHOT: Duration = Duration::from_micros(400);
/// So few units at least, so that 5 % of them are a whole number.
pub const UNITS_MIN: u32 = 20;
/// So many at most.
const UNITS_MAX: u32 = 1_000_000;
/// Measurements of each arm in one replica, at least.
pub const ROUNDS: usize = 15;
/// And at most, as long as the replica is not known well enough: on a machine that does other
/// things as well.
pub const ROUNDS_MAX: usize = 60;
/// The standard error of a replica that is good enough.
pub const PRECISION: f64 = 0.004;
/// In so few links a build shows nothing of what placement does: the rule alarms after as many.
pub const LAYOUTS_MIN: usize = paired::ALARMS_FROM;
/// Two processes of one binary may differ by this much for as long as they live.
const TWIN_ALLOWED: f64 = 0.01;

/// What races.
#[derive(Clone, Debug)]
pub struct Race {
    /// The measure: one build, in one or many links (`LAYOUTS_MIN` at least), of which each
    /// replica takes another.
    pub base: Vec<PathBuf>,
    /// What is measured, likewise.
    pub candidate: Vec<PathBuf>,
    /// Over which stages.
    pub stages: Vec<String>,
    /// What is put into one stage of the candidate on purpose, for the study.
    pub inject: Option<(String, Injection)>,
    /// How many more units the candidate does, in thousandths: work of a known size, for the
    /// study.
    pub more: u32,
    /// Measurements of each arm in one replica, at most.
    pub rounds_max: usize,
    /// The standard error of a replica that is good enough.
    pub precision: f64,
    /// Whether one process does the base's work and the candidate's: what two ways of doing a
    /// thing in one binary differ by, for the study.
    pub one_process: bool,
    /// Of the order within the rounds.
    pub seed: u64,
    /// How many metrics the gate has: among so many false alarms are shared.
    pub metrics: usize,
}

impl Race {
    /// How many links there are of each build, if placement is to average out.
    fn layouts(&self) -> Option<usize> {
        let least = self.base.len().min(self.candidate.len());
        (least > 1).then_some(least)
    }

    /// How many replicas there are at most: no link is taken twice, or it would count for two.
    #[must_use]
    pub fn replicas_max(&self) -> usize {
        let most = LOOKS[LOOKS.len() - 1];
        self.layouts().map_or(most, |layouts| layouts.min(most))
    }
}

/// One stage in the race.
#[derive(Clone, Debug)]
pub struct Lane {
    /// Which.
    pub stage: String,
    /// Units of one measurement.
    pub units: u32,
    /// Replicas of the candidate against the base.
    pub candidate: Vec<f64>,
    /// Of the base against itself.
    pub twin: Vec<f64>,
    /// Of the base with 5 % more work.
    pub canary: Vec<f64>,
    /// Nanoseconds per unit, base and candidate, at best.
    pub best: [f64; 2],
    /// Why nothing more is measured.
    pub fault: Option<Doubt>,
    done: bool,
}

impl Lane {
    fn new(stage: &str) -> Self {
        Self {
            stage: stage.to_owned(),
            units: 0,
            candidate: Vec::new(),
            twin: Vec::new(),
            canary: Vec::new(),
            best: [f64::MAX; 2],
            fault: None,
            done: false,
        }
    }
}

/// How a race ended.
#[derive(Clone, Debug, Default)]
pub struct Raced {
    /// The stages.
    pub lanes: Vec<Lane>,
    /// Who the base is.
    pub base: Environment,
    /// Who the candidate is.
    pub candidate: Environment,
    /// What was found.
    pub findings: Findings,
}

/// Races; `progress` is told after each replica how many stages are still open.
#[must_use]
pub fn race(race: &Race, bounds: &Bounds, progress: &mut dyn FnMut(usize, usize)) -> Raced {
    let mut raced = Raced::default();
    let mut random = Pcg64Mcg::seed_from_u64(race.seed);
    raced.lanes = race.stages.iter().map(|stage| Lane::new(stage)).collect();
    // Two processors of one machine are disturbed by different neighbours.
    let _kept = Kept::to_one();
    let last = race.replicas_max();
    for replica in 1..=last {
        if let Err(doubt) = replicate(race, replica - 1, &mut raced, &mut random) {
            raced.findings.doubts.push(doubt);
            return raced;
        }
        if Rule::looks_at(replica) || replica == last {
            look(&mut raced.lanes, bounds, race);
        }
        let open = raced.lanes.iter().filter(|lane| !lane.done).count();
        progress(replica, open);
        if open == 0 {
            break;
        }
    }
    raced.findings.add(judge(&raced, bounds, race));
    raced
}

/// One replica of all stages that are still open, in fresh processes.
fn replicate(
    race: &Race,
    number: usize,
    raced: &mut Raced,
    random: &mut Pcg64Mcg,
) -> Result<(), Doubt> {
    let failed = |error: ArmError| Doubt::in_tier(DoubtKind::Failed, Tier::Time, error.to_string());
    let link = |of: &[PathBuf]| of[number % of.len()].clone();
    let (of_base, of_candidate) = (link(&race.base), link(&race.candidate));
    let start = |path: &Path| Arm::start(path).map_err(failed);
    // Whoever starts first may get the better memory.
    let swapped = random.random_bool(0.5);
    let (mut base, mut candidate) = if swapped {
        let candidate = start(&of_candidate)?;
        (start(&of_base)?, candidate)
    } else {
        let base = start(&of_base)?;
        (base, start(&of_candidate)?)
    };
    // A process that had two arms would be warmer than those that have one, and so would be the
    // code of a file that several processes run: they share its memory, and with it the caches.
    let copies = Copies::of(&of_base).map_err(|error| {
        let text = format!("{} cannot be copied: {error}", of_base.display());
        Doubt::in_tier(DoubtKind::Failed, Tier::Time, text)
    })?;
    let (mut twin, mut canary) = (start(&copies.twin)?, start(&copies.canary)?);
    alike(number, &mut raced.base, &base, &of_base)?;
    alike(number, &mut raced.candidate, &candidate, &of_candidate)?;
    for lane in raced.lanes.iter_mut().filter(|lane| !lane.done) {
        for arm in [&base, &candidate] {
            if !arm.stages.contains(&lane.stage) {
                let text = format!("one of the two builds has no stage {:?}", lane.stage);
                lane.fault = Some(Doubt::in_tier(DoubtKind::Vanished, Tier::Time, text));
                lane.done = true;
            }
        }
        if lane.done {
            continue;
        }
        if lane.units == 0 {
            lane.units = calibrate(&mut base, &lane.stage).map_err(failed)?;
        }
        shots(race, lane, [&mut base, &mut candidate, &mut twin, &mut canary], random)
            .map_err(failed)?;
    }
    Ok(())
}

/// A binary once more for the twin, and once more for the canary.
struct Copies {
    twin: PathBuf,
    canary: PathBuf,
    _folder: TempDir,
}

impl Copies {
    fn of(binary: &Path) -> io::Result<Self> {
        // Beside it files may be run.
        let beside = binary.parent().filter(|parent| !parent.as_os_str().is_empty());
        let mut make = tempfile::Builder::new();
        let make = make.prefix("callrig-gate-");
        let folder = beside.map_or_else(|| make.tempdir(), |beside| make.tempdir_in(beside));
        let folder = folder.or_else(|_| make.tempdir())?;
        let copy = |name| {
            let path = folder.path().join(name);
            std::fs::copy(binary, &path).map(|_| path)
        };
        Ok(Self { twin: copy("twin")?, canary: copy("canary")?, _folder: folder })
    }
}

/// Whether what was started is the build that the replicas before were of.
fn alike(number: usize, seen: &mut Environment, arm: &Arm, path: &Path) -> Result<(), Doubt> {
    let of = &arm.environment;
    if number == 0 {
        seen.clone_from(of);
    }
    let build =
        |one: &Environment| (one.commit.clone(), one.dirty, one.rustc.clone(), one.profile.clone());
    if build(seen) == build(of) {
        return Ok(());
    }
    let text =
        format!("{} is another build than the one that it should be a link of", path.display());
    Err(Doubt::in_tier(DoubtKind::Foreign, Tier::Time, text))
}

/// How many units one measurement is.
fn calibrate(arm: &mut Arm, stage: &str) -> Result<u32, ArmError> {
    let mut units = UNITS_MIN;
    loop {
        arm.time(stage, units, None)?;
        let nanos = (0..3).map(|_| arm.time(stage, units, None)).collect::<Result<Vec<_>, _>>()?;
        let least = nanos.into_iter().min().unwrap_or(0);
        if u128::from(least) >= SHOT.as_nanos() / 2 || units >= UNITS_MAX {
            let wanted = f64::from(units) * SHOT.as_nanos() as f64 / (least.max(1)) as f64;
            let wanted = wanted.clamp(f64::from(UNITS_MIN), f64::from(UNITS_MAX)) as u32;
            return Ok(wanted.next_multiple_of(UNITS_MIN));
        }
        units *= 4;
    }
}

/// The rounds of one replica of one stage.
fn shots(
    race: &Race,
    lane: &mut Lane,
    [base, candidate, twin, canary]: [&mut Arm; 4],
    random: &mut Pcg64Mcg,
) -> Result<(), ArmError> {
    let (stage, units) = (lane.stage.clone(), lane.units);
    // Once unmeasured, for all that is only made once.
    for arm in [&mut *base, &mut *candidate, &mut *twin, &mut *canary] {
        arm.time(&stage, units, None)?;
    }
    let inject = race.inject.as_ref().filter(|(at, _)| *at == stage).map(|(_, inject)| *inject);
    const ARMS: usize = 4;
    let mut times: [Vec<u64>; 4] = Default::default();
    let began = Instant::now();
    // A stage whose least work takes longer than a measurement should has the least rounds.
    let most = 3 * SHOT * (ARMS * race.rounds_max) as u32;
    for round in 0..race.rounds_max {
        // How wide the quotients scatter says nothing of where they lie, so to go on for that
        // favours nobody.
        let long = began.elapsed() > most;
        if round >= ROUNDS && (long || round % ROUNDS == 0 && error(&times) <= race.precision) {
            break;
        }
        let mut order: Vec<usize> = (0..ARMS).collect();
        order.shuffle(random);
        for arm in order {
            times[arm].push(match arm {
                0 => base.time(&stage, units, None)?,
                1 => {
                    let arm = if race.one_process { &mut *base } else { &mut *candidate };
                    let more = u64::from(units) * u64::from(race.more) / 1_000;
                    arm.time(&stage, units + more as u32, inject)?
                }
                2 => twin.time(&stage, units, None)?,
                _ => canary.time(&stage, units + units / 20, None)?,
            });
        }
    }
    let claimed: u64 = times.iter().flatten().sum();
    let best = |times: &[u64]| times.iter().min().copied().unwrap_or(0) as f64 / f64::from(units);
    lane.best = [lane.best[0].min(best(&times[0])), lane.best[1].min(best(&times[1]))];
    if u128::from(claimed) > began.elapsed().as_nanos() {
        let text = format!("{stage}: the workers claim more time than passed");
        stop(lane, DoubtKind::Clock, text);
        return Ok(());
    }
    for arm in 1..ARMS {
        let pairs: Vec<_> = times[0].iter().copied().zip(times[arm].iter().copied()).collect();
        match paired::replica(&pairs) {
            Ok(replica) => match arm {
                1 => lane.candidate.push(replica),
                2 => lane.twin.push(replica),
                _ => lane.canary.push(replica),
            },
            Err(error) => {
                stop(lane, DoubtKind::Clock, format!("{stage}: {error}"));
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The standard error of the median of the quotients.
fn error(times: &[Vec<u64>; 4]) -> f64 {
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let mut quotients: Vec<f64> = times[0]
        .iter()
        .zip(&times[1])
        .map(|(base, candidate)| (*candidate as f64 / (*base).max(1) as f64).ln())
        .collect();
    let middle = median(&mut quotients);
    let mut off: Vec<f64> = quotients.iter().map(|one| (one - middle).abs()).collect();
    // Of a normal distribution: 1.4826 times the median deviation is the standard one, and a
    // median's error is 1.2533 times that of a mean.
    1.4826 * median(&mut off) * 1.2533 / (quotients.len() as f64).sqrt()
}

fn stop(lane: &mut Lane, kind: DoubtKind, text: String) {
    lane.fault = Some(Doubt::in_tier(kind, Tier::Time, text));
    lane.done = true;
}

fn rules(stage: &str, bounds: &Bounds, race: &Race) -> (Rule, Rule) {
    let metric = format!("time {stage}");
    let above = bounds.time_target - bounds.time;
    let usual = if race.layouts().is_some() { bounds.time_layouts } else { bounds.time };
    let allowed = bounds.relative(&metric).unwrap_or(usual);
    let target = above + allowed.max(usual);
    let of = |allowed| Rule {
        most: race.replicas_max(),
        ..Rule::for_metrics(race.metrics, allowed, target)
    };
    (of(allowed), of(TWIN_ALLOWED))
}

fn look(lanes: &mut [Lane], bounds: &Bounds, race: &Race) {
    for lane in lanes.iter_mut().filter(|lane| !lane.done) {
        let (rule, _) = rules(&lane.stage, bounds, race);
        let known = rule.look(&lane.candidate).finding.is_some();
        // A canary that is slower than what is allowed is waited for.
        let found = rule.look(&lane.canary).finding == Some(Finding::Worse);
        lane.done = known && found;
    }
}

fn judge(raced: &Raced, bounds: &Bounds, race: &Race) -> Findings {
    let mut found = Findings::default();
    let (base, candidate) = (&raced.base, &raced.candidate);
    let same = [
        ("compiler", base.rustc == candidate.rustc),
        ("profile", base.profile == candidate.profile),
        ("processor", base.cpu_model == candidate.cpu_model),
    ];
    for (what, _) in same.into_iter().filter(|(_, same)| !same) {
        let text =
            format!("the two builds have another {what}: time says nothing about the change");
        found.doubts.push(Doubt::in_tier(DoubtKind::Foreign, Tier::Time, text));
    }
    for lane in &raced.lanes {
        if let Some(fault) = &lane.fault {
            found.doubts.push(fault.clone());
            continue;
        }
        let (rule, twin_rule) = rules(&lane.stage, bounds, race);
        let twin = twin_rule.look(&lane.twin);
        let alarmed = matches!(twin.finding, Some(Finding::Worse | Finding::Better));
        found.control(control(lane, ControlKind::Twin, !alarmed, twin));
        let canary = rule.look(&lane.canary);
        let heard = canary.finding == Some(Finding::Worse);
        found.control(control(lane, ControlKind::Canary, heard, canary));
        found.count(Tier::Time);
        found.checks.push(check(lane, rule, rule.look(&lane.candidate)));
    }
    found
}

fn control(lane: &Lane, kind: ControlKind, held: bool, look: Look) -> Control {
    let effect = look.effect;
    Control {
        tier: Tier::Time,
        kind,
        of: lane.stage.clone(),
        held,
        seen: format!(
            "{:+.2} % [{:+.2}, {:+.2}] in {} replicas",
            100.0 * effect.estimate,
            100.0 * effect.low,
            100.0 * effect.high.min(1e6),
            look.replicas
        ),
    }
}

fn check(lane: &Lane, rule: Rule, look: Look) -> Check {
    let finding = look.finding.unwrap_or(Finding::Unresolved);
    let nanos = |value: f64| format!("{value:.1} ns");
    Check {
        tier: Tier::Time,
        metric: format!("time {}", lane.stage),
        stage: lane.stage.clone(),
        base: nanos(lane.best[0]),
        candidate: nanos(lane.best[1]),
        finding,
        effect: Some(look.effect),
        bound: format!(
            "{:.1} % more, clear below {:.1} %",
            100.0 * rule.allowed,
            100.0 * rule.target
        ),
    }
}
