//! The control API of a service that is a rig: an app and people of its own for each case,
//! so that none stands in another's way, and what the people do.

use core::time::Duration;
use std::collections::BTreeMap;

use callrig_signaling::service::directory::Permission;
use serde_json::{Value, json};

use super::ground::{Answer, Ask, PeopleError};
use super::people::{Act, PEOPLE, Verb};
use crate::web::guid;

/// How long a person waits for a telephone to ring.
const RINGING: Duration = Duration::from_secs(5);

/// Who belongs to another organisation.
const FOREIGNER: &str = "dora";

/// Sends a command to a rig and waits for its answer.
pub type Send<'a> = &'a mut dyn FnMut(&Ask) -> Result<Answer, String>;

/// The people of one case.
#[derive(Debug, Default)]
pub struct Crew {
    app: String,
    other: String,
    ids: BTreeMap<String, String>,
    legs: BTreeMap<String, String>,
    /// Whether there is no second organisation, so that nobody is a foreigner.
    is_alone: bool,
}

fn command(
    send: Send<'_>,
    method: &str,
    path: String,
    body: Option<&Value>,
) -> Result<Value, String> {
    let headers = body.map(|_| ("Content-Type", "application/json"));
    let ask = Ask {
        method: method.to_owned(),
        path,
        headers: headers.into_iter().collect(),
        body: body.map(Value::to_string),
    };
    let answer = send(&ask)?;
    match answer.status {
        200..=299 => Ok(answer.body),
        status => Err(format!("{method} {} was answered {status}: {}", ask.path, answer.body)),
    }
}

impl Crew {
    /// Takes an app with this webhook, another one, and people into the rig; words for the
    /// case come back.
    ///
    /// # Errors
    /// The rig refuses.
    pub fn hire(
        send: Send<'_>,
        webhook: &str,
        grants: Option<&[String]>,
    ) -> Result<(Self, BTreeMap<String, String>), String> {
        let directory = command(send, "GET", "/rig/directory".into(), None)?;
        let tenants = directory["tenants"].as_array().cloned().unwrap_or_default();
        let tenant = |place: usize| tenants.get(place).and_then(|one| one["id"].as_str());
        let home = tenant(0).ok_or("the rig has no organisation with anybody in it")?.to_owned();
        let foreign = tenant(1).map(str::to_owned);
        let is_alone = foreign.is_none();
        let mut crew = Self { app: guid(), other: guid(), is_alone, ..Self::default() };
        let secret = guid();
        for (id, name) in [(&crew.app, "judged"), (&crew.other, "another")] {
            let app = json!({ "name": name, "webhook": webhook, "secret": secret });
            command(send, "PUT", format!("/rig/apps/{id}"), Some(&app))?;
        }
        let all: Vec<String> = Permission::ALL.iter().map(|one| one.name().to_owned()).collect();
        for at in core::iter::once(&home).chain(&foreign) {
            for (id, names) in [(&crew.app, grants.unwrap_or(&all)), (&crew.other, &all)] {
                let grant = json!({ "permissions": names });
                command(send, "PUT", format!("/rig/tenants/{at}/grants/{id}"), Some(&grant))?;
            }
        }
        for name in PEOPLE {
            let at = if name == FOREIGNER { foreign.as_ref() } else { Some(&home) };
            let id = guid();
            if let Some(at) = at {
                let person =
                    json!({ "name": name, "tenant": at, "language": "en-US", "country": "DE" });
                command(send, "PUT", format!("/rig/users/{id}"), Some(&person))?;
            }
            crew.ids.insert(name.to_owned(), id);
        }
        let mut words = crew.ids.clone();
        words.extend(
            [
                ("app", crew.app.clone()),
                ("other", crew.other.clone()),
                ("secret", secret.clone()),
                ("other.secret", secret),
                ("tenant", home),
                ("foreign", foreign.unwrap_or_else(guid)),
            ]
            .map(|(name, word)| (name.to_owned(), word)),
        );
        Ok((crew, words))
    }

    /// They go; whoever is still in a call hangs up.
    pub fn dismiss(&self, send: Send<'_>) {
        for leg in self.legs.values() {
            let _ = command(send, "POST", format!("/rig/legs/{leg}/hangUp"), None);
        }
        for id in self.ids.values() {
            let _ = command(send, "DELETE", format!("/rig/users/{id}"), None);
        }
        for id in [&self.app, &self.other] {
            let _ = command(send, "DELETE", format!("/rig/apps/{id}"), None);
        }
    }

