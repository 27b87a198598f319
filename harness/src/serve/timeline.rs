//! What happened, for people who watch: requests and their answers, notifications and
//! theirs, and what the platform says of its calls. The newest are remembered; whoever
//! listens gets the rest as it happens. Secrets are not in it.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use callrig_media::event::Event as MediaEvent;
use callrig_signaling::event::Event;
use callrig_signaling::http::{Headers, Method};
use callrig_signaling::id::LegId;
use serde_json::{Value, json};
use tokio::sync::broadcast;

/// How far a listener may fall behind before it misses something.
const LAG_MAX: usize = 4_096;
/// How many bytes of a body are kept.
const BODY_BYTES_MAX: usize = 16 << 10;

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Counted from 1, without gaps.
    pub number: u64,
    /// When, by the wall clock.
    pub at: SystemTime,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum What {
    /// Somebody asked the API for something.
    Request(Exchange),
    /// It was answered.
    Response(Answer),
    /// The platform asked somebody for something: it delivers a notification, or fetches
    /// a file.
    Sent(Exchange),
    /// That was answered, or not.
    Answered(Answer),
    /// The platform says something.
    Event(Box<Event>),
    /// The session of a person's phone says something.
    Phone(LegId, Box<MediaEvent>),
}

/// A request.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Ties it to its answer, together with the kind of entry.
    pub id: u64,
    /// What to do.
    pub method: Method,
    /// With what.
    pub uri: String,
    /// In order.
    pub headers: Headers,
    /// As it was sent.
    pub body: Bytes,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// That of the request.
    pub id: u64,
    /// How long it took.
    pub took: Duration,
    /// Status, headers and body; or why there is none.
    pub outcome: Result<(u16, Headers, Bytes), String>,
}

/// What happened, and who wants to know.
#[derive(Debug)]
pub struct Timeline {
    sender: broadcast::Sender<Arc<Entry>>,
    history: Mutex<VecDeque<Arc<Entry>>>,
    history_max: usize,
    numbers: AtomicU64,
    exchanges: AtomicU64,
}

impl Timeline {
    /// Nothing has happened yet; so much of it will be remembered.
    #[must_use]
    pub fn new(history_max: usize) -> Self {
        Self {
            sender: broadcast::Sender::new(LAG_MAX),
            history: Mutex::new(VecDeque::new()),
            history_max,
            numbers: AtomicU64::new(0),
            exchanges: AtomicU64::new(0),
        }
    }

    /// A number that ties an answer to its request.
    pub fn exchange(&self) -> u64 {
        self.exchanges.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whether anybody wants to know.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        self.history_max > 0 || self.sender.receiver_count() > 0
    }

    /// Something happened; it is put into words only if somebody wants to know.
    pub fn push(&self, what: impl FnOnce() -> What) {
        if !self.is_watched() {
            return;
        }
        let what = what().shortened();
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let number = self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        let entry = Arc::new(Entry { number, at: SystemTime::now(), what });
        let mut forgotten = None;
        if self.history_max > 0 {
            if history.len() >= self.history_max {
                forgotten = history.pop_front();
            }
            history.push_back(Arc::clone(&entry));
        }
        // Sent with the lock held, so that the order is that of the numbers.
        let _ = self.sender.send(entry);
        drop(history);
        // Its memory has gone cold long ago: nobody waits while it is let go.
        drop(forgotten);
    }

    /// What is remembered after this number, and what happens from now on; nothing is in
    /// both or in neither.
    pub fn watch(&self, after: u64) -> (Vec<Arc<Entry>>, broadcast::Receiver<Arc<Entry>>) {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        let known = history.iter().filter(|entry| entry.number > after).cloned().collect();
        (known, self.sender.subscribe())
    }
}

impl What {
    /// Long bodies are cut: they would be kept for long.
    fn shortened(mut self) -> Self {
        if let Self::Event(event) = &mut self
            && let Event::VoicemailLeft { message: Some(file), .. } = event.as_mut()
        {
            // Kept elsewhere, and not as often; that there is one is what is told.
            *file = Bytes::new();
        }
        let body = match &mut self {
            Self::Request(exchange) | Self::Sent(exchange) => Some(&mut exchange.body),
            Self::Response(answer) | Self::Answered(answer) => {
                answer.outcome.as_mut().ok().map(|(_, _, body)| body)
            }
            Self::Event(_) | Self::Phone(..) => None,
        };
        if let Some(body) = body.filter(|body| body.len() > BODY_BYTES_MAX) {
            // A copy, so that the whole is let go.
            *body = Bytes::copy_from_slice(&body[..BODY_BYTES_MAX]);
        }
        self
    }
}

