//! What a case expects, in a small language that reads as words:
//! `status is 202`, `header Location matches */operations/*`,
//! `body/status in running, notStarted`, `resourceData/toneInfo/tone is tone1 and
//! changeType is updated`.
//!
//! A subject is `status`, `header NAME`, `body/…` (an answer), a path into a notification's
//! item, `envelope/…` (the notification as a whole), `token/…` (the claims of its bearer
//! token), `count`, or `took` (seconds). A `*` in a path stands for any element of a list.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use callrig_signaling::http::Headers;
use serde_json::Value;

/// What is looked at.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Of an answer.
    pub status: Option<u16>,
    /// Of an answer or a notification.
    pub headers: Headers,
    /// Of an answer as `body`; of a notification its item, without a name.
    pub body: Value,
    /// The notification as a whole.
    pub envelope: Value,
    /// How many there were.
    pub count: Option<usize>,
    /// How long it took, in seconds.
    pub took: f64,
}

impl Seen {
    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    fn claims(&self) -> Value {
        let token = self.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let part = token.and_then(|token| token.split('.').nth(1));
        let bytes = part.and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }
}

/// One expectation: several of them joined by `and`.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
struct Part {
    subject: Subject,
    verb: Verb,
}

#[derive(Clone, Debug, PartialEq)]
enum Subject {
    Status,
    Count,
    Took,
    Header(String),
    Path(Root, Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Root {
    Body,
    Envelope,
    Token,
}

#[derive(Clone, Debug, PartialEq)]
enum Verb {
    Is(String),
    IsNot(String),
    In(Vec<String>),
    Matches(String),
    Contains(String),
    Has(usize),
    AtLeast(f64),
    AtMost(f64),
    Present,
    Absent,
    Kind(Kind),
}

/// Kinds of values, beyond what JSON tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// A number without a fraction.
    Integer,
    /// Any number.
    Number,
    /// True or false.
    Boolean,
    /// An object.
    Object,
    /// An array.
    List,
    /// A GUID, in any spelling.
    Guid,
    /// A moment as RFC 3339.
    Date,
    /// An absolute URI.
    Uri,
    /// A JSON Web Token.
    Jwt,
}

impl Kind {
    const ALL: [(&'static str, Self); 10] = [
        ("text", Self::Text),
        ("integer", Self::Integer),
        ("number", Self::Number),
        ("boolean", Self::Boolean),
        ("object", Self::Object),
        ("list", Self::List),
        ("guid", Self::Guid),
        ("date", Self::Date),
        ("uri", Self::Uri),
        ("jwt", Self::Jwt),
    ];

    /// By its word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(own, _)| *own == word).map(|(_, kind)| kind)
    }

    /// Whether a value is of this kind.
    #[must_use]
    pub fn holds(self, value: &Value) -> bool {
        let text = value.as_str();
        match self {
            Self::Text => text.is_some(),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
            Self::Object => value.is_object(),
            Self::List => value.is_array(),
            Self::Guid => text.is_some_and(is_guid),
            Self::Date => text.is_some_and(is_date),
            Self::Uri => text.is_some_and(|text| url::Url::parse(text).is_ok()),
            Self::Jwt => text.is_some_and(|text| {
                text.split('.').count() == 3 && text.split('.').all(|part| !part.is_empty())
            }),
        }
    }
}

fn is_guid(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_hexdigit).count();
    digits == 32 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

fn is_date(text: &str) -> bool {
    let format = &time::format_description::well_known::Rfc3339;
    time::OffsetDateTime::parse(text, format).is_ok()
}

impl Expectation {
    /// Reads one.
    ///
    /// # Errors
    /// What of it is not understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts =
            text.split(" and ").map(|part| parse_part(part.trim())).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), parts })
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is so; otherwise, what is so instead.
    ///
    /// # Errors
    /// The first part that does not hold, with what was seen.
    pub fn check(&self, seen: &Seen) -> Result<(), String> {
        self.parts.iter().try_for_each(|part| part.check(seen))
    }
}

fn parse_part(text: &str) -> Result<Part, String> {
    let (subject, rest) = match text.strip_prefix("header ") {
        Some(rest) => {
            let (name, rest) = rest.split_once(' ').ok_or_else(|| wrong(text))?;
            (Subject::Header(name.to_owned()), rest)
        }
        None => {
            let (name, rest) = text.split_once(' ').ok_or_else(|| wrong(text))?;
            (parse_subject(name), rest)
        }
    };
    Ok(Part { subject, verb: parse_verb(rest).ok_or_else(|| wrong(text))? })
}

