//! What change is allowed: the defaults, and what a project states in its `gate.toml`.

use serde::{Deserialize, Serialize};

/// The bounds of a gate. A key that is not known is an error, so that a bound misspelt is not a
/// bound forgotten.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    /// How many more instructions per unit are allowed, as a part of the base's.
    pub instructions: f64,
    /// How much more time between two builds is allowed, as a part of the base's: the same source
    /// built twice may differ by 2.5 % through the placement of its code alone.
    pub time: f64,
    /// A stage is clear if it is no slower than this.
    pub time_target: f64,
    /// What is allowed instead of `time` where both builds are there in many links, so that
    /// placement averages out; clear is then as much above it.
    pub time_layouts: f64,
    /// How many bytes more may stay of each unit of work.
    pub held: f64,
    /// Bounds of single metrics; the last one that matches counts.
    pub bound: Vec<Bound>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            instructions: 0.002,
            time: 0.025,
            time_target: 0.04,
            time_layouts: 0.005,
            held: 16.0,
            bound: Vec::new(),
        }
    }
}

/// The bound of what matches.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// Which metrics: a name (`mos`, `mos{0x1a2b3c4d}`, `time rtp/parse`), where `*` stands for
    /// anything.
    pub metric: String,
    /// In which results: their key as the report shows it, where `*` stands for anything; all of
    /// them without it.
    #[serde(default)]
    pub result: Option<String>,
    /// By how much it may get worse, in its own unit.
    #[serde(default)]
    pub absolute: Option<f64>,
    /// By how much it may get worse, as a part of the base's value.
    #[serde(default)]
    pub relative: Option<f64>,
    /// It may change as it likes.
    #[serde(default)]
    pub ignore: bool,
    /// Why. There is always a reason.
    pub reason: String,
}

impl Bound {
    /// Whether it is about this metric of this result: with its label, or without.
    fn is_of(&self, metric: &str, result: &str) -> bool {
        let name = metric.split('{').next().unwrap_or(metric);
        (matches(&self.metric, metric) || matches(&self.metric, name))
            && self.result.as_deref().is_none_or(|pattern| matches(pattern, result))
    }
}

/// Why bounds are none.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BoundsError {
    /// A number that allows nothing sensible.
    #[error("{key} = {value}: it must be a number from 0 to {most}")]
    Range {
        /// Where.
        key: String,
        /// What.
        value: f64,
        /// The most.
        most: f64,
    },
    /// Clear would mean less than what is allowed.
    #[error("time_target = {target} is not above time = {allowed}: nothing could be called clear")]
    Target {
        /// The target.
        target: f64,
        /// What is allowed.
        allowed: f64,
    },
    /// A bound that states nothing, or two things.
    #[error(
        "the bound of {0:?} must state one of `absolute`, `relative` and `ignore = true`, and a `reason`"
    )]
    Unclear(String),
}

impl Bounds {
    /// Whether they make sense.
    ///
    /// # Errors
    /// The first that does not.
    pub fn check(&self) -> Result<(), BoundsError> {
        let range = |key: &str, value: f64, most: f64| {
            if (0.0..=most).contains(&value) {
                return Ok(());
            }
            Err(BoundsError::Range { key: key.to_owned(), value, most })
        };
        range("instructions", self.instructions, 1.0)?;
        range("time", self.time, 1.0)?;
        range("time_target", self.time_target, 1.0)?;
        range("time_layouts", self.time_layouts, 1.0)?;
        range("held", self.held, 1e9)?;
        if self.time_target <= self.time {
            return Err(BoundsError::Target { target: self.time_target, allowed: self.time });
        }
        for bound in &self.bound {
            let stated = usize::from(bound.absolute.is_some())
                + usize::from(bound.relative.is_some())
                + usize::from(bound.ignore);
            if stated != 1 || bound.reason.trim().is_empty() || bound.metric.is_empty() {
                return Err(BoundsError::Unclear(bound.metric.clone()));
            }
            let key = format!("bound of {:?}", bound.metric);
            range(&key, bound.absolute.unwrap_or(0.0), f64::MAX)?;
            range(&key, bound.relative.unwrap_or(0.0), 1e6)?;
        }
        Ok(())
    }

    /// The bound of a metric in a result.
    #[must_use]
    pub fn of(&self, metric: &str, result: &str) -> Option<&Bound> {
        self.bound.iter().rev().find(|bound| bound.is_of(metric, result))
    }

    /// What a part of a cost metric may change, where it is stated.
    #[must_use]
    pub fn relative(&self, metric: &str) -> Option<f64> {
        let bound = self.of(metric, "")?;
        if bound.ignore { Some(f64::MAX) } else { bound.relative }
    }

    /// What a cost metric may change in its unit, where it is stated.
    #[must_use]
    pub fn absolute(&self, metric: &str) -> Option<f64> {
        let bound = self.of(metric, "")?;
        if bound.ignore { Some(f64::MAX) } else { bound.absolute }
    }

    /// Which bounds match none of these (metric, result): they were misspelt, or are stale.
    #[must_use]
    pub fn unused<'a>(&self, all: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<&Bound> {
        let mut used = vec![false; self.bound.len()];
        for (metric, result) in all {
            for (bound, used) in self.bound.iter().zip(&mut used) {
                *used |= bound.is_of(metric, result);
            }
        }
        self.bound.iter().zip(used).filter(|(_, used)| !used).map(|(bound, _)| bound).collect()
    }
}

/// Whether a text matches a pattern in which `*` stands for anything. Time is bounded by the
/// product of the lengths.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        if at < pattern.len() && pattern[at] == b'*' {
            star = Some((at, seen));
            at += 1;
        } else if at < pattern.len() && pattern[at] == text[seen] {
            at += 1;
            seen += 1;
        } else if let Some((place, from)) = star {
            star = Some((place, from + 1));
            at = place + 1;
            seen = from + 1;
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text) in [("mos", "mos"), ("*", ""), ("jitter*", "jitterMax")] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        assert!(matches("media/*[* @ wifi]", "media/audio/x [a @ wifi]"));
        for (pattern, text) in [("mos", "mosX"), ("", "a"), ("a*b", "a"), ("*x", "y")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let bad = |change: fn(&mut Bounds)| {
            let mut bounds = Bounds::default();
            change(&mut bounds);
            bounds.check().expect_err("it makes no sense").to_string()
        };
        assert!(bad(|b| b.time = f64::NAN).contains("time"));
        assert!(bad(|b| b.instructions = -0.1).contains("instructions"));
        assert!(bad(|b| b.time_layouts = f64::INFINITY).contains("time_layouts"));
        assert!(bad(|b| b.time_target = 0.01).contains("nothing could be called clear"));
        let bound = Bound { metric: "mos".into(), ..Bound::default() };
        let mut bounds = Bounds { bound: vec![bound], ..Bounds::default() };
        assert!(bounds.check().is_err(), "it states nothing");
        bounds.bound[0].absolute = Some(0.01);
        assert!(bounds.check().is_err(), "there is no reason");
        bounds.bound[0].reason = "rounding".into();
        assert_eq!(bounds.check(), Ok(()));
    }
}