    /// Somebody does something.
    ///
    /// # Errors
    /// They cannot.
    pub fn act(
        &mut self,
        send: Send<'_>,
        act: &str,
    ) -> Result<BTreeMap<String, String>, PeopleError> {
        let act = Act::parse(act).map_err(PeopleError::Refused)?;
        if self.is_alone && act.who == FOREIGNER {
            let why = "it takes a second organisation with somebody in it, which the rig has not";
            return Err(PeopleError::Unsupported(why.to_owned()));
        }
        self.obey(send, &act).map_err(PeopleError::Refused)
    }

    fn obey(&mut self, send: Send<'_>, act: &Act) -> Result<BTreeMap<String, String>, String> {
        let who = act.who.as_str();
        let user = self.ids.get(who).cloned().unwrap_or_default();
        let mut words = BTreeMap::new();
        match &act.verb {
            Verb::Rings => {
                let call = json!({ "user": user, "app": self.app, "media": false });
                let called = command(send, "POST", "/rig/calls".into(), Some(&call))?;
                self.note(who, &called["leg"]);
                words.insert("call".to_owned(), text(&called["call"]));
            }
            Verb::Joins(place) => {
                let key = if place.starts_with("call ") { "call" } else { "meeting" };
                let place = place.strip_prefix("call ").unwrap_or(place);
                let join = json!({ key: place, "user": user, "media": false });
                let joined = command(send, "POST", "/rig/legs".into(), Some(&join))?;
                self.note(who, &joined["leg"]);
            }
            Verb::Answers | Verb::Declines => {
                let leg = self.ringing(send, who, &user)?;
                let (verb, body) = match act.verb {
                    Verb::Answers => ("answer", Some(json!({}))),
                    _ => ("decline", None),
                };
                command(send, "POST", format!("/rig/legs/{leg}/{verb}"), body.as_ref())?;
            }
            Verb::Is(presence) => {
                let body = json!({ "presence": presence });
                command(send, "PUT", format!("/rig/users/{user}/presence"), Some(&body))?;
            }
            Verb::IsRecorded => {
                let body = json!({ "app": self.app });
                command(send, "PUT", format!("/rig/users/{user}/recorder"), Some(&body))?;
            }
            verb => self.at_leg(send, who, verb, &mut words)?,
        }
        if let Some(leg) = self.legs.get(who) {
            words.insert(format!("{who}.leg"), leg.clone());
        }
        Ok(words)
    }

    fn at_leg(
        &mut self,
        send: Send<'_>,
        who: &str,
        verb: &Verb,
        words: &mut BTreeMap<String, String>,
    ) -> Result<(), String> {
        let leg = self.leg(who)?;
        let of = |name: &str| self.leg(name);
        let (leg, path, body) = match verb {
            Verb::HangsUp => (leg, "hangUp", None),
            Verb::Presses(keys) => (leg, "press", Some(json!({ "keys": keys, "how": "direct" }))),
            Verb::Admits(other) => (of(other)?, "admit", None),
            Verb::Refuses(other) => (of(other)?, "refuse", None),
            Verb::Mutes(on) => (leg, "mute", Some(json!({ "on": on }))),
            Verb::RaisesHand(on) => (leg, "raiseHand", Some(json!({ "on": on }))),
            Verb::Shares(on) => (leg, "shareScreen", Some(json!({ "on": on }))),
            Verb::Invites(other) if other == "bot" => {
                (leg, "invite", Some(json!({ "app": self.app })))
            }
            Verb::Invites(other) => (leg, "invite", Some(json!({ "user": self.ids.get(other) }))),
            _ => (leg, "endForAll", None),
        };
        let done = command(send, "POST", format!("/rig/legs/{leg}/{path}"), body.as_ref())?;
        if let Some(call) = done["call"].as_str() {
            words.insert("call".to_owned(), call.to_owned());
        }
        Ok(())
    }

    /// The leg at which it rings for somebody, once it does.
    fn ringing(&mut self, send: Send<'_>, who: &str, user: &str) -> Result<String, String> {
        let until = std::time::Instant::now() + RINGING;
        loop {
            let legs = command(send, "GET", "/rig/legs".into(), None)?;
            let ringing = legs["ringing"].as_array().cloned().unwrap_or_default();
            if let Some(line) = ringing.iter().find(|line| line["user"] == user) {
                self.note(who, &line["leg"]);
                return self.leg(who);
            }
            if std::time::Instant::now() > until {
                return Err(format!("it does not ring for {who}"));
            }
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    fn leg(&self, who: &str) -> Result<String, String> {
        self.legs.get(who).cloned().ok_or_else(|| format!("{who} is in no call"))
    }

    fn note(&mut self, who: &str, leg: &Value) {
        self.legs.insert(who.to_owned(), text(leg));
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
