//! Instructions: valgrind's callgrind counts those of each measured piece of work. One process
//! does all stages; callgrind begins anew when a piece begins, and writes what it counted when it
//! ends, one file each.

use std::path::Path;
use std::process::{Command, Stdio};

use callrig_reports::gate::bounds::Bounds;
use callrig_reports::gate::counted::{self, Count};
use callrig_reports::gate::{Doubt, DoubtKind, Findings, Tier};
use thiserror::Error;

use super::timing::UNITS_MIN;
use super::worker::{Ask, Injection};

/// The function whose instructions count: by its whole name, since callgrind 3.19 heeds only the
/// first of several options with a `*`.
const FUNCTION: &str = "callrig::gate::worker::measured";

/// Why there are no counts.
#[derive(Debug, Error)]
pub enum CountError {
    /// valgrind is not there.
    #[error("valgrind cannot be started ({0}); `.ci/needs gate` installs it")]
    Valgrind(std::io::Error),
    /// Nowhere to write.
    #[error("no folder for what callgrind writes: {0}")]
    Folder(std::io::Error),
    /// The binary failed under it.
    #[error("{binary} failed under callgrind: {why}")]
    Failed {
        /// Which.
        binary: String,
        /// The last line it said.
        why: String,
    },
    /// It wrote fewer counts than there was work.
    #[error("callgrind counted {found} pieces of work of {binary}, not {wanted}: was it stripped?")]
    Few {
        /// Which.
        binary: String,
        /// How many there are.
        found: usize,
        /// How many there should be.
        wanted: usize,
    },
}

/// Whether valgrind is there.
#[must_use]
pub fn installed() -> bool {
    let quiet = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

/// Counts the instructions of each of these pieces of work.
///
/// # Errors
/// They cannot be counted.
pub fn count(binary: &Path, work: &[Ask]) -> Result<Vec<f64>, CountError> {
    let folder = tempfile::tempdir().map_err(CountError::Folder)?;
    let out = folder.path().join("counts");
    let asks: Vec<String> =
        work.iter().map(|ask| serde_json::to_string(ask).expect("words serialize")).collect();
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--compress-strings=no", "--compress-pos=no"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(format!("--zero-before={FUNCTION}"))
        .arg(format!("--dump-after={FUNCTION}"))
        .arg(binary)
        .arg("worker")
        .args(asks.iter().flat_map(|ask| ["--count", ask]))
        .stdin(Stdio::null())
        .output()
        .map_err(CountError::Valgrind)?;
    let name = || binary.display().to_string();
    if !ran.status.success() {
        let said = String::from_utf8_lossy(&ran.stderr);
        let why = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing said");
        return Err(CountError::Failed { binary: name(), why: why.to_owned() });
    }
    let counts: Vec<f64> = (1..=work.len())
        .map_while(|number| std::fs::read(format!("{}.{number}", out.display())).ok())
        // Names in it are whatever the linker made of them.
        .filter_map(|bytes| total(&String::from_utf8_lossy(&bytes)))
        .collect();
    if counts.len() != work.len() {
        return Err(CountError::Few { binary: name(), found: counts.len(), wanted: work.len() });
    }
    Ok(counts)
}

/// What a file of callgrind's says was counted.
fn total(text: &str) -> Option<f64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Judges these stages: the base, itself again, itself with 5 % more work, and the candidate. Each
/// does the same list in a process of its own: what an allocator does depends on what it did
/// before.
#[must_use]
pub fn judge(
    base: &Path,
    candidate: &Path,
    stages: &[String],
    inject: Option<Injection>,
    bounds: &Bounds,
) -> Findings {
    let units = 5 * UNITS_MIN;
    let counted = |binary: &Path, units: u32, inject: Option<Injection>| {
        let ask = |stage: &String| Ask::Time { stage: stage.clone(), units, inject };
        count(binary, &stages.iter().map(ask).collect::<Vec<_>>())
    };
    let counts = counted(base, units, None).and_then(|of_base| {
        let twin = counted(base, units, None)?;
        let canary = counted(base, units + units / 20, None)?;
        Ok([of_base, twin, canary, counted(candidate, units, inject)?])
    });
    let mut found = Findings::default();
    match counts {
        Ok([of_base, twin, canary, of_candidate]) => {
            for (place, stage) in stages.iter().enumerate() {
                let each = |counts: &[f64]| counts[place] / f64::from(units);
                let count = Count {
                    stage: stage.clone(),
                    base: each(&of_base),
                    twin: each(&twin),
                    canary: each(&canary),
                    candidate: each(&of_candidate),
                };
                found.add(counted::judge(&count, bounds));
            }
        }
        Err(error) => {
            let text = error.to_string();
            found.doubts.push(Doubt::in_tier(DoubtKind::Failed, Tier::Instructions, text));
        }
    }
    found
}
