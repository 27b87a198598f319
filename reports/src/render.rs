//! A report as files: JSON for machines, one page of HTML, JUnit XML, Markdown and terminal text.
//!
//! All of them are pure functions of the report and write every number through
//! [`number`](crate::number), so they cannot disagree with one another.

pub mod gate;
pub mod history;
pub mod html;
pub mod json;
pub mod junit;
pub mod load;
pub mod markdown;
pub mod sarif;
pub mod text;

mod cells;
mod findings;
mod matrix;
mod overview;
mod plot;
mod recording;
mod requirements;
