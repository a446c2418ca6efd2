//! How messages come over MQTT: the embedded endpoint, and a broker beside it.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Interval, MaybeAddress, TlsFiles, loopback};

/// The embedded endpoint for vehicles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mqtt {
    /// Plain text.
    pub address: SocketAddr,
    /// TLS. Empty: none.
    pub tls_address: MaybeAddress,
    /// Of this server, PEM, and its key.
    pub certificate: PathBuf,
    pub private_key: PathBuf,
    /// A vehicle is who its certificate says, if this authority signed it. Empty: nobody is asked for one.
    pub client_authority: PathBuf,
    /// Revocation lists of that authority, PEM, and ids of vehicles. Empty: none.
    pub revoked: PathBuf,
    /// A vehicle is who its user name says, with the password in this file. Empty: none.
    pub passwords: PathBuf,
    /// Further vehicles are refused with 0x97 (quota exceeded).
    pub max_connections: usize,
    /// A PUBACK that has waited this long ends in a disconnect, never in an acknowledgement.
    pub ack_timeout: Interval,
}

impl Mqtt {
    #[must_use]
    pub fn tls(&self) -> TlsFiles {
        let Self { certificate, private_key, client_authority, .. } = self.clone();
        TlsFiles { certificate, private_key, authority: client_authority }
    }

    /// Whether a client has to prove who it is.
    #[must_use]
    pub fn wants_identities(&self) -> bool {
        self.tls().has_authority() || !self.passwords.as_os_str().is_empty()
    }
}

impl Default for Mqtt {
    fn default() -> Self {
        Self {
            address: loopback(1883),
            tls_address: MaybeAddress::default(),
            certificate: PathBuf::new(),
            private_key: PathBuf::new(),
            client_authority: PathBuf::new(),
            revoked: PathBuf::new(),
            passwords: PathBuf::new(),
            max_connections: 50_000,
            ack_timeout: Interval::from_secs(10),
        }
    }
}

/// An MQTT 5 broker whose messages are taken in too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Broker {
    /// `mqtt://HOST:PORT`, or `mqtts://HOST:PORT` with TLS. Empty: none.
    pub url: String,
    /// Of the broker's certificate. Empty: those that the system trusts.
    pub authority: PathBuf,
    /// Shown to a broker that asks for one.
    pub certificate: PathBuf,
    pub private_key: PathBuf,
    /// The broker keeps what comes under this name while we are away: one name per process.
    pub client_id: String,
    /// Processes with the same group share the messages. Empty: this process gets all of them.
    pub share_group: String,
    /// The one `+` in it stands for the vehicle's id.
    pub topic_filter: String,
    /// Messages that the broker may have sent and we have not acknowledged.
    pub inflight: u16,
    pub username: String,
    /// Its first line is the password.
    pub password_file: PathBuf,
}

impl Broker {
    #[must_use]
    pub fn tls(&self) -> TlsFiles {
        let Self { authority, certificate, private_key, .. } = self.clone();
        TlsFiles { certificate, private_key, authority }
    }
}

impl Default for Broker {
    fn default() -> Self {
        Self {
            url: String::new(),
            authority: PathBuf::new(),
            certificate: PathBuf::new(),
            private_key: PathBuf::new(),
            client_id: "odograph".to_owned(),
            share_group: String::new(),
            topic_filter: "vehicles/+/telemetry".to_owned(),
            inflight: 1_000,
            username: String::new(),
            password_file: PathBuf::new(),
        }
    }
}
