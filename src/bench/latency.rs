//! Latencies as histograms, and the three figures that are reported of them.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Of latencies, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
    pub count: u64,
}

/// Microseconds with three significant digits, up to ten minutes.
#[derive(Debug, Clone)]
pub struct Latencies(Histogram<u64>);

const LONGEST_MICROS: u64 = 600_000_000;

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_MICROS, 3).expect("the bounds are right"))
    }
}

impl Latencies {
    pub fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(LONGEST_MICROS);
        self.0.saturating_record(micros.max(1));
    }
}

impl Percentiles {
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "at most 6e8")]
    pub fn of(latencies: &Latencies) -> Self {
        let histogram = &latencies.0;
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: histogram.max() as f64 / 1e3, count: histogram.len() }
    }
}

impl fmt::Display for Percentiles {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p99, p999, max, count } = self;
        write!(formatter, "p50 {p50:.1}  p99 {p99:.1}  p99.9 {p999:.1}  max {max:.1}  ({count} samples)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_a_thousandth() {
        let mut latencies = Latencies::default();
        (1..=10_000).for_each(|tenth| latencies.record(Duration::from_micros(tenth * 100)));
        let Percentiles { p50, p99, p999, max, count } = Percentiles::of(&latencies);
        for (given, wanted) in [(p50, 500.0), (p99, 990.0), (p999, 999.0), (max, 1_000.0)] {
            assert!((given - wanted).abs() <= wanted / 1_000.0, "{given} is not {wanted}");
        }
        assert_eq!(count, 10_000);
    }
}
