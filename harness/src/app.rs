//! A bot in the real world: [`callrig_signaling::bot::Bot`] with a listener, a client and
//! the clock of this machine, as futures. [`App::start`] listens for the platform,
//! [`App::incoming`] waits for the next caller, and a [`Call`] does one thing after the
//! other. Notifications are believed only with the platform's token, the app's own tokens
//! come and go by themselves.

mod call;
mod driver;
pub mod hosted;
mod machine;
pub mod media;
mod web;

use core::fmt;
use core::future::Future;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::pin::Pin;
use core::time::Duration;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};

use bytes::Bytes;
use callrig_media::session::Decode;
use callrig_media::time::Instant;
use callrig_signaling::bot::{self, ActionId, AnswerMedia, Bot, ClientSecret, Join, Target, Trust};
use callrig_signaling::graph;
use callrig_signaling::id::{AppId, CallId};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

pub use call::Call;
use driver::Driver;
use machine::{Done, Message};
use media::{Host, Lines, Media, MediaError};

/// How many things a bot may have to do at once; more callers are told to come again.
const INBOX_MAX: usize = 1024;

/// How many callers may wait to be taken.
const CALLERS_MAX: usize = 256;

/// Where things are, and who the bot is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The app's id.
    pub app: String,
    /// What it proves itself with.
    pub secret: String,
    /// The organisation that it acts in: id, host name, or `common`.
    pub tenant: String,
    /// Where the API is, with its version.
    pub api: String,
    /// Where the login service is.
    pub login: String,
    /// Where the OpenID metadata is of whoever signs notifications; `None` believes
    /// everybody, for platforms that sign nothing.
    pub metadata: Option<String>,
    /// An authority that is trusted beside the system's, in PEM.
    pub authority: Option<PathBuf>,
    /// Where the bot listens.
    pub listen: SocketAddr,
    /// How the platform reaches it; `http://` and where it listens without.
    pub public: Option<String>,
    /// Where calls whose media is the bot's receive it: an address of this machine, or
    /// `0.0.0.0` for all of them.
    pub media: IpAddr,
}

impl Settings {
    /// The real platform's addresses.
    #[must_use]
    pub fn new(app: &str, secret: &str) -> Self {
        Self {
            app: app.to_owned(),
            secret: secret.to_owned(),
            tenant: "common".to_owned(),
            api: "https://graph.microsoft.com/v1.0".to_owned(),
            login: "https://login.microsoftonline.com".to_owned(),
            metadata: Some(Trust::default().metadata),
            authority: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 3978)),
            public: None,
            media: IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }

    /// All of them at one platform of ours (`http://127.0.0.1:9440`).
    #[must_use]
    pub fn at(mut self, platform: &str) -> Self {
        let platform = platform.trim_end_matches('/');
        self.api = format!("{platform}/v1.0");
        self.login = platform.to_owned();
        self.metadata = Some(format!("{platform}/v1/.well-known/OpenIdConfiguration"));
        self
    }

    /// The machine's part of it, for a bot that is reached at `base`.
    fn to_bot(&self, base: &str) -> bot::Config {
        bot::Config {
            app: AppId::new(&self.app),
            api: self.api.clone(),
            callback_uri: format!("{base}/api/calls"),
            secret: Some(ClientSecret::new(&self.login, &self.tenant, &self.secret)),
            trust: self.metadata.as_deref().map(Trust::new),
            decode: Decode::Audio,
            output_rate: media::SAMPLE_RATE,
            ..bot::Config::default()
        }
    }
}

/// Why a bot cannot be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// The address is taken, or not ours.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    /// The authority cannot be read.
    #[error("cannot read the authority {0}: {1}")]
    Authority(PathBuf, String),
    /// No client.
    #[error("cannot make an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
    /// The bot refuses what it is told.
    #[error(transparent)]
    Bot(#[from] bot::ConfigError),
}

/// Why something was not done.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CallError {
    /// The platform refused.
    #[error("the platform refused: {status} {code}: {message}")]
    Refused {
        /// With which status; 0 if no answer came.
        status: u16,
        /// The code of the error.
        code: String,
        /// Its words.
        message: String,
    },
    /// It was begun, and failed.
    #[error("it failed: {0}")]
    Failed(String),
    /// Its media cannot be had.
    #[error(transparent)]
    Media(MediaError),
    /// The call is over.
    #[error("the call is over")]
    Over,
    /// The bot is.
    #[error("the bot was stopped")]
    Stopped,
}

impl From<MediaError> for CallError {
    fn from(error: MediaError) -> Self {
        match error {
            MediaError::Ended => Self::Over,
            error => Self::Media(error),
        }
    }
}

