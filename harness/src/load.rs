//! Open-loop load: calls begin when the schedule says so, whatever became of those before.
//! [`schedule`] and [`pace`] are pure and told the time; [`live`] gives them a clock, [`target`]
//! something to call.

pub mod histogram_log;
pub mod knee;
pub mod live;
pub mod pace;
pub mod schedule;
pub mod target;
