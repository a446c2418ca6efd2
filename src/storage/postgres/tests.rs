//! The contract over a real server, and what only PostgreSQL has.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::days::{DAYS_AHEAD, day_of, start_of};
use super::server::{Promise, Server, on_server, run_sql};
use crate::clock;
use crate::domain::signal::SIGNALS;
use crate::domain::{Assessment, VehicleId, VehicleRecord};
use crate::storage::contract::fixtures::{MIDNIGHT, a_refused_message, at, history, record, table};
use crate::storage::contract::{self, Site};
use crate::storage::{ArchiveAddress, QuarantineQuery, columns, open};
use crate::wire::record::Record;

/// A server that is there already; tests make and drop databases on it.
const NAMED_SERVER: &str = "ODOGRAPH_TEST_POSTGRES_URL";

/// A database of its own.
struct Database {
    name: String,
    /// Where the archive keeps what a start without the server needs.
    folder: tempfile::TempDir,
}

/// The address of a database on the server that all tests share.
fn url(database: &str) -> String {
    static SERVER: OnceLock<Result<String, Server>> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "tests have no settings")]
    let server = SERVER.get_or_init(|| match std::env::var(NAMED_SERVER) {
        Ok(url) => Ok(url),
        Err(_) => {
            Err(Server::start(Promise::Quick).unwrap_or_else(|error| panic!("{error}; or name a server in {NAMED_SERVER}")))
        }
    });
    match server {
        Err(own) => own.url(database),
        Ok(named) => on_server(named, database),
    }
}

impl Site for Database {
    const POISON: &str = "create function poison() returns trigger language plpgsql as
            $$ begin raise check_violation using message = 'poison'; end $$;
        create trigger poison before insert on readings for each row when (new.sequence = 13) execute function poison();";

    const CASES: u32 = 8;

    const MIGRATIONS: usize = super::MIGRATIONS.len();

    const FIRST_READING: &str = "insert into vehicles (vehicle_id, slot) values ('truck-7', 1);
        insert into readings (vehicle, recorded_at, fingerprint, received_at, arrival, revision, not_scored, speed_km_per_h)
        values (1, '2026-11-24T00:00:01Z', 5, '2026-11-24T00:00:01.02Z', 1, 0, 'no_model', 63.25);
        insert into vehicle_days (vehicle, day) values (1, date '2026-11-24' - date '1970-01-01')";

    async fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("odograph_test_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        run_sql(&url("postgres"), &format!("create database {name} template template0")).unwrap();
        Self { name, folder: tempfile::tempdir().unwrap() }
    }

    fn address(&self) -> ArchiveAddress {
        ArchiveAddress::read(&url(&self.name), self.folder.path()).unwrap()
    }

    async fn migrate(&self, migrations: usize) {
        let ArchiveAddress::Postgres(connector, _) = self.address() else { panic!("it is a server") };
        let pool = connector.writer();
        super::migrator(&super::MIGRATIONS[..migrations]).run(&pool).await.unwrap();
        pool.close().await;
    }

    async fn run_sql(&self, statements: &'static str) {
        run_sql(&url(&self.name), statements).unwrap();
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _gone_with_its_server = run_sql(&url("postgres"), &format!("drop database if exists {} with (force)", self.name));
    }
}

contract::tests!(Database);

const PARTITIONS: &str =
    "select coalesce(string_agg(to_date(right(relname, 10), 'YYYY_MM_DD') - date '1970-01-01' || '', ' ' order by relname), '')
    from pg_inherits join pg_class on pg_class.oid = inhrelid
    where inhparent = 'readings'::regclass and relname <> 'readings_default'";

impl Database {
    fn ask(&self, question: &str) -> String {
        run_sql(&url(&self.name), question).unwrap()
    }
}

fn on_day(day: i32) -> Assessment {
    at(start_of(day).as_micros() + 1_000_000)
}

fn today() -> i32 {
    day_of(clock::now())
}

#[tokio::test]
async fn every_signal_of_the_table_has_its_column() {
    let database = Database::new().await;
    database.open().await.close().await;
    let found = database.ask("select column_name from information_schema.columns where table_name = 'readings'");
    let mut found: Vec<&str> = found.lines().collect();
    let signals: Vec<&str> = SIGNALS.iter().map(|signal| signal.name).collect();
    let mut expected = [columns::REQUIRED, columns::OPTIONAL, &signals].concat();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected, "migrations and code list the same columns");
}

#[tokio::test]
async fn days_are_made_ahead_and_for_late_readings_and_dropped_whole() {
    let (database, today) = (Database::new().await, today());
    let archive = database.open().await;
    archive.own.prepare(clock::now()).await.unwrap();
    let ahead: Vec<String> = (today..=today + DAYS_AHEAD).map(|day| day.to_string()).collect();
    assert_eq!(database.ask(PARTITIONS), ahead.join(" "));
    archive.store(&[record(&on_day(today - 9)), record(&on_day(today))]).await.unwrap();
    assert_eq!(database.ask(PARTITIONS), format!("{} {}", today - 9, ahead.join(" ")));
    assert_eq!(archive.own.forget_readings(start_of(today - 9), 100).await.unwrap(), 0, "its day is not over");
    archive.own.forget_readings(start_of(today - 8), 100).await.unwrap();
    assert_eq!(database.ask(PARTITIONS), ahead.join(" "));
    assert_eq!(history(&archive, "truck-7").await, [on_day(today)]);
}

