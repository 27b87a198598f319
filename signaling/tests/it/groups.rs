//! Group calls and meetings: how they begin, who is in them, how they end.

use std::time::Duration;

use callrig_media::description::Description;
use callrig_signaling::event::Event;
use callrig_signaling::http::Method;
use callrig_signaling::id::{CallId, LegId, UserId};
use callrig_signaling::service::directory::Permission;
use callrig_signaling::service::{Config, Destination};
use serde_json::{Value, json};

use crate::world::{WEBHOOK, World, accept, config, directory, json};

/// A platform with a webhook that takes everything.
pub(crate) fn world() -> World {
    World::with_webhook(config(), 1, Box::new(accept))
}

pub(crate) fn permitted(permissions: &[Permission]) -> World {
    let config = Config { directory: directory(permissions), ..config() };
    World::with_webhook(config, 1, Box::new(accept))
}

pub(crate) fn user(id: &str) -> Value {
    json!({"identity": {"user": {"id": id}}})
}

/// The body that makes a call to these people.
pub(crate) fn call_to(users: &[&str]) -> Value {
    let targets: Vec<Value> = users.iter().map(|id| user(id)).collect();
    json!({
        "callbackUri": WEBHOOK,
        "requestedModalities": ["audio"],
        "mediaConfig": {"@odata.type": "#microsoft.graph.serviceHostedMediaConfig"},
        "targets": targets
    })
}

/// The body that joins a meeting of Ann's.
pub(crate) fn join(thread: &str) -> Value {
    json!({
        "callbackUri": WEBHOOK,
        "requestedModalities": ["audio"],
        "mediaConfig": {"@odata.type": "#microsoft.graph.serviceHostedMediaConfig"},
        "chatInfo": {"threadId": thread, "messageId": "0"},
        "meetingInfo": {
            "@odata.type": "#microsoft.graph.organizerMeetingInfo",
            "organizer": {"user": {"id": "ann", "tenantId": "contoso"}}
        },
        "tenantId": "contoso"
    })
}

/// A call that is made, as its bot sees it.
pub(crate) fn create(world: &mut World, body: &Value) -> CallId {
    let made = world.api(Method::Post, "/communications/calls", &body.to_string());
    assert_eq!(made.status, 201, "{}", json(&made));
    let id = json(&made)["id"].as_str().and_then(CallId::parse);
    id.expect("a call has an id")
}

/// The legs that ring, with whom.
pub(crate) fn ringing(world: &World) -> Vec<(LegId, UserId)> {
    let rung = world.said.iter().filter_map(|(_, event)| match event {
        Event::UserRung { leg, user, .. } => Some((*leg, user.clone())),
        _ => None,
    });
    rung.collect()
}

/// A person who was rung takes the call, with a session of its own.
pub(crate) fn take(world: &mut World, leg: LegId) -> std::net::SocketAddr {
    let address = world.address();
    let local = Description::audio(address);
    world.add_person(leg, &local);
    world.service.answer(world.now, leg, local).expect("it rings");
    world.drain();
    address
}

/// A person joins a meeting.
pub(crate) fn come(world: &mut World, who: &str, meeting: &str) -> (LegId, bool) {
    let address = world.address();
    let local = Description::audio(address);
    let to = Destination::Meeting(meeting.to_owned());
    let came = world.service.join(world.now, &UserId::new(who), &to, local.clone());
    let came = came.expect("the meeting is there");
    world.add_person(came.leg, &local);
    world.drain();
    (came.leg, came.waits)
}

/// The rosters that a call was told, oldest first: (who, in the lobby, muted).
pub(crate) fn rosters(world: &World, call: CallId) -> Vec<Vec<(String, bool, bool)>> {
    let url = format!("/communications/calls/{call}/participants");
    world
        .told()
        .into_iter()
        .filter(|(_, told, _)| *told == url)
        .map(|(_, _, data)| {
            data.as_array().expect("a roster is an array").iter().map(seen).collect()
        })
        .collect()
}

