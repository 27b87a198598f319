//! The app's side: [`Bot`] keeps calls, rosters and operations from notifications, asks
//! the platform for things, and holds its own media sessions where it handles media
//! itself. The mirror of [`crate::service::Service`], driven the same way. It survives
//! what real bots meet: notifications twice, late, out of order, forged, and about calls
//! it does not know; requests that are to be sent again later; tokens that expire; and
//! its own restart ([`Bot::rehydrate`]).

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use callrig_media::event::Event as MediaEvent;
use callrig_media::session::Decode;
use callrig_media::stats::Stats;
use callrig_media::time::{Epoch, Instant};
use rand::SeedableRng as _;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use crate::call::timer::Timers;
use crate::exchange::{self, Input};
use crate::graph;
use crate::http::{Request, RequestId};
use crate::id::{AppId, CallId, OperationId};

mod actions;
mod credential;
mod inbox;
mod joining;
mod meetings;
mod outgoing;
mod request;
mod roster;
mod talk;
mod trust;

pub use actions::{Target, Targets};
pub use credential::ClientSecret;
pub use joining::{JoinReply, Joining};
pub use meetings::Join;
pub use request::{AnswerMedia, CommandError, MediaFile, Offer, Record};
pub use trust::Trust;

/// How many calls are remembered after their end, so that a late notification does not
/// bring them back.
const ENDED_REMEMBERED_MAX: usize = 1024;

/// How many notifications about calls that are being created are kept until the answer
/// that names them comes.
const EARLY_MAX: usize = 64;

/// What a bot answers.
pub type Output = exchange::Output<Event>;

/// Tells the requests of a bot apart, in the order in which it made them.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ActionId(pub u64);

/// What a bot is built from.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which app it is.
    pub app: AppId,
    /// Where the API is, with its version: `https://graph.microsoft.com/v1.0`.
    pub api: String,
    /// Where the platform is to send notifications.
    pub callback_uri: String,
    /// What it proves itself with, if that never changes.
    pub token: Option<String>,
    /// What it gets its tokens with; goes before `token`.
    pub secret: Option<ClientSecret>,
    /// Which notifications it believes; all of them if `None`, as in a world that has no
    /// tokens.
    pub trust: Option<Trust>,
    /// How often it says that its calls are alive; never if `None`.
    pub keep_alive: Option<Duration>,
    /// How long it waits for an answer.
    pub request_timeout: Duration,
    /// How often it sends a request that the platform wants again later (429, 503), or
    /// that got no answer and does no harm twice.
    pub attempts_max: u32,
    /// Whether it asks the platform for calls that it is told of but does not know, and
    /// keeps them: those of before a restart.
    pub adopt: bool,
    /// What it answers when somebody joins a call that it records by policy.
    pub joining: Joining,
    /// How many calls it keeps; more are rejected as busy.
    pub calls_max: usize,
    /// How far its own media sessions take media apart.
    pub decode: Decode,
    /// Whether they say every packet as an event.
    pub packet_events: bool,
    /// Samples per second of the sound they say and take: 8, 12, 16, 24 or 48 kHz.
    pub output_rate: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            app: AppId::new("bot"),
            api: "https://graph.microsoft.com/v1.0".to_owned(),
            callback_uri: "https://bot.test/api/calls".to_owned(),
            token: None,
            secret: None,
            trust: None,
            keep_alive: Some(Duration::from_secs(600)),
            request_timeout: Duration::from_secs(15),
            attempts_max: 4,
            adopt: true,
            joining: Joining::default(),
            calls_max: 1000,
            decode: Decode::Everything,
            packet_events: false,
            output_rate: 48_000,
        }
    }
}

/// Why a bot cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A number that cannot be.
    #[error("{0} must not be zero")]
    Zero(&'static str),
}

