//! The platform with everybody around it, as one machine: it plays a [`Script`] to a bot and
//! writes down what crosses. People, their telephones and the troubles of the network are
//! inside; outside there is only the bot.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::ops::RangeInclusive;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use callrig_media::time::{Epoch, Instant};
use callrig_signaling::auth::{SigningKey, Tokens};
use callrig_signaling::call::state::State;
use callrig_signaling::event::Event;
use callrig_signaling::exchange;
use callrig_signaling::graph::Tone;
use callrig_signaling::http::{Method, Request, RequestId, Response};
use callrig_signaling::id::{AppId, CallId, TenantId, UserId};
use callrig_signaling::service::WebRtc;
use callrig_signaling::service::{
    self, Authentication, ConfigError, Delivery, Directory, Quirks, Service, UriPolicy, directory,
};

use super::capture::{Capture, Way};
use super::script::{Act, Begins, Cue, Script, When};
use super::transcript::{Asked, Kind, Person as Does, Sent, Transcript, What, action_of, kinds_of};
use crate::actor::{Actor, Input, Output};
use person::Person;

mod camera;
mod desk;
mod forge;
mod meeting;
mod people;
mod person;
mod post;
mod wire;

/// How much of a body is kept in a transcript.
const BODY_BYTES_KEPT: usize = 64 << 10;
/// How much may wait to be sent at once: a bot that asks without end fills memory no further.
const LATER_MAX: usize = 10_000;
/// After people have hung up, what is still there is ended by the platform.
const END_AFTER: Duration = Duration::from_secs(5);
/// Those who are rung take the call after so long.
const TAKES_AFTER: Duration = Duration::from_millis(800);

/// Ids that everybody in a rig goes by.
pub const TENANT: &str = "33333333-3333-4333-8333-333333333333";
/// Who calls.
pub const ANN: &str = "22222222-2222-4222-8222-222222222222";
/// Who is called.
pub const BEN: &str = "44444444-4444-4444-8444-444444444444";

/// Who the bot is and where everything is.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Scheme and host of the platform, as the bot reaches it.
    pub base: String,
    /// The bot's webhook.
    pub bot: String,
    /// The bot's app.
    pub app: String,
    /// Its secret.
    pub secret: String,
    /// Which of several rigs this is: call ids carry it.
    pub shard: u16,
    /// What the platform signs with.
    pub key: SigningKey,
    /// Keys that it does not sign with: a stranger's, and the one of later.
    pub others: [SigningKey; 2],
    /// Where media of bots that handle it themselves is received: plain RTP.
    pub media: IpAddr,
    /// On which ports.
    pub ports: RangeInclusive<u16>,
    /// The same for WebRTC, if there is any.
    pub webrtc: Option<WebRtc>,
    /// What the wall clock says at the beginning.
    pub epoch: Epoch,
    /// All random choices.
    pub seed: u64,
    /// Which URIs may be called.
    pub uris: UriPolicy,
}

