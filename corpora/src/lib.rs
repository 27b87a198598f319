//! What was recorded, and what is true of it: recordings, their manifest, and the formats of
//! captures and bitstreams.
//!
//! A leaf: it knows neither the media code nor the harness, so that what it says is true of a
//! recording is said independently of the code under test.

#![forbid(unsafe_code)]

pub mod codec;
pub mod digest;
pub mod manifest;
pub mod truth;
