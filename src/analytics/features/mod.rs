//! Numbers computed from a window and a profile, by name: `coolant_temperature_celsius.slope_5m`. The only code that computes features,
//! for scoring and for training sets alike.
//!
//! Each row is computed from the steps of the window and the profile alone, in their order, with f64 sums: the same steps give the same
//! bits, however the window came to be.

mod derived;
mod description;
mod grid;
mod group;
mod name;
mod physics;
mod plan;
mod statistics;

pub use derived::TRACKED;
pub(super) use derived::held;
pub use description::{FeatureDescription, describe};
pub use grid::{Grid, GridPlan};
pub use group::Group;
pub(crate) use name::nearest;
pub use name::{FeatureNameError, MAX_DURATION, quantity_of};
pub use plan::FeaturePlan;

use std::time::Duration;

use super::profile::{self, Profile};
use super::window::Window;
use crate::domain::{Position, Quality, SignalId};

/// "The previous reading" is no longer a neighbour once it is this old.
pub const PREVIOUS_MAX_AGE: Duration = Duration::from_mins(10);

/// What a row is computed from: one vehicle as of one step of its window.
#[derive(Debug, Clone, Copy)]
pub struct AsOf<'a> {
    pub window: &'a Window,
    pub step: usize,
    /// As before the reading of that step.
    pub profile: &'a Profile,
    /// Of vehicles like it; `None` as long as nothing is known of them.
    pub cohort: Option<&'a Profile>,
    /// What cannot be believed counts as missing.
    pub quality: &'a Quality,
}

impl AsOf<'_> {
    fn value(&self, signal: SignalId) -> Option<f64> {
        self.believes(signal).then(|| self.window.signal_at(signal, self.step)).flatten().map(f64::from)
    }

    const fn believes(&self, signal: SignalId) -> bool {
        self.quality.stuck & (1 << signal.index()) == 0
    }

    /// With the heading, which comes from the same receiver.
    fn position(&self) -> Option<Position> {
        self.quality.position.is_none().then(|| self.window.position_at(self.step)).flatten()
    }

    fn is_running(&self) -> bool {
        profile::is_running(self.window, self.step)
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, clippy::cast_precision_loss, reason = "small whole numbers are exact, and so must their sums be")]
mod tests;
