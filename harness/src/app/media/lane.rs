//! A queue between a socket and the desk, with a maximum. What comes from outside never waits:
//! it displaces what has waited longest, for in a call the newest matters. What a bot sends
//! waits for room, so that a file is played as fast as it is heard.

use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A queue with one reader and one writer.
pub(super) struct Lane<T> {
    inner: Mutex<Inner<T>>,
    filled: Notify,
    emptied: Notify,
    max: usize,
    dropped: AtomicU64,
}

struct Inner<T> {
    queue: VecDeque<T>,
    closed: bool,
}

impl<T> Lane<T> {
    pub(super) fn new(max: usize) -> Self {
        let inner = Inner { queue: VecDeque::with_capacity(max.min(64)), closed: false };
        Self {
            inner: Mutex::new(inner),
            filled: Notify::new(),
            emptied: Notify::new(),
            max,
            dropped: AtomicU64::new(0),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something in; whether something else had to go.
    pub(super) fn offer(&self, item: T) -> bool {
        let mut inner = self.inner();
        if inner.closed {
            return false;
        }
        let full = inner.queue.len() >= self.max;
        if full {
            inner.queue.pop_front();
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        inner.queue.push_back(item);
        drop(inner);
        self.filled.notify_one();
        full
    }

    /// Puts something in once there is room; whether that came about.
    pub(super) async fn push(&self, item: T) -> bool {
        let mut item = Some(item);
        loop {
            {
                let mut inner = self.inner();
                if inner.closed {
                    return false;
                }
                if inner.queue.len() < self.max
                    && let Some(item) = item.take()
                {
                    inner.queue.push_back(item);
                    drop(inner);
                    self.filled.notify_one();
                    return true;
                }
            }
            self.emptied.notified().await;
        }
    }

    /// Takes out what has waited longest.
    pub(super) fn try_pop(&self) -> Option<T> {
        let item = self.inner().queue.pop_front();
        if item.is_some() {
            self.emptied.notify_one();
        }
        item
    }

    /// Looks at what has waited longest.
    pub(super) fn first<R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        self.inner().queue.front().map(look)
    }

    /// Waits for something; `None` once nothing will come any more.
    pub(super) async fn pop(&self) -> Option<T> {
        loop {
            {
                let mut inner = self.inner();
                if let Some(item) = inner.queue.pop_front() {
                    drop(inner);
                    self.emptied.notify_one();
                    return Some(item);
                }
                if inner.closed {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }

    /// Throws away everything that waits.
    pub(super) fn clear(&self) {
        self.inner().queue.clear();
        self.emptied.notify_one();
    }

    /// Takes nothing any more; what waits can still be taken out.
    pub(super) fn close(&self) {
        self.inner().closed = true;
        self.filled.notify_one();
        self.emptied.notify_one();
    }

    /// How much was displaced so far.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_displaces_the_oldest_and_that_is_counted() {
        let lane = Lane::new(2);
        assert!(!lane.offer(1));
        assert!(!lane.offer(2));
        assert!(lane.offer(3));
        assert_eq!((lane.try_pop(), lane.try_pop(), lane.try_pop()), (Some(2), Some(3), None));
        assert_eq!(lane.dropped(), 1);
    }

    #[tokio::test]
    async fn a_writer_waits_for_room_and_is_let_go_at_the_end() {
        let lane = std::sync::Arc::new(Lane::new(1));
        assert!(lane.push(1).await);
        let other = std::sync::Arc::clone(&lane);
        let second = tokio::spawn(async move { (other.push(2).await, other.push(3).await) });
        assert_eq!(lane.pop().await, Some(1));
        tokio::task::yield_now().await;
        lane.close();
        assert_eq!(second.await.expect("it does not panic"), (true, false));
        assert_eq!((lane.pop().await, lane.pop().await), (Some(2), None));
    }
}
