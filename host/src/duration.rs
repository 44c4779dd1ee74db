//! Durations as a person writes them: `90`, `2.5s`, `500ms`, `55m`, `1h30m`.
//!
//! A number without a unit is in seconds. Several numbers with units are added.

use std::time::Duration;

/// Units and their length in seconds. Those that begin like another one come first.
const UNITS: [(&str, f64); 10] = [
    ("ms", 1e-3),
    ("min", 60.0),
    ("sec", 1.0),
    ("hours", 3600.0),
    ("hour", 3600.0),
    ("days", 86_400.0),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
    ("d", 86_400.0),
];

/// Parses a duration.
///
/// # Errors
/// A message for the person who wrote it.
pub fn parse(text: &str) -> Result<Duration, String> {
    let seconds = match text.trim().parse::<f64>() {
        Ok(seconds) => Some(seconds),
        Err(_) => with_units(text.trim()),
    };
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| {
        "a duration is a number of seconds, or numbers with units, such as 90, 2.5s, 500ms, 55m or 1h30m"
            .to_owned()
    })
}

/// Parses a duration of at least `min` and at most `max`.
///
/// # Errors
/// A message for the person who wrote it.
pub fn parse_within(text: &str, min: Duration, max: Duration) -> Result<Duration, String> {
    let duration = parse(text)?;
    if (min..=max).contains(&duration) {
        return Ok(duration);
    }
    Err(format!("it is {} to {} seconds here", min.as_secs_f64(), max.as_secs_f64()))
}

/// The sum in seconds; `None` if the text is something else.
fn with_units(text: &str) -> Option<f64> {
    let mut seconds = 0.0;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let (unit, length) = UNITS.iter().find(|(unit, _)| after.starts_with(unit))?;
        seconds += number.parse::<f64>().ok()? * length;
        rest = after[unit.len()..].trim_start();
    }
    Some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units_or_are_seconds() {
        for (text, ms) in [
            ("90", 90_000),
            ("2.5", 2500),
            ("2s", 2000),
            ("500ms", 500),
            ("55m", 3_300_000),
            ("55min", 3_300_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("1d", 86_400_000),
            (" 7 ", 7000),
            ("0", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for bad in ["", "m", "5x", "-1", "-1s", "NaN", "inf", "1e300", "1h30", "1..2s", "5 parsecs", "٣s"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let within = |text| parse_within(text, Duration::from_millis(500), Duration::from_secs(3600));
        assert_eq!(within("1h"), Ok(Duration::from_secs(3600)));
        assert!(within("61m").unwrap_err().contains("0.5 to 3600 seconds"));
    }
}
