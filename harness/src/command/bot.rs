//! `callrig bot`: one of the samples, in the real world.

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
    let settings = Settings {
        listen: arguments.listen,
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