#[tokio::test]
async fn a_reading_of_no_day_waits_in_the_default_partition_and_moves_when_its_day_is_made() {
    let (database, today) = (Database::new().await, today());
    let archive = database.open().await;
    let (far, very_far) = (on_day(today + 10), on_day(today + 4_000));
    archive.store(&[record(&far), record(&very_far)]).await.unwrap();
    assert_eq!(database.ask("select count(*) from readings_default"), "2");
    assert_eq!(history(&archive, "truck-7").await, [far.clone(), very_far.clone()]);
    archive.own.prepare(start_of(today + 8)).await.unwrap();
    assert_eq!(database.ask("select count(*) from readings_default"), "1");
    assert_eq!(history(&archive, "truck-7").await, [far.clone(), very_far.clone()]);
    assert_eq!(archive.store(&[record(&far), record(&very_far)]).await.unwrap().duplicates, 2);
}

#[tokio::test]
async fn a_day_that_somebody_locks_does_not_hold_readings_up() {
    let (database, today) = (Database::new().await, today());
    let archive = database.open().await;
    let locked = url(&database.name);
    // Longer than our patience for a lock, shorter than that for a statement.
    let holder = std::thread::spawn(move || {
        run_sql(&locked, "begin; lock table readings_default in share mode; select pg_sleep(8); commit")
    });
    let is_locked = "select count(*) > 0 from pg_locks where relation = 'readings_default'::regclass and mode = 'ShareLock'";
    while database.ask(is_locked) != "t" {}
    archive.store(&[record(&on_day(today))]).await.unwrap();
    assert_eq!(database.ask(PARTITIONS), "");
    holder.join().unwrap().unwrap();
    archive.own.prepare(clock::now()).await.unwrap();
    assert!(database.ask(PARTITIONS).starts_with(&today.to_string()));
    assert_eq!(database.ask("select count(*) from readings_default"), "0");
    assert_eq!(history(&archive, "truck-7").await, [on_day(today)]);
}

#[tokio::test]
async fn what_a_text_cannot_hold_is_refused_in_a_reading_and_kept_in_a_note() {
    let database = Database::new().await;
    let archive = database.open().await;
    let mut poison = at(MIDNIGHT);
    poison.reading.dtcs = vec!["P\u{0}1".into()];
    let error = archive.store(&[record(&at(MIDNIGHT + 1)), record(&poison)]).await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
    let mut note = a_refused_message(1, b"\x00");
    let Record::Quarantined(message) = &mut note.record else { panic!("it is a refused message") };
    (message.vehicle_id, message.detail) = ("a\u{0}b".into(), "field \u{0}".into());
    assert_eq!(archive.store(&[note]).await.unwrap().quarantined, 1);
    let kept = archive.quarantine(&QuarantineQuery { limit: 9, ..QuarantineQuery::default() }).await.unwrap().messages;
    assert_eq!((&*kept[0].message.detail, &*kept[0].message.payload), ("field \u{fffd}", &b"\x00"[..]));
}

#[tokio::test]
async fn what_a_server_suffers_from_passes() {
    let database = Database::new().await;
    let archive = database.open().await;
    archive.store(&[record(&at(MIDNIGHT))]).await.unwrap();
    let cut = format!(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = '{}' and pid <> pg_backend_pid()",
        database.name
    );
    let read_only = format!("alter database {} set default_transaction_read_only = on; {cut}", database.name);
    let writable = format!("alter database {} set default_transaction_read_only = off; {cut}", database.name);
    // The connection is cut, then the database is read-only.
    run_sql(&url("postgres"), &read_only).unwrap();
    let mut states = Vec::new();
    for _ in 0..3 {
        let error = archive.store(&[record(&at(MIDNIGHT + 1))]).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        states.push(error.to_string());
    }
    assert!(states[2].contains("read-only"), "{states:?}");
    run_sql(&url("postgres"), &writable).unwrap();
    let mut stored = archive.store(&[record(&at(MIDNIGHT + 1))]).await;
    if stored.is_err() {
        stored = archive.store(&[record(&at(MIDNIGHT + 1))]).await;
    }
    assert_eq!(stored.unwrap().readings, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_is_known_as_it_was_and_filled_once_it_is_up() {
    let mut server = Server::start(Promise::Quick).unwrap();
    let data = tempfile::tempdir().unwrap();
    let address = ArchiveAddress::read(&server.url("postgres"), data.path()).unwrap();
    server.stop().unwrap();
    let archive = open(address.clone(), table()).await.unwrap();
    let batch = [record(&at(MIDNIGHT))];
    for error in [archive.store(&batch).await.unwrap_err(), archive.registered_vehicles().await.unwrap_err()] {
        assert!(error.is_away() && error.is_transient(), "{error}");
    }
    server.start_again().unwrap();
    let stored = loop {
        match archive.store(&batch).await {
            Ok(stored) => break stored,
            // It was tried a moment ago.
            Err(error) => assert!(error.is_away(), "{error}"),
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(stored.readings, 1, "the first who reaches it migrates");
    let vehicles = vec![(VehicleId::new("truck-7").unwrap(), VehicleRecord { tank_l: Some(400.0), ..VehicleRecord::default() })];
    archive.put_vehicles(&vehicles, clock::now()).await.unwrap();
    let revision = archive.put_configuration("{}", clock::now()).await.unwrap();
    archive.close().await;
    server.stop().unwrap();
    let archive = open(address, table()).await.unwrap();
    assert_eq!(archive.registered_vehicles().await.unwrap(), vehicles);
    assert_eq!(archive.newest_configuration().await.unwrap().unwrap().revision, revision);
    assert!(archive.put_configuration("{}", clock::now()).await.unwrap_err().is_away());
}
