//! What is done for one actor: what came is handed to it, and what it does is carried out.
//! Whoever holds this is the only one.

use core::time::Duration;
use std::collections::HashMap;

use callrig_media::datagram::Datagram;
use callrig_media::time::Instant;
use callrig_signaling::http::{RequestId, Response};
use tokio::sync::{mpsc, oneshot};

use super::{Hands, Inside, Post};
use crate::actor::{Actor, Input, Output};
use crate::drive::{self, Stopwatch};
use crate::world::live::Time;
use crate::world::live::sockets::{Sleeper, Sockets};

/// How much of the inbox the thread takes before the sockets have their turn again.
const TURN: usize = 256;
/// How much of it is taken by those who bring something themselves.
const COURTESY: usize = 16;

/// [`Worker`], whatever its actor.
pub(super) trait Work: Send {
    /// Takes what has come at the sockets and into the inbox; `false` once it is over.
    fn turn(&mut self, woken: &Sleeper) -> bool;

    /// Takes some of what came into the inbox; whether the thread has to look after the rest.
    fn help(&mut self) -> bool;

    /// How long the thread may sleep.
    fn patience(&mut self) -> Option<Duration>;
}

/// One actor, and what goes in and out.
pub(super) struct Worker<A, H> {
    actor: A,
    hands: H,
    time: Time,
    sockets: Sockets,
    inbox: mpsc::Receiver<Post<A>>,
    deadline: Option<Instant>,
    /// When the thread wakes by itself.
    wakes: Option<Instant>,
    over: bool,
    stopwatch: Stopwatch,
    outputs: Vec<Output>,
    arrived: Vec<Datagram>,
    leaving: Vec<Datagram>,
    asked: HashMap<RequestId, oneshot::Sender<Response>>,
    requests: u64,
}

impl<A: Actor, H: Hands<A>> Worker<A, H> {
    pub(super) fn new(
        actor: A,
        hands: H,
        time: Time,
        sockets: Sockets,
        inbox: mpsc::Receiver<Post<A>>,
    ) -> Self {
        let deadline = actor.poll_timeout();
        Self {
            actor,
            hands,
            time,
            sockets,
            inbox,
            deadline,
            wakes: None,
            over: false,
            stopwatch: Stopwatch::new(true),
            outputs: Vec::new(),
            arrived: Vec::new(),
            leaving: Vec::new(),
            asked: HashMap::new(),
            requests: 0,
        }
    }

    /// Does what the inbox asks for, at most so often.
    fn take_inbox(&mut self, most: usize) {
        for _ in 0..most {
            let post = match self.inbox.try_recv() {
                Ok(post) => post,
                Err(mpsc::error::TryRecvError::Empty) => return,
                Err(mpsc::error::TryRecvError::Disconnected) => Post::Stop,
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
                Post::Stop => {
                    self.over = true;
                    return;
                }
            }
        }
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

impl<A: Actor + Send, H: Hands<A>> Work for Worker<A, H> {
    fn turn(&mut self, woken: &Sleeper) -> bool {
        self.sockets.receive(woken, &mut self.arrived);
        let now = self.time.now();
        let mut arrived = core::mem::take(&mut self.arrived);
        for datagram in arrived.drain(..) {
            self.step(now, Input::Datagram(datagram));
        }
        self.arrived = arrived;
        if !self.over {
            self.take_inbox(TURN);
        }
        let now = self.time.now();
        if self.deadline.is_some_and(|at| at <= now) {
            self.step(now, Input::Timeout);
        }
        self.sockets.send(&mut self.leaving);
        !self.over
    }

    fn help(&mut self) -> bool {
        self.take_inbox(COURTESY);
        self.sockets.send(&mut self.leaving);
        let sooner = match (self.deadline, self.wakes) {
            (Some(deadline), Some(wakes)) => deadline < wakes,
            (deadline, None) => deadline.is_some(),
            (None, Some(_)) => false,
        };
        sooner || self.over
    }

    fn patience(&mut self) -> Option<Duration> {
        self.wakes = self.deadline;
        if self.sockets.has_more() || !self.inbox.is_empty() {
            return Some(Duration::ZERO);
        }
        self.deadline.map(|at| at.since(self.time.now()))
    }
}
