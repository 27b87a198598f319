//! Opens a file by what is in it, not by its name.

use std::io::Read as _;
use std::path::Path;

use bytes::Bytes;

use crate::flow::Hints;
use crate::format::annexb::{self, AnnexB};
use crate::format::ogg::{self, OggOpus};
use crate::format::wav::{self, Wav};
use crate::format::{Fault, Warning, pcap, pcapng, rtpdump};
use crate::recording::{CaptureFormat, Recording};

/// What opening needs to know besides the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What the user knows of a capture.
    pub hints: Hints,
    /// A larger file is refused; it would be read into memory whole.
    pub file_bytes_max: u64,
}

impl Default for Options {
    /// No hints, and files up to 2 GiB.
    fn default() -> Self {
        Self { hints: Hints::default(), file_bytes_max: 2 << 30 }
    }
}

/// What a file turned out to be.
#[derive(Debug, Clone, PartialEq)]
pub enum Opened {
    /// A capture of datagrams.
    Recording(Recording),
    /// An H.264 byte stream.
    AnnexB(AnnexB),
    /// Sound.
    Wav(Wav),
    /// Sound, encoded.
    OggOpus(OggOpus),
}

impl Opened {
    /// What is wrong with the file, without making it unusable.
    pub fn warnings(&self) -> &[Warning] {
        match self {
            Self::Recording(recording) => &recording.warnings,
            Self::AnnexB(stream) => &stream.warnings,
            Self::Wav(wav) => &wav.warnings,
            Self::OggOpus(stream) => &stream.warnings,
        }
    }

    /// The name of the format.
    pub fn format(&self) -> &'static str {
        match self {
            Self::Recording(recording) => recording.format.name(),
            Self::AnnexB(_) => "H.264 Annex B",
            Self::Wav(_) => "WAVE",
            Self::OggOpus(_) => "Ogg Opus",
        }
    }
}

