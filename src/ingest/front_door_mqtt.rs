//! One MQTT connection of the front door, by the crate `mqtt5`: hook, limits, and how a connection ends without an acknowledgement.
//!
//! A publish is acknowledged when its readings are durable, because the crate awaits our hook before it writes the PUBACK. What
//! cannot be promised ends the connection. Nothing is routed from client to client and nothing is kept: publishes end in the hook,
//! sessions end with their connection, wills and retained messages go nowhere.
//!
//! The crate handles the publishes of one connection one after another: a gateway that sends for many vehicles over one
//! connection waits for one group commit per message.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mqtt5::broker::auth::{AuthProvider, AuthResult};
use mqtt5::broker::client_handler::ClientHandler;
use mqtt5::broker::config::BrokerConfig;
use mqtt5::broker::events::{BrokerEventHandler, ClientPublishEvent, PublishAction};
use mqtt5::broker::resource_monitor::{ResourceLimits, ResourceMonitor};
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::sys_topics::BrokerStats;
use mqtt5::broker::transport::BrokerTransport;
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::{MqttError, QoS};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::broadcast;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::intake::{Intake, Message, NotPromised};
use super::shared_socket::SharedSocket;
use crate::domain::{Reason, Source, VehicleId};
use crate::settings;
use crate::wire::Refusal;

/// Larger packets end the connection with 0x95.
const MAX_PACKET_BYTES: usize = 2 << 20;

/// Publishes that a client may have on the way to us. Further ones wait in the client.
const RECEIVE_MAXIMUM: u16 = 64;

/// Messages that wait for one vehicle. Full: the crate drops what was to be sent at `QoS` 0 and queues the rest, up to its own limit.
const CLIENT_CHANNEL: usize = 8;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a connection that was ended may still send us, so that its last words are not cut off by a reset.
const DRAINED_BYTES: u64 = 16 << 20;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Reason codes of MQTT 5 in DISCONNECT and CONNACK.
mod code {
    pub const UNSPECIFIED: u8 = 0x80;
    pub const SERVER_BUSY: u8 = 0x89;
    pub const SERVER_SHUTTING_DOWN: u8 = 0x8b;
    pub const PACKET_TOO_LARGE: u8 = 0x95;
    pub const QUOTA_EXCEEDED: u8 = 0x97;
    pub const QOS_NOT_SUPPORTED: u8 = 0x9b;
}

tokio::task_local! {
    /// The connection whose task runs: the crate's hooks do not say.
    static CONNECTION: Arc<Connection>;
}

/// What all connections share.
pub(super) struct Door {
    config_v5: Arc<BrokerConfig>,
    config_v3: Arc<BrokerConfig>,
    router: Arc<MessageRouter>,
    identity: Arc<Identity>,
    stats: Arc<BrokerStats>,
    resources: Arc<ResourceMonitor>,
    ending: broadcast::Sender<()>,
}

impl Door {
    pub fn new(intake: Arc<Intake>, settings: &settings::Mqtt) -> Self {
        let hook = Arc::new(Hook { intake: Arc::clone(&intake), ack_timeout: settings.ack_timeout.duration() });
        let config_v5 = BrokerConfig {
            bind_addresses: Vec::new(),
            max_clients: settings.max_connections,
            session_expiry_interval: Duration::ZERO,
            max_packet_size: MAX_PACKET_BYTES,
            // A vehicle has one topic.
            topic_alias_maximum: 1,
            retain_available: false,
            maximum_qos: 1,
            wildcard_subscription_available: false,
            subscription_identifier_available: false,
            shared_subscription_available: false,
            max_subscriptions_per_client: 1,
            client_channel_capacity: CLIENT_CHANNEL,
            server_receive_maximum: Some(RECEIVE_MAXIMUM),
            sys_topics_enabled: false,
            event_handler: Some(hook),
            ..BrokerConfig::default()
        };
        // To 3.1.1 no maximum can be announced, and the crate would go through the handshake of QoS 2 for a message that it has
        // dropped. So it may, and the hook ends the connection.
        let config_v3 = BrokerConfig { maximum_qos: 2, ..config_v5.clone() };
        let resources = ResourceMonitor::new(ResourceLimits {
            max_connections: settings.max_connections,
            max_connections_per_ip: settings.max_connections,
            max_message_rate_per_client: 0,
            max_bandwidth_per_client: 0,
            max_connection_rate: u32::MAX,
            rate_limit_window: Duration::from_secs(1),
        });
        Self {
            config_v5: Arc::new(config_v5),
            config_v3: Arc::new(config_v3),
            // Without storage a session lives as long as its connection.
            router: Arc::new(MessageRouter::new()),
            identity: Arc::new(Identity { intake }),
            stats: Arc::new(BrokerStats::new()),
            resources: Arc::new(resources),
            // One signal, once. The receivers are the connections.
            ending: broadcast::channel(1).0,
        }
    }

