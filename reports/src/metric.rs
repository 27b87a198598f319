//! What was measured: one value with its unit, its good direction and how well it repeats.
//!
//! What a metric means is defined once, in [`registry`]; a [`Metric`] is made from such a
//! definition, so a name without a definition cannot occur. Names are the identifiers of the W3C's
//! webrtc-stats where one exists, in that specification's units (a delay is in seconds there).

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::number;

pub mod registry;

/// What a value counts or is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Unit {
    /// Packets of RTP.
    #[serde(rename = "packets")]
    Packets,
    /// Frames of video.
    #[serde(rename = "frames")]
    Frames,
    /// Samples of audio, per channel.
    #[serde(rename = "samples")]
    Samples,
    /// Things that happened.
    #[serde(rename = "events")]
    Events,
    /// Octets.
    #[serde(rename = "bytes")]
    Bytes,
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Nanoseconds.
    #[serde(rename = "ns")]
    Nanoseconds,
    /// Bits per second.
    #[serde(rename = "bit/s")]
    BitsPerSecond,
    /// Packets per second (of one core's time, or of the stream's).
    #[serde(rename = "packets/s")]
    PacketsPerSecond,
    /// Frames per second.
    #[serde(rename = "frames/s")]
    FramesPerSecond,
    /// Parts per million.
    #[serde(rename = "ppm")]
    PartsPerMillion,
    /// Decibels.
    #[serde(rename = "dB")]
    Decibels,
    /// Decibels relative to digital overload (RFC 6464).
    #[serde(rename = "dBov")]
    DecibelsOverload,
    /// Mean opinion score, 1 to 4.5 or 5.
    #[serde(rename = "MOS")]
    OpinionScore,
    /// A part of a whole, 0 to 1.
    #[serde(rename = "ratio")]
    Ratio,
    /// How many times as fast as real time.
    #[serde(rename = "x")]
    Times,
    /// Pixels.
    #[serde(rename = "px")]
    Pixels,
    /// A number of a scale of its own.
    #[serde(rename = "1")]
    One,
    /// Not a number: a digest, a list of digits.
    #[serde(rename = "text")]
    Text,
}

impl Unit {
    /// Every unit.
    pub const ALL: [Self; 20] = [
        Self::Packets,
        Self::Frames,
        Self::Samples,
        Self::Events,
        Self::Bytes,
        Self::Seconds,
        Self::Milliseconds,
        Self::Nanoseconds,
        Self::BitsPerSecond,
        Self::PacketsPerSecond,
        Self::FramesPerSecond,
        Self::PartsPerMillion,
        Self::Decibels,
        Self::DecibelsOverload,
        Self::OpinionScore,
        Self::Ratio,
        Self::Times,
        Self::Pixels,
        Self::One,
        Self::Text,
    ];

    /// The unit as it stands in the JSON.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Packets => "packets",
            Self::Frames => "frames",
            Self::Samples => "samples",
            Self::Events => "events",
            Self::Bytes => "bytes",
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Nanoseconds => "ns",
            Self::BitsPerSecond => "bit/s",
            Self::PacketsPerSecond => "packets/s",
            Self::FramesPerSecond => "frames/s",
            Self::PartsPerMillion => "ppm",
            Self::Decibels => "dB",
            Self::DecibelsOverload => "dBov",
            Self::OpinionScore => "MOS",
            Self::Ratio => "ratio",
            Self::Times => "x",
            Self::Pixels => "px",
            Self::One => "1",
            Self::Text => "text",
        }
    }
}

/// Which way a value should go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// More is better.
    HigherIsBetter,
    /// Less is better.
    LowerIsBetter,
    /// Neither: it describes, or any change is worth a look.
    Neutral,
}

/// Whether the same input gives the same value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeatability {
    /// The same build, seed and corpora give the same value, to the last bit.
    Exact,
    /// It depends on the machine and the moment: compare only runs made side by side.
    Noisy,
}

/// What a metric means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The identifier; the W3C's where it has one.
    pub name: Cow<'static, str>,
    /// What it is counted or measured in.
    pub unit: Unit,
    /// Which way is better.
    pub direction: Direction,
    /// How well it repeats in simulated time. A single [`Metric`] may be noisier than this.
    pub repeatability: Repeatability,
    /// How far an exact value may move, in its unit, and still count as the same. 0 is equality.
    #[serde(with = "number::json")]
    pub tolerance: f64,
    /// What it is, in a sentence or two.
    pub description: Cow<'static, str>,
    /// Where it is specified.
    pub source: Cow<'static, str>,
}

