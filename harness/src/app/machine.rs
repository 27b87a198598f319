//! What a bot's task does with whatever comes to it, without a clock or a socket of its own:
//! the bot itself, who waits for which of its actions, which calls have a handle, and who
//! sleeps. [`super::driver`] drives it in real time, [`super::hosted`] in a simulated world.

use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;
use callrig_media::datagram::Datagram;
use callrig_media::event::Event as MediaEvent;
use callrig_media::time::{Epoch, Instant};
use callrig_signaling::bot::{self, ActionId, Bot, Event};
use callrig_signaling::exchange::{Input, Output};
use callrig_signaling::graph;
use callrig_signaling::http::{Request, Response};
use callrig_signaling::id::CallId;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::media::{Backing, Control};
use super::{Arrival, Ask, Call, CallError, Line, outcome_of};

/// How many events of a call wait for it to be looked at; more are lost, and said to be.
const EVENTS_MAX: usize = 1024;

/// How many pauses a bot may be in at once; one more is over at once.
const PAUSES_MAX: usize = 65_536;

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
    /// The file that it asked for.
    Fetched(Bytes),
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

    pub(crate) fn file(self) -> Bytes {
        match self {
            Self::Fetched(file) => file,
            _ => Bytes::new(),
        }
    }

    pub(crate) fn operation(self) -> graph::Operation {
        match self {
            Self::Operation(operation) => *operation,
            _ => graph::Operation::default(),
        }
    }
}

pub(crate) type Outcome = oneshot::Sender<Result<Done, CallError>>;
pub(crate) type Act =
    Box<dyn FnOnce(&mut Bot, Instant) -> Result<ActionId, bot::CommandError> + Send>;

/// What comes to the task.
pub(crate) enum Message {
    /// The platform, or somebody, asks for something.
    Request(Request, oneshot::Sender<Response>),
    /// The answer to a request of the bot's, or none.
    Input(Input),
    /// Somebody asks the bot, not its calls, for something.
    Ask(Ask),
    /// Somebody waits for so long.
    Pause(Duration, oneshot::Sender<()>),
    /// Somebody with a handle wants something done.
    Act(Act, Outcome),
    /// Who keeps the media of a call going.
    Media(CallId, Backing),
}

/// Who waits for an action, and on which call it is.
struct Waiter {
    outcome: Outcome,
    call: Option<CallId>,
}

/// The bot, and everybody who has something to do with it.
pub(crate) struct Machine {
    bot: Bot,
    line: Line,
    arrivals: mpsc::Sender<Arrival>,
    waiters: BTreeMap<ActionId, Waiter>,
    calls: BTreeMap<CallId, mpsc::Sender<Event>>,
    pauses: BTreeMap<(Instant, u64), oneshot::Sender<()>>,
    paused: u64,
    media: BTreeMap<CallId, Backing>,
    /// Answers of the platform's to calls whose media nobody has taken yet.
    early: BTreeMap<CallId, String>,
}

/// What is to be done outside.
pub(crate) enum Does {
    /// Send this, and hand in what comes of it.
    Request(Request),
    /// Answer the request of the same number.
    Response(Response),
    /// Send this.
    Datagram(Datagram),
}

impl Machine {
    pub(crate) fn new(
        config: bot::Config,
        epoch: Epoch,
        seed: u64,
        line: Line,
        arrivals: mpsc::Sender<Arrival>,
    ) -> Result<Self, bot::ConfigError> {
        Ok(Self {
            bot: Bot::new(config, epoch, seed)?,
            line,
            arrivals,
            waiters: BTreeMap::new(),
            calls: BTreeMap::new(),
            pauses: BTreeMap::new(),
            paused: 0,
            media: BTreeMap::new(),
            early: BTreeMap::new(),
        })
    }

