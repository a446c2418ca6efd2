//! Episodes told as stories: a vehicle, what its readings say, what people do, and what came of it.

mod common;
mod handling;
mod restart;
mod time;

use std::time::Duration;

use super::*;
use crate::analytics::claim::Persistence;
use crate::analytics::fixtures::{at, reading_at};
use crate::analytics::rules::SILENT_VEHICLE;
use crate::domain::signal::COOLANT_TEMPERATURE;
use crate::domain::{Action, Command, Condition, OpenedBy, Severity, Verdict};

/// Between two readings.
const STEP_S: i64 = 30;

/// Two of three open it; a minute and two calm readings close it.
const PERSISTENCE: Persistence = Persistence { raised: 2, of: 3, calm_for: Duration::from_mins(1), calm_readings: 2 };

/// One vehicle and all that was said about it. Each step is a reading 30 s after the one before.
#[derive(Clone)]
struct Story {
    episodes: Episodes,
    events: Vec<AlertEvent>,
    seconds: i64,
    timing: Timing,
    /// How long readings are on the way.
    delay_s: i64,
    vehicle_id: VehicleId,
}

fn a_vehicle() -> Story {
    Story {
        episodes: Episodes::default(),
        events: Vec::new(),
        seconds: 0,
        timing: Timing::InOrder,
        delay_s: 0,
        vehicle_id: VehicleId::new("truck-7").unwrap(),
    }
}

fn overheating() -> AlertKey {
    AlertKey::rule("overheating")
}

fn claim(key: AlertKey, level: Level, value: f64) -> Claim {
    Claim {
        key,
        level,
        severity: if value >= 120.0 { Severity::Critical } else { Severity::Warning },
        persistence: PERSISTENCE,
        value: Some(value),
        limit: Some(112.0),
        summary: if level == Level::Raised { format!("coolant {value} °C").into() } else { Box::default() },
        score: None,
        explanation: Vec::new(),
    }
}

impl Story {
    fn overheating_for(self, readings: usize) -> Self {
        self.overheating_at(115.0, readings)
    }

    fn overheating_at(self, celsius: f64, readings: usize) -> Self {
        self.saying(&[claim(overheating(), Level::Raised, celsius)], readings)
    }

    fn holding_for(self, readings: usize) -> Self {
        self.saying(&[claim(overheating(), Level::Holding, 108.0)], readings)
    }

    fn calm_for(self, readings: usize) -> Self {
        self.saying(&[claim(overheating(), Level::Calm, 90.0)], readings)
    }

    fn not_assessed_for(self, readings: usize) -> Self {
        self.saying(&[claim(overheating(), Level::NotAssessed, 0.0)], readings)
    }

    fn without_claims_for(self, readings: usize) -> Self {
        self.saying(&[], readings)
    }

    fn saying(mut self, claims: &[Claim], readings: usize) -> Self {
        for _ in 0..readings {
            self.seconds += STEP_S;
            self.observe(self.seconds, claims);
        }
        self
    }

    /// Readings from here on arrive so long after they were taken.
    fn delayed_by(mut self, delay_s: i64) -> Self {
        self.delay_s = delay_s;
        self.timing = if delay_s > 300 { Timing::Delayed } else { Timing::InOrder };
        self
    }

    /// One reading out of order.
    fn late(mut self, seconds: i64, claim: Claim) -> Self {
        let timing = std::mem::replace(&mut self.timing, Timing::Late);
        self.observe(seconds, &[claim]);
        self.timing = timing;
        self
    }

    fn observe(&mut self, seconds: i64, claims: &[Claim]) -> usize {
        let mut reading = reading_at(seconds, &[(COOLANT_TEMPERATURE, 100.0)]);
        reading.received_at = at(seconds + self.delay_s);
        let seen = Seen {
            vehicle_id: &self.vehicle_id,
            reading: &reading,
            timing: self.timing,
            arrival: seconds.unsigned_abs(),
            configuration: 3,
        };
        self.episodes.observe(&seen, claims, &mut self.events)
    }

    fn tick_at(mut self, seconds: i64, is_silent: bool) -> Self {
        let silence = claim(AlertKey::rule(SILENT_VEHICLE), Level::Raised, 400.0);
        let opened_by = OpenedBy { recorded_at: at(self.seconds), fingerprint: 5, arrival: 6, configuration: 3 };
        let tick =
            Tick { vehicle_id: &self.vehicle_id, now: at(seconds), is_silent, silence: Some(&silence), newest: Some(opened_by) };
        self.episodes.tick(&tick, &mut self.events);
        self
    }

    fn silent_at(self, seconds: i64) -> Self {
        self.tick_at(seconds, true)
    }

    /// To the newest alert about overheating.
    fn told(mut self, action: Action) -> Self {
        self.try_tell(action).unwrap();
        self
    }

    fn try_tell(&mut self, action: Action) -> Result<(), CommandRefused> {
        let alert_id = self.events.iter().rev().find(|event| event.alert.key == overheating()).unwrap().alert.alert_id;
        let command = Command {
            vehicle_id: self.vehicle_id.clone(),
            alert_id,
            action,
            by: "ada".into(),
            note: None,
            at: at(self.seconds + self.delay_s),
        };
        self.episodes.command(&command, &mut self.events)
    }

    fn changes(&self) -> Vec<Change> {
        self.events.iter().map(|event| event.change).collect()
    }

    fn last(&self) -> &AlertEvent {
        self.events.last().expect("something happened")
    }
}

