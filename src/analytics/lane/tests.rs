//! Lanes on a real journal, without threads of their own: every step and every checkpoint happens where the test says.

mod support;

use std::time::Duration;

use proptest::prelude::*;

use self::support::{Deliveries, Fleet, Line, Told};
use crate::analytics::fixtures::{at, reading_of};
use crate::domain::{Action, AlertId, Change, Command, NotScored, Outcome, Quarantined, Reading, Reason, Source, Timing, signal};
use crate::wire::record::Record;

fn speed_of(vehicle: &str, seconds: i64, speed: f32) -> Reading {
    reading_of(vehicle, seconds, &[(signal::SPEED, speed)])
}

#[test]
fn readings_become_assessments_in_the_order_of_arrival() {
    let line = Line::new();
    let mut fleet = line.start(1, &["autoencoder"]);
    let readings = vec![speed_of("truck-7", 0, 50.0), speed_of("truck-7", 30, 200.0), speed_of("truck-7", 15, 60.0)];
    let told = fleet.assess(vec![readings]);
    assert_eq!(told.outcomes(), [Outcome { accepted: 3, duplicates: 0 }]);
    drop(fleet);
    let assessments = line.assessments();
    assert_eq!(assessments.iter().map(|assessment| assessment.arrival).collect::<Vec<_>>(), [0, 1, 2]);
    let timings: Vec<_> = assessments.iter().map(|assessment| assessment.timing).collect();
    assert_eq!(timings, [Timing::InOrder, Timing::InOrder, Timing::Late]);
    assert!(assessments.iter().all(|assessment| assessment.not_scored.is_none()), "late, and still within the window");
    assert!(assessments[1].score() > assessments[0].score());
    assert_eq!(&*assessments[0].scores[0].model, "autoencoder");
}

#[test]
fn a_duplicate_is_answered_after_its_original_and_stored_once() {
    let line = Line::new();
    let mut fleet = line.start(1, &[]);
    let reading = || speed_of("truck-7", 0, 50.0);
    let same_batch = fleet.assess(vec![vec![reading()], vec![reading(), speed_of("truck-7", 30, 50.0)]]);
    let later = fleet.assess(vec![vec![reading()]]);
    let outcome = |accepted, duplicates| Outcome { accepted, duplicates };
    assert_eq!(same_batch.outcomes(), [outcome(1, 0), outcome(1, 1)]);
    assert_eq!(later.outcomes(), [outcome(0, 1)]);
    drop(fleet);
    assert_eq!(line.assessments().len(), 2);
}

#[test]
fn only_readings_that_move_a_vehicle_are_published_and_only_the_newest_of_a_batch() {
    let line = Line::new();
    let mut fleet = line.start(1, &[]);
    let mut future = speed_of("truck-7", 100_000, 1.0);
    future.received_at = at(60);
    let mut delayed = speed_of("bus-1", 0, 5.0);
    delayed.received_at = at(3_600);
    let truck = |seconds| speed_of("truck-7", seconds, 50.0);
    let told = fleet.assess(vec![vec![truck(0), truck(30), truck(15)], vec![delayed], vec![future]]);
    let newest: Vec<_> = told
        .newest
        .iter()
        .map(|newest| (newest.reading.vehicle_id.as_str(), newest.reading.recorded_at, newest.timing))
        .collect();
    assert_eq!(newest, [("truck-7", at(30), Timing::InOrder), ("bus-1", at(0), Timing::Delayed)]);
    assert!(fleet.assess(vec![vec![truck(20)]]).newest.is_empty());
    drop(fleet);
    let not_scored: Vec<_> = line.assessments().iter().filter_map(|assessment| assessment.not_scored).collect();
    assert_eq!(not_scored.iter().filter(|reason| **reason == NotScored::Future).count(), 1);
}

