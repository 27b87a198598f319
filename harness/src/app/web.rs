//! HTTP of a bot: what it serves to the platform (notifications, files), and how its own
//! requests leave.

use core::time::Duration;
use std::path::Path;

use axum::Router;
use axum::body::Body;
use axum::extract::{self, DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response as Answer};
use axum::routing::{get, post};
use bytes::Bytes;
use callrig_signaling::exchange::Input;
use callrig_signaling::graph::BODY_BYTES_MAX;
use callrig_signaling::http::{Failure, Method, Request, RequestId, Response};
use tokio::sync::{mpsc, oneshot};

use super::machine::Message;
use super::{Ask, Files, StartError};

/// How long a notification waits for its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// What a bot's requests leave by.
pub(super) fn client(
    authority: Option<&Path>,
    timeout: Duration,
) -> Result<reqwest::Client, StartError> {
    let mut trust = Vec::new();
    if let Some(path) = authority {
        let unreadable = |error: String| StartError::Authority(path.to_owned(), error);
        let pem = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem);
        trust = certificates.map_err(|error| unreadable(error.to_string()))?;
    }
    let builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(timeout)
        .tcp_nodelay(true)
        .tls_certs_merge(trust);
    Ok(builder.build()?)
}

/// Sends a request, and brings back what came of it.
pub(super) async fn send(client: &reqwest::Client, request: Request) -> Input {
    let id = request.id;
    match attempt(client, request).await {
        Ok(response) => Input::Response(response),
        Err(reason) => Input::Failed(Failure { id, reason }),
    }
}

async fn attempt(client: &reqwest::Client, request: Request) -> Result<Response, String> {
    let method = match request.method {
        Method::Get => reqwest::Method::GET,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
        Method::Other => return Err("no such method".to_owned()),
    };
    let mut builder = client.request(method, &request.uri).body(request.body);
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    let mut response = builder.send().await.map_err(|error| error.to_string())?;
    let status = response.status().as_u16();
    let headers = crate::web::headers(response.headers());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| error.to_string())? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(format!("the answer has more than {ANSWER_BYTES_MAX} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Response { id: request.id, status, headers, body: body.into() })
}

/// What a bot serves.
pub(super) fn router(inbox: mpsc::Sender<Message>, files: Files) -> Router {
    Router::new()
        .route("/api/calls", post(notified).with_state(inbox.clone()))
        .route("/files/{name}", get(file).with_state(files))
        .fallback(post(asked).with_state(inbox))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

async fn notified(
    State(inbox): State<mpsc::Sender<Message>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let headers = crate::web::headers(&headers);
    let request = Request {
        id: RequestId::default(),
        method: Method::Post,
        uri: uri.to_string(),
        headers,
        body,
    };
    let (answer, answered) = oneshot::channel();
    if inbox.try_send(Message::Request(request, answer)).is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")]).into_response();
    }
    let Ok(Ok(response)) = tokio::time::timeout(ANSWER_WITHIN, answered).await else {
        return StatusCode::GATEWAY_TIMEOUT.into_response();
    };
    let mut builder = http::Response::builder().status(response.status);
    for (name, value) in &response.headers {
        builder = builder.header(name, value);
    }
    let answer = builder.body(Body::from(response.body));
    answer.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// Anything else that is posted is for the bot itself.
async fn asked(State(inbox): State<mpsc::Sender<Message>>, uri: Uri, body: Bytes) -> StatusCode {
    let body = serde_json::from_slice(&body).unwrap_or_default();
    match inbox.try_send(Message::Ask(Ask { path: uri.path().to_owned(), body })) {
        Ok(()) => StatusCode::ACCEPTED,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn file(State(files): State<Files>, extract::Path(name): extract::Path<String>) -> Answer {
    let files = files.read().expect("nobody panics with the files in hand");
    match files.get(&name) {
        Some(bytes) => ([(header::CONTENT_TYPE, "audio/wav")], bytes.clone()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
