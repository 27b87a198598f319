//! What was decoded and not played yet, and the decoder it came out of. Keeps, for every
//! stretch of samples, where it came from and when, so that the counters can say so when
//! it is played.

use std::collections::VecDeque;

use bytes::Bytes;

use super::queue::Waiting;
use crate::audio::conceal::Concealer;
use crate::audio::stretch::{self, Layout, Urgency};
use crate::audio::{Kind, frame_samples};
use crate::codec::g711::{self, Law};
use crate::codec::opus;
use crate::description::Codec;
use crate::fault::{self, Fault};
use crate::time::Instant;

/// Ticks of the timeline in a second.
use super::timeline::TICKS_PER_SECOND;

/// Concealment is a multiple of this many ticks (2.5 ms), as libopus wants it.
pub(super) const CONCEALED_STEP: i64 = 120;

/// Without decoding there is no pitch to go by; this much is taken out or put in.
const BLIND_STRETCH_MS: usize = 10;

/// So many packets that drowned are decoded after all, for nobody, before one that does not. An Opus
/// decoder that missed something finds its way back packet by packet: its next tenth of a second is
/// 1 dB above what it gets wrong without any, 17 dB after ten of 20 ms, 29 dB after twenty.
const WARM_UP: usize = 10;

/// The most samples per channel of an Opus packet, 120 ms at 48 kHz.
const OPUS_SAMPLES_MAX: usize = 5_760;

/// Samples of one origin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Per channel.
    pub(super) samples: usize,
    pub(super) kind: Kind,
    /// When the packet arrived that they came out of; meaningless if there was none.
    pub(super) arrived: Instant,
    /// RTP timestamp of the first one, if there was a packet.
    pub(super) timestamp: Option<u32>,
}

#[derive(Debug)]
enum Decoder {
    /// Nothing is decoded; only the time is kept.
    None,
    Opus(Box<opus::Decoder>),
    G711(Law, Box<Concealer>),
}

/// The decoder of a stream and what it has decoded ahead.
#[derive(Debug)]
pub(super) struct Sound {
    /// What Opus is played at.
    rate: u32,
    decode: bool,
    codec: Option<Codec>,
    decoder: Decoder,
    layout: Layout,
    samples: Vec<i16>,
    runs: VecDeque<Run>,
    /// Per channel, of all runs.
    length: usize,
    /// What its header says to be quieter than this, in −dBov, is not decoded.
    drowned: Option<u8>,
    /// The last packets that the decoder missed.
    missed: VecDeque<Bytes>,
}

impl Sound {
    pub(super) fn new(rate: u32, decode: bool) -> Self {
        Self {
            rate,
            decode,
            codec: None,
            decoder: Decoder::None,
            layout: Layout { rate, channels: 1 },
            samples: Vec::new(),
            runs: VecDeque::with_capacity(16),
            length: 0,
            drowned: None,
            missed: VecDeque::new(),
        }
    }

    /// Sound whose header says that it is quieter than this, in −dBov, is not decoded from now on.
    /// Only where that saves anything: G.711 is decoded all the same.
    pub(super) const fn set_drowned(&mut self, level: Option<u8>) {
        self.drowned = level;
    }

    pub(super) const fn codec(&self) -> Option<Codec> {
        self.codec
    }

    pub(super) const fn layout(&self) -> Layout {
        self.layout
    }

    /// Samples per channel that wait to be played.
    pub(super) const fn length(&self) -> usize {
        self.length
    }

    /// Samples per channel of 20 ms.
    pub(super) const fn frame(&self) -> usize {
        frame_samples(self.layout.rate)
    }

    pub(super) const fn runs(&self) -> &VecDeque<Run> {
        &self.runs
    }

    /// Ticks of the timeline in so many samples.
    pub(super) const fn ticks(&self, samples: usize) -> i64 {
        samples as i64 * TICKS_PER_SECOND / self.layout.rate as i64
    }

