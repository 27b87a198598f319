//! callrig from outside: its library and its command.

mod app;
mod catalogue;
mod command_line;
mod corpus;
mod determinism;
mod deviations;
mod fleet;
mod gate;
mod load;
mod measures;
mod own_media;
mod serve;
mod stages;
mod traces;
mod tshark;
mod validate;
mod validate_service;
mod worlds_agree;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use callrig::subject::{About, Subject};
use callrig_corpora::manifest::Manifest;
use callrig_corpora::open_path;

/// The corpora of this checkout.
fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpora")
}

/// The recordings with these ids.
fn subjects(ids: &[&str]) -> Vec<Arc<Subject>> {
    let manifest = Manifest::read(&corpora().join("manifest.toml")).expect("it is in git");
    ids.iter()
        .flat_map(|id| {
            let entry = manifest.entry(id).unwrap_or_else(|| panic!("{id} is in the manifest"));
            let opened = open_path(&manifest.path_of(entry)).expect("recordings can be opened");
            let about = About {
                id: (*id).to_owned(),
                sha256: Some(entry.sha256),
                entry: Some(entry.clone()),
                ..About::default()
            };
            Subject::of(&opened, &about).expect("it can be played").into_iter().map(Arc::new)
        })
        .collect()
}
