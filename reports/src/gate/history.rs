//! What was measured, commit by commit: one JSON object on each line of a file that only grows.
//!
//! The first line holds every value, each further one only those that changed, so the commit in
//! which a value changed is the line in which it stands. A line that cannot be read (a disk that
//! was full, a merge gone wrong) breaks the chain: what follows it, up to the next whole line, is
//! not believed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Gate, Outcome};
use crate::metric::{Repeatability, Value};
use crate::report::Report;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// When the gate decided.
    pub at: String,
    /// The commit that was measured, where it is known.
    pub commit: Option<String>,
    /// Whether the working tree had changes on top of it.
    #[serde(default)]
    pub dirty: bool,
    /// What the gate concluded.
    pub outcome: Outcome,
    /// Whether `values` are all of them, rather than those that changed.
    #[serde(default)]
    pub whole: bool,
    /// Values by name; `null` for one that is measured no more.
    pub values: BTreeMap<String, Option<Value>>,
}

/// Values by name.
pub type Values = BTreeMap<String, Value>;

/// The exact values of a report.
#[must_use]
pub fn values(report: &Report) -> Values {
    let mut values = Values::new();
    for result in &report.results {
        let key = result.key().to_string();
        values.insert(format!("verdict of {key}"), Value::from(result.verdict.word()));
        for metric in &result.metrics {
            if metric.repeatability == Repeatability::Exact {
                values.insert(format!("{} of {key}", metric.full_name()), metric.value.clone());
            }
        }
    }
    values
}

/// What a file of history says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// Its lines, those that could be read.
    pub entries: Vec<Entry>,
    /// The numbers (from 1) of those that could not.
    pub broken: Vec<usize>,
    /// The values after the last line.
    pub state: Values,
    /// Whether the last line that was read follows a whole chain.
    chained: bool,
}

impl History {
    /// Reads a file's text.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut history = Self::default();
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            match serde_json::from_str::<Entry>(line) {
                Ok(entry) if entry.whole || history.chained => history.take(entry),
                _ => {
                    history.chained = false;
                    history.broken.push(index + 1);
                }
            }
        }
        history
    }

    fn take(&mut self, entry: Entry) {
        if entry.whole {
            self.state.clear();
        }
        self.chained = true;
        for (name, value) in &entry.values {
            match value {
                Some(value) => self.state.insert(name.clone(), value.clone()),
                None => self.state.remove(name),
            };
        }
        self.entries.push(entry);
    }

    /// The line to append for what a gate concluded from these values.
    #[must_use]
    pub fn next(&self, gate: &Gate, values: &Values) -> Entry {
        let environment = &gate.candidate.environment;
        let mut entry = Entry {
            at: gate.decided_at.clone(),
            commit: environment.commit.clone(),
            dirty: environment.dirty.unwrap_or(false),
            outcome: gate.outcome,
            whole: !self.chained,
            values: BTreeMap::new(),
        };
        for (name, value) in values {
            if entry.whole || self.state.get(name) != Some(value) {
                entry.values.insert(name.clone(), Some(value.clone()));
            }
        }
        if !entry.whole {
            let gone = self.state.keys().filter(|name| !values.contains_key(*name));
            entry.values.extend(gone.map(|name| (name.clone(), None)));
        }
        entry
    }

    /// When each value changed after it was first seen: the trend, and the commits behind it.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        let mut state = Values::new();
        let mut changes = Vec::new();
        for (place, entry) in self.entries.iter().enumerate() {
            for (name, value) in &entry.values {
                let before = state.get(name);
                if before.is_some() && before != value.as_ref() {
                    changes.push(Change {
                        entry: place,
                        name: name.clone(),
                        before: before.cloned(),
                        after: value.clone(),
                    });
                }
            }
            if entry.whole {
                let gone = state.iter().filter(|(name, _)| !entry.values.contains_key(*name));
                changes.extend(gone.map(|(name, value)| Change {
                    entry: place,
                    name: name.clone(),
                    before: Some(value.clone()),
                    after: None,
                }));
                state.clear();
            }
            for (name, value) in &entry.values {
                match value {
                    Some(value) => state.insert(name.clone(), value.clone()),
                    None => state.remove(name),
                };
            }
        }
        changes
    }

    /// The values that one metric had, line by line.
    #[must_use]
    pub fn course(&self, name: &str) -> Vec<Option<Value>> {
        let mut now = None;
        self.entries
            .iter()
            .map(|entry| {
                match entry.values.get(name) {
                    Some(value) => now.clone_from(value),
                    None if entry.whole => now = None,
                    None => {}
                }
                now.clone()
            })
            .collect()
    }
}

/// A value that changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// In which line (from 0).
    pub entry: usize,
    /// Which value.
    pub name: String,
    /// What it was.
    pub before: Option<Value>,
    /// What it became; `None` if it is measured no more.
    pub after: Option<Value>,
}
