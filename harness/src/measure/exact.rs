//! Whether what was played equals, sample for sample, what the packets decode to directly.
//! Sound that was made up, or stretched, is nobody's decoding; and what comes after it is
//! comparable only where the decoder and the resampler know nothing of it.

use callrig_media::audio::Kind;
use callrig_media::description::Codec;
use callrig_media::time::Instant;

use super::direct::Decoded;
use super::heard::Playback;

/// What a comparison came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exactness {
    /// Frames that were compared.
    pub compared: usize,
    /// Frames that hold something other than decoded packets.
    pub touched: usize,
    /// Frames after those that cannot be compared any more.
    pub beyond: usize,
    /// The first frame that differs.
    pub difference: Option<Difference>,
}

/// Where what was played is not what was decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// When the frame was played.
    pub at: Instant,
    /// Its RTP timestamp.
    pub timestamp: u32,
    /// The first sample of it that differs, all channels counted.
    pub sample: usize,
    /// What the packets decode to, if any packet holds it.
    pub expected: Option<i16>,
    /// What was played.
    pub actual: i16,
}

/// After which of these the sound is that of a direct decoding again.
fn recovers_from(kind: Kind, codec: Codec, rate: u32) -> bool {
    match codec {
        // Stretching happens behind the decoder; what is made up comes out of it.
        Codec::Opus { .. } => kind == Kind::Stretched,
        // G.711 remembers nothing, but a resampler does.
        _ => codec.clock_rate() == rate,
    }
}

/// Compares the frames in which the recording was playing.
#[must_use]
pub fn compare(playback: &Playback<'_>, decoded: &Decoded, codec: Codec) -> Exactness {
    let rate = playback.track.rate;
    let mut exactness = Exactness::default();
    let (mut near, mut lost) = (0, false);
    for (at, heard) in playback.spoken() {
        if heard.kind != Kind::Played {
            exactness.touched += 1;
            lost |= !recovers_from(heard.kind, codec, rate);
            continue;
        }
        let Some(timestamp) = heard.timestamp.filter(|_| !lost) else {
            exactness.beyond += 1;
            continue;
        };
        exactness.compared += 1;
        near = decoded.extend(timestamp, near);
        let played = playback.samples(heard);
        let expected = decoded.at(near, playback.frame() as usize).unwrap_or_default();
        // The last block of a resampler may be cut off; nothing else ends early.
        let different = (0..played.len()).find(|&index| {
            expected.get(index).is_some_and(|sample| *sample != played[index])
                || expected.is_empty()
        });
        if let (Some(sample), None) = (different, exactness.difference) {
            exactness.difference = Some(Difference {
                at: *at,
                timestamp,
                sample,
                expected: expected.get(sample).copied(),
                actual: played[sample],
            });
        }
    }
    exactness
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::ActorId;
    use crate::said::Leg;
    use crate::trace::{Heard, Track};

    fn track(samples: Vec<i16>) -> Track {
        let (who, leg) = (ActorId(0), Leg(0));
        Track { who, leg, ssrc: 1, rate: 8_000, channels: 1, samples }
    }

    fn frames(kinds: &[Kind]) -> Vec<(Instant, Heard)> {
        let heard = |n: usize, kind: Kind| Heard {
            track: 0,
            start: 160 * n as u32,
            samples: 160,
            timestamp: (kind != Kind::Concealed).then_some(160 * n as u32),
            kind,
            concealed: if kind == Kind::Concealed { 160 } else { 0 },
        };
        let list = kinds.iter().enumerate();
        list.map(|(n, kind)| (Instant::from_millis(20 * n as u64), heard(n, *kind))).collect()
    }

    fn decoded() -> Decoded {
        let payload: Vec<u8> = (0..160).collect();
        let packets = [(0, &payload[..]), (160, &payload[..]), (320, &payload[..])];
        Decoded::of(packets, Codec::Pcmu, 8_000).expect("sound")
    }

    #[test]
    fn what_is_untouched_is_equal() {
        let decoded = decoded();
        let track = track(decoded.samples.clone());
        let frames = frames(&[Kind::Played; 3]);
        let exactness = compare(&Playback { track: &track, frames }, &decoded, Codec::Pcmu);
        assert_eq!(exactness, Exactness { compared: 3, ..Exactness::default() });
    }

    #[test]
    fn one_wrong_sample_is_found_and_named() {
        let decoded = decoded();
        let mut samples = decoded.samples.clone();
        samples[165] += 1;
        let (expected, actual) = (Some(decoded.samples[165]), samples[165]);
        let track = track(samples);
        let playback = Playback { track: &track, frames: frames(&[Kind::Played; 3]) };
        let difference = compare(&playback, &decoded, Codec::Pcmu).difference.expect("one");
        assert_eq!((difference.timestamp, difference.sample), (160, 5));
        assert_eq!((difference.expected, difference.actual), (expected, actual));
    }

    #[test]
    fn after_concealment_only_a_codec_without_memory_is_compared() {
        let decoded = decoded();
        let track = track(decoded.samples.clone());
        let frames = frames(&[Kind::Played, Kind::Concealed, Kind::Played]);
        let playback = Playback { track: &track, frames };
        let plain = compare(&playback, &decoded, Codec::Pcmu);
        assert_eq!((plain.compared, plain.touched, plain.beyond), (2, 1, 0));
        let opus = compare(&playback, &decoded, Codec::Opus { stereo: false });
        assert_eq!((opus.compared, opus.touched, opus.beyond), (1, 1, 1));
    }
}
