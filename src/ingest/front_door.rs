//! The embedded MQTT endpoint for vehicles, MQTT 5 and 3.1.1 over TCP and TLS.
//!
//! Accepts, limits and ends connections. What is said on one of them: `front_door_mqtt`; who may say it: `front_door_identity`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};
use tracing::{info, warn};

use super::front_door_mqtt::{Door, Entrance};
use super::intake::Intake;
use super::passwords::PasswordsError;
use crate::metrics::CONNECTIONS;
use crate::settings;
use crate::tasks::{Stop, Tasks};
use crate::tls::TlsError;

/// Connections that the kernel has completed and we have not accepted. Full: clients try again after a second.
const BACKLOG: u32 = 4_096;

/// Connections beyond `max_connections` that are told so. Full: closed without a word.
const MAX_REFUSALS: usize = 64;

/// Accepting can fail for want of file descriptors; trying again at once would burn a core.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

/// How soon somebody is gone whose certificate or password was revoked: files are looked at as often.
const REVISIT_EVERY: Duration = Duration::from_secs(1);

/// How often the crate's maps are cleared of clients that are gone.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// Beyond `ack_timeout`, what a connection may take to end after the stop signal.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The endpoint while it runs; it ends with the stop signal of its tasks.
#[derive(Debug, Clone, Copy)]
pub struct FrontDoor {
    address: SocketAddr,
    tls_address: Option<SocketAddr>,
}

#[derive(Debug, thiserror::Error)]
pub enum FrontDoorError {
    #[error("cannot listen for MQTT on {address}: {source}; choose another with --mqtt, [mqtt] address or [mqtt] tls_address")]
    Address { address: SocketAddr, source: io::Error },
    #[error("[mqtt]: {0}")]
    Tls(#[from] TlsError),
    #[error("[mqtt] passwords: {0}")]
    Passwords(#[from] PasswordsError),
}

/// Where vehicles come in.
struct Listeners {
    plain: TcpListener,
    /// `None`: there is no TLS.
    secured: Option<TcpListener>,
}

impl FrontDoor {
    /// Binds, and accepts vehicles until the stop signal. Needs a tokio runtime around the call.
    ///
    /// # Errors
    /// Where an address cannot be bound, or files of certificates or passwords will not do.
    pub fn open(settings: &settings::Mqtt, intake: Arc<Intake>, tasks: &Tasks) -> Result<Self, FrontDoorError> {
        let (plain, address) = listen(settings.address)?;
        let (secured, tls_address) = settings.tls_address.0.map(listen).transpose()?.unzip();
        let door = Arc::new(Door::new(intake, settings)?);
        let listeners = Listeners { plain, secured };
        tasks.spawn("front door", accept_until_stopped(listeners, door, settings.clone(), tasks.stop()));
        Ok(Self { address, tls_address })
    }

    /// Really bound, also where port 0 was asked for.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// That of TLS. `None`: there is none.
    #[must_use]
    pub const fn tls_address(&self) -> Option<SocketAddr> {
        self.tls_address
    }
}

fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), FrontDoorError> {
    let failed = |source| FrontDoorError::Address { address, source };
    let listener = bind(address).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Else a restart waits for the connections of the last run to time out.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn accept_until_stopped(
    listeners: Listeners,
    door: Arc<Door>,
    settings: settings::Mqtt,
    mut stop: Stop,
) -> anyhow::Result<()> {
    let mut connections = JoinSet::new();
    let mut sweep = interval(SWEEP_EVERY);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut revisit = interval(REVISIT_EVERY);
    revisit.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            (accepted, is_secured) = listeners.accept() => match accepted {
                Ok((stream, peer)) => {
                    let is_full = connections.len() >= settings.max_connections;
                    if connections.len() < settings.max_connections + MAX_REFUSALS {
                        connections.spawn(Arc::clone(&door).serve(stream, peer, Entrance { is_secured, is_full }));
                    }
                }
                Err(error) => {
                    warn!(%error, "cannot accept a vehicle, will try again");
                    sleep(PAUSE_AFTER_ERROR).await;
                }
            },
            Some(_ended) = connections.join_next() => {}
            _ = sweep.tick() => door.sweep().await,
            _ = revisit.tick() => door.revisit(),
            () = stop.requested() => break,
        }
        show(connections.len());
    }
    drop(listeners);
    door.end_connections();
    let deadline = Instant::now() + settings.ack_timeout.duration() + LAST_WORDS;
    while let Ok(Some(_ended)) = timeout_at(deadline, connections.join_next()).await {}
    if !connections.is_empty() {
        info!(connections = connections.len(), "connections did not end in time and are cut; nothing was promised to them");
    }
    show(0);
    Ok(())
}

impl Listeners {
    /// And whether it is to be spoken with over TLS.
    async fn accept(&self) -> (io::Result<(TcpStream, SocketAddr)>, bool) {
        let secured = async {
            match &self.secured {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = self.plain.accept() => (accepted, false),
            accepted = secured => (accepted, true),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53 connections")]
fn show(connections: usize) {
    gauge!(CONNECTIONS).set(connections as f64);
}
