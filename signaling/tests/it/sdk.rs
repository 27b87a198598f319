//! The bot as bot developers get it: its tokens and its trust, requests that are sent
//! again, everything that it can ask for, and a view of its calls that is the platform's
//! whatever was lost, repeated or late.

use std::collections::BTreeMap;
use std::time::Duration;

use callrig_media::description::Description;
use callrig_media::time::Instant;
use callrig_signaling::bot::{
    self, AnswerMedia, Bot, ClientSecret, DropReason, Event, JoinReply, Joining, MediaFile, Target,
    Trust,
};
use callrig_signaling::event::Event as Said;
use callrig_signaling::exchange::{Input, Output};
use callrig_signaling::graph;
use callrig_signaling::http::{Method, Request, RequestId, Response};
use callrig_signaling::id::{CallId, UserId};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::tokens::{KEYS, SECRET, token_config};
use crate::world::{API, Fate, World, bot_config, config, epoch, json as body_of, wav};

const HOSTED: AnswerMedia = AnswerMedia::ServiceHosted { pre_fetch: Vec::new() };

fn trusting() -> bot::Config {
    bot::Config {
        token: None,
        secret: Some(ClientSecret::new("https://login.microsoftonline.com", "contoso", SECRET)),
        trust: Some(Trust::default()),
        ..bot_config()
    }
}

fn refusals(world: &World) -> Vec<String> {
    let refused = world.bot_said.iter().filter_map(|(_, event)| match event {
        Event::Refused { status, code, message, .. } => Some(format!("{status} {code} {message}")),
        _ => None,
    });
    refused.collect()
}

fn incoming(world: &World) -> Vec<CallId> {
    let calls = world.bot_said.iter().filter_map(|(_, event)| match event {
        Event::Incoming { call, .. } => Some(*call),
        _ => None,
    });
    calls.collect()
}

#[test]
fn a_bot_with_a_secret_lives_through_tokens_and_keys_that_change() {
    let mut world = World::with_bot_of(token_config(), 1, trusting());
    world.ring();
    world.run_ms(500);
    let call = incoming(&world)[0];
    world.with_bot(|bot, now| bot.answer(now, call, &HOSTED)).expect("the call is there");
    world.run_ms(500);
    // Four hours: four tokens' lives, and two keys.
    for step in 0..48 {
        if step == 10 {
            world.service.add_key(world.now, KEYS[1].clone()).expect("there is room");
        }
        world.with_bot(|bot, now| bot.subscribe_to_tone(now, call)).expect("the call is there");
        world.ring();
        world.run(Duration::from_secs(300));
    }
    assert_eq!(refusals(&world), Vec::<String>::new());
    assert_eq!(incoming(&world).len(), 49, "every call was believed");
    let untrusted = world.bot_said.iter().find(|(_, e)| matches!(e, Event::Untrusted { .. }));
    assert!(untrusted.is_none(), "{untrusted:?}");
    let tokens: Vec<_> = world
        .said
        .iter()
        .filter(|(_, e)| matches!(e, Said::RequestServed { route: "token", .. }))
        .collect();
    assert!((4..=7).contains(&tokens.len()), "a token lives an hour: {}", tokens.len());
    world.with_bot(|bot, now| bot.hang_up(now, call)).expect("the call is there");
    world.run(Duration::from_secs(60));
    assert!(world.bot.as_ref().is_some_and(|bot| bot.call(call).is_none()));
}

/// A bot that nobody is connected to, and what it does.
struct Alone {
    bot: Bot,
    now: Instant,
    requests: u64,
}

impl Alone {
    fn new(config: bot::Config) -> Self {
        let bot = Bot::new(config, epoch(), 1).expect("the config is valid");
        Self { bot, now: Instant::ZERO, requests: 0 }
    }

    fn input(&mut self, input: Input) -> Vec<Output<Event>> {
        self.bot.handle_input(self.now, input);
        self.outputs()
    }

    fn outputs(&mut self) -> Vec<Output<Event>> {
        core::iter::from_fn(|| self.bot.poll_output()).collect()
    }

    fn wait(&mut self, time: Duration) -> Vec<Output<Event>> {
        let until = self.now + time;
        let mut outputs = Vec::new();
        while let Some(at) = self.bot.poll_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            outputs.extend(self.input(Input::Timeout));
        }
        self.now = until;
        outputs
    }

    fn notify(&mut self, bearer: Option<&str>, body: &Value) -> Vec<Output<Event>> {
        self.requests += 1;
        let bearer = bearer.map(|token| ("Authorization".to_owned(), format!("Bearer {token}")));
        self.input(Input::Request(Request {
            id: RequestId(self.requests),
            method: Method::Post,
            uri: "https://bot.test/api/calls".into(),
            headers: bearer.into_iter().collect(),
            body: body.to_string().into(),
        }))
    }

    fn respond(&mut self, id: RequestId, status: u16, body: &Value) -> Vec<Output<Event>> {
        let body = body.to_string().into();
        self.input(Input::Response(Response { body, ..Response::empty(id, status) }))
    }
}

