//! One MQTT 3.1.1 connection that publishes with acknowledgement (`QoS` 1) and hears `PUBACK`s. Keeps no messages: `sender`.
//!
//! rumqttc's packets without its event loop: the sender must know which message each PUBACK is for, and after a lost session
//! that event loop can wait for a packet id for ever (rumqtt issues 1014 and 1056).

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::v4::{Connect, ConnectReturnCode, Packet, Publish};
use rumqttc::mqttbytes::{self, QoS};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::broker::Broker;

/// For the connection to stand, and for one write to be taken.
const PATIENCE: Duration = Duration::from_secs(10);
/// The receiver closes a connection that was silent for one and a half times this.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// We are sent acknowledgements only; the contract's limit for a packet.
const MAX_PACKET_BYTES: usize = 2 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    #[error("{broker} cannot be reached: {source}")]
    Unreachable { broker: String, source: io::Error },
    #[error("{broker} does not answer")]
    Silent { broker: String },
    #[error("{broker} refused the connection: {code:?}")]
    Refused { broker: String, code: ConnectReturnCode },
    #[error("{broker} closed the connection")]
    Closed { broker: String },
    #[error("{broker} does not speak MQTT: {source:?}")]
    Protocol { broker: String, source: mqttbytes::Error },
}

impl ConnectionError {
    /// Whether another try may succeed.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } | Self::Closed { .. } => true,
            Self::Refused { code, .. } => matches!(code, ConnectReturnCode::ServiceUnavailable),
            Self::Protocol { .. } => false,
        }
    }
}

pub(super) struct Connection {
    stream: TcpStream,
    broker: String,
    inbound: BytesMut,
    outbound: BytesMut,
}

impl Connection {
    /// Connects with a clean session: the sender keeps what is unacknowledged and sends it again itself.
    pub(super) async fn open(broker: &Broker, client_id: &str) -> Result<Self, ConnectionError> {
        let name = broker.to_string();
        let unreachable = |source| ConnectionError::Unreachable { broker: name.clone(), source };
        let silent = |_| ConnectionError::Silent { broker: name.clone() };
        let connecting = TcpStream::connect((broker.host.as_str(), broker.port));
        let stream = timeout(PATIENCE, connecting).await.map_err(silent)?.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let mut connection = Self { stream, broker: name.clone(), inbound: BytesMut::new(), outbound: BytesMut::new() };
        let mut connect = Connect::new(client_id);
        connect.keep_alive = u16::try_from(KEEP_ALIVE.as_secs()).expect("half a minute");
        connect.clean_session = true;
        if let Some((user, password)) = &broker.login {
            connect.set_login(user.as_str(), password.as_str());
        }
        connection.write(&Packet::Connect(connect)).await?;
        match timeout(PATIENCE, connection.packet()).await.map_err(silent)?? {
            Packet::ConnAck(answer) if answer.code == ConnectReturnCode::Success => Ok(connection),
            Packet::ConnAck(answer) => Err(ConnectionError::Refused { broker: name, code: answer.code }),
            _ => Err(ConnectionError::Protocol { broker: name, source: mqttbytes::Error::UnexpectedConnect }),
        }
    }

    pub(super) async fn publish(
        &mut self,
        packet_id: u16,
        topic: &str,
        payload: Bytes,
        again: bool,
    ) -> Result<(), ConnectionError> {
        let mut publish = Publish::from_bytes(topic, QoS::AtLeastOnce, payload);
        publish.pkid = packet_id;
        publish.dup = again;
        self.write(&Packet::Publish(publish)).await
    }

    pub(super) async fn ping(&mut self) -> Result<(), ConnectionError> {
        self.write(&Packet::PingReq).await
    }

    pub(super) fn silent(&self) -> ConnectionError {
        ConnectionError::Silent { broker: self.broker.clone() }
    }

    /// Says good-bye; what follows is of no interest.
    pub(super) async fn close(mut self) {
        let _gone_already = self.write(&Packet::Disconnect).await;
    }

    /// The packet id of the next PUBACK. May be dropped at any point without losing one.
    pub(super) async fn acknowledgement(&mut self) -> Result<u16, ConnectionError> {
        loop {
            if let Packet::PubAck(acknowledgement) = self.packet().await? {
                return Ok(acknowledgement.pkid);
            }
        }
    }

    async fn packet(&mut self) -> Result<Packet, ConnectionError> {
        loop {
            match Packet::read(&mut self.inbound, MAX_PACKET_BYTES) {
                Ok(packet) => return Ok(packet),
                Err(mqttbytes::Error::InsufficientBytes(_)) => {}
                Err(source) => return Err(ConnectionError::Protocol { broker: self.broker.clone(), source }),
            }
            match self.stream.read_buf(&mut self.inbound).await {
                Ok(0) | Err(_) => return Err(ConnectionError::Closed { broker: self.broker.clone() }),
                Ok(_) => {}
            }
        }
    }

    async fn write(&mut self, packet: &Packet) -> Result<(), ConnectionError> {
        self.outbound.clear();
        let protocol = |source| ConnectionError::Protocol { broker: self.broker.clone(), source };
        packet.write(&mut self.outbound, MAX_PACKET_BYTES).map_err(protocol)?;
        match timeout(PATIENCE, self.stream.write_all(&self.outbound)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(ConnectionError::Closed { broker: self.broker.clone() }),
            Err(_) => Err(ConnectionError::Silent { broker: self.broker.clone() }),
        }
    }
}