/// Files that the platform can fetch from the bot.
type Files = Arc<RwLock<BTreeMap<String, Bytes>>>;

/// Something that goes on by itself.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What the bot itself is asked for over HTTP, beside its calls: any POST that is no
/// notification. It was answered with 202 already.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// The path, such as `/remind`.
    pub path: String,
    /// The JSON that came with it; null without any.
    pub body: serde_json::Value,
}

/// What comes to a bot.
#[derive(Debug)]
pub enum Arrival {
    /// Somebody calls.
    Call(Call),
    /// Somebody asks for something.
    Ask(Ask),
}

/// Reaches the bot from anywhere: what it can do that is about no call yet.
#[derive(Clone)]
pub struct Line {
    inbox: mpsc::Sender<Message>,
    files: Files,
    base: String,
    host: Host,
    spawner: Arc<dyn Fn(Task) + Send + Sync>,
}

impl fmt::Debug for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Line").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Line {
    /// Lets the bot ask for something, and waits for what comes of it.
    async fn act(
        &self,
        act: impl FnOnce(&mut Bot, Instant) -> Result<ActionId, bot::CommandError> + Send + 'static,
    ) -> Result<Done, CallError> {
        let (done, outcome) = oneshot::channel();
        let message = Message::Act(Box::new(act), done);
        self.inbox.send(message).await.map_err(|_| CallError::Stopped)?;
        outcome.await.map_err(|_| CallError::Stopped)?
    }

    /// Where the platform fetches a file: one of the bot's own by its name, or anywhere.
    fn url(&self, file: &str) -> String {
        if file.contains("://") { file.to_owned() } else { format!("{}/files/{file}", self.base) }
    }

    /// Keeps a file (WAV, one channel, 16 bits, 16 kHz) that calls can then play by name.
    pub fn keep_file(&self, name: &str, bytes: impl Into<Bytes>) {
        let mut files = self.files.write().expect("nobody panics with the files in hand");
        files.insert(name.to_owned(), bytes.into());
    }

    /// Keeps a file no longer.
    pub fn drop_file(&self, name: &str) {
        let mut files = self.files.write().expect("nobody panics with the files in hand");
        files.remove(name);
    }

    /// Calls somebody, or several as a group.
    ///
    /// # Errors
    /// The platform refused.
    pub async fn call(&self, targets: Vec<Target>) -> Result<Call, CallError> {
        let media = AnswerMedia::ServiceHosted { pre_fetch: Vec::new() };
        let done = self.act(move |bot, now| Ok(bot.call_targets(now, &targets, &media))).await;
        done?.call().ok_or(CallError::Over)
    }

    /// Joins a meeting.
    ///
    /// # Errors
    /// The platform refused.
    pub async fn join(&self, join: Join) -> Result<Call, CallError> {
        let media = AnswerMedia::ServiceHosted { pre_fetch: Vec::new() };
        let done = self.act(move |bot, now| Ok(bot.join(now, &join, &media))).await;
        done?.call().ok_or(CallError::Over)
    }

    /// As [`call`](Self::call), with media that the bot handles itself.
    ///
    /// # Errors
    /// There is no such media, or the platform refused.
    pub async fn call_with(
        &self,
        targets: Vec<Target>,
        lines: Lines,
    ) -> Result<(Call, Media), CallError> {
        self.create(lines, move |bot, now, media| bot.call_targets(now, &targets, media)).await
    }

    /// As [`join`](Self::join), with media that the bot handles itself.
    ///
    /// # Errors
    /// There is no such media, or the platform refused.
    pub async fn join_with(&self, join: Join, lines: Lines) -> Result<(Call, Media), CallError> {
        self.create(lines, move |bot, now, media| bot.join(now, &join, media)).await
    }

    async fn create(
        &self,
        lines: Lines,
        act: impl FnOnce(&mut Bot, Instant, &AnswerMedia) -> ActionId + Send + 'static,
    ) -> Result<(Call, Media), CallError> {
        let media::Opened { offer, backing, media } = self.host.open(lines).await?;
        let done = self.act(move |bot, now| Ok(act(bot, now, &offer))).await?;
        let call = done.call().ok_or(CallError::Over)?;
        self.back(call.id(), backing).await?;
        Ok((call, media))
    }

    /// Says who keeps the media of a call going.
    async fn back(&self, call: CallId, backing: media::Backing) -> Result<(), CallError> {
        let message = Message::Media(call, backing);
        self.inbox.send(message).await.map_err(|_| CallError::Stopped)
    }

    /// Asks for anything that is about no call, such as a meeting, and waits for what the
    /// platform answers.
    ///
    /// # Errors
    /// The platform refused.
    pub async fn ask(
        &self,
        ask: impl FnOnce(&mut Bot, Instant) -> ActionId + Send + 'static,
    ) -> Result<serde_json::Value, CallError> {
        Ok(self.act(move |bot, now| Ok(ask(bot, now))).await?.body())
    }

    /// Waits.
    ///
    /// # Errors
    /// The bot was stopped.
    pub async fn pause(&self, length: Duration) -> Result<(), CallError> {
        let (over, waiting) = oneshot::channel();
        let message = Message::Pause(length, over);
        self.inbox.send(message).await.map_err(|_| CallError::Stopped)?;
        waiting.await.map_err(|_| CallError::Stopped)
    }

    /// Lets something go on by itself, in the world that the bot lives in. How it ends is
    /// logged.
    pub fn spawn(&self, task: impl Future<Output = Result<(), CallError>> + Send + 'static) {
        (self.spawner)(Box::pin(async move {
            match task.await {
                Ok(()) | Err(CallError::Over | CallError::Stopped) => {}
                Err(error) => tracing::info!(%error, "a call did not go as it should"),
            }
        }));
    }
}

