//! Judging a bot. A [`case`](case::Case) is a script (what people and the network do) and a
//! judge of what crossed; the [`rig`](rig::Rig) is the platform with everybody around it, as one
//! machine without clock and sockets, so that a bot of ours is judged in
//! [virtual time](simulate) and a stranger's in [real time](live) by the same code.

pub mod capture;
pub mod case;
pub mod cases;
pub mod deviations;
pub mod evidence;
pub mod explore;
pub mod live;
pub mod mutant;
pub mod profile;
pub mod rig;
pub mod run;
pub mod script;
pub mod simulate;
pub mod transcript;
pub mod wire;
