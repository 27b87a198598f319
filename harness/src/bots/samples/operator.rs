//! An operator: it answers nobody itself and sends every caller to Ben.

use callrig_signaling::bot::Target;

use crate::app::{App, Task};

/// Who takes the calls.
const BEN: &str = "44444444-4444-4444-8444-444444444444";

/// What the bot runs.
pub(super) fn program(app: App) -> Task {
    Box::pin(run(app))
}

async fn run(mut app: App) {
    while let Some(call) = app.incoming().await {
        app.line().spawn(async move { call.redirect(Target::User(BEN.into())).await });
    }
}
