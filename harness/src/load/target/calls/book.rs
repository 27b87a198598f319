//! What is told of calls, and who waits for it: notifications and events are noted here by
//! whoever hears them, and each call reads its own.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use tokio::sync::mpsc;

/// How far a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Stage {
    /// The bot is being told of it.
    Sent,
    /// The bot has been told of it.
    Told,
    /// The bot has answered.
    Answered,
    /// It stands.
    Established,
    /// It is over.
    Ended,
}

/// Something that was told of a call.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) stage: Stage,
    pub(super) at: Instant,
    /// How it ended, where that is told.
    pub(super) why: Option<String>,
}

/// So many calls that something was told of may not be open yet. Others may use the platform as
/// well: theirs never are.
const UNOPENED_MAX: usize = 10_000;

/// The calls that somebody waits for, or will wait for.
#[derive(Default)]
pub(super) struct Book {
    calls: Mutex<Calls>,
    /// Why nothing more will be told.
    lost: Mutex<Option<String>>,
}

#[derive(Default)]
struct Calls {
    entries: HashMap<String, Entry>,
    /// Those that something was told of before they were open, in that order, and were not
    /// forgotten since.
    told: VecDeque<String>,
}

impl Calls {
    fn entry(&mut self, call: &str) -> &mut Entry {
        self.entries.entry(call.to_owned()).or_insert_with(|| {
            let (sender, receiver) = mpsc::unbounded_channel();
            Entry { sender, receiver: Some(receiver) }
        })
    }

    /// Notes that something is told of a call that is not open.
    fn await_opening(&mut self, call: &str) {
        if self.told.len() >= UNOPENED_MAX
            && let Some(oldest) = self.told.pop_front()
            && self.entries.get(&oldest).is_some_and(|entry| entry.receiver.is_some())
        {
            self.entries.remove(&oldest);
        }
        self.told.push_back(call.to_owned());
    }
}

struct Entry {
    sender: mpsc::UnboundedSender<Seen>,
    receiver: Option<mpsc::UnboundedReceiver<Seen>>,
}

impl Book {
    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().expect("nobody panics with the book in hand")
    }

    /// Something was told of a call, which may not be open yet.
    pub(super) fn note(&self, call: &str, seen: Seen) {
        let mut calls = self.calls();
        if !calls.entries.contains_key(call) {
            calls.await_opening(call);
        }
        // A call that is over is waited for by nobody.
        drop(calls.entry(call).sender.send(seen));
    }

    /// What is told of a call from now on, and was before.
    ///
    /// # Errors
    /// Its id was used before, or nothing is told any more.
    pub(super) fn open(&self, call: &str) -> Result<Course, String> {
        if let Some(why) = &*self.lost.lock().expect("nobody panics with the book in hand") {
            return Err(why.clone());
        }
        let receiver = self.calls().entry(call).receiver.take();
        let receiver = receiver.ok_or("the platform used an id twice")?;
        Ok(Course { receiver, seen: Vec::new() })
    }

    /// Nobody waits for this call any more.
    pub(super) fn close(&self, call: &str) {
        self.calls().entries.remove(call);
    }

    /// Calls under way are not told of any more: they fail.
    pub(super) fn drop_all(&self) {
        *self.calls() = Calls::default();
    }

    /// Nothing more will be told of any call.
    pub(super) fn lose(&self, why: &str) {
        *self.lost.lock().expect("nobody panics with the book in hand") = Some(why.to_owned());
        self.drop_all();
    }
}

/// What one call has come through.
pub(super) struct Course {
    receiver: mpsc::UnboundedReceiver<Seen>,
    seen: Vec<Seen>,
}

impl Course {
    /// Waits until a call has come so far.
    ///
    /// # Errors
    /// It ended before.
    pub(super) async fn until(&mut self, stage: Stage) -> Result<Instant, String> {
        loop {
            if let Some(at) = self.at(stage) {
                return Ok(at);
            }
            if let Some(end) = self.seen.iter().find(|seen| seen.stage == Stage::Ended) {
                let why = end.why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
                return Err(format!("it ended before it was {}{why}", stage.word()));
            }
            match self.receiver.recv().await {
                Some(seen) => self.seen.push(seen),
                None => return Err("what was told of it was missed".to_owned()),
            }
        }
    }

    /// When it first came so far, as far as that is known.
    pub(super) fn at(&mut self, stage: Stage) -> Option<Instant> {
        while let Ok(seen) = self.receiver.try_recv() {
            self.seen.push(seen);
        }
        self.seen.iter().find(|seen| seen.stage == stage).map(|seen| seen.at)
    }
}

impl Stage {
    const fn word(self) -> &'static str {
        match self {
            Self::Sent | Self::Told => "told",
            Self::Answered => "answered",
            Self::Established => "established",
            Self::Ended => "over",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(stage: Stage, why: Option<&str>) -> Seen {
        Seen { stage, at: Instant::now(), why: why.map(ToOwned::to_owned) }
    }

    #[tokio::test]
    async fn what_was_told_before_somebody_asks_is_kept_in_its_order() {
        let book = Book::default();
        book.note("a", seen(Stage::Sent, None));
        book.note("a", seen(Stage::Established, None));
        book.note("b", seen(Stage::Ended, Some("busy")));
        let mut course = book.open("a").expect("nobody has it");
        assert!(course.until(Stage::Established).await.is_ok());
        assert!(course.at(Stage::Sent).is_some() && course.at(Stage::Told).is_none());
        assert_eq!(book.open("a").err().as_deref(), Some("the platform used an id twice"));
        let ended = book.open("b").expect("nobody has it").until(Stage::Established).await;
        assert_eq!(ended, Err("it ended before it was established: busy".to_owned()));
    }

    #[tokio::test]
    async fn calls_of_others_are_forgotten_and_ours_are_not() {
        let book = Book::default();
        book.note("ours", seen(Stage::Sent, None));
        let mut course = book.open("ours").expect("nobody has it");
        for number in 0..3 * UNOPENED_MAX {
            book.note(&format!("theirs-{number}"), seen(Stage::Ended, None));
        }
        book.note("ours", seen(Stage::Established, None));
        assert!(course.until(Stage::Established).await.is_ok());
        let late = format!("theirs-{}", 3 * UNOPENED_MAX - 1);
        assert!(book.open(&late).expect("nobody has it").until(Stage::Ended).await.is_ok());
        assert!(book.calls().entries.len() <= UNOPENED_MAX + 1);
    }

    #[tokio::test]
    async fn what_is_missed_fails_the_calls_that_wait_and_what_is_lost_all_later_ones() {
        let book = Book::default();
        let mut course = book.open("a").expect("nobody has it");
        book.drop_all();
        assert!(course.until(Stage::Ended).await.is_err());
        assert!(book.open("b").is_ok());
        book.lose("gone");
        assert_eq!(book.open("c").err().as_deref(), Some("gone"));
    }
}
