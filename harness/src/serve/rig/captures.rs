//! Recordings of legs: a pcapng of what passes, in the clear, as it passes.

use core::time::Duration;
use std::sync::Arc;
use std::time::SystemTime;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{Method, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures_util::stream;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use super::calls::shard_of;
use super::{Answers, Operation, Outcome, bad, leg, missing};
use crate::serve::Live;
use crate::world::live::capture::{self, Capture, Overrun, Way};

pub(super) fn operations() -> Vec<Operation> {
    const QUERY: &[(&str, &str)] = &[
        ("seconds", "For how long at most; 10 unless stated. The end of the leg ends it too."),
        ("way", "`in`: what the peer sends (the usual); `out`: what the platform sends; `both`."),
    ];
    vec![Operation {
        answers: Answers::Other("application/x-pcapng"),
        query: QUERY,
        ..Operation::new(
            Method::GET,
            "/rig/legs/{leg}/capture.pcapng",
            (
                "captureLeg",
                "What passes on a leg from now on, decrypted, as it passes; an answer that breaks \
                 off has lost packets.",
            ),
            get(record),
        )
    }]
}

#[derive(Debug, Deserialize)]
struct Wanted {
    seconds: Option<f64>,
    #[serde(default)]
    way: Way,
}

async fn record(
    State(live): State<Arc<Live>>,
    Path(text): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Outcome<Response> {
    let id = leg(&text)?;
    let most = capture::TIME_MAX.as_secs_f64();
    let seconds = wanted.seconds.unwrap_or(capture::TIME.as_secs_f64());
    if !(seconds > 0.0 && seconds <= most) {
        return Err(bad(format!("seconds is {seconds}; it is above 0 and at most {most}.")));
    }
    let (tap, mut capture) = capture::capture(wanted.way);
    let began = shard_of(&live, id)?.ask(move |inside| {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let epoch = (wall.as_nanos() as u64).saturating_sub(inside.now.as_nanos());
        inside.actor.tap(inside.now, id, tap).then_some(epoch)
    });
    let epoch = began.await?.ok_or_else(|| missing("leg with media"))?;
    let head = capture.take();
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let going = Going { head: Some(head), capture, epoch, until, live };
    let body = Body::from_stream(stream::unfold(going, Going::next));
    Ok(([(header::CONTENT_TYPE, "application/x-pcapng")], body).into_response())
}

/// A recording that goes on.
struct Going {
    head: Option<Bytes>,
    capture: Capture,
    epoch: u64,
    until: Instant,
    live: Arc<Live>,
}

impl Going {
    async fn next(mut self) -> Option<(Result<Bytes, Overrun>, Self)> {
        if let Some(head) = self.head.take() {
            return Some((Ok(head), self));
        }
        let mut closing = self.live.closing.clone();
        let piece = tokio::select! {
            piece = timeout_at(self.until, self.capture.next(self.epoch)) => piece.ok(),
            _ = closing.wait_for(|closing| *closing) => None,
        };
        let piece = match piece {
            Some(piece) => piece,
            None => {
                self.capture.stop();
                self.capture.next(self.epoch).await
            }
        };
        piece.map(|piece| (piece, self))
    }
}
