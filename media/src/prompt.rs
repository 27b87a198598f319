//! Prompts: what a bot asks the platform to play. [`Wav`] holds the file to the format
//! that `mediaInfo` of the Graph API demands (mono, 16 bits, 16 kHz) and says exactly what
//! is wrong otherwise; [`Player`] plays up to twenty of them in a row. The reader is our
//! own because its whole purpose is the refusals: which field, at which offset.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{BufMut, Bytes, BytesMut};

use crate::audio::resample::{BuildError, Resampler};
use crate::audio::{Audio, Kind, frame_samples};
use crate::description::Payload;
use crate::payload::encode::EncodeError;
use encoded::Encodings;

mod encoded;

pub(crate) use encoded::Encoded;

/// Samples per second of a prompt, and of a recording.
pub const RATE: u32 = 16_000;

/// The longest prompt, in samples: ten minutes. No page states a limit; this one bounds
/// memory.
pub const SAMPLES_MAX: usize = 10 * 60 * RATE as usize;

/// The most prompts played in a row (`playPrompt`).
pub const PROMPTS_MAX: usize = 20;

const PCM: u16 = 1;
const EXTENSIBLE: u16 = 0xfffe;

/// Why a file is not a prompt. Offsets are in bytes from its beginning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WavError {
    /// Not `RIFF` and `WAVE` where they must be.
    #[error("not a WAV file: no RIFF/WAVE at its beginning")]
    NotWav,
    /// The file ends within something.
    #[error("the file ends at {length}, within {what} at {offset}")]
    Truncated {
        /// What is cut.
        what: &'static str,
        /// Where that begins.
        offset: usize,
        /// Of the file.
        length: usize,
    },
    /// The RIFF header states more bytes than there are.
    #[error("the RIFF header at 4 states {stated} bytes, the file has {present}")]
    RiffLength {
        /// Behind the first eight.
        stated: u32,
        /// Likewise.
        present: usize,
    },
    /// The data chunk states more bytes than there are.
    #[error("the data chunk at {offset} states {stated} bytes, {present} are there")]
    DataLength {
        /// Of the chunk.
        offset: usize,
        /// In its header.
        stated: u32,
        /// In the file.
        present: usize,
    },
    /// No chunk of this name.
    #[error("no '{0}' chunk")]
    Missing(&'static str),
    /// The data comes before it is said what it is.
    #[error("the data chunk at {0} comes before any fmt chunk")]
    DataFirst(usize),
    /// Compressed, or floating point.
    #[error("format {format:#06x} at {offset}: not PCM (0x0001)")]
    Format {
        /// As stated.
        format: u16,
        /// Of the field.
        offset: usize,
    },
    /// Not one channel.
    #[error("{channels} channels at {offset}: not 1")]
    Channels {
        /// As stated.
        channels: u16,
        /// Of the field.
        offset: usize,
    },
    /// Not 16 kHz.
    #[error("{rate} samples per second at {offset}: not {RATE}")]
    Rate {
        /// As stated.
        rate: u32,
        /// Of the field.
        offset: usize,
    },
    /// Not 16 bits.
    #[error("{bits} bits per sample at {offset}: not 16")]
    Bits {
        /// As stated.
        bits: u16,
        /// Of the field.
        offset: usize,
    },
    /// Block size or byte rate do not follow from the other fields.
    #[error(
        "fmt chunk at {offset}: {block} bytes per sample and {bytes_per_second} per second, not 2 and 32000"
    )]
    Contradiction {
        /// Of the chunk's body.
        offset: usize,
        /// As stated.
        block: u16,
        /// As stated.
        bytes_per_second: u32,
    },
    /// Half a sample at the end.
    #[error("{0} bytes of data are not whole samples of 2")]
    OddLength(usize),
    /// Not one sample.
    #[error("no samples")]
    Empty,
    /// Longer than [`SAMPLES_MAX`].
    #[error("{samples} samples, more than {SAMPLES_MAX}")]
    TooLong {
        /// As stated.
        samples: usize,
    },
}

