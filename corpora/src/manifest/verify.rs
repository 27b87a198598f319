//! Checks the files of a manifest against what the manifest says of them.

use std::fmt;
use std::path::Path;

use super::{Entry, Manifest};
use crate::count::Counts;
use crate::digest::Sha256Digest;
use crate::flow::Flow;
use crate::open::{Opened, Options, open_bytes_with, read_file};
use crate::recording::Recording;
use crate::truth::Truth;

/// One thing that is not as the manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The entry, or the file if it has none.
    pub id: String,
    /// Which fact.
    pub fact: String,
    /// What the manifest says.
    pub expected: String,
    /// What was found.
    pub actual: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, fact, expected, actual } = self;
        write!(f, "{id}: {fact}: expected {expected}, found {actual}")
    }
}

/// Folders below `recordings/` that are looked into.
const DEPTH_MAX: usize = 8;

impl Manifest {
    /// Checks every entry, and that every file below `recordings/` has one.
    pub fn verify(&self) -> Vec<Mismatch> {
        let entries = self.entries.iter().flat_map(|entry| self.verify_entry(entry));
        entries.chain(self.unlisted()).collect()
    }

    /// Checks one entry: its file is there, has the digest, opens, and holds what is said.
    pub fn verify_entry(&self, entry: &Entry) -> Vec<Mismatch> {
        let mut findings = Findings { id: &entry.id, scope: String::new(), found: Vec::new() };
        let options = Options::default();
        let path = self.path_of(entry);
        let bytes = match read_file(&path, options.file_bytes_max) {
            Ok(bytes) => bytes,
            Err(error) => {
                findings.add("file", "a file that can be read", error);
                return findings.found;
            }
        };
        let digest = Sha256Digest::of(&bytes);
        findings.compare("sha256", Some(entry.sha256), Some(digest));
        let truth = &entry.truth;
        match (open_bytes_with(&entry.file, bytes, &options), &truth.refused) {
            (Ok(opened), None) => findings.opened(entry, &opened),
            (Ok(opened), Some(part)) => {
                let expected = format!("an error with {part:?}");
                findings.add("refused", expected, format!("it opens as {}", opened.format()));
            }
            (Err(error), Some(part)) if !error.to_string().contains(part) => {
                findings.add("refused", format!("an error with {part:?}"), error);
            }
            (Err(_), Some(_)) => {}
            (Err(error), None) => findings.add("file", "a recording", error),
        }
        findings.found
    }

    /// The files below `recordings/` that no entry names.
    pub fn unlisted(&self) -> Vec<Mismatch> {
        let mut files = Vec::new();
        walk(&self.recordings, "", DEPTH_MAX, &mut files);
        files.sort_unstable();
        files
            .into_iter()
            .filter(|file| self.entries.iter().all(|entry| entry.file != *file))
            .map(|id| Mismatch {
                id,
                fact: "listed".to_owned(),
                expected: "an entry in the manifest".to_owned(),
                actual: "none".to_owned(),
            })
            .collect()
    }
}

/// Hidden files (of the system, or on their way to their name) are passed over.
fn walk(folder: &Path, prefix: &str, depth: usize, files: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(kind) = entry.file_type() else { continue };
        if name.starts_with('.') {
            continue;
        }
        let path = format!("{prefix}{name}");
        if !kind.is_dir() {
            files.push(path);
        } else if depth > 0 {
            walk(&entry.path(), &format!("{path}/"), depth - 1, files);
        }
    }
}

/// The mismatches of one entry.
struct Findings<'a> {
    id: &'a str,
    /// Which SSRC is looked at, if not the whole.
    scope: String,
    found: Vec<Mismatch>,
}

