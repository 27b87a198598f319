//! From paths to what can be played: the corpora by their manifest, anybody's files by
//! what is in them, folders by what of both is found.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use callrig_corpora::digest::Sha256Digest;
use callrig_corpora::manifest::{Entry, Manifest};
use callrig_corpora::{Codec, Hints, OpenError, Opened, Options, open_bytes_with};
use rayon::iter::{IntoParallelRefIterator as _, ParallelIterator as _};

use super::Failure;
use crate::case::Selection;
use crate::cli::CorporaDir;
use crate::subject::{About, Reference, Subject};

/// Files larger than this are refused: they are read into memory whole.
const FILE_BYTES_MAX: u64 = 2 << 30;
/// How many files of a folder are looked at.
const FILES_MAX: usize = 100_000;
/// How deep folders may lie in each other.
const DEPTH_MAX: usize = 32;

/// Finds the corpora: as stated, or as `corpora` in this folder or one above it.
pub(super) fn folder_of(stated: &CorporaDir) -> Result<PathBuf, Failure> {
    let folder = match &stated.dir {
        Some(folder) => folder.clone(),
        None => search().ok_or_else(|| {
            anyhow!(
                "there is no corpora/manifest.toml in this folder or above it; say where it is \
                 with --corpora DIR or CALLRIG_CORPORA, or name files to run"
            )
        })?,
    };
    Ok(folder)
}

/// What the manifest of the corpora says.
pub(super) fn corpora(stated: &CorporaDir) -> Result<Manifest, Failure> {
    Ok(Manifest::read(&folder_of(stated)?.join("manifest.toml"))?)
}

/// What the manifest of the corpora says, if there are any: in this folder, or where they
/// are found.
pub(crate) fn manifest_at(folder: Option<&Path>) -> Option<Manifest> {
    let folder = folder.map(ToOwned::to_owned).or_else(search)?;
    Manifest::read(&folder.join("manifest.toml")).ok()
}

fn search() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    here.ancestors()
        .map(|folder| folder.join("corpora"))
        .find(|folder| folder.join("manifest.toml").is_file())
}

/// What can be played.
pub(super) struct Loaded {
    pub(super) subjects: Vec<Arc<Subject>>,
    /// Notes for a person: what was skipped, and why.
    pub(super) notes: Vec<String>,
}

/// The recordings of the corpora that match.
pub(super) fn manifest(manifest: &Manifest, selection: &Selection) -> Result<Loaded, Failure> {
    let entries: Vec<&Entry> = manifest
        .entries
        .iter()
        .filter(|entry| selection.takes(&entry.id) && entry.truth.refused.is_none())
        .collect();
    let loaded: Vec<Result<Vec<Subject>, anyhow::Error>> =
        entries.par_iter().map(|entry| from_manifest(manifest, entry)).collect();
    let mut subjects = Vec::new();
    for result in loaded {
        subjects.extend(result?.into_iter().map(Arc::new));
    }
    Ok(Loaded { subjects, notes: Vec::new() })
}

/// What one entry of the corpora has to play.
pub(crate) fn from_manifest(
    manifest: &Manifest,
    entry: &Entry,
) -> Result<Vec<Subject>, anyhow::Error> {
    let path = manifest.path_of(entry);
    let bytes = read(&path)?;
    let found = Sha256Digest::of(&bytes);
    if found != entry.sha256 {
        return Err(anyhow!(
            "{} is not the file that the manifest describes (SHA-256 {found}, not {}); fetch it \
             again, or see `callrig corpus verify`",
            path.display(),
            entry.sha256
        ));
    }
    let mut options = Options { file_bytes_max: FILE_BYTES_MAX, ..Options::default() };
    for flow in &entry.flows {
        let codec = (flow.codec.clone(), flow.clock_rate);
        options.hints.payload_types.insert(flow.payload_type, codec);
    }
    let opened = open_bytes_with(&path.display().to_string(), bytes, &options)?;
    let reference = match entry.truth.reference.as_deref().and_then(|id| manifest.entry(id)) {
        Some(other) => reference(&manifest.path_of(other))?,
        None => None,
    };
    let about = About {
        id: entry.id.clone(),
        sha256: Some(entry.sha256),
        entry: Some(entry.clone()),
        reference,
        only: Vec::new(),
    };
    Ok(Subject::of(&opened, &about)?)
}