impl Entry {
    /// The name of its kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self.what {
            What::Request(_) => "request",
            What::Response(_) => "response",
            What::Sent(_) => "sent",
            What::Answered(_) => "answered",
            What::Event(_) => "event",
            What::Phone(..) => "phone",
        }
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut value = match &self.what {
            What::Request(exchange) | What::Sent(exchange) => exchange_value(exchange),
            What::Response(answer) | What::Answered(answer) => answer_value(answer),
            What::Event(event) => event_value(event),
            What::Phone(leg, event) => json!({ "leg": leg, "said": media_value(event) }),
        };
        value["number"] = json!(self.number);
        value["at"] = json!(humantime::format_rfc3339_millis(self.at).to_string());
        value["kind"] = json!(self.kind());
        value
    }
}

fn exchange_value(exchange: &Exchange) -> Value {
    let secret = exchange.uri.to_ascii_lowercase().contains("/oauth2/");
    let body = match secret {
        true => json!("(not shown: it holds a secret)"),
        false => body_value(&exchange.body),
    };
    json!({
        "id": exchange.id,
        "method": exchange.method,
        "uri": exchange.uri,
        "headers": headers_value(&exchange.headers),
        "body": body,
    })
}

fn answer_value(answer: &Answer) -> Value {
    let took_ms = answer.took.as_secs_f64() * 1e3;
    match &answer.outcome {
        Ok((status, headers, body)) => {
            let mut body = body_value(body);
            if let Some(token) = body.get_mut("access_token") {
                *token = json!("(not shown)");
            }
            json!({
                "id": answer.id,
                "tookMs": took_ms,
                "status": status,
                "headers": headers_value(headers),
                "body": body,
            })
        }
        Err(reason) => json!({ "id": answer.id, "tookMs": took_ms, "failure": reason }),
    }
}

fn headers_value(headers: &Headers) -> Value {
    let shown = headers.iter().map(|(name, value)| {
        let secret = ["authorization", "cookie", "proxy-authorization"]
            .iter()
            .any(|secret| name.eq_ignore_ascii_case(secret));
        let value = match value.split_once(' ') {
            Some((scheme, _)) if secret => format!("{scheme} (not shown)"),
            None if secret => "(not shown)".to_owned(),
            _ => value.to_owned(),
        };
        json!([name, value])
    });
    shown.collect()
}

/// JSON as it is, other text as a string, anything else in base64.
fn body_value(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(bytes).unwrap_or_else(|_| match core::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "base64": BASE64.encode(bytes) }),
    })
}

fn event_value(event: &Event) -> Value {
    match event {
        Event::CallStateChanged { call, app, state } => {
            json!({ "event": "callStateChanged", "call": call, "app": app, "state": state })
        }
        Event::CallEnded { call, result } => {
            json!({ "event": "callEnded", "call": call, "result": result.to_graph() })
        }
        Event::UserRung { leg, call, user, .. } => {
            json!({ "event": "userRung", "leg": leg, "call": call, "user": user })
        }
        Event::UserAnswered { call, leg, description } => json!({
            "event": "userAnswered", "call": call, "leg": leg, "description": description,
        }),
        Event::UserWaits { leg } => json!({ "event": "userWaits", "leg": leg }),
        Event::VoicemailLeft { leg, user, message } => json!({
            "event": "voicemailLeft", "leg": leg, "user": user, "message": message.is_some(),
        }),
        Event::LegEnded { leg, result } => {
            json!({ "event": "legEnded", "leg": leg, "result": result.to_graph() })
        }
        Event::ToneHeard { leg, call, tone } => {
            json!({ "event": "toneHeard", "leg": leg, "call": call, "tone": tone })
        }
        Event::OperationStarted { call, operation, kind } => json!({
            "event": "operationStarted", "call": call, "operation": operation,
            "kindOfOperation": kind,
        }),
        Event::OperationEnded { call, operation, kind, status, result } => json!({
            "event": "operationEnded", "call": call, "operation": operation,
            "kindOfOperation": kind, "status": status, "result": result.to_graph(),
        }),
        Event::NotificationSent { call, request, sequence, attempt } => json!({
            "event": "notificationSent", "call": call, "request": request, "sequence": sequence,
            "attempt": attempt,
        }),
        Event::NotificationDelivered { call, sequence, attempts, took } => json!({
            "event": "notificationDelivered", "call": call, "sequence": sequence,
            "attempts": attempts, "tookMs": took.as_secs_f64() * 1e3,
        }),
        Event::NotificationGivenUp { call, sequence, attempts, reason } => json!({
            "event": "notificationGivenUp", "call": call, "sequence": sequence,
            "attempts": attempts, "reason": reason,
        }),
        Event::Media { leg, call, event } => json!({
            "event": "media", "leg": leg, "call": call, "said": media_value(event),
        }),
        Event::MediaEnded { leg, call, stats } => {
            json!({ "event": "mediaEnded", "leg": leg, "call": call, "stats": stats })
        }
        // The rest in the words of the machine: of use to people, not to programs.
        other => json!({ "event": "other", "words": format!("{other:?}") }),
    }
}

