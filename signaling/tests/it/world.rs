//! A world of one platform, one bot and any number of people: every crossing takes its
//! time, nothing is lost unless a test says so, and everything said is kept.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use callrig_media::datagram::Datagram;
use callrig_media::description::Description;
use callrig_media::event::Event as MediaEvent;
use callrig_media::session::{self, Session};
use callrig_media::time::{Epoch, Instant, NtpTime};
use callrig_signaling::bot::{self, Bot};
use callrig_signaling::event::Event;
use callrig_signaling::exchange::{Input, Output};
use callrig_signaling::graph::{self, CommsNotifications};
use callrig_signaling::http::{Failure, Method, Request, RequestId, Response};
use callrig_signaling::id::{AppId, CallId, LegId, UserId};
use callrig_signaling::service::directory::{App, Consent, Permission, Tenant, User};
use callrig_signaling::service::{self, Directory, Service};
use serde_json::Value;

/// How long HTTP takes, one way.
pub(crate) const HTTP: Duration = Duration::from_millis(10);

/// How long a datagram takes.
pub(crate) const WIRE: Duration = Duration::from_millis(20);

/// What waits in front of a narrow way at most.
const NARROW_QUEUE: Duration = Duration::from_secs(2);

pub(crate) const API: &str = "https://graph.test/v1.0";
pub(crate) const WEBHOOK: &str = "https://bot.test/api/calls";

/// What is on its way, by whom it is for.
#[derive(Debug)]
enum Crossing {
    Service(Input),
    Bot(Input),
    Person(SocketAddr, Datagram),
}

/// What becomes of a request, or of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Both arrive.
    Arrives,
    /// It does not arrive, and its sender learns so.
    Lost,
    /// It arrives, but its answer does not.
    AnswerLost,
    /// It arrives now, and once more after so many milliseconds.
    Twice(u64),
}

/// What a raw bot (one that is a test's) does with a notification.
pub(crate) type Webhook = Box<dyn FnMut(&Request) -> Option<Response>>;

/// A person with a telephone.
pub(crate) struct Person {
    pub(crate) leg: LegId,
    pub(crate) local: Description,
    pub(crate) session: Option<Session>,
    pub(crate) heard: Vec<MediaEvent>,
    /// Whether it sends 20 ms of a tone every 20 ms.
    pub(crate) speaks: bool,
    /// How loud that is.
    pub(crate) amplitude: i16,
    next_frame: Instant,
}

/// A way that carries only so much, with a queue in front of it.
pub(crate) struct Narrow {
    bits_per_second: u64,
    free_at: Instant,
    /// Datagrams that found the queue full.
    pub(crate) lost: u64,
}

impl Narrow {
    pub(crate) const fn new(bits_per_second: u64) -> Self {
        Self { bits_per_second, free_at: Instant::ZERO, lost: 0 }
    }

    /// When a datagram has passed it.
    fn carry(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        let begins = self.free_at.max(now);
        if begins.since(now) > NARROW_QUEUE {
            self.lost += 1;
            return None;
        }
        // With the headers of IP and UDP.
        let bits = (bytes as u64 + 28) * 8;
        self.free_at = begins + Duration::from_nanos(bits * 1_000_000_000 / self.bits_per_second);
        Some(self.free_at)
    }
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) service: Service,
    pub(crate) bot: Option<Bot>,
    /// Answers notifications when there is no bot.
    pub(crate) webhook: Option<Webhook>,
    /// Files that prompts name.
    pub(crate) files: BTreeMap<String, Bytes>,
    pub(crate) people: BTreeMap<SocketAddr, Person>,
    pub(crate) said: Vec<(Instant, Event)>,
    pub(crate) bot_said: Vec<(Instant, bot::Event)>,
    /// Every notification, as it left the platform.
    pub(crate) notifications: Vec<(Instant, Request)>,
    /// Every file that was asked for.
    pub(crate) fetched: Vec<String>,
    queue: BTreeMap<(Instant, u64), Crossing>,
    crossings: u64,
    answers: BTreeMap<RequestId, Response>,
    requests: u64,
    ports: u16,
    /// What becomes of the next requests between platform and bot; all arrive after.
    pub(crate) fates: VecDeque<Fate>,
    /// Who is at the end of a narrow way.
    pub(crate) narrow: BTreeMap<SocketAddr, Narrow>,
    /// Requests whose answers are lost.
    unanswered: BTreeSet<(bool, RequestId)>,
}