fn wrong(text: &str) -> String {
    format!("{text:?} is no expectation: a subject, a verb, and what it is compared with")
}

fn parse_subject(name: &str) -> Subject {
    let path = |rest: &str| rest.split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect();
    let root = name.split('/').next().unwrap_or_default();
    let rest = &name[root.len()..];
    match root {
        "status" => Subject::Status,
        "count" => Subject::Count,
        "took" => Subject::Took,
        "body" => Subject::Path(Root::Body, path(rest)),
        "envelope" => Subject::Path(Root::Envelope, path(rest)),
        "token" => Subject::Path(Root::Token, path(rest)),
        _ => Subject::Path(Root::Body, path(name)),
    }
}

fn parse_verb(text: &str) -> Option<Verb> {
    let after = |verb: &str| text.strip_prefix(verb).map(str::trim);
    Some(match text {
        "is present" => Verb::Present,
        "is absent" => Verb::Absent,
        _ => {
            if let Some(kind) = after("is a ").or_else(|| after("is an ")) {
                Verb::Kind(Kind::parse(kind)?)
            } else if let Some(other) = after("is not ") {
                Verb::IsNot(other.to_owned())
            } else if let Some(value) = after("is ") {
                Verb::Is(value.to_owned())
            } else if let Some(list) = after("in ") {
                Verb::In(list.split(',').map(|one| one.trim().to_owned()).collect())
            } else if let Some(glob) = after("matches ") {
                Verb::Matches(glob.to_owned())
            } else if let Some(part) = after("contains ") {
                Verb::Contains(part.to_owned())
            } else if let Some(count) = after("has ") {
                Verb::Has(count.parse().ok()?)
            } else if let Some(least) = after("at least ") {
                Verb::AtLeast(least.parse().ok()?)
            } else if let Some(most) = after("at most ") {
                Verb::AtMost(most.parse().ok()?)
            } else {
                return None;
            }
        }
    })
}

impl Part {
    fn check(&self, seen: &Seen) -> Result<(), String> {
        let found = self.subject.find(seen);
        let holds = match self.verb {
            Verb::Absent => found.iter().all(Value::is_null),
            // Of several values one is enough, except where all are forbidden.
            Verb::IsNot(_) => found.iter().all(|value| self.verb.holds(value)),
            _ => found.iter().any(|value| self.verb.holds(value)),
        };
        if holds { Ok(()) } else { Err(format!("{} is {}", self.subject.name(), shown(&found))) }
    }
}

impl Subject {
    fn name(&self) -> String {
        match self {
            Self::Status => "the status".to_owned(),
            Self::Count => "the count".to_owned(),
            Self::Took => "the time in seconds".to_owned(),
            Self::Header(name) => format!("the header {name}"),
            Self::Path(_, path) if path.is_empty() => "the body".to_owned(),
            Self::Path(_, path) => path.join("/"),
        }
    }

    fn find(&self, seen: &Seen) -> Vec<Value> {
        match self {
            Self::Status => seen.status.map(Value::from).into_iter().collect(),
            Self::Count => seen.count.map(Value::from).into_iter().collect(),
            Self::Took => vec![seen.took.into()],
            Self::Header(name) => seen.header(name).map(Value::from).into_iter().collect(),
            Self::Path(Root::Body, path) => walk(&seen.body, path),
            Self::Path(Root::Envelope, path) => walk(&seen.envelope, path),
            Self::Path(Root::Token, path) => walk(&seen.claims(), path),
        }
    }
}

/// The values at a path.
pub(super) fn walk(value: &Value, path: &[String]) -> Vec<Value> {
    let Some((first, rest)) = path.split_first() else { return vec![value.clone()] };
    match (first.as_str(), value) {
        ("*", Value::Array(list)) => list.iter().flat_map(|one| walk(one, rest)).collect(),
        (index, Value::Array(list)) => {
            let one = index.parse().ok().and_then(|index: usize| list.get(index));
            one.map(|one| walk(one, rest)).unwrap_or_default()
        }
        (name, Value::Object(map)) => map.get(name).map(|one| walk(one, rest)).unwrap_or_default(),
        _ => Vec::new(),
    }
}

