//! Replays of the small files of `tests/fixtures/history` to a receiver that hangs up where a test tells it to.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use rumqttc::mqttbytes::v4::{ConnAck, ConnectReturnCode, Packet, PubAck};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::domain::{Reading, Timestamp};
use crate::tasks::TaskError;
use crate::wire::history::{HistoryReader, ReadOptions};

/// A publish as it arrived.
#[derive(Debug, Clone, PartialEq)]
struct Arrived {
    client_id: String,
    topic: String,
    again: bool,
    moments: Vec<Timestamp>,
}

/// What the receiver does with the first, second … connection.
#[derive(Debug, Clone, Copy)]
enum Manner {
    AcknowledgeAll,
    /// Acknowledges so many publishes, takes one more without a word, and hangs up.
    HangUpAfter(usize),
    /// Takes everything and says nothing.
    KeepSilent,
    Refuse,
}

struct Receiver {
    url: Arc<MqttUrl>,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    tasks: Tasks,
}

impl Receiver {
    /// The last manner is that of all further connections.
    async fn start(manners: &'static [Manner]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("mqtt://{}", listener.local_addr().unwrap()).parse().unwrap();
        let receiver = Self { url: Arc::new(url), arrived: Arc::default(), tasks: Tasks::default() };
        let (arrived, tasks) = (Arc::clone(&receiver.arrived), receiver.tasks.clone());
        receiver.tasks.spawn("receiver", async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await?;
                let manner = manners[connection.min(manners.len() - 1)];
                let arrived = Arc::clone(&arrived);
                tasks.spawn("connection", async move {
                    serve(stream, manner, &arrived).await;
                    Ok(())
                });
            }
            Ok(())
        });
        receiver
    }

    fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, manner: Manner, arrived: &Mutex<Vec<Arrived>>) {
    let (mut inbound, mut client_id, mut publishes) = (BytesMut::new(), String::new(), 0);
    loop {
        let Ok(packet) = Packet::read(&mut inbound, 1 << 20) else {
            match stream.read_buf(&mut inbound).await {
                Ok(0) | Err(_) => return,
                Ok(_) => continue,
            }
        };
        let answer = match packet {
            Packet::Connect(connect) => {
                client_id = connect.client_id;
                let refused = matches!(manner, Manner::Refuse);
                let code = if refused { ConnectReturnCode::NotAuthorized } else { ConnectReturnCode::Success };
                Packet::ConnAck(ConnAck::new(code, false))
            }
            Packet::Publish(publish) => {
                publishes += 1;
                let payload: serde_json::Value = serde_json::from_slice(&publish.payload).unwrap();
                let readings = payload.as_array().cloned().unwrap_or_else(|| vec![payload]);
                let moments = readings.iter().map(|reading| reading["recorded_at"].as_str().unwrap().parse().unwrap());
                arrived.lock().unwrap().push(Arrived {
                    client_id: client_id.clone(),
                    topic: publish.topic,
                    again: publish.dup,
                    moments: moments.collect(),
                });
                match manner {
                    Manner::HangUpAfter(most) if publishes > most => return,
                    Manner::KeepSilent => continue,
                    _ => Packet::PubAck(PubAck::new(publish.pkid)),
                }
            }
            _ => continue,
        };
        let mut outbound = BytesMut::new();
        answer.write(&mut outbound, 1 << 20).unwrap();
        if stream.write_all(&outbound).await.is_err() {
            return;
        }
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/history").join(name)
}

const END: &str = "2026-11-24T03:17:00Z";

fn end() -> Clock {
    Clock::EndAt(END.parse().unwrap())
}

fn plan_of(files: &[PathBuf], columns: &str, clock: Clock, resume: &ResumeFile) -> Arc<Plan> {
    let table = Arc::new(SignalTable::default());
    let map = ColumnMap::load(columns, &table).unwrap();
    let options = PlanOptions { clock, speed: Speed::Max, read: ReadOptions::default() };
    Arc::new(Plan::make(files, &map, &table, options, resume).unwrap())
}

fn fresh() -> ResumeFile {
    ResumeFile::new(String::new())
}

/// A drive of so many readings, one a second, on either side of the array limit of one message.
fn long_drive(folder: &Path, readings: u32) -> PathBuf {
    let path = folder.join("long.csv");
    let start: Timestamp = "2020-01-01T00:00:00Z".parse().unwrap();
    let row = |second: u32| {
        let moment = start.plus(std::time::Duration::from_secs(u64::from(second)));
        format!("truck-7,{moment},{}\n", second % 100)
    };
    let text: Vec<String> =
        std::iter::once("vehicle_id,recorded_at,speed_km_per_h\n".to_owned()).chain((0..readings).map(row)).collect();
    let text = text.concat();
    std::fs::write(&path, text).unwrap();
    path
}

async fn replay_to(receiver: &Receiver, plan: &Arc<Plan>, columns: &str) -> (Result<(), TaskError>, Arc<Progress>) {
    let table = Arc::new(SignalTable::default());
    let map = Arc::new(ColumnMap::load(columns, &table).unwrap());
    let progress = Arc::new(Progress::new(plan));
    let tasks = Tasks::default();
    start(plan, &map, &table, &receiver.url, &progress, &tasks);
    (tasks.finished().await, progress)
}

/// The distinct moments in the order of their first arrival.
fn first_arrivals(arrived: &[Arrived]) -> Vec<Timestamp> {
    let mut moments = Vec::new();
    for moment in arrived.iter().flat_map(|message| &message.moments) {
        if !moments.contains(moment) {
            moments.push(*moment);
        }
    }
    moments
}

#[tokio::test]
async fn the_last_reading_is_at_the_start_of_the_replay_and_the_distances_stay() {
    let receiver = Receiver::start(&[Manner::AcknowledgeAll]).await;
    let plan = plan_of(&[fixture("2017-07-05_kit_like.csv")], "kit_obd2", end(), &fresh());
    let (result, progress) = replay_to(&receiver, &plan, "kit_obd2").await;
    result.unwrap();
    let arrived = receiver.arrived();
    assert_eq!(arrived[0].topic, "vehicles/2017-07-05_kit_like/telemetry");
    assert_eq!(arrived[0].client_id, "2017-07-05_kit_like");
    let moments: Vec<String> = first_arrivals(&arrived).iter().map(ToString::to_string).collect();
    let expected = ["03:16:58.1", "03:16:58.8", "03:16:59", "03:16:59.8", "03:17:00"];
    assert_eq!(moments, expected.map(|time| format!("2026-11-24T{time}Z")));
    assert_eq!(progress.acknowledged_now(&plan), 5);
}

#[tokio::test]
async fn kept_moments_are_those_of_the_file_and_a_start_moves_the_first() {
    let receiver = Receiver::start(&[Manner::AcknowledgeAll]).await;
    for (clock, first) in
        [(Clock::Keep, "2019-01-01T12:00:00Z"), (Clock::StartAt("2026-01-01T00:00:00Z".parse().unwrap()), "2026-01-01T00:00:00Z")]
    {
        let plan = plan_of(&[fixture("carobd_like.csv")], "carobd", clock, &fresh());
        replay_to(&receiver, &plan, "carobd").await.0.unwrap();
        let arrived = receiver.arrived();
        assert_eq!(arrived.last().unwrap().moments[0].to_string(), first);
    }
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again_in_order_and_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let receiver =
        Receiver::start(&[Manner::HangUpAfter(2), Manner::HangUpAfter(0), Manner::HangUpAfter(7), Manner::AcknowledgeAll]).await;
    let plan = plan_of(&[long_drive(folder.path(), 1_000)], "odograph", end(), &fresh());
    let (result, progress) = replay_to(&receiver, &plan, "odograph").await;
    result.unwrap();
    let arrived = receiver.arrived();
    let moments = first_arrivals(&arrived);
    assert_eq!(moments.len(), 1_000);
    assert!(moments.is_sorted(), "each reading arrives for the first time in its order");
    assert_eq!(progress.acknowledged_now(&plan), 1_000);
    assert_eq!(progress.sent.load(Ordering::Relaxed), 1_000);
    assert_eq!(progress.reconnects.load(Ordering::Relaxed), 3);
    let resent = arrived.iter().filter(|message| message.again).count() as u64;
    assert!(resent >= 3, "at least the one that each lost connection took without a word: {resent}");
    assert!(progress.messages_resent.load(Ordering::Relaxed) >= resent);
}

#[tokio::test]
async fn a_replay_that_was_stopped_goes_on_after_the_last_acknowledged_reading() {
    let folder = tempfile::tempdir().unwrap();
    let path = long_drive(folder.path(), 100);
    let plan = plan_of(std::slice::from_ref(&path), "odograph", end(), &fresh());
    let mut resume = fresh();
    resume.set(plan.marks(|_| 64));

    let receiver = Receiver::start(&[Manner::AcknowledgeAll]).await;
    let later = Clock::EndAt("2026-12-24T00:00:00Z".parse().unwrap());
    let plan = plan_of(&[path], "odograph", later, &resume);
    assert_eq!(plan.remaining(), 36);
    let (result, progress) = replay_to(&receiver, &plan, "odograph").await;
    result.unwrap();
    let moments = first_arrivals(&receiver.arrived());
    assert_eq!(moments.len(), 36);
    assert_eq!(moments.last().unwrap().to_string(), END, "the vehicle does not jump in time");
    assert_eq!(progress.acknowledged[0].load(Ordering::Relaxed), 100);
}

#[tokio::test]
async fn a_stop_leaves_what_was_never_acknowledged_uncounted() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan_of(&[long_drive(folder.path(), 2_000)], "odograph", end(), &fresh());
    let receiver = Receiver::start(&[Manner::KeepSilent]).await;
    let table = Arc::new(SignalTable::default());
    let map = Arc::new(ColumnMap::load("odograph", &table).unwrap());
    let (progress, tasks) = (Arc::new(Progress::new(&plan)), Tasks::default());
    start(&plan, &map, &table, &receiver.url, &progress, &tasks);
    // The window holds 20 messages of 32 readings.
    while progress.sent.load(Ordering::Relaxed) < 640 {
        tokio::task::yield_now().await;
    }
    tasks.request_stop();
    tasks.finished().await.unwrap();
    assert_eq!(progress.sent.load(Ordering::Relaxed), 640, "a full window takes nothing more");
    assert_eq!(progress.acknowledged_now(&plan), 0);
}