/// Samples of 20 ms.
const FRAME: usize = frame_samples(RATE);

/// A prompt: mono, 16 bits, 16 kHz. Cheap to clone; clones share what the prompt is encoded to.
#[derive(Clone, Debug)]
pub struct Wav {
    samples: Arc<[i16]>,
    encodings: Arc<Mutex<Encodings>>,
}

impl PartialEq for Wav {
    fn eq(&self, other: &Self) -> bool {
        self.samples == other.samples
    }
}

impl Eq for Wav {}

impl Wav {
    /// Reads a WAV file. Chunks it does not know are passed over, and so is what follows
    /// the RIFF chunk.
    ///
    /// # Errors
    /// What keeps it from being a prompt.
    pub fn parse(file: &[u8]) -> Result<Self, WavError> {
        let header = file.first_chunk::<12>().ok_or(WavError::NotWav)?;
        if &header[..4] != b"RIFF" || &header[8..] != b"WAVE" {
            return Err(WavError::NotWav);
        }
        let stated = u32_at(file, 4);
        let present = file.len() - 8;
        if stated as usize > present {
            return Err(WavError::RiffLength { stated, present });
        }
        let (mut offset, end) = (12, 8 + stated as usize);
        let mut formatted = false;
        while offset + 8 <= end {
            let (name, length) = (&file[offset..offset + 4], u32_at(file, offset + 4));
            let body = offset + 8;
            let present = end - body;
            match name {
                b"fmt " => {
                    let what = "the fmt chunk";
                    if length < 16 || length as usize > present {
                        return Err(WavError::Truncated { what, offset, length: file.len() });
                    }
                    check_format(&file[body..body + length as usize], body)?;
                    formatted = true;
                }
                b"data" if !formatted => return Err(WavError::DataFirst(offset)),
                b"data" if length as usize > present => {
                    return Err(WavError::DataLength { offset, stated: length, present });
                }
                b"data" => return Self::of_data(&file[body..body + length as usize]),
                _ => {}
            }
            // Chunks begin at even offsets.
            offset = body.saturating_add(length as usize).saturating_add(length as usize & 1);
        }
        Err(WavError::Missing(if formatted { "data" } else { "fmt " }))
    }

    fn of_data(data: &[u8]) -> Result<Self, WavError> {
        if data.len() % 2 == 1 {
            return Err(WavError::OddLength(data.len()));
        }
        let samples = data.len() / 2;
        if samples == 0 {
            return Err(WavError::Empty);
        }
        if samples > SAMPLES_MAX {
            return Err(WavError::TooLong { samples });
        }
        let samples = data.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
        Ok(Self::of(samples.collect()))
    }

    /// From samples at [`RATE`].
    ///
    /// # Errors
    /// If there are none, or more than [`SAMPLES_MAX`].
    pub fn new(samples: &[i16]) -> Result<Self, WavError> {
        match samples.len() {
            0 => Err(WavError::Empty),
            samples if samples > SAMPLES_MAX => Err(WavError::TooLong { samples }),
            _ => Ok(Self::of(samples.into())),
        }
    }

    fn of(samples: Arc<[i16]>) -> Self {
        Self { samples, encodings: Arc::default() }
    }

    /// The 20 ms with this number, and silence behind the end.
    pub(crate) fn frame(&self, index: usize) -> [i16; FRAME] {
        let mut frame = [0; FRAME];
        let rest = self.samples.get(index.saturating_mul(FRAME)..).unwrap_or_default();
        frame.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        frame
    }

    /// The 20 ms with this number as a peer likes them, encoded now or long ago; `None` where
    /// who sends them has to encode them.
    pub(crate) fn encoded(
        &self,
        index: usize,
        payload: &Payload,
    ) -> Result<Option<Encoded>, EncodeError> {
        let mut encodings = self.encodings.lock().unwrap_or_else(PoisonError::into_inner);
        let length = self.samples.len().div_ceil(FRAME);
        encodings.get(index, length, payload, || self.frame(index))
    }

