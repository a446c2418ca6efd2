//! Partitions: one for each UTC day, made before its first reading, dropped when all of it is too old.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use sqlx::AssertSqlSafe;

use super::PostgresArchive;
use super::connect::Lease;
use super::values::{PostgresCells, Time};
use crate::domain::Timestamp;
use crate::storage::error::ArchiveError;

/// Days that are made before they begin. Readings of clocks farther ahead wait in the default partition.
pub(super) const DAYS_AHEAD: i32 = 3;
/// Before it nothing is believed to be the time of a reading: it stays in the default partition. 2000-01-01.
const FIRST_DAY: i32 = 10_957;
const MICROS_PER_DAY: i64 = 86_400_000_000;
const PREFIX: &str = "readings_";
/// Between two tries to make a partition while somebody locks the table: so long its readings go to the default one.
const AFTER_A_LOCK: Duration = Duration::from_mins(1);
/// Another process was quicker.
const DUPLICATE_TABLE: &str = "42P07";
const LOCK_NOT_AVAILABLE: &str = "55P03";
const DEADLOCK: &str = "40P01";

/// Since 1970.
#[must_use]
pub fn day_of(time: Timestamp) -> i32 {
    let day = time.as_micros().div_euclid(MICROS_PER_DAY);
    i32::try_from(day).expect("microseconds of 64 bits are some 100 million days")
}

/// Its first moment.
#[must_use]
pub fn start_of(day: i32) -> Timestamp {
    Timestamp::from_micros(i64::from(day).saturating_mul(MICROS_PER_DAY))
}

/// Such as `readings_2026_11_24`.
fn partition(day: i32) -> String {
    format!("{PREFIX}{}", start_of(day).to_string()[..10].replace('-', "_"))
}

/// The days that have a partition.
#[derive(Debug, Default)]
pub struct Days {
    made: HashSet<i32>,
    is_read: bool,
    /// After somebody's lock was in the way.
    not_before: Option<Instant>,
}

impl Days {
    /// Sees to it that readings of these times have a partition, where their day is one to have any. Where none can be made, say because
    /// somebody locks the table, they go to the default partition, and later move.
    ///
    /// # Errors
    /// Where the archive does not answer.
    pub async fn make(
        &mut self,
        lease: &mut Lease,
        times: impl Iterator<Item = Timestamp>,
        now: Timestamp,
    ) -> Result<(), ArchiveError> {
        let wanted: HashSet<i32> = times.map(day_of).filter(|day| !self.made.contains(day)).collect();
        if wanted.is_empty() || self.not_before.is_some_and(|moment| Instant::now() < moment) {
            return Ok(());
        }
        if !self.is_read {
            self.made = existing(lease).await?.into_iter().collect();
            self.is_read = true;
        }
        let last = day_of(now) + DAYS_AHEAD;
        let mut missing: Vec<i32> =
            wanted.into_iter().filter(|day| (FIRST_DAY..=last).contains(day) && !self.made.contains(day)).collect();
        missing.sort_unstable();
        for day in missing {
            match make_day(lease, day).await {
                Ok(()) => {}
                Err(error) if error.has_state(DUPLICATE_TABLE) => lease.run("roll back", "rollback").await?,
                Err(error) if error.has_state(LOCK_NOT_AVAILABLE) || error.has_state(DEADLOCK) => {
                    let partition = partition(day);
                    tracing::warn!(%error, partition, "could not make a partition; its readings go to the default one for now");
                    lease.run("roll back", "rollback").await?;
                    self.not_before = Some(Instant::now() + AFTER_A_LOCK);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
            self.made.insert(day);
        }
        Ok(())
    }

    fn forget(&mut self) {
        *self = Self::default();
    }
}

impl PostgresArchive {
    /// # Errors
    /// Where the archive does not answer.
    pub(super) async fn make_days_ahead(&self, now: Timestamp) -> Result<(), ArchiveError> {
        let mut memory = self.0.memory.lock().await;
        let mut lease = self.writer().await?;
        memory.days.forget();
        let today = day_of(now);
        memory.days.make(&mut lease, (today..=today + DAYS_AHEAD).map(start_of), now).await
    }

    /// Drops the oldest day of which all is older; where there is none, deletes up to `limit` such readings of no day.
    ///
    /// # Errors
    /// Where the archive does not answer, or somebody reads the day for long.
    pub(super) async fn drop_day_or_delete(&self, oldest: Timestamp, limit: u32) -> Result<u64, ArchiveError> {
        let mut memory = self.0.memory.lock().await;
        let mut lease = self.writer().await?;
        let first_kept = day_of(oldest);
        if let Some(day) = existing(&mut lease).await?.into_iter().filter(|day| *day < first_kept).min() {
            let name = partition(day);
            let count = sqlx::query("select coalesce(pg_stat_get_live_tuples($1::regclass), 0)").bind(name.as_str());
            let count = lease.row("count an old day", count).await?;
            let count: i64 = count.map_or(Ok(0), |row| PostgresCells::new(&row).take())?;
            memory.days.forget();
            lease.execute("drop an old day", sqlx::query(AssertSqlSafe(format!("drop table {name}")))).await?;
            return Ok(count.unsigned_abs().max(1));
        }
        let delete = "delete from readings_default where ctid = any (array(
            select ctid from readings_default where recorded_at < $1 limit $2))";
        // Of whole days here too, as with what sums them up.
        let delete = sqlx::query(delete).bind(Time(start_of(first_kept))).bind(i64::from(limit));
        lease.execute("delete old readings", delete).await
    }
}

/// Days with a partition.
async fn existing(lease: &mut Lease) -> Result<Vec<i32>, ArchiveError> {
    let select = "select to_date(substr(relname, 10), 'YYYY_MM_DD') - date '1970-01-01'
        from pg_inherits join pg_class on pg_class.oid = inhrelid
        where inhparent = 'readings'::regclass and relname ~ '^readings_[0-9]{4}_[0-9]{2}_[0-9]{2}$'";
    let rows = lease.rows("list partitions", sqlx::query(select)).await?;
    rows.iter().map(|row| PostgresCells::new(row).take()).collect()
}

/// Readings of the day that were in the default partition move into it, since it may not begin beside them.
async fn make_day(lease: &mut Lease, day: i32) -> Result<(), ArchiveError> {
    let (name, from, to) = (partition(day), start_of(day), start_of(day + 1));
    let statements = [
        format!("create table {name} (like readings including all)"),
        // Nobody may put more of them there meanwhile.
        "lock table readings_default in access exclusive mode".to_owned(),
        format!(
            "with moved as (delete from readings_default where recorded_at >= '{from}' and recorded_at < '{to}' returning *)
            insert into {name} select * from moved"
        ),
        format!("alter table readings attach partition {name} for values from ('{from}') to ('{to}')"),
    ];
    lease.run("begin", "begin").await?;
    for statement in statements {
        lease.execute("make a partition", sqlx::query(AssertSqlSafe(statement)).persistent(false)).await?;
    }
    lease.run("commit", "commit").await
}
