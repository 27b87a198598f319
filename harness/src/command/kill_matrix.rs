//! `callrig kill-matrix`: how much of what is wrong the cases of bots find. The last line
//! is the figure.

use super::{Failure, say};
use crate::cli::{ExitCode, KillMatrix};
use crate::progress::Progress;
use crate::seed::Seed;
use crate::validate::bot::mutant::{faults, matrix};

/// Judges every faulty bot, and the samples until they have come far enough.
pub(super) fn kill_matrix(arguments: &KillMatrix) -> Result<ExitCode, Failure> {
    let meant = |fault: &faults::Fault| {
        fault.name().contains(&arguments.only) || fault.caught_by.contains(&arguments.only)
    };
    let chosen = faults::all().into_iter().filter(meant).step_by(arguments.every.max(1));
    let chosen: Vec<faults::Fault> = chosen.collect();
    if chosen.is_empty() {
        return Err(Failure::nothing("nothing ran: --only matches no fault"));
    }
    let progress = Progress::new(chosen.len(), "faulty bots");
    let rows = matrix::all(&chosen, Seed::new(1), |row| {
        progress.done(row.fault.name(), usize::from(!row.killed));
    });
    progress.finish();
    let progress = Progress::new(arguments.greens, "cases of bots without a fault");
    let (greens, red) = matrix::greens(arguments.greens, 1, |done| progress.reached(done));
    progress.finish();
    for result in &red {
        let reason = result.reason.as_deref().unwrap_or("found something");
        say(&format!("not green: {} {reason}\n", result.id))?;
        for finding in &result.findings {
            say(&format!(
                "  {}: {} / {}\n",
                finding.requirement, finding.expected, finding.actual
            ))?;
            for line in &finding.evidence {
                say(&format!("    {line}\n"))?;
            }
        }
    }
    say(&matrix::missed(&rows))?;
    say(&format!("{}\n", matrix::figure(&rows, greens)))?;
    Ok(ExitCode::Ok)
}
