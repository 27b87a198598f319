//! Parameter sets of H.264 that a description brings (RFC 6184 section 8.1,
//! `sprop-parameter-sets`): senders that read files often give them nowhere else.

use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::video::nal::Header;

/// How many bytes they have together at most, and how many there are.
const BYTES_MAX: usize = 4_096;
const SETS_MAX: usize = 32;

/// NAL units without start codes, sets of sequences and of pictures; as text they are base64,
/// with commas between.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub struct ParameterSets(Vec<Bytes>);

impl ParameterSets {
    /// The usual: the stream brings them.
    pub const NONE: Self = Self(Vec::new());

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.0.iter()
    }
}

impl From<&str> for ParameterSets {
    /// What is no base64 or no parameter set is left out, and what is beyond 4 KiB or 32 sets:
    /// a stream that brings its own goes without.
    fn from(text: &str) -> Self {
        let mut room = BYTES_MAX;
        let sets = text.split(',').take(SETS_MAX).filter_map(|set| {
            let set = STANDARD.decode(set.trim()).ok()?;
            let is_set = Header::from_byte(*set.first()?).unit_type().is_parameter_set();
            room = room.checked_sub(set.len()).filter(|_| is_set)?;
            Some(Bytes::from(set))
        });
        Self(sets.collect())
    }
}

impl From<String> for ParameterSets {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<ParameterSets> for String {
    fn from(sets: ParameterSets) -> Self {
        sets.to_string()
    }
}

impl fmt::Display for ParameterSets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, set) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(formatter, "{comma}{}", STANDARD.encode(set))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_read_and_written_and_nothing_else_is_taken() {
        let text = "Z0LAH4yNQA==,aM48gA==";
        let sets = ParameterSets::from(text);
        assert_eq!(sets.iter().map(|set| set[0] & 0x1f).collect::<Vec<_>>(), [7, 8]);
        assert_eq!(sets.to_string(), text);
        // No base64, nothing, a slice.
        for other in ["", ",", "!!!", "ZYiE", "Z0LAH4yNQA", "\u{e9}"] {
            assert!(ParameterSets::from(other).is_empty(), "{other}");
        }
        assert_eq!(ParameterSets::from("ZYiE,aM48gA==, ").to_string(), "aM48gA==");
    }

    #[test]
    fn what_a_peer_says_has_its_bounds() {
        let many = vec!["aM48gA=="; 1_000].join(",");
        assert_eq!(ParameterSets::from(many.as_str()).iter().count(), SETS_MAX);
        let large = STANDARD.encode([0x67; 3_000]);
        let sets = ParameterSets::from(format!("{large},{large},aM48gA=="));
        assert!(sets.iter().map(Bytes::len).sum::<usize>() <= BYTES_MAX);
        let huge = STANDARD.encode(vec![0x67; 100_000]);
        assert!(ParameterSets::from(huge).is_empty());
    }
}
