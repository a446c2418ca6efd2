//! What people do.

use super::*;

fn resolve(verdict: Option<Verdict>) -> Action {
    Action::Resolve { verdict }
}

#[test]
fn what_people_did_stands_in_the_order_of_its_strength() {
    let story = a_vehicle().overheating_for(2).told(Action::Acknowledge);
    assert_eq!(story.last().alert.handling, Handling::Acknowledged);
    assert_eq!(story.last().alert.acknowledged_by.as_deref(), Some("ada"));
    let story = story.told(Action::Assign { to: "workshop".into() });
    assert_eq!(story.last().alert.handling, Handling::Assigned);
    let story = story.told(Action::Silence { until: at(600) });
    assert_eq!((story.last().change, story.last().alert.handling), (Change::Silenced, Handling::Silenced));
    let story = story.tick_at(599, false);
    assert_eq!(story.last().change, Change::Silenced);
    let story = story.tick_at(600, false);
    assert_eq!((story.last().change, story.last().alert.handling), (Change::SilenceEnded, Handling::Assigned));
    assert_eq!(story.last().alert.revision, 5);
}

#[test]
fn saying_the_same_twice_changes_nothing() {
    let story = a_vehicle().overheating_for(2).told(Action::Acknowledge).told(Action::Acknowledge);
    assert_eq!(story.changes(), [Change::Opened, Change::Acknowledged]);
}

#[test]
fn a_false_alarm_mutes_its_key_until_it_is_calm() {
    let story = a_vehicle().overheating_for(2).told(resolve(Some(Verdict::FalseAlarm))).overheating_at(125.0, 50);
    assert_eq!(story.changes(), [Change::Opened, Change::Resolved]);
    let story = story.calm_for(2);
    assert_eq!(story.last().change, Change::Cleared);
    assert_eq!((story.last().alert.verdict, story.last().alert.handling), (Some(Verdict::FalseAlarm), Handling::Resolved));
    let first = story.last().alert.alert_id;
    let story = story.overheating_for(2);
    assert_eq!(story.last().change, Change::Opened);
    assert_ne!(story.last().alert.alert_id, first, "a new episode");
}

#[test]
fn what_is_resolved_while_active_opens_again_only_after_calm() {
    let story = a_vehicle().overheating_for(2).told(resolve(None)).overheating_for(20).holding_for(5).overheating_for(20);
    assert_eq!(story.changes(), [Change::Opened, Change::Resolved]);
    assert_eq!(story.episodes.open().count(), 1, "nobody says that it is over");
    let story = story.calm_for(2).overheating_for(2);
    assert_eq!(story.changes()[2..], [Change::Cleared, Change::Opened]);
}

#[test]
fn the_last_alerts_that_are_over_can_still_be_judged() {
    let mut story = a_vehicle().overheating_for(2).calm_for(2);
    story.try_tell(resolve(Some(Verdict::Confirmed))).unwrap();
    assert_eq!(story.last().change, Change::Resolved);
    assert!(story.episodes.is_empty(), "handled to the end");
    for _ in 0..=MAX_CLOSED {
        story = story.overheating_for(2).calm_for(2);
    }
    let over: Vec<_> = story.events.iter().filter(|event| event.change == Change::Cleared).map(|event| &event.alert).collect();
    let mut tell = |alert_id| {
        let command = Command {
            vehicle_id: story.vehicle_id.clone(),
            alert_id,
            action: Action::Acknowledge,
            by: "ada".into(),
            note: None,
            at: at(9_000),
        };
        story.episodes.command(&command, &mut Vec::new())
    };
    let alert_id = over[1].alert_id;
    assert_eq!(tell(alert_id), Err(CommandRefused::NoSuchAlert { alert_id }), "forgotten");
    for alert in &over[2..] {
        tell(alert.alert_id).unwrap();
    }
}

#[test]
fn what_cannot_be_done_is_refused_with_its_reason_and_changes_nothing() {
    let mut story = a_vehicle().overheating_for(2);
    let before = story.episodes.clone();
    let refused = story.try_tell(Action::Silence { until: at(10) });
    assert_eq!(refused, Err(CommandRefused::SilenceInThePast { until: at(10), at: at(60) }));
    assert_eq!(story.episodes, before);
    let mut story = story.told(resolve(None));
    assert!(matches!(story.try_tell(Action::Acknowledge), Err(CommandRefused::Resolved { .. })));
    let mut story = a_vehicle().overheating_for(2).calm_for(2);
    assert!(matches!(story.try_tell(Action::Silence { until: at(900) }), Err(CommandRefused::Over { .. })));
}
