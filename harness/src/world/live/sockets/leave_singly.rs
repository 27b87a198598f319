//! How datagrams leave a socket where the kernel takes one at a time.

use callrig_media::datagram::Datagram;
use mio::net::UdpSocket;

use super::{Counts, send_one};

/// Nothing to be known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaving;

impl Leaving {
    pub(super) const fn new(_run_max: usize) -> Self {
        Self
    }

    /// Sends datagrams that leave one socket, in order. What the kernel refuses is lost.
    pub(super) fn send(&mut self, socket: &UdpSocket, batch: &[Datagram], counts: &mut Counts) {
        batch.iter().for_each(|datagram| send_one(socket, datagram, counts));
    }
}
