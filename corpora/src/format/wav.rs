//! RIFF WAVE files: PCM of 16 bits, and G.711 of 8 (format tags 6 and 7).
//!
//! Chunks are walked here because `hound` reads no G.711 and tells no offsets, and because the
//! samples are a slice of the file; PCM is written by `hound`, which also judges this reader.

use std::io::{self, Seek, Write};

use bytes::Bytes;

use super::{Fault, Warning, WarningKind, Warnings, array_at};

/// How the samples are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encoding {
    /// Linear, 16 bits, least significant byte first.
    Pcm16,
    /// G.711 A-law, 8 bits.
    Alaw,
    /// G.711 µ-law, 8 bits.
    Ulaw,
}

impl Encoding {
    /// Bytes per sample and channel.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Pcm16 => 2,
            Self::Alaw | Self::Ulaw => 1,
        }
    }
}

/// A WAVE file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wav {
    /// Samples per second and channel.
    pub sample_rate: u32,
    /// Interleaved channels, at least one.
    pub channels: u16,
    /// How they are coded.
    pub encoding: Encoding,
    /// Whole sample frames, as they lie in the file.
    pub data: Bytes,
    /// What is wrong with the file, without making it unusable.
    pub warnings: Vec<Warning>,
}

/// Whether the bytes begin like a WAVE file.
pub(crate) fn sniff(bytes: &[u8]) -> bool {
    bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WAVE")
}

struct Format {
    sample_rate: u32,
    channels: u16,
    encoding: Encoding,
}

impl Wav {
    /// Finds the format and the samples.
    pub fn read(bytes: &Bytes) -> Result<Self, Fault> {
        if !sniff(bytes) {
            return Err(Fault::new(0, "expected RIFF....WAVE"));
        }
        let mut warnings = Warnings::default();
        let mut format = None;
        let mut at = 12;
        while let (Some(id), Some(length)) = (array_at::<4>(bytes, at), array_at(bytes, at + 4)) {
            let length = u32::from_le_bytes(length) as usize;
            let body = at + 8;
            let held = length.min(bytes.len() - body);
            match &id {
                b"fmt " => format = Some(read_format(&bytes[body..body + held], body)?),
                b"data" => {
                    let Format { sample_rate, channels, encoding } = format
                        .ok_or_else(|| Fault::new(at, "expected a fmt chunk before the data"))?;
                    // Pipes write a length that they cannot know: all ones, or zero at times.
                    let streamed = length >= 0xffff_0000;
                    if held < length && !streamed {
                        warnings.add(body, WarningKind::TruncatedTail);
                    }
                    let frame = encoding.bytes() * usize::from(channels);
                    let whole = held - held % frame;
                    if whole < held {
                        warnings.add(body + whole, WarningKind::StrayBytes);
                    }
                    let data = bytes.slice(body..body + whole);
                    let warnings = warnings.into_vec();
                    return Ok(Self { sample_rate, channels, encoding, data, warnings });
                }
                _ if held < length => {
                    let name = id.escape_ascii();
                    let problem =
                        format!("the chunk {name} claims {length} bytes, {held} are left");
                    return Err(Fault::new(at + 4, problem));
                }
                _ => {}
            }
            // Chunks begin at even offsets.
            at = body + held + (held & 1);
        }
        let sought = if format.is_some() { "data" } else { "fmt" };
        Err(Fault::new(at.min(bytes.len()), format!("the file ends without a {sought} chunk")))
    }

    /// Sample frames (one sample of every channel).
    pub fn frames(&self) -> u64 {
        (self.data.len() / (self.encoding.bytes() * usize::from(self.channels))) as u64
    }

    /// Playing time in milliseconds, rounded down.
    pub fn duration_ms(&self) -> u64 {
        self.frames() * 1_000 / u64::from(self.sample_rate)
    }

