//! A video of a call, or a screen.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use callrig_media::codec::h264::{Config, Decoder, Encoder};
use callrig_media::video::{Frame, Picture};
use tokio::sync::Notify;

use super::MediaError;
use super::lane::Lane;

/// How many access units may wait to be looked at by the bot: a second of them.
pub(super) const SEEN_MAX: usize = 30;
/// How many may wait to be sent: no more, so that whoever asks for a key frame soon has it.
pub(super) const SHOWN_MAX: usize = 1;
/// The clock of video.
const CLOCK_RATE: u64 = 90_000;
/// Ticks of it between two requests for a key frame because of what cannot be decoded.
const ASKED_EVERY: u32 = 45_000;

/// How large the pictures of a subscription may be: by the lines of a landscape, or the columns
/// of a portrait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resolution {
    /// 320 x 180.
    Sd180p,
    /// 424 x 240.
    Sd240p,
    /// 640 x 360.
    Sd360p,
    /// 960 x 540.
    Sd540p,
    /// 1280 x 720.
    Hd720p,
    /// 1920 x 1080, the most that is sent.
    #[default]
    Hd1080p,
}

impl Resolution {
    /// From the smallest on.
    pub const ALL: [Self; 6] =
        [Self::Sd180p, Self::Sd240p, Self::Sd360p, Self::Sd540p, Self::Hd720p, Self::Hd1080p];

    /// The largest of so many lines at most, or else the smallest.
    #[must_use]
    pub fn at_most(lines: u32) -> Self {
        Self::ALL.into_iter().rfind(|one| one.lines() <= lines).unwrap_or(Self::Sd180p)
    }

    /// Lines of a landscape.
    #[must_use]
    pub const fn lines(self) -> u32 {
        match self {
            Self::Sd180p => 180,
            Self::Sd240p => 240,
            Self::Sd360p => 360,
            Self::Sd540p => 540,
            Self::Hd720p => 720,
            Self::Hd1080p => 1_080,
        }
    }
}

/// An access unit to be sent.
pub(super) struct Shown {
    pub(super) data: Bytes,
    pub(super) timestamp: u32,
    /// Whether it leaves when its timestamp says, and not before.
    pub(super) paced: bool,
}

/// What a video socket shares with the desk.
pub(super) struct Shared {
    pub(super) seen: Lane<Frame>,
    pub(super) shown: Lane<Shown>,
    pub(super) work: Arc<Notify>,
    /// The bot wants a key frame.
    pub(super) asks: AtomicBool,
    /// The other side does.
    pub(super) asked: AtomicBool,
    /// Said when it does.
    pub(super) asking: Notify,
    /// What the bot wants here: a `sourceId`, or 0 for whoever speaks, and in the upper half
    /// how many lines at most, or 0.
    pub(super) wanted: AtomicU64,
    /// Whether that has changed.
    pub(super) wants_anew: AtomicBool,
}

impl Shared {
    pub(super) fn new(work: Arc<Notify>) -> Self {
        Self {
            seen: Lane::new(SEEN_MAX),
            shown: Lane::new(SHOWN_MAX),
            work,
            asks: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            asking: Notify::new(),
            wanted: AtomicU64::new(0),
            wants_anew: AtomicBool::new(false),
        }
    }

    pub(super) fn close(&self) {
        self.seen.close();
        self.shown.close();
        self.asking.notify_one();
    }
}

/// A video of a call: H.264 access units, or raw pictures (I420; [NV12](Picture::to_nv12) as
/// well) which are encoded and decoded
/// in the task of whoever asks, so that nobody's sound waits for them. Key frames that the other
/// side asks for are made by [`send_picture`](Self::send_picture) itself; whoever sends access
/// units of his own looks at [`key_frame_asked`](Self::key_frame_asked).
pub struct VideoSocket {
    shared: Arc<Shared>,
    is_screen: bool,
    decoder: Option<Decoder>,
    encoder: Option<(Encoder, Option<u32>)>,
    /// Timestamp of the last picture for whose sake a key frame was asked for.
    asked_at: Option<u32>,
}

impl core::fmt::Debug for VideoSocket {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("VideoSocket").field("is_screen", &self.is_screen).finish_non_exhaustive()
    }
}

impl VideoSocket {
    pub(super) const fn new(shared: Arc<Shared>, is_screen: bool) -> Self {
        Self { shared, is_screen, decoder: None, encoder: None, asked_at: None }
    }

    /// The next access unit that comes whole; `None` once the call is over. A second of them
    /// waits for a bot that is slow; beyond that the oldest goes, and a key frame is asked for.
    pub async fn receive(&mut self) -> Option<Frame> {
        self.shared.seen.pop().await
    }

