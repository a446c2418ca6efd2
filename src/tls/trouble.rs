//! What is wrong where a TLS connection fails, in words that say what to do: libraries name the alert, people need the setting.

use std::fmt;
use std::io;

use tokio_rustls::rustls::{self, AlertDescription, CertificateError, InvalidMessage};

/// As the calling side sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Its certificate is for somebody else.
    NotForHost,
    UnknownAuthority,
    Expired,
    NotYetValid,
    /// What answered speaks another protocol.
    NoTls,
    /// It asks for a certificate of ours, and we showed none.
    CertificateWanted,
    /// It does not take the one that we showed.
    CertificateRefused,
    /// It ended the connection before it said anything: its reason may have been overtaken by the end.
    HungUp,
    /// No version or cipher in common.
    NothingInCommon,
}

impl Trouble {
    /// `None`: it is nothing of TLS, or nothing that more can be said of than the error does.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        match error.get_ref()?.downcast_ref::<rustls::Error>()? {
            rustls::Error::InvalidCertificate(error) => match error {
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Some(Self::NotForHost),
                CertificateError::UnknownIssuer | CertificateError::BadSignature => Some(Self::UnknownAuthority),
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Some(Self::Expired),
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Some(Self::NotYetValid),
                _ => None,
            },
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
                Some(Self::NoTls)
            }
            rustls::Error::AlertReceived(alert) => match alert {
                AlertDescription::CertificateRequired => Some(Self::CertificateWanted),
                AlertDescription::UnknownCA
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateUnknown
                // An authority of the same name that is another one.
                | AlertDescription::DecryptError
                | AlertDescription::AccessDenied => Some(Self::CertificateRefused),
                AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion => Some(Self::NothingInCommon),
                _ => None,
            },
            _ => None,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotForHost => {
                "its certificate is not for this host; write the name that stands in it into the address, or give it a certificate \
                 with this name among its alternative names"
            }
            Self::UnknownAuthority => {
                "its certificate is not signed by the `authority` that is trusted here; name the file of the one that signed it \
                 (without one, the system's authorities are trusted)"
            }
            Self::Expired => "its certificate has expired; renew it, or look at this machine's clock",
            Self::NotYetValid => "its certificate is not valid yet; look at the clocks of both machines",
            Self::NoTls => "what answers there does not speak TLS; use the port that does, or mqtt:// on a private network",
            Self::CertificateWanted => "it asks for a certificate; set `certificate` and `private_key`",
            Self::CertificateRefused => {
                "it refuses the certificate that it was shown; look at its validity, and whether its authority is the one that is trusted there"
            }
            Self::HungUp => {
                "it hung up as soon as the handshake was over; as a rule it wants a certificate, or another one: look at `certificate` and \
                 `private_key`, and at its log"
            }
            Self::NothingInCommon => "it speaks no TLS 1.2 or 1.3 that this program does; raise the version that it offers",
        })
    }
}
