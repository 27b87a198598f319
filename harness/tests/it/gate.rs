//! `callrig gate` as CI meets it: what is red, what is green, and that no sabotage is.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::command_line::{Ran, callrig, folder, recording, says};

/// A report of one small recording, as JSON.
fn report(folder: &Path) -> Value {
    let file = recording(folder, "audio/pcmu-20ms-en.pcap");
    let arguments = ["run", &file, "--out", "base", "--format", "json"];
    let ran = callrig(folder, &arguments);
    assert!(matches!(ran.code, 0 | 3), "{} {}", ran.code, ran.err);
    let text = fs::read_to_string(folder.join("base/report.json")).expect("a report");
    serde_json::from_str(&text).expect("JSON")
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).expect("there is room");
}

fn gate(folder: &Path, base: &str, candidate: &str) -> Ran {
    callrig(folder, &["gate", "--baseline", base, "--candidate", candidate])
}

/// Changes every value of a metric.
fn change(report: &Value, name: &str, by: f64) -> Value {
    let mut report = report.clone();
    let mut changed = 0;
    for result in report["results"].as_array_mut().expect("results") {
        for metric in result["metrics"].as_array_mut().expect("metrics") {
            if metric["name"] == name
                && let Some(value) = metric["value"].as_f64()
            {
                metric["value"] = (value + by).into();
                changed += 1;
            }
        }
    }
    assert!(changed > 0, "{name} was measured");
    report
}

#[test]
fn the_same_report_is_clear_and_a_worse_one_is_red() {
    let folder = folder();
    let base = report(folder.path());
    write(folder.path(), "same.json", &base.to_string());
    let ran = gate(folder.path(), "base/report.json", "same.json");
    assert_eq!(ran.code, 0, "{} {}", ran.out, ran.err);
    assert!(ran.out.contains("gate: clear"), "{}", ran.out);

    write(folder.path(), "worse.json", &change(&base, "mos", -0.1).to_string());
    let ran = gate(folder.path(), "base/report.json", "worse.json");
    assert_eq!(ran.code, 5, "{} {}", ran.out, ran.err);
    assert!(ran.out.contains("from: audio quality"), "{}", ran.out);

    let bounds = "[[bound]]\nmetric = \"mos\"\nabsolute = 0.2\nreason = \"revised\"\n";
    write(folder.path(), "gate.toml", bounds);
    let ran = gate(folder.path(), "base/report.json", "worse.json");
    assert_eq!(ran.code, 0, "a stated bound allows it: {}", ran.out);
}

#[test]
fn every_way_to_have_no_baseline_is_inconclusive() {
    let folder = folder();
    let base = report(folder.path());
    let whole = base.to_string();
    let other = |change: fn(&mut Value)| {
        let mut report = base.clone();
        change(&mut report);
        report.to_string()
    };
    let cases = [
        ("empty", String::new()),
        ("no JSON", "callrig".into()),
        ("truncated", whole[..whole.len() / 2].to_owned()),
        ("a number", "1e999".into()),
        ("deep", "[".repeat(100_000)),
        ("another schema", other(|r| r["schema_version"] = 99.into())),
        ("no schema", other(|r| drop(r.as_object_mut().map(|r| r.remove("schema_version"))))),
        ("an unknown key", other(|r| r["surprise"] = true.into())),
        ("totals that do not add up", other(|r| r["totals"]["pass"] = 1_000.into())),
        ("no results", other(|r| r["results"] = Value::Array(Vec::new()))),
        ("not text", "\u{0}\u{1}".repeat(100)),
    ];
    for (name, text) in cases {
        write(folder.path(), "bad.json", &text);
        for (base, candidate) in
            [("bad.json", "base/report.json"), ("base/report.json", "bad.json")]
        {
            let ran = gate(folder.path(), base, candidate);
            assert_eq!(ran.code, 6, "{name}: {} {}", ran.out, ran.err);
            assert!(ran.out.contains("inconclusive"), "{name}: {}", ran.out);
        }
    }
    fs::write(folder.path().join("bad.json"), [0xff, 0xfe, 0x00]).expect("there is room");
    assert_eq!(gate(folder.path(), "bad.json", "base/report.json").code, 6, "no UTF-8");
    assert_eq!(gate(folder.path(), "missing.json", "base/report.json").code, 6, "no file");
    assert_eq!(gate(folder.path(), ".", "base/report.json").code, 6, "a folder");
}