fn requests(outputs: &[Output<Event>]) -> Vec<&Request> {
    let requests = outputs.iter().filter_map(|output| match output {
        Output::Request(request) => Some(request),
        _ => None,
    });
    requests.collect()
}

fn responses(outputs: &[Output<Event>]) -> Vec<&Response> {
    let responses = outputs.iter().filter_map(|output| match output {
        Output::Response(response) => Some(response),
        _ => None,
    });
    responses.collect()
}

fn events(outputs: &[Output<Event>]) -> Vec<&Event> {
    let events = outputs.iter().filter_map(|output| match output {
        Output::Event(event) => Some(event),
        _ => None,
    });
    events.collect()
}

const CALL: &str = "57dab8b1-894c-409a-b240-bd8beae78896";

fn created() -> Value {
    json!({"value": [{
        "changeType": "created",
        "resourceUrl": format!("/communications/calls/{CALL}"),
        "resourceData": {"id": CALL, "state": "incoming", "direction": "incoming"},
    }]})
}

/// The moment at which a bot begins, in seconds since 1970.
const BEGIN: i64 = 3_900_000_000 - 2_208_988_800;

fn callback(change: impl FnOnce(&mut Value)) -> String {
    let mut claims = json!({
        "aud": "bot", "iss": "https://api.botframework.com", "tid": "contoso",
        "iat": BEGIN, "nbf": BEGIN, "exp": BEGIN + 3900,
    });
    change(&mut claims);
    KEYS[0].sign(&claims)
}

/// Gives a bot the platform's keys, once it asks for them.
fn teach(alone: &mut Alone, outputs: &[Output<Event>]) -> Vec<Output<Event>> {
    let [metadata] = requests(outputs)[..] else { panic!("it asks for nothing: {outputs:?}") };
    assert!(metadata.uri.ends_with("/v1/.well-known/OpenIdConfiguration"));
    let keys = json!({"jwks_uri": "https://api.aps.skype.com/v1/keys"});
    let outputs = alone.respond(metadata.id, 200, &keys);
    let [keys] = requests(&outputs)[..] else { panic!("it asks for no keys: {outputs:?}") };
    assert_eq!(keys.uri, "https://api.aps.skype.com/v1/keys");
    alone.respond(keys.id, 200, &json!({"keys": [KEYS[0].public()]}))
}

#[test]
fn a_notification_is_answered_once_its_keys_are_there() {
    let mut alone = Alone::new(trusting());
    let good = callback(|_| {});
    let outputs = alone.notify(Some(&good), &created());
    assert!(responses(&outputs).is_empty(), "it cannot know yet");
    let outputs = teach(&mut alone, &outputs);
    assert_eq!(responses(&outputs)[0].status, 202);
    assert!(events(&outputs).iter().any(|event| matches!(event, Event::Incoming { .. })));
    let outputs = alone.notify(Some(&good), &created());
    assert!(requests(&outputs).is_empty(), "keys are kept");
}

#[test]
fn notifications_that_are_not_the_platforms_are_refused_and_change_nothing() {
    let mut alone = Alone::new(trusting());
    let outputs = alone.notify(Some(&callback(|_| {})), &json!({"value": []}));
    teach(&mut alone, &outputs);
    let stranger = KEYS[2].sign(&json!({
        "aud": "bot", "iss": "https://api.botframework.com", "tid": "contoso", "exp": BEGIN + 3900,
    }));
    let for_the_api = callback(|c| {
        c["aud"] = json!("https://graph.microsoft.com");
        c["iss"] = json!("https://sts.windows.net/contoso/");
    });
    let mut refused = 0;
    for (what, token) in [
        ("none", None),
        ("nonsense", Some("bot".to_owned())),
        ("a stranger's", Some(stranger)),
        ("another app's", Some(callback(|c| c["aud"] = json!("other")))),
        ("an API token", Some(for_the_api)),
        ("another issuer's", Some(callback(|c| c["iss"] = json!("https://evil.test")))),
        ("old", Some(callback(|c| c["exp"] = json!(BEGIN - 301)))),
        ("of tomorrow", Some(callback(|c| c["nbf"] = json!(BEGIN + 301)))),
        ("without tenant", Some(callback(|c| c["tid"] = Value::Null))),
    ] {
        let outputs = alone.notify(token.as_deref(), &created());
        assert_eq!(responses(&outputs)[0].status, 401, "{what}");
        assert!(requests(&outputs).is_empty(), "{what} makes it ask again");
        refused += 1;
        let said = events(&outputs);
        assert!(matches!(said[0], Event::Untrusted { .. }), "{what}: {said:?}");
        let reason = DropReason::Untrusted;
        assert!(matches!(said[1], Event::Dropped { reason: r, .. } if *r == reason), "{what}");
        assert_eq!(alone.bot.calls().count(), 0, "{what}");
    }
    assert_eq!(refused, 9);
    let outputs = alone.notify(Some(&callback(|_| {})), &created());
    assert_eq!(responses(&outputs)[0].status, 202);
}

