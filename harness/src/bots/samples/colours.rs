//! Changes colours: what the caller shows comes back with red and blue exchanged. The pictures
//! are raw here: the socket decodes what comes and encodes what goes.

use crate::app::media::{Lines, Media, VideoSocket};
use crate::app::{App, Call, CallError, Task};

/// What the bot runs.
pub(super) fn program(app: App) -> Task {
    Box::pin(run(app))
}

async fn run(mut app: App) {
    while let Some(call) = app.incoming().await {
        app.line().spawn(mirror(call));
    }
}

async fn mirror(mut call: Call) -> Result<(), CallError> {
    let Media { videos, .. } = call.answer_with(Lines::VIDEO).await?;
    let pictures = async {
        for video in videos {
            recolour(video).await?;
        }
        Ok(())
    };
    let (shown, ()) = tokio::join!(pictures, call.over());
    shown
}

async fn recolour(mut video: VideoSocket) -> Result<(), CallError> {
    while let Some(mut picture) = video.receive_picture().await? {
        core::mem::swap(&mut picture.u, &mut picture.v);
        video.send_picture(&picture).await?;
    }
    Ok(())
}
