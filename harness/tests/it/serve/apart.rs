//! A bot of the SDK in a meeting: it hears who speaks by name, each speaker apart, over the
//! `webrtc` crate.

use std::collections::BTreeMap;
use std::time::Duration;

use callrig::app::media::{Lines, Media, SpeakerSocket, Status, StatusSocket};
use callrig::app::{App, Settings};
use callrig_signaling::bot::Join;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::meetings::{allow, join};
use super::{ANN, Bot, PATIENCE, Rig};

pub(super) const OWN: &str = "11111111-1111-4111-8111-111111111112";

/// Says of every speaker that is heard loudly on a line who it is.
async fn listen(line: usize, mut socket: SpeakerSocket, said: mpsc::Sender<(usize, u32)>) {
    while let Some(spoken) = socket.receive().await {
        if let Some(source) = spoken.source.filter(|_| spoken.audio.level().minus_dbov() < 40) {
            let _ = said.send((line, source)).await;
        }
    }
}

/// Says who is told to speak.
async fn watch(mut status: StatusSocket, said: mpsc::Sender<(usize, u32)>) {
    while let Some(status) = status.next().await {
        if let Status::Speaker { source } = status {
            let _ = said.send((0, source)).await;
        }
    }
}

/// A bot of the SDK is known to a server; how it is to be started.
pub(super) async fn employ(rig: &Rig, name: &str) -> Settings {
    let listen = crate::free_address();
    let webhook = format!("http://{listen}/api/calls");
    let app = json!({ "name": name, "secret": "hush", "webhook": webhook });
    let put = rig.send(reqwest::Method::PUT, &format!("/rig/apps/{OWN}"), &app).await;
    assert!((200..300).contains(&put.0), "{}", put.1);
    allow(rig, OWN).await;
    Settings { listen, ..Settings::new(OWN, "hush").at(&rig.base) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_of_the_sdk_knows_who_speaks_and_hears_everybody_apart() {
    let other = Bot::start().await;
    let rig = Rig::start(&other, "[tokens]\nrequired = true").await;
    let settings = employ(&rig, "listener").await;
    rig.bring("audio/opus-20ms-32k-mono-en.pcap", "mine.pcap").await;

    let app = App::start(settings).await.expect("the bot starts");
    let token = rig.token(OWN, "hush").await;
    let asked = json!({ "subject": "us", "lobbyBypassSettings": { "scope": "everyone" } });
    let url = format!("{}/v1.0/users/{ANN}/onlineMeetings", rig.base);
    let made = rig.client.post(url).bearer_auth(&token).json(&asked).send().await;
    let made: Value = made.expect("an answer").json().await.expect("JSON");
    let link = made["joinWebUrl"].as_str().unwrap_or_else(|| panic!("{made}"));
    let lines = Lines { speakers: 2, ..Lines::SOUND };
    let joining = app.line().join_with(Join::from_link(link).expect("it is one"), lines);
    let (call, media) = joining.await.expect("it joins");
    let mut sources: BTreeMap<u32, &str> = BTreeMap::new();
    for who in ["Ann", "Bob"] {
        join(&rig, &json!({ "meeting": made["id"], "user": who, "play": "mine.pcap" })).await;
    }
    let participants = format!("/v1.0/communications/calls/{}/participants", call.id());
    let told = rig.client.get(format!("{}{participants}", rig.base)).bearer_auth(token);
    let told: Value = told.send().await.expect("an answer").json().await.expect("JSON");
    for person in told["value"].as_array().expect("a list") {
        let name = match person["info"]["identity"]["user"]["displayName"].as_str() {
            Some("Ann") => "Ann",
            Some("Bob") => "Bob",
            _ => continue,
        };
        let id = person["mediaStreams"][0]["sourceId"].as_str().expect("it has one");
        sources.insert(id.parse().expect("a number"), name);
    }
    assert_eq!(sources.len(), 2, "{told}");

    let Media { speakers, status, .. } = media;
    let (said, mut heard) = mpsc::channel(1_000);
    for (speaker, line) in speakers.into_iter().zip(1..) {
        tokio::spawn(listen(line, speaker, said.clone()));
    }
    tokio::spawn(watch(status, said));
    let mut lines: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    let both = async {
        // Somebody on each line, and somebody who is told to speak.
        while lines.len() < 3 {
            let (line, source) = heard.recv().await.expect("the sockets are open");
            let name = sources.get(&source).unwrap_or_else(|| panic!("{source} is nobody"));
            let names = lines.entry(line).or_default();
            if !names.contains(name) {
                names.push(name);
            }
        }
    };
    tokio::time::timeout(PATIENCE, both).await.unwrap_or_else(|_| panic!("heard: {lines:?}"));
    assert_ne!(lines[&1], lines[&2], "each speaker has a line");
    call.hang_up().await.expect("it is there");
    tokio::time::sleep(Duration::from_millis(100)).await;
    rig.running.stop().await;
}
