//! The same pictures in several encodings on one line (RFC 8853), told apart by a header
//! extension (RFC 8852). Deviations: of alternatives the first is taken, none is paused at the
//! beginning, and restrictions (`a=rid`'s parameters) are not read: how large pictures are,
//! they say themselves.

use serde::{Deserialize, Serialize};

/// How many layers a line may have.
pub const LAYERS_MAX: usize = 4;

/// What fits into a header extension of one-byte headers (RFC 8285 section 4.2).
const NAME_MAX: usize = 16;

/// The layers of a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Simulcast {
    /// Whether the describing side sends them; otherwise it takes them.
    pub sends: bool,
    /// Their names (`a=rid`), in the order of whoever sends them.
    pub layers: Vec<String>,
}

impl Simulcast {
    /// What a side that could take `self` takes of what is offered; none if that is nothing.
    pub(super) fn answer(&self, offered: &Self) -> Option<Self> {
        if self.sends || !offered.sends {
            return None;
        }
        let both = offered.layers.iter().filter(|name| self.layers.contains(name));
        let layers: Vec<String> = both.cloned().collect();
        (!layers.is_empty()).then_some(Self { sends: false, layers })
    }

    /// Reads the value of `a=simulcast`; `is_known` says which names `a=rid` explains. None if
    /// nothing can be made of it, which is as if it had not been said (RFC 8853 section 5.3).
    pub(crate) fn parse(value: &str, is_known: impl Fn(&str, &str) -> bool) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let (way, list) = (words.next()?, words.next()?);
        let sends = match way {
            "send" => true,
            "recv" => false,
            _ => return None,
        };
        let mut layers: Vec<String> = Vec::new();
        for alternatives in list.split(';') {
            let names = alternatives.split(',').map(|name| name.trim_start_matches('~'));
            let name = names.into_iter().find(|name| is_name(name) && is_known(name, way));
            if let Some(name) = name.filter(|name| !layers.iter().any(|known| known == name)) {
                layers.push(name.to_owned());
            }
        }
        layers.truncate(LAYERS_MAX);
        (!layers.is_empty()).then_some(Self { sends, layers })
    }

    /// As [`parse`](Self::parse) reads it: which way, and the value.
    pub(crate) fn write(&self) -> (&'static str, String) {
        let way = if self.sends { "send" } else { "recv" };
        (way, format!("{way} {}", self.layers.join(";")))
    }
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=NAME_MAX).contains(&name.len()) && name.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> Option<Vec<String>> {
        let known = |name: &str, way: &str| name != "unexplained" && way == "send";
        Simulcast::parse(value, known).map(|simulcast| simulcast.layers)
    }

    #[test]
    fn layers_are_read_and_what_cannot_be_is_left_out() {
        let names = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect());
        assert_eq!(parse("send q;h;f"), names(&["q", "h", "f"]));
        assert_eq!(parse("send q,x;~h recv a"), names(&["q", "h"]));
        assert_eq!(parse("send unexplained,q;q;h h"), names(&["q", "h"]));
        assert_eq!(parse("send a;b;c;d;e;f"), names(&["a", "b", "c", "d"]));
        for nothing in ["", "send", "both q", "recv q", "send ;;", "send unexplained"] {
            assert_eq!(parse(nothing), None, "{nothing}");
        }
        assert_eq!(parse(&format!("send {}", "x".repeat(17))), None);
    }

    #[test]
    fn what_is_written_is_read_again() {
        for sends in [true, false] {
            let simulcast = Simulcast { sends, layers: vec!["q".to_owned(), "f".to_owned()] };
            let (way, value) = simulcast.write();
            let known = |name: &str, of: &str| of == way && "qf".contains(name);
            assert_eq!(Simulcast::parse(&value, known), Some(simulcast));
        }
    }

    #[test]
    fn only_what_is_sent_is_taken() {
        let of = |sends, names: &[&str]| Simulcast {
            sends,
            layers: names.iter().map(|&name| name.to_owned()).collect(),
        };
        let takes = of(false, &["q", "f"]);
        assert_eq!(takes.answer(&of(true, &["f", "h", "q"])), Some(of(false, &["f", "q"])));
        assert_eq!(takes.answer(&of(true, &["h"])), None);
        assert_eq!(takes.answer(&takes), None);
        assert_eq!(of(true, &["q"]).answer(&of(true, &["q"])), None);
    }
}