/// What will be done later.
enum Later {
    Send(Request, Option<RequestId>, Option<&'static str>),
    Answer(Response, u64, Option<&'static str>),
    Act(Act),
    Take(usize),
    Patience,
    EndAll,
    /// There is nothing more to be seen, unless something comes.
    Finish,
    /// Nobody waits any longer: whoever never answers is not waited for.
    Stop,
}

/// A request on its way to the bot.
struct Outgoing {
    number: u64,
    /// The platform's own number of it; none for what is not the platform's.
    service: Option<RequestId>,
    kinds: Vec<Kind>,
    reply_lost: bool,
}

/// A request of the bot that the platform works on.
struct Incoming {
    outside: RequestId,
    number: u64,
    answer: desk::AnswerFate,
}

/// A rig.
pub struct Rig {
    setup: Setup,
    forge: forge::Forge,
    service: Service,
    script: Script,
    cues: Vec<Cue>,
    troubled: Vec<u32>,
    transcript: Arc<Mutex<Transcript>>,
    outputs: VecDeque<Output>,
    later: BTreeMap<(Instant, u64), Later>,
    decided: u64,
    numbers: u64,
    outgoing: BTreeMap<RequestId, Outgoing>,
    incoming: BTreeMap<RequestId, Incoming>,
    counts: BTreeMap<Count, u32>,
    people: [Person; 2],
    /// Telephones that ring, with what they were offered.
    ringing: [Option<callrig_media::description::Description>; 2],
    call: Option<CallId>,
    began: bool,
    ending: bool,
    api_token: String,
    losing: Option<wire::Losing>,
}

/// What is counted, for [`When`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Count {
    Told(Kind),
    Asked(&'static str),
    Hears,
    Quiet,
    Crossed,
    Over,
}

impl Rig {
    /// A rig that will play a script.
    ///
    /// # Errors
    /// The platform refuses what it is told.
    pub fn new(setup: Setup, script: Script) -> Result<Self, ConfigError> {
        let service = Service::new(config(&setup, &script), setup.epoch, setup.seed)?;
        let forge = forge::Forge {
            key: setup.key.clone(),
            stranger: setup.others[0].clone(),
            app: setup.app.clone(),
            tenant: TENANT.to_owned(),
        };
        let telephone = |host| SocketAddr::from((Ipv4Addr::new(198, 18, 0, host), 4_000));
        let strangers = setup.webrtc.is_some();
        let mut rig = Self {
            forge,
            service,
            cues: script.cues.clone(),
            troubled: vec![0; script.troubles.len()],
            transcript: Arc::new(Mutex::new(Transcript {
                capture: Capture::new(setup.epoch),
                ..Transcript::default()
            })),
            outputs: VecDeque::new(),
            later: BTreeMap::new(),
            decided: 0,
            numbers: 0,
            outgoing: BTreeMap::new(),
            incoming: BTreeMap::new(),
            counts: BTreeMap::new(),
            people: [
                Person::new(telephone(1), script.pictures, strangers),
                Person::new(telephone(2), false, strangers),
            ],
            ringing: [None, None],
            call: None,
            began: false,
            ending: false,
            api_token: String::new(),
            losing: None,
            setup,
            script,
        };
        rig.begin();
        Ok(rig)
    }

    /// What crosses, as it is written down.
    #[must_use]
    pub fn transcript(&self) -> Arc<Mutex<Transcript>> {
        Arc::clone(&self.transcript)
    }

    fn written(&self) -> MutexGuard<'_, Transcript> {
        self.transcript.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the script has come to its end.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.written().finished
    }

    /// It does not come to an end by itself: it is there for tokens and keys.
    pub fn stay(&mut self) {
        self.began = false;
    }

    fn begin(&mut self) {
        let start = Instant::from_millis(10);
        match &self.script.begins {
            Begins::Ring => self.put(start, Later::Act(Act::Ring)),
            Begins::Ask { path, body } => {
                let request = self.ask_of_bot(path, body);
                self.put(start, Later::Send(request, None, Some("asked by somebody")));
            }
            Begins::Policy => self.put(start, Later::Act(Act::Meet)),
            Begins::Meeting { .. } => self.put(start, Later::Act(Act::Gather)),
            Begins::Nothing => self.began = true,
        }
        self.put(start + self.script.patience, Later::Patience);
        self.cues_due(start, |when| when == When::Start);
    }

    fn write(&self, now: Instant, what: What) {
        self.written().push(now, what);
    }

    fn put(&mut self, at: Instant, later: Later) {
        if self.later.len() < LATER_MAX {
            self.decided += 1;
            self.later.insert((at, self.decided), later);
        }
    }

    fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Something happened that people may wait for.
    fn count(&mut self, now: Instant, count: Count) {
        let counted = self.counts.entry(count).or_insert(0);
        *counted += 1;
        let nth = *counted;
        self.cues_due(now, |when| match (when, count) {
            (When::Told(kind, n), Count::Told(told)) => kind == told && n == nth,
            (When::Asked(action, n), Count::Asked(asked)) => action == asked && n == nth,
            (When::Hears(n), Count::Hears)
            | (When::Quiet(n), Count::Quiet)
            | (When::Crossed(n), Count::Crossed) => n == nth,
            (When::Over, Count::Over) => nth == 1,
            _ => false,
        });
    }

    fn cues_due(&mut self, now: Instant, is_due: impl Fn(When) -> bool) {
        let (due, waiting): (Vec<Cue>, Vec<Cue>) =
            core::mem::take(&mut self.cues).into_iter().partition(|cue| is_due(cue.when));
        self.cues = waiting;
        for cue in due {
            self.put(now + cue.after, Later::Act(cue.act));
        }
    }

    /// Sends the bot something of the platform's, or of somebody else's.
    fn send(
        &mut self,
        now: Instant,
        mut request: Request,
        service: Option<RequestId>,
        stimulus: Option<&'static str>,
    ) {
        let number = self.next_number();
        let mut kept = request.clone();
        kept.body = kept.body.slice(..kept.body.len().min(BODY_BYTES_KEPT));
        request.id = RequestId(number);
        let posts = request.method == Method::Post;
        let kinds = if posts && service.is_some() { kinds_of(&request) } else { Vec::new() };
        let reply_lost = service.is_some() && posts && self.loses_reply(&kinds);
        self.outgoing.insert(request.id, Outgoing { number, service, kinds, reply_lost });
        self.write(now, What::Sent(Sent { number, request: kept, stimulus }));
        self.outputs.push_back(Output::Request(request));
        self.count(now, Count::Crossed);
    }

    fn take_request(&mut self, now: Instant, mut request: Request) {
        let action = action_of(request.method, &request.uri);
        let number = self.next_number();
        let outside = request.id;
        if !matches!(action, "token" | "metadata" | "keys") {
            if let Some(token) = request.bearer() {
                token.clone_into(&mut self.api_token);
            }
            self.count(now, Count::Crossed);
        }
        let mut kept = request.clone();
        kept.body = kept.body.slice(..kept.body.len().min(BODY_BYTES_KEPT));
        self.write(now, What::Asked(Asked { number, action, request: kept }));
        let answer = match self.trouble_of(action) {
            desk::Trouble::Instead(response, name) => {
                self.answer(now, Response { id: outside, ..response }, number, Some(name));
                self.count(now, Count::Asked(action));
                return;
            }
            desk::Trouble::Answer(fate) => fate,
        };
        request.id = RequestId(number);
        self.incoming.insert(request.id, Incoming { outside, number, answer });
        self.service.handle_input(now, exchange::Input::Request(request));
        self.count(now, Count::Asked(action));
    }

    fn answer(
        &mut self,
        now: Instant,
        response: Response,
        number: u64,
        stimulus: Option<&'static str>,
    ) {
        let mut kept = response.clone();
        kept.body = kept.body.slice(..kept.body.len().min(BODY_BYTES_KEPT));
        let answered = super::transcript::Answered { number, response: kept, stimulus };
        self.write(now, What::Answered(answered));
        self.outputs.push_back(Output::Response(response));
    }

    /// Does what is due, and passes on what comes of it, until nothing moves.
    fn turn(&mut self, now: Instant) {
        while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= now) {
            match entry.remove() {
                Later::Send(request, service, stimulus) => {
                    self.send(now, request, service, stimulus);
                }
                Later::Answer(response, number, stimulus) => {
                    self.answer(now, response, number, stimulus);
                }
                Later::Act(act) => self.act(now, &act),
                Later::Take(who) => self.take_call(now, who),
                Later::Patience => self.lose_patience(now),
                Later::EndAll => self.service.shut_down(now),
                Later::Finish | Later::Stop => return self.finish(),
            }
            self.pass_on(now);
        }
        if self.service.poll_timeout().is_some_and(|at| at <= now) {
            self.service.handle_input(now, exchange::Input::Timeout);
        }
        for who in 0..self.people.len() {
            self.people[who].handle_timeout(now);
        }
        self.pass_on(now);
        self.come_to_an_end(now);
    }

