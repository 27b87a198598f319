//! What is played through the product: a recording made ready to be called with. A
//! capture may hold several people's phones; each becomes a subject of its own, with the
//! offer that its telephone would make and everything that it sent.

pub mod offer;
pub mod phones;

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use callrig_corpora::Opened;
use callrig_corpora::digest::Sha256Digest;
use callrig_corpora::format::annexb::AnnexB;
use callrig_corpora::format::ogg::OggOpus;
use callrig_corpora::format::wav::{Encoding, Wav};
use callrig_corpora::manifest::Entry;
use callrig_corpora::recording::Recording;
use callrig_corpora::truth::Truth;
use callrig_media::codec::g711::Law;
use callrig_media::description::{Codec, MediaDescription};
use thiserror::Error;

use crate::schedule::{Numbering, Schedule, ScheduleError, VideoFormat};

/// Something to play.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its id in the corpora, or the path it was opened by.
    pub id: String,
    /// What it is, in a line.
    pub title: String,
    /// What groups recordings: the folder in the corpora, or `audio` or `video`.
    pub kind: String,
    /// Words to select by.
    pub tags: Vec<String>,
    /// Of the file's bytes, in hexadecimal.
    pub sha256: Option<String>,
    /// The streams in it.
    pub flows: Vec<Flow>,
    /// What the telephone offers: payload types and codecs as they were found or stated.
    pub media: Vec<MediaDescription>,
    /// What it sends, and when.
    pub schedule: Schedule,
    /// What is true of it, where somebody said so.
    pub truth: Truth,
    /// What it was made of, for full-reference quality.
    pub reference: Option<Arc<Reference>>,
    /// What is wrong with the file without making it unusable, one line each.
    pub warnings: Vec<String>,
}

/// A stream of a subject.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    /// Synchronisation source.
    pub ssrc: u32,
    /// From where, as the file says.
    pub source: String,
    /// To where, as the file says.
    pub destination: String,
    /// What it carries.
    pub payloads: Vec<FlowPayload>,
    /// How many packets.
    pub packets: u64,
    /// What is true of it alone.
    pub truth: Option<Truth>,
}

/// One payload type of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowPayload {
    /// 0 to 127.
    pub payload_type: u8,
    /// By its name in SDP, or `?`.
    pub codec: String,
    /// Of the timestamps, in Hz, 0 if unknown.
    pub clock_rate: u32,
    /// Why it is believed to be this, where it was guessed.
    pub guessed: Option<String>,
}

/// What a recording was made of, before any encoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// Sound.
    Sound {
        /// Interleaved.
        samples: Vec<i16>,
        /// Samples per second of each channel.
        rate: u32,
        /// 1 or 2.
        channels: u8,
    },
    /// The access units of an H.264 stream, Annex B.
    Video(Vec<Bytes>),
}

/// Why a file that could be opened cannot be played.
#[derive(Debug, Error)]
pub enum SubjectError {
    /// No RTP was found.
    #[error(
        "{id}: no RTP flow was found in {datagrams} datagrams; --payload PT=CODEC/CLOCK or a port (--payload 5004) helps if you know better"
    )]
    NoFlows {
        /// The file.
        id: String,
        /// How many datagrams it holds.
        datagrams: usize,
    },
    /// RTP was found, but none that this project plays.
    #[error(
        "{id}: none of its RTP flows has a codec that can be played ({found}); --payload PT=CODEC/CLOCK overrides the guess"
    )]
    NoCodec {
        /// The file.
        id: String,
        /// What was found.
        found: String,
    },
    /// What is in it cannot be sent.
    #[error("{id}: {source}")]
    Schedule {
        /// The file.
        id: String,
        /// Why.
        source: ScheduleError,
    },
    /// Sound that is not 16-bit PCM.
    #[error(
        "{id}: only WAV files with 16-bit PCM can be sent; convert it: ffmpeg -i IN -c:a pcm_s16le OUT.wav"
    )]
    NotPcm {
        /// The file.
        id: String,
    },
}

