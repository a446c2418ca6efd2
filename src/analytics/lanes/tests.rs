//! Tests of `lanes`.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tokio::sync::oneshot;

use super::*;
use crate::analytics::blueprint::{ModelSource, Records};
use crate::analytics::fixtures::{library, model_file, reading_of};
use crate::domain::{Outcome, Receipt, Timing, signal};
use crate::journal::Journal;
use crate::settings::{ByteSize, Interval};

/// A folder for the journal, and what lanes publish.
struct Line {
    folder: tempfile::TempDir,
    published: (SyncSender<Assessment>, Receiver<Assessment>),
}

struct Running {
    inlet: LaneInlet,
    tasks: Tasks,
}

impl Line {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), published: sync_channel(1_000) }
    }

    fn try_start(&self, settings: &settings::Analytics, models: &[&str], library: &Path) -> Result<Running, StartError> {
        let tasks = Tasks::default();
        let journal_settings = settings::Journal { segment: ByteSize::from_kib(256), max: ByteSize::from_mib(16) };
        let (journal, recovery) = Journal::open(self.folder.path(), &journal_settings, &tasks).unwrap();
        let published = self.published.0.clone();
        let publish = move |_lane| -> Publish {
            let published = published.clone();
            Box::new(move |newest| newest.drain(..).for_each(|assessment| published.send(assessment).unwrap()))
        };
        let source = |name: &&str| ModelSource { origin: format!("{name}.onnx").into(), file: model_file(name).into() };
        let blueprint = Blueprint {
            settings: settings.clone(),
            table: Arc::default(),
            models: models.iter().map(source).collect(),
            checks: Arc::default(),
            records: Records::default(),
            library: library.to_owned(),
        };
        let journal = Arc::new(journal);
        let start_with = LaneStart { blueprint: &blueprint, journal, recovery, publish, slo: Arc::default(), tasks: &tasks };
        Ok(Running { inlet: start(start_with)?.inlet, tasks })
    }

    fn start(&self, lanes: usize) -> Running {
        self.try_start(&settings::Analytics { lanes, ..Default::default() }, &["autoencoder"], &library()).unwrap()
    }

    fn refusal(&self, models: &[&str], library: &Path) -> String {
        self.try_start(&settings::Analytics::default(), models, library).map(|_| ()).unwrap_err().to_string()
    }
}

impl Running {
    /// Stopping is closing.
    async fn stop(self) {
        drop(self.inlet);
        self.tasks.finished().await.unwrap();
    }
}

fn a_delivery(vehicle: &str, seconds: i64) -> (Delivery, oneshot::Receiver<Outcome>) {
    let reading = reading_of(vehicle, seconds, &[(signal::SPEED, 50.0)]);
    let (receipt, outcome) = Receipt::new();
    let slot = reading.vehicle_id.slot();
    (Delivery { slot, readings: vec![reading], quarantined: Vec::new(), receipt }, outcome)
}

#[tokio::test]
async fn what_is_delivered_is_promised_published_and_there_after_a_restart() {
    let line = Line::new();
    let running = line.start(3);
    let mut outcomes = Vec::new();
    for vehicle in 0..50 {
        let (delivery, outcome) = a_delivery(&format!("vehicle-{vehicle}"), 0);
        running.inlet.deliver(delivery).await.unwrap();
        outcomes.push(outcome);
    }
    for outcome in outcomes {
        assert_eq!(outcome.await, Ok(Outcome { accepted: 1, duplicates: 0 }));
    }
    running.stop().await;
    let published: Vec<Assessment> = line.published.1.try_iter().collect();
    assert_eq!(published.len(), 50);
    assert!(published.iter().all(|assessment| assessment.scores.len() == 1));

    let running = line.start(2);
    let by_id = |mut assessments: Vec<Assessment>| {
        assessments.sort_by_key(|assessment| assessment.reading.vehicle_id.clone());
        assessments
    };
    assert_eq!(by_id(line.published.1.try_iter().collect()), by_id(published), "published before anything is taken in");
    let (again, outcome) = a_delivery("vehicle-7", 0);
    running.inlet.deliver(again).await.unwrap();
    assert_eq!(outcome.await, Ok(Outcome { accepted: 0, duplicates: 1 }));
    running.stop().await;
}

#[tokio::test]
async fn everything_in_the_inbox_is_done_before_a_lane_ends() {
    let line = Line::new();
    let running = line.start(1);
    let mut outcomes = Vec::new();
    for seconds in 0..500 {
        let (delivery, outcome) = a_delivery("truck-7", seconds);
        running.inlet.deliver(delivery).await.unwrap();
        outcomes.push(outcome);
    }
    running.stop().await;
    for outcome in outcomes {
        assert_eq!(outcome.await, Ok(Outcome { accepted: 1, duplicates: 0 }));
    }
}

