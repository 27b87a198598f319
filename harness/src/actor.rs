//! Whoever lives in a world: the platform, a bot, a person with a phone. One object-safe
//! trait over the shape that every machine of the product has, so that a world needs to
//! know nothing about what it drives.

use callrig_media::datagram::Datagram;
use callrig_media::time::Instant;
use callrig_signaling::http;
use serde::{Deserialize, Serialize};

use crate::order::Order;
use crate::said::Said;

/// A machine that is told the time and what arrives, and is asked what it sends.
///
/// After every [`handle_input`](Self::handle_input), the world drains
/// [`poll_output`](Self::poll_output) to `None` and then asks
/// [`poll_timeout`](Self::poll_timeout). All times are those of the actor's own
/// [`Clock`](crate::clock::Clock).
pub trait Actor: Send {
    /// Something arrives, or the moment that was asked for has come.
    fn handle_input(&mut self, now: Instant, input: Input);
    /// The next thing to send or to say.
    fn poll_output(&mut self) -> Option<Output>;
    /// When to come back if nothing arrives.
    fn poll_timeout(&self) -> Option<Instant>;
}

/// What arrives at an actor.
#[derive(Clone, Debug)]
pub enum Input {
    /// A datagram for one of its addresses.
    Datagram(Datagram),
    /// A request for its host.
    Request(http::Request),
    /// The answer to a request of its own.
    Response(http::Response),
    /// A request of its own found nobody.
    Failed(http::Failure),
    /// What another actor says beside the network; seldom, and large.
    Order(ActorId, Box<Order>),
    /// The moment that it asked for.
    Timeout,
}

/// What an actor does.
#[derive(Clone, Debug)]
pub enum Output {
    /// Sends a datagram.
    Datagram(Datagram),
    /// Sends a request to the host in its URI.
    Request(http::Request),
    /// Answers the request of the same number.
    Response(http::Response),
    /// Tells another actor, beside the network.
    Order(ActorId, Box<Order>),
    /// Says what has happened.
    Said(Said),
}

/// The place of an actor in its world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ActorId(pub u16);

/// What kind of input a step handled: cost is told apart by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A datagram.
    Datagram,
    /// A request.
    Request,
    /// A response, or the lack of one.
    Response,
    /// An order.
    Order,
    /// A timeout.
    Timeout,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Datagram, Self::Request, Self::Response, Self::Order, Self::Timeout];

    /// What reports call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Datagram => "datagram",
            Self::Request => "request",
            Self::Response => "response",
            Self::Order => "order",
            Self::Timeout => "timeout",
        }
    }
}

impl Input {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Datagram(_) => Kind::Datagram,
            Self::Request(_) => Kind::Request,
            Self::Response(_) | Self::Failed(_) => Kind::Response,
            Self::Order(..) => Kind::Order,
            Self::Timeout => Kind::Timeout,
        }
    }
}
