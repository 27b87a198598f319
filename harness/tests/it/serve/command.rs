//! `callrig serve` as a process.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

fn callrig(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_callrig"));
    command.arg("serve").args(arguments).env_remove("CALLRIG_LOG");
    command
}

#[test]
fn the_default_settings_are_printed_and_can_be_used() {
    let printed = callrig(&["--print-config"]).output().expect("it runs");
    assert!(printed.status.success());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rig.toml");
    std::fs::write(&file, &printed.stdout).expect("it can be written");
    let file = file.to_string_lossy();
    let checked = callrig(&[&file, "--check"]).output().expect("it runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn settings_that_cannot_be_used_are_a_usage_error_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rig.toml");
    std::fs::write(&file, "[server]\nshard = 2\n").expect("it can be written");
    let ran = callrig(&[&file.to_string_lossy()]).output().expect("it runs");
    let error = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(2), "{error}");
    assert!(error.contains("rig.toml:2:1: server.shard: unknown field"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[cfg(unix)]
#[test]
fn it_says_where_it_listens_and_ends_when_it_is_told_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = folder.path().join("ca.pem");
    let ports = ["--listen", "127.0.0.1:0", "--listen-tls", "127.0.0.1:0"];
    let mut process = callrig(&ports)
        .args(["--log", "warn", "--write-ca"])
        .arg(&authority)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut out = BufReader::new(process.stdout.take().expect("it is piped"));
    let mut lines = String::new();
    for _ in 0..2 {
        out.read_line(&mut lines).expect("it says something");
    }
    assert!(lines.starts_with("listening on http://127.0.0.1:"), "{lines}");
    assert!(lines.contains("\nlistening on https://127.0.0.1:"), "{lines}");
    let pem = std::fs::read_to_string(&authority).expect("the authority is written first");
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----") && !pem.contains("KEY"));
    let id = process.id().to_string();
    let told = Command::new("kill").args(["-TERM", &id]).status().expect("there is kill");
    assert!(told.success());
    let status = process.wait().expect("it ends");
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("text");
    assert!(rest.contains("curl -X POST http://127.0.0.1:"), "{rest}");
    let mut errors = String::new();
    process.stderr.take().expect("it is piped").read_to_string(&mut errors).expect("text");
    assert!(status.success(), "{errors}");
}
