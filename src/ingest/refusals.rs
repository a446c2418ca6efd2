//! Who was turned away at the front door: counted by reason, and at most one log line a second for each, whoever knocks how often.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use metrics::{Counter, counter};
use tracing::warn;

use crate::metrics::FRONT_DOOR_REFUSED;
use crate::tls::Refused;

/// A stranger must not fill the log.
const LOG_PAUSE: Duration = Duration::from_secs(1);

/// As much of a name that somebody gave himself is logged.
const MAX_NAME: usize = 64;

pub(super) struct Refusals {
    /// In the order of `Refused::ALL`.
    reasons: Vec<Reason>,
}

struct Reason {
    counter: Counter,
    unlogged: Mutex<Unlogged>,
}

#[derive(Default)]
struct Unlogged {
    logged_at: Option<Instant>,
    times: u64,
}

impl Default for Refusals {
    /// Counts in the recorder that is installed now. All reasons are there from the start, so that a first one is a rise.
    fn default() -> Self {
        let reason = |kind: &Refused| Reason {
            counter: counter!(FRONT_DOOR_REFUSED, "reason" => kind.code()),
            unlogged: Mutex::default(),
        };
        Self { reasons: Refused::ALL.iter().map(reason).collect() }
    }
}

impl Refusals {
    /// `name`: what it called itself, which is nobody's word but its own.
    pub fn count(&self, kind: Refused, peer: SocketAddr, name: &str, detail: &str) {
        let reason = &self.reasons[kind as usize];
        reason.counter.increment(1);
        if let Some(times) = reason.due(Instant::now()) {
            let name: String = name.chars().take(MAX_NAME).collect();
            warn!(reason = kind.code(), %peer, name = ?name, detail, times, "turned away at the front door");
        }
    }
}

impl Reason {
    /// How often it has happened since it was last logged, where it is time to log it again.
    fn due(&self, now: Instant) -> Option<u64> {
        let mut unlogged = self.unlogged.lock().expect("nobody panics while holding it");
        unlogged.times += 1;
        if unlogged.logged_at.is_some_and(|logged_at| now.duration_since(logged_at) < LOG_PAUSE) {
            return None;
        }
        unlogged.logged_at = Some(now);
        Some(std::mem::take(&mut unlogged.times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_stand_where_their_code_is() {
        for (index, kind) in Refused::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, index);
        }
    }

    #[test]
    fn one_reason_is_logged_once_a_second_with_how_often_it_was() {
        let refusals = Refusals::default();
        let reason = &refusals.reasons[Refused::Stranger as usize];
        let start = Instant::now();
        let due = |millis| reason.due(start + Duration::from_millis(millis));
        assert_eq!((due(0), due(1), due(999), due(1_000), due(1_001)), (Some(1), None, None, Some(3), None));
    }
}