#[test]
fn a_late_reading_before_the_window_is_stored_without_a_score() {
    let line = Line::new();
    let mut fleet = line.start(1, &["score"]);
    fleet.assess(vec![vec![speed_of("truck-7", 10_000, 50.0), speed_of("truck-7", 100, 50.0)]]);
    drop(fleet);
    let assessments = line.assessments();
    assert_eq!((assessments[1].timing, assessments[1].not_scored), (Timing::Late, Some(NotScored::BeforeWindow)));
    assert!(assessments[1].scores.is_empty());
}

#[test]
fn a_model_that_fails_costs_no_reading() {
    let line = Line::new();
    let mut fleet = line.start(1, &["fails_when_fast"]);
    let told = fleet.assess(vec![vec![speed_of("truck-7", 0, 250.0), speed_of("truck-7", 30, 50.0)]]);
    assert_eq!(told.outcomes(), [Outcome { accepted: 2, duplicates: 0 }]);
    drop(fleet);
    let not_scored: Vec<_> = line.assessments().iter().map(|assessment| assessment.not_scored).collect();
    assert_eq!(not_scored, [Some(NotScored::ModelFailed), None]);
}

#[test]
fn refused_messages_are_kept_in_the_journal_beside_their_neighbours() {
    let line = Line::new();
    let mut fleet = line.start(1, &[]);
    let quarantined = Quarantined {
        received_at: at(0),
        source: Source::Mqtt,
        vehicle_id: "truck-7".into(),
        reason: Reason::JsonSyntax,
        detail: "no".into(),
        payload: bytes::Bytes::from_static(b"{"),
        payload_bytes: 1,
        index: 0,
    };
    let mut deliveries = Deliveries::of(vec![vec![speed_of("truck-7", 0, 50.0)]]);
    deliveries.waiting[0].quarantined.push(quarantined.clone());
    assert_eq!(fleet.assess_deliveries(deliveries).outcomes(), [Outcome { accepted: 1, duplicates: 0 }]);
    drop(fleet);
    let records = line.records();
    assert_eq!(records[0], Record::Quarantined(Box::new(quarantined)));
    assert!(matches!(&records[1], Record::Assessment(assessment) if assessment.arrival == 1));
}

#[test]
fn the_newest_assessment_of_every_vehicle_is_there_again_after_a_restart() {
    let line = Line::new();
    let mut fleet = line.start(1, &["autoencoder"]);
    let mut told = fleet.assess(vec![vec![speed_of("truck-7", 0, 50.0)], vec![speed_of("bus-1", 0, 70.0)]]);
    fleet.checkpoint_all();
    told.newest.remove(0);
    told.newest.append(&mut fleet.assess(vec![vec![speed_of("truck-7", 30, 60.0), speed_of("truck-7", 10, 55.0)]]).newest);
    drop(fleet);
    let again = line.start(1, &["autoencoder"]);
    let mut newest: Vec<_> = again.lanes.iter().flat_map(|lane| lane.newest().map(Result::unwrap)).collect();
    newest.sort_by_key(|assessment| assessment.reading.vehicle_id.clone());
    assert_eq!(newest, told.newest);
}

#[test]
fn a_frame_that_the_saved_state_stands_for_changes_nothing() {
    let line = Line::new();
    let mut fleet = line.start(1, &[]);
    fleet.assess(vec![(0..3).map(|step| speed_of("truck-7", step * 900, 50.0)).collect()]);
    drop(fleet);
    let mut fleet = line.start(1, &[]);
    let before = fleet.states();
    for frame in fleet.frames() {
        fleet.lanes[0].replay(&frame).unwrap();
    }
    assert_eq!(fleet.states(), before);
}

