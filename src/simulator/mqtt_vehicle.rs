//! One vehicle's MQTT 3.1.1 connection, as light as it gets: a socket and a few bytes, no task and no channel of its own.
//! Does not decide what to send or when to come back: `sender`.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::v4::{Connect, ConnectReturnCode, Disconnect, Packet, Publish};
use rumqttc::mqttbytes::{self, QoS};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::settings::TlsFiles;
use crate::tls::{ClientStream, TlsClient, TlsError, Trouble};

/// Where and as whom: `mqtt://[USER:PASSWORD@]HOST[:PORT]`, or `mqtts://…` with TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttUrl {
    pub host: String,
    pub port: u16,
    pub login: Option<(String, String)>,
    /// With TLS: which files, `{id}` in a path standing for the client's id.
    pub tls: Option<TlsFiles>,
}

/// In the paths of a fleet's certificates.
const ID: &str = "{id}";

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no address; write mqtt://HOST:PORT or mqtt://USER:PASSWORD@HOST:PORT, mqtts:// with TLS")]
pub struct MqttUrlError(String);

#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    incoming: BytesMut,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<ClientStream>),
}

#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    #[error("no answer within {0:?}")]
    TooSlow(Duration),
    #[error("the receiver refused: {0:?}")]
    Refused(ConnectReturnCode),
    #[error("the receiver closed the connection")]
    Closed,
    #[error("the receiver sent {0:?}, which nobody asked for")]
    Unexpected(Packet),
    #[error("the receiver sent bytes that are no MQTT: {0:?}")]
    Malformed(mqttbytes::Error),
    #[error("no TLS with the receiver: {0}")]
    Tls(Trouble),
    #[error(transparent)]
    Certificates(#[from] TlsError),
    #[error(transparent)]
    Io(std::io::Error),
}

/// A receiver that takes longer to answer a CONNECT or to take a message is taken for gone.
const PATIENCE: Duration = Duration::from_secs(20);
/// An acknowledgement has four bytes; nothing bigger is expected.
const MAX_INCOMING_BYTES: usize = 4_096;

impl FromStr for MqttUrl {
    type Err = MqttUrlError;

    fn from_str(text: &str) -> Result<Self, MqttUrlError> {
        let wrong = || MqttUrlError(text.to_owned());
        let (is_tls, rest) = match (text.strip_prefix("mqtts://"), text.strip_prefix("mqtt://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(wrong()),
        };
        let rest = rest.trim_end_matches('/');
        let (login, address) = match rest.rsplit_once('@') {
            Some((login, address)) => {
                let (user, password) = login.split_once(':').ok_or_else(wrong)?;
                (Some((user.to_owned(), password.to_owned())), address)
            }
            None => (None, rest),
        };
        let ends_with_port = !address.ends_with(']');
        let (host, port) = match address.rsplit_once(':').filter(|_| ends_with_port) {
            Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
            None => (address, if is_tls { 8883 } else { 1883 }),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port, login, tls: is_tls.then(TlsFiles::default) })
    }
}

impl Connection {
    /// Connects with a clean session and waits for the answer.
    ///
    /// # Errors
    /// Where nobody answers, or not with a welcome.
    pub async fn open(url: &MqttUrl, client_id: &str, keep_alive: Duration) -> Result<Self, ConnectionError> {
        timeout(PATIENCE, Self::connect(url, client_id, keep_alive)).await.unwrap_or(Err(ConnectionError::TooSlow(PATIENCE)))
    }

    async fn connect(url: &MqttUrl, client_id: &str, keep_alive: Duration) -> Result<Self, ConnectionError> {
        let stream = Stream::open(url, client_id).await?;
        let mut connection = Self { stream, incoming: BytesMut::new() };
        let mut connect = Connect::new(client_id);
        connect.keep_alive = u16::try_from(keep_alive.as_secs()).unwrap_or(u16::MAX);
        if let Some((user, password)) = &url.login {
            connect.set_login(user.as_str(), password.as_str());
        }
        let mut bytes = BytesMut::with_capacity(64);
        connect.write(&mut bytes).map_err(ConnectionError::Malformed)?;
        connection.stream.write_all(&bytes).await?;
        match connection.receive().await? {
            Packet::ConnAck(answer) if answer.code == ConnectReturnCode::Success => Ok(connection),
            Packet::ConnAck(answer) => Err(ConnectionError::Refused(answer.code)),
            packet => Err(ConnectionError::Unexpected(packet)),
        }
    }

