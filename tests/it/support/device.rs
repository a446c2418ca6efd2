//! One MQTT connection with nothing clever in it: what a test wants to send goes out, what comes back is told.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::v4;
use rumqttc::mqttbytes::{self, QoS as QosV4};
use rumqttc::v5::mqttbytes::{QoS as QosV5, v5};

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
    /// With the reason code, where one was sent (MQTT 5 only).
    Disconnected {
        reason: Option<u8>,
    },
    /// Neither within the time.
    Nothing,
}

#[derive(Debug)]
pub struct Device {
    protocol: Protocol,
    stream: TcpStream,
    buffer: BytesMut,
    last_packet_id: u16,
}

impl Device {
    #[track_caller]
    pub fn connect(address: SocketAddr, client_id: &str, protocol: Protocol) -> Self {
        Self::try_connect(address, client_id, protocol).unwrap_or_else(|error| panic!("{client_id} could not connect: {error}"))
    }

    pub fn try_connect(address: SocketAddr, client_id: &str, protocol: Protocol) -> std::io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut hello = BytesMut::new();
        match protocol {
            Protocol::V311 => {
                v4::Connect::new(client_id).write(&mut hello).unwrap();
            }
            Protocol::V5 => {
                let connect =
                    v5::Connect { keep_alive: 60, client_id: client_id.to_owned(), clean_start: true, properties: None };
                connect.write(&None, &None, &mut hello).unwrap();
            }
        }
        stream.write_all(&hello)?;
        let mut device = Self { protocol, stream, buffer: BytesMut::new(), last_packet_id: 0 };
        match device.packet(ANSWER_WITHIN)? {
            Some(Packet::Accepted) => Ok(device),
            other => Err(std::io::Error::other(format!("{other:?} instead of an accepting CONNACK"))),
        }
    }

    /// The same connection for a second thread.
    pub fn second_half(&self) -> Self {
        let stream = self.stream.try_clone().unwrap();
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
                Ok(Some(Packet::Accepted | Packet::Other)) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Heard::Nothing,
                Ok(None) | Err(_) => return Heard::Disconnected { reason: None },
            }
        }
    }

    /// Ends the connection under the second half, too.
    pub fn close(&self) {
        let _closed_already = self.stream.shutdown(Shutdown::Both);
    }

    /// `None`: the connection has ended.
    fn packet(&mut self, within: Duration) -> std::io::Result<Option<Packet>> {
        self.stream.set_read_timeout(Some(within))?;
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
    Disconnect(u8),
    Other,
}
