//! Whole calls, with real media between the platform and people's phones.

use std::time::Duration;

use serde_json::json;

use super::{ANN, Bot, Rig, TENANT, service_hosted};

/// Loudest sample of a WAV file.
pub(super) fn loudest(file: &[u8]) -> u16 {
    let samples = file.get(44..).unwrap_or_default().chunks_exact(2);
    samples.map(|two| i16::from_le_bytes([two[0], two[1]]).unsigned_abs()).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_answers_plays_a_prompt_hears_keys_and_hangs_up() {
    let bot = Bot::start().await;
    let rig = Rig::start(&bot, "").await;
    let (call, leg) = rig.ring(&json!({ "user": "Ann", "listen": true })).await;
    let incoming = bot.told_state("incoming").await;
    assert_eq!(incoming["resourceUrl"], format!("/communications/calls/{call}"));
    rig.act(&call, "answer", &service_hosted()).await;
    bot.told_state("established").await;
    rig.act(&call, "subscribeToTone", &json!({ "clientContext": "keys" })).await;
    let prompt = json!({ "prompts": [{
        "@odata.type": "#microsoft.graph.mediaPrompt",
        "mediaInfo": { "uri": format!("{}/prompt.wav", bot.base) },
    }]});
    rig.act(&call, "playPrompt", &prompt).await;
    bot.told("the prompt was played", |value| {
        let data = &value["resourceData"];
        data["@odata.type"] == "#microsoft.graph.playPromptOperation"
            && data["status"] == "completed"
    })
    .await;
    let file = rig.client.get(format!("{}/rig/legs/{leg}/heard.wav", rig.base)).send().await;
    let file = file.expect("an answer").bytes().await.expect("a file");
    assert!(loudest(&file) > 1_000, "the prompt was heard on the phone");
    let (status, refusal) =
        rig.post(&format!("/rig/legs/{leg}/press"), &json!({ "keys": "5" })).await;
    assert_eq!(status, 202, "{refusal}");
    bot.told("a key", |value| value["resourceData"]["toneInfo"]["tone"] == "tone5").await;
    let path = format!("/v1.0/communications/calls/{call}");
    assert_eq!(rig.send(reqwest::Method::DELETE, &path, &json!({})).await.0, 204);
    bot.told("the end", |value| {
        value["changeType"] == "deleted" && value["resourceData"]["state"] == "terminated"
    })
    .await;
    let path = format!("/rig/legs/{leg}");
    let one = rig.until(&path, "the phone's call is over", |value| value["phone"]["ended"] == true);
    let phone = one.await["phone"].clone();
    assert!(phone["stats"]["rtpReceived"].as_u64() > Some(40), "{phone}");
    assert_eq!(rig.get("/rig/calls").await, json!([]));
    assert_eq!(rig.running.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_speaks_a_recording_and_hangs_up_after_it() {
    let bot = Bot::start().await;
    let rig = Rig::start(&bot, "").await;
    rig.bring("audio/opus-20ms-32k-mono-en.pcap", "mine.pcap").await;
    let how = json!({ "play": "mine.pcap", "then": "hangUp" });
    let (call, leg) = rig.ring(&how).await;
    bot.told_state("incoming").await;
    rig.act(&call, "answer", &service_hosted()).await;
    bot.told_state("established").await;
    let path = format!("/rig/legs/{leg}");
    rig.until(&path, "it is spoken", |value| value["phone"]["playing"] == "mine.pcap").await;
    let ended = bot.told("the end", |value| value["resourceData"]["state"] == "terminated").await;
    assert_eq!(ended["changeType"], "deleted");
    rig.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_calls_a_person_who_answers_by_habit_and_one_who_declines() {
    let bot = Bot::start().await;
    let rig = Rig::start(&bot, "").await;
    let habit = format!("/rig/users/{ANN}/habit");
    let (status, _) =
        rig.send(reqwest::Method::PUT, &habit, &json!({ "onRing": "answer", "afterMs": 50 })).await;
    assert_eq!(status, 204);
    let (status, _) = rig
        .send(reqwest::Method::PUT, "/rig/users/Bob/habit", &json!({ "onRing": "decline" }))
        .await;
    assert_eq!(status, 204);
    let body = |user: &str| {
        json!({
            "@odata.type": "#microsoft.graph.call",
            "callbackUri": format!("{}/api/calls", bot.base),
            "requestedModalities": ["audio"],
            "mediaConfig": { "@odata.type": "#microsoft.graph.serviceHostedMediaConfig" },
            "tenantId": TENANT,
            "targets": [{
                "@odata.type": "#microsoft.graph.invitationParticipantInfo",
                "identity": { "user": { "id": user } },
            }],
        })
    };
    let (status, call) = rig.post("/v1.0/communications/calls", &body(ANN)).await;
    assert_eq!(status, 201, "{call}");
    bot.told_state("established").await;
    let legs = rig.get("/rig/legs").await;
    let leg =
        legs["legs"].as_array().expect("legs").iter().find(|leg| !leg["party"]["user"].is_null());
    let leg = leg.expect("Ann's")["id"].as_str().expect("an id").to_owned();
    assert_eq!(rig.post(&format!("/rig/legs/{leg}/hangUp"), &json!({})).await.0, 204);
    bot.told_state("terminated").await;
    let (status, call) =
        rig.post("/v1.0/communications/calls", &body("22222222-2222-4222-8222-222222222223")).await;
    assert_eq!(status, 201, "{call}");
    let ended = bot.told_state("terminated").await;
    assert!(ended["resourceData"]["resultInfo"]["code"].as_u64() >= Some(400), "{ended}");
    rig.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_a_bot_rings_until_somebody_at_the_controls_answers() {
    let bot = Bot::start().await;
    let rig = Rig::start(&bot, "").await;
    assert_eq!(rig.post("/beta/app/calls", &bot.call_to(&[ANN])).await.0, 201);
    let rings =
        rig.until("/rig/legs", "it rings", |value| value["ringing"][0]["user"] == ANN).await;
    let leg = rings["ringing"][0]["leg"].as_str().expect("a leg").to_owned();
    assert_eq!(rig.post(&format!("/rig/legs/{leg}/answer"), &json!({})).await.0, 202);
    bot.told_state("established").await;
    let again = rig.post(&format!("/rig/legs/{leg}/answer"), &json!({})).await;
    assert_eq!(again.0, 409, "{}", again.1);
    rig.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_on_any_network_and_changes_it_in_mid_call() {
    let bot = Bot::start().await;
    let rig = Rig::start(&bot, "").await;
    let network = |name: &str| {
        let body = json!({ "network": name });
        let rig = &rig;
        async move { rig.send(reqwest::Method::PUT, "/rig/users/Ann/network", &body).await }
    };
    let (status, refusal) = network("loss-6").await;
    assert_eq!(status, 400);
    assert!(refusal.to_string().contains("did you mean"), "{refusal}");
    assert_eq!(network("loss-5").await.0, 204);
    rig.bring("audio/opus-20ms-32k-mono-en.pcap", "mine.pcap").await;
    let (call, leg) = rig.ring(&json!({ "user": "Ann", "play": "mine.pcap" })).await;
    bot.told_state("incoming").await;
    rig.act(&call, "answer", &service_hosted()).await;
    bot.told_state("established").await;
    let path = format!("/rig/legs/{leg}");
    let count = |value: &serde_json::Value, of: &str| {
        value["phone"]["network"]["outward"][of].as_u64().unwrap_or(0)
    };
    let line = rig.until(&path, "some is lost", |value| count(value, "lost") > 3).await;
    let (sent, lost) = (count(&line, "sent"), count(&line, "lost"));
    assert_eq!(line["phone"]["network"]["name"], "loss-5");
    assert_eq!(sent, count(&line, "delivered") + lost);
    // One in twenty, by a seed.
    let share = lost as f64 / sent as f64;
    assert!((0.005..0.25).contains(&share), "{lost} of {sent}");
    assert_eq!(network("lan").await.0, 204);
    let line = rig.until(&path, "it goes on", |value| count(value, "delivered") > 10).await;
    assert_eq!((&line["phone"]["network"]["name"], count(&line, "lost")), (&json!("lan"), 0));
    rig.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_that_other_programs_have_are_passed_over() {
    let bot = Bot::start().await;
    let others: Vec<_> =
        (32_200..32_207).map(|port| std::net::UdpSocket::bind(("127.0.0.1", port))).collect();
    let more = "server.shards = 1\n[media]\nports = \"32200-32207\"";
    let rig = Rig::start(&bot, more).await;
    let (call, leg) = rig.ring(&json!({ "user": "Ann" })).await;
    bot.told_state("incoming").await;
    rig.act(&call, "answer", &service_hosted()).await;
    bot.told_state("established").await;
    rig.act(&call, "subscribeToTone", &json!({})).await;
    rig.post(&format!("/rig/legs/{leg}/press"), &json!({ "keys": "7" })).await;
    bot.told("a key", |value| value["resourceData"]["toneInfo"]["tone"] == "tone7").await;
    drop(others);
    rig.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_server_stops_calls_end_and_bots_are_told() {
    let bot = Bot::start().await;
    let rig = Rig::start(&bot, "server.shards = 2").await;
    let (call, _) = rig.ring(&json!({ "media": false })).await;
    bot.told_state("incoming").await;
    rig.act(&call, "answer", &service_hosted()).await;
    bot.told_state("established").await;
    assert_eq!(rig.running.stop().await, 0, "everybody was told");
    let ended = bot.told_state("terminated").await;
    assert_eq!(ended["changeType"], "deleted");
    let refused = reqwest::get(format!("{}/health", rig.base)).await;
    assert!(refused.is_err(), "nobody listens any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_that_cannot_be_told_does_not_keep_the_server() {
    let bot = Bot::start().await;
    let more =
        "[server]\ngrace = \"300ms\"\n[delivery]\nbackoff_first = \"60s\"\nbackoff_max = \"60s\"\n";
    let rig = Rig::start(&bot, more).await;
    // Nobody listens at port 9 of this machine.
    let app = json!({ "name": "mute", "webhook": "http://127.0.0.1:9/" });
    assert_eq!(rig.send(reqwest::Method::PUT, "/rig/apps/mute", &app).await.0, 204);
    rig.ring(&json!({ "app": "mute", "media": false })).await;
    let began = std::time::Instant::now();
    assert_eq!(rig.running.stop().await, 1);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn forbidden_places_are_not_called_whatever_they_are_named() {
    let bot = Bot::start().await;
    let rig = Rig::start(&bot, "").await;
    for webhook in [
        "https://169.254.169.254/latest/meta-data",
        "https://2852039166/",
        "https://0xa9fea9fe/",
        "https://0251.0376.0251.0376/",
        "https://[::ffff:169.254.169.254]/",
        "https://user@10.0.0.1/",
        "https://[fd00:ec2::254]/",
        "http://20.0.0.1/",
        "ftp://127.0.0.1/",
        "http://127.0.0.1@20.0.0.1/",
        "nonsense",
    ] {
        let app = json!({ "name": "spy", "webhook": webhook });
        let (status, _) = rig.send(reqwest::Method::PUT, "/rig/apps/spy", &app).await;
        assert_eq!(status, 400, "{webhook}");
    }
    rig.running.stop().await;
}
