//! Services that do it wrong, on purpose: what a sound one says is changed on its way, as
//! a line of `catalogue/faults.toml` says. Each fault names the rule that must be found
//! broken; a suite that misses it is not worth much.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use callrig_signaling::http::Headers;
use serde::Deserialize;
use serde_json::Value;

use super::expect::{Expectation, Seen, matches};
use super::ground::{Answer, Ask, Conduct, Ground, PeopleError, Told};
use crate::catalogue::{self, Row, Rows, fill, fill_id};

/// One fault, or a family of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultText {
    #[serde(flatten)]
    fault: Fault,
    #[serde(default)]
    rows: Option<Rows>,
}

impl FaultText {
    /// The members of the family that it is, or itself.
    ///
    /// # Errors
    /// There are no such rows.
    pub fn faults(&self, named: &BTreeMap<String, Rows>) -> Result<Vec<Fault>, String> {
        let rows = catalogue::rows_of(self.rows.as_ref(), named)?;
        let Fault { id, caught_by, answer, notification, when, change } = &self.fault;
        let member = |row: &Row| Fault {
            id: fill_id(id, row),
            caught_by: fill_id(caught_by, row),
            answer: answer.as_ref().map(|text| fill(text, row)),
            notification: notification.as_ref().map(|text| fill(text, row)),
            when: *when,
            change: change.iter().map(|text| fill(text, row)).collect(),
        };
        Ok(rows.iter().map(member).collect())
    }

    /// Its id, as it stands.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.fault.id
    }
}

/// One fault.
#[derive(Clone, Debug, Deserialize)]
pub struct Fault {
    /// A stable path of words.
    pub id: String,
    /// The rule that has to be found broken.
    pub caught_by: String,
    /// Whose answers are changed: method and path with stars, `POST */answer`.
    #[serde(default)]
    pub answer: Option<String>,
    /// Which notifications are changed: an expectation about their item.
    #[serde(default)]
    pub notification: Option<String>,
    /// Only answers of this status.
    #[serde(default)]
    pub when: Option<u16>,
    /// What is done to them.
    pub change: Vec<String>,
}

/// A ground whose service has a fault.
pub struct Faulty<'a> {
    inner: &'a mut dyn Ground,
    fault: &'a Fault,
    held: VecDeque<Told>,
    /// How many of those that are meant came so far.
    met: usize,
}

impl<'a> Faulty<'a> {
    /// Puts a fault into the service of a ground.
    #[must_use]
    pub fn new(inner: &'a mut dyn Ground, fault: &'a Fault) -> Self {
        Self { inner, fault, held: VecDeque::new(), met: 0 }
    }

    fn concerns(&self, ask: &Ask) -> bool {
        let wanted = self.fault.answer.as_ref().and_then(|text| text.split_once(' '));
        wanted.is_some_and(|(method, path)| {
            let own = ask.path.split('?').next().unwrap_or(&ask.path);
            (method == "*" || method == ask.method) && matches(path, own)
        })
    }

    /// Whether an item of the notification is meant.
    fn is_meant(&self, told: &Told) -> bool {
        let Some(of) = &self.fault.notification else { return false };
        let Ok(of) = Expectation::parse(of) else { return false };
        items(&told.body).iter().any(|item| {
            let seen =
                Seen { headers: told.headers.clone(), body: (*item).clone(), ..Seen::default() };
            of.check(&seen).is_ok()
        })
    }
}

fn items(body: &Value) -> Vec<&Value> {
    body["value"].as_array().map(|list| list.iter().collect()).unwrap_or_default()
}

