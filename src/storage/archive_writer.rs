//! Carries records from the journal to the archive: at least once, in order, skipping none. Runs on a thread of its own, since it
//! reads files; the archive's calls go through the runtime.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rand::RngExt;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::{ArchiveError, ArchiveRecord, SharedArchive, Stored};
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
    pub archive: SharedArchive,
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
                    // Only now may the journal forget them.
                    if self.persist(|writer| Ok(writer.reader.commit()?)).is_none() {
                        return;
                    }
                    ::metrics::histogram!(metrics::ARCHIVE_STORE_SECONDS).record(started.elapsed().as_secs_f64());
                    let has_backlog = frames.len() >= self.settings.batch_max;
                    if !has_backlog {
                        thread::sleep(self.settings.pause.duration().saturating_sub(started.elapsed()));
                    }
                }
            }
            #[expect(clippy::cast_precision_loss, reason = "a gauge is for looking at")]
            ::metrics::gauge!(metrics::ARCHIVE_LAG_BYTES).set(self.reader.lag_bytes() as f64);
        }
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tempfile::TempDir;

    use super::*;
    use crate::domain::{Outcome, Receipt, Slot, VehicleId};
    use crate::journal::{Batch, Journal};
    use crate::storage::{QuarantineQuery, ReadingsQuery};
    use crate::tasks::Tasks;
    use crate::wire::record::{Assessed, RecordEncoder};

    struct Line {
        folder: TempDir,
        archive: SqliteArchive,
        journal: Journal,
        tasks: Tasks,
        health: ArchiveHealth,
        writer: thread::JoinHandle<()>,
    }

    async fn a_line(batch_max: usize, prepare: &'static str) -> Line {
        let folder = tempfile::tempdir().unwrap();
        let archive = open(folder.path()).await;
        archive.run_sql(prepare).await;
        let tasks = Tasks::default();
        let (journal, health, writer) = start(folder.path(), &archive, batch_max, &tasks);
        Line { folder, archive, journal, tasks, health, writer }
    }

    async fn open(folder: &Path) -> SqliteArchive {
        SqliteArchive::open(&folder.join("archive.sqlite"), Arc::new(SignalTable::default())).await.unwrap()
    }

    fn start(
        folder: &Path,
        archive: &SqliteArchive,
        batch_max: usize,
        tasks: &Tasks,
    ) -> (Journal, ArchiveHealth, thread::JoinHandle<()>) {
        let (journal, _recovery) = Journal::open(&folder.join("journal"), &settings::Journal::default(), tasks).unwrap();
        let health = ArchiveHealth::default();
        let writer = ArchiveWriter {
            reader: journal.reader(CURSOR).unwrap(),
            durable: journal.durable(),
            archive: archive.clone(),
            table: Arc::new(SignalTable::default()),
            settings: settings::Archive { batch_max, pause: settings::Interval::from_millis(1), ..settings::Archive::default() },
            health: health.clone(),
            runtime: Handle::current(),
        };
        (journal, health, thread::spawn(move || writer.run()))
    }

    /// Durable once this returns.
    async fn send(journal: &Journal, sequences: std::ops::Range<u64>) {
        let mut batch = Batch::new();
        let mut encoder = RecordEncoder::new(Arc::new(SignalTable::default()));
        let mut assessment = crate::storage::sqlite::tests::at(1_795_478_400_000_000);
        for sequence in sequences {
            let reading = &mut assessment.reading;
            (reading.sequence, reading.fingerprint) = (Some(sequence), sequence);
            let assessed = Assessed {
                reading,
                timing: assessment.timing,
                scores: &[],
                not_scored: assessment.not_scored,
                quality: assessment.quality,
                lost_before_us: 0,
                findings: &[],
                revision: 0,
            };
            batch.push(reading.vehicle_id.slot(), sequence, |out| encoder.assessment(assessed, out));
        }
        let (receipt, kept) = Receipt::new();
        batch.promise(receipt, Outcome::default());
        journal.submit(batch).unwrap();
        kept.await.unwrap();
    }

    impl Line {
        /// Closes the journal, waits for the writer, and returns the sequences that are in the archive.
        async fn end(self) -> (Vec<u64>, SqliteArchive, TempDir) {
            drop(self.journal);
            self.tasks.finished().await.unwrap();
            let writer = self.writer;
            tokio::task::spawn_blocking(move || writer.join().unwrap()).await.unwrap();
            (sequences(&self.archive).await, self.archive, self.folder)
        }
    }

    async fn sequences(archive: &SqliteArchive) -> Vec<u64> {
        let vehicle_id = VehicleId::new("truck-7").unwrap();
        let query = ReadingsQuery { vehicle_id, from: None, to: None, after: None, limit: 10_000 };
        let page = archive.readings(&query).await.unwrap();
        page.map_or_else(Vec::new, |page| page.readings.iter().filter_map(|each| each.reading.sequence).collect())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn everything_durable_is_in_the_archive_when_the_journal_has_ended() {
        let line = a_line(7, "select 1").await;
        send(&line.journal, 0..100).await;
        send(&line.journal, 100..150).await;
        let (stored, _archive, _folder) = line.end().await;
        assert_eq!(stored, (0..150).collect::<Vec<_>>());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_one_record_that_the_archive_refuses_is_quarantined_and_the_rest_goes_on() {
        let poison = "create trigger poison before insert on readings when new.sequence = 13
            begin select raise(abort, 'poison'); end";
        let line = a_line(64, poison).await;
        send(&line.journal, 0..100).await;
        let (stored, archive, _folder) = line.end().await;
        assert_eq!(stored, (0..100).filter(|sequence| *sequence != 13).collect::<Vec<_>>());
        let query = QuarantineQuery { limit: 10, ..QuarantineQuery::default() };
        let refused = archive.quarantine(&query).await.unwrap().messages;
        let [refused] = refused.as_slice() else { panic!("one message, not {}", refused.len()) };
        assert_eq!((refused.message.reason, &*refused.message.vehicle_id), (Reason::ArchiveRefused, "truck-7"));
        assert!(refused.message.detail.contains("poison"), "{}", refused.message.detail);
        let payload = decode_record(&refused.message.payload, 13, &SignalTable::default()).unwrap();
        assert!(matches!(payload, Record::Assessment(kept) if kept.reading.sequence == Some(13)), "it is kept whole");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_record_that_makes_no_sense_is_kept_as_it_is() {
        let line = a_line(64, "select 1").await;
        let mut batch = Batch::new();
        batch.push(Slot::of("x"), 1, |out| out.extend_from_slice(b"\xff nonsense"));
        line.journal.submit(batch).unwrap();
        send(&line.journal, 0..1).await;
        let (stored, archive, _folder) = line.end().await;
        assert_eq!(stored, [0]);
        let query = QuarantineQuery { limit: 10, ..QuarantineQuery::default() };
        assert_eq!(archive.quarantine(&query).await.unwrap().messages[0].message.payload, b"\xff nonsense".as_slice());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_is_skipped_while_the_archive_fails() {
        let line = a_line(10, "alter table readings rename to away").await;
        send(&line.journal, 0..30).await;
        let health = line.health.clone();
        let failing = tokio::task::spawn_blocking(move || {
            let deadline = Instant::now() + Duration::from_secs(20);
            while health.problem().is_none() && Instant::now() < deadline {
                thread::yield_now();
            }
            health.problem()
        });
        assert!(failing.await.unwrap().expect("health says so").contains("readings"));
        line.archive.run_sql("alter table away rename to readings").await;
        let health = line.health.clone();
        let (stored, _archive, _folder) = line.end().await;
        assert_eq!((stored, health.problem()), ((0..30).collect::<Vec<_>>(), None));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_restart_goes_on_where_the_cursor_stands_and_stores_nothing_twice() {
        let line = a_line(10, "select 1").await;
        send(&line.journal, 0..30).await;
        let (_stored, archive, folder) = line.end().await;
        // As after a crash between the archive's commit and the cursor's.
        for entry in std::fs::read_dir(folder.path().join("journal")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "cursor") {
                std::fs::remove_file(path).unwrap();
            }
        }
        let tasks = Tasks::default();
        let (journal, health, writer) = start(folder.path(), &archive, 10, &tasks);
        send(&journal, 30..40).await;
        let (stored, _archive, _folder) = Line { folder, archive, journal, tasks, health, writer }.end().await;
        assert_eq!(stored, (0..40).collect::<Vec<_>>());
    }
}
