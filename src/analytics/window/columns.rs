//! Where the values of a window stand: its columns, and how they become more or longer.

use super::{MAX_STEPS, Run, Window, WindowLimits};
use crate::domain::Reading;

/// Room for the first readings of a vehicle; many vehicles are seen once and never again.
const FIRST_STEPS: usize = 4;

/// Columns of 8 bytes: time, fingerprint, and the coordinates where the vehicle has ever sent a position.
pub(super) const TIME: usize = 0;
pub(super) const FINGERPRINT: usize = 1;
pub(super) const LATITUDE: usize = 2;
pub(super) const LONGITUDE: usize = 3;

impl Window {
    /// Whether a step was lost to the memory that new columns take.
    pub(super) fn add_columns_for(&mut self, reading: &Reading, limits: &WindowLimits) -> bool {
        let signals = self.signals | reading.signals.present_bits();
        let has_position = self.has_position || reading.position.is_some();
        let has_heading = self.has_heading || reading.position.is_some_and(|position| position.heading_deg.is_some());
        if (signals, has_position, has_heading) == (self.signals, self.has_position, self.has_heading) {
            return false;
        }
        let mut wider = Self { signals, has_position, has_heading, ..Self::default() };
        wider.allocate(self.capacity.min(wider.most_steps(limits)));
        self.move_into(wider)
    }

    /// Whether there is room for one more step now.
    pub(super) fn grow(&mut self, limits: &WindowLimits) -> bool {
        let capacity = (self.capacity + (self.capacity / 4).max(FIRST_STEPS)).min(self.most_steps(limits));
        if capacity <= self.capacity {
            return false;
        }
        let (signals, has_position, has_heading) = (self.signals, self.has_position, self.has_heading);
        let mut larger = Self { signals, has_position, has_heading, ..Self::default() };
        larger.allocate(capacity);
        self.move_into(larger);
        true
    }

    fn most_steps(&self, limits: &WindowLimits) -> usize {
        let step_bytes = self.wide_columns() * size_of::<u64>() + self.narrow_columns() * size_of::<f32>();
        // At least two, so that there is a previous reading.
        (limits.max_bytes / step_bytes).clamp(2, MAX_STEPS)
    }

    pub(super) fn allocate(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.wide = vec![f64::NAN.to_bits(); self.wide_columns() * capacity].into_boxed_slice();
        self.narrow = vec![f32::NAN; self.narrow_columns() * capacity].into_boxed_slice();
    }

    /// Becomes `other`, an empty window with other columns or capacity, and keeps its steps as far as they fit. True: they do not all fit.
    pub(super) fn move_into(&mut self, mut other: Self) -> bool {
        let is_cut = self.len > other.capacity;
        while self.len > other.capacity {
            self.drop_oldest();
        }
        other.len = self.len;
        other.lost_through = self.lost_through;
        other.united = std::mem::take(&mut self.united);
        for step in 0..self.len {
            for column in 0..self.wide_columns().min(other.wide_columns()) {
                other.set_wide(column, step, self.wide_at(column, step));
            }
            for index in 0..u64::BITS {
                let bit = 1 << index;
                if self.signals & other.signals & bit != 0 {
                    other.set_narrow(other.signal_column(bit), step, self.narrow_at(self.signal_column(bit), step));
                }
            }
            if self.has_heading {
                other.set_narrow(other.heading_column(), step, self.narrow_at(self.heading_column(), step));
            }
        }
        *self = other;
        is_cut
    }

    pub(super) const fn wide_columns(&self) -> usize {
        if self.has_position { LONGITUDE + 1 } else { FINGERPRINT + 1 }
    }

    pub(super) const fn narrow_columns(&self) -> usize {
        self.signals.count_ones() as usize + self.has_heading as usize
    }

    /// `bit` is among `signals`: its column is the number of bits below.
    pub(super) const fn signal_column(&self, bit: u64) -> usize {
        (self.signals & (bit - 1)).count_ones() as usize
    }

    pub(super) const fn heading_column(&self) -> usize {
        self.signals.count_ones() as usize
    }

    pub(super) const fn physical(&self, step: usize) -> usize {
        let index = self.head + step;
        if index >= self.capacity { index - self.capacity } else { index }
    }

    pub(super) fn micros(&self, step: usize) -> i64 {
        self.wide_at(TIME, step).cast_signed()
    }

    pub(super) fn wide_at(&self, column: usize, step: usize) -> u64 {
        self.wide[column * self.capacity + self.physical(step)]
    }

    pub(super) fn set_wide(&mut self, column: usize, step: usize, value: u64) {
        self.wide[column * self.capacity + self.physical(step)] = value;
    }

    pub(super) fn narrow_at(&self, column: usize, step: usize) -> f32 {
        self.narrow[column * self.capacity + self.physical(step)]
    }

    pub(super) fn set_narrow(&mut self, column: usize, step: usize, value: f32) {
        self.narrow[column * self.capacity + self.physical(step)] = value;
    }

    pub(super) fn run<'a, T>(&self, block: &'a [T], column: usize, from: usize, to: usize) -> Run<'a, T> {
        let column = &block[column * self.capacity..][..self.capacity];
        let (start, end) = (self.head + from, self.head + to);
        if end <= self.capacity {
            Run(&column[start..end], &[])
        } else if start >= self.capacity {
            Run(&column[start - self.capacity..end - self.capacity], &[])
        } else {
            Run(&column[start..], &column[..end - self.capacity])
        }
    }
}
