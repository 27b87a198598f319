//! The one task that owns the bot: everything comes to it as a message, everything that
//! the bot does is done from here, and what happens is told to whoever waits for it.

use core::time::Duration;
use std::collections::BTreeMap;
use std::time::{Instant as Monotonic, SystemTime};

use callrig_media::time::{Epoch, Instant, NtpTime};
use callrig_signaling::bot::{self, ActionId, Bot, Event};
use callrig_signaling::exchange::{Input, Output};
use callrig_signaling::graph;
use callrig_signaling::http::{Request, RequestId, Response};
use callrig_signaling::id::CallId;
use rand::RngExt as _;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::{Call, CallError, Hands, outcome_of, web};

/// Seconds from 1900 to 1970, as NTP counts.
const NTP_OFFSET: u64 = 2_208_988_800;

/// How many events of a call wait for it to be looked at; more are lost, and said to be.
const EVENTS_MAX: usize = 1024;

/// The longest sleep: what comes wakes the task anyway.
const SLEEP_MAX: Duration = Duration::from_secs(3600);

/// What came of an action.
#[derive(Debug)]
pub(crate) enum Done {
    /// It was taken.
    Accepted,
    /// What it began has completed.
    Operation(Box<graph::Operation>),
    /// A call is there.
    Created(Call),
    /// What it asked for.
    Answered(Value),
}

impl Done {
    pub(crate) fn call(self) -> Option<Call> {
        match self {
            Self::Created(call) => Some(call),
            _ => None,
        }
    }

    pub(crate) fn body(self) -> Value {
        match self {
            Self::Answered(body) => body,
            _ => Value::Null,
        }
    }

    pub(crate) fn operation(self) -> graph::Operation {
        match self {
            Self::Operation(operation) => *operation,
            _ => graph::Operation::default(),
        }
    }
}

type Outcome = oneshot::Sender<Result<Done, CallError>>;
type Act = Box<dyn FnOnce(&mut Bot, Instant) -> Result<ActionId, bot::CommandError> + Send>;

/// What comes to the task.
pub(crate) enum Message {
    /// The platform, or somebody, asks for something.
    Request(Request, oneshot::Sender<Response>),
    /// The answer to a request of the bot's, or none.
    Input(Input),
    /// Somebody with a handle wants something done.
    Act(Act, Outcome),
}

/// Who waits for an action, and on which call it is.
struct Waiter {
    outcome: Outcome,
    call: Option<CallId>,
}

/// The task.
pub(crate) struct Driver {
    bot: Bot,
    began: Monotonic,
    client: reqwest::Client,
    hands: Hands,
    callers: mpsc::Sender<Call>,
    requests: u64,
    answers: BTreeMap<RequestId, oneshot::Sender<Response>>,
    waiters: BTreeMap<ActionId, Waiter>,
    calls: BTreeMap<CallId, mpsc::Sender<Event>>,
}

