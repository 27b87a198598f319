//! A watcher of the large gallery: asked over its own HTTP (`POST /watch {"link": "..."}`), it
//! joins the meeting of that link with media of its own, asks for the picture that shows
//! everybody, and looks at what comes until the meeting is over. `"lines": 180` beside the link
//! keeps the pictures small, where they come in several sizes.

use std::collections::BTreeMap;

use callrig_signaling::bot::Join;

use crate::app::media::{Lines, Media, Resolution, VideoSocket};
use crate::app::{App, Arrival, CallError, Line, Task};

/// What the bot runs.
pub(super) fn program(app: App) -> Task {
    Box::pin(run(app))
}

async fn run(mut app: App) {
    while let Some(arrival) = app.arrival().await {
        let line = app.line().clone();
        if let Arrival::Ask(ask) = arrival
            && ask.path == "/watch"
        {
            let link = ask.body["link"].as_str().unwrap_or_default().to_owned();
            let lines = ask.body["lines"].as_u64().and_then(|lines| u32::try_from(lines).ok());
            app.line().spawn(watch(line, link, lines.map(Resolution::at_most)));
        }
    }
}

async fn watch(line: Line, link: String, largest: Option<Resolution>) -> Result<(), CallError> {
    // Whoever asks with no link of a meeting gets nothing.
    let Some(join) = Join::from_link(&link) else { return Ok(()) };
    let (mut call, media) = line.join_with(join, Lines::VIDEO).await?;
    call.media_active().await?;
    call.perform(|bot, now, id| bot.add_large_gallery_view(now, id)).await?;
    let Media { videos, .. } = media;
    let look = async {
        for video in videos {
            if let Some(largest) = largest {
                video.subscribe(None, largest);
            }
            count(video).await;
        }
    };
    tokio::join!(look, call.over());
    Ok(())
}

/// Looks at pictures until there are no more.
async fn count(mut video: VideoSocket) {
    let mut pictures: BTreeMap<u16, u64> = BTreeMap::new();
    while let Some(frame) = video.receive().await {
        let (_, lines) = frame.resolution.unwrap_or_default();
        *pictures.entry(lines).or_default() += 1;
    }
    tracing::info!(?pictures, "the gallery was shown, in pictures of so many lines");
}
