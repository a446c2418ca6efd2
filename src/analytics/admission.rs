//! Whether a reading has what a model asks for: the same question for live scores and for the rows that a model is trained on. Says
//! nothing about vehicles: [`Selector`](super::contract::Selector).

use std::time::Duration;

use super::contract::Requires;
use super::features::PREVIOUS_MAX_AGE;
use super::window::Window;
use crate::domain::{NotScored, Timing};

/// A reading in its window, and values of its row that are missing.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    pub window: &'a Window,
    pub step: usize,
    pub missing: usize,
}

/// `reach`: what the features need of a window.
///
/// # Errors
/// The reason not to score.
pub fn admit(requires: &Requires, reach: Duration, candidate: Candidate<'_>) -> Result<(), NotScored> {
    let Candidate { window, step, missing } = candidate;
    let from = window.first_after(window.recorded_at(step).minus(reach.max(PREVIOUS_MAX_AGE)));
    let longest_gap = if requires.max_gap.is_some() { longest_gap(window, from, step) } else { None };
    requires.check(step + 1 - from, missing, longest_gap)
}

/// A late reading whose past the window no longer holds is not scored.
///
/// # Errors
/// The reason not to score.
pub fn reach_back(timing: Timing, reach: Duration, window: &Window, step: usize) -> Result<(), NotScored> {
    let is_beyond = timing == Timing::Late && !window.reaches_back_to(window.recorded_at(step).minus(reach));
    if is_beyond { Err(NotScored::BeforeWindow) } else { Ok(()) }
}

/// Longest time between two neighbours of the steps `from` to `step`; `None` where there is only one.
fn longest_gap(window: &Window, from: usize, step: usize) -> Option<Duration> {
    let mut times = window.micros_between(from, step + 1);
    let mut before = times.next()?;
    let gaps = times.map(|micros| {
        let gap = micros - before;
        before = micros;
        gap
    });
    gaps.max().map(|micros| Duration::from_micros(micros.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analytics::fixtures::reading_at;
    use crate::analytics::window::WindowLimits;
    use crate::domain::signal;

    #[test]
    fn the_longest_gap_is_between_neighbours() {
        let mut window = Window::default();
        for seconds in [0, 30, 120, 150] {
            window.insert(&reading_at(seconds, &[(signal::SPEED, 1.0)]), &WindowLimits::new(Duration::ZERO, 1 << 16));
        }
        assert_eq!(longest_gap(&window, 0, 3), Some(Duration::from_secs(90)));
        assert_eq!(longest_gap(&window, 2, 3), Some(Duration::from_secs(30)));
        assert_eq!(longest_gap(&window, 3, 3), None);
    }
}
