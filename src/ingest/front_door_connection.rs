//! One connection of the front door as everybody but the crate sees it: which MQTT it speaks, whose it is, and how it ends.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::passwords::PasswordProof;
use super::shared_socket::SharedSocket;
use crate::domain::VehicleId;
use crate::tls::{Certificate, Judgement, Peer, TlsConnection};

/// What a connection that was ended may still send us, so that its last words are not cut off by a reset.
const DRAINED_BYTES: u64 = 16 << 20;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Longer reasons are cut: a client may announce how large a packet it takes, and it is not asked here.
const MAX_REASON_BYTES: usize = 120;

/// Reason codes of MQTT 5 in CONNACK, DISCONNECT and PUBACK.
pub(super) mod code {
    pub const UNSPECIFIED: u8 = 0x80;
    pub const CLIENT_IDENTIFIER: u8 = 0x85;
    pub const BAD_USER_NAME_OR_PASSWORD: u8 = 0x86;
    pub const NOT_AUTHORIZED: u8 = 0x87;
    pub const SERVER_BUSY: u8 = 0x89;
    pub const SERVER_SHUTTING_DOWN: u8 = 0x8b;
    pub const PACKET_TOO_LARGE: u8 = 0x95;
    pub const MESSAGE_RATE_TOO_HIGH: u8 = 0x96;
    pub const QUOTA_EXCEEDED: u8 = 0x97;
    pub const QOS_NOT_SUPPORTED: u8 = 0x9b;
}

/// Whose a connection is.
#[derive(Debug)]
pub(super) enum Owner {
    /// Nobody has to prove anything here: a client is the vehicle that its topic names.
    Anybody,
    Vehicle {
        id: VehicleId,
        proof: Proof,
    },
    /// Speaks for any vehicle.
    Service(Certificate),
}

#[derive(Debug)]
pub(super) enum Proof {
    Certificate(Certificate),
    Password(PasswordProof),
}

impl Owner {
    /// `None`: the certificate names nobody.
    pub fn by(certificate: Certificate) -> Option<Self> {
        match certificate.peer.clone() {
            Peer::Vehicle(id) => Some(Self::Vehicle { id, proof: Proof::Certificate(certificate) }),
            Peer::Service(_) => Some(Self::Service(certificate)),
            Peer::Unnamed => None,
        }
    }
}

/// The same socket as the crate's, to say what it cannot and to make sure that it says nothing more.
pub(super) struct Connection {
    pub socket: SharedSocket,
    pub peer: SocketAddr,
    pub speaks_v5: bool,
    /// What TLS proved, until CONNECT says what it is used for.
    pub judgement: Judgement,
    owner: OnceLock<Owner>,
    /// Among those that are open, where it is listed.
    pub number: OnceLock<u64>,
    ended: AtomicBool,
    /// A reason code, 0 for none, and whom it wakes.
    told: AtomicU8,
    bell: Notify,
}

impl Connection {
    pub fn new(opened: Opened, peer: SocketAddr) -> Self {
        let Opened { socket, speaks_v5, judgement } = opened;
        Self {
            socket,
            peer,
            speaks_v5,
            judgement,
            owner: OnceLock::new(),
            number: OnceLock::new(),
            ended: AtomicBool::new(false),
            told: AtomicU8::new(0),
            bell: Notify::new(),
        }
    }

    /// `None`: it has not said yet.
    pub fn owner(&self) -> Option<&Owner> {
        self.owner.get()
    }

    /// Once.
    pub fn belongs_to(&self, owner: Owner) {
        let _a_second_connect_is_refused_by_the_crate = self.owner.set(owner);
    }

    /// Answers CONNECT with a refusal, instead of the crate.
    pub fn refuse(&self, code: u8, reason: &str) {
        if !self.ended.swap(true, Ordering::Relaxed) {
            self.socket.say_and_close(&connack(self.speaks_v5, code, reason));
        }
    }

    /// Disconnects. Whatever the crate writes afterwards fails, which is how it notices.
    ///
    /// To be called from the connection's own task, which is not writing then.
    pub fn end(&self, code: u8) {
        if !self.ended.swap(true, Ordering::Relaxed) {
            let disconnect = [0xe0, 1, code];
            // In 3.1.1 only a client can say it.
            self.socket.say_and_close(if self.speaks_v5 { &disconnect } else { &[] });
        }
    }

    pub fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Has it [ended](Self::end), from any task.
    pub fn tell(&self, code: u8) {
        self.told.store(code, Ordering::Relaxed);
        self.bell.notify_one();
    }

    /// Returns once somebody [told](Self::tell) it to end.
    pub async fn told(&self) -> u8 {
        self.bell.notified().await;
        self.told.load(Ordering::Relaxed)
    }

