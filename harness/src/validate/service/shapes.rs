//! The shapes of the API's resources: which properties each has, of which type, and what
//! its enumerations hold. Each property is a rule of its own, judged by everything that a
//! service says in any case of a run.

use std::collections::BTreeMap;

use callrig_reports::{Level, Requirement};
use serde::Deserialize;
use serde_json::Value;

use super::expect::Kind;
use super::play::{Outcome, Source};
use crate::catalogue::{Entry, Side, kebab};

/// How deep a body is looked into.
const DEPTH_MAX: usize = 16;

/// A resource, as it stands in a file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceText {
    name: String,
    /// With its article, for sentences: `a call`.
    called: String,
    source: String,
    /// By name: `type: what it says`; an exclamation mark after the type where it is always
    /// told.
    properties: BTreeMap<String, String>,
    /// Properties that no case makes a service tell, and why.
    #[serde(default)]
    unchecked: BTreeMap<String, String>,
}

impl ResourceText {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

#[derive(Clone, Debug)]
struct Property {
    rule: String,
    of: Type,
    is_always_told: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Type {
    Kind(Kind),
    Any,
    Named(String),
    List(Box<Self>),
}

/// All resources and enumerations.
#[derive(Debug, Default)]
pub struct Shapes {
    resources: BTreeMap<String, BTreeMap<String, Property>>,
    enums: BTreeMap<String, Vec<String>>,
}

impl Shapes {
    /// Takes in enumerations.
    pub fn enumerate(&mut self, enums: &BTreeMap<String, Vec<String>>) {
        self.enums.extend(enums.iter().map(|(name, members)| (name.clone(), members.clone())));
    }

    /// Takes in a resource; its rules come back.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn take(&mut self, text: &ResourceText) -> Result<Vec<Entry>, String> {
        let mut rules = Vec::new();
        let mut properties = BTreeMap::new();
        for (name, told) in &text.properties {
            let (of, meaning) = told
                .split_once(": ")
                .ok_or_else(|| format!("{name}: there is no `type: words`"))?;
            let is_always_told = of.ends_with('!');
            let of = self.parse(of.trim_end_matches('!'));
            let id = format!("service/resources/{}/{}", kebab(&text.name), kebab(name));
            let always =
                if is_always_told { "it is always told and is" } else { "where it is told, it is" };
            let sentence =
                format!("`{name}` of {} {meaning}; {always} {}.", text.called, self.words(&of));
            let requirement = Requirement {
                id: id.clone(),
                level: Level::Must,
                citation: text.source.clone(),
                sentence,
            };
            let unchecked = text.unchecked.get(name).cloned();
            if unchecked.is_none() {
                properties.insert(name.clone(), Property { rule: id, of, is_always_told });
            }
            rules.push(Entry { unchecked, ..Entry::new(requirement, Side::Service) });
        }
        if let Some(name) = text.unchecked.keys().find(|name| !text.properties.contains_key(*name))
        {
            return Err(format!("{name} is unchecked, and no property"));
        }
        self.resources.insert(text.name.clone(), properties);
        Ok(rules)
    }

    /// The resources and the rules of their properties.
    pub fn rules(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        self.resources.iter().map(|(name, properties)| {
            (name.as_str(), properties.values().map(|property| property.rule.as_str()).collect())
        })
    }

    fn parse(&self, text: &str) -> Type {
        if let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            return Type::List(Box::new(self.parse(inner)));
        }
        match Kind::parse(text) {
            Some(kind) => Type::Kind(kind),
            None if text == "anything" => Type::Any,
            None => Type::Named(text.to_owned()),
        }
    }

