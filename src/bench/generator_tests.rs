//! The generator against a service of a few lines whose behaviour is known.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rumqttc::mqttbytes::v4::{ConnAck, ConnectReturnCode, Packet, PubAck};

use super::generator::{Generated, Load, Rate, run};
use super::ledger::Ledger;

/// What a connection does with its publishes.
#[derive(Debug, Clone, Copy)]
enum Manner {
    Prompt,
    /// Says nothing for `pause`, so long after its first live publish.
    Stalls {
        after: Duration,
        pause: Duration,
    },
    /// Closes at its fourth publish.
    Leaves,
}

fn serve(manner: Manner) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || answer(stream.unwrap(), manner));
        }
    });
    address
}

fn answer(mut stream: TcpStream, manner: Manner) {
    stream.set_nodelay(true).unwrap();
    let mut buffer = BytesMut::new();
    let (mut first, mut count): (Option<Instant>, _) = (None, 0);
    let mut bytes = [0; 4_096];
    while let Ok(read) = stream.read(&mut bytes)
        && read > 0
    {
        buffer.extend_from_slice(&bytes[..read]);
        while let Ok(packet) = Packet::read(&mut buffer, 65_536) {
            let mut out = BytesMut::new();
            match packet {
                Packet::Connect(_) => drop(ConnAck::new(ConnectReturnCode::Success, false).write(&mut out)),
                Packet::Publish(publish) => {
                    count += 1;
                    // The very first is the history.
                    if count == 2 {
                        first = Some(Instant::now());
                    }
                    let since = first.map_or(Duration::ZERO, |first| first.elapsed());
                    match manner {
                        Manner::Stalls { after, pause } if since > after && since < after + pause => {
                            thread::sleep((after + pause).saturating_sub(since));
                        }
                        Manner::Leaves if count == 4 => return,
                        _ => {}
                    }
                    drop(PubAck::new(publish.pkid).write(&mut out));
                }
                _ => return,
            }
            if stream.write_all(&out).is_err() {
                return;
            }
        }
    }
}

/// Always shows the newest state that anybody could wait for.
fn serve_http() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut bytes = [0; 1_024];
                // A request of the client fits one segment.
                while stream.read(&mut bytes).is_ok_and(|read| read > 0) {
                    let body = r#"{"recorded_at":"2200-01-01T00:00:00Z"}"#;
                    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn load(manner: Manner, rate: Rate, measured: Duration) -> (Generated, Ledger) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    let http = serve_http();
    let load = Load {
        mqtt: serve(manner),
        http,
        rate,
        warm_up: Duration::from_millis(200),
        measured,
        vehicles: 10,
        seed: 1,
        service_pids: vec![std::process::id()],
        metrics: vec![http],
        ledger: ledger.clone(),
    };
    let generated = run(&load).unwrap();
    (generated, Ledger::read(&ledger).unwrap())
}

#[test]
fn a_stall_is_charged_for_every_message_that_was_due_in_it() {
    let manner = Manner::Stalls { after: Duration::from_millis(500), pause: Duration::from_millis(400) };
    let (generated, ledger) = load(manner, Rate::PerSecond(500.0), Duration::from_millis(1_300));
    assert_eq!((generated.sent, generated.acknowledged, generated.unanswered), (750, 750, 0));
    // Of each of the ten vehicles its history, too.
    assert_eq!(ledger.entries.len(), 750 + 160);
    assert_eq!(generated.history_readings, 160);
    // 200 of 650 messages were due in the stall and waited 200 ms on average. A generator that waits for its acknowledgements would have
    // sent ten.
    let Generated { publish_to_durable_ms, .. } = generated;
    assert_eq!(publish_to_durable_ms.count, 650);
    assert!(publish_to_durable_ms.p99 > 300.0 && publish_to_durable_ms.p50 < 200.0, "{publish_to_durable_ms:?}");
    assert!(generated.publish_to_live_ms.count > 3, "{:?}", generated.publish_to_live_ms);
    let mut entries = ledger.entries;
    entries.sort_unstable();
    assert!(entries.windows(2).all(|pair| pair[0] < pair[1]), "a reading is named by its vehicle and time");
}

#[test]
fn as_fast_as_acknowledged_is_faster_than_any_schedule_and_answers_everything() {
    let (generated, _) = load(Manner::Prompt, Rate::Max { on_the_way: 5 }, Duration::from_millis(500));
    assert_eq!((generated.unanswered, generated.not_sent), (0, 0));
    assert!(generated.readings_per_second > 1_000.0, "{}", generated.readings_per_second);
}

#[test]
fn connections_that_are_closed_are_counted_and_their_messages_are_not_forgotten() {
    let (generated, ledger) = load(Manner::Leaves, Rate::PerSecond(100.0), Duration::from_millis(500));
    assert_eq!((generated.disconnected, generated.acknowledged), (10, 20));
    assert_eq!(generated.unanswered, 10);
    assert_eq!(generated.sent + generated.not_sent, 70);
    assert_eq!(ledger.entries.len(), 20 + 160);
}
