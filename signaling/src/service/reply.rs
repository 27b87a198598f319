//! Answers of the API: status, headers, bodies, and errors as its clients read them.
//! No page lists error bodies per route; the codes here are those that raw traffic
//! shows, and words of the layers in front of the service where it shows none.

use bytes::Bytes;
use callrig_media::time::Instant;
use serde::Serialize;

use super::Service;
use super::route::RouteError;
use crate::call::state::State;
use crate::clock;
use crate::fault::{self, Fault};
use crate::graph::{ErrorBody, ErrorDetail, InnerError, ParseError};
use crate::http::{Headers, Request, Response};
use crate::id::LegId;

/// A good answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) body: Bytes,
}

const JSON: &str = "application/json;odata.metadata=minimal;odata.streaming=true;\
                    IEEE754Compatible=false;charset=utf-8";

/// How to be let in, for those who are not; in Graph's words.
const CHALLENGE: &str = "Bearer realm=\"\", \
     authorization_uri=\"https://login.microsoftonline.com/common/oauth2/authorize\", \
     client_id=\"00000003-0000-0000-c000-000000000000\"";

/// Room for the headers of an answer.
const HEADER_BYTES: usize = 640;
/// Room for the JSON of most answers, a call's among them.
const BODY_BYTES: usize = 1_536;

impl Reply {
    /// Without a body.
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// With a JSON body.
    pub(crate) fn json(status: u16, value: &impl Serialize) -> Self {
        let mut body = Vec::with_capacity(BODY_BYTES);
        serde_json::to_writer(&mut body, value).expect("the API's types have string keys");
        Self { status, content_type: Some(JSON), body: body.into(), ..Self::default() }
    }

    /// With bytes.
    pub(crate) const fn octets(body: Bytes) -> Self {
        Self { status: 200, location: None, content_type: Some("application/octet-stream"), body }
    }

    /// Where the new resource is.
    pub(crate) fn at(mut self, location: String) -> Self {
        self.location = Some(location);
        self
    }
}

/// A bad answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) retry_after_seconds: Option<u64>,
}

impl ApiError {
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into(), retry_after_seconds: None }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(crate) fn missing(property: &str) -> Self {
        Self::bad_request(format!("The required property '{property}' is missing."))
    }

    pub(crate) fn call_not_found() -> Self {
        Self::new(404, "8522", "Call not found.")
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(404, "NotFound", format!("{what} not found."))
    }

    pub(crate) fn wrong_state(action: &str, state: State) -> Self {
        let state = state.to_graph();
        Self::new(409, "Conflict", format!("{action} is not possible on a call that is {state}."))
    }

    pub(crate) fn service_hosted_only(action: &str) -> Self {
        Self::bad_request(format!("{action} is only possible on calls with service-hosted media."))
    }

    pub(crate) fn app_hosted_only(action: &str) -> Self {
        Self::bad_request(format!("{action} is only possible on calls with app-hosted media."))
    }

    pub(crate) fn group_only(action: &str) -> Self {
        Self::bad_request(format!("{action} is only possible in group calls."))
    }

    pub(crate) fn insufficient_permissions(needed: &str) -> Self {
        let message =
            format!("Insufficient enterprise tenant permissions: one of {needed} is needed.");
        Self::new(403, "7504", message)
    }

    pub(crate) fn tenant_mismatch() -> Self {
        Self::new(403, "7505", "Request authorization tenant mismatch.")
    }

    /// As raw traffic shows it: the calls service's own error, wrapped.
    pub(crate) fn not_registered() -> Self {
        let message = "{\"errorCode\":\"7503\",\"message\":\"Application is not registered in our \
                       store.\",\"instanceAnnotations\":[]}";
        Self::new(403, "UnknownError", message)
    }

    pub(crate) fn no_telephone() -> Self {
        let message = "Calls to telephone numbers need an application instance and a PSTN \
                       connection, which this platform does not have.";
        Self::new(403, "10151", message)
    }

    pub(crate) fn unauthenticated(message: &str) -> Self {
        Self::new(401, "InvalidAuthenticationToken", message)
    }

    pub(crate) fn too_many(message: impl Into<String>, seconds: u64) -> Self {
        Self { retry_after_seconds: Some(seconds), ..Self::new(429, "TooManyRequests", message) }
    }

    pub(crate) fn not_implemented(what: &str) -> Self {
        Self::new(501, "NotImplemented", format!("{what} is not implemented by this platform."))
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(405, "MethodNotAllowed", "The resource does not know this method.")
    }
}

