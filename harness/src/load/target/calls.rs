//! Calls: a person calls the bot, which is ours, answers and hangs up; or the bot calls a person,
//! who answers. All of it over the API that any bot uses.

use core::time::Duration;
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use bytes::Bytes;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;
use tokio::sync::mpsc;

use super::Call;
use super::http::{client, failure};
use crate::web;

const APP: &str = "11111111-1111-4111-8111-111111111111";
const ANN: &str = "22222222-2222-4222-8222-222222222222";
const TENANT: &str = "33333333-3333-4333-8333-333333333333";
/// The largest notification that is read.
const BODY_BYTES_MAX: usize = 1 << 20;
/// How long our own platform may take to start.
const START_MAX: Duration = Duration::from_secs(20);

/// Why there is no platform to call.
#[derive(Debug, Error)]
pub enum PlatformError {
    /// The bot cannot listen.
    #[error("the bot cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// No client.
    #[error("{0}")]
    Client(String),
    /// There is no such URL.
    #[error("--http {0}")]
    Url(String),
    /// The service does not take us in.
    #[error("the service takes no app for this load: {0}")]
    Hire(String),
    /// Our own platform does not start.
    #[error("`callrig serve` cannot be started: {0}")]
    Serve(String),
}

/// What the bot was told of a call.
struct Seen {
    state: &'static str,
    at: Instant,
}

/// The calls that somebody waits for, or will wait for.
#[derive(Default)]
struct Book {
    calls: Mutex<HashMap<String, Entry>>,
}

struct Entry {
    sender: mpsc::UnboundedSender<Seen>,
    receiver: Option<mpsc::UnboundedReceiver<Seen>>,
}

impl Book {
    fn entry<T>(&self, call: &str, act: impl FnOnce(&mut Entry) -> T) -> T {
        let mut calls = self.calls.lock().expect("nobody panics with the book in hand");
        act(calls.entry(call.to_owned()).or_insert_with(|| {
            let (sender, receiver) = mpsc::unbounded_channel();
            Entry { sender, receiver: Some(receiver) }
        }))
    }

    fn close(&self, call: &str) {
        self.calls.lock().expect("nobody panics with the book in hand").remove(call);
    }
}

/// How the calls are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manner {
    /// Whether the person has a phone that sends and receives.
    pub media: bool,
    /// What the person says: the id of a recording.
    pub play: Option<String>,
    /// How long a call is kept up once it stands.
    pub hold: Duration,
    /// The bot's token, where the platform asks for one.
    pub token: String,
}

impl Default for Manner {
    fn default() -> Self {
        Self { media: false, play: None, hold: Duration::ZERO, token: APP.to_owned() }
    }
}

/// Who was taken into the service for a load.
struct Hired {
    app: String,
    person: String,
}

/// A platform, its people, and a bot of ours.
pub struct Platform {
    client: reqwest::Client,
    base: String,
    rig_token: Option<String>,
    manner: Manner,
    /// Who calls whom, where both were taken into the service for it.
    hired: Option<Hired>,
    book: Arc<Book>,
    /// Where the bot listens.
    pub bot: SocketAddr,
}

