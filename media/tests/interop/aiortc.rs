//! aiortc, a stack in Python on OpenSSL, libsrtp and libav, calls and gets its own sound and
//! picture back.

use core::time::Duration;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

use callrig_media::event::TransportEvent;
use serde_json::Value;

use super::echo::Echo;
use super::page;

#[test]
#[ignore = "needs Python with aiortc: make interop-media"]
fn aiortc_hears_and_sees_itself() {
    let (address, postings) = page::serve();
    let python = std::env::var("AIORTC_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/aiortc_peer.py");
    let mut child = Command::new(&python)
        .args([script, &format!("http://{address}")])
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{python} cannot be started: {error}"));
    let offer = postings.recv_timeout(Duration::from_secs(60)).expect("it offers");
    let (echo, answer) = Echo::answer(&offer.body);
    offer.reply.send(answer).expect("it waits");
    let (stop, stopped) = channel();
    let talking = std::thread::spawn(move || echo.run(&stopped));
    let stats = postings.recv_timeout(Duration::from_secs(60)).expect("it counts");
    stats.reply.send(String::new()).expect("it waits");
    stop.send(()).expect("it talks");
    let heard = talking.join().expect("it talks to the end");
    let _ = child.wait();
    let stats: Value = serde_json::from_str(&stats.body).expect("it is JSON");
    let profile = heard.transport.iter().find_map(|event| match event {
        TransportEvent::Connected { profile } => Some(profile.name()),
        _ => None,
    });
    println!(
        "aiortc: connected after {} ms, {}; {stats}; here {} sounds, {} frames",
        heard.connected_ms.unwrap_or_default(),
        profile.unwrap_or_default(),
        heard.sounds,
        heard.frames,
    );
    assert_eq!(stats["state"], "connected", "{:?}", heard.transport);
    let back = |kind: &str| stats["frames"][kind].as_u64().unwrap_or_default();
    assert!(back("audio") > 200, "{stats}");
    assert!(back("video") > 60, "{stats}");
    assert!(heard.sounds > 200 && heard.frames > 60 && heard.key_frames > 0);
}
