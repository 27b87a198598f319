//! What is measured of a call: steps, which take time and which a late generator makes longer, and
//! figures of its media, which the phones measure by their own clock.

use crate::metric::Unit;

/// What stands for the duration of a step that was waited for in vain.
pub const NEVER: u64 = u64::MAX;

/// A step or a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// As objectives and reports call it.
    pub name: &'static str,
    /// Seconds, or a part of 1: what is recorded is the billionth of either.
    pub unit: Unit,
    /// Whether it is measured where media goes, and not from the intended time.
    pub is_figure: bool,
    /// In words.
    pub meaning: &'static str,
}

const fn step(name: &'static str, meaning: &'static str) -> Step {
    Step { name, unit: Unit::Seconds, is_figure: false, meaning }
}

const fn figure(name: &'static str, unit: Unit, meaning: &'static str) -> Step {
    Step { name, unit, is_figure: true, meaning }
}

/// All there are, in the order in which they happen.
pub const STEPS: &[Step] = &[
    step("ring", "from the intended time until the platform says that the call rings"),
    step("notified", "from the intended time until the bot has been told"),
    step("answer", "until the bot's answer is taken; of a bot of others, until it answers"),
    step("setup", "from the intended time until the call stands"),
    step("hangup", "until the hanging up is taken"),
    step("ended", "from the hanging up until the call is over"),
    figure("media", Unit::Seconds, "from the call's standing to the first packet from the bot"),
    figure("mouth_to_ear", Unit::Seconds, "from what is said to its being heard back (an echo)"),
    figure("first_frame", Unit::Seconds, "from the call's standing to the first key frame"),
    figure("key_frame", Unit::Seconds, "from asking for a key frame in mid-call to its coming"),
    figure("freeze", Unit::Seconds, "how long pictures stood still"),
    figure("jitter", Unit::Seconds, "interarrival jitter at the phone (RFC 3550)"),
    figure("loss", Unit::Ratio, "packets from the bot that did not come"),
    figure("discarded", Unit::Ratio, "packets of sound that came too late to be played"),
    figure("uplink_jitter", Unit::Seconds, "interarrival jitter at the platform"),
    figure("uplink_loss", Unit::Ratio, "packets from the phone that did not come"),
];

/// The one of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Step> {
    STEPS.iter().find(|step| step.name == name)
}

/// Whether this is a figure: phones measure it by themselves, however late their calls began. Whole
/// calls, and what is unknown, are none.
#[must_use]
pub fn is_figure(name: Option<&str>) -> bool {
    name.and_then(find).is_some_and(|step| step.is_figure)
}

/// The unit of this name; seconds of what is unknown.
#[must_use]
pub fn unit(name: &str) -> Unit {
    find(name).map_or(Unit::Seconds, |step| step.unit)
}