/// What has happened to a bot.
#[derive(Clone, Debug)]
pub enum Event {
    /// Somebody calls.
    Incoming {
        /// The call.
        call: CallId,
        /// As the platform describes it.
        details: Box<graph::Call>,
    },
    /// A call that the bot asked for is there.
    Created {
        /// What asked for it.
        action: ActionId,
        /// The call.
        call: CallId,
    },
    /// A call stands somewhere else.
    StateChanged {
        /// The call.
        call: CallId,
        /// Where it stands.
        state: graph::CallState,
    },
    /// Media of a call flows.
    MediaActive {
        /// The call.
        call: CallId,
    },
    /// The other side pressed a key.
    Tone {
        /// The call.
        call: CallId,
        /// The platform's number for it.
        sequence: i64,
        /// Which.
        tone: graph::Tone,
    },
    /// Who is in a call.
    RosterChanged {
        /// The call.
        call: CallId,
        /// Everybody.
        participants: Vec<graph::Participant>,
    },
    /// Somebody shares something, or no longer does.
    ContentSharing {
        /// The call.
        call: CallId,
        /// What is shared now, as the platform describes it.
        sessions: serde_json::Value,
    },
    /// Somebody wants to join a call that this bot records by policy: answer with
    /// [`Bot::reply_joining`]. Only with [`Joining::Ask`].
    Joining {
        /// The request that waits for the answer.
        request: RequestId,
        /// The call, as the platform describes it.
        details: Box<graph::Call>,
    },
    /// Somebody left a call that this bot records by policy.
    Left {
        /// The call, as the platform describes it.
        details: Box<graph::Call>,
        /// Who.
        participant: String,
    },
    /// The platform took a request.
    Accepted {
        /// Which.
        action: ActionId,
        /// About which call.
        call: CallId,
        /// The operation that it began.
        operation: Option<OperationId>,
    },
    /// The platform answered a request that asked for something to be read or made.
    Answered {
        /// Which.
        action: ActionId,
        /// About which call, if it was about one.
        call: Option<CallId>,
        /// With which status.
        status: u16,
        /// What: an object of the API, or null.
        body: serde_json::Value,
    },
    /// A file that the platform keeps, such as a recording.
    Fetched {
        /// Which request asked for it.
        action: ActionId,
        /// About which call.
        call: Option<CallId>,
        /// The file.
        body: bytes::Bytes,
    },
    /// Everything that the platform knows of a call is known again.
    Rehydrated {
        /// What asked for it.
        action: ActionId,
        /// The call.
        call: CallId,
    },
    /// The platform refused a request.
    Refused {
        /// Which.
        action: ActionId,
        /// About which call, if one was there.
        call: Option<CallId>,
        /// With which status; 0 if no answer came.
        status: u16,
        /// The code of the error.
        code: String,
        /// Its words.
        message: String,
    },
    /// An operation has ended; said once of every operation that was accepted.
    OperationCompleted {
        /// The call.
        call: CallId,
        /// The request that began it.
        action: Option<ActionId>,
        /// How it ended.
        operation: Box<graph::Operation>,
    },
    /// A call is over.
    Ended {
        /// The call.
        call: CallId,
        /// How, if the platform says so.
        result: Option<graph::ResultInfo>,
    },
    /// The platform's answer to an offer of the owner's ([`AnswerMedia::Offered`]), or another
    /// one than before.
    MediaAnswer {
        /// The call.
        call: CallId,
        /// As SDP.
        sdp: String,
    },
    /// The bot's own media session says something.
    Media {
        /// The call.
        call: CallId,
        /// What.
        event: MediaEvent,
    },
    /// The bot's own media session has ended.
    MediaEnded {
        /// The call.
        call: CallId,
        /// What it counted.
        stats: Box<Stats>,
    },
    /// A notification that is not believed.
    Untrusted {
        /// Why.
        error: crate::auth::TokenError,
    },
    /// Something that goes nowhere.
    Dropped {
        /// About which call, if that is known.
        call: Option<CallId>,
        /// Why.
        reason: DropReason,
    },
}

