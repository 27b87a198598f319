//! The recordings of the project: every one is as the manifest says.

use std::path::Path;

use callrig_corpora::Manifest;

#[test]
fn every_recording_is_as_the_manifest_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifest.toml");
    let manifest = Manifest::read(&path).expect("the manifest is valid");
    let mismatches = manifest.verify();
    for mismatch in &mismatches {
        println!("{mismatch}");
    }
    assert!(mismatches.is_empty(), "{} mismatches, see above", mismatches.len());
}
