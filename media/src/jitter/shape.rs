//! What a payload says of itself before it is decoded: how long it lasts, and what else the
//! jitter buffer needs to know of it.

use super::Cause;
use crate::description::Codec;
use crate::payload::{g711, opus};

/// What a payload says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// How long it lasts, in ticks of 1/48000 s.
    pub(super) ticks: i64,
    /// How long its error correction reaches back, in the same ticks; 0 if it has none.
    pub(super) reach: i64,
    /// Whether its sender pauses.
    pub(super) pause: bool,
}

impl Shape {
    pub(super) fn parse(payload: &[u8], codec: Codec) -> Result<Self, Cause> {
        match codec {
            Codec::Opus { .. } => {
                let packet = opus::Packet::parse(payload).map_err(|_| Cause::Malformed)?;
                let reach =
                    if packet.has_error_correction() { packet.toc().frame_ticks() } else { 0 };
                Ok(Self {
                    ticks: i64::from(packet.ticks()),
                    reach: i64::from(reach),
                    pause: packet.is_pause(),
                })
            }
            Codec::Pcmu | Codec::Pcma => {
                let samples = g711::ticks(payload).map_err(|_| Cause::Malformed)?;
                Ok(Self { ticks: i64::from(samples) * 6, reach: 0, pause: false })
            }
            Codec::TelephoneEvent { .. } | Codec::H264 { .. } => Err(Cause::NotAudio),
        }
    }
}
