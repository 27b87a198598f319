//! A policy recorder: the platform calls it when somebody who is to be recorded comes into a
//! meeting. It says that it records, stays as long as the call lasts, and says so when it
//! no longer does. What it would keep begins only once the platform has taken its word.

use callrig_signaling::bot::Event;
use callrig_signaling::graph::RecordingStatus;

use crate::app::{App, Call, CallError, Task};

/// What the bot runs.
pub(super) fn program(app: App) -> Task {
    Box::pin(run(app))
}

async fn run(mut app: App) {
    while let Some(call) = app.incoming().await {
        app.line().spawn(record(call));
    }
}

async fn record(mut call: Call) -> Result<(), CallError> {
    call.answer().await?;
    say(&call, RecordingStatus::Recording).await?;
    while let Some(event) = call.event().await {
        if let Event::RosterChanged { participants, .. } = event
            && participants.is_empty()
        {
            // Nobody is left to be recorded.
            return say(&call, RecordingStatus::NotRecording).await;
        }
    }
    Ok(())
}

async fn say(call: &Call, status: RecordingStatus) -> Result<(), CallError> {
    call.perform(move |bot, now, id| bot.update_recording_status(now, id, status)).await.map(drop)
}
