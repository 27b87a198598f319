//! The list of recordings with what is true of each: `corpora/manifest.toml`.
//!
//! Unknown keys are refused, so that a misspelt fact cannot pass unchecked. Numbers may be
//! hexadecimal. This is a whole manifest:
//!
#![doc = concat!("```toml\n", include_str!("manifest/example.toml"), "```")]

pub mod import;
mod verify;

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::codec::Codec;
use crate::digest::Sha256Digest;
use crate::truth::Truth;

pub use import::{About, ImportError, Imported, import};
pub use verify::Mismatch;

/// The only layout of a manifest that there is so far.
pub const SCHEMA_VERSION: u32 = 1;

/// A larger manifest is refused: this bounds what reading one can allocate.
pub const MANIFEST_BYTES_MAX: u64 = 16 << 20;

/// All recordings, in the order of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The folder that [`Entry::file`] is relative to.
    pub recordings: PathBuf,
    /// The recordings; ids and files are unique.
    pub entries: Vec<Entry>,
}

/// One recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Unique words, such as `audio/opus-speech-en-32k`.
    pub id: String,
    /// Path below `recordings/`, with forward slashes.
    pub file: String,
    /// Of the file's bytes.
    pub sha256: Sha256Digest,
    /// SPDX expression.
    pub licence: String,
    /// Where the sound or picture comes from, and which encoder and sender made it.
    pub origin: String,
    /// What makes it again: a file below `corpora/` and its arguments.
    pub recipe: String,
    /// Words to select by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// What each SSRC and payload type is; empty for files that are no captures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flows: Vec<FlowEntry>,
    /// What is true of the whole recording.
    #[serde(default)]
    pub truth: Truth,
}

/// One payload type of one SSRC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowEntry {
    /// The synchronization source.
    pub ssrc: u32,
    /// 0 to 127.
    pub payload_type: u8,
    /// What the payload type stands for.
    pub codec: Codec,
    /// Of the RTP timestamps, in Hz.
    pub clock_rate: u32,
    /// Which layer of its line it is, as its packets say (`RtpStreamId`, RFC 8852), where one line
    /// has the same pictures in several streams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// What its pictures are of, where that is no camera (RFC 4796).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
    /// What is true of this SSRC alone (all its payload types together).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truth: Option<Truth>,
}

/// What the pictures of a stream are of: a value of SDP's `content` (RFC 4796).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// A screen that is shared.
    Slides,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema_version: u32,
    #[serde(default, rename = "recording")]
    recordings: Vec<Entry>,
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file cannot be read.
    #[error("cannot read the manifest {path}: {source}")]
    Read {
        /// The manifest.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is larger than [`MANIFEST_BYTES_MAX`].
    #[error("the manifest {path} is larger than {MANIFEST_BYTES_MAX} bytes")]
    TooLarge {
        /// The manifest.
        path: PathBuf,
    },
    /// It is not TOML of this shape; the message carries line and column.
    #[error("the manifest {path} is not as it must be: {message}")]
    Syntax {
        /// The manifest.
        path: PathBuf,
        /// What the TOML reader said, with the place.
        message: String,
    },
    /// It was written for another version of this program.
    #[error("the manifest {path} has schema_version {found}; this program reads {SCHEMA_VERSION}")]
    Version {
        /// The manifest.
        path: PathBuf,
        /// The version found.
        found: u32,
    },
    /// An entry contradicts the rules.
    #[error("the manifest {path}, recording {id:?}: {fault}")]
    Entry {
        /// The manifest.
        path: PathBuf,
        /// The entry.
        id: String,
        /// What is wrong, and what is expected.
        fault: String,
    },
}

impl Manifest {
    /// Reads a manifest; the recordings are expected in `recordings/` beside it.
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        let read = |source| ManifestError::Read { path: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(read)?;
        let mut text = String::new();
        file.take(MANIFEST_BYTES_MAX + 1).read_to_string(&mut text).map_err(read)?;
        if text.len() as u64 > MANIFEST_BYTES_MAX {
            return Err(ManifestError::TooLarge { path: path.to_owned() });
        }
        Self::parse(path, &text)
    }

    /// Parses the text of a manifest that lies (or would lie) at `path`.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ManifestError> {
        let document: Document = toml::from_str(text).map_err(|error| ManifestError::Syntax {
            path: path.to_owned(),
            message: error.to_string(),
        })?;
        if document.schema_version != SCHEMA_VERSION {
            let found = document.schema_version;
            return Err(ManifestError::Version { path: path.to_owned(), found });
        }
        let mut ids = BTreeSet::new();
        let mut files = BTreeSet::new();
        for entry in &document.recordings {
            let refuse = |fault: String| {
                let id = entry.id.clone();
                Err(ManifestError::Entry { path: path.to_owned(), id, fault })
            };
            if let Err(fault) = entry.check() {
                return refuse(fault);
            }
            if !ids.insert(entry.id.as_str()) {
                return refuse("the id is used twice".to_owned());
            }
            if !files.insert(entry.file.as_str()) {
                return refuse(format!("the file {} is listed twice", entry.file));
            }
        }
        for entry in &document.recordings {
            let links = [("reference", &entry.truth.reference), ("clean", &entry.truth.clean)];
            for (key, link) in links {
                if let Some(named) = link.as_deref()
                    && !ids.contains(named)
                {
                    return Err(ManifestError::Entry {
                        path: path.to_owned(),
                        id: entry.id.clone(),
                        fault: format!("truth.{key} names {named:?}, which is not listed"),
                    });
                }
            }
        }
        let recordings = path.parent().unwrap_or(Path::new("")).join("recordings");
        Ok(Self { recordings, entries: document.recordings })
    }

    /// The manifest as TOML; [`parse`](Self::parse) reads it back.
    pub fn write(&self) -> String {
        let document =
            Document { schema_version: SCHEMA_VERSION, recordings: self.entries.clone() };
        toml::to_string(&document).expect("every field of an entry has a TOML form")
    }

    /// The entry of this id.
    pub fn entry(&self, id: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.id == id)
    }

    /// Where the entry's file lies.
    pub fn path_of(&self, entry: &Entry) -> PathBuf {
        self.recordings.join(&entry.file)
    }

    /// One digest for all that is listed, facts included, whatever the order of the entries.
    pub fn digest(&self) -> Sha256Digest {
        let mut texts: Vec<String> = self.entries.iter().map(Entry::write).collect();
        texts.sort_unstable();
        Sha256Digest::of(texts.join("\n").as_bytes())
    }
}

