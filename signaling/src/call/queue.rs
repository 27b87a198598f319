//! What a service-hosted call plays and records, one thing after the other: the queue
//! that `cancelMediaProcessing` empties and that `bargeInAllowed` jumps. Tones of
//! `sendDtmfTones` wait in it as well.

use core::time::Duration;
use std::collections::VecDeque;

use callrig_media::recorder;

use crate::graph::Tone;
use crate::id::OperationId;

/// How many prompts one request may name.
pub const PROMPTS_MAX: usize = 20;

/// How many tones one request may press (ours: no document gives a limit).
pub const TONES_MAX: usize = 64;

/// A file to be played: the key under which it is kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PromptKey(pub(crate) String);

/// What an entry of the queue does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Plays these, in order.
    Play { prompts: Vec<PromptKey>, repeat: bool },
    /// Plays these, then records.
    Record { prompts: Vec<PromptKey>, rules: recorder::Config },
    /// Presses these keys.
    Tones { tones: Vec<Tone>, pause: Duration },
}

impl Work {
    /// The files it needs before it can begin.
    pub(crate) fn prompts(&self) -> &[PromptKey] {
        match self {
            Self::Play { prompts, .. } | Self::Record { prompts, .. } => prompts,
            Self::Tones { .. } => &[],
        }
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) operation: OperationId,
    pub(crate) work: Work,
}

/// The queue; its first entry is the one that goes on, once `begun`.
#[derive(Debug, Default)]
pub(crate) struct MediaQueue {
    entries: VecDeque<Entry>,
    begun: bool,
}

impl MediaQueue {
    /// Takes an entry in, at the end.
    pub(crate) fn push(&mut self, entry: Entry) {
        self.entries.push_back(entry);
    }

    /// The first entry, if it has not begun yet.
    pub(crate) fn waiting(&self) -> Option<&Entry> {
        self.entries.front().filter(|_| !self.begun)
    }

    /// The entry that goes on.
    pub(crate) fn current(&self) -> Option<&Entry> {
        self.entries.front().filter(|_| self.begun)
    }

    /// The first entry has begun.
    pub(crate) fn begin(&mut self) {
        self.begun = !self.entries.is_empty();
    }

    /// Takes an entry out, wherever it stands; says whether it had begun.
    pub(crate) fn remove(&mut self, operation: OperationId) -> Option<bool> {
        let index = self.entries.iter().position(|e| e.operation == operation)?;
        self.entries.remove(index);
        let had_begun = index == 0 && self.begun;
        if had_begun {
            self.begun = false;
        }
        Some(had_begun)
    }

    /// The next tone to press of the entry that goes on, and the pause after it.
    pub(crate) fn take_tone(&mut self, operation: OperationId) -> Option<(Tone, Duration)> {
        let entry = self.entries.front_mut().filter(|e| e.operation == operation)?;
        match &mut entry.work {
            Work::Tones { tones, pause } if !tones.is_empty() => Some((tones.remove(0), *pause)),
            _ => None,
        }
    }

    /// Every operation in it, first to last.
    pub(crate) fn operations(&self) -> Vec<OperationId> {
        self.entries.iter().map(|e| e.operation).collect()
    }

    /// Those entries that need this file.
    pub(crate) fn needing(&self, key: &PromptKey) -> Vec<OperationId> {
        self.entries
            .iter()
            .filter(|e| e.work.prompts().contains(key))
            .map(|e| e.operation)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u128) -> Entry {
        let work = Work::Play { prompts: vec![PromptKey("a".into())], repeat: false };
        Entry { operation: OperationId::from_u128(id), work }
    }

    #[test]
    fn entries_go_on_one_at_a_time_and_in_order() {
        let mut queue = MediaQueue::default();
        queue.push(entry(1));
        queue.push(entry(2));
        assert_eq!(queue.waiting(), Some(&entry(1)));
        queue.begin();
        assert_eq!((queue.waiting(), queue.current()), (None, Some(&entry(1))));
        assert_eq!(queue.remove(OperationId::from_u128(1)), Some(true));
        assert_eq!(queue.waiting(), Some(&entry(2)));
        assert_eq!(queue.remove(OperationId::from_u128(9)), None);
        assert_eq!(queue.needing(&PromptKey("a".into())).len(), 1);
    }
}
