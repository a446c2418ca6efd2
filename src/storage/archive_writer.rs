//! Carries records from the journal to the archive: at least once, in order, skipping none. Runs on a thread of its own, since it
//! reads files; the archive's calls go through the runtime.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rand::RngExt;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::{ArchiveError, ArchiveRecord, SharedStore, Stored};
use crate::crash_point::{self, CrashPoint};
use crate::domain::{MAX_KEPT_PAYLOAD_BYTES, Quarantined, Reason, SignalTable, Source, Timestamp};
use crate::journal::{Frame, JournalError, More, Position, Reader};
use crate::wire::record::{Record, decode_record};
use crate::{clock, metrics, settings};

/// Name of the archive's cursor in the journal.
pub const CURSOR: &str = "archive";

/// Tries again after this long, twice as long every time up to the second; each less up to half by chance.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
const LOG_EVERY: Duration = Duration::from_mins(1);
/// How long an idle writer waits before it looks around: only the lag metric depends on it.
const IDLE: Duration = Duration::from_secs(1);
/// At shutdown, with the archive down: what is left waits in the journal for the next start.
const GIVE_UP_AFTER: Duration = Duration::from_secs(10);

/// Everything the writer needs; [`ArchiveWriter::run`] works until the journal is closed and read to its end.
pub struct ArchiveWriter {
    /// Of [`CURSOR`].
    pub reader: Reader,
    /// Closed once the journal takes nothing more.
    pub durable: watch::Receiver<Position>,
    pub archive: SharedStore,
    pub table: Arc<SignalTable>,
    pub settings: settings::Archive,
    pub health: ArchiveHealth,
    pub runtime: Handle,
}

/// Whether the archive takes what is written. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ArchiveHealth(Arc<Mutex<Option<String>>>);

impl ArchiveHealth {
    /// Why nothing can be stored at present.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.0.lock().expect("no holder panics").clone()
    }

    fn set(&self, problem: Option<String>) {
        *self.0.lock().expect("no holder panics") = problem;
    }
}

#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

impl ArchiveWriter {
    /// Blocks. Returns once the journal is closed and everything is stored, or cannot be.
    pub fn run(mut self) {
        loop {
            match self.reader.wait_for_more(IDLE) {
                More::Ended => return,
                More::TimedOut => {}
                More::Ready => {
                    let started = Instant::now();
                    let Some(frames) = self.persist(|writer| Ok(writer.reader.next(writer.settings.batch_max)?)) else { return };
                    let mut records = self.decode(&frames);
                    if self.persist(|writer| writer.store(&mut records, &frames)).is_none() {
                        return;
                    }
                    crash_point::reached(CrashPoint::ArchiveCommitted);
                    // Only now may the journal forget them.
                    if self.persist(|writer| Ok(writer.reader.commit()?)).is_none() {
                        return;
                    }
                    crash_point::reached(CrashPoint::CursorMoved);
                    ::metrics::histogram!(metrics::ARCHIVE_STORE_SECONDS).record(started.elapsed().as_secs_f64());
                    let has_backlog = frames.len() >= self.settings.batch_max;
                    if !has_backlog {
                        thread::sleep(self.settings.pause.duration().saturating_sub(started.elapsed()));
                    }
                }
            }
            self.report_lag();
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge is for looking at")]
    fn report_lag(&self) {
        ::metrics::gauge!(metrics::ARCHIVE_LAG_BYTES).set(self.reader.lag_bytes() as f64);
    }

    /// Tries until it succeeds. `None`: the journal is closed, and it is time to end.
    fn persist<T>(&mut self, mut attempt: impl FnMut(&mut Self) -> Result<T, WriteError>) -> Option<T> {
        let mut wait = FIRST_WAIT;
        let mut attempts = 0_u32;
        let mut last_logged: Option<Instant> = None;
        let mut closed_since: Option<Instant> = None;
        loop {
            let error = match attempt(self) {
                Ok(done) => {
                    self.health.set(None);
                    return Some(done);
                }
                Err(error) => error,
            };
            attempts += 1;
            ::metrics::counter!(metrics::ARCHIVE_FAILURES).increment(1);
            self.health.set(Some(error.to_string()));
            self.report_lag();
            if last_logged.is_none_or(|last| last.elapsed() >= LOG_EVERY) {
                last_logged = Some(Instant::now());
                tracing::warn!(attempts, error = %error, "the archive takes nothing, the journal keeps it; will retry");
            }
            let is_closed = self.durable.has_changed().is_err();
            if is_closed && closed_since.get_or_insert_with(Instant::now).elapsed() >= GIVE_UP_AFTER {
                tracing::warn!(error = %error, "stopping with records that are not archived; the next start does it");
                return None;
            }
            thread::sleep(wait.mul_f64(rand::rng().random_range(0.5..=1.0)));
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// A record that cannot be read is kept as it is, for whoever finds out why.
    fn decode(&self, frames: &[Frame]) -> Vec<ArchiveRecord> {
        let decode = |frame: &Frame| {
            let record = decode_record(&frame.payload, frame.arrival, &self.table).unwrap_or_else(|error| {
                tracing::error!(slot = frame.slot.number(), arrival = frame.arrival, error = %error, "a journal record makes no sense");
                refusal(frame, clock::now(), "", &error.to_string())
            });
            ArchiveRecord { slot: frame.slot, arrival: frame.arrival, record }
        };
        frames.iter().map(decode).collect()
    }

    /// Stores all, and in place of a record that the archive refuses for ever a note that says so.
    fn store(&self, records: &mut [ArchiveRecord], frames: &[Frame]) -> Result<Stored, WriteError> {
        let error = match self.runtime.block_on(self.archive.store(records)) {
            Ok(stored) => return Ok(stored),
            Err(error) if error.is_transient() => return Err(error.into()),
            Err(error) => error,
        };
        if let [record] = records {
            let (vehicle_id, received_at) = match &record.record {
                Record::Assessment(assessment) => (assessment.reading.vehicle_id.clone(), assessment.reading.received_at),
                Record::AlertEvent(event) => (event.alert.vehicle_id.clone(), event.at),
                Record::Quarantined(_) => return Err(error.into()),
            };
            tracing::error!(%vehicle_id, %received_at, error = %error, "the archive refuses a record");
            record.record = refusal(&frames[0], received_at, vehicle_id.as_str(), &error.to_string());
            return self.store(records, frames);
        }
        let (first, second) = records.split_at_mut(frames.len() / 2);
        let (first_frames, second_frames) = frames.split_at(first.len());
        let mut stored = self.store(first, first_frames)?;
        stored += self.store(second, second_frames)?;
        Ok(stored)
    }
}

/// What takes the place of a record in the archive.
fn refusal(frame: &Frame, received_at: Timestamp, vehicle_id: &str, detail: &str) -> Record {
    ::metrics::counter!(metrics::MESSAGES_QUARANTINED, "reason" => Reason::ArchiveRefused.code()).increment(1);
    Record::Quarantined(Box::new(Quarantined {
        received_at,
        source: Source::Journal,
        vehicle_id: vehicle_id.into(),
        reason: Reason::ArchiveRefused,
        detail: detail.into(),
        payload: frame.payload.slice(..frame.payload.len().min(MAX_KEPT_PAYLOAD_BYTES)),
        payload_bytes: frame.payload.len() as u64,
        index: 0,
    }))
}
