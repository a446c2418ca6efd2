//! Any order and any repetition: the journal brings records again after a crash.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::Site;
use super::fixtures::{MIDNIGHT, MINUTE, by, history, record};
use crate::storage::ArchiveRecord;

pub(crate) async fn any_order_and_repetition_of_records_stores_the_same_set<S: Site>() {
    let sent = prop::collection::vec((0..3_usize, 0..40_i64, 0..3_u64), 1..120);
    let order = prop::collection::vec((any::<prop::sample::Index>(), 1..50_usize), 1..8);
    let runtime = tokio::runtime::Handle::current();
    let mut runner = TestRunner::new(ProptestConfig { cases: S::CASES, ..ProptestConfig::default() });
    let same = |(sent, order): (Vec<_>, Vec<_>)| runtime.block_on(stores_the_same_set::<S>(&sent, &order));
    tokio::task::block_in_place(|| runner.run(&(sent, order), same)).unwrap();
}

async fn stores_the_same_set<S: Site>(
    sent: &[(usize, i64, u64)],
    order: &[(prop::sample::Index, usize)],
) -> Result<(), TestCaseError> {
    let records = sent.iter().map(|(vehicle, step, fingerprint)| {
        let mut assessment = by(["a", "b", "c"][*vehicle], MIDNIGHT + step * 17 * MINUTE);
        assessment.reading.fingerprint = *fingerprint;
        record(&assessment)
    });
    let records: Vec<ArchiveRecord> = records.collect();
    let (clean_site, messy_site) = (S::new().await, S::new().await);
    let (clean, messy) = (clean_site.open().await, messy_site.open().await);
    clean.store(&records).await.unwrap();
    for (start, length) in order {
        let start = start.index(records.len());
        let end = (start + length).min(records.len());
        let mut part = records[start..end].to_vec();
        part.reverse();
        messy.store(&part).await.unwrap();
    }
    messy.store(&records).await.unwrap();
    for vehicle in ["a", "b", "c"] {
        prop_assert_eq!(history(&clean, vehicle).await, history(&messy, vehicle).await);
    }
    clean.close().await;
    messy.close().await;
    Ok(())
}
