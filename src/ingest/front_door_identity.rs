//! Who a client of the front door is, and what it may do: a vehicle speaks for itself alone, a service for any vehicle. Asked by the crate
//! before it accepts a CONNECT, a publish or a subscription.
//!
//! Once somebody can prove who he is (`mqtt.client_authority`, `mqtt.passwords`), everybody has to.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use mqtt5::broker::auth::{AuthProvider, AuthResult};
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;

use super::front_door_connection::{Connection, Owner, Proof, code};
use super::intake::Intake;
use super::passwords::{LogIn, Passwords};
use super::refusals::Refusals;
use crate::domain::{Reason, Timestamp, VehicleId};
use crate::tls::{Judgement, Peer, Refused, TlsServer};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

tokio::task_local! {
    /// The connection whose task runs: the crate's hooks do not say.
    pub(super) static CONNECTION: Arc<Connection>;
}

pub(super) struct Identity {
    pub intake: Arc<Intake>,
    /// `None`: there is no TLS.
    pub security: Option<Arc<TlsServer>>,
    /// `None`: nobody has a password.
    pub passwords: Option<Passwords>,
    /// Whoever does not prove who he is is refused.
    pub is_required: bool,
    pub refusals: Refusals,
    pub open: OpenConnections,
}

/// Why a CONNECT is not accepted: reason code, kind for the count, and words for the client.
#[derive(Debug, Clone, Copy)]
struct No(u8, Refused, &'static str);

impl Identity {
    /// Once, from the task of the connection, which is not to be served any further. Counts.
    pub fn turn_away(&self, connection: &Connection, name: &str, code: u8, kind: Refused, why: &str) {
        kind.count();
        self.refusals.count(kind, connection.peer, name, why);
        connection.refuse(code, why);
    }

    /// Ends connections whose certificate or password does not count any more.
    pub fn revisit(&self, now: Timestamp) {
        for connection in self.open.all() {
            if let Some((kind, name)) = connection.owner().and_then(|owner| self.objection(owner, now)) {
                kind.count();
                self.refusals.count(
                    kind,
                    connection.peer,
                    name,
                    "it was connected; what it proved itself by does not count any more",
                );
                connection.tell(code::NOT_AUTHORIZED);
            }
        }
    }

    fn objection<'a>(&self, owner: &'a Owner, now: Timestamp) -> Option<(Refused, &'a str)> {
        let (proof, name) = match owner {
            Owner::Anybody => return None,
            Owner::Vehicle { proof: Proof::Password(proof), id } => {
                let holds = self.passwords.as_ref().is_some_and(|passwords| passwords.still_holds(proof));
                return (!holds).then_some((Refused::Revoked, id.as_str()));
            }
            Owner::Vehicle { proof: Proof::Certificate(certificate), id } => (certificate, id.as_str()),
            Owner::Service(certificate) => (certificate, service_name(&certificate.peer)),
        };
        Some((self.security.as_ref()?.objection(proof, now)?, name))
    }

    async fn owner_of(&self, connection: &Connection, connect: &ConnectPacket) -> Result<Owner, No> {
        match &connection.judgement {
            Judgement::Proven(certificate) => {
                let nameless =
                    No(code::NOT_AUTHORIZED, Refused::Stranger, "the certificate names neither a vehicle nor a service");
                return Owner::by(certificate.clone()).ok_or(nameless);
            }
            // Has been answered before there was any MQTT; should it ever come here, it is still nobody.
            Judgement::Unfit(kind, why) => return Err(No(code::NOT_AUTHORIZED, *kind, why)),
            Judgement::Nobody => {}
        }
        match (&self.passwords, &connect.username) {
            (Some(passwords), Some(name)) => match passwords.check(name, connect.password.as_deref().unwrap_or_default()).await {
                LogIn::Proven(proof) => Ok(Owner::Vehicle { id: proof.vehicle_id.clone(), proof: Proof::Password(proof) }),
                LogIn::Wrong => {
                    Err(No(code::BAD_USER_NAME_OR_PASSWORD, Refused::WrongPassword, "user name or password is wrong"))
                }
                LogIn::Busy => Err(No(code::SERVER_BUSY, Refused::Busy, "too many log in at once; come again")),
            },
            _ if self.is_required => Err(No(
                code::NOT_AUTHORIZED,
                Refused::Stranger,
                "a vehicle proves who it is, with a certificate or with user name and password",
            )),
            _ => Ok(Owner::Anybody),
        }
    }

    /// What somebody who is known may not do from the start.
    fn check_entry(&self, owner: &Owner, client_id: &str) -> Result<(), No> {
        let is_own = match owner {
            Owner::Anybody => return Ok(()),
            Owner::Vehicle { id, .. } if !self.intake.is_welcome(id) => {
                return Err(No(code::NOT_AUTHORIZED, Refused::Unregistered, "nobody registered this vehicle"));
            }
            Owner::Vehicle { id, .. } => client_id == id.as_str(),
            Owner::Service(certificate) => {
                let is_vehicle = VehicleId::new(client_id).is_ok_and(|id| self.intake.is_registered(&id));
                client_id == service_name(&certificate.peer) && !is_vehicle
            }
        };
        // With another's it would throw that one off.
        let foreign = No(code::CLIENT_IDENTIFIER, Refused::StolenId, "the client identifier is not the name that was proven");
        if is_own { Ok(()) } else { Err(foreign) }
    }

    fn may_publish(&self, client_id: &str, topic: &str) -> bool {
        let is_for_vehicles = vehicle_of(topic, "alerts").is_some();
        if is_for_vehicles {
            self.intake.count_refused(Reason::TopicUnknown, client_id, "vehicles do not publish alerts");
            return false;
        }
        // A will that was delayed is spoken outside of its connection; it goes nowhere anyhow.
        let Ok(connection) = CONNECTION.try_with(Arc::clone) else { return !self.is_required };
        let sent_for = vehicle_of(topic, "telemetry");
        let may = match connection.owner() {
            Some(Owner::Anybody) => true,
            Some(Owner::Vehicle { id, .. }) => sent_for == Some(id.as_str()),
            Some(Owner::Service(_)) => sent_for.is_some(),
            None => false,
        };
        if !may {
            self.speaks_for_another(&connection, client_id, "the topic is not its own");
            if !connection.speaks_v5 {
                // Its PUBACK cannot say no.
                connection.end(code::NOT_AUTHORIZED);
            }
        }
        may
    }

    pub fn speaks_for_another(&self, connection: &Connection, client_id: &str, detail: &str) {
        Refused::StolenId.count();
        self.refusals.count(Refused::StolenId, connection.peer, client_id, detail);
    }
}

