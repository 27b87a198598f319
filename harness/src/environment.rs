//! Where and with what a report was made: the build from `build.rs`, the machine from the
//! system. What cannot be found out stays unsaid.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZero;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use callrig_reports::Environment;

/// Of this process.
#[must_use]
pub fn current() -> Environment {
    let text = |value: Option<&'static str>| value.map(str::to_owned);
    let cores = std::thread::available_parallelism().map(NonZero::get).ok();
    Environment {
        commit: text(option_env!("CALLRIG_COMMIT")),
        dirty: option_env!("CALLRIG_DIRTY").map(|dirty| dirty == "true"),
        rustc: text(option_env!("CALLRIG_RUSTC")),
        profile: text(option_env!("CALLRIG_PROFILE")),
        os: Some(os()),
        cpu_model: cpu_model(),
        cores: cores.and_then(|cores| u32::try_from(cores).ok()),
        codec_versions: codecs(),
    }
}

/// What sound and pictures go through that is not ours. The package that builds a library
/// in from source stands behind it: OpenH264 can only be asked by unsafe code.
fn codecs() -> BTreeMap<String, String> {
    let opus = option_env!("CALLRIG_OPUS")
        .map(|package| format!("{} (opusic-sys {package})", callrig_media::codec::opus::version()));
    let openh264 =
        option_env!("CALLRIG_OPENH264").map(|package| format!("openh264-sys2 {package}"));
    let rubato = option_env!("CALLRIG_RUBATO").map(ToOwned::to_owned);
    [("libopus", opus), ("OpenH264", openh264), ("rubato", rubato)]
        .into_iter()
        .filter_map(|(name, version)| Some((name.to_owned(), version?)))
        .collect()
}

/// The wall clock, as RFC 3339 writes it, to the second.
#[must_use]
pub fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    rfc3339(since.as_secs())
}

/// Seconds since 1970 as RFC 3339 writes them.
fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    let leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    let mut year = 1970;
    let mut left = days;
    loop {
        let length = 365 + u64::from(leap(year));
        if left < length {
            break;
        }
        left -= length;
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in months {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    let day = left + 1;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn os() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let (name, architecture) = (std::env::consts::OS, std::env::consts::ARCH);
    [name, release.trim(), architecture]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// What this process has used of the processors so far, to a hundredth of a second.
#[must_use]
pub fn cpu_time() -> Option<Duration> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the process may hold anything but ends with the last bracket.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place)?.parse::<u64>().ok();
    // Hundredths of a second, on every Linux.
    Some(Duration::from_millis(10 * (ticks(11)? + ticks(12)?)))
}

fn cpu_model() -> Option<String> {
    let info = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codecs_of_this_build_are_known() {
        let codecs = codecs();
        assert_eq!(codecs.len(), 3, "{codecs:?}");
        assert!(codecs["libopus"].starts_with("libopus 1."), "{codecs:?}");
    }

    #[test]
    fn moments_are_written_as_rfc_3339() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_795_478_399), "2026-11-23T23:59:59Z");
    }
}
