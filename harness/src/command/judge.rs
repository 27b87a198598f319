//! `callrig judge`: what happened in runs that were traced, judged again.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use callrig_corpora::manifest::Manifest;
use callrig_reports::{CaseResult, Report};

use super::load::{self, Wanted};
use super::report::{show, write};
use super::run::{describe, exit_code};
use super::{Failure, say};
use crate::case::{self, Selection};
use crate::cli::{ExitCode, Judge};
use crate::deviation::Deviations;
use crate::plan::{self, Plan, Planned};
use crate::subject::Subject;
use crate::trace::lines::{self, Origin, Saved, Staged};
use crate::{environment, network, output};

/// The name under which `run` keeps them.
const FILE: &str = "trace.jsonl";

/// Judges what was asked for and shows it.
pub(super) fn judge(arguments: &Judge) -> Result<ExitCode, Failure> {
    let started_at = environment::now();
    let selection = Selection::new(&arguments.case).map_err(Failure::usage)?;
    if let Some(out) = &arguments.out {
        output::make(out)?;
    }
    let mut shelf = Shelf { arguments, corpora: None, subjects: Vec::new() };
    let (mut plan, mut results, mut seed) = (Plan::default(), Vec::new(), None);
    for file in files(&arguments.traces)? {
        let name = file.display();
        let saved = read(&file)?;
        if *seed.get_or_insert(saved.staged.seed) != saved.staged.seed {
            let (one, other) = (seed.unwrap_or_default(), saved.staged.seed);
            return Err(anyhow!(
                "{name} is of a run with seed {other}, those before it with seed {one}; judge \
                 them one run at a time"
            )
            .into());
        }
        let (planned, judged) =
            shelf.judge(&saved, &selection).with_context(|| format!("{name}"))?;
        if !planned.cases.is_empty() {
            plan.performances.push(planned);
            results.extend(judged);
        }
    }
    if results.is_empty() {
        return Err(Failure::nothing("nothing was judged: no case of these traces was selected"));
    }
    let mut report = Report::new(env!("CARGO_PKG_VERSION"), started_at, seed.unwrap_or_default());
    let digest = shelf.corpora.as_ref().map(|(manifest, _)| manifest.digest().to_string());
    describe(&mut report, &subjects(&plan), &plan, digest);
    report.results = results;
    let report = report.finish();
    report.check()?;
    if let Some(out) = &arguments.out {
        write(&report, out, &arguments.format)?;
    }
    show(&report)?;
    say("\nThe cost cases are not judged again: real time is not in a trace.\n")?;
    Ok(exit_code(&report))
}

/// What is played in a plan, each once.
fn subjects(plan: &Plan) -> Vec<Arc<Subject>> {
    let mut list: Vec<Arc<Subject>> = Vec::new();
    for planned in &plan.performances {
        if !list.iter().any(|known| known.id == planned.subject.id) {
            list.push(Arc::clone(&planned.subject));
        }
    }
    list
}

/// The files that were named, and those in folders that were.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let mut found = Vec::new();
            load::collect(path, 0, &mut found)?;
            found.retain(|file| file.file_name().is_some_and(|name| name == FILE));
            if found.is_empty() {
                return Err(anyhow!("there is no {FILE} below {}", path.display()).into());
            }
            found.sort();
            files.append(&mut found);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn read(path: &Path) -> Result<Saved, anyhow::Error> {
    let name = || format!("{} cannot be judged", path.display());
    let file = File::open(path).with_context(name)?;
    if !fs::metadata(path).with_context(name)?.is_file() {
        return Err(anyhow!("it is no file").context(name()));
    }
    lines::read(BufReader::new(file)).with_context(name)
}

/// The recordings that traces name, each opened once.
struct Shelf<'a> {
    arguments: &'a Judge,
    corpora: Option<(Manifest, Deviations)>,
    subjects: Vec<(Staged, Arc<Subject>)>,
}

impl Shelf<'_> {
    fn judge(
        &mut self,
        saved: &Saved,
        selection: &Selection,
    ) -> Result<(Planned, Vec<CaseResult>), anyhow::Error> {
        let staged = &saved.staged;
        let subject = self.subject(staged)?;
        let network = network::find(&staged.network)?;
        let wanted = |case: &&case::Case| {
            case.stage == staged.stage
                && selection.takes(case.id)
                && (case.applies)(&subject, network)
                && !case::cost::CASES.iter().any(|cost| cost.id == case.id)
        };
        let cases = case::all().iter().filter(wanted).copied().collect();
        let planned = Planned { subject, network, stage: staged.stage, cases };
        let none = Deviations::default();
        let deviations = match (&self.corpora, staged.origin) {
            (Some((_, deviations)), Origin::Corpora) => deviations,
            _ => &none,
        };
        let results = plan::judge(&planned, &saved.performance, deviations);
        Ok((planned, results))
    }

    fn subject(&mut self, staged: &Staged) -> Result<Arc<Subject>, anyhow::Error> {
        let same = |known: &Staged| {
            (&known.recording, known.origin, &known.sha256, &known.payload, &known.flow)
                == (&staged.recording, staged.origin, &staged.sha256, &staged.payload, &staged.flow)
        };
        if let Some((_, subject)) = self.subjects.iter().find(|(known, _)| same(known)) {
            return Ok(Arc::clone(subject));
        }
        // Of several phones in a file each is a subject: `call.pcap#2`.
        let file = match staged.recording.rsplit_once('#') {
            Some((file, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => file,
            _ => &*staged.recording,
        };
        let loaded = match staged.origin {
            Origin::Corpora => {
                let only = Selection::new(&[globset::escape(file)])?;
                load::manifest(self.manifest()?, &only)
            }
            Origin::File => Wanted::parse(&staged.payload, &staged.flow)
                .and_then(|wanted| load::paths(&[file.into()], &wanted)),
        }
        .map_err(Failure::into_error)?;
        let found = loaded.subjects.into_iter().find(|subject| subject.id == staged.recording);
        let subject = found.ok_or_else(|| {
            anyhow!("the recording {:?} that was played is not there any more", staged.recording)
        })?;
        if subject.sha256 != staged.sha256 {
            let words = |digest: &Option<String>| digest.clone().unwrap_or_else(|| "none".into());
            return Err(anyhow!(
                "the recording {:?} is not the one that was played (SHA-256 {}, not {})",
                staged.recording,
                words(&subject.sha256),
                words(&staged.sha256)
            ));
        }
        self.subjects.push((staged.clone(), Arc::clone(&subject)));
        Ok(subject)
    }

    fn manifest(&mut self) -> Result<&Manifest, anyhow::Error> {
        if self.corpora.is_none() {
            let folder = load::folder_of(&self.arguments.corpora).map_err(Failure::into_error)?;
            let manifest = Manifest::read(&folder.join("manifest.toml"))?;
            let ids: Vec<&str> = manifest.entries.iter().map(|entry| &*entry.id).collect();
            let deviations = Deviations::read(&folder.join("deviations.toml"), &ids)?;
            self.corpora = Some((manifest, deviations));
        }
        Ok(&self.corpora.as_ref().expect("it was read just now").0)
    }
}