/// Why something goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// A notification that cannot be read.
    MalformedNotification,
    /// A notification about a call that is not known.
    UnknownCall,
    /// A notification about a call that is over.
    AfterEnd,
    /// A notification that was seen before, or is older than one that was.
    Stale,
    /// A response to a request that nobody waits for.
    UnexpectedResponse,
    /// A datagram for an address at which no session is.
    NoSuchSession,
    /// The platform's media description cannot be used.
    UnusableMedia,
    /// A notification whose token is not the platform's.
    Untrusted,
    /// The keys of the platform cannot be had: notifications are to come again.
    NoKeys,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Timer {
    /// A request gets no answer any more.
    Request(RequestId),
    /// A request is sent again.
    Again(RequestId),
    /// A token is asked for again.
    Token,
    /// Somebody waits to join.
    Joining(RequestId),
    /// A call that the platform does not know any more, and of whose end nothing came.
    Gone(CallId),
    KeepAlive(CallId),
    Media(CallId),
}

/// A request that waits for its answer.
#[derive(Clone, Debug)]
struct Pending {
    action: ActionId,
    call: Option<CallId>,
    what: What,
    /// As it is sent, but for its token.
    request: Request,
    /// The token that it was sent with last.
    token: Option<String>,
    attempts: u32,
}

/// What a request is.
#[derive(Clone, Debug, PartialEq)]
enum What {
    Create(Option<talk::Own>),
    Refresh,
    /// The steps of a rehydration; what asked for the first is said to be done with.
    Rehydrate(ActionId, Step),
    Roster,
    Operation,
    /// To be read, or made: the answer is handed on.
    Read,
    /// A file, which has a token of its own.
    Fetch(String),
    Other,
}

/// What of a call is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Call,
    Participants,
    Operations,
}

/// A call as the bot knows it.
#[derive(Debug)]
struct Held {
    details: graph::Call,
    /// The newest number in `@odata.etag`.
    version: u64,
    tones_seen: BTreeSet<i64>,
    media_active: bool,
    /// Actions whose operations have not ended, by the context that went with them.
    waiting: BTreeMap<String, ActionId>,
    operations: BTreeMap<OperationId, graph::Operation>,
    completed: BTreeSet<OperationId>,
    roster: roster::Roster,
    /// Whose the media of the call is, where it is not the platform's.
    own: Option<talk::Own>,
    session: Option<talk::Talk>,
}

/// The app's side of the API.
#[derive(Debug)]
pub struct Bot {
    config: Config,
    epoch: Epoch,
    random: Pcg64,
    outputs: VecDeque<Output>,
    timers: Timers<Timer>,
    calls: BTreeMap<CallId, Held>,
    ended: VecDeque<CallId>,
    by_address: BTreeMap<SocketAddr, CallId>,
    pending: BTreeMap<RequestId, Pending>,
    credential: credential::Credential,
    keys: trust::Keys,
    joining: BTreeMap<RequestId, crate::http::Headers>,
    early: VecDeque<(CallId, graph::CommsNotification)>,
    requests_sent: u64,
    actions: u64,
}

impl Bot {
    /// A bot without calls.
    ///
    /// # Errors
    /// What in the configuration cannot be.
    pub fn new(config: Config, epoch: Epoch, seed: u64) -> Result<Self, ConfigError> {
        if config.request_timeout.is_zero() {
            return Err(ConfigError::Zero("request_timeout"));
        }
        if config.attempts_max == 0 {
            return Err(ConfigError::Zero("attempts_max"));
        }
        if config.keep_alive.is_some_and(|every| every.is_zero()) {
            return Err(ConfigError::Zero("keep_alive"));
        }
        Ok(Self {
            config,
            epoch,
            random: Pcg64::seed_from_u64(seed),
            outputs: VecDeque::new(),
            timers: Timers::default(),
            calls: BTreeMap::new(),
            ended: VecDeque::new(),
            by_address: BTreeMap::new(),
            pending: BTreeMap::new(),
            credential: credential::Credential::default(),
            keys: trust::Keys::default(),
            joining: BTreeMap::new(),
            early: VecDeque::new(),
            requests_sent: 0,
            actions: 0,
        })
    }

