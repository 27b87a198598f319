//! Every example of the API's documentation, where the folder of them is present: what
//! apps send and what the platform sends is read and written again with nothing dropped,
//! and requests of what is implemented are accepted with the documented status. Our own
//! fixtures below cover the same ground without the folder.

use std::path::PathBuf;

use callrig_signaling::graph;
use callrig_signaling::http::Method;
use callrig_signaling::service::directory;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::world::{SERVICE_HOSTED, World, accept, config};

fn folder() -> Option<PathBuf> {
    let folder = match std::env::var_os("CALLRIG_OUTSIDE_SPEC") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/spec"),
    };
    let examples = folder.join("examples");
    if !examples.join("index.json").is_file() {
        println!("skipped: no examples at {}", examples.display());
        return None;
    }
    Some(examples)
}

/// What does not matter: absent against null, numbers as strings, the case of enum
/// values, the older spelling of `subcode`, empty arrays against absent ones.
fn normalised(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| {
                let key = if key == "subCode" { "subcode" } else { key };
                (key.to_owned(), normalised(value))
            })
            .collect(),
        Value::Array(values) => values.iter().map(normalised).collect(),
        Value::String(text) => match text.parse::<i64>() {
            Ok(number) => number.into(),
            Err(_) => text.to_ascii_lowercase().into(),
        },
        other => other.clone(),
    }
}

fn round_trip<T: DeserializeOwned + Serialize>(value: &Value, name: &str) {
    let typed: T = serde_json::from_value(value.clone()).unwrap_or_else(|e| panic!("{name}: {e}"));
    let written = serde_json::to_value(&typed).expect("the API's types have string keys");
    assert_eq!(normalised(&written), normalised(value), "{name}");
}

fn resource(value: &Value, hint: &str, name: &str) {
    let named = value["@odata.type"].as_str().unwrap_or_default();
    let bare = named.rsplit('.').next().unwrap_or_default();
    if let Some(values) = value["value"].as_array().filter(|_| bare.is_empty()) {
        values.iter().for_each(|value| resource(value, hint, name));
        return;
    }
    match bare {
        "call" => round_trip::<graph::Call>(value, name),
        "participant" => round_trip::<graph::Participant>(value, name),
        "onlineMeeting" => round_trip::<graph::OnlineMeeting>(value, name),
        "audioRoutingGroup" => round_trip::<graph::AudioRoutingGroup>(value, name),
        _ if bare.ends_with("Operation") => round_trip::<graph::Operation>(value, name),
        _ if hint.contains("participants")
            && !hint.contains("mute")
            && !hint.contains("invite") =>
        {
            round_trip::<graph::Participant>(value, name);
        }
        _ if hint.contains("audioRoutingGroups") => {
            round_trip::<graph::AudioRoutingGroup>(value, name);
        }
        _ if hint.ends_with("calls") => round_trip::<graph::Call>(value, name),
        _ => {}
    }
}

fn notifications(value: &Value, name: &str) {
    round_trip::<graph::CommsNotifications>(value, name);
    for item in value["value"].as_array().into_iter().flatten() {
        let url = item["resourceUrl"].as_str().or(item["resource"].as_str()).unwrap_or_default();
        match &item["resourceData"] {
            Value::Array(values) => values.iter().for_each(|value| resource(value, url, name)),
            Value::Null => {}
            data => resource(data, url, name),
        }
    }
}

fn request(value: &Value, action: &str, name: &str) {
    match action.rsplit('.').next().unwrap_or(action) {
        "calls" => round_trip::<graph::Call>(value, name),
        "answer" if value.get("callback").is_none() => round_trip::<graph::Answer>(value, name),
        "reject" => round_trip::<graph::Reject>(value, name),
        "redirect" => round_trip::<graph::Redirect>(value, name),
        "transfer" => round_trip::<graph::Transfer>(value, name),
        "playPrompt" => round_trip::<graph::PlayPrompt>(value, name),
        "record" | "recordResponse" => round_trip::<graph::RecordResponse>(value, name),
        "sendDtmfTones" => round_trip::<graph::SendDtmfTones>(value, name),
        "subscribeToTone" | "cancelMediaProcessing" | "mute" | "unmute" => {
            round_trip::<graph::ClientContext>(value, name);
        }
        "invite" => round_trip::<graph::Invite>(value, name),
        "updateRecordingStatus" => round_trip::<graph::UpdateRecordingStatus>(value, name),
        "changeScreenSharingRole" => round_trip::<graph::ChangeScreenSharingRole>(value, name),
        "startHoldMusic" => round_trip::<graph::StartHoldMusic>(value, name),
        "updateMetadata" => round_trip::<graph::UpdateMetadata>(value, name),
        "muteAll" => round_trip::<graph::MuteAll>(value, name),
        "audioRoutingGroups" => round_trip::<graph::AudioRoutingGroup>(value, name),
        "onlineMeetings" | "createOrGet" => round_trip::<graph::OnlineMeeting>(value, name),
        _ => {}
    }
}

