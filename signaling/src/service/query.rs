//! Query options of reads, after OData 4.01 part 2: `$select`, `$filter`, `$top`, `$skip`
//! and `$count`, with the dollar sign or without, as Graph takes them. What else OData
//! knows is refused and named; what it does not know is the caller's own, and ignored.
//! Texts are compared without their case, since the API compares its values so.

use serde_json::{Map, Value, json};

use super::reply::ApiError;
use super::route::percent_decode;

/// The longest query that is read, in bytes.
const QUERY_BYTES_MAX: usize = 2048;

/// How deep a filter may be nested.
const FILTER_DEPTH_MAX: usize = 32;

/// Options that OData knows and this platform does not.
const REFUSED: &[&str] =
    &["expand", "orderby", "search", "compute", "format", "skiptoken", "deltatoken", "apply"];

/// What a reader asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Query {
    select: Option<Vec<String>>,
    filter: Option<Filter>,
    top: Option<usize>,
    skip: Option<usize>,
    count: bool,
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
enum Filter {
    Compare(Operand, Comparison, Operand),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
    Text(TextTest, Operand, Operand),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Unequal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextTest {
    StartsWith,
    EndsWith,
    Contains,
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Literal(Value),
    Path(Vec<String>),
}

impl Query {
    /// Reads a query. `of_many`: whether it is one of a collection.
    pub(crate) fn parse(text: &str, of_many: bool) -> Result<Self, ApiError> {
        let mut query = Self::default();
        if text.is_empty() {
            return Ok(query);
        }
        if text.len() > QUERY_BYTES_MAX {
            let message = format!("The query has more than {QUERY_BYTES_MAX} bytes.");
            return Err(ApiError::bad_request(message));
        }
        let mut seen: Vec<String> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = percent_decode(name).to_ascii_lowercase();
            let bare = name.strip_prefix('$').unwrap_or(&name);
            let known = matches!(bare, "select" | "filter" | "top" | "skip" | "count");
            if !known && (name.starts_with('$') || REFUSED.contains(&bare)) {
                let message = format!("The query option '{name}' is not supported here.");
                return Err(ApiError::bad_request(message));
            }
            if !known {
                continue;
            }
            if seen.iter().any(|other| other == bare) {
                let message = format!("The query option '${bare}' is there twice.");
                return Err(ApiError::bad_request(message));
            }
            seen.push(bare.to_owned());
            if !of_many && bare != "select" {
                let message = format!("The query option '${bare}' is for collections alone.");
                return Err(ApiError::bad_request(message));
            }
            query.take(bare, &percent_decode(&value.replace('+', " ")))?;
        }
        Ok(query)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), ApiError> {
        let bad = || ApiError::bad_request(format!("The value of '${name}' cannot be read."));
        match name {
            "select" => {
                let names: Vec<String> =
                    value.split(',').map(|name| name.trim().to_owned()).collect();
                let good = |name: &String| {
                    !name.is_empty()
                        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"@._*".contains(&b))
                };
                if !names.iter().all(good) {
                    return Err(bad());
                }
                self.select = Some(names).filter(|names| !names.iter().any(|name| name == "*"));
            }
            "filter" => self.filter = Some(parse_filter(value)?),
            "top" => self.top = Some(value.trim().parse().map_err(|_| bad())?),
            "skip" => self.skip = Some(value.trim().parse().map_err(|_| bad())?),
            _ => self.count = value.trim().parse().map_err(|_| bad())?,
        }
        Ok(())
    }

    /// Whether nothing was asked for.
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// One resource as it is to be shown.
    pub(crate) fn shown(&self, value: Value) -> Value {
        match (&self.select, value) {
            (Some(names), Value::Object(map)) => {
                let keep = |name: &String| {
                    name.starts_with("@odata.")
                        || names.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
                };
                map.into_iter().filter(|(name, _)| keep(name)).collect::<Map<_, _>>().into()
            }
            (_, value) => value,
        }
    }

    /// A collection as it is to be shown.
    pub(crate) fn collection(&self, context: &str, values: &[impl serde::Serialize]) -> Value {
        if self.is_empty() {
            return json!({ "@odata.context": context, "value": values });
        }
        let whole = values.iter().filter_map(|value| serde_json::to_value(value).ok());
        let passed: Vec<Value> =
            whole.filter(|value| self.filter.as_ref().is_none_or(|f| f.holds(value))).collect();
        let count = passed.len();
        let part = passed.into_iter().skip(self.skip.unwrap_or(0));
        let part: Vec<Value> =
            part.take(self.top.unwrap_or(usize::MAX)).map(|value| self.shown(value)).collect();
        let mut shown = json!({ "@odata.context": context, "value": part });
        if self.count {
            shown["@odata.count"] = count.into();
        }
        shown
    }
}

