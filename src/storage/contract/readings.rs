//! Readings: every value comes back, nothing is stored twice, pages have no gaps.

use super::Site;
use super::fixtures::{HOUR, MIDNIGHT, MINUTE, a_full_assessment, all_of, at, by, history, record, times};
use crate::domain::{Assessment, Timestamp, Timing, VehicleId};
use crate::storage::{ArchiveRecord, Stored, Walk};

pub(crate) async fn a_reading_comes_back_as_it_was_stored<S: Site>() {
    let site = S::new().await;
    let archive = site.open().await;
    let full = a_full_assessment();
    let plain = at(MIDNIGHT);
    let stored = archive.store(&[record(&full), record(&plain)]).await.unwrap();
    assert_eq!(stored, Stored { readings: 2, quarantined: 0, alert_events: 0, duplicates: 0 });
    assert_eq!(history(&archive, "truck-7").await, [plain.clone(), full.clone()]);
    archive.close().await;
    assert_eq!(history(&*site.open().await, "truck-7").await, [plain, full], "and after a restart");
}

pub(crate) async fn what_is_there_already_is_counted_and_not_stored_again<S: Site>() {
    let site = S::new().await;
    let archive = site.open().await;
    let batch: Vec<ArchiveRecord> = (0..700).map(|step| record(&at(MIDNIGHT + step * 30_000_000))).collect();
    let first = archive.store(&batch).await.unwrap();
    assert_eq!(first, Stored { readings: 700, quarantined: 0, alert_events: 0, duplicates: 0 });
    let mut same_time = at(MIDNIGHT);
    same_time.reading.fingerprint += 1;
    archive.close().await;
    let archive = site.open().await;
    let again = archive.store(&[&batch[650..], &[record(&same_time)]].concat()).await.unwrap();
    assert_eq!(again, Stored { readings: 1, quarantined: 0, alert_events: 0, duplicates: 50 });
    assert_eq!(history(&archive, "truck-7").await.len(), 701);
}

pub(crate) async fn pages_cover_a_sparse_history_in_order_and_without_gaps<S: Site>() {
    let site = S::new().await;
    let archive = site.open().await;
    // Dense at first, then silent for 40 days, then once an hour; another vehicle speaks all the time.
    let dense = (0..200).map(|step| MIDNIGHT + step * 5_000_000);
    let sparse = (0..300).map(|step| MIDNIGHT + 40 * 24 * HOUR + step * HOUR + step);
    let expected: Vec<i64> = dense.chain(sparse).collect();
    let own = expected.iter().map(|time| record(&at(*time)));
    let others = (0..500).map(|step| record(&by("van-1", MIDNIGHT + step * HOUR)));
    let mut batch: Vec<ArchiveRecord> = own.chain(others).collect();
    batch.reverse();
    archive.store(&batch).await.unwrap();
    for limit in [1, 7, 499, 500, 501] {
        let mut query = all_of("truck-7", limit);
        let mut seen = Vec::new();
        loop {
            let page = archive.readings(&query).await.unwrap().unwrap();
            assert!(page.readings.len() <= limit as usize);
            seen.extend(times(&page.readings));
            let Some(next) = page.next else { break };
            query.after = Some(next.to_string().parse().unwrap());
        }
        assert_eq!(seen, expected, "with {limit} a page");
    }
}

pub(crate) async fn from_is_included_and_to_is_not<S: Site>() {
    let site = S::new().await;
    let archive = site.open().await;
    let batch: Vec<ArchiveRecord> = (0..10).map(|step| record(&at(MIDNIGHT + step * MINUTE))).collect();
    archive.store(&batch).await.unwrap();
    let mut query = all_of("truck-7", 100);
    query.from = Some(Timestamp::from_micros(MIDNIGHT + 3 * MINUTE));
    query.to = Some(Timestamp::from_micros(MIDNIGHT + 5 * MINUTE));
    let page = archive.readings(&query).await.unwrap().unwrap();
    assert_eq!(times(&page.readings), [MIDNIGHT + 3 * MINUTE, MIDNIGHT + 4 * MINUTE]);
    assert_eq!(archive.readings(&all_of("unheard-of", 1)).await.unwrap(), None);
}