    /// The samples, at [`RATE`].
    #[must_use]
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }

    /// The file.
    #[must_use]
    pub fn write(&self) -> Bytes {
        write(&self.samples)
    }
}

/// A WAV file of these samples at [`RATE`].
#[must_use]
pub(crate) fn write(samples: &[i16]) -> Bytes {
    let data = samples.len() as u32 * 2;
    let mut file = BytesMut::with_capacity(44 + data as usize);
    file.put_slice(b"RIFF");
    file.put_u32_le(36 + data);
    file.put_slice(b"WAVEfmt ");
    file.put_u32_le(16);
    file.put_u16_le(PCM);
    file.put_u16_le(1);
    file.put_u32_le(RATE);
    file.put_u32_le(RATE * 2);
    file.put_u16_le(2);
    file.put_u16_le(16);
    file.put_slice(b"data");
    file.put_u32_le(data);
    for sample in samples {
        file.put_i16_le(*sample);
    }
    file.freeze()
}

fn check_format(body: &[u8], offset: usize) -> Result<(), WavError> {
    let mut format = u16_at(body, 0);
    let mut format_offset = offset;
    if format == EXTENSIBLE && body.len() >= 26 {
        // The real format leads the GUID at the end.
        (format, format_offset) = (u16_at(body, 24), offset + 24);
    }
    if format != PCM {
        return Err(WavError::Format { format, offset: format_offset });
    }
    let channels = u16_at(body, 2);
    if channels != 1 {
        return Err(WavError::Channels { channels, offset: offset + 2 });
    }
    let rate = u32_at(body, 4);
    if rate != RATE {
        return Err(WavError::Rate { rate, offset: offset + 4 });
    }
    let bits = u16_at(body, 14);
    if bits != 16 {
        return Err(WavError::Bits { bits, offset: offset + 14 });
    }
    let (bytes_per_second, block) = (u32_at(body, 8), u16_at(body, 12));
    if (block, bytes_per_second) != (2, RATE * 2) {
        return Err(WavError::Contradiction { offset, block, bytes_per_second });
    }
    Ok(())
}

fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes([bytes[offset], bytes[offset + 1]])
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from(u16_at(bytes, offset)) | u32::from(u16_at(bytes, offset + 2)) << 16
}

/// Why prompts cannot be played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlayError {
    /// Not one.
    #[error("no prompts")]
    NoPrompts,
    /// More than [`PROMPTS_MAX`].
    #[error("{0} prompts, more than {PROMPTS_MAX}")]
    TooManyPrompts(usize),
    /// Not a rate that prompts can be brought to.
    #[error(transparent)]
    Rate(#[from] BuildError),
}

/// How the playing ended, by the names of the Graph API's `playPromptCompletionReason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Completion {
    /// To the end.
    CompletedSuccessfully,
    /// Somebody stopped it.
    MediaOperationCanceled,
}

/// Plays prompts one after the other, without a gap.
#[derive(Debug)]
pub struct Player {
    prompts: Vec<Wav>,
    repeat: bool,
    rate: u32,
    resampler: Option<Resampler>,
    /// Which prompt, and which sample of it, is next.
    prompt: usize,
    position: usize,
    /// Samples at [`RATE`] that are still inside the resampler.
    tail: usize,
    /// Which 20 ms of which prompt the last ones were, if of one alone and as they are in it.
    current: Option<(usize, usize)>,
    /// The last ones otherwise, put together at [`RATE`], and as they are played.
    parts: Vec<i16>,
    frame: Vec<i16>,
    completion: Option<Completion>,
}