impl Operand {
    fn value<'a>(&'a self, of: &'a Value) -> &'a Value {
        match self {
            Self::Literal(value) => value,
            Self::Path(names) => names.iter().fold(of, |value, name| {
                let found = value
                    .as_object()
                    .and_then(|map| map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)));
                found.map_or(&Value::Null, |(_, value)| value)
            }),
        }
    }
}

impl Filter {
    fn holds(&self, value: &Value) -> bool {
        match self {
            Self::And(one, other) => one.holds(value) && other.holds(value),
            Self::Or(one, other) => one.holds(value) || other.holds(value),
            Self::Not(inner) => !inner.holds(value),
            Self::Compare(left, by, right) => compare(left.value(value), *by, right.value(value)),
            Self::Text(test, left, right) => {
                let (Value::String(text), Value::String(part)) =
                    (left.value(value), right.value(value))
                else {
                    return false;
                };
                let (text, part) = (text.to_ascii_lowercase(), part.to_ascii_lowercase());
                match test {
                    TextTest::StartsWith => text.starts_with(&part),
                    TextTest::EndsWith => text.ends_with(&part),
                    TextTest::Contains => text.contains(&part),
                }
            }
        }
    }
}

fn compare(left: &Value, by: Comparison, right: &Value) -> bool {
    use core::cmp::Ordering;
    let order = match (left, right) {
        (Value::String(one), Value::String(other)) => {
            Some(one.to_ascii_lowercase().cmp(&other.to_ascii_lowercase()))
        }
        (Value::Number(one), Value::Number(other)) => {
            one.as_f64().zip(other.as_f64()).and_then(|(one, other)| one.partial_cmp(&other))
        }
        (one, other) if one == other => Some(Ordering::Equal),
        _ => None,
    };
    match by {
        Comparison::Equal => order == Some(Ordering::Equal),
        Comparison::Unequal => order != Some(Ordering::Equal),
        Comparison::Greater => order == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
        Comparison::Less => order == Some(Ordering::Less),
        Comparison::LessOrEqual => order.is_some_and(Ordering::is_le),
    }
}

/// A piece of a filter.
#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Open,
    Close,
    Comma,
}

