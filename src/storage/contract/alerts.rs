//! Alerts: as their newest change left them, with all changes kept.

use super::Site;
use super::fixtures::event_record as record;
use crate::domain::{AlertEvent, AlertId, Change, Condition, Timestamp, VehicleId};
use crate::storage::AlertsQuery;
use crate::wire::alert::tests::a_full_alert_event;

/// The same alert `revision` changes later.
fn at_revision(revision: u32, change: Change) -> AlertEvent {
    let mut event = a_full_alert_event();
    (event.change, event.alert.revision, event.alert.count) = (change, revision, revision + 1);
    event
}

pub(crate) async fn an_alert_is_as_its_newest_change_left_it_whatever_order_changes_come_in<S: Site>() {
    let site = S::new().await;
    let archive = site.open().await;
    let events = [at_revision(0, Change::Opened), at_revision(2, Change::Resolved), at_revision(1, Change::Acknowledged)];
    let records: Vec<_> = events.iter().map(record).collect();
    assert_eq!(archive.store(&records).await.unwrap().alert_events, 3);
    assert_eq!(archive.store(&records).await.unwrap().duplicates, 3);
    let id = events[1].alert.alert_id;
    assert_eq!(archive.alert(id).await.unwrap().unwrap(), events[1].alert);
    let history = archive.alert_history(id).await.unwrap();
    let changes: Vec<_> = history.iter().map(|entry| entry.change).collect();
    assert_eq!(changes, [Change::Opened, Change::Acknowledged, Change::Resolved]);
    assert_eq!(archive.alert(AlertId::from_number(1)).await.unwrap(), None);
}

pub(crate) async fn pages_of_alerts_go_from_the_newest_to_the_oldest_and_filters_hold<S: Site>() {
    let site = S::new().await;
    let archive = site.open().await;
    let mut events = Vec::new();
    for number in 0..7 {
        let mut event = a_full_alert_event();
        let alert = &mut event.alert;
        alert.vehicle_id = VehicleId::new(&format!("truck-{}", number % 2)).unwrap();
        // Pairs of the same moment: the id decides.
        alert.opened_at = Timestamp::from_micros(1_764_000_000_000_000 + number / 2 * 1_000_000);
        alert.alert_id = AlertId::of(&alert.vehicle_id, &alert.key, alert.opened_at);
        alert.condition = if number < 3 { Condition::Active } else { Condition::Cleared };
        events.push(event);
    }
    archive.store(&events.iter().map(record).collect::<Vec<_>>()).await.unwrap();
    let mut query = AlertsQuery { limit: 3, ..AlertsQuery::default() };
    let mut seen = Vec::new();
    loop {
        let page = archive.alerts(&query).await.unwrap();
        seen.extend(page.alerts);
        let Some(next) = page.next else { break };
        query.after = Some(next.to_string().parse().unwrap());
    }
    assert_eq!(seen.len(), 7);
    assert!(seen.is_sorted_by_key(|alert| std::cmp::Reverse((alert.opened_at, alert.alert_id.number().cast_signed()))));
    let only = AlertsQuery {
        vehicle_id: Some(VehicleId::new("truck-0").unwrap()),
        condition: Some(Condition::Active),
        limit: 100,
        ..AlertsQuery::default()
    };
    let found = archive.alerts(&only).await.unwrap().alerts;
    let taken = seen.iter().filter(|alert| only.takes(alert)).count();
    assert_eq!((found.len(), taken), (2, 2));
    archive.forget_alerts(Timestamp::from_micros(i64::MAX)).await.unwrap();
    assert!(archive.alerts(&AlertsQuery { limit: 10, ..AlertsQuery::default() }).await.unwrap().alerts.is_empty());
}
