//! Tones heard in the sound. Every 10 ms the last 20 ms are compared with the eight
//! frequencies of ITU-T Q.23 (Goertzel's algorithm). A tone is one whose two frequencies
//! hold nearly all the power, are about equally strong (Q.24's twist), are right by about
//! 2.5 % as their phases tell, and stay so for two looks; so 40 ms are always enough, and
//! voices, whose power is spread over harmonics that glide, hardly ever pass.

use core::f64::consts::{PI, TAU};
use core::time::Duration;

use arrayvec::ArrayVec;

use super::synthesize::{COLUMNS, KEYS, ROWS};
use super::{Tone, ToneEvent};

/// Sound is brought down to this rate first.
const RATE: u32 = 8_000;

/// Looks are so many samples apart, per second of them.
const LOOKS_PER_SECOND: u32 = 100;

/// The part of the power that must lie at the two frequencies.
const PURITY: f64 = 0.75;

/// Below this mean square (about −42 dBov) nothing is looked for.
const QUIET: f64 = 67_000.0;

/// How much stronger than the column the row may be, and the other way round: 9 and 6 dB.
const ROW_STRONGER: f64 = 8.0;
const COLUMN_STRONGER: f64 = 4.0;

/// How much stronger than the others of its group a frequency must be: 6 dB.
const ALONE: f64 = 4.0;

/// How far off a frequency may be.
const OFF: f64 = 0.028;

/// Looks without the tone that end it.
const MISSES: u32 = 2;

/// Tones heard in one go; more than 20 ms of sound cannot end.
const PENDING_MAX: usize = 8;

/// What one look found.
#[derive(Clone, Copy, Debug)]
struct Look {
    tone: Tone,
    /// The complex amplitudes at the two nominal frequencies, to compare phases with the
    /// look before.
    row: (f64, f64),
    column: (f64, f64),
    frequencies: (f64, f64),
}

/// A tone that sounds.
#[derive(Clone, Copy, Debug)]
struct Sounding {
    tone: Tone,
    timestamp: u32,
    looks: u32,
    misses: u32,
}

/// The tones of one stream.
#[derive(Clone, Debug)]
pub struct Detector {
    channels: usize,
    /// So many samples are averaged into one.
    reduced: usize,
    /// Looks are at this rate.
    rate: f64,
    /// Half a look.
    hop: usize,
    window: Vec<f64>,
    partial: (f64, usize),
    before: Option<Look>,
    sounding: Option<Sounding>,
    pending: ArrayVec<ToneEvent, PENDING_MAX>,
}

impl Detector {
    /// Of sound at `rate` samples per second, at least 8000, with so many interleaved
    /// channels.
    #[must_use]
    pub fn new(rate: u32, channels: u8) -> Self {
        let rate = rate.max(RATE);
        let reduced = if rate.is_multiple_of(RATE) { rate / RATE } else { 1 };
        let hop = (rate / reduced / LOOKS_PER_SECOND) as usize;
        Self {
            channels: usize::from(channels.max(1)),
            reduced: reduced as usize,
            rate: f64::from(rate / reduced),
            hop,
            window: Vec::with_capacity(2 * hop),
            partial: (0.0, 0),
            before: None,
            sounding: None,
            pending: ArrayVec::new(),
        }
    }

    /// Listens. `timestamp` is the first sample's, on a clock of `clock_rate` ticks per
    /// second. Afterwards, [`poll`](Self::poll) until there is nothing more.
    pub fn push(&mut self, samples: &[i16], timestamp: u32, clock_rate: u32) {
        let ticks_per_sample = f64::from(clock_rate) / self.rate;
        let parts = self.reduced * self.channels;
        let mut position = 0.0;
        for &sample in samples {
            self.partial.0 += f64::from(sample);
            self.partial.1 += 1;
            if self.partial.1 < parts {
                continue;
            }
            self.window.push(self.partial.0 / parts as f64);
            self.partial = (0.0, 0);
            position += 1.0;
            if self.window.len() == 2 * self.hop {
                let start = (position - 2.0 * self.hop as f64) * ticks_per_sample;
                self.look(
                    timestamp.wrapping_add_signed(start as i32),
                    clock_rate / LOOKS_PER_SECOND,
                );
                self.window.drain(..self.hop);
            }
        }
    }

    /// A tone that was heard and has ended.
    pub fn poll(&mut self) -> Option<ToneEvent> {
        if self.pending.is_empty() { None } else { Some(self.pending.remove(0)) }
    }

    /// The stream ends: so does what still sounds.
    pub fn finish(&mut self) {
        self.end(true);
        self.window.clear();
        self.before = None;
    }

