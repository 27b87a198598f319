//! The platform: it rings bots, answers their requests, tells them what happens, and
//! carries or handles the media of their calls. [`Service`] is a pure machine (DESIGN of
//! the core: `handle_input`, `poll_output`, `poll_timeout`); people act through its
//! command methods. Delivery of notifications, which no document defines, is laid down
//! in [`Delivery`].

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::ops::RangeInclusive;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use callrig_media::time::{Epoch, Instant};
use rand::{RngExt as _, SeedableRng as _};
use rand_pcg::Pcg64;

pub use crate::attach::WebRtc;
use crate::attach::{self, Attachments};
use crate::auth::{Authority, Tokens};
use crate::call::Call;
use crate::call::queue::PromptKey;
use crate::call::result::EndResult;
use crate::call::timer::Timers;
use crate::event::{DropReason, Event};
use crate::exchange::{self, Input};
use crate::http::RequestId;
use crate::id::{AppId, CallId, ConversationId, LegId, OperationId, RecordingId, UserId};

mod answering;
mod api;
mod calls;
mod conference;
mod dialing;
pub mod directory;
mod fork;
mod life;
mod login;
mod meetings;
mod notify;
mod oversight;
mod pairing;
mod people;
mod presence;
mod prompts;
mod query;
mod quota;
mod redirect;
mod reply;
mod roster;
mod route;
mod sound;
mod target;
mod transfer;
mod uris;
mod view;
mod voicemail;

pub use conference::{Arrival, Destination, Party, Standing};
pub use directory::{Directory, DirectoryError};
pub use oversight::{CallLine, LegLine, Load};
pub(crate) use people::modalities_of;
pub use people::{CommandError, Ringing};
pub use presence::Presence;
pub(crate) use route::form_decode;
pub use uris::{URI_BYTES_MAX, UriPolicy};

/// What a service answers.
pub type Output = exchange::Output<Event>;

/// How notifications are delivered: in order per call and one at a time per call. An
/// attempt without an answer, with a fault of the network, or answered 408, 429 or 5xx
/// is made again after a pause that doubles; after the last one, or any other answer
/// that is not 2xx, the call ends with a result that says why. 302, 303, 307 and 308
/// lead to another deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// How long one attempt may take.
    pub attempt_timeout: Duration,
    /// How many attempts are made.
    pub attempts_max: u32,
    /// The pause after the first attempt.
    pub backoff_first: Duration,
    /// The longest pause.
    pub backoff_max: Duration,
    /// By how much of itself a pause is lengthened at random, at most; in hundredths.
    pub jitter_percent: u32,
    /// How many notifications of a call may wait.
    pub backlog_max: usize,
    /// How many redirects one attempt follows.
    pub redirects_max: u32,
    /// How many notifications one POST may hold, when several wait for one place.
    pub batch_max: usize,
    /// Whether an incoming call is told in Skype's form first, as the platform does for
    /// some bots: one that answers 204 is told again in the form of today.
    pub legacy_first: bool,
    /// What deployments are seen to do and no bot should stumble over.
    pub quirks: Quirks,
}

/// What deployments are seen to do and no bot should stumble over; off unless asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quirks {
    /// `established` is told before `establishing` (documented: "may arrive out of order").
    pub established_first: bool,
    /// Members of enumerations are written in PascalCase, as the metadata has some.
    pub pascal_case: bool,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            attempt_timeout: Duration::from_secs(5),
            attempts_max: 5,
            backoff_first: Duration::from_millis(500),
            backoff_max: Duration::from_secs(8),
            jitter_percent: 20,
            backlog_max: 512,
            redirects_max: 3,
            batch_max: 1,
            legacy_first: false,
            quirks: Quirks::default(),
        }
    }
}

