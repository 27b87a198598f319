//! The report for a terminal.

use crate::report::Report;

/// How the terminal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Columns; lines are cut to fit.
    pub width: usize,
    /// Whether to use colours (ANSI SGR).
    pub color: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { width: 100, color: false }
    }
}

/// The whole text.
#[must_use]
pub fn render(_report: &Report, _options: Options) -> String {
    String::new()
}
