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

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use callrig::subject::{About, Subject};
use callrig_corpora::manifest::Manifest;
use callrig_corpora::open_path;

/// The corpora of this checkout.
fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpora")
}

/// An address of this machine that nobody has, for who has to be told it before it listens.
///
/// The system gives away the ports above these to whoever asks for any (`bind` to 0, or a
/// connection that goes out), so that one of those may be gone again when it is wanted.
fn free_address() -> SocketAddr {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes beside this one begin elsewhere.
    let begin = std::process::id().wrapping_mul(97);
    let of = |step: u16| {
        let offset = begin.wrapping_add(u32::from(step)) % u32::from(COUNT);
        SocketAddr::from((
            [127, 0, 0, 1],
            FIRST + u16::try_from(offset).expect("it is below COUNT"),
        ))
    };
    let mut tried = (0..COUNT).map(|_| of(NEXT.fetch_add(1, Ordering::Relaxed)));
    tried.find(|address| TcpListener::bind(address).is_ok()).expect("there are ports")
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