impl Player {
    /// Plays these at `rate` samples per second; again and again, if `repeat`.
    ///
    /// # Errors
    /// If there are none or too many, or the rate is impossible.
    pub fn new(prompts: Vec<Wav>, repeat: bool, rate: u32) -> Result<Self, PlayError> {
        match prompts.len() {
            0 => return Err(PlayError::NoPrompts),
            1..=PROMPTS_MAX => {}
            count => return Err(PlayError::TooManyPrompts(count)),
        }
        let resampler = if rate == RATE { None } else { Some(Resampler::new(RATE, rate, 1)?) };
        let delay = resampler.as_ref().map_or(0, Resampler::delay);
        let tail = (delay as u64 * u64::from(RATE)).div_ceil(u64::from(rate)) as usize;
        Ok(Self {
            prompts,
            repeat,
            rate,
            resampler,
            prompt: 0,
            position: 0,
            tail,
            current: None,
            parts: Vec::new(),
            frame: Vec::new(),
            completion: None,
        })
    }

    /// The next 20 ms. False, and silence, when there is nothing more.
    pub fn pull(&mut self, audio: &mut Audio) -> bool {
        let plays = self.step();
        self.sound(audio);
        plays
    }

    /// Goes on by 20 ms; false when there is nothing more. What is the same for everybody whom
    /// the prompt is played to is not touched.
    pub fn step(&mut self) -> bool {
        self.current = None;
        if self.completion.is_some() {
            return false;
        }
        let whole = self.resampler.is_none() && self.position.is_multiple_of(FRAME);
        let (first, begin) = (self.prompt, self.position);
        if whole
            && let Some(prompt) = self.prompts.get(first)
            && begin + FRAME < prompt.samples.len()
        {
            self.current = Some((first, begin / FRAME));
            self.position += FRAME;
            return true;
        }
        let count = self.put_together();
        self.current = (whole && count == 1).then_some((first, begin / FRAME));
        let silence = FRAME - self.parts.len();
        if self.prompt == self.prompts.len() {
            if self.parts.is_empty() && self.tail == 0 {
                self.completion = Some(Completion::CompletedSuccessfully);
                return false;
            }
            self.tail = self.tail.saturating_sub(silence);
        }
        self.parts.resize(FRAME, 0);
        self.frame.clear();
        match &mut self.resampler {
            Some(resampler) => {
                resampler.push(&self.parts, &mut self.frame).expect("a frame is 20 ms");
            }
            None => self.frame.extend_from_slice(&self.parts),
        }
        true
    }

    /// Takes the next 20 ms, or what is left, from one prompt after the other: from how many.
    fn put_together(&mut self) -> usize {
        self.parts.clear();
        let mut count = 0;
        while self.parts.len() < FRAME
            && let Some(prompt) = self.prompts.get(self.prompt)
        {
            let rest = &prompt.samples[self.position..];
            let taken = rest.len().min(FRAME - self.parts.len());
            self.parts.extend_from_slice(&rest[..taken]);
            count += 1;
            self.position += taken;
            if taken == rest.len() {
                self.position = 0;
                self.prompt += 1;
                if self.repeat && self.prompt == self.prompts.len() {
                    self.prompt = 0;
                }
            }
        }
        count
    }

    /// The last 20 ms; silence before the first of them, and when there is nothing more.
    pub fn sound(&self, audio: &mut Audio) {
        audio.silence(self.rate, 1);
        audio.ssrc = 0;
        if self.completion.is_some() || (self.current.is_none() && self.frame.is_empty()) {
            return;
        }
        audio.samples.clear();
        match self.current() {
            Some((prompt, index)) => audio.samples.extend_from_slice(&prompt.frame(index)),
            None => audio.samples.extend_from_slice(&self.frame),
        }
        audio.kind = Kind::Played;
        audio.concealed = 0;
    }

    /// Which 20 ms of which prompt were the last, if they are of one alone, as they are in it:
    /// then whoever else plays it may have encoded them.
    #[must_use]
    pub fn current(&self) -> Option<(&Wav, usize)> {
        let (prompt, index) = self.current?;
        Some((self.prompts.get(prompt)?, index))
    }

    /// Stops, unless it has ended already.
    pub fn cancel(&mut self) {
        self.completion.get_or_insert(Completion::MediaOperationCanceled);
    }

