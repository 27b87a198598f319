//! A saved trace is all that a judge needs besides the recording: what is read is what was
//! written, and it is judged as it was in the run.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use callrig::case::{self, Selection};
use callrig::deviation::Deviations;
use callrig::network::{self, NETWORKS};
use callrig::plan::{self, Networks, Plan, Planned};
use callrig::seed::Seed;
use callrig::stage::{self, Performance};
use callrig::trace::lines::{self, Origin, ReadError, Staged};
use callrig_reports::metric::Repeatability;
use callrig_reports::{CaseResult, render};
use proptest::prelude::*;

use crate::{corpora, subjects};

/// Sound, pictures, keys, pictures that are compared, and whatever is hostile.
const RECORDINGS: [&str; 5] = [
    "audio/opus-20ms-24k-fec-en",
    "dtmf/all-sixteen-over-opus",
    "hostile/rtcp",
    "video/h264-180p-stap-a",
    "quirks/ssrc-change",
];

fn staged(planned: &Planned) -> Staged {
    Staged {
        recording: planned.subject.id.clone(),
        origin: Origin::Corpora,
        sha256: planned.subject.sha256.clone(),
        payload: Vec::new(),
        flow: Vec::new(),
        network: planned.network.name.to_owned(),
        stage: planned.stage,
        seed: 5,
    }
}

fn performed(planned: &Planned) -> Performance {
    stage::perform(&planned.subject, planned.network, planned.stage, Seed::new(5))
        .expect("the stage can be built")
}

fn written(planned: &Planned, performance: &Performance) -> Vec<u8> {
    lines::write(&staged(planned), performance, Vec::new()).expect("memory holds it")
}

/// All that repeats of some results.
fn exact(results: Vec<CaseResult>) -> Vec<String> {
    let exact = results.into_iter().map(|mut result| {
        result.metrics.retain(|metric| metric.repeatability == Repeatability::Exact);
        result.histograms.clear();
        format!("{result:?}")
    });
    exact.collect()
}

fn is_exact(case: &case::Case) -> bool {
    !case::cost::CASES.iter().any(|cost| cost.id == case.id)
}

#[test]
fn a_trace_that_was_saved_is_judged_as_the_run_was() {
    let networks = ["burst", "lte"].map(|name| network::find(name).expect("a preset"));
    let selection = Selection::new(&[]).expect("no pattern is a sound pattern");
    let networks = Networks::These(networks.to_vec());
    let plan = Plan::make(&subjects(&RECORDINGS), &networks, case::all(), &selection);
    let mut judged = 0;
    for mut planned in plan.performances {
        planned.cases.retain(is_exact);
        let performance = performed(&planned);
        let bytes = written(&planned, &performance);
        let saved = lines::read(&*bytes).expect("it was just written");
        let name = planned.name();
        assert_eq!(saved.staged, staged(&planned), "{name}");
        assert_eq!(saved.performance.trace.facts().len(), performance.trace.facts().len());
        assert!(written(&planned, &saved.performance) == bytes, "{name} is written otherwise");
        let none = Deviations::default();
        let ran = exact(plan::judge(&planned, &performance, &none));
        judged += ran.len();
        assert_eq!(exact(plan::judge(&planned, &saved.performance, &none)), ran, "{name}");
    }
    assert!(judged > 150, "{judged} results");
}

/// A short one to play with.
fn small() -> Vec<u8> {
    let subject = Arc::clone(&subjects(&["dtmf/all-sixteen-over-pcmu"])[0]);
    let network = network::find("clean").expect("a preset");
    let planned = Planned { subject, network, stage: stage::Stage::Menu, cases: Vec::new() };
    let performance = performed(&planned);
    written(&planned, &performance)
}

#[test]
fn a_trace_that_was_cut_is_known_by_it() {
    let bytes = small();
    let cut = |length: usize| lines::read(&bytes[..length]).expect_err("a part is missing");
    assert!(matches!(cut(0), ReadError::Line { line: 1, .. }));
    assert!(matches!(cut(bytes.len() - 1), ReadError::Line { .. }));
    let last = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').expect("lines");
    let error = cut(last + 1);
    assert!(matches!(error, ReadError::Cut { announced, found } if announced == found + 1));
}