    /// Runs one connection to its end.
    pub async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let Ok(Some(speaks_v5)) = timeout(CONNECT_TIMEOUT, speaks_v5(&stream)).await else { return };
        // Before anything is said, so that nothing waits for a delayed acknowledgement of TCP.
        if let Err(error) = stream.set_nodelay(true) {
            return debug!(%error, "connection was gone before it began");
        }
        let socket = SharedSocket::new(stream);
        let connection = Arc::new(Connection::of(socket.clone(), speaks_v5));
        let handler = ClientHandler::new(
            BrokerTransport::WebSocket(Box::new(socket)),
            peer,
            Arc::clone(if speaks_v5 { &self.config_v5 } else { &self.config_v3 }),
            Arc::clone(&self.router),
            Arc::clone(&self.identity) as Arc<dyn AuthProvider>,
            None,
            Arc::clone(&self.stats),
            Arc::clone(&self.resources),
            self.ending.subscribe(),
        );
        drop(self);
        // In a box of its own: the compiler would keep room for the handler twice.
        let ended = CONNECTION.scope(Arc::clone(&connection), Box::pin(handler.run())).await;
        if let Err(MqttError::PacketTooLarge { size, .. }) = ended {
            debug!(bytes = size, "packet too large");
            connection.end(code::PACKET_TOO_LARGE);
        }
        if connection.is_ended() {
            connection.drain().await;
        }
    }

    /// Tells every connection to end once it has answered for what it is handling.
    pub fn end_connections(&self) {
        let _nobody_is_connected = self.ending.send(());
    }

    /// Forgets clients that are gone.
    pub async fn sweep(&self) {
        self.router.sweep_sessions().await;
        self.resources.cleanup_expired_windows().await;
    }
}

/// Says why there is no room, to a client that has said who it is.
pub(super) async fn refuse_for_quota(stream: TcpStream) {
    let Ok(Some(speaks_v5)) = timeout(CONNECT_TIMEOUT, speaks_v5(&stream)).await else { return };
    let connection = Connection::of(SharedSocket::new(stream), speaks_v5);
    // 3.1.1 has no better word than "server unavailable".
    let connack: &[u8] = if speaks_v5 { &[0x20, 3, 0, code::QUOTA_EXCEEDED, 0] } else { &[0x20, 2, 0, 3] };
    connection.socket.say_and_close(connack);
    connection.drain().await;
}

/// Whether the client speaks MQTT 5, from its CONNECT, which is left unread. `None`: it has gone, or speaks no MQTT.
async fn speaks_v5(stream: &TcpStream) -> Option<bool> {
    /// Fixed header of at most 5 bytes, then the protocol name with its length, then the level.
    const ENOUGH: usize = 5 + 6 + 1;
    const CONNECT: u8 = 0x10;
    /// A CONNECT comes in one piece. Whoever sends it in crumbs is looked at this often.
    const CRUMBS: Duration = Duration::from_millis(20);
    let mut start = [0; ENOUGH];
    loop {
        let length = stream.peek(&mut start).await.ok().filter(|length| *length > 0)?;
        let start = &start[..length];
        if start[0] != CONNECT {
            return None;
        }
        let after_header = start.iter().skip(1).take(4).position(|byte| byte & 0x80 == 0).map(|last| last + 2);
        let level = after_header.and_then(|after_header| start.get(after_header + 6));
        match level {
            Some(level) => return Some(*level >= 5),
            // A strange CONNECT: the crate refuses it.
            None if length == ENOUGH => return Some(false),
            None => sleep(CRUMBS).await,
        }
    }
}

/// The same socket as the crate's, to say what it cannot and to make sure that it says nothing more.
struct Connection {
    socket: SharedSocket,
    speaks_v5: bool,
    ended: AtomicBool,
}

impl Connection {
    const fn of(socket: SharedSocket, speaks_v5: bool) -> Self {
        Self { socket, speaks_v5, ended: AtomicBool::new(false) }
    }

