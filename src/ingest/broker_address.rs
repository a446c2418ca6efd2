//! Where the outside broker is and how it is reached: `mqtt://`, or `mqtts://` with the certificates of `[broker]`. Speaks no MQTT:
//! `broker_connection`.

use std::fmt;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::net::TcpStream;

use super::broker_connection::BrokerError;
use super::subscriber::SubscriberError;
use crate::settings;
use crate::tls::{TlsClient, Trouble};

const DEFAULT_PORT: u16 = 1883;
const DEFAULT_TLS_PORT: u16 = 8883;

/// No application protocol is asked for: brokers know none.
const PROTOCOLS: &[&[u8]] = &[];

pub(super) type ReadHalf = Box<dyn AsyncRead + Send + Unpin>;
pub(super) type WriteHalf = Box<dyn AsyncWrite + Send + Unpin>;

pub(super) struct BrokerAddress {
    /// As it stands in the address, in brackets if it is an IPv6 address.
    host: String,
    port: u16,
    /// Certificates are read again when their files change.
    tls: Option<TlsClient>,
}

impl BrokerAddress {
    /// # Errors
    /// Where the address is none, or the certificates cannot be read.
    pub fn new(settings: &settings::Broker) -> Result<Self, SubscriberError> {
        let (is_tls, host, port) = parse(&settings.url)?;
        let tls = is_tls.then(|| TlsClient::new(settings.tls(), PROTOCOLS)).transpose()?;
        Ok(Self { host, port, tls })
    }

    pub const fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Both directions, so that one is not held up by the other.
    pub async fn connect(&self) -> Result<(ReadHalf, WriteHalf), BrokerError> {
        let Some(tls) = &self.tls else {
            let socket = TcpStream::connect(self.to_string()).await?;
            // An acknowledgement must not wait for the one before it.
            socket.set_nodelay(true)?;
            let (read, write) = socket.into_split();
            return Ok((Box::new(read), Box::new(write)));
        };
        let stream = tls.connect(&self.host, self.port).await.map_err(|error| match error.kind() {
            // An MQTT broker hangs up on the first bytes of a handshake.
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => BrokerError::Tls(Trouble::NoTls),
            _ => BrokerError::from(error),
        })?;
        let (read, write) = split(stream);
        Ok((Box::new(read), Box::new(write)))
    }
}

impl fmt::Display for BrokerAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port)
    }
}

/// Whether it is TLS, host and port.
fn parse(url: &str) -> Result<(bool, String, u16), SubscriberError> {
    let wrong = || SubscriberError::Url(url.to_owned());
    let (is_tls, authority) = match (url.strip_prefix("mqtts://"), url.strip_prefix("mqtt://")) {
        (Some(authority), _) => (true, authority),
        (None, Some(authority)) => (false, authority),
        (None, None) => return Err(wrong()),
    };
    let authority = authority.trim_end_matches('/');
    // The last colon of `[::1]` belongs to the host.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
        _ => (authority, if is_tls { DEFAULT_TLS_PORT } else { DEFAULT_PORT }),
    };
    let is_plain = !host.is_empty() && !host.contains(['/', '@']);
    if is_plain { Ok((is_tls, host.to_owned(), port)) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_broker_is_host_and_port() {
        let parsed = |url: &str| parse(url).map(|(is_tls, host, port)| (is_tls, format!("{host}:{port}"))).unwrap();
        assert_eq!(parsed("mqtt://broker:2883"), (false, "broker:2883".to_owned()));
        assert_eq!(parsed("mqtt://broker/"), (false, "broker:1883".to_owned()));
        assert_eq!(parsed("mqtt://[::1]"), (false, "[::1]:1883".to_owned()));
        assert_eq!(parsed("mqtts://broker"), (true, "broker:8883".to_owned()));
        assert_eq!(parsed("mqtts://[::1]:9883/"), (true, "[::1]:9883".to_owned()));
        for wrong in ["broker:1883", "mqtt://", "mqtt://user:secret@broker", "mqtt://broker:port", "mqtts://a@broker", "mqtts://"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