/// Windows and limits. Defaults are the documented values where there are any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// To answer, reject or redirect an incoming call.
    pub answer_window: Duration,
    /// The same for a call that records by policy.
    pub recording_answer_window: Duration,
    /// How long a call lives without keepAlive.
    pub keep_alive: Duration,
    /// How long a person's telephone rings.
    pub ringing: Duration,
    /// How long somebody waits in a lobby.
    pub lobby: Duration,
    /// How long bots wait in a meeting to which nobody comes (ours).
    pub alone: Duration,
    /// Calls of one app at once.
    pub calls_per_app_max: usize,
    /// Calls of one person at once, beyond which the telephone does not ring; 0 for any
    /// number.
    pub calls_per_person_max: usize,
    /// How long a voicemail message may be, up to 120 s (ours).
    pub voicemail: Duration,
    /// Calls of one app in 30 days, 10,000 on the real platform; 0 for any number.
    pub calls_per_month_max: u64,
    /// Requests of one app in a second; 0 for any number.
    pub requests_per_second_max: u32,
    /// Legs of one conversation.
    pub legs_max: usize,
    /// Bytes of a prompt's file (ours).
    pub prompt_bytes_max: usize,
    /// Bytes of all prompts that are kept (ours).
    pub prompt_cache_bytes_max: usize,
    /// How long the fetching of a prompt may take (ours).
    pub prompt_fetch: Duration,
    /// How long a recording can be fetched after its call (ours).
    pub recording_kept: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            answer_window: Duration::from_secs(15),
            recording_answer_window: Duration::from_secs(5),
            keep_alive: Duration::from_secs(45 * 60),
            ringing: Duration::from_secs(60),
            lobby: Duration::from_secs(30 * 60),
            alone: Duration::from_secs(30 * 60),
            calls_per_app_max: 100,
            calls_per_person_max: 1,
            voicemail: Duration::from_secs(120),
            calls_per_month_max: 0,
            requests_per_second_max: 2000,
            legs_max: 1000,
            prompt_bytes_max: 16 << 20,
            prompt_cache_bytes_max: 256 << 20,
            prompt_fetch: Duration::from_secs(10),
            recording_kept: Duration::from_secs(120),
        }
    }
}

/// How the platform knows who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Authentication {
    /// By name: the bearer token is the app's id. Without a token the caller is the only
    /// app there is. For simulated worlds and tests.
    #[default]
    ByName,
    /// By tokens of the platform's own login service; notifications carry one as well.
    Tokens(Tokens),
}

/// What a service is built from.
#[derive(Clone, Debug)]
pub struct Config {
    /// Scheme and host of the API, for `Location` headers and recordings.
    pub base_url: String,
    /// Which shard this is; call ids carry it.
    pub shard: u16,
    /// Where media is received.
    pub media_address: IpAddr,
    /// On which ports; one per leg that has media.
    pub media_ports: RangeInclusive<u16>,
    /// Whether an address can be had: other programs of the machine have ports as well.
    pub is_free: fn(SocketAddr) -> bool,
    /// How WebRTC peers reach it: browsers, and bots whose blob is an offer of WebRTC.
    pub webrtc: Option<WebRtc>,
    /// Who there is.
    pub directory: Directory,
    /// Windows and limits.
    pub limits: Limits,
    /// How notifications are delivered.
    pub delivery: Delivery,
    /// Which URIs may be called.
    pub uris: UriPolicy,
    /// How the caller of the API is known.
    pub authentication: Authentication,
    /// Whether a call that rings at a person is announced as `ringing` (beta), a state
    /// that v1.0's metadata leaves out.
    pub announce_ringing: bool,
    /// Whether bots are told of rosters once a peer-to-peer call has become a conference:
    /// the platform of 2018 and 2019 did not, later ones do.
    pub rosters_after_escalation: bool,
    /// Which apps may remove participants (a setting of the tenant); `None` for all.
    pub may_remove_participants: Option<BTreeSet<AppId>>,
    /// Whether the sound that the platform decodes is said as events too (20 ms each).
    pub sound_events: bool,
    /// Whether every RTP packet that arrives is said as an event.
    pub packet_events: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            base_url: "https://graph.microsoft.com".to_owned(),
            shard: 0,
            media_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            media_ports: 20_000..=59_999,
            is_free: |_| true,
            webrtc: None,
            directory: Directory::default(),
            limits: Limits::default(),
            delivery: Delivery::default(),
            uris: UriPolicy::default(),
            authentication: Authentication::default(),
            announce_ringing: false,
            rosters_after_escalation: false,
            may_remove_participants: None,
            sound_events: false,
            packet_events: false,
        }
    }
}

