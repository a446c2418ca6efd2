//! Sends what waits in the outbox to the Redis stream `odograph:alerts`: in order, at least once. Who reads it, in which group, and what
//! is acknowledged there is the readers' business (README).

use std::time::{Duration, Instant};

use rand::RngExt;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::outbox::{Outbox, OutboxError};
use crate::{clock, metrics};

pub const STREAM: &str = "odograph:alerts";

/// What the stream keeps, or a little more: Redis cuts whole nodes. About 150 MB of Redis' memory; whoever is further behind asks the API.
const STREAM_MAX_EVENTS: u32 = 100_000;
/// Events of one round trip, about 1.5 kB each.
const BATCH_MAX: u32 = 500;
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// Between two attempts, less up to half by chance.
const RETRY_EVERY: Duration = Duration::from_secs(2);
/// Dead letters are looked for this often where nothing comes.
const IDLE: Duration = Duration::from_mins(1);
const LOG_EVERY: Duration = Duration::from_mins(1);

/// Everything the sender needs; [`RedisStream::run`] works until nothing arrives any more and what was there is sent, or cannot be.
#[derive(Debug)]
pub struct RedisStream {
    pub outbox: Outbox,
    pub client: Client,
    /// Says that there is something new; closed where nothing comes any more.
    pub arrived: watch::Receiver<()>,
    /// Why nothing can be sent at present.
    pub problem: watch::Sender<Option<String>>,
}

#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error(transparent)]
    Redis(#[from] RedisError),
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

impl RedisStream {
    pub async fn run(mut self) {
        let mut connection = None;
        let mut last_logged: Option<Instant> = None;
        loop {
            // Asked first: whatever was put there before the end is sent below, or waits for the next start.
            let is_last = self.arrived.has_changed().is_err();
            self.arrived.mark_unchanged();
            let sent = self.send_all(&mut connection).await;
            self.problem.send_replace(sent.as_ref().err().map(ToString::to_string));
            let wait = match sent {
                _ if is_last => return,
                Ok(()) => {
                    let _closed_or_over = timeout(IDLE, self.arrived.changed()).await;
                    continue;
                }
                Err(error) => {
                    connection = None;
                    if last_logged.is_none_or(|last| last.elapsed() >= LOG_EVERY) {
                        last_logged = Some(Instant::now());
                        tracing::warn!(%error, "alerts cannot be sent to the queue and wait on disk; will retry");
                    }
                    RETRY_EVERY.mul_f64(rand::rng().random_range(0.5..=1.0))
                }
            };
            sleep(wait).await;
        }
    }

    async fn send_all(&self, connection: &mut Option<MultiplexedConnection>) -> Result<(), SendError> {
        if self.outbox.bury(clock::now()).await? > 0 {
            tracing::error!("changes of alerts that waited too long for the queue became dead letters");
        }
        loop {
            self.measure().await?;
            let connection = match connection {
                Some(connection) => connection,
                None => connection.insert(connect(&self.client).await?),
            };
            let events = self.outbox.oldest(BATCH_MAX).await?;
            let Some(last) = events.last() else { return Ok(()) };
            let mut pipeline = redis::pipe();
            // All or none: what a full Redis took of a batch would be sent again with every attempt. One key, so a cluster takes it too.
            pipeline.atomic();
            for each in &events {
                let add = pipeline.cmd("XADD").arg(STREAM).arg("MAXLEN").arg("~").arg(STREAM_MAX_EVENTS).arg("*");
                add.arg("id").arg(&each.id).arg("event").arg(&each.event).ignore();
            }
            () = pipeline.query_async(connection).await?;
            ::metrics::counter!(metrics::ALERTS_QUEUED).increment(events.len() as u64);
            self.outbox.forget_up_to(last.sequence).await?;
        }
    }

    async fn measure(&self) -> Result<(), OutboxError> {
        #[expect(clippy::cast_precision_loss, reason = "a gauge is for looking at")]
        ::metrics::gauge!(metrics::ALERTS_WAITING).set(self.outbox.waiting().await? as f64);
        Ok(())
    }
}

async fn connect(client: &Client) -> Result<MultiplexedConnection, RedisError> {
    let config =
        AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_WITHIN)).set_response_timeout(Some(ANSWER_WITHIN));
    client.get_multiplexed_async_connection_with_config(&config).await
}
