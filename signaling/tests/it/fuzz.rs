//! The fuzz targets' seeds, and what was found with them, replayed: each file goes through
//! the very function that its target calls, as it is and with a few bytes changed.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../fuzz/src/lib.rs"]
#[allow(unreachable_pub, reason = "public to the fuzz targets")]
mod exercises;

/// How often each seed is changed.
const CHANGES: u64 = 64;

fn seeds(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.expect("it was listed").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{folder:?} has no seeds");
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).expect("it was listed");
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

/// Runs an exercise; says which input it was that broke a law.
fn exercise(path: &Path, change: u64, run: exercises::Exercise, input: &[u8]) {
    let outcome = std::panic::catch_unwind(|| run(input));
    assert!(outcome.is_ok(), "{}, change {change}: {input:02x?}", path.display());
}

/// A few bytes overwritten, taken out or put in; the same ones every time.
fn changed(seed: &[u8], number: u64) -> Vec<u8> {
    let mut state = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (state >> 33) as usize % below.max(1)
    };
    let mut bytes = seed.to_vec();
    for _ in 0..=random(4) {
        let at = random(bytes.len() + 1);
        match random(4) {
            0 => bytes.insert(at, random(256) as u8),
            1 => bytes.truncate(at),
            _ if at == bytes.len() => {}
            2 => bytes[at] = random(256) as u8,
            _ => bytes[at] ^= 1 << random(8),
        }
    }
    bytes
}

#[test]
fn every_seed_keeps_the_laws_as_it_is_and_a_little_changed() {
    for (name, run) in exercises::ALL {
        for (path, seed) in seeds(name) {
            exercise(&path, 0, *run, &seed);
            for number in 1..=CHANGES {
                exercise(&path, number, *run, &changed(&seed, number));
            }
        }
    }
}

#[test]
fn each_exercise_has_a_target() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml");
    let manifest = fs::read_to_string(manifest).expect("it is in git");
    for (name, _) in exercises::ALL {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
        let source = fs::read_to_string(target.join(format!("{name}.rs"))).expect(name);
        assert!(source.contains("callrig_signaling_fuzz::"), "{name} calls nothing of ours");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not built");
    }
}
