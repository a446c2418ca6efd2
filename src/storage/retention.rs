//! Keeps the archive from growing for ever: once an hour, what is older than it is to be kept goes, in steps that the writer of
//! readings hardly notices.

use std::time::{Duration, Instant};

use super::{ArchiveError, SharedStore};
use crate::clock;
use crate::domain::Timestamp;
use crate::tasks::Stop;

const EVERY: Duration = Duration::from_hours(1);
/// Some 5 ms of work, after which the writer has its turn.
const ROWS_PER_STEP: u32 = 500;
/// Pauses this many times as long as a step took.
const PAUSE_PER_STEP: u32 = 4;
const MICROS_PER_HOUR: i64 = 3_600_000_000;

/// Runs until it is told to stop.
pub async fn run(archive: SharedStore, keep: Duration, mut stop: Stop) {
    loop {
        let oldest = clock::now().minus(keep);
        let forgotten = tokio::select! {
            forgotten = keep_up(&archive, oldest) => forgotten,
            () = stop.requested() => return,
        };
        match forgotten {
            Ok(0) => {}
            Ok(readings) => tracing::info!(readings, %oldest, "readings beyond the retention are deleted"),
            Err(error) => tracing::warn!(error = %error, "could not delete old readings; will try again in an hour"),
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.requested() => return,
        }
    }
}

/// Makes room for what comes, then [`forget`].
async fn keep_up(archive: &SharedStore, oldest: Timestamp) -> Result<u64, ArchiveError> {
    archive.prepare(clock::now()).await?;
    forget(archive, oldest).await
}

/// Deletes everything recorded before the hour that `oldest` is in, and returns how many readings that were. Whole hours, since summaries stand
/// for whole ones.
pub(super) async fn forget(archive: &SharedStore, oldest: Timestamp) -> Result<u64, ArchiveError> {
    let oldest = Timestamp::from_micros(oldest.as_micros().div_euclid(MICROS_PER_HOUR).saturating_mul(MICROS_PER_HOUR));
    let mut readings = 0;
    loop {
        let started = Instant::now();
        let deleted = archive.forget_readings(oldest, ROWS_PER_STEP).await?;
        if deleted == 0 {
            break;
        }
        readings += deleted;
        tokio::time::sleep(started.elapsed() * PAUSE_PER_STEP).await;
    }
    if readings > 0 {
        archive.forget_times(oldest).await?;
    }
    archive.forget_quarantined(oldest).await?;
    archive.forget_alerts(oldest).await?;
    Ok(readings)
}
