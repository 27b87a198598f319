//! Sound into payloads, in whichever codec the peer likes best.

use bytes::{BufMut, Bytes};

use crate::arena::Arena;
use crate::audio::resample::Resampler;
use crate::codec::{g711, opus};
use crate::description::{Codec, Payload};

/// The most bytes that Opus makes of a packet (RFC 6716 section 3.4, one frame).
const OPUS_BYTES_MAX: usize = 1_275;

/// Why there is no payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EncodeError {
    /// The codec has no sound.
    #[error("not a codec of sound")]
    NotSound,
    /// What the library says.
    #[error("{0}")]
    Library(String),
}

/// Per cent of packets that a peer who loses any is taken to lose: one figure for all, so that
/// they share what is encoded.
const EXPECTED_LOSS: u8 = 10;

/// Whether two peers can be sent the same; their numbers for it may differ.
pub(crate) fn is_alike(one: &Payload, other: &Payload) -> bool {
    one.codec.is_compatible(other.codec)
        && one.in_band_fec == other.in_band_fec
        && one.discontinuous == other.discontinuous
        && one.bitrate_max == other.bitrate_max
}

/// Turns 20 ms of samples into a payload.
#[derive(Debug)]
pub(crate) enum Encoder {
    Opus(opus::Encoder),
    G711(Box<G711>),
}

#[derive(Debug)]
pub(crate) struct G711 {
    law: g711::Law,
    resampler: Option<Resampler>,
    /// The samples at 8 kHz.
    samples: Vec<i16>,
}

impl Encoder {
    pub(crate) fn new(payload: &Payload, rate: u32) -> Result<Self, EncodeError> {
        let failed = EncodeError::Library;
        let law = match payload.codec {
            Codec::Pcmu => g711::Law::Mu,
            Codec::Pcma => g711::Law::A,
            Codec::Opus { .. } => {
                let config = opus::Config {
                    rate,
                    fec: payload.in_band_fec,
                    dtx: payload.discontinuous,
                    ..opus::Config::default()
                };
                let config = match payload.bitrate_max {
                    Some(max) => opus::Config {
                        bitrate: config.bitrate.map(|bitrate| bitrate.min(max)),
                        ..config
                    },
                    None => config,
                };
                return opus::Encoder::new(&config)
                    .map(Self::Opus)
                    .map_err(|error| failed(error.to_string()));
            }
            Codec::TelephoneEvent { .. } | Codec::H264 { .. } => {
                return Err(EncodeError::NotSound);
            }
        };
        let resampler = (rate != g711::RATE)
            .then(|| Resampler::new(rate, g711::RATE, 1))
            .transpose()
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self::G711(Box::new(G711 { law, resampler, samples: Vec::new() })))
    }

    /// Whether what follows is to be protected from loss, where the codec knows how and the peer
    /// makes use of it.
    pub(crate) fn protect(&mut self, from_loss: bool) {
        if let Self::Opus(encoder) = self {
            encoder.expect_loss(if from_loss { EXPECTED_LOSS } else { 0 });
        }
    }

    /// The payload; none when the codec would rather send nothing.
    pub(crate) fn encode(
        &mut self,
        samples: &[i16],
        out: &mut Arena,
    ) -> Result<Option<Bytes>, EncodeError> {
        let failed = EncodeError::Library;
        match self {
            Self::Opus(encoder) => {
                let mut packet = [0; OPUS_BYTES_MAX];
                let length = encoder
                    .encode(samples, &mut packet)
                    .map_err(|error| failed(error.to_string()))?;
                let packet = &packet[..length];
                Ok((length > 2).then(|| out.write(length, |bytes| bytes.put_slice(packet))))
            }
            Self::G711(g711) => {
                let G711 { law, resampler, samples: converted } = &mut **g711;
                let samples = match resampler {
                    None => samples,
                    Some(resampler) => {
                        converted.clear();
                        resampler
                            .push(samples, converted)
                            .map_err(|error| failed(error.to_string()))?;
                        converted
                    }
                };
                let law = *law;
                Ok(Some(out.write(samples.len(), |bytes| {
                    bytes.extend(samples.iter().map(|sample| law.encode(*sample)));
                })))
            }
        }
    }
}
