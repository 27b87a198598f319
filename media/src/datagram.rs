//! What crosses a network: bytes between two addresses. The payload is shared, so
//! that a link may duplicate it and a jitter buffer keep it without a copy.

use core::net::SocketAddr;

use bytes::Bytes;

/// One UDP datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Who sent it.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
    /// What it carries.
    pub payload: Bytes,
}
