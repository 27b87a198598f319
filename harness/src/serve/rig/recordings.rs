//! Recordings that people can speak.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode};
use axum::routing::{get, put};

use super::{Operation, Outcome, Takes, bad, file, missing};
use crate::serve::Live;
use crate::serve::library::RecordingLine;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::GET,
            "/rig/recordings",
            ("listRecordings", "What people can speak: the corpora, and what was brought along."),
            get(list),
        )
        .answers::<Vec<RecordingLine>>(StatusCode::OK),
        Operation {
            takes: Takes::File,
            ..Operation::new(
                Method::PUT,
                "/rig/recordings/{*name}",
                (
                    "bringRecording",
                    "Brings a recording along: pcap, pcapng, rtpdump, Annex B, WAV, Ogg Opus.",
                ),
                put(bring).delete(drop_one),
            )
        }
        .answers::<RecordingLine>(StatusCode::CREATED),
        Operation::listed(
            Method::DELETE,
            "/rig/recordings/{*name}",
            ("dropRecording", "Lets a recording go that was brought along."),
        ),
    ]
}

async fn list(State(live): State<Arc<Live>>) -> Outcome<Json<Vec<RecordingLine>>> {
    let listed = tokio::task::spawn_blocking(move || live.library.list()).await;
    listed.map(Json).map_err(|error| bad(error.to_string()))
}

async fn bring(
    State(live): State<Arc<Live>>,
    Path(name): Path<String>,
    request: Request,
) -> Outcome<(StatusCode, Json<RecordingLine>)> {
    let most = live.settings.rig.recordings_bytes_max;
    let bytes = file(request.into_body(), most).await?;
    // Guessing flows and encoding take a while.
    let brought = tokio::task::spawn_blocking(move || live.library.bring(&name, bytes)).await;
    let line = brought.map_err(|error| bad(error.to_string()))??;
    Ok((StatusCode::CREATED, Json(line)))
}

async fn drop_one(State(live): State<Arc<Live>>, Path(name): Path<String>) -> Outcome<StatusCode> {
    match live.library.drop(&name) {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(missing("recording that was brought along")),
    }
}
