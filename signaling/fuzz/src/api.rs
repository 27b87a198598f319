//! Requests to the platform, with calls of a person, a webhook of moods, and time: each
//! request is answered exactly once and in the documented form, and at the end, when
//! everybody has hung up and all windows have closed, nothing is left.

use core::time::Duration;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use callrig_media::description::Description;
use callrig_media::time::{Epoch, Instant, NtpTime};
use callrig_signaling::exchange::{Input, Output};
use callrig_signaling::http::{Failure, Headers, Method, Request, RequestId, Response};
use callrig_signaling::id::{AppId, CallId, LegId, UserId};
use callrig_signaling::service::directory::{App, Consent, Permission, Tenant, User};
use callrig_signaling::service::{Config, Directory, Service};
use serde_json::Value;

const SERVICE_HOSTED: &str = r##"{"callbackUri":"https://bot.test/calls","mediaConfig":
    {"@odata.type":"#microsoft.graph.serviceHostedMediaConfig"},"acceptedModalities":["audio"]}"##;

/// What may follow a call in a path; `*` is something of the fuzzer's own.
const TAILS: &[&str] = &[
    "",
    "answer",
    "reject",
    "redirect",
    "transfer",
    "keepAlive",
    "playPrompt",
    "recordResponse",
    "subscribeToTone",
    "cancelMediaProcessing",
    "sendDtmfTones",
    "mute",
    "unmute",
    "updateRecordingStatus",
    "changeScreenSharingRole",
    "participants",
    "participants/invite",
    "participants/muteAll",
    "operations",
    "operations/*",
    "participants/*",
    "audioRoutingGroups",
    "microsoft.graph.answer",
    "*",
];

const BODIES: &[&str] = &[
    "",
    "{}",
    SERVICE_HOSTED,
    r##"{"prompts":[{"@odata.type":"#microsoft.graph.mediaPrompt","mediaInfo":
        {"uri":"https://bot.test/a.wav","resourceId":"1"}}],"clientContext":"c"}"##,
    r#"{"tones":["tone1","pound"],"clientContext":"c"}"#,
    r#"{"maxRecordDurationInSeconds":10,"initialSilenceTimeoutInSeconds":5,"playBeep":true}"#,
    r#"{"reason":"busy"}"#,
];

struct Rig {
    service: Service,
    now: Instant,
    calls: Vec<CallId>,
    legs: Vec<LegId>,
    /// Requests to the platform that wait for their answer.
    open: BTreeMap<RequestId, ()>,
    /// Requests of the platform that wait for ours.
    asked: Vec<RequestId>,
    number: u64,
}

fn directory() -> Directory {
    let app = App {
        id: AppId::new("bot"),
        name: "The Bot".into(),
        webhook: Some("https://bot.test/calls".into()),
        secret: None,
    };
    let user = User { id: UserId::new("ann"), name: "Ann".into(), language: None, country: None };
    let permissions = Permission::ALL.into_iter().collect();
    let tenant = Tenant {
        id: "contoso".into(),
        name: "Contoso".into(),
        users: vec![user],
        consents: vec![Consent { app: "bot".into(), permissions }],
    };
    Directory { tenants: vec![tenant], apps: vec![app] }
}

/// Requests as operations.
pub fn requests(data: &[u8]) {
    let epoch = Epoch { ntp: NtpTime::from_bits(3_900_000_000 << 32) };
    let config = Config { directory: directory(), ..Config::default() };
    let mut rig = Rig {
        service: Service::new(config, epoch, 1).expect("the configuration is sound"),
        now: Instant::ZERO,
        calls: Vec::new(),
        legs: Vec::new(),
        open: BTreeMap::new(),
        asked: Vec::new(),
        number: 1 << 32,
    };
    // What ran out of bytes ran out of operations.
    let _ = operate(&mut rig, &mut Unstructured::new(data));
    rig.finish();
}

fn operate(rig: &mut Rig, input: &mut Unstructured<'_>) -> Result<()> {
    while !input.is_empty() {
        match input.int_in_range(0..=9_u8)? {
            0 => rig.ring(),
            1 => rig.wait(Duration::from_millis(input.arbitrary::<u16>()?.into())),
            2 => {
                let status = *input.choose(&[200, 202, 204, 404, 429, 500, 302, 0])?;
                let length = usize::from(input.arbitrary::<u8>()?).min(input.len());
                let body = Bytes::copy_from_slice(input.bytes(length)?);
                rig.answer(status, &body);
            }
            3 => {
                if let Some(leg) = rig.legs.pop() {
                    let _ = rig.service.hang_up(rig.now, leg);
                    rig.drain();
                }
            }
            _ => {
                let request = rig.request(input)?;
                rig.ask(request);
            }
        }
    }
    Ok(())
}

