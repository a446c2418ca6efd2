//! Calendar, sky and traffic at a moment: pure functions of time and seed, so that all vehicles meet the same rain.

use std::f32::consts::TAU;

use super::random::{Purpose, Random};
use super::roads::RoadClass;
use crate::domain::Timestamp;

/// Central European Time all year: nobody changes clocks here.
const ZONE_SECONDS: i64 = 3_600;
const DAY_SECONDS: i64 = 86_400;
/// Rain comes and goes by blocks of this length.
const RAIN_BLOCK_SECONDS: i64 = 3 * 3_600;

/// Local time of day and week.
#[derive(Debug, Clone, Copy)]
pub struct LocalTime {
    /// Days since 1970.
    pub day: i64,
    pub seconds_of_day: i64,
}

#[derive(Debug, Clone, Copy)]
pub struct Sky {
    pub temperature_celsius: f32,
    /// 0 = dry, 1 = pouring.
    pub rain: f32,
}

impl LocalTime {
    #[must_use]
    pub const fn at(timestamp: Timestamp) -> Self {
        let local = timestamp.as_micros().div_euclid(1_000_000) + ZONE_SECONDS;
        Self { day: local.div_euclid(DAY_SECONDS), seconds_of_day: local.rem_euclid(DAY_SECONDS) }
    }

    /// The moment `hour` (0..24, or beyond midnight) of local day `day`.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "some days in seconds")]
    pub fn moment(day: i64, hour: f32) -> Timestamp {
        let seconds = day * DAY_SECONDS - ZONE_SECONDS + (hour * 3_600.0) as i64;
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "below 86,400")]
    pub fn hour(self) -> f32 {
        self.seconds_of_day as f32 / 3_600.0
    }

    #[must_use]
    pub const fn is_weekend(self) -> bool {
        // 1970-01-01 was a Thursday.
        (self.day + 3).rem_euclid(7) >= 5
    }

    /// 0 by night, 1 at the height of a rush hour.
    #[must_use]
    pub fn rush(self) -> f32 {
        let hour = self.hour();
        let bump = |peak: f32| (1.0 - (hour - peak).abs() / 1.75).max(0.0);
        let by_day: f32 = if (6.0..20.0).contains(&hour) { 0.25 } else { 0.0 };
        if self.is_weekend() { by_day } else { by_day.max(bump(7.75)).max(bump(16.75)) }
    }
}

/// Temperature and rain at the height of the Rhine plain.
#[must_use]
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "days of the year and shares of blocks")]
pub fn sky(seed: u64, timestamp: Timestamp) -> Sky {
    let local = LocalTime::at(timestamp);
    let share = local.seconds_of_day as f32 / DAY_SECONDS as f32;
    let day_of_year = (local.day as f64).rem_euclid(365.2425) as f32 + share;
    // Means of Karlsruhe: about 2 °C in mid January, 21 °C in mid July.
    let season = -((day_of_year - 15.0) / 365.0 * TAU).cos();
    let daily = ((local.hour() - 15.0) / 24.0 * TAU).cos() * (3.5 + 2.0 * season);
    let front = blend(seed, local.day, share, |random| random.normal() * 3.0);
    let seconds = local.day * DAY_SECONDS + local.seconds_of_day;
    let block = seconds.div_euclid(RAIN_BLOCK_SECONDS);
    let share = seconds.rem_euclid(RAIN_BLOCK_SECONDS) as f32 / RAIN_BLOCK_SECONDS as f32;
    let clouds = blend(seed, block + (1 << 40), share, Random::unit);
    Sky { temperature_celsius: 11.5 + 9.5 * season + daily + front, rain: ((clouds - 0.68) / 0.32).max(0.0) }
}

/// The share of the free speed that traffic leaves on a road. Every edge has rush hours of its own strength.
#[must_use]
pub fn traffic(local: LocalTime, class: RoadClass, edge: u16) -> f32 {
    let loss = match class {
        RoadClass::Street => 0.35,
        RoadClass::Arterial => 0.45,
        RoadClass::Country => 0.2,
        RoadClass::Motorway => 0.4,
    };
    let mut random = Random::stream(local.seconds_of_day.div_euclid(3_600).unsigned_abs(), Purpose::Traffic, u64::from(edge));
    1.0 - loss * local.rush() * random.between((0.3, 1.3))
}

/// Goes smoothly from the value of one day or block to that of the next.
fn blend(seed: u64, index: i64, share: f32, value: impl Fn(&mut Random) -> f32) -> f32 {
    let of = |index: i64| value(&mut Random::stream(seed, Purpose::Weather, index.cast_unsigned()));
    let smooth = share * share * (3.0 - 2.0 * share);
    of(index) + (of(index + 1) - of(index)) * smooth
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_temperature(days: impl Iterator<Item = i64>) -> f32 {
        let temperatures: Vec<f32> =
            days.flat_map(|day| [3.0, 15.0].map(|hour| sky(1, LocalTime::moment(day, hour)).temperature_celsius)).collect();
        temperatures.iter().sum::<f32>() / f32::from(u16::try_from(temperatures.len()).unwrap())
    }

    #[test]
    fn july_is_warm_and_january_is_cold() {
        let january_first = LocalTime::at("2026-01-01T12:00:00Z".parse().unwrap()).day;
        assert!(mean_temperature(january_first..january_first + 31) < 6.0);
        assert!(mean_temperature(january_first + 181..january_first + 212) > 16.0);
    }

    #[test]
    fn the_temperature_never_jumps() {
        let start: Timestamp = "2026-11-20T00:00:00Z".parse().unwrap();
        let at = |minute: u64| sky(5, start.plus(std::time::Duration::from_secs(minute * 60))).temperature_celsius;
        for minute in 0..5 * 1_440 {
            assert!((at(minute) - at(minute + 1)).abs() < 0.1, "minute {minute}");
        }
    }

    #[test]
    fn the_working_week_has_rush_hours_and_sunday_has_none() {
        let at = |text: &str| LocalTime::at(text.parse().unwrap());
        assert!(at("2026-11-24T06:45:00Z").rush() > 0.9);
        assert!(at("2026-11-22T06:45:00Z").rush() < 0.3);
        assert!(at("2026-11-22T06:45:00Z").is_weekend());
    }
}
