//! Same seed, same bytes: traces and exact metrics do not depend on how many jobs there
//! are, on the order in which they finish, or on how the binary was built.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use callrig::network::NETWORKS;
use callrig_corpora::digest::Sha256Digest;
use callrig_corpora::manifest::Manifest;
use callrig_reports::metric::Repeatability;
use callrig_reports::render;

use crate::corpora;

/// Four recordings on networks that draw much.
const FEW: &[(&str, &[&str])] = &[
    ("burst", &["audio/opus-20ms-24k-fec-en", "video/h264-180p-stap-a"]),
    ("jitter-40", &["audio/opus-20ms-24k-fec-en", "dtmf/all-sixteen-over-opus"]),
    ("reorder", &["dtmf/all-sixteen-over-opus", "hostile/sequence-jumps"]),
    ("drift-plus-200ppm", &["audio/opus-20ms-24k-fec-en"]),
];

/// What a run amounts to: a digest of every trace by its name, and all verdicts and exact
/// metrics as text.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    traces: BTreeMap<String, String>,
    exact: String,
}

impl Outcome {
    /// Of recordings on networks, by a build of callrig.
    fn of(binary: &OsStr, seed: u64, jobs: u16, wanted: &[(&str, &[&str])]) -> Self {
        let mut outcome = Self::default();
        for (network, recordings) in wanted {
            let out = tempfile::tempdir().expect("a temporary folder");
            let output = Command::new(binary)
                .args(["run", "--trace", "--format", "json", "--network", network])
                .args(["--seed", &seed.to_string(), "--jobs", &jobs.to_string()])
                .args(["--corpora".as_ref(), corpora().as_os_str()])
                .args(["--out".as_ref(), out.path().as_os_str(), "--recording".as_ref()])
                .args(*recordings)
                .output()
                .expect("the binary runs");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(matches!(output.status.code(), Some(0 | 3)), "{}: {said}", output.status);
            outcome.take_in(out.path());
        }
        outcome
    }

    fn take_in(&mut self, out: &Path) {
        for entry in std::fs::read_dir(out.join("traces")).expect("traces were written") {
            let folder = entry.expect("readable").path();
            let bytes = std::fs::read(folder.join("trace.jsonl")).expect("a trace in each folder");
            let name = folder.file_name().expect("a folder has a name").to_string_lossy();
            self.traces.insert(name.into_owned(), Sha256Digest::of(&bytes).to_string());
        }
        let text = std::fs::read_to_string(out.join("report.json")).expect("it was written");
        for result in render::json::parse(&text).expect("a report").results {
            self.exact.push_str(&format!("{} {:?}\n", result.key(), result.verdict));
            for metric in result.metrics {
                if metric.repeatability == Repeatability::Exact {
                    self.exact.push_str(&format!("  {metric:?}\n"));
                }
            }
        }
    }
}

fn ours() -> &'static OsStr {
    env!("CARGO_BIN_EXE_callrig").as_ref()
}

#[test]
fn the_same_seed_gives_the_same_traces_and_metrics_with_one_job_and_with_two() {
    let one = Outcome::of(ours(), 7, 1, FEW);
    assert!(one.traces.len() >= 15, "{} performances", one.traces.len());
    assert!(one.exact.lines().count() > 300, "{} lines", one.exact.lines().count());
    assert_eq!(one, Outcome::of(ours(), 7, 2, FEW));
}

#[test]
fn another_seed_gives_other_traces() {
    let wanted: &[(&str, &[&str])] = &[("burst", &["audio/opus-20ms-24k-fec-en"])];
    let (one, other) = (Outcome::of(ours(), 7, 2, wanted), Outcome::of(ours(), 8, 2, wanted));
    for (name, digest) in &one.traces {
        assert_ne!(*digest, other.traces[name], "{name}");
    }
}

/// The whole corpora, every network of ours among them: each recording on the next one. In
/// the other build the optimiser has been at our code, and nothing checks for overflow.
///
/// `CALLRIG_OTHER_BINARY` is that build; `make test` makes it.
#[test]
fn debug_and_release_give_the_same_traces() {
    let Some(other) = std::env::var_os("CALLRIG_OTHER_BINARY") else {
        println!("skipped: CALLRIG_OTHER_BINARY names no second build to compare with");
        return;
    };
    let manifest = Manifest::read(&corpora().join("manifest.toml")).expect("it is in git");
    let played = manifest.entries.iter().filter(|entry| entry.truth.refused.is_none());
    let ids: Vec<&str> = played.map(|entry| &*entry.id).collect();
    let by_network: Vec<(&str, Vec<&str>)> = NETWORKS
        .iter()
        .enumerate()
        .map(|(turn, network)| {
            let these = ids.iter().skip(turn).step_by(NETWORKS.len());
            (network.name, these.copied().collect())
        })
        .collect();
    let wanted: Vec<(&str, &[&str])> =
        by_network.iter().map(|(network, ids)| (*network, &ids[..])).collect();
    let (debug, release) = (Outcome::of(ours(), 7, 1, &wanted), Outcome::of(&other, 7, 2, &wanted));
    assert!(debug.traces.len() > ids.len(), "{} performances", debug.traces.len());
    let differs = |name: &&String| release.traces.get(*name) != debug.traces.get(*name);
    let differing: Vec<&String> = debug.traces.keys().filter(differs).collect();
    assert!(differing.is_empty(), "{differing:?}");
    assert_eq!(debug, release);
}
