//! The adaptive jitter buffer of one audio stream. It takes RTP packets as they arrive
//! and gives back 20 ms of sound whenever asked: in order, complete where the network
//! allowed it, concealed where not, and as little delayed as the network's jitter and the
//! sender's clock permit. [`estimate`] says how much delay the network needs, [`playout`]
//! keeps to it; its counters are those of W3C webrtc-stats and always add up
//! ([`Stats::is_conserved`]).

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Instant;

mod adapt;
mod emit;
pub mod estimate;
pub mod playout;
mod queue;
mod shape;
mod sound;
mod timeline;

pub use playout::Playout;

/// How an audio stream is buffered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// Samples per second of what is played: 8, 12, 16, 24 or 48 kHz.
    pub rate: u32,
    /// How long the first packet waits before it is played.
    pub delay_initial: Duration,
    /// The target delay is never below this.
    pub delay_min: Duration,
    /// The target delay is never above this, and what would be played later is discarded.
    pub delay_max: Duration,
    /// Which share of the tenths of a second the target delay is to keep free of late
    /// packets, 0.5 to 0.999.
    pub quantile: f64,
    /// Whether sound may be made longer or shorter to reach the target delay.
    pub stretch: bool,
    /// Whether lost packets are decoded from the error correction in the next one.
    pub fec: bool,
    /// Whether to decode at all. Without, all timing and all counters stay the same, but
    /// the samples stay away.
    pub decode: bool,
    /// After so much concealment in one piece there is only silence.
    pub concealment_max: Duration,
    /// Without packets for so long, the stream is taken to have stopped: it is not played
    /// until the next packet, which starts it anew.
    pub idle: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rate: 48_000,
            delay_initial: Duration::from_millis(40),
            delay_min: Duration::from_millis(20),
            delay_max: Duration::from_millis(500),
            quantile: 0.95,
            stretch: true,
            fec: true,
            decode: true,
            concealment_max: Duration::from_secs(1),
            idle: Duration::from_secs(10),
        }
    }
}

/// Why a jitter buffer cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// A rate no codec here can be played at.
    #[error("{0} samples per second: not one of 8000, 12000, 16000, 24000, 48000")]
    Rate(u32),
    /// The delays contradict each other, or are beyond [`DELAY_LIMIT`].
    #[error(
        "delays of {min:?} (min), {initial:?} (initial), {max:?} (max): want 0 <= min <= initial <= max <= 2 s and max >= 20 ms"
    )]
    Delay {
        /// As configured.
        min: Duration,
        /// As configured.
        initial: Duration,
        /// As configured.
        max: Duration,
    },
    /// Not within 0.5 to 0.999.
    #[error("quantile {0}: not within 0.5 to 0.999")]
    Quantile(f64),
}

/// No configuration may ask for more delay than this.
pub const DELAY_LIMIT: Duration = Duration::from_secs(2);

impl Config {
    /// Refuses what cannot be honoured.
    ///
    /// # Errors
    /// The first contradiction found, with its values.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !matches!(self.rate, 8_000 | 12_000 | 16_000 | 24_000 | 48_000) {
            return Err(ConfigError::Rate(self.rate));
        }
        let (min, initial, max) = (self.delay_min, self.delay_initial, self.delay_max);
        if min > initial || initial > max || max > DELAY_LIMIT || max < crate::audio::FRAME {
            return Err(ConfigError::Delay { min, initial, max });
        }
        if !(0.5..=0.999).contains(&self.quantile) {
            return Err(ConfigError::Quantile(self.quantile));
        }
        Ok(())
    }
}

/// What became of a packet that was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Push {
    /// It waits for its turn.
    Queued,
    /// Its turn had passed.
    Late,
    /// It was here before.
    Duplicate,
    /// It cannot be played.
    Discarded(Cause),
}

