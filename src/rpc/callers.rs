//! Which calls who may make, where the server asks for certificates: a vehicle brings its own readings, services do everything else.

use tonic::{Extensions, Status};

use crate::domain::VehicleId;
use crate::tls::{Caller, Peer, Refused};

/// On whose behalf a call is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Authority {
    /// Whoever reaches the port: it is on loopback and asks for no certificate.
    Everybody,
    Service,
    Vehicle(VehicleId),
}

/// # Errors
/// For a certificate that names nobody.
pub(super) fn authority(extensions: &Extensions) -> Result<Authority, Status> {
    match extensions.get::<Caller>().and_then(Caller::peer) {
        None => Ok(Authority::Everybody),
        Some(Peer::Service(_)) => Ok(Authority::Service),
        Some(Peer::Vehicle(id)) => Ok(Authority::Vehicle(id.clone())),
        Some(Peer::Unnamed) => Err(denied(Refused::Stranger, "the certificate names neither a vehicle nor a service".to_owned())),
    }
}

/// For whatever is not a vehicle's.
///
/// # Errors
/// Where a vehicle asks, or nobody in particular.
pub(super) fn only_services(extensions: &Extensions) -> Result<(), Status> {
    match authority(extensions)? {
        Authority::Everybody | Authority::Service => Ok(()),
        Authority::Vehicle(id) => {
            Err(denied(Refused::WrongKind, format!("{id} is a vehicle; this needs the certificate of a service")))
        }
    }
}

impl Authority {
    /// # Errors
    /// Where a vehicle sends what is not its own.
    pub fn may_send_for(&self, vehicle_id: &str) -> Result<(), Status> {
        match self {
            Self::Vehicle(own) if own.as_str() != vehicle_id => {
                Err(denied(Refused::StolenId, format!("the certificate is of {own}, the reading of another vehicle")))
            }
            _ => Ok(()),
        }
    }
}

fn denied(kind: Refused, detail: String) -> Status {
    kind.count();
    Status::permission_denied(detail)
}
