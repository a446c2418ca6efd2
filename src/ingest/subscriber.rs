//! Takes in what an outside MQTT 5 broker has for us: a persistent session, acknowledged by hand, in order, once durable.
//!
//! Each connection is an epoch of its own. What it has not acknowledged when it ends is forgotten here and sent again by the broker,
//! so no acknowledgement can reach a connection it does not belong to.
//!
//! ```text
//! broker ─▶ take (decode, lanes, in order) ─in hand─▶ acknowledge (in order, once durable) ─▶ broker
//! ```

use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    Connect, ConnectProperties, Filter, Login, Packet, Publish, RetainForwardRule, SubscribeReasonCode,
};
use tokio::sync::mpsc;
use tokio::time::{interval, sleep};
use tracing::{info, warn};

use super::backoff::Backoff;
use super::broker_address::BrokerAddress;
use super::broker_connection::{BrokerError, KEEP_ALIVE, MAX_PACKET_BYTES, Reader, Writer, open};
use super::intake::{Intake, Message, NotPromised, Pending};
use super::topic_filter::{TopicFilter, TopicFilterError};
use crate::domain::{Reason, Source};
use crate::metrics::BROKER_CONNECTED;
use crate::settings;
use crate::tasks::{Stop, Tasks};
use crate::tls::TlsError;
use crate::wire::Refusal;
use crate::wire::decode::Format;

/// How long the broker keeps our session while we are away.
pub(super) const SESSION_EXPIRY: Duration = Duration::from_hours(7 * 24);

