//! One actor, its sockets and its timers, and whoever works for it. Others reach it through
//! a bounded inbox; who finds it full is told so and tries again later.
//!
//! A thread sleeps in the sockets, for datagrams and the actor's own deadline. What is put
//! into the inbox is done by whoever puts it there, if nobody is at work at that moment, and
//! else by whoever is: two changes of threads would cost a request more than its answer does.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering, fence};
use core::time::Duration;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, JoinHandle};

use callrig_media::time::Instant;
use callrig_signaling::http::{Failure, Request, Response};
use mio::Waker;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use super::Time;
use super::sockets::{Sleeper, Sockets};
use crate::actor::{Actor, Output};
use crate::drive::Stopwatch;

use self::work::{Work, Worker};

mod work;

/// How much may wait in an inbox.
pub const INBOX_MAX: usize = 16_384;
/// How often somebody with an own thing to do takes a turn for others as well, before the
/// thread has to see to it.
const COURTESIES: usize = 4;

/// A thing to do with an actor, on its thread.
pub type Command<A> = Box<dyn FnOnce(&mut Inside<'_, A>) + Send>;

/// What a command finds on the thread.
pub struct Inside<'a, A> {
    /// The actor.
    pub actor: &'a mut A,
    /// Its sockets.
    pub sockets: &'a mut Sockets,
    /// What its steps cost so far.
    pub cost: &'a Stopwatch,
    /// Now.
    pub now: Instant,
}

/// What becomes of what an actor does, beside datagrams and responses.
pub trait Hands<A>: Send {
    /// Does it. Whether the actor was touched, so that it may have more to do.
    fn carry_out(&mut self, output: Output, inside: &mut Inside<'_, A>) -> bool;
}

/// Why a shard does not do what it is asked.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Unavailable {
    /// Its inbox is full.
    #[error("the platform is busy")]
    Busy,
    /// Its thread has ended.
    #[error("the platform is shutting down")]
    Gone,
}

enum Post<A> {
    Request(Request, oneshot::Sender<Response>),
    Outcome(Result<Response, Failure>),
    Command(Command<A>),
    Stop,
}

/// Reaches a shard from anywhere.
pub struct Handle<A> {
    inbox: mpsc::Sender<Post<A>>,
    place: Arc<Place>,
}

impl<A> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Self { inbox: self.inbox.clone(), place: Arc::clone(&self.place) }
    }
}

impl<A> core::fmt::Debug for Handle<A> {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_struct("Handle").field("inbox", &self.inbox.capacity()).finish()
    }
}

/// Where the work is done, by one at a time.
struct Place {
    /// Nothing before the thread begins and once it has ended.
    worker: Mutex<Option<Box<dyn Work>>>,
    alarm: Alarm,
    /// The thread waits for its turn: nobody goes before it.
    thread_waits: AtomicBool,
}

/// Wakes a thread, if it sleeps: waking costs a system call.
struct Alarm {
    asleep: AtomicBool,
    waker: Arc<Waker>,
}

impl Alarm {
    fn ring(&self) {
        if self.asleep.swap(false, Ordering::SeqCst)
            && let Err(error) = self.waker.wake()
        {
            tracing::error!(%error, "a thread cannot be woken");
        }
    }
}

impl Place {
    /// Does what waits in the inbox, if nobody is at it: whoever is looks again afterwards.
    fn help(&self, waits: impl Fn() -> bool) {
        for _ in 0..COURTESIES {
            // Between what was put in and the look at who works, and between the end of work
            // and the look at what was put in: one of the two sees the other.
            fence(Ordering::SeqCst);
            if self.thread_waits.load(Ordering::SeqCst) || !waits() {
                return;
            }
            let mut held = match self.worker.try_lock() {
                Ok(held) => held,
                Err(TryLockError::WouldBlock) => return,
                Err(TryLockError::Poisoned(_)) => return self.alarm.ring(),
            };
            let _alarm = OnPanic(&self.alarm);
            // Before the thread begins, what waits is left for it.
            let Some(worker) = held.as_mut() else { return };
            if worker.help() {
                self.alarm.ring();
            }
        }
        self.alarm.ring();
    }

