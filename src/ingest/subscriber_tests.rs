//! The subscriber against Debian's mosquitto with the configuration that the repository ships. Where mosquitto is not installed
//! each test says that it was not run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, PublishProperties};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::fixtures::{A_WHILE, Lanes, a_reading, keep, soon};
use super::subscriber;
use crate::domain::{Reason, Source};
use crate::settings;
use crate::tasks::Tasks;

const MOSQUITTO: &str = "/usr/sbin/mosquitto";

struct Broker {
    process: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Broker {
    /// `None`, said aloud: it is not installed.
    async fn start() -> Option<Self> {
        if !Path::new(MOSQUITTO).exists() {
            println!("NOT RUN: {MOSQUITTO} is not installed");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let shipped = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/mosquitto.conf")).unwrap();
        let ours = shipped
            .replace("listener 1883", &format!("listener {port}"))
            .replace("/var/lib/mosquitto/", &format!("{}/", folder.path().display()));
        assert_ne!(ours, shipped);
        fs::write(folder.path().join("mosquitto.conf"), ours).unwrap();
        let process = run(folder.path());
        let mut broker = Self { process, port, folder };
        broker.is_up().await;
        Some(broker)
    }

    async fn is_up(&mut self) {
        let up = async {
            loop {
                assert_eq!(self.process.try_wait().unwrap(), None, "mosquitto has ended");
                match TcpStream::connect(("127.0.0.1", self.port)).await {
                    // A connection to a port that nobody listens on can meet itself.
                    Ok(stream) if stream.local_addr().unwrap() != stream.peer_addr().unwrap() => return,
                    _ => sleep(Duration::from_millis(10)).await,
                }
            }
        };
        soon(up).await;
    }

    /// Ends it as `systemctl restart` would, and starts it again.
    async fn restart(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.process.wait().unwrap();
        self.process = run(self.folder.path());
        self.is_up().await;
    }

    fn settings(&self) -> settings::Broker {
        settings::Broker { url: format!("mqtt://127.0.0.1:{}", self.port), ..settings::Broker::default() }
    }
}

/// Mosquitto cannot say which port it got, so the kernel is asked for a free one first, and never two tests get the same.
fn free_port() -> u16 {
    static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    let mut given = GIVEN.lock().unwrap();
    loop {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        if !given.contains(&port) {
            given.push(port);
            return port;
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _already_gone = self.process.kill();
        let _already_gone = self.process.wait();
    }
}

fn subscribe(lanes: &Lanes, settings: &settings::Broker) -> Tasks {
    let tasks = Tasks::default();
    subscriber::start(settings, Arc::clone(&lanes.intake), &tasks).unwrap();
    tasks
}

fn run(folder: &Path) -> Child {
    let configuration: PathBuf = folder.join("mosquitto.conf");
    // Debian's mosquitto started by root would become a user that may not write here.
    let mut text = fs::read_to_string(&configuration).unwrap();
    if !text.contains("\nuser ") {
        text.push_str("\nuser root\n");
        fs::write(&configuration, text).unwrap();
    }
    Command::new(MOSQUITTO).arg("-c").arg(configuration).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// A vehicle, or a bridge of many, at the broker.
struct Publisher {
    client: AsyncClient,
    events: EventLoop,
}

impl Publisher {
    fn new(broker: &Broker) -> Self {
        let (client, events) = AsyncClient::new(MqttOptions::new("publisher", "127.0.0.1", broker.port), 16);
        Self { client, events }
    }

    /// Returns once the broker has taken it.
    async fn publish(&mut self, topic: &str, payload: impl Into<Vec<u8>>) {
        self.publish_with(topic, payload.into(), PublishProperties::default()).await;
    }

    async fn publish_with(&mut self, topic: &str, payload: Vec<u8>, properties: PublishProperties) {
        loop {
            let again = (payload.clone(), properties.clone());
            self.client.publish_with_properties(topic, QoS::AtLeastOnce, false, again.0, again.1).await.unwrap();
            let taken = loop {
                match soon(self.events.poll()).await {
                    Ok(Event::Incoming(Packet::PubAck(_))) => break true,
                    Ok(_) => {}
                    // The connection is lost, and with it what was on the way.
                    Err(_) => break false,
                }
            };
            if taken {
                return;
            }
        }
    }
}

/// Publishes until the subscription stands, which nothing else shows from outside.
async fn first_delivery(publisher: &mut Publisher, lanes: &mut Lanes) {
    loop {
        publisher.publish("vehicles/truck-7/telemetry", a_reading(0)).await;
        if let Ok(Some(delivery)) = timeout(A_WHILE, lanes.deliveries.recv()).await {
            return keep(delivery);
        }
    }
}

/// Keeps what is left of `first_delivery`, up to the reading with this sequence.
async fn delivery_of(lanes: &mut Lanes, sequence: u64) -> crate::domain::Delivery {
    loop {
        let delivery = lanes.next().await;
        if delivery.readings.first().is_some_and(|reading| reading.sequence == Some(sequence)) {
            return delivery;
        }
        keep(delivery);
    }
}

#[tokio::test]
async fn what_was_not_durable_is_sent_again_to_the_next_process() {
    let Some(broker) = Broker::start().await else { return };
    let mut lanes = Lanes::open();
    let mut publisher = Publisher::new(&broker);
    let tasks = subscribe(&lanes, &broker.settings());
    first_delivery(&mut publisher, &mut lanes).await;
    publisher.publish("vehicles/truck-7/telemetry", a_reading(1)).await;
    publisher.publish("vehicles/truck-7/telemetry", a_reading(2)).await;
    let first = delivery_of(&mut lanes, 1).await;
    let second = delivery_of(&mut lanes, 2).await;
    // The later is durable and yet not acknowledged before the earlier, which is lost.
    keep(second);
    drop(first);
    // The same process connects again and is given both.
    keep(delivery_of(&mut lanes, 1).await);
    keep(delivery_of(&mut lanes, 2).await);
    tasks.request_stop();
    soon(tasks.finished()).await.unwrap();

    // The next one gets what came in between; mosquitto may repeat what it had not read of the acknowledgements.
    publisher.publish("vehicles/truck-7/telemetry", a_reading(3)).await;
    let tasks = subscribe(&lanes, &broker.settings());
    keep(delivery_of(&mut lanes, 3).await);
    tasks.request_stop();
    soon(tasks.finished()).await.unwrap();
}

#[tokio::test]
async fn a_broker_that_restarts_is_found_again_and_has_kept_what_was_in_hand() {
    let Some(mut broker) = Broker::start().await else { return };
    let mut lanes = Lanes::open();
    let mut publisher = Publisher::new(&broker);
    let tasks = subscribe(&lanes, &broker.settings());
    first_delivery(&mut publisher, &mut lanes).await;
    publisher.publish("vehicles/truck-7/telemetry", a_reading(1)).await;
    let in_hand = delivery_of(&mut lanes, 1).await;
    broker.restart().await;
    // Durable too late: its acknowledgement belongs to a connection that is gone.
    keep(in_hand);
    keep(delivery_of(&mut lanes, 1).await);
    publisher.publish("vehicles/truck-7/telemetry", a_reading(2)).await;
    keep(delivery_of(&mut lanes, 2).await);
    tasks.request_stop();
    soon(tasks.finished()).await.unwrap();
}

#[tokio::test]
async fn stopping_acknowledges_what_is_in_hand() {
    // Mosquitto now and then repeats what it had not read of the acknowledgements when the connection ended; a subscriber that did not
    // acknowledge would get everything again every time.
    const TRIES: usize = 5;
    for _ in 0..TRIES {
        let Some(broker) = Broker::start().await else { return };
        if !what_was_in_hand_comes_again(&broker).await {
            return;
        }
    }
    panic!("the one in hand came again in each of {TRIES} tries");
}

async fn what_was_in_hand_comes_again(broker: &Broker) -> bool {
    let mut lanes = Lanes::open();
    let mut publisher = Publisher::new(broker);
    let tasks = subscribe(&lanes, &broker.settings());
    first_delivery(&mut publisher, &mut lanes).await;
    publisher.publish("vehicles/truck-7/telemetry", a_reading(1)).await;
    let in_hand = delivery_of(&mut lanes, 1).await;
    tasks.request_stop();
    tokio::task::yield_now().await;
    keep(in_hand);
    soon(tasks.finished()).await.unwrap();

    let tasks = subscribe(&lanes, &broker.settings());
    publisher.publish("vehicles/truck-7/telemetry", a_reading(2)).await;
    let next = lanes.next().await;
    let is_repeated = next.readings[0].sequence != Some(2);
    keep(next);
    tasks.request_stop();
    soon(tasks.finished()).await.unwrap();
    is_repeated
}

#[tokio::test]
async fn more_waits_at_the_broker_than_may_be_in_flight() {
    let Some(broker) = Broker::start().await else { return };
    let mut lanes = Lanes::open();
    let mut publisher = Publisher::new(&broker);
    let tasks = subscribe(&lanes, &settings::Broker { inflight: 2, ..broker.settings() });
    first_delivery(&mut publisher, &mut lanes).await;
    for sequence in 1..=20 {
        publisher.publish("vehicles/truck-7/telemetry", a_reading(sequence)).await;
    }
    let first = delivery_of(&mut lanes, 1).await;
    let second = delivery_of(&mut lanes, 2).await;
    assert!(timeout(A_WHILE, lanes.deliveries.recv()).await.is_err(), "a third one came");
    keep(first);
    keep(second);
    for sequence in 3..=20 {
        let delivery = lanes.next().await;
        assert_eq!(delivery.readings[0].sequence, Some(sequence));
        keep(delivery);
    }
    tasks.request_stop();
    soon(tasks.finished()).await.unwrap();
}

/// Mosquitto 2.0.11 sends a backlog without regard to the window: it must be left unread without holding up acknowledgements.
#[tokio::test]
async fn a_backlog_far_beyond_the_window_arrives_once_and_in_order() {
    const BACKLOG: u64 = 3_000;
    let Some(broker) = Broker::start().await else { return };
    let mut lanes = Lanes::open();
    let mut publisher = Publisher::new(&broker);
    let settings = settings::Broker { inflight: 10, ..broker.settings() };
    let tasks = subscribe(&lanes, &settings);
    first_delivery(&mut publisher, &mut lanes).await;
    while let Ok(Some(delivery)) = timeout(A_WHILE, lanes.deliveries.recv()).await {
        keep(delivery);
    }
    tasks.request_stop();
    soon(tasks.finished()).await.unwrap();
    for sequence in 1..=BACKLOG {
        publisher.publish("vehicles/truck-7/telemetry", a_reading(sequence)).await;
    }
    let tasks = subscribe(&lanes, &settings);
    for sequence in 1..=BACKLOG {
        let delivery = lanes.next().await;
        assert_eq!(delivery.readings[0].sequence, Some(sequence));
        keep(delivery);
    }
    tasks.request_stop();
    soon(tasks.finished()).await.unwrap();
}

#[tokio::test]
async fn members_of_a_group_share_the_messages_and_read_the_content_type() {
    let Some(broker) = Broker::start().await else { return };
    let mut lanes = Lanes::open();
    let mut publisher = Publisher::new(&broker);
    let member = |client_id: &str| settings::Broker {
        client_id: client_id.to_owned(),
        share_group: "odograph".to_owned(),
        topic_filter: "fleet/+/telemetry".to_owned(),
        ..broker.settings()
    };
    let members = ["one", "two"].map(|client_id| subscribe(&lanes, &member(client_id)));
    loop {
        publisher.publish("fleet/truck-7/telemetry", a_reading(0)).await;
        if let Ok(Some(delivery)) = timeout(A_WHILE, lanes.deliveries.recv()).await {
            keep(delivery);
            break;
        }
    }
    while let Ok(Some(delivery)) = timeout(A_WHILE, lanes.deliveries.recv()).await {
        keep(delivery);
    }
    let properties = PublishProperties { content_type: Some("application/x-protobuf".into()), ..Default::default() };
    publisher.publish_with("fleet/truck-7/telemetry", b"{}".to_vec(), properties).await;
    let delivery = lanes.next().await;
    assert_eq!((delivery.quarantined[0].reason, delivery.quarantined[0].source), (Reason::ProtobufSyntax, Source::Broker));
    keep(delivery);
    assert!(timeout(A_WHILE, lanes.deliveries.recv()).await.is_err(), "both members got it");
    for tasks in members {
        tasks.request_stop();
        soon(tasks.finished()).await.unwrap();
    }
}
