//! A trace as JSON lines: what was staged on the first one, then a fact on each, times in
//! nanoseconds of the world's clock, bytes in base64. Two runs of the same seed give the
//! same bytes, and what is read is what was written: a disputed verdict can be judged again
//! from a saved trace and the recording that it names.
//!
//! Left out are the pictures (their digest and their likeness to what was sent are there)
//! and what the steps cost in real time, which differs from run to run.

mod format;
mod read;
mod write;

use serde::{Deserialize, Serialize};

pub use read::{ReadError, read};
pub use write::write;

use crate::stage::{Performance, Stage};

/// Of the format.
pub const VERSION: u32 = 2;
/// A line is at most this long: a fact holds at most a frame of video or a body.
pub const LINE_BYTES_MAX: u64 = 64 << 20;

/// What was staged: what a judge needs besides the trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Staged {
    /// The recording that was played: its id, or its path.
    pub recording: String,
    /// Where it is found.
    pub origin: Origin,
    /// Of its file, in hexadecimal.
    pub sha256: Option<String>,
    /// What a person knew better of its payload types, as `--payload` takes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payload: Vec<String>,
    /// Which of its flows were asked for, as `--flow` takes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flow: Vec<String>,
    /// The name of the network.
    pub network: String,
    /// Who was called.
    pub stage: Stage,
    /// The seed of the run.
    pub seed: u64,
}

/// Where a recording is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// By its id in the corpora.
    Corpora,
    /// By its path.
    File,
}

/// A trace that was saved.
#[derive(Debug)]
pub struct Saved {
    /// What was staged.
    pub staged: Staged,
    /// What happened; without costs.
    pub performance: Performance,
}
