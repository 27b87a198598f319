//! A ground in virtual time: a service of ours, the case's app and its webhook, and people
//! without sound. Everything follows from the seed, so that the same case gives the same
//! bytes, and a wait of 45 minutes takes none.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::LazyLock;

use bytes::Bytes;
use callrig_media::description::Description;
use callrig_media::time::{Epoch, Instant, NtpTime};
use callrig_signaling::auth::{SigningKey, Tokens};
use callrig_signaling::event::Event;
use callrig_signaling::exchange::{Input, Output};
use callrig_signaling::graph::Tone;
use callrig_signaling::http::{Failure, Headers, Method, Request, RequestId, Response};
use callrig_signaling::id::{AppId, CallId, LegId, UserId};
use callrig_signaling::service::directory::{App, Consent, Permission, Tenant, User};
use callrig_signaling::service::{
    self, Authentication, CommandError, Destination, Directory, Service, UriPolicy,
};
use rand::SeedableRng as _;
use serde_json::Value;

use super::ground::{Answer, Ask, Conduct, Ground, PeopleError, Told};
use super::people::{Act, PEOPLE, Verb};
use super::sound;

/// How long HTTP takes, one way.
const HTTP: Duration = Duration::from_millis(10);
const BASE: &str = "https://graph.test";
const BOT: &str = "https://bot.test";
const TENANT: &str = "33333333-3333-4333-8333-333333333333";
const FOREIGN_TENANT: &str = "44444444-4444-4444-8444-444444444444";
const APP: &str = "11111111-1111-4111-8111-111111111111";
const OTHER: &str = "11111111-1111-4111-8111-111111111112";
const SECRET: &str = "a secret of the case";

/// What each person of [`PEOPLE`] is known as; the last belongs to another organisation.
const IDS: [&str; 4] = [
    "22222222-2222-4222-8222-222222222221",
    "22222222-2222-4222-8222-222222222222",
    "22222222-2222-4222-8222-222222222223",
    "22222222-2222-4222-8222-222222222224",
];

/// One key for all cases: making one takes longer than most of them.
static KEY: LazyLock<SigningKey> = LazyLock::new(|| {
    let mut random = rand_pcg::Pcg64::seed_from_u64(7);
    SigningKey::generate(|bytes| rand::Rng::fill_bytes(&mut random, bytes))
        .expect("a key comes of any bytes")
});

/// A ground of its own for each case.
pub struct Simulated {
    service: Service,
    now: Instant,
    /// What is on its way to the service.
    coming: BTreeMap<(Instant, u64), Input>,
    crossings: u64,
    requests: u64,
    answers: BTreeMap<RequestId, Response>,
    told: VecDeque<Told>,
    conduct: Conduct,
    conducts_left: Option<u32>,
    /// The leg of each person, as of the last call.
    legs: BTreeMap<String, LegId>,
    ports: u16,
}

impl Simulated {
    /// A ground on which the app may do this (everything without a list).
    ///
    /// # Panics
    /// Permissions that are none: cases are checked before they are played.
    #[must_use]
    pub fn new(grants: Option<&[String]>, seed: u64) -> Self {
        let config = service::Config {
            base_url: BASE.into(),
            directory: directory(grants),
            authentication: Authentication::Tokens(Tokens::new(vec![KEY.clone()])),
            uris: UriPolicy::HttpsOnly,
            announce_ringing: false,
            rosters_after_escalation: true,
            ..service::Config::default()
        };
        let epoch = Epoch { ntp: NtpTime::from_bits(3_900_000_000 << 32) };
        Self {
            service: Service::new(config, epoch, seed).expect("the configuration is sound"),
            now: Instant::ZERO,
            coming: BTreeMap::new(),
            crossings: 0,
            requests: 1 << 32,
            answers: BTreeMap::new(),
            told: VecDeque::new(),
            conduct: usual(),
            conducts_left: None,
            legs: BTreeMap::new(),
            ports: 4000,
        }
    }

    fn cross(&mut self, after: Duration, input: Input) {
        self.crossings += 1;
        self.coming.insert((self.now + after, self.crossings), input);
    }

    fn drain(&mut self) {
        while let Some(output) = self.service.poll_output() {
            match output {
                Output::Request(request) => self.take_request(request),
                Output::Response(response) => {
                    self.answers.insert(response.id, response);
                }
                Output::Event(Event::UserRung { leg, user, .. }) => {
                    let known = IDS.iter().position(|id| UserId::new(id) == user);
                    if let Some(place) = known {
                        self.legs.insert(PEOPLE[place].to_owned(), leg);
                    }
                }
                // Nobody listens, and nobody speaks.
                Output::Datagram(_) | Output::Event(_) => {}
            }
        }
    }

