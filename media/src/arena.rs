//! Memory for what leaves: pieces of one chunk, so that there is no allocation for each.

use bytes::{Bytes, BytesMut};

/// Bytes of a chunk, unless something else is asked for.
const CHUNK: usize = 64 * 1024;

/// Memory that is cut into pieces, and used again when all of them are gone.
#[derive(Debug)]
pub(crate) struct Arena {
    memory: BytesMut,
    chunk: usize,
}

impl Default for Arena {
    fn default() -> Self {
        Self::of_chunks(CHUNK)
    }
}

impl Arena {
    /// Of chunks of so many bytes.
    pub(crate) fn of_chunks(bytes: usize) -> Self {
        Self { memory: BytesMut::new(), chunk: bytes }
    }

    /// Writes a piece of at most `length` bytes.
    pub(crate) fn write(&mut self, length: usize, write: impl FnOnce(&mut BytesMut)) -> Bytes {
        if self.memory.capacity() < length {
            self.memory.reserve(length.max(self.chunk));
        }
        write(&mut self.memory);
        self.memory.split().freeze()
    }
}