    /// Samples per channel in so many ticks.
    pub(super) const fn samples(&self, ticks: i64) -> usize {
        (ticks * self.layout.rate as i64 / TICKS_PER_SECOND) as usize
    }

    /// Begins to decode another codec. Nothing waits to be played.
    pub(super) fn open(&mut self, codec: Codec) {
        debug_assert_eq!(self.length, 0, "what was decoded before has another layout");
        self.runs.clear();
        self.missed.clear();
        self.codec = Some(codec);
        self.layout = match codec {
            Codec::Opus { stereo } => Layout { rate: self.rate, channels: 1 + u8::from(stereo) },
            _ => Layout { rate: g711::RATE, channels: 1 },
        };
        self.decoder = match codec {
            _ if !self.decode => Decoder::None,
            Codec::Opus { .. } => opus::Decoder::new(self.layout.rate, self.layout.channels)
                .map_or(Decoder::None, |decoder| Decoder::Opus(Box::new(decoder))),
            Codec::Pcmu if !fault::is(Fault::LawsSwapped) => Decoder::G711(Law::Mu, Box::default()),
            Codec::Pcma if fault::is(Fault::LawsSwapped) => Decoder::G711(Law::Mu, Box::default()),
            _ => Decoder::G711(Law::A, Box::default()),
        };
    }

    /// Forgets everything.
    pub(super) fn close(&mut self) {
        self.codec = None;
        self.decoder = Decoder::None;
        self.samples.clear();
        self.runs.clear();
        self.missed.clear();
        self.length = 0;
    }

    /// Decodes a packet without its first `skipped` ticks. False if the decoder refuses
    /// it; then nothing was added.
    pub(super) fn decode(&mut self, packet: &Waiting, skipped: i64) -> bool {
        let (length, total) = (self.length, self.samples(packet.ticks));
        let drowns = self.drowns(packet);
        if drowns {
            self.miss(packet);
        } else {
            self.wake();
        }
        let decoded = self.extend(total, |decoder, samples| match decoder {
            Decoder::None => true,
            _ if drowns => true,
            Decoder::Opus(decoder) => {
                decoder.decode(&packet.payload, samples).is_ok_and(|decoded| decoded == total)
            }
            Decoder::G711(law, concealer) => {
                law.decode_to(&packet.payload, samples);
                concealer.heard(samples);
                true
            }
        });
        if !decoded {
            return false;
        }
        let width = usize::from(self.layout.channels);
        if fault::is(Fault::PlayedOneTooLoud) && self.decode {
            let fresh = &mut self.samples[length * width..];
            fresh.iter_mut().for_each(|sample| *sample = sample.saturating_add(1));
        }
        if fault::is(Fault::ChannelsSwapped) && self.decode && width == 2 {
            self.samples[length * width..].chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
        }
        let skipped = self.samples(skipped).min(total);
        if skipped > 0 {
            if self.decode {
                self.samples.drain(length * width..(length + skipped) * width);
            }
            self.length -= skipped;
        }
        let clock = packet.codec.clock_rate() / self.layout.rate;
        self.runs.push_back(Run {
            samples: total - skipped,
            kind: if drowns { Kind::Drowned } else { Kind::Played },
            arrived: packet.arrived,
            timestamp: Some(packet.timestamp.wrapping_add(skipped as u32 * clock)),
        });
        true
    }

    /// Whether nobody would hear a packet.
    fn drowns(&self, packet: &Waiting) -> bool {
        let is_quieter = |(level, drowned)| level > drowned;
        matches!(self.decoder, Decoder::Opus(_))
            && packet.level.zip(self.drowned).is_some_and(is_quieter)
    }

    /// Keeps a packet that is not decoded for [`wake`](Self::wake).
    fn miss(&mut self, packet: &Waiting) {
        if self.missed.len() == WARM_UP {
            self.missed.pop_front();
        }
        self.missed.push_back(packet.payload.clone());
    }

