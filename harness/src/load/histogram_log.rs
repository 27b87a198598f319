//! The HdrHistogram log format, which other tools plot and merge: one line for each second and
//! step.

use core::time::Duration;
use std::time::{SystemTime, UNIX_EPOCH};

use callrig_reports::load::samples::{Samples, histogram};
use callrig_reports::load::step::NEVER;
use callrig_reports::load::windows::WINDOW_NANOS;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2Serializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use std::collections::BTreeMap;

/// The whole file; values are nanoseconds, and billionths of what is a part of 1.
///
/// # Errors
/// The library refuses.
pub fn write(samples: &Samples, began: SystemTime) -> Result<Vec<u8>, String> {
    let mut windows: BTreeMap<(u64, usize), Histogram<u64>> = BTreeMap::new();
    for call in &samples.calls {
        let window = call.intended / WINDOW_NANOS;
        let mut record = |step: usize, nanos: u64| {
            windows.entry((window, step)).or_insert_with(histogram).saturating_record(nanos.max(1));
        };
        record(0, call.latency);
        // What never came has no length.
        for (step, nanos) in call.steps.iter().filter(|(_, nanos)| *nanos != NEVER) {
            record(usize::from(*step) + 1, *nanos);
        }
    }
    let mut out = Vec::new();
    let mut serializer = V2Serializer::new();
    let refuse = |error: &dyn core::fmt::Debug| format!("the histogram log: {error:?}");
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("callrig load: nanoseconds, of a part of 1 billionths; tags are steps and figures of a call")
        .with_start_time(began)
        .with_base_time(UNIX_EPOCH)
        .with_max_value_divisor(1e6)
        .begin_log_with(&mut out, &mut serializer)
        .map_err(|error| refuse(&error))?;
    for ((window, step), histogram) in &windows {
        let start = began + Duration::from_nanos(window * WINDOW_NANOS);
        let since = start.duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = step.checked_sub(1).and_then(|step| samples.steps.get(step));
        let tag = Tag::new(name.map_or("call", String::as_str));
        log.write_histogram(histogram, since, Duration::from_nanos(WINDOW_NANOS), tag)
            .map_err(|error| refuse(&error))?;
    }
    Ok(out)
}
