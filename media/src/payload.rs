//! What RTP payloads look like inside, per codec: reading and writing, no decoding; and how
//! sound becomes one.

pub mod dtmf;
pub(crate) mod encode;
pub mod g711;
pub mod h264;
pub mod opus;
