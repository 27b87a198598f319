//! What was left in people's voicemail boxes.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::{Value, json};

use super::calls::shard_of;
use super::{Answers, Operation, Outcome, leg, missing};
use crate::serve::Live;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::new(
            Method::GET,
            "/rig/voicemails",
            ("listVoicemails", "The newest messages in people's voicemail boxes."),
            get(list),
        )
        .answers::<Vec<Value>>(StatusCode::OK),
        Operation {
            answers: Answers::Other("audio/wav"),
            ..Operation::new(
                Method::GET,
                "/rig/voicemails/{leg}",
                ("getVoicemail", "One message, by the leg of the box."),
                get(one),
            )
        },
    ]
}

async fn list(State(live): State<Arc<Live>>) -> Outcome<Json<Vec<Value>>> {
    let mut lines = Vec::new();
    for shard in &live.shards {
        let some = shard.ask(|inside| {
            let kept = inside.actor.voicemails();
            let shown = kept.map(
                |kept| json!({ "leg": kept.leg, "user": kept.user, "bytes": kept.file.len() }),
            );
            shown.collect::<Vec<_>>()
        });
        lines.extend(some.await?);
    }
    Ok(Json(lines))
}

async fn one(State(live): State<Arc<Live>>, Path(text): Path<String>) -> Outcome<Response> {
    let id = leg(&text).map_err(|_| missing("message"))?;
    let found = shard_of(&live, id).map_err(|_| missing("message"))?.ask(move |inside| {
        inside.actor.voicemails().find(|kept| kept.leg == id).map(|kept| kept.file.clone())
    });
    let file = found.await?.ok_or_else(|| missing("message"))?;
    Ok(([(header::CONTENT_TYPE, "audio/wav")], file).into_response())
}