impl Findings<'_> {
    fn add(&mut self, fact: &str, expected: impl fmt::Display, actual: impl fmt::Display) {
        self.found.push(Mismatch {
            id: self.id.to_owned(),
            fact: format!("{}{fact}", self.scope),
            expected: expected.to_string(),
            actual: actual.to_string(),
        });
    }

    fn compare<T: PartialEq + fmt::Display>(
        &mut self,
        fact: &str,
        expected: Option<T>,
        actual: Option<T>,
    ) {
        match (expected, actual) {
            (Some(expected), Some(actual)) if expected != actual => {
                self.add(fact, expected, actual);
            }
            (Some(expected), None) => self.add(fact, expected, "that such a file cannot tell"),
            _ => {}
        }
    }

    fn opened(&mut self, entry: &Entry, opened: &Opened) {
        let warnings = opened.warnings();
        let expected = entry.truth.warnings.unwrap_or(0);
        if warnings.len() as u64 != expected {
            let words: Vec<String> = warnings.iter().map(ToString::to_string).collect();
            let actual = format!("{} ({})", warnings.len(), words.join("; "));
            self.add("warnings", expected, actual);
        }
        self.counts(&entry.truth, &Counts::of(opened));
        match opened {
            Opened::Recording(recording) => self.flows(entry, recording),
            other if !entry.flows.is_empty() => {
                let actual = format!("none, as in every {} file", other.format());
                self.add("flows", entry.flows.len(), actual);
            }
            _ => {}
        }
    }

    fn counts(&mut self, truth: &Truth, counts: &Counts) {
        self.compare("packets", truth.packets, counts.packets);
        self.compare("lost", truth.lost, counts.lost);
        self.compare("reordered", truth.reordered, counts.reordered);
        self.compare("duplicates", truth.duplicates, counts.duplicates);
        self.compare("restarts", truth.restarts, counts.restarts);
        self.compare("rtcp", truth.rtcp, counts.rtcp);
        self.compare("other", truth.other, counts.other);
        self.compare("frames", truth.frames, counts.frames);
        // Digits may also be pressed as tones in the sound, which only a decoder hears.
        if counts.digits.is_some() {
            self.compare("digits", truth.digits.as_ref(), counts.digits.as_ref());
        }
        let tolerance = truth.tolerances.duration_ms;
        match (truth.duration_ms, counts.duration_ms) {
            (Some(expected), Some(actual)) if expected.abs_diff(actual) > tolerance => {
                self.add("duration_ms", format!("{expected} ± {tolerance}"), actual);
            }
            (Some(expected), None) => {
                self.compare("duration_ms", Some(expected), None);
            }
            _ => {}
        }
    }

    fn flows(&mut self, entry: &Entry, recording: &Recording) {
        let mut counted = Vec::new();
        for listed in &entry.flows {
            self.scope = format!("SSRC {:#010x} ", listed.ssrc);
            self.payload(listed, recording);
            if let (Some(truth), false) = (&listed.truth, counted.contains(&listed.ssrc)) {
                counted.push(listed.ssrc);
                self.counts(truth, &Counts::of_ssrc(recording, listed.ssrc));
            }
        }
        self.scope.clear();
        for flow in &recording.flows {
            for payload in &flow.payloads {
                let listed = entry.flows.iter().any(|listed| {
                    listed.ssrc == flow.ssrc && listed.payload_type == payload.payload_type
                });
                if !listed {
                    let Flow { ssrc, packets, reason, .. } = flow;
                    let payload_type = payload.payload_type;
                    let what = format!("SSRC {ssrc:#010x} payload type {payload_type}");
                    self.add(
                        "flows",
                        "only those listed",
                        format!("{what} ({packets} packets: {reason})"),
                    );
                }
            }
        }
    }

    fn payload(&mut self, listed: &super::FlowEntry, recording: &Recording) {
        let payload_type = listed.payload_type;
        let of_ssrc = recording.flows.iter().filter(|flow| flow.ssrc == listed.ssrc);
        let payload = of_ssrc
            .flat_map(|flow| &flow.payloads)
            .find(|payload| payload.payload_type == payload_type);
        let Some(payload) = payload else {
            let known: Vec<String> =
                recording.flows.iter().map(|flow| format!("{:#010x}", flow.ssrc)).collect();
            let actual = format!("no such flow (SSRCs found: {})", known.join(", "));
            self.add("flow", format!("payload type {payload_type}"), actual);
            return;
        };
        // Where nothing fits, the manifest knows better; a wrong guess is a fault of ours.
        if let Some(codec) = &payload.codec
            && *codec != listed.codec
        {
            let fact = format!("payload type {payload_type} codec");
            self.add(&fact, &listed.codec, format!("{codec} ({})", payload.reason));
        }
        if let (Some(rate), Some(_)) = (payload.clock_rate, &payload.codec)
            && rate != listed.clock_rate
        {
            let fact = format!("payload type {payload_type} clock_rate");
            self.add(&fact, listed.clock_rate, format!("{rate} ({})", payload.reason));
        }
    }
}
