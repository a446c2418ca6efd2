//! Statistics over the steps of one signal within a duration: present values only, unweighted unless they say so.

use std::time::Duration;

use crate::analytics::window::Window;
use crate::domain::SignalId;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Statistic {
    Mean,
    Std,
    Min,
    Max,
    Range,
    Slope,
    Count,
    Ewma,
    MissingRatio,
}

/// Steps of a window that a statistic is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span<'a> {
    pub window: &'a Window,
    pub from: usize,
    /// The step that is described; the last of the span.
    pub at: usize,
}

impl Statistic {
    pub const ALL: &'static [Self] =
        &[Self::Mean, Self::Std, Self::Min, Self::Max, Self::Range, Self::Slope, Self::Count, Self::Ewma, Self::MissingRatio];

    /// An average that forgets takes this many half-lives into account: what is older weighs 3 % or less.
    pub const EWMA_HALF_LIVES: u32 = 5;

    pub const fn word(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Std => "std",
            Self::Min => "min",
            Self::Max => "max",
            Self::Range => "range",
            Self::Slope => "slope",
            Self::Count => "count",
            Self::Ewma => "ewma",
            Self::MissingRatio => "missing_ratio",
        }
    }

    /// How far back it looks, given the duration in its name.
    pub fn reach(self, duration: Duration) -> Duration {
        if self == Self::Ewma { duration * Self::EWMA_HALF_LIVES } else { duration }
    }

    /// `None` where there are too few values.
    pub fn compute(self, span: Span<'_>, signal: SignalId, duration: Duration) -> Option<f64> {
        match self {
            Self::Mean => mean(span, signal),
            Self::Std => standard_deviation(span, signal),
            Self::Min => present(span, signal).reduce(f64::min),
            Self::Max => present(span, signal).reduce(f64::max),
            Self::Range => Some(present(span, signal).reduce(f64::max)? - present(span, signal).reduce(f64::min)?),
            Self::Slope => slope_per_minute(span, signal),
            Self::Count => Some(count(span, signal)),
            Self::Ewma => ewma(span, signal, duration),
            Self::MissingRatio => {
                let steps = number(span.at + 1 - span.from);
                Some((steps - count(span, signal)) / steps)
            }
        }
    }
}

fn values(span: Span<'_>, signal: SignalId) -> impl Iterator<Item = f32> + '_ {
    span.window.signal(signal, span.from, span.at + 1).into_iter().flat_map(crate::analytics::window::Run::iter)
}

fn present(span: Span<'_>, signal: SignalId) -> impl Iterator<Item = f64> + '_ {
    values(span, signal).filter(|value| !value.is_nan()).map(f64::from)
}

/// Minutes before the described step, and the value.
fn present_with_age(span: Span<'_>, signal: SignalId) -> impl Iterator<Item = (f64, f64)> + '_ {
    const MICROS_PER_MINUTE: f64 = 60e6;
    let now = span.window.recorded_at(span.at).as_micros();
    let ages =
        span.window.micros_between(span.from, span.at + 1).map(move |micros| micros_as_f64(now - micros) / MICROS_PER_MINUTE);
    ages.zip(values(span, signal)).filter(|(_, value)| !value.is_nan()).map(|(age, value)| (age, f64::from(value)))
}

#[expect(clippy::cast_precision_loss, reason = "at most a day, far below 2^53 microseconds")]
const fn micros_as_f64(micros: i64) -> f64 {
    micros as f64
}

#[expect(clippy::cast_precision_loss, reason = "at most 4,096 steps")]
const fn number(steps: usize) -> f64 {
    steps as f64
}

fn count(span: Span<'_>, signal: SignalId) -> f64 {
    number(present(span, signal).count())
}

fn mean(span: Span<'_>, signal: SignalId) -> Option<f64> {
    let (count, sum) = present(span, signal).fold((0.0, 0.0), |(count, sum), value| (count + 1.0, sum + value));
    (count > 0.0).then(|| sum / count)
}

/// Of the population; two passes, since sums of squares cancel badly where the mean is far from zero.
fn standard_deviation(span: Span<'_>, signal: SignalId) -> Option<f64> {
    let mean = mean(span, signal)?;
    let (count, squares) = present(span, signal)
        .fold((0.0, 0.0), |(count, squares), value| (count + 1.0, (value - mean).mul_add(value - mean, squares)));
    (count >= 2.0).then(|| (squares / count).sqrt())
}

/// Ordinary least squares of value over time, about the means of both.
fn slope_per_minute(span: Span<'_>, signal: SignalId) -> Option<f64> {
    let (count, ages, sum) = present_with_age(span, signal)
        .fold((0.0, 0.0, 0.0), |(count, ages, sum), (age, value)| (count + 1.0, ages + age, sum + value));
    if count < 3.0 {
        return None;
    }
    let (mean_age, mean) = (ages / count, sum / count);
    let (covariance, variance) = present_with_age(span, signal).fold((0.0, 0.0), |(covariance, variance), (age, value)| {
        let since_mean = mean_age - age;
        (since_mean.mul_add(value - mean, covariance), since_mean.mul_add(since_mean, variance))
    });
    // Steps have different times, so three of them have a variance.
    Some(covariance / variance)
}

/// Weights halve with every half-life of age.
fn ewma(span: Span<'_>, signal: SignalId, half_life: Duration) -> Option<f64> {
    let half_life_minutes = half_life.as_secs_f64() / 60.0;
    let (weights, sum) = present_with_age(span, signal).fold((0.0, 0.0), |(weights, sum), (age, value)| {
        let weight = (-age / half_life_minutes).exp2();
        (weights + weight, weight.mul_add(value, sum))
    });
    (weights > 0.0).then(|| sum / weights)
}
