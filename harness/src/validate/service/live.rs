//! A ground over HTTP: anybody's service, with tokens from its own token endpoint and a
//! webhook of ours. Where the service is a rig, each case has an app and people of its own;
//! elsewhere the app is the one that was named, and cases that need people say that they
//! are unsupported.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;
use thiserror::Error;
use tokio::runtime::{self, Runtime};

use super::ground::{Answer, Ask, Conduct, Ground, PeopleError, Told};
use super::rig::Crew;
use super::webhook::{Mailbox, Webhook, json};
use crate::web::guid;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// How long a case may take beyond what it waits for.
const CASE: Duration = Duration::from_secs(60);
/// How much longer something may take on a machine that has other work.
const SLACK: Duration = Duration::from_secs(10);
/// Requests that go unanswered before a service that never answered counts as dead.
const UNANSWERED_MAX: usize = 4;

/// What is judged, and as whom.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// Scheme and host of the service.
    pub service: String,
    /// Scheme and host of its control API, if it is a rig.
    pub rig: Option<String>,
    /// The token of the control API.
    pub rig_token: Option<String>,
    /// Where the webhook is reached from the service; where it listens without one.
    pub webhook: Option<String>,
    /// Where the webhook listens.
    pub listen: Option<SocketAddr>,
    /// The app, its secret and its organisation, where there is no rig.
    pub app: Option<(String, String, String)>,
    /// Ids of people, where there is no rig.
    pub users: Vec<String>,
}

/// Why nothing can be judged.
#[derive(Debug, Error)]
pub enum LiveError {
    /// No threads, or no address.
    #[error("the webhook cannot listen: {0}; choose another address with --listen")]
    Listen(#[from] io::Error),
    /// No client.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(#[from] reqwest::Error),
    /// No idea whom to call as.
    #[error(
        "without --rig the app has to be named: --app-id, --secret and --tenant, as the service knows it"
    )]
    App,
}

/// A service somewhere.
pub struct Live {
    runtime: Runtime,
    client: reqwest::Client,
    webhook: Webhook,
    subject: Subject,
    answered: AtomicBool,
    unanswered: AtomicUsize,
}

impl Live {
    /// Gets ready to judge.
    ///
    /// # Errors
    /// What is missing.
    pub fn new(subject: Subject) -> Result<Self, LiveError> {
        if subject.rig.is_none() && subject.app.is_none() {
            return Err(LiveError::App);
        }
        crate::web::choose_cryptography();
        let runtime =
            runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(ANSWER)
            .no_proxy()
            .build()?;
        let listen = subject.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let webhook = Webhook::listen(runtime.handle(), listen)?;
        let (answered, unanswered) = (AtomicBool::new(false), AtomicUsize::new(0));
        Ok(Self { runtime, client, webhook, subject, answered, unanswered })
    }

    /// A ground for a case with these grants, that waits for so long by itself.
    ///
    /// # Errors
    /// The rig refuses an app or people.
    pub fn ground(
        self: &Arc<Self>,
        grants: Option<&[String]>,
        waits: Duration,
    ) -> Result<Case, String> {
        let name = guid();
        let mailbox = self.webhook.open(&name);
        let base = self.subject.webhook.clone();
        let base = base.unwrap_or_else(|| format!("http://{}", self.webhook.address()));
        let bot = format!("{}/{name}", base.trim_end_matches('/'));
        let webhook = format!("{bot}/calls");
        let mut words = BTreeMap::from([
            ("base".to_owned(), self.subject.service.clone()),
            ("bot".to_owned(), bot),
            ("webhook".to_owned(), webhook.clone()),
        ]);
        let mut crew = None;
        if self.subject.rig.is_some() {
            let (hired, more) = Crew::hire(&mut |ask| self.command(ask), &webhook, grants)?;
            words.extend(more);
            crew = Some(hired);
        } else if let Some((app, secret, tenant)) = &self.subject.app {
            for (key, word) in [("app", app), ("secret", secret), ("tenant", tenant)] {
                words.insert(key.to_owned(), word.clone());
            }
            for (person, id) in super::people::PEOPLE.iter().zip(&self.subject.users) {
                words.insert((*person).to_owned(), id.clone());
            }
        }
        let until = Instant::now() + waits + CASE;
        Ok(Case { live: Arc::clone(self), name, mailbox, words, crew, until, calls: Vec::new() })
    }

