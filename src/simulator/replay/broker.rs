//! The address of an MQTT receiver, as people write it: `mqtt://user:password@host:1883`.

use std::fmt;
use std::str::FromStr;

const DEFAULT_PORT: u16 = 1883;

/// `Display` leaves the password out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    pub host: String,
    pub port: u16,
    pub login: Option<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    #[error("replay speaks plain MQTT: write mqtt://HOST:PORT instead of {scheme}://")]
    Scheme { scheme: String },
    #[error("{0:?} names no host; write mqtt://HOST:PORT")]
    NoHost(String),
    #[error("{0:?} is no port between 1 and 65535")]
    Port(String),
}

impl FromStr for Broker {
    type Err = BrokerError;

    fn from_str(text: &str) -> Result<Self, BrokerError> {
        let rest = match text.split_once("://") {
            None | Some(("mqtt" | "tcp", _)) => text.split_once("://").map_or(text, |(_, rest)| rest),
            Some((scheme, _)) => return Err(BrokerError::Scheme { scheme: scheme.to_owned() }),
        };
        let rest = rest.split('/').next().unwrap_or_default();
        let (login, address) = match rest.rsplit_once('@') {
            Some((login, address)) => (login.split_once(':').or(Some((login, ""))), address),
            None => (None, rest),
        };
        // A colon inside of brackets belongs to an IPv6 address.
        let port_at = address.rfind(':').filter(|at| address.rfind(']').is_none_or(|bracket| bracket < *at));
        let (host, port) = match port_at {
            Some(at) => (&address[..at], Some(&address[at + 1..])),
            None => (address, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(BrokerError::NoHost(address.to_owned()));
        }
        let port = match port {
            Some(port) => match port.parse() {
                Ok(number) if number > 0 => number,
                _ => return Err(BrokerError::Port(port.to_owned())),
            },
            None => DEFAULT_PORT,
        };
        let login = login.map(|(user, password)| (user.to_owned(), password.to_owned()));
        Ok(Self { host: host.to_owned(), port, login })
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "mqtt://[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "mqtt://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_their_parts() {
        let full: Broker = "mqtt://kit:s:cret@[::1]:18830".parse().unwrap();
        assert_eq!((full.host.as_str(), full.port), ("::1", 18830));
        assert_eq!(full.login, Some(("kit".to_owned(), "s:cret".to_owned())));
        assert_eq!(full.to_string(), "mqtt://[::1]:18830", "no password");
        let short: Broker = "localhost".parse().unwrap();
        assert_eq!((short.host.as_str(), short.port, short.login), ("localhost", 1883, None));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        assert!(matches!("mqtts://host".parse::<Broker>(), Err(BrokerError::Scheme { .. })));
        assert!(matches!("mqtt://:1883".parse::<Broker>(), Err(BrokerError::NoHost(_))));
        assert!(matches!("mqtt://host:99999".parse::<Broker>(), Err(BrokerError::Port(_))));
        assert!(matches!("mqtt://host:0".parse::<Broker>(), Err(BrokerError::Port(_))));
    }
}
