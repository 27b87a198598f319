//! Same seed, same bytes: traces and exact metrics do not depend on how many jobs there
//! are, on the order in which they finish, or on how the binary was built.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Mutex;

use callrig::case::{self, Selection};
use callrig::deviation::Deviations;
use callrig::network;
use callrig::plan::{self, Networks, Performing, Plan, Planned};
use callrig::seed::Seed;
use callrig::stage::Performance;
use callrig::trace;
use callrig_corpora::digest::Sha256Digest;
use callrig_reports::metric::Repeatability;

use crate::{corpora, subjects};

const RECORDINGS: [&str; 4] = [
    "audio/opus-20ms-24k-fec-en",
    "dtmf/all-sixteen-over-opus",
    "hostile/sequence-jumps",
    "video/h264-180p-stap-a",
];

/// A digest of every trace, by performance, and all exact metrics and verdicts as text.
fn outcome(seed: u64, jobs: usize) -> (BTreeMap<String, String>, String) {
    let networks = ["clean", "burst", "jitter-40", "reorder", "drift-plus-200ppm"]
        .map(|name| network::find(name).expect("a preset"));
    let selection = Selection::new(&[]).expect("no pattern is a sound pattern");
    let subjects = subjects(&RECORDINGS);
    let networks = Networks::These(networks.to_vec());
    let plan = Plan::make(&subjects, &networks, case::all(), &selection);
    let digests = Mutex::new(BTreeMap::new());
    let keep = |planned: &Planned, performance: &Performance| {
        let lines = trace::lines::write(&performance.trace, Vec::new()).expect("memory holds it");
        let digest = Sha256Digest::of(&lines).to_string();
        digests.lock().expect("no job panics").insert(planned.name(), digest);
        Ok(())
    };
    let seed = Seed::new(seed);
    let performing = Performing {
        seed,
        jobs,
        deviations: &Deviations::default(),
        keep: &keep,
        done: &|_, _| {},
    };
    let results = plan::perform(&plan, &performing).expect("threads can be had");
    let mut exact = String::new();
    for result in results {
        exact.push_str(&format!("{} {:?}\n", result.key(), result.verdict));
        for metric in result.metrics {
            if metric.repeatability == Repeatability::Exact {
                exact.push_str(&format!("  {metric:?}\n"));
            }
        }
    }
    (digests.into_inner().expect("no job panics"), exact)
}

#[test]
fn the_same_seed_gives_the_same_traces_and_metrics_with_one_job_and_with_two() {
    let one = outcome(7, 1);
    assert!(one.0.len() >= 20, "{} performances", one.0.len());
    let two = outcome(7, 2);
    assert_eq!(one.0, two.0);
    assert_eq!(one.1, two.1);
}

#[test]
fn another_seed_gives_other_traces() {
    let (one, _) = outcome(7, 2);
    let (other, _) = outcome(8, 2);
    let burst = "audio/opus-20ms-24k-fec-en@burst@listen";
    assert_ne!(one[burst], other[burst]);
}

/// `CALLRIG_OTHER_BINARY` is a `callrig` of the same source in another profile: `make test`
/// builds one where it can.
#[test]
fn debug_and_release_give_the_same_traces() {
    let Some(other) = std::env::var_os("CALLRIG_OTHER_BINARY") else {
        println!("skipped: CALLRIG_OTHER_BINARY names no second build to compare with");
        return;
    };
    let traces = |binary: &std::ffi::OsStr| {
        let out = tempfile::tempdir().expect("a temporary folder");
        let status = Command::new(binary)
            .args(["run", "--trace", "--seed", "7", "--network", "burst", "wifi", "--recording"])
            .args(RECORDINGS)
            .args(["--corpora".as_ref(), corpora().as_os_str()])
            .args(["--out".as_ref(), out.path().as_os_str()])
            .output()
            .expect("the binary runs")
            .status;
        assert!(matches!(status.code(), Some(0 | 3)), "{status}");
        let mut digests = BTreeMap::new();
        let folder = std::fs::read_dir(out.path().join("traces")).expect("traces were written");
        for entry in folder {
            let path = entry.expect("readable").path().join("trace.jsonl");
            let bytes = std::fs::read(&path).expect("a trace in each folder");
            let name = path.parent().and_then(|parent| parent.file_name()).map(ToOwned::to_owned);
            digests.insert(name, Sha256Digest::of(&bytes).to_string());
        }
        digests
    };
    let ours = traces(env!("CARGO_BIN_EXE_callrig").as_ref());
    assert!(!ours.is_empty());
    assert_eq!(ours, traces(&other));
}
