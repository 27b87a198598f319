//! Moments as the API writes them (RFC 3339), from the wall clock that the owner handed
//! over. NTP time of its first era: 1900 to 2036; the fraction is kept to milliseconds.

use callrig_media::time::NtpTime;

/// Seconds from 1900 to 1970.
const UNIX_IN_NTP: i64 = 2_208_988_800;

/// `2026-11-23T18:12:00.000Z`
#[must_use]
pub(crate) fn rfc3339(time: NtpTime) -> String {
    let (year, month, day, rest) = civil(time);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    let millis = (u128::from(time.to_bits() as u32) * 1000) >> 32;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// The same from seconds since 1970.
#[must_use]
pub(crate) fn rfc3339_of_unix(seconds: i64) -> String {
    rfc3339(NtpTime::from_bits(((seconds + UNIX_IN_NTP).cast_unsigned()) << 32))
}

/// Seconds since 1970.
#[must_use]
pub(crate) fn unix_seconds(time: NtpTime) -> i64 {
    i64::try_from(time.to_bits() >> 32).unwrap_or(0) - UNIX_IN_NTP
}

/// Seconds since 1970 of a moment as the API writes it, with its zone or without (then
/// UTC is meant); `None` if it is none.
#[must_use]
pub(crate) fn parse_rfc3339(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let punctuated = text.len() >= 19
        && [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')]
            .iter()
            .all(|(at, byte)| text.as_bytes()[*at] == *byte)
        && matches!(text.as_bytes()[10], b'T' | b't' | b' ');
    if !punctuated {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let within = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61;
    let zone = text.get(19..)?.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let offset = match zone.as_bytes() {
        [] | [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), rest @ ..] => {
            let rest = core::str::from_utf8(rest).ok()?;
            let (hours, minutes) = rest.split_once(':')?;
            let offset = hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60;
            if *sign == b'+' { offset } else { -offset }
        }
        _ => return None,
    };
    let (shifted_year, shifted_month) =
        if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    let days = era * 146_097 + of_era - 719_468;
    within.then_some(days * 86_400 + hour * 3600 + minute * 60 + second - offset)
}

/// Year, month, day, and seconds of the day.
fn civil(time: NtpTime) -> (i64, i64, i64, i64) {
    let seconds = unix_seconds(time);
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days are counted in eras of 400 years that begin on 1 March, so that the leap day
    // is the last of its year.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_reads_as_calendars_do() {
        let ntp = |unix: i64| NtpTime::from_bits(((unix + UNIX_IN_NTP) as u64) << 32);
        assert_eq!(rfc3339(ntp(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(ntp(951_782_400)), "2000-02-29T00:00:00.000Z");
        assert_eq!(rfc3339(ntp(1_795_457_520)), "2026-11-23T18:12:00.000Z");
        for seconds in [0, 951_782_400, 1_795_457_520, 1_709_164_800] {
            assert_eq!(parse_rfc3339(&rfc3339(ntp(seconds))), Some(seconds));
        }
        assert_eq!(parse_rfc3339("1970-01-01T02:00:00.5+02:00"), Some(0));
        for nonsense in ["", "tomorrow", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00+x", "ä"] {
            assert_eq!(parse_rfc3339(nonsense), None, "{nonsense}");
        }
        let half = NtpTime::from_bits((UNIX_IN_NTP as u64) << 32 | 0x8000_0000);
        assert_eq!(rfc3339(half), "1970-01-01T00:00:00.500Z");
    }
}