#[test]
fn keys_that_cannot_be_had_put_notifications_off() {
    let mut alone = Alone::new(trusting());
    let outputs = alone.notify(Some(&callback(|_| {})), &created());
    let outputs = alone.respond(requests(&outputs)[0].id, 500, &json!({}));
    assert_eq!(responses(&outputs)[0].status, 503);
    assert_eq!(responses(&outputs)[0].header("Retry-After"), Some("1"));
    // Whoever forges tokens does not make the bot ask all the time; nobody is refused for
    // what the bot does not know.
    let outputs = alone.notify(Some(&callback(|_| {})), &created());
    assert!(requests(&outputs).is_empty());
    assert_eq!(responses(&outputs)[0].status, 503);
    let reason = DropReason::NoKeys;
    assert!(matches!(events(&outputs)[0], Event::Dropped { reason: r, .. } if *r == reason));
    let outputs = alone.notify(None, &created());
    assert_eq!(responses(&outputs)[0].status, 401, "no key helps who has no token");
    alone.wait(Duration::from_secs(11));
    let outputs = alone.notify(Some(&callback(|_| {})), &created());
    let outputs = teach(&mut alone, &outputs);
    assert_eq!(responses(&outputs)[0].status, 202);
}

/// A bot that knows one call.
fn with_call() -> (Alone, CallId) {
    let mut alone = Alone::new(bot_config());
    alone.notify(None, &created());
    (alone, CallId::parse(CALL).expect("it is a GUID"))
}

#[test]
fn a_request_that_is_to_come_later_comes_later_and_not_for_ever() {
    let (mut alone, call) = with_call();
    alone.bot.answer(alone.now, call, &HOSTED).expect("the call is there");
    let mut outputs = alone.outputs();
    let mut paused = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for attempt in 1..=4 {
        let [request] = requests(&outputs)[..] else { panic!("attempt {attempt}: {outputs:?}") };
        assert!(seen.insert(request.id), "every attempt has its own number");
        let headers = [("Retry-After", "7")].into();
        let response = Response { headers, ..Response::empty(request.id, 429) };
        let after = alone.input(Input::Response(response));
        if attempt == 4 {
            assert!(events(&after).iter().any(|e| matches!(e, Event::Refused { status: 429, .. })));
            break;
        }
        assert!(requests(&after).is_empty());
        let before = alone.now;
        while requests(&outputs).is_empty() || outputs.len() == 1 {
            outputs = alone.wait(Duration::from_millis(100));
            if !requests(&outputs).is_empty() {
                break;
            }
            assert!(alone.now.since(before) < Duration::from_secs(20), "it never comes again");
        }
        paused.push(alone.now.since(before));
    }
    assert!(paused.iter().all(|pause| *pause >= Duration::from_secs(7)), "{paused:?}");
}

#[test]
fn what_may_have_been_done_is_not_done_twice_and_what_does_no_harm_is() {
    let (mut alone, call) = with_call();
    alone.bot.answer(alone.now, call, &HOSTED).expect("the call is there");
    let outputs = alone.outputs();
    let id = requests(&outputs)[0].id;
    let failed = callrig_signaling::http::Failure { id, reason: "reset".into() };
    let outputs = alone.input(Input::Failed(failed));
    assert!(events(&outputs).iter().any(|e| matches!(e, Event::Refused { status: 0, .. })));
    alone.bot.refresh(alone.now, call);
    let outputs = alone.outputs();
    let response = Response::empty(requests(&outputs)[0].id, 502);
    alone.input(Input::Response(response));
    let outputs = alone.wait(Duration::from_secs(1));
    assert_eq!(requests(&outputs).len(), 1, "reading again does no harm");
}

