//! What each command does. Errors end here: one line that says what, where and what to
//! do next, and the exit code that is documented for it.

mod bot;
mod corpus;
mod fleet;
mod gate;
mod judge;
mod kill_matrix;
mod list;
pub(crate) mod load;
mod open_loop;
mod record;
mod report;
mod run;
mod serve;
mod service;
mod validate;
mod worker;

use core::fmt;

use clap::Parser as _;

use crate::cli::{Cli, Command, ExitCode};

/// Why a command ended early.
#[derive(Debug)]
pub struct Failure {
    code: ExitCode,
    error: anyhow::Error,
}

impl Failure {
    fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { code: ExitCode::Usage, error: error.into() }
    }

    fn into_error(self) -> anyhow::Error {
        self.error
    }

    fn nothing(message: impl fmt::Display) -> Self {
        Self { code: ExitCode::NothingRan, error: anyhow::anyhow!("{message}") }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { code: ExitCode::Error, error: error.into() }
    }
}

/// Reads the command line and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not errors.
            let code = if error.use_stderr() { ExitCode::Usage } else { ExitCode::Ok };
            return if error.print().is_ok() { code } else { ExitCode::Error };
        }
    };
    let outcome = match cli.command {
        Command::Run(arguments) => run::run(*arguments),
        Command::Judge(arguments) => judge::judge(&arguments),
        Command::List(arguments) => list::list(&arguments),
        Command::Corpus(arguments) => corpus::corpus(&arguments),
        Command::Report(arguments) => report::report(&arguments),
        Command::Serve(arguments) => serve::serve(&arguments),
        Command::Gate(arguments) => gate::gate(&arguments),
        Command::Load(arguments) => open_loop::load(&arguments),
        Command::Worker(arguments) => worker::worker(&arguments),
        Command::Validate(arguments) => validate::validate(&arguments),
        Command::Bot(arguments) => bot::bot(&arguments),
        Command::KillMatrix(arguments) => kill_matrix::kill_matrix(&arguments),
    };
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("callrig: {}", told(&failure.error));
            failure.code
        }
    }
}

/// An error with its causes, on one line. Most errors here name their cause themselves:
/// what was said already is not said again.
fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    // Names of files are anybody's: they must not steer the terminal.
    callrig_reports::escape::visible(&text.replace('\n', " ")).into_owned()
}

/// Writes to standard output; a reader that has gone away (`| head`) is no error.
fn say(text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("cannot write to standard output").into())
        }
        _ => Ok(()),
    }
}
