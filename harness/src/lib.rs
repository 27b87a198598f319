//! callrig's shell: the one place with a clock, sockets, files and randomness. It puts
//! actors into a world, lets recordings be called through the product, and hands what
//! happened to judges.

pub mod clock;
pub mod link;
pub mod network;
pub mod seed;
