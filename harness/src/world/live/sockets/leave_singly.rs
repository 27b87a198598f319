//! How datagrams leave a socket where the kernel takes one at a time.

use callrig_media::datagram::Datagram;
use mio::net::UdpSocket;

/// Nothing to be known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaving;

/// How many datagrams went, and how many were refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) sent: u64,
    pub(super) unsent: u64,
}

impl Leaving {
    pub(super) const fn new(_run_max: usize) -> Self {
        Self
    }

    /// Sends datagrams that leave one socket, in order. What the kernel refuses is lost.
    pub(super) fn send(&mut self, socket: &UdpSocket, batch: &[Datagram]) -> Left {
        let mut left = Left::default();
        for datagram in batch {
            match socket.send_to(&datagram.payload, datagram.destination) {
                Ok(_) => left.sent += 1,
                Err(_) => left.unsent += 1,
            }
        }
        left
    }
}