impl Platform {
    /// What a call consists of: ringing (the person's request is answered), the bot's being told,
    /// its answer, the call's standing, the media of both sides flowing, its hanging up, and the
    /// last notification. `ring`, `notified` and `setup` count from the intended time.
    pub const STEPS: &'static [&'static str] =
        &["ring", "notified", "answer", "setup", "hangup", "ended"];

    /// Listens as a bot; `base` is where the platform is (filled in once it is known).
    ///
    /// # Errors
    /// The address is taken.
    pub async fn listen(listen: SocketAddr, manner: Manner) -> Result<Self, PlatformError> {
        let refuse = |error| PlatformError::Listen(listen, error);
        let listener = tokio::net::TcpListener::bind(listen).await.map_err(refuse)?;
        let bot = listener.local_addr().map_err(refuse)?;
        let book = Arc::<Book>::default();
        let router = Router::new()
            .fallback(post(told))
            .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(Arc::clone(&book));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let client = client().map_err(PlatformError::Client)?;
        let (base, rig_token, hired) = (String::new(), None, None);
        Ok(Self { client, base, rig_token, manner, hired, book, bot })
    }

    /// Where the platform is, and the token of its control API.
    #[must_use]
    pub fn at(self, base: &str, rig_token: Option<&str>) -> Self {
        let base = base.trim_end_matches('/').to_owned();
        Self { base, rig_token: rig_token.map(ToOwned::to_owned), ..self }
    }

    /// Takes an app with our bot and a person who calls it into the service.
    ///
    /// # Errors
    /// What the service said.
    pub async fn hire(&mut self) -> Result<(), String> {
        let directory = self.control(Method::GET, "/rig/directory", &Value::Null).await?;
        let tenant = directory["tenants"][0]["id"].as_str();
        let tenant = tenant.ok_or("it has no organisation with anybody in it")?.to_owned();
        let hired = Hired { app: web::guid(), person: web::guid() };
        let (app, person, secret) = (&hired.app, &hired.person, web::guid());
        let bot = json!({
            "name": "load", "webhook": format!("http://{}/", self.bot), "secret": secret,
        });
        self.control(Method::PUT, &format!("/rig/apps/{app}"), &bot).await?;
        let who = json!({ "name": "load", "tenant": tenant });
        self.control(Method::PUT, &format!("/rig/users/{person}"), &who).await?;
        self.manner.token = self.token(&tenant, app, &secret).await;
        self.hired = Some(hired);
        Ok(())
    }

    /// The bot's token: its name, where the service asks for none.
    async fn token(&self, tenant: &str, app: &str, secret: &str) -> String {
        // Ids and secrets of ours are made of letters, digits and hyphens.
        let form = format!(
            "grant_type=client_credentials&client_id={app}&client_secret={secret}\
             &scope=https%3A%2F%2Fgraph.microsoft.com%2F.default"
        );
        let url = format!("{}/{tenant}/oauth2/v2.0/token", self.base);
        let token = async {
            let request = self.client.post(url).body(form);
            let request = request.header("Content-Type", "application/x-www-form-urlencoded");
            let answer = request.send().await.ok()?;
            let body: Value = answer.json().await.ok()?;
            body["access_token"].as_str().map(ToOwned::to_owned)
        };
        token.await.unwrap_or_else(|| app.to_owned())
    }

    /// Whoever was taken in leaves.
    pub async fn dismiss(&self) {
        let Some(Hired { app, person }) = &self.hired else { return };
        for path in [format!("/rig/users/{person}"), format!("/rig/apps/{app}")] {
            if let Err(why) = self.control(Method::DELETE, &path, &Value::Null).await {
                tracing::warn!(why, "the service keeps what was taken in for a load");
            }
        }
    }

    /// A command to the control API.
    async fn control(&self, method: Method, path: &str, body: &Value) -> Result<Value, String> {
        let what = format!("{method} {path}");
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.rig_token {
            request = request.bearer_auth(token);
        }
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|error| failure(&error))?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| failure(&error))?;
        if !status.is_success() {
            let body: String = String::from_utf8_lossy(&body).chars().take(200).collect();
            return Err(format!("{what} was answered {}: {body}", status.as_u16()));
        }
        Ok(serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    pub(super) async fn call(&self, call: &mut Call) -> Result<(), String> {
        let id = self.ring(call).await?;
        let ended = self.live(call, &id).await;
        self.book.close(&id);
        ended
    }

    async fn ring(&self, call: &mut Call) -> Result<String, String> {
        let mut body = json!({ "media": self.manner.media });
        if let Some(play) = &self.manner.play {
            body["play"] = play.as_str().into();
        }
        if let Some(Hired { app, person }) = &self.hired {
            body["app"] = app.as_str().into();
            body["user"] = person.as_str().into();
        }
        let mut request = self.client.post(format!("{}/rig/calls", self.base)).json(&body);
        if let Some(token) = &self.rig_token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.map_err(|error| failure(&error))?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| failure(&error))?;
        if status != StatusCode::CREATED {
            return Err(format!("ringing was answered {}", status.as_u16()));
        }
        call.step(0, call.meant, Instant::now());
        let body: Value = serde_json::from_slice(&body).map_err(|_| "ringing: no JSON")?;
        body["call"].as_str().map(ToOwned::to_owned).ok_or_else(|| "ringing: no call".to_owned())
    }

    async fn live(&self, call: &mut Call, id: &str) -> Result<(), String> {
        let seen = self.book.entry(id, |entry| entry.receiver.take());
        let mut seen = seen.ok_or("the platform used an id twice")?;
        let meant = call.meant;
        let at = until(&mut seen, "incoming").await?;
        call.step(1, meant, at);
        let url = format!("{}/v1.0/communications/calls/{id}", self.base);
        let body = json!({
            "callbackUri": format!("http://{}/", self.bot),
            "acceptedModalities": ["audio"],
            "mediaConfig": { "@odata.type": "#microsoft.graph.serviceHostedMediaConfig" },
        });
        let asked = Instant::now();
        let request = self.client.post(format!("{url}/answer")).json(&body);
        self.done(request, 202, "answering").await?;
        call.step(2, asked, Instant::now());
        let at = until(&mut seen, "established").await?;
        call.step(3, meant, at);
        if !self.manner.hold.is_zero() {
            tokio::time::sleep(self.manner.hold).await;
            call.held = self.manner.hold;
        }
        let asked = Instant::now();
        self.done(self.client.delete(&url), 204, "hanging up").await?;
        call.step(4, asked, Instant::now());
        let at = until(&mut seen, "terminated").await?;
        call.step(5, asked, at);
        Ok(())
    }

    async fn done(
        &self,
        request: reqwest::RequestBuilder,
        wanted: u16,
        what: &str,
    ) -> Result<(), String> {
        let request = request.bearer_auth(&self.manner.token);
        let answer = request.send().await.map_err(|error| failure(&error))?;
        let status = answer.status().as_u16();
        answer.bytes().await.map_err(|error| failure(&error))?;
        match status {
            _ if status == wanted => Ok(()),
            401 => Err(format!(
                "{what} was answered 401: the service wants a token of its login (--token)"
            )),
            _ => Err(format!("{what} was answered {status}")),
        }
    }
}

