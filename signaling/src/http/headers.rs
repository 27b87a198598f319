//! Header lines in one piece of memory: a message has a dozen of them, is copied for those
//! who watch, and goes from thread to thread; two strings for each line would be most of
//! what that costs.

use core::fmt;

use bytes::Bytes;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// In front of each line: the length of its name, and of its value, in digits of seven bits.
const NAME_DIGITS: usize = 3;
const VALUE_DIGITS: usize = 4;
const DIGIT_BITS: usize = 7;

/// Header lines in order, names in any case.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    text: String,
}

impl Headers {
    /// No lines.
    #[must_use]
    pub const fn new() -> Self {
        Self { text: String::new() }
    }

    /// No lines, and room for so many bytes of them.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes) }
    }

    /// Whether there are no lines.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Adds a line; a name of more than 2 MiB or a value of more than 256 MiB is cut.
    pub fn push(&mut self, name: &str, value: &str) {
        let name = cut(name, NAME_DIGITS);
        let value = cut(value, VALUE_DIGITS);
        self.text.reserve(NAME_DIGITS + VALUE_DIGITS + name.len() + value.len());
        self.text.extend(digits(name.len(), NAME_DIGITS));
        self.text.extend(digits(value.len(), VALUE_DIGITS));
        self.text.push_str(name);
        self.text.push_str(value);
    }

    /// The value of the first line of this name, whatever its case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All lines of this name go, whatever its case.
    pub fn remove(&mut self, name: &str) {
        let others = self.iter().filter(|(known, _)| !known.eq_ignore_ascii_case(name));
        *self = others.collect();
    }

    /// Names and values.
    #[must_use]
    pub fn iter(&self) -> Lines<'_> {
        Lines { rest: &self.text }
    }

    /// The same lines, whose values can be handed on without being copied.
    #[must_use]
    pub fn shared(self) -> Shared {
        Shared { bytes: Bytes::from(self.text.into_bytes()) }
    }
}

fn cut(text: &str, count: usize) -> &str {
    &text[..text.floor_char_boundary((1 << (DIGIT_BITS * count)) - 1)]
}

fn digits(length: usize, count: usize) -> impl Iterator<Item = char> {
    (0..count).map(move |place| char::from((length >> (DIGIT_BITS * place)) as u8 & 0x7f))
}

/// The lengths of a line's name and value; `None` after the last one.
fn lengths(bytes: &[u8]) -> Option<(usize, usize)> {
    let number = |digits: &[u8]| {
        digits.iter().rev().fold(0, |number, digit| number << DIGIT_BITS | usize::from(*digit))
    };
    let (name, rest) = bytes.split_at_checked(NAME_DIGITS)?;
    Some((number(name), number(rest.get(..VALUE_DIGITS)?)))
}

/// Names and values of [`Headers`].
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Lines<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = lengths(self.rest.as_bytes())?;
        let (name, rest) = self.rest[NAME_DIGITS + VALUE_DIGITS..].split_at(name);
        let (value, rest) = rest.split_at(value);
        self.rest = rest;
        Some((name, value))
    }
}

/// [`Headers`] that nobody changes any more.
#[derive(Clone, Debug)]
pub struct Shared {
    bytes: Bytes,
}

impl Shared {
    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Bytes)> {
        let mut at = 0;
        core::iter::from_fn(move || {
            let (name, value) = lengths(&self.bytes[at..])?;
            let name_at = at + NAME_DIGITS + VALUE_DIGITS;
            let value_at = name_at + name;
            at = value_at + value;
            Some((&self.bytes[name_at..value_at], self.bytes.slice(value_at..at)))
        })
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = (&'a str, &'a str);
    type IntoIter = Lines<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<N: AsRef<str>, V: AsRef<str>> Extend<(N, V)> for Headers {
    fn extend<I: IntoIterator<Item = (N, V)>>(&mut self, lines: I) {
        for (name, value) in lines {
            self.push(name.as_ref(), value.as_ref());
        }
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(lines: I) -> Self {
        let mut headers = Self::new();
        headers.extend(lines);
        headers
    }
}

impl<N: AsRef<str>, V: AsRef<str>, const LINES: usize> From<[(N, V); LINES]> for Headers {
    fn from(lines: [(N, V); LINES]) -> Self {
        lines.into_iter().collect()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self).finish()
    }
}

/// As a list of pairs.
impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self)
    }
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Headers;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of names and values")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut lines: A) -> Result<Headers, A::Error> {
                let mut headers = Headers::new();
                while let Some((name, value)) = lines.next_element::<(String, String)>()? {
                    headers.push(&name, &value);
                }
                Ok(headers)
            }
        }

        deserializer.deserialize_seq(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_found_in_any_case_and_the_first_one_counts() {
        let mut headers = Headers::from([("A", "1"), ("b", ""), ("a", "2")]);
        assert_eq!(
            (headers.get("a"), headers.get("B"), headers.get("c")),
            (Some("1"), Some(""), None)
        );
        headers.remove("a");
        assert_eq!(headers, Headers::from([("b", "")]));
        headers.remove("B");
        assert!(headers.is_empty() && headers.iter().next().is_none());
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        let mut headers = Headers::new();
        headers.push(&"ä".repeat(1 << 20), "value");
        let (name, value) = headers.iter().next().expect("a line");
        assert_eq!((name.len(), value), ((1 << 21) - 2, "value"));
    }

    proptest! {
        #[test]
        fn lines_come_out_as_they_went_in(
            lines in proptest::collection::vec((".{0,12}", ".{0,300}"), 0..8)
        ) {
            let headers: Headers = lines.iter().cloned().collect();
            let found: Vec<_> = headers.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            prop_assert_eq!(&found, &lines);
            let text = serde_json::to_string(&headers).expect("it is text");
            prop_assert_eq!(&serde_json::from_str::<Headers>(&text).expect("its own"), &headers);
            let shared = headers.shared();
            let shared: Vec<_> = shared.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
            let bytes: Vec<_> = lines.into_iter().map(|(n, v)| (n.into_bytes(), v.into_bytes())).collect();
            prop_assert_eq!(shared, bytes);
        }
    }
}
