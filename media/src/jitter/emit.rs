//! The last step of the playout: 20 ms of what was decoded become an [`Audio`], and every
//! run of samples is put down to where it came from.

use super::playout::Playout;
use super::sound::Run;
use crate::audio::resample::Resampler;
use crate::audio::{Audio, Kind, frame_samples};
use crate::fault::{self, Fault};
use crate::time::Instant;

impl Playout {
    /// Hands out the next 20 ms and says in the counters where they came from.
    pub(super) fn emit(&mut self, now: Instant, audio: &mut Audio) {
        let layout = self.sound.layout();
        let frame = self.sound.frame();
        let rate = u64::from(self.config.rate);
        audio.rate = self.config.rate;
        audio.channels = layout.channels;
        let first = self.sound.runs().front();
        audio.kind = first.map_or(Kind::Played, |run| run.kind);
        audio.concealed = 0;
        audio.timestamp = first.and_then(|run| run.timestamp);
        let target = self.target() as f64 / 1e9;
        let minimum = self.estimator.delay().as_secs_f64();
        let (stats, concealing) = (&mut self.stats, &mut self.concealing);
        let mut position = 0;
        let mut played = |run: Run| {
            // In samples at the rate played, so that the parts add up to the whole.
            let at = |position: usize| position as u64 * rate / u64::from(layout.rate);
            let samples = at(position + run.samples) - at(position);
            position += run.samples;
            audio.kind = audio.kind.max(run.kind);
            let lost = matches!(run.kind, Kind::Concealed | Kind::Silence);
            if lost {
                stats.concealed_samples += samples;
                stats.silent_concealed_samples +=
                    if run.kind == Kind::Silence { samples } else { 0 };
                stats.concealment_events += u64::from(!*concealing);
                audio.concealed += samples as u32;
            } else if run.kind == Kind::Comfort {
                stats.comfort_samples += samples;
                audio.concealed += samples as u32;
            } else {
                let count = samples as f64;
                stats.jitter_buffer_delay += now.since(run.arrived).as_secs_f64() * count;
                stats.jitter_buffer_target_delay += target * count;
                stats.jitter_buffer_minimum_delay += minimum * count;
                stats.jitter_buffer_emitted_count += samples;
                stats.recovered_samples += if run.kind == Kind::Recovered { samples } else { 0 };
                stats.drowned_samples += if run.kind == Kind::Drowned { samples } else { 0 };
            }
            *concealing = lost;
        };
        audio.samples.clear();
        if layout.rate == self.config.rate {
            self.sound.take(frame, &mut audio.samples, &mut played);
        } else {
            self.scratch.clear();
            self.sound.take(frame, &mut self.scratch, &mut played);
            self.resample(audio);
        }
        if fault::is(Fault::SamplesUncounted) && audio.concealed > 0 {
            return;
        }
        self.stats.total_samples_received += frame_samples(self.config.rate) as u64;
    }

    /// G.711 has its own rate; the owner asked for another.
    fn resample(&mut self, audio: &mut Audio) {
        if self.scratch.is_empty() {
            return;
        }
        let (from, to) = (self.sound.layout().rate, self.config.rate);
        if self.resampler.is_none() {
            self.resampler = Resampler::new(from, to, 1).ok();
        }
        if let Some(resampler) = &mut self.resampler {
            resampler.push(&self.scratch, &mut audio.samples).expect("a frame is 20 ms");
        }
    }
}
