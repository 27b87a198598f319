//! Calls: a person calls a bot, and it is hung up again. The bot is ours, and tells what it is
//! told; or somebody else's, and the platform tells what it does. All of it over the API that any
//! bot uses.

mod book;
mod control;
mod figures;
mod hire;
mod started;
mod watched;
mod webhook;

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use callrig_reports::load::step;
use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

use book::{Book, Course, Stage};
use control::Control;
pub use started::Started;
pub(super) use started::{Callee, start};

use super::Call;
use super::http::{client, failure};
use crate::web;

const APP: &str = "11111111-1111-4111-8111-111111111111";
const ANN: &str = "22222222-2222-4222-8222-222222222222";
const TENANT: &str = "33333333-3333-4333-8333-333333333333";
/// So many phones at once decode what they hear, and one a second begins to: that is work which
/// the calls of many would not leave the platform.
const LISTENERS_MAX: usize = 16;
const LISTENERS_APART: Duration = Duration::from_secs(1);
/// In the middle of a call that is held so long, or longer, its phone asks for a key frame.
const ASKS_WHEN_HELD: Duration = Duration::from_secs(2);

/// The numbers of the steps and figures of a call.
mod at {
    pub(super) const RING: u8 = 0;
    pub(super) const NOTIFIED: u8 = 1;
    pub(super) const ANSWER: u8 = 2;
    pub(super) const SETUP: u8 = 3;
    pub(super) const HANGUP: u8 = 4;
    pub(super) const ENDED: u8 = 5;
    pub(super) const MEDIA: u8 = 6;
    pub(super) const MOUTH_TO_EAR: u8 = 7;
    pub(super) const FIRST_FRAME: u8 = 8;
    pub(super) const KEY_FRAME: u8 = 9;
    pub(super) const FREEZE: u8 = 10;
    pub(super) const JITTER: u8 = 11;
    pub(super) const LOSS: u8 = 12;
    pub(super) const DISCARDED: u8 = 13;
    pub(super) const UPLINK_JITTER: u8 = 14;
    pub(super) const UPLINK_LOSS: u8 = 15;
}

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
    /// The service does not take what people are to say.
    #[error("--play {0}: {1}")]
    Bring(String, String),
    /// The platform does not let itself be watched.
    #[error("the platform cannot be watched: {0}")]
    Watch(String),
}

/// How the calls are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manner {
    /// Whether the person has a phone that sends and receives.
    pub media: bool,
    /// What the person says: the id of a recording, or a file.
    pub play: Option<String>,
    /// What our bot says: a WAV file that the platform plays.
    #[serde(skip)]
    pub say: Option<Bytes>,
    /// How long a call is kept up once it stands.
    pub hold: Duration,
    /// The bot's token, where the platform asks for one.
    pub token: String,
}

impl Default for Manner {
    fn default() -> Self {
        let token = APP.to_owned();
        Self { media: false, play: None, say: None, hold: Duration::ZERO, token }
    }
}

/// A bot that is not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Theirs {
    /// Where it is told of calls.
    pub webhook: String,
    /// Its app's id.
    pub app: String,
    /// Its secret.
    pub secret: String,
    /// Where the platform listens for it.
    pub listen: SocketAddr,
}

/// A platform, its people, and a bot.
pub struct Platform {
    control: Control,
    manner: Manner,
    /// Who is called, where the service may have several.
    app: Option<String>,
    /// Who calls, where that app and somebody were taken into the service for it.
    hired: Option<String>,
    book: Arc<Book>,
    /// Whether the bot is somebody else's.
    theirs: bool,
    listeners: AtomicUsize,
    listened: Mutex<Option<Instant>>,
    /// Whether key frames are asked for: not after a call that showed no pictures.
    asks: AtomicBool,
    /// Where our bot listens.
    pub bot: SocketAddr,
}

/// What was agreed on when it rang.
struct Ringing {
    call: String,
    leg: String,
    /// Whether its phone listens.
    listens: bool,
}

