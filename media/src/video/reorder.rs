//! Packets that wait for one that should have come before them. Only order is decided here:
//! how long to wait, and what a gap means for a picture, is decided by the owner.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::time::Instant;

/// How many sequence numbers back a repeated packet is told from a late one.
const HISTORY_PACKETS: usize = 2_048;
const HISTORY_WORDS: usize = HISTORY_PACKETS / 64;

/// What is kept of a packet while it waits.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) payload: Bytes,
    pub(crate) arrived: Instant,
}

/// Where a packet stands in the order of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// So many behind the one whose turn it is; 0 is that one.
    Ahead(u64),
    /// It waits already, or had its turn.
    Duplicate,
    /// Its turn has passed without it.
    Late,
}

/// The packets of one stream that cannot have their turn yet.
#[derive(Debug)]
pub(crate) struct Window {
    /// Whose turn it is.
    next: u64,
    /// Entry `i` is the packet `next + i`; when there is any, the first is missing, but for
    /// the time before the stream has begun, and the last is not.
    queue: VecDeque<Option<Pending>>,
    waiting: usize,
    /// When the first of the waiting packets came.
    since: Option<Instant>,
    /// Which of the packets before `next` came, one bit each.
    history: [u64; HISTORY_WORDS],
}

impl Window {
    pub(crate) fn new() -> Self {
        Self {
            next: 0,
            queue: VecDeque::new(),
            waiting: 0,
            since: None,
            history: [0; HISTORY_WORDS],
        }
    }

    /// Whose turn it is.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// How many packets wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// When the first of the waiting packets came.
    pub(crate) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// The packets that wait, with holes for those that are missing.
    pub(crate) fn queue(&self) -> &VecDeque<Option<Pending>> {
        &self.queue
    }

    #[inline]
    pub(crate) fn place(&self, sequence: u64) -> Place {
        match sequence.checked_sub(self.next) {
            Some(ahead) => {
                let at = usize::try_from(ahead).ok();
                match at.and_then(|at| self.queue.get(at)) {
                    Some(Some(_)) => Place::Duplicate,
                    _ => Place::Ahead(ahead),
                }
            }
            None if self.came(sequence) => Place::Duplicate,
            None => Place::Late,
        }
    }

    /// The packet whose turn it is had it without waiting.
    #[inline]
    pub(crate) fn pass(&mut self) {
        self.remember(self.next, true);
        self.next += 1;
        if !self.queue.is_empty() {
            self.queue.pop_front();
            if self.waiting == 0 {
                self.queue.clear();
            }
        }
    }

    /// Lets a packet wait. The owner sees to it that it is not far ahead.
    pub(crate) fn wait(&mut self, ahead: usize, pending: Pending) {
        self.since.get_or_insert(pending.arrived);
        if ahead >= self.queue.len() {
            self.queue.resize_with(ahead + 1, || None);
        }
        debug_assert!(self.queue[ahead].is_none(), "duplicates do not wait");
        self.queue[ahead] = Some(pending);
        self.waiting += 1;
    }

    /// Before the stream has begun: takes the turn back to an earlier packet.
    pub(crate) fn begin_earlier(&mut self, sequence: u64) {
        while self.next > sequence {
            self.queue.push_front(None);
            self.next -= 1;
        }
    }

    /// The packet whose turn it is, if it waits here.
    pub(crate) fn take(&mut self) -> Option<(u64, Pending)> {
        let pending = self.queue.front_mut()?.take()?;
        self.waiting -= 1;
        let sequence = self.next;
        self.pass();
        if self.waiting == 0 {
            self.since = None;
        }
        Some((sequence, pending))
    }

    /// To be called once [`Self::take`] has nothing more: those that still wait do so for
    /// another packet now.
    pub(crate) fn settle(&mut self) {
        self.since = self.queue.iter().flatten().map(|pending| pending.arrived).min();
    }

    /// Gives up on the missing packets in front of the first that waits; returns how many.
    pub(crate) fn give_up(&mut self) -> u64 {
        let mut missing = 0;
        while let Some(None) = self.queue.front() {
            self.queue.pop_front();
            self.remember(self.next, false);
            self.next += 1;
            missing += 1;
        }
        missing
    }

    /// Gives up on everything before a packet, when none waits; returns how many.
    pub(crate) fn jump(&mut self, sequence: u64) -> u64 {
        debug_assert_eq!(self.waiting, 0, "waiting packets have their turn first");
        let missing = sequence - self.next;
        if missing >= HISTORY_PACKETS as u64 {
            self.history = [0; HISTORY_WORDS];
        } else {
            (self.next..sequence).for_each(|skipped| self.remember(skipped, false));
        }
        self.next = sequence;
        missing
    }

    /// The first packet ever.
    pub(crate) fn set_first(&mut self, sequence: u64) {
        self.next = sequence;
    }

    fn came(&self, sequence: u64) -> bool {
        let (word, bit) = history_place(sequence);
        self.next - sequence <= HISTORY_PACKETS as u64 && self.history[word] & bit != 0
    }

    #[inline]
    fn remember(&mut self, sequence: u64, came: bool) {
        let (word, bit) = history_place(sequence);
        if came {
            self.history[word] |= bit;
        } else {
            self.history[word] &= !bit;
        }
    }
}

#[inline]
fn history_place(sequence: u64) -> (usize, u64) {
    let at = (sequence % HISTORY_PACKETS as u64) as usize;
    (at / 64, 1 << (at % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(millis: u64) -> Pending {
        let arrived = Instant::from_millis(millis);
        Pending { timestamp: 0, marker: false, payload: Bytes::new(), arrived }
    }

    #[test]
    fn packets_come_out_in_order_once_the_missing_one_has_come() {
        let mut window = Window::new();
        window.set_first(10);
        window.wait(2, pending(1));
        window.wait(1, pending(2));
        assert!(window.take().is_none());
        assert_eq!(window.since(), Some(Instant::from_millis(1)));
        window.pass();
        let order: Vec<u64> = core::iter::from_fn(|| window.take()).map(|taken| taken.0).collect();
        assert_eq!((order, window.waiting(), window.since()), (vec![11, 12], 0, None));
    }

    #[test]
    fn a_repeated_packet_is_told_from_a_late_one() {
        let mut window = Window::new();
        window.set_first(5);
        window.pass();
        window.wait(1, pending(0));
        assert_eq!(window.place(5), Place::Duplicate);
        assert_eq!(window.place(7), Place::Duplicate);
        assert_eq!(window.give_up(), 1);
        assert_eq!(window.place(6), Place::Late);
        assert_eq!(window.place(4), Place::Late);
        assert_eq!(window.place(9), Place::Ahead(2));
    }

    #[test]
    fn a_long_jump_forgets_who_came() {
        let mut window = Window::new();
        window.set_first(0);
        window.pass();
        assert_eq!(window.jump(HISTORY_PACKETS as u64 * 3), HISTORY_PACKETS as u64 * 3 - 1);
        assert_eq!(window.place(HISTORY_PACKETS as u64 * 2), Place::Late);
        assert_eq!(window.place(0), Place::Late);
    }
}
