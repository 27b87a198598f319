//! The HTTP side of the API: a request is read within limits, brought to the shard that
//! holds what it is about, and answered. Everything that is not the rig's own belongs to
//! the platform.

use core::sync::atomic::Ordering;
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{
    HeaderMap, HeaderName, HeaderValue, Method as HttpMethod, StatusCode, Uri, header,
};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use callrig_signaling::http::{self, Headers, Method, RequestId};
use callrig_signaling::id::{CallId, LegId, RecordingId};
use http_body_util::{BodyExt as _, Limited};
use rand::RngExt as _;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use tower::ServiceExt as _;

use super::timeline::{Answer, What};
use super::{Live, console, gauges, hands, rig, watch};
use crate::world::live::shard::Unavailable;

/// How many headers of a request are looked at.
const HEADERS_MAX: usize = 100;
/// How many an answer has, and who carries it adds.
const HEADERS_USUAL: usize = 10;
/// What most of them need no more than, name and value.
const HEADER_BYTES_USUAL: usize = 48;

/// Whether a request came by TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Secure(pub bool);

/// Everything that is served.
#[derive(Clone)]
pub struct Front {
    router: Router,
    desk: Arc<Desk>,
}

impl Front {
    /// The front of a platform.
    #[must_use]
    pub fn new(live: Arc<Live>) -> Self {
        let desk = Arc::new(Desk {
            seconds: live.gauges.seconds("callrig_request_seconds", Vec::new()),
            refused: live.gauges.counter("callrig_requests_refused_total", Vec::new()),
            live: Arc::clone(&live),
        });
        let others = Arc::clone(&desk);
        let router = Router::new()
            .route("/metrics", get(watch::metrics))
            .route("/health", get(watch::ready))
            .route("/health/ready", get(watch::ready))
            .route("/health/live", get(watch::live))
            .merge(rig::router(&live))
            .merge(console::router())
            .with_state(live)
            .fallback(move |Extension(secure), request| {
                answer(Arc::clone(&others), secure, request)
            });
        Self { router, desk }
    }

    /// Answers one request. What is the API's by its first segment has nothing to look for
    /// among the routes of the rest.
    pub async fn serve(self, secure: Secure, mut request: Request) -> Response {
        let path = request.uri().path();
        if path.starts_with("/v1.0/") || path.starts_with("/beta/") {
            return answer(self.desk, secure, request).await;
        }
        request.extensions_mut().insert(secure);
        let Ok(response) = self.router.oneshot(request).await;
        response
    }
}

/// What every request to the API needs.
struct Desk {
    live: Arc<Live>,
    seconds: metrics::Histogram,
    refused: metrics::Counter,
}

async fn answer(desk: Arc<Desk>, secure: Secure, request: Request) -> Response {
    let began = Instant::now();
    let (parts, body) = request.into_parts();
    let live = &desk.live;
    let server = &live.settings.server;
    let body = match read(body, server.body_bytes_max, server.body_timeout).await {
        Ok(body) => body,
        Err(problem) => return desk.refuse(&parts.headers, problem),
    };
    let method = Method::parse(parts.method.as_str());
    if live.is_draining() && begins_call(&parts.method, parts.uri.path()) {
        return desk.refuse(&parts.headers, Problem::unavailable(Unavailable::Gone));
    }
    let shard = place(live, &parts.uri, &parts.headers, &body);
    // Whoever is told a base address is behind somebody who knows the scheme better.
    let secure = Some(secure).filter(|_| server.base_url.is_none());
    let uri = target(&parts.uri, &parts.headers, secure);
    let request = http::Request {
        id: RequestId::default(),
        method,
        uri,
        headers: listed(&parts.headers),
        body,
    };
    let number = live.timeline.exchange();
    live.timeline.push(|| What::Request(hands::exchange(number, &request)));
    // An id of no shard of ours is unknown to each of them, and any can say so.
    let outcome = match live.shard(shard).or_else(|_| live.shard(0)) {
        Ok(shard) => shard.request(request).await,
        Err(error) => Err(error),
    };
    let took = began.elapsed();
    gauges::record(&desk.seconds, took);
    match outcome {
        Ok(response) => {
            live.timeline.push(|| {
                let outcome =
                    Ok((response.status, response.headers.clone(), response.body.clone()));
                What::Response(Answer { id: number, took, outcome })
            });
            tracing::debug!(number, %method, status = response.status, ?took, "request");
            respond(response)
        }
        Err(error) => desk.refuse(&parts.headers, Problem::unavailable(error)),
    }
}