impl Platform {
    /// What a call consists of, and what is counted of its media.
    #[must_use]
    pub fn steps() -> Vec<&'static str> {
        step::STEPS.iter().map(|step| step.name).collect()
    }

    fn new(manner: Manner, bot: SocketAddr, book: Arc<Book>) -> Result<Self, String> {
        let control = Control { client: client()?, base: String::new(), token: None };
        let (listeners, listened) = (AtomicUsize::new(0), Mutex::new(None));
        Ok(Self {
            control,
            manner,
            app: None,
            hired: None,
            book,
            theirs: false,
            listeners,
            listened,
            asks: AtomicBool::new(true),
            bot,
        })
    }

    /// Listens as a bot; say where the platform is with [`Self::at`].
    ///
    /// # Errors
    /// The address is taken.
    pub async fn listen(listen: SocketAddr, manner: Manner) -> Result<Self, PlatformError> {
        let book = Arc::<Book>::default();
        let bot = webhook::listen(listen, &book, manner.say.clone()).await;
        let bot = bot.map_err(|error| PlatformError::Listen(listen, error))?;
        Self::new(manner, bot, book).map_err(PlatformError::Client)
    }

    /// Watches the calls of somebody else's bot on a platform.
    ///
    /// # Errors
    /// It does not let itself be watched.
    pub async fn watch(
        base: &str,
        token: Option<&str>,
        manner: Manner,
    ) -> Result<Self, PlatformError> {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let platform = Self::new(manner, nowhere, Arc::default());
        let platform = platform.map_err(PlatformError::Client)?.at(base, token);
        watched::watch(&platform.control, &platform.book).await.map_err(PlatformError::Watch)?;
        Ok(Self { theirs: true, ..platform })
    }

    /// Calls the bot of this app.
    #[must_use]
    pub fn calling(mut self, app: &str) -> Self {
        self.app = Some(app.to_owned());
        self
    }

    /// Where the platform is, and the token of its control API.
    #[must_use]
    pub fn at(mut self, base: &str, token: Option<&str>) -> Self {
        base.trim_end_matches('/').clone_into(&mut self.control.base);
        self.control.token = token.map(ToOwned::to_owned);
        self
    }

    pub(super) async fn call(&self, call: &mut Call) -> Result<(), String> {
        let listens = self.manner.media && self.begins_to_listen();
        let ended = async {
            let ringing = self.ring(call, listens).await?;
            let ended = self.live(call, &ringing).await;
            self.book.close(&ringing.call);
            ended
        };
        let ended = ended.await;
        if listens {
            self.listeners.fetch_sub(1, Ordering::Relaxed);
        }
        ended
    }

    /// Whether the phone of a call that begins now is to listen.
    fn begins_to_listen(&self) -> bool {
        let mut last = self.listened.lock().expect("nobody panics while it is held");
        let is_due = last.is_none_or(|last| last.elapsed() >= LISTENERS_APART);
        let begins = is_due && self.listeners.load(Ordering::Relaxed) < LISTENERS_MAX;
        if begins {
            *last = Some(Instant::now());
            self.listeners.fetch_add(1, Ordering::Relaxed);
        }
        begins
    }

    async fn ring(&self, call: &mut Call, listens: bool) -> Result<Ringing, String> {
        let mut body = json!({ "media": self.manner.media, "listen": listens });
        if let Some(play) = &self.manner.play {
            body["play"] = play.as_str().into();
        }
        if let Some(app) = &self.app {
            body["app"] = app.as_str().into();
        }
        if let Some(person) = &self.hired {
            body["user"] = person.as_str().into();
        }
        let request = self.control.request(Method::POST, "/rig/calls").json(&body);
        let answer = request.send().await.map_err(|error| failure(&error))?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| failure(&error))?;
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status != StatusCode::CREATED {
            let why = body["error"]["message"].as_str().unwrap_or("without a word");
            return Err(format!("ringing was answered {}: {why}", status.as_u16()));
        }
        call.step(at::RING, call.meant, Instant::now());
        let text = |name: &str| {
            let text = body[name].as_str().map(ToOwned::to_owned);
            text.ok_or_else(|| format!("ringing: no {name}"))
        };
        Ok(Ringing { call: text("call")?, leg: text("leg")?, listens })
    }

    async fn live(&self, call: &mut Call, ringing: &Ringing) -> Result<(), String> {
        let mut course = self.book.open(&ringing.call)?;
        match self.theirs {
            true => self.live_of_theirs(call, &mut course, ringing).await,
            false => self.live_of_ours(call, &mut course, ringing).await,
        }
    }

    /// Our bot answers, says something perhaps, and hangs up.
    async fn live_of_ours(
        &self,
        call: &mut Call,
        course: &mut Course,
        ringing: &Ringing,
    ) -> Result<(), String> {
        let meant = call.meant;
        call.step(at::NOTIFIED, meant, course.until(Stage::Told).await?);
        let url = format!("{}/v1.0/communications/calls/{}", self.control.base, ringing.call);
        let client = &self.control.client;
        let body = json!({
            "callbackUri": format!("http://{}/", self.bot),
            "acceptedModalities": ["audio"],
            "mediaConfig": { "@odata.type": "#microsoft.graph.serviceHostedMediaConfig" },
        });
        let asked = Instant::now();
        let request = client.post(format!("{url}/answer")).json(&body);
        self.done(request, 202, "answering").await?;
        call.step(at::ANSWER, asked, Instant::now());
        call.step(at::SETUP, meant, course.until(Stage::Established).await?);
        let stands = Instant::now();
        if self.manner.say.is_some() {
            let request = client.post(format!("{url}/playPrompt")).json(&self.prompt());
            self.done(request, 200, "playing a prompt").await?;
        }
        self.ask_for_key_frame(ringing, stands).await;
        tokio::time::sleep(self.manner.hold.saturating_sub(stands.elapsed())).await;
        self.count(call, ringing, self.manner.say.is_some()).await?;
        call.held = stands.elapsed();
        let asked = Instant::now();
        self.done(client.delete(&url), 204, "hanging up").await?;
        call.step(at::HANGUP, asked, Instant::now());
        call.step(at::ENDED, asked, course.until(Stage::Ended).await?);
        Ok(())
    }

    fn prompt(&self) -> Value {
        json!({
            "clientContext": web::guid(),
            "prompts": [{
                "@odata.type": "#microsoft.graph.mediaPrompt",
                "mediaInfo": {
                    "@odata.type": "#microsoft.graph.mediaInfo",
                    "uri": format!("http://{}{}", self.bot, webhook::PROMPT),
                    // Fetched once, for all calls.
                    "resourceId": APP,
                },
            }],
        })
    }

    /// Somebody else's bot answers; the person hangs up, unless the bot does before.
    async fn live_of_theirs(
        &self,
        call: &mut Call,
        course: &mut Course,
        ringing: &Ringing,
    ) -> Result<(), String> {
        let meant = call.meant;
        let answered = course.until(Stage::Answered).await?;
        call.step(at::ANSWER, course.at(Stage::Sent).unwrap_or(answered), answered);
        call.step(at::SETUP, meant, course.until(Stage::Established).await?);
        let stands = Instant::now();
        let held = async {
            // A bot may end the call before that.
            tokio::select! {
                ended = course.until(Stage::Ended) => return ended,
                () = self.ask_for_key_frame(ringing, stands) => {}
            }
            course.until(Stage::Ended).await
        };
        let ended = tokio::time::timeout(self.manner.hold, held).await;
        // A bot may take its time with the answer to the notification that it has acted upon.
        if let Some(told) = course.at(Stage::Told) {
            call.step(at::NOTIFIED, meant, told);
        }
        // Of a call that the bot ended, what is still known.
        let counted = self.count(call, ringing, true).await;
        call.held = stands.elapsed();
        if ended.is_ok() {
            return Ok(());
        }
        counted?;
        let asked = Instant::now();
        let path = format!("/rig/legs/{}/hangUp", ringing.leg);
        match self.control.ask(Method::POST, &path, &Value::Null).await {
            Ok(_) => call.step(at::HANGUP, asked, Instant::now()),
            // The bot has done it meanwhile.
            Err(_) if course.at(Stage::Ended).is_some() => return Ok(()),
            Err(why) => return Err(why),
        }
        call.step(at::ENDED, asked, course.until(Stage::Ended).await?);
        Ok(())
    }

    /// Asks for a key frame in the middle of a call that shows pictures, if that was agreed on:
    /// where it was not, there is no such figure.
    async fn ask_for_key_frame(&self, ringing: &Ringing, stands: Instant) {
        let hold = self.manner.hold;
        if !self.manner.media || hold < ASKS_WHEN_HELD {
            return;
        }
        tokio::time::sleep((hold / 2).saturating_sub(stands.elapsed())).await;
        if !self.asks.load(Ordering::Relaxed) {
            return;
        }
        let path = format!("/rig/legs/{}/askForKeyFrame", ringing.leg);
        let _ = self.control.ask(Method::POST, &path, &Value::Null).await;
    }

    /// What phone and platform counted of the media so far. `comes`: whether the bot says
    /// something.
    async fn count(&self, call: &mut Call, ringing: &Ringing, comes: bool) -> Result<(), String> {
        if !self.manner.media {
            return Ok(());
        }
        let path = format!("/rig/legs/{}", ringing.leg);
        let leg = self.control.ask(Method::GET, &path, &Value::Null).await?;
        let came = figures::note(call, leg)?;
        self.asks.store(came.pictures, Ordering::Relaxed);
        if comes && !came.media {
            call.never(at::MEDIA);
        }
        if ringing.listens && self.manner.play.is_some() && self.theirs && came.media {
            let path = format!("{path}/mouthToEar");
            let heard = self.control.ask(Method::GET, &path, &Value::Null).await;
            let delay = heard.ok().and_then(|heard| heard["delayMs"].as_f64());
            call.figure(at::MOUTH_TO_EAR, delay.map(figures::seconds));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_have_the_numbers_of_their_names() {
        let names = Platform::steps();
        for (number, name) in [
            (at::RING, "ring"),
            (at::NOTIFIED, "notified"),
            (at::ANSWER, "answer"),
            (at::SETUP, "setup"),
            (at::HANGUP, "hangup"),
            (at::ENDED, "ended"),
            (at::MEDIA, "media"),
            (at::MOUTH_TO_EAR, "mouth_to_ear"),
            (at::FIRST_FRAME, "first_frame"),
            (at::KEY_FRAME, "key_frame"),
            (at::FREEZE, "freeze"),
            (at::JITTER, "jitter"),
            (at::LOSS, "loss"),
            (at::DISCARDED, "discarded"),
            (at::UPLINK_JITTER, "uplink_jitter"),
            (at::UPLINK_LOSS, "uplink_loss"),
        ] {
            assert_eq!(names[usize::from(number)], name);
        }
        assert_eq!(names.len(), 16);
    }
}