/// How many more people there are.
pub(crate) const CROWD: usize = 8;

/// The id of one of them.
pub(crate) fn crowd(number: usize) -> String {
    format!("crowd-{number}")
}

pub(crate) fn directory(permissions: &[Permission]) -> Directory {
    let app = |id: &str, name: &str, webhook: &str| App {
        id: AppId::new(id),
        name: name.into(),
        webhook: Some(webhook.into()),
        secret: None,
    };
    let user = |id: &str, name: &str| User {
        id: UserId::new(id),
        name: name.into(),
        language: Some("en-US".into()),
        country: None,
    };
    let consent = |app: &str, permissions: &[Permission]| Consent {
        app: app.into(),
        permissions: permissions.iter().copied().collect(),
    };
    Directory {
        tenants: vec![
            Tenant {
                id: "contoso".into(),
                name: "Contoso".into(),
                users: [user("ann", "Ann"), user("ben", "Ben"), user("cleo", "Cleo")]
                    .into_iter()
                    .chain((0..CROWD).map(|number| user(&crowd(number), "One of many")))
                    .collect(),
                consents: vec![consent("bot", permissions), consent("other", &Permission::ALL)],
            },
            Tenant {
                id: "northwind".into(),
                name: "Northwind".into(),
                users: vec![user("dora", "Dora")],
                consents: vec![consent("bot", permissions)],
            },
        ],
        apps: vec![
            app("bot", "The Bot", WEBHOOK),
            app("other", "Another Bot", "https://other.test/calls"),
        ],
    }
}

pub(crate) fn epoch() -> Epoch {
    Epoch { ntp: NtpTime::from_bits(3_900_000_000 << 32) }
}

pub(crate) fn config() -> service::Config {
    service::Config {
        base_url: "https://graph.test".into(),
        directory: directory(&Permission::ALL),
        ..service::Config::default()
    }
}

pub(crate) fn bot_config() -> bot::Config {
    bot::Config {
        app: AppId::new("bot"),
        token: Some("bot".into()),
        api: API.into(),
        callback_uri: WEBHOOK.into(),
        ..bot::Config::default()
    }
}

impl World {
    /// A platform and our own bot.
    pub(crate) fn new(seed: u64) -> Self {
        Self::with_bot_of(config(), seed, bot_config())
    }

    /// A platform and a bot of a test's making.
    pub(crate) fn with_bot_of(config: service::Config, seed: u64, bot: bot::Config) -> Self {
        let mut world = Self::with_webhook(config, seed, Box::new(accept));
        world.webhook = None;
        world.bot = Some(Bot::new(bot, epoch(), seed + 1).expect("the config is valid"));
        world
    }

    /// A platform and a webhook of the test's.
    pub(crate) fn with_webhook(config: service::Config, seed: u64, webhook: Webhook) -> Self {
        Self {
            now: Instant::ZERO,
            service: Service::new(config, epoch(), seed).expect("the config is valid"),
            bot: None,
            webhook: Some(webhook),
            files: BTreeMap::new(),
            people: BTreeMap::new(),
            said: Vec::new(),
            bot_said: Vec::new(),
            notifications: Vec::new(),
            fetched: Vec::new(),
            queue: BTreeMap::new(),
            crossings: 0,
            answers: BTreeMap::new(),
            requests: 1 << 32,
            ports: 4000,
            fates: VecDeque::new(),
            narrow: BTreeMap::new(),
            unanswered: BTreeSet::new(),
        }
    }

    fn cross(&mut self, at: Instant, crossing: Crossing) {
        self.crossings += 1;
        self.queue.insert((at, self.crossings), crossing);
    }

    /// An address for somebody's media.
    pub(crate) fn address(&mut self) -> SocketAddr {
        self.ports += 1;
        SocketAddr::from(([127, 0, 0, 2], self.ports))
    }

    /// Ann calls the bot.
    pub(crate) fn ring(&mut self) -> (CallId, SocketAddr) {
        let address = self.address();
        self.ring_with(&Description::audio(address))
    }

    pub(crate) fn ring_with(&mut self, offer: &Description) -> (CallId, SocketAddr) {
        let address = offer.address;
        let (ann, bot) = (UserId::new("ann"), AppId::new("bot"));
        let rings = self.service.ring_bot(self.now, &ann, &bot, offer.clone());
        let rings = rings.expect("the bot can be rung");
        self.add_person(rings.leg, offer);
        self.drain();
        (rings.call, address)
    }

