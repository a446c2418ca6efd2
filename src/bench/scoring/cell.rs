//! One model, one batch size, so many lanes: both sides in turn, round by round. What comes of the figures: `report`, `verdict`.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::ScoringError;
use super::rows::Rows;
use crate::analytics::model::{Model, ModelError};
use crate::analytics::scoring::Scoring;

/// Of one lane: the same model twice, each with a session of its own.
pub(super) struct Sides {
    pub scoring: Scoring,
    pub bare: Model,
}

pub(super) struct Cell<'a> {
    pub batch: usize,
    pub rounds: usize,
    pub slice: Duration,
    pub rows: &'a Rows,
}

/// What was seen.
pub(super) struct Measured {
    pub name: String,
    pub version: String,
    pub batch: usize,
    pub lanes: usize,
    pub ours: SideMeasured,
    pub bare: SideMeasured,
}

pub(super) struct SideMeasured {
    /// Of each round, all lanes together.
    pub rows_per_second: Vec<f64>,
    /// Of single calls.
    pub nanoseconds: Histogram<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Ours,
    Bare,
}

/// One thread's slices: calls per second of each round, and single calls.
struct Slices {
    ours: SideMeasured,
    bare: SideMeasured,
}

const LONGEST_NANOSECONDS: u64 = 60_000_000_000;

/// Before anything counts: first runs allocate.
const WARM_UP_CALLS: usize = 20;

impl Cell<'_> {
    pub(super) fn measure(&self, sides: &mut [Sides]) -> Result<Measured, ScoringError> {
        let contract = sides[0].bare.contract();
        let (name, version) = (contract.name.to_string(), contract.version.to_string());
        let failed = |error| ScoringError::Run { name: name.clone(), error };
        let calls = self.calls_of_a_slice(&mut sides[0]).map_err(failed)?;
        self.check_scores(&mut sides[0], &name)?;
        let lanes = sides.len();
        let barrier = Barrier::new(lanes);
        let threads: Vec<Result<Slices, ModelError>> = std::thread::scope(|scope| {
            let threads: Vec<_> = sides
                .iter_mut()
                .enumerate()
                .map(|(lane, sides)| {
                    let barrier = &barrier;
                    scope.spawn(move || self.take_turns(sides, calls, lane, barrier))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("a measuring thread does not panic")).collect()
        });
        let (mut ours, mut bare) = (SideMeasured::new(self.rounds), SideMeasured::new(self.rounds));
        for slices in threads {
            let slices = slices.map_err(failed)?;
            ours.add(&slices.ours);
            bare.add(&slices.bare);
        }
        Ok(Measured { name, version, batch: self.batch, lanes, ours, bare })
    }

    fn take_turns(&self, sides: &mut Sides, calls: usize, lane: usize, barrier: &Barrier) -> Result<Slices, ModelError> {
        let mut slices = Slices { ours: SideMeasured::new(self.rounds), bare: SideMeasured::new(self.rounds) };
        let mut failure = None;
        // Lanes begin at different rows.
        let mut call = lane * 1_009;
        for round in 0..self.rounds {
            let order = if round.is_multiple_of(2) { [Side::Ours, Side::Bare] } else { [Side::Bare, Side::Ours] };
            for side in order {
                let slice = if side == Side::Ours { &mut slices.ours } else { &mut slices.bare };
                barrier.wait();
                let began = Instant::now();
                for _ in 0..calls {
                    let call_began = Instant::now();
                    // A thread that failed goes on meeting the others, or they would wait for ever.
                    if let Err(error) = self.call(sides, side, call) {
                        failure = Some(error);
                    }
                    let spent = u64::try_from(call_began.elapsed().as_nanos()).unwrap_or(LONGEST_NANOSECONDS);
                    slice.nanoseconds.saturating_record(spent);
                    call += 1;
                }
                slice.rows_per_second[round] = as_f64(calls * self.batch) / began.elapsed().as_secs_f64();
            }
        }
        failure.map_or(Ok(slices), Err)
    }

    fn call(&self, sides: &mut Sides, side: Side, call: usize) -> Result<(), ModelError> {
        let (raw, filled) = self.rows.of_call(call, self.batch);
        match side {
            Side::Ours => {
                black_box(self.score(&mut sides.scoring, raw));
                Ok(())
            }
            Side::Bare => sides.bare.run_bare(black_box(filled)).map(|value| {
                black_box(value);
            }),
        }
    }

    /// As `lane` does it with the rows of a batch. Returns how many have a score.
    fn score(&self, scoring: &mut Scoring, raw: &[f32]) -> usize {
        scoring.clear();
        for row in raw.chunks_exact(self.rows.width()) {
            scoring.add_row(row);
        }
        scoring.run();
        let mut scores = Vec::with_capacity(1);
        let mut with_score = 0;
        for number in 0..self.batch {
            scores.clear();
            with_score += usize::from(scoring.judged(number).scores(&mut scores).is_ok());
        }
        with_score
    }

    fn check_scores(&self, sides: &mut Sides, name: &str) -> Result<(), ScoringError> {
        let (raw, _) = self.rows.of_call(0, self.batch);
        let missing = self.batch - self.score(&mut sides.scoring, raw);
        if missing == 0 {
            return Ok(());
        }
        Err(ScoringError::NotScored { name: name.to_owned(), rows: missing, batch: self.batch })
    }

    /// How many calls fill a slice, from a few that are timed.
    fn calls_of_a_slice(&self, sides: &mut Sides) -> Result<usize, ModelError> {
        let mut shortest = Duration::MAX;
        for call in 0..WARM_UP_CALLS {
            self.call(sides, Side::Ours, call)?;
            let began = Instant::now();
            self.call(sides, Side::Bare, call)?;
            shortest = shortest.min(began.elapsed());
        }
        let calls = self.slice.as_nanos() / shortest.as_nanos().max(1);
        Ok(usize::try_from(calls).unwrap_or(usize::MAX).clamp(1, 1_000_000))
    }
}

impl SideMeasured {
    fn new(rounds: usize) -> Self {
        let nanoseconds = Histogram::new_with_bounds(1, LONGEST_NANOSECONDS, 3).expect("the bounds are right");
        Self { rows_per_second: vec![0.0; rounds], nanoseconds }
    }

    /// Another lane's share of the same rounds.
    fn add(&mut self, other: &Self) {
        for (sum, rate) in self.rows_per_second.iter_mut().zip(&other.rows_per_second) {
            *sum += rate;
        }
        self.nanoseconds.add(&other.nanoseconds).expect("both have the same bounds");
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53 rows")]
pub(super) const fn as_f64(count: usize) -> f64 {
    count as f64
}