    fn take_request(&mut self, request: Request) {
        if request.method == Method::Get {
            let (status, body) = sound::file(request.uri.trim_start_matches(BOT));
            let response = Response { body, ..Response::empty(request.id, status) };
            return self.cross(HTTP * 2, Input::Response(response));
        }
        let at = (self.now + HTTP).since(Instant::ZERO);
        let path = request.uri.trim_start_matches(BOT).to_owned();
        let body = json(&request.body);
        let (id, headers) = (request.id, request.headers);
        self.told.push_back(Told { at, path, headers, body });
        let conduct = self.conduct();
        match conduct {
            Conduct::Answer(status, headers) => {
                let response = Response { headers, ..Response::empty(id, status) };
                self.cross(HTTP * 2, Input::Response(response));
            }
            Conduct::Close => {
                let reason = "connection closed".to_owned();
                self.cross(HTTP * 2, Input::Failed(Failure { id, reason }));
            }
            Conduct::Never => {}
        }
    }

    fn conduct(&mut self) -> Conduct {
        let conduct = self.conduct.clone();
        if let Some(left) = &mut self.conducts_left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                (self.conduct, self.conducts_left) = (usual(), None);
            }
        }
        conduct
    }

    /// Lets the next thing happen that is due by then; whether there was one.
    fn step(&mut self, until: Instant) -> bool {
        let coming = self.coming.keys().next().map(|(at, _)| *at);
        let next = [coming, self.service.poll_timeout()].into_iter().flatten().min();
        let Some(at) = next.filter(|at| *at <= until) else { return false };
        self.now = self.now.max(at);
        let is_coming = coming.is_some_and(|coming| coming <= self.now);
        let input = match self.coming.first_entry().filter(|_| is_coming) {
            Some(first) => first.remove(),
            None => Input::Timeout,
        };
        self.service.handle_input(self.now, input);
        self.drain();
        true
    }

    fn offer(&mut self) -> Description {
        self.ports += 1;
        Description::audio(SocketAddr::from(([127, 0, 0, 2], self.ports)))
    }

    fn leg(&self, who: &str) -> Result<LegId, PeopleError> {
        let refuse = || PeopleError::Refused(format!("{who} is in no call"));
        self.legs.get(who).copied().ok_or_else(refuse)
    }

    fn act(&mut self, act: &Act) -> Result<BTreeMap<String, String>, PeopleError> {
        let user = id_of(&act.who)?;
        let (now, app) = (self.now, AppId::new(APP));
        let mut words = BTreeMap::new();
        match &act.verb {
            Verb::Rings => {
                let offer = self.offer();
                let rings = self.service.ring_bot(now, &user, &app, offer).map_err(refused)?;
                self.legs.insert(act.who.clone(), rings.leg);
                words.insert("call".to_owned(), rings.call.to_string());
            }
            Verb::Answers => {
                let (leg, offer) = (self.leg(&act.who)?, self.offer());
                self.service.answer(now, leg, offer).map_err(refused)?;
            }
            Verb::Joins(place) => {
                let destination = match place.strip_prefix("call ") {
                    Some(call) => Destination::Call(
                        CallId::parse(call)
                            .ok_or_else(|| PeopleError::Refused(format!("{call} is no call")))?,
                    ),
                    None => Destination::Meeting(place.clone()),
                };
                let offer = self.offer();
                let came = self.service.join(now, &user, &destination, offer).map_err(refused)?;
                self.legs.insert(act.who.clone(), came.leg);
            }
            Verb::Is(presence) => {
                let named = serde_json::from_value(Value::from(presence.as_str()));
                let presence = named.map_err(|e| PeopleError::Refused(e.to_string()))?;
                self.service.set_presence(&user, presence).map_err(refused)?;
            }
            Verb::IsRecorded => self.service.set_recording_policy(user, Some(app)),
            Verb::Invites(other) if other == "bot" => {
                let leg = self.leg(&act.who)?;
                let call = self.service.invite_bot(now, leg, &app).map_err(refused)?;
                words.insert("call".to_owned(), call.to_string());
            }
            verb => self.act_at_leg(self.leg(&act.who)?, verb)?,
        }
        self.drain();
        if let Some(leg) = self.legs.get(&act.who) {
            words.insert(format!("{}.leg", act.who), leg.to_string());
        }
        Ok(words)
    }

    fn act_at_leg(&mut self, leg: LegId, verb: &Verb) -> Result<(), PeopleError> {
        let (now, service) = (self.now, &mut self.service);
        let other = |who: &str| self.legs.get(who).copied().ok_or(CommandError::UnknownLeg);
        let done = match verb {
            Verb::Declines => service.decline(now, leg),
            Verb::HangsUp => service.hang_up(now, leg),
            Verb::Presses(keys) => keys.chars().try_for_each(|key| {
                let tone = callrig_media::dtmf::Tone::from_key(key);
                let tone = tone.and_then(|tone| Tone::from_code(tone as u8));
                tone.map_or(Ok(()), |tone| service.press(now, leg, &tone))
            }),
            Verb::Admits(who) => other(who).and_then(|other| service.admit(now, other)),
            Verb::Refuses(who) => other(who).and_then(|other| service.refuse(now, other)),
            Verb::Mutes(on) => service.set_muted(now, leg, *on),
            Verb::RaisesHand(on) => service.raise_hand(now, leg, *on),
            Verb::Shares(on) => service.share_screen(now, leg, *on),
            Verb::Invites(who) => {
                let user = id_of(who)?;
                service.invite_user(now, leg, &user).map(|_| ())
            }
            Verb::EndsForAll => service.end_for_all(now, leg),
            _ => Ok(()),
        };
        done.map_err(refused)
    }
}

