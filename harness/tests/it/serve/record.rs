//! `callrig corpus record`: a leg of a live call becomes a recording, whole or not at all.

use std::path::Path;
use std::process::{Command, Output};

use callrig_corpora::manifest::Manifest;
use callrig_corpora::{Opened, open_path};
use serde_json::json;

use super::{Bot, Rig, service_hosted};

const EMPTY: &str = "schema_version = 1\n";

fn record(corpora: &Path, rig: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_callrig"))
        .args(["corpus", "--corpora"])
        .arg(corpora)
        .args(["record", "--rig", rig])
        .args(arguments)
        .output()
        .expect("it runs")
}

/// What is in a folder, besides the manifest.
fn written(corpora: &Path) -> usize {
    std::fs::read_dir(corpora).expect("a folder").count() - 1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leg_of_a_live_call_is_recorded_decrypted_whole_or_not_at_all() {
    let bot = Bot::start().await;
    let rig = Rig::start(&bot, "").await;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("manifest.toml"), EMPTY).expect("it can be written");
    let (corpora, base) = (folder.path().to_owned(), rig.base.clone());
    let run = move |arguments: &'static [&'static str]| {
        let (corpora, base) = (corpora.clone(), base.clone());
        tokio::task::spawn_blocking(move || record(&corpora, &base, arguments))
    };
    let nobody = run(&["--id", "live/nobody"]).await.expect("it runs");
    assert_eq!(nobody.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("nobody is in a call"));

    rig.bring("audio/pcmu-20ms-en.pcap", "mine.pcap").await;
    let (call, _) = rig.ring(&json!({ "user": "Ann", "play": "mine.pcap" })).await;
    bot.told_state("incoming").await;
    rig.act(&call, "answer", &service_hosted()).await;
    bot.told_state("established").await;

    let too_long = run(&["--id", "live/ann", "--duration", "2h"]).await.expect("it runs");
    assert_eq!(too_long.status.code(), Some(1));
    assert_eq!(written(folder.path()), 0, "nothing is left of what failed");
    let ran = run(&["--id", "live/ann", "--duration", "1s", "--tag", "live", "--licence", "MIT"]);
    let ran = ran.await.expect("it runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));

    let manifest = Manifest::read(&folder.path().join("manifest.toml")).expect("it was written");
    assert_eq!(manifest.verify(), []);
    let entry = manifest.entry("live/ann").expect("it is there");
    assert!(entry.file.ends_with(".pcapng"), "{}", entry.file);
    let packets = entry.truth.packets.expect("packets are counted");
    assert!((30..=51).contains(&packets), "{packets}");
    assert_eq!(entry.flows.len(), 1, "only what the person sends");
    let opened = open_path(&manifest.path_of(entry)).expect("it can be opened");
    let Opened::Recording(recording) = opened else { panic!("it is a capture") };
    assert!(recording.flows.iter().all(|flow| flow.ssrc == entry.flows[0].ssrc));

    let again = run(&["--id", "live/ann", "--duration", "300ms"]).await.expect("it runs");
    assert_eq!(again.status.code(), Some(1), "the id is taken");
    let text = std::fs::read_to_string(folder.path().join("manifest.toml")).expect("it is there");
    assert_eq!(Manifest::parse(Path::new("x"), &text).expect("it is one").entries.len(), 1);
    rig.running.stop().await;
}