impl AuthProvider for Identity {
    fn authenticate<'a>(&'a self, connect: &'a ConnectPacket, _: SocketAddr) -> Boxed<'a, mqtt5::Result<AuthResult>> {
        Box::pin(async move {
            let connection = CONNECTION.with(Arc::clone);
            let entry = self.owner_of(&connection, connect).await;
            let entry = entry.and_then(|owner| self.check_entry(&owner, &connect.client_id).map(|()| owner));
            match entry {
                Ok(owner) => {
                    let is_known = !matches!(owner, Owner::Anybody);
                    connection.belongs_to(owner);
                    if is_known {
                        self.open.add(&connection);
                    }
                    Ok(AuthResult::success())
                }
                Err(No(code, kind, why)) => {
                    self.turn_away(&connection, &connect.client_id, code, kind, why);
                    // The crate's own answer fails: the connection has been closed to it.
                    Ok(AuthResult::fail(ReasonCode::NotAuthorized))
                }
            }
        })
    }

    /// Asked for wills too, which are routed and do not come to the hook: so nothing may go where vehicles listen.
    fn authorize_publish<'a>(&'a self, client_id: &str, _: Option<&'a str>, topic: &'a str) -> Boxed<'a, bool> {
        let may = self.may_publish(client_id, topic);
        Box::pin(async move { may })
    }

    fn authorize_subscribe<'a>(&'a self, client_id: &str, _: Option<&'a str>, filter: &'a str) -> Boxed<'a, bool> {
        let is_vehicle = CONNECTION.try_with(|connection| match connection.owner() {
            Some(Owner::Vehicle { id, .. }) => id.as_str() == client_id,
            // A client could call itself "+".
            Some(Owner::Anybody) => VehicleId::new(client_id).is_ok(),
            Some(Owner::Service(_)) | None => false,
        });
        let is_own = is_vehicle.unwrap_or(false) && vehicle_of(filter, "alerts") == Some(client_id);
        Box::pin(async move { is_own })
    }
}

fn service_name(peer: &Peer) -> &str {
    match peer {
        Peer::Service(name) => name,
        Peer::Vehicle(_) | Peer::Unnamed => "",
    }
}

/// The id in `vehicles/{id}/{what}`.
pub(super) fn vehicle_of<'a>(topic: &'a str, what: &str) -> Option<&'a str> {
    let id = topic.strip_prefix("vehicles/")?.strip_suffix(what)?.strip_suffix('/')?;
    (!id.is_empty() && !id.contains('/')).then_some(id)
}

/// Those of owners who have proven who they are.
#[derive(Default)]
pub(super) struct OpenConnections {
    next: AtomicU64,
    by_number: Mutex<HashMap<u64, Arc<Connection>>>,
}

impl OpenConnections {
    fn add(&self, connection: &Arc<Connection>) {
        let number = *connection.number.get_or_init(|| self.next.fetch_add(1, Ordering::Relaxed));
        self.by_number.lock().expect("nobody panics while holding it").insert(number, Arc::clone(connection));
    }

    pub fn remove(&self, connection: &Connection) {
        if let Some(number) = connection.number.get() {
            self.by_number.lock().expect("nobody panics while holding it").remove(number);
        }
    }

    fn all(&self) -> Vec<Arc<Connection>> {
        self.by_number.lock().expect("nobody panics while holding it").values().cloned().collect()
    }
}
