//! One peer on one 5-tuple: packets in; sound, frames, tones and statistics out; and the
//! way back. RTP and RTCP share the port (RFC 5761).

mod config;

pub use config::{Config, ConfigError, Decode};

use crate::datagram::Datagram;
use crate::event::Event;

/// What a session is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A datagram arrived.
    Datagram(Datagram),
    /// The moment that `poll_timeout` named has come.
    Timeout,
}

/// What a session answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A datagram to send now.
    Datagram(Datagram),
    /// Something happened.
    Event(Event),
}
