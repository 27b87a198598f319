//! What the packets of a stream decode to when nothing stands between them and the
//! decoder: one after the other, in the order of their numbers, at the rate that was
//! played. G.711 (ITU-T G.711, tables 1 and 2) is expanded here; Opus goes through libopus
//! itself, which is the judge of what is right (RFC 6716 section 6); other rates come out
//! of the product's resampler, whose own quality is not in question here.

use std::collections::BTreeMap;

use callrig_media::audio::resample::Resampler;
use callrig_media::codec::opus;
use callrig_media::description::Codec;

/// The sound of a stream, decoded directly.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// 1 or 2.
    pub channels: u8,
    /// Interleaved.
    pub samples: Vec<i16>,
    /// Ticks of the RTP clock in a sample, both per channel.
    clock: u32,
    /// Samples per tick, where the rate played is above the clock.
    factor: u32,
    /// Where the sound of each packet begins, in samples per channel, and how many there
    /// are, by RTP timestamp relative to the first packet.
    places: BTreeMap<i64, (usize, usize)>,
    first: u32,
}

impl Decoded {
    /// Decodes packets, given by RTP timestamp and payload in the order of their numbers, to
    /// `rate` samples per second. What the decoder refuses is left out. `None` if the codec
    /// is not one of sound, or the rate cannot be had.
    #[must_use]
    pub fn of<'a>(
        packets: impl IntoIterator<Item = (u32, &'a [u8])>,
        codec: Codec,
        rate: u32,
    ) -> Option<Self> {
        let (native, channels) = match codec {
            Codec::Opus { stereo } => (rate, 1 + u8::from(stereo)),
            Codec::Pcmu | Codec::Pcma => (8_000, 1),
            _ => return None,
        };
        let mut decoded = Self {
            channels,
            samples: Vec::new(),
            clock: codec.clock_rate().checked_div(rate)?.max(1),
            factor: (rate / codec.clock_rate()).max(1),
            places: BTreeMap::new(),
            first: 0,
        };
        let mut decoder = Decoder::new(codec, native, channels)?;
        let ticks = i64::from(codec.clock_rate().checked_div(native)?.max(1));
        let mut extended: Option<(i64, u32)> = None;
        for (timestamp, payload) in packets {
            let (before, last) = *extended.get_or_insert_with(|| {
                decoded.first = timestamp;
                (0, timestamp)
            });
            let place = before + i64::from(timestamp.wrapping_sub(last).cast_signed());
            extended = Some((place, timestamp));
            let start = decoded.samples.len();
            decoder.decode(payload, &mut decoded.samples);
            decoded.settle(place, start, ticks);
        }
        if native != rate {
            decoded.resample(native, rate)?;
        }
        Some(decoded)
    }

    /// The sound from this timestamp on, interleaved: `count` samples per channel, fewer at
    /// the end. `None` if no packet holds it. Timestamps are told apart within half their
    /// range of `near`, what [`Self::extend`] said of the one before.
    #[must_use]
    pub fn at(&self, extended: i64, count: usize) -> Option<&[i16]> {
        let start = self.index_of(extended)?;
        let width = usize::from(self.channels);
        let end = (start + count).min(self.samples.len() / width);
        self.samples.get(start * width..end * width)
    }

    /// Where the sample with this timestamp lies, per channel.
    #[must_use]
    pub fn index_of(&self, extended: i64) -> Option<usize> {
        let (place, (start, count)) = self.places.range(..=extended).next_back()?;
        let within = (extended - place) as usize * self.factor as usize / self.clock as usize;
        (within < *count).then_some(start + within)
    }

    /// Where the sample with this timestamp lies in the sender's time: samples per channel
    /// from the first packet on, pauses and losses included. `None` before it.
    #[must_use]
    pub fn place_of(&self, extended: i64) -> Option<usize> {
        let ticks = usize::try_from(extended).ok()?;
        Some(ticks * self.factor as usize / self.clock as usize)
    }

    /// The sound in the sender's time, with silence where there is none: at most half as
    /// much again as there is sound, since timestamps may lie.
    #[must_use]
    pub fn with_holes(&self) -> Vec<i16> {
        let width = usize::from(self.channels);
        let longest = self.samples.len() / width * 3 / 2;
        let mut out = Vec::new();
        for (place, (start, count)) in &self.places {
            let Some(place) = self.place_of(*place) else { continue };
            if place + count > longest {
                break;
            }
            // A resampler may have cut the last packet short.
            let Some(sound) = self.samples.get(start * width..(start + count) * width) else {
                break;
            };
            out.resize(out.len().max((place + count) * width), 0);
            out[place * width..(place + count) * width].copy_from_slice(sound);
        }
        out
    }

    /// A timestamp relative to the first packet, without wraps.
    #[must_use]
    pub fn extend(&self, timestamp: u32, near: i64) -> i64 {
        let relative = timestamp.wrapping_sub(self.first);
        near + i64::from(relative.wrapping_sub(near as u32).cast_signed())
    }

    /// Puts what was decoded last, from `start` on, into its place. What a packet says of time
    /// that the one before it covers is left out: senders trim an encoder's delay that way.
    /// `ticks` of the RTP clock are in a sample as it comes out of the decoder.
    fn settle(&mut self, mut place: i64, start: usize, ticks: i64) {
        let width = usize::from(self.channels);
        let mut count = (self.samples.len() - start) / width;
        let end = |(at, (_, count)): (&i64, &(usize, usize))| at + *count as i64 * ticks;
        let covered = self.places.iter().next_back().map_or(0, |last| end(last) - place) / ticks;
        if let Ok(covered) = usize::try_from(covered)
            && covered < count
        {
            self.samples.drain(start..start + covered * width);
            count -= covered;
            place += covered as i64 * ticks;
        }
        self.places.entry(place).or_insert((start / width, count));
    }