/// Waits until the bot was told this of a call.
async fn until(seen: &mut mpsc::UnboundedReceiver<Seen>, state: &str) -> Result<Instant, String> {
    loop {
        match seen.recv().await {
            Some(one) if one.state == state => return Ok(one.at),
            Some(one) if one.state == "terminated" => {
                return Err(format!("it ended before it was {state}"));
            }
            Some(_) => {}
            None => return Err("the bot has gone".into()),
        }
    }
}

/// The bot's webhook.
async fn told(State(book): State<Arc<Book>>, body: Bytes) -> StatusCode {
    let at = Instant::now();
    let Ok(body) = serde_json::from_slice::<Value>(&body) else { return StatusCode::BAD_REQUEST };
    for notification in body["value"].as_array().into_iter().flatten() {
        let data = &notification["resourceData"];
        let state = match data["state"].as_str() {
            Some("incoming") => "incoming",
            Some("established") => "established",
            Some("terminated") => "terminated",
            _ => continue,
        };
        if let Some(call) = data["id"].as_str() {
            // A call that is over is waited for by nobody.
            book.entry(call, |entry| drop(entry.sender.send(Seen { state, at })));
        }
    }
    StatusCode::ACCEPTED
}

/// A platform of our own, in a process of its own, so that what it costs is not the generator's.
pub struct Started {
    child: Child,
    /// Where it is.
    pub base: String,
    _settings: tempfile::NamedTempFile,
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts `callrig serve` for the load of a bot that listens there.
///
/// # Errors
/// It does not start.
pub(super) fn start_platform(bot: SocketAddr) -> Result<Started, PlatformError> {
    let refuse = |error: std::io::Error| PlatformError::Serve(error.to_string());
    let settings = tempfile::Builder::new().suffix(".toml").tempfile().map_err(refuse)?;
    let text = format!(
        r#"
        listeners = [{{ address = "127.0.0.1:0" }}]
        [limits]
        calls_per_app_max = 1000000
        requests_per_second_max = 0
        [tokens]
        required = false
        [media]
        ports = "10000-32767"
        [[apps]]
        id = "{APP}"
        name = "load"
        webhook = "http://{bot}/"
        [[tenants]]
        id = "{TENANT}"
        users = [{{ id = "{ANN}", name = "Ann" }}]
        "#
    );
    std::fs::write(settings.path(), text).map_err(refuse)?;
    let mut child = Command::new(std::env::current_exe().map_err(refuse)?)
        .arg("serve")
        .arg(settings.path())
        .args(["--log", "warn"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(refuse)?;
    let (sender, lines) = std::sync::mpsc::channel();
    if let Some(out) = child.stdout.take() {
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
    }
    let first = lines.recv_timeout(START_MAX).ok();
    let base = first.as_deref().and_then(|line| line.strip_prefix("listening on "));
    let base = base.map(ToOwned::to_owned);
    let mut started = Started { child, base: String::new(), _settings: settings };
    let said = || PlatformError::Serve("it did not say where it listens".into());
    started.base = base.ok_or_else(said)?;
    Ok(started)
}