impl Desk {
    /// Answers what never reaches the platform, in its words.
    fn refuse(&self, asked: &HeaderMap, problem: Problem) -> Response {
        self.refused.increment(1);
        let mut response = problem.into_response();
        let headers = response.headers_mut();
        let own = HeaderValue::from_str(&LegId::from_u128(rand::rng().random()).to_string());
        for name in ["client-request-id", "scenario-id"] {
            if let Some(value) = asked.get(name) {
                headers.insert(HeaderName::from_static(name), value.clone());
            }
        }
        if let Ok(own) = own {
            headers.insert(HeaderName::from_static("request-id"), own);
        }
        response
    }
}

/// Why a request is not brought to the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The answer's status.
    pub status: StatusCode,
    /// The error's code.
    pub code: &'static str,
    /// Its words.
    pub message: String,
}

impl Problem {
    /// A problem in words.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    fn unavailable(error: Unavailable) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", error.to_string())
    }
}

impl axum::response::IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({ "error": { "code": self.code, "message": self.message } });
        let mut response = (self.status, axum::Json(body)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert("retry-after", HeaderValue::from_static("1"));
        }
        response
    }
}

/// The whole body, if it is small and quick enough.
///
/// # Errors
/// It is neither.
pub async fn read(body: Body, most: usize, patience: Duration) -> Result<Bytes, Problem> {
    use hyper::body::Body as _;
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let too_large = || {
        let message = format!("The body has more than {most} bytes.");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
    };
    if body.size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(patience, Limited::new(body, most).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => {
            let message = format!("The body cannot be read: {error}.");
            Err(Problem::new(StatusCode::BAD_REQUEST, "BadRequest", message))
        }
        Err(_) => {
            let message = format!("The body did not come within {patience:?}.");
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "RequestTimeout", message))
        }
    }
}

/// Headers as the platform takes them; what is no text is left out.
fn listed(headers: &HeaderMap) -> Headers {
    let lines = headers.iter().take(HEADERS_MAX);
    let lines = lines.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let mut listed = Headers::with_capacity(headers.len() * HEADER_BYTES_USUAL);
    listed.extend(lines);
    listed
}

/// What is asked for, with scheme and host if the listener knows them: metadata links to
/// where it was found, and a platform may be found by TLS and without.
fn target(uri: &Uri, headers: &HeaderMap, secure: Option<Secure>) -> String {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let named = || Authority::try_from(headers.get(header::HOST)?.as_bytes()).ok();
    let host = uri.authority().cloned().or_else(named).filter(|host| !host.as_str().contains('@'));
    match (secure, host) {
        (Some(Secure(true)), Some(host)) => format!("https://{host}{path}"),
        (Some(Secure(false)), Some(host)) => format!("http://{host}{path}"),
        _ => path.to_owned(),
    }
}