    /// Everything that the platform and the people want done.
    fn pass_on(&mut self, now: Instant) {
        loop {
            while let Some(output) = self.service.poll_output() {
                self.carry_out(now, output);
            }
            if !self.pump_people(now) {
                return;
            }
        }
    }

    fn carry_out(&mut self, now: Instant, output: service::Output) {
        match output {
            exchange::Output::Request(request) => self.deliver(now, request),
            exchange::Output::Response(response) => self.respond(now, response),
            exchange::Output::Datagram(datagram) => {
                let telephone =
                    self.people.iter_mut().find(|who| who.address() == datagram.destination);
                match telephone {
                    Some(person) => {
                        person.handle_datagram(now, datagram.clone());
                        self.written().capture.keep(now, Way::Telephone, &datagram);
                    }
                    None => self.outputs.push_back(Output::Datagram(datagram)),
                }
            }
            exchange::Output::Event(event) => self.hear(now, event),
        }
    }

    fn hear(&mut self, now: Instant, event: Event) {
        match event {
            Event::CallStateChanged { call, state, .. } => {
                self.began = true;
                self.call.get_or_insert(call);
                // Before anything flows: nobody is asked for a key frame because of it.
                let line = self.service.call_line(call).filter(|_| state == State::Established);
                if let Some(line) = line {
                    self.service.capture(now, line.leg, true);
                }
                let state = state.to_graph().as_str().to_owned();
                self.write(now, What::State(state));
            }
            Event::CallEnded { .. } => self.count(now, Count::Over),
            Event::OperationStarted { kind, .. } => {
                self.write(now, operation(kind.type_name(), "running"));
            }
            Event::OperationEnded { kind, result, .. } => {
                let status = if result.code < 300 { "completed" } else { "failed" };
                self.write(now, operation(kind.type_name(), status));
            }
            Event::NotificationGivenUp { reason, .. } => self.write(now, What::GaveUp(reason)),
            event @ (Event::Media { .. }
            | Event::MediaEnded { .. }
            | Event::RelayDropped { .. }) => self.hear_of_media(now, event),
            event => self.hear_of_people(now, event),
        }
    }

