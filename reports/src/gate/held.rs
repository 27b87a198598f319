//! Memory that stays: how much more a process holds after many units of work than before them. A
//! kernel tells it in pages, so a unit's share is known to within a page over all units.

use super::bounds::Bounds;
use super::{Check, Control, ControlKind, Doubt, DoubtKind, Finding, Findings, Tier};

/// Bytes kept per unit of work, and how exactly that is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// Which stage.
    pub stage: String,
    /// Of the base.
    pub base: f64,
    /// Of the base in another process.
    pub twin: f64,
    /// Of the base, which keeps [`canary_bytes`] of each unit on purpose.
    pub canary: f64,
    /// Of the candidate.
    pub candidate: f64,
    /// How few bytes per unit cannot be told from none, since memory is counted in pages.
    pub resolution: f64,
}

/// How much more of a stage's units may stay.
fn bound(stage: &str, resolution: f64, bounds: &Bounds) -> f64 {
    let metric = format!("held {stage}");
    bounds.absolute(&metric).unwrap_or(bounds.held).max(resolution)
}

/// What the canary of a stage has to keep of each unit to be found.
#[must_use]
pub fn canary_bytes(stage: &str, resolution: f64, bounds: &Bounds) -> usize {
    (4.0 * bound(stage, resolution, bounds)).min(1e6) as usize
}

/// Judges one stage.
#[must_use]
pub fn judge(held: &Held, bounds: &Bounds) -> Findings {
    let mut found = Findings::default();
    let metric = format!("held {}", held.stage);
    let bound = bound(&held.stage, held.resolution, bounds);
    let values = [held.base, held.twin, held.canary, held.candidate];
    if values.iter().any(|value| !value.is_finite()) {
        let text = format!("{}: the memory of a process cannot be read", held.stage);
        found.doubts.push(Doubt::in_tier(DoubtKind::NoSamples, Tier::Memory, text));
        return found;
    }
    let more = |value: f64| value - held.base;
    let control = |kind, ok, value| Control {
        tier: Tier::Memory,
        kind,
        of: held.stage.clone(),
        held: ok,
        seen: format!("{:+.1} B per unit", more(value)),
    };
    found.control(control(ControlKind::Twin, more(held.twin).abs() <= bound, held.twin));
    found.control(control(ControlKind::Canary, more(held.canary) > bound, held.canary));
    let finding = match more(held.candidate) {
        change if change > bound => Finding::Worse,
        change if change < -bound => Finding::Better,
        0.0 => Finding::Same,
        _ => Finding::Within,
    };
    found.count(Tier::Memory);
    found.checks.push(Check {
        tier: Tier::Memory,
        metric,
        stage: held.stage.clone(),
        base: format!("{:.1} B per unit", held.base),
        candidate: format!("{:.1} B per unit", held.candidate),
        finding,
        effect: None,
        bound: format!("at most {bound:.0} B per unit more"),
    });
    found
}
