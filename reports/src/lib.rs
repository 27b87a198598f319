//! What was found: the model of a report, its comparison with another, and its renderings.
//!
//! A [`report::Report`] is plain data. The harness fills it, [`render`] turns it into JSON, one
//! self-contained page of HTML, JUnit XML, Markdown and terminal text, and [`compare`] says how two
//! of them differ. Nothing here reads a clock, a file or a socket: what time it is and which machine
//! this is are told by the caller, so the same report always renders to the same bytes.

pub mod compare;
pub mod environment;
pub mod escape;
pub mod gate;
pub mod histogram;
pub mod load;
pub mod mark;
pub mod metric;
pub mod number;
pub mod render;
pub mod report;
pub mod series;
pub mod stats;
pub mod verdict;

pub use environment::Environment;
pub use histogram::Histogram;
pub use mark::{Mark, MarkKind};
pub use metric::Metric;
pub use report::{CaseResult, Report};
pub use series::Series;
pub use verdict::{Finding, Level, Requirement, Verdict};

/// The examples of the README, held to compile and to hold.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