    pub(crate) fn add_person(&mut self, leg: LegId, local: &Description) {
        let person = Person {
            leg,
            session: None,
            heard: Vec::new(),
            speaks: false,
            amplitude: 6_000,
            next_frame: self.now,
            local: local.clone(),
        };
        self.people.insert(local.address, person);
    }

    /// Opens a person's own session.
    pub(crate) fn open(&mut self, address: SocketAddr, remote: Description) {
        let now = self.now;
        let person = self.people.get_mut(&address).expect("the person is there");
        let config = session::Config::new(person.local.clone(), remote);
        let session = Session::new(config, epoch(), u64::from(address.port()));
        person.session = Some(session.expect("the descriptions fit"));
        person.next_frame = now;
    }

    pub(crate) fn person(&mut self, address: SocketAddr) -> &mut Person {
        self.people.get_mut(&address).expect("the person is there")
    }

    /// Does something with a person's session, and sends what it then has to send.
    pub(crate) fn with_session<R>(
        &mut self,
        address: SocketAddr,
        act: impl FnOnce(&mut Session, Instant) -> R,
    ) -> R {
        let now = self.now;
        let session = self.person(address).session.as_mut().expect("it is open");
        let result = act(session, now);
        self.drain();
        result
    }

    pub(crate) fn hang_up(&mut self, address: SocketAddr) {
        let leg = self.person(address).leg;
        self.service.hang_up(self.now, leg).expect("the leg is there");
        self.drain();
    }

    /// Asks the API as the bot, and gets its answer at once.
    pub(crate) fn api(&mut self, method: Method, path: &str, body: &str) -> Response {
        self.api_as("bot", method, path, body)
    }

    pub(crate) fn api_as(&mut self, app: &str, method: Method, path: &str, body: &str) -> Response {
        let bearer = format!("Bearer {app}");
        let headers =
            [("Authorization", bearer.as_str()), ("Content-Type", "application/json")].into();
        let uri = if path.starts_with('/') { format!("{API}{path}") } else { path.to_owned() };
        let body = Bytes::copy_from_slice(body.as_bytes());
        self.request(Request { id: RequestId(0), method, uri, headers, body })
    }

    pub(crate) fn request(&mut self, mut request: Request) -> Response {
        self.requests += 1;
        request.id = RequestId(self.requests);
        let id = request.id;
        self.service.handle_input(self.now, Input::Request(request));
        self.drain();
        self.answers.remove(&id).expect("every request is answered at once")
    }

    /// Does something with the bot, and sends what it then has to send.
    pub(crate) fn with_bot<R>(&mut self, act: impl FnOnce(&mut Bot, Instant) -> R) -> R {
        let result = act(self.bot.as_mut().expect("there is a bot"), self.now);
        self.drain();
        result
    }

