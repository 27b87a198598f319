//! The control API: what the people of the rig do, and who there is. Each operation is a
//! line of one table, from which the router and the OpenAPI description are made, so that
//! neither knows more than the other.

pub mod calls;
pub mod captures;
pub mod directory;
pub mod events;
pub mod keys;
pub mod legs;
pub mod meetings;
pub mod recordings;
pub mod voicemails;

use core::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use callrig_signaling::id::LegId;
use callrig_signaling::service::{CommandError, DirectoryError};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

use super::api::{self, Problem};
use super::library::LibraryError;
use super::{Live, openapi};
use crate::world::live::people::PeopleError;
use crate::world::live::shard::Unavailable;

/// Bytes of a command; recordings that are brought along may be larger.
const COMMAND_BYTES_MAX: usize = 64 << 10;
/// How long a command may take to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// What most operations answer.
pub type Outcome<T> = Result<T, Problem>;

type ToSchema = fn(&mut SchemaGenerator) -> Schema;

/// One operation.
pub struct Operation {
    /// Its method.
    pub method: Method,
    /// Its path, with parameters in braces.
    pub path: &'static str,
    /// Its name, unique.
    pub id: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// What it answers when all is well.
    pub answers: Answers,
    /// Parameters of its query: name and meaning; all of them optional.
    pub query: &'static [(&'static str, &'static str)],
    handler: MethodRouter<Arc<Live>>,
}

/// What an operation takes.
pub enum Takes {
    /// Nothing.
    Nothing,
    /// JSON; may be left out where every property may.
    Json(ToSchema),
    /// A file.
    File,
}

/// What an operation answers.
pub enum Answers {
    /// No body.
    Empty,
    /// JSON, with this status.
    Json(StatusCode, ToSchema),
    /// Another type of content.
    Other(&'static str),
}

impl Operation {
    fn new(
        method: Method,
        path: &'static str,
        (id, summary): (&'static str, &'static str),
        handler: MethodRouter<Arc<Live>>,
    ) -> Self {
        let (takes, answers) = (Takes::Nothing, Answers::Empty);
        Self { method, path, id, summary, takes, answers, query: &[], handler }
    }

    /// One whose path has a line already, which brings its handler along.
    fn listed(method: Method, path: &'static str, words: (&'static str, &'static str)) -> Self {
        Self::new(method, path, words, MethodRouter::new())
    }

    fn takes<T: JsonSchema>(self) -> Self {
        Self { takes: Takes::Json(SchemaGenerator::subschema_for::<T>), ..self }
    }

    fn answers<T: JsonSchema>(self, status: StatusCode) -> Self {
        Self { answers: Answers::Json(status, SchemaGenerator::subschema_for::<T>), ..self }
    }
}

/// All operations.
#[must_use]
pub fn operations() -> Vec<Operation> {
    let mut all = calls::operations();
    all.extend(legs::operations());
    all.extend(captures::operations());
    all.extend(meetings::operations());
    all.extend(directory::operations());
    all.extend(keys::operations());
    all.extend(recordings::operations());
    all.extend(voicemails::operations());
    all.extend(events::operations());
    all
}

/// The control API as a router.
pub fn router(live: &Arc<Live>) -> Router<Arc<Live>> {
    let mut router = Router::new()
        .route("/rig", get(openapi::index))
        .route("/rig/openapi.json", get(openapi::description))
        .route("/rig/{*rest}", axum::routing::any(nowhere));
    for operation in operations() {
        router = router.route(operation.path, operation.handler);
    }
    router
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(live), admit))
}

async fn wrong_method() -> Problem {
    let message = "This place does not know the method; see /rig/openapi.json.";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
}

async fn nowhere() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "NotFound", "Nothing is here; see /rig/openapi.json.")
}

/// Lets in who may: with the token, if there is one; and no page of somebody else's that a
/// person on this machine has open in a browser.
async fn admit(State(live): State<Arc<Live>>, request: Request, next: Next) -> Response {
    use axum::response::IntoResponse as _;
    let headers = request.headers();
    if let Err(problem) =
        check_token(&live, headers).and_then(|()| check_browser(&live, request.uri(), headers))
    {
        return problem.into_response();
    }
    next.run(request).await
}

fn check_token(live: &Live, headers: &HeaderMap) -> Outcome<()> {
    let Some(wanted) = &live.settings.rig.token else { return Ok(()) };
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if same(shown.trim().as_bytes(), wanted.as_bytes()) {
        return Ok(());
    }
    let message = "The control API needs the bearer token of rig.token.";
    Err(Problem::new(StatusCode::UNAUTHORIZED, "Unauthorized", message))
}

/// Whether two secrets are the same, in a time that does not say how far they are.
fn same(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b));
    one.len() == other.len() && differences == 0
}

