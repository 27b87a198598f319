//! Calls that a bot sends elsewhere before it answers: to a person, a bot, a voicemail
//! box, to several together; and what becomes of the caller when nobody takes them.

use std::net::SocketAddr;
use std::time::Duration;

use callrig_media::description::Description;
use callrig_media::event::Event as MediaEvent;
use callrig_signaling::event::Event;
use callrig_signaling::http::{Method, Response};
use callrig_signaling::id::{CallId, LegId, UserId};
use callrig_signaling::service::Presence;
use serde_json::Value;

use crate::world::{SERVICE_HOSTED, World, accept, config, json};

pub(crate) fn world(seed: u64) -> World {
    World::with_webhook(config(), seed, Box::new(accept))
}

pub(crate) fn post(world: &mut World, call: CallId, action: &str, body: &str) -> Response {
    world.api(Method::Post, &format!("/communications/calls/{call}/{action}"), body)
}

pub(crate) fn user(id: &str) -> String {
    format!(r#"{{"identity":{{"user":{{"id":"{id}"}}}}}}"#)
}

pub(crate) fn app(id: &str) -> String {
    format!(r#"{{"identity":{{"application":{{"id":"{id}"}}}}}}"#)
}

fn to(targets: &[String], more: &str) -> String {
    format!(r#"{{"targets":[{}]{more}}}"#, targets.join(","))
}

/// The telephones that ring, and with what offer.
pub(crate) fn rung(world: &World) -> Vec<(LegId, UserId, Description)> {
    let rung = world.said.iter().filter_map(|(_, event)| match event {
        Event::UserRung { leg, user, offer, .. } => Some((*leg, user.clone(), offer.clone())),
        _ => None,
    });
    rung.collect()
}

/// The last one that rings takes the call.
pub(crate) fn pick_up(world: &mut World, who: &str) -> SocketAddr {
    let (leg, _, offer) = rung(world)
        .into_iter()
        .rfind(|(_, user, _)| *user == UserId::new(who))
        .expect("the telephone rings");
    let address = world.address();
    let answer = Description::audio(address).answer(&offer);
    world.add_person(leg, &answer);
    world.service.answer(world.now, leg, answer).expect("it rings");
    world.drain();
    address
}

/// What was told of one call, without its operations and rosters.
pub(crate) fn told_of(world: &World, call: &str) -> Vec<(String, Value)> {
    let url = format!("/communications/calls/{call}");
    let told = world.told().into_iter().filter(|(_, of, _)| *of == url);
    told.map(|(change, _, data)| {
        let state = data["state"].as_str().unwrap_or("-");
        let active =
            data["mediaState"]["audio"].as_str().map_or(String::new(), |s| format!("+{s}"));
        (format!("{change} {state}{active}"), data)
    })
    .collect()
}

pub(crate) fn states(world: &World, call: &str) -> Vec<String> {
    told_of(world, call).into_iter().map(|(told, _)| told).collect()
}

/// The call with which another bot is rung.
pub(crate) fn incoming_at(world: &World, app: &str) -> (String, Value) {
    let told = world.told().into_iter().rev();
    let found = told
        .filter(|(_, _, data)| data["state"] == "incoming")
        .find(|(_, _, data)| data["targets"][0]["identity"]["application"]["id"] == app);
    let (_, _, data) = found.expect("the bot is rung");
    (data["id"].as_str().expect("it has an id").to_owned(), data)
}

pub(crate) fn legs_ended(world: &World) -> Vec<(LegId, (u16, u32))> {
    let ended = world.said.iter().filter_map(|(_, event)| match event {
        Event::LegEnded { leg, result } => Some((*leg, (result.code, result.subcode))),
        _ => None,
    });
    ended.collect()
}

/// Whether somebody's voice reaches somebody.
pub(crate) fn hears(world: &mut World, speaker: SocketAddr, listener: SocketAddr) -> bool {
    world.run_ms(300);
    world.person(listener).heard.clear();
    world.person(speaker).speaks = true;
    world.run_ms(600);
    world.person(speaker).speaks = false;
    let loud = |event: &MediaEvent| match event {
        MediaEvent::Audio(audio) => audio.samples.iter().any(|s| s.unsigned_abs() > 1000),
        _ => false,
    };
    let heard = world.person(listener).heard.iter().any(loud);
    world.run_ms(600);
    heard
}

#[test]
fn a_redirected_caller_talks_to_who_takes_the_call_and_the_bot_is_done() {
    let mut world = world(1);
    let (call, ann) = world.ring();
    assert_eq!(post(&mut world, call, "redirect", &to(&[user("ben")], "")).status, 202);
    world.run_ms(500);
    assert_eq!(
        json(&world.api(Method::Get, &format!("/communications/calls/{call}"), ""))["state"],
        "redirecting"
    );
    assert_eq!(post(&mut world, call, "answer", SERVICE_HOSTED).status, 409);
    assert_eq!(post(&mut world, call, "redirect", &to(&[user("cleo")], "")).status, 409);
    let ben = pick_up(&mut world, "ben");
    world.run_ms(100);
    let told = told_of(&world, &call.to_string());
    assert_eq!(states(&world, &call.to_string()), ["created incoming", "deleted terminated"]);
    let end = &told[1].1;
    assert_eq!(end["answeredBy"]["identity"]["user"]["id"], "ben");
    assert!(end["resultInfo"].is_null() && end["terminationReason"].is_null(), "{end}");
    assert!(hears(&mut world, ann, ben) && hears(&mut world, ben, ann));
    assert_eq!(world.service.load().calls, 0);
    world.hang_up(ann);
    world.run_ms(100);
    let leg = world.person(ben).leg;
    assert!(legs_ended(&world).contains(&(leg, (200, 4521))));
    world.assert_nothing_left();
}

#[test]
fn several_targets_ring_together_and_the_first_is_joined() {
    let mut world = world(2);
    let (call, ann) = world.ring();
    let targets = [user("ben"), user("cleo"), app("other")];
    assert_eq!(post(&mut world, call, "redirect", &to(&targets, "")).status, 202);
    world.run_ms(100);
    assert_eq!(rung(&world).len(), 2);
    let (others, data) = incoming_at(&world, "other");
    let route = &data["callRoutes"][0];
    assert_eq!(route["original"]["application"]["id"], "bot");
    assert_eq!(route["final"]["application"]["id"], "other");
    assert_eq!(route["routingType"], "forwarded");
    assert_eq!(data["source"]["identity"]["user"]["id"], "ann");
    let chains: Vec<Value> =
        world.told().iter().map(|(_, _, d)| d["callChainId"].clone()).collect();
    assert!(chains.iter().all(|chain| *chain == chains[0] && chain.is_string()));
    let cleo = pick_up(&mut world, "cleo");
    world.run_ms(100);
    let ben = rung(&world)[0].0;
    assert!(legs_ended(&world).contains(&(ben, (487, 10003))));
    let end = told_of(&world, &others).pop().expect("it was told");
    assert_eq!(end.1["resultInfo"]["subcode"], 10003);
    assert!(hears(&mut world, cleo, ann));
    world.hang_up(cleo);
    world.run_ms(100);
    world.assert_nothing_left();
}

#[test]
fn a_bot_that_takes_a_redirected_call_has_it_as_if_it_had_been_called() {
    let mut world = world(3);
    let (call, ann) = world.ring();
    world.files.insert("https://files.test/a.wav".into(), crate::world::wav(1000));
    assert_eq!(post(&mut world, call, "redirect", &to(&[app("other")], "")).status, 202);
    let (others, _) = incoming_at(&world, "other");
    let path = format!("/communications/calls/{others}");
    let answered = world.api_as("other", Method::Post, &format!("{path}/answer"), SERVICE_HOSTED);
    assert_eq!(answered.status, 202);
    world.run_ms(200);
    assert_eq!(
        states(&world, &others),
        [
            "created incoming",
            "updated establishing",
            "updated established",
            "updated established+active"
        ]
    );
    assert_eq!(world.api(Method::Get, &format!("/communications/calls/{call}"), "").status, 404);
    let prompt = r#"{"prompts":[{"mediaInfo":{"uri":"https://files.test/a.wav"}}]}"#;
    let played = world.api_as("other", Method::Post, &format!("{path}/playPrompt"), prompt);
    assert_eq!(played.status, 200);
    world.run_ms(2000);
    let heard = world.person(ann).heard.iter().any(|event| {
        matches!(event, MediaEvent::Audio(audio) if audio.samples.iter().any(|s| s.unsigned_abs() > 1000))
    });
    assert!(heard, "the prompt is heard");
    world.hang_up(ann);
    world.run_ms(100);
    assert_eq!(world.ended(), [(200, 90010), (200, 4521)]);
    world.assert_nothing_left();
}

#[test]
fn a_bot_that_is_rung_may_redirect_the_call_on() {
    let mut world = world(11);
    let (call, ann) = world.ring();
    assert_eq!(
        post(
            &mut world,
            call,
            "redirect",
            &to(&[app("other"), user("cleo")], r#","maskCaller":true"#)
        )
        .status,
        202
    );
    let (others, data) = incoming_at(&world, "other");
    assert!(data["source"]["identity"]["user"].is_null(), "the caller is masked");
    let path = format!("/communications/calls/{others}/redirect");
    // Back to the first bot, and to Ben.
    let on = world.api_as("other", Method::Post, &path, &to(&[app("bot"), user("ben")], ""));
    assert_eq!(on.status, 202);
    let (third, data) = incoming_at(&world, "bot");
    assert!(data["source"]["identity"]["user"].is_null(), "and stays so");
    assert_eq!(data["callRoutes"][0]["original"]["application"]["id"], "other");
    assert_ne!(third, call.to_string());
    let ben = pick_up(&mut world, "ben");
    world.run_ms(100);
    for id in [call.to_string(), others] {
        let end = told_of(&world, &id).pop().expect("it was told");
        assert_eq!(end.0, "deleted terminated");
        assert_eq!(end.1["answeredBy"]["identity"]["user"]["id"], "ben");
    }
    let end = told_of(&world, &third).pop().expect("it was told").1;
    assert_eq!(end["resultInfo"]["subcode"], 10003);
    assert!(hears(&mut world, ann, ben));
    world.hang_up(ben);
    world.run_ms(100);
    world.assert_nothing_left();
    // Nobody takes it: every bot on the way learns so.
    let (call, _) = world.ring();
    assert_eq!(post(&mut world, call, "redirect", &to(&[app("other")], "")).status, 202);
    let (others, _) = incoming_at(&world, "other");
    let path = format!("/communications/calls/{others}/redirect");
    world.run_ms(10_000);
    let on = world.api_as("other", Method::Post, &path, &to(&[user("ben")], r#","timeout":90"#));
    assert_eq!(on.status, 202);
    world.run_ms(89_000);
    assert_eq!(world.service.load().calls, 2);
    world.run_ms(2_000);
    assert_eq!(world.ended()[3..], [(487, 10004), (487, 10004)]);
    world.assert_nothing_left();
}

#[test]
fn when_nobody_takes_it_the_call_and_the_caller_learn_why() {
    // Nobody answers: 55 seconds at one target, 60 at several, or as asked.
    for (targets, more, seconds) in [
        (vec![user("ben")], "", 55),
        (vec![user("ben"), user("cleo")], "", 60),
        (vec![user("ben")], r#","timeout":15"#, 15),
    ] {
        let mut world = world(4);
        let (call, ann) = world.ring();
        assert_eq!(post(&mut world, call, "redirect", &to(&targets, more)).status, 202);
        world.run(Duration::from_millis(seconds * 1000 - 1));
        assert!(world.ended().is_empty(), "{seconds}");
        world.run_ms(100);
        let expected = if targets.len() == 1 { (487, 10004) } else { (480, 90007) };
        assert_eq!(world.ended(), [expected]);
        let leg = world.person(ann).leg;
        assert!(legs_ended(&world).contains(&(leg, expected)));
        world.assert_nothing_left();
    }
    // The only target declines, or cannot be rung at all.
    for (presence, expected) in [
        (Presence::Available, (487, 10024)),
        (Presence::Offline, (480, 10037)),
        (Presence::Unreachable, (480, 10076)),
        (Presence::DoNotDisturb, (480, 90005)),
    ] {
        let mut world = world(5);
        world.service.set_presence(&UserId::new("ben"), presence).expect("there is a Ben");
        let (call, _) = world.ring();
        assert_eq!(post(&mut world, call, "redirect", &to(&[user("ben")], "")).status, 202);
        world.run_ms(100);
        if let Some((leg, ..)) = rung(&world).first().cloned() {
            world.service.decline(world.now, leg).expect("it rings");
            world.drain();
        }
        world.run_ms(100);
        assert_eq!(world.ended(), [expected], "{presence:?}");
        world.assert_nothing_left();
    }
    // A bot that rejects.
    let mut world = world(6);
    let (call, _) = world.ring();
    assert_eq!(post(&mut world, call, "redirect", &to(&[app("other")], "")).status, 202);
    let (others, _) = incoming_at(&world, "other");
    let path = format!("/communications/calls/{others}/reject");
    let rejected = world.api_as("other", Method::Post, &path, r#"{"reason":"busy"}"#);
    assert_eq!(rejected.status, 202);
    world.run_ms(100);
    assert_eq!(world.ended(), [(486, 90004), (486, 90004)]);
    world.assert_nothing_left();
}

#[test]
fn a_caller_who_gives_up_stops_the_ringing_everywhere() {
    let mut world = world(7);
    let (call, ann) = world.ring();
    let targets = [user("ben"), app("other")];
    assert_eq!(post(&mut world, call, "redirect", &to(&targets, "")).status, 202);
    world.run_ms(100);
    world.hang_up(ann);
    world.run_ms(100);
    let ben = rung(&world)[0].0;
    assert!(legs_ended(&world).contains(&(ben, (200, 4097))));
    assert_eq!(world.ended(), [(200, 4097), (200, 4097)]);
    world.assert_nothing_left();
}

#[test]
fn redirects_of_2018_say_that_they_redirect_and_masks_hide() {
    let mut world = world(8);
    let (call, _) = world.ring();
    let more = r#","targetDisposition":"simultaneousRing","timeout":99,"maskCaller":true,"maskCallee":true"#;
    let uri = format!("https://graph.test/beta/app/calls/{call}/redirect");
    let targets = [user("ben"), app("other")];
    assert_eq!(world.api(Method::Post, &uri, &to(&targets, more)).status, 202);
    world.run_ms(100);
    let (_, data) = incoming_at(&world, "other");
    let source = &data["source"]["identity"];
    assert!(source["user"].is_null() && source["encrypted"]["id"].is_string(), "{source}");
    pick_up(&mut world, "ben");
    world.run_ms(100);
    assert_eq!(
        states(&world, &call.to_string()),
        ["created incoming", "updated redirecting", "deleted terminated"]
    );
    let end = told_of(&world, &call.to_string()).pop().expect("it was told").1;
    assert_eq!(end["terminationReason"], "AppRedirected");
    assert!(end["answeredBy"]["identity"]["encrypted"]["id"].is_string());
    assert!(end["answeredBy"]["identity"]["user"].is_null());
}

#[test]
fn a_voicemail_box_takes_the_call_beeps_and_keeps_the_message() {
    let mut world = world(9);
    let (call, ann) = world.ring();
    let target = r#"{"endpointType":"voicemail","identity":{"user":{"id":"ben"}}}"#.to_owned();
    assert_eq!(post(&mut world, call, "redirect", &to(&[target], "")).status, 202);
    world.run_ms(500);
    assert!(rung(&world).is_empty() && world.ended().is_empty());
    world.run_ms(1000);
    let end = told_of(&world, &call.to_string()).pop().expect("it was told").1;
    assert_eq!(end["answeredBy"]["endpointType"], "voicemail");
    world.run_ms(1500);
    let beep = world.person(ann).heard.iter().any(|event| {
        matches!(event, MediaEvent::Audio(audio) if audio.samples.iter().any(|s| s.unsigned_abs() > 1000))
    });
    assert!(beep, "the beep is heard");
    world.person(ann).speaks = true;
    world.run_ms(3000);
    world.hang_up(ann);
    world.run_ms(100);
    let left = world.said.iter().find_map(|(_, event)| match event {
        Event::VoicemailLeft { user, message, .. } => Some((user.clone(), message.clone())),
        _ => None,
    });
    let (who, message) = left.expect("a message was left");
    assert_eq!(who, UserId::new("ben"));
    // Two seconds at least of 16 kHz and 16 bits.
    assert!(message.is_some_and(|wav| wav.len() > 64_000));
    world.assert_nothing_left();
}

#[test]
fn what_a_redirect_may_not_do_is_refused_and_changes_nothing() {
    let mut world = world(10);
    let (call, _) = world.ring();
    let path = format!("/communications/calls/{call}");
    let before = json(&world.api(Method::Get, &path, ""));
    let many = vec![user("ben"); 26];
    let phone = r#"{"identity":{"phone":{"id":"+12345678901"}}}"#.to_owned();
    let resource = r#"{"identity":{"applicationInstance":{"id":"x"}}}"#.to_owned();
    for (body, status, code) in [
        (to(&[], ""), 400, "BadRequest"),
        ("{}".to_owned(), 400, "BadRequest"),
        (to(&many, ""), 400, "BadRequest"),
        (to(&[user("ben"), user("ben")], ""), 400, "BadRequest"),
        (to(&[user("ben")], r#","timeout":14"#), 400, "BadRequest"),
        (to(&[user("ben")], r#","timeout":91"#), 400, "BadRequest"),
        (to(&[user("ben")], r#","timeout":"soon""#), 400, "BadRequest"),
        (to(&[user("ben")], r#","targetDisposition":"levitate""#), 400, "BadRequest"),
        (to(&[user("ben")], r#","callbackUri":"https://169.254.169.254/""#), 400, "BadRequest"),
        (to(&[app("bot")], ""), 400, "BadRequest"),
        (to(&[resource], ""), 400, "BadRequest"),
        (to(&[user("nobody")], ""), 404, "NotFound"),
        (to(&[app("nobody")], ""), 404, "NotFound"),
        (to(std::slice::from_ref(&phone), ""), 403, "10151"),
        (to(&[user("ben"), phone], ""), 403, "10151"),
        (to(&[user("dora")], ""), 403, "7505"),
    ] {
        let refused = post(&mut world, call, "redirect", &body);
        let shown = json(&refused);
        assert_eq!(
            (refused.status, shown["error"]["code"].as_str()),
            (status, Some(code)),
            "{body}"
        );
    }
    assert_eq!(json(&world.api(Method::Get, &path, "")), before);
    // A routingPolicies that no metadata declares is taken and ignored, as documented.
    let body = to(&[user("ben")], r#","routingPolicies":["disableForwarding"]"#);
    assert_eq!(post(&mut world, call, "redirect", &body).status, 202);
    assert_eq!(world.service.load().legs, 3);
}
