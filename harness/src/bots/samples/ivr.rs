//! A voice menu: it greets, and does what the caller presses. 1 says the opening hours, 2
//! puts the caller through to Ben, 9 hangs up; any other key plays the menu again. Who
//! presses nothing for a while is hung up on.

use core::time::Duration;

use callrig_signaling::bot::Target;
use callrig_signaling::graph::Tone;

use super::sounds;
use crate::app::{App, Call, CallError, Task};

/// Whom 2 leads to.
const OPERATOR: &str = "44444444-4444-4444-8444-444444444444";
/// How long the menu waits for a key.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the bot runs.
pub(super) fn program(app: App) -> Task {
    Box::pin(run(app))
}

async fn run(mut app: App) {
    app.keep_file("menu.wav", sounds::chord(&[440.0, 550.0], 1_200));
    app.keep_file("hours.wav", sounds::chord(&[330.0, 415.0], 900));
    while let Some(call) = app.incoming().await {
        app.line().spawn(menu(call));
    }
}

async fn menu(mut call: Call) -> Result<(), CallError> {
    call.answer().await?;
    call.subscribe_to_tone().await?;
    call.play("menu.wav").await?;
    loop {
        match call.tone_within(PATIENCE).await? {
            Some(Tone::Tone1) => call.play("hours.wav").await?,
            Some(Tone::Tone2) => return call.transfer(Target::User(OPERATOR.into())).await,
            Some(Tone::Tone9) | None => return call.hang_up().await,
            Some(_) => call.play("menu.wav").await?,
        };
    }
}
