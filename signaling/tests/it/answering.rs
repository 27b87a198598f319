//! Incoming calls: answered, rejected, missed, hung up.

use std::time::Duration;

use callrig_media::time::Instant;
use callrig_signaling::bot::{self, AnswerMedia};
use callrig_signaling::call::state::State;
use callrig_signaling::event::Event;
use callrig_signaling::graph::{self, RejectReason};
use callrig_signaling::http::Method;
use callrig_signaling::id::{AppId, CallId};
use callrig_signaling::service::directory::Permission;

use crate::world::{SERVICE_HOSTED, WEBHOOK, World, accept, config, directory, json};

fn service_hosted() -> AnswerMedia {
    AnswerMedia::ServiceHosted { pre_fetch: Vec::new() }
}

#[test]
fn a_bot_that_answers_is_told_establishing_established_and_media() {
    let mut world = World::new(1);
    let (call, ann) = world.ring();
    world.run_ms(50);
    assert!(matches!(&world.bot_said[0].1, bot::Event::Incoming { call: c, .. } if *c == call));
    world.with_bot(|bot, now| bot.answer(now, call, &service_hosted())).expect("it rings");
    world.run_ms(500);
    assert_eq!(
        world.told_states(),
        [
            "created incoming",
            "updated establishing",
            "updated established",
            "updated established+media"
        ]
    );
    let states: Vec<State> = world
        .said
        .iter()
        .filter_map(|(_, event)| match event {
            Event::CallStateChanged { state, .. } => Some(*state),
            _ => None,
        })
        .collect();
    assert_eq!(states, [State::Incoming, State::Establishing, State::Established]);
    assert!(world.bot_said.iter().any(|(_, e)| matches!(e, bot::Event::MediaActive { .. })));
    world.hang_up(ann);
    world.run_ms(500);
    assert_eq!(world.ended(), [(200, 4521)]);
    assert!(world.bot_said.iter().any(|(_, e)| matches!(e, bot::Event::Ended { .. })));
    world.assert_nothing_left();
}

#[test]
fn the_incoming_notification_carries_what_real_ones_do() {
    let mut world = World::with_webhook(config(), 2, Box::new(accept));
    let (call, _) = world.ring();
    let (_, request) = &world.notifications[0];
    assert_eq!(request.uri, WEBHOOK);
    for name in ["Scenario-Id", "X-Microsoft-Skype-Chain-ID", "X-Microsoft-Skype-Message-ID"] {
        assert!(request.header(name).is_some(), "{name}");
    }
    let body: serde_json::Value = serde_json::from_slice(&request.body).expect("it is JSON");
    assert_eq!(body["@odata.type"], "#microsoft.graph.commsNotifications");
    let item = &body["value"][0];
    assert_eq!(item["@odata.type"], "#microsoft.graph.commsNotification");
    assert_eq!(item["changeType"], "created");
    assert_eq!(item["resourceUrl"], format!("/communications/calls/{call}"));
    assert_eq!(item["resource"], format!("/app/calls/{call}"));
    let data = &item["resourceData"];
    assert_eq!(data["@odata.type"], "#microsoft.graph.call");
    assert_eq!(data["id"], call.to_string());
    assert_eq!(data["state"], "incoming");
    assert_eq!(data["direction"], "incoming");
    assert_eq!(data["source"]["identity"]["user"]["id"], "ann");
    assert_eq!(data["source"]["languageId"], "en-US");
    assert_eq!(data["targets"][0]["identity"]["application"]["id"], "bot");
    assert_eq!(data["requestedModalities"][0], "audio");
    assert_eq!(data["tenantId"], "contoso");
    assert!(data["callChainId"].is_string() && data["myParticipantId"].is_string());
}

#[test]
fn without_any_permission_on_calls_the_caller_stays_hidden() {
    let config = callrig_signaling::service::Config { directory: directory(&[]), ..config() };
    let mut world = World::with_webhook(config, 3, Box::new(accept));
    let (call, _) = world.ring();
    let identity = &world.told()[0].2["source"]["identity"];
    assert!(identity["user"].is_null(), "{identity}");
    assert!(identity["encrypted"]["id"].is_string(), "{identity}");
    // Answering needs no permission all the same.
    let answer =
        world.api(Method::Post, &format!("/communications/calls/{call}/answer"), SERVICE_HOSTED);
    assert_eq!(answer.status, 202);
}

