//! Meetings and group calls: people at the controls and a bot, over real sockets.

use std::time::Duration;

use callrig_media::transport::sdp;
use reqwest::Method;
use serde_json::{Value, json};

use super::{ANN, APP, Bot, PATIENCE, Rig, TENANT, service_hosted};

const BOB: &str = "22222222-2222-4222-8222-222222222223";
const CHROMIUM: &str = include_str!("../../../../media/tests/it/webrtc/offers/chromium-156.sdp");

/// A server whose bot may do everything there.
pub(super) async fn open(bot: &Bot) -> Rig {
    let rig = Rig::start(bot, "").await;
    allow(&rig, APP).await;
    rig
}

pub(super) async fn allow(rig: &Rig, app: &str) {
    let permissions = json!({ "permissions": [
        "Calls.Initiate.All", "Calls.InitiateGroupCall.All", "Calls.JoinGroupCall.All",
        "Calls.AccessMedia.All", "OnlineMeetings.ReadWrite.All",
    ]});
    let path = format!("/rig/tenants/{TENANT}/grants/{app}");
    assert_eq!(rig.send(Method::PUT, &path, &permissions).await.0, 204);
}

/// A meeting of Ann's, with a lobby that only she passes or none.
pub(super) async fn meeting(rig: &Rig, scope: &str) -> Value {
    let asked = json!({ "subject": "all of us", "lobbyBypassSettings": { "scope": scope } });
    let (status, made) = rig.post(&format!("/v1.0/users/{ANN}/onlineMeetings"), &asked).await;
    assert_eq!(status, 201, "{made}");
    made
}

/// Somebody joins; the leg, and whether it waits.
pub(super) async fn join(rig: &Rig, how: &Value) -> (String, bool) {
    let (status, joined) = rig.post("/rig/legs", how).await;
    assert_eq!(status, 201, "{joined}");
    let leg = joined["leg"].as_str().expect("an id").to_owned();
    (leg, joined["waits"].as_bool().expect("it is said"))
}

/// Something is done at a leg.
async fn at(rig: &Rig, leg: &str, what: &str, how: &Value) {
    let (status, answer) = rig.post(&format!("/rig/legs/{leg}/{what}"), how).await;
    assert!((200..300).contains(&status), "{what}: {status} {answer}");
}

/// The participants of a roster that a bot is told; nobody in anything else.
fn roster(told: &Value) -> &[Value] {
    let is_roster = told["resourceUrl"].as_str().is_some_and(|url| url.ends_with("/participants"));
    told["resourceData"].as_array().filter(|_| is_roster).map_or(&[], Vec::as_slice)
}

