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
use std::time::Duration;

use mqtt5::broker::auth::AuthProvider;
use mqtt5::broker::client_handler::ClientHandler;
use mqtt5::broker::config::BrokerConfig;
use mqtt5::broker::events::{BrokerEventHandler, ClientPublishEvent, PublishAction};
use mqtt5::broker::resource_monitor::{ResourceLimits, ResourceMonitor};
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::sys_topics::BrokerStats;
use mqtt5::broker::transport::BrokerTransport;
use mqtt5::{MqttError, QoS};
use tokio::net::TcpStream;
use tokio::sync::broadcast;
use tokio::time::timeout;
use tracing::debug;

use super::front_door::FrontDoorError;
use super::front_door_connection::{Connection, Opened, Owner, code};
use super::front_door_identity::{CONNECTION, Identity, vehicle_of};
use super::intake::{Answer, Intake, Message, NotPromised};
use super::passwords::Passwords;
use super::refusals::Refusals;
use crate::clock;
use crate::domain::{Reason, Source};
use crate::settings;
use crate::tls::{ClientCertificates, Judgement, Refused, ServerSettings, TlsServer, Undone};
use crate::wire::Refusal;

/// Larger packets end the connection with 0x95.
const MAX_PACKET_BYTES: usize = 2 << 20;

/// Publishes that a client may have on the way to us. Further ones wait in the client.
const RECEIVE_MAXIMUM: u16 = 64;

/// Messages that wait for one vehicle. Full: the crate drops what was to be sent at `QoS` 0 and queues the rest, up to its own limit.
const CLIENT_CHANNEL: usize = 8;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

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
    /// # Errors
    /// Where files of certificates or passwords will not do.
    pub fn new(intake: Arc<Intake>, settings: &settings::Mqtt) -> Result<Self, FrontDoorError> {
        let identity = Arc::new(Identity {
            intake: Arc::clone(&intake),
            security: security(settings)?,
            passwords: (!settings.passwords.as_os_str().is_empty()).then(|| Passwords::open(&settings.passwords)).transpose()?,
            is_required: settings.wants_identities(),
            refusals: Refusals::default(),
            open: super::front_door_identity::OpenConnections::default(),
        });
        let hook = Arc::new(Hook { identity: Arc::clone(&identity), intake, ack_timeout: settings.ack_timeout.duration() });
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
        Ok(Self {
            config_v5: Arc::new(config_v5),
            config_v3: Arc::new(config_v3),
            // Without storage a session lives as long as its connection.
            router: Arc::new(MessageRouter::new()),
            identity,
            stats: Arc::new(BrokerStats::new()),
            resources: Arc::new(resources),
            // One signal, once. The receivers are the connections.
            ending: broadcast::channel(1).0,
        })
    }

    /// Runs one connection to its end.
    pub async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, entrance: Entrance) {
        // Before anything is said, so that nothing waits for a delayed acknowledgement of TCP.
        if let Err(error) = stream.set_nodelay(true) {
            return debug!(%error, "connection was gone before it began");
        }
        let opened = if entrance.is_secured {
            // In a box: most of a handshake is over soon, and its room would stay.
            Box::pin(timeout(CONNECT_TIMEOUT, self.secured(stream, peer))).await
        } else {
            timeout(CONNECT_TIMEOUT, Opened::plain(stream)).await
        };
        let Ok(Some(opened)) = opened else { return };
        let connection = Arc::new(Connection::new(opened, peer));
        if entrance.is_full {
            connection.refuse(code::QUOTA_EXCEEDED, "there is no room for another client");
        } else if let Judgement::Unfit(kind, why) = connection.judgement {
            self.identity.turn_away(&connection, "", code::NOT_AUTHORIZED, kind, why);
        } else {
            self.speak(&connection).await;
        }
        if connection.is_ended() {
            connection.drain().await;
        }
    }

    async fn speak(self: Arc<Self>, connection: &Arc<Connection>) {
        let identity = Arc::clone(&self.identity);
        let handler = ClientHandler::new(
            BrokerTransport::WebSocket(Box::new(connection.socket.clone())),
            connection.peer,
            Arc::clone(if connection.speaks_v5 { &self.config_v5 } else { &self.config_v3 }),
            Arc::clone(&self.router),
            Arc::clone(&self.identity) as Arc<dyn AuthProvider>,
            None,
            Arc::clone(&self.stats),
            Arc::clone(&self.resources),
            self.ending.subscribe(),
        );
        drop(self);
        // In a box of its own: the compiler would keep room for the handler twice.
        let mut speaking = std::pin::pin!(CONNECTION.scope(Arc::clone(connection), Box::pin(handler.run())));
        let ended = loop {
            tokio::select! {
                ended = &mut speaking => break ended,
                code = connection.told(), if !connection.is_ended() => connection.end(code),
            }
        };
        identity.open.remove(connection);
        if let Err(MqttError::PacketTooLarge { size, .. }) = ended {
            debug!(bytes = size, "packet too large");
            connection.end(code::PACKET_TOO_LARGE);
        }
    }

    async fn secured(&self, stream: TcpStream, peer: SocketAddr) -> Option<Opened> {
        let security = self.identity.security.as_ref()?;
        match security.accept_and_judge(stream).await {
            Ok((connection, judgement)) => Opened::secured(connection, judgement).await,
            Err(error) => {
                let kind = if let Undone::Refused { kind, .. } = error { kind } else { Refused::Handshake };
                self.identity.refusals.count(kind, peer, "", &format!("no TLS came of it: {error}"));
                None
            }
        }
    }

    /// Ends connections whose owners have lost their right to them.
    pub fn revisit(&self) {
        self.identity.revisit(clock::now());
    }

    /// Tells every connection to end once it has answered for what it is handling.
    pub fn end_connections(&self) {
        let _nobody_is_connected = self.ending.send(());
    }

    /// Forgets clients that are gone.
    pub async fn sweep(&self) {
        self.router.sweep_sessions().await;
        self.resources.cleanup_expired_windows().await;
        self.identity.intake.sweep();
    }
}

