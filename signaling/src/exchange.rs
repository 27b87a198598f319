//! What goes in and out of [`crate::service::Service`] and [`crate::bot::Bot`]. The two
//! are mirror images: one's [`Output::Request`] is the other's [`Input::Request`], so a
//! world joins them with a queue.

use callrig_media::datagram::Datagram;

use crate::http;

/// What happened outside.
#[derive(Clone, Debug)]
pub enum Input {
    /// Somebody asks us for something; it will be answered by exactly one
    /// [`Output::Response`] of the same number.
    Request(http::Request),
    /// The answer to a request of ours.
    Response(http::Response),
    /// A request of ours that got no answer.
    Failed(http::Failure),
    /// A datagram for one of the addresses of our media.
    Datagram(Datagram),
    /// The moment that `poll_timeout` asked for has come.
    Timeout,
}

/// What to do outside. `E` is what the machine says: [`crate::event::Event`] of a
/// service, [`crate::bot::Event`] of a bot.
#[derive(Clone, Debug)]
pub enum Output<E> {
    /// Send this, and hand its response (or failure) in.
    Request(http::Request),
    /// Answer the request of the same number.
    Response(http::Response),
    /// Send this.
    Datagram(Datagram),
    /// Something worth telling.
    Event(E),
}
