//! When each message is due, and a timer that is finer than tokio's millisecond. Sends nothing.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use tokio::io::unix::AsyncFd;

/// Messages at even distances.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    pub per_second: f64,
}

impl Schedule {
    /// How long after the start message `number` is due.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a run sends far fewer than 2^53 messages")]
    pub fn due(self, number: u64) -> Duration {
        Duration::from_secs_f64(number as f64 / self.per_second)
    }
}

/// Wakes its task with the kernel's precision (about 50 µs): rounding up to the next millisecond would be charged to the service.
#[derive(Debug)]
pub struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    /// Needs a tokio runtime around the call.
    pub fn new() -> std::io::Result<Self> {
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        #[expect(deprecated, reason = "its successor is unsafe for types that may lose their descriptor; an OwnedFd keeps it")]
        let timer = AsyncFd::new(timer)?;
        Ok(Self(timer))
    }

    pub async fn sleep_until(&self, moment: Instant) -> std::io::Result<()> {
        let wait = moment.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            return Ok(());
        }
        let none = Timespec { tv_sec: 0, tv_nsec: 0 };
        let once = Itimerspec { it_interval: none, it_value: wait.try_into().expect("a run is shorter than 2^63 seconds") };
        rustix::time::timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        let mut guard = self.0.readable().await?;
        let mut expirations = [0; 8];
        rustix::io::read(self.0.get_ref(), &mut expirations)?;
        guard.clear_ready();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_does_not_drift() {
        let schedule = Schedule { per_second: 333.0 };
        assert_eq!(schedule.due(333 * 3_600), Duration::from_hours(1));
    }

    #[tokio::test]
    async fn the_timer_never_wakes_early() {
        let timer = Timer::new().unwrap();
        for wait in [Duration::ZERO, Duration::from_micros(300), Duration::from_millis(3)] {
            let moment = Instant::now() + wait;
            timer.sleep_until(moment).await.unwrap();
            assert!(Instant::now() >= moment);
        }
    }
}
