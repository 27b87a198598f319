//! Timers: at most one per key, the earliest known at once. Setting one again replaces
//! it, so a machine never has to remember what it set before.

use std::collections::{BTreeMap, BTreeSet};

use callrig_media::time::Instant;

/// Moments by key.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    queue: BTreeSet<(Instant, K)>,
    by_key: BTreeMap<K, Instant>,
}

impl<K: Copy + Ord> Default for Timers<K> {
    fn default() -> Self {
        Self { queue: BTreeSet::new(), by_key: BTreeMap::new() }
    }
}

impl<K: Copy + Ord> Timers<K> {
    /// The key's moment is this one from now on.
    pub(crate) fn set(&mut self, key: K, at: Instant) {
        // Media says its moment after every packet, and it seldom is another one.
        if self.by_key.get(&key) == Some(&at) {
            return;
        }
        self.cancel(key);
        self.queue.insert((at, key));
        self.by_key.insert(key, at);
    }

    /// The key's moment, if there is one, from now on; none otherwise.
    pub(crate) fn set_or_cancel(&mut self, key: K, at: Option<Instant>) {
        match at {
            Some(at) => self.set(key, at),
            None => self.cancel(key),
        }
    }

    /// The key has no moment.
    pub(crate) fn cancel(&mut self, key: K) {
        if let Some(at) = self.by_key.remove(&key) {
            self.queue.remove(&(at, key));
        }
    }

    /// The earliest moment.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// The earliest key whose moment has come; it has none afterwards.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        let &(at, key) = self.queue.first()?;
        if at > now {
            return None;
        }
        self.cancel(key);
        Some(key)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_set_again_fires_once_at_its_new_moment() {
        let mut timers = Timers::default();
        timers.set('a', Instant::from_millis(10));
        timers.set('b', Instant::from_millis(20));
        timers.set('a', Instant::from_millis(30));
        assert_eq!(timers.next(), Some(Instant::from_millis(20)));
        assert_eq!(timers.pop_due(Instant::from_millis(25)), Some('b'));
        assert_eq!(timers.pop_due(Instant::from_millis(25)), None);
        timers.set_or_cancel('a', None);
        assert_eq!((timers.next(), timers.len()), (None, 0));
    }
}
