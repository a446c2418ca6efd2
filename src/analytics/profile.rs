//! The slow statistics of one vehicle, beyond any window: its own normal of everything that it measures, and the drive that it is on.
//! Computes no feature: `features`.
//!
//! Every value counts with weight 2^(t / 30 days), t in event time: relative to each other, weights halve with every 30 days of age
//! (forward decay: Cormode, Shkapenyuk, Srivastava, Xu, ICDE 2009), and nothing needs to be aged. Mean and sum of squares move by
//! West's weighted update (Communications of the ACM 22, 1979), which does not cancel. So a profile is a function of the readings in
//! their order and of nothing else, and survives a restart to the last bit.

mod codec;
mod cohort;
mod drive;

use std::time::Duration;

pub use codec::COHORTS_VERSION;
pub use cohort::Cohorts;
pub use drive::{Drive, MOVING_KM_PER_H, RUNNING_RPM, is_running};

use super::features::{AsOf, TRACKED};
use super::window::Window;
use crate::domain::signal::MAX_SIGNALS;
use crate::domain::{Quality, Reading, SignalId, Timestamp};

/// Age at which a value counts half.
pub const HALF_LIFE: Duration = Duration::from_hours(30 * 24);

/// Below as many values a normal is mixed with the cohort's.
pub const TRUSTED_VALUES: u32 = 200;

/// Nothing is learnt until nothing raised for so long, in event time: what a sick vehicle does is not its normal.
pub const FROZEN_FOR: Duration = Duration::from_mins(30);

/// What a model says reaches the profile so much later than what rules say, in event time, so that it makes no difference which
/// readings a lane took together: models are asked for many readings at once, but of no vehicle later than this.
pub const MODELS_HEARD_AFTER: Duration = Duration::from_mins(10);

/// Weights are relative to this moment (2025-01-01); 2^1000 is reached 82 years later.
const EPOCH_MICROS: i64 = 1_735_689_600_000_000;

/// Something that has a normal: a signal, or a derived feature that is tracked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantity(u8);

/// What is normal for one quantity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normal {
    pub mean: f64,
    pub deviation: f64,
}

/// One vehicle's normal, or that of many.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Profile {
    /// Which quantities have been seen, one bit each.
    seen: u128,
    /// One per bit, in their order.
    moments: Vec<Moments>,
    pub drive: Drive,
    frozen: Frozen,
}

/// A reading to learn from.
#[derive(Debug, Clone, Copy)]
pub struct Lesson<'a> {
    pub reading: &'a Reading,
    pub window: &'a Window,
    pub step: usize,
    /// What cannot be believed is not learnt.
    pub quality: &'a Quality,
    /// A rule raised on it.
    pub raised: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Moments {
    weight: f64,
    mean: f64,
    /// Weighted sum of squared distances from the mean.
    squares: f64,
    /// Values, whatever their weight.
    count: u32,
}

/// Until when nothing is learnt.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Frozen {
    checks_until: Timestamp,
    models_from: Timestamp,
    models_until: Timestamp,
}

impl Quantity {
    #[must_use]
    pub const fn signal(id: SignalId) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a signal's index is below 64")]
        Self(id.index() as u8)
    }

    /// `index` in [`TRACKED`].
    #[must_use]
    pub(super) fn tracked(index: usize) -> Self {
        Self(u8::try_from(MAX_SIGNALS + index).expect("few features are tracked"))
    }

    const fn bit(self) -> u128 {
        1 << self.0
    }
}

impl Profile {
    /// Takes in one reading, after its features were computed. Late readings are not for profiles.
    pub fn learn(&mut self, lesson: &Lesson<'_>) {
        let Lesson { reading, window, step, quality, raised } = *lesson;
        let at = reading.recorded_at;
        if raised {
            self.frozen.checks_until = self.frozen.checks_until.max(at.plus(FROZEN_FOR));
        }
        if !self.is_frozen(at) {
            let weight = weight_of(at);
            let as_of = AsOf { window, step, profile: self, cohort: None, quality };
            let tracked = TRACKED.map(|derived| (derived.compute)(&as_of));
            for (id, value) in reading.signals.iter().filter(|(id, _)| quality.stuck & (1 << id.index()) == 0) {
                self.of_mut(Quantity::signal(id)).add(f64::from(value), weight);
            }
            for (index, value) in tracked.into_iter().enumerate() {
                if let Some(value) = value {
                    self.of_mut(Quantity::tracked(index)).add(value, weight);
                }
            }
        }
        self.drive.observe(window, step);
    }

