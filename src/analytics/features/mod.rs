//! Numbers computed from a window, by name: `coolant_temperature_celsius.slope_5m`. The only code that computes features, for scoring
//! and for training sets alike.
//!
//! Each row is computed from the steps of the window alone, in their order, with f64 sums: the same steps give the same bits,
//! however the window came to be.

mod derived;
mod description;
mod name;
mod plan;
mod statistics;

pub use description::{FeatureDescription, describe};
pub(crate) use name::nearest;
pub use name::{FeatureNameError, MAX_DURATION};
pub use plan::FeaturePlan;

use std::time::Duration;

/// "The previous reading" is no longer a neighbour once it is this old.
pub const PREVIOUS_MAX_AGE: Duration = Duration::from_mins(10);

#[cfg(test)]
#[expect(clippy::float_cmp, clippy::cast_precision_loss, reason = "small whole numbers are exact, and so must their sums be")]
mod tests;
