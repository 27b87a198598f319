//! For those who watch the server: metrics and health.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::{Live, api};

/// A shard that does not answer within this is not well.
const PATIENCE: Duration = Duration::from_secs(2);

/// `GET /metrics`
pub async fn metrics(State(live): State<Arc<Live>>) -> Response {
    for number in 0..live.shards.len() {
        if let Ok(Ok(report)) = tokio::time::timeout(PATIENCE, api::report(&live, number)).await {
            live.gauges.set_shard(number, &report);
        }
    }
    let phones = live.people.ask(|inside| inside.actor.phones());
    if let Ok(Ok(phones)) = tokio::time::timeout(PATIENCE, phones).await {
        live.gauges.gauge("callrig_phones", Vec::new()).set(phones as f64);
    }
    live.gauges.gauge("callrig_connections", Vec::new()).set(api::connections(&live) as f64);
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], live.gauges.render()).into_response()
}

/// `GET /health/live`: the process answers.
pub async fn live() -> Response {
    Json(json!({ "status": "live" })).into_response()
}

/// `GET /health/ready`: every shard answers, and calls are taken.
pub async fn ready(State(live): State<Arc<Live>>) -> Response {
    let mut stuck = Vec::new();
    for (number, shard) in live.shards.iter().enumerate() {
        let answers = tokio::time::timeout(PATIENCE, shard.ask(|_| ())).await;
        if !matches!(answers, Ok(Ok(()))) {
            stuck.push(number);
        }
    }
    let status = match (live.is_draining(), stuck.is_empty()) {
        (true, _) => "draining",
        (false, true) => "ready",
        (false, false) => "stuck",
    };
    let code = match status {
        "ready" => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    let body = json!({ "status": status, "shards": live.shards.len(), "stuck": stuck });
    (code, Json(body)).into_response()
}