fn shown(found: &[Value]) -> String {
    const CHARACTERS_MAX: usize = 300;
    let texts: Vec<String> = found.iter().map(Value::to_string).collect();
    let text = match texts.as_slice() {
        [] => "not there".to_owned(),
        some => some.join(", "),
    };
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

impl Verb {
    fn holds(&self, value: &Value) -> bool {
        match self {
            Self::Is(wanted) => same(value, wanted),
            Self::IsNot(other) => !same(value, other),
            Self::In(list) => list.iter().any(|wanted| same(value, wanted)),
            Self::Matches(glob) => matches(glob, &plain(value)),
            Self::Contains(part) => match value {
                Value::Array(list) => list.iter().any(|one| same(one, part)),
                other => plain(other).contains(part.as_str()),
            },
            Self::Has(count) => value.as_array().is_some_and(|list| list.len() == *count),
            Self::AtLeast(least) => amount(value).is_some_and(|amount| amount >= *least),
            Self::AtMost(most) => amount(value).is_some_and(|amount| amount <= *most),
            Self::Present => !value.is_null(),
            Self::Absent => value.is_null(),
            Self::Kind(kind) => kind.holds(value),
        }
    }
}

/// A number, or how many there are in a list or text.
fn amount(value: &Value) -> Option<f64> {
    match value {
        Value::Array(list) => Some(list.len() as f64),
        Value::String(text) => Some(text.chars().count() as f64),
        other => other.as_f64(),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn same(value: &Value, wanted: &str) -> bool {
    match value {
        Value::String(text) => text == wanted.trim_matches('"'),
        other => serde_json::from_str::<Value>(wanted).is_ok_and(|wanted| wanted == *other),
    }
}

/// Whether a text fits a pattern in which `*` stands for anything. Letters of either case
/// are the same, since ids and paths of the API are.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_ascii_lowercase(), text.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen() -> Seen {
        Seen {
            status: Some(202),
            headers: [("Location", "https://x.test/calls/7/operations/8")].into(),
            body: json!({
                "status": "running", "n": 3, "none": null, "yes": true,
                "@odata.type": "#microsoft.graph.playPromptOperation",
                "value": [{ "id": "a" }, { "id": "b" }],
                "id": "57DAB8B1894C409AB240BD8BEAE78896",
            }),
            count: Some(1),
            ..Seen::default()
        }
    }

    fn holds(text: &str) -> bool {
        Expectation::parse(text).expect(text).check(&seen()).is_ok()
    }

    #[test]
    fn what_is_so_holds() {
        for text in [
            "status is 202",
            "status in 200, 202",
            "status at least 200 and status at most 299",
            "header location matches */operations/*",
            "body/@odata.type is #microsoft.graph.playPromptOperation",
            "body/n is 3 and body/yes is true",
            "body/none is absent",
            "body/nothing is absent",
            "body/value has 2",
            "body/value/*/id is b",
            "value/1/id is b",
            "body/id is a guid",
            "body/status contains run",
            "body/status is not failed",
            "count is 1",
            "body is an object",
        ] {
            assert!(holds(text), "{text}");
        }
    }

    #[test]
    fn what_is_not_so_says_what_is() {
        for (text, actual) in [
            ("status is 200", "the status is 202"),
            ("header Retry-After is present", "the header Retry-After is not there"),
            ("body/status is completed", "status is \"running\""),
            ("body/n is a text", "n is 3"),
            ("body/value/*/id is c", "value/*/id is \"a\", \"b\""),
            ("body/n is not 3", "n is 3"),
            ("body/status is absent", "status is \"running\""),
        ] {
            let error = Expectation::parse(text).expect(text).check(&seen());
            assert_eq!(error.expect_err(text), actual);
        }
    }

    #[test]
    fn what_is_no_expectation_is_refused() {
        for text in ["", "status", "status be 2", "body/x is a wonder", "header X", "count has x"] {
            assert!(Expectation::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn patterns_have_stars() {
        assert!(matches("*/calls/*/operations/*", "/Calls/1/operations/2"));
        assert!(matches("*/calls/*/operations/*", "x/Calls/1/operations/2"));
        assert!(matches("*", "") && matches("a*", "abc") && !matches("a*c", "ab"));
        assert!(matches("abc", "ABC") && !matches("abc", "abcd"));
    }
}