#[test]
fn every_documented_example_is_read_and_written_again_with_nothing_dropped() {
    let Some(folder) = folder() else { return };
    let index = std::fs::read(folder.join("index.json")).expect("the index is there");
    let index: Value = serde_json::from_slice(&index).expect("the index is JSON");
    let mut count = 0;
    for entry in index["examples"].as_array().expect("it lists examples") {
        let name = entry["file"].as_str().expect("an example is a file");
        let body = std::fs::read(folder.join(name)).expect("the file is there");
        let value: Value = serde_json::from_slice(&body).expect("an example is JSON");
        let path = entry["path"].as_str().unwrap_or_default();
        match entry["kind"].as_str() {
            Some("request") => request(&value, path.rsplit('/').next().unwrap_or(path), name),
            Some("notification") => notifications(&value, name),
            Some("response") => resource(&value, path, name),
            _ => continue,
        }
        count += 1;
    }
    println!("{count} examples");
    assert!(count > 250, "{count}");
}

#[test]
fn documented_requests_of_what_is_there_have_their_documented_status() {
    let Some(folder) = folder() else { return };
    for (file, action, old, status) in [
        ("v10.call-answer.03.request.request.json", "answer", false, 202),
        ("v10.call-answer.07.request.request.json", "answer", false, 0),
        ("v10.call-reject.03.request.request.json", "reject", false, 202),
        ("v10.call-playprompt.01.request.request.json", "playPrompt", false, 200),
        ("v10.call-record.01.request.request.json", "recordResponse", false, 200),
        ("v10.call-subscribetotone.01.request.request.json", "subscribeToTone", false, 200),
        (
            "v10.call-cancelmediaprocessing.01.request.request.json",
            "cancelMediaProcessing",
            false,
            200,
        ),
        (
            "new.call-senddtmftones.01.request.request.json",
            "microsoft.graph.sendDtmfTones",
            false,
            200,
        ),
        ("beta18.call-playprompt.01.request.request.json", "playPrompt", true, 202),
        ("beta18.call-record.01.request.request.json", "record", true, 202),
        ("beta18.call-subscribetotone.01.request.request.json", "subscribeToTone", true, 202),
        (
            "beta18.call-cancelmediaprocessing.01.request.request.json",
            "cancelMediaProcessing",
            true,
            202,
        ),
    ] {
        let body = std::fs::read_to_string(folder.join(file)).expect("the file is there");
        let mut world = World::with_webhook(config(), 1, Box::new(accept));
        let (call, _) = world.ring();
        let root = if old { "beta/app" } else { "v1.0/communications" };
        let base = format!("https://graph.test/{root}/calls/{call}");
        if !matches!(action, "answer" | "reject") {
            let path = format!("/communications/calls/{call}/answer");
            assert_eq!(world.api(Method::Post, &path, SERVICE_HOSTED).status, 202);
        }
        let response = world.api(Method::Post, &format!("{base}/{action}"), &body);
        // A placeholder for a blob is no blob: that one is refused, and says why.
        let expected = if status == 0 { 400 } else { status };
        assert_eq!(response.status, expected, "{file}");
        if !matches!(action, "answer" | "reject") {
            assert!(response.header("Location").is_some(), "{file}");
            assert_eq!(response.body.is_empty(), old, "{file}");
        }
    }
}

/// Everybody whom a request names, in one organisation that lets the bot do everything.
fn populated(bodies: &[&Value]) -> callrig_signaling::service::Config {
    fn users(value: &Value, found: &mut std::collections::BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                if let Some(id) = map.get("user").and_then(|user| user["id"].as_str()) {
                    found.insert(id.to_ascii_lowercase());
                }
                map.values().for_each(|value| users(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| users(value, found)),
            _ => {}
        }
    }
    let mut config = config();
    let tenant = &mut config.directory.tenants[0];
    let mut found = std::collections::BTreeSet::new();
    for body in bodies {
        users(body, &mut found);
        let named = body["tenantId"].as_str();
        let organizer = &body["meetingInfo"]["organizer"]["user"]["tenantId"];
        if let Some(id) = named.or_else(|| organizer.as_str()) {
            tenant.id = id.into();
        }
    }
    tenant.users.extend(found.iter().map(|id| directory::User {
        id: id.as_str().into(),
        name: id.clone(),
        language: None,
        country: None,
    }));
    config
}

