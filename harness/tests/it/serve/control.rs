//! The control API: who may use it, what it refuses, and that it is what it says it is.

use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};

use super::{ANN, APP, Bot, Rig, TENANT};

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_others_and_who_lacks_the_token_are_kept_out() {
    let bot = Bot::start().await;
    let rig = Rig::start(&bot, "[rig]\ntoken = \"open sesame\"\n").await;
    let url = format!("{}/rig/calls", rig.base);
    let ask = |token: &str| rig.client.get(&url).bearer_auth(token);
    assert_eq!(ask("wrong").send().await.expect("an answer").status(), 401);
    assert_eq!(ask("open sesame").send().await.expect("an answer").status(), 200);
    for origin in ["https://evil.test", "http://localhost:1", "null"] {
        let answer = ask("open sesame").header("origin", origin).send().await;
        assert_eq!(answer.expect("an answer").status(), 403, "{origin}");
    }
    // A name that somebody else has pointed here.
    let rebound =
        ask("open sesame").header("origin", "http://evil.test").header("host", "evil.test");
    assert_eq!(rebound.send().await.expect("an answer").status(), 403);
    let own = ask("open sesame").header("origin", rig.base.clone());
    assert_eq!(own.send().await.expect("an answer").status(), 200);
    rig.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_understood_is_refused_with_a_reason() {
    let bot = Bot::start().await;
    let rig = Rig::start(&bot, "").await;
    for (method, path, body, status, says) in [
        (Method::POST, "/rig/calls", json!({ "usr": "Ann" }), 400, "usr"),
        (Method::POST, "/rig/calls", json!({ "user": "Nobody" }), 404, "Nobody"),
        (Method::POST, "/rig/calls", json!({ "app": "Nothing" }), 404, "Nothing"),
        (Method::POST, "/rig/calls", json!({ "play": "../etc/passwd" }), 404, "passwd"),
        (Method::POST, "/rig/calls", json!({ "media": false, "listen": true }), 400, "media"),
        (Method::POST, "/rig/legs/7/hangUp", json!({}), 404, "leg"),
        (Method::POST, "/rig/legs/7/askForKeyFrame", json!({}), 404, "leg"),
        (Method::POST, &format!("/rig/legs/{ANN}/askForKeyFrame"), json!({}), 404, "phone"),
        (Method::POST, "/rig/legs", json!({}), 400, "meeting"),
        (Method::POST, "/rig/legs", json!({ "meeting": "m", "call": ANN }), 400, "meeting"),
        (Method::POST, "/rig/legs", json!({ "meeting": "nowhere" }), 404, "nowhere"),
        (Method::POST, "/rig/legs", json!({ "call": "7" }), 404, "call"),
        (Method::POST, "/rig/legs", json!({ "meeting": "m", "offer": "v=0" }), 400, "offer"),
        (Method::POST, &format!("/rig/legs/{ANN}/mute"), json!({ "on": 3 }), 400, "on"),
        (Method::POST, &format!("/rig/legs/{ANN}/admit"), json!({}), 404, "leg"),
        (Method::POST, &format!("/rig/legs/{ANN}/invite"), json!({}), 404, "leg"),
        (Method::GET, &format!("/rig/voicemails/{ANN}"), json!({}), 404, "message"),
        (Method::POST, &format!("/rig/legs/{ANN}/hangUp"), json!({}), 404, "leg"),
        (Method::POST, &format!("/rig/legs/{ANN}/press"), json!({ "keys": "x" }), 400, "keys"),
        (Method::PUT, "/rig/recordings/x.wav", json!({}), 422, "x.wav"),
        (Method::PUT, "/rig/users/u", json!({ "name": "" }), 400, "name"),
        (Method::PUT, "/rig/tenants/t/grants/nobody", json!({ "permissions": [] }), 404, "nobody"),
        (Method::PUT, "/rig/tenants/t/grants/nobody", json!({ "permissions": ["X"] }), 400, "X"),
        (Method::DELETE, "/rig/users/nobody", json!({}), 404, "user"),
        (Method::PATCH, "/rig/calls", json!({}), 405, "method"),
        (Method::GET, "/rig/nowhere", json!({}), 404, "openapi"),
    ] {
        let (found, answer) = rig.send(method, path, &body).await;
        assert_eq!(found, status, "{path}: {answer}");
        let message = answer["error"]["message"].as_str().expect("a message");
        assert!(message.contains(says), "{path}: {message}");
    }
    // What a page of somebody else's could send without being asked first.
    let url = format!("{}/rig/calls", rig.base);
    let plain = rig.client.post(url).header("content-type", "text/plain").body("{}").send().await;
    assert_eq!(plain.expect("an answer").status(), 415);
    rig.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_apps_and_grants_change_on_every_shard_while_it_runs() {
    let bot = Bot::start().await;
    let rig = Rig::start(&bot, "server.shards = 3").await;
    let webhook = format!("{}/api/calls", bot.base);
    // Enough apps that each shard is the home of one.
    for number in 0..12 {
        let app = json!({ "name": format!("app {number}"), "webhook": webhook, "secret": "s" });
        let path = format!("/rig/apps/app-{number}");
        assert_eq!(rig.send(Method::PUT, &path, &app).await.0, 204);
        let grant = json!({ "permissions": ["Calls.Initiate.All"] });
        let path = format!("/rig/tenants/{TENANT}/grants/app-{number}");
        assert_eq!(rig.send(Method::PUT, &path, &grant).await.0, 204);
    }
    let user = json!({ "name": "Cleo", "tenant": TENANT });
    assert_eq!(rig.send(Method::PUT, "/rig/users/cleo", &user).await.0, 204);
    let mut shards = std::collections::BTreeSet::new();
    for number in 0..12 {
        let how = json!({ "user": "Cleo", "app": format!("app {number}"), "media": false });
        let (call, leg) = rig.ring(&how).await;
        shards.insert(call[..4].to_owned());
        assert_eq!(call[..4], leg[..4], "a call and its legs are on one shard");
        let incoming = bot.told_state("incoming").await;
        let name = &incoming["resourceData"]["source"]["identity"]["user"]["displayName"];
        assert_eq!(name, "Cleo", "the grant is known");
        let one = rig.get(&format!("/rig/calls/{call}")).await;
        assert_eq!(one["call"]["state"], "incoming", "{one}");
        assert_eq!(one["legs"].as_array().map(Vec::len), Some(2));
    }
    assert_eq!(shards.len(), 3, "calls are spread");
    let directory = rig.get("/rig/directory").await;
    assert!(!directory.to_string().contains("\"s\""), "secrets stay secret");
    assert_eq!(rig.send(Method::DELETE, "/rig/users/cleo", &json!({})).await.0, 204);
    assert_eq!(rig.post("/rig/calls", &json!({ "user": "cleo" })).await.0, 404);
    rig.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_sees_requests_notifications_and_events_in_order() {
    let bot = Bot::start().await;
    let rig = Rig::start(&bot, "").await;
    let stream = rig.client.get(format!("{}/rig/events", rig.base)).send().await.expect("a stream");
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let (call, _) = rig.ring(&json!({ "media": false })).await;
    bot.told_state("incoming").await;
    let mut text = String::new();
    let mut chunks = stream.bytes_stream();
    let read = async {
        while !(text.contains("event: answered") && text.contains("notificationDelivered")) {
            let chunk = chunks.next().await.expect("it goes on").expect("it is whole");
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
    };
    tokio::time::timeout(super::PATIENCE, read).await.expect("it is told of the notification");
    let entries: Vec<Value> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
        .collect();
    let numbers: Vec<u64> = entries.iter().filter_map(|one| one["number"].as_u64()).collect();
    assert!(numbers.windows(2).all(|two| two[1] == two[0] + 1), "{numbers:?}");
    let sent = entries.iter().find(|one| one["kind"] == "sent").expect("a notification");
    assert_eq!(sent["body"]["value"][0]["resourceData"]["id"], *call);
    assert!(entries.iter().any(|one| one["event"] == "callStateChanged" && one["call"] == *call));
    // The stream has no end of its own, and must not keep the server.
    rig.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_and_health_are_there_to_be_read() {
    let bot = Bot::start().await;
    let rig = Rig::start(&bot, "").await;
    rig.ring(&json!({})).await;
    bot.told_state("incoming").await;
    rig.until("/health/ready", "it is ready", |value| value["status"] == "ready").await;
    let search = async {
        loop {
            let answer = rig.client.get(format!("{}/metrics", rig.base)).send().await;
            let text = answer.expect("an answer").text().await.expect("text");
            if text.contains("callrig_notifications_total{outcome=\"delivered\"} 1") {
                return text;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let text = tokio::time::timeout(super::PATIENCE, search).await.expect("it is counted");
    for line in ["callrig_calls_total 1", "callrig_phones 1", "# HELP callrig_calls "] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    let incoming =
        text.lines().filter(|line| line.contains("state=\"incoming\"") && line.ends_with(" 1"));
    assert_eq!(incoming.count(), 1, "{text}");
    rig.running.stop().await;
}

/// Every operation that is described is there, and nothing else is: the router and the
/// description are one table, but a path may be written so that it is never reached.
#[tokio::test(flavor = "multi_thread")]
async fn every_described_operation_can_be_reached() {
    let bot = Bot::start().await;
    let rig = Rig::start(&bot, "").await;
    let described = rig.get("/rig/openapi.json").await;
    let paths = described["paths"].as_object().expect("paths");
    assert!(paths.len() > 15, "{}", paths.len());
    for (path, methods) in paths {
        for method in methods.as_object().expect("methods").keys() {
            if path == "/rig/events" {
                continue;
            }
            let filled = path.replace("{leg}", ANN).replace("{call}", ANN).replace("{app}", APP);
            let filled = filled.replace(['{', '}'], "");
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
            let (status, answer) = rig.send(method, &filled, &json!({})).await;
            assert_ne!(status, 405, "{path} {answer}");
            let message = answer["error"]["message"].as_str().unwrap_or_default();
            assert!(!message.starts_with("Nothing is here"), "{path} {answer}");
        }
    }
    rig.running.stop().await;
}
