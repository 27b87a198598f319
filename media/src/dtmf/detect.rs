//! Tones heard in the sound. Every 10 ms the last 20 ms are compared with the eight
//! frequencies of ITU-T Q.23 (Goertzel's algorithm, all of them at once: each by itself would
//! wait for its own last step). A tone is one whose two frequencies
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
    /// The amplitudes at the two nominal frequencies, to compare phases with the look before.
    row: Amplitude,
    column: Amplitude,
    frequencies: (f64, f64),
}

/// The complex amplitude at a frequency; the phase is relative to the end of the window.
type Amplitude = (f64, f64);

/// Frequencies that are looked for together, by their angles.
#[derive(Clone, Copy, Debug)]
struct Bank<const N: usize> {
    sines: [f64; N],
    cosines: [f64; N],
}

impl<const N: usize> Bank<N> {
    fn new(frequencies: [f64; N], rate: f64) -> Self {
        let angles = frequencies.map(|frequency| TAU * frequency / rate);
        Self { sines: angles.map(f64::sin), cosines: angles.map(f64::cos) }
    }

    /// Goertzel's recurrence.
    fn amplitudes(&self, window: &[f64]) -> [Amplitude; N] {
        let (mut last, mut before) = ([0.0; N], [0.0; N]);
        for sample in window {
            for index in 0..N {
                let next = sample + 2.0 * self.cosines[index] * last[index] - before[index];
                (before[index], last[index]) = (last[index], next);
            }
        }
        core::array::from_fn(|index| {
            (last[index] - before[index] * self.cosines[index], before[index] * self.sines[index])
        })
    }

    /// What two windows in a row amount to, the first of which ended this angle ago.
    fn turn(&self, first: &[Amplitude; N], second: &[Amplitude; N]) -> [Amplitude; N] {
        core::array::from_fn(|index| {
            let ((real, imaginary), (sine, cosine)) =
                (first[index], (self.sines[index], self.cosines[index]));
            (
                real * cosine - imaginary * sine + second[index].0,
                real * sine + imaginary * cosine + second[index].1,
            )
        })
    }
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
    /// The rows, then the columns.
    bank: Bank<8>,
    /// The same, turned on by half a window.
    turn: Bank<8>,
    /// Of the older half of the window, which was the newer one of the look before; `None`
    /// at the beginning and after silence.
    older: Option<[Amplitude; 8]>,
    partial: (i64, usize),
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
        let [[a, b, c, d], [e, f, g, h]] = [ROWS, COLUMNS];
        let frequencies = [a, b, c, d, e, f, g, h];
        Self {
            channels: usize::from(channels.max(1)),
            reduced: reduced as usize,
            bank: Bank::new(frequencies, f64::from(rate / reduced)),
            turn: Bank::new(frequencies.map(|each| each * hop as f64), f64::from(rate / reduced)),
            older: None,
            rate: f64::from(rate / reduced),
            hop,
            window: Vec::with_capacity(2 * hop),
            partial: (0, 0),
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
            self.partial.0 += i64::from(sample);
            self.partial.1 += 1;
            if self.partial.1 < parts {
                continue;
            }
            self.window.push(self.partial.0 as f64 / parts as f64);
            self.partial = (0, 0);
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
        self.older = None;
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
    fn find(&mut self) -> Option<Look> {
        let length = self.window.len() as f64;
        let (before, now) = self.window.split_at(self.hop);
        // Two at a time: each sum waits for its own last step.
        let pairs = before.iter().zip(now);
        let halves = pairs.fold((0.0, 0.0), |(a, b), (x, y)| (a + x * x, b + y * y));
        let power = (halves.0 + halves.1) / length;
        let older = self.older.take();
        if power < QUIET {
            return None;
        }
        let older = older.unwrap_or_else(|| self.bank.amplitudes(before));
        let newer = self.bank.amplitudes(now);
        self.older = Some(newer);
        let amplitudes = self.turn.turn(&older, &newer);
        let (rows, columns) = amplitudes.split_at(ROWS.len());
        let (row, row_power) = self.strongest(ROWS, rows)?;
        let (column, column_power) = self.strongest(COLUMNS, columns)?;
        let balanced =
            row_power < column_power * ROW_STRONGER && column_power < row_power * COLUMN_STRONGER;
        if !balanced || row_power + column_power < PURITY * power {
            return None;
        }
        Some(Look {
            tone: KEYS[row][column],
            row: rows[row],
            column: columns[column],
            frequencies: (ROWS[row], COLUMNS[column]),
        })
    }

    /// Which of four frequencies stands out, and its power.
    fn strongest(&self, group: [f64; 4], amplitudes: &[Amplitude]) -> Option<(usize, f64)> {
        let powers: [f64; 4] = core::array::from_fn(|index| self.power(amplitudes[index]));
        let best = (0..4).max_by(|&a, &b| powers[a].total_cmp(&powers[b]))?;
        let alone = (0..4).all(|other| other == best || powers[other] * ALONE < powers[best]);
        if !alone {
            return None;
        }
        // A frequency that is allowed to be a little off is measured where it may be.
        let near = [1.0 - 0.015, 1.0 + 0.015].map(|factor| group[best] * factor);
        let power = Bank::new(near, self.rate)
            .amplitudes(&self.window)
            .map(|amplitude| self.power(amplitude))
            .into_iter()
            .fold(powers[best], f64::max);
        Some((best, power))
    }

    /// The mean square of what the window holds at a frequency.
    fn power(&self, (real, imaginary): Amplitude) -> f64 {
        let length = self.window.len() as f64;
        2.0 * (real * real + imaginary * imaginary) / (length * length)
    }

    /// Whether two looks in a row hear the same tone at the right frequencies.
    fn continues(&self, before: &Look, now: &Look) -> bool {
        before.tone == now.tone
            && self.is_near(before.row, now.row, now.frequencies.0)
            && self.is_near(before.column, now.column, now.frequencies.1)
    }

    /// Whether the phase went on by what the frequency says, within what it may be off.
    fn is_near(&self, before: Amplitude, now: Amplitude, frequency: f64) -> bool {
        let turned = now.1.atan2(now.0) - before.1.atan2(before.0);
        let expected = TAU * frequency * self.hop as f64 / self.rate;
        let excess = (turned - expected + PI).rem_euclid(TAU) - PI;
        let off = excess * self.rate / (TAU * self.hop as f64);
        off.abs() <= frequency * OFF
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_amount_to_the_whole() {
        let window: Vec<f64> =
            (0..160).map(|n| (f64::from(n) * 0.61).sin() * 900.0 + f64::from(n % 7)).collect();
        let (rate, hop) = (8_000.0, 80);
        let bank = Bank::new(ROWS, rate);
        let turn = Bank::new(ROWS.map(|each| each * hop as f64), rate);
        let (first, second) = window.split_at(hop);
        let halves = turn.turn(&bank.amplitudes(first), &bank.amplitudes(second));
        for (halves, whole) in halves.iter().zip(bank.amplitudes(&window)) {
            assert!((halves.0 - whole.0).abs() < 1e-6 && (halves.1 - whole.1).abs() < 1e-6);
        }
    }
}