/// What is done to a message, beside being lost (`lose`, `lose again` from the second on),
/// coming `twice`, changing places with the next (`swap`) or `never`: `status 200`, `drop body/location`, `set body/state "x"`,
/// `rename body/a b`, `drop header Location`, `set header X y`.
fn change(text: &str, status: &mut u16, headers: &mut Headers, body: &mut Value) {
    let words: Vec<&str> = text.splitn(3, ' ').collect();
    match words.as_slice() {
        ["status", wanted] => *status = wanted.parse().unwrap_or(*status),
        ["drop", "header", name] => headers.remove(name),
        ["set", "header", rest] => {
            if let Some((name, value)) = rest.split_once(' ') {
                headers.remove(name);
                headers.push(name, value);
            }
        }
        ["empty"] => *body = Value::Null,
        ["drop", path] => at(body, path, &mut |map, name| {
            map.remove(name);
        }),
        ["set", path, value] => {
            let value: Value = serde_json::from_str(value).unwrap_or_else(|_| (*value).into());
            at(body, path, &mut |map, name| {
                map.insert(name.to_owned(), value.clone());
            });
        }
        ["rename", path, other] => at(body, path, &mut |map, name| {
            if let Some(value) = map.remove(name) {
                map.insert((*other).to_owned(), value);
            }
        }),
        _ => {}
    }
}

type Map = serde_json::Map<String, Value>;

/// Does something to the object that holds the last name of a path.
fn at(value: &mut Value, path: &str, act: &mut dyn FnMut(&mut Map, &str)) {
    let path = path.strip_prefix("body/").unwrap_or(path);
    let (first, rest) = match path.split_once('/') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path, None),
    };
    match (value, rest) {
        (Value::Array(list), Some(rest)) if first == "*" => {
            list.iter_mut().for_each(|one| at(one, rest, act));
        }
        (Value::Array(list), Some(rest)) => {
            if let Some(one) = first.parse().ok().and_then(|n: usize| list.get_mut(n)) {
                at(one, rest, act);
            }
        }
        (Value::Object(map), Some(rest)) => {
            if let Some(inner) = map.get_mut(first) {
                at(inner, rest, act);
            }
        }
        (Value::Object(map), None) => act(map, first),
        _ => {}
    }
}

impl Ground for Faulty<'_> {
    fn words(&self) -> BTreeMap<String, String> {
        self.inner.words()
    }

    fn ask(&mut self, ask: &Ask) -> Result<Answer, String> {
        if !self.concerns(ask) {
            return self.inner.ask(ask);
        }
        if self.fault.change.iter().any(|text| text == "never") {
            return Err("it was not answered in time".to_owned());
        }
        let mut answer = self.inner.ask(ask)?;
        if self.fault.when.is_none_or(|status| status == answer.status) {
            for text in &self.fault.change {
                change(text, &mut answer.status, &mut answer.headers, &mut answer.body);
            }
        }
        Ok(answer)
    }

    fn hear(&mut self, within: Duration) -> Option<Told> {
        let until = self.inner.now() + within;
        loop {
            if let Some(held) = self.held.pop_front() {
                return Some(held);
            }
            let mut told = self.inner.hear(until.saturating_sub(self.inner.now()))?;
            if !self.is_meant(&told) {
                return Some(told);
            }
            self.met += 1;
            let does = |what: &str| self.fault.change.iter().any(|text| text == what);
            if does("lose") || (does("lose again") && self.met > 1) {
                continue;
            }
            if does("swap") {
                // It comes after the next one.
                match self.inner.hear(until.saturating_sub(self.inner.now())) {
                    Some(next) => {
                        self.held.push_back(told);
                        return Some(next);
                    }
                    None => return Some(told),
                }
            }
            if does("twice") {
                self.held.push_back(told.clone());
            }
            for text in &self.fault.change {
                change(text, &mut 0, &mut told.headers, &mut told.body);
            }
            return Some(told);
        }
    }

    fn people(&mut self, act: &str) -> Result<BTreeMap<String, String>, PeopleError> {
        self.inner.people(act)
    }

    fn webhook(&mut self, conduct: Conduct, count: Option<u32>) {
        self.inner.webhook(conduct, count);
    }

    fn now(&self) -> Duration {
        self.inner.now()
    }
}
