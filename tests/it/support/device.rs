//! One MQTT connection with nothing clever in it: what a test wants to send goes out, what comes back is told.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use odograph::settings::TlsFiles;
use odograph::tls::TlsClient;
use rumqttc::mqttbytes::v4;
use rumqttc::mqttbytes::{self, QoS as QosV4};
use rumqttc::v5::mqttbytes::{QoS as QosV5, v5};
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

/// Longer than `ack_timeout`, so that a disconnect for that reason is seen as one.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(15);
const MAX_INCOMING_BYTES: usize = 65_536;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    V311,
    V5,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    Acknowledged {
        packet_id: u16,
    },
    /// A PUBACK that says no (MQTT 5 only).
    Refused {
        reason: u8,
    },
    /// With the reason code, where one was sent (MQTT 5 only).
    Disconnected {
        reason: Option<u8>,
    },
    /// Neither within the time.
    Nothing,
}

/// How a device introduces itself.
#[derive(Debug, Clone, Copy)]
pub struct Hello<'a> {
    pub client_id: &'a str,
    pub protocol: Protocol,
    pub login: Option<(&'a str, &'a str)>,
    /// Over TLS; with its own certificate, where it has one.
    pub tls: Option<&'a TlsFiles>,
}

/// A CONNECT that was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotLetIn {
    Refused {
        code: u8,
        /// MQTT 5 only.
        reason: String,
    },
    /// Without a word of MQTT.
    Closed(String),
}

impl<'a> Hello<'a> {
    pub fn new(client_id: &'a str) -> Self {
        Self { client_id, protocol: Protocol::V5, login: None, tls: None }
    }

    pub fn with(self, files: &'a TlsFiles) -> Self {
        Self { tls: Some(files), ..self }
    }

    pub fn knowing(self, user_name: &'a str, password: &'a str) -> Self {
        Self { login: Some((user_name, password)), ..self }
    }

    pub fn in_3_1_1(self) -> Self {
        Self { protocol: Protocol::V311, ..self }
    }

    fn connect(&self) -> BytesMut {
        let mut hello = BytesMut::new();
        match self.protocol {
            Protocol::V311 => {
                let mut connect = v4::Connect::new(self.client_id);
                if let Some((user_name, password)) = self.login {
                    connect.set_login(user_name, password);
                }
                connect.write(&mut hello).unwrap();
            }
            Protocol::V5 => {
                let connect =
                    v5::Connect { keep_alive: 60, client_id: self.client_id.to_owned(), clean_start: true, properties: None };
                let login = self.login.map(|(user_name, password)| v5::Login::new(user_name, password));
                connect.write(&None, &login, &mut hello).unwrap();
            }
        }
        hello
    }
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(into),
            Self::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

#[derive(Debug)]
pub struct Device {
    protocol: Protocol,
    stream: Stream,
    buffer: BytesMut,
    last_packet_id: u16,
}

impl Device {
    #[track_caller]
    pub fn connect(address: SocketAddr, client_id: &str, protocol: Protocol) -> Self {
        Self::try_connect(address, client_id, protocol).unwrap_or_else(|error| panic!("{client_id} could not connect: {error}"))
    }

    pub fn try_connect(address: SocketAddr, client_id: &str, protocol: Protocol) -> std::io::Result<Self> {
        let hello = Hello { protocol, ..Hello::new(client_id) };
        Self::open(address, &hello).map_err(|refused| std::io::Error::other(format!("{refused:?}")))
    }

    pub fn open(address: SocketAddr, hello: &Hello<'_>) -> Result<Self, NotLetIn> {
        let closed = |error: std::io::Error| NotLetIn::Closed(error.to_string());
        let socket = TcpStream::connect(address).map_err(closed)?;
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(ANSWER_WITHIN)).unwrap();
        let mut stream = match hello.tls {
            None => Stream::Plain(socket),
            Some(files) => {
                let config = TlsClient::new(files.clone(), &[]).unwrap().config();
                let session = ClientConnection::new(config, "127.0.0.1".try_into().unwrap()).unwrap();
                Stream::Tls(Box::new(StreamOwned::new(session, socket)))
            }
        };
        // It may be closed before all of it is sent; what it said is read all the same.
        let _refused = stream.write_all(&hello.connect());
        let mut head = [0; 2];
        stream.read_exact(&mut head).map_err(closed)?;
        let mut rest = vec![0; usize::from(head[1])];
        stream.read_exact(&mut rest).map_err(closed)?;
        assert_eq!(head[0], 0x20, "{rest:x?} instead of a CONNACK");
        let code = rest[1];
        if code == 0 {
            return Ok(Self { protocol: hello.protocol, stream, buffer: BytesMut::new(), last_packet_id: 0 });
        }
        // The only property of a refusal.
        let reason = rest.get(6..).map(|text| String::from_utf8(text.to_vec()).unwrap()).unwrap_or_default();
        Err(NotLetIn::Refused { code, reason })
    }

    /// The certificate of the service, as it was shown. `None`: not over TLS.
    pub fn certificate_of_the_service(&self) -> Option<Vec<u8>> {
        match &self.stream {
            Stream::Plain(_) => None,
            Stream::Tls(stream) => Some(stream.conn.peer_certificates()?.first()?.to_vec()),
        }
    }

    /// The same connection for a second thread.
    pub fn second_half(&self) -> Self {
        let Stream::Plain(socket) = &self.stream else { panic!("one thread at a time speaks TLS") };
        let stream = Stream::Plain(socket.try_clone().unwrap());
        Self { protocol: self.protocol, stream, buffer: BytesMut::new(), last_packet_id: 0 }
    }