    /// Ends the script once there is nothing more to be seen.
    fn come_to_an_end(&mut self, now: Instant) {
        let acts = |later: &Later| {
            matches!(later, Later::Act(_) | Later::Take(_) | Later::Send(..) | Later::Answer(..))
        };
        let load = self.service.load();
        let quiet =
            self.began && load.calls == 0 && load.outboxes == 0 && !self.later.values().any(acts);
        if quiet && !self.ending {
            self.ending = true;
            self.put(now + self.script.aftermath, Later::Finish);
        } else if !quiet && self.ending {
            self.ending = false;
            self.later.retain(|_, later| !matches!(later, Later::Finish));
        }
    }

    fn finish(&mut self) {
        self.later.clear();
        self.outputs.clear();
        self.written().finished = true;
    }
}

impl Actor for Rig {
    fn handle_input(&mut self, now: Instant, input: Input) {
        if self.is_finished() {
            return;
        }
        match input {
            Input::Request(request) => self.take_request(now, request),
            Input::Response(response) => self.take_reply(now, response.id, Ok(response)),
            Input::Failed(failure) => self.take_reply(now, failure.id, Err(failure.reason)),
            Input::Datagram(datagram) => self.take_datagram(now, datagram),
            Input::Timeout | Input::Order(..) => {}
        }
        self.pass_on(now);
        self.turn(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.is_finished() {
            return None;
        }
        let later = self.later.first_key_value().map(|((at, _), _)| *at);
        let people = self.people.iter().filter_map(Person::poll_timeout).min();
        [later, people, self.service.poll_timeout()].into_iter().flatten().min()
    }
}

fn operation(type_name: &str, status: &'static str) -> What {
    let name = type_name.trim_start_matches("#microsoft.graph.").trim_end_matches("Operation");
    What::Operation { kind: name.to_owned(), status }
}

/// The API's name of a key.
pub(super) fn tone_name(key: char) -> String {
    Tone::from_key(&key.to_string())
        .map_or_else(|| key.to_string(), |tone| tone.as_str().to_owned())
}

fn config(setup: &Setup, script: &Script) -> service::Config {
    let tweaks = &script.platform;
    let app = directory::App {
        id: AppId::new(&setup.app),
        name: "bot under test".to_owned(),
        webhook: Some(setup.bot.clone()),
        secret: Some(setup.secret.clone()),
    };
    let consent = directory::Consent {
        app: AppId::new(&setup.app),
        permissions: directory::Permission::ALL.into(),
    };
    let person = |id: &str, name: &str| directory::User {
        id: UserId::new(id),
        name: name.to_owned(),
        language: Some("en-US".to_owned()),
        country: Some("US".to_owned()),
    };
    let tenant = directory::Tenant {
        id: TenantId::new(TENANT),
        name: "callrig".to_owned(),
        users: vec![person(ANN, "Ann"), person(BEN, "Ben")],
        consents: vec![consent],
    };
    let mut tokens = Tokens::new(vec![setup.key.clone()]);
    // A new key is used at once: who reads keys only now and then has to look again.
    tokens.announced = Duration::ZERO;
    if script.cues.iter().any(|cue| cue.act == Act::NewKey) {
        // And what was signed before is soon replaced.
        tokens.callback_lifetime = Duration::from_secs(16);
    }
    service::Config {
        base_url: setup.base.clone(),
        shard: setup.shard,
        media_address: setup.media,
        media_ports: setup.ports.clone(),
        webrtc: setup.webrtc.clone(),
        rosters_after_escalation: tweaks.rosters_after_escalation,
        packet_events: script.pictures,
        directory: Directory { apps: vec![app], tenants: vec![tenant] },
        authentication: Authentication::Tokens(tokens),
        uris: setup.uris,
        delivery: Delivery {
            batch_max: if tweaks.batched { 8 } else { 1 },
            legacy_first: tweaks.legacy,
            quirks: Quirks {
                established_first: tweaks.established_first,
                pascal_case: tweaks.pascal_case,
            },
            ..Delivery::default()
        },
        ..service::Config::default()
    }
}
