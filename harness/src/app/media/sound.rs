//! The sound of a call.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use bytes::Bytes;
use callrig_media::audio::{Audio, frame_samples};
use tokio::sync::Notify;

use super::MediaError;
use super::lane::Lane;

/// Samples per second of what a bot hears and says: as the real platform has it.
pub const SAMPLE_RATE: u32 = 16_000;
/// Samples of a frame of 20 ms.
pub(super) const FRAME_SAMPLES: usize = frame_samples(SAMPLE_RATE);
/// How much may wait to be heard by the bot, in frames: half a second.
pub(super) const HEARD_MAX: usize = 25;
/// How much may wait to be said, in frames: a fifth of a second, for the sake of the delay.
pub(super) const SAID_MAX: usize = 10;

/// Something to be said.
#[expect(clippy::large_enum_variant, reason = "ten wait at most, and a box costs more")]
pub(super) enum Said {
    /// 20 ms at [`SAMPLE_RATE`].
    Frame([i16; FRAME_SAMPLES]),
    /// A payload of the codec that was agreed on, and how long it lasts in ticks of its clock.
    Encoded(Bytes, u32),
}

/// A packet of sound as it came, not decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The source.
    pub source: u32,
    /// Its number, as it stands in the header.
    pub number: u16,
    /// Its timestamp.
    pub timestamp: u32,
    /// What its payload type stands for is in the platform's answer: Opus where both know it.
    pub payload_type: u8,
    /// The payload.
    pub payload: Bytes,
}

/// 20 ms of one speaker.
#[derive(Clone, Debug, PartialEq)]
pub struct Spoken {
    /// Who speaks: the `sourceId` of their sound in rosters, if the platform says so.
    pub source: Option<u32>,
    /// 320 samples at [`SAMPLE_RATE`].
    pub audio: Box<Audio>,
}

/// One speaker of a conference, apart from the others and from the mix: at any time somebody
/// else may be the speaker, who keeps the socket for as long as nobody who speaks needs it.
/// Nothing comes while nobody speaks on it, but what bridges a short pause.
pub struct SpeakerSocket {
    pub(super) lane: Arc<Lane<Spoken>>,
}

impl core::fmt::Debug for SpeakerSocket {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SpeakerSocket").field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}

impl SpeakerSocket {
    /// The next 20 ms; `None` once the call is over. Half a second waits for a bot that is slow;
    /// beyond that the oldest goes.
    pub async fn receive(&mut self) -> Option<Spoken> {
        self.lane.pop().await
    }

    /// How many frames were never looked at, since the bot was slow.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.lane.dropped()
    }
}

/// What a sound socket shares with the desk.
pub(super) struct Shared {
    pub(super) heard: Lane<Box<Audio>>,
    pub(super) packets: Lane<Encoded>,
    /// Whether anybody looks at packets.
    pub(super) looks: AtomicBool,
    pub(super) said: Lane<Said>,
    pub(super) work: Arc<Notify>,
}

/// The sound of a call: 16 kHz, one channel, in frames of 20 ms. What is sent is paced by the
/// call's clock, and silence is sent where there is nothing to say: people notice a line that is
/// dead.
pub struct SoundSocket {
    shared: Arc<Shared>,
    /// What does not make a frame yet.
    rest: Vec<i16>,
}

impl core::fmt::Debug for SoundSocket {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SoundSocket").field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}

impl SoundSocket {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared, rest: Vec::new() }
    }

    /// The next 20 ms that are heard: 320 samples, of the source that they name. `None` once the
    /// call is over. Half a second waits for a bot that is slow; beyond that the oldest goes.
    pub async fn receive(&mut self) -> Option<Box<Audio>> {
        self.shared.heard.pop().await
    }

    /// The next packet of sound as it came, in the order in which it came: not decoded, and with
    /// no regard to loss. `None` once the call is over. Those before the first call of this are
    /// not kept.
    pub async fn receive_encoded(&mut self) -> Option<Encoded> {
        self.shared.looks.store(true, Ordering::Relaxed);
        self.shared.packets.pop().await
    }

    /// Says something, of any length: waits while a fifth of a second waits to be said. What
    /// does not fill a frame waits for the next call, or for [`flush`](Self::flush).
    ///
    /// # Errors
    /// The media of the call has ended.
    pub async fn send(&mut self, samples: &[i16]) -> Result<(), MediaError> {
        self.rest.extend_from_slice(samples);
        let mut taken = 0;
        while let Some(frame) = self.rest[taken..].first_chunk::<FRAME_SAMPLES>() {
            let frame = *frame;
            taken += FRAME_SAMPLES;
            self.push(Said::Frame(frame)).await?;
        }
        self.rest.drain(..taken);
        Ok(())
    }

    /// Says what is left of the last frame, with silence behind it.
    ///
    /// # Errors
    /// The media of the call has ended.
    pub async fn flush(&mut self) -> Result<(), MediaError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        let mut frame = [0; FRAME_SAMPLES];
        for (to, from) in frame.iter_mut().zip(self.rest.drain(..)) {
            *to = from;
        }
        self.push(Said::Frame(frame)).await
    }

    /// Sends a payload that was encoded elsewhere, in the codec that was agreed on (Opus with
    /// every platform that knows it), which lasts so many ticks of its RTP clock.
    ///
    /// # Errors
    /// The media of the call has ended.
    pub async fn send_encoded(&mut self, payload: Bytes, ticks: u32) -> Result<(), MediaError> {
        self.push(Said::Encoded(payload, ticks)).await
    }

    /// Falls silent: what waits to be said never will be.
    pub fn hush(&mut self) {
        self.rest.clear();
        self.shared.said.clear();
    }

    /// How many frames were heard and never looked at, since the bot was slow.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.heard.dropped()
    }

    async fn push(&self, said: Said) -> Result<(), MediaError> {
        let taken = self.shared.said.push(said).await;
        self.shared.work.notify_one();
        if taken { Ok(()) } else { Err(MediaError::Ended) }
    }
}
