//! The one task that owns the bot in the real world: everything comes to it as a message,
//! everything that the bot does is done from here.

use core::time::Duration;
use std::collections::BTreeMap;
use std::time::{Instant as Monotonic, SystemTime};

use callrig_media::time::{Epoch, Instant, NtpTime};
use callrig_signaling::bot;
use callrig_signaling::exchange::Input;
use callrig_signaling::http::{RequestId, Response};
use rand::RngExt as _;
use tokio::sync::{mpsc, oneshot};

use super::machine::{Does, Machine, Message};
use super::{Arrival, Line, web};

/// The longest sleep: what comes wakes the task anyway.
const SLEEP_MAX: Duration = Duration::from_secs(3600);

/// The task.
pub(super) struct Driver {
    machine: Machine,
    began: Monotonic,
    client: reqwest::Client,
    line: Line,
    requests: u64,
    answers: BTreeMap<RequestId, oneshot::Sender<Response>>,
}

impl Driver {
    pub(super) fn new(
        config: bot::Config,
        client: reqwest::Client,
        line: Line,
        arrivals: mpsc::Sender<Arrival>,
    ) -> Result<Self, bot::ConfigError> {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let ntp = NtpTime::from_unix(wall);
        let seed = rand::rng().random();
        let machine = Machine::new(config, Epoch { ntp }, seed, line.clone(), arrivals)?;
        let began = Monotonic::now();
        Ok(Self { machine, began, client, line, requests: 0, answers: BTreeMap::new() })
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Lives until nobody has a handle any more.
    pub(super) async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        loop {
            let now = self.now();
            let sleep = match self.machine.poll_timeout() {
                Some(at) => at.since(now).min(SLEEP_MAX),
                None => SLEEP_MAX,
            };
            tokio::select! {
                message = messages.recv() => match message {
                    Some(message) => self.take(message),
                    None => return,
                },
                () = tokio::time::sleep(sleep) => {
                    let now = self.now();
                    self.machine.handle_input(now, Input::Timeout);
                }
            }
            self.drain();
        }
    }

    fn take(&mut self, message: Message) {
        let now = self.now();
        match message {
            Message::Request(mut request, answer) => {
                self.requests += 1;
                request.id = RequestId(self.requests);
                self.answers.insert(request.id, answer);
                // Whoever went away waits for no answer.
                self.answers.retain(|_, answer| !answer.is_closed());
                self.machine.handle_input(now, Input::Request(request));
            }
            Message::Input(input) => self.machine.handle_input(now, input),
            Message::Act(act, outcome) => self.machine.act(now, act, outcome),
            Message::Ask(ask) => self.machine.ask(ask),
            Message::Media(call, backing) => self.machine.back(call, backing),
            Message::Pause(length, over) => self.machine.pause(now, length, over),
        }
    }

    fn drain(&mut self) {
        let now = self.now();
        while let Some(does) = self.machine.poll_output(now) {
            match does {
                Does::Request(request) => {
                    let (client, inbox) = (self.client.clone(), self.line.inbox.clone());
                    tokio::spawn(async move {
                        let input = web::send(&client, request).await;
                        let _ = inbox.send(Message::Input(input)).await;
                    });
                }
                Does::Response(response) => {
                    if let Some(answer) = self.answers.remove(&response.id) {
                        let _ = answer.send(response);
                    }
                }
                // Media has tasks and sockets of its own in the real world.
                Does::Datagram(_) => {}
            }
        }
    }
}
