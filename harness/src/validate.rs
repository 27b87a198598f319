//! Judging what is not ours: any implementation of the API.

pub mod service;
