//! Chromium with a false camera and microphone calls, and gets its own voice and picture
//! back.

use core::time::Duration;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;

use callrig_media::event::TransportEvent;
use callrig_media::stats::Inbound;
use serde_json::Value;

use super::echo::{Echo, Heard};
use super::page;

/// A browser that ends with the test.
struct Browser {
    child: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    fn open(url: &str) -> Self {
        let profile = tempfile::tempdir().expect("a place for its profile");
        let named = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
        let child = Command::new(&named)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"])
            .args(["--no-first-run", "--disable-background-networking"])
            .args(["--disable-component-update", "--disable-sync"])
            .args(["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"])
            .args(["--autoplay-policy=no-user-gesture-required"])
            .args(["--allow-loopback-in-peer-connection"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(url)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{named} cannot be started: {error}"));
        Self { child, _profile: profile }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a browser counted under one type and kind.
fn counted<'a>(stats: &'a Value, kind: &str, media: &str) -> &'a Value {
    let all = stats["stats"].as_array().expect("a list");
    let found = all.iter().find(|one| one["type"] == kind && one["kind"] == media);
    found.unwrap_or_else(|| panic!("no {kind} of {media} in {stats:#}"))
}

fn number(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap_or_default()
}

fn call() -> (Value, Heard) {
    let (address, postings) = page::serve();
    let _browser = Browser::open(&format!("http://localhost:{}/", address.port()));
    let offer = postings.recv_timeout(Duration::from_secs(60)).expect("it offers");
    assert_eq!(offer.path, "/offer", "{}", offer.body);
    let (echo, answer) = Echo::answer(&offer.body);
    offer.reply.send(answer).expect("it waits");
    let (stop, stopped) = channel();
    let talking = std::thread::spawn(move || echo.run(&stopped));
    let stats = postings.recv_timeout(Duration::from_secs(60)).expect("it counts");
    stats.reply.send(String::new()).expect("it waits");
    stop.send(()).expect("it talks");
    let heard = talking.join().expect("it talks to the end");
    let stats: Value = serde_json::from_str(&stats.body).expect("it is JSON");
    (stats, heard)
}

#[test]
#[ignore = "needs chromium: make interop-media"]
fn chromium_hears_and_sees_itself() {
    let (stats, heard) = call();
    assert_eq!(stats["state"], "connected", "{stats:#}\n{heard:#?}");
    let all = stats["stats"].as_array().expect("a list");
    let transport = all.iter().find(|one| one["type"] == "transport").expect("a transport");
    let [audio_in, video_in] = ["audio", "video"].map(|m| counted(&stats, "inbound-rtp", m));
    let [audio_out, video_out] = ["audio", "video"].map(|m| counted(&stats, "outbound-rtp", m));
    println!(
        "connected after {} ms here, {} ms there, first sound after {} ms; {}, {}",
        heard.connected_ms.unwrap_or_default(),
        stats["connected"],
        heard.first_sound_ms.unwrap_or_default(),
        transport["dtlsCipher"],
        transport["srtpCipher"],
    );
    for (name, value) in [
        ("sound out", audio_out),
        ("sound in", audio_in),
        ("video out", video_out),
        ("video in", video_in),
    ] {
        println!(
            "{name}: {} packets, {} lost, {} frames, {} NACKs, {} PLIs",
            number(value, "packetsSent") + number(value, "packetsReceived"),
            number(value, "packetsLost"),
            number(value, "framesEncoded") + number(value, "framesDecoded"),
            number(value, "nackCount"),
            number(value, "pliCount"),
        );
    }
    assert!(number(audio_in, "packetsReceived") > 300.0, "{audio_in:#}");
    assert!(number(audio_in, "totalAudioEnergy") > 0.0, "it is its own voice: {audio_in:#}");
    assert!(number(video_in, "framesDecoded") > 100.0, "{video_in:#}\n{heard:#?}");
    // Versions differ in how they write IANA's name of the profile.
    let cipher = transport["srtpCipher"].as_str().expect("it is encrypted");
    assert_eq!(cipher.trim_start_matches("SRTP_"), "AEAD_AES_128_GCM");
    let of = |video: bool| -> &Inbound {
        let found = heard.stats.inbound.iter().find(|stream| stream.codec.is_video() == video);
        found.expect("it sends both")
    };
    assert!(of(false).source.packets_received > 300);
    assert!(of(true).source.packets_received > 300 && heard.frames > 100);
    assert!(heard.key_frames > 0 && heard.sounds > 300);
    let connected = |event: &&TransportEvent| matches!(event, TransportEvent::Connected { .. });
    assert_eq!(heard.transport.iter().filter(connected).count(), 1);
}
