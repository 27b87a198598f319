//! Calls that a bot hands over: blind and by consultation, of people and out of groups;
//! and calls between bots.

use std::net::SocketAddr;

use callrig_media::description::Description;
use callrig_media::event::Event as MediaEvent;
use callrig_signaling::blob;
use callrig_signaling::event::Event;
use callrig_signaling::http::Method;
use callrig_signaling::id::{CallId, UserId};
use callrig_signaling::service::Presence;

use crate::redirect::{
    app, hears, incoming_at, legs_ended, pick_up, post, rung, states, told_of, user, world,
};
use crate::world::{SERVICE_HOSTED, World, json};

fn target(who: &str, more: &str) -> String {
    let inner = who.trim_start_matches('{');
    format!(r#"{{"transferTarget":{{{more}{inner}}}"#)
}

fn app_hosted() -> String {
    let offer = Description::audio(([127, 0, 0, 3], 5000).into());
    let blob = blob::write(blob::Kind::Offer, &offer);
    format!(
        r##"{{"callbackUri":"https://bot.test/api/calls","mediaConfig":{{"@odata.type":"#microsoft.graph.appHostedMediaConfig","blob":"{blob}"}}}}"##
    )
}

/// Ann's call, taken by the bot.
fn established(seed: u64, media: &str) -> (World, CallId, SocketAddr) {
    let mut world = world(seed);
    world.files.insert("https://files.test/a.wav".into(), crate::world::wav(1000));
    let (call, ann) = world.ring();
    assert_eq!(post(&mut world, call, "answer", media).status, 202);
    world.run_ms(300);
    (world, call, ann)
}

/// The bot's call to somebody, taken.
fn call_out(world: &mut World, who: &str) -> (String, SocketAddr) {
    let body = format!(
        r#"{{"callbackUri":"https://bot.test/api/calls","mediaConfig":{{}},"targets":[{}]}}"#,
        user(who)
    );
    let created = world.api(Method::Post, "/communications/calls", &body);
    assert_eq!(created.status, 201);
    let id = json(&created)["id"].as_str().expect("it has an id").to_owned();
    let address = pick_up(world, who);
    world.run_ms(300);
    (id, address)
}

fn answers_to(world: &World, address: SocketAddr) -> usize {
    let leg = world.people[&address].leg;
    let said = world.said.iter();
    said.filter(|(_, e)| matches!(e, Event::UserAnswered { leg: of, .. } if *of == leg)).count()
}

const PROMPT: &str = r#"{"prompts":[{"mediaInfo":{"uri":"https://files.test/a.wav"}}]}"#;

#[test]
fn a_blind_transfer_joins_the_two_and_ends_the_bots_call() {
    for (seed, media) in [(1, SERVICE_HOSTED.to_owned()), (2, app_hosted())] {
        let (mut world, call, ann) = established(seed, &media);
        if seed == 1 {
            assert_eq!(post(&mut world, call, "playPrompt", PROMPT).status, 200);
            world.run_ms(100);
        }
        let asked = post(&mut world, call, "transfer", &target(&user("ben"), ""));
        assert_eq!(asked.status, 202);
        world.run_ms(500);
        assert_eq!(
            states(&world, &call.to_string())[4..],
            [
                "updated transferring+active",
                "updated transferAccepted",
                "updated transferAccepted+inactive"
            ]
        );
        assert_eq!(
            post(&mut world, call, "playPrompt", PROMPT).status,
            if seed == 1 { 409 } else { 400 }
        );
        let ben = pick_up(&mut world, "ben");
        world.run_ms(100);
        let end = told_of(&world, &call.to_string()).pop().expect("it was told");
        assert_eq!(end.0, "deleted terminated");
        let result = &end.1["resultInfo"];
        assert_eq!((result["code"].as_u64(), result["subcode"].as_u64()), (Some(0), Some(7015)));
        assert_eq!(result["message"], "GracefulTransferCompleted");
        // Ann's session is the one that she had from the start.
        assert_eq!(answers_to(&world, ann), 1);
        assert!(hears(&mut world, ann, ben) && hears(&mut world, ben, ann));
        world.hang_up(ben);
        world.run_ms(100);
        let leg = world.person(ann).leg;
        assert!(legs_ended(&world).contains(&(leg, (200, 4521))));
        world.assert_nothing_left();
    }
}

#[test]
fn a_transfer_that_fails_leaves_the_bot_with_its_call() {
    for (seed, media) in [(3, SERVICE_HOSTED.to_owned()), (4, app_hosted())] {
        let (mut world, call, ann) = established(seed, &media);
        assert_eq!(post(&mut world, call, "transfer", &target(&user("ben"), "")).status, 202);
        world.run_ms(100);
        let (leg, ..) = rung(&world)[0].clone();
        world.service.decline(world.now, leg).expect("it rings");
        world.drain();
        world.run_ms(100);
        let last = told_of(&world, &call.to_string()).pop().expect("it was told");
        assert_eq!(last.0, "updated established+active");
        let result = &last.1["resultInfo"];
        assert_eq!((result["code"].as_u64(), result["subcode"].as_u64()), (Some(500), Some(7000)));
        if seed == 3 {
            world.person(ann).heard.clear();
            assert_eq!(post(&mut world, call, "playPrompt", PROMPT).status, 200);
            world.run_ms(1500);
            let heard = world.person(ann).heard.iter().any(|event| {
                matches!(event, MediaEvent::Audio(a) if a.samples.iter().any(|s| s.unsigned_abs() > 1000))
            });
            assert!(heard, "the bot is heard again");
        }
        // It can be tried again, now with somebody who is away.
        world.service.set_presence(&UserId::new("cleo"), Presence::Offline).expect("there");
        assert_eq!(post(&mut world, call, "transfer", &target(&user("cleo"), "")).status, 202);
        world.run_ms(100);
        assert_eq!(
            states(&world, &call.to_string()).pop().as_deref(),
            Some("updated established+active")
        );
        world.hang_up(ann);
        world.run_ms(100);
        assert_eq!(world.ended(), [(200, 4521)]);
        world.assert_nothing_left();
    }
}

#[test]
fn a_bot_to_which_a_call_is_transferred_learns_by_whom() {
    let (mut world, call, ann) = established(5, SERVICE_HOSTED);
    assert_eq!(post(&mut world, call, "transfer", &target(&app("other"), "")).status, 202);
    world.run_ms(50);
    let (others, data) = incoming_at(&world, "other");
    let context = &data["incomingContext"];
    assert_eq!(context["transferor"]["application"]["id"], "bot");
    assert_eq!(data["source"]["identity"]["user"]["id"], "ann");
    let path = format!("/communications/calls/{others}");
    let answered = world.api_as("other", Method::Post, &format!("{path}/answer"), SERVICE_HOSTED);
    assert_eq!(answered.status, 202);
    world.run_ms(200);
    assert_eq!(world.ended(), [(0, 7015)]);
    assert_eq!(answers_to(&world, ann), 1);
    world.person(ann).heard.clear();
    let played = world.api_as("other", Method::Post, &format!("{path}/playPrompt"), PROMPT);
    assert_eq!(played.status, 200);
    world.run_ms(1500);
    let heard = world.person(ann).heard.iter().any(|event| {
        matches!(event, MediaEvent::Audio(a) if a.samples.iter().any(|s| s.unsigned_abs() > 1000))
    });
    assert!(heard, "the other bot is heard");
    assert_eq!(world.api_as("other", Method::Delete, &path, "").status, 204);
    world.run_ms(100);
    world.assert_nothing_left();
}

#[test]
fn a_transfer_by_consultation_ends_both_calls_of_the_bot() {
    for (seed, media) in [(6, SERVICE_HOSTED.to_owned()), (7, app_hosted())] {
        let (mut world, call, ann) = established(seed, &media);
        let (second, ben) = call_out(&mut world, "ben");
        let body = target(&user("ben"), &format!(r#""replacesCallId":"{second}","#));
        assert_eq!(post(&mut world, call, "transfer", &body).status, 202);
        world.run_ms(100);
        let end = told_of(&world, &call.to_string()).pop().expect("it was told");
        assert_eq!(end.0, "deleted terminated");
        assert_eq!(end.1["terminationReason"], "AppTransferred");
        assert!(end.1["resultInfo"].is_null());
        assert_eq!(states(&world, &second).pop().as_deref(), Some("deleted terminated"));
        assert_eq!(world.service.load().calls, 0);
        assert_eq!((answers_to(&world, ann), answers_to(&world, ben)), (1, 1));
        assert!(hears(&mut world, ann, ben) && hears(&mut world, ben, ann));
        world.hang_up(ann);
        world.run_ms(100);
        world.assert_nothing_left();
    }
}

#[test]
fn a_call_that_cannot_be_replaced_fails_the_transfer_and_nothing_else() {
    let (mut world, call, ann) = established(8, SERVICE_HOSTED);
    let (second, cleo) = call_out(&mut world, "cleo");
    for (who, replaces) in
        [("ben", second), ("cleo", call.to_string()), ("cleo", "nonsense".to_owned())]
    {
        let body = target(&user(who), &format!(r#""replacesCallId":"{replaces}","#));
        assert_eq!(post(&mut world, call, "transfer", &body).status, 202);
        world.run_ms(100);
        let last = told_of(&world, &call.to_string()).pop().expect("it was told");
        assert_eq!(last.0, "updated established+active", "{who}");
        let result = &last.1["resultInfo"];
        assert_eq!((result["code"].as_u64(), result["subcode"].as_u64()), (Some(500), Some(7700)));
        assert_eq!(last.1["replacesContext"], replaces);
    }
    world.hang_up(ann);
    world.hang_up(cleo);
    world.run_ms(100);
    assert_eq!(world.ended(), [(200, 4521), (200, 4521)]);
    world.assert_nothing_left();
}

#[test]
fn transfers_of_2018_are_told_as_operations() {
    let (mut world, call, _) = established(9, SERVICE_HOSTED);
    let uri = format!("https://graph.test/beta/app/calls/{call}/transfer");
    let body = target(&user("ben"), "").replacen('{', r#"{"clientContext":"mine","#, 1);
    let asked = world.api(Method::Post, &uri, &body);
    assert_eq!(asked.status, 202);
    let location = asked.header("Location").expect("it is an operation").to_owned();
    world.run_ms(100);
    let told: Vec<(String, serde_json::Value)> = world
        .told()
        .into_iter()
        .filter(|(_, url, _)| url.contains("/operations/"))
        .map(|(change, _, data)| (change.to_string(), data))
        .collect();
    assert_eq!(told.len(), 2);
    let (change, data) = &told[0];
    assert_eq!((change.as_str(), data["status"].as_str()), ("updated", Some("running")));
    assert_eq!(data["resultInfo"]["subcode"], "transferring");
    let (change, data) = &told[1];
    assert_eq!((change.as_str(), data["status"].as_str()), ("deleted", Some("completed")));
    assert_eq!(data["resultInfo"]["subcode"], "transferAccepted");
    assert_eq!(data["clientContext"], "mine");
    assert!(location.ends_with(data["id"].as_str().expect("it has an id")));
    pick_up(&mut world, "ben");
    world.run_ms(100);
    let end = told_of(&world, &call.to_string()).pop().expect("it was told").1;
    assert_eq!(end["terminationReason"], "AppTransferred");
}

#[test]
fn who_leaves_during_a_transfer_ends_what_is_left_to_end() {
    // The one who is transferred hangs up.
    let (mut world, call, ann) = established(10, SERVICE_HOSTED);
    assert_eq!(post(&mut world, call, "transfer", &target(&user("ben"), "")).status, 202);
    world.run_ms(100);
    world.hang_up(ann);
    world.run_ms(100);
    assert_eq!(world.ended(), [(200, 4521)]);
    let ben = rung(&world)[0].0;
    assert!(legs_ended(&world).iter().any(|(leg, _)| *leg == ben));
    world.assert_nothing_left();
    // The bot hangs up: the transfer goes on without it.
    let (mut world, call, ann) = established(11, SERVICE_HOSTED);
    assert_eq!(post(&mut world, call, "transfer", &target(&user("ben"), "")).status, 202);
    world.run_ms(100);
    assert_eq!(world.api(Method::Delete, &format!("/communications/calls/{call}"), "").status, 204);
    world.run_ms(100);
    let ben = pick_up(&mut world, "ben");
    assert!(hears(&mut world, ann, ben));
    world.hang_up(ben);
    world.run_ms(100);
    world.assert_nothing_left();
    // The bot hangs up, and nobody takes the call.
    let (mut world, call, ann) = established(12, SERVICE_HOSTED);
    assert_eq!(post(&mut world, call, "transfer", &target(&user("ben"), "")).status, 202);
    assert_eq!(world.api(Method::Delete, &format!("/communications/calls/{call}"), "").status, 204);
    world.run_ms(61_000);
    let leg = world.person(ann).leg;
    assert!(legs_ended(&world).contains(&(leg, (487, 10004))));
    world.assert_nothing_left();
}

#[test]
fn what_a_transfer_may_not_do_is_refused_and_changes_nothing() {
    let (mut world, call, _) = established(13, SERVICE_HOSTED);
    let path = format!("/communications/calls/{call}");
    let before = json(&world.api(Method::Get, &path, ""));
    let phone = r#"{"identity":{"phone":{"id":"+12345678901"}}}"#;
    for (body, status, code) in [
        ("{}".to_owned(), 400, "BadRequest"),
        (r#"{"transferTarget":7}"#.to_owned(), 400, "BadRequest"),
        (r#"{"transferTarget":{}}"#.to_owned(), 400, "BadRequest"),
        (target(&user("ann"), ""), 400, "BadRequest"),
        (target(&app("bot"), ""), 400, "BadRequest"),
        (target(&user("nobody"), ""), 404, "NotFound"),
        (target(phone, ""), 403, "10151"),
        (target(&user("dora"), ""), 403, "7505"),
        (target(&user("ben"), r#""endpointType":"tent","#), 400, "BadRequest"),
    ] {
        let refused = post(&mut world, call, "transfer", &body);
        let shown = json(&refused);
        assert_eq!(
            (refused.status, shown["error"]["code"].as_str()),
            (status, Some(code)),
            "{body}"
        );
    }
    assert_eq!(json(&world.api(Method::Get, &path, "")), before);
}

#[test]
fn a_bot_calls_another_bot() {
    let mut world = world(14);
    world.files.insert("https://files.test/a.wav".into(), crate::world::wav(2000));
    let body = format!(
        r#"{{"callbackUri":"https://bot.test/api/calls","requestedModalities":["audio"],"mediaConfig":{{}},"targets":[{}]}}"#,
        app("other")
    );
    let created = world.api(Method::Post, "/communications/calls", &body);
    assert_eq!(created.status, 201);
    let first = json(&created)["id"].as_str().expect("it has an id").to_owned();
    let (second, data) = incoming_at(&world, "other");
    assert_eq!(data["source"]["identity"]["application"]["id"], "bot");
    assert_eq!(data["requestedModalities"][0], "audio");
    let path = format!("/communications/calls/{second}");
    let answered = world.api_as("other", Method::Post, &format!("{path}/answer"), SERVICE_HOSTED);
    assert_eq!(answered.status, 202);
    world.run_ms(200);
    assert_eq!(
        states(&world, &first),
        ["updated establishing", "updated established", "updated established+active"]
    );
    // What one plays the other records.
    let rules =
        r#"{"playBeep":false,"maxRecordDurationInSeconds":1,"initialSilenceTimeoutInSeconds":5}"#;
    let recorded = world.api_as("other", Method::Post, &format!("{path}/recordResponse"), rules);
    assert_eq!(recorded.status, 200);
    let play = format!("/communications/calls/{first}/playPrompt");
    assert_eq!(world.api(Method::Post, &play, PROMPT).status, 200);
    world.run_ms(4000);
    let operation = world.told().into_iter().rev().find_map(|(_, url, data)| {
        (url.starts_with(&format!("{path}/operations"))).then_some(data)
    });
    let operation = operation.expect("the recording has ended");
    assert_eq!(
        (operation["status"].as_str(), operation["resultInfo"]["subcode"].as_u64()),
        (Some("completed"), Some(8515))
    );
    assert_eq!(
        world.api(Method::Delete, &format!("/communications/calls/{first}"), "").status,
        204
    );
    world.run_ms(100);
    assert_eq!(world.ended(), [(200, 7000), (200, 4521)]);
    // The recording can be fetched for a while.
    world.run_ms(121_000);
    world.assert_nothing_left();
}

#[test]
fn a_bot_that_another_bot_calls_may_handle_its_media_or_not_answer() {
    for media in [SERVICE_HOSTED.to_owned(), app_hosted()] {
        let mut world = world(15);
        let mut body: serde_json::Value = serde_json::from_str(&app_hosted()).expect("JSON");
        body["targets"] = serde_json::json!([{"identity": {"application": {"id": "other"}}}]);
        let created = world.api(Method::Post, "/communications/calls", &body.to_string());
        assert_eq!(created.status, 201);
        let first = json(&created)["id"].as_str().expect("it has an id").to_owned();
        let (second, _) = incoming_at(&world, "other");
        let path = format!("/communications/calls/{second}/answer");
        assert_eq!(world.api_as("other", Method::Post, &path, &media).status, 202);
        world.run_ms(200);
        let shown = json(&world.api(Method::Get, &format!("/communications/calls/{first}"), ""));
        let blob = shown["mediaConfig"]["blob"].as_str().expect("it is app-hosted");
        assert!(blob::parse(blob).is_ok());
        assert_eq!(shown["state"], "established");
        world.service.shut_down(world.now);
        world.drain();
        world.run_ms(200);
        world.assert_nothing_left();
    }
    let mut world = world(16);
    let body = format!(
        r#"{{"callbackUri":"https://bot.test/api/calls","mediaConfig":{{}},"targets":[{}]}}"#,
        app("other")
    );
    assert_eq!(world.api(Method::Post, "/communications/calls", &body).status, 201);
    world.run_ms(16_000);
    assert_eq!(world.ended(), [(408, 10057), (408, 10057)]);
    world.assert_nothing_left();
}

#[test]
fn a_bot_leaves_a_message() {
    let mut world = world(17);
    world.files.insert("https://files.test/a.wav".into(), crate::world::wav(2000));
    let body = r#"{"callbackUri":"https://bot.test/api/calls","mediaConfig":{},
        "targets":[{"endpointType":"voicemail","identity":{"user":{"id":"ben"}}}]}"#;
    let created = world.api(Method::Post, "/communications/calls", body);
    assert_eq!(created.status, 201);
    let id = json(&created)["id"].as_str().expect("it has an id").to_owned();
    world.run_ms(3000);
    assert_eq!(states(&world, &id).pop().as_deref(), Some("updated established+active"));
    let play = format!("/communications/calls/{id}/playPrompt");
    assert_eq!(world.api(Method::Post, &play, PROMPT).status, 200);
    // The box hangs up when nobody has spoken for ten seconds.
    world.run_ms(15_000);
    assert_eq!(world.ended(), [(200, 4521)]);
    let left = world.said.iter().any(|(_, event)| {
        matches!(event, Event::VoicemailLeft { message: Some(wav), .. } if wav.len() > 32_000)
    });
    assert!(left, "a message was left");
    world.assert_nothing_left();
}

#[test]
fn people_take_one_call_at_a_time_unless_configured_otherwise() {
    let mut world = world(18);
    let (_, ben) = call_out(&mut world, "ben");
    let body = format!(
        r#"{{"callbackUri":"https://bot.test/api/calls","mediaConfig":{{}},"targets":[{}]}}"#,
        user("ben")
    );
    assert_eq!(world.api(Method::Post, "/communications/calls", &body).status, 201);
    world.run_ms(100);
    assert_eq!(world.ended(), [(486, 90004)]);
    world.hang_up(ben);
    world.run_ms(100);
    assert_eq!(world.api(Method::Post, "/communications/calls", &body).status, 201);
    assert_eq!(rung(&world).len(), 2);
    world.service.shut_down(world.now);
    world.drain();
    world.run_ms(200);
    world.assert_nothing_left();
}

/// The bot's group call with Ben and Cleo, who have taken it.
fn group(seed: u64) -> (World, CallId, SocketAddr, SocketAddr) {
    let mut world = world(seed);
    let body = format!(
        r#"{{"callbackUri":"https://bot.test/api/calls","mediaConfig":{{}},"targets":[{},{}]}}"#,
        user("ben"),
        user("cleo")
    );
    let created = world.api(Method::Post, "/communications/calls", &body);
    assert_eq!(created.status, 201);
    let call = CallId::parse(json(&created)["id"].as_str().expect("it has an id"));
    let ben = pick_up(&mut world, "ben");
    let cleo = pick_up(&mut world, "cleo");
    world.run_ms(300);
    (world, call.expect("it is one"), ben, cleo)
}

#[test]
fn one_of_a_group_is_transferred_out_of_it_and_the_group_goes_on() {
    let (mut world, call, ben, cleo) = group(19);
    let without = target(&user("ann"), "");
    assert_eq!(post(&mut world, call, "transfer", &without).status, 400);
    let of = |who: &str| {
        let body = target(&user("ann"), "");
        format!(r#"{},"transferee":{}}}"#, &body[..body.len() - 1], user(who))
    };
    assert_eq!(post(&mut world, call, "transfer", &of("dora")).status, 404);
    assert_eq!(post(&mut world, call, "transfer", &of("ben")).status, 202);
    world.run_ms(100);
    assert!(hears(&mut world, ben, cleo), "who is transferred is in the group meanwhile");
    let ann = pick_up(&mut world, "ann");
    world.run_ms(200);
    let last = told_of(&world, &call.to_string()).pop().expect("it was told");
    assert_eq!(last.0, "updated established+active");
    assert_eq!(last.1["resultInfo"]["subcode"], 7015);
    let path = format!("/communications/calls/{call}/participants?$select=info");
    let roster = json(&world.api(Method::Get, &path, "")).to_string();
    assert!(!roster.contains("ben") && roster.contains("cleo"), "{roster}");
    assert!(hears(&mut world, ann, ben) && hears(&mut world, ben, ann));
    assert!(!hears(&mut world, cleo, ben));
    world.hang_up(cleo);
    world.run_ms(100);
    assert_eq!(world.ended(), [(200, 5002)]);
    assert!(hears(&mut world, ann, ben));
    world.hang_up(ann);
    world.run_ms(100);
    world.assert_nothing_left();
}

#[test]
fn the_last_of_a_group_takes_the_bots_call_along() {
    let (mut world, call, ben, cleo) = group(20);
    world.hang_up(cleo);
    let body = target(&user("ann"), "");
    let body = format!(r#"{},"transferee":{}}}"#, &body[..body.len() - 1], user("ben"));
    // First nobody answers: the group is as it was.
    assert_eq!(post(&mut world, call, "transfer", &body).status, 202);
    world.run_ms(61_000);
    let last = told_of(&world, &call.to_string()).pop().expect("it was told");
    assert_eq!(last.0, "updated established+active");
    assert_eq!(last.1["resultInfo"]["subcode"], 7000);
    assert_eq!(post(&mut world, call, "transfer", &body).status, 202);
    let ann = pick_up(&mut world, "ann");
    world.run_ms(200);
    let last = told_of(&world, &call.to_string()).pop().expect("it was told");
    assert_eq!(last.0, "deleted terminated");
    assert_eq!(last.1["resultInfo"]["subcode"], 7015);
    assert!(hears(&mut world, ann, ben));
    world.hang_up(ben);
    world.run_ms(100);
    world.assert_nothing_left();
    // Who is to be transferred leaves meanwhile.
    let (mut world, call, ben, _) = group(21);
    assert_eq!(post(&mut world, call, "transfer", &body).status, 202);
    world.hang_up(ben);
    world.run_ms(100);
    let last = told_of(&world, &call.to_string()).pop().expect("it was told");
    assert_eq!(last.1["resultInfo"]["subcode"], 7000);
    world.service.shut_down(world.now);
    world.drain();
    world.run_ms(200);
    world.assert_nothing_left();
}
