//! Prompts and recordings: what a service-hosted leg plays, 20 ms at a time, and what is
//! kept of what it hears. Sound is one channel at 16 kHz, as the documentation of media
//! prompts demands of files.

use core::time::Duration;
use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use callrig_media::audio::Audio;
use callrig_media::audio::level::Level;
use callrig_media::time::Instant;

use super::{Event, RecordEnd, Recorded};
use crate::call::queue::RecordRules;
use crate::graph::Tone;

/// Samples per second of prompts and recordings.
pub(crate) const RATE: u32 = 16_000;

/// Samples of 20 ms.
const FRAME: usize = 320;

/// How long that is.
const TICK: Duration = Duration::from_millis(20);

/// The beep before a recording: 0.3 s of 1 kHz, at a quarter of full scale.
const BEEP_FRAMES: usize = 15;

/// Sound above this is taken for a voice, in −dBov.
const VOICE_LEVEL: Level = Level::from_minus_dbov(45);

/// A prompt's sound.
#[derive(Debug)]
pub(crate) struct Sound {
    samples: Vec<i16>,
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let slice = bytes.get(at..at + N)?;
    Some(slice.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

impl Sound {
    /// Reads a WAV file: PCM, one channel, 16 bits, 16 kHz.
    ///
    /// # Errors
    /// What is wrong with it, for the app's developer.
    pub(crate) fn parse(bytes: &Bytes) -> Result<Self, String> {
        if bytes.get(0..4) != Some(b"RIFF") || bytes.get(8..12) != Some(b"WAVE") {
            return Err("it is not a WAV file".to_owned());
        }
        let mut at = 12;
        let mut format = None;
        while let (Some(id), Some(length)) = (bytes.get(at..at + 4), number::<4>(bytes, at + 4)) {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let start = at + 8;
            match id {
                b"fmt " => format = Some(check_format(bytes, start)?),
                b"data" => {
                    format.ok_or("its data comes before its format")?;
                    let end = start.saturating_add(length).min(bytes.len());
                    let samples = bytes[start..end]
                        .chunks_exact(2)
                        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
                    return Ok(Self { samples: samples.collect() });
                }
                _ => {}
            }
            // Chunks are padded to an even length.
            at = start.saturating_add(length).saturating_add(length % 2);
        }
        Err("it has no data".to_owned())
    }

    /// How much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.samples.len() * 2
    }
}

fn check_format(bytes: &[u8], at: usize) -> Result<(), String> {
    let field = |value: Option<u64>| value.ok_or("its format chunk is cut off");
    let (tag, channels) = (field(number::<2>(bytes, at))?, field(number::<2>(bytes, at + 2))?);
    let (rate, bits) = (field(number::<4>(bytes, at + 4))?, field(number::<2>(bytes, at + 14))?);
    // 0xFFFE is the extensible form of the same.
    if !matches!(tag, 1 | 0xfffe) {
        return Err(format!("its encoding is {tag}, not PCM"));
    }
    if (channels, rate, bits) != (1, u64::from(RATE), 16) {
        return Err(format!(
            "it has {channels} channels, {rate} Hz, {bits} bits; one channel, 16000 Hz, 16 bits \
             are needed"
        ));
    }
    Ok(())
}

/// Writes a WAV file of one channel, 16 bits, 16 kHz.
fn write_wav(samples: &[i16]) -> Bytes {
    let length = u32::try_from(samples.len() * 2).unwrap_or(u32::MAX);
    let mut bytes = BytesMut::with_capacity(44 + samples.len() * 2);
    bytes.put_slice(b"RIFF");
    bytes.put_u32_le(36 + length);
    bytes.put_slice(b"WAVEfmt ");
    bytes.put_u32_le(16);
    bytes.put_u16_le(1);
    bytes.put_u16_le(1);
    bytes.put_u32_le(RATE);
    bytes.put_u32_le(RATE * 2);
    bytes.put_u16_le(2);
    bytes.put_u16_le(16);
    bytes.put_slice(b"data");
    bytes.put_u32_le(length);
    for sample in samples {
        bytes.put_i16_le(*sample);
    }
    bytes.freeze()
}

/// Where a player stands in its sounds.
#[derive(Debug)]
struct Player {
    sounds: Vec<Arc<Sound>>,
    sound: usize,
    sample: usize,
    repeat: bool,
}

impl Player {
    const fn new(sounds: Vec<Arc<Sound>>, repeat: bool) -> Self {
        Self { sounds, sound: 0, sample: 0, repeat }
    }

