//! A recording as `recordResponse` of the Graph API makes it: a prompt if there is one, a
//! beep, then what the caller says until they fall silent, press a stop tone, or the time
//! is up. Time is counted in the 20 ms frames that are pushed and pulled, so nothing here
//! needs a clock.

use core::f64::consts::TAU;
use core::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::audio::level::VoiceDetector;
use crate::audio::resample::{BuildError, Resampler};
use crate::audio::{Audio, FRAME};
use crate::dtmf::Tone;
use crate::prompt::{self, PlayError, Player, Wav};

/// Bounds of every time-out (`recordResponse`), and so of the recording.
pub const SECONDS_MAX: u32 = 120;

/// The most stop tones, and the most keys of one.
pub const STOP_TONES_MAX: usize = 32;
const STOP_TONE_KEYS_MAX: usize = 16;

/// The beep: half a second of 1 kHz at about −15 dBov.
const BEEP: Duration = Duration::from_millis(500);
const BEEP_HERTZ: f64 = 1_000.0;
const BEEP_PEAK: f64 = 8_000.0;

/// How to record. The defaults are those of `recordResponse`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// For so long the caller may say nothing at first, 1 to 120 s.
    pub initial_silence_timeout_in_seconds: u32,
    /// For so long the caller may pause, 1 to 120 s.
    pub max_silence_timeout_in_seconds: u32,
    /// For so long the recording may last, 1 to 120 s.
    pub max_record_duration_in_seconds: u32,
    /// Whether a beep says that the recording begins.
    pub play_beep: bool,
    /// Keys, or sequences of keys, that end the recording: "#", "1", "11".
    pub stop_tones: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            initial_silence_timeout_in_seconds: 5,
            max_silence_timeout_in_seconds: 5,
            max_record_duration_in_seconds: 5,
            play_beep: true,
            stop_tones: Vec::new(),
        }
    }
}

/// Why nothing can be recorded as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Not 1 to 120 s.
    #[error("{name} of {seconds} s: not within 1 to {SECONDS_MAX}")]
    Seconds {
        /// Which time-out, by the API's name.
        name: &'static str,
        /// As asked.
        seconds: u32,
    },
    /// No sequence of 1 to 16 keys.
    #[error("stop tone {0:?}: not 1 to {STOP_TONE_KEYS_MAX} of 0-9 * # A-D")]
    StopTone(String),
    /// More than [`STOP_TONES_MAX`].
    #[error("{0} stop tones, more than {STOP_TONES_MAX}")]
    TooManyStopTones(usize),
    /// A rate that cannot be recorded from or played at.
    #[error(transparent)]
    Rate(#[from] BuildError),
    /// The prompt cannot be played.
    #[error(transparent)]
    Prompt(#[from] PlayError),
}

/// Why a recording ended, by the names of the Graph API's `recordCompletionReason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CompletionReason {
    /// Somebody stopped it; there is no recording.
    OperationCanceled,
    /// The caller pressed a stop tone.
    StopToneDetected,
    /// The time is up.
    MaxRecordDurationReached,
    /// The caller said nothing; there is no recording.
    InitialSilenceTimeout,
    /// The caller has finished.
    MaxSilenceTimeout,
    /// The prompt before it could not be played; there is no recording.
    PlayPromptFailed,
    /// The beep before it could not be played; there is no recording.
    PlayBeepFailed,
    /// Nothing at all came from the caller.
    MediaReceiveTimeout,
    /// Anything else.
    UnspecifiedError,
}

/// A finished recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Why it ended.
    pub reason: CompletionReason,
    /// The WAV file (mono, 16 bits, 16 kHz), if there is one.
    pub file: Option<Bytes>,
    /// How long it is.
    pub duration: Duration,
}

/// What it is at.
#[derive(Debug)]
enum Phase {
    /// The prompt, then the beep.
    Announcing {
        players: Vec<Player>,
    },
    Recording,
    Ended(CompletionReason),
}