    /// Sends one message that asks to be acknowledged. `again`: it was sent before on another connection.
    ///
    /// # Errors
    /// Where the connection is broken; it cannot be used any more.
    pub async fn publish(&mut self, topic: &str, packet_id: u16, payload: Bytes, again: bool) -> Result<(), ConnectionError> {
        let mut publish = Publish::from_bytes(topic, QoS::AtLeastOnce, payload);
        publish.pkid = packet_id;
        publish.dup = again;
        let mut bytes = BytesMut::with_capacity(publish.size());
        publish.write(&mut bytes).map_err(ConnectionError::Malformed)?;
        let written = timeout(PATIENCE, self.stream.write_all(&bytes)).await;
        Ok(written.map_err(|_| ConnectionError::TooSlow(PATIENCE))??)
    }

    /// Waits for the next PUBACK and returns its packet id. May be dropped while it waits: nothing is lost.
    ///
    /// # Errors
    /// Where the connection is broken; it cannot be used any more.
    pub async fn acknowledged(&mut self) -> Result<u16, ConnectionError> {
        match self.receive().await? {
            Packet::PubAck(acknowledgement) => Ok(acknowledgement.pkid),
            packet => Err(ConnectionError::Unexpected(packet)),
        }
    }

    /// Says goodbye.
    pub async fn close(mut self) {
        let mut bytes = BytesMut::with_capacity(4);
        let written = Disconnect.write(&mut bytes).is_ok();
        if written {
            // Whoever does not hear it sees the socket close.
            let _gone = timeout(PATIENCE, self.stream.write_all(&bytes)).await;
        }
    }

    async fn receive(&mut self) -> Result<Packet, ConnectionError> {
        loop {
            match Packet::read(&mut self.incoming, MAX_INCOMING_BYTES) {
                Ok(packet) => {
                    if self.incoming.is_empty() {
                        // Ten thousand idle buffers would be the largest part of a fleet's memory.
                        self.incoming = BytesMut::new();
                    }
                    return Ok(packet);
                }
                Err(mqttbytes::Error::InsufficientBytes(_)) => {}
                Err(error) => return Err(ConnectionError::Malformed(error)),
            }
            let mut bytes = [0; 256];
            match self.stream.read(&mut bytes).await? {
                0 => return Err(ConnectionError::Closed),
                count => self.incoming.extend_from_slice(&bytes[..count]),
            }
        }
    }
}

impl MqttUrl {
    /// With these files, in whose paths `{id}` stands for the vehicle's id. Given for an address without TLS they change nothing.
    #[must_use]
    pub fn with_certificates(mut self, files: TlsFiles) -> Self {
        self.tls = self.tls.map(|_| files);
        self
    }
}

impl From<std::io::Error> for ConnectionError {
    fn from(error: std::io::Error) -> Self {
        Trouble::of(&error).map_or(Self::Io(error), Self::Tls)
    }
}

impl Stream {
    async fn open(url: &MqttUrl, client_id: &str) -> Result<Self, ConnectionError> {
        if let Some(files) = &url.tls {
            let of_client = |path: &Path| PathBuf::from(path.to_string_lossy().replace(ID, client_id));
            let TlsFiles { certificate, private_key, authority } = files;
            let files = TlsFiles {
                certificate: of_client(certificate),
                private_key: of_client(private_key),
                authority: of_client(authority),
            };
            let stream = TlsClient::new(files, &[])?.connect(&url.host, url.port).await?;
            return Ok(Self::Tls(Box::new(stream)));
        }
        let stream = TcpStream::connect((url.host.as_str(), url.port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self::Plain(stream))
    }

    async fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await,
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
        }
    }

    /// May be dropped while it waits: nothing is lost.
    async fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(bytes).await,
            Self::Tls(stream) => stream.read(bytes).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_perhaps_a_port_and_a_login() {
        let parse = |text: &str| text.parse::<MqttUrl>().map(|url| (url.host, url.port, url.login));
        assert_eq!(parse("mqtt://localhost").unwrap(), ("localhost".to_owned(), 1883, None));
        let login = Some(("fleet".to_owned(), "p@ss".to_owned()));
        assert_eq!(parse("mqtt://fleet:p@ss@10.0.0.1:1884/").unwrap(), ("10.0.0.1".to_owned(), 1884, login));
        assert_eq!(parse("mqtt://[::1]:7").unwrap(), ("::1".to_owned(), 7, None));
        let secure: MqttUrl = "mqtts://broker".parse().unwrap();
        assert_eq!((secure.port, secure.tls), (8883, Some(TlsFiles::default())));
        for wrong in ["localhost:1883", "mqtt://", "mqtt://host:port", "mqtt://user@host"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
