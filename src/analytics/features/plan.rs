//! The features of one or more models, compiled once; then one row per reading without allocation.

use std::time::Duration;

use super::derived::Reads;
use super::name::{Feature, FeatureNameError, parse};
use super::statistics::Span;
use super::{PREVIOUS_MAX_AGE, derived};
use crate::analytics::window::Window;
use crate::domain::{Quality, SignalTable, Timestamp};

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
    reads: Reads,
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
                Feature::Signal { hold: None, .. } | Feature::Delta(_) | Feature::Derived(_) => Duration::ZERO,
            };
            let reads = match feature {
                Feature::Signal { signal, .. } | Feature::Delta(signal) | Feature::Over { signal, .. } => Reads::signal(signal),
                Feature::Derived(derived) => derived.reads,
            };
            Ok(Column { index, feature, reach, reads })
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

    /// Fills `row` with the features as of one step of the window; NaN where missing, as everything is that would need steps which
    /// the window has lost, and whatever looks at something that `quality` says cannot be believed in this reading.
    ///
    /// # Panics
    /// Where `row` is not [`Self::width`] long.
    pub fn fill_row(&self, window: &Window, step: usize, quality: &Quality, row: &mut [f32]) {
        assert_eq!(row.len(), self.width(), "the caller made the row for this plan");
        let now = window.recorded_at(step);
        let mut span = SpanOf { reach: Duration::ZERO, from: Some(step) };
        for column in &self.columns {
            let is_believed = column.reads.signals & quality.stuck == 0 && !(column.reads.position && quality.position.is_some());
            if !is_believed {
                row[column.index] = f32::NAN;
                continue;
            }
            if column.reach != span.reach {
                span = SpanOf::new(window, now, column.reach);
            }
            let value = match column.feature {
                Feature::Signal { signal, hold } => derived::held(window, step, signal, hold).map(f64::from),
                Feature::Delta(id) => derived::delta(window, step, id),
                Feature::Derived(derived) => (derived.compute)(window, step),
                Feature::Over { signal, statistic, duration } => {
                    span.from.and_then(|from| statistic.compute(Span { window, from, at: step }, signal, duration))
                }
            };
            row[column.index] = value.map_or(f32::NAN, to_f32);
        }
    }
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
