//! A bot of [`App`] in a simulated world: the same source, with virtual time, requests
//! that the world carries, and an executor of one thread that polls whoever was woken.
//! Nothing waits, and the same inputs lead to the same outputs.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::task::Wake;

use callrig_media::time::{Epoch, Instant};
use callrig_signaling::bot::ConfigError;
use callrig_signaling::exchange;
use callrig_signaling::http::{Method, Request, Response};
use tokio::sync::mpsc;

use super::machine::{Does, Machine, Message};
use super::media::Host;
use super::{App, Ask, CALLERS_MAX, Files, INBOX_MAX, Line, Settings, Task};
use crate::actor::{Actor, Input, Output};

/// A bot's program: what its tasks begin with.
pub type Program = fn(App) -> Task;

/// Futures, and which of them were woken.
struct Tasks {
    live: BTreeMap<u64, (Task, Arc<Flag>)>,
    spawned: Arc<Mutex<Vec<Task>>>,
    count: u64,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Tasks {
    fn new() -> Self {
        Self { live: BTreeMap::new(), spawned: Arc::default(), count: 0 }
    }

    /// Polls everybody who was woken, oldest first; whether there was anybody.
    fn poll(&mut self) -> bool {
        let mut list = self.spawned.lock().expect("nobody panics with the list in hand");
        let spawned = core::mem::take(&mut *list);
        drop(list);
        let mut polled = false;
        for task in spawned {
            self.count += 1;
            self.live.insert(self.count, (task, Arc::new(Flag(AtomicBool::new(true)))));
        }
        self.live.retain(|_, (task, flag)| {
            if !flag.0.swap(false, Ordering::Relaxed) {
                return true;
            }
            polled = true;
            let waker = Waker::from(Arc::clone(flag));
            task.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Pending
        });
        polled
    }
}

/// A bot in a simulated world.
pub struct Hosted {
    machine: Machine,
    messages: mpsc::Receiver<Message>,
    tasks: Tasks,
    files: Files,
    outputs: VecDeque<Output>,
}

impl Hosted {
    /// A bot that is reached at `base` (`https://bot.test`) and runs `program`.
    ///
    /// # Errors
    /// The bot refuses what it is told.
    pub fn new(
        settings: &Settings,
        base: &str,
        epoch: Epoch,
        seed: u64,
        program: Program,
    ) -> Result<Self, ConfigError> {
        let (inbox, messages) = mpsc::channel(INBOX_MAX);
        let (callers, arrivals) = mpsc::channel(CALLERS_MAX);
        let files = Files::default();
        let tasks = Tasks::new();
        let spawned = Arc::clone(&tasks.spawned);
        let spawner = Arc::new(move |task| {
            spawned.lock().expect("nobody panics with the list in hand").push(task);
        });
        let (base, host) = (base.to_owned(), Host::simulated());
        let line = Line { inbox, files: Arc::clone(&files), base, host, spawner };
        let machine =
            Machine::new(settings.to_bot(&line.base), epoch, seed, line.clone(), callers)?;
        let address = SocketAddr::from(([127, 0, 0, 1], 443));
        let app = App { line: line.clone(), arrivals, address };
        (line.spawner)(program(app));
        let mut hosted = Self { machine, messages, tasks, files, outputs: VecDeque::new() };
        hosted.settle(Instant::ZERO);
        Ok(hosted)
    }

    /// Lets everybody do what there is to do now.
    fn settle(&mut self, now: Instant) {
        loop {
            let mut moved = false;
            while let Some(does) = self.machine.poll_output(now) {
                moved = true;
                self.outputs.push_back(match does {
                    Does::Request(request) => Output::Request(request),
                    Does::Response(response) => Output::Response(response),
                    Does::Datagram(datagram) => Output::Datagram(datagram),
                });
            }
            moved |= self.tasks.poll();
            moved |= self.machine.turn_media(now);
            while let Ok(message) = self.messages.try_recv() {
                moved = true;
                match message {
                    Message::Act(act, outcome) => self.machine.act(now, act, outcome),
                    Message::Pause(length, over) => self.machine.pause(now, length, over),
                    Message::Ask(ask) => self.machine.ask(ask),
                    Message::Media(call, backing) => self.machine.back(call, backing),
                    // Those come from the world, not from handles.
                    Message::Request(..) | Message::Input(_) => {}
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn take_request(&mut self, now: Instant, request: Request) {
        let path = path_of(&request.uri);
        if let Some(name) = path.strip_prefix("/files/").filter(|_| request.method == Method::Get) {
            let files = self.files.read().expect("nobody panics with the files in hand");
            let response = match files.get(name) {
                Some(bytes) => Response {
                    headers: [("Content-Type", "audio/wav")].into(),
                    body: bytes.clone(),
                    ..Response::empty(request.id, 200)
                },
                None => Response::empty(request.id, 404),
            };
            self.outputs.push_back(Output::Response(response));
        } else if request.method != Method::Post {
            self.outputs.push_back(Output::Response(Response::empty(request.id, 405)));
        } else if path == "/api/calls" {
            self.machine.handle_input(now, exchange::Input::Request(request));
        } else {
            let body = serde_json::from_slice(&request.body).unwrap_or_default();
            self.machine.ask(Ask { path: path.to_owned(), body });
            self.outputs.push_back(Output::Response(Response::empty(request.id, 202)));
        }
    }
}

impl Actor for Hosted {
    fn handle_input(&mut self, now: Instant, input: Input) {
        let input = match input {
            Input::Request(request) => {
                self.take_request(now, request);
                return self.settle(now);
            }
            Input::Response(response) => exchange::Input::Response(response),
            Input::Failed(failure) => exchange::Input::Failed(failure),
            Input::Timeout => exchange::Input::Timeout,
            Input::Datagram(datagram) => exchange::Input::Datagram(datagram),
            Input::Order(..) => return,
        };
        self.machine.handle_input(now, input);
        self.settle(now);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        // What was begun before the first input is sent with it.
        if self.outputs.is_empty() { self.machine.poll_timeout() } else { Some(Instant::ZERO) }
    }
}

/// The path of a URI, absolute or not.
pub(crate) fn path_of(uri: &str) -> &str {
    let rest = match uri.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => uri,
    };
    rest.split(['?', '#']).next().unwrap_or(rest)
}