#[test]
fn a_token_that_is_refused_is_replaced_once() {
    let mut alone = Alone::new(bot::Config { trust: None, ..trusting() });
    let user = UserId::new("ann");
    alone.bot.call_user(alone.now, &user, &HOSTED);
    let outputs = alone.outputs();
    let [token] = requests(&outputs)[..] else { panic!("{outputs:?}") };
    let form = String::from_utf8_lossy(&token.body).into_owned();
    assert!(form.contains("client_id=bot&client_secret=s3cret+%26+%2B%25%3D%C3%A4&"), "{form}");
    let granted = |text: &str| json!({"access_token": text, "expires_in": "3599"});
    let outputs = alone.respond(token.id, 200, &granted("one"));
    let [call] = requests(&outputs)[..] else { panic!("{outputs:?}") };
    assert_eq!(call.bearer(), Some("one"));
    let outputs = alone.respond(call.id, 401, &json!({}));
    let [token] = requests(&outputs)[..] else { panic!("{outputs:?}") };
    let outputs = alone.respond(token.id, 200, &granted("two"));
    let [call] = requests(&outputs)[..] else { panic!("{outputs:?}") };
    assert_eq!(call.bearer(), Some("two"));
    let outputs = alone.respond(call.id, 401, &json!({}));
    assert!(events(&outputs).iter().any(|e| matches!(e, Event::Refused { status: 401, .. })));
}

#[test]
fn a_wrong_secret_is_said_with_the_words_of_the_login_service() {
    let mut world = World::with_bot_of(
        token_config(),
        1,
        bot::Config {
            secret: Some(ClientSecret::new("https://login.microsoftonline.com", "contoso", "no")),
            ..trusting()
        },
    );
    world.with_bot(|bot, now| bot.call_user(now, &UserId::new("ann"), &HOSTED));
    world.run_ms(500);
    let refused = refusals(&world);
    assert!(refused[0].starts_with("401 invalid_client AADSTS7000215: "), "{refused:?}");
}

#[test]
fn a_bot_that_starts_again_learns_what_it_has_forgotten() {
    let mut world = World::new(1);
    world.files.insert("https://bot.test/long.wav".into(), wav(30_000));
    let (call, address) = world.ring();
    world.run_ms(500);
    world.with_bot(|bot, now| bot.answer(now, call, &HOSTED)).expect("the call is there");
    world.run_ms(500);
    let file = MediaFile { uri: "https://bot.test/long.wav".into(), resource_id: None };
    world.with_bot(|bot, now| bot.play_prompt(now, call, &[file])).expect("the call is there");
    world.run_ms(500);
    world.bot = Some(Bot::new(bot_config(), epoch(), 9).expect("the config is valid"));
    world.bot_said.clear();
    let action = world.with_bot(|bot, now| bot.rehydrate(now, call));
    world.run_ms(500);
    let done = world.bot_said.iter().any(
        |(_, event)| matches!(event, Event::Rehydrated { action: a, call: c } if (*a, *c) == (action, call)),
    );
    assert!(done, "{:?}", world.bot_said);
    let bot = world.bot.as_ref().expect("there is a bot");
    let known = bot.call(call).expect("the call is known");
    assert_eq!(known.state, Some(graph::CallState::Established));
    assert_eq!(bot.roster(call).count(), 2);
    let running = bot.operations(call).next().expect("the prompt is known");
    assert_eq!(running.status, Some(graph::OperationStatus::Running));
    world.run(Duration::from_secs(60));
    let bot = world.bot.as_ref().expect("there is a bot");
    let ended = bot.operations(call).next().expect("the prompt is known");
    assert_eq!(ended.status, Some(graph::OperationStatus::Completed));
    world.hang_up(address);
    world.run_ms(500);
    assert_eq!(world.bot.as_ref().map(|bot| bot.calls().count()), Some(0));
}

#[test]
fn a_call_that_is_told_of_but_not_known_is_adopted_and_one_that_is_not_there_is_not() {
    let mut world = World::new(1);
    let (call, address) = world.ring();
    world.run_ms(500);
    world.with_bot(|bot, now| bot.answer(now, call, &HOSTED)).expect("the call is there");
    world.bot = Some(Bot::new(bot_config(), epoch(), 9).expect("the config is valid"));
    world.run_ms(500);
    let bot = world.bot.as_ref().expect("there is a bot");
    assert_eq!(bot.call(call).and_then(|c| c.state.clone()), Some(graph::CallState::Established));
    world.hang_up(address);
    world.run_ms(500);
    let (mut alone, _) = with_call();
    let nowhere = "11111111-894c-409a-b240-bd8beae78896";
    let update = json!({"value": [{
        "changeType": "updated",
        "resourceUrl": format!("/communications/calls/{nowhere}"),
        "resourceData": {"id": nowhere, "state": "established"},
    }]});
    let outputs = alone.notify(None, &update);
    let [get] = requests(&outputs)[..] else { panic!("{outputs:?}") };
    alone.respond(get.id, 404, &json!({"error": {"code": "8522", "message": "Call not found."}}));
    assert!(requests(&alone.notify(None, &update)).is_empty(), "it asks once");
    assert_eq!(alone.bot.calls().count(), 1);
}