    /// How it ended, once it has.
    #[must_use]
    pub const fn completion(&self) -> Option<Completion> {
        self.completion
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        Wav::new(&[1, -2, 3]).expect("short").write().to_vec()
    }

    fn changed(offset: usize, bytes: &[u8]) -> Result<Wav, WavError> {
        let mut file = file();
        file[offset..offset + bytes.len()].copy_from_slice(bytes);
        Wav::parse(&file)
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(Wav::parse(&file()).expect("ours").samples(), [1, -2, 3]);
    }

    #[test]
    fn each_wrong_field_is_named_with_its_offset() {
        assert_eq!(changed(20, &[3, 0]), Err(WavError::Format { format: 3, offset: 20 }));
        assert_eq!(changed(22, &[2, 0]), Err(WavError::Channels { channels: 2, offset: 22 }));
        assert_eq!(
            changed(24, &8_000_u32.to_le_bytes()),
            Err(WavError::Rate { rate: 8_000, offset: 24 })
        );
        assert_eq!(changed(34, &[24, 0]), Err(WavError::Bits { bits: 24, offset: 34 }));
        assert_eq!(
            changed(32, &[4, 0]),
            Err(WavError::Contradiction { offset: 20, block: 4, bytes_per_second: 32_000 })
        );
        assert_eq!(changed(0, b"RIFX"), Err(WavError::NotWav));
    }

    #[test]
    fn a_header_that_lies_about_lengths_is_found_out() {
        assert_eq!(
            changed(4, &u32::MAX.to_le_bytes()),
            Err(WavError::RiffLength { stated: u32::MAX, present: 42 })
        );
        assert_eq!(
            changed(40, &8_u32.to_le_bytes()),
            Err(WavError::DataLength { offset: 36, stated: 8, present: 6 })
        );
        assert_eq!(changed(40, &5_u32.to_le_bytes()), Err(WavError::OddLength(5)));
        assert_eq!(changed(40, &0_u32.to_le_bytes()), Err(WavError::Empty));
        assert_eq!(changed(36, b"xxxx"), Err(WavError::Missing("data")));
        assert_eq!(changed(12, b"xxxx"), Err(WavError::DataFirst(36)));
        assert_eq!(
            Wav::parse(&file()[..20]),
            Err(WavError::RiffLength { stated: 42, present: 12 })
        );
    }

    #[test]
    fn prompts_follow_each_other_without_a_gap() {
        let one = Wav::new(&[7; 500]).expect("short");
        let mut player = Player::new(vec![one.clone(), one], false, RATE).expect("valid");
        let (mut audio, mut all) = (Audio::default(), Vec::new());
        while player.pull(&mut audio) {
            assert_eq!(audio.samples.len(), 320);
            all.extend_from_slice(&audio.samples);
        }
        assert_eq!(all, [vec![7; 1000], vec![0; 280]].concat());
        assert_eq!(player.completion(), Some(Completion::CompletedSuccessfully));
        player.cancel();
        assert_eq!(player.completion(), Some(Completion::CompletedSuccessfully));
    }

    #[test]
    fn a_repeated_prompt_ends_only_when_it_is_cancelled() {
        let one = Wav::new(&[7; 100]).expect("short");
        let mut player = Player::new(vec![one], true, 48_000).expect("valid");
        let mut audio = Audio::default();
        assert!((0..1000).all(|_| player.pull(&mut audio)));
        assert_eq!(audio.samples.len(), 960);
        player.cancel();
        assert!(!player.pull(&mut audio));
        assert_eq!(player.completion(), Some(Completion::MediaOperationCanceled));
    }

    #[test]
    fn the_number_of_prompts_is_limited() {
        let one = Wav::new(&[7]).expect("short");
        assert_eq!(Player::new(Vec::new(), false, RATE).err(), Some(PlayError::NoPrompts));
        let many = vec![one; 21];
        assert_eq!(Player::new(many, false, RATE).err(), Some(PlayError::TooManyPrompts(21)));
    }
}
