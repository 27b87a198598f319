//! `callrig worker`: the other end of a fleet, or of a gate.

use anyhow::{Context as _, anyhow};

use super::Failure;
use crate::cli::{ExitCode, Worker};
use crate::gate::worker;

/// Does what a gate says, until it has gone.
pub(super) fn worker(arguments: &Worker) -> Result<ExitCode, Failure> {
    if let Some(url) = &arguments.fleet.fleet {
        return super::fleet::worker(arguments, url);
    }
    if arguments.count.is_empty() {
        worker::serve().context("the gate has gone away")?;
        return Ok(ExitCode::Ok);
    }
    let asks = arguments.count.iter().map(|ask| {
        serde_json::from_str(ask).map_err(|error| Failure::usage(anyhow!("--count {ask}: {error}")))
    });
    let asks: Vec<_> = asks.collect::<Result<_, Failure>>()?;
    worker::count(&asks).map_err(|why| Failure::usage(anyhow!("--count: {why}")))?;
    Ok(ExitCode::Ok)
}