#[tokio::test]
async fn a_receiver_that_refuses_ends_the_replay_at_once() {
    let receiver = Receiver::start(&[Manner::Refuse]).await;
    let plan = plan_of(&[fixture("carobd_like.csv")], "carobd", end(), &fresh());
    let (result, _) = replay_to(&receiver, &plan, "carobd").await;
    assert!(result.unwrap_err().to_string().contains("NotAuthorized"));
}

#[tokio::test]
async fn recorded_time_passes_at_the_given_speed() {
    let folder = tempfile::tempdir().unwrap();
    let table = Arc::new(SignalTable::default());
    let map = ColumnMap::load("odograph", &table).unwrap();
    let options = PlanOptions { clock: end(), speed: Speed::Times(64.0), read: ReadOptions::default() };
    let plan = Arc::new(Plan::make(&[long_drive(folder.path(), 100)], &map, &table, options, &fresh()).unwrap());
    let mut messages = messages::Messages::new(plan, 0, Arc::new(map), table);
    let seconds = std::time::Duration::from_secs;
    assert_eq!(messages.next_due().unwrap(), Some(seconds(0)));
    assert_eq!(messages.next(seconds(0)).unwrap().unwrap().readings, 1);
    assert_eq!(messages.next_due().unwrap(), Some(seconds(1) / 64));
    assert_eq!(messages.next(seconds(1)).unwrap().unwrap().readings, 32, "64 are due by now, a message takes 32");
    assert_eq!(messages.next(seconds(1)).unwrap().unwrap().readings, 32);
    assert_eq!(messages.next_due().unwrap(), Some(seconds(65) / 64));
}