#[test]
fn what_cannot_be_understood_is_usage() {
    let folder = folder();
    let ran = callrig(folder.path(), &["gate"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    write(folder.path(), "a.json", "{}");
    for (text, part) in [
        ("tiem = 0.1", "line 1"),
        ("time = 0.1\ninstructions = \"x\"", "line 2"),
        ("time = -1", "time"),
        ("time = 0.5", "nothing could be called clear"),
        ("[[bound]]\nmetric = \"mos\"\nreason = \"x\"", "must state one of"),
        ("[[bound]]\nmetric = \"mos\"\nabsolute = 1\nreason = \" \"", "reason"),
    ] {
        write(folder.path(), "gate.toml", text);
        let ran = gate(folder.path(), "a.json", "a.json");
        assert_eq!(ran.code, 2, "{text}: {}", ran.err);
        says(&ran, &["gate.toml", part]);
    }
    let ran = callrig(folder.path(), &["gate", "--bounds", "none.toml", "--baseline", "a.json"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
}

#[test]
fn history_is_appended_and_shown_with_the_commit() {
    let folder = folder();
    let base = report(folder.path());
    for (commit, by) in [("a", 0.0), ("b", -0.1), ("c", -0.1)] {
        let mut report = change(&base, "mos", by);
        report["environment"]["commit"] = commit.repeat(40).into();
        write(folder.path(), "now.json", &report.to_string());
        let arguments = [
            "gate",
            "--baseline",
            "base/report.json",
            "--candidate",
            "now.json",
            "--history",
            "history.jsonl",
            "--out",
            "gate",
        ];
        let ran = callrig(folder.path(), &arguments);
        assert_eq!(ran.code, if commit == "a" { 0 } else { 5 }, "{}", ran.out);
    }
    let ran = callrig(folder.path(), &["report", "history.jsonl", "--metric", "mos*"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains(&"b".repeat(40)), "{}", ran.out);
    assert!(!ran.out.contains(&"c".repeat(40)), "nothing changed there: {}", ran.out);
    for name in ["gate.json", "gate.md", "gate-junit.xml"] {
        assert!(folder.path().join("gate").join(name).is_file(), "{name}");
    }
    write(folder.path(), "empty.jsonl", "no line of ours\n");
    assert_eq!(callrig(folder.path(), &["report", "empty.jsonl"]).code, 4);
}

/// Processes that pretend to be another build: what each does after it was started.
#[cfg(unix)]
const PRETENDERS: &[(&str, &str)] = &[
    ("says nothing and ends", "exit 0"),
    ("fails", "exit 7"),
    ("is not a program", "\u{1}"),
    ("echoes", "exec cat"),
    ("says what is no JSON", "echo hello; exec cat"),
    ("says a line without an end", "head -c 1000000 /dev/zero | tr '\\0' x; exec sleep 5"),
    ("speaks another version", "echo \"$HELLO\" | sed s/1,/9,/; exec sleep 5"),
    ("has no stages", "echo \"$HELLO\" | sed 's/\\[.*\\]/[]/'; exec cat > /dev/null"),
    ("ends in the middle", "echo \"$HELLO\"; read l; exit 0"),
    (
        "refuses",
        "echo \"$HELLO\"; while read l; do echo '{\"is\":\"refused\",\"why\":\"no\"}'; done",
    ),
    (
        "stands still",
        "echo \"$HELLO\"; while read l; do echo '{\"is\":\"took\",\"nanos\":0}'; done",
    ),
    (
        "never varies",
        "echo \"$HELLO\"; while read l; do echo '{\"is\":\"took\",\"nanos\":9}'; done",
    ),
    (
        "claims years",
        "echo \"$HELLO\"; while read l; do echo '{\"is\":\"took\",\"nanos\":99999999999999}'; done",
    ),
    ("goes back", "echo \"$HELLO\"; while read l; do echo '{\"is\":\"took\",\"nanos\":-5}'; done"),
    (
        "answers another question",
        "echo \"$HELLO\"; while read l; do echo '{\"is\":\"held\",\"before\":1,\"after\":1}'; done",
    ),
];

#[cfg(unix)]
fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("ours");
}

#[cfg(unix)]
#[test]
fn no_pretended_base_is_green() {
    let folder = folder();
    let hello = r#"{"is":"hello","protocol":1,"environment":{"commit":null,"dirty":null,"rustc":null,"profile":null,"os":null,"cpu_model":null,"cores":null,"codec_versions":{}},"stages":["rtp/parse"]}"#;
    for (name, does) in PRETENDERS {
        let path = folder.path().join("base.sh");
        let script = format!("#!/bin/sh\nHELLO='{hello}'\n{does}\n");
        let _ = fs::remove_file(&path);
        write(folder.path(), "base.sh", if does.len() > 1 { &script } else { does });
        make_executable(&path);
        let arguments = ["gate", "--base", "./base.sh", "--tier", "time", "--stage", "rtp/parse"];
        let ran = callrig(folder.path(), &arguments);
        assert_eq!(ran.code, 6, "{name}: {} {}", ran.out, ran.err);
    }
    let arguments = ["gate", "--base", "./none", "--tier", "time,memory", "--stage", "rtp/parse"];
    assert_eq!(callrig(folder.path(), &arguments).code, 6);
    let arguments = ["gate", "--base", "./none", "--stage", "rtp/prase"];
    let ran = callrig(folder.path(), &arguments);
    assert_eq!(ran.code, 2, "{}", ran.err);
    says(&ran, &["rtp/prase", "rtp/parse"]);
}

/// As many links of this build as the rule needs, and something among them that is none.
#[cfg(unix)]
#[test]
fn links_that_are_too_few_or_of_another_build_are_not_green() {
    use std::os::unix::fs::symlink;
    let folder = folder();
    let base = env!("CARGO_BIN_EXE_callrig");
    for side in ["old", "new", "few"] {
        fs::create_dir(folder.path().join(side)).expect("there is room");
        for number in 10..if side == "few" { 21 } else { 22 } {
            symlink(base, folder.path().join(side).join(number.to_string())).expect("it can");
        }
    }
    let gate = |old: &str, new: &str| {
        let mut words = vec!["gate", "--base", base, "--layouts", old, new];
        words.extend(["--tier", "time", "--stage", "rtp/parse"]);
        callrig(folder.path(), &words)
    };
    let sound = gate("old", "new");
    assert!(matches!(sound.code, 0 | 6), "{} {}", sound.out, sound.err);
    assert!(sound.out.contains("time rtp/parse"), "{}", sound.out);
    for (old, new) in [("few", "new"), ("old", "few"), ("old", "none")] {
        let ran = gate(old, new);
        assert_eq!(ran.code, 2, "{old} {new}: {}", ran.err);
        says(&ran, &[if new == "none" { "none" } else { "few holds 11 links, 12 are needed" }]);
    }
    // The second replica takes the first link.
    let link = folder.path().join("new/10");
    for (another, says) in [("exit 0", "ended"), ("exec", "another build")] {
        fs::remove_file(&link).expect("it was there");
        let script = match another {
            "exec" => format!("#!/bin/sh\n{base} worker | sed -u 's/\"rustc\":\"/&not /'\n"),
            other => format!("#!/bin/sh\n{other}\n"),
        };
        write(folder.path(), "new/10", &script);
        make_executable(&link);
        let ran = gate("old", "new");
        assert_eq!(ran.code, 6, "{another}: {} {}", ran.out, ran.err);
        assert!(ran.out.contains(says), "{another}: {}", ran.out);
    }
}

#[test]
fn this_build_against_itself_is_not_red() {
    let folder = folder();
    let base = env!("CARGO_BIN_EXE_callrig");
    let arguments = ["gate", "--base", base, "--tier", "time,memory", "--stage", "rtp/parse"];
    let ran = callrig(folder.path(), &arguments);
    // On a machine that does other things the canary may be missed; red it is never.
    assert!(matches!(ran.code, 0 | 6), "{} {}", ran.out, ran.err);
    assert!(ran.out.contains("time rtp/parse") || ran.out.contains("doubt"), "{}", ran.out);
}
