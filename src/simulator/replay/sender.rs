//! Sends the messages of one track, each until it is acknowledged. Reconnects and sends again what was on the way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rumqttc::mqttbytes::v4::ConnectReturnCode;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tracing::{info, warn};

use super::Progress;
use super::messages::{Message, Messages};
use crate::simulator::mqtt_vehicle::{Connection, ConnectionError, MqttUrl};
use crate::tasks::Stop;
use crate::wire::history::HistoryError;

/// Messages on the way at once. Full: no row is read until the oldest is acknowledged. Receivers commonly allow 20 to 64.
const WINDOW: usize = 20;
/// So long without an acknowledgement since the first failure, and the replay ends.
const GIVE_UP_AFTER: Duration = Duration::from_mins(1);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Histories have pauses of hours; that a receiver is gone shows when it acknowledges nothing.
const NO_KEEP_ALIVE: Duration = Duration::ZERO;
/// With messages on the way and nothing sent or heard for so long, the connection is dead. Receivers answer or hang up within 10 s.
const SILENCE: Duration = Duration::from_secs(15);
/// After the stop signal, what is on the way may still be acknowledged for this long.
const LAST_WAIT: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("could not send to {host}:{port}: {source}")]
    Connection { host: String, port: u16, source: ConnectionError },
    #[error(transparent)]
    History(#[from] HistoryError),
}

/// Why a connection is no longer used.
enum End {
    Finished,
    Stopped,
    Lost(ConnectionError),
}

/// Whether another try may succeed.
const fn is_transient(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::TooSlow(_) | ConnectionError::Closed | ConnectionError::Io(_) => true,
        ConnectionError::Refused(code) => matches!(code, ConnectReturnCode::ServiceUnavailable),
        ConnectionError::Unexpected(_)
        | ConnectionError::Malformed(_)
        | ConnectionError::Tls(_)
        | ConnectionError::Certificates(_) => false,
    }
}

pub(super) struct Sender {
    messages: Messages,
    receiver: Arc<MqttUrl>,
    progress: Arc<Progress>,
    /// In the order of sending; at most [`WINDOW`].
    on_the_way: VecDeque<OnTheWay>,
    last_packet_id: u16,
    started: Option<Instant>,
    /// The first failure since the last acknowledgement.
    failing_since: Option<Instant>,
}

struct OnTheWay {
    packet_id: u16,
    message: Message,
    acknowledged: bool,
}

impl Sender {
    pub(super) const fn new(messages: Messages, receiver: Arc<MqttUrl>, progress: Arc<Progress>) -> Self {
        Self { messages, receiver, progress, on_the_way: VecDeque::new(), last_packet_id: 0, started: None, failing_since: None }
    }

    pub(super) async fn run(mut self, mut stop: Stop) -> Result<(), SendError> {
        let mut pause = FIRST_PAUSE;
        if self.messages.next_due()?.is_none() {
            return Ok(());
        }
        while !stop.is_requested() {
            let error = match Connection::open(&self.receiver, self.messages.client_id(), NO_KEEP_ALIVE).await {
                Ok(connection) => match self.use_connection(connection, &mut stop).await? {
                    End::Finished | End::Stopped => return Ok(()),
                    End::Lost(error) => error,
                },
                Err(error) => error,
            };
            if self.failing_since.is_none() {
                pause = FIRST_PAUSE;
            }
            let failing_since = *self.failing_since.get_or_insert_with(Instant::now);
            if !is_transient(&error) || failing_since.elapsed() > GIVE_UP_AFTER {
                let (host, port) = (self.receiver.host.clone(), self.receiver.port);
                return Err(SendError::Connection { host, port, source: error });
            }
            self.progress.reconnects.fetch_add(1, Ordering::Relaxed);
            warn!(client = self.messages.client_id(), error = %error, ?pause, "connection lost or not made, will try again");
            tokio::select! {
                () = sleep(pause.mul_f64(rand::random_range(0.5..1.0))) => {}
                () = stop.requested() => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Ok(())
    }

    /// Sends until everything is acknowledged or the connection ends.
    async fn use_connection(&mut self, mut connection: Connection, stop: &mut Stop) -> Result<End, HistoryError> {
        if let Err(error) = self.send_again(&mut connection).await {
            return Ok(End::Lost(error));
        }
        let started = *self.started.get_or_insert_with(Instant::now);
        loop {
            let due = self.messages.next_due()?;
            if due.is_none() && self.on_the_way.is_empty() {
                connection.close().await;
                return Ok(End::Finished);
            }
            let has_room = self.on_the_way.len() < WINDOW;
            let result = tokio::select! {
                biased;
                () = stop.requested() => {
                    self.wait_for_the_rest(&mut connection).await;
                    connection.close().await;
                    return Ok(End::Stopped);
                }
                acknowledged = connection.acknowledged() => acknowledged.map(|packet_id| self.acknowledge(packet_id)),
                () = sleep_until(started + due.unwrap_or_default()), if has_room && due.is_some() => {
                    match self.messages.next(started.elapsed())? {
                        Some(message) => self.send(&mut connection, message).await,
                        None => Ok(()),
                    }
                }
                () = sleep(SILENCE), if !self.on_the_way.is_empty() => Err(ConnectionError::TooSlow(SILENCE)),
            };
            if let Err(error) = result {
                return Ok(End::Lost(error));
            }
        }
    }

    async fn send(&mut self, connection: &mut Connection, message: Message) -> Result<(), ConnectionError> {
        // At most WINDOW ids are taken, so the next one in the round is always free; 0 is not allowed.
        self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
        let packet_id = self.last_packet_id;
        self.progress.sent.fetch_add(message.readings, Ordering::Relaxed);
        let (topic, payload) = (message.topic.clone(), message.payload.clone());
        self.on_the_way.push_back(OnTheWay { packet_id, message, acknowledged: false });
        connection.publish(&topic, packet_id, payload, false).await
    }

    /// What was on the way when the connection was lost goes first and in order: the receiver knows duplicates.
    async fn send_again(&mut self, connection: &mut Connection) -> Result<(), ConnectionError> {
        let waiting = self.on_the_way.iter().filter(|sent| !sent.acknowledged);
        let count = waiting.clone().count();
        if count > 0 {
            info!(client = self.messages.client_id(), messages = count, "sending again what was not acknowledged");
            self.progress.messages_resent.fetch_add(count as u64, Ordering::Relaxed);
        }
        for sent in waiting {
            connection.publish(&sent.message.topic, sent.packet_id, sent.message.payload.clone(), true).await?;
        }
        Ok(())
    }

    /// Moves the file's mark only over what is acknowledged without a gap.
    fn acknowledge(&mut self, packet_id: u16) {
        self.failing_since = None;
        // A second acknowledgement, of a message that was sent twice, finds nothing.
        if let Some(sent) = self.on_the_way.iter_mut().find(|sent| sent.packet_id == packet_id) {
            sent.acknowledged = true;
        }
        while let Some(done) = self.on_the_way.pop_front_if(|sent| sent.acknowledged) {
            self.progress.acknowledged[done.message.file].fetch_add(done.message.readings, Ordering::Relaxed);
        }
    }

    async fn wait_for_the_rest(&mut self, connection: &mut Connection) {
        let until = Instant::now() + LAST_WAIT;
        while !self.on_the_way.is_empty() {
            let Ok(Ok(packet_id)) = timeout_at(until, connection.acknowledged()).await else { return };
            self.acknowledge(packet_id);
        }
    }
}
