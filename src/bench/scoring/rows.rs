//! Rows that vary like those of a fleet: around the golden rows of a model. Scores nothing.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::analytics::contract::Contract;

/// Different rows at least; many more than a cache of branches remembers.
const DIFFERENT: usize = 8_192;

/// Relative, and for features that are zero in a golden row.
const SPREAD: f32 = 0.05;

#[derive(Debug)]
pub struct Rows {
    width: usize,
    /// NaN where a feature is missing, as in the golden rows.
    raw: Vec<f32>,
    /// With the model's fill in its place.
    filled: Vec<f32>,
}

impl Rows {
    /// `most`: rows of the largest batch.
    #[must_use]
    pub fn around_golden(contract: &Contract, most: usize) -> Self {
        let width = contract.width();
        let golden = &contract.golden.rows;
        let mut random = StdRng::seed_from_u64(1);
        let count = DIFFERENT + most;
        let raw: Vec<f32> = (0..count)
            .flat_map(|row| {
                let row = row % (golden.len() / width);
                golden[row * width..(row + 1) * width].iter().copied()
            })
            .map(|value| {
                let noise: f32 = random.random_range(-SPREAD..SPREAD);
                value.mul_add(noise, value + noise)
            })
            .collect();
        let fill = contract.fill.iter().cycle();
        let filled = raw.iter().zip(fill).map(|(value, fill)| if value.is_nan() { *fill } else { *value }).collect();
        Self { width, raw, filled }
    }

    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// The rows of one call, raw and filled; other ones with every call.
    #[must_use]
    pub fn of_call(&self, call: usize, batch: usize) -> (&[f32], &[f32]) {
        let first = call * batch % DIFFERENT;
        let range = first * self.width..(first + batch) * self.width;
        (&self.raw[range.clone()], &self.filled[range])
    }
}
