//! HTTP and WebSocket uplinks with real clients over real sockets. Only the lanes behind them are played.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_blocking;
use tokio_tungstenite::tungstenite::stream::MaybeTlsStream;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use super::fixtures::{Lanes, a_reading, keep, soon};
use super::{intake, uplink};
use crate::domain::{Outcome, Reason, Source};
use crate::tasks::Tasks;

struct Line {
    lanes: Lanes,
    tasks: Tasks,
    address: SocketAddr,
}

impl Line {
    async fn open(ack_timeout: Duration) -> Self {
        let lanes = Lanes::open();
        let tasks = Tasks::default();
        let router = axum::Router::from(uplink::router(Arc::clone(&lanes.intake), ack_timeout, &tasks));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut stop = tasks.stop();
        tasks.spawn("http", async move {
            Ok(axum::serve(listener, router).with_graceful_shutdown(async move { stop.requested().await }).await?)
        });
        Self { lanes, tasks, address }
    }

    /// Until the lanes have no room.
    fn fill(&self) {
        let reading = intake::Message { source: Source::Http, vehicle_id: "truck-8", payload: a_reading(1).into(), format: None };
        while self.lanes.intake.begin_if_room(&reading).is_ok() {}
    }

    /// The start of the answer with its headers, and the body.
    async fn post(&self, id: &str, headers: &str, body: &str) -> (String, Value) {
        post(self.address, id.to_owned(), headers.to_owned(), body.to_owned()).await
    }

    async fn socket(&self, id: &str) -> Client {
        let url = format!("ws://{}/api/v1/uplink/{id}", self.address);
        Client(spawn_blocking(move || tungstenite::connect(url).unwrap().0).await.unwrap())
    }
}

async fn post(address: SocketAddr, id: String, headers: String, body: String) -> (String, Value) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!(
        "POST /api/v1/telemetry/{id} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let _refused_unread = stream.write_all(body.as_bytes()).await;
    let mut answer = Vec::new();
    let _closed_or_reset = soon(stream.read_to_end(&mut answer)).await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_lowercase(), serde_json::from_str(body).unwrap())
}

fn status(head: &str) -> &str {
    head.split(' ').nth(1).unwrap()
}

/// A blocking client: each step runs on a thread of its own.
struct Client(WebSocket<MaybeTlsStream<std::net::TcpStream>>);

impl Client {
    async fn send(mut self, message: impl Into<Message>) -> Self {
        let message = message.into();
        soon(spawn_blocking(move || {
            self.0.send(message).unwrap();
            self
        }))
        .await
        .unwrap()
    }

    async fn read(mut self) -> (Self, Message) {
        soon(spawn_blocking(move || {
            let message = self.0.read().unwrap();
            (self, message)
        }))
        .await
        .unwrap()
    }

    async fn answer(self) -> (Self, Value) {
        let (client, message) = self.read().await;
        (client, serde_json::from_str(message.to_text().unwrap()).unwrap())
    }

    async fn closed(self) -> u16 {
        match self.read().await.1 {
            Message::Close(Some(frame)) => frame.code.into(),
            other => panic!("{other:?}"),
        }
    }
}

const PATIENT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_post_is_answered_with_what_became_of_it_once_durable() {
    let mut line = Line::open(PATIENT).await;
    let body = format!("[{},{{\"recorded_at\":17}},{}]", a_reading(1), a_reading(2));
    let address = line.address;
    let posting = tokio::task::JoinSet::from_iter([post(address, "truck-7".into(), String::new(), body)]);
    let delivery = line.lanes.next().await;
    assert_eq!(delivery.readings.len(), 2);
    delivery.receipt.keep(Outcome { accepted: 1, duplicates: 1 });
    let (head, answer) = soon(posting.join_all()).await.remove(0);
    assert_eq!(status(&head), "200");
    assert_eq!((&answer["accepted"], &answer["duplicates"]), (&json!(1), &json!(1)));
    assert_eq!(
        (&answer["quarantined"][0]["index"], &answer["quarantined"][0]["reason"]),
        (&json!(1), &json!("recorded_at_in_seconds"))
    );
}

