//! Who the other side is, by its certificate. That the certificate is genuine has been checked before: by the handshake.

use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

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

impl Certificate {
    /// `None`: it is no X.509 certificate.
    #[must_use]
    pub fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        Some(Self {
            peer: peer(&certificate),
            valid_until: Timestamp::from_micros(certificate.validity().not_after.timestamp().saturating_mul(1_000_000)),
            issuer: certificate.issuer().as_raw().into(),
            serial: certificate.raw_serial().into(),
        })
    }
}

/// A URI of ours, else a DNS name that is a vehicle's id, else the common name. More than one of a kind is none: which would it be?
fn peer(certificate: &X509Certificate<'_>) -> Peer {
    let names = certificate.subject_alternative_name().ok().flatten().map(|extension| &extension.value.general_names);
    let names = names.map(Vec::as_slice).unwrap_or_default();
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
