//! `callrig validate`: a verdict for every rule.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use callrig_reports::{CaseResult, Level, Report, Verdict};

use super::report::{show, write};
use super::{Failure, say, service};
use crate::bots::samples;
use crate::case::Selection;
use crate::cli::{ExitCode, Strictness, Validate};
use crate::progress::Progress;
use crate::seed::Seed;
use crate::validate::bot::deviations::Deviations;
use crate::validate::bot::profile::{Profile, READY};
use crate::validate::bot::run::{Plan, Rigour};
use crate::validate::bot::script::Script;
use crate::validate::bot::transcript::Transcript;
use crate::validate::bot::{evidence, explore, live, simulate};
use crate::{catalogue, environment, output};

/// How far real time may be off on a machine that is not busy.
const SLACK: Duration = Duration::from_millis(100);
/// The secret of the demonstration's app.
pub(super) const SECRET: &str = "demonstration";
/// Where `serve` listens, too.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9440);
/// Nobody waits longer for a call in real time.
const LONGEST: Duration = Duration::from_secs(60);
/// Of so many calls the media is written beside the report.
const CAPTURES_MAX: usize = 40;
/// A machine that is so late tells nothing about a bot's times.
const BUSY: Duration = Duration::from_millis(250);

/// Judges what was named.
pub(super) fn validate(arguments: &Validate) -> Result<ExitCode, Failure> {
    if let Some(name) = &arguments.print_profile {
        let known = READY.iter().find(|(known, _)| known == name);
        let (_, text) = known.ok_or_else(|| {
            let names: Vec<&str> = READY.iter().map(|(name, _)| *name).collect();
            Failure::usage(anyhow!("--print-profile: there are {}", names.join(", ")))
        })?;
        say(text)?;
        return Ok(ExitCode::Ok);
    }
    if let Some(service) = arguments.service.service.as_deref() {
        return service::judge(arguments, service);
    }
    let started_at = environment::now();
    let began = Instant::now();
    let (globs, seed) = wanted(arguments)?;
    let selection = Selection::new(&globs).map_err(Failure::usage)?;
    let sample = arguments.sample.as_deref().map(sample).transpose()?;
    let named = arguments.profile.as_deref().or(sample.map(|sample| sample.profile));
    let profile = Profile::named(named.unwrap_or("ivr")).map_err(Failure::usage)?;
    let mut plan = Plan::new(&profile, &selection);
    if sample.is_none() {
        plan = plan.in_real_time(LONGEST);
    }
    if plan.count() == 0 {
        let words = "nothing ran: no case matches for a bot of this profile; see `callrig list`";
        return Err(Failure::nothing(words));
    }
    output::make(&arguments.out)?;
    if let Some(rounds) = arguments.explore {
        return explore(arguments, sample, &profile, rounds);
    }
    let ids: Vec<&str> = plan.cases.iter().map(|case| case.id.as_str()).collect();
    let known = arguments.deviations.as_deref().map(|path| Deviations::read(path, &ids));
    let known = known.transpose().map_err(Failure::usage)?.unwrap_or_default();
    let (transcripts, rigour) = match (sample, &arguments.bot) {
        (Some(sample), _) => {
            let play = |script| simulate::play(script, simulate::bot(sample.program, seed), seed);
            (plan.scripts.iter().map(play).collect::<Vec<_>>(), Rigour::default())
        }
        (None, Some(_)) => live(arguments, &plan)?,
        (None, None) => {
            return Err(Failure::usage(anyhow!(
                "name what is to be judged: --bot URL, --sample NAME, or --service URL"
            )));
        }
    };
    let mut report = Report::new(env!("CARGO_PKG_VERSION"), started_at.clone(), seed.get());
    report.environment = environment::current();
    report.requirements = requirements(&plan);
    let today = started_at.get(..10).unwrap_or_default();
    report.results = known.weigh(plan.judge(&transcripts, &rigour), today);
    repeatable(&mut report.results, arguments, seed);
    let captures = attach(&mut report.results, &plan, &transcripts);
    report.advice = advice(&report.results);
    report.took_ms = u64::try_from(began.elapsed().as_millis()).ok();
    let report = report.finish();
    report.check()?;
    output::write(&arguments.out, &captures)?;
    write(&report, &arguments.out, &arguments.format)?;
    if arguments.transcript || arguments.replay.is_some() {
        for transcript in &transcripts {
            say(&told(transcript))?;
        }
    }
    show(&report)?;
    Ok(exit_code(&report, arguments.level))
}