#[test]
fn a_call_that_nobody_answers_ends_after_fifteen_seconds() {
    let mut world = World::with_webhook(config(), 4, Box::new(accept));
    let (call, _) = world.ring();
    world.run_until(Instant::from_millis(14_999));
    assert_eq!(world.api(Method::Get, &format!("/communications/calls/{call}"), "").status, 200);
    world.run_until(Instant::from_millis(15_001));
    assert_eq!(world.ended(), [(408, 10057)]);
    let late =
        world.api(Method::Post, &format!("/communications/calls/{call}/answer"), SERVICE_HOSTED);
    assert_eq!((late.status, json(&late)["error"]["code"].as_str()), (404, Some("8522")));
    world.run_ms(100);
    assert_eq!(world.told_states(), ["created incoming", "deleted terminated"]);
    world.assert_nothing_left();
}

#[test]
fn a_rejected_call_is_deleted_without_a_state() {
    let mut world = World::new(5);
    let (call, _) = world.ring();
    world.run_ms(50);
    world.with_bot(|bot, now| bot.reject(now, call, RejectReason::Busy)).expect("it rings");
    world.run_ms(200);
    assert_eq!(world.told_states(), ["created incoming", "deleted -"]);
    let data = &world.told()[1].2;
    assert_eq!(data["@odata.id"], format!("/communications/calls/{call}"));
    let ended = world.said.iter().find_map(|(_, event)| match event {
        Event::LegEnded { result, .. } => Some(result.code),
        _ => None,
    });
    assert_eq!(ended, Some(486));
    world.assert_nothing_left();
}

#[test]
fn a_caller_who_gives_up_ends_the_call() {
    let mut world = World::new(6);
    let (call, ann) = world.ring();
    world.run_ms(50);
    world.hang_up(ann);
    world.run_ms(50);
    assert_eq!(world.told_states(), ["created incoming", "deleted terminated"]);
    let refused = world.with_bot(|bot, now| bot.answer(now, call, &service_hosted()));
    assert!(refused.is_err());
    world.assert_nothing_left();
}

#[test]
fn a_bot_that_hangs_up_is_told_terminating_and_terminated() {
    let mut world = World::new(7);
    let (call, _) = world.ring();
    world.run_ms(50);
    world.with_bot(|bot, now| bot.answer(now, call, &service_hosted())).expect("it rings");
    world.run_ms(500);
    world.with_bot(|bot, now| bot.hang_up(now, call)).expect("it is there");
    world.run_ms(500);
    let states = world.told_states();
    assert_eq!(states[4..], ["updated terminating+media", "deleted terminated"]);
    assert_eq!(world.ended(), [(200, 7000)]);
    let media_ended = world.said.iter().filter(|(_, e)| matches!(e, Event::MediaEnded { .. }));
    assert_eq!(media_ended.count(), 1);
    world.assert_nothing_left();
}

#[test]
fn an_answered_call_is_neither_answered_nor_rejected_again() {
    let mut world = World::with_webhook(config(), 8, Box::new(accept));
    let (call, _) = world.ring();
    let path = |action: &str| format!("/communications/calls/{call}/{action}");
    assert_eq!(world.api(Method::Post, &path("answer"), SERVICE_HOSTED).status, 202);
    assert_eq!(world.api(Method::Post, &path("answer"), SERVICE_HOSTED).status, 409);
    assert_eq!(world.api(Method::Post, &path("reject"), "{}").status, 409);
    let shown = json(&world.api(Method::Get, &path("")[..path("").len() - 1], ""));
    assert_eq!(shown["state"], "established");
    assert_eq!(shown["mediaState"]["audio"], "active");
    assert_eq!(shown["mediaConfig"]["@odata.type"], "#microsoft.graph.serviceHostedMediaConfig");
    assert_eq!(shown["callbackUri"], WEBHOOK);
}

