//! The front door with real clients over real sockets. Only the lane behind it is played: it takes deliveries and keeps receipts
//! when a test says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, LastWill, Packet, PubAckReason, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::FrontDoor;
use super::fixtures::{A_WHILE, Lanes, a_reading, keep, soon};
use crate::domain::{Delivery, Reason};
use crate::settings::{self, Interval};
use crate::tasks::Tasks;

struct Line {
    door: FrontDoor,
    tasks: Tasks,
    deliveries: mpsc::Receiver<Delivery>,
}

impl Line {
    fn open(adjust: impl FnOnce(&mut settings::Mqtt)) -> Self {
        let Lanes { intake, deliveries } = Lanes::open();
        let mut settings = settings::Mqtt { address: "127.0.0.1:0".parse().unwrap(), ..settings::Mqtt::default() };
        adjust(&mut settings);
        let tasks = Tasks::default();
        let door = FrontDoor::open(&settings, intake, &tasks).unwrap();
        Self { door, tasks, deliveries }
    }

    async fn next(&mut self) -> Delivery {
        soon(self.deliveries.recv()).await.expect("the front door is open")
    }

    /// Makes whatever comes durable at once.
    fn keep_everything(mut self) -> (FrontDoor, Tasks) {
        let (door, tasks) = (self.door, self.tasks.clone());
        tasks.spawn("lane", async move {
            while let Some(delivery) = self.deliveries.recv().await {
                keep(delivery);
            }
            Ok(())
        });
        (door, tasks)
    }
}

struct Vehicle {
    client: AsyncClient,
    events: EventLoop,
}

impl Vehicle {
    fn new(door: FrontDoor, id: &str) -> Self {
        Self::with(door, id, |_| {})
    }

    fn with(door: FrontDoor, id: &str, adjust: impl FnOnce(&mut MqttOptions)) -> Self {
        let mut options = MqttOptions::new(id, "127.0.0.1", door.address().port());
        options.set_max_packet_size(Some(4 << 20));
        adjust(&mut options);
        let (client, events) = AsyncClient::new(options, 16);
        Self { client, events }
    }

    async fn publish(&self, topic: &str, payload: impl Into<Vec<u8>>) {
        self.client.publish(topic, QoS::AtLeastOnce, false, payload.into()).await.unwrap();
    }

    /// The next packet other than a CONNACK.
    async fn next(&mut self) -> Result<Packet, ConnectionError> {
        loop {
            match soon(self.events.poll()).await? {
                Event::Incoming(Packet::ConnAck(_)) | Event::Outgoing(_) => {}
                Event::Incoming(packet) => return Ok(packet),
            }
        }
    }

    async fn acknowledged(&mut self) {
        match self.next().await.unwrap() {
            Packet::PubAck(ack) => assert_eq!(ack.reason, PubAckReason::Success),
            other => panic!("{other:?}"),
        }
    }
}

/// A client byte by byte: rumqttc gives up what it has received when the connection ends right behind it.
struct Socket(TcpStream);

