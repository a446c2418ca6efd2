//! One MQTT 5 connection to an outside broker: its two directions apart, so that acknowledgements are written while nothing is read.
//!
//! The packets are rumqttc's, its event loop is not: that reads whenever it writes. Mosquitto 2.0.11 (Debian 12) sends a whole window
//! for every acknowledgement once it has a backlog, whatever Receive Maximum says (measured), so the only limit that holds is to
//! leave the socket unread, and that must not keep acknowledgements back.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, Connect, ConnectReturnCode, Disconnect, DisconnectProperties, DisconnectReasonCode, Filter, Login, Packet, PingReq,
    PubAck, Subscribe,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::broker_address::{BrokerAddress, ReadHalf, WriteHalf};
use crate::tls::Trouble;

/// Announced to the broker, which keeps larger messages to itself.
pub const MAX_PACKET_BYTES: u32 = 2 << 20;

/// A broker that hears nothing for one and a half of it hangs up.
pub const KEEP_ALIVE: Duration = Duration::from_secs(30);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Pings are answered: whoever says nothing for so long is gone.
const SILENCE: Duration = Duration::from_mins(1);

const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Room for one read. More comes with the next.
const READ_BYTES: usize = 16 * 1024;

/// We have one subscription, made once.
const SUBSCRIBE_PACKET_ID: u16 = 1;

#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    #[error("{0}")]
    Io(io::Error),
    #[error("no TLS with the broker: {0}")]
    Tls(Trouble),
    #[error("the broker closed the connection")]
    Closed,
    #[error("the broker does not answer")]
    Silent,
    #[error("the broker refused the connection: {0:?}")]
    Refused(ConnectReturnCode),
    #[error("the broker disconnected: {0:?}")]
    Disconnected(DisconnectReasonCode),
    #[error("the broker sent what is no MQTT 5: {0}")]
    Protocol(rumqttc::v5::mqttbytes::Error),
    #[error("the broker sent a packet that does not belong here: {0}")]
    Unexpected(String),
}

impl BrokerError {
    fn is_end(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        match self {
            Self::Closed => true,
            Self::Io(error) => matches!(error.kind(), ConnectionReset | BrokenPipe | UnexpectedEof),
            _ => false,
        }
    }
}

impl From<io::Error> for BrokerError {
    /// Where the other side says what it has against us only once it is spoken to, as in TLS 1.3, that is no broken connection.
    fn from(error: io::Error) -> Self {
        Trouble::of(&error).map_or(Self::Io(error), Self::Tls)
    }
}

pub(super) struct Reader {
    socket: ReadHalf,
    buffer: BytesMut,
}

pub(super) struct Writer {
    socket: WriteHalf,
    buffer: BytesMut,
}

/// Connects, and returns once the broker has agreed. Its answer says whether it kept a session for us, and its limits.
pub(super) async fn open(
    address: &BrokerAddress,
    connect: &Connect,
    login: Option<&Login>,
) -> Result<(Reader, Writer, ConnAck), BrokerError> {
    let handshake = async {
        let (read, write) = address.connect().await?;
        let mut reader = Reader { socket: read, buffer: BytesMut::with_capacity(READ_BYTES) };
        let mut writer = Writer { socket: write, buffer: BytesMut::new() };
        writer.put(&Packet::Connect(connect.clone(), None, login.cloned()))?;
        writer.flush().await?;
        match reader.next().await? {
            Packet::ConnAck(answer) if answer.code == ConnectReturnCode::Success => Ok((reader, writer, answer)),
            Packet::ConnAck(answer) => Err(BrokerError::Refused(answer.code)),
            other => Err(BrokerError::Unexpected(format!("{other:?}"))),
        }
    };
    let opened = timeout(CONNECT_TIMEOUT, handshake).await.map_err(|_| BrokerError::Silent)?;
    // With TLS 1.3 a broker that wants another certificate ends a connection on which we have spoken already, and the end may overtake its
    // reason.
    opened.map_err(|error| if address.is_tls() && error.is_end() { BrokerError::Tls(Trouble::HungUp) } else { error })
}

impl Reader {
    /// The next packet. Dropped before it returns, nothing is lost.
    pub async fn next(&mut self) -> Result<Packet, BrokerError> {
        loop {
            match Packet::read(&mut self.buffer, Some(MAX_PACKET_BYTES)) {
                Ok(Packet::Disconnect(disconnect)) => return Err(BrokerError::Disconnected(disconnect.reason_code)),
                Ok(packet) => return Ok(packet),
                Err(rumqttc::v5::mqttbytes::Error::InsufficientBytes(_)) => {}
                Err(error) => return Err(BrokerError::Protocol(error)),
            }
            self.buffer.reserve(READ_BYTES);
            let read = timeout(SILENCE, self.socket.read_buf(&mut self.buffer)).await.map_err(|_| BrokerError::Silent)??;
            if read == 0 {
                return Err(BrokerError::Closed);
            }
        }
    }
}

impl Writer {
    pub fn subscribe(&mut self, filter: Filter) -> Result<(), BrokerError> {
        let mut subscribe = Subscribe::new(filter, None);
        subscribe.pkid = SUBSCRIBE_PACKET_ID;
        self.put(&Packet::Subscribe(subscribe))
    }

    pub fn acknowledge(&mut self, packet_id: u16) -> Result<(), BrokerError> {
        self.put(&Packet::PubAck(PubAck::new(packet_id, None)))
    }

    pub fn ping(&mut self) -> Result<(), BrokerError> {
        self.put(&Packet::PingReq(PingReq))
    }

    /// The session stays with the broker.
    pub fn disconnect(&mut self) -> Result<(), BrokerError> {
        self.put(&Packet::Disconnect(Disconnect::new(DisconnectReasonCode::NormalDisconnection)))
    }

    /// The broker forgets the session.
    pub fn leave_nothing_behind(&mut self) -> Result<(), BrokerError> {
        let mut disconnect = Disconnect::new(DisconnectReasonCode::NormalDisconnection);
        disconnect.properties = Some(DisconnectProperties {
            session_expiry_interval: Some(0),
            reason_string: None,
            user_properties: Vec::new(),
            server_reference: None,
        });
        self.put(&Packet::Disconnect(disconnect))
    }

    /// What was put and not flushed, in bytes.
    pub fn unflushed(&self) -> usize {
        self.buffer.len()
    }

    /// Not to be dropped before it returns.
    pub async fn flush(&mut self) -> Result<(), BrokerError> {
        let write = async {
            self.socket.write_all(&self.buffer).await?;
            // TLS keeps a record that the socket has no room for.
            self.socket.flush().await
        };
        timeout(WRITE_TIMEOUT, write).await.map_err(|_| BrokerError::Silent)??;
        self.buffer.clear();
        Ok(())
    }

    fn put(&mut self, packet: &Packet) -> Result<(), BrokerError> {
        packet.write(&mut self.buffer, None).map(drop).map_err(BrokerError::Protocol)
    }
}
