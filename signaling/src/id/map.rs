//! A map by numbers that this platform gives out itself: ids, which are random, and ports.
//! Nobody outside chooses them (the ids that a bot knows are its service's, which it trusts), so
//! that hashing need not defend itself, and packets look their leg up several times each.

use core::hash::{BuildHasherDefault, Hash, Hasher};

/// A map by numbers of our own. Its order is nobody's business, and nobody can see it: the
/// same seed has to give the same bytes.
#[derive(Clone, Debug)]
#[expect(clippy::disallowed_types, reason = "it cannot be gone through in an order")]
pub(crate) struct IdMap<K, V>(std::collections::HashMap<K, V, BuildHasherDefault<Mix>>);

impl<K, V> Default for IdMap<K, V> {
    fn default() -> Self {
        Self(Default::default())
    }
}

impl<K: Eq + Hash, V> IdMap<K, V> {
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.0.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.0.get_mut(key)
    }

    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.0.contains_key(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.0.insert(key, value)
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.0.remove(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many values are like this.
    pub(crate) fn count(&self, like: impl Fn(&V) -> bool) -> usize {
        self.0.values().filter(|value| like(value)).count()
    }
}

/// Spreads a number over 64 bits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mix(u64);

/// 2^64 divided by the golden ratio: neighbours end up far apart.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u16(&mut self, number: u16) {
        self.write_u64(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    /// What tells the variants of an enumeration apart comes as such.
    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_u64(&mut self, number: u64) {
        // Both ends of the number matter to the map: its bits of tags, and of places.
        let product = u128::from(self.0 ^ number) * u128::from(SPREAD);
        self.0 = product as u64 ^ (product >> 64) as u64;
    }

    fn write_u128(&mut self, number: u128) {
        self.write_u64(number as u64 ^ (number >> 64) as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_and_multiples_do_not_meet() {
        for step in [1_u64, 2, 64, 1 << 32] {
            let mut low: Vec<u64> = (0..4_096)
                .map(|index| {
                    let mut mix = Mix::default();
                    mix.write_u64(index * step);
                    mix.finish() & 0xffff
                })
                .collect();
            low.sort_unstable();
            low.dedup();
            // Thrown at random, 4,096 numbers leave about 3,970 places of 65,536.
            assert!(low.len() > 3_800, "{} of steps of {step}", low.len());
        }
    }
}