fn seen(participant: &Value) -> (String, bool, bool) {
    let identity = &participant["info"]["identity"];
    let name = ["user", "application", "guest"].into_iter().find_map(|kind| {
        let id = identity[kind]["id"].as_str();
        id.or_else(|| identity[kind]["displayName"].as_str()).map(str::to_owned)
    });
    let flag = |name: &str| participant[name].as_bool().expect("it is always there");
    (name.expect("somebody"), flag("isInLobby"), flag("isMuted"))
}

pub(crate) fn names(roster: &[(String, bool, bool)]) -> Vec<&str> {
    roster.iter().map(|(name, _, _)| name.as_str()).collect()
}

#[test]
fn a_group_call_is_established_at_once_and_fills_as_people_answer() {
    let mut world = world();
    let call = create(&mut world, &call_to(&["ann", "ben", "cleo"]));
    world.run_ms(100);
    assert_eq!(
        world.told_states(),
        ["updated establishing", "updated established", "updated established+media"]
    );
    let rung = ringing(&world);
    assert_eq!(rung.len(), 3);
    assert_eq!(names(rosters(&world, call).last().expect("one")), ["bot"]);
    take(&mut world, rung[1].0);
    world.run_ms(50);
    assert_eq!(names(rosters(&world, call).last().expect("one")), ["bot", "ben"]);
    take(&mut world, rung[0].0);
    world.service.decline(world.now, rung[2].0).expect("it rings");
    world.drain();
    world.run_ms(50);
    // In the order in which they were rung, and once for everything of one moment.
    assert_eq!(names(rosters(&world, call).last().expect("one")), ["bot", "ann", "ben"]);
    assert_eq!(rosters(&world, call).len(), 3);
    let path = format!("/communications/calls/{call}/participants");
    let listed = json(&world.api(Method::Get, &path, ""));
    let listed = listed["value"].as_array().expect("a collection");
    let told = world.told().into_iter().rfind(|(_, url, _)| *url == path).expect("a roster");
    assert_eq!(&Value::Array(listed.clone()), &told.2);
    // One leaves, the call goes on; the last leaves, and the bot is told so.
    world.service.hang_up(world.now, rung[1].0).expect("it is in");
    world.drain();
    assert!(world.ended().is_empty());
    world.service.hang_up(world.now, rung[0].0).expect("it is in");
    world.drain();
    assert_eq!(world.ended(), [(200, 5002)]);
    world.run_ms(100);
    world.assert_nothing_left();
}

#[test]
fn a_group_call_that_nobody_takes_ends() {
    let mut world = world();
    create(&mut world, &call_to(&["ann", "ben"]));
    world.run_ms(100);
    let rung = ringing(&world);
    world.service.decline(world.now, rung[0].0).expect("it rings");
    world.drain();
    assert!(world.ended().is_empty());
    world.run(Duration::from_secs(61));
    assert_eq!(world.ended(), [(200, 5013)]);
    world.run_ms(100);
    world.assert_nothing_left();
}

#[test]
fn a_bot_that_leaves_a_group_call_leaves_the_others_to_themselves() {
    let mut world = world();
    let call = create(&mut world, &call_to(&["ann", "ben"]));
    world.run_ms(50);
    let rung = ringing(&world);
    for (leg, _) in &rung {
        take(&mut world, *leg);
    }
    world.run_ms(50);
    let path = format!("/communications/calls/{call}");
    assert_eq!(world.api(Method::Delete, &path, "").status, 204);
    world.run_ms(100);
    assert_eq!(world.ended(), [(200, 7000)]);
    let load = world.service.load();
    assert_eq!((load.calls, load.conversations, load.legs, load.sessions), (0, 1, 2, 2));
    for (leg, _) in rung {
        world.service.hang_up(world.now, leg).expect("it is in");
    }
    world.drain();
    world.run_ms(100);
    world.assert_nothing_left();
}