fn respond(response: http::Response) -> Response {
    let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = Response::new(Body::from(response.body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.reserve(HEADERS_USUAL);
    for (name, value) in response.headers.shared().iter() {
        // What the platform echoes came in as a header, and can go out as one.
        if let (Some(name), Ok(value)) = (named(name), HeaderValue::from_maybe_shared(value)) {
            headers.append(name, value);
        }
    }
    answer
}

/// A header's name. Those of every answer are not put together again each time.
fn named(name: &[u8]) -> Option<HeaderName> {
    static OURS: [HeaderName; 4] = [
        HeaderName::from_static("request-id"),
        HeaderName::from_static("client-request-id"),
        HeaderName::from_static("odata-version"),
        HeaderName::from_static("x-ms-ags-diagnostic"),
    ];
    let known = OURS.iter().find(|known| known.as_str().as_bytes().eq_ignore_ascii_case(name));
    known.cloned().or_else(|| HeaderName::from_bytes(name).ok())
}

fn begins_call(method: &HttpMethod, path: &str) -> bool {
    method == HttpMethod::POST
        && path
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .is_some_and(|last| last.eq_ignore_ascii_case("calls"))
}

/// Which shard a request goes to: that of the call or recording in its path; the first
/// one for meetings and those who join them, so that all of them meet; the app's own for
/// a new call, so that its quotas and transfers are in one place.
fn place(live: &Live, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> u16 {
    let shards = live.shards.len() as u64;
    if shards == 1 {
        return 0;
    }
    let mut segments = uri.path().split('/').filter(|segment| !segment.is_empty());
    while let Some(segment) = segments.next() {
        if segment.eq_ignore_ascii_case("calls") {
            return match segments.next().and_then(CallId::parse) {
                Some(call) => call.shard(),
                None if joins_meeting(body) => 0,
                None => (hash(app_of(headers).as_bytes()) % shards) as u16,
            };
        }
        if segment.eq_ignore_ascii_case("recordings") {
            let recording = segments.next().and_then(RecordingId::parse);
            return recording.map_or(0, RecordingId::shard);
        }
    }
    0
}

/// The shard of a bot's calls.
#[must_use]
pub fn home_of(live: &Live, app: &str) -> u16 {
    (hash(app.to_ascii_lowercase().as_bytes()) % live.shards.len() as u64) as u16
}

#[derive(Deserialize)]
struct Joins {
    #[serde(rename = "meetingInfo")]
    meeting: Option<IgnoredAny>,
    #[serde(rename = "chatInfo")]
    chat: Option<IgnoredAny>,
}

fn joins_meeting(body: &[u8]) -> bool {
    serde_json::from_slice::<Joins>(body)
        .is_ok_and(|body| body.meeting.is_some() || body.chat.is_some())
}

#[derive(Deserialize)]
struct Claims {
    #[serde(alias = "azp")]
    appid: Option<String>,
}

/// Whose token it is. Only to choose a shard: the platform checks it.
fn app_of(headers: &HeaderMap) -> String {
    let token = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok()?.split_once(' '))
        .map_or("", |(_, token)| token.trim());
    let claims = token
        .split('.')
        .nth(1)
        .and_then(|part| URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok())
        .and_then(|bytes| serde_json::from_slice::<Claims>(&bytes).ok());
    let app = claims.and_then(|claims| claims.appid).unwrap_or_else(|| token.to_owned());
    app.to_ascii_lowercase()
}

/// FNV-1a: the same in every run, so that a restart finds things where they were.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// What one shard says of itself, for figures and health.
///
/// # Errors
/// It does not answer.
pub async fn report(live: &Live, number: usize) -> Result<gauges::ShardReport, Unavailable> {
    let shard = live.shards.get(number).ok_or(Unavailable::Gone)?;
    let backlog = shard.backlog();
    let report = shard.ask(move |inside| {
        let service = &inside.actor.service;
        let states = service.calls_by_state();
        gauges::ShardReport {
            load: service.load(),
            calls: states
                .into_iter()
                .map(|(state, count)| (state.to_graph().to_string(), count))
                .collect(),
            sockets: inside.sockets.len(),
            datagrams: inside.sockets.counts(),
            backlog,
            steps: gauges::ShardReport::steps_of(inside.cost),
        }
    });
    report.await
}

/// How many connections are open.
#[must_use]
pub fn connections(live: &Live) -> usize {
    live.connections.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(token: &str) -> HeaderMap {
        let value = HeaderValue::from_str(&format!("Bearer {token}")).expect("text");
        HeaderMap::from_iter([(HeaderName::from_static("authorization"), value)])
    }

    #[test]
    fn an_app_is_known_by_its_name_or_by_the_claims_of_its_token() {
        assert_eq!(app_of(&headers("Echo")), "echo");
        for claims in [r#"{"appid":"ABC"}"#, r#"{"azp":"abc","x":1}"#] {
            let token = format!("h.{}.s", URL_SAFE_NO_PAD.encode(claims));
            assert_eq!(app_of(&headers(&token)), "abc");
        }
        assert_eq!(app_of(&HeaderMap::new()), "");
        assert_eq!(app_of(&headers("a.b.c")), "a.b.c");
    }

    #[test]
    fn what_is_asked_for_says_how_it_was_reached() {
        let host = |host| {
            let value = HeaderValue::from_bytes(host).expect("a value");
            HeaderMap::from_iter([(header::HOST, value)])
        };
        let asked = |uri: &'static str, headers: &HeaderMap, secure: Option<bool>| {
            target(&Uri::from_static(uri), headers, secure.map(Secure))
        };
        let there = host(b"rig.test:9443");
        assert_eq!(asked("/v1/keys?a=b", &there, Some(true)), "https://rig.test:9443/v1/keys?a=b");
        assert_eq!(asked("/v1/keys", &there, Some(false)), "http://rig.test:9443/v1/keys");
        assert_eq!(asked("/v1/keys", &there, None), "/v1/keys");
        // HTTP/2 has no such header.
        let two = asked("https://two.test/v1/keys", &HeaderMap::new(), Some(true));
        assert_eq!(two, "https://two.test/v1/keys");
        for no_host in [&b"a b"[..], b"a/b", b"user@rig.test", b"\xff", b""] {
            assert_eq!(asked("/v1/keys", &host(no_host), Some(true)), "/v1/keys");
        }
    }

    #[test]
    fn who_joins_a_meeting_says_so_in_the_body() {
        assert!(joins_meeting(br#"{"meetingInfo":{"a":1}}"#));
        assert!(joins_meeting(br#"{"chatInfo":{}}"#));
        for other in [&br#"{"chatInfo":null}"#[..], b"{", b"", b"[]"] {
            assert!(!joins_meeting(other));
        }
    }

    #[test]
    fn only_a_post_to_the_collection_begins_a_call() {
        let begins = |method, path| begins_call(&method, path);
        assert!(begins(HttpMethod::POST, "/v1.0/communications/calls/"));
        assert!(!begins(HttpMethod::GET, "/v1.0/communications/calls"));
        assert!(!begins(HttpMethod::POST, "/v1.0/communications/calls/x/answer"));
    }
}
