//! `callrig bot`: one of the samples, in the real world.

use std::io::IsTerminal as _;

use anyhow::{Context as _, anyhow};

use super::{Failure, say};
use crate::app::{App, Settings};
use crate::bots::samples;
use crate::cli::{Bot, ExitCode};

/// Runs a sample until it is told to stop.
pub(super) fn bot(arguments: &Bot) -> Result<ExitCode, Failure> {
    if arguments.list {
        let lines = samples::ALL.iter().map(|one| format!("{:<12} {}\n", one.name, one.title));
        say(&lines.collect::<String>())?;
        return Ok(ExitCode::Ok);
    }
    let name = arguments.name.as_deref().unwrap_or_default();
    let sample = samples::find(name).ok_or_else(|| {
        let known: Vec<&str> = samples::ALL.iter().map(|sample| sample.name).collect();
        Failure::usage(anyhow!("there is no sample {name:?}; there are {}", known.join(", ")))
    })?;
    log(&arguments.log)?;
    let settings = Settings {
        listen: arguments.listen,
        media: arguments.media,
        ..Settings::new(&arguments.app_id, &arguments.secret).at(&arguments.platform)
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads of the bot")?;
    runtime.block_on(async {
        let app = App::start(settings).await?;
        say(&format!("{} listens on http://{}/api/calls\n", sample.name, app.address()))?;
        tokio::select! {
            () = (sample.program)(app) => {}
            pressed = tokio::signal::ctrl_c() => pressed.context("cannot wait for Ctrl-C")?,
        }
        Ok(ExitCode::Ok)
    })
}

/// What becomes of calls, for people, on the standard error output.
fn log(filter: &str) -> Result<(), Failure> {
    let chosen = tracing_subscriber::EnvFilter::try_new(filter)
        .map_err(|error| Failure::usage(anyhow!("--log {filter:?}: {error}")))?;
    let ansi = std::io::stderr().is_terminal();
    let logs = tracing_subscriber::fmt().with_env_filter(chosen).with_ansi(ansi);
    logs.with_writer(std::io::stderr).with_target(false).init();
    Ok(())
}