fn person<'a>(told: &'a Value, user: &str) -> Option<&'a Value> {
    roster(told).iter().find(|one| one["info"]["identity"]["user"]["id"] == user)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bot_sees_who_waits_comes_mutes_shares_and_leaves_a_meeting() {
    let bot = Bot::start().await;
    let rig = open(&bot).await;
    let made = meeting(&rig, "organizer").await;
    let (id, thread) = (&made["id"], &made["chatInfo"]["threadId"]);
    let (_, waits) = join(&rig, &json!({ "meeting": id, "user": "Ann", "listen": true })).await;
    assert!(!waits, "it is her meeting");
    let joins = json!({
        "callbackUri": format!("{}/api/calls", bot.base),
        "requestedModalities": ["audio"],
        "mediaConfig": { "@odata.type": "#microsoft.graph.serviceHostedMediaConfig" },
        "chatInfo": { "threadId": thread, "messageId": "0" },
        "meetingInfo": {
            "@odata.type": "#microsoft.graph.organizerMeetingInfo",
            "organizer": { "user": { "id": ANN, "tenantId": TENANT } },
        },
        "tenantId": TENANT,
    });
    let (status, call) = rig.post("/v1.0/communications/calls", &joins).await;
    assert_eq!(status, 201, "{call}");
    let call = call["id"].as_str().expect("an id").to_owned();
    let line = rig.get(&format!("/rig/calls/{call}")).await["call"].clone();
    assert_eq!(line["state"], "establishing", "the bot waits in the lobby");
    at(&rig, line["leg"].as_str().expect("a leg"), "admit", &json!({})).await;
    bot.told_state("established").await;
    bot.told("Ann is there", |told| person(told, ANN).is_some()).await;

    let (bob, waits) = join(&rig, &json!({ "meeting": thread, "user": "Bob" })).await;
    assert!(waits, "it is not his meeting");
    bot.told("Bob waits", |told| person(told, BOB).is_some_and(|one| one["isInLobby"] == true))
        .await;
    let early = rig.post(&format!("/rig/legs/{bob}/mute"), &json!({})).await;
    assert_eq!(early.0, 409, "who waits is in no meeting: {}", early.1);
    at(&rig, &bob, "admit", &json!({})).await;
    bot.told("Bob is in", |told| person(told, BOB).is_some_and(|one| one["isInLobby"] == false))
        .await;
    at(&rig, &bob, "mute", &json!({})).await;
    bot.told("Bob is muted", |told| person(told, BOB).is_some_and(|one| one["isMuted"] == true))
        .await;
    at(&rig, &bob, "mute", &json!({ "on": false })).await;
    bot.told("Bob speaks", |told| person(told, BOB).is_some_and(|one| one["isMuted"] == false))
        .await;
    at(&rig, &bob, "shareScreen", &json!({})).await;
    bot.told("Bob shares", |told| {
        let streams = person(told, BOB).and_then(|one| one["mediaStreams"].as_array());
        streams.is_some_and(|streams| {
            let screen =
                streams.iter().find(|stream| stream["label"] == "applicationsharing-video");
            screen.is_some_and(|screen| screen["direction"] == "sendOnly")
        })
    })
    .await;
    at(&rig, &bob, "hangUp", &json!({})).await;
    bot.told("Bob is gone", |told| !roster(told).is_empty() && person(told, BOB).is_none()).await;

    let (again, _) = join(&rig, &json!({ "meeting": id, "user": "Bob", "media": false })).await;
    at(&rig, &again, "refuse", &json!({})).await;
    let history = rig.get("/rig/history").await;
    let said = |event: &str, leg: &str| {
        let all = history.as_array().expect("a list").iter();
        all.filter(|one| one["event"] == event && one["leg"] == leg).count()
    };
    assert_eq!((said("userWaits", &bob), said("userWaits", &again)), (1, 1));
    assert_eq!((said("userAnswered", &bob), said("userAnswered", &again)), (1, 0));
    assert_eq!(rig.running.stop().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_call_of_a_bot_fills_with_people_who_ask_others_in_and_end_it() {
    let bot = Bot::start().await;
    let rig = open(&bot).await;
    let webhook = format!("{}/api/calls", bot.base);
    let other = json!({ "name": "other", "webhook": webhook });
    assert_eq!(rig.send(Method::PUT, "/rig/apps/other", &other).await.0, 204);
    allow(&rig, "other").await;
    for name in ["cleo", "dan"] {
        let path = format!("/rig/users/{name}");
        assert_eq!(rig.send(Method::PUT, &path, &json!({ "name": name })).await.0, 204);
    }
    let (status, call) = rig.post("/v1.0/communications/calls", &bot.call_to(&[ANN, BOB])).await;
    assert_eq!(status, 201, "{call}");
    let call = call["id"].as_str().expect("an id").to_owned();
    let rings = rig.until("/rig/legs", "it rings at both", |value| {
        value["ringing"].as_array().is_some_and(|rings| rings.len() == 2)
    });
    let mut ann = String::new();
    for one in rings.await["ringing"].as_array().expect("two") {
        let leg = one["leg"].as_str().expect("a leg");
        at(&rig, leg, "answer", &json!({})).await;
        if one["user"] == ANN {
            leg.clone_into(&mut ann);
        }
    }
    bot.told("both are there", |told| person(told, ANN).is_some() && person(told, BOB).is_some())
        .await;
    at(&rig, &ann, "raiseHand", &json!({})).await;
    bot.told("Ann's hand", |told| {
        person(told, ANN).is_some_and(|one| one["publishedStates"][0]["type"] == "raiseHands")
    })
    .await;

    let habit = json!({ "onRing": "answer" });
    assert_eq!(rig.send(Method::PUT, "/rig/users/cleo/habit", &habit).await.0, 204);
    for nobody in [json!({}), json!({ "user": "cleo", "app": "other" })] {
        let (status, answer) = rig.post(&format!("/rig/legs/{ann}/invite"), &nobody).await;
        assert_eq!(status, 400, "{answer}");
        assert!(answer["error"]["message"].as_str().expect("words").contains("user or app"));
    }
    at(&rig, &ann, "invite", &json!({ "user": "cleo" })).await;
    bot.told("Cleo was asked in", |told| person(told, "cleo").is_some()).await;
    join(&rig, &json!({ "call": call, "user": "dan" })).await;
    bot.told("Dan came", |told| person(told, "dan").is_some()).await;
    let (status, invited) =
        rig.post(&format!("/rig/legs/{ann}/invite"), &json!({ "app": "other" })).await;
    assert_eq!(status, 201, "{invited}");
    let incoming = bot.told_state("incoming").await;
    let url = format!("/communications/calls/{}", invited["call"].as_str().expect("an id"));
    assert_eq!(incoming["resourceUrl"], url);
    at(&rig, &ann, "endForAll", &json!({})).await;
    let ended = |told: &Value| {
        told["changeType"] == "deleted"
            && told["resourceUrl"] == format!("/communications/calls/{call}")
    };
    bot.told("the end", ended).await;
    rig.until("/rig/legs", "nobody is left", |value| value["legs"] == json!([])).await;
    rig.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_offers_and_is_answered_in_a_call_and_in_a_meeting() {
    let bot = Bot::start().await;
    let rig = open(&bot).await;
    let (call, leg) = rig.ring(&json!({ "offer": CHROMIUM })).await;
    let early = rig.client.get(format!("{}/rig/legs/{leg}/answer.sdp", rig.base)).send().await;
    assert_eq!(early.expect("an answer").status(), 409);
    bot.told_state("incoming").await;
    rig.act(&call, "answer", &service_hosted()).await;
    bot.told_state("established").await;
    let made = meeting(&rig, "everyone").await;
    let how = json!({ "meeting": made["joinWebUrl"], "user": "Bob", "offer": CHROMIUM });
    let (other, _) = join(&rig, &how).await;
    for leg in [&leg, &other] {
        let url = format!("{}/rig/legs/{leg}/answer.sdp", rig.base);
        let answer = rig.client.get(url).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "application/sdp");
        let text = answer.text().await.expect("text");
        // One line for each of the offer's, and one that is taken at least.
        assert_eq!(text.matches("m=").count(), CHROMIUM.matches("m=").count(), "{text}");
        let read = sdp::parse(&text).expect("it can be read");
        assert!(!read.media[0].rejected, "{text}");
        let secure = read.secure.expect("it is WebRTC");
        assert!(secure.ice_lite && !secure.ufrag.is_empty(), "{text}");
        for line in ["a=fingerprint:sha-256 ", "a=candidate:", "a=setup:passive", "opus/48000/2"] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        at(&rig, leg, "hangUp", &json!({})).await;
    }
    let url = format!("{}/rig/legs/{leg}/answer.sdp", rig.base);
    assert_eq!(rig.client.get(url).send().await.expect("an answer").status(), 404);
    // A bot's call rings, and is taken by a browser; what it offers has to be an offer.
    assert_eq!(rig.post("/v1.0/communications/calls", &bot.call_to(&[ANN])).await.0, 201);
    let rings =
        rig.until("/rig/legs", "it rings", |value| value["ringing"][0]["user"] == ANN).await;
    let leg = rings["ringing"][0]["leg"].as_str().expect("a leg").to_owned();
    let path = format!("/rig/legs/{leg}/answer");
    for wrong in [json!({ "offer": "v=0" }), json!({ "offer": CHROMIUM, "listen": true })] {
        assert_eq!(rig.post(&path, &wrong).await.0, 400, "{wrong}");
    }
    assert_eq!(rig.post(&path, &json!({ "offer": CHROMIUM })).await.0, 202);
    bot.told_state("established").await;
    let url = format!("{}/rig/legs/{leg}/answer.sdp", rig.base);
    let text = rig.client.get(url).send().await.expect("an answer").text().await.expect("text");
    assert!(sdp::parse(&text).expect("it can be read").secure.is_some(), "{text}");
    assert_eq!(rig.get("/rig/legs").await["ringing"], json!([]));
    assert_eq!(rig.post(&path, &json!({ "offer": CHROMIUM })).await.0, 409, "it is taken");
    at(&rig, &leg, "hangUp", &json!({})).await;
    for offer in ["", "v=0", PLAIN_IN_THE_DARK, &CHROMIUM[..900], &CHROMIUM.replace("ice-pwd", "x")]
    {
        let (status, answer) = rig.post("/rig/calls", &json!({ "offer": offer })).await;
        assert_eq!(status, 400, "{answer}");
        let message = answer["error"]["message"].as_str().expect("a message");
        assert!(message.starts_with("offer: "), "{message}");
    }
    rig.running.stop().await;
}

/// A phone that nobody can reach: plain RTP has to name a port.
const PLAIN_IN_THE_DARK: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nc=IN IP4 0.0.0.0\r\n\
                                 t=0 0\r\nm=audio 0 RTP/AVP 0\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_of_plain_rtp_elsewhere_hears_the_meeting() {
    let bot = Bot::start().await;
    let rig = open(&bot).await;
    let made = meeting(&rig, "everyone").await;
    let phone = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a port");
    let port = phone.local_addr().expect("it is bound").port();
    let offer = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0\r\na=rtcp-mux\r\n"
    );
    let how = json!({ "meeting": made["joinWebUrl"], "user": "Bob", "offer": offer });
    let (leg, _) = join(&rig, &how).await;
    let url = format!("{}/rig/legs/{leg}/answer.sdp", rig.base);
    let answer = rig.client.get(url).send().await.expect("an answer");
    let answer = sdp::parse(&answer.text().await.expect("text")).expect("it can be read");
    assert!(answer.secure.is_none() && !answer.media[0].rejected, "{answer:?}");
    // Ann speaks; what Bob's phone is sent is PCMU from where the answer says.
    rig.bring("audio/opus-20ms-32k-mono-en.pcap", "mine.pcap").await;
    let how = json!({ "meeting": made["joinWebUrl"], "user": "Ann", "play": "mine.pcap" });
    join(&rig, &how).await;
    let mut room = [0; 2_048];
    let heard = tokio::time::timeout(PATIENCE, async {
        loop {
            let (length, from) = phone.recv_from(&mut room).await.expect("it is open");
            // 20 ms of PCMU behind a header; silence is 0xff throughout.
            let is_sound = length >= 172 && room[1] & 0x7f == 0 && room[12..172] != [0xff; 160];
            if is_sound {
                break from;
            }
        }
    });
    assert_eq!(heard.await.expect("it is heard"), answer.address);
    rig.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_in_a_voicemail_box_can_be_heard() {
    let bot = Bot::start().await;
    let rig = open(&bot).await;
    rig.bring("audio/opus-20ms-32k-mono-en.pcap", "mine.pcap").await;
    let (call, leg) = rig.ring(&json!({ "play": "mine.pcap", "then": "repeat" })).await;
    bot.told_state("incoming").await;
    let target = json!({ "endpointType": "voicemail", "identity": { "user": { "id": BOB } } });
    let path = format!("/beta/communications/calls/{call}/redirect");
    let (status, answer) = rig.post(&path, &json!({ "targets": [target] })).await;
    assert_eq!(status, 202, "{answer}");
    let path = format!("/rig/legs/{leg}");
    rig.until(&path, "it is spoken", |value| value["phone"]["playing"] == "mine.pcap").await;
    // The greeting's beep, and two seconds of a message.
    tokio::time::sleep(Duration::from_secs(4)).await;
    at(&rig, &leg, "hangUp", &json!({})).await;
    let kept = rig
        .until("/rig/voicemails", "it is kept", |value| {
            value.as_array().is_some_and(|kept| kept.len() == 1)
        })
        .await;
    assert_eq!(kept[0]["user"], BOB);
    let url = format!("{}/rig/voicemails/{}", rig.base, kept[0]["leg"].as_str().expect("a leg"));
    let file = rig.client.get(url).send().await.expect("an answer").bytes().await.expect("a file");
    assert!(file.starts_with(b"RIFF") && file.len() > 32_000, "{}", file.len());
    let history = rig.get("/rig/history").await;
    let left = history.as_array().expect("a list").iter().find(|o| o["event"] == "voicemailLeft");
    assert_eq!(left.map(|left| &left["message"]), Some(&json!(true)));
    rig.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_who_do_not_want_to_be_disturbed_and_who_are_recorded() {
    let bot = Bot::start().await;
    let rig = open(&bot).await;
    let set = async |path: &str, body: Value| rig.send(Method::PUT, path, &body).await.0;
    let presence = "/rig/users/Ann/presence";
    assert_eq!(set(presence, json!({ "presence": "doNotDisturb" })).await, 204);
    assert_eq!(set(presence, json!({ "presence": "asleep" })).await, 400);
    assert_eq!(set("/rig/users/nobody/presence", json!({ "presence": "offline" })).await, 404);
    let webhook = format!("{}/api/calls", bot.base);
    assert_eq!(rig.post("/v1.0/communications/calls", &bot.call_to(&[ANN])).await.0, 201);
    let ended = bot.told_state("terminated").await;
    let result = &ended["resourceData"]["resultInfo"];
    assert_eq!((&result["code"], &result["subcode"]), (&json!(480), &json!(90_005)), "{ended}");

    let recorder = json!({ "name": "recorder", "webhook": webhook });
    assert_eq!(rig.send(Method::PUT, "/rig/apps/recorder", &recorder).await.0, 204);
    allow(&rig, "recorder").await;
    assert_eq!(set("/rig/users/Bob/recorder", json!({ "app": "nothing" })).await, 404);
    assert_eq!(set("/rig/users/Bob/recorder", json!({ "app": "recorder" })).await, 204);
    let made = meeting(&rig, "everyone").await;
    let (bob, _) = join(&rig, &json!({ "meeting": made["id"], "user": "Bob" })).await;
    bot.told_state("incoming").await;
    let calls = rig.get("/rig/calls").await;
    assert_eq!(calls[0]["app"], "recorder", "{calls}");
    at(&rig, &bob, "hangUp", &json!({})).await;
    assert_eq!(set("/rig/users/Bob/recorder", json!({})).await, 204);
    rig.running.stop().await;
}
