//! How numbers are written: one way for machines, one way for people, used by every rendering.
//!
//! A page that rounds differently from the JSON beside it is a page nobody believes; so
//! [`plain`] is the text of the JSON, and [`show`] is the only place where digits are cut.

use crate::metric::{Unit, Value};

/// The number as it stands in the JSON: the shortest text that parses to the same bits, without a
/// fraction where there is none.
#[must_use]
pub fn plain(number: f64) -> String {
    if is_whole(number) {
        (number as i64).to_string()
    } else {
        serde_json::Number::from_f64(number).map_or_else(|| "null".into(), |n| n.to_string())
    }
}

/// A value as it stands in the JSON, texts without their quotes.
#[must_use]
pub fn plain_value(value: &Value) -> String {
    match value {
        Value::Number(number) => plain(number.get()),
        Value::Text(text) => text.clone(),
        Value::Undefined => "null".into(),
    }
}

/// A value for people: four significant digits, the unit that fits, thousands apart by a narrow
/// space. Texts stay as they are (and as hostile as they were); `–` where there is no value.
#[must_use]
pub fn show(value: &Value, unit: Unit) -> String {
    match value {
        Value::Number(number) => show_number(number.get(), unit),
        Value::Text(text) => text.clone(),
        Value::Undefined => "–".into(),
    }
}

/// A number for people, with its unit.
#[must_use]
pub fn show_number(number: f64, unit: Unit) -> String {
    match unit {
        Unit::Seconds => show_duration(number),
        Unit::Milliseconds => show_duration(number / 1e3),
        Unit::Nanoseconds => show_duration(number / 1e9),
        Unit::BitsPerSecond => scaled(number, &["bit/s", "kbit/s", "Mbit/s", "Gbit/s"], 1e3),
        Unit::Bytes => scaled(number, &["B", "kB", "MB", "GB"], 1e3),
        Unit::PacketsPerSecond => format!("{} packets/s", digits(number)),
        Unit::FramesPerSecond => format!("{} frames/s", digits(number)),
        Unit::PartsPerMillion => format!("{} ppm", digits(number)),
        Unit::Decibels => format!("{} dB", digits(number)),
        Unit::DecibelsOverload => format!("{} dBov", digits(number)),
        Unit::OpinionScore => format!("{number:.2}"),
        Unit::Ratio => format!("{} %", digits(number * 100.0)),
        Unit::Times => format!("{} ×", digits(number)),
        Unit::Pixels => format!("{} px", digits(number)),
        Unit::Packets | Unit::Frames | Unit::Samples | Unit::Events | Unit::One | Unit::Text => {
            digits(number)
        }
    }
}

/// How many seconds, in the unit that reads best between nanoseconds and minutes.
fn show_duration(seconds: f64) -> String {
    let size = seconds.abs();
    let (factor, unit) = match size {
        0.0 => return "0 ms".into(),
        _ if size < 1e-6 => (1e9, "ns"),
        _ if size < 1e-3 => (1e6, "µs"),
        _ if size < 1.0 => (1e3, "ms"),
        _ => (1.0, "s"),
    };
    format!("{} {unit}", digits(seconds * factor))
}

fn scaled(number: f64, units: &[&str], step: f64) -> String {
    let mut rest = number;
    let mut unit = 0;
    while rest.abs() >= step && unit + 1 < units.len() {
        rest /= step;
        unit += 1;
    }
    format!("{} {}", digits(rest), units[unit])
}

/// Four significant digits, no trailing zeros; whole numbers in full.
#[must_use]
pub fn digits(number: f64) -> String {
    if !number.is_finite() {
        return "–".into();
    }
    if is_whole(number) {
        return grouped(&plain(number));
    }
    let size = number.abs();
    if !(1e-4..1e15).contains(&size) {
        return format!("{number:.3e}");
    }
    let decimals = (3.0 - size.log10().floor()).clamp(0.0, 8.0) as usize;
    let text = format!("{number:.decimals$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    };
    if text == "-0" { "0".into() } else { grouped(&text) }
}

/// Puts U+202F (narrow no-break space) between thousands, from five digits on.
fn grouped(text: &str) -> String {
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("−", rest));
    let (whole, fraction) = rest.split_once('.').map_or((rest, None), |(a, b)| (a, Some(b)));
    let mut out = String::from(sign);
    for (place, digit) in whole.chars().enumerate() {
        if whole.len() > 4 && place > 0 && (whole.len() - place).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

fn is_whole(number: f64) -> bool {
    number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0
}

/// For `#[serde(with)]`: a number without a fraction is written without one.
pub(crate) mod json {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        if super::is_whole(*number) {
            serializer.serialize_i64(*number as i64)
        } else {
            serializer.serialize_f64(*number)
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(source: D) -> Result<f64, D::Error> {
        let number = f64::deserialize(source)?;
        if number.is_finite() {
            Ok(number)
        } else {
            Err(serde::de::Error::custom("a number that is not finite"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people_have_four_digits_and_the_unit_that_fits() {
        assert_eq!(show_number(0.003_216_4, Unit::Seconds), "3.216 ms");
        assert_eq!(show_number(0.0, Unit::Seconds), "0 ms");
        assert_eq!(show_number(12.0, Unit::Seconds), "12 s");
        assert_eq!(show_number(640.0, Unit::Nanoseconds), "640 ns");
        assert_eq!(show_number(32_000.0, Unit::BitsPerSecond), "32 kbit/s");
        assert_eq!(show_number(0.05, Unit::Ratio), "5 %");
        assert_eq!(show_number(4.4, Unit::OpinionScore), "4.40");
        assert_eq!(show_number(-199.97, Unit::PartsPerMillion), "−200 ppm");
        assert_eq!(show_number(281_234.0, Unit::Packets), "281\u{202f}234");
        assert_eq!(show_number(1500.0, Unit::Packets), "1500");
    }

    #[test]
    fn the_machines_text_parses_to_the_same_bits() {
        for number in [0.1, 1.0 / 3.0, 1e300, 5e-324, 123_456_789.125, -7.0] {
            let again: f64 = plain(number).parse().expect("our own text parses");
            assert_eq!(again.to_bits(), number.to_bits());
        }
    }
}
