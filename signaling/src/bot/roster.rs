//! Who is in a call, as the bot knows it. A roster comes whole or as what changed
//! (`deltaParticipants`); nothing documented tells an old one that comes late from a new
//! one, so where that cannot be told the bot asks the platform.

use core::hash::{Hash as _, Hasher as _};
use std::collections::{BTreeMap, VecDeque};
use std::hash::DefaultHasher;

use serde_json::Value;

use super::ActionId;
use crate::graph::{DeltaParticipants, Participant};

/// How many rosters of a call are remembered, to tell those that come twice.
const SEEN_MAX: usize = 64;

/// What a roster that came makes of the one that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the newest.
    Taken,
    /// It is known, and the newest that is.
    Known,
    /// It may be an old one, or something is missing before it: ask.
    Doubtful,
    /// It is older than what is known.
    Stale,
}

/// The roster of a call.
#[derive(Debug, Default)]
pub(super) struct Roster {
    participants: BTreeMap<String, Participant>,
    /// The number of the newest delta.
    sequence: i64,
    /// Fingerprints of the rosters that came, newest last.
    seen: VecDeque<u64>,
    /// That of the roster that stands, if it came by notification.
    standing: Option<u64>,
    /// The request that asks for the whole roster, and whether one came meanwhile.
    pub(super) asking: Option<ActionId>,
    pub(super) moved: bool,
}

impl Roster {
    pub(super) fn participants(&self) -> impl Iterator<Item = &Participant> {
        self.participants.values()
    }

    pub(super) fn whole(&self) -> Vec<Participant> {
        self.participants.values().cloned().collect()
    }

    /// What the platform answered when it was asked.
    pub(super) fn answered(&mut self, participants: Vec<Participant>) -> bool {
        let before = self.whole();
        self.participants = by_id(participants);
        self.standing = None;
        self.whole() != before
    }

    /// A roster that was notified; an error if it cannot be read.
    pub(super) fn take(&mut self, data: Value) -> Result<Verdict, serde_json::Error> {
        let mark = fingerprint(&data);
        let known = self.seen.contains(&mark);
        let verdict = match data {
            Value::Array(_) => {
                let participants: Vec<Participant> = serde_json::from_value(data)?;
                if self.standing == Some(mark) {
                    Verdict::Known
                } else if known {
                    Verdict::Doubtful
                } else {
                    self.participants = by_id(participants);
                    self.standing = Some(mark);
                    Verdict::Taken
                }
            }
            _ => self.take_delta(serde_json::from_value(data)?, known),
        };
        if !known {
            if self.seen.len() >= SEEN_MAX {
                self.seen.pop_front();
            }
            self.seen.push_back(mark);
        }
        self.moved |= verdict != Verdict::Stale;
        Ok(verdict)
    }

    fn take_delta(&mut self, delta: DeltaParticipants, known: bool) -> Verdict {
        let sequence = delta.sequence_number.map_or(0, |number| number.0);
        // Without a number it is only told from others by what it says.
        if (sequence > 0 && sequence <= self.sequence) || (sequence <= 0 && known) {
            return if sequence > 0 { Verdict::Stale } else { Verdict::Doubtful };
        }
        let gap = self.sequence > 0 && sequence > self.sequence + 1;
        self.sequence = self.sequence.max(sequence);
        for participant in delta.participants.unwrap_or_default() {
            let Some(id) = participant.id.clone() else { continue };
            let number = |p: &Participant| p.roster_sequence_number.map_or(0, |number| number.0);
            let older =
                self.participants.get(&id).is_some_and(|p| number(p) > number(&participant));
            if participant.removed_state.is_some() {
                self.participants.remove(&id);
            } else if !older {
                self.participants.insert(id, participant);
            }
        }
        if gap { Verdict::Doubtful } else { Verdict::Taken }
    }
}

fn by_id(participants: Vec<Participant>) -> BTreeMap<String, Participant> {
    participants.into_iter().filter_map(|p| Some((p.id.clone()?, p))).collect()
}

/// The same for the same JSON; not for enemies.
fn fingerprint(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.to_string().hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ids(roster: &Roster) -> Vec<&str> {
        roster.participants().filter_map(|p| p.id.as_deref()).collect()
    }

    fn take(roster: &mut Roster, data: Value) -> Verdict {
        roster.take(data).expect("it can be read")
    }

    #[test]
    fn a_whole_roster_replaces_and_a_late_copy_of_an_old_one_is_doubted() {
        let mut roster = Roster::default();
        let (one, two) = (json!([{"id": "a"}]), json!([{"id": "a"}, {"id": "b"}]));
        assert_eq!(take(&mut roster, one.clone()), Verdict::Taken);
        assert_eq!(take(&mut roster, two.clone()), Verdict::Taken);
        assert_eq!(take(&mut roster, two), Verdict::Known);
        assert_eq!(take(&mut roster, one), Verdict::Doubtful);
        assert_eq!(ids(&roster), ["a", "b"]);
        assert!(roster.take(json!([7])).is_err());
    }

    #[test]
    fn a_delta_changes_adds_and_removes_and_a_gap_is_doubted() {
        let mut roster = Roster::default();
        let delta = |number: i64, participants: Value| {
            json!({"@odata.type": "#microsoft.graph.deltaParticipants",
                   "sequenceNumber": number, "participants": participants})
        };
        let first = delta(1, json!([{"id": "a"}, {"id": "b"}]));
        assert_eq!(take(&mut roster, first.clone()), Verdict::Taken);
        let second =
            delta(2, json!([{"id": "b", "removedState": {"reason": "Removed"}}, {"id": "c"}]));
        assert_eq!(take(&mut roster, second), Verdict::Taken);
        assert_eq!(ids(&roster), ["a", "c"]);
        assert_eq!(take(&mut roster, first), Verdict::Stale);
        assert_eq!(
            take(&mut roster, delta(4, json!([{"id": "a", "isMuted": true}]))),
            Verdict::Doubtful
        );
        assert_eq!(ids(&roster), ["a", "c"]);
    }
}