impl From<ParseError> for ApiError {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::TooLarge(_) => Self::new(413, "RequestEntityTooLarge", error.to_string()),
            _ => Self::bad_request(error.to_string()),
        }
    }
}

impl From<RouteError> for ApiError {
    fn from(error: RouteError) -> Self {
        match error {
            RouteError::Version(text) => {
                Self::bad_request(format!("Invalid version: {text}. Use v1.0 or beta."))
            }
            RouteError::Segment(text) => {
                Self::bad_request(format!("Resource not found for the segment '{text}'."))
            }
            RouteError::Call => Self::call_not_found(),
            RouteError::Resource => Self::not_found("Resource"),
            RouteError::Action(text) => Self::bad_request(format!(
                "Found a function '{text}' on an open property. Functions on open properties are \
                 not supported."
            )),
        }
    }
}

impl Service {
    /// The response for a request, with the headers that every answer carries.
    pub(super) fn respond(
        &mut self,
        now: Instant,
        request: &Request,
        outcome: Result<Reply, ApiError>,
    ) -> Response {
        let request_id = LegId::from_u128(self.random_bits()).to_string();
        let client_id = request.header("client-request-id").unwrap_or(&request_id);
        let mut headers = Headers::with_capacity(HEADER_BYTES);
        headers.push("request-id", &request_id);
        headers.push("client-request-id", client_id);
        if let Some(scenario) = request.header("scenario-id") {
            headers.push("scenario-id", scenario);
        }
        headers.push("OData-Version", "4.0");
        headers.push("Strict-Transport-Security", "max-age=31536000");
        let shard = self.config.shard;
        let diagnostic = format!(
            "{{\"ServerInfo\":{{\"DataCenter\":\"callrig\",\"Slice\":\"{shard}\",\"Ring\":\"1\",\
             \"ScaleUnit\":\"000\",\"RoleInstance\":\"callrig-{shard}\"}}}}"
        );
        headers.push("x-ms-ags-diagnostic", &diagnostic);
        let (status, body) = match outcome {
            Ok(reply) => {
                let location = reply.location.filter(|_| !fault::is(Fault::LocationMissing));
                if let Some(location) = location {
                    headers.push("Location", &location);
                }
                if let Some(content_type) = reply.content_type {
                    headers.push("Content-Type", content_type);
                }
                (reply.status, reply.body)
            }
            Err(error) => {
                if error.status == 401 {
                    headers.push("WWW-Authenticate", CHALLENGE);
                }
                if let Some(seconds) = error.retry_after_seconds {
                    headers.push("Retry-After", &seconds.to_string());
                }
                headers.push("Content-Type", "application/json");
                let date = clock::rfc3339(self.epoch.ntp_at(now));
                let inner = InnerError {
                    // The API writes no zone here, and no fraction.
                    date: date.get(..19).unwrap_or(&date).to_owned(),
                    client_request_id: client_id.to_owned(),
                    request_id,
                };
                let detail = ErrorDetail {
                    code: error.code,
                    message: error.message,
                    inner_error: Some(inner),
                };
                let body = serde_json::to_vec(&ErrorBody { error: detail })
                    .expect("the error body has string keys");
                (error.status, body.into())
            }
        };
        Response { id: request.id, status, headers, body }
    }
}
