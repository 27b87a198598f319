//! What RTP payloads look like inside, per codec: reading and writing, no decoding.

pub mod dtmf;
pub mod g711;
pub mod h264;
pub mod opus;
