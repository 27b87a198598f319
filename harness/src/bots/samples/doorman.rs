//! A doorman: it rejects every call, as busy.

use callrig_signaling::graph::RejectReason;

use crate::app::{App, Task};

/// What the bot runs.
pub(super) fn program(app: App) -> Task {
    Box::pin(run(app))
}

async fn run(mut app: App) {
    while let Some(call) = app.incoming().await {
        app.line().spawn(async move { call.reject(RejectReason::Busy).await });
    }
}
