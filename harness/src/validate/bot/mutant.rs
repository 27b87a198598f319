//! Bots with a fault: a bot that is in order, and one thing about what it sends, answers or
//! believes that is changed at the edge between it and the platform. A fault is data (see
//! [`faults`]); what it does is here.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use callrig_media::time::Instant;
use callrig_signaling::http::{Method, Request, RequestId, Response};

use super::transcript::{Kind, action_of, kinds_of};
use crate::actor::{Actor, Input, Output};

mod edit;
pub mod faults;
mod gullible;
pub mod matrix;
mod packets;

pub use edit::{AskChange, FileChange};
pub use gullible::Lapse;
use packets::{Held, Spoiler};
pub use packets::{Line, WireChange};

/// Numbers of requests that are not the bot's own begin here.
const OWN_FIRST: u64 = 1 << 40;
/// How often a storm sends the same again.
const STORM_MAX: u32 = 25;

/// What is changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Notifications are answered with another status.
    Reply(To, u16),
    /// They are answered so many milliseconds late.
    ReplyLate(To, u64),
    /// They are not answered.
    NoReply(To),
    /// From such a notification on, nothing is answered or asked any more.
    Dies(To),
    /// After such a notification the bot hangs up.
    HangsUp(To),
    /// Notifications are answered with 202 and not looked at, from the nth on.
    Deaf(Kind, u32),
    /// A request is changed, from the nth on.
    Ask(&'static str, u32, AskChange),
    /// When the same notification comes again, the last request of this kind is sent again.
    Again(Kind, &'static str),
    /// The same, unless it comes again within a second: so long it is remembered.
    Forgets(Kind, &'static str),
    /// Refused with one of these, a request is sent again after a pause, so many times.
    Resend {
        /// Which.
        action: &'static str,
        /// Refused with what.
        status: u16,
        /// After how many milliseconds.
        pause_ms: u64,
        /// How often.
        times: u32,
    },
    /// An answer is taken for one with another status.
    Mistakes(&'static str, u16, u16),
    /// Without an answer after so many milliseconds, a request is sent again.
    Impatient(&'static str, u64),
    /// Two seconds after the end of a call, the last request of this kind is sent again.
    AfterEnd(&'static str),
    /// While a call stands, it is read each so many milliseconds.
    Polls(u64),
    /// For each request, a token is asked for.
    TokenEach,
    /// With the answer to a call, something is asked for that the call is not ready for.
    Premature(&'static str, &'static str),
    /// A check of tokens is left out; of notifications of this kind only, if one is named.
    Gullible(Lapse, Option<Kind>),
    /// A file is handed out otherwise.
    File(FileChange),
    /// The keys of the platform are looked up once, and never again.
    KeysOnce,
    /// A second call is rejected when the first ended before it stood.
    LosesHeart,
    /// Its media is spoilt on the way.
    Wire(WireChange),
}

/// Which notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// All.
    Any,
    /// Those of this kind.
    Kind(Kind),
    /// Those in whose body this stands.
    Text(&'static str),
    /// What is no JSON, but not empty.
    Garbage,
    /// What is empty.
    Nothing,
    /// What is larger than most.
    Large,
    /// About calls that were never announced, alone.
    Stranger,
}

impl To {
    fn meets(self, request: &Request) -> bool {
        let body = &request.body;
        let is_json = || serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
        match self {
            Self::Any => true,
            Self::Kind(kind) => kinds_of(request).contains(&kind),
            Self::Text(text) => body.windows(text.len()).any(|part| part == text.as_bytes()),
            Self::Garbage => !body.is_empty() && body.len() < 100 && !is_json(),
            Self::Nothing => request.method == Method::Post && body.is_empty(),
            Self::Large => body.len() > 100_000,
            Self::Stranger => {
                let text = String::from_utf8_lossy(body);
                text.contains("ffff0000-0000") && text.contains("established")
            }
        }
    }
}

/// A bot with a fault.
pub struct Mutant {
    inner: Box<dyn Actor>,
    change: Change,
    now: Instant,
    outputs: VecDeque<Output>,
    later: BTreeMap<(Instant, u64), Later>,
    decided: u64,
    /// Requests of the platform that await the bot's answer.
    told: BTreeMap<RequestId, Request>,
    /// Requests of the bot that await the platform's, and how often each was sent again.
    asked: BTreeMap<RequestId, (Request, u32)>,
    last: BTreeMap<&'static str, Request>,
    counts: BTreeMap<&'static str, u32>,
    /// Bodies of notifications, and when they came first.
    seen: Vec<(bytes::Bytes, Instant)>,
    heard: u32,
    call: Option<String>,
    over: bool,
    stood: bool,
    dead: bool,
    spoiler: Option<Spoiler>,
}

enum Later {
    Send(Request),
    Reply(Response),
    Again(RequestId),
    Poll,
    AfterEnd,
    Media(Held),
}

impl Mutant {
    /// A bot with this fault.
    #[must_use]
    pub fn new(inner: Box<dyn Actor>, change: Change) -> Self {
        let spoiler = match change {
            Change::Wire(change) => Some(Spoiler::new(change)),
            _ => None,
        };
        Self {
            spoiler,
            inner,
            change,
            now: Instant::ZERO,
            outputs: VecDeque::new(),
            later: BTreeMap::new(),
            decided: 0,
            told: BTreeMap::new(),
            asked: BTreeMap::new(),
            last: BTreeMap::new(),
            counts: BTreeMap::new(),
            seen: Vec::new(),
            heard: 0,
            call: None,
            over: false,
            stood: false,
            dead: false,
        }
    }

    fn put(&mut self, after_ms: u64, later: Later) {
        self.decided += 1;
        let at = self.now + Duration::from_millis(after_ms);
        self.later.insert((at, self.decided), later);
    }

    /// Media that is sent, or heard, now or later.
    fn hold(&mut self, fate: packets::Fate) {
        for (after, held) in fate {
            match held {
                Held::Out(datagram) if after.is_zero() => {
                    self.outputs.push_back(Output::Datagram(datagram));
                }
                Held::In(datagram) if after.is_zero() => {
                    self.inner.handle_input(self.now, Input::Datagram(datagram));
                }
                held => {
                    self.decided += 1;
                    self.later.insert((self.now + after, self.decided), Later::Media(held));
                }
            }
        }
    }

    fn own(&mut self) -> RequestId {
        self.decided += 1;
        RequestId(OWN_FIRST + self.decided)
    }

    /// Something came from the platform; what the bot is to see of it.
    fn take(&mut self, input: Input) -> Option<Input> {
        match input {
            Input::Request(request) => self.take_request(request).map(Input::Request),
            Input::Response(response) => self.take_response(response).map(Input::Response),
            Input::Failed(failure) if failure.id.0 >= OWN_FIRST => None,
            Input::Datagram(datagram) if self.spoiler.is_some() => {
                let fate = self.spoiler.as_ref().map(|spoiler| spoiler.comes(datagram));
                self.hold(fate.unwrap_or_default());
                None
            }
            other => Some(other),
        }
    }

    fn take_request(&mut self, mut request: Request) -> Option<Request> {
        if request.method == Method::Post {
            self.notice(&request);
        }
        if self.dead {
            return None;
        }
        self.told.insert(request.id, request.clone());
        match self.change.clone() {
            Change::Dies(to) if to.meets(&request) => {
                self.dead = true;
                return None;
            }
            Change::HangsUp(to) if to.meets(&request) => self.hang_up(),
            Change::Deaf(kind, from) if kinds_of(&request).contains(&kind) => {
                self.heard += 1;
                if self.heard >= from {
                    self.outputs.push_back(Output::Response(Response::empty(request.id, 202)));
                    return None;
                }
            }
            Change::Again(kind, action) | Change::Forgets(kind, action)
                if kinds_of(&request).contains(&kind) =>
            {
                let forgets = matches!(self.change, Change::Forgets(..));
                let known = self.seen.iter().find(|(body, _)| *body == request.body);
                let again = known.is_some_and(|(_, first)| {
                    !forgets || self.now.since(*first) > Duration::from_secs(1)
                });
                if again && let Some(last) = self.last.get(action).cloned() {
                    self.send_own(last);
                }
                self.seen.push((request.body.clone(), self.now));
            }
            Change::Gullible(lapse, only) => {
                let is_meant = only.is_none_or(|kind| kinds_of(&request).contains(&kind));
                if is_meant && gullible::lets_pass(lapse, &request) {
                    gullible::make_good(&mut request);
                }
            }
            _ => {}
        }
        Some(request)
    }

    /// What a notification says of the call.
    fn notice(&mut self, request: &Request) {
        let kinds = kinds_of(request);
        if kinds.contains(&Kind::Incoming) && self.over {
            (self.over, self.stood) = (false, self.stood);
        }
        self.stood |= kinds.contains(&Kind::Established);
        if kinds.contains(&Kind::MediaActive)
            && let Change::Polls(every) = self.change
        {
            self.put(every, Later::Poll);
        }
        if kinds.contains(&Kind::Terminated) && !self.over {
            self.over = true;
            let fate = self.spoiler.as_ref().map(Spoiler::after_end);
            self.hold(fate.unwrap_or_default());
            if matches!(self.change, Change::AfterEnd(_)) {
                self.put(2_000, Later::AfterEnd);
            }
            if matches!(self.change, Change::LosesHeart) && !self.stood {
                self.dead = true;
                self.outputs.push_back(Output::Response(Response::empty(request.id, 202)));
            }
        }
    }

    fn take_response(&mut self, mut response: Response) -> Option<Response> {
        if response.id.0 >= OWN_FIRST {
            return None;
        }
        let (request, sent) = self.asked.get(&response.id).cloned()?;
        let action = action_of(request.method, &request.uri);
        match self.change {
            Change::Resend { action: meant, status, pause_ms, times }
                if meant == action && status == response.status && sent < times.min(STORM_MAX) =>
            {
                self.put(pause_ms, Later::Again(response.id));
                return None;
            }
            Change::Mistakes(meant, status, other)
                if meant == action && status == response.status =>
            {
                response.status = other;
            }
            _ => {}
        }
        self.asked.remove(&response.id);
        Some(response)
    }

    fn hang_up(&mut self) {
        let Some(uri) = self.call.clone() else { return };
        let Some(like) = self.last.values().next().cloned() else { return };
        self.send_own(Request { method: Method::Delete, uri, body: bytes::Bytes::new(), ..like });
    }

    fn send_own(&mut self, request: Request) {
        let id = self.own();
        self.outputs.push_back(Output::Request(Request { id, ..request }));
    }

    /// The bot does something; what the platform is to see of it.
    fn pass(&mut self, output: Output) {
        match output {
            Output::Request(request) if !self.dead => self.pass_request(request),
            Output::Response(response) if !self.dead => self.pass_response(response),
            Output::Request(_) | Output::Response(_) => {}
            Output::Datagram(datagram) if self.spoiler.is_some() => {
                let now = self.now;
                let fate = self.spoiler.as_mut().map(|spoiler| spoiler.goes(now, datagram));
                self.hold(fate.unwrap_or_default());
            }
            other => self.outputs.push_back(other),
        }
    }

    fn pass_request(&mut self, mut request: Request) {
        let action = action_of(request.method, &request.uri);
        let count = self.counts.entry(action).or_insert(0);
        *count += 1;
        let nth = *count;
        let about_calls = !matches!(action, "token" | "metadata" | "keys");
        if about_calls
            && action != "create"
            && let Some(end) = end_of_call(&request.uri)
        {
            self.call = Some(request.uri[..end].to_owned());
        }
        self.last.insert(action, request.clone());
        self.asked.insert(request.id, (request.clone(), 0));
        match self.change.clone() {
            Change::Ask(meant, from, change)
                if (meant == action || (meant == "*" && about_calls)) && nth >= from =>
            {
                match change {
                    AskChange::Drop => return,
                    AskChange::Late(after_ms) => {
                        return self.put(after_ms, Later::Send(request));
                    }
                    AskChange::Twice => self.send_own(request.clone()),
                    change => edit::apply(&change, &mut request),
                }
            }
            Change::Impatient(meant, after_ms) if meant == action && nth == 1 => {
                self.put(after_ms, Later::Again(request.id));
            }
            Change::TokenEach if about_calls => {
                if let Some(token) = self.last.get("token").cloned() {
                    self.send_own(token);
                }
            }
            Change::Premature(name, body) if matches!(action, "answer" | "create") => {
                if let Some(uri) = self.call.clone() {
                    let uri = format!("{uri}/{name}");
                    let body = bytes::Bytes::from_static(body.as_bytes());
                    self.send_own(Request { uri, body, ..request.clone() });
                }
            }
            Change::KeysOnce if action == "metadata" && nth > 1 => return,
            _ => {}
        }
        self.outputs.push_back(Output::Request(request));
    }

    fn pass_response(&mut self, mut response: Response) {
        let Some(request) = self.told.remove(&response.id) else {
            return self.outputs.push_back(Output::Response(response));
        };
        if request.method == Method::Get {
            if let Change::File(change) = self.change {
                if let FileChange::Late(after_ms) = change {
                    return self.put(after_ms, Later::Reply(response));
                }
                edit::file(change, &mut response);
            }
        } else {
            match self.change {
                Change::Reply(to, status) if to.meets(&request) => {
                    response.status = status;
                }
                Change::ReplyLate(to, after_ms) if to.meets(&request) => {
                    return self.put(after_ms, Later::Reply(response));
                }
                Change::NoReply(to) if to.meets(&request) => return,
                _ => {}
            }
        }
        self.outputs.push_back(Output::Response(response));
    }

    fn do_later(&mut self, later: Later) {
        match later {
            Later::Media(Held::Out(datagram)) => {
                self.outputs.push_back(Output::Datagram(datagram));
            }
            Later::Media(Held::In(datagram)) => {
                self.inner.handle_input(self.now, Input::Datagram(datagram));
            }
            Later::Send(request) => self.outputs.push_back(Output::Request(request)),
            Later::Reply(response) => self.outputs.push_back(Output::Response(response)),
            Later::Again(id) => {
                let Some((request, sent)) = self.asked.get_mut(&id) else { return };
                *sent += 1;
                let request = request.clone();
                match self.change {
                    // The answer to the first may still come, and is the bot's.
                    Change::Impatient(..) => self.send_own(request),
                    _ => self.outputs.push_back(Output::Request(request)),
                }
            }
            Later::Poll => {
                let (false, Some(uri)) = (self.over, self.call.clone()) else { return };
                if let Some(like) = self.last.get("answer").cloned() {
                    let body = bytes::Bytes::new();
                    self.send_own(Request { method: Method::Get, uri, body, ..like });
                }
                if let Change::Polls(every) = self.change {
                    self.put(every, Later::Poll);
                }
            }
            Later::AfterEnd => {
                let Change::AfterEnd(action) = self.change else { return };
                if let Some(last) = self.last.get(action).cloned() {
                    self.send_own(last);
                }
            }
        }
    }
}

/// Where the id of the call ends in a URI that names one.
fn end_of_call(uri: &str) -> Option<usize> {
    let at = uri.find("/calls/")? + "/calls/".len();
    Some(uri[at..].find('/').map_or(uri.len(), |slash| at + slash))
}

impl Actor for Mutant {
    fn handle_input(&mut self, now: Instant, input: Input) {
        self.now = now;
        let due = self.inner.poll_timeout().is_some_and(|at| at <= now);
        match input {
            Input::Timeout if !due => {}
            input => {
                if let Some(input) = self.take(input) {
                    self.inner.handle_input(now, input);
                }
            }
        }
        while let Some(output) = self.inner.poll_output() {
            self.pass(output);
        }
        while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= now) {
            let later = entry.remove();
            self.do_later(later);
            while let Some(output) = self.inner.poll_output() {
                self.pass(output);
            }
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let later = self.later.first_key_value().map(|((at, _), _)| *at);
        [self.inner.poll_timeout(), later].into_iter().flatten().min()
    }
}
