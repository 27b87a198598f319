//! What happens in conferences: invitations, escalation, muting, hold music, shared
//! screens, recording by policy, and what everybody hears.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use callrig_media::description::Description;
use callrig_media::dtmf::Tone;
use callrig_media::event::Event as MediaEvent;
use callrig_signaling::event::Event;
use callrig_signaling::graph::ChangeType;
use callrig_signaling::http::{Method, Request, Response};
use callrig_signaling::id::{AppId, CallId, LegId, UserId};
use callrig_signaling::service::directory::Permission;
use callrig_signaling::service::{Config, Destination};
use serde_json::{Value, json};

use crate::groups::{
    call_to, come, create, join, names, permitted, ringing, rosters, take, user, world,
};
use crate::world::{SERVICE_HOSTED, World, config, json, wav};

fn ask(world: &mut World, call: CallId, action: &str, body: &Value) -> Response {
    let path = format!("/communications/calls/{call}/{action}");
    world.api(Method::Post, &path, &body.to_string())
}

/// A group call of the bot's with Ann and Ben in it, who both have a session.
fn group(world: &mut World) -> (CallId, Vec<(LegId, SocketAddr)>) {
    let call = create(world, &call_to(&["ann", "ben"]));
    world.run_ms(200);
    let rung: Vec<LegId> = ringing(world).into_iter().map(|(leg, _)| leg).collect();
    let people = rung.into_iter().map(|leg| (leg, take(world, leg))).collect();
    world.run_ms(200);
    (call, people)
}

/// Ann calls the bot, which answers.
fn peer_to_peer(world: &mut World) -> (CallId, LegId, SocketAddr) {
    let (call, address) = world.ring();
    world.run_ms(200);
    assert_eq!(
        ask(world, call, "answer", &serde_json::from_str(SERVICE_HOSTED).expect("JSON")).status,
        202
    );
    world.run_ms(200);
    (call, world.person(address).leg, address)
}

/// How many 20 ms of sound a person has heard that are loud, since the last time.
fn heard(world: &mut World, address: SocketAddr) -> usize {
    let heard = core::mem::take(&mut world.person(address).heard);
    let loud = |event: &&MediaEvent| match event {
        MediaEvent::Audio(audio) => audio.level().minus_dbov() < 40,
        _ => false,
    };
    heard.iter().filter(loud).count()
}

/// The operations whose end a call was told of: type, status, subcode.
fn ends(world: &World, call: CallId) -> Vec<(String, String, Option<i64>)> {
    let prefix = format!("/communications/calls/{call}/operations/");
    world
        .told()
        .into_iter()
        .filter(|(change, url, _)| *change == ChangeType::Deleted && url.starts_with(&prefix))
        .map(|(_, _, data)| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let kind = text(&data["@odata.type"]).replace("#microsoft.graph.", "");
            (kind, text(&data["status"]), data["resultInfo"]["subcode"].as_i64())
        })
        .collect()
}

#[test]
fn everybody_hears_all_but_themselves_and_a_muted_one_is_not_heard() {
    let mut world = world();
    let (call, people) = group(&mut world);
    let [(ann, ann_at), (_, ben_at)] = people[..] else { panic!("two people") };
    world.person(ann_at).speaks = true;
    world.run_ms(1000);
    let (by_ann, by_ben) = (heard(&mut world, ann_at), heard(&mut world, ben_at));
    assert_eq!(by_ann, 0, "Ann hears herself");
    assert!(by_ben > 35, "Ben hears {by_ben} of 50");
    let muted =
        ask(&mut world, call, &format!("participants/{ann}/mute"), &json!({"clientContext": "m"}));
    assert_eq!(muted.status, 200);
    assert_eq!(json(&muted)["@odata.type"], "#microsoft.graph.muteParticipantOperation");
    assert_eq!(json(&muted)["status"], "completed");
    world.run_ms(300);
    heard(&mut world, ben_at);
    world.run_ms(1000);
    assert_eq!(heard(&mut world, ben_at), 0, "Ann is muted");
    let last = rosters(&world, call).pop().expect("a roster");
    assert_eq!(last[1], ("ann".to_owned(), false, true));
    assert!(ends(&world, call).is_empty(), "it was completed in its answer");
}