    /// Takes in what happened outside.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Request(request) => self.admit(now, request),
            Input::Response(response) => self.take_response(now, response.id, Ok(response)),
            Input::Failed(failure) => self.take_response(now, failure.id, Err(failure.reason)),
            Input::Datagram(datagram) => self.take_datagram(now, datagram),
            Input::Timeout => {}
        }
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Request(id) => {
                    self.take_response(now, id, Err("no answer in time".to_owned()));
                }
                Timer::Again(id) => self.dispatch(now, id),
                Timer::Token => self.token_due(now),
                Timer::Joining(id) => {
                    self.reply_joining(now, id, &JoinReply::Accept);
                }
                Timer::Gone(call) => self.end_call(now, call, None),
                Timer::KeepAlive(call) => {
                    let _ = self.keep_alive(now, call);
                    self.set_keep_alive(now, call);
                }
                Timer::Media(call) => self.media_due(now, call),
            }
        }
    }

    /// What to do next; `None` once there is nothing more to do until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to come back with [`Input::Timeout`] at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// A call as the platform described it last.
    #[must_use]
    pub fn call(&self, call: CallId) -> Option<&graph::Call> {
        self.calls.get(&call).map(|held| &held.details)
    }

    /// Who is in a call, in no order; nobody if the call is not known.
    pub fn roster(&self, call: CallId) -> impl Iterator<Item = &graph::Participant> {
        self.calls.get(&call).into_iter().flat_map(|held| held.roster.participants())
    }

    /// The operations of a call that are known, with those that have ended lately.
    pub fn operations(&self, call: CallId) -> impl Iterator<Item = &graph::Operation> {
        self.calls.get(&call).into_iter().flat_map(|held| held.operations.values())
    }

    /// The calls that are not over.
    pub fn calls(&self) -> impl Iterator<Item = CallId> {
        self.calls.keys().copied()
    }

    fn remember_ended(&mut self, call: CallId) {
        if self.ended.len() == ENDED_REMEMBERED_MAX {
            self.ended.pop_front();
        }
        self.ended.push_back(call);
    }

    fn next_request(&mut self) -> RequestId {
        self.requests_sent += 1;
        RequestId(self.requests_sent)
    }

    fn say(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn set_keep_alive(&mut self, now: Instant, call: CallId) {
        if let (Some(every), true) = (self.config.keep_alive, self.calls.contains_key(&call)) {
            self.timers.set(Timer::KeepAlive(call), now + every);
        }
    }

    /// Keeps a call that is new.
    fn begin_call(&mut self, now: Instant, call: CallId, details: graph::Call) {
        let held = Held {
            details,
            version: 0,
            tones_seen: BTreeSet::new(),
            media_active: false,
            waiting: BTreeMap::new(),
            operations: BTreeMap::new(),
            completed: BTreeSet::new(),
            roster: roster::Roster::default(),
            own: None,
            session: None,
        };
        self.calls.insert(call, held);
        self.set_keep_alive(now, call);
    }

    /// Lets go of a call.
    fn end_call(&mut self, now: Instant, call: CallId, result: Option<graph::ResultInfo>) {
        self.close_media(now, call);
        let Some(held) = self.calls.remove(&call) else { return };
        self.timers.cancel(Timer::KeepAlive(call));
        self.timers.cancel(Timer::Gone(call));
        // What was begun and not told of has ended with the call, whatever became of it.
        for (context, action) in held.waiting {
            let operation = graph::Operation {
                client_context: Some(context),
                status: Some(graph::OperationStatus::Failed),
                result_info: Some(graph::ResultInfo {
                    message: Some("The call is over.".to_owned()),
                    ..graph::ResultInfo::typed()
                }),
                ..graph::Operation::typed()
            };
            let (action, operation) = (Some(action), Box::new(operation));
            self.say(Event::OperationCompleted { call, action, operation });
        }
        self.remember_ended(call);
        self.say(Event::Ended { call, result });
    }
}