#[test]
fn documented_requests_of_groups_have_their_documented_status() {
    let Some(folder) = folder() else { return };
    let read = |file: &str| -> Value {
        let body = std::fs::read(folder.join(file)).expect("the file is there");
        serde_json::from_slice(&body).expect("an example is JSON")
    };
    for (file, path, status) in [
        ("v10.application-post-calls.07.request.request.json", "v1.0/communications", 201),
        ("v10.application-post-calls.09.request.request.json", "v1.0/communications", 201),
        ("beta21.application-post-calls.05.request.request.json", "beta/communications", 201),
        ("beta21.application-post-calls.07.request.request.json", "beta/communications", 201),
        ("beta21.application-post-calls.12.request.request.json", "beta/communications", 201),
        ("beta21.application-post-calls.13.request.request.json", "beta/communications", 201),
        ("beta18.application-post-calls.07.request.request.json", "beta/app", 201),
        ("beta18.application-post-calls.08.request.request.json", "beta/app", 201),
        // A placeholder for a blob is no blob; a telephone cannot be called from here.
        (
            "beta21.application-post-calls.11.request.example-6-join-scheduled-meeting-with-app-hosted.json",
            "beta/communications",
            400,
        ),
        ("beta18.application-post-calls.06.request.request.json", "beta/app", 403),
    ] {
        let body = read(file);
        let mut world = World::with_webhook(populated(&[&body]), 1, Box::new(accept));
        let uri = format!("https://graph.test/{path}/calls");
        let made = world.api(Method::Post, &uri, &body.to_string());
        assert_eq!(made.status, status, "{file}: {}", crate::world::json(&made));
        assert_eq!(made.header("Location").is_some(), status == 201, "{file}");
    }
    for (file, action, old, status) in [
        ("v10.call-mute.01.request.request.json", "mute", false, 200),
        ("v10.call-unmute.01.request.request.json", "unmute", false, 200),
        ("v10.participant-mute.01.request.request.json", "participants/{}/mute", false, 200),
        ("beta18.participant-mute.01.request.request.json", "participants/{}/mute", true, 200),
        ("beta21.participant-muteall.01.request.request.json", "participants/muteAll", false, 200),
        ("beta18.call-updatemetadata.01.request.request.json", "updateMetadata", true, 202),
        ("new.call-addlargegalleryview.01.request.request.json", "addLargeGalleryView", false, 202),
        (
            "new.participant-startholdmusic.01.request.request.json",
            "participants/{}/startHoldMusic",
            false,
            202,
        ),
        (
            "beta21.participant-configuremixer.01.request.request.json",
            "participants/configureMixer",
            false,
            200,
        ),
        (
            "beta18.participant-configuremixer.01.request.request.json",
            "participants/configureMixer",
            true,
            202,
        ),
        (
            "beta21.call-post-audioroutinggroups.01.request.request.json",
            "audioRoutingGroups",
            false,
            200,
        ),
        (
            "beta21.call-post-audioroutinggroups.03.request.request.json",
            "audioRoutingGroups",
            false,
            200,
        ),
        ("beta18.participant-invite.02.request.request.json", "participants/invite", true, 202),
        // The call that it replaces is not there.
        ("v10.participant-invite.01.request.request.json", "participants/invite", false, 404),
        ("v10.participant-invite.13.request.request.json", "participants/invite", false, 403),
    ] {
        let body = read(file);
        let mut world = World::with_webhook(populated(&[&body]), 1, Box::new(accept));
        let mut group = crate::groups::call_to(&["ann", "ben"]);
        group["tenantId"] = Value::Null;
        let call = crate::groups::create(&mut world, &group);
        let (ann, _) = crate::groups::ringing(&world)[0].clone();
        crate::groups::take(&mut world, ann);
        let root = if old { "beta/app" } else { "v1.0/communications" };
        let action = action.replace("{}", &ann.to_string());
        let uri = format!("https://graph.test/{root}/calls/{call}/{action}");
        let answer = world.api(Method::Post, &uri, &body.to_string());
        assert_eq!(answer.status, status, "{file}");
    }
    let body = read("v10.call-logteleconferencedevicequality.01.request.request.json");
    let mut world = World::with_webhook(config(), 1, Box::new(accept));
    let path = "/communications/calls/logTeleconferenceDeviceQuality";
    assert_eq!(world.api(Method::Post, path, &body.to_string()).status, 200);
}

