//! Clocks: late, delayed, silent.

use super::*;

#[test]
fn a_late_reading_only_adds_to_the_episode_that_it_belongs_to() {
    let story = a_vehicle().overheating_for(2);
    let before = story.events.len();
    let story = story.late(45, claim(overheating(), Level::Raised, 130.0)).late(10, claim(overheating(), Level::Raised, 140.0));
    assert_eq!(story.events.len(), before);
    let open = story.episodes.open().next().unwrap();
    assert_eq!((open.count, open.value, open.severity), (3, Some(130.0), Severity::Warning));
    let mut story = a_vehicle().calm_for(5);
    for seconds in [31, 32, 33] {
        story = story.late(seconds, claim(overheating(), Level::Raised, 130.0));
    }
    assert!(story.episodes.is_empty(), "late readings open nothing");
    let story = a_vehicle().overheating_for(2).late(50, claim(overheating(), Level::Calm, 90.0)).calm_for(1);
    assert_eq!(story.changes(), [Change::Opened], "late calm does not count");
}

#[test]
fn an_episode_that_is_over_when_we_hear_of_it_is_history_and_nobody_is_told() {
    let story = a_vehicle().delayed_by(3_600).overheating_for(5);
    assert_eq!((story.changes(), story.episodes.open().count()), (vec![], 0));
    let story = story.calm_for(2);
    assert_eq!(story.changes(), [Change::Cleared]);
    let alert = &story.last().alert;
    assert!(alert.is_history);
    assert_eq!((alert.revision, alert.count, alert.closed_at), (1, 5, Some(at(210))));
}

#[test]
fn an_episode_that_goes_on_is_told_once_readings_come_in_time() {
    let story = a_vehicle().delayed_by(3_600).overheating_for(5).delayed_by(0).overheating_for(1);
    assert_eq!(story.changes(), [Change::Opened]);
    assert!(!story.last().alert.is_history);
    assert_eq!((story.last().alert.opened_at, story.last().alert.count), (at(30), 6));
}

#[test]
fn an_episode_that_goes_on_is_told_when_the_backlog_ends() {
    let story = a_vehicle().delayed_by(3_600).overheating_for(2);
    let heard_at = story.seconds + 3_600;
    let story = story.tick_at(heard_at + 9, false);
    assert_eq!(story.changes(), []);
    let story = story.tick_at(heard_at + 10, false);
    assert_eq!(story.changes(), [Change::Opened]);
}

#[test]
fn a_silent_vehicle_is_never_cleared_but_unknown() {
    let story = a_vehicle().overheating_for(2).tick_at(100, false);
    assert_eq!(story.changes(), [Change::Opened]);
    let story = story.silent_at(1_000).silent_at(1_001);
    assert_eq!(story.changes(), [Change::Opened, Change::BecameUnknown, Change::Opened]);
    let keys: Vec<_> = story.episodes.open().map(|alert| (alert.key.as_str(), alert.condition)).collect();
    assert_eq!(keys, [("rule:overheating", Condition::Unknown), ("rule:silent_vehicle", Condition::Active)]);
}

#[test]
fn a_vehicle_that_speaks_again_ends_its_silence_and_makes_its_alerts_known() {
    let calm = Persistence { raised: 1, of: 1, calm_for: Duration::ZERO, calm_readings: 1 };
    let speaks = Claim { persistence: calm, ..claim(AlertKey::rule(SILENT_VEHICLE), Level::Calm, 0.0) };
    let story = a_vehicle().overheating_for(2).silent_at(1_000);
    let story = story.saying(&[claim(overheating(), Level::Raised, 115.0), speaks], 1);
    assert_eq!(story.changes()[3..], [Change::BecameActive, Change::Cleared]);
    assert_eq!(story.last().alert.key, AlertKey::rule(SILENT_VEHICLE));
    assert_eq!(story.last().alert.opened_at, at(1_000), "by our clock");
}

#[test]
fn a_vehicle_of_which_only_late_readings_come_is_not_silent() {
    let story = a_vehicle().overheating_for(2).silent_at(1_000).tick_at(1_001, false);
    assert_eq!(story.changes()[3..], [Change::Cleared, Change::BecameActive]);
}