    fn resample(&mut self, from: u32, to: u32) -> Option<()> {
        let factor = to as usize / from as usize;
        if factor * from as usize != to as usize {
            return None;
        }
        let block = from as usize / 100;
        // Whole blocks of 10 ms; what is cut off is less than one packet.
        let whole = self.samples.len() / block * block;
        let mut out = Vec::with_capacity(whole * factor);
        Resampler::new(from, to, 1).ok()?.push(&self.samples[..whole], &mut out).ok()?;
        self.samples = out;
        for (start, count) in self.places.values_mut() {
            *start *= factor;
            *count *= factor;
        }
        Some(())
    }
}

enum Decoder {
    Opus(opus::Decoder, usize),
    Mu,
    A,
}

impl Decoder {
    fn new(codec: Codec, rate: u32, channels: u8) -> Option<Self> {
        Some(match codec {
            Codec::Opus { .. } => {
                Self::Opus(opus::Decoder::new(rate, channels).ok()?, usize::from(channels))
            }
            Codec::Pcmu => Self::Mu,
            _ => Self::A,
        })
    }

    fn decode(&mut self, payload: &[u8], out: &mut Vec<i16>) {
        match self {
            Self::Opus(decoder, channels) => {
                let start = out.len();
                out.resize(start + opus::SAMPLES_MAX * *channels, 0);
                let count = decoder.decode(payload, &mut out[start..]).unwrap_or(0);
                out.truncate(start + count * *channels);
            }
            Self::Mu => out.extend(payload.iter().map(|byte| mu_law(*byte))),
            Self::A => out.extend(payload.iter().map(|byte| a_law(*byte))),
        }
    }
}

/// G.711 table 2: 14 bits, here in the upper ones of 16.
fn mu_law(byte: u8) -> i16 {
    let code = !byte;
    let (exponent, mantissa) = (code >> 4 & 7, i32::from(code & 15));
    let magnitude = ((2 * mantissa + 33) << exponent) - 33;
    let value = if code & 0x80 == 0 { magnitude } else { -magnitude };
    (value * 4) as i16
}

/// G.711 table 1: 13 bits, here in the upper ones of 16; even bits are sent inverted.
fn a_law(byte: u8) -> i16 {
    let code = byte ^ 0x55;
    let (exponent, mantissa) = (code >> 4 & 7, i32::from(code & 15));
    let magnitude = match exponent {
        0 => 2 * mantissa + 1,
        _ => (2 * mantissa + 33) << (exponent - 1),
    };
    let value = if code & 0x80 == 0 { -magnitude } else { magnitude };
    (value * 8) as i16
}

/// The first of interleaved channels.
#[must_use]
pub fn channel(samples: &[i16], channels: u8) -> Vec<i16> {
    samples.iter().step_by(usize::from(channels.max(1))).copied().collect()
}

#[cfg(test)]
mod tests {
    use callrig_media::codec::g711::Law;

    use super::*;

    #[test]
    fn g711_is_expanded_as_its_tables_say() {
        // The ends and the middles of both tables.
        assert_eq!([0x80, 0x00, 0xff, 0x7f].map(mu_law), [32_124, -32_124, 0, 0]);
        assert_eq!([0xaa, 0x2a, 0xd5, 0x55].map(a_law), [32_256, -32_256, 8, -8]);
        for byte in 0..=255 {
            assert_eq!(mu_law(byte), Law::Mu.decode(byte), "mu-law {byte:#04x}");
            assert_eq!(a_law(byte), Law::A.decode(byte), "A-law {byte:#04x}");
        }
    }

    #[test]
    fn a_sample_is_found_by_its_timestamp_across_a_wrap_and_a_hole() {
        let payload: Vec<u8> = (0..160).collect();
        let first = u32::MAX - 159;
        let packets = [(first, &payload[..]), (0, &payload[..]), (480, &payload[..])];
        let decoded = Decoded::of(packets, Codec::Pcmu, 8_000).expect("sound");
        let extended = decoded.extend(10, 0);
        assert_eq!(extended, 170);
        assert_eq!(decoded.at(extended, 2), Some(&[mu_law(10), mu_law(11)][..]));
        assert_eq!(decoded.at(decoded.extend(160, 170), 2), None, "never sent");
        assert_eq!(decoded.index_of(decoded.extend(485, 170)), Some(325));
        assert_eq!(decoded.place_of(decoded.extend(485, 170)), Some(645));
        let timeline = decoded.with_holes();
        assert_eq!(timeline.len(), 320, "the third packet lies beyond what is believed");
        assert_eq!(timeline[170], mu_law(10));
    }

    #[test]
    fn what_a_packet_says_again_is_left_out() {
        let payload: Vec<u8> = (0..160).collect();
        let packets = [(0, &payload[..]), (120, &payload[..]), (280, &payload[..])];
        let decoded = Decoded::of(packets, Codec::Pcmu, 8_000).expect("sound");
        assert_eq!(decoded.samples.len(), 440);
        assert_eq!(decoded.at(160, 1), Some(&[mu_law(40)][..]));
        assert_eq!(decoded.at(280, 1), Some(&[mu_law(0)][..]));
    }

    #[test]
    fn at_a_higher_rate_places_move_along() {
        let payload = [0xffu8; 160];
        let decoded = Decoded::of([(0, &payload[..]), (160, &payload[..])], Codec::Pcmu, 48_000)
            .expect("48 kHz is six times 8 kHz");
        assert_eq!(decoded.samples.len(), 1_920);
        assert_eq!(decoded.index_of(161), Some(966));
    }
}