    fn look(&mut self, timestamp: u32, hop_ticks: u32) {
        let found = self.find();
        let confirmed = match (self.before, found) {
            (Some(before), Some(found)) => self.continues(&before, &found),
            _ => false,
        };
        self.before = found;
        let heard = found.map(|look| look.tone);
        match &mut self.sounding {
            Some(sounding) if heard == Some(sounding.tone) => {
                sounding.looks += 1 + sounding.misses;
                sounding.misses = 0;
                return;
            }
            Some(sounding) if sounding.misses + 1 < MISSES && !confirmed => {
                sounding.misses += 1;
                return;
            }
            Some(_) => self.end(false),
            None => {}
        }
        if let Some(tone) = heard.filter(|_| confirmed) {
            // It began one look earlier.
            let timestamp = timestamp.wrapping_sub(hop_ticks);
            self.sounding = Some(Sounding { tone, timestamp, looks: 2, misses: 0 });
        }
    }

    fn end(&mut self, end_lost: bool) {
        let Some(sounding) = self.sounding.take() else { return };
        // Looks overlap by half, and a tone that fills three quarters of one is still heard.
        let ms = u64::from(sounding.looks) * 1000 / u64::from(LOOKS_PER_SECOND) + 5;
        if self.pending.is_full() {
            self.pending.remove(0);
        }
        self.pending.push(ToneEvent {
            tone: sounding.tone,
            timestamp: sounding.timestamp,
            duration: Duration::from_millis(ms),
            end_lost,
            in_band: true,
        });
    }

    /// What tone the window holds.
    fn find(&self) -> Option<Look> {
        let length = self.window.len() as f64;
        let power = self.window.iter().map(|sample| sample * sample).sum::<f64>() / length;
        if power < QUIET {
            return None;
        }
        let (row, row_power) = self.strongest(ROWS)?;
        let (column, column_power) = self.strongest(COLUMNS)?;
        let balanced =
            row_power < column_power * ROW_STRONGER && column_power < row_power * COLUMN_STRONGER;
        if !balanced || row_power + column_power < PURITY * power {
            return None;
        }
        let frequencies = (ROWS[row], COLUMNS[column]);
        Some(Look {
            tone: KEYS[row][column],
            row: self.amplitude(frequencies.0),
            column: self.amplitude(frequencies.1),
            frequencies,
        })
    }

    /// Which of four frequencies stands out, and its power.
    fn strongest(&self, group: [f64; 4]) -> Option<(usize, f64)> {
        let powers = group.map(|frequency| self.power(frequency));
        let best = (0..4).max_by(|&a, &b| powers[a].total_cmp(&powers[b]))?;
        let alone = (0..4).all(|other| other == best || powers[other] * ALONE < powers[best]);
        if !alone {
            return None;
        }
        // A frequency that is allowed to be a little off is measured where it may be.
        let power = [1.0 - 0.015, 1.0 + 0.015]
            .map(|factor| self.power(group[best] * factor))
            .into_iter()
            .fold(powers[best], f64::max);
        Some((best, power))
    }

    /// The mean square of what the window holds at a frequency.
    fn power(&self, frequency: f64) -> f64 {
        let (real, imaginary) = self.amplitude(frequency);
        let length = self.window.len() as f64;
        2.0 * (real * real + imaginary * imaginary) / (length * length)
    }

    /// Goertzel's recurrence; the phase is relative to the end of the window.
    fn amplitude(&self, frequency: f64) -> (f64, f64) {
        let (sine, cosine) = (TAU * frequency / self.rate).sin_cos();
        let (mut last, mut before) = (0.0, 0.0);
        for sample in &self.window {
            let next = sample + 2.0 * cosine * last - before;
            (before, last) = (last, next);
        }
        (last - before * cosine, before * sine)
    }

    /// Whether two looks in a row hear the same tone at the right frequencies.
    fn continues(&self, before: &Look, now: &Look) -> bool {
        before.tone == now.tone
            && self.is_near(before.row, now.row, now.frequencies.0)
            && self.is_near(before.column, now.column, now.frequencies.1)
    }

    /// Whether the phase went on by what the frequency says, within what it may be off.
    fn is_near(&self, before: (f64, f64), now: (f64, f64), frequency: f64) -> bool {
        let turned = now.1.atan2(now.0) - before.1.atan2(before.0);
        let expected = TAU * frequency * self.hop as f64 / self.rate;
        let excess = (turned - expected + PI).rem_euclid(TAU) - PI;
        let off = excess * self.rate / (TAU * self.hop as f64);
        off.abs() <= frequency * OFF
    }
}
