//! The media path from outside: this list is the table of contents.

mod audio;
mod bandwidth;
mod conformance;
mod dtmf;
mod fuzz;
mod h264;
mod jitter;
mod opus;
mod recovery;
mod rtcp;
mod rtp;
mod sdp;
mod session;
mod video;
mod webrtc;