fn media_value(event: &MediaEvent) -> Value {
    match event {
        MediaEvent::StreamStarted(started) => json!({ "streamStarted": started }),
        MediaEvent::StreamEnded { ssrc, reason } => {
            json!({ "streamEnded": { "ssrc": ssrc, "reason": reason } })
        }
        MediaEvent::Tone(tone) => {
            json!({ "tone": { "tone": tone.tone, "inBand": tone.in_band } })
        }
        MediaEvent::Contributors { ssrc, csrcs } => {
            json!({ "contributors": { "ssrc": ssrc, "csrcs": &**csrcs } })
        }
        MediaEvent::BandwidthEstimated { bits_per_second } => {
            json!({ "bandwidthEstimated": { "bitsPerSecond": bits_per_second } })
        }
        MediaEvent::Dropped(dropped) => json!({ "dropped": {
            "reason": dropped.reason,
            "ssrc": dropped.ssrc,
            "sequenceNumber": dropped.sequence_number,
        }}),
        MediaEvent::RemoteReport(report) => json!({ "remoteReport": {
            "ssrc": report.ssrc,
            "fractionLost": report.fraction_lost,
            "packetsLost": report.packets_lost,
            "jitter": report.jitter,
            "roundTripTimeMs": report.round_trip_time.map(|time| time.as_secs_f64() * 1e3),
        }}),
        other => json!({ "other": format!("{other:?}") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, body: &'static [u8]) -> What {
        What::Request(Exchange {
            id: 1,
            method: Method::Post,
            uri: uri.to_owned(),
            headers: [("authorization", "Bearer abc.def")].into(),
            body: Bytes::from_static(body),
        })
    }

    #[test]
    fn the_newest_are_remembered_and_numbers_have_no_gaps() {
        let timeline = Timeline::new(2);
        for _ in 0..3 {
            timeline.push(|| request("/", b"{}"));
        }
        let (known, _) = timeline.watch(0);
        let numbers: Vec<u64> = known.iter().map(|entry| entry.number).collect();
        assert_eq!(numbers, [2, 3]);
        assert!(timeline.watch(3).0.is_empty());
    }

    #[test]
    fn who_listens_gets_what_happens_and_nobody_costs_nothing() {
        let timeline = Timeline::new(0);
        assert!(!timeline.is_watched());
        timeline.push(|| unreachable!("nobody wants to know"));
        let (_, mut receiver) = timeline.watch(0);
        timeline.push(|| request("/x", b"{}"));
        assert_eq!(receiver.try_recv().map(|entry| entry.kind()), Ok("request"));
    }

    #[test]
    fn secrets_are_not_shown() {
        let timeline = Timeline::new(8);
        timeline.push(|| request("/t/oauth2/v2.0/token", b"client_secret=hush"));
        timeline.push(|| {
            let body = Bytes::from_static(br#"{"access_token":"hush"}"#);
            let took = Duration::from_millis(1);
            What::Response(Answer { id: 1, took, outcome: Ok((200, Headers::new(), body)) })
        });
        let (known, _) = timeline.watch(0);
        let text: String = known.iter().map(|entry| entry.to_json().to_string()).collect();
        assert!(!text.contains("hush") && !text.contains("abc.def"), "{text}");
        assert!(text.contains("Bearer (not shown)"), "{text}");
    }

    #[test]
    fn long_bodies_are_cut() {
        let timeline = Timeline::new(8);
        timeline.push(|| request("/", &[b'x'; BODY_BYTES_MAX + 1]));
        let (known, _) = timeline.watch(0);
        let What::Request(exchange) = &known[0].what else { panic!("it is a request") };
        assert_eq!(exchange.body.len(), BODY_BYTES_MAX);
    }
}