#[test]
fn a_group_call_needs_its_permission_and_has_its_limits() {
    let mut without = permitted(&[Permission::Initiate]);
    let body = call_to(&["ann", "ben"]).to_string();
    let refused = without.api(Method::Post, "/communications/calls", &body);
    assert_eq!((refused.status, json(&refused)["error"]["code"].as_str()), (403, Some("7504")));
    without.assert_nothing_left();
    let mut world = world();
    for users in [&["ann", "ann"][..], &["ann"; 6]] {
        let body = call_to(users).to_string();
        assert_eq!(world.api(Method::Post, "/communications/calls", &body).status, 400);
    }
    let body = call_to(&["ann", "nobody"]).to_string();
    assert_eq!(world.api(Method::Post, "/communications/calls", &body).status, 404);
    let mut elsewhere = call_to(&["ann", "ben"]);
    elsewhere["tenantId"] = "fabrikam".into();
    let refused = world.api(Method::Post, "/communications/calls", &elsewhere.to_string());
    assert_eq!((refused.status, json(&refused)["error"]["code"].as_str()), (403, Some("7505")));
    world.assert_nothing_left();
}

#[test]
fn a_delta_roster_tells_all_and_then_only_what_changed() {
    let mut world = world();
    let mut body = call_to(&["ann", "ben"]);
    body["callOptions"] = json!({"isDeltaRosterEnabled": true});
    let call = create(&mut world, &body);
    world.run_ms(50);
    let rung = ringing(&world);
    take(&mut world, rung[0].0);
    world.run_ms(50);
    take(&mut world, rung[1].0);
    world.run_ms(50);
    world.service.hang_up(world.now, rung[0].0).expect("it is in");
    world.drain();
    world.run_ms(50);
    let url = format!("/communications/calls/{call}/participants");
    let told: Vec<Value> =
        world.told().into_iter().filter(|(_, told, _)| *told == url).map(|t| t.2).collect();
    let who = |delta: &Value| -> Vec<(String, bool)> {
        let participants = delta["participants"].as_array().expect("it lists some");
        participants.iter().map(|p| (seen(p).0, p["removedState"].is_object())).collect()
    };
    assert_eq!(told.len(), 4);
    for (index, delta) in told.iter().enumerate() {
        assert_eq!(delta["@odata.type"], "#microsoft.graph.deltaParticipants");
        assert_eq!(delta["sequenceNumber"], index + 1);
        assert_eq!(delta["participants"][0]["rosterSequenceNumber"], index + 1);
    }
    assert_eq!(who(&told[0]), [("bot".to_owned(), false)]);
    assert_eq!(who(&told[1]), [("ann".to_owned(), false)]);
    assert_eq!(who(&told[2]), [("ben".to_owned(), false)]);
    assert_eq!(who(&told[3]), [("ann".to_owned(), true)]);
}

#[test]
fn a_meeting_is_joined_by_its_coordinates_and_waits_for_its_people() {
    let mut world = world();
    let call = create(&mut world, &join("19:meeting_x@thread.v2"));
    world.run_ms(200);
    let told = world.told();
    assert_eq!(told[1].2["chatInfo"]["threadId"], "19:meeting_x@thread.v2");
    assert_eq!(told[1].2["meetingInfo"]["organizer"]["user"]["id"], "ann");
    // A second instance of the same bot.
    let again = create(&mut world, &join("19:meeting_x@thread.v2"));
    world.run_ms(200);
    assert_eq!(names(rosters(&world, again).last().expect("one")), ["bot", "bot"]);
    assert_eq!(names(rosters(&world, call).last().expect("one")), ["bot", "bot"]);
    let (ann, waits) = come(&mut world, "ann", "19:meeting_x@thread.v2");
    assert!(!waits);
    world.run_ms(200);
    assert_eq!(names(rosters(&world, call).last().expect("one")), ["bot", "bot", "ann"]);
    world.service.hang_up(world.now, ann).expect("it is in");
    world.drain();
    assert_eq!(world.ended(), [(200, 5002), (200, 5002)]);
    world.run_ms(200);
    world.assert_nothing_left();
}

#[test]
fn a_meeting_to_which_nobody_comes_ends_for_its_bots() {
    let mut world = world();
    create(&mut world, &join("19:meeting_x@thread.v2"));
    world.run(Duration::from_secs(30 * 60 - 1));
    assert!(world.ended().is_empty());
    world.run(Duration::from_secs(2));
    assert_eq!(world.ended(), [(200, 5013)]);
    world.run_ms(200);
    world.assert_nothing_left();
}

