//! Sound as the product passes it around: [`Audio`], 20 ms of 16-bit samples with
//! where they came from; and what is done to it: [`mixer`], [`resample`], [`level`],
//! [`conceal`] and [`stretch`].

use core::time::Duration;

use serde::{Deserialize, Serialize};

pub mod conceal;
pub mod level;
pub mod mixer;
pub mod resample;
pub mod stretch;

/// How long one [`Audio`] lasts, everywhere in the product.
pub const FRAME: Duration = Duration::from_millis(20);

/// Samples per channel of one [`Audio`] at `rate` samples per second.
#[must_use]
pub const fn frame_samples(rate: u32) -> usize {
    (rate / 50) as usize
}

/// Where the samples of an [`Audio`] come from. Of several sources within one frame the
/// one furthest from what was sent is named; the order is that of the variants.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// Came, and was not decoded: louder voices drown it. Every sample is zero.
    Drowned,
    /// Decoded, as it was sent.
    Played,
    /// Decoded, then made longer or shorter to follow the network or the sender's clock.
    Stretched,
    /// Lost, and decoded from the forward error correction in a later packet.
    Recovered,
    /// The sender paused on purpose (discontinuous transmission); this is what its codec
    /// puts into the pause.
    Comfort,
    /// Lost or late, and made up by the codec's concealment.
    Concealed,
    /// Nothing is known of this time; every sample is zero.
    #[default]
    Silence,
}

/// 20 ms of sound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audio {
    /// Interleaved samples, `channels` times [`frame_samples`]`(rate)` of them; none when
    /// the owner asked for no decoding.
    pub samples: Vec<i16>,
    /// Samples per second of each channel.
    pub rate: u32,
    /// 1 or 2.
    pub channels: u8,
    /// The RTP source they came from, 0 if they did not come from the wire.
    pub ssrc: u32,
    /// RTP timestamp of the first sample, if it came from the wire and was not made up.
    pub timestamp: Option<u32>,
    /// Where the samples come from.
    pub kind: Kind,
    /// How many samples per channel were not sent by anybody (concealed or silent).
    pub concealed: u32,
}

impl Audio {
    /// Makes this 20 ms of silence, keeping its memory.
    pub fn silence(&mut self, rate: u32, channels: u8) {
        self.samples.clear();
        self.samples.resize(frame_samples(rate) * usize::from(channels), 0);
        self.rate = rate;
        self.channels = channels;
        self.timestamp = None;
        self.kind = Kind::Silence;
        self.concealed = frame_samples(rate) as u32;
    }

    /// How loud it is, as RFC 6464 states it.
    #[must_use]
    pub fn level(&self) -> level::Level {
        level::Level::of(&self.samples)
    }
}