/// Records one caller.
#[derive(Debug)]
pub struct Recorder {
    config: Config,
    phase: Phase,
    resampler: Option<(u32, Resampler)>,
    samples: Vec<i16>,
    mono: Vec<i16>,
    voice: VoiceDetector,
    /// Frames since the recording began, and since the caller was last heard.
    frames: u32,
    silent: u32,
    spoke: bool,
    /// Frames pulled since anything was pushed.
    unheard: u32,
    keys: String,
}

impl Recorder {
    /// Announces with `prompt` and the beep, played at `rate` samples per second, and then
    /// records.
    ///
    /// # Errors
    /// If it cannot be done as asked.
    pub fn new(config: Config, prompt: Option<Wav>, rate: u32) -> Result<Self, RecordError> {
        for (name, seconds) in [
            ("initialSilenceTimeoutInSeconds", config.initial_silence_timeout_in_seconds),
            ("maxSilenceTimeoutInSeconds", config.max_silence_timeout_in_seconds),
            ("maxRecordDurationInSeconds", config.max_record_duration_in_seconds),
        ] {
            if !(1..=SECONDS_MAX).contains(&seconds) {
                return Err(RecordError::Seconds { name, seconds });
            }
        }
        if config.stop_tones.len() > STOP_TONES_MAX {
            return Err(RecordError::TooManyStopTones(config.stop_tones.len()));
        }
        for keys in &config.stop_tones {
            let valid = (1..=STOP_TONE_KEYS_MAX).contains(&keys.len())
                && keys.chars().all(|key| Tone::from_key(key).is_some());
            if !valid {
                return Err(RecordError::StopTone(keys.clone()));
            }
        }
        let mut players = Vec::new();
        if config.play_beep {
            players.push(Player::new(vec![beep()], false, rate)?);
        }
        if let Some(prompt) = prompt {
            players.push(Player::new(vec![prompt], false, rate)?);
        }
        Ok(Self {
            config,
            phase: Phase::Announcing { players },
            resampler: None,
            samples: Vec::new(),
            mono: Vec::new(),
            voice: VoiceDetector::default(),
            frames: 0,
            silent: 0,
            spoke: false,
            unheard: 0,
            keys: String::new(),
        })
    }

    /// The next 20 ms of the announcement. False, and silence, when it is over; keep
    /// pulling every 20 ms, for this is how the recorder knows that time passes when
    /// nothing comes from the caller.
    pub fn pull(&mut self, audio: &mut Audio, rate: u32) -> bool {
        if let Phase::Announcing { players } = &mut self.phase {
            // Last in, first out: the prompt was put on top of the beep.
            while let Some(player) = players.last_mut() {
                if player.pull(audio) {
                    return true;
                }
                players.pop();
            }
            self.phase = Phase::Recording;
        }
        audio.silence(rate, 1);
        self.unheard += 1;
        if matches!(self.phase, Phase::Recording)
            && self.unheard > frames(self.config.initial_silence_timeout_in_seconds)
        {
            self.end(CompletionReason::MediaReceiveTimeout);
        }
        false
    }

    /// 20 ms of what the caller says, at any rate that can be resampled. What is said
    /// during the announcement is not recorded.
    ///
    /// # Errors
    /// If it cannot be resampled.
    pub fn push(&mut self, audio: &Audio) -> Result<(), RecordError> {
        self.unheard = 0;
        if !matches!(self.phase, Phase::Recording) {
            return Ok(());
        }
        let start = self.samples.len();
        self.append(audio)?;
        let voice = self.voice.push(&self.samples[start..]);
        self.frames += 1;
        self.spoke |= voice;
        self.silent = if voice { 0 } else { self.silent + 1 };
        if self.frames >= frames(self.config.max_record_duration_in_seconds) {
            self.end(CompletionReason::MaxRecordDurationReached);
        } else if !self.spoke
            && self.frames >= frames(self.config.initial_silence_timeout_in_seconds)
        {
            self.end(CompletionReason::InitialSilenceTimeout);
        } else if self.spoke && self.silent >= frames(self.config.max_silence_timeout_in_seconds) {
            self.end(CompletionReason::MaxSilenceTimeout);
        }
        Ok(())
    }

