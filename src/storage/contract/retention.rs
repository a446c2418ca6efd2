//! Forgetting, and what a newer version wrote.

use super::Site;
use super::fixtures::{HOUR, MIDNIGHT, by, history, record, table, times};
use crate::domain::Timestamp;
use crate::storage::retention;

/// An archive may forget in whole days, so readings of the day that `oldest` is in may stay or go.
pub(crate) async fn what_is_older_than_a_day_is_forgotten_and_what_is_newer_stays<S: Site>() {
    let site = S::new().await;
    let archive = site.open().await;
    let day = 24 * HOUR;
    // Five days in steps of an hour, until now; one vehicle fell silent on the first of them, one clock is a year ahead.
    let start = MIDNIGHT - 5 * day;
    let hourly: Vec<i64> = (0..5 * 24).map(|step| start + step * HOUR).collect();
    let mut batch: Vec<_> = hourly.iter().map(|time| record(&by("truck-7", *time))).collect();
    batch.extend([record(&by("silent", start)), record(&by("ahead", MIDNIGHT + 365 * day))]);
    archive.store(&batch).await.unwrap();
    let oldest = start + 2 * day + 5 * HOUR;
    assert!(retention::forget(&archive.own, Timestamp::from_micros(oldest)).await.unwrap() > 0);
    let left = times(&history(&archive, "truck-7").await);
    assert!(left.iter().all(|time| *time >= start + 2 * day), "whole days before it are gone");
    let kept: Vec<i64> = left.into_iter().filter(|time| *time >= oldest).collect();
    assert_eq!(kept, hourly.into_iter().filter(|time| *time >= oldest).collect::<Vec<_>>());
    assert_eq!((history(&archive, "silent").await, history(&archive, "ahead").await.len()), (vec![], 1));
    assert_eq!(retention::forget(&archive.own, Timestamp::from_micros(start + 2 * day)).await.unwrap(), 0, "again");
    // One that comes late after all is found again, though its day was known before.
    archive.store(&[record(&by("silent", start + 1))]).await.unwrap();
    assert_eq!(history(&archive, "silent").await.len(), 1);
}

pub(crate) async fn an_archive_of_a_newer_version_is_refused<S: Site>() {
    let site = S::new().await;
    site.open().await.close().await;
    site.run_sql(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (99, 'x', true, '', 0)",
    )
    .await;
    let error = super::super::open(site.address(), table()).await.unwrap_err();
    assert!(error.is_of_another_version(), "{error}");
}
