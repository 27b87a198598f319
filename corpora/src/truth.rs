//! What is true of a recording, stated independently of the code under test.
//!
//! Everything is optional, and everything that is there is checked: the counts by
//! [`Manifest::verify`](crate::manifest::Manifest::verify) in this crate, which counts by itself from the
//! bytes; the decoded output, the spoken words and the drift by the cases of the harness.

use serde::{Deserialize, Serialize};

use crate::digest::Sha1Digest;

/// The facts of a whole recording, or of one of its flows.
///
/// In an [`Entry`](crate::manifest::Entry) the counts are sums over all flows and the duration
/// spans all arrivals; in a [`FlowEntry`](crate::manifest::FlowEntry) they are that SSRC's own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Truth {
    /// RTP packets that arrived, duplicates included. In an Ogg file: audio packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packets: Option<u64>,
    /// Sequence numbers between the lowest and the highest arrived one that never arrived.
    /// Never negative; a restart of the sequence (RFC 3550 A.1) begins a new range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
    /// Packets that arrived after one with a higher sequence number (RFC 4737 section 3.4),
    /// duplicates not included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reordered: Option<u64>,
    /// Arrivals of a sequence number that had arrived before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicates: Option<u64>,
    /// Jumps after which the sequence went on from somewhere else (RFC 3550 A.1: 3,000 forward or
    /// more than 100 back, and the next packet confirms it).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarts: Option<u64>,
    /// Compound RTCP packets (whole recording only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtcp: Option<u64>,
    /// Datagrams that are neither RTP of a flow nor RTCP (whole recording only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<u64>,
    /// From the first to the last arrival of a capture; the playing time of a WAV or Ogg file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// The digits pressed, in order: `0`-`9`, `*`, `#`, `A`-`D`, `!` for flash. Checked here where
    /// they are telephone-events; in-band tones are checked by the harness.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digits: Option<String>,
    /// Video frames: access units of an Annex B file; of RTP, timestamps of which at least one
    /// H.264 packet arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames: Option<u64>,
    /// Frames of which every packet that was sent arrived; the others must never be called whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whole_frames: Option<u64>,
    /// Frames that a decoder gives for it, in a world without further damage (harness).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoded_frames: Option<u64>,
    /// SHA-1 of the decoded output: of I420 (visible area, Y then U then V, output order) for
    /// video, of PCM s16le (interleaved, 48 kHz Opus, 8 kHz G.711) for audio (harness).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoded_digest: Option<Sha1Digest>,
    /// Width and height in pixels of the first decoded frame (harness).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<(u16, u16)>,
    /// Id of another entry, a WAV or Annex B file: what the sender was given before encoding, for
    /// full-reference quality (harness).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Id of another entry, a capture of the very same packets without damage on the way: what
    /// this recording would be on a clean network (harness).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clean: Option<String>,
    /// The words spoken, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
    /// How much faster than ours the sender's clock runs, in parts per million (harness).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift_ppm: Option<f64>,
    /// Warnings that opening the file gives (truncated tail, cut datagrams, ...). Absent means
    /// none: a file that warns although nobody said so is a mismatch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warnings: Option<u64>,
    /// The file must be refused, with an error whose text contains this (whole recording only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// How far a measured value may be from the stated one.
    #[serde(skip_serializing_if = "Tolerances::is_default")]
    pub tolerances: Tolerances,
}

/// How far a measured value may be from the true one, where exactness cannot be had.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tolerances {
    /// For [`Truth::duration_ms`]; 1 unless stated, since it is a rounded number.
    pub duration_ms: u64,
    /// For [`Truth::drift_ppm`]; 5 unless stated.
    pub drift_ppm: f64,
    /// Lowest segmental SNR against [`Truth::reference`] on a clean network, in dB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snr_db_min: Option<f64>,
    /// Lowest PSNR (luma) against [`Truth::reference`] on a clean network, in dB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psnr_db_min: Option<f64>,
}

impl Default for Tolerances {
    fn default() -> Self {
        Self { duration_ms: 1, drift_ppm: 5.0, snr_db_min: None, psnr_db_min: None }
    }
}

impl Tolerances {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