    fn words(&self, of: &Type) -> String {
        match of {
            Type::Kind(Kind::Text) => "a string".to_owned(),
            Type::Kind(Kind::Integer) => "a whole number".to_owned(),
            Type::Kind(Kind::Number) => "a number".to_owned(),
            Type::Kind(Kind::Boolean) => "true or false".to_owned(),
            Type::Kind(Kind::Object) => "an object".to_owned(),
            Type::Kind(Kind::List) => "an array".to_owned(),
            Type::Kind(Kind::Guid) => "a GUID".to_owned(),
            Type::Kind(Kind::Date) => "a moment as RFC 3339 writes it".to_owned(),
            Type::Kind(Kind::Uri) => "an absolute URI".to_owned(),
            Type::Kind(Kind::Jwt) => "a JSON Web Token".to_owned(),
            Type::Any => "any JSON".to_owned(),
            Type::Named(name) if self.enums.contains_key(name) => format!("a member of {name}"),
            Type::Named(name) => format!("an object of type {name}"),
            Type::List(inner) => match &**inner {
                Type::Named(name) if self.enums.contains_key(name) => {
                    format!("an array of members of {name}")
                }
                Type::Named(name) => format!("an array of {name}"),
                _ => "an array of strings".to_owned(),
            },
        }
    }

    /// Judges a body, by the properties in it.
    pub fn judge(&self, source: &Source, body: &Value) -> Vec<(String, Outcome)> {
        let mut judge = Judge { shapes: self, outcomes: Vec::new(), evidence: String::new() };
        // Who asks for some of it is shown some of it.
        if matches!(source, Source::Answer(path) if path.contains("select=")) {
            return Vec::new();
        }
        let (of, place) = match source {
            Source::Notification => (Type::Named("commsNotifications".into()), "a notification"),
            Source::Answer(path) => match of_path(path) {
                Some(of) => (of, path.as_str()),
                None => return Vec::new(),
            },
        };
        judge.evidence = place.to_owned();
        let of = match (&of, body.get("value")) {
            // A collection shows its members as `value`.
            (Type::Named(name), Some(value))
                if value.is_array() && name != "commsNotifications" =>
            {
                judge.look(value, &Type::List(Box::new(of.clone())), 0);
                return judge.outcomes;
            }
            _ => of,
        };
        judge.look(body, &of, 0);
        judge.outcomes
    }
}

/// What an answer to a request for this path is.
fn of_path(path: &str) -> Option<Type> {
    let path = path.split('?').next().unwrap_or(path).to_ascii_lowercase();
    let words: Vec<&str> = path.split('/').filter(|word| !word.is_empty()).collect();
    let named = |name: &str| Some(Type::Named(name.to_owned()));
    match words.as_slice() {
        [_, _, "calls"] | [_, _, "calls", _] => named("call"),
        [_, _, "calls", _, "participants"] => named("participant"),
        [_, _, "calls", _, "participants", one] if one.len() > 30 => named("participant"),
        [_, _, "calls", _, "audioroutinggroups", ..] => named("audioRoutingGroup"),
        [_, _, "calls", _, "contentsharingsessions", ..] => named("contentSharingSession"),
        [_, _, "calls", _, ..] => named("commsOperation"),
        [.., "onlinemeetings"] | [.., "onlinemeetings", _] => named("onlineMeeting"),
        _ => None,
    }
}

struct Judge<'a> {
    shapes: &'a Shapes,
    outcomes: Vec<(String, Outcome)>,
    evidence: String,
}

