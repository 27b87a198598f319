//! Opus over libopus (RFC 6716, RFC 7587). [`Decoder`] plays what there is, what the next
//! packet repeats of a lost one, and libopus' own concealment of what is gone;
//! [`Encoder`] is set up for conversations.

use opus::{Application, Bitrate, Channels};
use serde::{Deserialize, Serialize};

/// How the library names itself and its version.
#[must_use]
pub fn version() -> &'static str {
    opus::version()
}

/// The longest packet and the longest concealment in one piece, in samples per channel
/// at 48 kHz.
pub const SAMPLES_MAX: usize = 5_760;

/// No packet that we make is larger than this (rule R2 of RFC 6716).
pub const PACKET_BYTES_MAX: usize = 1_275;

/// Why a decoder or an encoder cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Not a rate Opus knows.
    #[error("{0} samples per second: not one of 8000, 12000, 16000, 24000, 48000")]
    Rate(u32),
    /// Neither one nor two.
    #[error("{0} channels: not 1 or 2")]
    Channels(u8),
    /// The library has no memory, or refuses a setting.
    #[error("libopus: {0}")]
    Library(&'static str),
}

/// Why a packet cannot be decoded, or sound not be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The library refuses it.
    #[error("libopus: {0}")]
    Library(&'static str),
    /// Not 2.5, 5, 10, 20, 40 or 60 ms of sound.
    #[error("{samples} samples per channel at {rate} Hz: not 2.5, 5, 10, 20, 40 or 60 ms")]
    FrameSize {
        /// Per channel.
        samples: usize,
        /// Per second.
        rate: u32,
    },
}

/// One Opus decoder: the state of one stream.
#[derive(Debug)]
pub struct Decoder {
    inner: opus::Decoder,
    channels: usize,
}

impl Decoder {
    /// A decoder that gives `rate` samples per second (8, 12, 16, 24 or 48 kHz) of 1 or 2
    /// channels, whatever is sent.
    ///
    /// # Errors
    /// If the rate or the channels are none of these.
    pub fn new(rate: u32, channels: u8) -> Result<Self, BuildError> {
        let inner = opus::Decoder::new(checked_rate(rate)?, checked_channels(channels)?)
            .map_err(|error| BuildError::Library(error.description()))?;
        Ok(Self { inner, channels: usize::from(channels) })
    }

    /// Decodes a packet into the front of `samples`, interleaved; returns how many per
    /// channel. `samples` must have room for the whole packet.
    ///
    /// # Errors
    /// What libopus says; its state then is as if the packet had been lost.
    pub fn decode(&mut self, packet: &[u8], samples: &mut [i16]) -> Result<usize, CodecError> {
        self.run(packet, samples, false)
    }

    /// Fills `samples` (a multiple of 2.5 ms) with the end of what was lost before
    /// `next`, the packet that follows the loss, from its error correction; what it does
    /// not reach back to is concealed. `next` itself is to be decoded afterwards.
    ///
    /// # Errors
    /// What libopus says.
    pub fn recover(&mut self, next: &[u8], samples: &mut [i16]) -> Result<usize, CodecError> {
        self.run(next, samples, true)
    }

    /// Fills `samples` (a multiple of 2.5 ms, at most 120 ms) with libopus' concealment.
    ///
    /// # Errors
    /// What libopus says.
    pub fn conceal(&mut self, samples: &mut [i16]) -> Result<usize, CodecError> {
        self.run(&[], samples, false)
    }

    /// Forgets everything heard so far.
    pub fn reset(&mut self) {
        // Refused only for a null pointer.
        let _ = self.inner.reset_state();
    }

    fn run(&mut self, bytes: &[u8], out: &mut [i16], fec: bool) -> Result<usize, CodecError> {
        debug_assert_eq!(out.len() % self.channels, 0, "whole samples of every channel");
        self.inner.decode(bytes, out, fec).map_err(|error| CodecError::Library(error.description()))
    }
}

/// What an encoder is to optimise for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Purpose {
    /// Speech in conversations.
    #[default]
    Voice,
    /// Anything, as close to the original as possible.
    Music,
    /// The shortest delay; no error correction.
    LowDelay,
}

