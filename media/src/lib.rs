//! The media path of callrig, sans-I/O: it is told the time, given datagrams, and
//! asked what to send. See [`time`] for its clocks and [`datagram`] for its input.

mod arena;
pub mod audio;
pub mod bandwidth;
pub mod codec;
pub mod datagram;
pub mod description;
pub mod dtmf;
pub mod event;
#[cfg(feature = "faults")]
pub mod fault;
#[cfg(not(feature = "faults"))]
mod fault;
pub mod jitter;
pub mod payload;
pub mod prompt;
pub mod recorder;
pub mod rtcp;
pub mod rtp;
pub mod session;
pub mod stats;
pub mod time;
pub mod transport;
pub mod video;
