//! What a bot's packets of sound say, each by itself: without a jitter buffer, which stretches
//! time, between the bot and its judge.

use bytes::Bytes;
use callrig_media::codec::g711::Law;
use callrig_media::codec::opus::Decoder;
use callrig_media::description::{Codec, MediaKind};
use callrig_media::rtp::Packet as Rtp;
use callrig_media::time::Instant;

use super::super::super::capture::Way;
use super::super::super::case::Seen;

/// A packet of sound.
pub(super) struct Piece {
    /// When it came.
    pub at: Instant,
    /// Whose it is.
    pub ssrc: u32,
    /// Its place in time, in samples.
    pub timestamp: u32,
    /// Samples a second.
    pub rate: u32,
    /// What it says; nothing if it cannot be decoded.
    pub samples: Vec<i16>,
}

/// The sound of the bot's first source, as it came.
pub(super) fn pieces<'a>(seen: &Seen<'a>) -> impl Iterator<Item = Piece> + use<'a> {
    let transcript = seen.transcript;
    let ssrc = transcript.wire.sources_of(MediaKind::Audio).first().copied();
    let codec = ssrc.and_then(|ssrc| transcript.wire.codec_of(ssrc));
    let mut ear = codec.and_then(Ear::new);
    transcript.capture.passed(Way::FromBot).filter_map(move |passed| {
        let packet = Rtp::parse(passed.datagram.payload.clone()).ok()?;
        if Some(packet.header.ssrc) != ssrc {
            return None;
        }
        Some(Piece {
            at: passed.at,
            ssrc: packet.header.ssrc,
            timestamp: packet.header.timestamp,
            rate: codec?.clock_rate(),
            samples: ear.as_mut()?.hears(&packet.payload),
        })
    })
}

/// Whoever listens to packets, one after the other.
enum Ear {
    Opus(Box<Decoder>),
    Law(Law),
}

impl Ear {
    fn new(codec: Codec) -> Option<Self> {
        match codec {
            Codec::Opus { .. } => Decoder::new(48_000, 1).ok().map(|d| Self::Opus(Box::new(d))),
            Codec::Pcmu => Some(Self::Law(Law::Mu)),
            Codec::Pcma => Some(Self::Law(Law::A)),
            _ => None,
        }
    }

    fn hears(&mut self, payload: &Bytes) -> Vec<i16> {
        match self {
            Self::Opus(decoder) => {
                // 120 ms, the longest packet (RFC 7587 section 4.2).
                let mut samples = vec![0; 5_760];
                let count = decoder.decode(payload, &mut samples).unwrap_or(0);
                samples.truncate(count);
                samples
            }
            Self::Law(law) => payload.iter().map(|byte| law.decode(*byte)).collect(),
        }
    }
}
