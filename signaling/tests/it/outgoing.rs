//! Calls that a bot makes to a person.

use callrig_media::description::Description;
use callrig_signaling::bot::{self, AnswerMedia};
use callrig_signaling::event::Event;
use callrig_signaling::http::Method;
use callrig_signaling::id::{LegId, UserId};
use callrig_signaling::service::directory::Permission;

use crate::world::{World, accept, config, directory, json};

fn rung(world: &World) -> (LegId, Description) {
    let rung = world.said.iter().find_map(|(_, event)| match event {
        Event::UserRung { leg, offer, .. } => Some((*leg, offer.clone())),
        _ => None,
    });
    rung.expect("a telephone rings")
}

/// The bot calls Ben; he takes it.
fn call_ben(world: &mut World, media: &AnswerMedia) -> std::net::SocketAddr {
    world.with_bot(|bot, now| bot.call_user(now, &UserId::new("ben"), media));
    world.run_ms(1000);
    let (leg, offer) = rung(world);
    let address = world.address();
    let answer = Description::audio(address).answer(&offer);
    world.add_person(leg, &answer);
    world.service.answer(world.now, leg, answer).expect("it rings");
    world.drain();
    address
}

#[test]
fn a_bot_calls_a_person_who_answers_and_hangs_up() {
    let mut world = World::new(1);
    let media = AnswerMedia::ServiceHosted { pre_fetch: Vec::new() };
    let ben = call_ben(&mut world, &media);
    world.run_ms(500);
    assert_eq!(
        world.told_states(),
        ["updated establishing", "updated established", "updated established+media"]
    );
    assert!(world.bot_said.iter().any(|(_, e)| matches!(e, bot::Event::Created { .. })));
    world.hang_up(ben);
    world.run_ms(500);
    assert_eq!(world.ended(), [(200, 4521)]);
    world.assert_nothing_left();
}

#[test]
fn app_hosted_media_is_answered_once_the_person_has() {
    let mut world = World::new(2);
    let local = Description::audio(([127, 0, 0, 3], 5000).into());
    let ben = call_ben(&mut world, &AnswerMedia::AppHosted(local));
    world.run_ms(500);
    assert_eq!(
        world.told_states(),
        [
            "updated establishing",
            "updated establishing",
            "updated established",
            "updated established+media"
        ]
    );
    world.person(ben).speaks = true;
    world.run_ms(1000);
    let heard = world.bot_said.iter().filter(|(_, event)| {
        matches!(event, bot::Event::Media { event: callrig_media::event::Event::Audio(_), .. })
    });
    assert!(heard.count() > 30);
    world.hang_up(ben);
    world.run_ms(500);
    world.assert_nothing_left();
}

#[test]
fn a_person_who_declines_or_does_not_answer_ends_the_call() {
    let mut world = World::new(3);
    let media = AnswerMedia::ServiceHosted { pre_fetch: Vec::new() };
    world.with_bot(|bot, now| bot.call_user(now, &UserId::new("ben"), &media));
    world.run_ms(100);
    let (leg, _) = rung(&world);
    world.service.decline(world.now, leg).expect("it rings");
    world.drain();
    world.run_ms(100);
    assert_eq!(world.ended(), [(487, 10024)]);
    world.with_bot(|bot, now| bot.call_user(now, &UserId::new("ben"), &media));
    world.run_ms(61_000);
    assert_eq!(world.ended()[1], (487, 10004));
    world.assert_nothing_left();
}

#[test]
fn creating_answers_201_with_the_call_and_where_it_is() {
    let mut world = World::with_webhook(config(), 4, Box::new(accept));
    let body = r##"{"@odata.type":"#microsoft.graph.call","callbackUri":"https://bot.test/cb",
        "targets":[{"identity":{"user":{"id":"ben","displayName":"Ben"}}}],
        "requestedModalities":["audio"],"subject":"Hello","tenantId":"contoso",
        "mediaConfig":{"@odata.type":"#microsoft.graph.serviceHostedMediaConfig"}}"##;
    let response = world.api(Method::Post, "/communications/calls", body);
    assert_eq!(response.status, 201);
    let shown = json(&response);
    assert_eq!(shown["state"], "establishing");
    assert_eq!(shown["direction"], "outgoing");
    assert_eq!(shown["callbackUri"], "https://bot.test/cb");
    assert_eq!(shown["source"]["identity"]["application"]["id"], "bot");
    assert_eq!(shown["targets"][0]["identity"]["user"]["displayName"], "Ben");
    let id = shown["id"].as_str().expect("it has an id");
    let location = format!("https://graph.test/v1.0/communications/calls/{id}");
    assert_eq!(response.header("Location"), Some(location.as_str()));
    assert_eq!(world.notifications[0].1.uri, "https://bot.test/cb");
}

