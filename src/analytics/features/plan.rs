//! The features of one or more models, compiled once; then one row per reading without allocation.

use std::time::Duration;

use super::name::{Feature, FeatureNameError, LEAST_DERIVED_DEVIATION, Of, parse};
use super::statistics::Span;
use super::{AsOf, PREVIOUS_MAX_AGE, derived};
use crate::analytics::profile::Quantity;
use crate::analytics::window::Window;
use crate::domain::{SignalTable, Timestamp};

#[derive(Debug)]
pub struct FeaturePlan {
    /// In the order of evaluation: by reach, so that the first step of a span is looked up once per duration.
    columns: Vec<Column>,
    longest: Duration,
}

#[derive(Debug)]
struct Column {
    /// Where its value goes in the row.
    index: usize,
    feature: Feature,
    /// How far back it looks; zero for those that look at most at the previous reading.
    reach: Duration,
}

impl FeaturePlan {
    /// A row has one value per name, in their order.
    ///
    /// # Errors
    /// [`FeatureNameError`] for the first name that means nothing.
    pub fn compile<'a>(names: impl IntoIterator<Item = &'a str>, table: &SignalTable) -> Result<Self, FeatureNameError> {
        let compile = |(index, name)| {
            let feature = parse(name, table)?;
            let reach = match feature {
                Feature::Over { statistic, duration, .. } => statistic.reach(duration),
                Feature::Signal { hold: Some(hold), .. } => hold,
                Feature::Signal { hold: None, .. }
                | Feature::Delta(_)
                | Feature::Unchanged(_)
                | Feature::ZScore { .. }
                | Feature::Derived(_) => Duration::ZERO,
            };
            Ok(Column { index, feature, reach })
        };
        let mut columns = names.into_iter().enumerate().map(compile).collect::<Result<Vec<_>, _>>()?;
        columns.sort_by_key(|column| column.reach);
        let longest = columns.last().map_or(Duration::ZERO, |column| column.reach);
        Ok(Self { columns, longest })
    }

    /// Values of a row.
    #[must_use]
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// How far back a window has to reach for all of its features.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// How long a window has to be kept: that, and long enough to find the previous reading.
    #[must_use]
    pub fn keep(&self) -> Duration {
        self.longest.max(PREVIOUS_MAX_AGE)
    }

    /// Fills `row` with the features of one vehicle as of one step; NaN where missing, as everything is that would need steps which the
    /// window has lost.
    ///
    /// # Panics
    /// Where `row` is not [`Self::width`] long.
    pub fn fill_row(&self, as_of: &AsOf<'_>, row: &mut [f32]) {
        assert_eq!(row.len(), self.width(), "the caller made the row for this plan");
        let AsOf { window, step, .. } = *as_of;
        let now = window.recorded_at(step);
        let mut span = SpanOf { reach: Duration::ZERO, from: Some(step) };
        for column in &self.columns {
            if column.reach != span.reach {
                span = SpanOf::new(window, now, column.reach);
            }
            let value = match column.feature {
                // What cannot be believed counts as missing; how long it has been stuck is another question.
                Feature::Signal { signal, .. } | Feature::Delta(signal) | Feature::Over { signal, .. }
                    if !as_of.believes(signal) =>
                {
                    None
                }
                Feature::Signal { signal, hold } => derived::held(window, step, signal, hold).map(f64::from),
                Feature::Delta(id) => derived::delta(window, step, id),
                Feature::Unchanged(id) => derived::unchanged_s(window, step, id),
                Feature::ZScore { of, quantity, least_deviation } => zscore(as_of, of, quantity, least_deviation),
                Feature::Derived(derived) => (derived.compute)(as_of),
                Feature::Over { signal, statistic, duration } => {
                    span.from.and_then(|from| statistic.compute(Span { window, from, at: step }, signal, duration))
                }
            };
            row[column.index] = value.map_or(f32::NAN, to_f32);
        }
    }
}

/// Distance from the normal in deviations.
fn zscore(as_of: &AsOf<'_>, of: Of, quantity: Quantity, least_deviation: f64) -> Option<f64> {
    let value = match of {
        Of::Signal(id) => as_of.value(id)?,
        Of::Derived(derived) => (derived.compute)(as_of)?,
    };
    let normal = as_of.profile.trusted_normal(as_of.cohort, quantity)?;
    let least = least_deviation.max(LEAST_DERIVED_DEVIATION * normal.mean.abs()).max(f64::MIN_POSITIVE);
    Some((value - normal.mean) / normal.deviation.max(least))
}

/// The first step of a duration, if the window still has all of it.
struct SpanOf {
    reach: Duration,
    from: Option<usize>,
}

impl SpanOf {
    fn new(window: &Window, now: Timestamp, reach: Duration) -> Self {
        let since = now.minus(reach);
        Self { reach, from: window.reaches_back_to(since).then(|| window.first_after(since)) }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "models take f32; sums were f64")]
const fn to_f32(value: f64) -> f32 {
    value as f32
}
