//! Judging a service: any implementation of the calls and online meetings API is driven
//! as a bot would drive it, and each rule of the catalogue that binds it gets a verdict
//! with the exchange that proves it.
//!
//! Cases are data ([`script`]): steps with what is expected of them, in `catalogue/*.toml`
//! beside the rules that they check. They are played ([`play`]) on a [`ground`]: in virtual
//! time against a service of ours ([`simulated`]), or over HTTP against anybody's.

pub mod expect;
pub mod faults;
pub mod ground;
pub mod live;
pub mod people;
pub mod play;
pub mod rig;
pub mod script;
pub mod shapes;
pub mod simulated;
pub mod sound;
pub mod suite;
pub mod webhook;
