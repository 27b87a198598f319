//! How media travels: for now plain RTP and RTCP on one port, which needs nothing but an
//! agreement. [`sdp`] puts that agreement into the text that peers exchange.

pub mod sdp;
