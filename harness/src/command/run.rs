//! `callrig run`: the main job.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::anyhow;
use callrig_corpora::manifest::Manifest;
use callrig_reports::{CaseResult, Report, Verdict, report};

use super::load::{self, Loaded, Wanted};
use super::report::{show, write};
use super::{Failure, fleet, say};
use crate::case::{self, Selection};
use crate::cli::{ExitCode, Run};
use crate::deviation::{self, Deviations};
use crate::network::{self, NETWORKS, Network};
use crate::plan::{self, Networks, Performing, Plan, Planned};
use crate::progress::Progress;
use crate::seed::Seed;
use crate::stage::Performance;
use crate::subject::Subject;
use crate::trace::lines::{Origin, Staged};
use crate::{environment, output, trace};

/// Runs what was asked for and reports it.
pub(super) fn run(mut arguments: Run) -> Result<ExitCode, Failure> {
    rescue_paths(&mut arguments);
    // Before an hour's work, not after it.
    output::make(&arguments.out)?;
    let report = found(&arguments)?;
    write(&report, &arguments.out, &arguments.format)?;
    show(&report)?;
    say(&format!("\n{}\n", written(&arguments)))?;
    Ok(exit_code(&report))
}

/// Runs what was asked for: the report of it.
pub(super) fn found(arguments: &Run) -> Result<Report, Failure> {
    let started_at = environment::now();
    let began = Instant::now();
    let Prepared { loaded, plan, corpora_digest, deviations } = prepare(arguments)?;
    for note in &loaded.notes {
        eprintln!("callrig: {note}");
    }
    if !arguments.paths.is_empty() {
        say(&flows(&loaded.subjects))?;
    }
    let results = match &arguments.fleet.fleet {
        Some(url) => fleet::run::lead(arguments, url, &plan, &deviations)?,
        None => perform(arguments, &plan, &deviations)?,
    };
    let mut report = Report::new(env!("CARGO_PKG_VERSION"), started_at, arguments.seed);
    describe(&mut report, &loaded.subjects, &plan, corpora_digest);
    report.results = results;
    report.took_ms = u64::try_from(began.elapsed().as_millis()).ok();
    let report = report.finish();
    report.check()?;
    Ok(report)
}

/// What is to be run.
pub(super) struct Prepared {
    loaded: Loaded,
    pub(super) plan: Plan,
    corpora_digest: Option<String>,
    pub(super) deviations: Deviations,
}

/// Reads what is to be run, and plans it.
pub(super) fn prepare(arguments: &Run) -> Result<Prepared, Failure> {
    let selection = Selection::new(&arguments.case).map_err(Failure::usage)?;
    let asked = networks(arguments)?;
    let wanted = Wanted::parse(&arguments.payload, &arguments.flow)?;
    let (loaded, corpora_digest, deviations) = load(arguments, &wanted)?;
    let networks = match asked {
        Some(these) => Networks::These(these),
        None if arguments.paths.is_empty() => Networks::Suited,
        None => Networks::Clean,
    };
    let plan = Plan::make(&loaded.subjects, &networks, case::all(), &selection);
    if plan.performances.is_empty() {
        return Err(Failure::nothing(nothing(arguments, &loaded)));
    }
    Ok(Prepared { loaded, plan, corpora_digest, deviations })
}

/// Where a report was made, and all that its results refer to.
pub(super) fn describe(
    report: &mut Report,
    subjects: &[Arc<Subject>],
    plan: &Plan,
    corpora_digest: Option<String>,
) {
    report.environment = environment::current();
    report.recordings = subjects.iter().map(|subject| recording(subject)).collect();
    report.networks = used_networks(plan);
    report.requirements = requirements(plan);
    if corpora_digest.is_some() {
        report.requirements.push(deviation::STALE.requirement());
    }
    report.corpora_digest = corpora_digest;
}

/// `--network clean call.pcap` means a network and a file: what follows an option with
/// several values is a path if there is such a file and nothing else of that name.
fn rescue_paths(arguments: &mut Run) {
    let known = |name: &str| name == "all" || NETWORKS.iter().any(|network| network.name == name);
    let (networks, paths) =
        arguments.network.drain(..).partition(|name| known(name) || !Path::new(name).exists());
    arguments.network = networks;
    arguments
        .paths
        .extend::<Vec<PathBuf>>(paths.into_iter().map(|path: String| path.into()).collect());
    let matches = |glob: &String| {
        Selection::new(core::slice::from_ref(glob))
            .is_ok_and(|selection| case::all().iter().any(|case| selection.takes(case.id)))
    };
    let (globs, paths) =
        arguments.case.drain(..).partition(|glob| matches(glob) || !Path::new(glob).exists());
    arguments.case = globs;
    arguments
        .paths
        .extend::<Vec<PathBuf>>(paths.into_iter().map(|path: String| path.into()).collect());
}

