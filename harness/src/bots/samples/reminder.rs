//! A reminder: asked over its own HTTP (`POST /remind {"user": "..."}`), it calls a person,
//! says what there is to say once the call is taken, and hangs up. Who calls it is told that
//! it is busy.

use callrig_signaling::bot::Target;
use callrig_signaling::graph::RejectReason;

use super::sounds;
use crate::app::{App, Arrival, CallError, Line, Task};

/// What the bot runs.
pub(super) fn program(app: App) -> Task {
    Box::pin(run(app))
}

async fn run(mut app: App) {
    app.keep_file("reminder.wav", sounds::chord(&[392.0, 494.0], 1_500));
    while let Some(arrival) = app.arrival().await {
        let line = app.line().clone();
        match arrival {
            Arrival::Ask(ask) if ask.path == "/remind" => {
                let user = ask.body["user"].as_str().unwrap_or_default().to_owned();
                app.line().spawn(remind(line, user));
            }
            Arrival::Ask(_) => {}
            Arrival::Call(call) => {
                app.line().spawn(async move { call.reject(RejectReason::Busy).await });
            }
        }
    }
}

async fn remind(line: Line, user: String) -> Result<(), CallError> {
    let mut call = line.call(vec![Target::User(user.as_str().into())]).await?;
    call.media_active().await?;
    call.play("reminder.wav").await?;
    call.hang_up().await
}
