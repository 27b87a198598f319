//! An echo: what the caller says and shows comes back. Its media is its own: sound is decoded
//! and encoded again, pictures go back as the access units that came. Who asks the bot for a key
//! frame is asked for one in turn, for the pictures are his.

use crate::app::media::{Lines, Media, SoundSocket, VideoSocket};
use crate::app::{App, Call, CallError, Task};

/// What the bot runs.
pub(super) fn program(app: App) -> Task {
    Box::pin(run(app))
}

async fn run(mut app: App) {
    while let Some(call) = app.incoming().await {
        app.line().spawn(echo(call));
    }
}

async fn echo(mut call: Call) -> Result<(), CallError> {
    let Media { sound, videos, .. } = call.answer_with(Lines::VIDEO).await?;
    let pictures = async {
        for video in videos {
            show(video).await?;
        }
        Ok(())
    };
    let (said, shown, ()) = tokio::join!(say(sound), pictures, call.over());
    said.and(shown)
}

async fn say(mut sound: SoundSocket) -> Result<(), CallError> {
    while let Some(audio) = sound.receive().await {
        sound.send(&audio.samples).await?;
    }
    Ok(())
}

async fn show(mut video: VideoSocket) -> Result<(), CallError> {
    while let Some(frame) = video.receive().await {
        if video.key_frame_asked() {
            video.ask_for_key_frame();
        }
        video.send(frame.data, frame.timestamp).await?;
    }
    Ok(())
}
