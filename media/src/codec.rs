//! What turns sound and pictures into packets and back: each module wraps one codec and
//! keeps the state of one stream.

pub mod g711;
pub mod h264;
pub mod opus;
