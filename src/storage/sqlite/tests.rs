//! The contract over files, and what only SQLite has.

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::domain::signal::SIGNALS;
use crate::storage::contract::fixtures::{
    MIDNIGHT, MINUTE, a_full_assessment, a_refused_message, at, by, history, record, table,
};
use crate::storage::contract::{self, Opened, Site};
use crate::storage::{ArchiveAddress, columns};

pub(crate) struct Folder(TempDir);

impl Folder {
    fn file(&self) -> PathBuf {
        self.0.path().join("archive.sqlite")
    }
}

impl Site for Folder {
    const POISON: &str =
        "create trigger poison before insert on readings when new.sequence = 13 begin select raise(abort, 'poison'); end";

    const CASES: u32 = 24;

    const MIGRATIONS: usize = super::MIGRATIONS.len();

    const FIRST_READING: &str = "insert into vehicles (vehicle_id, slot) values ('truck-7', 1);
        insert into readings (vehicle, recorded_at, fingerprint, received_at, arrival, revision, not_scored, speed_km_per_h)
        values (1, 1795478401000000, 5, 1795478401020000, 1, 0, 'no_model', 63.25);
        insert into vehicle_hours (vehicle, hour) values (1, 1795478400000000 / 3600000000)";

    async fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn address(&self) -> ArchiveAddress {
        ArchiveAddress::Sqlite(self.file())
    }

    async fn migrate(&self, migrations: usize) {
        let options = SqliteConnectOptions::new().filename(self.file()).create_if_missing(true);
        let pool = SqlitePool::connect_with(options).await.unwrap();
        migrate(&self.file(), &pool, &super::MIGRATIONS[..migrations]).await.unwrap();
        pool.close().await;
    }

    async fn run_sql(&self, statements: &'static str) {
        let options = SqliteConnectOptions::new().filename(self.file()).create_if_missing(true);
        sqlx::raw_sql(statements).execute(&mut options.connect().await.unwrap()).await.unwrap();
    }
}

contract::tests!(Folder);

pub(crate) async fn an_archive() -> (TempDir, SqliteArchive) {
    let folder = tempfile::tempdir().unwrap();
    let archive = SqliteArchive::open(&folder.path().join("archive.sqlite"), table()).await.unwrap();
    (folder, archive)
}

#[tokio::test]
async fn what_is_stored_after_failures_in_a_row_is_committed() {
    let (folder, archive) = an_archive().await;
    let folder = Folder(folder);
    // As a full disk does, the first ends the transaction, and the second does not.
    for refusal in [
        "create trigger refusal before insert on readings begin select raise(rollback, 'no room'); end",
        "create trigger refusal before insert on readings begin select raise(abort, 'no room'); end",
    ] {
        folder.run_sql(refusal).await;
        let error = archive.store(&[record(&by("truck-7", MIDNIGHT))]).await.unwrap_err();
        assert!(error.to_string().contains("no room"), "{error}");
        folder.run_sql("drop trigger refusal").await;
    }
    archive.store(&[record(&by("truck-7", MIDNIGHT))]).await.unwrap();
    let stored: i64 = sqlx::query_scalar("select count(*) from readings").fetch_one(&archive.0.readers).await.unwrap();
    assert_eq!(stored, 1, "what others see");
}

#[tokio::test]
async fn every_signal_of_the_table_has_its_column() {
    let (_folder, archive) = an_archive().await;
    let columns: Vec<(String,)> =
        sqlx::query_as("select name from pragma_table_info('readings')").fetch_all(&archive.0.readers).await.unwrap();
    let mut columns: Vec<&str> = columns.iter().map(|(name,)| name.as_str()).collect();
    let signals: Vec<&str> = SIGNALS.iter().map(|signal| signal.name).collect();
    let mut expected = [columns::REQUIRED, columns::OPTIONAL, &signals].concat();
    // Later migrations add theirs at the end.
    columns.sort_unstable();
    expected.sort_unstable();
    assert_eq!(columns, expected, "migrations and code list the same columns");
}

#[tokio::test]
async fn what_is_too_old_is_forgotten_in_steps_and_the_rest_stays() {
    let (_folder, archive) = an_archive().await;
    let archive = Opened::here(Arc::new(archive));
    let batch: Vec<ArchiveRecord> = (0..300).map(|step| record(&at(MIDNIGHT + step * MINUTE))).collect();
    archive.store(&batch).await.unwrap();
    archive.store(&[record(&by("silent", MIDNIGHT))]).await.unwrap();
    let oldest = Timestamp::from_micros(MIDNIGHT + 150 * MINUTE);
    let mut steps = Vec::new();
    while steps.last() != Some(&0) {
        steps.push(archive.own.forget_readings(oldest, 100).await.unwrap());
    }
    assert_eq!(steps, [100, 51, 0]);
    archive.own.forget_times(oldest).await.unwrap();
    let left = history(&archive, "truck-7").await;
    assert_eq!((left.len(), left[0].reading.recorded_at), (150, oldest));
    assert_eq!(history(&archive, "silent").await, []);
    // One that comes late after all is found again, though its hour was known before.
    archive.store(&[record(&by("silent", MIDNIGHT + 1))]).await.unwrap();
    assert_eq!(history(&archive, "silent").await.len(), 1);
}

#[tokio::test]
async fn trouble_codes_are_kept_with_every_character() {
    let (_folder, archive) = an_archive().await;
    let archive = Opened::here(Arc::new(archive));
    let mut full = a_full_assessment();
    full.reading.dtcs.push("P\u{0}1".into());
    archive.store(&[record(&full)]).await.unwrap();
    assert_eq!(history(&archive, "truck-7").await, [full]);
}

#[tokio::test]
async fn what_is_remembered_of_refused_messages_is_what_is_there() {
    let (_folder, archive) = an_archive().await;
    archive.store(&[a_refused_message(5, b"{")]).await.unwrap();
    archive.forget_quarantined(Timestamp::from_micros(MIDNIGHT + 1)).await.unwrap();
    assert_eq!(archive.0.memory.lock().await.quarantine, quarantine::Kept::count(&archive.0.writer).await.unwrap());
}
