//! What goes from one session to another as it came: as long as nothing in it is changed, the
//! datagram itself is handed on and nothing is copied.

use bytes::Bytes;

use crate::rtp::Packet;

/// A packet on its way from one session to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relayed {
    packet: Packet,
    /// The packet as it came, if it still is that.
    datagram: Option<Bytes>,
}

impl Relayed {
    pub(super) const fn new(packet: Packet, datagram: Option<Bytes>) -> Self {
        Self { packet, datagram }
    }

    /// The packet.
    #[must_use]
    pub const fn packet(&self) -> &Packet {
        &self.packet
    }

    /// The packet, to be changed: it is written anew when it is sent.
    pub fn packet_mut(&mut self) -> &mut Packet {
        self.datagram = None;
        &mut self.packet
    }

    pub(super) fn into_parts(self) -> (Packet, Option<Bytes>) {
        (self.packet, self.datagram)
    }
}

impl From<Packet> for Relayed {
    fn from(packet: Packet) -> Self {
        Self::new(packet, None)
    }
}