    /// Takes everything that everybody wants done.
    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.service.poll_output() {
            self.take_service(output);
        }
        while let Some(output) = self.bot.as_mut().and_then(Bot::poll_output) {
            self.take_bot(output);
        }
        let mut sent = Vec::new();
        for person in self.people.values_mut() {
            let Some(session) = person.session.as_mut() else { continue };
            while let Some(output) = session.poll_output() {
                match output {
                    session::Output::Datagram(datagram) => sent.push(datagram),
                    session::Output::Event(event) => person.heard.push(event),
                }
            }
        }
        for datagram in sent {
            self.send(datagram);
        }
    }

    fn take_service(&mut self, output: service::Output) {
        match output {
            Output::Request(request) if request.method == Method::Get => {
                self.fetched.push(request.uri.clone());
                let status = if self.files.contains_key(&request.uri) { 200 } else { 404 };
                let body = self.files.get(&request.uri).cloned().unwrap_or_default();
                let response = Response { body, ..Response::empty(request.id, status) };
                self.cross(self.now + HTTP * 2, Crossing::Service(Input::Response(response)));
            }
            Output::Request(request) => {
                self.notifications.push((self.now, request.clone()));
                match self.webhook.as_mut() {
                    Some(webhook) => {
                        if let Some(response) = webhook(&request) {
                            let input = match response.status {
                                0 => Input::Failed(Failure {
                                    id: request.id,
                                    reason: "connection refused".into(),
                                }),
                                _ => Input::Response(response),
                            };
                            self.cross(self.now + HTTP * 2, Crossing::Service(input));
                        }
                    }
                    None => self.risk(request, true),
                }
            }
            Output::Response(response) => {
                if response.id.0 > 1 << 32 {
                    self.answers.insert(response.id, response);
                } else {
                    self.answer(response, false);
                }
            }
            Output::Datagram(datagram) => self.send(datagram),
            Output::Event(event) => {
                if let Event::UserAnswered { leg, description, .. } = &event {
                    let person = self.people.iter().find(|(_, person)| person.leg == *leg);
                    // Without a telephone a test looks after its media itself.
                    if let Some(address) = person.map(|(address, _)| *address) {
                        self.open(address, description.clone());
                    }
                }
                self.said.push((self.now, event));
            }
        }
    }

    fn take_bot(&mut self, output: bot::Output) {
        match output {
            Output::Request(request) => self.risk(request, false),
            Output::Response(response) => self.answer(response, true),
            Output::Datagram(datagram) => self.send(datagram),
            Output::Event(event) => self.bot_said.push((self.now, event)),
        }
    }

    /// Sends a request to the bot, or to the platform, where its fate awaits it.
    fn risk(&mut self, request: Request, to_bot: bool) {
        let towards = |to_bot: bool, input| match to_bot {
            true => Crossing::Bot(input),
            false => Crossing::Service(input),
        };
        let id = request.id;
        let fate = self.fates.pop_front().unwrap_or(Fate::Arrives);
        if fate != Fate::Lost {
            self.cross(self.now + HTTP, towards(to_bot, Input::Request(request.clone())));
        }
        // HTTP does not repeat a request by itself; the platform does, when it gives up on
        // an attempt that was only late.
        if let (Fate::Twice(ms), true) = (fate, to_bot) {
            let later = self.now + HTTP + Duration::from_millis(ms);
            self.cross(later, towards(to_bot, Input::Request(request)));
        }
        if matches!(fate, Fate::Lost | Fate::AnswerLost) {
            self.unanswered.insert((to_bot, id));
            let failed = Input::Failed(Failure { id, reason: "connection reset".into() });
            self.cross(self.now + HTTP * 3, towards(!to_bot, failed));
        }
    }

    /// Sends an answer of the bot's, or of the platform's.
    fn answer(&mut self, response: Response, from_bot: bool) {
        if self.unanswered.contains(&(from_bot, response.id)) {
            return;
        }
        let crossing = match from_bot {
            true => Crossing::Service(Input::Response(response)),
            false => Crossing::Bot(Input::Response(response)),
        };
        self.cross(self.now + HTTP, crossing);
    }

    fn send(&mut self, datagram: Datagram) {
        let to = datagram.destination;
        let mut leaves = self.now;
        if let Some(narrow) = self.narrow.get_mut(&to) {
            match narrow.carry(self.now, datagram.payload.len()) {
                Some(at) => leaves = at,
                None => return,
            }
        }
        let crossing = if self.people.contains_key(&to) {
            Crossing::Person(to, datagram)
        } else if to.ip() == SocketAddr::from(([127, 0, 0, 1], 0)).ip() {
            Crossing::Service(Input::Datagram(datagram))
        } else {
            Crossing::Bot(Input::Datagram(datagram))
        };
        self.cross(leaves + WIRE, crossing);
    }

    fn next(&self) -> Option<Instant> {
        let queue = self.queue.keys().next().map(|(at, _)| *at);
        let bot = self.bot.as_ref().and_then(Bot::poll_timeout);
        let people = self.people.values().flat_map(|person| {
            let session = person.session.as_ref();
            let frame = session.filter(|_| person.speaks).map(|_| person.next_frame);
            [session.and_then(Session::poll_timeout), frame]
        });
        people.chain([queue, bot, self.service.poll_timeout()]).flatten().min()
    }

    /// Lets everything happen that is due by then.
    pub(crate) fn run_until(&mut self, until: Instant) {
        while let Some(at) = self.next().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            let due = self.queue.first_key_value().is_some_and(|((at, _), _)| *at <= self.now);
            if due && let Some((_, crossing)) = self.queue.pop_first() {
                match crossing {
                    Crossing::Service(input) => self.service.handle_input(self.now, input),
                    Crossing::Bot(input) => {
                        if let Some(bot) = self.bot.as_mut() {
                            bot.handle_input(self.now, input);
                        }
                    }
                    Crossing::Person(address, datagram) => {
                        let person = self.people.get_mut(&address).expect("it is a person's");
                        if let Some(session) = person.session.as_mut() {
                            session.handle_input(self.now, session::Input::Datagram(datagram));
                        }
                    }
                }
            } else {
                self.tell_the_time();
            }
            self.drain();
        }
        self.now = until;
    }

    fn tell_the_time(&mut self) {
        let now = self.now;
        if self.service.poll_timeout().is_some_and(|at| at <= now) {
            self.service.handle_input(now, Input::Timeout);
        }
        if let Some(bot) = self.bot.as_mut()
            && bot.poll_timeout().is_some_and(|at| at <= now)
        {
            bot.handle_input(now, Input::Timeout);
        }
        for person in self.people.values_mut() {
            let Some(session) = person.session.as_mut() else { continue };
            if session.poll_timeout().is_some_and(|at| at <= now) {
                session.handle_input(now, session::Input::Timeout);
            }
            if person.speaks && person.next_frame <= now {
                person.next_frame += Duration::from_millis(20);
                let loud = person.amplitude;
                let frame: Vec<i16> =
                    (0..960).map(|n| if n / 24 % 2 == 0 { loud } else { -loud }).collect();
                let _ = session.send_audio(now, &frame);
            }
        }
    }

    pub(crate) fn run(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    pub(crate) fn run_ms(&mut self, ms: u64) {
        self.run(Duration::from_millis(ms));
    }

    /// What every notification so far says, in order: (change, resource, data).
    pub(crate) fn told(&self) -> Vec<(graph::ChangeType, String, Value)> {
        self.notifications.iter().flat_map(|(_, request)| items(request)).collect()
    }

    /// The states that every call notification so far tells, in order.
    pub(crate) fn told_states(&self) -> Vec<String> {
        self.told()
            .iter()
            .filter(|(_, url, _)| url.matches('/').count() == 3)
            .map(|(change, _, data)| {
                let state = data["state"].as_str().unwrap_or("-");
                let active = data["mediaState"]["audio"].as_str().map_or("", |_| "+media");
                let tone = data["toneInfo"]["tone"].as_str().map_or("", |_| "+tone");
                format!("{change} {state}{active}{tone}")
            })
            .collect()
    }

    pub(crate) fn ended(&self) -> Vec<(u16, u32)> {
        self.said
            .iter()
            .filter_map(|(_, event)| match event {
                Event::CallEnded { result, .. } => Some((result.code, result.subcode)),
                _ => None,
            })
            .collect()
    }

    /// Fails if anything is left of any call.
    pub(crate) fn assert_nothing_left(&self) {
        assert_eq!(self.service.load(), service::Load::default(), "something outlived its call");
    }
}