fn networks(arguments: &Run) -> Result<Option<Vec<&'static Network>>, Failure> {
    if arguments.network.is_empty() {
        return Ok(None);
    }
    let mut list: Vec<&'static Network> = Vec::new();
    for name in &arguments.network {
        let named = if name == "all" {
            NETWORKS.iter().collect()
        } else {
            vec![network::find(name).map_err(Failure::usage)?]
        };
        for network in named {
            if !list.iter().any(|known| known.name == network.name) {
                list.push(network);
            }
        }
    }
    Ok(Some(list))
}

/// What to play, the digest of the corpora, and what is known to deviate in them: nothing
/// is known of files that somebody names.
fn load(arguments: &Run, wanted: &Wanted) -> Result<(Loaded, Option<String>, Deviations), Failure> {
    if !arguments.paths.is_empty() {
        return Ok((load::paths(&arguments.paths, wanted)?, None, Deviations::default()));
    }
    let selection = Selection::new(&arguments.recording).map_err(|error| {
        Failure::usage(anyhow!("{}", error.to_string().replace("--case", "--recording")))
    })?;
    let folder = load::folder_of(&arguments.corpora)?;
    let manifest = Manifest::read(&folder.join("manifest.toml"))?;
    let ids: Vec<&str> = manifest.entries.iter().map(|entry| &*entry.id).collect();
    let deviations = Deviations::read(&folder.join("deviations.toml"), &ids)?;
    let digest = manifest.digest().to_string();
    Ok((load::manifest(&manifest, &selection)?, Some(digest), deviations))
}

/// What was found in the files that were named.
fn flows(subjects: &[Arc<Subject>]) -> String {
    let mut text = String::new();
    for subject in subjects {
        let seconds = subject.duration().as_secs_f64();
        let packets = subject.schedule.departures().len();
        text.push_str(&format!("{}: {seconds:.1} s, {packets} packets\n", subject.id));
        for flow in &subject.flows {
            text.push_str(&format!(
                "  SSRC {:#010x}  {} -> {}  {} packets\n",
                flow.ssrc, flow.source, flow.destination, flow.packets
            ));
            for payload in &flow.payloads {
                let guessed = payload.guessed.as_deref().map(|why| format!("  guessed: {why}"));
                text.push_str(&format!(
                    "    payload type {}: {}/{}{}\n",
                    payload.payload_type,
                    payload.codec,
                    payload.clock_rate,
                    guessed.unwrap_or_default()
                ));
            }
        }
        for warning in &subject.warnings {
            text.push_str(&format!("  note: {warning}\n"));
        }
    }
    text.push('\n');
    // Names of files and codecs are anybody's: they must not steer the terminal.
    text.lines().map(|line| format!("{}\n", callrig_reports::escape::visible(line))).collect()
}

fn nothing(arguments: &Run, loaded: &Loaded) -> String {
    if loaded.subjects.is_empty() {
        let what = if arguments.paths.is_empty() { "--recording" } else { "the paths" };
        return format!(
            "nothing ran: no recording was selected by {what}; see `callrig corpus list`"
        );
    }
    format!(
        "nothing ran: no case matches {} for these {} recordings; see `callrig list`",
        if arguments.case.is_empty() { "anything".to_owned() } else { arguments.case.join(" ") },
        loaded.subjects.len()
    )
}

fn perform(
    arguments: &Run,
    plan: &Plan,
    deviations: &Deviations,
) -> Result<Vec<CaseResult>, Failure> {
    let jobs = jobs(arguments.jobs);
    let progress = Progress::new(plan.performances.len(), "calls");
    let traces = arguments.trace.then(|| arguments.out.join("traces"));
    let keep = |planned: &Planned, performance: &Performance| match &traces {
        Some(folder) => keep_trace(folder, arguments, planned, performance),
        None => Ok(()),
    };
    let done = |planned: &Planned, results: &[CaseResult]| {
        count(&progress, planned, results);
    };
    let seed = Seed::new(arguments.seed);
    let performing = Performing { seed, jobs, deviations, keep: &keep, done: &done };
    let results = plan::perform(plan, &performing)?;
    progress.finish();
    Ok(results)
}