/// What is known of a file besides its content.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// Its id in the corpora, or the path it was opened by.
    pub id: String,
    /// Of its bytes.
    pub sha256: Option<Sha256Digest>,
    /// Its entry in the manifest, if it has one.
    pub entry: Option<Entry>,
    /// What it was made of.
    pub reference: Option<Arc<Reference>>,
    /// Of a capture, only these sources; all if empty.
    pub only: Vec<u32>,
}

impl Reference {
    /// What an opened file is as a reference; captures and encoded sound are none.
    #[must_use]
    pub fn of(opened: &Opened) -> Option<Self> {
        match opened {
            Opened::Wav(wav) => Some(Self::Sound {
                samples: linear(wav),
                rate: wav.sample_rate,
                channels: u8::try_from(wav.channels).ok()?,
            }),
            Opened::AnnexB(stream) => {
                let units = stream.access_units();
                Some(Self::Video(units.into_iter().map(|unit| unit.data).collect()))
            }
            Opened::Recording(_) | Opened::OggOpus(_) => None,
        }
    }
}

impl Subject {
    /// The subjects of an opened file.
    ///
    /// # Errors
    /// There is nothing in it that could be played.
    pub fn of(opened: &Opened, about: &About) -> Result<Vec<Self>, SubjectError> {
        let mut subjects = match opened {
            Opened::Recording(recording) => Self::of_recording(recording, about)?,
            Opened::AnnexB(stream) => vec![Self::of_annex_b(stream, about)?],
            Opened::Wav(wav) => vec![Self::of_wav(wav, about)?],
            Opened::OggOpus(ogg) => vec![Self::of_ogg(ogg, about)?],
        };
        for subject in &mut subjects {
            subject.warnings = opened.warnings().iter().map(ToString::to_string).collect();
        }
        Ok(subjects)
    }

