//! The integration tests of the reports; the list of modules is the table of contents.

mod comparing;
mod gating;
mod hostile;
mod junit;
mod numbers;
mod sample;
mod schema;
mod size;
mod snapshots;