    /// The thread's turn; `None` if somebody broke down at work.
    fn enter(&self) -> Option<MutexGuard<'_, Option<Box<dyn Work>>>> {
        self.thread_waits.store(true, Ordering::SeqCst);
        let held = self.worker.lock();
        self.thread_waits.store(false, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        held.ok()
    }
}

/// Who breaks down leaves the thread to clear up.
struct OnPanic<'a>(&'a Alarm);

impl Drop for OnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.ring();
        }
    }
}

impl<A: Actor + 'static> Handle<A> {
    /// Hands a request in, and waits for its response.
    ///
    /// # Errors
    /// The shard is busy, or no longer there.
    pub async fn request(&self, request: Request) -> Result<Response, Unavailable> {
        let (reply, response) = oneshot::channel();
        self.post(Post::Request(request, reply))?;
        self.help();
        response.await.map_err(|_| Unavailable::Gone)
    }

    /// Hands in what became of a request of the actor's own.
    pub async fn outcome(&self, outcome: Result<Response, Failure>) {
        // Whoever sent the request is gone, and nobody waits for the answer.
        if self.inbox.send(Post::Outcome(outcome)).await.is_ok() {
            self.help();
        }
    }

    /// Lets the thread do something, and waits for what comes of it.
    ///
    /// # Errors
    /// The shard is busy, or no longer there.
    pub async fn ask<R: Send + 'static>(
        &self,
        command: impl FnOnce(&mut Inside<'_, A>) -> R + Send + 'static,
    ) -> Result<R, Unavailable> {
        let (reply, answer) = oneshot::channel();
        self.post(Post::Command(Box::new(move |inside| {
            // Who asked may have gone away; what was asked for is done all the same.
            let _ = reply.send(command(inside));
        })))?;
        self.help();
        answer.await.map_err(|_| Unavailable::Gone)
    }

    /// Lets the thread do something: for those who are at work for another actor.
    ///
    /// # Errors
    /// The shard is busy, or no longer there.
    pub fn tell(
        &self,
        command: impl FnOnce(&mut Inside<'_, A>) + Send + 'static,
    ) -> Result<(), Unavailable> {
        self.post(Post::Command(Box::new(command)))?;
        self.place.alarm.ring();
        Ok(())
    }

    /// How much waits in the inbox.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.inbox.max_capacity() - self.inbox.capacity()
    }

    /// Ends the thread once it has done what it was asked before.
    pub async fn stop(&self) {
        if self.inbox.send(Post::Stop).await.is_ok() {
            self.place.alarm.ring();
        }
    }

    fn post(&self, post: Post<A>) -> Result<(), Unavailable> {
        self.inbox.try_send(post).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unavailable::Busy,
            mpsc::error::TrySendError::Closed(_) => Unavailable::Gone,
        })
    }

    fn help(&self) {
        self.place.help(|| self.backlog() > 0);
    }
}

/// The two ends of an inbox, before there is a thread to read it: those who are to reach
/// each other can be introduced first.
pub struct Inbox<A> {
    /// To see what waits; it keeps no inbox open.
    sender: mpsc::WeakSender<Post<A>>,
    receiver: mpsc::Receiver<Post<A>>,
    place: Arc<Place>,
    sockets: Sockets,
    sleeper: Sleeper,
}

/// An inbox, and what reaches it.
///
/// # Errors
/// The system has no more descriptors.
pub fn inbox<A>() -> io::Result<(Handle<A>, Inbox<A>)> {
    let (sockets, sleeper, waker) = Sockets::new()?;
    let (sender, receiver) = mpsc::channel(INBOX_MAX);
    let place = Arc::new(Place {
        worker: Mutex::new(None),
        alarm: Alarm { asleep: AtomicBool::new(false), waker },
        thread_waits: AtomicBool::new(false),
    });
    let weak = sender.downgrade();
    let handle = Handle { inbox: sender, place: Arc::clone(&place) };
    Ok((handle, Inbox { sender: weak, receiver, place, sockets, sleeper }))
}

