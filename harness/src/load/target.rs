//! What a load calls: any URL, or a calling platform with people and a bot of ours.

mod calls;
mod http;

use core::time::Duration;
use std::time::Instant;

pub use calls::{Manner, Platform, PlatformError, Started, start_platform};
pub use http::Plain;

/// A call under way: its steps as they end.
pub struct Call {
    /// Its number.
    pub number: u64,
    /// When it was meant to begin.
    pub meant: Instant,
    /// How long each step took, in nanoseconds, by the number of the step.
    pub steps: Vec<(u8, u64)>,
    /// How long it was kept up on purpose: no latency.
    pub held: Duration,
}

impl Call {
    /// One that was meant to begin then.
    #[must_use]
    pub const fn new(number: u64, meant: Instant) -> Self {
        Self { number, meant, steps: Vec::new(), held: Duration::ZERO }
    }

    /// A step has ended that began then.
    pub fn step(&mut self, step: u8, from: Instant, to: Instant) {
        let nanos = to.saturating_duration_since(from).as_nanos();
        self.steps.push((step, u64::try_from(nanos).unwrap_or(u64::MAX)));
    }
}

/// What is called.
pub enum Target {
    /// A URL, by GET.
    Plain(Plain),
    /// Calls.
    Platform(Platform),
}

impl Target {
    /// The steps of one of its calls.
    #[must_use]
    pub fn steps(&self) -> Vec<String> {
        let steps: &[&str] = match self {
            Self::Plain(_) => &[],
            Self::Platform(_) => Platform::STEPS,
        };
        steps.iter().map(|step| (*step).to_owned()).collect()
    }

    /// One call, from begin to end.
    ///
    /// # Errors
    /// Why it failed, in words that are the same for the same reason.
    pub async fn call(&self, call: &mut Call) -> Result<(), String> {
        match self {
            Self::Plain(plain) => plain.call().await,
            Self::Platform(platform) => platform.call(call).await,
        }
    }
}