    /// From the first packet sent to the last.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.schedule.duration()
    }

    /// Whether it has pictures.
    #[must_use]
    pub fn has_video(&self) -> bool {
        self.has(Codec::is_video)
    }

    /// Whether it has sound that can be played.
    #[must_use]
    pub fn has_audio(&self) -> bool {
        let sound = |name: &str| matches!(name, "opus" | "pcmu" | "pcma");
        self.flows.iter().flat_map(|flow| &flow.payloads).any(|payload| sound(&payload.codec))
    }

    /// Whether keys are pressed in it, as far as packets or its truth say.
    #[must_use]
    pub fn has_tones(&self) -> bool {
        let events = |payload: &FlowPayload| payload.codec == "telephone-event";
        self.flows.iter().flat_map(|flow| &flow.payloads).any(events)
            || self.truth.digits.as_ref().is_some_and(|digits| !digits.is_empty())
    }

    fn has(&self, kind: impl Fn(Codec) -> bool) -> bool {
        self.media.iter().flat_map(|line| &line.payloads).any(|payload| kind(payload.codec))
    }

    fn of_recording(recording: &Recording, about: &About) -> Result<Vec<Self>, SubjectError> {
        let id = &about.id;
        let phones = phones::of(recording, &about.only);
        if phones.is_empty() {
            let datagrams = recording.arrivals.len();
            return Err(SubjectError::NoFlows { id: id.clone(), datagrams });
        }
        let mut found = Vec::new();
        let mut subjects = Vec::new();
        for phone in &phones {
            let flows = phone.flows(recording, about.entry.as_ref());
            let media = offer::of(recording, phone, about.entry.as_ref());
            if media.is_empty() {
                let names = flows.iter().flat_map(|flow| &flow.payloads);
                found.extend(names.map(|one| format!("{}={}", one.payload_type, one.codec)));
                continue;
            }
            let schedule = phone
                .schedule(recording)
                .map_err(|source| SubjectError::Schedule { id: id.clone(), source })?;
            subjects.push(Self { flows, media, schedule, ..Self::bare(about, "audio") });
        }
        if subjects.is_empty() {
            let found = found.join(", ");
            return Err(SubjectError::NoCodec { id: id.clone(), found });
        }
        let several = subjects.len() > 1;
        for (index, subject) in subjects.iter_mut().enumerate() {
            if several {
                subject.id = format!("{id}#{}", index + 1);
                // The counts of a whole recording are sums over all that speak in it.
                subject.truth = Truth::default();
            }
            if about.entry.is_none() && subject.has_video() {
                subject.kind = "video".to_owned();
            }
        }
        Ok(subjects)
    }

    fn of_annex_b(stream: &AnnexB, about: &About) -> Result<Self, SubjectError> {
        let format = VideoFormat::default();
        let numbering = Numbering { payload_type: 102, ..Numbering::default() };
        let units: Vec<Bytes> = stream.access_units().into_iter().map(|unit| unit.data).collect();
        let schedule = Schedule::of_access_units(&units, format, numbering)
            .map_err(|source| SubjectError::Schedule { id: about.id.clone(), source })?;
        let media = offer::video_lines(numbering);
        let flows = vec![made_flow(&schedule, numbering, "h264", 90_000)];
        let reference = Some(Arc::new(Reference::Video(units)));
        let bare = Self::bare(about, "video");
        Ok(Self { flows, media, schedule, reference, ..bare })
    }

    fn of_wav(wav: &Wav, about: &About) -> Result<Self, SubjectError> {
        let id = &about.id;
        let refuse = |source| SubjectError::Schedule { id: id.clone(), source };
        let pcm = linear(wav);
        let (samples, rate, channels) = offer::encodable(&pcm, wav.sample_rate, wav.channels)
            .map_err(|message| refuse(ScheduleError::Encoder(message)))?;
        let numbering = Numbering::default();
        let schedule = Schedule::of_sound(&samples, rate, channels, numbering).map_err(refuse)?;
        let flows = vec![made_flow(&schedule, numbering, "opus", 48_000)];
        let media = vec![offer::opus_line(numbering, channels == 2)];
        let reference = Some(Arc::new(Reference::Sound { samples, rate, channels }));
        Ok(Self { flows, media, schedule, reference, ..Self::bare(about, "audio") })
    }

    fn of_ogg(ogg: &OggOpus, about: &About) -> Result<Self, SubjectError> {
        let numbering = Numbering::default();
        let packets = ogg.packets.iter().map(|packet| (packet.data.clone(), packet.samples));
        let schedule = Schedule::of_opus(packets, numbering)
            .map_err(|source| SubjectError::Schedule { id: about.id.clone(), source })?;
        let flows = vec![made_flow(&schedule, numbering, "opus", 48_000)];
        let media = vec![offer::opus_line(numbering, ogg.head.channels == 2)];
        Ok(Self { flows, media, schedule, ..Self::bare(about, "audio") })
    }

    /// Nothing to play yet, with what is known of the file.
    #[must_use]
    pub fn bare(about: &About, kind: &str) -> Self {
        let entry = about.entry.as_ref();
        let folder = entry.and_then(|entry| Some(entry.id.split_once('/')?.0.to_owned()));
        Self {
            id: about.id.clone(),
            title: entry.map_or_else(|| about.id.clone(), |entry| entry.origin.clone()),
            kind: folder.unwrap_or_else(|| kind.to_owned()),
            tags: entry.map(|entry| entry.tags.clone()).unwrap_or_default(),
            sha256: about.sha256.as_ref().map(ToString::to_string),
            flows: Vec::new(),
            media: Vec::new(),
            schedule: Schedule::default(),
            truth: entry.map(|entry| entry.truth.clone()).unwrap_or_default(),
            reference: about.reference.clone(),
            warnings: Vec::new(),
        }
    }
}

/// The samples of a WAV file, whatever their coding.
fn linear(wav: &Wav) -> Vec<i16> {
    let by = |law: Law| wav.data.iter().map(|byte| law.decode(*byte)).collect();
    match wav.encoding {
        Encoding::Pcm16 => wav.pcm().into_iter().flatten().collect(),
        Encoding::Alaw => by(Law::A),
        Encoding::Ulaw => by(Law::Mu),
    }
}

/// The stream of a file that was no capture.
fn made_flow(schedule: &Schedule, numbering: Numbering, codec: &str, clock_rate: u32) -> Flow {
    Flow {
        ssrc: numbering.ssrc,
        source: "file".to_owned(),
        destination: "bot".to_owned(),
        payloads: vec![FlowPayload {
            payload_type: numbering.payload_type,
            codec: codec.to_owned(),
            clock_rate,
            guessed: None,
        }],
        packets: schedule.departures().len() as u64,
        truth: None,
    }
}
