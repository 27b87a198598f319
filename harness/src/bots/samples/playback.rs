//! Plays recordings: a video with its sound, and a second video as a shared screen, again and
//! again until the caller hangs up. Whoever asks for a key frame gets the last one of the
//! recording, from which it goes on.

use std::sync::LazyLock;

use bytes::Bytes;
use callrig_corpora::format::annexb::AnnexB;
use callrig_corpora::format::wav::Wav;

use crate::app::media::{Lines, Media, SoundSocket, VideoSocket};
use crate::app::{App, Call, CallError, Task};

/// Speech at 16 kHz.
static SPEECH: &[u8] = include_bytes!("../../../../corpora/recordings/audio/speech-en.wav");
/// 360p at 30 pictures a second, constrained baseline.
static CAMERA: &[u8] = include_bytes!("../../../../corpora/recordings/video/moving-360p-cb.264");
/// 720p at 5 pictures a second.
static SCREEN: &[u8] = include_bytes!("../../../../corpora/recordings/video/screen-720p-5fps.264");

/// A film: its access units, and whether each is a key frame.
struct Film {
    units: Vec<(Bytes, bool)>,
    /// How long each is shown, in ticks of the video's clock.
    ticks: u32,
}

impl Film {
    fn read(file: &'static [u8], ticks: u32) -> Self {
        let stream = AnnexB::read(Bytes::from_static(file)).expect("a recording of ours is sound");
        let units = stream.access_units().into_iter().filter(|unit| unit.picture);
        Self { units: units.map(|unit| (unit.data, unit.key_frame)).collect(), ticks }
    }
}

static FILM: LazyLock<Film> = LazyLock::new(|| Film::read(CAMERA, 3_000));
static SLIDES: LazyLock<Film> = LazyLock::new(|| Film::read(SCREEN, 18_000));
static VOICE: LazyLock<Vec<i16>> = LazyLock::new(|| {
    let file = Wav::read(&Bytes::from_static(SPEECH)).expect("a recording of ours is sound");
    file.pcm().expect("it is PCM of 16 bits").collect()
});

/// What the bot runs.
pub(super) fn program(app: App) -> Task {
    Box::pin(run(app))
}

async fn run(mut app: App) {
    while let Some(call) = app.incoming().await {
        app.line().spawn(play(call));
    }
}

async fn play(mut call: Call) -> Result<(), CallError> {
    let lines = Lines { screen: true, ..Lines::VIDEO };
    let Media { sound, mut videos, screen, .. } = call.answer_with(lines).await?;
    let camera = async {
        match videos.pop() {
            Some(video) => show(video, &FILM).await,
            None => Ok(()),
        }
    };
    let slides = async {
        match screen {
            Some(screen) => show(screen, &SLIDES).await,
            None => Ok(()),
        }
    };
    let (said, seen, shared, ()) = tokio::join!(say(sound), camera, slides, call.over());
    said.and(seen).and(shared)
}

async fn say(mut sound: SoundSocket) -> Result<(), CallError> {
    loop {
        // As fast as it is heard: the socket takes no more than that.
        sound.send(&VOICE).await?;
    }
}

async fn show(mut video: VideoSocket, film: &Film) -> Result<(), CallError> {
    let (mut at, mut timestamp) = (0, 0_u32);
    loop {
        if video.key_frame_asked() {
            at = film.units[..=at].iter().rposition(|(_, key_frame)| *key_frame).unwrap_or(0);
        }
        let (unit, _) = &film.units[at];
        video.play(unit.clone(), timestamp).await?;
        timestamp = timestamp.wrapping_add(film.ticks);
        at = (at + 1) % film.units.len();
    }
}
