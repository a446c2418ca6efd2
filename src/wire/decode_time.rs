//! RFC 3339 to microseconds: the usual form by hand, all others by jiff.

use crate::domain::{Timestamp, TimestampError};

/// # Errors
/// Where `text` is no RFC 3339 time.
pub(super) fn parse(text: &str) -> Result<Timestamp, TimestampError> {
    usual_form(text.as_bytes()).map_or_else(|| text.parse(), Ok)
}

/// `2026-11-24T03:17:00Z` with 0 to 9 digits after the second. `None`: another form, or no time.
fn usual_form(text: &[u8]) -> Option<Timestamp> {
    const WITHOUT_FRACTION: usize = "2026-11-24T03:17:00".len();
    let (whole, rest) = text.split_at_checked(WITHOUT_FRACTION)?;
    let separators = whole[4] == b'-' && whole[7] == b'-' && whole[10] == b'T' && whole[13] == b':' && whole[16] == b':';
    if !separators {
        return None;
    }
    let (year, month, day) = (number(&whole[..4])?, number(&whole[5..7])?, number(&whole[8..10])?);
    let (hour, minute, second) = (number(&whole[11..13])?, number(&whole[14..16])?, number(&whole[17..])?);
    let micros = match rest.strip_suffix(b"Z")? {
        [] => 0,
        [b'.', digits @ ..] if (1..=9).contains(&digits.len()) => {
            let value = number(digits)?;
            let digits = u32::try_from(digits.len()).ok()?;
            if digits > 6 { value / 10_i64.pow(digits - 6) } else { value * 10_i64.pow(6 - digits) }
        }
        _ => return None,
    };
    let in_range = (1..=12).contains(&month) && day >= 1 && day <= days_in_month(year, month);
    // Second 60 exists, rarely: jiff knows what to do with it.
    if !in_range || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(Timestamp::from_micros(seconds * 1_000_000 + micros))
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Howard Hinnant, "chrono-compatible low-level date algorithms", `days_from_civil`, for years from 0.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_usual_form_means_what_jiff_says(
            year in 0_i64..=9999, month in 0..=13, day in 0..=32, hour in 0..=24, minute in 0..=60, second in 0..=60,
            fraction in "(\\.[0-9]{0,10})?",
        ) {
            let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z");
            if let Some(by_hand) = usual_form(text.as_bytes()) {
                prop_assert_eq!(Ok(by_hand), text.parse());
            }
        }
    }

    #[test]
    fn the_usual_form_is_read_by_hand_and_truncated() {
        let by_hand = usual_form(b"2026-11-24T03:17:00.2500019Z").unwrap();
        assert_eq!(by_hand.to_string(), "2026-11-24T03:17:00.250001Z");
        assert_eq!(usual_form(b"2026-02-29T03:17:00Z"), None);
        assert!(parse("2026-02-29T03:17:00Z").is_err());
        assert!(parse("2026-11-24T04:17:00+01:00").is_ok());
    }
}