/// What a recording was made of.
fn reference(path: &Path) -> Result<Option<Arc<Reference>>, anyhow::Error> {
    let options = Options { file_bytes_max: FILE_BYTES_MAX, ..Options::default() };
    let opened = open_bytes_with(&path.display().to_string(), read(path)?, &options)?;
    Ok(Reference::of(&opened).map(Arc::new))
}

/// What a person named: files, and folders of them.
pub(super) fn paths(paths: &[PathBuf], wanted: &Wanted) -> Result<Loaded, Failure> {
    let mut loaded = Loaded { subjects: Vec::new(), notes: Vec::new() };
    for path in paths {
        if path.is_dir() {
            folder(path, wanted, &mut loaded)?;
            continue;
        }
        let subjects = file(path, wanted)?;
        loaded.subjects.extend(subjects.into_iter().map(Arc::new));
    }
    Ok(loaded)
}

fn folder(path: &Path, wanted: &Wanted, loaded: &mut Loaded) -> Result<(), Failure> {
    let mut files = Vec::new();
    collect(path, 0, &mut files)?;
    files.sort();
    let opened: Vec<_> = files.par_iter().map(|path| file(path, wanted)).collect();
    for result in opened {
        match result {
            Ok(subjects) => loaded.subjects.extend(subjects.into_iter().map(Arc::new)),
            // A folder may hold anything; what is foreign is passed over, but said.
            Err(failure) => {
                loaded.notes.push(format!("skipped: {}", super::told(&failure)));
            }
        }
    }
    Ok(())
}

pub(super) fn collect(
    folder: &Path,
    depth: usize,
    files: &mut Vec<PathBuf>,
) -> Result<(), Failure> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot look into {}", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("cannot look into {}", folder.display()))?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if path.is_dir() {
            if depth < DEPTH_MAX {
                collect(&path, depth + 1, files)?;
            }
        } else {
            files.push(path);
        }
        if files.len() > FILES_MAX {
            return Err(anyhow!(
                "{} holds more than {FILES_MAX} files; name a smaller folder",
                folder.display()
            )
            .into());
        }
    }
    Ok(())
}

fn file(path: &Path, wanted: &Wanted) -> Result<Vec<Subject>, anyhow::Error> {
    let options = Options { hints: wanted.hints.clone(), file_bytes_max: FILE_BYTES_MAX };
    let bytes = read(path)?;
    let sha256 = Some(Sha256Digest::of(&bytes));
    let name = path.display().to_string();
    let opened = open_bytes_with(&name, bytes, &options)?;
    if let Opened::Recording(recording) = &opened {
        check_sources(recording, &wanted.ssrcs, &name)?;
    }
    let about = About { id: name, sha256, only: wanted.ssrcs.clone(), ..About::default() };
    Ok(Subject::of(&opened, &about)?)
}

/// Reads a file whole, if it is a file of a sensible size.
fn read(path: &Path) -> Result<Bytes, OpenError> {
    let name = || path.display().to_string();
    let refuse = |source| OpenError::Read { name: name(), source };
    let metadata = fs::metadata(path).map_err(refuse)?;
    if !metadata.is_file() {
        return Err(OpenError::NoFile { name: name() });
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(OpenError::TooLarge {
            name: name(),
            bytes: metadata.len(),
            limit: FILE_BYTES_MAX,
        });
    }
    Ok(fs::read(path).map_err(refuse)?.into())
}

/// What a person knows better than the guess.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    hints: Hints,
    /// Only these; all if empty.
    ssrcs: Vec<u32>,
}

