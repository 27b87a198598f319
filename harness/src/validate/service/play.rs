//! Playing a case: one step after the other, and for each rule that a step checks, what
//! came of it with the exchange that proves it.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callrig_media::description::Description;
use callrig_media::transport::sdp;
use callrig_signaling::http::Headers;
use serde_json::{Value, json};

use super::expect::{Expectation, Seen, walk};
use super::ground::{Answer, Ask, Conduct, Ground, PeopleError, Told};
use super::script::{Case, Deed, Step};
use crate::catalogue::fill_with;

/// Characters of a body in evidence.
const BODY_CHARACTERS_MAX: usize = 2_000;
/// Exchanges before the one in question that evidence shows.
const EVIDENCE_BEFORE: usize = 4;
/// Notifications that a case may be told; a service that floods it is cut off.
const TOLD_MAX: usize = 2_000;

/// What came of one check of a rule.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// As it should be.
    Kept,
    /// Not as it should be.
    Broken {
        /// What was expected.
        expected: String,
        /// What was so instead.
        actual: String,
        /// The exchange, as text.
        evidence: Vec<String>,
    },
    /// There was nothing to look at, since the service says that it does not do this.
    Unsupported(String),
    /// It could not be looked at.
    Unjudged(String),
}

/// What a case found out, by rule, in the order of its checks.
#[derive(Clone, Debug, Default)]
pub struct Played {
    /// The outcomes.
    pub outcomes: Vec<(String, Outcome)>,
    /// Bodies of good answers, with the path that was asked for, and notifications.
    pub bodies: Vec<(Source, Value)>,
    /// How long it took in the ground's time.
    pub took: Duration,
    /// Whether the service answered nothing at all.
    pub is_dead: bool,
}

/// Where a body comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An answer to a request for this path.
    Answer(String),
    /// A notification.
    Notification,
}

/// Plays a case on a ground.
pub fn play(case: &Case, ground: &mut dyn Ground) -> Played {
    let mut words = ground.words();
    words.extend(media());
    let secret = words.get("secret").map(String::as_str).unwrap_or_default();
    let secret: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    words.insert("secret.form".to_owned(), secret);
    let mut player = Player {
        ground,
        words,
        log: Vec::new(),
        heard: Vec::new(),
        waiting: Vec::new(),
        played: Played::default(),
        answers: 0,
    };
    let staged = case.stage.iter().try_for_each(|step| player.stage(step));
    let stopped = match staged {
        Ok(()) => player.act(&case.steps),
        Err(stop) => Some((0, stop)),
    };
    if let Some((from, stop)) = stopped {
        for (rule, _) in case.steps[from..].iter().flat_map(|step| &step.checks) {
            player.played.outcomes.push((rule.clone(), stop.outcome()));
        }
    }
    player.played.took = player.ground.now();
    player.played.is_dead &= player.answers == 0;
    player.played
}

