//! What was recorded, and what is true of it: recordings, their manifest, and the formats of
//! captures and bitstreams.
//!
//! A leaf: it knows neither the media code nor the harness, so that what it says is true of a
//! recording is said independently of the code under test. [`open_path`] opens any file that is
//! understood; [`manifest`] lists the recordings of the project.

#![forbid(unsafe_code)]

pub mod arrival;
pub mod codec;
pub mod count;
pub mod digest;
pub mod flow;
pub mod format;
pub mod manifest;
mod open;
pub mod opus_packet;
pub mod recording;
mod rtp;
pub mod truth;

pub use arrival::{Arrival, ArrivalKind};
pub use codec::Codec;
pub use count::Counts;
pub use flow::{Confidence, Flow, FlowId, FlowPayload, Hints};
pub use manifest::{Entry, Manifest};
pub use open::{
    OpenError, Opened, Options, open_bytes, open_bytes_with, open_path, open_path_with,
};
pub use recording::{CaptureFormat, Recording, Route, RouteId};
pub use truth::Truth;