pub(crate) async fn the_newest_reading_is_not_one_ahead_of_our_clock<S: Site>() {
    let site = S::new().await;
    let archive = site.open().await;
    let mut future = at(MIDNIGHT + 23 * HOUR);
    future.timing = Timing::Future;
    let (mut earlier, mut later) = (at(MIDNIGHT), at(MIDNIGHT));
    (earlier.arrival, earlier.reading.fingerprint) = (4, u64::MAX / 2);
    (later.arrival, later.reading.fingerprint) = (5, 1);
    archive.store(&[record(&future), record(&later), record(&earlier)]).await.unwrap();
    archive.store(&[record(&by("a", MIDNIGHT)), record(&by("a", MIDNIGHT + 90 * MINUTE))]).await.unwrap();
    let ids = ["truck-7", "unheard-of", "a"].map(|id| VehicleId::new(id).unwrap());
    let newest = archive.newest_readings(&ids).await.unwrap();
    assert_eq!(newest, [by("a", MIDNIGHT + 90 * MINUTE), later]);
}

pub(crate) async fn vehicles_are_listed_in_order_of_their_ids<S: Site>() {
    let site = S::new().await;
    let archive = site.open().await;
    archive.store(&["c", "a", "b"].map(|id| record(&by(id, MIDNIGHT)))).await.unwrap();
    let first = archive.vehicle_ids(None, 2).await.unwrap();
    assert_eq!(first, ["a", "b"].map(|id| VehicleId::new(id).unwrap()));
    assert_eq!(archive.vehicle_ids(first.last(), 2).await.unwrap(), [VehicleId::new("c").unwrap()]);
    assert_eq!(archive.count_vehicles().await.unwrap(), 3);
}

pub(crate) async fn a_refused_batch_leaves_nothing_behind_and_is_no_matter_of_time<S: Site>() {
    let site = S::new().await;
    let archive = site.open().await;
    site.run_sql(S::POISON).await;
    let mut poison = by("never-seen", MIDNIGHT);
    poison.reading.sequence = Some(13);
    let error = archive.store(&[record(&by("new", MIDNIGHT)), record(&poison)]).await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
    assert_eq!(archive.count_vehicles().await.unwrap(), 0);
    archive.store(&[record(&by("new", MIDNIGHT))]).await.unwrap();
    assert_eq!(history(&archive, "new").await.len(), 1, "numbers of the refused transaction are not remembered");
}

pub(crate) async fn a_walk_meets_every_reading_of_its_span_once_and_each_vehicle_in_order<S: Site>() {
    let site = S::new().await;
    let archive = site.open().await;
    let seconds = |seconds: i64| MIDNIGHT + seconds * 1_000_000;
    let mut all: Vec<_> = (0..120).flat_map(|step| ["b", "a", "c"].map(|id| by(id, seconds(step * 7)))).collect();
    // Some moments have two readings, so that a page may end between them.
    let second = |one: &Assessment| {
        let mut second = one.clone();
        second.reading.fingerprint ^= 1 << 40;
        second
    };
    all.extend(all.iter().step_by(2).map(second).collect::<Vec<_>>());
    archive.store(&all.iter().map(record).collect::<Vec<_>>()).await.unwrap();
    let (from, to) = (seconds(70), seconds(700));
    let mut walk = Walk::new(Timestamp::from_micros(from), Timestamp::from_micros(to));
    let mut met = Vec::new();
    loop {
        let page = archive.walk(&mut walk, 17).await.unwrap();
        if page.is_empty() {
            break;
        }
        met.extend(page.into_iter().map(|one| (one.reading.vehicle_id.to_string(), one.reading.recorded_at.as_micros())));
    }
    let mut expected: Vec<_> =
        all.iter().map(|one| (one.reading.vehicle_id.to_string(), one.reading.recorded_at.as_micros())).collect();
    expected.retain(|(_, at)| (from..to).contains(at));
    for id in ["a", "b", "c"] {
        assert!(met.iter().filter(|(met, _)| met == id).is_sorted(), "{id}");
    }
    met.sort();
    expected.sort();
    assert_eq!(met, expected);
}