    /// A request to the control API.
    fn command(&self, ask: &Ask) -> Result<Answer, String> {
        let mut ask = ask.clone();
        if let Some(token) = &self.subject.rig_token {
            ask.headers.push("Authorization", &format!("Bearer {token}"));
        }
        self.send(self.subject.rig.as_deref().unwrap_or_default(), &ask)
    }

    fn send(&self, base: &str, ask: &Ask) -> Result<Answer, String> {
        let dead = !self.answered.load(Ordering::Relaxed)
            && self.unanswered.load(Ordering::Relaxed) >= UNANSWERED_MAX;
        if dead {
            return Err(format!(
                "the service left the first {UNANSWERED_MAX} requests unanswered and is asked nothing more"
            ));
        }
        let outcome = self.runtime.block_on(self.attempt(base, ask));
        match &outcome {
            Ok(_) => self.answered.store(true, Ordering::Relaxed),
            Err(_) => {
                self.unanswered.fetch_add(1, Ordering::Relaxed);
            }
        }
        outcome
    }

    async fn attempt(&self, base: &str, ask: &Ask) -> Result<Answer, String> {
        let method = reqwest::Method::from_bytes(ask.method.as_bytes());
        let method = method.map_err(|error| error.to_string())?;
        let uri = format!("{}{}", base.trim_end_matches('/'), ask.path);
        let mut request = self.client.request(method, uri);
        for (name, value) in &ask.headers {
            request = request.header(name, value);
        }
        if let Some(body) = &ask.body {
            request = request.body(body.clone());
        }
        let mut response = request.send().await.map_err(|error| explain(&error))?;
        let status = response.status().as_u16();
        let headers = crate::web::headers(response.headers());
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| explain(&error))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(format!("the answer has more than {ANSWER_BYTES_MAX} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, headers, body: json(&body) })
    }
}

/// Why no answer came, with the cause that says most.
fn explain(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", ANSWER.as_secs());
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    format!("no answer: {cause}")
}

/// The ground of one case.
pub struct Case {
    live: Arc<Live>,
    name: String,
    mailbox: Arc<Mailbox>,
    words: BTreeMap<String, String>,
    crew: Option<Crew>,
    until: Instant,
    /// Calls that may be left over, with the token of who began them.
    calls: Vec<Ask>,
}

impl Case {
    fn remember(&mut self, ask: &Ask, answer: &Answer) {
        let is_new = answer.status == 201 && ask.path.ends_with("/calls");
        if let Some(id) = answer.body["id"].as_str().filter(|_| is_new) {
            let own = ask.headers.get("authorization").map(|token| ("Authorization", token));
            self.calls.push(Ask {
                method: "DELETE".to_owned(),
                path: format!("{}/{id}", ask.path),
                headers: own.into_iter().collect(),
                body: None,
            });
        }
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        let live = Arc::clone(&self.live);
        for ask in &self.calls {
            let _ = live.send(&live.subject.service, ask);
        }
        if let Some(crew) = &self.crew {
            crew.dismiss(&mut |ask| live.command(ask));
        }
        live.webhook.close(&self.name);
    }
}

impl Ground for Case {
    fn words(&self) -> BTreeMap<String, String> {
        self.words.clone()
    }

    fn ask(&mut self, ask: &Ask) -> Result<Answer, String> {
        if Instant::now() > self.until {
            return Err("the case has taken too long".to_owned());
        }
        let answer = self.live.send(&self.live.subject.service, ask)?;
        self.remember(ask, &answer);
        Ok(answer)
    }

    fn hear(&mut self, within: Duration) -> Option<Told> {
        let left = self.until.saturating_duration_since(Instant::now());
        self.mailbox.next(within.min(left))
    }

    fn people(&mut self, act: &str) -> Result<BTreeMap<String, String>, PeopleError> {
        let live = Arc::clone(&self.live);
        match &mut self.crew {
            Some(crew) => crew.act(&mut |ask| live.command(ask), act),
            None => Err(PeopleError::Unsupported(
                "it takes people, whom a service without a control API (--rig) does not have"
                    .into(),
            )),
        }
    }

    fn webhook(&mut self, conduct: Conduct, count: Option<u32>) {
        self.mailbox.conduct(conduct, count);
    }

    fn now(&self) -> Duration {
        self.mailbox.elapsed()
    }

    fn slack(&self) -> Duration {
        SLACK
    }
}
