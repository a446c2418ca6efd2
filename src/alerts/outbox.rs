//! Changes of alerts on their way out, in a small SQLite file of its own: what is in it is done with as far as the journal is concerned,
//! so that nobody who cannot take alerts holds the journal. Sends nothing: `redis_stream`.

use std::path::{Path, PathBuf};

use sqlx::ConnectOptions;
use sqlx::pool::PoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous};

use crate::domain::{AlertEvent, Timestamp};
use crate::metrics;
use crate::wire::alert_json::{cloud_event, event_id};

/// Beyond it the oldest become dead letters; about 1.5 kB each. A fleet of 10,000 with 100 changes a vehicle and day is held for a whole day.
const MAX_WAITING: i64 = 1_000_000;
/// Beyond it the oldest are forgotten; the archive has every change of every alert.
const MAX_DEAD: i64 = 100_000;
/// A change that is so old helps nobody on duty any more.
const DEAD_AFTER_MICROS: i64 = 24 * 3_600 * 1_000_000;

/// Dead letters keep when they came and when they were given up.
const SCHEMA: &str = "
create table if not exists waiting (
    sequence integer primary key autoincrement,
    id text not null unique,
    queued_at integer not null,
    event text not null
);
create index if not exists waiting_by_time on waiting (queued_at);
create table if not exists dead (
    sequence integer primary key,
    id text not null,
    queued_at integer not null,
    died_at integer not null,
    event text not null
);
";

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbox(SqlitePool);

/// One event as it leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// In the order of the journal.
    pub sequence: i64,
    pub id: String,
    /// A CloudEvents event in JSON.
    pub event: String,
}

#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    #[error("cannot open the outbox of alerts {path}: {source}")]
    Open { path: PathBuf, source: sqlx::Error },
    #[error("the outbox of alerts could not {what}: {source}")]
    Database { what: &'static str, source: sqlx::Error },
}

impl Outbox {
    /// # Errors
    /// Where the file cannot be opened or made.
    pub async fn open(path: &Path) -> Result<Self, OutboxError> {
        let failed = |source| OutboxError::Open { path: path.to_owned(), source };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // The journal forgets what is in here, so a commit must survive a power cut.
            .synchronous(SqliteSynchronous::Full)
            .thread_name(|_| "alert-outbox".to_owned())
            .disable_statement_logging();
        // One connection: whoever writes and whoever sends take turns.
        let pool = PoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        let pool = pool.connect_with(options).await.map_err(failed)?;
        sqlx::raw_sql(SCHEMA).execute(&pool).await.map_err(failed)?;
        Ok(Self(pool))
    }

    /// On disk once this returns. Those that wait already change nothing.
    ///
    /// # Errors
    /// Where the file cannot be written; then none of them is in it.
    pub async fn put(&self, events: &[AlertEvent], now: Timestamp) -> Result<(), OutboxError> {
        let pairs: Vec<(String, String)> = events.iter().map(|event| (event_id(event), cloud_event(event))).collect();
        self.put_text(&pairs, now).await
    }

    /// The same for events that are text already: id and CloudEvents event in JSON.
    ///
    /// # Errors
    /// Where the file cannot be written; then none of them is in it.
    pub async fn put_text(&self, pairs: &[(String, String)], now: Timestamp) -> Result<(), OutboxError> {
        let pairs = serde_json::to_string(pairs).expect("texts are JSON");
        let insert = sqlx::query(
            "insert into waiting (id, queued_at, event)
             select value ->> 0, ?2, value ->> 1 from json_each(?1)
             where not exists (select 1 from waiting where id = value ->> 0) order by key
             on conflict do nothing",
        );
        insert.bind(pairs).bind(now.as_micros()).execute(&self.0).await.map_err(failed_to("take events"))?;
        Ok(())
    }

