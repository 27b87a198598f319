//! callrig's shell: the one place with a clock, sockets, files and randomness. It puts
//! actors into a world, lets recordings be called through the product, and hands what
//! happened to judges.

pub mod actor;
pub mod app;
pub mod bots;
pub mod case;
pub mod catalogue;
pub mod cli;
pub mod clock;
pub mod command;
pub mod critic;
pub mod deviation;
pub mod drive;
pub mod environment;
pub mod fleet;
pub mod gate;
pub mod link;
pub mod load;
pub mod measure;
pub mod network;
pub mod order;
pub mod output;
pub mod peer;
pub mod plan;
pub mod platform;
pub mod progress;
pub mod replay;
pub mod said;
pub mod schedule;
pub mod seed;
pub mod serve;
pub mod stage;
pub mod subject;
pub mod trace;
pub mod user;
pub mod validate;
pub mod web;
pub mod world;
