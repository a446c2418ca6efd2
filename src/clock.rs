//! The one place that reads the wall clock. Everything below the rim is told the time.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::Timestamp;

#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is its one place")]
pub fn now() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX))
}
