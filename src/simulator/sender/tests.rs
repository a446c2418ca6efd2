//! Against a receiver that answers as the test wants: no broker, real sockets.

use std::collections::BTreeSet;

use bytes::BytesMut;
use rumqttc::mqttbytes;
use rumqttc::mqttbytes::v4::{ConnAck, ConnectReturnCode, Packet, PubAck, Publish};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::clock;
use crate::domain::Timestamp;
use crate::simulator::fleet::Options;
use crate::simulator::illness::RandomFaults;

/// Takes messages of one connection until it ends, or leaves without a word after `leave_after` of them.
async fn receive(stream: TcpStream, leave_after: usize, acknowledge: bool) -> Vec<Publish> {
    let mut stream = stream;
    let (mut incoming, mut messages) = (BytesMut::new(), Vec::new());
    loop {
        match Packet::read(&mut incoming, 1 << 20) {
            Ok(Packet::Connect(_)) => {
                let mut answer = BytesMut::new();
                ConnAck::new(ConnectReturnCode::Success, false).write(&mut answer).unwrap();
                stream.write_all(&answer).await.unwrap();
            }
            Ok(Packet::Publish(publish)) => {
                let packet_id = publish.pkid;
                messages.push(publish);
                if messages.len() >= leave_after {
                    return messages;
                }
                if acknowledge {
                    let mut answer = BytesMut::new();
                    PubAck::new(packet_id).write(&mut answer).unwrap();
                    stream.write_all(&answer).await.unwrap();
                }
            }
            Ok(_disconnect) => return messages,
            Err(mqttbytes::Error::InsufficientBytes(_)) => {
                if stream.read_buf(&mut incoming).await.unwrap_or(0) == 0 {
                    return messages;
                }
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn a_fleet(vehicles: u32, every: Duration) -> Fleet {
    Fleet::new(&Options { vehicles, seed: 1, start: clock::now(), every, faults: RandomFaults::none(), plans: Vec::new() })
}

/// A run that hangs is a failure.
async fn in_time<T>(run: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(1), run).await.expect("within a minute")
}

async fn listener() -> (TcpListener, SendOptions) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = MqttUrl { host: "127.0.0.1".to_owned(), port: listener.local_addr().unwrap().port(), login: None, tls: None };
    let options = SendOptions {
        url,
        format: Format::Json,
        length: Some(Duration::from_secs(1)),
        last_acknowledgements: Duration::from_secs(20),
    };
    (listener, options)
}

#[tokio::test]
async fn every_reading_of_every_vehicle_arrives_and_is_acknowledged() {
    let (listener, options) = listener().await;
    let fleet = a_fleet(5, Duration::from_millis(200));
    let tasks = Tasks::default();
    let receiver = async {
        let mut connections = tokio::task::JoinSet::new();
        for _vehicle in 0..5 {
            let (stream, _) = listener.accept().await.unwrap();
            connections.spawn(receive(stream, usize::MAX, true));
        }
        connections.join_all().await
    };
    let (finished, arrived) = in_time(async { tokio::join!(send(fleet, options, Arc::default(), tasks.stop()), receiver) }).await;
    let (summary, labels) = finished.unwrap();
    assert_eq!((summary.vehicles, summary.readings, summary.unsent_readings), (5, 25, 0));
    assert_eq!((summary.sent, summary.acknowledged, summary.connection_errors), (25, 25, 0));
    assert!(labels.is_empty());
    let moments: BTreeSet<(String, String)> = arrived
        .iter()
        .flatten()
        .map(|publish| {
            let payload: serde_json::Value = serde_json::from_slice(&publish.payload).unwrap();
            (publish.topic.clone(), payload["recorded_at"].to_string())
        })
        .collect();
    assert_eq!(moments.len(), 25);
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again_on_the_next_connection() {
    let (listener, options) = listener().await;
    let fleet = a_fleet(1, Duration::from_millis(300));
    let tasks = Tasks::default();
    let receiver = async {
        let (stream, _) = listener.accept().await.unwrap();
        let first = receive(stream, 1, false).await;
        let (stream, _) = listener.accept().await.unwrap();
        (first, receive(stream, usize::MAX, true).await)
    };
    let (finished, (first, second)) =
        in_time(async { tokio::join!(send(fleet, options, Arc::default(), tasks.stop()), receiver) }).await;
    let (summary, _) = finished.unwrap();
    assert_eq!(first[0].payload, second[0].payload);
    assert!(second[0].dup && !first[0].dup);
    assert_eq!((summary.resent, summary.connection_errors, summary.unsent_readings), (1, 1, 0));
    assert_eq!(summary.sent, summary.acknowledged);
}

#[tokio::test]
async fn a_stop_ends_an_endless_run_after_the_last_acknowledgement() {
    let (listener, mut options) = listener().await;
    options.length = None;
    options.format = Format::Protobuf;
    let fleet = a_fleet(1, Duration::from_millis(50));
    let tasks = Tasks::default();
    let receiver = async {
        let (stream, _) = listener.accept().await.unwrap();
        receive(stream, usize::MAX, true).await
    };
    let sender = send(fleet, options, Arc::default(), tasks.stop());
    let stop = async {
        tokio::time::sleep_until(Instant::now() + Duration::from_millis(300)).await;
        tasks.request_stop();
    };
    let (finished, arrived, ()) = in_time(async { tokio::join!(sender, receiver, stop) }).await;
    let (summary, _) = finished.unwrap();
    assert!(summary.readings > 0);
    assert_eq!((summary.acknowledged, summary.unsent_readings), (summary.sent, 0));
    assert!(arrived.iter().all(|publish| publish.payload[0] == 0x12));
}

#[tokio::test]
async fn without_a_receiver_the_run_ends_and_says_what_stayed_on_board() {
    let (listener, mut options) = listener().await;
    drop(listener);
    options.last_acknowledgements = Duration::from_millis(200);
    let fleet = a_fleet(3, Duration::from_millis(200));
    let started = fleet.world.start;
    let tasks = Tasks::default();
    let (summary, _) = send(fleet, options, Arc::default(), tasks.stop()).await.unwrap();
    assert_eq!((summary.sent, summary.connections), (0, 0));
    assert_eq!(summary.unsent_readings + summary.dropped_readings, summary.readings);
    assert!(clock::now() > started && started > Timestamp::default());
}

#[tokio::test]
async fn out_of_coverage_readings_wait_on_board_and_come_as_one_array_afterwards() {
    let (listener, options) = listener().await;
    let mut fleet = a_fleet(1, Duration::from_millis(100));
    let until = fleet.world.start.plus(Duration::from_millis(550));
    fleet.vehicles[0].lose_coverage_until(until);
    let tasks = Tasks::default();
    let receiver = async {
        let (stream, _) = listener.accept().await.unwrap();
        receive(stream, usize::MAX, true).await
    };
    let (finished, arrived) = in_time(async { tokio::join!(send(fleet, options, Arc::default(), tasks.stop()), receiver) }).await;
    let (summary, _) = finished.unwrap();
    assert_eq!((summary.readings, summary.unsent_readings, summary.dropped_readings), (10, 0, 0));
    let payloads: Vec<serde_json::Value> =
        arrived.iter().map(|publish| serde_json::from_slice(&publish.payload).unwrap()).collect();
    let moment = |reading: &serde_json::Value| reading["recorded_at"].as_str().unwrap().parse::<Timestamp>().unwrap();
    let first: Vec<Timestamp> = payloads[0].as_array().expect("what was on board comes together").iter().map(moment).collect();
    let waited = first.iter().filter(|recorded_at| **recorded_at < until).count();
    assert!(waited >= 5, "{first:?}");
    let all = payloads
        .iter()
        .flat_map(|payload| payload.as_array().map_or_else(|| vec![moment(payload)], |all| all.iter().map(moment).collect()));
    let all: Vec<Timestamp> = all.collect();
    assert!(all.len() == 10 && all.is_sorted(), "{all:?}");
}
