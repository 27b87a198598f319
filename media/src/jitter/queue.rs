//! Where packets wait: ordered by extended sequence number, looked up by it, bounded by
//! [`PACKETS_MAX`] and, once warm, without allocating. Kept apart from the playout's
//! policy: it knows nothing of time.

use bytes::Bytes;

use super::playout::PACKETS_MAX;
use crate::description::Codec;
use crate::time::Instant;

/// A packet that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// Its place among all, and the number it came with.
    pub(super) sequence: u64,
    pub(super) number: u64,
    /// Its place on the stream's own timeline, in ticks of 1/48000 s.
    pub(super) media: i64,
    /// How long it lasts, in the same ticks.
    pub(super) ticks: i64,
    /// How long the error correction in it reaches back, in the same ticks; 0 if there is
    /// none.
    pub(super) reach: i64,
    /// Whether its sender begins or goes on with a pause.
    pub(super) pause: bool,
    /// How loud its header says that it is, in −dBov.
    pub(super) level: Option<u8>,
    pub(super) timestamp: u32,
    pub(super) arrived: Instant,
    pub(super) codec: Codec,
    pub(super) payload: Bytes,
}

impl Waiting {
    pub(super) const fn end(&self) -> i64 {
        self.media + self.ticks
    }
}

/// One bit for each sequence number modulo [`PACKETS_MAX`].
#[derive(Clone, Copy, Debug, Default)]
struct Ring([u64; PACKETS_MAX / 64]);

impl Ring {
    const fn word(sequence: u64) -> (usize, u64) {
        let position = sequence as usize % PACKETS_MAX;
        (position / 64, 1 << (position % 64))
    }

    const fn set(&mut self, sequence: u64) {
        let (word, bit) = Self::word(sequence);
        self.0[word] |= bit;
    }

    const fn clear(&mut self, sequence: u64) {
        let (word, bit) = Self::word(sequence);
        self.0[word] &= !bit;
    }

    const fn contains(&self, sequence: u64) -> bool {
        let (word, bit) = Self::word(sequence);
        self.0[word] & bit != 0
    }

    /// The first one set from `sequence` on.
    fn first_from(&self, sequence: u64) -> Option<u64> {
        let start = sequence as usize % PACKETS_MAX;
        let words = self.0.len();
        for step in 0..=words {
            let index = (start / 64 + step) % words;
            let mut word = self.0[index];
            if step == 0 {
                word &= u64::MAX << (start % 64);
            } else if step == words {
                word &= !(u64::MAX << (start % 64));
            }
            if word != 0 {
                let position = index * 64 + word.trailing_zeros() as usize;
                return Some(sequence + ((position + PACKETS_MAX - start) % PACKETS_MAX) as u64);
            }
        }
        None
    }
}

/// The packets that wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Nothing before this is taken any more.
    next: u64,
    /// Packets in places that are used again last in, first out, so that few stay warm.
    places: Vec<Option<Waiting>>,
    free: Vec<u8>,
    /// Which place, by sequence number.
    place_of: Option<Box<[u8; PACKETS_MAX]>>,
    occupied: Ring,
    /// Numbers that were used for something else than sound.
    skipped: Ring,
    count: usize,
    /// Where the packet with the highest number ends, in ticks.
    end: i64,
    highest: u64,
}

impl Queue {
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    pub(super) const fn len(&self) -> usize {
        self.count
    }

    /// Whether a packet with this number, not before [`next`](Self::next), has a place.
    pub(super) const fn reaches(&self, sequence: u64) -> bool {
        sequence - self.next < PACKETS_MAX as u64
    }

    /// Whether this one waits.
    pub(super) const fn contains(&self, sequence: u64) -> bool {
        sequence >= self.next && self.reaches(sequence) && self.occupied.contains(sequence)
    }

    /// Takes a packet that [`reaches`](Self::reaches) and is not here yet.
    #[inline]
    pub(super) fn push(&mut self, packet: Waiting) {
        debug_assert!(self.reaches(packet.sequence) && !self.occupied.contains(packet.sequence));
        let sequence = packet.sequence;
        if self.count == 0 || sequence > self.highest {
            (self.highest, self.end) = (sequence, packet.end());
        }
        let place = match self.free.pop() {
            Some(place) => {
                self.places[usize::from(place)] = Some(packet);
                place
            }
            None => {
                self.places.push(Some(packet));
                (self.places.len() - 1) as u8
            }
        };
        let place_of = self.place_of.get_or_insert_with(|| Box::new([0; PACKETS_MAX]));
        place_of[sequence as usize % PACKETS_MAX] = place;
        self.occupied.set(sequence);
        self.count += 1;
    }

    /// Notes that this number was used for something else than sound.
    pub(super) fn skip(&mut self, sequence: u64) {
        if sequence >= self.next && self.reaches(sequence) {
            self.skipped.set(sequence);
        }
    }