    /// The next 20 ms; the end of a sound is filled up with silence.
    fn frame(&mut self) -> Option<[i16; FRAME]> {
        if self.sound == self.sounds.len() && self.repeat {
            // Sounds without a sample must not go on for ever without time passing.
            let any = self.sounds.iter().any(|sound| !sound.samples.is_empty());
            self.sound = if any { 0 } else { self.sound };
        }
        while let Some(sound) = self.sounds.get(self.sound) {
            let rest = &sound.samples[self.sample.min(sound.samples.len())..];
            if rest.is_empty() {
                self.sound += 1;
                self.sample = 0;
                continue;
            }
            let mut frame = [0; FRAME];
            let count = rest.len().min(FRAME);
            frame[..count].copy_from_slice(&rest[..count]);
            self.sample += count;
            return Some(frame);
        }
        None
    }
}

/// What is being recorded.
#[derive(Debug)]
struct Recording {
    rules: RecordRules,
    samples: Vec<i16>,
    /// Since when, once the beep is over.
    since: Option<Instant>,
    last_voice: Option<Instant>,
    beeps: usize,
}

impl Recording {
    fn end(&mut self, end: RecordEnd) -> Recorded {
        Recorded { end, wav: write_wav(&core::mem::take(&mut self.samples)) }
    }

    /// Why it ends now, if it does.
    fn due(&self, now: Instant) -> Option<RecordEnd> {
        let since = self.since?;
        if now.since(since) >= self.rules.max_duration {
            return Some(RecordEnd::MaxDuration);
        }
        match self.last_voice {
            None if now.since(since) >= self.rules.initial_silence => {
                Some(RecordEnd::InitialSilence)
            }
            Some(last) if now.since(last) >= self.rules.max_silence => Some(RecordEnd::MaxSilence),
            _ => None,
        }
    }
}

/// What a leg does.
#[derive(Debug)]
pub(super) struct Doing {
    player: Player,
    recording: Option<Recording>,
    next_tick: Instant,
    heard_at: Instant,
}

/// What one tick comes to.
pub(super) enum Tick {
    /// Send this.
    Frame([i16; FRAME]),
    /// Wait.
    Nothing,
    /// It is over.
    Done(Event),
}

impl Doing {
    /// Plays.
    pub(super) const fn play(now: Instant, sounds: Vec<Arc<Sound>>, repeat: bool) -> Self {
        let player = Player::new(sounds, repeat);
        Self { player, recording: None, next_tick: now, heard_at: now }
    }

    /// Plays, beeps, records.
    pub(super) const fn record(
        now: Instant,
        sounds: Vec<Arc<Sound>>,
        rules: RecordRules,
    ) -> Self {
        let beeps = if rules.beep { BEEP_FRAMES } else { 0 };
        let recording =
            Recording { rules, samples: Vec::new(), since: None, last_voice: None, beeps };
        let player = Player::new(sounds, false);
        Self { player, recording: Some(recording), next_tick: now, heard_at: now }
    }

    /// When it wants to go on.
    pub(super) const fn next_tick(&self) -> Instant {
        self.next_tick
    }

    /// Goes on by 20 ms.
    pub(super) fn tick(&mut self, now: Instant) -> Tick {
        self.next_tick += TICK;
        self.heard_at = now;
        if let Some(frame) = self.player.frame() {
            return Tick::Frame(frame);
        }
        let Some(recording) = &mut self.recording else { return Tick::Done(Event::Played) };
        if recording.beeps > 0 {
            recording.beeps -= 1;
            return Tick::Frame(beep());
        }
        if recording.since.is_none() {
            recording.since = Some(now);
        }
        match recording.due(now) {
            Some(end) => Tick::Done(Event::Recorded(recording.end(end))),
            None => Tick::Nothing,
        }
    }

    /// Keeps what was heard, while it records.
    pub(super) fn hear(&mut self, audio: &Audio) {
        let Some(recording) = self.recording.as_mut().filter(|r| r.since.is_some()) else { return };
        let channels = usize::from(audio.channels.max(1));
        recording.samples.extend(audio.samples.chunks_exact(channels).map(|chunk| chunk[0]));
        if audio.level() <= VOICE_LEVEL {
            recording.last_voice = Some(self.heard_at.max(self.next_tick - TICK));
        }
    }

