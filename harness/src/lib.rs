//! callrig's shell: the one place with a clock, sockets, files and randomness. It puts
//! actors into a world, lets recordings be called through the product, and hands what
//! happened to judges.

pub mod actor;
pub mod clock;
pub mod drive;
pub mod link;
pub mod network;
pub mod order;
pub mod replay;
pub mod said;
pub mod schedule;
pub mod seed;
pub mod trace;
pub mod world;