#[test]
fn what_a_trace_does_not_have_cannot_be_referred_to() {
    let text = String::from_utf8(small()).expect("JSON is text");
    for (from, to, problem) in [
        ("\"who\":\"bot\"", "\"who\":\"bob\"", "there is no actor \"bob\""),
        ("\"path\":0", "\"path\":99", "there is no path 99"),
        ("\"track\":0", "\"track\":9", "there is no track 9"),
        ("\"deliveredAt\"", "\"deliverdAt\"", "unknown field"),
        ("\"callrigTrace\":2", "\"callrigTrace\":1", "version 1"),
        ("\"bot\":1", "\"bot\":7", "there is no actor 7"),
    ] {
        assert!(text.contains(from), "{from}");
        let error = lines::read(text.replacen(from, to, 1).as_bytes()).expect_err(to);
        assert!(error.to_string().contains(problem), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever is done to a trace, it is refused or can be judged.
    #[test]
    fn a_damaged_trace_is_refused_or_judged(damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        static SMALL: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(small);
        let mut bytes = SMALL.clone();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok(saved) = lines::read(&*bytes) {
            let subject = Arc::clone(&subjects(&["dtmf/all-sixteen-over-pcmu"])[0]);
            let cases = case::all().iter().filter(|case| case.stage == stage::Stage::Menu && is_exact(case));
            let planned = Planned { subject, network: &NETWORKS[0], stage: stage::Stage::Menu, cases: cases.copied().collect() };
            prop_assert!(!plan::judge(&planned, &saved.performance, &Deviations::default()).is_empty());
        }
    }
}

fn callrig(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_callrig"))
        .args(arguments)
        .current_dir(folder)
        .env("CALLRIG_CORPORA", fs::canonicalize(corpora()).expect("it is in git"))
        .output()
        .expect("the binary runs")
}

/// Verdicts and exact metrics in a report.
fn results(report: &Path) -> Vec<String> {
    let text = fs::read_to_string(report).expect("it was written");
    let mut results = render::json::parse(&text).expect("a report").results;
    results.retain(|result| !result.id.starts_with("cost/"));
    let mut list = exact(results);
    list.sort();
    list
}

#[test]
fn the_command_judges_again_what_a_run_has_traced() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let here = folder.path();
    let file = corpora().join("recordings/video/h264-180p-stap-a.pcap");
    fs::copy(file, here.join("mine.pcap")).expect("recordings are in git");
    for arguments in [
        &["run", "--recording", "audio/double-talk", "--network", "wifi"][..],
        &["run", "mine.pcap", "--network", "loss-5", "--payload", "96=h264/90000"],
    ] {
        let out = here.join("out");
        let ran = callrig(here, &[arguments, &["--trace", "--out", "out"]].concat());
        let judged = callrig(here, &["judge", "out/traces", "--out", "again"]);
        let said = String::from_utf8_lossy(&judged.stderr);
        assert_eq!(ran.status.code(), judged.status.code(), "{said}");
        let before = results(&out.join("report.json"));
        assert!(before.len() > 10, "{} results", before.len());
        assert_eq!(before, results(&here.join("again/report.json")));
        fs::remove_dir_all(&out).expect("it was written");
    }
}

#[test]
fn what_cannot_be_judged_again_says_why() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let here = folder.path();
    let file = corpora().join("recordings/audio/pcmu-20ms-en.pcap");
    fs::copy(&file, here.join("mine.pcap")).expect("recordings are in git");
    let ran = callrig(here, &["run", "mine.pcap", "--trace", "--case", "calls", "--out", "out"]);
    assert_eq!(ran.status.code(), Some(0));
    fs::write(here.join("foreign.jsonl"), "{\"a\":1}\n").expect("writable");
    fs::create_dir(here.join("empty")).expect("writable");
    let says = |arguments: &[&str], code: i32, words: &str| {
        let judged = callrig(here, arguments);
        let said = String::from_utf8_lossy(&judged.stderr).into_owned();
        assert_eq!(judged.status.code(), Some(code), "{said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
        assert!(said.contains(words), "{words:?} is not in {said}");
    };
    says(&["judge", "nowhere.jsonl"], 1, "nowhere.jsonl");
    says(&["judge", "foreign.jsonl"], 1, "expected the first line of a callrig trace");
    says(&["judge", "empty"], 1, "there is no trace.jsonl below empty");
    says(&["judge", "out/traces", "--case", "no/such"], 4, "nothing was judged");
    fs::write(here.join("mine.pcap"), fs::read(&file).expect("in git").repeat(2))
        .expect("writable");
    says(&["judge", "out/traces"], 1, "is not the one that was played");
}
