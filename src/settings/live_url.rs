//! Where live state lives besides this process: an address whose password is never shown.

use std::fmt;

use serde::{Deserialize, Serialize};

const MEMORY: &str = "memory:";
const REDIS: &str = "redis://";

/// `memory:`, or `redis://[user:password@]host[:port][/db]`. Shown, logged and serialised without the password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LiveUrl(String);

/// Never has the address in it: there may be a password in that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LiveUrlError {
    #[error("an address of live state begins with \"memory:\" or \"redis://\" (TLS, \"rediss://\", is not built in)")]
    Scheme,
    #[error("{0} is wrong in it; write redis://[user:password@]host[:port][/db], with / and @ in a password as %2F and %40")]
    Part(&'static str),
}

impl LiveUrl {
    /// With the password, for the client. `None`: memory alone.
    #[must_use]
    pub fn redis(&self) -> Option<&str> {
        self.0.starts_with(REDIS).then_some(self.0.as_str())
    }
}

impl Default for LiveUrl {
    fn default() -> Self {
        Self(MEMORY.to_owned())
    }
}

impl TryFrom<String> for LiveUrl {
    type Error = LiveUrlError;

    fn try_from(text: String) -> Result<Self, LiveUrlError> {
        if text == MEMORY {
            return Ok(Self(text));
        }
        let rest = text.strip_prefix(REDIS).ok_or(LiveUrlError::Scheme)?;
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        if !database.is_empty() && database.parse::<u16>().is_err() {
            return Err(LiveUrlError::Part("the number of the database"));
        }
        let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
        let (host, port) = match place.rsplit_once(':') {
            // The colons of an IPv6 address are within its brackets.
            Some((host, port)) if !port.ends_with(']') => (host, port.parse::<u16>().ok()),
            _ => (place, Some(0)),
        };
        let is_host = |character: char| character.is_ascii_alphanumeric() || "-._[]:".contains(character);
        if host.is_empty() || !host.chars().all(is_host) {
            return Err(LiveUrlError::Part("the host"));
        }
        if port.is_none() {
            return Err(LiveUrlError::Part("the port"));
        }
        Ok(Self(text))
    }
}

impl fmt::Display for LiveUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = self.0.strip_prefix(REDIS).and_then(|rest| rest.rsplit_once('@'));
        match secret {
            Some((user, place)) => write!(formatter, "{REDIS}{}:***@{place}", user.split(':').next().unwrap_or_default()),
            None => formatter.write_str(&self.0),
        }
    }
}

impl fmt::Debug for LiveUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

impl From<LiveUrl> for String {
    fn from(url: LiveUrl) -> Self {
        url.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Result<LiveUrl, LiveUrlError> {
        LiveUrl::try_from(text.to_owned())
    }

    #[test]
    fn addresses_of_redis_are_taken_and_everything_else_is_refused_without_saying_the_password() {
        for text in ["redis://h", "redis://h:6379", "redis://ada:secret@h:1/15", "redis://:secret@[::1]:6379/0", "redis://[::1]"]
        {
            assert_eq!(url(text).unwrap().redis(), Some(text), "{text}");
        }
        assert_eq!(url("memory:").unwrap().redis(), None);
        for text in ["", "redis:", "rediss://:secret@h", "http://:secret@h", "memory"] {
            assert_eq!(url(text), Err(LiveUrlError::Scheme), "{text}");
        }
        for text in ["redis://", "redis://:secret@", "redis://h:secret", "redis://:sec/ret@h", "redis://h/secret", "redis://h?x"]
        {
            let error = url(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_password_is_neither_shown_nor_serialised() {
        let url = url("redis://ada:s3cr%40t@h:1/2").unwrap();
        let shown = format!("{url} {url:?} {} {}", String::from(url.clone()), serde_json::to_string(&url).unwrap());
        assert!(!shown.contains("s3cr") && shown.contains("redis://ada:***@h:1/2"), "{shown}");
    }
}