    /// A key was pressed: the recording, if that ends it.
    pub(super) fn key_pressed(&mut self, tone: &Tone) -> Option<Recorded> {
        let recording = self.recording.as_mut().filter(|r| r.since.is_some())?;
        recording.rules.stop_tones.contains(tone).then(|| recording.end(RecordEnd::StopTone))
    }
}

/// 20 ms of 1 kHz: sixteen samples a period, so frames join without a click.
fn beep() -> [i16; FRAME] {
    const PERIOD: [i16; 16] =
        [0, 3135, 5793, 7568, 8191, 7568, 5793, 3135, 0, -3135, -5793, -7568, -8191, -7568, -5793, -3135];
    core::array::from_fn(|index| PERIOD[index % 16])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(samples: usize) -> Arc<Sound> {
        Arc::new(Sound { samples: vec![1000; samples] })
    }

    #[test]
    fn a_written_file_is_read_again_and_others_are_told_what_is_wrong() {
        let wav = write_wav(&[1, -2, 3]);
        assert_eq!(Sound::parse(&wav).expect("we wrote it").samples, [1, -2, 3]);
        let mut stereo = BytesMut::from(&wav[..]);
        stereo[22] = 2;
        let error = Sound::parse(&stereo.freeze()).expect_err("two channels");
        assert!(error.contains("2 channels"), "{error}");
        assert!(Sound::parse(&Bytes::from_static(b"ID3")).is_err());
        for length in 0..wav.len() {
            let _ = Sound::parse(&wav.slice(..length));
        }
    }

    #[test]
    fn a_prompt_takes_its_time_and_is_over_once() {
        let mut doing = Doing::play(Instant::ZERO, vec![sound(700), sound(320)], false);
        let mut frames = 0;
        loop {
            let now = doing.next_tick();
            match doing.tick(now) {
                Tick::Frame(_) => frames += 1,
                Tick::Nothing => panic!("a prompt does not wait"),
                Tick::Done(event) => {
                    assert!(matches!(event, Event::Played));
                    assert_eq!(now, Instant::from_millis(80));
                    break;
                }
            }
        }
        // 700 samples are two frames and a half that is filled up; then one more.
        assert_eq!(frames, 4);
    }

    #[test]
    fn repeating_nothing_ends() {
        let mut doing = Doing::play(Instant::ZERO, vec![sound(0)], true);
        assert!(matches!(doing.tick(Instant::ZERO), Tick::Done(Event::Played)));
    }

    fn rules() -> RecordRules {
        RecordRules {
            initial_silence: Duration::from_secs(1),
            max_silence: Duration::from_secs(2),
            max_duration: Duration::from_secs(4),
            beep: true,
            stop_tones: vec![Tone::Pound],
        }
    }

    /// Runs a recording with a voice until some tick; says why and when it ended.
    fn record(voice_ticks: usize) -> (RecordEnd, Instant) {
        let mut doing = Doing::record(Instant::ZERO, Vec::new(), rules());
        let audio = Audio { samples: vec![8000; FRAME], rate: RATE, channels: 1, ..Audio::default() };
        for tick in 0.. {
            let now = doing.next_tick();
            if let Tick::Done(Event::Recorded(recorded)) = doing.tick(now) {
                return (recorded.end, now);
            }
            if tick < voice_ticks {
                doing.hear(&audio);
            }
        }
        unreachable!("the loop only ends by returning")
    }

    #[test]
    fn a_recording_ends_by_its_rules() {
        // The beep takes 300 ms.
        assert_eq!(record(0), (RecordEnd::InitialSilence, Instant::from_millis(1300)));
        assert_eq!(record(1000), (RecordEnd::MaxDuration, Instant::from_millis(4300)));
        let (end, at) = record(66);
        assert_eq!(end, RecordEnd::MaxSilence);
        assert_eq!(at, Instant::from_millis(1300 + 2000));
    }

    #[test]
    fn only_a_stop_tone_ends_a_recording() {
        let mut doing = Doing::record(Instant::ZERO, Vec::new(), RecordRules { beep: false, ..rules() });
        assert!(doing.key_pressed(&Tone::Pound).is_none());
        let _ = doing.tick(Instant::ZERO);
        assert!(doing.key_pressed(&Tone::Tone1).is_none());
        let recorded = doing.key_pressed(&Tone::Pound).expect("it ends the recording");
        assert_eq!(recorded.end, RecordEnd::StopTone);
    }
}
