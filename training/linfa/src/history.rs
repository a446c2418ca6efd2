//! What a fleet was like: rows of its healthy readings in two parts, one to fit to and one to measure on. Bounded: where there is more,
//! whole vehicle-days are left out by lot, so that what is kept is as it was. Judges no reading: whoever brings the rows does.

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{RngCore, SeedableRng};

use crate::rows::Rows;

const MICROS_PER_DAY: i64 = 86_400_000_000;
/// One vehicle of so many is measured on.
const HELD_OUT_OF: usize = 4;
/// Of a single vehicle, the last quarter of its rows.
const FITTED_SHARE: f64 = 0.75;
/// More rows move no median and no component; a part holds at most this many (80 MB of 20 features). One vehicle-day is always kept.
const MOST_ROWS: usize = 1_000_000;

/// Two parts of a fleet's history.
#[derive(Debug)]
pub struct History {
    seed: u64,
    fitted: Part,
    held_out: Part,
    vehicles: usize,
}

/// Rows in the order in which they came.
#[derive(Debug, Clone, Default)]
pub struct Part {
    width: usize,
    values: Vec<f32>,
    days: Vec<Day>,
    /// Vehicle-days whose lot is above it are left out.
    highest_lot: u64,
    most: usize,
    left_out: u64,
}

/// Whose row, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    /// Numbered in the order in which they were first seen.
    pub vehicle: usize,
    /// UTC microseconds.
    pub recorded_at_micros: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SplitBy {
    Vehicle,
    /// There was only one vehicle.
    Time,
}

impl History {
    /// `width`: features of a row.
    #[must_use]
    pub fn new(width: usize, seed: u64) -> Self {
        Self::bounded(width, seed, MOST_ROWS)
    }

    fn bounded(width: usize, seed: u64, most: usize) -> Self {
        let part = Part { width, highest_lot: u64::MAX, most, ..Part::default() };
        Self { seed, fitted: part.clone(), held_out: part, vehicles: 0 }
    }

    /// Rows of a vehicle in their order; vehicles are numbered from 0 in the order of their first row.
    pub fn push(&mut self, of: Day, row: &[f32]) {
        self.vehicles = self.vehicles.max(of.vehicle + 1);
        let part = if is_held_out(of.vehicle, self.seed) { &mut self.held_out } else { &mut self.fitted };
        part.push(of, row, self.seed);
    }

    /// The part to fit to, the part to measure on, and what tells them apart.
    #[must_use]
    pub fn split(mut self) -> (Part, Part, SplitBy) {
        if self.vehicles > 1 {
            return (self.fitted, self.held_out, SplitBy::Vehicle);
        }
        self.held_out = self.fitted.cut_off_last();
        (self.fitted, self.held_out, SplitBy::Time)
    }

    #[must_use]
    pub const fn vehicles(&self) -> usize {
        self.vehicles
    }
}

impl Part {
    #[must_use]
    pub fn rows(&self) -> Rows<'_> {
        Rows::new(&self.values, self.width)
    }

    /// One per row.
    #[must_use]
    pub fn days(&self) -> &[Day] {
        &self.days
    }

    #[must_use]
    pub fn vehicles(&self) -> usize {
        let mut seen: Vec<usize> = self.days.iter().map(|day| day.vehicle).collect();
        seen.sort_unstable();
        seen.dedup();
        seen.len()
    }

    /// First and last moment, UTC microseconds; `None` without rows.
    #[must_use]
    pub fn period_micros(&self) -> Option<(i64, i64)> {
        let moments = self.days.iter().map(|day| day.recorded_at_micros);
        Some((moments.clone().min()?, moments.max()?))
    }

    /// Rows that did not fit into memory's bound.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }

    fn push(&mut self, of: Day, row: &[f32], seed: u64) {
        if lot(of, seed) > self.highest_lot {
            self.left_out += 1;
            return;
        }
        self.values.extend_from_slice(row);
        self.days.push(of);
        while self.days.len() > self.most && self.has_several_days() {
            self.highest_lot /= 2;
            let highest = self.highest_lot;
            self.keep(|of| lot(of, seed) <= highest);
        }
    }

    fn has_several_days(&self) -> bool {
        let name = |day: &Day| (day.vehicle, day.recorded_at_micros.div_euclid(MICROS_PER_DAY));
        self.days.iter().any(|day| name(day) != name(&self.days[0]))
    }

    fn keep(&mut self, is_kept: impl Fn(Day) -> bool) {
        let mut kept = 0;
        for row in 0..self.days.len() {
            if is_kept(self.days[row]) {
                self.days[kept] = self.days[row];
                self.values.copy_within(row * self.width..(row + 1) * self.width, kept * self.width);
                kept += 1;
            }
        }
        self.left_out += (self.days.len() - kept) as u64;
        self.days.truncate(kept);
        self.values.truncate(kept * self.width);
    }

    fn cut_off_last(&mut self) -> Self {
        let mut moments: Vec<i64> = self.days.iter().map(|day| day.recorded_at_micros).collect();
        moments.sort_unstable();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "of a list in memory"
        )]
        let place = (moments.len() as f64 * FITTED_SHARE) as usize;
        let Some(from) = moments.get(place).copied() else { return Self { width: self.width, ..Self::default() } };
        let mut last = self.clone();
        let left_out = self.left_out;
        last.keep(|of| of.recorded_at_micros >= from);
        self.keep(|of| of.recorded_at_micros < from);
        (self.left_out, last.left_out) = (left_out, 0);
        last
    }
}