    /// Lets the decoder find its way where it has missed something.
    fn wake(&mut self) {
        if self.missed.is_empty() {
            return;
        }
        let Decoder::Opus(decoder) = &mut self.decoder else { return };
        if self.missed.len() == WARM_UP {
            // There may have been more.
            decoder.reset();
        }
        let start = self.samples.len();
        self.samples.resize(start + OPUS_SAMPLES_MAX * usize::from(self.layout.channels), 0);
        for payload in self.missed.drain(..) {
            // What it refuses it would have refused before.
            let _ = decoder.decode(&payload, &mut self.samples[start..]);
        }
        self.samples.truncate(start);
    }

    /// Decodes the ticks before `next` from the error correction in it.
    pub(super) fn recover(&mut self, next: &Waiting, ticks: i64) {
        let total = self.samples(ticks);
        let drowns = self.drowns(next);
        if !drowns {
            self.wake();
        }
        self.extend(total, |decoder, samples| match decoder {
            _ if drowns => true,
            Decoder::Opus(decoder) => decoder.recover(&next.payload, samples).is_ok(),
            _ => true,
        });
        let before = (ticks * i64::from(next.codec.clock_rate()) / TICKS_PER_SECOND) as u32;
        self.runs.push_back(Run {
            samples: total,
            kind: if drowns { Kind::Drowned } else { Kind::Recovered },
            arrived: next.arrived,
            timestamp: Some(next.timestamp.wrapping_sub(before)),
        });
    }

    /// Makes up so many ticks, a multiple of [`CONCEALED_STEP`]: `Concealed` and `Comfort`
    /// by what the codec has for it, anything else as silence.
    pub(super) fn make_up(&mut self, ticks: i64, mut kind: Kind) {
        let total = self.samples(ticks);
        // What a decoder would make up out of something long past is no concealment.
        let is_behind = !self.missed.is_empty();
        self.extend(total, |decoder, samples| {
            match decoder {
                Decoder::None => {}
                _ if kind == Kind::Silence || is_behind => samples.fill(0),
                Decoder::Opus(decoder) => {
                    if decoder.conceal(samples).is_err() {
                        samples.fill(0);
                    }
                }
                Decoder::G711(_, concealer) => {
                    concealer.conceal(samples);
                    if kind == Kind::Concealed && concealer.is_silent() {
                        kind = Kind::Silence;
                    }
                }
            }
            true
        });
        let run = Run { samples: total, kind, arrived: Instant::ZERO, timestamp: None };
        match self.runs.back_mut() {
            Some(last) if last.kind == kind => last.samples += total,
            _ => self.runs.push_back(run),
        }
    }

    /// Appends so many samples per channel as `fill` leaves them, unless it says no.
    fn extend(
        &mut self,
        total: usize,
        fill: impl FnOnce(&mut Decoder, &mut [i16]) -> bool,
    ) -> bool {
        let start = self.samples.len();
        if self.decode {
            self.samples.resize(start + total * usize::from(self.layout.channels), 0);
        }
        if !fill(&mut self.decoder, &mut self.samples[start..]) {
            self.samples.truncate(start);
            return false;
        }
        self.length += total;
        true
    }

    /// Whether the next 20 ms are as they were sent, so that they may be stretched.
    pub(super) fn is_as_sent(&self) -> bool {
        let mut left = self.frame();
        for run in &self.runs {
            if run.kind > Kind::Played {
                return false;
            }
            if run.samples >= left {
                return true;
            }
            left -= run.samples;
        }
        false
    }

    /// Leaves out a period of what is played next; returns its length in samples.
    pub(super) fn accelerate(&mut self, urgency: Urgency) -> usize {
        let removed = if self.decode {
            stretch::accelerate(&mut self.samples, 0, self.layout, urgency)
        } else {
            BLIND_STRETCH_MS * self.layout.rate as usize / 1000
        };
        self.length -= removed;
        let mut left = removed;
        let mut runs = self.runs.iter_mut();
        while left > 0
            && let Some(run) = runs.next()
        {
            let here = left.min(run.samples);
            run.samples -= here;
            run.kind = run.kind.max(Kind::Stretched);
            left -= here;
        }
        self.runs.retain(|run| run.samples > 0);
        // What now stands in front fades from the period that went into the one after it.
        self.touch(removed);
        removed
    }

