//! How long it takes from somebody's saying something to its being heard: what was sent is decoded
//! directly, what was heard is laid on top of it, and both lie on one clock.

use core::time::Duration;

use callrig_media::description::Codec;
use callrig_media::time::Instant;

use super::align;
use super::direct::{Decoded, channel};
use super::latency::Capture;
use super::payloads::{self, Carried};

/// What is heard is looked for up to a second and a half later.
const DELAYS_TRIED: usize = 3;

/// What a person said, in one channel, and when its first sample was captured.
#[derive(Clone, Debug, PartialEq)]
pub struct Spoken {
    /// At the rate that was asked for.
    pub samples: Vec<i16>,
    /// When the first of them was.
    pub began: Instant,
}

impl Spoken {
    /// What the one source of sound among packets said; `None` if there are several, or its codec
    /// changes. `codec` is what a payload type stands for.
    #[must_use]
    pub fn of(
        mut sent: Vec<Carried>,
        codec: impl Fn(u8) -> Option<Codec>,
        rate: u32,
    ) -> Option<Self> {
        let codec = |payload_type: u8| codec(payload_type).filter(|codec| codec.is_audio());
        sent.retain(|carried| codec(carried.packet.payload_type).is_some());
        let first = sent.first()?.packet;
        let kind = codec(first.payload_type)?;
        let same = |one: &Carried| {
            one.packet.ssrc == first.ssrc && codec(one.packet.payload_type) == Some(kind)
        };
        if !sent.iter().all(same) {
            return None;
        }
        let headers: Vec<_> = sent.iter().map(|carried| carried.packet).collect();
        let capture = Capture::of(&headers, first.ssrc, kind.clock_rate());
        let packets = payloads::in_sequence(&sent, first.ssrc);
        let packets = packets.iter().map(|(_, one)| (one.packet.timestamp, &one.payload[..]));
        let decoded = Decoded::of(packets, kind, rate)?;
        let samples = channel(&decoded.with_holes(), decoded.channels);
        Some(Self { samples, began: capture.sample(first.timestamp, 0)?.0 })
    }

    /// Leaves out what was said before a moment.
    pub fn forget(&mut self, before: Instant, rate: u32) {
        let nanos = u128::from(before.signed_nanos_since(self.began).max(0).unsigned_abs());
        let count = (nanos * u128::from(rate)).div_ceil(1_000_000_000) as usize;
        let count = count.min(self.samples.len());
        self.samples.drain(..count);
        self.began += Duration::from_nanos(count as u64 * 1_000_000_000 / u64::from(rate));
    }

    /// How many samples after they were said these are heard, whose first one was due when the
    /// first one was said; negative of an encoder's look-ahead that nobody waited for. `None` if
    /// nothing in them is like what was said.
    #[must_use]
    pub fn lag(&self, heard: &[i16], rate: u32) -> Option<isize> {
        let step = rate as usize * align::SEARCH_MS / 1_000;
        (0..DELAYS_TRIED).map(|turn| turn * 2 * step).find_map(|skipped| {
            let lag = align::lag(&self.samples, heard.get(skipped..)?, rate)?;
            Some(lag + skipped as isize)
        })
    }
}
