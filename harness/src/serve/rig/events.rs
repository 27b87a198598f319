//! What happens, as it happens: server-sent events (WHATWG HTML, section 9.2). A client
//! that comes back with `Last-Event-ID` misses nothing that is still remembered.

use core::convert::Infallible;
use std::collections::VecDeque;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};

use super::{Answers, Operation, Outcome};
use crate::serve::Live;
use crate::serve::timeline::Entry;

pub(super) fn operations() -> Vec<Operation> {
    const AFTER: &[(&str, &str)] =
        &[("after", "Only what has a larger number; Last-Event-ID stands for the same.")];
    const WATCH: &[(&str, &str)] = &[
        AFTER[0],
        ("only", "Only these kinds (`request`, `phone`) or events (`callEnded`), with commas."),
    ];
    vec![
        Operation {
            answers: Answers::Other("text/event-stream"),
            query: WATCH,
            ..Operation::new(
                Method::GET,
                "/rig/events",
                (
                    "watch",
                    "Requests, notifications, their answers, and what the platform and phones \
                     say: first what is remembered, then what happens, without end.",
                ),
                get(watch_it),
            )
        },
        Operation {
            query: AFTER,
            ..Operation::new(
                Method::GET,
                "/rig/history",
                ("getHistory", "What is remembered of what happened."),
                get(history),
            )
        }
        .answers::<Vec<Value>>(StatusCode::OK),
    ]
}

#[derive(Debug, Deserialize)]
struct After {
    after: Option<u64>,
    only: Option<String>,
}

async fn history(
    State(live): State<Arc<Live>>,
    Query(query): Query<After>,
) -> Outcome<Json<Vec<Value>>> {
    let (known, _) = live.timeline.watch(query.after.unwrap_or(0));
    Ok(Json(known.iter().map(|entry| entry.to_json()).collect()))
}

struct Watcher {
    known: VecDeque<Arc<Entry>>,
    receiver: broadcast::Receiver<Arc<Entry>>,
    closing: watch::Receiver<bool>,
    only: Option<String>,
}

async fn watch_it(
    State(live): State<Arc<Live>>,
    Query(query): Query<After>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let (known, receiver) = live.timeline.watch(last.or(query.after).unwrap_or(0));
    let watcher =
        Watcher { known: known.into(), receiver, closing: live.closing.clone(), only: query.only };
    let events = stream::unfold(watcher, |mut watcher| async {
        let event = watcher.next().await?;
        Some((Ok(event), watcher))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

impl Watcher {
    async fn next(&mut self) -> Option<Event> {
        while let Some(entry) = self.known.pop_front() {
            if let Some(event) = self.event(&entry) {
                return Some(event);
            }
        }
        loop {
            let received = tokio::select! {
                received = self.receiver.recv() => received,
                // The server stops: an answer without end would keep it.
                _ = self.closing.changed() => return None,
            };
            match received {
                Ok(entry) => {
                    if let Some(event) = self.event(&entry) {
                        return Some(event);
                    }
                }
                Err(broadcast::error::RecvError::Lagged(count)) => {
                    let missed = json!({ "count": count }).to_string();
                    return Some(Event::default().event("missed").data(missed));
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// An entry, if it is wanted.
    fn event(&self, entry: &Entry) -> Option<Event> {
        let wants = |name: &str| {
            let only = self.only.as_deref();
            only.is_none_or(|only| only.split(',').any(|wanted| wanted.trim() == name))
        };
        // What is no event of the platform is not put into words to find that out.
        if entry.kind() != "event" && !wants(entry.kind()) {
            return None;
        }
        let value = entry.to_json();
        let is_wanted = wants(entry.kind()) || value["event"].as_str().is_some_and(wants);
        is_wanted.then(|| {
            Event::default()
                .id(entry.number.to_string())
                .event(entry.kind())
                .data(value.to_string())
        })
    }
}
