//! An archive that an earlier version left behind is brought up to date with what is in it, whichever version that was.

use super::Site;
use super::buckets::{ask, buckets};
use super::fixtures::{HOUR, MIDNIGHT, at, history, record, times};
use crate::domain::signal;

/// The reading that [`Site::FIRST_READING`] stores.
pub(crate) const FIRST_READING_AT: i64 = MIDNIGHT + 1_000_000;

pub(crate) async fn an_archive_of_every_earlier_version_is_brought_up_to_date_with_its_readings<S: Site>() {
    for migrations in 1..=S::MIGRATIONS {
        let site = S::new().await;
        site.migrate(migrations).await;
        site.run_sql(S::FIRST_READING).await;
        // Twice: the second start finds nothing to do.
        for start in 0..2 {
            let archive = site.open().await;
            let found = history(&archive, "truck-7").await;
            assert_eq!(times(&found)[..1], [FIRST_READING_AT], "of schema {migrations}");
            assert_eq!(found[0].reading.signals.get(signal::SPEED), Some(63.25));
            let next = at(MIDNIGHT + 2_000_000 + start);
            if migrations == 1 {
                // Nothing of it is summed up, and it is known that it is not.
                let summed = buckets(&archive, ask("truck-7", (MIDNIGHT, MIDNIGHT + HOUR), 900, 10)).await;
                assert_eq!(summed.iter().map(|bucket| bucket.summary.readings).collect::<Vec<_>>(), [found.len() as u64]);
            }
            assert_eq!(archive.store(&[record(&next)]).await.unwrap().readings, 1);
            assert_eq!(history(&archive, "truck-7").await.last(), Some(&next));
            archive.close().await;
        }
    }
}