/// A value: a finite number, a text, or nothing that can be said (the mean of no packets).
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A finite number. Make it with [`Value::from`], which turns the others into `Undefined`.
    Number(Finite),
    /// A digest, or digits.
    Text(String),
    /// There was nothing to compute it from. `null` in JSON.
    Undefined,
}

/// A number that is neither infinite nor NaN, so that JSON can hold it and equality is meaningful.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Finite(f64);

impl Finite {
    /// `None` for infinities and NaN. Minus zero becomes zero.
    #[must_use]
    pub fn new(number: f64) -> Option<Self> {
        number.is_finite().then_some(Self(number + 0.0))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Value {
    /// The number, if it is one.
    #[must_use]
    pub const fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(number.get()),
            Self::Text(_) | Self::Undefined => None,
        }
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Finite::new(number).map_or(Self::Undefined, Self::Number)
    }
}

impl From<Option<f64>> for Value {
    fn from(number: Option<f64>) -> Self {
        number.map_or(Self::Undefined, Self::from)
    }
}

macro_rules! value_from_integer {
    ($($integer:ty: |$number:ident| $as_f64:expr),*) => {$(
        impl From<$integer> for Value {
            fn from($number: $integer) -> Self {
                Self::from($as_f64)
            }
        }
    )*};
}
// Counts stay far below 2^53, where an f64 stops being exact.
value_from_integer!(
    u16: |n| f64::from(n),
    u32: |n| f64::from(n),
    i32: |n| f64::from(n),
    u64: |n| n as f64,
    i64: |n| n as f64,
    usize: |n| n as f64
);

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(value) => number::json::serialize(&value.get(), serializer),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Undefined => serializer.serialize_none(),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Number(f64),
            Text(String),
            Undefined(()),
        }
        Ok(match Raw::deserialize(deserializer)? {
            Raw::Number(number) => Self::from(number),
            Raw::Text(text) => Self::Text(text),
            Raw::Undefined(()) => Self::Undefined,
        })
    }
}

/// One measured value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// The name of its definition.
    pub name: Cow<'static, str>,
    /// What tells it from others of the same name: a cause, a stream. Never a percentile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Cow<'static, str>>,
    /// The value.
    pub value: Value,
    /// What it is counted or measured in; the definition's.
    pub unit: Unit,
    /// Which way is better; the definition's.
    pub direction: Direction,
    /// How well this one repeats.
    pub repeatability: Repeatability,
}

impl Metric {
    /// A value of the defined metric.
    #[must_use]
    pub fn new(definition: &Definition, value: impl Into<Value>) -> Self {
        Self {
            name: definition.name.clone(),
            label: None,
            value: value.into(),
            unit: definition.unit,
            direction: definition.direction,
            repeatability: definition.repeatability,
        }
    }

    /// The same, told apart from others of its name by a cause or a stream.
    #[must_use]
    pub fn labelled(mut self, label: impl Into<Cow<'static, str>>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// The same, but not repeatable: it was taken in real time.
    #[must_use]
    pub const fn noisy(mut self) -> Self {
        self.repeatability = Repeatability::Noisy;
        self
    }

    /// Name and label as one word: `framesDropped{incomplete}`.
    #[must_use]
    pub fn full_name(&self) -> String {
        match &self.label {
            Some(label) => format!("{}{{{label}}}", self.name),
            None => self.name.to_string(),
        }
    }

    /// The value as people read it, with its unit: the same words in every rendering.
    #[must_use]
    pub fn shown(&self) -> String {
        number::show(&self.value, self.unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_number_is_undefined_and_null() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let value = Value::from(number);
            assert_eq!(value, Value::Undefined);
            assert_eq!(serde_json::to_string(&value).expect("a value always serializes"), "null");
        }
    }

    #[test]
    fn values_survive_their_json() {
        for value in [
            Value::from(0.1 + 0.2),
            Value::from(-0.0),
            Value::from(7_u64),
            Value::from("159D"),
            Value::Undefined,
        ] {
            let json = serde_json::to_string(&value).expect("a value always serializes");
            let again: Value = serde_json::from_str(&json).expect("our own JSON parses");
            assert_eq!(value, again, "{json}");
        }
    }

    #[test]
    fn whole_numbers_have_no_fraction_in_json() {
        let json = serde_json::to_string(&Value::from(1500.0)).expect("a value always serializes");
        assert_eq!(json, "1500");
    }
}
