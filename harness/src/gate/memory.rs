//! Memory that stays, stage by stage: `callrig_reports::gate::held` judges it.

use core::time::Duration;
use std::path::Path;

use callrig_reports::gate::bounds::Bounds;
use callrig_reports::gate::held::{self, Held};
use callrig_reports::gate::{Doubt, DoubtKind, Findings, Tier};
use rustix::thread;

use super::arm::{Arm, ArmError};
use super::worker::Injection;

/// How long the units of one look may take.
const TIME: Duration = Duration::from_millis(60);
const UNITS_MAX: f64 = 20_000.0;
const UNITS_MIN: f64 = 50.0;
/// What an allocator may take at once without a leak: it is counted as noise.
const NOISE_BYTES: f64 = 128.0 * 1024.0;

/// Looks at these stages.
#[must_use]
pub fn judge(
    base: &Path,
    candidate: &Path,
    stages: &[String],
    inject: Option<Injection>,
    bounds: &Bounds,
) -> Findings {
    let mut found = Findings::default();
    let _small = SmallPages::for_children();
    for stage in stages {
        match look(base, candidate, stage, inject, bounds) {
            Ok(held) => found.add(held::judge(&held, bounds)),
            Err(error) => {
                let text = format!("{stage}: {error}");
                found.doubts.push(Doubt::in_tier(DoubtKind::Failed, Tier::Memory, text));
            }
        }
    }
    found
}

/// As long as it lives, processes that are started have pages of the usual size: the allocator
/// asks for huge ones, in which a leak of less than two megabytes is not seen.
struct SmallPages {
    were_disabled: bool,
}

impl SmallPages {
    fn for_children() -> Self {
        let were_disabled = thread::transparent_huge_pages_are_disabled().unwrap_or(true);
        // Where it cannot be done the canary tells.
        let _ = thread::disable_transparent_huge_pages(true);
        Self { were_disabled }
    }
}

impl Drop for SmallPages {
    fn drop(&mut self) {
        let _ = thread::disable_transparent_huge_pages(self.were_disabled);
    }
}

fn look(
    base: &Path,
    candidate: &Path,
    stage: &str,
    inject: Option<Injection>,
    bounds: &Bounds,
) -> Result<Held, ArmError> {
    let mut arm = Arm::start(base)?;
    arm.time(stage, 20, None)?;
    let each = arm.time(stage, 20, None)?.max(1) as f64 / 20.0;
    let units = (TIME.as_nanos() as f64 / each).clamp(UNITS_MIN, UNITS_MAX);
    let resolution = NOISE_BYTES / units;
    let keep = held::canary_bytes(stage, resolution, bounds);
    let count = units as u32;
    // Of two processes the lesser: both leak, or one of them took something for later.
    let per_unit = |binary, keep, inject| {
        let look = || Arm::start(binary)?.held(stage, count, keep, inject);
        Ok::<_, ArmError>(look()?.min(look()?) / f64::from(count))
    };
    Ok(Held {
        stage: stage.to_owned(),
        base: per_unit(base, 0, None)?,
        twin: per_unit(base, 0, None)?,
        canary: per_unit(base, keep, None)?,
        candidate: per_unit(candidate, 0, inject)?,
        resolution,
    })
}
