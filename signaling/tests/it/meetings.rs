//! Online meetings: made, made once, found, changed, deleted.

use callrig_signaling::http::Method;
use callrig_signaling::service::directory::Permission;
use serde_json::Value;

use crate::world::{World, accept, config, directory, json};

fn world(permissions: &[Permission]) -> World {
    let config =
        callrig_signaling::service::Config { directory: directory(permissions), ..config() };
    World::with_webhook(config, 1, Box::new(accept))
}

const TIMES: &str = r#"{"startDateTime":"2026-11-23T18:00:00Z","endDateTime":"2026-11-23T19:00:00Z","subject":"Plans"}"#;

fn code(response: &callrig_signaling::http::Response) -> (u16, String) {
    let body = json(response);
    (response.status, body["error"]["code"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_meeting_is_made_read_changed_and_deleted() {
    let mut world = world(&Permission::ALL);
    let made = world.api(Method::Post, "/users/ann/onlineMeetings", TIMES);
    assert_eq!(made.status, 201);
    let made = json(&made);
    assert_eq!(made["subject"], "Plans");
    assert_eq!(made["participants"]["organizer"]["identity"]["user"]["id"], "ann");
    assert_eq!(made["startDateTime"], "2026-11-23T18:00:00.000Z");
    assert!(
        made["joinWebUrl"].as_str().is_some_and(|link| link.contains("/meetup-join/19%3ameeting_"))
    );
    assert!(made["joinMeetingIdSettings"]["passcode"].is_string());
    let id = made["id"].as_str().expect("it has an id");
    let path = format!("/users/ann/onlineMeetings/{id}");
    assert_eq!(json(&world.api(Method::Get, &path, "")), made);
    let change = r#"{"subject":"Other plans","allowedPresenters":"organizer","id":"mine","allowMeetingChat":"disabled"}"#;
    let changed = json(&world.api(Method::Patch, &path, change));
    assert_eq!((&changed["subject"], &changed["id"]), (&Value::from("Other plans"), &made["id"]));
    assert_eq!(changed["allowedPresenters"], "organizer");
    assert_eq!(changed["allowMeetingChat"], "disabled");
    let backwards = r#"{"endDateTime":"2020-01-01T00:00:00Z"}"#;
    assert_eq!(world.api(Method::Patch, &path, backwards).status, 400);
    assert_eq!(json(&world.api(Method::Get, &path, "")), changed);
    assert_eq!(world.api(Method::Get, &format!("/users/ben/onlineMeetings/{id}"), "").status, 404);
    assert_eq!(world.api(Method::Delete, &path, "").status, 204);
    assert_eq!(world.api(Method::Get, &path, "").status, 404);
    assert_eq!(world.api(Method::Delete, &path, "").status, 404);
}

#[test]
fn create_or_get_makes_one_meeting_for_an_external_id_and_user() {
    let mut world = world(&Permission::ALL);
    let path = "/users/ann/onlineMeetings/microsoft.graph.createOrGet";
    let body = r#"{"externalId":"7eb8263f"}"#;
    let first = world.api(Method::Post, path, body);
    let second = world.api(Method::Post, path, body);
    assert_eq!((first.status, second.status), (201, 200));
    assert_eq!(json(&first), json(&second));
    let other = world.api(Method::Post, "/users/ben/onlineMeetings/createOrGet", body);
    assert_eq!(other.status, 201);
    assert_eq!(world.api(Method::Post, path, "{}").status, 400);
    let end_alone = r#"{"externalId":"x","endDateTime":"2026-11-23T19:00:00Z"}"#;
    assert_eq!(world.api(Method::Post, path, end_alone).status, 400);
}

#[test]
fn meetings_are_found_by_their_link_and_numbers() {
    let mut world = world(&Permission::ALL);
    let made = json(&world.api(Method::Post, "/users/ann/onlineMeetings", TIMES));
    world.api(Method::Post, "/users/ann/onlineMeetings", TIMES);
    let link = made["joinWebUrl"].as_str().expect("it has a link").replace('%', "%25");
    let number = made["joinMeetingIdSettings"]["joinMeetingId"].as_str().expect("it has one");
    let device = made["videoTeleconferenceId"].as_str().expect("it has one");
    for filter in [
        format!("JoinWebUrl%20eq%20'{link}'"),
        format!("joinMeetingIdSettings/joinMeetingId%20eq%20'{number}'"),
        format!("VideoTeleconferenceId%20eq%20'{device}'"),
    ] {
        for root in ["/users/ann", "/communications", "/app"] {
            let path = format!("{root}/onlineMeetings?$filter={filter}");
            let found = json(&world.api(Method::Get, &path, ""));
            assert_eq!(found["value"].as_array().map(Vec::len), Some(1), "{path}");
            assert_eq!(found["value"][0]["id"], made["id"]);
        }
    }
    assert_eq!(world.api(Method::Get, "/users/ann/onlineMeetings", "").status, 400);
}

#[test]
fn meetings_need_their_permission_and_their_user() {
    let mut without = world(&[Permission::Initiate]);
    let refused = without.api(Method::Post, "/users/ann/onlineMeetings", TIMES);
    assert_eq!(code(&refused), (403, "7504".into()));
    let mut reading = world(&[Permission::OnlineMeetingsRead]);
    let refused = reading.api(Method::Post, "/users/ann/onlineMeetings", TIMES);
    assert_eq!(code(&refused), (403, "7504".into()));
    let missing = reading.api(Method::Get, "/users/ann/onlineMeetings/x", "");
    assert_eq!(code(&missing), (404, "NotFound".into()));
    let mut world = world(&Permission::ALL);
    assert_eq!(world.api(Method::Post, "/users/nobody/onlineMeetings", TIMES).status, 404);
    assert_eq!(world.api(Method::Post, "/me/onlineMeetings", TIMES).status, 400);
    let nonsense = r#"{"startDateTime":"soon"}"#;
    assert_eq!(world.api(Method::Post, "/users/ann/onlineMeetings", nonsense).status, 400);
}