impl Socket {
    /// MQTT 5, client id `a`, CONNECT and one publish at `QoS` 1, packet id 1.
    async fn publishing(door: FrontDoor, payload: impl AsRef<[u8]>) -> Self {
        let mut stream = TcpStream::connect(door.address()).await.unwrap();
        stream.write_all(b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01a").await.unwrap();
        let body = [b"\x00\x14vehicles/a/telemetry\x00\x01\x00".as_slice(), payload.as_ref()].concat();
        let mut packet = vec![0x32];
        let mut length = body.len();
        while length > 0x7f {
            packet.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        packet.push(u8::try_from(length).unwrap());
        packet.extend(body);
        // The door may close before it has read a large packet.
        let _refused = stream.write_all(&packet).await;
        Self(stream)
    }

    /// Everything up to the end of the connection, packet by packet, without the CONNACK.
    async fn rest(mut self) -> Vec<Vec<u8>> {
        let mut bytes = Vec::new();
        soon(self.0.read_to_end(&mut bytes)).await.unwrap();
        let mut packets = Vec::new();
        while !bytes.is_empty() {
            let rest = bytes.split_off(2 + usize::from(bytes[1]));
            packets.push(bytes);
            bytes = rest;
        }
        assert_eq!(packets.remove(0)[0], 0x20);
        packets
    }
}

#[tokio::test]
async fn a_publish_is_acknowledged_after_its_receipt_is_kept_and_not_before() {
    let mut line = Line::open(|_| {});
    let mut vehicle = Vehicle::new(line.door, "truck-7");
    vehicle.publish("vehicles/truck-7/telemetry", a_reading(1)).await;
    let kept = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&kept);
    let client = async move {
        vehicle.acknowledged().await;
        assert!(told.load(Ordering::SeqCst), "acknowledged too early");
    };
    let keeping = async {
        let delivery = line.next().await;
        assert_eq!(delivery.readings[0].vehicle_id.as_str(), "truck-7");
        assert_eq!(delivery.slot, delivery.readings[0].vehicle_id.slot());
        // An early PUBACK would be here by then.
        tokio::time::sleep(A_WHILE).await;
        kept.store(true, Ordering::SeqCst);
        keep(delivery);
    };
    tokio::join!(client, keeping);
}

#[tokio::test]
async fn a_receipt_that_is_dropped_ends_the_connection_without_an_acknowledgement() {
    let mut line = Line::open(|_| {});
    let vehicle = Socket::publishing(line.door, a_reading(1)).await;
    drop(line.next().await);
    assert_eq!(vehicle.rest().await, [[0xe0, 1, 0x80]]);
}

#[tokio::test]
async fn an_acknowledgement_that_takes_too_long_is_a_disconnect() {
    let mut line = Line::open(|mqtt| mqtt.ack_timeout = Interval::from_millis(100));
    let vehicle = Socket::publishing(line.door, a_reading(1)).await;
    let held = line.next().await;
    assert_eq!(vehicle.rest().await, [[0xe0, 1, 0x89]]);
    keep(held);
}

#[tokio::test]
async fn lanes_that_have_stopped_end_the_connection() {
    let mut line = Line::open(|_| {});
    line.deliveries.close();
    let vehicle = Socket::publishing(line.door, a_reading(1)).await;
    assert_eq!(vehicle.rest().await, [[0xe0, 1, 0x8b]]);
}

#[tokio::test]
async fn strange_topics_and_large_payloads_are_quarantined_and_acknowledged() {
    let mut line = Line::open(|_| {});
    let mut vehicle = Vehicle::new(line.door, "truck-7");
    let telemetry = "vehicles/truck-7/telemetry";
    let cases: [(&str, Vec<u8>, Reason); 6] = [
        ("vehicles/truck-7", a_reading(1).into(), Reason::TopicUnknown),
        ("vehicles/a/b/telemetry", a_reading(1).into(), Reason::TopicUnknown),
        ("/hfp/v2/journey/ongoing/vp/bus/Matinkylä (M)", a_reading(1).into(), Reason::TopicUnknown),
        ("vehicles/truck 7/telemetry", a_reading(1).into(), Reason::VehicleIdInvalid),
        (telemetry, vec![b' '; 4097], Reason::PayloadTooLarge),
        (telemetry, b"{".to_vec(), Reason::JsonSyntax),
    ];
    for (topic, payload, reason) in cases {
        vehicle.publish(topic, payload).await;
        let keeping = async {
            let delivery = line.next().await;
            assert_eq!((delivery.readings.len(), delivery.quarantined.len()), (0, 1));
            assert_eq!(delivery.quarantined[0].reason, reason);
            keep(delivery);
        };
        tokio::join!(vehicle.acknowledged(), keeping);
    }
}

#[tokio::test]
async fn a_packet_over_2_mib_is_a_disconnect() {
    let (door, _tasks) = Line::open(|_| {}).keep_everything();
    let vehicle = Socket::publishing(door, vec![b' '; 3 << 20]).await;
    assert_eq!(vehicle.rest().await, [[0xe0, 1, 0x95]]);
}

#[tokio::test]
async fn a_vehicle_that_waits_does_not_hold_up_another() {
    let mut line = Line::open(|_| {});
    let [mut first, mut second] = ["truck-7", "truck-8"].map(|id| Vehicle::new(line.door, id));
    first.publish("vehicles/truck-7/telemetry", a_reading(1)).await;
    let connected = async {
        assert!(timeout(A_WHILE, first.next()).await.is_err());
    };
    let (waiting, ()) = tokio::join!(line.next(), connected);
    second.publish("vehicles/truck-8/telemetry", a_reading(1)).await;
    let keeping = async { keep(line.next().await) };
    tokio::join!(second.acknowledged(), keeping);
    keep(waiting);
    first.acknowledged().await;
}

#[tokio::test]
async fn quality_of_service_2_is_refused_in_both_versions() {
    use rumqttc::{Event as EventV3, Packet as PacketV3};
    let mut line = Line::open(|_| {});
    let telemetry = "vehicles/truck-7/telemetry";

    let options = rumqttc::MqttOptions::new("truck-7", "127.0.0.1", line.door.address().port());
    let (client, mut events) = rumqttc::AsyncClient::new(options, 16);
    client.publish(telemetry, rumqttc::QoS::ExactlyOnce, false, a_reading(1)).await.unwrap();
    loop {
        match soon(events.poll()).await {
            Ok(EventV3::Incoming(PacketV3::ConnAck(_)) | EventV3::Outgoing(_)) => {}
            Ok(other) => panic!("{other:?}"),
            Err(_closed) => break,
        }
    }

    let mut vehicle = Vehicle::new(line.door, "truck-8");
    vehicle.client.publish(telemetry, QoS::ExactlyOnce, false, a_reading(1)).await.unwrap();
    match vehicle.next().await {
        Ok(Packet::PubRec(refused)) => assert_ne!(refused.reason, rumqttc::v5::mqttbytes::v5::PubRecReason::Success),
        Ok(other) => panic!("{other:?}"),
        Err(_refused_by_the_client) => {}
    }
    assert!(line.deliveries.try_recv().is_err());
}

#[tokio::test]
async fn mqtt_3_is_served_too() {
    use rumqttc::{Event as EventV3, Packet as PacketV3};
    let (door, _tasks) = Line::open(|_| {}).keep_everything();
    let options = rumqttc::MqttOptions::new("truck-7", "127.0.0.1", door.address().port());
    let (client, mut events) = rumqttc::AsyncClient::new(options, 16);
    client.publish("vehicles/truck-7/telemetry", rumqttc::QoS::AtLeastOnce, false, a_reading(1)).await.unwrap();
    while !matches!(soon(events.poll()).await.unwrap(), EventV3::Incoming(PacketV3::PubAck(_))) {}
}

#[tokio::test]
async fn a_vehicle_hears_only_its_own_alerts_and_nothing_from_other_vehicles() {
    let (door, _tasks) = Line::open(|_| {}).keep_everything();
    let mut listener = Vehicle::new(door, "truck-7");
    for (filter, granted) in [
        ("vehicles/truck-8/alerts", false),
        ("vehicles/+/alerts", false),
        ("#", false),
        ("vehicles/truck-7/telemetry", false),
        ("vehicles/truck-7/alerts", true),
    ] {
        listener.client.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
        match listener.next().await.unwrap() {
            Packet::SubAck(ack) => {
                assert_eq!(matches!(ack.return_codes[0], SubscribeReasonCode::Success(_)), granted, "{filter}");
            }
            other => panic!("{other:?}"),
        }
    }
    let mut stranger = Vehicle::with(door, "truck-8", |options| {
        options.set_last_will(LastWill::new("vehicles/truck-7/alerts", "from the grave", QoS::AtLeastOnce, false, None));
    });
    stranger.publish("vehicles/truck-7/alerts", "to a vehicle").await;
    assert!(matches!(stranger.next().await.unwrap(), Packet::PubAck(_)));
    drop(stranger);
    let heard = timeout(A_WHILE, listener.next()).await;
    assert!(heard.is_err(), "{heard:?}");
}

#[tokio::test]
async fn a_vehicle_too_many_is_told_so() {
    let (door, _tasks) = Line::open(|mqtt| mqtt.max_connections = 1).keep_everything();
    let mut first = Vehicle::new(door, "truck-7");
    first.publish("vehicles/truck-7/telemetry", a_reading(1)).await;
    first.acknowledged().await;
    let mut second = Vehicle::new(door, "truck-8");
    match second.next().await {
        Err(ConnectionError::ConnectionRefused(code)) => assert_eq!(code, ConnectReturnCode::QuotaExceeded),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn stopping_answers_what_is_in_hand_and_takes_no_more() {
    let mut line = Line::open(|_| {});
    let vehicle = Socket::publishing(line.door, a_reading(1)).await;
    let delivery = line.next().await;
    line.tasks.request_stop();
    tokio::task::yield_now().await;
    keep(delivery);
    let packets = vehicle.rest().await;
    assert_eq!((packets[0][0], packets[1][0], packets[1][2]), (0x40, 0xe0, 0x8b), "{packets:x?}");
    soon(line.tasks.finished()).await.unwrap();
    assert!(soon(TcpStream::connect(line.door.address())).await.is_err());
    // The last user of the intake is gone: that is how lanes learn that nothing more comes.
    assert!(soon(line.deliveries.recv()).await.is_none());
}

#[tokio::test]
async fn a_connect_in_crumbs_is_understood_and_what_is_no_mqtt_is_closed() {
    let (door, _tasks) = Line::open(|_| {}).keep_everything();
    let mut stream = TcpStream::connect(door.address()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for crumb in [b"\x10".as_slice(), b"\x0e\x00\x04MQ", b"TT\x05\x02\x00\x3c\x00\x00\x01a"] {
        stream.write_all(crumb).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(soon(stream.read_u8()).await.unwrap(), 0x20);

    let mut stream = TcpStream::connect(door.address()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _closed_or_reset = soon(stream.read_to_end(&mut answer)).await;
    assert_eq!(answer, b"");
}
