//! The report as JSON, versioned; its schema is `schema/report.schema.json`.
//!
//! Reading is as strict as writing: unknown fields, another version, totals that do not add up and
//! names that nothing defines are errors.

use crate::report::{CheckError, Report};

/// Why a text is not a report.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// Not JSON, or not in the shape of a report; says line and column.
    #[error("not a report: {0}")]
    Shape(#[from] serde_json::Error),
    /// In the shape of a report, but contradicting itself.
    #[error("not a sound report: {0}")]
    Check(#[from] CheckError),
}

/// The report as JSON, indented, with a final newline.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut text = serde_json::to_string_pretty(report)
        .expect("every key is a string and every number finite");
    text.push('\n');
    text
}

/// Reads what [`render`] wrote.
///
/// # Errors
///
/// When the text is not JSON, not a report, or a report that contradicts itself.
pub fn parse(text: &str) -> Result<Report, ParseError> {
    let report: Report = serde_json::from_str(text)?;
    report.check()?;
    Ok(report)
}
