//! What the benches of meetings share: who is there, the meeting, a voice, and the middle of
//! what was measured.

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

/// Something like speech at 16 kHz: a tone that comes and goes and never repeats.
pub(crate) fn voice(samples: usize) -> Vec<i16> {
    let sample = |index: usize| {
        let time = index as f64 / 16_000.0;
        let loud = (time * 2.9).sin().abs();
        let pitch = 140.0 + 60.0 * (time * 1.7).sin();
        let voice: f64 = (1..12)
            .map(|n| (time * pitch * core::f64::consts::TAU * f64::from(n)).sin() / f64::from(n))
            .sum();
        (voice * loud * 6_000.0) as i16
    };
    (0..samples).map(sample).collect()
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
