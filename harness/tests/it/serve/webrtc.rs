//! People whose telephone speaks WebRTC: over the `webrtc` crate, between sockets.

use std::time::Duration;

use callrig::app::App;
use callrig::bots::samples;
use reqwest::Method;
use serde_json::{Value, json};

use super::apart::{OWN, employ};
use super::calls::loudest;
use super::meetings::{join, meeting, open};
use super::{ANN, Bot, PATIENCE, Rig, service_hosted};

const SPEECH: &str = "audio/opus-20ms-32k-mono-en.pcap";
const FILM: &str = "video/call-audio-video-screen.pcapng";

/// What a leg's phone counts of what comes in, on all lines of a kind.
fn counted(phone: &Value, kind: &str, what: &str) -> u64 {
    let inbound = phone["stats"]["inbound"].as_array().into_iter().flatten();
    let of_kind = inbound.filter(|stream| stream["kind"] == kind);
    of_kind.filter_map(|stream| stream.pointer(what)?.as_u64()).sum()
}

fn packets(phone: &Value, kind: &str) -> u64 {
    counted(phone, kind, "/packetsReceived")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_by_webrtc_hears_a_prompt_presses_keys_and_loses_packets() {
    let bot = Bot::start().await;
    let rig = Rig::start(&bot, "").await;
    rig.bring(SPEECH, "mine.pcap").await;
    let lossy = json!({ "network": "loss-5" });
    assert_eq!(rig.send(Method::PUT, "/rig/users/Ann/network", &lossy).await.0, 204);
    let how = json!({
        "user": "Ann", "listen": true, "play": "mine.pcap", "then": "repeat", "transport": "webrtc",
    });
    let (call, leg) = rig.ring(&how).await;
    bot.told_state("incoming").await;
    rig.act(&call, "answer", &service_hosted()).await;
    bot.told_state("established").await;
    rig.act(&call, "subscribeToTone", &json!({ "clientContext": "keys" })).await;
    let path = format!("/rig/legs/{leg}");
    rig.until(&path, "it is spoken", |value| value["phone"]["playing"] == "mine.pcap").await;
    let prompt = json!({ "prompts": [{
        "@odata.type": "#microsoft.graph.mediaPrompt",
        "mediaInfo": { "uri": format!("{}/prompt.wav", bot.base) },
    }]});
    rig.act(&call, "playPrompt", &prompt).await;
    bot.told("the prompt was played", |value| value["resourceData"]["status"] == "completed").await;
    let file = rig.client.get(format!("{}/rig/legs/{leg}/heard.wav", rig.base)).send().await;
    let file = file.expect("an answer").bytes().await.expect("a file");
    assert!(loudest(&file) > 1_000, "the prompt was heard on the phone");
    let pressed = rig.post(&format!("{path}/press"), &json!({ "keys": "5" })).await;
    assert_eq!(pressed.0, 202, "{}", pressed.1);
    bot.told("a key", |value| value["resourceData"]["toneInfo"]["tone"] == "tone5").await;
    let line = rig
        .until(&path, "some is lost on both ways", |value| {
            let lost = |way: &str| value["phone"]["network"][way]["lost"].as_u64() > Some(2);
            lost("outward") && lost("inward")
        })
        .await;
    assert_eq!(
        (&line["phone"]["transport"], &line["phone"]["unsent"]),
        (&json!("webrtc"), &json!(0))
    );
    let hung_up = rig.post(&format!("{path}/hangUp"), &json!({})).await;
    assert_eq!(hung_up.0, 204);
    bot.told_state("terminated").await;
    let over = rig.until(&path, "it is over", |value| value["phone"]["ended"] == true).await;
    assert!(packets(&over["phone"], "audio") > 40, "{over}");
    // Nothing of its connection stays.
    let address = over["phone"]["address"].as_str().expect("it had one").to_owned();
    assert_ne!(address, "0.0.0.0:9", "{over}");
    let free = async {
        while std::net::UdpSocket::bind(&address).is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, free).await.expect("its port is free again");
    assert_eq!(rig.running.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_calls_a_person_who_answers_by_habit_over_webrtc() {
    let bot = Bot::start().await;
    let rig = Rig::start(&bot, "").await;
    rig.bring(SPEECH, "mine.pcap").await;
    let habit = json!({ "onRing": "answer", "play": "mine.pcap", "transport": "webrtc" });
    let set = rig.send(Method::PUT, &format!("/rig/users/{ANN}/habit"), &habit).await;
    assert_eq!(set.0, 204, "{}", set.1);
    assert_eq!(rig.post("/v1.0/communications/calls", &bot.call_to(&[ANN])).await.0, 201);
    bot.told_state("established").await;
    let legs = rig.get("/rig/legs").await;
    let legs = legs["legs"].as_array().expect("legs");
    let leg = legs.iter().find(|leg| !leg["party"]["user"].is_null()).expect("Ann's");
    let path = format!("/rig/legs/{}", leg["id"].as_str().expect("an id"));
    let speaks = |value: &Value| value["phone"]["playing"] == "mine.pcap";
    let phone = rig.until(&path, "she speaks", speaks).await["phone"].clone();
    assert_eq!(phone["transport"], "webrtc");
    assert_eq!(rig.post(&format!("{path}/hangUp"), &json!({})).await.0, 204);
    bot.told_state("terminated").await;
    rig.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_by_webrtc_and_by_plain_rtp_hear_and_see_each_other_in_a_meeting() {
    let bot = Bot::start().await;
    let rig = open(&bot).await;
    rig.bring(FILM, "film.pcapng").await;
    let meeting = meeting(&rig, "everyone").await;
    let mut legs = Vec::new();
    for (user, transport) in [("Ann", "webrtc"), ("Bob", "rtp")] {
        let how = json!({
            "meeting": meeting["id"], "user": user, "transport": transport,
            "play": "film.pcapng", "then": "repeat", "listen": true,
        });
        legs.push((join(&rig, &how).await.0, transport));
    }
    for (leg, transport) in legs {
        let path = format!("/rig/legs/{leg}");
        // Who connects takes longer than who need not, and sees from the next key frame on.
        let sees = |value: &Value| {
            let phone = &value["phone"];
            packets(phone, "audio") > 50
                && counted(phone, "video", "/track/pictures/framesReceived") > 10
        };
        let line = rig.until(&path, "sound and pictures come", sees).await;
        assert_eq!(line["phone"]["transport"], transport);
        assert_eq!(line["phone"]["unsent"], 0, "{line}");
        let file = rig.client.get(format!("{}{path}/heard.wav", rig.base)).send().await;
        let file = file.expect("an answer").bytes().await.expect("a file");
        assert!(loudest(&file) > 500, "{transport} hears the other");
    }
    rig.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_recording_is_sent_over_the_same_connection() {
    let bot = Bot::start().await;
    let rig = Rig::start(&bot, "").await;
    // A recording with one source, and then one with another, of the same codec.
    rig.bring(SPEECH, "first.pcap").await;
    rig.bring("audio/opus-20ms-12k-mb-fr.pcap", "second.pcap").await;
    let how = json!({ "user": "Ann", "play": "first.pcap", "transport": "webrtc" });
    let (call, leg) = rig.ring(&how).await;
    bot.told_state("incoming").await;
    rig.act(&call, "answer", &service_hosted()).await;
    bot.told_state("established").await;
    let path = format!("/rig/legs/{leg}");
    rig.until(&path, "it is spoken", |value| value["phone"]["playing"] == "first.pcap").await;
    let play = rig.post(&format!("{path}/play"), &json!({ "play": "second.pcap" })).await;
    assert_eq!(play.0, 202, "{}", play.1);
    let plays = |value: &Value| value["phone"]["playing"] == "second.pcap";
    rig.until(&path, "the second is spoken", plays).await;
    let over = |value: &Value| value["phone"]["playing"].is_null();
    let line = rig.until(&path, "the second is over", over).await;
    assert_eq!(line["phone"]["unsent"], 0, "{line}");
    rig.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_of_the_sdk_echoes_g_711() {
    let other = Bot::start().await;
    let rig = Rig::start(&other, "[tokens]\nrequired = true").await;
    let settings = employ(&rig, "echo").await;
    let app = App::start(settings).await.expect("the bot starts");
    let sample = samples::find("echo").expect("it is there");
    let bot = tokio::spawn((sample.program)(app));
    rig.bring("audio/pcmu-20ms-en.pcap", "mine.pcap").await;
    for transport in ["rtp", "webrtc"] {
        let how = json!({
            "user": "Ann", "app": OWN, "play": "mine.pcap", "then": "repeat",
            "listen": true, "transport": transport,
        });
        let (_, leg) = rig.ring(&how).await;
        let path = format!("/rig/legs/{leg}");
        let hears = |value: &Value| value["phone"]["heardMs"].as_u64() > Some(1_500);
        let line = rig.until(&path, "she hears something", hears).await;
        let file = rig.client.get(format!("{}{path}/heard.wav", rig.base)).send().await;
        let file = file.expect("an answer").bytes().await.expect("a file");
        assert!(loudest(&file) > 1_000, "{transport}: {line}");
        assert_eq!(rig.post(&format!("{path}/hangUp"), &json!({})).await.0, 204);
    }
    bot.abort();
    rig.running.stop().await;
}
