//! A watcher of the large gallery: asked over its own HTTP (`POST /watch {"link": "..."}`), it
//! joins the meeting of that link with media of its own, asks for the picture that shows
//! everybody, and looks at what comes until the meeting is over.

use callrig_signaling::bot::Join;

use crate::app::media::{Lines, Media, VideoSocket};
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
            app.line().spawn(watch(line, link));
        }
    }
}

async fn watch(line: Line, link: String) -> Result<(), CallError> {
    // Whoever asks with no link of a meeting gets nothing.
    let Some(join) = Join::from_link(&link) else { return Ok(()) };
    let (mut call, media) = line.join_with(join, Lines::VIDEO).await?;
    call.media_active().await?;
    call.perform(|bot, now, id| bot.add_large_gallery_view(now, id)).await?;
    let Media { videos, .. } = media;
    let look = async {
        for video in videos {
            count(video).await;
        }
    };
    tokio::join!(look, call.over());
    Ok(())
}

/// Looks at pictures until there are no more.
async fn count(mut video: VideoSocket) {
    let mut pictures = 0_u64;
    while video.receive().await.is_some() {
        pictures += 1;
    }
    tracing::info!(pictures, "the gallery was shown");
}
