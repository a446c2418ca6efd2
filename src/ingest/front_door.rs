//! The embedded MQTT endpoint for vehicles, MQTT 5 and 3.1.1 over TCP. With `front_door_mqtt` all that knows the crate `mqtt5`.
//!
//! Accepts, limits and ends connections. What is said on one of them: `front_door_mqtt`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};
use tracing::{info, warn};

use super::front_door_mqtt::{Door, refuse_for_quota};
use super::intake::Intake;
use crate::metrics::CONNECTIONS;
use crate::settings;
use crate::tasks::{Stop, Tasks};

/// Connections that the kernel has completed and we have not accepted. Full: clients try again after a second.
const BACKLOG: u32 = 4_096;

/// Connections beyond `max_connections` that are told so. Full: closed without a word.
const MAX_REFUSALS: usize = 64;

/// Accepting can fail for want of file descriptors; trying again at once would burn a core.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

/// How often the crate's maps are cleared of clients that are gone.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// Beyond `ack_timeout`, what a connection may take to end after the stop signal.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The endpoint while it runs; it ends with the stop signal of its tasks.
#[derive(Debug, Clone, Copy)]
pub struct FrontDoor {
    address: SocketAddr,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot listen for MQTT on {address}: {source}; choose another with --mqtt or [mqtt] address")]
pub struct FrontDoorError {
    pub address: SocketAddr,
    pub source: io::Error,
}

impl FrontDoor {
    /// Binds, and accepts vehicles until the stop signal. Needs a tokio runtime around the call.
    ///
    /// # Errors
    /// Where the address cannot be bound.
    pub fn open(settings: &settings::Mqtt, intake: Arc<Intake>, tasks: &Tasks) -> Result<Self, FrontDoorError> {
        let wanted = settings.address;
        let failed = |source| FrontDoorError { address: wanted, source };
        let listener = listen(wanted).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let door = Arc::new(Door::new(intake, settings));
        tasks.spawn("front door", accept_until_stopped(listener, door, settings.clone(), tasks.stop()));
        Ok(Self { address })
    }

    /// Really bound, also where port 0 was asked for.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Else a restart waits for the connections of the last run to time out.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn accept_until_stopped(
    listener: TcpListener,
    door: Arc<Door>,
    settings: settings::Mqtt,
    mut stop: Stop,
) -> anyhow::Result<()> {
    let mut connections = JoinSet::new();
    let mut sweep = interval(SWEEP_EVERY);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => admit(stream, peer, &door, settings.max_connections, &mut connections),
                Err(error) => {
                    warn!(%error, "cannot accept a vehicle, will try again");
                    sleep(PAUSE_AFTER_ERROR).await;
                }
            },
            Some(_ended) = connections.join_next() => {}
            _ = sweep.tick() => door.sweep().await,
            () = stop.requested() => break,
        }
        show(connections.len());
    }
    drop(listener);
    door.end_connections();
    let deadline = Instant::now() + settings.ack_timeout.duration() + LAST_WORDS;
    while let Ok(Some(_ended)) = timeout_at(deadline, connections.join_next()).await {}
    if !connections.is_empty() {
        info!(connections = connections.len(), "connections did not end in time and are cut; nothing was promised to them");
    }
    show(0);
    Ok(())
}

fn admit(stream: TcpStream, peer: SocketAddr, door: &Arc<Door>, max_connections: usize, connections: &mut JoinSet<()>) {
    if connections.len() < max_connections {
        connections.spawn(Arc::clone(door).serve(stream, peer));
    } else if connections.len() < max_connections + MAX_REFUSALS {
        connections.spawn(refuse_for_quota(stream));
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53 connections")]
fn show(connections: usize) {
    gauge!(CONNECTIONS).set(connections as f64);
}