#[test]
fn files_that_share_a_vehicle_are_one_track_in_the_order_of_driving() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, rows: &[(&str, u32)]| {
        let path = folder.path().join(name);
        let rows = rows.iter().map(|(vehicle, minute)| format!("{vehicle},2026-11-24T00:{minute:02}:00Z,50\n"));
        std::fs::write(&path, format!("vehicle_id,recorded_at,speed_km_per_h\n{}", rows.collect::<String>())).unwrap();
        path
    };
    let files = [file("late.csv", &[("a", 30), ("b", 31)]), file("other.csv", &[("c", 5)]), file("early.csv", &[("b", 10)])];
    let plan = plan_of(&files, "odograph", end(), &fresh());
    let tracks: Vec<_> = plan.tracks.iter().map(|track| (track.files.clone(), track.client_id.as_str())).collect();
    assert_eq!(tracks, [(vec![2, 0], "a"), (vec![1], "c")]);
}

#[test]
fn a_file_without_a_reading_and_a_file_given_twice_are_refused_before_anything_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.csv");
    std::fs::write(&empty, "vehicle_id,recorded_at,speed_km_per_h\ntruck-7,soon,50\n").unwrap();
    let table = Arc::new(SignalTable::default());
    let map = ColumnMap::load("odograph", &table).unwrap();
    let options = || PlanOptions { clock: Clock::Keep, speed: Speed::Max, read: ReadOptions::default() };
    let error = Plan::make(&[empty], &map, &table, options(), &fresh()).unwrap_err();
    assert!(matches!(error, PlanError::NoReading { rows: 1, .. }), "{error}");
    let drive = long_drive(folder.path(), 3);
    let error = Plan::make(&[drive.clone(), drive], &map, &table, options(), &fresh()).unwrap_err();
    assert!(matches!(error, PlanError::SameFile { .. }), "{error}");
}

