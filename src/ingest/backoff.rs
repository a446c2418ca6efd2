//! How long to wait before the next attempt: twice as long each time, and never the same for two processes.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Backoff {
    failures: u32,
    longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::up_to(LONGEST)
    }
}

impl Backoff {
    #[must_use]
    pub const fn up_to(longest: Duration) -> Self {
        Self { failures: 0, longest }
    }

    /// To be called on success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Between half of the pause and all of it, so that a fleet of clients does not come back at one moment.
    pub fn longer(&mut self) -> Duration {
        let pause = FIRST.saturating_mul(1 << self.failures.min(16)).min(self.longest);
        self.failures += 1;
        pause.mul_f64(rand::random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_begin_anew_after_success() {
        let mut backoff = Backoff::default();
        assert!((FIRST / 2..=FIRST).contains(&backoff.longer()));
        let pauses: Vec<_> = (0..40).map(|_| backoff.longer()).collect();
        assert!(pauses.iter().all(|pause| *pause <= LONGEST));
        assert!(pauses[30..].iter().all(|pause| *pause >= LONGEST / 2));
        backoff.reset();
        assert!(backoff.longer() <= FIRST);
    }
}
