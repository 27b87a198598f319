//! What this binary was built from, for the reports that it writes.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for file in ["../.git/HEAD", "../.git/index"] {
        if Path::new(file).exists() {
            println!("cargo::rerun-if-changed={file}");
        }
    }
    let commit = output("git", &["rev-parse", "HEAD"]);
    // A status that refreshes the index would be a change of it, and the next build a new one.
    let status = ["--no-optional-locks", "status", "--porcelain", "--untracked-files=no"];
    let changes = output("git", &status);
    set("CALLRIG_COMMIT", commit.filter(|commit| commit.len() == 40));
    set("CALLRIG_DIRTY", changes.map(|changes| (!changes.is_empty()).to_string()));
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    set("CALLRIG_RUSTC", output(&rustc, &["--version"]));
    set("CALLRIG_PROFILE", std::env::var("PROFILE").ok());
    println!("cargo::rerun-if-changed=../Cargo.lock");
    let lock = std::fs::read_to_string("../Cargo.lock").unwrap_or_default();
    set("CALLRIG_OPUS", locked(&lock, "opusic-sys"));
    set("CALLRIG_OPENH264", locked(&lock, "openh264-sys2"));
    set("CALLRIG_RUBATO", locked(&lock, "rubato"));
}

/// The version of a package in a lock file.
fn locked(lock: &str, package: &str) -> Option<String> {
    let (_, after) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    Some(after.split_once('"')?.0.to_owned())
}

/// What a command prints, if it can be run and succeeds.
fn output(command: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(command).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn set(name: &str, value: Option<String>) {
    if let Some(value) = value {
        println!("cargo::rustc-env={name}={value}");
    }
}