    /// `QoS` 1; does not wait. Returns the packet id.
    pub fn send(&mut self, topic: &str, payload: &[u8]) -> std::io::Result<u16> {
        self.send_with(topic, payload, None)
    }

    /// With an MQTT 5 content type.
    pub fn send_with(&mut self, topic: &str, payload: &[u8], content_type: Option<&str>) -> std::io::Result<u16> {
        let packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
        self.last_packet_id = packet_id;
        let mut frame = BytesMut::new();
        let payload = Bytes::copy_from_slice(payload);
        match self.protocol {
            Protocol::V311 => {
                let mut publish = v4::Publish::from_bytes(topic, QosV4::AtLeastOnce, payload);
                publish.pkid = packet_id;
                publish.write(&mut frame).unwrap();
            }
            Protocol::V5 => {
                let properties = content_type.map(|content_type| v5::PublishProperties {
                    content_type: Some(content_type.to_owned()),
                    ..v5::PublishProperties::default()
                });
                let mut publish = v5::Publish::new(topic, QosV5::AtLeastOnce, payload, properties);
                publish.pkid = packet_id;
                publish.write(&mut frame).unwrap();
            }
        }
        self.stream.write_all(&frame)?;
        Ok(packet_id)
    }

    /// Any bytes at all.
    pub fn send_raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends and waits for what the service says to it.
    pub fn publish(&mut self, topic: &str, payload: &[u8]) -> Heard {
        match self.send(topic, payload) {
            Ok(_) => self.hear(ANSWER_WITHIN),
            // The service closed while we were still sending; it may have said why.
            Err(_) => match self.hear(Duration::from_secs(1)) {
                Heard::Nothing => Heard::Disconnected { reason: None },
                heard => heard,
            },
        }
    }

    pub fn hear(&mut self, within: Duration) -> Heard {
        loop {
            match self.packet(within) {
                Ok(Some(Packet::Acknowledged(packet_id))) => return Heard::Acknowledged { packet_id },
                Ok(Some(Packet::Disconnect(reason))) => return Heard::Disconnected { reason: Some(reason) },
                Ok(Some(Packet::Refused(reason))) => return Heard::Refused { reason },
                Ok(Some(Packet::Accepted | Packet::Other)) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Heard::Nothing,
                Ok(None) | Err(_) => return Heard::Disconnected { reason: None },
            }
        }
    }

    /// Ends the connection under the second half, too.
    pub fn close(&self) {
        let _closed_already = self.stream.socket().shutdown(Shutdown::Both);
    }

    /// `None`: the connection has ended.
    fn packet(&mut self, within: Duration) -> std::io::Result<Option<Packet>> {
        self.stream.socket().set_read_timeout(Some(within))?;
        loop {
            if let Some(packet) = self.buffered()? {
                return Ok(Some(packet));
            }
            let mut bytes = [0; 4_096];
            match self.stream.read(&mut bytes)? {
                0 => return Ok(None),
                read => self.buffer.extend_from_slice(&bytes[..read]),
            }
        }
    }

    fn buffered(&mut self) -> std::io::Result<Option<Packet>> {
        // MQTT 5 lets a DISCONNECT leave out its properties, and its reason too, which rumqttc's decoder does not know.
        match self.buffer[..] {
            [0xE0, 0, ..] => return Ok(Some(Packet::Disconnect(0))),
            [0xE0, 1, reason, ..] => return Ok(Some(Packet::Disconnect(reason))),
            // Its codes are an enumeration to rumqttc.
            [0x40, length, _, _, reason, ..] if length > 2 && reason >= 0x80 && self.buffer.len() >= 2 + usize::from(length) => {
                self.buffer.advance(2 + usize::from(length));
                return Ok(Some(Packet::Refused(reason)));
            }
            _ => {}
        }
        match self.protocol {
            Protocol::V311 => match v4::Packet::read(&mut self.buffer, MAX_INCOMING_BYTES) {
                Ok(v4::Packet::PubAck(answer)) => Ok(Some(Packet::Acknowledged(answer.pkid))),
                Ok(v4::Packet::ConnAck(answer)) if answer.code == v4::ConnectReturnCode::Success => Ok(Some(Packet::Accepted)),
                Ok(_) => Ok(Some(Packet::Other)),
                Err(mqttbytes::Error::InsufficientBytes(_)) => Ok(None),
                Err(error) => Err(std::io::Error::other(format!("{error:?}"))),
            },
            Protocol::V5 => match v5::Packet::read(&mut self.buffer, None) {
                Ok(v5::Packet::PubAck(answer)) => Ok(Some(Packet::Acknowledged(answer.pkid))),
                Ok(v5::Packet::ConnAck(answer)) if answer.code == v5::ConnectReturnCode::Success => Ok(Some(Packet::Accepted)),
                Ok(v5::Packet::Disconnect(answer)) => Ok(Some(Packet::Disconnect(answer.reason_code as u8))),
                Ok(_) => Ok(Some(Packet::Other)),
                Err(rumqttc::v5::mqttbytes::Error::InsufficientBytes(_)) => Ok(None),
                Err(error) => Err(std::io::Error::other(format!("{error:?}"))),
            },
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Packet {
    Accepted,
    Acknowledged(u16),
    Refused(u8),
    Disconnect(u8),
    Other,
}
