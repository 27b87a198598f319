//! What the benches of meetings share: who is there, the meeting, and the middle of what was
//! measured.

use bytes::Bytes;
use callrig_media::time::Instant;
use callrig_signaling::exchange::{Input, Output};
use callrig_signaling::http::{Method, Request, RequestId};
use callrig_signaling::id::{AppId, TenantId, UserId};
use callrig_signaling::service::directory::{App, Consent, Permission, Tenant, User};
use callrig_signaling::service::{Directory, Service};

/// People `user-0` and on, and an app that may do everything.
pub(crate) fn directory(people: usize) -> Directory {
    let user = |index: usize| User {
        id: UserId::new(&format!("user-{index}")),
        name: format!("User {index}"),
        language: None,
        country: None,
    };
    let app = AppId::new("bot");
    Directory {
        tenants: vec![Tenant {
            id: TenantId::new("tenant"),
            users: (0..people).map(user).collect(),
            consents: vec![Consent { app: app.clone(), permissions: Permission::ALL.into() }],
            name: "Tenant".to_owned(),
        }],
        apps: vec![App { id: app, name: "Bot".to_owned(), webhook: None, secret: None }],
    }
}

/// A meeting that everybody may join: its id.
pub(crate) fn meeting(service: &mut Service, now: Instant) -> String {
    let body = r#"{"subject":"all of us","lobbyBypassSettings":{"scope":"everyone"}}"#;
    service.handle_input(
        now,
        Input::Request(Request {
            id: RequestId(1),
            method: Method::Post,
            uri: "https://graph.microsoft.com/v1.0/users/user-0/onlineMeetings".to_owned(),
            headers: [("authorization", "Bearer bot"), ("content-type", "application/json")].into(),
            body: Bytes::from_static(body.as_bytes()),
        }),
    );
    while let Some(output) = service.poll_output() {
        if let Output::Response(response) = output {
            let text = String::from_utf8_lossy(&response.body).into_owned();
            let made: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            return made["id"].as_str().unwrap_or_else(|| panic!("{text}")).to_owned();
        }
    }
    panic!("no answer");
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