    fn append(&mut self, audio: &Audio) -> Result<(), RecordError> {
        self.mono.clear();
        let channels = usize::from(audio.channels.max(1));
        self.mono.extend(audio.samples.chunks_exact(channels).map(|samples| {
            let sum: i32 = samples.iter().map(|&sample| i32::from(sample)).sum();
            (sum / channels as i32) as i16
        }));
        if audio.rate == prompt::RATE {
            self.samples.extend_from_slice(&self.mono);
            return Ok(());
        }
        if self.resampler.as_ref().is_none_or(|(rate, _)| *rate != audio.rate) {
            self.resampler = Some((audio.rate, Resampler::new(audio.rate, prompt::RATE, 1)?));
        }
        if let Some((_, resampler)) = &mut self.resampler {
            // A frame of another length than 20 ms is nobody's; it is left out.
            let _ = resampler.push(&self.mono, &mut self.samples);
        }
        Ok(())
    }

    /// The caller pressed a key.
    pub fn tone(&mut self, tone: Tone) {
        if !matches!(self.phase, Phase::Recording | Phase::Announcing { .. }) {
            return;
        }
        if self.keys.len() == STOP_TONE_KEYS_MAX {
            self.keys.remove(0);
        }
        self.keys.push(tone.key());
        let stops = |keys: &String| self.keys.ends_with(&keys.to_ascii_uppercase());
        if self.config.stop_tones.iter().any(stops) {
            self.end(CompletionReason::StopToneDetected);
        }
    }

    /// Stops without a recording, unless it has ended already.
    pub fn cancel(&mut self) {
        self.end(CompletionReason::OperationCanceled);
    }

    fn end(&mut self, reason: CompletionReason) {
        if !matches!(self.phase, Phase::Ended(_)) {
            self.phase = Phase::Ended(reason);
        }
    }

    /// The recording, once it has ended; only once.
    pub fn poll(&mut self) -> Option<Recorded> {
        let Phase::Ended(reason) = self.phase else { return None };
        // The counter marks what was handed out.
        if core::mem::replace(&mut self.frames, u32::MAX) == u32::MAX {
            return None;
        }
        let samples = core::mem::take(&mut self.samples);
        let kept = matches!(
            reason,
            CompletionReason::StopToneDetected
                | CompletionReason::MaxRecordDurationReached
                | CompletionReason::MaxSilenceTimeout
        );
        let count = if kept { samples.len() as u64 } else { 0 };
        Some(Recorded {
            reason,
            file: kept.then(|| prompt::write(&samples)),
            duration: Duration::from_nanos(count * 1_000_000_000 / u64::from(prompt::RATE)),
        })
    }
}

const fn frames(seconds: u32) -> u32 {
    seconds * 1_000 / FRAME.as_millis() as u32
}

