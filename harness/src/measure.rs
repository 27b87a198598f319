//! Measures: what can be computed from a trace or from signals, with nothing of the
//! product in it. Judges compare the product with them, and reports show them.

pub mod align;
pub mod arrivals;
pub mod direct;
pub mod e_model;
pub mod exact;
pub mod heard;
pub mod latency;
pub mod mouth_to_ear;
pub mod payloads;
pub mod picture;
pub mod reception;
pub mod recovery;
pub mod redundancy;
pub mod reports;
pub mod speech;
pub mod tones;
pub mod units;
pub mod voices;
