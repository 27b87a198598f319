//! How a phone is connected: by plain RTP at a socket of its own, or by WebRTC, which is a
//! connection of the `webrtc` crate with a task of its own. What the task hears it brings to the
//! thread of the people; what the phone says goes the other way.

use core::net::{IpAddr, SocketAddr};

use bytes::{Bytes, BytesMut};
use callrig_media::description::{Description, MediaDescription};
use callrig_media::rtp::{Extensions, Packet};
use callrig_media::transport::sdp;
use serde::{Deserialize, Serialize};
use tokio::runtime;
use tokio::sync::mpsc;

use super::people::{People, PhoneId, Switchboard as _};
use super::phone::{Program, lines};
use super::shard::{Handle, Inside};
use crate::peer::{Heard, Offered, Peer, PeerError};

/// How many packets wait for the connection; more are lost, as in a socket.
const WAITING_MAX: usize = 512;

/// What a phone speaks.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Transport {
    /// Plain RTP: a recording is sent exactly as it was made.
    #[default]
    Rtp,
    /// WebRTC (ICE, DTLS, SRTP): its packets go as they were recorded, and what is lost of its
    /// pictures is sent again when it is asked for.
    Webrtc,
}

/// What is said to a connection's task.
enum Order {
    /// Whose it is.
    Belongs(PhoneId),
    /// The platform's answer.
    Answer(Box<Description>),
    /// A packet to send.
    Packet(Bytes),
}

/// A phone's connection by WebRTC.
#[derive(Debug)]
pub struct Connection {
    orders: mpsc::Sender<Order>,
    /// What the phone says of itself.
    pub(super) offer: Description,
    /// The same as its session sees it.
    pub(super) local: Description,
}

impl Connection {
    /// Opens one at this address of the machine's, for a phone that is to play this.
    ///
    /// # Errors
    /// Whatever the crate refuses.
    pub async fn open(
        host: IpAddr,
        program: Option<&Program>,
        people: Handle<People>,
    ) -> Result<Self, PeerError> {
        let offered = Peer::open(host, &lines(program)).await?;
        let local = offered.inside();
        let Offered { peer, offer, .. } = offered;
        let (orders, taken) = mpsc::channel(WAITING_MAX);
        runtime::Handle::current().spawn(run(peer, taken, people));
        Ok(Self { orders, offer, local })
    }

    /// Where it can be reached, first of all.
    pub(super) fn address(&self) -> SocketAddr {
        let candidates = self.offer.secure.as_ref().and_then(|secure| secure.candidates.first());
        candidates.map_or(self.offer.address, |candidate| candidate.address)
    }

    /// It is the connection of this phone.
    pub(super) fn belongs(&self, phone: PhoneId) {
        // There is room for the first word.
        let _ = self.orders.try_send(Order::Belongs(phone));
    }

    /// The platform has answered.
    pub(super) fn answer(&self, description: Description) {
        if self.orders.try_send(Order::Answer(Box::new(description))).is_err() {
            tracing::warn!("a phone's connection does not hear the answer");
        }
    }

    /// Sends a packet; `false` if it is lost.
    pub(super) fn send(&self, packet: Bytes) -> bool {
        self.orders.try_send(Order::Packet(packet)).is_ok()
    }
}

/// Lives until the phone is let go.
async fn run(mut peer: Peer, mut orders: mpsc::Receiver<Order>, people: Handle<People>) {
    let mut phone = None;
    let mut connected = false;
    let reason = loop {
        tokio::select! {
            order = orders.recv() => match order {
                None => break None,
                Some(Order::Belongs(id)) => phone = Some(id),
                Some(Order::Answer(answer)) => {
                    // Of no consequence to anybody but the two of us.
                    let text = sdp::write(&answer, 1);
                    let remote = match peer.take_answer(&text).await {
                        Ok(description) => description,
                        Err(error) => break Some(error.to_string()),
                    };
                    // Before anything comes: the first key frame may be the only one.
                    let Some(id) = phone else { continue };
                    tell(&people, move |inside| inside.agreed(id, remote));
                }
                Some(Order::Packet(packet)) => {
                    if connected && let Err(error) = peer.send(packet).await {
                        break Some(error.to_string());
                    }
                }
            },
            heard = peer.hear() => {
                let Some(id) = phone else { continue };
                match heard {
                    Heard::Ended(reason) => break Some(reason.to_owned()),
                    Heard::Connected => {
                        connected = true;
                        tell(&people, move |inside| inside.connected(id));
                    }
                    Heard::Packet(first) => {
                        // What has come meanwhile is taken with it.
                        let mut packets = vec![first];
                        packets.extend(core::iter::from_fn(|| peer.next_packet()));
                        tell(&people, move |inside| inside.arrived(id, packets));
                    }
                }
            }
        }
    };
    peer.close().await;
    if let (Some(reason), Some(id)) = (reason, phone) {
        tell(&people, move |inside| inside.disconnected(id, &reason));
    }
}

fn tell(people: &Handle<People>, what: impl FnOnce(&mut Inside<'_, People>) + Send + 'static) {
    if let Err(error) = people.tell(what) {
        tracing::warn!(%error, "what a phone's connection says is lost");
    }
}

/// A packet of a recording with these lines as it goes by WebRTC: what the two sides agreed on has
/// numbers of its own for what is in headers, and nothing else is sent.
pub(super) fn fit(mut packet: Packet, recorded: &[MediaDescription], ours: &Description) -> Packet {
    let header = &mut packet.header;
    let has = |line: &&MediaDescription| line.payload(header.payload_type).is_some();
    let agreed = ours.media.iter().find(has);
    let known = recorded.iter().find(has).into_iter().flat_map(|line| &line.extensions);
    let elements = known.filter_map(|known| {
        let id = agreed?.extension_id(known.extension)?;
        Some((id, header.extensions.get(known.id)?))
    });
    let elements: Vec<(u8, &[u8])> = elements.collect();
    header.extensions = Extensions::build(&elements, &mut BytesMut::new()).unwrap_or_default();
    packet
}