    /// The next picture; `None` once the call is over. What cannot be decoded is left out, and
    /// a key frame is asked for, twice a second at most.
    ///
    /// # Errors
    /// There is no decoder.
    pub async fn receive_picture(&mut self) -> Result<Option<Picture>, MediaError> {
        if self.decoder.is_none() {
            let decoder = Decoder::new().map_err(|error| MediaError::Picture(error.to_string()))?;
            self.decoder = Some(decoder);
        }
        while let Some(frame) = self.shared.seen.pop().await {
            let Some(decoder) = &mut self.decoder else { break };
            match decoder.decode(&frame.data, frame.timestamp) {
                Ok(Some(decoded)) => return Ok(Some(decoded.to_picture())),
                Ok(None) => {}
                Err(_) => {
                    let since = self.asked_at.map(|asked| frame.timestamp.wrapping_sub(asked));
                    if since.is_none_or(|ticks| ticks >= ASKED_EVERY) {
                        self.asked_at = Some(frame.timestamp);
                        self.ask_for_key_frame();
                    }
                }
            }
        }
        Ok(None)
    }

    /// Sends an access unit (Annex B) at once; it is displayed at this moment of the video's
    /// clock of 90 kHz.
    ///
    /// # Errors
    /// The media of the call has ended.
    pub async fn send(&mut self, access_unit: Bytes, timestamp: u32) -> Result<(), MediaError> {
        self.push(Shown { data: access_unit, timestamp, paced: false }).await
    }

    /// Sends an access unit when its timestamp says so, counted from the first one that is
    /// played: for what is there already, such as a recording. Waits until the one before is
    /// sent.
    ///
    /// # Errors
    /// The media of the call has ended.
    pub async fn play(&mut self, access_unit: Bytes, timestamp: u32) -> Result<(), MediaError> {
        self.push(Shown { data: access_unit, timestamp, paced: true }).await
    }

    async fn push(&self, shown: Shown) -> Result<(), MediaError> {
        let taken = self.shared.shown.push(shown).await;
        self.shared.work.notify_one();
        if taken { Ok(()) } else { Err(MediaError::Ended) }
    }

    /// Encodes a picture and sends it; its timestamp is that of the video's clock. A picture that
    /// the encoder leaves out to keep to its rate is none that failed.
    ///
    /// # Errors
    /// The picture cannot be encoded, or the media of the call has ended.
    pub async fn send_picture(&mut self, picture: &Picture) -> Result<(), MediaError> {
        let asked = self.key_frame_asked();
        let (encoder, first) = match &mut self.encoder {
            Some(known) => known,
            none => {
                let config = Config { is_screen: self.is_screen, ..Config::default() };
                let encoder = Encoder::new(&config)
                    .map_err(|error| MediaError::Picture(error.to_string()))?;
                none.insert((encoder, None))
            }
        };
        if asked {
            encoder.request_key_frame();
        }
        let first = *first.get_or_insert(picture.timestamp);
        let ticks = u64::from(picture.timestamp.wrapping_sub(first));
        let at = Duration::from_nanos(ticks * 1_000_000_000 / CLOCK_RATE);
        let encoded =
            encoder.encode(picture, at).map_err(|error| MediaError::Picture(error.to_string()))?;
        match encoded {
            Some(encoded) => self.send(encoded.data, picture.timestamp).await,
            None => Ok(()),
        }
    }

    /// Wants to see somebody of a conference on this line from now on: the `sourceId` of their
    /// video in rosters. Without one it shows whoever speaks, and of several such lines each one
    /// of those who spoke last. [`Status::Shown`](super::Status::Shown) says who is seen; whoever
    /// shows nothing is not, and one who is not there any more is forgotten. Of whoever sends the
    /// same pictures in several sizes the largest come that are not larger than `largest` and that
    /// the path carries; who sends one size is seen in it.
    pub fn subscribe(&self, source: Option<u32>, largest: Resolution) {
        let wanted = u64::from(source.unwrap_or(0)) | (u64::from(largest.lines()) << 32);
        self.shared.wanted.store(wanted, Ordering::Relaxed);
        self.shared.wants_anew.store(true, Ordering::Release);
        self.shared.work.notify_one();
    }

    /// Asks the other side for a key frame.
    pub fn ask_for_key_frame(&self) {
        self.shared.asks.store(true, Ordering::Relaxed);
        self.shared.work.notify_one();
    }

    /// Whether the other side has asked for a key frame since the last time.
    #[must_use]
    pub fn key_frame_asked(&self) -> bool {
        self.shared.asked.swap(false, Ordering::Relaxed)
    }

    /// How many access units came and were never looked at, since the bot was slow.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.seen.dropped()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_that_is_not_too_large() {
        let of = |lines| Resolution::at_most(lines).lines();
        assert_eq!([0, 180, 239, 240, 700, 5_000].map(of), [180, 180, 180, 240, 540, 1_080]);
    }
}