    /// Reads what is still coming, so that closing is no reset.
    pub async fn drain(&self) {
        let mut rest = self.socket.rest().take(DRAINED_BYTES);
        let _patience_ended = timeout(DRAIN_TIMEOUT, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
    }
}

/// To CONNECT. What 3.1.1 can say is less.
fn connack(speaks_v5: bool, code: u8, reason: &str) -> Vec<u8> {
    const REASON_STRING: u8 = 0x1f;
    if !speaks_v5 {
        let return_code = match code {
            code::CLIENT_IDENTIFIER => 2,
            code::BAD_USER_NAME_OR_PASSWORD => 4,
            code::NOT_AUTHORIZED => 5,
            _ => 3,
        };
        return vec![0x20, 2, 0, return_code];
    }
    let mut end = reason.len().min(MAX_REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let length = u8::try_from(end).expect("cut to 120 bytes");
    let mut packet = if length == 0 { vec![0x20, 3, 0, code, 0] } else { vec![0x20, length + 6, 0, code, length + 3] };
    if length > 0 {
        packet.extend([REASON_STRING, 0, length]);
        packet.extend(&reason.as_bytes()[..end]);
    }
    packet
}

/// A socket on which a client has begun to speak MQTT.
pub(super) struct Opened {
    pub socket: SharedSocket,
    pub speaks_v5: bool,
    pub judgement: Judgement,
}

impl Opened {
    /// Looks at the CONNECT, which is left unread. `None`: the client has gone, or speaks no MQTT.
    pub async fn plain(stream: TcpStream) -> Option<Self> {
        /// A CONNECT comes in one piece. Whoever sends it in crumbs is looked at this often.
        const CRUMBS: Duration = Duration::from_millis(20);
        let mut start = [0; ENOUGH];
        let speaks_v5 = loop {
            let length = stream.peek(&mut start).await.ok().filter(|length| *length > 0)?;
            match level(&start[..length]) {
                Level::NoMqtt => return None,
                Level::Known { is_v5 } => break is_v5,
                Level::Unknown => sleep(CRUMBS).await,
            }
        };
        Some(Self { socket: SharedSocket::plain(stream), speaks_v5, judgement: Judgement::Nobody })
    }

    /// Reads the start of the CONNECT, and gives it to whoever reads the socket next.
    pub async fn secured(mut connection: TlsConnection, judgement: Judgement) -> Option<Self> {
        let mut first = Vec::with_capacity(ENOUGH);
        let speaks_v5 = loop {
            match level(&first) {
                Level::NoMqtt => return None,
                Level::Known { is_v5 } => break is_v5,
                Level::Unknown => {}
            }
            let mut more = [0; ENOUGH];
            let length = connection.read(&mut more[first.len()..]).await.ok().filter(|length| *length > 0)?;
            let from = first.len();
            first.extend(&more[from..from + length]);
        };
        Some(Self { socket: SharedSocket::secured(connection, first), speaks_v5, judgement })
    }
}

/// Fixed header of at most 5 bytes, then the protocol name with its length, then the level.
const ENOUGH: usize = 5 + 6 + 1;

enum Level {
    NoMqtt,
    Known {
        is_v5: bool,
    },
    /// More has to come.
    Unknown,
}

fn level(start: &[u8]) -> Level {
    const CONNECT: u8 = 0x10;
    if start.first().is_some_and(|first| *first != CONNECT) {
        return Level::NoMqtt;
    }
    let after_header = start.iter().skip(1).take(4).position(|byte| byte & 0x80 == 0).map(|last| last + 2);
    match after_header.and_then(|after_header| start.get(after_header + 6)) {
        Some(level) => Level::Known { is_v5: *level >= 5 },
        // A strange CONNECT: the crate refuses it.
        None if start.len() >= ENOUGH => Level::Known { is_v5: false },
        None => Level::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_why_in_mqtt_5_and_by_its_number_in_3_1_1() {
        assert_eq!(connack(true, 0x87, ""), [0x20, 3, 0, 0x87, 0]);
        assert_eq!(connack(true, 0x87, "no"), [0x20, 8, 0, 0x87, 5, 0x1f, 0, 2, b'n', b'o']);
        let long = connack(true, 0x87, &"ä".repeat(100));
        assert_eq!((long.len(), usize::from(long[1])), (128, 126));
        std::str::from_utf8(&long[8..]).unwrap();
        for (code, expected) in [(0x85, 2), (0x86, 4), (0x87, 5), (0x89, 3), (0x97, 3)] {
            assert_eq!(connack(false, code, "why"), [0x20, 2, 0, expected]);
        }
    }
}
