//! The platform, the bot and a person, joined by a queue in virtual time.

mod answering;
mod delivery;
mod determinism;
mod examples;
mod input;
mod media;
mod meetings;
mod model;
mod outgoing;
mod sdk;
mod tokens;
mod webrtc;
mod world;