/// Why a service cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The directory contradicts itself.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// No port for media.
    #[error("the range of media ports is empty")]
    NoPorts,
    /// No key to sign tokens with.
    #[error("authentication by tokens needs a key")]
    NoKeys,
    /// A number that cannot be.
    #[error("{0} must not be zero")]
    Zero(&'static str),
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Timer {
    /// The bot's window to answer.
    Answer(CallId),
    /// A person's telephone rings no longer.
    Ringing(LegId),
    /// Nobody let it in.
    Lobby(LegId),
    /// Nobody came to the meeting.
    Alone(ConversationId),
    /// Nobody took a redirected or transferred call.
    Fork(ConversationId),
    /// No keepAlive came.
    KeepAlive(CallId),
    /// The next attempt, or the end of this one.
    Delivery(CallId),
    /// A media session asked for it.
    Media(LegId),
    /// 20 ms of a conference's sound.
    Room(ConversationId),
    /// A prompt takes too long to come.
    Fetch(RequestId),
    /// The next tone of `sendDtmfTones`.
    Tones(CallId, OperationId),
    /// A recording is thrown away.
    Recording(RecordingId),
}

/// What a request of ours is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// It delivers the call's notification.
    Notification(CallId),
    /// It fetches a prompt.
    Prompt(PromptKey),
}

/// The platform.
#[derive(Debug)]
pub struct Service {
    config: Config,
    epoch: Epoch,
    random: Pcg64,
    outputs: VecDeque<Output>,
    timers: Timers<Timer>,
    directory: directory::Index,
    calls: BTreeMap<CallId, Call>,
    calls_per_app: BTreeMap<AppId, usize>,
    quotas: quota::Quotas,
    /// Of people whose telephones do not simply ring.
    presences: BTreeMap<UserId, Presence>,
    legs_of_people: BTreeMap<UserId, usize>,
    /// Who waits while it rings for them, and in which conversation it does.
    anchors: BTreeMap<LegId, ConversationId>,
    /// Voicemail boxes that record, by the leg at which they do.
    voicemails: BTreeMap<LegId, voicemail::Recording>,
    conversations: BTreeMap<ConversationId, conference::Conversation>,
    live: conference::Live,
    /// Which bot records a person.
    recording_policies: BTreeMap<UserId, AppId>,
    legs: BTreeMap<LegId, ConversationId>,
    outboxes: BTreeMap<CallId, notify::Outbox>,
    /// Conferences whose rosters changed, and when.
    rosters_due: BTreeMap<ConversationId, Instant>,
    waiting: BTreeMap<RequestId, Waiting>,
    requests_sent: u64,
    media: Attachments,
    prompts: prompts::Prompts,
    recordings: BTreeMap<RecordingId, sound::Recording>,
    meetings: meetings::Meetings,
    authority: Option<Authority>,
}

impl Service {
    /// A platform without calls.
    ///
    /// # Errors
    /// What in the configuration cannot be.
    pub fn new(mut config: Config, epoch: Epoch, seed: u64) -> Result<Self, ConfigError> {
        if config.media_ports.is_empty() {
            return Err(ConfigError::NoPorts);
        }
        for (name, zero) in [
            ("delivery.attempts_max", config.delivery.attempts_max == 0),
            ("delivery.backlog_max", config.delivery.backlog_max == 0),
            ("delivery.attempt_timeout", config.delivery.attempt_timeout.is_zero()),
            ("limits.answer_window", config.limits.answer_window.is_zero()),
        ] {
            if zero {
                return Err(ConfigError::Zero(name));
            }
        }
        let authority = match core::mem::take(&mut config.authentication) {
            Authentication::ByName => None,
            Authentication::Tokens(rule) if rule.keys.is_empty() => {
                return Err(ConfigError::NoKeys);
            }
            Authentication::Tokens(rule) => Some(Authority::new(rule, &config.base_url)),
        };
        let directory = directory::Index::new(config.directory.clone())?;
        let media = {
            let ports = config.media_ports.clone();
            Attachments::new(config.media_address, ports, epoch, config.sound_events)
                .with_port_check(config.is_free)
                .with_webrtc(config.webrtc.clone())
                .with_packet_events(config.packet_events)
        };
        let prompts = prompts::Prompts::new(config.limits.prompt_cache_bytes_max);
        Ok(Self {
            config,
            epoch,
            random: Pcg64::seed_from_u64(seed),
            outputs: VecDeque::new(),
            timers: Timers::default(),
            directory,
            calls: BTreeMap::new(),
            calls_per_app: BTreeMap::new(),
            quotas: quota::Quotas::default(),
            presences: BTreeMap::new(),
            legs_of_people: BTreeMap::new(),
            anchors: BTreeMap::new(),
            voicemails: BTreeMap::new(),
            conversations: BTreeMap::new(),
            live: conference::Live::default(),
            recording_policies: BTreeMap::new(),
            legs: BTreeMap::new(),
            outboxes: BTreeMap::new(),
            rosters_due: BTreeMap::new(),
            waiting: BTreeMap::new(),
            requests_sent: 0,
            media,
            prompts,
            recordings: BTreeMap::new(),
            meetings: meetings::Meetings::default(),
            authority,
        })
    }

