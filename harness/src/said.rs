//! What the machines of the product, and our own actors, say has happened. A vendor's bot
//! says nothing: it is judged by what crossed.

use callrig_media::event::{Event, PacketEvent};
use callrig_signaling::{bot, event as service};

/// Which of several sessions of one actor speaks: a call has a leg for each side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Leg(pub u16);

/// Something that an actor said.
#[derive(Clone, Debug)]
pub enum Said {
    /// A packet arrived at a session. Kept unboxed: it is said for every packet.
    Packet(Leg, PacketEvent),
    /// Anything else that a session says.
    Media(Leg, Box<Event>),
    /// The platform says something about calls.
    Service(Box<service::Event>),
    /// A bot of ours says something about its calls.
    Bot(Box<bot::Event>),
    /// Something worth reading in the transcript, of no weight for a verdict.
    Note(String),
    /// One of our own actors met what should not happen: the run cannot be judged.
    Fault(String),
}

impl Said {
    /// What the session of `leg` says.
    #[must_use]
    pub fn media(leg: Leg, event: Event) -> Self {
        match event {
            Event::Packet(packet) => Self::Packet(leg, packet),
            other => Self::Media(leg, Box::new(other)),
        }
    }
}