/// A meeting in which a bot has waited for almost as long as it may, and then rings Ann.
fn rung_at_the_last_moment() -> (World, CallId, LegId) {
    let mut world = world();
    let call = create(&mut world, &join("19:x"));
    world.run(Duration::from_secs(30 * 60 - 20));
    let path = format!("/communications/calls/{call}/participants/invite");
    let body = json!({"participants": [user("ann")]}).to_string();
    assert_eq!(world.api(Method::Post, &path, &body).status, 200);
    let leg = ringing(&world)[0].0;
    // To the very moment at which the meeting would have ended, and past it.
    world.run(Duration::from_secs(20));
    world.run(Duration::from_secs(20));
    assert_eq!(world.ended(), [], "somebody is still rung");
    (world, call, leg)
}

/// How the operations of all calls ended.
fn operations_ended(world: &World) -> Vec<(u16, u32)> {
    let ended = world.said.iter().filter_map(|(_, event)| match event {
        Event::OperationEnded { result, .. } => Some((result.code, result.subcode)),
        _ => None,
    });
    ended.collect()
}

#[test]
fn a_meeting_does_not_end_while_somebody_is_rung_into_it() {
    let (mut world, _, leg) = rung_at_the_last_moment();
    take(&mut world, leg);
    assert_eq!(operations_ended(&world), [(200, 0)]);
    world.run(Duration::from_secs(60));
    assert_eq!(world.ended(), [], "Ann is in it");
    world.service.hang_up(world.now, leg).expect("she is in");
    world.drain();
    assert_eq!(world.ended(), [(200, 5002)]);

    let (mut world, _, _) = rung_at_the_last_moment();
    world.run(Duration::from_secs(21));
    assert_eq!(operations_ended(&world), [(487, 10004)]);
    assert_eq!(world.ended(), [(200, 5013)], "and it waits no longer");
    world.run_ms(200);
    world.assert_nothing_left();
}

#[test]
fn an_invitation_into_a_conference_that_ends_is_cancelled() {
    let mut world = world();
    let call = create(&mut world, &join("19:x"));
    let (ann, _) = come(&mut world, "ann", "19:x");
    let path = format!("/communications/calls/{call}/participants/invite");
    let body = json!({"participants": [user("ben")]}).to_string();
    assert_eq!(world.api(Method::Post, &path, &body).status, 200);
    world.service.end_for_all(world.now, ann).expect("she is in");
    world.drain();
    assert_eq!(operations_ended(&world), [(400, 8508)]);
    assert_eq!(world.ended(), [(200, 5001)]);
    world.run_ms(200);
    world.assert_nothing_left();
}

