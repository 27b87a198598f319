//! A bot in the real world: [`callrig_signaling::bot::Bot`] with a listener, a client and
//! the clock of this machine, as futures. [`App::start`] listens for the platform,
//! [`App::incoming`] waits for the next caller, and a [`Call`] does one thing after the
//! other. Notifications are believed only with the platform's token, the app's own tokens
//! come and go by themselves.

mod call;
mod driver;
mod web;

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};

use bytes::Bytes;
use callrig_media::time::Instant;
use callrig_signaling::bot::{self, ActionId, AnswerMedia, Bot, ClientSecret, Join, Target, Trust};
use callrig_signaling::graph;
use callrig_signaling::id::AppId;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

pub use call::Call;
use driver::{Done, Driver, Message};

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
    /// The call is over.
    #[error("the call is over")]
    Over,
    /// The bot is.
    #[error("the bot was stopped")]
    Stopped,
}

/// Files that the platform can fetch from the bot.
type Files = Arc<RwLock<BTreeMap<String, Bytes>>>;

/// What acts on the bot, on behalf of everybody who has a handle.
#[derive(Clone, Debug)]
pub(crate) struct Hands {
    inbox: mpsc::Sender<Message>,
    files: Files,
    base: String,
}

impl Hands {
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
}

/// A bot that runs.
#[derive(Debug)]
pub struct App {
    hands: Hands,
    callers: mpsc::Receiver<Call>,
    address: SocketAddr,
}

impl App {
    /// Starts a bot on the current runtime.
    ///
    /// # Errors
    /// Whatever cannot be had.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        // Two of them may be there through other crates: one has to be named.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let refuse = |error| StartError::Listen(settings.listen, error);
        let listener = tokio::net::TcpListener::bind(settings.listen).await.map_err(refuse)?;
        let address = listener.local_addr().map_err(refuse)?;
        let base = settings.public.clone().unwrap_or_else(|| format!("http://{address}"));
        let base = base.trim_end_matches('/').to_owned();
        let config = bot::Config {
            app: AppId::new(&settings.app),
            api: settings.api.clone(),
            callback_uri: format!("{base}/api/calls"),
            secret: Some(ClientSecret::new(&settings.login, &settings.tenant, &settings.secret)),
            trust: settings.metadata.as_deref().map(Trust::new),
            ..bot::Config::default()
        };
        let client = web::client(settings.authority.as_deref(), config.request_timeout)?;
        let (inbox, messages) = mpsc::channel(INBOX_MAX);
        let (callers, arrivals) = mpsc::channel(CALLERS_MAX);
        let files = Files::default();
        let hands = Hands { inbox: inbox.clone(), files: Arc::clone(&files), base };
        let driver = Driver::new(config, client, hands.clone(), callers)?;
        tokio::spawn(driver.run(messages));
        let router = web::router(inbox, files);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { hands, callers: arrivals, address })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next call that comes in; `None` once the bot is stopped.
    pub async fn incoming(&mut self) -> Option<Call> {
        self.callers.recv().await
    }

    /// Keeps a file (WAV, one channel, 16 bits, 16 kHz) that calls can then play by name.
    pub fn keep_file(&self, name: &str, bytes: impl Into<Bytes>) {
        let mut files = self.hands.files.write().expect("nobody panics with the files in hand");
        files.insert(name.to_owned(), bytes.into());
    }

    /// Calls somebody, or several as a group.
    ///
    /// # Errors
    /// The platform refused.
    pub async fn call(&self, targets: Vec<Target>) -> Result<Call, CallError> {
        let media = AnswerMedia::ServiceHosted { pre_fetch: Vec::new() };
        let done =
            self.hands.act(move |bot, now| Ok(bot.call_targets(now, &targets, &media))).await;
        done?.call().ok_or(CallError::Over)
    }

    /// Joins a meeting.
    ///
    /// # Errors
    /// The platform refused.
    pub async fn join(&self, join: Join) -> Result<Call, CallError> {
        let media = AnswerMedia::ServiceHosted { pre_fetch: Vec::new() };
        let done = self.hands.act(move |bot, now| Ok(bot.join(now, &join, &media))).await;
        done?.call().ok_or(CallError::Over)
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
        Ok(self.hands.act(move |bot, now| Ok(ask(bot, now))).await?.body())
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
