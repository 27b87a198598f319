//! The report as JSON, versioned; its schema is `schema/report.schema.json`.
//!
//! Reading is as strict as writing: unknown fields, another version, totals that do not add up and
//! names that nothing defines are errors.

use std::io;

use serde::Serialize as _;

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

/// The report as JSON, with a final newline: indented down to one line per metric, finding, series
/// and the like, so that two reports can be told apart line by line without a line per point.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut bytes = Vec::new();
    let layout = Layout { depth: 0, empty: true };
    let mut writer = serde_json::Serializer::with_formatter(&mut bytes, layout);
    report.serialize(&mut writer).expect("every key is a string and every number finite");
    bytes.push(b'\n');
    String::from_utf8(bytes).expect("serde_json writes UTF-8")
}

/// Indentation that stops at a depth.
struct Layout {
    depth: usize,
    empty: bool,
}

impl Layout {
    /// The report, its lists, their items, the items' lists: what is within those is one line.
    const DEEPEST: usize = 4;

    fn open<W: io::Write + ?Sized>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.empty = true;
        writer.write_all(bracket)
    }

    fn close<W: io::Write + ?Sized>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if !self.empty && self.depth < Self::DEEPEST {
            self.line(writer)?;
        }
        self.empty = false;
        writer.write_all(bracket)
    }

    fn item<W: io::Write + ?Sized>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        match (self.depth <= Self::DEEPEST, first) {
            (true, _) => self.line(writer),
            (false, true) => Ok(()),
            (false, false) => writer.write_all(b" "),
        }
    }

    fn line<W: io::Write + ?Sized>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| writer.write_all(b"  "))
    }
}

impl serde_json::ser::Formatter for Layout {
    fn begin_array<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"[")
    }

    fn end_array<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"]")
    }

    fn begin_array_value<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.item(writer, first)
    }

    fn end_array_value<W: io::Write + ?Sized>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.empty = false;
        Ok(())
    }

    fn begin_object<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"{")
    }

    fn end_object<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"}")
    }

    fn begin_object_key<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.item(writer, first)
    }

    fn begin_object_value<W: io::Write + ?Sized>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn end_object_value<W: io::Write + ?Sized>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.empty = false;
        Ok(())
    }
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
