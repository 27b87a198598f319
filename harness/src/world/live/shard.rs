//! One thread with one actor: it sleeps in its sockets, and is woken by datagrams, by what
//! others put into its inbox, and by the actor's own deadline. The inbox is bounded; who
//! finds it full is told so and tries again later.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use callrig_media::datagram::Datagram;
use callrig_media::time::Instant;
use callrig_signaling::http::{Failure, Request, RequestId, Response};
use mio::Waker;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use super::Time;
use super::sockets::Sockets;
use crate::actor::{Actor, Input, Output};
use crate::drive::{self, Stopwatch};

/// How much may wait in an inbox.
pub const INBOX_MAX: usize = 16_384;
/// How much of the inbox is taken before the sockets have their turn again.
const TURN: usize = 256;

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
    alarm: Arc<Alarm>,
}

impl<A> Clone for Handle<A> {
    fn clone(&self) -> Self {
        Self { inbox: self.inbox.clone(), alarm: Arc::clone(&self.alarm) }
    }
}

impl<A> core::fmt::Debug for Handle<A> {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.debug_struct("Handle").field("inbox", &self.inbox.capacity()).finish()
    }
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

impl<A: Actor + 'static> Handle<A> {
    /// Hands a request in, and waits for its response.
    ///
    /// # Errors
    /// The shard is busy, or no longer there.
    pub async fn request(&self, request: Request) -> Result<Response, Unavailable> {
        let (reply, response) = oneshot::channel();
        self.post(Post::Request(request, reply))?;
        response.await.map_err(|_| Unavailable::Gone)
    }

    /// Hands in what became of a request of the actor's own.
    pub async fn outcome(&self, outcome: Result<Response, Failure>) {
        // Whoever sent the request is gone, and nobody waits for the answer.
        if self.inbox.send(Post::Outcome(outcome)).await.is_ok() {
            self.alarm.ring();
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
        self.tell(move |inside| {
            // Who asked may have gone away; what was asked for is done all the same.
            let _ = reply.send(command(inside));
        })?;
        answer.await.map_err(|_| Unavailable::Gone)
    }

    /// Lets the thread do something.
    ///
    /// # Errors
    /// The shard is busy, or no longer there.
    pub fn tell(
        &self,
        command: impl FnOnce(&mut Inside<'_, A>) + Send + 'static,
    ) -> Result<(), Unavailable> {
        self.post(Post::Command(Box::new(command)))
    }

    /// How much waits in the inbox.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.inbox.max_capacity() - self.inbox.capacity()
    }

    /// Ends the thread once it has done what it was asked before.
    pub async fn stop(&self) {
        if self.inbox.send(Post::Stop).await.is_ok() {
            self.alarm.ring();
        }
    }

    fn post(&self, post: Post<A>) -> Result<(), Unavailable> {
        self.inbox.try_send(post).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unavailable::Busy,
            mpsc::error::TrySendError::Closed(_) => Unavailable::Gone,
        })?;
        self.alarm.ring();
        Ok(())
    }
}

struct Shard<A, H> {
    actor: A,
    hands: H,
    time: Time,
    sockets: Sockets,
    inbox: mpsc::Receiver<Post<A>>,
    alarm: Arc<Alarm>,
    deadline: Option<Instant>,
    stopwatch: Stopwatch,
    outputs: Vec<Output>,
    arrived: Vec<Datagram>,
    leaving: Vec<Datagram>,
    asked: HashMap<RequestId, oneshot::Sender<Response>>,
    requests: u64,
}

/// The two ends of an inbox, before there is a thread to read it: those who are to reach
/// each other can be introduced first.
pub struct Inbox<A> {
    receiver: mpsc::Receiver<Post<A>>,
    alarm: Arc<Alarm>,
    sockets: Sockets,
}