#[test]
fn what_the_simulator_writes_reads_back_as_the_same_readings() {
    use crate::simulator::fleet::{Fleet, Options};
    use crate::simulator::illness::RandomFaults;
    use crate::simulator::out;
    let options = Options {
        vehicles: 3,
        seed: 7,
        start: END.parse().unwrap(),
        every: std::time::Duration::from_secs(30),
        faults: RandomFaults::none(),
        plans: Vec::new(),
    };
    let (folder, table) = (tempfile::tempdir().unwrap(), Arc::new(SignalTable::default()));
    let length = std::time::Duration::from_hours(2);
    let mut live = Vec::new();
    let keep = |reading: &Reading, _| -> Result<(), ()> {
        live.push(reading.clone());
        Ok(())
    };
    out::each_reading(&mut Fleet::new(&options), length, &mut |_| {}, keep).unwrap();
    for name in ["fleet.parquet", "fleet.csv"] {
        let path = folder.path().join(name);
        out::write(&mut Fleet::new(&options), length, &path, &table, |_| {}).unwrap();
        let map = ColumnMap::load("odograph", &table).unwrap();
        let rows = HistoryReader::open(&path, &map, Arc::clone(&table), &ReadOptions::default()).unwrap();
        let read: Vec<Reading> = rows.map(|row| row.unwrap().reading).collect();
        assert_eq!(read.len(), live.len(), "{name}");
        for (read, live) in read.iter().zip(&live) {
            assert_eq!((&read.vehicle_id, read.recorded_at), (&live.vehicle_id, live.recorded_at), "{name}");
            assert_eq!((read.signals, read.odometer_m), (live.signals, live.odometer_m), "{name}");
            assert_eq!((read.position, read.ignition), (live.position, live.ignition), "{name}");
        }
    }
}