#[test]
fn what_began_as_in_2018_is_told_of_when_it_is_done_however_soon() {
    let mut world = World::with_webhook(config(), 1, Box::new(accept));
    let (call, _) = world.ring();
    let path = format!("/communications/calls/{call}/answer");
    assert_eq!(world.api(Method::Post, &path, SERVICE_HOSTED).status, 202);
    let uri = format!("https://graph.test/beta/app/calls/{call}/subscribeToTone");
    assert_eq!(world.api(Method::Post, &uri, r#"{"clientContext":"x"}"#).status, 202);
    world.run_ms(500);
    let last = world.told().pop().expect("something was told");
    assert_eq!(last.2["@odata.type"], "#microsoft.graph.subscribeToToneOperation");
    assert_eq!(
        (last.2["status"].as_str(), last.2["clientContext"].as_str()),
        (Some("completed"), Some("x"))
    );
}

#[test]
fn our_own_examples_of_what_the_wire_brings_are_read_and_kept() {
    let roster = serde_json::json!({"@odata.type": "#microsoft.graph.commsNotifications", "value": [{
        "@odata.type": "#microsoft.graph.commsNotification",
        "changeType": "Updated",
        "resource": "/app/calls/57DAB8B1894C409AB240BD8BEAE78896/participants",
        "resourceData": [{
            "@odata.type": "#microsoft.graph.participant",
            "info": {"identity": {"application": {
                "id": "x", "ApplicationType": "LargeGallery-V2", "hidden": true}}},
            "mediaStreams": [{"mediaType": "VideoBasedScreenSharing", "sourceId": "8",
                "direction": "ReceiveOnly", "serverMuted": false}],
            "publishedStates": [{"type": "raiseHands"}],
            "isMuted": false, "isInLobby": true
        }]
    }]});
    notifications(&roster, "a roster as it comes");
    let ended = serde_json::json!({"@odata.type": "#microsoft.graph.call", "state": "Terminated",
        "resultInfo": {"code": "500", "subCode": 7700, "message": "x"}, "terminationReason": "y"});
    resource(&ended, "", "a call that ended");
    let failed = serde_json::json!({"@odata.type": "#microsoft.graph.recordOperation",
        "status": "FAILED", "completionReason": "initialSilenceTimeout", "recordingLocation": "z",
        "somethingNew": {"a": [1, 2]}});
    resource(&failed, "", "an operation that failed");
}

#[test]
fn documented_redirects_and_transfers_have_their_documented_status() {
    let Some(folder) = folder() else { return };
    let mut config = config();
    let people = &mut config.directory.tenants[0].users;
    for id in [
        "550fae72-d251-43ec-868c-373732c2704f",
        "98da8a1a-1b87-452c-a713-65d3f10b1253",
        "bf5aae9a-d11d-47a8-93b1-782504c9c3f3",
        "8a34a46b-3d17-4adc-8dce-dc4e7d572699",
    ] {
        people.push(directory::User {
            id: id.into(),
            name: "Somebody".into(),
            ..people[0].clone()
        });
    }
    let apps = &mut config.directory.apps;
    let second = directory::App {
        id: "22bfd41f-550e-477d-8789-f6f7bd2a5e8b".into(),
        name: "test bot 2".into(),
        ..apps[1].clone()
    };
    apps.push(second);
    for (file, action, old, status) in [
        ("v10.call-redirect.02.request.request.json", "redirect", false, 202),
        ("v10.call-redirect.05.request.request.json", "redirect", false, 202),
        // The telephone network is not there, and is refused as an app without it is.
        ("v10.call-redirect.08.request.request.json", "redirect", false, 403),
        ("beta18.call-redirect.01.request.request.json", "redirect", true, 202),
        ("beta18.call-redirect.03.request.request.json", "redirect", true, 202),
        ("v10.call-transfer.01.request.request.json", "transfer", false, 202),
        ("v10.call-transfer.06.request.request.json", "transfer", false, 202),
        ("v10.call-transfer.11.request.request.json", "transfer", false, 403),
        ("v10.call-transfer.16.request.request.json", "transfer", false, 403),
        ("beta18.call-transfer.01.request.request.json", "transfer", true, 202),
        ("beta18.call-transfer.05.request.request.json", "transfer", true, 202),
    ] {
        let body = std::fs::read_to_string(folder.join(file)).expect("the file is there");
        let mut world = World::with_webhook(config.clone(), 1, Box::new(accept));
        let (call, _) = world.ring();
        if action == "transfer" {
            let path = format!("/communications/calls/{call}/answer");
            assert_eq!(world.api(Method::Post, &path, SERVICE_HOSTED).status, 202);
        }
        let root = if old { "beta/app" } else { "v1.0/communications" };
        let uri = format!("https://graph.test/{root}/calls/{call}/{action}");
        let response = world.api(Method::Post, &uri, &body);
        assert_eq!(response.status, status, "{file}");
        assert!(response.body.is_empty() || status == 403, "{file}");
    }
}