    /// The oldest, in order.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub async fn oldest(&self, limit: u32) -> Result<Vec<Waiting>, OutboxError> {
        let question = sqlx::query_as("select sequence, id, event from waiting order by sequence limit ?1").bind(limit);
        let rows: Vec<(i64, String, String)> = question.fetch_all(&self.0).await.map_err(failed_to("give its oldest events"))?;
        Ok(rows.into_iter().map(|(sequence, id, event)| Waiting { sequence, id, event }).collect())
    }

    /// They are with whoever had to get them: everything up to this one is forgotten.
    ///
    /// # Errors
    /// Where the file cannot be written; then they are sent again.
    pub async fn forget_up_to(&self, sequence: i64) -> Result<(), OutboxError> {
        let delete = sqlx::query("delete from waiting where sequence <= ?1").bind(sequence);
        delete.execute(&self.0).await.map_err(failed_to("forget events that were sent"))?;
        Ok(())
    }

    /// Makes dead letters of what waits too long, or has too many behind it; says how many.
    ///
    /// # Errors
    /// Where the file cannot be written; then nothing has changed.
    pub async fn bury(&self, now: Timestamp) -> Result<u64, OutboxError> {
        let failed = || failed_to("bury what waited too long");
        let mut transaction = self.0.begin().await.map_err(failed())?;
        let insert = sqlx::query(
            "insert into dead (sequence, id, queued_at, died_at, event)
             select sequence, id, queued_at, ?1, event from waiting
             where queued_at < ?2 or sequence <= (select max(sequence) from waiting) - ?3",
        );
        let insert = insert.bind(now.as_micros()).bind(now.as_micros() - DEAD_AFTER_MICROS).bind(MAX_WAITING);
        let buried = insert.execute(&mut *transaction).await.map_err(failed())?.rows_affected();
        if buried > 0 {
            let clear = "delete from waiting where sequence in (select sequence from dead)";
            sqlx::query(clear).execute(&mut *transaction).await.map_err(failed())?;
            let forget = "delete from dead where sequence <= (select max(sequence) from dead) - ?1";
            sqlx::query(forget).bind(MAX_DEAD).execute(&mut *transaction).await.map_err(failed())?;
        }
        transaction.commit().await.map_err(failed())?;
        ::metrics::counter!(metrics::ALERTS_DEAD).increment(buried);
        Ok(buried)
    }

    /// How many wait, from the first and the last number (they have no gaps but after a text that came twice in one batch): counting a
    /// million rows takes its time.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub async fn waiting(&self) -> Result<i64, OutboxError> {
        let question = "select coalesce((select max(sequence) from waiting) - (select min(sequence) from waiting) + 1, 0)";
        sqlx::query_scalar(question).fetch_one(&self.0).await.map_err(failed_to("count its events"))
    }

    /// Lets running calls end, then closes the file.
    pub async fn close(&self) {
        self.0.close().await;
    }
}

fn failed_to(what: &'static str) -> impl FnOnce(sqlx::Error) -> OutboxError {
    move |source| OutboxError::Database { what, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::alert::tests::a_full_alert_event;

    const NOW: Timestamp = Timestamp::from_micros(1_795_478_400_000_000);

    fn events(revisions: std::ops::Range<u32>) -> Vec<AlertEvent> {
        let at_revision = |revision| {
            let mut event = a_full_alert_event();
            event.alert.revision = revision;
            event
        };
        revisions.map(at_revision).collect()
    }

    fn sequences(waiting: &[Waiting]) -> Vec<i64> {
        waiting.iter().map(|each| each.sequence).collect()
    }

    #[tokio::test]
    async fn events_wait_once_each_in_order_over_a_reopening_until_they_are_sent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.sqlite");
        let outbox = Outbox::open(&path).await.unwrap();
        outbox.put(&events(0..12), NOW).await.unwrap();
        outbox.put(&events(10..14), NOW).await.unwrap();
        outbox.close().await;
        let outbox = Outbox::open(&path).await.unwrap();
        let waiting = outbox.oldest(100).await.unwrap();
        let expected: Vec<_> = events(0..14).iter().map(|event| (event_id(event), cloud_event(event))).collect();
        assert_eq!(waiting.iter().map(|each| (each.id.clone(), each.event.clone())).collect::<Vec<_>>(), expected);
        outbox.forget_up_to(waiting[9].sequence).await.unwrap();
        assert_eq!(sequences(&outbox.oldest(2).await.unwrap()), sequences(&waiting[10..12]));
        assert_eq!(outbox.waiting().await.unwrap(), 4);
    }

    #[tokio::test]
    async fn what_waited_for_a_day_is_a_dead_letter_and_blocks_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let outbox = Outbox::open(&folder.path().join("alerts.sqlite")).await.unwrap();
        outbox.put(&events(0..3), NOW).await.unwrap();
        let later = Timestamp::from_micros(NOW.as_micros() + DEAD_AFTER_MICROS);
        assert_eq!(outbox.bury(later).await.unwrap(), 0, "to the microsecond");
        outbox.put(&events(3..4), later).await.unwrap();
        assert_eq!(outbox.bury(Timestamp::from_micros(later.as_micros() + 1)).await.unwrap(), 3);
        let waiting = outbox.oldest(10).await.unwrap();
        assert_eq!((waiting.len(), &waiting[0].id), (1, &event_id(&events(3..4)[0])));
        let dead: i64 = sqlx::query_scalar("select count(*) from dead").fetch_one(&outbox.0).await.unwrap();
        assert_eq!(dead, 3);
    }
}