    /// The linear samples, interleaved; `None` if it is G.711.
    pub fn pcm(&self) -> Option<impl ExactSizeIterator<Item = i16> + '_> {
        let pairs = self.data.chunks_exact(2);
        (self.encoding == Encoding::Pcm16)
            .then(|| pairs.map(|pair| i16::from_le_bytes([pair[0], pair[1]])))
    }

    /// Writes the file anew: the format, the samples and nothing else.
    pub fn write<W: Write + Seek>(&self, mut to: W) -> io::Result<()> {
        match self.pcm() {
            Some(samples) => write_pcm(to, self.sample_rate, self.channels, samples),
            None => to.write_all(&self.g711_file()?),
        }
    }

    fn g711_file(&self) -> io::Result<Vec<u8>> {
        let too_long = |_| io::Error::new(io::ErrorKind::InvalidInput, "a WAVE file above 4 GiB");
        let tag: u16 = if self.encoding == Encoding::Alaw { 6 } else { 7 };
        let padding = self.data.len() & 1;
        let data_length = u32::try_from(self.data.len()).map_err(too_long)?;
        let riff_length = u32::try_from(self.data.len() + padding + 50).map_err(too_long)?;
        let mut bytes = Vec::with_capacity(self.data.len() + 59);
        bytes.extend(b"RIFF");
        bytes.extend(riff_length.to_le_bytes());
        bytes.extend(b"WAVEfmt \x12\0\0\0");
        bytes.extend(tag.to_le_bytes());
        bytes.extend(self.channels.to_le_bytes());
        bytes.extend(self.sample_rate.to_le_bytes());
        let per_second = self.sample_rate.saturating_mul(u32::from(self.channels));
        bytes.extend(per_second.to_le_bytes());
        bytes.extend(self.channels.to_le_bytes());
        bytes.extend([8, 0, 0, 0]);
        // Formats other than PCM carry the number of sample frames in a chunk of its own.
        bytes.extend(b"fact\x04\0\0\0");
        bytes.extend((self.frames() as u32).to_le_bytes());
        bytes.extend(b"data");
        bytes.extend(data_length.to_le_bytes());
        bytes.extend(&self.data);
        bytes.extend(&[0][..padding]);
        Ok(bytes)
    }
}

fn read_format(body: &[u8], at: usize) -> Result<Format, Fault> {
    let short = || Fault::new(at, "the fmt chunk has fewer than 16 bytes");
    let header: [u8; 16] = array_at(body, 0).ok_or_else(short)?;
    let number = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let tag = match number(0) {
        // Extensible: the true tag is the beginning of an identifier.
        0xfffe => array_at(body, 24).map(u16::from_le_bytes).ok_or_else(short)?,
        tag => tag,
    };
    let bits = number(14);
    let encoding = match (tag, bits) {
        (1, 16) => Encoding::Pcm16,
        (6, 8) => Encoding::Alaw,
        (7, 8) => Encoding::Ulaw,
        _ => {
            let problem = format!(
                "format tag {tag} with {bits} bits is not read: expected 16-bit PCM or G.711 \
                 (convert it: ffmpeg -i IN -c:a pcm_s16le OUT.wav)"
            );
            return Err(Fault::new(at, problem));
        }
    };
    let channels = number(2);
    if channels == 0 {
        return Err(Fault::new(at + 2, "expected at least one channel"));
    }
    let sample_rate = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    if sample_rate == 0 {
        return Err(Fault::new(at + 4, "the sample rate is 0"));
    }
    Ok(Format { sample_rate, channels, encoding })
}

/// Writes interleaved linear samples as a WAVE file.
pub fn write_pcm<W: Write + Seek>(
    to: W,
    sample_rate: u32,
    channels: u16,
    samples: impl IntoIterator<Item = i16>,
) -> io::Result<()> {
    let spec = hound::WavSpec {
        channels,
        sample_rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let io_error = |error| match error {
        hound::Error::IoError(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidInput, other),
    };
    let mut writer = hound::WavWriter::new(to, spec).map_err(io_error)?;
    for sample in samples {
        writer.write_sample(sample).map_err(io_error)?;
    }
    writer.finalize().map_err(io_error)
}
