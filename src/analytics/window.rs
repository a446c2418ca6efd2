//! The last readings of one vehicle in event time, one column per signal it has ever sent. Computes nothing: `features`.
//!
//! A window is a ring over a few columns. Steps are ordered by `recorded_at`; readings of the same moment are one step. Once it has
//! its size, a reading costs no allocation. What was lost (by age or for want of memory) is remembered as one time, so that whoever
//! computes over a duration can tell whether all of it is still there.

mod codec;
mod columns;

use std::time::Duration;

use crate::domain::{Position, Reading, SignalId, Timestamp};

pub use codec::SignalLayout;

use columns::{FINGERPRINT, LATITUDE, LONGITUDE, TIME};

/// Most steps of a window, whatever its memory allows.
pub const MAX_STEPS: usize = 4_096;

/// Windows reach back at least this far, so that a message that is sent again is recognised.
pub const LEAST_KEPT: Duration = Duration::from_mins(10);

/// Further contents of one moment that are remembered as identities, oldest forgotten first: a vehicle that sends thousands of
/// different readings about one moment is broken, and the archive still keeps each of them once.
const MAX_UNITED: usize = 64;

/// Nothing lost yet.
const NOTHING: i64 = i64::MIN;

/// How far a window reaches back and how much memory it may take.
#[derive(Debug, Clone, Copy)]
pub struct WindowLimits {
    keep_micros: i64,
    max_bytes: usize,
}

#[derive(Debug, Clone)]
pub struct Window {
    /// Where the oldest step stands in each column.
    head: usize,
    len: usize,
    capacity: usize,
    /// Signals that have a column, one bit each; columns stand in the order of their bits.
    signals: u64,
    has_position: bool,
    /// Its column follows those of the signals.
    has_heading: bool,
    /// Column after column, `capacity` each. Coordinates are NaN where a step has none.
    wide: Box<[u64]>,
    /// The same for signals; NaN where a step lacks one, which no valid signal is.
    narrow: Box<[f32]>,
    /// Identities of further readings of a step's moment.
    united: Vec<(i64, u64)>,
    /// Time of the newest step that is gone or never got in.
    lost_through: i64,
}

/// What became of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insertion {
    /// It is in this step. `cut`: for want of memory the oldest step made room, though it was young enough to stay.
    Step { step: usize, cut: bool },
    /// Older than what the window holds.
    TooOld,
}

/// A run of steps of one column: a ring, so up to two pieces.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a, T>(&'a [T], &'a [T]);

impl<'a, T: Copy> Run<'a, T> {
    /// Oldest first.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = T> + 'a {
        self.0.iter().chain(self.1).copied()
    }
}

impl WindowLimits {
    /// Keeps steps up to an age of `longest`, the longest duration that any feature asks for, but at least [`LEAST_KEPT`].
    #[must_use]
    pub fn new(longest: Duration, max_bytes: usize) -> Self {
        let keep = longest.max(LEAST_KEPT);
        Self { keep_micros: i64::try_from(keep.as_micros()).unwrap_or(i64::MAX), max_bytes }
    }
}

impl Default for Window {
    fn default() -> Self {
        Self {
            head: 0,
            len: 0,
            capacity: 0,
            signals: 0,
            has_position: false,
            has_heading: false,
            wide: Box::default(),
            narrow: Box::default(),
            united: Vec::new(),
            lost_through: NOTHING,
        }
    }
}

impl Window {
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[must_use]
    pub fn newest(&self) -> Option<Timestamp> {
        self.len.checked_sub(1).map(|last| self.recorded_at(last))
    }

    #[must_use]
    pub fn recorded_at(&self, step: usize) -> Timestamp {
        Timestamp::from_micros(self.micros(step))
    }

    /// Whether every step after `since` that ever came is still here.
    #[must_use]
    pub const fn reaches_back_to(&self, since: Timestamp) -> bool {
        self.lost_through <= since.as_micros()
    }

    /// The first step after `since`.
    #[must_use]
    pub fn first_after(&self, since: Timestamp) -> usize {
        self.partition(|micros| micros <= since.as_micros())
    }

    /// Whether this very reading came before, as far as the window reaches back.
    #[must_use]
    pub fn contains(&self, recorded_at: Timestamp, fingerprint: u64) -> bool {
        let micros = recorded_at.as_micros();
        let step = self.partition(|other| other < micros);
        let is_in_step = step < self.len && self.micros(step) == micros;
        is_in_step && (self.wide_at(FINGERPRINT, step) == fingerprint || self.united.contains(&(micros, fingerprint)))
    }

