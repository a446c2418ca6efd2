//! When a raw score becomes an alert: limits from the maxima of healthy vehicle-days, so that a budget of false alerts is kept.
//!
//! What counts is what the alert machine does: an alert opens when k of the last n scored readings reach the limit, so a day's maximum is
//! the largest, over the day, of the k-th largest of n neighbouring scores. The limit for a budget of b alerts a vehicle-day is the
//! (1 - b) quantile of these maxima. Where fewer days were seen than that needs, a generalised Pareto tail (Pickands 1975; fitted by
//! probability-weighted moments, Hosking & Wallis 1987) beyond the 90 % quantile says what they would be. `training/python/alert_limits.py`
//! is the same.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::history::Day;
use crate::rows::{as_f32, as_f64, quantile};

const MICROS_PER_DAY: i64 = 86_400_000_000;
const TAIL_FROM: f64 = 0.9;
const FEWEST_TAIL_DAYS: usize = 20;
/// Vehicle-days that a limit needs.
pub const FEWEST_DAYS: usize = 200;

/// As the contract has them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlertLimits {
    pub open: f32,
    pub close: f32,
    pub raised: usize,
    pub of: usize,
    pub calm_for: &'static str,
    pub calm_readings: usize,
}

/// `raised` of the last `of` scored readings open an alert.
#[derive(Debug, Clone, Copy)]
pub struct Persistence {
    pub raised: usize,
    pub of: usize,
}

/// How limits came to be, for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    pub vehicle_days: usize,
    pub largest: f32,
    pub budget_per_vehicle_day: f64,
    /// The limit lies beyond what so many days can show.
    pub is_extrapolated: bool,
}

impl AlertLimits {
    /// `raw` and `days`: of each held-out row.
    ///
    /// # Errors
    /// The vehicle-days, where they are too few for the budget and for a tail.
    pub fn find(
        raw: &[f32],
        days: &[Day],
        persistence: Persistence,
        budget_per_vehicle_day: f64,
    ) -> Result<(Self, Found), usize> {
        let maxima = day_maxima(raw, days, persistence);
        let vehicle_days = maxima.len();
        let (open, is_extrapolated) = limit(&maxima, budget_per_vehicle_day).ok_or(vehicle_days)?;
        let largest = as_f32(maxima[vehicle_days - 1]);
        let limits = Self {
            open: as_f32(open),
            // An alert is held down to what every other healthy day reaches.
            close: as_f32(quantile(&maxima, 0.5).min(open)),
            raised: persistence.raised,
            of: persistence.of,
            calm_for: "10m",
            calm_readings: 5,
        };
        Ok((limits, Found { vehicle_days, largest, budget_per_vehicle_day, is_extrapolated }))
    }
}

/// One per vehicle and UTC day with at least `of` scores, rising.
fn day_maxima(raw: &[f32], days: &[Day], persistence: Persistence) -> Vec<f64> {
    let Persistence { raised, of } = persistence;
    let mut vehicles: BTreeMap<usize, Vec<(i64, f64)>> = BTreeMap::new();
    for (raw, day) in raw.iter().zip(days).filter(|(raw, _)| raw.is_finite()) {
        let scored = vehicles.entry(day.vehicle).or_default();
        scored.push((day.recorded_at_micros.div_euclid(MICROS_PER_DAY), f64::from(*raw)));
    }
    let mut maxima = Vec::new();
    let mut neighbours = Vec::with_capacity(of);
    for scored in vehicles.values() {
        let mut by_day: BTreeMap<i64, (usize, f64)> = BTreeMap::new();
        for (place, (day, _)) in scored.iter().enumerate() {
            neighbours.clear();
            neighbours.extend(scored[(place + 1).saturating_sub(of)..=place].iter().map(|(_, raw)| *raw));
            neighbours.sort_unstable_by(|one, other| other.total_cmp(one));
            let level = neighbours.get(raised - 1).copied().unwrap_or(f64::NEG_INFINITY);
            let (scores, largest) = by_day.entry(*day).or_insert((0, f64::NEG_INFINITY));
            *scores += 1;
            *largest = largest.max(level);
        }
        maxima.extend(by_day.values().filter(|(scores, _)| *scores >= of).map(|(_, largest)| *largest));
    }
    maxima.sort_unstable_by(f64::total_cmp);
    maxima
}

