//! What an open-loop load found: latencies from the *intended* time of every call, how late the
//! generator itself was, and whether stated objectives were met.
//!
//! A generator that waits for answers before it asks again hides every stall; one that is late
//! itself invents them. So calls have intended times that depend on nothing, latencies count from
//! those, and a second in which the generator was late by more than a tenth of an objective is
//! void for it.

pub mod course;
pub mod objective;
pub mod outcome;
pub mod samples;
pub mod step;
pub mod windows;