    /// Takes in what happened outside. What a peer does wrong becomes an error response
    /// or an event.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Request(request) => self.serve(now, &request),
            Input::Response(response) => self.take_response(now, response.id, Ok(response)),
            Input::Failed(failure) => self.take_response(now, failure.id, Err(failure.reason)),
            Input::Datagram(datagram) => {
                match self.media.handle_datagram(now, datagram) {
                    Some(leg) => self.media_moved(leg),
                    None => self.say(Event::Dropped { reason: DropReason::NoSuchLeg }),
                }
                self.drain_media(now);
            }
            Input::Timeout => {}
        }
        while let Some(timer) = self.timers.pop_due(now) {
            self.take_timer(now, timer);
        }
    }

    /// What to do next; `None` once there is nothing more to do until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(attach::AddressChange { leg, address, taken }) = self.media.poll_address() {
            return Some(Output::Event(match taken {
                true => Event::AddressTaken { leg, address },
                false => Event::AddressReleased { leg, address },
            }));
        }
        if self.outputs.is_empty() {
            self.tell_rosters();
        }
        self.outputs.pop_front()
    }

    /// When to come back with [`Input::Timeout`] at the latest; `None` if nothing is
    /// pending.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn take_response(
        &mut self,
        now: Instant,
        id: RequestId,
        outcome: Result<crate::http::Response, String>,
    ) {
        match self.waiting.remove(&id) {
            Some(Waiting::Notification(call)) => self.notification_answered(now, call, outcome),
            Some(Waiting::Prompt(key)) => {
                self.timers.cancel(Timer::Fetch(id));
                self.prompt_answered(now, &key, outcome);
            }
            None => self.say(Event::Dropped { reason: DropReason::UnexpectedResponse }),
        }
    }

    fn take_timer(&mut self, now: Instant, timer: Timer) {
        match timer {
            Timer::Answer(call) => self.answer_window_over(now, call),
            Timer::Ringing(leg) => self.ringing_over(now, leg),
            Timer::Lobby(leg) => self.turn_away(now, leg, &EndResult::lobby_timeout()),
            Timer::Alone(conversation) => self.alone_for_too_long(now, conversation),
            Timer::Fork(conversation) => self.fork_over(now, conversation),
            Timer::KeepAlive(call) => self.keep_alive_over(now, call),
            Timer::Delivery(call) => self.delivery_due(now, call),
            Timer::Media(leg) => {
                self.media.handle_timeout(now, leg);
                self.media_moved(leg);
                self.drain_media(now);
            }
            Timer::Room(room) => {
                self.media.handle_room_timeout(now, room);
                self.room_moved(room);
                self.drain_media(now);
            }
            Timer::Fetch(request) => {
                if let Some(Waiting::Prompt(key)) = self.waiting.remove(&request) {
                    self.prompt_answered(now, &key, Err("it takes too long".to_owned()));
                }
            }
            Timer::Tones(call, operation) => self.next_tone(now, call, operation),
            Timer::Recording(id) => {
                self.recordings.remove(&id);
            }
        }
    }

    /// A leg's media session may want another moment.
    fn media_moved(&mut self, leg: LegId) {
        if let Some(at) = self.media.moved(leg) {
            self.timers.set_or_cancel(Timer::Media(leg), at);
        }
    }

    fn room_moved(&mut self, room: ConversationId) {
        self.timers.set_or_cancel(Timer::Room(room), self.media.room_timeout(room));
    }

    /// Passes on what the media sessions have to say.
    fn drain_media(&mut self, now: Instant) {
        while let Some(output) = self.media.poll_output() {
            match output {
                attach::Output::Datagram(datagram) => {
                    self.outputs.push_back(Output::Datagram(datagram));
                }
                attach::Output::Moved(leg) => self.media_moved(leg),
                attach::Output::RoomMoved(room) => self.room_moved(room),
                attach::Output::Event(leg, event) => self.media_said(now, leg, event),
            }
        }
    }

    fn say(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn random_bits(&mut self) -> u128 {
        self.random.random()
    }

    fn next_request(&mut self) -> RequestId {
        self.requests_sent += 1;
        RequestId(self.requests_sent)
    }
}