/// A bot that runs.
#[derive(Debug)]
pub struct App {
    line: Line,
    arrivals: mpsc::Receiver<Arrival>,
    address: SocketAddr,
}

impl App {
    /// Starts a bot on the current runtime.
    ///
    /// # Errors
    /// Whatever cannot be had.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        crate::web::choose_cryptography();
        let refuse = |error| StartError::Listen(settings.listen, error);
        let listener = tokio::net::TcpListener::bind(settings.listen).await.map_err(refuse)?;
        let address = listener.local_addr().map_err(refuse)?;
        let base = settings.public.clone().unwrap_or_else(|| format!("http://{address}"));
        let base = base.trim_end_matches('/').to_owned();
        let config = settings.to_bot(&base);
        let client = web::client(settings.authority.as_deref(), config.request_timeout)?;
        let (inbox, messages) = mpsc::channel(INBOX_MAX);
        let (callers, arrivals) = mpsc::channel(CALLERS_MAX);
        let files = Files::default();
        let spawner = Arc::new(|task: Task| drop(tokio::spawn(task)));
        let host = Host::Real(settings.media);
        let line = Line { inbox: inbox.clone(), files: Arc::clone(&files), base, host, spawner };
        let driver = Driver::new(config, client, line.clone(), callers)?;
        tokio::spawn(driver.run(messages));
        let router = web::router(inbox, files);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { line, arrivals, address })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next call that comes in; `None` once the bot is stopped. Asks are not heard.
    pub async fn incoming(&mut self) -> Option<Call> {
        loop {
            if let Arrival::Call(call) = self.arrival().await? {
                return Some(call);
            }
        }
    }

    /// The next thing that comes to the bot; `None` once it is stopped.
    pub async fn arrival(&mut self) -> Option<Arrival> {
        self.arrivals.recv().await
    }

    /// What can be done beside calls that are there; can be cloned and kept.
    #[must_use]
    pub const fn line(&self) -> &Line {
        &self.line
    }

    /// As [`Line::keep_file`].
    pub fn keep_file(&self, name: &str, bytes: impl Into<Bytes>) {
        self.line.keep_file(name, bytes);
    }

    /// As [`Line::call`].
    ///
    /// # Errors
    /// The platform refused.
    pub async fn call(&self, targets: Vec<Target>) -> Result<Call, CallError> {
        self.line.call(targets).await
    }

    /// As [`Line::join`].
    ///
    /// # Errors
    /// The platform refused.
    pub async fn join(&self, join: Join) -> Result<Call, CallError> {
        self.line.join(join).await
    }

    /// As [`Line::ask`].
    ///
    /// # Errors
    /// The platform refused.
    pub async fn ask(
        &self,
        ask: impl FnOnce(&mut Bot, Instant) -> ActionId + Send + 'static,
    ) -> Result<serde_json::Value, CallError> {
        self.line.ask(ask).await
    }
}

/// How an operation ended, as a result.
fn outcome_of(operation: graph::Operation) -> Result<Done, CallError> {
    if operation.status == Some(graph::OperationStatus::Failed) {
        let message = operation.result_info.and_then(|info| info.message);
        return Err(CallError::Failed(message.unwrap_or_default()));
    }
    Ok(Done::Operation(Box::new(operation)))
}