    /// The next `count` samples per channel are no longer as they were sent, whatever run
    /// they belong to.
    fn touch(&mut self, count: usize) {
        let mut left = count;
        for run in &mut self.runs {
            if left == 0 {
                return;
            }
            run.kind = run.kind.max(Kind::Stretched);
            left = left.saturating_sub(run.samples);
        }
    }

    /// Repeats a period of what is played next; returns its length in samples.
    pub(super) fn expand(&mut self, urgency: Urgency) -> usize {
        let inserted = if self.decode {
            stretch::expand(&mut self.samples, 0, self.layout, urgency)
        } else {
            BLIND_STRETCH_MS * self.layout.rate as usize / 1000
        };
        self.length += inserted;
        if let Some(run) = self.runs.front_mut()
            && inserted > 0
        {
            run.samples += inserted;
            // The first period stays; the second one is the fade.
            self.touch(2 * inserted);
        }
        inserted
    }

    /// Takes the next `count` samples per channel out: each run of them goes to `played`,
    /// the samples themselves are appended to `out`.
    pub(super) fn take(&mut self, count: usize, out: &mut Vec<i16>, mut played: impl FnMut(Run)) {
        let mut left = count;
        while left > 0
            && let Some(run) = self.runs.front_mut()
        {
            let here = left.min(run.samples);
            if here > 0 {
                played(Run { samples: here, ..*run });
            }
            left -= here;
            run.samples -= here;
            if run.samples == 0 {
                self.runs.pop_front();
            } else if let Some(timestamp) = &mut run.timestamp {
                let clock = self.codec.map_or(1, |codec| codec.clock_rate() / self.layout.rate);
                *timestamp = timestamp.wrapping_add(here as u32 * clock);
            }
        }
        self.length -= count - left;
        let width = (count * usize::from(self.layout.channels)).min(self.samples.len());
        out.extend_from_slice(&self.samples[..width]);
        self.samples.copy_within(width.., 0);
        self.samples.truncate(self.samples.len() - width);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// Quiet packets of 10 ms, each of which is a run and, being quiet, a period.
    fn quiet(packets: u32) -> Sound {
        let mut sound = Sound::new(8_000, true);
        sound.open(Codec::Pcmu);
        for number in 0..packets {
            let packet = Waiting {
                sequence: u64::from(number),
                number: u64::from(number),
                media: i64::from(number) * 480,
                ticks: 480,
                reach: 0,
                pause: false,
                level: None,
                timestamp: number * 80,
                arrived: Instant::ZERO,
                codec: Codec::Pcmu,
                payload: Bytes::from_static(&[0xff; 80]),
            };
            assert!(sound.decode(&packet, 0));
        }
        sound
    }

    fn kinds(sound: &Sound) -> Vec<Kind> {
        sound.runs().iter().map(|run| run.kind).collect()
    }

    #[test]
    fn a_fade_is_not_called_played_even_where_the_run_before_it_went() {
        let mut sound = quiet(6);
        assert_eq!(sound.accelerate(Urgency::Patient), 80);
        let mut expected = vec![Kind::Played; 5];
        expected[0] = Kind::Stretched;
        assert_eq!(kinds(&sound), expected);
    }

    #[test]
    fn what_is_put_in_and_what_it_fades_into_are_stretched() {
        let mut sound = quiet(6);
        assert_eq!(sound.expand(Urgency::Patient), 80);
        let mut expected = vec![Kind::Played; 6];
        expected[0] = Kind::Stretched;
        assert_eq!(kinds(&sound), expected);
        assert_eq!(sound.length(), 560);
    }
}
