//! What the gate measures: two builds of callrig do the same work side by side, each in a
//! process of its own. What the figures mean is decided by `callrig_reports::gate`.

pub mod arm;
pub mod callgrind;
pub mod memory;
mod processor;
pub mod stages;
pub mod timing;
pub mod worker;
