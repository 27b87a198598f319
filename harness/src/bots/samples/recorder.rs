//! A voice recorder: it asks the caller to say something, records it, fetches the recording,
//! plays it back and hangs up.

use core::time::Duration;

use callrig_signaling::bot::Record;

use super::sounds;
use crate::app::{App, Call, CallError, Line, Task};

/// What the bot runs.
pub(super) fn program(app: App) -> Task {
    Box::pin(run(app))
}

async fn run(mut app: App) {
    app.keep_file("speak.wav", sounds::chord(&[523.0], 600));
    app.keep_file("nothing.wav", sounds::chord(&[220.0, 262.0], 500));
    while let Some(call) = app.incoming().await {
        let line = app.line().clone();
        app.line().spawn(take_down(line, call));
    }
}

async fn take_down(line: Line, mut call: Call) -> Result<(), CallError> {
    call.answer().await?;
    call.play("speak.wav").await?;
    let record = Record {
        max_duration: Some(Duration::from_secs(10)),
        max_silence: Some(Duration::from_secs(2)),
        stop_tones: vec!["#".to_owned()],
        ..Record::default()
    };
    match call.record(record).await {
        Ok(recorded) => {
            // A file of its own for each call: several may be recorded at once.
            let name = format!("{}.wav", call.id());
            line.keep_file(&name, call.recording(&recorded).await?);
            call.play(&name).await?;
            line.drop_file(&name);
        }
        // Nobody said anything.
        Err(CallError::Failed(_)) => drop(call.play("nothing.wav").await?),
        Err(error) => return Err(error),
    }
    call.hang_up().await
}
