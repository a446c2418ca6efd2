//! How well alerts find what was wrong: the lane's code over labelled history. Prints nothing: `cli`.

mod scoreboard;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::analytics::lane::LaneParts;
use crate::analytics::offline::OfflineLane;
use crate::domain::SignalTable;
use crate::wire::history::{ColumnMap, HistoryError, HistoryReader, ReadOptions, RowCounts};

pub use scoreboard::{AFTER_EFFECTS, GRACE, KindResult, Result as Scores, Scoreboard};

#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error("{} has no column `fault`, so nothing says what was wrong when; `odograph simulate --out` writes one, and --healthy takes a file as healthy throughout", path.display())]
    NoLabels { path: PathBuf },
}

#[derive(Debug)]
pub struct Evaluation<'a> {
    pub files: &'a [PathBuf],
    pub columns: &'a ColumnMap,
    pub table: &'a Arc<SignalTable>,
    pub read: ReadOptions,
    /// Files without labels are healthy throughout.
    pub healthy: bool,
}

#[derive(Debug)]
pub struct Evaluated {
    pub scores: Scores,
    pub rows: RowCounts,
    /// Reading the files is not part of it.
    pub lane_time: Duration,
}

/// Readings that are read before the lane gets them, so that its time is not that of the file.
const CHUNK: usize = 8_192;

impl Evaluation<'_> {
    /// # Errors
    /// Where a file cannot be read, or lacks labels.
    pub fn run(&self, parts: LaneParts, mut progress: impl FnMut(&Path, u64)) -> Result<Evaluated, EvaluationError> {
        let mut lane = OfflineLane::new(parts);
        let mut board = Scoreboard::default();
        let mut counts = RowCounts::default();
        let mut lane_time = Duration::ZERO;
        let mut chunk = Vec::with_capacity(CHUNK);
        for path in self.files {
            let mut rows = HistoryReader::open(path, self.columns, Arc::clone(self.table), &self.read)?;
            if !rows.is_labelled() && !self.healthy {
                return Err(EvaluationError::NoLabels { path: path.clone() });
            }
            let mut is_more = true;
            while is_more {
                while chunk.len() < CHUNK {
                    let Some(row) = rows.next() else {
                        is_more = false;
                        break;
                    };
                    let row = row?;
                    board.reading(&row.reading.vehicle_id, row.reading.recorded_at, row.fault.as_deref());
                    chunk.push(row.reading);
                }
                let began = Instant::now();
                for reading in chunk.drain(..) {
                    lane.push(reading, &mut |event| board.event(event));
                }
                lane_time += began.elapsed();
                progress(path, rows.counts().rows);
            }
            counts.add(rows.counts());
        }
        let began = Instant::now();
        lane.finish(&mut |event| board.event(event));
        lane_time += began.elapsed();
        Ok(Evaluated { scores: board.finish(), rows: counts, lane_time })
    }
}