fn text(input: &mut Unstructured<'_>) -> Result<String> {
    let length = usize::from(input.arbitrary::<u8>()?).min(input.len());
    Ok(String::from_utf8_lossy(input.bytes(length)?).into_owned())
}

impl Rig {
    fn ring(&mut self) {
        let port = 4_000 + self.legs.len() as u16;
        let offer = Description::audio(SocketAddr::from(([127, 0, 0, 2], port)));
        let (ann, bot) = (UserId::new("ann"), AppId::new("bot"));
        if let Ok(rings) = self.service.ring_bot(self.now, &ann, &bot, offer) {
            self.calls.push(rings.call);
            self.legs.push(rings.leg);
        }
        self.drain();
    }

    fn request(&mut self, input: &mut Unstructured<'_>) -> Result<Request> {
        let method = input.choose(&[Method::Get, Method::Post, Method::Delete, Method::Patch])?;
        let version = *input.choose(&["v1.0", "beta", "V1.0", "v2"])?;
        let call = if self.calls.is_empty() {
            text(input)?
        } else {
            let call = *input.choose(&self.calls)?;
            if input.arbitrary()? { call.to_string() } else { call.to_old_spelling() }
        };
        let mut tail = (*input.choose(TAILS)?).to_owned();
        if tail.contains('*') {
            tail = tail.replace('*', &text(input)?);
        }
        let uri = match input.int_in_range(0..=7_u8)? {
            0 => text(input)?,
            1 => format!("/{version}/communications/onlineMeetings/{tail}"),
            2 => format!("https://graph.microsoft.com/{version}/app/calls/{call}/{tail}"),
            3 => format!("/{version}/communications/calls"),
            _ => format!("/{version}/communications/calls/{call}/{tail}"),
        };
        let body = match input.int_in_range(0..=9_u8)? {
            0 => text(input)?,
            _ => (*input.choose(BODIES)?).to_owned(),
        };
        let mut headers = Headers::from([("content-type", "application/json")]);
        if !input.ratio(1, 8)? {
            headers.push("authorization", "Bearer bot");
        }
        self.number += 1;
        let id = RequestId(self.number);
        Ok(Request { id, method: *method, uri, headers, body: body.into() })
    }

    fn ask(&mut self, request: Request) {
        let id = request.id;
        self.open.insert(id, ());
        self.service.handle_input(self.now, Input::Request(request));
        self.drain();
        assert!(!self.open.contains_key(&id), "a request is answered at once");
    }

    /// Answers the oldest request of the platform; 0 is no answer at all.
    fn answer(&mut self, status: u16, body: &Bytes) {
        if self.asked.is_empty() {
            return;
        }
        let id = self.asked.remove(0);
        let input = match status {
            0 => Input::Failed(Failure { id, reason: "refused".into() }),
            _ => Input::Response(Response { body: body.clone(), ..Response::empty(id, status) }),
        };
        self.service.handle_input(self.now, input);
        self.drain();
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.service.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.service.handle_input(self.now, Input::Timeout);
            self.drain();
        }
        self.now = until;
    }

    fn drain(&mut self) {
        while let Some(output) = self.service.poll_output() {
            match output {
                Output::Request(request) => self.asked.push(request.id),
                Output::Response(response) => {
                    let known = self.open.remove(&response.id);
                    assert!(known.is_some(), "answered twice, or never asked: {response:?}");
                    check(&response);
                }
                Output::Datagram(_) | Output::Event(_) => {}
            }
        }
    }

    /// Everybody hangs up, the webhook takes everything, and every window closes.
    fn finish(&mut self) {
        while let Some(leg) = self.legs.pop() {
            let _ = self.service.hang_up(self.now, leg);
            self.drain();
        }
        for _ in 0..120 {
            while !self.asked.is_empty() {
                self.answer(202, &Bytes::new());
            }
            self.wait(Duration::from_secs(30));
        }
        assert_eq!(self.service.load().calls, 0, "calls that nobody is on");
    }
}

/// Errors have a body that says so.
fn check(response: &Response) {
    assert!((200..600).contains(&response.status), "{response:?}");
    if response.status >= 400 {
        let body: Value = serde_json::from_slice(&response.body).expect("errors are JSON");
        assert!(body["error"]["code"].is_string() && body["error"]["message"].is_string());
    }
}
