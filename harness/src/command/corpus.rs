//! `callrig corpus`: what is recorded, whether it is what it says it is, and taking in
//! more of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, anyhow};
use callrig_corpora::manifest::import::{self, About, Pictures};
use callrig_corpora::manifest::{Entry, Manifest};
use callrig_corpora::{Hints, Options};
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};
use serde_json::json;

use super::{Failure, load, record, say};
use crate::cli::{Corpus, CorpusAction, ExitCode, Import, NewEntry};

/// Does what was asked with the recordings.
pub(super) fn corpus(arguments: &Corpus) -> Result<ExitCode, Failure> {
    match &arguments.action {
        CorpusAction::List { json } => list(&load::corpora(&arguments.corpora)?, *json),
        CorpusAction::Verify => verify(&load::corpora(&arguments.corpora)?),
        CorpusAction::Import(wanted) => {
            import(&load::folder_of(&arguments.corpora)?.join("manifest.toml"), wanted)
        }
        CorpusAction::Record(wanted) => {
            record::record(&load::folder_of(&arguments.corpora)?.join("manifest.toml"), wanted)
        }
        CorpusAction::Make { recording } => make(&load::folder_of(&arguments.corpora)?, recording),
    }
}

fn list(manifest: &Manifest, as_json: bool) -> Result<ExitCode, Failure> {
    if as_json {
        let entries: Vec<_> = manifest.entries.iter().map(entry_value).collect();
        let value = json!({ "digest": manifest.digest().to_string(), "recordings": entries });
        say(&format!("{}\n", serde_json::to_string_pretty(&value)?))?;
        return Ok(ExitCode::Ok);
    }
    let mut text = String::new();
    for entry in &manifest.entries {
        let truth = &entry.truth;
        let seconds = truth.duration_ms.map_or_else(
            || "      -".to_owned(),
            |millis| format!("{:>5.1} s", millis as f64 / 1e3),
        );
        let packets = truth.packets.map_or_else(|| "-".to_owned(), |packets| packets.to_string());
        let tags = entry.tags.join(" ");
        text.push_str(&format!("{:<44} {seconds} {packets:>6} packets  {tags}\n", entry.id));
    }
    let recordings = manifest.entries.len();
    text.push_str(&format!("{recordings} recordings, digest {}\n", manifest.digest()));
    say(&text)?;
    Ok(ExitCode::Ok)
}

fn entry_value(entry: &Entry) -> serde_json::Value {
    json!({
        "id": entry.id,
        "file": entry.file,
        "sha256": entry.sha256.to_string(),
        "licence": entry.licence,
        "origin": entry.origin,
        "recipe": entry.recipe,
        "tags": entry.tags,
        "flows": entry.flows,
        "truth": entry.truth,
    })
}

fn verify(manifest: &Manifest) -> Result<ExitCode, Failure> {
    let mut mismatches: Vec<_> =
        manifest.entries.par_iter().flat_map(|entry| manifest.verify_entry(entry)).collect();
    mismatches.extend(manifest.unlisted());
    let mut text = String::new();
    for mismatch in &mismatches {
        text.push_str(&format!("{mismatch}\n"));
    }
    let count = manifest.entries.len();
    if mismatches.is_empty() {
        text.push_str(&format!("{count} recordings are what the manifest says\n"));
        say(&text)?;
        return Ok(ExitCode::Ok);
    }
    text.push_str(&format!(
        "{} facts of {count} recordings are not as the manifest says\n",
        mismatches.len()
    ));
    say(&text)?;
    Ok(ExitCode::Failed)
}

fn import(manifest: &Path, arguments: &Import) -> Result<ExitCode, Failure> {
    let hints = hints(&arguments.entry)?;
    let stem = arguments.file.file_stem().map(|stem| stem.to_string_lossy().to_lowercase());
    let clean: String = stem
        .unwrap_or_default()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let name = arguments.file.display().to_string();
    let newcomer = Newcomer {
        file: &arguments.file,
        id: arguments.id.clone().unwrap_or_else(|| format!("imported/{clean}")),
        origin: format!("imported from {name}"),
        name,
        recipe: "none: it was recorded once",
        pcapng: false,
        pictures: BTreeMap::new(),
    };
    say(&take_in(manifest, newcomer, &arguments.entry, hints)?)?;
    Ok(ExitCode::Ok)
}

/// How the file of a new recording is to be read.
pub(super) fn hints(entry: &NewEntry) -> Result<Hints, Failure> {
    let mut hints = Hints::default();
    for hint in &entry.payload {
        hints.add(hint).map_err(|error| Failure::usage(anyhow!("--payload: {error}")))?;
    }
    Ok(hints)
}

/// A file that is to join the corpora, as its command knows it.
pub(super) struct Newcomer<'a> {
    pub(super) file: &'a Path,
    /// What to call it to whoever asked.
    pub(super) name: String,
    pub(super) id: String,
    /// Unless something else is said.
    pub(super) origin: String,
    pub(super) recipe: &'static str,
    /// Whether it is kept as pcapng.
    pub(super) pcapng: bool,
    /// What is known of its pictures, by SSRC.
    pub(super) pictures: BTreeMap<u32, Pictures>,
}

/// Takes a file in; what to say of it.
pub(super) fn take_in(
    manifest: &Path,
    newcomer: Newcomer<'_>,
    entry: &NewEntry,
    hints: Hints,
) -> anyhow::Result<String> {
    let about = About {
        id: newcomer.id,
        licence: entry.licence.clone(),
        origin: entry.origin.clone().unwrap_or(newcomer.origin),
        recipe: newcomer.recipe.to_owned(),
        tags: entry.tag.clone(),
        keep_addresses: entry.keep_addresses,
        pcapng: newcomer.pcapng,
        pictures: newcomer.pictures,
    };
    let options = Options { hints, ..Options::default() };
    let imported = import::import(newcomer.file, manifest, &about, &options)?;
    let mut text = format!("{} is now {}\n\n", newcomer.name, imported.path.display());
    for warning in &imported.warnings {
        text.push_str(&format!("note: {warning}\n"));
    }
    text.push_str(&imported.entry.write());
    Ok(text)
}

/// Recordings are made by real encoders and senders, which the recipe calls.
fn make(folder: &Path, recordings: &[String]) -> Result<ExitCode, Failure> {
    let recipe = folder.join("recipes/make.sh");
    let all = ["all".to_owned()];
    let wanted = if recordings.is_empty() { &all[..] } else { recordings };
    let status = Command::new("sh")
        .arg(&recipe)
        .args(wanted)
        .status()
        .with_context(|| format!("cannot run {}", recipe.display()))?;
    if !status.success() {
        return Err(anyhow!("{} failed ({status}); its words are above", recipe.display()).into());
    }
    Ok(ExitCode::Ok)
}
