//! Memory for what leaves: pieces of one chunk, so that there is no allocation for each.

use bytes::{Bytes, BytesMut};

/// Bytes of the first chunk, and of the largest.
const CHUNK_MIN: usize = 4 * 1024;
const CHUNK_MAX: usize = 64 * 1024;

/// Memory that is cut into pieces, and used again when all of them are gone. As long as they are
/// not, the next chunk is twice as large: what sends a little is content with little.
#[derive(Debug)]
pub(crate) struct Arena {
    memory: BytesMut,
    chunk: usize,
    most: usize,
}

impl Default for Arena {
    fn default() -> Self {
        Self { memory: BytesMut::new(), chunk: CHUNK_MIN, most: CHUNK_MAX }
    }
}

impl Arena {
    /// Of chunks of so many bytes.
    pub(crate) fn of_chunks(bytes: usize) -> Self {
        Self { memory: BytesMut::new(), chunk: bytes, most: bytes }
    }

    /// Writes a piece of at most `length` bytes.
    pub(crate) fn write(&mut self, length: usize, write: impl FnOnce(&mut BytesMut)) -> Bytes {
        if !self.memory.try_reclaim(length) {
            self.memory.reserve(length.max(self.chunk));
            self.chunk = (2 * self.chunk).min(self.most);
        }
        write(&mut self.memory);
        self.memory.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut as _;

    use super::*;

    fn write(arena: &mut Arena, length: usize) -> Bytes {
        arena.write(length, |bytes| bytes.put_bytes(7, length))
    }

    #[test]
    fn what_is_gone_leaves_its_memory_to_what_comes() {
        let mut arena = Arena::default();
        let places: Vec<_> = (0..1_000).map(|_| write(&mut arena, 170).as_ptr()).collect();
        let first = places[0];
        assert!(places.iter().all(|at| at.addr().abs_diff(first.addr()) < CHUNK_MIN));
    }

    #[test]
    fn what_stays_for_a_while_has_chunks_that_suffice_for_it() {
        let mut arena = Arena::default();
        let mut alive = std::collections::VecDeque::new();
        for number in 0..1_000 {
            alive.push_back(write(&mut arena, 1_100));
            if alive.len() > 20 {
                alive.pop_front();
            }
            // Sooner or later all of it is gone at once, as it is when everything was sent.
            if number % 20 == 0 {
                alive.clear();
            }
        }
        assert!(arena.chunk > 20 * 1_100 && arena.chunk <= CHUNK_MAX, "{}", arena.chunk);
        assert!(alive.iter().all(|piece| piece.iter().all(|byte| *byte == 7)));
        assert_eq!(write(&mut arena, 2 * CHUNK_MAX).len(), 2 * CHUNK_MAX, "larger than any chunk");
    }
}