/// Words of every case: who handles media, as bodies say it. The app's address takes everything and says
/// nothing (RFC 863's port): sound is judged elsewhere.
fn media() -> [(String, String); 8] {
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let sdp = sdp::write(&Description::audio(nowhere), 1);
    let blob = STANDARD.encode(json!({ "type": "offer", "sdp": sdp }).to_string());
    let service = json!({ "@odata.type": "#microsoft.graph.serviceHostedMediaConfig" });
    let app = json!({ "@odata.type": "#microsoft.graph.appHostedMediaConfig", "blob": blob });
    [
        ("serviceHosted", service.to_string()),
        ("appHosted", app.to_string()),
        // The longest `clientContext`, and one that is too long.
        ("characters256", "x".repeat(256)),
        ("characters257", "x".repeat(257)),
        // One target too many for a redirect.
        ("prompts20", [r#"{"mediaInfo":{"uri":"{bot}/prompt.wav"}}"#; 20].join(",")),
        ("prompts21", [r#"{"mediaInfo":{"uri":"{bot}/prompt.wav"}}"#; 21].join(",")),
        // One too many for an invitation.
        ("six", [r#"{"identity":{"user":{"id":"{cleo}"}}}"#; 6].join(",")),
        ("targets26", [r#"{"identity":{"user":{"id":"x"}}}"#; 26].join(",")),
    ]
    .map(|(name, word)| (name.to_owned(), word))
}

/// Why a case does not go on.
#[derive(Clone, Debug)]
enum Stop {
    Unsupported(String),
    Cannot(String),
}

impl Stop {
    fn outcome(&self) -> Outcome {
        match self {
            Self::Unsupported(why) => Outcome::Unsupported(why.clone()),
            Self::Cannot(why) => Outcome::Unjudged(why.clone()),
        }
    }
}

/// A notification's item, with what it came in.
struct Item {
    seen: Seen,
    shown: String,
}

struct Player<'a> {
    ground: &'a mut dyn Ground,
    words: BTreeMap<String, String>,
    /// What crossed, as text.
    log: Vec<String>,
    /// Items that were looked at.
    heard: Vec<Item>,
    /// Items that were not.
    waiting: Vec<Item>,
    played: Played,
    answers: usize,
}

impl Player<'_> {
    /// Words may have words in them.
    fn fill(&self, text: &str) -> String {
        let once = fill_with(text, |name| self.words.get(name).cloned());
        fill_with(&once, |name| self.words.get(name).cloned())
    }

    /// A step before the case proper: it has to succeed.
    fn stage(&mut self, step: &Step) -> Result<(), Stop> {
        let seen = self
            .deed(&step.deed)?
            .map_err(|why| Stop::Cannot(format!("what it stands on was not reached: {why}")))?;
        self.must_be_good(&seen)
            .map_err(|why| Stop::Cannot(format!("what it stands on was not reached: {why}")))?;
        self.save(step, &seen).map_err(Stop::Cannot)
    }

    /// All steps; where and why it stopped, if it did.
    fn act(&mut self, steps: &[Step]) -> Option<(usize, Stop)> {
        for (number, step) in steps.iter().enumerate() {
            let outcome = match self.deed(&step.deed) {
                Err(stop) => return Some((number, stop)),
                Ok(outcome) => outcome,
            };
            match outcome {
                Ok(seen) => {
                    self.check(step, &seen);
                    if step.checks.is_empty()
                        && let Err(why) = self.must_be_good(&seen)
                    {
                        return Some((number + 1, Stop::Cannot(why)));
                    }
                    if let Err(why) = self.save(step, &seen) {
                        return Some((number + 1, Stop::Cannot(why)));
                    }
                }
                Err(why) => {
                    let evidence = self.evidence();
                    for (rule, expected) in &step.checks {
                        let expected =
                            format!("{}, {}", what(&step.deed), self.fill(expected.text()));
                        let (actual, evidence) = (why.clone(), evidence.clone());
                        let broken = Outcome::Broken { expected, actual, evidence };
                        self.played.outcomes.push((rule.clone(), broken));
                    }
                    let why = format!("a step before it was not reached: {why}");
                    return Some((number + 1, Stop::Cannot(why)));
                }
            }
        }
        None
    }

    fn must_be_good(&self, seen: &Seen) -> Result<(), String> {
        match seen.status {
            Some(status) if !(200..300).contains(&status) => {
                Err(self.log.last().cloned().unwrap_or_default())
            }
            _ => Ok(()),
        }
    }

    fn check(&mut self, step: &Step, seen: &Seen) {
        for (rule, expected) in &step.checks {
            let text = self.fill(expected.text());
            let outcome = match Expectation::parse(&text).map(|expected| expected.check(seen)) {
                Ok(Ok(())) => Outcome::Kept,
                Ok(Err(actual)) => {
                    Outcome::Broken { expected: text, actual, evidence: self.evidence() }
                }
                Err(problem) => Outcome::Unjudged(problem),
            };
            self.played.outcomes.push((rule.clone(), outcome));
        }
    }

    fn save(&mut self, step: &Step, seen: &Seen) -> Result<(), String> {
        for (name, path) in &step.save {
            let value = match path.strip_prefix("header ") {
                Some(header) => seen.header(header).map(str::to_owned),
                None => {
                    let path = self.fill(path);
                    let path = path.strip_prefix("body/").unwrap_or(&path);
                    let path: Vec<String> = path.split('/').map(str::to_owned).collect();
                    let found = walk(&seen.body, &path).into_iter().next();
                    found.map(|value| {
                        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
                    })
                }
            };
            let value = value.ok_or_else(|| format!("there is no {path} in what came back"))?;
            self.words.insert(name.clone(), value);
        }
        Ok(())
    }

    /// Does what a step says; `Err` inside is the service's doing.
    fn deed(&mut self, deed: &Deed) -> Result<Result<Seen, String>, Stop> {
        let began = self.ground.now();
        let mut seen = match deed {
            Deed::Ask { method, path, by, headers, body } => {
                let ask = Ask {
                    method: method.clone(),
                    path: absolute(&self.fill(path)),
                    headers: self.headers(by, headers, body.is_some())?,
                    body: body.as_ref().map(|body| self.fill(body)),
                };
                match self.ask(&ask) {
                    Ok(answer) => Seen {
                        status: Some(answer.status),
                        headers: answer.headers,
                        body: answer.body,
                        ..Seen::default()
                    },
                    Err(why) => return Ok(Err(why)),
                }
            }
            Deed::Hear { of, within } => match self.hear(&self.fill(of), *within) {
                Ok(seen) => seen,
                Err(why) => return Ok(Err(why)),
            },
            Deed::Watch { of, time } => {
                let from = self.heard.len();
                self.pass(*time);
                Seen { count: Some(self.count(&self.fill(of), from)), ..Seen::default() }
            }
            Deed::Tally { of } => {
                self.pass(Duration::ZERO);
                Seen { count: Some(self.count(&self.fill(of), 0)), ..Seen::default() }
            }
            Deed::People(act) => {
                let act = self.fill(act);
                self.log.push(format!("({act})"));
                match self.ground.people(&act) {
                    Ok(words) => self.words.extend(words),
                    Err(PeopleError::Unsupported(why)) => return Err(Stop::Unsupported(why)),
                    Err(PeopleError::Refused(why)) => {
                        return Err(Stop::Cannot(format!("{act}: {why}")));
                    }
                }
                Seen::default()
            }
            Deed::Webhook(text) => {
                let (conduct, count) = conduct(&self.fill(text)).map_err(Stop::Cannot)?;
                self.ground.webhook(conduct, count);
                Seen::default()
            }
        };
        // Of a notification it is known already: from when it was waited for.
        seen.took = self.ground.now().saturating_sub(began).as_secs_f64();
        Ok(Ok(seen))
    }

    fn headers(&mut self, by: &str, headers: &Headers, has_body: bool) -> Result<Headers, Stop> {
        let mut list = Headers::new();
        if has_body && headers.get("content-type").is_none() {
            list.push("Content-Type", "application/json");
        }
        if by != "nobody" && headers.get("authorization").is_none() {
            let token = self.token(by)?;
            list.push("Authorization", &format!("Bearer {token}"));
        }
        list.extend(headers.iter().map(|(name, value)| (name, self.fill(value))));
        Ok(list)
    }

    /// The token of `app` or `other`, from the service's own token endpoint.
    fn token(&mut self, by: &str) -> Result<String, Stop> {
        let kept = format!("token.{by}");
        if let Some(token) = self.words.get(&kept) {
            return Ok(token.clone());
        }
        let word = |name: &str| self.words.get(name).cloned().unwrap_or_default();
        let (app, secret) = match by {
            "app" => (word("app"), word("secret")),
            other => (word(other), word(&format!("{other}.secret"))),
        };
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &app)
            .append_pair("client_secret", &secret)
            .append_pair("scope", "https://graph.microsoft.com/.default")
            .finish();
        let ask = Ask {
            method: "POST".into(),
            path: format!("/{}/oauth2/v2.0/token", word("tenant")),
            headers: [("Content-Type", "application/x-www-form-urlencoded")].into(),
            body: Some(form),
        };
        let refuse = |why: String| Stop::Cannot(format!("the token endpoint gave no token: {why}"));
        let answer = self.ask(&ask).map_err(refuse)?;
        let token = answer.body["access_token"].as_str().map(str::to_owned);
        let token = token.ok_or_else(|| refuse(format!("status {}", answer.status)))?;
        self.words.insert(kept, token.clone());
        Ok(token)
    }

    fn ask(&mut self, ask: &Ask) -> Result<Answer, String> {
        let asked = show_ask(ask);
        let answer = self.ground.ask(ask).inspect_err(|why| {
            self.log.push(format!("{asked}\n-> {why}"));
            self.played.is_dead = true;
        })?;
        self.answers += 1;
        self.log.push(format!("{asked}\n{}", show_answer(&answer)));
        if (200..300).contains(&answer.status) && answer.body.is_object() {
            self.played.bodies.push((Source::Answer(ask.path.clone()), answer.body.clone()));
        }
        Ok(answer)
    }

    /// Takes a POST apart.
    fn take(&mut self, told: Told) {
        self.played.bodies.push((Source::Notification, told.body.clone()));
        let items = match &told.body["value"] {
            Value::Array(items) => items.clone(),
            // No envelope: judged as what it is.
            _ => vec![told.body.clone()],
        };
        let at = told.at.as_secs_f64();
        let mut headers = told.headers;
        headers.push(":path", &told.path);
        let shown = format!("<- POST {} at {at:.3} s\n{}", told.path, cut(&told.body.to_string()));
        for body in items {
            let seen = Seen {
                headers: headers.clone(),
                body,
                envelope: told.body.clone(),
                took: at,
                ..Seen::default()
            };
            if self.waiting.len() + self.heard.len() < TOLD_MAX {
                self.waiting.push(Item { seen, shown: shown.clone() });
            }
        }
    }

    fn next_item(&mut self, within: Duration) -> Option<Item> {
        if self.waiting.is_empty() {
            let told = self.ground.hear(within)?;
            self.take(told);
        }
        (!self.waiting.is_empty()).then(|| self.waiting.remove(0))
    }

    fn hear(&mut self, of: &str, within: Duration) -> Result<Seen, String> {
        let wanted = Expectation::parse(of)?;
        let until = self.ground.now() + within + self.ground.slack();
        let mut passed = 0;
        while let Some(item) = self.next_item(until.saturating_sub(self.ground.now())) {
            self.log.push(item.shown.clone());
            let fits = wanted.check(&item.seen).is_ok();
            let seen = item.seen.clone();
            self.heard.push(item);
            if fits {
                return Ok(seen);
            }
            passed += 1;
            if passed > TOLD_MAX {
                return Err(format!("more than {TOLD_MAX} notifications came, and none of them"));
            }
        }
        let others = match passed {
            0 => "nothing was told".to_owned(),
            some => format!("{some} notifications came, and none of them was this"),
        };
        Err(format!("{others} within {} s", within.as_secs_f64()))
    }

    /// Lets time pass, and takes in what comes.
    fn pass(&mut self, time: Duration) {
        let until = self.ground.now() + time;
        while let Some(item) = self.next_item(until.saturating_sub(self.ground.now())) {
            self.log.push(item.shown.clone());
            self.heard.push(item);
            if self.heard.len() >= TOLD_MAX {
                return;
            }
        }
    }

    fn count(&self, of: &str, from: usize) -> usize {
        let Ok(wanted) = Expectation::parse(of) else { return 0 };
        self.heard[from..].iter().filter(|item| wanted.check(&item.seen).is_ok()).count()
    }

    fn evidence(&self) -> Vec<String> {
        let from = self.log.len().saturating_sub(EVIDENCE_BEFORE + 1);
        self.log[from..].to_vec()
    }
}

fn what(deed: &Deed) -> &'static str {
    match deed {
        Deed::Ask { .. } => "an answer",
        Deed::Hear { .. } => "a notification",
        _ => "something",
    }
}

/// Paths without a slash in front are below the API's root.
fn absolute(path: &str) -> String {
    match path {
        path if path.starts_with('/') => path.to_owned(),
        path if path.starts_with("calls") => format!("/v1.0/communications/{path}"),
        path => format!("/v1.0/{path}"),
    }
}

/// `202`, `503 2`, `302 https://…`, `never 1`, `close`.
fn conduct(text: &str) -> Result<(Conduct, Option<u32>), String> {
    let mut words = text.split_whitespace();
    let first = words.next().unwrap_or_default();
    let mut headers = Headers::new();
    let mut count = None;
    for word in words {
        match word.parse() {
            Ok(number) => count = Some(number),
            Err(_) => headers.push("Location", word),
        }
    }
    let conduct = match first {
        "never" => Conduct::Never,
        "close" => Conduct::Close,
        status => match status.parse() {
            Ok(status) => Conduct::Answer(status, headers),
            Err(_) => return Err(format!("{text:?} is nothing that a webhook does")),
        },
    };
    Ok((conduct, count))
}

fn show_ask(ask: &Ask) -> String {
    let mut text = format!("{} {}", ask.method, ask.path);
    for (name, value) in &ask.headers {
        // Secrets stay out of reports.
        let value = if name.eq_ignore_ascii_case("authorization") { "Bearer …" } else { value };
        text.push_str(&format!("\n{name}: {value}"));
    }
    if let Some(body) = &ask.body {
        let body = match body.contains("client_secret") {
            true => "(a form with the app's secret)",
            false => body,
        };
        text.push_str(&format!("\n{}", cut(body)));
    }
    text
}

fn show_answer(answer: &Answer) -> String {
    let mut text = format!("-> {}", answer.status);
    for (name, value) in &answer.headers {
        if ["location", "retry-after", "www-authenticate"]
            .iter()
            .any(|n| name.eq_ignore_ascii_case(n))
        {
            text.push_str(&format!("\n{name}: {value}"));
        }
    }
    if !answer.body.is_null() {
        let shown = match answer.body.get("access_token") {
            Some(_) => "(a token)".to_owned(),
            None => cut(&answer.body.to_string()),
        };
        text.push_str(&format!("\n{shown}"));
    }
    text
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(BODY_CHARACTERS_MAX) {
        Some((at, _)) => format!("{}… ({} bytes)", &text[..at], text.len()),
        None => text.to_owned(),
    }
}
