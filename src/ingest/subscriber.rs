//! Takes in what an outside MQTT 5 broker has for us: a persistent session, acknowledged by hand, in order, once durable.
//!
//! Each connection is an epoch with a client of its own. What it has not acknowledged when it ends is forgotten here and sent
//! again by the broker, so no acknowledgement can reach a connection it does not belong to, and no state of the client
//! survives that it could not get out of (rumqtt issues 1014, 1056).
//!
//! ```text
//! poll (event loop) ─received─▶ begin (lanes, in order) ─begun─▶ acknowledge (in order) ─requests─▶ poll
//! ```
//! Each arrow holds as much as the broker may send unacknowledged, so none of the three ever waits for the next: `poll`, which
//! also writes acknowledgements and pings, stands still only where messages without acknowledgement (`QoS` 0) flood it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectProperties, Filter, Packet, Publish, RetainForwardRule, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions};
use rumqttc::{NetworkOptions, Outgoing};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::{info, warn};

use super::backoff::Backoff;
use super::intake::{Intake, Message, NotPromised, Pending};
use super::topic_filter::{TopicFilter, TopicFilterError};
use crate::domain::{Reason, Source};
use crate::metrics::BROKER_CONNECTED;
use crate::settings;
use crate::tasks::{Stop, Tasks};
use crate::wire::Refusal;
use crate::wire::decode::Format;

const DEFAULT_PORT: u16 = 1883;

/// Announced to the broker, which keeps larger messages to itself.
const MAX_PACKET_BYTES: u32 = 2 << 20;

const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// How long the broker keeps our session while we are away.
const SESSION_EXPIRY: Duration = Duration::from_hours(7 * 24);

/// After the stop signal, what is in hand may take this long to become durable.
const LAST_WORDS: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum SubscriberError {
    #[error("[broker] url is {0:?}; mqtt://HOST:PORT is expected")]
    Url(String),
    #[error("[broker] url asks for TLS, which this build has not; use mqtt:// on a private network")]
    Tls,
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
        options: options(settings)?,
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
    options: MqttOptions,
    filter: TopicFilter,
    subscription: String,
    /// Room on every arrow of an epoch.
    inflight: usize,
    intake: Arc<Intake>,
}

/// Why an epoch ended.
#[derive(Debug, thiserror::Error)]
enum EpochError {
    #[error(transparent)]
    Connection(#[from] Box<ConnectionError>),
    #[error("the broker refused the subscription: {0:?}")]
    Refused(Vec<SubscribeReasonCode>),
    #[error(transparent)]
    NotPromised(#[from] NotPromised),
    #[error("the connection has ended")]
    Ended,
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
            let pause = backoff.next();
            warn!(%error, retry_in = ?pause, "no connection to the broker");
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.requested() => {}
            }
        }
    }

    /// One connection, from CONNECT to its end. `Ok`: ended by the stop signal, all that was in hand acknowledged.
    async fn epoch(&self, stop: Stop, backoff: &mut Backoff) -> Result<(), EpochError> {
        // Full only where a subscription or disconnect comes on top of all acknowledgements: these two wait.
        let (client, events) = AsyncClient::new(self.options.clone(), self.inflight);
        // Full: `poll` waits, and with it the broker.
        let (received, to_begin) = mpsc::channel(self.inflight);
        let (begun, to_acknowledge) = mpsc::channel(self.inflight);
        let work = async {
            tokio::try_join!(self.begin(to_begin, begun), self.acknowledge(to_acknowledge, &client))?;
            // Behind every acknowledgement in the same queue. `poll` ends when it has been written.
            client.disconnect().await.map_err(|_| EpochError::Ended)?;
            std::future::pending().await
        };
        tokio::select! {
            ended = self.poll(events, &client, received, stop, backoff) => ended,
            ended = work => ended,
        }
    }

    async fn poll(
        &self,
        mut events: EventLoop,
        client: &AsyncClient,
        received: mpsc::Sender<Publish>,
        mut stop: Stop,
        backoff: &mut Backoff,
    ) -> Result<(), EpochError> {
        let mut received = Some(received);
        loop {
            let event = tokio::select! {
                event = events.poll() => event.map_err(Box::new)?,
                () = stop.requested(), if received.is_some() => {
                    // What comes from now on is not acknowledged; the broker keeps it for the next session.
                    received = None;
                    continue;
                }
            };
            match event {
                Event::Incoming(Packet::ConnAck(connack)) => {
                    info!(session_present = connack.session_present, "connected to the broker");
                    client.try_subscribe_many([self.subscription()]).map_err(|_| EpochError::Ended)?;
                }
                Event::Incoming(Packet::SubAck(suback)) => {
                    let granted = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
                    if !suback.return_codes.iter().all(granted) {
                        return Err(EpochError::Refused(suback.return_codes));
                    }
                    backoff.reset();
                    gauge!(BROKER_CONNECTED).set(1.0);
                }
                Event::Incoming(Packet::Publish(publish)) => {
                    if let Some(received) = &received {
                        received.send(publish).await.map_err(|_| EpochError::Ended)?;
                    }
                }
                Event::Outgoing(Outgoing::Disconnect) => return Ok(()),
                _ => {}
            }
        }
    }

    fn subscription(&self) -> Filter {
        let mut filter = Filter::new(self.subscription.clone(), QoS::AtLeastOnce);
        filter.retain_forward_rule = RetainForwardRule::OnNewSubscribe;
        filter
    }

    async fn begin(
        &self,
        mut received: mpsc::Receiver<Publish>,
        begun: mpsc::Sender<(Publish, Pending)>,
    ) -> Result<(), EpochError> {
        while let Some(mut publish) = received.recv().await {
            let topic = String::from_utf8_lossy(&publish.topic);
            let content_type = publish.properties.as_ref().and_then(|properties| properties.content_type.as_deref());
            let vehicle_id = self.filter.vehicle_of(&topic);
            let message = Message {
                source: Source::Broker,
                vehicle_id: vehicle_id.unwrap_or(&topic),
                payload: publish.payload.clone(),
                format: content_type.and_then(Format::of_content_type),
            };
            let pending = if vehicle_id.is_some() {
                self.intake.begin(&message).await?
            } else {
                let refusal =
                    Refusal::new(Reason::TopicUnknown, format!("{topic:?} has no vehicle where {:?} says", self.filter));
                self.intake.begin_refusal(&message, &refusal).await?
            };
            publish.payload.clear();
            begun.send((publish, pending)).await.map_err(|_| EpochError::Ended)?;
        }
        Ok(())
    }

    async fn acknowledge(&self, mut begun: mpsc::Receiver<(Publish, Pending)>, client: &AsyncClient) -> Result<(), EpochError> {
        while let Some((publish, pending)) = begun.recv().await {
            // The quarantined are acknowledged too: the broker would send them for ever.
            self.intake.settle(pending).await?;
            client.ack(&publish).await.map_err(|_| EpochError::Ended)?;
        }
        Ok(())
    }
}

