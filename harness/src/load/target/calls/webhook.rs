//! The webhook of our own bot, and the file that it lets the platform play.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::routing::{get, post};
use bytes::Bytes;
use serde_json::Value;

use super::book::{Book, Seen, Stage};

/// The largest notification that is read.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Where the file is that the platform plays.
pub(super) const PROMPT: &str = "/prompt.wav";

/// Listens; where.
///
/// # Errors
/// The address is taken.
pub(super) async fn listen(
    listen: SocketAddr,
    book: &Arc<Book>,
    prompt: Option<Bytes>,
) -> std::io::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind(listen).await?;
    let bot = listener.local_addr()?;
    let mut router = Router::new().fallback(post(told));
    if let Some(prompt) = prompt {
        let play = move || async move { ([(header::CONTENT_TYPE, "audio/wav")], prompt) };
        router = router.route(PROMPT, get(play));
    }
    let router = router.layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).with_state(Arc::clone(book));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(bot)
}

/// A notification.
async fn told(State(book): State<Arc<Book>>, body: Bytes) -> StatusCode {
    let at = Instant::now();
    let Ok(body) = serde_json::from_slice::<Value>(&body) else { return StatusCode::BAD_REQUEST };
    for notification in body["value"].as_array().into_iter().flatten() {
        let data = &notification["resourceData"];
        let stage = match data["state"].as_str() {
            Some("incoming") => Stage::Told,
            Some("established") => Stage::Established,
            Some("terminated") => Stage::Ended,
            _ => continue,
        };
        if let Some(call) = data["id"].as_str() {
            book.note(call, Seen { stage, at, why: None });
        }
    }
    StatusCode::ACCEPTED
}
