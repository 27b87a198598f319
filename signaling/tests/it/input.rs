//! Bad input: each kind has its error body, and changes nothing.

use bytes::Bytes;
use callrig_signaling::http::{Method, Request, RequestId, Response};
use callrig_signaling::id::CallId;
use proptest::prelude::*;

use crate::world::{API, SERVICE_HOSTED, World, accept, config, json};

fn world() -> (World, CallId) {
    let mut world = World::with_webhook(config(), 1, Box::new(accept));
    let (call, _) = world.ring();
    (world, call)
}

fn established() -> (World, CallId) {
    let (mut world, call) = world();
    let path = format!("/communications/calls/{call}/answer");
    assert_eq!(world.api(Method::Post, &path, SERVICE_HOSTED).status, 202);
    world.run_ms(500);
    (world, call)
}

/// Every error says what it is in the documented form.
fn assert_error(response: &Response, status: u16, code: &str) {
    let body = json(response);
    assert_eq!((response.status, body["error"]["code"].as_str()), (status, Some(code)), "{body}");
    assert!(body["error"]["message"].as_str().is_some_and(|text| !text.is_empty()));
    let inner = &body["error"]["innerError"];
    for name in ["request-id", "client-request-id", "date"] {
        assert!(inner[name].is_string(), "{name} in {body}");
    }
    assert_eq!(inner["request-id"].as_str(), response.header("request-id"));
}