impl<A> Inbox<A> {
    /// Receives at an address from the beginning: see [`Sockets::open`].
    ///
    /// # Errors
    /// The address is taken, or is not this machine's.
    pub fn open(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        self.sockets.open(address)
    }

    /// Receives datagrams over TCP at an address: see [`Sockets::listen`].
    ///
    /// # Errors
    /// The address is taken, or is not this machine's.
    pub fn listen(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        self.sockets.listen(address)
    }
}

/// Gives an actor a thread of its own.
///
/// # Errors
/// The system has no more threads.
pub fn spawn<A, H>(
    name: &str,
    inbox: Inbox<A>,
    time: Time,
    actor: A,
    hands: H,
) -> io::Result<JoinHandle<()>>
where
    A: Actor + Send + 'static,
    H: Hands<A> + 'static,
{
    let Inbox { sender, receiver, place, sockets, sleeper } = inbox;
    let worker = Worker::new(actor, hands, time, sockets, receiver);
    *place.worker.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(worker));
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        let _end = End(&place);
        run(&place, sleeper, &sender);
    })
}

/// The thread ends, as it should or by breaking down: what is asked for from now on is
/// refused, and who waits is told so.
struct End<'a>(&'a Place);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let mut held = self.0.worker.lock().unwrap_or_else(PoisonError::into_inner);
        let worker = held.take();
        drop(held);
        drop(worker);
    }
}

