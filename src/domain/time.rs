//! Moments as UTC microseconds. Reads no clock: whoever needs "now" is told it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// UTC microseconds since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an RFC 3339 time such as 2026-11-24T03:17:00.250Z")]
pub struct TimestampError {
    pub text: String,
}

impl Timestamp {
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// How much later `self` is than `earlier`; zero if it is not later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Seconds from `earlier` to `self`, negative if `self` is earlier.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "differences of times are far below 2^53 microseconds (285 years)")]
    pub fn seconds_since(self, earlier: Self) -> f64 {
        self.0.saturating_sub(earlier.0) as f64 / 1e6
    }

    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    /// RFC 3339; finer than microseconds is truncated.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed: jiff::Timestamp = text.parse().map_err(|_| TimestampError { text: text.chars().take(64).collect() })?;
        // Floor, so that truncation goes the same way before 1970 as after.
        let micros = parsed.as_nanosecond().div_euclid(1_000);
        Ok(Self(i64::try_from(micros).map_err(|_| TimestampError { text: text.chars().take(64).collect() })?))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(timestamp) => write!(formatter, "{timestamp}"),
            Err(_) => write!(formatter, "{} µs since 1970", self.0),
        }
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: String = serde::Deserialize::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339_is_read_and_written_to_the_microsecond() {
        let timestamp: Timestamp = "2026-11-24T03:17:00.250001999+01:00".parse().unwrap();
        assert_eq!(timestamp.to_string(), "2026-11-24T02:17:00.250001Z");
    }

    #[test]
    fn a_local_time_without_offset_is_refused() {
        assert!("2026-11-24T03:17:00".parse::<Timestamp>().is_err());
    }
}