/// One more is done, and so much of it came out badly.
pub(super) fn count(progress: &Progress, planned: &Planned, results: &[CaseResult]) {
    let bad = results.iter().filter(|r| matches!(r.verdict, Verdict::Fail | Verdict::Error));
    progress.done(planned.name(), bad.count());
}

/// So many at once; as many as there are cores unless stated.
pub(super) fn jobs(stated: Option<u16>) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    stated.map_or(cores, usize::from)
}

fn keep_trace(
    folder: &Path,
    arguments: &Run,
    planned: &Planned,
    performance: &Performance,
) -> Result<(), String> {
    let named = !arguments.paths.is_empty();
    let staged = Staged {
        recording: planned.subject.id.clone(),
        origin: if named { Origin::File } else { Origin::Corpora },
        sha256: planned.subject.sha256.clone(),
        payload: arguments.payload.clone(),
        flow: arguments.flow.clone(),
        network: planned.network.name.to_owned(),
        stage: planned.stage,
        seed: arguments.seed,
    };
    let name: String = planned
        .name()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_.@".contains(c) { c } else { '_' })
        .collect();
    let refuse = |error: &dyn core::fmt::Display| format!("the trace cannot be kept: {error}");
    let lines = trace::lines::write(&staged, performance, Vec::new()).map_err(|e| refuse(&e))?;
    let pcap = trace::pcap::write(&performance.trace, crate::stage::EPOCH_NANOS, Vec::new())
        .map_err(|error| refuse(&error))?;
    let files = [("trace.jsonl".to_owned(), lines), ("trace.pcap".to_owned(), pcap)];
    output::write(&folder.join(name), &files).map_err(|error| refuse(&error))?;
    Ok(())
}

fn recording(subject: &Subject) -> report::Recording {
    let flows = subject.flows.iter().map(|flow| {
        let main = flow.payloads.first();
        report::Flow {
            ssrc: flow.ssrc,
            source: flow.source.clone(),
            destination: flow.destination.clone(),
            payload_types: flow.payloads.iter().map(|payload| payload.payload_type).collect(),
            codec: main.map(|payload| payload.codec.clone()).unwrap_or_default(),
            clock_rate: main.map_or(0, |payload| payload.clock_rate),
            packets: flow.packets,
            guessed: main.and_then(|payload| payload.guessed.clone()),
        }
    });
    report::Recording {
        id: subject.id.clone(),
        title: subject.title.clone(),
        kind: subject.kind.clone(),
        sha256: subject.sha256.clone(),
        duration_ms: subject.duration().as_secs_f64() * 1e3,
        packets: subject.schedule.departures().len() as u64,
        flows: flows.collect(),
    }
}

fn used_networks(plan: &Plan) -> Vec<report::Network> {
    let used = |network: &&Network| {
        plan.performances.iter().any(|planned| planned.network.name == network.name)
    };
    let networks = NETWORKS.iter().filter(used);
    networks
        .map(|network| report::Network {
            name: network.name.to_owned(),
            description: network.description.to_owned(),
            parameters: network.parameters(),
        })
        .collect()
}

fn requirements(plan: &Plan) -> Vec<callrig_reports::Requirement> {
    let mut seen: Vec<&str> = Vec::new();
    let mut list = Vec::new();
    for case in plan.performances.iter().flat_map(|planned| &planned.cases) {
        if !seen.contains(&case.id) {
            seen.push(case.id);
            list.extend((case.requirements)());
        }
    }
    list
}

fn written(arguments: &Run) -> String {
    let names: Vec<&str> = arguments.format.iter().map(|format| format.file()).collect();
    let traces = if arguments.trace { ", traces/" } else { "" };
    format!("written to {}: {}{traces}", arguments.out.display(), names.join(", "))
}

pub(super) fn exit_code(report: &Report) -> ExitCode {
    match report.totals.worst() {
        None => ExitCode::NothingRan,
        Some(Verdict::Fail) => ExitCode::Failed,
        Some(_) if report.totals.error > 0 => ExitCode::Error,
        Some(_) => ExitCode::Ok,
    }
}
