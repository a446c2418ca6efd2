//! What every archive must do, as tests that run over each: `contract::tests!(Site)` in the tests of an implementation.

mod alerts;
mod buckets;
mod configurations;
pub(crate) mod fixtures;
mod order;
mod quarantine;
mod readings;
mod retention;
mod upgrades;
mod writer;

use std::ops::Deref;

use super::{ArchiveAddress, ArchiveError, ArchiveRecord, SharedArchive, SharedStore, Stored, Walk};
use crate::domain::{Assessment, Timestamp};

pub(crate) use self::alerts::*;
pub(crate) use self::buckets::*;
pub(crate) use self::configurations::*;
pub(crate) use self::order::*;
pub(crate) use self::quarantine::*;
pub(crate) use self::readings::*;
pub(crate) use self::retention::*;
pub(crate) use self::upgrades::*;
pub(crate) use self::writer::*;

/// A place for one archive; it is gone when this is dropped.
pub(crate) trait Site {
    /// SQL that makes the archive refuse every reading whose sequence is 13.
    const POISON: &str;
    /// Of a property, each with two sites.
    const CASES: u32;

    /// How many there are.
    const MIGRATIONS: usize;
    /// SQL for the first schema: truck-7 at [`FIRST_READING_AT`], 63.25 km/h.
    const FIRST_READING: &str;

    async fn new() -> Self;

    /// Makes the archive as the first so many migrations do.
    async fn migrate(&self, migrations: usize);

    fn address(&self) -> ArchiveAddress;

    /// Behind the back of the archive.
    async fn run_sql(&self, statements: &'static str);

    /// What is there, with one declared signal.
    async fn open(&self) -> Opened {
        Opened::here(super::open(self.address(), fixtures::table()).await.unwrap())
    }
}

/// An archive as tests have it: what is stored goes to its own process, questions go the way that is tested.
pub(crate) struct Opened {
    pub own: SharedStore,
    pub asked: SharedArchive,
}

impl Opened {
    pub fn here(own: SharedStore) -> Self {
        Self { asked: own.clone(), own }
    }

    pub async fn store(&self, records: &[ArchiveRecord]) -> Result<Stored, ArchiveError> {
        self.own.store(records).await
    }

    pub async fn walk(&self, walk: &mut Walk, limit: u32) -> Result<Vec<Assessment>, ArchiveError> {
        self.own.walk(walk, limit).await
    }

    pub async fn forget_quarantined(&self, oldest: Timestamp) -> Result<(), ArchiveError> {
        self.own.forget_quarantined(oldest).await
    }

    pub async fn forget_alerts(&self, oldest: Timestamp) -> Result<(), ArchiveError> {
        self.own.forget_alerts(oldest).await
    }

    pub async fn close(&self) {
        self.own.close().await;
    }
}

impl Deref for Opened {
    type Target = SharedArchive;

    fn deref(&self) -> &SharedArchive {
        &self.asked
    }
}

macro_rules! tests {
    ($site:ty) => {
        $crate::storage::contract::tests! {
            $site:
            a_reading_comes_back_as_it_was_stored,
            what_is_there_already_is_counted_and_not_stored_again,
            pages_cover_a_sparse_history_in_order_and_without_gaps,
            from_is_included_and_to_is_not,
            the_newest_reading_is_not_one_ahead_of_our_clock,
            vehicles_are_listed_in_order_of_their_ids,
            a_refused_batch_leaves_nothing_behind_and_is_no_matter_of_time,
            a_walk_meets_every_reading_of_its_span_once_and_each_vehicle_in_order,
            any_order_and_repetition_of_records_stores_the_same_set,
            buckets_begin_at_multiples_of_their_length_and_say_what_their_readings_say,
            pages_of_buckets_cover_a_sparse_history_in_order_and_without_gaps,
            what_is_summed_up_is_not_read_again_until_a_late_reading_touches_it,
            what_is_forgotten_is_in_no_bucket_and_the_rest_is_whole,
            buckets_are_those_of_the_readings_whatever_came_when_and_was_summed_up_when,
            what_is_older_than_a_day_is_forgotten_and_what_is_newer_stays,
            refused_messages_are_kept_once_counted_exactly_and_exported_whole,
            refused_messages_are_forgotten_too_and_stay_counted,
            what_was_kept_whole_is_replayed_once_oldest_first,
            an_alert_is_as_its_newest_change_left_it_whatever_order_changes_come_in,
            pages_of_alerts_go_from_the_newest_to_the_oldest_and_filters_hold,
            a_revision_rises_with_every_change_and_with_nothing_else,
            a_registered_vehicle_is_known_after_a_restart_and_one_only_seen_is_not,
            what_one_register_takes_in_another_hears_of,
            bytes_of_many_parts_come_back_whole,
            an_archive_of_a_newer_version_is_refused,
            an_archive_of_every_earlier_version_is_brought_up_to_date_with_its_readings,
            everything_durable_is_in_the_archive_when_the_journal_has_ended,
            the_one_record_that_the_archive_refuses_is_quarantined_and_the_rest_goes_on,
            a_record_that_makes_no_sense_is_kept_as_it_is,
            nothing_is_skipped_while_the_archive_fails,
            a_restart_goes_on_where_the_cursor_stands_and_stores_nothing_twice,
        }
    };
    ($site:ty: $($name:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $crate::storage::contract::$name::<$site>().await;
            }
        )*
    };
}
pub(crate) use tests;
