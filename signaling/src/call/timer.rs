//! Timers: at most one per key, the earliest known at once. Setting one again replaces
//! it, so a machine never has to remember what it set before.

use core::cmp::Reverse;
use core::hash::Hash;
use std::collections::BinaryHeap;

use callrig_media::time::Instant;

use crate::id::IdMap;

/// How many forgotten moments may be left in the queue besides as many as are meant.
const FORGOTTEN_MAX: usize = 64;

/// Moments by key.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    /// All moments, and some that are forgotten: of a key that has another one by now, or
    /// none. The first is always meant.
    queue: BinaryHeap<Reverse<(Instant, K)>>,
    by_key: IdMap<K, Instant>,
}

impl<K: Copy + Ord + Hash> Default for Timers<K> {
    fn default() -> Self {
        Self { queue: BinaryHeap::new(), by_key: IdMap::default() }
    }
}

impl<K: Copy + Ord + Hash> Timers<K> {
    /// The key's moment is this one from now on.
    pub(crate) fn set(&mut self, key: K, at: Instant) {
        let before = self.by_key.insert(key, at);
        // Media says its moment after every packet, and it seldom is another one.
        if before == Some(at) {
            return;
        }
        self.queue.push(Reverse((at, key)));
        if let Some(before) = before {
            self.forget(key, before);
        }
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
        if let Some(before) = self.by_key.remove(&key) {
            self.forget(key, before);
        }
    }

    /// The earliest moment.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse((at, _))| *at)
    }

    /// The earliest key whose moment has come; it has none afterwards.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        let &Reverse((at, key)) = self.queue.peek()?;
        if at > now {
            return None;
        }
        self.by_key.remove(&key);
        self.forget(key, at);
        Some(key)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// A key is not meant any more at this moment.
    fn forget(&mut self, key: K, at: Instant) {
        if self.queue.peek() == Some(&Reverse((at, key))) {
            self.tidy();
        }
        if self.queue.len() > 2 * self.by_key.len() + FORGOTTEN_MAX {
            let mut queue = core::mem::take(&mut self.queue).into_vec();
            queue.retain(|Reverse((at, key))| self.by_key.get(key) == Some(at));
            queue.sort_unstable();
            queue.dedup();
            self.queue = queue.into();
        }
    }

    /// Puts a moment first that is meant.
    fn tidy(&mut self) {
        while let Some(Reverse((at, key))) = self.queue.peek()
            && self.by_key.get(key) != Some(at)
        {
            self.queue.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn the_earliest_is_known_whatever_was_set_and_taken_back(
            steps in proptest::collection::vec((0..6_u8, 0..40_u64, 0..8_u8), 0..400)
        ) {
            let mut timers = Timers::default();
            let mut plain: BTreeMap<u8, Instant> = BTreeMap::new();
            for (key, millis, what) in steps {
                let at = Instant::from_millis(millis);
                match what {
                    0 => {
                        timers.cancel(key);
                        plain.remove(&key);
                    }
                    1 => {
                        let due = plain.iter().map(|(key, at)| (*at, *key)).min();
                        let due = due.filter(|(due, _)| *due <= at).map(|(_, key)| key);
                        prop_assert_eq!(timers.pop_due(at), due);
                        plain.retain(|key, _| Some(*key) != due);
                    }
                    _ => {
                        timers.set(key, at);
                        plain.insert(key, at);
                    }
                }
                prop_assert_eq!(timers.next(), plain.values().min().copied());
                prop_assert_eq!(timers.len(), plain.len());
                prop_assert!(timers.queue.len() <= 2 * plain.len() + FORGOTTEN_MAX);
            }
        }
    }
}