/// Why a packet that came in time is not played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// Its sequence number is further ahead than the buffer is large
    /// ([`playout::PACKETS_MAX`]).
    Overflow,
    /// Its payload breaks the rules of its codec.
    Malformed,
    /// Its codec is not one that carries sound.
    NotAudio,
    /// It would be played later than [`Config::delay_max`] allows.
    Excess,
    /// The stream was reset, or changed its codec, while it waited.
    Reset,
    /// The decoder refused it.
    Undecodable,
    /// Its timestamp contradicts its sequence number: what it covers was played already.
    Timestamp,
}

/// A packet that was queued and then not played after all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// Its extended sequence number, as it was pushed.
    pub sequence: u64,
    /// Its RTP timestamp.
    pub timestamp: u32,
    /// When it was pushed.
    pub arrived: Instant,
    /// Why.
    pub cause: Cause,
}

/// Packets that came in time and were not played, by [`Cause`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "one counter per variant of Cause, of the same name")]
pub struct Discarded {
    pub overflow: u64,
    pub malformed: u64,
    pub not_audio: u64,
    pub excess: u64,
    pub reset: u64,
    pub undecodable: u64,
    pub timestamp: u64,
}

impl Discarded {
    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.overflow
            + self.malformed
            + self.not_audio
            + self.excess
            + self.reset
            + self.undecodable
            + self.timestamp
    }

    pub(crate) fn count(&mut self, cause: Cause) {
        *match cause {
            Cause::Overflow => &mut self.overflow,
            Cause::Malformed => &mut self.malformed,
            Cause::NotAudio => &mut self.not_audio,
            Cause::Excess => &mut self.excess,
            Cause::Reset => &mut self.reset,
            Cause::Undecodable => &mut self.undecodable,
            Cause::Timestamp => &mut self.timestamp,
        } += 1;
    }
}

/// Counters since the buffer was built. Names, where W3C webrtc-stats has one, and units
/// are its own: samples are per channel at the rate played, delays are seconds summed over
/// samples (divide by `jitter_buffer_emitted_count` for the mean).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Packets pushed.
    pub received: u64,
    /// Packets whose own samples were played.
    pub played: u64,
    /// Packets that came after their turn.
    pub late: u64,
    /// Packets that were here before.
    pub duplicate: u64,
    /// Packets that came in time and were not played.
    pub discarded: Discarded,
    /// Packets that wait.
    pub queued: u64,
    /// W3C: late or discarded, without duplicates.
    pub packets_discarded: u64,
    /// Packets that carried the one before them as error correction.
    pub fec_packets_received: u64,
    /// Of those, the ones whose error correction was not needed.
    pub fec_packets_discarded: u64,
    /// Seconds from a packet's arrival to its samples being played, summed over samples.
    pub jitter_buffer_delay: f64,
    /// The target delay in seconds, summed over samples.
    pub jitter_buffer_target_delay: f64,
    /// The delay that the network alone asks for, in seconds, summed over samples.
    pub jitter_buffer_minimum_delay: f64,
    /// Samples that came out of packets.
    pub jitter_buffer_emitted_count: u64,
    /// All samples played.
    pub total_samples_received: u64,
    /// Samples made up because theirs were lost or late.
    pub concealed_samples: u64,
    /// Of those, the silent ones.
    pub silent_concealed_samples: u64,
    /// How often concealment began.
    pub concealment_events: u64,
    /// Samples added to play slower.
    pub inserted_samples_for_deceleration: u64,
    /// Samples left out to play faster.
    pub removed_samples_for_acceleration: u64,
    /// Samples decoded from error correction. (Not a W3C name.)
    pub recovered_samples: u64,
    /// Samples that were not decoded, since louder voices drown them: zeros, which count as
    /// emitted. (Not a W3C name.)
    #[serde(default)]
    pub drowned_samples: u64,
    /// Samples put into the sender's own pauses. (Not a W3C name.)
    pub comfort_samples: u64,
    /// How often the stream's clock jumped and was followed. (Not a W3C name.)
    pub discontinuities: u64,
}

impl Stats {
    /// Whether every packet is accounted for. It always is.
    #[must_use]
    pub const fn is_conserved(&self) -> bool {
        self.received
            == self.played + self.late + self.duplicate + self.discarded.total() + self.queued
    }
}