#[test]
fn joining_needs_the_permission_the_tenant_and_the_coordinates() {
    let mut without = permitted(&[Permission::Initiate, Permission::JoinGroupCallAsGuest]);
    let body = join("19:x");
    let code = |world: &mut World, body: &Value| {
        let refused = world.api(Method::Post, "/communications/calls", &body.to_string());
        (refused.status, json(&refused)["error"]["code"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(code(&mut without, &body), (403, "7504".to_owned()));
    let mut world = world();
    let mut wrong = body.clone();
    wrong["tenantId"] = "fabrikam".into();
    assert_eq!(code(&mut world, &wrong), (403, "7505".to_owned()));
    let mut wrong = body.clone();
    wrong["tenantId"] = Value::Null;
    wrong["meetingInfo"]["organizer"]["user"]["tenantId"] = "fabrikam".into();
    assert_eq!(code(&mut world, &wrong), (403, "7505".to_owned()));
    let mut wrong = body.clone();
    wrong["meetingInfo"]["organizer"]["user"]["id"] = "nobody".into();
    assert_eq!(code(&mut world, &wrong).0, 404);
    let mut wrong = body.clone();
    wrong["chatInfo"] = json!({});
    assert_eq!(code(&mut world, &wrong).0, 400);
    for (kind, property, status) in [
        ("tokenMeetingInfo", "token", 404),
        ("joinMeetingIdMeetingInfo", "joinMeetingId", 404),
        ("psychicMeetingInfo", "mind", 400),
    ] {
        let mut wrong = body.clone();
        wrong["meetingInfo"] =
            json!({"@odata.type": format!("#microsoft.graph.{kind}"), property: "x"});
        assert_eq!(code(&mut world, &wrong).0, status, "{kind}");
    }
    world.assert_nothing_left();
}

#[test]
fn a_meeting_made_by_the_api_is_joined_by_its_number_and_passcode() {
    let mut world = world();
    let made = world.api(Method::Post, "/users/ann/onlineMeetings", r#"{"subject":"x"}"#);
    assert_eq!(made.status, 201);
    let meeting = json(&made);
    let settings = &meeting["joinMeetingIdSettings"];
    let mut body = call_to(&[]);
    body["meetingInfo"] = json!({
        "@odata.type": "#microsoft.graph.joinMeetingIdMeetingInfo",
        "joinMeetingId": settings["joinMeetingId"],
        "passcode": "wrong"
    });
    let refused = world.api(Method::Post, "/communications/calls", &body.to_string());
    assert_eq!(refused.status, 403);
    body["meetingInfo"]["passcode"] = settings["passcode"].clone();
    let call = create(&mut world, &body);
    let link = meeting["joinWebUrl"].as_str().expect("it has a link").to_owned();
    let (_, waits) = come(&mut world, "ben", &link);
    assert!(!waits, "the organisation passes the lobby by");
    world.run_ms(200);
    assert_eq!(names(rosters(&world, call).last().expect("one")), ["bot", "ben"]);
}

#[test]
fn a_guest_waits_in_the_lobby_until_it_is_let_in() {
    let mut world = world();
    let (ann, _) = {
        create(&mut world, &join("19:x"));
        come(&mut world, "ann", "19:x")
    };
    let mut body = join("19:x");
    body["source"] = json!({"identity": {"guest": {"displayName": "Guest Bot"}}});
    let guest = create(&mut world, &body);
    world.run_ms(200);
    let first = rosters(&world, guest);
    assert!(first.is_empty(), "who waits is told of no roster: {first:?}");
    let shown = json(&world.api(Method::Get, &format!("/communications/calls/{guest}"), ""));
    assert_eq!(shown["state"], "establishing");
    let other = world
        .told()
        .into_iter()
        .rfind(|(_, url, _)| url.ends_with("/participants"))
        .expect("the other bot is told");
    let lobby: Vec<(String, bool, bool)> =
        other.2.as_array().expect("an array").iter().map(seen).collect();
    assert_eq!(lobby.last(), Some(&("Guest Bot".to_owned(), true, false)));
    let leg = LegId::parse(shown["myParticipantId"].as_str().expect("an id")).expect("a GUID");
    world.service.admit(world.now, leg).expect("it waits");
    world.drain();
    world.run_ms(200);
    assert_eq!(names(rosters(&world, guest).last().expect("one")), ["bot", "ann", "Guest Bot"]);
    world.service.end_for_all(world.now, ann).expect("it is in");
    world.drain();
    assert_eq!(world.ended(), [(200, 5001), (200, 5001)]);
    world.run_ms(200);
    world.assert_nothing_left();
}

#[test]
fn whoever_nobody_lets_in_is_sent_away() {
    let mut world = world();
    let made = world.api(
        Method::Post,
        "/users/ann/onlineMeetings",
        r#"{"lobbyBypassSettings":{"scope":"organizer"}}"#,
    );
    let thread = json(&made)["chatInfo"]["threadId"].as_str().expect("a thread").to_owned();
    come(&mut world, "ann", &thread);
    let (_, waits) = come(&mut world, "ben", &thread);
    assert!(waits);
    let call = create(&mut world, &join(&thread));
    world.run(Duration::from_secs(30 * 60 + 1));
    assert_eq!(world.ended(), [(200, 5855)]);
    let turned = world.said.iter().any(|(_, event)| match event {
        Event::LegEnded { result, .. } => result.subcode == 5855,
        _ => false,
    });
    assert!(turned);
    assert!(rosters(&world, call).is_empty());
}