/// What usually goes wrong, of all that did.
pub(super) fn advice(results: &[CaseResult]) -> BTreeMap<String, String> {
    let findings = results.iter().flat_map(|result| &result.findings);
    catalogue::advice(findings.map(|finding| finding.requirement.as_str()))
}

/// Which cases, and with which seed.
pub(super) fn wanted(arguments: &Validate) -> Result<(Vec<String>, Seed), Failure> {
    let Some(replay) = &arguments.replay else {
        return Ok((arguments.case.clone(), Seed::new(arguments.seed)));
    };
    let parsed = replay.rsplit_once('@').and_then(|(case, seed)| Some((case, seed.parse().ok()?)));
    let (case, seed) = parsed.ok_or_else(|| {
        let words = "--replay: CASE@SEED is expected, such as bot/keys/leads/1@7";
        Failure::usage(anyhow!("{words}"))
    })?;
    Ok((vec![case.to_owned()], Seed::new(seed)))
}

/// Each finding names the capture of its call, if media crossed: those that are to be written.
fn attach(
    results: &mut [CaseResult],
    plan: &Plan<'_>,
    transcripts: &[Transcript],
) -> Vec<(String, Vec<u8>)> {
    let mut files: BTreeMap<usize, (String, Vec<u8>)> = BTreeMap::new();
    for result in results.iter_mut().filter(|result| !result.findings.is_empty()) {
        let Some(script) = plan.script_of(&result.id) else { continue };
        let Some(capture) = transcripts.get(script).map(|transcript| &transcript.capture) else {
            continue;
        };
        if capture.is_empty() || (files.len() >= CAPTURES_MAX && !files.contains_key(&script)) {
            continue;
        }
        let (name, _) = files.entry(script).or_insert_with(|| {
            (format!("evidence/call-{:03}.pcapng", script + 1), capture.pcapng())
        });
        for finding in &mut result.findings {
            finding.media = Some(name.clone());
        }
    }
    files.into_values().collect()
}

/// Each finding says how it is seen again.
fn repeatable(results: &mut [CaseResult], arguments: &Validate, seed: Seed) {
    let subject = match (&arguments.sample, &arguments.bot) {
        (Some(name), _) => format!("--sample {name}"),
        (None, Some(url)) => format!("--bot {url}"),
        (None, None) => String::new(),
    };
    let profile = arguments.profile.as_ref().map(|name| format!(" --profile {name}"));
    let profile = profile.unwrap_or_default();
    for result in results {
        let again =
            format!("again: callrig validate {subject}{profile} --replay {}@{seed}", result.id);
        for finding in &mut result.findings {
            finding.evidence.push(again.clone());
        }
    }
}

