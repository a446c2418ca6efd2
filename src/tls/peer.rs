//! Who the other side is, by its certificate. That the certificate is genuine has been checked before: by the handshake.

use std::net::IpAddr;
use std::path::Path;

use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{TlsError, certificates};
use crate::domain::{Timestamp, VehicleId};

const VEHICLE: &str = "urn:odograph:vehicle:";
const SERVICE: &str = "urn:odograph:service:";

/// Who somebody is. A certificate names a vehicle or a service, never both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    Vehicle(VehicleId),
    Service(Box<str>),
    /// A certificate of our authority without a name that we know, or with several.
    Unnamed,
}

/// What matters of a certificate that was presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    pub peer: Peer,
    pub valid_until: Timestamp,
    /// DER. With the serial number it names the certificate in a revocation list.
    pub issuer: Box<[u8]>,
    pub serial: Box<[u8]>,
}

/// What a certificate in a file says besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFile {
    pub certificate: Certificate,
    pub valid_since: Timestamp,
    /// Host names and IP addresses for which it is.
    pub addresses: Vec<String>,
}

/// All certificates of a file in PEM, at least one, as they stand there. Whether anybody may rely on them is not looked at.
///
/// # Errors
/// Where there is none, or one cannot be read; the message names the file.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateFile>, TlsError> {
    let malformed = || TlsError::Malformed { path: path.to_owned(), problem: "a certificate in it cannot be read".to_owned() };
    let read = |der: &CertificateDer<'_>| CertificateFile::read(der).ok_or_else(malformed);
    certificates(path)?.iter().map(read).collect()
}

impl Certificate {
    /// `None`: it is no X.509 certificate.
    #[must_use]
    pub fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        Some(Self::of(&certificate))
    }

    fn of(certificate: &X509Certificate<'_>) -> Self {
        Self {
            peer: peer(certificate),
            valid_until: moment(certificate.validity().not_after.timestamp()),
            issuer: certificate.issuer().as_raw().into(),
            serial: certificate.raw_serial().into(),
        }
    }
}

impl CertificateFile {
    fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let addresses = alternative_names(&certificate).iter().filter_map(address).collect();
        let valid_since = moment(certificate.validity().not_before.timestamp());
        Some(Self { certificate: Certificate::of(&certificate), valid_since, addresses })
    }
}

const fn moment(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds.saturating_mul(1_000_000))
}

fn alternative_names<'a>(certificate: &'a X509Certificate<'_>) -> &'a [GeneralName<'a>] {
    let names = certificate.subject_alternative_name().ok().flatten().map(|extension| &extension.value.general_names);
    names.map(Vec::as_slice).unwrap_or_default()
}

fn address(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => Some(IpAddr::from(<[u8; 4]>::try_from(*bytes).ok()?).to_string()),
            _ => Some(IpAddr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string()),
        },
        _ => None,
    }
}

/// A URI of ours, else a DNS name that is a vehicle's id, else the common name. More than one of a kind is none: which would it be?
fn peer(certificate: &X509Certificate<'_>) -> Peer {
    let names = alternative_names(certificate);
    let ours: Vec<&str> = names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) if uri.starts_with("urn:odograph:") => Some(*uri),
            _ => None,
        })
        .collect();
    match ours[..] {
        [] => {}
        [uri] => return named(uri),
        _ => return Peer::Unnamed,
    }
    let mut vehicles: Vec<VehicleId> = names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => VehicleId::new(name).ok(),
            _ => None,
        })
        .collect();
    if vehicles.is_empty() {
        let common_names = certificate.subject().iter_common_name();
        vehicles = common_names.filter_map(|name| VehicleId::new(name.as_str().ok()?).ok()).collect();
    }
    match &vehicles[..] {
        [vehicle] => Peer::Vehicle(vehicle.clone()),
        _ => Peer::Unnamed,
    }
}

fn named(uri: &str) -> Peer {
    if let Some(id) = uri.strip_prefix(VEHICLE) {
        return VehicleId::new(id).map_or(Peer::Unnamed, Peer::Vehicle);
    }
    match uri.strip_prefix(SERVICE) {
        Some(name) if !name.is_empty() => Peer::Service(name.into()),
        _ => Peer::Unnamed,
    }
}

/// What `odograph pki` writes into a certificate, so that [`Certificate::read`] finds it there.
impl Peer {
    #[must_use]
    pub fn uri(&self) -> Option<String> {
        match self {
            Self::Vehicle(id) => Some(format!("{VEHICLE}{id}")),
            Self::Service(name) => Some(format!("{SERVICE}{name}")),
            Self::Unnamed => None,
        }
    }
}
