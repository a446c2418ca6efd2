//! Copies live state into Redis, for other processes, and tells them what changed. Never reads it back: memory is where this process looks.
//!
//! The mirror follows [`LiveState`] by a cursor, which is a map where the newest wins: whatever Redis does, ingestion waits for nothing
//! and nothing piles up. A vehicle that changed often meanwhile is written once, as it is then.
//!
//! Keys: `odograph:vehicle:{ID}`, with the braces, is a `VehicleState` of `mirror.proto`. A cluster finds the place of a key by what is
//! within the braces, and no command names two vehicles. The channel `odograph:changes` carries `Changes`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError};
use tokio::sync::watch;
use tokio::time::sleep;

use super::{Cursor, LiveState};
use crate::domain::{Assessment, SignalTable};
use crate::metrics;
use crate::tasks::Stop;
use crate::wire::mirror::{StateEncoder, push_change};

const CHANGES: &str = "odograph:changes";

/// Vehicles of one pipeline. More gains nothing (FACTS: 315,000 a second at this size), and a reader of the channel has to hold it.
const BATCH_MAX: usize = 1_000;
/// Between two looks where everything is written: a follower elsewhere is so far behind a page here.
const PAUSE: Duration = Duration::from_millis(100);
/// A Redis that is stopped and not dead is noticed by this.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(3);
pub(super) const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// Between two attempts, less up to half by chance. With the two times above it stays far below the 30 s within which state is rebuilt.
const RETRY_EVERY: Duration = Duration::from_secs(2);
const LOG_EVERY: Duration = Duration::from_mins(1);
/// A marker is renewed with every look; those of processes that are gone vanish.
const MARKER_SECONDS: u32 = 60;

/// Everything the mirror needs; [`Mirror::run`] works until the process stops.
#[derive(Debug)]
pub struct Mirror {
    pub live: Arc<LiveState>,
    pub table: Arc<SignalTable>,
    pub client: Client,
    /// Why nothing can be written at present.
    pub problem: watch::Sender<Option<String>>,
    pub stop: Stop,
}

/// # Errors
/// Where `url` is none that the client understands.
pub fn client(url: &str) -> Result<Client, RedisError> {
    Client::open(url)
}

impl Mirror {
    pub async fn run(mut self) {
        let mut stop = self.stop.clone();
        let mut last_logged: Option<Instant> = None;
        loop {
            let failed = tokio::select! {
                () = stop.requested() => return,
                failed = self.follow() => match failed { Err(error) => error },
            };
            ::metrics::gauge!(metrics::LIVE_MIRROR_CONNECTED).set(0.0);
            if last_logged.is_none_or(|last| last.elapsed() >= LOG_EVERY) {
                last_logged = Some(Instant::now());
                tracing::warn!(error = %failed, "live state cannot be written to Redis, ingestion goes on; will retry");
            }
            self.problem.send_replace(Some(failed.to_string()));
            let wait = RETRY_EVERY.mul_f64(rand::rng().random_range(0.5..=1.0));
            tokio::select! {
                () = stop.requested() => return,
                () = sleep(wait) => {}
            }
        }
    }

    /// Ends with the first failure. Nobody knows what Redis has when a connection is new (it may have started again from an old file, or
    /// be another one), or when our marker is gone from it (it was flushed): then all vehicles are written.
    async fn follow(&mut self) -> Result<Infallible, RedisError> {
        let mut connection = connect(&self.client).await?;
        let marker = format!("odograph:mirror:{:016x}", rand::rng().random::<u64>());
        let mut batch = Batch::new(&self.table);
        loop {
            // First the marker, then the states: a flush in between takes the marker too.
            () = redis::cmd("SET").arg(&marker).arg(1).arg("EX").arg(MARKER_SECONDS).query_async(&mut connection).await?;
            let started = Instant::now();
            let (mut cursor, mut written, mut is_rebuilt) = (Cursor::default(), 0, false);
            loop {
                let changed = self.live.changes(&mut cursor, BATCH_MAX);
                let is_all = changed.len() < BATCH_MAX;
                let is_marked = batch.write(&marker, &changed, &mut connection).await?;
                written += changed.len();
                ::metrics::counter!(metrics::LIVE_MIRRORED).increment(changed.len() as u64);
                if !is_marked {
                    tracing::info!("Redis has lost what was written to it; all vehicles are written again");
                    break;
                }
                if is_all && !is_rebuilt {
                    is_rebuilt = true;
                    tracing::info!(vehicles = written, seconds = started.elapsed().as_secs_f64(), "Redis has all of live state");
                    ::metrics::gauge!(metrics::LIVE_MIRROR_CONNECTED).set(1.0);
                    self.problem.send_replace(None);
                }
                if is_all {
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

async fn connect(client: &Client) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_WITHIN))
        .set_response_timeout(Some(ANSWER_WITHIN))
        // A batch is sent whole, not in packets that wait for each other.
        .set_pipeline_buffer_size(BATCH_MAX);
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// Buffers that are used again.
struct Batch {
    encoder: StateEncoder,
    state: Vec<u8>,
    changes: Vec<u8>,
}

impl Batch {
    fn new(table: &Arc<SignalTable>) -> Self {
        Self { encoder: StateEncoder::new(Arc::clone(table)), state: Vec::new(), changes: Vec::new() }
    }

    /// In one round trip. False: the marker is gone.
    async fn write(
        &mut self,
        marker: &str,
        changed: &[Arc<Assessment>],
        connection: &mut MultiplexedConnection,
    ) -> Result<bool, RedisError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("EXPIRE").arg(marker).arg(MARKER_SECONDS);
        self.changes.clear();
        for assessment in changed {
            self.state.clear();
            self.encoder.state(assessment, &mut self.state);
            let key = format!("odograph:vehicle:{{{}}}", assessment.reading.vehicle_id);
            pipeline.cmd("SET").arg(key).arg(&self.state[..]).ignore();
            push_change(&self.state, &mut self.changes);
        }
        if !changed.is_empty() {
            pipeline.cmd("PUBLISH").arg(CHANGES).arg(&self.changes[..]).ignore();
        }
        let (is_marked,): (bool,) = pipeline.query_async(connection).await?;
        Ok(is_marked)
    }
}