#[test]
fn a_prompt_is_heard_by_all_and_keys_are_told() {
    let mut world = world();
    world.files.insert("https://files.test/a.wav".into(), wav(500));
    let (call, people) = group(&mut world);
    assert_eq!(ask(&mut world, call, "subscribeToTone", &json!({})).status, 200);
    let prompt = json!({"prompts": [{"mediaInfo": {"uri": "https://files.test/a.wav"}}]});
    assert_eq!(ask(&mut world, call, "playPrompt", &prompt).status, 200);
    world.run_ms(1500);
    for (_, address) in &people {
        let heard = heard(&mut world, *address);
        assert!((20..=32).contains(&heard), "25 frames of 20 ms were played, {heard} heard");
    }
    assert_eq!(ends(&world, call), [("playPromptOperation".into(), "completed".into(), Some(0))]);
    world
        .with_session(people[1].1, |session, now| {
            session.send_tone(now, Tone::Tone7, Duration::from_millis(160))
        })
        .expect("tones are negotiated");
    world.run_ms(500);
    let tones: Vec<String> = world
        .told()
        .iter()
        .filter_map(|(_, _, data)| data["toneInfo"]["tone"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(tones, ["tone7"]);
}

#[test]
fn what_is_said_in_a_conference_is_recorded() {
    let mut world = world();
    let (call, people) = group(&mut world);
    world.person(people[0].1).speaks = true;
    let rules = json!({"playBeep": false, "maxRecordDurationInSeconds": 2});
    assert_eq!(ask(&mut world, call, "recordResponse", &rules).status, 200);
    world.run_ms(4000);
    assert_eq!(ends(&world, call), [("recordOperation".into(), "completed".into(), Some(8515))]);
}

#[test]
fn an_invitation_ends_when_everybody_has_answered_somehow() {
    let mut world = world();
    let call = create(&mut world, &call_to(&["ann", "ben"]));
    world.run_ms(200);
    let rung = ringing(&world);
    take(&mut world, rung[0].0);
    world.service.decline(world.now, rung[1].0).expect("it rings");
    world.drain();
    let body = json!({"participants": [user("ben"), user("cleo")], "clientContext": "who"});
    let invited = ask(&mut world, call, "participants/invite", &body);
    assert_eq!(invited.status, 200);
    let shown = json(&invited);
    assert_eq!(shown["@odata.type"], "#microsoft.graph.inviteParticipantsOperation");
    assert_eq!(
        (shown["status"].as_str(), shown["clientContext"].as_str()),
        (Some("running"), Some("who"))
    );
    assert!(invited.header("Location").is_some_and(|at| at.contains("/operations/")));
    let rung: Vec<LegId> = ringing(&world).into_iter().skip(2).map(|(leg, _)| leg).collect();
    take(&mut world, rung[1]);
    world.run_ms(200);
    assert!(ends(&world, call).is_empty());
    world.service.decline(world.now, rung[0]).expect("it rings");
    world.drain();
    world.run_ms(200);
    assert_eq!(
        ends(&world, call),
        [("inviteParticipantsOperation".into(), "completed".into(), Some(0))]
    );
    assert_eq!(names(rosters(&world, call).last().expect("one")), ["bot", "ann", "cleo"]);
    // An invitation that nobody takes has failed.
    let body = json!({"participants": [user("ben")]});
    assert_eq!(ask(&mut world, call, "participants/invite", &body).status, 200);
    let (last, _) = ringing(&world).pop().expect("it rings");
    world.service.decline(world.now, last).expect("it rings");
    world.drain();
    world.run_ms(200);
    assert_eq!(
        ends(&world, call).last(),
        Some(&("inviteParticipantsOperation".into(), "failed".into(), Some(10024)))
    );
}

#[test]
fn invitations_have_their_limits_and_their_permission() {
    let mut world = permitted(&[Permission::Initiate, Permission::JoinGroupCall]);
    let (call, _, _) = peer_to_peer(&mut world);
    let body = json!({"participants": [user("ben")]});
    assert_eq!(ask(&mut world, call, "participants/invite", &body).status, 403);
    assert!(ringing(&world).is_empty());
    let mut world = crate::groups::world();
    let (call, _, _) = peer_to_peer(&mut world);
    for (body, status) in [
        (json!({"participants": []}), 400),
        (json!({"participants": vec![user("ben"); 6]}), 400),
        (json!({"participants": [user("ben"), user("cleo")]}), 400),
        (json!({"participants": [{"identity": {"phone": {"id": "+123"}}}]}), 403),
        (json!({"participants": [{"identity": {"application": {"id": "nobody"}}}]}), 404),
        (
            json!({"participants": [{"identity": {"user": {"id": "ben"}}, "replacesCallId": "x"}]}),
            404,
        ),
    ] {
        let answer = ask(&mut world, call, "participants/invite", &body);
        assert_eq!(answer.status, status, "{body}");
    }
    let participants = format!("/communications/calls/{call}/participants");
    let listed = json(&world.api(Method::Get, &participants, ""));
    assert_eq!(listed["value"].as_array().map(Vec::len), Some(2));
    assert!(rosters(&world, call).is_empty(), "nothing has changed");
}

#[test]
fn a_consultative_join_brings_the_person_over_and_ends_the_first_call() {
    let mut world = world();
    let (first, ann, address) = peer_to_peer(&mut world);
    let meeting = create(&mut world, &join("19:x"));
    world.run_ms(200);
    let body = json!({"participants": [{
        "identity": {"user": {"id": "ann"}},
        "replacesCallId": format!("/app/calls/{}", first.to_old_spelling())
    }]});
    assert_eq!(ask(&mut world, meeting, "participants/invite", &body).status, 200);
    world.run_ms(300);
    assert_eq!(
        ends(&world, meeting),
        [("inviteParticipantsOperation".into(), "completed".into(), Some(0))]
    );
    assert_eq!(names(rosters(&world, meeting).last().expect("one")), ["bot", "ann"]);
    assert_eq!(world.ended(), [(200, 18503)]);
    let ended = world.said.iter().any(|(_, event)| matches!(event, Event::LegEnded { .. }));
    assert!(!ended, "Ann goes on");
    // Her session is the same: the meeting's bot is heard by her.
    world.files.insert("https://files.test/a.wav".into(), wav(500));
    let prompt = json!({"prompts": [{"mediaInfo": {"uri": "https://files.test/a.wav"}}]});
    assert_eq!(ask(&mut world, meeting, "playPrompt", &prompt).status, 200);
    heard(&mut world, address);
    world.run_ms(1500);
    assert!(heard(&mut world, address) > 20);
    world.service.hang_up(world.now, ann).expect("she is in");
    world.drain();
    world.run_ms(300);
    world.assert_nothing_left();
}

#[test]
fn a_call_that_grows_tells_no_rosters_unless_it_is_told_to() {
    for later in [false, true] {
        let config = Config { rosters_after_escalation: later, ..config() };
        let mut world = World::with_webhook(config, 1, Box::new(crate::world::accept));
        world.files.insert("https://files.test/a.wav".into(), wav(1000));
        let (call, ann, ann_at) = peer_to_peer(&mut world);
        let prompt = json!({"prompts": [{"mediaInfo": {"uri": "https://files.test/a.wav"}}]});
        assert_eq!(ask(&mut world, call, "playPrompt", &prompt).status, 200);
        world.run_ms(300);
        let body = json!({"participants": [user("ben")]});
        assert_eq!(ask(&mut world, call, "participants/invite", &body).status, 200);
        let (ben, _) = ringing(&world).pop().expect("it rings");
        let ben_at = take(&mut world, ben);
        // The prompt goes on through all of that, and everybody hears it.
        world.run_ms(1500);
        assert!(heard(&mut world, ann_at) > 40);
        assert!(heard(&mut world, ben_at) > 15);
        assert_eq!(ends(&world, call).len(), 2);
        world.person(ann_at).speaks = true;
        world.run_ms(1000);
        assert!(heard(&mut world, ben_at) > 35, "Ann's media goes to the mixer now");
        assert_eq!(rosters(&world, call).is_empty(), !later);
        let path = format!("/communications/calls/{call}/participants");
        let listed = json(&world.api(Method::Get, &path, ""));
        assert_eq!(listed["value"].as_array().map(Vec::len), Some(3));
        for leg in [ann, ben] {
            world.service.hang_up(world.now, leg).expect("it is in");
        }
        world.drain();
        assert_eq!(world.ended(), [(200, 5002)]);
        world.run_ms(300);
        world.assert_nothing_left();
    }
}

#[test]
fn app_hosted_media_is_mixed_once_the_call_has_grown() {
    let mut world = World::new(3);
    let (call, ann_at) = world.ring();
    world.run_ms(200);
    let address: SocketAddr = ([127, 0, 0, 3], 9000).into();
    let media = callrig_signaling::bot::AnswerMedia::AppHosted(Description::audio(address));
    world.with_bot(|bot, now| bot.answer(now, call, &media)).expect("it rings");
    world.run_ms(500);
    let ann = world.person(ann_at).leg;
    let ben = world.service.invite_user(world.now, ann, &UserId::new("ben")).expect("Ann is in");
    world.drain();
    let ben_at = take(&mut world, ben);
    world.run_ms(200);
    world.person(ann_at).speaks = true;
    world.run_ms(1000);
    assert!(heard(&mut world, ben_at) > 35);
    assert_eq!(heard(&mut world, ann_at), 0);
    world.hang_up(ann_at);
    world.hang_up(ben_at);
    world.run_ms(500);
    world.assert_nothing_left();
}

#[test]
fn a_bot_that_may_not_join_is_dropped_when_a_person_brings_others_in() {
    let mut world = permitted(&[Permission::Initiate]);
    let (_, ann, _) = peer_to_peer(&mut world);
    let ben = world.service.invite_user(world.now, ann, &UserId::new("ben")).expect("Ann is in");
    world.drain();
    assert_eq!(world.ended(), [(403, 90008)]);
    take(&mut world, ben);
    world.run_ms(300);
    let load = world.service.load();
    assert_eq!((load.calls, load.legs), (0, 2), "the people go on");
    for leg in [ann, ben] {
        world.service.hang_up(world.now, leg).expect("it is in");
    }
    world.drain();
    world.run_ms(300);
    world.assert_nothing_left();
}

#[test]
fn a_bot_is_asked_in_with_a_token_that_others_can_join_by() {
    let mut world = world();
    let (call, _) = group(&mut world);
    let body = json!({"participants": [{"identity": {"application": {"id": "other"}}}]});
    assert_eq!(ask(&mut world, call, "participants/invite", &body).status, 200);
    world.run_ms(200);
    let told = world.told();
    let incoming = told.iter().find(|(_, _, data)| data["state"] == "incoming").expect("it rings");
    assert_eq!(incoming.2["meetingInfo"]["@odata.type"], "#microsoft.graph.tokenMeetingInfo");
    let other = CallId::parse(incoming.2["id"].as_str().expect("an id")).expect("a GUID");
    let answer = format!("/communications/calls/{other}/answer");
    assert_eq!(world.api_as("other", Method::Post, &answer, SERVICE_HOSTED).status, 202);
    world.run_ms(200);
    assert_eq!(names(rosters(&world, other).last().expect("one")), ["bot", "ann", "ben", "other"]);
    assert_eq!(ends(&world, call).len(), 1);
    let mut body = call_to(&[]);
    body["meetingInfo"] = incoming.2["meetingInfo"].clone();
    create(&mut world, &body);
    world.run_ms(200);
    assert_eq!(rosters(&world, call).last().map(Vec::len), Some(5));
}

#[test]
fn a_removed_bot_is_told_why_and_a_removed_person_is_out() {
    let mut world = world();
    let (call, people) = group(&mut world);
    let again = create(&mut world, &join("19:y"));
    let path = format!("/communications/calls/{call}/participants/{}", people[0].0);
    assert_eq!(world.api(Method::Delete, &path, "").status, 204);
    world.run_ms(200);
    assert_eq!(names(rosters(&world, call).last().expect("one")), ["bot", "ben"]);
    let gone = world.said.iter().any(|(_, event)| match event {
        Event::LegEnded { leg, result } => *leg == people[0].0 && result.subcode == 5300,
        _ => false,
    });
    assert!(gone);
    assert_eq!(world.api(Method::Delete, &path, "").status, 404);
    // Of the meeting, the second instance removes the first.
    let third = create(&mut world, &join("19:y"));
    let shown = json(&world.api(Method::Get, &format!("/communications/calls/{again}"), ""));
    let leg = shown["myParticipantId"].as_str().expect("an id");
    let path = format!("/communications/calls/{third}/participants/{leg}");
    assert_eq!(world.api(Method::Delete, &path, "").status, 204);
    assert_eq!(world.ended(), [(200, 5300)]);
}

#[test]
fn people_mute_themselves_raise_hands_and_share_their_screen() {
    let mut world = world();
    let mut body = join("19:x");
    body["callOptions"] = json!({"isContentSharingNotificationEnabled": true});
    let call = create(&mut world, &body);
    let (ann, _) = come(&mut world, "ann", "19:x");
    world.run_ms(200);
    world.service.set_muted(world.now, ann, true).expect("she is in");
    world.service.raise_hand(world.now, ann, true).expect("she is in");
    world.service.share_screen(world.now, ann, true).expect("she is in");
    world.drain();
    world.run_ms(200);
    let told = world.told();
    let url = format!("/communications/calls/{call}/participants");
    let roster = told.iter().rfind(|(_, told, _)| *told == url).expect("a roster");
    let shown = &roster.2[1];
    assert_eq!(shown["isMuted"], true);
    assert_eq!(shown["publishedStates"][0]["type"], "raiseHands");
    let screen = &shown["mediaStreams"][1];
    assert_eq!(
        (screen["label"].as_str(), screen["direction"].as_str()),
        (Some("applicationsharing-video"), Some("sendOnly"))
    );
    let sessions = format!("/communications/calls/{call}/contentsharingsessions");
    let begun = told.iter().find(|(_, told, _)| *told == sessions).expect("it is told");
    assert_eq!(begun.0, ChangeType::Created);
    let id = begun.2[0]["id"].as_str().expect("an id").to_owned();
    let listed = json(&world.api(Method::Get, &sessions, ""));
    assert_eq!(listed["value"][0]["id"], id.as_str());
    assert_eq!(world.api(Method::Get, &format!("{sessions}/{id}"), "").status, 200);
    assert_eq!(ask(&mut world, call, "participants/lowerAllHands", &json!({})).status, 204);
    // Who leaves stops sharing.
    world.service.hang_up(world.now, ann).expect("she is in");
    world.drain();
    world.run_ms(200);
    assert_eq!(world.api(Method::Get, &format!("{sessions}/{id}"), "").status, 404);
    let ended = world
        .told()
        .iter()
        .any(|(change, told, _)| *change == ChangeType::Deleted && *told == sessions);
    assert!(ended);
}

#[test]
fn one_at_a_time_hears_hold_music() {
    let mut world = world();
    world.files.insert("https://files.test/hold.wav".into(), wav(500));
    let (call, people) = group(&mut world);
    let [(ann, ann_at), (ben, ben_at)] = people[..] else { panic!("two people") };
    let start = |leg| format!("participants/{leg}/startHoldMusic");
    let body = json!({"customPrompt": {"mediaInfo": {"uri": "https://files.test/hold.wav"}}, "clientContext": "h"});
    let started = ask(&mut world, call, &start(ann), &body);
    assert_eq!((started.status, json(&started)["status"].as_str()), (202, Some("running")));
    assert_eq!(ask(&mut world, call, &start(ben), &json!({})).status, 409);
    world.person(ben_at).speaks = true;
    world.person(ann_at).speaks = true;
    world.run_ms(1000);
    assert_eq!(
        ends(&world, call),
        [("startHoldMusicOperation".into(), "completed".into(), Some(0))]
    );
    heard(&mut world, ben_at);
    assert!(heard(&mut world, ann_at) > 30, "Ann hears the music");
    world.run_ms(500);
    assert_eq!(heard(&mut world, ben_at), 0, "nobody hears who is on hold");
    let stop = format!("participants/{ann}/stopHoldMusic");
    assert_eq!(ask(&mut world, call, &stop, &json!({})).status, 202);
    assert_eq!(ask(&mut world, call, &stop, &json!({})).status, 409);
    world.run_ms(1000);
    assert!(heard(&mut world, ben_at) > 30);
    assert_eq!(ask(&mut world, call, &start(ben), &json!({})).status, 202, "the usual music");
    // A prompt that cannot be had puts nobody on hold.
    let stop = format!("participants/{ben}/stopHoldMusic");
    assert_eq!(ask(&mut world, call, &stop, &json!({})).status, 202);
    let body = json!({"customPrompt": {"mediaInfo": {"uri": "https://files.test/none.wav"}}});
    assert_eq!(ask(&mut world, call, &start(ben), &body).status, 202);
    world.run_ms(500);
    assert_eq!(ends(&world, call).last().map(|end| end.2), Some(Some(8536)));
    assert_eq!(ask(&mut world, call, &stop, &json!({})).status, 409);
}

#[test]
fn audio_routing_groups_and_mixer_levels_say_who_hears_whom() {
    let mut world = world();
    let (call, people) = group(&mut world);
    let [(ann, ann_at), (ben, ben_at)] = people[..] else { panic!("two people") };
    world.person(ann_at).speaks = true;
    let level = json!({"participantMixerLevels": [{
        "participant": ben.to_string(), "exclusive": true,
        "sourceLevels": [{"participant": ann.to_string(), "level": 0}]
    }]});
    let set = ask(&mut world, call, "participants/configureMixer", &level);
    assert_eq!((set.status, json(&set)["status"].as_str()), (200, Some("running")));
    world.run_ms(300);
    heard(&mut world, ben_at);
    world.run_ms(500);
    assert_eq!(heard(&mut world, ben_at), 0);
    let level = json!({"participantMixerLevels": [{"participant": ben.to_string()}]});
    assert_eq!(ask(&mut world, call, "participants/configureMixer", &level).status, 200);
    world.run_ms(500);
    assert!(heard(&mut world, ben_at) > 15);
    let group = json!({"id": "oneToOne", "routingMode": "oneToOne", "sources": [ann.to_string()], "receivers": [ben.to_string()]});
    let made = ask(&mut world, call, "audioRoutingGroups", &group);
    assert_eq!((made.status, json(&made)), (200, group.clone()));
    assert_eq!(ask(&mut world, call, "audioRoutingGroups", &group).status, 409);
    let base = format!("/communications/calls/{call}/audioRoutingGroups");
    assert_eq!(json(&world.api(Method::Get, &base, ""))["value"][0], group);
    let one = format!("{base}/ONETOONE");
    let changed = world.api(Method::Patch, &one, &json!({"receivers": ["x", "y"]}).to_string());
    assert_eq!((changed.status, json(&changed)["receivers"][1].as_str()), (200, Some("y")));
    assert_eq!(world.api(Method::Delete, &one, "").status, 204);
    assert_eq!(world.api(Method::Get, &one, "").status, 404);
    for bad in [
        json!({}),
        json!({"routingMode": "oneToOne", "sources": [], "receivers": ["x"]}),
        json!({"routingMode": "telepathy", "sources": ["x"], "receivers": ["x"]}),
    ] {
        assert_eq!(ask(&mut world, call, "audioRoutingGroups", &bad).status, 400, "{bad}");
    }
}

#[test]
fn features_answer_running_and_are_told_of_when_they_are_done() {
    let mut world = world();
    let call = create(&mut world, &join("19:x"));
    world.run_ms(200);
    for (action, kind) in [
        ("addLargeGalleryView", "addLargeGalleryViewOperation"),
        ("microsoft.graph.StartRecording", "startRecordingOperation"),
        ("stopRecording", "stopRecordingOperation"),
        ("startTranscription", "startTranscriptionOperation"),
        ("stopTranscription", "stopTranscriptionOperation"),
    ] {
        let answer = ask(&mut world, call, action, &json!({"clientContext": action}));
        assert_eq!(answer.status, 202, "{action}");
        assert_eq!(json(&answer)["status"], "running");
        world.run_ms(200);
        assert_eq!(ends(&world, call).last(), Some(&(kind.into(), "completed".into(), Some(0))));
    }
    let gallery = rosters(&world, call).pop().expect("a roster");
    assert_eq!(gallery.len(), 2);
    let shown = json(&world.api(Method::Get, &format!("/communications/calls/{call}"), ""));
    assert_eq!(shown["transcription"]["state"], "inactive");
    assert_eq!(ask(&mut world, call, "updateMetadata", &json!({"metadata": "m"})).status, 200);
    world.run_ms(200);
    let path = format!(
        "/communications/calls/{call}/participants/{}",
        shown["myParticipantId"].as_str().expect("an id")
    );
    assert_eq!(json(&world.api(Method::Get, &path, ""))["metadata"], "m");
    assert_eq!(world.api(Method::Delete, &format!("/communications/calls/{call}"), "").status, 204);
    world.run_ms(200);
    world.assert_nothing_left();
}

#[test]
fn what_is_for_groups_is_refused_in_peer_to_peer_calls() {
    let mut world = world();
    let (call, ann, _) = peer_to_peer(&mut world);
    for action in [
        "mute".to_owned(),
        "unmute".to_owned(),
        "raiseHand".to_owned(),
        "addLargeGalleryView".to_owned(),
        "participants/muteAll".to_owned(),
        "participants/admitAllFromLobby".to_owned(),
        format!("participants/{ann}/mute"),
        format!("participants/{ann}/startHoldMusic"),
    ] {
        let refused = ask(&mut world, call, &action, &json!({}));
        assert_eq!(refused.status, 400, "{action}");
    }
    let status = json!({"status": "recording"});
    let refused = ask(&mut world, call, "updateRecordingStatus", &status);
    assert_eq!((refused.status, json(&refused)["error"]["code"].as_str()), (400, Some("8506")));
}

/// A webhook that answers `participantJoining` with this.
fn recorder(answer: Value) -> crate::world::Webhook {
    Box::new(move |request: &Request| {
        let mut response = Response::empty(request.id, 200);
        if request.body.windows(25).any(|part| part == b"participantJoiningNotific") {
            response.body = Bytes::from(answer.to_string());
        }
        Some(response)
    })
}

fn incoming(world: &World) -> Vec<(CallId, Value)> {
    let told = world.told().into_iter().filter(|(_, _, data)| data["state"] == "incoming");
    told.map(|(_, _, data)| {
        let id = data["id"].as_str().and_then(CallId::parse).expect("an id");
        (id, data)
    })
    .collect()
}

#[test]
fn a_policy_has_people_recorded_by_one_bot_while_it_has_room() {
    let accepts = json!({"@odata.type": "#microsoft.graph.acceptJoinResponse"});
    let mut world = World::with_webhook(config(), 1, recorder(accepts));
    for who in ["ann", "ben", "cleo"] {
        world.service.set_recording_policy(UserId::new(who), Some(AppId::new("bot")));
    }
    create(&mut world, &join("19:x"));
    let (ann, _) = come(&mut world, "ann", "19:x");
    world.run_ms(200);
    let (call, data) = incoming(&world).pop().expect("the recorder is rung");
    assert_eq!(data["incomingContext"]["observedParticipantId"], ann.to_string());
    assert_eq!(data["incomingContext"]["sourceParticipantId"], ann.to_string());
    assert_eq!(data["applicationMetadata"]["botData"]["inviteReasons"][0], "PolicyBasedRecording");
    let mut answer: Value = serde_json::from_str(SERVICE_HOSTED).expect("JSON");
    answer["participantCapacity"] = 2.into();
    assert_eq!(ask(&mut world, call, "answer", &answer).status, 202);
    let status = json!({"status": "recording", "clientContext": "r"});
    let updated = ask(&mut world, call, "updateRecordingStatus", &status);
    assert_eq!((updated.status, json(&updated)["status"].as_str()), (200, Some("completed")));
    let (ben, _) = come(&mut world, "ben", "19:x");
    world.run_ms(200);
    let joining = world.told().into_iter().rfind(|(_, _, data)| {
        data["@odata.type"] == "#microsoft.graph.participantJoiningNotification"
    });
    let joining = joining.expect("Ben is announced").2;
    assert_eq!(joining["call"]["incomingContext"]["observedParticipantId"], ben.to_string());
    assert_eq!(incoming(&world).len(), 1);
    come(&mut world, "cleo", "19:x");
    world.run_ms(200);
    assert_eq!(incoming(&world).len(), 2, "no room is left");
    world.service.hang_up(world.now, ben).expect("he is in");
    world.drain();
    world.run_ms(200);
    let left = world.told().into_iter().rfind(|(_, _, data)| {
        data["@odata.type"] == "#microsoft.graph.participantLeftNotification"
    });
    assert_eq!(left.expect("Ben has left").2["participantId"], ben.to_string());
    world.service.hang_up(world.now, ann).expect("she is in");
    world.drain();
    assert_eq!(world.ended(), [(200, 5002)], "whom it recorded is gone");
    // Cleo's own recorder did not answer in five seconds.
    world.run_ms(5100);
    assert_eq!(world.ended(), [(200, 5002), (408, 10057)]);
}

#[test]
fn a_recorder_may_reject_or_send_elsewhere_who_joins() {
    for (answer, calls) in [
        (json!({"@odata.type": "#microsoft.graph.rejectJoinResponse", "reason": "busy"}), 1),
        (
            json!({"@odata.type": "#microsoft.graph.inviteNewBotResponse", "inviteUri": "https://new.test/x"}),
            2,
        ),
    ] {
        let mut world = World::with_webhook(config(), 1, recorder(answer));
        for who in ["ann", "ben"] {
            world.service.set_recording_policy(UserId::new(who), Some(AppId::new("bot")));
        }
        create(&mut world, &join("19:x"));
        come(&mut world, "ann", "19:x");
        world.run_ms(200);
        let (call, _) = incoming(&world).pop().expect("the recorder is rung");
        let mut body: Value = serde_json::from_str(SERVICE_HOSTED).expect("JSON");
        body["participantCapacity"] = 5.into();
        assert_eq!(ask(&mut world, call, "answer", &body).status, 202);
        come(&mut world, "ben", "19:x");
        world.run_ms(300);
        assert_eq!(incoming(&world).len(), calls);
        if calls == 2 {
            let mut uris = world.notifications.iter().map(|(_, request)| request.uri.as_str());
            assert!(uris.any(|uri| uri == "https://new.test/x"));
        }
    }
}

#[test]
fn a_person_joins_the_group_call_of_a_bot() {
    let mut world = world();
    let (call, _) = group(&mut world);
    let address = world.address();
    let local = Description::audio(address);
    let to = Destination::Call(call);
    let came = world.service.join(world.now, &UserId::new("cleo"), &to, local.clone());
    world.add_person(came.expect("it is there").leg, &local);
    world.drain();
    world.run_ms(200);
    assert_eq!(names(rosters(&world, call).last().expect("one")), ["bot", "ann", "ben", "cleo"]);
    let nowhere = Destination::Meeting("nowhere".into());
    assert!(world.service.join(world.now, &UserId::new("cleo"), &nowhere, local).is_err());
}