/// The items of a notification.
pub(crate) fn items(request: &Request) -> Vec<(graph::ChangeType, String, Value)> {
    let envelope: CommsNotifications =
        serde_json::from_slice(&request.body).expect("the platform writes JSON");
    let item = |item: graph::CommsNotification| {
        (
            item.change_type.expect("it says what happened"),
            item.resource_url.expect("it says to what"),
            item.resource_data.unwrap_or_default(),
        )
    };
    envelope.value.into_iter().flatten().map(item).collect()
}

/// Takes a notification.
pub(crate) fn accept(request: &Request) -> Option<Response> {
    Some(Response::empty(request.id, 202))
}

pub(crate) fn json(response: &Response) -> Value {
    serde_json::from_slice(&response.body).expect("the platform writes JSON")
}

/// A WAV file of one channel at 16 kHz.
pub(crate) fn wav(ms: usize) -> Bytes {
    let data: Vec<u8> = (0..ms * 16)
        .flat_map(|n| (if n / 16 % 2 == 0 { 8000_i16 } else { -8000 }).to_le_bytes())
        .collect();
    let mut file = Vec::new();
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(36 + data.len() as u32).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data");
    file.extend_from_slice(&(data.len() as u32).to_le_bytes());
    file.extend_from_slice(&data);
    file.into()
}

pub(crate) const SERVICE_HOSTED: &str = r##"{"callbackUri":"https://bot.test/api/calls",
    "acceptedModalities":["audio"],
    "mediaConfig":{"@odata.type":"#microsoft.graph.serviceHostedMediaConfig"}}"##;
