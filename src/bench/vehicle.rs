//! One vehicle's MQTT connection with raw frames: publishes without waiting, reads acknowledgements. When to publish: `generator`.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::v4::{Connect, ConnectReturnCode, Packet, Publish};
use rumqttc::mqttbytes::{self, QoS};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::readings::Drive;

/// Far above an acknowledgement; nothing else is expected from the service.
const MAX_INCOMING_BYTES: usize = 4_096;
const KEEP_ALIVE_SECONDS: u16 = 600;

#[derive(Debug, thiserror::Error)]
pub enum VehicleError {
    #[error("could not reach {address}: {source}")]
    Connect { address: SocketAddr, source: std::io::Error },
    #[error("{vehicle_id} was refused: {code:?}")]
    Refused { vehicle_id: String, code: ConnectReturnCode },
    #[error("{vehicle_id} got {packet:?}, which was not expected")]
    Unexpected { vehicle_id: String, packet: Box<Packet> },
    #[error("{vehicle_id} got bytes that are no MQTT: {error:?}")]
    Malformed { vehicle_id: String, error: mqttbytes::Error },
    #[error("the service closed the connection of {vehicle_id}")]
    Closed { vehicle_id: String },
    #[error("connection of {vehicle_id}: {source}")]
    Io { vehicle_id: String, source: std::io::Error },
}

/// A message that waits for its acknowledgement.
#[derive(Debug, Clone, Copy)]
pub struct OnTheWay {
    packet_id: u16,
    /// Microseconds from the start of the run to the moment at which it was due.
    pub due_micros: u64,
}

#[derive(Debug)]
pub struct Vehicle {
    id: String,
    pub drive: Drive,
    pub sequence: u64,
    /// In the order of sending, which is the order of acknowledging.
    pub on_the_way: VecDeque<OnTheWay>,
    last_packet_id: u16,
    publish: Publish,
    writer: OwnedWriteHalf,
    /// What the socket did not take yet.
    unsent: BytesMut,
}

/// Acknowledgements of one vehicle.
#[derive(Debug)]
pub struct Acknowledgements {
    id: String,
    reader: OwnedReadHalf,
    buffer: BytesMut,
}

/// Connects and waits for the CONNACK.
pub async fn connect(address: SocketAddr, id: String, seed: u64) -> Result<(Vehicle, Acknowledgements), VehicleError> {
    let io = |source| VehicleError::Io { vehicle_id: id.clone(), source };
    let mut stream = TcpStream::connect(address).await.map_err(|source| VehicleError::Connect { address, source })?;
    stream.set_nodelay(true).map_err(io)?;
    let mut buffer = BytesMut::new();
    let mut connect = Connect::new(id.clone());
    connect.keep_alive = KEEP_ALIVE_SECONDS;
    connect.write(&mut buffer).expect("a CONNECT of 100 bytes can be written");
    stream.write_all_buf(&mut buffer).await.map_err(io)?;
    let (reader, writer) = stream.into_split();
    let mut acknowledgements = Acknowledgements { id: id.clone(), reader, buffer: BytesMut::new() };
    match acknowledgements.packet().await? {
        Packet::ConnAck(answer) if answer.code == ConnectReturnCode::Success => {}
        Packet::ConnAck(answer) => return Err(VehicleError::Refused { vehicle_id: id, code: answer.code }),
        packet => return Err(VehicleError::Unexpected { vehicle_id: id, packet: Box::new(packet) }),
    }
    // Ten thousand read buffers would be the generator's largest piece of memory: most acknowledgements need none.
    acknowledgements.buffer = BytesMut::new();
    let topic = format!("vehicles/{id}/telemetry");
    let vehicle = Vehicle {
        drive: Drive::new(seed),
        sequence: 0,
        on_the_way: VecDeque::new(),
        last_packet_id: 0,
        publish: Publish::from_bytes(topic, QoS::AtLeastOnce, Bytes::new()),
        writer,
        unsent: BytesMut::new(),
        id,
    };
    Ok((vehicle, acknowledgements))
}

impl Vehicle {
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Sends as much as the socket takes now. `true`: the rest waits for [`Vehicle::send_rest`].
    pub fn publish(&mut self, payload: Bytes, due_micros: u64, scratch: &mut BytesMut) -> Result<bool, VehicleError> {
        self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
        self.on_the_way.push_back(OnTheWay { packet_id: self.last_packet_id, due_micros });
        self.publish.pkid = self.last_packet_id;
        self.publish.payload = payload;
        scratch.clear();
        self.publish.write(scratch).expect("a payload below 256 MiB can be written");
        self.publish.payload = Bytes::new();
        if self.unsent.is_empty() {
            let sent = self.try_write(scratch)?;
            self.unsent.extend_from_slice(&scratch[sent..]);
        } else {
            self.unsent.extend_from_slice(scratch);
        }
        Ok(!self.unsent.is_empty())
    }

    /// `true`: there is still a rest.
    pub fn send_rest(&mut self) -> Result<bool, VehicleError> {
        let rest = self.unsent.split();
        let sent = self.try_write(&rest)?;
        self.unsent = rest;
        bytes::Buf::advance(&mut self.unsent, sent);
        Ok(!self.unsent.is_empty())
    }

    fn try_write(&self, bytes: &[u8]) -> Result<usize, VehicleError> {
        match self.writer.try_write(bytes) {
            Ok(sent) => Ok(sent),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(0),
            Err(source) => Err(VehicleError::Io { vehicle_id: self.id.clone(), source }),
        }
    }

    /// The message that a PUBACK answers; `None` for one that is not (or no longer) on the way.
    pub fn acknowledged(&mut self, packet_id: u16) -> Option<OnTheWay> {
        let position = self.on_the_way.iter().position(|message| message.packet_id == packet_id)?;
        self.on_the_way.remove(position)
    }
}

impl Acknowledgements {
    /// The packet id of the next PUBACK.
    pub async fn next(&mut self) -> Result<u16, VehicleError> {
        match self.packet().await? {
            Packet::PubAck(acknowledgement) => Ok(acknowledgement.pkid),
            packet => Err(VehicleError::Unexpected { vehicle_id: self.id.clone(), packet: Box::new(packet) }),
        }
    }

    async fn packet(&mut self) -> Result<Packet, VehicleError> {
        loop {
            match Packet::read(&mut self.buffer, MAX_INCOMING_BYTES) {
                Ok(packet) => return Ok(packet),
                Err(mqttbytes::Error::InsufficientBytes(_)) => {}
                Err(error) => return Err(VehicleError::Malformed { vehicle_id: self.id.clone(), error }),
            }
            // `read_buf` on a half of the stream sees a short read as "drained" and spares the second system call.
            let read = self.reader.read_buf(&mut self.buffer).await;
            if read.map_err(|source| VehicleError::Io { vehicle_id: self.id.clone(), source })? == 0 {
                return Err(VehicleError::Closed { vehicle_id: self.id.clone() });
            }
        }
    }
}