/// With whether it lies beyond what so many days can show; `None` where they are too few even for a tail.
fn limit(maxima: &[f64], budget: f64) -> Option<(f64, bool)> {
    // Split conformal: of n + 1 exchangeable days, this one is the largest with probability 1 / (n + 1).
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank, at least 0")]
    let rank = ((as_f64(maxima.len()) + 1.0) * (1.0 - budget)).ceil() as usize;
    if (1..=maxima.len()).contains(&rank) {
        return Some((maxima[rank - 1], false));
    }
    let start = if maxima.is_empty() { return None } else { quantile(maxima, TAIL_FROM) };
    let excesses: Vec<f64> = maxima.iter().map(|largest| largest - start).filter(|excess| *excess > 0.0).collect();
    if excesses.len() < FEWEST_TAIL_DAYS {
        return None;
    }
    let count = as_f64(excesses.len());
    let mean = excesses.iter().sum::<f64>() / count;
    let weighted = excesses.iter().enumerate().map(|(place, excess)| (count - as_f64(place + 1)) / (count - 1.0) * excess);
    let moment = weighted.sum::<f64>() / count;
    // Above 0: a heavy tail (the sign of Hosking and Wallis's k turned).
    let shape = 2.0 - mean / (mean - 2.0 * moment);
    let scale = 2.0 * mean * moment / (mean - 2.0 * moment);
    let beyond = budget / (count / as_f64(maxima.len()));
    let excess = if shape.abs() > 1e-9 { scale * (beyond.powf(-shape) - 1.0) / shape } else { -scale * beyond.ln() };
    Some(((start + excess).max(maxima[maxima.len() - 1]), true))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Persistence = Persistence { raised: 1, of: 1 };

    fn at(vehicle: usize, day: i64, reading: i64) -> Day {
        Day { vehicle, recorded_at_micros: day * MICROS_PER_DAY + reading * 1_000_000 }
    }

    #[test]
    fn a_days_maximum_is_the_highest_limit_at_which_an_alert_would_have_opened() {
        let persistence = Persistence { raised: 2, of: 3 };
        // One wild score opens nothing; 5 and 4 stand close enough together.
        let raw = [1.0, 99.0, 1.0, 1.0, 5.0, 0.0, 4.0, f32::NAN, 2.0];
        let days: Vec<Day> = (0..9).map(|reading| at(0, 0, reading)).collect();
        assert_eq!(day_maxima(&raw, &days, persistence), [4.0]);
        // The next day knows the scores of the one before; a day of two scores is none.
        let days: Vec<Day> = (0..9).map(|reading| at(0, reading / 5, reading)).collect();
        assert_eq!(day_maxima(&raw, &days, persistence), [1.0, 4.0]);
        assert!(day_maxima(&raw[..2], &days[..2], persistence).is_empty());
    }

    #[test]
    fn of_enough_days_the_limit_is_one_of_them() {
        let raw: Vec<f32> = (0..199_u8).map(f32::from).collect();
        let days: Vec<Day> = (0..199).map(|vehicle| at(vehicle, 0, 0)).collect();
        let (limits, found) = AlertLimits::find(&raw, &days, ONE, 0.01).unwrap();
        assert_eq!((limits.open, limits.close, found.is_extrapolated, found.vehicle_days), (197.0, 99.0, false, 199));
    }

    #[test]
    fn beyond_the_days_the_tail_says_what_python_says() {
        // What `limit_for` of training/python/alert_limits.py gives for the same numbers.
        let maxima: Vec<f64> = (0..400).map(|day| -(1.0 - (f64::from(day) + 0.5) / 400.0).ln()).collect();
        let (open, is_extrapolated) = limit(&maxima, 0.0005).unwrap();
        assert!(is_extrapolated);
        assert!((open - 7.703_525_027_306_703).abs() < 1e-9, "{open}");
        assert!(limit(&maxima[..100], 0.0005).is_none(), "10 days beyond the start of the tail are too few");
        assert!(limit(&[], 0.0005).is_none());
    }
}
