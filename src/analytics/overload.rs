//! What a lane leaves out while more comes than it can judge. Never a reading.

use std::time::{Duration, Instant};

/// In the order in which it is left out; each leaves out what stands before it too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Shed {
    #[default]
    Nothing,
    /// Why a model raised.
    Explanations,
    /// All models of a vehicle but the first that is for it.
    SecondModels,
}

/// An inbox that is so full counts as full, and below the other as calm.
const FULL: f64 = 0.9;
const CALM: f64 = 0.5;

/// Watches one lane's inbox.
#[derive(Debug)]
pub struct Overload {
    /// Full for so long: the next thing is left out. Calm for so long: it is taken up again. Zero: never.
    after: Duration,
    shed: Shed,
    /// Since when it has been so, without the other coming between.
    full_since: Option<Instant>,
    calm_since: Option<Instant>,
}

impl Overload {
    #[must_use]
    pub const fn new(after: Duration) -> Self {
        Self { after, shed: Shed::Nothing, full_since: None, calm_since: None }
    }

    /// `fill`: the share of the inbox that was waiting. Returns what to leave out from now on, where that changed.
    pub fn observe(&mut self, fill: f64, now: Instant) -> Option<Shed> {
        if self.after.is_zero() {
            return None;
        }
        let lasts = |is_so: bool, since: &mut Option<Instant>| {
            *since = is_so.then_some(since.unwrap_or(now));
            let is_over = since.is_some_and(|since| now.duration_since(since) >= self.after);
            if is_over {
                *since = Some(now);
            }
            is_over
        };
        let is_full = lasts(fill >= FULL, &mut self.full_since);
        let is_calm = lasts(fill < CALM, &mut self.calm_since);
        let next = match (self.shed, is_full, is_calm) {
            (Shed::Nothing, true, _) | (Shed::SecondModels, _, true) => Shed::Explanations,
            (Shed::Explanations, true, _) => Shed::SecondModels,
            (Shed::Explanations, _, true) => Shed::Nothing,
            (same, ..) => same,
        };
        (std::mem::replace(&mut self.shed, next) != next).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_after_another_is_left_out_and_taken_up_again_in_the_other_order() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut overload = Overload::new(Duration::from_secs(2));
        assert_eq!(overload.observe(1.0, at(0)), None);
        assert_eq!(overload.observe(0.6, at(1)), None, "that ended it");
        assert_eq!(overload.observe(1.0, at(2)), None);
        assert_eq!(overload.observe(0.95, at(4)), Some(Shed::Explanations));
        assert_eq!(overload.observe(1.0, at(5)), None);
        assert_eq!(overload.observe(1.0, at(6)), Some(Shed::SecondModels));
        assert_eq!(overload.observe(1.0, at(60)), None, "there is nothing more to leave out");
        assert_eq!(overload.observe(0.1, at(61)), None);
        assert_eq!(overload.observe(0.1, at(63)), Some(Shed::Explanations));
        assert_eq!(overload.observe(0.1, at(65)), Some(Shed::Nothing));
        assert_eq!(overload.observe(0.1, at(99)), None);
    }

    #[test]
    fn it_can_be_switched_off() {
        let mut overload = Overload::new(Duration::ZERO);
        assert_eq!(overload.observe(1.0, Instant::now()), None);
    }
}
