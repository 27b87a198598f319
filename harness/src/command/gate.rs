//! `callrig gate`: does a change make anything worse?

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use callrig_reports::gate::bounds::{self, Bounds};
use callrig_reports::gate::history::{self, History, Values};
use callrig_reports::gate::{Doubt, DoubtKind, Findings, Gate, Outcome, Side, Tier, exact};
use callrig_reports::{Environment, Report, render};
use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, run, say};
use crate::cli::{self, CostTier, ExitCode, GateFormat};
use crate::gate::stages::STAGES;
use crate::gate::timing::{LAYOUTS_MIN, PRECISION, ROUNDS_MAX, Race, race};
use crate::gate::{callgrind, memory};
use crate::{environment, output};

/// A report larger than this is refused.
const REPORT_BYTES_MAX: u64 = 1 << 30;
/// Settings larger than this are refused.
const BOUNDS_BYTES_MAX: u64 = 1 << 20;

/// Compares, concludes, tells.
pub(super) fn gate(arguments: &cli::Gate) -> Result<ExitCode, Failure> {
    let bounds = bounds_of(arguments)?;
    let mut found = Findings::default();
    let (mut base, mut candidate) = (Side::default(), Side::default());
    candidate.environment = environment::current();
    let mut values = Values::new();
    if let Some(baseline) = &arguments.baseline {
        found.add(exactly(arguments, baseline, &bounds, &mut base, &mut candidate, &mut values));
    }
    if let Some(binary) = &arguments.base {
        found.add(costs(arguments, binary, &bounds, &mut base)?);
    }
    let gate = Gate::conclude(environment::now(), base, candidate, found);
    for check in gate.checks.iter().filter(|check| check.tier == Tier::Instructions) {
        values.insert(check.metric.clone(), check.candidate.clone().into());
    }
    if let Some(folder) = &arguments.out {
        let file = |name: &str, text: String| (name.to_owned(), text.into_bytes());
        let files = [
            file("gate.json", render::gate::json(&gate)),
            file("gate.md", render::gate::markdown(&gate)),
            file("gate-junit.xml", render::gate::junit(&gate)),
        ];
        output::write(folder, &files)?;
    }
    if let Some(path) = &arguments.history {
        append(path, &gate, &values)?;
    }
    say(&match arguments.format {
        GateFormat::Text => render::gate::text(&gate),
        GateFormat::Json => render::gate::json(&gate),
        GateFormat::Markdown => render::gate::markdown(&gate),
        GateFormat::Github => render::gate::github(&gate),
        GateFormat::Junit => render::gate::junit(&gate),
    })?;
    Ok(match gate.outcome {
        Outcome::Clear => ExitCode::Ok,
        Outcome::Regressed => ExitCode::Regressed,
        Outcome::Inconclusive => ExitCode::Inconclusive,
    })
}

/// A file's text, if it is of a sensible size.
fn text(path: &Path, most: u64) -> anyhow::Result<String> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut text = String::new();
    let read = file.take(most + 1).read_to_string(&mut text);
    read.with_context(|| format!("cannot read {}", path.display()))?;
    anyhow::ensure!(text.len() as u64 <= most, "{} is larger than {most} bytes", path.display());
    Ok(text)
}

fn bounds_of(arguments: &cli::Gate) -> Result<Bounds, Failure> {
    let beside = PathBuf::from("gate.toml");
    let path = match &arguments.bounds {
        Some(path) => path,
        None if beside.is_file() => &beside,
        None => return Ok(Bounds::default()),
    };
    let text = text(path, BOUNDS_BYTES_MAX).map_err(Failure::usage)?;
    let bounds: Bounds = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(0, |span| {
            text.get(..span.start).map_or(0, |before| before.matches('\n').count()) + 1
        });
        Failure::usage(anyhow!("{}, line {line}: {}", path.display(), error.message()))
    })?;
    bounds.check().map_err(|error| Failure::usage(anyhow!("{}: {error}", path.display())))?;
    Ok(bounds)
}

fn report(path: &Path) -> anyhow::Result<Report> {
    let text = text(path, REPORT_BYTES_MAX)?;
    render::json::parse(&text)
        .with_context(|| format!("{} is not a report of this callrig", path.display()))
}

/// What repeats to the last digit. A baseline that cannot be used is no error of ours: it leaves
/// no gate.
fn exactly(
    arguments: &cli::Gate,
    baseline: &Path,
    bounds: &Bounds,
    base: &mut Side,
    candidate: &mut Side,
    values: &mut Values,
) -> Findings {
    let doubt = |kind, error: &anyhow::Error| {
        Findings::doubt(Doubt::in_tier(kind, Tier::Exact, super::told(error)))
    };
    base.name = baseline.display().to_string();
    let before = match report(baseline) {
        Ok(report) => report,
        Err(error) => return doubt(DoubtKind::NoBaseline, &error),
    };
    base.environment = before.environment.clone();
    let now = match &arguments.candidate {
        Some(path) => {
            candidate.name = path.display().to_string();
            report(path).map_err(|error| doubt(DoubtKind::Failed, &error))
        }
        None => {
            candidate.name = "the corpora, run now".into();
            run_now(arguments, &before)
                .map_err(|failure| doubt(DoubtKind::Failed, &failure.into_error()))
        }
    };
    let now = match now {
        Ok(report) => report,
        Err(found) => return found,
    };
    candidate.environment = now.environment.clone();
    *values = history::values(&now);
    exact::judge(&before, &now, bounds)
}

