//! Families of rules and cases: one text for many, filled with a row of words for each.
//! `{name}` in a text stands for the word of that name in the row.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The words of one member of a family, by name.
pub type Row = BTreeMap<String, String>;

/// The rows of a family: named ones of the file, or those that stand beside the text.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Rows {
    /// Named ones of the same file.
    Named(String),
    /// Single words, each called `it`.
    Words(Vec<String>),
    /// Tables of words.
    Tables(Vec<Row>),
}

impl Rows {
    /// The rows themselves; `None` if there are none of that name.
    pub(crate) fn find(&self, named: &BTreeMap<String, Self>) -> Option<Vec<Row>> {
        match self {
            Self::Tables(rows) => Some(rows.clone()),
            Self::Words(words) => {
                let row = |word: &String| Row::from([("it".to_owned(), word.clone())]);
                Some(words.iter().map(row).collect())
            }
            Self::Named(name) => match named.get(name)? {
                Self::Named(_) => None,
                rows => rows.find(named),
            },
        }
    }
}

/// Puts the words of a row into a text. Names that are not in the row stay as they are.
#[must_use]
pub fn fill(text: &str, words: &Row) -> String {
    fill_with(text, |name| words.get(name).cloned())
}

/// The same for ids, whose words are small letters with hyphens.
pub(crate) fn fill_id(text: &str, words: &Row) -> String {
    fill_with(text, |name| words.get(name).map(|word| kebab(word)))
}

/// Puts words into a text by whatever knows them.
pub(crate) fn fill_with(text: &str, mut word: impl FnMut(&str) -> Option<String>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, after) = rest.split_at(at);
        filled.push_str(before);
        let name = after[1..].split_once('}').map(|(name, _)| name).filter(|name| is_name(name));
        let taken = name.and_then(|name| Some((word(name)?, name.len() + 2)));
        let (put, length) = match &taken {
            Some((word, length)) => (word.as_str(), *length),
            None => ("{", 1),
        };
        filled.push_str(put);
        rest = &after[length..];
    }
    filled.push_str(rest);
    filled
}

/// The first name that was not filled in.
pub(crate) fn unfilled(text: &str) -> Option<String> {
    let mut found = None;
    fill_with(text, |name| {
        found.get_or_insert_with(|| name.to_owned());
        None
    });
    found
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.')
}

/// `videoBasedScreenSharing`, `Calls.Initiate.All` and `#microsoft.graph.call` as words of
/// an id: `video-based-screen-sharing`, `calls-initiate-all`, `microsoft-graph-call`.
#[must_use]
pub fn kebab(text: &str) -> String {
    let mut words = String::with_capacity(text.len() + 8);
    let mut before = ' ';
    for next in text.chars() {
        let joint =
            next.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_digit());
        if (joint || !next.is_ascii_alphanumeric()) && !words.is_empty() && !words.ends_with('-') {
            words.push('-');
        }
        if next.is_ascii_alphanumeric() {
            words.push(next.to_ascii_lowercase());
        }
        before = next;
    }
    words.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_any_spelling_become_words_of_an_id() {
        assert_eq!(kebab("videoBasedScreenSharing"), "video-based-screen-sharing");
        assert_eq!(kebab("Calls.Initiate.All"), "calls-initiate-all");
        assert_eq!(kebab("#microsoft.graph.call"), "microsoft-graph-call");
        assert_eq!(kebab("tone0"), "tone0");
        assert_eq!(kebab("callbackUri"), "callback-uri");
    }

    #[test]
    fn json_is_left_alone_and_names_are_filled() {
        let row = Row::from([("it".to_owned(), "busyNow".to_owned())]);
        assert_eq!(fill(r#"{"reason":"{it}","b":{}}"#, &row), r#"{"reason":"busyNow","b":{}}"#);
        assert_eq!(fill("{it} {other} {", &row), "busyNow {other} {");
        assert_eq!(fill_id("a/{it}", &row), "a/busy-now");
        assert_eq!(unfilled("a {b} {c}"), Some("b".to_owned()));
        assert_eq!(unfilled(r#"{"a":{}}"#), None);
    }
}