/// An inbox, and what reaches it.
///
/// # Errors
/// The system has no more descriptors.
pub fn inbox<A>() -> io::Result<(Handle<A>, Inbox<A>)> {
    let (sockets, waker) = Sockets::new()?;
    let (sender, receiver) = mpsc::channel(INBOX_MAX);
    let alarm = Arc::new(Alarm { asleep: AtomicBool::new(false), waker });
    let handle = Handle { inbox: sender, alarm: Arc::clone(&alarm) };
    Ok((handle, Inbox { receiver, alarm, sockets }))
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
    A: Actor + 'static,
    H: Hands<A> + 'static,
{
    let mut shard = Shard {
        actor,
        hands,
        time,
        sockets: inbox.sockets,
        inbox: inbox.receiver,
        alarm: inbox.alarm,
        deadline: None,
        stopwatch: Stopwatch::new(true),
        outputs: Vec::new(),
        arrived: Vec::new(),
        leaving: Vec::new(),
        asked: HashMap::new(),
        requests: 0,
    };
    thread::Builder::new().name(name.to_owned()).spawn(move || shard.run())
}

impl<A: Actor, H: Hands<A>> Shard<A, H> {
    fn run(&mut self) {
        self.deadline = self.actor.poll_timeout();
        loop {
            let patience = self.patience();
            let outcome = self.sockets.receive(patience, &mut self.arrived);
            self.alarm.asleep.store(false, Ordering::SeqCst);
            if let Err(error) = outcome {
                tracing::error!(%error, "the sockets of a thread failed; it ends");
                return;
            }
            let now = self.time.now();
            let mut arrived = core::mem::take(&mut self.arrived);
            for datagram in arrived.drain(..) {
                self.step(now, Input::Datagram(datagram));
            }
            self.arrived = arrived;
            let goes_on = self.take_inbox();
            let now = self.time.now();
            if self.deadline.is_some_and(|at| at <= now) {
                self.step(now, Input::Timeout);
            }
            self.sockets.send(&mut self.leaving);
            if !goes_on {
                return;
            }
        }
    }

    /// How long to sleep; not at all if somebody came while we were falling asleep.
    fn patience(&mut self) -> Option<Duration> {
        // A swap, not a store: it sees what was put in before the bell was last rung.
        self.alarm.asleep.swap(true, Ordering::SeqCst);
        if !self.inbox.is_empty() {
            return Some(Duration::ZERO);
        }
        self.deadline.map(|at| at.since(self.time.now()))
    }

    /// Does what the inbox asks for; `false` once it says that this is the end.
    fn take_inbox(&mut self) -> bool {
        for _ in 0..TURN {
            let post = match self.inbox.try_recv() {
                Ok(post) => post,
                Err(mpsc::error::TryRecvError::Empty) => return true,
                Err(mpsc::error::TryRecvError::Disconnected) => return false,
            };
            let now = self.time.now();
            match post {
                Post::Request(mut request, reply) => {
                    self.requests += 1;
                    request.id = RequestId(self.requests);
                    self.asked.insert(request.id, reply);
                    self.step(now, Input::Request(request));
                }
                Post::Outcome(Ok(response)) => self.step(now, Input::Response(response)),
                Post::Outcome(Err(failure)) => self.step(now, Input::Failed(failure)),
                Post::Command(command) => {
                    command(&mut self.inside(now));
                    self.step(now, Input::Timeout);
                }
                Post::Stop => return false,
            }
        }
        true
    }

    fn inside(&mut self, now: Instant) -> Inside<'_, A> {
        Inside { actor: &mut self.actor, sockets: &mut self.sockets, cost: &self.stopwatch, now }
    }

    fn step(&mut self, now: Instant, input: Input) {
        let mut input = Some(input);
        while let Some(next) = input.take() {
            let outputs = &mut self.outputs;
            self.deadline = drive::step(&mut self.actor, now, next, &mut self.stopwatch, outputs);
            let mut outputs = core::mem::take(&mut self.outputs);
            for output in outputs.drain(..) {
                if self.carry_out(now, output) {
                    input = Some(Input::Timeout);
                }
            }
            self.outputs = outputs;
        }
    }

    fn carry_out(&mut self, now: Instant, output: Output) -> bool {
        match output {
            Output::Datagram(datagram) => {
                self.leaving.push(datagram);
                false
            }
            Output::Response(response) => {
                if let Some(reply) = self.asked.remove(&response.id) {
                    // The client may have gone away.
                    let _ = reply.send(response);
                }
                false
            }
            other => {
                let mut inside = Inside {
                    actor: &mut self.actor,
                    sockets: &mut self.sockets,
                    cost: &self.stopwatch,
                    now,
                };
                self.hands.carry_out(other, &mut inside)
            }
        }
    }
}
