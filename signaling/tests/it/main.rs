//! The platform, the bot and a person, joined by a queue in virtual time.

mod answering;
mod conference;
mod cost;
mod delivery;
mod determinism;
mod drowned;
mod examples;
mod fuzz;
mod gallery;
mod groups;
mod input;
mod layers;
mod media;
mod meetings;
mod model;
mod model_groups;
mod model_routes;
mod outgoing;
mod redirect;
mod sdk;
mod tokens;
mod transfer;
mod webrtc;
mod world;
