//! The input of a window model: signals on a grid of equal steps that ends with the reading. Nothing is made up: a cell holds the last
//! value that is not too old, and a window that does not reach back to the first step gives no row at all.

use std::time::Duration;

use super::name::FeatureNameError;
use super::{AsOf, MAX_DURATION, nearest};
use crate::analytics::window::Window;
use crate::domain::{NotScored, SignalId, SignalTable, Timestamp};

/// The shape of the input: `[steps, signals]`, oldest step first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    pub steps: usize,
    pub step: Duration,
    /// Oldest value that still stands for a step.
    pub max_age: Duration,
}

/// A grid with its signals looked up.
#[derive(Debug)]
pub struct GridPlan {
    grid: Grid,
    signals: Vec<SignalId>,
}

impl Grid {
    /// How far back it looks.
    #[must_use]
    pub fn reach(&self) -> Duration {
        let between = self.step.saturating_mul(u32::try_from(self.steps.saturating_sub(1)).unwrap_or(u32::MAX));
        between.saturating_add(self.max_age)
    }

    /// What is wrong with it, if anything.
    #[must_use]
    pub fn problem(&self) -> Option<&'static str> {
        let Self { steps, step, max_age } = *self;
        if !(2..=1_024).contains(&steps) {
            return Some("steps must be 2 to 1024");
        }
        if step < Duration::from_secs(1) || max_age.is_zero() {
            return Some("step must be at least 1s and max_age above 0");
        }
        (self.reach() > MAX_DURATION).then_some("together the steps reach back over more than 24h")
    }
}

impl GridPlan {
    /// # Errors
    /// Where the table does not know a signal.
    pub fn compile(grid: Grid, signals: &[String], table: &SignalTable) -> Result<Self, FeatureNameError> {
        let find = |name: &String| {
            table.find(name).ok_or_else(|| FeatureNameError::Unknown {
                name: name.clone(),
                nearest: nearest(name, table.iter().map(|(_, signal)| signal.name)).map(str::to_owned),
            })
        };
        Ok(Self { grid, signals: signals.iter().map(find).collect::<Result<_, _>>()? })
    }

    /// How far back a window has to reach.
    #[must_use]
    pub fn reach(&self) -> Duration {
        self.grid.reach()
    }

    /// Appends `[steps, signals]` as of one step of the window, row after row, NaN where no value is young enough. Returns how many
    /// cells are missing.
    ///
    /// # Errors
    /// Why there is no row: nothing was appended.
    pub fn append(&self, as_of: &AsOf<'_>, cells: &mut Vec<f32>) -> Result<usize, NotScored> {
        let AsOf { window, step, .. } = *as_of;
        let now = window.recorded_at(step);
        let first = now.minus(self.grid.step.saturating_mul(u32::try_from(self.grid.steps - 1).unwrap_or(u32::MAX)));
        let oldest = first.minus(self.grid.max_age);
        if !window.reaches_back_to(oldest) {
            return Err(NotScored::BeforeWindow);
        }
        // The step that stands for the first moment of the grid has to exist, or the vehicle was not there yet.
        let from = window.first_after(oldest);
        if from > step || window.recorded_at(from) > first {
            return Err(NotScored::TooFewReadings);
        }
        let begin = cells.len();
        let width = self.signals.len();
        cells.resize(begin + self.grid.steps * width, f32::NAN);
        let rows = &mut cells[begin..];
        let mut missing = 0;
        for (column, id) in self.signals.iter().enumerate() {
            missing += if as_of.believes(*id) {
                self.fill_column(window, (from, step), *id, &mut rows[column..])
            } else {
                self.grid.steps
            };
        }
        Ok(missing)
    }

    /// Cells stand `signals` apart.
    fn fill_column(&self, window: &Window, (from, to): (usize, usize), id: SignalId, cells: &mut [f32]) -> usize {
        let width = self.signals.len();
        let Some(values) = window.signal(id, from, to + 1) else { return self.grid.steps };
        let mut newest_first = window.micros_between(from, to + 1).rev().zip(values.iter().rev()).peekable();
        let now = window.recorded_at(to);
        let mut missing = 0;
        for row in (0..self.grid.steps).rev() {
            let back = self.grid.steps - 1 - row;
            let moment = now.minus(self.grid.step.saturating_mul(u32::try_from(back).unwrap_or(u32::MAX)));
            // What is newer than this moment is newer than all earlier ones too.
            while newest_first.next_if(|(micros, value)| *micros > moment.as_micros() || value.is_nan()).is_some() {}
            let value =
                newest_first.peek().filter(|(micros, _)| moment.since(Timestamp::from_micros(*micros)) <= self.grid.max_age);
            match value {
                Some((_, value)) => cells[row * width] = *value,
                None => missing += 1,
            }
        }
        missing
    }
}
