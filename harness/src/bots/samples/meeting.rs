//! A meeting's greeter: asked over its own HTTP (`POST /join {"link": "..."}`), it joins the
//! meeting of that link, waits in its lobby if there is one, greets, and stays until the
//! meeting is over. Who calls it is told that it is busy.

use callrig_signaling::bot::Join;
use callrig_signaling::graph::RejectReason;

use super::sounds;
use crate::app::{App, Arrival, CallError, Line, Task};

/// What the bot runs.
pub(super) fn program(app: App) -> Task {
    Box::pin(run(app))
}

async fn run(mut app: App) {
    app.keep_file("hello.wav", sounds::chord(&[523.0, 659.0, 784.0], 1_200));
    while let Some(arrival) = app.arrival().await {
        let line = app.line().clone();
        match arrival {
            Arrival::Ask(ask) if ask.path == "/join" => {
                let link = ask.body["link"].as_str().unwrap_or_default().to_owned();
                app.line().spawn(greet(line, link));
            }
            Arrival::Ask(_) => {}
            Arrival::Call(call) => {
                app.line().spawn(async move { call.reject(RejectReason::Busy).await });
            }
        }
    }
}

async fn greet(line: Line, link: String) -> Result<(), CallError> {
    // Whoever asks with no link of a meeting gets nothing.
    let Some(join) = Join::from_link(&link) else { return Ok(()) };
    let mut call = line.join(join).await?;
    call.media_active().await?;
    call.play("hello.wav").await?;
    call.over().await;
    Ok(())
}