/// After the stop signal, what is in hand may take this long to become durable.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Acknowledgements that are ready together are written together, up to this many bytes.
const FLUSH_BYTES: usize = 16 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum SubscriberError {
    #[error("[broker] url is {0:?}; mqtt://HOST:PORT or mqtts://HOST:PORT is expected")]
    Url(String),
    #[error("[broker] {0}")]
    Tls(#[from] TlsError),
    #[error(transparent)]
    TopicFilter(#[from] TopicFilterError),
    #[error("[broker] inflight must not be 0")]
    Inflight,
    #[error("[broker] password_file {}: {source}", path.display())]
    Password { path: PathBuf, source: io::Error },
}

/// Subscribes until the stop signal; does nothing where no broker is set. Needs a tokio runtime around the call.
///
/// # Errors
/// Where the settings cannot work. A broker that is not there is waited for.
pub fn start(settings: &settings::Broker, intake: Arc<Intake>, tasks: &Tasks) -> Result<(), SubscriberError> {
    if settings.url.is_empty() {
        return Ok(());
    }
    let subscriber = Subscriber {
        address: BrokerAddress::new(settings)?,
        connect: connect(settings)?,
        login: login(settings)?,
        filter: TopicFilter::parse(&settings.topic_filter)?,
        subscription: match settings.share_group.as_str() {
            "" => settings.topic_filter.clone(),
            group => format!("$share/{group}/{}", settings.topic_filter),
        },
        inflight: usize::from(settings.inflight),
        intake,
    };
    let stop = tasks.stop();
    tasks.spawn("subscriber", async move {
        subscriber.run(stop).await;
        Ok(())
    });
    Ok(())
}

struct Subscriber {
    address: BrokerAddress,
    connect: Connect,
    login: Option<Login>,
    filter: TopicFilter,
    subscription: String,
    inflight: usize,
    intake: Arc<Intake>,
}

/// Why an epoch ended.
#[derive(Debug, thiserror::Error)]
enum EpochError {
    #[error(transparent)]
    Broker(#[from] BrokerError),
    #[error("the broker refused the subscription: {0:?}")]
    NotSubscribed(Vec<SubscribeReasonCode>),
    #[error(transparent)]
    NotPromised(#[from] NotPromised),
}

/// A message that has reached its lane, in the order of the connection. At `QoS` 0 nobody waits for an acknowledgement.
struct InHand {
    packet_id: Option<u16>,
    pending: Pending,
}

impl Subscriber {
    async fn run(&self, mut stop: Stop) {
        let mut backoff = Backoff::default();
        while !stop.is_requested() {
            let mut too_late = stop.clone();
            let ended = tokio::select! {
                ended = self.epoch(stop.clone(), &mut backoff) => ended,
                () = async { too_late.requested().await; sleep(LAST_WORDS).await } => Ok(()),
            };
            gauge!(BROKER_CONNECTED).set(0.0);
            let Err(error) = ended else { return };
            let pause = backoff.longer();
            warn!(%error, retry_in = ?pause, "no connection to the broker");
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.requested() => {}
            }
        }
    }

    /// One connection, from CONNECT to its end. `Ok`: ended by the stop signal, all that was in hand acknowledged.
    async fn epoch(&self, mut stop: Stop, backoff: &mut Backoff) -> Result<(), EpochError> {
        let opened = tokio::select! {
            opened = open(&self.address, &self.connect, self.login.as_ref()) => opened,
            () = stop.requested() => return Ok(()),
        };
        let (reader, mut writer, answer) = opened?;
        info!(broker = %self.address, session_present = answer.session_present, "connected to the broker");
        writer.subscribe(self.subscription())?;
        // Full: the socket is left unread, and the broker keeps the rest.
        let (in_hand, to_acknowledge) = mpsc::channel(self.inflight);
        tokio::try_join!(self.take(reader, in_hand, stop, backoff), self.acknowledge(writer, to_acknowledge)).map(drop)
    }

    /// Until the stop signal. What comes later is not acknowledged, and the broker keeps it for the next session.
    async fn take(
        &self,
        mut reader: Reader,
        in_hand: mpsc::Sender<InHand>,
        mut stop: Stop,
        backoff: &mut Backoff,
    ) -> Result<(), EpochError> {
        loop {
            let packet = tokio::select! {
                packet = reader.next() => packet?,
                () = stop.requested() => return Ok(()),
            };
            match packet {
                Packet::Publish(publish) => {
                    let packet_id = (publish.qos != QoS::AtMostOnce).then_some(publish.pkid);
                    let pending = self.begin(&publish).await?;
                    // Nobody acknowledges any more: the other half of the epoch says why.
                    let Ok(()) = in_hand.send(InHand { packet_id, pending }).await else { return Ok(()) };
                }
                Packet::SubAck(answer) => {
                    let granted = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
                    if !answer.return_codes.iter().all(granted) {
                        return Err(EpochError::NotSubscribed(answer.return_codes));
                    }
                    backoff.reset();
                    gauge!(BROKER_CONNECTED).set(1.0);
                }
                _ => {}
            }
        }
    }

    async fn begin(&self, publish: &Publish) -> Result<Pending, NotPromised> {
        let topic = String::from_utf8_lossy(&publish.topic);
        let content_type = publish.properties.as_ref().and_then(|properties| properties.content_type.as_deref());
        let vehicle_id = self.filter.vehicle_of(&topic);
        let message = Message {
            source: Source::Broker,
            vehicle_id: vehicle_id.unwrap_or(&topic),
            payload: publish.payload.clone(),
            format: content_type.and_then(Format::of_content_type),
        };
        if vehicle_id.is_some() {
            return self.intake.begin(&message).await;
        }
        let refusal = Refusal::new(Reason::TopicUnknown, format!("{topic:?} does not match {:?}", self.filter));
        self.intake.begin_refusal(&message, &refusal).await
    }

    /// Until nothing more is taken and all of it is acknowledged; then says goodbye.
    async fn acknowledge(&self, mut writer: Writer, in_hand: mpsc::Receiver<InHand>) -> Result<(), EpochError> {
        let mut pings = interval(KEEP_ALIVE / 2);
        let mut next = pin!(self.settle_next(in_hand));
        loop {
            tokio::select! {
                // First what is ready, then what is to be written.
                biased;
                (in_hand, settled) = &mut next => {
                    let Some(packet_id) = settled.transpose()? else { break };
                    // Quarantined messages too: the broker would send them for ever.
                    if let Some(packet_id) = packet_id {
                        writer.acknowledge(packet_id)?;
                    }
                    next.set(self.settle_next(in_hand));
                    if writer.unflushed() < FLUSH_BYTES {
                        continue;
                    }
                }
                () = std::future::ready(()), if writer.unflushed() > 0 => {}
                _ = pings.tick() => writer.ping()?,
            }
            writer.flush().await?;
        }
        writer.disconnect()?;
        Ok(writer.flush().await?)
    }

    /// Waits for the next message, and until it is durable. Takes the receiver and gives it back, so that it can wait across others.
    async fn settle_next(
        &self,
        mut in_hand: mpsc::Receiver<InHand>,
    ) -> (mpsc::Receiver<InHand>, Option<Result<Option<u16>, NotPromised>>) {
        let Some(InHand { packet_id, mut pending }) = in_hand.recv().await else { return (in_hand, None) };
        let settled = self.intake.settle(&mut pending).await;
        (in_hand, Some(settled.map(|_answer| packet_id)))
    }

    fn subscription(&self) -> Filter {
        let mut filter = Filter::new(self.subscription.clone(), QoS::AtLeastOnce);
        filter.retain_forward_rule = RetainForwardRule::OnNewSubscribe;
        filter
    }
}

pub(super) fn connect(settings: &settings::Broker) -> Result<Connect, SubscriberError> {
    if settings.inflight == 0 {
        return Err(SubscriberError::Inflight);
    }
    let mut properties = ConnectProperties::new();
    properties.session_expiry_interval = u32::try_from(SESSION_EXPIRY.as_secs()).ok();
    properties.receive_maximum = Some(settings.inflight);
    properties.max_packet_size = Some(MAX_PACKET_BYTES);
    Ok(Connect {
        keep_alive: u16::try_from(KEEP_ALIVE.as_secs()).unwrap_or(u16::MAX),
        client_id: settings.client_id.clone(),
        clean_start: false,
        properties: Some(properties),
    })
}

pub(super) fn login(settings: &settings::Broker) -> Result<Option<Login>, SubscriberError> {
    if settings.username.is_empty() {
        return Ok(None);
    }
    let path = &settings.password_file;
    let password = std::fs::read_to_string(path).map_err(|source| SubscriberError::Password { path: path.clone(), source })?;
    Ok(Some(Login::new(&settings.username, password.lines().next().unwrap_or_default())))
}