    /// When to come back with [`Input::Timeout`] at the latest.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let pause = self.pauses.first_key_value().map(|((until, _), _)| *until);
        let desk = self.media.values().filter_map(|backing| match backing {
            Backing::Here(desk, _) => desk.poll_timeout(),
            Backing::Elsewhere(_) => None,
        });
        [self.bot.poll_timeout(), pause, desk.min()].into_iter().flatten().min()
    }

    /// Takes note of who keeps the media of a call going.
    pub(crate) fn back(&mut self, call: CallId, backing: Backing) {
        if !self.calls.contains_key(&call) {
            return;
        }
        if let (Backing::Elsewhere(control), Some(sdp)) = (&backing, self.early.remove(&call)) {
            let _ = control.try_send(Control::Answer(sdp));
        }
        self.media.insert(call, backing);
    }

    /// Sends what bots say and show by now; whether there was anything.
    pub(crate) fn turn_media(&mut self, now: Instant) -> bool {
        let mut moved = false;
        for (call, backing) in &mut self.media {
            if let Backing::Here(desk, _) = backing {
                let turned = self.bot.with_media(now, *call, |session| desk.turn(now, session));
                match turned {
                    Some(turned) => moved |= turned,
                    None => desk.skip(now),
                }
            }
        }
        moved
    }

    fn hear_media(&mut self, now: Instant, call: CallId, event: MediaEvent) {
        if let Some(Backing::Here(desk, _)) = self.media.get_mut(&call) {
            self.bot.with_media(now, call, |session| desk.hear(session, event));
        }
    }

    /// Takes in what happened outside.
    pub(crate) fn handle_input(&mut self, now: Instant, input: Input) {
        while let Some(entry) = self.pauses.first_entry().filter(|entry| entry.key().0 <= now) {
            // Whoever has gone away is not woken.
            let _ = entry.remove().send(());
        }
        if let Input::Datagram(datagram) = &input {
            for backing in self.media.values() {
                if let Backing::Here(desk, address) = backing
                    && *address == datagram.destination
                {
                    desk.look_at(&datagram.payload);
                }
            }
        }
        self.bot.handle_input(now, input);
    }

    /// Does what somebody with a handle wants.
    pub(crate) fn act(&mut self, now: Instant, act: Act, outcome: Outcome) {
        match act(&mut self.bot, now) {
            Ok(action) => {
                self.waiters.insert(action, Waiter { outcome, call: None });
            }
            Err(bot::CommandError::UnknownCall) => {
                let _ = outcome.send(Err(CallError::Over));
            }
        }
    }

    /// Wakes somebody after so long.
    pub(crate) fn pause(&mut self, now: Instant, length: Duration, over: oneshot::Sender<()>) {
        if self.pauses.len() < PAUSES_MAX {
            self.paused += 1;
            self.pauses.insert((now + length, self.paused), over);
        }
    }

    /// Hands on what somebody asks the bot for; nobody may be there to hear it.
    pub(crate) fn ask(&self, ask: Ask) {
        let _ = self.arrivals.try_send(Arrival::Ask(ask));
    }

    /// The next thing to do outside; tells those who wait of everything before it.
    pub(crate) fn poll_output(&mut self, now: Instant) -> Option<Does> {
        loop {
            match self.bot.poll_output()? {
                Output::Request(request) => return Some(Does::Request(request)),
                Output::Response(response) => return Some(Does::Response(response)),
                Output::Datagram(datagram) => return Some(Does::Datagram(datagram)),
                Output::Event(Event::Media { call, event }) => self.hear_media(now, call, event),
                Output::Event(event) => self.tell(now, event),
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
        Call::new(call, details, self.line.clone(), heard)
    }

    fn tell(&mut self, now: Instant, event: Event) {
        match event {
            Event::Incoming { call, details } => {
                let handle = self.begin(call, details);
                if self.arrivals.try_send(Arrival::Call(handle)).is_err() {
                    self.calls.remove(&call);
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
            Event::Fetched { action, body, .. } => self.settle(action, Ok(Done::Fetched(body))),
            Event::Refused { action, status, code, message, .. } => {
                self.settle(action, Err(CallError::Refused { status, code, message }));
            }
            Event::OperationCompleted { call, action, operation } => {
                if let Some(action) = action {
                    self.settle(action, outcome_of((*operation).clone()));
                }
                self.pass(call, Event::OperationCompleted { call, action, operation });
            }
            Event::MediaAnswer { call, sdp } => match self.media.get(&call) {
                Some(Backing::Elsewhere(control)) => {
                    let _ = control.try_send(Control::Answer(sdp));
                }
                _ if self.calls.contains_key(&call) => drop(self.early.insert(call, sdp)),
                _ => {}
            },
            Event::MediaActive { call } => {
                if let Some(Backing::Here(desk, _)) = self.media.get_mut(&call) {
                    desk.begin(now);
                }
                self.pass(call, Event::MediaActive { call });
            }
            Event::Ended { call, result } => {
                self.early.remove(&call);
                match self.media.remove(&call) {
                    Some(Backing::Here(mut desk, _)) => desk.end("the call is over"),
                    Some(Backing::Elsewhere(control)) => drop(control.try_send(Control::Close)),
                    None => {}
                }
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
