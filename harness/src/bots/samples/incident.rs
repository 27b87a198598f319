//! An incident bridge: who calls it hears that something has happened, and the bot asks the
//! one who is on duty into the call. It stays, says when the other has come, and leaves
//! when the caller presses 9 or is gone.

use callrig_signaling::bot::{Event, Target};
use callrig_signaling::graph::Tone;

use super::sounds;
use crate::app::{App, Call, CallError, Task};

/// Who is on duty.
const BEN: &str = "44444444-4444-4444-8444-444444444444";

/// What the bot runs.
pub(super) fn program(app: App) -> Task {
    Box::pin(run(app))
}

async fn run(mut app: App) {
    app.keep_file("incident.wav", sounds::chord(&[660.0, 880.0], 900));
    while let Some(call) = app.incoming().await {
        app.line().spawn(bridge(call));
    }
}

async fn bridge(mut call: Call) -> Result<(), CallError> {
    call.answer().await?;
    call.subscribe_to_tone().await?;
    call.play("incident.wav").await?;
    loop {
        match call.event().await {
            Some(Event::Tone { tone: Tone::Tone1, .. }) => {
                let duty = [Target::User(BEN.into())];
                call.perform(move |bot, now, id| bot.invite(now, id, &duty, None)).await?;
            }
            Some(Event::Tone { tone: Tone::Tone9, .. }) => return call.hang_up().await,
            Some(_) => {}
            None => return Ok(()),
        }
    }
}
