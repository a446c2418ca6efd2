//! Counters of the ways in, and one log line a minute for each reason of a refusal.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use metrics::{Counter, counter};
use tracing::warn;

use crate::domain::{Reading, Reason, Rejection, Source, Timestamp};
use crate::metrics::{MESSAGES_QUARANTINED, READINGS_ACCEPTED, READINGS_DUPLICATE, SIGNALS_REJECTED};

/// A fleet with one wrong setting must not fill the log.
const LOG_PAUSE: Duration = Duration::from_mins(1);

pub(super) struct Counts {
    /// By source, in the order of `Source::ALL`.
    accepted: Vec<Counter>,
    duplicates: Vec<Counter>,
    /// In the order of `Rejection::ALL`.
    rejected: Vec<Counter>,
    /// In the order of `Reason::ALL`.
    reasons: Vec<ReasonCount>,
}

struct ReasonCount {
    counter: Counter,
    /// Microseconds; 0: never.
    logged_at: AtomicI64,
    since_logged: AtomicU64,
}

impl Default for Counts {
    fn default() -> Self {
        let by_source = |name: &'static str| Source::ALL.iter().map(|source| counter!(name, "source" => source.code())).collect();
        let reason = |reason: &Reason| ReasonCount {
            counter: counter!(MESSAGES_QUARANTINED, "reason" => reason.code()),
            logged_at: AtomicI64::new(0),
            since_logged: AtomicU64::new(0),
        };
        let rejection = |rejection: &Rejection| counter!(SIGNALS_REJECTED, "reason" => rejection.code());
        Self {
            accepted: by_source(READINGS_ACCEPTED),
            duplicates: by_source(READINGS_DUPLICATE),
            rejected: Rejection::ALL.iter().map(rejection).collect(),
            reasons: Reason::ALL.iter().map(reason).collect(),
        }
    }
}

impl Counts {
    pub fn readings(&self, source: Source, accepted: u32, duplicates: u32) {
        self.accepted[source as usize].increment(u64::from(accepted));
        self.duplicates[source as usize].increment(u64::from(duplicates));
    }

    pub fn rejected(&self, readings: &[Reading]) {
        for rejected in readings.iter().flat_map(|reading| &reading.rejected) {
            self.rejected[rejected.rejection as usize].increment(1);
        }
    }

    pub fn quarantined(&self, reason: Reason, vehicle_id: &str, detail: &str, now: Timestamp) {
        let count = &self.reasons[reason as usize];
        count.counter.increment(1);
        let since_logged = count.since_logged.fetch_add(1, Ordering::Relaxed) + 1;
        let logged_at = count.logged_at.load(Ordering::Relaxed);
        let is_due = logged_at == 0 || now.since(Timestamp::from_micros(logged_at)) >= LOG_PAUSE;
        let is_ours =
            || count.logged_at.compare_exchange(logged_at, now.as_micros(), Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if is_due && is_ours() {
            count.since_logged.fetch_sub(since_logged, Ordering::Relaxed);
            warn!(reason = reason.code(), vehicle_id, detail, messages = since_logged, "quarantined");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_stand_where_their_code_is() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
        }
        for (index, source) in Source::ALL.iter().enumerate() {
            assert_eq!(*source as usize, index);
        }
        for (index, rejection) in Rejection::ALL.iter().enumerate() {
            assert_eq!(*rejection as usize, index);
        }
    }

    #[test]
    fn one_reason_is_logged_once_a_minute() {
        let counts = Counts::default();
        let at = |seconds: i64| Timestamp::from_micros((1_000 + seconds) * 1_000_000);
        let waiting = || counts.reasons[Reason::TooOld as usize].since_logged.load(Ordering::Relaxed);
        counts.quarantined(Reason::TooOld, "a", "", at(0));
        assert_eq!(waiting(), 0);
        counts.quarantined(Reason::TooOld, "a", "", at(59));
        assert_eq!(waiting(), 1);
        counts.quarantined(Reason::TooOld, "a", "", at(60));
        assert_eq!(waiting(), 0);
    }
}
