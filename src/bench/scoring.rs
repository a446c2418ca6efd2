//! `odograph bench scoring`: what the lane's scoring costs beside the bare runtime, and what many tasks get out of the real lanes.
//!
//! - **Ours and bare take turns.** A cell (model, batch, lanes) is measured in rounds; in each, both sides do the same number of rows for a
//!   few milliseconds, the first one alternating. What disturbs the machine disturbs both, so the figure to trust is the ratio within a
//!   round: its median, and a bootstrap interval around that. Rows per second are the medians of the rounds.
//! - Ours is what a lane does with rows that wait: copying them into the tensor with missing values filled, the run, the raw score,
//!   calibration. Bare is ONNX Runtime's run on complete rows. Both have the same sessions: one a thread, no thread of their own.
//! - Rows vary around the golden rows of the model: repeated ones flatter trees.
//! - **Tasks** drive the real line from decoded payload to durable: each waits for its receipt before it sends the next reading.
//!   Its figures are those of this disk too, so they have no verdict.

mod cell;
mod report;
pub mod rows;
mod tasks;
mod verdict;

use std::path::PathBuf;
use std::time::Duration;

use super::process::{self, ProcError};
use crate::analytics::blueprint::{BlueprintError, ModelSource};
use crate::analytics::lanes::StartError;
use crate::analytics::model::{Model, ModelError, Runtime, RuntimeError};
use crate::analytics::scoring::Scoring;
use crate::domain::SignalTable;
use crate::journal::JournalError;

pub use report::Report;
pub use verdict::{Baseline, BaselineError, Verdict};

use cell::{Cell, Sides};
use rows::Rows;
use tasks::TaskCell;

#[derive(Debug)]
pub struct ScoringBench {
    pub models: Vec<ModelSource>,
    /// Of ONNX Runtime.
    pub library: PathBuf,
    pub batches: Vec<usize>,
    pub lanes: Vec<usize>,
    /// Numbers of tasks that feed the lanes; empty: leave that out.
    pub tasks: Vec<usize>,
    pub rounds: usize,
    /// Of one side in one round.
    pub slice: Duration,
    pub seconds_of_tasks: Duration,
    /// A folder for the journal is made (and removed) in here.
    pub scratch: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum ScoringError {
    #[error("there is no model to measure")]
    NoModel,
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    #[error("model {}: {error}", origin.display())]
    Model { origin: PathBuf, error: ModelError },
    #[error("model {name}: a run failed: {error}")]
    Run { name: String, error: ModelError },
    #[error("model {name} gave no score for {rows} of {batch} rows around its golden ones")]
    NotScored { name: String, rows: usize, batch: usize },
    #[error(transparent)]
    Lanes(#[from] StartError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("a part of the line failed: {0}")]
    Line(String),
    #[error("could not use {}: {source}", path.display())]
    Scratch { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Proc(#[from] ProcError),
    #[error("could not start threads: {0}")]
    Threads(std::io::Error),
}

impl From<BlueprintError> for ScoringError {
    fn from(error: BlueprintError) -> Self {
        Self::Lanes(StartError::Blueprint(error))
    }
}

impl ScoringBench {
    /// Calls `progress` before each cell, with what it is about.
    pub fn run(&self, progress: impl Fn(String)) -> Result<Report, ScoringError> {
        if self.models.is_empty() {
            return Err(ScoringError::NoModel);
        }
        let runtime = Runtime::load(&self.library)?;
        let table = SignalTable::default();
        let (mut cells, mut task_cells) = (Vec::new(), Vec::new());
        for source in &self.models {
            let load = || {
                Model::load(&runtime, &source.file, &table)
                    .map_err(|error| ScoringError::Model { origin: source.origin.clone(), error })
            };
            let most_rows = self.batches.iter().copied().max().unwrap_or(1);
            let rows = Rows::around_golden(load()?.contract(), most_rows);
            for lanes in &self.lanes {
                let mut sides = Vec::with_capacity(*lanes);
                for _ in 0..*lanes {
                    let scoring = Scoring::new(vec![load()?], &table, most_rows);
                    let scoring = scoring.map_err(BlueprintError::Features)?;
                    sides.push(Sides { scoring, bare: load()? });
                }
                for batch in &self.batches {
                    progress(format!("{}, batch {batch}, {lanes} lanes", source.origin.display()));
                    let cell = Cell { batch: *batch, rounds: self.rounds, slice: self.slice, rows: &rows };
                    cells.push(cell.measure(&mut sides)?);
                }
            }
            for lanes in &self.lanes {
                for tasks in &self.tasks {
                    progress(format!("{}, {tasks} tasks, {lanes} lanes", source.origin.display()));
                    task_cells.push(TaskCell { bench: self, source, lanes: *lanes, tasks: *tasks }.measure()?);
                }
            }
        }
        Ok(Report::new(cells, task_cells, process::machine()?))
    }
}