#[test]
fn bodies_that_cannot_be_read_are_bad_requests() {
    let (mut world, call) = world();
    let path = format!("/communications/calls/{call}/answer");
    let before = json(&world.api(Method::Get, &format!("/communications/calls/{call}"), ""));
    let deep = format!("{{\"mediaConfig\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
    for body in [
        "",
        "{",
        "nonsense",
        "[]",
        "7",
        "null",
        "{}",
        r#"{"mediaConfig":7}"#,
        r#"{"mediaConfig":{"@odata.type":7}}"#,
        r##"{"mediaConfig":{"@odata.type":"#microsoft.graph.cloudHosted"}}"##,
        r##"{"mediaConfig":{"@odata.type":"#microsoft.graph.appHostedMediaConfig"}}"##,
        r#"{"mediaConfig":{"blob":"<Media Session Configuration>"}}"#,
        r#"{"mediaConfig":{},"mediaConfig":{}}"#,
        r#"{"mediaConfig":{},"acceptedModalities":"audio"}"#,
        r#"{"mediaConfig":{},"acceptedModalities":["smell"]}"#,
        r#"{"mediaConfig":{},"callbackUri":"ftp://x/"}"#,
        r#"{"mediaConfig":{},"callbackUri":"http://bot.test/"}"#,
        r#"{"mediaConfig":{},"callbackUri":["https://bot.test/"]}"#,
        &deep,
    ] {
        let response = world.api(Method::Post, &path, body);
        assert_error(&response, 400, "BadRequest");
    }
    let after = json(&world.api(Method::Get, &format!("/communications/calls/{call}"), ""));
    assert_eq!(before, after);
}

#[test]
fn huge_bodies_and_foreign_content_types_are_refused() {
    let (mut world, call) = world();
    let path = format!("/communications/calls/{call}/answer");
    let huge = format!("{{\"x\":\"{}\"}}", "y".repeat(2 << 20));
    assert_error(&world.api(Method::Post, &path, &huge), 413, "RequestEntityTooLarge");
    for (content_type, status) in [
        ("text/plain", 415),
        ("application/json; charset=utf-16", 415),
        ("application/json;charset=\"UTF-8\"", 202),
    ] {
        let response = world.request(Request {
            id: RequestId(0),
            method: Method::Post,
            uri: format!("{API}{path}"),
            headers: [("authorization", "Bearer bot"), ("content-type", content_type)].into(),
            body: Bytes::from(SERVICE_HOSTED),
        });
        assert_eq!(response.status, status, "{content_type}");
    }
}

#[test]
fn places_that_are_not_there_are_not_found() {
    let (mut world, call) = world();
    let nowhere = "57dab8b1-894c-409a-b240-bd8beae78896";
    for path in [
        format!("/communications/calls/{nowhere}"),
        format!("/communications/calls/{nowhere}/participants"),
        "/communications/calls/7".to_owned(),
    ] {
        assert_error(&world.api(Method::Get, &path, ""), 404, "8522");
    }
    let path = format!("/communications/calls/{call}/operations/{nowhere}");
    assert_error(&world.api(Method::Get, &path, ""), 404, "NotFound");
    let path = format!("/communications/calls/{call}/levitate");
    assert_error(&world.api(Method::Post, &path, "{}"), 400, "BadRequest");
    assert_error(&world.api(Method::Get, "/nothing", ""), 400, "BadRequest");
    assert_error(&world.api(Method::Get, "https://graph.test/v9/x", ""), 400, "BadRequest");
    let path = format!("/communications/calls/{call}");
    assert_error(&world.api(Method::Put, &path, "{}"), 405, "MethodNotAllowed");
}

#[test]
fn a_call_of_another_app_is_not_there() {
    let (mut world, call) = world();
    let path = format!("/communications/calls/{call}");
    for (method, path) in [
        (Method::Get, path.clone()),
        (Method::Delete, path.clone()),
        (Method::Post, format!("{path}/answer")),
        (Method::Post, format!("{path}/keepAlive")),
        (Method::Get, format!("{path}/participants")),
    ] {
        let response = world.api_as("other", method, &path, SERVICE_HOSTED);
        assert_error(&response, 404, "8522");
    }
    assert_error(
        &world.api_as("nobody", Method::Get, &path, ""),
        401,
        "InvalidAuthenticationToken",
    );
    assert_eq!(json(&world.api(Method::Get, &path, ""))["state"], "incoming");
}

#[test]
fn ids_and_actions_are_read_in_every_spelling() {
    let (mut world, call) = established();
    for path in [
        format!("https://graph.test/beta/app/calls/{}", call.to_old_spelling()),
        format!("https://graph.test/v1.0/Communications/Calls/{call}"),
    ] {
        assert_eq!(world.api(Method::Get, &path, "").status, 200, "{path}");
    }
    let path = format!("/communications/calls/{call}/microsoft.graph.KeepAlive");
    assert_eq!(world.api(Method::Post, &path, "").status, 200);
}

#[test]
fn limits_of_prompts_recordings_and_contexts_are_kept() {
    let (mut world, call) = established();
    let path = |action: &str| format!("/communications/calls/{call}/{action}");
    let prompt = r#"{"mediaInfo":{"uri":"https://files.test/a.wav"}}"#;
    let prompts = |count: usize| format!("{{\"prompts\":[{}]}}", vec![prompt; count].join(","));
    assert_eq!(world.api(Method::Post, &path("playPrompt"), &prompts(20)).status, 200);
    let long = format!("{{\"clientContext\":\"{}\"}}", "ä".repeat(257));
    let fits = format!("{{\"clientContext\":\"{}\"}}", "ä".repeat(256));
    assert_eq!(world.api(Method::Post, &path("subscribeToTone"), &fits).status, 200);
    for (action, body) in [
        ("playPrompt", prompts(21)),
        ("playPrompt", prompts(0)),
        ("playPrompt", r#"{"prompts":[{}]}"#.to_owned()),
        ("playPrompt", r#"{"prompts":[{"mediaInfo":{"uri":"http://files.test/a"}}]}"#.to_owned()),
        ("recordResponse", prompts(2)),
        ("recordResponse", r#"{"maxRecordDurationInSeconds":121}"#.to_owned()),
        ("recordResponse", r#"{"initialSilenceTimeoutInSeconds":0}"#.to_owned()),
        ("recordResponse", r#"{"stopTones":["x"]}"#.to_owned()),
        ("sendDtmfTones", r#"{"tones":[]}"#.to_owned()),
        ("sendDtmfTones", r#"{"tones":["tone99"]}"#.to_owned()),
        ("sendDtmfTones", r#"{"tones":["tone1"],"delayBetweenTonesMs":-5}"#.to_owned()),
        ("subscribeToTone", long),
    ] {
        assert_error(&world.api(Method::Post, &path(action), &body), 400, "BadRequest");
    }
}

#[test]
fn actions_wait_for_their_state_and_their_hosting() {
    let (mut world, call) = world();
    let path = format!("/communications/calls/{call}/subscribeToTone");
    assert_error(&world.api(Method::Post, &path, "{}"), 409, "Conflict");
}

#[test]
fn what_is_not_there_yet_says_so() {
    let (mut world, call) = established();
    let nobody = "57dab8b1-894c-409a-b240-bd8beae78896";
    let path = format!("/communications/calls/{call}/participants/{nobody}/reportSyntheticMedia");
    assert_error(&world.api(Method::Post, &path, "{}"), 501, "NotImplemented");
}

#[test]
fn request_ids_are_echoed() {
    let (mut world, call) = world();
    let response = world.request(Request {
        id: RequestId(0),
        method: Method::Get,
        uri: format!("{API}/communications/calls/{call}"),
        headers: [
            ("Authorization", "Bearer bot"),
            ("Client-Request-Id", "mine"),
            ("Scenario-Id", "story"),
        ]
        .into(),
        body: Bytes::new(),
    });
    assert_eq!(response.header("client-request-id"), Some("mine"));
    assert_eq!(response.header("scenario-id"), Some("story"));
    assert_eq!(response.header("OData-Version"), Some("4.0"));
    assert!(response.header("x-ms-ags-diagnostic").is_some());
}

/// Actions with a good body, and the state that they need.
const ACTIONS: &[(&str, &str, bool)] = &[
    (
        "answer",
        r##"{"callbackUri":"https://bot.test/api/calls","acceptedModalities":["audio"],"mediaConfig":{"@odata.type":"#microsoft.graph.serviceHostedMediaConfig"},"participantCapacity":1,"callOptions":{"isDeltaRosterEnabled":true}}"##,
        false,
    ),
    ("reject", r##"{"reason":"busy","callbackUri":"https://bot.test/api/calls"}"##, false),
    (
        "redirect",
        r##"{"targets":[{"identity":{"user":{"id":"ben"}},"endpointType":"default"}],"timeout":20,"targetDisposition":"default","maskCallee":false,"maskCaller":true,"callbackUri":"https://bot.test/api/calls"}"##,
        false,
    ),
    (
        "transfer",
        r##"{"transferTarget":{"identity":{"user":{"id":"ben"}},"endpointType":"default","replacesCallId":"x"},"transferee":{"identity":{"user":{"id":"ann"}}},"clientContext":"x"}"##,
        true,
    ),
    (
        "playPrompt",
        r##"{"prompts":[{"mediaInfo":{"uri":"https://files.test/a.wav","resourceId":"a"}}],"loop":true,"clientContext":"x"}"##,
        true,
    ),
    (
        "recordResponse",
        r##"{"prompts":[{"mediaInfo":{"uri":"https://files.test/a.wav"}}],"bargeInAllowed":true,"initialSilenceTimeoutInSeconds":5,"maxSilenceTimeoutInSeconds":5,"maxRecordDurationInSeconds":5,"playBeep":true,"stopTones":["1"],"clientContext":"x"}"##,
        true,
    ),
    (
        "sendDtmfTones",
        r##"{"tones":["tone1"],"delayBetweenTonesMs":100,"clientContext":"x"}"##,
        true,
    ),
    ("subscribeToTone", r##"{"clientContext":"x"}"##, true),
    ("cancelMediaProcessing", r##"{"clientContext":"x"}"##, true),
];

/// Every body that differs from a good one in one property.
fn spoilt(good: &str) -> Vec<String> {
    let good: serde_json::Value = serde_json::from_str(good).expect("it is JSON");
    let properties = good.as_object().expect("it is an object");
    let mut bodies = Vec::new();
    for (name, value) in properties {
        let deep = format!("{}1{}", "[".repeat(2000), "]".repeat(2000));
        let wrong = match value {
            serde_json::Value::Bool(_) => vec!["7", "\"perhaps\"", "{}", "[true]"],
            serde_json::Value::Number(_) => {
                vec!["\"soon\"", "1.5", "1e400", "-1", "99999999999999999999", "{}"]
            }
            serde_json::Value::String(_) => vec!["7", "{}", "[\"x\"]", "true"],
            serde_json::Value::Array(_) => vec!["7", "\"x\"", "[7]", "[[]]", "{\"a\":1}"],
            _ => vec!["7", "\"x\"", "[]"],
        };
        for wrong in wrong.into_iter().chain([deep.as_str()]) {
            let mut whole = good.clone();
            whole[name] = "HERE".into();
            bodies.push(whole.to_string().replace("\"HERE\"", wrong));
        }
        // The same property twice.
        let text = good.to_string();
        bodies.push(format!("{{\"{name}\":{value},{}", &text[1..]));
    }
    bodies
}

#[test]
fn one_wrong_property_is_a_bad_request_and_changes_nothing() {
    for (action, good, needs_answer) in ACTIONS {
        let (mut world, call) = if *needs_answer { established() } else { world() };
        let path = format!("/communications/calls/{call}");
        let before = json(&world.api(Method::Get, &path, ""));
        let load = world.service.load();
        let said = world.notifications.len();
        for body in spoilt(good) {
            let shown = &body[..body.len().min(200)];
            let response = world.api(Method::Post, &format!("{path}/{action}"), &body);
            assert_eq!(response.status, 400, "{action} {shown}");
            assert_error(&response, 400, "BadRequest");
        }
        assert_eq!(json(&world.api(Method::Get, &path, "")), before, "{action}");
        assert_eq!(world.service.load(), load, "{action}");
        assert_eq!(world.notifications.len(), said, "{action}");
        // What is unknown is ignored, as the API's types are open.
        let mut open: serde_json::Value = serde_json::from_str(good).expect("it is JSON");
        open["somethingNew"] = serde_json::json!({"a": [1, {"b": null}]});
        let response = world.api(Method::Post, &format!("{path}/{action}"), &open.to_string());
        assert!(matches!(response.status, 200 | 202), "{action} {}", response.status);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_request_makes_it_panic_or_goes_unanswered(
        path in "(/communications|/app|/users/x|/me)?/(calls|onlineMeetings)(/[a-zA-Z0-9.-]{0,40}){0,4}",
        known in proptest::bool::ANY,
        action in "[a-zA-Z.]{0,24}",
        body in "\\PC{0,120}",
        method in prop_oneof![Just(Method::Get), Just(Method::Post), Just(Method::Delete), Just(Method::Patch)],
    ) {
        let (mut world, call) = established();
        let path = if known { format!("/communications/calls/{call}/{action}") } else { path };
        let response = world.api(method, &path, &body);
        prop_assert!((200..600).contains(&response.status));
    }
}

#[test]
fn reads_are_cut_and_filtered_as_the_query_says() {
    let (mut world, call) = established();
    let path = format!("/communications/calls/{call}");
    let whole = json(&world.api(Method::Get, &path, ""));
    let context = whole["@odata.context"].as_str();
    let expected = "https://graph.microsoft.com/v1.0/$metadata#communications/calls/$entity";
    assert_eq!(context, Some(expected));
    let old =
        json(&world.api(Method::Get, &format!("https://graph.test/beta/app/calls/{call}"), ""));
    let expected = "https://graph.microsoft.com/beta/$metadata#app/calls/$entity";
    assert_eq!(old["@odata.context"], expected);
    let some = json(&world.api(Method::Get, &format!("{path}?$select=state,id"), ""));
    let names: Vec<&String> = some.as_object().expect("it is an object").keys().collect();
    assert_eq!(names, ["@odata.context", "@odata.type", "id", "state"]);
    let of_ann = "?$filter=info/identity/user/id%20eq%20'ann'&$select=id";
    let found = json(&world.api(Method::Get, &format!("{path}/participants{of_ann}"), ""));
    assert_eq!(found["value"].as_array().map(Vec::len), Some(1));
    let expected = format!(
        "https://graph.microsoft.com/v1.0/$metadata#communications/calls('{call}')/participants"
    );
    assert_eq!(found["@odata.context"].as_str(), Some(expected.as_str()));
    assert_eq!(world.api(Method::Post, &format!("{path}/subscribeToTone"), "").status, 200);
    let one = format!("{path}/operations?$top=1&$filter=status eq 'completed'");
    let operations = json(&world.api(Method::Get, &one, ""));
    assert_eq!(operations["value"].as_array().map(Vec::len), Some(1));
    for query in ["$expand=participants", "$filter=id eq 'x'", "$levitate=1", "$select="] {
        let refused = world.api(Method::Get, &format!("{path}?{query}"), "");
        assert_error(&refused, 400, "BadRequest");
    }
    assert_eq!(world.api(Method::Get, &format!("{path}?mine=1"), "").status, 200);
}

#[test]
fn too_many_requests_and_calls_are_answered_with_when_to_come_back() {
    let mut config = config();
    config.limits.requests_per_second_max = 5;
    config.limits.calls_per_month_max = 2;
    let mut world = World::with_webhook(config, 1, Box::new(accept));
    let (call, _) = world.ring();
    let path = format!("/communications/calls/{call}");
    for _ in 0..5 {
        assert_eq!(world.api(Method::Get, &path, "").status, 200);
    }
    let refused = world.api(Method::Delete, &path, "");
    assert_error(&refused, 429, "TooManyRequests");
    assert_eq!(refused.header("Retry-After"), Some("1"));
    assert_eq!(world.api_as("other", Method::Get, &path, "").status, 404);
    world.run_ms(1000);
    assert_eq!(json(&world.api(Method::Get, &path, ""))["state"], "incoming");
    let create = r#"{"callbackUri":"https://bot.test/cb","mediaConfig":{},
        "targets":[{"identity":{"user":{"id":"ben"}}}]}"#;
    assert_eq!(world.api(Method::Post, "/communications/calls", create).status, 201);
    let refused = world.api(Method::Post, "/communications/calls", create);
    assert_error(&refused, 429, "TooManyRequests");
    let message = json(&refused)["error"]["message"].clone();
    assert_eq!(message, "Application reached the monthly call creation limit.");
    let wait = refused.header("Retry-After").and_then(|text| text.parse::<u64>().ok());
    assert_eq!(wait, Some(30 * 24 * 3600 - 1));
    assert_eq!(world.service.load().calls, 2);
}

#[test]
fn forbidden_callbacks_are_refused_wherever_they_are_named_and_change_nothing() {
    let (mut world, call) = world();
    let path = format!("/communications/calls/{call}");
    let before = json(&world.api(Method::Get, &path, ""));
    let load = world.service.load();
    let target = r#""targets":[{"identity":{"user":{"id":"ben"}}}]"#;
    for uri in [
        "http://bot.test/cb",
        "https://169.254.169.254/latest/meta-data",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://10.0.0.1/cb",
        "https://[::ffff:10.0.0.1]/",
        "https://user@bot.test/",
        "https://bot.test\\\\@10.0.0.1/",
        "https://metadata.google.internal/",
        "ftp://bot.test/",
        "bot.test",
        "",
    ] {
        let media = r#""mediaConfig":{}"#;
        for (place, more) in [
            (format!("{path}/answer"), media),
            (format!("{path}/reject"), r#""reason":"busy""#),
            (format!("{path}/redirect"), target),
            (
                "/communications/calls".to_owned(),
                r#""mediaConfig":{},"targets":[{"identity":{"user":{"id":"ben"}}}]"#,
            ),
        ] {
            let body = format!(r#"{{"callbackUri":"{uri}",{more}}}"#);
            assert_error(&world.api(Method::Post, &place, &body), 400, "BadRequest");
        }
    }
    assert_eq!(json(&world.api(Method::Get, &path, "")), before);
    assert_eq!(world.service.load(), load);
}