fn refused(error: impl core::fmt::Display) -> PeopleError {
    PeopleError::Refused(error.to_string())
}

fn id_of(who: &str) -> Result<UserId, PeopleError> {
    let place = PEOPLE.iter().position(|name| *name == who);
    let place = place.ok_or_else(|| PeopleError::Refused(format!("nobody is called {who}")))?;
    Ok(UserId::new(IDS[place]))
}

fn usual() -> Conduct {
    Conduct::Answer(202, Headers::new())
}

fn json(body: &[u8]) -> Value {
    if body.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(body)
        .unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned().into())
}

fn directory(grants: Option<&[String]>) -> Directory {
    let granted = |grants: Option<&[String]>| match grants {
        None => Permission::ALL.into_iter().collect(),
        Some(names) => names
            .iter()
            .map(|name| serde_json::from_value(Value::from(name.as_str())).expect("a permission"))
            .collect(),
    };
    let app = |id: &str, name: &str| App {
        id: AppId::new(id),
        name: name.into(),
        webhook: Some(format!("{BOT}/calls/{id}")),
        secret: Some(SECRET.into()),
    };
    let person = |place: usize| User {
        id: UserId::new(IDS[place]),
        name: PEOPLE[place].into(),
        language: Some("en-US".into()),
        country: Some("DE".into()),
    };
    let consents = vec![
        Consent { app: AppId::new(APP), permissions: granted(grants) },
        Consent { app: AppId::new(OTHER), permissions: granted(None) },
    ];
    let tenant = |id: &str, name: &str, users, consents| Tenant {
        id: id.into(),
        name: name.into(),
        users,
        consents,
    };
    Directory {
        tenants: vec![
            tenant(TENANT, "Contoso", (0..3).map(person).collect(), consents.clone()),
            tenant(FOREIGN_TENANT, "Northwind", vec![person(3)], consents),
        ],
        apps: vec![app(APP, "The Bot"), app(OTHER, "Another Bot")],
    }
}

impl Ground for Simulated {
    fn words(&self) -> BTreeMap<String, String> {
        let people = PEOPLE.iter().zip(IDS).map(|(name, id)| ((*name).to_owned(), id.to_owned()));
        let words = [
            ("app", APP),
            ("secret", SECRET),
            ("other", OTHER),
            ("other.secret", SECRET),
            ("tenant", TENANT),
            ("foreign", FOREIGN_TENANT),
            ("base", BASE),
            ("bot", BOT),
        ];
        let webhook = ("webhook".to_owned(), format!("{BOT}/calls/{APP}"));
        let words = words.into_iter().map(|(name, word)| (name.to_owned(), word.to_owned()));
        words.chain(people).chain([webhook]).collect()
    }

    fn ask(&mut self, ask: &Ask) -> Result<Answer, String> {
        self.requests += 1;
        let id = RequestId(self.requests);
        let request = Request {
            id,
            method: Method::parse(&ask.method),
            uri: format!("{BASE}{}", ask.path),
            headers: ask.headers.clone(),
            body: Bytes::from(ask.body.clone().unwrap_or_default()),
        };
        let (sent, until) = (self.now, self.now + HTTP);
        while self.step(until) {}
        self.now = until.max(sent);
        self.service.handle_input(self.now, Input::Request(request));
        self.drain();
        let response = self.answers.remove(&id).ok_or("the request was not answered")?;
        let Response { status, headers, body, .. } = response;
        let body = if body.len() > 1 << 20 { Value::Null } else { json(&body) };
        Ok(Answer { status, headers, body })
    }

    fn hear(&mut self, within: Duration) -> Option<Told> {
        let until = self.now + within;
        while self.told.is_empty() && self.step(until) {}
        if self.told.is_empty() {
            self.now = self.now.max(until);
        }
        self.told.pop_front()
    }

    fn people(&mut self, act: &str) -> Result<BTreeMap<String, String>, PeopleError> {
        // What was asked for a moment ago has reached them by now.
        let until = self.now + HTTP;
        while self.step(until) {}
        self.now = self.now.max(until);
        self.act(&Act::parse(act).map_err(PeopleError::Refused)?)
    }

    fn webhook(&mut self, conduct: Conduct, count: Option<u32>) {
        (self.conduct, self.conducts_left) = (conduct, count);
    }

    fn now(&self) -> Duration {
        self.now.since(Instant::ZERO)
    }
}