fn options(settings: &settings::Broker) -> Result<MqttOptions, SubscriberError> {
    if settings.inflight == 0 {
        return Err(SubscriberError::Inflight);
    }
    let (host, port) = host_and_port(&settings.url)?;
    let mut options = MqttOptions::new(&settings.client_id, host, port);
    options.set_clean_start(false).set_manual_acks(true).set_keep_alive(KEEP_ALIVE);
    // We publish nothing; the client reserves memory for this many.
    options.set_outgoing_inflight_upper_limit(1);
    let mut connect = ConnectProperties::new();
    connect.session_expiry_interval = u32::try_from(SESSION_EXPIRY.as_secs()).ok();
    connect.receive_maximum = Some(settings.inflight);
    connect.max_packet_size = Some(MAX_PACKET_BYTES);
    options.set_connect_properties(connect);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    options.set_network_options(network);
    if !settings.username.is_empty() {
        let path = &settings.password_file;
        let password =
            std::fs::read_to_string(path).map_err(|source| SubscriberError::Password { path: path.clone(), source })?;
        options.set_credentials(&settings.username, password.lines().next().unwrap_or_default());
    }
    Ok(options)
}

fn host_and_port(url: &str) -> Result<(String, u16), SubscriberError> {
    let wrong = || SubscriberError::Url(url.to_owned());
    if url.starts_with("mqtts://") {
        return Err(SubscriberError::Tls);
    }
    let authority = url.strip_prefix("mqtt://").ok_or_else(wrong)?.trim_end_matches('/');
    // The last colon of `[::1]` belongs to the address.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
        _ => (authority, DEFAULT_PORT),
    };
    let is_plain = !host.is_empty() && !host.contains(['/', '@']);
    if is_plain { Ok((host.to_owned(), port)) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_broker_is_host_and_port() {
        assert_eq!(host_and_port("mqtt://broker:2883").unwrap(), ("broker".into(), 2883));
        assert_eq!(host_and_port("mqtt://broker/").unwrap(), ("broker".into(), 1883));
        assert_eq!(host_and_port("mqtt://[::1]").unwrap(), ("[::1]".into(), 1883));
        for wrong in ["broker:1883", "mqtt://", "mqtt://user:secret@broker", "mqtt://broker:port", "mqtts://broker"] {
            assert!(host_and_port(wrong).is_err(), "{wrong}");
        }
    }
}
