//! `callrig corpus` from outside: what is taken in is listed, verified, run, and told when
//! it is no longer what it was.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::command_line::{callrig, folder, recording, says};

#[test]
fn a_file_is_taken_in_listed_verified_and_run() {
    let folder = folder();
    let here = folder.path();
    let file = recording(here, "audio/pcmu-20ms-en.pcap");
    fs::create_dir(here.join("corpora")).expect("writable");
    fs::write(here.join("corpora/manifest.toml"), "schema_version = 1\n").expect("writable");
    let ran = callrig(here, &["corpus", "import", &file, "--id", "audio/mine", "--licence", "MIT"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let listed = callrig(here, &["corpus", "list", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&listed.out).expect("JSON");
    assert_eq!(value["recordings"][0]["id"], "audio/mine");
    assert_eq!(value["recordings"][0]["licence"], "MIT");
    let ran = callrig(here, &["corpus", "verify"]);
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert!(ran.out.contains("1 recordings are what the manifest says"), "{}", ran.out);
    let ran = callrig(here, &["run", "--network", "clean", "--case", "calls"]);
    assert_eq!(ran.code, 0, "{} {}", ran.out, ran.err);

    let again = callrig(here, &["corpus", "import", &file, "--id", "audio/mine"]);
    assert_eq!(again.code, 1);
    says(&again, &["audio/mine"]);

    let path = here.join("corpora/recordings/audio/mine.pcap");
    let mut bytes = fs::read(&path).expect("it was copied");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, bytes).expect("writable");
    let ran = callrig(here, &["corpus", "verify"]);
    assert_eq!(ran.code, 3);
    assert!(ran.out.contains("audio/mine"), "{}", ran.out);
    let ran = callrig(here, &["run", "--network", "clean"]);
    assert_eq!(ran.code, 1);
    says(&ran, &["mine.pcap", "is not the file that the manifest describes", "corpus verify"]);
}

#[test]
fn what_cannot_be_taken_in_changes_nothing() {
    let folder = folder();
    let here = folder.path();
    let empty = "schema_version = 1\n";
    fs::create_dir(here.join("corpora")).expect("writable");
    fs::write(here.join("corpora/manifest.toml"), empty).expect("writable");
    fs::write(here.join("noise.bin"), [7; 4_096]).expect("writable");
    let file = recording(here, "audio/pcmu-20ms-en.pcap");
    for (arguments, words) in [
        (&["corpus", "import", "nowhere.pcap"][..], "nowhere.pcap"),
        (&["corpus", "import", "noise.bin"], "noise.bin"),
        (&["corpus", "import", &file, "--id", "../outside"], "../outside"),
    ] {
        let ran = callrig(here, arguments);
        assert_eq!(ran.code, 1, "{arguments:?}");
        says(&ran, &[words]);
    }
    let manifest = fs::read_to_string(here.join("corpora/manifest.toml"));
    assert_eq!(manifest.expect("still there"), empty);
    assert!(!here.join("corpora/recordings").exists());
}

#[test]
fn a_manifest_that_cannot_be_read_says_where() {
    let folder = folder();
    let here = folder.path();
    fs::create_dir(here.join("corpora")).expect("writable");
    fs::write(here.join("corpora/manifest.toml"), "schema_version = 1\n[[recording]]\nid = 7\n")
        .expect("writable");
    for arguments in [&["corpus", "list"][..], &["corpus", "verify"], &["run"]] {
        let ran = callrig(here, arguments);
        assert_eq!(ran.code, 1, "{arguments:?}");
        says(&ran, &["manifest.toml", "id"]);
    }
}

/// Recordings that are written byte by byte, without an encoder or a sender, are the same
/// bytes each time: the recipes that are kept are those that were used.
#[test]
fn what_was_written_by_a_recipe_is_made_again_to_the_byte() {
    let python = Command::new("python3").args(["-c", "import tomllib"]).status();
    if !python.is_ok_and(|status| status.success()) {
        eprintln!("skipped: there is no Python 3.11 or later, which the recipes are written in");
        return;
    }
    let folder = folder();
    let here = folder.path();
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpora");
    let theirs = here.join("corpora");
    for inside in ["recipes", "recipes/kit"] {
        fs::create_dir_all(theirs.join(inside)).expect("writable");
        for entry in fs::read_dir(ours.join(inside)).expect("it is there") {
            let path = entry.expect("it can be read").path();
            if path.is_file() {
                let name = path.file_name().expect("it is a file");
                fs::copy(&path, theirs.join(inside).join(name)).expect("writable");
            }
        }
    }
    let manifest = theirs.join("manifest.toml");
    fs::copy(ours.join("manifest.toml"), &manifest).expect("writable");
    let ids =
        ["hostile/truncated-headers", "hostile/replays", "hostile/file-cut", "hostile/lower-*"];
    let ran = callrig(here, &[&["corpus", "make"][..], &ids].concat());
    assert_eq!(ran.code, 0, "{} {}", ran.out, ran.err);
    let mut made = 0;
    for entry in fs::read_dir(theirs.join("recordings/hostile")).expect("they were made") {
        let path = entry.expect("it can be read").path();
        let name = path.file_name().expect("it is a file");
        let kept = ours.join("recordings/hostile").join(name);
        assert_eq!(fs::read(&path).ok(), fs::read(kept).ok(), "{}", path.display());
        made += 1;
    }
    assert_eq!(made, 4);
    let text = |folder: &Path| fs::read_to_string(folder.join("manifest.toml")).expect("text");
    assert_eq!(text(&theirs), text(&ours));

    let ran = callrig(here, &["corpus", "make", "hostile/nobody"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("no recipe is called 'hostile/nobody'"), "{}", ran.err);
}
