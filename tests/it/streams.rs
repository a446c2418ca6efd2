//! A dashboard that follows each vehicle on a stream of its own, at the storage process of four, while the fleet reports.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use odograph::clock;
use odograph::domain::Timestamp;
use odograph::wire::proto::v1;
use odograph::wire::proto::v1::telemetry_service_client::TelemetryServiceClient;
use odograph::wire::reading::timestamp_from_proto;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use crate::grpc::{STREAM_BYTES, next, reading};
use crate::roles::Apart;
use crate::support::{is_torture, resident_bytes, scale};

const PER_SECOND: f64 = 333.0;
const HEARD_WITHIN: Duration = Duration::from_secs(20);

type Client = TelemetryServiceClient<Channel>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_vehicle_on_a_stream_of_its_own_is_heard_of_while_the_fleet_reports() {
    let streams: usize = if is_torture() { 10_000 } else { 2_000 };
    let apart = tokio::task::block_in_place(Apart::start);
    let storage = apart.service("storage");
    let (mut at_storage, mut at_ingest) = (client(storage.grpc()).await, client(apart.service("ingest").grpc()).await);
    let id = |number: usize| format!("car-{:05}", number % streams);
    report(&mut at_ingest, (0..streams).map(|number| (id(number), Instant::now())).collect()).await;

    let before = resident_bytes(storage.pid());
    let delays = Arc::new(Mutex::new(Vec::new()));
    let mut listeners = JoinSet::new();
    for number in 0..streams {
        let asked = v1::VehicleStateRequest { vehicle_id: id(number) };
        let mut states = at_storage.stream_vehicle_state(asked).await.unwrap().into_inner();
        assert_eq!(next(&mut states).await.vehicle_id, id(number));
        listeners.spawn(listen(states, Arc::clone(&delays)));
    }
    let each = resident_bytes(storage.pid()).saturating_sub(before) / streams as u64;

    let span = scale(Duration::from_secs(6), 10);
    let (started, cpu_before) = (Instant::now(), cpu_time(storage.pid()));
    let readings = (PER_SECOND * span.as_secs_f64()).round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some thousands")]
    let readings = readings as u32;
    let due = |number: u32| started + Duration::from_secs_f64(f64::from(number) / PER_SECOND);
    report(&mut at_ingest, (0..readings).map(|number| (id(number as usize), due(number))).collect()).await;
    let (took, cpu) = (started.elapsed(), cpu_time(storage.pid()).saturating_sub(cpu_before));
    let since = Instant::now();
    while delays.lock().unwrap().len() < readings as usize && since.elapsed() < HEARD_WITHIN {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut delays = std::mem::take(&mut *delays.lock().unwrap());
    assert_eq!(delays.len(), readings as usize, "nobody reports faster than it is heard");
    delays.sort_unstable();
    println!(
        "{streams} streams at storage: {each} bytes each; {readings} readings in {took:.1?}, {:.0} % of a core at storage; sent to heard: p50 {:.1?}, p99 {:.1?}",
        100.0 * cpu.as_secs_f64() / took.as_secs_f64(),
        delays[delays.len() / 2],
        delays[delays.len() * 99 / 100],
    );
    assert!(each < STREAM_BYTES, "{each} bytes a stream");
    drop((at_storage, listeners));
    tokio::task::block_in_place(|| apart.stop());
}

async fn client(grpc: std::net::SocketAddr) -> Client {
    let channel = Channel::from_shared(format!("http://{grpc}")).unwrap();
    Client::new(channel.connect().await.unwrap())
}

/// Each at its time, over one stream; returns once all are acknowledged.
async fn report(ingest: &mut Client, vehicles: Vec<(String, Instant)>) {
    let (sender, batches) = mpsc::channel(64);
    let count = vehicles.len();
    let sending = async move {
        for (vehicle, due) in vehicles {
            tokio::time::sleep_until(due.into()).await;
            sender.send(v1::TelemetryBatch { readings: vec![reading(&vehicle, 0, 50.0)] }).await.unwrap();
        }
    };
    let answering = async {
        let answers = ingest.ingest_readings(ReceiverStream::new(batches)).await.unwrap().into_inner();
        answers.map(|answer| answer.unwrap().accepted).collect::<Vec<u32>>().await
    };
    let ((), accepted) = tokio::join!(sending, answering);
    assert_eq!(accepted, vec![1; count]);
}

/// Notes how long each reading took from its vehicle to here.
async fn listen(mut states: Streaming<v1::VehicleState>, delays: Arc<Mutex<Vec<Duration>>>) {
    while let Some(Ok(state)) = states.next().await {
        let recorded_at = state.reading.and_then(|reading| reading.recorded_at).expect("it has reported");
        let recorded_at: Timestamp = timestamp_from_proto(&recorded_at).expect("the time is ours");
        delays.lock().unwrap().push(clock::now().since(recorded_at));
    }
}

/// User and system, in hundredths of a second.
fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let numbers = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(11).take(2);
    Duration::from_millis(10 * numbers.map(|number| number.parse::<u64>().unwrap()).sum::<u64>())
}
