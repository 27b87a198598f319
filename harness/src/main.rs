//! The `callrig` command.
fn main() {}
