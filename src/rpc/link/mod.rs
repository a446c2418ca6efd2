//! The links between roles in processes of their own: what goes through a channel where they are in one goes over a gRPC stream here, and the
//! roles cannot tell. Every link has bounds, sends again what had no answer after a break, and comes back without anybody's help.
//!
//! ```text
//! ingest ── deliveries ──▶ analytics ── journal ──▶ storage ── follow ──▶ dashboard
//!        ◀── receipts ────           ◀── kept ─────                        │ commands, fences
//!                                   ▲───────────────── control ────────────┘
//! ```

pub mod control;
mod control_forms;
pub mod deliveries;
pub mod deliveries_server;
pub mod follow;
pub mod follow_server;
pub mod journal;
pub mod journal_server;
mod owner;
pub mod shown;

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;

use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use crate::tls::TlsClient;

/// Batches of records and states of vehicles are some 100 kB; one delivery of a vehicle may be larger.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;
/// A peer that is gone without a word is noticed after the sum of these.
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(2);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(3);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A question that is answered at once, or once something is durable.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Whoever lost a peer tries again at most so late.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// At the stop, with a peer that is away: what has no answer by then is sent again by whoever it came from.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// Of what one connection may send before it is read.
const WINDOW_BYTES: u32 = 8 << 20;

/// The way to another process, and why it cannot be gone at present.
#[derive(Debug, Clone)]
pub struct Peer {
    /// What the settings call it, such as `storage`.
    pub name: &'static str,
    pub channel: Channel,
    problem: Arc<watch::Sender<Option<String>>>,
}

impl Peer {
    /// Connects when it is first needed, and again whenever that is. `tls`: speaks it, whatever the address begins with.
    ///
    /// # Errors
    /// Where the address is none.
    pub fn new(name: &'static str, address: &str, tls: Option<TlsClient>) -> Result<Self, tonic::transport::Error> {
        // Were it https, tonic would want to speak TLS itself.
        let plain = address.replacen("https://", "http://", 1);
        let endpoint = Endpoint::from_shared(plain)?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE_AFTER)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .tcp_nodelay(true);
        let not_yet = watch::Sender::new(Some("not connected yet".to_owned()));
        let channel = match tls {
            None => endpoint.connect_lazy(),
            Some(client) => endpoint.connect_with_connector_lazy(service_fn(move |address: Uri| {
                let client = client.clone();
                async move {
                    let (host, port) = (address.host().unwrap_or_default(), address.port_u16().unwrap_or(443));
                    client.connect(host, port).await.map(TokioIo::new)
                }
            })),
        };
        Ok(Self { name, channel, problem: Arc::new(not_yet) })
    }

    /// Why nothing goes through; `None`: it does.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.problem.borrow().clone()
    }

    fn answered(&self) {
        if self.problem.send_replace(None).is_some() {
            tracing::info!(peer = self.name, "connected");
        }
    }

    /// Logs only what is new.
    fn lost(&self, why: &tonic::Status) {
        let why = describe(why);
        let was_known = self.problem.send_replace(Some(why.clone())).is_some();
        if was_known {
            tracing::debug!(peer = self.name, why, "still away");
        } else {
            tracing::warn!(peer = self.name, why, "lost; will connect again");
        }
    }
}

/// In one line, with what a transport error hides in its source.
fn describe(status: &tonic::Status) -> String {
    let mut text = format!("{:?}: {}", status.code(), status.message());
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