#[test]
fn two_of_three_raised_readings_open_an_alert_with_the_first_of_them_as_its_time() {
    let story = a_vehicle().calm_for(2).overheating_for(1).calm_for(1);
    assert_eq!(story.changes(), []);
    let story = story.overheating_for(1);
    assert_eq!(story.changes(), [Change::Opened]);
    let alert = &story.last().alert;
    assert_eq!((alert.opened_at, alert.last_seen_at, alert.count), (at(90), at(150), 2));
    assert_eq!((alert.opened_by.recorded_at, alert.opened_by.arrival, alert.opened_by.configuration), (at(150), 150, 3));
    assert_eq!((&*alert.summary, alert.value, alert.revision), ("coolant 115 °C", Some(115.0), 1));
    assert_eq!(alert.alert_id, AlertId::of(&story.vehicle_id, &overheating(), at(90)));
    assert_eq!(story.episodes.open().count(), 1);
}

#[test]
fn raised_readings_far_apart_open_nothing_and_leave_nothing_behind() {
    let mut story = a_vehicle();
    for _ in 0..20 {
        story = story.overheating_for(1).calm_for(3);
    }
    assert_eq!(story.changes(), []);
    assert!(story.episodes.is_empty());
}

#[test]
fn an_alert_closes_after_a_minute_and_two_calm_readings() {
    let story = a_vehicle().overheating_for(2).calm_for(1);
    assert_eq!(story.changes(), [Change::Opened]);
    let story = story.calm_for(1);
    assert_eq!(story.changes(), [Change::Opened, Change::Cleared]);
    let alert = &story.last().alert;
    assert_eq!((alert.condition, alert.closed_at, alert.revision), (Condition::Cleared, Some(at(120)), 2));
    assert_eq!(story.episodes.open().count(), 0);
}

#[test]
fn between_its_two_limits_an_alert_stays_open() {
    let story = a_vehicle().overheating_for(2).calm_for(1).holding_for(10).calm_for(1);
    assert_eq!(story.changes(), [Change::Opened]);
    assert_eq!(story.calm_for(1).changes(), [Change::Opened, Change::Cleared]);
}

#[test]
fn holding_alone_opens_nothing() {
    assert!(a_vehicle().holding_for(100).episodes.is_empty());
}

#[test]
fn readings_that_are_not_assessed_count_neither_way() {
    let story = a_vehicle().overheating_for(1).not_assessed_for(50).overheating_for(1);
    assert_eq!(story.changes(), [Change::Opened]);
    let story = story.not_assessed_for(100);
    assert_eq!(story.changes(), [Change::Opened], "a vehicle that parks hot is not known to be cool");
}

#[test]
fn an_alert_whose_rule_was_switched_off_closes() {
    let story = a_vehicle().overheating_for(2).without_claims_for(19);
    assert_eq!(story.changes(), [Change::Opened]);
    let story = story.without_claims_for(1);
    assert_eq!(story.changes(), [Change::Opened, Change::Cleared]);
    assert!(a_vehicle().overheating_for(1).without_claims_for(20).episodes.is_empty(), "a run ends the same way");
}

#[test]
fn a_standing_alert_is_written_ever_more_seldom() {
    let story = a_vehicle().overheating_for(2 + 24 * 120);
    let updates = story.changes().iter().filter(|change| **change == Change::Updated).count();
    assert!((50..130).contains(&updates), "{updates} in a day");
    let first: Vec<_> = story.events.iter().take(4).map(|event| event.alert.last_seen_at.since(at(0)).as_secs()).collect();
    assert_eq!(first, [60, 120, 180, 240]);
    let open = story.episodes.open().next().unwrap();
    assert_eq!((open.count, open.last_seen_at), (2 + 24 * 120, at(story.seconds)), "what is not written is known");
}

#[test]
fn an_alert_that_becomes_more_severe_says_so_at_once_and_never_less() {
    let story = a_vehicle().overheating_for(2).overheating_at(121.0, 1).overheating_at(113.0, 1);
    assert_eq!(story.changes(), [Change::Opened, Change::Worsened]);
    let open = story.episodes.open().next().unwrap();
    assert_eq!((open.severity, open.value, &*open.summary), (Severity::Critical, Some(121.0), "coolant 121 °C"));
}

#[test]
fn there_is_one_alert_a_key() {
    let claims = [claim(overheating(), Level::Raised, 115.0), claim(AlertKey::fence("depot", "exit"), Level::Raised, 115.0)];
    let story = a_vehicle().saying(&claims, 4);
    assert_eq!(story.episodes.open().count(), 2);
    assert!(story.episodes.follows(&AlertKey::fence("depot", "exit")) && !story.episodes.follows(&AlertKey::rule("x")));
}

#[test]
fn a_vehicle_follows_a_bounded_number_of_keys_and_runs_make_room_for_each_other() {
    let key = |index: usize| AlertKey::fence(&format!("f{index}"), "exit");
    let claims =
        |keys: std::ops::Range<usize>| -> Vec<Claim> { keys.map(|index| claim(key(index), Level::Raised, 115.0)).collect() };
    let mut story = a_vehicle().saying(&claims(0..MAX_KEYS), 2);
    assert_eq!(story.episodes.open().count(), MAX_KEYS);
    story.seconds += STEP_S;
    assert_eq!(story.observe(story.seconds, &claims(99..100)), 1, "no room");
    let story = a_vehicle().saying(&claims(0..2 * MAX_KEYS), 1);
    assert_eq!(story.episodes.followed().count(), MAX_KEYS);
    assert!(story.episodes.follows(&key(2 * MAX_KEYS - 1)) && !story.episodes.follows(&key(0)));
}
