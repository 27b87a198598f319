//! What people can speak: the recordings of the corpora by their ids, and what was brought
//! along over the control API. Opened when first asked for, and kept for the next time.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use callrig_corpora::{Options, open_bytes_with};
use serde::Serialize;
use thiserror::Error;

use crate::command::load;
use crate::subject::{About, Subject};

/// How many opened recordings of the corpora are kept.
const OPENED_MAX: usize = 64;
/// How many recordings can be brought along.
const BROUGHT_MAX: usize = 1_000;
/// How long the name of a recording may be.
const NAME_BYTES_MAX: usize = 200;

/// Why there is nothing to speak.
#[derive(Debug, Error)]
pub enum LibraryError {
    /// No such recording.
    #[error("no recording {0:?}; GET /rig/recordings lists them")]
    Unknown(String),
    /// It cannot be opened, or not be played.
    #[error("{0}")]
    Unusable(String),
    /// No room for another one.
    #[error("no room: {0}")]
    Full(&'static str),
    /// A name that is empty, or far too long.
    #[error("a recording's name has 1 to {NAME_BYTES_MAX} bytes")]
    Name,
}

/// A recording, in a line.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordingLine {
    /// What to call it in `play`.
    pub id: String,
    /// What it is.
    pub title: String,
    /// Whether it was brought along, rather than found in the corpora.
    pub brought: bool,
    /// How long it is, where that is known.
    pub duration_ms: Option<u64>,
}

/// What people can speak.
#[derive(Debug)]
pub struct Library {
    corpora: Option<PathBuf>,
    bytes_max: usize,
    shelves: Mutex<Shelves>,
}

#[derive(Debug, Default)]
struct Shelves {
    brought: BTreeMap<String, (Arc<Subject>, usize)>,
    brought_bytes: usize,
    opened: VecDeque<Arc<Subject>>,
}

impl Library {
    /// The corpora in a folder, or where they are found; and room for so many bytes more.
    #[must_use]
    pub fn new(corpora: Option<PathBuf>, bytes_max: usize) -> Self {
        Self { corpora, bytes_max, shelves: Mutex::default() }
    }

    /// A recording by its id. Reads files: not for a thread that must not wait.
    ///
    /// # Errors
    /// There is none, or it cannot be played.
    pub fn find(&self, id: &str) -> Result<Arc<Subject>, LibraryError> {
        {
            let shelves = self.shelves();
            if let Some((subject, _)) = shelves.brought.get(id) {
                return Ok(Arc::clone(subject));
            }
            if let Some(subject) = shelves.opened.iter().find(|subject| subject.id == id) {
                return Ok(Arc::clone(subject));
            }
        }
        let unknown = || LibraryError::Unknown(id.to_owned());
        let manifest = load::manifest_at(self.corpora.as_deref()).ok_or_else(unknown)?;
        // A capture of several phones has one recording for each: `id#2`.
        let base = id.rsplit_once('#').map_or(id, |(base, _)| base);
        let entry = manifest.entry(base).ok_or_else(unknown)?;
        let subjects = load::from_manifest(&manifest, entry)
            .map_err(|error| LibraryError::Unusable(format!("{error:#}")))?;
        let found = subjects.into_iter().find(|subject| subject.id == id).ok_or_else(unknown)?;
        let found = Arc::new(found);
        let mut shelves = self.shelves();
        shelves.opened.push_back(Arc::clone(&found));
        if shelves.opened.len() > OPENED_MAX {
            shelves.opened.pop_front();
        }
        Ok(found)
    }

    /// Takes a recording in: any file that `callrig run` takes.
    ///
    /// # Errors
    /// It cannot be played, or there is no room.
    pub fn bring(&self, name: &str, file: Bytes) -> Result<RecordingLine, LibraryError> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(LibraryError::Name);
        }
        let bytes = file.len();
        let unusable = |error: String| LibraryError::Unusable(error);
        let opened = open_bytes_with(name, file, &Options::default())
            .map_err(|error| unusable(error.to_string()))?;
        let about = About { id: name.to_owned(), ..About::default() };
        let subjects = Subject::of(&opened, &about).map_err(|error| unusable(error.to_string()))?;
        let first = subjects.into_iter().next();
        let mut first = first.ok_or_else(|| unusable(format!("{name}: nothing in it speaks")))?;
        name.clone_into(&mut first.id);
        let line = line(&first, true);
        let mut shelves = self.shelves();
        let before = shelves.brought.get(name).map_or(0, |(_, bytes)| *bytes);
        if shelves.brought_bytes - before + bytes > self.bytes_max {
            return Err(LibraryError::Full("rig.recordings_bytes_max is reached"));
        }
        if before == 0 && shelves.brought.len() >= BROUGHT_MAX {
            return Err(LibraryError::Full("there are too many recordings"));
        }
        shelves.brought_bytes = shelves.brought_bytes - before + bytes;
        shelves.brought.insert(name.to_owned(), (Arc::new(first), bytes));
        Ok(line)
    }

    /// Lets a recording go that was brought along; whether there was one.
    pub fn drop(&self, name: &str) -> bool {
        let mut shelves = self.shelves();
        let gone = shelves.brought.remove(name);
        shelves.brought_bytes -= gone.as_ref().map_or(0, |(_, bytes)| *bytes);
        gone.is_some()
    }

    /// Everything that can be spoken. Reads a file.
    #[must_use]
    pub fn list(&self) -> Vec<RecordingLine> {
        let mut lines: Vec<_> =
            self.shelves().brought.values().map(|(subject, _)| line(subject, true)).collect();
        if let Some(manifest) = load::manifest_at(self.corpora.as_deref()) {
            let playable = manifest.entries.iter().filter(|entry| entry.truth.refused.is_none());
            lines.extend(playable.map(|entry| RecordingLine {
                id: entry.id.clone(),
                title: entry.origin.clone(),
                brought: false,
                duration_ms: None,
            }));
        }
        lines
    }

    fn shelves(&self) -> std::sync::MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn line(subject: &Subject, brought: bool) -> RecordingLine {
    RecordingLine {
        id: subject.id.clone(),
        title: subject.title.clone(),
        brought,
        duration_ms: u64::try_from(subject.duration().as_millis()).ok(),
    }
}