impl Entry {
    /// The entry as TOML, as it stands in a manifest below `[[recording]]`.
    pub fn write(&self) -> String {
        #[derive(Serialize)]
        struct One<'a> {
            recording: [&'a Entry; 1],
        }
        toml::to_string(&One { recording: [self] })
            .expect("every field of an entry has a TOML form")
    }

    fn check(&self) -> Result<(), String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        if self.id.is_empty() || !self.id.chars().all(allowed) {
            return Err("the id must consist of letters, digits, '-', '_', '.' and '/'".into());
        }
        let inside = !self.file.is_empty()
            && self.file.chars().all(allowed)
            && self.file.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !inside {
            return Err(format!("the file {:?} must be a plain path below recordings/", self.file));
        }
        let mut seen = BTreeSet::new();
        for flow in &self.flows {
            if flow.payload_type > 127 {
                return Err(format!("payload_type {} is above 127", flow.payload_type));
            }
            let is_name = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
            if let Some(layer) = &flow.layer
                && !((1..=16).contains(&layer.len()) && layer.chars().all(is_name))
            {
                return Err(format!(
                    "the layer {layer:?} must be 1 to 16 letters, digits, '-' and '_'"
                ));
            }
            if flow.clock_rate == 0 {
                return Err(format!("clock_rate of SSRC {:#010x} is 0", flow.ssrc));
            }
            if !seen.insert((flow.ssrc, flow.payload_type)) {
                let FlowEntry { ssrc, payload_type, .. } = flow;
                return Err(format!(
                    "SSRC {ssrc:#010x} payload_type {payload_type} is listed twice"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("manifest/example.toml");

    fn example() -> Manifest {
        Manifest::parse(Path::new("corpora/manifest.toml"), EXAMPLE).expect("the example is valid")
    }

    fn refusal(text: &str) -> String {
        Manifest::parse(Path::new("m.toml"), text).expect_err("must be refused").to_string()
    }

    #[test]
    fn the_example_reads_and_writes_itself() {
        let manifest = example();
        assert_eq!(manifest.entries.len(), 2);
        assert_eq!(manifest.entries[0].flows[0].ssrc, 0x1a2b_3c4d);
        assert_eq!(manifest.entries[0].truth.tolerances.duration_ms, 2);
        assert_eq!(
            manifest.path_of(&manifest.entries[1]),
            Path::new("corpora/recordings/audio/speech-en.wav")
        );
        let again = Manifest::parse(Path::new("corpora/manifest.toml"), &manifest.write());
        assert_eq!(again.expect("what was written is valid"), manifest);
    }

    #[test]
    fn a_misspelt_fact_is_refused_with_its_line() {
        let message = refusal(&EXAMPLE.replace("reordered =", "reoredered ="));
        assert!(message.contains("reoredered") && message.contains("line"), "{message}");
    }

    #[test]
    fn ids_files_references_and_paths_are_checked() {
        let twice = EXAMPLE.replace("\"audio/speech-en\"", "\"audio/opus-speech-en-32k\"");
        assert!(refusal(&twice).contains("twice"));
        let lost = EXAMPLE.replace("reference = \"audio/speech-en\"", "reference = \"nowhere\"");
        assert!(refusal(&lost).contains("nowhere"));
        for path in ["../x.wav", "/etc/passwd", "a//b", "", "a/./b", "a\\\\b"] {
            let outside = EXAMPLE.replace("\"audio/speech-en.wav\"", &format!("\"{path}\""));
            assert!(refusal(&outside).contains("plain path"), "{path}");
        }
        assert!(refusal(&EXAMPLE.replace("= 111", "= 128")).contains("above 127"));
        let layer = |name: &str| {
            let rate = "clock_rate = 48000";
            EXAMPLE.replacen(rate, &format!("{rate}\nlayer = {name:?}"), 1)
        };
        assert!(Manifest::parse(Path::new("m.toml"), &layer("f-1")).is_ok());
        for name in ["", "f 1", "seventeen-letters"] {
            assert!(refusal(&layer(name)).contains("1 to 16"), "{name}");
        }
        assert!(refusal(&EXAMPLE.replace("version = 1", "version = 2")).contains("reads 1"));
    }

    #[test]
    fn the_digest_ignores_order_and_notices_facts() {
        let manifest = example();
        let mut turned = manifest.clone();
        turned.entries.reverse();
        assert_eq!(turned.digest(), manifest.digest());
        turned.entries[0].truth.lost = Some(77);
        assert_ne!(turned.digest(), manifest.digest());
    }
}
