//! The media path from outside: this list is the table of contents.

mod conformance;
mod h264;
mod rtcp;
mod rtp;
mod sdp;
mod session;
mod video;
