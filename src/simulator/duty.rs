//! When a vehicle works: its shift, its days off, its next departure from home.

use super::kinds::Kind;
use super::random::{Purpose, Random};
use super::weather::LocalTime;
use crate::domain::Timestamp;

#[derive(Debug, Clone, Copy)]
pub struct Duty {
    start_hour: f32,
    /// 24: always on duty.
    hours: f32,
}

impl Duty {
    pub fn draw(kind: Kind, random: &mut Random) -> Self {
        if random.chance(kind.spec().night_share) {
            return Self { start_hour: random.between((17.0, 22.0)), hours: random.between((8.0, 10.0)) };
        }
        match kind {
            Kind::Truck => Self { start_hour: random.between((3.5, 8.0)), hours: random.between((8.0, 11.0)) },
            Kind::Van => Self { start_hour: random.between((5.5, 9.0)), hours: random.between((7.5, 10.0)) },
            Kind::Car => Self { start_hour: random.between((6.0, 9.5)), hours: random.between((8.5, 12.5)) },
            Kind::Electric => Self { start_hour: random.between((5.0, 14.0)), hours: random.between((8.0, 10.0)) },
        }
    }

    pub const fn always() -> Self {
        Self { start_hour: 0.0, hours: 24.0 }
    }

    /// `vehicle`: its own stream number, for its days off.
    pub fn is_on(self, seed: u64, vehicle: u32, now: Timestamp) -> bool {
        if self.hours >= 24.0 {
            return true;
        }
        let local = LocalTime::at(now);
        let since_start = (local.hour() - self.start_hour).rem_euclid(24.0);
        let began_yesterday = local.hour() < self.start_hour;
        since_start < self.hours && works_on(seed, vehicle, local.day - i64::from(began_yesterday))
    }

    /// The next beginning of a shift after `now`.
    pub fn next_start(self, seed: u64, vehicle: u32, now: Timestamp) -> Timestamp {
        let today = LocalTime::at(now).day;
        let starts = (0..30).map(|days| today + days).filter(|day| works_on(seed, vehicle, *day));
        let mut starts = starts.map(|day| LocalTime::moment(day, self.start_hour)).filter(|start| *start > now);
        starts.next().unwrap_or_else(|| LocalTime::moment(today + 30, self.start_hour))
    }
}

fn works_on(seed: u64, vehicle: u32, day: i64) -> bool {
    let index = u64::from(vehicle) ^ day.cast_unsigned() << 32;
    let mut random = Random::stream(seed, Purpose::Make, index);
    let weekend = LocalTime { day, seconds_of_day: 0 }.is_weekend();
    random.chance(if weekend { 0.35 } else { 0.93 })
}