impl Wanted {
    /// From `--payload` and `--flow`.
    pub(super) fn parse(payloads: &[String], flows: &[String]) -> Result<Self, Failure> {
        let mut wanted = Self::default();
        for text in payloads.iter().flat_map(|text| text.split(',')) {
            wanted
                .hints
                .add(text)
                .map_err(|error| Failure::usage(anyhow!("--payload: {error}")))?;
        }
        for text in flows {
            wanted
                .flow(text)
                .map_err(|problem| Failure::usage(anyhow!("--flow {text:?}: {problem}")))?;
        }
        Ok(wanted)
    }

    fn flow(&mut self, text: &str) -> Result<(), String> {
        let (mut payload_type, mut codec, mut clock) = (None, None, None);
        for part in text.split(',') {
            let (key, value) =
                part.split_once('=').ok_or("expected ssrc=..,pt=..,codec=..,clock=..")?;
            let number = |what| number(value).ok_or_else(|| format!("{value:?} is no {what}"));
            match key.trim() {
                "ssrc" => self.ssrcs.push(number("SSRC")?),
                "pt" => payload_type = Some(number("payload type")?),
                "codec" => codec = Some(Codec::from_name(value.trim())),
                "clock" => clock = Some(number("clock rate")?),
                other => {
                    return Err(format!("{other:?} is none of ssrc, pt, codec, clock"));
                }
            }
        }
        let (payload_type, codec) = match (payload_type, codec) {
            (Some(payload_type), Some(codec)) => (payload_type, codec),
            (None, None) => return Ok(()),
            _ => return Err("pt and codec belong together".to_owned()),
        };
        let clock = clock.or(codec.usual_clock_rate()).filter(|clock| *clock > 0);
        let clock = clock.ok_or_else(|| format!("{codec} needs a clock=.."))?;
        let payload_type = u8::try_from(payload_type)
            .ok()
            .filter(|payload_type| *payload_type < 128)
            .ok_or("a payload type is 0 to 127")?;
        self.hints.payload_types.insert(payload_type, (codec, clock));
        Ok(())
    }
}

/// Decimal, or hexadecimal behind `0x`.
fn number(text: &str) -> Option<u32> {
    let text = text.trim();
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Whether a capture has all of these sources.
fn check_sources(
    recording: &callrig_corpora::Recording,
    ssrcs: &[u32],
    name: &str,
) -> Result<(), anyhow::Error> {
    for ssrc in ssrcs {
        if !recording.flows.iter().any(|flow| flow.ssrc == *ssrc) {
            let found: Vec<String> =
                recording.flows.iter().map(|flow| format!("{:#010x}", flow.ssrc)).collect();
            return Err(anyhow!(
                "{name} has no flow with SSRC {ssrc:#010x}; found: {}",
                found.join(", ")
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_knows_better_is_read_as_it_is_typed() {
        let wanted = Wanted::parse(
            &["111=opus,0=pcmu/8000".to_owned()],
            &["ssrc=0x1a2b,pt=96,codec=h264".to_owned(), "ssrc=77".to_owned()],
        )
        .expect("all of it is understood");
        assert_eq!(wanted.ssrcs, [0x1a2b, 77]);
        assert_eq!(wanted.hints.payload_types[&96], (Codec::H264, 90_000));
        assert_eq!(wanted.hints.payload_types.len(), 3);
    }

    #[test]
    fn a_flow_that_cannot_be_understood_is_a_usage_error_that_says_why() {
        for (text, why) in [
            ("1234", "expected ssrc="),
            ("ssrc=x", "no SSRC"),
            ("pt=96", "belong together"),
            ("pt=300,codec=opus", "0 to 127"),
            ("pt=96,codec=telephone-event", "needs a clock"),
            ("colour=red", "none of ssrc"),
        ] {
            let failure = Wanted::parse(&[], &[text.to_owned()]).expect_err(text);
            assert_eq!(failure.code, crate::cli::ExitCode::Usage);
            assert!(failure.error.to_string().contains(why), "{text}: {:#}", failure.error);
        }
    }
}