/// By which way a connection came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entrance {
    pub is_secured: bool,
    /// There is no room for it: it is told so.
    pub is_full: bool,
}

fn security(settings: &settings::Mqtt) -> Result<Option<Arc<TlsServer>>, FrontDoorError> {
    if settings.tls_address.0.is_none() {
        return Ok(None);
    }
    let files = settings.tls();
    let clients = if files.has_authority() { ClientCertificates::Judged } else { ClientCertificates::None };
    let server = TlsServer::new(ServerSettings { files, revoked: settings.revoked.clone(), clients, protocols: &[] })?;
    Ok(Some(Arc::new(server)))
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the crate does with every publish.
struct Hook {
    identity: Arc<Identity>,
    intake: Arc<Intake>,
    ack_timeout: Duration,
}

impl BrokerEventHandler for Hook {
    fn on_client_publish(&self, publish: ClientPublishEvent) -> Boxed<'_, PublishAction> {
        Box::pin(async move {
            let connection = CONNECTION.with(Arc::clone);
            if !connection.is_ended()
                && let Err(code) = self.take(&connection, publish).await
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
    async fn take(&self, connection: &Connection, publish: ClientPublishEvent) -> Result<(), u8> {
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
            Ok(Ok(answer)) => {
                self.note_stolen_ids(connection, &publish.client_id, &answer);
                Ok(())
            }
            Ok(Err(NotPromised::OverQuota { .. })) => {
                // Counted by the intake, for all ways in.
                let detail = "more messages than `ingest.quota_per_minute`";
                self.identity.refusals.count(Refused::Quota, connection.peer, vehicle_id.unwrap_or_default(), detail);
                Err(code::MESSAGE_RATE_TOO_HIGH)
            }
            Ok(Err(NotPromised::Stopped)) => Err(code::SERVER_SHUTTING_DOWN),
            Ok(Err(NotPromised::Lost)) => Err(code::UNSPECIFIED),
            Ok(Err(NotPromised::Full)) => Err(code::SERVER_BUSY),
            Err(_not_in_time) => {
                self.intake.turned_away();
                Err(code::SERVER_BUSY)
            }
        }
    }

    /// Readings that name another vehicle than their topic are quarantined like any that cannot be believed.
    fn note_stolen_ids(&self, connection: &Connection, client_id: &str, answer: &Answer) {
        let is_known = matches!(connection.owner(), Some(Owner::Vehicle { .. }));
        if is_known && answer.quarantined.iter().any(|one| one.reason == Reason::VehicleIdMismatch.code()) {
            self.identity.speaks_for_another(connection, client_id, "a reading names another vehicle");
        }
    }
}