#[test]
fn app_hosted_media_needs_its_permission() {
    let granted = [Permission::Initiate];
    let config = callrig_signaling::service::Config { directory: directory(&granted), ..config() };
    let mut world = World::with_webhook(config, 9, Box::new(accept));
    let (call, _) = world.ring();
    let blob = callrig_signaling::blob::write(
        callrig_signaling::blob::Kind::Offer,
        &callrig_media::description::Description::audio(([127, 0, 0, 3], 9).into()),
    );
    let body = format!(
        r##"{{"callbackUri":"{WEBHOOK}","mediaConfig":{{"@odata.type":"#microsoft.graph.appHostedMediaConfig","blob":"{blob}"}}}}"##
    );
    let path = format!("/communications/calls/{call}/answer");
    let refused = world.api(Method::Post, &path, &body);
    assert_eq!((refused.status, json(&refused)["error"]["code"].as_str()), (403, Some("7504")));
    assert_eq!(
        json(&world.api(Method::Get, &format!("/communications/calls/{call}"), ""))["state"],
        "incoming"
    );
}

#[test]
fn a_call_lives_for_forty_five_minutes_without_keep_alive() {
    let mut world = World::with_webhook(config(), 10, Box::new(accept));
    let (call, _) = world.ring();
    let path = format!("/communications/calls/{call}");
    assert_eq!(world.api(Method::Post, &format!("{path}/answer"), SERVICE_HOSTED).status, 202);
    world.run(Duration::from_secs(44 * 60));
    assert_eq!(world.api(Method::Post, &format!("{path}/keepAlive"), "").status, 200);
    world.run(Duration::from_secs(44 * 60));
    assert_eq!(world.api(Method::Get, &path, "").status, 200);
    world.run(Duration::from_secs(2 * 60));
    assert_eq!(world.ended(), [(408, 8537)]);
    assert_eq!(world.api(Method::Post, &format!("{path}/keepAlive"), "").status, 404);
}

#[test]
fn our_bot_keeps_its_calls_alive_by_itself() {
    let mut world = World::new(11);
    let (call, _) = world.ring();
    world.run_ms(50);
    world.with_bot(|bot, now| bot.answer(now, call, &service_hosted())).expect("it rings");
    world.run(Duration::from_secs(3 * 3600));
    assert!(world.ended().is_empty());
    assert_eq!(world.bot.as_ref().map(|bot| bot.calls().count()), Some(1));
}

#[test]
fn a_hundred_calls_are_an_apps_limit() {
    let mut world = World::with_webhook(config(), 12, Box::new(accept));
    let calls: Vec<CallId> = (0..100).map(|_| world.ring().0).collect();
    let address = world.address();
    let offer = callrig_media::description::Description::audio(address);
    let (ann, bot) = ("ann".into(), AppId::new("bot"));
    assert!(world.service.ring_bot(world.now, &ann, &bot, offer.clone()).is_err());
    let path = format!("/communications/calls/{}", calls[0]);
    assert_eq!(world.api(Method::Delete, &path, "").status, 204);
    assert!(world.service.ring_bot(world.now, &ann, &bot, offer).is_ok());
}

#[test]
fn the_answer_shows_a_bot_of_ours_what_happened_after_a_restart() {
    let mut world = World::new(13);
    let (call, _) = world.ring();
    world.run_ms(50);
    world.with_bot(|bot, now| bot.answer(now, call, &service_hosted())).expect("it rings");
    world.run_ms(500);
    let config = bot::Config {
        app: AppId::new("bot"),
        token: Some("bot".into()),
        api: crate::world::API.into(),
        callback_uri: WEBHOOK.into(),
        ..bot::Config::default()
    };
    world.bot = Some(bot::Bot::new(config, crate::world::epoch(), 9).expect("the config is valid"));
    world.with_bot(|bot, now| bot.refresh(now, call));
    world.run_ms(100);
    let details = world.bot.as_ref().and_then(|bot| bot.call(call)).expect("it knows the call");
    assert_eq!(details.state, Some(graph::CallState::Established));
    world.with_bot(|bot, now| bot.hang_up(now, call)).expect("it is there");
    world.run_ms(500);
    world.assert_nothing_left();
}