impl Driver {
    pub(crate) fn new(
        config: bot::Config,
        client: reqwest::Client,
        hands: Hands,
        callers: mpsc::Sender<Call>,
    ) -> Result<Self, bot::ConfigError> {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let fraction = (u64::from(wall.subsec_nanos()) << 32) / 1_000_000_000;
        let ntp = NtpTime::from_bits(((wall.as_secs() + NTP_OFFSET) << 32) | fraction);
        let bot = Bot::new(config, Epoch { ntp }, rand::rng().random())?;
        Ok(Self {
            bot,
            began: Monotonic::now(),
            client,
            hands,
            callers,
            requests: 0,
            answers: BTreeMap::new(),
            waiters: BTreeMap::new(),
            calls: BTreeMap::new(),
        })
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Lives until nobody has a handle any more.
    pub(crate) async fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        loop {
            let now = self.now();
            let sleep = match self.bot.poll_timeout() {
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
                    self.bot.handle_input(now, Input::Timeout);
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
                self.bot.handle_input(now, Input::Request(request));
            }
            Message::Input(input) => self.bot.handle_input(now, input),
            Message::Act(act, outcome) => match act(&mut self.bot, now) {
                Ok(action) => {
                    self.waiters.insert(action, Waiter { outcome, call: None });
                }
                Err(bot::CommandError::UnknownCall) => {
                    let _ = outcome.send(Err(CallError::Over));
                }
            },
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.bot.poll_output() {
            match output {
                Output::Request(request) => {
                    let (client, inbox) = (self.client.clone(), self.hands.inbox.clone());
                    tokio::spawn(async move {
                        let input = web::send(&client, request).await;
                        let _ = inbox.send(Message::Input(input)).await;
                    });
                }
                Output::Response(response) => {
                    if let Some(answer) = self.answers.remove(&response.id) {
                        let _ = answer.send(response);
                    }
                }
                // A bot with media of its own is driven by its owner.
                Output::Datagram(_) => {}
                Output::Event(event) => self.tell(event),
            }
        }
    }

    fn settle(&mut self, action: ActionId, result: Result<Done, CallError>) {
        if let Some(waiter) = self.waiters.remove(&action) {
            let _ = waiter.outcome.send(result);
        }
    }

    /// A handle for a call that is new.
    fn begin(&mut self, call: CallId, details: Box<graph::Call>) -> Call {
        let (events, heard) = mpsc::channel(EVENTS_MAX);
        self.calls.insert(call, events);
        Call::new(call, details, self.hands.clone(), heard)
    }

    fn tell(&mut self, event: Event) {
        match event {
            Event::Incoming { call, details } => {
                let handle = self.begin(call, details);
                if self.callers.try_send(handle).is_err() {
                    self.calls.remove(&call);
                    let now = self.now();
                    let _ = self.bot.reject(now, call, graph::RejectReason::Busy);
                }
            }
            Event::Created { action, call } => {
                let details = self.bot.call(call).cloned().unwrap_or_default();
                let handle = self.begin(call, Box::new(details));
                self.settle(action, Ok(Done::Created(handle)));
            }
            Event::Accepted { action, call, operation } => match operation {
                None => self.settle(action, Ok(Done::Accepted)),
                Some(_) => {
                    if let Some(waiter) = self.waiters.get_mut(&action) {
                        waiter.call = Some(call);
                    }
                }
            },
            Event::Answered { action, body, .. } => self.settle(action, Ok(Done::Answered(body))),
            Event::Refused { action, status, code, message, .. } => {
                self.settle(action, Err(CallError::Refused { status, code, message }));
            }
            Event::OperationCompleted { call, action, operation } => {
                if let Some(action) = action {
                    self.settle(action, outcome_of((*operation).clone()));
                }
                self.pass(call, Event::OperationCompleted { call, action, operation });
            }
            Event::Ended { call, result } => {
                self.pass(call, Event::Ended { call, result });
                self.calls.remove(&call);
                let over: Vec<_> = self
                    .waiters
                    .iter()
                    .filter(|(_, waiter)| waiter.call == Some(call))
                    .map(|(action, _)| *action)
                    .collect();
                for action in over {
                    self.settle(action, Err(CallError::Over));
                }
            }
            Event::StateChanged { call, .. }
            | Event::MediaActive { call }
            | Event::Tone { call, .. }
            | Event::RosterChanged { call, .. }
            | Event::ContentSharing { call, .. } => self.pass(call, event),
            Event::Untrusted { error } => tracing::warn!(%error, "a notification is not believed"),
            Event::Dropped { call, reason } => tracing::debug!(?call, ?reason, "dropped"),
            _ => {}
        }
    }

    fn pass(&self, call: CallId, event: Event) {
        if let Some(events) = self.calls.get(&call)
            && let Err(mpsc::error::TrySendError::Full(event)) = events.try_send(event)
        {
            tracing::warn!(%call, ?event, "nobody looks at the events of this call");
        }
    }
}