/// Why a file cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system refuses.
    #[error("cannot read {name}: {source}")]
    Read {
        /// The file.
        name: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A folder, a device, a pipe.
    #[error("{name} is no regular file")]
    NoFile {
        /// What was to be opened.
        name: String,
    },
    /// Larger than [`Options::file_bytes_max`].
    #[error("{name} has {bytes} bytes, more than the limit of {limit}: cut it (editcap -c) first")]
    TooLarge {
        /// The file.
        name: String,
        /// Its size, as far as known.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// No bytes at all.
    #[error("{name} is empty")]
    Empty {
        /// The file.
        name: String,
    },
    /// The first bytes are those of no format that is read.
    #[error("{name} is no recording that can be read: {advice}")]
    Unknown {
        /// The file.
        name: String,
        /// What it seems to be, and what to do.
        advice: String,
    },
    /// It is of a known format, but broken.
    #[error("{name} ({format}) is broken {fault}")]
    Broken {
        /// The file.
        name: String,
        /// The format.
        format: &'static str,
        /// Where, and what was expected.
        fault: Fault,
    },
}

/// Opens a file with the default [`Options`].
pub fn open_path(path: &Path) -> Result<Opened, OpenError> {
    open_path_with(path, &Options::default())
}

/// Opens bytes with the default [`Options`]; the name is for messages only.
pub fn open_bytes(name: &str, bytes: Bytes) -> Result<Opened, OpenError> {
    open_bytes_with(name, bytes, &Options::default())
}

/// Opens a file.
pub fn open_path_with(path: &Path, options: &Options) -> Result<Opened, OpenError> {
    let bytes = read_file(path, options.file_bytes_max)?;
    open_bytes_with(&path.display().to_string(), bytes, options)
}

/// The bytes of a regular file of at most this size.
pub(crate) fn read_file(path: &Path, limit: u64) -> Result<Bytes, OpenError> {
    let name = || path.display().to_string();
    let read = |source| OpenError::Read { name: name(), source };
    // Looked at before it is opened, since opening a pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(read)?;
    if !metadata.is_file() {
        return Err(OpenError::NoFile { name: name() });
    }
    let too_large = |bytes| OpenError::TooLarge { name: name(), bytes, limit };
    if metadata.len() > limit {
        return Err(too_large(metadata.len()));
    }
    let file = std::fs::File::open(path).map_err(read)?;
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    // It may grow while it is read.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(read)?;
    if bytes.len() as u64 > limit {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(bytes.into())
}

/// Opens bytes; the name is for messages only.
pub fn open_bytes_with(name: &str, bytes: Bytes, options: &Options) -> Result<Opened, OpenError> {
    let too_large = bytes.len() as u64 > options.file_bytes_max;
    if too_large {
        let (bytes, limit) = (bytes.len() as u64, options.file_bytes_max);
        return Err(OpenError::TooLarge { name: name.to_owned(), bytes, limit });
    }
    if bytes.is_empty() {
        return Err(OpenError::Empty { name: name.to_owned() });
    }
    let broken = |format| move |fault| OpenError::Broken { name: name.to_owned(), format, fault };
    let capture = |format: CaptureFormat| {
        Recording::read(&bytes, format, &options.hints)
            .map(Opened::Recording)
            .map_err(broken(format.name()))
    };
    if pcap::sniff(&bytes).is_some() {
        capture(CaptureFormat::Pcap)
    } else if pcapng::sniff(&bytes) {
        capture(CaptureFormat::Pcapng)
    } else if rtpdump::sniff(&bytes) {
        capture(CaptureFormat::Rtpdump)
    } else if wav::sniff(&bytes) {
        Wav::read(&bytes).map(Opened::Wav).map_err(broken("WAVE"))
    } else if ogg::sniff(&bytes) {
        OggOpus::read(&bytes).map(Opened::OggOpus).map_err(broken("Ogg Opus"))
    } else if annexb::sniff(&bytes) {
        AnnexB::read(bytes).map(Opened::AnnexB).map_err(broken("H.264 Annex B"))
    } else {
        Err(OpenError::Unknown { name: name.to_owned(), advice: advice(&bytes) })
    }
}

/// Formats that people may well try, and how to turn them into one that is read.
fn advice(bytes: &[u8]) -> String {
    const H264: &str = "extract its video: ffmpeg -i IN -c:v copy -bsf:v h264_mp4toannexb OUT.264";
    const SOUND: &str = "convert it: ffmpeg -i IN -c:a pcm_s16le OUT.wav";
    const KNOWN: [(usize, &[u8], &str, &str); 14] = [
        (0, b"\x1f\x8b", "compressed by gzip", "unpack it: gunzip IN"),
        (0, b"\x28\xb5\x2f\xfd", "compressed by zstd", "unpack it: unzstd IN"),
        (0, b"\xfd7zXZ", "compressed by xz", "unpack it: unxz IN"),
        (0, b"PK\x03\x04", "a zip archive", "unpack it: unzip IN"),
        (0, b"\xa1\xb2\xcd\x34", "a modified pcap file", "convert it: editcap -F pcapng IN OUT"),
        (0, b"\x34\xcd\xb2\xa1", "a modified pcap file", "convert it: editcap -F pcapng IN OUT"),
        (0, b"snoop\0\0\0", "a snoop capture", "convert it: editcap -F pcapng IN OUT"),
        (4, b"ftyp", "an MP4 file", H264),
        (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM file", H264),
        (0, b"RF64", "an RF64 file", SOUND),
        (0, b"RIFF", "a RIFF file, but no WAVE", SOUND),
        (0, b"fLaC", "a FLAC file", SOUND),
        (0, b"ID3", "an MP3 file", SOUND),
        (0, b"#!rtpplay", "an rtpdump of another version", "record it again with rtpdump -F dump"),
    ];
    for (offset, magic, what, action) in KNOWN {
        if bytes.get(offset..).is_some_and(|rest| rest.starts_with(magic)) {
            return format!("it seems to be {what}; {action}");
        }
    }
    let start: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!(
        "it begins with {}, and not like pcap, pcapng, rtpdump, H.264 Annex B, WAVE or Ogg Opus",
        start.join(" ")
    )
}
