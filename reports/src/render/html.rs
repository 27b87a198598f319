//! The report as one page of HTML that needs nothing else.

use crate::report::Report;

/// The whole page.
#[must_use]
pub fn render(report: &Report) -> String {
    maud::html! { (report.tool.name) }.into_string()
}
