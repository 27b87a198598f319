//! What a load calls: any URL, or a calling platform with people and a bot of ours.

mod calls;
mod http;

use core::net::SocketAddr;
use core::time::Duration;
use std::time::Instant;

use callrig_reports::load::step::NEVER;

pub use calls::{Manner, Platform, PlatformError, Started, Theirs};
pub use http::Plain;
use serde::{Deserialize, Serialize};

use calls::{Callee, start};

/// What is to be called, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Aim {
    /// This, by GET.
    pub http: Option<String>,
    /// Otherwise calls of the service there; without it, of one that is started.
    pub url: Option<String>,
    /// The token of its control API.
    pub rig_token: Option<String>,
    /// Which of its apps is called, whose bot is not ours; without it, ours.
    pub app: Option<String>,
    /// Whose bot is called, if it is not ours: by a service that is started for it.
    #[serde(skip)]
    pub theirs: Option<Theirs>,
    /// How the calls are.
    pub manner: Manner,
    /// How long one of them may take.
    pub timeout: Duration,
}

impl Aim {
    /// Gets ready: what is called, and the platform that was started for it. `own` are those who
    /// call for an app of their own, which they take into the service: one app has one webhook,
    /// and where several make load, each has a bot.
    ///
    /// # Errors
    /// There is nothing to call.
    pub async fn take(
        &self,
        listen: SocketAddr,
        own: bool,
    ) -> Result<(Target, Option<Started>), PlatformError> {
        if let Some(url) = &self.http {
            return Ok((Target::Plain(Plain::new(url).map_err(PlatformError::Url)?), None));
        }
        let manner = self.manner.clone();
        let token = self.rig_token.as_deref();
        let (mut platform, started) = match (&self.url, &self.app, &self.theirs) {
            (Some(base), Some(app), _) => {
                (Platform::watch(base, token, manner).await?.calling(app), None)
            }
            (None, _, Some(theirs)) => {
                let started = started(Callee::Theirs(theirs.clone())).await?;
                (Platform::watch(&started.base, None, manner).await?, Some(started))
            }
            (Some(base), ..) => (Platform::listen(listen, manner).await?.at(base, token), None),
            (None, ..) => {
                let platform = Platform::listen(listen, manner).await?;
                let started = started(Callee::Ours(platform.bot)).await?;
                (platform.at(&started.base, None), Some(started))
            }
        };
        if own && self.app.is_none() {
            platform.hire().await.map_err(PlatformError::Hire)?;
        } else {
            platform.bring().await?;
        }
        Ok((Target::Platform(Box::new(platform)), started))
    }

    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        match (&self.http, &self.url, &self.app, &self.theirs) {
            (Some(url), ..) => format!("GET {url}"),
            (None, Some(base), Some(app), _) => format!("calls of {base} to {app}"),
            (None, Some(base), ..) => format!("calls of {base}"),
            (None, None, _, Some(theirs)) => format!("calls to the bot at {}", theirs.webhook),
            (None, None, _, None) => "calls of a `callrig serve` of its own".to_owned(),
        }
    }
}

async fn started(callee: Callee) -> Result<Started, PlatformError> {
    let started = tokio::task::spawn_blocking(move || start(&callee)).await;
    started.map_err(|error| PlatformError::Serve(error.to_string()))?
}

/// A call under way: its steps as they end.
pub struct Call {
    /// Its number.
    pub number: u64,
    /// When it was meant to begin.
    pub meant: Instant,
    /// How long each step took, in nanoseconds, by the number of the step.
    pub steps: Vec<(u8, u64)>,
    /// How long it was kept up on purpose: no latency.
    pub held: Duration,
}

impl Call {
    /// One that was meant to begin then.
    #[must_use]
    pub const fn new(number: u64, meant: Instant) -> Self {
        Self { number, meant, steps: Vec::new(), held: Duration::ZERO }
    }

    /// A step has ended that began then.
    pub fn step(&mut self, step: u8, from: Instant, to: Instant) {
        let nanos = to.saturating_duration_since(from).as_nanos();
        self.steps.push((step, u64::try_from(nanos).unwrap_or(NEVER)));
    }

    /// A step was waited for in vain.
    pub fn never(&mut self, step: u8) {
        self.steps.push((step, NEVER));
    }

    /// A figure: seconds, or a part of 1. None is none.
    pub fn figure(&mut self, figure: u8, value: Option<f64>) {
        if let Some(value) = value {
            self.steps.push((figure, (value * 1e9).clamp(0.0, 1e18) as u64));
        }
    }
}

/// What is called.
pub enum Target {
    /// A URL, by GET.
    Plain(Plain),
    /// Calls.
    Platform(Box<Platform>),
}

impl Target {
    /// The steps of one of its calls.
    #[must_use]
    pub fn steps(&self) -> Vec<String> {
        let steps = match self {
            Self::Plain(_) => Vec::new(),
            Self::Platform(_) => Platform::steps(),
        };
        steps.into_iter().map(ToOwned::to_owned).collect()
    }

    /// Leaves the service as it was.
    pub async fn leave(&self) {
        if let Self::Platform(platform) = self {
            platform.dismiss().await;
        }
    }

    /// One call, from begin to end.
    ///
    /// # Errors
    /// Why it failed, in words that are the same for the same reason.
    pub async fn call(&self, call: &mut Call) -> Result<(), String> {
        match self {
            Self::Plain(plain) => plain.call().await,
            Self::Platform(platform) => platform.call(call).await,
        }
    }
}
