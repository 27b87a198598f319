//! Instructions: counted, not timed. The same build gives the same count but for a few that depend
//! on addresses, so a bound of a fifth of a per cent is enough, and no replica is needed.

use super::bounds::Bounds;
use super::{Check, Control, ControlKind, Doubt, DoubtKind, Effect, Finding, Findings, Tier};

/// What callgrind counted of one stage: instructions per unit of work.
#[derive(Debug, Clone, PartialEq)]
pub struct Count {
    /// Which stage.
    pub stage: String,
    /// Of the base.
    pub base: f64,
    /// Of the base once more.
    pub twin: f64,
    /// Of the base with 5 % more work.
    pub canary: f64,
    /// Of the candidate.
    pub candidate: f64,
}

/// Judges the counts of one stage.
#[must_use]
pub fn judge(count: &Count, bounds: &Bounds) -> Findings {
    let mut found = Findings::default();
    let values = [count.base, count.twin, count.canary, count.candidate];
    if values.iter().any(|value| !value.is_finite() || *value <= 0.0) {
        let text = format!("{}: callgrind counted nothing: {values:?}", count.stage);
        found.doubts.push(Doubt::in_tier(DoubtKind::NoSamples, Tier::Instructions, text));
        return found;
    }
    let metric = format!("instructions {}", count.stage);
    let bound = bounds.relative(&metric).unwrap_or(bounds.instructions);
    let change = |value: f64| value / count.base - 1.0;
    let control = |kind, held, value| Control {
        tier: Tier::Instructions,
        kind,
        of: count.stage.clone(),
        held,
        seen: format!("{:+.3} %", 100.0 * change(value)),
    };
    found.control(control(ControlKind::Twin, change(count.twin).abs() <= bound, count.twin));
    found.control(control(ControlKind::Canary, change(count.canary) > bound, count.canary));
    let effect = change(count.candidate);
    let finding = match effect {
        _ if effect > bound => Finding::Worse,
        _ if effect < -bound => Finding::Better,
        0.0 => Finding::Same,
        _ => Finding::Within,
    };
    found.count(Tier::Instructions);
    found.checks.push(Check {
        tier: Tier::Instructions,
        metric,
        stage: count.stage.clone(),
        base: format!("{:.0} instructions", count.base),
        candidate: format!("{:.0} instructions", count.candidate),
        finding,
        effect: Some(Effect::known(effect, bound)),
        bound: format!("at most {:.2} % more", 100.0 * bound),
    });
    found
}
