//! Takes every RTP and RTCP packet out of a WebRTC connection as it comes from SRTP: sound and
//! pictures go to a session of ours, which knows what to do about loss, so that nothing in the
//! connection need know it. (Sources that the platform did not announce would not get through
//! otherwise, nor would reports.) What leaves it takes out of its envelope.

use core::sync::atomic::{AtomicU64, Ordering};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use rtc::shared::marshal::{Marshal as _, Unmarshal as _};
use tokio::sync::mpsc;

/// How many packets wait for the call's task; more are dropped, as a socket would.
pub(super) const PACKETS_MAX: usize = 512;

/// The end of the way in.
pub(super) struct Tap {
    packets: mpsc::Sender<Bytes>,
    dropped: Arc<AtomicU64>,
    leaving: VecDeque<TaggedPacket>,
}

impl Tap {
    /// A tap, what it hands over, and how much it had to drop.
    pub(super) fn new() -> (Self, mpsc::Receiver<Bytes>, Arc<AtomicU64>) {
        let (packets, taken) = mpsc::channel(PACKETS_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let tap = Self { packets, dropped: Arc::clone(&dropped), leaving: VecDeque::new() };
        (tap, taken, dropped)
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Tap {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, message: TaggedPacket) -> Result<(), Error> {
        let bytes = match &message.message.packet {
            Packet::Rtp(packet) => packet.marshal(),
            // An empty one carries attributes only.
            Packet::Rtcp(packets) if packets.is_empty() => return Ok(()),
            Packet::Rtcp(packets) => rtc::rtcp::packet::marshal(packets),
            _ => return Ok(()),
        };
        let taken = bytes.is_ok_and(|bytes| self.packets.try_send(bytes.freeze()).is_ok());
        if !taken {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        None
    }

    fn handle_write(&mut self, mut message: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(envelope) = &mut message.message.packet {
            let inside = rtc::rtp::Packet::unmarshal(&mut envelope.payload)?;
            message.message.packet = Packet::Rtp(inside);
        }
        self.leaving.push_back(message);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.leaving.pop_front()
    }
}

impl Interceptor for Tap {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}
