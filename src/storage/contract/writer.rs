//! The archive behind the journal: everything durable arrives, once, whatever fails on the way.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::runtime::Handle;

use super::fixtures::{MIDNIGHT, at};
use super::{Opened, Site};
use crate::domain::{Outcome, Reason, Receipt, SignalTable, Slot, VehicleId};
use crate::journal::{Batch, Journal};
use crate::settings;
use crate::storage::archive_writer::{ArchiveHealth, ArchiveWriter, CURSOR};
use crate::storage::{QuarantineQuery, ReadingsQuery, SharedArchive, SharedStore};
use crate::tasks::Tasks;
use crate::wire::record::{Assessed, Record, RecordEncoder, decode_record};

struct Line<S> {
    site: S,
    folder: TempDir,
    archive: Opened,
    journal: Journal,
    tasks: Tasks,
    health: ArchiveHealth,
    writer: thread::JoinHandle<()>,
}

async fn a_line<S: Site>(batch_max: usize, prepare: &'static str) -> Line<S> {
    let (site, folder) = (S::new().await, tempfile::tempdir().unwrap());
    let archive = site.open().await;
    site.run_sql(prepare).await;
    let tasks = Tasks::default();
    let (journal, health, writer) = start(folder.path(), &archive.own, batch_max, &tasks);
    Line { site, folder, archive, journal, tasks, health, writer }
}

fn start(
    folder: &Path,
    archive: &SharedStore,
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
    let mut assessment = at(MIDNIGHT);
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

impl<S> Line<S> {
    /// Closes the journal, waits for the writer, and returns the sequences that are in the archive.
    async fn end(self) -> (Vec<u64>, S, Opened, TempDir) {
        drop(self.journal);
        self.tasks.finished().await.unwrap();
        let writer = self.writer;
        tokio::task::spawn_blocking(move || writer.join().unwrap()).await.unwrap();
        (sequences(&self.archive).await, self.site, self.archive, self.folder)
    }
}

async fn sequences(archive: &SharedArchive) -> Vec<u64> {
    let vehicle_id = VehicleId::new("truck-7").unwrap();
    let query = ReadingsQuery { vehicle_id, from: None, to: None, after: None, limit: 10_000 };
    let page = archive.readings(&query).await.unwrap();
    page.map_or_else(Vec::new, |page| page.readings.iter().filter_map(|each| each.reading.sequence).collect())
}

pub(crate) async fn everything_durable_is_in_the_archive_when_the_journal_has_ended<S: Site>() {
    let line = a_line::<S>(7, "select 1").await;
    send(&line.journal, 0..100).await;
    send(&line.journal, 100..150).await;
    let (stored, _site, _archive, _folder) = line.end().await;
    assert_eq!(stored, (0..150).collect::<Vec<_>>());
}

pub(crate) async fn the_one_record_that_the_archive_refuses_is_quarantined_and_the_rest_goes_on<S: Site>() {
    let line = a_line::<S>(64, S::POISON).await;
    send(&line.journal, 0..100).await;
    let (stored, _site, archive, _folder) = line.end().await;
    assert_eq!(stored, (0..100).filter(|sequence| *sequence != 13).collect::<Vec<_>>());
    let query = QuarantineQuery { limit: 10, ..QuarantineQuery::default() };
    let refused = archive.quarantine(&query).await.unwrap().messages;
    let [refused] = refused.as_slice() else { panic!("one message, not {}", refused.len()) };
    assert_eq!((refused.message.reason, &*refused.message.vehicle_id), (Reason::ArchiveRefused, "truck-7"));
    assert!(refused.message.detail.contains("poison"), "{}", refused.message.detail);
    let payload = decode_record(&refused.message.payload, 13, &SignalTable::default()).unwrap();
    assert!(matches!(payload, Record::Assessment(kept) if kept.reading.sequence == Some(13)), "it is kept whole");
}

pub(crate) async fn a_record_that_makes_no_sense_is_kept_as_it_is<S: Site>() {
    let line = a_line::<S>(64, "select 1").await;
    let mut batch = Batch::new();
    batch.push(Slot::of("x"), 1, |out| out.extend_from_slice(b"\xff nonsense"));
    line.journal.submit(batch).unwrap();
    send(&line.journal, 0..1).await;
    let (stored, _site, archive, _folder) = line.end().await;
    assert_eq!(stored, [0]);
    let query = QuarantineQuery { limit: 10, ..QuarantineQuery::default() };
    assert_eq!(archive.quarantine(&query).await.unwrap().messages[0].message.payload, b"\xff nonsense".as_slice());
}

pub(crate) async fn nothing_is_skipped_while_the_archive_fails<S: Site>() {
    let line = a_line::<S>(10, "alter table readings rename to away").await;
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
    line.site.run_sql("alter table away rename to readings").await;
    let health = line.health.clone();
    let (stored, _site, _archive, _folder) = line.end().await;
    assert_eq!((stored, health.problem()), ((0..30).collect::<Vec<_>>(), None));
}

pub(crate) async fn a_restart_goes_on_where_the_cursor_stands_and_stores_nothing_twice<S: Site>() {
    let line = a_line::<S>(10, "select 1").await;
    send(&line.journal, 0..30).await;
    let (_stored, site, archive, folder) = line.end().await;
    // As after a crash between the archive's commit and the cursor's.
    for entry in std::fs::read_dir(folder.path().join("journal")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "cursor") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let tasks = Tasks::default();
    let (journal, health, writer) = start(folder.path(), &archive.own, 10, &tasks);
    send(&journal, 30..40).await;
    let (stored, _site, _archive, _folder) = Line { site, folder, archive, journal, tasks, health, writer }.end().await;
    assert_eq!(stored, (0..40).collect::<Vec<_>>());
}