/// How an [`Encoder`] is set up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// Samples per second of the input: 8, 12, 16, 24 or 48 kHz.
    pub rate: u32,
    /// 1 or 2.
    pub channels: u8,
    /// What to optimise for.
    pub purpose: Purpose,
    /// Bits per second, 500 to 512000; `None` lets libopus choose.
    pub bitrate: Option<u32>,
    /// 0 (cheap) to 10 (good).
    pub complexity: u8,
    /// Whether to send the previous frame once more, worse, with each one (RFC 6716
    /// section 2.1.7). Takes effect when `expected_loss` is above zero.
    pub fec: bool,
    /// Per cent of packets that are expected to be lost, 0 to 100.
    pub expected_loss: u8,
    /// Whether to stop sending in silence.
    pub dtx: bool,
    /// Whether the bit rate may vary.
    pub variable_rate: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rate: 48_000,
            channels: 1,
            purpose: Purpose::Voice,
            bitrate: Some(32_000),
            complexity: 5,
            fec: false,
            expected_loss: 0,
            dtx: false,
            variable_rate: true,
        }
    }
}

/// One Opus encoder: the state of one stream.
#[derive(Debug)]
pub struct Encoder {
    inner: opus::Encoder,
    rate: u32,
    channels: usize,
}

impl Encoder {
    /// An encoder.
    ///
    /// # Errors
    /// If the configuration has a value libopus refuses.
    pub fn new(config: &Config) -> Result<Self, BuildError> {
        let (rate, channels) = (checked_rate(config.rate)?, checked_channels(config.channels)?);
        let purpose = match config.purpose {
            Purpose::Voice => Application::Voip,
            Purpose::Music => Application::Audio,
            Purpose::LowDelay => Application::LowDelay,
        };
        let build = || -> opus::Result<opus::Encoder> {
            let mut inner = opus::Encoder::new(rate, channels, purpose)?;
            inner.set_bitrate(match config.bitrate {
                Some(bits) => Bitrate::Bits(i32::try_from(bits).unwrap_or(i32::MAX)),
                None => Bitrate::Auto,
            })?;
            inner.set_complexity(i32::from(config.complexity))?;
            inner.set_inband_fec(config.fec)?;
            inner.set_packet_loss_perc(i32::from(config.expected_loss))?;
            inner.set_dtx(config.dtx)?;
            inner.set_vbr(config.variable_rate)?;
            Ok(inner)
        };
        let inner = build().map_err(|error| BuildError::Library(error.description()))?;
        Ok(Self { inner, rate, channels: usize::from(config.channels) })
    }

    /// Encodes 2.5 to 60 ms of interleaved samples into the front of `packet`; returns
    /// its length. One or two bytes say that, with `dtx`, nothing need be sent.
    ///
    /// # Errors
    /// If the samples are not one of Opus' durations, or `packet` has no room.
    pub fn encode(&mut self, samples: &[i16], packet: &mut [u8]) -> Result<usize, CodecError> {
        let per_channel = samples.len() / self.channels;
        // In units of 2.5 ms.
        let units = per_channel * 400 / self.rate as usize;
        if !matches!(units, 1 | 2 | 4 | 8 | 16 | 24)
            || units * self.rate as usize != per_channel * 400
        {
            return Err(CodecError::FrameSize { samples: per_channel, rate: self.rate });
        }
        self.inner.encode(samples, packet).map_err(|error| CodecError::Library(error.description()))
    }

    /// Tells the encoder what the far end loses, in per cent.
    pub fn expect_loss(&mut self, per_cent: u8) {
        // Refused only above 100.
        let _ = self.inner.set_packet_loss_perc(i32::from(per_cent.min(100)));
    }

    /// Changes the bit rate, clamped to what Opus can do.
    pub fn set_bitrate(&mut self, bits_per_second: u32) {
        let bits = bits_per_second.clamp(500, 512_000).cast_signed();
        // Refused only when not positive.
        let _ = self.inner.set_bitrate(Bitrate::Bits(bits));
    }

    /// How many samples per channel, at the encoder's rate, its output lags its input.
    pub fn delay(&mut self) -> usize {
        self.inner.get_lookahead().map_or(0, |samples| samples.unsigned_abs() as usize)
    }

    /// Forgets everything heard so far.
    pub fn reset(&mut self) {
        // Refused only for a null pointer.
        let _ = self.inner.reset_state();
    }
}

fn checked_rate(rate: u32) -> Result<u32, BuildError> {
    match rate {
        8_000 | 12_000 | 16_000 | 24_000 | 48_000 => Ok(rate),
        rate => Err(BuildError::Rate(rate)),
    }
}

fn checked_channels(channels: u8) -> Result<Channels, BuildError> {
    match channels {
        1 => Ok(Channels::Mono),
        2 => Ok(Channels::Stereo),
        channels => Err(BuildError::Channels(channels)),
    }
}