#[test]
fn cohorts_of_the_hour_come_back_as_they_were() {
    let line = Line::new();
    let mut fleet = line.start(1, &[]);
    for hour in 0..3 {
        let drives = |vehicle: &str, speed: f32| (0..50).map(|step| speed_of(vehicle, hour * 3_600 + step * 30, speed)).collect();
        fleet.assess(vec![drives("truck-7", 60.0), drives("bus-1", 30.0)]);
    }
    let before = fleet.lanes[0].cohorts.clone();
    assert!(before.of(None).is_some());
    fleet.checkpoint_all();
    fleet.assess(vec![vec![speed_of("truck-7", 2 * 3_600 + 1_600, 90.0)]]);
    drop(fleet);
    let again = line.start(1, &[]);
    assert_eq!(again.lanes[0].cohorts, before, "formed once an hour, whatever came since");
}

#[test]
fn a_checkpoint_of_an_idle_lane_is_none() {
    let line = Line::new();
    let mut fleet = line.start(1, &[]);
    fleet.assess(vec![vec![speed_of("truck-7", 0, 50.0)]]);
    assert_eq!(fleet.checkpoint_all(), 2, "the cohorts of its first hour, and the vehicle");
    assert_eq!(fleet.checkpoint_all(), 0);
}

#[derive(Debug, Clone)]
enum Event {
    /// Vehicle, seconds, seconds on the way (negative: a clock ahead), speed.
    Reading(u8, i64, i64, u8),
    /// The reading that came so many readings ago, once more.
    Again(usize),
    /// Of one group of slots.
    Checkpoint(usize),
    EndOfBatch,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let delay = prop_oneof![8 => 0..60_i64, 1 => 301..600_i64, 1 => -600..-121_i64];
    let event = prop_oneof![
        12 => (0..4_u8, 0..3_000_i64, delay, any::<u8>()).prop_map(|(vehicle, at, delay, speed)| Event::Reading(vehicle, at, delay, speed)),
        2 => (0..10_usize).prop_map(Event::Again),
        1 => (0..support::GROUPS).prop_map(Event::Checkpoint),
        2 => Just(Event::EndOfBatch),
    ];
    proptest::collection::vec(event, 1..80)
}

fn run(fleet: &mut Fleet, events: &[Event], sent: &mut Vec<Reading>) -> Told {
    let mut told = Told::default();
    let mut batch = Vec::new();
    for (minute, event) in (0..).zip(events) {
        match event {
            Event::Reading(vehicle, seconds, delay, speed) => {
                // Mostly forward, so that windows move and lose steps.
                let seconds = minute * 60 + seconds % 400;
                let mut reading = speed_of(&format!("vehicle-{vehicle}"), seconds, f32::from(*speed));
                reading.received_at = at(seconds + delay);
                sent.push(reading.clone());
                batch.push(vec![reading]);
            }
            Event::Again(ago) => batch.extend(sent.iter().rev().nth(*ago).map(|reading| vec![reading.clone()])),
            Event::Checkpoint(group) => fleet.checkpoint(*group),
            Event::EndOfBatch => told.append(fleet.assess(std::mem::take(&mut batch))),
        }
    }
    told.append(fleet.assess(batch));
    told
}

proptest! {
    // Each case opens four journals on disk.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_restart_changes_nothing(before in events(), after in events(), lanes_before in 1..4_usize, lanes_after in 1..4_usize) {
        let (line, undisturbed) = (Line::new(), Line::new());
        let (mut sent, mut sent_undisturbed) = (Vec::new(), Vec::new());

        let mut reference = undisturbed.start(1, &[]);
        let expected_first = run(&mut reference, &before, &mut sent_undisturbed).outcomes();

        let mut fleet = line.start(lanes_before, &[]);
        prop_assert_eq!(run(&mut fleet, &before, &mut sent).outcomes(), expected_first);
        drop(fleet);
        let mut fleet = line.start(lanes_after, &[]);
        prop_assert_eq!(fleet.states(), reference.states());

        let expected = run(&mut reference, &after, &mut sent_undisturbed).outcomes();
        prop_assert_eq!(run(&mut fleet, &after, &mut sent).outcomes(), expected);
        prop_assert_eq!(fleet.states(), reference.states());
        drop(fleet);
        // And what a checkpoint alone says, the tail being empty.
        let mut fleet = line.start(lanes_before, &[]);
        fleet.checkpoint_all();
        drop(fleet);
        prop_assert_eq!(line.start(lanes_after, &[]).states(), reference.states());
    }
}