/// Browsers say whose page asks (`Origin`), and under which name we were found (`Host`,
/// which a page can have pointed here). Other clients are not asked.
fn check_browser(live: &Live, uri: &Uri, headers: &HeaderMap) -> Outcome<()> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = text(header::ORIGIN) else { return Ok(()) };
    let host =
        text(header::HOST).or_else(|| uri.authority().map(Authority::as_str)).unwrap_or_default();
    let own = origin.split_once("://").is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(host));
    if own && is_ours(live, host) {
        return Ok(());
    }
    let message = format!("The control API is not for pages of {origin}.");
    Err(Problem::new(StatusCode::FORBIDDEN, "Forbidden", message))
}

/// Names that nobody else can have pointed here.
fn is_ours(live: &Live, host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<core::net::IpAddr>().is_ok()
        || live.settings.tls.names.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// A command's body as JSON; nothing at all stands for no properties.
///
/// # Errors
/// It is too large, not JSON, or does not say what it should.
pub async fn command<T: DeserializeOwned>(request: Request) -> Outcome<T> {
    let (parts, body) = request.into_parts();
    let body = api::read(body, COMMAND_BYTES_MAX, PATIENCE).await?;
    if body.is_empty() {
        return understood(b"{}");
    }
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_json = kind.is_some_and(|kind| {
        kind.split(';')
            .next()
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    });
    if !is_json {
        // A page of somebody else's can send anything but this without being asked first.
        let message = "The content type has to be application/json.";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Problem::new(status, "UnsupportedMediaType", message));
    }
    understood(&body)
}

fn understood<T: DeserializeOwned>(body: &[u8]) -> Outcome<T> {
    let mut read = serde_json::Deserializer::from_slice(body);
    let told = serde_path_to_error::deserialize(&mut read).map_err(|error| {
        let (at, why) = (error.path().to_string(), error.inner());
        bad(format!("The body is not understood at {at}: {why}."))
    })?;
    read.end().map_err(|error| bad(format!("The body does not end where it should: {error}.")))?;
    Ok(told)
}

/// A file.
///
/// # Errors
/// It is too large, or too slow.
pub async fn file(body: Body, most: usize) -> Outcome<bytes::Bytes> {
    api::read(body, most, PATIENCE * 3).await
}

/// A leg from a path.
///
/// # Errors
/// It is no id.
pub fn leg(text: &str) -> Outcome<LegId> {
    LegId::parse(text).ok_or_else(|| missing("leg"))
}

/// What was asked for is wrong.
#[must_use]
pub fn bad(message: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "BadRequest", message)
}

/// What was asked for is not there.
#[must_use]
pub fn missing(what: impl Display) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "NotFound", format!("There is no such {what}."))
}

impl From<Unavailable> for Problem {
    fn from(error: Unavailable) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", error.to_string())
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        let (status, code) = match &error {
            CommandError::UnknownUser(_)
            | CommandError::UnknownApp(_)
            | CommandError::UnknownMeeting(_)
            | CommandError::UnknownLeg => (StatusCode::NOT_FOUND, "NotFound"),
            CommandError::TooManyCalls(_) => (StatusCode::TOO_MANY_REQUESTS, "TooManyCalls"),
            CommandError::TooManyLegs => (StatusCode::TOO_MANY_REQUESTS, "TooManyLegs"),
            CommandError::Media(_) => (StatusCode::UNPROCESSABLE_ENTITY, "Media"),
            CommandError::NoPorts => (StatusCode::SERVICE_UNAVAILABLE, "NoPorts"),
            CommandError::NoWebhook(_) | CommandError::WebhookNotAllowed(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "CannotBeCalled")
            }
            _ => (StatusCode::CONFLICT, "WrongState"),
        };
        Self::new(status, code, format!("{error}."))
    }
}

impl From<PeopleError> for Problem {
    fn from(error: PeopleError) -> Self {
        let status = match error {
            PeopleError::Command(error) => return error.into(),
            PeopleError::Unavailable(error) => return error.into(),
            PeopleError::Full | PeopleError::Socket(_) | PeopleError::Connection(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            PeopleError::NoPhone => StatusCode::NOT_FOUND,
            PeopleError::NotRinging | PeopleError::Phone(_) => StatusCode::CONFLICT,
        };
        Self::new(status, "Phone", format!("{error}."))
    }
}

impl From<LibraryError> for Problem {
    fn from(error: LibraryError) -> Self {
        let status = match error {
            LibraryError::Unknown(_) => StatusCode::NOT_FOUND,
            LibraryError::Unusable(_) | LibraryError::Name => StatusCode::UNPROCESSABLE_ENTITY,
            LibraryError::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
        };
        Self::new(status, "Recording", format!("{error}."))
    }
}

impl From<DirectoryError> for Problem {
    fn from(error: DirectoryError) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", format!("{error}."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_a_name_of_its_own() {
        let mut names: Vec<_> = operations().iter().map(|operation| operation.id).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn secrets_are_compared_whole() {
        assert!(same(b"abc", b"abc"));
        assert!(!same(b"abc", b"abd") && !same(b"ab", b"abc") && !same(b"", b"a"));
    }
}
