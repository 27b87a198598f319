//! `callrig serve` over real sockets: a bot written with a plain web framework, people at
//! the controls, and clients that do not behave.

mod apart;
mod calls;
mod command;
mod control;
mod input;
mod keys;
mod meetings;
mod prompts;
mod record;
mod tls;
mod webrtc;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use callrig::serve::settings::Settings;
use callrig::serve::{Running, start};
use callrig_corpora::format::wav;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

const APP: &str = "11111111-1111-4111-8111-111111111111";
const ANN: &str = "22222222-2222-4222-8222-222222222222";
const TENANT: &str = "33333333-3333-4333-8333-333333333333";
/// Long enough for a machine that does other things as well; nothing waits for its end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A bot of somebody's: it writes down what it is told, and serves a prompt.
#[derive(Clone)]
struct Bot {
    base: String,
    told: Arc<Told>,
}

#[derive(Default)]
struct Told {
    notifications: Mutex<VecDeque<Value>>,
    news: Notify,
}

impl Bot {
    async fn start() -> Self {
        let told = Arc::new(Told::default());
        let router = Router::new()
            .route("/api/calls", post(notified))
            .route("/prompt.wav", get(prompt))
            .with_state(Arc::clone(&told));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("it is bound"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { base, told }
    }

    /// The next notification that fits; those before it are forgotten.
    async fn told(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let search = async {
            loop {
                let news = self.told.news.notified();
                let next = self.told.notifications.lock().expect("unpoisoned").pop_front();
                match next {
                    Some(value) if fits(&value) => return value,
                    Some(_) => {}
                    None => news.await,
                }
            }
        };
        match tokio::time::timeout(PATIENCE, search).await {
            Ok(value) => value,
            Err(_) => panic!("the bot was not told: {what}"),
        }
    }

    /// A call of the bot's to these people, with media of the platform's.
    fn call_to(&self, people: &[&str]) -> Value {
        let target = |id: &&str| json!({ "identity": { "user": { "id": id } } });
        json!({
            "callbackUri": format!("{}/api/calls", self.base),
            "requestedModalities": ["audio"],
            "mediaConfig": { "@odata.type": "#microsoft.graph.serviceHostedMediaConfig" },
            "tenantId": TENANT,
            "targets": people.iter().map(target).collect::<Vec<_>>(),
        })
    }

    async fn told_state(&self, state: &str) -> Value {
        self.told(state, |value| value["resourceData"]["state"] == state).await
    }
}

async fn notified(State(told): State<Arc<Told>>, body: axum::body::Bytes) -> StatusCode {
    let envelope: Value = serde_json::from_slice(&body).expect("notifications are JSON");
    let items = envelope["value"].as_array().expect("an envelope").clone();
    told.notifications.lock().expect("unpoisoned").extend(items);
    told.news.notify_one();
    StatusCode::ACCEPTED
}

/// A second of a 300 Hz square wave, which nobody takes for silence.
async fn prompt() -> Vec<u8> {
    let samples: Vec<i16> =
        (0..16_000).map(|at| if at % 53 < 26 { 6_000 } else { -6_000 }).collect();
    let mut file = std::io::Cursor::new(Vec::new());
    wav::write_pcm(&mut file, 16_000, 1, samples).expect("it fits into memory");
    file.into_inner()
}

/// A server with one app and two people.
struct Rig {
    running: Running,
    base: String,
    client: reqwest::Client,
}

impl Rig {
    async fn start(bot: &Bot, more: &str) -> Self {
        let tokens = match more.contains("[tokens]") {
            true => "",
            false => "[tokens]\nrequired = false",
        };
        let text = format!(
            r#"
            {more}
            {tokens}
            [[listeners]]
            address = "127.0.0.1:0"
            [[listeners]]
            address = "127.0.0.1:0"
            tls = true
            [[apps]]
            id = "{APP}"
            name = "bot"
            webhook = "{}/api/calls"
            [[tenants]]
            id = "{TENANT}"
            [[tenants.users]]
            id = "{ANN}"
            name = "Ann"
            [[tenants.users]]
            id = "22222222-2222-4222-8222-222222222223"
            name = "Bob"
            [[tenants.consents]]
            app = "{APP}"
            permissions = ["Calls.Initiate.All", "Calls.AccessMedia.All"]
            "#,
            bot.base
        );
        let text = match text.contains("[media]") {
            true => text,
            // Away from the ports of tests that run beside this one.
            false => format!("{text}\n[media]\nports = \"{}\"\n", ports()),
        };
        let settings = Settings::parse("test", &text).expect("it is understood");
        let running = start(settings).await.expect("it starts");
        let (address, _) = running.addresses()[0];
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { running, base: format!("http://{address}"), client }
    }

    /// Brings one of our recordings, under this name.
    async fn bring(&self, recording: &str, name: &str) {
        let file = crate::corpora().join("recordings").join(recording);
        let file = std::fs::read(file).expect("recordings are in git");
        let url = format!("{}/rig/recordings/{name}", self.base);
        let brought = self.client.put(url).body(file).send().await.expect("an answer");
        assert_eq!(brought.status(), 201);
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.client.get(format!("{}{path}", self.base)).send().await;
        answer.expect("an answer").json().await.expect("JSON")
    }

    /// A command to the rig, or a request of the bot; status and body.
    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send(reqwest::Method::POST, path, body).await
    }

    async fn send(&self, method: reqwest::Method, path: &str, body: &Value) -> (u16, Value) {
        let request = self.client.request(method, format!("{}{path}", self.base)).bearer_auth(APP);
        let answer = request.json(body).send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    /// Ann calls the bot; call and leg.
    async fn ring(&self, how: &Value) -> (String, String) {
        let (status, called) = self.post("/rig/calls", how).await;
        assert_eq!(status, 201, "{called}");
        let text = |name: &str| called[name].as_str().expect("an id").to_owned();
        (text("call"), text("leg"))
    }

    /// The bot does something with its call.
    async fn act(&self, call: &str, action: &str, body: &Value) -> Value {
        let path = format!("/v1.0/communications/calls/{call}/{action}");
        let (status, answer) = self.post(&path, body).await;
        assert!((200..300).contains(&status), "{action}: {status} {answer}");
        answer
    }

    /// Waits until something is so.
    async fn until(&self, path: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let search = async {
            loop {
                let value = self.get(path).await;
                if is_so(&value) {
                    return value;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, search).await {
            Ok(value) => value,
            Err(_) => panic!("{what}: {}", self.get(path).await),
        }
    }
}

/// A range of ports for each server of a test run.
fn ports() -> String {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + 64 * (NEXT.fetch_add(1, Ordering::Relaxed) % 190);
    format!("{first}-{}", first + 63)
}

fn service_hosted() -> Value {
    json!({
        "mediaConfig": { "@odata.type": "#microsoft.graph.serviceHostedMediaConfig" },
        "acceptedModalities": ["audio"],
    })
}
