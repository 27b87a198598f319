//! `callrig validate`: a verdict for every rule of the API that can be seen from outside.
//! [`bot`] plays the platform, its people and its troubles to somebody's bot, [`service`] a
//! bot to any implementation of the API; each judges what crossed.

pub mod bot;
pub mod service;
