//! Known deviations: read strictly, they warn instead of failing, and do not outlive what
//! they excuse.

use std::fs;

use callrig::case::{self, Judgement};
use callrig::deviation::{Deviations, STALE};
use callrig_corpora::manifest::Manifest;
use callrig_reports::{CaseResult, Finding, Verdict};

use crate::{corpora, subjects};

const CASE: &str = "video/all-shown-on-clean";
const DIGEST: &str = "video/all-shown-on-clean/digest";
const RECORDING: &str = "quirks/h264-direct-prediction";

fn read(text: &str) -> Result<Deviations, String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("deviations.toml");
    fs::write(&path, text).expect("the folder takes a file");
    Deviations::read(&path, &[RECORDING, "quirks/other"]).map_err(|error| error.to_string())
}

fn entry(more: &str) -> String {
    format!("[[deviation]]\ncase = {CASE:?}\nreason = \"it is so\"\nsince = 2026-11-23\n{more}\n")
}

fn finding(requirement: Option<&str>) -> Finding {
    let case = case::all().iter().find(|case| case.id == CASE).expect("there is this case");
    let list = (case.requirements)();
    let one = list.iter().find(|one| (one.id == DIGEST) == (requirement == Some(DIGEST)));
    one.expect("it has the digest and another requirement").broken("one", "another")
}

fn result(deviations: &Deviations, findings: Vec<Finding>, network: &str) -> CaseResult {
    let case = case::all().iter().find(|case| case.id == CASE).expect("there is this case");
    let judgement = Judgement { findings, ..Judgement::default() };
    let subject = &subjects(&[RECORDING])[0];
    let under = callrig::network::find(network).expect("a preset");
    deviations.weigh(judgement, [CASE, RECORDING, network]).into_result(case, subject, under)
}

#[test]
fn a_known_deviation_warns_says_why_and_keeps_its_findings() {
    let known = read(&entry("recording = \"quirks/*\"")).expect("the entry is sound");
    let found = result(&known, vec![finding(Some(DIGEST))], "clean");
    assert_eq!(found.verdict, Verdict::Warn);
    assert_eq!(found.reason.as_deref(), Some("known deviation: it is so (since 2026-11-23)"));
    assert_eq!(found.findings.len(), 1);
    let unknown = result(&Deviations::default(), vec![finding(Some(DIGEST))], "clean");
    assert_eq!((unknown.verdict, unknown.reason), (Verdict::Fail, None));
}

#[test]
fn a_deviation_that_is_gone_fails_until_its_entry_is_removed() {
    let text = entry(&format!("recording = {RECORDING:?}\nrequirement = {DIGEST:?}"));
    let known = read(&text).expect("the entry is sound");
    let found = result(&known, Vec::new(), "clean");
    assert_eq!((found.verdict, found.findings.len()), (Verdict::Fail, 1));
    assert_eq!(found.findings[0].requirement, STALE.id);
    assert!(found.findings[0].actual.contains("remove its entry"));
}

#[test]
fn only_what_an_entry_names_is_excused() {
    let text = entry(&format!("recording = {RECORDING:?}\nrequirement = {DIGEST:?}"));
    let known = read(&text).expect("the entry is sound");
    let both = vec![finding(Some(DIGEST)), finding(None)];
    assert_eq!(result(&known, both, "clean").verdict, Verdict::Fail);
    let elsewhere = entry(&format!("recording = {RECORDING:?}\nnetwork = \"burst\""));
    let elsewhere = read(&elsewhere).expect("the entry is sound");
    assert_eq!(result(&elsewhere, Vec::new(), "clean").verdict, Verdict::Pass);
    let error = elsewhere.weigh(Judgement::error("a fault"), [CASE, RECORDING, "burst"]);
    assert_eq!((error.findings.len(), error.known), (0, None));
}

#[test]
fn a_mistake_is_told_with_the_entry_that_has_it() {
    let sound = entry("recording = \"quirks/*\"");
    let mistakes = [
        ("recording = \"quirks/*\"\nseed = 3", "unknown field `seed`"),
        ("", "missing field `recording`"),
        ("recording = \"quirks/none\"", "no recording is called \"quirks/none\""),
        ("recording = \"quirks/[\"", "quirks/["),
        ("recording = \"quirks/*\"\nnetwork = \"brust\"", "burst"),
        ("recording = \"quirks/*\"\nrequirement = \"digest\"", "has no requirement \"digest\""),
    ];
    for (more, words) in mistakes {
        let error = read(&format!("{sound}{}", entry(more))).expect_err(more);
        assert!(error.contains(", deviation 2: ") && error.contains(words), "{error}");
    }
    let changed = [("2026-11-23", "2026-11-23T10:00:00", "date"), ("it is so", " ", "reason")];
    for (from, to, words) in changed {
        let error = read(&sound.replace(from, to)).expect_err(to);
        assert!(error.contains(", deviation 1: ") && error.contains(words), "{error}");
    }
    let error = read("[[deviations]]\ncase = \"x\"").expect_err("another table");
    assert!(error.contains("expected [[deviation]]"), "{error}");
    assert!(read("").is_ok());
}

#[test]
fn the_list_of_the_corpora_is_sound() {
    let manifest = Manifest::read(&corpora().join("manifest.toml")).expect("a manifest");
    let ids: Vec<&str> = manifest.entries.iter().map(|entry| &*entry.id).collect();
    Deviations::read(&corpora().join("deviations.toml"), &ids).expect("a sound list");
}