/// The corpora, as the baseline was made.
fn run_now(arguments: &cli::Gate, baseline: &Report) -> Result<Report, Failure> {
    let corpora = arguments.corpora.clone();
    run::found(&cli::Run { seed: baseline.seed, corpora, ..cli::Run::default() })
}

/// What each stage costs in the base's build and in this one.
fn costs(
    arguments: &cli::Gate,
    binary: &Path,
    bounds: &Bounds,
    base: &mut Side,
) -> Result<Findings, Failure> {
    let ours = std::env::current_exe().context("cannot find this callrig's own file")?;
    let wanted = |name: &str| {
        arguments.stage.is_empty()
            || arguments.stage.iter().any(|pattern| bounds::matches(pattern, name))
    };
    let stages: Vec<String> = STAGES
        .iter()
        .filter(|stage| !stage.is_limit() && wanted(stage.name))
        .map(|stage| stage.name.to_owned())
        .collect();
    if stages.is_empty() {
        let all: Vec<&str> = STAGES.iter().map(|stage| stage.name).collect();
        return Err(Failure::usage(anyhow!(
            "--stage {} matches none of: {}",
            arguments.stage.join(" "),
            all.join(" ")
        )));
    }
    base.name = binary.display().to_string();
    let mut found = Findings::default();
    let metrics = stages.len() * arguments.tier.len();
    for tier in &arguments.tier {
        found.add(match tier {
            CostTier::Instructions => {
                eprintln!("callrig: counting the instructions of {} stages", stages.len());
                callgrind::judge(binary, &ours, &stages, None, bounds)
            }
            CostTier::Memory => {
                eprintln!("callrig: watching the memory of {} stages", stages.len());
                memory::judge(binary, &ours, &stages, None, bounds)
            }
            CostTier::Time => {
                let (base_links, our_links) = links(arguments, binary, &ours)?;
                let race = Race {
                    base: base_links,
                    candidate: our_links,
                    stages: stages.clone(),
                    inject: None,
                    rounds_max: ROUNDS_MAX,
                    precision: PRECISION,
                    more: 0,
                    one_process: false,
                    seed: std::process::id().into(),
                    metrics,
                };
                timed(&race, bounds, base)
            }
        });
    }
    Ok(found)
}

/// The files of the two builds that race: those that there are anyway, and more links of them.
fn links(
    arguments: &cli::Gate,
    base: &Path,
    ours: &Path,
) -> Result<(Vec<PathBuf>, Vec<PathBuf>), Failure> {
    let beside = |binary: &Path, folder: &Path| -> anyhow::Result<Vec<PathBuf>> {
        let cannot = || format!("cannot read the folder {}", folder.display());
        let mut found = vec![binary.to_owned()];
        for entry in fs::read_dir(folder).with_context(cannot)? {
            found.push(entry.with_context(cannot)?.path());
        }
        // In an order that does not depend on the file system.
        found[1..].sort();
        anyhow::ensure!(
            found.len() > LAYOUTS_MIN,
            "--layouts: {} holds {} links, {LAYOUTS_MIN} are needed to tell placement from a change",
            folder.display(),
            found.len() - 1
        );
        Ok(found)
    };
    let [of_base, of_ours] = &arguments.layouts[..] else {
        return Ok((vec![base.to_owned()], vec![ours.to_owned()]));
    };
    let usage = Failure::usage;
    Ok((beside(base, of_base).map_err(usage)?, beside(ours, of_ours).map_err(usage)?))
}

fn timed(arguments: &Race, bounds: &Bounds, base: &mut Side) -> Findings {
    let bar = ProgressBar::new(arguments.replicas_max() as u64);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:30} replica {pos} of at most {len}  {msg}")
    {
        bar.set_style(style);
    }
    let raced = race(arguments, bounds, &mut |replica, open| {
        bar.set_position(replica as u64);
        bar.set_message(format!("{open} stages still open"));
    });
    bar.finish_and_clear();
    // A worker sees the one processor that it is kept to.
    base.environment = Environment { cores: environment::current().cores, ..raced.base };
    raced.findings
}

/// Appends to the history: whole lines, one writer at a time.
fn append(path: &Path, gate: &Gate, values: &Values) -> Result<(), Failure> {
    let refuse = || format!("cannot append to {}", path.display());
    let mut file =
        File::options().create(true).read(true).append(true).open(path).with_context(refuse)?;
    file.lock().with_context(refuse)?;
    let mut text = String::new();
    file.read_to_string(&mut text).with_context(refuse)?;
    let entry = History::parse(&text).next(gate, values);
    let mut line = serde_json::to_string(&entry).context("the history cannot be written")?;
    line.push('\n');
    if !text.is_empty() && !text.ends_with('\n') {
        // A line that was torn stays one, and spoils no other.
        line.insert(0, '\n');
    }
    let length = fs::metadata(path).with_context(refuse)?.len();
    let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_data());
    if written.is_err() {
        // A full disk leaves what was there before.
        let _ = file.set_len(length);
    }
    written.with_context(refuse)?;
    Ok(())
}