    /// Disconnects. Whatever the crate writes afterwards fails, which is how it notices.
    ///
    /// To be called from the connection's own task, which is not writing then.
    fn end(&self, code: u8) {
        if !self.ended.swap(true, Ordering::Relaxed) {
            let disconnect = [0xe0, 1, code];
            // In 3.1.1 only a client can say it.
            self.socket.say_and_close(if self.speaks_v5 { &disconnect } else { &[] });
        }
    }

    fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Reads what is still coming, so that closing is no reset.
    async fn drain(&self) {
        let mut rest = self.socket.clone().take(DRAINED_BYTES);
        let _patience_ended = timeout(DRAIN_TIMEOUT, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the crate does with every publish.
struct Hook {
    intake: Arc<Intake>,
    ack_timeout: Duration,
}

impl BrokerEventHandler for Hook {
    fn on_client_publish(&self, publish: ClientPublishEvent) -> Boxed<'_, PublishAction> {
        Box::pin(async move {
            let connection = CONNECTION.with(Arc::clone);
            if !connection.is_ended()
                && let Err(code) = self.take(publish).await
            {
                connection.end(code);
            }
            // Now the crate acknowledges, if it still can.
            PublishAction::Handled
        })
    }
}

impl Hook {
    /// `Err`: the reason code with which the connection is to end.
    async fn take(&self, publish: ClientPublishEvent) -> Result<(), u8> {
        if publish.qos == QoS::ExactlyOnce {
            return Err(code::QOS_NOT_SUPPORTED);
        }
        let vehicle_id = vehicle_of(&publish.topic, "telemetry");
        let message = Message {
            source: Source::Mqtt,
            vehicle_id: vehicle_id.unwrap_or(&publish.client_id),
            payload: publish.payload,
            format: None,
        };
        let answer = async {
            if vehicle_id.is_some() {
                return self.intake.accept(&message).await;
            }
            let detail = format!("{:?} is not vehicles/{{vehicle_id}}/telemetry", publish.topic);
            let mut pending = self.intake.begin_refusal(&message, &Refusal::new(Reason::TopicUnknown, detail)).await?;
            self.intake.settle(&mut pending).await
        };
        match timeout(self.ack_timeout, answer).await {
            Ok(Ok(_answer)) => Ok(()),
            Ok(Err(NotPromised::Stopped)) => Err(code::SERVER_SHUTTING_DOWN),
            Ok(Err(NotPromised::Lost)) => Err(code::UNSPECIFIED),
            Ok(Err(NotPromised::Full)) => Err(code::SERVER_BUSY),
            Err(_not_in_time) => {
                self.intake.turned_away();
                Err(code::SERVER_BUSY)
            }
        }
    }
}

/// Who may do what. There are no accounts yet: a client is the vehicle that its client id names.
struct Identity {
    intake: Arc<Intake>,
}

impl AuthProvider for Identity {
    fn authenticate<'a>(&'a self, _: &'a ConnectPacket, _: SocketAddr) -> Boxed<'a, mqtt5::Result<AuthResult>> {
        Box::pin(async { Ok(AuthResult::success()) })
    }

    /// Asked for wills too, which are routed and do not come to the hook: so nothing may go where vehicles listen.
    fn authorize_publish<'a>(&'a self, client_id: &str, _: Option<&'a str>, topic: &'a str) -> Boxed<'a, bool> {
        let is_for_vehicles = vehicle_of(topic, "alerts").is_some();
        if is_for_vehicles {
            self.intake.count_refused(Reason::TopicUnknown, client_id, "vehicles do not publish alerts");
        }
        Box::pin(async move { !is_for_vehicles })
    }

    fn authorize_subscribe<'a>(&'a self, client_id: &str, _: Option<&'a str>, filter: &'a str) -> Boxed<'a, bool> {
        // A client could call itself "+".
        let is_own = VehicleId::new(client_id).is_ok() && vehicle_of(filter, "alerts") == Some(client_id);
        Box::pin(async move { is_own })
    }
}

/// The id in `vehicles/{id}/{what}`.
fn vehicle_of<'a>(topic: &'a str, what: &str) -> Option<&'a str> {
    let id = topic.strip_prefix("vehicles/")?.strip_suffix(what)?.strip_suffix('/')?;
    (!id.is_empty() && !id.contains('/')).then_some(id)
}