/// Sleeps and works until it is told to stop.
fn run<A>(place: &Place, mut sleeper: Sleeper, inbox: &mpsc::WeakSender<Post<A>>) {
    loop {
        let Some(mut held) = place.enter() else {
            tracing::error!("somebody broke down at work for a shard; it ends");
            return;
        };
        let Some(worker) = held.as_mut() else { return };
        place.alarm.asleep.store(false, Ordering::SeqCst);
        if !worker.turn(&sleeper) {
            return;
        }
        // From here on the bell is heard, also by who is about to fall asleep.
        place.alarm.asleep.store(true, Ordering::SeqCst);
        let patience = worker.patience();
        drop(held);
        // As in `Place::help`: who came while we were at work has left it to us.
        fence(Ordering::SeqCst);
        let waits = inbox.upgrade().is_some_and(|inbox| inbox.capacity() < inbox.max_capacity());
        let patience = if waits { Some(Duration::ZERO) } else { patience };
        if let Err(error) = sleeper.sleep(patience) {
            tracing::error!(%error, "the sockets of a thread failed; it ends");
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::collections::VecDeque;

    use bytes::Bytes;
    use callrig_signaling::http::{Headers, Method, RequestId};

    use super::*;
    use crate::actor::Input;

    /// Answers with how many requests there were, after `pause`; breaks down over PUT.
    #[derive(Default)]
    struct Counter {
        pause: Duration,
        requests: u16,
        now: Instant,
        waiting: VecDeque<(Instant, Response)>,
        answers: VecDeque<Response>,
    }

    impl Actor for Counter {
        fn handle_input(&mut self, now: Instant, input: Input) {
            self.now = now;
            if let Input::Request(request) = input {
                assert_ne!(request.method, Method::Put, "it breaks down");
                self.requests += 1;
                let response = Response::empty(request.id, self.requests);
                self.waiting.push_back((now + self.pause, response));
            }
            while let Some((_, answer)) = self.waiting.pop_front_if(|(at, _)| *at <= now) {
                self.answers.push_back(answer);
            }
        }

        fn poll_output(&mut self) -> Option<Output> {
            self.answers.pop_front().map(Output::Response)
        }

        fn poll_timeout(&self) -> Option<Instant> {
            self.waiting.front().map(|(at, _)| *at)
        }
    }

    struct Idle;

    impl Hands<Counter> for Idle {
        fn carry_out(&mut self, _: Output, _: &mut Inside<'_, Counter>) -> bool {
            false
        }
    }

    fn request(method: Method) -> Request {
        let (id, headers, body) = (RequestId(0), Headers::new(), Bytes::new());
        Request { id, method, uri: "/".to_owned(), headers, body }
    }

    fn begin(actor: Counter) -> (Handle<Counter>, JoinHandle<()>) {
        let (handle, inbox) = inbox().expect("descriptors");
        let thread = spawn("counter", inbox, Time::begin(), actor, Idle).expect("a thread");
        (handle, thread)
    }

    fn runtime() -> tokio::runtime::Runtime {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(4).enable_time().build().expect("threads")
    }

    /// Within a time in which a thread that was forgotten would not be done.
    async fn soon<T>(what: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(20), what).await.expect("nobody is forgotten")
    }

    #[test]
    fn whoever_brings_something_gets_an_answer_however_many_come_at_once() {
        let (handle, thread) = begin(Counter::default());
        runtime().block_on(async {
            let askers: Vec<_> = (0..16)
                .map(|asker| {
                    let handle = handle.clone();
                    tokio::spawn(async move {
                        let mut last = 0;
                        for round in 0..500 {
                            let answer = soon(handle.request(request(Method::Get))).await;
                            let answer = answer.expect("it is there");
                            assert!(answer.status > last, "in the order in which they came");
                            last = answer.status;
                            match (asker + round) % 50 {
                                0 => handle.tell(|_| {}).expect("there is room"),
                                1 => {
                                    let count = handle.ask(|inside| inside.actor.requests);
                                    assert!(soon(count).await.expect("it is there") >= last);
                                }
                                2 => tokio::time::sleep(Duration::from_micros(300)).await,
                                _ => {}
                            }
                        }
                    })
                })
                .collect();
            for asker in askers {
                asker.await.expect("no assertion fails");
            }
            let count = soon(handle.ask(|inside| inside.actor.requests)).await;
            assert_eq!(count.expect("it is there"), 16 * 500);
            handle.stop().await;
        });
        thread.join().expect("it ends well");
    }

    #[test]
    fn a_deadline_that_somebody_else_brings_wakes_the_thread() {
        let pause = Duration::from_millis(30);
        let (handle, thread) = begin(Counter { pause, ..Counter::default() });
        runtime().block_on(async {
            for _ in 0..3 {
                // Long enough to be asleep without a time to wake.
                tokio::time::sleep(pause).await;
                let began = std::time::Instant::now();
                soon(handle.request(request(Method::Get))).await.expect("it is there");
                assert!(began.elapsed() >= pause, "not before its time");
            }
            handle.stop().await;
        });
        thread.join().expect("it ends well");
    }

    #[test]
    fn after_the_end_and_after_a_breakdown_everybody_is_told_so() {
        let pause = Duration::from_secs(3600);
        for method in [Method::Get, Method::Put] {
            let (handle, thread) = begin(Counter { pause, ..Counter::default() });
            runtime().block_on(async {
                let waits = handle.clone();
                let waits = tokio::spawn(async move { waits.request(request(Method::Get)).await });
                while soon(handle.ask(|inside| inside.actor.requests)).await != Ok(1) {}
                if method == Method::Put {
                    let breaks = handle.clone();
                    let breaks = tokio::spawn(async move { breaks.request(request(method)).await });
                    // Either who brought it or the thread.
                    assert!(!matches!(soon(breaks).await, Ok(Ok(_))));
                } else {
                    handle.stop().await;
                }
                let told = soon(waits).await.expect("it does not break down itself");
                assert_eq!(told.map(|answer| answer.status), Err(Unavailable::Gone));
                let later = soon(handle.request(request(Method::Get))).await;
                assert_eq!(later.map(|answer| answer.status), Err(Unavailable::Gone));
            });
            let _ = thread.join();
        }
    }
}
