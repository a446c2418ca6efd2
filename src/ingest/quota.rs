//! How many messages one vehicle may send, over all ways in together. Beyond it nothing is taken and nothing is lost: the sender is told,
//! keeps what it has, and sends it again.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota as Rate, RateLimiter};

use crate::domain::VehicleId;

/// A minute's worth may come at once, as from a vehicle that was out of coverage; then as many a minute.
pub(super) struct Quota {
    limiter: DefaultKeyedRateLimiter<VehicleId>,
    clock: DefaultClock,
}

impl Quota {
    /// `None`: as many as it likes.
    pub fn new(messages_per_minute: u32) -> Option<Self> {
        let messages = NonZeroU32::new(messages_per_minute)?;
        Some(Self { limiter: RateLimiter::keyed(Rate::per_minute(messages)), clock: DefaultClock::default() })
    }

    /// Counts a message.
    ///
    /// # Errors
    /// Where it is one too many: how long until there is room for the next.
    pub fn take(&self, vehicle_id: &VehicleId) -> Result<(), Duration> {
        self.limiter.check_key(vehicle_id).map_err(|until| until.wait_time_from(self.clock.now()))
    }

    /// Forgets vehicles that have their whole quota again, so that what is remembered is bounded by what came lately.
    pub fn sweep(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_s_worth_comes_at_once_then_no_more_and_another_vehicle_is_untouched() {
        let quota = Quota::new(60).unwrap();
        let [flooding, calm] = ["flooding", "calm"].map(|id| VehicleId::new(id).unwrap());
        for _ in 0..60 {
            quota.take(&flooding).unwrap();
        }
        let wait = quota.take(&flooding).unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
        quota.take(&calm).unwrap();
        assert!(Quota::new(0).is_none());
    }

    #[test]
    fn vehicles_that_have_their_whole_quota_again_are_forgotten() {
        // A message is worth a microsecond.
        let quota = Quota::new(60_000_000).unwrap();
        for number in 0..1_000 {
            quota.take(&VehicleId::new(&format!("v-{number}")).unwrap()).unwrap();
        }
        let since = std::time::Instant::now();
        while !quota.limiter.is_empty() {
            quota.sweep();
            assert!(since.elapsed() < Duration::from_secs(10), "{} are remembered", quota.limiter.len());
        }
    }
}