/// So that no speed stays the same.
fn speed_step(minute: i64) -> f32 {
    f32::from(u8::try_from(minute).unwrap())
}

/// A minute apart, hot enough for everybody.
fn overheating(vehicle: &str, minutes: std::ops::Range<i64>) -> Vec<Reading> {
    let signals = [(signal::COOLANT_TEMPERATURE, 125.0), (signal::ENGINE_SPEED, 2_000.0)];
    minutes
        .map(|minute| reading_of(vehicle, minute * 60, &[&signals[..], &[(signal::SPEED, 50.0 + speed_step(minute))]].concat()))
        .collect()
}

#[test]
fn an_alert_stands_in_the_journal_behind_the_reading_that_opened_it() {
    let line = Line::new();
    let mut fleet = line.start(1, &[]);
    // One batch: what the first readings raise, the later ones go on with.
    fleet.assess(vec![overheating("truck-7", 0..10)]);
    drop(fleet);
    let records = line.records();
    let opened = records.iter().position(|record| matches!(record, Record::AlertEvent(event) if event.change == Change::Opened));
    let opened = opened.expect("it is 125 °C hot");
    let (Record::AlertEvent(event), Record::Assessment(before)) = (&records[opened], &records[opened - 1]) else {
        panic!("{:?}", &records[opened - 1]);
    };
    assert_eq!(event.alert.key.as_str(), "rule:overheating");
    assert_eq!((before.reading.recorded_at, before.arrival), (event.alert.opened_by.recorded_at, event.alert.opened_by.arrival));
    assert!(before.findings.iter().any(|finding| finding.key == event.alert.key && finding.is_raised), "{:?}", before.findings);
}

#[test]
fn batches_change_nothing_about_alerts() {
    let events = |per_batch: usize| {
        let line = Line::new();
        let mut fleet = line.start(1, &[]);
        let mut readings = overheating("truck-7", 0..8);
        readings.extend((8..40).map(|minute| {
            reading_of(
                "truck-7",
                minute * 60,
                &[
                    (signal::COOLANT_TEMPERATURE, 90.0),
                    (signal::ENGINE_SPEED, 2_000.0),
                    (signal::SPEED, 60.0 + speed_step(minute)),
                ],
            )
        }));
        readings.chunks(per_batch).for_each(|batch| drop(fleet.assess(vec![batch.to_vec()])));
        drop(fleet);
        line.records().into_iter().filter(|record| matches!(record, Record::AlertEvent(_))).collect::<Vec<_>>()
    };
    let one_by_one = events(1);
    assert!(one_by_one.len() >= 2, "it opens and is over: {one_by_one:?}");
    assert_eq!(events(40), one_by_one);
    assert_eq!(events(7), one_by_one);
}

#[test]
fn a_command_is_obeyed_journaled_and_known_after_a_restart() {
    let line = Line::new();
    let mut fleet = line.start(1, &[]);
    fleet.assess(vec![overheating("truck-7", 0..10)]);
    let alert_id = fleet.lanes[0].vehicles[0].state.episodes.open().next().unwrap().alert_id;
    let vehicle_id = fleet.lanes[0].vehicles[0].id.clone();
    let command = Command { vehicle_id, alert_id, action: Action::Acknowledge, by: "ada".into(), note: None, at: at(700) };
    let obeyed = fleet.command(&command).unwrap();
    assert_eq!(obeyed.event.unwrap().change, Change::Acknowledged);
    assert_eq!(fleet.command(&command).unwrap().event, None, "it was so already");
    let unknown = Command { alert_id: AlertId::from_number(1), ..command };
    assert!(fleet.command(&unknown).is_err());
    let states = fleet.states();
    drop(fleet);
    let fleet = line.start(1, &[]);
    assert_eq!(fleet.states(), states);
    assert_eq!(fleet.lanes[0].vehicles[0].state.episodes.open().next().unwrap().acknowledged_by.as_deref(), Some("ada"));
}