    /// A model raised on the reading of that moment.
    pub fn hear_model(&mut self, at: Timestamp) {
        if at >= self.frozen.models_until {
            self.frozen.models_from = at.plus(MODELS_HEARD_AFTER);
        }
        self.frozen.models_until = self.frozen.models_until.max(at.plus(FROZEN_FOR));
    }

    #[must_use]
    pub fn is_frozen(&self, at: Timestamp) -> bool {
        let Frozen { checks_until, models_from, models_until } = self.frozen;
        at < checks_until || (models_from..models_until).contains(&at)
    }

    /// Its own normal, however few values made it.
    #[must_use]
    pub fn normal(&self, quantity: Quantity) -> Option<Normal> {
        self.of(quantity).map(Moments::normal)
    }

    /// The normal to compare a vehicle with: its own once [`TRUSTED_VALUES`] made it; before, the cohort's and its own mixed in
    /// proportion to its values. `None` where the cohort would be needed and does not know enough itself.
    #[must_use]
    pub fn trusted_normal(&self, cohort: Option<&Self>, quantity: Quantity) -> Option<Normal> {
        let own = self.of(quantity);
        let count = own.map_or(0, |own| own.count);
        match own {
            Some(own) if count >= TRUSTED_VALUES => Some(own.normal()),
            own => {
                let cohort = cohort?.of(quantity).filter(|cohort| cohort.count >= TRUSTED_VALUES)?.normal();
                let share = f64::from(count) / f64::from(TRUSTED_VALUES);
                Some(own.map_or(cohort, |own| cohort.mixed(&own.normal(), share)))
            }
        }
    }

    /// Adds another vehicle's values to these.
    fn merge(&mut self, other: &Self) {
        let mut bits = other.seen;
        for moments in &other.moments {
            let quantity = Quantity(u8::try_from(bits.trailing_zeros()).expect("below 128"));
            bits &= bits - 1;
            self.of_mut(quantity).merge(moments);
        }
    }

    fn of(&self, quantity: Quantity) -> Option<&Moments> {
        let bit = quantity.bit();
        (self.seen & bit != 0).then(|| &self.moments[(self.seen & (bit - 1)).count_ones() as usize])
    }

    fn of_mut(&mut self, quantity: Quantity) -> &mut Moments {
        let bit = quantity.bit();
        let place = (self.seen & (bit - 1)).count_ones() as usize;
        if self.seen & bit == 0 {
            self.seen |= bit;
            self.moments.insert(place, Moments::default());
        }
        &mut self.moments[place]
    }
}

impl Default for Frozen {
    fn default() -> Self {
        let never = Timestamp::from_micros(i64::MIN);
        Self { checks_until: never, models_from: never, models_until: never }
    }
}

impl Moments {
    fn add(&mut self, value: f64, weight: f64) {
        self.weight += weight;
        let before = value - self.mean;
        self.mean += before * (weight / self.weight);
        self.squares += weight * before * (value - self.mean);
        self.count = self.count.saturating_add(1);
    }

    /// Chan, Golub, `LeVeque`: Algorithms for computing the sample variance (1983), with weights.
    fn merge(&mut self, other: &Self) {
        let weight = self.weight + other.weight;
        if other.weight <= 0.0 {
            return;
        }
        let distance = other.mean - self.mean;
        self.squares += other.squares + distance * distance * (self.weight * other.weight / weight);
        self.mean += distance * (other.weight / weight);
        self.weight = weight;
        self.count = self.count.saturating_add(other.count);
    }

    fn normal(&self) -> Normal {
        Normal { mean: self.mean, deviation: (self.squares.max(0.0) / self.weight).sqrt() }
    }
}

impl Normal {
    /// Mean and deviation of the mixture of both: `other` has this share.
    fn mixed(&self, other: &Self, share: f64) -> Self {
        let rest = 1.0 - share;
        let mean = rest * self.mean + share * other.mean;
        let variance = rest * (self.deviation.powi(2) + (self.mean - mean).powi(2))
            + share * (other.deviation.powi(2) + (other.mean - mean).powi(2));
        Self { mean, deviation: variance.sqrt() }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a microsecond in decades is far below what a weight can show")]
fn weight_of(at: Timestamp) -> f64 {
    let half_lives = (at.as_micros() - EPOCH_MICROS) as f64 / (HALF_LIFE.as_micros() as f64);
    half_lives.exp2()
}

#[cfg(test)]
mod tests;