impl Judge<'_> {
    /// Whether a value is of a type; what is in it is looked at on the way.
    fn look(&mut self, value: &Value, of: &Type, depth: usize) -> bool {
        if depth > DEPTH_MAX {
            return true;
        }
        match (of, value) {
            (Type::Any, _) => true,
            (Type::Kind(kind), value) => kind.holds(value),
            (Type::List(inner), Value::Array(list)) => self.look_at_all(list, inner, depth),
            (Type::List(_), _) => false,
            (Type::Named(name), value) => match (self.shapes.enums.get(name), value) {
                (Some(members), Value::String(text)) => {
                    members.iter().any(|member| member.eq_ignore_ascii_case(text))
                }
                (Some(_), _) => false,
                (None, Value::Object(_)) => {
                    let name = self.named_by(value).unwrap_or(name).to_owned();
                    self.look_into(value, &name, depth);
                    true
                }
                // A roster is an array, and so is a list of sessions.
                (None, Value::Array(list)) if name == "resourceData" => {
                    self.look_at_all(list, of, depth)
                }
                (None, _) => false,
            },
        }
    }

    /// Whether all are of a type; what is in each of them is looked at, good or not.
    fn look_at_all(&mut self, list: &[Value], of: &Type, depth: usize) -> bool {
        let good = list.iter().filter(|one| self.look(one, of, depth + 1)).count();
        good == list.len()
    }

    /// The type that a value says it is of, if it is one that we know.
    fn named_by(&self, value: &Value) -> Option<&str> {
        let told = value.get("@odata.type")?.as_str()?.trim_start_matches('#');
        let told = told.strip_prefix("microsoft.graph.").unwrap_or(told);
        let known = self.shapes.resources.keys().find(|name| name.eq_ignore_ascii_case(told));
        known.map(String::as_str)
    }

    fn look_into(&mut self, value: &Value, name: &str, depth: usize) {
        let shapes = self.shapes;
        let Some(properties) = shapes.resources.get(name) else { return };
        for (name, property) in properties {
            let outcome = match value.get(name) {
                None | Some(Value::Null) if property.is_always_told => {
                    let expected = format!("`{name}`");
                    self.broken(expected, "it is left out".to_owned(), value)
                }
                None | Some(Value::Null) => continue,
                Some(inner) => match self.look(inner, &property.of, depth + 1) {
                    true => Outcome::Kept,
                    false => {
                        let expected = format!("`{name}` as {}", shapes.words(&property.of));
                        self.broken(expected, inner.to_string(), value)
                    }
                },
            };
            self.outcomes.push((property.rule.clone(), outcome));
        }
    }

    fn broken(&self, expected: String, actual: String, within: &Value) -> Outcome {
        let evidence = vec![format!("{}: {within}", self.evidence)];
        Outcome::Broken { expected, actual, evidence }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shapes() -> Shapes {
        let mut shapes = Shapes::default();
        let members = vec!["established".to_owned(), "terminated".to_owned()];
        shapes.enumerate(&BTreeMap::from([("callState".to_owned(), members)]));
        let text = r#"
            name = "call"
            called = "a call"
            source = "a page"
            [properties]
            id = "guid!: names it"
            state = "callState: says where it stands"
            targets = "[participantInfo]: are those who are called"
        "#;
        let text: ResourceText = toml::from_str(text).expect("it is sound");
        let rules = shapes.take(&text).expect("it is sound");
        assert_eq!(
            rules[1].sentence,
            "`state` of a call says where it stands; where it is told, it is a member of callState."
        );
        shapes
    }

    fn broken(body: &Value) -> Vec<String> {
        let source = Source::Answer("/v1.0/communications/calls/7".to_owned());
        let outcomes = shapes().judge(&source, body);
        let broken = outcomes.into_iter().filter(|(_, one)| matches!(one, Outcome::Broken { .. }));
        broken.map(|(rule, _)| rule.rsplit('/').next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn a_body_of_the_shape_is_kept_and_others_are_named() {
        let id = "57dab8b1-894c-409a-b240-bd8beae78896";
        assert!(broken(&json!({ "id": id, "state": "Established", "targets": [{}] })).is_empty());
        assert_eq!(broken(&json!({ "id": id, "state": "gone" })), ["state"]);
        assert_eq!(broken(&json!({ "id": id, "targets": {} })), ["targets"]);
        assert_eq!(broken(&json!({ "state": "terminated" })), ["id"]);
        assert_eq!(broken(&json!({ "value": [{ "id": "7" }] })), ["id"]);
    }
}