#[test]
fn windows_are_kept_as_long_as_models_look_back() {
    let line = Line::new();
    let mut fleet = line.start(1, &["autoencoder"]);
    assert_eq!(fleet.lanes[0].scoring.keep(), Duration::from_mins(10));
    fleet.assess(vec![(0..30).map(|step| speed_of("truck-7", step * 60, 50.0)).collect()]);
    assert_eq!(fleet.lanes[0].vehicles[0].state.window.len(), 11);
}

#[test]
fn what_cannot_be_believed_stands_beside_the_reading_and_is_not_scored() {
    let line = Line::new();
    let mut fleet = line.start(1, &["autoencoder"]);
    let mut same_time = speed_of("bus-1", 0, 50.0);
    for (step, received_at) in [(1.0, 0), (2.0, 40), (3.0, 80), (4.0, 120)] {
        same_time.signals.set(signal::SPEED, 50.0 + step);
        same_time.received_at = at(received_at);
        same_time.sequence = Some(if step < 3.0 { 7 } else { 9 });
        same_time.fingerprint = same_time.compute_fingerprint();
        fleet.assess(vec![vec![same_time.clone()]]);
    }
    drop(fleet);
    let assessments = line.assessments();
    let conflicts: Vec<_> = assessments.iter().map(|assessment| assessment.quality.has_sequence_conflict).collect();
    assert_eq!(conflicts, [false, true, false, true]);
    assert_eq!(assessments[3].lost_before_us, 1);
    let frozen: Vec<_> = assessments.iter().map(|assessment| assessment.quality.is_clock_frozen).collect();
    assert_eq!(frozen, [false, false, false, true]);
    assert_eq!(assessments[3].not_scored, Some(NotScored::ClockFrozen));
    assert!(assessments[..3].iter().all(|assessment| assessment.not_scored != Some(NotScored::ClockFrozen)));
}

#[test]
fn a_stuck_signal_is_missing_for_models_and_a_restart_in_between_changes_no_verdict() {
    let speed = signal::SPEED;
    let run = |restart_after: Option<i64>| {
        let line = Line::new();
        let mut fleet = line.start(1, &["autoencoder"]);
        for step in 0..16_i64 {
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let values = [(speed, 63.5), (signal::ENGINE_LOAD, 30.0 + step as f32)];
            let mut reading = reading_of("truck-7", step * 30, &values);
            reading.sequence = Some(step.unsigned_abs() * 2);
            reading.fingerprint = reading.compute_fingerprint();
            fleet.assess(vec![vec![reading]]);
            if restart_after == Some(step) {
                drop(fleet);
                fleet = line.start(1, &["autoencoder"]);
                fleet.checkpoint_all();
                drop(fleet);
                fleet = line.start(1, &["autoencoder"]);
            }
        }
        let states = fleet.states();
        drop(fleet);
        let judged = line.assessments().into_iter().map(|one| (one.quality, one.lost_before_us, one.not_scored, one.scores));
        (judged.collect::<Vec<_>>(), states)
    };
    let (whole, states) = run(None);
    let stuck: Vec<_> = whole.iter().map(|(quality, ..)| quality.stuck == 1 << speed.index()).collect();
    assert_eq!(stuck, [[false; 10].as_slice(), &[true; 6]].concat());
    assert_eq!(whole.iter().map(|(_, lost, ..)| *lost).collect::<Vec<_>>(), (0..16).collect::<Vec<u64>>());
    assert_eq!((whole[9].2, whole[10].2), (None, Some(NotScored::TooManyMissing)), "the speed was all that the model had");
    for restart_after in [3, 9, 12] {
        let (restarted, after) = run(Some(restart_after));
        assert!(restarted == whole && after == states, "restarted after {restart_after}");
    }
}