fn tokens(text: &str) -> Result<Vec<Token>, ApiError> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(&next) = rest.peek() {
        match next {
            ' ' | '\t' => {
                rest.next();
            }
            '(' | ')' | ',' => {
                rest.next();
                tokens.push(match next {
                    '(' => Token::Open,
                    ')' => Token::Close,
                    _ => Token::Comma,
                });
            }
            '\'' => {
                rest.next();
                let mut inner = String::new();
                loop {
                    match rest.next() {
                        // A quote inside is written twice.
                        Some('\'') if rest.peek() == Some(&'\'') => {
                            rest.next();
                            inner.push('\'');
                        }
                        Some('\'') => break,
                        Some(other) => inner.push(other),
                        None => return Err(unreadable("a text has no end")),
                    }
                }
                tokens.push(Token::Text(inner));
            }
            _ => {
                let mut word = String::new();
                while let Some(&next) = rest.peek()
                    && !" \t(),'".contains(next)
                {
                    word.push(next);
                    rest.next();
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    Ok(tokens)
}

fn unreadable(why: &str) -> ApiError {
    ApiError::bad_request(format!("Invalid filter clause: {why}."))
}

fn parse_filter(text: &str) -> Result<Filter, ApiError> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, depth: 0 };
    let filter = parser.either()?;
    match parser.tokens {
        [] => Ok(filter),
        _ => Err(unreadable("something follows its end")),
    }
}

/// Recursive descent: or, and, not, comparison.
struct Parser<'a> {
    tokens: &'a [Token],
    depth: usize,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first.clone())
    }

    /// Takes a keyword, if it is the next.
    fn takes(&mut self, keyword: &str) -> bool {
        match self.tokens.split_first() {
            Some((Token::Word(word), rest)) if word.eq_ignore_ascii_case(keyword) => {
                self.tokens = rest;
                true
            }
            _ => false,
        }
    }

    fn expect(&mut self, token: &Token, why: &str) -> Result<(), ApiError> {
        match self.next() {
            Some(next) if next == *token => Ok(()),
            _ => Err(unreadable(why)),
        }
    }

    fn either(&mut self) -> Result<Filter, ApiError> {
        let mut filter = self.both()?;
        while self.takes("or") {
            filter = Filter::Or(Box::new(filter), Box::new(self.both()?));
        }
        Ok(filter)
    }

    fn both(&mut self) -> Result<Filter, ApiError> {
        let mut filter = self.one()?;
        while self.takes("and") {
            filter = Filter::And(Box::new(filter), Box::new(self.one()?));
        }
        Ok(filter)
    }

    fn one(&mut self) -> Result<Filter, ApiError> {
        self.depth += 1;
        if self.depth > FILTER_DEPTH_MAX {
            return Err(unreadable("it is nested too deep"));
        }
        let filter = if self.takes("not") {
            Ok(Filter::Not(Box::new(self.one()?)))
        } else if self.tokens.first() == Some(&Token::Open) {
            self.next();
            let inner = self.either()?;
            self.expect(&Token::Close, "a bracket is not closed")?;
            Ok(inner)
        } else if let [Token::Word(word), Token::Open, ..] = self.tokens {
            self.text_test(word)
        } else {
            self.comparison()
        };
        self.depth -= 1;
        filter
    }

    fn text_test(&mut self, name: &str) -> Result<Filter, ApiError> {
        let test = match name.to_ascii_lowercase().as_str() {
            "startswith" => TextTest::StartsWith,
            "endswith" => TextTest::EndsWith,
            "contains" => TextTest::Contains,
            _ => return Err(unreadable(&format!("the function '{name}' is not known"))),
        };
        self.next();
        self.next();
        let left = self.operand()?;
        self.expect(&Token::Comma, "a function needs two arguments")?;
        let right = self.operand()?;
        self.expect(&Token::Close, "a bracket is not closed")?;
        Ok(Filter::Text(test, left, right))
    }

    fn comparison(&mut self) -> Result<Filter, ApiError> {
        let left = self.operand()?;
        let by = match self.next() {
            Some(Token::Word(word)) => match word.to_ascii_lowercase().as_str() {
                "eq" => Comparison::Equal,
                "ne" => Comparison::Unequal,
                "gt" => Comparison::Greater,
                "ge" => Comparison::GreaterOrEqual,
                "lt" => Comparison::Less,
                "le" => Comparison::LessOrEqual,
                _ => return Err(unreadable(&format!("'{word}' is no comparison"))),
            },
            _ => return Err(unreadable("a comparison is missing")),
        };
        Ok(Filter::Compare(left, by, self.operand()?))
    }

    fn operand(&mut self) -> Result<Operand, ApiError> {
        match self.next() {
            Some(Token::Text(text)) => Ok(Operand::Literal(text.into())),
            Some(Token::Word(word)) => {
                // A member of an enumeration may be written with its type in front.
                if let [Token::Text(text), rest @ ..] = self.tokens
                    && word.to_ascii_lowercase().starts_with("microsoft.graph.")
                {
                    let literal = Operand::Literal(text.clone().into());
                    self.tokens = rest;
                    return Ok(literal);
                }
                match word.as_str() {
                    "true" => return Ok(Operand::Literal(true.into())),
                    "false" => return Ok(Operand::Literal(false.into())),
                    "null" => return Ok(Operand::Literal(Value::Null)),
                    _ => {}
                }
                if let Ok(number) = word.parse::<i64>() {
                    return Ok(Operand::Literal(number.into()));
                }
                let names: Vec<String> = word.split('/').map(str::to_owned).collect();
                let good = |name: &String| {
                    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '@')
                        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"@._".contains(&b))
                };
                if !names.iter().all(good) {
                    return Err(unreadable(&format!("'{word}' is no property")));
                }
                Ok(Operand::Path(names))
            }
            _ => Err(unreadable("a value is missing")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn people() -> Vec<Value> {
        let person = |name: &str, muted: bool, number: i64| {
            json!({"@odata.type": "#microsoft.graph.participant", "id": name, "isMuted": muted,
                "rosterSequenceNumber": number, "metadata": null,
                "info": {"identity": {"user": {"id": name, "displayName": "It's me"}}}})
        };
        vec![person("ann", false, 1), person("ben", true, 2), person("cleo", false, 3)]
    }

    fn found(query: &str) -> Vec<String> {
        let query = Query::parse(query, true).expect("it can be read");
        let shown = query.collection("c", &people());
        let values = shown["value"].as_array().expect("it is a collection").clone();
        values.iter().map(|value| value["id"].as_str().unwrap_or("-").to_owned()).collect()
    }

    #[test]
    fn filters_choose_and_selections_cut() {
        for (query, expected) in [
            ("", &["ann", "ben", "cleo"][..]),
            ("$filter=isMuted%20eq%20true", &["ben"]),
            ("$filter=isMuted+ne+true", &["ann", "cleo"]),
            ("filter=info/identity/user/id eq 'ANN' or id eq 'cleo'", &["ann", "cleo"]),
            ("$filter=not (isMuted eq true) and rosterSequenceNumber ge 2", &["cleo"]),
            ("$filter=(id eq 'ann' or id eq 'ben') and isMuted eq false", &["ann"]),
            ("$filter=startswith(id,'c')", &["cleo"]),
            ("$filter=contains(info/identity/user/displayName,'it''s')", &["ann", "ben", "cleo"]),
            ("$filter=metadata eq null and nothing eq null", &["ann", "ben", "cleo"]),
            ("$filter=nothing eq 'x'", &[]),
            ("$filter=id eq microsoft.graph.tone'ben'", &["ben"]),
            ("$top=2", &["ann", "ben"]),
            ("$skip=1&$top=1", &["ben"]),
            ("$top=0", &[]),
            ("mine=7&$top=1", &["ann"]),
        ] {
            assert_eq!(found(query), expected, "{query}");
        }
        let query = Query::parse("$select=ID,isMuted&$count=true&$top=1", true);
        let shown = query.expect("it can be read").collection("c", &people());
        assert_eq!(
            shown,
            json!({"@odata.context": "c", "@odata.count": 3, "value": [
                {"@odata.type": "#microsoft.graph.participant", "id": "ann", "isMuted": false}]})
        );
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        for query in [
            "$expand=participants",
            "expand=participants",
            "$nonsense=1",
            "$filter=",
            "$filter=id",
            "$filter=id eq",
            "$filter=id like 'x'",
            "$filter=id eq 'x",
            "$filter=(id eq 'x'",
            "$filter=id eq 'x')",
            "$filter=id eq 'x' id eq 'y'",
            "$filter=levenshtein(id,'x')",
            "$filter=startswith(id)",
            "$filter=mediaStreams/any(s:s/label eq 'x')",
            "$filter=a//b eq 1",
            "$top=-1",
            "$top=many",
            "$count=perhaps",
            "$select=",
            "$select=a b",
            "$top=1&top=2",
        ] {
            let refused = Query::parse(query, true).expect_err(query);
            assert_eq!((refused.status, refused.code.as_str()), (400, "BadRequest"), "{query}");
        }
        assert!(Query::parse("$select=id", false).is_ok());
        assert!(Query::parse("$filter=id eq 'x'", false).is_err());
        let deep = format!("$filter={}id eq 1{}", "(".repeat(900), ")".repeat(900));
        assert!(Query::parse(&deep, true).is_err());
    }

    proptest! {
        #[test]
        fn no_query_makes_it_panic(
            filter in "[a-z/@'() ,0-9=&$%+-]{0,80}",
            text in "\\PC{0,60}",
        ) {
            for query in [format!("$filter={filter}"), text] {
                if let Ok(query) = Query::parse(&query, true) {
                    let _ = query.collection("c", &people());
                }
            }
        }
    }
}