    /// The first packet.
    #[inline]
    pub(super) fn front(&self) -> Option<&Waiting> {
        if self.count == 0 {
            return None;
        }
        self.places[self.place(self.occupied.first_from(self.next)?)].as_ref()
    }

    /// From the beginning of the first packet to the end of the last one pushed, in ticks.
    #[inline]
    pub(super) fn span(&self) -> i64 {
        self.front().map_or(0, |front| self.end - front.media)
    }

    /// Takes the first packet out; nothing up to it is taken in any more.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        if self.count == 0 {
            return None;
        }
        let sequence = self.occupied.first_from(self.next)?;
        let place = self.place(sequence);
        let packet = self.places[place].take();
        self.free.push(place as u8);
        self.occupied.clear(sequence);
        self.count -= 1;
        self.advance(sequence.saturating_add(1));
        packet
    }

    /// Takes nothing before `next` any more. None of what waits is before it.
    pub(super) fn advance(&mut self, next: u64) {
        if next.saturating_sub(self.next) >= PACKETS_MAX as u64 {
            self.skipped = Ring::default();
        } else {
            for sequence in self.next..next {
                self.skipped.clear(sequence);
            }
        }
        self.next = self.next.max(next);
    }

    /// Forgets the order of numbers, once nothing waits.
    pub(super) fn restart(&mut self, next: u64) {
        debug_assert_eq!(self.count, 0, "nothing waits");
        self.next = next;
        self.skipped = Ring::default();
    }

    /// Whether every number before the first packet is accounted for: what is missing
    /// there was never sent.
    pub(super) fn is_unbroken(&self) -> bool {
        let Some(front) = self.front() else {
            return false;
        };
        (self.next..front.sequence).all(|sequence| self.skipped.contains(sequence))
    }

    /// Whether the next number was used for something else than sound.
    pub(super) const fn is_next_skipped(&self) -> bool {
        self.skipped.contains(self.next)
    }

    fn place(&self, sequence: u64) -> usize {
        let place_of = self.place_of.as_ref().expect("made with the first packet");
        usize::from(place_of[sequence as usize % PACKETS_MAX])
    }
}

/// A step this far ahead is no gap: the sender began to count anew.
const RESTART: u64 = 1 << 15;

/// Numbers left free between two runs, for what is still under way of the one before.
const BETWEEN_RUNS: u64 = 16;

/// Lets a sender's runs of sequence numbers follow each other closely, so that one that
/// begins anew far ahead fits the queue behind what still waits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Runs {
    /// What is taken from the numbers of this run and of the one before.
    shifts: [u64; 2],
    /// Where this run begins.
    start: u64,
    /// The highest number so far.
    highest: Option<u64>,
}

impl Runs {
    /// The place of this number among all, and the numbers just before it that nobody
    /// will send, if it begins a new run.
    #[inline]
    pub(super) fn place(&mut self, sequence: u64) -> (u64, core::ops::Range<u64>) {
        let highest = *self.highest.get_or_insert(sequence);
        if sequence > highest && sequence - highest >= RESTART {
            let last = self.known(highest);
            let place = last + 1 + BETWEEN_RUNS;
            self.shifts = [sequence - place, self.shifts[0]];
            // The first packets of the run may come in any order.
            self.start = sequence - BETWEEN_RUNS;
            self.highest = Some(sequence);
            return (place, last + 1..place);
        }
        self.highest = Some(highest.max(sequence));
        (self.known(sequence), 0..0)
    }

    /// The place of a number that begins no run.
    pub(super) const fn known(&self, sequence: u64) -> u64 {
        let shift = if sequence >= self.start { self.shifts[0] } else { self.shifts[1] };
        sequence.saturating_sub(shift)
    }
}

/// How far back it is known which packets came.
const SEEN: u64 = 512;

/// Which of the last [`SEEN`] sequence numbers came already.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    bits: [u64; SEEN as usize / 64],
    /// One more than the highest number.
    end: u64,
}

impl Seen {
    pub(super) const fn is_empty(&self) -> bool {
        self.end == 0
    }

    /// Notes that this one came; whether it had come before. What is too old to be known
    /// had not.
    #[inline]
    pub(super) fn insert(&mut self, sequence: u64) -> bool {
        if sequence >= self.end {
            let passed = (sequence - self.end).min(SEEN);
            for ahead in 0..passed {
                let (word, bit) = Self::word(sequence - 1 - ahead);
                self.bits[word] &= !bit;
            }
            self.end = sequence.saturating_add(1);
            let (word, bit) = Self::word(sequence);
            self.bits[word] |= bit;
            return false;
        }
        if self.end - sequence > SEEN {
            return false;
        }
        let (word, bit) = Self::word(sequence);
        let before = self.bits[word] & bit != 0;
        self.bits[word] |= bit;
        before
    }

    const fn word(sequence: u64) -> (usize, u64) {
        let position = (sequence % SEEN) as usize;
        (position / 64, 1 << (position % 64))
    }
}
