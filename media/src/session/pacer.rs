//! When packets leave: pictures not faster than the path carries, so that a key frame does
//! not stand in front of the sound in somebody's queue. Sound never waits. Over a moment
//! packets leave at a multiple of the estimate, but never further ahead of it than
//! [`AHEAD_MAX`]; what is sent again goes first.

use core::time::Duration;
use std::collections::VecDeque;

use arrayvec::ArrayVec;
use bytes::Bytes;

use super::path::Marks;
use crate::rtp;
use crate::time::Instant;

/// Of the estimate, how fast packets leave that follow each other.
const PEAK: f64 = 2.5;

/// How much earlier than their turn packets may leave, so that not each needs a timeout.
const EARLY: Duration = Duration::from_millis(5);

/// How far what has left may be ahead of the estimate: as long a queue it can make.
const AHEAD_MAX: Duration = Duration::from_millis(40);

/// How many packets may wait: more than the frames that are let in have.
const WAITING_MAX: usize = 2_048;

/// How many packets may wait to be sent again; beyond, they are not.
const AGAIN_MAX: usize = 256;

/// Bytes of IP and UDP in front of each packet, which a path has to carry as well: of 64 kbit/s
/// those of sound alone take a sixth.
pub(super) const BELOW: usize = 28;

/// A packet that has not left.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) header: rtp::Header,
    /// What stands in front of `body` in the payload.
    pub(super) head: ArrayVec<u8, 4>,
    pub(super) body: Bytes,
    /// All of it, if it is there already.
    pub(super) whole: Option<Bytes>,
    pub(super) since: Instant,
    /// As it left before, where it has to leave in the same way.
    pub(super) before: Option<Marks>,
    /// Under which number of ours its stream is found.
    pub(super) line: usize,
}

impl Waiting {
    pub(super) fn length(&self) -> usize {
        let payload = self.head.len() + self.body.len();
        self.header.length() + payload + usize::from(self.header.padding)
    }

    /// What it takes of the path.
    pub(super) fn taken(&self) -> usize {
        self.length() + BELOW
    }
}

/// What waits, and how fast it may leave.
#[derive(Debug, Default)]
pub(super) struct Pacer {
    again: VecDeque<Waiting>,
    pictures: VecDeque<Waiting>,
    /// Of all that waits, and of what is to be sent again.
    bytes: usize,
    again_bytes: usize,
    /// Bits per second that the path is thought to carry.
    rate: u64,
    /// When all that has left has passed a path that is [`PEAK`] times as fast, and one that
    /// is as fast as the estimate.
    peak: Instant,
    mean: Instant,
}

impl Pacer {
    pub(super) const fn set_rate(&mut self, rate: u64) {
        self.rate = rate;
    }

    /// How long what is on its way and what waits takes at the estimate.
    pub(super) fn backlog(&self, now: Instant) -> Duration {
        self.mean.since(now) + self.takes(self.bytes, 1.0)
    }

    fn takes(&self, bytes: usize, speed: f64) -> Duration {
        Duration::from_secs_f64(bytes as f64 * 8.0 / (self.rate.max(1) as f64 * speed))
    }

    /// Something leaves that takes so many bytes of the path.
    pub(super) fn left(&mut self, now: Instant, bytes: usize) {
        self.peak = self.peak.max(now) + self.takes(bytes, PEAK);
        self.mean = self.mean.max(now) + self.takes(bytes, 1.0);
    }

    /// When the next one may leave.
    fn next(&self) -> Instant {
        (self.peak - EARLY).max(self.mean - AHEAD_MAX)
    }

    /// Whether a packet may leave without waiting.
    pub(super) fn is_free(&self, now: Instant) -> bool {
        self.again.is_empty() && self.pictures.is_empty() && self.next() <= now
    }

    /// Whether there is room for so many packets more.
    pub(super) fn has_room(&self, packets: usize) -> bool {
        self.pictures.len() + packets <= WAITING_MAX
    }

    pub(super) fn push(&mut self, waiting: Waiting) {
        self.bytes += waiting.taken();
        self.pictures.push_back(waiting);
    }

    /// Takes a packet to be sent again, if there is room: about when it leaves.
    pub(super) fn push_again(&mut self, now: Instant, waiting: Waiting) -> Option<Instant> {
        if self.again.len() >= AGAIN_MAX {
            return None;
        }
        self.bytes += waiting.taken();
        self.again_bytes += waiting.taken();
        self.again.push_back(waiting);
        Some(self.mean.max(now) + self.takes(self.again_bytes, 1.0))
    }

    /// The next packet, if one may leave now.
    pub(super) fn pull(&mut self, now: Instant) -> Option<Waiting> {
        if self.next() > now {
            return None;
        }
        let again = self.again.pop_front();
        self.again_bytes -= again.as_ref().map_or(0, Waiting::taken);
        let waiting = again.or_else(|| self.pictures.pop_front())?;
        self.bytes -= waiting.taken();
        Some(waiting)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let waits = !self.again.is_empty() || !self.pictures.is_empty();
        waits.then(|| self.next())
    }

    /// What waits is not sent any more.
    pub(super) fn clear(&mut self) {
        self.again.clear();
        self.pictures.clear();
        (self.bytes, self.again_bytes) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(taken: usize) -> Waiting {
        Waiting {
            header: rtp::Header::default(),
            head: ArrayVec::new(),
            body: Bytes::from(vec![0; taken - 12 - BELOW]),
            whole: None,
            since: Instant::ZERO,
            before: None,
            line: 0,
        }
    }

    /// When each packet leaves, in ms.
    fn leave(pacer: &mut Pacer, mut now: Instant) -> Vec<u64> {
        let mut left = Vec::new();
        while let Some(due) = pacer.poll_timeout() {
            now = now.max(due);
            while let Some(packet) = pacer.pull(now) {
                pacer.left(now, packet.taken());
                left.push(now.as_nanos() / 1_000_000);
            }
        }
        left
    }

    #[test]
    fn a_key_frame_leaves_at_a_multiple_of_the_estimate_and_then_as_fast_as_the_path_is() {
        let mut pacer = Pacer::default();
        pacer.set_rate(800_000);
        let now = Instant::from_millis(1_000);
        assert!(pacer.is_free(now));
        for _ in 0..40 {
            pacer.push(packet(1_000));
        }
        assert_eq!(pacer.backlog(now), Duration::from_millis(400), "each takes 10 ms");
        let left = leave(&mut pacer, now);
        assert_eq!(left.len(), 40);
        assert!(left.iter().filter(|ms| **ms <= 1_040).count() >= 6, "{left:?}");
        let ahead = |(sent, ms): (u64, &u64)| (sent + 1) * 10 - (ms - 1_000).min((sent + 1) * 10);
        assert!((0..).zip(&left).map(ahead).max() <= Some(50), "{left:?}");
        assert!(left.last() < Some(&1_400), "{left:?}");
    }

    #[test]
    fn what_is_sent_again_goes_first() {
        let mut pacer = Pacer::default();
        pacer.set_rate(80_000);
        pacer.push(packet(1_000));
        let leaves = pacer.push_again(Instant::ZERO, packet(500));
        assert_eq!(leaves, Some(Instant::from_millis(50)));
        let now = Instant::from_millis(1_000);
        assert_eq!(pacer.pull(now).map(|waiting| waiting.taken()), Some(500));
        assert_eq!(pacer.pull(now).map(|waiting| waiting.taken()), Some(1_000));
        assert_eq!((pacer.bytes, pacer.poll_timeout()), (0, None));
    }
}
