//! What the machines of the product, and our own actors, say has happened. A vendor's bot
//! says nothing: it is judged by what crossed.

use callrig_media::event::{Event, PacketEvent};
use callrig_media::stats::Stats;
use callrig_signaling::id::LegId;
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
    /// What one of the two said in a trace that was saved: in words, and with what a judge
    /// needs of it.
    Told(Box<Told>),
    /// Something worth reading in the transcript, of no weight for a verdict.
    Note(String),
    /// One of our own actors met what should not happen: the run cannot be judged.
    Fault(String),
}

/// What the platform or a bot said about calls, as a saved trace keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// All of it, for people.
    pub words: String,
    /// Of a person who was let into a call: under which leg.
    pub answered: Option<LegId>,
    /// Of a session that ended: its last account.
    pub ended: Option<Ended>,
}

/// The last account of a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// Whose leg it was, on the platform; a bot has one session.
    pub leg: Option<LegId>,
    /// What it counted.
    pub stats: Stats,
}

impl Said {
    /// The leg under which a person was let into a call, if this says so.
    #[must_use]
    pub fn answered(&self) -> Option<LegId> {
        match self {
            Self::Service(event) => match &**event {
                service::Event::UserAnswered { leg, .. } => Some(*leg),
                _ => None,
            },
            Self::Told(told) => told.answered,
            _ => None,
        }
    }

    /// The last account of a session, and whose leg it was on the platform, if this is one.
    #[must_use]
    pub fn ended(&self) -> Option<(Option<LegId>, &Stats)> {
        match self {
            Self::Service(event) => match &**event {
                service::Event::MediaEnded { leg, stats, .. } => Some((Some(*leg), stats)),
                _ => None,
            },
            Self::Bot(event) => match &**event {
                bot::Event::MediaEnded { stats, .. } => Some((None, stats)),
                _ => None,
            },
            Self::Told(told) => told.ended.as_ref().map(|ended| (ended.leg, &ended.stats)),
            _ => None,
        }
    }

    /// What the session of `leg` says.
    #[must_use]
    pub fn media(leg: Leg, event: Event) -> Self {
        match event {
            Event::Packet(packet) => Self::Packet(leg, packet),
            other => Self::Media(leg, Box::new(other)),
        }
    }
}
