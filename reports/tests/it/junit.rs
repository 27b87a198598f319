//! The JUnit file is valid, and keeps failure apart from error.

use std::process::Command;

use callrig_reports::render::junit;
use callrig_reports::report::{CaseResult, Report};
use callrig_reports::{Level, Requirement, Verdict};

use crate::sample;

#[test]
fn failures_errors_warnings_and_skips_are_kept_apart() {
    let report = sample::sample();
    let xml = junit::render(&report);
    let totals = report.totals;
    let root = xml.split("<testsuites ").nth(1).and_then(|rest| rest.split('>').next());
    let root = root.expect("there is a root");
    assert!(root.contains(&format!("tests=\"{}\"", totals.all())), "{root}");
    assert!(root.contains(&format!("failures=\"{}\"", totals.fail)), "{root}");
    assert!(root.contains(&format!("errors=\"{}\"", totals.error)), "{root}");
    assert_eq!(xml.matches("<failure").count() as u64, totals.fail);
    assert_eq!(xml.matches("<error").count() as u64, totals.error);
    assert_eq!(xml.matches("<skipped").count() as u64, totals.unsupported);
    assert_eq!(xml.matches("<system-out").count() as u64, totals.warn);
}

#[test]
fn a_failure_says_what_was_asked_for_and_what_was_seen() {
    let requirement = Requirement {
        id: "rtp/marker".into(),
        level: Level::Must,
        citation: "RFC 3551 section 4.1".into(),
        sentence: "The first packet of a talkspurt has the marker bit.".into(),
    };
    let findings = vec![requirement.broken("marker 1", "marker 0").with_evidence(["seq 7"])];
    let mut report = Report::new("0.1.0", "", 1);
    report.results.push(CaseResult::judged("rtp/talkspurt", findings));
    assert_eq!(report.results[0].verdict, Verdict::Fail);
    let xml = junit::render(&report.finish());
    for words in [
        "<failure message=\"The first packet of a talkspurt has the marker bit.\" type=\"rtp/marker\">",
        "RFC 3551 section 4.1",
        "expected: marker 1",
        "actual:   marker 0",
        "seq 7",
        "classname=\"rtp.talkspurt\"",
    ] {
        assert!(xml.contains(words), "{words} is not in {xml}");
    }
}

#[test]
fn the_file_is_valid_against_the_usual_schema() {
    if Command::new("xmllint").arg("--version").output().is_err() {
        println!("skipped: xmllint is not installed");
        return;
    }
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join("junit-valid.xml");
    std::fs::write(&file, junit::render(&sample::sample())).expect("the folder can be written to");
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/junit.xsd");
    let judged = Command::new("xmllint")
        .args(["--noout", "--nonet", "--schema", schema])
        .arg(&file)
        .output()
        .expect("xmllint was there a moment ago");
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));
}
