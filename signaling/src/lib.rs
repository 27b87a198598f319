//! The Microsoft Graph calls and online meetings API as pure machines, sans-I/O:
//! [`service::Service`] is the platform, [`bot::Bot`] the app's side of it; a world joins
//! the two with a queue. Both are told the time, given what arrived, and asked what to
//! send ([`exchange`]).

mod attach;
pub mod auth;
pub mod bot;
pub mod call;
mod clock;
pub mod event;
pub mod exchange;
#[cfg(feature = "faults")]
pub mod fault;
#[cfg(not(feature = "faults"))]
mod fault;
pub mod graph;
pub mod http;
pub mod id;
pub mod service;

pub use attach::blob;
