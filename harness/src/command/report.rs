//! `callrig report`: the same findings, rendered again.

use std::fs;
use std::io::IsTerminal as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use callrig_reports::gate::history::History;
use callrig_reports::{Report, render};

use super::{Failure, say};
use crate::cli::{self, ExitCode, Format};
use crate::output;

/// Renders a report that was written before.
pub(super) fn report(arguments: &cli::Report) -> Result<ExitCode, Failure> {
    let file = &arguments.file;
    if file.extension().is_some_and(|extension| extension == "jsonl") {
        return history(arguments);
    }
    if arguments.metric.is_some() {
        return Err(Failure::usage(anyhow!("--metric selects from a history (.jsonl) only")));
    }
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let report = render::json::parse(&text)
        .with_context(|| format!("{} is not a report of callrig", file.display()))?;
    let beside = file.parent().unwrap_or(Path::new("."));
    write(&report, arguments.out.as_deref().unwrap_or(beside), &arguments.format)?;
    show(&report)?;
    Ok(ExitCode::Ok)
}

/// Shows what changed in which commit.
fn history(arguments: &cli::Report) -> Result<ExitCode, Failure> {
    let file = &arguments.file;
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let history = History::parse(&text);
    if history.entries.is_empty() {
        let file = file.display();
        return Err(Failure::nothing(format!("{file} holds no line of a gate's history")));
    }
    say(&render::history::text(&history, arguments.metric.as_deref()))?;
    Ok(ExitCode::Ok)
}

/// Writes the kinds of report that were asked for, all or none.
pub(super) fn write(report: &Report, folder: &Path, formats: &[Format]) -> Result<(), Failure> {
    let files: Vec<(String, Vec<u8>)> = formats
        .iter()
        .map(|format| {
            let content = match format {
                Format::Json => render::json::render(report),
                Format::Html => render::html::render(report),
                Format::Junit => render::junit::render(report),
                Format::Markdown => render::markdown::render(report),
                Format::Sarif => render::sarif::render(report),
                Format::Github => render::sarif::annotations(report),
                Format::Badge => render::sarif::badge(report),
            };
            (format.file().to_owned(), content.into_bytes())
        })
        .collect();
    output::write(folder, &files)?;
    Ok(())
}

/// Shows it on the terminal.
pub(super) fn show(report: &Report) -> Result<(), Failure> {
    let terminal = std::io::stdout().is_terminal();
    let width = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let color = terminal && std::env::var_os("NO_COLOR").is_none();
    let options = render::text::Options { width: width.unwrap_or(100), color };
    say(&render::text::render(report, options))
}