#[test]
fn a_call_that_the_platform_no_longer_knows_ends_although_nobody_said_so() {
    let (mut alone, call) = with_call();
    let outputs = alone.wait(Duration::from_secs(601));
    let [alive] = requests(&outputs)[..] else { panic!("{outputs:?}") };
    assert!(alive.uri.ends_with("/keepAlive"));
    alone.respond(alive.id, 404, &json!({"error": {"code": "8522", "message": "Call not found."}}));
    assert!(alone.bot.call(call).is_some(), "its end may be on its way");
    let outputs = alone.wait(Duration::from_secs(11));
    assert!(events(&outputs).iter().any(|e| matches!(e, Event::Ended { result: None, .. })));
    assert_eq!(alone.bot.poll_timeout(), None, "nothing outlives its call");
}

#[test]
fn what_was_begun_is_over_when_its_call_is() {
    let (mut alone, call) = with_call();
    let action = alone.bot.mute(alone.now, call).expect("the call is there");
    let outputs = alone.outputs();
    let [request] = requests(&outputs)[..] else { panic!("{outputs:?}") };
    let running = json!({"id": "21111111-894c-409a-b240-bd8beae78896", "status": "running"});
    alone.respond(request.id, 200, &running);
    let deleted = json!({"value": [{
        "changeType": "deleted",
        "resourceUrl": format!("/communications/calls/{CALL}"),
        "resourceData": {"id": CALL, "state": "terminated"},
    }]});
    let outputs = alone.notify(None, &deleted);
    let ended: Vec<_> = events(&outputs)
        .into_iter()
        .filter_map(|event| match event {
            Event::OperationCompleted { action, operation, .. } => {
                Some((*action, operation.status.clone()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(ended, [(Some(action), Some(graph::OperationStatus::Failed))]);
}

#[test]
fn every_action_of_the_api_is_asked_for_as_it_is_documented() {
    let (mut alone, call) = with_call();
    let now = alone.now;
    let leg = callrig_signaling::id::LegId::from_u128(7);
    let group = "oneToOne";
    let (ann, bot) = (Target::User("ann".into()), Target::Application("other".into()));
    let other = CallId::from_u128(5);
    let b = &mut alone.bot;
    let done: Vec<Result<_, _>> = vec![
        b.redirect(now, call, &[ann.clone(), bot], Some(Duration::from_secs(30))),
        b.transfer(now, call, &ann, Some(other), None),
        b.mute(now, call),
        b.unmute(now, call),
        b.change_screen_sharing_role(now, call, graph::ScreenSharingRole::Sharer),
        b.update_recording_status(now, call, graph::RecordingStatus::Recording),
        b.update_metadata(now, call, "x"),
        b.add_large_gallery_view(now, call),
        b.invite(now, call, std::slice::from_ref(&ann), None),
        b.remove_participant(now, call, leg),
        b.mute_participant(now, call, leg),
        b.mute_all(now, call, &[leg]),
        b.start_hold_music(now, call, leg, None),
        b.stop_hold_music(now, call, leg),
        b.create_routing_group(now, call, &graph::AudioRoutingGroup::typed()),
        b.update_routing_group(now, call, group, &graph::AudioRoutingGroup::typed()),
        b.list_routing_groups(now, call),
        b.delete_routing_group(now, call, group),
        b.list_content_sharing(now, call),
    ];
    assert!(done.iter().all(Result::is_ok));
    let outputs = alone.outputs();
    let base = format!("{API}/communications/calls/{call}");
    let asked: Vec<String> = requests(&outputs)
        .iter()
        .map(|request| format!("{} {}", request.method, request.uri.replace(&base, "")))
        .collect();
    let leg = leg.to_string();
    let expected = [
        "POST /redirect",
        "POST /transfer",
        "POST /mute",
        "POST /unmute",
        "POST /changeScreenSharingRole",
        "POST /updateRecordingStatus",
        "POST /updateMetadata",
        "POST /addLargeGalleryView",
        "POST /participants/invite",
        &format!("DELETE /participants/{leg}"),
        &format!("POST /participants/{leg}/mute"),
        "POST /participants/muteAll",
        &format!("POST /participants/{leg}/startHoldMusic"),
        &format!("POST /participants/{leg}/stopHoldMusic"),
        "POST /audioRoutingGroups",
        &format!("PATCH /audioRoutingGroups/{group}"),
        "GET /audioRoutingGroups",
        &format!("DELETE /audioRoutingGroups/{group}"),
        "GET /contentSharingSessions",
    ];
    assert_eq!(asked, expected);
    let bodies: Vec<Value> = requests(&outputs)
        .iter()
        .map(|request| serde_json::from_slice(&request.body).unwrap_or_default())
        .collect();
    assert_eq!(bodies[0]["targets"][1]["identity"]["application"]["id"], "other");
    assert_eq!(bodies[0]["timeout"], 30);
    assert_eq!(bodies[1]["transferTarget"]["replacesCallId"], other.to_string());
    assert_eq!(bodies[4]["role"], "sharer");
    assert_eq!(bodies[5]["status"], "recording");
    assert_eq!(bodies[8]["participants"][0]["identity"]["user"]["id"], "ann");
}

#[test]
fn meetings_are_made_found_changed_and_deleted() {
    let mut world = World::new(1);
    let ann = UserId::new("ann");
    let answered = |world: &World| {
        let answers = world.bot_said.iter().filter_map(|(_, event)| match event {
            Event::Answered { status, body, .. } => Some((*status, body.clone())),
            _ => None,
        });
        answers.last().expect("it is answered")
    };
    world.with_bot(|bot, now| bot.create_meeting(now, &ann, &"Plans".into()));
    world.run_ms(100);
    let (status, meeting) = answered(&world);
    assert_eq!((status, meeting["subject"].as_str()), (201, Some("Plans")));
    let (id, link) = (meeting["id"].as_str(), meeting["joinWebUrl"].as_str());
    let (id, link) = (id.expect("it has an id").to_owned(), link.expect("and a link").to_owned());
    assert!(bot::Join::from_link(&link).is_some(), "{link}");
    world.with_bot(|bot, now| bot.find_meetings(now, &ann, "JoinWebUrl", &link));
    world.run_ms(100);
    assert_eq!(answered(&world).1["value"][0]["id"], json!(id));
    world.with_bot(|bot, now| bot.update_meeting(now, &ann, &id, &"Better plans".into()));
    world.run_ms(100);
    world.with_bot(|bot, now| bot.get_meeting(now, &ann, &id));
    world.run_ms(100);
    assert_eq!(answered(&world).1["subject"], "Better plans");
    world.with_bot(|bot, now| bot.delete_meeting(now, &ann, &id));
    world.run_ms(100);
    assert_eq!(answered(&world), (204, Value::Null));
    assert_eq!(refusals(&world), Vec::<String>::new());
}

#[test]
fn somebody_who_joins_a_recorded_call_is_let_in_or_as_the_owner_says() {
    let joining = json!({
        "@odata.type": "#microsoft.graph.participantJoiningNotification",
        "call": {"@odata.type": "#microsoft.graph.call", "id": CALL},
    });
    let wrapped = json!({"value": [joining]});
    let (mut alone, _) = with_call();
    for body in [&joining, &wrapped] {
        let outputs = alone.notify(None, body);
        let [response] = responses(&outputs)[..] else { panic!("{outputs:?}") };
        assert_eq!(response.status, 200);
        assert_eq!(body_of(response)["@odata.type"], "#microsoft.graph.acceptJoinResponse");
    }
    let mut alone = Alone::new(bot::Config { joining: Joining::Ask, ..bot_config() });
    let outputs = alone.notify(None, &joining);
    assert!(responses(&outputs).is_empty());
    let request = RequestId(alone.requests);
    let reply = JoinReply::Reject(graph::RejectReason::Busy);
    assert!(alone.bot.reply_joining(alone.now, request, &reply));
    assert!(!alone.bot.reply_joining(alone.now, request, &reply), "it is answered");
    let outputs = alone.outputs();
    assert_eq!(body_of(responses(&outputs)[0])["reason"], "busy");
    alone.notify(None, &joining);
    let outputs = alone.wait(Duration::from_secs(5));
    let accepted = body_of(responses(&outputs)[0]);
    assert_eq!(accepted["@odata.type"], "#microsoft.graph.acceptJoinResponse");
    let left = json!({
        "@odata.type": "#microsoft.graph.participantLeftNotification",
        "participantId": "p", "call": {"id": CALL},
    });
    let outputs = alone.notify(None, &left);
    assert_eq!(responses(&outputs)[0].status, 202);
    assert!(
        events(&outputs)
            .iter()
            .any(|e| matches!(e, Event::Left { participant, .. } if participant == "p"))
    );
}

/// What happens in a world with a bad network.
#[derive(Clone, Debug)]
enum Step {
    Ring,
    CallAnn,
    Answer(usize),
    Reject(usize),
    Play(usize),
    Subscribe(usize),
    BotHangsUp(usize),
    PersonHangsUp(usize),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::Ring),
        2 => Just(Step::CallAnn),
        6 => (0..4_usize).prop_map(Step::Answer),
        1 => (0..4_usize).prop_map(Step::Reject),
        3 => (0..4_usize).prop_map(Step::Play),
        2 => (0..4_usize).prop_map(Step::Subscribe),
        1 => (0..4_usize).prop_map(Step::BotHangsUp),
        2 => (0..4_usize).prop_map(Step::PersonHangsUp),
        6 => prop_oneof![Just(50_u64), Just(700), Just(6_000)].prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..24)
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        4 => Just(Fate::Arrives),
        2 => Just(Fate::Lost),
        2 => Just(Fate::AnswerLost),
        3 => prop_oneof![Just(5_u64), Just(400), Just(3_000), Just(20_000)].prop_map(Fate::Twice),
    ];
    proptest::collection::vec(fate, 0..60)
}

fn take_step(world: &mut World, step: &Step, people: &mut Vec<std::net::SocketAddr>) {
    let nth = |world: &World, n: usize| world.bot.as_ref().and_then(|bot| bot.calls().nth(n));
    match step {
        Step::Ring => people.push(world.ring().1),
        Step::CallAnn => {
            world.with_bot(|bot, now| bot.call_user(now, &UserId::new("ann"), &HOSTED));
        }
        Step::Answer(n) => {
            if let Some(call) = nth(world, *n) {
                let _ = world.with_bot(|bot, now| bot.answer(now, call, &HOSTED));
            }
            // And whoever rings at a person is answered, too.
            let rung = world.said.iter().rev().find_map(|(_, event)| match event {
                Said::UserRung { leg, .. } => Some(*leg),
                _ => None,
            });
            if let Some(leg) = rung {
                let address = world.address();
                world.add_person(leg, &Description::audio(address));
                let answer = Description::audio(address);
                let _ = world.service.answer(world.now, leg, answer);
                world.drain();
            }
        }
        Step::Reject(n) => {
            if let Some(call) = nth(world, *n) {
                let reason = graph::RejectReason::Busy;
                let _ = world.with_bot(|bot, now| bot.reject(now, call, reason));
            }
        }
        Step::Play(n) => {
            if let Some(call) = nth(world, *n) {
                let file = MediaFile { uri: "https://bot.test/p.wav".into(), resource_id: None };
                let _ = world.with_bot(|bot, now| bot.play_prompt(now, call, &[file]));
            }
        }
        Step::Subscribe(n) => {
            if let Some(call) = nth(world, *n) {
                let _ = world.with_bot(|bot, now| bot.subscribe_to_tone(now, call));
            }
        }
        Step::BotHangsUp(n) => {
            if let Some(call) = nth(world, *n) {
                let _ = world.with_bot(|bot, now| bot.hang_up(now, call));
            }
        }
        Step::PersonHangsUp(n) => {
            if let Some(address) = people.get(*n) {
                let leg = world.person(*address).leg;
                let _ = world.service.hang_up(world.now, leg);
                world.drain();
            }
        }
        Step::Wait(ms) => world.run_ms(*ms),
    }
}

/// What the platform says of a call, when it is asked.
fn read(world: &mut World, call: CallId, path: &str) -> Option<Value> {
    let response = world.api(Method::Get, &format!("/communications/calls/{call}{path}"), "");
    (response.status == 200).then(|| body_of(&response))
}

/// Whether a bot cannot know of a call that it made: the answer that would have named it
/// was lost, and either so was every notification of it, or every attempt to ask what was
/// told of, which its owner hears. That is a limit of the API: such a call lasts until the
/// other side hangs up, or the platform misses its keepAlive.
fn is_out_of_reach(world: &World, call: CallId) -> bool {
    let told = world.said.iter().any(
        |(_, event)| matches!(event, Said::NotificationDelivered { call: of, .. } if *of == call),
    );
    let gave_up = world.bot_said.iter().any(|(_, event)| {
        matches!(event, Event::Refused { call: Some(of), status: 0, .. } if *of == call)
    });
    let create_lost = world
        .bot_said
        .iter()
        .any(|(_, event)| matches!(event, Event::Refused { call: None, status: 0, .. }));
    create_lost && (!told || gave_up)
}

fn assert_views_agree(world: &mut World) {
    let mut calls: Vec<CallId> = world
        .said
        .iter()
        .filter_map(|(_, event)| match event {
            Said::CallStateChanged { call, .. } => Some(*call),
            _ => None,
        })
        .collect();
    calls.sort();
    calls.dedup();
    let mut unknown = Vec::new();
    for call in calls {
        let truth = read(world, call, "");
        let roster = read(world, call, "/participants");
        let bot = world.bot.as_ref().expect("there is a bot");
        let known = bot.call(call).map(|details| json!(details.state));
        if known.is_none() && truth.is_some() && is_out_of_reach(world, call) {
            unknown.push(call);
            continue;
        }
        assert_eq!(known, truth.map(|truth| truth["state"].clone()), "{call}");
        let Some(roster) = roster else { continue };
        let mut there: Vec<_> = roster["value"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|p| p["id"].as_str().map(str::to_owned))
            .collect();
        let mut known: Vec<_> = bot.roster(call).filter_map(|p| p.id.clone()).collect();
        there.sort();
        known.sort();
        // A roster that was never told is not asked for.
        assert!(known.is_empty() || known == there, "{call}: {known:?} for {there:?}");
        let operations: Vec<_> = bot.operations(call).cloned().collect();
        let truth = read(world, call, "/operations").unwrap_or_default();
        for operation in operations {
            let id = operation.id.clone();
            let real = truth["value"].as_array().into_iter().flatten();
            let real = real.into_iter().find(|real| real["id"].as_str() == id.as_deref());
            let status = real.map(|real| real["status"].clone());
            assert_eq!(status, Some(json!(operation.status)), "{call}: {id:?}");
        }
    }
    if !unknown.is_empty() {
        world.run(Duration::from_secs(46 * 60));
    }
    for call in unknown {
        assert_eq!(read(world, call, ""), None, "{call}: nobody kept it alive");
    }
}

/// Everything happens once, and nothing of a call after its end.
fn assert_said_once(world: &World) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut ended = Vec::new();
    for (_, event) in &world.bot_said {
        let about = match event {
            Event::Incoming { call, .. } => Some((format!("incoming {call}"), call)),
            Event::Created { call, .. } => Some((format!("created {call}"), call)),
            Event::MediaActive { call } => Some((format!("active {call}"), call)),
            Event::OperationCompleted { call, operation, action, .. } => {
                let id = operation.id.clone().unwrap_or_else(|| format!("{action:?}"));
                Some((format!("completed {id}"), call))
            }
            Event::StateChanged { call, .. } | Event::RosterChanged { call, .. } => {
                assert!(!ended.contains(call), "{event:?} after the end of its call");
                None
            }
            Event::Ended { call, .. } => {
                ended.push(*call);
                *counts.entry(format!("ended {call}")).or_default() += 1;
                None
            }
            _ => None,
        };
        if let Some((what, call)) = about {
            assert!(!ended.contains(call), "{event:?} after the end of its call");
            *counts.entry(what).or_default() += 1;
        }
    }
    let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "said twice: {twice:?}");
}

