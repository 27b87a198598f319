//! The command as people and CI meet it: exit codes, one clear line for each mistake, and
//! nothing half-written.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::corpora;

pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn callrig(folder: &Path, arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_callrig"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("CALLRIG_CORPORA")
        .output()
        .expect("the binary runs");
    ran(&output)
}

fn ran(output: &Output) -> Ran {
    Ran {
        code: output.status.code().expect("it was not killed"),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

pub(crate) fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// One line on standard error, which contains all of these.
pub(crate) fn says(ran: &Ran, parts: &[&str]) {
    assert_eq!(ran.err.trim_end().lines().count(), 1, "{}", ran.err);
    for part in parts {
        assert!(ran.err.contains(part), "{part:?} is not in {}", ran.err);
    }
}

/// A recording of the corpora, copied.
pub(crate) fn recording(to: &Path, id: &str) -> String {
    let from = corpora().join("recordings").join(id);
    let name = from.file_name().expect("a file").to_string_lossy().into_owned();
    fs::copy(&from, to.join(&name)).expect("recordings are in git");
    name
}

#[test]
fn a_capture_is_called_with_and_reported() {
    let folder = folder();
    let file = recording(folder.path(), "audio/opus-20ms-32k-mono-en.pcap");
    let ran = callrig(folder.path(), &["run", &file, "--out", "report"]);
    assert!(matches!(ran.code, 0 | 3), "{} {}", ran.code, ran.err);
    assert!(ran.out.contains("opus/48000"), "the flow is shown: {}", ran.out);
    for name in ["report.json", "report.html", "junit.xml", "summary.md"] {
        let written = fs::read(folder.path().join("report").join(name)).expect(name);
        assert!(!written.is_empty(), "{name}");
    }
    let left = fs::read_dir(folder.path().join("report")).expect("the folder").count();
    assert_eq!(left, 4, "nothing temporary stays");
}

#[test]
fn a_file_after_several_networks_is_a_file() {
    let folder = folder();
    let file = recording(folder.path(), "audio/pcmu-20ms-en.pcap");
    let ran = callrig(folder.path(), &["run", "--network", "clean", "wifi", &file]);
    assert!(matches!(ran.code, 0 | 3), "{} {}", ran.code, ran.err);
    assert!(folder.path().join("target/callrig/report.json").is_file());
}

#[test]
fn a_missing_file_is_named() {
    let folder = folder();
    let ran = callrig(folder.path(), &["run", "nowhere.pcap"]);
    assert_eq!(ran.code, 1);
    says(&ran, &["nowhere.pcap", "No such file"]);
}

#[test]
fn a_foreign_and_an_empty_file_are_refused_with_advice() {
    let folder = folder();
    fs::write(folder.path().join("song.mp3"), b"ID3\x04and more").expect("writable");
    let ran = callrig(folder.path(), &["run", "song.mp3"]);
    assert_eq!(ran.code, 1);
    says(&ran, &["song.mp3", "MP3", "ffmpeg"]);
    fs::write(folder.path().join("empty.pcap"), b"").expect("writable");
    let ran = callrig(folder.path(), &["run", "empty.pcap"]);
    assert_eq!(ran.code, 1);
    says(&ran, &["empty.pcap", "empty"]);
}

#[test]
fn a_truncated_capture_is_used_as_far_as_it_goes_and_says_so() {
    let folder = folder();
    let file = recording(folder.path(), "audio/pcmu-20ms-en.pcap");
    let path = folder.path().join(&file);
    let whole = fs::read(&path).expect("just copied");
    fs::write(&path, &whole[..whole.len() / 2 + 7]).expect("writable");
    let ran = callrig(folder.path(), &["run", &file, "--case", "calls"]);
    assert!(matches!(ran.code, 0 | 3), "{} {}", ran.code, ran.err);
    assert!(ran.out.contains("ends in the middle of a record"), "{}", ran.out);
}

#[test]
fn a_capture_without_media_says_what_would_help() {
    let folder = folder();
    // A pcap header and nothing else.
    let mut header = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
    header.extend([0; 8]);
    header.extend([0xff, 0xff, 0, 0, 1, 0, 0, 0]);
    fs::write(folder.path().join("silent.pcap"), header).expect("writable");
    let ran = callrig(folder.path(), &["run", "silent.pcap"]);
    assert_eq!(ran.code, 1);
    says(&ran, &["silent.pcap", "no RTP flow", "--payload"]);
}

#[test]
fn a_misspelt_network_is_a_usage_error_that_knows_better() {
    let ran = callrig(folder().path(), &["run", "--network", "los-5"]);
    assert_eq!(ran.code, 2);
    says(&ran, &["los-5", "did you mean \"loss-5\""]);
}

#[test]
fn an_unknown_option_and_a_broken_pattern_are_usage_errors() {
    assert_eq!(callrig(folder().path(), &["run", "--colour"]).code, 2);
    let ran = callrig(folder().path(), &["run", "--case", "a["]);
    assert_eq!(ran.code, 2);
    says(&ran, &["a["]);
}

#[test]
fn nothing_selected_is_a_failure_of_its_own() {
    let folder = folder();
    let file = recording(folder.path(), "audio/pcmu-20ms-en.pcap");
    let ran = callrig(folder.path(), &["run", &file, "--case", "no/such/case"]);
    assert_eq!(ran.code, 4);
    says(&ran, &["nothing ran", "no/such/case"]);
    assert!(!folder.path().join("target/callrig/report.json").exists());
}

#[test]
fn corpora_that_are_nowhere_say_how_to_find_them() {
    let ran = callrig(folder().path(), &["run"]);
    assert_eq!(ran.code, 1);
    says(&ran, &["corpora/manifest.toml", "--corpora", "CALLRIG_CORPORA"]);
}

#[test]
fn an_output_folder_that_cannot_be_is_found_out_before_the_work() {
    let folder = folder();
    let file = recording(folder.path(), "audio/pcmu-20ms-en.pcap");
    fs::write(folder.path().join("taken"), b"a file").expect("writable");
    let ran = callrig(folder.path(), &["run", &file, "--out", "taken"]);
    assert_eq!(ran.code, 1);
    says(&ran, &["taken", "--out"]);
}

/// A limit on the size of files stands for a full disk: both end a write halfway.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_what_was_there() {
    let folder = folder();
    let file = recording(folder.path(), "audio/pcmu-20ms-en.pcap");
    let out = folder.path().join("out");
    fs::create_dir(&out).expect("writable");
    fs::write(out.join("report.json"), b"what was there").expect("writable");
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" run \"$1\" --out out";
    let output = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_callrig"), &file])
        .current_dir(folder.path())
        .output()
        .expect("there is a shell");
    let ran = ran(&output);
    assert_eq!(ran.code, 1, "{}", ran.err);
    says(&ran, &["cannot write", "out", "nothing was changed"]);
    assert_eq!(fs::read(out.join("report.json")).expect("kept"), b"what was there");
    assert_eq!(fs::read_dir(&out).expect("the folder").count(), 1);
}

/// A device that has no room, and a disk that fills up below the traces.
#[cfg(target_os = "linux")]
#[test]
fn output_for_which_there_is_no_room_is_an_error_of_one_line() {
    let folder = folder();
    let file = recording(folder.path(), "audio/pcmu-20ms-en.pcap");
    let binary = env!("CARGO_BIN_EXE_callrig");
    for arguments in ["list", "corpus list", &format!("run {file} --case calls")] {
        let output = Command::new("sh")
            .args(["-c", &format!("exec \"$0\" {arguments} > /dev/full"), binary])
            .current_dir(folder.path())
            .env("CALLRIG_CORPORA", fs::canonicalize(corpora()).expect("it is in git"))
            .output()
            .expect("there is a shell");
        let ran = ran(&output);
        assert_eq!(ran.code, 1, "{arguments}: {}", ran.err);
        says(&ran, &["cannot write to standard output"]);
    }
    let script =
        "trap '' XFSZ; ulimit -f 256; exec \"$0\" run \"$1\" --trace --case calls --format json";
    let output = Command::new("sh")
        .args(["-c", script, binary, &file])
        .current_dir(folder.path())
        .output()
        .expect("there is a shell");
    let ran = ran(&output);
    assert_eq!(ran.code, 1, "{} {}", ran.out, ran.err);
    assert!(ran.out.contains("the trace cannot be kept"), "{}", ran.out);
    let traces = fs::read_dir(folder.path().join("target/callrig/traces")).expect("made");
    for entry in traces {
        let left = fs::read_dir(entry.expect("readable").path()).expect("a folder").count();
        assert_eq!(left, 0, "nothing half-written");
    }
}

/// Longer than what is read, and made of nothing: it takes no room on most disks.
#[test]
fn a_huge_file_is_refused_before_it_is_read() {
    let folder = folder();
    let file = fs::File::create(folder.path().join("huge.pcap")).expect("writable");
    if file.set_len(3 << 30).is_err() {
        println!("skipped: no file here may be 3 GiB long");
        return;
    }
    let ran = callrig(folder.path(), &["run", "huge.pcap"]);
    assert_eq!(ran.code, 1);
    says(&ran, &["huge.pcap", "3221225472", "2147483648"]);
}

#[test]
fn a_record_that_lies_about_its_length_ends_a_capture_and_nothing_else() {
    let folder = folder();
    let file = recording(folder.path(), "audio/pcmu-20ms-en.pcap");
    let path = folder.path().join(&file);
    let mut bytes = fs::read(&path).expect("just copied");
    // The captured length of the first record.
    bytes[32..36].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
    fs::write(&path, bytes).expect("writable");
    let ran = callrig(folder.path(), &["run", &file]);
    assert_eq!(ran.code, 1);
    says(&ran, &[&file, "no RTP flow"]);
}

#[test]
fn help_and_version_are_answers() {
    let ran = callrig(folder().path(), &["run", "--help"]);
    assert_eq!(ran.code, 0);
    for part in ["Examples:", "Exit codes:", "--network", "nothing ran"] {
        let known = ran.out.contains(part);
        assert!(known, "{part} is not in {}", ran.out);
    }
    assert_eq!(callrig(folder().path(), &["--version"]).code, 0);
}

#[test]
fn lists_are_json_where_asked() {
    let listed = callrig(folder().path(), &["list", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&listed.out).expect("JSON");
    assert!(value["networks"].as_array().is_some_and(|networks| networks.len() == 15));
    assert!(value["cases"][0]["title"].is_string());
    let listed = callrig(folder().path(), &["list", "--json", "--requirements"]);
    let value: serde_json::Value = serde_json::from_str(&listed.out).expect("JSON");
    assert!(value["requirements"][0]["source"].is_string());
    assert!(value["requirements"][0]["checks"].is_array());
    let corpora = corpora();
    let corpora = corpora.to_str().expect("the checkout has a name");
    let listed = callrig(folder().path(), &["corpus", "list", "--json", "--corpora", corpora]);
    let value: serde_json::Value = serde_json::from_str(&listed.out).expect("JSON");
    assert!(value["recordings"].as_array().is_some_and(|recordings| recordings.len() >= 40));
}