fn beep() -> Wav {
    let total = BEEP.as_millis() as usize * prompt::RATE as usize / 1000;
    let fade = prompt::RATE as usize / 100;
    let samples: Vec<i16> = (0..total)
        .map(|n| {
            let edge = n.min(total - n).min(fade) as f64 / fade as f64;
            let time = n as f64 / f64::from(prompt::RATE);
            ((TAU * BEEP_HERTZ * time).sin() * BEEP_PEAK * edge) as i16
        })
        .collect();
    Wav::new(&samples).expect("half a second")
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 16_000;

    fn frame(amplitude: i16) -> Audio {
        let samples = [amplitude, -amplitude].repeat(160);
        Audio { samples, rate: RATE, channels: 1, ..Audio::default() }
    }

    fn recorder(config: Config) -> Recorder {
        Recorder::new(config, None, RATE).expect("valid")
    }

    /// Says these frames; how many were taken before the recording ended, and how it did.
    fn say(recorder: &mut Recorder, frames: impl Iterator<Item = i16>) -> (usize, Recorded) {
        let mut audio = Audio::default();
        while recorder.pull(&mut audio, RATE) {}
        for (n, amplitude) in frames.enumerate() {
            recorder.push(&frame(amplitude)).expect("16 kHz");
            if let Some(recorded) = recorder.poll() {
                assert_eq!(recorder.poll(), None);
                return (n + 1, recorded);
            }
        }
        panic!("the recording did not end");
    }

    #[test]
    fn a_beep_is_played_and_then_the_recording_begins() {
        let mut recorder = recorder(Config::default());
        recorder.push(&frame(5_000)).expect("16 kHz");
        let mut audio = Audio::default();
        let beep = (0..).take_while(|_| recorder.pull(&mut audio, RATE)).count();
        assert_eq!(beep, 25);
        let (_, recorded) = say(&mut recorder, core::iter::repeat(5_000));
        assert_eq!(recorded.reason, CompletionReason::MaxRecordDurationReached);
        assert_eq!(recorded.duration, Duration::from_secs(5));
        let wav = Wav::parse(&recorded.file.expect("a recording")).expect("ours");
        assert_eq!(wav.samples().len(), 80_000);
    }

    #[test]
    fn silence_ends_it_at_first_and_later() {
        let config = Config {
            initial_silence_timeout_in_seconds: 2,
            max_silence_timeout_in_seconds: 1,
            max_record_duration_in_seconds: 60,
            ..Config::default()
        };
        let (frames, recorded) = say(&mut recorder(config.clone()), core::iter::repeat(0));
        assert_eq!((frames, recorded.reason), (100, CompletionReason::InitialSilenceTimeout));
        assert_eq!(recorded.file, None);
        let speech = core::iter::repeat_n(5_000, 75).chain(core::iter::repeat(0));
        let (frames, recorded) = say(&mut recorder(config), speech);
        assert_eq!(recorded.reason, CompletionReason::MaxSilenceTimeout);
        assert!((75 + 50..75 + 65).contains(&frames), "{frames}");
    }

    #[test]
    fn stop_tones_end_it_even_as_a_sequence() {
        let stop_tones = vec!["11".to_owned(), "#".to_owned()];
        let mut recorder = recorder(Config { stop_tones, ..Config::default() });
        let mut audio = Audio::default();
        while recorder.pull(&mut audio, RATE) {}
        recorder.push(&frame(5_000)).expect("16 kHz");
        recorder.tone(Tone::Tone1);
        recorder.tone(Tone::Tone2);
        recorder.tone(Tone::Tone1);
        assert_eq!(recorder.poll(), None);
        recorder.tone(Tone::Tone1);
        let recorded = recorder.poll().expect("stopped");
        assert_eq!(recorded.reason, CompletionReason::StopToneDetected);
        assert_eq!(recorded.duration, Duration::from_millis(20));
    }

    #[test]
    fn a_caller_of_whom_nothing_comes_is_given_up() {
        let mut recorder = recorder(Config { play_beep: false, ..Config::default() });
        let mut audio = Audio::default();
        for _ in 0..251 {
            recorder.pull(&mut audio, RATE);
        }
        let recorded = recorder.poll().expect("given up");
        assert_eq!(recorded.reason, CompletionReason::MediaReceiveTimeout);
    }

    #[test]
    fn what_is_asked_for_is_checked() {
        let refused = |config| Recorder::new(config, None, RATE).err();
        let name = "maxSilenceTimeoutInSeconds";
        let config = Config { max_silence_timeout_in_seconds: 121, ..Config::default() };
        assert_eq!(refused(config), Some(RecordError::Seconds { name, seconds: 121 }));
        let config = Config { stop_tones: vec!["x".to_owned()], ..Config::default() };
        assert_eq!(refused(config), Some(RecordError::StopTone("x".to_owned())));
    }
}