#[tokio::test]
async fn a_full_inbox_gives_the_delivery_back() {
    let settings = settings::Analytics { lanes: 1, inbox: 1, ..Default::default() };
    let mut line = Line::new();
    // Nobody takes what is published: the lane stands still with its first batch.
    line.published = sync_channel(0);
    let running = line.try_start(&settings, &[], Path::new("")).unwrap();
    running.inlet.deliver(a_delivery("truck-7", 0).0).await.unwrap();
    let mut refused = None;
    // One in the lane's hands, one in its inbox, and the next has no place.
    for seconds in 1..4 {
        if let Err(TryDeliverError::Full(delivery)) = running.inlet.try_deliver(a_delivery("truck-7", seconds).0) {
            refused = Some(delivery);
        }
    }
    assert_eq!(refused.unwrap().readings.len(), 1);
    let taker = std::thread::spawn(move || line.published.1.iter().count());
    drop(line.published.0);
    running.stop().await;
    assert!(taker.join().unwrap() >= 1);
}

#[tokio::test]
async fn an_overloaded_lane_keeps_every_reading_and_leaves_out_second_models_until_it_keeps_up() {
    let settings =
        settings::Analytics { lanes: 1, inbox: 8, batch_max: 4, shed_after: Interval::from_millis(20), ..Default::default() };
    let mut line = Line::new();
    // Who takes what is published is slow, and so is the lane.
    line.published = sync_channel(0);
    let (sender, receiver) = std::mem::replace(&mut line.published, sync_channel(0));
    line.published.0 = sender;
    let running = line.try_start(&settings, &["autoencoder", "score"], &library()).unwrap();
    drop(line.published);
    let taker = std::thread::spawn(move || {
        let slowly = |assessment: Assessment| {
            std::thread::sleep(std::time::Duration::from_millis(2));
            assessment.scores.len()
        };
        receiver.iter().map(slowly).collect::<Vec<usize>>()
    });
    let mut outcomes = Vec::new();
    for number in 0..400 {
        let (delivery, outcome) = a_delivery(&format!("vehicle-{number}"), 0);
        running.inlet.deliver(delivery).await.unwrap();
        outcomes.push(outcome);
    }
    for outcome in outcomes {
        assert_eq!(outcome.await, Ok(Outcome { accepted: 1, duplicates: 0 }));
    }
    // One at a time: the inbox is calm.
    for number in 400..500 {
        let (delivery, outcome) = a_delivery(&format!("vehicle-{number}"), 0);
        running.inlet.deliver(delivery).await.unwrap();
        outcome.await.unwrap();
    }
    running.stop().await;
    let models = taker.join().unwrap();
    assert_eq!(models.len(), 500);
    assert_eq!(
        (models[0], models[390], models[499]),
        (2, 1, 2),
        "scores of a reading at the start, under load, after it: {models:?}"
    );
}

#[tokio::test]
async fn messages_that_overtook_each_other_are_judged_in_order_where_they_are_held() {
    let settings = settings::Analytics { lanes: 1, reorder_hold: Interval::from_millis(300), ..Default::default() };
    let line = Line::new();
    let running = line.try_start(&settings, &["autoencoder"], &library()).unwrap();
    let mut outcomes = Vec::new();
    for seconds in [90, 0, 60, 30, 120] {
        let (delivery, outcome) = a_delivery("truck-7", seconds);
        running.inlet.deliver(delivery).await.unwrap();
        outcomes.push(outcome);
    }
    for outcome in outcomes {
        assert_eq!(outcome.await, Ok(Outcome { accepted: 1, duplicates: 0 }));
    }
    running.stop().await;
    let timings: Vec<_> =
        line.published.1.try_iter().map(|assessment| (assessment.reading.recorded_at, assessment.timing)).collect();
    let newest = a_delivery("truck-7", 120).0.readings[0].recorded_at;
    assert_eq!(timings, [(newest, Timing::InOrder)], "one batch, in order: its newest is the last");
}

#[tokio::test]
async fn models_that_cannot_be_used_are_named() {
    let line = Line::new;
    assert!(line().refusal(&["autoencoder"], Path::new("/nowhere/libonnxruntime.so")).contains("make fetch"));
    let wrong_golden = line().refusal(&["score", "wrong_golden"], &library());
    assert!(wrong_golden.starts_with("model wrong_golden.onnx: golden row 2"), "{wrong_golden}");
    let twice = line().refusal(&["score", "score"], &library());
    assert_eq!(twice, r#"two models are called "score": the second is score.onnx"#);
}

#[test]
fn lanes_own_ranges_of_slots_of_the_same_size() {
    for lanes in [1, 2, 3, 7, 64] {
        let owners: Vec<usize> = (0..SLOTS).filter_map(Slot::from_number).map(|slot| lane_of(slot, lanes)).collect();
        assert!(owners.is_sorted());
        let sizes = (0..lanes).map(|lane| owners.iter().filter(|owner| **owner == lane).count());
        assert!(sizes.clone().max().unwrap() - sizes.min().unwrap() <= 1, "{lanes} lanes");
    }
}