#[test]
fn the_apps_scenario_ties_its_requests_and_callbacks_together() {
    let mut world = World::with_webhook(config(), 6, Box::new(accept));
    let scenario = "57dab8b1-894c-409a-b240-bd8beae78896";
    let body = r#"{"callbackUri":"https://bot.test/cb","mediaConfig":{},
        "targets":[{"identity":{"user":{"id":"ben"}}}]}"#;
    let response = world.request(callrig_signaling::http::Request {
        id: callrig_signaling::http::RequestId(0),
        method: Method::Post,
        uri: format!("{}/communications/calls", crate::world::API),
        headers: [("Authorization", "Bearer bot"), ("Scenario-Id", &scenario.to_uppercase())]
            .into(),
        body: body.into(),
    });
    assert_eq!(json(&response)["callChainId"], scenario);
    assert_eq!(world.notifications[0].1.header("Scenario-Id"), Some(scenario));
    assert_eq!(world.told()[0].2["callChainId"], scenario);
    let mut named: serde_json::Value = serde_json::from_str(body).expect("it is JSON");
    named["callChainId"] = scenario.replace('5', "6").into();
    named["targets"][0]["identity"]["user"]["id"] = "cleo".into();
    let response = world.api(Method::Post, "/communications/calls", &named.to_string());
    assert_eq!(json(&response)["callChainId"], named["callChainId"]);
}

#[test]
fn an_app_without_a_webhook_for_calling_is_not_registered() {
    let mut config = config();
    config.directory.apps[0].webhook = None;
    let mut world = World::with_webhook(config, 7, Box::new(accept));
    let response = world.api(Method::Post, "/communications/calls", "{}");
    let shown = json(&response);
    assert_eq!((response.status, shown["error"]["code"].as_str()), (403, Some("UnknownError")));
    let message = shown["error"]["message"].as_str().expect("it has a message");
    let inner: serde_json::Value = serde_json::from_str(message).expect("it is JSON inside");
    assert_eq!(inner["errorCode"], "7503");
}

#[test]
fn what_may_not_be_called_is_refused_and_leaves_nothing() {
    let config = callrig_signaling::service::Config {
        directory: directory(&[Permission::AccessMedia]),
        ..config()
    };
    let mut world = World::with_webhook(config, 5, Box::new(accept));
    let body = |target: &str, more: &str| {
        format!(
            r#"{{"callbackUri":"https://bot.test/cb","targets":[{target}],"mediaConfig":{{}}{more}}}"#
        )
    };
    let ben = r#"{"identity":{"user":{"id":"ben"}}}"#;
    for (body, status, code) in [
        (body(ben, ""), 403, "7504"),
        (body(ben, r#","tenantId":"fabrikam""#), 403, "7505"),
        (body(r#"{"identity":{"user":{"id":"nobody"}}}"#, ""), 404, "NotFound"),
        (body(r#"{"identity":{"phone":{"id":"+4930123"}}}"#, ""), 403, "10151"),
        (body("{}", ""), 400, "BadRequest"),
        (body("", ""), 400, "BadRequest"),
        (r#"{"targets":[],"mediaConfig":{}}"#.to_owned(), 400, "BadRequest"),
    ] {
        let response = world.api(Method::Post, "/communications/calls", &body);
        let shown = json(&response);
        assert_eq!(
            (response.status, shown["error"]["code"].as_str()),
            (status, Some(code)),
            "{body}"
        );
    }
    world.assert_nothing_left();
    assert!(world.notifications.is_empty());
}