/// One of each four vehicles in the order of their coming; of the first four the second, so that two vehicles are enough, of all others
/// the lot decides, so that nothing that comes in turns is always on one side.
fn is_held_out(vehicle: usize, seed: u64) -> bool {
    let (four, place) = (vehicle / HELD_OUT_OF, vehicle % HELD_OUT_OF);
    let chosen = if four == 0 { 1 } else { SplitMix64::seed_from_u64(seed ^ four as u64).next_u64() % HELD_OUT_OF as u64 };
    place as u64 == chosen
}

/// Of one vehicle-day.
fn lot(of: Day, seed: u64) -> u64 {
    let day = of.recorded_at_micros.div_euclid(MICROS_PER_DAY).cast_unsigned();
    let vehicle = SplitMix64::seed_from_u64(seed ^ of.vehicle as u64).next_u64();
    SplitMix64::seed_from_u64(vehicle ^ day).next_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(vehicle: usize, seconds: i64) -> Day {
        Day { vehicle, recorded_at_micros: seconds * 1_000_000 }
    }

    #[test]
    fn no_vehicle_stands_in_both_parts_and_each_part_has_some() {
        for vehicles in [2, 3, 4, 9, 200] {
            let mut history = History::new(1, 7);
            for step in 0..10 {
                (0..vehicles).for_each(|vehicle| history.push(at(vehicle, step), &[1.0]));
            }
            let (fitted, held_out, by) = history.split();
            assert_eq!(by, SplitBy::Vehicle);
            assert_eq!(fitted.vehicles() + held_out.vehicles(), vehicles);
            assert_eq!(fitted.rows().len() + held_out.rows().len(), vehicles * 10);
            assert!(fitted.vehicles() > 0 && held_out.vehicles() > 0, "{vehicles} vehicles");
        }
    }

    #[test]
    fn vehicles_that_come_in_turns_are_held_out_at_all_places() {
        let places: std::collections::BTreeSet<usize> =
            (0..200).filter(|vehicle| is_held_out(*vehicle, 7)).map(|vehicle| vehicle % HELD_OUT_OF).collect();
        assert_eq!(places.len(), HELD_OUT_OF);
    }

    #[test]
    fn a_single_vehicle_is_measured_on_its_last_quarter() {
        let mut history = History::new(1, 7);
        (0..100_i16).for_each(|second| history.push(at(0, second.into()), &[second.into()]));
        let (fitted, held_out, by) = history.split();
        assert_eq!((by, fitted.rows().len(), held_out.rows().len()), (SplitBy::Time, 75, 25));
        assert_eq!((held_out.rows().row(0), fitted.left_out(), held_out.left_out()), (&[75.0][..], 0, 0));
        let nothing = History::new(1, 7).split();
        assert!(nothing.0.rows().is_empty() && nothing.1.rows().is_empty());
    }

    #[test]
    fn what_exceeds_the_bound_goes_by_whole_vehicle_days() {
        const READINGS_OF_A_DAY: i64 = 24;
        let mut history = History::bounded(2, 7, 500);
        for hour in 0..30 * READINGS_OF_A_DAY {
            (0..8).for_each(|vehicle| history.push(at(vehicle, hour * 3_600), &[1.0, 2.0]));
        }
        let (fitted, held_out, _) = history.split();
        for part in [fitted, held_out] {
            let name = |day: &Day| (day.vehicle, day.recorded_at_micros.div_euclid(MICROS_PER_DAY));
            let mut by_day = std::collections::BTreeMap::new();
            part.days().iter().for_each(|day| *by_day.entry(name(day)).or_insert(0) += 1);
            assert!((200..=500).contains(&part.rows().len()), "{} rows are kept", part.rows().len());
            assert!(by_day.values().all(|readings| *readings == READINGS_OF_A_DAY), "{by_day:?}");
            assert!(part.left_out() > 0);
        }
    }
}
