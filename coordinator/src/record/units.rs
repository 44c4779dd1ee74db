//! Numbers as a person reads them: durations, shares, large counts, moments.

/// A duration in a few characters: `0.8 s`, `12.3 s`, `4m 05s`, `1h 02m`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round().clamp(0.0, 1e15) as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{}m {:02}s", whole / 60, whole % 60),
        3600..360_000 => format!("{}h {:02}m", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d", whole / 86_400),
    }
}

/// A share as a percentage with two digits.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// A count with separators: `1,234,567`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number in at most four significant digits, without an exponent where it can do without.
#[must_use]
pub fn number(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if !(1e-5..1e7).contains(&size) {
        return format!("{value:.2e}");
    }
    let digits = (3 - libm::floor(libm::log10(size)) as i32).clamp(0, 9) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A moment in UTC, `2026-11-30 12:07:31`, from seconds since 1970.
#[must_use]
pub fn moment(time: f64) -> String {
    let whole = time.clamp(0.0, 1e11) as i64;
    let (days, second) = (whole / 86_400, whole % 86_400);
    let [year, month, day] = date(days);
    let [hour, minute, second] = [second / 3600, second % 3600 / 60, second % 60];
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// Year, month and day of a number of days since 1970, by Hinnant's `civil_from_days`.
fn date(days: i64) -> [i64; 3] {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    [year + era * 400 + i64::from(month <= 2), month, day]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        let shown = [0.0, 0.84, 12.34, 245.0, 3720.0, 1e7, f64::MAX, -1.0].map(duration);
        let expected = ["0.0 s", "0.8 s", "12.3 s", "4m 05s", "1h 02m", "115 d", "11574074074 d", "-1.0 s"];
        assert_eq!(shown, expected);
    }

    #[test]
    fn counts_and_numbers_are_readable() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        let shown = [0.0, 0.002, 2.9627, 13609.4, 1e-7, -0.5, 1e12, 100.0].map(number);
        assert_eq!(shown, ["0", "0.002", "2.963", "13609", "1.00e-7", "-0.5", "1.00e12", "100"]);
        assert_eq!(percent(0.99184), "99.18 %");
    }

    #[test]
    fn moments_are_in_the_calendar() {
        assert_eq!(moment(0.0), "1970-01-01 00:00:00");
        assert_eq!(moment(951_782_399.9), "2000-02-28 23:59:59");
        assert_eq!(moment(951_782_400.0), "2000-02-29 00:00:00");
        assert_eq!(moment(1_796_040_451.5), "2026-11-30 12:07:31");
        assert_eq!(moment(f64::NAN).len(), 19);
    }
}