/// Random sequences, until one breaks the bot.
fn explore(
    arguments: &Validate,
    sample: Option<&samples::Sample>,
    profile: &Profile,
    rounds: usize,
) -> Result<ExitCode, Failure> {
    let seed = Seed::new(arguments.seed);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads of the platform")?;
    let progress = Progress::new(rounds, "sequences");
    let play = |script: &Script| {
        progress.done("", 0);
        match (sample, &arguments.bot) {
            (Some(sample), _) => simulate::play(script, simulate::bot(sample.program, seed), seed),
            (None, _) => {
                let subject = subject(arguments);
                let one = core::slice::from_ref(script);
                let played = runtime.block_on(live::play(&subject, one, |_| {}));
                let fault =
                    |fault: String| Transcript { fault: Some(fault), ..Transcript::default() };
                match played {
                    Ok(played) => played.transcripts.into_iter().next().unwrap_or_default(),
                    Err(error) => fault(error.to_string()),
                }
            }
        }
    };
    let found = explore::explore(profile, rounds, seed, play);
    progress.finish();
    let Some(broken) = found.map_err(|reason| Failure::usage(anyhow!("{reason}")))? else {
        say(&format!("nothing broke it in {rounds} sequences\n"))?;
        return Ok(ExitCode::Ok);
    };
    let mut text = format!("found after {} sequences; the shortest that does it:\n", broken.tried);
    for step in &broken.steps {
        text.push_str(&format!("  {}\n", step.words()));
    }
    for finding in &broken.findings {
        text.push_str(&format!(
            "\n{}\n  {}\n  expected: {}\n  seen: {}\n",
            finding.requirement, finding.sentence, finding.expected, finding.actual
        ));
        for line in &finding.evidence {
            text.push_str(&format!("    {line}\n"));
        }
    }
    say(&text)?;
    Ok(ExitCode::Failed)
}

fn subject(arguments: &Validate) -> live::Subject {
    live::Subject {
        webhook: arguments.bot.clone().unwrap_or_default(),
        app: arguments.app_id.clone().unwrap_or_else(|| simulate::APP.to_owned()),
        secret: arguments.secret.clone().unwrap_or_else(|| SECRET.to_owned()),
        listen: arguments.listen.unwrap_or(LISTEN),
    }
}

/// In real time, against somebody's bot.
fn live(arguments: &Validate, plan: &Plan<'_>) -> Result<(Vec<Transcript>, Rigour), Failure> {
    let subject = subject(arguments);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads of the platform")?;
    let progress = Arc::new(Progress::new(plan.scripts.len(), "scripts"));
    let told = Arc::clone(&progress);
    let playing = live::play(&subject, &plan.scripts, move |done| told.reached(done));
    let played = runtime.block_on(playing)?;
    progress.finish();
    let late = played.lateness;
    let rigour = Rigour { slack: late * 2 + SLACK, busy: (late > BUSY).then_some(late) };
    Ok((played.transcripts, rigour))
}

fn sample(name: &str) -> Result<&'static samples::Sample, Failure> {
    samples::find(name).ok_or_else(|| {
        let known: Vec<&str> = samples::ALL.iter().map(|sample| sample.name).collect();
        Failure::usage(anyhow!("there is no sample {name:?}; there are {}", known.join(", ")))
    })
}

fn requirements(plan: &Plan<'_>) -> Vec<callrig_reports::Requirement> {
    let mut list: Vec<callrig_reports::Requirement> = Vec::new();
    for rule in plan.cases.iter().flat_map(|case| &case.rules) {
        if !list.iter().any(|known| known.id == rule.id) {
            list.push(rule.clone());
        }
    }
    list
}

fn told(transcript: &Transcript) -> String {
    let lines = transcript.entries.iter().map(|entry| evidence::line(entry) + "\n");
    lines.collect::<String>() + "\n"
}

/// How it came out, by what counts.
pub(super) fn exit_code(report: &Report, level: Strictness) -> ExitCode {
    let broken = |result: &CaseResult| {
        result.findings.iter().any(|finding| match level {
            Strictness::Must => finding.level == Level::Must,
            Strictness::Should => finding.level >= Level::Should,
            Strictness::May => true,
        })
    };
    match report.totals.worst() {
        None => ExitCode::NothingRan,
        Some(Verdict::Fail) => ExitCode::Failed,
        _ if report.results.iter().any(broken) => ExitCode::Failed,
        _ if report.totals.error > 0 => ExitCode::Error,
        _ => ExitCode::Ok,
    }
}