#[test]
fn what_is_told_while_its_call_is_asked_for_is_not_forgotten() {
    let mut world = World::with_bot_of(config(), 1, bot_config());
    // The call is made, but its answer is lost; the bot asks for what it is told of, and
    // Ann answers before the platform does; the first notification comes once more.
    world.fates = [Fate::AnswerLost, Fate::Twice(3_000), Fate::Lost].into();
    let mut people = Vec::new();
    for step in [Step::CallAnn, Step::Wait(50), Step::Answer(0)] {
        take_step(&mut world, &step, &mut people);
    }
    world.run(Duration::from_secs(60));
    let bot = world.bot.as_ref().expect("there is a bot");
    let states: Vec<_> = bot.calls().map(|call| bot.call(call).map(|c| c.state.clone())).collect();
    assert_eq!(states, [Some(Some(graph::CallState::Established))]);
    assert_views_agree(&mut world);
    assert_said_once(&world);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_bots_view_is_the_platforms_whatever_the_network_does(steps in steps(), fates in fates()) {
        let mut world = World::with_bot_of(config(), 1, bot_config());
        world.files.insert("https://bot.test/p.wav".into(), wav(700));
        world.fates = fates.into();
        let mut people = Vec::new();
        for step in &steps {
            take_step(&mut world, step, &mut people);
        }
        // Quiet: the last delivery is given up, the last call that only the bot knows is
        // asked for by its keepAlive.
        world.fates.clear();
        world.run(Duration::from_secs(700));
        assert_views_agree(&mut world);
        assert_said_once(&world);
    }
}
