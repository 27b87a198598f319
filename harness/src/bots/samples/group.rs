//! A group call starter: asked over its own HTTP (`POST /gather {"users": ["...", "..."]}`),
//! it calls several people together, tells them so when the first is there, and leaves the
//! call to them once two are, or after a while.

use core::time::Duration;

use callrig_signaling::bot::{Event, Target};
use callrig_signaling::graph::{Participant, RejectReason};

use super::sounds;
use crate::app::{App, Arrival, Call, CallError, Line, Task};

/// How long it stays.
const STAYS: Duration = Duration::from_secs(8);

/// What the bot runs.
pub(super) fn program(app: App) -> Task {
    Box::pin(run(app))
}

async fn run(mut app: App) {
    app.keep_file("welcome.wav", sounds::chord(&[349.0, 440.0, 523.0], 1_000));
    while let Some(arrival) = app.arrival().await {
        let line = app.line().clone();
        match arrival {
            Arrival::Ask(ask) if ask.path == "/gather" => {
                let users = ask.body["users"].as_array().into_iter().flatten();
                let users = users.filter_map(|user| Some(user.as_str()?.to_owned())).collect();
                app.line().spawn(gather(line, users));
            }
            Arrival::Ask(_) => {}
            Arrival::Call(call) => {
                app.line().spawn(async move { call.reject(RejectReason::Forbidden).await });
            }
        }
    }
}

async fn gather(line: Line, users: Vec<String>) -> Result<(), CallError> {
    let targets = users.iter().map(|user| Target::User(user.as_str().into())).collect();
    let mut call = line.call(targets).await?;
    call.media_active().await?;
    call.play("welcome.wav").await?;
    tokio::select! {
        biased;
        () = two_are_there(&mut call) => {}
        paused = line.pause(STAYS) => paused?,
    }
    call.hang_up().await
}

/// Comes back once two people are in the call, or it is over.
async fn two_are_there(call: &mut Call) {
    let is_person = |participant: &&Participant| {
        let identity = participant.info.as_ref().and_then(|info| info.identity.as_ref());
        identity.is_some_and(|identity| identity.user.is_some())
            && participant.is_in_lobby != Some(true)
    };
    while let Some(event) = call.event().await {
        if let Event::RosterChanged { participants, .. } = event
            && participants.iter().filter(is_person).count() >= 2
        {
            return;
        }
    }
}