#[tokio::test]
async fn what_is_not_believed_is_kept_and_the_status_says_why() {
    let mut line = Line::open(PATIENT).await;
    let cases = [
        ("truck-7", "", "{", "400", Reason::JsonSyntax),
        ("truck-7", "", "", "400", Reason::EmptyPayload),
        ("truck.7", "", "{}", "400", Reason::VehicleIdInvalid),
        ("truck-7", "", "{}", "422", Reason::RecordedAtMissing),
        ("truck-7", "Content-Type: application/x-protobuf\r\n", "{}", "400", Reason::ProtobufSyntax),
        ("truck-7", "", &" ".repeat(5_000), "413", Reason::PayloadTooLarge),
    ];
    for (id, headers, body, expected, reason) in cases {
        let address = line.address;
        let answering = async {
            let delivery = line.lanes.next().await;
            assert_eq!(delivery.quarantined[0].reason, reason);
            keep(delivery);
        };
        let ((head, answer), ()) = tokio::join!(post(address, id.into(), headers.into(), body.into()), answering);
        assert_eq!((status(&head), &answer["quarantined"][0]["reason"]), (expected, &json!(reason.code())));
    }
}

#[tokio::test]
async fn nothing_is_promised_where_lanes_are_full_or_a_receipt_is_lost_or_late() {
    let mut line = Line::open(Duration::from_millis(200)).await;
    let address = line.address;
    let (lost, delivery) = tokio::join!(post(address, "truck-7".into(), String::new(), a_reading(1)), line.lanes.next());
    // Held until after the answer.
    assert_eq!((status(&lost.0), &lost.1["code"]), ("503", &json!("not_durable")));
    drop(delivery);
    let losing = async { drop(line.lanes.next().await) };
    let (lost, ()) = tokio::join!(post(address, "truck-7".into(), String::new(), a_reading(1)), losing);
    assert_eq!(status(&lost.0), "503");

    line.fill();
    let (head, problem) = line.post("truck-7", "", &a_reading(1)).await;
    assert_eq!((status(&head), &problem["code"]), ("429", &json!("busy")));
    assert!(head.contains("retry-after: 1") && head.contains("application/problem+json"), "{head}");
}

#[tokio::test]
async fn browsers_and_bodies_over_2_mib_are_refused_unread() {
    let mut line = Line::open(PATIENT).await;
    let (head, problem) = line.post("truck-7", "Origin: https://example.org\r\n", &a_reading(1)).await;
    assert_eq!((status(&head), &problem["code"]), ("403", &json!("origin_refused")));
    let mut stream = TcpStream::connect(line.address).await.unwrap();
    stream.write_all(b"POST /api/v1/telemetry/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n").await.unwrap();
    let mut start = [0; 12];
    soon(stream.read_exact(&mut start)).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 413");
    assert!(line.lanes.deliveries.try_recv().is_err());
}

#[tokio::test]
async fn each_message_of_a_socket_is_answered_in_order_once_durable() {
    let mut line = Line::open(PATIENT).await;
    let client = line.socket("truck-7").await;
    let client = client.send(a_reading(1)).await.send(Message::binary(vec![0x12, 0x01])).await;
    let (first, second) = (line.lanes.next().await, line.lanes.next().await);
    assert_eq!(second.quarantined[0].reason, Reason::ProtobufSyntax);
    // The later is durable first, and answered second.
    keep(second);
    keep(first);
    let (client, answer) = client.answer().await;
    assert_eq!(answer["accepted"], json!(1));
    let (_client, answer) = client.answer().await;
    assert_eq!((&answer["accepted"], &answer["quarantined"][0]["reason"]), (&json!(0), &json!("protobuf_syntax")));
}

#[tokio::test]
async fn a_socket_is_closed_with_a_reason_where_nothing_can_be_promised() {
    let mut line = Line::open(PATIENT).await;
    let client = line.socket("truck-7").await.send(a_reading(1)).await;
    drop(line.lanes.next().await);
    assert_eq!(client.closed().await, 1013);

    let client = line.socket("truck-7").await.send(a_reading(1)).await;
    let in_flight = line.lanes.next().await;
    line.fill();
    let client = client.send(a_reading(2)).await;
    // What reached the lanes is answered before the close.
    keep(in_flight);
    let (client, answer) = client.answer().await;
    assert_eq!(answer["accepted"], json!(1));
    assert_eq!(client.closed().await, 1013);
}

#[tokio::test]
async fn stopping_answers_what_is_in_flight_and_says_goodbye() {
    let mut line = Line::open(PATIENT).await;
    let client = line.socket("truck-7").await.send(a_reading(1)).await;
    let delivery = line.lanes.next().await;
    line.tasks.request_stop();
    tokio::task::yield_now().await;
    keep(delivery);
    let (client, answer) = client.answer().await;
    assert_eq!(answer["accepted"], json!(1));
    assert_eq!(client.closed().await, 1001);
    soon(line.tasks.finished()).await.unwrap();
}
