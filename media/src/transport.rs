//! How media travels: as plain RTP and RTCP on one port, which needs nothing but an
//! agreement, or by [`webrtc`]. [`sdp`] puts that agreement into the text that peers exchange.

pub mod sdp;
pub mod webrtc;