    /// The column of a signal from step `from` up to `to` (exclusive), NaN where missing; `None` if the vehicle never sent it.
    #[must_use]
    pub fn signal(&self, id: SignalId, from: usize, to: usize) -> Option<Run<'_, f32>> {
        let bit = 1 << id.index();
        (self.signals & bit != 0).then(|| self.run(&self.narrow, self.signal_column(bit), from, to))
    }

    #[must_use]
    pub fn signal_at(&self, id: SignalId, step: usize) -> Option<f32> {
        let bit = 1 << id.index();
        let value = (self.signals & bit != 0).then(|| self.narrow_at(self.signal_column(bit), step))?;
        (!value.is_nan()).then_some(value)
    }

    /// Microseconds since 1970 of the steps from `from` up to `to` (exclusive).
    pub fn micros_between(&self, from: usize, to: usize) -> impl DoubleEndedIterator<Item = i64> + '_ {
        self.run(&self.wide, TIME, from, to).iter().map(u64::cast_signed)
    }

    #[must_use]
    pub fn position_at(&self, step: usize) -> Option<Position> {
        let at = |column| f64::from_bits(self.wide_at(column, step));
        // Missing coordinates are NaN, which no position accepts.
        self.has_position.then(|| Position::new(at(LATITUDE), at(LONGITUDE)).ok()).flatten()
    }

    #[must_use]
    pub fn heading_deg_at(&self, step: usize) -> Option<f32> {
        let heading = self.has_heading.then(|| self.narrow_at(self.heading_column(), step))?;
        (!heading.is_nan()).then_some(heading)
    }

    /// Memory of its columns and lists, beyond the struct itself.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        size_of_val(&*self.wide) + size_of_val(&*self.narrow) + self.united.capacity() * size_of::<(i64, u64)>()
    }

    /// Puts a reading into its place. Of several readings of one moment the later arrival wins, signal by signal.
    pub fn insert(&mut self, reading: &Reading, limits: &WindowLimits) -> Insertion {
        let micros = reading.recorded_at.as_micros();
        let newest = self.newest().map(Timestamp::as_micros);
        let is_newest = newest.is_none_or(|newest| micros > newest);
        let oldest_kept = if is_newest { micros } else { newest.unwrap_or(micros) }.saturating_sub(limits.keep_micros);
        if micros < oldest_kept || micros <= self.lost_through {
            self.lose(micros);
            return Insertion::TooOld;
        }
        while self.len > 0 && self.micros(0) < oldest_kept {
            self.drop_oldest();
        }
        let mut cut = self.add_columns_for(reading, limits);
        let mut step = self.partition(|other| other < micros);
        let is_united = step < self.len && self.micros(step) == micros;
        if is_united {
            self.unite(micros, reading.fingerprint);
        } else {
            if self.len == self.capacity && !self.grow(limits) {
                if step == 0 {
                    self.lose(micros);
                    return Insertion::TooOld;
                }
                self.drop_oldest();
                step -= 1;
                cut = true;
            }
            self.open_step(step);
            self.set_wide(TIME, step, micros.cast_unsigned());
            self.set_wide(FINGERPRINT, step, reading.fingerprint);
        }
        self.write(step, reading);
        Insertion::Step { step, cut }
    }

    fn write(&mut self, step: usize, reading: &Reading) {
        for (id, value) in reading.signals.iter() {
            self.set_narrow(self.signal_column(1 << id.index()), step, value);
        }
        if let Some(position) = &reading.position {
            self.set_wide(LATITUDE, step, position.latitude().to_bits());
            self.set_wide(LONGITUDE, step, position.longitude().to_bits());
            if let Some(heading_deg) = position.heading_deg {
                self.set_narrow(self.heading_column(), step, heading_deg);
            }
        }
    }

    fn unite(&mut self, micros: i64, fingerprint: u64) {
        if self.united.len() == MAX_UNITED {
            self.united.remove(0);
        }
        self.united.push((micros, fingerprint));
    }

    /// Makes an empty step; there is room.
    fn open_step(&mut self, step: usize) {
        self.len += 1;
        for later in (step + 1..self.len).rev() {
            for column in 0..self.wide_columns() {
                let moved = self.wide_at(column, later - 1);
                self.set_wide(column, later, moved);
            }
            for column in 0..self.narrow_columns() {
                let moved = self.narrow_at(column, later - 1);
                self.set_narrow(column, later, moved);
            }
        }
        for column in 0..self.wide_columns() {
            self.set_wide(column, step, f64::NAN.to_bits());
        }
        for column in 0..self.narrow_columns() {
            self.set_narrow(column, step, f32::NAN);
        }
    }

    fn drop_oldest(&mut self) {
        let oldest = self.micros(0);
        self.lose(oldest);
        self.head = self.physical(1);
        self.len -= 1;
        if !self.united.is_empty() {
            self.united.retain(|(micros, _)| *micros != oldest);
        }
    }

    fn lose(&mut self, micros: i64) {
        self.lost_through = self.lost_through.max(micros);
    }

    /// Number of steps at the front whose time fulfils `is_before`.
    fn partition(&self, is_before: impl Fn(i64) -> bool) -> usize {
        // Nearly always the question is about the newest step.
        if self.len > 0 && is_before(self.micros(self.len - 1)) {
            return self.len;
        }
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = usize::midpoint(low, high);
            if is_before(self.micros(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
mod tests;
